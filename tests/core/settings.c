/* settings.c: the variables of the environment.  What each is accepted with, what gs_run says of a
 * bad one, and what GOSCHED_LOG, GOSCHED_SCHEDTRACE and GOSCHED_DUMP_ON_SIGQUIT do, in children.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static child c;

/* ---- the table ---- */

static void test_table(void **state) {
  (void)state;
  const gs_setting *s;
  size_t i = 0;
  for (; (s = gs_setting_info(i)); i++) {
    assert_int_equal(strncmp(s->name, "GOSCHED_", 8), 0);
    assert_true(s->accepted[0] && s->otherwise[0] && s->text[0]);
    int64_t n = 77;
    const char *text = "?";
    unsetenv(s->name);
    assert_int_equal(gs_setting_get(s->name, &text, &n), 0);
    assert_null(text);
    assert_int_equal(n, 77);
    setenv(s->name, "", 1);
    assert_int_equal(gs_setting_get(s->name, &text, &n), 0);
    /* What no variable accepts; the sentence has name, value and range. */
    setenv(s->name, "no:", 1);
    assert_int_equal(gs_setting_get(s->name, &text, &n), GS_EINVAL);
    assert_non_null(strstr(gs_error_detail(), s->name));
    assert_non_null(strstr(gs_error_detail(), "\"no:\""));
    assert_non_null(strstr(gs_error_detail(), s->accepted));
    unsetenv(s->name);
  }
  assert_true(i >= 8);
  assert_null(gs_setting_info(SIZE_MAX));
}

static void test_get(void **state) {
  (void)state;
  const char *text;
  int64_t n = 0;
  setenv("GOSCHED_PROCS", "12", 1);
  assert_int_equal(gs_setting_get("GOSCHED_PROCS", &text, &n), 1);
  assert_string_equal(text, "12");
  assert_int_equal(n, 12);
  assert_int_equal(gs_setting_get("GOSCHED_PROCS", NULL, NULL), 1);
  unsetenv("GOSCHED_PROCS");
  setenv("GOSCHED_FFI", "libffi", 1);
  assert_int_equal(gs_setting_get("GOSCHED_FFI", &text, NULL), 1);
  assert_string_equal(text, "libffi");
  unsetenv("GOSCHED_FFI");
  assert_int_equal(gs_setting_get("GOSCHED_NONE", &text, &n), GS_EINVAL);
  assert_non_null(strstr(gs_error_detail(), "GOSCHED_NONE"));
  assert_int_equal(gs_setting_get(NULL, &text, &n), GS_EINVAL);
}

/* ---- what gs_run says ---- */

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static int plain_run(void) {
  int code = gs_run(NULL, nothing, NULL, NULL);
  if (code != GS_OK) printf("%s / %s\n", gs_strerror(code), gs_error_detail());
  return code == GS_OK ? 0 : 1;
}

static void refused(const char *setting, const char *variable, const char *range) {
  child_run(&c, "plain", (const char *const[]){setting, NULL});
  assert_child_exit(&c, 1);
  assert_child_says(&c, "GS_EINVAL");
  assert_child_says(&c, variable);
  assert_child_says(&c, range);
}

static void test_bad_values(void **state) {
  (void)state;
  refused("GOSCHED_PROCS=0", "GOSCHED_PROCS is \"0\"", "1..1024");
  refused("GOSCHED_PROCS=0x4", "GOSCHED_PROCS is \"0x4\"", "1..1024");
  refused("GOSCHED_THREAD_IDLE_MS=never", "GOSCHED_THREAD_IDLE_MS", "1..86400000");
  refused("GOSCHED_FFI=fast", "GOSCHED_FFI is \"fast\"", "auto or libffi");
  refused("GOSCHED_LOG=loud", "GOSCHED_LOG is \"loud\"", "warning");
  refused("GOSCHED_LOG=warning:", "GOSCHED_LOG is \"warning:\"", "a file");
  refused("GOSCHED_LOG=warning:/nonexistent/x", "GOSCHED_LOG", "cannot be opened");
  refused("GOSCHED_SCHEDTRACE=0", "GOSCHED_SCHEDTRACE is \"0\"", "1..86400000");
  refused("GOSCHED_SCHEDTRACE=99999999999999999999", "GOSCHED_SCHEDTRACE", "1..86400000");
  refused("GOSCHED_DUMP_ON_SIGQUIT=yes", "GOSCHED_DUMP_ON_SIGQUIT", "0..1");
}

/* ---- GOSCHED_LOG ---- */

static void wait_in_c(void *arg) {
  int ms = 1;
  gs_cgocall(block_ms, &ms, NULL);
  wg_done(arg);
}

