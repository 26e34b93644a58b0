/* unblock.c: gs_cgocall_unblock.
 *
 * Cancelled before, during and after the call, and at every moment in between: the unblock function
 * runs at most once, and never when the call has returned; a call that is cancelled comes back.
 */
#include "support.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

enum { PROCS = 2 };

typedef struct wait {
  int fds[2];
  atomic_int began, unblocks, returned;
  int code, result;
} wait;

static int wait_for_byte(void *arg) {
  wait *w = arg;
  struct pollfd p = {w->fds[0], POLLIN, 0};
  atomic_store(&w->began, 1);
  int r = poll(&p, 1, (int)(PATIENCE / 1000000));
  errno = 71;
  return r;
}

/* Takes its time, so that a call which does not wait for it is found. */
static void write_byte(void *arg) {
  wait *w = arg;
  CHECK_INT(atomic_load(&w->returned), 0);
  CHECK_INT(atomic_fetch_add(&w->unblocks, 1), 0);
  CHECK_INT(write(w->fds[1], "x", 1), 1);
  int ms = atomic_load(&w->began) ? 1 : 0;
  if (ms) block_ms(&ms);
  CHECK_INT(atomic_load(&w->returned), 0);
}

static void call(void *arg) {
  wait *w = arg;
  w->result = -5;
  w->code = gs_cgocall_unblock(wait_for_byte, w, &w->result, write_byte, w);
  int e = gs_errno();
  atomic_store(&w->returned, 1);
  if (w->result == 1) CHECK_INT(e, 71);
}

static void wait_init(wait *w) {
  memset(w, 0, sizeof *w);
  CHECK_INT(pipe(w->fds), 0);
}

static void wait_free(wait *w) {
  close(w->fds[0]);
  close(w->fds[1]);
}

/* ---- during ---- */

static void cancel_during(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(100); i++) {
    wait w;
    wait_init(&w);
    gs_handle *h = go_named("waits", call, &w);
    while (!atomic_load(&w.began)) gs_sleep(US(10));
    CHECK_CODE(gs_cancel(h), GS_OK);
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK_CODE(w.code, GS_ECANCELED);
    CHECK_INT(w.result, 1);
    CHECK_INT(w.unblocks, 1);
    wait_free(&w);
  }
}

static void test_during(void **state) {
  (void)state;
  run_procs(1, cancel_during, NULL);
  run_procs(PROCS, cancel_during, NULL);
}

/* ---- before, and not at all ---- */

static void call_when_cancelled(void *arg) {
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  call(arg);
}

static int at_once(void *arg) {
  errno = 72;
  return *(int *)arg;
}

static void not_cancelled(void *arg) {
  (void)arg;
  wait w;
  int value = 9, result = 0;
  wait_init(&w);
  for (int i = 0; i < 100; i++) {
    CHECK_CODE(gs_cgocall_unblock(at_once, &value, &result, write_byte, &w), GS_OK);
    CHECK_INT(gs_errno(), 72);
    CHECK_INT(result, 9);
  }
  CHECK_CODE(gs_cgocall_unblock(at_once, &value, &result, NULL, NULL), GS_OK);
  CHECK_CODE(gs_cgocall_unblock(NULL, &value, &result, write_byte, &w), GS_EINVAL);
  CHECK_INT(w.unblocks, 0);
  gs_handle *h = go_named("cancelled", call_when_cancelled, &w);
  gs_sleep(US(50));
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  CHECK_CODE(w.code, GS_ECANCELED);
  CHECK_INT(w.result, -5); /* the call was not made */
  CHECK_INT(w.unblocks, 0);
  wait_free(&w);
}

static void test_before_and_not_at_all(void **state) {
  (void)state;
  int value = 9, result = 0;
  assert_int_equal(gs_cgocall_unblock(at_once, &value, &result, write_byte, NULL), GS_OK);
  assert_int_equal(result, 9); /* no green thread: in place */
  run_procs(PROCS, not_cancelled, NULL);
}

/* ---- at any moment: calls that would return anyhow meet their cancel ---- */

static int wait_a_moment(void *arg) {
  wait *w = arg;
  struct pollfd p = {w->fds[0], POLLIN, 0};
  atomic_store(&w->began, 1);
  return poll(&p, 1, 0);
}

