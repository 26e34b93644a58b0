/* support.h: what the C tests of the core share.
 *
 * cmocka's assertions jump back to the test with longjmp, which must not happen on a green
 * thread's stack or on another thread.  So a test's body, which runs as the main green thread,
 * and everything it starts use CHECK…: they print what is wrong, count it and go on.  The test
 * itself, outside gs_run, then asserts that nothing was counted; run_procs and run_config do so.
 *
 * Crashes are tested in a child: child_run starts the same program again with the name of a
 * scenario and collects what it prints and how it ends.
 *
 * TEST_EMULATOR is defined where the tests are for another processor and run under qemu-user: the
 * emulator's command, its words separated by spaces.  What cannot work there is skipped with
 * skip_emulated.
 */
#ifndef TESTS_CORE_SUPPORT_H
#define TESTS_CORE_SUPPORT_H

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gosched.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
/* Sanitizers, the torture build and an emulator make everything slower by an order of magnitude. */
#if SANITIZED || defined(GS_TORTURE) || defined(TEST_EMULATOR)
#define SLOW_BUILD 1
#endif
#ifdef SLOW_BUILD
#define SCALE(n) ((n) < 20 ? (n) : (n) < 100 ? 10 : (n) / 10)
#else
#define SLOW_BUILD 0
#define SCALE(n) (n)
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- checks that work on any thread and any stack ---- */

#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
#define CHECK_INT(actual, expected) \
  check_int(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(expected))
/* For calls that return GS_OK or a GS_E… code. */
#define CHECK_CODE(call, code) check_code(__FILE__, __LINE__, #call, (call), (code))

void check_failed(const char *file, int line, const char *what);
void check_int(const char *file, int line, const char *what, int64_t actual, int64_t expected);
void check_code(const char *file, int line, const char *what, int actual, int expected);
int checks_failed(void);

/* ---- running a body ---- */

typedef void (*body_fn)(void *arg);

/* Runs body(arg) as the main green thread and asserts that gs_run succeeds and no check failed.
 * The first call in a program decides on procs; a program keeps to one number. */
void run_procs(int procs, body_fn body, void *arg);
void run_config(const gs_config *cfg, body_fn body, void *arg);

/* gs_go and gs_go_opts that must succeed. */
void go(body_fn fn, void *arg);
gs_handle *go_named(const char *name, body_fn fn, void *arg);
/* Joins without a deadline and releases the handle. */
void join(gs_handle *h);

gs_chan *chan_new(size_t elem_size, size_t cap);

/* ---- a counting wait group: a channel of empty elements ---- */

typedef struct wait_group {
  gs_chan *done;
} wait_group;

void wg_init(wait_group *wg);
void wg_done(wait_group *wg);               /* parks until the waiter has taken notice */
void wg_wait(wait_group *wg, size_t count); /* receives count and frees the channel */

/* ---- small things ---- */

#define MS(n) ((int64_t)(n)*1000000)
#define US(n) ((int64_t)(n)*1000)
/* Longer than anything takes on a machine that is merely busy. */
#define PATIENCE MS(30000)

int64_t in_ms(int64_t ms); /* a deadline */
long my_tid(void);         /* of the thread this runs on right now */
gs_metrics metrics(void);
uint64_t random_next(uint64_t *state); /* xorshift; the state must not be 0 */

/* Sleeps for *(int *)arg milliseconds in the kernel; returns 0.  A blocking foreign function. */
int block_ms(void *arg);
/* Waits until *flag is set, asleep in the kernel between looks; returns 0 if it never was. */
int block_until(atomic_int *flag);

/* ---- emulation ---- */

/* In a test: skips it under an emulator, and prints why. */
#ifdef TEST_EMULATOR
#define skip_emulated(why)                          \
  do {                                              \
    print_message("skipped under qemu: " why "\n"); \
    skip();                                         \
  } while (0)
#else
#define skip_emulated(why) ((void)0)
#endif

/* ---- children ---- */

typedef struct scenario {
  const char *name;
  int (*fn)(void); /* its result is the child's exit status */
} scenario;

typedef struct child {
  int status;       /* as waitpid gives it */
  char text[32768]; /* the beginning of what it wrote to stdout and stderr */
} child;

/* In main: runs the scenario the command line asks for and exits, or returns to run the tests. */
void scenarios_main(int argc, char **argv, const scenario *table, size_t count);

/* Runs one scenario of this program in a child.  env: "NAME=value"… up to NULL, or NULL. */
void child_run(child *c, const char *name, const char *const *env);

/* Assert how it ended; on failure what the child wrote is shown. */
void assert_child_exit(const child *c, int code);
void assert_child_signal(const child *c, int sig);
void assert_child_says(const child *c, const char *text);

#endif
