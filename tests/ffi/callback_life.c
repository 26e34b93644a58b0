/* callback_life.c: callbacks that C still calls when their owner is gone, and what becomes of them.
 *
 * A handler that runs while its callback is freed runs to its end, and the owner's destroy is
 * called then, once, whichever of the two is last.  Later calls get the default and are reported.
 * What was freed is not used again before many others have been.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

#include "gosched_ffi.h"

static gs_ffi *ffi;

#define FUNCTION(code, result, ...) ((result(*)(__VA_ARGS__))(uintptr_t)(code))

static gs_callback *make(const char *ctype, gs_ffi_handler *handler, void *user) {
  gs_callback *cb = NULL;
  CHECK_CODE(gs_ffi_callback(ffi, ctype, handler, user, &cb), GS_OK);
  return cb;
}

static char logged[600];
static atomic_int nlogged;

static void logger(int level, const char *text, void *ud) {
  (void)ud;
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  if (level == 1) snprintf(logged, sizeof(logged), "%s", text);
  pthread_mutex_unlock(&one_at_a_time);
  atomic_fetch_add(&nlogged, 1);
  errno = EXFULL; /* must not show */
}

static void logged_is(int n, const char *text) {
  CHECK_INT(atomic_load(&nlogged), n);
  if (n && strcmp(logged, text) != 0) fprintf(stderr, "logged: %s\n", logged);
  CHECK(n == 0 || strcmp(logged, text) == 0);
}

/* ---- after the end ---- */

static int plus_one(void *ret, void *const *args, void *user) {
  (void)user;
  *(int *)ret = *(const int *)args[0] + 1;
  return 0;
}

static void test_called_after_free(void **state) {
  (void)state;
  const gs_type *type = NULL;
  gs_callback *cb = NULL;
  int default_result = -5;
  atomic_store(&nlogged, 0);
  assert_int_equal(gs_ffi_type(ffi, "int(int)", &type, NULL), GS_OK);
  assert_int_equal(gs_callback_prepare(ffi, "adder", type, plus_one, NULL, &cb, NULL), GS_OK);
  void *code = gs_callback_code(cb);
  gs_callback_set_default(cb, &default_result);
  assert_int_equal(FUNCTION(code, int, int)(3), 4);
  gs_callback_free(cb);
  logged_is(0, "");
  for (int i = 0; i < 2; i++) {
    errno = 5;
    int got = FUNCTION(code, int, int)(3), e = errno;
    assert_int_equal(got, -5);
    assert_int_equal(e, 5);
    logged_is(1, "callback 'adder' was called after gs_callback_free");
  }
  logged_is(1, logged); /* once */
  gs_callback_free(cb);
  logged_is(2, "callback 'adder' was freed twice");
  gs_callback_free(cb);
  assert_int_equal(FUNCTION(code, int, int)(3), -5);
  assert_int_equal(checks_failed(), 0);
}

static void count_destroyed(void *user) { atomic_fetch_add((atomic_int *)user, 1); }

/* With its types gone, too. */
static int sum_handler(void *ret, void *const *args, void *user) {
  (void)user;
  const long *a = args[0];
  memcpy(ret, (long[3]){a[0] + a[2], 1, 2}, 3 * sizeof(long));
  return 0;
}

struct three_longs {
  long a[3];
};

static void test_freed_with_its_ffi(void **state) {
  (void)state;
  gs_ffi *mine = gs_ffi_new();
  gs_callback *cb[3] = {NULL};
  void *code[3];
  atomic_int destroyed = 0;
  struct three_longs value = {{7, 8, 9}};
  atomic_store(&nlogged, 0);
  assert_int_equal(gs_ffi_cdef(mine, "struct three_longs { long a[3]; };", NULL), GS_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(gs_ffi_callback(mine, "struct three_longs (*)(struct three_longs)",
                                     sum_handler, &destroyed, &cb[i]),
                     GS_OK);
    gs_callback_on_free(cb[i], count_destroyed);
    gs_callback_set_default(cb[i], &value);
    code[i] = gs_callback_code(cb[i]);
    struct three_longs got = FUNCTION(code[i], struct three_longs, struct three_longs)(value);
    assert_int_equal(got.a[0], 16);
  }
  gs_callback_free(cb[1]);
  assert_int_equal(destroyed, 1);
  gs_ffi_free(mine);
  assert_int_equal(destroyed, 3);
  for (int i = 0; i < 3; i++) {
    struct three_longs got =
        FUNCTION(code[i], struct three_longs, struct three_longs)((struct three_longs){{1, 2, 3}});
    assert_memory_equal(&got, &value, sizeof(got));
    logged_is(i + 1,
              "callback 'struct three_longs (*)(struct three_longs)' was called after "
              "gs_callback_free");
  }
  assert_int_equal(destroyed, 3);
}

