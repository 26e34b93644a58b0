/* call_opts.c: gs_cgocall_opts.
 *
 * Calls with an unblock function and a deadline, and calls that own their argument.  Whatever comes
 * first of cancellation, deadline and the end of the call, and if they come at the same moment: the
 * unblock function runs at most once, never beside the call's return; destroy exactly once, last.
 */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROCS = 2 };

typedef struct work {
  int fds[2];
  atomic_int began, fn_over, unblocks, destroys, returned, waits_for_unblock;
  long fn_tid;
  gs_call_options opts;
  int code, result, value;
} work;

static int wait_for_byte(void *arg) {
  work *w = arg;
  struct pollfd p = {w->fds[0], POLLIN, 0};
  w->fn_tid = my_tid();
  atomic_store(&w->began, 1);
  int r = poll(&p, 1, (int)(PATIENCE / 1000000));
  errno = 71;
  atomic_store(&w->fn_over, 1);
  return r;
}

static void write_byte(void *arg) {
  work *w = arg;
  /* Never by the thread that is in fn; before fn has begun it may be the one that will be. */
  CHECK(!atomic_load(&w->began) || atomic_load(&w->fn_over) || my_tid() != w->fn_tid);
  CHECK_INT(atomic_load(&w->destroys), 0);
  CHECK(w->opts.destroy || !atomic_load(&w->returned));
  CHECK_INT(atomic_fetch_add(&w->unblocks, 1), 0);
  CHECK_INT(write(w->fds[1], "x", 1), 1);
  int ms = 1;
  if (atomic_load(&w->waits_for_unblock)) block_ms(&ms);
  CHECK_INT(atomic_load(&w->destroys), 0);
  CHECK(w->opts.destroy || !atomic_load(&w->returned));
}

static void destroy(void *arg) {
  work *w = arg;
  CHECK(!atomic_load(&w->began) || atomic_load(&w->fn_over));
  if (w->fn_tid) CHECK_INT(my_tid(), w->fn_tid);
  CHECK_INT(atomic_fetch_add(&w->destroys, 1), 0);
}

static void work_init(work *w) {
  memset(w, 0, sizeof *w);
  CHECK_INT(pipe(w->fds), 0);
  w->opts = (gs_call_options)GS_CALL_OPTIONS_DEFAULT;
  w->opts.uarg = w;
  w->result = -5;
}

static void work_free(work *w) {
  close(w->fds[0]);
  close(w->fds[1]);
}

static void call(void *arg) {
  work *w = arg;
  w->code = gs_cgocall_opts(&w->opts, wait_for_byte, w, &w->result);
  int e = gs_errno();
  if (w->result != -5) CHECK_INT(e, 71);
  atomic_store(&w->returned, 1);
}

#define until(what)                                                                         \
  do {                                                                                      \
    for (int64_t end_ = gs_now() + PATIENCE; !(what) && gs_now() < end_;) gs_sleep(US(20)); \
    CHECK(what);                                                                            \
  } while (0)

/* ---- a deadline with an unblock function ---- */

static void deadline_unblocks(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(60); i++) {
    work w;
    work_init(&w);
    w.opts.unblock = write_byte;
    w.waits_for_unblock = 1;
    w.opts.deadline_ns = gs_now() + US(300);
    call(&w);
    CHECK_CODE(w.code, GS_ETIMEOUT);
    CHECK(w.unblocks == 1 || !w.began); /* it may have passed before fn began */
    if (w.began) CHECK_INT(w.result, 1);
    work_free(&w);
  }
}

static void deadline_is_far(void *arg) {
  (void)arg;
  work w;
  work_init(&w);
  w.opts.unblock = write_byte;
  w.opts.deadline_ns = gs_now() + PATIENCE;
  CHECK_INT(write(w.fds[1], "x", 1), 1);
  call(&w);
  CHECK_CODE(w.code, GS_OK);
  CHECK_INT(w.result, 1);
  CHECK_INT(w.unblocks, 0);
  work v;
  work_init(&v);
  v.opts.unblock = write_byte;
  v.opts.deadline_ns = gs_now() + PATIENCE;
  gs_handle *h = go_named("waits", call, &v);
  until(v.began);
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  CHECK_CODE(v.code, GS_ECANCELED);
  CHECK_INT(v.result, 1);
  CHECK_INT(v.unblocks, 1);
  work_free(&w);
  work_free(&v);
}

