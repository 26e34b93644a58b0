/* go.c: starting green threads and ending them.
 *
 * Many of them, from any thread, with identities of their own, with calls as deep as their stack
 * allows, really side by side on two Ps, and ended in the middle by gs_goexit.
 */
#include "support.h"

#include <pthread.h>

enum { PROCS = 2 };

/* ---- many ---- */

typedef struct tally {
  atomic_int count;
  int most;
  gs_chan *all;
} tally;

static void count_up(void *arg) {
  tally *t = arg;
  if (atomic_fetch_add(&t->count, 1) + 1 == t->most) CHECK_CODE(gs_chan_close(t->all), GS_OK);
}

static void start_many(void *arg) {
  tally *t = arg;
  t->all = chan_new(0, 0);
  for (int i = 0; i < t->most; i++) go(count_up, t);
  CHECK_CODE(gs_chan_recv(t->all, NULL, GS_FOREVER), GS_ECLOSED);
  CHECK_INT(atomic_load(&t->count), t->most);
  CHECK_CODE(gs_chan_free(t->all), GS_OK);
}

static void test_100000(void **state) {
  (void)state;
  tally t = {.most = SCALE(100000)};
  uint64_t before = metrics().gs_created;
  run_procs(PROCS, start_many, &t);
  assert_true(metrics().gs_created - before >= (uint64_t)t.most);
  assert_int_equal(metrics().gs_live, 0);
}

/* A tree: every green thread starts two more. */
typedef struct tree {
  atomic_int leaves;
  int depth;
  struct tree *root;
} tree;

static void grow(void *arg) {
  tree *t = arg;
  if (t->depth == 0) {
    atomic_fetch_add(&t->root->leaves, 1);
    return;
  }
  tree below[2];
  gs_handle *h[2];
  for (int i = 0; i < 2; i++) {
    below[i].depth = t->depth - 1;
    below[i].root = t->root;
    h[i] = go_named(NULL, grow, &below[i]);
  }
  for (int i = 0; i < 2; i++) join(h[i]);
}

static void test_a_tree(void **state) {
  (void)state;
  tree t = {.depth = SLOW_BUILD ? 7 : 12};
  t.root = &t;
  run_procs(PROCS, grow, &t);
  assert_int_equal(atomic_load(&t.leaves), 1 << t.depth);
}

/* ---- identities ---- */

enum { IDS = 1000 };

