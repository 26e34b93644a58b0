/* timer.c: gs_timer, deadlines that compete with busy green threads, and a million timers.
 *
 * TimerFairness, TimerFairness2, SpuriousWakeupsNeverHangSemasleep, StopResetStress, AfterFunc and
 * Ticker are Go's (proc_test.go, crash_test.go, time's tests).
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { PROCS = 2 };

static void until(atomic_int *n, int least) {
  for (int64_t end = gs_now() + PATIENCE; atomic_load(n) < least && gs_now() < end;)
    gs_sleep(US(100));
  CHECK(atomic_load(n) >= least);
}

static void count(void *n) { atomic_fetch_add((atomic_int *)n, 1); }

/* ---- what each function does ---- */

static void test_bad_arguments(void **state) {
  (void)state;
  gs_timer *t = NULL;
  assert_int_equal(gs_timer_new(count, NULL, NULL), GS_EINVAL);
  assert_int_equal(gs_timer_new(NULL, NULL, &t), GS_EINVAL);
  assert_non_null(strstr(gs_error_detail(), "fn is NULL"));
  assert_int_equal(gs_timer_new(count, NULL, &t), GS_EPERM);
  assert_non_null(strstr(gs_error_detail(), "no gs_run"));
  assert_int_equal(gs_timer_after(1, NULL, NULL, &t), GS_EINVAL);
  assert_int_equal(gs_timer_reset(NULL, 0, 0, NULL), GS_EINVAL);
  assert_int_equal(gs_timer_stop(NULL, NULL), GS_EINVAL);
  gs_timer_free(NULL);
}

static void after_func(void *arg) {
  (void)arg;
  atomic_int n = 0;
  gs_timer *t = NULL;
  int pending = 9;
  CHECK_CODE(gs_timer_after(MS(1), count, &n, NULL), GS_OK);
  until(&n, 1);
  CHECK_CODE(gs_timer_after(-5, count, &n, &t), GS_OK);
  until(&n, 2);
  CHECK_CODE(gs_timer_stop(t, &pending), GS_OK);
  CHECK_INT(pending, 0);
  CHECK_CODE(gs_timer_reset(t, in_ms(600000), 0, &pending), GS_OK);
  CHECK_INT(pending, 0);
  CHECK_CODE(gs_timer_reset(t, in_ms(600000), 0, &pending), GS_OK);
  CHECK_INT(pending, 1);
  CHECK_CODE(gs_timer_stop(t, &pending), GS_OK);
  CHECK_INT(pending, 1);
  CHECK_CODE(gs_timer_stop(t, &pending), GS_OK);
  CHECK_INT(pending, 0);
  CHECK_CODE(gs_timer_reset(t, in_ms(1), -1, &pending), GS_EINVAL);
  CHECK_CODE(gs_timer_reset(t, gs_now() - 5, 0, NULL), GS_OK); /* at once */
  until(&n, 3);
  CHECK_CODE(gs_timer_reset(t, in_ms(600000), 0, NULL), GS_OK);
  CHECK_CODE(gs_timer_reset(t, GS_FOREVER, 0, &pending), GS_OK); /* stops it */
  CHECK_INT(pending, 1);
  gs_timer_free(t);
  CHECK_CODE(gs_timer_new(count, &n, &t), GS_OK);
  CHECK_CODE(gs_timer_reset(t, in_ms(2), 0, NULL), GS_OK);
  gs_timer_free(t); /* before its time */
  gs_sleep(MS(10));
  CHECK_INT(atomic_load(&n), 3);
}

static void ticker(void *arg) {
  (void)arg;
  atomic_int n = 0;
  gs_timer *t = NULL;
  int pending = 0;
  CHECK_CODE(gs_timer_new(count, &n, &t), GS_OK);
  CHECK_CODE(gs_timer_reset(t, gs_now(), MS(1), NULL), GS_OK);
  until(&n, 5);
  CHECK_CODE(gs_timer_stop(t, &pending), GS_OK);
  CHECK_INT(pending, 1);
  /* What has fired may still be about to run. */
  for (int64_t end = gs_now() + PATIENCE; metrics().gs_live > 1 && gs_now() < end;) gs_sleep(MS(1));
  int seen = atomic_load(&n);
  gs_sleep(MS(10));
  CHECK_INT(atomic_load(&n), seen);
  /* Times that are long past come once, not in a burst.  By six periods and a half: who looks at
   * the timer may have read the clock before it was set, so one that is due now would come next. */
  CHECK_CODE(gs_timer_reset(t, gs_now() - MS(3900000), MS(600000), NULL), GS_OK);
  until(&n, seen + 1);
  gs_sleep(MS(5));
  CHECK_INT(atomic_load(&n), seen + 1);
  gs_timer_free(t);
}

/* ---- from a thread that runs no green thread, while everything is idle ---- */

static void *set_from_outside(void *n) {
  block_ms(&(int){5});
  CHECK_CODE(gs_timer_after(MS(1), count, n, NULL), GS_OK);
  return NULL;
}

