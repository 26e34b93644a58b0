/* proc.c: the scheduler's loop.  Who runs next, how a G parks, how it is made runnable.
 *
 * Going to sleep and waking up: the spinning protocol (Go's proc.go has the long story).
 * An M that has a P but no work *spins*: it looks through the other Ps' queues a few times before
 * it gives its P up and sleeps.  nmspinning counts them.  Whoever makes a G runnable wakes another
 * M only if there is an idle P and nobody spins yet.  Two sides, one race:
 *
 *     submit:   put the G in a queue;  [StoreLoad];  read nmspinning, npidle
 *     retire:   nmspinning--;          [StoreLoad];  look at all queues once more
 *
 * Either the submitter sees that nobody spins and wakes an M, or the retiring M sees the G.  The
 * StoreLoads are the xchg on runnext or the domain's lock on the one side, the seq_cst decrement on
 * the other.  A spinning M that finds work wakes a successor, since there may be more.
 *
 * Leaving a stack.  What has to be done about the G that is left - publish that it is parked and
 * release the lock that guards its wait, put it in a queue, recycle it - happens in finish_prev, on
 * the stack of whoever runs next (the next G directly, or g0): only then is the old stack free to
 * be resumed by others.
 *
 * Parking.  finish_prev stores PARKED in the G's park word and then calls commit, which releases
 * the lock under which the G was put into a wait list.  Partners find the G only under that lock,
 * so they see PARKED.  A timer or a canceller may claim it earlier; the claim is one CAS, whoever
 * wins makes the G runnable, and the commit that is still to come does not touch the G.
 * The canceller's race (it sets the flag, then looks at the park word; the parker stores the word,
 * then looks at the flag) is Dekker's again: the canceller pays with the heavy barrier.
 */
#include "runtime.h"
#include "switch.h"

P gs_nop;

/* ---- who runs next ---- */

#define FAIR_TICKS 61u

/* While user Gs are disabled every switch goes by schedule_loop, which sets them aside. */
static uint32_t fair_ticks(void) { return unlikely(load_rlx(&gs_sched.user_off)) ? 0 : FAIR_TICKS; }

static uint32_t rnd(P *p) {
  uint32_t x = p->rnd ? p->rnd : 0x9e3779b9u + p->id;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return p->rnd = x;
}

static G *steal_work(M *m) {
  P *p = m->p;
  Domain *d = p->d;
  uint32_t n = load_acq(&d->nallp);
  for (int round = 0; round < 4; round++) {
    bool last = round == 3;
    uint32_t at = rnd(p) % n;
    for (uint32_t i = 0; i < n; i++, at = at + 1 == n ? 0 : at + 1) {
      P *v = d->allp[at];
      uint32_t status = load_rlx(&v->status);
      if (v == p || status == Pidle || status == Pgcstop || status == Pdead) continue;
      if (load_acq(&v->solo)) continue; /* its owner does not expect thieves yet */
      if (last && load_rlx(&v->timers.next) != INT64_MAX) {
        G *ready_ = timers_run(&v->timers, os_now());
        if (ready_) {
          ready_list(m, ready_);
          bool inherit;
          G *g = runqget(p, &inherit);
          if (g) return g;
        }
      }
      G *g = runqsteal(p, v, last);
      if (g) {
        bump(&m->nsteal);
        if (is_traced(m)) trace_p(m, EV_STEAL, v);
        return g;
      }
    }
  }
  torture_window(); /* work may come now, or a LOCK on this P: whoever brings it sees this M spin */
  return NULL;
}

/* Is there work in any queue of the domain?  For an M that has just stopped spinning. */
bool any_work(Domain *d) {
  if (load_sc(&d->runqsize) != 0) return true;
  for (uint32_t i = 0, n = load_acq(&d->nallp); i < n; i++)
    if (load_rlx(&d->allp[i]->status) != Pidle && !runqempty(d->allp[i])) return true;
  return false;
}

static void stop_spinning(M *m, Domain *d) {
  m->spinning = 0;
  add_sc(&d->nmspinning, -1);
  fence_after_rmw(); /* the look at the queues comes after it */
}

/* A change of procs took the P of an M that waited for a LOCK to go away.  If it was spinning, who
 * made a G runnable meanwhile relied on it: it looks once more, as one that retires. */
