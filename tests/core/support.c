/* support.c: the helpers of support.h; see there what they are for.
 *
 * Nothing here may keep the address of a thread-local over a call that parks, and nothing called
 * from green threads may need more than a few KiB of stack.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- checks ---- */

enum { REPORTED_MOST = 20 };

static atomic_int failures;

static int report_wanted(void) { return atomic_fetch_add(&failures, 1) < REPORTED_MOST; }

void check_failed(const char *file, int line, const char *what) {
  int saved = errno;
  if (report_wanted()) fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  errno = saved;
}

void check_int(const char *file, int line, const char *what, int64_t actual, int64_t expected) {
  if (actual == expected) return;
  int saved = errno;
  if (report_wanted()) {
    fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", file, line, what, (long long)actual,
            (long long)expected);
  }
  errno = saved;
}

void check_code(const char *file, int line, const char *what, int actual, int expected) {
  if (actual == expected) return;
  int saved = errno;
  if (report_wanted()) {
    fprintf(stderr, "%s:%d: %s gives (%d) %s, expected (%d) %s\n", file, line, what, actual,
            gs_strerror(actual), expected, gs_strerror(expected));
  }
  errno = saved;
}

int checks_failed(void) { return atomic_load(&failures); }

/* ---- running a body ---- */

typedef struct body {
  body_fn fn;
  void *arg;
} body;

static int run_body(void *arg) {
  body *b = arg;
  b->fn(b->arg);
  return 0;
}

/* cmocka's handlers jump to the test's end, which cannot be done from another stack. */
static void crash_plainly(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  for (size_t i = 0; i < COUNT(signals); i++) signal(signals[i], SIG_DFL);
}

void run_config(const gs_config *cfg, body_fn fn, void *arg) {
  body b = {fn, arg};
  crash_plainly();
  int result = -1;
  int code = gs_run(cfg, run_body, &b, &result);
  if (code != GS_OK) print_error("gs_run: %s; %s\n", gs_strerror(code), gs_error_detail());
  assert_int_equal(code, GS_OK);
  assert_int_equal(result, 0);
  int failed = atomic_exchange(&failures, 0);
  assert_int_equal(failed, 0);
}

void run_procs(int procs, body_fn fn, void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = procs;
  run_config(&cfg, fn, arg);
}

void go(body_fn fn, void *arg) { CHECK_CODE(gs_go(fn, arg), GS_OK); }

gs_handle *go_named(const char *name, body_fn fn, void *arg) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = name;
  gs_handle *h = NULL;
  CHECK_CODE(gs_go_opts(&opts, fn, arg, &h), GS_OK);
  return h;
}

void join(gs_handle *h) {
  CHECK_CODE(gs_join(h, GS_FOREVER), GS_OK);
  gs_handle_release(h);
}

gs_chan *chan_new(size_t elem_size, size_t cap) {
  gs_chan *c = NULL;
  CHECK_CODE(gs_chan_new(elem_size, cap, &c), GS_OK);
  return c;
}

/* ---- wait groups ---- */

void wg_init(wait_group *wg) { wg->done = chan_new(0, 0); }

void wg_done(wait_group *wg) { CHECK_CODE(gs_chan_send(wg->done, NULL, GS_FOREVER), GS_OK); }

