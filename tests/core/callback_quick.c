/* callback_quick.c: callbacks out of calls that go the shortest way.
 *
 * The code of a known-short call calls back without touching its P.  What must be as it is on the
 * long way: who runs when there is one P, states and counters, the site of the call, the locks of
 * the green thread, what happens when the callback parks, fails, loses its P or is traced.  Builds
 * in which that way does not exist run the same tests.
 */
#include "support.h"

#include "runtime.h"

#include <pthread.h>
#include <unistd.h>

enum { PROCS = 1, LEARN = 40 };

static gs_site site = {.name = "a short one that calls back"};

static void learn(int (*fn)(void *), void *arg) {
  for (int i = 0; i < LEARN; i++) CHECK_CODE(gs_cgocall_site(&site, fn, arg, NULL), GS_OK);
}

/* Whatever sysmon has found. */
static void short_again(void) {
  store_rlx(&site.score, 0);
  store_rlx(&site.shorts, SHORT_RUN);
}

/* ---- what is seen of it ---- */

static void look_inside(void *arg) {
  gs_snapshot_data *s = NULL;
  int me = gs_mid(), found = 0;
  *(int *)arg += 1;
  CHECK_INT(metrics().incgo, 0);
  CHECK_CODE(gs_snapshot(&s), GS_OK);
  for (size_t i = 0; i < s->ng; i++)
    if (s->g[i].id == gs_self()) {
      CHECK_INT(s->g[i].state, GS_G_RUNNING);
      CHECK_INT(s->g[i].locked_m, me);
      found++;
    }
  for (size_t i = 0; i < s->np; i++)
    if (s->p[i].m == me) {
      CHECK_INT(s->p[i].status, GS_P_RUNNING);
      found++;
    }
  CHECK_INT(found, 2);
  gs_snapshot_free(s);
}

static int look(void *arg) {
  CHECK_INT(metrics().incgo, 1);
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocallback(look_inside, arg), GS_OK);
  CHECK_INT(metrics().incgo, 1);
  return 0;
}

static void seen(void *arg) {
  (void)arg;
  int n = 0;
  gs_metrics before = metrics();
  learn(look, &n);
  gs_metrics after = metrics();
  CHECK_INT(n, 3 * LEARN);
  CHECK_INT(after.cgocalls - before.cgocalls, LEARN);
  CHECK_INT(after.incgo, 0);
  gs_snapshot_data *s = NULL;
  CHECK_CODE(gs_snapshot(&s), GS_OK);
  for (size_t i = 0; i < s->ng; i++) CHECK_INT(s->g[i].locked_m, -1);
  gs_snapshot_free(s);
}

static void test_what_is_seen(void **state) {
  (void)state;
  run_procs(PROCS, seen, NULL);
}

/* ---- one P: who comes back from C waits for it ---- */

static atomic_int in_turn, stop, overlaps;

static void busy(void *arg) {
  (void)arg;
  while (!atomic_load(&stop)) {
    atomic_store(&in_turn, 1);
    for (int64_t end = gs_now() + US(100); gs_now() < end;) continue;
    atomic_store(&in_turn, 0);
    gs_yield();
  }
}

static void with_the_p(void *arg) {
  if (atomic_load(&in_turn)) atomic_fetch_add(&overlaps, 1);
  ++*(int *)arg;
}

static int block_and_call_back(void *arg) {
  usleep(30000); /* the P goes to the other one meanwhile */
  return gs_cgocallback(with_the_p, arg);
}

static int call_back_at_once(void *arg) { return gs_cgocallback(with_the_p, arg); }

static void exclusive(void *arg) {
  (void)arg;
  int n = 0, result = -1;
  store_rlx(&gs_sched.test_flags, TEST_NO_RELIEF); /* the P changes hands in calls alone */
  atomic_store(&stop, 0);
  learn(call_back_at_once, &n);
  gs_handle *h = go_named("busy", busy, NULL);
  for (int i = 1; i <= SCALE(20); i++) {
    short_again();
    CHECK_CODE(gs_cgocall_site(&site, block_and_call_back, &n, &result), GS_OK);
    CHECK_INT(result, GS_OK);
    CHECK_INT(n, LEARN + i);
  }
  atomic_store(&stop, 1);
  join(h);
  CHECK_INT(atomic_load(&overlaps), 0);
  store_rlx(&gs_sched.test_flags, 0);
}

