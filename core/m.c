/* m.c: OS threads and what they hold: making and parking Ms, giving Ps to them and taking them
 * back.
 *
 * An M without work sleeps on its own note, on the list midle.  Whoever has a P that should run
 * calls startm: it wakes an idle M with the P in its hand (nextp), or makes a new thread.  handoffp
 * decides whether a P needs an M at all.  The contract of handoffp, from Go: it must start an M
 * whenever find_runnable on that P would return a G.
 *
 * When no thread can be made (max_threads, or a limit of the system) nothing dies: the P goes back
 * to the idle list, its Gs to the global queue, and `starved` is set.  Every M that comes to rest
 * looks there first (stopm), so the work is taken up as soon as any thread is free; sysmon tries
 * again meanwhile.  stopm's look is for speed alone: an M that rests without it is on midle, where
 * sysmon's next try finds it (retry_starved, at most MAX_DELAY_NS later, and `starved` keeps sysmon
 * out of its deep sleep).  So there is no mutant that removes it: only a clock could tell.
 *
 * Locked Gs.  An M with a lockedg runs nothing else.  It sleeps in stoplockedm until somebody hands
 * it a P for its G; whoever finds a locked G in a queue gives its own P away (startlockedm).
 */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define IDLE_KEEP 4u /* idle Ms that stay for good */

/* ---- P and M ---- */

/* What handoffp has sent is there. */
static void p_arrived(P *p) {
  histogram_add(HIST_HANDOFF, os_now() - p->handed_at);
  p->handed_at = 0;
}

/* The caller owns p; m is inside and holds none. */
void acquirep(M *m, P *p) {
  gs_assert(m->p == &gs_nop && load_rlx(&m->pw) == 0);
  store_rel(&p->m, m);
  p_to(p, Prunning);
  m->p = p;
  m->tick_base = m_fast_calls(m);
  if (unlikely(p->handed_at)) p_arrived(p);
  if (is_traced(m)) trace_p(m, EV_P_START, p);
  store_rel(&m->pw, (uintptr_t)p);
}

/* The M is inside and holds no lock, and waits in a mode that a stopper takes for standing still.
 * Coming in again is the same handshake as from outside. */
GS_NOINLINE static bool wait_stopped(M *m, P *p) {
  gs_assert_no_locks();
  for (;;) {
    uintptr_t w;
    sc_leave(m, SC_STOPPED);
    add_sc(&gs_sched.pw_waiters, 1);
    while ((w = load_sc(&m->pw)) & PW_LOCK) os_futex_wait((uint32_t *)(void *)&m->pw, (uint32_t)w);
    add_sc(&gs_sched.pw_waiters, -1);
    if (unlikely(load_sc(&gs_sched.frozen))) stw_end();
    torture_window(); /* LOCKed again, while it still counts as stopped? */
    sc_enter(m, m->sc);
    if (!((w = load_acq(&m->pw)) & PW_LOCK)) return w == (uintptr_t)p;
  }
}

/* Sleeps while pw is LOCKed.  A retaker holds it over one barrier only, unless the kernel stops it
 * there, a stopper of the world until the world starts: hence a sleep after a short spin. */
bool wait_unlocked(M *m, P *p) {
  uintptr_t w = load_acq(&m->pw);
  for (int i = 0; i < 64 && w & PW_LOCK; i++) {
    compiler_fence();
    w = load_acq(&m->pw);
  }
  bool mine = w & PW_LOCK ? wait_stopped(m, p) : w == (uintptr_t)p;
  if (!mine && unlikely(load_rlx(&m->relief))) pless_back(m);
  return mine;
}

/* The acquire load that showed pw without the P has shown m->relief, too: sysmon sets it first. */
void pless_back(M *m) {
  store_rlx(&m->relief, RELIEF_NONE);
  add_sc(&gs_sched.nrelieved, -1);
}

static P *released(M *m, P *p) {
  m->p = &gs_nop;
  if (is_traced(m)) trace_p(m, EV_P_STOP, p);
  p_keep_syscalltick(p, m);
  store_rlx(&p->m, NULL);
  p_to(p, Pidle);
  return p;
}

