/* Signatures of libffi.call: arguments and results that calls get wrong on one machine or another.
 * What is about the values and not about the signature is in registers.c and text.c.
 */
int int_short_char(int, short, signed char);
int narrow_to_int(signed char, short, unsigned char, unsigned short);
int widths_upwards(unsigned char, unsigned short, unsigned, unsigned long);
unsigned word_before_long(uint32_t, uint64_t);
float ints_and_doubles(int, double, int, double);

/* Floating point. */
int all_float_kinds(int, float, double, long double);
double float_to_double(float);
long double float_to_wide(float);
double floats_widening(float, double, long double);
double floats_narrowing(long double, double, float);
float same_float(float);
float two_floats(float, float);
float four_floats(float, float, float, float);
float floats_and_unsigned(float, float, unsigned, float);
double same_double(double);
double double_float_unsigned(double, float, unsigned, double);
double doubles_and_unsigned(double, double, unsigned, double);
long double same_wide(long double);

/* Integer results. */
signed char same_signed_char(signed char);
unsigned char same_unsigned_char(unsigned char);
long two_longs(long, long);
unsigned long two_unsigned_longs(unsigned long, unsigned long);
long long same_long_long(long long);
long long long_long_between(int, long long, int);
void *same_pointer(void *);
int of_pointer(int *);

/* More than there are registers for. */
float many_floats(13 * float);
double many_doubles(13 * double);
uint8_t many_bytes(7 * uint8_t);
double many_mixed(double, double, long, double, double, long, double, double, long, double, double,
                  long, double, double, long, double, double, long, double);
uint64_t six_words(6 * uint64_t);
long long ten_words(10 * long long);
double twelve_doubles(12 * double);
double eight_of_each(8 * long, 8 * double);
double mixed_registers(int, double, long, float, long long, double);
float float_result(float, float);

/* Structs. */
struct char_double_unsigned { unsigned char c; double d; unsigned u; };
struct char_double_unsigned next_char_double_unsigned(struct char_double_unsigned);
struct two_doubles { double a, b; };
struct two_doubles next_two_doubles(struct two_doubles);
struct one_int { int i; };
struct one_int next_one_int(struct one_int);
struct three_unsigned { unsigned a, b, c; };
struct three_unsigned next_three_unsigned(struct three_unsigned);
struct two_chars { char a, b; };
struct two_chars join_two_chars(struct two_chars, struct two_chars);
struct float_double { float f; double d; };
struct float_double next_float_double(struct float_double);
struct two_floats_double { float a, b; double d; };
struct two_floats_double next_two_floats_double(struct two_floats_double);
struct four_floats { float a, b, c, d; };
struct four_floats next_four_floats(struct four_floats);
struct float_int { float f; int i; };
struct float_int next_float_int(struct float_int);
struct int_float_char { int i; float f; signed char c; };
struct int_float_char make_int_float_char(void);
struct two_unsigned { unsigned a, b; };
struct two_unsigned next_two_unsigned(struct two_unsigned);
struct three_floats { float a, b, c; };
struct three_floats next_three_floats(struct three_floats);
struct four_unsigned { unsigned a, b, c, d; };
struct four_unsigned next_four_unsigned(struct four_unsigned);
struct seventeen_unsigned { unsigned a[17]; };
struct seventeen_unsigned next_seventeen_unsigned(struct seventeen_unsigned);
struct one_unsigned { unsigned a; };
struct one_unsigned next_one_unsigned(struct one_unsigned);
struct one_float { float f; };
struct one_float join_one_float(struct one_float, float);
struct two_shorts { short x, y; };
struct two_shorts next_two_shorts(struct two_shorts);
struct eight_ints { int a, b, c, d, e, f, g, h; };
struct eight_ints next_eight_ints(struct eight_ints);
struct int_array { int v[8]; };
int sum_int_array(struct int_array);
struct char_float_char_int { char c; float f; char c2; int i; };
struct char_float_char_int next_char_float_char_int(struct char_float_char_int);

/* Structs among other arguments. */
struct long_float { unsigned long i; float f; };
float last_long_float(6 * struct long_float);
struct bytes_32 { unsigned char b[32]; };
int many_large(16 * struct bytes_32);
struct two_ints { int a, b; };
struct two_ints many_small(32 * struct two_ints);
struct point_longs { long x, y; };
struct rect_longs { long left, top, right, bottom; };
struct rect_longs rects_and_points(int, struct rect_longs, void *, struct point_longs,
                                   struct rect_longs, void *, struct point_longs,
                                   struct rect_longs);
struct point_floats { float x, y; };
struct size_floats { float h, w; };
struct rect_floats { struct point_floats o; struct size_floats s; };
int text_points_rects(int, char *, struct point_floats, struct rect_floats, int);
long sum_two_longs(struct point_longs);
struct three_doubles { double a, b, c; };
struct three_doubles make_three_doubles(double, double, double);
double sum_three_doubles(struct three_doubles);
struct point_longs make_two_longs(long, long);

/* Structs that go with a function to be called. */
struct array_between { unsigned char c1; double s[2]; unsigned char c2; };
struct array_between with_array(struct array_between, code);
struct inner_double { double d; };
struct array_after_struct { struct inner_double s1; double s[2]; unsigned char c2; };
struct array_after_struct with_array_after_struct(struct array_after_struct, code);
struct inner_char_double { unsigned char c; double d; };
struct array_after_padded { struct inner_char_double s1; double s[2]; unsigned char c2; };
struct array_after_padded with_array_after_padded(struct array_after_padded, code);
struct inner_double_char { double d; unsigned char c; };
struct array_of_structs { unsigned char c1; struct inner_double_char s[2]; unsigned char c2; };
struct array_of_structs with_array_of_structs(struct array_of_structs, code);

/* Variadic functions. */
double doubles_none(unsigned, double, ...);
double doubles_two(unsigned, double, ... double, double);
double doubles_eight(int, ... 8 * double);
double doubles_twelve(int, ... 12 * double);
struct small_bytes { unsigned char a, b; };
struct five_unsigned { unsigned a, b, c, d, e; };
int structs_then_scalars(int, ... struct small_bytes, struct five_unsigned, struct small_bytes,
                         unsigned char, signed char, unsigned short, short, unsigned, int,
                         unsigned long, long, float, double);
int scalars_after_narrow(char, float, int, ... unsigned char, signed char, unsigned short, short,
                         unsigned, int, unsigned long, long, float, double);
int structs_variadic(int, ... struct small_bytes, struct five_unsigned, struct small_bytes);
struct small_bytes small_from_variadic(int, ... struct small_bytes, struct five_unsigned,
                                       struct small_bytes);
struct five_unsigned large_from_variadic(int, ... struct small_bytes, struct five_unsigned,
                                         struct small_bytes);
