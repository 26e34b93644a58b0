/* callback.c: from foreign code back into a domain whose interpreter has a lock.
 *
 * A callback is inside the interpreter: the lock is held with the green thread's own state, and is
 * let go again before C goes on.  It may park and make foreign calls, and others of the domain have
 * their turn then.  Functions that park, called straight from C, do the same.  C may have taken the
 * lock by itself where it calls them: it has it again afterwards, and not while anybody waits for a
 * P.
 */
#include "fake.h"

enum { PROCS = 2, GREENS = 8 };

static fake vm;

typedef struct caller {
  fake_state *state;
  int depth;
} caller;

static void run_both_ways(body_fn body) {
  fake_run(&vm, PROCS, body, NULL);
  fake_assert_quiet(&vm);
  fake_run_locked(&vm, PROCS, body, NULL);
  fake_assert_quiet(&vm);
}

/* ---- gs_cgocallback ---- */

static int into_c(void *arg);

static void back_inside(void *arg) {
  caller *c = arg;
  fake_check(c->state, "a callback's begin");
  fake_count(c->state);
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  fake_count(c->state);
  gs_yield();
  fake_count(c->state);
  if (c->depth-- > 0) CHECK_CODE(gs_cgocall(into_c, c, NULL), GS_OK);
  fake_check(c->state, "a nested call");
}

static int into_c(void *arg) {
  caller *c = arg;
  for (int i = 0; i < 4; i++) {
    CHECK(atomic_load(&vm.holder) != my_tid());
    if (i & 1) fake_from_c(c->state);
    CHECK_CODE(gs_cgocallback(back_inside, arg), GS_OK);
    if (i & 1) fake_to_c(c->state);
    CHECK(atomic_load(&vm.holder) != my_tid());
  }
  return 0;
}

static void call_and_be_called(void *arg) {
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < SCALE(20); i++) {
    caller c = {s, 3};
    CHECK_CODE(gs_cgocall(into_c, &c, NULL), GS_OK);
    fake_check(s, "a foreign call with callbacks");
  }
  fake_end(s);
  (void)arg;
}

static void many(body_fn body) {
  fake_state *s = fake_begin(&vm);
  gs_handle *h[GREENS];
  for (int i = 0; i < GREENS; i++) h[i] = go_named("called back", body, NULL);
  for (int i = 0; i < GREENS; i++) join(h[i]);
  fake_end(s);
}

static void many_callbacks(void *arg) {
  (void)arg;
  many(call_and_be_called);
}

static void test_callbacks(void **state) {
  (void)state;
  run_both_ways(many_callbacks);
}

/* ---- functions that park, straight from C ---- */

typedef struct sorting {
  fake_state *state;
  gs_chan *c;
  long tid;
  int calls, depth;
} sorting;

static _Thread_local sorting *now_sorting; /* C code below: the thread stays the same */

static int five(void *arg) {
  CHECK(atomic_load(&vm.holder) != my_tid());
  return *(int *)arg + 5;
}

static void nothing(void *arg) {
  (void)arg;
  fake_end(fake_begin(&vm));
}

static int sort(void *arg);

