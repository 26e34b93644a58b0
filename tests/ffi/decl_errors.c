/* decl_errors.c: what gs_ffi_cdef refuses, and how it says so.
 *
 * Each row is a text, the place of the fault, and a part of the message.  Whatever is refused
 * leaves nothing behind: every text is given to one and the same gs_ffi, which must be as it was.
 */
#include "support.h"

#include <stdbool.h>

#include "gosched_ffi.h"

static const struct row {
  const char *text;
  int code, line, column;
  const char *says;
} rows[] = {
    /* tokens */
    {"int f(;", GS_EDECL, 1, 7, "found ';', expected a type name"},
    {"int usleep(unsigned);\nint f(int, );", GS_EDECL, 2, 12, "found ')', expected a type name"},
    {"int x", GS_EDECL, 1, 6, "found the end of the declarations, expected ',' or ';'"},
    {"int x y;", GS_EDECL, 1, 7, "found 'y', expected ',' or ';'"},
    {"int x;\n\n  foo y;", GS_EDECL, 3, 3, "found 'foo', expected a type name"},
    {"int \\\n  @;", GS_EDECL, 2, 3, "found a character that C declarations do not contain"},
    {"int /* open", GS_EDECL, 1, 5, "a comment that has no end"},
    {"#include <stdio.h>\nint x;", GS_EDECL, 1, 1, "a preprocessor directive"},
    {"int x;\n  #define N 1", GS_EDECL, 2, 3, "cc -E"},
    {"#pragma pack(1)\nint x;", GS_EDECL, 1, 1, "a preprocessor directive"},
    {"int x[1.5e-3f];", GS_EDECL, 1, 7, "found '1.5e-3f', expected a constant"},
    {"int x[.5];", GS_EDECL, 1, 7, "found '.5', expected a constant"},
    {"int x[1e3];", GS_EDECL, 1, 7, "found '1e3', expected a constant"},
    {"int x[0x1p-3];", GS_EDECL, 1, 7, "found '0x1p-3', expected a constant"},
    {"int x[12abc];", GS_EDECL, 1, 7, "found a number that is not well formed"},
    {"int x[09];", GS_EDECL, 1, 7, "not well formed"},
    {"int x[0x];", GS_EDECL, 1, 7, "not well formed"},
    {"int x[99999999999999999999];", GS_EDECL, 1, 7, "a number beyond 64 bits"},
    {"enum { A = 'ab' };", GS_EDECL, 1, 12, "a character constant that is not well formed"},
    {"enum { A = '' };", GS_EDECL, 1, 12, "a character constant that is not well formed"},
    {"int f(void) __asm__(\"open\n\");", GS_EDECL, 1, 21, "a string that is not well formed"},
    /* specifiers */
    {"unsigned float x;", GS_EDECL, 1, 10, "found 'float', expected a combination of type words"},
    {"long long long x;", GS_EDECL, 1, 11, "a combination of type words"},
    {"short double x;", GS_EDECL, 1, 7, "a combination of type words"},
    {"int int x;", GS_EDECL, 1, 5, "a combination of type words"},
    {"struct s int x;", GS_EDECL, 1, 10, "found 'int', expected a name"},
    {"const x;", GS_EDECL, 1, 7, "found 'x', expected a type name"},
    {"extern;", GS_EDECL, 1, 7, "found ';', expected a type name"},
    {"int;", GS_EDECL, 1, 4, "found ';', expected a name"},
    {"typedef int;", GS_EDECL, 1, 12, "expected a name"},
    {"long _Complex x;", GS_EDECL, 1, 15, "expected 'double'"},
    {"void f(static int x);", GS_EDECL, 1, 8, "found 'static', expected a type name"},
    {"extern \"C++\" int x;", GS_EDECL, 1, 8, "expected \"C\""},
    {"extern \"C\" { int x;", GS_EDECL, 1, 20, "expected '}'"},
    {"typedef int T __attribute__((mode(XX)));", GS_EDECL, 1, 35, "found 'XX', expected QI"},
    {"typedef float T __attribute__((mode(SI)));", GS_ETYPE, 1, 15, "expected an integer type"},
    {"typedef int T __attribute__((vector_size(16)));", GS_ETYPE, 1, 30,
     "attribute 'vector_size' is not supported"},
    {"int f(void) __attribute__((noreturn);", GS_EDECL, 1, 37, "expected '))'"},
    {"struct { int a; } __attribute__((aligned(3))) x;", GS_EDECL, 1, 42, "a power of 2"},
    /* declarators */
    {"int f(void) { return 1; }", GS_EDECL, 1, 13, "bodies only of static and inline functions"},
    {"static inline int f(void) { return \"}\"[0] + 1.5; ", GS_EDECL, 1, 50, "expected '}'"},
    {"const int n = 5;", GS_EDECL, 1, 13, "initialisers are only read of static const integers"},
    {"static const double N = 5;", GS_EDECL, 1, 23, "only read of static const integers"},
    {"static const char N = 200;", GS_EDECL, 1, 19, "'N' does not fit 'const char'"},
    {"static const unsigned N = -1;", GS_EDECL, 1, 23, "does not fit"},
    {"static const int N = 1; static const int N = 2;", GS_EDECL, 1, 42, "declared differently"},
    {"static const int N = 1 +;", GS_EDECL, 1, 25, "found ';'"},
    {"int a[?;", GS_EDECL, 1, 8, "expected ']'"},
    {"int complex complex complex;", GS_EDECL, 1, 13, "found 'complex'"},
    {"int (*f;", GS_EDECL, 1, 8, "found ';', expected ')'"},
    {"int x[3;", GS_EDECL, 1, 8, "found ';', expected ']'"},
    {"int f(...);", GS_EDECL, 1, 7, "expected a parameter before '...'"},
    {"int f(int, ..., int);", GS_EDECL, 1, 15, "found ',', expected ')'"},
    {"int f(a, b);", GS_EDECL, 1, 7, "found 'a', expected a type name"},
    {"int f(void, int);", GS_ETYPE, 1, 11, "a parameter of type void"},
    {"int f(void x);", GS_ETYPE, 1, 12, "a parameter of type void"},
    {"void x;", GS_ETYPE, 1, 6, "variable 'x' has type void"},
    {"void x[3];", GS_ETYPE, 1, 7, "an array of 'void'"},
    {"int x[3][];", GS_ETYPE, 1, 6, "an array of 'int[]'"},
    {"struct s x[3];", GS_ETYPE, 1, 11, "an array of 'struct s'"},
    {"int x[3](void);", GS_ETYPE, 1, 6, "an array of 'int(void)'"},
    {"int x(void)[3];", GS_ETYPE, 1, 6, "a function that returns 'int[3]'"},
    {"int x(void)(void);", GS_ETYPE, 1, 6, "a function that returns 'int(void)'"},
    {"int x[-1];", GS_EDECL, 1, 7, "an array's size is -1, expected 0 or more"},
    {"int x[1UL << 62];", GS_ETYPE, 1, 7, "an array's size is"},
    {"int x[1UL << 58];", GS_ETYPE, 1, 6, "is too large"},
    {"int x[y];", GS_EDECL, 1, 7, "found 'y', expected a constant"},
    {"int x[1 / 0];", GS_EDECL, 1, 9, "a division by zero"},
    {"int x[1 << 40];", GS_EDECL, 1, 9, "a shift by a negative count or beyond"},
    {"int x[sizeof(void)];", GS_ETYPE, 1, 14, "'void' has no size"},
    {"int x[(float)1];", GS_ETYPE, 1, 8, "expected an integer type"},
    /* structs */
    {"struct;", GS_EDECL, 1, 7, "found ';', expected a struct's tag or '{'"},
    {"struct s { int a };", GS_EDECL, 1, 18, "found '}', expected ';'"},
    {"struct s { int a; ", GS_EDECL, 1, 19, "found the end of the declarations, expected '}'"},
    {"struct s { int a; int a; };", GS_EDECL, 1, 23, "a second member 'a'"},
    {"struct s { int a; struct { int a; }; };", GS_EDECL, 1, 32, "a second member 'a'"},
    {"struct s { struct s x; };", GS_ETYPE, 1, 21, "member 'x' has type 'struct s'"},
    {"struct s { struct t x; };", GS_ETYPE, 1, 21, "expected one with a size"},
    {"struct s { int f(void); };", GS_ETYPE, 1, 16, "member 'f' has type 'int(void)'"},
    {"struct s { void v; };", GS_ETYPE, 1, 17, "member 'v' has type 'void'"},
    {"struct s { int; };", GS_EDECL, 1, 15, "found ';', expected a name"},
    {"struct s { int a[]; int b; };", GS_ETYPE, 1, 16, "array 'a' without a size"},
    {"union u { int a[]; };", GS_ETYPE, 1, 15, "array 'a' without a size"},
    {"struct s { int a : 33; };", GS_ETYPE, 1, 20,
     "a bit-field's width is 33, expected at most 32"},
    {"struct s { int a : 0; };", GS_EDECL, 1, 20, "bit-field 'a' has width 0"},
    {"struct s { float a : 3; };", GS_ETYPE, 1, 18, "a bit-field has type 'float'"},
    {"struct s { static int a; };", GS_EDECL, 1, 12, "found 'static', expected a type name"},
    {"struct known { char other; };", GS_EDECL, 1, 8, "'struct known' is defined differently"},
    {"union known { int a; };", GS_EDECL, 1, 7, "'known' is 'struct known' already"},
    {"enum known { Z };", GS_EDECL, 1, 6, "'known' is 'struct known' already"},
    {"struct s { char a[1UL << 58], b[1UL << 58], c[1UL << 58]; };", GS_ETYPE, 1, 31,
     "too large or nests too deeply (member 'b')"},
    /* enums */
    {"enum { };", GS_EDECL, 1, 8, "found '}', expected an enumerator's name"},
    {"enum { A B };", GS_EDECL, 1, 10, "found 'B', expected ',' or '}'"},
    {"enum e;", GS_EDECL, 1, 6, "enum 'e' is not defined"},
    {"enum { A, A };", GS_EDECL, 1, 11, "'A' is declared differently"},
    {"enum { known_function };", GS_EDECL, 1, 8, "is declared differently"},
    {"enum { A = 0xFFFFFFFFFFFFFFFF, B };", GS_EDECL, 1, 32, "an enumerator beyond 64 bits"},
    {"enum { A = -1, B = 0xFFFFFFFFFFFFFFFF };", GS_ETYPE, 1, 6, "no integer type holds"},
    {"enum known_enum { K1 };", GS_EDECL, 1, 17, "is defined differently"},
    {"enum known_enum { K1, K2, K3 };", GS_EDECL, 1, 27, "is defined before, without 'K3'"},
    /* typeof, C23 */
    {"typeof x;", GS_EDECL, 1, 8, "found 'x', expected '(' and a type name or an expression"},
    {"typeof(y) x;", GS_EDECL, 1, 8, "found 'y', expected a type, a constant or a declared name"},
    {"typeof(int x;", GS_EDECL, 1, 12, "found 'x', expected ')'"},
    {"typeof(1, 2) x;", GS_EDECL, 1, 9, "found ',', expected ')'"},
    {"typeof(({ 1; })) x;", GS_EDECL, 1, 9, "found '{', expected a type, a constant"},
    {"typeof(_Generic(1, int: 2)) x;", GS_EDECL, 1, 8, "found '_Generic'"},
    {"typeof(known_type) x; typeof(known_type + 1) y;", GS_EDECL, 1, 41, "expected ')'"},
    {"typeof(1.0q) x;", GS_EDECL, 1, 8, "found '1.0q', expected a type, a constant"},
    {"typeof(1.0f128) x;", GS_EDECL, 1, 8, "found '1.0f128'"},
    {"typeof(&1) x;", GS_ETYPE, 1, 8, "of type 'int', expected something that has an address"},
    {"typeof(*known_variable) x;", GS_ETYPE, 1, 8, "of type 'int', expected a pointer"},
    {"typeof(known_variable.a) x;", GS_ETYPE, 1, 23, "expected a struct with that member"},
    {"typeof(((struct known *)0)->b) x;", GS_ETYPE, 1, 29, "'struct known', expected a struct"},
    {"typeof(known_variable()) x;", GS_ETYPE, 1, 22, "of type 'int', expected a function"},
    {"typeof(\"a\"[1.0]) x;", GS_ETYPE, 1, 11, "expected an integer in the brackets"},
    {"typeof(~1.0) x;", GS_ETYPE, 1, 8, "of type 'double', expected an integer"},
    {"typeof(-\"a\") x;", GS_ETYPE, 1, 8, "of type 'char[2]', expected a number"},
    {"typeof(1 % 2.0) x;", GS_ETYPE, 1, 10, "of type 'double', expected an integer"},
    {"typeof(1 * \"a\") x;", GS_ETYPE, 1, 10, "of type 'char *', expected a number"},
    {"typeof(1 ? 1 : \"a\") x;", GS_ETYPE, 1, 10, "expected both to be of one type"},
    {"typeof((struct known)1) x;", GS_ETYPE, 1, 9, "a cast to 'struct known', expected a number"},
    {"int x[sizeof(y)];", GS_EDECL, 1, 14, "found 'y', expected a type, a constant"},
    {"_BitInt(7) x;", GS_ETYPE, 1, 1, "'_BitInt' is not supported, expected another type"},
    {"_Atomic struct known3 { char a[3]; } x;", GS_ETYPE, 1, 1, "_Atomic with 'struct known3'"},
    {"_Atomic long double x;", GS_ETYPE, 1, 1, "_Atomic with 'long double', expected a type of 1"},
    {"int f(void) [[gnu::]];", GS_EDECL, 1, 20, "found ']', expected an attribute's name"},
    {"int f(void) [[nodiscard;", GS_EDECL, 1, 25, "expected ']]'"},
    {"int x [[gnu::vector_size(16)]];", GS_ETYPE, 1, 14, "'vector_size' is not supported"},
    {"constexpr double N = 5;", GS_EDECL, 1, 20, "only read of static const integers"},
    {"enum e : float { A };", GS_ETYPE, 1, 10, "an enum of type 'float', expected an integer"},
    {"enum e : unsigned char { A = 256 };", GS_EDECL, 1, 26, "'A' does not fit 'enum e'"},
    {"enum e : unsigned char { A = 255, B };", GS_EDECL, 1, 35, "'B' does not fit"},
    {"enum e : unsigned { A = -1 };", GS_EDECL, 1, 21, "does not fit"},
    {"enum e : int { A }; enum e : char { A };", GS_EDECL, 1, 26, "is defined differently before"},
    {"enum : int x;", GS_EDECL, 1, 12, "found 'x', expected '{'"},
    {"int x[1'];", GS_EDECL, 1, 8, "a character constant"},
    /* declared before */
    {"int known_function(char);", GS_EDECL, 1, 5, "expected what it is declared as before"},
    {"typedef int known_function;", GS_EDECL, 1, 13, "a function 'char(int)'"},
    {"extern long known_variable;", GS_EDECL, 1, 13, "a variable 'int'"},
    {"typedef long known_type;", GS_EDECL, 1, 14,
     "found 'known_type' as the type 'long', expected what it is declared as before: the type "
     "'int'"},
    {"char known_function(int) __asm__(\"other\"); char known_function(int) __asm__(\"third\");",
     GS_EDECL, 1, 49, "declared as before"},
};

