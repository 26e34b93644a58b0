/* sync.c: what each operation of the mutexes, conditions, semaphores, wait groups and onces does in
 * each state of its object, on green threads and on a thread that runs none.
 *
 * One P makes it certain who waits first.
 */
#include "support.h"

#include <pthread.h>

enum { PROCS = 1, MOST = 8 };

static void settle(void) {
  for (int i = 0; i < 3; i++) gs_yield();
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
}

/* ---- waiters: an operation each, and what came of it ---- */

typedef struct all {
  gs_mutex mutex;
  gs_rwmutex rw;
  gs_cond cond;
  gs_sema sema;
  gs_waitgroup group;
  gs_once once;
  int order[MOST], came; /* who got through, in that order */
} all;

typedef struct waiter {
  all *a;
  int (*wait)(all *, int64_t deadline);
  int64_t deadline;
  int me, code;
  gs_handle *h;
} waiter;

static int lock_mutex(all *a, int64_t d) { return gs_mutex_lock(&a->mutex, d); }
static int lock_rw(all *a, int64_t d) { return gs_rwmutex_lock(&a->rw, d); }
static int rlock_rw(all *a, int64_t d) { return gs_rwmutex_rlock(&a->rw, d); }
static int acquire_sema(all *a, int64_t d) { return gs_sema_acquire(&a->sema, d); }
static int wait_group_(all *a, int64_t d) { return gs_waitgroup_wait(&a->group, d); }
static int wait_cond(all *a, int64_t d) {
  CHECK_CODE(gs_mutex_lock(&a->mutex, GS_FOREVER), GS_OK);
  int code = gs_cond_wait(&a->cond, &a->mutex, d);
  CHECK_CODE(gs_mutex_try_lock(&a->mutex), GS_EWOULDBLOCK); /* it is held in any case */
  CHECK_CODE(gs_mutex_unlock(&a->mutex), GS_OK);
  return code;
}
static void never(void *arg) {
  (void)arg;
  CHECK(0);
}
static int do_once(all *a, int64_t d) { return gs_once_do(&a->once, never, NULL, d); }

static void do_wait(void *arg) {
  waiter *w = arg;
  w->code = w->wait(w->a, w->deadline);
  if (w->code == GS_OK) w->a->order[w->a->came++] = w->me;
}

static void start(waiter *w, all *a, int me, int (*wait)(all *, int64_t), int64_t deadline) {
  *w = (waiter){a, wait, deadline, me, 1, NULL};
  w->h = go_named("waits", do_wait, w);
  settle();
}

static void check_came(all *a, const char *order) {
  CHECK_INT(a->came, strlen(order));
  for (int i = 0; i < a->came && order[i]; i++) CHECK_INT(a->order[i], order[i] - '0');
  a->came = 0;
}

/* ---- deadlines and cancellation, the same for all of them ---- */

static const struct {
  const char *name;
  int (*wait)(all *, int64_t);
} waits[] = {{"mutex", lock_mutex},  {"rwmutex write", lock_rw}, {"rwmutex read", rlock_rw},
             {"sema", acquire_sema}, {"group", wait_group_},     {"cond", wait_cond},
             {"once", do_once}};

static void run_once_until(void *arg) { CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_OK); }

typedef struct once_holder {
  all *a;
  gs_chan *until;
} once_holder;

static void hold_once(void *arg) {
  once_holder *o = arg;
  CHECK_CODE(gs_once_do(&o->a->once, run_once_until, o->until, GS_FOREVER), GS_OK);
}

static void one_gives_up(all *a, int (*wait)(all *, int64_t)) {
  waiter w[3];
  CHECK_CODE(wait(a, 0), GS_ETIMEOUT);
  CHECK_CODE(wait(a, in_ms(2)), GS_ETIMEOUT);
  start(&w[0], a, 0, wait, GS_FOREVER);
  start(&w[1], a, 1, wait, in_ms(600000));
  start(&w[2], a, 2, wait, in_ms(10));
  CHECK_CODE(gs_cancel(w[0].h), GS_OK);
  join(w[0].h);
  CHECK_CODE(w[0].code, GS_ECANCELED);
  CHECK_CODE(gs_cancel(w[1].h), GS_OK);
  join(w[1].h);
  CHECK_CODE(w[1].code, GS_ECANCELED);
  join(w[2].h);
  CHECK_CODE(w[2].code, GS_ETIMEOUT);
  check_came(a, "");
}