/* More calls at once than there may be threads. */
static void want_threads(void *arg) {
  (void)arg;
  int64_t until = gs_now() + PATIENCE;
  while (metrics().thread_limit_hits == 0 && gs_now() < until) {
    wait_group wg;
    wg_init(&wg);
    for (int i = 0; i < 20; i++) go(wait_in_c, &wg);
    wg_wait(&wg, 20);
  }
  CHECK(metrics().thread_limit_hits > 0);
}

static int body(void *arg) {
  want_threads(arg);
  return 0;
}

static void print_message_of(int level, const char *text, void *ud) {
  printf("%s %d: %s\n", (const char *)ud, level, text);
}

static int warn(void) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  cfg.max_threads = 3;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (getenv("WITH_LOGGER")) gs_set_logger(print_message_of, (void *)(uintptr_t) "told");
  return gs_run(&cfg, body, NULL, NULL) == GS_OK ? checks_failed() : 1;
}

static int says(const char *text) { return strstr(c.text, text) != NULL; }

static void test_silent(void **state) {
  (void)state;
  child_run(&c, "warn", NULL);
  assert_child_exit(&c, 0);
  assert_string_equal(c.text, "");
}

static void test_levels(void **state) {
  (void)state;
  child_run(&c, "warn", (const char *const[]){"GOSCHED_LOG=warning", NULL});
  assert_child_exit(&c, 0);
  assert_child_says(&c, "]: warning: ");
  assert_child_says(&c, "GOSCHED_MAX_THREADS");
  child_run(&c, "warn", (const char *const[]){"GOSCHED_LOG=error", NULL});
  assert_child_exit(&c, 0);
  assert_string_equal(c.text, "");
  child_run(&c, "warn", (const char *const[]){"GOSCHED_LOG=off", NULL});
  assert_child_exit(&c, 0);
  assert_string_equal(c.text, "");
}

static void test_logger_and_log(void **state) {
  (void)state;
  child_run(&c, "warn", (const char *const[]){"WITH_LOGGER=1", NULL});
  assert_child_exit(&c, 0);
  assert_child_says(&c, "told 1: ");
  assert_false(says("]: warning: "));
  child_run(&c, "warn", (const char *const[]){"WITH_LOGGER=1", "GOSCHED_LOG=debug", NULL});
  assert_child_exit(&c, 0);
  assert_child_says(&c, "told 1: ");
  assert_child_says(&c, "]: warning: ");
}

static char file[] = "/tmp/gosched-settings-XXXXXX";
static char contents[65536];

static const char *read_file(void) {
  int fd = open(file, O_RDONLY);
  assert_true(fd >= 0);
  ssize_t n = read(fd, contents, sizeof contents - 1);
  close(fd);
  assert_true(n >= 0);
  contents[n] = 0;
  return contents;
}

static void test_file(void **state) {
  (void)state;
  char setting[100];
  int fd = mkstemp(file);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "before\n", 7), 7);
  close(fd);
  snprintf(setting, sizeof setting, "GOSCHED_LOG=info:%s", file);
  child_run(&c, "warn", (const char *const[]){setting, NULL});
  assert_child_exit(&c, 0);
  assert_string_equal(c.text, "");
  const char *log = read_file();
  assert_int_equal(strncmp(log, "before\n20", 9), 0); /* kept; a line begins with the time */
  assert_non_null(strstr(log, "Z gosched["));
  assert_non_null(strstr(log, "]: warning: "));
  /* Lines of GOSCHED_SCHEDTRACE go there, too. */
  child_run(&c, "lines", (const char *const[]){setting, "GOSCHED_SCHEDTRACE=1", NULL});
  assert_child_exit(&c, 0);
  assert_string_equal(c.text, "");
  assert_non_null(strstr(read_file(), "\nSCHED "));
  unlink(file);
}

/* ---- GOSCHED_SCHEDTRACE ---- */

/* Until sysmon has looked a few times after a line was due, most of the time asleep. */
static int some_time(void *arg) {
  (void)arg;
  gs_sleep(MS(50));
  uint64_t looks = metrics().sysmon_ticks;
  int64_t until = gs_now() + PATIENCE;
  while (metrics().sysmon_ticks < looks + 3 && gs_now() < until) gs_sleep(MS(5));
  return 0;
}

static int lines(void) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 3;
  return gs_run(&cfg, some_time, NULL, NULL) == GS_OK ? 0 : 1;
}

