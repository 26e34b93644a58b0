/* monitor.c: opening and closing the monitor, and what goes on beside it.  What it answers is
 * looked at by check_monitor.py, which a JSON parser is at hand for; this program serves it
 * ("serve").
 */
#include "fork_child.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char dir[64], path[128];

static int set_up(void **state) {
  (void)state;
  strcpy(dir, "/tmp/gosched-monitor-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(path, sizeof path, "%s/socket", dir);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unlink(path);
  return rmdir(dir);
}

static void fails(const char *given, int code, const char *text) {
  assert_int_equal(gs_monitor_start(given), code);
  if (!strstr(gs_error_detail(), text)) fail_msg("the error says: %s", gs_error_detail());
  assert_int_equal(gs_monitor_path(NULL, 0), 0);
}

static bool there(const char *name) {
  struct stat st;
  return lstat(name, &st) == 0;
}

static struct sockaddr_un address_of(const char *name) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%.*s", (int)sizeof a.sun_path - 1, name);
  return a;
}

static int connected(const char *name) {
  struct sockaddr_un a = address_of(name);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
  close(fd);
  return -1;
}

/* Asks, and reads a line; its beginning is in text.  False: the connection was closed. */
static bool ask(int fd, const char *request, char *text, size_t n) {
  size_t got = 0;
  char c;
  if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0) return false;
  while (recv(fd, &c, 1, 0) == 1) {
    if (c == '\n') {
      text[got] = 0;
      return true;
    }
    if (got + 1 < n) text[got++] = c;
  }
  return false;
}

/* ---- paths ---- */

static void test_bad_paths(void **state) {
  (void)state;
  char long_path[300];
  memset(long_path, 'x', sizeof long_path - 1);
  long_path[sizeof long_path - 1] = 0;
  fails(long_path, GS_EINVAL, "299 bytes long; up to 107 are accepted");
  fails("", GS_EINVAL, "is empty");
  fails("/tmp/%q", GS_EINVAL, "neither %p nor %%");
  fails("/tmp/100%", GS_EINVAL, "neither %p nor %%");
  unsetenv("XDG_RUNTIME_DIR");
  fails(NULL, GS_EINVAL, "XDG_RUNTIME_DIR is not set");
  fails("/nowhere/at/all", GS_ESYS, "No such file or directory");
  assert_int_equal(gs_monitor_stop(), GS_EPERM);
}

static void test_default_path(void **state) {
  (void)state;
  char got[128], wanted[128];
  setenv("XDG_RUNTIME_DIR", dir, 1);
  snprintf(wanted, sizeof wanted, "%s/gosched-%d.sock", dir, (int)getpid());
  for (int i = 0; i < 2; i++) {
    assert_int_equal(gs_monitor_start(i ? "default" : NULL), GS_OK);
    assert_int_equal(gs_monitor_path(got, sizeof got), strlen(wanted));
    assert_string_equal(got, wanted);
    assert_int_equal(gs_monitor_stop(), GS_OK);
    assert_false(there(wanted));
  }
  unsetenv("XDG_RUNTIME_DIR");
}

/* What is there already is left alone, unless it is a socket that nobody listens on. */
static void test_taken_paths(void **state) {
  (void)state;
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0 && write(fd, "mine", 4) == 4);
  close(fd);
  fails(path, GS_EINVAL, "taken by something that is no socket");
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, 4);
  unlink(path);

  char target[160];
  snprintf(target, sizeof target, "%s-target", path);
  assert_int_equal(symlink(target, path), 0);
  fails(path, GS_EINVAL, "taken by something that is no socket");
  assert_true(there(path));
  assert_false(there(target));
  unlink(path);

  struct sockaddr_un a = address_of(path);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, 1), 0);
  fails(path, GS_EBUSY, "another process's; with %p");
  close(fd); /* as if its program had been killed */
  assert_true(there(path));
  assert_int_equal(gs_monitor_start(path), GS_OK);
  assert_int_equal(gs_monitor_stop(), GS_OK);
}

static void test_mode_and_name(void **state) {
  (void)state;
  struct stat st;
  mode_t before = umask(0);
  assert_int_equal(gs_monitor_start(path), GS_OK);
  umask(before);
  assert_int_equal(lstat(path, &st), 0);
  assert_true(S_ISSOCK(st.st_mode));
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(gs_monitor_start(path), GS_EBUSY);
  assert_non_null(strstr(gs_error_detail(), "open already"));
  assert_int_equal(gs_monitor_stop(), GS_OK);
  assert_false(there(path));

  /* A file that has taken the name meanwhile is not ours to take away. */
  assert_int_equal(gs_monitor_start(path), GS_OK);
  unlink(path);
  close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  assert_int_equal(gs_monitor_stop(), GS_OK);
  assert_true(there(path));
  unlink(path);
}

