/* callback.c: what goes in and out of callbacks: every type, both ways of making them.
 *
 * For each type a handler gets a value, holds it against what it expects, and gives back another
 * one; the compiler makes the call.  All of this runs without gs_run, so it also shows that the
 * first callback of a process boots the runtime.
 */
#include "support.h"

#include <stdbool.h>

#include "gosched_ffi.h"
#define HELPER_TEXT
#include "helper.h"

static gs_ffi *ffi;

static gs_callback *make(const char *ctype, gs_ffi_handler *handler, void *user) {
  gs_callback *cb = NULL;
  int e = gs_ffi_callback(ffi, ctype, handler, user, &cb);
  if (e != GS_OK) fail_msg("%s: %s", ctype, gs_error_detail());
  return cb;
}

/* As a function of that type: result, and the arguments'. */
#define FUNCTION(cb, result, ...) ((result(*)(__VA_ARGS__))(uintptr_t)gs_callback_code(cb))

/* ---- one value in, one out ---- */

typedef struct expected {
  const void *in, *out;
  size_t size;
  int calls;
} expected;

static int exchange(void *ret, void *const *args, void *user) {
  expected *x = user;
  CHECK(memcmp(args[0], x->in, x->size) == 0);
  memcpy(ret, x->out, x->size);
  x->calls++;
  return 0;
}

