/* rows.c: calls with many arguments of one kind in a row, which have code of their own (plan.h).
 *
 * A function of twelve words notes them all.  It is prepared with none to twelve arguments of each
 * integer type, as they are, behind a double, behind a long double, and with one of another kind
 * among them, with every width of result, and called both ways.  The words that it gets beyond
 * those that it was called with are whatever was there.
 */
#include <stdbool.h>
#include <string.h>

#include "support.h"

#include "gosched_ffi.h"

enum { WORDS = 12 };

static uint64_t found[WORDS], answer;

#define ALL                                                                                       \
  uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h, \
      uint64_t i, uint64_t j, uint64_t k, uint64_t l
#define NAMES a, b, c, d, e, f, g, h, i, j, k, l

static uint64_t note(ALL) {
  memcpy(found, (uint64_t[]){NAMES}, sizeof(found));
  return answer;
}

static uint64_t behind_double(double x, ALL) {
  note(NAMES);
  found[0] += x == 1.5 ? 0 : 1;
  return answer;
}

static uint64_t behind_long_double(long double x, ALL) {
  note(NAMES);
  found[0] += x == 1.5L ? 0 : 1;
  return answer;
}

static const struct {
  const char *name;
  unsigned size;
} kinds[] = {
    {"int8", 1},  {"uint8", 1},  {"int16", 2}, {"uint16", 2},
    {"int32", 4}, {"uint32", 4}, {"int64", 8}, {"uint64", 8},
};

static uint64_t low(uint64_t v, unsigned size) {
  return size == 8 ? v : v & (((uint64_t)1 << (8 * size)) - 1);
}

typedef struct shape {
  const char *first; /* in front of the row, or NULL */
  void *function;
  size_t n;
  size_t kind;
  size_t other; /* which is of the next kind, or WORDS */
} shape;

static size_t kind_of(const shape *s, size_t i) {
  return i == s->other ? (s->kind + 1) % COUNT(kinds) : s->kind;
}

static void once(gs_ffi *ffi, const shape *s, const char *way, const char *back, unsigned bytes) {
  const gs_type *types[WORDS + 1];
  void *args[WORDS + 1];
  uint64_t values[WORDS];
  double x = 1.5;
  long double y = 1.5L;
  size_t n = 0;
  if (s->first) {
    types[n] = gs_type_builtin(s->first);
    args[n++] = strcmp(s->first, "double") == 0 ? (void *)&x : (void *)&y;
  }
  for (size_t i = 0; i < s->n; i++) {
    values[i] = 0xfedcba9876543210u * (i + 1);
    types[n] = gs_type_builtin(kinds[kind_of(s, i)].name);
    args[n++] = &values[i];
  }
  gs_func *f = NULL;
  gs_ffi_error err;
  setenv("GOSCHED_FFI", way, 1);
  if (gs_func_prepare(ffi, "note", s->function, gs_type_builtin(back), types, n, n, 0, &f, &err) !=
      GS_OK)
    fail_msg("%s", err.text);
  uint64_t room[3] = {~0u, ~0u, ~0u};
  int e = 1;
  memset(found, 0xee, sizeof(found));
  answer = 0x8182838485868788u;
  assert_int_equal(gs_ffi_call(f, &room[1], args, &e), GS_OK);
  assert_int_equal(e, 0);
  assert_int_equal(room[0], ~0u);
  assert_int_equal(room[2], ~0u);
  uint64_t all = ~0u;
  memcpy(&all, &answer, bytes);
  assert_int_equal(room[1], all);
  for (size_t i = 0; i < s->n; i++) {
    unsigned size = kinds[kind_of(s, i)].size;
    if (low(found[i], size) != low(values[i], size))
      fail_msg("%s, %s behind %s: word %zu of %zu is %llx, not %llx", way, kinds[s->kind].name,
               s->first ? s->first : "nothing", i, s->n, (unsigned long long)found[i],
               (unsigned long long)low(values[i], size));
  }
  gs_func_free(f);
}

static void both_ways(gs_ffi *ffi, const shape *s) {
  static const struct {
    const char *name;
    unsigned bytes;
  } backs[] = {{"void", 0}, {"uint8", 1}, {"int16", 2}, {"int32", 4}, {"uint64", 8}};
  for (size_t b = 0; b < COUNT(backs); b++) {
    once(ffi, s, "auto", backs[b].name, backs[b].bytes);
    once(ffi, s, "libffi", backs[b].name, backs[b].bytes);
  }
}

#define ADDRESS(fn) ((void *)(uintptr_t)(fn))

static void every_length(const char *first, void *function, bool others) {
  gs_ffi *ffi = gs_ffi_new();
  shape s = {.first = first, .function = function};
  for (s.kind = 0; s.kind < COUNT(kinds); s.kind++)
    for (s.n = others; s.n <= WORDS; s.n++)
      for (s.other = others ? 0 : WORDS; s.other < (others ? s.n : WORDS + 1); s.other++)
        both_ways(ffi, &s);
  gs_ffi_free(ffi);
}

static int in_green(void *arg) {
  (void)arg;
  every_length(NULL, ADDRESS(note), false);
  every_length(NULL, ADDRESS(note), true);
  every_length("double", ADDRESS(behind_double), false);
  every_length("longdouble", ADDRESS(behind_long_double), false);
  return 0;
}

/* Where there is no call to be made, and as calls of a green thread, whose stack is another one. */
static void test_on_a_thread(void **state) {
  (void)state;
  in_green(NULL);
}

static void test_on_a_green_thread(void **state) {
  (void)state;
  assert_int_equal(gs_run(NULL, in_green, NULL, NULL), GS_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_on_a_thread),
      cmocka_unit_test(test_on_a_green_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
