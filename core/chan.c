/* chan.c: channels.
 *
 * A ring of elements, a lock, and two queues of waiters (Go's chan.go; the invariants are the
 * same): at least one of the two queues is empty; if elements are buffered nobody waits to receive;
 * if there is room nobody waits to send.  A waiter's entry, with a pointer to its element, stands
 * on its own stack, which never moves, so a partner copies straight from stack to stack.
 *
 * A waiter is woken by whoever takes its entry off the queue under the lock and wins the claim on
 * its park word.  Timers, cancellers and signals may win instead: then the entry is stale, partners
 * skip it, and the waiter takes it off itself when it runs again.  An element is copied only after
 * the claim is won, so nothing is lost or sent twice.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

typedef struct Waiter {
  G *g;
  void *elem;
  struct Waiter *next, *prev;
  bool queued; /* under the channel's lock */
} Waiter;

typedef struct {
  Waiter *head, *tail;
} Queue;

struct gs_chan {
  Lock lock;
  uint32_t closed; /* written under lock */
  size_t elem_size, cap;
  size_t count; /* lock; read by gs_chan_len */
  size_t sendx, recvx;
  Queue senders, receivers;
  unsigned char *buf;
};

static void enqueue(Queue *q, Waiter *w) {
  w->next = NULL;
  w->prev = q->tail;
  if (q->tail)
    q->tail->next = w;
  else
    q->head = w;
  q->tail = w;
  w->queued = true;
}

static void unlink_(Queue *q, Waiter *w) {
  if (!w->queued) return;
  if (w->prev)
    w->prev->next = w->next;
  else
    q->head = w->next;
  if (w->next)
    w->next->prev = w->prev;
  else
    q->tail = w->prev;
  w->queued = false;
}

/* The first waiter that nobody else has woken.  It is claimed with this result. */
static Waiter *take(Queue *q, int why) {
  Waiter *w;
  while ((w = q->head)) {
    unlink_(q, w);
    if (claim(w->g, why)) return w;
  }
  return NULL;
}

static inline void copy(void *to, const void *from, size_t n) {
  if (n == sizeof(uint64_t))
    memcpy(to, from, sizeof(uint64_t));
  else if (n)
    memcpy(to, from, n);
}

static inline void *slot(gs_chan *c, size_t i) { return c->buf + i * c->elem_size; }
static inline size_t after(const gs_chan *c, size_t i) { return i + 1 == c->cap ? 0 : i + 1; }

int gs_chan_new(size_t elem_size, size_t cap, gs_chan **out) {
  if (!out || elem_size > 65536) return GS_EINVAL;
  if (elem_size && cap > ((size_t)1 << 30) / elem_size) return GS_EINVAL;
  gs_chan *c = calloc(1, sizeof *c);
  if (!c) return GS_ENOMEM;
  c->elem_size = elem_size;
  c->cap = cap;
  if (elem_size != 0 && cap != 0 && !(c->buf = malloc(elem_size * cap))) {
    free(c);
    return GS_ENOMEM;
  }
  *out = c;
  return GS_OK;
}

int gs_chan_free(gs_chan *c) {
  if (!c) return GS_OK;
  lock(&c->lock);
  bool busy = c->senders.head || c->receivers.head;
  unlock(&c->lock);
  if (busy) return GS_EBUSY;
  free(c->buf);
  free(c);
  return GS_OK;
}

/* What can be done at once, under the lock.  GS_EWOULDBLOCK: nothing.  *woken: to make runnable. */
static int send_now(gs_chan *c, const void *elem, G **woken) {
  Waiter *w;
  if (c->closed) return GS_ECLOSED;
  if ((w = take(&c->receivers, GS_OK))) {
    if (w->elem) copy(w->elem, elem, c->elem_size);
    *woken = w->g;
    return GS_OK;
  }
  if (c->count == c->cap) return GS_EWOULDBLOCK;
  copy(slot(c, c->sendx), elem, c->elem_size);
  c->sendx = after(c, c->sendx);
  store_rlx(&c->count, c->count + 1);
  return GS_OK;
}

