/* callback_wx.c: callbacks where memory may not be writable and executable.
 *
 * Each case is a child that gives up what hardened systems refuse, and then makes callbacks of both
 * kinds and calls them:
 *
 *   mdwe       prctl(PR_SET_MDWE): no mapping is writable and executable, and none becomes
 *              executable later
 *   filter     the same by a seccomp filter, and no anonymous memory is executable either
 *   nothing    nothing can be made executable at all
 *
 * Stubs work everywhere.  Libffi's closures work in the first two, since it maps a file twice; in
 * the third, making one is an error that says why.  After all of it no mapping of the process is
 * both.
 */
#include "support.h"

#include <stdbool.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gosched_ffi.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

enum { CANNOT = 77 };

#define FUNCTION(cb, result, ...) ((result(*)(__VA_ARGS__))(uintptr_t)gs_callback_code(cb))

/* ---- giving it up ---- */

static int mdwe(void) { return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) ? errno : 0; }

/* The low half of an argument of the call (the machine is little-endian). */
#define ARG(n) (offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)

static int install(struct sock_filter *code, size_t n) {
  struct sock_fprog program = {(unsigned short)n, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? errno : 0;
}

static int filter(void) {
  struct sock_filter code[] = {
      LOAD(offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 10),
      /* mprotect: no PROT_EXEC */
      LOAD(ARG(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 7, 8),
      ALLOW,
      /* mmap: not both, nor PROT_EXEC on anonymous memory */
      LOAD(ARG(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 5),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_WRITE, 3, 0),
      LOAD(ARG(3)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 2),
      ALLOW,
      DENY,
      ALLOW,
  };
  return install(code, COUNT(code));
}

static int nothing(void) {
  struct sock_filter code[] = {
      LOAD(offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      LOAD(ARG(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      DENY,
      ALLOW,
  };
  return install(code, COUNT(code));
}

/* Is it really gone?  Else the test would show nothing. */
static bool still_possible(void) {
  void *p =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) return true;
  p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

/* ---- callbacks there ---- */

static int half(void *ret, void *const *args, void *user) {
  (void)user;
  *(long double *)ret = *(const long double *)args[0] / 2;
  return 0;
}

static int successor(void *ret, void *const *args, void *user) {
  (void)user;
  *(int *)ret = *(const int *)args[0] + 1;
  return 0;
}

static bool no_mapping_is_both(void) {
  char line[600];
  bool none = true;
  FILE *f = fopen("/proc/self/maps", "r");
  while (f && fgets(line, sizeof(line), f)) {
    const char *rights = strchr(line, ' ');
    if (!rights || rights[2] != 'w' || rights[3] != 'x') continue;
    fprintf(stderr, "both: %s", line);
    none = false;
  }
  if (f) fclose(f);
  return f && none;
}

/* closures: whether libffi can have memory for them. */
static int callbacks_work(int (*give_up)(void), bool closures) {
  int e = give_up();
  if (e) {
    printf("not possible here: %s\n", strerror(e));
    return CANNOT;
  }
  CHECK(!still_possible());
  gs_ffi *ffi = gs_ffi_new();
  gs_callback *cb = NULL;
  for (int i = 0; i < 100; i++) {
    CHECK_CODE(gs_ffi_callback(ffi, "int (*)(int)", successor, NULL, &cb), GS_OK);
    CHECK_INT(FUNCTION(cb, int, int)(i), i + 1);
  }
  for (int i = 0; i < 100; i++) {
    gs_callback *wide = NULL;
    e = gs_ffi_callback(ffi, "long double (*)(long double)", half, NULL, &wide);
    CHECK_CODE(e, closures ? GS_OK : GS_ENOMEM);
    if (e != GS_OK) {
      if (i == 0) printf("%s\n", gs_error_detail());
      continue;
    }
    CHECK(FUNCTION(wide, long double, long double)(5) == 2.5l);
    gs_callback_free(wide);
  }
  CHECK_INT(FUNCTION(cb, int, int)(7), 8);
  gs_ffi_free(ffi);
  CHECK(no_mapping_is_both());
  return checks_failed() != 0;
}

static int with_mdwe(void) { return callbacks_work(mdwe, true); }
static int with_filter(void) { return callbacks_work(filter, true); }
static int with_nothing(void) { return callbacks_work(nothing, false); }

static const scenario scenarios[] = {
    {"mdwe", with_mdwe}, {"filter", with_filter}, {"nothing", with_nothing}};

static void in_a_child(const char *name, const char *says) {
  skip_emulated("the emulator itself needs memory that is both");
  child c;
  child_run(&c, name, (const char *[]){"GOSCHED_FFI=auto", NULL});
  if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == CANNOT) {
    print_message("skipped, %s: %s", name, c.text);
    skip();
  }
  assert_child_exit(&c, 0);
  if (says) assert_child_says(&c, says);
}

static void test_mdwe(void **state) {
  (void)state;
  in_a_child("mdwe", NULL);
}

static void test_filter(void **state) {
  (void)state;
  in_a_child("filter", NULL);
}

static void test_nothing(void **state) {
  (void)state;
  in_a_child("nothing",
             "there is no executable memory for 'long double (*)(long double)': the system refuses "
             "it, or memory is exhausted");
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mdwe),
      cmocka_unit_test(test_filter),
      cmocka_unit_test(test_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
