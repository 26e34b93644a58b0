/* chan.h: what chan.c and select.c share: the channel, its waiters, and what can be done at once.
 *
 * A waiter's entry stands in the frame of the operation that waits, which never moves.  It belongs
 * to its queue, and to whoever holds the channel's lock, as long as `queued` is set.
 */
#ifndef GS_CHAN_H
#define GS_CHAN_H

#include <string.h>

#include "runtime.h"

typedef struct Waiter {
  G *g;                       /* who waits; write-once */
  void *elem;                 /* what it sends, or where it receives; write-once */
  size_t size;                /* of what it receives, for select; write-once */
  struct Waiter *next, *prev; /* in its queue; the channel's lock */
  bool queued;                /* the channel's lock */
  bool fired;                 /* its partner has won the claim by this entry; that partner */
} Waiter;

typedef struct {
  Waiter *head; /* the channel's lock; read by all, to see whether a look is worth it */
  Waiter *tail; /* the channel's lock */
} Queue;

struct gs_chan {
  Lock lock;
  uint32_t busy;   /* bias is inside: the lock that it need not take; whoever holds the P bias */
  P *bias;         /* see chan_lock; set when it is made, cleared under lock */
  bool biased;     /* the holder came by bias; the holder */
  uint32_t closed; /* written under lock; read by all */
  size_t elem_size, cap;
  size_t count; /* lock; read by all */
  size_t sendx, recvx;
  Queue senders, receivers;
  size_t users; /* waits begun that will come back to this channel; lock */
  unsigned char *buf;
  struct Shared *shared; /* of shared.c; NULL: it has no name; set before others know it */
};

void chan_drop(gs_chan *c, const void *elem); /* nobody wants what was received */

/* ---- the lock ----
 *
 * A channel made on a P that is alone in its domain is likely used there only, and who has the P is
 * inside and alone: such a P (bias) does not take the lock but announces that it is inside (busy).
 * Anybody else takes the lock and, the first time, the bias away, for good.  Dekker's pattern:
 *
 *     bias:    busy = 1;     [compiler fence]   bias still me?
 *     others:  bias = NULL;  [heavy barrier]    busy still 1?  wait
 *
 * Either the P sees that the bias is gone and takes the lock like anybody, or the other one sees
 * busy and waits until it is 0; that is not long, for nothing under the lock waits.  Where there is
 * no membarrier nothing is biased. */
void chan_lock_slow(gs_chan *c);

static inline void chan_lock(gs_chan *c, const M *m) {
  if (m && load_rlx(&c->bias) == m->p) {
    torture_window(); /* the bias may be taken away now */
    store_rlx(&c->busy, 1);
    compiler_fence();
    if (likely(load_acq(&c->bias) == m->p)) {
      c->biased = true;
      torture_window(); /* who takes it away now waits */
      return;
    }
    store_rel(&c->busy, 0);
  }
  chan_lock_slow(c);
}

static inline void chan_unlock(gs_chan *c) {
  if (c->biased)
    store_rel(&c->busy, 0);
  else
    unlock(&c->lock);
}

static inline void chan_enqueue(gs_chan *c, Queue *q, Waiter *w) {
  w->next = NULL;
  w->prev = q->tail;
  if (q->tail)
    q->tail->next = w;
  else
    store_rlx(&q->head, w);
  q->tail = w;
  w->queued = true;
  c->users++;
}

static inline void chan_unlink(Queue *q, Waiter *w) {
  if (!w->queued) return;
  if (w->prev)
    w->prev->next = w->next;
  else
    store_rlx(&q->head, w->next);
  if (w->next)
    w->next->prev = w->prev;
  else
    q->tail = w->prev;
  w->queued = false;
}

/* The waiter comes back from a wait in which its entry did not win; the lock is held. */
static inline void chan_give_up(gs_chan *c, Queue *q, Waiter *w) {
  chan_unlink(q, w);
  c->users--;
}

/* The first waiter that nobody else has woken.  It is claimed with this result.  An entry that is
 * stale goes from the queue, but its owner is still counted: it takes the lock once more. */
static inline Waiter *chan_take(gs_chan *c, Queue *q, int why) {
  Waiter *w;
  while ((w = q->head)) {
    chan_unlink(q, w);
    torture_window(); /* a timer or a partner on another channel may claim it first */
    if (claim(w->g, why)) {
      w->fired = true;
      c->users--;
      return w;
    }
  }
  return NULL;
}

static inline void chan_copy(void *to, const void *from, size_t n) {
  if (n == sizeof(uint64_t))
    memcpy(to, from, sizeof(uint64_t));
  else if (n == 2 * sizeof(uint64_t)) /* a value and its type */
    memcpy(to, from, 2 * sizeof(uint64_t));
  else if (n)
    memcpy(to, from, n);
}

/* To who receives; NULL: it is thrown away. */
static inline void chan_give(gs_chan *c, void *to, const void *from) {
  if (to)
    chan_copy(to, from, c->elem_size);
  else if (unlikely(c->shared != NULL))
    chan_drop(c, from);
}

static inline void *chan_slot(gs_chan *c, size_t i) { return c->buf + i * c->elem_size; }
static inline size_t chan_after(const gs_chan *c, size_t i) { return i + 1 == c->cap ? 0 : i + 1; }

/* What can be done at once, under the lock.  GS_EWOULDBLOCK: nothing.  *woken: to make runnable. */
static inline int chan_send_now(gs_chan *c, const void *elem, G **woken) {
  Waiter *w;
  if (unlikely(c->closed)) return GS_ECLOSED;
  if (c->receivers.head && (w = chan_take(c, &c->receivers, GS_OK))) {
    chan_give(c, w->elem, elem);
    *woken = w->g;
    return GS_OK;
  }
  size_t count = c->count;
  if (count == c->cap) return GS_EWOULDBLOCK;
  chan_copy(chan_slot(c, c->sendx), elem, c->elem_size);
  c->sendx = chan_after(c, c->sendx);
  torture_window(); /* nobody else may be in here */
  store_rlx(&c->count, count + 1);
  return GS_OK;
}

static inline int chan_recv_now(gs_chan *c, void *elem, G **woken) {
  Waiter *w;
  if (c->count) {
    chan_give(c, elem, chan_slot(c, c->recvx));
    c->recvx = chan_after(c, c->recvx);
    /* A sender that waited for room gets it: its element goes to the end of the line. */
    if (c->senders.head && (w = chan_take(c, &c->senders, GS_OK))) {
      chan_copy(chan_slot(c, c->sendx), w->elem, c->elem_size);
      c->sendx = chan_after(c, c->sendx);
      *woken = w->g;
    } else {
      store_rlx(&c->count, c->count - 1);
    }
    return GS_OK;
  }
  if (!c->closed && c->senders.head && (w = chan_take(c, &c->senders, GS_OK))) {
    chan_give(c, elem, w->elem);
    *woken = w->g;
    return GS_OK;
  }
  if (c->closed) {
    if (elem && c->elem_size) memset(elem, 0, c->elem_size);
    return GS_ECLOSED;
  }
  return GS_EWOULDBLOCK;
}

#endif
