/* switch.c: yield, spawn and join, channels, sleep: what green threads do among themselves.
 *
 * go/switch.go measures the same with goroutines, operation by operation: what is inside the timed
 * part here is inside it there.  Rows end in w1 or w2, the number of Ps.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "gosched.h"
#include "harness.h"

enum { RING = 1000, BURST = 1000000, BUFFER = 128, SLEEP_NS = 1000000, SLEEPS_PER_SAMPLE = 12 };

/* ---- yield -------------------------------------------------------------------------------- */

/* Green threads that take turns.  The clock runs from the moment the last of them has come to the
 * moment the last has made its turns, so their making is not measured. */
struct ring {
  int members;
  uint64_t turns; /* of each member */
  _Atomic int arrived, finished;
  int64_t start, end; /* written by the last to arrive and the last to finish */
  bench_group *group;
};

static void ring_member(void *arg) {
  struct ring *ring = arg;
  if (atomic_fetch_add(&ring->arrived, 1) + 1 == ring->members) {
    ring->start = bench_now();
  }
  while (atomic_load_explicit(&ring->arrived, memory_order_relaxed) < ring->members) {
    gs_yield();
  }
  for (uint64_t i = 0; i < ring->turns; i++) {
    gs_yield();
  }
  if (atomic_fetch_add(&ring->finished, 1) + 1 == ring->members) {
    ring->end = bench_now();
  }
  bench_group_done(ring->group);
}

static double loop_ring(void *arg, uint64_t n) {
  int members = *(int *)arg;
  uint64_t turns = (n + (uint64_t)members - 1) / (uint64_t)members;
  struct ring ring = {.members = members, .turns = turns, .group = bench_group_new(members)};
  for (int i = 0; i < members; i++) {
    bench_check("gs_go", gs_go(ring_member, &ring));
  }
  bench_group_wait(ring.group);
  return (double)(ring.end - ring.start) * (double)n / (double)(turns * (uint64_t)members);
}

static void body_ring(bench_green *g) { bench_loop_row(g->options, g->out, loop_ring, g->arg); }

static void run_yield_two(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_ring, &(bench_green){options, out, &(int){2}});
}

static void run_yield_ring(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_ring, &(bench_green){options, out, &(int){RING}});
}

/* ---- spawn and join ----------------------------------------------------------------------- */

static void do_nothing(void *arg) { (void)arg; }

static double loop_spawn_join(void *arg, uint64_t n) {
  (void)arg;
  gs_go_options options = GS_GO_OPTIONS_DEFAULT;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    gs_handle *handle;
    bench_check("gs_go_opts", gs_go_opts(&options, do_nothing, NULL, &handle));
    bench_check("gs_join", gs_join(handle, GS_FOREVER));
    gs_handle_release(handle);
  }
  return (double)(bench_now() - start);
}

static void group_member(void *arg) { bench_group_done(arg); }

static double loop_burst(void *arg, uint64_t n) {
  (void)arg;
  bench_group *group = bench_group_new(n);
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    bench_check("gs_go", gs_go(group_member, group));
  }
  bench_group_wait(group);
  return (double)(bench_now() - start);
}

static void body_spawn_join(bench_green *g) {
  bench_loop_row(g->options, g->out, loop_spawn_join, NULL);
}

static void body_burst(bench_green *g) {
  bench_fixed_row(g->options, g->out, loop_burst, NULL, BURST);
}

static void run_spawn_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_spawn_join, &(bench_green){options, out, NULL});
}

static void run_spawn_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_spawn_join, &(bench_green){options, out, NULL});
}

static void run_burst_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_burst, &(bench_green){options, out, NULL});
}

static void run_burst_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_burst, &(bench_green){options, out, NULL});
}

/* ---- channels ----------------------------------------------------------------------------- */

struct pair {
  gs_chan *there, *back;
  uint64_t n;
  bench_group *group;
};

static gs_chan *new_chan(size_t capacity) {
  gs_chan *chan;
  bench_check("gs_chan_new", gs_chan_new(sizeof(int64_t), capacity, &chan));
  return chan;
}

