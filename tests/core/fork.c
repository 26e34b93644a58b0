/* fork.c: a child of fork goes on with the green thread that forked, and everything works there.
 *
 * What the child finds wrong it counts and tells by its exit status; the parent goes on as if
 * nothing had happened and is looked at, too.
 */
#include "fork_child.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

enum { PROCS = 2, MANY = 20 };

/* ---- everything works ---- */

static void add_one(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static void send_some(void *arg) {
  for (int i = 0; i < MANY; i++) CHECK_CODE(gs_chan_send(arg, &i, GS_FOREVER), GS_OK);
}

static void sleep_and_add(void *arg) {
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  add_one(arg);
}

static atomic_int may_return;

static int stay_blocked(void *arg) {
  (void)arg;
  return block_until(&may_return);
}

static void call_and_stay(void *arg) {
  int stayed = 0;
  CHECK_CODE(gs_cgocall(stay_blocked, NULL, &stayed), GS_OK);
  CHECK_INT(stayed, 1);
  add_one(arg);
}

typedef struct pipe_ends {
  int r, w;
} pipe_ends;

static void pipe_open(pipe_ends *p) {
  int fds[2] = {-1, -1};
  CHECK_INT(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  *p = (pipe_ends){fds[0], fds[1]};
  CHECK_CODE(gs_poll_open(p->r), GS_OK);
}

static void write_late(void *arg) {
  pipe_ends *p = arg;
  size_t n = 0;
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
  CHECK_CODE(gs_write(p->w, "!", 1, GS_FOREVER, &n), GS_OK);
}

/* Also of one that was opened before the fork. */
static void waiting_works(pipe_ends *p) {
  char byte = 0;
  size_t n = 0;
  gs_handle *h = go_named("writer", write_late, p);
  CHECK_CODE(gs_read(p->r, &byte, 1, in_ms(20000), &n), GS_OK);
  CHECK_INT(byte, '!');
  CHECK_CODE(gs_read(p->r, &byte, 1, in_ms(1), &n), GS_ETIMEOUT);
  join(h);
}

static void pipe_close(pipe_ends *p) {
  CHECK_CODE(gs_poll_close(p->r), GS_OK);
  close(p->r);
  close(p->w);
}

static void everything_works(void) {
  atomic_int count = 0;
  gs_handle *hs[MANY];
  for (int i = 0; i < MANY; i++) hs[i] = go_named("new", i % 2 ? add_one : sleep_and_add, &count);
  for (int i = 0; i < MANY; i++) join(hs[i]);
  CHECK_INT(atomic_load(&count), MANY);

  gs_chan *c = chan_new(sizeof(int), 0);
  go(send_some, c);
  for (int i = 0, value = -1; i < MANY; i++) {
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
    CHECK_INT(value, i);
  }
  CHECK_CODE(gs_chan_recv(c, NULL, in_ms(1)), GS_ETIMEOUT);
  CHECK_CODE(gs_chan_free(c), GS_OK);

  pipe_ends p;
  pipe_open(&p);
  waiting_works(&p);
  pipe_close(&p);

  /* Others run while one is in C: with as many Ps as there are, that needs sysmon. */
  atomic_store(&may_return, 0);
  gs_handle *blocked[2 * PROCS];
  for (size_t i = 0; i < COUNT(blocked); i++) blocked[i] = go_named("in C", call_and_stay, &count);
  for (int i = 0; i < MANY; i++) gs_yield();
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  atomic_store(&may_return, 1);
  for (size_t i = 0; i < COUNT(blocked); i++) join(blocked[i]);
  CHECK_INT(atomic_load(&count), MANY + 2 * PROCS);
}

/* ---- other green threads, of all kinds ---- */

typedef struct crowd {
  gs_chan *never, *ticks;
  gs_handle *parked, *sleeper, *caller, *busy, *reader;
  pipe_ends open, other;
  atomic_int stop, in_c, ended;
  int shared; /* several children at once have the pipe */
} crowd;

static void park_for_good(void *arg) {
  crowd *w = arg;
  CHECK_CODE(gs_chan_recv(w->never, NULL, GS_FOREVER), GS_ECLOSED);
  add_one(&w->ended);
}

static void sleep_for_good(void *arg) {
  crowd *w = arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  add_one(&w->ended);
}

static int sit_in_c(void *arg) {
  crowd *w = arg;
  atomic_store(&w->in_c, 1);
  return block_until(&w->stop);
}

static void read_for_good(void *arg) {
  crowd *w = arg;
  char byte = 0;
  size_t n = 0;
  CHECK_CODE(gs_read(w->other.r, &byte, 1, GS_FOREVER, &n), GS_OK);
  CHECK_INT(byte, '.');
  add_one(&w->ended);
}

static void call_for_long(void *arg) {
  crowd *w = arg;
  CHECK_CODE(gs_cgocall(sit_in_c, w, NULL), GS_OK);
  add_one(&w->ended);
}

/* In and out of the scheduler all the time. */
static void be_busy(void *arg) {
  crowd *w = arg;
  gs_chan *c = chan_new(0, 1);
  while (!atomic_load(&w->stop)) {
    CHECK_CODE(gs_chan_send(c, NULL, GS_FOREVER), GS_OK);
    gs_handle *h = go_named("short", add_one, &w->in_c);
    gs_yield();
    CHECK_CODE(gs_chan_recv(c, NULL, GS_FOREVER), GS_OK);
    CHECK_CODE(gs_sleep(1000), GS_OK);
    join(h);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
  add_one(&w->ended);
}

static void crowd_start(crowd *w) {
  *w = (crowd){.never = chan_new(0, 0)};
  pipe_open(&w->open);
  pipe_open(&w->other);
  w->reader = go_named("reader", read_for_good, w);
  w->parked = go_named("parked", park_for_good, w);
  w->sleeper = go_named("sleeper", sleep_for_good, w);
  w->caller = go_named("caller", call_for_long, w);
  w->busy = go_named("busy", be_busy, w);
  while (!atomic_load(&w->in_c)) gs_sleep(MS(1));
}

/* In the parent they live on. */
static void crowd_end(crowd *w) {
  CHECK_INT(gs_handle_done(w->parked) + gs_handle_done(w->sleeper), 0);
  CHECK_INT(gs_handle_done(w->caller) + gs_handle_done(w->busy), 0);
  atomic_store(&w->stop, 1);
  CHECK_CODE(gs_chan_close(w->never), GS_OK);
  CHECK_CODE(gs_cancel(w->sleeper), GS_OK);
  join(w->parked);
  join(w->sleeper);
  join(w->caller);
  join(w->busy);
  size_t n = 0;
  CHECK_INT(gs_handle_done(w->reader), 0);
  CHECK_CODE(gs_write(w->other.w, ".", 1, GS_FOREVER, &n), GS_OK);
  join(w->reader);
  CHECK_INT(atomic_load(&w->ended), 5);
  pipe_close(&w->open);
  pipe_close(&w->other);
  CHECK_CODE(gs_chan_free(w->never), GS_OK);
}

/* In the child they have ended, and nobody wakes them. */
static void crowd_is_gone(crowd *w) {
  CHECK_INT(metrics().gs_live, 1);
  CHECK_INT(metrics().threads, 1);
  CHECK_INT(gs_handle_done(w->parked), 1);
  CHECK_CODE(gs_cancel(w->sleeper), GS_OK);
  join(w->sleeper);
  join(w->parked);
  join(w->caller);
  join(w->busy);
  join(w->reader);
  if (!w->shared) waiting_works(&w->open);
  CHECK_CODE(gs_chan_try_send(w->never, NULL), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_close(w->never), GS_OK);
  CHECK_INT(atomic_load(&w->ended), 0);
}

/* ---- from a green thread's own stack ---- */

static pid_t fork_and_work(crowd *w) {
  uint64_t self = gs_self();
  pid_t pid = fork();
  if (pid != 0) return pid;
  begin_child();
  CHECK_INT(gs_self(), self);
  crowd_is_gone(w);
  everything_works();
  end_child();
}

static void fork_on_main(void *arg) {
  (void)arg;
  crowd w;
  crowd_start(&w);
  for (int i = 0; i < 3; i++) expect_end(fork_and_work(&w), GOOD);
  everything_works();
  crowd_end(&w);
}

static void test_from_the_main_green_thread(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_on_main, NULL);
}

static void fork_here(void *arg) { expect_end(fork_and_work(arg), GOOD); }

static void fork_on_others(void *arg) {
  (void)arg;
  crowd w;
  crowd_start(&w);
  w.shared = 1;
  gs_handle *hs[4];
  for (size_t i = 0; i < COUNT(hs); i++) hs[i] = go_named("forks", fork_here, &w);
  for (size_t i = 0; i < COUNT(hs); i++) join(hs[i]);
  everything_works();
  crowd_end(&w);
}

static void test_from_several_at_once(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_on_others, NULL);
}

static void fork_on_a_system_one(void *arg) {
  (void)arg;
  crowd w;
  gs_go_options o = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h = NULL;
  o.flags = GS_GO_SYSTEM;
  crowd_start(&w);
  CHECK_CODE(gs_go_opts(&o, fork_here, &w, &h), GS_OK);
  join(h);
  crowd_end(&w);
}

static void test_from_a_system_one(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_on_a_system_one, NULL);
}

