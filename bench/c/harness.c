/* harness.c: samples, clocks, the main green thread, and the group that rows wait for.
 *
 * A loop's sample must be long enough that reading the clock (20 ns) and being interrupted by the
 * timer do not matter, and short enough that several fit between two changes of the machine's
 * mood: bench_loop_row aims at options->target_ns.
 */
#include "harness.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gosched.h"

enum { MAX_GROWTH = 20 };

void bench_die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("gsbench: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

void bench_check_failed(const char *what, int code) {
  bench_die("%s: %s %s", what, gs_strerror(code), gs_error_detail());
}

int64_t bench_now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void bench_spin(int64_t ns) {
  int64_t end = bench_now() + ns;
  while (bench_now() < end) {
  }
}

int bench_threads(void) {
  FILE *status = fopen("/proc/self/status", "r");
  if (status == NULL) {
    return 0;
  }
  char line[256];
  int threads = 0;
  while (fgets(line, sizeof line, status) != NULL) {
    if (sscanf(line, "Threads: %d", &threads) == 1) {
      break;
    }
  }
  fclose(status);
  return threads;
}

void bench_push(bench_result *out, double sample) {
  double *grown = realloc(out->samples, (out->n + 1) * sizeof *grown);
  if (grown == NULL) {
    bench_die("out of memory for sample %zu", out->n);
  }
  out->samples = grown;
  out->samples[out->n++] = sample;
}

/* Grows n until one run lasts the target: short runs say little about the rate, so a step is
 * bounded and the last step is taken from a run that lasted a fair part of the target.  It has to
 * last twice: a moment's pause in a short run is not the loop's. */
static uint64_t calibrate(const bench_options *options, bench_loop loop, void *arg) {
  uint64_t n = 1;
  for (;;) {
    double elapsed = loop(arg, n);
    if (elapsed >= options->target_ns * 0.8) {
      double again = loop(arg, n);
      if (again >= options->target_ns * 0.8) return n;
      elapsed = again;
    }
    double growth = elapsed > 0 ? options->target_ns / elapsed : MAX_GROWTH;
    if (growth > MAX_GROWTH) {
      growth = MAX_GROWTH;
    }
    n = (uint64_t)((double)n * growth) + 1;
  }
}

static void take_samples(const bench_options *options, bench_result *out, bench_loop loop,
                         void *arg, uint64_t n) {
  for (int i = 0; i < options->samples; i++) {
    bench_push(out, loop(arg, n) / (double)n);
  }
}

void bench_loop_row(const bench_options *options, bench_result *out, bench_loop loop, void *arg) {
  take_samples(options, out, loop, arg, calibrate(options, loop, arg));
}

void bench_fixed_row(const bench_options *options, bench_result *out, bench_loop loop, void *arg,
                     uint64_t n) {
  loop(arg, n);
  take_samples(options, out, loop, arg, n);
}

struct main_call {
  void (*body)(bench_green *);
  bench_green *context;
};

static int call_body(void *arg) {
  struct main_call *call = arg;
  call->body(call->context);
  return 0;
}

void bench_run_green(int procs, void (*body)(bench_green *), bench_green *context) {
  gs_config config = GS_CONFIG_DEFAULT;
  config.procs = procs;
  config.max_threads = 20000; /* above the 10,000 calls of the largest row */
  struct main_call call = {body, context};
  bench_check("gs_run", gs_run(&config, call_body, &call, NULL));
}

struct bench_group {
  _Atomic uint64_t left; /* green threads that have not called bench_group_done */
  gs_chan *all_done;     /* room for one element, sent by the last of them */
};

bench_group *bench_group_new(uint64_t count) {
  bench_group *group = malloc(sizeof *group);
  if (group == NULL) {
    bench_die("out of memory for a group");
  }
  atomic_init(&group->left, count);
  bench_check("gs_chan_new", gs_chan_new(0, 1, &group->all_done));
  return group;
}

void bench_group_done(bench_group *group) {
  if (atomic_fetch_sub(&group->left, 1) == 1) {
    bench_check("gs_chan_send", gs_chan_send(group->all_done, NULL, GS_FOREVER));
  }
}

void bench_group_wait(bench_group *group) {
  bench_check("gs_chan_recv", gs_chan_recv(group->all_done, NULL, GS_FOREVER));
  /* The last sender may still be inside gs_chan_send, so its channel is left to the process. */
  free(group);
}
