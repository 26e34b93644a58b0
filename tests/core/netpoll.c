/* netpoll.c: waiting for descriptors: gs_poll_open, gs_poll_close, gs_wait, gs_poll_wait.
 *
 * What is ready is seen at once, what becomes ready wakes, what never does ends by its deadline, by
 * cancellation or by closing.  None of it is a foreign call, and it leaves nothing behind: the
 * count of waiters is 0 again, and a process that never waits for a descriptor has no epoll.
 */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROCS = 2 };

typedef struct pair {
  int a, b;
} pair;

static pair pair_new(int opened) {
  int fds[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  if (opened) {
    CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
    CHECK_CODE(gs_poll_open(fds[1]), GS_OK);
  }
  return (pair){fds[0], fds[1]};
}

static void pair_free(pair p) {
  CHECK_CODE(gs_close(p.a), GS_OK);
  CHECK_CODE(gs_close(p.b), GS_OK);
}

static void poke(int fd) { CHECK(write(fd, "x", 1) == 1); }

static void eat(int fd) {
  char c;
  CHECK(recv(fd, &c, 1, MSG_DONTWAIT) == 1);
}

/* Until so many green threads are parked for descriptors.  Who was woken may run, and be through,
 * before it is counted down. */
static void await_waiters(uint64_t n) {
  for (int64_t end = gs_now() + PATIENCE; metrics().io_waiters != n && gs_now() < end;) {
    gs_sleep(US(50));
  }
  CHECK_INT(metrics().io_waiters, n);
}

/* ---- readiness ---- */

typedef struct waiter {
  int fd, events, expect;
  int64_t deadline;
  int ready;
  gs_handle *h;
} waiter;

static void wait_it(void *arg) {
  waiter *w = arg;
  CHECK_CODE(gs_wait_ready(w->fd, w->events, w->deadline, &w->ready), w->expect);
}

static void start(waiter *w) { w->h = go_named("waiter", wait_it, w); }

static void readiness(void *arg) {
  int opened = *(int *)arg;
  pair p = pair_new(opened);
  int ready = 0;
  /* At once. */
  CHECK_CODE(gs_wait(p.a, GS_WRITE, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_wait_ready(p.a, GS_READ | GS_WRITE, GS_FOREVER, &ready), GS_OK);
  CHECK_INT(ready, GS_WRITE);
  poke(p.b);
  for (int i = 0; i < 3; i++) { /* level: it stays ready until it is read */
    CHECK_CODE(gs_wait_ready(p.a, GS_READ | GS_WRITE, GS_FOREVER, &ready), GS_OK);
    CHECK_INT(ready, GS_READ | GS_WRITE);
  }
  eat(p.a);
  /* Not at all. */
  int64_t before = gs_now();
  CHECK_CODE(gs_wait(p.a, GS_READ, in_ms(5)), GS_ETIMEOUT);
  CHECK(gs_now() - before >= MS(5));
  CHECK_CODE(gs_wait(p.a, GS_READ, gs_now() - 1), GS_ETIMEOUT);
  CHECK_CODE(gs_wait(p.a, GS_READ, 0), GS_ETIMEOUT);
  CHECK_CODE(gs_wait(p.a, GS_WRITE, 0), GS_OK);
  /* Later. */
  for (int i = 0; i < SCALE(100); i++) {
    waiter w = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
    start(&w);
    await_waiters(1);
    poke(p.b);
    join(w.h);
    CHECK_INT(w.ready, GS_READ);
    eat(p.a);
  }
  /* Two wait, for different things; one is told. */
  waiter r = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  waiter s = {.fd = p.a, .events = GS_READ, .expect = GS_ETIMEOUT, .deadline = in_ms(1)};
  start(&r);
  start(&s);
  join(s.h);
  await_waiters(1);
  poke(p.b);
  join(r.h);
  /* The end is readable. */
  eat(p.a);
  waiter e = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  start(&e);
  await_waiters(1);
  CHECK(shutdown(p.b, SHUT_WR) == 0);
  join(e.h);
  pair_free(p);
  await_waiters(0);
}

static void test_readiness(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, readiness, &opened);
}

/* Several wait for the same; all are told, those who find nothing wait again. */
static void all_are_told(void *arg) {
  int opened = *(int *)arg;
  enum { N = 10 };
  pair p = pair_new(opened);
  waiter w[N];
  for (int i = 0; i < N; i++) {
    w[i] = (waiter){.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
    start(&w[i]);
  }
  await_waiters(N);
  poke(p.b);
  for (int i = 0; i < N; i++) join(w[i].h);
  pair_free(p);
}

static void test_all_are_told(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, all_are_told, &opened);
}

/* A full pipe is waited for until there is room, also while somebody waits to read. */
static void both_directions(void *arg) {
  int opened = *(int *)arg;
  pair p = pair_new(opened);
  char block[4096] = "";
  while (send(p.a, block, sizeof block, MSG_DONTWAIT) > 0) {
  }
  waiter both = {.fd = p.a, .events = GS_READ | GS_WRITE, .expect = GS_OK, .deadline = GS_FOREVER};
  waiter r = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  waiter w = {.fd = p.a, .events = GS_WRITE, .expect = GS_OK, .deadline = GS_FOREVER};
  start(&both);
  start(&r);
  start(&w);
  await_waiters(3);
  while (recv(p.b, block, sizeof block, MSG_DONTWAIT) > 0) {
  }
  join(both.h);
  join(w.h);
  CHECK_INT(both.ready, GS_WRITE);
  CHECK_INT(w.ready, GS_WRITE);
  await_waiters(1); /* the reader waits on */
  poke(p.b);
  join(r.h);
  pair_free(p);
}

static void test_both_directions(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, both_directions, &opened);
}