static void echo(void *arg) {
  struct pair *pair = arg;
  int64_t value;
  for (uint64_t i = 0; i < pair->n; i++) {
    bench_check("gs_chan_recv", gs_chan_recv(pair->there, &value, GS_FOREVER));
    bench_check("gs_chan_send", gs_chan_send(pair->back, &value, GS_FOREVER));
  }
  bench_group_done(pair->group);
}

static double loop_round_trip(void *arg, uint64_t n) {
  struct pair *pair = arg;
  pair->n = n;
  pair->group = bench_group_new(1);
  bench_check("gs_go", gs_go(echo, pair));
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    int64_t value = (int64_t)i, answer = -1;
    bench_check("gs_chan_send", gs_chan_send(pair->there, &value, GS_FOREVER));
    bench_check("gs_chan_recv", gs_chan_recv(pair->back, &answer, GS_FOREVER));
    if (answer != value) {
      bench_die("sent %lld, got %lld back", (long long)value, (long long)answer);
    }
  }
  double elapsed = (double)(bench_now() - start);
  bench_group_wait(pair->group);
  return elapsed;
}

static void produce(void *arg) {
  struct pair *pair = arg;
  for (int64_t i = 0; i < (int64_t)pair->n; i++) {
    bench_check("gs_chan_send", gs_chan_send(pair->there, &i, GS_FOREVER));
  }
  bench_group_done(pair->group);
}

static double loop_buffered(void *arg, uint64_t n) {
  struct pair *pair = arg;
  pair->n = n;
  pair->group = bench_group_new(1);
  bench_check("gs_go", gs_go(produce, pair));
  int64_t start = bench_now();
  for (int64_t i = 0; i < (int64_t)n; i++) {
    int64_t value = -1;
    bench_check("gs_chan_recv", gs_chan_recv(pair->there, &value, GS_FOREVER));
    if (value != i) {
      bench_die("item %lld came as %lld", (long long)i, (long long)value);
    }
  }
  double elapsed = (double)(bench_now() - start);
  bench_group_wait(pair->group);
  return elapsed;
}

static void body_round_trip(bench_green *g) {
  struct pair pair = {new_chan(0), new_chan(0), 0, NULL};
  bench_loop_row(g->options, g->out, loop_round_trip, &pair);
}

static void body_buffered(bench_green *g) {
  struct pair pair = {new_chan(BUFFER), NULL, 0, NULL};
  bench_loop_row(g->options, g->out, loop_buffered, &pair);
}

static void run_chan_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_round_trip, &(bench_green){options, out, NULL});
}

static void run_chan_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_round_trip, &(bench_green){options, out, NULL});
}

static void run_buffered_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_buffered, &(bench_green){options, out, NULL});
}

static void run_buffered_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_buffered, &(bench_green){options, out, NULL});
}

/* ---- sleep -------------------------------------------------------------------------------- */

static void body_sleep(bench_green *g) {
  for (int i = 0; i < g->options->samples * SLEEPS_PER_SAMPLE; i++) {
    int64_t start = bench_now();
    bench_check("gs_sleep", gs_sleep(SLEEP_NS));
    bench_push(g->out, (double)(bench_now() - start - SLEEP_NS) / 1e3);
  }
}

static void run_sleep(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_sleep, &(bench_green){options, out, NULL});
}

const bench_row bench_rows_switch[] = {
    {"yield.two", "ns", run_yield_two},     {"yield.ring", "ns", run_yield_ring},
    {"spawn.join.w1", "ns", run_spawn_w1},  {"spawn.join.w2", "ns", run_spawn_w2},
    {"spawn.burst.w1", "ns", run_burst_w1}, {"spawn.burst.w2", "ns", run_burst_w2},
    {"chan.w1", "ns", run_chan_w1},         {"chan.w2", "ns", run_chan_w2},
    {"buffered.w1", "ns", run_buffered_w1}, {"buffered.w2", "ns", run_buffered_w2},
    {"sleep.1ms", "us", run_sleep},         {NULL, NULL, NULL},
};
