/* held_waits.c: the races of whatever a green thread waits for, each with the outcome that its
 * guard is for: channels, select, wait queues, handles, deadlines, timers, descriptors.
 */
#include "hold.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chan.h"
#include "netpoll.h"

#define SOON (PATIENCE / 3)

static atomic_int came_back;
static bool is_back(void) { return atomic_load(&came_back); }

/* ---- who is on its way to park is not lost ----
 *
 * It stands in the queue already and is not off its stack yet.  The lock under which it was queued
 * is held until it is, so whoever wakes it waits for that, and finds it PARKED. */

static G *sleeper;
static Hold park;

static bool sleeper_leaves(void) { return sleeper && gs_getm()->prevg == sleeper; }

typedef struct {
  gs_chan *c;
  gs_mutex x;
  int fd;
  gs_handle *h;
  int code;
  atomic_int stop;
} Place;

/* Starts it, and stands in its way when it parks. */
static gs_handle *send_to_sleep(body_fn fn, Place *at) {
  park = (Hold){.where = "finish_prev", .mine = sleeper_leaves};
  hold(&park);
  gs_handle *h = go_named("sleeper", fn, at);
  await(reached(&park));
  return h;
}

static void itself(void) { sleeper = gs_getm()->curg; }

static void sleep_in_recv(void *arg) {
  Place *at = arg;
  int x = 0;
  itself();
  at->code = gs_chan_recv(at->c, &x, gs_now() + SOON);
  CHECK(at->code != GS_OK || x == 7);
}

static void parks_on_a_channel(void *arg) {
  (void)arg;
  Place at = {.c = chan_new(sizeof(int), 0)};
  int x = 7;
  gs_handle *h = send_to_sleep(sleep_in_recv, &at);
  CHECK_CODE(gs_chan_try_send(at.c, &x), GS_OK);
  join(h);
  CHECK_CODE(at.code, GS_OK);
  CHECK_CODE(gs_chan_free(at.c), GS_OK);
}

static void parks_on_a_channel_that_closes(void *arg) {
  (void)arg;
  Place at = {.c = chan_new(sizeof(int), 0)};
  gs_handle *h = send_to_sleep(sleep_in_recv, &at);
  CHECK_CODE(gs_chan_close(at.c), GS_OK);
  join(h);
  CHECK_CODE(at.code, GS_ECLOSED);
  CHECK_CODE(gs_chan_free(at.c), GS_OK);
}

static void sleep_in_select(void *arg) {
  Place *at = arg;
  int x = 0;
  size_t chosen = 9;
  gs_select_case k[] = {{GS_RECV, NULL, &x}, {GS_RECV, at->c, &x}};
  itself();
  at->code = gs_select(k, 2, gs_now() + SOON, &chosen);
  CHECK(at->code != GS_OK || (x == 7 && chosen == 1));
}

static void parks_in_select(void *arg) {
  (void)arg;
  Place at = {.c = chan_new(sizeof(int), 0)};
  int x = 7;
  gs_handle *h = send_to_sleep(sleep_in_select, &at);
  CHECK_CODE(gs_chan_try_send(at.c, &x), GS_OK);
  join(h);
  CHECK_CODE(at.code, GS_OK);
  CHECK_CODE(gs_chan_free(at.c), GS_OK);
}

static void sleep_in_lock(void *arg) {
  Place *at = arg;
  itself();
  at->code = gs_mutex_lock(&at->x, gs_now() + SOON);
}

static void parks_on_a_mutex(void *arg) {
  (void)arg;
  Place at = {.code = GS_OK};
  CHECK_CODE(gs_mutex_lock(&at.x, 0), GS_OK);
  gs_handle *h = send_to_sleep(sleep_in_lock, &at);
  CHECK_CODE(gs_mutex_unlock(&at.x), GS_OK);
  join(h);
  CHECK_CODE(at.code, GS_OK);
}

static void sleep_in_poll(void *arg) {
  Place *at = arg;
  itself();
  at->code = gs_poll_wait(at->fd, GS_READ, gs_now() + SOON);
}

static void parks_on_a_descriptor(void *arg) {
  (void)arg;
  Place at = {.code = GS_OK};
  int fds[2];
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  at.fd = fds[0];
  CHECK_CODE(gs_poll_open(at.fd), GS_OK);
  gs_handle *h = send_to_sleep(sleep_in_poll, &at);
  CHECK_CODE(gs_poll_close(at.fd), GS_OK);
  join(h);
  CHECK_CODE(at.code, GS_ECLOSED);
  close(fds[0]);
  close(fds[1]);
}

