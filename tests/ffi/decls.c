/* decls.c: what gs_ffi_cdef makes of C declarations.
 *
 * Tables: a declaration, and what is known of the declared name afterwards.  gs_type_name gives C's
 * own spelling, so parsing that again must give the same type.
 */
#include "support.h"

#include "gosched_ffi.h"

static gs_ffi *cdef(const char *text) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  assert_non_null(ffi);
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) fail_msg("\"%s\": %s", text, err.text);
  assert_int_equal(err.code, GS_OK);
  return ffi;
}

static const gs_decl *find(const gs_ffi *ffi, const char *name) {
  const gs_decl *d = gs_ffi_find(ffi, name);
  if (!d) fail_msg("'%s' is not declared", name);
  return d;
}

/* ---- scalar types ---- */

static const struct scalar {
  const char *words;
  const char *name;
  gs_kind kind;
  size_t size;
} scalars[] = {
    {"_Bool", "_Bool", GS_KIND_BOOL, 1},
    {"bool", "bool", GS_KIND_BOOL, 1},
    {"char", "char", (char)-1 < 0 ? GS_KIND_INT : GS_KIND_UINT, 1},
    {"signed char", "signed char", GS_KIND_INT, 1},
    {"char signed", "signed char", GS_KIND_INT, 1},
    {"unsigned char", "unsigned char", GS_KIND_UINT, 1},
    {"char unsigned", "unsigned char", GS_KIND_UINT, 1},
    {"short", "short", GS_KIND_INT, 2},
    {"short int", "short", GS_KIND_INT, 2},
    {"signed short", "short", GS_KIND_INT, 2},
    {"int signed short", "short", GS_KIND_INT, 2},
    {"unsigned short", "unsigned short", GS_KIND_UINT, 2},
    {"short unsigned int", "unsigned short", GS_KIND_UINT, 2},
    {"int", "int", GS_KIND_INT, 4},
    {"signed", "int", GS_KIND_INT, 4},
    {"__signed__ int", "int", GS_KIND_INT, 4},
    {"unsigned", "unsigned int", GS_KIND_UINT, 4},
    {"int unsigned", "unsigned int", GS_KIND_UINT, 4},
    {"long", "long", GS_KIND_INT, sizeof(long)},
    {"long int signed", "long", GS_KIND_INT, sizeof(long)},
    {"unsigned long", "unsigned long", GS_KIND_UINT, sizeof(long)},
    {"long unsigned int", "unsigned long", GS_KIND_UINT, sizeof(long)},
    {"long long", "long long", GS_KIND_INT, 8},
    {"long signed long int", "long long", GS_KIND_INT, 8},
    {"long unsigned int long", "unsigned long long", GS_KIND_UINT, 8},
    {"float", "float", GS_KIND_FLOAT, 4},
    {"double", "double", GS_KIND_FLOAT, 8},
    {"long double", "long double", GS_KIND_FLOAT, sizeof(long double)},
    {"double long", "long double", GS_KIND_FLOAT, sizeof(long double)},
    {"int8_t", "int8_t", GS_KIND_INT, 1},
    {"uint8_t", "uint8_t", GS_KIND_UINT, 1},
    {"int16_t", "int16_t", GS_KIND_INT, 2},
    {"uint16_t", "uint16_t", GS_KIND_UINT, 2},
    {"int32_t", "int32_t", GS_KIND_INT, 4},
    {"uint32_t", "uint32_t", GS_KIND_UINT, 4},
    {"int64_t", "int64_t", GS_KIND_INT, 8},
    {"uint64_t", "uint64_t", GS_KIND_UINT, 8},
    {"size_t", "size_t", GS_KIND_UINT, sizeof(size_t)},
    {"ssize_t", "ssize_t", GS_KIND_INT, sizeof(ssize_t)},
    {"intptr_t", "intptr_t", GS_KIND_INT, sizeof(intptr_t)},
    {"uintptr_t", "uintptr_t", GS_KIND_UINT, sizeof(uintptr_t)},
    {"ptrdiff_t", "ptrdiff_t", GS_KIND_INT, sizeof(ptrdiff_t)},
    {"off_t", "off_t", GS_KIND_INT, sizeof(off_t)},
    {"time_t", "time_t", GS_KIND_INT, sizeof(time_t)},
    {"wchar_t", "wchar_t", (wchar_t)-1 < (wchar_t)1 ? GS_KIND_INT : GS_KIND_UINT, sizeof(wchar_t)},
    {"void *", "void *", GS_KIND_POINTER, sizeof(void *)},
    {"FILE *", "FILE *", GS_KIND_POINTER, sizeof(void *)},
};