/* As C does it: with the lock or without. */
static void park_in_c(sorting *s) {
  int value = s->calls, result = 0;
  errno = 66;
  switch (s->calls % 5) {
    case 0: CHECK_CODE(gs_sleep(US(10)), GS_OK); break;
    case 1:
      CHECK_CODE(gs_chan_send(s->c, &value, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_chan_recv(s->c, &value, GS_FOREVER), GS_OK);
      break;
    case 2: gs_yield(); break;
    case 3: {
      gs_handle *h = NULL;
      gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
      opts.domain = vm.domain;
      CHECK_CODE(gs_go_opts(&opts, nothing, NULL, &h), GS_OK);
      CHECK_CODE(gs_join(h, GS_FOREVER), GS_OK);
      gs_handle_release(h);
      break;
    }
    case 4:
      CHECK_CODE(gs_cgocall(five, &value, &result), GS_OK);
      CHECK_INT(result, value + 5);
      break;
  }
  if (s->calls % 5 < 3) CHECK_INT(errno, 66);
  CHECK_INT(value, s->calls);
  CHECK_CODE(gs_chan_recv(s->c, &value, gs_now() + 1), GS_ETIMEOUT);
}

static int compare(const void *a, const void *b) {
  sorting *s = now_sorting;
  int locks = ++s->calls & 1;
  CHECK_INT(my_tid(), s->tid);
  CHECK(atomic_load(&vm.holder) != my_tid());
  if (locks) {
    fake_from_c(s->state);
    fake_count(s->state);
  }
  park_in_c(s);
  if (s->depth > 0 && s->calls < 3) {
    sorting inner = {.state = s->state, .c = s->c, .depth = s->depth - 1};
    CHECK_CODE(gs_cgocall(sort, &inner, NULL), GS_OK);
    now_sorting = s;
  }
  if (locks) {
    fake_count(s->state);
    fake_to_c(s->state);
  }
  CHECK(atomic_load(&vm.holder) != my_tid());
  CHECK_INT(my_tid(), s->tid);
  return *(const int *)a - *(const int *)b;
}

static int sort(void *arg) {
  int numbers[16];
  for (int i = 0; i < 16; i++) numbers[i] = i * 7 % 16;
  now_sorting = arg;
  now_sorting->tid = my_tid();
  qsort(numbers, 16, sizeof numbers[0], compare);
  for (int i = 0; i < 16; i++) CHECK_INT(numbers[i], i);
  return 0;
}

static void sort_and_park(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  sorting x = {.state = s, .c = chan_new(sizeof(int), 1), .depth = 2};
  CHECK_CODE(gs_cgocall(sort, &x, NULL), GS_OK);
  fake_check(s, "a foreign call that parked");
  CHECK_CODE(gs_chan_free(x.c), GS_OK);
  fake_end(s);
}

static void many_sort(void *arg) {
  (void)arg;
  many(sort_and_park);
}

static void test_parking_straight_from_c(void **state) {
  (void)state;
  unsigned long suspends = atomic_load(&vm.suspends), resumes = atomic_load(&vm.resumes);
  run_both_ways(many_sort);
  assert_true(atomic_load(&vm.resumes) > resumes);
  assert_true(atomic_load(&vm.suspends) - suspends > atomic_load(&vm.resumes) - resumes);
}

/* ---- the order of the hooks ---- */

/* The hooks from here on, without attach and detach. */
static void order_begins(void) {
  memset(vm.order, 0, sizeof vm.order);
  atomic_store(&vm.norder, 0);
}

static const char *order_ends(void) {
  atomic_store(&vm.norder, -1);
  char *to = vm.order;
  for (const char *at = vm.order; *at; at++)
    if (*at != 'a' && *at != 'd') *to++ = *at;
  *to = 0;
  return vm.order;
}

static void check_order(const char *what, const char *expected) {
  const char *seen = order_ends();
  CHECK(strcmp(seen, expected) == 0);
  if (strcmp(seen, expected) != 0)
    fprintf(stderr, "  %s: hooks were called in the order %s, not %s\n", what, seen, expected);
}

static int sleep_in_c(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  return 0;
}

static int sleep_in_c_locked(void *arg) {
  fake_from_c(arg);
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  fake_to_c(arg);
  return 0;
}

static int nested_in_c_locked(void *arg) {
  fake_from_c(arg);
  CHECK_CODE(gs_cgocall(sleep_in_c_locked, arg, NULL), GS_OK);
  fake_to_c(arg);
  return 0;
}

static void expired(void *arg) {
  gs_chan *c = arg;
  CHECK_CODE(gs_chan_recv(c, NULL, gs_now() + US(20)), GS_ETIMEOUT);
}

static int expired_in_c_locked(void *arg) {
  static gs_chan *c;
  c = chan_new(0, 0);
  fake_from_c(arg);
  CHECK_CODE(gs_cgocallback(expired, c), GS_OK);
  fake_to_c(arg);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  return 0;
}

static void in_order(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  const struct {
    const char *what;
    int (*fn)(void *);
    const char *order;
  } calls[] = {
      /* release, then suspend, switch_in, switch_in after the park, release, then switch_in */
      {"a sleep in C", sleep_in_c, "rsiiri"},
      {"a sleep in C that has the lock", sleep_in_c_locked, "rSiirRi"},
      {"a callback of C that has the lock", expired_in_c_locked, "rSiirRi"},
      {"a call in a call", nested_in_c_locked, "rSirSiirRirRi"},
  };
  for (size_t i = 0; i < COUNT(calls); i++) {
    order_begins();
    CHECK_CODE(gs_cgocall(calls[i].fn, s, NULL), GS_OK);
    check_order(calls[i].what, calls[i].order);
  }
  fake_end(s);
}

static void test_order(void **state) {
  (void)state;
  run_both_ways(in_order);
}

/* ---- nobody waits for a P with the lock in hand ---- */

typedef struct embrace {
  fake_state *state;
  atomic_int computes; /* the other one has the turn and keeps it */
  gs_chan *c;
} embrace;

/* Its thread has the P and waits for the lock in switch_in, or computes. */
static void has_the_turn(void *arg) {
  embrace *e = arg;
  fake_state *s = fake_begin(&vm);
  fake_count(s);
  CHECK_CODE(gs_chan_send(e->c, NULL, GS_FOREVER), GS_OK);
  fake_count(s);
  fake_end(s);
}

static int lock_and_wait(void *arg) {
  embrace *e = arg;
  fake_from_c(e->state);
  gs_handle *h = go_named("has the turn", has_the_turn, e);
  int wanted = 0, ms = 1;
  for (int64_t end = gs_now() + PATIENCE; !wanted && gs_now() < end; block_ms(&ms)) {
    pthread_mutex_lock(&vm.mutex);
    wanted = vm.waiters;
    pthread_mutex_unlock(&vm.mutex);
  }
  CHECK(wanted); /* the P has gone to another thread, which cannot have the lock */
  CHECK_CODE(gs_chan_recv(e->c, NULL, GS_FOREVER), GS_OK);
  fake_count(e->state);
  join(h);
  fake_count(e->state);
  fake_to_c(e->state);
  return 0;
}

static void embraces(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < SCALE(20); i++) {
    embrace e = {.state = s, .c = chan_new(0, 0)};
    CHECK_CODE(gs_cgocall(lock_and_wait, &e, NULL), GS_OK);
    fake_check(s, "a call whose C code had the lock");
    CHECK_CODE(gs_chan_free(e.c), GS_OK);
  }
  fake_end(s);
}