/* ---- closing ---- */

static void test_stop_closes_clients(void **state) {
  (void)state;
  char text[64];
  for (int i = 0; i < 20; i++) {
    assert_int_equal(gs_monitor_start(path), GS_OK);
    int fd = connected(path);
    assert_true(fd >= 0);
    assert_true(ask(fd, "metrics\n", text, sizeof text));
    assert_memory_equal(text, "{\"gosched\":", 11);
    assert_int_equal(gs_monitor_stop(), GS_OK);
    assert_false(ask(fd, "metrics\n", text, sizeof text));
    close(fd);
    assert_true(connected(path) < 0);
  }
}

static atomic_int opened;

static void *open_and_close(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(100); i++) {
    int r = gs_monitor_start(path);
    CHECK(r == GS_OK || r == GS_EBUSY);
    if (r != GS_OK) continue;
    CHECK_INT(atomic_fetch_add(&opened, 1), 0);
    atomic_fetch_sub(&opened, 1);
    CHECK_CODE(gs_monitor_stop(), GS_OK);
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  pthread_t t[4];
  for (size_t i = 0; i < COUNT(t); i++)
    assert_int_equal(pthread_create(&t[i], NULL, open_and_close, NULL), 0);
  for (size_t i = 0; i < COUNT(t); i++) pthread_join(t[i], NULL);
  assert_int_equal(checks_failed(), 0);
  assert_false(there(path));
}

/* ---- a deadlock is found all the same ---- */

static void receive_nothing(void *arg) {
  char nothing;
  gs_chan *never = chan_new(1, 0);
  (void)arg;
  CHECK_CODE(gs_chan_recv(never, &nothing, GS_FOREVER), GS_EDEADLOCK);
  CHECK_CODE(gs_chan_free(never), GS_OK);
}

static void test_deadlock(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  char text[64];
  cfg.flags = GS_RUN_DETECT_DEADLOCK;
  assert_int_equal(gs_monitor_start(path), GS_OK);
  int fd = connected(path);
  assert_true(ask(fd, "top\n", text, sizeof text));
  run_config(&cfg, receive_nothing, NULL);
  assert_true(ask(fd, "top\n", text, sizeof text));
  close(fd);
  assert_int_equal(gs_monitor_stop(), GS_OK);
}

/* ---- fork ---- */

static void add_one(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

/* own: the child has a monitor of its own. */
static void look_from_child(bool own) {
  char mine[128], text[64], wanted[160];
  CHECK_INT(gs_monitor_path(mine, sizeof mine), 0);
  atomic_int ran = 0;
  join(go_named("first", add_one, &ran));
  CHECK_INT(atomic_load(&ran), 1);
  if (!own) {
    CHECK_INT(gs_monitor_path(mine, sizeof mine), 0);
    return;
  }
  snprintf(wanted, sizeof wanted, "%s.%d", path, (int)getpid());
  CHECK_INT(gs_monitor_path(mine, sizeof mine), strlen(wanted));
  CHECK(strcmp(mine, wanted) == 0);
  int fd = connected(wanted);
  CHECK(fd >= 0 && ask(fd, "metrics\n", text, sizeof text));
  CHECK_CODE(gs_monitor_stop(), GS_OK);
  CHECK(!there(wanted));
}

static void fork_beside(void *arg) {
  bool own = *(bool *)arg;
  char text[64], mine[128];
  CHECK(gs_monitor_path(mine, sizeof mine) > 0);
  int fd = connected(mine);
  CHECK(fd >= 0 && ask(fd, "metrics\n", text, sizeof text));
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    look_from_child(own);
    end_child();
  }
  expect_end(pid, GOOD);
  CHECK(there(mine));
  CHECK(ask(fd, "metrics\n", text, sizeof text));
  close(fd);
}

static void test_fork(void **state) {
  (void)state;
  skip_threads();
  bool own = false;
  assert_int_equal(gs_monitor_start(path), GS_OK);
  run_procs(2, fork_beside, &own);
  assert_int_equal(gs_monitor_stop(), GS_OK);
  char template[160];
  snprintf(template, sizeof template, "%s.%%p", path);
  own = true;
  assert_int_equal(gs_monitor_start(template), GS_OK);
  run_procs(2, fork_beside, &own);
  assert_int_equal(gs_monitor_stop(), GS_OK);
}