/* gs_poll_wait after an attempt of one's own: no edge is lost, whenever it comes. */
enum { EDGES = 5000 };

static void consume_edges(void *arg) {
  int fd = *(int *)arg, eaten = 0;
  while (eaten < SCALE(EDGES)) {
    char c[16];
    ssize_t n = recv(fd, c, sizeof c, MSG_DONTWAIT);
    if (n > 0)
      eaten += (int)n;
    else
      CHECK_CODE(gs_poll_wait(fd, GS_READ, gs_now() + PATIENCE), GS_OK);
    if (checks_failed()) return;
  }
}

static void edges(void *arg) {
  (void)arg;
  pair p = pair_new(1);
  gs_handle *h = go_named("consumer", consume_edges, &p.a);
  for (int i = 0; i < SCALE(EDGES); i++) {
    CHECK_CODE(gs_write(p.b, "x", 1, gs_now() + PATIENCE, NULL), GS_OK);
    if (i % 3 == 0) gs_yield();
    if (i % 100 == 0) gs_sleep(US(20));
  }
  join(h);
  pair_free(p);
}

static void test_edges(void **state) {
  (void)state;
  run_procs(PROCS, edges, NULL);
}

/* ---- closing, cancelling ---- */

static void close_wakes(void *arg) {
  int opened = *(int *)arg;
  for (int i = 0; i < SCALE(100); i++) {
    pair p = pair_new(opened);
    waiter w[3];
    for (int k = 0; k < 3; k++) {
      w[k] = (waiter){
          .fd = p.a, .events = GS_READ, .expect = GS_ECLOSED, .deadline = gs_now() + PATIENCE};
      start(&w[k]);
    }
    await_waiters(3);
    CHECK_CODE(gs_poll_close(p.a), GS_OK);
    for (int k = 0; k < 3; k++) join(w[k].h);
    CHECK_CODE(gs_poll_close(p.a), GS_EINVAL);
    CHECK(close(p.a) == 0);
    CHECK_CODE(gs_close(p.b), GS_OK);
  }
  await_waiters(0);
}

