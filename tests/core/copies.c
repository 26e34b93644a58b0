/* copies.c: one copy of the library in a process, and it stays when it is closed.
 *
 * This program has a copy linked in; PLUGIN_PATH is a library with another one, and LIBRARY_PATH is
 * libgosched.so itself.  Each test is a process of its own, since the first copy that boots stays.
 */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

/* To the end of it there is no second copy that could hide behind another's symbols. */
#define FLAGS (RTLD_NOW | RTLD_LOCAL)

typedef int run_fn(int (*fn)(void *), void *arg, const char **detail);
typedef int gs_run_fn(const gs_config *cfg, int (*fn)(void *), void *arg, int *result);
typedef const char *detail_fn(void);
typedef int start_fn(atomic_int *ticks, atomic_int *stop);

static int count_up(void *arg) {
  ++*(int *)arg;
  return 0;
}

static void *function(void *lib, const char *name) {
  void *f = lib ? dlsym(lib, name) : NULL;
  if (!f) fprintf(stderr, "%s\n", dlerror());
  return f;
}

/* gs_run of a copy; count goes up if it works. */
static int run_in(void *lib, int *count, const char **detail) {
  run_fn *run;
  gs_run_fn *gosched_run;
  detail_fn *error_detail;
  if (dlsym(lib, "plugin_run")) {
    *(void **)&run = function(lib, "plugin_run");
    return run(count_up, count, detail);
  }
  *(void **)&gosched_run = function(lib, "gs_run");
  *(void **)&error_detail = function(lib, "gs_error_detail");
  if (!gosched_run || !error_detail) return 1;
  int code = gosched_run(NULL, count_up, count, NULL);
  *detail = error_detail();
  return code;
}

static int says(const char *detail, const char *text) {
  if (strstr(detail, text)) return 1;
  fprintf(stderr, "\"%s\" does not say \"%s\"\n", detail, text);
  return 0;
}

/* ---- this program's copy first, then another ---- */

static int second_refuses(const char *path, int flags, int other_namespace) {
  int count = 0;
  const char *detail = "";
  if (gs_run(NULL, count_up, &count, NULL) != GS_OK) return 1;
  void *lib = other_namespace ? dlmopen(LM_ID_NEWLM, path, flags) : dlopen(path, flags);
  if (!lib) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  for (int i = 0; i < 2; i++) { /* and again */
    if (run_in(lib, &count, &detail) != GS_EABI) return 3;
    if (!says(detail, "core_copies") || !says(detail, strrchr(path, '/'))) return 4;
  }
  if (gs_run(NULL, count_up, &count, NULL) != GS_OK) return 5;
  return count == 2 ? 0 : 6;
}

static int library_after_static(void) { return second_refuses(LIBRARY_PATH, FLAGS, 0); }

static int plugin_after_static(void) { return second_refuses(PLUGIN_PATH, FLAGS, 0); }

static int other_namespace(void) { return second_refuses(LIBRARY_PATH, RTLD_NOW, 1); }

/* ---- the same file under two names ---- */

static int copy_file(const char *from, const char *to) {
  char buffer[65536];
  ssize_t n = -1;
  int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
  while (in >= 0 && out >= 0 && (n = read(in, buffer, sizeof buffer)) > 0)
    if (write(out, buffer, (size_t)n) != n) break;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return n == 0;
}

static void *load_copy(const char *name) {
  char dir[] = "/tmp/gosched-copies-XXXXXX", path[128];
  if (!mkdtemp(dir)) return NULL;
  snprintf(path, sizeof path, "%s/%s", dir, name);
  void *lib = copy_file(LIBRARY_PATH, path) ? dlopen(path, FLAGS) : NULL;
  if (!lib) fprintf(stderr, "%s: %s\n", path, dlerror());
  unlink(path);
  rmdir(dir);
  return lib;
}