void p_lost(M *m, Domain *d) {
  m->p = &gs_nop;
  if (!m->spinning) return;
  torture_window(); /* a submitter still sees this M spin */
  stop_spinning(m, d);
  if (any_work(d)) wakep(d);
}

/* The M holds a P and has not found anything: gives the P up.  Returns a G if one turned up. */
static G *retire(M *m) {
  P *p = m->p;
  Domain *d = p->d;
  torture_window(); /* the last that spins finds work, and sees no idle P yet */
  lock(&d->lock);
  G *g = globrunqget(p, RUNQ_SIZE);
  if (g) {
    unlock(&d->lock);
    return g;
  }
  if (!m->spinning && load_sc(&d->needspinning)) {
    /* Somebody had work and found no idle P: look again instead of going idle. */
    store_sc(&d->needspinning, 0);
    m->spinning = 1;
    add_sc(&d->nmspinning, 1);
    unlock(&d->lock);
    return NULL;
  }
  if (!releasep_try(m)) {
    /* LOCKed, for a moment or while the world stands still: not a time to hold a lock. */
    unlock(&d->lock);
    if (!wait_unlocked(m, p)) p_lost(m, d);
    return NULL;
  }
  pidleput(p);
  unlock(&d->lock);
  if (!m->spinning && load_rlx(&d->nprocs) > 1 && load_sc(&d->nmspinning) == 0) {
    /* The last that spun has found something, looked for an idle P and saw none yet: nobody else
     * looks at the queues once more. */
    m->spinning = 1;
    add_sc(&d->nmspinning, 1);
  }
  m_detach(m);
  torture_window(); /* a submitter still sees this M spin */
  if (m->spinning) {
    stop_spinning(m, d);
    if (any_work(d)) {
      P *again = pidleget_spinning(d);
      if (again) {
        acquirep(m, again);
        m->spinning = 1;
        add_sc(&d->nmspinning, 1);
      }
    }
  }
  return NULL;
}

/* A G to run, or NULL: look again (or leave gs_run). */
static G *find_runnable(M *m, bool *inherit) {
  G *g = m->nextg;
  *inherit = false;
  if (g) {
    m->nextg = NULL;
    return g;
  }
  if (m->p == &gs_nop) {
    m_detach(m);
    stack_sigstack_again(m);
    if (!poll_wait(m)) stopm(m);
    return NULL;
  }
  P *p = m->p;
  Domain *d = p->d;
  if (load_rlx(&p->timers.next) != INT64_MAX) {
    G *due = timers_run(&p->timers, os_now());
    if (due) ready_list(m, due);
  }
  if (unlikely(p->solo && load_rlx(&d->nprocs) != 1)) store_rel(&p->solo, 0);
  if (unlikely(load_rlx(&d->ndue)) && (p->turn ^= 1)) {
    lock(&d->lock);
    g = globrunqget(p, 1);
    unlock(&d->lock);
    if (g) return g;
  }
  if (p->fair == 0) {
    p->fair = fair_ticks();
    if (load_rlx(&d->runqsize)) {
      lock(&d->lock);
      g = globrunqget_turn(p);
      unlock(&d->lock);
      if (g) return g;
    }
    if ((g = poll_now(m, false))) return g;
  } else {
    p->fair--; /* here too: Gs of locked Ms never come through run_next */
  }
  if ((g = runqget(p, inherit))) return g;
  if (load_rlx(&d->runqsize)) {
    lock(&d->lock);
    g = globrunqget(p, RUNQ_SIZE);
    unlock(&d->lock);
    if (g) return g;
  }
  if ((g = poll_now(m, true))) return g;
  if (!p->solo) {
    if (m->spinning || 2 * load_rlx(&d->nmspinning) < load_rlx(&d->nprocs) - load_rlx(&d->npidle)) {
      if (!m->spinning) {
        m->spinning = 1;
        add_sc(&d->nmspinning, 1);
      }
      torture_window(); /* whoever has work relies on this M now */
      if ((g = steal_work(m))) return g;
    }
  }
  return retire(m);
}