P *releasep_try(M *m) {
  P *p = m->p;
  return CAS(&m->pw, (uintptr_t)p, (uintptr_t)0) ? released(m, p) : NULL;
}

/* m is inside, so a retaker may LOCK pw for a moment but will not confirm.  Only a change of procs
 * takes a P from an M that waits here. */
P *releasep(M *m) {
  P *p = m->p;
  while (!CAS(&m->pw, (uintptr_t)p, (uintptr_t)0))
    if (!wait_unlocked(m, p)) {
      m->p = &gs_nop;
      return NULL;
    }
  return released(m, p);
}

void pidleput(P *p) {
  Domain *d = p->d;
  gs_assert(runqempty(p));
  p_to(p, load_rlx(&gs_sched.gcwaiting) ? Pgcstop : Pidle);
  store_rlx(&p->preempt, load_rlx(&gs_sched.user_off) != 0);
  store_rlx(&p->solo, d->nprocs == 1);
  p->handed_at = 0;
  p->link = d->pidle;
  d->pidle = p;
  store_sc(&d->npidle, d->npidle + 1);
  add_sc(&gs_sched.npidle_all, 1);
}

P *pidleget(Domain *d) {
  P *p = d->pidle;
  /* A stopper sets gcwaiting and then takes the lock for its look at the list. */
  if (!p || load_rlx(&gs_sched.gcwaiting)) return NULL;
  d->pidle = p->link;
  p->link = NULL;
  store_sc(&d->npidle, d->npidle - 1);
  /* sysmon sleeps deeply only while every P is idle.  It publishes sysmon_wait and then counts the
   * idle Ps; this counts and then reads sysmon_wait. */
  add_sc(&gs_sched.npidle_all, -1);
  if (unlikely(load_sc(&gs_sched.sysmon_wait))) sysmon_wake();
  return p;
}

P *pidleget_try(Domain *d) {
  if (load_rlx(&d->npidle) == 0) return NULL;
  lock(&d->lock);
  P *p = pidleget(d);
  unlock(&d->lock);
  return p;
}

/* For an M that shall spin.  Where there is no P, whoever gives one up next is told to look once
 * more.  Both under one lock: an M that gave its P up between an unlocked look and the telling
 * would neither be found here nor look (models/spinning.pml, BROKEN_UNLOCKED). */
P *pidleget_spinning(Domain *d) {
  lock(&d->lock);
  P *p = pidleget(d);
  if (!p) store_sc(&d->needspinning, 1);
  unlock(&d->lock);
  return p;
}

/* ---- making Ms ---- */

M *m_make(int32_t id) {
  Sched *s = &gs_sched;
  M *m = aligned_alloc(_Alignof(M), sizeof *m);
  if (!m) return NULL;
  memset(m, 0, sizeof *m);
  m->id = id;
  m->p = m->oldp = &gs_nop;
  lock(&s->lock);
  m->alllink = s->allm;
  store_rel(&s->allm, m);
  unlock(&s->lock);
  return m;
}

/* sched.lock is held. */
static void note_most(void) {
  Sched *s = &gs_sched;
  uint32_t n = s->nm - s->nordered;
  if (n > s->nm_max) store_rlx(&s->nm_max, n);
}

/* Counts an M that is about to be made.  sched.lock is held.  False: there may be no more. */
static bool m_count(void) {
  Sched *s = &gs_sched;
  if (s->nm >= s->max_threads) return false;
  store_rlx(&s->nm, s->nm + 1);
  note_most();
  return true;
}

void m_ordered(int by) {
  lock(&gs_sched.lock);
  gs_sched.nordered += (uint32_t)by;
  note_most();
  unlock(&gs_sched.lock);
}

/* sched.lock is held. */
void m_uncount(void) {
  store_rlx(&gs_sched.nm, gs_sched.nm - 1);
  store_rlx(&gs_sched.nmfreed, gs_sched.nmfreed + 1);
}