/* ---- by who has stopped the world ---- */

static void fork_stopped(void *arg) {
  (void)arg;
  crowd w;
  crowd_start(&w);
  CHECK_CODE(gs_stop_world("fork"), GS_OK);
  pid_t pid = fork();
  if (pid == 0) begin_child();
  CHECK_CODE(gs_start_world(), GS_OK);
  if (pid == 0) {
    crowd_is_gone(&w);
    CHECK_CODE(gs_stop_world("again"), GS_OK);
    CHECK_CODE(gs_start_world(), GS_OK);
    everything_works();
    end_child();
  }
  expect_end(pid, GOOD);
  everything_works();
  crowd_end(&w);
}

static void test_with_the_world_stopped(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_stopped, NULL);
}

/* ---- from a foreign call ---- */

typedef struct call_fork {
  crowd w;
  pid_t pid;
} call_fork;

static int fork_in_c(void *arg) {
  call_fork *f = arg;
  f->pid = fork();
  if (f->pid == 0) begin_child();
  return 7;
}

static void fork_in_call(void *arg) {
  (void)arg;
  call_fork f;
  int result = 0;
  crowd_start(&f.w);
  CHECK_CODE(gs_cgocall(fork_in_c, &f, &result), GS_OK);
  CHECK_INT(result, 7);
  if (f.pid == 0) {
    crowd_is_gone(&f.w);
    everything_works();
    end_child();
  }
  expect_end(f.pid, GOOD);
  gs_entersyscall();
  f.pid = fork();
  gs_exitsyscall();
  if (f.pid == 0) {
    begin_child();
    everything_works();
    end_child();
  }
  expect_end(f.pid, GOOD);
  crowd_end(&f.w);
}

