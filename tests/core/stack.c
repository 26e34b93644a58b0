/* stack.c: what happens at the end of a stack, and that faults which are none of the runtime's
 * business go where they always went.
 *
 * Every crash happens in a child.  An overflow is reported with the green thread's id and name
 * and the size of its stack, and ends by SIGABRT.  Any other SIGSEGV reaches the handler that the
 * host had installed, or has its default effect.
 */
#include "gosched_domain.h"
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* ---- overflow ---- */

static __attribute__((noinline)) int recurse(int depth) {
  volatile char frame[256];
  frame[depth % 256] = (char)depth;
  if (depth == INT_MAX) return 0;
  return recurse(depth + 1) + frame[depth % 256];
}

static void dig(void *arg) {
  printf("digger is G%llu\n", (unsigned long long)gs_self());
  fflush(stdout);
  *(int *)arg = recurse(0);
}

static int start_digger(void *arg) {
  size_t size = *(size_t *)arg;
  int depth = 0;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "digger";
  opts.stack_size = size;
  gs_handle *h = NULL;
  if (gs_go_opts(&opts, dig, &depth, &h) != GS_OK) return 1;
  return gs_join(h, GS_FOREVER);
}

static int overflow(size_t size) { return gs_run(NULL, start_digger, &size, NULL); }

static int overflow_default(void) { return overflow(0); }

static int overflow_large(void) { return overflow(256 * 1024); }

static const char advice[] = "Say please.";

/* A language knows better what its users do about it. */
static int overflow_domain(void) {
  static const gs_domain_ops ops = {.size = sizeof ops, .on_overflow = advice};
  gs_domain *d = NULL;
  if (gs_domain_new("language", 1, 128 * 1024, &ops, NULL, &d) != GS_OK) return 1;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.domain = d;
  size_t size = 0;
  return gs_run(&cfg, start_digger, &size, NULL);
}

static int recurse_main(void *arg) {
  (void)arg;
  return recurse(0);
}

static int overflow_main(void) { return gs_run(NULL, recurse_main, NULL, NULL); }

/* A SIGSEGV handler of the host is not asked about an overflow. */
static void never_called(int sig) {
  (void)sig;
  _exit(99);
}

static int overflow_with_handler(void) {
  signal(SIGSEGV, never_called);
  return overflow(0);
}

static child c;

/* Does the text hold a number of bytes that such a stack can have?  A little of what was asked for
 * may be taken by the runtime. */
static int tells_size(const char *text, size_t size) {
  while (*text != '\0') {
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text) {
      text++;
      continue;
    }
    if (number <= size && number > size - size / 8) return 1;
    text = end;
  }
  return 0;
}

static void assert_reports_overflow(const char *name, size_t size) {
  child_run(&c, name, NULL);
  assert_child_signal(&c, SIGABRT);
  unsigned long long id = 0;
  const char *told = strstr(c.text, "digger is G");
  assert_non_null(told);
  assert_int_equal(sscanf(told, "digger is G%llu", &id), 1);
  const char *report = strchr(told, '\n');
  char g[32];
  snprintf(g, sizeof g, "G%llu", id);
  assert_non_null(report);
  if (!strstr(report, "stack overflow") || !strstr(report, "\"digger\"") || !strstr(report, g) ||
      !tells_size(report, size)) {
    print_error("the report should name the stack overflow, %s, \"digger\" and %zu bytes:\n%s\n", g,
                size, c.text);
    fail();
  }
}

static void test_overflow(void **state) {
  (void)state;
  assert_reports_overflow("overflow", 64 * 1024);
  assert_child_says(&c, "Start it with a larger stack_size (gs_go_opts)");
}

static void test_overflow_of_a_language(void **state) {
  (void)state;
  assert_reports_overflow("overflow-domain", 128 * 1024);
  assert_child_says(&c, advice);
  assert_null(strstr(c.text, "gs_go_opts"));
}

static void test_overflow_of_a_larger_stack(void **state) {
  (void)state;
  assert_reports_overflow("overflow-large", 256 * 1024);
}

static void test_overflow_beside_a_handler(void **state) {
  (void)state;
  assert_reports_overflow("overflow-with-handler", 64 * 1024);
}

static void test_overflow_of_main(void **state) {
  (void)state;
  child_run(&c, "overflow-main", NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, "stack");
}

/* ---- faults that are the host's ---- */

static void fault_here(void) {
  volatile int *volatile nowhere = (int *)16;
  *nowhere = 1;
}

static void on_segv(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)context;
  static const char text[] = "the host's handler was called\n";
  ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(written > 0 && info->si_addr == (void *)16 ? 42 : 43);
}

static void install_handler(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = on_segv;
  sigaction(SIGSEGV, &action, NULL);
}

