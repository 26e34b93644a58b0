/* elsewhere.c: a foreign call of a domain whose interpreter has a lock is made on another thread.
 *
 * A site that is marked blocking, another green thread that waits: that one goes on at once, on the
 * thread that entered the call.  The call is made on another, which the foreign code finds pointed
 * at the state of its green thread.  It may call back from there, take the lock by itself, and park
 * in the middle.  A domain without the hook keeps its calls where they are entered, and so does a
 * green thread that is locked to its thread.
 */
#include "fake.h"

enum { PROCS = 2, GREENS = 16 };

static fake vm, staying;
static gs_site site = {.name = "marked", .flags = GS_SITE_BLOCKING};

typedef struct meet {
  fake_state *state;
  long entered, inside, other; /* threads: where the call was entered, made; where the other ran */
  atomic_int ran;
  int callbacks;
} meet;

static void run_other(void *arg) {
  meet *x = arg;
  fake_state *s = fake_begin(x->state->vm);
  x->other = my_tid();
  atomic_store(&x->ran, 1);
  fake_end(s);
}

static void called_back(void *arg) {
  const meet *x = arg;
  fake_check(x->state, "a callback's begin");
  fake_count(x->state);
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  fake_count(x->state);
  CHECK_INT(my_tid(), x->inside);
}

static int stay_inside(void *arg) {
  meet *x = arg;
  x->inside = my_tid();
  int found = block_until(&x->ran);
  for (int i = 0; i < x->callbacks; i++) {
    fake_from_c(x->state); /* as C that is handed a callback, and asks for the thread's state */
    if (i & 1) CHECK_CODE(gs_cgocallback(called_back, x), GS_OK);
    fake_to_c(x->state);
    CHECK_CODE(gs_cgocallback(called_back, x), GS_OK);
  }
  errno = 77;
  return found;
}

static void enter_once(meet *x) {
  int seen = 0;
  go(run_other, x);
  x->entered = my_tid();
  CHECK_CODE(gs_cgocall_site(&site, stay_inside, x, &seen), GS_OK);
  CHECK_INT(gs_errno(), 77);
  CHECK_INT(seen, 1);
  fake_check(x->state, "a call elsewhere");
}

/* Not every time: sysmon may have made the first one give way before. */
static void meets(int callbacks) {
  fake_state *s = fake_begin(&vm);
  int moved = 0;
  for (int64_t end = gs_now() + PATIENCE; moved < 10 && gs_now() < end;) {
    meet x = {.state = s, .callbacks = callbacks};
    enter_once(&x);
    moved += x.inside != x.entered && x.other == x.entered;
  }
  CHECK_INT(moved, 10);
  CHECK(atomic_load(&vm.elsewheres) > 0);
  fake_end(s);
}

static void the_other_stays(void *arg) {
  (void)arg;
  meets(0);
}

static void it_calls_back(void *arg) {
  (void)arg;
  meets(4);
}

static void test_the_other_stays(void **state) {
  (void)state;
  fake_run(&vm, PROCS, the_other_stays, NULL);
  fake_assert_quiet(&vm);
}

static void test_it_calls_back(void **state) {
  (void)state;
  fake_run(&vm, PROCS, it_calls_back, NULL);
  fake_assert_quiet(&vm);
}

/* What the hooks are called for; 'd' and 'a' of the other thread come when they like. */
static void order(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  int found = 0;
  for (int64_t end = gs_now() + PATIENCE; !found && gs_now() < end;) {
    meet x = {.state = s};
    atomic_store(&vm.norder, 0);
    enter_once(&x);
    int n = atomic_exchange(&vm.norder, -1);
    vm.order[n < 255 ? n : 255] = 0;
    char kept[256] = "", *to = kept;
    for (const char *at = vm.order; *at; at++)
      if (*at != 'a' && *at != 'd') *to++ = *at;
    if (!strchr(kept, 'e')) continue;
    found = 1; /* released once; the call's thread was told; the other one came in; then this */
    CHECK_INT(strcspn(kept, "r"), 0);
    CHECK(strcmp(kept, "reii") == 0 || strcmp(kept, "riei") == 0);
  }
  CHECK_INT(found, 1);
  fake_end(s);
}

static void test_order(void **state) {
  (void)state;
#ifdef GS_TORTURE
  print_message("skipped: calls change threads at random in this build\n");
  skip();
#endif
  fake_run(&vm, PROCS, order, NULL);
  fake_assert_quiet(&vm);
}

/* ---- who stays ---- */

static void locked_call(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  gs_lock_os_thread();
  for (int i = 0; i < 20; i++) {
    meet x = {.state = s, .callbacks = 1};
    enter_once(&x);
    CHECK_INT(x.inside, x.entered);
    CHECK_INT(my_tid(), x.entered);
  }
  gs_unlock_os_thread();
  fake_end(s);
}

static void locked_calls_stay(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  join(go_named("locked", locked_call, NULL));
  fake_end(s);
}

static void test_locked_calls_stay(void **state) {
  (void)state;
  fake_run(&vm, PROCS, locked_calls_stay, NULL);
  fake_assert_quiet(&vm);
}

static void without_the_hook(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&staying);
  for (int i = 0; i < 20; i++) {
    meet x = {.state = s, .callbacks = 1};
    enter_once(&x);
    CHECK_INT(x.inside, x.entered);
  }
  fake_end(s);
}

static void test_without_the_hook(void **state) {
  (void)state;
  fake_run(&staying, PROCS, without_the_hook, NULL);
  fake_assert_quiet(&staying);
}

/* ---- many, and the limit of threads ---- */

static int from_c(void *arg) {
  int ms = 1;
  block_ms(&ms);
  fake_from_c(arg);
  fake_to_c(arg);
  return 0;
}

static void call_and_count(void *arg) {
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_cgocall_site(&site, from_c, s, NULL), GS_OK);
    fake_count(s);
  }
  fake_end(s);
  wg_done(arg);
}

static void many(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  wait_group wg;
  wg_init(&wg);
  int64_t before = vm.guarded;
  for (int i = 0; i < GREENS; i++) go(call_and_count, &wg);
  wg_wait(&wg, GREENS);
  fake_check(s, "the others");
  CHECK_INT(vm.guarded - before, GREENS * 10);
  CHECK_INT(metrics().incgo, 0);
  fake_end(s);
}

static void test_at_the_limit(void **state) {
  (void)state;
  static const int limits[] = {0, 5, 2};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    gs_config cfg = GS_CONFIG_DEFAULT;
    cfg.procs = PROCS;
    cfg.domain = vm.domain;
    cfg.max_threads = limits[i];
    run_config(&cfg, many, NULL);
    fake_assert_quiet(&vm);
  }
}

static int set_up(void **state) {
  (void)state;
  fake_init(&vm, "moving");
  fake_init_staying(&staying, "staying");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_other_stays),
      cmocka_unit_test(test_it_calls_back),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_locked_calls_stay),
      cmocka_unit_test(test_without_the_hook),
      cmocka_unit_test(test_at_the_limit),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
