/* deadlock.c: the search for deadlocks, and what keeps one from being declared.
 *
 * The scenarios are those of Go's crash_test.go, of the same names.
 */
#include "support.h"

#include "gosched_domain.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static gs_chan *never;

static void run_detect(unsigned flags, body_fn body, void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  cfg.flags = flags | GS_RUN_DETECT_DEADLOCK;
  run_config(&cfg, body, arg);
}

static void quiet(int level, const char *text, void *ud) {
  (void)level;
  (void)text;
  (void)ud;
}

static void sleep_for_ever(void *arg) {
  (void)arg;
  int x;
  int r = gs_chan_recv(never, &x, GS_FOREVER);
  CHECK_CODE(r, GS_ECANCELED); /* when main has returned */
}

static void sleep_locked(void *arg) {
  gs_lock_os_thread();
  sleep_for_ever(arg);
}

static void says(const char *text) {
  static char report[1 << 16];
  size_t n = gs_deadlock_report(report, sizeof report);
  CHECK(n == strlen(report) && n > 0);
  CHECK(strstr(report, text) != NULL);
  char cut[10];
  CHECK_INT(gs_deadlock_report(cut, sizeof cut), n);
  CHECK_INT(strlen(cut), sizeof cut - 1);
}

static void receive_nothing(void) {
  int x;
  CHECK_CODE(gs_chan_recv(never, &x, GS_FOREVER), GS_EDEADLOCK);
  says("all green threads are asleep - deadlock!");
  says("\"main\": waiting [chan recv]");
}

/* ---- SimpleDeadlock, InitDeadlock: nobody but main, and main first thing ---- */

static void simple(void *arg) {
  (void)arg;
  receive_nothing();
  receive_nothing(); /* and once more */
}

static void test_simple(void **state) {
  (void)state;
  run_detect(0, simple, NULL);
  run_detect(GS_RUN_LOCK_MAIN, simple, NULL);
}

/* ---- the report: where each of them waits, and a place where many do once ---- */

static void many(void *arg) {
  (void)arg;
  for (int i = 0; i < 50; i++) go(sleep_for_ever, NULL);
  receive_nothing();
  says("\n      the program+0x");
  says("\n      where G");
}

static void test_places(void **state) {
  (void)state;
  skip_emulated("there is no process_vm_readv to look at stacks with");
  run_detect(0, many, NULL);
}

/* ---- LockedDeadlock, LockedDeadlock2: locked to their threads ---- */

static void all_locked(void *arg) {
  body_fn fn = *(body_fn *)arg;
  go(fn, NULL);
  go(fn, NULL);
  gs_lock_os_thread();
  receive_nothing();
  says("locked to M");
  gs_unlock_os_thread();
}

static void test_locked(void **state) {
  (void)state;
  body_fn fns[] = {sleep_for_ever, sleep_locked};
  for (size_t i = 0; i < COUNT(fns); i++) run_detect(0, all_locked, &fns[i]);
}

/* ---- GoexitDeadlock: here main's end ends the run, and what is left is cancelled ---- */

static void exit_main(void *arg) {
  (void)arg;
  go(sleep_for_ever, NULL);
  gs_yield();
  gs_goexit();
}

static void test_goexit(void **state) {
  (void)state;
  run_detect(0, exit_main, NULL);
}

/* ---- NetpollDeadlock: a poller that was used and is not any more hides nothing ---- */

static void used_poller(void *arg) {
  (void)arg;
  int fds[2];
  CHECK_INT(pipe(fds), 0);
  CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
  CHECK_CODE(gs_wait(fds[0], GS_READ, gs_now() + MS(5)), GS_ETIMEOUT);
  receive_nothing();
  CHECK_CODE(gs_poll_close(fds[0]), GS_OK);
  close(fds[0]);
  close(fds[1]);
}

static void test_netpoll(void **state) {
  (void)state;
  run_detect(0, used_poller, NULL);
}

