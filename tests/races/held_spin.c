/* held_spin.c: an M that spins against somebody who makes a green thread runnable and relies on it
 * (proc.c): the M has looked at the queues already, and is about to say that it spins no more.
 *
 * Nobody but that M looks for the new green thread then.  sysmon would find it a few milliseconds
 * later, so it is kept from looking; what is asked here is whether the two sides do without it.
 * Main is the submitter.  It computes meanwhile, so that nobody runs what stands in its queue but
 * a thief.
 */
#include "hold.h"

#include <unistd.h>

#define SOON (PATIENCE / 3)
#define A_WHILE MS(200)

static atomic_int ran;

static void set_ran(void *arg) {
  (void)arg;
  atomic_store(&ran, 1);
}

static void do_nothing(void *arg) { (void)arg; }

/* Main's P has nothing queued and nobody asks for it; another one is idle; and one M spins, or is
 * counted as one that does. */
static bool one_spins(void) {
  const P *p = gs_getm()->p;
  const Domain *d = p->d;
  return load_sc(&d->nmspinning) == 1 && load_sc(&d->npidle) == 1 && !load_rlx(&p->preempt) &&
         !p_has_work(p);
}

/* Wakes an M, which finds something to do, then nothing more, and spins.  It may find no reason to,
 * where others spin already: then there is another try. */
static bool make_one_spin(Hold *h) {
  hold(h);
  go(do_nothing, NULL);
  await_or_not(held(h), A_WHILE);
  bool there = held(h);
  if (!there) hold_end(h);
  return there;
}

/* Main queues a G while one M is seen to spin, and wakes nobody; then that one stops.  False: it is
 * not so that only that M can help. */
static bool submit(Hold *h) {
  lock(&gs_sched.retake_mu); /* sysmon's look waits for it */
  bool alone = held(h) && one_spins();
  if (alone) {
    go(set_ran, NULL);
    hold_end(h);
    await(atomic_load(&ran));
  }
  unlock(&gs_sched.retake_mu);
  hold_end(h);
  return alone;
}

/* Tries until it comes about, or time is up. */
static void until_it_is(bool (*so)(void)) {
  for (int64_t end = gs_now() + SOON; !so();) {
    if (gs_now() > end) {
      print_message("not tried: this machine is too busy\n");
      return;
    }
    os_sleep_ns(MS(1));
  }
}

/* ---- retire ----
 *
 * The M has given its P up; it counts itself down and then looks at all queues.  The submitter has
 * queued its G and then reads the count.  Here it reads it before it goes down, so that look has to
 * find the G. */
static bool has_given_up(void) {
  const M *m = gs_getm();
  return m && m->spinning && m->p == &gs_nop;
}

static Hold out = {.where = "retire", .mine = has_given_up, .most = 2 * SOON};

static bool retiring(void) { return make_one_spin(&out) && submit(&out); }

static void submit_while_it_retires(void *arg) {
  (void)arg;
  until_it_is(retiring);
}

/* ---- p_lost ----
 *
 * The same, of an M that has not given its P up: a change of procs takes it away.  The M has found
 * nothing and is about to give up the last of three Ps when that is LOCKed, and dropped.  What
 * decides is again that it counts itself down before it looks. */
static bool has_the_last(void) { return gs_getm()->spinning && gs_getm()->p->id == 2; }
static bool is_locked(void) { return load_acq(&gs_getm()->pw) & PW_LOCK; }
static bool still_counts(void) { return gs_getm()->spinning; }

static Hold vain = {.where = "retire", .mine = has_the_last, .until = is_locked, .most = SOON};
static Hold lost = {.where = "p_lost", .mine = still_counts, .most = 2 * SOON};

static bool losing(void) {
  CHECK_CODE(gs_set_procs(1), GS_OK); /* main has the first */
  CHECK_CODE(gs_set_procs(3), GS_OK);
  bool there = make_one_spin(&vain);
  if (there) {
    hold(&lost);
    CHECK_CODE(gs_set_procs(2), GS_OK);
    await_or_not(held(&lost), A_WHILE);
  }
  hold_end(&vain);
  return there && submit(&lost);
}

static void submit_while_it_loses_its_p(void *arg) {
  (void)arg;
  until_it_is(losing);
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"submit_while_it_retires", 2, submit_while_it_retires},
      {"submit_while_it_loses_its_p", 3, submit_while_it_loses_its_p},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
