/* nomem.c: memory runs out, at every allocation in turn.
 *
 * The program is linked so that the library's malloc, calloc and realloc come here.  Each round
 * lets one more allocation succeed than the round before, until the whole script succeeds.  In
 * every round before that, the step that ran out must say GS_ENOMEM, leave its gs_ffi usable, and
 * leak nothing (for which there are the leak checkers).
 */
#include "support.h"

#include <stdbool.h>

#include "gosched_ffi.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long allowed = -1; /* allocations until one fails; -1: none does */

static bool fails_now(void) {
  if (allowed < 0) return false;
  if (allowed == 0) return true;
  allowed--;
  return false;
}

void *__wrap_malloc(size_t size) { return fails_now() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return fails_now() ? NULL : __real_realloc(p, size); }

/* Enough declarations that the lists and the arena grow several times. */
static char *long_text(void) {
  enum { N = 400 };
  char *text = malloc(N * 160), *end = text;
  for (int i = 0; i < N; i++)
    end += sprintf(end,
                   "struct s%d { int a[%d]; struct s%d *next; }; enum { K%d = %d };"
                   "struct s%d *f%d(const char *, struct s%d);",
                   i, i + 1, i, i, i, i, i, i);
  return text;
}

static int no_handler(void *ret, void *const *args, void *user) {
  (void)ret, (void)args, (void)user;
  return 0;
}

/* One in registers, one that is libffi's, with a default that needs room. */
static int callbacks(gs_ffi *ffi) {
  gs_callback *cb = NULL;
  static const char value[12];
  int e = gs_ffi_callback(ffi, "int (*)(char *)", no_handler, NULL, &cb);
  if (e == GS_OK) e = gs_callback_set_default(cb, value);
  if (e == GS_OK)
    e = gs_ffi_callback(ffi, "struct triple (*)(struct pair, long double)", no_handler, NULL, &cb);
  if (e == GS_OK) e = gs_callback_set_default(cb, (int[30]){1});
  return e;
}

static int script(const char *text) {
  gs_ffi_error err = {.code = GS_OK};
  gs_ffi *ffi = gs_ffi_new();
  gs_lib *lib = NULL;
  gs_func *f = NULL, *shape = NULL, *mine = NULL;
  const gs_type *t = NULL, *i32 = gs_type_builtin("int32");
  if (!ffi) return GS_ENOMEM;
  int e = gs_ffi_cdef(ffi,
                      "struct pair { int x, y; }; struct pair next_pair(struct pair);"
                      "struct triple { int v[30]; };"
                      "int sum_variadic(int count, ...); typedef char bool;",
                      &err);
  if (e == GS_OK && (e = gs_ffi_cdef(ffi, text, &err)) != GS_OK) {
    assert_int_equal(gs_ffi_ndecls(ffi), 3); /* all of it was taken back */
    assert_null(gs_ffi_find(ffi, "K0"));
  }
  if (e == GS_OK) e = gs_ffi_type(ffi, "struct s399 *(*)[3]", &t, &err);
  if (e == GS_OK) e = gs_type_struct(ffi, &i32, 1, &t, &err);
  if (e == GS_OK) e = gs_ffi_load(ffi, HELPER_PATH, &lib, &err);
  if (e == GS_OK) e = gs_ffi_func(lib, "next_pair", &f, &err);
  if (e == GS_OK) e = gs_ffi_func(lib, "sum_variadic", &f, &err);
  if (e == GS_OK) e = gs_func_variadic_shape(f, &i32, 1, &shape, &err);
  if (e == GS_OK)
    e = gs_func_prepare(ffi, "script", (void *)(uintptr_t)1, i32, &i32, 1, 1, 0, &mine, &err);
  assert_int_equal(err.code, e);
  if (e == GS_OK) e = callbacks(ffi);
  allowed = -1;
  assert_int_equal(gs_ffi_cdef(ffi, "int still_usable(void);", NULL), GS_OK);
  assert_non_null(gs_ffi_find(ffi, "still_usable"));
  gs_ffi_free(ffi);
  return e;
}

static void test_every_allocation(void **state) {
  (void)state;
  char *text = long_text();
  int rounds = 0;
  for (int e = GS_ENOMEM; e != GS_OK; rounds++) {
    allowed = rounds;
    e = script(text);
    allowed = -1;
    if (e != GS_OK) assert_int_equal(e, GS_ENOMEM);
    assert_true(rounds < 10000);
  }
  assert_true(rounds > 20);
  free(text);
}