/* size: of the value's bytes that mean something. */
#define EXCHANGE_SIZE(ctype, bytes, from, to)                        \
  do {                                                               \
    ctype in = from, out = to;                                       \
    expected x = {&in, &out, bytes, 0};                              \
    gs_callback *cb = make(#ctype " (*)(" #ctype ")", exchange, &x); \
    for (int i = 1; i <= 3; i++) {                                   \
      ctype got = FUNCTION(cb, ctype, ctype)(in);                    \
      assert_memory_equal(&got, &out, bytes);                        \
      assert_int_equal(x.calls, i);                                  \
    }                                                                \
    gs_callback_free(cb);                                            \
  } while (0)
#define EXCHANGE(ctype, from, to) EXCHANGE_SIZE(ctype, sizeof(ctype), from, to)
/* In parentheses, which macros see as one argument. */
#define V(type, ...) ((type){__VA_ARGS__})

static void test_scalars(void **state) {
  (void)state;
  EXCHANGE(_Bool, true, false);
  EXCHANGE(_Bool, false, true);
  EXCHANGE(char, 'a', -3);
  EXCHANGE(signed char, -128, -1);
  EXCHANGE(unsigned char, 255, 128);
  EXCHANGE(short, -32768, -2);
  EXCHANGE(unsigned short, 65535, 32768);
  EXCHANGE(int, -2147483647, -5);
  EXCHANGE(unsigned, 4294967295u, 2147483648u);
  EXCHANGE(long, -9e18, 9e18);
  EXCHANGE(unsigned long, ~0ul, 1ul << 63);
  EXCHANGE(long long, -7, 1ll << 62);
  EXCHANGE(unsigned long long, 3, ~0ull);
  EXCHANGE(int8_t, -7, -8);
  EXCHANGE(uint16_t, 40000, 50000);
  EXCHANGE(float, 1.5f, -0.1f);
  EXCHANGE(double, -1e300, 0.1);
  EXCHANGE_SIZE(long double, 10, 1.0l / 3, -2.0l / 7);
  EXCHANGE(enum color, BLUE, GREEN);
  EXCHANGE(enum level, LOW, HIGH);
  EXCHANGE(enum level, HIGH, LOW);
}

static void test_pointers(void **state) {
  (void)state;
  static int a, b;
  expected x = {.in = &(void *){&a}, .out = &(void *){&b}, .size = sizeof(void *)};
  gs_callback *cb = make("const void *(*)(struct unknown *)", exchange, &x);
  assert_ptr_equal(FUNCTION(cb, void *, void *)(&a), &b);
  gs_callback_free(cb);
  typedef int (*function)(int);
  x = (expected){.in = &(function){abs}, .out = &(function){NULL}, .size = sizeof(function)};
  cb = make("int (*(*)(int (*)(int)))(int)", exchange, &x);
  assert_null(FUNCTION(cb, function, function)(abs));
  gs_callback_free(cb);
}

static void test_structs(void **state) {
  (void)state;
  EXCHANGE(struct small, V(struct small, 'x'), V(struct small, 'y'));
  EXCHANGE(struct three, V(struct three, "ab"), V(struct three, "cd"));
  EXCHANGE(struct pair, V(struct pair, 1, -2), V(struct pair, -3, 4));
  EXCHANGE(struct point, V(struct point, 1.5, -2.5), V(struct point, 3.5, 0.1));
  EXCHANGE(struct vec3, V(struct vec3, 1, 2, 3), V(struct vec3, 4, 5, 6));
  EXCHANGE(struct vec4, V(struct vec4, {1, 2, 3, 4}), V(struct vec4, {5, 6, 7, 8}));
  EXCHANGE(struct words, V(struct words, -1, 1l << 60), V(struct words, 7, 8));
  EXCHANGE(struct huge, V(struct huge, {1, 2, 3, [999] = 4}),
           V(struct huge, {9, [500] = 8, [999] = 7}));
  EXCHANGE(union number, V(union number, .d = 2.25), V(union number, .d = -7));
  EXCHANGE(union floats, V(union floats, .v = {1, 2, 3}), V(union floats, .v = {4, 5, 6}));
  EXCHANGE(rgba, V(rgba, 1, 2, 3, 4), V(rgba, 250, 251, 252, 253));
  EXCHANGE_SIZE(struct wide, 10, V(struct wide, 1.0l / 3), V(struct wide, 2.0l / 3));
}

/* Those with padding, which need not travel. */
static int next_handler(void *ret, void *const *args, void *user) {
  (void)user;
  const struct mixed *m = args[0];
  const struct large *l = args[1];
  const struct nested *n = args[2];
  struct odd o = *(const struct odd *)args[3];
  const struct float_int *f = args[4];
  struct mixed sum = {m->i + (int)l->a[4] + l->c[6] + n->p.y + n->in.s + o.i + o.d + f->i,
                      m->d + l->b + (double)n->in.f + (double)f->f};
  *(struct mixed *)ret = sum;
  return 0;
}

static void test_structs_with_padding(void **state) {
  (void)state;
  gs_callback *cb = make(
      "struct mixed (*)(struct mixed, struct large, struct nested, struct odd, struct float_int)",
      next_handler, NULL);
  struct mixed m = FUNCTION(cb, struct mixed, struct mixed, struct large, struct nested, struct odd,
                            struct float_int)(
      (struct mixed){1, 0.5}, (struct large){{0, 0, 0, 0, 20}, 0.25, "123456"},
      (struct nested){{0, 300}, {0.125f, 4000}}, (struct odd){1, 2, 50000, 6},
      (struct float_int){0.0625f, 700000});
  assert_int_equal(m.i, 1 + 20 + 300 + 4000 + 50000 + 6 + 700000);
  assert_true(m.d == 0.5 + 0.25 + 0.125 + 0.0625);
  gs_callback_free(cb);
}

/* ---- many arguments, in registers and beyond ---- */

static int mixed_handler(void *ret, void *const *args, void *user) {
  (void)user;
  double sum = *(const int *)args[0] + *(const double *)args[1] + (double)*(const long *)args[2] +
               (double)*(const float *)args[3] + *(const short *)args[4] +
               *(const double *)args[5] + (double)*(const long long *)args[6] +
               (double)*(const float *)args[7] + *(const unsigned char *)args[8] +
               *(const double *)args[9] + *(const int *)args[10] + *(const double *)args[11] +
               (double)*(const long *)args[12] + *(const double *)args[13] +
               *(const int *)args[14] + *(const double *)args[15] + *(const unsigned *)args[16] +
               (double)*(const float *)args[17];
  *(double *)ret = sum;
  return 0;
}

static int register_handler(void *ret, void *const *args, void *user) {
  double sum = 0;
  const char *kinds = user;
  for (int i = 0; kinds[i]; i++) switch (kinds[i]) {
      case 'c': sum += (i + 1) * *(const signed char *)args[i]; break;
      case 's': sum += (i + 1) * *(const short *)args[i]; break;
      case 'i': sum += (i + 1) * *(const int *)args[i]; break;
      case 'u': sum += (i + 1) * (double)*(const unsigned *)args[i]; break;
      case 'l': sum += (i + 1) * (double)*(const long *)args[i]; break;
      case 'f': sum += (i + 1) * (double)*(const float *)args[i]; break;
      default: sum += (i + 1) * *(const double *)args[i]; break;
    }
  *(double *)ret = sum;
  return 0;
}

static void test_many_arguments(void **state) {
  (void)state;
  gs_callback *cb = make(
      "double (*)(int, double, long, float, short, double, long long, float, unsigned char, double,"
      " int, double, long, double, int, double, unsigned, float)",
      mixed_handler, NULL);
  assert_true(((__typeof__(add_mixed) *)(uintptr_t)gs_callback_code(cb))(
                  1, 2.5, 3, 4.5f, -5, 6.5, 7, 8.5f, 9, 10.5, 11, 12.5, 13, 14.5, 15, 16.5, 17,
                  18.5f) == 165.5);
  gs_callback_free(cb);

  cb = make(
      "double (*)(double, signed char, float, short, int, double, unsigned, long, double,"
      " float, int, double, float, double)",
      register_handler, "dcfsidulDfidfd");
  typedef double all(double, signed char, float, short, int, double, unsigned, long, double, float,
                     int, double, float, double);
  double got = ((all *)(uintptr_t)gs_callback_code(cb))(0.5, -1, 1.5f, -2, -3, 2.5, 4, -5, 3.5,
                                                        4.5f, -6, 5.5, 6.5f, 7.5);
  assert_true(got == 0.5 - 2 + 4.5 - 8 - 15 + 15 + 28 - 40 + 31.5 + 45 - 66 + 66 + 84.5 + 105);
  gs_callback_free(cb);
}

static int nothing_handler(void *ret, void *const *args, void *user) {
  (void)ret, (void)args;
  ++*(int *)user;
  return 0;
}

static void test_nothing(void **state) {
  (void)state;
  int n = 0;
  gs_callback *cb = make("void(void)", nothing_handler, &n); /* a function, not a pointer to one */
  FUNCTION(cb, void, void)();
  FUNCTION(cb, void, void)();
  assert_int_equal(n, 2);
  gs_callback_free(cb);
  assert_int_equal(gs_ffi_cdef(ffi, "typedef void notify(void); typedef notify *notify_ptr;", NULL),
                   GS_OK);
  cb = make("notify", nothing_handler, &n);
  FUNCTION(cb, void, void)();
  gs_callback_free(cb);
  cb = make("notify_ptr", nothing_handler, &n);
  FUNCTION(cb, void, void)();
  gs_callback_free(cb);
  assert_int_equal(n, 4);
}

/* Room for the result is zeroed, and what is left of it is nobody's. */
static int untouched_handler(void *ret, void *const *args, void *user) {
  (void)ret, (void)args, (void)user;
  return 0;
}

static void test_result_is_zeroed(void **state) {
  (void)state;
  gs_callback *cb = make("short(void)", untouched_handler, NULL);
  assert_int_equal(FUNCTION(cb, short, void)(), 0);
  gs_callback_free(cb);
  cb = make("struct huge(void)", untouched_handler, NULL);
  struct huge zero, got = FUNCTION(cb, struct huge, void)();
  memset(&zero, 0, sizeof(zero));
  assert_memory_equal(&got, &zero, sizeof(zero));
  gs_callback_free(cb);
  cb = make("long double(void)", untouched_handler, NULL);
  assert_true(FUNCTION(cb, long double, void)() == 0);
  gs_callback_free(cb);
}

/* A narrow result is widened by its sign, for compilers that rely on it. */
static int minus_two(void *ret, void *const *args, void *user) {
  (void)args;
  memset(ret, 0xfe, *(size_t *)user);
  return 0;
}

static void test_results_are_widened(void **state) {
  (void)state;
  size_t one = 1, two = 2;
  gs_callback *cb = make("signed char(void)", minus_two, &one);
  assert_int_equal(FUNCTION(cb, int, void)(), -2);
  gs_callback_free(cb);
  cb = make("unsigned char(void)", minus_two, &one);
  assert_int_equal(FUNCTION(cb, int, void)(), 0xfe);
  gs_callback_free(cb);
  cb = make("short(void)", minus_two, &two);
  assert_int_equal(FUNCTION(cb, int, void)(), (short)0xfefe);
  gs_callback_free(cb);
  cb = make("unsigned short(void)", minus_two, &two);
  assert_int_equal(FUNCTION(cb, int, void)(), 0xfefe);
  gs_callback_free(cb);
}

/* ---- errno goes both ways ---- */

static int errno_handler(void *ret, void *const *args, void *user) {
  (void)args, (void)user;
  *(int *)ret = errno;
  errno = EDOM;
  return 0;
}

static void test_errno(void **state) {
  (void)state;
  gs_callback *cb = make("int(void)", errno_handler, NULL);
  for (int i = 0; i < 3; i++) {
    errno = ERANGE;
    int seen = FUNCTION(cb, int, void)(), after = errno;
    assert_int_equal(seen, ERANGE);
    assert_int_equal(after, EDOM);
  }
  gs_callback_free(cb);
}

/* ---- what cannot be ---- */

static void refused(const char *ctype, int code, const char *why) {
  gs_callback *cb = NULL;
  assert_int_equal(gs_ffi_callback(ffi, ctype, nothing_handler, NULL, &cb), code);
  assert_null(cb);
  if (!strstr(gs_error_detail(), why)) fail_msg("%s: %s", ctype, gs_error_detail());
}

static void test_refused(void **state) {
  (void)state;
  refused("int", GS_ETYPE, "'int' is not a function type");
  refused("struct pair *", GS_ETYPE, "is not a function type");
  refused("int (**)(void)", GS_ETYPE, "is not a function type");
  refused("int (*)(const char *, ...)", GS_ETYPE, "takes '...'");
  refused("int (*)(struct unknown)", GS_ETYPE, "argument 1: 'struct unknown' is not defined");
  refused("struct unknown (*)(void)", GS_ETYPE, "the result: 'struct unknown' is not defined");
  refused("int (*)(int", GS_EDECL, "expected");
  refused("int (*)(nonsense)", GS_EDECL, "nonsense");
  gs_callback *cb = NULL;
  const gs_type *type = NULL;
  gs_ffi_error err = {.code = 0};
  assert_int_equal(gs_ffi_callback(NULL, "void(void)", nothing_handler, NULL, &cb), GS_EINVAL);
  assert_int_equal(gs_ffi_callback(ffi, NULL, nothing_handler, NULL, &cb), GS_EINVAL);
  assert_int_equal(gs_ffi_callback(ffi, "void(void)", NULL, NULL, &cb), GS_EINVAL);
  assert_string_equal(gs_error_detail(), "gs_ffi_callback: handler is NULL");
  assert_int_equal(gs_ffi_callback(ffi, "void(void)", nothing_handler, NULL, NULL), GS_EINVAL);
  assert_int_equal(gs_ffi_type(ffi, "void(void)", &type, NULL), GS_OK);
  assert_int_equal(gs_callback_prepare(ffi, "x", NULL, nothing_handler, NULL, &cb, &err),
                   GS_EINVAL);
  assert_string_equal(err.text, "type is NULL");
  assert_int_equal(gs_callback_prepare(ffi, NULL, type, nothing_handler, NULL, &cb, &err), GS_OK);
  gs_callback_free(cb);
  gs_callback_free(NULL);
  gs_callback_on_error(NULL, NULL);
  gs_callback_on_free(NULL, NULL);
  assert_null(gs_callback_code(NULL));
  assert_int_equal(gs_callback_set_default(NULL, NULL), GS_EINVAL);
}

static int setup(void **state) {
  (void)state;
  ffi = gs_ffi_new();
  return gs_ffi_cdef(ffi, helper_text, NULL);
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  assert_int_equal(checks_failed(), 0);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_pointers),
      cmocka_unit_test(test_structs),
      cmocka_unit_test(test_structs_with_padding),
      cmocka_unit_test(test_many_arguments),
      cmocka_unit_test(test_nothing),
      cmocka_unit_test(test_result_is_zeroed),
      cmocka_unit_test(test_results_are_widened),
      cmocka_unit_test(test_errno),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
