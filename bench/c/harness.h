/* harness.h: how a row of the C benchmark is measured and told.
 *
 * gsbench runs one row in one process: a runtime is booted once in a process, and peak memory is
 * a property of a process.  A row is a function that fills a bench_result with samples; most rows
 * are a loop of n operations, for which bench_loop_row finds n.  The result is printed as one line
 * of JSON that bench/run.py reads.  Nothing here judges a figure.
 */
#ifndef GSBENCH_HARNESS_H
#define GSBENCH_HARNESS_H

#include <stddef.h>
#include <stdint.h>

/* What the command line asked for. */
typedef struct bench_options {
  int samples;      /* how many samples a row takes */
  double target_ns; /* how long one sample of a loop lasts */
} bench_options;

/* What a row found.  Zeroed by the harness except for `unit`. */
typedef struct bench_result {
  const char *unit; /* "ns", "us", "ms", "bytes", "%" or "/1M": in a million */
  double *samples;  /* in `unit`; owned by the harness */
  size_t n;
  int threads; /* most threads the process had at once; 0: the row does not say */
} bench_result;

/* One row.  Returns 0; failures end the process through bench_die. */
typedef struct bench_row {
  const char *name;
  const char *unit;
  void (*run)(const bench_options *options, bench_result *out);
} bench_row;

/* A table of rows, ended by a row without a name. */
extern const bench_row bench_rows_calls[];
extern const bench_row bench_rows_switch[];
extern const bench_row bench_rows_sync[];
extern const bench_row bench_rows_handoff[];
extern const bench_row bench_rows_block[];
extern const bench_row bench_rows_echo[];
extern const bench_row bench_rows_many[];
extern const bench_row bench_rows_watch[];
extern const bench_row bench_rows_spec[];
extern const bench_row bench_rows_shared[];
extern const bench_row bench_rows_snapshot[];
extern const bench_row bench_rows_floor[];

/* Runs n operations and returns how many nanoseconds they took. */
typedef double (*bench_loop)(void *arg, uint64_t n);

/* Finds an n for which loop(arg, n) lasts about options->target_ns, which also warms it up, then
 * takes the samples: nanoseconds per operation. */
void bench_loop_row(const bench_options *options, bench_result *out, bench_loop loop, void *arg);

/* The same with an n that the row fixes; the first run warms up and is not a sample. */
void bench_fixed_row(const bench_options *options, bench_result *out, bench_loop loop, void *arg,
                     uint64_t n);

/* Appends one sample. */
void bench_push(bench_result *out, double sample);

/* Monotonic nanoseconds. */
int64_t bench_now(void);

/* Computes without calling anything for ns nanoseconds (clock reads apart). */
void bench_spin(int64_t ns);

/* Threads this process has now, from /proc/self/status. */
int bench_threads(void);

/* Prints a printf text to stderr and ends the process with status 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process if a gs_ function returned an error; `what` names the call. */
_Noreturn void bench_check_failed(const char *what, int code);
static inline void bench_check(const char *what, int code) {
  if (__builtin_expect(code != 0, 0)) {
    bench_check_failed(what, code);
  }
}

/* A body that runs as the main green thread, with what it needs. */
typedef struct bench_green {
  const bench_options *options;
  bench_result *out;
  void *arg;
} bench_green;

/* Runs body(context) as the main green thread of a runtime with `procs` Ps, and ends the process
 * if that fails. */
void bench_run_green(int procs, void (*body)(bench_green *), bench_green *context);

/* Counts green threads that have still to end, and wakes the one that waits for them all. */
typedef struct bench_group bench_group;
bench_group *bench_group_new(uint64_t count);
void bench_group_done(bench_group *group);
void bench_group_wait(bench_group *group); /* parks; then frees the group */

#endif
