/* library.c: loading libraries, looking names up, and what is said when that fails. */
#include "support.h"

#include "gosched_ffi.h"
#define HELPER_TEXT
#include "helper.h"

static gs_ffi *with(const char *decls) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  if (gs_ffi_cdef(ffi, decls, &err) != GS_OK) fail_msg("%s", err.text);
  return ffi;
}

static gs_lib *load(gs_ffi *ffi, const char *name) {
  gs_lib *lib = NULL;
  gs_ffi_error err;
  if (gs_ffi_load(ffi, name, &lib, &err) != GS_OK) fail_msg("%s", err.text);
  return lib;
}

static void assert_says(const gs_ffi_error *err, int code, const char *text) {
  assert_int_equal(err->code, code);
  assert_int_equal(err->line, 0);
  if (!strstr(err->text, text)) fail_msg("%s\n  expected …%s…", err->text, text);
}

static void test_system_library(void **state) {
  (void)state;
  gs_ffi *ffi = with("double cos(double); size_t strlen(const char *);");
  gs_func *f = NULL, *again = NULL;
  double x = 0, y = -1;
  gs_lib *libm = load(ffi, "libm.so.6");
  assert_string_equal(gs_lib_name(libm), "libm.so.6");
  assert_int_equal(gs_ffi_func(libm, "cos", &f, NULL), GS_OK);
  assert_int_equal(gs_ffi_func(libm, "cos", &again, NULL), GS_OK);
  assert_ptr_equal(f, again);
  assert_int_equal(gs_ffi_call(f, &y, (void *[]){&x}, NULL), GS_OK);
  assert_true(y == 1);
  assert_ptr_equal(load(ffi, "libm.so.6"), libm);
  gs_ffi_free(ffi);
}

static void test_process(void **state) {
  (void)state;
  gs_ffi *ffi = with("size_t strlen(const char *);");
  gs_lib *self = load(ffi, NULL);
  gs_func *f = NULL;
  assert_string_equal(gs_lib_name(self), "the process");
  assert_int_equal(gs_ffi_func(self, "strlen", &f, NULL), GS_OK);
  const char *text = "four";
  size_t n = 0;
  assert_int_equal(gs_ffi_call(f, &n, (void *[]){&text}, NULL), GS_OK);
  assert_int_equal(n, 4);
  gs_ffi_free(ffi);
}

static void test_symbols(void **state) {
  (void)state;
  gs_ffi *ffi = with(helper_text);
  gs_lib *lib = load(ffi, HELPER_PATH);
  void *addr = NULL;
  assert_int_equal(gs_lib_symbol(lib, "counter", &addr, NULL), GS_OK);
  assert_int_equal(*(int *)addr, 7);
  assert_int_equal(gs_lib_symbol(lib, "greeting", &addr, NULL), GS_OK);
  assert_string_equal(*(char **)addr, "hello from the helper");
  gs_ffi_free(ffi);
}

/* asm("…") names the symbol; the name stays the declared one. */
static void test_renamed(void **state) {
  (void)state;
  gs_ffi *ffi = with("int other_name(int) __asm__(\"id_\" \"int\");");
  gs_lib *lib = load(ffi, HELPER_PATH);
  gs_func *f = NULL;
  int v = 9, ret = 0;
  /* A rename that is taken back with the rest of its text does not stay. */
  assert_int_equal(gs_ffi_cdef(ffi, "int id_int(int);", NULL), GS_OK);
  assert_int_equal(gs_ffi_cdef(ffi, "int id_int(int) asm(\"nothing\"); int broken(", NULL),
                   GS_EDECL);
  assert_int_equal(gs_ffi_func(lib, "id_int", &f, NULL), GS_OK);
  assert_int_equal(gs_ffi_call(f, &ret, (void *[]){&v}, NULL), GS_OK);
  assert_int_equal(ret, 9);
  ret = 0;
  assert_int_equal(gs_ffi_func(lib, "other_name", &f, NULL), GS_OK);
  assert_string_equal(gs_func_name(f), "other_name");
  assert_int_equal(gs_ffi_call(f, &ret, (void *[]){&v}, NULL), GS_OK);
  assert_int_equal(ret, 9);
  gs_ffi_free(ffi);
}

