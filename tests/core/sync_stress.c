/* sync_stress.c: many at once on one object of each kind, with deadlines and cancellation.
 *
 * What must hold is what the objects promise: one at a time, writers alone, as many as there are
 * permits, no signal lost, nobody left behind.  ctest runs it with several numbers of Ps
 * (GOSCHED_PROCS).  HammerMutex, HammerRWMutex, HammerSemaphore, ParallelReaders, MutexFairness,
 * WaitGroupRace, CondSignal and CondBroadcast are Go's (the tests of sync and of runtime's
 * rwmutex).
 */
#include "support.h"

enum { WORKERS = 10, READERS = 8 };

static int known(int code) {
  return code == GS_OK || code == GS_ETIMEOUT || code == GS_ECANCELED || code == GS_EWOULDBLOCK;
}

static int64_t some_deadline(uint64_t *seed) {
  static const int64_t waits[] = {-1, 0, US(5), US(50), US(500)};
  return random_next(seed) % 3 ? GS_FOREVER : gs_now() + waits[random_next(seed) % COUNT(waits)];
}

/* ---- workers that are cancelled now and then, and go on ---- */

typedef struct world {
  gs_mutex mutex;
  gs_rwmutex rw;
  gs_sema sema;
  gs_cond cond;
  atomic_int inside, readers, finished;
  int64_t total; /* under the mutex, or the writer's lock */
  atomic_llong expected;
  int rounds, permits;
  void (*round)(struct world *, uint64_t *seed);
} world;

typedef struct worker {
  world *w;
  uint64_t seed;
  gs_handle *h;
} worker;

static void work(void *arg) {
  worker *me = arg;
  for (int i = 0; i < me->w->rounds && !checks_failed(); i++) {
    me->w->round(me->w, &me->seed);
    if (gs_cancelled()) gs_uncancel();
    if (random_next(&me->seed) % 64 == 0) gs_yield();
  }
  atomic_fetch_add(&me->w->finished, 1);
}

static void hammer(world *w) {
  worker workers[WORKERS];
  uint64_t seed = 0x9e3779b97f4a7c15u;
  for (int i = 0; i < WORKERS; i++) {
    workers[i].w = w;
    workers[i].seed = random_next(&seed);
    workers[i].h = go_named("hammer", work, &workers[i]);
  }
  while (atomic_load(&w->finished) < WORKERS) {
    CHECK_CODE(gs_cancel(workers[random_next(&seed) % WORKERS].h), GS_OK);
    CHECK_CODE(gs_sleep(US(200)), GS_OK);
  }
  for (int i = 0; i < WORKERS; i++) join(workers[i].h);
  CHECK_INT(w->total, atomic_load(&w->expected));
  CHECK_INT(w->mutex.state | w->rw.state, 0);
}

static void alone(world *w, int writes) {
  CHECK_INT(atomic_fetch_add(&w->inside, 1), 0);
  if (writes) {
    w->total++;
    atomic_fetch_add(&w->expected, 1);
  }
  CHECK_INT(atomic_fetch_sub(&w->inside, 1), 1);
}

/* ---- HammerMutex ---- */

static void mutex_round(world *w, uint64_t *seed) {
  int code = random_next(seed) % 3 == 0 ? gs_mutex_try_lock(&w->mutex)
                                        : gs_mutex_lock(&w->mutex, some_deadline(seed));
  CHECK(known(code));
  if (code != GS_OK) return;
  alone(w, 1);
  if (random_next(seed) % 16 == 0) gs_yield(); /* while it is locked */
  CHECK_CODE(gs_mutex_unlock(&w->mutex), GS_OK);
}

static void hammer_mutex(void *arg) {
  (void)arg;
  world w = {.rounds = SCALE(10000), .round = mutex_round};
  hammer(&w);
}

/* ---- HammerRWMutex ---- */

