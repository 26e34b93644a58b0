/* netpoll.c: the races of the poller, driven from inside: an edge against a green thread that
 * parks, closing against waiting, the break against the sleeper, the count of waiters.  In the
 * torture build the windows between their steps are widened; the patches in tests/mutants that
 * remove a guard are caught there.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netpoll.h"

enum { PROCS = 2 };

static void spin(int n) {
  for (int i = 0; i < n; i++) compiler_fence();
}

/* Who was woken may run, and be through, before it is counted down. */
static void await_nobody(void) {
  for (int64_t end = gs_now() + PATIENCE; metrics().io_waiters != 0 && gs_now() < end;)
    gs_sleep(US(50));
  CHECK_INT(metrics().io_waiters, 0);
}

/* ---- time ---- */

static void test_rounding(void **state) {
  (void)state;
  static const struct {
    int64_t ns;
    int ms;
  } table[] = {
      {-1, -1},
      {INT64_MIN, -1},
      {0, 0},
      {1, 1},
      {999999, 1},
      {1000000, 1},
      {1999999, 1},
      {2000000, 2},
      {1500000000, 1500},
      {999999999999999, 999999999},
      {1000000000000000, 1000000000},
      {INT64_MAX, 1000000000},
  };
  for (size_t i = 0; i < COUNT(table); i++)
    assert_int_equal(os_netpoll_ms(table[i].ns), table[i].ms);
}

/* ---- the first descriptor ---- */

static void sleep_long(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(4 * PATIENCE), GS_ECANCELED);
}

static atomic_int came;

static void *rescue(void *arg) {
  for (int64_t end = gs_now() + PATIENCE / 3; !atomic_load(&came) && gs_now() < end;)
    os_sleep_ns(MS(1));
  *(int *)arg = !atomic_load(&came);
  if (!atomic_load(&came)) note_wake(&gs_sched.poll_note);
  return NULL;
}

/* It comes while an M sleeps on the note until a far timer: that M must go over to epoll.  Nothing
 * here is asleep until a nearer time, which would wake it too. */
static void first_descriptor(void *arg) {
  (void)arg;
  int fds[2], needed = 0;
  pthread_t t;
  gs_handle *h = go_named("sleeper", sleep_long, NULL);
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end;)
    if (load_sc(&gs_sched.poller) && load_sc(&gs_sched.poll_until) > gs_now() + PATIENCE) break;
  os_sleep_ns(MS(5));
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
  CHECK(write(fds[1], "x", 1) == 1);
  CHECK(pthread_create(&t, NULL, rescue, &needed) == 0);
  CHECK_CODE(gs_poll_wait(fds[0], GS_READ, GS_FOREVER), GS_OK);
  atomic_store(&came, 1);
  pthread_join(t, NULL);
  CHECK_INT(needed, 0);
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  CHECK_CODE(gs_close(fds[0]), GS_OK);
  close(fds[1]);
}

static void test_first_descriptor(void **state) {
  (void)state;
  assert_int_equal(load_sc(&gs_sched.netpoll_inited), 0);
  run_procs(PROCS, first_descriptor, NULL);
}

/* ---- the break ---- */

/* How long a wait of at most ms milliseconds takes, in ms. */
static int64_t wait_ms(int64_t ms) {
  PollEvent ev[4];
  int64_t begin = gs_now();
  assert_int_equal(os_netpoll_wait(ev, 4, begin + MS(ms)), 0);
  return (gs_now() - begin) / 1000000;
}

/* These come before anything has made a poller. */
static void test_break(void **state) {
  (void)state;
  PollEvent ev[4];
  const int64_t far_away = PATIENCE / 1000000;
  assert_int_equal(os_netpoll_init(), 0);
  /* Without epoll_pwait2 the last part of a millisecond is left to the next look. */
  assert_true(wait_ms(5) >= 4);
  for (int i = 0; i < 3; i++) {
    os_netpoll_break();
    os_netpoll_break();
    /* It is for one who sleeps: one who only looks must leave it. */
    assert_int_equal(os_netpoll_wait(ev, 4, GS_POLL_NOW), 0);
    assert_true(wait_ms(far_away) < far_away);
    assert_true(wait_ms(3) >= 2); /* both were one */
  }
}

static _Atomic int64_t published, seen;

static void *publish(void *arg) {
  int n = *(int *)arg;
  for (int64_t i = 1; i <= n; i++) {
    atomic_store(&published, i);
    os_netpoll_break();
    if (i % 3 == 0) os_netpoll_break();
    while (atomic_load(&seen) < i) sched_yield();
  }
  return NULL;
}