static const char known[] =
    "struct known { int a; }; enum known_enum { K1, K2 }; char known_function(int);"
    "extern int known_variable; typedef int known_type;";

static bool says_as_expected(const struct row *r, int code, const gs_ffi_error *err) {
  char place[40];
  snprintf(place, sizeof(place), "line %d, column %d: ", r->line, r->column);
  return code == r->code && err->code == code && err->line == r->line && err->column == r->column &&
         strncmp(err->text, place, strlen(place)) == 0 && strstr(err->text, r->says);
}

static void test_messages(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  assert_int_equal(gs_ffi_cdef(ffi, known, NULL), GS_OK);
  size_t n = gs_ffi_ndecls(ffi);
  int wrong = 0;
  for (size_t i = 0; i < COUNT(rows); i++) {
    const struct row *r = &rows[i];
    gs_ffi_error err;
    int code = gs_ffi_cdef(ffi, r->text, &err);
    if (code == GS_OK || !says_as_expected(r, code, &err)) {
      print_error("\"%s\":\n  %s (%s)\n  expected line %d, column %d: …%s… (%s)\n", r->text,
                  code == GS_OK ? "accepted" : err.text, gs_strerror(code), r->line, r->column,
                  r->says, gs_strerror(r->code));
      wrong++;
    }
    assert_int_equal(gs_ffi_ndecls(ffi), n);
  }
  assert_int_equal(wrong, 0);
  gs_ffi_free(ffi);
}

