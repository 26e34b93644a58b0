/* sysmon.c: the thread that watches.  It holds no P and runs no G.
 *
 * It wakes every 20 us .. 10 ms, looks at every P, and takes those whose M has been outside for too
 * long while others wait; it asks for the P of a G that has used up its slice; it runs timers when
 * nobody polls; it tries again where a thread could not be made.
 *
 * How often.  20 us while there is something to do, doubling after 50 looks in vain up to 10 ms
 * (the specification's back-off), at most 1 ms while Gs wait for a P.  While none waits a look in
 * vain counts NOBODY_WAITS times: there is nothing to take then, and whoever queues says so; what
 * the looks would have cost is there when one is worth it.  When every P is idle it
 * sleeps until the next timer, or for good, and the first P that leaves the idle list wakes it
 * (pidleget).  Two looks are needed to know that a thread stands still: after one that found an M
 * outside with work behind it, the next comes RELOOK_NS later.
 *
 * Who need not wait for that.  An M that enters a call of a site not known to be short, with work
 * queued, names the call and the time; sysmon takes the P at its first look if that call has lasted
 * UNSURE_NS by then.  If sysmon would not look soon it is poked, and takes the P at once if it
 * finds the M in that very call.  Whoever queues a G that no P is free for wakes a sysmon that
 * would look only after a millisecond or more (SLOW_ALL), once: it then looks every millisecond for
 * HOT_NS.  So a call of a site known to be short that turns long, and code that blocks without
 * having declared anything, are found within a millisecond, whatever sysmon did before.  Behind one
 * that has the turn of a binding, which declares little, he also wakes a sysmon that looks every
 * millisecond (SLOW_TURN), as long as half of the burst is left; not if that was in vain
 * VAIN_TELLS times, but for once in REST_NS: a program that wakes many and blocks nowhere would do
 * so all the time.  He is still inside when sysmon looks, more often than not (it is woken on his
 * CPU), so the next look is soon.
 *
 * The sprint.  A hand-off from undeclared code of a binding is two looks, 50 us apart, and as many
 * sleeps of a thread, which wake late: 150 us, and a hundred green threads that each go to sleep in
 * C are a hundred of those, one after the other.  So after one, if more work is queued, sysmon
 * looks again and again for SPRINT_NS, where there is more than one CPU; and between the two looks
 * (DASH_NS), instead of a sleep.  That has a budget of its own, as large, with a longer burst.  And
 * a binding that sees that the others stay away as it had guessed answers GONE, which one look is
 * enough for.
 *
 * What it costs.  A look costs tens of microseconds on a virtual machine, mostly the kernel's.  So
 * its own CPU time is measured and kept under BUDGET_PERMILLE of one CPU by stretching the pauses;
 * a burst of BURST_NS is allowed first.  Looks that found undeclared code blocking are free: a
 * thousand green threads that each go to sleep in the kernel are a thousand hand-offs, which nobody
 * else can make.
 *
 * The rules of retake, for a P whose M is outside and has been in the same stretch (the same sc) at
 * the last look, or was poked about:
 *   CALL   taken if work waits for this P, or if every other P of the domain is busy too, or if the
 *          call has lasted EMPTY_NS (so that sysmon can go to sleep and leave a long call alone).
 *   USER   of a binding that has may_retake: the binding is asked.  BLOCKED at two looks: as CALL,
 *          for work that waits; GONE: at one.  HOG: taken after FORCE_PREEMPT_NS if work waits
 *          (NOW: at once; the binding has a slice of its own); it goes on without a P and queues at
 *          its next gs_ call.
 *          Of the native domain: the system is asked.  The thread's CPU clock has not moved since
 *          the last look, and its state is "sleeping": it blocks, and is treated as a CALL.  A
 *          thread that spins on a loaded machine stands still as well, so the clock alone proves
 *          nothing; the state alone is that of one instant, and costs 10 us to read, so it comes
 *          second.  If the clock moves it computes: the preempt flag first (honoured at every gs_
 *          call), and if that has been set at an earlier look and the stretch has lasted
 *          FORCE_PREEMPT_NS, the P is taken.  It goes on without one (relief, nrelieved), and
 *          shares the CPU by the kernel's scheduler.  While more than 2 * procs Ms run like that no
 *          further hog is relieved, or a program of nothing but hogs would become one of as many
 *          runnable threads as it has Gs.
 *          Of any other domain: kept, for its P is a promise of mutual exclusion.
 *
 * Deadlock detection.  sysmon does not count as running; while it has a P or claimed Gs in its
 * hands it pretends that an M does (incidlelocked).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime.h"

#define MIN_DELAY_NS 20000
#define MAX_DELAY_NS 10000000
#define WAITING_DELAY_NS 1000000
#define IDLE_LOOKS 50
#define NOBODY_WAITS 5
/* The empty-queue rule: a call with nothing queued behind it, while others are idle or look for
 * work, keeps its P for so long.  docs/spec.md has the measurement. */
