/* embed.c: guests: how they start, are waited for and cancelled, and end; with a plugin of the
 * tests' own (embed_guest.c), whose language has commands for what is to be tried. */
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* The plugin finds them here: how often its begin and end were called, which go together; and
 * whether a guest can be stopped now. */
#define FOR_PLUGIN __attribute__((visibility("default")))
FOR_PLUGIN extern atomic_int guests_begun, guests_ended, guest_ready;
atomic_int guests_begun, guests_ended, guest_ready;

static gs_guest *start(const char *source) {
  gs_guest *g = NULL;
  CHECK_CODE(gs_embed("test", source, NULL, &g), GS_OK);
  return g;
}

static gs_guest_end end_of(gs_guest *g) {
  gs_guest_end end = {.size = sizeof end};
  CHECK_CODE(gs_guest_join(g, gs_now() + PATIENCE), GS_OK);
  CHECK_CODE(gs_guest_result(g, &end), GS_OK);
  CHECK_INT(gs_guest_done(g), 1);
  return end;
}

static void ends_with(const char *source, int how, int status, const char *text) {
  gs_guest *g = start(source);
  if (!g) return;
  gs_guest_end end = end_of(g);
  CHECK_INT(end.how, how);
  CHECK_INT(end.status, status);
  CHECK_INT(end.none, text == NULL);
  CHECK(strcmp(end.text, text ? text : "") == 0);
  CHECK_INT(end.length, strlen(end.text));
  CHECK(strcmp(end.trace, how == GS_GUEST_FAILED && text[0] == 'i' ? "line 1\nline 2" : "") == 0);
  gs_guest_release(g);
}

/* ---- how they end ---- */

static void all_ends(void *arg) {
  (void)arg;
  ends_with("return hello", GS_GUEST_RETURNED, 0, "hello");
  ends_with("return", GS_GUEST_RETURNED, 0, NULL);
  ends_with("fail", GS_GUEST_FAILED, 0, "it failed");
  ends_with("exit 3", GS_GUEST_EXITED, 3, NULL);
  ends_with("green threads", GS_GUEST_RETURNED, 0, "10");
  ends_with("say nothing", GS_GUEST_FAILED, 0, "the guest has ended without having said how");
}

/* ---- what they return ---- */

static int type_of(gs_guest_end end) { return gs_value_type(end.value); }

static void values(void *arg) {
  (void)arg;
  gs_value_reader r;
  gs_value_item it;
  gs_guest *g = start("value returns");
  gs_guest_end end = end_of(g);
  CHECK_INT(type_of(end), GS_VALUE_LIST);
  for (int i = 0; i < 2; i++) { /* it can be read more than once */
    gs_value_read(end.value, &r);
    CHECK(gs_value_next(&r, &it) == GS_OK && it.n == 2);
    CHECK(gs_value_next(&r, &it) == GS_OK && it.type == GS_VALUE_INT && it.i == 7);
    CHECK(gs_value_next(&r, &it) == GS_OK && it.type == GS_VALUE_DOUBLE && it.d == 1.5);
  }
  CHECK(strcmp(end.text, "7 1.5") == 0);
  gs_guest_release(g);
  g = start("value fails");
  end = end_of(g);
  CHECK_INT(end.how, GS_GUEST_FAILED);
  CHECK_INT(type_of(end), GS_VALUE_NULL);
  gs_guest_release(g);
  g = start("return hello");
  end = end_of(g);
  gs_value_read(end.value, &r);
  CHECK(gs_value_next(&r, &it) == GS_OK && it.type == GS_VALUE_TEXT && it.n == 5);
  gs_guest_release(g);
  g = start("return \xff");
  CHECK_INT(type_of(end_of(g)), GS_VALUE_BYTES);
  gs_guest_release(g);
  g = start("return");
  CHECK_INT(type_of(end_of(g)), GS_VALUE_NULL);
  CHECK_CODE(gs_guest_value(g, NULL), GS_EINVAL);
  CHECK_CODE(gs_guest_value(NULL, &(gs_value){{0, 0}}), GS_EINVAL);
  gs_guest_release(g);
}

static void test_values(void **state) {
  (void)state;
  run_procs(2, values, NULL);
}

static void test_ends(void **state) {
  (void)state;
  run_procs(2, all_ends, NULL);
}

static void options(void *arg) {
  static const char *const args[] = {"a", "b c", NULL};
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  gs_guest *g;
  (void)arg;
  opts.name = "mine";
  opts.args = args;
  CHECK_CODE(gs_embed("test", "arguments", &opts, &g), GS_OK);
  CHECK(strcmp(end_of(g).text, "mine a b c") == 0);
  gs_guest_release(g);
  CHECK_CODE(gs_embed("test", "arguments", NULL, &g), GS_OK);
  CHECK(strcmp(end_of(g).text, "test") == 0);
  gs_guest_release(g);
}