/* A stack for a G that has not run yet.  False: there is none now; the G went back to the queue. */
static bool bind_stack(M *m, G *g) {
  if (likely(g->stack)) return true;
  g_bind_stack(m->p, g);
  if (likely(g->stack)) return true;
  static uint32_t said;
  if (!xchg(&said, 1))
    gs_log(1,
           "no memory for another stack of %zu bytes (vm.max_map_count, ulimit -v); green threads "
           "wait for others to end",
           g->stack_want ? g->stack_want : g->d->stack_size);
  lock(&g->d->lock);
  globrunqput(g->d, g);
  unlock(&g->d->lock);
  os_sleep_ns(1000000);
  return false;
}

/* ---- user Gs are disabled ---- */

bool may_run(const G *g) {
  uint32_t off = load_rlx(&gs_sched.user_off);
  return likely(!off) || load_rlx(&g->system) || load_rlx(&g->extra) || g->pass == off;
}

/* A runnable G that may not run waits in a queue of its own.  The word is looked at again under the
 * lock, which whoever enables them takes after it has changed the word. */
static bool set_aside(G *g) {
  Domain *d = g->d;
  torture_window(); /* they may be enabled now */
  lock(&d->lock);
  bool off = !may_run(g);
  if (off) {
    g->schedlink = NULL;
    if (d->off_tail)
      d->off_tail->schedlink = g;
    else
      d->off_head = g;
    d->off_tail = g;
  }
  unlock(&d->lock);
  return off;
}

void user_on(M *m) {
  torture_window(); /* a G may be found that may not run */
  store_sc(&gs_sched.user_off, 0);
  torture_window(); /* a G may just be set aside */
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) {
    lock(&d->lock);
    G *g = d->off_head;
    d->off_head = d->off_tail = NULL;
    unlock(&d->lock);
    ready_list(m, g);
  }
}

void schedule_loop(M *m) {
  for (;;) {
    bool inherit = false;
    G *g;
    finish_prev(m);
    /* Below the frames of a foreign call the M stays until its G has gone back into them. */
    if (unlikely(m->runner && load_acq(&gs_sched.main_done)) && !(m->lockedg && m->lockedg->pins)) {
      if (m->nextg) {
        ready(NULL, m->nextg);
        m->nextg = NULL;
      }
      if (m->spinning) stop_spinning(m, m->p->d);
      m_detach(m);
      P *p = m->p != &gs_nop ? releasep(m) : NULL;
      if (p) handoffp(p);
      /* What was abandoned may sleep, and this M may have been the poller. */
      if (!load_sc(&gs_sched.poller) && poll_wanted()) start_poller();
      if (unlikely(gs_sched.orphan)) run_orphan_done();
      return;
    }
    if (unlikely(m->quit)) {
      m_quit(m);
      return;
    }
    if (unlikely(m->callg)) {
      g = m->callg;
      m->callg = NULL;
      if (unlikely(g->hooked)) m_attach_to(m, g->d);
      switch_g0_to_g(m, g);
      continue;
    }
    if (unlikely(load_rlx(&gs_sched.gcwaiting))) stw_wait(m);
    if (unlikely(load_rlx(&m->p->safefn))) stw_safe_point(m);
    if (unlikely(m->lockedg && m->nextg != m->lockedg)) {
      stoplockedm(m);
      if (unlikely(m->p == &gs_nop)) continue;
      m->nextg = g = m->lockedg;
      /* The world may have stopped, or frozen, while it slept. */
      if (unlikely(load_rlx(&gs_sched.gcwaiting))) stw_wait(m);
      if (unlikely(m->nextg != g)) continue;
    } else if (!(g = find_runnable(m, &inherit))) {
      continue;
    }
    m->nextg = NULL;
    if (m->spinning) {
      /* There may be more where this came from. */
      stop_spinning(m, m->p->d);
      wakep(m->p->d);
    }
    if (unlikely(load_rlx(&gs_sched.user_off)) && set_aside(g)) continue;
    if (unlikely(g->lockedm && g->lockedm != m)) {
      startlockedm(m, g);
      continue;
    }
    if (unlikely(!m_attach(m))) {
      ready(NULL, g);
      continue;
    }
    if (unlikely(!bind_stack(m, g))) continue;
    if (!inherit) bump(&m->p->schedtick);
    switch_g0_to_g(m, g);
  }
}

/* ---- leaving a stack and arriving on one ---- */