static void wait_forever(void *arg) {
  gs_waitgroup *w = arg;
  CHECK_CODE(gs_waitgroup_wait(w, GS_FOREVER), GS_OK);
}

static void done(void *w) { CHECK_CODE(gs_waitgroup_done(w), GS_OK); }

static void *set_done_from_outside(void *w) {
  block_ms(&(int){5});
  CHECK_CODE(gs_timer_after(MS(1), done, w, NULL), GS_OK);
  return NULL;
}

static void from_outside(void *arg) {
  (void)arg;
  atomic_int n = 0;
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, set_from_outside, &n), 0);
  until(&n, 1);
  pthread_join(thread, NULL);
  /* Without any other timer: nobody watches the clock when it is set. */
  gs_waitgroup w = {0};
  CHECK_CODE(gs_waitgroup_add(&w, 1), GS_OK);
  CHECK_INT(pthread_create(&thread, NULL, set_done_from_outside, &w), 0);
  wait_forever(&w);
  pthread_join(thread, NULL);
}

/* ---- a P that is busy: others run its timers ---- */

static void busy_setter(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    atomic_int n = 0;
    CHECK_CODE(gs_timer_after(US(200), count, &n, NULL), GS_OK);
    /* No gs_ call that gives way: this P stays busy, and its timer is in its own heap. */
    for (int64_t end = gs_now() + PATIENCE; !atomic_load(&n) && gs_now() < end;) continue;
    CHECK_INT(atomic_load(&n), 1);
  }
}

/* ---- TimerFairness: green threads that are always runnable do not starve a timer ---- */

typedef struct fairness {
  gs_chan *never;
  atomic_int stop;
} fairness;

static void busy_trying(void *arg) {
  fairness *f = arg;
  int value;
  while (!atomic_load(&f->stop)) gs_chan_try_recv(f->never, &value);
}

static void busy_selecting(void *arg) {
  fairness *f = arg;
  int value;
  size_t chosen;
  gs_select_case k = {GS_RECV, f->never, &value};
  while (!atomic_load(&f->stop)) CHECK_CODE(gs_select(&k, 1, gs_now() + 1, &chosen), GS_ETIMEOUT);
}

static void timer_fairness(void *arg) {
  body_fn busy = *(body_fn *)arg;
  fairness f = {chan_new(sizeof(int), 0), 0};
  gs_handle *h[2 * PROCS];
  for (int i = 0; i < 2 * PROCS; i++) h[i] = go_named("busy", busy, &f);
  atomic_int n = 0;
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_sleep(US(10)), GS_OK);
    CHECK_CODE(gs_timer_after(US(10), count, &n, NULL), GS_OK);
  }
  until(&n, 10);
  atomic_store(&f.stop, 1);
  for (int i = 0; i < 2 * PROCS; i++) join(h[i]);
  CHECK_CODE(gs_chan_free(f.never), GS_OK);
}

/* ---- SpuriousWakeupsNeverHangSemasleep: signals do not lengthen a timed wait ---- */

static void on_signal(int sig) { (void)sig; }

static atomic_int storm_over;

static void *storm(void *arg) {
  (void)arg;
  while (!atomic_load(&storm_over)) {
    kill(getpid(), SIGUSR1);
    usleep(200);
  }
  return NULL;
}

static void *timed_waits_on_thread(void *arg) {
  gs_sema *s = arg;
  for (int i = 0; i < 5; i++) CHECK_CODE(gs_sema_acquire(s, in_ms(10)), GS_ETIMEOUT);
  return NULL;
}

static void timed_waits(void *arg) {
  (void)arg;
  gs_sema s = GS_SEMA_INIT(0);
  pthread_t storming, waiting;
  signal(SIGUSR1, on_signal);
  atomic_store(&storm_over, 0);
  CHECK_INT(pthread_create(&storming, NULL, storm, NULL), 0);
  CHECK_INT(pthread_create(&waiting, NULL, timed_waits_on_thread, &s), 0);
  for (int i = 0; i < 20; i++) {
    int64_t begin = gs_now();
    CHECK_CODE(gs_sleep(MS(5)), GS_OK);
    CHECK(gs_now() - begin >= MS(5));
    CHECK(gs_now() - begin < PATIENCE);
    CHECK_CODE(gs_sema_acquire(&s, in_ms(1)), GS_ETIMEOUT);
  }
  pthread_join(waiting, NULL);
  atomic_store(&storm_over, 1);
  pthread_join(storming, NULL);
}

/* ---- StopResetStress: each time it is set it fires or is stopped, never both ---- */

typedef struct account {
  gs_timer *t;
  atomic_int fired, ended;
  atomic_int set, taken_back; /* by all */
  uint64_t seed;
} account;

