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
  Hold arming = {.where = "unblock_call"};
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

/* ---- deadlines (unblock.c) ---- */

static bool caller_disarmed(void) {
  G *g = g_named("caller");
  return g && !(load_sc(&g->unblock) & 15u);
}

static Hold firing = {.where = "unblock_fire", .until = caller_disarmed};

static int return_when_firing(void *arg) {
  (void)arg;
  await(reached(&firing));
  return 4;
}

static void call_with_deadline(void *arg) {
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = interrupt_it;
  o.deadline_ns = gs_now() + US(500);
  *(int *)arg = gs_cgocall_opts(&o, return_when_firing, NULL, NULL);
}

/* The timer has made the green thread that is to run the unblock function; the call ends before the
 * timer takes its word.  Then nobody may run it. */
static void ends_as_its_deadline_passes(void *arg) {
  (void)arg;
  int code = 1;
  atomic_store(&interrupted, 0);
  hold(&firing);
  join(go_named("caller", call_with_deadline, &code));
  if (hold_over(&firing)) {
    CHECK_CODE(code, GS_OK);
    CHECK_INT(atomic_load(&interrupted), 0);
  }
  for (int i = 0; i < 100; i++) gs_yield();
  CHECK_INT(metrics().gs_live, 1);
}

/* A call that ends takes its timer along. */
static int at_once(void *arg) {
  (void)arg;
  return 3;
}

static void takes_its_timer_along(void *arg) {
  (void)arg;
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = interrupt_it;
  o.deadline_ns = gs_now() + PATIENCE;
  CHECK_CODE(gs_cgocall_opts(&o, at_once, NULL, NULL), GS_OK);
  CHECK_INT(timers_next(), INT64_MAX);
  o.destroy = interrupt_it;
  CHECK_CODE(gs_cgocall_opts(&o, at_once, NULL, NULL), GS_OK);
  CHECK_INT(timers_next(), INT64_MAX);
}

/* The same, but the call is only put aside: its deadline counts again when the inner call is over.
 */
static int until_fired(void *arg) {
  (void)arg;
  await(hold_over(&firing));
  return 0;
}

static void inner_call(void *arg) {
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = interrupt_it;
  CHECK_CODE(gs_cgocall_opts(&o, until_fired, arg, NULL), GS_OK);
}

static bool inner_begun(void) {
  G *g = g_named("caller");
  return g && g->pins && (load_sc(&g->unblock) & 15u) == 1 && !g->deadline;
}

static int call_inside_when_firing(void *arg) {
  (void)arg;
  await(reached(&firing));
  CHECK_CODE(gs_cgocallback(inner_call, NULL), GS_OK);
  await(atomic_load(&interrupted));
  return 4;
}

static void call_and_again(void *arg) {
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = interrupt_it;
  o.deadline_ns = gs_now() + US(500);
  *(int *)arg = gs_cgocall_opts(&o, call_inside_when_firing, NULL, NULL);
}

static void is_put_aside_as_its_deadline_passes(void *arg) {
  (void)arg;
  int code = 1;
  atomic_store(&interrupted, 0);
  firing.until = inner_begun;
  hold(&firing);
  join(go_named("caller", call_and_again, &code));
  CHECK_CODE(code, GS_ETIMEOUT);
  CHECK_INT(atomic_load(&interrupted), 1);
}

/* ---- calls that own their argument (detach.c) ---- */

static atomic_int may_return, destroyed;

static int until_it_may(void *arg) {
  (void)arg;
  atomic_store(&began, 1);
  await(atomic_load(&may_return));
  return 4;
}

static void destroy_it(void *arg) {
  (void)arg;
  atomic_fetch_add(&destroyed, 1);
}

typedef struct Owned {
  int code, result;
} Owned;

static void call_owned(void *arg) {
  Owned *c = arg;
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = interrupt_it;
  o.destroy = destroy_it;
  c->code = gs_cgocall_opts(&o, until_it_may, NULL, &c->result);
}

static void owned_begins(void) {
  atomic_store(&began, 0);
  atomic_store(&interrupted, 0);
  atomic_store(&destroyed, 0);
  atomic_store(&may_return, 0);
}

static bool call_is_over(void) { return g_named("detachable call") == NULL; }

/* The caller gives up and has seen a call that still runs; before it says so the call ends.  The
 * result counts, and nothing is unblocked that has been destroyed. */
static void ends_as_its_caller_gives_up(void *arg) {
  (void)arg;
  Owned c = {1, 0};
  Hold giving_up = {.where = "release", .until = call_is_over};
  owned_begins();
  hold(&giving_up);
  gs_handle *h = go_named("caller", call_owned, &c);
  await(atomic_load(&began));
  CHECK_CODE(gs_cancel(h), GS_OK);
  await(reached(&giving_up));
  atomic_store(&may_return, 1);
  join(h);
  if (c.code == GS_OK) {
    CHECK_INT(c.result, 4);
    CHECK_INT(atomic_load(&interrupted), 0);
  } else {
    CHECK_CODE(c.code, GS_ECANCELED); /* the hold was over too soon */
  }
  await(call_is_over());
  CHECK_INT(atomic_load(&destroyed), 1);
  CHECK_INT(metrics().detached_now, 0);
}

/* The caller gives up when fn has returned and its argument is destroyed, but the call has not said
 * that it is over: there is nothing to unblock any more. */
static void gives_up_after_destroy(void *arg) {
  (void)arg;
  Owned c = {1, 0};
  Hold ending = {.where = "run_call", .most = MS(2000)};
  owned_begins();
  atomic_store(&may_return, 1);
  hold(&ending);
  gs_handle *h = go_named("caller", call_owned, &c);
  await(held(&ending));
  CHECK_INT(atomic_load(&destroyed), 1);
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  for (int i = 0; i < 100; i++) gs_yield();
  CHECK_INT(atomic_load(&interrupted), 0);
  CHECK(c.code == GS_ECANCELED || hold_over(&ending));
  hold_end(&ending);
  await(call_is_over());
  CHECK_INT(atomic_load(&interrupted), 0);
  CHECK_INT(atomic_load(&destroyed), 1);
  CHECK_INT(metrics().detached_now, 0);
}

int main(int argc, char **argv) {
  static const HeldTest table[] = {
      {"arms_when_cancelled", 2, arms_when_cancelled},
      {"ends_as_its_deadline_passes", 3, ends_as_its_deadline_passes},
      {"takes_its_timer_along", 2, takes_its_timer_along},
      {"is_put_aside_as_its_deadline_passes", 3, is_put_aside_as_its_deadline_passes},
      {"ends_as_its_caller_gives_up", 3, ends_as_its_caller_gives_up},
      {"gives_up_after_destroy", 3, gives_up_after_destroy},
  };
  return held_main(argc, argv, table, COUNT(table));
}