/* The sleeper sees what was published before a break, whenever that comes. */
static void test_break_against_sleep(void **state) {
  (void)state;
  int n = SCALE(20000);
  PollEvent ev[4];
  pthread_t t;
  assert_int_equal(os_netpoll_init(), 0);
  assert_int_equal(pthread_create(&t, NULL, publish, &n), 0);
  bool lost = false;
  for (int64_t news = 0; news < n && !lost;) {
    int64_t begin = gs_now();
    os_netpoll_wait(ev, 4, begin + PATIENCE / 3);
    news = atomic_load(&published);
    lost = gs_now() - begin >= PATIENCE / 3;
    atomic_store(&seen, lost ? n : news);
  }
  pthread_join(t, NULL);
  assert_false(lost);
}

/* ---- an edge against a park ---- */

typedef struct talk {
  int fds[2];
  int rounds;
  atomic_int turn, over;
} talk;

static void talk_init(talk *t, int rounds) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t->fds) == 0);
  CHECK_CODE(gs_poll_open(t->fds[0]), GS_OK);
  t->rounds = rounds;
  atomic_init(&t->turn, 0);
  atomic_init(&t->over, 0);
}

/* A thread of its own sends a byte at a random moment of the receiver's way into the park. */
static void *send_bytes(void *arg) {
  talk *t = arg;
  uint64_t seed = 88172645463325252u;
  for (int i = 1; i <= t->rounds && !atomic_load(&t->over); i++) {
    while (atomic_load(&t->turn) < i && !atomic_load(&t->over)) sched_yield();
    spin((int)(random_next(&seed) % 3000));
    CHECK(write(t->fds[1], "x", 1) == 1);
  }
  return NULL;
}

static int eat(int fd) {
  char c;
  return recv(fd, &c, 1, MSG_DONTWAIT) == 1;
}

static void edge_against_park(void *arg) {
  (void)arg;
  talk t;
  pthread_t thread;
  talk_init(&t, SCALE(5000));
  CHECK(pthread_create(&thread, NULL, send_bytes, &t) == 0);
  for (int i = 1; i <= t.rounds && !checks_failed(); i++) {
    atomic_store(&t.turn, i);
    while (!eat(t.fds[0]) && !checks_failed())
      CHECK_CODE(gs_poll_wait(t.fds[0], GS_READ, gs_now() + PATIENCE / 3), GS_OK);
  }
  atomic_store(&t.over, 1);
  pthread_join(thread, NULL);
  CHECK_CODE(gs_close(t.fds[0]), GS_OK);
  close(t.fds[1]);
}

static void test_edge_against_park(void **state) {
  (void)state;
  run_procs(PROCS, edge_against_park, NULL);
}

/* ---- closing against waiting ---- */

static void *close_it(void *arg) {
  talk *t = arg;
  while (!atomic_load(&t->turn)) sched_yield();
  spin(t->rounds);
  CHECK_CODE(gs_poll_close(t->fds[0]), GS_OK);
  CHECK_INT(write(t->fds[1], "x", 1), 1); /* for a read that begins now, of a bare descriptor */
  return NULL;
}

static void close_against_wait(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(500) && !checks_failed(); i++) {
    talk t;
    pthread_t thread;
    talk_init(&t, i % 50 * 40);
    CHECK(pthread_create(&thread, NULL, close_it, &t) == 0);
    atomic_store(&t.turn, 1);
    char c;
    size_t n;
    if (i % 2) {
      int r = gs_read(t.fds[0], &c, 1, gs_now() + PATIENCE / 3, &n);
      CHECK(r == GS_ECLOSED || r == GS_OK); /* closed before it began */
    } else {
      int r = gs_poll_wait(t.fds[0], GS_READ, gs_now() + PATIENCE / 3);
      CHECK(r == GS_ECLOSED || r == GS_EINVAL); /* closed before it began */
    }
    pthread_join(thread, NULL);
    close(t.fds[0]);
    close(t.fds[1]);
  }
  await_nobody();
}

static void test_close_against_wait(void **state) {
  (void)state;
  run_procs(PROCS, close_against_wait, NULL);
}

/* ---- deadlines and cancellers against the edge ---- */

/* Whoever wakes it, it is woken once, and is not woken again where it waits next. */
static void race_for_it(void *arg) {
  talk *t = arg;
  gs_chan *never = chan_new(1, 0);
  char c;
  for (int i = 1; i <= t->rounds && !checks_failed(); i++) {
    atomic_store(&t->turn, i);
    int r = gs_poll_wait(t->fds[0], GS_READ, gs_now() + US(i % 40));
    CHECK(r == GS_OK || r == GS_ETIMEOUT);
    /* A late claim of the poller's would end this one with GS_OK. */
    CHECK_CODE(gs_chan_recv(never, &c, gs_now() + US(20)), GS_ETIMEOUT);
    while (!eat(t->fds[0])) sched_yield();
  }
  atomic_store(&t->over, 1);
  CHECK_CODE(gs_chan_free(never), GS_OK);
}