static void giving_up(void *arg) {
  (void)arg;
  all a = {0};
  once_holder o = {&a, chan_new(0, 0)};
  gs_handle *h = go_named("once", hold_once, &o);
  settle();
  CHECK_CODE(gs_mutex_lock(&a.mutex, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_rwmutex_lock(&a.rw, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_waitgroup_add(&a.group, 1), GS_OK);
  for (size_t i = 0; i < COUNT(waits); i++) {
    int before = checks_failed();
    if (waits[i].wait == wait_cond) CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
    one_gives_up(&a, waits[i].wait);
    if (checks_failed() != before) fprintf(stderr, "that was %s\n", waits[i].name);
  }
  /* And nobody was left behind: all of them are as if nothing had been. */
  CHECK_CODE(gs_rwmutex_unlock(&a.rw), GS_OK);
  CHECK_CODE(gs_waitgroup_done(&a.group), GS_OK);
  CHECK_CODE(gs_chan_send(o.until, NULL, GS_FOREVER), GS_OK);
  join(h);
  CHECK_CODE(gs_once_do(&a.once, never, NULL, 0), GS_OK);
  CHECK_INT(a.mutex.state | a.rw.state | a.sema.state | a.group.state, 0);
  CHECK_CODE(gs_chan_free(o.until), GS_OK);
}

static void test_deadline_and_cancel(void **state) {
  (void)state;
  run_procs(PROCS, giving_up, NULL);
}

/* What can be had at once is had also by one that is cancelled. */
static void have_anyway(void *arg) {
  all *a = arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_mutex_lock(&a->mutex, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_cond_wait(&a->cond, &a->mutex, GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_mutex_unlock(&a->mutex), GS_OK);
  CHECK_CODE(gs_rwmutex_lock(&a->rw, 0), GS_OK);
  CHECK_CODE(gs_rwmutex_rlock(&a->rw, GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_rwmutex_unlock(&a->rw), GS_OK);
  CHECK_CODE(gs_waitgroup_wait(&a->group, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_sema_acquire(&a->sema, GS_FOREVER), GS_ECANCELED);
}

static void cancelled(void *arg) {
  (void)arg;
  all a = {0};
  gs_handle *h = go_named("cancelled", have_anyway, &a);
  settle();
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
}

static void test_after_cancel(void **state) {
  (void)state;
  run_procs(PROCS, cancelled, NULL);
}

/* ---- bad use ---- */

static void check_detail(int code, int expected, const char *says) {
  CHECK_CODE(code, expected);
  if (!strstr(gs_error_detail(), says)) fprintf(stderr, "it says: %s\n", gs_error_detail());
  CHECK(strstr(gs_error_detail(), says) != NULL);
}

static void test_bad_use(void **state) {
  (void)state;
  all a = {0};
  check_detail(gs_mutex_lock(NULL, 0), GS_EINVAL, "gs_mutex_lock: the mutex is NULL");
  check_detail(gs_mutex_try_lock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_mutex_unlock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_mutex_unlock(&a.mutex), GS_EPERM, "not locked");
  check_detail(gs_rwmutex_lock(NULL, 0), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_rlock(NULL, 0), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_try_lock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_try_rlock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_unlock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_runlock(NULL), GS_EINVAL, "NULL");
  check_detail(gs_rwmutex_unlock(&a.rw), GS_EPERM, "not held by a writer");
  check_detail(gs_rwmutex_runlock(&a.rw), GS_EPERM, "not held by a reader");
  assert_int_equal(gs_rwmutex_rlock(&a.rw, 0), GS_OK);
  check_detail(gs_rwmutex_unlock(&a.rw), GS_EPERM, "not held by a writer");
  assert_int_equal(gs_rwmutex_runlock(&a.rw), GS_OK);
  assert_int_equal(gs_rwmutex_lock(&a.rw, 0), GS_OK);
  check_detail(gs_rwmutex_runlock(&a.rw), GS_EPERM, "not held by a reader");
  check_detail(gs_cond_wait(&a.cond, &a.mutex, 0), GS_EPERM, "not locked");
  check_detail(gs_cond_wait(NULL, &a.mutex, 0), GS_EINVAL, "the condition is NULL");
  check_detail(gs_cond_wait(&a.cond, NULL, 0), GS_EINVAL, "the mutex is NULL");
  check_detail(gs_cond_signal(NULL), GS_EINVAL, "NULL");
  check_detail(gs_cond_broadcast(NULL), GS_EINVAL, "NULL");
  check_detail(gs_sema_init(NULL, 1), GS_EINVAL, "NULL");
  check_detail(gs_sema_init(&a.sema, GS_SEMA_MAX + 1), GS_EINVAL, "1073741825");
  check_detail(gs_sema_acquire(NULL, 0), GS_EINVAL, "NULL");
  check_detail(gs_sema_try_acquire(NULL), GS_EINVAL, "NULL");
  check_detail(gs_sema_release(NULL, 1), GS_EINVAL, "NULL");
  check_detail(gs_sema_release(&a.sema, 0), GS_EINVAL, "n is 0");
  assert_int_equal(gs_sema_release(&a.sema, GS_SEMA_MAX - 1), GS_OK);
  check_detail(gs_sema_release(&a.sema, 2), GS_EINVAL, "with the 1073741823 there are");
  assert_int_equal(gs_sema_release(&a.sema, 1), GS_OK);
  check_detail(gs_waitgroup_add(NULL, 1), GS_EINVAL, "NULL");
  check_detail(gs_waitgroup_wait(NULL, 0), GS_EINVAL, "NULL");
  check_detail(gs_waitgroup_done(&a.group), GS_EINVAL, "-1 more than 0");
  assert_int_equal(gs_waitgroup_add(&a.group, INT32_MAX), GS_OK);
  check_detail(gs_waitgroup_add(&a.group, 1), GS_EINVAL, "1 more than 2147483647");
  assert_int_equal(gs_waitgroup_wait(&a.group, 0), GS_ETIMEOUT);
  assert_int_equal(gs_waitgroup_add(&a.group, -INT32_MAX), GS_OK);
  assert_int_equal(gs_waitgroup_wait(&a.group, 0), GS_OK);
  check_detail(gs_once_do(NULL, never, NULL, 0), GS_EINVAL, "once is NULL");
  check_detail(gs_once_do(&a.once, NULL, NULL, 0), GS_EINVAL, "fn is NULL");
  assert_int_equal(checks_failed(), 0);
}

/* ---- in order ---- */

static void mutex_in_order(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[4];
  CHECK_CODE(gs_mutex_lock(&a.mutex, 0), GS_OK);
  CHECK_CODE(gs_mutex_try_lock(&a.mutex), GS_EWOULDBLOCK);
  for (int i = 0; i < 4; i++) start(&w[i], &a, i, lock_mutex, GS_FOREVER);
  CHECK_CODE(gs_cancel(w[1].h), GS_OK);
  join(w[1].h);
  check_came(&a, "");
  for (int i = 0; i < 4; i++) {
    CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
    settle();
    CHECK_INT(a.came, i < 3 ? i + 1 : 3);
  }
  check_came(&a, "023");
  CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_EPERM);
  join(w[0].h), join(w[2].h), join(w[3].h);
  CHECK_INT(a.mutex.state, 0);
}

/* A woken waiter that finds the mutex taken again may give up; the next is not forgotten. */
static void woken_in_vain(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[2];
  CHECK_CODE(gs_mutex_lock(&a.mutex, 0), GS_OK);
  start(&w[0], &a, 0, lock_mutex, GS_FOREVER);
  start(&w[1], &a, 1, lock_mutex, GS_FOREVER);
  a.mutex.state &= ~8u; /* not starving */
  CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
  int barged = gs_mutex_try_lock(&a.mutex) == GS_OK; /* 0 has not run yet, with one P */
  CHECK_CODE(gs_cancel(w[0].h), GS_OK);
  settle();
  if (barged) {
    join(w[0].h);
    CHECK_CODE(w[0].code, GS_ECANCELED);
    CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
    join(w[1].h);
    CHECK_CODE(w[1].code, GS_OK);
  } else {
    join(w[0].h);
    CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
    join(w[1].h);
  }
  CHECK_CODE(gs_mutex_unlock(&a.mutex), GS_OK);
  CHECK_INT(a.mutex.state, 0);
}

static void sema_in_order(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[5];
  CHECK_CODE(gs_sema_init(&a.sema, 2), GS_OK);
  CHECK_CODE(gs_sema_acquire(&a.sema, 0), GS_OK);
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_OK);
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_EWOULDBLOCK);
  for (int i = 0; i < 5; i++) start(&w[i], &a, i, acquire_sema, GS_FOREVER);
  CHECK_CODE(gs_cancel(w[2].h), GS_OK);
  CHECK_CODE(gs_sema_release(&a.sema, 1), GS_OK);
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_EWOULDBLOCK); /* it is 0's already */
  settle();
  check_came(&a, "0");
  CHECK_CODE(gs_sema_release(&a.sema, 5), GS_OK);
  settle();
  CHECK_INT(a.came, 3);
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_OK); /* two were left over */
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_OK);
  CHECK_CODE(gs_sema_try_acquire(&a.sema), GS_EWOULDBLOCK);
  for (int i = 0; i < 5; i++) join(w[i].h);
  CHECK_INT(a.sema.state, 0);
}