static void test_from_a_foreign_call(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_in_call, NULL);
}

/* ---- from a thread that runs no green thread ---- */

static int work_as_main(void *arg) {
  (void)arg;
  everything_works();
  return 5;
}

static void *fork_on_a_thread(void *arg) {
  crowd *w = arg;
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    int result = 0;
    CHECK_INT(gs_self(), 0);
    CHECK_INT(metrics().gs_live, 0);
    CHECK_CODE(gs_go(add_one, &w->ended), GS_EPERM);
    CHECK_CODE(gs_join(w->parked, GS_FOREVER), GS_OK);
    CHECK_CODE(gs_run(NULL, work_as_main, NULL, &result), GS_OK);
    CHECK_INT(result, 5);
    end_child();
  }
  return (void *)(intptr_t)pid;
}

static int join_thread(void *arg) {
  void *result = NULL;
  pthread_join(*(pthread_t *)arg, &result);
  return (int)(intptr_t)result;
}

static void fork_beside(void *arg) {
  (void)arg;
  crowd w;
  pthread_t thread;
  int pid = 0;
  crowd_start(&w);
  CHECK_INT(pthread_create(&thread, NULL, fork_on_a_thread, &w), 0);
  CHECK_CODE(gs_cgocall(join_thread, &thread, &pid), GS_OK);
  expect_end(pid, GOOD);
  crowd_end(&w);
}

