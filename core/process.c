/* process.c: what happens to the runtime when the process forks, and when it is loaded twice.
 *
 * fork.  The child has one thread, the one that called fork, and a copy of all memory.  It keeps
 * the green thread that ran on that thread, if one did, wherever it was: on its own stack, in a
 * foreign call, in a callback.  Everything else starts afresh.
 *
 *   - prepare stops the world, so that nobody is in the middle of the scheduler, and takes the
 *     locks that threads without a P may hold.  The caller is outside, as everybody who runs user
 *     code is; its own P stands still like all others.
 *   - parent gives them back, and everybody goes on.
 *   - child keeps the calling M, its G and the P that it holds.  All other Ms are free structs, all
 *     other Ps idle, queues and timers empty.  Threads are made when they are wanted: sysmon and
 *     the template thread when the first G or M is made, Ms as ever.
 *
 * The other Gs count as ended.  Their park words are no longer PARKED, so that nobody can claim
 * one; entries that they have left in wait lists (they stand on stacks that have nobody to run on
 * them) are skipped like those of waiters that have timed out.  That is why neither their structs
 * nor their stacks are used again.  Their handles are done: who joins one in the child does not
 * wait.
 *
 * Who leads the child.  If the main G forks on the thread that is inside gs_run, nothing changes:
 * gs_run returns there when it ends.  Any other green thread becomes the child's main one, and when
 * it ends the process does, as a process does whose last thread ends: there is no gs_run on its
 * thread to return from.
 *
 * What is not done.  A thread of the host that has no M and is inside gs_chan_try_send, gs_cancel
 * or the like at that moment may leave the lock of that one object locked in the child.  _Fork runs
 * no handlers, so nothing of this happens; vfork and posix_spawn do not either, and need nothing:
 * their child runs no code of ours before exec.  After exec there is no runtime; the signal mask
 * that the new program inherits is that of the process at boot, since every M has that one.
 *
 * The end of the process.  Ms are detached and nobody joins them: exit runs its handlers while they
 * go on or sleep, whatever they are in.  There are no destructors here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define EACH_DOMAIN(d) for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
#define EACH_P(d, p)                                      \
  for (uint32_t i_ = 0; i_ < load_acq(&(d)->nallp); i_++) \
    for (P *p = (d)->allp[i_]; p; p = NULL)

/* ---- before ---- */

/* All locks of a kind at once, which nobody else does: beside what checks their order. */
void fork_lock(Lock *l, bool on) {
  if (on)
    lock_slow(l);
  else if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
    unlock_slow(l);
}

/* In the order of their ranks; giving back needs none. */
static void global_locks(bool on) {
  tell_lock(on);
  monitor_lock(on);
  deadlock_lock(on);
  shared_lock(on);
  EACH_DOMAIN(d) { EACH_P(d, p) fork_lock(&p->timers.lock, on); }
  EACH_DOMAIN(d) {
    fork_lock(&d->lock, on);
    fork_lock(&d->gfree_lock, on);
  }
  fork_lock(&gs_sched.lock, on);
  stack_locks(on);
  trace_lock(on);
}

static void prepare(void) {
  int e = errno;
  stw_fork_prepare();
  global_locks(true);
  errno = e;
}

static void in_parent(void) {
  int e = errno;
  global_locks(false);
  stw_fork_parent();
  errno = e;
}

/* ---- after, in the child ---- */

/* As m_alloc makes one, but for what stays with the struct for good. */
static void m_forget(M *m) {
  M fresh = {.id = m->id, .p = &gs_nop, .oldp = &gs_nop};
  fresh.sc = sc_next(m->sc, SC_INSIDE);
  fresh.alllink = m->alllink;
  fresh.attn = m->attn;
  fresh.trace = m->trace;
  fresh.mdata_more = m->mdata_more;
  fresh.ncgocall = m->ncgocall;
  fresh.nplaincall = m->nplaincall;
  fresh.nexit_fast = m->nexit_fast;
  fresh.nexit_idle = m->nexit_idle;
  fresh.nexit_slow = m->nexit_slow;
  fresh.nswitch = m->nswitch;
  fresh.nparks = m->nparks;
  fresh.nsteal = m->nsteal;
  *m = fresh;
}

static void forget_ms(M *me) {
  Sched *s = &gs_sched;
  s->midle = s->mfree = NULL;
  store_rlx(&s->nmidle, 0);
  for (M *m = s->allm; m; m = m->alllink) {
    if (m == me) continue;
    m_forget(m);
    m->freelink = s->mfree;
    s->mfree = m;
  }
  s->mextra = NULL; /* forgotten with the others, so their Gs are not used again */
  s->nm = me && !me->extrag ? 1 : 0;
  s->nmidlelocked = 0;
  s->nordered = 0;
  s->nrelieved = me && me->relief ? 1 : 0;
  if (me) me->own = 0; /* the process's first thread: not to be ended for want of work */
  s->nextra = me && me->extrag ? 1 : 0;
}

static void forget_gs(const G *mine) {
  uint32_t gone = live_gs() - (mine && !mine->extra ? 1 : 0);
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink) {
    if (g == mine) continue;
    if (g->handle) handle_forked(g->handle);
    g->handle = NULL;
    g->lockedm = NULL;
    store_rlx(&g->park, PARK_NO);
    store_rlx(&g->status, Gdead);
  }
  gs_sched.ndied += gone;
}