static void read_round(world *w, uint64_t *seed) {
  int code = random_next(seed) % 3 == 0 ? gs_rwmutex_try_rlock(&w->rw)
                                        : gs_rwmutex_rlock(&w->rw, some_deadline(seed));
  CHECK(known(code));
  if (code != GS_OK) return;
  atomic_fetch_add(&w->readers, 1);
  CHECK_INT(atomic_load(&w->inside), 0);
  if (random_next(seed) % 8 == 0) gs_yield();
  atomic_fetch_sub(&w->readers, 1);
  CHECK_CODE(gs_rwmutex_runlock(&w->rw), GS_OK);
}

static void rw_round(world *w, uint64_t *seed) {
  if (random_next(seed) % 4) {
    read_round(w, seed);
    return;
  }
  int code = random_next(seed) % 3 == 0 ? gs_rwmutex_try_lock(&w->rw)
                                        : gs_rwmutex_lock(&w->rw, some_deadline(seed));
  CHECK(known(code));
  if (code != GS_OK) return;
  CHECK_INT(atomic_load(&w->readers), 0);
  alone(w, 1);
  if (random_next(seed) % 8 == 0) gs_yield();
  CHECK_INT(atomic_load(&w->readers), 0);
  CHECK_CODE(gs_rwmutex_unlock(&w->rw), GS_OK);
}

static void hammer_rwmutex(void *arg) {
  (void)arg;
  world w = {.rounds = SCALE(10000), .round = rw_round};
  hammer(&w);
}

/* ---- HammerSemaphore ---- */

static void sema_round(world *w, uint64_t *seed) {
  int code = random_next(seed) % 3 == 0 ? gs_sema_try_acquire(&w->sema)
                                        : gs_sema_acquire(&w->sema, some_deadline(seed));
  CHECK(known(code));
  if (code != GS_OK) return;
  CHECK(atomic_fetch_add(&w->inside, 1) < w->permits);
  if (random_next(seed) % 8 == 0) gs_yield();
  atomic_fetch_sub(&w->inside, 1);
  CHECK_CODE(gs_sema_release(&w->sema, 1), GS_OK);
}

static void hammer_semaphore(void *arg) {
  world w = {.rounds = SCALE(10000), .round = sema_round, .permits = *(int *)arg};
  CHECK_CODE(gs_sema_init(&w.sema, (uint32_t)w.permits), GS_OK);
  hammer(&w);
  for (int i = 0; i < w.permits; i++) CHECK_CODE(gs_sema_try_acquire(&w.sema), GS_OK);
  CHECK_CODE(gs_sema_try_acquire(&w.sema), GS_EWOULDBLOCK);
}

/* ---- a bounded buffer by a mutex and two conditions: every element arrives once ---- */

enum { ROOM = 3 };

typedef struct buffer {
  gs_mutex mutex;
  gs_cond not_empty, not_full;
  int ring[ROOM], first, len;
  int each;
  atomic_llong sent, received;
  atomic_int producers;
} buffer;

/* One that gives up after it was signalled would have to pass the signal on: GS_OK is a signal. */
static void wait_for_change(buffer *b, gs_cond *c, uint64_t *seed) {
  CHECK(known(gs_cond_wait(c, &b->mutex, some_deadline(seed))));
}

static void produce(void *arg) {
  buffer *b = arg;
  uint64_t seed = 88172645463325252u;
  for (int i = 1; i <= b->each; i++) {
    CHECK_CODE(gs_mutex_lock(&b->mutex, GS_FOREVER), GS_OK);
    while (b->len == ROOM) wait_for_change(b, &b->not_full, &seed);
    b->ring[(b->first + b->len++) % ROOM] = i;
    CHECK_CODE(gs_cond_signal(&b->not_empty), GS_OK);
    CHECK_CODE(gs_mutex_unlock(&b->mutex), GS_OK);
    atomic_fetch_add(&b->sent, i);
  }
  CHECK_CODE(gs_mutex_lock(&b->mutex, GS_FOREVER), GS_OK);
  atomic_fetch_sub(&b->producers, 1);
  CHECK_CODE(gs_mutex_unlock(&b->mutex), GS_OK);
  CHECK_CODE(gs_cond_broadcast(&b->not_empty), GS_OK);
}

