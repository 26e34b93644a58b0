/* handle.c: what joiners and cancellers hold of a green thread.
 *
 * A handle is counted: one reference for the G until it ends, one for whoever asked for it.  Its
 * lock guards the link to the G, so that a canceller never touches a G that has ended and become
 * another one, and the list of joiners.  A joiner's entry stands on its own stack; whoever takes it
 * off the list (the ending G, or the joiner itself after a timeout) does so under the lock.
 *
 * A thread that runs no green thread can join too: it sleeps on the word `done`.
 */
#include <stdlib.h>

#include "runtime.h"

typedef struct Joiner {
  G *g;
  struct Joiner *next;
} Joiner;

struct gs_handle {
  Lock lock;
  uint32_t refs;    /* atomic */
  uint32_t done;    /* 1: ended; written under lock, a futex of foreign joiners */
  uint32_t foreign; /* threads that sleep on done, now or before; atomic */
  uint64_t goid;
  G *g;            /* until done; lock */
  Joiner *joiners; /* lock */
};

gs_handle *handle_new(G *g) {
  gs_handle *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  h->refs = 2;
  h->g = g;
  h->goid = g->goid;
  g->handle = h;
  return h;
}

static void unref(gs_handle *h) {
  if (__atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) == 0) free(h);
}

void gs_handle_release(gs_handle *h) {
  if (h) unref(h);
}

void handle_finish(M *m, gs_handle *h) {
  lock(&h->lock);
  Joiner *j = h->joiners;
  h->joiners = NULL;
  h->g = NULL;
  /* done, then foreign; a foreign joiner counts itself in foreign, then reads done. */
  store_sc(&h->done, 1);
  /* The claims come under the lock: a joiner that gives up takes the lock to unlink itself, and its
   * entry is gone once it has returned. */
  G *woken = NULL, **tail = &woken;
  for (; j; j = j->next)
    if (claim(j->g, GS_OK)) {
      *tail = j->g;
      tail = &j->g->schedlink;
      j->g->schedlink = NULL;
    }
  unlock(&h->lock);
  if (load_sc(&h->foreign)) os_futex_wake_all(&h->done);
  ready_list(m, woken);
  unref(h);
}

static bool join_commit(G *g, void *lock_) {
  (void)g;
  unlock(lock_);
  return true;
}

static int join_foreign(gs_handle *h, int64_t deadline) {
  add_sc(&h->foreign, 1);
  while (!load_sc(&h->done))
    if (os_futex_wait_until(&h->done, 0, deadline) == 1 && !load_acq(&h->done)) return GS_ETIMEOUT;
  return GS_OK;
}

int gs_join(gs_handle *h, int64_t deadline) {
  if (!h) return GS_EINVAL;
  bool on_m = gs_getm() != NULL;
  M *m = enter();
  if (!m) return on_m ? GS_EPERM : join_foreign(h, deadline);
  G *g = m->curg;
  Joiner me = {g, NULL};
  lock(&h->lock);
  if (h->done) {
    unlock(&h->lock);
    leave(m);
    return GS_OK;
  }
  me.next = h->joiners;
  h->joiners = &me;
  int r = gopark(m, join_commit, &h->lock, deadline, "join");
  if (r != GS_OK) {
    lock(&h->lock);
    for (Joiner **j = &h->joiners; *j; j = &(*j)->next)
      if (*j == &me) {
        *j = me.next;
        break;
      }
    unlock(&h->lock);
  }
  leave(g->m);
  return r;
}

int gs_cancel(gs_handle *h) {
  if (!h) return GS_EINVAL;
  M *m = enter();
  lock(&h->lock);
  G *g = h->g;
  if (g && !g_cancel(g)) g = NULL;
  unlock(&h->lock);
  if (g) ready(m, g);
  if (m) leave(m);
  return GS_OK;
}

int gs_handle_done(gs_handle *h) { return h && load_acq(&h->done); }

uint64_t gs_handle_id(gs_handle *h) { return h ? h->goid : 0; }
