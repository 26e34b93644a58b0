/* many.c: many green threads: trees of them, many that sleep, many that only wait.
 *
 * forkjoin   fib(27) with a green thread for one half of every split: 317,810 births and joins
 * skynet     a tree of a million leaves, ten children a node; sums come back over channels
 * sleep      100,000 green threads sleep 100 ms
 * memory     what one green thread costs that has parked, page tables included: resident memory of
 *            the process with N of them less that before, by N
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gosched.h"
#include "harness.h"

enum { FIB = 27, FIB_VALUE = 196418, LEAVES = 1000000, SLEEPERS = 100000, CHILDREN = 10 };

/* ---- fork and join ------------------------------------------------------------------------ */

struct half {
  int n;
  long value;
};

static long fib(int n);

static void fib_half(void *arg) {
  struct half *half = arg;
  half->value = fib(half->n);
}

static long fib(int n) {
  if (n < 2) {
    return n;
  }
  gs_go_options options = GS_GO_OPTIONS_DEFAULT;
  struct half other = {n - 1, 0};
  gs_handle *handle;
  bench_check("gs_go_opts", gs_go_opts(&options, fib_half, &other, &handle));
  long here = fib(n - 2);
  bench_check("gs_join", gs_join(handle, GS_FOREVER));
  gs_handle_release(handle);
  return here + other.value;
}

static void once_fib(void) {
  if (fib(FIB) != FIB_VALUE) {
    bench_die("fib(%d) is wrong", FIB);
  }
}

/* ---- skynet ------------------------------------------------------------------------------- */

struct node {
  gs_chan *to;
  int64_t number, size;
};

static void skynet(void *arg) {
  struct node self = *(struct node *)arg;
  int64_t sum = self.number;
  free(arg);
  if (self.size > 1) {
    gs_chan *chan;
    bench_check("gs_chan_new", gs_chan_new(sizeof(int64_t), CHILDREN, &chan));
    for (int i = 0; i < CHILDREN; i++) {
      struct node *child = malloc(sizeof *child);
      if (child == NULL) {
        bench_die("out of memory for a node");
      }
      int64_t size = self.size / CHILDREN;
      *child = (struct node){chan, self.number + i * size, size};
      bench_check("gs_go", gs_go(skynet, child));
    }
    sum = 0;
    for (int i = 0; i < CHILDREN; i++) {
      int64_t part;
      bench_check("gs_chan_recv", gs_chan_recv(chan, &part, GS_FOREVER));
      sum += part;
    }
    gs_chan_free(chan);
  }
  bench_check("gs_chan_send", gs_chan_send(self.to, &sum, GS_FOREVER));
}

static void once_skynet(void) {
  gs_chan *chan;
  int64_t sum;
  struct node *root = malloc(sizeof *root);
  if (root == NULL) {
    bench_die("out of memory for a node");
  }
  bench_check("gs_chan_new", gs_chan_new(sizeof(int64_t), 1, &chan));
  *root = (struct node){chan, 0, LEAVES};
  bench_check("gs_go", gs_go(skynet, root));
  bench_check("gs_chan_recv", gs_chan_recv(chan, &sum, GS_FOREVER));
  if (sum != (int64_t)LEAVES * (LEAVES - 1) / 2) {
    bench_die("skynet's sum is wrong");
  }
}

/* ---- sleep -------------------------------------------------------------------------------- */

static void sleeper(void *arg) {
  bench_check("gs_sleep", gs_sleep(100000000));
  bench_group_done(arg);
}

static void once_sleep(void) {
  bench_group *group = bench_group_new(SLEEPERS);
  for (int i = 0; i < SLEEPERS; i++) {
    bench_check("gs_go", gs_go(sleeper, group));
  }
  bench_group_wait(group);
}

/* ---- rows of these ------------------------------------------------------------------------ */

struct repeated {
  void (*once)(void);
  int warm, most;
};

static void body_repeated(bench_green *g) {
  const struct repeated *what = g->arg;
  int samples = g->options->samples < what->most ? g->options->samples : what->most;
  for (int i = -what->warm; i < samples; i++) {
    int64_t start = bench_now();
    what->once();
    if (i >= 0) {
      bench_push(g->out, (double)(bench_now() - start) / 1e6);
    }
  }
}

static void run_repeated(const bench_options *options, bench_result *out, int procs,
                         void (*once)(void), int warm) {
  bench_run_green(procs, body_repeated,
                  &(bench_green){options, out, &(struct repeated){once, warm, 3}});
}

static void run_fib_w1(const bench_options *options, bench_result *out) {
  run_repeated(options, out, 1, once_fib, 1);
}

static void run_fib_w2(const bench_options *options, bench_result *out) {
  run_repeated(options, out, 2, once_fib, 1);
}

static void run_skynet_w1(const bench_options *options, bench_result *out) {
  run_repeated(options, out, 1, once_skynet, 1);
}

static void run_skynet_w2(const bench_options *options, bench_result *out) {
  run_repeated(options, out, 2, once_skynet, 1);
}

static void run_sleep_100k(const bench_options *options, bench_result *out) {
  run_repeated(options, out, 2, once_sleep, 0);
}

/* ---- memory ------------------------------------------------------------------------------- */

static double status_kib(const char *name) {
  FILE *status = fopen("/proc/self/status", "r");
  char line[256];
  long kib = 0;
  if (status == NULL) {
    bench_die("/proc/self/status cannot be read");
  }
  while (fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) {
      kib = strtol(line + strlen(name), NULL, 10);
    }
  }
  fclose(status);
  return (double)kib;
}

static double resident(void) { return 1024 * (status_kib("VmRSS:") + status_kib("VmPTE:")); }

struct gate {
  gs_chan *chan;
  _Atomic long there; /* how many have come */
};

static void waiter(void *arg) {
  struct gate *gate = arg;
  atomic_fetch_add(&gate->there, 1);
  gs_chan_recv(gate->chan, NULL, GS_FOREVER);
}

static void body_parked(bench_green *g) {
  long count = *(long *)g->arg;
  struct gate gate = {NULL, 0};
  bench_check("gs_chan_new", gs_chan_new(0, 0, &gate.chan));
  double before = resident();
  for (long i = 0; i < count; i++) {
    bench_check("gs_go", gs_go(waiter, &gate));
  }
  while (atomic_load(&gate.there) < count) {
    gs_sleep(1000000);
  }
  gs_sleep(10000000);
  bench_push(g->out, (resident() - before) / (double)count);
  gs_chan_close(gate.chan);
}

static void run_parked_100k(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_parked, &(bench_green){options, out, &(long){100000}});
}

static void run_parked_1m(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_parked, &(bench_green){options, out, &(long){1000000}});
}

const bench_row bench_rows_many[] = {
    {"forkjoin.w1", "ms", run_fib_w1},
    {"forkjoin.w2", "ms", run_fib_w2},
    {"skynet.w1", "ms", run_skynet_w1},
    {"skynet.w2", "ms", run_skynet_w2},
    {"sleep.100k", "ms", run_sleep_100k},
    {"memory.parked.100k", "bytes", run_parked_100k},
    {"memory.parked.1M", "bytes", run_parked_1m},
    {NULL, NULL, NULL},
};