static void test_deadline_unblocks(void **state) {
  (void)state;
  run_procs(1, deadline_unblocks, NULL);
  run_procs(PROCS, deadline_unblocks, NULL);
}

static void test_deadline_is_far(void **state) {
  (void)state;
  run_procs(PROCS, deadline_is_far, NULL);
}

/* Its green thread is a system one. */
static void user_disabled(void *arg) {
  (void)arg;
  work w;
  work_init(&w);
  w.opts.unblock = write_byte;
  w.opts.deadline_ns = in_ms(2);
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  call(&w);
  CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  CHECK_CODE(w.code, GS_ETIMEOUT);
  work_free(&w);
  work_init(&w);
  w.opts.destroy = destroy;
  w.opts.unblock = write_byte;
  w.opts.deadline_ns = in_ms(2);
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  call(&w);
  CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  CHECK_CODE(w.code, GS_ETIMEOUT);
  until(w.destroys);
  work_free(&w);
}

static void test_user_disabled(void **state) {
  (void)state;
  run_procs(PROCS, user_disabled, NULL);
}

/* ---- nothing that could end it: it is waited for ---- */

static void nothing_ends_it(void *arg) {
  (void)arg;
  work w;
  work_init(&w);
  w.opts.deadline_ns = in_ms(3);
  gs_handle *h = go_named("waits", call, &w);
  until(w.began || w.returned);
  CHECK_CODE(gs_cancel(h), GS_OK);
  if (w.began) {
    gs_sleep(MS(5));
    CHECK_INT(w.returned, 0);
    CHECK_INT(write(w.fds[1], "x", 1), 1);
  }
  join(h);
  if (w.began) {
    CHECK_CODE(w.code, GS_OK);
    CHECK_INT(w.result, 1);
  } else { /* a slow machine */
    CHECK_CODE(w.code, GS_ETIMEOUT);
  }
  work_free(&w);
}

static void test_nothing_ends_it(void **state) {
  (void)state;
  run_procs(PROCS, nothing_ends_it, NULL);
}

/* ---- calls that own their argument ---- */

static int snapshot_says(const char *call_name, int detached) {
  gs_snapshot_data *s = NULL;
  int found = 0;
  CHECK_CODE(gs_snapshot(&s), GS_OK);
  for (size_t i = 0; i < s->ng; i++)
    if (s->g[i].call && strcmp(s->g[i].call, call_name) == 0) found += s->g[i].detached == detached;
  gs_snapshot_free(s);
  return found;
}

static int dump_says(const char *text) {
  static char all[1 << 16];
  FILE *f = tmpfile();
  CHECK(f != NULL);
  if (!f) return 0;
  gs_dump(fileno(f));
  rewind(f);
  size_t n = fread(all, 1, sizeof all - 1, f);
  all[n] = 0;
  fclose(f);
  return strstr(all, text) != NULL;
}

static gs_site detachable_site = {.name = "read_slowly"};

static void detached_by(work *w, int cancelled) {
  gs_metrics before = metrics();
  gs_handle *h = go_named("lets go", call, w);
  until(w->began || w->returned);
  if (cancelled) {
    CHECK_INT(snapshot_says("read_slowly", 0), 1);
    CHECK_CODE(gs_cancel(h), GS_OK);
  }
  join(h);
  CHECK_CODE(w->code, cancelled ? GS_ECANCELED : GS_ETIMEOUT);
  CHECK_INT(w->result, -5);
  if (w->began) {
    CHECK_INT(w->destroys, 0);
    CHECK_INT(metrics().detached, before.detached + 1);
    CHECK_INT(metrics().detached_now, before.detached_now + 1);
    CHECK_INT(snapshot_says("read_slowly", 1), 1);
    CHECK(dump_says("\"detachable call\": syscall in read_slowly"));
    CHECK(dump_says("detached: nobody waits for its call"));
    CHECK_INT(write(w->fds[1], "x", 1), 1);
  }
  until(w->destroys);
  until(metrics().detached_now == before.detached_now);
  CHECK_INT(w->destroys, 1);
  CHECK_INT(w->unblocks, 0);
}

