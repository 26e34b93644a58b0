/* callback_calls.c: callbacks that C calls from inside foreign calls and from threads of its own.
 *
 * libc's qsort, bsearch and nftw call handlers that park, make foreign calls, and fail; calls and
 * callbacks nest; threads that the runtime never saw call at once, also from the destructors of
 * their thread-locals; and where a handler cannot run, C gets the default.
 */
#include "support.h"

#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "gosched_ffi.h"

static gs_ffi *ffi;
static gs_func *f_qsort, *f_bsearch, *f_nftw;

static gs_callback *make(const char *ctype, gs_ffi_handler *handler, void *user) {
  gs_callback *cb = NULL;
  CHECK_CODE(gs_ffi_callback(ffi, ctype, handler, user, &cb), GS_OK);
  return cb;
}

#define FUNCTION(cb, result, ...) ((result(*)(__VA_ARGS__))(uintptr_t)gs_callback_code(cb))
#define COMPARE "int (*)(const void *, const void *)"

/* ---- what handlers tell nobody of goes here ---- */

static struct { atomic_int n, error, code; } unheard;

static void note_error(int error, int code, void *user) {
  (void)user;
  atomic_store(&unheard.error, error);
  atomic_store(&unheard.code, code);
  atomic_fetch_add(&unheard.n, 1);
}

static void unheard_is(int n, int error, int code) {
  CHECK_INT(atomic_load(&unheard.n), n);
  CHECK_INT(atomic_load(&unheard.error), error);
  CHECK_INT(atomic_load(&unheard.code), code);
}

static char logged[600];
static atomic_int nlogged;

static void logger(int level, const char *text, void *ud) {
  (void)ud;
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  if (level == 1) snprintf(logged, sizeof(logged), "%s", text);
  pthread_mutex_unlock(&one_at_a_time);
  atomic_fetch_add(&nlogged, 1);
}

static void logged_is(int n, const char *text) {
  CHECK_INT(atomic_load(&nlogged), n);
  if (n && strcmp(logged, text) != 0) fprintf(stderr, "logged: %s\n", logged);
  CHECK(n == 0 || strcmp(logged, text) == 0);
}

/* ---- qsort and bsearch with comparators that park ---- */

typedef struct sorting {
  int n;       /* comparisons */
  int every;   /* parks at each such one */
  int fail_at; /* fails at this one; 0: never */
  int ended;   /* comparisons after it has failed */
} sorting;

static int nap(void *arg) {
  usleep(10);
  return *(int *)arg;
}

static int compare(void *ret, void *const *args, void *user) {
  sorting *s = user;
  const int *a = *(const int *const *)args[0], *b = *(const int *const *)args[1];
  s->n++;
  if (s->fail_at && s->n > s->fail_at) s->ended++;
  if (s->every && s->n % s->every == 0) {
    int one = 1, got = 0;
    if (s->n % 3 == 0) CHECK_CODE(gs_sleep(US(20)), GS_OK);
    if (s->n % 3 == 1) gs_yield();
    if (s->n % 3 == 2) CHECK_CODE(gs_cgocall(nap, &one, &got), GS_OK);
    CHECK_INT(got, s->n % 3 == 2);
  }
  *(int *)ret = (*a > *b) - (*a < *b);
  return s->n == s->fail_at ? 4711 : 0;
}

enum { NUMBERS = SLOW_BUILD ? 60 : 200, SORTERS = 8 };

static int sort(int *numbers, size_t n, gs_callback *cb) {
  size_t size = sizeof(int);
  void *code = gs_callback_code(cb);
  return gs_ffi_call(f_qsort, NULL, (void *[]){&numbers, &n, &size, &code}, NULL);
}

static void shuffle(int *numbers, uint64_t seed) {
  for (int i = 0; i < NUMBERS; i++) numbers[i] = (int)(random_next(&seed) % 1000);
}

static void check_sorted(const int *numbers) {
  for (int i = 1; i < NUMBERS; i++) CHECK(numbers[i - 1] <= numbers[i]);
}

typedef struct sorter {
  wait_group *wg;
  uint64_t seed;
  sorting s;
  gs_callback *cb;
} sorter;

