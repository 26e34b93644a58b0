/* chan.c: what each channel operation does in each state of the channel.
 *
 * Empty, partly filled, full, closed with and without elements left, with and without somebody
 * waiting; for every capacity, and for elements of no bytes, a few and many.  One P makes it
 * certain who parks first.
 */
#include "support.h"

enum { PROCS = 1 };

/* Lets everybody else run until they park. */
static void settle(void) {
  for (int i = 0; i < 3; i++) gs_yield();
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
}

/* ---- making them ---- */

static void test_bad_arguments(void **state) {
  (void)state;
  gs_chan *c = NULL;
  int value = 0;
  assert_int_equal(gs_chan_new(65537, 1, &c), GS_EINVAL);
  assert_int_equal(gs_chan_new(SIZE_MAX, 1, &c), GS_EINVAL);
  assert_int_equal(gs_chan_new(4, SIZE_MAX, &c), GS_EINVAL);
  assert_int_equal(gs_chan_new(4, SIZE_MAX / 4 + 1, &c), GS_EINVAL); /* the product wraps to 0 */
  assert_int_equal(gs_chan_new(1024, (1 << 20) + 1, &c), GS_EINVAL);
  assert_null(c);
  assert_int_equal(gs_chan_new(4, 1, NULL), GS_EINVAL);
  assert_int_equal(gs_chan_send(NULL, &value, 0), GS_EINVAL);
  assert_int_equal(gs_chan_recv(NULL, &value, 0), GS_EINVAL);
  assert_int_equal(gs_chan_try_send(NULL, &value), GS_EINVAL);
  assert_int_equal(gs_chan_try_recv(NULL, &value), GS_EINVAL);
  assert_int_equal(gs_chan_close(NULL), GS_EINVAL);
  assert_int_equal(gs_chan_free(NULL), GS_OK); /* as free does */
}

