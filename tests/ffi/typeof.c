/* typeof.c: typeof in declarations, and what else C23 writes in headers.
 *
 * The types of expressions are the compiler's: each row is compiled, too, and _Generic says what it
 * has made of it.  What the compiler of a C11 program does not know is compared with a name.
 */
#include "support.h"

#include "gosched_ffi.h"

static gs_ffi *cdef(const char *text) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  assert_non_null(ffi);
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) fail_msg("\"%s\": %s", text, err.text);
  return ffi;
}

/* ---- expressions, as the compiler types them ---- */

#define NAME_OF(e) \
  _Generic((e), _Bool                             \
           : "_Bool", char                        \
           : "char", signed char                  \
           : "signed char", unsigned char         \
           : "unsigned char", short               \
           : "short", unsigned short              \
           : "unsigned short", int                \
           : "int", unsigned                      \
           : "unsigned int", long                 \
           : "long", unsigned long                \
           : "unsigned long", long long           \
           : "long long", unsigned long long      \
           : "unsigned long long", float          \
           : "float", double                      \
           : "double", long double                \
           : "long double", float _Complex        \
           : "float _Complex", double _Complex    \
           : "double _Complex", char *            \
           : "char *", const char *               \
           : "const char *", int *                \
           : "int *", void *                      \
           : "void *", int (*)(char, long)        \
           : "int (*)(char, long)", struct pair * \
           : "struct pair *")
