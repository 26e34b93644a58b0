/* postgres.c: libpq's notices, against a server that with_postgres.py starts.
 *
 * GOSCHED_TEST_POSTGRES says how to connect to it; without, the tests are skipped, and
 * with_postgres.py has said why.
 *
 * libpq is declared by the whole of libpq-fe.h.  PQexec is one foreign call; the notices that the
 * server sends meanwhile come to green threads as callbacks, which may park and call libpq again.
 */
#include "library.h"

static library pq;
static const char *conninfo;
static bool there;

static struct {
  gs_func *connect, *finish, *status, *message, *exec, *result_status, *clear, *value,
      *set_processor, *set_receiver, *field;
} fn;

static int setup(void **state) {
  (void)state;
  there = library_open(&pq, HEADER_PATH, "libpq.so.5") && conninfo;
  if (!there) return 0;
  fn.connect = library_func(&pq, "PQconnectdb");
  fn.finish = library_func(&pq, "PQfinish");
  fn.status = library_func(&pq, "PQstatus");
  fn.message = library_func(&pq, "PQerrorMessage");
  fn.exec = library_func(&pq, "PQexec");
  fn.result_status = library_func(&pq, "PQresultStatus");
  fn.clear = library_func(&pq, "PQclear");
  fn.value = library_func(&pq, "PQgetvalue");
  fn.set_processor = library_func(&pq, "PQsetNoticeProcessor");
  fn.set_receiver = library_func(&pq, "PQsetNoticeReceiver");
  fn.field = library_func(&pq, "PQresultErrorField");
  return checks_failed();
}

static int teardown(void **state) {
  (void)state;
  library_close(&pq);
  return 0;
}

#define SKIP_UNLESS_THERE()                                       \
  do {                                                            \
    if (!there) {                                                 \
      print_message("skipped: libpq or a server is not there\n"); \
      skip();                                                     \
    }                                                             \
  } while (0)

/* ---- a connection ---- */

static void *connect_to_server(void) {
  void *conn = NULL;
  int status = -1;
  CALL(fn.connect, &conn, &conninfo);
  CALL(fn.status, &status, &conn);
  if (status != library_constant(&pq, "CONNECTION_OK")) {
    const char *message = NULL;
    CALL(fn.message, &message, &conn);
    fprintf(stderr, "%s", message);
    CHECK(!"connected");
  }
  return conn;
}

/* Returns PQexec's code; the command must succeed. */
static int run(void *conn, const char *sql) {
  void *result = NULL;
  int status = -1;
  int code = gs_ffi_call(fn.exec, &result, (void *[]){&conn, &sql}, NULL);
  CALL(fn.result_status, &status, &result);
  CHECK(status == library_constant(&pq, "PGRES_COMMAND_OK") ||
        status == library_constant(&pq, "PGRES_TUPLES_OK"));
  CALL(fn.clear, NULL, &result);
  return code;
}

static void raise_notices(char *sql, size_t size, int first, int last, const char *pause) {
  snprintf(sql, size,
           "DO $$ BEGIN FOR i IN %d..%d LOOP RAISE NOTICE 'number %%', i; %s END LOOP; END $$",
           first, last, pause);
}

/* ---- the notice processor ---- */

typedef struct listener {
  gs_callback *cb;
  int next, wrong, seen;
  int parks;
  int fail_at; /* the notice at which the handler fails, or 0 */
  atomic_int *all;
  wait_group *wg;
} listener;

static int on_notice(void *ret, void *const *args, void *user) {
  listener *l = user;
  const char *message = *(const char *const *)args[1];
  int number = -1;
  (void)ret;
  if (*(void *const *)args[0] != l) l->wrong++;
  if (sscanf(message, "NOTICE:  number %d", &number) != 1 || number != l->next) l->wrong++;
  l->next++;
  l->seen++;
  if (l->all) atomic_fetch_add(l->all, 1);
  if (l->parks && gs_sleep(US(20)) != GS_OK) l->wrong++;
  return number == l->fail_at ? number : 0;
}

/* For a connection that l->cb is made for. */
static void listen(void *conn, listener *l) {
  void *code = gs_callback_code(l->cb), *old = NULL, *self = l;
  CALL(fn.set_processor, &old, &conn, &code, &self);
  CHECK(old != NULL && old != code);
}

static void callback_for(listener *l) {
  CHECK_CODE(gs_ffi_callback(pq.ffi, "PQnoticeProcessor", on_notice, l, &l->cb), GS_OK);
}

static void processor_body(void *arg) {
  (void)arg;
  char sql[300];
  for (int parks = 0; parks < 2; parks++) {
    listener l = {.next = 1, .parks = parks};
    void *conn = connect_to_server();
    callback_for(&l);
    listen(conn, &l);
    raise_notices(sql, sizeof(sql), 1, 100, "");
    CHECK_CODE(run(conn, sql), GS_OK);
    CHECK_INT(l.seen, 100);
    CHECK_INT(l.wrong, 0);
    CALL(fn.finish, NULL, &conn);
    gs_callback_free(l.cb);
  }
}