static void detached(void *arg) {
  (void)arg;
  for (int cancelled = 0; cancelled < 2; cancelled++) {
    work w;
    work_init(&w);
    w.opts.site = &detachable_site;
    w.opts.destroy = destroy;
    w.opts.deadline_ns = cancelled ? GS_FOREVER : in_ms(50);
    detached_by(&w, cancelled);
    work_free(&w);
  }
}

static void test_detached(void **state) {
  (void)state;
  run_procs(1, detached, NULL);
  run_procs(PROCS, detached, NULL);
}

static void not_detached(void *arg) {
  (void)arg;
  gs_metrics before = metrics();
  for (int i = 0; i < 20; i++) {
    work w;
    work_init(&w);
    w.opts.destroy = destroy;
    w.opts.unblock = write_byte;
    w.opts.deadline_ns = i % 2 ? GS_FOREVER : gs_now() + PATIENCE;
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    call(&w);
    CHECK_CODE(w.code, GS_OK);
    CHECK_INT(w.result, 1);
    CHECK_INT(w.destroys, 1); /* before the result is there */
    CHECK_INT(w.unblocks, 0);
    work_free(&w);
  }
  CHECK_INT(metrics().detached, before.detached);
}

static void test_not_detached(void **state) {
  (void)state;
  run_procs(1, not_detached, NULL);
  run_procs(PROCS, not_detached, NULL);
}

static void detached_and_unblocked(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(60); i++) {
    work w;
    work_init(&w);
    w.opts.destroy = destroy;
    w.opts.unblock = write_byte;
    w.waits_for_unblock = 1;
    gs_handle *h = go_named("lets go", call, &w);
    until(w.began);
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK_CODE(w.code, GS_ECANCELED);
    until(w.destroys);
    CHECK_INT(w.unblocks, 1);
    work_free(&w);
  }
  until(metrics().detached_now == 0);
}

static void test_detached_and_unblocked(void **state) {
  (void)state;
  run_procs(1, detached_and_unblocked, NULL);
  run_procs(PROCS, detached_and_unblocked, NULL);
}

/* ---- fn is not called, and destroy is ---- */

static void call_when_cancelled(void *arg) {
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  call(arg);
}

static int call_inside(void *arg) {
  call(arg);
  return 0;
}

static void never_called(const work *w, int code, int destroys) {
  CHECK_CODE(w->code, code);
  CHECK_INT(w->began, 0);
  CHECK_INT(w->destroys, destroys);
  CHECK_INT(w->unblocks, 0);
}

static void fn_not_called(void *arg) {
  (void)arg;
  for (int owns = 0; owns < 2; owns++) {
    work w;
    work_init(&w);
    w.opts.unblock = write_byte;
    w.opts.destroy = owns ? destroy : NULL;
    w.opts.deadline_ns = gs_now();
    call(&w);
    never_called(&w, GS_ETIMEOUT, owns);
    w.opts.deadline_ns = INT64_MIN;
    w.destroys = 0;
    call(&w);
    never_called(&w, GS_ETIMEOUT, owns);
    w.opts.deadline_ns = GS_FOREVER;
    w.destroys = 0;
    gs_handle *h = go_named("cancelled", call_when_cancelled, &w);
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    never_called(&w, GS_ECANCELED, owns);
    w.destroys = 0;
    gs_entersyscall();
    call(&w);
    gs_exitsyscall();
    never_called(&w, GS_ETHROWSPLIT, owns);
    static gs_site critical = {.flags = GS_SITE_CRITICAL};
    w.destroys = 0;
    CHECK_CODE(gs_cgocall_site(&critical, call_inside, &w, NULL), GS_OK);
    never_called(&w, GS_EPERM, owns);
    w.destroys = 0;
    CHECK_CODE(gs_cgocall_opts(&w.opts, NULL, &w, NULL), GS_EINVAL);
    CHECK_CODE(gs_cgocall_opts(NULL, wait_for_byte, &w, NULL), GS_EINVAL);
    w.opts.size--;
    CHECK_CODE(gs_cgocall_opts(&w.opts, wait_for_byte, &w, NULL), GS_EINVAL);
    CHECK(strstr(gs_error_detail(), "opts->size") != NULL);
    CHECK_INT(w.destroys, 0);
    work_free(&w);
  }
}

