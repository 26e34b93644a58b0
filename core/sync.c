/* sync.c: semaphores, wait groups, and what is done once.
 *
 * All three keep their count, or state, in one word with a flag for "somebody waits", as waitq.h
 * says.  What is handed to a waiter is taken out of the count by whoever hands it over, so that
 * nobody else can snatch it: a woken waiter need not try again, and the order is that of coming.
 */
#include "waitq.h"

#define WAITERS 1u
#define ONE 2u

static inline bool cas_word(uint32_t *word, uint32_t *s, uint32_t n) {
  return __atomic_compare_exchange_n(word, s, n, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

/* The queue's lock is held; an entry has left it. */
static void flag_empty(uint32_t *word, const gs_waitq *q) {
  if (!q->head) __atomic_fetch_and(word, ~WAITERS, __ATOMIC_SEQ_CST);
}

/* ---- semaphores ---- */

int gs_sema_init(gs_sema *x, uint32_t count) {
  if (!x) return gs_fail(GS_EINVAL, "gs_sema_init: the semaphore is NULL");
  if (count > GS_SEMA_MAX)
    return gs_fail(GS_EINVAL, "gs_sema_init: count is %u; 0..%u is accepted", count, GS_SEMA_MAX);
  *x = (gs_sema)GS_SEMA_INIT(count);
  return GS_OK;
}

static bool sema_take(gs_sema *x) {
  uint32_t s = load_rlx(&x->state);
  while (s >= ONE && !(s & WAITERS))
    if (cas_word(&x->state, &s, s - ONE)) return true;
  return false;
}

/* The queue's lock is held.  True: taken; false: the state says that somebody waits. */
static bool sema_take_or_flag(gs_sema *x) {
  uint32_t s = load_rlx(&x->state), n;
  do n = s >= ONE ? s - ONE : s | WAITERS;
  while (!cas_word(&x->state, &s, n));
  return s >= ONE; /* then nobody waits: what is released while somebody does goes to the queue */
}

int gs_sema_acquire(gs_sema *x, int64_t deadline) {
  if (!x) return gs_fail(GS_EINVAL, "gs_sema_acquire: the semaphore is NULL");
  if (sema_take(x)) return GS_OK;
  M *m;
  if (wq_enter(&m) != GS_OK) return as_callback(gs_sema_acquire, x, deadline);
  QWaiter w = {.g = m ? m->curg : NULL};
  int r = GS_OK;
  torture_window(); /* one may be released now */
  wq_lock(&x->q);
  if (sema_take_or_flag(x)) {
    wq_unlock(&x->q);
  } else {
    wq_push(&x->q, &w, false);
    r = wq_wait(&m, &x->q, &x->q, &w, deadline, "semaphore");
    if (r != GS_OK) {
      flag_empty(&x->state, &x->q);
      wq_unlock(&x->q);
    }
  }
  wq_leave(m);
  return r;
}

int gs_sema_try_acquire(gs_sema *x) {
  if (!x) return gs_fail(GS_EINVAL, "gs_sema_try_acquire: the semaphore is NULL");
  return sema_take(x) ? GS_OK : GS_EWOULDBLOCK;
}

/* The queue's lock is held and somebody stands in it.  Hands out up to n and counts the rest. */
static QWaiter *sema_hand_out(gs_sema *x, uint32_t n) {
  QWaiter *first = NULL, **at = &first, *w;
  while (n && (w = wq_take(&x->q))) {
    w->next = NULL;
    *at = w;
    at = &w->next;
    n--;
  }
  uint32_t s = load_rlx(&x->state), to;
  do to = (s & ~WAITERS) + n * ONE + (x->q.head ? WAITERS : 0);
  while (!cas_word(&x->state, &s, to));
  return first;
}

int gs_sema_release(gs_sema *x, uint32_t n) {
  if (!x) return gs_fail(GS_EINVAL, "gs_sema_release: the semaphore is NULL");
  if (n == 0 || n > GS_SEMA_MAX)
    return gs_fail(GS_EINVAL, "gs_sema_release: n is %u; 1..%u is accepted", n, GS_SEMA_MAX);
  for (;;) {
    uint32_t s = load_rlx(&x->state);
    if (s / ONE + n > GS_SEMA_MAX)
      return gs_fail(GS_EINVAL, "gs_sema_release: n is %u; with the %u there are, %u is the most",
                     n, s / ONE, GS_SEMA_MAX);
    if (!(s & WAITERS)) {
      if (cas_word(&x->state, &s, s + n * ONE)) return GS_OK;
      continue;
    }
    M *m = enter();
    wq_lock(&x->q);
    bool waiting = x->q.head != NULL;
    QWaiter *w = waiting ? sema_hand_out(x, n) : NULL;
    if (!waiting) flag_empty(&x->state, &x->q);
    wq_unlock(&x->q);
    wq_wake_all(m, w);
    if (m) leave(m);
    if (waiting) return GS_OK;
  }
}

/* ---- wait groups ---- */

/* Nobody is left and somebody waits for that.  The step to zero is made under the queue's lock: who
 * comes to wait for the next round cannot be taken for one of this round.  False: look again. */
static bool group_is_done(gs_waitgroup *x, uint32_t s) {
  QWaiter *w = NULL;
  M *m = enter();
  torture_window(); /* the last waiter may give up, and others may count up again */
  wq_lock(&x->q);
  bool done = x->q.head && cas_word(&x->state, &s, 0);
  if (done) w = wq_take_all(&x->q);
  if (!done) flag_empty(&x->state, &x->q);
  wq_unlock(&x->q);
  wq_wake_all(m, w);
  if (m) leave(m);
  return done;
}

int gs_waitgroup_add(gs_waitgroup *x, int n) {
  if (!x) return gs_fail(GS_EINVAL, "gs_waitgroup_add: the wait group is NULL");
  for (;;) {
    uint32_t s = load_rlx(&x->state);
    int64_t count = (int64_t)(s / ONE) + n;
    if (count < 0 || count > INT32_MAX)
      return gs_fail(GS_EINVAL, "gs_waitgroup_add: %d more than %u; 0..%d is accepted", n, s / ONE,
                     INT32_MAX);
    if (count == 0 && n != 0 && (s & WAITERS)) {
      if (group_is_done(x, s)) return GS_OK;
    } else if (cas_word(&x->state, &s, (uint32_t)count * ONE + (s & WAITERS))) {
      return GS_OK;
    }
  }
}

int gs_waitgroup_done(gs_waitgroup *x) { return gs_waitgroup_add(x, -1); }

/* The queue's lock is held.  True: there is nobody to wait for. */
static bool group_zero_or_flag(gs_waitgroup *x) {
  uint32_t s = load_acq(&x->state); /* what was done is seen by who finds it done */
  while (s >= ONE)
    if (cas_word(&x->state, &s, s | WAITERS)) return false;
  return true;
}

int gs_waitgroup_wait(gs_waitgroup *x, int64_t deadline) {
  if (!x) return gs_fail(GS_EINVAL, "gs_waitgroup_wait: the wait group is NULL");
  if (load_acq(&x->state) < ONE) return GS_OK;
  M *m;
  if (wq_enter(&m) != GS_OK) return as_callback(gs_waitgroup_wait, x, deadline);
  QWaiter w = {.g = m ? m->curg : NULL};
  int r = GS_OK;
  torture_window(); /* the last may be done now */
  wq_lock(&x->q);
  if (group_zero_or_flag(x)) {
    wq_unlock(&x->q);
  } else {
    wq_push(&x->q, &w, false);
    r = wq_wait(&m, &x->q, &x->q, &w, deadline, "wait group");
    if (r != GS_OK) {
      flag_empty(&x->state, &x->q);
      wq_unlock(&x->q);
    }
  }
  wq_leave(m);
  return r;
}

/* ---- once ---- */

enum { ONCE_NEW, ONCE_RUNS, ONCE_DONE };

static uint64_t who_am_i(void) {
  uint64_t g = gs_self();
  return g ? g : (uint64_t)1 << 63 | os_gettid();
}

/* Another runs it. */
static int once_wait(M **m, gs_once *x, int64_t deadline) {
  QWaiter w = {.g = *m ? (*m)->curg : NULL};
  wq_push(&x->q, &w, false);
  int r = wq_wait(m, &x->q, &x->q, &w, deadline, "once");
  if (r != GS_OK) wq_unlock(&x->q);
  return r;
}

static void once_done(gs_once *x) {
  M *m = enter();
  wq_lock(&x->q);
  store_rel(&x->state, ONCE_DONE);
  QWaiter *w = wq_take_all(&x->q);
  wq_unlock(&x->q);
  wq_wake_all(m, w);
  if (m) leave(m);
}

static GS_NOINLINE int once_slow(gs_once *x, void (*fn)(void *), void *arg, int64_t deadline) {
  uint64_t me = who_am_i();
  M *m;
  int r = GS_OK;
  if (wq_enter(&m) != GS_OK) return as_callback(once_slow, x, fn, arg, deadline);
  torture_window(); /* another may begin now, and be done */
  wq_lock(&x->q);
  uint32_t state = x->state;
  if (state == ONCE_RUNS && x->owner != me) {
    r = once_wait(&m, x, deadline);
    wq_leave(m);
    return r;
  }
  if (state == ONCE_NEW) {
    store_rlx(&x->state, ONCE_RUNS);
    x->owner = me;
  }
  wq_unlock(&x->q);
  wq_leave(m);
  if (state == ONCE_RUNS)
    return gs_fail(GS_EPERM, "gs_once_do: fn has called gs_once_do with the same gs_once");
  if (state == ONCE_NEW) {
    fn(arg);
    once_done(x);
  }
  return GS_OK;
}

int gs_once_do(gs_once *x, void (*fn)(void *), void *arg, int64_t deadline) {
  if (unlikely(!x || !fn)) return gs_fail(GS_EINVAL, "gs_once_do: %s is NULL", x ? "fn" : "once");
  if (likely(load_acq(&x->state) == ONCE_DONE)) return GS_OK;
  return once_slow(x, fn, arg, deadline);
}