static void test_scalars(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(scalars); i++) {
    const struct scalar *s = &scalars[i];
    char text[100];
    snprintf(text, sizeof(text), "extern %s v;", s->words);
    gs_ffi *ffi = cdef(text);
    const gs_decl *d = find(ffi, "v");
    const gs_type *t = gs_decl_type(d);
    assert_int_equal(gs_decl_what(d), GS_DECL_VARIABLE);
    assert_string_equal(gs_type_name(t), s->name);
    assert_int_equal(gs_type_kind(t), s->kind);
    assert_int_equal(gs_type_size(t), s->size);
    assert_int_equal(gs_type_align(t), s->size);
    gs_ffi_free(ffi);
  }
}

/* ---- derived types and their spelling ---- */

static const struct spelling {
  const char *declaration; /* of the name x */
  const char *type;
  gs_decl_kind what;
} spellings[] = {
    {"int *x;", "int *", GS_DECL_VARIABLE},
    {"char **x;", "char **", GS_DECL_VARIABLE},
    {"const char *x;", "const char *", GS_DECL_VARIABLE},
    {"char const *x;", "const char *", GS_DECL_VARIABLE},
    {"char *const x;", "char *const", GS_DECL_VARIABLE},
    {"const char *const *volatile x;", "const char *const *volatile", GS_DECL_VARIABLE},
    {"const volatile int x;", "const volatile int", GS_DECL_VARIABLE},
    {"int *restrict x;", "int *", GS_DECL_VARIABLE},
    {"int *__restrict__ const x;", "int *const", GS_DECL_VARIABLE},
    {"int x[3];", "int[3]", GS_DECL_VARIABLE},
    {"int x[2][3];", "int[2][3]", GS_DECL_VARIABLE},
    {"extern int x[];", "int[]", GS_DECL_VARIABLE},
    {"const int x[4];", "const int[4]", GS_DECL_VARIABLE},
    {"char *x[3];", "char *[3]", GS_DECL_VARIABLE},
    {"char (*x)[3];", "char (*)[3]", GS_DECL_VARIABLE},
    {"int x(void);", "int(void)", GS_DECL_FUNCTION},
    {"int x();", "int(void)", GS_DECL_FUNCTION},
    {"int (x)(void);", "int(void)", GS_DECL_FUNCTION},
    {"char *x(const char *s, int c);", "char *(const char *, int)", GS_DECL_FUNCTION},
    {"int x(const char *, ...);", "int(const char *, ...)", GS_DECL_FUNCTION},
    {"int (*x)(int);", "int (*)(int)", GS_DECL_VARIABLE},
    {"int (*const x)(int);", "int (*const)(int)", GS_DECL_VARIABLE},
    {"int (**x)(int);", "int (**)(int)", GS_DECL_VARIABLE},
    {"int (*x[4])(int);", "int (*[4])(int)", GS_DECL_VARIABLE},
    {"int (*(*x)[4])(int);", "int (*(*)[4])(int)", GS_DECL_VARIABLE},
    {"void (*x(int sig, void (*func)(int)))(int);", "void (*(int, void (*)(int)))(int)",
     GS_DECL_FUNCTION},
    {"int *(*(*x)(char *(*)[2], int))[3];", "int *(*(*)(char *(*)[2], int))[3]", GS_DECL_VARIABLE},
    {"void x(int a[3]);", "void(int *)", GS_DECL_FUNCTION},
    {"void x(int a[]);", "void(int *)", GS_DECL_FUNCTION},
    {"void x(int [static 4]);", "void(int *)", GS_DECL_FUNCTION},
    {"void x(int n, int a[restrict n * 2]);", "void(int, int *)", GS_DECL_FUNCTION},
    {"void x(int a[][3]);", "void(int (*)[3])", GS_DECL_FUNCTION},
    {"void x(char *const argv[]);", "void(char *const *)", GS_DECL_FUNCTION},
    {"void x(int f(char));", "void(int (*)(char))", GS_DECL_FUNCTION},
    {"void x(int (char));", "void(int (*)(char))", GS_DECL_FUNCTION},
    {"void x(int (a));", "void(int)", GS_DECL_FUNCTION},
    {"void x(int (*)(void), void (*)());", "void(int (*)(void), void (*)(void))", GS_DECL_FUNCTION},
    {"void x(register int a);", "void(int)", GS_DECL_FUNCTION},
    {"typedef int x;", "x", GS_DECL_TYPEDEF},
    {"int typedef x;", "x", GS_DECL_TYPEDEF},
    {"typedef int T; void x(int T);", "void(int)", GS_DECL_FUNCTION},
    {"typedef int T; void x(T (T));", "void(T (*)(T))", GS_DECL_FUNCTION},
    {"typedef char *S; S x(const S, S *);", "S(const S, S *)", GS_DECL_FUNCTION},
    {"typedef int F(int); F x;", "F", GS_DECL_FUNCTION},
    {"typedef int F(int); F *x;", "F *", GS_DECL_VARIABLE},
    {"typedef int A[3]; const A x;", "const int[3]", GS_DECL_VARIABLE},
    {"typedef int A[3]; A x[2];", "A[2]", GS_DECL_VARIABLE},
    {"struct s; struct s *x(struct s *);", "struct s *(struct s *)", GS_DECL_FUNCTION},
    {"struct { int a; } x;", "struct <anonymous>", GS_DECL_VARIABLE},
    {"union u { int a; char b; } x;", "union u", GS_DECL_VARIABLE},
    {"enum e { A, B } x;", "enum e", GS_DECL_VARIABLE},
    {"static inline int x(void);", "int(void)", GS_DECL_FUNCTION},
    {"extern __inline__ _Noreturn void x(int);", "void(int)", GS_DECL_FUNCTION},
    {"__extension__ long long x;", "long long", GS_DECL_VARIABLE},
    {"int a, *b, x[2];", "int[2]", GS_DECL_VARIABLE},
    {"int x /* a comment, ; */ ; // and another", "int", GS_DECL_VARIABLE},
    {"unsi\\\ngned x;", "unsigned int", GS_DECL_VARIABLE},
    {"int x; \\\r\n", "int", GS_DECL_VARIABLE},
    {"// continued \\\n int y;\nint x;", "int", GS_DECL_VARIABLE},
    {"# 1 \"some.h\" 3\nint x;", "int", GS_DECL_VARIABLE},
    {"#pragma GCC diagnostic push\nint x;", "int", GS_DECL_VARIABLE},
    {"extern \"C\" { int y; } extern \"C\" int x;", "int", GS_DECL_VARIABLE},
    {";;int x;;", "int", GS_DECL_VARIABLE},
    {"int x(void) __attribute__((noreturn, nonnull(1, 2), format(printf, 1, (2))));", "int(void)",
     GS_DECL_FUNCTION},
    {"__attribute__((visibility(\"default\"))) int x(void);", "int(void)", GS_DECL_FUNCTION},
    {"int x(void) __asm__(\"y\" \"z\") __attribute__(());", "int(void)", GS_DECL_FUNCTION},
    {"int x(const char *f, va_list ap);", "int(const char *, struct __va_list_tag *)",
     GS_DECL_FUNCTION},
    {"typedef unsigned char bool; bool *x;", "bool *", GS_DECL_VARIABLE},
    {"unsigned x __attribute__((__mode__(__DI__)));", "unsigned long", GS_DECL_VARIABLE},
    {"static inline int f(int a) { if (a) { return '}' + 1.5e3; } return 0; } int x;", "int",
     GS_DECL_VARIABLE},
    {"_Static_assert(sizeof(int) == 4, \"wide (\"); int x;", "int", GS_DECL_VARIABLE},
    {"int x(void); int x(void) __asm__(\"other\");", "int(void)", GS_DECL_FUNCTION},
};

