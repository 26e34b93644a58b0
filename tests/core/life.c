/* life.c: gs_run from its beginning to its end.
 *
 * What it returns, that it works again and again and from any thread, that only one runs at a
 * time, and what becomes of green threads that still run when the main one has returned.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

static int return_int(void *arg) { return *(int *)arg; }

static void test_result_comes_back(void **state) {
  (void)state;
  int value = -17, result = 0;
  assert_int_equal(gs_run(NULL, return_int, &value, &result), GS_OK);
  assert_int_equal(result, -17);
  assert_int_equal(gs_run(NULL, return_int, &value, NULL), GS_OK);
}

static int own_tid(void *arg) {
  *(long *)arg = my_tid();
  return 0;
}

static void test_starts_on_the_callers_thread(void **state) {
  (void)state;
  long tid = 0;
  assert_int_equal(gs_run(NULL, own_tid, &tid, NULL), GS_OK);
  assert_int_equal(tid, my_tid());
}

static void increment(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static int three_joined(void *arg) {
  gs_handle *h[3];
  for (int i = 0; i < 3; i++) h[i] = go_named(NULL, increment, arg);
  for (int i = 0; i < 3; i++) join(h[i]);
  return 0;
}

static void test_again_and_again(void **state) {
  (void)state;
  enum { RUNS = 200 };
  atomic_int ended = 0;
  for (int i = 0; i < RUNS; i++) assert_int_equal(gs_run(NULL, three_joined, &ended, NULL), GS_OK);
  assert_int_equal(atomic_load(&ended), 3 * RUNS);
  assert_int_equal(checks_failed(), 0);
  assert_int_equal(metrics().gs_live, 0);
}

static void *run_on_this_thread(void *arg) {
  int result = 0;
  CHECK_CODE(gs_run(NULL, three_joined, arg, &result), GS_OK);
  return NULL;
}

static void test_from_another_thread(void **state) {
  (void)state;
  atomic_int ended = 0;
  for (int i = 0; i < 5; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_on_this_thread, &ended), 0);
    pthread_join(thread, NULL);
  }
  assert_int_equal(atomic_load(&ended), 15);
  assert_int_equal(checks_failed(), 0);
  int value = 5, result = 0;
  assert_int_equal(gs_run(NULL, return_int, &value, &result), GS_OK);
  assert_int_equal(result, 5);
}

static void *run_while_running(void *arg) {
  int value = 0;
  CHECK_CODE(gs_run(NULL, return_int, &value, NULL), GS_EBUSY);
  atomic_store((atomic_int *)arg, 1);
  return NULL;
}

static void nested(void *arg) {
  (void)arg;
  int value = 0, result = 77;
  CHECK_CODE(gs_run(NULL, return_int, &value, &result), GS_EBUSY);
  CHECK_INT(result, 77);
  CHECK(strlen(gs_error_detail()) > 0);
  atomic_int tried = 0;
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, run_while_running, &tried), 0);
  while (!atomic_load(&tried)) gs_sleep(MS(1));
  pthread_join(thread, NULL);
}

static void test_one_at_a_time(void **state) {
  (void)state;
  run_procs(0, nested, NULL);
}

/* ---- the end ---- */

static atomic_int started, cancelled;

static void sleep_for_good(void *arg) {
  (void)arg;
  atomic_fetch_add(&started, 1);
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  CHECK_INT(gs_cancelled(), 1);
  atomic_fetch_add(&cancelled, 1);
}

static void leave_sleepers(void *arg) {
  int count = *(int *)arg;
  for (int i = 0; i < count; i++) go(sleep_for_good, NULL);
  gs_sleep(MS(5));
}

static void test_the_rest_is_cancelled(void **state) {
  (void)state;
  int count = SCALE(500);
  atomic_store(&started, 0);
  atomic_store(&cancelled, 0);
  run_procs(0, leave_sleepers, &count);
  assert_int_equal(atomic_load(&cancelled), atomic_load(&started));
  assert_true(atomic_load(&started) > 0);
  assert_int_equal(metrics().gs_live, 0);
}

static void leave_at_once(void *arg) {
  int count = *(int *)arg;
  for (int i = 0; i < count; i++) go(sleep_for_good, NULL);
}

static void test_what_never_ran_ends_too(void **state) {
  (void)state;
  int count = SCALE(500);
  atomic_store(&started, 0);
  atomic_store(&cancelled, 0);
  run_procs(0, leave_at_once, &count);
  assert_int_equal(atomic_load(&cancelled), atomic_load(&started));
  assert_int_equal(metrics().gs_live, 0);
}

