/* lock_thread.c: gs_lock_os_thread.
 *
 * A locked green thread runs on its thread only, over parks and foreign calls, and nobody else
 * runs there.  Locks nest.  One that ends locked leaves nothing behind that harms others.
 */
#include "support.h"

enum { PROCS = 2 };

/* ---- staying, and keeping others off ---- */

enum { OTHERS = 8 };

typedef struct house {
  atomic_long locked_tid; /* where the locked one lives; 0: nowhere now */
  atomic_int stop;
  gs_chan *ball;
} house;

static int tid_inside(void *arg) {
  *(long *)arg = my_tid();
  int ms = 1;
  return block_ms(&ms);
}

static void live_elsewhere(void *arg) {
  house *h = arg;
  int ball;
  while (!atomic_load(&h->stop)) {
    CHECK(my_tid() != atomic_load(&h->locked_tid));
    gs_yield();
    CHECK(my_tid() != atomic_load(&h->locked_tid));
    gs_chan_try_recv(h->ball, &ball);
    gs_sleep(US(20));
    CHECK(my_tid() != atomic_load(&h->locked_tid));
    long inside = 0;
    CHECK_CODE(gs_cgocall(tid_inside, &inside, NULL), GS_OK);
    CHECK(inside != atomic_load(&h->locked_tid));
  }
}

static void live_locked(void *arg) {
  house *h = arg;
  gs_lock_os_thread();
  long tid = my_tid(), inside = 0;
  atomic_store(&h->locked_tid, tid);
  for (int i = 0; i < SCALE(300); i++) {
    switch (i % 4) {
      case 0: gs_yield(); break;
      case 1: CHECK_CODE(gs_sleep(US(50)), GS_OK); break;
      case 2: gs_chan_send(h->ball, &i, gs_now() + MS(5)); break;
      default: CHECK_CODE(gs_cgocall(tid_inside, &inside, NULL), GS_OK); CHECK_INT(inside, tid);
    }
    CHECK_INT(my_tid(), tid);
  }
  atomic_store(&h->locked_tid, 0);
  gs_unlock_os_thread();
}

static void one_locked_among_others(void *arg) {
  (void)arg;
  house h = {.ball = chan_new(sizeof(int), 0)};
  gs_handle *others[OTHERS], *locked = go_named("locked", live_locked, &h);
  for (int i = 0; i < OTHERS; i++) others[i] = go_named("other", live_elsewhere, &h);
  join(locked);
  atomic_store(&h.stop, 1);
  for (int i = 0; i < OTHERS; i++) join(others[i]);
  CHECK_CODE(gs_chan_free(h.ball), GS_OK);
}

static void test_stays_and_is_alone(void **state) {
  (void)state;
  run_procs(PROCS, one_locked_among_others, NULL);
}

/* ---- nesting ---- */

static void lock_in_layers(void *arg) {
  (void)arg;
  gs_unlock_os_thread(); /* one too many does nothing */
  for (int i = 0; i < 3; i++) gs_lock_os_thread();
  long tid = my_tid();
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 20; j++) {
      CHECK_CODE(gs_sleep(US(30)), GS_OK);
      CHECK_INT(my_tid(), tid);
      gs_yield();
      CHECK_INT(my_tid(), tid);
    }
    gs_unlock_os_thread();
  }
}

static void many_lock_in_layers(void *arg) {
  (void)arg;
  gs_handle *h[6];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("layers", lock_in_layers, NULL);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
}

static void test_nesting(void **state) {
  (void)state;
  run_procs(PROCS, many_lock_in_layers, NULL);
}

/* ---- two locked ones hand a ball to each other ---- */

typedef struct table {
  gs_chan *there, *back;
  int rounds;
} table;

static void hit_back_locked(void *arg) {
  table *t = arg;
  gs_lock_os_thread();
  long tid = my_tid();
  for (int i = 0; i < t->rounds; i++) {
    int ball = -1;
    CHECK_CODE(gs_chan_recv(t->there, &ball, GS_FOREVER), GS_OK);
    CHECK_INT(ball, i);
    CHECK_CODE(gs_chan_send(t->back, &ball, GS_FOREVER), GS_OK);
    CHECK_INT(my_tid(), tid);
  }
  gs_unlock_os_thread();
}

