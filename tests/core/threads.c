/* threads.c: where OS threads come from, and when they end.
 *
 * Several tests are named after the scenario of Go's tests that they port.
 */
#include "support.h"

#include "runtime.h"

#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

enum { PROCS = 2 };

static bool thread_lives(long tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%ld", tid);
  return access(path, F_OK) == 0;
}

static bool thread_ends(long tid) {
  for (int64_t end = gs_now() + PATIENCE; thread_lives(tid) && gs_now() < end;) gs_sleep(MS(1));
  return !thread_lives(tid);
}

/* ---- YieldLocked: one that ends locked takes its thread with it ---- */

static void yield_locked(void *arg) {
  gs_lock_os_thread();
  long tid = my_tid();
  for (int i = 0; i < 10; i++) {
    gs_yield();
    CHECK_INT(my_tid(), tid);
    CHECK_CODE(gs_sleep(US(50)), GS_OK);
    CHECK_INT(my_tid(), tid);
  }
  if (arg) *(long *)arg = tid;
}

static void yield_locked_all(void *arg) {
  (void)arg;
  enum { MANY = 20 };
  long tids[MANY];
  gs_handle *h[MANY];
  uint64_t ended = metrics().threads_ended;
  for (int i = 0; i < MANY; i++) h[i] = go_named("yields locked", yield_locked, &tids[i]);
  for (int i = 0; i < MANY; i++) join(h[i]);
  /* The first may run on the thread of gs_run, which stays. */
  int others = 0;
  for (int i = 0; i < MANY; i++) {
    if (tids[i] == getpid()) continue;
    others++;
    CHECK(thread_ends(tids[i]));
  }
  CHECK(metrics().threads_ended >= ended + (uint64_t)others);
}

static void test_yield_locked(void **state) {
  (void)state;
  run_procs(PROCS, yield_locked_all, NULL);
}

/* One that has unlocked its thread leaves it to others. */
static void lock_and_unlock(void *arg) {
  gs_lock_os_thread();
  gs_lock_os_thread();
  gs_yield();
  gs_unlock_os_thread();
  gs_unlock_os_thread();
  *(long *)arg = my_tid();
}

static void unlocked_stays(void *arg) {
  (void)arg;
  uint64_t ended = metrics().threads_ended;
  for (int i = 0; i < 10; i++) {
    long tid = 0;
    join(go_named("unlocks", lock_and_unlock, &tid));
    CHECK(thread_lives(tid));
  }
  CHECK_INT(metrics().threads_ended, ended);
}

static void test_unlocked_threads_stay(void **state) {
  (void)state;
  run_procs(PROCS, unlocked_stays, NULL);
}

/* ---- those that wait for a P for their locked G are counted ---- */

static void park_locked(void *arg) {
  char x;
  gs_lock_os_thread();
  CHECK_CODE(gs_chan_recv(arg, &x, GS_FOREVER), GS_ECLOSED);
  gs_unlock_os_thread();
}

static bool locked_come_to(int32_t n) {
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; gs_sleep(MS(1)))
    if (load_rlx(&gs_sched.nmidlelocked) == n) return true;
  return false;
}

