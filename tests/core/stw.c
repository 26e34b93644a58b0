/* stw.c: gs_stop_world, gs_start_world and gs_for_each_p.
 *
 * While the world is stopped the scheduler's counters stand still, whatever user code does; it does
 * not wait for what blocks or computes; afterwards everything goes on where it was.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { PROCS = 4 };

static void nap_us(long us) {
  struct timespec t = {0, us * 1000};
  nanosleep(&t, NULL);
}

/* ---- a busy world ---- */

typedef struct world {
  atomic_int stop, sitting;
  atomic_long yields, rounds, calls, naps, spins;
  gs_chan *there, *back;
} world;

static void yielder(void *arg) {
  world *w = arg;
  while (!atomic_load(&w->stop)) {
    gs_yield();
    atomic_fetch_add(&w->yields, 1);
  }
}

static void hit(void *arg) {
  world *w = arg;
  int ball = 0;
  while (gs_chan_send(w->there, &ball, GS_FOREVER) == GS_OK &&
         gs_chan_recv(w->back, &ball, GS_FOREVER) == GS_OK)
    atomic_fetch_add(&w->rounds, 1);
}

static void hit_back(void *arg) {
  world *w = arg;
  int ball;
  while (gs_chan_recv(w->there, &ball, GS_FOREVER) == GS_OK &&
         gs_chan_send(w->back, &ball, GS_FOREVER) == GS_OK)
    continue;
}

static int short_nap(void *arg) {
  (void)arg;
  nap_us(50);
  return 0;
}

static void caller(void *arg) {
  world *w = arg;
  while (!atomic_load(&w->stop)) {
    CHECK_CODE(gs_cgocall(short_nap, NULL, NULL), GS_OK);
    atomic_fetch_add(&w->calls, 1);
  }
}

static void sleeper(void *arg) {
  world *w = arg;
  while (!atomic_load(&w->stop)) {
    CHECK_CODE(gs_sleep(US(100)), GS_OK);
    atomic_fetch_add(&w->naps, 1);
  }
}

/* Computes without a word to the runtime. */
static void hog(void *arg) {
  world *w = arg;
  while (!atomic_load(&w->stop)) atomic_fetch_add(&w->spins, 1);
}

/* The same, but lets those go on that wait behind it. */
static void fair_hog(void *arg) {
  world *w = arg;
  while (!atomic_load(&w->stop))
    if (atomic_fetch_add(&w->spins, 1) % 300000 == 0) gs_yield();
}

static int sit(void *arg) {
  world *w = arg;
  atomic_fetch_add(&w->sitting, 1);
  block_until(&w->stop);
  return 0;
}

static void sitter(void *arg) { CHECK_CODE(gs_cgocall(sit, arg, NULL), GS_OK); }

static body_fn const inhabitants[] = {yielder, yielder, hit,     hit_back, caller,
                                      caller,  sleeper, sleeper, fair_hog, sitter};

typedef struct busy {
  world w;
  gs_handle *h[COUNT(inhabitants)];
} busy;

static void populate(busy *b) {
  memset(b, 0, sizeof *b);
  b->w.there = chan_new(sizeof(int), 0);
  b->w.back = chan_new(sizeof(int), 0);
  for (size_t i = 0; i < COUNT(inhabitants); i++) b->h[i] = go_named("busy", inhabitants[i], &b->w);
}

static void depopulate(busy *b) {
  atomic_store(&b->w.stop, 1);
  gs_chan_close(b->w.there);
  gs_chan_close(b->w.back);
  for (size_t i = 0; i < COUNT(inhabitants); i++) join(b->h[i]);
  CHECK_CODE(gs_chan_free(b->w.there), GS_OK);
  CHECK_CODE(gs_chan_free(b->w.back), GS_OK);
}

/* ---- standing still ---- */

typedef struct sight {
  int ps, stopped;
  uint64_t ticks;
} sight;

