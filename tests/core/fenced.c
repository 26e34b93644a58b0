/* fenced.c: a kernel without membarrier.  Run by without_membarrier.py, which makes this one such.
 *
 * No barrier is issued, the dump says that everybody fences, and what the barrier is for still
 * works: a P is taken from a call that blocks, a parked green thread is cancelled.
 */
#include "support.h"

#include <unistd.h>

static atomic_int leave, entered;

static int stay(void *arg) {
  (void)arg;
  atomic_store(&entered, 1);
  return block_until(&leave);
}

static void block(void *arg) {
  int stayed = 0;
  CHECK_CODE(gs_cgocall(stay, NULL, &stayed), GS_OK);
  CHECK_INT(stayed, 1);
  *(int *)arg = stayed;
}

static void wait_for_cancel(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

static void body(void *arg) {
  (void)arg;
  int stayed = 0;
  gs_handle *blocked = go_named("blocked", block, &stayed);
  gs_handle *parked = go_named("parked", wait_for_cancel, NULL);
  /* There is one P: if it is not taken from the call, nobody gets any further. */
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(&entered) && gs_now() < end;)
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK_CODE(gs_cancel(parked), GS_OK);
  join(parked);
  CHECK_INT(stayed, 0);
  atomic_store(&leave, 1);
  join(blocked);
  gs_metrics m = metrics();
  CHECK_INT(m.barriers, 0);
  CHECK(m.retakes + m.handoffs_entry > 0);
}

static void test_no_barrier(void **state) {
  (void)state;
  run_procs(1, body, NULL);
}

static void test_dump_says_so(void **state) {
  (void)state;
  char text[4096];
  FILE *file = tmpfile();
  assert_non_null(file);
  gs_dump(fileno(file));
  rewind(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  assert_non_null(strstr(text, "fenced"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_barrier),
      cmocka_unit_test(test_dump_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
