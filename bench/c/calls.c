/* calls.c: what a foreign call costs that returns at once.
 *
 * The rows call functions of another shared library through gs_cgocall and gs_ffi_call in a tight
 * loop on the main green thread of a runtime with one P, where nobody waits: the fast path out of
 * the runtime and back, and nothing else.  Their floors (a plain indirect call, a bare ffi_call)
 * are in floor.c and call the same functions.
 */
#include <pthread.h>
#include <string.h>

#include "gosched.h"
#include "gosched_ffi.h"
#include "harness.h"
#include "targets.h"

static double loop_cgocall(void *arg, uint64_t n) {
  (void)arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    gs_cgocall(gsbench_empty, NULL, NULL);
  }
  return (double)(bench_now() - start);
}

static double loop_cgocall_site(void *arg, uint64_t n) {
  gs_site *site = arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    gs_cgocall_site(site, gsbench_empty, NULL, NULL);
  }
  return (double)(bench_now() - start);
}

static double loop_ffi(void *arg, uint64_t n) {
  const gs_func *func = arg;
  int values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  void *args[8] = {&values[0], &values[1], &values[2], &values[3],
                   &values[4], &values[5], &values[6], &values[7]};
  int ret, saved_errno;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    gs_ffi_call(func, &ret, args, &saved_errno);
  }
  return (double)(bench_now() - start);
}

static void body_cgocall(bench_green *g) {
  bench_check("gs_cgocall", gs_cgocall(gsbench_empty, NULL, NULL));
  bench_loop_row(g->options, g->out, loop_cgocall, NULL);
}

static void body_cgocall_site(bench_green *g) {
  bench_check("gs_cgocall_site", gs_cgocall_site(g->arg, gsbench_empty, NULL, NULL));
  bench_loop_row(g->options, g->out, loop_cgocall_site, g->arg);
}

static gs_func *prepare(const char *name) {
  static const char declarations[] =
      "int gsbench_int0(void);"
      "int gsbench_int1(int a);"
      "int gsbench_int4(int a, int b, int c, int d);"
      "int gsbench_int6(int a, int b, int c, int d, int e, int f);"
      "int gsbench_int8(int a, int b, int c, int d, int e, int f, int g, int h);";
  gs_ffi_error error = {0};
  gs_ffi *ffi = gs_ffi_new();
  gs_lib *library = NULL;
  gs_func *func = NULL;
  if (ffi == NULL) {
    bench_die("gs_ffi_new: out of memory");
  }
  if (gs_ffi_cdef(ffi, declarations, &error) != GS_OK ||
      gs_ffi_load(ffi, NULL, &library, &error) != GS_OK ||
      gs_ffi_func(library, name, &func, &error) != GS_OK) {
    bench_die("preparing %s: %s", name, error.text);
  }
  return func;
}

static void body_ffi(bench_green *g) {
  gs_func *func = prepare(g->arg);
  int values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  void *args[8] = {&values[0], &values[1], &values[2], &values[3],
                   &values[4], &values[5], &values[6], &values[7]};
  static const int sums[9] = {0, 1, 3, 6, 10, 15, 21, 28, 36};
  int ret = -1, saved_errno;
  bench_check("gs_ffi_call", gs_ffi_call(func, &ret, args, &saved_errno));
  if (ret != sums[gs_func_nargs(func)]) {
    bench_die("%s returned %d", gs_func_name(func), ret);
  }
  bench_loop_row(g->options, g->out, loop_ffi, func);
}

/* ---- the other way: C calls a green thread, n times inside one foreign call ---- */

static void empty_callback(void *arg) { (void)arg; }

typedef struct callbacks {
  uint64_t n;
  double took;
} callbacks;

static int call_back_often(void *arg) {
  callbacks *c = arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < c->n; i++) {
    gs_cgocallback(empty_callback, NULL);
  }
  c->took = (double)(bench_now() - start);
  return 0;
}

static double loop_callback(void *arg, uint64_t n) {
  callbacks c = {n, 0};
  (void)arg;
  bench_check("gs_cgocall", gs_cgocall(call_back_often, &c, NULL));
  return c.took;
}

static void body_callback(bench_green *g) {
  bench_check("gs_cgocallback", gs_cgocallback(empty_callback, NULL));
  bench_loop_row(g->options, g->out, loop_callback, NULL);
}

static void run_callback(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_callback, &(bench_green){options, out, NULL});
}

/* ---- the same through a C function pointer: C -> handler -> C ---- */