static void test_spellings(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(spellings); i++) {
    const struct spelling *s = &spellings[i];
#if !defined(__x86_64__)
    if (strstr(s->declaration, "va_list")) continue; /* is another type on each system */
#endif
    gs_ffi *ffi = cdef(s->declaration);
    const gs_decl *d = find(ffi, "x");
    const gs_type *t = gs_decl_type(d), *again = NULL;
    assert_int_equal(gs_decl_what(d), s->what);
    assert_string_equal(gs_type_name(t), s->type);
    gs_ffi_error err;
    if (!strstr(s->type, "<anonymous>")) {
      if (gs_ffi_type(ffi, s->type, &again, &err) != GS_OK)
        fail_msg("\"%s\": %s", s->type, err.text);
      if (!gs_type_same(t, again)) fail_msg("'%s' read again is another type", s->type);
      assert_string_equal(gs_type_name(again), s->type);
    }
    gs_ffi_free(ffi);
  }
}

static void test_parts(void **state) {
  (void)state;
  gs_ffi *ffi = cdef("struct s { char *name; int n; }; int f(const char *a, struct s *b, ...);");
  const gs_type *f = gs_decl_type(find(ffi, "f"));
  assert_int_equal(gs_type_kind(f), GS_KIND_FUNCTION);
  assert_int_equal(gs_type_length(f), 2);
  assert_int_equal(gs_type_flags(f), GS_TYPE_VARIADIC);
  assert_string_equal(gs_type_name(gs_type_target(f)), "int");
  assert_null(gs_type_param(f, 2));
  const gs_type *text = gs_type_target(gs_type_param(f, 0));
  assert_int_equal(gs_type_flags(text), GS_TYPE_CHAR | GS_TYPE_CONST);
  const gs_type *s = gs_type_target(gs_type_param(f, 1));
  assert_int_equal(gs_type_kind(s), GS_KIND_STRUCT);
  assert_int_equal(gs_type_length(s), 2);
  assert_string_equal(gs_field_name(gs_type_field(s, 1)), "n");
  assert_string_equal(gs_type_name(gs_field_type(gs_type_field(s, 0))), "char *");
  assert_null(gs_type_field(s, 2));
  assert_int_equal(gs_ffi_ndecls(ffi), 1);
  assert_string_equal(gs_decl_name(gs_ffi_decl(ffi, 0)), "f");
  assert_null(gs_ffi_decl(ffi, 1));
  assert_null(gs_ffi_find(ffi, "g"));
  gs_ffi_free(ffi);
}

