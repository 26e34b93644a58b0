/* trace.c: the record of what ran where, and what a subscriber is told.
 *
 * The program writes a trace of a run with green threads, foreign calls, callbacks and hand-offs to
 * the path it is given, and one of a run during which many were started and stopped to that path
 * and
 * ".busy"; check_trace.py, the next tests, reads them as any viewer would.  Here: what the
 * functions return, and that a subscriber sees what the metrics count.
 */
#include "support.h"

#include <pthread.h>
#include <unistd.h>

#include "gosched_domain.h"

enum { PROCS = 1, WORKERS = 8, CALLS = 10, BACKS = 3 };

static const char *path;
static gs_site site = {.name = "sleepy_call"};

static void call_and_yield(void *arg) {
  int ms = 2;
  for (int i = 0; i < CALLS; i++) {
    CHECK_CODE(gs_cgocall_site(&site, block_ms, &ms, NULL), GS_OK);
    gs_yield();
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  }
  wg_done(arg);
}

/* A call that cannot end unless it loses its P: there is only one. */
static atomic_int other_ran;

static int until_other_ran(void *arg) {
  (void)arg;
  return block_until(&other_ran);
}

static void other(void *arg) {
  atomic_store(&other_ran, 1);
  wg_done(arg);
}

static void wait_for_other(wait_group *wg) {
  static gs_site must_block = {.name = "waits for another"};
  atomic_store(&other_ran, 0);
  go(other, wg);
  CHECK_CODE(gs_cgocall_site(&must_block, until_other_ran, NULL, NULL), GS_OK);
}

static void sleeps(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
}

static int calls_back(void *arg) {
  for (int i = 0; i < BACKS; i++) CHECK_CODE(gs_cgocallback(sleeps, arg), GS_OK);
  return 0;
}

static void some_work(void) {
  static gs_site back_site = {.name = "calls_back"};
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < WORKERS; i++) {
    /* A name that needs escaping in JSON. */
    gs_handle_release(go_named(i == 0 ? "odd \"name\" \\ \n" : "worker", call_and_yield, &wg));
  }
  wait_for_other(&wg);
  CHECK_CODE(gs_cgocall_site(&back_site, calls_back, NULL, NULL), GS_OK);
  wg_wait(&wg, WORKERS + 1);
}

static void nothing(void *arg) { (void)arg; }

/* All but this one have ended, off their stacks too. */
static void all_quiet(void) {
  join(go_named("last", nothing, NULL));
  int64_t until = gs_now() + PATIENCE;
  while (metrics().gs_live > 1 && gs_now() < until) gs_sleep(US(500));
  CHECK_INT(metrics().gs_live, 1);
}

/* In a stopped world, so that no event comes between the metrics and the rings. */
static void record(void *arg) {
  (void)arg;
  CHECK_CODE(gs_trace_stop(), GS_EPERM);
  CHECK_CODE(gs_trace_start(NULL), GS_EINVAL);
  CHECK_CODE(gs_trace_start(""), GS_EINVAL);
  all_quiet();
  CHECK_CODE(gs_stop_world("trace"), GS_OK);
  CHECK_CODE(gs_trace_start(path), GS_OK);
  CHECK_CODE(gs_start_world(), GS_OK);
  CHECK_CODE(gs_trace_start(path), GS_EBUSY);
  some_work();
  all_quiet();
  CHECK_CODE(gs_stop_world("trace"), GS_OK);
  CHECK_CODE(gs_trace_stop(), GS_OK);
  CHECK_CODE(gs_start_world(), GS_OK);
  CHECK_CODE(gs_trace_stop(), GS_EPERM);
}

static void test_record(void **state) {
  (void)state;
  run_procs(PROCS, record, NULL);
  assert_int_equal(access(path, R_OK), 0);
}

/* The last trace is what check_trace.py gets; it must hold nothing of the first. */
static void test_record_again(void **state) {
  (void)state;
  assert_int_equal(unlink(path), 0);
  run_procs(PROCS, record, NULL);
  assert_int_equal(access(path, R_OK), 0);
}

static void nowhere(void *arg) {
  (void)arg;
  int code = gs_trace_start("/nonexistent/folder/trace.json");
  CHECK(code == GS_OK || code == GS_ESYS);
  if (code == GS_OK) CHECK_CODE(gs_trace_stop(), GS_ESYS);
  CHECK_INT(gs_errno(), ENOENT);
  CHECK_CODE(gs_trace_stop(), GS_EPERM); /* over, though nothing was written */
}

static void test_a_path_that_cannot_be_written(void **state) {
  (void)state;
  run_procs(PROCS, nowhere, NULL);
}

