/* hosts.c: a C program hosts Lua, Tcl and Python.
 *
 * usage: hosts LIBRARY, which is that of meeting.c
 */
#include <gosched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sources.h"

#define PATIENCE (gs_now() + INT64_C(60000000000))

static const char *library;
static int failures;

static void expect(int line, int ok, const char *what, const char *got) {
  if (ok) return;
  printf("%s:%d: %s; got: %s\n", __FILE__, line, what, got);
  failures++;
}

#define EXPECT(ok, got) expect(__LINE__, (ok), #ok, (got))

/* Inside a green thread nothing may jump out: what is wrong is counted. */
static int call(void *arg) {
  (*(void (**)(void))arg)();
  return 0;
}

static void run(void (*fn)(void)) {
  int result;
  failures = 0;
  int e = gs_run(NULL, call, &fn, &result);
  if (e != GS_OK) printf("gs_run: %s\n", gs_error_detail());
  assert_int_equal(e, GS_OK);
  assert_int_equal(failures, 0);
}

static gs_guest *start(const char *language, const char *source, const char *const *args) {
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  gs_guest *g = NULL;
  opts.args = args;
  int e = gs_embed(language, source, &opts, &g);
  EXPECT(e == GS_OK, gs_error_detail());
  return g;
}

/* Says what is true of the end of a guest, and releases it. */
static void ends(int line, gs_guest *g, int how, int status, const char *text, const char *trace) {
  gs_guest_end end = {.size = sizeof end};
  if (!g) return;
  int e = gs_guest_join(g, PATIENCE);
  expect(line, e == GS_OK, "it ends", gs_strerror(e));
  if (e == GS_OK) {
    gs_guest_result(g, &end);
    expect(line, end.how == how && end.status == status, "how it ends", end.text);
    if (text) expect(line, strstr(end.text, text) != NULL, text, end.text);
    if (trace) expect(line, strstr(end.trace, trace) != NULL, trace, end.trace);
  }
  gs_guest_release(g);
}

#define ENDS(g, how, status, text, trace) ends(__LINE__, g, how, status, text, trace)

/* ---- each by itself -------------------------------------------------------------------------- */

static void results(void) {
  static const char *const args[] = {"one", "zwei \xc3\xa4", NULL};
  ENDS(start("lua", "return select('#', ...) .. arg[2]", args), GS_GUEST_RETURNED, 0,
       "2zwei \xc3\xa4", "");
  ENDS(start("tcl", "return $argc[lindex $argv 1]", args), GS_GUEST_RETURNED, 0, "2zwei \xc3\xa4",
       "");
  ENDS(start("python", "import sys\nstr(len(sys.argv) - 1) + sys.argv[2]", args), GS_GUEST_RETURNED,
       0, "2zwei \xc3\xa4", "");
}

/* The second of the list that the value's key has: a double. */
static double second_of(const gs_value *v, const char *key) {
  gs_value_reader r;
  gs_value_item it;
  gs_value_read(v, &r);
  if (gs_value_next(&r, &it) != GS_OK || it.type != GS_VALUE_MAP || it.n != 1) return -1;
  gs_value_next(&r, &it);
  if (it.type != GS_VALUE_TEXT || it.n != strlen(key) || memcmp(it.s, key, it.n) != 0) return -2;
  gs_value_next(&r, &it);
  if (it.type != GS_VALUE_LIST || it.n != 2) return -3;
  gs_value_next(&r, &it);
  if (it.type != GS_VALUE_INT || it.i != 7) return -4;
  gs_value_next(&r, &it);
  return it.type == GS_VALUE_DOUBLE ? it.d : -5;
}

static void values(void) {
  static const char *const all[][2] = {
      {"lua", "return {key = {7, 2.5}}"},
      {"python", "{'key': (7, 2.5)}"},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    gs_guest_end end = {.size = sizeof end};
    gs_guest *g = start(all[i][0], all[i][1], NULL);
    EXPECT(gs_guest_join(g, PATIENCE) == GS_OK, all[i][0]);
    gs_guest_result(g, &end);
    EXPECT(second_of(end.value, "key") == 2.5, end.text);
    gs_guest_release(g);
  }
  gs_guest_end end = {.size = sizeof end};
  gs_guest *g = start("tcl", "gosched::result {1 0} -as {list bool}", NULL);
  EXPECT(gs_guest_join(g, PATIENCE) == GS_OK, "tcl");
  gs_guest_result(g, &end);
  EXPECT(gs_value_type(end.value) == GS_VALUE_LIST && strcmp(end.text, "1 0") == 0, end.text);
  gs_guest_release(g);
}

static void errors(void) {
  ENDS(start("lua", "local function f() error 'bad' end\nf() return 1", NULL), GS_GUEST_FAILED, 0,
       "lua:1: bad", "lua:2: in main chunk");
  ENDS(start("lua", "return = 1", NULL), GS_GUEST_FAILED, 0, "unexpected symbol", NULL);
  ENDS(start("tcl", "proc f {} {error bad}\nf", NULL), GS_GUEST_FAILED, 0, "bad",
       "(procedure \"f\" line 1)");
  ENDS(start("python", "def f():\n    raise ValueError('bad')\nf()", NULL), GS_GUEST_FAILED, 0,
       "ValueError: bad", "line 2, in f\n    raise ValueError('bad')");
  ENDS(start("python", "return = 1", NULL), GS_GUEST_FAILED, 0, "SyntaxError", "line 1");
}

