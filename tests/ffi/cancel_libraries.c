/* cancel_libraries.c: what cancellation and deadlines do to real libraries: sqlite3_interrupt ends
 * a statement, PQcancel a query of PostgreSQL, whose server the test is given in
 * GOSCHED_TEST_POSTGRES (with_postgres.py starts one).
 *
 * Both interrupt what runs at that moment and forget about it, so the unblock functions ask again
 * until the call is over: they may come first. */
#include "support.h"

#include <dlfcn.h>
#include <unistd.h>

enum { SQLITE_INTERRUPT = 9 };

#define until(what)                                                                         \
  do {                                                                                      \
    for (int64_t end_ = gs_now() + PATIENCE; !(what) && gs_now() < end_;) gs_sleep(US(20)); \
    CHECK(what);                                                                            \
  } while (0)

typedef struct query {
  void *db, *statement; /* sqlite3 and sqlite3_stmt, or PGconn and PGcancel */
  atomic_int began, over, unblocks, destroys;
  gs_call_options opts;
  int code, result;
  char text[256];
} query;

static void *library;

static void *function(const char *name) {
  void *f = dlsym(library, name);
  if (!f) fprintf(stderr, "%s\n", dlerror());
  CHECK(f != NULL);
  return f;
}

static void destroy(void *arg) {
  query *q = arg;
  CHECK_INT(atomic_load(&q->over), 1);
  atomic_fetch_add(&q->destroys, 1);
}

static void query_init(query *q, int deadline, int owns, void (*unblock)(void *)) {
  memset(q, 0, sizeof *q);
  q->opts = (gs_call_options)GS_CALL_OPTIONS_DEFAULT;
  q->opts.unblock = unblock;
  q->opts.uarg = q;
  q->opts.destroy = owns ? destroy : NULL;
  if (deadline) q->opts.deadline_ns = in_ms(20);
}

/* Calls fn in a green thread, and cancels that one if there is no deadline. */
static void give_up(query *q, body_fn call) {
  int timed = q->opts.deadline_ns != GS_FOREVER;
  gs_handle *h = go_named("queries", call, q);
  if (!timed) {
    until(q->began);
    CHECK_CODE(gs_cancel(h), GS_OK);
  }
  join(h);
  CHECK_CODE(q->code, timed ? GS_ETIMEOUT : GS_ECANCELED);
  if (q->opts.destroy) until(q->destroys);
}

/* ---- SQLite ---- */

static int (*open_db)(const char *, void **),
    (*prepare)(void *, const char *, int, void **, void *), (*step)(void *), (*finalize)(void *),
    (*close_db)(void *);
static void (*interrupt)(void *);

static int step_it(void *arg) {
  query *q = arg;
  atomic_store(&q->began, 1);
  int r = step(q->statement);
  atomic_store(&q->over, 1);
  return r;
}

static void interrupt_it(void *arg) {
  query *q = arg;
  atomic_fetch_add(&q->unblocks, 1);
  while (atomic_load(&q->began) && !atomic_load(&q->over)) {
    interrupt(q->db);
    usleep(1000);
  }
}

static void call_step(void *arg) {
  query *q = arg;
  q->code = gs_cgocall_opts(&q->opts, step_it, q, &q->result);
}

static void sqlite_once(int deadline, int owns) {
  static const char endless[] =
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
  query q;
  query_init(&q, deadline, owns, interrupt_it);
  CHECK_INT(open_db(":memory:", &q.db), 0);
  CHECK_INT(prepare(q.db, endless, -1, &q.statement, NULL), 0);
  give_up(&q, call_step);
  if (!owns && q.began) CHECK_INT(q.result, SQLITE_INTERRUPT);
  CHECK_INT(q.unblocks, !owns || q.began);
  finalize(q.statement);
  CHECK_INT(close_db(q.db), 0);
}

