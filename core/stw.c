/* stw.c: stopping the world, visiting every P, changing their number, freezing for a fatal error.
 *
 * What stands still.  While the world is stopped no P changes hands, no G starts or parks on one,
 * and no queue of a P changes.  User and foreign code run on *outside*: they do not touch the
 * scheduler, and when they want to come in they wait.  So a stop takes as long as the stretches
 * inside the runtime take, microseconds, whatever anybody computes or blocks in.  Nothing is taken
 * away from anybody, so afterwards every G goes on on the thread it was on.
 * Threads without a P (foreign ones, a poller, an M that comes back from a call whose P was taken)
 * may still put Gs into a global queue; nobody takes them out.
 *
 * How.  A stopper keeps sysmon from taking Ps (retake_mu), sets gcwaiting, and accounts for every
 * P:
 *
 *   idle       pidleget gives nothing away while gcwaiting is set.  It looks at the word under the
 *              domain's lock; the stopper sets the word and takes the lock for its look at the
 * list. held by M  pw is LOCKed, as a retaker does it, then one heavy barrier for all that are new,
 * and then the M need only be seen outside once.  The proof of retake.c, with the LOCK that stays:
 * let L be the M's leaving (any), S1 the store of sc when it comes in next, L1 its look at pw after
 * that, S2 the LOCK, B the barrier, L2 the look at sc that reads L. The barrier gives a point b in
 * the M's program order.  If b is after S1, L2 reads S1 or something later, not L.  Else b is
 * before L1, and L1 sees S2.  So an M that was seen outside waits when it comes in.  Unlike in a
 * retake the captured word does not matter: nothing was judged, and it makes no odds which stretch
 * it is. The barrier is needed for Ms that are inside as well: L and L1 may pass each other. in
 * between a P in the hands of a thread that gives it to another M (nextp) is neither.  It will be
 * wired in a moment.  Hence rounds: look at all Ps that are not accounted for, again and again.
 * Go's stop looks once, and a call that is entered at the wrong moment holds it up for as long as
 * it lasts. given      an M whose locked G has parked still has a P to give up when it is given one
 * for that G (nextp).  If it meets the LOCK there, what it was given stands still with it.
 *
 * An M that is inside when its pw is LOCKed leaves soon; or it runs into the LOCK itself, where it
 * gives its P up, or in schedule_loop, before it runs another G.  There it waits in the mode
 * STOPPED, which counts as outside: it holds no lock and comes in again by the handshake.
 *
 * What must hold.  Nobody waits for a LOCK while holding a runtime lock: the
 * stopper, and everybody who runs meanwhile, may need it.  A stopper that is a G stands between
 * brackets, outside, so that no gs_ function of its can park; its P is LOCKed like all others.
 *
 * Visiting (gs_for_each_p).  Each P has a flag.  Whoever turns it from 1 to 0 runs the function:
 * the caller, for Ps that are idle (taken off their list meanwhile) or LOCKed with their M outside;
 * the M itself, on its way through schedule_loop.  The caller comes round until none is left.
 */
#include "runtime.h"

static struct {
  uint32_t owner;     /* the thread that has stopped the world, 0: none; stw_mu, read by all */
  M *m;               /* between brackets, if the owner is a G; stw_mu */
  M *loser;           /* waits until the start, with no P; stw_mu */
  const char *reason; /* stw_mu */
  void (*fn)(const gs_p_info *, void *); /* of the visit under way; stw_mu */
  void *arg;
  uint32_t left; /* Ps that the visit has yet to see; atomic */
  bool forking;  /* stopped for a fork; stw_mu */
} stw;

/* Runs f for every P that is in use. */
#define EACH_P(p)                                                   \
  for (Domain *d_ = load_acq(&gs_sched.domains); d_; d_ = d_->next) \
    for (uint32_t i_ = 0; i_ < load_acq(&d_->nallp); i_++)          \
      for (P *p = d_->allp[i_]; p && load_rlx(&p->status) != Pdead; p = NULL)

M *stw_own(void) { return stw.m; }

void stw_release_later(M *m) { stw.loser = m; }

/* ---- one round ---- */

static void mark(P *p, uint32_t how, M *m) {
  p->stop.how = how;
  p->stop.m = m;
  p->stop.status = how == STW_IDLE ? Pidle : load_rlx(&p->status);
}

static void look_at_idle(Domain *d) {
  lock(&d->lock);
  for (P *p = d->pidle; p; p = p->link) {
    if (p->stop.how != STW_NOT) continue;
    mark(p, STW_IDLE, NULL);
    p_to(p, Pgcstop);
  }
  unlock(&d->lock);
}