static void test_options(void **state) {
  (void)state;
  run_procs(2, options, NULL);
}

/* ---- errors ---- */

static void refused(int code, const char *language, const char *source,
                    const gs_embed_options *opts, const char *says) {
  gs_guest *g = (gs_guest *)1;
  CHECK_CODE(gs_embed(language, source, opts, &g), code);
  CHECK(g == NULL);
  CHECK(strstr(gs_error_detail(), says) != NULL);
}

static void errors(void *arg) {
  static const gs_embed_options small = {.size = 8};
  (void)arg;
  refused(GS_EINVAL, NULL, "return", NULL, "language is NULL");
  refused(GS_EINVAL, "test", NULL, NULL, "source is NULL");
  refused(GS_EINVAL, "test", "return", &small, "opts->size is 8");
  refused(GS_EINVAL, "../test", "return", NULL, "language is \"../test\"");
  refused(GS_EINVAL, "", "return", NULL, "language is \"\"");
  refused(GS_ENOLIB, "cobol", "return", NULL, "there is no gosched-guest-cobol.so");
  CHECK_CODE(gs_embed("test", "return", NULL, NULL), GS_EINVAL);
  CHECK_CODE(gs_guest_join(NULL, 0), GS_EINVAL);
  CHECK_CODE(gs_guest_cancel(NULL), GS_EINVAL);
  gs_guest_release(NULL);
  setenv("TEST_GUEST_REFUSES", "1", 1);
  refused(GS_ENOTSUP, "test", "return", NULL, "not today");
  unsetenv("TEST_GUEST_REFUSES");
  setenv("TEST_GUEST_CALLBACK_FAILS", "1", 1);
  int begun = atomic_load(&guests_begun) - atomic_load(&guests_ended);
  refused(GS_ECALLBACK, "test", "return", NULL, gs_strerror(GS_ECALLBACK));
  CHECK_INT(atomic_load(&guests_begun) - atomic_load(&guests_ended), begun);
  unsetenv("TEST_GUEST_CALLBACK_FAILS");
  gs_guest *g = start("wait");
  gs_guest_end end = {.size = 8};
  CHECK_CODE(gs_guest_result(g, &end), GS_EINVAL);
  end.size = sizeof end;
  CHECK_CODE(gs_guest_result(g, &end), GS_EWOULDBLOCK);
  CHECK_CODE(gs_guest_join(g, gs_now() + MS(1)), GS_ETIMEOUT);
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  CHECK_INT(end_of(g).how, GS_GUEST_CANCELLED);
  gs_guest_release(g);
}

static void test_errors(void **state) {
  (void)state;
  run_procs(2, errors, NULL);
  gs_guest *g;
  assert_int_equal(gs_embed("test", "return", NULL, &g), GS_EPERM);
  assert_non_null(strstr(gs_error_detail(), "no gs_run is under way"));
}

/* ---- cancelling ---- */

static void taken_back(void *arg) {
  (void)arg;
  gs_guest *g = start("take back");
  while (!atomic_load(&guest_ready)) gs_sleep(MS(1));
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  CHECK(strcmp(end_of(g).text, "kept") == 0);
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  gs_guest_release(g);
}

static void test_taken_back(void **state) {
  (void)state;
  run_procs(2, taken_back, NULL);
}

/* A guest that forks while somebody is about to stop it. */
static void forking_guest(void *arg) {
  (void)arg;
  atomic_store(&guest_ready, 0);
  gs_guest *g = start("fork while stopped");
  while (!atomic_load(&guest_ready)) gs_sleep(MS(1));
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  CHECK(strcmp(end_of(g).text, "went on") == 0);
  gs_guest_release(g);
}

static void test_forking_guest(void **state) {
  (void)state;
  run_procs(2, forking_guest, NULL);
}

static void come_late(void *arg) {
  (void)arg;
  gs_guest *g = start("come late");
  CHECK_CODE(gs_guest_cancel(g), GS_OK);
  CHECK(strcmp(end_of(g).text, "told") == 0);
  gs_guest_release(g);
}

static void test_come_late(void **state) {
  (void)state;
  run_procs(2, come_late, NULL);
}

static gs_guest *left[3];

static void leave_them(void *arg) {
  (void)arg;
  for (size_t i = 0; i < COUNT(left); i++) left[i] = start("wait");
}

