/* profile.c: the profile of foreign functions.  What blocks is counted by name, when it is over and
 * before; what keeps its P is sampled.
 */
#include "support.h"

enum { PROCS = 2, CALLS = PROCS + 2 };

static atomic_int over;

static int until_over(void *arg) {
  (void)arg;
  return block_until(&over);
}

/* Two sites of the same function: one entry. */
static const char blocking_name[] = "until_over";
static gs_site blocking[2] = {{.name = blocking_name}, {.name = blocking_name}};
static gs_site alone = {.name = "alone_until_over"};
static atomic_int next_site;

static void calls(void *arg) {
  gs_site *site = &blocking[atomic_fetch_add(&next_site, 1) % 2];
  CHECK_CODE(gs_cgocall_site(site, until_over, NULL, NULL), GS_OK);
  wg_done(arg);
}

static gs_profile_entry find(const char *name) {
  static gs_profile_entry e[2000];
  gs_profile_entry found = {.name = NULL};
  size_t n = gs_profile(e, COUNT(e));
  CHECK(n <= COUNT(e));
  int times = 0;
  for (size_t i = 0; i < n; i++) {
    if (i) CHECK(e[i].blocked_ns + e[i].sampled_ns <= e[i - 1].blocked_ns + e[i - 1].sampled_ns);
    if (strcmp(e[i].name, name) == 0) {
      found = e[i];
      times++;
    }
  }
  CHECK(times <= 1);
  return found;
}

static void blocked(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  gs_profile_entry before = find(blocking_name), e = before;
  atomic_store(&over, 0);
  int64_t until = gs_now() + PATIENCE;
  for (int i = 0; i < CALLS; i++) go(calls, &wg);
  /* All under way, and without their Ps. */
  while ((e.now < CALLS || e.blocked - before.blocked < CALLS) && gs_now() < until) {
    gs_sleep(US(500));
    e = find(blocking_name);
  }
  CHECK_INT(e.now, CALLS);
  CHECK_INT(e.blocked - before.blocked, CALLS);
  CHECK(e.blocked_ns > before.blocked_ns);
  CHECK(e.longest_ns > 0 && e.longest_ns <= e.blocked_ns);
  gs_sleep(MS(1)); /* it grows while they are under way */
  CHECK(find(blocking_name).blocked_ns >= e.blocked_ns + CALLS * MS(1));
  atomic_store(&over, 1);
  wg_wait(&wg, CALLS);
  gs_profile_entry after = find(blocking_name);
  CHECK_INT(after.now, 0);
  CHECK_INT(after.blocked - before.blocked, CALLS);
  CHECK(after.blocked_ns >= e.blocked_ns);
  CHECK(after.retakes <= after.blocked + metrics().retakes);
  /* The beginning of the list is the same as the whole. */
  gs_profile_entry first[2];
  size_t all = gs_profile(NULL, 0);
  CHECK(all >= 1);
  CHECK_INT(gs_profile(first, 1), all);
  CHECK(first[0].blocked_ns + first[0].sampled_ns >= after.blocked_ns);
}

static void test_blocked(void **state) {
  (void)state;
  run_procs(PROCS, blocked, NULL);
  run_procs(PROCS, blocked, NULL);
}

/* Nothing else wants its P: it is seen all the same. */
static void seen(void *arg) {
  gs_site *site = arg;
  CHECK_CODE(gs_cgocall_site(site, until_over, NULL, NULL), GS_OK);
}

static void sampled(void *arg) {
  (void)arg;
  atomic_store(&over, 0);
  gs_handle *h = go_named("sampled", seen, &alone);
  gs_profile_entry e = find(alone.name);
  int64_t until = gs_now() + PATIENCE;
  while (e.samples + e.blocked == 0 && gs_now() < until) {
    gs_sleep(MS(1));
    e = find(alone.name);
  }
  CHECK(e.samples + e.blocked > 0);
  CHECK(e.sampled_ns + e.blocked_ns > 0);
  CHECK_INT(e.now, 1);
  atomic_store(&over, 1);
  join(h);
  CHECK_INT(find(alone.name).now, 0);
}

static void test_sampled(void **state) {
  (void)state;
  run_procs(PROCS, sampled, NULL);
}

/* More functions than the table has room for. */
static int no_wait(void *arg) {
  (void)arg;
  return 0;
}

static void done(void *arg) { wg_done(arg); }

static void many(void *arg) {
  (void)arg;
  enum { MANY = 1500 };
  static char names[MANY][16];
  static gs_site sites[MANY];
  for (int i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof names[i], "many%d", i);
    sites[i] = (gs_site){.name = names[i], .flags = GS_SITE_BLOCKING};
  }
  /* A hint hands the P off at entry if work waits. */
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < MANY; i++) {
      wait_group wg;
      wg_init(&wg);
      go(done, &wg);
      CHECK_CODE(gs_cgocall_site(&sites[i], no_wait, NULL, NULL), GS_OK);
      wg_wait(&wg, 1);
    }
  size_t all = gs_profile(NULL, 0);
  CHECK(all <= 1025);
  if (all > 1024) CHECK(find("other functions").blocked > 0);
}

static void test_many(void **state) {
  (void)state;
  run_procs(PROCS, many, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocked),
      cmocka_unit_test(test_sampled),
      cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
