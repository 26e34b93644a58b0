/* errnos.c: errno belongs to the green thread that made the call.
 *
 * Ten threads that have P make the calls of many green threads.  Each call sets errno to a number
 * that nobody else uses, after blocking for a moment, so that its P is taken away and the green
 * thread comes back on another thread.  What that thread's errno is must not matter: the value
 * arrives through saved_errno and gs_errno, the next call begins with 0, and the errno that the
 * green thread's own C code had is still there.
 */
#include "support.h"

#include <pthread.h>

#include "gosched_ffi.h"
#define HELPER_TEXT
#include "helper.h"

enum { PROCS = 10, GREEN_THREADS = 100, ROUNDS = 40 };

static gs_ffi *ffi;
static gs_func *set_after, *at_entry;

static int setup(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_lib *lib = NULL;
  ffi = gs_ffi_new();
  if (gs_ffi_cdef(ffi, helper_text, &err) != GS_OK ||
      gs_ffi_load(ffi, HELPER_PATH, &lib, &err) != GS_OK ||
      gs_ffi_func(lib, "set_errno_after", &set_after, &err) != GS_OK ||
      gs_ffi_func(lib, "errno_at_entry", &at_entry, &err) != GS_OK)
    fail_msg("%s", err.text);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

typedef struct counters {
  wait_group wg;
  atomic_int number, migrations;
  atomic_int threads[64]; /* ids of those that were seen */
} counters;

static void note_thread(counters *c, int tid) {
  for (size_t i = 0; i < COUNT(c->threads); i++) {
    int there = 0; /* and what is there if it is not free */
    if (atomic_compare_exchange_strong(&c->threads[i], &there, tid) || there == tid) return;
  }
}

static void one_call(int mine, unsigned us) {
  int saved = -1, ret = 0;
  CHECK_CODE(gs_ffi_call(set_after, &ret, (void *[]){&mine, &us}, &saved), GS_OK);
  CHECK_INT(ret, -mine);
  CHECK_INT(saved, mine);
  CHECK_INT(gs_errno(), mine);
}

static void keeper(void *arg) {
  counters *c = arg;
  int number = atomic_fetch_add(&c->number, 1);
  for (int i = 0; i < SCALE(ROUNDS); i++) {
    int mine = 1000 + number * ROUNDS + i, before = (int)my_tid();
    note_thread(c, before);
    one_call(mine, (unsigned)(i % 4) * 50);
    if (i % 3 == 0) gs_yield();
    CHECK_INT(gs_errno(), mine);
    if (i % 5 == 0) CHECK_CODE(gs_sleep(US(50)), GS_OK);
    CHECK_INT(gs_errno(), mine);
    if (my_tid() != before) atomic_fetch_add(&c->migrations, 1);
    int entry = -1, saved = -1;
    CHECK_CODE(gs_ffi_call(at_entry, &entry, NULL, &saved), GS_OK);
    CHECK_INT(entry, 0);
    CHECK_INT(saved, 0);
    CHECK_INT(gs_errno(), 0);
  }
  wg_done(&c->wg);
}

static void body(void *arg) {
  counters *c = arg;
  wg_init(&c->wg);
  for (int i = 0; i < GREEN_THREADS; i++) go(keeper, c);
  wg_wait(&c->wg, GREEN_THREADS);
}

static void test_ten_threads(void **state) {
  (void)state;
  counters c = {.number = 0};
  run_procs(PROCS, body, &c);
  int threads = 0;
  for (size_t i = 0; i < COUNT(c.threads); i++) threads += atomic_load(&c.threads[i]) != 0;
  print_message("%d threads, %d times on another one\n", threads, atomic_load(&c.migrations));
  assert_true(threads > 1);
  assert_true(atomic_load(&c.migrations) > 0);
}

/* ---- threads of their own, without green threads ---- */

static void *plain_thread(void *arg) {
  int number = *(int *)arg;
  for (int i = 0; i < SCALE(200); i++) {
    int mine = 1 + number * 1000 + i, saved = -1, ret = 0, entry = -1;
    unsigned us = i % 20 == 0;
    errno = EXDEV;
    CHECK_CODE(gs_ffi_call(set_after, &ret, (void *[]){&mine, &us}, &saved), GS_OK);
    CHECK_INT(saved, mine);
    CHECK_INT(ret, -mine);
    CHECK_CODE(gs_ffi_call(at_entry, &entry, NULL, NULL), GS_OK);
    CHECK_INT(entry, 0);
  }
  return NULL;
}

static void test_plain_threads(void **state) {
  (void)state;
  pthread_t threads[PROCS];
  int numbers[PROCS], before = checks_failed();
  for (int i = 0; i < PROCS; i++) {
    numbers[i] = i;
    assert_int_equal(pthread_create(&threads[i], NULL, plain_thread, &numbers[i]), 0);
  }
  for (int i = 0; i < PROCS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(checks_failed(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ten_threads),
      cmocka_unit_test(test_plain_threads),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
