/* freeze.c: a fatal error freezes everybody before it is reported: no thread goes from C back into
 * a green thread while the report is written, nor afterwards, while the host's SIGABRT handler
 * runs.
 */
#include "support.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PROCS = 8 };

static atomic_long returns[PROCS]; /* from C into the green thread */
static atomic_int calling;

static void nap_us(long us) {
  struct timespec t = {0, us * 1000};
  nanosleep(&t, NULL);
}

static int short_call(void *arg) {
  nap_us(*(int *)arg);
  return 0;
}

static void call_for_ever(void *arg) {
  atomic_long *count = arg;
  int us = (int)(count - returns) * 20;
  atomic_fetch_add(&calling, 1);
  for (;;) {
    gs_cgocall(short_call, &us, NULL);
    atomic_fetch_add(count, 1);
  }
}

static void say(const char *text) {
  ssize_t r = write(1, text, strlen(text));
  (void)r;
}

static void on_abort(int sig) {
  (void)sig;
  long before[PROCS];
  for (int i = 0; i < PROCS; i++) before[i] = atomic_load(&returns[i]);
  nap_us(200000);
  int moved = 0;
  for (int i = 0; i < PROCS; i++) moved |= before[i] != atomic_load(&returns[i]);
  say(moved ? "somebody came back\n" : "nobody came back\n");
  signal(SIGABRT, SIG_DFL);
}

/* The frame of the bracket is gone: a broken invariant. */
static __attribute__((noinline)) void open_bracket(void) {
  volatile char room[256] = {0};
  gs_entersyscall();
  CHECK(room[100] == 0); /* not a tail call */
}

static int abort_body(void *arg) {
  (void)arg;
  for (int i = 0; i < PROCS; i++) gs_go(call_for_ever, &returns[i]);
  while (atomic_load(&calling) < PROCS) gs_sleep(US(100));
  gs_sleep(MS(20));
  open_bracket();
  gs_exitsyscall();
  return 0;
}

static int scenario_abort(void) {
  signal(SIGABRT, on_abort);
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  return gs_run(&cfg, abort_body, NULL, NULL);
}

/* The world is stopped when it happens, by the one that it happens to. */
static int stopped_body(void *arg) {
  (void)arg;
  for (int i = 0; i < PROCS; i++) gs_go(call_for_ever, &returns[i]);
  while (atomic_load(&calling) < PROCS) gs_sleep(US(100));
  gs_stop_world("test");
  return 0; /* a green thread that ends like this is a broken invariant */
}

static int scenario_stopped(void) {
  signal(SIGABRT, on_abort);
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  return gs_run(&cfg, stopped_body, NULL, NULL);
}

static void check_child(const char *name, const char *why) {
  static child c;
  child_run(&c, name, NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, why);
  assert_child_says(&c, "nobody came back");
}

static void test_abort(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) check_child("abort", "no longer valid");
}

static void test_stopped(void **state) {
  (void)state;
  check_child("stopped", "with the world stopped");
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {{"abort", scenario_abort}, {"stopped", scenario_stopped}};
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_abort),
      cmocka_unit_test(test_stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