/* The struct, used again or new; it is counted already.  NULL: out of memory, and not counted. */
static M *m_struct(void) {
  Sched *s = &gs_sched;
  lock(&s->lock);
  M *m = s->mfree;
  if (m) s->mfree = m->freelink;
  int32_t id = m ? m->id : (int32_t)s->nmid++;
  unlock(&s->lock);
  if (!m && !(m = m_make(id))) {
    lock(&s->lock);
    m_uncount();
    unlock(&s->lock);
    return NULL;
  }
  m->freelink = NULL;
  m->own = m->quit = 0;
  trace_m_init(m);
  return m;
}

M *m_alloc(void) {
  lock(&gs_sched.lock);
  bool counted = m_count();
  unlock(&gs_sched.lock);
  return counted ? m_struct() : NULL;
}

/* It has no thread any more, or its thread has left the runtime.  The struct is never freed:
 * retakers may still look. */
void m_put_free(M *m) {
  lock(&gs_sched.lock);
  m->freelink = gs_sched.mfree;
  gs_sched.mfree = m;
  unlock(&gs_sched.lock);
}

void m_free(M *m) {
  lock(&gs_sched.lock);
  m_uncount();
  unlock(&gs_sched.lock);
  m_put_free(m);
}

void m_thread_init(M *m) {
  gs_setm(m);
  uint32_t tid = os_gettid();
  if (m->tid != tid) { /* an M of an earlier gs_run: what bindings stored belongs to its thread */
    memset(m->mdata, 0, sizeof m->mdata);
    if (m->mdata_more) memset(m->mdata_more, 0, GS_MAX_DOMAINS * sizeof(void *));
  }
  store_rlx(&m->tid, tid);
  m->thread = pthread_self();
  os_stack_bounds(&m->g0lo, &m->g0hi);
  gs_arch_controls(&m->controls);
  m_fiber_init(m);
  stack_sigstack(m);
}

static void no_thread(int err) {
  static uint32_t said;
  char limits[256];
  add_rlx(&gs_sched.nlimit, 1);
  if (err == 0) {
    if (!xchg(&said, 1))
      gs_log(1,
             "all %u threads that max_threads allows are in use; work waits for one to come free "
             "(GOSCHED_MAX_THREADS, gs_config.max_threads)",
             gs_sched.max_threads);
    return;
  }
  if (xchg(&said, 1)) return;
  os_thread_limits(limits, sizeof limits);
  gs_log(1,
         "cannot create another thread (have %u): %s; limits: %s; work waits for one to come free",
         gs_sched.nm, strerror(err), limits);
}

static void give_back(P *p, bool spinning);

/* No thread could be made for m, which the caller has made ready to run. */
void m_stillborn(M *m, int err) {
  P *p = m->nextp;
  G *g = m->callg;
  bool spinning = m->spinning, topoll = m->topoll;
  m->nextp = NULL;
  m->callg = NULL;
  m->spinning = m->topoll = 0;
  m_free(m);
  no_thread(err);
  if (topoll) store_rel(&gs_sched.poll_starting, 0);
  if (p) give_back(p, spinning);
  if (g) ready(NULL, g); /* it makes its call with a P, like others */
}

/* counted: there may be one more.  What m is to do is written before its thread is ordered.  p
 * (NULL: none) is the new M's from here on, or goes back to where others find it. */
static void newm(bool counted, P *p, bool spinning, bool topoll) {
  M *m = counted ? m_struct() : NULL;
  if (!m) {
    no_thread(0);
    if (topoll) store_rel(&gs_sched.poll_starting, 0);
    if (p) give_back(p, spinning);
    return;
  }
  m->nextp = p;
  m->spinning = spinning;
  m->topoll = topoll;
  if (p && is_traced(m)) trace_p(m, EV_P_SENT, p);
  int err = m_start(m);
  if (err) m_stillborn(m, err);
}

/* ---- the idle Ms ---- */

