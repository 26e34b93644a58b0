/* waitq.h: the queue in which mutexes, semaphores and their like keep who waits for them.
 *
 * An entry stands in the frame of the operation that waits.  Who waits is a green thread, which
 * parks, or a thread that runs none, which sleeps on the entry's word.  A green thread's wait can
 * end by its waker, a deadline or a canceller: the claim on its park word decides.  A thread's wait
 * ends by whoever takes its entry off the queue: its waker, or the thread itself at its deadline.
 *
 * Every object keeps a flag in its state word that says whether its queue is empty; both change
 * together, under the queue's lock, except that a child of fork finds empty queues (wq_forked).
 * The fast paths look at the state word alone: with the flag set they fail, and the slow path looks
 * again under the lock.  As flag and state are one word, there is no window between "I cannot have
 * it" and "wake me".
 *
 * When an object may be freed.  Who wakes a waiter touches the object no more once it has released
 * the queue's lock, and the waiter, stale or not, cannot return before that.  Where there turns out
 * to be no waiter, the release of the object itself comes last, as one atomic operation.  So the
 * memory is free for other uses as soon as the calls of those who may still wait, or still hold
 * the object, have returned: in particular after the lock or the wait that was the last one.
 */
#ifndef GS_WAITQ_H
#define GS_WAITQ_H

#include "runtime.h"

typedef struct gs_waiter {
  G *g;                          /* NULL: a thread; write-once */
  uint32_t word;                 /* a thread's futex, 1: woken; the waker */
  bool queued;                   /* queue's lock */
  bool given;                    /* what it waits for is its own now; the waker */
  bool parked;                   /* a condition's waiter has left its mutex; queue's lock */
  struct gs_waiter *next, *prev; /* queue's lock; a woken waiter's next is its waker's */
  int64_t since;                 /* a mutex's waiter; when it came; write-once */
} QWaiter;

_Static_assert(sizeof(Lock) <= sizeof(((gs_waitq *)0)->lock), "a queue has room for its lock");

/* In a child of fork: whoever waited is not there any more.  Their entries stand on stacks that are
 * used again, those of threads at least, so none is looked at.  The object's flag is then for the
 * caller to mend. */
static inline void wq_forked(gs_waitq *q) {
  uint32_t forks = load_rlx(&gs_sched.nforks);
  if (likely(q->forks == forks)) return;
  q->forks = forks;
  q->head = q->tail = NULL;
}

static inline void wq_lock(gs_waitq *q) {
  Lock *l = (Lock *)(void *)q->lock;
  lock_rank(l, RANK_OBJECT);
  lock(l);
  wq_forked(q);
}
static inline void wq_unlock(gs_waitq *q) { unlock((Lock *)(void *)q->lock); }

/* All with the lock held. */
void wq_push(gs_waitq *q, QWaiter *w, bool front);
void wq_unlink(gs_waitq *q, QWaiter *w);
QWaiter *wq_take(gs_waitq *q);     /* the first that is still waiting, claimed; NULL: none */
QWaiter *wq_take_all(gs_waitq *q); /* linked by next, in order */

/* The lock is not held.  Makes w, which was taken, run on. */
void wq_wake(M *m, QWaiter *w);
void wq_wake_all(M *m, QWaiter *first);

/* Begins a wait: *m is the M that is inside, NULL on a thread that runs no green thread.
 * GS_EPERM: nothing can wait here, except in a callback (as_callback). */
static inline int wq_enter(M **m) {
  bool on_m = gs_getm() != NULL;
  *m = enter();
  return !*m && on_m ? GS_EPERM : GS_OK;
}
static inline void wq_leave(M *m) {
  if (m) leave(m);
}

/* Waits.  The lock of `owner` is held and guards q, in which w stands; m is inside or NULL.
 * GS_OK: w was taken and woken; the lock is not held.  Else (deadline, cancelled, signal, no memory
 * for the deadline) w has left q, and the lock is held.  *m is the M that it is on afterwards. */
int wq_wait(M **m, gs_waitq *owner, gs_waitq *q, QWaiter *w, int64_t deadline, const char *reason);

/* ---- what conditions want of a mutex (mutex.c) ---- */

bool mutex_is_locked(gs_mutex *x);
void mutex_unlock_inside(M *m, gs_mutex *x);
/* Waits as long as it takes, cancelled or not. */
void mutex_lock_again(gs_mutex *x);

#endif
