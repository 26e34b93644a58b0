/* procs.c: gs_set_procs.  The number of Ps changes while everything runs: nothing is lost, what a
 * dropped P had in its queue and its timers goes on elsewhere, and as many green threads run at
 * once as there are Ps.
 *
 * The first test is StopTheWorldDeadlock of Go's proc_test.go.
 */
#include "support.h"

#include <pthread.h>
#include <time.h>

enum { MOST = 8 };

/* ---- StopTheWorldDeadlock ---- */

typedef struct storm {
  atomic_int stop, ended, respawns;
} storm;

static void respawn(void *arg) {
  storm *s = arg;
  atomic_fetch_add(&s->respawns, 1);
  if (!atomic_load(&s->stop))
    go(respawn, s);
  else
    atomic_store(&s->ended, 1);
}

static void change_procs(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(300); i++) {
    int n = 1 + i % 5;
    CHECK_CODE(gs_set_procs(n), GS_OK);
  }
}

static void stop_and_start(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(300); i++) {
    CHECK_CODE(gs_stop_world("test"), GS_OK);
    CHECK_CODE(gs_start_world(), GS_OK);
  }
}

static void deadlock_body(void *arg) {
  (void)arg;
  storm s = {0};
  go(respawn, &s);
  gs_handle *h[] = {go_named("procs", change_procs, NULL), go_named("stw", stop_and_start, NULL),
                    go_named("stw", stop_and_start, NULL)};
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  int before = atomic_load(&s.respawns);
  while (atomic_load(&s.respawns) == before) gs_yield();
  atomic_store(&s.stop, 1);
  while (!atomic_load(&s.ended)) gs_yield();
}

static void test_stop_the_world_deadlock(void **state) {
  (void)state;
  run_procs(3, deadlock_body, NULL);
}

/* ---- as many at once as there are Ps ---- */

typedef struct crowd {
  atomic_int present, enough;
} crowd;

/* Says nothing to the runtime until all are there: they must run at the same time. */
static void meet(void *arg) {
  crowd *c = arg;
  atomic_fetch_add(&c->present, 1);
  int64_t until = gs_now() + PATIENCE;
  while (atomic_load(&c->present) < atomic_load(&c->enough) && gs_now() < until) continue;
  CHECK(atomic_load(&c->present) >= atomic_load(&c->enough));
}

static void meet_all(int n) {
  crowd c = {.enough = n};
  gs_handle *h[MOST];
  for (int i = 0; i < n; i++) h[i] = go_named("meet", meet, &c);
  for (int i = 0; i < n; i++) join(h[i]);
}

static void count_p(const gs_p_info *p, void *arg) {
  if (strcmp(p->domain, "native") == 0) atomic_fetch_add((atomic_int *)arg, 1);
}

static void parallel_body(void *arg) {
  (void)arg;
  static const int sizes[] = {1, 4, 2, MOST, 1, 3, 1};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    atomic_int ps = 0;
    CHECK_CODE(gs_set_procs(sizes[i]), GS_OK);
    CHECK_INT(gs_procs(), sizes[i]);
    CHECK_INT(metrics().procs, sizes[i]);
    CHECK_CODE(gs_for_each_p(count_p, &ps), GS_OK);
    CHECK_INT(atomic_load(&ps), sizes[i]);
    meet_all(sizes[i]);
  }
}

static void test_parallel(void **state) {
  (void)state;
  run_procs(2, parallel_body, NULL);
}

/* ---- what a dropped P had ---- */

