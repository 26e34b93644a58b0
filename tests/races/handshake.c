/* handshake.c: does the retake handshake ever let two sides go on with the same P?
 *
 * A few threads play Ms: they leave and enter the runtime by the very functions that the scheduler
 * uses (sc_leave, sc_enter, the comparison of pw, wait_unlocked), with short and now and then long
 * stretches outside.  One thread plays sysmon and takes their Ps with retake_batch.  Whoever
 * believes that it holds a P writes its name into it, counts, and looks whether its name is still
 * there.  A lost count or a strange name is a P with two holders.
 *
 * The same is done with FENCED stretches, where the M pays instead of the retaker, and with both
 * mixed; and with one thread that stops the world, or visits every P.  That the test can see a
 * broken handshake is shown by the patches in tests/mutants.
 */
#include "support.h"

#include "runtime.h"

#include <sched.h>
#include <unistd.h>

#define NM 3

typedef struct {
  volatile int holder;
  volatile uint64_t count;
} Use;

typedef struct {
  M *m;
  int id;
  uint64_t uses, lost;
} Player;

static P *ps[NM];
static Use uses[NM];
static M *ms[NM];
static P *pool[NM];
static int npool;
static Lock pool_lock;
static uint32_t stop, broken;
static enum { PLAIN, FENCE, MIXED } mode;

static void put_pool(P *p) {
  lock(&pool_lock);
  pool[npool++] = p;
  unlock(&pool_lock);
}

static P *get_pool(void) {
  lock(&pool_lock);
  P *p = npool ? pool[--npool] : NULL;
  unlock(&pool_lock);
  return p;
}

/* Everything that only the holder of p may do. */
static void use(P *p, int who, int spin) {
  Use *u = &uses[p->id];
  if (u->holder != 0) store_rlx(&broken, 1);
  u->holder = who;
  u->count++;
  for (; spin; spin--) compiler_fence();
  if (u->holder != who) store_rlx(&broken, 1);
  u->holder = 0;
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
  sched_setaffinity(0, sizeof set, &set);
}

/* All players share one CPU and the retaker has the other: a player that is stopped between its
 * store and its load is the interesting one. */
static void *player(void *arg) {
  Player *me = arg;
  M *m = me->m;
  uint64_t rnd = (uint64_t)me->id * 0x9e3779b97f4a7c15u + 1;
  pin(0);
  for (uint64_t i = 0; !load_rlx(&stop); i++) {
    /* Now and then for longer than a retaker's barrier takes. */
    use(m->p, me->id, (i & 127) == 0 ? 60000 : 0);
    me->uses++;
    bool fence = mode == FENCE || (mode == MIXED && (i >> 6 & 1));
    store_rel(&m->sc, sc_next(m->sc, SC_CALL | (fence ? SC_FENCED : 0)));
    compiler_fence();
    uint64_t r = random_next(&rnd);
    for (uint64_t k = (r & 255) == 0 ? r >> 8 & 0x7fff : r >> 8 & 7; k; k--) compiler_fence();
    sc_enter(m, m->sc);
    if (load_acq(&m->pw) == (uintptr_t)m->p || wait_unlocked(m, m->p)) continue;
    me->lost++;
    m->p = &gs_nop;
    P *p;
    while (!(p = get_pool()))
      if (load_rlx(&stop))
        return NULL;
      else
        sched_yield();
    acquirep(m, p);
  }
  return NULL;
}

static uint64_t takes, taker_uses;