static void test_fn_not_called(void **state) {
  (void)state;
  work w;
  work_init(&w);
  w.opts.destroy = destroy;
  w.opts.unblock = write_byte;
  assert_int_equal(write(w.fds[1], "x", 1), 1);
  call(&w); /* no green thread: in place */
  assert_int_equal(w.code, GS_OK);
  assert_int_equal(w.result, 1);
  assert_int_equal(w.destroys, 1);
  w.destroys = w.began = 0;
  w.fn_tid = 0;
  w.opts.deadline_ns = gs_now();
  call(&w);
  never_called(&w, GS_ETIMEOUT, 1);
  work_free(&w);
  run_procs(PROCS, fn_not_called, NULL);
}

/* ---- inside a foreign call: as in a callback ---- */

static void inside(void *arg) {
  (void)arg;
  for (int owns = 0; owns < 2; owns++) {
    work w;
    work_init(&w);
    w.opts.unblock = write_byte;
    w.opts.destroy = owns ? destroy : NULL;
    w.opts.deadline_ns = in_ms(2);
    CHECK_CODE(gs_cgocall(call_inside, &w, NULL), GS_OK);
    CHECK_CODE(w.code, GS_ETIMEOUT);
    until(!owns || w.destroys);
    work_free(&w);
  }
}

static void test_inside(void **state) {
  (void)state;
  run_procs(PROCS, inside, NULL);
}

/* ---- a callback that fails ---- */

static void report_failure(void *arg) { CHECK_CODE(gs_callback_fail(77, arg), GS_OK); }

static int call_back_and_fail(void *arg) {
  work *w = arg;
  CHECK_CODE(gs_cgocallback(report_failure, w), GS_OK);
  atomic_store(&w->began, 1);
  atomic_store(&w->fn_over, 1);
  errno = 71;
  return 12;
}

static void callbacks_fail(void *arg) {
  (void)arg;
  for (int i = 0; i < 40; i++) {
    int owns = i & 1, code = 0;
    void *data = NULL;
    work w;
    work_init(&w);
    w.opts.unblock = write_byte;
    w.opts.destroy = owns ? destroy : NULL;
    CHECK_CODE(gs_cgocall_opts(&w.opts, call_back_and_fail, &w, &w.result), GS_ECALLBACK);
    CHECK_INT(gs_errno(), 71);
    CHECK_INT(w.result, 12);
    CHECK_INT(w.destroys, owns);
    CHECK_CODE(gs_callback_failure(&code, &data), GS_OK);
    CHECK_INT(code, 77);
    CHECK(data == &w);
    CHECK_CODE(gs_callback_failure(&code, &data), GS_EPERM);
    work_free(&w);
  }
}

static void test_callbacks_fail(void **state) {
  (void)state;
  run_procs(PROCS, callbacks_fail, NULL);
}

/* ---- nested: the outer one's deadline passes while the inner one runs ---- */

typedef struct inner {
  work w;
  const work *outer;
  int64_t began;
  int unblocks; /* of the outer one, when fn returned */
} inner;

/* The outer call is put aside from before this begins until after it has returned. */
static int inner_fn(void *arg) {
  inner *in = arg;
  in->began = gs_now();
  int r = wait_for_byte(&in->w);
  in->unblocks = atomic_load(&in->outer->unblocks);
  return r;
}

static void inner_call(void *arg) {
  work *w = arg;
  inner in = {.outer = w, .began = INT64_MAX};
  work_init(&in.w);
  in.w.opts.unblock = write_byte;
  in.w.opts.uarg = &in.w;
  in.w.opts.deadline_ns = w->opts.deadline_ns + MS(4);
  in.w.code = gs_cgocall_opts(&in.w.opts, inner_fn, &in, &in.w.result);
  CHECK_CODE(in.w.code, GS_ETIMEOUT);
  atomic_store(&in.w.returned, 1);
  /* Else the outer deadline has passed before, and its function may have run. */
  if (in.began < w->opts.deadline_ns) CHECK_INT(in.unblocks, 0);
  work_free(&in.w);
}

