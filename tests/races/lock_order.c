/* lock_order.c: the order of the runtime's locks is checked when one is taken, in builds with
 * asserts.  In order nothing is said; out of order the process ends, and both locks are named.
 */
#include "support.h"

#include "runtime.h"

#include <signal.h>

static int in_order(void) {
  if (gs_boot() != GS_OK) return 1;
  lock(&gs_sched.retake_mu);
  lock(&gs_sched.lock);
  unlock(&gs_sched.lock);
  unlock(&gs_sched.retake_mu);
  return 0;
}

static int out_of_order(void) {
  if (gs_boot() != GS_OK) return 1;
  lock(&gs_sched.lock);
  lock(&gs_sched.retake_mu);
  unlock(&gs_sched.retake_mu);
  unlock(&gs_sched.lock);
  return 0;
}

static const scenario scenarios[] = {
    {"in_order", in_order},
    {"out_of_order", out_of_order},
};

static void test_order(void **state) {
  (void)state;
  child c;
  child_run(&c, "in_order", NULL);
  assert_child_exit(&c, 0);
#if GS_DEBUG || GS_TORTURE
  child_run(&c, "out_of_order", NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, "is taken while");
#else
  print_message("the other order is not tried: this build checks none\n");
#endif
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
