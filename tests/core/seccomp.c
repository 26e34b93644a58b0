/* seccomp.c: membarrier is taken away (Go's scenarios have no such thing; ours, number 65).
 *
 * A sandbox may refuse membarrier from the start, or from some moment on, when Ms are already
 * relying on it.  Either way the results are the same: blocking calls hand over, parked green
 * threads are cancelled, nothing is lost.  The filter is installed on all threads (TSYNC) while
 * they call and park; it cannot be taken off, so each case is a child.
 */
#include "support.h"

#include <stdbool.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_SECCOMP = 77 };

/* 0, or what errno says. */
static int deny_membarrier(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {COUNT(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
    return errno;
  return syscall(SYS_membarrier, 0, 0, 0) == -1 && errno == EPERM ? 0 : EINVAL;
}

static atomic_int calls, stop;

static int nap(void *arg) {
  usleep(200);
  return *(int *)arg + 1;
}

static void call_often(void *arg) {
  (void)arg;
  gs_site site = {.name = "nap"};
  for (int i = 0; !atomic_load(&stop); i++) {
    int got = 0;
    CHECK_CODE(gs_cgocall_site(i % 3 ? &site : NULL, nap, &i, &got), GS_OK);
    CHECK_INT(got, i + 1);
    atomic_fetch_add(&calls, 1);
  }
}

static void parked(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

/* So many more calls come back. */
static void await_calls(int more) {
  int until = atomic_load(&calls) + more;
  int64_t patience = in_ms(30000);
  while (atomic_load(&calls) < until && gs_now() < patience) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK(atomic_load(&calls) >= until);
}

static void cancel_some(void) {
  for (int i = 0; i < SCALE(200) && !checks_failed(); i++) {
    gs_handle *h = go_named("parked", parked, NULL);
    if (i % 2) gs_yield();
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
}

static int main_g(void *arg) {
  int *late = arg;
  gs_handle *h[8];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("calls", call_often, NULL);
  await_calls(SCALE(200));
  cancel_some();
  bool denied = !*late || deny_membarrier() == 0;
  await_calls(SCALE(200));
  cancel_some();
  await_calls(SCALE(200));
  atomic_store(&stop, 1);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  return checks_failed() ? 1 : denied ? 0 : NO_SECCOMP;
}

static int run(int procs, int late) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = procs;
  int result = 1;
  if (gs_run(&cfg, main_g, &late, &result) != GS_OK) return 2;
  return result;
}

static int denied_late(void) { return run(2, 1); }
static int denied_late_alone(void) { return run(1, 1); }
static int denied_early(void) { return deny_membarrier() != 0 ? NO_SECCOMP : run(2, 0); }

static const scenario scenarios[] = {
    {"late", denied_late},
    {"late_alone", denied_late_alone},
    {"early", denied_early},
};

static void check(const char *name) {
  child c;
  child_run(&c, name, NULL);
  if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == NO_SECCOMP) {
    print_message("skipped: this system does not let a process install a seccomp filter\n");
    skip();
  }
  assert_child_exit(&c, 0);
}

static void test_denied_from_the_start(void **state) {
  (void)state;
  check("early");
}

static void test_denied_while_it_runs(void **state) {
  (void)state;
  check("late");
  check("late_alone");
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_denied_from_the_start),
      cmocka_unit_test(test_denied_while_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