static void consume(void *arg) {
  buffer *b = arg;
  uint64_t seed = 2463534242u;
  for (;;) {
    CHECK_CODE(gs_mutex_lock(&b->mutex, GS_FOREVER), GS_OK);
    while (b->len == 0 && atomic_load(&b->producers)) wait_for_change(b, &b->not_empty, &seed);
    int ended = b->len == 0, value = b->ring[b->first];
    if (!ended) {
      b->first = (b->first + 1) % ROOM;
      b->len--;
    }
    CHECK_CODE(gs_cond_signal(&b->not_full), GS_OK);
    CHECK_CODE(gs_mutex_unlock(&b->mutex), GS_OK);
    if (ended) return;
    atomic_fetch_add(&b->received, value);
  }
}

static void bounded_buffer(void *arg) {
  (void)arg;
  buffer b = {.each = SCALE(5000), .producers = 3};
  gs_handle *h[6];
  for (int i = 0; i < 6; i++) h[i] = go_named("buffer", i < 3 ? produce : consume, &b);
  for (int i = 0; i < 6; i++) join(h[i]);
  CHECK_INT(atomic_load(&b.received), atomic_load(&b.sent));
}

/* ---- CondSignal, CondBroadcast: each signal wakes one, a broadcast all ---- */

typedef struct crowd {
  gs_mutex mutex;
  gs_cond cond;
  int waiting, awake, exit;
} crowd;

static void in_crowd(void *arg) {
  crowd *c = arg;
  CHECK_CODE(gs_mutex_lock(&c->mutex, GS_FOREVER), GS_OK);
  while (!c->exit) {
    c->waiting++;
    CHECK_CODE(gs_cond_wait(&c->cond, &c->mutex, GS_FOREVER), GS_OK);
    c->awake++;
  }
  CHECK_CODE(gs_mutex_unlock(&c->mutex), GS_OK);
}

/* Until that many wait, or are awake. */
static void until(crowd *c, const int *what, int value) {
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end;) {
    gs_mutex_lock(&c->mutex, GS_FOREVER);
    int now = *what;
    gs_mutex_unlock(&c->mutex);
    if (now == value) return;
    gs_sleep(US(20));
  }
  CHECK(0);
}

static void cond_signal_and_broadcast(void *arg) {
  (void)arg;
  crowd c = {.waiting = 0};
  gs_handle *h[WORKERS];
  for (int i = 0; i < WORKERS; i++) h[i] = go_named("crowd", in_crowd, &c);
  until(&c, &c.waiting, WORKERS);
  for (int i = 1; i <= SCALE(300) && !checks_failed(); i++) {
    CHECK_CODE(gs_cond_signal(&c.cond), GS_OK);
    until(&c, &c.awake, i);
    until(&c, &c.waiting, WORKERS + i);
  }
  gs_mutex_lock(&c.mutex, GS_FOREVER);
  c.awake = 0;
  c.exit = 1;
  gs_mutex_unlock(&c.mutex);
  CHECK_CODE(gs_cond_broadcast(&c.cond), GS_OK);
  for (int i = 0; i < WORKERS; i++) join(h[i]);
  CHECK_INT(c.awake, WORKERS);
}

/* ---- ParallelReaders: all of them hold it at the same time ---- */

typedef struct parallel {
  gs_rwmutex rw;
  gs_chan *locked, *go_on;
} parallel;