static void test_close_wakes(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, close_wakes, &opened);
}

static void cancel_wakes(void *arg) {
  int opened = *(int *)arg;
  pair p = pair_new(opened);
  for (int i = 0; i < SCALE(200); i++) {
    waiter w = {.fd = p.a, .events = GS_READ, .expect = GS_ECANCELED, .deadline = GS_FOREVER};
    if (i % 2) w.deadline = gs_now() + PATIENCE;
    start(&w);
    if (i % 3) await_waiters(1);
    CHECK_CODE(gs_cancel(w.h), GS_OK);
    join(w.h);
  }
  await_waiters(0);
  /* What needs no parking works on. */
  poke(p.b);
  waiter w = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  start(&w);
  CHECK_CODE(gs_cancel(w.h), GS_OK);
  join(w.h);
  pair_free(p);
}

static void test_cancel_wakes(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, cancel_wakes, &opened);
}

/* ---- the same number again ---- */

/* Events of a closed descriptor do not reach the next one of the same number. */
static void number_again(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(500) && !checks_failed(); i++) {
    pair p = pair_new(1);
    int a = p.a;
    poke(p.b); /* an event of the old one is on its way */
    if (i % 2) gs_yield();
    CHECK_CODE(gs_close(p.a), GS_OK);
    CHECK_CODE(gs_close(p.b), GS_OK);
    pair q = pair_new(1);
    CHECK_INT(q.a, a);
    CHECK_CODE(gs_wait(q.a, GS_READ, in_ms(i % 16 == 0)), GS_ETIMEOUT);
    waiter w = {.fd = q.a, .events = GS_READ, .expect = GS_OK, .deadline = gs_now() + PATIENCE};
    start(&w);
    if (i % 3) gs_yield();
    poke(q.b);
    join(w.h);
    pair_free(q);
  }
}

static void test_number_again(void **state) {
  (void)state;
  run_procs(PROCS, number_again, NULL);
}

/* A descriptor that was closed behind the runtime's back: its number can be opened again, and bare
 * waits of another descriptor with that number are not fooled. */
static void closed_behind_our_back(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    pair p = pair_new(i % 2);
    waiter w = {.fd = p.a, .events = GS_READ, .deadline = gs_now() + PATIENCE};
    w.expect = i % 2 ? GS_ECLOSED : GS_OK;
    start(&w);
    await_waiters(1);
    CHECK(close(p.a) == 0);
    CHECK(close(p.b) == 0);
    pair q = pair_new(1);
    CHECK_INT(q.a, p.a);
    if (i % 2 == 0) poke(q.b); /* a bare wait goes by the number */
    join(w.h);
    waiter x = {.fd = q.a, .events = GS_READ, .expect = GS_OK, .deadline = gs_now() + PATIENCE};
    start(&x);
    poke(q.b);
    join(x.h);
    pair_free(q);
  }
  for (int i = 0; i < 20; i++) { /* bare ones only */
    pair p = pair_new(0);
    CHECK_CODE(gs_wait(p.a, GS_READ, in_ms(0) + US(100)), GS_ETIMEOUT);
    CHECK(close(p.a) == 0);
    CHECK(close(p.b) == 0);
    pair q = pair_new(0);
    waiter x = {.fd = q.a, .events = GS_READ, .expect = GS_OK, .deadline = gs_now() + PATIENCE};
    start(&x);
    await_waiters(1);
    poke(q.b);
    join(x.h);
    CHECK(close(q.a) == 0);
    CHECK(close(q.b) == 0);
  }
}

static void test_closed_behind_our_back(void **state) {
  (void)state;
  run_procs(PROCS, closed_behind_our_back, NULL);
}

/* ---- arguments, other threads ---- */

static int wait_inside_a_call(void *arg) {
  CHECK_CODE(gs_wait(*(int *)arg, GS_WRITE, GS_FOREVER), GS_OK); /* ready: no need to park */
  return 0;
}