/* For a while, and on a busy machine until there was something to see. */
static void retaker(int64_t until) {
  uint64_t rnd = 88172645463325252u;
  int64_t patience = until + PATIENCE;
  pin(1);
  while (!load_rlx(&broken) && os_now() < (takes == 0 ? patience : until)) {
    Retake r[NM];
    int n = 0;
    for (int i = 0; i < NM; i++) {
      M *m = ms[(random_next(&rnd) + (uint64_t)i) % NM];
      uint64_t sc = load_acq(&m->sc);
      P *p = (P *)(load_acq(&m->pw) & ~PW_LOCK);
      bool twice = n && r[n - 1].m == m;
      if (p && !twice && (sc & SC_MODE) == SC_CALL) r[n++] = (Retake){.p = p, .m = m, .sc = sc};
    }
    retake_batch(r, n);
    for (int i = 0; i < n; i++) {
      if (!r[i].taken) continue;
      takes++;
      for (int k = 0; k < 3; k++) {
        use(r[i].p, 99, 0);
        taker_uses++;
      }
      put_pool(r[i].p);
    }
  }
}

/* A hand-over that is lost, or a stop that never ends, ends the program. */
static void watch(void) { alarm((unsigned)(PATIENCE / 1000000000) + 10); }

static void one_holder(int which) {
  Player players[NM];
  pthread_t threads[NM];
  mode = which;
  stop = broken = 0;
  watch();
  takes = taker_uses = 0;
  npool = 0;
  for (int i = 0; i < NM; i++) {
    ps[i]->m = NULL;
    memset(ms[i], 0, sizeof *ms[i]);
    ms[i]->p = ms[i]->oldp = &gs_nop;
    uses[i] = (Use){0, 0};
    acquirep(ms[i], ps[i]);
    players[i] = (Player){.m = ms[i], .id = i + 1};
    assert_int_equal(pthread_create(&threads[i], NULL, player, &players[i]), 0);
  }
  retaker(os_now() + (SLOW_BUILD ? MS(1500) : MS(3000)));
  store_rlx(&stop, 1);
  uint64_t used = taker_uses, counted = 0;
  for (int i = 0; i < NM; i++) {
    pthread_join(threads[i], NULL);
    used += players[i].uses;
  }
  alarm(0);
  for (int i = 0; i < NM; i++) counted += uses[i].count;
  print_message("%llu uses, %llu takes\n", (unsigned long long)used, (unsigned long long)takes);
  assert_int_equal(broken, 0);
  assert_int_equal(counted, used);
  assert_true(takes > 0);
}

static void plain_calls(void **state) {
  (void)state;
  if (load_rlx(&gs_sched.fenced) || SC_FENCE_NOW) {
    print_message("skipped: this build or kernel has no membarrier, every M fences\n");
    skip();
  }
  one_holder(PLAIN);
}

static void fenced_calls(void **state) {
  (void)state;
  one_holder(FENCE);
}

static void both_kinds(void **state) {
  (void)state;
  if (load_rlx(&gs_sched.fenced) || SC_FENCE_NOW) {
    print_message("skipped: this build or kernel has no membarrier, every M fences\n");
    skip();
  }
  one_holder(MIXED);
}

/* ---- the same against one who stops the world, or visits every P (stw.c) ----
 *
 * The Ps are those of a domain in which no green thread ever runs.  While the world is stopped, and
 * while a P is visited, nobody else uses it; afterwards it is the M's again. */

static Domain *still;

static void *visited_player(void *arg) {
  Player *me = arg;
  M *m = me->m;
  uint64_t rnd = (uint64_t)me->id * 0x9e3779b97f4a7c15u + 1;
  pin(0);
  while (!load_rlx(&stop)) {
    uint64_t r = random_next(&rnd);
    use(m->p, me->id, (int)(r & 1023));
    me->uses++;
    sc_leave(m, SC_USER);
    for (uint64_t k = (r & 0xff0000) == 0 ? r >> 24 & 0x7fff : r >> 24 & 15; k; k--)
      compiler_fence();
    sc_enter(m, m->sc);
    if (load_acq(&m->pw) != (uintptr_t)m->p && !wait_unlocked(m, m->p)) store_rlx(&broken, 1);
  }
  return NULL;
}

static void use_visited(const gs_p_info *p, void *arg) {
  (void)arg;
  if (strcmp(p->domain, "still") != 0) return;
  use(still->allp[p->id], 99, 3);
  taker_uses++;
}

