/* exit.c: the process ends, or becomes another one, while green threads are parked, compute, and
 * sit in C.
 *
 * However it ends it does not hang, atexit handlers and destructors run, and the status is the one
 * that was asked for.  What is executed starts with an empty signal mask, whoever executed it, and
 * whatever signals arrive meanwhile.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PROCS = 2, CODE = 17 };

static void say(const char *text) {
  ssize_t n = write(1, text, strlen(text));
  (void)n;
}

__attribute__((destructor)) static void destroyed(void) {
  if (getenv("SAY_DESTROYED")) say("destroyed\n");
}

/* ---- what goes on meanwhile ---- */

static atomic_int never, in_c, busy;

static int sit_in_c(void *arg) {
  (void)arg;
  atomic_fetch_add(&in_c, 1);
  return block_until(&never);
}

static void call(void *arg) {
  (void)arg;
  gs_cgocall(sit_in_c, NULL, NULL);
}

static void park(void *arg) { gs_chan_recv(arg, NULL, GS_FOREVER); }

static void compute(void *arg) {
  (void)arg;
  for (;;) {
    atomic_fetch_add(&busy, 1);
    gs_yield();
  }
}

static void start_others(void) {
  gs_chan *c = NULL;
  gs_chan_new(0, 0, &c);
  for (int i = 0; i < 4; i++) {
    gs_go(call, NULL);
    gs_go(park, c);
  }
  gs_go(compute, NULL);
  while (atomic_load(&in_c) < 4 || atomic_load(&busy) == 0) gs_sleep(MS(1));
}

/* ---- ways to end ---- */

static void handler(void) {
  gs_chan *c = NULL;
  if (gs_chan_new(0, 1, &c) == GS_OK && gs_chan_try_send(c, NULL) == GS_OK) say("handler ran\n");
}

/* A handler runs where exit was called: on a green thread it may park. */
static void parking_handler(void) {
  if (gs_self() != 0 && gs_sleep(MS(1)) == GS_OK) say("handler parked\n");
}

static int exit_main(void *arg) {
  (void)arg;
  start_others();
  exit(CODE);
}

static int from_main(void) {
  atexit(handler);
  atexit(parking_handler);
  gs_run(NULL, exit_main, NULL, NULL);
  return 1;
}

static void exit_here(void *arg) {
  (void)arg;
  exit(CODE);
}

static int exit_other(void *arg) {
  (void)arg;
  start_others();
  gs_go(exit_here, NULL);
  gs_sleep(GS_FOREVER);
  return 1;
}

static int from_another(void) {
  atexit(handler);
  atexit(parking_handler);
  gs_run(NULL, exit_other, NULL, NULL);
  return 1;
}

static int exit_in_c(void *arg) {
  (void)arg;
  exit(CODE);
}

static int exit_in_call(void *arg) {
  (void)arg;
  start_others();
  return gs_cgocall(exit_in_c, NULL, NULL);
}

static int from_a_call(void) {
  atexit(handler);
  gs_run(NULL, exit_in_call, NULL, NULL);
  return 1;
}

static void *exit_on_thread(void *arg) {
  while (atomic_load(&in_c) < 4) usleep(1000);
  exit_here(arg);
  return NULL;
}

static int run_for_good(void *arg) {
  start_others();
  gs_sleep(GS_FOREVER);
  (void)arg;
  return 1;
}

static int from_a_thread(void) {
  pthread_t t;
  atexit(handler);
  pthread_create(&t, NULL, exit_on_thread, NULL);
  gs_run(NULL, run_for_good, NULL, NULL);
  return 1;
}

static void *run_on_thread(void *arg) {
  gs_run(NULL, run_for_good, arg, NULL);
  return NULL;
}

/* main returns (scenarios_main exits with this) while gs_run is under way on another thread. */
static int by_return(void) {
  pthread_t t;
  atexit(handler);
  pthread_create(&t, NULL, run_on_thread, NULL);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&in_c) < 4 && gs_now() < end;) usleep(1000);
  return CODE;
}

/* ---- exec ---- */

static int mask_is_empty(void) {
  sigset_t set;
  sigprocmask(SIG_SETMASK, NULL, &set);
  int blocked = 0;
  for (int sig = 1; sig < 32; sig++) {
    if (sigismember(&set, sig) != 1) continue;
    fprintf(stderr, "signal %d is blocked\n", sig);
    blocked = 1;
  }
  return blocked ? 3 : CODE;
}

static char *look_at_mask[] = {"/proc/self/exe", "--scenario", "mask is empty", NULL};

