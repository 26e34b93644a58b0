/* callback_sqlite.c: sqlite calls back: user functions, aggregates, collations, a progress handler,
 * the rows of sqlite3_exec.  Handlers park, query the same database again, and fail.
 *
 * sqlite's mutexes belong to threads, so it would not survive a green thread that moved inside one
 * of its callbacks.
 */
#include "support.h"

#include <stdbool.h>

#include "gosched_ffi.h"

#if defined(__SANITIZE_THREAD__)
/* sqlite's mutexes are recursive, and a callback that queries again locks one of them again, on the
 * same thread.  To TSan the stretch of the stack that the callback begins is another thread's. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "mutex:libsqlite3.so\n"; }
#endif

#define FUNCTIONS(_)                                                                          \
  _(sqlite3_open, "int sqlite3_open(const char *, sqlite3 **);")                              \
  _(sqlite3_close, "int sqlite3_close(sqlite3 *);")                                           \
  _(sqlite3_exec,                                                                             \
    "int sqlite3_exec(sqlite3 *, const char *, int (*)(void *, int, char **, char **),"       \
    " void *, char **);")                                                                     \
  _(sqlite3_create_function,                                                                  \
    "int sqlite3_create_function(sqlite3 *, const char *, int, int, void *,"                  \
    " void (*)(sqlite3_context *, int, sqlite3_value **),"                                    \
    " void (*)(sqlite3_context *, int, sqlite3_value **), void (*)(sqlite3_context *));")     \
  _(sqlite3_create_collation,                                                                 \
    "int sqlite3_create_collation(sqlite3 *, const char *, int, void *,"                      \
    " int (*)(void *, int, const void *, int, const void *));")                               \
  _(sqlite3_progress_handler,                                                                 \
    "void sqlite3_progress_handler(sqlite3 *, int, int (*)(void *), void *);")                \
  _(sqlite3_value_int64, "long long sqlite3_value_int64(sqlite3_value *);")                   \
  _(sqlite3_result_int64, "void sqlite3_result_int64(sqlite3_context *, long long);")         \
  _(sqlite3_result_error, "void sqlite3_result_error(sqlite3_context *, const char *, int);") \
  _(sqlite3_free, "void sqlite3_free(void *);")

#define DECLARE(name, text) static gs_func *name;
FUNCTIONS(DECLARE)

static gs_ffi *ffi;
static bool there;

enum { SQLITE_OK = 0, SQLITE_ERROR = 1, SQLITE_ABORT = 4, SQLITE_INTERRUPT = 9, SQLITE_UTF8 = 1 };

static gs_callback *make(const char *ctype, gs_ffi_handler *handler, void *user) {
  static gs_mutex one_at_a_time;
  gs_callback *cb = NULL;
  CHECK_CODE(gs_mutex_lock(&one_at_a_time, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_ffi_callback(ffi, ctype, handler, user, &cb), GS_OK);
  CHECK_CODE(gs_mutex_unlock(&one_at_a_time), GS_OK);
  return cb;
}

static const char row_type[] = "int (*)(void *, int, char **, char **)";
static const char func_type[] = "void (*)(sqlite3_context *, int, sqlite3_value **)";

/* Runs sql; the result of gs_ffi_call in *code.  Returns sqlite's. */
static int exec(void *db, const char *sql, gs_callback *row, int *code) {
  void *fn = row ? gs_callback_code(row) : NULL, *none = NULL, *message = NULL,
       *message_at = &message;
  int ret = -1;
  int e = gs_ffi_call(sqlite3_exec, &ret, (void *[]){&db, &sql, &fn, &none, &message_at}, NULL);
  if (code)
    *code = e;
  else
    CHECK_CODE(e, GS_OK);
  if (ret == SQLITE_OK) CHECK(message == NULL);
  CHECK_CODE(gs_ffi_call(sqlite3_free, NULL, (void *[]){&message}, NULL), GS_OK);
  return ret;
}

static void *open_db(void) {
  const char *name = ":memory:";
  void *db = NULL, *db_at = &db;
  int ret = -1;
  CHECK_CODE(gs_ffi_call(sqlite3_open, &ret, (void *[]){&name, &db_at}, NULL), GS_OK);
  CHECK_INT(ret, SQLITE_OK);
  CHECK_INT(exec(db,
                 "create table t(n integer, s text);"
                 "with recursive c(i) as (select 1 union all select i + 1 from c where i < 200)"
                 "insert into t select i, 'row' || (i * 37 % 200) from c;",
                 NULL, NULL),
            SQLITE_OK);
  return db;
}

static void close_db(void *db) {
  int ret = -1;
  CHECK_CODE(gs_ffi_call(sqlite3_close, &ret, (void *[]){&db}, NULL), GS_OK);
  CHECK_INT(ret, SQLITE_OK);
}

/* ---- rows ---- */

typedef struct rows {
  int n, fail_at;
  char first[32], last[32];
} rows;

