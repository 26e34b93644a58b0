/* cancel.c: asking a green thread to stop.
 *
 * Whatever it is parked in returns GS_ECANCELED, and whatever it would park in later does too,
 * until it takes the request back.  What needs no parking works on.  A cancelled operation has
 * had no effect: nothing was sent, nothing received.
 */
#include "support.h"

enum { PROCS = 2 };

typedef struct stage {
  gs_chan *empty, *full; /* nobody sends on the one or receives from the other */
  gs_handle *never_ends;
  atomic_int entered;
} stage;

static void park_in_recv(void *arg) {
  stage *s = arg;
  int value = 7;
  atomic_fetch_add(&s->entered, 1);
  CHECK_CODE(gs_chan_recv(s->empty, &value, GS_FOREVER), GS_ECANCELED);
}

static void park_in_recv_with_deadline(void *arg) {
  stage *s = arg;
  int value = 7;
  atomic_fetch_add(&s->entered, 1);
  CHECK_CODE(gs_chan_recv(s->empty, &value, in_ms(600000)), GS_ECANCELED);
}

static void park_in_send(void *arg) {
  stage *s = arg;
  int value = 7;
  atomic_fetch_add(&s->entered, 1);
  CHECK_CODE(gs_chan_send(s->full, &value, GS_FOREVER), GS_ECANCELED);
}

static void park_in_sleep(void *arg) {
  stage *s = arg;
  atomic_fetch_add(&s->entered, 1);
  CHECK_CODE(gs_sleep(MS(600000)), GS_ECANCELED);
}

static void park_in_join(void *arg) {
  stage *s = arg;
  atomic_fetch_add(&s->entered, 1);
  CHECK_CODE(gs_join(s->never_ends, GS_FOREVER), GS_ECANCELED);
}

static const body_fn parkers[] = {park_in_recv, park_in_recv_with_deadline, park_in_send,
                                  park_in_sleep, park_in_join};

static void stage_init(stage *s) {
  s->empty = chan_new(sizeof(int), 2);
  s->full = chan_new(sizeof(int), 1);
  int value = 1;
  CHECK_CODE(gs_chan_try_send(s->full, &value), GS_OK);
  atomic_init(&s->entered, 0);
  s->never_ends = go_named("never ends", park_in_sleep, s);
}

static void stage_free(stage *s) {
  CHECK_CODE(gs_cancel(s->never_ends), GS_OK);
  join(s->never_ends);
  CHECK_INT(gs_chan_len(s->empty), 0);
  CHECK_INT(gs_chan_len(s->full), 1);
  CHECK_CODE(gs_chan_free(s->empty), GS_OK); /* nobody is left in their queues */
  CHECK_CODE(gs_chan_free(s->full), GS_OK);
}

static void cancel_parked(void *arg) {
  int64_t wait = *(int64_t *)arg;
  stage s;
  stage_init(&s);
  for (int round = 0; round < 20; round++) {
    gs_handle *h[COUNT(parkers)];
    for (size_t i = 0; i < COUNT(parkers); i++) h[i] = go_named("parker", parkers[i], &s);
    if (wait > 0) gs_sleep(wait);
    for (size_t i = 0; i < COUNT(parkers); i++) {
      CHECK_CODE(gs_cancel(h[i]), GS_OK);
      CHECK_CODE(gs_cancel(h[i]), GS_OK); /* idempotent */
      join(h[i]);
    }
  }
  stage_free(&s);
}

static void test_while_parked(void **state) {
  (void)state;
  int64_t wait = MS(2);
  run_procs(PROCS, cancel_parked, &wait);
}

static void test_before_or_while_it_parks(void **state) {
  (void)state;
  int64_t wait = 0;
  run_procs(PROCS, cancel_parked, &wait);
  wait = US(20);
  run_procs(PROCS, cancel_parked, &wait);
}

