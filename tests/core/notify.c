/* notify.c: signals and the main green thread.
 *
 * While the main green thread, locked to the caller's thread, is parked, a signal or gs_notify
 * ends what it is parked in with GS_EINTR, so that an interpreter can run its handlers.  Nobody
 * else sees GS_EINTR.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "gosched_domain.h"

enum { PROCS = 2 };

static void run_locked(body_fn body, void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.flags = GS_RUN_LOCK_MAIN;
  run_config(&cfg, body, arg);
}

/* ---- gs_notify from a thread ---- */

typedef struct nagger {
  pthread_t thread;
  atomic_int stop;
} nagger;

/* Calls again and again: a notification that comes while nothing is parked waits for the next park.
 */
static void *nag(void *arg) {
  nagger *n = arg;
  int ms = 3;
  while (!atomic_load(&n->stop)) {
    gs_notify();
    block_ms(&ms);
  }
  return NULL;
}

static void nagger_start(nagger *n) {
  atomic_init(&n->stop, 0);
  CHECK_INT(pthread_create(&n->thread, NULL, nag, n), 0);
}

static void nagger_stop(nagger *n) {
  atomic_store(&n->stop, 1);
  pthread_join(n->thread, NULL);
}

static void sleep_for_good(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

/* Everything that parks; each could last for minutes. */
static void park_in_everything(void) {
  int value = 1;
  gs_chan *c = chan_new(sizeof(int), 0);
  gs_handle *never_ends = go_named("never ends", sleep_for_good, NULL);
  int64_t begin = gs_now();
  for (int i = 0; i < 5; i++) {
    CHECK_CODE(gs_sleep(MS(600000)), GS_EINTR);
    CHECK_CODE(gs_sleep(GS_FOREVER), GS_EINTR);
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_EINTR);
    CHECK_CODE(gs_chan_recv(c, &value, in_ms(600000)), GS_EINTR);
    CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_EINTR);
    CHECK_CODE(gs_join(never_ends, GS_FOREVER), GS_EINTR);
  }
  CHECK(gs_now() - begin < MS(60000));
  CHECK_CODE(gs_chan_try_recv(c, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  CHECK_INT(gs_cancelled(), 0);
  CHECK_CODE(gs_cancel(never_ends), GS_OK);
  while (gs_join(never_ends, GS_FOREVER) == GS_EINTR) continue;
  gs_handle_release(never_ends);
}

static void nagged(void *arg) {
  (void)arg;
  nagger n;
  nagger_start(&n);
  park_in_everything();
  nagger_stop(&n);
  /* The last notification may have come while nothing was parked: then it is for the next park. */
  int code = gs_sleep(MS(1));
  CHECK(code == GS_OK || code == GS_EINTR);
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
}

/* Somebody else wakes it when it is told: then it is told in what it parks in next. */
static void send_and_notify(void *arg) {
  int x = 1;
  CHECK_CODE(gs_chan_send(arg, &x, GS_FOREVER), GS_OK);
  gs_notify();
}

static void told_next(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 0);
  for (int i = 0; i < SCALE(300) && !checks_failed(); i++) {
    int x = 0;
    gs_handle *h = go_named("sends and notifies", send_and_notify, c);
    int code = gs_chan_recv(c, &x, GS_FOREVER);
    if (code == GS_OK) code = gs_sleep(MS(60000));
    CHECK_CODE(code, GS_EINTR);
    while (x == 0 && gs_chan_recv(c, &x, GS_FOREVER) == GS_EINTR) continue;
    while (gs_join(h, GS_FOREVER) == GS_EINTR) continue;
    gs_handle_release(h);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_told_next(void **state) {
  (void)state;
  run_locked(told_next, NULL);
}

static void test_notify(void **state) {
  (void)state;
  run_locked(nagged, NULL);
}

/* ---- signals ---- */

static atomic_int alarms;

static void count_alarm(int sig) {
  (void)sig;
  atomic_fetch_add(&alarms, 1);
}

static void count_and_notify(int sig) {
  (void)sig;
  atomic_fetch_add(&alarms, 1);
  gs_notify();
}

static void set_alarms(void (*handler)(int), int flags, int every_ms) {
  struct sigaction action = {.sa_flags = flags};
  action.sa_handler = handler;
  CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
  struct itimerval timer = {{0, every_ms * 1000}, {0, every_ms * 1000}};
  CHECK_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void stop_alarms(void) {
  struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  signal(SIGALRM, SIG_IGN);
}

static void signalled(void *arg) {
  (void)arg;
  atomic_store(&alarms, 0);
  set_alarms(count_alarm, 0, 20);
  park_in_everything();
  stop_alarms();
  CHECK(atomic_load(&alarms) > 0);
}

static void test_signal(void **state) {
  (void)state;
  run_locked(signalled, NULL);
}

static void signalled_and_notified(void *arg) {
  (void)arg;
  atomic_store(&alarms, 0);
  set_alarms(count_and_notify, SA_RESTART, 20);
  park_in_everything();
  stop_alarms();
  CHECK(atomic_load(&alarms) > 0);
}

static void test_notify_in_a_handler(void **state) {
  (void)state;
  run_locked(signalled_and_notified, NULL);
}

/* ---- nobody else is disturbed ---- */

static void sleep_undisturbed(void *arg) {
  for (int i = 0; i < 20; i++) {
    int64_t begin = gs_now();
    CHECK_CODE(gs_sleep(MS(10)), GS_OK);
    CHECK(gs_now() - begin >= MS(10));
  }
  atomic_fetch_add((atomic_int *)arg, 1);
}

static void others_sleep(void *arg) {
  (void)arg;
  atomic_int slept = 0;
  nagger n;
  gs_handle *h[3];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("sleeper", sleep_undisturbed, &slept);
  nagger_start(&n);
  set_alarms(count_alarm, 0, 7);
  for (size_t i = 0; i < COUNT(h); i++) {
    while (gs_join(h[i], GS_FOREVER) == GS_EINTR) continue;
    gs_handle_release(h[i]);
  }
  stop_alarms();
  nagger_stop(&n);
  CHECK_INT(atomic_load(&slept), 3);
}

static void test_others_are_not_disturbed(void **state) {
  (void)state;
  run_locked(others_sleep, NULL);
}

/* Without GS_RUN_LOCK_MAIN there is nobody whom a notification concerns. */
static void main_sleeps_unlocked(void *arg) {
  (void)arg;
  nagger n;
  nagger_start(&n);
  for (int i = 0; i < 10; i++) CHECK_CODE(gs_sleep(MS(10)), GS_OK);
  nagger_stop(&n);
}

static void test_unlocked_main_is_not_notified(void **state) {
  (void)state;
  gs_notify(); /* nothing runs: no effect */
  run_procs(PROCS, main_sleeps_unlocked, NULL);
  gs_notify();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_notify),
      cmocka_unit_test(test_told_next),
      cmocka_unit_test(test_signal),
      cmocka_unit_test(test_notify_in_a_handler),
      cmocka_unit_test(test_others_are_not_disturbed),
      cmocka_unit_test(test_unlocked_main_is_not_notified),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