static void test_waits_for_the_p(void **state) {
  (void)state;
  run_procs(PROCS, exclusive, NULL);
}

/* ---- where sysmon asks for the P, a callback gives way, as a call does ---- */

static void other(void *arg) { atomic_store((atomic_int *)arg, 1); }

static void nothing(void *arg) { (void)arg; }

/* Where calls are not fast, the P may be on its way to another thread, and nobody is asked. */
static int asked_for_the_p(void *arg) {
  int64_t until = gs_now() + (GS_FAST_CALLS ? 0 : PATIENCE);
  int n = 0;
  do {
    store_rlx(&gs_native.allp[0]->preempt, 1);
    CHECK_CODE(gs_cgocallback(nothing, NULL), GS_OK);
  } while (!atomic_load((atomic_int *)arg) && (++n < 1000 || gs_now() < until));
  return atomic_load((atomic_int *)arg);
}

static void gives_way(void *arg) {
  (void)arg;
  int n = 0, result = 0;
  atomic_int flag = 0;
  learn(call_back_at_once, &n);
  go(other, &flag);
  CHECK_CODE(gs_cgocall_site(&site, asked_for_the_p, &flag, &result), GS_OK);
  CHECK_INT(result, 1);
}

static void test_gives_way(void **state) {
  (void)state;
  run_procs(PROCS, gives_way, NULL);
}

/* ---- what a callback leaves behind, and what it must not ---- */

static int five(void *arg) {
  (void)arg;
  return 5;
}

static void calls_and_locks(void *arg) {
  static gs_site leaf = {.name = "leaf", .flags = GS_SITE_NOCALLBACK};
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  int result = 0;
  CHECK_CODE(gs_cgocall_site(&leaf, five, NULL, &result), GS_OK);
  CHECK_CODE(gs_cgocall_site(&critical, five, NULL, &result), GS_OK);
  CHECK_INT(result, 5);
  if (++*(int *)arg == 2) gs_lock_os_thread();
}

static int calls_and_locks_often(void *arg) {
  for (int i = 0; i < 4; i++) {
    CHECK_CODE(gs_cgocallback(calls_and_locks, arg), GS_OK);
    CHECK(gs_getm_call()->curg->site == &site); /* and not one of the callback's calls */
  }
  return 0;
}

static void left_behind(void *arg) {
  (void)arg;
  int n = 0;
  learn(call_back_at_once, &n);
  n = 0;
  CHECK_CODE(gs_cgocall_site(&site, calls_and_locks_often, &n, NULL), GS_OK);
  CHECK_INT(n, 4);
  const G *g = gs_getm_call()->curg;
  CHECK(g->lockedm != NULL && g->locks == 1 && g->pins == 0 && g->back == NULL);
  gs_unlock_os_thread();
  CHECK(g->lockedm == NULL);
}

static void test_left_behind(void **state) {
  (void)state;
  run_procs(PROCS, left_behind, NULL);
}

/* ---- it parks, is traced, computes until its P is gone, fails: each followed by all others ----
 */

static void parks(void *arg) {
  CHECK_CODE(gs_sleep(US(50)), GS_OK);
  gs_yield();
  *(long *)arg = my_tid();
}

static void computes(void *arg) {
  for (int64_t end = gs_now() + MS(15); gs_now() < end;) continue;
  *(long *)arg = my_tid();
}

static void traced(void *arg) {
  CHECK_CODE(gs_trace_start("/dev/null"), GS_OK);
  *(long *)arg = my_tid();
}

static void not_traced(void *arg) {
  CHECK_CODE(gs_trace_stop(), GS_OK);
  *(long *)arg = my_tid();
}

