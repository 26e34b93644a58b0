/* callback.c: gs_cgocallback in a domain whose interpreter has a lock.
 *
 * A callback is inside the interpreter: the lock is held with the green thread's own state, and is
 * let go again before C goes on.  It may park and make foreign calls, and others of the domain have
 * their turn then.  What parks straight from C is refused, since C may hold the lock by itself.
 */
#include "fake.h"

enum { PROCS = 2, GREENS = 8 };

static fake vm;

typedef struct caller {
  fake_state *state;
  int depth;
} caller;

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
  for (int i = 0; i < 2; i++) {
    CHECK(atomic_load(&vm.holder) != my_tid());
    CHECK_CODE(gs_sleep(1), GS_EPERM);
    CHECK_CODE(gs_cgocall(block_ms, &(int){1}, NULL), GS_EPERM);
    CHECK_CODE(gs_cgocallback(back_inside, arg), GS_OK);
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

static void many(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  gs_handle *h[GREENS];
  for (int i = 0; i < GREENS; i++) h[i] = go_named("called back", call_and_be_called, NULL);
  for (int i = 0; i < GREENS; i++) join(h[i]);
  fake_end(s);
}

static void test_callbacks(void **state) {
  (void)state;
  fake_init(&vm, "callback");
  fake_run(&vm, PROCS, many, NULL);
  fake_assert_quiet(&vm);
  fake_run_locked(&vm, PROCS, many, NULL);
  fake_assert_quiet(&vm);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_callbacks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
