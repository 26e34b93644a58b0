/* handle.c: what joiners and cancellers hold of a green thread.
 *
 * A handle has two owners: the G until it ends, and whoever asked for it until they release it.
 * One word tells all that they have to agree about:
 *
 *     the list of joiners (a pointer) | LOCK | DONE | RELEASED
 *
 * Who holds LOCK alone changes the word, and unlocks it with a plain store.  A joiner takes LOCK
 * together with the list that it puts itself on, and keeps it until it is parked (join_commit), so
 * that whoever finds it finds it PARKED.  A canceller holds it while it uses the link to the G,
 * which therefore has not ended and become another one.  The ending G takes the whole list and says
 * DONE in one CAS that fails under LOCK.  LOCK is held for moments; who meets it spins, then gives
 * way.
 *
 * Entries of joiners stand on their stacks.  After DONE the ending G still reads them, until it
 * says `settled`; a joiner that gave up meanwhile waits for that before its entry goes away, and so
 * does a release before the handle goes.  A joiner whose entry is still on the list takes it off
 * under LOCK. Who frees: the release if it comes after DONE, else the ending G, which sees
 * RELEASED.
 *
 * A thread that runs no green thread can join too: it sleeps on `settled`.  It counts itself in
 * `foreign` and then looks for DONE; the ending G says DONE and then looks at `foreign`.
 *
 * Handles are used again, from a list of the M that released them.
 */
#include <stdlib.h>

#include "runtime.h"

#define LOCK ((uintptr_t)1)
#define DONE ((uintptr_t)2)
#define RELEASED ((uintptr_t)4)
#define BITS ((uintptr_t)7)
#if GS_ASAN
#define M_KEEP 0u /* so that a handle that is used too late is noticed */
#else
#define M_KEEP 64u
#endif

typedef struct Joiner {
  G *g;
  struct Joiner *next;
} Joiner;

struct gs_handle {
  uintptr_t word;   /* see above */
  uint32_t settled; /* 1: the G has ended and is through with this; a futex of foreign joiners */
  uint32_t foreign; /* threads that sleep on settled, now or before; atomic */
  uint64_t goid;    /* write-once */
  G *g;             /* valid until DONE; write-once */
  gs_handle *next;  /* free list; its M */
};

gs_handle *handle_new(G *g) {
  M *m = gs_getm();
  gs_handle *h = m ? m->hfree : NULL;
  if (likely(h != NULL)) {
    m->hfree = h->next;
    m->nhfree--;
  } else if (!(h = malloc(sizeof *h))) {
    return NULL;
  }
  store_rlx(&h->word, 0);
  store_rlx(&h->settled, 0);
  store_rlx(&h->foreign, 0);
  h->g = g;
  h->goid = g->goid;
  g->handle = h;
  return h;
}

static void handle_free(gs_handle *h) {
  M *m = gs_getm();
  if (unlikely(!m || m->nhfree + 1 > M_KEEP)) {
    free(h);
    return;
  }
  h->next = m->hfree;
  m->hfree = h;
  m->nhfree++;
}

/* ---- the word ---- */

static void give_way(int *n) {
  if (++*n > 64) os_yield();
  compiler_fence();
}

static inline Joiner *joiners(uintptr_t w) { return (Joiner *)(w & ~BITS); }

/* False: DONE.  Else it is LOCKed and *w is the word without LOCK. */
static bool lock_word(gs_handle *h, uintptr_t *w) {
  for (int n = 0;;) {
    *w = load_acq(&h->word);
    if (*w & DONE) return false;
    if (!(*w & LOCK) && CAS(&h->word, *w, *w | LOCK)) return true;
    give_way(&n);
  }
}

static void await_settled(gs_handle *h) {
  for (int n = 0; !load_acq(&h->settled);) give_way(&n);
}

/* In a child of fork: nobody else is about, whatever the word said.  Joiners' entries are gone. */
void handle_forked(gs_handle *h) {
  bool released = h->word & RELEASED;
  store_rlx(&h->word, DONE);
  store_rlx(&h->settled, 1);
  if (released) handle_free(h);
}