static void mput(M *m) {
  Sched *s = &gs_sched;
  m->idle = 1;
  m->iprev = NULL;
  m->inext = s->midle;
  if (s->midle) s->midle->iprev = m;
  s->midle = m;
  store_sc(&s->nmidle, s->nmidle + 1);
}

static void mdrop(M *m) {
  Sched *s = &gs_sched;
  if (m->iprev)
    m->iprev->inext = m->inext;
  else
    s->midle = m->inext;
  if (m->inext) m->inext->iprev = m->iprev;
  m->inext = m->iprev = NULL;
  m->idle = 0;
  store_rlx(&s->nmidle, s->nmidle - 1);
}

static M *mget(void) {
  M *m = gs_sched.midle;
  if (m) mdrop(m);
  return m;
}

/* An idle P of any domain that has work queued, for when threads are short. */
P *starved_work(void) {
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) {
    if (load_rlx(&d->runqsize) == 0 || load_rlx(&d->npidle) == 0) continue;
    lock(&d->lock);
    P *p = d->runqsize ? pidleget(d) : NULL;
    unlock(&d->lock);
    if (p) return p;
  }
  return NULL;
}

/* When every thread there may be is locked to some G, only those Gs can use a P: the first of them
 * that waits in the global queue gets this one.  p's ring is empty. */
static bool give_to_locked(P *p) {
  Domain *d = p->d;
  G *prev = NULL, *g;
  lock(&d->lock);
  for (g = d->runq_head; g && !g->lockedm; g = g->schedlink) prev = g;
  if (g) {
    due_leave(d, g, prev);
    if (prev)
      prev->schedlink = g->schedlink;
    else
      d->runq_head = g->schedlink;
    if (d->runq_tail == g) d->runq_tail = prev;
    store_rlx(&d->runqsize, d->runqsize - 1);
    g->schedlink = NULL;
  }
  unlock(&d->lock);
  if (!g) return false;
  M *lm = g->lockedm;
  incidlelocked(-1);
  store_rel(&lm->nextp, p);
  note_wake(&lm->note);
  return true;
}

/* No thread: the work waits where the next M that comes to rest finds it. */
static void give_back(P *p, bool spinning) {
  if (spinning) add_sc(&p->d->nmspinning, -1);
  runqdrain_to_global(p);
  if (give_to_locked(p)) return;
  lock(&p->d->lock);
  pidleput(p);
  unlock(&p->d->lock);
  store_sc(&gs_sched.starved, 1);
  poll_break(INT64_MIN); /* the poller is a thread that could do it */
  /* An M that came to rest after our mget and before this store has not seen it. */
  if (load_sc(&gs_sched.nmidle) != 0 && (p = starved_work())) startm(p, false);
}

/* The caller owns p and gives it to an M. */
void startm(P *p, bool spinning) {
  lock(&gs_sched.lock);
  M *m = mget();
  /* One step with the look at the list: whoever asks whether anybody runs must count the M that is
   * to be made. */
  bool counted = !m && m_count();
  unlock(&gs_sched.lock);
  if (!m) {
    newm(counted, p, spinning, false);
    return;
  }
  torture_window(); /* it may be woken for another reason */
  gs_assert(!m->nextp && !m->spinning);
  m->spinning = spinning;
  if (is_traced(m)) trace_p(m, EV_P_SENT, p);
  store_rel(&m->nextp, p);
  note_wake(&m->note);
}

/* The call of g, which has left its stack, goes to an idle M, or to one that is to be made: by the
 * template thread, because the caller has a P and better things to do.  Not to the M inside gs_run,
 * whose thread has to leave when the main G ends. */
bool startm_call(G *g) {
  lock(&gs_sched.lock);
  M *m = gs_sched.midle;
  if (m && m->runner) m = m->inext;
  if (m) mdrop(m);
  bool counted = !m && m_count();
  unlock(&gs_sched.lock);
  if (m) {
    store_rel(&m->callg, g);
    note_wake(&m->note);
    return true;
  }
  if (!counted || !(m = m_struct())) return false;
  m->callg = g;
  m_order(m);
  return true;
}

