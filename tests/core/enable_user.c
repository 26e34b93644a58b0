/* enable_user.c: gs_sched_enable_user.  While user green threads are disabled none of them moves,
 * wherever it was, and system ones do; afterwards all resume.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { PROCS = 4 };

typedef struct herd {
  atomic_int stop;
  atomic_long yields, calls, naps, sends, locked, system;
  gs_chan *c;
} herd;

static int nap(void *arg) {
  (void)arg;
  struct timespec t = {0, 50000};
  nanosleep(&t, NULL);
  return 0;
}

static void yields(void *arg) {
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_yield()) atomic_fetch_add(&h->yields, 1);
}

static void calls(void *arg) {
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_cgocall(nap, NULL, NULL)) atomic_fetch_add(&h->calls, 1);
}

static void sleeps(void *arg) {
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_sleep(MS(3))) atomic_fetch_add(&h->naps, 1);
}

/* Enters the runtime, but rarely lets others run. */
static void tries(void *arg) {
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_chan_try_recv(h->c, NULL))
    if (atomic_fetch_add(&h->sends, 1) % 50 == 0) gs_yield();
}

static void locked(void *arg) {
  herd *h = arg;
  gs_lock_os_thread();
  for (; !atomic_load(&h->stop); gs_sleep(MS(3))) atomic_fetch_add(&h->locked, 1);
  gs_unlock_os_thread();
}

static void system_one(void *arg) {
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_sleep(MS(3))) atomic_fetch_add(&h->system, 1);
}

static gs_handle *go_system(body_fn fn, void *arg) {
  gs_go_options o = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h = NULL;
  o.flags = GS_GO_SYSTEM;
  CHECK_CODE(gs_go_opts(&o, fn, arg, &h), GS_OK);
  return h;
}

static void await_more(atomic_long *count) {
  long from = atomic_load(count);
  int64_t until = gs_now() + PATIENCE;
  while (atomic_load(count) < from + 3 && gs_now() < until) gs_sleep(MS(1));
  CHECK(atomic_load(count) >= from + 3);
}

static void disable_and_look(herd *h) {
  atomic_long *user[] = {&h->yields, &h->calls, &h->naps, &h->sends, &h->locked};
  long seen[COUNT(user)];
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  /* Each ends the step that it was in; calls take a while. */
  for (int still = 0, i; still < 5;) {
    for (i = 0; i < (int)COUNT(user); i++) seen[i] = atomic_load(user[i]);
    await_more(&h->system);
    for (i = 0; i < (int)COUNT(user) && seen[i] == atomic_load(user[i]); i++) continue;
    still = i == (int)COUNT(user) ? still + 1 : 0;
    if (checks_failed()) return;
  }
  CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  for (size_t i = 0; i < COUNT(user); i++) await_more(user[i]);
}

static void *from_outside(void *arg) {
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  nap(NULL);
  CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  return arg;
}

static void body(void *arg) {
  (void)arg;
  herd h = {.c = chan_new(0, 0)};
  gs_handle *g[] = {go_named("yields", yields, &h), go_named("yields", yields, &h),
                    go_named("calls", calls, &h),   go_named("sleeps", sleeps, &h),
                    go_named("tries", tries, &h),   go_named("locked", locked, &h),
                    go_system(system_one, &h)};
  for (int i = 0; i < SCALE(20) && !checks_failed(); i++) disable_and_look(&h);
  for (int i = 0; i < SCALE(30); i++) {
    pthread_t t;
    CHECK_INT(pthread_create(&t, NULL, from_outside, NULL), 0);
    CHECK_CODE(gs_cgocall(nap, NULL, NULL), GS_OK);
    gs_entersyscall();
    pthread_join(t, NULL);
    gs_exitsyscall();
  }
  await_more(&h.yields);
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  CHECK_CODE(gs_sched_enable_user(0), GS_EBUSY);
  CHECK_CODE(gs_start_world(), GS_OK);
  atomic_store(&h.stop, 1);
  for (size_t i = 0; i < COUNT(g); i++) join(g[i]);
  CHECK_CODE(gs_chan_free(h.c), GS_OK);
}

static void test_user_and_system(void **state) {
  (void)state;
  run_procs(PROCS, body, NULL);
  run_procs(1, body, NULL);
}

/* Makes short calls and nothing else, on a P where nobody waits: sysmon has no reason to ask it for
 * that P, and it comes by no queue. */
static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void calls_alone(void *arg) {
  static gs_site site = {.name = "a short one"};
  herd *h = arg;
  for (; !atomic_load(&h->stop); gs_cgocall_site(&site, nothing, NULL, NULL))
    atomic_fetch_add(&h->calls, 1);
}

/* Main waits in undeclared code: nothing becomes runnable by it.  A tenth of a second and more, or
 * it might be the kernel that lets the other thread stand. */
static bool stands_still(atomic_long *count) {
  int still = 0;
  for (int64_t until = gs_now() + PATIENCE; still < 10 && gs_now() < until;) {
    long before = atomic_load(count);
    for (int i = 0; i < 200; i++) nap(NULL);
    still = atomic_load(count) == before ? still + 1 : 0;
  }
  return still == 10;
}

static void alone(void *arg) {
  (void)arg;
  herd h = {.stop = 0};
  gs_handle *g = go_named("calls", calls_alone, &h);
  for (int i = 0; i < 3; i++) {
    await_more(&h.calls);
    CHECK_CODE(gs_sched_enable_user(0), GS_OK);
    CHECK(stands_still(&h.calls));
    CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  }
  await_more(&h.calls);
  atomic_store(&h.stop, 1);
  join(g);
}

static void test_one_that_is_alone(void **state) {
  (void)state;
  run_procs(2, alone, NULL);
}

/* The end of a run, and the next one, find them enabled. */
static void leave_disabled(void *arg) {
  (void)arg;
  static herd h;
  go(sleeps, &h);
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  atomic_store(&h.stop, 1);
}

static void test_end_enables(void **state) {
  (void)state;
  run_procs(PROCS, leave_disabled, NULL);
  run_procs(PROCS, leave_disabled, NULL);
}

/* ---- the end of gs_run is for all ---- */

static void sleep_till_cancelled(void *arg) {
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  atomic_store((atomic_int *)arg, 1);
}

static atomic_int cancelled;

static void leave_one_behind(void *arg) {
  (void)arg;
  gs_handle_release(go_system(sleep_till_cancelled, &cancelled));
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
}

static void test_system_ones_end_too(void **state) {
  (void)state;
  run_procs(PROCS, leave_one_behind, NULL);
  assert_int_equal(atomic_load(&cancelled), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_user_and_system),
      cmocka_unit_test(test_one_that_is_alone),
      cmocka_unit_test(test_end_enables),
      cmocka_unit_test(test_system_ones_end_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