static void fails(void *arg) {
  CHECK_CODE(gs_callback_fail(12, NULL), GS_OK);
  *(long *)arg = my_tid();
}

static void quickly(void *arg) { *(long *)arg = my_tid(); }

typedef struct order {
  void (*first)(void *), (*second)(void *);
} order;

static int in_that_order(void *arg) {
  const order *o = arg;
  void (*all[])(void *) = {quickly, o->first, quickly, o->second, quickly, quickly};
  for (size_t i = 0; i < COUNT(all); i++) {
    long tid = -1;
    errno = 40;
    CHECK_CODE(gs_cgocallback(all[i], &tid), GS_OK);
    if (all[i] == quickly) CHECK_INT(errno, 40);
    CHECK_INT(tid, my_tid());
  }
  errno = 77;
  return 8;
}

static void neighbour(void *arg) {
  while (!atomic_load((atomic_int *)arg)) gs_yield();
}

static void all_orders(void *arg) {
  (void)arg;
  int n = 0;
  atomic_int done = 0;
  void (*kinds[])(void *) = {parks, computes, fails, quickly};
  learn(call_back_at_once, &n);
  gs_handle *h = go_named("neighbour", neighbour, &done);
  for (size_t i = 0; i < COUNT(kinds); i++)
    for (size_t j = 0; j < COUNT(kinds); j++) {
      order o = {kinds[i], kinds[j]};
      int result = 0, failed = o.first == fails || o.second == fails;
      if (o.first == fails && o.second == fails) continue; /* the second one would be refused */
      short_again();
      CHECK_CODE(gs_cgocall_site(&site, in_that_order, &o, &result), failed ? GS_ECALLBACK : GS_OK);
      CHECK_INT(errno, 77);
      CHECK_INT(result, 8);
      CHECK_CODE(gs_callback_failure(NULL, NULL), failed ? GS_OK : GS_EPERM);
    }
  order o = {traced, not_traced};
  short_again();
  CHECK_CODE(gs_cgocall_site(&site, in_that_order, &o, NULL), GS_OK);
  atomic_store(&done, 1);
  join(h);
}

static void test_all_orders(void **state) {
  (void)state;
  run_procs(PROCS, all_orders, NULL);
}

/* ---- with words ---- */

static int sum(void *a, void *b, void *c) {
  if (a == b) gs_yield();
  return (int)((intptr_t)a + (intptr_t)b + (intptr_t)c);
}

static int with_words(void *arg) {
  (void)arg;
  for (intptr_t i = 0; i < 5; i++) {
    int result = -1;
    CHECK_CODE(gs_cgocallback_words(sum, (void *)i, (void *)2, (void *)30, &result), GS_OK);
    CHECK_INT(result, i + 32);
  }
  int result = -1;
  CHECK_CODE(gs_cgocallback_words(NULL, NULL, NULL, NULL, &result), GS_EINVAL);
  CHECK_INT(result, 0);
  return 0;
}

static int refused_words(void *arg) {
  int result = -1;
  *(int *)arg = gs_cgocallback_words(sum, NULL, NULL, NULL, &result);
  return result;
}

static void *words_outside(void *arg) {
  with_words(arg);
  return NULL;
}

static void words(void *arg) {
  (void)arg;
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  int code = 0, result = -1;
  pthread_t t;
  learn(with_words, NULL);
  with_words(NULL); /* in place */
  CHECK_CODE(gs_cgocall_site(&critical, refused_words, &code, &result), GS_OK);
  CHECK_CODE(code, GS_EPERM);
  CHECK_INT(result, 0);
  CHECK_INT(pthread_create(&t, NULL, words_outside, NULL), 0);
  CHECK_INT(pthread_join(t, NULL), 0);
}

static void test_words(void **state) {
  (void)state;
  run_procs(PROCS, words, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_seen), cmocka_unit_test(test_waits_for_the_p),
      cmocka_unit_test(test_gives_way),    cmocka_unit_test(test_left_behind),
      cmocka_unit_test(test_all_orders),   cmocka_unit_test(test_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
