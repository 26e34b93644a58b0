/* types.c: C types, how they are spelled, and when two are the same.
 *
 * A derived type keeps its spelling with a hole where a declared name would stand, because C writes
 * types around names: "int (*" hole ")(char)".  Deriving then is cutting and pasting:
 *
 *     pointer to T    T before the hole, "*",     T behind it    (in parentheses around arrays
 *     array of T      T before the hole, "[n]",   T behind it     and functions)
 *     function to T   T before the hole, "(...)", T behind it
 *
 * A typedef name and a const or volatile variant are further spellings of their canon.  Types made
 * of types are at most GSF_MAX_DEPTH deep, so that whoever walks over them may recurse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

#define BASIC(b, k, f, ctype, text, libffi) \
  [b] = {.kind = (k),                       \
         .flags = (f),                      \
         .size = sizeof(ctype),             \
         .align = _Alignof(ctype),          \
         .name = (text),                    \
         .hole = sizeof(text) - 1,          \
         .canon = &gsf_basics[b],           \
         .ffi = &(libffi)}

#define COMPLEX(b, component, ctype, text, libffi) \
  [b] = {.kind = GS_KIND_COMPLEX,                  \
         .size = 2 * sizeof(ctype),                \
         .align = _Alignof(ctype),                 \
         .name = (text),                           \
         .hole = sizeof(text) - 1,                 \
         .canon = &gsf_basics[b],                  \
         .target = &gsf_basics[component],         \
         .ffi = &(libffi)}

#define CHAR_IS_SIGNED ((char)-1 < 0)
#define CHAR_KIND (CHAR_IS_SIGNED ? GS_KIND_INT : GS_KIND_UINT)
#if defined(__CHAR_UNSIGNED__)
#define CHAR_FFI ffi_type_uchar
#else
#define CHAR_FFI ffi_type_schar
#endif

const gs_type gsf_basics[B_COUNT] = {
    [B_VOID] = {.kind = GS_KIND_VOID,
                .align = 1,
                .name = "void",
                .hole = 4,
                .canon = &gsf_basics[B_VOID],
                .ffi = &ffi_type_void},
    BASIC(B_BOOL, GS_KIND_BOOL, 0, _Bool, "_Bool", ffi_type_uint8),
    BASIC(B_CHAR, CHAR_KIND, GS_TYPE_CHAR, char, "char", CHAR_FFI),
    BASIC(B_SCHAR, GS_KIND_INT, 0, signed char, "signed char", ffi_type_schar),
    BASIC(B_UCHAR, GS_KIND_UINT, 0, unsigned char, "unsigned char", ffi_type_uchar),
    BASIC(B_SHORT, GS_KIND_INT, 0, short, "short", ffi_type_sshort),
    BASIC(B_USHORT, GS_KIND_UINT, 0, unsigned short, "unsigned short", ffi_type_ushort),
    BASIC(B_INT, GS_KIND_INT, 0, int, "int", ffi_type_sint),
    BASIC(B_UINT, GS_KIND_UINT, 0, unsigned, "unsigned int", ffi_type_uint),
    BASIC(B_LONG, GS_KIND_INT, 0, long, "long", ffi_type_slong),
    BASIC(B_ULONG, GS_KIND_UINT, 0, unsigned long, "unsigned long", ffi_type_ulong),
    BASIC(B_LLONG, GS_KIND_INT, 0, long long, "long long", ffi_type_sint64),
    BASIC(B_ULLONG, GS_KIND_UINT, 0, unsigned long long, "unsigned long long", ffi_type_uint64),
    BASIC(B_FLOAT, GS_KIND_FLOAT, 0, float, "float", ffi_type_float),
    BASIC(B_DOUBLE, GS_KIND_FLOAT, 0, double, "double", ffi_type_double),
    BASIC(B_LDOUBLE, GS_KIND_FLOAT, 0, long double, "long double", ffi_type_longdouble),
    COMPLEX(B_COMPLEX_FLOAT, B_FLOAT, float, "float _Complex", ffi_type_complex_float),
    COMPLEX(B_COMPLEX_DOUBLE, B_DOUBLE, double, "double _Complex", ffi_type_complex_double),
    COMPLEX(B_COMPLEX_LDOUBLE, B_LDOUBLE, long double, "long double _Complex",
            ffi_type_complex_longdouble),
};

static const gs_type void_pointer = {.kind = GS_KIND_POINTER,
                                     .size = sizeof(void *),
                                     .align = _Alignof(void *),
                                     .depth = 1,
                                     .name = "void *",
                                     .hole = 6,
                                     .canon = &void_pointer,
                                     .target = &gsf_basics[B_VOID],
                                     .ffi = &ffi_type_pointer};

const gs_type *gs_type_builtin(const char *name) {
  static const struct {
    const char *name;
    const gs_type *type;
  } table[] = {
      {"int8", &gsf_basics[B_SCHAR]},
      {"uint8", &gsf_basics[B_UCHAR]},
      {"int16", &gsf_basics[B_SHORT]},
      {"uint16", &gsf_basics[B_USHORT]},
      {"int32", &gsf_basics[B_INT]},
      {"uint32", &gsf_basics[B_UINT]},
      {"int64", &gsf_basics[B_LLONG]},
      {"uint64", &gsf_basics[B_ULLONG]},
      {"bool", &gsf_basics[B_BOOL]},
      {"float", &gsf_basics[B_FLOAT]},
      {"double", &gsf_basics[B_DOUBLE]},
      {"longdouble", &gsf_basics[B_LDOUBLE]},
      {"pointer", &void_pointer},
      {"void", &gsf_basics[B_VOID]},
      {"complexfloat", &gsf_basics[B_COMPLEX_FLOAT]},
      {"complexdouble", &gsf_basics[B_COMPLEX_DOUBLE]},
      {"complexlongdouble", &gsf_basics[B_COMPLEX_LDOUBLE]},
  };
  for (size_t i = 0; name && i < sizeof(table) / sizeof(table[0]); i++)
    if (strcmp(name, table[i].name) == 0) return table[i].type;
  return NULL;
}

/* ---- spelling -------------------------------------------------------------------------------- */

