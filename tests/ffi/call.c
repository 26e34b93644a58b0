/* call.c: calls of prepared functions, with every kind of argument and result.
 *
 * The functions are in a shared library of their own (helper.c), whose declarations are read by the
 * C compiler and by gs_ffi_cdef alike.  Every result is compared with what C computes.
 */
#include "support.h"

#include <float.h>
#include <math.h>

#include "gosched_ffi.h"
#define HELPER_TEXT
#include "helper.h"

static gs_ffi *ffi;
static gs_lib *lib;

static int setup(void **state) {
  (void)state;
  gs_ffi_error err;
  ffi = gs_ffi_new();
  if (gs_ffi_cdef(ffi, helper_text, &err) != GS_OK) fail_msg("%s", err.text);
  if (gs_ffi_load(ffi, HELPER_PATH, &lib, &err) != GS_OK) fail_msg("%s", err.text);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

static gs_func *func(const char *name) {
  gs_func *f = NULL;
  gs_ffi_error err;
  if (gs_ffi_func(lib, name, &f, &err) != GS_OK) fail_msg("%s", err.text);
  assert_string_equal(gs_func_name(f), name);
  return f;
}

#define CALL(name, ret, ...) \
  assert_int_equal(gs_ffi_call(func(name), (ret), (void *[]){__VA_ARGS__}, NULL), GS_OK)

/* ---- scalars ---- */

/* The result goes between two guards, which a result stored too wide would change. */
#define IDENTITY(type, name, ...)                                      \
  do {                                                                 \
    static type values[] = {__VA_ARGS__};                              \
    for (size_t i = 0; i < COUNT(values); i++) {                       \
      struct {                                                         \
        unsigned char before[16];                                      \
        type value;                                                    \
        unsigned char after[16];                                       \
      } room;                                                          \
      type argument = values[i];                                       \
      memset(&room, 0xA5, sizeof(room));                               \
      CALL(name, &room.value, &argument);                              \
      if (room.value != values[i]) fail_msg("%s, value %zu", name, i); \
      for (int k = 0; k < 16; k++)                                     \
        if (room.before[k] != 0xA5 || room.after[k] != 0xA5)           \
          fail_msg("%s stores beyond its result", name);               \
    }                                                                  \
  } while (0)

static void test_scalars(void **state) {
  (void)state;
  IDENTITY(_Bool, "id_bool", 0, 1);
  IDENTITY(char, "id_char", 0, 1, 'x', CHAR_MIN, CHAR_MAX);
  IDENTITY(signed char, "id_schar", 0, -1, SCHAR_MIN, SCHAR_MAX);
  IDENTITY(unsigned char, "id_uchar", 0, 1, 0x80, UCHAR_MAX);
  IDENTITY(short, "id_short", 0, -1, SHRT_MIN, SHRT_MAX);
  IDENTITY(unsigned short, "id_ushort", 0, 0x8000, USHRT_MAX);
  IDENTITY(int, "id_int", 0, -1, INT_MIN, INT_MAX);
  IDENTITY(unsigned, "id_uint", 0, 0x80000000, UINT_MAX);
  IDENTITY(long, "id_long", 0, -1, LONG_MIN, LONG_MAX);
  IDENTITY(unsigned long, "id_ulong", 0, ULONG_MAX);
  IDENTITY(long long, "id_llong", 0, -1, LLONG_MIN, LLONG_MAX);
  IDENTITY(unsigned long long, "id_ullong", 0, ULLONG_MAX);
  IDENTITY(float, "id_float", 0, -1.5f, FLT_MIN, FLT_MAX, INFINITY);
  IDENTITY(double, "id_double", 0, -1.5, DBL_MIN, DBL_MAX, -INFINITY);
  IDENTITY(long double, "id_ldouble", 0, -1.5L, LDBL_MIN, LDBL_MAX, 1.0L / 3);
  IDENTITY(void *, "id_pointer", NULL, &ffi, (void *)~(uintptr_t)0);
  IDENTITY(enum color, "id_enum", RED, GREEN, BLUE);
  IDENTITY(enum level, "id_level", LOW, HIGH);
  IDENTITY(int8_t, "id_int8", INT8_MIN, INT8_MAX);
  IDENTITY(int32_t, "id_int32", INT32_MIN, INT32_MAX);
  IDENTITY(uint64_t, "id_uint64", 0, UINT64_MAX);
}

static void test_many_arguments(void **state) {
  (void)state;
  signed char a1 = -100;
  unsigned char b1 = 200;
  short c1 = -30000;
  unsigned short d1 = 60000;
  int sum;
  CALL("add_chars", &sum, &a1, &b1, &c1, &d1);
  assert_int_equal(sum, -100 + 200 - 30000 + 60000);

  long n[10], total;
  void *args[10];
  for (int i = 0; i < 10; i++) n[i] = (long)i * 1000000007L - 5, args[i] = &n[i];
  assert_int_equal(gs_ffi_call(func("add_ten"), &total, args, NULL), GS_OK);
  long expected = 0;
  for (int i = 0; i < 10; i++) expected += (i + 1) * n[i];
  assert_int_equal(total, expected);

  int a = -1, k = 11, o = -15;
  double b = 2.5, f = -6.25, j = 1e10, l = 12.125, nn = 14, p = -16.5, mixed;
  long c = 3, m = -13;
  float d = 4.5f, h = 8.75f, r = -18.25f;
  short e = -5;
  long long g = 7;
  unsigned char i = 250;
  unsigned q = 4000000000u;
  CALL("add_mixed", &mixed, &a, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k, &l, &m, &nn, &o, &p, &q,
       &r);
  assert_true(mixed == a + 2 * b + 3 * (double)c + 4 * (double)d + 5 * e + 6 * f + 7 * (double)g +
                           8 * (double)h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * (double)m +
                           14 * nn + 15 * o + 16 * p + 17 * q + 18 * (double)r);
}

static void test_no_result(void **state) {
  (void)state;
  int where = 0, value = 5, *at = &where;
  CALL("store", NULL, &at, &value);
  assert_int_equal(where, 5);
  assert_int_equal(gs_ffi_call(func("nothing"), NULL, NULL, NULL), GS_OK);
  /* Results that nobody wants, more of them than the x87 has registers. */
  long double x = 1.25L, back = 0;
  struct large big = {.b = 1};
  double y = 2;
  for (int i = 0; i < 20; i++) {
    CALL("id_ldouble", NULL, &x);
    CALL("next_large", NULL, &big);
    CALL("next_wide", NULL, &x);
    CALL("id_double", NULL, &y);
  }
  CALL("id_ldouble", &back, &x);
  assert_true(back == x);
}

/* ---- structs by value ---- */

/* `same` compares what was got with what was wanted; a guard lies behind the result. */
#define NEXT(ctype, name, same, ...)                                    \
  do {                                                                  \
    struct {                                                            \
      ctype v;                                                          \
      unsigned char guard[16];                                          \
    } room;                                                             \
    memset(&room, 0xA5, sizeof(room));                                  \
    ctype argument = __VA_ARGS__;                                       \
    CALL(#name, &room.v, &argument);                                    \
    ctype got = room.v, want = name(argument);                          \
    if (!(same)) fail_msg(#name " gives other members than C");         \
    for (int i = 0; i < 16; i++) assert_int_equal(room.guard[i], 0xA5); \
  } while (0)

#define EQUAL(member) (got.member == want.member)
#define EQUAL_BYTES(member) (memcmp(&got.member, &want.member, sizeof(got.member)) == 0)

static void test_structs(void **state) {
  (void)state;
  NEXT(struct small, next_small, EQUAL(a), {41});
  NEXT(struct three, next_three, EQUAL_BYTES(a), {{1, 2, 3}});
  NEXT(struct pair, next_pair, EQUAL(x) && EQUAL(y), {-5, 1000000});
  NEXT(struct point, next_point, EQUAL(x) && EQUAL(y), {0.5, -2.25});
  NEXT(struct vec3, next_vec3, EQUAL(x) && EQUAL(y) && EQUAL(z), {0.5f, 1.5f, 2.5f});
  NEXT(struct vec4, next_vec4, EQUAL_BYTES(v), {{0.5f, 1.5f, 2.5f, -3.5f}});
  NEXT(struct float_int, next_float_int, EQUAL(f) && EQUAL(i), {0.5f, -7});
  NEXT(struct words, next_words, EQUAL(a) && EQUAL(b), {LONG_MIN, LONG_MAX - 2});
  NEXT(union floats, next_floats, EQUAL_BYTES(v), {.v = {1, 2, 3}});
  NEXT(rgba, next_rgba, EQUAL(r) && EQUAL(g) && EQUAL(b) && EQUAL(a), {1, 2, 3, 4});
  NEXT(struct mixed, next_mixed, EQUAL(i) && EQUAL(d), {-3, 2.75});
  NEXT(struct odd, next_odd, EQUAL(s) && EQUAL(c) && EQUAL(i) && EQUAL(d),
       {-300, 'c', 1 << 30, 'd'});
  NEXT(struct large, next_large, EQUAL_BYTES(a) && EQUAL(b) && EQUAL_BYTES(c),
       {{1, -2, 3, -4, 5}, 6.5, {1, 2, 3, 4, 5, 6, 7}});
  NEXT(struct huge, next_huge, EQUAL_BYTES(bytes), {{9, 8, 7, [999] = 1}});
  NEXT(struct nested, next_nested, EQUAL(p.x) && EQUAL(p.y) && EQUAL(in.f) && EQUAL(in.s),
       {{1, 2}, {3.5f, -4}});
  NEXT(union number, next_number, EQUAL(d), {.d = 3.25});
  NEXT(struct with_union, next_with_union, EQUAL(tag) && EQUAL(u.f), {'t', {.f = 1.5f}});
  NEXT(struct bits, next_bits, EQUAL(a) && EQUAL(b) && EQUAL(c), {5, -20, 1UL << 38});
  NEXT(struct wide, next_wide, EQUAL(v), {1.0L / 3});
}

static void test_structs_among_others(void **state) {
  (void)state;
  struct pair a = {1, 2};
  struct point b = {3.5, 4.5};
  struct vec3 c = {5, 6, 7};
  struct mixed d = {8, 9.25};
  struct large e = {{10, 0, 0, 0, 11}, 12.5, {[6] = 13}};
  struct float_int f = {14.5f, 15};
  int last = 16;
  double sum = 0;
  CALL("sum_structs", &sum, &a, &b, &c, &d, &e, &f, &last);
  assert_true(sum == sum_structs(a, b, c, d, e, f, last));
}

static void refused(const char *decl, const char *name, const char *says) {
  gs_ffi_error err;
  gs_func *f = NULL;
  if (gs_ffi_cdef(ffi, decl, &err) != GS_OK) fail_msg("%s: %s", decl, err.text);
  assert_int_equal(gs_ffi_func(lib, name, &f, &err), GS_ETYPE);
  if (!strstr(err.text, says)) fail_msg("%s\n  expected …%s…", err.text, says);
  assert_null(f);
}

/* The functions exist, their declarations say what cannot be called. */
static void test_refused_types(void **state) {
  (void)state;
  refused("struct opaque; void r1(struct opaque) asm(\"nothing\");", "r1",
          "argument 1: 'struct opaque' is not defined");
  refused("struct opaque r2(void) asm(\"nothing\");", "r2", "the result: 'struct opaque'");
  refused("struct f_array { int n; int a[]; }; void r3(int, struct f_array) asm(\"nothing\");",
          "r3", "argument 2: 'struct f_array' ends in an array without a size");
  refused("struct f_none { }; void r5(struct f_none) asm(\"nothing\");", "r5", "has no members");
  refused(
      "typedef struct { int a; } f_aligned __attribute__((aligned(32)));"
      "void r7(f_aligned) asm(\"nothing\");",
      "r7", "is aligned by an attribute");
}

/* ---- pointers to functions ---- */

static int plus_five(int v) { return v + 5; }

static void test_function_pointers(void **state) {
  (void)state;
  int (*fn)(int) = plus_five;
  int v = 10, which = 1, result = 0;
  CALL("apply", &result, &fn, &v);
  assert_int_equal(result, 15);
  int (*picked)(int) = NULL;
  CALL("pick", &picked, &which);
  assert_int_equal(picked(3), -3);
  gs_func *f = NULL;
  const gs_type *arg = gs_type_builtin("int32");
  void *addr;
  memcpy(&addr, &picked, sizeof(addr));
  assert_int_equal(gs_func_prepare(ffi, "picked", addr, arg, &arg, 1, 1, 0, &f, NULL), GS_OK);
  assert_int_equal(gs_ffi_call(f, &result, (void *[]){&v}, NULL), GS_OK);
  assert_int_equal(result, -10);
  gs_func_free(f);
}

/* ---- variadic functions ---- */

static gs_func *shape(const char *name, size_t n, const char *const *types) {
  const gs_type *extra[8];
  gs_func *f = NULL;
  gs_ffi_error err;
  for (size_t i = 0; i < n; i++)
    if (gs_ffi_type(ffi, types[i], &extra[i], &err) != GS_OK) fail_msg("%s", err.text);
  if (gs_func_variadic_shape(func(name), extra, n, &f, &err) != GS_OK) fail_msg("%s", err.text);
  return f;
}

#define SHAPE(name, ...) \
  shape(name, COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void test_variadic(void **state) {
  (void)state;
  int count = 0, sum = -1;
  assert_int_equal(gs_func_variadic(func("sum_variadic")), 1);
  assert_int_equal(gs_func_variadic(func("id_int")), 0);
  CALL("sum_variadic", &sum, &count);
  assert_int_equal(sum, 0);
  assert_ptr_equal(shape("sum_variadic", 0, NULL), func("sum_variadic"));

  gs_func *f = SHAPE("sum_variadic", "int", "short", "unsigned char");
  assert_int_equal(gs_func_nargs(f), 4);
  assert_string_equal(gs_type_name(gs_func_arg(f, 2)), "int");
  int a = 10, b = -20, c = 200;
  count = 3;
  assert_int_equal(gs_ffi_call(f, &sum, (void *[]){&count, &a, &b, &c}, NULL), GS_OK);
  assert_int_equal(sum, 190);
  assert_ptr_equal(SHAPE("sum_variadic", "int", "int", "bool"), f);
  assert_ptr_not_equal(SHAPE("sum_variadic", "int", "int"), f);

  f = SHAPE("sum_doubles", "double", "float");
  assert_string_equal(gs_type_name(gs_func_arg(f, 2)), "double");
  double x = 1.5, y = 2.25, total;
  count = 2;
  assert_int_equal(gs_ffi_call(f, &total, (void *[]){&count, &x, &y}, NULL), GS_OK);
  assert_true(total == 3.75);

  f = SHAPE("format", "const char *", "int", "double", "long");
  char buffer[64], *to = buffer;
  const char *how = "%s %d %.2f %ld", *text = "text";
  unsigned long size = sizeof(buffer);
  long big = -5000000000;
  int n = 0;
  assert_int_equal(gs_ffi_call(f, &n, (void *[]){&to, &size, &how, &text, &a, &x, &big}, NULL),
                   GS_OK);
  assert_string_equal(buffer, "text 10 1.50 -5000000000");
  assert_int_equal(n, strlen(buffer));
}

static void test_variadic_errors(void **state) {
  (void)state;
  gs_func *f = NULL;
  gs_ffi_error err;
  const gs_type *extra[] = {gs_type_builtin("int32"), NULL};
  assert_int_equal(gs_func_variadic_shape(func("id_int"), extra, 1, &f, &err), GS_ETYPE);
  assert_non_null(strstr(err.text, "'id_int' is not declared with '...'"));
  assert_int_equal(gs_func_variadic_shape(func("sum_variadic"), extra, 2, &f, &err), GS_EINVAL);
  assert_non_null(strstr(err.text, "further argument 2 is NULL"));
  assert_int_equal(gs_func_variadic_shape(func("sum_variadic"), extra, 300, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_variadic_shape(NULL, extra, 1, &f, &err), GS_EINVAL);
  extra[0] = gs_type_builtin("void");
  assert_int_equal(gs_func_variadic_shape(func("sum_variadic"), extra, 1, &f, &err), GS_ETYPE);
  assert_null(f);
}

/* ---- errno ---- */

static void test_errno(void **state) {
  (void)state;
  int value = ENOENT, saved = -1, ret = 0;
  errno = 0;
  assert_int_equal(gs_ffi_call(func("set_errno"), &ret, (void *[]){&value}, &saved), GS_OK);
  assert_int_equal(ret, -1);
  assert_int_equal(saved, ENOENT);
  /* It is 0 before each call, whatever the call before left. */
  errno = EBADF;
  assert_int_equal(gs_ffi_call(func("errno_at_entry"), &ret, NULL, &saved), GS_OK);
  assert_int_equal(ret, 0);
  assert_int_equal(saved, 0);
}

/* ---- preparing, and bad arguments ---- */

static void test_prepare(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_func *f = NULL;
  const gs_type *i32 = gs_type_builtin("int32"), *args[] = {i32, i32}, *none[] = {NULL};
  void *addr = NULL;
  assert_int_equal(gs_lib_symbol(lib, "id_int", &addr, &err), GS_OK);
  assert_int_equal(gs_func_prepare(ffi, "f", NULL, i32, args, 1, 1, 0, &f, &err), GS_EINVAL);
  assert_non_null(strstr(err.text, "the address of 'f' is NULL"));
  assert_int_equal(gs_func_prepare(ffi, "f", addr, NULL, args, 1, 1, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, NULL, 1, 1, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, none, 1, 1, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, args, 2, 0, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, args, 1, 2, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(NULL, "f", addr, i32, args, 1, 1, 0, &f, &err), GS_EINVAL);
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, args, 1, 1, 0, NULL, &err), GS_EINVAL);
  args[0] = gs_type_builtin("void");
  assert_int_equal(gs_func_prepare(ffi, "f", addr, i32, args, 1, 1, 0, &f, &err), GS_ETYPE);
  assert_non_null(strstr(err.text, "argument 1 of 'f' is void"));
  assert_null(f);
  args[0] = i32;
  assert_int_equal(gs_func_prepare(ffi, "mine", addr, i32, args, 1, 1, GS_SITE_BLOCKING, &f, &err),
                   GS_OK);
  assert_int_equal(gs_func_nargs(f), 1);
  assert_ptr_equal(gs_func_ret(f), i32);
  assert_null(gs_func_arg(f, 1));
  assert_int_equal(gs_func_set_hints(f, 0), GS_SITE_BLOCKING);
  assert_int_equal(gs_func_set_hints(f, GS_SITE_CRITICAL), 0);
  int v = 77, ret = 0;
  assert_int_equal(gs_ffi_call(f, &ret, (void *[]){&v}, NULL), GS_OK);
  assert_int_equal(ret, 77);
  gs_func_free(f);
  gs_func_free(NULL);
}

static void test_call_errors(void **state) {
  (void)state;
  int ret = 5;
  assert_int_equal(gs_ffi_call(NULL, &ret, NULL, NULL), GS_EINVAL);
  assert_int_equal(gs_ffi_call(func("id_int"), &ret, NULL, NULL), GS_EINVAL);
  assert_int_equal(ret, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_many_arguments),
      cmocka_unit_test(test_no_result),
      cmocka_unit_test(test_structs),
      cmocka_unit_test(test_structs_among_others),
      cmocka_unit_test(test_refused_types),
      cmocka_unit_test(test_function_pointers),
      cmocka_unit_test(test_variadic),
      cmocka_unit_test(test_variadic_errors),
      cmocka_unit_test(test_errno),
      cmocka_unit_test(test_prepare),
      cmocka_unit_test(test_call_errors),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