#define ROW(e) \
  { #e, NAME_OF(e) }

#define DECLARED                               \
  typedef unsigned short u16;                  \
  struct pair {                                \
    char c;                                    \
    u16 h;                                     \
    float f[3];                                \
    union {                                    \
      const char *text;                        \
      long inner;                              \
    };                                         \
  };                                           \
  enum color { RED, GREEN = 7 };               \
  enum wide { WIDE = 0x7fffffffffff };         \
  extern int function(char, long);             \
  extern struct pair pair, *to_pair, pairs[4]; \
  extern const volatile u16 small;             \
  extern int number;                           \
  extern double real;                          \
  extern float _Complex plane;                 \
  extern enum color color;                     \
  extern struct pair *make_pair(void);
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(x) TEXT_OF(x)

DECLARED

static const struct row {
  const char *text, *name;
} rows[] = {
    /* constants */
    ROW(1),
    ROW(1u),
    ROW(1L),
    ROW(1ul),
    ROW(1LL),
    ROW(1ull),
    ROW(0x80000000),
    ROW(2147483648),
    ROW(0xffffffffffffffff),
    ROW('a'),
    ROW(1.0),
    ROW(1e3f),
    ROW(.5L),
    ROW(0x1p-3),
    ROW(0x1.8p0f),
    ROW("text"),
    ROW(RED),
    ROW(WIDE),
    ROW(sizeof(int)),
    ROW(sizeof number),
    ROW(_Alignof(int)),
    /* operators */
    ROW(1 + 2L),
    ROW(1u + 2L),
    ROW(1ul + 2LL),
    ROW(1u + 1),
    ROW(1 + 1.0f),
    ROW(1.0f * 1.0),
    ROW(1.0L - 1),
    ROW(plane * 2),
    ROW(plane *real),
    ROW(-small),
    ROW(+small),
    ROW(~small),
    ROW(!real),
    ROW(-1.0f),
    ROW((char)1 + (char)1),
    ROW((char)1),
    ROW((u16)1),
    ROW(1u << 3L),
    ROW((char)1 << 3L),
    ROW(1 < 2UL),
    ROW(1 && 2UL),
    ROW(1 == 2UL),
    ROW(7L % 3),
    ROW(1 | 2u),
    ROW(1 ? 2 : 3L),
    ROW(1 ? 'a' : 3.0f),
    ROW(0 ? "a" : "b"),
    ROW(1 + 2 * 3ul),
    ROW((1 + 2)),
    /* names, members, elements */
    ROW(number),
    ROW(&number),
    ROW(*&number),
    ROW(real + number),
    ROW(function),
    ROW(&function),
    ROW(*function),
    ROW(function('a', 1)),
    ROW((*function)('a', (1 + 2))),
    ROW(color + 1),
    ROW(pair.c),
    ROW(to_pair->c),
    ROW((*to_pair).text),
    ROW(to_pair->inner),
    ROW(((struct pair *)0)->f[1]),
    ROW(make_pair()->text),
    ROW(make_pair()),
    ROW(pairs),
    ROW(&pairs[1]),
    ROW(pairs + 1),
    ROW(1 + pairs),
    ROW(&pairs[3] - pairs),
    ROW(pairs[1].c),
    ROW(*to_pair->text + 0),
    ROW((void *)0),
    ROW((struct pair){0}.c),
};

/* What _Generic sees is the value; "0 ? x : x" says typeof the same of it for numbers, and arrays
 * and functions become pointers in a comma's or a conditional's value. */
static void test_expressions(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(TEXT(DECLARED));
  for (size_t i = 0; i < COUNT(rows); i++) {
    char text[200];
    const gs_type *t;
    gs_ffi_error err;
    snprintf(text, sizeof text, "__typeof_unqual__(%s)", rows[i].text);
    if (gs_ffi_type(ffi, text, &t, &err) != GS_OK) fail_msg("%s: %s", text, err.text);
    if (gs_type_kind(t) == GS_KIND_ARRAY || gs_type_kind(t) == GS_KIND_FUNCTION) {
      snprintf(text, sizeof text, "__typeof__(1 ? %s : %s)", rows[i].text, rows[i].text);
      if (gs_ffi_type(ffi, text, &t, &err) != GS_OK) fail_msg("%s: %s", text, err.text);
    }
    const gs_type *wanted;
    assert_int_equal(gs_ffi_type(ffi, rows[i].name, &wanted, NULL), GS_OK);
    if (!gs_type_same(t, wanted))
      fail_msg("%s is '%s', the compiler has '%s'", text, gs_type_name(t), rows[i].name);
  }
  gs_ffi_free(ffi);
}

/* ---- names of types, and what a C11 compiler does not know ---- */

static const struct row names[] = {
    {"typeof(int)", "int"},
    {"__typeof(const char *)", "const char *"},
    {"__typeof__(nullptr)", "void *"},
    {"nullptr_t", "nullptr_t"},
    {"const typeof(int)", "const int"},
    {"typeof(int) *", "int *"},
    {"typeof(int *)[3]", "int *[3]"},
    {"typeof(int[2])[3]", "int[3][2]"},
    {"typeof(typeof(1L))", "long"},
    {"typeof(true)", "_Bool"},
    {"typeof(false + 1)", "int"},
    {"typeof(small)", "const volatile u16"},
    {"typeof_unqual(small)", "unsigned short"},
    {"typeof_unqual(const int[3])", "int[3]"},
    {"typeof(pairs)", "struct pair[4]"},
    {"typeof(function)", "int(char, long)"},
    {"typeof(function) *", "int (*)(char, long)"},
    {"typeof(\"ab\" \"c\\0d\")", "char[6]"},
    {"typeof(to_pair->f)", "float[3]"},
    {"typeof(pair)", "struct pair"},
    {"typeof(color)", "enum color"},
    {"typeof(BYTE)", "enum byte"},
    {"typeof(LIMIT)", "const long"},
    {"typeof(&LIMIT)", "const long *"},
    {"typeof(1'000'000)", "int"},
    {"char[sizeof(to_pair->f)]", "char[12]"},
    {"char[sizeof pair.f[0]]", "char[4]"},
    {"char[_Alignof(pair)]", "char[8]"},
    {"char[1'0'2]", "char[102]"},
    {"char[true + true]", "char[2]"},
    {"_Atomic int", "int"},
    {"_Atomic(char *) *", "char * *"},
    {"_Complex _Float32", "float _Complex"},
    {"double __complex", "double _Complex"},
    {"__typeof__(int (*)(void)) *", "int (**)(void)"},
};

static void test_names(void **state) {
  (void)state;
  gs_ffi *ffi =
      cdef(TEXT(DECLARED) "enum byte : unsigned char { BYTE }; constexpr long LIMIT = 5;");
  for (size_t i = 0; i < COUNT(names); i++) {
    const gs_type *t, *wanted;
    gs_ffi_error err;
    if (gs_ffi_type(ffi, names[i].text, &t, &err) != GS_OK)
      fail_msg("%s: %s", names[i].text, err.text);
    if (gs_ffi_type(ffi, names[i].name, &wanted, &err) != GS_OK)
      fail_msg("%s: %s", names[i].name, err.text);
    if (!gs_type_same(t, wanted))
      fail_msg("%s is '%s', not '%s'", names[i].text, gs_type_name(t), names[i].name);
  }
  gs_ffi_free(ffi);
}

/* ---- declarations of C23 ---- */

static size_t size_of(gs_ffi *ffi, const char *text) {
  const gs_type *t;
  gs_ffi_error err;
  if (gs_ffi_type(ffi, text, &t, &err) != GS_OK) fail_msg("%s: %s", text, err.text);
  return gs_type_size(t);
}

static int64_t value_of(gs_ffi *ffi, const char *name) {
  const gs_decl *d = gs_ffi_find(ffi, name);
  if (!d || gs_decl_what(d) != GS_DECL_CONSTANT) fail_msg("%s is no constant", name);
  return gs_decl_value(d);
}

static void test_enums(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(
      "enum later : short; extern enum later before;"
      "enum later : short { L = -3, M }; enum later : short { L = -3, M };"
      "enum : unsigned char { BYTE = 254, LAST };"
      "enum long_one : unsigned long { BIG = 0xffffffffffffffff };"
      "struct bits { enum later a : 4; enum later : 3; enum in : char { IN } b; };");
  assert_int_equal(size_of(ffi, "enum later"), 2);
  assert_int_equal(size_of(ffi, "enum long_one"), 8);
  assert_int_equal(size_of(ffi, "struct bits"), 2);
  assert_int_equal(value_of(ffi, "M"), -2);
  assert_int_equal(value_of(ffi, "LAST"), 255);
  assert_int_equal(gs_ffi_cdef(ffi, "enum e1 : int; enum e1 : int { E1 }; int 5;", NULL), GS_EDECL);
  /* A name that was only declared stays so when its definition is taken back. */
  assert_int_equal(gs_ffi_cdef(ffi, "enum e2 : int;", NULL), GS_OK);
  assert_int_equal(gs_ffi_cdef(ffi, "enum e2 : int { E2 }; int 5;", NULL), GS_EDECL);
  assert_int_equal(gs_ffi_cdef(ffi, "enum e2 : int { E2, E3 };", NULL), GS_OK);
  assert_int_equal(value_of(ffi, "E3"), 1);
  gs_ffi_free(ffi);
}

static void test_words(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(
      "[[deprecated(\"by another\"), nodiscard]] int f [[gnu::cold]] (int a [[maybe_unused]],"
      "  [[__gnu__::__unused__]] int b) [[gnu::nonnull(1), other::thing(x, (y))]];"
      "struct [[gnu::packed]] tight { char a; [[deprecated]] int b; };"
      "struct far { char a; int b [[gnu::aligned(16)]]; int c [[gnu::aligned(8)]][2]; };"
      "enum [[deprecated]] e { A [[deprecated]], B [[]] = 3 };"
      "int * [[maybe_unused]] const p [[gnu::unused]];"
      "static const bool YES = true; constexpr unsigned char SMALL = 0xf'f;"
      "extern thread_local int tl; alignas(16) extern char buffer[alignof(long)];"
      "static_assert(sizeof(int) == 4); _Static_assert(1, \"said\");"
      "_Float16 half(_Float16); _Decimal64 *dec(__float128, _Decimal32, _Decimal128, __bf16);"
      "extern __typeof(f) g __asm__(\"f\") __attribute__((__nothrow__));"
      "__extension__ typedef __typeof__(g) *pointer; _Complex _Float128 *quad(void);");
  assert_int_equal(size_of(ffi, "struct tight"), 5);
  assert_int_equal(size_of(ffi, "struct far"), 32);
  assert_int_equal(size_of(ffi, "pointer"), sizeof(void *));
  assert_int_equal(value_of(ffi, "YES"), 1);
  assert_int_equal(value_of(ffi, "SMALL"), 255);
  assert_int_equal(value_of(ffi, "B"), 3);
  assert_string_equal(gs_type_name(gs_decl_type(gs_ffi_find(ffi, "g"))), "int(int, int)");
  assert_string_equal(gs_type_name(gs_decl_type(gs_ffi_find(ffi, "f"))), "int(int, int)");
  gs_ffi_free(ffi);
}

/* Words that are names where a text declares them. */
static void test_own_names(void **state) {
  (void)state;
  gs_ffi *ffi = cdef(
      "typedef enum { false, true } boolean; extern long nullptr;"
      "typedef struct { int x; } nullptr_t, _Float16; extern typeof(nullptr) l;");
  assert_int_equal(size_of(ffi, "typeof(true)"), 4);
  assert_int_equal(size_of(ffi, "nullptr_t"), 4);
  assert_int_equal(size_of(ffi, "_Float16"), 4);
  assert_string_equal(gs_type_name(gs_decl_type(gs_ffi_find(ffi, "l"))), "long");
  gs_ffi_free(ffi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_expressions), cmocka_unit_test(test_names),
      cmocka_unit_test(test_enums),       cmocka_unit_test(test_words),
      cmocka_unit_test(test_own_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