static void sort_one(void *arg) {
  sorter *one = arg;
  int numbers[NUMBERS], key = 0;
  for (int round = 0; round < 3; round++) {
    shuffle(numbers, one->seed++);
    CHECK_CODE(sort(numbers, NUMBERS, one->cb), GS_OK);
    check_sorted(numbers);
    CHECK(one->s.n > NUMBERS);
    void *code = gs_callback_code(one->cb), *found = NULL;
    const void *from = numbers, *key_at = &key;
    size_t n = NUMBERS, size = sizeof(int);
    key = numbers[NUMBERS / 3];
    CHECK_CODE(gs_ffi_call(f_bsearch, &found, (void *[]){&key_at, &from, &n, &size, &code}, NULL),
               GS_OK);
    CHECK(found && *(int *)found == key);
  }
  gs_callback_free(one->cb);
  wg_done(one->wg);
}

static void sorts(void *arg) {
  (void)arg;
  wait_group wg;
  sorter each[SORTERS];
  wg_init(&wg);
  for (int i = 0; i < SORTERS; i++) {
    each[i] = (sorter){.wg = &wg, .seed = 1 + 10 * (uint64_t)i, .s = {.every = 7}};
    each[i].cb = make(COMPARE, compare, &each[i].s);
  }
  for (int i = 0; i < SORTERS; i++) go(sort_one, &each[i]);
  wg_wait(&wg, SORTERS);
}

static void test_qsort_that_parks(void **state) {
  (void)state;
  run_procs(2, sorts, NULL);
}

/* ---- a handler fails ---- */

static void failing_sort(void *arg) {
  (void)arg;
  int numbers[NUMBERS], code = 0;
  void *data = &code;
  sorting s = {.every = 0};
  gs_callback *cb = make(COMPARE, compare, &s);
  gs_callback_on_error(cb, note_error);
  for (int i = 1; i < SCALE(40); i++) {
    shuffle(numbers, (uint64_t)i);
    s = (sorting){.every = i % 2 ? 5 : 0, .fail_at = i * 3};
    CHECK_CODE(sort(numbers, NUMBERS, cb), GS_ECALLBACK);
    CHECK(s.ended > 0); /* qsort has gone on */
    CHECK_CODE(gs_callback_failure(&code, &data), GS_OK);
    CHECK_INT(code, 4711);
    CHECK(data == NULL);
    s.fail_at = 0;
    CHECK_CODE(sort(numbers, NUMBERS, cb), GS_OK);
    check_sorted(numbers);
  }
  CHECK_INT(atomic_load(&unheard.n), 0); /* the calls were told */
  gs_callback_free(cb);
}

static void test_failure_reaches_the_call(void **state) {
  (void)state;
  run_procs(2, failing_sort, NULL);
}

/* What C gets, and what gs_ffi_call gives back. */
static int fails(void *ret, void *const *args, void *user) {
  if (*(const int *)args[0] < 0) CHECK_CODE(gs_callback_fail(-1, user), GS_OK);
  *(int *)ret = 12345; /* not used */
  return *(const int *)args[0];
}

static int apply(int (*fn)(int), int v) {
  errno = 0;
  int r = fn(v);
  errno = 66;
  return r;
}

static void default_results(void *arg) {
  (void)arg;
  const gs_type *types[2] = {gs_type_builtin("pointer"), gs_type_builtin("int32")};
  gs_func *f = NULL;
  CHECK_CODE(
      gs_func_prepare(ffi, "apply", (void *)(uintptr_t)apply, types[1], types, 2, 2, 0, &f, NULL),
      GS_OK);
  gs_callback *cb = make("int (*)(int)", fails, &types);
  void *fn = gs_callback_code(cb), *data = NULL;
  int v = 5, ret = -1, e = 0, code = 0, minus = -9;
  CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&fn, &v}, &e), GS_ECALLBACK);
  CHECK_INT(ret, 0);
  CHECK_INT(e, 66);
  CHECK_CODE(gs_callback_set_default(cb, &minus), GS_OK);
  CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&fn, &v}, &e), GS_ECALLBACK);
  CHECK_INT(ret, -9);
  CHECK_CODE(gs_callback_failure(&code, &data), GS_OK);
  CHECK_INT(code, 5);
  v = -3; /* its own failure counts, with its data */
  CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&fn, &v}, NULL), GS_ECALLBACK);
  CHECK_INT(ret, -9);
  CHECK_CODE(gs_callback_failure(&code, &data), GS_OK);
  CHECK_INT(code, -1);
  CHECK(data == &types);
  v = 0;
  CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&fn, &v}, &e), GS_OK);
  CHECK_INT(ret, 12345);
  CHECK_CODE(gs_callback_set_default(cb, NULL), GS_OK);
  v = 1;
  CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&fn, &v}, NULL), GS_ECALLBACK);
  CHECK_INT(ret, 0);
  gs_callback_free(cb);
}

