/* callbacks.c: a generated library of scenarios (scenario.h) in the other direction: C code calls
 * callbacks of these signatures.
 *
 *   callbacks LIBRARY
 *
 * Each signature is a test.  Its callback is called with each list of arguments, from a foreign
 * call of a green thread, directly on a green thread, and from a thread that the scheduler knows
 * nothing of.  The handler looks which of the calls it is that arrives, as the C functions do, and
 * returns the result of that one; every other time it leaves that to the C function itself, which
 * it calls with the arguments that it got.  The last test calls the callbacks of all signatures on
 * many green threads at once.
 */
#include "group.h"

#include <pthread.h>

#include "libffi_defect.h"

enum { WORKERS = 16 };

static unsigned declined;

typedef struct callback {
  const signature *s;
  gs_func *func; /* to leave the result to; NULL: never */
  gs_callback *cb;
  atomic_uint calls, strangers;
} callback;

/* ---- the handler ---- */

static bool all_same(const signature *s, unsigned which, void *const *args) {
  for (unsigned i = 0; i < s->nargs; i++)
    if (!s->same[i](args[i], s->arguments[(size_t)which * s->nargs + i])) return false;
  return true;
}

static void tell_stranger(const signature *s, void *const *args) {
  fprintf(stderr, "%s (%s): arguments that are not as in call 0, 1, …:\n", s->name, s->pointer);
  for (unsigned which = 0; which < s->ncalls; which++) {
    for (unsigned i = 0; i < s->nargs; i++)
      if (!s->same[i](args[i], s->arguments[(size_t)which * s->nargs + i]))
        fprintf(stderr, " %u", i + 1);
    fputc('\n', stderr);
  }
}

static int handle(void *ret, void *const *args, void *user) {
  callback *c = user;
  const signature *s = c->s;
  unsigned which = 0;
  while (which < s->ncalls && !all_same(s, which, args)) which++;
  if (which == s->ncalls) {
    atomic_fetch_add(&c->strangers, 1);
    tell_stranger(s, args);
    return 0;
  }
  unsigned before = atomic_fetch_add(&c->calls, 1);
  if (c->func && before % 2) return gs_ffi_call(c->func, s->result_size ? ret : NULL, args, NULL);
  memcpy(ret, s->results[which] ? s->results[which] : "", s->result_size);
  return 0;
}

/* ---- calling it ---- */

static void (*code_of(const callback *c))(void) {
  void *at = gs_callback_code(c->cb);
  void (*fn)(void);
  memcpy(&fn, &at, sizeof(fn));
  return fn;
}

/* All calls, by C code. */
static int call_it(void *arg) {
  callback *c = arg;
  int wrong = 0;
  for (unsigned which = 0; which < c->s->ncalls; which++)
    if (!c->s->call(code_of(c), which)) {
      fprintf(stderr, "%s (%s), call %u: another result\n", c->s->name, c->s->pointer, which);
      wrong++;
    }
  return wrong;
}

static void *foreign_thread(void *arg) {
  CHECK_INT(call_it(arg), 0);
  return NULL;
}

static int join_foreign(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void on_green_thread(void *arg) {
  callback *c = arg;
  int wrong = -1, joined = -1;
  pthread_t thread;
  CHECK_CODE(gs_cgocall(call_it, c, &wrong), GS_OK);
  CHECK_INT(wrong, 0);
  CHECK_INT(call_it(c), 0);
  CHECK_INT(pthread_create(&thread, NULL, foreign_thread, c), 0);
  CHECK_CODE(gs_cgocall(join_foreign, &thread, &joined), GS_OK);
  CHECK_INT(joined, 0);
  CHECK_INT(atomic_load(&c->calls), 3 * c->s->ncalls);
  CHECK_INT(atomic_load(&c->strangers), 0);
}

/* false: declined. */
static bool make(callback *c, const signature *s) {
  gs_ffi_error err;
  const gs_type *type = NULL;
  *c = (callback){.s = s, .func = declared(s)};
  if (c->func && by_libffi() && libffi_corrupts(c->func)) c->func = NULL;
  CHECK_CODE(gs_ffi_type(ffi, s->pointer, &type, &err), GS_OK);
  return type &&
         !group_refused(s, gs_callback_prepare(ffi, s->name, type, handle, c, &c->cb, &err), &err);
}

static void test_signature(void **state) {
  callback c;
  int before = checks_failed();
  if (make(&c, *state)) {
    run_procs(2, on_green_thread, &c);
    gs_callback_free(c.cb);
  } else {
    declined++;
  }
  assert_int_equal(checks_failed(), before);
}

/* ---- all at once ---- */

typedef struct crowd {
  callback *all;
  wait_group wg;
  atomic_uint starts;
} crowd;

static void one_of_many(void *arg) {
  crowd *c = arg;
  unsigned start = atomic_fetch_add(&c->starts, 1) * scenarios->count / WORKERS;
  for (unsigned i = 0; i < SCALE(scenarios->count); i++) {
    callback *one = &c->all[(start + i) % scenarios->count];
    int wrong = -1;
    if (!one->cb) continue;
    CHECK_CODE(gs_cgocall(call_it, one, &wrong), GS_OK);
    CHECK_INT(wrong, 0);
  }
  wg_done(&c->wg);
}

static void many_body(void *arg) {
  crowd *c = arg;
  wg_init(&c->wg);
  for (int i = 0; i < WORKERS; i++) go(one_of_many, c);
  wg_wait(&c->wg, WORKERS);
}

static void test_all_at_once(void **state) {
  (void)state;
  crowd c = {.all = calloc(scenarios->count, sizeof(callback))};
  assert_non_null(c.all);
  for (unsigned i = 0; i < scenarios->count; i++) make(&c.all[i], scenarios->signatures[i]);
  run_procs(2, many_body, &c);
  for (unsigned i = 0; i < scenarios->count; i++) {
    assert_int_equal(atomic_load(&c.all[i].strangers), 0);
    gs_callback_free(c.all[i].cb);
  }
  free(c.all);
}

int main(int argc, char **argv) {
  int failed = group_main(argc, argv, test_signature, test_all_at_once);
  printf("%u of the signatures were declined with a reason\n", declined);
  return failed;
}
