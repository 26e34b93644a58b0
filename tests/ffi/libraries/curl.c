/* curl.c: libcurl's callbacks, against a server of this process.
 *
 * libcurl is declared by the whole of curl.h.  A transfer is one foreign call, curl_easy_perform,
 * that takes as long as the server wants; meanwhile it calls back into green threads, which may
 * park, and other green threads go on.
 */
#include "library.h"

#include "http_server.h"

static library curl;
static int port;
static bool there;

static struct {
  gs_func *init, *cleanup, *perform, *set_long, *set_pointer, *set_text, *set_write, *set_progress;
} fn;

static int setup(void **state) {
  (void)state;
  there = library_open(&curl, HEADER_PATH, "libcurl.so.4");
  if (!there) return 0;
  gs_func *global = library_func(&curl, "curl_global_init");
  long all = 3; /* CURL_GLOBAL_ALL is a macro */
  int code = -1;
  CALL(global, &code, &all);
  CHECK_INT(code, 0);
  fn.init = library_func(&curl, "curl_easy_init");
  fn.cleanup = library_func(&curl, "curl_easy_cleanup");
  fn.perform = library_func(&curl, "curl_easy_perform");
  fn.set_long = library_variadic(&curl, "curl_easy_setopt", "long");
  fn.set_pointer = library_variadic(&curl, "curl_easy_setopt", "void *");
  fn.set_text = library_variadic(&curl, "curl_easy_setopt", "const char *");
  fn.set_write = library_variadic(&curl, "curl_easy_setopt", "curl_write_callback");
  fn.set_progress = library_variadic(&curl, "curl_easy_setopt", "curl_xferinfo_callback");
  port = http_start();
  CHECK(port > 0);
  return checks_failed();
}

static int teardown(void **state) {
  (void)state;
  if (there) {
    http_stop();
    CHECK_CODE(gs_ffi_call(library_func(&curl, "curl_global_cleanup"), NULL, NULL, NULL), GS_OK);
  }
  library_close(&curl);
  return 0;
}

#define SKIP_UNLESS_THERE()                                 \
  do {                                                      \
    if (!there) {                                           \
      print_message("skipped: libcurl is not installed\n"); \
      skip();                                               \
    }                                                       \
  } while (0)

/* ---- a transfer ---- */

enum { NO_ABORT = -1 };

typedef struct transfer {
  void *handle;
  gs_callback *write, *progress;
  unsigned long received;
  long abort_at; /* bytes after which the progress callback wants no more, or NO_ABORT */
  unsigned calls, reports, wrong;
  int fail_with; /* what the write handler fails with, or 0 */
  int parks;     /* whether handlers park */
  wait_group *wg;
} transfer;

static int on_write(void *ret, void *const *args, void *user) {
  transfer *t = user;
  const unsigned char *bytes = *(unsigned char *const *)args[0];
  size_t n = *(const size_t *)args[1] * *(const size_t *)args[2];
  if (*(void *const *)args[3] != t) t->wrong++;
  for (size_t i = 0; i < n; i++)
    if (bytes[i] != http_byte(t->received + i)) t->wrong++;
  /* Looked at while the server holds it: what orders the two goes through a socket. */
  __atomic_store_n(&t->received, t->received + n, __ATOMIC_RELAXED);
  t->calls++;
  if (t->parks) {
    gs_yield();
    if (t->calls % 4 == 0 && gs_sleep(US(50)) != GS_OK) t->wrong++;
  }
  if (t->fail_with) return t->fail_with;
  *(size_t *)ret = n;
  return 0;
}

static int on_progress(void *ret, void *const *args, void *user) {
  transfer *t = user;
  int64_t now = *(const int64_t *)args[2];
  if (*(void *const *)args[0] != t || now < 0 || (unsigned long)now > t->received + (1 << 20))
    t->wrong++;
  t->reports++;
  if (t->parks) gs_yield();
  *(int *)ret = t->abort_at != NO_ABORT && now >= t->abort_at;
  return 0;
}

static void set(gs_func *f, void *handle, const char *option, void *value) {
  int which = (int)library_constant(&curl, option), code = -1;
  CALL(f, &code, &handle, &which, value);
  CHECK_INT(code, 0);
}

static void transfer_init(transfer *t, const char *path) {
  char url[200];
  const char *text = url;
  long no = 0, yes = 1;
  snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
  CHECK_CODE(gs_ffi_call(fn.init, &t->handle, NULL, NULL), GS_OK);
  CHECK(t->handle != NULL);
  CHECK_CODE(gs_ffi_callback(curl.ffi, "curl_write_callback", on_write, t, &t->write), GS_OK);
  CHECK_CODE(gs_ffi_callback(curl.ffi, "curl_xferinfo_callback", on_progress, t, &t->progress),
             GS_OK);
  void *write = gs_callback_code(t->write), *progress = gs_callback_code(t->progress), *self = t;
  const char *none = "";
  set(fn.set_text, t->handle, "CURLOPT_URL", &text);
  set(fn.set_text, t->handle, "CURLOPT_PROXY", &none);
  set(fn.set_long, t->handle, "CURLOPT_NOSIGNAL", &yes);
  set(fn.set_long, t->handle, "CURLOPT_NOPROGRESS", &no);
  set(fn.set_write, t->handle, "CURLOPT_WRITEFUNCTION", &write);
  set(fn.set_pointer, t->handle, "CURLOPT_WRITEDATA", &self);
  set(fn.set_progress, t->handle, "CURLOPT_XFERINFOFUNCTION", &progress);
  set(fn.set_pointer, t->handle, "CURLOPT_XFERINFODATA", &self);
}