static void test_default_results(void **state) {
  (void)state;
  run_procs(1, default_results, NULL);
}

/* Of other types: in two registers, in memory, floating. */
struct two {
  long a, b;
};
struct big {
  long a[8];
};

static int fails_always(void *ret, void *const *args, void *user) {
  (void)args;
  memset(ret, 0x55, *(size_t *)user);
  return 1;
}

static int call_them_all(void *arg) {
  gs_callback **cb = arg;
  struct two t = FUNCTION(cb[0], struct two, void)();
  struct big b = FUNCTION(cb[1], struct big, void)();
  CHECK(t.a == 1 && t.b == 2);
  CHECK(b.a[0] == 3 && b.a[7] == 4);
  CHECK(FUNCTION(cb[2], double, void)() == 0.5);
  CHECK(FUNCTION(cb[3], float, void)() == 0.25f);
  CHECK(FUNCTION(cb[4], long double, void)() == 0.125l);
  CHECK_INT(FUNCTION(cb[5], signed char, void)(), -7);
  return 0;
}

static void default_types(void *arg) {
  (void)arg;
  CHECK_CODE(gs_ffi_cdef(ffi, "struct two { long a, b; }; struct big { long a[8]; };", NULL),
             GS_OK);
  struct two t = {1, 2};
  struct big b = {{3, [7] = 4}};
  double d = 0.5;
  float f = 0.25f;
  long double l = 0.125l;
  signed char c = -7;
  static size_t sizes[] = {sizeof(t), sizeof(b), sizeof(d), sizeof(f), 10, 1};
  const char *types[] = {"struct two(void)", "struct big(void)",  "double(void)",
                         "float(void)",      "long double(void)", "signed char(void)"};
  void *values[] = {&t, &b, &d, &f, &l, &c};
  gs_callback *cb[6];
  for (int i = 0; i < 6; i++) {
    cb[i] = make(types[i], fails_always, &sizes[i]);
    CHECK_CODE(gs_callback_set_default(cb[i], values[i]), GS_OK);
    CHECK_CODE(gs_callback_set_default(cb[i], values[i]), GS_OK);
  }
  CHECK_CODE(gs_cgocall(call_them_all, cb, NULL), GS_ECALLBACK);
  for (int i = 0; i < 6; i++) gs_callback_free(cb[i]);
  CHECK_CODE(gs_cgocall(call_them_all, cb, NULL), GS_OK); /* also when they are gone */
  logged_is(6, "callback 'signed char(void)' was called after gs_callback_free");
}

static void test_default_types(void **state) {
  (void)state;
  gs_set_logger(logger, NULL);
  atomic_store(&nlogged, 0);
  run_procs(1, default_types, NULL);
  gs_set_logger(NULL, NULL);
}

/* ---- recursion: calls and callbacks nest ---- */

typedef struct tower {
  gs_callback *cb;
  int floors, fail_at, told;
} tower;

static int climb(void *ret, void *const *args, void *user);

static int enter_next(void *arg) {
  void **a = arg;
  const tower *t = a[0];
  *(long *)a[2] = FUNCTION(t->cb, long, int)(*(int *)a[1]);
  return 0;
}

static int climb(void *ret, void *const *args, void *user) {
  tower *t = user;
  int at = *(const int *)args[0], next = at + 1;
  long below = 0;
  if (at < t->floors) {
    int e = gs_cgocall(enter_next, (void *[]){t, &next, &below}, NULL);
    CHECK_INT(e, at + 1 == t->fail_at ? GS_ECALLBACK : GS_OK);
    if (e == GS_ECALLBACK) CHECK_CODE(gs_callback_failure(&t->told, NULL), GS_OK);
    if (at % 8 == 0) gs_yield();
  }
  *(long *)ret = below + at;
  return at == t->fail_at ? at * 10 : 0;
}