static void cond_in_order(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[6];
  CHECK_CODE(gs_cond_signal(&a.cond), GS_OK); /* to nobody */
  for (int i = 0; i < 6; i++) start(&w[i], &a, i, wait_cond, GS_FOREVER);
  CHECK_CODE(gs_cancel(w[1].h), GS_OK);
  CHECK_CODE(gs_cond_signal(&a.cond), GS_OK);
  settle();
  check_came(&a, "0");
  CHECK_CODE(gs_cond_signal(&a.cond), GS_OK); /* 1 is out of it */
  settle();
  check_came(&a, "2");
  CHECK_CODE(gs_cond_broadcast(&a.cond), GS_OK);
  settle();
  CHECK_INT(a.came, 3); /* all at once: the scheduler says in which order they run */
  for (int i = 0; i < 6; i++) join(w[i].h);
}

static void rw_in_order(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[7];
  CHECK_CODE(gs_rwmutex_rlock(&a.rw, 0), GS_OK);
  CHECK_CODE(gs_rwmutex_try_rlock(&a.rw), GS_OK);
  CHECK_CODE(gs_rwmutex_try_lock(&a.rw), GS_EWOULDBLOCK);
  start(&w[0], &a, 0, lock_rw, GS_FOREVER);
  CHECK_CODE(gs_rwmutex_try_rlock(&a.rw), GS_EWOULDBLOCK); /* a writer waits */
  start(&w[1], &a, 1, rlock_rw, GS_FOREVER);
  start(&w[2], &a, 2, lock_rw, GS_FOREVER);
  start(&w[3], &a, 3, rlock_rw, GS_FOREVER);
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  settle();
  check_came(&a, "");
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  settle();
  check_came(&a, "0");
  CHECK_CODE(gs_rwmutex_unlock(&a.rw), GS_OK); /* now all readers that wait */
  settle();
  CHECK_INT(a.came, 2);
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  settle();
  CHECK_INT(a.came, 3);
  CHECK_INT(a.order[2], 2);
  start(&w[4], &a, 4, lock_rw, GS_FOREVER);
  CHECK_CODE(gs_rwmutex_unlock(&a.rw), GS_OK);
  settle();
  CHECK_INT(a.came, 4);
  CHECK_CODE(gs_rwmutex_unlock(&a.rw), GS_OK);
  /* Readers that only a writer keeps out come in when it gives up. */
  CHECK_CODE(gs_rwmutex_rlock(&a.rw, 0), GS_OK);
  start(&w[5], &a, 5, lock_rw, GS_FOREVER);
  start(&w[6], &a, 6, rlock_rw, GS_FOREVER);
  CHECK_INT(a.came, 4);
  CHECK_CODE(gs_cancel(w[5].h), GS_OK);
  settle();
  CHECK_INT(a.came, 5);
  for (int i = 0; i < 7; i++) join(w[i].h);
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  CHECK_CODE(gs_rwmutex_runlock(&a.rw), GS_OK);
  CHECK_INT(a.rw.state, 0);
}

