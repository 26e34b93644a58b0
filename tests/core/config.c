/* config.c: what gs_run and gs_go_opts accept, and what they say about what they do not.
 *
 * An error names the argument, what was given and what is accepted.  The environment overrides
 * the configuration, which needs a process of its own for each case.
 */
#include "support.h"

#include <sched.h>

static int must_not_run(void *arg) {
  (void)arg;
  CHECK(!"a refused gs_run ran its function");
  return 0;
}

static void refused(const gs_config *cfg, const char *argument, const char *given,
                    const char *accepted) {
  int result = 99;
  assert_int_equal(gs_run(cfg, must_not_run, NULL, &result), GS_EINVAL);
  assert_int_equal(result, 99);
  const char *detail = gs_error_detail();
  int right = strstr(detail, argument) && strstr(detail, given) && strstr(detail, accepted);
  if (!right) {
    print_error("the detail is \"%s\"; it should name %s, %s and %s\n", detail, argument, given,
                accepted);
  }
  assert_true(right);
  assert_int_equal(checks_failed(), 0);
}

static void test_fn_null(void **state) {
  (void)state;
  assert_int_equal(gs_run(NULL, NULL, NULL, NULL), GS_EINVAL);
  assert_non_null(strstr(gs_error_detail(), "fn"));
}

static void test_procs(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = -1;
  refused(&cfg, "procs", "-1", "1024");
  cfg.procs = 100000;
  refused(&cfg, "procs", "100000", "1024");
  cfg.procs = 1025;
  refused(&cfg, "procs", "1025", "1024");
}

static void test_max_threads(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.max_threads = 1;
  refused(&cfg, "max_threads", "1", "1000000");
  cfg.max_threads = -5;
  refused(&cfg, "max_threads", "-5", "1000000");
  cfg.max_threads = 1000001;
  refused(&cfg, "max_threads", "1000001", "1000000");
}

static void test_stack_size(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.stack_size = 4096;
  refused(&cfg, "stack_size", "4096", "16384");
  cfg.stack_size = ((size_t)1 << 30) + 1;
  refused(&cfg, "stack_size", "1073741825", "1073741824");
  cfg.stack_size = 0;
  cfg.main_stack_size = 100;
  refused(&cfg, "main_stack_size", "100", "16384");
}

static void test_struct_size(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.size = 3;
  refused(&cfg, "size", "3", "");
  cfg.size = 0;
  refused(&cfg, "size", "0", "");
}

static void test_flags(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.flags = 1u << 30;
  refused(&cfg, "flags", "", "");
}

static int four(void *arg) {
  (void)arg;
  return 4;
}

static void test_a_failure_does_no_harm(void **state) {
  (void)state;
  int result = 0;
  assert_int_equal(gs_run(NULL, four, NULL, &result), GS_OK);
  assert_int_equal(result, 4);
}

/* ---- gs_go_opts ---- */

static void nothing(void *arg) { (void)arg; }

static void bad_options(void *arg) {
  (void)arg;
  gs_handle *h = NULL;
  CHECK_CODE(gs_go(NULL, NULL), GS_EINVAL);
  CHECK_CODE(gs_go_opts(NULL, NULL, NULL, NULL), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "fn") != NULL);

  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 4096;
  CHECK_CODE(gs_go_opts(&opts, nothing, NULL, &h), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "stack_size") != NULL);
  CHECK(strstr(gs_error_detail(), "4096") != NULL);
  CHECK(strstr(gs_error_detail(), "16384") != NULL);
  opts.stack_size = (size_t)2 << 30;
  CHECK_CODE(gs_go_opts(&opts, nothing, NULL, &h), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "stack_size") != NULL);
  opts.stack_size = 0;
  opts.size = 1;
  CHECK_CODE(gs_go_opts(&opts, nothing, NULL, &h), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "size") != NULL);
  CHECK(h == NULL);

  CHECK_CODE(gs_go_opts(NULL, nothing, NULL, &h), GS_OK); /* options are optional */
  join(h);
}

static void test_go_options(void **state) {
  (void)state;
  run_procs(0, bad_options, NULL);
}

static void bad_handles(void *arg) {
  (void)arg;
  CHECK_CODE(gs_join(NULL, GS_FOREVER), GS_EINVAL);
  CHECK_CODE(gs_cancel(NULL), GS_EINVAL);
  CHECK_CODE(gs_read_metrics(NULL), GS_EINVAL);
  gs_metrics m = {.size = 0};
  CHECK_CODE(gs_read_metrics(&m), GS_EINVAL);
}

static void test_null_arguments(void **state) {
  (void)state;
  run_procs(0, bad_handles, NULL);
}

/* ---- the environment ---- */

static int print_procs(void *arg) {
  (void)arg;
  printf("procs=%llu\n", (unsigned long long)metrics().procs);
  return 0;
}