static void climbs(void *arg) {
  (void)arg;
  tower t = {.floors = 40};
  t.cb = make("long (*)(int)", climb, &t);
  for (t.fail_at = 1; t.fail_at <= 45; t.fail_at += 4) {
    long sum = 0, expected = 0;
    int first = 0;
    t.told = 0;
    CHECK_CODE(gs_cgocall(enter_next, (void *[]){&t, &first, &sum}, NULL), GS_OK);
    for (int i = 0; i <= t.floors; i++)
      if (t.fail_at <= t.floors ? i < t.fail_at : true) expected += i;
    CHECK_INT(sum, expected); /* from the one that has failed came the default */
    CHECK_INT(t.told, t.fail_at <= t.floors ? t.fail_at * 10 : 0);
  }
  gs_callback_free(t.cb);
}

static void test_recursion(void **state) {
  (void)state;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  cfg.stack_size = 1 << 20;
  run_config(&cfg, climbs, NULL);
}

/* ---- on a green thread itself; where nobody is told; where handlers cannot run ---- */

static int counts(void *ret, void *const *args, void *user) {
  (void)args;
  *(int *)ret = 7;
  return ++*(int *)user == 3 ? 33 : 0;
}

static int call_it(void *arg) { return FUNCTION((gs_callback *)arg, int, void)(); }

static void odd_places(void *arg) {
  (void)arg;
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  static gs_site nocallback = {.name = "nocallback", .flags = GS_SITE_NOCALLBACK};
  int n = 0, result = 0;
  gs_callback *cb = make("int (*)(void)", counts, &n);
  atomic_store(&nlogged, 0);
  CHECK_INT(call_it(cb), 7); /* in place */
  CHECK_INT(call_it(cb), 7);
  CHECK_INT(call_it(cb), 0);
  logged_is(1,
            "callback 'int (*)(void)' failed with code 33, and no foreign call is under way to "
            "be told");
  CHECK_CODE(gs_cgocall_site(&critical, call_it, cb, &result), GS_OK);
  CHECK_INT(result, 0);
  logged_is(2,
            "callback 'int (*)(void)' could not run: GS_EPERM: not allowed here (no green thread, "
            "or inside a foreign call)");
  CHECK_CODE(gs_cgocall_site(&nocallback, call_it, cb, &result), GS_OK);
  CHECK_INT(result, 0);
  CHECK_INT(atomic_load(&nlogged), 2); /* once */
  CHECK_INT(n, 3);
  gs_callback_on_error(cb, note_error);
  atomic_store(&unheard.n, 0);
  CHECK_CODE(gs_cgocall_site(&nocallback, call_it, cb, &result), GS_OK);
  unheard_is(1, GS_EPERM, 0);
  n = 2;
  CHECK_INT(call_it(cb), 0);
  unheard_is(2, GS_ECALLBACK, 33);
  CHECK_INT(atomic_load(&nlogged), 2);
  gs_callback_free(cb);
}

static void test_odd_places(void **state) {
  (void)state;
  gs_set_logger(logger, NULL);
  run_procs(2, odd_places, NULL);
  gs_set_logger(NULL, NULL);
}

/* A green thread that has called the function itself may move. */
static int wanders(void *ret, void *const *args, void *user) {
  (void)ret, (void)args;
  for (int i = 0; i < 20; i++) {
    int v = 0;
    gs_yield();
    CHECK_CODE(gs_cgocall(nap, &v, NULL), GS_OK);
    if (i % 5 == 0) CHECK_CODE(gs_sleep(US(30)), GS_OK);
  }
  atomic_fetch_add((atomic_int *)user, 1);
  return 0;
}

typedef struct wanderers {
  gs_callback *cb;
  wait_group wg;
} wanderers;

static void wander(void *arg) {
  wanderers *w = arg;
  for (int i = 0; i < 5; i++) FUNCTION(w->cb, void, void)();
  wg_done(&w->wg);
}

static void count_destroyed(void *user) { atomic_fetch_add((atomic_int *)user, 1000); }