static void exits(void) {
  ENDS(start("lua", "os.exit(3)", NULL), GS_GUEST_EXITED, 3, NULL, NULL);
  ENDS(start("lua", "local g = require 'gosched'.go(os.exit, true) g:join()", NULL),
       GS_GUEST_EXITED, 0, NULL, NULL);
  ENDS(start("lua", "pcall(os.exit, false)", NULL), GS_GUEST_EXITED, 1, NULL, NULL);
  ENDS(start("tcl", "after 1 {exit 4}; catch {vwait forever}; while 1 {}", NULL), GS_GUEST_EXITED,
       4, NULL, NULL);
  ENDS(start("python", "import sys\nsys.exit(5)", NULL), GS_GUEST_EXITED, 5, NULL, NULL);
  ENDS(start("python", "raise SystemExit", NULL), GS_GUEST_EXITED, 0, NULL, NULL);
}

static void cancelled(void) {
  static const char *const all[][2] = {
      {"lua", "require 'gosched'.sleep(1000)"},
      {"lua", "require 'gosched'.chan():recv()"},
      {"tcl", "vwait forever"},
      {"tcl", "while 1 {catch {incr i}}"},
      {"tcl", "gosched::join [gosched::go gosched::sleep 1000000]"},
      {"python", "import gosched\ngosched.sleep(1000)"},
      {"python", "import gosched\ngosched.Chan().recv()"},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    gs_guest *g = start(all[i][0], all[i][1], NULL);
    int e = gs_guest_join(g, gs_now() + (i % 2 ? 0 : 20000000));
    EXPECT(e == GS_ETIMEOUT, gs_strerror(e));
    gs_guest_cancel(g);
    ENDS(g, GS_GUEST_CANCELLED, 0, NULL, NULL);
  }
}

/* A script that is its own program finds what it expects. */
static void own_run(void) {
  ENDS(start("lua",
             "local gosched = require 'gosched'\n"
             "local n = gosched.run(function(x)\n"
             "  gosched.go(function() gosched.sleep(1000) end)\n"
             "  return x\n"
             "end, 7)\n"
             "return n + 1",
             NULL),
       GS_GUEST_RETURNED, 0, "8", NULL);
  ENDS(start("python",
             "import gosched\n"
             "def main(x):\n"
             "    gosched.go(gosched.sleep, 1000)\n"
             "    return x\n"
             "gosched.run(main, 7) + 1",
             NULL),
       GS_GUEST_RETURNED, 0, "8", NULL);
  ENDS(start("tcl",
             "gosched::run {\n"
             "  gosched::go gosched::sleep 1000000\n"
             "  expr {8}\n"
             "}",
             NULL),
       GS_GUEST_RETURNED, 0, "8", NULL);
}

/* Names of one guest are not there in the next one. */
static void one_python(void) {
  gs_guest *g = start("python", "import gosched\nx = 1\ngosched.sleep(1000)", NULL), *other;
  int e = gs_embed("python", "1", NULL, &other);
  EXPECT(e == GS_EBUSY && strstr(gs_error_detail(), "one at a time"), gs_error_detail());
  gs_guest_cancel(g);
  ENDS(g, GS_GUEST_CANCELLED, 0, NULL, NULL);
  ENDS(start("python", "x", NULL), GS_GUEST_FAILED, 0, "NameError: name 'x'", NULL);
}

/* What the guest of Python began is over when it has ended. */
static void python_ends(void) {
  ENDS(start("python",
             "import atexit, builtins, threading, time\n"
             "builtins.seen = []\n"
             "def late():\n"
             "    time.sleep(0.02)\n"
             "    builtins.seen.append('thread')\n"
             "threading.Thread(target=late).start()\n"
             "atexit.register(builtins.seen.append, 'atexit')\n"
             "threading.current_thread() is threading.main_thread()",
             NULL),
       GS_GUEST_RETURNED, 0, "True", NULL);
  ENDS(start("python", "' '.join(seen)", NULL), GS_GUEST_RETURNED, 0, "thread atexit", NULL);
}

static void test_results(void **state) { (void)state, run(results); }
static void test_values(void **state) { (void)state, run(values); }
static void test_errors(void **state) { (void)state, run(errors); }
static void test_exits(void **state) { (void)state, run(exits); }
static void test_cancelled(void **state) { (void)state, run(cancelled); }
static void test_own_run(void **state) { (void)state, run(own_run); }
static void test_one_python(void **state) { (void)state, run(one_python); }
static void test_python_ends(void **state) { (void)state, run(python_ends); }

/* ---- all at once ----------------------------------------------------------------------------- */

static void meeting(void) {
  const char *args[] = {library, "5", NULL};
  gs_guest *g[] = {start("lua", LUA_MEETS, args), start("lua", LUA_MEETS, args),
                   start("tcl", TCL_MEETS, args), start("tcl", TCL_MEETS, args),
                   start("python", PYTHON_MEETS, args)};
  for (int i = 0; i < 5; i++) ENDS(g[i], GS_GUEST_RETURNED, 0, "5", NULL);
}

static void test_all_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) run(meeting);
}

static void left_behind(void) {
  gs_guest_release(start("lua", "require 'gosched'.sleep(1000)", NULL));
  gs_guest_release(start("tcl", "gosched::sleep 1000000", NULL));
  gs_guest_release(start("python", "import gosched\ngosched.sleep(1000)", NULL));
}

/* However far they have come when gs_run ends. */
static void test_end_of_run(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) run(left_behind);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_results),     cmocka_unit_test(test_values),
      cmocka_unit_test(test_errors),      cmocka_unit_test(test_exits),
      cmocka_unit_test(test_cancelled),   cmocka_unit_test(test_own_run),
      cmocka_unit_test(test_one_python),  cmocka_unit_test(test_python_ends),
      cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_end_of_run),
  };
  if (argc < 2) return 2;
  library = argv[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
