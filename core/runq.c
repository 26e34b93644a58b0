/* runq.c: where runnable Gs wait.
 *
 * Every P has a ring of RUNQ_SIZE slots and one place of honour, runnext.  The owner pushes at the
 * tail and pops at the head; thieves take half from the head.  The algorithm is Go's (proc.go,
 * runqput, runqget, runqgrab, runqsteal); the ring is a bounded single-producer, many-consumer
 * queue whose consumers race with a CAS on head.
 *
 * Memory order.  A slot is written before tail is published (release); a thief reads tail (acquire)
 * before the slots, so it sees the G.  The thief's CAS on head (acq_rel) comes after it has copied
 * the slots, so the owner, which reads head with acquire before it writes a slot again, cannot
 * overwrite one that is still being copied by a thief whose CAS will succeed.  Slots are relaxed
 * atomics because a thief may read one that is being overwritten; its CAS then fails.
 *
 * A P that is alone in its domain (solo) has no thieves: nothing here needs a locked instruction
 * then.  A P becomes solo only while it is idle, and no thief looks at one that is.
 */
#include "runtime.h"

bool runqempty(const P *p) {
  /* runnext may be kicked into the ring between the reads: an unchanged tail proves that it was
   * not (Go's runqempty has the argument). */
  for (;;) {
    uint32_t head = load_acq(&p->head);
    uint32_t tail = load_acq(&p->tail);
    G *next = load_acq(&p->runnext);
    if (tail == load_acq(&p->tail)) return head == tail && !next;
  }
}

uint32_t runqlen(const P *p) {
  uint32_t n = load_acq(&p->tail) - load_acq(&p->head);
  return (n > RUNQ_SIZE ? RUNQ_SIZE : n) + (load_rlx(&p->runnext) != NULL);
}

void globrunqput(Domain *d, G *g) {
  g->schedlink = NULL;
  globrunqput_list(d, g, g, 1);
}

void globrunqput_list(Domain *d, G *head, G *tail, uint32_t n) {
  tail->schedlink = NULL;
  if (d->runq_tail)
    d->runq_tail->schedlink = head;
  else
    d->runq_head = head;
  d->runq_tail = tail;
  store_rlx(&d->runqsize, d->runqsize + n);
}

/* A G whose time has come, and no P was at hand: before all that merely wait for their turn, behind
 * those that were due earlier.  With hundreds of Gs in the queue a clock would be useless
 * otherwise. find_runnable takes from here at every other look, so that the rest is not starved. */
void globrunqput_due(Domain *d, G *g) {
  G *after = d->due_tail;
  g->due = 1;
  g->schedlink = after ? after->schedlink : d->runq_head;
  if (after)
    after->schedlink = g;
  else
    d->runq_head = g;
  if (!g->schedlink) d->runq_tail = g;
  d->due_tail = g;
  store_rlx(&d->ndue, d->ndue + 1);
  store_rlx(&d->runqsize, d->runqsize + 1);
}

/* g leaves the front part; prev is the one before it, or NULL. */
void due_leave(Domain *d, G *g, G *prev) {
  if (!g->due) return;
  g->due = 0;
  if (d->due_tail == g) d->due_tail = prev;
  store_rlx(&d->ndue, d->ndue - 1);
}

static G *globpop(Domain *d) {
  G *g = d->runq_head;
  due_leave(d, g, NULL);
  d->runq_head = g->schedlink;
  if (!d->runq_head) d->runq_tail = NULL;
  g->schedlink = NULL;
  store_rlx(&d->runqsize, d->runqsize - 1);
  return g;
}

/* Half the ring and g go to the global queue, so that others find them.  False: a thief was faster
 * and there is room now. */
static bool put_slow(P *p, G *g, uint32_t head, uint32_t tail) {
  G *batch[RUNQ_SIZE / 2 + 1];
  uint32_t n = (tail - head) / 2;
  gs_assert(n == RUNQ_SIZE / 2);
  for (uint32_t i = 0; i < n; i++) batch[i] = load_rlx(&p->runq[(head + i) % RUNQ_SIZE]);
  torture_window(); /* thieves may take them */
  if (!__atomic_compare_exchange_n(&p->head, &head, head + n, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_RELAXED))
    return false;
  batch[n] = g;
  for (uint32_t i = 0; i < n; i++) batch[i]->schedlink = batch[i + 1];
  lock(&p->d->lock);
  globrunqput_list(p->d, batch[0], g, n + 1);
  unlock(&p->d->lock);
  return true;
}

static void push_tail(P *p, G *g) {
  for (;;) {
    uint32_t head = load_acq(&p->head);
    uint32_t tail = p->tail;
    if (likely(tail - head < RUNQ_SIZE)) {
      store_rlx(&p->runq[tail % RUNQ_SIZE], g);
      store_rel(&p->tail, tail + 1);
      return;
    }
    if (put_slow(p, g, head, tail)) return;
  }
}