static void locked_are_counted(void *arg) {
  (void)arg;
  enum { MANY = 8 };
  gs_handle *h[MANY];
  for (int round = 0; round < 5; round++) {
    gs_chan *c = chan_new(1, 0);
    for (int i = 0; i < MANY; i++) h[i] = go_named("parks locked", park_locked, c);
    CHECK(locked_come_to(MANY));
    CHECK_CODE(gs_chan_close(c), GS_OK);
    for (int i = 0; i < MANY; i++) join(h[i]);
    CHECK(locked_come_to(0));
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void test_locked_are_counted(void **state) {
  (void)state;
  run_procs(PROCS, locked_are_counted, NULL);
}

/* ---- LockOSThreadAvoidsStatePropagation ---- */

static char home[4096];

static int at_home(void *arg) {
  char now[4096];
  CHECK(getcwd(now, sizeof now) != NULL);
  CHECK(strcmp(now, home) == 0);
  int ms = 20;
  (void)arg;
  return block_ms(&ms);
}

static void look_where_we_are(void *arg) {
  CHECK_CODE(gs_cgocall(at_home, NULL, NULL), GS_OK);
  wg_done(arg);
}

static atomic_int hold;

static int hold_thread(void *arg) {
  (void)arg;
  return block_until(&hold);
}

static void hold_a_thread(void *arg) {
  CHECK_CODE(gs_cgocall(hold_thread, NULL, NULL), GS_OK);
  wg_done(arg);
}

/* On a locked green thread's thread: hands its P on when no idle thread is left to take it. */
static void want_a_thread(void) {
  static gs_site marked = {.name = "marked", .flags = GS_SITE_BLOCKING};
  wait_group wg;
  size_t held = 0;
  wg_init(&wg);
  atomic_store(&hold, 0);
  for (; held < 60 && metrics().threads_idle > 0; held++) {
    go(hold_a_thread, &wg);
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  }
  for (int i = 0; i < 3; i++) {
    int ms = 5;
    go(look_where_we_are, &wg);
    CHECK_CODE(gs_cgocall_site(&marked, block_ms, &ms, NULL), GS_OK);
  }
  atomic_store(&hold, 1);
  wg_wait(&wg, held + 3);
}

/* Moves its thread, and no other, to another directory, and then wants threads. */
static void wander_off(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  gs_lock_os_thread();
  if (my_tid() == getpid()) {
    /* The directory of the process's first thread is no place to try this. */
    for (int i = 0; i < 30; i++) go(look_where_we_are, &wg);
  } else {
    CHECK_INT(unshare(CLONE_FS), 0);
    CHECK_INT(chdir("/"), 0);
    for (int i = 0; i < 30; i++) {
      go(look_where_we_are, &wg);
      gs_yield();
    }
    char now[64];
    CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, "/") == 0);
    want_a_thread();
  }
  wg_wait(&wg, 30);
}

static void states_stay_at_home(void *arg) {
  (void)arg;
  CHECK(getcwd(home, sizeof home) != NULL);
  if (strcmp(home, "/") == 0) {
    print_message("skipped: the working directory is / already\n");
    return;
  }
  for (int i = 0; i < 5; i++) {
    join(go_named("wanders off", wander_off, NULL));
    wait_group wg;
    wg_init(&wg);
    for (int k = 0; k < 40; k++) go(look_where_we_are, &wg);
    wg_wait(&wg, 40);
  }
}

static void test_lock_avoids_state_propagation(void **state) {
  (void)state;
  run_procs(PROCS, states_stay_at_home, NULL);
}

/* ---- TemplateThreadRace: locking while threads are being made ---- */

static void lock_briefly(void *arg) {
  gs_lock_os_thread();
  gs_yield();
  wg_done(arg);
}

static int race_body(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 10; i++) {
    go(lock_briefly, &wg);
    gs_yield();
  }
  wg_wait(&wg, 10);
  return 0;
}

static int run_scenario(int procs, int max_threads, int (*fn)(void *)) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = procs;
  cfg.max_threads = max_threads;
  int result = -1;
  int code = gs_run(&cfg, fn, NULL, &result);
  if (code != GS_OK) fprintf(stderr, "%s\n", gs_error_detail());
  return code != GS_OK || result != 0 || checks_failed() != 0;
}

static int template_thread_race(void) {
  for (int i = 0; i < 10; i++)
    if (run_scenario(4, 0, race_body)) return 1;
  return 0;
}

static void test_template_thread_race(void **state) {
  (void)state;
  for (int i = 0; i < (SLOW_BUILD ? 3 : 10); i++) {
    child c;
    child_run(&c, "template_thread_race", NULL);
    assert_child_exit(&c, 0);
  }
}

/* ---- a thread without work ends ---- */

static void call_one(void *arg) {
  int ms = 30;
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  wg_done(arg);
}

enum { TOGETHER = 40 };

static atomic_int inside, all_inside;

