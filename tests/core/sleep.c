/* sleep.c: timers.
 *
 * A sleep never ends early, costs no thread, and waits for no longer one.  How much later than
 * asked it ends, and so which of two ends first, is the machine's load's business.
 */
#include "support.h"

#include <pthread.h>

enum { PROCS = 2 };

static void sleep_some(void *arg) {
  (void)arg;
  static const int64_t durations[] = {1, US(1), US(50), MS(1), MS(3), MS(20)};
  for (size_t i = 0; i < COUNT(durations); i++) {
    int64_t before = gs_now();
    CHECK_CODE(gs_sleep(durations[i]), GS_OK);
    CHECK(gs_now() - before >= durations[i]);
  }
  for (int i = 0; i < 100; i++) {
    CHECK_CODE(gs_sleep(0), GS_OK);
    CHECK_CODE(gs_sleep(-1), GS_OK);
    CHECK_CODE(gs_sleep(INT64_MIN), GS_OK);
  }
}

static void test_never_early(void **state) {
  (void)state;
  run_procs(PROCS, sleep_some, NULL);
}

typedef struct sleeper {
  int64_t wake_at, woke_at;
  wait_group *wg;
} sleeper;

static void sleep_until(void *arg) {
  sleeper *s = arg;
  CHECK_CODE(gs_sleep(s->wake_at - gs_now()), GS_OK);
  s->woke_at = gs_now();
  wg_done(s->wg);
}

enum { SLEEPERS = 1000 };

static void sleep_side_by_side(void *arg) {
  (void)arg;
  static sleeper s[SLEEPERS];
  int count = SCALE(SLEEPERS);
  uint64_t threads = metrics().threads_created, seed = 88172645463325252u;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < count; i++) {
    s[i].wake_at = in_ms(1) + (int64_t)(random_next(&seed) % (uint64_t)MS(50));
    s[i].wg = &wg;
    go(sleep_until, &s[i]);
  }
  wg_wait(&wg, (size_t)count);
  for (int i = 0; i < count; i++) CHECK(s[i].woke_at >= s[i].wake_at);
  CHECK(metrics().threads_created - threads <= 8);
}

static void test_many_sleep_at_once(void **state) {
  (void)state;
  run_procs(PROCS, sleep_side_by_side, NULL);
}

/* A short sleep that begins while everybody waits for a long one must not wait for that. */
static void sleep_long(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(MS(600000)), GS_ECANCELED);
}

static void short_after_long(void *arg) {
  (void)arg;
  int64_t before = gs_now();
  gs_handle *h = go_named("long", sleep_long, NULL);
  for (int i = 0; i < 20; i++) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK(gs_now() - before < MS(300000));
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
}

static void test_short_after_long(void **state) {
  (void)state;
  run_procs(PROCS, short_after_long, NULL);
}

/* Whoever is due comes before those that merely wait for their turn: behind a queue of a thousand a
 * clock would be useless. */
#define CROWD 1000
static atomic_int finished;

static void compute_1_ms(void *arg) {
  (void)arg;
  for (int64_t end = gs_now() + MS(1); gs_now() < end;) {
  }
  atomic_fetch_add(&finished, 1);
}

static void note_the_crowd(void *arg) {
  CHECK_CODE(gs_sleep(MS(5)), GS_OK);
  atomic_store((atomic_int *)arg, atomic_load(&finished));
}

static void due_before_the_crowd(void *arg) {
  (void)arg;
  static atomic_int seen;
  atomic_store(&finished, 0);
  atomic_store(&seen, CROWD);
  gs_handle *h = go_named("clock", note_the_crowd, &seen);
  gs_yield();
  for (int i = 0; i < CROWD; i++) go(compute_1_ms, NULL);
  join(h);
  CHECK(atomic_load(&seen) < CROWD / 2);
}

static void test_due_before_the_crowd(void **state) {
  (void)state;
  run_procs(PROCS, due_before_the_crowd, NULL);
}

/* … but those come too, however many are due all the time. */
typedef struct always_due {
  atomic_int over, ran;
} always_due;

static void compute_and_yield(void *arg) {
  always_due *d = arg;
  while (!atomic_load(&d->over)) {
    for (int64_t end = gs_now() + MS(3); gs_now() < end;) {
    }
    gs_yield();
  }
}

static void tick(void *arg) {
  always_due *d = arg;
  while (!atomic_load(&d->over)) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
}

static void run_once(void *arg) { atomic_store(&((always_due *)arg)->ran, 1); }

static void *start_one(void *arg) {
  CHECK_CODE(gs_go(run_once, arg), GS_OK);
  return NULL;
}

static void the_rest_is_not_starved(void *arg) {
  (void)arg;
  static always_due d;
  gs_handle *hs[42];
  pthread_t thread;
  for (size_t i = 0; i < COUNT(hs); i++)
    hs[i] = go_named("due", i < 2 ? compute_and_yield : tick, &d);
  CHECK_CODE(gs_sleep(MS(20)), GS_OK);
  CHECK_INT(pthread_create(&thread, NULL, start_one, &d), 0);
  int64_t end = gs_now() + MS(10000);
  while (!atomic_load(&d.ran) && gs_now() < end) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK_INT(atomic_load(&d.ran), 1);
  atomic_store(&d.over, 1);
  for (size_t i = 0; i < COUNT(hs); i++) join(hs[i]);
  pthread_join(thread, NULL);
}

static void test_the_rest_is_not_starved(void **state) {
  (void)state;
  run_procs(1, the_rest_is_not_starved, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_never_early),
      cmocka_unit_test(test_many_sleep_at_once),
      cmocka_unit_test(test_short_after_long),
      cmocka_unit_test(test_due_before_the_crowd),
      cmocka_unit_test(test_the_rest_is_not_starved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
