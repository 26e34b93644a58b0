/* concurrent.c: calls of prepared functions from green threads. */
#include "support.h"

#include "gosched_ffi.h"
#define HELPER_TEXT
#include "helper.h"

static gs_ffi *ffi;
static gs_lib *lib;

static gs_func *func(const char *name) {
  gs_func *f = NULL;
  gs_ffi_error err;
  if (gs_ffi_func(lib, name, &f, &err) != GS_OK) fprintf(stderr, "%s\n", err.text);
  CHECK(f != NULL);
  return f;
}

static int setup(void **state) {
  (void)state;
  gs_ffi_error err;
  ffi = gs_ffi_new();
  assert_int_equal(gs_ffi_cdef(ffi, helper_text, &err), GS_OK);
  assert_int_equal(gs_ffi_cdef(ffi, "int usleep(unsigned usec);", &err), GS_OK);
  assert_int_equal(gs_ffi_load(ffi, HELPER_PATH, &lib, &err), GS_OK);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

/* ---- many blocking calls at once ---- */

enum { SLEEPERS = 100, NAP_MS = 100 };

typedef struct sleepers {
  gs_func *usleep;
  wait_group wg;
  atomic_int inside, most;
} sleepers;

static void sleeper(void *arg) {
  sleepers *s = arg;
  unsigned us = NAP_MS * 1000;
  int ret = -1;
  int now = atomic_fetch_add(&s->inside, 1) + 1, most = atomic_load(&s->most);
  while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now)) continue;
  CHECK_CODE(gs_ffi_call(s->usleep, &ret, (void *[]){&us}, NULL), GS_OK);
  atomic_fetch_sub(&s->inside, 1);
  CHECK_INT(ret, 0);
  wg_done(&s->wg);
}

static void concurrent_body(void *arg) {
  (void)arg;
  sleepers s = {.inside = 0};
  gs_lib *libc = NULL;
  gs_ffi_error err;
  CHECK_CODE(gs_ffi_load(ffi, "libc.so.6", &libc, &err), GS_OK);
  CHECK_CODE(gs_ffi_func(libc, "usleep", &s.usleep, &err), GS_OK);
  wg_init(&s.wg);
  int64_t start = gs_now();
  for (int i = 0; i < SLEEPERS; i++) go(sleeper, &s);
  wg_wait(&s.wg, SLEEPERS);
  int64_t took = gs_now() - start;
  /* One after another it would be 10 s. */
  CHECK(took >= MS(NAP_MS));
  CHECK(took < MS(NAP_MS) * SLEEPERS / 2);
  CHECK(atomic_load(&s.most) > 2);
}

static void test_concurrent(void **state) {
  (void)state;
  run_procs(2, concurrent_body, NULL);
}

/* ---- errno is the green thread's ---- */

enum { ROUNDS = 30, THREADS = 16 };

typedef struct errnos {
  wait_group wg;
  atomic_int migrations, number;
} errnos;

static void keeper(void *arg) {
  errnos *e = arg;
  int number = atomic_fetch_add(&e->number, 1);
  gs_func *pause = func("errno_after_pause"), *at_entry = func("errno_at_entry");
  for (int i = 0; i < ROUNDS; i++) {
    int mine = 1000 + number * 100 + i, saved = -1, ret = 0;
    unsigned ms = i % 3 == 0;
    long tid = my_tid();
    CHECK_CODE(gs_ffi_call(pause, &ret, (void *[]){&mine, &ms}, &saved), GS_OK);
    CHECK_INT(saved, mine);
    CHECK_INT(gs_errno(), mine);
    gs_yield();
    CHECK_INT(gs_errno(), mine);
    CHECK_CODE(gs_sleep(US(100)), GS_OK);
    if (my_tid() != tid) atomic_fetch_add(&e->migrations, 1);
    CHECK_CODE(gs_ffi_call(at_entry, &ret, NULL, &saved), GS_OK);
    CHECK_INT(ret, 0);
  }
  wg_done(&e->wg);
}

static void errno_body(void *arg) {
  (void)arg;
  errnos e = {.number = 0};
  CHECK(func("errno_after_pause") && func("errno_at_entry")); /* prepared on one green thread */
  wg_init(&e.wg);
  for (int i = 0; i < THREADS; i++) go(keeper, &e);
  wg_wait(&e.wg, THREADS);
  CHECK(atomic_load(&e.migrations) > 0);
}

static void test_errno(void **state) {
  (void)state;
  run_procs(2, errno_body, NULL);
}

/* ---- the stack that C gets ---- */

