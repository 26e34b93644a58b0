/* select.c: waiting on several channels at once.
 *
 * Go's three passes (select.go).  First: is a case ready?  One is chosen at random among those that
 * are, each as likely as the others.  Second: with every channel locked, in the order of their
 * addresses, an entry for each case goes into its channel's queue, and the G parks; the locks are
 * released once it is off its stack.  Third: a partner has claimed the G by one of the entries, or
 * a deadline or a canceller has without any; the other entries are taken out of their queues.
 *
 * The first pass is made twice.  A look without locks and then an attempt under the lock of one
 * channel suffices to succeed.  To find that nothing can be done, all must be locked together:
 * channels change one after the other, and a look that is smeared over time could miss that at
 * each moment one of them was ready.
 *
 * The races.
 *   - Two partners on two channels.  The claim on the G's park word decides; only who wins it
 *     touches the element, and marks its entry (`fired`).  The loser finds the next waiter.
 *   - A partner, a timer or a canceller resumes the G while the locks are still being released on
 *     the stack of who ran next, which reads this frame.  They are released in reverse order: the
 *     third pass begins with the first channel of the order, whose lock is the last to be released.
 *     If the first channel is the partner's, it had that lock, so the releasing was over.
 *   - The partner's channel may be freed before the G runs again: the third pass does not touch it,
 *     unless it has other cases there, which are counted in its users.
 *
 * Entries stand in the caller's frame for up to FEW cases, in the heap beyond.
 */
#include <stdlib.h>

#include "chan.h"

#define FEW 16u
#define MOST 65536u

typedef struct {
  const gs_select_case *cases; /* the caller's */
  Waiter *entries;             /* by case */
  uint32_t *order;             /* cases that have a channel, by the channel's address */
  uint32_t *ready;             /* room for as many, for choosing */
  uint32_t n;                  /* how many these are */
} Select;

static inline gs_chan *nth(const Select *s, uint32_t i) { return s->cases[s->order[i]].chan; }

static inline Queue *queue_of(const gs_select_case *k) {
  return k->op == GS_SEND ? &k->chan->senders : &k->chan->receivers;
}

/* ---- the order of locking ---- */

static inline bool above(const Select *s, uint32_t a, uint32_t b) {
  return (uintptr_t)s->cases[a].chan > (uintptr_t)s->cases[b].chan;
}

static void sift(const Select *s, uint32_t i, uint32_t n) {
  uint32_t *o = s->order, k = o[i];
  for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && above(s, o[child + 1], o[child])) child++;
    if (!above(s, o[child], k)) break;
    o[i] = o[child];
  }
  o[i] = k;
}

static void sort(const Select *s) {
  uint32_t *o = s->order;
  if (s->n <= FEW) {
    for (uint32_t i = 1; i < s->n; i++) {
      uint32_t k = o[i], at = i;
      for (; at > 0 && above(s, o[at - 1], k); at--) o[at] = o[at - 1];
      o[at] = k;
    }
    return;
  }
  for (uint32_t i = s->n / 2; i-- > 0;) sift(s, i, s->n);
  for (uint32_t end = s->n; end-- > 1;) {
    uint32_t top = o[0];
    o[0] = o[end];
    o[end] = top;
    sift(s, 0, end);
  }
}

static void lock_all(const Select *s, const M *m) {
  for (uint32_t i = 0; i < s->n; i++)
    if (i == 0 || nth(s, i) != nth(s, i - 1)) chan_lock(nth(s, i), m);
}

/* The last lock that is released is the first channel's, and s is not touched after it. */
static void unlock_all(const Select *s) {
  for (uint32_t i = s->n; i-- > 0;) {
    gs_chan *c = nth(s, i);
    if (i > 0 && c == nth(s, i - 1)) continue;
    chan_unlock(c);
    if (i > 0) torture_window(); /* whoever waits on c may claim the G now */
  }
}

/* ---- first pass ---- */

