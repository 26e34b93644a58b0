/* Signatures of libffi.closures, that are made as calls as well as callbacks. */

/* Many arguments of different types. */
int simple(4 * int);
int fn0(unsigned long long, int, unsigned long long, int, short, unsigned long long, int, int,
        double, int, int, float, int, int, int, int);
int fn1(4 * float, short, 2 * float, int, double, int, int, float, 4 * int);
int fn2(4 * double, short, 2 * double, int, double, int, int, float, int, float, int, int);
int fn3(8 * float, double, int, float, float, int, float, float, int);
int fn4(15 * unsigned long long, int);
int fn5(10 * unsigned long long, int, 4 * unsigned long long, int);
int fn6(4 * unsigned long long, int, double, double, float, double, double, int, float, int, int,
        double, double);
double mixed_args(4 * double, long, 4 * double, long, double, long, double, long, double, long);
double mixed_floats(double, float, 5 * double, float, float, double, float, float);
long double wide_8(8 * long double);

/* Scalars in and out. */
signed char scalar_signed_char(signed char);
unsigned char scalar_unsigned_char(unsigned char);
short scalar_short(short);
unsigned short scalar_unsigned_short(unsigned short);
int scalar_int(int);
unsigned scalar_unsigned(unsigned);
unsigned long long scalar_unsigned_long_long(unsigned long long);
float scalar_float(float);
double scalar_double(double);
void *scalar_pointers(void *, void *);
signed char signed_chars(2 * signed char);
short shorts(2 * short);
short shorts_chars(signed char, short, signed char, short);
unsigned char unsigned_chars(4 * unsigned char);
unsigned short unsigned_shorts(2 * unsigned short);
unsigned short unsigned_shorts_chars(unsigned char, unsigned short, unsigned char, unsigned short);
long wide_and_chars(long double, char, long double, char, long double, char, long double, char);

/* Structs by size. */
struct s1 { unsigned char a; };
struct s1 size_1(2 * struct s1);
struct s2 { unsigned char a, b; };
struct s2 size_2(2 * struct s2);
struct s3 { unsigned char a, b, c; };
struct s3 size_3(2 * struct s3);
struct s3a { unsigned short a; unsigned char b; };
struct s3a size_3_short_first(2 * struct s3a);
struct s3b { unsigned char a; unsigned short b; };
struct s3b size_3_short_last(2 * struct s3b);
struct s4 { unsigned char a, b, c, d; };
struct s4 size_4(2 * struct s4);
struct s4a { unsigned short a, b; };
struct s4a size_4_shorts(2 * struct s4a);
struct s5 { unsigned char a, b, c, d, e; };
struct s5 size_5(2 * struct s5);
struct s5a { unsigned short a, b; unsigned char c; };
struct s5a size_5_shorts(2 * struct s5a);
struct s6 { unsigned char a, b, c, d, e, f; };
struct s6 size_6(2 * struct s6);
struct s6a { unsigned short a, b; unsigned char c, d; };
struct s6a size_6_shorts(2 * struct s6a);
struct s7 { unsigned char a, b, c, d, e, f, g; };
struct s7 size_7(2 * struct s7);
struct s7a { unsigned short a, b; unsigned char c; unsigned short d; };
struct s7a size_7_shorts(2 * struct s7a);
struct s8 { int a; float b; };
struct s8 size_8(2 * struct s8);
struct s9a { int a; double b; };
struct s9a size_9_int_first(2 * struct s9a);
struct s9b { double a; int b; };
struct s9b size_9_int_last(2 * struct s9b);
struct s12 { int a, b, c; };
struct s12 size_12(2 * struct s12);
struct s16 { int a; double b; int c; };
struct s16 size_16(2 * struct s16);
struct s18 { double a; unsigned char b, c; double d; };
struct s18 size_18(2 * struct s18);
struct s19 { double a; unsigned char b, c; double d; unsigned char e; };
struct s19 size_19(2 * struct s19);
struct s20 { double a, b; int c; };
struct s20 size_20_int_last(2 * struct s20);
struct s20a { int a; double b, c; };
struct s20a size_20_int_first(2 * struct s20a);
struct s24 { double a, b; int c; float d; };
struct s24 size_24(4 * struct s24);
struct s64 { double a, b, c, d, e, f, g, h; };
struct s64 size_64(4 * struct s64);
struct s72 { double a, b, c, d, e, f, g, h, i; };
struct s72 size_72(4 * struct s72);
struct s72a { double a, b, c, d, e, f, g, h; long long i; };
struct s72a size_72_long_last(4 * struct s72a);
struct s108 { double a, b, c, d, e, f, g, h, i, j, k, l, m; int n; };
struct s108 size_108(4 * struct s108);
struct s116 { double a, b, c, d, e, f, g, h, i, j, k, l, m, n; int o; };
struct s116 size_116(4 * struct s116);
struct f3 { float f, g, h; };
struct f3 three_floats(2 * struct f3);
struct f4 { float a, b, c, d; };
void four_floats(struct f4);
struct d2 { double x, y; };
void two_doubles(struct d2);
struct d3 { double a, b, c; };
struct d3 three_doubles(2 * struct d3);

