/* states.c: builds with asserts hold every change of a G's or P's status against the drawings in
 * docs/design.md.  Each of the 61 steps that can be written down is tried in a process of its own:
 * those of the drawings are taken, all others end the process with a line that names the step.
 */
#include "support.h"

#include "runtime.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Row: from; column: to.  The order is that of the enums in runtime.h. */
static const char *const of_g[] = {
    /* Gidle     */ ".x...x", /* made runnable, or unmade because there was no stack */
    /* Grunnable */ ".xx...", /* from queue to queue; run */
    /* Grunning  */ ".xxxxx", /* yields; goes on with another P; calls; parks; ends */
    /* Gsyscall  */ ".xxx.x", /* queued without a P; is back; after callbacks; a thread unbinds */
    /* Gwaiting  */ ".x....", /* ready */
    /* Gdead     */ "x..x..", /* used again; a foreign thread's */
};
static const char *const of_p[] = {
    /* Pidle    */ "xx.x.", /* let go, then on the list; acquired; the world stops */
    /* Prunning */ "xxxx.", /* let go; after a call's fast path; call; the world stops */
    /* Psyscall */ "xx.x.", /* retaken; back; the world stops */
    /* Pgcstop  */ "xxxxx", /* as it was before; dropped by a change of procs */
    /* Pdead    */ "x..x.", /* in use again, with the world stopped or not */
};

static int take_step(void) {
  const char *step = getenv("TEST_STEP");
  if (!step || strlen(step) != 3 || gs_boot() != GS_OK) return 1;
  uint32_t from = (uint32_t)(step[1] - '0'), to = (uint32_t)(step[2] - '0');
  if (step[0] == 'G') {
    static G g;
    g.status = from;
    g_to(&g, to);
    return g.status == to ? 0 : 2;
  }
  static P p;
  p.status = from;
  p_to(&p, to);
  return p.status == to ? 0 : 2;
}

static const scenario scenarios[] = {{"take_step", take_step}};

static void try_step(char of, uint32_t from, uint32_t to, bool drawn) {
  char step[] = {of, (char)('0' + from), (char)('0' + to), 0};
  setenv("TEST_STEP", step, 1);
  child c;
  child_run(&c, "take_step", NULL);
#if GS_CHECKED
  if (!drawn) {
    char says[64];
    snprintf(says, sizeof says, "a %c in state %u becomes %u", of, from, to);
    assert_child_signal(&c, SIGABRT);
    assert_child_says(&c, says);
    return;
  }
#else
  (void)drawn; /* this build checks none */
#endif
  assert_child_exit(&c, 0);
}

static void test_steps_of_g(void **state) {
  (void)state;
  for (uint32_t from = Gidle; from <= Gdead; from++)
    for (uint32_t to = Gidle; to <= Gdead; to++) try_step('G', from, to, of_g[from][to] == 'x');
}

static void test_steps_of_p(void **state) {
  (void)state;
  for (uint32_t from = Pidle; from <= Pdead; from++)
    for (uint32_t to = Pidle; to <= Pdead; to++) try_step('P', from, to, of_p[from][to] == 'x');
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_steps_of_g),
      cmocka_unit_test(test_steps_of_p),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
