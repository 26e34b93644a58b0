/* sync.c: select over four channels, and a mutex that eight green threads contend for.
 *
 * go/sync.go measures the same with goroutines, operation by operation.  Rows end in w1 or w2, the
 * number of Ps.
 */
#include <stdlib.h>

#include "gosched.h"
#include "harness.h"

enum { CASES = 4, CONTENDERS = 8 };

/* ---- select ------------------------------------------------------------------------------- */

struct four {
  gs_chan *chan[CASES];
  uint64_t n;
  bench_group *group;
};

/* Sends to the four in turn. */
static void send_to_four(void *arg) {
  struct four *four = arg;
  for (int64_t i = 0; i < (int64_t)four->n; i++) {
    bench_check("gs_chan_send", gs_chan_send(four->chan[i % CASES], &i, GS_FOREVER));
  }
  bench_group_done(four->group);
}

static double loop_select(void *arg, uint64_t n) {
  struct four *four = arg;
  int64_t value = -1, sum = 0;
  gs_select_case cases[CASES];
  for (int i = 0; i < CASES; i++) {
    cases[i] = (gs_select_case){GS_RECV, four->chan[i], &value};
  }
  four->n = n;
  four->group = bench_group_new(1);
  bench_check("gs_go", gs_go(send_to_four, four));
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    size_t chosen;
    bench_check("gs_select", gs_select(cases, CASES, GS_FOREVER, &chosen));
    sum += value;
  }
  double elapsed = (double)(bench_now() - start);
  if (sum != (int64_t)n * ((int64_t)n - 1) / 2) {
    bench_die("what was received adds up to %lld", (long long)sum);
  }
  bench_group_wait(four->group);
  return elapsed;
}

static void body_select(bench_green *g) {
  struct four four = {{NULL}, 0, NULL};
  for (int i = 0; i < CASES; i++) {
    bench_check("gs_chan_new", gs_chan_new(sizeof(int64_t), 0, &four.chan[i]));
  }
  bench_loop_row(g->options, g->out, loop_select, &four);
}

/* ---- mutex -------------------------------------------------------------------------------- */

struct contended {
  gs_mutex mutex;
  uint64_t each, counter; /* counter: under the mutex */
  bench_group *group;
};

static void contend(void *arg) {
  struct contended *c = arg;
  for (uint64_t i = 0; i < c->each; i++) {
    bench_check("gs_mutex_lock", gs_mutex_lock(&c->mutex, GS_FOREVER));
    c->counter++;
    bench_check("gs_mutex_unlock", gs_mutex_unlock(&c->mutex));
  }
  bench_group_done(c->group);
}

static double loop_mutex(void *arg, uint64_t n) {
  struct contended *c = arg;
  c->each = (n + CONTENDERS - 1) / CONTENDERS;
  c->counter = 0;
  c->group = bench_group_new(CONTENDERS);
  int64_t start = bench_now();
  for (int i = 0; i < CONTENDERS; i++) {
    bench_check("gs_go", gs_go(contend, c));
  }
  bench_group_wait(c->group);
  double elapsed = (double)(bench_now() - start);
  if (c->counter != c->each * CONTENDERS) {
    bench_die("the counter is %llu", (unsigned long long)c->counter);
  }
  return elapsed * (double)n / (double)(c->each * CONTENDERS);
}

static void body_mutex(bench_green *g) {
  struct contended c = {.counter = 0};
  bench_loop_row(g->options, g->out, loop_mutex, &c);
}

/* ---- rows --------------------------------------------------------------------------------- */

static void run_select_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_select, &(bench_green){options, out, NULL});
}

static void run_select_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_select, &(bench_green){options, out, NULL});
}

static void run_mutex_w1(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_mutex, &(bench_green){options, out, NULL});
}

static void run_mutex_w2(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_mutex, &(bench_green){options, out, NULL});
}

const bench_row bench_rows_sync[] = {
    {"select.four.w1", "ns", run_select_w1},
    {"select.four.w2", "ns", run_select_w2},
    {"mutex.eight.w1", "ns", run_mutex_w1},
    {"mutex.eight.w2", "ns", run_mutex_w2},
    {NULL, NULL, NULL},
};