static void clean_up_slowly(void *arg) {
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  gs_uncancel();
  CHECK_CODE(gs_sleep(MS(20)), GS_OK);
  go(sleep_for_good, NULL); /* started by one that ends late: it is cancelled as well */
  atomic_store((atomic_int *)arg, 1);
}

static void leave_one_that_cleans_up(void *arg) {
  go(clean_up_slowly, arg);
  gs_sleep(MS(5));
}

static void test_cleaning_up_is_waited_for(void **state) {
  (void)state;
  atomic_int cleaned = 0;
  run_procs(0, leave_one_that_cleans_up, &cleaned);
  assert_int_equal(atomic_load(&cleaned), 1);
  assert_int_equal(metrics().gs_live, 0);
}

static int slow_call(void *arg) {
  int ms = 100;
  block_ms(&ms);
  atomic_store((atomic_int *)arg, 1);
  return 0;
}

static void call_slowly(void *arg) { CHECK_CODE(gs_cgocall(slow_call, arg, NULL), GS_OK); }

static void leave_one_in_a_call(void *arg) {
  go(call_slowly, arg);
  gs_sleep(MS(20));
}

static void test_a_foreign_call_is_waited_for(void **state) {
  (void)state;
  atomic_int returned = 0;
  run_procs(0, leave_one_in_a_call, &returned);
  assert_int_equal(metrics().gs_live, 0);
  /* It may also have been cancelled before the call began; then it never began. */
  assert_int_equal(metrics().incgo, 0);
  assert_int_equal(atomic_load(&returned), 1);
}

static int exit_main(void *arg) {
  (void)arg;
  gs_goexit();
  return 5;
}

static void test_goexit_of_main_is_result_0(void **state) {
  (void)state;
  int result = 5;
  assert_int_equal(gs_run(NULL, exit_main, NULL, &result), GS_OK);
  assert_int_equal(result, 0);
}

/* ---- left running ---- */

typedef struct abandoned {
  atomic_int laps, stop, stopped;
  gs_handle *h;
} abandoned;

static void run_laps(void *arg) {
  abandoned *a = arg;
  while (!atomic_load(&a->stop)) {
    atomic_fetch_add(&a->laps, 1);
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  }
  atomic_store(&a->stopped, 1);
}

static void start_laps(void *arg) {
  abandoned *a = arg;
  a->h = go_named("laps", run_laps, a);
}

static void stop_laps(void *arg) {
  abandoned *a = arg;
  CHECK_INT(gs_handle_done(a->h), 0);
  atomic_store(&a->stop, 1);
  join(a->h);
}

static void test_abandoned_ones_go_on(void **state) {
  (void)state;
  abandoned a = {0};
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.flags = GS_RUN_ABANDON;
  run_config(&cfg, start_laps, &a);
  int ms = 1, laps = atomic_load(&a.laps);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&a.laps) < laps + 10 && gs_now() < end;) {
    block_ms(&ms);
  }
  assert_true(atomic_load(&a.laps) >= laps + 10);
  run_procs(0, stop_laps, &a);
  assert_int_equal(atomic_load(&a.stopped), 1);
  assert_int_equal(checks_failed(), 0);
}

/* One that is locked to the very thread that leaves. */
typedef struct left_locked {
  atomic_int locked, go_on, done;
  long tid; /* of the thread inside gs_run */
} left_locked;

static void lock_and_wait(void *arg) {
  left_locked *l = arg;
  gs_lock_os_thread();
  if (my_tid() != l->tid) { /* another one, then: on one P it is usually this one */
    gs_unlock_os_thread();
  }
  atomic_store(&l->locked, 1);
  while (!atomic_load(&l->go_on)) gs_sleep(MS(1));
  gs_unlock_os_thread();
  gs_yield();
  atomic_store(&l->done, 1);
}

static void leave_locked(void *arg) {
  left_locked *l = arg;
  go(lock_and_wait, l);
  while (!atomic_load(&l->locked)) gs_sleep(MS(1));
}

static void test_abandoned_and_locked(void **state) {
  (void)state;
  for (int i = 0; i < SCALE(30); i++) {
    static left_locked table[30];
    left_locked *l = &table[i];
    l->tid = my_tid();
    gs_config cfg = GS_CONFIG_DEFAULT;
    cfg.flags = GS_RUN_ABANDON;
    run_config(&cfg, leave_locked, l);
    atomic_store(&l->go_on, 1);
    int ms = 1;
    for (int64_t end = gs_now() + PATIENCE; !atomic_load(&l->done) && gs_now() < end;) {
      block_ms(&ms);
    }
    assert_int_equal(atomic_load(&l->done), 1);
  }
}

/* ---- at the edges of a run, from another thread ---- */

static atomic_int edges_stop, edges_made, edges_ran, in_run;

