/* timer.c: times at which parked Gs are woken.
 *
 * Every P has a heap of its own, 4-ary (half as deep as a binary one, and the four children share a
 * cache line or two), with a mutex: a deadline that is not reached is removed by the G that set it,
 * from whatever P it is on by then.  A timer knows its place in the heap, so removal is O(log n)
 * and nothing dead stays behind.  The earliest time of each heap can be read without the mutex.
 *
 * A timer claims its G, or, if it is a user's (timer_user.c), makes a new one.  That happens under
 * the heap's mutex, so that a G that has removed its timer knows that no claim of that timer is
 * still to come.  The Gs are made runnable afterwards, without the mutex.
 *
 * Any thread may run any heap: the owner of the P, a P that looks for work, the poller, sysmon.
 */
#include <stdlib.h>

#include "runtime.h"

static inline void place(Timers *ts, TimerSlot at, uint32_t slot) {
  ts->heap[slot] = at;
  at.t->slot = slot;
}

static void up(Timers *ts, TimerSlot at, uint32_t i) {
  while (i > 0) {
    uint32_t parent = (i - 1) / 4;
    if (ts->heap[parent].when <= at.when) break;
    place(ts, ts->heap[parent], i);
    i = parent;
  }
  place(ts, at, i);
}

static void down(Timers *ts, TimerSlot at, uint32_t i) {
  for (;;) {
    uint32_t first = 4 * i + 1, best = first;
    if (first >= ts->len) break;
    for (uint32_t c = first + 1; c < first + 4 && c < ts->len; c++)
      if (ts->heap[c].when < ts->heap[best].when) best = c;
    if (ts->heap[best].when >= at.when) break;
    place(ts, ts->heap[best], i);
    i = best;
  }
  place(ts, at, i);
}

static void publish_next(Timers *ts) {
  /* seq_cst: one half of the pair with poll_wait, which publishes that somebody polls and then
   * reads this. */
  store_sc(&ts->next, ts->len ? ts->heap[0].when : INT64_MAX);
}

static void remove_at(Timers *ts, uint32_t i) {
  TimerSlot last = ts->heap[--ts->len];
  store_rel(&ts->heap[i].t->ts, NULL);
  if (i == ts->len) return;
  if (i > 0 && ts->heap[(i - 1) / 4].when > last.when)
    up(ts, last, i);
  else
    down(ts, last, i);
}

static void publish_park(G *g, uint32_t word) {
  if (SC_FENCE_NOW)
    (void)xchg(&g->park, word);
  else
    store_rel(&g->park, word);
}

/* The mutex is held.  False: out of memory.  *first: it is the earliest now. */
static bool insert(Timers *ts, Timer *t, int64_t when, bool *first) {
  *first = false;
  if (unlikely(ts->len == ts->cap)) {
    uint32_t cap = ts->cap ? ts->cap * 2 : 64;
    TimerSlot *heap = cap > ts->cap ? realloc(ts->heap, cap * sizeof *heap) : NULL;
    if (!heap) return false;
    ts->heap = heap;
    ts->cap = cap;
  }
  t->when = when;
  store_rel(&t->ts, ts);
  ts->len++;
  up(ts, (TimerSlot){when, t}, ts->len - 1);
  *first = t->slot == 0;
  if (*first) publish_next(ts);
  return true;
}

/* Arms g's timer and publishes that g is parked, both under the heap's mutex.  A timer that fires
 * then finds the G parked.  A canceller may claim the G at once; when the G then takes its timer
 * out, it finds it (the link was written before the park word) and waits for the mutex.
 * Without memory the G is parked without a timer, and the caller, who must not leave it so, claims
 * it itself: the G is off its stack already, so it can only be resumed. */
bool timers_park(Timers *ts, G *g, uint32_t word, int64_t when) {
  bool first;
  lock(&ts->lock);
  bool armed = insert(ts, &g->timer, when, &first);
  torture_window(); /* it may be due: whoever fires it waits */
  publish_park(g, word);
  unlock(&ts->lock);
  if (first) poll_break(when);
  return armed;
}

bool timers_add(Timers *ts, Timer *t, int64_t when) {
  bool first;
  lock(&ts->lock);
  bool added = insert(ts, t, when, &first);
  unlock(&ts->lock);
  if (first) poll_break(when);
  return added;
}

bool timers_del(Timer *t) {
  Timers *ts;
  /* Again if it has moved to another heap meanwhile (timers_move). */
  while ((ts = load_acq(&t->ts))) {
    torture_window(); /* it may move now */
    lock(&ts->lock);
    bool here = t->ts == ts;
    if (here) {
      bool first = t->slot == 0;
      remove_at(ts, t->slot);
      if (first) publish_next(ts);
    }
    unlock(&ts->lock);
    if (here) return true;
  }
  return false;
}

/* The first one's time has come.  Returns Gs to make runnable, or NULL. */
static G *fire_first(Timers *ts, int64_t now) {
  Timer *t = ts->heap[0].t;
  if (t->user) {
    int64_t next;
    G *g = t->user == TIMER_CALL ? unblock_fire(t, now, &next) : timer_user_fire(t, now, &next);
    if (next == INT64_MAX) {
      bool forget = t->user == TIMER_FORGET;
      remove_at(ts, 0); /* its owner may free it from here on */
      if (forget) timer_user_free(t);
    } else {
      t->when = next;
      down(ts, (TimerSlot){next, t}, 0);
    }
    return g;
  }
  G *g = (G *)(void *)((char *)t - offsetof(G, timer));
  /* The claim comes before t->ts is cleared: timers_del takes a cleared link, which it reads
   * without the mutex, as the proof that no claim is to come. */
  bool mine = claim(g, GS_ETIMEOUT);
  torture_window(); /* a G that somebody else has woken takes its timer out: it waits */
  remove_at(ts, 0);
  if (!mine) return NULL;
  g->schedlink = NULL;
  return g;
}

G *timers_run(Timers *ts, int64_t now) {
  G *head = NULL, **tail = &head;
  if (load_rlx(&ts->next) > now) return NULL;
  lock(&ts->lock);
  while (ts->len && ts->heap[0].when <= now) {
    *tail = fire_first(ts, now);
    while (*tail) tail = &(*tail)->schedlink;
  }
  publish_next(ts);
  unlock(&ts->lock);
  return head;
}

int64_t timers_next(void) {
  int64_t next = INT64_MAX;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, n = load_acq(&d->nallp); i < n; i++) {
      int64_t t = load_sc(&d->allp[i]->timers.next);
      if (t < next) next = t;
    }
  return next;
}

G *timers_run_all(int64_t now) {
  G *head = NULL, **tail = &head;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, n = load_acq(&d->nallp); i < n; i++) {
      *tail = timers_run(&d->allp[i]->timers, now);
      while (*tail) tail = &(*tail)->schedlink;
    }
  return head;
}

/* The heap of a P that is dropped empties into another one.  Under both mutexes, so that a timer is
 * in one of them whenever somebody looks; nobody else ever holds two. */
void timers_move(Timers *from, Timers *to) {
  lock(from < to ? &from->lock : &to->lock);
  lock(from < to ? &to->lock : &from->lock);
  bool first;
  while (from->len &&
         insert(to, from->heap[from->len - 1].t, from->heap[from->len - 1].when, &first))
    from->len--;
  publish_next(to);
  publish_next(from); /* what found no room stays: the poller looks at every heap */
  unlock(&to->lock);
  unlock(&from->lock);
  poll_break(load_rlx(&to->next));
}