static void arguments(void *arg) {
  (void)arg;
  pair p = pair_new(0);
  CHECK_CODE(gs_wait(p.a, 0, 0), GS_EINVAL);
  CHECK_CODE(gs_wait(p.a, 4, 0), GS_EINVAL);
  CHECK_CODE(gs_wait(p.a, -1, 0), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "events is -1") != NULL);
  CHECK_CODE(gs_poll_wait(p.a, GS_READ, 0), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "gs_poll_open") != NULL);
  CHECK_CODE(gs_poll_open(-1), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "0..4194303") != NULL);
  CHECK_CODE(gs_poll_open(INT_MAX), GS_EINVAL);
  CHECK_CODE(gs_poll_close(-1), GS_EINVAL);
  CHECK_CODE(gs_poll_close(4000000), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "fd 4000000 was not given") != NULL);
  CHECK_CODE(gs_poll_open(900000), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_wait(900000, GS_READ, GS_FOREVER), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_wait(-1, GS_READ, GS_FOREVER), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_close(900000), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_poll_open(p.a), GS_OK);
  CHECK_CODE(gs_poll_open(p.a), GS_OK);
  CHECK(fcntl(p.a, F_GETFL) & O_NONBLOCK);
  CHECK(!(fcntl(p.b, F_GETFL) & O_NONBLOCK));
  CHECK_CODE(gs_cgocall(wait_inside_a_call, &p.a, NULL), GS_OK);
  pair_free(p);
}

static void test_arguments(void **state) {
  (void)state;
  run_procs(PROCS, arguments, NULL);
  assert_int_equal(gs_wait(STDERR_FILENO, GS_READ | GS_WRITE, 0) != GS_EINVAL, 1);
}

static void test_off_green_threads(void **state) {
  (void)state;
  int fds[2];
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  assert_int_equal(gs_wait(fds[1], GS_WRITE, GS_FOREVER), GS_OK);
  assert_int_equal(gs_wait(fds[0], GS_READ, GS_FOREVER), GS_EPERM);
  assert_int_equal(gs_poll_open(fds[0]), GS_OK);
  assert_int_equal(gs_wait(fds[0], GS_READ, GS_FOREVER), GS_EPERM);
  assert_int_equal(gs_close(fds[0]), GS_OK);
  close(fds[1]);
}

/* ---- regular files ---- */

static void regular_files(void *arg) {
  (void)arg;
  char path[] = "/tmp/gosched-netpoll-XXXXXX", text[16] = "";
  int fd = mkstemp(path);
  CHECK(fd >= 0);
  size_t n = 0;
  for (int opened = 0; opened < 2; opened++) {
    if (opened) CHECK_CODE(gs_poll_open(fd), GS_OK);
    CHECK_CODE(gs_wait(fd, GS_READ | GS_WRITE, 0), GS_OK);
    uint64_t calls = metrics().cgocalls;
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK_CODE(gs_write(fd, "0123456789", 10, GS_FOREVER, &n), GS_OK);
    CHECK_INT(n, 10);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK_CODE(gs_read(fd, text, sizeof text, 0, &n), GS_OK);
    CHECK_INT(n, 10);
    CHECK(memcmp(text, "0123456789", 10) == 0);
    CHECK_CODE(gs_read(fd, text, sizeof text, 0, &n), GS_OK);
    CHECK_INT(n, 0);
    CHECK_INT(metrics().cgocalls - calls, 3);
  }
  CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  CHECK_CODE(gs_poll_wait(fd, GS_READ, 0), GS_OK);
  CHECK_CODE(gs_close(fd), GS_OK);
  unlink(path);
}

static void test_regular_files(void **state) {
  (void)state;
  run_procs(PROCS, regular_files, NULL);
}

/* ---- the poller leaves no traces ---- */

/* 10,000 waits, not one of them a foreign call. */
static void answer(void *arg) {
  pair *p = arg;
  for (int i = 0; i < SCALE(10000); i++) {
    CHECK_CODE(gs_wait(p->b, GS_READ, GS_FOREVER), GS_OK);
    eat(p->b);
    poke(p->b);
  }
}

