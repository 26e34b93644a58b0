/* join.c: waiting for a green thread, and the handles by which that is done.
 *
 * A handle outlives its green thread until it is released, and may be released before the green
 * thread ends.  Green threads park in gs_join; any other thread blocks in it.
 */
#include "support.h"

#include <pthread.h>

enum { PROCS = 2 };

typedef struct gate {
  gs_chan *open; /* closed to let whoever waits through */
  gs_handle *h;
  atomic_int through;
} gate;

static void wait_at_gate(void *arg) {
  gate *g = arg;
  CHECK_CODE(gs_chan_recv(g->open, NULL, GS_FOREVER), GS_ECLOSED);
  atomic_fetch_add(&g->through, 1);
}

static void gate_init(gate *g) {
  g->open = chan_new(0, 0);
  atomic_init(&g->through, 0);
  g->h = go_named("at the gate", wait_at_gate, g);
}

static void gate_open(gate *g) { CHECK_CODE(gs_chan_close(g->open), GS_OK); }

static void gate_free(gate *g) {
  join(g->h);
  CHECK_CODE(gs_chan_free(g->open), GS_OK);
}

static void join_gate(void *arg) {
  gate *g = arg;
  CHECK_CODE(gs_join(g->h, GS_FOREVER), GS_OK);
  CHECK_INT(atomic_load(&g->through), 1);
  CHECK_INT(gs_handle_done(g->h), 1);
}

static void many_joiners(void *arg) {
  (void)arg;
  enum { JOINERS = 50 };
  gate g;
  gate_init(&g);
  gs_handle *joiners[JOINERS];
  for (int i = 0; i < JOINERS; i++) joiners[i] = go_named("joiner", join_gate, &g);
  gs_sleep(MS(2));
  CHECK_INT(gs_handle_done(g.h), 0);
  for (int i = 0; i < JOINERS; i++) CHECK_INT(gs_handle_done(joiners[i]), 0);
  gate_open(&g);
  for (int i = 0; i < JOINERS; i++) join(joiners[i]);
  CHECK_CODE(gs_join(g.h, GS_FOREVER), GS_OK); /* ended long since */
  CHECK_CODE(gs_join(g.h, 0), GS_OK);          /* so no deadline matters */
  gate_free(&g);
}

static void test_many_join_one(void **state) {
  (void)state;
  run_procs(PROCS, many_joiners, NULL);
}

static void join_with_deadlines(void *arg) {
  (void)arg;
  gate g;
  gate_init(&g);
  CHECK_CODE(gs_join(g.h, 0), GS_ETIMEOUT);
  CHECK_CODE(gs_join(g.h, gs_now() - 1), GS_ETIMEOUT);
  CHECK_CODE(gs_join(g.h, INT64_MIN), GS_ETIMEOUT);
  int64_t before = gs_now();
  CHECK_CODE(gs_join(g.h, before + MS(10)), GS_ETIMEOUT);
  CHECK(gs_now() >= before + MS(10));
  gate_open(&g);
  CHECK_CODE(gs_join(g.h, in_ms(30000)), GS_OK);
  gate_free(&g);
}

static void test_deadlines(void **state) {
  (void)state;
  run_procs(PROCS, join_with_deadlines, NULL);
}

/* A waiter that gave up must not be woken, and the others must. */
static void give_up(void *arg) {
  gate *g = arg;
  for (int i = 0; i < 20; i++) CHECK_CODE(gs_join(g->h, gs_now() + US(200)), GS_ETIMEOUT);
}

static void some_give_up(void *arg) {
  (void)arg;
  gate g;
  gate_init(&g);
  gs_handle *stay[5], *leave[5];
  for (int i = 0; i < 5; i++) {
    stay[i] = go_named("stays", join_gate, &g);
    leave[i] = go_named("gives up", give_up, &g);
  }
  for (int i = 0; i < 5; i++) join(leave[i]);
  gate_open(&g);
  for (int i = 0; i < 5; i++) join(stay[i]);
  gate_free(&g);
}

static void test_some_give_up(void **state) {
  (void)state;
  run_procs(PROCS, some_give_up, NULL);
}

/* ---- handles ---- */

static void quick(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static void release_early_and_late(void *arg) {
  (void)arg;
  gate g;
  gate_init(&g);
  gs_handle *second = NULL;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  CHECK_CODE(gs_go_opts(&opts, wait_at_gate, &g, &second), GS_OK);
  gs_handle_release(second); /* it still waits at the gate */
  gs_sleep(MS(1));
  gate_open(&g);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&g.through) < 2 && gs_now() < end;) {
    gs_sleep(MS(1));
  }
  CHECK_INT(atomic_load(&g.through), 2);
  gs_sleep(MS(2)); /* released only now, some time after the end */
  gate_free(&g);

  enum { MANY = 10000 };
  int many = SCALE(MANY);
  atomic_int ran = 0;
  for (int i = 0; i < many; i++) {
    gs_handle *h = go_named(NULL, quick, &ran);
    if (i % 2 == 0) {
      gs_handle_release(h);
    } else {
      join(h);
    }
  }
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&ran) < many && gs_now() < end;) gs_yield();
  CHECK_INT(atomic_load(&ran), many);
}

static void test_release(void **state) {
  (void)state;
  run_procs(PROCS, release_early_and_late, NULL);
}

/* ---- from a thread that runs no green thread ---- */

static void *join_on_a_thread(void *arg) {
  gate *g = arg;
  CHECK_CODE(gs_join(g->h, 0), GS_ETIMEOUT);
  CHECK_CODE(gs_join(g->h, in_ms(5)), GS_ETIMEOUT);
  CHECK_INT(gs_handle_done(g->h), 0);
  gate_open(g);
  CHECK_CODE(gs_join(g->h, GS_FOREVER), GS_OK);
  CHECK_INT(gs_handle_done(g->h), 1);
  return NULL;
}

static void *cancel_on_a_thread(void *arg) {
  gs_handle *h = arg;
  CHECK_CODE(gs_cancel(h), GS_OK);
  CHECK_CODE(gs_join(h, in_ms(30000)), GS_OK);
  return NULL;
}

static void sleep_until_cancelled(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

static int join_thread(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void join_from_threads(void *arg) {
  (void)arg;
  gate g;
  gate_init(&g);
  pthread_t thread;
  int code = -1;
  CHECK_INT(pthread_create(&thread, NULL, join_on_a_thread, &g), 0);
  CHECK_CODE(gs_cgocall(join_thread, &thread, &code), GS_OK);
  CHECK_INT(code, 0);
  gate_free(&g);

  gs_handle *sleeper = go_named("sleeper", sleep_until_cancelled, NULL);
  CHECK_INT(pthread_create(&thread, NULL, cancel_on_a_thread, sleeper), 0);
  CHECK_CODE(gs_cgocall(join_thread, &thread, &code), GS_OK);
  join(sleeper);
}

static void test_from_threads(void **state) {
  (void)state;
  run_procs(PROCS, join_from_threads, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_join_one), cmocka_unit_test(test_deadlines),
      cmocka_unit_test(test_some_give_up),  cmocka_unit_test(test_release),
      cmocka_unit_test(test_from_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