static int wait_for_all(void *arg) {
  (void)arg;
  if (atomic_fetch_add(&inside, 1) + 1 == TOGETHER) atomic_store(&all_inside, 1);
  return block_until(&all_inside);
}

static void call_together(void *arg) {
  int seen = 0;
  CHECK_CODE(gs_cgocall(wait_for_all, NULL, &seen), GS_OK);
  CHECK_INT(seen, 1);
  wg_done(arg);
}

static int surplus_body(void *arg) {
  (void)arg;
  for (int round = 0; round < 3; round++) {
    wait_group wg;
    wg_init(&wg);
    atomic_store(&inside, 0);
    atomic_store(&all_inside, 0);
    for (int i = 0; i < TOGETHER; i++) go(call_together, &wg);
    wg_wait(&wg, TOGETHER);
    CHECK(metrics().threads_max >= TOGETHER);
    uint64_t left = 0;
    for (int64_t end = gs_now() + PATIENCE; gs_now() < end; gs_sleep(MS(10))) {
      left = metrics().threads;
      if (left <= 8) break;
    }
    CHECK(left <=
          8); /* four idle ones, the one that runs this, the poller, and some on their way */
  }
  return 0;
}

static int surplus_threads(void) { return run_scenario(PROCS, 0, surplus_body); }

static void test_idle_threads_end(void **state) {
  (void)state;
  static const char *const env[] = {"GOSCHED_THREAD_IDLE_MS=15", NULL};
  static const char *const bad[] = {"GOSCHED_THREAD_IDLE_MS=0", NULL};
  child c;
  child_run(&c, "surplus_threads", env);
  assert_child_exit(&c, 0);
  child_run(&c, "surplus_threads", bad);
  assert_child_exit(&c, 1);
  assert_child_says(&c, "GOSCHED_THREAD_IDLE_MS is \"0\"; a whole number in 1..86400000");
}

/* The ending of idle threads against those who want one. */
static void calls_with_pauses(void *arg) {
  for (int i = 0; i < SCALE(100); i++) {
    int ms = 1;
    CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
    if (i % 3 == 0) CHECK_CODE(gs_sleep(MS(2)), GS_OK);
  }
  wg_done(arg);
}

static int churn_body(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 16; i++) go(calls_with_pauses, &wg);
  wg_wait(&wg, 16);
  CHECK_INT(metrics().incgo, 0);
  return 0;
}

static int churn(void) { return run_scenario(PROCS, 12, churn_body); }

static void test_ending_against_wanting(void **state) {
  (void)state;
  static const char *const env[] = {"GOSCHED_THREAD_IDLE_MS=1", NULL};
  child c;
  child_run(&c, "churn", env);
  assert_child_exit(&c, 0);
}

/* ---- a smaller limit than before ---- */

static void many_calls(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 30; i++) go(call_one, &wg);
  wg_wait(&wg, 30);
}

static void few_threads(void *arg) {
  (void)arg;
  many_calls(NULL);
  CHECK(metrics().threads <= 4);
}

static void test_a_smaller_limit(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  run_config(&cfg, many_calls, NULL);
  cfg.max_threads = 4;
  run_config(&cfg, few_threads, NULL);
  cfg.max_threads = 0;
  run_config(&cfg, many_calls, NULL);
}

/* ---- BigGOMAXPROCS: 1024 Ps start ---- */

static void count_me(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static int big_body(void *arg) {
  (void)arg;
  atomic_int count = 0;
  CHECK(metrics().procs >= 1024);
  for (int i = 0; i < 2000; i++) go(count_me, &count);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&count) < 2000 && gs_now() < end;)
    gs_sleep(MS(1));
  CHECK_INT(atomic_load(&count), 2000);
  return 0;
}

static int big_gomaxprocs(void) { return run_scenario(1024, 0, big_body); }

static void test_big_gomaxprocs(void **state) {
  (void)state;
  child c;
  child_run(&c, "big_gomaxprocs", NULL);
  assert_child_exit(&c, 0);
}

/* ---- GoroutineParallelism: as many spin at once as there are Ps ---- */

static atomic_int meeting;

