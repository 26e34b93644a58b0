/* thread_limit.c: more blocking calls than threads.
 *
 * With at most four threads, twenty calls wait for one another instead of failing, the limit is
 * counted and said once, and the runtime is as good as new afterwards.
 */
#include "support.h"

enum { PROCS = 1, MOST_THREADS = 4, CALLS = 20 };

static atomic_int warnings;
static char warning[512];

static void note_warning(int level, const char *text, void *ud) {
  CHECK(ud == (void *)&warnings);
  if (level <= 1 && atomic_fetch_add(&warnings, 1) == 0) {
    snprintf(warning, sizeof warning, "%s", text);
  }
}

static void block_50_ms(void *arg) {
  int ms = 50;
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  CHECK(metrics().threads <= MOST_THREADS);
  wg_done(arg);
}

static void too_many_calls(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < CALLS; i++) go(block_50_ms, &wg);
  wg_wait(&wg, CALLS);
  gs_metrics m = metrics();
  CHECK(m.thread_limit_hits > 0);
  CHECK(m.threads_max <= MOST_THREADS);
  CHECK(m.threads <= MOST_THREADS);
  CHECK_INT(m.incgo, 0);
}

static void run_limited(body_fn body) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.max_threads = MOST_THREADS;
  run_config(&cfg, body, NULL);
}

static void test_calls_queue_at_the_limit(void **state) {
  (void)state;
  gs_set_logger(note_warning, &warnings);
  run_limited(too_many_calls);
  assert_true(atomic_load(&warnings) >= 1);
  assert_non_null(strstr(warning, "thread"));
  assert_null(strchr(warning, '\n'));
}

static void test_and_again(void **state) {
  (void)state;
  run_limited(too_many_calls);
  gs_set_logger(NULL, NULL);
}

/* Locked green threads hold their threads for good; those who want one more must wait for it. */
static void lock_for_a_while(void *arg) {
  gs_lock_os_thread();
  long tid = my_tid();
  for (int i = 0; i < 5; i++) {
    CHECK_CODE(gs_sleep(MS(2)), GS_OK);
    CHECK_INT(my_tid(), tid);
  }
  gs_unlock_os_thread();
  wg_done(arg);
}

static void too_many_locked(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 10; i++) go(lock_for_a_while, &wg);
  wg_wait(&wg, 10);
  CHECK(metrics().threads_max <= MOST_THREADS);
}

static void test_locked_ones_at_the_limit(void **state) {
  (void)state;
  run_limited(too_many_locked);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_calls_queue_at_the_limit),
      cmocka_unit_test(test_and_again),
      cmocka_unit_test(test_locked_ones_at_the_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
