/* watch.c: what watching costs: hand-offs of calls that need none, sysmon's share of a CPU,
 * stopping the world.
 *
 * noop      one P; two green threads call an empty function for 100 ms with each other queued
 *           behind, which is when a P is worth taking.  The figure is how many hand-offs a million
 *           calls had.  It is not nought by law: a thread that the kernel takes its CPU from within
 *           such a call looks like one that blocks.
 * sysmon    calls of 100 us at ever new sites with work queued behind: sysmon finds something at
 *           every look.  Its CPU time in percent of the wall time.
 * stw       eight green threads call an empty function and yield; another one stops the world and
 *           starts it again.
 */
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gosched.h"
#include "harness.h"
#include "targets.h"

enum { SAMPLE_NS = 100000000, YIELD_EVERY = 64, CALLERS = 8, NEW_SITES = 1024 };

static _Atomic int stop;

static gs_site empty_site = {.name = "gsbench_empty"};

static uint64_t call_for(int64_t ns) {
  uint64_t n = 0;
  for (int64_t end = bench_now() + ns; bench_now() < end; gs_yield())
    for (int i = 0; i < YIELD_EVERY; i++, n++)
      bench_check("gs_cgocall_site", gs_cgocall_site(&empty_site, gsbench_empty, NULL, NULL));
  return n;
}

static void call_on(void *arg) {
  while (!atomic_load(&stop)) call_for(SAMPLE_NS / 100);
  bench_group_done(arg);
}

static bench_group *start_callers(int n) {
  bench_group *group = bench_group_new((uint64_t)n);
  atomic_store(&stop, 0);
  for (int i = 0; i < n; i++) bench_check("gs_go", gs_go(call_on, group));
  return group;
}

static void stop_callers(bench_group *group) {
  atomic_store(&stop, 1);
  bench_group_wait(group);
}

/* ---- hand-offs of noop calls ---------------------------------------------------------------- */

static uint64_t handoffs(void) {
  gs_metrics m = {.size = sizeof m};
  bench_check("gs_read_metrics", gs_read_metrics(&m));
  return m.handoffs;
}

static void body_noop(bench_green *g) {
  bench_group *group = start_callers(1);
  call_for(SAMPLE_NS);
  for (int i = 0; i < g->options->samples; i++) {
    uint64_t before = handoffs(), calls = 2 * call_for(SAMPLE_NS); /* the other one makes as many */
    bench_push(g->out, (double)(handoffs() - before) * 1e6 / (double)calls);
  }
  stop_callers(group);
}

/* ---- sysmon --------------------------------------------------------------------------------- */

/* Its CPU time in ns, by schedstat: the first figure there; -1: no thread has its name. */
static double look_for_sysmon(void) {
  char path[320], name[32];
  double ns = -1;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *e; tasks && ns < 0 && (e = readdir(tasks));) {
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
    FILE *f = fopen(path, "r");
    if (!f) continue;
    int found = fgets(name, sizeof name, f) && strncmp(name, "gosched-sysmon", 14) == 0;
    fclose(f);
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", e->d_name);
    if (!found || !(f = fopen(path, "r"))) continue;
    if (fscanf(f, "%lf", &ns) != 1) ns = -1;
    fclose(f);
  }
  if (tasks) closedir(tasks);
  return ns;
}

/* It has just been started, and gives itself its name. */
static double sysmon_cpu(void) {
  double ns = -1;
  for (int i = 0; i < 1000 && (ns = look_for_sysmon()) < 0; i++) usleep(1000);
  if (ns < 0) bench_die("the CPU time of sysmon is not in /proc/self/task");
  return ns;
}

static void yield_on(void *arg) {
  while (!atomic_load(&stop)) gs_yield();
  bench_group_done(arg);
}

static void body_sysmon(bench_green *g) {
  static gs_site sites[NEW_SITES]; /* as good as new when their turn comes again */
  unsigned nap = 100;
  bench_group *group = bench_group_new(2);
  atomic_store(&stop, 0);
  for (int i = 0; i < 2; i++) bench_check("gs_go", gs_go(yield_on, group));
  for (int i = -1; i < g->options->samples; i++) {
    double cpu = sysmon_cpu();
    int64_t begin = bench_now();
    memset(sites, 0, sizeof sites);
    for (int k = 0; k < NEW_SITES && bench_now() < begin + 3 * SAMPLE_NS; k++) {
      bench_check("gs_cgocall_site", gs_cgocall_site(&sites[k], gsbench_nap, &nap, NULL));
    }
    if (i >= 0) bench_push(g->out, 100 * (sysmon_cpu() - cpu) / (double)(bench_now() - begin));
  }
  stop_callers(group);
}

/* ---- stopping the world --------------------------------------------------------------------- */

static double loop_stw(void *arg, uint64_t n) {
  (void)arg;
  int64_t start = bench_now(), spent = 0;
  for (uint64_t i = 0; i < n; i++) {
    start = bench_now();
    bench_check("gs_stop_world", gs_stop_world("benchmark"));
    bench_check("gs_start_world", gs_start_world());
    spent += bench_now() - start;
    gs_yield();
  }
  return (double)spent;
}

static void body_stw(bench_green *g) {
  bench_group *group = start_callers(CALLERS);
  bench_loop_row(g->options, g->out, loop_stw, NULL);
  stop_callers(group);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void run_noop(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_noop, &(bench_green){options, out, NULL});
}

static void run_sysmon(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_sysmon, &(bench_green){options, out, NULL});
}

static void run_stw(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_stw, &(bench_green){options, out, NULL});
}

const bench_row bench_rows_watch[] = {
    {"watch.noop", "/1M", run_noop},
    {"watch.sysmon", "%", run_sysmon},
    {"watch.stw", "ns", run_stw},
    {NULL, NULL, NULL},
};