static void test_from_another_thread(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_beside, NULL);
}

/* ---- from callbacks ---- */

static void fork_in_callback(void *arg) {
  ((call_fork *)arg)->pid = fork_and_work(&((call_fork *)arg)->w);
}

static int call_back(void *arg) {
  CHECK_CODE(gs_cgocallback(fork_in_callback, arg), GS_OK);
  return 0;
}

static void fork_in_callbacks(void *arg) {
  (void)arg;
  call_fork f;
  crowd_start(&f.w);
  CHECK_CODE(gs_cgocall(call_back, &f, NULL), GS_OK);
  expect_end(f.pid, GOOD);
  crowd_end(&f.w);
}

static void test_from_a_callback(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_in_callbacks, NULL);
}

static void sleep_a_little(void *arg) {
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  add_one(arg);
}

/* A thread that the runtime knows from a callback, between two of them and inside one. */
static void *fork_on_a_bound_thread(void *arg) {
  static atomic_int called;
  (void)arg;
  CHECK_CODE(gs_cgocallback(sleep_a_little, &called), GS_OK);
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    CHECK_INT(metrics().gs_live, 0);
    CHECK_CODE(gs_cgocallback(sleep_a_little, &called), GS_OK);
    CHECK_CODE(gs_run(NULL, work_as_main, NULL, NULL), GS_OK);
    CHECK_CODE(gs_cgocallback(sleep_a_little, &called), GS_OK);
    CHECK_INT(atomic_load(&called), 3);
    end_child();
  }
  CHECK_CODE(gs_cgocallback(sleep_a_little, &called), GS_OK);
  return (void *)(intptr_t)pid;
}

static void fork_bound(void *arg) {
  (void)arg;
  crowd w;
  pthread_t thread;
  int pid = 0;
  crowd_start(&w);
  CHECK_INT(pthread_create(&thread, NULL, fork_on_a_bound_thread, NULL), 0);
  CHECK_CODE(gs_cgocall(join_thread, &thread, &pid), GS_OK);
  expect_end(pid, GOOD);
  crowd_end(&w);
}

static void test_from_a_bound_thread(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_bound, NULL);
}

/* Booted, but nothing runs. */
static void test_after_gs_run(void **state) {
  (void)state;
  skip_threads();
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    CHECK_CODE(gs_run(NULL, work_as_main, NULL, NULL), GS_OK);
    end_child();
  }
  assert_int_equal(wait_for(&pid), GOOD);
}

/* ---- a child of a child ---- */

static void fork_twice(void *arg) {
  (void)arg;
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    everything_works();
    crowd w;
    crowd_start(&w);
    expect_end(fork_and_work(&w), GOOD);
    crowd_end(&w);
    end_child();
  }
  expect_end(pid, GOOD);
}

static void test_a_child_of_a_child(void **state) {
  (void)state;
  skip_threads();
  run_procs(PROCS, fork_twice, NULL);
}

/* ---- how the child ends ---- */

/* The main one on the thread of gs_run: as in the parent. */
static int fork_and_return(void *arg) {
  *(pid_t *)arg = fork();
  if (*(pid_t *)arg == 0) begin_child();
  return *(pid_t *)arg == 0 ? 3 : 4;
}

static int main_returns(void) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.flags = GS_RUN_LOCK_MAIN;
  pid_t pid;
  int result = 0;
  if (gs_run(&cfg, fork_and_return, &pid, &result) != GS_OK) return 1;
  if (pid == 0) _exit(result == 3 ? GOOD : BAD);
  return wait_for(&pid) == GOOD && result == 4 ? 0 : 2;
}

/* Any other one leads the child, which ends with it. */
static gs_chan *to_main;

static void fork_and_end(void *arg) {
  (void)arg;
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    gs_sleep(MS(1));
    return;
  }
  gs_chan_send(to_main, &pid, GS_FOREVER);
}

