/* layout.c: sizes, alignments and offsets, against those of the C compiler.
 *
 * Each struct is written once: STRUCT makes it a type of this program and a text for gs_ffi_cdef.
 */
#include "support.h"

#include <stdbool.h>

#include "gosched_ffi.h"

#define STRUCT(name, ...) \
  __VA_ARGS__;            \
  static const char name##_text[] = #__VA_ARGS__ ";";

/* clang-format off */
STRUCT(s_chars, struct s_chars { char a, b; short c; char d; })
STRUCT(s_ints, struct s_ints { char a; int b; char c; long d; short e; })
STRUCT(s_floats, struct s_floats { float a; double b; float c; long double d; char e; })
STRUCT(s_pointers, struct s_pointers { char a; void *b; int (*c)(void); char d; char **e[3]; })
STRUCT(s_bool, struct s_bool { _Bool a; int b; _Bool c; })
STRUCT(s_arrays, struct s_arrays { char a[3]; int b[2][5]; char c[7]; short d[1]; })
STRUCT(s_nested, struct s_nested { char a; struct { char b; double c; } d; struct s_chars e[2]; char f; })
STRUCT(s_anonymous, struct s_anonymous { char a; struct { int b; char c; }; union { long d; char e; }; char f; })
STRUCT(s_union, union s_union { char a; int b[3]; double c; struct s_chars d; })
STRUCT(s_odd_union, union s_odd_union { char a[5]; short b; })
STRUCT(s_enum, struct s_enum { char a; enum { S_A, S_B } b; char c; })
STRUCT(s_flexible, struct s_flexible { int n; char a; double data[]; })
STRUCT(s_flexible_chars, struct s_flexible_chars { int n; char a; char data[]; })
STRUCT(s_zero, struct s_zero { int n; char data[0]; short b; })
STRUCT(s_empty, struct s_empty { })
STRUCT(s_packed, struct __attribute__((packed)) s_packed { char a; int b; short c; double d; })
STRUCT(s_packed_behind, struct s_packed_behind { char a; int b; struct s_ints c; } __attribute__((__packed__)))
STRUCT(s_aligned, struct s_aligned { char a; int b; } __attribute__((aligned(32))))
STRUCT(s_max_aligned, struct s_max_aligned { char a; } __attribute__((aligned)))
STRUCT(s_member_aligned, struct s_member_aligned { char a; int b __attribute__((aligned(16))); char c; })
STRUCT(s_alignas, struct s_alignas { char a; _Alignas(16) char b; _Alignas(double) char c; })
STRUCT(s_typedef_aligned, typedef short s_short8 __attribute__((aligned(8)));
       struct s_typedef_aligned { char a; const s_short8 b; char c; })
STRUCT(s_assert, struct s_assert { char a; _Static_assert(1, ""); long b; })
STRUCT(s_constant, struct s_constant { char a[sizeof(int) * 2 + 1]; char b[S_B + 3]; })
STRUCT(s_128, struct s_128 { char a; __uint128_t b[2]; char c; __int128_t d; })
STRUCT(s_fixed, struct s_fixed { int8_t a; uint64_t b; int16_t c; size_t d; uint8_t e; })
/* clang-format on */