/* ---- enums and constant expressions ---- */

static const struct constant {
  const char *text;
  int64_t value;
} constants[] = {
    {"7", 7},
    {"-7", -7},
    {"0x1F", 31},
    {"017", 15},
    {"0b101", 5},
    {"'a'", 'a'},
    {"'\\n'", '\n'},
    {"'\\x41'", 0x41},
    {"'\\101'", 0101},
    {"'\\''", '\''},
    {"'\\0'", 0},
    {"1 + 2 * 3", 7},
    {"(1 + 2) * 3", 9},
    {"10 - 4 - 3", 3},
    {"17 / 5 * 5 + 17 % 5", 17},
    {"-17 / 5", -3},
    {"-17 % 5", -2},
    {"1 << 4 | 1 << 2", 20},
    {"256 >> 4 >> 1", 8},
    {"-8 >> 1", -4},
    {"0xF0 & 0x3C ^ 1", 0x31},
    {"~0", -1},
    {"~0u", 0xFFFFFFFF},
    {"~5 & 0xFF", 0xFA},
    {"- -3", 3},
    {"+3", 3},
    {"!0 + !7", 1},
    {"1 < 2", 1},
    {"2 <= 1", 0},
    {"3 > 2 == 1", 1},
    {"2 >= 3 != 0", 0},
    {"1 && 0 || 1", 1},
    {"0 ? 10 : 20", 20},
    {"1 ? 10 : 1 ? 20 : 30", 10},
    {"-1 < 0u", 0},
    {"-1L < 0u", 1},
    {"1 << 31", INT32_MIN},
    {"1u << 31", 0x80000000},
    {"1L << 40", 1LL << 40},
    {"0x7FFFFFFFFFFFFFFF", INT64_MAX},
    {"-0x7FFFFFFFFFFFFFFF - 1", INT64_MIN},
    {"sizeof(long) * 2", sizeof(long) * 2},
    {"sizeof(char *[3])", sizeof(char *[3])},
    {"(unsigned char)300", 44},
    {"(signed char)200", -56},
    {"(bool)12", 1},
    {"FIRST + 1", 43},
    {"42u + 0ull", 42},
};