static void until_told(void *arg) {
  Place *at = arg;
  while (!atomic_load(&at->stop)) os_sleep_ns(20000);
}

static void sleep_in_join(void *arg) {
  Place *at = arg;
  itself();
  at->code = gs_join(at->h, gs_now() + SOON);
}

static void parks_in_join(void *arg) {
  (void)arg;
  Place at = {.stop = 0};
  at.h = go_named("joined", until_told, &at);
  await(g_named("joined")->status == Grunning);
  gs_handle *h = send_to_sleep(sleep_in_join, &at);
  atomic_store(&at.stop, 1);
  join(h);
  CHECK_CODE(at.code, GS_OK);
  gs_handle_release(at.h);
}

/* ---- who gives up leaves nothing behind ---- */

static void recv_in_vain(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 0);
  int x;
  CHECK_CODE(gs_chan_recv(c, &x, gs_now() + US(100)), GS_ETIMEOUT);
  CHECK(c->receivers.head == NULL);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static int pair[2];

static void wait_bare(void *arg) {
  CHECK_CODE(gs_wait(pair[0], (int)(intptr_t)arg, gs_now() + SOON), GS_OK);
}

/* Two wait for the two directions of a descriptor that is armed for one event at a time. */
static void both_directions(void *arg) {
  (void)arg;
  char rubbish[4096];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  memset(rubbish, 0, sizeof rubbish);
  while (write(pair[0], rubbish, sizeof rubbish) > 0) continue;
  gs_handle *r = go_named("reads", wait_bare, (void *)GS_READ);
  gs_handle *w = go_named("writes", wait_bare, (void *)GS_WRITE);
  while (!is_parked(g_named("reads")) || !is_parked(g_named("writes"))) gs_yield();
  CHECK(write(pair[1], "x", 1) == 1);
  join(r);
  while (read(pair[1], rubbish, sizeof rubbish) > 0) continue;
  join(w);
  close(pair[0]);
  close(pair[1]);
}

/* ---- an edge that is used up by one, and another one that is on its way to wait ---- */

static Hold to_wait;

static void read_one(void *arg) {
  char c;
  size_t n;
  *(int *)arg = gs_read(pair[0], &c, 1, gs_now() + SOON, &n);
}

static bool second_reads(void) {
  M *m = gs_getm();
  return m && m->curg && strcmp(m->curg->name, "second") == 0;
}

/* One write, one edge, two who read a byte each. */
static void one_edge_for_two(void *arg) {
  (void)arg;
  int code[2] = {-1, -1};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  CHECK_CODE(gs_poll_open(pair[0]), GS_OK);
  gs_handle *a = go_named("first", read_one, &code[0]);
  while (!is_parked(g_named("first"))) gs_yield();
  to_wait = (Hold){.where = "pd_wait", .mine = second_reads, .most = SOON};
  hold(&to_wait);
  gs_handle *b = go_named("second", read_one, &code[1]);
  await(reached(&to_wait));
  CHECK(write(pair[1], "xy", 2) == 2);
  join(a);
  hold_end(&to_wait);
  join(b);
  CHECK_CODE(code[0], GS_OK);
  CHECK_CODE(code[1], GS_OK);
  CHECK_CODE(gs_close(pair[0]), GS_OK);
  close(pair[1]);
}

/* ---- two threads make the same part of the table of descriptors ---- */

static void *open_first(void *arg) {
  CHECK_CODE(gs_poll_open(pair[0]), GS_OK);
  return arg;
}

static void table_by_two(void *arg) {
  pthread_t t;
  Hold make = {.where = "pd_make", .until = is_back, .most = SOON};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  hold(&make);
  CHECK_INT(pthread_create(&t, NULL, open_first, arg), 0);
  await(reached(&make));
  CHECK_CODE(gs_poll_open(pair[1]), GS_OK);
  atomic_store(&came_back, 1);
  pthread_join(t, NULL);
  CHECK_CODE(gs_poll_wait(pair[1], GS_WRITE, gs_now() + SOON), GS_OK);
  CHECK_CODE(gs_close(pair[0]), GS_OK);
  CHECK_CODE(gs_close(pair[1]), GS_OK);
}

/* ---- handles (handle.c) ---- */

static G *ending;
static Hold end;

static gs_handle *of_ending;

