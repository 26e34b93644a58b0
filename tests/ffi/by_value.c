/* by_value.c: what is passed by value, in every place that an ABI has for it.
 *
 * Each type is declared twice, for the compiler and for gs_ffi_cdef.  Functions
 * of five shapes put it first, behind other arguments, where only one register is left, and on the
 * stack, and give it back.  Each is called by the compiler and through gs_ffi_call with the same
 * random bytes; what the function saw and what it returned must be the same in all places that
 * are not padding, for which every member is set and compared through a copy in C.
 *
 * What libffi cannot be told is refused where GOSCHED_FFI=libffi sends everything there (the same
 * program runs that way, too).
 */
#include <complex.h>
#include <stdbool.h>
#include <string.h>

#include "support.h"

#include "gosched_ffi.h"

static gs_ffi *ffi;

/* What libffi cannot pass is passed without it on amd64, and in part on arm64. */
static bool may_be_refused(bool *must) {
  const char *way = getenv("GOSCHED_FFI");
  *must = way && strcmp(way, "libffi") == 0;
#if defined(__x86_64__)
  return *must;
#else
  return true;
#endif
}

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t rnd(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static const gs_type *type_of(const char *name) {
  const gs_type *t = NULL;
  gs_ffi_error err;
  if (gs_ffi_type(ffi, name, &t, &err) != GS_OK) fail_msg("%s: %s", name, err.text);
  return t;
}

static gs_func *prepare(void *addr, const char *result, const char *const *types, size_t n,
                        const char *says) {
  const gs_type *args[20];
  gs_func *f = NULL;
  gs_ffi_error err;
  for (size_t i = 0; i < n; i++) args[i] = type_of(types[i]);
  int e = gs_func_prepare(ffi, "fn", addr, type_of(result), args, n, n, 0, &f, &err);
  bool must;
  if (says && may_be_refused(&must) && (must || e != GS_OK)) {
    assert_int_equal(e, GS_ETYPE);
    if (!strstr(err.text, says)) fail_msg("%s\n  expected ...%s...", err.text, says);
    return NULL;
  }
  if (e != GS_OK) fail_msg("%s: %s", result, err.text);
  return f;
}

#define ADDRESS(fn) ((void *)(uintptr_t)(fn))

/* What the functions leave of their arguments, besides the result. */
static double others;

/* Five places for a T.  `bump` changes the value that is given back. */
#define PLACES(T, bump)                                                                            \
  static T T##_first(T v) {                                                                        \
    others = 1;                                                                                    \
    bump;                                                                                          \
    return v;                                                                                      \
  }                                                                                                \
  static T T##_behind(int a, double b, T v, char c) {                                              \
    others = a + b + c;                                                                            \
    bump;                                                                                          \
    return v;                                                                                      \
  }                                                                                                \
  static T T##_last_general(long a, long b, long c, long d, T v, long e, long f) {                 \
    others = (double)(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f);                                  \
    bump;                                                                                          \
    return v;                                                                                      \
  }                                                                                                \
  static T T##_last_vector(double a, double b, double c, double d, double e, double f, double g,   \
                           T v, float h, float i) {                                                \
    others = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * (double)h + 9 * (double)i;    \
    bump;                                                                                          \
    return v;                                                                                      \
  }                                                                                                \
  static T T##_on_stack(long a, long b, long c, long d, long e, long f, char g, T v, short h, T w, \
                        float i) {                                                                 \
    others = (double)(a + b + c + d + e + f + g + h) + (double)i;                                  \
    (void)w;                                                                                       \
    bump;                                                                                          \
    return v;                                                                                      \
  }