/* Owner only.  next: it runs next; the one that was to run next goes to the tail. */
void runqput(P *p, G *g, bool next) {
  if (next) {
    G *old;
    if (p->solo) {
      old = p->runnext;
      store_rel(&p->runnext, g);
    } else {
      /* seq_cst: this is also the StoreLoad between publishing work and reading nmspinning in
       * wakep (see find_runnable's essay). */
      old = xchg(&p->runnext, g);
    }
    if (!old) return;
    g = old;
  }
  push_tail(p, g);
}

/* Owner only. */
G *runqget(P *p, bool *inherit) {
  G *g = load_rlx(&p->runnext);
  if (g) {
    *inherit = true;
    if (p->solo) {
      store_rlx(&p->runnext, NULL);
      return g;
    }
    if (CAS(&p->runnext, g, NULL)) return g; /* else a thief has it, and nobody puts one back */
  }
  *inherit = false;
  for (;;) {
    uint32_t head = load_acq(&p->head);
    if (head == p->tail) return NULL;
    g = load_rlx(&p->runq[head % RUNQ_SIZE]);
    if (p->solo) {
      store_rel(&p->head, head + 1);
      return g;
    }
    if (__atomic_compare_exchange_n(&p->head, &head, head + 1, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
      return g;
  }
}

/* Copies half of the victim's ring to the end of the thief's, unpublished.  Returns how many. */
static uint32_t grab(P *victim, P *thief, uint32_t at, bool take_next) {
  for (;;) {
    uint32_t head = load_acq(&victim->head);
    uint32_t tail = load_acq(&victim->tail);
    uint32_t n = tail - head;
    n -= n / 2;
    if (n == 0) {
      if (!take_next) return 0;
      G *next = load_rlx(&victim->runnext);
      if (!next) return 0;
      /* The usual reason for a runnext is a G that made its partner runnable and is about to park.
       * Taking the partner now would only make them hop from thread to thread: give it a moment,
       * unless it is away in a call. */
      if (p_status(victim) == Prunning) os_sleep_ns(3000);
      torture_window(); /* the owner may run it, or put another one there */
      if (!CAS(&victim->runnext, next, NULL)) continue;
      store_rlx(&thief->runq[at % RUNQ_SIZE], next);
      return 1;
    }
    if (n > RUNQ_SIZE / 2) continue; /* head and tail were not read together */
    for (uint32_t i = 0; i < n; i++)
      store_rlx(&thief->runq[(at + i) % RUNQ_SIZE],
                load_rlx(&victim->runq[(head + i) % RUNQ_SIZE]));
    torture_window(); /* the owner may take them, and others be put in their place */
    if (__atomic_compare_exchange_n(&victim->head, &head, head + n, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
      return n;
  }
}

/* Owner of thief, whose ring is empty.  Returns one G to run. */
G *runqsteal(P *thief, P *victim, bool take_next) {
  uint32_t tail = thief->tail;
  uint32_t n = grab(victim, thief, tail, take_next);
  if (n == 0) return NULL;
  G *g = load_rlx(&thief->runq[(tail + n - 1) % RUNQ_SIZE]);
  if (n > 1) store_rel(&thief->tail, tail + n - 1);
  return g;
}

/* For a P that nobody can run: its Gs to the global queue, where others find them. */
void runqdrain_to_global(P *p) {
  bool inherit;
  G *head = NULL, *tail = NULL, *g;
  uint32_t n = 0;
  while ((g = runqget(p, &inherit))) {
    if (tail)
      tail->schedlink = g;
    else
      head = g;
    tail = g;
    n++;
  }
  if (!n) return;
  lock(&p->d->lock);
  globrunqput_list(p->d, head, tail, n);
  unlock(&p->d->lock);
}

/* The first that merely waits for its turn, though others are due; one of those if there is no
 * other.  For looks that keep the rest from being starved: d->lock held. */
G *globrunqget_turn(P *p) {
  Domain *d = p->d;
  G *before = d->due_tail, *g = before ? before->schedlink : NULL;
  if (!g) return globrunqget(p, 1);
  before->schedlink = g->schedlink;
  if (d->runq_tail == g) d->runq_tail = before;
  g->schedlink = NULL;
  store_rlx(&d->runqsize, d->runqsize - 1);
  return g;
}

/* Takes a fair share of the global queue: one to run, up to max - 1 more into p's ring. */
G *globrunqget(P *p, uint32_t max) {
  Domain *d = p->d;
  if (d->runqsize == 0) return NULL;
  uint32_t n = d->runqsize / (d->nprocs ? d->nprocs : 1) + 1;
  if (n > d->runqsize) n = d->runqsize;
  if (n > max) n = max;
  if (n > RUNQ_SIZE / 2) n = RUNQ_SIZE / 2;
  G *g = globpop(d);
  uint32_t room = RUNQ_SIZE - (p->tail - load_acq(&p->head));
  if (n - 1 > room) n = room + 1;
  uint32_t tail = p->tail;
  for (uint32_t i = 1; i < n; i++) store_rlx(&p->runq[tail++ % RUNQ_SIZE], globpop(d));
  store_rel(&p->tail, tail);
  return g;
}
