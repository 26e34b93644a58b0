/* held_calls.c: foreign calls that can be cancelled, with the cancellation where it hurts most. */
#include "hold.h"

/* Arming against cancelling (unblock.c).  The call arms its unblock function, then looks whether it
 * has been cancelled; the canceller says so, then takes what is armed and runs it.  Here it does
 * both while the call stands between: the function runs before there is anything to interrupt, and
 * if the call began all the same, nobody would end it. */
static atomic_int began, interrupted;

static int blocks_for_good(void *arg) {
  (void)arg;
  atomic_store(&began, 1);
  return 0; /* not really: that it was called is enough */
}

static void interrupt_it(void *arg) {
  (void)arg;
  atomic_fetch_add(&interrupted, 1);
}

static void call_it(void *arg) {
  *(int *)arg = gs_cgocall_unblock(blocks_for_good, NULL, NULL, interrupt_it, NULL);
}

static void arms_when_cancelled(void *arg) {
  (void)arg;
  int code = 1;
  Hold arming = {.where = "gs_cgocall_unblock"};
  hold(&arming);
  gs_handle *h = go_named("caller", call_it, &code);
  await(held(&arming));
  CHECK_CODE(gs_cancel(h), GS_OK);
  CHECK_INT(atomic_load(&interrupted), 1);
  hold_end(&arming);
  join(h);
  CHECK_INT(atomic_load(&began), 0);
  CHECK_CODE(code, GS_ECANCELED);
  CHECK_INT(atomic_load(&interrupted), 1);
}

int main(int argc, char **argv) {
  static const HeldTest table[] = {{"arms_when_cancelled", 2, arms_when_cancelled}};
  return held_main(argc, argv, table, COUNT(table));
}