/* ---- limits ---- */

static char *repeat(const char *before, const char *unit, int times, const char *behind) {
  char *s = malloc(strlen(before) + strlen(unit) * (size_t)times + strlen(behind) + 1);
  char *end = stpcpy(s, before);
  for (int i = 0; i < times; i++) end = stpcpy(end, unit);
  stpcpy(end, behind);
  return s;
}

static void refused(char *text, const char *says) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  assert_int_not_equal(gs_ffi_cdef(ffi, text, &err), GS_OK);
  if (!strstr(err.text, says)) fail_msg("%s\n  expected …%s…", err.text, says);
  gs_ffi_free(ffi);
  free(text);
}

static void accepted(char *text) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) fail_msg("%s", err.text);
  gs_ffi_free(ffi);
  free(text);
}

static void test_depth(void **state) {
  (void)state;
  const char *levels = "levels of nesting";
  accepted(repeat("int ", "(", 50, "x))))))))))))))))))))))))))))))))))))))))))))))))));"));
  refused(repeat("int ", "(", 1000000, "x;"), levels);
  refused(repeat("enum { A = ", "(", 1000000, "1"), levels);
  refused(repeat("enum { A = ", "- ", 1000000, "1"), levels);
  refused(repeat("enum { A = ", "1 ? 1 : ", 1000000, "1"), levels);
  refused(repeat("", "struct { ", 1000000, ""), levels);
  refused(repeat("void f(", "void (*)(", 1000000, ""), levels);
  refused(repeat("", "extern \"C\" { ", 1000000, ""), levels);
  refused(repeat("enum { A = ", "sizeof(int[", 1000000, ""), levels);
  refused(repeat("int ", "*", 1000000, "x;"), "a type of more than 200 levels");
  refused(repeat("int x", "[1]", 1000000, ";"), "a type of more than 200 levels");
  accepted(repeat("int ", "*", 150, "x;"));
  accepted(repeat("enum { A = 0", " + 1", 100000, "};"));
}

