/* registers.c: calls whose arguments are all in registers, made without libffi and by libffi.
 *
 * One function notes what it finds in every argument register.  It is prepared under hundreds of
 * signatures that fit, with integers, floats and pointers of all widths in random order, once for
 * each of the two ways (GOSCHED_FFI is read when a function is prepared), and called with random
 * values.  Whatever the order, the ABIs of amd64 and arm64 put the integers into the integer
 * registers one after the other, and the others into the vector registers.
 */
#include <stdbool.h>
#include <string.h>

#include "support.h"

#include "gosched_ffi.h"

#if defined(__aarch64__)
enum { INTEGERS = 8, FLOATS = 8 };
#define INTEGER_PARAMETERS \
  uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h
#define INTEGER_NAMES a, b, c, d, e, f, g, h
#else
enum { INTEGERS = 6, FLOATS = 8 };
#define INTEGER_PARAMETERS uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f
#define INTEGER_NAMES a, b, c, d, e, f
#endif

static uint64_t found[INTEGERS], found_bits[FLOATS];
static uint64_t answer;

static uint64_t note(INTEGER_PARAMETERS, double p, double q, double r, double s, double t, double u,
                     double v, double w) {
  memcpy(found, (uint64_t[]){INTEGER_NAMES}, sizeof(found));
  memcpy(found_bits, (double[]){p, q, r, s, t, u, v, w}, sizeof(found_bits));
  errno = ERANGE;
  return answer;
}

static double half(double x, float y) { return x / 2 + (double)y; }
static float half_float(float x) { return x / 2; }
static void nothing(void) { answer++; }

static const struct {
  const char *name;
  unsigned size;
  bool is_float;
} kinds[] = {
    {"int8", 1, false},  {"uint8", 1, false},  {"int16", 2, false}, {"uint16", 2, false},
    {"int32", 4, false}, {"uint32", 4, false}, {"int64", 8, false}, {"uint64", 8, false},
    {"bool", 1, false},  {"float", 4, true},   {"double", 8, true}, {"pointer", 8, false},
};

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static gs_func *prepare(gs_ffi *ffi, const char *way, void *addr, const gs_type *ret,
                        const gs_type *const *args, size_t n) {
  gs_func *f = NULL;
  gs_ffi_error err;
  setenv("GOSCHED_FFI", way, 1);
  if (gs_func_prepare(ffi, "note", addr, ret, args, n, n, 0, &f, &err) != GS_OK)
    fail_msg("%s", err.text);
  return f;
}

#define ADDRESS(fn) ((void *)(uintptr_t)(fn))

static uint64_t low(uint64_t v, unsigned size) {
  return size == 8 ? v : v & (((uint64_t)1 << (8 * size)) - 1);
}

/* A random signature that fits, random values, both ways. */
static void one_signature(gs_ffi *ffi) {
  const gs_type *types[INTEGERS + FLOATS];
  uint64_t values[INTEGERS + FLOATS];
  void *args[INTEGERS + FLOATS];
  size_t which[INTEGERS + FLOATS], n = 0, ints = 0, floats = 0;
  size_t want = (size_t)(rnd() % (INTEGERS + FLOATS + 1));
  while (n < want) {
    size_t k = (size_t)(rnd() % COUNT(kinds));
    if (kinds[k].is_float ? floats == FLOATS : ints == INTEGERS) continue;
    *(kinds[k].is_float ? &floats : &ints) += 1;
    values[n] = strcmp(kinds[k].name, "bool") == 0 ? rnd() & 1 : rnd();
    types[n] = gs_type_builtin(kinds[k].name);
    args[n] = &values[n];
    which[n++] = k;
  }
  size_t back = (size_t)(rnd() % COUNT(kinds));
  while (kinds[back].is_float || kinds[back].size < 2) back = (size_t)(rnd() % COUNT(kinds));
  for (int way = 0; way < 2; way++) {
    gs_func *f = prepare(ffi, way ? "libffi" : "auto", ADDRESS(note),
                         gs_type_builtin(kinds[back].name), types, n);
    uint64_t room[3] = {~0u, ~0u, ~0u};
    int e = 0;
    answer = rnd();
    memset(found, 0xee, sizeof(found));
    memset(found_bits, 0xee, sizeof(found_bits));
    assert_int_equal(gs_ffi_call(f, &room[1], args, &e), GS_OK);
    assert_int_equal(e, ERANGE);
    assert_int_equal(low(room[1], kinds[back].size), low(answer, kinds[back].size));
    assert_int_equal(room[0], ~0u);
    assert_int_equal(room[2], ~0u);
    for (size_t i = 0, g = 0, x = 0; i < n; i++) {
      unsigned size = kinds[which[i]].size;
      uint64_t got = kinds[which[i]].is_float ? found_bits[x++] : found[g++];
      if (low(got, size) != low(values[i], size))
        fail_msg("%s: argument %zu of %zu (%s) is %llx, not %llx", way ? "libffi" : "registers", i,
                 n, kinds[which[i]].name, (unsigned long long)low(got, size),
                 (unsigned long long)low(values[i], size));
    }
    gs_func_free(f);
  }
}

