/* sysmon.c: the thread that watches.  It holds no P and runs no G.
 *
 * It wakes every 20 us .. 10 ms, looks at every P, and takes those whose M has been outside for too
 * long while others wait; it asks for the P of a G that has used up its slice; it runs timers when
 * nobody polls; it tries again where a thread could not be made.
 *
 * How often.  20 us while there is something to do, doubling after 50 looks in vain up to 10 ms
 * (the specification's back-off), at most 1 ms while Gs wait for a P.  When every P is idle it
 * sleeps until the next timer, or for good, and the first P that leaves the idle list wakes it
 * (pidleget). An M that enters a call of a site not known to be short, with work queued, pokes it.
 *
 * What it costs.  A look costs tens of microseconds on a virtual machine, mostly the kernel's.  So
 * its own CPU time is measured and kept under BUDGET_PERMILLE of one CPU by stretching the pauses;
 * a burst of BURST_NS is allowed first.
 *
 * The rules of retake, for a P whose M is outside and has been in the same stretch (the same sc) at
 * the last look, or was poked about:
 *   CALL   taken if work waits for this P, or if every other P of the domain is busy too, or if the
 *          call has lasted EMPTY_NS (so that sysmon can go to sleep and leave a long call alone).
 *   USER   the binding is asked.  BLOCKED at two looks: as CALL, for work that waits.  HOG: taken
 *          after FORCE_PREEMPT_NS if work waits; it goes on without a P and queues at its next gs_
 *          call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime.h"

#define MIN_DELAY_NS 20000
#define MAX_DELAY_NS 10000000
#define WAITING_DELAY_NS 1000000
#define IDLE_LOOKS 50
#define EMPTY_NS 10000000
#define FORCE_PREEMPT_NS 10000000
#define BUDGET_PERMILLE 50
#define BURST_NS 5000000
#define SLOW_NS 100000 /* a pause longer than this is worth a poke */
#define BATCH 64

enum { POKING = 1, POKED = 2 }; /* sysmon_poked: being written, to be served */

static struct {
  int64_t delay;
  int idle;       /* looks in vain */
  int64_t bucket; /* CPU time that may be spent, ns */
  int64_t last_now, last_cpu;
  M *poke_m; /* the poke being served */
  uint64_t poke_sc;
  uint64_t ticks; /* of all Ps at the last look */
} sm;

/* ---- looking at one P ---- */

static bool call_is_long(P *p, int64_t now) {
  Domain *d = p->d;
  if (p_has_work(p)) return true;
  if (now - p->seen.when >= EMPTY_NS) return true;
  return load_rlx(&d->nprocs) > 1 && load_rlx(&d->npidle) + load_rlx(&d->nmspinning) == 0;
}

static bool user_code_is_long(P *p, M *m, int64_t now) {
  Domain *d = p->d;
  G *g = load_rlx(&m->curg);
  /* The M may have gone on to another domain since it was looked up. */
  if (!d->ops.may_retake || !g || g->d != d) return false;
  bool waiting = p_has_work(p);
  int64_t outside = now - p->seen.when;
  switch (d->ops.may_retake(d->ud, &g->data, outside, waiting)) {
    case GS_RETAKE_BLOCKED:
      if (!p->seen.detached) {
        p->seen.detached = now;
        return false;
      }
      return waiting || now - p->seen.detached >= EMPTY_NS;
    case GS_RETAKE_HOG: p->seen.detached = 0; return waiting && outside >= FORCE_PREEMPT_NS;
    default: p->seen.detached = 0; return false;
  }
}

static void preempt_if_expired(P *p, int64_t now) {
  uint32_t tick = load_rlx(&p->schedtick);
  if (p->seen.schedtick != tick || !p->seen.schedwhen) {
    p->seen.schedtick = tick;
    p->seen.schedwhen = now;
  } else if (now - p->seen.schedwhen >= FORCE_PREEMPT_NS && p_has_work(p)) {
    store_rlx(&p->preempt, 1);
  }
}

