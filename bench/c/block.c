/* block.c: many blocking calls at once.
 *
 * Each row starts N green threads that call usleep(100 ms) and waits for them all, once, in a fresh
 * process: the threads that the calls need have to be made, which is what a program meets that
 * has not run yet.  The harness reports peak memory; the row reports the threads.
 */
#include <stdint.h>

#include "gosched.h"
#include "harness.h"
#include "targets.h"

static unsigned nap = 100000;

struct wave {
  gs_site *site;
  uint64_t calls;
  bench_group *group;
};

static void caller(void *arg) {
  struct wave *wave = arg;
  bench_check("gs_cgocall_site", gs_cgocall_site(wave->site, gsbench_nap, &nap, NULL));
  bench_group_done(wave->group);
}

static void body_wave(bench_green *g) {
  struct wave *wave = g->arg;
  wave->group = bench_group_new(wave->calls);
  int64_t start = bench_now();
  for (uint64_t i = 0; i < wave->calls; i++) {
    bench_check("gs_go", gs_go(caller, wave));
  }
  bench_group_wait(wave->group);
  bench_push(g->out, (double)(bench_now() - start) / 1e6);
  gs_metrics metrics = {.size = sizeof metrics};
  bench_check("gs_read_metrics", gs_read_metrics(&metrics));
  g->out->threads = (int)metrics.threads_max + 1; /* and sysmon */
}

static void run_wave(const bench_options *options, bench_result *out, uint64_t calls,
                     unsigned flags) {
  static gs_site site = {.name = "gsbench_nap"};
  site.flags = flags;
  bench_run_green(2, body_wave, &(bench_green){options, out, &(struct wave){&site, calls, NULL}});
}

static void run_100(const bench_options *options, bench_result *out) {
  run_wave(options, out, 100, 0);
}

static void run_1000(const bench_options *options, bench_result *out) {
  run_wave(options, out, 1000, 0);
}

static void run_10000(const bench_options *options, bench_result *out) {
  run_wave(options, out, 10000, 0);
}

static void run_1000_hinted(const bench_options *options, bench_result *out) {
  run_wave(options, out, 1000, GS_SITE_BLOCKING);
}

const bench_row bench_rows_block[] = {
    {"block.100", "ms", run_100},
    {"block.1000", "ms", run_1000},
    {"block.10000", "ms", run_10000},
    {"block.1000.hinted", "ms", run_1000_hinted},
    {NULL, NULL, NULL},
};