/* ---- freed while it runs ---- */

typedef struct held {
  atomic_int inside, go_on, destroyed, ended;
  gs_callback *cb;
  void *code;
} held;

static void held_destroy(void *user) {
  held *h = user;
  atomic_store(&h->ended, atomic_load(&h->inside) == 0);
  atomic_fetch_add(&h->destroyed, 1);
}

static int held_handler(void *ret, void *const *args, void *user) {
  held *h = user;
  (void)args;
  atomic_fetch_add(&h->inside, 1);
  while (!atomic_load(&h->go_on)) CHECK_CODE(gs_sleep(US(200)), GS_OK);
  *(int *)ret = 17;
  atomic_fetch_sub(&h->inside, 1);
  return 0;
}

static void *call_held(void *arg) {
  held *h = arg;
  CHECK_INT(FUNCTION(h->code, int, void)(), 17);
  return NULL;
}

static void wait_for(atomic_int *what, int value) {
  int64_t until = gs_now() + PATIENCE;
  while (atomic_load(what) != value && gs_now() < until) usleep(200);
  CHECK_INT(atomic_load(what), value);
}

static void free_while_it_runs(int threads) {
  pthread_t t[8];
  held h = {.inside = 0};
  h.cb = make("int(void)", held_handler, &h);
  h.code = gs_callback_code(h.cb);
  gs_callback_on_free(h.cb, held_destroy);
  for (int i = 0; i < threads; i++) assert_int_equal(pthread_create(&t[i], NULL, call_held, &h), 0);
  wait_for(&h.inside, threads);
  gs_callback_free(h.cb);
  assert_int_equal(h.destroyed, 0);
  assert_int_equal(FUNCTION(h.code, int, void)(), 0); /* who comes now is too late */
  assert_int_equal(h.destroyed, 0);
  atomic_store(&h.go_on, 1);
  for (int i = 0; i < threads; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
  assert_int_equal(h.destroyed, 1);
  assert_int_equal(h.ended, 1);
  assert_int_equal(checks_failed(), 0);
}

static void test_freed_while_it_runs(void **state) {
  (void)state;
  free_while_it_runs(1);
  free_while_it_runs(8);
}

static int frees_itself(void *ret, void *const *args, void *user) {
  held *h = user;
  gs_callback_free(h->cb);
  CHECK_INT(atomic_load(&h->destroyed), 0);
  CHECK_INT(FUNCTION(h->code, int, int)(0), 0);
  *(int *)ret = *(const int *)args[0];
  return 0;
}

static int call_self(void *arg) {
  held *h = arg;
  return FUNCTION(h->code, int, int)(44);
}

static void frees_itself_in_a_call(void *arg) {
  (void)arg;
  int result = 0;
  held h = {.inside = 0};
  h.cb = make("int(int)", frees_itself, &h);
  h.code = gs_callback_code(h.cb);
  gs_callback_on_free(h.cb, held_destroy);
  CHECK_CODE(gs_cgocall(call_self, &h, &result), GS_OK);
  CHECK_INT(result, 44);
  CHECK_INT(h.destroyed, 1);
}

static void test_frees_itself(void **state) {
  (void)state;
  run_procs(2, frees_itself_in_a_call, NULL);
}

/* Two threads call as fast as they can while this one frees: over and over.  A call is let in or
 * not, and destroy comes after the last that was. */
enum { RACES = 600 };

typedef struct race {
  atomic_int in, destroyed;
} race;

static struct {
  void *_Atomic code;
  atomic_int calls, wrong, stop;
  race race[RACES];
} arena;

static int race_handler(void *ret, void *const *args, void *user) {
  race *r = user;
  (void)args;
  atomic_fetch_add(&r->in, 1);
  for (int i = 0; i < 4; i++)
    if (atomic_load(&r->destroyed)) atomic_store(&arena.wrong, 1);
  *(int *)ret = 1;
  atomic_fetch_sub(&r->in, 1);
  return 0;
}

static void race_destroy(void *user) {
  race *r = user;
  if (atomic_load(&r->in) || atomic_fetch_add(&r->destroyed, 1)) atomic_store(&arena.wrong, 1);
}

static void *race_caller(void *arg) {
  (void)arg;
  while (!atomic_load(&arena.stop)) {
    (void)FUNCTION(atomic_load(&arena.code), int, void)();
    atomic_store_explicit(&arena.calls, 1, memory_order_relaxed);
  }
  return NULL;
}

static void test_races(void **state) {
  (void)state;
  pthread_t t[2];
  gs_callback *cb = make("int(void)", race_handler, &arena.race[0]);
  atomic_store(&arena.code, gs_callback_code(cb));
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&t[i], NULL, race_caller, NULL), 0);
  for (int n = 1; n < SCALE(RACES); n++) {
    race *r = &arena.race[n - 1];
    gs_callback_on_free(cb, race_destroy);
    while (!atomic_load(&arena.calls)) sched_yield(); /* they have found it */
    for (int i = 0; i < n % 50; i++) atomic_load(&arena.stop);
    gs_callback_free(cb);
    for (int i = 0; i < 100 && !atomic_load(&r->destroyed); i++) sched_yield();
    wait_for(&r->destroyed, 1);
    if (atomic_load(&arena.wrong)) break;
    cb = make("int(void)", race_handler, &arena.race[n]);
    atomic_store(&arena.calls, 0);
    atomic_store(&arena.code, gs_callback_code(cb));
  }
  atomic_store(&arena.stop, 1);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
  gs_callback_free(cb);
  assert_int_equal(arena.wrong, 0);
  assert_int_equal(checks_failed(), 0);
}