static void group_rounds(void *arg) {
  (void)arg;
  all a = {0};
  waiter w[3];
  CHECK_CODE(gs_waitgroup_wait(&a.group, 0), GS_OK);
  for (int round = 0; round < 3; round++) {
    CHECK_CODE(gs_waitgroup_add(&a.group, 2), GS_OK);
    for (int i = 0; i < 3; i++) start(&w[i], &a, i, wait_group_, GS_FOREVER);
    CHECK_CODE(gs_cancel(w[2].h), GS_OK);
    CHECK_CODE(gs_waitgroup_done(&a.group), GS_OK);
    settle();
    check_came(&a, "");
    CHECK_CODE(gs_waitgroup_done(&a.group), GS_OK);
    CHECK_CODE(gs_waitgroup_add(&a.group, 1), GS_OK); /* the next round does not hold them up */
    settle();
    CHECK_INT(a.came, 2);
    a.came = 0;
    for (int i = 0; i < 3; i++) join(w[i].h);
    CHECK_CODE(gs_waitgroup_done(&a.group), GS_OK);
  }
  CHECK_INT(a.group.state, 0);
}

static void count_up(void *arg) { ++*(int *)arg; }

static void again_inside(void *arg) {
  all *a = arg;
  check_detail(gs_once_do(&a->once, never, NULL, GS_FOREVER), GS_EPERM, "fn has called");
  settle(); /* others come to wait */
  a->came++;
}