#define EMPTY_NS 10000000
#define FORCE_PREEMPT_NS 10000000
#define RELOOK_NS                                                                \
  50000 /* between the first sight of a stretch with work behind it and the next \
         */
#define RELOOKS 2
#define UNSURE_NS 10000
#define HOT_NS 20000000
#define BUDGET_PERMILLE 45 /* so that the overdraft of the last look stays within 5 % */
#define BURST_NS 5000000
#define LOOK_NS 500000   /* no look costs more */
#define SPRINT_NS 150000 /* three times what a thread needs to wake, run a little, and block */
#define DASH_NS (RELOOK_NS + 20000)
/* Some five hundred hand-offs, until sprints cost no more than looks may. */
#define BREATH_NS 50000000
#define SLOW_NS 100000 /* a pause longer than this is worth a poke */
#define VAIN_TELLS 8
#define REST_NS 20000000
#define BATCH 64

enum { POKING = 1, POKED = 2 }; /* sysmon_poked: being written, to be served */

static struct {
  int64_t delay;
  int idle;       /* looks in vain */
  int64_t bucket; /* CPU time that may be spent, ns */
  int64_t last_now, last_cpu;
  int64_t before; /* what the look before cost */
  bool found;     /* the last look took a P from undeclared code, other than a native hog's */
  int64_t sprint; /* until then no pause between looks, while there is breath */
  int64_t breath; /* CPU time that sprints may spend, ns */
  bool sprinted;  /* the last look was one of a sprint */
  bool turns;     /* there are domains with may_retake */
  int vain;       /* so often in a row it was woken from SLOW_TURN, and nobody had blocked */
  int64_t rest;   /* until then it does not say so, if that was often */
  bool may_dash;  /* it has been, and has not dashed since */
  bool alone;     /* one CPU: looking would keep those from it who are looked at */
  int64_t hot;    /* until then at most WAITING_DELAY_NS between looks */
  int relooks;    /* in a row */
  bool suspect;   /* an M was seen outside for the first time, with work behind it */
  bool told;      /* this look is because somebody queued work */
  int64_t pless;  /* pless_running at this look, -1: not counted yet */
  M *poke_m;      /* the poke being served */
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

/* How many Ms run without a P that was taken from undeclared code: hogs, and sleepers that have
 * used their CPU since the last count. */
static int64_t pless_running(void) {
  int64_t n = 0;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) {
    uint32_t relief = load_rlx(&m->relief);
    if (relief == RELIEF_NONE) continue;
    int64_t cpu = relief == RELIEF_ASLEEP ? os_thread_cputime_of(load_rlx(&m->tid)) : 0;
    if (relief == RELIEF_HOG || cpu != m->relief_cpu) n++;
    m->relief_cpu = cpu;
  }
  return n;
}

static bool hog_may_go(const P *p) {
  if (sm.pless < 0) sm.pless = pless_running();
  if (sm.pless > 2 * (int64_t)load_rlx(&p->d->nprocs)) {
    add_rlx(&gs_sched.nhogs_kept, 1);
    return false;
  }
  sm.pless++;
  return true;
}

/* Code of the native domain that declared nothing.  asked: the preempt flag was set at an earlier
 * look.  Returns RELIEF_NONE: it keeps its P. */
static uint32_t native_is_long(P *p, M *m, int64_t now, bool asked) {
  bool waiting = p_has_work(p);
  int64_t outside = now - p->seen.when, before = p->seen.cpu;
  if ((!waiting && outside < EMPTY_NS) || load_rlx(&gs_sched.test_flags) & TEST_NO_RELIEF) {
    p->seen.cpu = -1;
    return RELIEF_NONE;
  }
  uint32_t tid = load_rlx(&m->tid);
  p->seen.cpu = os_thread_cputime_of(tid);
  if (p->seen.cpu >= 0 && p->seen.cpu == before && os_thread_asleep(tid)) {
    m->relief_cpu = before;
    return RELIEF_ASLEEP;
  }
  if (waiting && before < 0) sm.suspect = true; /* it may have begun to sleep just now */
  if (!waiting || !asked || outside < FORCE_PREEMPT_NS || !hog_may_go(p)) return RELIEF_NONE;
  m->relief_cpu = 0;
  return RELIEF_HOG;
}

