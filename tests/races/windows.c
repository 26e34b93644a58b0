/* windows.c: races whose loser would sleep for ever, or too long.  Each test makes the two sides
 * meet a few thousand times; in the torture build the windows between their steps are widened, and
 * the patches in tests/mutants that remove a guard are caught there.
 */
#include "support.h"

#include "runtime.h"

/* Submit against retire (proc.c): a G that is made runnable while the last spinning M gives its P
 * up must run, although the M that made it runnable goes on computing. */
static atomic_int ran;

static void set_ran(void *arg) {
  (void)arg;
  atomic_store(&ran, 1);
}

static void submit_against_retire(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(3000); i++) {
    atomic_store(&ran, 0);
    go(set_ran, NULL);
    int64_t until = gs_now() + PATIENCE / 3;
    while (!atomic_load(&ran) && gs_now() < until) {
    }
    CHECK(atomic_load(&ran));
    if (!atomic_load(&ran)) return;
    if (i % 7 == 0) gs_sleep(US(50));
  }
}

static void test_submit_against_retire(void **state) {
  (void)state;
  run_procs(2, submit_against_retire, NULL);
}

/* Add a timer against the poller going to sleep (poll.c): the poller must not sleep beyond it.  Two
 * Gs on two Ms park at the same moment, one for long - its M becomes the poller - and one for a
 * moment. */
static atomic_int both;

static void park_for_long(void *arg) {
  (void)arg;
  atomic_fetch_add(&both, 1);
  while (atomic_load(&both) < 2) compiler_fence();
  CHECK_CODE(gs_sleep(PATIENCE), GS_ECANCELED);
}

static void timer_against_poller(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(1000) && !checks_failed(); i++) {
    atomic_store(&both, 0);
    gs_handle *h = go_named("long", park_for_long, NULL);
    while (atomic_load(&both) < 1) compiler_fence();
    int64_t begin = gs_now();
    atomic_fetch_add(&both, 1);
    for (int k = 0; k < i % 20 * 20; k++) compiler_fence();
    CHECK_CODE(gs_sleep(US(300)), GS_OK);
    /* All is idle meanwhile, so sysmon sleeps and cannot help. */
    CHECK(gs_now() - begin < PATIENCE / 4);
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
}

static void test_timer_against_poller(void **state) {
  (void)state;
  run_procs(2, timer_against_poller, NULL);
}

/* Cancel against park (g.c): a G that is about to park when it is cancelled must notice. */
static void park_once(void *arg) {
  gs_chan *c = arg;
  char x;
  CHECK_CODE(gs_chan_recv(c, &x, gs_now() + PATIENCE), GS_ECANCELED);
}

static void cancel_against_park(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(1, 0);
  for (int i = 0; i < SCALE(3000) && !checks_failed(); i++) {
    gs_handle *h = go_named("parker", park_once, c);
    for (int k = 0; k < i % 50 * 10; k++) compiler_fence();
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_cancel_against_park(void **state) {
  (void)state;
  run_procs(2, cancel_against_park, NULL);
}

/* The first P that leaves the idle list against sysmon going to sleep (sysmon.c): a blocking call
 * with work behind it must lose its P. */
static void tick(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static int wait_for_tick(void *arg) { return block_until(arg); }

static void wake_against_deep_sleep(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(300) && !checks_failed(); i++) {
    atomic_int ticks = 0;
    int seen = 0;
    gs_site site = {.name = "wait_for_tick", .shorts = 16}; /* known short: it pokes nobody */
    gs_sleep(i % 3 ? MS(1) : MS(12));                       /* everything idle */
    gs_handle *h = go_named("tick", tick, &ticks);
    CHECK_CODE(gs_cgocall_site(&site, wait_for_tick, &ticks, &seen), GS_OK);
    CHECK(seen == 1);
    join(h);
  }
}

static void test_wake_against_deep_sleep(void **state) {
  (void)state;
  run_procs(1, wake_against_deep_sleep, NULL);
}

/* A G that parks for a moment, and the only other one goes on and computes: somebody has to watch
 * the clock (poll_ensure), and it must not be sysmon, which looks every 10 ms and is kept out here.
 */
static void nap(void *arg) {
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
  atomic_store((atomic_int *)arg, 1);
}

static void compute_while_another_naps(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    atomic_int awake = 0;
    gs_sleep(MS(1));                      /* the other M sleeps, and does not watch */
    fork_lock(&gs_sched.retake_mu, true); /* main may come back on another thread */
    gs_handle *h = go_named("naps", nap, &awake);
    gs_yield();
    int64_t until = gs_now() + PATIENCE / 4;
    bool watched = false;
    while (!watched && gs_now() < until)
      watched = load_sc(&gs_sched.poller) || timers_next() == INT64_MAX /* it was watched */;
    CHECK(watched);
    fork_lock(&gs_sched.retake_mu, false);
    join(h);
    if (checks_failed()) return;
  }
}

static void test_somebody_watches(void **state) {
  (void)state;
  run_procs(1, compute_while_another_naps, NULL);
  run_procs(2, compute_while_another_naps, NULL);
}

int main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  /* Or sysmon would mend what goes wrong here, by taking the P of who waits for it in vain. */
  gs_sched.test_flags = TEST_NO_RELIEF | TEST_NO_QUEUED;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_submit_against_retire), cmocka_unit_test(test_timer_against_poller),
      cmocka_unit_test(test_cancel_against_park),   cmocka_unit_test(test_wake_against_deep_sleep),
      cmocka_unit_test(test_somebody_watches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