/* Sets t's name to base's with `before` and `behind` pasted at its hole; the new hole is between
 * them. */
static bool spell(gsf_arena *a, gs_type *t, const gs_type *base, const char *before,
                  const char *behind) {
  size_t n = strlen(base->name), nbefore = strlen(before), nbehind = strlen(behind);
  char *s = gsf_alloc(a, n + nbefore + nbehind + 1);
  if (!s) return false;
  memcpy(s, base->name, base->hole);
  memcpy(s + base->hole, before, nbefore);
  memcpy(s + base->hole + nbefore, behind, nbehind);
  memcpy(s + base->hole + nbefore + nbehind, base->name + base->hole, n - base->hole);
  t->name = s;
  t->hole = base->hole + nbefore;
  return true;
}

static bool is_identifier(const gs_type *t) { return strpbrk(t->name, "*([") == NULL; }

static gs_type *variant(gsf_arena *a, const gs_type *t, unsigned qualifiers) {
  gs_type *v = gsf_alloc(a, sizeof(*v));
  if (!v) return NULL;
  v->kind = t->kind;
  v->flags = (t->flags & GSF_QUALIFIERS) | qualifiers;
  v->depth = t->depth;
  v->canon = t->canon;
  v->scope = t->scope;
  v->align = t->canon == t ? 0 : t->align;
  return v;
}