static uint32_t random_below(M *m, uint32_t n) {
  static uint32_t elsewhere =
      2463534242u; /* threads without a P share this: lost updates are fine */
  uint32_t *state = m ? &m->p->rnd : &elsewhere;
  uint32_t x = load_rlx(state);
  if (!x) x = 0x9e3779b9u + (uint32_t)(uintptr_t)state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  store_rlx(state, x);
  return (uint32_t)(((uint64_t)x * n) >> 32);
}

static inline bool looks_ready(const gs_select_case *k) {
  gs_chan *c = k->chan;
  if (load_rlx(&c->closed)) return true;
  if (k->op == GS_SEND) return load_rlx(&c->receivers.head) || load_rlx(&c->count) < c->cap;
  return load_rlx(&c->count) != 0 || load_rlx(&c->senders.head);
}

static inline int case_now(const gs_select_case *k, G **woken) {
  return k->op == GS_SEND ? chan_send_now(k->chan, k->elem, woken)
                          : chan_recv_now(k->chan, k->elem, woken);
}

/* Does one of the cases that are ready, chosen at random.  all: every channel is locked already.
 * What looks ready may have nothing but a stale entry in its queue: then another one is chosen. */
static int attempt(const Select *s, M *m, bool all, size_t *chosen, G **woken) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    if (looks_ready(&s->cases[s->order[i]])) s->ready[n++] = s->order[i];
    if (!all) torture_window(); /* the channels change between the looks */
  }
  while (n) {
    uint32_t at = n == 1 ? 0 : random_below(m, n), k = s->ready[at];
    gs_chan *c = s->cases[k].chan;
    if (!all) chan_lock(c, m);
    int r = case_now(&s->cases[k], woken);
    if (!all) chan_unlock(c);
    if (r != GS_EWOULDBLOCK) {
      *chosen = k;
      return r;
    }
    s->ready[at] = s->ready[--n];
  }
  return GS_EWOULDBLOCK;
}

/* ---- second pass ---- */

static bool select_commit(G *g, void *s) {
  (void)g;
  unlock_all(s);
  return true;
}

/* A partner takes the first entry in its channel's queue: of several cases with one channel each
 * should have the same chance to stand there. */
static void shuffle_equals(const Select *s, M *m) {
  uint32_t *o = s->order;
  for (uint32_t i = 1, first = 0; i < s->n; i++) {
    if (nth(s, i) != nth(s, first)) {
      first = i;
      continue;
    }
    uint32_t at = first + random_below(m, i - first + 1), k = o[i];
    o[i] = o[at];
    o[at] = k;
  }
}

static void enqueue_all(const Select *s, G *g) {
  for (uint32_t i = 0; i < s->n; i++) {
    uint32_t k = s->order[i];
    Waiter *w = &s->entries[k];
    w->g = g;
    w->elem = s->cases[k].elem;
    w->size = s->cases[k].op == GS_RECV && w->elem ? s->cases[k].chan->elem_size : 0;
    w->fired = false;
    chan_enqueue(s->cases[k].chan, queue_of(&s->cases[k]), w);
  }
}

/* ---- third pass ---- */

/* The entry that a partner has won by, or NULL; the others leave their queues. */
static const Waiter *dequeue_all(const Select *s, const M *m) {
  const Waiter *fired = NULL;
  gs_chan *locked = NULL;
  for (uint32_t i = 0; i < s->n; i++) {
    uint32_t k = s->order[i];
    gs_chan *c = s->cases[k].chan;
    if (s->entries[k].fired) { /* written before the G was made runnable */
      fired = &s->entries[k];
      continue;
    }
    if (c != locked) {
      if (locked) chan_unlock(locked);
      torture_window(); /* partners may find the stale entry */
      chan_lock(c, m);
      locked = c;
    }
    chan_give_up(c, queue_of(&s->cases[k]), &s->entries[k]);
  }
  if (locked) chan_unlock(locked);
  return fired;
}