static int by_id(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void tell_id(void *arg) {
  uint64_t id = gs_self();
  gs_yield();
  CHECK_INT(gs_self(), id);
  gs_sleep(US(10));
  CHECK_INT(gs_self(), id);
  *(uint64_t *)arg = id;
}

static void collect_ids(void *arg) {
  (void)arg;
  static uint64_t ids[IDS + 1];
  static gs_handle *handles[IDS];
  ids[IDS] = gs_self();
  for (int i = 0; i < IDS; i++) handles[i] = go_named("one of many", tell_id, &ids[i]);
  for (int i = 0; i < IDS; i++) {
    CHECK_CODE(gs_join(handles[i], GS_FOREVER), GS_OK);
    CHECK_INT(gs_handle_id(handles[i]), ids[i]);
    gs_handle_release(handles[i]);
  }
  qsort(ids, IDS + 1, sizeof ids[0], by_id);
  CHECK(ids[0] != 0);
  for (int i = 1; i <= IDS; i++) CHECK(ids[i - 1] != ids[i]);
}

static void test_ids_are_unique(void **state) {
  (void)state;
  run_procs(PROCS, collect_ids, NULL);
}

/* ---- from a thread the runtime never saw ---- */

typedef struct visitor {
  wait_group wg;
  int count;
} visitor;

static void done_in_group(void *arg) { wg_done(arg); }

static void *visit(void *arg) {
  visitor *v = arg;
  for (int i = 0; i < v->count; i++) CHECK_CODE(gs_go(done_in_group, &v->wg), GS_OK);
  CHECK_INT(gs_self(), 0);
  CHECK_CODE(gs_sleep(1), GS_EPERM);
  return NULL;
}

static void receive_visitors(void *arg) {
  (void)arg;
  visitor v = {.count = SCALE(1000)};
  wg_init(&v.wg);
  pthread_t threads[3];
  for (size_t i = 0; i < COUNT(threads); i++) {
    CHECK_INT(pthread_create(&threads[i], NULL, visit, &v), 0);
  }
  wg_wait(&v.wg, (size_t)v.count * COUNT(threads));
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
}

static void test_from_foreign_threads(void **state) {
  (void)state;
  run_procs(PROCS, receive_visitors, NULL);
}

/* ---- stacks ---- */

/* Recurses until it has used `bytes` of stack below `top`; returns the number of frames. */
static __attribute__((noinline)) int descend(const char *top, ptrdiff_t bytes) {
  volatile char frame[200];
  frame[0] = 1;
  if (top - (char *)__builtin_frame_address(0) >= bytes) return frame[0];
  int below = descend(top, bytes);
  return below + frame[0];
}

static void descend_48_kib(void *arg) {
  const char *top = __builtin_frame_address(0);
  int frames = descend(top, 48 * 1024);
  gs_yield();
  CHECK_INT(descend(top, 48 * 1024), frames);
  wg_done(arg);
}

static void start_deep_ones(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  int count = SCALE(500);
  for (int i = 0; i < count; i++) go(descend_48_kib, &wg);
  wg_wait(&wg, (size_t)count);
}

static void test_deep_calls(void **state) {
  (void)state;
  run_procs(PROCS, start_deep_ones, NULL);
}

static void descend_4_mib(void *arg) {
  (void)arg;
  CHECK(descend(__builtin_frame_address(0), 4 << 20) > 1000);
}

static void test_main_has_a_large_stack(void **state) {
  (void)state;
  run_procs(PROCS, descend_4_mib, NULL);
}

/* ---- side by side ---- */

typedef struct pair {
  atomic_int here[2];
} pair;

typedef struct spinner {
  pair *both;
  int me;
} spinner;

/* Comes to an end only if both run at the same time: neither calls the runtime meanwhile. */
static void meet(void *arg) {
  spinner *s = arg;
  atomic_int *mine = &s->both->here[s->me], *other = &s->both->here[1 - s->me];
  int64_t end = gs_now() + PATIENCE;
  for (int round = 1; round <= 50; round++) {
    atomic_store(mine, round);
    while (atomic_load(other) < round && gs_now() < end) continue;
  }
  CHECK(atomic_load(other) == 50);
}

static void meet_twice(void *arg) {
  (void)arg;
  for (int i = 0; i < 2; i++) {
    pair both = {0};
    spinner s[2] = {{&both, 0}, {&both, 1}};
    gs_handle *h = go_named("spinner", meet, &s[1]);
    meet(&s[0]);
    join(h);
  }
}

static void test_two_run_side_by_side(void **state) {
  (void)state;
  run_procs(PROCS, meet_twice, NULL);
}

/* ---- gs_goexit ---- */

static __attribute__((noinline)) void leave_from_deep_inside(int depth) {
  if (depth == 0) {
    gs_goexit();
  } else {
    leave_from_deep_inside(depth - 1);
  }
  CHECK(!"code after gs_goexit ran");
}

static void leave_early(void *arg) {
  atomic_fetch_add((atomic_int *)arg, 1);
  leave_from_deep_inside(10);
  atomic_fetch_add((atomic_int *)arg, 1000);
}

static void start_early_leavers(void *arg) {
  (void)arg;
  enum { LEAVERS = 100 };
  atomic_int entered = 0;
  gs_handle *h[LEAVERS];
  for (int i = 0; i < LEAVERS; i++) h[i] = go_named(NULL, leave_early, &entered);
  for (int i = 0; i < LEAVERS; i++) {
    CHECK_CODE(gs_join(h[i], GS_FOREVER), GS_OK);
    CHECK_INT(gs_handle_done(h[i]), 1);
    gs_handle_release(h[i]);
  }
  CHECK_INT(atomic_load(&entered), LEAVERS);
}

static void test_goexit(void **state) {
  (void)state;
  run_procs(PROCS, start_early_leavers, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_100000),
      cmocka_unit_test(test_a_tree),
      cmocka_unit_test(test_ids_are_unique),
      cmocka_unit_test(test_from_foreign_threads),
      cmocka_unit_test(test_deep_calls),
      cmocka_unit_test(test_main_has_a_large_stack),
      cmocka_unit_test(test_two_run_side_by_side),
      cmocka_unit_test(test_goexit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