static void test_constants(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(constants); i++) {
    char text[200];
    snprintf(text, sizeof(text), "enum { FIRST = 42 }; enum { X = %s };", constants[i].text);
    gs_ffi *ffi = cdef(text);
    const gs_decl *d = find(ffi, "X");
    assert_int_equal(gs_decl_what(d), GS_DECL_CONSTANT);
    if (gs_decl_value(d) != constants[i].value)
      fail_msg("%s is %lld", constants[i].text, (long long)gs_decl_value(d));
    gs_ffi_free(ffi);
  }
}

static void test_enums(void **state) {
  (void)state;
  static const struct {
    const char *text;
    gs_kind kind;
    size_t size;
    int64_t last;
  } table[] = {
      {"enum e { A, LAST };", GS_KIND_UINT, sizeof(enum {T1}), 1},
      {"enum e { A, B, LAST, };", GS_KIND_UINT, 4, 2},
      {"enum e { A = -1, LAST };", GS_KIND_INT, 4, 0},
      {"enum e { A = 5, B, C = A + 10, LAST };", GS_KIND_UINT, 4, 16},
      {"enum e { LAST = 0xFFFFFFFF };", GS_KIND_UINT, 4, 0xFFFFFFFF},
      {"enum e { A = -1, LAST = 0x80000000 };", GS_KIND_INT, 8, 0x80000000},
      {"enum e { A = 0x7FFFFFFF, LAST };", GS_KIND_UINT, 4, 0x80000000},
      {"enum e { LAST = 1L << 40 };", GS_KIND_UINT, 8, 1LL << 40},
      {"enum e { A __attribute__((deprecated)) = 3, LAST };", GS_KIND_UINT, 4, 4},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    gs_ffi *ffi = cdef(table[i].text);
    const gs_type *t = NULL;
    assert_int_equal(gs_ffi_type(ffi, "enum e", &t, NULL), GS_OK);
    assert_int_equal(gs_type_kind(t), table[i].kind);
    assert_int_equal(gs_type_size(t), table[i].size);
    assert_int_equal(gs_type_flags(t), GS_TYPE_ENUM);
    assert_true(gs_decl_value(find(ffi, "LAST")) == table[i].last);
    gs_ffi_free(ffi);
  }
}

/* ---- declaring again ---- */

static const char *const repeatable[] = {
    "int f(int, char *);",
    "typedef int T;",
    "typedef struct { int a; struct { char b; }; } T;",
    "struct s { int a; struct s *next; };",
    "struct s; struct s *f(struct s *);",
    "union u { int a; float b[2]; };",
    "enum e { A, B = 5 };",
    "enum { A = -3, B };",
    "typedef enum { A, B } T;",
    "extern int x[3];",
    "int (*fp)(void (*)(int, ...), const volatile char *);",
    "typedef unsigned long size_t;",
    "struct s { unsigned a : 3; };",
};

static void test_repeated(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(repeatable); i++) {
    gs_ffi *ffi = cdef(repeatable[i]);
    size_t n = gs_ffi_ndecls(ffi);
    gs_ffi_error err;
    if (gs_ffi_cdef(ffi, repeatable[i], &err) != GS_OK)
      fail_msg("\"%s\" again: %s", repeatable[i], err.text);
    assert_int_equal(gs_ffi_ndecls(ffi), n);
    gs_ffi_free(ffi);
  }
  gs_ffi *ffi = cdef("int f(int, char *); typedef int T;");
  assert_int_equal(gs_ffi_cdef(ffi, "extern T f(const T a, char b[]);", NULL), GS_OK);
  gs_ffi_free(ffi);
}