static void park_commit(M *m, G *g) {
  bool (*commit)(G *, void *) = m->commit;
  void *arg = m->commit_arg;
  uint32_t word = g->firm ? PARKED_FIRM : PARKED;
  bool firm = g->firm != 0;
  g_to(g, Gwaiting);
  bump(&m->nparks);
  int64_t deadline = m->park_deadline;
  /* Cancelled already: no timer, which might be faster than the claim below. */
  if (!firm && unlikely(load_rlx(&g->cancelled))) deadline = GS_FOREVER;
  bool armed = true;
  if (deadline != GS_FOREVER)
    armed = timers_park(&m->p->timers, g, word, deadline);
  else if (SC_FENCE_NOW)
    (void)xchg(&g->park, word);
  else
    store_rel(&g->park, word);
  if (!RMW_IS_FENCE && SC_FENCE_NOW) fence_after_rmw();
  compiler_fence();
  torture_window(); /* a canceller may set the flag before or after it sees PARKED */
  if (deadline != GS_FOREVER) poll_ensure(m, deadline);
  bool mine = !firm && unlikely(load_rlx(&g->cancelled)) && claim(g, GS_ECANCELED);
  if (unlikely(!armed)) mine |= claim(g, GS_ENOMEM); /* it would wait beyond its deadline */
  if (commit && !commit(g, arg)) mine |= claim(g, GS_OK);
  if (mine) ready(m, g);
}

/* The G was queued without a P: into the global queue, unless a P is idle - then this M goes on
 * with it.  Both under the domain's lock, so that no P can go idle in between without seeing the G.
 */
static void queue_pless(M *m, G *g) {
  Domain *d = g->d;
  m_detach(m);
  g_to(g, Grunnable);
  torture_window(); /* a P may go idle now */
  lock(&d->lock);
  P *p = pidleget(d);
  if (!p) globrunqput(d, g);
  unlock(&d->lock);
  if (p) {
    acquirep(m, p);
    m->nextg = g;
    return;
  }
  sysmon_queued(d);
}

void finish_prev(M *m) {
  int what = m->prev;
  G *g = m->prevg;
  if (what == PREV_NONE) return;
  torture_window(); /* nobody may resume the G that was left before this is done */
  m->prev = PREV_NONE;
  m->prevg = NULL;
  switch (what) {
    case PREV_PARK: park_commit(m, g); break;
    case PREV_YIELD:
      g_to(g, Grunnable);
      runqput(m->p, g, false);
      break;
    case PREV_GLOBAL: queue_pless(m, g); break;
    case PREV_CALL:
      if (startm_call(g)) break;
      g_to(g, Grunnable);
      runqput(m->p, g, false);
      break;
    case PREV_EXIT: g_recycle(m, g); break;
  }
}

/* With many Gs those that wait are not in the nearest cache: the stack of the next and the structs
 * of those behind are fetched while this one runs.  Thieves may have them by then, which does not
 * matter: G structs are never freed. */
static inline void fetch_ahead(const P *p, uint32_t head, uint32_t tail) {
#if GS_TSAN
  tail = head; /* it would be told of the look at sp, which means nothing if it comes too late */
#endif
  if (tail - head < 4 || tail - head > RUNQ_SIZE) return;
  const char *behind = (const char *)load_rlx(&p->runq[(head + 3) % RUNQ_SIZE]);
  const G *next = load_rlx(&p->runq[(head + 1) % RUNQ_SIZE]);
  __builtin_prefetch(behind);
  __builtin_prefetch(behind + GS_LINE);
  __builtin_prefetch(next->sp);
}

/* m leaves g behind (m->prev says how): the next G, if it is at hand, with a stack.  NULL: by g0.
 */
static inline G *next_at_hand(M *m, const G *g, bool *fresh) {
  P *p = m->p;
  if (unlikely(m->lockedg || p->fair == 0 || m->nextg || load_rlx(&p->d->ndue))) return NULL;
  bool inherit;
  G *n = runqget(p, &inherit);
  p->fair--;
  fetch_ahead(p, load_rlx(&p->head), p->tail);
  if (!n) return NULL;
  *fresh = !n->sp; /* and no stack: that is in another line of the G */
  if (likely(!n->lockedm) && n->d == g->d) {
    if (*fresh) g_bind_stack(p, n);
    if (likely(n->sp)) {
      if (!inherit) bump(&p->schedtick);
      return n;
    }
  }
  m->nextg = n;
  return NULL;
}