static void test_schedtrace(void **state) {
  (void)state;
  child_run(&c, "lines", (const char *const[]){"GOSCHED_SCHEDTRACE=10", NULL});
  assert_child_exit(&c, 0);
  int n = 0, last = -1;
  for (const char *line = c.text; *line; line = strchr(line, '\n') + 1) {
    int ms, procs, idle, threads, spinning, needs, idlethreads, incgo, gs, queue, end = 0;
    assert_non_null(strchr(line, '\n'));
    int got = sscanf(line,
                     "SCHED %dms: procs=%d idleprocs=%d threads=%d spinningthreads=%d "
                     "needspinning=%d idlethreads=%d incgo=%d gs=%d runqueue=%d [%n",
                     &ms, &procs, &idle, &threads, &spinning, &needs, &idlethreads, &incgo, &gs,
                     &queue, &end);
    if (got != 10) print_error("%s", line);
    assert_int_equal(got, 10);
    /* A queue for each P: at the start of a run there are not all of them yet. */
    assert_true(end > 0);
    int queues = 0;
    for (; line[end] && strchr("0123456789 ", line[end]); end++) queues += line[end] != ' ';
    assert_true(queues <= 3 && line[end] == ']' && line[end + 1] == '\n');
    assert_true(ms >= last && procs >= 1 && idle <= procs && idlethreads <= threads && gs <= 1);
    last = ms;
    n++;
  }
  assert_true(n >= 1);
}

/* ---- SIGQUIT ---- */

static atomic_int told;

static void also_told(int sig) {
  (void)sig;
  atomic_fetch_add(&told, 1);
}

static void waits(void *arg) { gs_chan_recv(arg, NULL, GS_FOREVER); }

static int dump_is_there(int fd) {
  static char text[65536];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  text[n > 0 ? n : 0] = 0;
  return strstr(text, "green threads\n") && strstr(text, "\"who waits\": waiting");
}

static int is_waiting(const char *name) {
  gs_snapshot_data *s;
  int yes = 0;
  if (gs_snapshot(&s) != GS_OK) return 0;
  for (size_t i = 0; i < s->ng; i++)
    if (strcmp(s->g[i].name, name) == 0) yes = s->g[i].state == GS_G_WAITING;
  gs_snapshot_free(s);
  return yes;
}

/* stderr is a file here, which is looked at until it has the dump. */
static int quit(void *arg) {
  (void)arg;
  FILE *f = tmpfile();
  int kept = dup(2);
  CHECK(f && kept >= 0 && dup2(fileno(f), 2) == 2);
  gs_chan *ch = chan_new(0, 0);
  gs_handle *h = go_named("who waits", waits, ch);
  int64_t until = gs_now() + PATIENCE;
  while (!is_waiting("who waits") && gs_now() < until) gs_sleep(MS(1));
  CHECK_INT(kill(getpid(), SIGQUIT), 0);
  while (!dump_is_there(fileno(f)) && gs_now() < until) gs_sleep(MS(1));
  CHECK(dump_is_there(fileno(f)));
  dup2(kept, 2);
  gs_chan_close(ch);
  join(h);
  return 0;
}

static int run_quit(unsigned flags) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  struct sigaction a = {.sa_handler = also_told}, now;
  cfg.procs = 2;
  cfg.flags = flags;
  CHECK_INT(sigaction(SIGQUIT, &a, NULL), 0);
  CHECK_CODE(gs_run(&cfg, quit, NULL, NULL), GS_OK);
  CHECK_INT(atomic_load(&told), 1); /* the program's own handler, too */
  CHECK_INT(sigaction(SIGQUIT, NULL, &now), 0);
  CHECK(now.sa_handler == also_told); /* and it is back */
  return checks_failed();
}

static int quit_by_flag(void) { return run_quit(GS_RUN_DUMP_ON_SIGQUIT); }
static int quit_by_variable(void) { return run_quit(0); }

/* Nobody has asked: the signal ends the process as ever. */
static int die(void *arg) {
  (void)arg;
  kill(getpid(), SIGQUIT);
  gs_sleep(PATIENCE);
  return 0;
}
static int quit_by_default(void) { return gs_run(NULL, die, NULL, NULL); }

static void test_sigquit(void **state) {
  (void)state;
  child_run(&c, "quit flag", NULL);
  assert_child_exit(&c, 0);
  child_run(&c, "quit variable", (const char *const[]){"GOSCHED_DUMP_ON_SIGQUIT=1", NULL});
  assert_child_exit(&c, 0);
  child_run(&c, "quit default", (const char *const[]){"GOSCHED_DUMP_ON_SIGQUIT=0", NULL});
  assert_child_signal(&c, SIGQUIT);
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {
      {"plain", plain_run},
      {"warn", warn},
      {"lines", lines},
      {"quit flag", quit_by_flag},
      {"quit variable", quit_by_variable},
      {"quit default", quit_by_default},
  };
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),      cmocka_unit_test(test_get),
      cmocka_unit_test(test_bad_values), cmocka_unit_test(test_silent),
      cmocka_unit_test(test_levels),     cmocka_unit_test(test_logger_and_log),
      cmocka_unit_test(test_file),       cmocka_unit_test(test_schedtrace),
      cmocka_unit_test(test_sigquit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