/* m was ordered for a call and has no thread yet.  By now another one may be idle, and waking that
 * is cheaper, in time and in memory, than making one: of a wave of calls that are longer than it
 * takes to make their threads, the first have come back before the last have theirs.  True: that
 * one makes the call. */
bool m_needless(M *m) {
  Sched *s = &gs_sched;
  lock(&s->lock);
  M *other = s->midle;
  if (other && other->runner) other = other->inext;
  if (other) {
    mdrop(other);
    s->nordered--;
    store_rlx(&s->nm, s->nm - 1);
  }
  unlock(&s->lock);
  if (!other) return false;
  G *g = m->callg;
  m->callg = NULL;
  m_put_free(m);
  store_rel(&other->callg, g);
  note_wake(&other->note);
  return true;
}

void start_poller(void) {
  if (!CAS(&gs_sched.poll_starting, 0, 1)) return;
  lock(&gs_sched.lock);
  M *m = mget();
  if (m) m->topoll = 1;
  bool counted = !m && m_count();
  unlock(&gs_sched.lock);
  if (m)
    note_wake(&m->note);
  else
    newm(counted, NULL, false, true);
}

/* Somebody took this M off the list; what for is on the way.  The note may have been set for
 * another reason (gs_notify, the end of the main green thread), so it alone proves nothing. */
static void await_orders(M *m) {
  for (;;) {
    note_clear(&m->note);
    if (load_acq(&m->nextp) || load_acq(&m->callg) || load_rlx(&m->topoll) || load_rlx(&m->quit))
      return;
    note_sleep(&m->note);
  }
}

/* sched.lock is held, m is on the list.  More than a few are idle, and m may end. */
static bool surplus(const M *m) {
  if (!m->own || load_sc(&gs_sched.nmidle) <= IDLE_KEEP || m->mdata_more) return false;
  for (int i = 0; i < GS_MDATA; i++)
    if (m->mdata[i]) return false; /* a binding knows this thread */
  return true;
}

/* Takes an idle M out of service, for when max_threads has become smaller. */
bool m_dismiss(void) {
  lock(&gs_sched.lock);
  M *m = gs_sched.midle;
  while (m && !m->own) m = m->inext;
  if (m) {
    mdrop(m);
    store_rlx(&m->quit, QUIT_IDLE);
    m_uncount();
  }
  unlock(&gs_sched.lock);
  if (m) note_wake(&m->note);
  return m != NULL;
}

/* Sleeps until there is something for m.  False: it has been idle for long and is one too many. */
static bool sleep_idle(M *m, bool one_too_many) {
  if (!one_too_many) {
    note_sleep(&m->note);
    return true;
  }
  bool wanted = note_sleep_until(&m->note, os_now() + load_rlx(&gs_sched.idle_ns));
  torture_window(); /* it has waited long enough, and somebody wants it now */
  return wanted;
}

void stopm(M *m) {
  Sched *s = &gs_sched;
  gs_assert(m->p == &gs_nop && !m->spinning);
  bool leave_run = false, one_too_many = false;
  lock(&s->lock);
  if (m->runner && load_sc(&s->main_done)) {
    leave_run = true;
  } else {
    mput(m);
    one_too_many = surplus(m);
  }
  unlock(&s->lock);
  if (leave_run) return;
  /* After mput, so that a P which is given back between the look and the sleep finds this M in the
   * list.  startm sets starved after pidleput; here the M is listed before it reads starved. */
  fence_sc();
  torture_window();
  P *p = load_sc(&s->starved) ? starved_work() : NULL;
  bool useful = p || sleep_idle(m, one_too_many);
  lock(&s->lock);
  bool chosen = !m->idle;
  if (!chosen) {
    if (!useful && surplus(m)) {
      m->quit = QUIT_IDLE;
      m_uncount();
    }
    mdrop(m);
  }
  unlock(&s->lock);
  if (chosen)
    await_orders(m);
  else
    note_clear(&m->note);
  if (m->topoll) {
    m->topoll = 0;
    store_rel(&s->poll_starting, 0);
  }
  P *given = m->nextp;
  m->nextp = NULL;
  if (given) acquirep(m, given);
  if (!p) return;
  if (!given)
    acquirep(m, p);
  else
    handoffp(p); /* two at once: this one goes on to somebody else, or back to the list */
}

