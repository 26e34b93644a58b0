/* Signatures that random ones have found wrong, or that stand for such. */

/* amd64: what a union's integers say against its long double. */
union wide_or_longs { long double a; long b[2]; };
union wide_or_longs wide_or_two_longs(union wide_or_longs, int, union wide_or_longs, double);
union wide_or_long { long double a; long b; };
union wide_or_long wide_or_one_long(union wide_or_long, int, union wide_or_long, double);
union wide_or_doubles { long double a; double b[2]; };
union wide_or_doubles wide_or_two_doubles(union wide_or_doubles, int, union wide_or_doubles, double);
union wide_or_floats { long double a; float b[3]; };
union wide_or_floats wide_or_three_floats(union wide_or_floats, int, union wide_or_floats, double);
union wide_or_bytes { long double a; char b[9]; };
union wide_or_bytes wide_or_nine_bytes(union wide_or_bytes, int, union wide_or_bytes, double);
union wide_or_few { long double a; char b[2]; };
union wide_or_few wide_or_two_bytes(union wide_or_few, int, union wide_or_few, double);

union floats_wide_longs { float f[3]; long double a; long b[2]; };
union floats_wide_longs wide_after_floats(union floats_wide_longs, int, union floats_wide_longs);
union wide_longs_floats { long double a; long b[2]; float f[3]; };
union wide_longs_floats wide_before_floats(union wide_longs_floats, int, union wide_longs_floats);
union longs_floats_wide { long b[2]; float f[3]; long double a; };
union longs_floats_wide wide_after_longs(union longs_floats_wide, int, union longs_floats_wide);
union half_float_wide { int b; float f[3]; long double a; long c[2]; };
union half_float_wide wide_after_half(union half_float_wide, int, union half_float_wide);

/* amd64: an integer and a float in one struct, when there is one general register left. */
struct pointer_float { void *p; float f; };
int last_register_for_half(5 * int, float, struct pointer_float);
struct pointer_float last_register_for_half_of_many(5 * long, 7 * double, struct pointer_float,
                                                    struct pointer_float, int);

/* arm64: floats of two types are no homogeneous aggregate. */
struct wide_float { long double a; float b; };
struct wide_float floats_of_two_types(float, struct wide_float, long double, struct wide_float);
struct floats_double { float a[2]; double b; };
struct floats_double two_floats_and_double(double, struct floats_double, struct floats_double);

/* arm64: references to structs beyond the registers, among narrow and wide. */
struct wide_and_more { long double a[2]; long b; char c; };
int references_on_stack(struct wide_and_more, void *, 2 * struct wide_and_more, void *,
                        4 * struct wide_and_more, void *, void *, struct wide_and_more);
struct bytes_17 { char b[17]; };
struct bytes_17 references_between(7 * int, struct bytes_17, char, struct wide_and_more, char,
                                   struct bytes_17, double, struct wide_and_more);
struct doubles_4 { double d[4]; };
struct doubles_5 { double d[5]; };
struct doubles_5 homogeneous_or_not(3 * struct doubles_4, int, 3 * struct doubles_5, float);

/* arm64: a bit-field without bits can make a struct larger than its floats are. */
struct no_bits_float { long : 0; float f; };
struct no_bits_float bits_before_float(struct no_bits_float, float, struct no_bits_float);