/* A green thread's own stack has 64 KiB. */
static void stack_body(void *arg) {
  (void)arg;
  unsigned long want = 2ul << 20, got = 0;
  CHECK_CODE(gs_ffi_call(func("stack_room"), &got, (void *[]){&want}, NULL), GS_OK);
  CHECK(got >= want);
  struct huge in = {{1}}, out;
  memset(&out, 0, sizeof(out));
  CHECK_CODE(gs_ffi_call(func("next_huge"), &out, (void *[]){&in}, NULL), GS_OK);
  CHECK_INT(out.bytes[0], 1);
  CHECK_INT(out.bytes[999], (unsigned char)999);
}

static void test_stack(void **state) {
  (void)state;
  run_procs(2, stack_body, NULL);
}

/* Declaring and loading need more stack than a green thread has, too. */
static void declare_thread(void *arg) {
  wait_group *wg = arg;
  gs_ffi *own = gs_ffi_new();
  gs_ffi_error err;
  gs_lib *libm = NULL;
  gs_func *f = NULL;
  CHECK(own != NULL);
  char nested[1024] = "enum { A = ", *end = nested + strlen(nested);
  for (int i = 0; i < 45; i++) *end++ = '(';
  *end++ = '1';
  for (int i = 0; i < 45; i++) *end++ = ')';
  strcpy(end, " }; double cos(double);");
  CHECK_CODE(gs_ffi_cdef(own, nested, &err), GS_OK);
  CHECK_CODE(gs_ffi_load(own, "libm.so.6", &libm, &err), GS_OK);
  CHECK_CODE(gs_ffi_func(libm, "cos", &f, &err), GS_OK);
  double x = 0, y = 0;
  CHECK_CODE(gs_ffi_call(f, &y, (void *[]){&x}, NULL), GS_OK);
  CHECK(y == 1);
  CHECK_CODE(gs_ffi_load(own, "libno-such.so.9", &libm, &err), GS_ENOLIB);
  gs_ffi_free(own);
  wg_done(wg);
}

static void declare_body(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 8; i++) go(declare_thread, &wg);
  wg_wait(&wg, 8);
}

static void test_declare(void **state) {
  (void)state;
  run_procs(2, declare_body, NULL);
}

/* ---- inside a foreign call ---- */

static int call_within(void *arg) {
  int v = 3, ret = 0;
  *(int *)arg = gs_ffi_call(func("id_int"), &ret, (void *[]){&v}, NULL);
  CHECK_INT(ret, 3);
  gs_ffi *own = gs_ffi_new();
  gs_ffi_error err;
  CHECK_CODE(gs_ffi_cdef(own, "int x;", &err), GS_OK);
  gs_ffi_free(own);
  return 0;
}

static void within_body(void *arg) {
  (void)arg;
  int code = 1;
  CHECK(func("id_int") != NULL);
  CHECK_CODE(gs_cgocall(call_within, &code, NULL), GS_OK);
  CHECK_CODE(code, GS_OK);
}

static void test_within(void **state) {
  (void)state;
  run_procs(2, within_body, NULL);
}

/* ---- functions that come and go while others call ---- */

static void prepare_thread(void *arg) {
  wait_group *wg = arg;
  gs_ffi *own = gs_ffi_new();
  const gs_type *i32 = gs_type_builtin("int32");
  void *addr = NULL;
  CHECK_CODE(gs_lib_symbol(lib, "id_int32", &addr, NULL), GS_OK);
  for (int i = 0; i < SCALE(200); i++) {
    gs_func *f = NULL;
    char name[32];
    snprintf(name, sizeof(name), "number %d", i % 7);
    unsigned hints = i % 3 == 0 ? GS_SITE_BLOCKING : i % 3 == 1 ? GS_SITE_CRITICAL : 0;
    CHECK_CODE(gs_func_prepare(own, name, addr, i32, &i32, 1, 1, hints, &f, NULL), GS_OK);
    int32_t v = i * 1000003, ret = 0;
    CHECK_CODE(gs_ffi_call(f, &ret, (void *[]){&v}, NULL), GS_OK);
    CHECK_INT(ret, v);
    CHECK(strcmp(gs_func_name(f), name) == 0);
    gs_func_free(f);
    if (i % 16 == 0) gs_yield();
  }
  gs_ffi_free(own);
  wg_done(wg);
}

static void prepare_body(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 8; i++) go(prepare_thread, &wg);
  wg_wait(&wg, 8);
}

static void test_prepare(void **state) {
  (void)state;
  run_procs(2, prepare_body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_concurrent), cmocka_unit_test(test_errno),
      cmocka_unit_test(test_stack),      cmocka_unit_test(test_declare),
      cmocka_unit_test(test_within),     cmocka_unit_test(test_prepare),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
