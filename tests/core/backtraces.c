/* backtraces.c: what others find who walk the stack from inside a foreign call or a callback, by
 * the unwind rules (backtrace(3), libunwind) and by frame pointers, as perf does: every function
 * between here and the green thread's first one, on whatever stack.
 *
 * Each way into C is taken often enough that its first, general way and its short one are both
 * seen.
 */
#include "support.h"

#include "gosched_domain.h"

#include <execinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <unwind.h>

#ifdef TEST_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

#define KEEP __attribute__((noinline, noclone))
/* So that no call is the function's last thing: it would be a jump, and the frame gone. */
#define STAY() __asm__ volatile("" ::: "memory")

enum { MOST = 128, TIMES = 40 };

/* ---- the walkers ---- */

typedef int (*walker)(void **pcs, int most);

#ifndef TEST_LIBUNWIND
KEEP static int by_backtrace(void **pcs, int most) {
  int n = backtrace(pcs, most);
  STAY();
  return n;
}

/* Every function here and in the bridge has a frame pointer; the C library's need not. */
KEEP static int by_frame_pointers(void **pcs, int most) {
  void **frame = __builtin_frame_address(0);
  int n = 0;
  for (; frame && n < most; frame = frame[0]) pcs[n++] = frame[1];
  return n;
}

#else
KEEP static int by_libunwind(void **pcs, int most) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_word_t pc;
  int n = 0;
  if (unw_getcontext(&context) || unw_init_local(&cursor, &context)) return -1;
  do {
    if (unw_get_reg(&cursor, UNW_REG_IP, &pc)) break;
    pcs[n++] = (void *)pc;
  } while (n < most && unw_step(&cursor) > 0);
  return n;
}
#endif

static walker walk;
static void *pcs[MOST];
static int npcs;

static void *function_of(const void *pc) { return _Unwind_FindEnclosingFunction((void *)pc); }

/* The functions are there in this order, perhaps with others between. */
static void expect(const char *kind, void *const *functions, size_t n) {
  size_t found = 0;
  CHECK(npcs > 0 && npcs < MOST);
  for (int i = 0; i < npcs && found < n; i++)
    if (pcs[i] && function_of((char *)pcs[i] - 1) == function_of((char *)functions[found] + 1))
      found++;
  if (found < n) fprintf(stderr, "%s: frame %zu of %zu is not found\n", kind, found, n);
  CHECK_INT(found, n);
}

/* ---- the ways into C ---- */

typedef int (*c_function)(void *);
typedef struct {
  const char *name;
  void (*enter)(c_function fn, void *arg);
} way;

static gs_site named = {.name = "a call"},
               critical = {.name = "critical", .flags = GS_SITE_CRITICAL};

KEEP static void by_cgocall(c_function fn, void *arg) {
  CHECK_CODE(gs_cgocall(fn, arg, NULL), GS_OK);
  STAY();
}

KEEP static void by_site(c_function fn, void *arg) {
  CHECK_CODE(gs_cgocall_site(&named, fn, arg, NULL), GS_OK);
  STAY();
}

KEEP static void by_critical(c_function fn, void *arg) {
  CHECK_CODE(gs_cgocall_site(&critical, fn, arg, NULL), GS_OK);
  STAY();
}

typedef struct {
  gs_prepared call;
  c_function fn;
} prepared;

KEEP static void run_prepared(void *a, void *b, void *call) {
  const prepared *p = call;
  (void)b;
  p->fn(a);
  STAY();
}

KEEP static void by_prepared(c_function fn, void *arg) {
  prepared p = {{&named, run_prepared}, fn};
  int saved = 0;
  CHECK_CODE(gs_cgocall_prepared(&p.call, NULL, arg, &saved), GS_OK);
  STAY();
}

static int three(void *a, void *b, void *c) {
  (void)b;
  int r = ((c_function)(uintptr_t)c)(a);
  STAY();
  return r;
}

