/* stress.c: everything at once, in several domains side by side.
 *
 * Many green threads of three fake interpreters and of the native domain do all they can do, at
 * random, and send values across.  After every operation the right state must be current, a plain
 * counter under each lock must come out exact, and each value must arrive.
 */
#include "fake.h"

#include <stdbool.h>
#include <time.h>

enum { PROCS = 2, VMS = 3, WORKERS = 16, OPS = 400 };

static fake vms[VMS];

typedef struct arena {
  gs_chan *values;
  atomic_llong sent, received;
  atomic_int counted[VMS];
  wait_group done;
} arena;

typedef struct worker {
  arena *arena;
  int vm; /* -1: native */
  uint64_t seed;
} worker;

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static int sleep_100_us(void *arg) {
  (void)arg;
  struct timespec t = {0, 100000};
  return nanosleep(&t, NULL);
}

/* Calls as those of gs_ffi_call: short ones, and now and then one that parks in a callback. */
static int words(void *parks, void *b, void *c) {
  if (parks) gs_yield();
  *(int *)b = *(int *)c + 1;
  errno = EDOM;
  return 0;
}

static void call_with_words(worker *w) {
  static gs_site site = {.name = "words"};
  for (int i = 0; i < 40; i++) {
    int from = i, to = 0, e = 0;
    bool parks = random_next(&w->seed) % 64 == 0;
    CHECK_CODE(gs_cgocall_words(&site, words, parks ? w : NULL, &to, &from, &e), GS_OK);
    CHECK(to == i + 1 && e == EDOM);
  }
}

static void count(worker *w, fake_state *s) {
  if (s == NULL) return;
  fake_count(s);
  atomic_fetch_add(&w->arena->counted[w->vm], 1);
}

static void compute(fake_state *s) {
  for (int64_t end = gs_now() + US(500); gs_now() < end;) {
    if (s != NULL) fake_breathe(s);
  }
}

static void send_value(worker *w) {
  int64_t value = (int64_t)(random_next(&w->seed) % 1000);
  if (gs_chan_send(w->arena->values, &value, gs_now() + US(300)) == GS_OK) {
    atomic_fetch_add(&w->arena->sent, value);
  }
}

static void receive_value(worker *w) {
  int64_t value = 0;
  if (gs_chan_recv(w->arena->values, &value, gs_now() + US(300)) == GS_OK) {
    atomic_fetch_add(&w->arena->received, value);
  }
}

static void run_child(void *arg) {
  worker *w = arg;
  fake_state *s = w->vm < 0 ? NULL : fake_begin(&vms[w->vm]);
  gs_yield();
  if (s != NULL) {
    fake_check(s, "a child's yield");
    fake_end(s);
  }
}

static const char *do_something(worker *w, fake_state *s) {
  switch (random_next(&w->seed) % 20) {
    case 0:
    case 1:
    case 2: CHECK_CODE(gs_cgocall(sleep_100_us, NULL, NULL), GS_OK); return "a blocking call";
    case 3: call_with_words(w); return "calls with words";
    case 4:
    case 5: CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_OK); return "a short call";
    case 6:
      if (s != NULL) fake_unlocked(s, sleep_100_us, NULL);
      return "undeclared blocking";
    case 7: compute(s); return "computing";
    case 8:
    case 9: CHECK_CODE(gs_sleep(US(50)), GS_OK); return "a sleep";
    case 10:
    case 11:
    case 12: send_value(w); return "a send";
    case 13:
    case 14:
    case 15: receive_value(w); return "a receive";
    case 16:
      gs_entersyscall();
      sleep_100_us(NULL);
      gs_exitsyscall();
      return "brackets";
    case 17:
      if (s == NULL || atomic_load(&s->vm->states_used) < FAKE_STATES - 100) {
        join(go_named("child", run_child, w));
      }
      return "a child";
    case 18:
      gs_lock_os_thread();
      CHECK_CODE(gs_sleep(US(20)), GS_OK);
      gs_unlock_os_thread();
      return "a locked sleep";
    default: gs_yield(); return "a yield";
  }
}

static void work(void *arg) {
  worker *w = arg;
  fake_state *s = w->vm < 0 ? NULL : fake_begin(&vms[w->vm]);
  for (int i = 0; i < SCALE(OPS); i++) {
    count(w, s);
    const char *what = do_something(w, s);
    if (s != NULL) fake_check(s, what);
  }
  if (s != NULL) fake_end(s);
  wg_done(&w->arena->done);
}