/* m: inside.  Every channel is locked, and nothing could be done. */
static int wait_for_one(const Select *s, M *m, int64_t deadline, size_t *chosen) {
  G *g = m->curg;
  shuffle_equals(s, m);
  enqueue_all(s, g);
  int r = gopark(m, s->n ? select_commit : NULL, (void *)(uintptr_t)s, deadline, "select");
  const Waiter *fired = dequeue_all(s, g->m);
  leave(g->m);
  gs_assert((fired != NULL) == (r == GS_OK || r == GS_ECLOSED));
  if (!fired) return r;
  if (r == GS_ECLOSED && fired->size) memset(fired->elem, 0, fired->size);
  *chosen = (size_t)(fired - s->entries);
  return r;
}

/* ---- all of it ---- */

static int wait_over(const G *g) {
  return load_rlx(&g->cancelled) && !g->firm ? GS_ECANCELED : GS_ETIMEOUT;
}

static int run(const Select *s, bool wait, int64_t deadline, size_t *chosen) {
  G *woken = NULL;
  M *m = enter();
  if (unlikely(!m && wait)) return as_callback(run, s, wait, deadline, chosen);
  int r = attempt(s, m, false, chosen, &woken);
  if (r == GS_EWOULDBLOCK) {
    sort(s);
    lock_all(s, m);
    r = attempt(s, m, true, chosen, &woken);
    if (r == GS_EWOULDBLOCK && wait && deadline > 0) return wait_for_one(s, m, deadline, chosen);
    unlock_all(s);
    if (r == GS_EWOULDBLOCK && wait) r = wait_over(m->curg);
  }
  if (woken) ready(m, woken);
  if (m) leave(m);
  return r;
}

static int check(const char *name, const gs_select_case *cases, size_t n, const size_t *chosen) {
  if (n > MOST) return gs_fail(GS_EINVAL, "%s: n is %zu; 0..%u cases are accepted", name, n, MOST);
  if ((!cases && n) || !chosen)
    return gs_fail(GS_EINVAL, "%s: %s is NULL", name, chosen ? "cases" : "chosen");
  for (size_t i = 0; i < n; i++) {
    const gs_select_case *k = &cases[i];
    if (k->op != GS_SEND && k->op != GS_RECV)
      return gs_fail(GS_EINVAL, "%s: cases[%zu].op is %d; GS_SEND or GS_RECV is accepted", name, i,
                     k->op);
    if (k->op == GS_SEND && k->chan && !k->elem && k->chan->elem_size)
      return gs_fail(GS_EINVAL,
                     "%s: cases[%zu].elem is NULL; the channel's elements have %zu bytes", name, i,
                     k->chan->elem_size);
  }
  return GS_OK;
}

static int select_(const char *name, const gs_select_case *cases, size_t n, bool wait,
                   int64_t deadline, size_t *chosen) {
  Waiter few[FEW];
  uint32_t few_numbers[2 * FEW];
  if (check(name, cases, n, chosen) != GS_OK) return GS_EINVAL;
  Select s = {cases, few, few_numbers, few_numbers + FEW, 0};
  void *more = NULL;
  if (n > FEW) {
    if (!(more = malloc(n * (sizeof(Waiter) + 2 * sizeof(uint32_t)))))
      return gs_fail(GS_ENOMEM, "%s: out of memory for %zu cases", name, n);
    s.entries = more;
    s.order = (uint32_t *)(void *)(s.entries + n);
    s.ready = s.order + n;
  }
  for (size_t i = 0; i < n; i++)
    if (cases[i].chan) s.order[s.n++] = (uint32_t)i;
  int r = run(&s, wait, deadline, chosen);
  free(more);
  return r;
}

int gs_select(const gs_select_case *cases, size_t n, int64_t deadline, size_t *chosen) {
  return select_("gs_select", cases, n, true, deadline, chosen);
}

int gs_try_select(const gs_select_case *cases, size_t n, size_t *chosen) {
  return select_("gs_try_select", cases, n, false, 0, chosen);
}
