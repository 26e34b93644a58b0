/* rwmutex.c: many readers or one writer.
 *
 * As Go's (sync/rwmutex.go): a writer that waits keeps new readers out, and when a writer is done
 * the readers that wait by then come first.  So neither side starves.  Whoever releases the lock
 * with somebody waiting gives it to them directly, which needs no second try.
 *
 * One word: WRITER, WAITERS (a queue is not empty), and the number of readers.  With WAITERS set no
 * fast path takes the lock; the last reader, or the writer, releases it under the queues' lock.
 *
 * The race: a writer gives up (deadline, cancelled) while readers wait behind it and other readers
 * hold the lock.  Nobody who releases the lock would look at them soon: so the writer, leaving the
 * queue, lets them in.
 */
#include "waitq.h"

#define WRITER 1u
#define WAITERS 2u
#define READER 4u

/* The lock of the writers' queue guards both. */
static inline gs_waitq *guard(gs_rwmutex *x) { return &x->writers; }

static void lock_queues(gs_rwmutex *x) {
  wq_lock(guard(x));
  wq_forked(&x->readers);
}

static inline bool cas_state(gs_rwmutex *x, uint32_t *s, uint32_t n) {
  return __atomic_compare_exchange_n(&x->state, s, n, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline uint32_t waiters_flag(const gs_rwmutex *x) {
  return x->writers.head || x->readers.head ? WAITERS : 0;
}

/* ---- giving ---- */

static uint32_t count(const QWaiter *w) {
  uint32_t n = 0;
  for (; w; w = w->next) n++;
  return n;
}

/* Nobody holds the lock, or will in a moment; the queues' lock is held and WAITERS is set, so that
 * nobody else changes the state.  Gives it away and returns to whom. */
static QWaiter *give(gs_rwmutex *x, bool readers_first) {
  QWaiter *w = readers_first ? wq_take_all(&x->readers) : NULL;
  uint32_t holders = count(w) * READER;
  if (!w && (w = wq_take(&x->writers))) {
    w->next = NULL;
    holders = WRITER;
  }
  if (!w && !readers_first) {
    w = wq_take_all(&x->readers);
    holders = count(w) * READER;
  }
  store_sc(&x->state, holders | waiters_flag(x));
  return w;
}

/* A waiter has left its queue without the lock; the queues' lock is held.  Returns the readers that
 * only a writer in the queue has kept out, and who are in now. */
static QWaiter *settle(gs_rwmutex *x) {
  uint32_t s = load_rlx(&x->state), n;
  QWaiter *w = NULL;
  if (!x->writers.head && !(s & WRITER)) w = wq_take_all(&x->readers);
  do n = ((s & ~WAITERS) + count(w) * READER) | waiters_flag(x);
  while (!cas_state(x, &s, n));
  return w;
}

/* ---- taking ---- */

static bool take_now(gs_rwmutex *x, bool write) {
  uint32_t s = load_rlx(&x->state);
  if (write) return s == 0 && cas_state(x, &s, WRITER);
  while (!(s & (WRITER | WAITERS)))
    if (cas_state(x, &s, s + READER)) return true;
  return false;
}

/* The queues' lock is held.  True: it is the caller's; false: the state says that somebody waits.
 */
static bool take_or_flag(gs_rwmutex *x, bool write) {
  uint32_t s = load_rlx(&x->state);
  for (;;) {
    bool free_ = write ? (s & ~WAITERS) == 0 : !(s & WRITER) && !x->writers.head;
    uint32_t n = !free_ ? s | WAITERS : write ? s | WRITER : s + READER;
    if (cas_state(x, &s, n)) return free_;
  }
}

static int take(gs_rwmutex *x, bool write, int64_t deadline, const char *reason) {
  if (take_now(x, write)) return GS_OK;
  M *m;
  if (wq_enter(&m) != GS_OK) return as_callback(take, x, write, deadline, reason);
  QWaiter w = {.g = m ? m->curg : NULL};
  gs_waitq *q = write ? &x->writers : &x->readers;
  int r = GS_OK;
  torture_window(); /* it may be released now */
  lock_queues(x);
  if (take_or_flag(x, write)) {
    wq_unlock(guard(x));
  } else {
    wq_push(q, &w, false);
    r = wq_wait(&m, guard(x), q, &w, deadline, reason);
    if (r != GS_OK) {
      QWaiter *in = settle(x);
      wq_unlock(guard(x));
      wq_wake_all(m, in);
    }
  }
  wq_leave(m);
  return r;
}

int gs_rwmutex_lock(gs_rwmutex *x, int64_t deadline) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_lock: the lock is NULL");
  return take(x, true, deadline, "rwmutex lock");
}

int gs_rwmutex_rlock(gs_rwmutex *x, int64_t deadline) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_rlock: the lock is NULL");
  return take(x, false, deadline, "rwmutex rlock");
}

int gs_rwmutex_try_lock(gs_rwmutex *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_try_lock: the lock is NULL");
  return take_now(x, true) ? GS_OK : GS_EWOULDBLOCK;
}

int gs_rwmutex_try_rlock(gs_rwmutex *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_try_rlock: the lock is NULL");
  return take_now(x, false) ? GS_OK : GS_EWOULDBLOCK;
}

/* ---- releasing ---- */

/* Somebody waits, and the caller is the last holder: its own hold ends as the lock is given away.
 * False: nobody waits any more. */
static bool release_to_waiters(gs_rwmutex *x, bool write) {
  M *m = enter();
  lock_queues(x);
  QWaiter *w = NULL;
  if (!waiters_flag(x)) settle(x);
  bool waiting = waiters_flag(x) && (load_rlx(&x->state) & ~WAITERS) == (write ? WRITER : READER);
  if (waiting) w = give(x, write);
  wq_unlock(guard(x));
  wq_wake_all(m, w);
  if (m) leave(m);
  return waiting;
}

int gs_rwmutex_unlock(gs_rwmutex *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_unlock: the lock is NULL");
  for (;;) {
    uint32_t s = load_rlx(&x->state);
    if (!(s & WRITER))
      return gs_fail(GS_EPERM, "gs_rwmutex_unlock: the lock is not held by a writer");
    if (!(s & WAITERS) ? cas_state(x, &s, 0) : release_to_waiters(x, true)) return GS_OK;
  }
}

int gs_rwmutex_runlock(gs_rwmutex *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_rwmutex_runlock: the lock is NULL");
  for (;;) {
    uint32_t s = load_rlx(&x->state);
    if (s < READER)
      return gs_fail(GS_EPERM, "gs_rwmutex_runlock: the lock is not held by a reader");
    bool last = s < 2 * READER && (s & WAITERS);
    if (!last ? cas_state(x, &s, s - READER) : release_to_waiters(x, false)) return GS_OK;
  }
}