void gs_handle_release(gs_handle *h) {
  if (!h) return;
  for (int n = 0; !load_acq(&h->settled);) {
    uintptr_t w = load_acq(&h->word);
    if (!(w & (DONE | LOCK)) && CAS(&h->word, w, w | RELEASED)) return;
    give_way(&n);
  }
  handle_free(h);
}

void handle_finish(M *m, gs_handle *h) {
  uintptr_t w;
  for (int n = 0;;) {
    w = load_rlx(&h->word);
    if (!(w & LOCK) && CAS(&h->word, w, DONE)) break;
    give_way(&n);
  }
  uint32_t foreign = load_sc(&h->foreign);
  torture_window(); /* joiners that give up now must not take their entries away */
  G *woken = NULL, **tail = &woken;
  for (Joiner *j = joiners(w); j;) {
    G *g = j->g;
    j = j->next;
    if (!claim(g, GS_OK)) continue;
    *tail = g;
    tail = &g->schedlink;
    g->schedlink = NULL;
  }
  if (w & RELEASED) {
    handle_free(h);
  } else {
    store_rel(&h->settled, 1); /* from here on it may be gone: the wake is for an address */
    if (unlikely(foreign)) os_futex_wake_all(&h->settled);
  }
  ready_list(m, woken);
}

/* ---- joining ---- */

static bool join_commit(G *g, void *handle) {
  gs_handle *h = handle;
  (void)g;
  store_rel(&h->word, load_rlx(&h->word) & ~LOCK);
  return true;
}

static int join_foreign(gs_handle *h, int64_t deadline) {
  add_sc(&h->foreign, 1);
  while (!(load_sc(&h->word) & DONE))
    if (os_futex_wait_until(&h->settled, 0, deadline) == 1 && !(load_acq(&h->word) & DONE))
      return GS_ETIMEOUT;
  await_settled(h);
  return GS_OK;
}

/* It was not the end of the G that woke this joiner. */
static void give_up(gs_handle *h, const Joiner *me) {
  uintptr_t w;
  if (!lock_word(h, &w)) {
    await_settled(h);
    return;
  }
  Joiner *head = joiners(w);
  for (Joiner **j = &head; *j; j = &(*j)->next)
    if (*j == me) {
      *j = me->next;
      break;
    }
  store_rel(&h->word, (uintptr_t)head | (w & RELEASED));
}

int gs_join(gs_handle *h, int64_t deadline) { return handle_join(h, deadline, "join"); }

int handle_join(gs_handle *h, int64_t deadline, const char *reason) {
  if (!h) return GS_EINVAL;
  bool on_m = gs_getm() != NULL;
  M *m = enter();
  if (!m) return on_m ? as_callback(handle_join, h, deadline, reason) : join_foreign(h, deadline);
  G *g = m->curg;
  Joiner me = {g, NULL};
  for (int n = 0;;) {
    uintptr_t w = load_acq(&h->word);
    if (w & DONE) {
      leave(m);
      return GS_OK;
    }
    me.next = joiners(w);
    if (!(w & LOCK) && CAS(&h->word, w, (uintptr_t)&me | (w & RELEASED) | LOCK)) break;
    give_way(&n);
  }
  int r = gopark(m, join_commit, h, deadline, reason);
  if (unlikely(r != GS_OK)) give_up(h, &me);
  leave(g->m);
  return r;
}

/* ---- the rest ---- */

int gs_cancel(gs_handle *h) {
  if (!h) return GS_EINVAL;
  M *m = enter();
  uintptr_t w;
  G *g = NULL;
  bool parked = false, unblock = false;
  if (lock_word(h, &w)) {
    g = h->g;
    parked = g_cancel(g);
    unblock = unblock_take(g); /* here, while it cannot end and be another one */
    store_rel(&h->word, w);
  }
  if (parked) ready(m, g);
  if (m) leave(m);
  if (unblock) unblock_run(g);
  return GS_OK;
}

/* The G may be another one by now, which its number tells. */
void handle_detached(gs_handle *h) { store_rlx(&h->g->detached, h->goid); }

int gs_handle_done(gs_handle *h) { return h && (load_acq(&h->word) & DONE) != 0; }

uint64_t gs_handle_id(gs_handle *h) { return h ? h->goid : 0; }
