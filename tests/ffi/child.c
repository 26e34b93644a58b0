/* child.c: gs_ffi_child: what a child sees of its parent, what it hides, and who lives how long. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "gosched_ffi.h"

static void cdef(gs_ffi *ffi, const char *text) {
  gs_ffi_error err;
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) fail_msg("\"%s\": %s", text, err.text);
}

static const gs_type *type(gs_ffi *ffi, const char *text) {
  gs_ffi_error err;
  const gs_type *t = NULL;
  if (gs_ffi_type(ffi, text, &t, &err) != GS_OK) fail_msg("\"%s\": %s", text, err.text);
  return t;
}

static gs_ffi *child_of(gs_ffi *parent) {
  gs_ffi *ffi = gs_ffi_child(parent);
  assert_non_null(ffi);
  return ffi;
}

static void sees_the_parents(void **state) {
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top), *b = child_of(top);
  cdef(top, "struct point { int x, y; }; typedef struct point point_t; enum { N = 3 };");
  assert_true(gs_type_same(type(a, "point_t *"), type(b, "struct point *")));
  assert_true(gs_type_same(type(a, "size_t"), type(top, "unsigned long")));
  assert_int_equal(gs_type_size(type(a, "int[N]")), 3 * sizeof(int));
  assert_non_null(gs_ffi_find(a, "point_t"));
  assert_int_equal(gs_ffi_ndecls(a), 0);
  cdef(a, "struct line { point_t from, to; };");
  cdef(top, "typedef long later_t;");
  assert_true(gs_type_same(type(b, "later_t"), type(top, "long")));
  assert_null(gs_ffi_find(top, "line"));
  const gs_field *f = gs_type_field(type(a, "struct line"), 1);
  assert_true(gs_type_same(gs_field_type(f), type(top, "struct point")));
  gs_ffi_free(a);
  gs_ffi_free(b);
  gs_ffi_free(top);
}

/* Two children, and a child and its parent, declare all kinds of names differently. */
static void declares_its_own(void **state) {
  static const char *const texts[] = {
      "struct s { int a; }; typedef int t; int f(int); enum e { K = 1 }; static const int C = 1;",
      "struct s { char b[9]; }; typedef double t; double f(double, t); enum e { K = 2, L };"
      "static const long C = 2;",
      "union s { long u; }; enum t { C = 3 }; extern int K; typedef char f; struct e { int i; };",
  };
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top), *b = child_of(top);
  cdef(top, texts[0]);
  cdef(a, texts[1]);
  cdef(b, texts[2]);
  for (int i = 0; i < 2; i++) { /* the same once more is fine, something else is not */
    cdef(a, texts[1]);
    assert_int_equal(gs_ffi_cdef(a, "typedef char t;", NULL), GS_EDECL);
    assert_int_equal(gs_ffi_cdef(a, "struct s { char c[9]; };", NULL), GS_EDECL);
  }
  assert_int_equal(gs_type_size(type(top, "struct s")), sizeof(int));
  assert_int_equal(gs_type_size(type(a, "struct s")), 9);
  assert_int_equal(gs_type_size(type(b, "union s")), sizeof(long));
  assert_false(gs_type_same(type(top, "struct s *"), type(a, "struct s *")));
  assert_false(gs_type_accepts(type(top, "struct s *"), type(a, "struct s *")));
  assert_int_equal(gs_decl_value(gs_ffi_find(top, "K")), 1);
  assert_int_equal(gs_decl_value(gs_ffi_find(a, "K")), 2);
  assert_int_equal(gs_decl_what(gs_ffi_find(b, "K")), GS_DECL_VARIABLE);
  assert_int_equal(gs_decl_value(gs_ffi_find(a, "C")), 2);
  assert_int_equal(gs_decl_what(gs_ffi_find(b, "f")), GS_DECL_TYPEDEF);
  assert_int_equal(gs_ffi_cdef(b, "struct s *q;", NULL), GS_EDECL); /* a union here */
  gs_ffi_free(top);                                                 /* the parent first */
  cdef(b, "t later;");
  gs_ffi_free(b);
  gs_ffi_free(a);
}

/* A struct with the same text is another struct; "struct s;" begins one; a mention does not. */
static void tags(void **state) {
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top), *b = child_of(top), *c = child_of(top);
  cdef(top, "struct s { int i; }; struct opaque;");
  cdef(a, "struct s { int i; };");
  assert_false(gs_type_same(type(a, "struct s *"), type(top, "struct s *")));
  cdef(b, "struct s; typedef struct opaque opaque;");
  assert_int_equal(gs_type_flags(type(b, "struct s")) & GS_TYPE_INCOMPLETE, GS_TYPE_INCOMPLETE);
  assert_true(gs_type_same(type(b, "opaque *"), type(top, "struct opaque *")));
  /* As headers have it: the name first, the struct later; also if the parent has one. */
  cdef(c, "typedef struct s s; s *make(void); struct s { double d; s *next; };");
  assert_int_equal(gs_type_size(type(c, "s")), sizeof(double) + sizeof(void *));
  assert_true(gs_type_same(type(c, "s *"), type(c, "struct s *")));
  assert_int_equal(gs_type_size(type(top, "struct s")), sizeof(int));
  gs_ffi_free(c);
  gs_ffi_free(b);
  gs_ffi_free(a);
  gs_ffi_free(top);
}

