/* values.c: scenarios that are about the values of arguments and results: narrow integers in wide
 * registers, denormals, text, pointers of all bits.
 *
 * Each test runs twice, on a green thread and on a thread without one; so they use CHECK.
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
  if (gs_ffi_func(lib, name, &f, &err) != GS_OK) fprintf(stderr, "%s\n", err.text);
  CHECK(f != NULL);
  return f;
}

#define CALL(f, ret, ...) CHECK_CODE(gs_ffi_call((f), (ret), (void *[]){__VA_ARGS__}, NULL), GS_OK)

/* Runs body on a green thread, and then in place. */
static void both(body_fn body) {
  int before = checks_failed();
  run_procs(2, body, NULL);
  body(NULL);
  assert_int_equal(checks_failed(), before);
}

/* ---- narrow integers ---- */

/* The function of one word, declared as one of another type. */
static gs_func *redeclared(const char *symbol, const char *form, const char *type) {
  gs_ffi *f = ffi;
  char name[64], text[256], declared[128];
  gs_ffi_error err;
  snprintf(name, sizeof(name), "%s_%s", symbol, type);
  for (char *c = name; *c; c++)
    if (*c == ' ') *c = '_';
  if (gs_ffi_find(f, name)) return func(name);
  snprintf(declared, sizeof(declared), form, type, name);
  snprintf(text, sizeof(text), "%s asm(\"%s\");", declared, symbol);
  if (gs_ffi_cdef(f, text, &err) != GS_OK) fprintf(stderr, "%s\n%s\n", text, err.text);
  return func(name);
}

static const uint64_t words[] = {0,
                                 1,
                                 UINT64_MAX,
                                 0xdeadbeefcafe8081,
                                 0xdeadbeefcafe7f7f,
                                 0x8000000080008080,
                                 0x7fffffff7fff7f7f,
                                 0x0123456789abcdef};

