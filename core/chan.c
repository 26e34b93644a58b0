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
 *
 * A channel may be freed when nobody waits on it.  A stale entry that a partner has taken off the
 * queue is still a wait: its owner takes the channel's lock once more.  So waits are counted
 * (`users`) until their owner, or the partner that woke it, is done with the channel.
 */
#include <stdlib.h>
#include <string.h>

#include "chan.h"

void chan_lock_slow(gs_chan *c) {
  lock(&c->lock);
  if (unlikely(load_rlx(&c->bias) != NULL)) {
    store_sc(&c->bias, NULL);
    heavy_barrier_unfenced();
    for (int i = 0; load_acq(&c->busy); i++)
      if (i > 100) os_yield();
  }
  c->biased = false;
}

/* The P this runs on, if it is alone in its domain. */
static P *solo_p(void) {
  M *m = enter();
  P *p = m && load_rlx(&m->p->solo) && !SC_FENCE_NOW ? m->p : NULL;
  if (m) leave(m);
  return p;
}

int gs_chan_new(size_t elem_size, size_t cap, gs_chan **out) {
  if (!out || elem_size > 65536) return GS_EINVAL;
  if (elem_size && cap > ((size_t)1 << 30) / elem_size) return GS_EINVAL;
  gs_chan *c = calloc(1, sizeof *c);
  if (!c) return GS_ENOMEM;
  c->bias = solo_p();
  lock_rank(&c->lock, RANK_OBJECT);
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
  M *m = enter();
  chan_lock(c, m);
  bool busy = c->users != 0 || c->shared;
  chan_unlock(c);
  if (m) leave(m);
  if (busy) return GS_EBUSY;
  free(c->buf);
  free(c);
  return GS_OK;
}

static bool chan_commit(G *g, void *c) {
  (void)g;
  chan_unlock(c);
  return true;
}

/* m: inside.  The lock is held and nothing could be done at once. */
static int wait_on(M *m, gs_chan *c, Queue *q, void *elem, int64_t deadline, const char *why) {
  G *g = m->curg;
  Waiter w = {.g = g, .elem = elem};
  chan_enqueue(c, q, &w);
  int r = gopark(m, chan_commit, c, deadline, why);
  if (r != GS_OK && r != GS_ECLOSED) {
    chan_lock(c, g->m);
    chan_give_up(c, q, &w);
    chan_unlock(c);
  }
  leave(g->m);
  return r;
}

static int finish(M *m, gs_chan *c, int r, G *woken) {
  chan_unlock(c);
  if (woken) ready(m, woken);
  if (m) leave(m);
  return r;
}

int gs_chan_send(gs_chan *c, const void *elem, int64_t deadline) {
  G *woken = NULL;
  if (unlikely(!c || (!elem && c->elem_size))) return GS_EINVAL;
  M *m = enter();
  if (unlikely(!m)) return as_callback(gs_chan_send, c, elem, deadline);
  chan_lock(c, m);
  int r = chan_send_now(c, elem, &woken);
  if (r != GS_EWOULDBLOCK) return finish(m, c, r, woken);
  return wait_on(m, c, &c->senders, (void *)(uintptr_t)elem, deadline, "chan send");
}

int gs_chan_recv(gs_chan *c, void *elem, int64_t deadline) {
  G *woken = NULL;
  if (unlikely(!c)) return GS_EINVAL;
  M *m = enter();
  if (unlikely(!m)) return as_callback(gs_chan_recv, c, elem, deadline);
  chan_lock(c, m);
  int r = chan_recv_now(c, elem, &woken);
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
  chan_lock(c, m);
  int r = chan_send_now(c, elem, &woken);
  return finish(m, c, r, woken);
}

int gs_chan_try_recv(gs_chan *c, void *elem) {
  G *woken = NULL;
  if (!c) return GS_EINVAL;
  M *m = enter();
  chan_lock(c, m);
  int r = chan_recv_now(c, elem, &woken);
  return finish(m, c, r, woken);
}

int gs_chan_close(gs_chan *c) {
  if (!c) return GS_EINVAL;
  G *woken = NULL, **tail = &woken;
  Waiter *w;
  M *m = enter();
  chan_lock(c, m);
  if (c->closed) return finish(m, c, GS_ECLOSED, NULL);
  store_rel(&c->closed, 1);
  while ((w = chan_take(c, &c->receivers, GS_ECLOSED)) ||
         (w = chan_take(c, &c->senders, GS_ECLOSED))) {
    *tail = w->g;
    tail = &w->g->schedlink;
    w->g->schedlink = NULL;
  }
  chan_unlock(c);
  ready_list(m, woken);
  if (m) leave(m);
  return GS_OK;
}

size_t gs_chan_len(gs_chan *c) { return c ? load_rlx(&c->count) : 0; }
size_t gs_chan_cap(gs_chan *c) { return c ? c->cap : 0; }
int gs_chan_closed(gs_chan *c) { return c && load_acq(&c->closed); }
