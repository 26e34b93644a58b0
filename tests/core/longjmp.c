/* longjmp.c: jumps over the boundaries between green threads, foreign functions and callbacks.
 *
 * Each ends its process with a report that says which way it went and names the foreign call.
 * Jumps that stay on one side are nobody's business.
 */
#undef _FORTIFY_SOURCE /* glibc's checks know one stack only, and would report in our place */
#include "support.h"

#include <signal.h>

static gs_site jumps = {.name = "the_function_that_jumps"};
static jmp_buf home, inside;
static volatile int passes;

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

/* Sites that are known to be short take another way. */
static void learn(gs_site *site) {
  for (int i = 0; i < 40; i++) CHECK_CODE(gs_cgocall_site(site, nothing, NULL, NULL), GS_OK);
}

/* ---- out of a foreign function ---- */

static int jump_home(void *arg) {
  (void)arg;
  longjmp(home, 1);
}

static void go_home(void) {
  learn(&jumps);
  if (setjmp(home) == 0) gs_cgocall_site(&jumps, jump_home, NULL, NULL);
}

static void and_sleep(void *arg) {
  (void)arg;
  go_home();
  gs_sleep(1000);
}

static void and_call(void *arg) {
  (void)arg;
  go_home();
  gs_cgocall(nothing, NULL, NULL);
}

static void and_yield(void *arg) {
  (void)arg;
  go_home();
  gs_yield();
}

static void and_call_back(void *arg) {
  (void)arg;
  go_home();
  gs_cgocallback(and_yield, NULL);
}

static void and_end(void *arg) {
  (void)arg;
  go_home();
}

/* ---- out of a callback, into the foreign function ---- */

static void jump_inside(void *arg) {
  if (arg) gs_sleep(1000);
  longjmp(inside, 1);
}

static int left_by_callback(void *arg) {
  if (setjmp(inside) == 0) gs_cgocallback(jump_inside, arg);
  return 5;
}

static void and_return(void *arg) {
  learn(&jumps);
  gs_cgocall_site(&jumps, left_by_callback, arg, NULL);
  gs_yield();
}

static int calls_back_again(void *arg) {
  if (setjmp(inside) == 0) gs_cgocallback(jump_inside, arg);
  gs_cgocallback(jump_inside, arg);
  return 5;
}

static void and_call_back_again(void *arg) {
  (void)arg;
  learn(&jumps);
  gs_cgocall_site(&jumps, calls_back_again, NULL, NULL);
}

static void and_return_after_sleep(void *arg) {
  (void)arg;
  and_return(&jumps);
}

/* ---- out of a callback, over the foreign function ---- */

static void jump_over(void *arg) {
  (void)arg;
  longjmp(home, 1);
}

static int jumped_over(void *arg) {
  gs_cgocallback(jump_over, arg);
  return 5;
}

static void over(void) {
  learn(&jumps);
  if (setjmp(home) == 0) gs_cgocall_site(&jumps, jumped_over, NULL, NULL);
}

static void over_and_call(void *arg) {
  (void)arg;
  over();
  gs_cgocall(nothing, NULL, NULL);
}

static void over_and_end(void *arg) {
  (void)arg;
  over();
}

/* ---- children ---- */

static int in_g(void *arg) {
  body_fn fn = *(body_fn *)arg;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "jumper";
  opts.stack_size = 256 << 10;
  gs_handle *h = NULL;
  CHECK_CODE(gs_go_opts(&opts, fn, NULL, &h), GS_OK);
  join(h);
  return 0;
}

#define OUT "a foreign function was left by longjmp into the green thread"
#define INTO "a callback was left by longjmp into the foreign function"
#define OVER "a callback was left by longjmp over the foreign function"

static const struct {
  const char *name;
  body_fn fn;
  const char *says;
} jumpers[] = {
    {"and_sleep", and_sleep, OUT},
    {"and_call", and_call, OUT},
    {"and_yield", and_yield, OUT},
    {"and_call_back", and_call_back, OUT},
    {"and_end", and_end, OUT},
    {"and_return", and_return, INTO},
    {"and_call_back_again", and_call_back_again, INTO},
    {"and_return_after_sleep", and_return_after_sleep, INTO},
    {"over_and_call", over_and_call, OVER},
    {"over_and_end", over_and_end, OVER},
};

static body_fn now;

static int run_jumper(void) { return gs_run(NULL, in_g, &now, NULL); }

static void test_reports(void **state) {
  (void)state;
  static child c;
#if defined(__SANITIZE_THREAD__)
  print_message("skipped: TSan has a longjmp of its own, which knows no other stacks\n");
  skip();
#endif
  for (size_t i = 0; i < COUNT(jumpers); i++) {
    child_run(&c, jumpers[i].name, NULL);
    assert_child_signal(&c, SIGABRT);
    assert_child_says(&c, "gosched: fatal: ");
    assert_child_says(&c, jumpers[i].says);
    assert_child_says(&c, "the_function_that_jumps");
    assert_child_says(&c, "\"jumper\"");
    assert_child_says(&c, "green threads"); /* the dump */
  }
}

/* ---- jumps on one side ---- */

static int jump_in_c(void *arg) {
  jmp_buf here;
  (void)arg;
  volatile int n = 0;
  while (setjmp(here) < 10) {
    n++;
    longjmp(here, n);
  }
  return n;
}

static void jump_in_callback(void *arg) {
  CHECK_INT(jump_in_c(arg), 10);
  gs_yield();
  passes = passes + 1;
}

static int call_back(void *arg) {
  CHECK_CODE(gs_cgocallback(jump_in_callback, arg), GS_OK);
  return jump_in_c(arg);
}

static void allowed(void *arg) {
  jmp_buf here;
  volatile int n = 0;
  int result = 0;
  while (setjmp(here) < 10) {
    n++;
    CHECK_CODE(gs_sleep(1000), GS_OK);
    CHECK_CODE(gs_cgocall(call_back, arg, &result), GS_OK);
    CHECK_INT(result, 10);
    longjmp(here, n);
  }
  CHECK_INT(passes, 10);
}

static void test_jumps_on_one_side(void **state) {
  (void)state;
  run_procs(2, allowed, NULL);
}

int main(int argc, char **argv) {
  scenario scenarios[COUNT(jumpers)];
  for (size_t i = 0; i < COUNT(jumpers); i++) {
    scenarios[i] = (scenario){jumpers[i].name, run_jumper};
    if (argc == 3 && strcmp(argv[2], jumpers[i].name) == 0) now = jumpers[i].fn;
  }
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reports),
      cmocka_unit_test(test_jumps_on_one_side),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