static void ping_pong_locked(void *arg) {
  (void)arg;
  table t = {chan_new(sizeof(int), 0), chan_new(sizeof(int), 0), SCALE(2000)};
  gs_handle *h = go_named("hits back", hit_back_locked, &t);
  gs_lock_os_thread();
  long tid = my_tid();
  for (int i = 0; i < t.rounds; i++) {
    int ball = i;
    CHECK_CODE(gs_chan_send(t.there, &ball, GS_FOREVER), GS_OK);
    CHECK_CODE(gs_chan_recv(t.back, &ball, GS_FOREVER), GS_OK);
    CHECK_INT(my_tid(), tid);
  }
  gs_unlock_os_thread();
  join(h);
  CHECK_CODE(gs_chan_free(t.there), GS_OK);
  CHECK_CODE(gs_chan_free(t.back), GS_OK);
}

static void test_locked_ping_pong(void **state) {
  (void)state;
  run_procs(PROCS, ping_pong_locked, NULL);
}

/* ---- ending locked ---- */

static void end_locked(void *arg) {
  gs_lock_os_thread();
  for (int i = 0; i < 10; i++) {
    gs_yield();
    gs_sleep(US(10));
  }
  atomic_fetch_add((atomic_int *)arg, 1);
  if (atomic_load((atomic_int *)arg) % 2) gs_goexit();
}

static void many_end_locked(void *arg) {
  (void)arg;
  enum { MANY = 100 };
  atomic_int ended = 0;
  gs_handle *h[MANY];
  for (int i = 0; i < MANY; i++) h[i] = go_named("ends locked", end_locked, &ended);
  for (int i = 0; i < MANY; i++) join(h[i]);
  CHECK_INT(atomic_load(&ended), MANY);
  for (int i = 0; i < 20; i++) join(go_named("layers", lock_in_layers, NULL));
}

static void test_ending_locked(void **state) {
  (void)state;
  run_procs(PROCS, many_end_locked, NULL);
}

/* ---- sends from a locked one while the only P is elsewhere ---- */

static void ten_sends(void *arg) {
  gs_lock_os_thread();
  for (int i = 0; i < 10; i++) CHECK_CODE(gs_chan_send(arg, &i, GS_FOREVER), GS_OK);
  gs_unlock_os_thread();
}

static void receive_ten(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 0);
  gs_handle *h = go_named("ten sends", ten_sends, c);
  for (int i = 0; i < 10; i++) {
    int value = -1;
    CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
    CHECK_INT(value, i);
  }
  join(h);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_ten_sends(void **state) {
  (void)state;
  run_procs(PROCS, receive_ten, NULL);
}

/* ---- the main green thread ---- */

static void busy(void *arg) {
  house *h = arg;
  while (!atomic_load(&h->stop)) {
    CHECK(my_tid() != atomic_load(&h->locked_tid));
    gs_yield();
    gs_sleep(US(10));
  }
}

static void main_stays(void *arg) {
  house *h = arg;
  CHECK_INT(my_tid(), atomic_load(&h->locked_tid));
  gs_handle *others[4];
  for (size_t i = 0; i < COUNT(others); i++) others[i] = go_named("busy", busy, h);
  gs_unlock_os_thread(); /* for good means for good */
  for (int i = 0; i < SCALE(200); i++) {
    long inside = 0;
    gs_yield();
    CHECK_INT(my_tid(), atomic_load(&h->locked_tid));
    CHECK_CODE(gs_sleep(US(20)), GS_OK);
    CHECK_INT(my_tid(), atomic_load(&h->locked_tid));
    CHECK_CODE(gs_cgocall(tid_inside, &inside, NULL), GS_OK);
    CHECK_INT(inside, atomic_load(&h->locked_tid));
    CHECK_INT(my_tid(), inside);
  }
  atomic_store(&h->stop, 1);
  for (size_t i = 0; i < COUNT(others); i++) join(others[i]);
}

static void test_main_stays_on_the_callers_thread(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.flags = GS_RUN_LOCK_MAIN;
  for (int i = 0; i < 3; i++) {
    house h = {.locked_tid = my_tid()};
    run_config(&cfg, main_stays, &h);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stays_and_is_alone),
      cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_locked_ping_pong),
      cmocka_unit_test(test_ending_locked),
      cmocka_unit_test(test_ten_sends),
      cmocka_unit_test(test_main_stays_on_the_callers_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
