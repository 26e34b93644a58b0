/* spec.c: the steps of a foreign call that the specification gives a figure for, one by one.
 *
 * bracket    gs_entersyscall and gs_exitsyscall with nothing between: both transitions, P kept
 * exit.idle  the way back of a call that gave its P away, where another P is idle
 * exit.slow  the way back where none is: the green thread queues behind one that yields all the
 *            time, so this has one yield of that in it
 * newm       calls that block, one after the other, with work behind each of them: every P goes to
 * a thread that has to be made.  From one call's begin to the next one's thread     pthread_create
 * until the new thread runs, as many alive: the machine's part of newm traced     a call of a known
 * site while a trace is recorded
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "gosched.h"
#include "harness.h"
#include "targets.h"

enum { THREADS = 200 };

/* ---- both transitions ----------------------------------------------------------------------- */

static double loop_bracket(void *arg, uint64_t n) {
  (void)arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    gs_entersyscall();
    gs_exitsyscall();
  }
  return (double)(bench_now() - start);
}

static void body_bracket(bench_green *g) { bench_loop_row(g->options, g->out, loop_bracket, NULL); }

/* ---- the other two exits -------------------------------------------------------------------- */

static double loop_exit(void *arg, uint64_t n) {
  int64_t spent = 0;
  (void)arg;
  for (uint64_t i = 0; i < n; i++) {
    gs_entersyscallblock();
    int64_t start = bench_now();
    gs_exitsyscall();
    spent += bench_now() - start;
  }
  return (double)spent;
}

static void body_exit(bench_green *g) { bench_loop_row(g->options, g->out, loop_exit, NULL); }

static _Atomic int stop;

static void yield_on(void *arg) {
  while (!atomic_load(&stop)) gs_yield();
  bench_group_done(arg);
}

static void body_exit_slow(bench_green *g) {
  bench_group *group = bench_group_new(1);
  bench_check("gs_go", gs_go(yield_on, group));
  gs_yield();
  bench_loop_row(g->options, g->out, loop_exit, NULL);
  atomic_store(&stop, 1);
  bench_group_wait(group);
}

/* ---- new threads ---------------------------------------------------------------------------- */

static int64_t began[THREADS];
static _Atomic int number;
static sem_t may_end;

static int note_and_block(void *arg) {
  (void)arg;
  began[atomic_fetch_add(&number, 1)] = bench_now();
  while (sem_wait(&may_end) && errno == EINTR) continue;
  return 0;
}

static void block(void *arg) {
  static gs_site site = {.name = "note_and_block", .flags = GS_SITE_BLOCKING};
  bench_check("gs_cgocall_site", gs_cgocall_site(&site, note_and_block, NULL, NULL));
  bench_group_done(arg);
}

static void body_newm(bench_green *g) {
  bench_group *group = bench_group_new(THREADS);
  sem_init(&may_end, 0, 0);
  for (int i = 0; i < THREADS; i++) bench_check("gs_go", gs_go(block, group));
  while (atomic_load(&number) < THREADS) bench_check("gs_sleep", gs_sleep(1000000));
  for (int i = 10; i < THREADS; i++) /* the first find idle ones */
    bench_push(g->out, (double)(began[i] - began[i - 1]) / 1e3);
  for (int i = 0; i < THREADS; i++) sem_post(&may_end);
  bench_group_wait(group);
}

static void *note_and_wait(void *arg) {
  *(int64_t *)arg = bench_now();
  sem_post(&may_end);
  while (!atomic_load(&stop)) usleep(1000);
  return NULL;
}

static void run_thread(const bench_options *options, bench_result *out) {
  pthread_t t[THREADS];
  (void)options;
  sem_init(&may_end, 0, 0);
  for (int i = 0; i < THREADS; i++) {
    int64_t start = bench_now();
    if (pthread_create(&t[i], NULL, note_and_wait, &began[i])) bench_die("no thread %d", i);
    while (sem_wait(&may_end) && errno == EINTR) continue;
    bench_push(out, (double)(began[i] - start) / 1e3);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
}

/* ---- calls while a trace is recorded -------------------------------------------------------- */

static double loop_call(void *arg, uint64_t n) {
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) gs_cgocall_site(arg, gsbench_empty, NULL, NULL);
  return (double)(bench_now() - start);
}

static void body_traced(bench_green *g) {
  static gs_site site = {.name = "gsbench_empty"};
  bench_check("gs_trace_start", gs_trace_start("/dev/null"));
  bench_loop_row(g->options, g->out, loop_call, &site);
  bench_check("gs_trace_stop", gs_trace_stop());
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void run_bracket(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_bracket, &(bench_green){options, out, NULL});
}

static void run_exit_idle(const bench_options *options, bench_result *out) {
  bench_run_green(2, body_exit, &(bench_green){options, out, NULL});
}

static void run_exit_slow(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_exit_slow, &(bench_green){options, out, NULL});
}

static void run_newm(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_newm, &(bench_green){options, out, NULL});
}

static void run_traced(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_traced, &(bench_green){options, out, NULL});
}

const bench_row bench_rows_spec[] = {
    {"spec.bracket", "ns", run_bracket},
    {"spec.exit.idle", "ns", run_exit_idle},
    {"spec.exit.slow", "ns", run_exit_slow},
    {"spec.newm", "us", run_newm},
    {"spec.thread", "us", run_thread},
    {"spec.traced", "ns", run_traced},
    {NULL, NULL, NULL},
};
