/* barriers.c: Dekker's pattern where one side pays for both.
 *
 * The light side stores and looks with nothing but the compiler kept in order, so its store may
 * still be on its way when it looks.  The heavy side stores, makes a barrier on every thread, and
 * looks.  In each round both do it at the same moment, on two CPUs: at least one must see the
 * other.  handshake.c does the same with the pair of sc and pw.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "chan.h"

static atomic_int round_no, done_no;
static uint32_t stop;
static int light_saw, broken;
static void (*light)(void);

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
  sched_setaffinity(0, sizeof set, &set);
}

/* With as many CPUs as threads they meet within nanoseconds, with fewer at all. */
static void wait_for(atomic_int *word, int n) {
  for (int i = 0; atomic_load(word) < n && !load_rlx(&stop); i++)
    if (i > 10000) sched_yield();
}

static void *light_side(void *arg) {
  (void)arg;
  pin(0);
  for (int n = 1; !load_rlx(&stop); n++) {
    wait_for(&round_no, n);
    if (load_rlx(&stop)) break;
    light();
    atomic_store(&done_no, n);
  }
  return NULL;
}

static void rounds(void (*reset)(void), void (*light_)(void), void (*heavy)(void),
                   void (*judge)(void)) {
  pthread_t t;
  uint64_t seed = 88172645463325252u;
  assert_int_equal(gs_boot(), GS_OK);
  if (SC_FENCE_NOW || load_rlx(&gs_sched.fenced)) {
    print_message("skipped: this build or kernel has no membarrier, every M fences\n");
    skip();
  }
  alarm((unsigned)(PATIENCE / 1000000000)); /* a lock that two have taken may stay so */
  light = light_;
  store_rlx(&stop, 0);
  broken = 0;
  atomic_store(&round_no, 0);
  atomic_store(&done_no, 0);
  assert_int_equal(pthread_create(&t, NULL, light_side, NULL), 0);
  pin(1);
  int64_t until = os_now() + (SLOW_BUILD ? MS(1000) : MS(2000));
  int n = 0;
  while (os_now() < until && !broken) {
    n++;
    reset();
    atomic_store(&round_no, n);
    for (uint64_t k = random_next(&seed) % 100; k; k--) compiler_fence();
    heavy();
    wait_for(&done_no, n);
    judge();
  }
  store_rlx(&stop, 1);
  pthread_join(t, NULL);
  alarm(0);
  print_message("%d rounds\n", n);
  assert_int_equal(broken, 0);
}

/* ---- a canceller against a G that parks (g.c, proc.c) ---- */

static G *parker;
static int claimed;

static void cancel_reset(void) {
  store_rlx(&parker->park, PARK_NO);
  store_rlx(&parker->cancelled, 0);
}
static void cancel_light(void) {
  store_rel(&parker->park, PARKED);
  compiler_fence();
  light_saw = load_rlx(&parker->cancelled) != 0;
}
static void cancel_heavy(void) { claimed = g_cancel(parker); }
static void cancel_judge(void) { broken |= !light_saw && !claimed; }

static void test_cancel(void **state) {
  (void)state;
  parker = aligned_alloc(_Alignof(G), sizeof *parker);
  assert_non_null(parker);
  memset(parker, 0, sizeof *parker);
  rounds(cancel_reset, cancel_light, cancel_heavy, cancel_judge);
  free(parker);
}

/* ---- a channel's lone P against the first other user (chan.h) ---- */

static gs_chan *c;
static M *lone;
static volatile int inside;

static void bias_reset(void) { store_rlx(&c->bias, lone->p); }
static void bias_light(void) {
  for (int i = 0; i < 20; i++) {
    chan_lock(c, lone);
    inside = 1;
    for (int k = 0; k < 200; k++) compiler_fence();
    if (inside != 1) broken = 1;
    inside = 0;
    chan_unlock(c);
  }
}
static void bias_heavy(void) {
  chan_lock(c, NULL);
  if (inside) broken = 1;
  inside = 2;
  for (int k = 0; k < 50; k++) compiler_fence();
  if (inside != 2) broken = 1;
  inside = 0;
  chan_unlock(c);
}
static void bias_judge(void) {}

static void test_bias(void **state) {
  (void)state;
  assert_int_equal(gs_chan_new(0, 0, &c), GS_OK);
  lone = aligned_alloc(_Alignof(M), sizeof *lone);
  assert_non_null(lone);
  memset(lone, 0, sizeof *lone);
  lone->p = aligned_alloc(_Alignof(P), sizeof(P));
  assert_non_null(lone->p);
  rounds(bias_reset, bias_light, bias_heavy, bias_judge);
  free(lone->p);
  free(lone);
  assert_int_equal(gs_chan_free(c), GS_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_bias),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