static int wait_for_it(void *arg) {
  (void)arg;
  pid_t pid = 0;
  int result = 99;
  gs_chan_new(sizeof pid, 1, &to_main);
  gs_go(fork_and_end, NULL);
  gs_chan_recv(to_main, &pid, GS_FOREVER);
  gs_cgocall(wait_for, &pid, &result);
  return result;
}

static int other_ends(void) {
  int result = 0;
  if (gs_run(NULL, wait_for_it, NULL, &result) != GS_OK) return 1;
  return result == 0 ? 0 : 2;
}

/* The main one, on another thread than that of gs_run. */
static long run_tid;

static int keep_thread_busy(void *arg) {
  (void)arg;
  return block_until(&may_return);
}

static void occupy(void *arg) {
  atomic_int *occupied = arg;
  gs_lock_os_thread();
  while (my_tid() == run_tid) {
    atomic_store(occupied, 1);
    gs_cgocall(keep_thread_busy, NULL, NULL);
    return;
  }
  gs_unlock_os_thread();
}

static int fork_elsewhere(void *arg) {
  pid_t *pid = arg;
  static atomic_int occupied; /* not on this stack: some come when this function has returned */
  int result = 0;
  for (int64_t end = gs_now() + PATIENCE; my_tid() == run_tid && gs_now() < end;) {
    gs_go(occupy, &occupied);
    gs_sleep(1000);
  }
  if (my_tid() == run_tid) return 77;
  *pid = fork();
  if (*pid == 0) begin_child();
  if (*pid == 0) return 9;
  gs_cgocall(wait_for, pid, &result);
  atomic_store(&may_return, 1);
  return result;
}

static int main_ends_elsewhere(void) {
  pid_t pid;
  int result = 0;
  run_tid = my_tid();
  if (gs_run(NULL, fork_elsewhere, &pid, &result) != GS_OK) return 1;
  if (pid == 0) _exit(BAD); /* this thread is not in the child */
  return result == 9 ? 0 : result;
}

static const scenario scenarios[] = {
    {"main returns", main_returns},
    {"other ends", other_ends},
    {"main ends elsewhere", main_ends_elsewhere},
};

static void test_how_the_child_ends(void **state) {
  (void)state;
  skip_threads();
  child c;
  for (size_t i = 0; i < COUNT(scenarios); i++) {
    child_run(&c, scenarios[i].name, NULL);
    assert_child_exit(&c, 0);
  }
}

/* ---- what needs nothing ---- */

static int spawn_true(void *arg) {
  pid_t pid = 0;
  char *argv[] = {"sh", "-c", "exit 42", NULL};
  (void)arg;
  if (posix_spawnp(&pid, "sh", NULL, NULL, argv, NULL) != 0) return -1;
  return wait_for(&pid);
}

static int system_true(void *arg) {
  (void)arg;
  int status = system("exit 42");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void spawn_all(void *arg) {
  (void)arg;
  crowd w;
  crowd_start(&w);
  for (int i = 0; i < 3; i++) {
    int result = 0;
    CHECK_CODE(gs_cgocall(spawn_true, NULL, &result), GS_OK);
    CHECK_INT(result, 42);
    CHECK_CODE(gs_cgocall(system_true, NULL, &result), GS_OK);
    CHECK_INT(result, 42);
  }
  crowd_end(&w);
}

static void test_spawn_and_system(void **state) {
  (void)state;
  run_procs(PROCS, spawn_all, NULL);
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_from_the_main_green_thread),
      cmocka_unit_test(test_from_several_at_once),
      cmocka_unit_test(test_from_a_system_one),

      cmocka_unit_test(test_with_the_world_stopped),
      cmocka_unit_test(test_from_a_foreign_call),
      cmocka_unit_test(test_from_another_thread),
      cmocka_unit_test(test_from_a_callback),
      cmocka_unit_test(test_from_a_bound_thread),
      cmocka_unit_test(test_after_gs_run),
      cmocka_unit_test(test_a_child_of_a_child),
      cmocka_unit_test(test_how_the_child_ends),
      cmocka_unit_test(test_spawn_and_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
