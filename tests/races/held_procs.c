/* held_procs.c: a change of procs against the M whose P it takes, and a locked G against the end of
 * gs_run on its thread.
 */
#include "hold.h"

#include <unistd.h>

#define SOON (PATIENCE / 3)

static atomic_int ran, phase, asked;
static gs_chan *c;

/* ---- two compute, one of them asks for a single P ---- */

/* Who asks keeps its P or gets the other's; the other one comes in without, but not before: it
 * would wait for a P, and sysmon would see to it that it gets one. */
static void ask_or_compute(uint32_t id) {
  if (gs_getm()->p->id == id) {
    CHECK_CODE(gs_set_procs(1), GS_OK);
    atomic_store(&asked, 1);
  } else {
    await_or_not(atomic_load(&asked), SOON);
    CHECK_INT(atomic_load(&asked), 1); /* nobody waits until this one has computed enough */
    CHECK_CODE(gs_chan_try_recv(c, NULL), GS_EWOULDBLOCK);
  }
}

static void other(void *arg) {
  atomic_store(&ran, 1);
  await(atomic_load(&phase));
  ask_or_compute(*(uint32_t *)arg);
}

static void shrink(uint32_t id) {
  c = chan_new(0, 0);
  gs_handle *h = go_named("other", other, &id);
  await(atomic_load(&ran));
  atomic_store(&phase, 1);
  ask_or_compute(id);
  join(h);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void first_asks(void *arg) {
  (void)arg;
  shrink(0);
}

static void last_asks(void *arg) {
  (void)arg;
  shrink(1);
}

/* ---- gs_run ends on the thread of a locked G for which a P is on its way ---- */

static M *runner;
static G *locked;

static bool at_rest(void) { return gs_getm() == runner && runner->lockedg == locked; }
static bool has_a_p_too(void) { return load_sc(&gs_sched.main_done) && load_acq(&runner->nextp); }

static void lock_and_wait(void *arg) {
  int x;
  (void)arg;
  locked = gs_getm()->curg;
  gs_lock_os_thread();
  CHECK_CODE(gs_chan_recv(c, &x, GS_FOREVER), GS_OK);
  atomic_store(&ran, 1);
}

static Hold woken;

/* On one P: the locked one runs on the thread of gs_run, and the main one goes on elsewhere. */
static void leave_a_locked_one(void *arg) {
  int x = 1;
  (void)arg;
  runner = load_acq(&gs_sched.main_m);
  c = chan_new(sizeof(int), 0);
  go(lock_and_wait, NULL);
  while (!is_parked(locked)) gs_yield();
  CHECK(gs_getm() != runner);
  hold(&woken);
  CHECK_CODE(gs_chan_send(c, &x, GS_FOREVER), GS_OK);
}

static void ends_with_a_p_on_its_way(void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 1;
  cfg.flags = GS_RUN_ABANDON;
  (void)arg;
  woken = (Hold){.where = "stoplockedm", .mine = at_rest, .until = has_a_p_too, .most = SOON};
  run_config(&cfg, leave_a_locked_one, NULL);
  await(atomic_load(&ran));
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"first_asks", 2, first_asks},
      {"last_asks", 2, last_asks},
      {"ends_with_a_p_on_its_way", 0, ends_with_a_p_on_its_way},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