static void sqlite(void *arg) {
  (void)arg;
  *(void **)&open_db = function("sqlite3_open");
  *(void **)&prepare = function("sqlite3_prepare_v2");
  *(void **)&step = function("sqlite3_step");
  *(void **)&finalize = function("sqlite3_finalize");
  *(void **)&close_db = function("sqlite3_close");
  *(void **)&interrupt = function("sqlite3_interrupt");
  if (checks_failed()) return;
  for (int i = 0; i < 12; i++) sqlite_once(i & 1, i & 2);
}

static void test_sqlite(void **state) {
  (void)state;
  library = dlopen("libsqlite3.so.0", RTLD_NOW);
  if (!library) {
    print_message("skipped: %s\n", dlerror());
    skip();
  }
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 2;
  cfg.stack_size = 256 << 10; /* sqlite3_open is called on the green thread's stack */
  run_config(&cfg, sqlite, NULL);
}

/* ---- PostgreSQL ---- */

static void *(*connect_db)(const char *), *(*exec_sql)(void *, const char *),
    *(*get_cancel)(void *);
static int (*cancel_query)(void *, char *, int), (*status)(const void *);
static void (*finish)(void *), (*clear)(void *), (*free_cancel)(void *);
static char *(*error_of)(const void *);

static int exec_it(void *arg) {
  query *q = arg;
  atomic_store(&q->began, 1);
  void *r = exec_sql(q->db, "SELECT pg_sleep(60)");
  strncat(q->text, error_of(r), sizeof q->text - 1);
  clear(r);
  atomic_store(&q->over, 1);
  return 8;
}

static void cancel_it(void *arg) {
  query *q = arg;
  char why[256];
  atomic_fetch_add(&q->unblocks, 1);
  while (atomic_load(&q->began) && !atomic_load(&q->over)) {
    CHECK_INT(cancel_query(q->statement, why, sizeof why), 1);
    usleep(20000);
  }
}

static void call_exec(void *arg) {
  query *q = arg;
  q->code = gs_cgocall_opts(&q->opts, exec_it, q, &q->result);
}

static int connect_it(void *arg) {
  query *q = arg;
  q->db = connect_db(getenv("GOSCHED_TEST_POSTGRES"));
  q->statement = get_cancel(q->db);
  return status(q->db);
}

static int finish_it(void *arg) {
  query *q = arg;
  free_cancel(q->statement);
  finish(q->db);
  return 0;
}

static void postgres_once(int deadline, int owns) {
  query q;
  int failed = -1;
  query_init(&q, 0, owns, cancel_it);
  CHECK_CODE(gs_cgocall(connect_it, &q, &failed), GS_OK);
  CHECK_INT(failed, 0);
  if (deadline) q.opts.deadline_ns = in_ms(50);
  if (!failed) give_up(&q, call_exec);
  if (!owns && q.began) CHECK_INT(q.result, 8);
  if (q.began && !strstr(q.text, "canceling statement")) {
    fprintf(stderr, "the query ended with: %s\n", q.text);
    CHECK(!"it was cancelled");
  }
  CHECK_CODE(gs_cgocall(finish_it, &q, NULL), GS_OK);
}

static void postgres(void *arg) {
  (void)arg;
  *(void **)&connect_db = function("PQconnectdb");
  *(void **)&status = function("PQstatus");
  *(void **)&get_cancel = function("PQgetCancel");
  *(void **)&cancel_query = function("PQcancel");
  *(void **)&free_cancel = function("PQfreeCancel");
  *(void **)&exec_sql = function("PQexec");
  *(void **)&clear = function("PQclear");
  *(void **)&finish = function("PQfinish");
  *(void **)&error_of = function("PQresultErrorMessage");
  if (checks_failed()) return;
  for (int i = 0; i < 8; i++) postgres_once(i & 1, i & 2);
}

static void test_postgres(void **state) {
  (void)state;
  if (!getenv("GOSCHED_TEST_POSTGRES")) {
    print_message("skipped: with_postgres.py starts no server here\n");
    skip();
  }
  library = dlopen("libpq.so.5", RTLD_NOW);
  if (!library) {
    print_message("skipped: %s\n", dlerror());
    skip();
  }
  run_procs(2, postgres, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sqlite),
      cmocka_unit_test(test_postgres),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