/* ---- pointers that C converts by itself ---- */

static void test_accepts(void **state) {
  (void)state;
  static const struct {
    const char *to, *from;
    int accepted;
  } table[] = {
      {"int *", "int *", 1},
      {"const int *", "int *", 1},
      {"int *", "const int *", 0},
      {"void *", "int *", 1},
      {"const void *", "char *", 1},
      {"void *", "const char *", 0},
      {"struct s *", "void *", 1},
      {"struct s *", "struct s *", 1},
      {"struct s *", "struct t *", 0},
      {"T *", "int *", 1},
      {"long *", "int *", 0},
      {"int **", "int *", 0},
      {"const char **", "char **", 0},
      {"int (*)(int)", "int (*)(T)", 1},
      {"int (*)(int)", "int (*)(char)", 0},
      {"int *", "int", 0},
      {"long", "long", 0},
      {"volatile int *const", "int *", 1},
  };
  gs_ffi *ffi = cdef("struct s; struct t; typedef int T;");
  for (size_t i = 0; i < COUNT(table); i++) {
    const gs_type *to = NULL, *from = NULL;
    assert_int_equal(gs_ffi_type(ffi, table[i].to, &to, NULL), GS_OK);
    assert_int_equal(gs_ffi_type(ffi, table[i].from, &from, NULL), GS_OK);
    if (gs_type_accepts(to, from) != table[i].accepted)
      fail_msg("'%s' from '%s' should be %d", table[i].to, table[i].from, table[i].accepted);
  }
  gs_ffi_free(ffi);
}

/* ---- what LuaJIT writes so ---- */

static void test_values(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(
      "static const int N = 3 * 7; static const unsigned char B = 255;"
      "static const long long L = -1; static const int N = 21;"
      "int a[N]; struct s { int n; char text[?]; };");
  assert_int_equal(gs_decl_what(find(ffi, "N")), GS_DECL_CONSTANT);
  assert_int_equal(gs_decl_value(find(ffi, "N")), 21);
  assert_int_equal(gs_decl_value(find(ffi, "B")), 255);
  assert_int_equal(gs_decl_value(find(ffi, "L")), -1);
  assert_int_equal(gs_type_size(gs_decl_type(find(ffi, "a"))), 21 * sizeof(int));
  const gs_type *t = NULL;
  assert_int_equal(gs_ffi_type(ffi, "struct s", &t, NULL), GS_OK);
  assert_true(gs_type_flags(t) & GS_TYPE_FLEXIBLE);
  assert_int_equal(gs_ffi_type(ffi, "int[?]", &t, NULL), GS_OK);
  assert_int_equal(gs_type_flags(t), GS_TYPE_INCOMPLETE);
  gs_ffi_free(ffi);
}

static void test_complex_word(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(
      "double complex f(complex float, double complex); struct complex { int n; };"
      "complex double *z; double complex;");
  assert_string_equal(gs_type_name(gs_decl_type(find(ffi, "f"))),
                      "double _Complex(float _Complex, double _Complex)");
  assert_string_equal(gs_type_name(gs_decl_type(find(ffi, "z"))), "double _Complex *");
  assert_string_equal(gs_type_name(gs_decl_type(find(ffi, "complex"))), "double");
  gs_ffi_free(ffi);
}