#define SAME_OR_FAIL(T, place)                                                         \
  do {                                                                                 \
    if (memcmp(&got, &want, sizeof(T)) != 0) fail_msg(#T ", " place ": other result"); \
    assert_true(others == expected);                                                   \
    assert_memory_equal(guard, unspoilt, sizeof(guard));                               \
    assert_int_equal(e, 0);                                                            \
  } while (0)

/* `fill` sets every member of v and nothing of its padding, which is zero. */
#define TRY(T, says, fill)                                                                        \
  static void test_##T(void **state) {                                                            \
    (void)state;                                                                                  \
    const char *const one[] = {#T};                                                               \
    const char *const two[] = {"int", "double", #T, "char"};                                      \
    const char *const three[] = {"long", "long", "long", "long", #T, "long", "long"};             \
    const char *const four[] = {"double", "double", "double", "double", "double",                 \
                                "double", "double", #T,       "float",  "float"};                 \
    const char *const five[] = {"long", "long", "long",  "long", "long", "long",                  \
                                "char", #T,     "short", #T,     "float"};                        \
    gs_func *f1 = prepare(ADDRESS(T##_first), #T, one, COUNT(one), says);                         \
    if (!f1) return;                                                                              \
    gs_func *f2 = prepare(ADDRESS(T##_behind), #T, two, COUNT(two), says);                        \
    gs_func *f3 = prepare(ADDRESS(T##_last_general), #T, three, COUNT(three), says);              \
    gs_func *f4 = prepare(ADDRESS(T##_last_vector), #T, four, COUNT(four), says);                 \
    gs_func *f5 = prepare(ADDRESS(T##_on_stack), #T, five, COUNT(five), says);                    \
    for (int round = 0; round < 50; round++) {                                                    \
      struct {                                                                                    \
        T v;                                                                                      \
        unsigned char guard[16];                                                                  \
      } room;                                                                                     \
      unsigned char unspoilt[16], guard[16];                                                      \
      T v, want, got;                                                                             \
      memset(&v, 0, sizeof(v));                                                                   \
      memset(unspoilt, 0x5a, sizeof(unspoilt));                                                   \
      fill;                                                                                       \
      long n[6];                                                                                  \
      double x[7];                                                                                \
      float y = 0.5f, z = -2;                                                                     \
      int a = -7, e;                                                                              \
      char c = 'c';                                                                               \
      short s = -300;                                                                             \
      double expected;                                                                            \
      for (int k = 0; k < 6; k++) n[k] = (long)(rnd() % 100000);                                  \
      for (int k = 0; k < 7; k++) x[k] = (double)(rnd() % 1000) / 4;                              \
      CALL_BOTH(T, "first", f1, T##_first(v), &v);                                                \
      CALL_BOTH(T, "behind others", f2, T##_behind(a, x[0], v, c), &a, &x[0], &v, &c);            \
      CALL_BOTH(T, "with the last general registers", f3,                                         \
                T##_last_general(n[0], n[1], n[2], n[3], v, n[4], n[5]), &n[0], &n[1], &n[2],     \
                &n[3], &v, &n[4], &n[5]);                                                         \
      CALL_BOTH(T, "with the last vector registers", f4,                                          \
                T##_last_vector(x[0], x[1], x[2], x[3], x[4], x[5], x[6], v, y, z), &x[0], &x[1], \
                &x[2], &x[3], &x[4], &x[5], &x[6], &v, &y, &z);                                   \
      CALL_BOTH(T, "on the stack", f5,                                                            \
                T##_on_stack(n[0], n[1], n[2], n[3], n[4], n[5], c, v, s, v, y), &n[0], &n[1],    \
                &n[2], &n[3], &n[4], &n[5], &c, &v, &s, &v, &y);                                  \
    }                                                                                             \
    gs_func_free(f1);                                                                             \
    gs_func_free(f2);                                                                             \
    gs_func_free(f3);                                                                             \
    gs_func_free(f4);                                                                             \
    gs_func_free(f5);                                                                             \
  }

/* What is not a member is not compared: both results go through copy_T into zeroed ones. */
#define CALL_BOTH(T, place, f, direct, ...)                                        \
  do {                                                                             \
    T result = direct;                                                             \
    expected = others;                                                             \
    memset(&want, 0, sizeof(want));                                                \
    copy_##T(&want, &result);                                                      \
    others = 0;                                                                    \
    memset(&room, 0x5a, sizeof(room));                                             \
    assert_int_equal(gs_ffi_call(f, &room.v, (void *[]){__VA_ARGS__}, &e), GS_OK); \
    memset(&got, 0, sizeof(got));                                                  \
    copy_##T(&got, &room.v);                                                       \
    memcpy(guard, room.guard, sizeof(guard));                                      \
    SAME_OR_FAIL(T, place);                                                        \
  } while (0)

#define NO_TEXT NULL

/* ---- bytes: sizes 1 to 24, so that every tail of a word is there ---- */

#define BYTES(n)                                                                 \
  typedef struct {                                                               \
    unsigned char b[n];                                                          \
  } bytes##n;                                                                    \
  PLACES(bytes##n, v.b[n - 1] ^= 0x55)                                           \
  static void copy_bytes##n(bytes##n *to, const bytes##n *from) { *to = *from; } \
  TRY(bytes##n, NO_TEXT, for (int k = 0; k < n; k++) v.b[k] = (unsigned char)rnd())

BYTES(1)
BYTES(2)
BYTES(3)
BYTES(4)
BYTES(5)
BYTES(6)
BYTES(7)
BYTES(8)
BYTES(9)
BYTES(10)
BYTES(11)
BYTES(12)
BYTES(13)
BYTES(14)
BYTES(15)
BYTES(16)
BYTES(17)
BYTES(24)
BYTES(100)
BYTES(4000)

/* ---- floats ---- */

#define FLOATS(T, n, element)                                 \
  typedef struct {                                            \
    element f[n];                                             \
  } T;                                                        \
  PLACES(T, v.f[n - 1] += 1)                                  \
  static void copy_##T(T *to, const T *from) { *to = *from; } \
  TRY(T, NO_TEXT, for (int k = 0; k < n; k++) v.f[k] = (element)(rnd() % 1000) / 8)

FLOATS(floats1, 1, float)
FLOATS(floats2, 2, float)
FLOATS(floats3, 3, float)
FLOATS(floats4, 4, float)
FLOATS(floats5, 5, float)
FLOATS(doubles1, 1, double)
FLOATS(doubles2, 2, double)
FLOATS(doubles3, 3, double)
FLOATS(doubles4, 4, double)
FLOATS(doubles5, 5, double)

/* ---- both, in one word and in two ---- */

#define MEMBERS2(T, m1, m2)                    \
  static void copy_##T(T *to, const T *from) { \
    to->m1 = from->m1;                         \
    to->m2 = from->m2;                         \
  }

typedef struct {
  float f;
  int i;
} float_int;
MEMBERS2(float_int, f, i)
PLACES(float_int, v.i++)
TRY(float_int, NO_TEXT, (v.f = (float)(rnd() % 99), v.i = (int)rnd()))

typedef struct {
  double d;
  int i;
} double_int;
MEMBERS2(double_int, d, i)
PLACES(double_int, v.i++)
TRY(double_int, NO_TEXT, (v.d = (double)(rnd() % 99), v.i = (int)rnd()))

typedef struct {
  short s;
  double d;
} short_double;
MEMBERS2(short_double, s, d)
PLACES(short_double, v.d++)
TRY(short_double, NO_TEXT, (v.s = (short)rnd(), v.d = (double)(rnd() % 99)))

typedef union {
  float f;
  uint64_t u;
} float_or_long;
static void copy_float_or_long(float_or_long *to, const float_or_long *from) { to->u = from->u; }
PLACES(float_or_long, v.u += 3)
TRY(float_or_long, NO_TEXT, v.u = rnd())

typedef struct {
  long double x;
} wide;
static void copy_wide(wide *to, const wide *from) {
  memcpy(to, from, sizeof(long double) < 16 ? 12 : __LDBL_MANT_DIG__ == 64 ? 10 : 16);
}
PLACES(wide, v.x += 1)
TRY(wide, NO_TEXT, v.x = (long double)(rnd() % 1000) / 3)

/* ---- complex numbers ---- */

typedef float _Complex complex_float;
static void copy_complex_float(complex_float *to, const complex_float *from) { *to = *from; }
PLACES(complex_float, v += 1)
TRY(complex_float, NO_TEXT, v = (float)(rnd() % 100) + (float)(rnd() % 100) * I)

typedef double _Complex complex_double;
static void copy_complex_double(complex_double *to, const complex_double *from) { *to = *from; }
PLACES(complex_double, v += 1)
TRY(complex_double, NO_TEXT, v = (double)(rnd() % 100) + (double)(rnd() % 100) * I)

typedef long double _Complex complex_wide;
static void copy_complex_wide(complex_wide *to, const complex_wide *from) {
  const size_t half = sizeof(long double), used = __LDBL_MANT_DIG__ == 64 ? 10 : half;
  memcpy(to, from, used);
  memcpy((char *)to + half, (const char *)from + half, used);
}
PLACES(complex_wide, v += 1)
TRY(complex_wide, NO_TEXT, v = (long double)(rnd() % 100) / 3 + (long double)(rnd() % 100) * I)

typedef struct {
  float f;
  float _Complex c;
} with_complex;
MEMBERS2(with_complex, f, c)
PLACES(with_complex, v.f++)
TRY(with_complex, NO_TEXT, (v.f = (float)(rnd() % 99), v.c = (float)(rnd() % 99) + 2 * I))

/* ---- what libffi has no words for ---- */

typedef struct {
  char c;
  int i;
} __attribute__((packed)) packed;
MEMBERS2(packed, c, i)
PLACES(packed, v.i++)
TRY(packed, "packed", (v.c = (char)rnd(), v.i = (int)rnd()))

typedef struct {
  int i;
  char c;
} __attribute__((packed)) packed_in_place;
MEMBERS2(packed_in_place, i, c)
PLACES(packed_in_place, v.c++)
TRY(packed_in_place, "packed", (v.c = (char)rnd(), v.i = (int)rnd()))

typedef struct {
  char c;
  double d;
  float f;
} __attribute__((packed)) packed_large;
static void copy_packed_large(packed_large *to, const packed_large *from) {
  memcpy(to, from, sizeof(*to));
}
PLACES(packed_large, v.c++)
TRY(packed_large, "packed", (v.c = (char)rnd(), v.d = (double)(rnd() % 99), v.f = 2))

typedef struct {
  int i __attribute__((aligned(16)));
} aligned_int;
static void copy_aligned_int(aligned_int *to, const aligned_int *from) { to->i = from->i; }
PLACES(aligned_int, v.i++)
TRY(aligned_int, "over-aligned", v.i = (int)rnd())

typedef union {
  long double x;
  char c;
} wide_or_char;
static void copy_wide_or_char(wide_or_char *to, const wide_or_char *from) { to->c = from->c; }
PLACES(wide_or_char, v.c++)
TRY(wide_or_char, "long double", v.c = (char)rnd())

typedef __int128 int128;
static void copy_int128(int128 *to, const int128 *from) { *to = *from; }
PLACES(int128, v += 5)
TRY(int128, "over-aligned", v = (__int128)((unsigned __int128)rnd() << 64 | rnd()))

static const char others_text[] =
    "typedef struct { float f; int i; } float_int;"
    "typedef struct { double d; int i; } double_int;"
    "typedef struct { short s; double d; } short_double;"
    "typedef union { float f; unsigned long long u; } float_or_long;"
    "typedef struct { long double x; } wide;"
    "typedef float _Complex complex_float;"
    "typedef _Complex double complex_double;"
    "typedef long _Complex double complex_wide;"
    "typedef struct { float f; float _Complex c; } with_complex;"
    "typedef struct { char c; int i; } __attribute__((packed)) packed;"
    "typedef struct { int i; char c; } __attribute__((packed)) packed_in_place;"
    "typedef struct { char c; double d; float f; } __attribute__((packed)) packed_large;"
    "typedef struct { int i __attribute__((aligned(16))); } aligned_int;"
    "typedef union { long double x; char c; } wide_or_char;"
    "typedef __int128 int128;";

static int declare(void **state) {
  static const int sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,   10,
                              11, 12, 13, 14, 15, 16, 17, 24, 100, 4000};
  char text[4096];
  size_t at = 0;
  gs_ffi_error err;
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    at += (size_t)snprintf(text + at, sizeof(text) - at,
                           "typedef struct { unsigned char b[%d]; } bytes%d;", sizes[i], sizes[i]);
  for (int i = 1; i <= 5; i++)
    at += (size_t)snprintf(text + at, sizeof(text) - at,
                           "typedef struct { float f[%d]; } floats%d;"
                           "typedef struct { double f[%d]; } doubles%d;",
                           i, i, i, i);
  ffi = gs_ffi_new();
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK || gs_ffi_cdef(ffi, others_text, &err) != GS_OK) {
    print_error("%s\n", err.text);
    return -1;
  }
  return 0;
}

static int forget(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

static void test_complex_types(void **state) {
  (void)state;
  const gs_type *t = type_of("float _Complex");
  assert_int_equal(gs_type_kind(t), GS_KIND_COMPLEX);
  assert_int_equal(gs_type_size(t), 8);
  assert_int_equal(gs_type_align(t), 4);
  assert_string_equal(gs_type_name(gs_type_target(t)), "float");
  assert_ptr_equal(type_of("_Complex"), type_of("double _Complex"));
  assert_ptr_equal(type_of("__complex__ double"), gs_type_builtin("complexdouble"));
  assert_string_equal(gs_type_name(type_of("_Complex double long")), "long double _Complex");
  assert_int_equal(gs_type_kind(type_of("double _Complex *")), GS_KIND_POINTER);
}

#define TEST(T) cmocka_unit_test(test_##T)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(bytes1),          TEST(bytes2),        TEST(bytes3),       TEST(bytes4),
      TEST(bytes5),          TEST(bytes6),        TEST(bytes7),       TEST(bytes8),
      TEST(bytes9),          TEST(bytes10),       TEST(bytes11),      TEST(bytes12),
      TEST(bytes13),         TEST(bytes14),       TEST(bytes15),      TEST(bytes16),
      TEST(bytes17),         TEST(bytes24),       TEST(bytes100),     TEST(bytes4000),
      TEST(floats1),         TEST(floats2),       TEST(floats3),      TEST(floats4),
      TEST(floats5),         TEST(doubles1),      TEST(doubles2),     TEST(doubles3),
      TEST(doubles4),        TEST(doubles5),      TEST(float_int),    TEST(double_int),
      TEST(short_double),    TEST(float_or_long), TEST(wide),         TEST(complex_float),
      TEST(complex_double),  TEST(complex_wide),  TEST(with_complex), TEST(packed),
      TEST(packed_in_place), TEST(packed_large),  TEST(aligned_int),  TEST(wide_or_char),
      TEST(int128),          TEST(complex_types),
  };
  return cmocka_run_group_tests(tests, declare, forget);
}
