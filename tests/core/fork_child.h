/* fork_child.h: what the tests of fork have in common: how a child ends, and where it cannot be
 * tried.
 */
#ifndef TESTS_CORE_FORK_CHILD_H
#define TESTS_CORE_FORK_CHILD_H

#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

enum { GOOD = 42, BAD = 43 };

/* Neither ThreadSanitizer nor qemu-user supports a new thread in a child of a process that has
 * several, and AddressSanitizer (until LLVM 17) leaves its allocator locked there if another thread
 * was in it. */
#if defined(__SANITIZE_THREAD__)
#define skip_threads()                                                        \
  do {                                                                        \
    print_message("skipped: TSan ends a forked child that makes a thread\n"); \
    skip();                                                                   \
  } while (0)
#elif defined(__SANITIZE_ADDRESS__)
#define skip_threads()                                                                     \
  do {                                                                                     \
    print_message(                                                                         \
        "skipped: a thread that was in ASan's allocator leaves it locked in the child\n"); \
    skip();                                                                                \
  } while (0)
#else
#define skip_threads() skip_emulated("it crashes when a forked child makes a thread")
#endif

/* In the child.  alarm: a child that hangs shows in its status. */
static inline void begin_child(void) { alarm(30); }

static inline _Noreturn void end_child(void) { _exit(checks_failed() ? BAD : GOOD); }

static inline int wait_for(void *arg) {
  pid_t pid = *(pid_t *)arg;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline void expect_end(pid_t pid, int code) {
  int result = 0;
  CHECK(pid > 0);
  if (pid <= 0) return;
  CHECK_CODE(gs_cgocall(wait_for, &pid, &result), GS_OK);
  CHECK_INT(result, code);
}

#endif