/* Every other thread is gone then. */
static int exec_main(void *arg) {
  (void)arg;
  start_others();
  execv(look_at_mask[0], look_at_mask);
  return 1;
}

static int exec_in_c(void *arg) {
  (void)arg;
  execv(look_at_mask[0], look_at_mask);
  return 1;
}

static int exec_call(void *arg) {
  (void)arg;
  start_others();
  return gs_cgocall(exec_in_c, NULL, NULL);
}

static int by_exec(void) { return gs_run(NULL, exec_main, NULL, NULL); }

static int by_exec_in_a_call(void) { return gs_run(NULL, exec_call, NULL, NULL); }

static int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int spawn_it(void *arg) {
  pid_t pid = 0;
  (void)arg;
  int code = posix_spawn(&pid, look_at_mask[0], NULL, NULL, look_at_mask, environ);
  return code == 0 ? wait_for(pid) : -code;
}

static int fork_it(void *arg) {
  pid_t pid = fork();
  if (pid == 0) {
    exec_in_c(arg);
    _exit(99);
  }
  return pid > 0 ? wait_for(pid) : -errno;
}

static atomic_int signals, stop_storm;

static void on_signal(int sig) {
  (void)sig;
  atomic_fetch_add(&signals, 1);
}

static void *storm(void *arg) {
  (void)arg;
  while (!atomic_load(&stop_storm)) {
    kill(getpid(), SIGUSR1);
    usleep(50);
  }
  return NULL;
}

static void execute(void *arg) {
  wait_group *wg = arg;
  for (int i = 0; i < 2; i++) {
    int result = 0;
    CHECK_CODE(gs_cgocall(spawn_it, NULL, &result), GS_OK);
    CHECK_INT(result, CODE);
    CHECK_CODE(gs_cgocall(fork_it, NULL, &result), GS_OK);
    CHECK_INT(result, CODE);
    CHECK_INT(fork_it(NULL), CODE); /* on its own stack */
  }
  wg_done(wg);
}

/* Threads are being made meanwhile: they start with all signals blocked. */
static void execute_in_a_storm(void *arg) {
  enum { GREEN = 6 };
  pthread_t t;
  wait_group wg;
  (void)arg;
  wg_init(&wg);
  CHECK_INT(pthread_create(&t, NULL, storm, NULL), 0);
  for (int i = 0; i < GREEN; i++) go(execute, &wg);
  wg_wait(&wg, GREEN);
  while (atomic_load(&signals) == 0) gs_sleep(MS(1));
  atomic_store(&stop_storm, 1);
  pthread_join(t, NULL);
}

/* Go: CgoExecSignalMask. */
static void test_signal_mask_after_exec(void **state) {
  (void)state;
  skip_emulated("the kernel cannot execute a program for arm64");
  struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &sa, NULL);
  run_procs(PROCS, execute_in_a_storm, NULL);
  signal(SIGUSR1, SIG_IGN); /* what is still on its way */
}

/* ---- the tests ---- */

static const scenario scenarios[] = {
    {"from main", from_main},
    {"from another", from_another},
    {"from a call", from_a_call},
    {"from a thread", from_a_thread},
    {"by return", by_return},
    {"by exec", by_exec},
    {"by exec in a call", by_exec_in_a_call},
    {"mask is empty", mask_is_empty},
};

static void ends(const char *name, const char *text) {
  static const char *const env[] = {"SAY_DESTROYED=1", NULL};
  child c;
  child_run(&c, name, env);
  assert_child_exit(&c, CODE);
  assert_child_says(&c, "handler ran");
  assert_child_says(&c, "destroyed");
  if (text) assert_child_says(&c, text);
}

static void test_exit_on_a_green_thread(void **state) {
  (void)state;
  ends("from main", "handler parked");
  ends("from another", "handler parked");
}

static void test_exit_in_c(void **state) {
  (void)state;
  ends("from a call", NULL);
}

static void test_exit_elsewhere(void **state) {
  (void)state;
  ends("from a thread", NULL);
  ends("by return", NULL);
}

static void test_exec(void **state) {
  (void)state;
  skip_emulated("the kernel cannot execute a program for arm64");
  child c;
  child_run(&c, "by exec", NULL);
  assert_child_exit(&c, CODE);
  child_run(&c, "by exec in a call", NULL);
  assert_child_exit(&c, CODE);
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exit_on_a_green_thread), cmocka_unit_test(test_exit_in_c),
      cmocka_unit_test(test_exit_elsewhere),         cmocka_unit_test(test_exec),
      cmocka_unit_test(test_signal_mask_after_exec),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