static void no_foreign_calls(void *arg) {
  pair p = pair_new(*(int *)arg);
  gs_metrics before = metrics();
  gs_handle *h = go_named("answer", answer, &p);
  for (int i = 0; i < SCALE(10000); i++) {
    poke(p.a);
    CHECK_CODE(gs_wait(p.a, GS_READ, GS_FOREVER), GS_OK);
    eat(p.a);
  }
  join(h);
  gs_metrics after = metrics();
  CHECK_INT(after.cgocalls - before.cgocalls, 0);
  CHECK_INT(after.exits_fast - before.exits_fast, 0);
  CHECK_INT(after.exits_slow + after.exits_idle_p - before.exits_slow - before.exits_idle_p, 0);
  CHECK_INT(after.incgo, 0);
  await_waiters(0);
  pair_free(p);
}

static void test_no_foreign_calls(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, no_foreign_calls, &opened);
}

/* With 1, 2, … green threads parked at the same time, the count is right all along. */
static void waiters_are_counted(void *arg) {
  (void)arg;
  enum { N = 50 };
  static waiter w[N];
  pair p[N];
  for (int i = 0; i < N; i++) {
    p[i] = pair_new(i % 2);
    w[i] = (waiter){.fd = p[i].a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
    start(&w[i]);
    await_waiters((uint64_t)i + 1);
  }
  for (int i = 0; i < N; i++) {
    poke(p[i].b);
    join(w[i].h);
    await_waiters((uint64_t)(N - 1 - i));
    pair_free(p[i]);
  }
}

static void test_waiters_are_counted(void **state) {
  (void)state;
  run_procs(PROCS, waiters_are_counted, NULL);
}

/* Whether any descriptor of this process is of the kernel's type eventpoll. */
static int has_epoll(void) {
  char path[64], target[64];
  int found = 0;
  DIR *dir = opendir("/proc/self/fd");
  for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    snprintf(path, sizeof path, "/proc/self/fd/%.20s", e->d_name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) continue;
    target[n] = '\0';
    found |= strstr(target, "eventpoll") != NULL;
  }
  if (dir != NULL) closedir(dir);
  return found;
}

static void sleep_and_talk(void *arg) {
  (void)arg;
  int ms = 5;
  CHECK_CODE(gs_sleep(MS(5)), GS_OK);
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  CHECK_CODE(gs_wait(STDERR_FILENO, GS_WRITE, GS_FOREVER), GS_OK); /* ready */
  CHECK(!has_epoll());
}

static int made_lazily(void) {
  run_procs(PROCS, sleep_and_talk, NULL);
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) || gs_poll_open(fds[0]) != GS_OK) return 1;
  return has_epoll() ? 0 : 2;
}

static void test_made_lazily(void **state) {
  (void)state;
  child c;
  child_run(&c, "made_lazily", NULL);
  assert_child_exit(&c, 0);
}

/* The first descriptor ever comes while an M sleeps until a far timer: it must go over to epoll. */
static void sleep_long(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(2 * PATIENCE), GS_ECANCELED);
}

static void wait_first(void *arg) {
  (void)arg;
  gs_handle *h = go_named("sleeper", sleep_long, NULL);
  gs_sleep(MS(20)); /* the poller sleeps now */
  int fds[2];
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  waiter w = {.fd = fds[0], .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  start(&w);
  await_waiters(1);
  poke(fds[1]);
  join(w.h);
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
}

static int first_descriptor(void) {
  run_procs(PROCS, wait_first, NULL);
  return 0;
}

static void test_first_descriptor(void **state) {
  (void)state;
  child c;
  child_run(&c, "first_descriptor", NULL);
  assert_child_exit(&c, 0);
}

/* A descriptor that becomes ready while every P computes is found all the same. */
static atomic_int woken;

static void wait_and_tell(void *arg) {
  wait_it(arg);
  atomic_store(&woken, 1);
}

static void compute_until_woken(void *arg) {
  (void)arg;
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(&woken) && gs_now() < end;) {
  }
  CHECK(atomic_load(&woken));
}