const gs_type *gsf_qualified(gsf_arena *a, const gs_type *t, unsigned qualifiers) {
  qualifiers &= GSF_QUALIFIERS & ~t->flags;
  if (!qualifiers || t->kind == GS_KIND_FUNCTION) return t;
  if (t->kind == GS_KIND_ARRAY) {
    const gs_type *c = t->canon, *element = gsf_qualified(a, c->target, qualifiers);
    return element ? gsf_array(a, element, c->length, c->flags & GS_TYPE_INCOMPLETE) : NULL;
  }
  gs_type *v = variant(a, t, qualifiers);
  if (!v) return NULL;
  const char *word = qualifiers == GSF_QUALIFIERS  ? "const volatile "
                     : qualifiers == GS_TYPE_CONST ? "const "
                                                   : "volatile ";
  if (is_identifier(t)) {
    size_t n = strlen(word) + strlen(t->name);
    char *s = gsf_alloc(a, n + 1);
    if (!s) return NULL;
    memcpy(s, word, strlen(word));
    memcpy(s + strlen(word), t->name, strlen(t->name));
    v->name = s;
    v->hole = n;
    return v;
  }
  char last = t->hole > 0 ? t->name[t->hole - 1] : 0;
  char text[32];
  snprintf(text, sizeof(text), "%s%.*s", last == '*' ? "" : " ", (int)strlen(word) - 1, word);
  return spell(a, v, t, text, "") ? v : NULL;
}

const gs_type *gsf_alias(gs_ffi *ffi, const gs_type *t, const char *name, size_t align) {
  gs_type *v = variant(&ffi->arena, t, 0);
  if (!v) return NULL;
  v->scope = ffi;
  if (align > v->align) v->align = align;
  v->name = name;
  v->hole = strlen(name);
  return v;
}

/* ---- derived types --------------------------------------------------------------------------- */

/* How deep a type is below a pointer or function: structs end the walk there. */
static unsigned depth_behind(const gs_type *t) {
  return t->kind == GS_KIND_STRUCT ? 0 : t->canon->depth;
}

const gs_type *gsf_pointer(gsf_arena *a, const gs_type *target) {
  gs_type *t =
      gsf_too_deep(target) && target->kind != GS_KIND_STRUCT ? NULL : gsf_alloc(a, sizeof(*t));
  if (!t) return NULL;
  t->kind = GS_KIND_POINTER;
  t->size = sizeof(void *);
  t->align = _Alignof(void *);
  t->depth = depth_behind(target) + 1;
  t->canon = t;
  t->target = target;
  t->scope = target->scope;
  t->ffi = &ffi_type_pointer;
  bool around =
      (target->kind == GS_KIND_ARRAY || target->kind == GS_KIND_FUNCTION) && !is_identifier(target);
  char last = target->hole > 0 ? target->name[target->hole - 1] : 0;
  const char *star = around ? " (*" : " *";
  if (last == '*' || last == '(') star++;
  bool fits = spell(a, t, target, star, around ? ")" : "");
  return fits ? t : NULL;
}

const gs_type *gsf_array(gsf_arena *a, const gs_type *element, size_t length, bool incomplete) {
  gs_type *t = gsf_too_deep(element) ? NULL : gsf_alloc(a, sizeof(*t));
  if (!t) return NULL;
  t->kind = GS_KIND_ARRAY;
  t->flags = incomplete ? GS_TYPE_INCOMPLETE : 0;
  t->size = incomplete ? 0 : element->canon->size * length;
  t->align = gsf_align(element);
  t->depth = element->canon->depth + 1;
  t->canon = t;
  t->target = element;
  t->scope = element->scope;
  t->length = incomplete ? 0 : length;
  char text[32] = "[]";
  if (!incomplete) snprintf(text, sizeof(text), "[%zu]", length);
  return spell(a, t, element, "", text) ? t : NULL;
}

/* "(int, char *, ...)" for a function's parameters. */
static char *spell_params(gsf_arena *a, const gs_type **params, size_t n, bool variadic) {
  size_t size = sizeof("(void, ...)");
  for (size_t i = 0; i < n; i++) size += strlen(params[i]->name) + 2;
  char *s = gsf_alloc(a, size);
  if (!s) return NULL;
  char *end = s;
  *end++ = '(';
  for (size_t i = 0; i < n; i++) {
    if (i) end = stpcpy(end, ", ");
    end = stpcpy(end, params[i]->name);
  }
  if (variadic) end = stpcpy(end, ", ...");
  if (n == 0) end = stpcpy(end, "void");
  *end = ')';
  return s;
}

