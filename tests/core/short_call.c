/* short_call.c: calls of a site that is known to be short, which go the shortest way.
 *
 * That way stores less than the general one, so here is what must be seen all the same: counters,
 * states, errno, callbacks inside, the stack from inside out; and what must still happen: the P
 * goes to others when a call turns long, or when the caller has used up its slice.
 */
#include "support.h"

#include "runtime.h"

#include <execinfo.h>
#include <unistd.h>

enum { PROCS = 1, LEARN = 40 };

static int nothing(void *arg) {
  (void)arg;
  return 5;
}

static gs_site site = {.name = "a short one"};

static void learn(void) {
  for (int i = 0; i < LEARN; i++) CHECK_CODE(gs_cgocall_site(&site, nothing, NULL, NULL), GS_OK);
}

/* ---- counters ---- */

static int count_inside(void *arg) {
  gs_metrics *seen = arg;
  *seen = metrics();
  return 0;
}

static void counters(void *arg) {
  (void)arg;
  learn();
  gs_metrics before = metrics(), inside = {0}, after;
  for (int i = 0; i < 100; i++) CHECK_CODE(gs_cgocall_site(&site, nothing, NULL, NULL), GS_OK);
  CHECK_CODE(gs_cgocall_site(&site, count_inside, &inside, NULL), GS_OK);
  after = metrics();
  CHECK_INT(before.incgo, 0);
  CHECK_INT(inside.incgo, 1);
  CHECK_INT(after.incgo, 0);
  CHECK_INT(inside.cgocalls - before.cgocalls, 101);
  CHECK_INT(after.cgocalls - before.cgocalls, 101);
  CHECK_INT(after.exits_fast + after.exits_idle_p + after.exits_slow,
            before.exits_fast + before.exits_idle_p + before.exits_slow + 101);
  CHECK_INT(inside.exits_fast + inside.exits_idle_p + inside.exits_slow + 1,
            after.exits_fast + after.exits_idle_p + after.exits_slow);
}

static void test_counters(void **state) {
  (void)state;
  run_procs(PROCS, counters, NULL);
}

/* ---- what a dump says of it ---- */

static int dump_inside(void *arg) {
  char *text = arg;
  FILE *f = tmpfile();
  if (!f) return -1;
  gs_dump(fileno(f));
  rewind(f);
  size_t n = fread(text, 1, 8191, f);
  text[n] = 0;
  fclose(f);
  return 0;
}

static void states(void *arg) {
  (void)arg;
  static char text[8192];
  learn();
  int result = -1;
  CHECK_CODE(gs_cgocall_site(&site, dump_inside, text, &result), GS_OK);
  CHECK_INT(result, 0);
  CHECK(strstr(text, "\"main\": syscall in a short one") != NULL);
  CHECK(strstr(text, " call p=") != NULL || strstr(text, " call+fenced p=") != NULL);
  CHECK(strstr(text, "incgo=1 ncgo=1") != NULL);
}

static void test_states(void **state) {
  (void)state;
  run_procs(PROCS, states, NULL);
}

/* ---- called back out of, and all is well afterwards ---- */

static int try_things(void *arg) {
  gs_chan *c = arg;
  int value = 1;
  gs_yield();
  CHECK_CODE(gs_sleep(US(10)), GS_OK);
  CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_cgocall_site(&site, nothing, NULL, NULL), GS_OK);
  CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
  errno = 77;
  return 9;
}

static void called_back(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 4);
  learn();
  for (int i = 0; i < 3; i++) {
    int result = 0, value = 0;
    CHECK_CODE(gs_cgocall_site(&site, try_things, c, &result), GS_OK);
    CHECK_INT(gs_errno(), 77);
    CHECK_INT(result, 9);
    for (int k = 0; k < 2; k++) {
      CHECK_CODE(gs_chan_recv(c, &value, GS_FOREVER), GS_OK);
      CHECK_INT(value, 1);
    }
    CHECK_CODE(gs_cgocall_site(&site, nothing, NULL, &result), GS_OK);
    CHECK_INT(result, 5);
    gs_yield();
  }
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_called_back(void **state) {
  (void)state;
  run_procs(PROCS, called_back, NULL);
}

