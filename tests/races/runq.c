/* runq.c: the local queue of a P (Go's SchedLocalQueue, SchedLocalQueueSteal,
 * SchedLocalQueueEmpty, StealOrder).
 *
 * The Gs here are never run: they are only told apart.
 */
#include "support.h"

#include "runtime.h"

enum { NG = RUNQ_SIZE };

static G *gs;
static P *ps[2];

static void reset(P *p) {
  memset(p, 0, sizeof *p);
  p->d = &gs_native;
}

static void test_put_and_get(void **state) {
  (void)state;
  P *p = ps[0];
  bool inherit;
  reset(p);
  assert_null(runqget(p, &inherit));
  for (uint32_t i = 0; i < NG; i++) {
    for (uint32_t k = 0; k < i; k++) runqput(p, &gs[k], false);
    assert_int_equal(runqlen(p), i);
    assert_int_equal(runqempty(p), i == 0);
    for (uint32_t k = 0; k < i; k++) {
      assert_ptr_equal(runqget(p, &inherit), &gs[k]);
      assert_false(inherit);
    }
    assert_null(runqget(p, &inherit));
  }
  /* The one of honour comes first, and the one that it displaced last. */
  runqput(p, &gs[0], false);
  runqput(p, &gs[1], true);
  runqput(p, &gs[2], true);
  assert_ptr_equal(runqget(p, &inherit), &gs[2]);
  assert_true(inherit);
  assert_ptr_equal(runqget(p, &inherit), &gs[0]);
  assert_ptr_equal(runqget(p, &inherit), &gs[1]);
  assert_true(runqempty(p));
}

/* Half of what is there, each once. */
static void test_steal(void **state) {
  (void)state;
  bool inherit;
  uint8_t seen[NG];
  for (uint32_t i = 0; i < NG; i++) {
    P *victim = ps[0], *thief = ps[1];
    reset(victim);
    reset(thief);
    memset(seen, 0, sizeof seen);
    for (uint32_t k = 0; k < i; k++) runqput(victim, &gs[k], false);
    uint32_t got = 0;
    G *g = runqsteal(thief, victim, false);
    assert_int_equal(g != NULL, i != 0);
    for (; g; g = runqget(thief, &inherit)) {
      seen[g - gs]++;
      got++;
    }
    assert_int_equal(got, i - i / 2);
    while ((g = runqget(victim, &inherit))) seen[g - gs]++;
    for (uint32_t k = 0; k < i; k++) assert_int_equal(seen[k], 1);
  }
}

/* A queue that always holds a G is never seen empty, although its G goes from runnext to the ring
 * while somebody looks. */
static atomic_int stop;

static void *displace(void *arg) {
  P *p = arg;
  bool inherit;
  uint32_t at = 0; /* which one is in runnext; the ring is empty */
  for (; !atomic_load(&stop); at ^= 1) {
    G *kicked = &gs[at], *other = &gs[at ^ 1];
    runqput(p, other, true);
    if (runqget(p, &inherit) != other || !inherit) return (void *)"runnext";
    runqput(p, other, true);
    if (runqsteal(ps[1], p, false) != kicked) return (void *)"ring";
  }
  return NULL;
}

static void test_never_empty_by_mistake(void **state) {
  (void)state;
  P *p = ps[0];
  pthread_t thread;
  void *what = NULL;
  reset(p);
  reset(ps[1]);
  runqput(p, &gs[0], true);
  atomic_store(&stop, 0);
  assert_int_equal(pthread_create(&thread, NULL, displace, p), 0);
  int64_t until = gs_now() + (SLOW_BUILD ? MS(300) : MS(1000));
  bool empty = false;
  while (gs_now() < until && !empty)
    for (int i = 0; i < 1000 && !empty; i++) empty = runqempty(p);
  atomic_store(&stop, 1);
  pthread_join(thread, &what);
  assert_null(what);
  assert_false(empty);
}

/* ---- an owner and its thieves: every G is in one place ----
 *
 * What is out of all queues waits in a pool, from where the owner puts it back. */

enum { THIEVES = 2, MANY = 3 * RUNQ_SIZE };

static G *crowd;
static P *thieves[THIEVES];
static Lock pool_lock;
static G *pool[MANY];
static uint32_t in_pool;
static atomic_int wrong;

static void into_pool(G *g) {
  if (!CAS(&g->locks, 1, 0)) atomic_fetch_add(&wrong, 1); /* it was taken twice */
  lock(&pool_lock);
  if (in_pool < MANY) pool[in_pool++] = g;
  unlock(&pool_lock);
}