static void see(const gs_p_info *p, void *arg) {
  sight *s = arg;
  s->ps++;
  s->stopped += p->status == GS_P_STOPPED;
  s->ticks += p->schedtick;
}

static void check_standstill(world *w) {
  sight first = {0}, last = {0};
  gs_metrics before = metrics();
  long yields = atomic_load(&w->yields), naps = atomic_load(&w->naps),
       rounds = atomic_load(&w->rounds), calls = atomic_load(&w->calls);
  CHECK_CODE(gs_for_each_p(see, &first), GS_OK);
  nap_us(1000);
  CHECK_CODE(gs_for_each_p(see, &last), GS_OK);
  gs_metrics after = metrics();
  CHECK_INT(first.ps, PROCS);
  CHECK_INT(first.stopped, PROCS);
  CHECK_INT(last.stopped, PROCS);
  CHECK_INT(last.ticks, first.ticks);
  CHECK_INT(after.parks, before.parks);
  CHECK_INT(after.steals, before.steals);
  /* Each finishes at most the step that it was in. */
  CHECK(atomic_load(&w->yields) - yields <= 2);
  CHECK(atomic_load(&w->naps) - naps <= 2);
  CHECK(atomic_load(&w->calls) - calls <= 2);
  CHECK(atomic_load(&w->rounds) - rounds <= 1);
}

/* Everybody moves again. */
static void check_going_on(world *w) {
  atomic_long *counters[] = {&w->yields, &w->rounds, &w->calls, &w->naps, &w->spins};
  for (size_t i = 0; i < COUNT(counters); i++) {
    long from = atomic_load(counters[i]);
    int64_t until = gs_now() + PATIENCE;
    while (atomic_load(counters[i]) < from + 3 && gs_now() < until) gs_sleep(US(50));
    CHECK(atomic_load(counters[i]) >= from + 3);
  }
}

static void still_body(void *arg) {
  (void)arg;
  busy b;
  populate(&b);
  while (!atomic_load(&b.w.sitting)) gs_sleep(US(100));
  for (int i = 0; i < SCALE(60) && !checks_failed(); i++) {
    CHECK_CODE(gs_stop_world("test"), GS_OK);
    check_standstill(&b.w);
    CHECK_CODE(gs_start_world(), GS_OK);
    check_going_on(&b.w);
  }
  depopulate(&b);
}

static void test_stands_still(void **state) {
  (void)state;
  run_procs(PROCS, still_body, NULL);
}

/* The same by a thread that the runtime does not know. */
static void *stop_from_outside(void *arg) {
  world *w = arg;
  for (int i = 0; i < SCALE(60) && !checks_failed(); i++) {
    CHECK_CODE(gs_stop_world(NULL), GS_OK);
    check_standstill(w);
    CHECK_CODE(gs_start_world(), GS_OK);
    nap_us(300);
  }
  return NULL;
}

static void outside_body(void *arg) {
  (void)arg;
  busy b;
  pthread_t t;
  populate(&b);
  while (!atomic_load(&b.w.sitting)) gs_sleep(US(100));
  CHECK_INT(pthread_create(&t, NULL, stop_from_outside, &b.w), 0);
  while (pthread_tryjoin_np(t, NULL) != 0) gs_sleep(MS(1));
  check_going_on(&b.w);
  depopulate(&b);
}

static void test_from_outside(void **state) {
  (void)state;
  run_procs(PROCS, outside_body, NULL);
}

/* ---- it waits for nobody's call and nobody's computation ---- */

static void not_waiting_body(void *arg) {
  (void)arg;
  world w = {0};
  gs_handle *h[PROCS];
  for (int i = 0; i < PROCS; i++) h[i] = go_named("outside", i % 2 ? hog : sitter, &w);
  while (atomic_load(&w.sitting) < PROCS / 2 || !atomic_load(&w.spins)) gs_sleep(US(100));
  /* Whoever waited for them would wait for ever: stop is set below. */
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_stop_world("test"), GS_OK);
    CHECK_CODE(gs_start_world(), GS_OK);
  }
  atomic_store(&w.stop, 1);
  for (int i = 0; i < PROCS; i++) join(h[i]);
}