static int outer_fn(void *arg) {
  CHECK_CODE(gs_cgocallback(inner_call, arg), GS_OK);
  return wait_for_byte(arg);
}

static void nested(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(20); i++) {
    work w;
    work_init(&w);
    w.opts.unblock = write_byte;
    w.opts.deadline_ns = in_ms(2);
    w.code = gs_cgocall_opts(&w.opts, outer_fn, &w, &w.result);
    CHECK_CODE(w.code, GS_ETIMEOUT);
    if (w.began) CHECK_INT(w.result, 1);
    if (w.began) CHECK_INT(w.unblocks, 1);
    work_free(&w);
  }
}

static void test_nested(void **state) {
  (void)state;
  run_procs(PROCS, nested, NULL);
}

/* ---- at any moment: cancellation, deadline and the end of the call meet ---- */

static uint64_t seed = 88172645463325252u;

/* fn ends by itself after a while, or is told to. */
static int wait_shortly(void *arg) {
  work *w = arg;
  struct pollfd p = {w->fds[0], POLLIN, 0};
  atomic_store(&w->began, 1);
  int r = 0;
  for (int64_t end = gs_now() + w->value; r == 0 && gs_now() < end;) r = poll(&p, 1, 0);
  atomic_store(&w->fn_over, 1);
  return r;
}

static void call_shortly(void *arg) {
  work *w = arg;
  w->code = gs_cgocall_opts(&w->opts, wait_shortly, w, &w->result);
  atomic_store(&w->returned, 1);
}

static void meet(void *arg) {
  int owns = *(int *)arg;
  int codes[3] = {0, 0, 0};
  for (int i = 0; i < (SLOW_BUILD ? 150 : 600) && !checks_failed(); i++) {
    work w;
    work_init(&w);
    int64_t slow = SLOW_BUILD ? 10 : 1;
    int64_t about = (US(20) + (int64_t)(random_next(&seed) % US(60))) * slow;
    w.value = (int)about;
    w.opts.unblock = i % 3 ? write_byte : NULL;
    w.opts.destroy = owns ? destroy : NULL;
    w.opts.deadline_ns = gs_now() + about + (int64_t)(random_next(&seed) % US(60)) * slow;
    gs_handle *h = go_named("meets", call_shortly, &w);
    int64_t when = gs_now() + about + (int64_t)(random_next(&seed) % US(30)) * slow;
    if (i % 2)
      while (gs_now() < when) gs_yield();
    if (i % 4 != 2) CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK(w.code == GS_OK || w.code == GS_ECANCELED || w.code == GS_ETIMEOUT);
    CHECK(w.code == GS_OK || owns || w.opts.unblock || !w.began);
    if (owns) until(w.destroys);
    CHECK_INT(w.destroys, owns);
    CHECK(w.unblocks <= 1);
    codes[w.code == GS_OK ? 0 : w.code == GS_ETIMEOUT ? 1 : 2]++;
    work_free(&w);
  }
  until(metrics().detached_now == 0);
  print_message("%s: %d ended, %d timed out, %d cancelled\n", owns ? "owned" : "attached", codes[0],
                codes[1], codes[2]);
}

static void test_any_time(void **state) {
  (void)state;
  for (int owns = 0; owns < 2; owns++)
    for (int procs = 1; procs <= PROCS; procs++) run_procs(procs, meet, &owns);
}

/* ---- the end of gs_run ---- */

static work left[4];

static void leave_waiting(void *arg) {
  int unblocks = *(int *)arg;
  for (int i = 0; i < 4; i++) {
    work_init(&left[i]);
    left[i].opts.destroy = destroy;
    left[i].opts.unblock = unblocks ? write_byte : NULL;
    go(call, &left[i]);
  }
  for (int i = 0; i < 4; i++) until(left[i].began);
}