static G *out_of_pool(void) {
  lock(&pool_lock);
  G *g = in_pool ? pool[--in_pool] : NULL;
  unlock(&pool_lock);
  if (g && !CAS(&g->locks, 0, 1)) atomic_fetch_add(&wrong, 1);
  return g;
}

static void *steal_all_the_time(void *arg) {
  P *p = arg;
  uint64_t seed = 88172645463325252u + p->id;
  bool inherit;
  while (!atomic_load(&stop)) {
    G *g = runqsteal(p, ps[0], random_next(&seed) % 2);
    for (; g; g = runqget(p, &inherit)) into_pool(g);
  }
  return NULL;
}

static void own(P *p, uint64_t *seed) {
  bool inherit;
  uint64_t r = random_next(seed);
  G *g;
  for (uint32_t i = r % (RUNQ_SIZE + 3); i && (g = out_of_pool()); i--)
    runqput(p, g, random_next(seed) % 3 == 0);
  for (uint32_t i = (r >> 16) % (RUNQ_SIZE + 3); i && (g = runqget(p, &inherit)); i--) into_pool(g);
  lock(&gs_native.lock);
  while ((g = globrunqget(p, 1))) into_pool(g); /* what the ring had no room for */
  unlock(&gs_native.lock);
}

static void test_owner_and_thieves(void **state) {
  (void)state;
  pthread_t threads[THIEVES];
  uint64_t seed = 7;
  reset(ps[0]);
  memset(crowd, 0, MANY * sizeof *crowd);
  for (in_pool = 0; in_pool < MANY; in_pool++) pool[in_pool] = &crowd[in_pool];
  atomic_store(&stop, 0);
  for (uint32_t i = 0; i < THIEVES; i++) {
    reset(thieves[i]);
    thieves[i]->id = i + 1;
    assert_int_equal(pthread_create(&threads[i], NULL, steal_all_the_time, thieves[i]), 0);
  }
  int64_t until = gs_now() + (SLOW_BUILD ? MS(1500) : MS(3000));
  while (gs_now() < until && !atomic_load(&wrong))
    for (int i = 0; i < 100; i++) own(ps[0], &seed);
  atomic_store(&stop, 1);
  for (int i = 0; i < THIEVES; i++) pthread_join(threads[i], NULL);
  for (bool inherit, more = true; more;) {
    G *g = runqget(ps[0], &inherit);
    if ((more = g != NULL)) into_pool(g);
  }
  assert_int_equal(atomic_load(&wrong), 0);
  assert_int_equal(in_pool, MANY);
}

/* Whatever number of Ps there is: a G on any of them is found by a thief that starts anywhere. */
static atomic_int found;

static void take_notice(void *arg) {
  (void)arg;
  atomic_fetch_add(&found, 1);
}

static void spread(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(200) && !checks_failed(); i++) {
    int before = atomic_load(&found);
    for (int k = 0; k < 7; k++) go(take_notice, NULL);
    int64_t until = in_ms(20000);
    /* This one computes and never gives way: others must come and steal all of them. */
    while (atomic_load(&found) < before + 7 && gs_now() < until) continue;
    CHECK_INT(atomic_load(&found), before + 7);
  }
}

static void test_steal_reaches_everybody(void **state) {
  (void)state;
  run_procs(5, spread, NULL);
}

static int set_up(void **state) {
  (void)state;
  gs = aligned_alloc(_Alignof(G), NG * sizeof *gs);
  if (!gs || gs_boot() != GS_OK) return -1;
  memset(gs, 0, NG * sizeof *gs);
  if (!(crowd = aligned_alloc(_Alignof(G), MANY * sizeof *crowd))) return -1;
  for (int i = 0; i < THIEVES; i++)
    if (!(thieves[i] = aligned_alloc(_Alignof(P), sizeof(P)))) return -1;
  for (int i = 0; i < 2; i++)
    if (!(ps[i] = aligned_alloc(_Alignof(P), sizeof(P)))) return -1;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  free(gs);
  free(crowd);
  for (int i = 0; i < THIEVES; i++) free(thieves[i]);
  free(ps[0]);
  free(ps[1]);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_put_and_get),
      cmocka_unit_test(test_steal),
      cmocka_unit_test(test_never_empty_by_mistake),
      cmocka_unit_test(test_owner_and_thieves),
      cmocka_unit_test(test_steal_reaches_everybody),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
