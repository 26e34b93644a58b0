// exceptions.cpp: C++ exceptions in green threads, foreign functions and callbacks.
//
// Thrown and caught on one side of a boundary they work, also when the green thread parks in a catch
// block and others throw meanwhile on the same thread.  Thrown across a boundary they end the process
// with a sentence that says so: the argument "callback" or "function" shows that.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "gosched.h"

static std::atomic<int> failures, done;

static void check(bool holds, const char *what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  failures++;
}
#define CHECK(x) check((x), #x)

static void throw_and_catch(int depth, int me) {
  try {
    if (depth > 0)
      throw_and_catch(depth - 1, me);
    else
      throw std::runtime_error(std::to_string(me));
  } catch (const std::runtime_error &e) {
    CHECK(e.what() == std::to_string(me));
    CHECK(gs_sleep(20000) == GS_OK); // others throw and catch here
    gs_yield();
    CHECK(std::current_exception() != nullptr);
    CHECK(e.what() == std::to_string(me));
    if (depth < 3) throw;
  }
  CHECK(std::uncaught_exceptions() == 0);
}

struct Args {
  int me, depth;
};

static int foreign(void *arg);

static void callback(void *arg) {
  auto *a = static_cast<Args *>(arg);
  throw_and_catch(3, a->me);
  if (a->depth-- > 0) {
    int result = 0;
    CHECK(gs_cgocall(foreign, a, &result) == GS_OK);
    CHECK(result == a->me);
  }
  throw_and_catch(3, a->me);
}

static int foreign(void *arg) {
  auto *a = static_cast<Args *>(arg);
  try {
    CHECK(gs_cgocallback(callback, a) == GS_OK);
    throw a->me;
  } catch (int me) {
    CHECK(me == a->me);
    CHECK(gs_cgocallback(callback, a) == GS_OK); // in a catch block of C++ below the callback
    CHECK(std::current_exception() != nullptr);
  }
  return a->me;
}

static void green(void *arg) {
  int me = static_cast<int>(reinterpret_cast<intptr_t>(arg));
  for (int i = 0; i < 5; i++) {
    Args a{me, 2};
    int result = 0;
    throw_and_catch(3, me);
    CHECK(gs_cgocall(foreign, &a, &result) == GS_OK);
    CHECK(result == me);
  }
  done++;
}

static int main_green(void *) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 256 << 10; // throwing needs room
  gs_handle *h[12];
  for (intptr_t i = 0; i < 12; i++)
    CHECK(gs_go_opts(&opts, green, reinterpret_cast<void *>(i), &h[i]) == GS_OK);
  for (auto *one : h) {
    CHECK(gs_join(one, GS_FOREVER) == GS_OK);
    gs_handle_release(one);
  }
  CHECK(done == 12);
  return 0;
}

static void throws(void *) { throw 1; }
static int throws_in_c(void *) { throw 2; }
static int calls_what_throws(void *) { return gs_cgocallback(throws, nullptr); }

static int across(void *arg) {
  bool in_callback = std::strcmp(static_cast<const char *>(arg), "callback") == 0;
  try {
    static gs_site site;
    site.name = "the_function_that_throws";
    gs_cgocall_site(&site, in_callback ? calls_what_throws : throws_in_c, nullptr, nullptr);
  } catch (int) {
    std::puts("an exception came through");
  }
  return 0;
}

int main(int argc, char **argv) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  if (argc > 1) return gs_run(&cfg, across, argv[1], nullptr);
  int code = gs_run(&cfg, main_green, nullptr, nullptr);
  if (code != GS_OK || failures) return 1;
  std::puts("all hold");
  return 0;
}