/* Of two whose names one type needs, one is the other's child, or the same. */
static gs_ffi *inner(gs_ffi *a, gs_ffi *b) { return !a || (b && b->level > a->level) ? b : a; }

const gs_type *gsf_function(gsf_arena *a, const gs_type *result, const gs_type **params, size_t n,
                            bool variadic) {
  unsigned depth = depth_behind(result);
  for (size_t i = 0; i < n; i++)
    if (depth_behind(params[i]) > depth) depth = depth_behind(params[i]);
  gs_type *t = depth >= GSF_MAX_DEPTH ? NULL : gsf_alloc(a, sizeof(*t));
  char *text = t ? spell_params(a, params, n, variadic) : NULL;
  if (!text) return NULL;
  t->kind = GS_KIND_FUNCTION;
  t->flags = variadic ? GS_TYPE_VARIADIC : 0;
  t->align = 1;
  t->depth = depth + 1;
  t->canon = t;
  t->target = result;
  t->scope = result->scope;
  for (size_t i = 0; i < n; i++) t->scope = inner(t->scope, params[i]->scope);
  t->params = params;
  t->length = n;
  return spell(a, t, result, "", text) ? t : NULL;
}

/* "struct point", "union <anonymous>" */
static bool spell_tagged(gsf_arena *a, gs_type *t, const char *word, const char *tag) {
  if (!tag) tag = "<anonymous>";
  size_t n = strlen(word) + 1 + strlen(tag);
  char *s = gsf_alloc(a, n + 1);
  if (!s) return false;
  snprintf(s, n + 1, "%s %s", word, tag);
  t->name = s;
  t->hole = n;
  return true;
}

gs_type *gsf_struct(gs_ffi *ffi, unsigned flags, const char *tag) {
  gs_type *t = gsf_alloc(&ffi->arena, sizeof(*t));
  if (!t) return NULL;
  t->kind = GS_KIND_STRUCT;
  t->flags = (flags & GS_TYPE_UNION) | GS_TYPE_INCOMPLETE;
  t->align = 1;
  t->depth = 1;
  t->canon = t;
  t->tag = tag;
  t->scope = ffi;
  return spell_tagged(&ffi->arena, t, flags & GS_TYPE_UNION ? "union" : "struct", tag) ? t : NULL;
}

gs_type *gsf_enum(gs_ffi *ffi, const char *tag) {
  gs_type *t = gsf_alloc(&ffi->arena, sizeof(*t));
  if (!t) return NULL;
  gsf_enum_complete(t, false, 0, 0);
  t->canon = t;
  t->tag = tag;
  t->scope = ffi;
  return spell_tagged(&ffi->arena, t, "enum", tag) ? t : NULL;
}

void gsf_enum_complete(gs_type *t, bool negative, int64_t least, uint64_t most) {
  bool wide = negative ? least < INT32_MIN || most > INT32_MAX : most > UINT32_MAX;
  const gs_type *basic = &gsf_basics[wide       ? negative ? B_LLONG : B_ULLONG
                                     : negative ? B_INT
                                                : B_UINT];
  gsf_enum_of(t, basic);
}

void gsf_enum_of(gs_type *t, const gs_type *basic) {
  t->kind = basic->kind;
  t->flags = GS_TYPE_ENUM;
  t->size = basic->size;
  t->align = basic->align;
  t->ffi = basic->ffi;
}

const gs_type *gsf_promoted(const gs_type *t) {
  const gs_type *c = t->canon;
  if (c->kind == GS_KIND_FLOAT && c->size < sizeof(double)) return &gsf_basics[B_DOUBLE];
  if ((c->kind == GS_KIND_BOOL || c->kind == GS_KIND_INT || c->kind == GS_KIND_UINT) &&
      c->size < sizeof(int))
    return &gsf_basics[B_INT];
  return t;
}