static void enums(void **state) {
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  cdef(top, "enum e { A, B }; enum small : char { C };");
  cdef(a, "enum small : long { D }; struct bits { enum e x : 3; enum e : 2; enum e y : 3; };");
  assert_int_equal(gs_type_size(type(top, "enum small")), 1);
  assert_int_equal(gs_type_size(type(a, "enum small")), sizeof(long));
  assert_true(gs_type_same(type(a, "enum e *"), type(top, "enum e *")));
  gs_ffi_free(a);
  gs_ffi_free(top);
}

static void failed_cdef_leaves_nothing(void **state) {
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  cdef(top, "struct s { int i; }; typedef int t; struct later;");
  assert_int_equal(gs_ffi_cdef(a,
                               "struct s; typedef char t; struct later { int x; }; enum { K };"
                               "int f(nonesuch);",
                               NULL),
                   GS_EDECL);
  assert_int_equal(gs_ffi_ndecls(a), 0);
  assert_true(gs_type_same(type(a, "t"), type(top, "int")));
  assert_true(gs_type_same(type(a, "struct s *"), type(top, "struct s *")));
  assert_int_equal(gs_type_flags(type(top, "struct later")) & GS_TYPE_INCOMPLETE,
                   GS_TYPE_INCOMPLETE);
  gs_ffi_free(a);
  gs_ffi_free(top);
}

static void known_types(void **state) {
  (void)state;
  gs_ffi_error err;
  const gs_type *t = NULL;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  cdef(top, "struct s;");
  cdef(a, "struct own;");
  assert_int_equal(gs_ffi_type_known(a, "struct s *", &t, &err), GS_OK);
  assert_int_equal(gs_ffi_type_known(a, "struct own *", &t, &err), GS_OK);
  assert_int_equal(gs_ffi_type_known(top, "int (*)(struct own *)", &t, &err), GS_ETYPE);
  assert_string_equal(err.text, "line 1, column 1: 'struct own' is not declared");
  assert_int_equal(gs_ffi_type_known(top, "struct own *", &t, &err), GS_ETYPE); /* nor by that */
  assert_int_equal(gs_ffi_type_known(top, "nonesuch", &t, &err), GS_EDECL);
  assert_int_equal(gs_ffi_type_known(top, NULL, &t, &err), GS_EINVAL);
  gs_ffi_free(a);
  gs_ffi_free(top);
}

static void scopes(void **state) {
  (void)state;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top), *aa = child_of(a);
  cdef(top, "struct s { int i; }; typedef int t;");
  cdef(a, "typedef struct s mine; enum e { K };");
  cdef(aa, "struct deep { mine m; };");
  static const struct {
    const char *text;
    int level;
  } rows[] = {
      {"int *", -1},
      {"const void *const *", -1},
      {"double (*)(int, char **)", -1},
      {"t", 0},
      {"const struct s *", 0},
      {"struct s *[3]", 0},
      {"int (*)(t)", 0},
      {"mine", 1},
      {"const mine **", 1},
      {"mine (*)(t, int)", 1},
      {"t (*)(struct s, enum e)", 1},
      {"struct deep (*)(mine, t)", 2},
      {"t (*)(struct deep *, mine)", 2},
  };
  const gs_ffi *levels[] = {NULL, top, a, aa};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    if (gs_type_scope(type(aa, rows[i].text)) != levels[rows[i].level + 1])
      fail_msg("%s", rows[i].text);
  assert_ptr_equal(gs_type_scope(gs_type_canon(type(aa, "mine"))), top);
  gs_ffi_free(top);
  gs_ffi_free(a);
  cdef(aa, "mine last;"); /* grandparents stay, too */
  gs_ffi_free(aa);
}

/* ---- calls ---- */

static int call_int(gs_lib *lib, const char *name, int v) {
  gs_ffi_error err;
  gs_func *f;
  int ret = 0;
  void *args[] = {&v};
  if (gs_ffi_func(lib, name, &f, &err) != GS_OK) fail_msg("%s: %s", name, err.text);
  assert_int_equal(gs_ffi_call(f, &ret, args, NULL), GS_OK);
  return ret;
}