static void run_next(M *m, G *g) {
  bool fresh;
  G *n = next_at_hand(m, g, &fresh);
  if (n)
    switch_g_to_g(m, g, n, fresh);
  else
    switch_g_to_g0(m, g);
}

static inline M *resumed_bare(G *g) {
  M *m = gs_getm();
  if (m->prev != PREV_NONE) finish_prev(m);
  g->m = m;
  g_to(g, Grunning);
  store_rlx(&g->park, PARK_NO);
  bump(&m->nswitch);
  if (is_traced(m)) trace_go(m, g);
  return m;
}

M *resumed(G *g) {
  M *m = resumed_bare(g);
  if (unlikely(g->hooked)) {
    m->attached = g->d;
    m = hook_switch_in(m, g);
  }
  return m;
}

int gopark(M *m, bool (*commit)(G *, void *), void *arg, int64_t deadline, const char *reason) {
  G *g = m->curg;
  store_rlx(&g->waitreason, reason);
  m->commit = commit;
  m->commit_arg = arg;
  m->park_deadline = deadline;
  m->prevg = g;
  m->prev = PREV_PARK;
  if (is_traced(m)) trace_stop(m, g, EV_PARK, reason);
  run_next(m, g);
  resumed(g);
  if (unlikely(load_acq(&g->timer.ts) != NULL) || deadline != GS_FOREVER) timers_del(&g->timer);
  return g->wake;
}

void *g_leave_dead(M *m, G *g) {
  bool fresh;
  m->prevg = g;
  m->prev = PREV_EXIT;
  if (is_traced(m)) trace_stop(m, g, EV_STOP, trace_ended);
  /* The end of the main G goes by g0: the M inside gs_run must not begin something else. */
  G *n = likely(!g->main) ? next_at_hand(m, g, &fresh) : NULL;
#if GS_ASAN || GS_TSAN
  /* They are told of a switch in the frame that makes it. */
  if (n)
    switch_g_to_g(m, g, n, fresh);
  else
    switch_g_to_g0(m, g);
  throw_("a dead G was resumed");
#else
  return n ? last_switch_to_g(m, n, fresh) : last_switch_to_g0(m);
#endif
}

/* g is about to make a call that will block, and others wait: this M goes on with them, at once,
 * and another one makes the call.  Returns on that M, inside and without a P; or on any M with a P,
 * if no other could be had. */
M *leave_for_call(M *m, G *g) {
  store_rlx(&g->waitreason, "on its way to a foreign call");
  g_to(g, Gsyscall);
  m->prevg = g;
  m->prev = PREV_CALL;
  if (is_traced(m)) trace_stop(m, g, EV_STOP, g_waitreason(g));
  run_next(m, g);
  m = resumed_bare(g);
  if (likely(!g->hooked)) return m;
  if (m->p == &gs_nop) return hook_elsewhere(m, g);
  /* No M could be had.  This one may hold the language's lock by now, with another G's state. */
  m->attached = g->d;
  return hook_released(hook_switch_in(m, g), g);
}

/* The G has no P and cannot go on.  Returns when it has one again, maybe on another M. */
M *requeue_self(M *m, G *g) {
  gs_assert(m->p == &gs_nop);
  store_rlx(&g->waitreason, "waiting for a P");
  m->prevg = g;
  m->prev = PREV_GLOBAL;
  if (is_traced(m)) trace_stop(m, g, EV_STOP, g_waitreason(g));
  switch_g_to_g0(m, g);
  return resumed(g);
}

/* ---- making runnable ---- */