static void test_no_deadly_embrace(void **state) {
  (void)state;
  run_both_ways(embraces);
}

/* ---- cancellation ---- */

static int wait_in_c(void *arg) {
  fake_from_c(arg);
  int code = gs_sleep(PATIENCE);
  fake_count(arg);
  CHECK_CODE(gs_sleep(1), GS_ECANCELED);
  fake_to_c(arg);
  CHECK_CODE(gs_sleep(1), GS_ECANCELED);
  return code;
}

static void is_cancelled(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  int result = 0;
  CHECK_CODE(gs_cgocall(wait_in_c, s, &result), GS_OK);
  CHECK_INT(result, GS_ECANCELED);
  fake_check(s, "a foreign call in which it was cancelled");
  fake_end(s);
}

static void cancels(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < 10; i++) {
    gs_handle *h = go_named("cancelled", is_cancelled, NULL);
    if (i & 1) CHECK_CODE(gs_sleep(US(200)), GS_OK);
    if (i & 2) gs_yield();
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
  fake_end(s);
}

static void test_cancelled_in_c(void **state) {
  (void)state;
  run_both_ways(cancels);
}

/* ---- where it is refused ---- */

static int refused_in_c(void *arg) {
  CHECK_CODE(gs_sleep(1), GS_EPERM);
  CHECK_CODE(gs_cgocall(five, &(int){1}, NULL), GS_EPERM);
  CHECK_CODE(gs_cgocallback(back_inside, NULL), GS_EPERM);
  (void)arg;
  return 0;
}

static void refused_calls(void *arg) {
  (void)arg;
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL},
                 nocallback = {.name = "no callback", .flags = GS_SITE_NOCALLBACK};
  fake_state *s = fake_begin(&vm);
  unsigned long suspends = atomic_load(&vm.suspends);
  CHECK_CODE(gs_cgocall_site(&critical, refused_in_c, s, NULL), GS_OK);
  CHECK_CODE(gs_cgocall_site(&nocallback, refused_in_c, s, NULL), GS_OK);
  CHECK_INT(atomic_load(&vm.suspends), suspends);
  fake_check(s, "refused callbacks");
  fake_end(s);
}

static void test_refused(void **state) {
  (void)state;
  run_both_ways(refused_calls);
}

static int init(void **state) {
  (void)state;
  fake_init(&vm, "callback");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_callbacks), cmocka_unit_test(test_parking_straight_from_c),
      cmocka_unit_test(test_order),     cmocka_unit_test(test_no_deadly_embrace),
      cmocka_unit_test(test_refused),   cmocka_unit_test(test_cancelled_in_c),
  };
  return cmocka_run_group_tests(tests, init, NULL);
}