static int recv_now(gs_chan *c, void *elem, G **woken) {
  Waiter *w;
  if (c->count) {
    if (elem) copy(elem, slot(c, c->recvx), c->elem_size);
    c->recvx = after(c, c->recvx);
    /* A sender that waited for room gets it: its element goes to the end of the line. */
    if ((w = take(&c->senders, GS_OK))) {
      copy(slot(c, c->sendx), w->elem, c->elem_size);
      c->sendx = after(c, c->sendx);
      *woken = w->g;
    } else {
      store_rlx(&c->count, c->count - 1);
    }
    return GS_OK;
  }
  if (!c->closed && (w = take(&c->senders, GS_OK))) {
    if (elem) copy(elem, w->elem, c->elem_size);
    *woken = w->g;
    return GS_OK;
  }
  if (c->closed) {
    if (elem && c->elem_size) memset(elem, 0, c->elem_size);
    return GS_ECLOSED;
  }
  return GS_EWOULDBLOCK;
}

static bool chan_commit(G *g, void *lock_) {
  (void)g;
  unlock(lock_);
  return true;
}

/* m: inside.  The lock is held and nothing could be done at once. */
static int wait_on(M *m, gs_chan *c, Queue *q, void *elem, int64_t deadline, const char *why) {
  G *g = m->curg;
  Waiter w = {.g = g, .elem = elem};
  enqueue(q, &w);
  int r = gopark(m, chan_commit, &c->lock, deadline, why);
  if (r != GS_OK && r != GS_ECLOSED) {
    lock(&c->lock);
    unlink_(q, &w);
    unlock(&c->lock);
  }
  leave(g->m);
  return r;
}

static int finish(M *m, gs_chan *c, int r, G *woken) {
  unlock(&c->lock);
  if (woken) ready(m, woken);
  if (m) leave(m);
  return r;
}

int gs_chan_send(gs_chan *c, const void *elem, int64_t deadline) {
  G *woken = NULL;
  if (unlikely(!c || (!elem && c->elem_size))) return GS_EINVAL;
  M *m = enter();
  if (unlikely(!m)) return GS_EPERM;
  lock(&c->lock);
  int r = send_now(c, elem, &woken);
  if (r != GS_EWOULDBLOCK) return finish(m, c, r, woken);
  return wait_on(m, c, &c->senders, (void *)(uintptr_t)elem, deadline, "chan send");
}

int gs_chan_recv(gs_chan *c, void *elem, int64_t deadline) {
  G *woken = NULL;
  if (unlikely(!c)) return GS_EINVAL;
  M *m = enter();
  if (unlikely(!m)) return GS_EPERM;
  lock(&c->lock);
  int r = recv_now(c, elem, &woken);
  if (r != GS_EWOULDBLOCK) return finish(m, c, r, woken);
  /* Whoever closes the channel may free it before this G runs again. */
  size_t n = elem ? c->elem_size : 0;
  r = wait_on(m, c, &c->receivers, elem, deadline, "chan recv");
  if (r == GS_ECLOSED && n) memset(elem, 0, n);
  return r;
}

int gs_chan_try_send(gs_chan *c, const void *elem) {
  G *woken = NULL;
  if (!c || (!elem && c->elem_size)) return GS_EINVAL;
  M *m = enter();
  lock(&c->lock);
  int r = send_now(c, elem, &woken);
  return finish(m, c, r, woken);
}

int gs_chan_try_recv(gs_chan *c, void *elem) {
  G *woken = NULL;
  if (!c) return GS_EINVAL;
  M *m = enter();
  lock(&c->lock);
  int r = recv_now(c, elem, &woken);
  return finish(m, c, r, woken);
}

int gs_chan_close(gs_chan *c) {
  if (!c) return GS_EINVAL;
  G *woken = NULL, **tail = &woken;
  Waiter *w;
  M *m = enter();
  lock(&c->lock);
  if (c->closed) return finish(m, c, GS_ECLOSED, NULL);
  store_rel(&c->closed, 1);
  while ((w = take(&c->receivers, GS_ECLOSED)) || (w = take(&c->senders, GS_ECLOSED))) {
    *tail = w->g;
    tail = &w->g->schedlink;
    w->g->schedlink = NULL;
  }
  unlock(&c->lock);
  ready_list(m, woken);
  if (m) leave(m);
  return GS_OK;
}

size_t gs_chan_len(gs_chan *c) { return c ? load_rlx(&c->count) : 0; }
size_t gs_chan_cap(gs_chan *c) { return c ? c->cap : 0; }
int gs_chan_closed(gs_chan *c) { return c && load_acq(&c->closed); }