static int add_handler(void *ret, void *const *args, void *user) {
  (void)user;
  *(int *)ret = *(const int *)args[0] + *(const int *)args[1];
  return 0;
}

typedef struct function_calls {
  int (*function)(int, int);
  uint64_t n;
  double took;
  int sum;
} function_calls;

static int call_function_often(void *arg) {
  function_calls *c = arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < c->n; i++) {
    c->sum += c->function(1, 0);
  }
  c->took = (double)(bench_now() - start);
  return 0;
}

static double loop_callback_ffi(void *arg, uint64_t n) {
  function_calls c = {.n = n};
  void *code = gs_callback_code(arg);
  memcpy(&c.function, &code, sizeof(code));
  bench_check("gs_cgocall", gs_cgocall(call_function_often, &c, NULL));
  if (c.sum != (int)n) {
    bench_die("the handler was called %d times, not %d", c.sum, (int)n);
  }
  return c.took;
}

static void body_callback_ffi(bench_green *g) {
  gs_ffi *ffi = gs_ffi_new();
  gs_callback *callback = NULL;
  if (ffi == NULL) {
    bench_die("gs_ffi_new: out of memory");
  }
  bench_check("gs_ffi_callback",
              gs_ffi_callback(ffi, "int (*)(int, int)", add_handler, NULL, &callback));
  bench_loop_row(g->options, g->out, loop_callback_ffi, callback);
  gs_ffi_free(ffi);
}

static void run_callback_ffi(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_callback_ffi, &(bench_green){options, out, NULL});
}

/* A thread of C's own, while a runtime with one P waits in a foreign call for it. */
static void *foreign_thread(void *arg) {
  callbacks *c = arg;
  bench_check("gs_cgocallback", gs_cgocallback(empty_callback, NULL)); /* binds it */
  call_back_often(c);
  return NULL;
}

static int run_foreign_thread(void *arg) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, foreign_thread, arg) || pthread_join(thread, NULL)) {
    bench_die("pthread_create failed");
  }
  return 0;
}

static double loop_callback_foreign(void *arg, uint64_t n) {
  callbacks c = {n, 0};
  (void)arg;
  bench_check("gs_cgocall", gs_cgocall(run_foreign_thread, &c, NULL));
  return c.took;
}

static void body_callback_foreign(bench_green *g) {
  bench_loop_row(g->options, g->out, loop_callback_foreign, NULL);
}

static void run_callback_foreign(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_callback_foreign, &(bench_green){options, out, NULL});
}

static void run_cgocall(const bench_options *options, bench_result *out) {
  bench_run_green(1, body_cgocall, &(bench_green){options, out, NULL});
}

static void run_cgocall_site(const bench_options *options, bench_result *out) {
  static gs_site site = {.name = "gsbench_empty"};
  bench_run_green(1, body_cgocall_site, &(bench_green){options, out, &site});
}

static void run_cgocall_critical(const bench_options *options, bench_result *out) {
  static gs_site site = {.name = "gsbench_empty", .flags = GS_SITE_CRITICAL};
  bench_run_green(1, body_cgocall_site, &(bench_green){options, out, &site});
}

static void run_ffi(const bench_options *options, bench_result *out, char *name) {
  bench_run_green(1, body_ffi, &(bench_green){options, out, name});
}

static void run_ffi0(const bench_options *options, bench_result *out) {
  run_ffi(options, out, "gsbench_int0");
}

static void run_ffi1(const bench_options *options, bench_result *out) {
  run_ffi(options, out, "gsbench_int1");
}

static void run_ffi4(const bench_options *options, bench_result *out) {
  run_ffi(options, out, "gsbench_int4");
}

static void run_ffi6(const bench_options *options, bench_result *out) {
  run_ffi(options, out, "gsbench_int6");
}

static void run_ffi8(const bench_options *options, bench_result *out) {
  run_ffi(options, out, "gsbench_int8");
}

const bench_row bench_rows_calls[] = {
    {"call.nosite", "ns", run_cgocall},
    {"call.site", "ns", run_cgocall_site},
    {"call.critical", "ns", run_cgocall_critical},
    {"call.ffi0", "ns", run_ffi0},
    {"call.ffi1", "ns", run_ffi1},
    {"call.ffi4", "ns", run_ffi4},
    {"call.ffi6", "ns", run_ffi6},
    {"call.ffi8", "ns", run_ffi8},
    {"callback", "ns", run_callback},
    {"callback.ffi", "ns", run_callback_ffi},
    {"callback.foreign", "ns", run_callback_foreign},
    {NULL, NULL, NULL},
};