#define FIELD(s, f) \
  { #f, offsetof(s, f) }
#define LAYOUT(keyword, s, ...)                                        \
  {                                                                    \
    s##_text, #keyword " " #s, sizeof(keyword s), _Alignof(keyword s), \
        (const struct offset[]){__VA_ARGS__, {NULL, 0}},               \
  }

static const struct layout {
  const char *text, *name;
  size_t size, align;
  const struct offset {
    const char *name;
    size_t offset;
  } * offsets;
} layouts[] = {
#define S(f) FIELD(struct s_chars, f)
    LAYOUT(struct, s_chars, S(a), S(b), S(c), S(d)),
#undef S
#define S(f) FIELD(struct s_ints, f)
    LAYOUT(struct, s_ints, S(a), S(b), S(c), S(d), S(e)),
#undef S
#define S(f) FIELD(struct s_floats, f)
    LAYOUT(struct, s_floats, S(a), S(b), S(c), S(d), S(e)),
#undef S
#define S(f) FIELD(struct s_pointers, f)
    LAYOUT(struct, s_pointers, S(a), S(b), S(c), S(d), S(e)),
#undef S
#define S(f) FIELD(struct s_bool, f)
    LAYOUT(struct, s_bool, S(a), S(b), S(c)),
#undef S
#define S(f) FIELD(struct s_arrays, f)
    LAYOUT(struct, s_arrays, S(a), S(b), S(c), S(d)),
#undef S
#define S(f) FIELD(struct s_nested, f)
    LAYOUT(struct, s_nested, S(a), S(d), S(d.b), S(d.c), S(e), S(f)),
#undef S
#define S(f) FIELD(struct s_anonymous, f)
    LAYOUT(struct, s_anonymous, S(a), S(b), S(c), S(d), S(e), S(f)),
#undef S
#define S(f) FIELD(union s_union, f)
    LAYOUT(union, s_union, S(a), S(b), S(c), S(d), S(d.c)),
#undef S
#define S(f) FIELD(union s_odd_union, f)
    LAYOUT(union, s_odd_union, S(a), S(b)),
#undef S
#define S(f) FIELD(struct s_enum, f)
    LAYOUT(struct, s_enum, S(a), S(b), S(c)),
#undef S
#define S(f) FIELD(struct s_flexible, f)
    LAYOUT(struct, s_flexible, S(n), S(a), S(data)),
#undef S
#define S(f) FIELD(struct s_flexible_chars, f)
    LAYOUT(struct, s_flexible_chars, S(n), S(a), S(data)),
#undef S
#define S(f) FIELD(struct s_zero, f)
    LAYOUT(struct, s_zero, S(n), S(data), S(b)),
#undef S
    LAYOUT(struct, s_empty, {NULL, 0}),
#define S(f) FIELD(struct s_packed, f)
    LAYOUT(struct, s_packed, S(a), S(b), S(c), S(d)),
#undef S
#define S(f) FIELD(struct s_packed_behind, f)
    LAYOUT(struct, s_packed_behind, S(a), S(b), S(c), S(c.d)),
#undef S
#define S(f) FIELD(struct s_aligned, f)
    LAYOUT(struct, s_aligned, S(a), S(b)),
#undef S
    LAYOUT(struct, s_max_aligned, {NULL, 0}),
#define S(f) FIELD(struct s_member_aligned, f)
    LAYOUT(struct, s_member_aligned, S(a), S(b), S(c)),
#undef S
#define S(f) FIELD(struct s_alignas, f)
    LAYOUT(struct, s_alignas, S(a), S(b), S(c)),
#undef S
#define S(f) FIELD(struct s_typedef_aligned, f)
    LAYOUT(struct, s_typedef_aligned, S(a), S(b), S(c)),
#undef S
#define S(f) FIELD(struct s_assert, f)
    LAYOUT(struct, s_assert, S(a), S(b)),
#undef S
#define S(f) FIELD(struct s_constant, f)
    LAYOUT(struct, s_constant, S(a), S(b)),
#undef S
#define S(f) FIELD(struct s_128, f)
    LAYOUT(struct, s_128, S(a), S(b), S(c), S(d)),
#undef S
#define S(f) FIELD(struct s_fixed, f)
    LAYOUT(struct, s_fixed, S(a), S(b), S(c), S(d), S(e)),
#undef S
};

/* The member that path ("d.c") names, looked for inside anonymous members too. */
static bool find_member(const gs_type *t, const char *path, size_t *offset,
                        const gs_field **field) {
  size_t n = strcspn(path, ".");
  for (size_t i = 0; i < gs_type_length(t); i++) {
    const gs_field *f = gs_type_field(t, i);
    const char *name = gs_field_name(f);
    size_t inside = 0;
    bool found = name && strlen(name) == n && memcmp(name, path, n) == 0;
    *field = f;
    if (found && path[n]) found = find_member(gs_field_type(f), path + n + 1, &inside, field);
    if (!name && gs_type_kind(gs_field_type(f)) == GS_KIND_STRUCT)
      found = find_member(gs_field_type(f), path, &inside, field);
    if (found) {
      *offset = gs_field_offset(f) + inside;
      return true;
    }
  }
  return false;
}

static gs_ffi *declare_all(void) {
  gs_ffi *ffi = gs_ffi_new();
  for (size_t i = 0; i < COUNT(layouts); i++) {
    gs_ffi_error err;
    if (gs_ffi_cdef(ffi, layouts[i].text, &err) != GS_OK)
      fail_msg("%s\n  %s", layouts[i].text, err.text);
  }
  return ffi;
}

static void test_layouts(void **state) {
  (void)state;
  gs_ffi *ffi = declare_all();
  for (size_t i = 0; i < COUNT(layouts); i++) {
    const struct layout *l = &layouts[i];
    const gs_type *t = NULL;
    assert_int_equal(gs_ffi_type(ffi, l->name, &t, NULL), GS_OK);
    if (gs_type_size(t) != l->size || gs_type_align(t) != l->align)
      fail_msg("%s: size %zu, align %zu; the compiler has %zu, %zu", l->name, gs_type_size(t),
               gs_type_align(t), l->size, l->align);
    for (const struct offset *o = l->offsets; o->name; o++) {
      size_t offset = 0;
      const gs_field *f;
      if (!find_member(t, o->name, &offset, &f)) fail_msg("%s has no %s", l->name, o->name);
      if (offset != o->offset)
        fail_msg("%s.%s is at %zu; the compiler has %zu", l->name, o->name, offset, o->offset);
    }
  }
  gs_ffi_free(ffi);
}

/* ---- bit-fields: the compiler shows where they are by setting them ---- */

/* clang-format off */
STRUCT(b_plain, struct b_plain { unsigned a : 3; int b : 7; unsigned c : 20; unsigned d : 5; })
STRUCT(b_mixed, struct b_mixed { char x; int a : 4; char y; unsigned long b : 33; short z; unsigned c : 1; })
STRUCT(b_chars, struct b_chars { unsigned char a : 5; unsigned char b : 5; unsigned char c : 2; })
STRUCT(b_narrow, struct b_narrow { unsigned char a : 3; unsigned short b : 9; unsigned c : 17; unsigned long d : 40; })
STRUCT(b_zero, struct b_zero { char a : 2; int : 0; char b : 3; long : 0; char c : 1; })
STRUCT(b_unnamed, struct b_unnamed { char a; unsigned : 5; unsigned b : 3; unsigned long : 20; char c; })
STRUCT(b_bool, struct b_bool { _Bool a : 1, b : 1; int c : 30; _Bool d : 1; })
STRUCT(b_packed, struct b_packed { char x; unsigned a : 3; unsigned b : 30; unsigned c : 17; char y; } __attribute__((packed)))
STRUCT(b_union, union b_union { unsigned a : 9; unsigned long b : 50; char c; })
/* clang-format on */

/* The first bit that is set in memory, and how many are. */
static void bits_of(const void *memory, size_t size, size_t *first, size_t *count) {
  const unsigned char *p = memory;
  *first = *count = 0;
  for (size_t i = 0; i < size * 8; i++)
    if (p[i / 8] >> i % 8 & 1) {
      if (!*count) *first = i;
      ++*count;
    }
}

static gs_ffi *bits_ffi;

static void check_bits(const char *name, const char *member, size_t size, size_t align,
                       const void *memory) {
  const gs_type *t = NULL;
  const gs_field *f = NULL;
  size_t offset = 0, first, count;
  unsigned shift = 0;
  assert_int_equal(gs_ffi_type(bits_ffi, name, &t, NULL), GS_OK);
  assert_true(gs_type_flags(t) & GS_TYPE_BITFIELDS);
  assert_true(find_member(t, member, &offset, &f));
  unsigned width = gs_field_bits(f, &shift);
  bits_of(memory, size, &first, &count);
  if (gs_type_size(t) != size || gs_type_align(t) != align || offset * 8 + shift != first ||
      width != count)
    fail_msg("%s.%s: size %zu, align %zu, bit %zu, width %u; the compiler has %zu, %zu, %zu, %zu",
             name, member, gs_type_size(t), gs_type_align(t), offset * 8 + shift, width, size,
             align, first, count);
}

#define BITS(keyword, s, f)                                              \
  do {                                                                   \
    keyword s v;                                                         \
    memset(&v, 0, sizeof(v));                                            \
    v.f = -1;                                                            \
    check_bits(#keyword " " #s, #f, sizeof(v), _Alignof(keyword s), &v); \
  } while (0)

static void test_bit_fields(void **state) {
  (void)state;
  static const char *const texts[] = {b_plain_text,  b_mixed_text,  b_chars_text,
                                      b_narrow_text, b_zero_text,   b_unnamed_text,
                                      b_bool_text,   b_packed_text, b_union_text};
  bits_ffi = gs_ffi_new();
  for (size_t i = 0; i < COUNT(texts); i++) {
    gs_ffi_error err;
    if (gs_ffi_cdef(bits_ffi, texts[i], &err) != GS_OK) fail_msg("%s\n  %s", texts[i], err.text);
  }
  BITS(struct, b_plain, a);
  BITS(struct, b_plain, b);
  BITS(struct, b_plain, c);
  BITS(struct, b_plain, d);
  BITS(struct, b_mixed, a);
  BITS(struct, b_mixed, b);
  BITS(struct, b_mixed, c);
  BITS(struct, b_chars, a);
  BITS(struct, b_chars, b);
  BITS(struct, b_chars, c);
  BITS(struct, b_narrow, a);
  BITS(struct, b_narrow, b);
  BITS(struct, b_narrow, c);
  BITS(struct, b_narrow, d);
  BITS(struct, b_zero, a);
  BITS(struct, b_zero, b);
  BITS(struct, b_zero, c);
  BITS(struct, b_unnamed, b);
  BITS(struct, b_bool, a);
  BITS(struct, b_bool, b);
  BITS(struct, b_bool, c);
  BITS(struct, b_bool, d);
  BITS(struct, b_packed, a);
  BITS(struct, b_packed, b);
  BITS(struct, b_packed, c);
  BITS(union, b_union, a);
  BITS(union, b_union, b);
  gs_ffi_free(bits_ffi);
}

/* ---- structs from a list of types ---- */

static void test_from_types(void **state) {
  (void)state;
  struct like {
    int8_t a;
    int64_t b;
    float c;
    void *d;
    uint16_t e;
  };
  gs_ffi *ffi = gs_ffi_new();
  const gs_type *members[] = {gs_type_builtin("int8"), gs_type_builtin("int64"),
                              gs_type_builtin("float"), gs_type_builtin("pointer"),
                              gs_type_builtin("uint16")};
  const gs_type *t = NULL;
  gs_ffi_error err;
  assert_int_equal(gs_type_struct(ffi, members, 5, &t, &err), GS_OK);
  assert_int_equal(gs_type_kind(t), GS_KIND_STRUCT);
  assert_int_equal(gs_type_size(t), sizeof(struct like));
  assert_int_equal(gs_field_offset(gs_type_field(t, 4)), offsetof(struct like, e));
  assert_int_equal(gs_type_struct(ffi, members, 0, &t, &err), GS_EINVAL);
  assert_int_equal(gs_type_struct(ffi, NULL, 2, &t, &err), GS_EINVAL);
  members[1] = NULL;
  assert_int_equal(gs_type_struct(ffi, members, 5, &t, &err), GS_EINVAL);
  assert_non_null(strstr(err.text, "member 2"));
  members[1] = gs_type_builtin("void");
  assert_int_equal(gs_type_struct(ffi, members, 5, &t, &err), GS_ETYPE);
  assert_non_null(strstr(err.text, "member 2 has type 'void'"));
  gs_ffi_free(ffi);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layouts),
      cmocka_unit_test(test_bit_fields),
      cmocka_unit_test(test_from_types),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