/* ---- subscribers ---- */

enum { KINDS = GS_TRACE_STEAL + 1 };
static atomic_ullong seen[KINDS];
static atomic_int wrong_events, own_ud, deaf;

static void count(const gs_trace_event *e, void *ud) {
  int bad = ud != &own_ud || e->kind < GS_TRACE_GO || e->kind >= KINDS || !e->text ||
            e->when > gs_now() || atomic_load(&deaf);
  if (e->kind < GS_TRACE_HANDOFF && (e->g == 0 || e->p >= 0)) bad = 1;
  if (strcmp(e->text, "stop the world") == 0) return; /* a call of the test's own, half of it */
  if (e->kind >= GS_TRACE_RELIEF && (e->p < 0 || e->g)) bad = 1;
  atomic_fetch_add(&wrong_events, bad);
  if (!bad) atomic_fetch_add(&seen[e->kind], 1);
}

static void listen_to_work(void *arg) {
  (void)arg;
  all_quiet();
  CHECK_CODE(gs_stop_world("subscribe"), GS_OK);
  gs_metrics a = metrics();
  CHECK_CODE(gs_trace_subscribe(count, &own_ud), GS_OK);
  CHECK_CODE(gs_trace_subscribe(count, &own_ud), GS_EBUSY);
  CHECK_CODE(gs_start_world(), GS_OK);
  some_work();
  all_quiet();
  CHECK_CODE(gs_stop_world("subscribe"), GS_OK);
  gs_metrics b = metrics();
  CHECK_CODE(gs_trace_subscribe(NULL, NULL), GS_OK);
  atomic_store(&deaf, 1);
  CHECK_CODE(gs_trace_subscribe(NULL, NULL), GS_OK);
  CHECK_CODE(gs_start_world(), GS_OK);
  some_work(); /* nobody is told any more */
  CHECK_INT(atomic_load(&wrong_events), 0);
  CHECK_INT(seen[GS_TRACE_GO], b.switches - a.switches);
  CHECK_INT(seen[GS_TRACE_PARK], b.parks - a.parks);
  CHECK_INT(seen[GS_TRACE_CALL], b.cgocalls - a.cgocalls);
  CHECK_INT(seen[GS_TRACE_RETURN], seen[GS_TRACE_CALL]);
  CHECK_INT(seen[GS_TRACE_CALLBACK], BACKS);
  CHECK_INT(seen[GS_TRACE_CALLBACK_END], BACKS);
  CHECK_INT(seen[GS_TRACE_HANDOFF], b.handoffs_entry - a.handoffs_entry);
  /* Of the call that main was in when it subscribed it is a relief. */
  CHECK_INT(seen[GS_TRACE_RETAKE] + seen[GS_TRACE_RELIEF],
            b.retakes + b.retakes_user - a.retakes - a.retakes_user);
  CHECK_INT(seen[GS_TRACE_STEAL], b.steals - a.steals);
  CHECK(seen[GS_TRACE_PASS] > 0 && seen[GS_TRACE_PASS] <= b.handoffs - a.handoffs);
  CHECK(seen[GS_TRACE_P_START] > 0 && seen[GS_TRACE_P_STOP] > 0);
  CHECK(seen[GS_TRACE_UNPARK] > 0);
}

static void test_subscriber(void **state) {
  (void)state;
  run_procs(PROCS, listen_to_work, NULL);
}

/* ---- traces that begin and end while everything is under way ---- */

static char busy_path[4096];
static atomic_int enough;

static void count_any(const gs_trace_event *e, void *ud) {
  (void)e;
  atomic_fetch_add((atomic_ullong *)ud, 1);
}

/* A thread that the scheduler does not know. */
static void *start_and_stop(void *arg) {
  static atomic_ullong n;
  int rounds = SCALE(30);
  for (int i = 0; i < rounds; i++) {
    CHECK_CODE(gs_trace_start(busy_path), GS_OK);
    if (i % 3 == 0) CHECK_CODE(gs_trace_subscribe(count_any, &n), GS_OK);
    usleep(3000);
    if (i % 3 == 0) CHECK_CODE(gs_trace_subscribe(NULL, NULL), GS_OK);
    CHECK_CODE(gs_trace_stop(), GS_OK);
  }
  atomic_store(&enough, 1);
  return arg;
}

static int at_once(void *arg) {
  (void)arg;
  return 0;
}

static void keeps_busy(void *arg) {
  int ms = 1;
  for (int i = 0; !atomic_load(&enough); i++) {
    gs_cgocall_site(&site, i % 8 ? at_once : block_ms, &ms, NULL);
    if (i % 5 == 0) gs_sleep(US(200));
    gs_yield();
  }
  wg_done(arg);
}