static void all_at_once(void *arg) {
  (void)arg;
  static worker workers[(VMS + 1) * WORKERS];
  static arena a;
  memset(&a, 0, sizeof a);
  a.values = chan_new(sizeof(int64_t), 4);
  wg_init(&a.done);
  uint64_t seed = 0x853c49e6748fea9bu;
  for (size_t i = 0; i < COUNT(workers); i++) {
    workers[i] = (worker){&a, (int)(i % (VMS + 1)) - 1, random_next(&seed)};
    gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
    opts.name = "worker";
    if (workers[i].vm >= 0) opts.domain = vms[workers[i].vm].domain;
    CHECK_CODE(gs_go_opts(&opts, work, &workers[i], NULL), GS_OK);
  }
  wg_wait(&a.done, COUNT(workers));
  int64_t value = 0;
  while (gs_chan_try_recv(a.values, &value) == GS_OK) atomic_fetch_add(&a.received, value);
  CHECK_INT(atomic_load(&a.received), atomic_load(&a.sent));
  for (int i = 0; i < VMS; i++) {
    CHECK_INT(atomic_load(&a.counted[i]), WORKERS * SCALE(OPS));
    CHECK(vms[i].guarded % (WORKERS * SCALE(OPS)) == 0);
  }
  CHECK_CODE(gs_chan_free(a.values), GS_OK);
}

static void test_all_at_once(void **state) {
  (void)state;
  for (int i = 1; i <= 2; i++) {
    for (int v = 0; v < VMS; v++) atomic_store(&vms[v].states_used, 0);
    run_procs(PROCS, all_at_once, NULL);
    for (int v = 0; v < VMS; v++) {
      fake_assert_quiet(&vms[v]);
      assert_int_equal(vms[v].guarded, (int64_t)i * WORKERS * SCALE(OPS));
    }
  }
}

/* ---- domains run side by side ---- */

typedef struct meeting {
  atomic_int here;
  int vm;
  wait_group done;
} meeting;

/* Computes, holding its own lock, until somebody of every domain is here. */
static void meet(meeting *m, int vm) {
  fake_state *s = vm < 0 ? NULL : fake_begin(&vms[vm]);
  atomic_fetch_add(&m->here, 1);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&m->here) < VMS + 1 && gs_now() < end;) {
    if (s != NULL) fake_check(s, "waiting for the others");
  }
  CHECK_INT(atomic_load(&m->here), VMS + 1);
  if (s != NULL) fake_end(s);
  wg_done(&m->done);
}

static void meet_0(void *arg) { meet(arg, 0); }
static void meet_1(void *arg) { meet(arg, 1); }
static void meet_2(void *arg) { meet(arg, 2); }
static void meet_native(void *arg) { meet(arg, -1); }

static void all_meet(void *arg) {
  (void)arg;
  static const body_fn fns[VMS] = {meet_0, meet_1, meet_2};
  meeting m = {0};
  wg_init(&m.done);
  for (int i = 0; i < VMS; i++) {
    gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
    opts.domain = vms[i].domain;
    CHECK_CODE(gs_go_opts(&opts, fns[i], &m, NULL), GS_OK);
  }
  go(meet_native, &m);
  wg_wait(&m.done, VMS + 1);
}

static void test_side_by_side(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) run_procs(PROCS, all_meet, NULL);
  for (int v = 0; v < VMS; v++) fake_assert_quiet(&vms[v]);
}

/* The main green thread is one of an interpreter, as when Python calls gosched.run. */
static void main_and_workers(void *arg) {
  fake_state *s = fake_begin(&vms[0]);
  gs_handle *h[3];
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  arena *a = arg;
  a->values = chan_new(sizeof(int64_t), 4);
  wg_init(&a->done);
  static worker workers[20];
  uint64_t seed = 0xda942042e4dd58b5u;
  for (size_t i = 0; i < COUNT(workers); i++) {
    workers[i] = (worker){a, (int)(i % VMS), random_next(&seed)};
    opts.domain = vms[workers[i].vm].domain;
    CHECK_CODE(gs_go_opts(&opts, work, &workers[i], i < COUNT(h) ? &h[i] : NULL), GS_OK);
  }
  wg_wait(&a->done, COUNT(workers));
  fake_check(s, "waiting for all");
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  fake_check(s, "joining");
  CHECK_CODE(gs_chan_free(a->values), GS_OK);
  fake_end(s);
}

static void test_main_of_an_interpreter(void **state) {
  (void)state;
  static arena a;
  for (int locked = 0; locked <= 1; locked++) {
    memset(&a, 0, sizeof a);
    for (int v = 0; v < VMS; v++) atomic_store(&vms[v].states_used, 0);
    (locked ? fake_run_locked : fake_run)(&vms[0], PROCS, main_and_workers, &a);
    for (int v = 0; v < VMS; v++) fake_assert_quiet(&vms[v]);
  }
}

int main(void) {
  static const char *const names[VMS] = {"one", "two", "three"};
  for (int i = 0; i < VMS; i++) fake_init(&vms[i], names[i]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_at_once),
      cmocka_unit_test(test_side_by_side),
      cmocka_unit_test(test_main_of_an_interpreter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
