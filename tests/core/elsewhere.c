/* elsewhere.c: a known-long call goes to another thread while others wait.
 *
 * One P.  A site that is marked blocking, work queued: the green thread that waits runs on, on the
 * thread that entered the call, and the call is made on another.  A locked green thread keeps its
 * thread.  errno, floating-point controls, cancellation and the end of a call are as in any other.
 */
#include "support.h"

#include <fenv.h>
#include <unistd.h>

enum { PROCS = 1 };

static gs_site site = {.name = "marked", .flags = GS_SITE_BLOCKING};

typedef struct meet {
  long entered, inside, other; /* threads: where the call was entered, made; where the other ran */
  atomic_int ran;
} meet;

static void run_other(void *arg) {
  meet *x = arg;
  x->other = my_tid();
  atomic_store(&x->ran, 1);
}

static int stay_inside(void *arg) {
  meet *x = arg;
  x->inside = my_tid();
  errno = 77;
  return block_until(&x->ran);
}

static void enter_once(meet *x) {
  int seen = 0;
  go(run_other, x);
  x->entered = my_tid();
  CHECK_CODE(gs_cgocall_site(&site, stay_inside, x, &seen), GS_OK);
  CHECK_INT(gs_errno(), 77);
  CHECK_INT(seen, 1);
}

static void calls_move(void *arg) {
  (void)arg;
  gs_metrics before = metrics();
  for (int i = 0; i < 50; i++) {
    meet x = {0};
    CHECK_INT(fesetround(i % 2 ? FE_UPWARD : FE_TONEAREST), 0);
    enter_once(&x);
    CHECK_INT(fegetround(), i % 2 ? FE_UPWARD : FE_TONEAREST);
  }
  fesetround(FE_TONEAREST);
  gs_metrics after = metrics();
  CHECK_INT(after.cgocalls - before.cgocalls, 50);
  CHECK(after.handoffs_entry > before.handoffs_entry);
  CHECK_INT(after.incgo, 0);
}

static void test_calls_move(void **state) {
  (void)state;
  run_procs(PROCS, calls_move, NULL);
}

/* The one that waits runs where the call was entered: no thread has to wake up before that.  Not
 * every time: sysmon may have made the first one give way before. */
static void the_other_stays(void *arg) {
  (void)arg;
  int stayed = 0;
  for (int64_t end = gs_now() + PATIENCE; stayed == 0 && gs_now() < end;) {
    meet x = {0};
    enter_once(&x);
    stayed += x.other == x.entered;
  }
  CHECK(stayed > 0);
}

static void test_the_other_stays(void **state) {
  (void)state;
  run_procs(PROCS, the_other_stays, NULL);
}

static void locked_call(void *arg) {
  meet *x = arg;
  gs_lock_os_thread();
  enter_once(x);
  CHECK_INT(x->inside, x->entered);
  CHECK_INT(my_tid(), x->entered);
  gs_unlock_os_thread();
}

static void locked_calls_stay(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    meet x = {0};
    join(go_named("locked", locked_call, &x));
  }
}

static void test_locked_calls_stay(void **state) {
  (void)state;
  run_procs(PROCS, locked_calls_stay, NULL);
}

/* ---- many, at the limit of threads ---- */

static void call_and_count(void *arg) {
  int ms = 1;
  for (int i = 0; i < 10; i++) CHECK_CODE(gs_cgocall_site(&site, block_ms, &ms, NULL), GS_OK);
  wg_done(arg);
}

static void many(void *arg) {
  (void)arg;
  enum { MANY = 60 };
  wait_group wg;
  wg_init(&wg);
  uint64_t before = metrics().cgocalls;
  for (int i = 0; i < MANY; i++) go(call_and_count, &wg);
  wg_wait(&wg, MANY);
  CHECK_INT(metrics().cgocalls - before, MANY * 10);
  CHECK_INT(metrics().incgo, 0);
}

static void test_at_the_limit(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.max_threads = 5;
  run_config(&cfg, many, NULL);
  cfg.max_threads = 2;
  run_config(&cfg, many, NULL);
  cfg.max_threads = 0;
  run_config(&cfg, many, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_calls_move),
      cmocka_unit_test(test_the_other_stays),
      cmocka_unit_test(test_locked_calls_stay),
      cmocka_unit_test(test_at_the_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