static void stop_and_reset(void *arg) {
  account *a = arg;
  uint64_t seed = 7 + (uint64_t)atomic_fetch_add(&a->set, 0) + (uint64_t)(uintptr_t)&seed;
  for (int i = 0; i < SCALE(5000); i++) {
    int pending = 0;
    if (random_next(&seed) % 3 == 0) {
      CHECK_CODE(gs_timer_stop(a->t, &pending), GS_OK);
    } else {
      atomic_fetch_add(&a->set, 1);
      CHECK_CODE(
          gs_timer_reset(a->t, gs_now() + (int64_t)(random_next(&seed) % 20000), 0, &pending),
          GS_OK);
    }
    if (pending) atomic_fetch_add(&a->taken_back, 1);
    if (random_next(&seed) % 8 == 0) gs_yield();
  }
  atomic_fetch_add(&a->ended, 1);
}

static void stop_reset_stress(void *arg) {
  (void)arg;
  account a = {.t = NULL};
  gs_handle *h[4];
  CHECK_CODE(gs_timer_new(count, &a.fired, &a.t), GS_OK);
  for (int i = 0; i < 4; i++) h[i] = go_named("stops", stop_and_reset, &a);
  for (int i = 0; i < 4; i++) join(h[i]);
  int pending = 0;
  CHECK_CODE(gs_timer_stop(a.t, &pending), GS_OK);
  int expected = atomic_load(&a.set) - atomic_load(&a.taken_back) - pending;
  until(&a.fired, expected);
  gs_sleep(MS(2));
  CHECK_INT(atomic_load(&a.fired), expected);
  gs_timer_free(a.t);
}

/* ---- a million ---- */

typedef struct million {
  gs_timer **t;
  int n;
  atomic_int fired;
} million;

static void set_quarter(void *arg) {
  million *m = ((million **)arg)[0];
  int part = (int)(intptr_t)((void **)arg)[1];
  uint64_t seed = 99991 + (uint64_t)part;
  int64_t now = gs_now();
  for (int i = part; i < m->n; i += 4) {
    CHECK_CODE(gs_timer_new(count, &m->fired, &m->t[i]), GS_OK);
    int64_t when = i % 4 == 3 ? now + MS(3600000) : now + (int64_t)(random_next(&seed) % MS(300));
    CHECK_CODE(gs_timer_reset(m->t[i], when, 0, NULL), GS_OK);
    if (i % 1000 == 0) gs_yield();
  }
}

static void a_million(void *arg) {
  (void)arg;
  million m = {.n = SLOW_BUILD ? 10000 : 1000000}; /* TSan takes long to make a fibre */
  m.t = calloc((size_t)m.n, sizeof(gs_timer *));
  gs_handle *h[4];
  void *args[4][2];
  for (int i = 0; i < 4; i++) {
    args[i][0] = &m;
    args[i][1] = (void *)(intptr_t)i;
    h[i] = go_named("sets", set_quarter, args[i]);
  }
  for (int i = 0; i < 4; i++) join(h[i]);
  int stopped = 0, pending;
  for (int i = 3; i < m.n; i += 4) {
    CHECK_CODE(gs_timer_stop(m.t[i], &pending), GS_OK);
    stopped += pending;
  }
  CHECK_INT(stopped, m.n / 4);
  until(&m.fired, m.n - stopped);
  for (int i = 0; i < m.n; i++) gs_timer_free(m.t[i]);
  CHECK_INT(atomic_load(&m.fired), m.n - stopped);
  free(m.t);
}

/* ---- the end of gs_run ---- */

static void leave_some(void *arg) {
  for (int i = 0; i < 50; i++) {
    CHECK_CODE(gs_timer_after(US(10) * i, count, arg, NULL), GS_OK);
    CHECK_CODE(gs_timer_after(MS(20), count, arg, NULL), GS_OK);
  }
}

static void test_end_of_run(void **state) {
  (void)state;
  static atomic_int n;
  for (int i = 0; i < 20; i++) run_procs(PROCS, leave_some, &n);
  /* Whatever has fired has ended with its run. */
  int seen = atomic_load(&n);
  block_ms(&(int){30});
  assert_int_equal(atomic_load(&n), seen);
}

#define RUN(name, fn, ...)                     \
  static void test_##name(void **state) {      \
    (void)state;                               \
    run_procs(PROCS, fn, (void *)__VA_ARGS__); \
  }

RUN(AfterFunc, after_func, NULL)
RUN(Ticker, ticker, NULL)
RUN(from_outside, from_outside, NULL)
RUN(busy_setter, busy_setter, NULL)
RUN(TimerFairness, timer_fairness, &(body_fn){busy_trying})
RUN(TimerFairness2, timer_fairness, &(body_fn){busy_selecting})
RUN(SpuriousWakeupsNeverHangSemasleep, timed_waits, NULL)
RUN(StopResetStress, stop_reset_stress, NULL)
RUN(a_million, a_million, NULL)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_AfterFunc),
      cmocka_unit_test(test_Ticker),
      cmocka_unit_test(test_from_outside),
      cmocka_unit_test(test_busy_setter),
      cmocka_unit_test(test_TimerFairness),
      cmocka_unit_test(test_TimerFairness2),
      cmocka_unit_test(test_SpuriousWakeupsNeverHangSemasleep),
      cmocka_unit_test(test_StopResetStress),
      cmocka_unit_test(test_a_million),
      cmocka_unit_test(test_end_of_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