static void wander_all(void *arg) {
  (void)arg;
  atomic_int n = 0;
  wanderers w = {.cb = make("void(void)", wanders, &n)};
  gs_callback_on_free(w.cb, count_destroyed);
  wg_init(&w.wg);
  for (int i = 0; i < 16; i++) go(wander, &w);
  wg_wait(&w.wg, 16);
  CHECK_INT(n, 80);
  gs_callback_free(w.cb);
  CHECK_INT(n, 1080); /* it is known that none runs */
}

static void test_in_place_that_moves(void **state) {
  (void)state;
  run_procs(2, wander_all, NULL);
}

/* ---- threads that the runtime never saw ---- */

enum { THREADS = 8, CALLS = 300 };

static int adds(void *ret, void *const *args, void *user) {
  int i = *(const int *)args[0];
  if (i % 50 == 0) CHECK_CODE(gs_sleep(US(20)), GS_OK);
  atomic_fetch_add((atomic_int *)user, 1);
  *(int *)ret = i + 1;
  return i % 100 == 99 ? 5 : 0;
}

static void *call_often(void *arg) {
  for (int i = 0; i < SCALE(CALLS); i++) {
    errno = 10 + i;
    int got = FUNCTION((gs_callback *)arg, int, int)(i);
    CHECK_INT(errno, 10 + i);
    CHECK_INT(got, i % 100 == 99 ? 0 : i + 1);
  }
  return NULL;
}

static int many_threads(void *arg) {
  pthread_t t[THREADS];
  for (int i = 0; i < THREADS; i++) CHECK_INT(pthread_create(&t[i], NULL, call_often, arg), 0);
  for (int i = 0; i < THREADS; i++) CHECK_INT(pthread_join(t[i], NULL), 0);
  return 0;
}

static void from_threads(void *arg) {
  (void)arg;
  atomic_int n = 0;
  gs_callback *cb = make("int (*)(int)", adds, &n);
  gs_callback_on_error(cb, note_error);
  gs_callback_on_free(cb, count_destroyed);
  atomic_store(&unheard.n, 0);
  CHECK_CODE(gs_cgocall(many_threads, cb, NULL), GS_OK);
  CHECK_INT(n, THREADS * SCALE(CALLS));
  int failures = THREADS * (SCALE(CALLS) / 100);
  CHECK_INT(atomic_load(&unheard.n), failures);
  if (failures) unheard_is(failures, GS_ECALLBACK, 5);
  gs_callback_free(cb);
  CHECK_INT(n, THREADS * SCALE(CALLS) + 1000);
}

static void test_threads(void **state) {
  (void)state;
  run_procs(2, from_threads, NULL);
  from_threads(NULL); /* and while no gs_run is under way */
  assert_int_equal(checks_failed(), 0);
}

/* More threads at once than have lanes of their own (running.c). */
enum { CROWD = 40 };

typedef struct crowd {
  gs_callback *cb;
  pthread_barrier_t barrier;
} crowd;

static void *in_a_crowd(void *arg) {
  crowd *c = arg;
  CHECK_INT(FUNCTION(c->cb, int, int)(1), 2);
  pthread_barrier_wait(&c->barrier);
  for (int i = 1; i < 20; i++) CHECK_INT(FUNCTION(c->cb, int, int)(i), i + 1);
  pthread_barrier_wait(&c->barrier);
  return NULL;
}

static void test_more_threads_than_lanes(void **state) {
  (void)state;
  atomic_int n = 0;
  for (int round = 0; round < 2; round++) {
    pthread_t t[CROWD];
    crowd c = {.cb = make("int (*)(int)", adds, &n)};
    atomic_store(&n, 0);
    gs_callback_on_free(c.cb, count_destroyed);
    pthread_barrier_init(&c.barrier, NULL, CROWD);
    for (int i = 0; i < CROWD; i++)
      assert_int_equal(pthread_create(&t[i], NULL, in_a_crowd, &c), 0);
    for (int i = 0; i < CROWD; i++) assert_int_equal(pthread_join(t[i], NULL), 0);
    pthread_barrier_destroy(&c.barrier);
    assert_int_equal(n, CROWD * 20);
    gs_callback_free(c.cb);
    assert_int_equal(n, CROWD * 20 + 1000);
  }
  assert_int_equal(checks_failed(), 0);
}

/* ---- destructors of thread-locals ---- */

static pthread_key_t late_key;
static gs_callback *late;
static int late_rounds;