/* gs_timers look at their link to see whether they are armed. */
static void forget_timers(Timers *ts) {
  for (uint32_t i = 0; i < ts->len; i++) {
    Timer *t = ts->heap[i].t;
    store_rlx(&t->ts, NULL);
    if (t->user == TIMER_FORGET) timer_user_free(t);
  }
  ts->len = 0;
  store_rlx(&ts->next, INT64_MAX);
}

static void p_forget(P *p) {
  store_rlx(&p->status, Pidle); /* whatever a thread that is no more did with it */
  store_rlx(&p->m, NULL);
  store_rlx(&p->runnext, NULL);
  store_rlx(&p->head, 0);
  store_rlx(&p->tail, 0);
  p->link = NULL;
  p->gfree = NULL; /* so that the next G is a new one, and with it comes sysmon */
  p->ngfree = 0;
  memset(&p->seen, 0, sizeof p->seen);
  forget_timers(&p->timers);
}

/* mine: the P that the calling M holds, or NULL. */
static void forget_ps(Domain *d, P *mine) {
  d->runq_head = d->runq_tail = d->due_tail = NULL;
  d->off_head = d->off_tail = NULL;
  store_rlx(&d->runqsize, 0);
  store_rlx(&d->ndue, 0);
  store_rlx(&d->npidle, 0);
  store_rlx(&d->nmspinning, 0);
  store_rlx(&d->needspinning, 0);
  d->pidle = NULL;
  store_rlx(&d->gfree, NULL);
  EACH_P(d, p) {
    if (load_rlx(&p->status) == Pdead) continue;
    p_forget(p);
    if (p == mine) continue;
    lock(&d->lock);
    pidleput(p);
    unlock(&d->lock);
  }
}

static void forget_sched(void) {
  Sched *s = &gs_sched;
  s->poller = NULL;
  s->poll_until = 0;
  s->poll_note.word = 0;
  s->poll_starting = s->starved = 0;
  s->sysmon_note.word = 0;
  s->sysmon_wait = s->sysmon_poked = s->sysmon_slow = 0;
  s->poke_m = NULL;
  s->pw_waiters = s->notified = s->ending = 0;
  s->drain = NULL;
  s->outsiders = 0;
  s->user_off = s->nwakers = 0;
  s->netpoll_waiters = 0;
  s->netpolling = 0;
  s->npidle_all = 0;
  s->orphan = 0;
  s->nmidlelocked = 0;
  s->nmsys = 0; /* those that process_revive makes count themselves */
  template_forked();
}

/* The calling thread goes on with what it had. */
static P *keep_m(M *m) {
  m->tid = os_gettid();
  m->own = 0; /* the child's first thread is not ours to end */
  P *p = (P *)(load_rlx(&m->pw) & ~PW_LOCK);
  store_rlx(&m->pw, (uintptr_t)p);
  return p;
}

static void keep_p(M *m, P *p) {
  store_rlx(&p->m, m);
  store_rlx(&p->status, (m->sc & SC_MODE) == SC_CALL ? Psyscall : Prunning);
}

/* Who gs_run was for.  g: a green thread that gs_go or gs_run has made, or NULL. */
static void lead(M *m, G *g) {
  Sched *s = &gs_sched;
  bool in_run = m && m == s->main_m && g == s->main_g;
  if (in_run) return;
  s->main_done = 0;
  s->main_m = m;
  s->main_g = g;
  s->running = g ? RUN_ON : RUN_NONE;
  if (!g) return;
  /* For main_status: the result of the main function counts, that of another one is none. */
  s->orphan = g->main ? ORPHAN_MAIN : ORPHAN_OTHER;
  g->main = 1;
  m->runner = 1;
}

static void in_child(void) {
  int e = errno;
  /* A host thread keeps the M that its callbacks have bound it to. */
  M *m = gs_getm() ? gs_getm() : callback_bound();
  G *g = m ? m->curg : NULL;
  global_locks(false);
  trace_forked();
  store_rlx(&gs_sched.nforks, gs_sched.nforks + 1);
  stw_fork_child();
  if (!gs_sched.fenced) gs_sched.fenced = !os_barrier_init();
  P *mine = m ? keep_m(m) : NULL;
  forget_gs(g);
  forget_ms(m);
  forget_sched();
  gs_sched.nrelieved = m && m->relief;
  EACH_DOMAIN(d) forget_ps(d, mine);
  if (mine) keep_p(m, mine);
  if (g) unblock_forked(g);
  lead(m, g && !g->extra ? g : NULL);
  netpoll_forked();
  monitor_forked();
  tell_forked();
  store_rlx(&gs_sched.no_sysmon, 1);
  errno = e;
}

/* The child's first new G, or its first new M: from now on somebody has to watch. */
void process_revive(void) {
  if (!xchg(&gs_sched.no_sysmon, 0)) return;
  int err = template_start();
  if (!err) err = sysmon_start();
  if (!err) {
    monitor_revive();
    return;
  }
  store_rlx(&gs_sched.no_sysmon, 1); /* tried again with the next one */
  gs_log(1, "after fork, the threads that watch blocking calls and make others cannot be made: %s",
         strerror(err));
}

int process_init(void) { return pthread_atfork(prepare, in_parent, in_child); }