static void do_once_again(void *arg) {
  all *a = arg;
  CHECK_CODE(gs_once_do(&a->once, never, NULL, GS_FOREVER), GS_OK);
  CHECK_INT(a->came, 1); /* it has ended */
}

static void once(void *arg) {
  (void)arg;
  int n = 0;
  gs_once first = {0};
  CHECK_CODE(gs_once_do(&first, count_up, &n, 0), GS_OK);
  CHECK_CODE(gs_once_do(&first, count_up, &n, 0), GS_OK);
  CHECK_INT(n, 1);
  all a = {0};
  gs_handle *h[3];
  for (int i = 0; i < 3; i++) h[i] = go_named("again", do_once_again, &a);
  CHECK_CODE(gs_once_do(&a.once, again_inside, &a, 0), GS_OK);
  for (int i = 0; i < 3; i++) join(h[i]);
}

#define RUN(fn)                         \
  static void test_##fn(void **state) { \
    (void)state;                        \
    run_procs(PROCS, fn, NULL);         \
  }

RUN(mutex_in_order)
RUN(woken_in_vain)
RUN(sema_in_order)
RUN(cond_in_order)
RUN(rw_in_order)
RUN(group_rounds)
RUN(once)

/* ---- on a thread that runs no green thread, alone and against green threads ---- */