/* Fills *r and returns true if the P should be taken. */
static bool judge(P *p, int64_t now, Retake *r) {
  M *m = load_acq(&p->m);
  if (!m || load_rlx(&p->status) == Pidle) {
    p->seen.m = NULL;
    p->seen.schedwhen = 0;
    return false;
  }
  uint64_t sc = load_acq(&m->sc);
  preempt_if_expired(p, now);
  bool poked = m == sm.poke_m && sc == sm.poke_sc;
  if (p->seen.m != m || p->seen.sc != sc) {
    p->seen.m = m;
    p->seen.sc = sc;
    p->seen.when = now;
    p->seen.detached = 0;
    if (!poked && !((sc & SC_MODE) == SC_USER && p->d->ops.may_retake)) return false;
  }
  if (load_acq(&m->inhook)) return false;
  if ((sc & SC_MODE) == SC_CALL) {
    if (!call_is_long(p, now)) return false;
  } else if ((sc & SC_MODE) == SC_USER) {
    if (!user_code_is_long(p, m, now)) return false;
  } else {
    return false;
  }
  *r = (Retake){.p = p, .m = m, .sc = sc};
  return true;
}

/* ---- all of them ---- */

static void remember_site(const Retake *r) {
  G *g = load_rlx(&r->m->curg);
  gs_site *site = g ? (gs_site *)(uintptr_t)load_rlx(&g->site) : NULL;
  if ((r->sc & SC_MODE) != SC_CALL || !site) return;
  store_rlx(&site->score, 64);
  store_rlx(&site->shorts, 0);
  add_rlx(&site->retakes, 1);
}

static int take_and_hand_off(Retake *r, int n) {
  int got = 0;
  for (int i = 0; i < n; i++) remember_site(&r[i]);
  retake_batch(r, n);
  for (int i = 0; i < n; i++) {
    if (!r[i].taken) continue;
    got++;
    add_rlx((r[i].sc & SC_MODE) == SC_CALL ? &gs_sched.nretake : &gs_sched.nretake_user, 1);
    if (unlikely(load_rlx(&r[i].m->attn) & ATTN_TRACE))
      trace_event(r[i].m, EV_RETAKE, r[i].p->id, r[i].p);
    handoffp(r[i].p);
  }
  return got;
}

static int retake(int64_t now, bool *waiting) {
  Retake batch[BATCH];
  int n = 0, got = 0;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, np = load_acq(&d->nallp); i < np; i++) {
      P *p = d->allp[i];
      if (load_rlx(&p->status) != Pidle && p_has_work(p)) {
        *waiting = true;
        wakep(d); /* who put it there may have thought that it was not worth it: see poll.c */
      }
      if (judge(p, now, &batch[n]) && ++n == BATCH) {
        got += take_and_hand_off(batch, n);
        n = 0;
      }
    }
  if (n) got += take_and_hand_off(batch, n);
  return got;
}

/* ---- timers that nobody watches, threads that could not be made ---- */

/* Ps that were given back for want of a thread have their work in the global queue. */
static void retry_starved(void) {
  store_sc(&gs_sched.starved, 0);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    while (load_rlx(&d->runqsize) && load_rlx(&d->npidle)) {
      P *p = pidleget_try(d);
      if (!p) break;
      handoffp(p);
      if (load_sc(&gs_sched.starved)) return; /* still none */
    }
}

/* True: look again soon. */
static bool backup(int64_t now) {
  if (load_sc(&gs_sched.starved)) retry_starved();
  bool soon = poll_backup(now);
  if (load_sc(&gs_sched.poller)) return soon;
  int64_t next = timers_next();
  if (next == INT64_MAX) return soon;
  if (next <= now) ready_list(NULL, timers_run_all(now));
  start_poller();
  return soon;
}

/* ---- how long to pause ---- */

static void account(int64_t now) {
  int64_t cpu = os_thread_cputime();
  sm.bucket += (now - sm.last_now) * BUDGET_PERMILLE / 1000 - (cpu - sm.last_cpu);
  if (sm.bucket > BURST_NS) sm.bucket = BURST_NS;
  sm.last_now = now;
  sm.last_cpu = cpu;
}

static int64_t next_pause(bool waiting, int64_t now) {
  if (sm.idle == 0)
    sm.delay = MIN_DELAY_NS;
  else if (sm.idle > IDLE_LOOKS)
    sm.delay *= 2;
  if (sm.delay > MAX_DELAY_NS) sm.delay = MAX_DELAY_NS;
  int64_t pause = sm.delay;
  if (waiting && pause > WAITING_DELAY_NS) pause = WAITING_DELAY_NS;
  if (load_sc(&gs_sched.poller) == NULL) {
    int64_t next = timers_next();
    if (next != INT64_MAX && next - now < pause) pause = next - now;
  }
  if (pause < MIN_DELAY_NS) pause = MIN_DELAY_NS;
  /* In debt: wait until the budget has made up for it. */
  if (sm.bucket < 0 && pause < -sm.bucket * 1000 / BUDGET_PERMILLE)
    pause = -sm.bucket * 1000 / BUDGET_PERMILLE;
  return pause > MAX_DELAY_NS ? MAX_DELAY_NS : pause;
}