/* The end of gs_run does to a guest what it does to green threads. */
static void test_end_of_run(void **state) {
  (void)state;
  run_procs(2, leave_them, NULL);
  for (size_t i = 0; i < COUNT(left); i++) {
    gs_guest_end end = {.size = sizeof end};
    assert_int_equal(gs_guest_join(left[i], 0), GS_OK);
    assert_int_equal(gs_guest_result(left[i], &end), GS_OK);
    assert_int_equal(end.how, GS_GUEST_CANCELLED);
    gs_guest_release(left[i]);
  }
  assert_int_equal(atomic_load(&guests_begun), atomic_load(&guests_ended));
}

static void release_it(void *arg) {
  (void)arg;
  gs_guest_release(start("wait"));
}

static void test_released(void **state) {
  (void)state;
  run_procs(2, release_it, NULL);
}

/* Who is cancelled while it joins does not take the guest along. */
static void join_it(void *arg) { CHECK_CODE(gs_guest_join(arg, GS_FOREVER), GS_ECANCELED); }

static void cancelled_join(void *arg) {
  (void)arg;
  gs_guest *g = start("wait");
  gs_handle *h = go_named("joiner", join_it, g);
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  gs_cancel(h);
  join(h);
  CHECK_INT(gs_guest_done(g), 0);
  gs_guest_cancel(g);
  CHECK_INT(end_of(g).how, GS_GUEST_CANCELLED);
  gs_guest_release(g);
}

static void test_cancelled_join(void **state) {
  (void)state;
  run_procs(2, cancelled_join, NULL);
}

/* ---- deadlocks ---- */

static void no_deadlock(void *arg) {
  (void)arg;
  gs_guest *g = start("wait");
  /* Everybody is asleep, and the guest may wake somebody. */
  CHECK_CODE(gs_guest_join(g, gs_now() + MS(50)), GS_ETIMEOUT);
  CHECK_INT(gs_deadlocked(0), 0);
  gs_guest_cancel(g);
  gs_guest_release(g);
  gs_sleep(MS(1));
}

static void test_no_deadlock(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.flags = GS_RUN_DETECT_DEADLOCK;
  run_config(&cfg, no_deadlock, NULL);
}

/* ---- the end of the process ---- */

static int leave_and_exit(void *arg) {
  (void)arg;
  gs_guest *g;
  if (gs_embed("test", "wait", NULL, &g) != GS_OK) return 1;
  exit(7);
  return 0;
}

/* exit ends what can be ended, and the process ends in any case. */
static int scenario_exit(void) { return gs_run(NULL, leave_and_exit, NULL, NULL); }

static void test_exit(void **state) {
  (void)state;
  child c;
  child_run(&c, "exit", NULL);
  assert_child_exit(&c, 7);
}

/* In a child of fork there are no guests. */
static void forking(void *arg) {
  (void)arg;
  gs_guest *g = start("wait");
  pid_t pid = fork();
  if (pid == 0) {
    gs_guest_end end = {.size = sizeof end};
    int bad = gs_guest_join(g, GS_FOREVER) != GS_OK || gs_guest_result(g, &end) != GS_OK ||
              end.how != GS_GUEST_CANCELLED;
    gs_guest_cancel(g);
    gs_guest_release(g);
    _exit(bad);
  }
  int status = -1;
  CHECK_INT(waitpid(pid, &status, 0), pid);
  CHECK_INT(status, 0);
  gs_guest_cancel(g);
  CHECK_INT(end_of(g).how, GS_GUEST_CANCELLED);
  gs_guest_release(g);
}

static void test_fork(void **state) {
  (void)state;
  run_procs(2, forking, NULL);
}

static void some_at_once(void *arg) {
  gs_guest *g[10];
  (void)arg;
  for (size_t i = 0; i < COUNT(g); i++) g[i] = start(i % 2 ? "wait" : "green threads");
  CHECK_CODE(gs_guests_end(gs_now() + PATIENCE), GS_OK);
  for (size_t i = 0; i < COUNT(g); i++) {
    CHECK_INT(gs_guest_done(g[i]), 1);
    CHECK_INT(end_of(g[i]).how, i % 2 ? GS_GUEST_CANCELLED : GS_GUEST_RETURNED);
    gs_guest_release(g[i]);
  }
}

static void test_many(void **state) {
  (void)state;
  run_procs(2, some_at_once, NULL);
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {{"exit", scenario_exit}};
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ends),        cmocka_unit_test(test_options),
      cmocka_unit_test(test_values),      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_taken_back),  cmocka_unit_test(test_end_of_run),
      cmocka_unit_test(test_released),    cmocka_unit_test(test_cancelled_join),
      cmocka_unit_test(test_no_deadlock), cmocka_unit_test(test_exit),
      cmocka_unit_test(test_fork),        cmocka_unit_test(test_many),
      cmocka_unit_test(test_come_late),   cmocka_unit_test(test_forking_guest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