/* g is claimed and off its stack (or never ran). */
void ready(M *m, G *g) {
  Domain *d = g->d;
  g_to(g, Grunnable);
  if (unlikely(m ? is_traced(m) : trace_is_on())) trace_unpark(m, g);
  if (likely(m && m->p->d == d)) {
    runqput(m->p, g, true);
    if (!m->p->solo)
      wakep(d);
    else if (SYSMON_IS_SLOW)
      sysmon_queued(d);
    return;
  }
  torture_window(); /* a P may go idle now */
  lock(&d->lock);
  P *p = pidleget(d);
  if (!p && g->wake == GS_ETIMEOUT)
    globrunqput_due(d, g);
  else if (!p)
    globrunqput(d, g);
  unlock(&d->lock);
  if (!p) {
    sysmon_queued(d);
    return;
  }
  M *lm = g->lockedm;
  if (lm) { /* its M waits in stoplockedm, or is about to */
    /* The world may be stopped with this P in hand. */
    torture_window();
    incidlelocked(-1);
    store_rel(&lm->nextp, p);
    note_wake(&lm->note);
    return;
  }
  runqput(p, g, true);
  startm(p, false);
}

void ready_list(M *m, G *g) {
  while (g) {
    G *next = g->schedlink;
    ready(m, g);
    g = next;
  }
}

/* ---- giving way ---- */

/* On a P that is alone in its domain, from a G to the next in its ring.  g goes into the ring
 * before it is off its stack, which is safe here: without thieves nobody else takes it from there
 * while the M is inside.  NULL: it is not that simple. */
static inline M *yield_solo(M *m, P *p, G *g) {
  if (unlikely(!p->solo || p->fair == 0 || m->lockedg || m->nextg || attn_of(m) ||
               load_rlx(&p->d->ndue) || g->hooked))
    return NULL;
  uint32_t head = load_rlx(&p->head), tail = p->tail;
  G *n = load_rlx(&p->runnext);
  bool inherit = n != NULL;
  if (unlikely(inherit ? tail - head >= RUNQ_SIZE : head == tail)) return NULL;
  if (!inherit) n = load_rlx(&p->runq[head % RUNQ_SIZE]);
  if (unlikely(n->lockedm || !n->sp)) return NULL;
  fetch_ahead(p, head, tail);
  g_to(g, Grunnable);
  store_rlx(&p->runq[tail % RUNQ_SIZE], g);
  store_rel(&p->tail, tail + 1);
  if (inherit) {
    store_rlx(&p->runnext, NULL);
  } else {
    store_rel(&p->head, head + 1);
    bump(&p->schedtick);
  }
  p->fair--;
  switch_g_to_g(m, g, n, false);
  m = gs_getm();
  if (m->prev != PREV_NONE) finish_prev(m);
  g->m = m;
  g_to(g, Grunning);
  bump(&m->nswitch);
  if (is_traced(m)) trace_go(m, g);
  return m;
}

static M *yield_now(M *m) {
  G *g = m->curg;
  P *p = m->p;
  M *after = yield_solo(m, p, g);
  if (likely(after != NULL)) return after;
  if (!p_has_work(p) && may_run(g)) {
    /* Nobody else; now and then look at the clock, in case nobody polls. */
    if (p->fair) {
      p->fair--;
      return m;
    }
    p->fair = fair_ticks();
    if (load_rlx(&p->timers.next) != INT64_MAX) ready_list(m, timers_run(&p->timers, os_now()));
    if (!p_has_work(p)) return m;
  }
  store_rlx(&g->waitreason, "yielded");
  m->prevg = g;
  m->prev = PREV_YIELD;
  if (is_traced(m)) trace_stop(m, g, EV_STOP, g_waitreason(g));
  run_next(m, g);
  return resumed(g);
}

void gs_yield(void) {
  M *m = enter();
  if (unlikely(!m))
    (void)as_callback(gs_yield, 0);
  else
    leave(yield_now(m));
}

/* sysmon has asked for the P: the slice is used up and others wait. */
void preempted(M *m) {
  store_rlx(&m->p->preempt, 0);
  m->p->fair = 0; /* what waits in the global queue has its turn now, not 61 slices later */
  yield_now(m);
}

int gs_sleep(int64_t ns) {
  if (ns <= 0) {
    gs_yield();
    return GS_OK;
  }
  M *m = enter();
  if (unlikely(!m)) return as_callback(gs_sleep, ns);
  int64_t now = os_now();
  int64_t when = ns > INT64_MAX - now - 1 ? INT64_MAX - 1 : now + ns;
  G *g = m->curg;
  int r = gopark(m, NULL, NULL, when, "sleep");
  leave(g->m);
  return r == GS_ETIMEOUT ? GS_OK : r;
}