/* True: its M has to pass a barrier before it can be believed. */
static bool lock_out(P *p) {
  M *m = load_acq(&p->m);
  if (!m || !CAS(&m->pw, (uintptr_t)p, (uintptr_t)p | PW_LOCK)) return false;
  mark(p, STW_LOCKING, m);
  /* FENCED after the LOCK: it comes in by an xchg and sees it. */
  uint64_t sc = load_sc(&m->sc);
  if (sc & SC_FENCED) return false;
  /* Without membarrier all go out FENCED, or are inside; unless it was withdrawn a moment ago. */
  return !load_rlx(&gs_sched.fenced) || (sc & SC_MODE) != SC_INSIDE;
}

static bool is_outside(const M *m) { return (load_sc(&m->sc) & SC_MODE) != SC_INSIDE; }

/* p is in nextp of an M that stands still with a P of its own. */
static M *given_to_stopped(const P *p) {
  EACH_P(q) {
    if (q->stop.how == STW_LOCKED && load_acq(&q->stop.m->nextp) == p) return q->stop.m;
  }
  return NULL;
}

/* True: every P is accounted for. */
static bool stop_round(void) {
  bool barrier = false, all = true;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) look_at_idle(d);
  EACH_P(p) {
    if (p->stop.how == STW_NOT) barrier |= lock_out(p);
  }
  torture_window(); /* Ms come in and see LOCK, or are seen */
  if (barrier) heavy_barrier_unfenced();
  EACH_P(p) {
    if (p->stop.how == STW_LOCKING && is_outside(p->stop.m)) {
      mark(p, STW_LOCKED, p->stop.m); /* its status was its M's to change until now */
      p_to(p, Pgcstop);
    }
  }
  EACH_P(p) {
    M *m;
    if (p->stop.how == STW_NOT && (m = given_to_stopped(p))) {
      mark(p, STW_GIVEN, m);
      p_to(p, Pgcstop);
    }
    all &= p->stop.how > STW_LOCKING;
  }
  return all;
}

/* Inside stretches are short, but their thread may have no CPU. */
static void pause_round(int round) {
  if (round < 8)
    os_yield();
  else
    os_sleep_ns(round < 100 ? 20000 : 200000);
}

/* ---- stopping and starting ---- */

void stop_world(const char *reason) {
  lock(&gs_sched.stw_mu);
  lock(&gs_sched.retake_mu);
  stw.reason = reason;
  store_sc(&gs_sched.gcwaiting, 1);
  torture_window(); /* a P may be on its way to an M */
  for (int round = 0; !stop_round(); round++) pause_round(round);
  store_rlx(&stw.owner, os_gettid());
}

/* Before gcwaiting is cleared: the next stop must not find marks of this one. */
static void unmark_idle(Domain *d) {
  lock(&d->lock);
  for (P *p = d->pidle; p; p = p->link) {
    p_to(p, Pidle);
    p->stop.how = STW_NOT;
  }
  unlock(&d->lock);
}

static void let_go(P *p) {
  uint32_t how = p->stop.how;
  M *m = p->stop.m;
  p->stop.how = STW_NOT;
  if (how == STW_LOCKED || how == STW_GIVEN) p_to(p, p->stop.status);
  if (how == STW_LOCKED) unlock_pw(m, (uintptr_t)p);
  if (how == STW_TAKEN) unlock_pw(m, 0);
}

void start_world(void) {
  if (load_sc(&gs_sched.frozen)) stw_end();
  stw.reason = NULL;
  store_rlx(&stw.owner, 0);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) unmark_idle(d);
  store_sc(&gs_sched.gcwaiting, 0);
  /* A P in nextp first: its M goes on with it as soon as that one's own P is let go, and its status
   * is the M's to change from then on. */
  EACH_P(p) {
    if (p->stop.how == STW_GIVEN) let_go(p);
  }
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0; i < d->nallp; i++) let_go(d->allp[i]);
  if (stw.loser) unlock_pw(stw.loser, 0);
  stw.loser = NULL;
  os_futex_wake_all(&gs_sched.gcwaiting); /* stw_hold */
  /* What was made runnable meanwhile found no idle P. */
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    if (load_sc(&d->npidle) && any_work(d)) wakep(d);
  unlock(&gs_sched.retake_mu);
  unlock(&gs_sched.stw_mu);
}

void stw_hold(void) {
  while (load_acq(&gs_sched.gcwaiting)) os_futex_wait(&gs_sched.gcwaiting, 1);
}