static void meet(void *arg) {
  int all = *(int *)arg;
  for (int round = 1; round <= 10; round++) {
    atomic_fetch_add(&meeting, 1);
    int64_t end = gs_now() + PATIENCE;
    while (atomic_load(&meeting) < round * all && gs_now() < end) continue;
    CHECK(atomic_load(&meeting) >= round * all);
  }
}

static void parallelism(void *arg) {
  (void)arg;
  int all = 4;
  gs_handle *h[4];
  atomic_store(&meeting, 0);
  for (int i = 0; i < all; i++) h[i] = go_named("meets", meet, &all);
  for (int i = 0; i < all; i++) join(h[i]);
}

static int parallelism_body(void *arg) {
  for (int i = 0; i < 5; i++) parallelism(arg);
  return 0;
}

static int goroutine_parallelism(void) { return run_scenario(4, 0, parallelism_body); }

static void test_goroutine_parallelism(void **state) {
  (void)state;
  child c;
  child_run(&c, "goroutine_parallelism", NULL);
  assert_child_exit(&c, 0);
}

/* ---- NumGoroutine ---- */

static void park_until(void *arg) {
  char x;
  CHECK_CODE(gs_chan_recv(arg, &x, GS_FOREVER), GS_ECLOSED);
}

static void num_goroutine(void *arg) {
  (void)arg;
  enum { MANY = 100 };
  uint64_t before = metrics().gs_live;
  gs_chan *c = chan_new(1, 0);
  gs_handle *h[MANY];
  for (int i = 0; i < MANY; i++) {
    h[i] = go_named("parks", park_until, c);
    CHECK_INT(metrics().gs_live, before + (uint64_t)i + 1);
  }
  CHECK_CODE(gs_chan_close(c), GS_OK);
  for (int i = 0; i < MANY; i++) join(h[i]);
  for (int64_t end = gs_now() + PATIENCE; metrics().gs_live != before && gs_now() < end;)
    gs_sleep(MS(1));
  CHECK_INT(metrics().gs_live, before);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_num_goroutine(void **state) {
  (void)state;
  run_procs(PROCS, num_goroutine, NULL);
}

/* ---- YieldProgress, YieldLockedProgress ---- */

static void poll_and_yield(void *arg) {
  gs_chan *c = arg;
  int value = 0;
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; gs_yield())
    if (gs_chan_try_recv(c, &value) == GS_OK) break;
  CHECK_INT(value, 7);
}

static void poll_and_yield_locked(void *arg) {
  gs_lock_os_thread();
  poll_and_yield(arg);
  gs_unlock_os_thread();
}

static void yield_progress(void *arg) {
  (void)arg;
  for (int locked = 0; locked < 2; locked++) {
    gs_chan *c = chan_new(sizeof(int), 1);
    int value = 7;
    gs_handle *h = go_named("polls", locked ? poll_and_yield_locked : poll_and_yield, c);
    for (int i = 0; i < 10; i++) gs_yield();
    CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_OK);
    join(h);
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void test_yield_progress(void **state) {
  (void)state;
  run_procs(PROCS, yield_progress, NULL);
}

int main(int argc, char **argv) {
  static const scenario table[] = {
      {"template_thread_race", template_thread_race},
      {"surplus_threads", surplus_threads},
      {"churn", churn},
      {"big_gomaxprocs", big_gomaxprocs},
      {"goroutine_parallelism", goroutine_parallelism},
  };
  scenarios_main(argc, argv, table, COUNT(table));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_yield_locked),
      cmocka_unit_test(test_unlocked_threads_stay),
      cmocka_unit_test(test_locked_are_counted),
      cmocka_unit_test(test_lock_avoids_state_propagation),
      cmocka_unit_test(test_template_thread_race),
      cmocka_unit_test(test_idle_threads_end),
      cmocka_unit_test(test_ending_against_wanting),
      cmocka_unit_test(test_a_smaller_limit),
      cmocka_unit_test(test_big_gomaxprocs),
      cmocka_unit_test(test_goroutine_parallelism),
      cmocka_unit_test(test_num_goroutine),
      cmocka_unit_test(test_yield_progress),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
