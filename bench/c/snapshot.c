/* snapshot.c: what it costs to look at many green threads.
 *
 * spec.snapshot         one gs_snapshot, and freeing it, while 100,000 green threads are parked, by
 *                       a thread that runs none
 * spec.snapshot.beside  a gs_yield of two green threads on one P meanwhile, on which such a thread
 *                       has no influence but that of any other program: it stops nobody
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "gosched.h"
#include "harness.h"

enum { MANY = 100000 };

static gs_chan *never;
static _Atomic int stop, parked, samples_done;
static const bench_options *options;
static bench_result *result;

static void park(void *arg) {
  atomic_fetch_add(&parked, 1);
  (void)gs_chan_recv(never, NULL, GS_FOREVER);
  bench_group_done(arg);
}

static bench_group *park_many(void) {
  bench_group *group = bench_group_new(MANY);
  bench_check("gs_chan_new", gs_chan_new(0, 0, &never));
  for (int i = 0; i < MANY; i++) bench_check("gs_go", gs_go(park, group));
  while (atomic_load(&parked) < MANY) bench_check("gs_sleep", gs_sleep(1000000));
  return group;
}

static void let_go(bench_group *group) {
  bench_check("gs_chan_close", gs_chan_close(never));
  bench_group_wait(group);
}

static double snapshot_ms(void) {
  gs_snapshot_data *s;
  int64_t start = bench_now();
  bench_check("gs_snapshot", gs_snapshot(&s));
  size_t n = s->ng;
  gs_snapshot_free(s);
  double ms = (double)(bench_now() - start) / 1e6;
  if (n < MANY) bench_die("%zu green threads are in the snapshot", n);
  return ms;
}

static void *take_samples(void *arg) {
  (void)arg;
  (void)snapshot_ms();
  for (int i = 0; i < options->samples; i++) bench_push(result, snapshot_ms());
  atomic_store(&samples_done, 1);
  return NULL;
}

static void *take_on(void *arg) {
  (void)arg;
  while (!atomic_load(&stop)) (void)snapshot_ms();
  return NULL;
}

static void body_snapshot(bench_green *g) {
  pthread_t t;
  bench_group *group = park_many();
  options = g->options;
  result = g->out;
  if (pthread_create(&t, NULL, take_samples, NULL)) bench_die("no thread");
  while (!atomic_load(&samples_done)) bench_check("gs_sleep", gs_sleep(1000000));
  pthread_join(t, NULL);
  let_go(group);
}

/* ---- beside --------------------------------------------------------------------------------- */

static void yield_on(void *arg) {
  while (!atomic_load(&stop)) gs_yield();
  bench_group_done(arg);
}

static double loop_yield(void *arg, uint64_t n) {
  (void)arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) gs_yield();
  return (double)(bench_now() - start) / 2; /* the other one has yielded as often */
}

static void yields(bench_green *g, int looks) {
  pthread_t t;
  bench_group *group = park_many(), *other = bench_group_new(1);
  if (looks && pthread_create(&t, NULL, take_on, NULL)) bench_die("no thread");
  bench_check("gs_go", gs_go(yield_on, other));
  bench_loop_row(g->options, g->out, loop_yield, NULL);
  atomic_store(&stop, 1);
  bench_group_wait(other);
  if (looks) pthread_join(t, NULL);
  let_go(group);
}

static void body_beside(bench_green *g) { yields(g, 1); }
static void body_alone(bench_green *g) { yields(g, 0); }

/* ---- rows ----------------------------------------------------------------------------------- */

static void run_snapshot(const bench_options *o, bench_result *out) {
  bench_run_green(1, body_snapshot, &(bench_green){o, out, NULL});
}

static void run_beside(const bench_options *o, bench_result *out) {
  bench_run_green(1, body_beside, &(bench_green){o, out, NULL});
}

static void run_alone(const bench_options *o, bench_result *out) {
  bench_run_green(1, body_alone, &(bench_green){o, out, NULL});
}

const bench_row bench_rows_snapshot[] = {
    {"spec.snapshot", "ms", run_snapshot},
    {"spec.snapshot.beside", "ns", run_beside},
    {"spec.snapshot.alone", "ns", run_alone},
    {NULL, NULL, NULL},
};