static void test_processor(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, processor_body, NULL);
}

/* A handler that fails does not end the command, but its failure comes out of PQexec. */
static void failing_body(void *arg) {
  (void)arg;
  char sql[300];
  listener l = {.next = 1, .fail_at = 3};
  int failure = 0;
  void *data = NULL, *conn = connect_to_server();
  callback_for(&l);
  listen(conn, &l);
  raise_notices(sql, sizeof(sql), 1, 5, "");
  CHECK_CODE(run(conn, sql), GS_ECALLBACK);
  CHECK_CODE(gs_callback_failure(&failure, &data), GS_OK);
  CHECK_INT(failure, 3);
  CHECK_INT(l.seen, 5);
  l.fail_at = 0;
  l.next = 1;
  CHECK_CODE(run(conn, sql), GS_OK);
  CHECK_INT(l.wrong, 0);
  CALL(fn.finish, NULL, &conn);
  gs_callback_free(l.cb);
}

static void test_processor_fails(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, failing_body, NULL);
}

/* ---- the notice receiver, which calls libpq back ---- */

typedef struct receiver {
  void *other; /* another connection, for a command meanwhile */
  int seen, wrong;
} receiver;

static int on_result(void *ret, void *const *args, void *user) {
  receiver *r = user;
  void *result = *(void *const *)args[1];
  const char *text = NULL;
  int field = 'M'; /* PG_DIAG_MESSAGE_PRIMARY is a macro */
  (void)ret;
  CALL(fn.field, &text, &result, &field);
  char want[40];
  snprintf(want, sizeof(want), "number %d", ++r->seen);
  if (!text || strcmp(text, want) != 0) r->wrong++;
  if (run(r->other, "SELECT 1") != GS_OK) r->wrong++;
  return 0;
}

static void receiver_body(void *arg) {
  (void)arg;
  char sql[300];
  receiver r = {.other = connect_to_server()};
  void *conn = connect_to_server(), *old = NULL, *self = &r;
  gs_callback *cb = NULL;
  CHECK_CODE(gs_ffi_callback(pq.ffi, "PQnoticeReceiver", on_result, &r, &cb), GS_OK);
  void *code = gs_callback_code(cb);
  CALL(fn.set_receiver, &old, &conn, &code, &self);
  raise_notices(sql, sizeof(sql), 1, 20, "");
  CHECK_CODE(run(conn, sql), GS_OK);
  CHECK_INT(r.seen, 20);
  CHECK_INT(r.wrong, 0);
  CALL(fn.finish, NULL, &conn);
  CALL(fn.finish, NULL, &r.other);
  gs_callback_free(cb);
}

static void test_receiver(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, receiver_body, NULL);
}

/* ---- several connections ---- */

enum { CONNECTIONS = 6, EACH = 10 };

static void one_connection(void *arg) {
  listener *l = arg;
  char sql[300];
  void *conn = connect_to_server();
  listen(conn, l);
  raise_notices(sql, sizeof(sql), l->next, l->next + EACH - 1, "PERFORM pg_sleep(0.005);");
  CHECK_CODE(run(conn, sql), GS_OK);
  CHECK_INT(l->seen, EACH);
  CHECK_INT(l->wrong, 0);
  CALL(fn.finish, NULL, &conn);
  wg_done(l->wg);
}

/* Each takes a while in the server; another green thread goes on until all notices have come. */
static void several_body(void *arg) {
  (void)arg;
  listener listeners[CONNECTIONS];
  atomic_int all = 0;
  wait_group wg;
  long ticks = 0;
  int64_t deadline = gs_now() + PATIENCE;
  wg_init(&wg);
  for (int i = 0; i < CONNECTIONS; i++) {
    listeners[i] = (listener){.next = 100 * i, .parks = i % 2, .all = &all, .wg = &wg};
    callback_for(&listeners[i]); /* callbacks are made by one thread at a time */
  }
  for (int i = 0; i < CONNECTIONS; i++) go(one_connection, &listeners[i]);
  while (atomic_load(&all) < CONNECTIONS * EACH && gs_now() < deadline) {
    CHECK_CODE(gs_sleep(US(50)), GS_OK);
    ticks++;
  }
  CHECK_INT(atomic_load(&all), CONNECTIONS * EACH);
  CHECK(ticks > 0);
  wg_wait(&wg, CONNECTIONS);
  for (int i = 0; i < CONNECTIONS; i++) gs_callback_free(listeners[i].cb);
}

static void test_several(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, several_body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_processor),
      cmocka_unit_test(test_processor_fails),
      cmocka_unit_test(test_receiver),
      cmocka_unit_test(test_several),
  };
  conninfo = getenv("GOSCHED_TEST_POSTGRES");
  return cmocka_run_group_tests(tests, setup, teardown);
}