static void edge(void *arg) {
  (void)arg;
  CHECK(atomic_load(&in_run) != 0);
  atomic_fetch_add(&edges_ran, 1);
}

static void *make_some(void *arg) {
  (void)arg;
  while (!atomic_load(&edges_stop)) {
    /* Made faster than they can run, they would keep the run from ending. */
    if (atomic_load(&edges_made) - atomic_load(&edges_ran) > 100) {
      sched_yield();
      continue;
    }
    int r = gs_go(edge, NULL);
    if (r == GS_OK)
      atomic_fetch_add(&edges_made, 1);
    else
      CHECK_INT(r, GS_EPERM);
  }
  return NULL;
}

/* The other thread stands still wherever it is, longer than it takes to end the run. */
static void stand_still(int sig) {
  (void)sig;
  struct timespec t = {0, 3000000};
  nanosleep(&t, NULL);
}

static pthread_t maker;

static void hardly_anything(void *arg) {
  (void)arg;
  gs_yield();
  pthread_kill(maker, SIGUSR1);
}

/* What gs_go accepted has ended when gs_run returns, however short the run was. */
static void test_edges(void **state) {
  (void)state;
  struct sigaction sa = {.sa_handler = stand_still}, old;
  sigaction(SIGUSR1, &sa, &old);
  assert_int_equal(pthread_create(&maker, NULL, make_some, NULL), 0);
  for (int i = 0; i < SCALE(300); i++) {
    atomic_store(&in_run, 1);
    run_procs(0, hardly_anything, NULL);
    atomic_store(&in_run, 0);
  }
  atomic_store(&edges_stop, 1);
  pthread_join(maker, NULL);
  sigaction(SIGUSR1, &old, NULL);
  assert_int_equal(atomic_load(&edges_made), atomic_load(&edges_ran));
  assert_int_equal(checks_failed(), 0);
}

/* ---- without a runtime ---- */

static void test_outside_a_run(void **state) {
  (void)state;
  atomic_int ran = 0;
  assert_int_equal(gs_go(increment, &ran), GS_EPERM);
  assert_int_equal(gs_sleep(MS(1)), GS_EPERM);
  assert_int_equal(gs_self(), 0);
  assert_int_equal(gs_cancelled(), 0);
  gs_yield();
  gs_goexit();
  gs_uncancel();
  gs_lock_os_thread();
  gs_unlock_os_thread();
  gs_entersyscall();
  gs_exitsyscall();
  gs_entersyscallblock();
  gs_exitsyscall();
  gs_chan *c = chan_new(sizeof(int), 1);
  int value = 3;
  assert_int_equal(gs_chan_recv(c, &value, GS_FOREVER), GS_EPERM);
  assert_int_equal(gs_chan_try_send(c, &value), GS_OK);
  assert_int_equal(gs_chan_try_send(c, &value), GS_EWOULDBLOCK);
  value = 0;
  assert_int_equal(gs_chan_try_recv(c, &value), GS_OK);
  assert_int_equal(value, 3);
  assert_int_equal(gs_chan_free(c), GS_OK);
  assert_int_equal(atomic_load(&ran), 0);
  assert_int_equal(checks_failed(), 0);
}

static void test_strings(void **state) {
  (void)state;
  assert_string_equal(gs_version(), GS_VERSION);
  for (int code = GS_ESYS; code <= GS_OK; code++) assert_true(strlen(gs_strerror(code)) > 4);
  assert_non_null(strstr(gs_strerror(GS_ECLOSED), "GS_ECLOSED"));
  assert_non_null(strstr(gs_strerror(GS_ESYS), "GS_ESYS"));
  assert_non_null(gs_strerror(-9999));
  assert_non_null(gs_strerror(INT_MAX));
  assert_non_null(gs_strerror(INT_MIN));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_outside_a_run), /* first before anything has booted */
      cmocka_unit_test(test_result_comes_back),
      cmocka_unit_test(test_starts_on_the_callers_thread),
      cmocka_unit_test(test_again_and_again),
      cmocka_unit_test(test_from_another_thread),
      cmocka_unit_test(test_one_at_a_time),
      cmocka_unit_test(test_the_rest_is_cancelled),
      cmocka_unit_test(test_what_never_ran_ends_too),
      cmocka_unit_test(test_cleaning_up_is_waited_for),
      cmocka_unit_test(test_a_foreign_call_is_waited_for),
      cmocka_unit_test(test_goexit_of_main_is_result_0),
      cmocka_unit_test(test_abandoned_ones_go_on),
      cmocka_unit_test(test_abandoned_and_locked),
      cmocka_unit_test(test_edges),
      cmocka_unit_test(test_outside_a_run), /* and again after runs have ended */
      cmocka_unit_test(test_strings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