/* Its thread ends with it, and its M is used again. */
static void ends_its_thread(void *arg) {
  gs_lock_os_thread();
  gs_yield();
  wg_done(arg);
}

static void makes_threads(void *arg) {
  while (!atomic_load(&enough)) {
    wait_group wg;
    wg_init(&wg);
    for (int i = 0; i < 3; i++) go(ends_its_thread, &wg);
    wg_wait(&wg, 3);
  }
  wg_done(arg);
}

static int join_thread(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void busy(void *arg) {
  (void)arg;
  wait_group wg;
  pthread_t t;
  wg_init(&wg);
  for (int i = 0; i < 6; i++) go(keeps_busy, &wg);
  go(makes_threads, &wg);
  CHECK_INT(pthread_create(&t, NULL, start_and_stop, NULL), 0);
  wg_wait(&wg, 7);
  CHECK_CODE(gs_cgocall(join_thread, &t, NULL), GS_OK);
}

static void test_busy(void **state) {
  (void)state;
  run_procs(PROCS, busy, NULL);
  assert_int_equal(access(busy_path, R_OK), 0);
}

/* ---- tracks that a language tells of ---- */

enum { MANY = 9000 }; /* more than a trace keeps */

static void *mark_on(void *arg) {
  for (uint64_t i = 0; !atomic_load((atomic_int *)arg); i++)
    gs_trace_track(10 + i % 3, "another thread's", i % 2 ? GS_TRACK_RUNS : GS_TRACK_WAITS, "more");
  return NULL;
}

static char *read_trace(const char *name) {
  static char text[4 << 20];
  FILE *f = fopen(name, "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
  fclose(f);
  return text;
}

static void test_tracks(void **state) {
  char name[PATH_MAX];
  atomic_int stop = 0;
  pthread_t t;
  (void)state;
  snprintf(name, sizeof name, "%s.tracks", path);
  assert_int_equal(pthread_create(&t, NULL, mark_on, &stop), 0);
  for (int i = 0; i < 20; i++) { /* begins and ends while marks are made */
    assert_int_equal(gs_trace_recording(), 0);
    gs_trace_track(7, "before", GS_TRACK_RUNS, NULL);
    assert_int_equal(gs_trace_start(name), GS_OK);
    assert_int_equal(gs_trace_recording(), 1);
    usleep(100);
    assert_int_equal(gs_trace_stop(), GS_OK);
  }
  atomic_store(&stop, 1);
  pthread_join(t, NULL);
  assert_int_equal(gs_trace_start(name), GS_OK);
  gs_trace_track(7, "mine \"7\"", GS_TRACK_RUNS, NULL);
  usleep(10);
  gs_trace_track(7, "mine", GS_TRACK_WAITS, "for a thing");
  usleep(10);
  gs_trace_track(7, "mine", GS_TRACK_ENDED, NULL);
  gs_trace_track(8, "thirty characters are here....\xc3\xa4", GS_TRACK_RUNS, NULL);
  assert_int_equal(gs_trace_stop(), GS_OK);
  const char *text = read_trace(name);
  assert_non_null(strstr(text,
                         "\"pid\":4,\"tid\":7,\"name\":\"thread_name\",\"args\":{\"name\":"
                         "\"mine \\\"7\\\"\"}"));
  assert_non_null(strstr(text, "\"cat\":\"track-g\",\"name\":\"mine \\\"7\\\"\"}"));
  assert_non_null(strstr(text, "\"cat\":\"track-wait\",\"name\":\"for a thing\"}"));
  assert_non_null(strstr(text, "\"name\":\"thirty characters are here....\"}"));
  assert_null(strstr(text, "before"));
  assert_non_null(strstr(text, "\"lost\":0,"));
  assert_int_equal(gs_trace_start(name), GS_OK);
  for (int i = 0; i < MANY; i++) gs_trace_track(9, "many", i % 2, "a wait");
  assert_int_equal(gs_trace_stop(), GS_OK);
  assert_non_null(strstr(read_trace(name), "\"lost\":808,")); /* 8192 are kept */
  unlink(name);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  path = argv[1];
  snprintf(busy_path, sizeof busy_path, "%s.busy", path);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_path_that_cannot_be_written),
      cmocka_unit_test(test_record),
      cmocka_unit_test(test_record_again),
      cmocka_unit_test(test_subscriber),
      cmocka_unit_test(test_busy),
      cmocka_unit_test(test_tracks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
