/* told.c: who queues a G behind one that has the turn of a binding wakes sysmon (sysmon.c,
 * SLOW_TURN), and stops doing so when that is in vain.
 *
 * sysmon looks by itself, at times of its own.  So the test waits for the level, does what should
 * wake it, and looks whether the wake was its own; if sysmon woke up meanwhile it tries again.
 */
#include "gosched_domain.h"
#include "support.h"

#include "runtime.h"

enum { SOME = 40 }; /* times in vain */

static int keeps(void *ud, void *const *gdata, int64_t outside_ns, int waiting) {
  (void)ud, (void)gdata, (void)outside_ns, (void)waiting;
  return GS_RETAKE_NO;
}

static void nothing(void *arg) { (void)arg; }

/* Queues one at this level of sysmon's, until that has woken it, or until it has not.  Below its
 * deepest level it is only for a while after it was woken out of that. */
static bool happens_at(uint32_t level, bool woken) {
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end;) {
    uint32_t slow = load_sc(&gs_sched.sysmon_slow);
    if (slow != level && slow != SLOW_ALL) continue;
    uint64_t before = load_rlx(&gs_sched.npokes);
    go(nothing, NULL);
    bool still = load_sc(&gs_sched.sysmon_slow) == level;
    bool poked = load_rlx(&gs_sched.npokes) != before;
    gs_yield();
    if (slow == level && (woken ? poked : still && !poked)) return true;
  }
  return false;
}

/* All in vain, so after some times it says that only calls may wake it. */
static void wakes_it_and_then_does_not(void *arg) {
  (void)arg;
  CHECK(happens_at(SLOW_TURN, true));
  int64_t end = gs_now() + PATIENCE;
  uint64_t before = load_rlx(&gs_sched.npokes);
  while (load_sc(&gs_sched.sysmon_slow) != SLOW_CALLS && gs_now() < end) {
    go(nothing, NULL);
    gs_yield();
  }
  CHECK(load_rlx(&gs_sched.npokes) - before <= SOME); /* not only when its budget was spent */
  CHECK(happens_at(SLOW_CALLS, false));
}

static void test_it_is_told_of_a_turn(void **state) {
  (void)state;
  static const gs_domain_ops ops = {.size = sizeof ops, .may_retake = keeps};
  gs_config cfg = GS_CONFIG_DEFAULT;
  if (os_ncpu() < 2) { /* it would take the CPU from who is about to block */
    print_message("skipped: with one CPU sysmon is not told\n");
    skip();
  }
  assert_int_equal(gs_domain_new("turn", 1, 0, &ops, NULL, &cfg.domain), GS_OK);
  run_config(&cfg, wakes_it_and_then_does_not, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_is_told_of_a_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