/* In schedule_loop.  What the M had in hand goes back if its P is gone. */
static void still_ours(M *m, P *p) {
  if (likely(load_acq(&m->pw) == (uintptr_t)p) || wait_unlocked(m, p)) return;
  p_lost(m, p->d);
  G *g = m->nextg;
  m->nextg = NULL;
  if (g) ready(NULL, g);
}

/* Instead of running another G.  Waits for the LOCK on its own pw and for nothing else: an M whose
 * P went to a change of procs must not sleep on, for somebody may have given it another one
 * (nextp).
 */
void stw_wait(M *m) {
  if (unlikely(load_sc(&gs_sched.frozen))) stw_end(); /* its P was on its way when all froze */
  if (m->p != &gs_nop) still_ours(m, m->p);
}

/* ---- on a green thread ---- */

/* A G that stops the world, or visits Ps, stands between brackets of its own: outside, where it may
 * wait, and where no gs_ function can park. */
static M *step_out(void) {
  static gs_site site = {.name = "stop the world"};
  M *m = enter();
  if (!m) return NULL;
  G *g = m->curg;
  g->bracket = BRACKET_STW;
  store_rlx(&g->site, &site);
  if (trace_call_begin(m, g, 0, &site)) m->trace_end = EV_RET; /* step_in's exitsyscall does it */
  g_to(g, Gsyscall);
  p_to(m->p, Psyscall);
  m->oldp = m->p;
  m->p = &gs_nop;
  sc_leave(m, SC_CALL);
  return m;
}

static void step_in(M *m) {
  if (!m) return;
  int e = *m->errno_at;
  m->curg->bracket = BRACKET_NONE;
  m = exitsyscall(m, m->curg, true);
  *m->errno_at = e;
  leave(m);
}

static bool stopped_by_me(void) { return load_rlx(&stw.owner) == os_gettid(); }

int gs_stop_world(const char *reason) {
  if (stopped_by_me())
    return gs_fail(GS_EBUSY, "gs_stop_world: this thread has stopped the world already");
  int err = gs_boot();
  if (err) return err;
  M *m = step_out();
  stop_world(reason ? reason : "gs_stop_world");
  stw.m = m;
  return GS_OK;
}

int gs_start_world(void) {
  if (!stopped_by_me())
    return gs_fail(GS_EPERM, "gs_start_world: the world was not stopped by this thread");
  M *m = stw.m;
  stw.m = NULL;
  start_world();
  step_in(m);
  return GS_OK;
}

int gs_set_procs(int n) {
  if (n < 1 || n > GS_MAX_PROCS)
    return gs_fail(GS_EINVAL, "gs_set_procs: procs is %d; 1..%d is accepted", n, GS_MAX_PROCS);
  if (stopped_by_me())
    return gs_fail(GS_EBUSY, "gs_set_procs: this thread has stopped the world; start it first");
  int err = gs_boot();
  if (err) return err;
  M *m = step_out();
  stop_world("gs_set_procs");
  stw.m = m;
  err = domain_resize_stopped(&gs_native, (uint32_t)n);
  stw.m = NULL;
  start_world();
  step_in(m);
  return err ? gs_fail(err, "gs_set_procs: out of memory for %d procs", n) : GS_OK;
}

int gs_sched_enable_user(int enable) {
  static uint16_t generation; /* in a stopped world */
  if (stopped_by_me())
    return gs_fail(GS_EBUSY, "gs_sched_enable_user: this thread has stopped the world");
  int err = gs_boot();
  if (err) return err;
  M *m = step_out();
  stop_world("gs_sched_enable_user");
  if (!enable) {
    if (!gs_sched.user_off) {
      if (!++generation) generation = 1;
      store_sc(&gs_sched.user_off, generation);
    }
    if (m) m->curg->pass = generation;
  }
  /* Who runs a user G gives it up at its next look at these (proc.c). */
  EACH_P(p) {
    p->fair = 0;
    store_rlx(&p->preempt, !enable);
  }
  start_world();
  if (enable) user_on(NULL);
  step_in(m);
  return GS_OK;
}

int gs_procs(void) { return (int)load_rlx(&gs_native.nprocs); }

/* ---- visiting every P ---- */

static bool visit(P *p) {
  torture_window(); /* the M may see the flag, too */
  if (!CAS(&p->safefn, 1, 0)) return false;
  gs_p_info info;
  p_info(p, &info);
  stw.fn(&info, stw.arg);
  return true;
}

static void visited(bool yes) {
  if (yes) add_sc(&stw.left, -1);
}