static void test_params(void **state) {
  (void)state;
  gs_ffi *ffi = cdef("typedef struct { int x; } point;");
  gs_ffi_error err;
  const gs_type *point = gs_decl_type(find(ffi, "point")), *t = NULL;
  const gs_ffi_param two[] = {{.type = point}, {.number = 5}};
  const gs_ffi_param names[] = {{.name = "made"}, {.name = "member"}, {.number = -1}};
  assert_int_equal(gs_ffi_type_with(ffi, "$ *[$]", two, 2, &t, &err), GS_OK);
  assert_string_equal(gs_type_name(t), "point *[5]");
  assert_int_equal(
      gs_ffi_cdef_with(ffi, "struct $ { int $ : 3; }; enum { M = $ };", names, 3, &err), GS_OK);
  assert_int_equal(gs_ffi_type(ffi, "struct made", &t, NULL), GS_OK);
  assert_string_equal(gs_field_name(gs_type_field(t, 0)), "member");
  assert_int_equal(gs_decl_value(find(ffi, "M")), -1);
  assert_ptr_equal(gs_type_canon(point), gs_type_canon(gs_type_canon(point)));
  /* Too many, too few, and where there is none '$' is a name. */
  assert_int_equal(gs_ffi_type_with(ffi, "$ *", two, 2, &t, &err), GS_EDECL);
  assert_int_equal(gs_ffi_type_with(ffi, "$ (*)($, int)", two, 1, &t, &err), GS_EDECL);
  assert_int_equal(gs_ffi_cdef_with(ffi, "int $;", NULL, 1, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_type_with(ffi, "$", two, 1, NULL, &err), GS_EINVAL);
  assert_int_equal(gs_ffi_cdef(ffi, "int $;", &err), GS_OK);
  gs_ffi_free(ffi);
}

/* ---- all or nothing ---- */

static void test_transaction(void **state) {
  (void)state;
  gs_ffi *ffi = cdef("struct s; int f(struct s *); typedef int T;");
  gs_ffi_error err;
  int e = gs_ffi_cdef(ffi,
                      "struct s { int a; }; struct t { struct s x; }; typedef char bool;"
                      "enum e { A }; int g(void); int broken(",
                      &err);
  assert_int_equal(e, GS_EDECL);
  assert_int_equal(gs_ffi_ndecls(ffi), 2);
  assert_null(gs_ffi_find(ffi, "g"));
  assert_null(gs_ffi_find(ffi, "A"));
  assert_int_equal(gs_type_kind(gs_decl_type(find(ffi, "bool"))), GS_KIND_BOOL);
  const gs_type *t = NULL;
  assert_int_equal(gs_ffi_type(ffi, "struct s", &t, NULL), GS_OK);
  assert_int_equal(gs_type_flags(t), GS_TYPE_INCOMPLETE);
  assert_int_equal(gs_type_size(t), 0);
  assert_int_equal(gs_ffi_type(ffi, "enum e", &t, &err), GS_EDECL);
  /* What was taken back can be declared in another way. */
  assert_int_equal(gs_ffi_cdef(ffi, "struct s { double d; }; char g(int); enum e { A = 9 };", &err),
                   GS_OK);
  assert_int_equal(gs_ffi_type(ffi, "struct s", &t, NULL), GS_OK);
  assert_int_equal(gs_type_size(t), sizeof(double));
  assert_int_equal(gs_decl_value(find(ffi, "A")), 9);
  gs_ffi_free(ffi);
}

static void test_many(void **state) {
  (void)state;
  enum { N = 3000 };
  char *text = malloc(N * 128), *end = text;
  for (int i = 0; i < N; i++)
    end += sprintf(end, "struct s%d { struct s%d *next; int a[%d]; };\n", i, i ? i - 1 : 0, i + 1);
  for (int i = 0; i < N; i++) end += sprintf(end, "int f%d(struct s%d *);", i, i);
  gs_ffi *ffi = cdef(text);
  assert_int_equal(gs_ffi_ndecls(ffi), N);
  const gs_type *t = NULL;
  assert_int_equal(gs_ffi_type(ffi, "struct s2999", &t, NULL), GS_OK);
  assert_int_equal(gs_type_size(t), sizeof(void *) + N * sizeof(int));
  free(text);
  gs_ffi_free(ffi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars), cmocka_unit_test(test_spellings),
      cmocka_unit_test(test_parts),   cmocka_unit_test(test_constants),
      cmocka_unit_test(test_enums),   cmocka_unit_test(test_repeated),
      cmocka_unit_test(test_accepts), cmocka_unit_test(test_transaction),
      cmocka_unit_test(test_many),    cmocka_unit_test(test_values),
      cmocka_unit_test(test_params),  cmocka_unit_test(test_complex_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