/* Has any G run since the last look?  A server whose Ps are idle between two requests would wake
 * sysmon from its deep sleep at every one of them. */
static bool was_active(void) {
  uint64_t ticks = 0;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, n = load_acq(&d->nallp); i < n; i++)
      ticks += load_rlx(&d->allp[i]->schedtick);
  bool active = ticks != sm.ticks;
  sm.ticks = ticks;
  return active;
}

/* True: every P is idle; slept until something happened. */
static bool deep_sleep(void) {
  if (load_sc(&gs_sched.npidle_all) != load_sc(&gs_sched.nprocs_all)) return false;
  if (load_sc(&gs_sched.starved) || was_active()) return false;
  note_clear(&gs_sched.sysmon_note);
  store_sc(&gs_sched.sysmon_wait, 1);
  torture_window(); /* a P that leaves the idle list now wakes us, or is counted below */
  if (unlikely(deadlock_wanted())) deadlock_check();
  if (load_sc(&gs_sched.npidle_all) == load_sc(&gs_sched.nprocs_all) &&
      !load_sc(&gs_sched.sysmon_poked)) {
    bool polled = load_sc(&gs_sched.poller);
    int64_t until = polled ? GS_FOREVER : timers_next();
    /* No thread could be made for the poller: sysmon looks at the descriptors itself. */
    if (!polled && load_sc(&gs_sched.netpoll_waiters) && until > os_now() + MAX_DELAY_NS)
      until = os_now() + MAX_DELAY_NS;
    store_sc(&gs_sched.sysmon_until, until);
    store_sc(&gs_sched.sysmon_slow, 1);
    note_sleep_until(&gs_sched.sysmon_note, until);
    store_sc(&gs_sched.sysmon_slow, 0);
  }
  store_sc(&gs_sched.sysmon_wait, 0);
  return true;
}

static void nap(int64_t pause, int64_t now) {
  note_clear(&gs_sched.sysmon_note);
  /* A poke sets sysmon_poked and then the note: what came before the clear is seen here. */
  if (load_sc(&gs_sched.sysmon_poked)) return;
  store_sc(&gs_sched.sysmon_slow, pause > SLOW_NS);
  note_sleep_until(&gs_sched.sysmon_note, now + pause);
  store_sc(&gs_sched.sysmon_slow, 0);
}

static void serve_poke(void) {
  sm.poke_m = NULL;
  if (load_sc(&gs_sched.sysmon_poked) != POKED) return;
  sm.poke_m = gs_sched.poke_m;
  sm.poke_sc = gs_sched.poke_sc;
  store_sc(&gs_sched.sysmon_poked, 0);
  sm.idle = 0;
}

static void *sysmon(void *arg) {
  (void)arg;
  os_sysmon_begin();
  bool waiting = false;
  sm.delay = MIN_DELAY_NS;
  sm.bucket = BURST_NS;
  sm.last_now = os_now();
  sm.last_cpu = os_thread_cputime();
  for (;;) {
    int64_t now = os_now();
    account(now);
    if (deep_sleep())
      sm.idle = 0;
    else
      nap(next_pause(waiting, now), now);
    add_rlx(&gs_sched.nticks, 1);
    now = os_now();
    serve_poke();
    lock(&gs_sched.retake_mu); /* waits while the world is stopped */
    waiting = backup(now);
    if (retake(now, &waiting))
      sm.idle = 0;
    else
      sm.idle++;
    unlock(&gs_sched.retake_mu);
  }
  return NULL;
}

int sysmon_start(void) { return os_spawn_detached(sysmon, NULL); }

/* ---- waking it ---- */

void sysmon_wake(void) {
  if (xchg(&gs_sched.sysmon_wait, 0)) note_wake(&gs_sched.sysmon_note);
}

/* At most one poke is outstanding; another one would find sysmon on its way. */
void sysmon_poke(M *m, uint64_t sc) {
  if (!CAS(&gs_sched.sysmon_poked, 0, POKING)) return;
  gs_sched.poke_m = m;
  gs_sched.poke_sc = sc;
  add_rlx(&gs_sched.npokes, 1);
  store_sc(&gs_sched.sysmon_poked, POKED);
  store_rlx(&gs_sched.sysmon_slow, 0); /* it is told: others need not */
  note_wake(&gs_sched.sysmon_note);
}
