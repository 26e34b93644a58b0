/* poll.c: one idle M watches the clock for everybody.
 *
 * The poller is an M without a P that sleeps until the earliest timer of all Ps, makes the Gs
 * runnable whose time has come, and takes an idle P to run them itself if there is one (a wake-up
 * of another thread would cost tens of microseconds).  An M that goes idle takes the seat if it is
 * free and there is something to wait for.  An M that parks a G with a deadline and goes on with
 * other work makes sure that somebody sits there (poll_ensure).  Where nobody does, sysmon finds it
 * at its next tick.
 *
 * The race.  One side adds a timer and then looks whether the poller would sleep beyond it; the
 * other publishes that it polls, and until when, and then looks at the timers.  Both publish with
 * seq_cst stores and look with seq_cst loads, so at least one sees the other: either the poller
 * sleeps shorter, or its note is set.  It publishes "for ever" first, so that whoever adds a timer
 * between its two steps sets the note.
 */
#include "runtime.h"

/* Makes the Gs of a list runnable; the first whose domain has an idle P is run by m itself. */
static void inject(M *m, G *g) {
  while (g) {
    G *next = g->schedlink;
    if (m->p == &gs_nop && !g->lockedm) {
      P *p = pidleget_try(g->d);
      if (p) acquirep(m, p);
    }
    ready(m->p == &gs_nop ? NULL : m, g);
    g = next;
  }
}

bool poll_wait(M *m) {
  P *p = NULL;
  if (timers_next() == INT64_MAX) return false;
  if (!CAS(&gs_sched.poller, NULL, m)) return false;
  note_clear(&gs_sched.poll_note);
  store_sc(&gs_sched.poll_until, INT64_MAX);
  torture_window(); /* a timer that is added now sets the note */
  int64_t when = timers_next();
  torture_window(); /* and so does one that comes after the look */
  if (when != INT64_MAX && !(m->runner && load_sc(&gs_sched.main_done))) {
    store_sc(&gs_sched.poll_until, when);
    /* Where no thread can be made, work waits for any that is free, and this one is.  startm sets
     * starved and then looks whether somebody polls. */
    if (load_sc(&gs_sched.starved)) p = starved_work();
    if (!p && os_now() < when) {
      /* The default slack would make every timer 50 us late. */
      os_slack(1);
      note_sleep_until(&gs_sched.poll_note, when);
      os_slack(gs_sched.timerslack);
    }
  }
  store_sc(&gs_sched.poller, NULL);
  if (p) acquirep(m, p);
  inject(m, timers_run_all(os_now()));
  return true;
}

void poll_break(int64_t when) {
  if (load_sc(&gs_sched.poller) && when < load_sc(&gs_sched.poll_until))
    note_wake(&gs_sched.poll_note);
}

void poll_ensure(M *m) {
  if (load_rlx(&gs_sched.poller) == NULL && p_has_work(m->p)) start_poller();
}