/* The parent's struct gets its form for libffi in a child's call, and outlives the child. */
static void structs_by_value(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_ffi *top = gs_ffi_new();
  cdef(top, "typedef struct { int quot, rem; } div_t; div_t div(int, int);");
  for (int i = 0; i < 3; i++) {
    gs_ffi *ffi = i < 2 ? child_of(top) : top;
    gs_lib *lib;
    gs_func *f;
    div_t ret;
    int n = 17, d = 5;
    void *args[] = {&n, &d};
    assert_int_equal(gs_ffi_load(ffi, "libc.so.6", &lib, &err), GS_OK);
    assert_int_equal(gs_ffi_func(lib, "div", &f, &err), GS_OK);
    assert_int_equal(gs_ffi_call(f, &ret, args, NULL), GS_OK);
    assert_int_equal(ret.quot * 10 + ret.rem, 32);
    gs_ffi_free(ffi);
  }
}

/* A function found in the parent, then declared in the child: whoever asks anew gets the child's.
 */
static void functions(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  gs_lib *lib;
  gs_func *old, *again, *own;
  cdef(top, "int abs(int);");
  assert_int_equal(gs_ffi_load(a, "libc.so.6", &lib, &err), GS_OK);
  assert_int_equal(call_int(lib, "abs", -4), 4);
  assert_int_equal(gs_ffi_func(lib, "abs", &old, &err), GS_OK);
  assert_int_equal(gs_ffi_func(lib, "abs", &again, &err), GS_OK);
  assert_ptr_equal(old, again);
  cdef(a, "typedef unsigned word; word abs(int) asm(\"toupper\");");
  assert_int_equal(gs_ffi_func(lib, "abs", &own, &err), GS_OK);
  assert_ptr_not_equal(old, own);
  assert_int_equal(call_int(lib, "abs", 'a'), 'A');
  assert_int_equal(gs_type_kind(gs_func_ret(own)), GS_KIND_UINT);
  assert_int_equal(gs_ffi_func(lib, "nonesuch", &own, &err), GS_ETYPE);
  gs_ffi_free(top); /* before its child, whose functions go on */
  assert_int_equal(call_int(lib, "abs", 'b'), 'B');
  gs_ffi_free(a);
}

/* A closed library of a parent is unmapped though there are children. */
static void parents_libraries(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  gs_lib *lib;
  gs_func *f;
  cdef(top, "int abs(int);");
  assert_int_equal(gs_ffi_load(top, GUEST_PATH, &lib, &err), GS_OK);
  assert_int_equal(gs_lib_close(lib), GS_OK);
  assert_int_equal(gs_ffi_func(lib, "abs", &f, &err), GS_ECLOSED);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[4096];
  assert_non_null(maps);
  while (fgets(line, sizeof(line), maps)) assert_null(strstr(line, "gosched_test_guest"));
  fclose(maps);
  gs_ffi_free(a);
  gs_ffi_free(top);
}

static int twice(void *ret, void *const *args, void *user) {
  (void)user;
  *(int *)ret = 2 * *(const int *)args[0];
  return 0;
}

/* Memory and callbacks of a child's types. */
static void memory_and_callbacks(void **state) {
  (void)state;
  gs_ffi_error err;
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  gs_mem *mem;
  gs_callback *cb;
  int64_t v = 0;
  cdef(top, "typedef int (*fn)(int);");
  cdef(a, "struct s { int i; fn f; }; typedef fn own;");
  assert_int_equal(gs_ffi_callback(a, "own", twice, NULL, &cb), GS_OK);
  assert_int_equal(((int (*)(int))gs_callback_code(cb))(21), 42);
  assert_int_equal(gs_mem_new(a, type(a, "struct s"), 2, &mem, &err), GS_OK);
  assert_int_equal(gs_mem_set_int64(mem, 1, "i", 7, &err), GS_OK);
  gs_ffi_free(a);
  gs_ffi_free(top); /* both stay until the memory goes */
  assert_int_equal(gs_mem_get_int64(mem, 1, "i", &v, &err), GS_OK);
  assert_int_equal(v, 7);
  assert_string_equal(gs_type_name(gs_mem_type(mem)), "struct s");
  gs_mem_release(mem);
}

static void bad_arguments(void **state) {
  (void)state;
  assert_null(gs_ffi_child(NULL));
  gs_ffi *top = gs_ffi_new(), *a = child_of(top);
  gs_ffi_free(a);
  cdef(top, "int f(void);");
  gs_ffi_free(top);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sees_the_parents),
      cmocka_unit_test(declares_its_own),
      cmocka_unit_test(tags),
      cmocka_unit_test(enums),
      cmocka_unit_test(failed_cdef_leaves_nothing),
      cmocka_unit_test(known_types),
      cmocka_unit_test(scopes),
      cmocka_unit_test(structs_by_value),
      cmocka_unit_test(functions),
      cmocka_unit_test(parents_libraries),
      cmocka_unit_test(memory_and_callbacks),
      cmocka_unit_test(bad_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
