/* timer_user.c: timers that start a green thread when their time comes.
 *
 * A gs_timer stands in the heap of the P on which it was set, beside the deadlines of parked Gs,
 * and whoever runs that heap - the P, a P that steals, the poller, sysmon - makes the green thread,
 * under the heap's mutex.  So a timer that was taken out of its heap does not fire any more, and
 * one that is not found there has fired.  If there is no memory for a green thread, the timer is
 * due again a little later: it fires late rather than never.
 *
 * Setting, stopping and freeing hold the timer's own lock, which stands before that of a heap;
 * firing takes the heap's alone.
 *
 * The end of gs_run.  It waits until no green thread but the main one is left.  A timer that fires
 * counts its green thread first and then looks whether the end has begun: either the end sees one
 * more and waits for it, or the timer sees the end, and drops what it has made.
 */
#include <stdlib.h>

#include "runtime.h"

#define RETRY_NS 1000000

struct gs_timer {
  Timer t;
  void (*fn)(void *); /* write-once, as arg and d */
  void *arg;
  Domain *d;
  int64_t period; /* 0: fires once; the heap's lock, or nobody else's while it is in none */
  Lock lock;      /* against two that set or stop it at a time */
};

static gs_timer *timer_of(Timer *at) {
  return (gs_timer *)(void *)((char *)at - offsetof(gs_timer, t));
}

void timer_user_free(Timer *at) { free(timer_of(at)); }

/* Times that were missed are passed over, so that it does not fire in a burst. */
static int64_t next_time(int64_t when, int64_t period, int64_t now) {
  int64_t next;
  if (__builtin_add_overflow(when, period * ((now - when) / period), &next) ||
      __builtin_add_overflow(next, period, &next) || next == INT64_MAX)
    return INT64_MAX - 1;
  return next;
}

G *timer_user_fire(Timer *at, int64_t now, int64_t *next) {
  gs_timer *t = timer_of(at);
  G *g = g_new(NULL, t->d, t->fn, t->arg);
  if (!g) {
    *next = now + RETRY_NS;
    return NULL;
  }
  g->schedlink = NULL;
  torture_window(); /* the end of gs_run may begin */
  /* In this order: `ending` is taken back after main_done is set, for callbacks. */
  if (load_sc(&gs_sched.ending) || load_sc(&gs_sched.main_done)) g = g_unmake(NULL, g);
  *next = t->period ? next_time(at->when, t->period, now) : INT64_MAX;
  return g;
}

static int set(gs_timer *t, int64_t when, int64_t period, int *was_pending) {
  M *m = enter();
  P *p = m ? m->p : load_rlx(&gs_native.allp[0]);
  bool shared = t->t.user != TIMER_FORGET; /* such a one may be gone once it is added */
  if (when < 0) when = 0;
  if (shared) lock(&t->lock);
  bool pending = timers_del(&t->t);
  torture_window(); /* another thread sets it, too */
  t->period = period;
  bool added = timers_add(&p->timers, &t->t, when);
  if (shared) unlock(&t->lock);
  /* The calling G goes on, so this M does not look at the clock: somebody else must. */
  if (!load_sc(&gs_sched.poller)) {
    start_poller();
    if (!m) sysmon_wake();
  }
  if (m) leave(m);
  if (was_pending) *was_pending = pending;
  return added ? GS_OK : gs_fail(GS_ENOMEM, "gs_timer: out of memory for another timer");
}

static int new_timer(const char *name, void (*fn)(void *), void *arg, gs_timer **out) {
  if (!fn) return gs_fail(GS_EINVAL, "%s: fn is NULL; a function is needed", name);
  M *here = gs_getm();
  if (!here && !load_acq(&gs_sched.running))
    return gs_fail(GS_EPERM, "%s: no gs_run is under way", name);
  gs_timer *t = calloc(1, sizeof *t);
  if (!t) return gs_fail(GS_ENOMEM, "%s: out of memory", name);
  t->t.user = TIMER_USER;
  t->fn = fn;
  t->arg = arg;
  t->d = here && here->curg ? here->curg->d : &gs_native;
  *out = t;
  return GS_OK;
}

int gs_timer_new(void (*fn)(void *), void *arg, gs_timer **out) {
  if (!out) return gs_fail(GS_EINVAL, "gs_timer_new: out is NULL");
  return new_timer("gs_timer_new", fn, arg, out);
}

int gs_timer_after(int64_t ns, void (*fn)(void *), void *arg, gs_timer **out) {
  gs_timer *t;
  int64_t now = os_now();
  int err = new_timer("gs_timer_after", fn, arg, &t);
  if (err) return err;
  if (!out) t->t.user = TIMER_FORGET;
  if (ns < 0) ns = 0;
  err = set(t, ns > INT64_MAX - 1 - now ? INT64_MAX - 1 : now + ns, 0, NULL);
  if (err)
    free(t);
  else if (out)
    *out = t;
  return err;
}

int gs_timer_reset(gs_timer *t, int64_t when, int64_t period, int *was_pending) {
  if (!t) return gs_fail(GS_EINVAL, "gs_timer_reset: the timer is NULL");
  if (period < 0)
    return gs_fail(GS_EINVAL, "gs_timer_reset: period is %lld; 0 (once) or more is accepted",
                   (long long)period);
  if (when == GS_FOREVER) return gs_timer_stop(t, was_pending);
  return set(t, when, period, was_pending);
}

int gs_timer_stop(gs_timer *t, int *was_pending) {
  if (!t) return gs_fail(GS_EINVAL, "gs_timer_stop: the timer is NULL");
  M *m = enter();
  lock(&t->lock);
  bool pending = timers_del(&t->t);
  unlock(&t->lock);
  if (m) leave(m);
  if (was_pending) *was_pending = pending;
  return GS_OK;
}

void gs_timer_free(gs_timer *t) {
  if (!t) return;
  gs_timer_stop(t, NULL);
  free(t);
}