static void fault_on_g(void *arg) {
  (void)arg;
  fault_here();
}

static int fault_in_g(void *arg) {
  (void)arg;
  join(go_named("faults", fault_on_g, NULL));
  return 0;
}

static int fault_fn(void *arg) {
  (void)arg;
  fault_here();
  return 0;
}

static int fault_in_call(void *arg) {
  (void)arg;
  return gs_cgocall(fault_fn, NULL, NULL);
}

static void *fault_on_thread(void *arg) {
  (void)arg;
  fault_here();
  return NULL;
}

static int fault_in_thread(void *arg) {
  (void)arg;
  pthread_t thread;
  if (pthread_create(&thread, NULL, fault_on_thread, NULL) != 0) return 1;
  gs_sleep(MS(20000));
  return 2;
}

static int handler_g(void) {
  install_handler();
  return gs_run(NULL, fault_in_g, NULL, NULL);
}

static int handler_call(void) {
  install_handler();
  return gs_run(NULL, fault_in_call, NULL, NULL);
}

static int handler_thread(void) {
  install_handler();
  return gs_run(NULL, fault_in_thread, NULL, NULL);
}

static int default_g(void) { return gs_run(NULL, fault_in_g, NULL, NULL); }

static int default_thread(void) { return gs_run(NULL, fault_in_thread, NULL, NULL); }

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static int default_after_run(void) {
  int code = gs_run(NULL, nothing, NULL, NULL);
  if (code == GS_OK) fault_here();
  return code;
}

static void test_the_hosts_handler_is_called(void **state) {
  (void)state;
  static const char *const names[] = {"handler-g", "handler-call", "handler-thread"};
  for (size_t i = 0; i < COUNT(names); i++) {
    child_run(&c, names[i], NULL);
    assert_child_exit(&c, 42);
    assert_child_says(&c, "the host's handler was called");
  }
}

static void test_the_default_is_kept(void **state) {
  (void)state;
  static const char *const names[] = {"default-g", "default-thread", "default-after-run"};
  for (size_t i = 0; i < COUNT(names); i++) {
    child_run(&c, names[i], NULL);
    assert_child_signal(&c, SIGSEGV);
    assert_null(strstr(c.text, "overflow"));
  }
}

/* ---- larger stacks ---- */

static __attribute__((noinline)) int descend(const char *top, ptrdiff_t bytes) {
  volatile char frame[200];
  frame[0] = 1;
  if (top - (char *)__builtin_frame_address(0) >= bytes) return frame[0];
  int below = descend(top, bytes);
  return below + frame[0];
}

static void descend_900_kib(void *arg) {
  (void)arg;
  CHECK(descend(__builtin_frame_address(0), 900 * 1024) > 100);
  gs_yield();
  CHECK(descend(__builtin_frame_address(0), 900 * 1024) > 100);
}

static void large_stacks(void *arg) {
  (void)arg;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 1 << 20;
  gs_handle *h[10];
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_go_opts(&opts, descend_900_kib, NULL, &h[i]), GS_OK);
  }
  for (int i = 0; i < 10; i++) join(h[i]);
}

static void test_1_mib_stacks(void **state) {
  (void)state;
  run_procs(2, large_stacks, NULL);
}

static void touch_16_kib_stack(void *arg) {
  gs_yield();
  wg_done(arg);
}

static void small_stacks(void *arg) {
  (void)arg;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 16 * 1024;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 100; i++) {
    CHECK_CODE(gs_go_opts(&opts, touch_16_kib_stack, &wg, NULL), GS_OK);
  }
  wg_wait(&wg, 100);
  CHECK(metrics().stacks_mapped >= 16 * 1024);
}

static void test_16_kib_stacks(void **state) {
  (void)state;
  run_procs(2, small_stacks, NULL);
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {
      {"overflow", overflow_default},
      {"overflow-large", overflow_large},
      {"overflow-domain", overflow_domain},
      {"overflow-with-handler", overflow_with_handler},
      {"overflow-main", overflow_main},
      {"handler-g", handler_g},
      {"handler-call", handler_call},
      {"handler-thread", handler_thread},
      {"default-g", default_g},
      {"default-thread", default_thread},
      {"default-after-run", default_after_run},
  };
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_overflow),
      cmocka_unit_test(test_overflow_of_a_larger_stack),
      cmocka_unit_test(test_overflow_of_a_language),
      cmocka_unit_test(test_overflow_beside_a_handler),
      cmocka_unit_test(test_overflow_of_main),
      cmocka_unit_test(test_the_hosts_handler_is_called),
      cmocka_unit_test(test_the_default_is_kept),
      cmocka_unit_test(test_1_mib_stacks),
      cmocka_unit_test(test_16_kib_stacks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