static bool it_ends(void) {
  M *m = gs_getm();
  return m && m->curg == ending;
}
static bool it_has_ended(void) { return it_ends() && gs_handle_done(of_ending); }

/* Ends, and stands between DONE and its last look at those who joined. */
static gs_handle *begin_an_end(Place *at) {
  gs_handle *h = go_named("ends", until_told, at);
  await((ending = g_named("ends")) && load_acq(&ending->status) == Grunning);
  of_ending = h;
  end = (Hold){.where = "handle_finish", .mine = it_has_ended};
  return h;
}

static void join_and_come_back(void *arg) {
  Place *at = arg;
  at->code = gs_join(at->h, GS_FOREVER);
  atomic_store(&came_back, 1);
}

/* Its entry, in its frame, is still to be read. */
static void joiner_gives_up(void *arg) {
  (void)arg;
  Place at = {.stop = 0};
  at.h = begin_an_end(&at);
  gs_handle *h = go_named("joiner", join_and_come_back, &at);
  await(is_parked(g_named("joiner")));
  hold(&end);
  atomic_store(&at.stop, 1);
  await(reached(&end));
  CHECK_CODE(gs_cancel(h), GS_OK);
  for (bool back = false; held(&end); back = is_back()) CHECK(!back);
  join(h);
  CHECK(at.code == GS_ECANCELED || at.code == GS_OK);
  gs_handle_release(at.h);
}

/* The handle is still to be written. */
static void handle_is_released(void *arg) {
  (void)arg;
  Place at = {.stop = 0};
  at.h = begin_an_end(&at);
  hold(&end);
  atomic_store(&at.stop, 1);
  await(reached(&end));
  CHECK_INT(gs_handle_done(at.h), 1);
  gs_handle_release(at.h);
  CHECK(!held(&end));
}

static gs_handle *cancelled;
static bool is_done(void) { return gs_handle_done(cancelled); }

static void *cancel_it(void *arg) {
  CHECK_CODE(gs_cancel(arg), GS_OK);
  return NULL;
}

/* A canceller holds the handle while it uses the link to the G: that cannot end meanwhile. */
static void ends_while_cancelled(void *arg) {
  (void)arg;
  Place at = {.stop = 0};
  pthread_t t;
  at.h = cancelled = begin_an_end(&at);
  Hold look = {.where = "g_cancel", .until = is_done};
  hold(&look);
  CHECK_INT(pthread_create(&t, NULL, cancel_it, at.h), 0);
  await(reached(&look));
  atomic_store(&at.stop, 1);
  pthread_join(t, NULL);
  await(is_done());
  join(at.h);
}

static atomic_long foreign_tid;
static bool foreign_sleeps(void) {
  long tid = atomic_load(&foreign_tid);
  return tid && os_thread_asleep((uint32_t)tid);
}

static void *join_elsewhere(void *arg) {
  Place *at = arg;
  await(reached(&end));
  atomic_store(&foreign_tid, my_tid());
  at->code = gs_join(at->h, GS_FOREVER);
  atomic_store(&came_back, 1);
  return NULL;
}

/* It counts itself and looks for DONE; the other side says DONE and looks at the count. */
static void thread_joins(void *arg) {
  (void)arg;
  Place at = {.stop = 0};
  pthread_t t;
  at.h = begin_an_end(&at);
  end.mine = it_ends;
  end.until = foreign_sleeps;
  hold(&end);
  CHECK_INT(pthread_create(&t, NULL, join_elsewhere, &at), 0);
  atomic_store(&at.stop, 1);
  await(is_back());
  pthread_join(t, NULL);
  CHECK_CODE(at.code, GS_OK);
  gs_handle_release(at.h);
}

/* ---- a thread's wait (waitq.c): its deadline against its waker ---- */

static gs_sema sema = GS_SEMA_INIT(0);

static void *acquire_here(void *arg) {
  *(int *)arg = gs_sema_acquire(&sema, in_ms(5));
  return NULL;
}

static void thread_times_out(void *arg) {
  (void)arg;
  pthread_t t;
  int code = -1;
  Hold late = {.where = "wait_thread", .until = is_back, .most = SOON};
  hold(&late);
  CHECK_INT(pthread_create(&t, NULL, acquire_here, &code), 0);
  await(reached(&late));
  CHECK_CODE(gs_sema_release(&sema, 1), GS_OK);
  atomic_store(&came_back, 1);
  pthread_join(t, NULL);
  CHECK_CODE(code, GS_OK); /* it was given the permit */
  CHECK_CODE(gs_sema_try_acquire(&sema), GS_EWOULDBLOCK);
}