/* Alignment inside a struct. */
struct align_double { unsigned char a; double b; unsigned char c; };
struct align_double aligned_double(2 * struct align_double);
struct align_float { unsigned char a; float b; unsigned char c; };
struct align_float aligned_float(2 * struct align_float);
struct align_wide { unsigned char a; long double b; unsigned char c; };
struct align_wide aligned_wide(2 * struct align_wide);
struct wide_7 { long double a, b, c, d, e, f, g; };
struct wide_7 aligned_wide_7(2 * struct wide_7);
struct wide_6_double { long double a, b, c, d, e; double f; long double g; };
struct wide_6_double aligned_wide_6_double(2 * struct wide_6_double);
struct align_pointer { unsigned char a; void *b; unsigned char c; };
struct align_pointer aligned_pointer(2 * struct align_pointer);
struct align_s16 { unsigned char a; short b; unsigned char c; };
struct align_s16 aligned_short(2 * struct align_s16);
struct align_u16 { unsigned char a; unsigned short b; unsigned char c; };
struct align_u16 aligned_unsigned_short(2 * struct align_u16);
struct align_s32 { unsigned char a; int b; unsigned char c; };
struct align_s32 aligned_int(2 * struct align_s32);
struct align_u32 { unsigned char a; unsigned b; unsigned char c; };
struct align_u32 aligned_unsigned(2 * struct align_u32);
struct align_s64 { unsigned char a; long long b; unsigned char c; };
struct align_s64 aligned_long_long(2 * struct align_s64);
struct align_u64 { unsigned char a; unsigned long long b; unsigned char c; };
struct align_u64 aligned_unsigned_long_long(2 * struct align_u64);

/* Structs in structs. */
struct dfi { double a; float b; int c; };
struct idf { int ii; double dd; float ff; };
struct dfi_idf { struct dfi d; struct idf e; };
struct dfi_idf nested_3(struct dfi, struct idf, struct dfi_idf);
struct dfi_idf nested_4(struct dfi, struct idf, struct dfi_idf, struct dfi);
struct long_char { unsigned long a; unsigned char b; };
struct long_char_char { struct long_char x; unsigned char y; };
struct long_char_char nested_long(struct long_char, struct long_char_char);
struct llong_char { unsigned long long a; unsigned char b; };
struct llong_char_char { struct llong_char x; unsigned char y; };
struct llong_char_char nested_long_long(struct llong_char, struct llong_char_char);
struct double_char { double a; unsigned char b; };
struct double_char_char { struct double_char x; unsigned char y; };
struct double_char_char nested_double(struct double_char, struct double_char_char);
struct wide_char { long double a; unsigned char b; };
struct wide_char_char { struct wide_char x; unsigned char y; };
struct wide_char_char nested_wide(struct wide_char, struct wide_char_char);
struct signed_long_char { long d; unsigned char e; };
struct double_char_char nested_and_long(struct double_char, struct double_char_char,
                                        struct signed_long_char);
struct llong_char_char nested_and_long_long(struct llong_char, struct llong_char_char,
                                            struct llong_char);
struct char_llong { unsigned char a; unsigned long long b; };
struct char_llong_char { struct char_llong x; unsigned char y; };
struct char_llong_char nested_char_first(struct char_llong, struct char_llong_char,
                                         struct long_char);
struct char_llong_unsigned { unsigned char y; struct llong_char x; unsigned z; };
struct char_llong_unsigned nested_between(struct llong_char, struct char_llong_unsigned,
                                          struct llong_char);
struct floats_a { float x, y; };
struct floats_b { float x, y; };
struct floats_ab { struct floats_a a; struct floats_b b; };
struct floats_ab nested_floats(3 * int, struct floats_ab, 3 * int);
struct float_floats { float x; struct floats_a y; };
float nested_float_sum(float, struct float_floats);
struct float_floats nested_float_floats(float, struct float_floats);
struct single { int a; };
struct single single_entry(int, struct single);
struct double_entry { int a, b; };
struct around_double_entry { struct double_entry y; };
struct around_double_entry single_struct_of_two(int, struct around_double_entry);
struct around_single { struct single y; };
struct around_single single_struct_of_one(int, struct around_single);

/* Very large. */
struct everything {
  uint8_t a; int8_t b; uint16_t c; int16_t d; uint32_t e; int32_t f; uint64_t g; int64_t h;
  float i; double j; long double k; char *l;
  uint8_t m; int8_t n; uint16_t o; int16_t p; uint32_t q; int32_t r; uint64_t s; int64_t t;
  float u; double v; long double w; char *x;
  uint8_t y; int8_t z; uint16_t aa; int16_t bb; uint32_t cc; int32_t dd; uint64_t ee; int64_t ff;
  float gg; double hh; long double ii; char *jj;
  uint8_t kk; int8_t ll; uint16_t mm; int16_t nn; uint32_t oo; int32_t pp; uint64_t qq; int64_t rr;
  float ss; double tt; long double uu; char *vv; uint8_t ww; int8_t xx;
};
struct everything huge(uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                       float, double, long double, char *,
                       uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                       float, double, long double, char *,
                       uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                       float, double, long double, char *,
                       uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                       float, double, long double, char *, uint8_t, int8_t);

/* Variadic functions. */
int variadic_double(char *, ... double);
int variadic_wide(char *, ... long double);
unsigned variadic_unsigned(unsigned, ... unsigned);
unsigned long variadic_unsigned_long(unsigned long, ... unsigned long);
struct small_bytes { unsigned char a, b; };
struct five_unsigned { unsigned a, b, c, d, e; };
int variadic_structs(int, ... struct small_bytes, struct five_unsigned, struct small_bytes);
