/* callers.c: gs_callers, from wherever it is called.
 */
#include "support.h"

#include <pthread.h>
#include <unwind.h>

enum { MOST = 64 };

static void *pcs[MOST];
static int npcs;

static __attribute__((noinline)) void here(void *arg) {
  npcs = gs_callers(*(int *)arg, pcs, MOST);
  __asm__ volatile("" ::: "memory");
}

/* The functions are there in this order, perhaps with others between. */
static void expect(void *const *functions, size_t n) {
  size_t found = 0;
  CHECK(npcs > 0 && npcs <= MOST);
  for (int i = 0; i < npcs && found < n; i++) {
    void *of = _Unwind_FindEnclosingFunction((char *)pcs[i] - 1);
    if (of == _Unwind_FindEnclosingFunction((char *)functions[found] + 1)) found++;
  }
  CHECK_INT(found, n);
}

/* ---- in place, and what is left out ---- */

static __attribute__((noinline)) void outer(void *arg) {
  here(arg);
  __asm__ volatile("" ::: "memory");
}

static void plain(void *arg) {
  int none = 0, one = 1;
  void *inner_first[] = {(void *)here, (void *)outer}, *outer_first[] = {(void *)outer};
  (void)arg;
  outer(&none);
  expect(inner_first, 2);
  int all = npcs;
  outer(&one);
  expect(outer_first, 1);
  CHECK_INT(npcs, all - 1);
  CHECK(_Unwind_FindEnclosingFunction((char *)pcs[0] - 1) ==
        _Unwind_FindEnclosingFunction((char *)(void *)outer + 1));
  CHECK_INT(gs_callers(0, pcs, 1), 1);
  CHECK_INT(gs_callers(1000, pcs, MOST), 0);
  CHECK_INT(gs_callers(0, NULL, 0), 0);
}

/* ---- through callbacks, two deep ---- */

static __attribute__((noinline)) int second_c(void *arg) {
  CHECK_CODE(gs_cgocallback(here, arg), GS_OK);
  return 0;
}

static __attribute__((noinline)) void first_callback(void *arg) {
  CHECK_CODE(gs_cgocall(second_c, arg, NULL), GS_OK);
}

static __attribute__((noinline)) int first_c(void *arg) {
  CHECK_CODE(gs_cgocallback(first_callback, arg), GS_OK);
  return 0;
}

static __attribute__((noinline)) void through(void *arg) {
  int none = 0;
  void *all[] = {(void *)here, (void *)second_c, (void *)first_callback, (void *)first_c,
                 (void *)through};
  (void)arg;
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_cgocall(first_c, &none, NULL), GS_OK);
    expect(all, COUNT(all));
  }
}

static void *on_thread(void *arg) {
  plain(arg);
  return NULL;
}

static void test_callers(void **state) {
  (void)state;
  pthread_t thread;
  run_procs(1, plain, NULL);
  run_procs(1, through, NULL);
  assert_int_equal(pthread_create(&thread, NULL, on_thread, NULL), 0);
  pthread_join(thread, NULL);
  assert_int_equal(checks_failed(), 0);
}

static void test_bad_arguments(void **state) {
  (void)state;
  assert_int_equal(gs_callers(-1, pcs, MOST), GS_EINVAL);
  assert_int_equal(gs_callers(0, pcs, -1), GS_EINVAL);
  assert_int_equal(gs_callers(0, NULL, 1), GS_EINVAL);
  assert_non_null(strstr(gs_error_detail(), "pcs is NULL"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_callers),
      cmocka_unit_test(test_bad_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