/* ---- what keeps it alive ---- */

static gs_chan *later;

static void nap_ms(int ms) { block_ms(&ms); }

static int call_ms(void *arg) {
  (void)arg;
  nap_ms(50);
  return 0;
}

static void sends_after_call(void *arg) {
  int x = 1;
  CHECK_CODE(gs_cgocall(call_ms, NULL, NULL), GS_OK);
  CHECK_CODE(gs_chan_send(later, &x, GS_FOREVER), GS_OK);
  (void)arg;
}

static void sends_after_sleep(void *arg) {
  int x = 1;
  (void)arg;
  CHECK_CODE(gs_sleep(MS(50)), GS_OK);
  CHECK_CODE(gs_chan_send(later, &x, GS_FOREVER), GS_OK);
}

static void *sends_from_outside(void *arg) {
  int x = 1;
  (void)arg;
  nap_ms(50);
  CHECK_CODE(gs_chan_try_send(later, &x), GS_OK);
  return NULL;
}

static void sends_after_io(void *arg) {
  int x = 1, *fds = arg;
  CHECK_CODE(gs_wait(fds[0], GS_READ, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_send(later, &x, GS_FOREVER), GS_OK);
}

static void *writes_later(void *arg) {
  nap_ms(50);
  CHECK_INT(write(((int *)arg)[1], "x", 1), 1);
  return NULL;
}

static void alive(void *arg) {
  (void)arg;
  int x = 0, fds[2];
  pthread_t t;
  go(sends_after_call, NULL);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
  go(sends_after_sleep, NULL);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(never, &x, gs_now() + MS(50)), GS_ETIMEOUT);

  CHECK_INT(pipe(fds), 0);
  CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
  go(sends_after_io, fds);
  CHECK_INT(pthread_create(&t, NULL, writes_later, fds), 0);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
  CHECK_CODE(gs_poll_close(fds[0]), GS_OK);
  close(fds[0]);
  close(fds[1]);

  gs_expect_wakeup(1);
  CHECK_INT(pthread_create(&t, NULL, sends_from_outside, NULL), 0);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
  gs_expect_wakeup(-1);
  receive_nothing();
}

static void test_alive(void **state) {
  (void)state;
  run_detect(0, alive, NULL);
}

/* The end of what was expected is noticed although nothing runs. */
static void *gives_up(void *arg) {
  (void)arg;
  nap_ms(50);
  gs_expect_wakeup(-1);
  return NULL;
}

static void given_up(void *arg) {
  (void)arg;
  pthread_t t;
  gs_expect_wakeup(1);
  CHECK_INT(pthread_create(&t, NULL, gives_up, NULL), 0);
  receive_nothing();
  pthread_join(t, NULL);
}

static void test_given_up(void **state) {
  (void)state;
  run_detect(0, given_up, NULL);
}

/* ---- the callback ---- */

static atomic_int told;

static int deal_with_it(const char *report, void *ud) {
  int x = 5;
  CHECK(strstr(report, "deadlock") != NULL);
  atomic_fetch_add(&told, 1);
  CHECK_CODE(gs_chan_try_send(ud, &x), GS_OK);
  return 1;
}

static void with_callback(void *arg) {
  (void)arg;
  int x = 0;
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
    CHECK_INT(x, 5);
    CHECK_INT(atomic_load(&told), i + 1);
  }
}

static void test_callback(void **state) {
  (void)state;
  gs_on_deadlock(deal_with_it, later);
  run_procs(2, with_callback, NULL);
  gs_on_deadlock(NULL, NULL);
}

/* ---- the callback puts it off ---- */

static int put_off(const char *report, void *ud) {
  (void)report;
  (void)ud;
  atomic_fetch_add(&told, 1);
  return 1;
}