/* ---- sync.c ---- */

static gs_waitgroup group;

static void be_done(void *arg) {
  (void)arg;
  CHECK_CODE(gs_waitgroup_done(&group), GS_OK);
}

static void wait_for_group(void *arg) {
  (void)arg;
  CHECK_CODE(gs_waitgroup_wait(&group, GS_FOREVER), GS_OK);
  atomic_fetch_add(&came_back, 1);
}

/* It counts up again while the last one is about to say that nobody is left. */
static void group_grows(void *arg) {
  (void)arg;
  Hold last = {.where = "group_is_done", .most = SOON};
  CHECK_CODE(gs_waitgroup_add(&group, 1), GS_OK);
  gs_handle *w = go_named("waits", wait_for_group, NULL);
  await(is_parked(g_named("waits")));
  hold(&last);
  gs_handle *d = go_named("done", be_done, NULL);
  await(reached(&last));
  CHECK_CODE(gs_waitgroup_add(&group, 1), GS_OK);
  hold_end(&last);
  join(d);
  CHECK_INT(group.state / 2, 1);
  CHECK_CODE(gs_waitgroup_done(&group), GS_OK);
  join(w);
}

static gs_rwmutex rw;

static void read_it(void *arg) { *(int *)arg = gs_rwmutex_rlock(&rw, gs_now() + SOON); }

/* The lock comes free while who wants it is on its way to the queue: it is taken. */
static void rwmutex_comes_free(void *arg) {
  (void)arg;
  int code = -1;
  Hold way = {.where = "take", .most = SOON};
  CHECK_CODE(gs_rwmutex_lock(&rw, 0), GS_OK);
  hold(&way);
  gs_handle *h = go_named("reads", read_it, &code);
  await(reached(&way));
  CHECK_CODE(gs_rwmutex_unlock(&rw), GS_OK);
  hold_end(&way);
  join(h);
  CHECK_CODE(code, GS_OK);
}

static gs_once once;
static atomic_int ran;
static bool has_run(void) { return atomic_load(&ran) != 0; }

static void run_it(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
}

static void do_once(void *arg) {
  (void)arg;
  CHECK_CODE(gs_once_do(&once, run_it, NULL, GS_FOREVER), GS_OK);
}

static void once_by_two(void *arg) {
  (void)arg;
  Hold first = {.where = "once_slow", .until = has_run, .most = SOON};
  hold(&first);
  gs_handle *a = go_named("a", do_once, NULL);
  await(reached(&first));
  do_once(NULL);
  join(a);
  CHECK_INT(atomic_load(&ran), 1);
}

/* ---- deadlines and timers (timer.c, timer_user.c) ---- */

static gs_chan *first_c, *second_c;
static atomic_int stage;
static G *two_waits;

static bool waits_again(void) { return atomic_load(&stage) == 1 && is_parked(two_waits); }

static void wait_twice(void *arg) {
  int x, *code = arg;
  two_waits = gs_getm()->curg;
  code[0] = gs_chan_recv(first_c, &x, in_ms(20));
  atomic_store(&stage, 1);
  code[1] = gs_chan_recv(second_c, &x, GS_FOREVER);
}

/* A timer whose G has found it gone claims nobody any more: the G may wait elsewhere. */
static void timer_is_late(void *arg) {
  (void)arg;
  int code[2] = {-1, -1}, x = 1;
  Hold fire = {.where = "fire_first", .until = waits_again};
  first_c = chan_new(sizeof(int), 0);
  second_c = chan_new(sizeof(int), 0);
  hold(&fire);
  gs_handle *h = go_named("twice", wait_twice, code);
  await(reached(&fire));
  (void)gs_chan_try_send(first_c, &x); /* it is claimed already, or is now */
  while (!waits_again()) gs_yield();   /* on this P: the other one's heap is locked */
  await(hold_over(&fire));
  await_or_not(!is_parked(two_waits), MS(20));
  CHECK(is_parked(two_waits));
  CHECK_CODE(gs_chan_try_send(second_c, &x), GS_OK);
  join(h);
  CHECK(code[0] == GS_OK || code[0] == GS_ETIMEOUT);
  CHECK_CODE(code[1], GS_OK);
  CHECK_CODE(gs_chan_free(first_c), GS_OK);
  CHECK_CODE(gs_chan_free(second_c), GS_OK);
}

