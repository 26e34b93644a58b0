/* foreign_blocking.c: what everybody else does while foreign calls block.
 *
 * There is one P.  A call that blocks must give it up, or nothing else in this file could end:
 * the calls wait for bytes that other green threads write.  The counters tell in which way the P
 * was handed on.
 */
#include "support.h"

#include <poll.h>
#include <unistd.h>

enum { PROCS = 1 };

/* ---- many at once ---- */

typedef struct crowd {
  atomic_int ticks, stop;
  wait_group wg;
} crowd;

static void block_100_ms(void *arg) {
  crowd *c = arg;
  int ms = 100;
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  wg_done(&c->wg);
}

static void tick(void *arg) {
  crowd *c = arg;
  while (!atomic_load(&c->stop)) {
    atomic_fetch_add(&c->ticks, 1);
    CHECK_CODE(gs_sleep(MS(5)), GS_OK);
  }
}

static void block_together(void *arg) {
  int count = *(int *)arg;
  crowd c = {0};
  gs_metrics before = metrics();
  wg_init(&c.wg);
  gs_handle *ticker = go_named("ticker", tick, &c);
  int64_t begin = gs_now();
  for (int i = 0; i < count; i++) go(block_100_ms, &c);
  wg_wait(&c.wg, (size_t)count);
  /* One after another they would take ten seconds and more. */
  CHECK(gs_now() - begin < MS(5000));
  CHECK(atomic_load(&c.ticks) >= 3);
  atomic_store(&c.stop, 1);
  join(ticker);

  gs_metrics after = metrics();
  CHECK_INT(after.cgocalls - before.cgocalls, count);
  CHECK_INT(after.incgo, 0);
  CHECK_INT(after.exits_fast - before.exits_fast + after.exits_idle_p - before.exits_idle_p +
                after.exits_slow - before.exits_slow,
            count);
  CHECK(after.handoffs > before.handoffs);
}

static void test_100_calls(void **state) {
  (void)state;
  int count = 100;
  run_procs(PROCS, block_together, &count);
}

static void test_1000_calls(void **state) {
  (void)state;
  int count = SLOW_BUILD ? 200 : 1000;
  run_procs(PROCS, block_together, &count);
}

/* ---- a call that waits for somebody who needs the P ---- */

typedef struct wire {
  int fds[2];
  int writers; /* the last of them writes the byte */
  atomic_int written;
} wire;

static void wire_init(wire *w, int writers) {
  CHECK_INT(pipe(w->fds), 0);
  w->writers = writers;
  atomic_init(&w->written, 0);
}

static void wire_free(wire *w) {
  close(w->fds[0]);
  close(w->fds[1]);
}

/* Blocks in one call of the kernel until the last writer has written: 1, or 0: it never did. */
static int wait_for_byte(void *arg) {
  struct pollfd p = {((wire *)arg)->fds[0], POLLIN, 0};
  char byte; /* read, too: poll alone tells TSan nothing of what happened before the write */
  int n = poll(&p, 1, 30000);
  return n == 1 ? (int)read(p.fd, &byte, 1) : n;
}

static void write_when_last(void *arg) {
  wire *w = arg;
  if (atomic_fetch_add(&w->written, 1) + 1 == w->writers) CHECK_INT(write(w->fds[1], "x", 1), 1);
}

static void wait_with_queue(gs_site *site, int writers) {
  wire w;
  wire_init(&w, writers);
  for (int i = 0; i < writers; i++) go(write_when_last, &w);
  int result = 0;
  CHECK_CODE(gs_cgocall_site(site, wait_for_byte, &w, &result), GS_OK);
  CHECK_INT(result, 1);
  CHECK_INT(atomic_load(&w.written), writers);
  wire_free(&w);
}

static void queue_runs_during_a_call(void *arg) {
  (void)arg;
  static gs_site unknown = {.name = "unknown"}, declared = {"declared", GS_SITE_BLOCKING, 0, 0, 0};
  gs_metrics before = metrics();
  wait_with_queue(&unknown, 100);
  gs_metrics after = metrics();
  CHECK(after.retakes > before.retakes);
  CHECK(after.handoffs > before.handoffs);

  before = after;
  wait_with_queue(&declared, 100);
  after = metrics();
  CHECK(after.handoffs_entry > before.handoffs_entry);

  for (int i = 0; i < 50; i++) wait_with_queue(i % 2 ? &unknown : NULL, 3);
}

static void test_100_queued_run_during_one_call(void **state) {
  (void)state;
  run_procs(PROCS, queue_runs_during_a_call, NULL);
}

/* The writer becomes runnable only after the call has begun. */
static void write_later(void *arg) {
  CHECK_CODE(gs_sleep(MS(5)), GS_OK);
  write_when_last(arg);
}

static void sleeper_wakes_during_a_call(void *arg) {
  (void)arg;
  for (int i = 0; i < 10; i++) {
    wire w;
    wire_init(&w, 1);
    go(write_later, &w);
    gs_yield();
    int result = 0;
    CHECK_CODE(gs_cgocall(wait_for_byte, &w, &result), GS_OK);
    CHECK_INT(result, 1);
    wire_free(&w);
  }
}

static void test_a_sleeper_wakes_during_a_call(void **state) {
  (void)state;
  run_procs(PROCS, sleeper_wakes_during_a_call, NULL);
}

/* ---- a call that computes instead of waiting ---- */

static int spin_until(void *arg) {
  atomic_int *flag = arg;
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(flag) && gs_now() < end;) continue;
  return atomic_load(flag);
}

static void set_flag(void *arg) { atomic_store((atomic_int *)arg, 1); }

static void others_run_beside_a_computation(void *arg) {
  (void)arg;
  for (int i = 0; i < 5; i++) {
    atomic_int flag = 0;
    int result = 0;
    go(set_flag, &flag);
    CHECK_CODE(gs_cgocall(spin_until, &flag, &result), GS_OK);
    CHECK_INT(result, 1);
  }
}

static void test_others_run_beside_a_computation(void **state) {
  (void)state;
  run_procs(PROCS, others_run_beside_a_computation, NULL);
}

/* ---- known-long sites ---- */

static void block_at_site(void *arg) {
  int ms = 2;
  for (int i = 0; i < 30; i++) CHECK_CODE(gs_cgocall_site(arg, block_ms, &ms, NULL), GS_OK);
}

static void site_learns(void *arg) {
  (void)arg;
  static gs_site site = {.name = "learns"};
  gs_handle *h[4];
  gs_metrics before = metrics();
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("blocks", block_at_site, &site);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  gs_metrics after = metrics();
  CHECK(site.score > 0);
#ifndef GS_TORTURE /* there a forced hand-off may have taught it */
  CHECK(site.retakes > 0);
#endif
  CHECK(after.handoffs_entry > before.handoffs_entry);
}

static void test_a_site_learns_that_it_blocks(void **state) {
  (void)state;
  run_procs(PROCS, site_learns, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_100_calls),
      cmocka_unit_test(test_1000_calls),
      cmocka_unit_test(test_100_queued_run_during_one_call),
      cmocka_unit_test(test_a_sleeper_wakes_during_a_call),
      cmocka_unit_test(test_others_run_beside_a_computation),
      cmocka_unit_test(test_a_site_learns_that_it_blocks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