static void test_sizes(void **state) {
  (void)state;
  char name[1100];
  memset(name, 'n', sizeof(name));
  name[1099] = 0;
  refused(repeat("int ", name, 1, ";"), "a name of more than 1023 characters");
  name[1023] = 0;
  accepted(repeat("int ", name, 1, ";"));
  accepted(repeat("void f(int", ", int", 254, ");"));
  refused(repeat("void f(int", ", int", 255, ");"), "at most 255 parameters");
  /* A chain of structs, each with the one before by value, as deep as types may be, and beyond. */
  char *chain = malloc(300 * 64), *end = stpcpy(chain, "struct s0 { int a; };");
  for (int i = 1; i < 300; i++) end += sprintf(end, "struct s%d { struct s%d a; };", i, i - 1);
  refused(chain, "nests too deeply");
}

/* Every possible cut of a good text is either good or refused with a place inside it. */
static void test_cuts(void **state) {
  (void)state;
  static const char text[] =
      "typedef struct node { struct node *next; unsigned a : 3, : 0; char b[2 * (3 + 'x')]; } "
      "node;\n"
      "enum { A = 1 << 3, B = A | sizeof(int *) };\n"
      "int (*table[B])(const node *, char *const argv[], ...) __attribute__((aligned(8)));";
  for (size_t n = 0; n < sizeof(text); n++) {
    char *cut = strndup(text, n); /* of its exact size, so that sanitizers see reads beyond it */
    gs_ffi *ffi = gs_ffi_new();
    gs_ffi_error err;
    if (gs_ffi_cdef(ffi, cut, &err) != GS_OK) {
      assert_in_range(err.line, 1, 3);
      assert_in_range(err.column, 1, 100);
      assert_int_equal(gs_ffi_ndecls(ffi), 0);
    }
    gs_ffi_free(ffi);
    free(cut);
  }
}