static void *write_later(void *arg) {
  (void)arg;
  for (int i = 0; i < 4; i++) block_until(&left[i].returned);
  for (int i = 0; i < 4; i++) CHECK_INT(write(left[i].fds[1], "x", 1), 1);
  return NULL;
}

static void let_go_and_leave(void *arg) {
  pthread_t *t = arg;
  int unblocks = 0;
  leave_waiting(&unblocks);
  CHECK_INT(pthread_create(t, NULL, write_later, NULL), 0);
}

static void test_end_of_run(void **state) {
  (void)state;
  int unblocks = 1;
  pthread_t t;
  for (int i = 0; i < 10; i++) {
    if (i % 2)
      run_procs(PROCS, leave_waiting, &unblocks);
    else
      run_procs(PROCS, let_go_and_leave, &t);
    for (int k = 0; k < 4; k++) {
      assert_int_equal(left[k].code, GS_ECANCELED);
      assert_int_equal(left[k].destroys, 1);
      assert_int_equal(left[k].unblocks, i % 2);
    }
    if (i % 2 == 0) pthread_join(t, NULL);
    for (int k = 0; k < 4; k++) work_free(&left[k]);
    assert_int_equal(metrics().detached_now, 0);
  }
}

static void abandon(void *arg) {
  work *w = arg;
  gs_handle *h = go_named("lets go", call, w);
  until(w->began);
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
}

static void test_abandoned(void **state) {
  (void)state;
  static work w; /* outlives the run */
  work_init(&w);
  w.opts.destroy = destroy;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  /* Locked, so that the thread of gs_run is not the one that fn keeps. */
  cfg.flags = GS_RUN_ABANDON | GS_RUN_LOCK_MAIN;
  run_config(&cfg, abandon, &w);
  assert_int_equal(w.destroys, 0);
  assert_int_equal(write(w.fds[1], "x", 1), 1);
  assert_true(block_until(&w.destroys));
  for (int64_t end = gs_now() + PATIENCE; metrics().detached_now && gs_now() < end;) usleep(1000);
  assert_int_equal(metrics().detached_now, 0);
  work_free(&w);
}

/* ---- a socket ---- */

static int receive(void *arg) {
  work *w = arg;
  char byte;
  atomic_store(&w->began, 1);
  return (int)recv(w->fds[0], &byte, 1, 0);
}

static void shut(void *arg) { shutdown(((work *)arg)->fds[0], SHUT_RDWR); }

static void receive_for_a_while(void *arg) {
  work *w = arg;
  w->code = gs_cgocall_opts(&w->opts, receive, w, &w->result);
}

static void socket_shut_down(void *arg) {
  (void)arg;
  for (int timed = 0; timed < 2; timed++) {
    work w;
    memset(&w, 0, sizeof w);
    w.opts = (gs_call_options)GS_CALL_OPTIONS_DEFAULT;
    w.opts.unblock = shut;
    w.opts.uarg = &w;
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, w.fds), 0);
    if (timed) w.opts.deadline_ns = in_ms(5);
    gs_handle *h = go_named("receives", receive_for_a_while, &w);
    if (!timed) {
      until(w.began);
      CHECK_CODE(gs_cancel(h), GS_OK);
    }
    join(h);
    CHECK_CODE(w.code, timed ? GS_ETIMEOUT : GS_ECANCELED);
    if (w.began) CHECK_INT(w.result, 0);
    work_free(&w);
  }
}

static void test_socket_shut_down(void **state) {
  (void)state;
  run_procs(PROCS, socket_shut_down, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_deadline_unblocks),
      cmocka_unit_test(test_deadline_is_far),
      cmocka_unit_test(test_user_disabled),
      cmocka_unit_test(test_nothing_ends_it),
      cmocka_unit_test(test_detached),
      cmocka_unit_test(test_not_detached),
      cmocka_unit_test(test_detached_and_unblocked),
      cmocka_unit_test(test_fn_not_called),
      cmocka_unit_test(test_inside),
      cmocka_unit_test(test_nested),
      cmocka_unit_test(test_callbacks_fail),
      cmocka_unit_test(test_any_time),
      cmocka_unit_test(test_end_of_run),
      cmocka_unit_test(test_socket_shut_down),
      cmocka_unit_test(test_abandoned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