static void read_with_others(void *arg) {
  parallel *p = arg;
  CHECK_CODE(gs_rwmutex_rlock(&p->rw, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_send(p->locked, NULL, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(p->go_on, NULL, GS_FOREVER), GS_ECLOSED);
  CHECK_CODE(gs_rwmutex_runlock(&p->rw), GS_OK);
}

static void parallel_readers(void *arg) {
  (void)arg;
  parallel p = {.locked = chan_new(0, 0), .go_on = chan_new(0, 0)};
  gs_handle *h[READERS];
  for (int i = 0; i < READERS; i++) h[i] = go_named("reader", read_with_others, &p);
  for (int i = 0; i < READERS; i++) CHECK_CODE(gs_chan_recv(p.locked, NULL, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_rwmutex_try_lock(&p.rw), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_close(p.go_on), GS_OK);
  for (int i = 0; i < READERS; i++) join(h[i]);
  CHECK_CODE(gs_rwmutex_try_lock(&p.rw), GS_OK);
  CHECK_CODE(gs_chan_free(p.locked), GS_OK);
  CHECK_CODE(gs_chan_free(p.go_on), GS_OK);
}

/* ---- MutexFairness: one that holds it nearly always does not starve the other ---- */

typedef struct fair {
  gs_mutex mutex;
  atomic_int stop;
} fair;

static void hold_always(void *arg) {
  fair *f = arg;
  while (!atomic_load(&f->stop)) {
    CHECK_CODE(gs_mutex_lock(&f->mutex, GS_FOREVER), GS_OK);
    for (int64_t end = gs_now() + US(100); gs_now() < end;) gs_yield();
    CHECK_CODE(gs_mutex_unlock(&f->mutex), GS_OK);
  }
}

static void mutex_fairness(void *arg) {
  (void)arg;
  fair f = {.stop = 0};
  gs_handle *h = go_named("holds", hold_always, &f);
  for (int i = 0; i < 10; i++) {
    gs_sleep(US(100));
    CHECK_CODE(gs_mutex_lock(&f.mutex, in_ms(30000)), GS_OK);
    CHECK_CODE(gs_mutex_unlock(&f.mutex), GS_OK);
  }
  atomic_store(&f.stop, 1);
  join(h);
}

/* ---- WaitGroupRace: on the waiter's own stack, which is gone when wait returns ---- */

typedef struct group_member {
  gs_waitgroup *group;
  atomic_int *n;
} group_member;

static void add_and_done(void *arg) {
  group_member m = *(group_member *)arg;
  atomic_fetch_add(m.n, 1);
  gs_waitgroup_done(m.group);
}

static __attribute__((noinline)) void one_group(int i) {
  gs_waitgroup group = {0};
  atomic_int n = 0;
  group_member m = {&group, &n};
  CHECK_CODE(gs_waitgroup_add(&group, 2), GS_OK);
  go(add_and_done, &m);
  go(add_and_done, &m);
  int code;
  while ((code = gs_waitgroup_wait(&group, i % 4 ? GS_FOREVER : gs_now() + US(3))) == GS_ETIMEOUT)
    continue;
  CHECK_CODE(code, GS_OK);
  CHECK_INT(atomic_load(&n), 2);
  memset(&group, 0xff, sizeof group); /* a late touch of it would show */
  __asm__ volatile("" ::"r"(&group) : "memory");
}

static void waitgroup_race(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(5000) && !checks_failed(); i++) one_group(i);
}

#define RUN(name, fn, ...)                 \
  static void test_##name(void **state) {  \
    (void)state;                           \
    run_procs(0, fn, (void *)__VA_ARGS__); \
  }

RUN(HammerMutex, hammer_mutex, NULL)
RUN(HammerRWMutex, hammer_rwmutex, NULL)
RUN(HammerSemaphore, hammer_semaphore, &(int){1})
RUN(HammerSemaphore_3, hammer_semaphore, &(int){3})
RUN(bounded_buffer, bounded_buffer, NULL)
RUN(CondSignal_CondBroadcast, cond_signal_and_broadcast, NULL)
RUN(ParallelReaders, parallel_readers, NULL)
RUN(MutexFairness, mutex_fairness, NULL)
RUN(WaitGroupRace, waitgroup_race, NULL)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_HammerMutex),     cmocka_unit_test(test_HammerRWMutex),
      cmocka_unit_test(test_HammerSemaphore), cmocka_unit_test(test_HammerSemaphore_3),
      cmocka_unit_test(test_bounded_buffer),  cmocka_unit_test(test_CondSignal_CondBroadcast),
      cmocka_unit_test(test_ParallelReaders), cmocka_unit_test(test_MutexFairness),
      cmocka_unit_test(test_WaitGroupRace),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
