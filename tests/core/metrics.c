/* metrics.c: the catalogue of the figures, the histograms, the text for Prometheus, and that the
 * threads add up.
 */
#include "support.h"

#include <pthread.h>
#include <unistd.h>

enum { PROCS = 2 };

/* ---- the catalogue ---- */

static void test_catalogue(void **state) {
  (void)state;
  size_t end = sizeof(size_t), i = 0;
  const gs_metric *m;
  for (; (m = gs_metric_info(i)); i++) {
    assert_int_equal(m->offset, end); /* every field, in order */
    end += m->kind == GS_HISTOGRAM ? sizeof(gs_histogram) : sizeof(uint64_t);
    assert_in_range(m->kind, GS_COUNTER, GS_HISTOGRAM);
    assert_in_range(m->stable, 0, 1);
    assert_true(m->name[0] && m->unit[0] && m->text[0]);
    assert_null(strpbrk(m->text, "\\\n"));
    assert_true(m->text[strlen(m->text) - 1] != '.');
    for (size_t k = 0; k < i; k++) assert_string_not_equal(gs_metric_info(k)->name, m->name);
  }
  assert_int_equal(end, sizeof(gs_metrics));
  assert_null(gs_metric_info(i));
  assert_null(gs_metric_info(SIZE_MAX));
}

static void test_older_callers(void **state) {
  (void)state;
  /* One that knows the first fields only gets these and nothing beyond. */
  gs_metrics m;
  memset(&m, 0xa5, sizeof m);
  m.size = offsetof(gs_metrics, procs);
  assert_int_equal(gs_read_metrics(&m), GS_OK);
  assert_int_equal(m.size, offsetof(gs_metrics, procs));
  assert_true(m.procs == 0xa5a5a5a5a5a5a5a5);
}

/* ---- histograms ---- */

static uint64_t count(const gs_histogram *h) {
  uint64_t n = 0;
  for (int i = 0; i < GS_BUCKETS; i++) n += h->bucket[i];
  return n;
}

static atomic_int over;

static int until_over(void *arg) {
  (void)arg;
  return block_until(&over);
}

static void calls(void *arg) {
  static gs_site site = {.name = "until_over"};
  CHECK_CODE(gs_cgocall_site(&site, until_over, NULL, NULL), GS_OK);
  wg_done(arg);
}

/* More calls than there are Ps, none of which ends before all have lost theirs. */
static void lose_ps(void *arg) {
  (void)arg;
  enum { CALLS = PROCS + 2 };
  wait_group wg;
  wg_init(&wg);
  gs_metrics before = metrics();
  atomic_store(&over, 0);
  for (int i = 0; i < CALLS; i++) go(calls, &wg);
  int64_t until = gs_now() + PATIENCE;
  for (;;) {
    gs_metrics now = metrics();
    if (now.retakes + now.handoffs_entry - before.retakes - before.handoffs_entry >= CALLS) break;
    if (gs_now() > until) {
      CHECK(!"all calls lose their P");
      break;
    }
    gs_sleep(US(500));
  }
  atomic_store(&over, 1);
  wg_wait(&wg, CALLS);
  gs_metrics after = metrics();
  uint64_t lost = count(&after.call_lost_seconds) - count(&before.call_lost_seconds);
  CHECK(lost >= CALLS);
  CHECK(after.call_lost_seconds.sum_ns > before.call_lost_seconds.sum_ns);
  CHECK(count(&after.handoff_seconds) > count(&before.handoff_seconds));
  CHECK(count(&after.handoff_seconds) <= after.handoffs);
  CHECK(count(&after.wait_p_seconds) <= after.exits_slow + after.retakes_user + after.parks);
}

static void test_histograms(void **state) {
  (void)state;
  run_procs(PROCS, lose_ps, NULL);
}

/* ---- text ---- */

static void look_for(const char *text, const char *what) {
  if (!strstr(text, what)) print_error("not in the text: %s\n", what);
  assert_non_null(strstr(text, what));
}