static void test_random_signatures(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  for (int i = 0; i < 500; i++) one_signature(ffi);
  gs_ffi_free(ffi);
}

/* Compilers for amd64 rely on integers being widened to 32 bits by the caller; so they are, by
 * their own sign. */
static void test_widening(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  static const char *const names[] = {"int8", "int16", "int32", "uint8", "uint16", "uint32"};
  int64_t minus = -2;
  void *args[] = {&minus, &minus, &minus};
  for (int way = 0; way < 2; way++)
    for (size_t i = 0; i < COUNT(names); i++)
      for (size_t n = 1; n <= COUNT(args); n++) {
        const gs_type *t = gs_type_builtin(names[i]), *types[] = {t, t, t};
        gs_func *f =
            prepare(ffi, way ? "libffi" : "auto", ADDRESS(note), gs_type_builtin("void"), types, n);
        assert_int_equal(gs_ffi_call(f, NULL, args, NULL), GS_OK);
        uint32_t expected = i < 3 ? (uint32_t)-2 : (uint32_t)low((uint64_t)-2, 1u << (i - 3));
        for (size_t k = 0; k < n; k++) assert_int_equal((uint32_t)found[k], expected);
        gs_func_free(f);
      }
  gs_ffi_free(ffi);
}

static void test_floating_results(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  const gs_type *d = gs_type_builtin("double"), *s = gs_type_builtin("float");
  for (int way = 0; way < 2; way++) {
    const char *how = way ? "libffi" : "auto";
    gs_func *f = prepare(ffi, how, ADDRESS(half), d, (const gs_type *[]){d, s}, 2);
    double x = -7.5, r = 0;
    float y = 0.25f, room[2] = {99, 99};
    assert_int_equal(gs_ffi_call(f, &r, (void *[]){&x, &y}, NULL), GS_OK);
    assert_true(r == -3.5);
    assert_int_equal(gs_ffi_call(f, NULL, (void *[]){&x, &y}, NULL), GS_OK);
    gs_func_free(f);
    f = prepare(ffi, how, ADDRESS(half_float), s, (const gs_type *[]){s}, 1);
    assert_int_equal(gs_ffi_call(f, &room[0], (void *[]){&y}, NULL), GS_OK);
    assert_true(room[0] == 0.125f && room[1] == 99);
    gs_func_free(f);
    f = prepare(ffi, how, ADDRESS(nothing), gs_type_builtin("void"), NULL, 0);
    answer = 4;
    assert_int_equal(gs_ffi_call(f, NULL, NULL, NULL), GS_OK);
    assert_int_equal(answer, 5);
    gs_func_free(f);
  }
  gs_ffi_free(ffi);
}

static void test_bad_choice(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  gs_func *f = NULL;
  gs_ffi_error err;
  setenv("GOSCHED_FFI", "fast", 1);
  assert_int_equal(gs_func_prepare(ffi, "nothing", ADDRESS(nothing), gs_type_builtin("void"), NULL,
                                   0, 0, 0, &f, &err),
                   GS_EINVAL);
  assert_string_equal(err.text, "GOSCHED_FFI is \"fast\"; auto or libffi is accepted");
  assert_null(f);
  unsetenv("GOSCHED_FFI");
  gs_ffi_free(ffi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_signatures),
      cmocka_unit_test(test_widening),
      cmocka_unit_test(test_floating_results),
      cmocka_unit_test(test_bad_choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