static void test_waits_for_nobody(void **state) {
  (void)state;
  run_procs(PROCS, not_waiting_body, NULL);
}

/* ---- what works meanwhile, and what is refused ---- */

static void set_flag(void *arg) { atomic_store((atomic_int *)arg, 1); }

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void *start_elsewhere(void *arg) {
  *(int *)arg = gs_start_world();
  return NULL;
}

static void refusals_body(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 1);
  atomic_int ran = 0;
  int x = 7, code = 0;
  pthread_t t;
  CHECK_CODE(gs_start_world(), GS_EPERM);
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  CHECK_CODE(gs_stop_world("test"), GS_EBUSY);
  CHECK(strstr(gs_error_detail(), "already") != NULL);
  CHECK_CODE(gs_set_procs(2), GS_EBUSY);
  CHECK_CODE(gs_sleep(1000), GS_ETHROWSPLIT);
  CHECK(strstr(gs_error_detail(), "world") != NULL);
  CHECK_CODE(gs_chan_recv(c, &x, GS_FOREVER), GS_ETHROWSPLIT);
  CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_ETHROWSPLIT);
  gs_yield();
  gs_exitsyscall(); /* not its bracket */
  CHECK_CODE(gs_chan_try_send(c, &x), GS_OK);
  go(set_flag, &ran);
  CHECK_INT(pthread_create(&t, NULL, start_elsewhere, &code), 0);
  pthread_join(t, NULL);
  CHECK_CODE(code, GS_EPERM);
  CHECK_INT(atomic_load(&ran), 0);
  errno = 77;
  CHECK_CODE(gs_start_world(), GS_OK);
  CHECK_INT(gs_errno(), 77);
  while (!atomic_load(&ran)) gs_yield();
  CHECK_CODE(gs_chan_recv(c, &x, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  CHECK_CODE(gs_for_each_p(NULL, NULL), GS_EINVAL);
}

static void test_refusals(void **state) {
  (void)state;
  run_procs(PROCS, refusals_body, NULL);
}

/* ---- one stopper at a time ---- */

typedef struct turnstile {
  atomic_int inside, stops;
} turnstile;

static void stop_often(void *arg) {
  turnstile *t = arg;
  for (int i = 0; i < SCALE(200); i++) {
    CHECK_CODE(gs_stop_world("test"), GS_OK);
    CHECK_INT(atomic_fetch_add(&t->inside, 1), 0);
    if (i % 16 == 0) nap_us(50);
    CHECK_INT(atomic_fetch_sub(&t->inside, 1), 1);
    CHECK_CODE(gs_start_world(), GS_OK);
    atomic_fetch_add(&t->stops, 1);
  }
}

static void *stop_often_thread(void *arg) {
  stop_often(arg);
  return NULL;
}

static void stoppers_body(void *arg) {
  (void)arg;
  turnstile t = {0};
  pthread_t threads[2];
  gs_handle *h[4];
  for (size_t i = 0; i < COUNT(threads); i++)
    CHECK_INT(pthread_create(&threads[i], NULL, stop_often_thread, &t), 0);
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("stopper", stop_often, &t);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  for (size_t i = 0; i < COUNT(threads); i++)
    while (pthread_tryjoin_np(threads[i], NULL) != 0) gs_sleep(MS(1));
  CHECK_INT(atomic_load(&t.stops), 6 * SCALE(200));
}

static void test_stoppers_take_turns(void **state) {
  (void)state;
  run_procs(PROCS, stoppers_body, NULL);
}

/* ---- TraceSTW: a G stays on its P and its M ---- */

typedef struct stayer {
  atomic_int *stops, *ready;
  bool moved;
} stayer;

/* Goes into the runtime and out again, but never to the scheduler. */
static void stay(void *arg) {
  stayer *s = arg;
  gs_chan *empty = chan_new(0, 0);
  atomic_fetch_add(s->ready, 1);
  while (atomic_load(s->stops) < 1) CHECK_CODE(gs_chan_try_recv(empty, NULL), GS_EWOULDBLOCK);
  long tid = my_tid();
  while (atomic_load(s->stops) < 50 && my_tid() == tid)
    CHECK_CODE(gs_chan_try_recv(empty, NULL), GS_EWOULDBLOCK);
  s->moved = my_tid() != tid;
  CHECK_CODE(gs_chan_free(empty), GS_OK);
}

/* Whether both have stayed.  On a busy machine one may still have been on its way to a P of its own
 * when the first stop came. */
static bool stay_through_stops(void) {
  atomic_int stops = 0, ready = 0;
  stayer s[2] = {{&stops, &ready, false}, {&stops, &ready, false}};
  gs_handle *h[2] = {go_named("stays", stay, &s[0]), go_named("stays", stay, &s[1])};
  while (atomic_load(&ready) < 2) gs_sleep(US(100));
  gs_entersyscallblock(); /* nobody else wants to run now */
  for (int i = 0; i < 50; i++) {
    nap_us(i == 0 ? 5000 : 0);
    CHECK_CODE(gs_stop_world("TraceSTW"), GS_OK);
    nap_us(20);
    CHECK_CODE(gs_start_world(), GS_OK);
    atomic_fetch_add(&stops, 1);
  }
  gs_exitsyscall();
  for (int i = 0; i < 2; i++) join(h[i]);
  return !s[0].moved && !s[1].moved;
}

static void affinity_body(void *arg) {
  (void)arg;
  bool stayed = false;
  for (int i = 0; i < 20 && !stayed; i++) stayed = stay_through_stops();
  CHECK(stayed);
}

static void test_trace_stw(void **state) {
  (void)state;
  run_procs(PROCS, affinity_body, NULL);
}

/* ---- every P once ---- */

typedef struct visits {
  atomic_int seen[64];
} visits;

static void visit(const gs_p_info *p, void *arg) {
  visits *v = arg;
  if (strcmp(p->domain, "native") == 0) atomic_fetch_add(&v->seen[p->id], 1);
  CHECK(gs_sleep(1000) != GS_OK); /* refused, whoever runs this */
}

static void check_visits(void) {
  visits v = {0};
  CHECK_CODE(gs_for_each_p(visit, &v), GS_OK);
  for (int i = 0; i < PROCS; i++) CHECK_INT(atomic_load(&v.seen[i]), 1);
}

static void *visit_from_outside(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(100); i++) check_visits();
  return NULL;
}

static void visits_body(void *arg) {
  (void)arg;
  busy b;
  pthread_t t;
  check_visits(); /* the others are idle */
  populate(&b);
  CHECK_INT(pthread_create(&t, NULL, visit_from_outside, NULL), 0);
  for (int i = 0; i < SCALE(100); i++) {
    check_visits();
    if (i % 4 == 0) gs_sleep(US(100));
    if (i % 10 == 0) {
      CHECK_CODE(gs_stop_world("test"), GS_OK);
      check_visits();
      CHECK_CODE(gs_start_world(), GS_OK);
    }
  }
  while (pthread_tryjoin_np(t, NULL) != 0) gs_sleep(MS(1));
  check_going_on(&b.w);
  depopulate(&b);
}

static void test_visits(void **state) {
  (void)state;
  run_procs(PROCS, visits_body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stands_still),
      cmocka_unit_test(test_from_outside),
      cmocka_unit_test(test_waits_for_nobody),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_stoppers_take_turns),
      cmocka_unit_test(test_trace_stw),
      cmocka_unit_test(test_visits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