/* Waits until the callback has been called, finds that it is one still, and tells. */
static void *finds_out(void *arg) {
  (void)arg;
  while (atomic_load(&told) == 0) nap_ms(1);
  for (int i = 0; i < 3; i++) CHECK_INT(gs_deadlocked(0), 1);
  CHECK_INT(atomic_load(&told), 1);
  CHECK_INT(gs_deadlocked(1), 1);
  return NULL;
}

static void put_off_body(void *arg) {
  int x;
  pthread_t t;
  (void)arg;
  CHECK_INT(gs_deadlocked(1), 0); /* this one runs */
  CHECK_INT(pthread_create(&t, NULL, finds_out, NULL), 0);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_EDEADLOCK);
  pthread_join(t, NULL);
}

static void test_put_off(void **state) {
  (void)state;
  atomic_store(&told, 0);
  gs_on_deadlock(put_off, NULL);
  run_procs(2, put_off_body, NULL);
  gs_on_deadlock(NULL, NULL);
  CHECK_INT(gs_deadlocked(1), 0); /* nobody is there */
}

/* ---- off unless asked for ---- */

static void not_asked(void *arg) {
  (void)arg;
  int x;
  pthread_t t;
  CHECK_INT(pthread_create(&t, NULL, sends_from_outside, NULL), 0);
  CHECK_CODE(gs_chan_recv(later, &x, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
}

static void test_off(void **state) {
  (void)state;
  run_procs(2, not_asked, NULL);
}

/* ---- no false alarm: all Ps are idle while one is on its way ---- */

static int brief(void *arg) {
  struct timespec t = {0, 20000};
  nanosleep(&t, NULL);
  return *(int *)arg;
}

static void no_alarm(void *arg) {
  (void)arg;
  int x = 0;
  for (int i = 0; i < SCALE(3000) && !checks_failed(); i++) {
    CHECK_CODE(gs_cgocall(brief, &x, &x), GS_OK); /* without a P at times, while all are idle */
    gs_entersyscallblock();
    brief(&x);
    gs_exitsyscall();
    CHECK_CODE(gs_sleep(US(10)), GS_OK);
  }
}

static void test_no_false_alarm(void **state) {
  (void)state;
  run_detect(0, no_alarm, NULL);
}

/* The thread of the main green thread takes its time to wake up, and everybody else sleeps by then.
 */
static atomic_int told;

static void notify_and_dawdle(int sig) {
  (void)sig;
  int ms = 50;
  gs_notify();
  atomic_store(&told, 1);
  block_ms(&ms);
}

static void wake_main(void *arg) {
  CHECK_CODE(gs_sleep(MS(2)), GS_OK); /* until it waits, most probably */
  atomic_store(&told, 0);
  pthread_kill(*(pthread_t *)arg, SIGUSR1);
  while (!atomic_load(&told)) gs_yield(); /* nobody knows of a signal that is on its way */
}

static void notified(void *arg) {
  (void)arg;
  pthread_t me = pthread_self();
  struct sigaction old, sa = {.sa_handler = notify_and_dawdle};
  CHECK_INT(sigaction(SIGUSR1, &sa, &old), 0);
  for (int i = 0; i < 10 && !checks_failed(); i++) {
    int x;
    gs_handle *h = go_named("wakes main", wake_main, &me);
    CHECK_CODE(gs_chan_recv(never, &x, GS_FOREVER), GS_EINTR);
    while (gs_join(h, GS_FOREVER) == GS_EINTR) continue;
    gs_handle_release(h);
  }
  CHECK_INT(sigaction(SIGUSR1, &old, NULL), 0);
}

static void test_notified(void **state) {
  (void)state;
  run_detect(GS_RUN_LOCK_MAIN, notified, NULL);
}

/* ---- several callbacks: each domain's, and the program's ---- */

typedef struct {
  gs_domain *domain;
  atomic_int told; /* times that its callback was called */
  gs_chan *c;      /* of its green thread, which it wakes */
} Language;

static Language languages[3];
static atomic_int program_told;

static int wake_mine(const char *report, void *ud) {
  Language *l = ud;
  CHECK(strstr(report, "asleep") != NULL);
  atomic_fetch_add(&l->told, 1);
  CHECK_CODE(gs_chan_try_send(l->c, NULL), GS_OK);
  return 1;
}

static int count_it(const char *report, void *ud) {
  (void)report;
  (void)ud;
  atomic_fetch_add(&program_told, 1);
  return 0;
}

static void wait_for_mine(void *arg) {
  CHECK_CODE(gs_chan_recv(((Language *)arg)->c, NULL, GS_FOREVER), GS_OK);
}

static gs_handle *go_in(Language *l) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h = NULL;
  opts.domain = l->domain;
  CHECK_CODE(gs_go_opts(&opts, wait_for_mine, l, &h), GS_OK);
  return h;
}

/* Two of the three domains have a green thread that sleeps: they are told at once, and the third
 * is not.  main waits for both, so that it wakes when all of them were. */
static void two_of_three(void *arg) {
  (void)arg;
  gs_handle *h[2] = {go_in(&languages[0]), go_in(&languages[1])};
  join(h[0]);
  join(h[1]);
  CHECK_INT(atomic_load(&languages[0].told), 1);
  CHECK_INT(atomic_load(&languages[1].told), 1);
  CHECK_INT(atomic_load(&languages[2].told), 0);
  CHECK_INT(atomic_load(&program_told), 1);
  /* One of them has none any more; the other one is told as before. */
  CHECK_CODE(gs_domain_on_deadlock(languages[0].domain, NULL, NULL), GS_OK);
  h[0] = go_in(&languages[0]);
  h[1] = go_in(&languages[1]);
  join(h[1]);
  CHECK_INT(atomic_load(&languages[0].told), 1);
  CHECK_INT(atomic_load(&languages[1].told), 2);
  CHECK_CODE(gs_chan_try_send(languages[0].c, NULL), GS_OK);
  join(h[0]);
  /* Nobody deals with this one. */
  receive_nothing();
  CHECK(atomic_load(&program_told) > 2);
}

static void test_several(void **state) {
  static const gs_domain_ops ops = {.size = sizeof ops};
  (void)state;
  assert_int_equal(gs_domain_on_deadlock(NULL, NULL, NULL), GS_EINVAL);
  for (size_t i = 0; i < COUNT(languages); i++) {
    Language *l = &languages[i];
    assert_int_equal(gs_domain_new("language", 1, 0, &ops, NULL, &l->domain), GS_OK);
    l->c = chan_new(0, 1);
    assert_int_equal(gs_domain_on_deadlock(l->domain, wake_mine, l), GS_OK);
  }
  gs_on_deadlock(count_it, NULL);
  run_procs(2, two_of_three, NULL); /* without GS_RUN_DETECT_DEADLOCK: the callbacks ask for it */
  gs_on_deadlock(NULL, NULL);
  for (size_t i = 0; i < COUNT(languages); i++) {
    assert_int_equal(gs_domain_on_deadlock(languages[i].domain, NULL, NULL), GS_OK);
    assert_int_equal(gs_chan_free(languages[i].c), GS_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_simple),         cmocka_unit_test(test_places),
      cmocka_unit_test(test_locked),         cmocka_unit_test(test_goexit),
      cmocka_unit_test(test_netpoll),        cmocka_unit_test(test_alive),
      cmocka_unit_test(test_given_up),       cmocka_unit_test(test_callback),
      cmocka_unit_test(test_put_off),        cmocka_unit_test(test_off),
      cmocka_unit_test(test_no_false_alarm), cmocka_unit_test(test_notified),
      cmocka_unit_test(test_several),
  };
  gs_set_logger(quiet, NULL);
  if (gs_chan_new(sizeof(int), 0, &never) || gs_chan_new(sizeof(int), 1, &later)) return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
