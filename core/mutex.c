/* mutex.c: mutual exclusion among green threads, and a condition to wait for under it.
 *
 * Go's mutex (internal/sync/mutex.go), with the queue in the mutex.  Normally it is up for grabs:
 * who unlocks it wakes the first waiter, but does not give it the mutex; a running green thread
 * that comes by may be faster, which saves a switch for each hand-over.  One waiter at a time is
 * woken (WOKEN).  A waiter that has lost for longer than STARVING_NS turns the mutex to starvation:
 * unlock then gives it to the first waiter directly, newcomers queue, until the queue is empty or
 * a waiter gets it that has waited for less.
 *
 * One word has it all: LOCKED, WAITERS (the queue is not empty; both change under the queue's
 * lock), WOKEN, STARVING (implies LOCKED).  The fast paths are a CAS from 0 to LOCKED and back;
 * they do not enter the runtime.
 *
 * The races.
 *   - Come to wait against unlock: the flag WAITERS goes into the word by the same CAS that finds
 *     LOCKED in it.  Either unlock's CAS came first, and the mutex is taken instead; or it fails
 *     and goes the slow way, to the queue.
 *   - A waiter that is woken and then gives up (deadline, cancelled) when it finds the mutex taken
 *     again: it takes WOKEN back by the CAS that queues it again, seeing LOCKED: so whoever holds
 *     the mutex then will look at the queue when it unlocks.
 *   - A waiter that is given the mutex against its deadline: the claim decides; a stale entry is
 *     passed over, and the next one is given the mutex.
 *
 * The condition.  An entry goes into the queue while the caller still holds the mutex: the order of
 * the waiters is the order in which they came, and whoever signals after the mutex was released
 * finds the entry.  It may find it before its green thread has parked: then it notes in the entry
 * that the signal is given, and the green thread, looking under the queue's lock, does not park.
 * So a signal is never lost, and never goes to one that came later.
 */
#include "waitq.h"

#define LOCKED 1u /* gosched.h knows it too */
#define WAITERS 2u
#define WOKEN 4u
#define STARVING 8u

#define STARVING_NS 1000000
#define SPINS 4
#define PAUSES 30

/* One waiter has been woken and is on its way: no need for another.  Unless it is gone, because
 * that was before a fork, of which this is the child: the state may say so for ever then. */
static inline bool stale(const gs_mutex *x) {
  return load_rlx(&x->woken_in) != load_rlx(&gs_sched.nforks);
}
static inline bool awake(const gs_mutex *x, uint32_t s) {
  return (s & WOKEN) && !(s & STARVING) && !stale(x);
}