static void cancel_ended(void *arg) {
  stage *s = arg;
  (void)s;
  gs_handle *h = go_named("parker", park_in_sleep, s);
  CHECK_CODE(gs_cancel(h), GS_OK);
  CHECK_CODE(gs_join(h, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_cancel(h), GS_OK);
  gs_handle_release(h);
}

static void test_after_its_end(void **state) {
  (void)state;
  stage s = {0};
  run_procs(PROCS, cancel_ended, &s);
}

/* ---- what still works, and taking it back ---- */

static atomic_int living;

static void live_on(void *arg) {
  stage *s = arg;
  int value = 5;
  CHECK_INT(gs_cancelled(), 0);
  atomic_store(&living, 1);
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
  CHECK_INT(gs_cancelled(), 1);

  CHECK_CODE(gs_sleep(MS(1)), GS_ECANCELED);
  CHECK_CODE(gs_chan_recv(s->empty, &value, GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_chan_send(s->full, &value, GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_join(s->never_ends, GS_FOREVER), GS_ECANCELED);
  gs_yield();

  CHECK_CODE(gs_chan_try_recv(s->empty, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_send(s->empty, &value, GS_FOREVER), GS_OK); /* there is room */
  value = 0;
  CHECK_CODE(gs_chan_recv(s->empty, &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, 5);
  int ms = 1;
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);

  gs_uncancel();
  CHECK_INT(gs_cancelled(), 0);
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK_CODE(gs_chan_recv(s->empty, &value, in_ms(1)), GS_ETIMEOUT);
  atomic_store(&s->entered, 1000);
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED); /* it can be asked again */
}

static void cancel_twice(void *arg) {
  (void)arg;
  stage s;
  stage_init(&s);
  gs_handle *h = go_named("lives on", live_on, &s);
  while (!atomic_load(&living)) gs_sleep(MS(1));
  CHECK_CODE(gs_cancel(h), GS_OK);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&s.entered) < 1000 && gs_now() < end;) {
    gs_sleep(MS(1));
  }
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  stage_free(&s);
}

static void test_taking_it_back(void **state) {
  (void)state;
  run_procs(PROCS, cancel_twice, NULL);
}

/* ---- a cancel that races with what would have woken it anyway ---- */

typedef struct duel {
  gs_chan *c;
  atomic_int received, sent;
} duel;

static void receive_or_be_cancelled(void *arg) {
  duel *d = arg;
  int value = 0;
  int code = gs_chan_recv(d->c, &value, GS_FOREVER);
  CHECK(code == GS_OK || code == GS_ECANCELED);
  if (code == GS_OK) {
    CHECK_INT(value, 9);
    atomic_fetch_add(&d->received, 1);
  }
}

static void send_nine(void *arg) {
  duel *d = arg;
  int value = 9;
  int code = gs_chan_try_send(d->c, &value);
  CHECK(code == GS_OK || code == GS_EWOULDBLOCK);
  if (code == GS_OK) atomic_fetch_add(&d->sent, 1);
}

static void race_cancel_with_send(void *arg) {
  (void)arg;
  duel d = {.c = chan_new(sizeof(int), 0)};
  int rounds = SCALE(3000);
  for (int i = 0; i < rounds; i++) {
    gs_handle *receiver = go_named("receiver", receive_or_be_cancelled, &d);
    gs_yield();
    gs_handle *sender = go_named("sender", send_nine, &d);
    if (i % 3 == 0) gs_yield();
    CHECK_CODE(gs_cancel(receiver), GS_OK);
    join(receiver);
    join(sender);
  }
  CHECK_INT(atomic_load(&d.sent), atomic_load(&d.received));
  CHECK_CODE(gs_chan_free(d.c), GS_OK);
}

static void test_race_with_a_send(void **state) {
  (void)state;
  run_procs(PROCS, race_cancel_with_send, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_while_parked),     cmocka_unit_test(test_before_or_while_it_parks),
      cmocka_unit_test(test_after_its_end),    cmocka_unit_test(test_taking_it_back),
      cmocka_unit_test(test_race_with_a_send),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