static void call_often(void *arg) {
  wait *w = arg;
  int code;
  do {
    atomic_store(&w->returned, 0);
    code = gs_cgocall_unblock(wait_a_moment, w, NULL, write_byte, w);
    atomic_store(&w->returned, 1);
  } while (code == GS_OK);
  CHECK_CODE(code, GS_ECANCELED);
}

static void *cancel_from_a_thread(void *arg) {
  CHECK_CODE(gs_cancel(arg), GS_OK);
  return NULL;
}

static int cancel_by_thread(void *arg) {
  pthread_t t;
  if (pthread_create(&t, NULL, cancel_from_a_thread, arg)) return -1;
  return pthread_join(t, NULL);
}

static void cancel_any_time(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(1000) && !checks_failed(); i++) {
    wait w;
    wait_init(&w);
    gs_handle *h = go_named("calls often", call_often, &w);
    for (int k = 0; k < i % 40 * 20; k++) __asm__ volatile("" ::: "memory");
    if (i % 5 == 0) gs_sleep(US(20));
    if (i % 50 == 1)
      CHECK_CODE(gs_cgocall(cancel_by_thread, h, NULL), GS_OK);
    else
      CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK(w.unblocks <= 1);
    wait_free(&w);
  }
}

static void cancel_as_it_begins(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(1000) && !checks_failed(); i++) {
    wait w;
    wait_init(&w);
    gs_handle *h = go_named("waits", call, &w);
    for (int k = 0; k < i % 60 * 20; k++) __asm__ volatile("" ::: "memory");
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK_CODE(w.code, GS_ECANCELED);
    CHECK(w.result == 1 || w.result == -5); /* not: 0, nobody woke it */
    wait_free(&w);
  }
}

static void test_any_time(void **state) {
  (void)state;
  run_procs(PROCS, cancel_any_time, NULL);
  run_procs(PROCS, cancel_as_it_begins, NULL);
}

/* ---- in a callback of such a call ---- */

static void inner(void *arg) {
  wait *w = arg;
  call(&w[1]);
  CHECK_CODE(w[1].code, GS_ECANCELED);
}

static int outer_call(void *arg) {
  CHECK_CODE(gs_cgocallback(inner, arg), GS_OK);
  return 4;
}

static void nest(void *arg) {
  wait *w = arg;
  int value = 9;
  w->code = gs_cgocall_unblock(outer_call, w, &w->result, write_byte, w);
  gs_uncancel();
  CHECK_CODE(gs_cgocall_unblock(at_once, &value, NULL, write_byte, w), GS_OK);
}

static void nested(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(50); i++) {
    wait w[2];
    wait_init(&w[0]);
    wait_init(&w[1]);
    gs_handle *h = go_named("nests", nest, w);
    while (!atomic_load(&w[1].began)) gs_sleep(US(10));
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK_INT(w[0].result, 4);
    CHECK_INT(w[1].result, 1);
    CHECK_INT(w[1].unblocks, 1);
    CHECK_INT(w[0].unblocks, 0);
    wait_free(&w[0]);
    wait_free(&w[1]);
  }
}

static void test_nested(void **state) {
  (void)state;
  run_procs(PROCS, nested, NULL);
}

/* ---- the end of gs_run ---- */

static wait left[4];

static void leave_waiting(void *arg) {
  (void)arg;
  for (int i = 0; i < 4; i++) {
    wait_init(&left[i]);
    go(call, &left[i]);
  }
  for (int i = 0; i < 4; i++)
    while (!atomic_load(&left[i].began)) gs_sleep(US(10));
}

static void test_end_of_run(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) {
    run_procs(PROCS, leave_waiting, NULL);
    for (int k = 0; k < 4; k++) {
      assert_int_equal(left[k].code, GS_ECANCELED);
      assert_int_equal(left[k].unblocks, 1);
      wait_free(&left[k]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_during),     cmocka_unit_test(test_before_and_not_at_all),
      cmocka_unit_test(test_any_time),   cmocka_unit_test(test_nested),
      cmocka_unit_test(test_end_of_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