static void stop_and_use(void) {
  stop_world("handshake");
  for (int i = 0; i < NM; i++) {
    use(still->allp[i], 99, 3);
    taker_uses++;
  }
  start_world();
}

static void nobody_moves(bool visit) {
  Player players[NM];
  pthread_t threads[NM];
  stop = broken = 0;
  taker_uses = 0;
  if (!still) assert_int_equal(gs_domain_new("still", NM, 0, NULL, NULL, &still), GS_OK);
  watch();
  for (int i = 0; i < NM; i++) {
    memset(ms[i], 0, sizeof *ms[i]);
    ms[i]->p = ms[i]->oldp = &gs_nop;
    lock(&still->lock);
    P *p = pidleget(still);
    unlock(&still->lock);
    acquirep(ms[i], p);
    uses[p->id] = (Use){0, 0};
    players[i] = (Player){.m = ms[i], .id = i + 1};
    assert_int_equal(pthread_create(&threads[i], NULL, visited_player, &players[i]), 0);
  }
  pin(1);
  int64_t until = os_now() + (SLOW_BUILD ? MS(1500) : MS(3000));
  do
    if (visit)
      assert_int_equal(gs_for_each_p(use_visited, NULL), GS_OK);
    else
      stop_and_use();
  while (!load_rlx(&broken) && os_now() < until);
  store_rlx(&stop, 1);
  uint64_t used = taker_uses, counted = 0;
  for (int i = 0; i < NM; i++) {
    pthread_join(threads[i], NULL);
    used += players[i].uses;
  }
  for (int i = 0; i < NM; i++) counted += uses[i].count;
  for (int i = 0; i < NM; i++) {
    P *p = releasep(ms[i]);
    lock(&still->lock);
    pidleput(p);
    unlock(&still->lock);
  }
  alarm(0);
  print_message("%llu uses, %llu of them in between\n", (unsigned long long)used,
                (unsigned long long)taker_uses);
  assert_int_equal(broken, 0);
  assert_int_equal(counted, used);
  assert_true(taker_uses > 0);
}

static void the_world_is_stopped(void **state) {
  (void)state;
  nobody_moves(false);
}

static void every_p_is_visited(void **state) {
  (void)state;
  nobody_moves(true);
}

/* An M that went in and out again between the judgement and the confirmation keeps its P, although
 * it is outside both times. */
static void another_stretch_is_not_the_same(void **state) {
  (void)state;
  memset(ms[0], 0, sizeof *ms[0]);
  ms[0]->p = ms[0]->oldp = &gs_nop;
  acquirep(ms[0], ps[0]);
  ms[0]->sc = sc_next(ms[0]->sc, SC_USER | SC_FENCED);
  Retake r = {.p = ps[0], .m = ms[0], .sc = ms[0]->sc};
  ms[0]->sc = sc_next(ms[0]->sc, SC_INSIDE);
  ms[0]->sc = sc_next(ms[0]->sc, SC_USER | SC_FENCED);
  retake_batch(&r, 1);
  assert_false(r.taken);
  assert_ptr_equal(ms[0]->pw, ps[0]);
  /* And in the same stretch it is taken. */
  r.sc = ms[0]->sc;
  retake_batch(&r, 1);
  assert_true(r.taken);
  assert_int_equal(ms[0]->pw, 0);
}

/* They stay: the process's own sysmon may just be looking at one. */
static int set_up(void **state) {
  (void)state;
  if (gs_boot() != GS_OK) return -1;
  for (int i = 0; i < NM; i++) {
    ms[i] = aligned_alloc(_Alignof(M), sizeof(M));
    ps[i] = aligned_alloc(_Alignof(P), sizeof(P));
    memset(ps[i], 0, sizeof(P));
    ps[i]->id = (uint32_t)i;
    ps[i]->d = &gs_native;
  }
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_calls),          cmocka_unit_test(fenced_calls),
      cmocka_unit_test(both_kinds),           cmocka_unit_test(another_stretch_is_not_the_same),
      cmocka_unit_test(the_world_is_stopped), cmocka_unit_test(every_p_is_visited),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
