/* callback_failure.c: gs_callback_fail, GS_ECALLBACK, gs_callback_failure.
 *
 * A failure reaches the innermost foreign call around its callback and no other, once, by whatever
 * way that call ends: a site that is new, or known short, or blocking, or unblockable.  Without a
 * foreign call there is nobody to tell.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>

enum { PROCS = 2 };

static char word; /* its address is a failure's data */

/* ---- one call, one callback ---- */

static void fails_twice(void *arg) {
  int code = *(int *)arg;
  CHECK_CODE(gs_callback_fail(0, NULL), GS_EINVAL);
  CHECK_CODE(gs_callback_fail(code, &word), GS_OK);
  CHECK_CODE(gs_callback_fail(code + 1, NULL), GS_EBUSY);
}

static void succeeds(void *arg) { (void)arg; }

static int calls_back_thrice(void *arg) {
  CHECK_CODE(gs_cgocallback(succeeds, NULL), GS_OK);
  CHECK_CODE(gs_cgocallback(fails_twice, arg), GS_OK);
  CHECK_CODE(gs_cgocallback(succeeds, NULL), GS_OK);
  errno = 77;
  return 5;
}

static int calls_back_well(void *arg) {
  CHECK_CODE(gs_cgocallback(succeeds, arg), GS_OK);
  return 6;
}

static void nothing_to_take(void) {
  int code = -1;
  void *data = &word;
  CHECK_CODE(gs_callback_failure(&code, &data), GS_EPERM);
  CHECK_INT(code, -1);
  CHECK(data == &word);
}

static void take(int expected, const void *expected_data) {
  int code = 0;
  void *data = NULL;
  CHECK_CODE(gs_callback_failure(&code, &data), GS_OK);
  CHECK_INT(code, expected);
  CHECK(data == expected_data);
  nothing_to_take();
}

static void unblock(void *arg) { (void)arg; }

static void one_failure(void *arg) {
  (void)arg;
  static gs_site blocking = {.name = "blocking", .flags = GS_SITE_BLOCKING};
  static gs_site usual = {.name = "usual"};
  nothing_to_take();
  for (int i = 1; i <= 60; i++) { /* the sites become short ones on the way */
    int result = 0;
    CHECK_CODE(gs_cgocall(calls_back_thrice, &i, &result), GS_ECALLBACK);
    CHECK_INT(errno, 77);
    CHECK_INT(gs_errno(), 77);
    CHECK_INT(result, 5);
    take(i, &word);
    CHECK_CODE(gs_cgocall(calls_back_well, NULL, &result), GS_OK);
    CHECK_INT(result, 6);
    nothing_to_take();
    CHECK_CODE(gs_cgocall_site(&usual, calls_back_thrice, &i, NULL), GS_ECALLBACK);
    CHECK_CODE(gs_cgocall_site(&usual, calls_back_well, NULL, NULL), GS_OK);
    take(i, &word); /* of the last one that failed */
    CHECK_CODE(gs_cgocall_site(&blocking, calls_back_thrice, &i, NULL), GS_ECALLBACK);
    take(i, &word);
    CHECK_CODE(gs_cgocall_unblock(calls_back_thrice, &i, &result, unblock, NULL), GS_ECALLBACK);
    CHECK_INT(result, 5);
    take(i, &word);
  }
  int i = 7;
  CHECK_CODE(gs_cgocall(calls_back_thrice, &i, NULL), GS_ECALLBACK);
  CHECK_CODE(gs_callback_failure(NULL, NULL), GS_OK); /* not wanted */
  nothing_to_take();
}

static void test_one_failure(void **state) {
  (void)state;
  run_procs(PROCS, one_failure, NULL);
}

/* ---- in the callback's own calls, straight from C, after parking ---- */

static void fails_later(void *arg) {
  CHECK_CODE(gs_sleep(US(50)), GS_OK);
  gs_yield();
  CHECK_CODE(gs_callback_fail(*(int *)arg, arg), GS_OK);
  CHECK_CODE(gs_sleep(US(50)), GS_OK);
}

static int parks_and_fails(void *arg) { return gs_cgocallback(fails_later, arg); }

static int fails_by_itself(void *arg) {
  return gs_callback_fail(*(int *)arg, arg) == GS_OK && gs_callback_fail(1, NULL) == GS_EBUSY;
}

static void other_ways(void *arg) {
  (void)arg;
  for (int i = 1; i < 40; i++) {
    int result = -1;
    CHECK_CODE(gs_cgocall(parks_and_fails, &i, &result), GS_ECALLBACK);
    CHECK_INT(result, GS_OK);
    take(i, &i);
    CHECK_CODE(gs_cgocall(fails_by_itself, &i, &result), GS_ECALLBACK);
    CHECK_INT(result, 1);
    take(i, &i);
  }
}

static void test_other_ways(void **state) {
  (void)state;
  run_procs(1, other_ways, NULL);
}

/* ---- nested: at each depth fails who is asked to, before or after the call inside, or both ----
 */

enum { DEPTH = 6 };

typedef struct nest {
  unsigned before, after; /* who fails when, as bits */
  int depth;
  int told[DEPTH + 1]; /* what each call returned, 0 is the outermost */
} nest;

static int go_down(void *arg);