static int two_files(void) {
  int count = 0;
  const char *detail = "";
  void *one = load_copy("one.so"), *two = load_copy("two.so");
  if (!one || !two || one == two) return 1;
  if (run_in(one, &count, &detail) != GS_OK) return 2;
  if (run_in(two, &count, &detail) != GS_EABI || !says(detail, "one.so")) return 3;
  if (run_in(one, &count, &detail) != GS_OK) return 4;
  return count == 2 ? 0 : 5;
}

/* ---- at the same moment ---- */

typedef struct racer {
  void *lib;
  int code, count;
} racer;

static pthread_barrier_t start;

static void *race(void *arg) {
  racer *r = arg;
  const char *detail;
  pthread_barrier_wait(&start);
  r->code = run_in(r->lib, &r->count, &detail);
  return NULL;
}

static int at_once(void) {
  /* More would not fit: each needs some of the little room for thread-locals of late libraries. */
  racer racers[2] = {{.lib = load_copy("a.so")}, {.lib = load_copy("b.so")}};
  pthread_t threads[COUNT(racers)];
  int ran = 0, refused = 0;
  pthread_barrier_init(&start, NULL, COUNT(racers));
  for (size_t i = 0; i < COUNT(racers); i++) {
    if (!racers[i].lib) return 1;
    if (pthread_create(&threads[i], NULL, race, &racers[i]) != 0) return 2;
  }
  for (size_t i = 0; i < COUNT(racers); i++) {
    pthread_join(threads[i], NULL);
    ran += racers[i].code == GS_OK && racers[i].count == 1;
    refused += racers[i].code == GS_EABI && racers[i].count == 0;
  }
  if (ran == 1 && refused == (int)COUNT(racers) - 1) return 0;
  fprintf(stderr, "%d ran, %d refused\n", ran, refused);
  return 3;
}

/* ---- closed while it runs ---- */

static int wait_beyond(atomic_int *ticks, int n) {
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; usleep(1000)) {
    int now = atomic_load(ticks);
    if (n < 0 ? now < 0 : now > n) return 1;
  }
  return 0;
}

static int closed(void) {
  static atomic_int ticks, stop;
  start_fn *begin;
  void *lib = dlopen(PLUGIN_PATH, FLAGS);
  *(void **)&begin = function(lib, "plugin_start");
  if (!begin || begin(&ticks, &stop) != 0) return 1;
  if (!wait_beyond(&ticks, 2)) return 2;
  if (dlclose(lib) != 0) return 3;
  if (!wait_beyond(&ticks, atomic_load(&ticks) + 3)) return 4;
  atomic_store(&stop, 1);
  return wait_beyond(&ticks, -1) ? 0 : 5;
}

static const scenario scenarios[] = {
    {"library after static", library_after_static},
    {"plugin after static", plugin_after_static},
    {"other namespace", other_namespace},
    {"two files", two_files},
    {"at once", at_once},
    {"closed", closed},
};

static void runs(const char *name) {
  child c;
  child_run(&c, name, NULL);
  assert_child_exit(&c, 0);
}

static void test_the_second_refuses(void **state) {
  (void)state;
  runs("library after static");
  runs("plugin after static");
  runs("two files");
}

static void test_in_another_namespace(void **state) {
  (void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  print_message("skipped: a sanitizer cannot be in two namespaces\n");
  skip();
#endif
  runs("other namespace");
}

static void test_two_at_once(void **state) {
  (void)state;
#if defined(__SANITIZE_THREAD__)
  /* The copies meet in /proc/self/maps, which orders them, but not for TSan. */
  print_message("skipped: TSan takes the mapping of a page for a write that races\n");
  skip();
#endif
  for (int i = 0; i < SCALE(10); i++) runs("at once");
}

static void test_closed_while_it_runs(void **state) {
  (void)state;
  runs("closed");
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_second_refuses),
      cmocka_unit_test(test_in_another_namespace),
      cmocka_unit_test(test_two_at_once),
      cmocka_unit_test(test_closed_while_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