static void test_on_plain_thread(void **state) {
  (void)state;
  all a = {0};
  int n = 0;
  assert_int_equal(gs_mutex_lock(&a.mutex, GS_FOREVER), GS_OK);
  assert_int_equal(gs_mutex_lock(&a.mutex, in_ms(2)), GS_ETIMEOUT);
  assert_int_equal(gs_cond_wait(&a.cond, &a.mutex, in_ms(2)), GS_ETIMEOUT);
  assert_int_equal(gs_mutex_unlock(&a.mutex), GS_OK);
  assert_int_equal(a.mutex.state, 0);
  assert_int_equal(gs_rwmutex_rlock(&a.rw, 0), GS_OK);
  assert_int_equal(gs_rwmutex_lock(&a.rw, in_ms(2)), GS_ETIMEOUT);
  assert_int_equal(gs_rwmutex_runlock(&a.rw), GS_OK);
  assert_int_equal(gs_sema_acquire(&a.sema, in_ms(2)), GS_ETIMEOUT);
  assert_int_equal(gs_sema_release(&a.sema, 1), GS_OK);
  assert_int_equal(gs_sema_acquire(&a.sema, GS_FOREVER), GS_OK);
  assert_int_equal(gs_waitgroup_add(&a.group, 1), GS_OK);
  assert_int_equal(gs_waitgroup_wait(&a.group, in_ms(2)), GS_ETIMEOUT);
  assert_int_equal(gs_waitgroup_done(&a.group), GS_OK);
  assert_int_equal(gs_waitgroup_wait(&a.group, GS_FOREVER), GS_OK);
  assert_int_equal(gs_once_do(&a.once, count_up, &n, 0), GS_OK);
  assert_int_equal(n, 1);
}

typedef struct both {
  gs_mutex mutex;
  gs_cond turned;
  gs_rwmutex rw;
  gs_sema ping, pong;
  gs_waitgroup all;
  int rounds, turn, total;
} both;

/* Two sides take turns under the mutex. */
static void turns(both *b, int me) {
  for (int i = 0; i < b->rounds; i++) {
    CHECK_CODE(gs_mutex_lock(&b->mutex, in_ms(30000)), GS_OK);
    while (b->turn != me) CHECK_CODE(gs_cond_wait(&b->turned, &b->mutex, in_ms(30000)), GS_OK);
    b->turn = !me;
    CHECK_CODE(gs_cond_signal(&b->turned), GS_OK);
    CHECK_CODE(gs_mutex_unlock(&b->mutex), GS_OK);
    CHECK_CODE(gs_sema_release(me ? &b->ping : &b->pong, 1), GS_OK);
    CHECK_CODE(gs_sema_acquire(me ? &b->pong : &b->ping, in_ms(30000)), GS_OK);
    CHECK_CODE(gs_rwmutex_lock(&b->rw, in_ms(30000)), GS_OK);
    b->total++;
    CHECK_CODE(gs_rwmutex_unlock(&b->rw), GS_OK);
    CHECK_CODE(gs_rwmutex_rlock(&b->rw, in_ms(30000)), GS_OK);
    CHECK_CODE(gs_rwmutex_runlock(&b->rw), GS_OK);
  }
  CHECK_CODE(gs_waitgroup_done(&b->all), GS_OK);
}

static void *thread_side(void *b) {
  turns(b, 0);
  CHECK_CODE(gs_waitgroup_wait(&((both *)b)->all, in_ms(30000)), GS_OK);
  return NULL;
}

static void green_side(void *arg) {
  both *b = arg;
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, thread_side, b), 0);
  turns(b, 1);
  CHECK_CODE(gs_waitgroup_wait(&b->all, in_ms(30000)), GS_OK);
  pthread_join(thread, NULL);
  CHECK_INT(b->total, 2 * b->rounds);
}

static void test_threads_and_green_threads(void **state) {
  (void)state;
  both b = {.rounds = SCALE(2000)};
  assert_int_equal(gs_waitgroup_add(&b.all, 2), GS_OK);
  run_procs(PROCS, green_side, &b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_use),
      cmocka_unit_test(test_on_plain_thread),
      cmocka_unit_test(test_deadline_and_cancel),
      cmocka_unit_test(test_after_cancel),
      cmocka_unit_test(test_mutex_in_order),
      cmocka_unit_test(test_woken_in_vain),
      cmocka_unit_test(test_sema_in_order),
      cmocka_unit_test(test_cond_in_order),
      cmocka_unit_test(test_rw_in_order),
      cmocka_unit_test(test_group_rounds),
      cmocka_unit_test(test_once),
      cmocka_unit_test(test_threads_and_green_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