static void callback_at(void *arg) {
  nest *n = arg;
  int depth = n->depth;
  bool before = n->before >> depth & 1, after = n->after >> depth & 1;
  if (before) CHECK_CODE(gs_callback_fail(100 + depth, &n->told[depth]), GS_OK);
  if (depth < DEPTH) {
    n->depth++;
    n->told[depth + 1] = gs_cgocall(go_down, n, NULL);
    if (n->told[depth + 1] == GS_ECALLBACK)
      take(((n->before >> (depth + 1) & 1) ? 100 : 200) + depth + 1, &n->told[depth + 1]);
    n->depth = depth;
  }
  if (after) CHECK_CODE(gs_callback_fail(200 + depth, &n->told[depth]), before ? GS_EBUSY : GS_OK);
}

static void calls_well(void *arg) { CHECK_CODE(gs_cgocall(calls_back_well, arg, NULL), GS_OK); }

/* A callback that does not fail comes before and after: what has failed must neither get lost in it
 * nor be told to a call of its own. */
static int go_down(void *arg) {
  CHECK_CODE(gs_cgocallback(succeeds, NULL), GS_OK);
  CHECK_CODE(gs_cgocallback(callback_at, arg), GS_OK);
  CHECK_CODE(gs_cgocallback(calls_well, NULL), GS_OK);
  return 0;
}

static void nested(void *arg) {
  (void)arg;
  uint64_t seed = 4711;
  for (int round = 0; round < SCALE(3000); round++) {
    nest n = {.before = (unsigned)random_next(&seed) & 127,
              .after = (unsigned)random_next(&seed) & 127};
    n.told[0] = gs_cgocall(go_down, &n, NULL);
    for (int i = 0; i <= DEPTH; i++)
      CHECK_INT(n.told[i], ((n.before | n.after) >> i & 1) ? GS_ECALLBACK : GS_OK);
    if (n.told[0] == GS_ECALLBACK) take((n.before & 1) ? 100 : 200, &n.told[0]);
    nothing_to_take();
  }
}

static void test_nested(void **state) {
  (void)state;
  run_procs(PROCS, nested, NULL);
}

/* ---- nobody to tell ---- */

static void fails_in_vain(void *arg) {
  CHECK_CODE(gs_callback_fail(3, NULL), GS_EPERM);
  ++*(int *)arg;
}

static void fails_for_its_own_call(void *arg) {
  int code = 31;
  fails_in_vain(arg);
  CHECK_CODE(gs_cgocall(calls_back_thrice, &code, NULL), GS_ECALLBACK);
  take(31, &word);
  fails_in_vain(arg);
}

static void *foreign_thread(void *arg) {
  CHECK_CODE(gs_callback_fail(3, NULL), GS_EPERM);
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocallback(fails_for_its_own_call, arg), GS_OK);
  CHECK_CODE(gs_callback_failure(NULL, NULL), GS_EPERM);
  return NULL;
}

static int on_a_thread(void *arg) {
  pthread_t t;
  CHECK_INT(pthread_create(&t, NULL, foreign_thread, arg), 0);
  CHECK_INT(pthread_join(t, NULL), 0);
  return 0;
}

static int refused_here(void *arg) {
  (void)arg;
  return gs_callback_fail(9, NULL);
}

static void nobody(void *arg) {
  (void)arg;
  int n = 0, result = 0;
  fails_in_vain(&n);
  CHECK_CODE(gs_cgocallback(fails_in_vain, &n), GS_OK); /* in place */
  CHECK_CODE(gs_cgocall(on_a_thread, &n, NULL), GS_OK);
  CHECK_INT(n, 8);
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  static gs_site nocallback = {.name = "nocallback", .flags = GS_SITE_NOCALLBACK};
  CHECK_CODE(gs_cgocall_site(&critical, refused_here, NULL, &result), GS_OK);
  CHECK_INT(result, GS_EPERM);
  CHECK_CODE(gs_cgocall_site(&nocallback, refused_here, NULL, &result), GS_OK);
  CHECK_INT(result, GS_EPERM);
  nothing_to_take();
}

static void test_nobody(void **state) {
  (void)state;
  CHECK_CODE(gs_callback_fail(3, NULL), GS_EPERM);
  CHECK_CODE(gs_callback_failure(NULL, NULL), GS_EPERM);
  run_procs(PROCS, nobody, NULL);
}

/* ---- many green threads, each with its own; a struct that is used again has none left ---- */

static void many_one(void *arg) {
  wait_group *wg = arg;
  nothing_to_take();
  for (int i = 1; i < 30; i++) {
    int code = (int)(gs_self() % 100000) * 50 + i;
    CHECK_CODE(gs_cgocall(i % 2 ? calls_back_thrice : parks_and_fails, &code, NULL), GS_ECALLBACK);
    if (i == 29) break; /* left behind */
    take(code, i % 2 ? (void *)&word : (void *)&code);
    gs_yield();
  }
  wg_done(wg);
}

static void many(void *arg) {
  (void)arg;
  for (int round = 0; round < 3; round++) {
    wait_group wg;
    wg_init(&wg);
    for (int i = 0; i < 40; i++) go(many_one, &wg);
    wg_wait(&wg, 40);
  }
}

static void test_many(void **state) {
  (void)state;
  run_procs(PROCS, many, NULL);
}

static void test_named(void **state) {
  (void)state;
  assert_string_equal(gs_strerror(GS_ECALLBACK),
                      "GS_ECALLBACK: a callback out of the foreign call failed");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_failure), cmocka_unit_test(test_other_ways),
      cmocka_unit_test(test_nested),      cmocka_unit_test(test_nobody),
      cmocka_unit_test(test_many),        cmocka_unit_test(test_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