/* Of the register that a result is in, only what the type covers counts. */
#define DIRTY_RESULT(type)                                             \
  do {                                                                 \
    gs_func *f = redeclared("whole_result", "%s %s(uint64_t)", #type); \
    for (size_t i = 0; i < COUNT(words); i++) {                        \
      struct {                                                         \
        unsigned char before[8];                                       \
        type value;                                                    \
        unsigned char after[8];                                        \
      } room;                                                          \
      uint64_t word = words[i];                                        \
      memset(&room, 0xA5, sizeof(room));                               \
      CALL(f, &room.value, &word);                                     \
      CHECK(room.value == (type)word);                                 \
      for (int k = 0; k < 8; k++) CHECK(room.before[k] == 0xA5);       \
      for (int k = 0; k < 8; k++) CHECK(room.after[k] == 0xA5);        \
    }                                                                  \
  } while (0)

static void dirty_results(void *arg) {
  (void)arg;
  DIRTY_RESULT(signed char);
  DIRTY_RESULT(unsigned char);
  DIRTY_RESULT(char);
  DIRTY_RESULT(short);
  DIRTY_RESULT(unsigned short);
  DIRTY_RESULT(int);
  DIRTY_RESULT(unsigned);
  DIRTY_RESULT(long);
  DIRTY_RESULT(unsigned long);
  DIRTY_RESULT(int8_t);
  DIRTY_RESULT(uint16_t);
  DIRTY_RESULT(int32_t);
}

static void test_dirty_results(void **state) {
  (void)state;
  both(dirty_results);
}

/* Compilers rely on a narrow argument being widened to 32 bits by its own sign. */
#define WIDENED(type, wide)                                                                   \
  do {                                                                                        \
    gs_func *f = redeclared("whole_argument", "uint64_t %2$s(%1$s)", #type);                  \
    gs_func *g = redeclared("whole_third", "uint64_t %2$s(double, int, %1$s, float)", #type); \
    for (size_t i = 0; i < COUNT(words); i++) {                                               \
      type v = (type)words[i];                                                                \
      uint64_t seen = 0;                                                                      \
      double a = 1.5;                                                                         \
      int b = -2;                                                                             \
      float c = 2.5f;                                                                         \
      CALL(f, &seen, &v);                                                                     \
      CHECK((wide)seen == (wide)v);                                                           \
      CALL(g, &seen, &a, &b, &v, &c);                                                         \
      CHECK((wide)seen == (wide)v);                                                           \
    }                                                                                         \
  } while (0)

static void widened(void *arg) {
  (void)arg;
  WIDENED(signed char, int32_t);
  WIDENED(unsigned char, uint32_t);
  WIDENED(short, int32_t);
  WIDENED(unsigned short, uint32_t);
  WIDENED(int, int32_t);
  WIDENED(unsigned, uint32_t);
  WIDENED(_Bool, uint32_t);
  WIDENED(long, int64_t);
}

static void test_widened_arguments(void **state) {
  (void)state;
  both(widened);
}

static void sums(void *arg) {
  (void)arg;
  gs_func *add = func("add_narrow"), *negative = func("all_negative");
  int step = SLOW_BUILD ? 41 : 13, sum = 0;
  for (int i = -127; i <= 120; i += step)
    for (int j = -30000; j <= 30000; j += 10000)
      for (int k = 0; k <= 200; k += 40)
        for (int l = 0; l <= 60000; l += 20000) {
          signed char a = (signed char)i;
          short b = (short)j;
          unsigned char c = (unsigned char)k;
          unsigned short d = (unsigned short)l;
          CALL(add, &sum, &a, &b, &c, &d);
          CHECK_INT(sum, i + j + k + l);
        }
  int a = -6, is = 0;
  short b = -12;
  signed char c = -1;
  CALL(negative, &is, &a, &b, &c);
  CHECK_INT(is, 1);
  c = 0;
  CALL(negative, &is, &a, &b, &c);
  CHECK_INT(is, 0);
  unsigned char e = 0xfe;
  unsigned short f = 0xfedc;
  unsigned g = 0xfedcba98, mixed = 0;
  unsigned long h = 0xfedcba9876543210;
  CALL(func("mixed_up"), &mixed, &e, &f, &g, &h);
  CHECK(mixed == mixed_up(e, f, g, h));
}

static void test_sums(void **state) {
  (void)state;
  both(sums);
}

/* ---- text ---- */

static void texts(void *arg) {
  (void)arg;
  static const char *const some[] = {"", "a", "1234567", "1234567890123456789012345"};
  for (size_t i = 0; i < COUNT(some); i++) {
    const char *s = some[i];
    int n = (int)strlen(s), got = -1, more = 7;
    unsigned size = 99;
    float f = 2.75f;
    CALL(func("length"), &size, &s);
    CHECK_INT(size, n);
    CALL(func("length_float"), &got, &s, &f);
    CHECK_INT(got, n + 2);
    CALL(func("float_length"), &got, &f, &s);
    CHECK_INT(got, n + 2);
    CALL(func("float_length_int"), &got, &f, &s, &more);
    CHECK_INT(got, n + 2 + 7);
  }
}

static void test_texts(void **state) {
  (void)state;
  both(texts);
}

static gs_func *shape(const char *name, size_t n, const char *const *types) {
  const gs_type *extra[20];
  gs_func *f = NULL;
  gs_ffi_error err;
  for (size_t i = 0; i < n; i++) CHECK_CODE(gs_ffi_type(ffi, types[i], &extra[i], &err), GS_OK);
  CHECK_CODE(gs_func_variadic_shape(func(name), extra, n, &f, &err), GS_OK);
  return f;
}

#define SHAPE(name, ...) \
  shape(name, COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void variadic(void *arg) {
  (void)arg;
  char text[100];
  char *to = text;
  size_t size = sizeof(text);
  int n = 0;
  const char *how = "%.1f|%.2f|%d|%s|%ld|%c|%Lf";
  double a = 7, b = -0.125;
  int c = INT_MIN;
  const char *d = "text";
  long e = LONG_MAX;
  int f = 'x';
  long double g = 1e20L;
  gs_func *print =
      SHAPE("text_of", "double", "float", "short", "const char *", "long", "char", "long double");
  CALL(print, &n, &to, &size, &how, &a, &b, &c, &d, &e, &f, &g);
  CHECK_INT(n, strlen(text));
  CHECK(strcmp(text,
               "7.0|-0.12|-2147483648|text|9223372036854775807|x|100000000000000000000."
               "000000") == 0);

  unsigned count = 0;
  double first = 2, sum = 0, extra[12];
  CALL(func("sum_of"), &sum, &count, &first);
  CHECK(sum == 2);
  for (unsigned i = 0; i < COUNT(extra); i++) extra[i] = i + 0.5;
  const char *types[COUNT(extra)];
  void *args[2 + COUNT(extra)] = {&count, &first};
  for (size_t i = 0; i < COUNT(extra); i++) types[i] = i % 2 ? "double" : "float";
  double want = first;
  for (count = 1; count <= COUNT(extra); count++) {
    args[1 + count] = &extra[count - 1];
    want += extra[count - 1];
    gs_func *f_sum = shape("sum_of", count, types);
    CHECK_CODE(gs_ffi_call(f_sum, &sum, args, NULL), GS_OK);
    CHECK(sum == want + count);
  }
}

static void test_variadic(void **state) {
  (void)state;
  both(variadic);
}

/* ---- floating point that arithmetic would change ---- */

static float same_float(float v) { return v; }
static double same_double(double v) { return v; }
static long double same_wide(long double v) { return v; }

static gs_func *prepare(const char *type, void (*fn)(void)) {
  const gs_type *t = gs_type_builtin(type);
  gs_func *f = NULL;
  void *addr;
  memcpy(&addr, &fn, sizeof(addr));
  CHECK_CODE(gs_func_prepare(ffi, type, addr, t, &t, 1, 1, 0, &f, NULL), GS_OK);
  return f;
}

#define SAME_BITS(type, name, bytes, fn, ...)                    \
  do {                                                           \
    gs_func *f = prepare(name, (void (*)(void))(fn));            \
    type all[] = {__VA_ARGS__};                                  \
    for (size_t i = 0; i < COUNT(all); i++) {                    \
      struct {                                                   \
        type value;                                              \
        unsigned char after[16];                                 \
      } room;                                                    \
      memset(&room, 0xA5, sizeof(room));                         \
      CALL(f, &room.value, &all[i]);                             \
      CHECK(memcmp(&room.value, &all[i], bytes) == 0);           \
      for (int k = 0; k < 16; k++) CHECK(room.after[k] == 0xA5); \
    }                                                            \
    gs_func_free(f);                                             \
  } while (0)

static void special_floats(void *arg) {
  (void)arg;
  SAME_BITS(float, "float", 4, same_float, 0.0f, -0.0f, FLT_MIN / 2, FLT_TRUE_MIN, FLT_MAX,
            INFINITY, -INFINITY, NAN);
  SAME_BITS(double, "double", 8, same_double, 0.0, -0.0, DBL_MIN / 2, DBL_TRUE_MIN, DBL_MAX,
            (double)INFINITY, (double)NAN);
  SAME_BITS(long double, "longdouble", LDBL_MANT_DIG == 64 ? 10 : sizeof(long double), same_wide,
            0.0L, -0.0L, LDBL_MIN / 2, LDBL_TRUE_MIN, LDBL_MAX, 1.0L / 3, (long double)INFINITY);
}

static void test_special_floats(void **state) {
  (void)state;
  both(special_floats);
}

/* ---- pointers, functions, frames ---- */

static void pointers(void *arg) {
  (void)arg;
  const void *a = (const void *)(uintptr_t)0x123456789abcdef0, *b = (const void *)~(uintptr_t)0xf;
  void *sum = NULL;
  int depth = 20;
  CALL(func("add_pointers"), &sum, &a, &b);
  CHECK(sum == (void *)(uintptr_t)0x123456789abcdee0);
  CALL(func("add_pointers_deep"), &sum, &a, &b, &depth);
  CHECK(sum == (void *)(uintptr_t)0x123456789abcdee0);
}

static void test_pointers(void **state) {
  (void)state;
  both(pointers);
}

static atomic_int calls_of_then;

static void then(void) { atomic_fetch_add(&calls_of_then, 1); }

static void struct_and_function(void *arg) {
  (void)arg;
  struct between v = {5, {7.75, 8.5}, 255}, next;
  void (*fn)(void) = then;
  int before = atomic_load(&calls_of_then);
  memset(&next, 0, sizeof(next));
  CALL(func("next_between"), &next, &v, &fn);
  CHECK_INT(atomic_load(&calls_of_then), before + 1);
  CHECK_INT(next.first, 6);
  CHECK_INT(next.last, 0);
  CHECK(next.two[0] == 8.75 && next.two[1] == 9.5);
}

static void test_struct_and_function(void **state) {
  (void)state;
  both(struct_and_function);
}

/* An unwinder that starts in the C function finds its way to the end of the stack. */
static void unwinding(void *arg) {
  (void)arg;
  int n = 0;
  CALL(func("frames"), &n);
  CHECK(n >= 3 && n < 1000);
}

static void test_unwinding(void **state) {
  (void)state;
  both(unwinding);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dirty_results), cmocka_unit_test(test_widened_arguments),
      cmocka_unit_test(test_sums),          cmocka_unit_test(test_texts),
      cmocka_unit_test(test_variadic),      cmocka_unit_test(test_special_floats),
      cmocka_unit_test(test_pointers),      cmocka_unit_test(test_struct_and_function),
      cmocka_unit_test(test_unwinding),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