static void test_missing_library(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  gs_lib *lib = NULL;
  assert_int_equal(gs_ffi_load(ffi, "libno-such.so.9", &lib, &err), GS_ENOLIB);
  assert_says(&err, GS_ENOLIB, "cannot load 'libno-such.so.9': libno-such.so.9: cannot open");
  assert_says(&err, GS_ENOLIB, "install the package it is in");
  assert_int_equal(gs_ffi_load(ffi, "libno-such.so", &lib, &err), GS_ENOLIB);
  assert_says(&err, GS_ENOLIB, "add the version");
  assert_int_equal(gs_ffi_load(ffi, "no-such", &lib, &err), GS_ENOLIB);
  assert_says(&err, GS_ENOLIB, "as in \"libz.so.1\"");
  assert_int_equal(gs_ffi_load(ffi, "/no/such/lib.so", &lib, &err), GS_ENOLIB);
  assert_says(&err, GS_ENOLIB, "check the path");
  assert_int_equal(gs_ffi_load(ffi, __FILE__, &lib, &err), GS_ENOLIB);
  assert_int_equal(gs_ffi_load(ffi, "", &lib, &err), GS_EINVAL);
  assert_says(&err, GS_EINVAL, "soname is empty");
  assert_int_equal(gs_ffi_load(NULL, "libm.so.6", &lib, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_load(ffi, "libm.so.6", NULL, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_load(ffi, "libno-such.so.9", &lib, NULL), GS_ENOLIB);
  assert_null(lib);
  gs_ffi_free(ffi);
}

static void test_missing_symbol(void **state) {
  (void)state;
  gs_ffi *ffi = with("int no_such_function(int); extern int variable; typedef int type;");
  gs_lib *lib = load(ffi, "libm.so.6");
  gs_ffi_error err;
  gs_func *f = NULL;
  void *addr = NULL;
  assert_int_equal(gs_ffi_func(lib, "no_such_function", &f, &err), GS_ENOSYM);
  assert_says(&err, GS_ENOSYM, "libm.so.6 has no symbol 'no_such_function', though it is declared");
  assert_int_equal(gs_ffi_func(lib, "undeclared", &f, &err), GS_ETYPE);
  assert_says(&err, GS_ETYPE, "'undeclared' is not declared: give its C declaration to cdef");
  assert_int_equal(gs_ffi_func(lib, "variable", &f, &err), GS_ETYPE);
  assert_says(&err, GS_ETYPE, "'variable' is declared as 'int', expected a function");
  assert_int_equal(gs_ffi_func(lib, "type", &f, &err), GS_ETYPE);
  assert_int_equal(gs_ffi_func(lib, NULL, &f, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_func(NULL, "cos", &f, &err), GS_EINVAL);
  assert_int_equal(gs_lib_symbol(lib, "no_such_symbol", &addr, &err), GS_ENOSYM);
  assert_says(&err, GS_ENOSYM, "libm.so.6 has no symbol 'no_such_symbol': check");
  assert_null(f);
  assert_null(addr);
  /* It can be declared later, and then works. */
  assert_int_equal(gs_ffi_cdef(ffi, "double cos(double);", &err), GS_OK);
  assert_int_equal(gs_ffi_func(lib, "cos", &f, &err), GS_OK);
  gs_ffi_free(ffi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_system_library),  cmocka_unit_test(test_process),
      cmocka_unit_test(test_symbols),         cmocka_unit_test(test_renamed),
      cmocka_unit_test(test_missing_library), cmocka_unit_test(test_missing_symbol),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