KEEP static void by_words(c_function fn, void *arg) {
  int saved = 0;
  CHECK_CODE(gs_cgocall_words(&named, three, arg, NULL, (void *)(uintptr_t)fn, &saved), GS_OK);
  STAY();
}

static void unblocks(void *arg) { (void)arg; }

KEEP static void by_unblock(c_function fn, void *arg) {
  CHECK_CODE(gs_cgocall_unblock(fn, arg, NULL, unblocks, NULL), GS_OK);
  STAY();
}

static const way ways[] = {
    {"gs_cgocall", by_cgocall},     {"gs_cgocall_site", by_site},
    {"critical", by_critical},      {"gs_cgocall_prepared", by_prepared},
    {"gs_cgocall_words", by_words}, {"gs_cgocall_unblock", by_unblock},
};

/* ---- from C ---- */

KEEP static int c_walks(void *arg) {
  (void)arg;
  npcs = walk(pcs, MOST);
  STAY();
  return 0;
}

KEEP static void base(const way *w) {
  w->enter(c_walks, NULL);
  STAY();
}

/* ---- from C that a callback of C has called; from a callback ---- */

static const way *inner;

KEEP static void callback(void *arg) {
  inner->enter(c_walks, arg);
  STAY();
}

KEEP static int c_calls_back(void *arg) {
  CHECK_CODE(gs_cgocallback(callback, arg), GS_OK);
  STAY();
  return 0;
}

KEEP static void outer_base(const way *w) {
  w->enter(c_calls_back, NULL);
  STAY();
}

KEEP static int callback_walks(void *a, void *b, void *c) {
  (void)a, (void)b, (void)c;
  npcs = walk(pcs, MOST);
  STAY();
  return 0;
}

KEEP static int c_calls_walker(void *arg) {
  int result = 0;
  CHECK_CODE(gs_cgocallback_words(callback_walks, arg, NULL, NULL, &result), GS_OK);
  STAY();
  return result;
}

KEEP static void callback_base(const way *w) {
  w->enter(c_calls_walker, NULL);
  STAY();
}

static void body(void *arg) {
  (void)arg;
  for (size_t k = 0; k < COUNT(ways); k++) {
    const way *w = &ways[k];
    void *enter = (void *)(uintptr_t)w->enter;
    void *plain[] = {(void *)c_walks, enter, (void *)base, (void *)body};
    void *nested[] = {(void *)c_walks,      enter, (void *)callback,
                      (void *)c_calls_back, enter, (void *)outer_base,
                      (void *)body};
    void *back[] = {(void *)callback_walks, (void *)c_calls_walker, enter, (void *)callback_base,
                    (void *)body};
    inner = w;
    bool calls_back = w->enter != by_critical; /* such a call may not */
    for (int i = 0; i < TIMES && checks_failed() == 0; i++) {
      base(w);
      expect(w->name, plain, COUNT(plain));
      if (!calls_back) continue;
      outer_base(w);
      expect(w->name, nested, COUNT(nested));
      callback_base(w);
      expect(w->name, back, COUNT(back));
    }
  }
}

/* One in a program: libunwind brings functions of its own under the names of libgcc's, which
 * backtrace(3) uses. */
#ifdef TEST_LIBUNWIND
static void test_libunwind(void **state) {
  (void)state;
  walk = by_libunwind;
  run_procs(1, body, NULL);
}
#define TESTS cmocka_unit_test(test_libunwind)
#else
static void test_backtrace(void **state) {
  (void)state;
  walk = by_backtrace;
  run_procs(1, body, NULL);
}

static void test_frame_pointers(void **state) {
  (void)state;
  walk = by_frame_pointers;
  run_procs(1, body, NULL);
}
#define TESTS cmocka_unit_test(test_backtrace), cmocka_unit_test(test_frame_pointers)
#endif

int main(void) {
  const struct CMUnitTest tests[] = {TESTS};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