static void destructor(void *arg) {
  CHECK_INT(FUNCTION(late, int, int)((int)(intptr_t)arg), (int)(intptr_t)arg + 1);
  /* In the next round, when the keys of the library are gone. */
  if ((intptr_t)arg < late_rounds) pthread_setspecific(late_key, (void *)((intptr_t)arg + 1));
}

static void *ends_with_destructors(void *arg) {
  if (arg) CHECK_INT(FUNCTION(late, int, int)(1), 2);
  pthread_setspecific(late_key, (void *)1);
  return NULL;
}

static void test_destructors(void **state) {
  (void)state;
  atomic_int n = 0;
  late_rounds = 3;
  late = make("int (*)(int)", adds, &n);
  gs_callback_on_free(late, count_destroyed);
  assert_int_equal(pthread_key_create(&late_key, destructor), 0);
  for (int i = 0; i < 40; i++) {
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, ends_with_destructors, i % 2 ? &n : NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
  }
  pthread_key_delete(late_key);
  assert_int_equal(n, 40 * 3 + 20);
  gs_callback_free(late);
  assert_int_equal(n, 40 * 3 + 20 + 1000);
  assert_int_equal(checks_failed(), 0);
}

/* ---- nftw ---- */

static int visit(void *ret, void *const *args, void *user) {
  const char *path = *(const char *const *)args[0];
  const struct FTW *where = *(const struct FTW *const *)args[3];
  CHECK(where->level >= 0 && strlen(path) > 0);
  gs_yield();
  if (++*(int *)user % 4 == 0) CHECK_CODE(gs_sleep(US(10)), GS_OK);
  *(int *)ret = 0;
  return 0;
}

static void walks(void *arg) {
  (void)arg;
  char folder[] = "/tmp/gosched-nftw-XXXXXX", path[100];
  const char *at = folder;
  int n = 0, ret = -1, depth = 4, flags = FTW_PHYS;
  CHECK(mkdtemp(folder) != NULL);
  for (int i = 0; i < 9; i++) {
    snprintf(path, sizeof(path), "%s/%d", folder, i);
    fclose(fopen(path, "w"));
  }
  gs_callback *cb =
      make("int (*)(const char *, const struct stat *, int, struct FTW *)", visit, &n);
  void *code = gs_callback_code(cb);
  CHECK_CODE(gs_ffi_call(f_nftw, &ret, (void *[]){&at, &code, &depth, &flags}, NULL), GS_OK);
  CHECK_INT(ret, 0);
  CHECK_INT(n, 10);
  for (int i = 0; i < 9; i++) {
    snprintf(path, sizeof(path), "%s/%d", folder, i);
    unlink(path);
  }
  rmdir(folder);
  gs_callback_free(cb);
}

static void test_nftw(void **state) {
  (void)state;
  run_procs(2, walks, NULL);
}

static int setup(void **state) {
  (void)state;
  gs_lib *libc = NULL;
  gs_ffi_error err = {.code = 0};
  ffi = gs_ffi_new();
  int e = gs_ffi_cdef(ffi,
                      "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
                      "void *bsearch(const void *, const void *, size_t, size_t,"
                      "              int (*)(const void *, const void *));"
                      "struct stat; struct FTW { int base, level; };"
                      "int nftw(const char *, int (*)(const char *, const struct stat *, int,"
                      "         struct FTW *), int, int);",
                      &err);
  if (e == GS_OK) e = gs_ffi_load(ffi, "libc.so.6", &libc, &err);
  if (e == GS_OK) e = gs_ffi_func(libc, "qsort", &f_qsort, &err);
  if (e == GS_OK) e = gs_ffi_func(libc, "bsearch", &f_bsearch, &err);
  if (e == GS_OK) e = gs_ffi_func(libc, "nftw", &f_nftw, &err);
  if (e != GS_OK) fprintf(stderr, "%s\n", err.text);
  return e;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_qsort_that_parks),
      cmocka_unit_test(test_failure_reaches_the_call),
      cmocka_unit_test(test_default_results),
      cmocka_unit_test(test_default_types),
      cmocka_unit_test(test_recursion),
      cmocka_unit_test(test_odd_places),
      cmocka_unit_test(test_in_place_that_moves),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_more_threads_than_lanes),
      cmocka_unit_test(test_destructors),
      cmocka_unit_test(test_nftw),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