static int row_handler(void *ret, void *const *args, void *user) {
  rows *r = user;
  int columns = *(const int *)args[1];
  char *const *values = *(char *const *const *)args[2];
  CHECK_INT(columns, 1);
  if (r->n++ == 0) snprintf(r->first, sizeof(r->first), "%s", values[0]);
  snprintf(r->last, sizeof(r->last), "%s", values[0]);
  gs_yield();
  if (r->n % 16 == 0) CHECK_CODE(gs_sleep(US(20)), GS_OK);
  *(int *)ret = 0;
  return r->n == r->fail_at ? 600 + r->n : 0;
}

static void select_rows(void *arg) {
  (void)arg;
  void *db = open_db();
  rows r = {.n = 0};
  gs_callback *cb = make(row_type, row_handler, &r);
  CHECK_INT(exec(db, "select n from t order by n", cb, NULL), SQLITE_OK);
  CHECK_INT(r.n, 200);
  CHECK(strcmp(r.first, "1") == 0 && strcmp(r.last, "200") == 0);
  /* What fails stops the query, since the default says so. */
  int stop = 1, code = 0;
  gs_callback_set_default(cb, &stop);
  r = (rows){.fail_at = 50};
  CHECK_INT(exec(db, "select n from t order by n", cb, &code), SQLITE_ABORT);
  CHECK_CODE(code, GS_ECALLBACK);
  CHECK_INT(r.n, 50);
  CHECK_CODE(gs_callback_failure(&code, NULL), GS_OK);
  CHECK_INT(code, 650);
  close_db(db);
  gs_callback_free(cb);
}

/* ---- functions that query again, and fail ---- */

typedef struct function {
  void *db;
  int n;
} function;

static int twice_handler(void *ret, void *const *args, void *user) {
  (void)ret;
  function *f = user;
  void *context = *(void *const *)args[0], *value = (*(void **const *)args[2])[0];
  long long v = 0;
  CHECK_INT(*(const int *)args[1], 1);
  CHECK_CODE(gs_ffi_call(sqlite3_value_int64, &v, (void *[]){&value}, NULL), GS_OK);
  if (++f->n % 10 == 0) {
    rows r = {.n = 0};
    gs_callback *cb = make(row_type, row_handler, &r);
    CHECK_INT(exec(f->db, "select count(*) from t", cb, NULL), SQLITE_OK);
    CHECK(strcmp(r.first, "200") == 0);
    gs_callback_free(cb);
  }
  if (v == 77) {
    const char *text = "not this one";
    int all = -1;
    CHECK_CODE(gs_ffi_call(sqlite3_result_error, NULL, (void *[]){&context, &text, &all}, NULL),
               GS_OK);
    return 77;
  }
  v *= 2;
  CHECK_CODE(gs_ffi_call(sqlite3_result_int64, NULL, (void *[]){&context, &v}, NULL), GS_OK);
  return 0;
}

static int sum_step(void *ret, void *const *args, void *user) {
  (void)ret;
  void *value = (*(void **const *)args[2])[0];
  long long v = 0;
  CHECK_CODE(gs_ffi_call(sqlite3_value_int64, &v, (void *[]){&value}, NULL), GS_OK);
  *(long long *)user += v;
  gs_yield();
  return 0;
}

static int sum_final(void *ret, void *const *args, void *user) {
  (void)ret;
  void *context = *(void *const *)args[0];
  CHECK_CODE(gs_ffi_call(sqlite3_result_int64, NULL, (void *[]){&context, user}, NULL), GS_OK);
  return 0;
}

static void define(void *db, const char *name, gs_callback *func, gs_callback *step,
                   gs_callback *final) {
  int nargs = 1, utf8 = SQLITE_UTF8, ret = -1;
  void *none = NULL, *f = gs_callback_code(func), *s = gs_callback_code(step),
       *e = gs_callback_code(final);
  CHECK_CODE(gs_ffi_call(sqlite3_create_function, &ret,
                         (void *[]){&db, &name, &nargs, &utf8, &none, &f, &s, &e}, NULL),
             GS_OK);
  CHECK_INT(ret, SQLITE_OK);
}

static void user_functions(void *arg) {
  (void)arg;
  int code = 0;
  long long total = 0;
  function f = {.db = open_db()};
  rows r = {.n = 0};
  gs_callback *row = make(row_type, row_handler, &r);
  gs_callback *twice = make(func_type, twice_handler, &f);
  gs_callback *step = make(func_type, sum_step, &total);
  gs_callback *final = make("void (*)(sqlite3_context *)", sum_final, &total);
  define(f.db, "twice", twice, NULL, NULL);
  define(f.db, "total_of", NULL, step, final);
  CHECK_INT(exec(f.db, "select twice(n) from t where n < 70 order by n", row, NULL), SQLITE_OK);
  CHECK_INT(r.n, 69);
  CHECK(strcmp(r.last, "138") == 0);
  CHECK_INT(exec(f.db, "select twice(n) from t order by n", row, &code), SQLITE_ERROR);
  CHECK_CODE(code, GS_ECALLBACK);
  CHECK_CODE(gs_callback_failure(&code, NULL), GS_OK);
  CHECK_INT(code, 77);
  r.n = 0;
  CHECK_INT(exec(f.db, "select total_of(n) from t", row, NULL), SQLITE_OK);
  CHECK(strcmp(r.first, "20100") == 0);
  close_db(f.db);
  gs_callback_free(row);
  gs_callback_free(twice);
  gs_callback_free(step);
  gs_callback_free(final);
}