/* ---- a short one that turns long ---- */

static atomic_int flag;

static void set_flag(void *arg) {
  (void)arg;
  atomic_store(&flag, 1);
}

static int wait_for_flag(void *arg) {
  (void)arg;
  int seen = block_until(&flag);
  errno = 78;
  return seen;
}

static void turns_long(void *arg) {
  (void)arg;
  for (int i = 0; i < 5; i++) {
    learn();
    int seen = 0;
    atomic_store(&flag, 0);
    uint64_t before = metrics().cgocalls;
    gs_handle *other = go_named("setter", set_flag, NULL);
    CHECK_CODE(gs_cgocall_site(&site, wait_for_flag, NULL, &seen), GS_OK);
    CHECK_INT(gs_errno(), 78);
    CHECK_INT(seen, 1);
    CHECK_INT(metrics().cgocalls - before, 1);
    join(other);
    site = (gs_site){.name = "a short one"}; /* it would be known long now */
  }
}

static void test_turns_long(void **state) {
  (void)state;
  run_procs(PROCS, turns_long, NULL);
}

/* ---- a loop of them gives way ---- */

static int look(void *arg) {
  (void)arg;
  errno = 79;
  return atomic_load(&flag);
}

static void gives_way(void *arg) {
  (void)arg;
  learn();
  atomic_store(&flag, 0);
  gs_handle *other = go_named("setter", set_flag, NULL);
  int seen = 0;
  for (int64_t until = in_ms(30000); !seen && gs_now() < until;) {
    CHECK_CODE(gs_cgocall_site(&site, look, NULL, &seen), GS_OK);
    CHECK_INT(gs_errno(), 79);
  }
  CHECK_INT(seen, 1);
  join(other);
}

static void test_gives_way(void **state) {
  (void)state;
  run_procs(PROCS, gives_way, NULL);
}

/* The same without sysmon's help, and without the kernel's, which may take the CPU from the loop
 * above in the middle of a call: whoever is asked gives way at the end of that call.  Now and then
 * sysmon takes the P in between, and then the order is another one. */
static void gives_way_when_asked(void *arg) {
  (void)arg;
  int gave_way = 0;
  for (int i = 0; i < 100; i++) {
    site = (gs_site){.name = "a short one"}; /* it may just have been found long */
    learn();
    atomic_store(&flag, 0);
    gs_handle *other = go_named("setter", set_flag, NULL);
    store_rlx(&gs_getm()->p->preempt, 1);
    int seen = 0;
    CHECK_CODE(gs_cgocall_site(&site, look, NULL, &seen), GS_OK);
    gave_way += atomic_load(&flag);
    join(other);
  }
  CHECK(gave_way > 50);
}

static void test_gives_way_when_asked(void **state) {
  (void)state;
  run_procs(PROCS, gives_way_when_asked, NULL);
}

/* ---- the stack, seen from inside ---- */

static void *caller_of_marker;

static int trace_back(void *arg) {
  (void)arg;
  void *pcs[64];
  int n = backtrace(pcs, 64);
  for (int i = 0; i < n; i++)
    if (pcs[i] == caller_of_marker) return 1;
  return 0;
}

__attribute__((noinline)) static void marker(int *found) {
  caller_of_marker = __builtin_return_address(0);
  CHECK_CODE(gs_cgocall_site(&site, trace_back, NULL, found), GS_OK);
}

static void walks(void *arg) {
  (void)arg;
  int found = 0;
  learn();
  marker(&found);
  CHECK_INT(found, 1);
}

static void test_walks(void **state) {
  (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  print_message("skipped: the sanitizer's own bridge stands between the stacks\n");
  skip();
#endif
  run_procs(PROCS, walks, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counters),    cmocka_unit_test(test_states),
      cmocka_unit_test(test_called_back), cmocka_unit_test(test_turns_long),
      cmocka_unit_test(test_gives_way),   cmocka_unit_test(test_gives_way_when_asked),
      cmocka_unit_test(test_walks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