static void transfer_end(transfer *t) {
  CALL(fn.cleanup, NULL, &t->handle);
  gs_callback_free(t->write);
  gs_callback_free(t->progress);
}

/* ---- one transfer ---- */

static void whole_body(void *arg) {
  (void)arg;
  enum { SIZE = 300000 };
  for (int parks = 0; parks < 2; parks++) {
    transfer t = {.abort_at = NO_ABORT, .parks = parks};
    int code = -1;
    transfer_init(&t, "/bytes/300000");
    CALL(fn.perform, &code, &t.handle);
    CHECK_INT(code, library_constant(&curl, "CURLE_OK"));
    CHECK_INT(t.received, SIZE);
    CHECK(t.calls > 1);
    CHECK(t.reports > 0);
    CHECK_INT(t.wrong, 0);
    transfer_end(&t);
  }
}

static void test_whole(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, whole_body, NULL);
}

static void abort_body(void *arg) {
  (void)arg;
  transfer t = {.abort_at = 200000, .parks = 1};
  int code = -1;
  transfer_init(&t, "/endless");
  CALL(fn.perform, &code, &t.handle);
  CHECK_INT(code, library_constant(&curl, "CURLE_ABORTED_BY_CALLBACK"));
  CHECK(t.received >= 200000);
  CHECK_INT(t.wrong, 0);
  transfer_end(&t);
}

static void test_progress_aborts(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, abort_body, NULL);
}

/* The handler's failure comes out of the transfer, which curl gives up at the default result 0. */
static void failure_body(void *arg) {
  (void)arg;
  transfer t = {.abort_at = NO_ABORT, .fail_with = 77};
  int code = -1, failure = 0;
  void *data = &failure;
  transfer_init(&t, "/bytes/100000");
  CHECK_CODE(gs_ffi_call(fn.perform, &code, (void *[]){&t.handle}, NULL), GS_ECALLBACK);
  CHECK_INT(code, library_constant(&curl, "CURLE_WRITE_ERROR"));
  CHECK_CODE(gs_callback_failure(&failure, &data), GS_OK);
  CHECK_INT(failure, 77);
  CHECK(data == NULL);
  CHECK_INT(t.calls, 1);
  transfer_end(&t);
}

static void test_write_fails(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, failure_body, NULL);
}

/* ---- several at once ---- */

enum { TRANSFERS = 10, HELD_SIZE = 100000 };

static void one_transfer(void *arg) {
  transfer *t = arg;
  int code = -1;
  CALL(fn.perform, &code, &t->handle);
  CHECK_INT(code, 0);
  CHECK_INT(t->received, HELD_SIZE);
  CHECK_INT(t->wrong, 0);
  wg_done(t->wg);
}

/* The server holds all of them in the middle until a green thread that counts has come far, which
 * it can only while they wait. */
static void several_body(void *arg) {
  (void)arg;
  static transfer transfers[TRANSFERS];
  wait_group wg;
  int64_t deadline = gs_now() + PATIENCE;
  wg_init(&wg);
  for (int i = 0; i < TRANSFERS; i++) {
    transfers[i] = (transfer){.abort_at = NO_ABORT, .parks = i % 2, .wg = &wg};
    transfer_init(&transfers[i], "/hold/100000"); /* callbacks are made by one thread at a time */
  }
  for (int i = 0; i < TRANSFERS; i++) go(one_transfer, &transfers[i]);
  while (http_holding() < TRANSFERS && gs_now() < deadline) CHECK_CODE(gs_sleep(US(100)), GS_OK);
  CHECK_INT(http_holding(), TRANSFERS);
  for (int ticks = 0; ticks < 50; ticks++) {
    gs_yield();
    CHECK_CODE(gs_sleep(US(20)), GS_OK);
  }
  for (int i = 0; i < TRANSFERS; i++)
    CHECK(__atomic_load_n(&transfers[i].received, __ATOMIC_RELAXED) <= HELD_SIZE / 2);
  http_release();
  wg_wait(&wg, TRANSFERS);
  for (int i = 0; i < TRANSFERS; i++) transfer_end(&transfers[i]);
}

static void test_several(void **state) {
  (void)state;
  SKIP_UNLESS_THERE();
  run_procs(2, several_body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole),
      cmocka_unit_test(test_progress_aborts),
      cmocka_unit_test(test_write_fails),
      cmocka_unit_test(test_several),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