static void while_others_compute(void *arg) {
  (void)arg;
  atomic_store(&woken, 0);
  pair p = pair_new(1);
  waiter w = {.fd = p.a, .events = GS_READ, .expect = GS_OK, .deadline = GS_FOREVER};
  gs_handle *h = go_named("waiter", wait_and_tell, &w);
  await_waiters(1);
  gs_handle *busy = go_named("busy", compute_until_woken, NULL);
  poke(p.b);
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(&woken) && gs_now() < end;) gs_yield();
  join(busy);
  join(h);
  pair_free(p);
}

static void test_while_others_compute(void **state) {
  (void)state;
  run_procs(PROCS, while_others_compute, NULL);
}

/* ---- signals ---- */

static atomic_int storm_over;

static void on_signal(int sig) { (void)sig; }

static void *storm(void *arg) {
  (void)arg;
  while (!atomic_load(&storm_over)) {
    kill(getpid(), SIGUSR1);
    struct timespec t = {0, 100000};
    nanosleep(&t, NULL);
  }
  return NULL;
}

static void wait_in_the_storm(void *arg) {
  int *failed = arg;
  pair p = pair_new(1);
  for (int i = 0; i < SCALE(2000) && !*failed; i++) {
    if (i % 20 == 0) CHECK_CODE(gs_wait(p.a, GS_READ, in_ms(1)), GS_ETIMEOUT);
    poke(p.b);
    char c = 0;
    size_t n = 0;
    CHECK_CODE(gs_wait(p.a, GS_READ, gs_now() + PATIENCE), GS_OK);
    CHECK_CODE(gs_read(p.a, &c, 1, gs_now() + PATIENCE, &n), GS_OK);
    CHECK_INT(n, 1);
    *failed = checks_failed();
  }
  pair_free(p);
}

static void through_a_storm(void *arg) {
  (void)arg;
  struct sigaction act = {.sa_handler = on_signal}, old; /* without SA_RESTART */
  pthread_t t;
  int failed = 0;
  sigaction(SIGUSR1, &act, &old);
  atomic_store(&storm_over, 0);
  CHECK(pthread_create(&t, NULL, storm, NULL) == 0);
  gs_handle *h = go_named("storm", wait_in_the_storm, &failed);
  while (!gs_handle_done(h)) gs_sleep(MS(1)); /* may return GS_EINTR: this is the main one */
  gs_handle_release(h);
  atomic_store(&storm_over, 1);
  pthread_join(t, NULL);
  signal(SIGUSR1, SIG_IGN); /* drops one that is still under way: the old action may be to end */
  sigaction(SIGUSR1, &old, NULL);
}

static void test_eintr_storm(void **state) {
  (void)state;
  run_procs(PROCS, through_a_storm, NULL);
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {
      {"made_lazily", made_lazily},
      {"first_descriptor", first_descriptor},
  };
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_made_lazily),         cmocka_unit_test(test_first_descriptor),
      cmocka_unit_test(test_readiness),           cmocka_unit_test(test_all_are_told),
      cmocka_unit_test(test_both_directions),     cmocka_unit_test(test_edges),
      cmocka_unit_test(test_close_wakes),         cmocka_unit_test(test_cancel_wakes),
      cmocka_unit_test(test_number_again),        cmocka_unit_test(test_closed_behind_our_back),
      cmocka_unit_test(test_arguments),           cmocka_unit_test(test_off_green_threads),
      cmocka_unit_test(test_regular_files),       cmocka_unit_test(test_no_foreign_calls),
      cmocka_unit_test(test_waiters_are_counted), cmocka_unit_test(test_while_others_compute),
      cmocka_unit_test(test_eintr_storm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