static void edge_against_deadline(void *arg) {
  (void)arg;
  talk t;
  pthread_t thread;
  talk_init(&t, SCALE(3000));
  CHECK(pthread_create(&thread, NULL, send_bytes, &t) == 0);
  gs_handle *h = go_named("racer", race_for_it, &t);
  join(h);
  pthread_join(thread, NULL);
  CHECK_CODE(gs_close(t.fds[0]), GS_OK);
  close(t.fds[1]);
  await_nobody();
}

static void test_edge_against_deadline(void **state) {
  (void)state;
  run_procs(PROCS, edge_against_deadline, NULL);
}

/* ---- a timer against the poller, asleep in epoll ---- */

static void park_on(void *arg) { CHECK_CODE(gs_wait(*(int *)arg, GS_READ, GS_FOREVER), GS_OK); }

static atomic_int both;

static void park_for_long(void *arg) {
  (void)arg;
  atomic_fetch_add(&both, 1);
  while (atomic_load(&both) < 2) compiler_fence();
  CHECK_CODE(gs_sleep(PATIENCE), GS_ECANCELED);
}

static void timer_against_epoll(void *arg) {
  (void)arg;
  talk t;
  talk_init(&t, 0);
  gs_handle *w = go_named("waiter", park_on, &t.fds[0]);
  for (int i = 0; i < SCALE(300) && !checks_failed(); i++) {
    atomic_store(&both, 0);
    gs_handle *h = go_named("long", park_for_long, NULL);
    while (atomic_load(&both) < 1) compiler_fence();
    int64_t begin = gs_now();
    atomic_fetch_add(&both, 1);
    spin(i % 20 * 20);
    CHECK_CODE(gs_sleep(US(300)), GS_OK);
    CHECK(gs_now() - begin < PATIENCE / 4);
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
  CHECK(write(t.fds[1], "x", 1) == 1);
  join(w);
  CHECK_CODE(gs_close(t.fds[0]), GS_OK);
  close(t.fds[1]);
}

static void test_timer_against_epoll(void **state) {
  (void)state;
  run_procs(PROCS, timer_against_epoll, NULL);
}

/* ---- the count ---- */

/* Between the event and the moment when it is runnable, the waiter still counts. */
static _Atomic(G *) watched;
static atomic_int violations;

static void *watch(void *arg) {
  talk *t = arg;
  while (!atomic_load(&t->over)) {
    G *g = atomic_load(&watched);
    if (!g || load_sc(&gs_sched.netpoll_waiters) != 0) continue;
    if (load_sc(&g->status) == Gwaiting && load_sc(&gs_sched.netpoll_waiters) == 0 &&
        atomic_load(&watched) == g)
      atomic_fetch_add(&violations, 1);
  }
  return NULL;
}

/* Watched from when it is counted until it runs again. */
static void be_watched(void *arg) {
  talk *t = arg;
  for (int i = 1; i <= t->rounds; i++) {
    atomic_store(&t->turn, i);
    CHECK_CODE(gs_poll_wait(t->fds[0], GS_READ, gs_now() + PATIENCE), GS_OK);
    atomic_store(&watched, NULL);
    CHECK(eat(t->fds[0]));
  }
  atomic_store(&t->over, 1);
}

static void *feed(void *arg) {
  talk *t = arg;
  for (int i = 1; i <= t->rounds; i++) {
    while (atomic_load(&t->turn) < i || load_sc(&gs_sched.netpoll_waiters) == 0) sched_yield();
    G *g = load_acq(&gs_sched.allg);
    while (g && !(strcmp(g->name, "watched") == 0 && load_sc(&g->status) == Gwaiting))
      g = g->alllink;
    atomic_store(&watched, g);
    CHECK(write(t->fds[1], "x", 1) == 1);
  }
  return NULL;
}

static void waiters_count(void *arg) {
  (void)arg;
  talk t;
  pthread_t feeder, watcher;
  talk_init(&t, SCALE(2000));
  gs_handle *h = go_named("watched", be_watched, &t);
  CHECK(pthread_create(&watcher, NULL, watch, &t) == 0);
  CHECK(pthread_create(&feeder, NULL, feed, &t) == 0);
  join(h);
  pthread_join(feeder, NULL);
  pthread_join(watcher, NULL);
  CHECK_INT(atomic_load(&violations), 0);
  await_nobody();
  CHECK_CODE(gs_close(t.fds[0]), GS_OK);
  close(t.fds[1]);
}

static void test_waiters_count(void **state) {
  (void)state;
  run_procs(PROCS, waiters_count, NULL);
}

int main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_break),
      cmocka_unit_test(test_break_against_sleep),
      cmocka_unit_test(test_first_descriptor),
      cmocka_unit_test(test_edge_against_park),
      cmocka_unit_test(test_close_against_wait),
      cmocka_unit_test(test_edge_against_deadline),
      cmocka_unit_test(test_timer_against_epoll),
      cmocka_unit_test(test_waiters_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