static void test_text(void **state) {
  (void)state;
  static char text[65536], cut[100];
  size_t n = gs_metrics_text(text, sizeof text);
  assert_in_range(n, 1000, sizeof text - 1);
  assert_int_equal(n, strlen(text));
  look_for(text, "# TYPE gosched_threads gauge\ngosched_threads ");
  look_for(text, "# TYPE gosched_cgocalls_total counter\ngosched_cgocalls_total ");
  look_for(text, "# TYPE gosched_stacks_mapped_bytes gauge\n");
  look_for(text,
           "# TYPE gosched_handoff_seconds histogram\n"
           "gosched_handoff_seconds_bucket{le=\"0.000001000\"} ");
  look_for(text, "gosched_handoff_seconds_bucket{le=\"+Inf\"} ");
  look_for(text, "gosched_handoff_seconds_sum ");
  look_for(text, "gosched_handoff_seconds_count ");
  assert_int_equal(text[n - 1], '\n');
  /* Cut, and nothing beyond. */
  memset(cut, 'x', sizeof cut);
  assert_true(gs_metrics_text(cut, 50) > 50);
  assert_int_equal(strlen(cut), 49);
  assert_int_equal(cut[50], 'x');
  assert_memory_equal(cut, text, 49);
  assert_true(gs_metrics_text(NULL, 0) > 1000);
  assert_true(gs_metrics_text(cut, 1) > 1000);
  assert_int_equal(cut[0], 0);
}

static void test_write(void **state) {
  (void)state;
  static char text[65536];
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  assert_int_equal(gs_metrics_write(ends[1]), GS_OK);
  close(ends[1]);
  size_t n = 0;
  ssize_t r;
  while ((r = read(ends[0], text + n, sizeof text - 1 - n)) > 0) n += (size_t)r;
  close(ends[0]);
  look_for(text, "gosched_wait_p_seconds_count ");
  errno = 0;
  assert_int_equal(gs_metrics_write(-1), GS_ESYS);
  assert_int_equal(errno, EBADF);
}

/* ---- the threads add up ---- */

static int threads_of_process(void) {
  char line[256];
  int n = -1;
  FILE *f = fopen("/proc/self/status", "re");
  while (f && n < 0 && fgets(line, sizeof line, f)) (void)sscanf(line, "Threads: %d", &n);
  if (f) fclose(f);
  return n;
}

/* ThreadSanitizer has a thread of its own. */
static int others(void) {
#ifdef __SANITIZE_THREAD__
  return 1;
#else
  return 0;
#endif
}

/* A thread that begins or ends is counted by one side first. */
static void threads_agree(int foreign) {
  int64_t until = gs_now() + PATIENCE;
  for (;;) {
    gs_metrics m = metrics();
    int sum = (int)(m.threads + m.threads_system) + foreign + others(), all = threads_of_process();
    if (sum == all) return;
    if (gs_now() > until) {
      print_error("%d Ms, %d system threads, %d foreign; the kernel knows %d\n", (int)m.threads,
                  (int)m.threads_system, foreign, all);
      CHECK_INT(sum, all);
      return;
    }
    gs_sleep(MS(1));
  }
}

typedef struct {
  atomic_int bound, may_end;
} foreigner;

static void called_back(void *arg) { atomic_store(&((foreigner *)arg)->bound, 1); }

static void *foreign_thread(void *arg) {
  foreigner *f = arg;
  CHECK_CODE(gs_cgocallback(called_back, f), GS_OK);
  block_until(&f->may_end);
  return NULL;
}

static int join_thread(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void add_up(void *arg) {
  (void)arg;
  static foreigner f;
  threads_agree(0);
  wait_group wg;
  wg_init(&wg);
  atomic_store(&over, 0);
  for (int i = 0; i < 7; i++) go(calls, &wg);
  int64_t until = gs_now() + PATIENCE;
  while (metrics().incgo < 7 && gs_now() < until) gs_sleep(US(500));
  CHECK_INT(metrics().incgo, 7);
  CHECK(metrics().threads >= 7);
  threads_agree(0);
  /* A foreign thread: known once it has called back. */
  pthread_t t;
  CHECK_INT(pthread_create(&t, NULL, foreign_thread, &f), 0);
  while (!atomic_load(&f.bound) && gs_now() < until) gs_sleep(US(500));
  CHECK_INT(metrics().extra_ms, 1);
  threads_agree((int)metrics().extra_ms);
  atomic_store(&f.may_end, 1);
  CHECK_CODE(gs_cgocall(join_thread, &t, NULL), GS_OK);
  CHECK_INT(metrics().extra_ms, 0);
  atomic_store(&over, 1);
  wg_wait(&wg, 7);
  threads_agree(0);
}

static void test_threads_add_up(void **state) {
  (void)state;
  skip_emulated("the emulator has threads of its own");
  run_procs(PROCS, add_up, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_catalogue),  cmocka_unit_test(test_older_callers),
      cmocka_unit_test(test_histograms), cmocka_unit_test(test_text),
      cmocka_unit_test(test_write),      cmocka_unit_test(test_threads_add_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