/* ---- the quarantine ---- */

/* So many others are freed before one is used again (see gs_callback_free), of each kind. */
enum { QUARANTINE = 256, STUBS = 1024 };

static void quarantine_of(const char *ctype) {
  gs_callback *first = make(ctype, plus_one, NULL), *cb;
  void *code = gs_callback_code(first);
  atomic_store(&nlogged, 0);
  gs_callback_free(first);
  for (int i = 0; i < QUARANTINE - 1; i++) {
    cb = make(ctype, plus_one, NULL);
    assert_ptr_not_equal(gs_callback_code(cb), code);
    gs_callback_free(cb);
  }
  assert_int_equal(FUNCTION(code, int, int)(1), 0);
  assert_int_equal(nlogged, 1);
  int again = 0;
  while ((cb = make(ctype, plus_one, NULL)) != NULL && gs_callback_code(cb) != code) {
    gs_callback_free(cb);
    assert_true(++again < 4 * STUBS);
  }
  assert_int_equal(FUNCTION(code, int, int)(1), 2);
  gs_callback_free(cb);
  assert_int_equal(FUNCTION(code, int, int)(1), 0);
  assert_int_equal(nlogged, 2);
}

static void test_quarantine(void **state) {
  (void)state;
  quarantine_of("int(int)");
  quarantine_of("int(int, long double)"); /* always a closure */
  assert_int_equal(checks_failed(), 0);
}

/* More at once than there are stubs. */
static void test_many(void **state) {
  (void)state;
  enum { MANY = STUBS + 300 };
  static gs_callback *cb[MANY];
  static atomic_int destroyed;
  for (int round = 0; round < 2; round++) {
    atomic_store(&destroyed, 0);
    for (int i = 0; i < MANY; i++) {
      cb[i] = make("int(int)", plus_one, &destroyed);
      gs_callback_on_free(cb[i], count_destroyed);
    }
    for (int i = 0; i < MANY; i++)
      assert_int_equal(FUNCTION(gs_callback_code(cb[i]), int, int)(i), i + 1);
    for (int i = 0; i < MANY; i++)
      for (int j = i + 1; j < MANY; j += 97)
        assert_ptr_not_equal(gs_callback_code(cb[i]), gs_callback_code(cb[j]));
    for (int i = 0; i < MANY; i++) gs_callback_free(cb[i]);
    assert_int_equal(destroyed, MANY);
  }
  assert_int_equal(checks_failed(), 0);
}

static int setup(void **state) {
  (void)state;
  gs_set_logger(logger, NULL);
  ffi = gs_ffi_new();
  return ffi ? 0 : 1;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  gs_set_logger(NULL, NULL);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_called_after_free),
      cmocka_unit_test(test_freed_with_its_ffi),
      cmocka_unit_test(test_freed_while_it_runs),
      cmocka_unit_test(test_frees_itself),
      cmocka_unit_test(test_races),
      cmocka_unit_test(test_quarantine),
      cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