static G *napper;
static bool timer_is_gone(void) { return load_acq(&napper->timer.ts) == NULL; }
static bool napper_parks(void) { return napper && gs_getm()->prevg == NULL; }

static void nap(void *arg) {
  napper = gs_getm()->curg;
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
  atomic_store((atomic_int *)arg, 1);
}

/* A timer that fires finds its G parked. */
static void timer_is_early(void *arg) {
  (void)arg;
  atomic_int up = 0;
  Hold parks = {.where = "timers_park", .mine = napper_parks, .until = timer_is_gone};
  hold(&parks);
  go(nap, &up);
  await(atomic_load(&up));
}

/* A timer is found although it moves to another heap meanwhile. */
static Timers heap_a = {.next = INT64_MAX}, heap_b = {.next = INT64_MAX};
static Timer mover;
static bool has_moved(void) { return load_acq(&mover.ts) == &heap_b; }
static int deleted = -1;

static void *delete_it(void *arg) {
  (void)arg;
  deleted = timers_del(&mover);
  return NULL;
}

static void timer_moves(void *arg) {
  (void)arg;
  pthread_t t;
  Hold del = {.where = "timers_del", .until = has_moved, .most = SOON};
  CHECK_CODE(gs_boot(), GS_OK);
  CHECK(timers_add(&heap_a, &mover, INT64_MAX / 2));
  hold(&del);
  CHECK_INT(pthread_create(&t, NULL, delete_it, NULL), 0);
  await(reached(&del));
  timers_move(&heap_a, &heap_b);
  pthread_join(t, NULL);
  CHECK_INT(deleted, 1);
  CHECK_INT(heap_a.len + heap_b.len, 0);
  CHECK(mover.ts == NULL);
}

static void *set_again(void *arg) {
  CHECK_CODE(gs_timer_reset(arg, in_ms(900000), 0, NULL), GS_OK);
  return NULL;
}

static int times_armed(const void *timer) {
  int n = 0;
  for (uint32_t i = 0; i < gs_native.nallp; i++) {
    const Timers *ts = &gs_native.allp[i]->timers;
    for (uint32_t k = 0; k < ts->len; k++) n += ts->heap[k].t == timer;
  }
  return n;
}

/* Two that set one timer do it one after the other. */
static void timer_set_by_two(void *arg) {
  (void)arg;
  gs_timer *t = NULL;
  pthread_t thread;
  Hold one = {.where = "set", .until = is_back};
  CHECK_CODE(gs_timer_new(run_it, NULL, &t), GS_OK);
  hold(&one);
  CHECK_INT(pthread_create(&thread, NULL, set_again, t), 0);
  await(reached(&one));
  CHECK_CODE(gs_timer_reset(t, in_ms(900000), 0, NULL), GS_OK);
  atomic_store(&came_back, 1);
  pthread_join(thread, NULL);
  CHECK_INT(times_armed(t), 1);
  CHECK_CODE(gs_timer_stop(t, NULL), GS_OK);
  CHECK_INT(times_armed(t), 0);
  if (!checks_failed()) gs_timer_free(t);
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"parks_on_a_channel", 2, parks_on_a_channel},
      {"parks_on_a_channel_that_closes", 2, parks_on_a_channel_that_closes},
      {"parks_in_select", 2, parks_in_select},
      {"parks_on_a_mutex", 2, parks_on_a_mutex},
      {"parks_on_a_descriptor", 2, parks_on_a_descriptor},
      {"parks_in_join", 3, parks_in_join},
      {"recv_in_vain", 1, recv_in_vain},
      {"both_directions", 2, both_directions},
      {"one_edge_for_two", 2, one_edge_for_two},
      {"table_by_two", 2, table_by_two},
      {"joiner_gives_up", 3, joiner_gives_up},
      {"handle_is_released", 2, handle_is_released},
      {"ends_while_cancelled", 2, ends_while_cancelled},
      {"thread_joins", 2, thread_joins},
      {"thread_times_out", 2, thread_times_out},
      {"group_grows", 3, group_grows},
      {"rwmutex_comes_free", 2, rwmutex_comes_free},
      {"once_by_two", 2, once_by_two},
      {"timer_is_late", 2, timer_is_late},
      {"timer_is_early", 2, timer_is_early},
      {"timer_moves", 0, timer_moves},
      {"timer_set_by_two", 2, timer_set_by_two},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