/* ---- a collation that parks; a progress handler that interrupts ---- */

static int backwards(void *ret, void *const *args, void *user) {
  int na = *(const int *)args[1], nb = *(const int *)args[3];
  const char *a = *(const char *const *)args[2], *b = *(const char *const *)args[4];
  int n = memcmp(b, a, (size_t)(na < nb ? na : nb));
  *(int *)ret = n ? n : nb - na;
  if (++*(int *)user % 20 == 0) CHECK_CODE(gs_sleep(US(10)), GS_OK);
  return 0;
}

static int impatient(void *ret, void *const *args, void *user) {
  (void)args;
  gs_yield();
  *(int *)ret = ++*(int *)user == 5;
  return 0;
}

static void collations(void *arg) {
  (void)arg;
  void *db = open_db(), *none = NULL;
  int compared = 0, progress = 0, utf8 = SQLITE_UTF8, ret = -1, every = 1000;
  const char *name = "backwards";
  rows r = {.n = 0};
  gs_callback *row = make(row_type, row_handler, &r);
  gs_callback *c =
      make("int (*)(void *, int, const void *, int, const void *)", backwards, &compared);
  gs_callback *p = make("int (*)(void *)", impatient, &progress);
  void *code = gs_callback_code(c);
  CHECK_CODE(gs_ffi_call(sqlite3_create_collation, &ret,
                         (void *[]){&db, &name, &utf8, &none, &code}, NULL),
             GS_OK);
  CHECK_INT(exec(db, "select s from t order by s collate backwards", row, NULL), SQLITE_OK);
  CHECK(compared > 200);
  CHECK(strcmp(r.first, "row99") == 0 && strcmp(r.last, "row0") == 0);
  code = gs_callback_code(p);
  CHECK_CODE(
      gs_ffi_call(sqlite3_progress_handler, NULL, (void *[]){&db, &every, &code, &none}, NULL),
      GS_OK);
  CHECK_INT(exec(db, "select count(*) from t a, t b, t c", row, NULL), SQLITE_INTERRUPT);
  CHECK_INT(progress, 5);
  close_db(db);
  gs_callback_free(row);
  gs_callback_free(c);
  gs_callback_free(p);
}

/* ---- all of it at once, each with its own database ---- */

typedef struct job {
  void (*body)(void *);
  wait_group *wg;
} job;

static void work(void *arg) {
  job j = *(job *)arg;
  j.body(NULL);
  wg_done(j.wg);
}

static void everything(void *arg) {
  (void)arg;
  wait_group wg;
  static job jobs[6];
  wg_init(&wg);
  for (int i = 0; i < 6; i++) {
    jobs[i] = (job){i % 3 == 0 ? select_rows : i % 3 == 1 ? user_functions : collations, &wg};
    go(work, &jobs[i]);
  }
  wg_wait(&wg, 6);
}

static void test(body_fn body) {
  if (!there) {
    print_message("skipped: libsqlite3.so.0 is not installed (package libsqlite3-0)\n");
    skip();
  }
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  run_config(&cfg, body, NULL);
}

static void test_rows(void **state) {
  (void)state;
  test(select_rows);
}

static void test_user_functions(void **state) {
  (void)state;
  test(user_functions);
}

static void test_collations(void **state) {
  (void)state;
  test(collations);
}

static void test_everything_at_once(void **state) {
  (void)state;
  test(everything);
}

static int setup(void **state) {
  (void)state;
  gs_lib *lib = NULL;
  gs_ffi_error err = {.code = 0};
  ffi = gs_ffi_new();
  there = gs_ffi_load(ffi, "libsqlite3.so.0", &lib, &err) == GS_OK;
  if (!there) return 0;
  int e = gs_ffi_cdef(ffi,
                      "typedef struct sqlite3 sqlite3; typedef struct sqlite3_context "
                      "sqlite3_context; typedef struct sqlite3_value sqlite3_value;",
                      &err);
#define PREPARE(name, text)                         \
  if (e == GS_OK) e = gs_ffi_cdef(ffi, text, &err); \
  if (e == GS_OK) e = gs_ffi_func(lib, #name, &name, &err);
  FUNCTIONS(PREPARE)
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
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_user_functions),
      cmocka_unit_test(test_collations),
      cmocka_unit_test(test_everything_at_once),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