/* ---- a child, which never changes its parent ---- */

static int in_child(gs_ffi *parent, const char *text) {
  gs_ffi_error err = {.code = GS_OK};
  gs_ffi *ffi = gs_ffi_child(parent);
  gs_lib *lib = NULL;
  gs_func *f = NULL;
  if (!ffi) return GS_ENOMEM;
  int e = gs_ffi_cdef(ffi, text, &err);
  if (e != GS_OK) assert_int_equal(gs_ffi_ndecls(ffi), 0);
  if (e == GS_OK) e = gs_ffi_load(ffi, HELPER_PATH, &lib, &err);
  if (e == GS_OK) e = gs_ffi_func(lib, "next_pair", &f, &err);
  assert_int_equal(err.code, e);
  allowed = -1;
  gs_ffi_free(ffi);
  return e;
}

static void test_child(void **state) {
  (void)state;
  char *text = long_text();
  gs_ffi *ffi = gs_ffi_new();
  assert_int_equal(gs_ffi_cdef(ffi,
                               "struct pair { int x, y; }; struct pair next_pair(struct pair);"
                               "struct s3; typedef int s4; enum { K7 = 70 };",
                               NULL),
                   GS_OK);
  int rounds = 0;
  for (int e = GS_ENOMEM; e != GS_OK; rounds++) {
    allowed = rounds;
    e = in_child(ffi, text);
    allowed = -1;
    if (e != GS_OK) assert_int_equal(e, GS_ENOMEM);
    assert_true(rounds < 10000);
    assert_int_equal(gs_decl_value(gs_ffi_find(ffi, "K7")), 70);
  }
  assert_true(rounds > 20);
  free(text);
  gs_ffi_free(ffi);
}

/* ---- memory ---- */

static int memory(gs_ffi *ffi) {
  gs_ffi_error err = {.code = GS_OK};
  gs_mem *m = NULL, *view = NULL, *text = NULL;
  int e = gs_mem_new(ffi, gs_type_builtin("int32"), 10, &m, &err);
  if (e == GS_OK) e = gs_mem_view(m, 3, NULL, &view, &err);
  if (e == GS_OK) e = gs_mem_string("text", 4, &text, &err);
  assert_int_equal(err.code, e);
  gs_mem_release(m);
  gs_mem_release(view);
  gs_mem_release(text);
  return e;
}

static void test_memory(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  int rounds = 0;
  for (int e = GS_ENOMEM; e != GS_OK; rounds++) {
    allowed = rounds;
    e = memory(ffi);
    allowed = -1;
    if (e != GS_OK) assert_int_equal(e, GS_ENOMEM);
  }
  assert_int_equal(rounds,
                   6); /* each is the memory and what tells of it, a view the latter alone */
  gs_ffi_free(ffi);
}

/* ---- calls that own their arguments: those are destroyed also if there is no call ---- */

static int destroyed;

static void destroy(void *arg) {
  (void)arg;
  destroyed++;
}

static void own(void *arg) {
  (void)arg;
  int rounds = 0, ret = 0, count = 0;
  gs_ffi *ffi = gs_ffi_new();
  gs_lib *lib = NULL;
  gs_func *f = NULL;
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.destroy = destroy;
  CHECK_CODE(gs_ffi_cdef(ffi, "int nothing(void);", NULL), GS_OK);
  CHECK_CODE(gs_ffi_load(ffi, HELPER_PATH, &lib, NULL), GS_OK);
  CHECK_CODE(gs_ffi_func(lib, "nothing", &f, NULL), GS_OK);
  for (int e = GS_ENOMEM; e != GS_OK && rounds < 50; rounds++) {
    allowed = rounds;
    e = gs_ffi_call_opts(f, &ret, NULL, NULL, &o);
    allowed = -1;
    if (e != GS_OK) CHECK_CODE(e, GS_ENOMEM);
    CHECK_INT(destroyed, ++count);
  }
  CHECK(rounds > 1 && rounds < 50);
  gs_ffi_free(ffi);
}

static void test_calls_that_own(void **state) {
  (void)state;
  run_procs(1, own, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_allocation),
      cmocka_unit_test(test_child),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_calls_that_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