/* ---- bad arguments ---- */

static void test_arguments(void **state) {
  (void)state;
  gs_ffi *ffi = gs_ffi_new();
  const gs_type *t = NULL;
  gs_ffi_error err;
  assert_int_equal(gs_ffi_cdef(NULL, "int x;", &err), GS_EINVAL);
  assert_non_null(strstr(err.text, "ffi is NULL"));
  assert_int_equal(gs_ffi_cdef(ffi, NULL, &err), GS_EINVAL);
  assert_non_null(strstr(err.text, "decls is NULL"));
  assert_int_equal(err.line, 0);
  assert_int_equal(gs_ffi_cdef(ffi, "int x", NULL), GS_EDECL);
  assert_int_equal(gs_ffi_type(ffi, NULL, &t, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_type(ffi, "int x", &t, &err), GS_EDECL);
  assert_int_equal(err.column, 5);
  assert_non_null(strstr(err.text, "found 'x', expected the end of the type"));
  assert_int_equal(gs_ffi_type(ffi, "", &t, &err), GS_EDECL);
  assert_null(t);
  assert_null(gs_ffi_find(ffi, NULL));
  assert_null(gs_type_builtin("int7"));
  assert_null(gs_type_builtin(NULL));
  gs_ffi_free(ffi);
  gs_ffi_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages),  cmocka_unit_test(test_depth),
      cmocka_unit_test(test_sizes),     cmocka_unit_test(test_cuts),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