/* The second look is soon; without a sleep before it, once for each time that somebody has told. */
static void dash(int64_t now) {
  sm.suspect = true;
  if (sm.may_dash && sm.sprint < now + DASH_NS) sm.sprint = now + DASH_NS;
  sm.may_dash = false;
}

static bool binding_says_long(P *p, M *m, int64_t now) {
  Domain *d = p->d;
  G *g = load_rlx(&m->curg);
  /* The M may have gone on to another domain since it was looked up. */
  if (!g || g->d != d) return false;
  bool waiting = p_has_work(p);
  int64_t outside = now - p->seen.when;
  if (waiting && sm.told) sm.suspect = true; /* who queued it may be about to block */
  switch (d->ops.may_retake(d->ud, &g->data, outside, waiting)) {
    case GS_RETAKE_BLOCKED:
      if (!p->seen.detached) {
        p->seen.detached = now;
        if (waiting) dash(now);
        return false;
      }
      if (now - p->seen.detached < RELOOK_NS) { /* in a sprint */
        sm.suspect = waiting;
        return false;
      }
      return waiting || now - p->seen.detached >= EMPTY_NS;
    case GS_RETAKE_GONE:
      if (!p->seen.detached) p->seen.detached = now;
      return waiting || now - p->seen.detached >= EMPTY_NS;
    case GS_RETAKE_HOG: p->seen.detached = 0; return waiting && outside >= FORCE_PREEMPT_NS;
    case GS_RETAKE_NOW: p->seen.detached = 0; return waiting;
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

/* A stretch that was not there at the last look.  True: judge it now. */
static bool first_sight(P *p, M *m, uint64_t sc, int64_t now) {
  bool user = (sc & SC_MODE) == SC_USER;
  p->seen.m = m;
  p->seen.sc = sc;
  p->seen.when = now;
  p->seen.detached = 0;
  p->seen.cpu = -1;
  if (user && p->d->ops.may_retake) return true;
  if (!user && m == sm.poke_m && sc == sm.poke_sc) return true;
  if (!user && load_rlx(&p->unsure_m) == m && load_rlx(&p->unsure_sc) == sc) {
    p->seen.when = load_rlx(&p->unsure_when);
    if (now - p->seen.when >= UNSURE_NS) return true;
  }
  if (!p_has_work(p)) return false;
  if (!user || p->d == &gs_native) sm.suspect = true;
  if (user && p->d == &gs_native) p->seen.cpu = os_thread_cputime_of(load_rlx(&m->tid));
  return false;
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
  bool asked = load_rlx(&p->preempt);
  preempt_if_expired(p, now);
  uint32_t mode = sc & SC_MODE;
  if (load_acq(&m->inhook) || (mode != SC_CALL && mode != SC_USER)) {
    if (sm.told && p_has_work(p)) sm.suspect = true; /* it is still in the call that has told us */
    return false;
  }
  if ((p->seen.m != m || p->seen.sc != sc) && !first_sight(p, m, sc, now)) return false;
  *r = (Retake){.p = p, .m = m, .sc = sc, .since = p->seen.when};
  if (mode == SC_CALL) return call_is_long(p, now);
  if (p->d->ops.may_retake) return binding_says_long(p, m, now);
  if (p->d == &gs_native) r->relief = native_is_long(p, m, now, asked);
  return r->relief != RELIEF_NONE;
}

/* ---- all of them ---- */

static void remember_site(const Retake *r) {
  G *g = load_rlx(&r->m->curg);
  gs_site *site = g ? (gs_site *)(uintptr_t)load_rlx(&g->site) : NULL;
  if ((r->sc & SC_MODE) != SC_CALL || !site) return;
  store_rlx(&r->m->long_since, r->p->seen.when);
  store_rlx(&r->m->long_sc, r->sc);
  store_rlx(&site->score, 64);
  store_rlx(&site->shorts, 0);
  add_rlx(&site->retakes, 1);
}

static int take_and_hand_off(Retake *r, int n) {
  int got = 0;
  for (int i = 0; i < n; i++) remember_site(&r[i]);
  incidlelocked(-1); /* before the first P is in our hands */
  retake_batch(r, n);
  for (int i = 0; i < n; i++) {
    if (!r[i].taken) continue;
    got++;
    add_rlx((r[i].sc & SC_MODE) == SC_CALL ? &gs_sched.nretake : &gs_sched.nretake_user, 1);
    if (r[i].relief == RELIEF_HOG)
      add_rlx(&gs_sched.nhogs, 1);
    else if ((r[i].sc & SC_MODE) == SC_USER)
      sm.found = true;
    if (r[i].p->seen.detached) sm.vain = 0; /* a binding's that blocks */
    if ((r[i].sc & SC_MODE) == SC_USER && r[i].p->d->ops.may_retake && p_has_work(r[i].p))
      sm.sprint = os_now() + SPRINT_NS;
    handoffp(r[i].p);
  }
  incidlelocked(1);
  return got;
}

static int retake(int64_t now, bool *waiting) {
  Retake batch[BATCH];
  int n = 0, got = 0;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) {
    if (d->ops.may_retake) sm.turns = true;
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
  if (next <= now) {
    incidlelocked(-1);
    ready_list(NULL, timers_run_all(now));
    incidlelocked(1);
  }
  start_poller();
  return soon;
}

/* ---- how long to pause ---- */

static bool sprinting(int64_t now) { return now < sm.sprint && sm.breath > 0 && !sm.alone; }

/* What was spent on finding out that undeclared code blocks is not charged: the budget is against
 * looking in vain, and there is a thread switch for each such look.  (Calls are: they can name
 * themselves.)  Nor is what no look costs: a barrier waits, computing, until every CPU has
 * answered, and a virtual one answers when the host lets it run, ten milliseconds later perhaps. */
static void account(int64_t now) {
  int64_t cpu = os_thread_cputime(), spent = cpu - sm.last_cpu;
  if (spent > LOOK_NS) spent = LOOK_NS;
  int64_t earned = (now - sm.last_now) * BUDGET_PERMILLE / 1000;
  sm.bucket += earned;
  sm.breath += sm.sprinted ? earned - spent : earned;
  if (sm.breath > BREATH_NS) sm.breath = BREATH_NS;
  if (!sm.sprinted) {
    sm.bucket -= spent;
    if (sm.found) sm.bucket += spent + sm.before;
    sm.before = sm.found ? 0 : spent;
  } else if (sm.found) {
    sm.bucket += sm.before; /* the look before the sprint was not in vain */
    sm.before = 0;
  }
  sm.found = false;
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
  if ((waiting || now < sm.hot) && pause > WAITING_DELAY_NS) pause = WAITING_DELAY_NS;
  if (sm.suspect && sm.relooks < RELOOKS) {
    sm.relooks++;
    if (pause > RELOOK_NS) pause = RELOOK_NS;
  } else {
    sm.relooks = 0;
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
  torture_window(); /* a P that leaves the idle list now does not know that we sleep */
  store_sc(&gs_sched.sysmon_wait, 1);
  store_sc(&gs_sched.sysmon_slow, SLOW_ALL);
  torture_window(); /* a P that leaves the idle list now wakes us, or is counted below */
  if (unlikely(deadlock_wanted())) deadlock_check();
  if (load_sc(&gs_sched.npidle_all) == load_sc(&gs_sched.nprocs_all) &&
      !load_sc(&gs_sched.sysmon_poked)) {
    store_sc(&gs_sched.sysmon_until, GS_FOREVER);
    bool polled = load_sc(&gs_sched.poller);
    int64_t until = polled ? GS_FOREVER : timers_next();
    /* No thread could be made for the poller: sysmon looks at the descriptors itself. */
    if (!polled && load_sc(&gs_sched.netpoll_waiters) && until > os_now() + MAX_DELAY_NS)
      until = os_now() + MAX_DELAY_NS;
    if (until > schedtrace_next()) until = schedtrace_next();
    store_sc(&gs_sched.sysmon_until, until);
    if (!dump_is_wanted()) note_sleep_until(&gs_sched.sysmon_note, until);
  }
  store_sc(&gs_sched.sysmon_wait, 0);
  return true;
}

/* A program that starts or wakes many and blocks nowhere would wake sysmon all the time. */
static bool worth_telling(int64_t now) {
  return sm.turns && !sm.alone && sm.bucket > BURST_NS / 2 &&
         (sm.vain < VAIN_TELLS || now >= sm.rest);
}

/* The poke's race.  Here: publish that sysmon is slow, then look for a poke.  There: publish the
 * poke, then look whether sysmon is slow.  All seq_cst, so one sees the other. */
static void nap(int64_t pause, int64_t now) {
  bool rich = sm.bucket >= 0;
  /* Calls of ever new sites could poke it out of every nap: so far, and no farther. */
  bool broke = sm.bucket < -BURST_NS;
  note_clear(&gs_sched.sysmon_note);
  /* Who leaves the poller's seat empty does so first and then reads when we wake. */
  store_sc(&gs_sched.sysmon_until, now + pause);
  if (load_sc(&gs_sched.poller) == NULL) {
    int64_t next = timers_next();
    if (next != INT64_MAX && next - now < pause)
      pause = next - now < MIN_DELAY_NS ? MIN_DELAY_NS : next - now;
  }
  uint32_t slow = pause > WAITING_DELAY_NS && rich ? SLOW_ALL
                  : pause <= SLOW_NS || broke      ? SLOW_NO
                  : worth_telling(now)             ? SLOW_TURN
                                                   : SLOW_CALLS;
  store_sc(&gs_sched.sysmon_slow, slow);
  torture_window(); /* a poke that comes now wakes us, or is seen below */
  if (!load_sc(&gs_sched.sysmon_poked) && !dump_is_wanted())
    note_sleep_until(&gs_sched.sysmon_note, now + pause);
}

static void serve_poke(int64_t now) {
  uint32_t slow = xchg(&gs_sched.sysmon_slow, SLOW_NO);
  sm.told = slow == SLOW_TOLD || slow == SLOW_TURN_TOLD;
  if (sm.told) sm.hot = now + HOT_NS;
  if (slow == SLOW_TURN_TOLD) {
    sm.may_dash = true;
    if (++sm.vain >= VAIN_TELLS) sm.rest = now + REST_NS;
  }
  sm.poke_m = NULL;
  if (load_sc(&gs_sched.sysmon_poked) != POKED) return;
  sm.poke_m = gs_sched.poke_m;
  sm.poke_sc = gs_sched.poke_sc;
  store_sc(&gs_sched.sysmon_poked, 0);
  sm.idle = 0;
}

static void *sysmon(void *arg) {
  (void)arg;
  os_thread_name("gosched-sysmon");
  os_short_slice();
  os_slack(1); /* the threads that need another one set it themselves */
  callback_never();
  bool waiting = false;
  sm.delay = MIN_DELAY_NS;
  sm.bucket = BURST_NS;
  sm.breath = BREATH_NS;
  sm.last_now = os_now();
  sm.last_cpu = os_thread_cputime();
  sm.alone = os_ncpu() < 2;
  for (;;) {
    int64_t now = os_now();
    account(now);
    sm.sprinted = sprinting(now);
    if (deep_sleep())
      sm.idle = 0;
    else if (sm.sprinted)
      os_yield();
    else
      nap(next_pause(waiting, now), now);
    add_rlx(&gs_sched.nticks, 1);
    now = os_now();
    serve_poke(now);
    sysmon_tells(now);
    if (profile_sample(now)) wait_look(now);
    sm.suspect = false;
    sm.pless = -1;
    lock(&gs_sched.retake_mu); /* waits while the world is stopped */
    waiting = backup(now);
    if (retake(now, &waiting))
      sm.idle = 0;
    else if (!sm.sprinted)
      sm.idle += waiting ? 1 : NOBODY_WAITS;
    unlock(&gs_sched.retake_mu);
  }
  return NULL;
}

int sysmon_start(void) {
  lock(&gs_sched.lock);
  gs_sched.nmsys++;
  unlock(&gs_sched.lock);
  return os_thread_start(sysmon, NULL);
}

/* ---- waking it ---- */

void sysmon_wake(void) {
  if (xchg(&gs_sched.sysmon_wait, 0)) note_wake(&gs_sched.sysmon_note);
}

/* One of those who want to wake it does. */
static void tell(bool queued) {
  uint32_t slow = load_sc(&gs_sched.sysmon_slow);
  if (slow == SLOW_NO || slow >= SLOW_TOLD) return;
  uint32_t told = queued && slow == SLOW_TURN ? SLOW_TURN_TOLD : SLOW_TOLD;
  if (!CAS(&gs_sched.sysmon_slow, slow, told)) return;
  add_rlx(&gs_sched.npokes, 1);
  note_wake(&gs_sched.sysmon_note);
}

/* At most one call is named at a time; another one is found by the look that this one brings on. */
void sysmon_poke(M *m, uint64_t sc) {
  if (CAS(&gs_sched.sysmon_poked, 0, POKING)) {
    gs_sched.poke_m = m;
    gs_sched.poke_sc = sc;
    store_sc(&gs_sched.sysmon_poked, POKED);
  }
  torture_window(); /* sysmon is about to sleep and sees the poke, or is slow now */
  tell(false);
}

void sysmon_queued(const Domain *d) {
  uint32_t slow = load_rlx(&gs_sched.sysmon_slow);
  if (slow != SLOW_ALL && !(slow == SLOW_TURN && d->ops.may_retake)) return;
  if (!(load_rlx(&gs_sched.test_flags) & TEST_NO_QUEUED)) tell(true);
}

void sysmon_watch(int64_t when) {
  if (when < load_sc(&gs_sched.sysmon_until)) tell(false);
}