/* ---- when two types are the same ------------------------------------------------------------- */

int gs_type_same(const gs_type *a, const gs_type *b) {
  return !((a->flags ^ b->flags) & GSF_QUALIFIERS) && gsf_same_unqualified(a, b);
}

bool gsf_same_members(const gs_type *a, const gs_type *b) {
  if (a->length != b->length || a->flags != b->flags || a->size != b->size || a->align != b->align)
    return false;
  for (size_t i = 0; i < a->length; i++) {
    const gs_field *x = &a->fields[i], *y = &b->fields[i];
    if ((x->name == NULL) != (y->name == NULL) || (x->name && strcmp(x->name, y->name) != 0) ||
        x->offset != y->offset || x->bit_first != y->bit_first || x->bit_width != y->bit_width ||
        !gs_type_same(x->type, y->type))
      return false;
  }
  return true;
}

bool gsf_same_unqualified(const gs_type *a, const gs_type *b) {
  a = a->canon;
  b = b->canon;
  if (a == b) return true;
  if (a->kind != b->kind || a->flags != b->flags) return false;
  switch (a->kind) {
    case GS_KIND_POINTER: return gs_type_same(a->target, b->target);
    case GS_KIND_ARRAY: return a->length == b->length && gs_type_same(a->target, b->target);
    case GS_KIND_FUNCTION:
      if (a->length != b->length || !gs_type_same(a->target, b->target)) return false;
      for (size_t i = 0; i < a->length; i++)
        if (!gsf_same_unqualified(a->params[i], b->params[i])) return false;
      return true;
    case GS_KIND_STRUCT: return !a->tag && !b->tag && gsf_same_members(a, b);
    case GS_KIND_INT:
    case GS_KIND_UINT: return (a->flags & GS_TYPE_ENUM) && !a->tag && !b->tag && a->size == b->size;
    default: return false;
  }
}

int gs_type_accepts(const gs_type *to, const gs_type *from) {
  if (to->kind != GS_KIND_POINTER || from->kind != GS_KIND_POINTER) return 0;
  const gs_type *t = to->canon->target, *f = from->canon->target;
  if (f->flags & ~t->flags & GSF_QUALIFIERS) return 0;
  return t->kind == GS_KIND_VOID || f->kind == GS_KIND_VOID || gsf_same_unqualified(t, f);
}

/* ---- looking at types ------------------------------------------------------------------------ */

gs_kind gs_type_kind(const gs_type *type) { return type->kind; }

unsigned gs_type_flags(const gs_type *type) {
  return (type->flags & GSF_QUALIFIERS) | (type->canon->flags & ~(unsigned)GSF_QUALIFIERS);
}

size_t gs_type_size(const gs_type *type) { return type->canon->size; }
size_t gs_type_align(const gs_type *type) { return gsf_align(type); }
const char *gs_type_name(const gs_type *type) { return type->name; }
const gs_type *gs_type_canon(const gs_type *type) { return type->canon; }
const gs_ffi *gs_type_scope(const gs_type *type) { return type->scope; }
const gs_type *gs_type_target(const gs_type *type) { return type->canon->target; }
size_t gs_type_length(const gs_type *type) { return type->canon->length; }

const gs_type *gs_type_param(const gs_type *type, size_t i) {
  const gs_type *c = type->canon;
  return c->kind == GS_KIND_FUNCTION && i < c->length ? c->params[i] : NULL;
}

const gs_field *gs_type_field(const gs_type *type, size_t i) {
  const gs_type *c = type->canon;
  return c->kind == GS_KIND_STRUCT && i < c->length ? &c->fields[i] : NULL;
}

const char *gs_field_name(const gs_field *field) { return field->name; }
const gs_type *gs_field_type(const gs_field *field) { return field->type; }
size_t gs_field_offset(const gs_field *field) { return field->offset; }

unsigned gs_field_bits(const gs_field *field, unsigned *first) {
  if (first) *first = field->bit_first;
  return field->bit_width;
}