void wg_wait(wait_group *wg, size_t count) {
  for (size_t i = 0; i < count; i++) CHECK_CODE(gs_chan_recv(wg->done, NULL, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_free(wg->done), GS_OK);
}

/* ---- small things ---- */

int64_t in_ms(int64_t ms) { return gs_now() + MS(ms); }

long my_tid(void) { return syscall(SYS_gettid); }

gs_metrics metrics(void) {
  gs_metrics m = {.size = sizeof m};
  CHECK_CODE(gs_read_metrics(&m), GS_OK);
  return m;
}

uint64_t random_next(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static void sleep_kernel(int64_t ns) {
  struct timespec left = {ns / 1000000000, ns % 1000000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

int block_ms(void *arg) {
  sleep_kernel(MS(*(int *)arg));
  return 0;
}

int block_until(atomic_int *flag) {
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(flag) && gs_now() < end;) {
    sleep_kernel(MS(1));
  }
  return atomic_load(flag);
}

/* ---- children ---- */

static const char scenario_option[] = "--scenario";

void scenarios_main(int argc, char **argv, const scenario *table, size_t count) {
  if (argc != 3 || strcmp(argv[1], scenario_option) != 0) return;
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  alarm(60); /* a child that hangs ends by SIGALRM and shows in its status */
  for (size_t i = 0; i < count; i++) {
    if (strcmp(argv[2], table[i].name) == 0) {
      int code = table[i].fn();
      fflush(NULL);
      exit(code);
    }
  }
  fprintf(stderr, "there is no scenario %s\n", argv[2]);
  exit(125);
}

/* The sanitizers take SIGSEGV and SIGABRT for themselves unless told not to; a child must end as
 * it does without them. */
static const char *const sanitizers[] = {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"};

enum { ENV_MOST = 512 };

static int names_variable(const char *entry, const char *name, size_t length) {
  return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/* A copy of the environment without what is replaced, then the additions. */
static char **child_env(const char *const *extra) {
  static char *env[ENV_MOST + 1];
  static char options[COUNT(sanitizers)][512];
  size_t used = 0;
  for (char **e = environ; *e != NULL && used < ENV_MOST; e++) {
    int replaced = 0;
    for (size_t i = 0; extra != NULL && extra[i] != NULL; i++) {
      replaced |= names_variable(*e, extra[i], strcspn(extra[i], "="));
    }
    for (size_t i = 0; i < COUNT(sanitizers); i++) {
      replaced |= names_variable(*e, sanitizers[i], strlen(sanitizers[i]));
    }
    if (!replaced) env[used++] = *e;
  }
  for (size_t i = 0; i < COUNT(sanitizers) && used < ENV_MOST; i++) {
    const char *before = getenv(sanitizers[i]);
    snprintf(options[i], sizeof options[i], "%s=%s%shandle_segv=0:handle_abort=0", sanitizers[i],
             before == NULL ? "" : before, before == NULL ? "" : ":");
    env[used++] = options[i];
  }
  for (size_t i = 0; extra != NULL && extra[i] != NULL && used < ENV_MOST; i++) {
    env[used++] = (char *)(uintptr_t)extra[i];
  }
  env[used] = NULL;
  return env;
}

static void read_all(int fd, char *text, size_t room) {
  char rest[4096];
  size_t used = 0;
  for (;;) {
    int full = used == room - 1;
    ssize_t n = full ? read(fd, rest, sizeof rest) : read(fd, text + used, room - 1 - used);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (!full) used += (size_t)n;
  }
  text[used] = '\0';
}

/* The kernel cannot run a program for another processor by itself: the emulator's words first. */
enum { WORDS_MOST = 16 };

static char **child_argv(const char *name) {
  static char *argv[WORDS_MOST + 4];
  size_t n = 0;
#ifdef TEST_EMULATOR
  static char emulator[sizeof TEST_EMULATOR], self[PATH_MAX];
  memcpy(emulator, TEST_EMULATOR, sizeof emulator);
  for (char *word = strtok(emulator, " "); word != NULL && n < WORDS_MOST; word = strtok(NULL, " "))
    argv[n++] = word;
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  assert_true(length > 0);
  self[length] = '\0';
  argv[n++] = self;
#else
  argv[n++] = "/proc/self/exe";
#endif
  argv[n++] = (char *)(uintptr_t)scenario_option;
  argv[n++] = (char *)(uintptr_t)name;
  argv[n] = NULL;
  return argv;
}

void child_run(child *c, const char *name, const char *const *env) {
  int fds[2];
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
  char **argv = child_argv(name);
  pid_t pid;
  int code = posix_spawnp(&pid, argv[0], &actions, NULL, argv, child_env(env));
  posix_spawn_file_actions_destroy(&actions);
  close(fds[1]);
  assert_int_equal(code, 0);
  read_all(fds[0], c->text, sizeof c->text);
  close(fds[0]);
  assert_int_equal(waitpid(pid, &c->status, 0), pid);
}

static void show_child(const child *c) {
  print_error("the child %s %d and wrote:\n%s\n",
              WIFSIGNALED(c->status) ? "was ended by signal" : "ended with status",
              WIFSIGNALED(c->status) ? WTERMSIG(c->status) : WEXITSTATUS(c->status), c->text);
}

void assert_child_exit(const child *c, int code) {
  int right = WIFEXITED(c->status) && WEXITSTATUS(c->status) == code;
  if (!right) show_child(c);
  assert_true(right);
}

void assert_child_signal(const child *c, int sig) {
  int right = WIFSIGNALED(c->status) && WTERMSIG(c->status) == sig;
  if (!right) show_child(c);
  assert_true(right);
}

void assert_child_says(const child *c, const char *text) {
  int right = strstr(c->text, text) != NULL;
  if (!right) {
    show_child(c);
    print_error("it should say \"%s\"\n", text);
  }
  assert_true(right);
}
