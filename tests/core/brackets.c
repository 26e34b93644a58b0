/* brackets.c: gs_entersyscall, gs_entersyscallblock and gs_exitsyscall.
 *
 * The code between the brackets runs on the green thread's own stack and may block; others run
 * meanwhile, but this green thread comes back on the thread it left on, because its caller may
 * hold addresses of that thread's variables.  What would park is refused in between.
 */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { PROCS = 1 };

static void write_byte(void *arg) { CHECK_INT(write(((int *)arg)[1], "x", 1), 1); }

static int readable(const int *fds) {
  struct pollfd p = {fds[0], POLLIN, 0};
  return poll(&p, 1, 30000);
}

static void block_between(void (*enter)(void), int *fds) {
  char byte;
  long tid = my_tid();
  go(write_byte, fds);
  enter();
  int ready = readable(fds); /* the writer needs the only P */
  CHECK_INT(my_tid(), tid);
  gs_exitsyscall();
  CHECK_INT(my_tid(), tid);
  CHECK_INT(ready, 1);
  CHECK_INT(read(fds[0], &byte, 1), 1);
}

static void others_run(void *arg) {
  (void)arg;
  int fds[2];
  CHECK_INT(pipe(fds), 0);
  gs_metrics before = metrics();
  for (int i = 0; i < 20; i++) block_between(gs_entersyscall, fds);
  gs_metrics between = metrics();
  CHECK(between.retakes > before.retakes);
  for (int i = 0; i < 20; i++) block_between(gs_entersyscallblock, fds);
  CHECK(metrics().handoffs_entry - between.handoffs_entry >= 20);
  close(fds[0]);
  close(fds[1]);
}

static void test_others_run_meanwhile(void **state) {
  (void)state;
  run_procs(PROCS, others_run, NULL);
}

/* ---- many that block and come back, each to its own thread ---- */

static void block_often(void *arg) {
  int me = *(int *)arg, ms = 1;
  for (int i = 0; i < 20; i++) {
    long tid = my_tid();
    pthread_t thread = pthread_self();
    errno = 0;
    if ((me + i) % 2 == 0) {
      gs_entersyscall();
    } else {
      gs_entersyscallblock();
    }
    block_ms(&ms);
    errno = 2000 + me;
    gs_exitsyscall();
    CHECK_INT(errno, 2000 + me); /* the compiler may use the address it found before */
    CHECK_INT(gs_errno(), 2000 + me);
    CHECK_INT(my_tid(), tid);
    CHECK(pthread_equal(pthread_self(), thread));
    gs_yield();
  }
}

static void many_block_often(void *arg) {
  (void)arg;
  int numbers[20];
  gs_handle *h[20];
  for (int i = 0; i < 20; i++) {
    numbers[i] = i;
    h[i] = go_named("blocks often", block_often, &numbers[i]);
  }
  for (int i = 0; i < 20; i++) join(h[i]);
}

static void test_comes_back_to_its_thread(void **state) {
  (void)state;
  run_procs(PROCS, many_block_often, NULL);
}

/* ---- what is refused between them ---- */

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void sleep_for_good(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

static void refused_between(void *arg) {
  (void)arg;
  int value = 1;
  gs_chan *c = chan_new(sizeof(int), 1);
  gs_handle *never_ends = go_named("never ends", sleep_for_good, NULL);
  for (int i = 0; i < 2; i++) {
    if (i == 0) {
      gs_entersyscall();
    } else {
      gs_entersyscallblock();
    }
    CHECK_CODE(gs_sleep(MS(1)), GS_ETHROWSPLIT);
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_ETHROWSPLIT);
    CHECK_CODE(gs_join(never_ends, GS_FOREVER), GS_ETHROWSPLIT);
    CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_ETHROWSPLIT);
    gs_yield();
    CHECK_CODE(gs_chan_try_recv(c, &value), GS_EWOULDBLOCK);
    CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
    CHECK_CODE(gs_chan_try_recv(c, &value), GS_OK);
    gs_exitsyscall();
    CHECK_CODE(gs_sleep(US(1)), GS_OK);
    CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_OK);
  }
  CHECK_CODE(gs_cancel(never_ends), GS_OK);
  join(never_ends);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_refused_between(void **state) {
  (void)state;
  run_procs(PROCS, refused_between, NULL);
}

static void short_brackets(void *arg) {
  (void)arg;
  gs_metrics before = metrics();
  for (int i = 0; i < SCALE(500000); i++) {
    gs_entersyscall();
    gs_exitsyscall();
  }
  CHECK(metrics().threads_created - before.threads_created <= 8);
}

static void test_short_ones_make_no_threads(void **state) {
  (void)state;
  run_procs(PROCS, short_brackets, NULL);
}

/* ---- brackets that do not pair up in one function ---- */

static __attribute__((noinline)) void open_and_return(void) {
  gs_entersyscall();
  __asm__ volatile(""); /* no tail call */
}

static int close_in_the_caller(void *arg) {
  (void)arg;
  open_and_return();
  gs_exitsyscall();
  return 0;
}

/* But at the end of the function that opened them they may be closed. */
static __attribute__((noinline)) void open_and_close(void) {
  gs_entersyscall();
  gs_exitsyscall();
}

static void closed_at_the_end(void *arg) {
  (void)arg;
  open_and_close();
}

static void test_closed_at_the_end(void **state) {
  (void)state;
  run_procs(PROCS, closed_at_the_end, NULL);
}

static int stale_frame(void) { return gs_run(NULL, close_in_the_caller, NULL, NULL); }

static const scenario scenarios[] = {{"stale_frame", stale_frame}};

static void test_stale_frame(void **state) {
  (void)state;
  child c;
  child_run(&c, "stale_frame", NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, "gs_entersyscall is no longer valid");
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_others_run_meanwhile),
      cmocka_unit_test(test_comes_back_to_its_thread),
      cmocka_unit_test(test_refused_between),
      cmocka_unit_test(test_short_ones_make_no_threads),
      cmocka_unit_test(test_closed_at_the_end),
      cmocka_unit_test(test_stale_frame),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