static void null_channels(void *arg) {
  (void)arg;
  int value = 0;
  CHECK_CODE(gs_chan_send(NULL, &value, GS_FOREVER), GS_EINVAL);
  CHECK_CODE(gs_chan_recv(NULL, &value, GS_FOREVER), GS_EINVAL);
  gs_chan *c = chan_new(sizeof value, 1);
  CHECK_CODE(gs_chan_send(c, NULL, GS_FOREVER), GS_EINVAL); /* there is nothing to copy */
  CHECK_INT(gs_chan_len(c), 0);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_null(void **state) {
  (void)state;
  run_procs(PROCS, null_channels, NULL);
}

/* ---- alone: everything that needs nobody else ---- */

static void fill_and_drain(size_t cap, size_t elem_size) {
  static unsigned char in[65536], out[65536];
  gs_chan *c = chan_new(elem_size, cap);
  CHECK_INT(gs_chan_cap(c), cap);
  CHECK_INT(gs_chan_closed(c), 0);
  CHECK_CODE(gs_chan_try_recv(c, out), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_recv(c, out, 0), GS_ETIMEOUT);
  for (int lap = 0; lap < 3; lap++) { /* so that the ring wraps */
    for (size_t i = 0; i < cap; i++) {
      memset(in, (int)(i + 1), elem_size);
      CHECK_CODE(i % 2 ? gs_chan_send(c, in, GS_FOREVER) : gs_chan_try_send(c, in), GS_OK);
      CHECK_INT(gs_chan_len(c), i + 1);
    }
    CHECK_CODE(gs_chan_try_send(c, in), GS_EWOULDBLOCK);
    CHECK_CODE(gs_chan_send(c, in, gs_now() - 1), GS_ETIMEOUT);
    CHECK_INT(gs_chan_len(c), cap);
    size_t left_in = lap == 2 ? 0 : cap / 3;
    for (size_t i = 0; i < cap; i++) {
      memset(out, 0xee, sizeof out);
      CHECK_CODE(i % 2 ? gs_chan_recv(c, out, GS_FOREVER) : gs_chan_try_recv(c, out), GS_OK);
      memset(in, (int)(i + 1), elem_size);
      CHECK_INT(memcmp(in, out, elem_size), 0);
      CHECK(elem_size == sizeof out || out[elem_size] == 0xee); /* and not a byte more */
    }
    /* Shift the ring's start for the next lap. */
    for (size_t i = 0; i < left_in; i++) {
      CHECK_CODE(gs_chan_try_send(c, in), GS_OK);
      CHECK_CODE(gs_chan_try_recv(c, NULL), GS_OK);
    }
    CHECK_INT(gs_chan_len(c), 0);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void all_sizes(void *arg) {
  (void)arg;
  static const size_t caps[] = {0, 1, 2, 3, 7, 100}, sizes[] = {0, 1, 4, 8, 24, 4096, 65536};
  for (size_t i = 0; i < COUNT(caps); i++) {
    for (size_t j = 0; j < COUNT(sizes); j++) fill_and_drain(caps[i], sizes[j]);
  }
}

static void test_all_capacities_and_sizes(void **state) {
  (void)state;
  run_procs(PROCS, all_sizes, NULL);
}

static void close_states(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 3);
  int value = 11;
  CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
  value = 12;
  CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
  CHECK_CODE(gs_chan_close(c), GS_OK);
  CHECK_INT(gs_chan_closed(c), 1);
  CHECK_CODE(gs_chan_close(c), GS_ECLOSED);
  CHECK_CODE(gs_chan_try_send(c, &value), GS_ECLOSED);
  CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_ECLOSED);
  CHECK_CODE(gs_chan_send(c, &value, 0), GS_ECLOSED);
  CHECK_INT(gs_chan_len(c), 2);
  CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, 11);
  CHECK_CODE(gs_chan_try_recv(c, &value), GS_OK);
  CHECK_INT(value, 12);
  for (int i = 0; i < 3; i++) {
    value = 99;
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_ECLOSED);
    CHECK_INT(value, 0);
    value = 99;
    CHECK_CODE(gs_chan_try_recv(c, &value), GS_ECLOSED);
    CHECK_INT(value, 0);
    CHECK_CODE(gs_chan_recv(c, NULL, GS_FOREVER), GS_ECLOSED);
    CHECK_CODE(gs_chan_try_recv(c, NULL), GS_ECLOSED);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_closed(void **state) {
  (void)state;
  run_procs(PROCS, close_states, NULL);
}

/* ---- with somebody waiting ---- */

typedef struct waiter {
  gs_chan *c;
  int value, code;
  int64_t deadline;
  gs_handle *h;
} waiter;

static void wait_to_send(void *arg) {
  waiter *w = arg;
  w->code = gs_chan_send(w->c, &w->value, w->deadline);
}

static void wait_to_recv(void *arg) {
  waiter *w = arg;
  w->code = gs_chan_recv(w->c, &w->value, w->deadline);
}

static void waiter_start(waiter *w, gs_chan *c, body_fn fn, int value, int64_t deadline) {
  *w = (waiter){c, value, 12345, deadline, NULL};
  w->h = go_named(fn == wait_to_send ? "sender" : "receiver", fn, w);
  settle();
}

enum { WAITERS = 5 };

static void senders_queue(size_t cap) {
  gs_chan *c = chan_new(sizeof(int), cap);
  waiter w[WAITERS];
  int value = 0;
  for (size_t i = 0; i < cap; i++) {
    value = (int)i;
    CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
  }
  for (int i = 0; i < WAITERS; i++) {
    waiter_start(&w[i], c, wait_to_send, (int)cap + i, GS_FOREVER);
    CHECK_INT(gs_handle_done(w[i].h), 0);
  }
  CHECK_INT(gs_chan_len(c), cap);
  CHECK_CODE(gs_chan_try_send(c, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_free(c), GS_EBUSY);
  for (int i = 0; i < (int)cap + WAITERS; i++) {
    value = -1;
    CHECK_CODE(i % 2 ? gs_chan_try_recv(c, &value) : gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
    CHECK_INT(value, i);
  }
  CHECK_CODE(gs_chan_try_recv(c, &value), GS_EWOULDBLOCK);
  for (int i = 0; i < WAITERS; i++) {
    join(w[i].h);
    CHECK_CODE(w[i].code, GS_OK);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void receivers_queue(size_t cap) {
  gs_chan *c = chan_new(sizeof(int), cap);
  waiter w[WAITERS];
  int value = 0;
  for (int i = 0; i < WAITERS; i++) {
    waiter_start(&w[i], c, wait_to_recv, -1, GS_FOREVER);
    CHECK_INT(gs_handle_done(w[i].h), 0);
  }
  CHECK_CODE(gs_chan_try_recv(c, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_free(c), GS_EBUSY);
  for (int i = 0; i < WAITERS; i++) {
    CHECK_CODE(i % 2 ? gs_chan_try_send(c, &i) : gs_chan_send(c, &i, GS_FOREVER), GS_OK);
    CHECK_INT(gs_chan_len(c), 0); /* straight to the one who waits */
  }
  for (int i = 0; i < WAITERS; i++) {
    join(w[i].h);
    CHECK_CODE(w[i].code, GS_OK);
    CHECK_INT(w[i].value, i);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void queues(void *arg) {
  (void)arg;
  for (size_t cap = 0; cap <= 3; cap++) {
    senders_queue(cap);
    receivers_queue(cap);
  }
}

static void test_waiters_are_served_in_order(void **state) {
  (void)state;
  run_procs(PROCS, queues, NULL);
}

static void close_wakes(void *arg) {
  (void)arg;
  waiter w[WAITERS];
  int value = 0;
  gs_chan *c = chan_new(sizeof(int), 2);
  for (int i = 0; i < WAITERS; i++) waiter_start(&w[i], c, wait_to_recv, -1, GS_FOREVER);
  CHECK_CODE(gs_chan_close(c), GS_OK);
  for (int i = 0; i < WAITERS; i++) {
    join(w[i].h);
    CHECK_CODE(w[i].code, GS_ECLOSED);
    CHECK_INT(w[i].value, 0);
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);

  c = chan_new(sizeof(int), 2);
  for (int i = 0; i < 2; i++) CHECK_CODE(gs_chan_try_send(c, &i), GS_OK);
  for (int i = 0; i < WAITERS; i++) waiter_start(&w[i], c, wait_to_send, 100, GS_FOREVER);
  CHECK_CODE(gs_chan_close(c), GS_OK);
  for (int i = 0; i < WAITERS; i++) {
    join(w[i].h);
    CHECK_CODE(w[i].code, GS_ECLOSED);
  }
  for (int i = 0; i < 2; i++) {
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
    CHECK_INT(value, i);
  }
  CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_ECLOSED); /* nothing of theirs was sent */
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_close_wakes_everybody(void **state) {
  (void)state;
  run_procs(PROCS, close_wakes, NULL);
}

static void null_targets(void *arg) {
  (void)arg;
  waiter w;
  gs_chan *c = chan_new(sizeof(int), 0);
  waiter_start(&w, c, wait_to_send, 5, GS_FOREVER);
  CHECK_CODE(gs_chan_recv(c, NULL, GS_FOREVER), GS_OK); /* from a parked sender */
  join(w.h);
  CHECK_CODE(w.code, GS_OK);
  CHECK_CODE(gs_chan_free(c), GS_OK);

  c = chan_new(0, 1); /* empty elements need no memory at all */
  CHECK_CODE(gs_chan_send(c, NULL, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_try_send(c, NULL), GS_EWOULDBLOCK);
  CHECK_INT(gs_chan_len(c), 1);
  CHECK_CODE(gs_chan_recv(c, NULL, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_null_targets(void **state) {
  (void)state;
  run_procs(PROCS, null_targets, NULL);
}

static void discard_one(void *arg) { CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_OK); }

static void parked_discarder(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(4096, 0);
  static char element[4096];
  gs_handle *h = go_named("discards", discard_one, c);
  settle();
  CHECK_CODE(gs_chan_send(c, element, GS_FOREVER), GS_OK);
  join(h);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_a_parked_receiver_may_discard(void **state) {
  (void)state;
  run_procs(PROCS, parked_discarder, NULL);
}

/* ---- deadlines ---- */

static void deadlines(void *arg) {
  (void)arg;
  int value = 1;
  for (size_t cap = 0; cap <= 1; cap++) {
    gs_chan *c = chan_new(sizeof(int), cap);
    if (cap == 1) CHECK_CODE(gs_chan_send(c, &value, 0), GS_OK); /* no parking, no time-out */
    if (cap == 1) CHECK_CODE(gs_chan_recv(c, &value, 0), GS_OK);
    static const int64_t waits[] = {INT64_MIN / 2, -1, 0, US(100), MS(10)};
    for (size_t i = 0; i < COUNT(waits); i++) {
      int64_t deadline = gs_now() + waits[i];
      value = 33;
      CHECK_CODE(gs_chan_recv(c, &value, deadline), GS_ETIMEOUT);
      CHECK(gs_now() >= deadline);
      CHECK_INT(value, 33);
      CHECK_CODE(gs_chan_try_send(c, &value), cap == 1 ? GS_OK : GS_EWOULDBLOCK);
      CHECK_CODE(gs_chan_send(c, &value, deadline), GS_ETIMEOUT);
      CHECK_CODE(gs_chan_try_recv(c, &value), cap == 1 ? GS_OK : GS_EWOULDBLOCK);
      CHECK_CODE(gs_chan_try_recv(c, &value), GS_EWOULDBLOCK);
    }
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void test_deadlines(void **state) {
  (void)state;
  run_procs(PROCS, deadlines, NULL);
}

/* One in the middle of the queue gives up; the others keep their places. */
static void leaving_the_queue(void *arg) {
  (void)arg;
  for (int sending = 0; sending <= 1; sending++) {
    gs_chan *c = chan_new(sizeof(int), 0);
    waiter w[3];
    body_fn fn = sending ? wait_to_send : wait_to_recv;
    int64_t soon = in_ms(100);
    for (int i = 0; i < 3; i++) waiter_start(&w[i], c, fn, i, i == 1 ? soon : GS_FOREVER);
    join(w[1].h);
    CHECK_CODE(w[1].code, GS_ETIMEOUT);
    for (int i = 0; i <= 2; i += 2) {
      int value = i;
      CHECK_CODE(sending ? gs_chan_try_recv(c, &value) : gs_chan_try_send(c, &value), GS_OK);
      CHECK_INT(value, i);
      join(w[i].h);
      CHECK_CODE(w[i].code, GS_OK);
      CHECK_INT(w[i].value, i);
    }
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void test_leaving_the_queue(void **state) {
  (void)state;
  run_procs(PROCS, leaving_the_queue, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_null),
      cmocka_unit_test(test_all_capacities_and_sizes),
      cmocka_unit_test(test_closed),
      cmocka_unit_test(test_waiters_are_served_in_order),
      cmocka_unit_test(test_close_wakes_everybody),
      cmocka_unit_test(test_null_targets),
      cmocka_unit_test(test_a_parked_receiver_may_discard),
      cmocka_unit_test(test_deadlines),
      cmocka_unit_test(test_leaving_the_queue),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