static int run_printing_procs(void) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 3;
  int code = gs_run(&cfg, print_procs, NULL, NULL);
  if (code != GS_OK) printf("%s / %s\n", gs_strerror(code), gs_error_detail());
  return code == GS_OK ? 0 : 1;
}

static int run_by_default(void) {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) printf("cpus=%d\n", CPU_COUNT(&cpus));
  return gs_run(NULL, print_procs, NULL, NULL) == GS_OK ? 0 : 1;
}

static int use_150_kib(void *arg) {
  (void)arg;
  volatile char room[150 * 1024];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
  return room[1024];
}

static void need_a_large_stack(void *arg) { *(int *)arg = use_150_kib(NULL); }

static void start_one_with_a_large_stack(void *arg) {
  (void)arg;
  int used = 0;
  join(go_named("large", need_a_large_stack, &used));
  printf("used=%d\n", used);
}

static int start_one(void *arg) {
  start_one_with_a_large_stack(arg);
  return 0;
}

static int run_needing_stack(void) {
  int code = gs_run(NULL, start_one, NULL, NULL);
  if (code != GS_OK) printf("%s / %s\n", gs_strerror(code), gs_error_detail());
  return code == GS_OK ? checks_failed() : 1;
}

static void call_for_20_ms(void *arg) {
  int ms = 20;
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  wg_done(arg);
}

static int ten_calls(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 10; i++) go(call_for_20_ms, &wg);
  wg_wait(&wg, 10);
  CHECK(metrics().threads_max <= 3);
  return 0;
}

static int run_with_few_threads(void) {
  int code = gs_run(NULL, ten_calls, NULL, NULL);
  if (code != GS_OK) printf("%s / %s\n", gs_strerror(code), gs_error_detail());
  return code == GS_OK ? checks_failed() : 1;
}

static child c;

static void test_configured_procs(void **state) {
  (void)state;
  child_run(&c, "procs", NULL);
  assert_child_exit(&c, 0);
  assert_child_says(&c, "procs=3\n");
}

static void test_default_procs(void **state) {
  (void)state;
  child_run(&c, "default", NULL);
  assert_child_exit(&c, 0);
  int cpus = 0, procs = 0;
  assert_int_equal(sscanf(c.text, "cpus=%d\nprocs=%d", &cpus, &procs), 2);
  assert_in_range(procs, 1, cpus);
}

static void test_environment_overrides_procs(void **state) {
  (void)state;
  child_run(&c, "procs", (const char *const[]){"GOSCHED_PROCS=5", NULL});
  assert_child_exit(&c, 0);
  assert_child_says(&c, "procs=5\n");
}

static void test_environment_overrides_stack_size(void **state) {
  (void)state;
  child_run(&c, "stack", (const char *const[]){"GOSCHED_STACK_SIZE=262144", NULL});
  assert_child_exit(&c, 0);
  assert_child_says(&c, "used=1\n");
}

static void test_environment_overrides_max_threads(void **state) {
  (void)state;
  child_run(&c, "threads", (const char *const[]){"GOSCHED_MAX_THREADS=3", "GOSCHED_PROCS=1", NULL});
  assert_child_exit(&c, 0);
}

static void refused_environment(const char *name, const char *setting, const char *variable) {
  child_run(&c, name, (const char *const[]){setting, NULL});
  assert_child_exit(&c, 1);
  assert_child_says(&c, "GS_EINVAL");
  assert_child_says(&c, variable);
}

static void test_bad_environment(void **state) {
  (void)state;
  refused_environment("procs", "GOSCHED_PROCS=many", "GOSCHED_PROCS");
  refused_environment("procs", "GOSCHED_PROCS=-2", "GOSCHED_PROCS");
  refused_environment("procs", "GOSCHED_PROCS=99999", "GOSCHED_PROCS");
  refused_environment("procs", "GOSCHED_PROCS=4x", "GOSCHED_PROCS");
  refused_environment("stack", "GOSCHED_STACK_SIZE=100", "GOSCHED_STACK_SIZE");
  refused_environment("threads", "GOSCHED_MAX_THREADS=1", "GOSCHED_MAX_THREADS");
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {
      {"procs", run_printing_procs},
      {"default", run_by_default},
      {"stack", run_needing_stack},
      {"threads", run_with_few_threads},
  };
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fn_null),
      cmocka_unit_test(test_procs),
      cmocka_unit_test(test_max_threads),
      cmocka_unit_test(test_stack_size),
      cmocka_unit_test(test_struct_size),
      cmocka_unit_test(test_flags),
      cmocka_unit_test(test_a_failure_does_no_harm),
      cmocka_unit_test(test_go_options),
      cmocka_unit_test(test_null_arguments),
      cmocka_unit_test(test_configured_procs),
      cmocka_unit_test(test_default_procs),
      cmocka_unit_test(test_environment_overrides_procs),
      cmocka_unit_test(test_environment_overrides_stack_size),
      cmocka_unit_test(test_environment_overrides_max_threads),
      cmocka_unit_test(test_bad_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