/* ---- the environment ---- */

static int nothing_at_all(void *arg) {
  (void)arg;
  return 0;
}

static int runs_once(void) {
  char where[128];
  int code = gs_run(NULL, nothing_at_all, NULL, NULL);
  gs_monitor_path(where, sizeof where);
  printf("run: %d %s\nat: %s, %s\n", code, code ? gs_error_detail() : "", where,
         there(where) ? "there" : "not there");
  return 0;
}

static void test_environment(void **state) {
  (void)state;
  child c;
  char set[160], text[200];
  snprintf(set, sizeof set, "GOSCHED_MONITOR=%s.%%p", path);
  child_run(&c, "once", (const char *[]){set, NULL});
  assert_child_exit(&c, 0);
  snprintf(text, sizeof text, "run: 0 \nat: %s.", path);
  assert_child_says(&c, text);
  assert_child_says(&c, ", there");
  child_run(&c, "once", (const char *[]){"GOSCHED_MONITOR=/nowhere/at/all", NULL});
  assert_child_says(&c, "the monitor's socket \"/nowhere/at/all\": bind: No such file");
  child_run(&c, "once", (const char *[]){"GOSCHED_MONITOR=a/path", NULL});
  assert_child_says(&c, "GOSCHED_MONITOR is \"a/path\"; an absolute path");
  /* Somebody else's, as where a program starts others: these go on without. */
  assert_int_equal(gs_monitor_start(path), GS_OK);
  snprintf(set, sizeof set, "GOSCHED_MONITOR=%s", path);
  child_run(&c, "once", (const char *[]){set, NULL});
  assert_child_says(&c, "run: 0 ");
  assert_child_says(&c, "at: , not there");
  assert_true(there(path));
  assert_int_equal(gs_monitor_stop(), GS_OK);
}

/* ---- for check_monitor.py: PARKED that wait, BLOCKED in C, until the input ends ---- */

enum { PARKED = 5, BLOCKED = 3 };
static gs_chan *forever;
static int ends[2];
static gs_site site = {.name = "reads_a_pipe"};

static void waits(void *arg) {
  (void)arg;
  char nothing;
  (void)gs_chan_recv(forever, &nothing, GS_FOREVER);
}

static int reads(void *arg) {
  char nothing;
  (void)arg;
  return (int)read(ends[0], &nothing, 1);
}

static void blocks(void *arg) { CHECK_CODE(gs_cgocall_site(&site, reads, arg, NULL), GS_OK); }

static int serves_body(void *arg) {
  char line[8];
  /* Cut in the middle of a character, and worse. */
  static const char *const names[PARKED] = {"plain", "a \"quoted\" \\ one", "line\nbreak\t\x01\x7f",
                                            "\xff\xfe no text \xc3\x28\xed\xa0\x80\xf5",
                                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4"};
  (void)arg;
  forever = chan_new(1, 0);
  if (pipe(ends)) return 1;
  gs_handle *h[BLOCKED];
  for (int i = 0; i < PARKED; i++) {
    gs_go_options o = {.size = sizeof o, .name = names[i]};
    CHECK_CODE(gs_go_opts(&o, waits, NULL, NULL), GS_OK);
  }
  for (int i = 0; i < BLOCKED; i++) h[i] = go_named("blocked", blocks, NULL);
  while (metrics().incgo < BLOCKED) gs_sleep(MS(1));
  puts("ready");
  fflush(stdout);
  while (read(STDIN_FILENO, line, sizeof line) > 0) continue;
  for (int i = 0; i < BLOCKED; i++) CHECK_INT(write(ends[1], "x", 1), 1);
  for (int i = 0; i < BLOCKED; i++) join(h[i]);
  return checks_failed();
}

static int serves(void) {
  int result = 1, code = gs_run(NULL, serves_body, NULL, &result);
  if (code) fprintf(stderr, "%s\n", gs_error_detail());
  return code || result;
}

static const scenario scenarios[] = {{"once", runs_once}};

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "serve") == 0) return serves();
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_bad_paths),
      TEST(test_default_path),
      TEST(test_taken_paths),
      TEST(test_deadlock),
      TEST(test_stop_closes_clients),
      TEST(test_mode_and_name),
      TEST(test_fork),
      TEST(test_threads),
      TEST(test_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