/* ---- locked Gs ---- */

/* An M that waits for a P for its locked G is counted from stoplockedm until a P is on its way to
 * it, and whoever sends the P counts it down before it sets the note: the M must not look idle
 * while there is work for it.  A G can be made runnable before its M has got as far as to count
 * itself; the sum is one too low then, for a moment, and says that more run than do.
 *
 * sysmon holds no P and is no M, but it may have a P or ready Gs in its hands: it pretends that one
 * more M runs meanwhile. */
void incidlelocked(int32_t n) {
  lock(&gs_sched.lock);
  store_rlx(&gs_sched.nmidlelocked, gs_sched.nmidlelocked + n);
  unlock(&gs_sched.lock);
}

/* A signal that comes between an interpreter's last look at its signals and our futex wait would go
 * unnoticed.  So the main G of a binding that asks for it is sent to look again after a while, ever
 * less often: after 16 ms, 32 ms, … 1 s. */
static int sleep_locked(M *m) {
  G *g = m->lockedg;
  if (!g->main || !(g->d->ops.flags & GS_DOMAIN_LOOKS_FOR_SIGNALS) || load_acq(&g->park) != PARKED)
    return note_sleep_intr(&m->note);
  int64_t pause = (int64_t)16000000 << (m->looks < 6 ? m->looks : 6);
  int64_t until = os_now() + pause;
  while (load_acq(&m->note.word) == 0) {
    int r = os_futex_wait_until(&m->note.word, 0, until);
    if (load_acq(&m->note.word) != 0) break;
    if (r == 0) continue;
    m->looks = r == 1 ? m->looks + 1 : 0;
    return 1;
  }
  m->looks = 0;
  return 0;
}

void stoplockedm(M *m) {
  if (m->p != &gs_nop) {
    m_detach(m);
    torture_window(); /* it may be given another P while this one is LOCKed */
    P *p = m->p != &gs_nop ? releasep(m) : NULL;
    if (p) handoffp(p);
  }
  incidlelocked(1);
  /* Told while it did something else: this is what it parks in next. */
  bool told = m->lockedg->main && load_sc(&gs_sched.notified);
  for (;;) {
    int interrupted = told ? 1 : sleep_locked(m);
    told = false;
    torture_window(); /* it was woken for one reason, and there is another one now */
    note_clear(&m->note);
    P *p = load_acq(&m->nextp);
    if (p) {
      m->nextp = NULL;
      acquirep(m, p);
      return;
    }
    /* Without a P, and the thread leaves (see boot.c).  After the look at nextp: a P that comes
     * later sets the note again, and finds the thread that takes this one's place. */
    if (unlikely(m->runner && load_sc(&gs_sched.main_done))) {
      incidlelocked(-1);
      return;
    }
    /* A signal handler has run on this thread, or gs_notify was called.  Only the G that gs_run
     * locked here is told: it is the one whose operations return GS_EINTR.  Until it is claimed
     * the word says that it will be (deadlock.c); whoever sets it again meanwhile has done before
     * what the G looks for, and an exchange sees that.  If somebody else has claimed it, the word
     * stays, for what it parks in next. */
    if (!m->lockedg->main) continue;
    if (load_sc(&gs_sched.notified)) interrupted = 1;
    torture_window(); /* everybody else may be asleep by now */
    if (!interrupted || !claim(m->lockedg, GS_EINTR)) continue;
    (void)xchg(&gs_sched.notified, 0);
    ready(NULL, m->lockedg);
  }
}

