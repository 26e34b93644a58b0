/* waitq.c: waiting in a queue and being woken from it; see waitq.h. */
#include "waitq.h"

void wq_push(gs_waitq *q, QWaiter *w, bool front) {
  QWaiter *next = front ? q->head : NULL, *prev = front ? NULL : q->tail;
  w->next = next;
  w->prev = prev;
  if (next)
    next->prev = w;
  else
    q->tail = w;
  if (prev)
    prev->next = w;
  else
    q->head = w;
  w->queued = true;
}

void wq_unlink(gs_waitq *q, QWaiter *w) {
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

QWaiter *wq_take(gs_waitq *q) {
  QWaiter *w;
  while ((w = q->head)) {
    wq_unlink(q, w);
    torture_window(); /* its deadline may come first */
    if (!w->g || claim(w->g, GS_OK)) return w;
  }
  return NULL;
}

QWaiter *wq_take_all(gs_waitq *q) {
  QWaiter *first = NULL, **at = &first, *w;
  while ((w = wq_take(q))) {
    w->next = NULL;
    *at = w;
    at = &w->next;
  }
  return first;
}

void wq_wake(M *m, QWaiter *w) {
  if (w->g) {
    ready(m, w->g);
    return;
  }
  /* The thread may return, and its frame be gone, before the wake-up: that hits nobody then, or
   * somebody who looks again. */
  uint32_t *word = &w->word;
  store_rel(word, 1);
  os_futex_wake(word, 1);
}

void wq_wake_all(M *m, QWaiter *w) {
  while (w) {
    QWaiter *next = w->next;
    wq_wake(m, w);
    w = next;
  }
}

static bool unlock_commit(G *g, void *q) {
  (void)g;
  wq_unlock(q);
  return true;
}

static int wait_thread(gs_waitq *owner, gs_waitq *q, QWaiter *w, int64_t deadline) {
  wq_unlock(owner);
  while (!load_acq(&w->word))
    if (os_futex_wait_until(&w->word, 0, deadline) == 1) {
      torture_window();
      wq_lock(owner);
      if (w->queued) {
        wq_unlink(q, w);
        return GS_ETIMEOUT;
      }
      wq_unlock(owner); /* taken already: the wake-up is on its way */
      deadline = GS_FOREVER;
    }
  return GS_OK;
}

int wq_wait(M **m, gs_waitq *owner, gs_waitq *q, QWaiter *w, int64_t deadline, const char *reason) {
  if (!*m) return wait_thread(owner, q, w, deadline);
  G *g = w->g;
  int r = gopark(*m, unlock_commit, owner, deadline, reason);
  *m = g->m;
  if (r == GS_OK) return GS_OK;
  torture_window(); /* wakers meet an entry that is stale */
  wq_lock(owner);
  wq_unlink(q, w);
  return r;
}