static void count_up(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static void sleep_and_count(void *arg) {
  CHECK_CODE(gs_sleep(MS(5)), GS_OK);
  count_up(arg);
}

typedef struct breeder {
  atomic_int ran, stop, computing;
  int young;
} breeder;

/* Fills its own P's queue and then computes, so that its P has to be taken with the queue. */
static void breed_and_compute(void *arg) {
  breeder *b = arg;
  for (int i = 0; i < b->young; i++) go(i % 2 ? count_up : sleep_and_count, &b->ran);
  atomic_fetch_add(&b->computing, 1);
  while (!atomic_load(&b->stop)) continue;
}

static void shrink_body(void *arg) {
  (void)arg;
  enum { YOUNG = 100 };
  for (int round = 0; round < SCALE(40) && !checks_failed(); round++) {
    breeder b = {.young = YOUNG};
    CHECK_CODE(gs_set_procs(4), GS_OK);
    gs_handle *h[3];
    for (int i = 0; i < 3; i++) h[i] = go_named("breeder", breed_and_compute, &b);
    while (atomic_load(&b.computing) < 3) gs_sleep(US(50));
    CHECK_CODE(gs_set_procs(1), GS_OK);
    /* This one keeps a P, and the young run although their breeders compute on. */
    int64_t until = gs_now() + PATIENCE;
    if (round % 2) atomic_store(&b.stop, 1);
    while (atomic_load(&b.ran) < 3 * YOUNG && gs_now() < until) gs_sleep(US(100));
    CHECK_INT(atomic_load(&b.ran), 3 * YOUNG);
    atomic_store(&b.stop, 1);
    for (int i = 0; i < 3; i++) join(h[i]);
  }
}

static void test_shrink(void **state) {
  (void)state;
  run_procs(4, shrink_body, NULL);
}

/* ---- under all kinds of use ---- */

typedef struct mix {
  gs_chan *c;
  atomic_int stop;
  atomic_long done;
} mix;

static int call_short(void *arg) {
  struct timespec t = {0, 30000};
  nanosleep(&t, NULL);
  return *(int *)arg;
}

static void mixed(void *arg) {
  mix *x = arg;
  int v = 0, r = 0;
  while (!atomic_load(&x->stop)) {
    gs_yield();
    CHECK_CODE(gs_cgocall(call_short, &v, &r), GS_OK);
    gs_chan_send(x->c, &v, gs_now() + US(50));
    gs_chan_recv(x->c, &v, gs_now() + US(50));
    gs_sleep(US(20));
    gs_lock_os_thread();
    gs_sleep(US(20));
    gs_unlock_os_thread();
    atomic_fetch_add(&x->done, 1);
  }
}

static void *set_procs_from_outside(void *arg) {
  mix *x = arg;
  uint64_t rnd = 77;
  for (int i = 0; i < SCALE(150); i++) {
    struct timespec t = {0, (long)(random_next(&rnd) % 300000)};
    nanosleep(&t, NULL);
    CHECK_CODE(gs_set_procs(1 + (int)(random_next(&rnd) % MOST)), GS_OK);
  }
  atomic_store(&x->stop, 1);
  return NULL;
}

static void mix_body(void *arg) {
  (void)arg;
  mix x = {.c = chan_new(sizeof(int), 1)};
  gs_handle *h[12];
  pthread_t t;
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("mixed", mixed, &x);
  CHECK_INT(pthread_create(&t, NULL, set_procs_from_outside, &x), 0);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  pthread_join(t, NULL);
  CHECK(atomic_load(&x.done) > 0);
  CHECK_CODE(gs_chan_free(x.c), GS_OK);
}

static void test_mixed(void **state) {
  (void)state;
  run_procs(4, mix_body, NULL);
}

/* ---- BigGOMAXPROCS, and what is refused ---- */

static void big_body(void *arg) {
  (void)arg;
  CHECK_CODE(gs_set_procs(1024), GS_OK);
  CHECK_INT(gs_procs(), 1024);
  atomic_int ran = 0;
  for (int i = 0; i < 2000; i++) go(count_up, &ran);
  while (atomic_load(&ran) < 2000) gs_yield();
  CHECK_CODE(gs_set_procs(0), GS_EINVAL);
  CHECK_CODE(gs_set_procs(-1), GS_EINVAL);
  CHECK_CODE(gs_set_procs(1025), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "1..1024") != NULL);
  CHECK_INT(gs_procs(), 1024);
  CHECK_CODE(gs_set_procs(2), GS_OK);
}

static void test_big(void **state) {
  (void)state;
  run_procs(2, big_body, NULL);
  run_procs(2, parallel_body, NULL); /* a later run has its own number */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stop_the_world_deadlock),
      cmocka_unit_test(test_parallel),
      cmocka_unit_test(test_shrink),
      cmocka_unit_test(test_mixed),
      cmocka_unit_test(test_big),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