void startlockedm(M *m, G *g) {
  M *lm = g->lockedm;
  gs_assert(lm != m && !lm->nextp);
  m_detach(m);
  if (m->p == &gs_nop) { /* lost while the hook ran */
    ready(NULL, g);
    return;
  }
  if (m->spinning) {
    m->spinning = 0;
    add_sc(&m->p->d->nmspinning, -1);
  }
  P *p = releasep(m);
  if (!p) {
    ready(NULL, g);
    return;
  }
  incidlelocked(-1);
  store_rel(&lm->nextp, p);
  note_wake(&lm->note);
}

/* ---- handing Ps on ---- */

void wakep(Domain *d) {
  if (load_sc(&d->npidle) == 0 || load_sc(&d->nmspinning) != 0) {
    if (SYSMON_IS_SLOW && load_rlx(&d->npidle) == 0) sysmon_queued(d);
    return;
  }
  if (!CAS(&d->nmspinning, 0, 1)) return;
  torture_window(); /* the idle P goes to somebody who comes back from a call */
  P *p = pidleget_spinning(d);
  if (p) {
    startm(p, true);
    return;
  }
  torture_window(); /* who gives a P up now takes this M for one that looks */
  add_sc(&d->nmspinning, -1);
}

void handoffp(P *p) {
  Domain *d = p->d;
  add_rlx(&gs_sched.nhandoff, 1);
  p->handed_at = os_now(); /* before anybody else has the P */
  if (unlikely(trace_is_on())) trace_p(gs_getm(), EV_PASS, p);
  if (p_has_work(p)) {
    startm(p, false);
    return;
  }
  /* Nobody looks for work and nobody is idle: all others are busy, and may have more than they can
   * do.  One M has to look. */
  if (load_rlx(&d->nprocs) > 1 && load_sc(&d->nmspinning) + load_sc(&d->npidle) == 0 &&
      CAS(&d->nmspinning, 0, 1)) {
    store_sc(&d->needspinning, 0);
    startm(p, true);
    return;
  }
  torture_window(); /* a G may be queued now: it finds no idle P */
  lock(&d->lock);
  if (d->runqsize) { /* came while we looked; the P's own ring only its owner fills */
    unlock(&d->lock);
    startm(p, false);
    return;
  }
  pidleput(p);
  unlock(&d->lock);
  /* The P's timers are the poller's now, or sysmon's (see poll.c); and if this was the last P that
   * looked at descriptors now and then, somebody must. */
  if (load_sc(&gs_sched.poller) == NULL &&
      (load_sc(&p->timers.next) != INT64_MAX || load_sc(&gs_sched.netpoll_waiters) != 0))
    start_poller();
}

/* ---- the hooks of an M ---- */

/* The M is about to do without its domain.  m may hold a P or not. */
void m_detach(M *m) {
  Domain *d = m->attached;
  if (likely(!d)) return;
  m->attached = NULL;
  if (!d->ops.detach) return;
  store_rlx(&m->inhook, 1);
  sc_leave(m, SC_CALL);
  d->ops.detach(d->ud);
  sc_enter(m, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  if (m->p != &gs_nop && unlikely(load_acq(&m->pw) != (uintptr_t)m->p) && !wait_unlocked(m, m->p))
    m->p = &gs_nop;
}

void m_attach_to(M *m, Domain *d) {
  if (m->attached == d) return;
  m_detach(m);
  if (!d->ops.attach && !d->ops.detach) return;
  m->attached = d;
  if (!d->ops.attach) return;
  store_rlx(&m->inhook, 1);
  sc_leave(m, SC_CALL);
  d->ops.attach(d->ud);
  sc_enter(m, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
}

bool m_attach(M *m) {
  Domain *d = m->p->d;
  if (likely(m->attached == d)) return true;
  m_detach(m);
  if (m->p == &gs_nop) return false;
  m_attach_to(m, d);
  if (m->attached != d || !d->ops.attach) return true;
  if (likely(load_acq(&m->pw) == (uintptr_t)m->p) || wait_unlocked(m, m->p)) return true;
  m->p = &gs_nop;
  m_detach(m);
  return false;
}