/* The function is the user's: it runs outside, and its gs_ calls are refused. */
void stw_safe_point(M *m) {
  P *p = m->p;
  store_rlx(&m->inhook, 1);
  m->p = &gs_nop;
  sc_leave(m, SC_CALL);
  bool yes = visit(p);
  m->p = p;
  sc_enter(m, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  visited(yes);
  still_ours(m, p);
}

/* Nobody calls user code under a lock: idle Ps are taken off the list for the visit. */
static void visit_idle(Domain *d) {
  P *list = NULL, *p;
  lock(&d->lock);
  while ((p = pidleget(d))) {
    p->link = list;
    list = p;
  }
  unlock(&d->lock);
  while ((p = list)) {
    list = p->link;
    p->link = NULL;
    visited(visit(p));
    handoffp(p); /* work may have come for it */
  }
}

static bool any_flag(Domain *d) {
  for (uint32_t i = 0; i < load_acq(&d->nallp); i++)
    if (load_rlx(&d->allp[i]->safefn)) return true;
  return false;
}

static void visit_outside(void) {
  bool barrier = false;
  lock(&gs_sched.retake_mu);
  EACH_P(p) {
    if (load_rlx(&p->safefn)) barrier |= lock_out(p);
  }
  if (barrier) heavy_barrier_unfenced();
  EACH_P(p) {
    if (p->stop.how != STW_LOCKING) continue;
    p->stop.how = STW_NOT;
    if (is_outside(p->stop.m)) visited(visit(p));
    unlock_pw(p->stop.m, (uintptr_t)p);
  }
  unlock(&gs_sched.retake_mu);
}

int gs_for_each_p(void (*fn)(const gs_p_info *p, void *arg), void *arg) {
  if (!fn) return gs_fail(GS_EINVAL, "gs_for_each_p: fn is NULL; a function is needed");
  int err = gs_boot();
  if (err) return err;
  if (stopped_by_me()) {
    EACH_P(p) {
      gs_p_info info;
      p_info(p, &info);
      fn(&info, arg);
    }
    return GS_OK;
  }
  M *m = step_out();
  lock(&gs_sched.stw_mu);
  stw.fn = fn;
  stw.arg = arg;
  store_sc(&stw.left, 1);
  EACH_P(p) {
    add_sc(&stw.left, 1);
    store_sc(&p->safefn, 1);
  }
  add_sc(&stw.left, -1);
  for (int round = 0; load_sc(&stw.left) != 0; round++) {
    if (round) pause_round(round);
    for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
      if (any_flag(d)) visit_idle(d);
    visit_outside();
  }
  unlock(&gs_sched.stw_mu);
  step_in(m);
  return GS_OK;
}

/* ---- fork (process.c) ---- */

/* Who has stopped the world may fork, too. */
void stw_fork_prepare(void) {
  if (stopped_by_me()) return;
  stop_world("fork");
  stw.forking = true;
}

void stw_fork_parent(void) {
  if (!stw.forking) return;
  stw.forking = false;
  start_world();
}

/* Everybody else is gone, so nothing is let go: process.c writes all Ps anew.  The child of a G
 * that had stopped the world has it to start, as the parent has. */
void stw_fork_child(void) {
  stw.loser = NULL;
  EACH_P(p) {
    p->stop.how = STW_NOT;
    p->safefn = 0;
  }
  if (!stw.forking) {
    if (stw.owner) store_rlx(&stw.owner, os_gettid());
    return;
  }
  stw.forking = false;
  stw.reason = NULL;
  store_rlx(&stw.owner, 0);
  store_rlx(&gs_sched.gcwaiting, 0);
  unlock(&gs_sched.retake_mu);
  unlock(&gs_sched.stw_mu);
}

/* ---- a fatal error ---- */

_Noreturn void stw_end(void) {
  static uint32_t never;
  for (;;) os_futex_wait(&never, 0);
}

/* Like a stop that waits for nobody: whoever reports the error may hold any lock, or have caught
 * another stopper or a retaker in the middle.  After it no M comes in again, so none goes from C
 * back into a G while the report is written.  Several times, because a retaker may end a LOCK that
 * it has set before `frozen`, and for Ps that were on their way. */
void stw_freeze(void) {
  M *me = gs_getm();
  store_sc(&gs_sched.frozen, 1);
  store_sc(&gs_sched.gcwaiting, 1);
  for (int round = 0; round < 5; round++) {
    for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) {
      uintptr_t w = load_sc(&m->pw);
      if (m != me && w && !(w & PW_LOCK)) (void)CAS(&m->pw, w, w | PW_LOCK);
    }
    heavy_barrier();
    os_sleep_ns(1000000);
  }
}
