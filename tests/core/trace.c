/* trace.c: the record of what ran where.
 *
 * The program writes a trace of a run with green threads, foreign calls and hand-offs to the path
 * it is given; check_trace.py, the next test, reads it as any viewer would.  Here: what
 * gs_trace_start and gs_trace_stop return.
 */
#include "support.h"

#include <unistd.h>

enum { PROCS = 1 };

static const char *path;
static gs_site site = {.name = "sleepy_call"};

static void call_and_yield(void *arg) {
  int ms = 2;
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_cgocall_site(&site, block_ms, &ms, NULL), GS_OK);
    gs_yield();
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  }
  wg_done(arg);
}

static void some_work(void) {
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 8; i++) {
    /* A name that needs escaping in JSON. */
    gs_handle_release(go_named(i == 0 ? "odd \"name\" \\ \n" : "worker", call_and_yield, &wg));
  }
  wg_wait(&wg, 8);
}

static void record(void *arg) {
  (void)arg;
  CHECK_CODE(gs_trace_stop(), GS_EPERM);
  CHECK_CODE(gs_trace_start(NULL), GS_EINVAL);
  CHECK_CODE(gs_trace_start(path), GS_OK);
  CHECK_CODE(gs_trace_start(path), GS_EBUSY);
  some_work();
  CHECK_CODE(gs_trace_stop(), GS_OK);
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

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  path = argv[1];
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_path_that_cannot_be_written),
      cmocka_unit_test(test_record),
      cmocka_unit_test(test_record_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
