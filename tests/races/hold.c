/* hold.c: see hold.h. */
#include "hold.h"

#include <unistd.h>

enum { IDLE, ARMED, HELD, OVER };
enum { MOST = 4 };

static _Atomic(Hold *) holds[MOST];

#if GS_TORTURE

static void stand(Hold *h) {
  int64_t end = os_now() + (h->most ? h->most : MS(100));
  while (atomic_load(&h->state) == HELD && !(h->until && h->until()) && os_now() < end)
    os_sleep_ns(20000);
  atomic_store(&h->state, OVER);
}

static bool at_window(const char *function) {
  for (int i = 0; i < MOST; i++) {
    Hold *h = atomic_load(&holds[i]);
    int armed = ARMED;
    if (!h || atomic_load(&h->state) != ARMED || strcmp(h->where, function) != 0) continue;
    if (h->mine && !h->mine()) continue;
    if (!atomic_compare_exchange_strong(&h->state, &armed, HELD)) continue;
    int e = *os_errno_at();
    stand(h);
    *os_errno_at() = e;
    return true;
  }
  return false;
}

#endif

void hold(Hold *h) {
  atomic_store(&h->state, ARMED);
  for (int i = 0; i < MOST; i++) {
    Hold *none = NULL;
    if (atomic_load(&holds[i]) == h || atomic_compare_exchange_strong(&holds[i], &none, h)) return;
  }
  fprintf(stderr, "more than %d holds\n", MOST);
  _exit(3);
}

void hold_end(Hold *h) {
  int armed = ARMED;
  if (!atomic_compare_exchange_strong(&h->state, &armed, IDLE)) atomic_store(&h->state, OVER);
}
bool held(Hold *h) { return atomic_load(&h->state) == HELD; }
bool hold_over(Hold *h) { return atomic_load(&h->state) == OVER; }

bool is_parked(const G *g) { return g && load_acq(&g->park) == PARKED; }

G *g_named(const char *name) {
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (load_acq(&g->status) != Gdead && strcmp(g->name, name) == 0) return g;
  return NULL;
}

/* ---- scenarios ---- */

static const HeldTest *now;

static int run_one(void) {
  alarm(25);
  gs_sched.test_flags = TEST_NO_RELIEF | TEST_NO_QUEUED; /* what waits keeps its P */
#if GS_TORTURE
  store_rel(&torture_hook, at_window);
#endif
  if (now->procs)
    run_procs(now->procs, now->fn, NULL);
  else
    now->fn(NULL);
  return checks_failed() != 0;
}

static void in_a_child(void **state) {
  const HeldTest *t = *state;
#if GS_TORTURE
  child c;
  child_run(&c, t->name, NULL);
  assert_child_exit(&c, 0);
#else
  (void)t;
  print_message("skipped: only the torture build has windows\n");
  skip();
#endif
}

int held_main(int argc, char **argv, const HeldTest *table, size_t n) {
  scenario s[64];
  struct CMUnitTest t[64];
  if (n > COUNT(s)) return 1;
  for (size_t i = 0; i < n; i++) {
    s[i] = (scenario){table[i].name, run_one};
    t[i] = (struct CMUnitTest){table[i].name, in_a_child, NULL, NULL, (void *)(uintptr_t)&table[i]};
    if (argc == 3 && strcmp(argv[2], table[i].name) == 0) now = &table[i];
  }
  scenarios_main(argc, argv, s, n);
  return _cmocka_run_group_tests("held", t, n, NULL, NULL);
}