static inline bool cas_state(gs_mutex *x, uint32_t *s, uint32_t n) {
  return __atomic_compare_exchange_n(&x->state, s, n, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* ---- lock ---- */

/* Takes it if it is free, ahead of the queue.  woken: WOKEN, if it was set for the caller. */
static bool barge(gs_mutex *x, uint32_t woken) {
  uint32_t s = load_rlx(&x->state);
  while (!(s & (LOCKED | STARVING)))
    if (cas_state(x, &s, (s & ~woken) | LOCKED)) return true;
  return false;
}

/* The holder runs on another CPU, maybe, and is through in a moment. */
static bool spin(gs_mutex *x, uint32_t woken) {
  const M *m = gs_getm();
  const G *g = m ? m->curg : NULL;
  if (load_rlx(g ? &g->d->nprocs : &gs_native.nprocs) == 1) return barge(x, woken);
  for (int i = 0; i < SPINS; i++) {
    if (barge(x, woken)) return true;
    if (load_rlx(&x->state) & STARVING) return false;
    for (int k = 0; k < PAUSES; k++) pause_();
  }
  return barge(x, woken);
}

/* The queue's lock is held.  True: the mutex was free and is the caller's; false: it is not, and
 * the state says that somebody waits. */
static bool lock_or_flag(gs_mutex *x, uint32_t woken, bool starving) {
  uint32_t s = load_rlx(&x->state), n;
  do {
    n = s & ~woken;
    if (!(s & LOCKED))
      n |= LOCKED;
    else
      n |= WAITERS | (starving ? STARVING : 0);
  } while (!cas_state(x, &s, n));
  return !(s & LOCKED);
}

/* The queue's lock is held; an entry has left it. */
static void flag_empty(gs_mutex *x) {
  if (!x->q.head) __atomic_fetch_and(&x->state, ~(WAITERS | STARVING), __ATOMIC_SEQ_CST);
}

static int lock_wait(M **m, gs_mutex *x, int64_t deadline) {
  QWaiter w = {.g = *m ? (*m)->curg : NULL, .since = os_now()};
  uint32_t woken = 0;
  bool starving = false;
  for (;;) {
    torture_window(); /* it may be unlocked now */
    wq_lock(&x->q);
    if (lock_or_flag(x, woken, starving)) {
      wq_unlock(&x->q);
      return GS_OK;
    }
    w.word = 0;
    wq_push(&x->q, &w, woken != 0);
    int r = wq_wait(m, &x->q, &x->q, &w, deadline, "mutex lock");
    if (r != GS_OK) {
      flag_empty(x);
      wq_unlock(&x->q);
      return r;
    }
    if (w.given) return GS_OK;
    woken = WOKEN;
    if (spin(x, woken)) return GS_OK;
    starving = os_now() - w.since > STARVING_NS;
  }
}

static GS_NOINLINE int lock_contended(gs_mutex *x, int64_t deadline) {
  if (!x) return gs_fail(GS_EINVAL, "gs_mutex_lock: the mutex is NULL");
  if (spin(x, 0)) return GS_OK;
  M *m;
  if (wq_enter(&m) != GS_OK) return as_callback(gs_mutex_lock, x, deadline);
  int r = lock_wait(&m, x, deadline);
  wq_leave(m);
  return r;
}

int gs_mutex_lock(gs_mutex *x, int64_t deadline) {
  if (likely(x && barge(x, 0))) return GS_OK;
  return lock_contended(x, deadline);
}

int gs_mutex_try_lock(gs_mutex *x) {
  if (unlikely(!x)) return gs_fail(GS_EINVAL, "gs_mutex_try_lock: the mutex is NULL");
  return barge(x, 0) ? GS_OK : GS_EWOULDBLOCK;
}

/* ---- unlock ---- */

/* The queue's lock is held, and is released.  The mutex is locked.  The waiter to be woken, or
 * NULL: nothing was done, look again. */
static QWaiter *unlock_to_waiter(gs_mutex *x) {
  uint32_t s = load_rlx(&x->state), drop;
  QWaiter *w = NULL;
  flag_empty(x);
  if (!x->q.head || awake(x, s)) goto out;
  w = wq_take(&x->q);
  drop = x->q.head ? 0 : WAITERS | STARVING;
  if (w && (s & STARVING)) {
    w->given = true;
    if (os_now() - w->since < STARVING_NS) drop |= STARVING;
    __atomic_fetch_and(&x->state, ~drop, __ATOMIC_SEQ_CST);
  } else if (w) {
    store_rlx(&x->woken_in, load_rlx(&gs_sched.nforks));
    while (!cas_state(x, &s, (s & ~(drop | LOCKED)) | WOKEN)) continue;
  } else {
    __atomic_fetch_and(&x->state, ~drop, __ATOMIC_SEQ_CST);
  }
out:
  wq_unlock(&x->q);
  return w;
}

/* True: unlocked, by one step, for nobody has to be woken: none waits, or one is awake already. */
static bool unlock_quietly(gs_mutex *x) {
  uint32_t s = load_rlx(&x->state);
  while (!(s & WAITERS) || awake(x, s))
    if (cas_state(x, &s, s & ~(LOCKED | (stale(x) ? WOKEN : 0)))) return true;
  return false;
}

/* m is inside or NULL.  True: somebody starved and should run now. */
static bool release_slow(M *m, gs_mutex *x) {
  QWaiter *w = NULL;
  while (!w) {
    if (unlock_quietly(x)) return false;
    wq_lock(&x->q);
    w = unlock_to_waiter(x);
  }
  bool given = w->given;
  wq_wake(m, w);
  return given;
}

void mutex_unlock_inside(M *m, gs_mutex *x) { release_slow(m, x); }

static GS_NOINLINE int unlock_contended(gs_mutex *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_mutex_unlock: the mutex is NULL");
  if (!(load_rlx(&x->state) & LOCKED))
    return gs_fail(GS_EPERM, "gs_mutex_unlock: the mutex is not locked");
  if (unlock_quietly(x)) return GS_OK;
  M *m = enter();
  bool starved = release_slow(m, x);
  if (m) leave(m);
  if (starved) gs_yield();
  return GS_OK;
}

int gs_mutex_unlock(gs_mutex *x) {
  uint32_t s = LOCKED;
  if (likely(x && __atomic_compare_exchange_n(&x->state, &s, 0, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)))
    return GS_OK;
  return unlock_contended(x);
}

bool mutex_is_locked(gs_mutex *x) { return load_rlx(&x->state) & LOCKED; }

void mutex_lock_again(gs_mutex *x) {
  uint32_t s = 0;
  if (cas_state(x, &s, LOCKED) || spin(x, 0)) return;
  M *m = enter();
  G *g = m ? m->curg : NULL;
  if (g) g->firm++;
  /* Without memory for a deadline there is none to be had: nothing else ends this wait. */
  int r = lock_wait(&m, x, GS_FOREVER);
  gs_assert(r == GS_OK);
  (void)r;
  if (g) g->firm--;
  wq_leave(m);
}

/* ---- conditions ---- */

/* The first waiter, told or claimed; NULL: none.  The queue's lock is held.  *told is set if it has
 * not parked yet and need not be woken. */
static QWaiter *cond_take(gs_cond *c, bool *told) {
  QWaiter *w;
  *told = false;
  while ((w = c->q.head)) {
    wq_unlink(&c->q, w);
    if (w->g && !w->parked) {
      w->given = *told = true;
      return w;
    }
    torture_window(); /* its deadline may come first */
    if (!w->g || claim(w->g, GS_OK)) return w;
  }
  return NULL;
}

/* The mutex is released; the entry is queued. */
static int cond_park(M **m, gs_cond *c, QWaiter *w, int64_t deadline) {
  torture_window(); /* a signal may come before the green thread has parked */
  wq_lock(&c->q);
  if (w->given) {
    wq_unlock(&c->q);
    return GS_OK;
  }
  w->parked = true;
  int r = wq_wait(m, &c->q, &c->q, w, deadline, "cond wait");
  if (r != GS_OK) wq_unlock(&c->q);
  return r;
}

int gs_cond_wait(gs_cond *c, gs_mutex *x, int64_t deadline) {
  if (!c || !x)
    return gs_fail(GS_EINVAL, "gs_cond_wait: the %s is NULL", c ? "mutex" : "condition");
  if (!mutex_is_locked(x)) return gs_fail(GS_EPERM, "gs_cond_wait: the mutex is not locked");
  M *m;
  if (wq_enter(&m) != GS_OK) return as_callback(gs_cond_wait, c, x, deadline);
  QWaiter w = {.g = m ? m->curg : NULL};
  wq_lock(&c->q);
  wq_push(&c->q, &w, false);
  wq_unlock(&c->q);
  mutex_unlock_inside(m, x);
  int r = cond_park(&m, c, &w, deadline);
  wq_leave(m);
  mutex_lock_again(x);
  return r;
}

int gs_cond_signal(gs_cond *c) {
  if (!c) return gs_fail(GS_EINVAL, "gs_cond_signal: the condition is NULL");
  bool told;
  M *m = enter();
  wq_lock(&c->q);
  QWaiter *w = cond_take(c, &told);
  wq_unlock(&c->q);
  if (w && !told) wq_wake(m, w);
  if (m) leave(m);
  return GS_OK;
}

int gs_cond_broadcast(gs_cond *c) {
  if (!c) return gs_fail(GS_EINVAL, "gs_cond_broadcast: the condition is NULL");
  bool told;
  QWaiter *first = NULL, **at = &first, *w;
  M *m = enter();
  wq_lock(&c->q);
  while ((w = cond_take(c, &told)))
    if (!told) {
      w->next = NULL;
      *at = w;
      at = &w->next;
    }
  wq_unlock(&c->q);
  wq_wake_all(m, first);
  if (m) leave(m);
  return GS_OK;
}
