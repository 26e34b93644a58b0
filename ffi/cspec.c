/* cspec.c: declaration specifiers, the words before the declarators.
 *
 * C takes the words for a type in any order ("long unsigned int long"), mixed with storage classes,
 * qualifiers and attributes.  Words are counted and the count is looked up in a table.  A name is
 * a type only while no other type has been seen: "typedef int T; void f(int T)" names a parameter.
 */
#include <string.h>

#include "cparse.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* Attributes that change a layout or a call in ways this parser does not follow.  transparent_union
 * is none: a union of pointers is passed as a pointer is. */
static bool changes_the_abi(const char *name) {
  static const char *const names[] = {
      "vector_size",          "ms_abi",   "stdcall", "fastcall", "regparm", "vectorcall",
      "scalar_storage_order", "ms_struct"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

/* The name without the underscores of "__packed__". */
static void bare_name(const gsf_token *t, char *out, size_t size) {
  const char *from = t->source;
  size_t n = t->length;
  if (n > 4 && strncmp(from, "__", 2) == 0 && strncmp(from + n - 2, "__", 2) == 0) {
    from += 2;
    n -= 4;
  }
  if (n >= size) n = size - 1;
  memcpy(out, from, n);
  out[n] = 0;
}

/* mode(DI) and the like: the size of an integer type. */
static bool read_mode(gsf_parser *p, gsf_attributes *out) {
  static const struct {
    const char *name;
    size_t size;
  } modes[] = {{"QI", 1},
               {"byte", 1},
               {"HI", 2},
               {"SI", 4},
               {"DI", 8},
               {"word", sizeof(long)},
               {"pointer", sizeof(void *)}};
  char name[16];
  bare_name(&p->tok, name, sizeof(name));
  for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
    if (strcmp(name, modes[i].name) == 0) {
      out->mode = modes[i].size;
      gsf_next(p);
      return true;
    }
  return gsf_expected(p, "QI, HI, SI, DI, word or pointer");
}

static bool read_align(gsf_parser *p, gsf_attributes *out) {
  gsf_token at = p->tok;
  size_t n;
  if (!gsf_size_expression(p, 1u << 15, "an alignment", &n)) return false;
  if (n == 0 || (n & (n - 1)) != 0)
    return gsf_fail(p, GS_EDECL, at.line, at.column,
                    "an alignment is %zu, expected a power of 2 up to 32768", n);
  if (n > out->align) out->align = n;
  return true;
}

static bool read_attribute(gsf_parser *p, gsf_attributes *out) {
  gsf_token at = p->tok;
  char name[40];
  bare_name(&at, name, sizeof(name));
  gsf_next(p);
  if (changes_the_abi(name))
    return gsf_fail(p, GS_ETYPE, at.line, at.column, "attribute '%s' is not supported", name);
  if (strcmp(name, "packed") == 0) out->packed = true;
  bool aligned = strcmp(name, "aligned") == 0;
  if (!gsf_accept(p, '(')) {
    if (aligned) out->align = _Alignof(max_align_t);
    return true;
  }
  if (aligned) return read_align(p, out) && gsf_expect(p, ')', "')'");
  if (strcmp(name, "mode") == 0) return read_mode(p, out) && gsf_expect(p, ')', "')'");
  return gsf_skip(p, '(', ')', "')'");
}

static bool read_asm(gsf_parser *p, gsf_attributes *out) {
  gsf_next(p);
  if (!gsf_expect(p, '(', "'('")) return false;
  char symbol[512];
  size_t n = 0;
  if (p->tok.kind != TK_STRING) return gsf_expected(p, "a symbol's name in quotes");
  for (; p->tok.kind == TK_STRING; gsf_next(p)) {
    size_t more = strlen(p->tok.text);
    if (n + more >= sizeof(symbol)) return gsf_expected(p, "a symbol's name below 512 bytes");
    memcpy(symbol + n, p->tok.text, more);
    n += more;
  }
  out->symbol = gsf_copy(&p->ffi->arena, symbol, n);
  if (!out->symbol) return gsf_oom(p);
  return gsf_expect(p, ')', "')'");
}

bool gsf_at_brackets(gsf_parser *p) { return p->tok.kind == '[' && gsf_ahead(p)->kind == '['; }

/* One attribute of "[[deprecated("why"), gnu::packed]]".  What a vendor's does is known only where
 * it is one of gcc's. */
static bool read_bracketed(gsf_parser *p, gsf_attributes *out) {
  char vendor[16];
  bare_name(&p->tok, vendor, sizeof(vendor));
  if (gsf_ahead(p)->kind != ':') {
    gsf_next(p);
    return !gsf_accept(p, '(') || gsf_skip(p, '(', ')', "')'");
  }
  gsf_next(p);
  if (!gsf_expect(p, ':', "'::'") || !gsf_expect(p, ':', "'::'")) return false;
  if (p->tok.kind == ']' || p->tok.kind == ',') return gsf_expected(p, "an attribute's name");
  if (strcmp(vendor, "gnu") == 0 || strcmp(vendor, "clang") == 0) return read_attribute(p, out);
  gsf_next(p);
  return !gsf_accept(p, '(') || gsf_skip(p, '(', ')', "')'");
}

/* From "[[" to behind "]]". */
static bool read_brackets(gsf_parser *p, gsf_attributes *out) {
  gsf_next(p);
  gsf_next(p);
  while (p->tok.kind != ']') {
    if (p->tok.kind == TK_END || p->tok.kind == TK_ERROR) return gsf_expected(p, "']]'");
    if (!gsf_accept(p, ',') && !read_bracketed(p, out)) return false;
  }
  gsf_next(p);
  return gsf_expect(p, ']', "']]'");
}

bool gsf_read_attributes(gsf_parser *p, gsf_attributes *out) {
  for (;;) {
    if (p->tok.kind == TK_ASM) {
      if (!read_asm(p, out)) return false;
    } else if (p->tok.kind == TK_ATTRIBUTE) {
      gsf_next(p);
      if (!gsf_expect(p, '(', "'(('") || !gsf_expect(p, '(', "'(('")) return false;
      while (p->tok.kind != ')') {
        if (p->tok.kind == TK_END || p->tok.kind == TK_ERROR) return gsf_expected(p, "'))'");
        if (!gsf_accept(p, ',') && !read_attribute(p, out)) return false;
      }
      gsf_next(p);
      if (!gsf_expect(p, ')', "'))'")) return false;
    } else if (gsf_at_brackets(p)) {
      if (!read_brackets(p, out)) return false;
    } else {
      return true;
    }
  }
}

/* ---- the words for types --------------------------------------------------------------------- */

/* Words are counted in digits of one number, so that each combination has a value of its own. */
enum {
  W_VOID = 1,
  W_BOOL = 1 << 1,
  W_CHAR = 1 << 2,
  W_SHORT = 1 << 3,
  W_INT = 1 << 4,
  W_LONG = 1 << 5, /* counts to 2 */
  W_FLOAT = 1 << 7,
  W_DOUBLE = 1 << 8,
  W_SIGNED = 1 << 9,
  W_UNSIGNED = 1 << 10,
  W_INT128 = 1 << 11,
  W_COMPLEX = 1 << 12,
};

static int word_of(int kind) {
  switch (kind) {
    case TK_VOID: return W_VOID;
    case TK_BOOL: return W_BOOL;
    case TK_CHAR: return W_CHAR;
    case TK_SHORT: return W_SHORT;
    case TK_INT: return W_INT;
    case TK_LONG: return W_LONG;
    case TK_FLOAT: return W_FLOAT;
    case TK_DOUBLE: return W_DOUBLE;
    case TK_SIGNED: return W_SIGNED;
    case TK_UNSIGNED: return W_UNSIGNED;
    case TK_INT128: return W_INT128;
    case TK_COMPLEX: return W_COMPLEX;
    default: return 0;
  }
}

/* The type that the words make, or NULL if C knows no such combination. */
static const gs_type *basic_of(const gs_ffi *ffi, int words) {
  bool is_unsigned = words & W_UNSIGNED;
  int sign = words & (W_SIGNED | W_UNSIGNED);
  if (sign == (W_SIGNED | W_UNSIGNED)) return NULL;
  int rest = words & ~sign;
  switch (rest) {
    case W_VOID: return sign ? NULL : &gsf_basics[B_VOID];
    case W_BOOL: return sign ? NULL : &gsf_basics[B_BOOL];
    case W_FLOAT: return sign ? NULL : &gsf_basics[B_FLOAT];
    case W_DOUBLE: return sign ? NULL : &gsf_basics[B_DOUBLE];
    case W_LONG | W_DOUBLE: return sign ? NULL : &gsf_basics[B_LDOUBLE];
    case W_COMPLEX: /* alone, as compilers have it: of double */
    case W_COMPLEX | W_DOUBLE: return sign ? NULL : &gsf_basics[B_COMPLEX_DOUBLE];
    case W_COMPLEX | W_FLOAT: return sign ? NULL : &gsf_basics[B_COMPLEX_FLOAT];
    case W_COMPLEX | W_LONG: /* on the way to the next */
    case W_COMPLEX | W_LONG | W_DOUBLE: return sign ? NULL : &gsf_basics[B_COMPLEX_LDOUBLE];
    case W_CHAR: return &gsf_basics[is_unsigned ? B_UCHAR : sign ? B_SCHAR : B_CHAR];
    case W_SHORT:
    case W_SHORT | W_INT: return &gsf_basics[is_unsigned ? B_USHORT : B_SHORT];
    case 0:
    case W_INT: return &gsf_basics[is_unsigned ? B_UINT : B_INT];
    case W_LONG:
    case W_LONG | W_INT: return &gsf_basics[is_unsigned ? B_ULONG : B_LONG];
    case 2 * W_LONG:
    case 2 * W_LONG | W_INT: return &gsf_basics[is_unsigned ? B_ULLONG : B_LLONG];
    case W_INT128: /* predefined, see cdecl.c */
      return gsf_find_decl(ffi, is_unsigned ? "__uint128_t" : "__int128_t")->type;
    default: return NULL;
  }
}

static const gs_type *typedef_of(gsf_parser *p, const gsf_token *t) {
  if (t->kind == TK_TYPE) return t->type;
  const gs_decl *d = t->kind == TK_NAME ? gsf_find_decl(p->ffi, t->text) : NULL;
  return d && d->what == GS_DECL_TYPEDEF ? d->type : NULL;
}

/* "complex" is the word that <complex.h> makes of it where C could not mean a name by it: in front
 * of the other words, or behind them if a name, a star or the end follows. */
static bool is_complex_word(gsf_parser *p, int words) {
  if (p->tok.kind != TK_NAME || strcmp(p->tok.text, "complex") != 0 || typedef_of(p, &p->tok))
    return false;
  if (!words) return true;
  int ahead = gsf_ahead(p)->kind;
  return words & (W_FLOAT | W_DOUBLE) && !(words & W_COMPLEX) &&
         (ahead == TK_NAME || ahead == '*' || ahead == ')' || ahead == TK_END);
}

static unsigned qualifier_of(int kind) {
  return kind == TK_CONST ? GS_TYPE_CONST : kind == TK_VOLATILE ? GS_TYPE_VOLATILE : 0;
}

static bool is_qualifier(int kind) {
  return kind == TK_CONST || kind == TK_VOLATILE || kind == TK_RESTRICT;
}

unsigned gsf_read_qualifiers(gsf_parser *p) {
  unsigned qualifiers = 0;
  for (; is_qualifier(p->tok.kind); gsf_next(p)) qualifiers |= qualifier_of(p->tok.kind);
  return qualifiers;
}

bool gsf_starts_type(gsf_parser *p, const gsf_token *t) {
  switch (t->kind) {
    case TK_STRUCT:
    case TK_UNION:
    case TK_ENUM:
    case TK_ATOMIC:
    case TK_EXTENSION:
    case TK_TYPEOF:
    case TK_TYPEOF_UNQUAL:
    case TK_STORAGE: return true;
    default:
      return word_of(t->kind) || is_qualifier(t->kind) || typedef_of(p, t) ||
             (t->kind == TK_NAME && strcmp(t->text, "complex") == 0);
  }
}

/* Storage classes and words that do not concern types.  Reads one, or leaves the token alone. */
static bool read_storage(gsf_parser *p, bool allowed, gsf_specifiers *out, bool *read) {
  *read = true;
  switch (p->tok.kind) {
    case TK_TYPEDEF:
    case TK_EXTERN:
    case TK_STATIC:
    case TK_CONSTEXPR:
    case TK_FUNCTION_SPECIFIER:
      if (!allowed) return gsf_expected(p, "a type name");
      out->is_typedef |= p->tok.kind == TK_TYPEDEF;
      out->is_local |= p->tok.kind != TK_TYPEDEF && p->tok.kind != TK_EXTERN;
      out->is_constexpr |= p->tok.kind == TK_CONSTEXPR;
      break;
    case TK_STORAGE:
    case TK_EXTENSION: break;
    default: *read = false; return true;
  }
  gsf_next(p);
  return true;
}

static bool read_alignas(gsf_parser *p, gsf_attributes *out) {
  gsf_next(p);
  if (!gsf_expect(p, '(', "'('")) return false;
  if (!gsf_starts_type(p, &p->tok)) return read_align(p, out) && gsf_expect(p, ')', "')'");
  const gs_type *t = gsf_read_type_name(p);
  if (!t) return false;
  if (gsf_align(t) > out->align) out->align = gsf_align(t);
  return gsf_expect(p, ')', "')'");
}

/* struct, union or enum, from that word on. */
static bool read_tagged(gsf_parser *p, gsf_specifiers *out) {
  int kind = p->tok.kind;
  if (!gsf_enter(p)) return false;
  gsf_next(p);
  out->type =
      kind == TK_ENUM ? gsf_read_enum(p) : gsf_read_struct(p, kind == TK_UNION ? GS_TYPE_UNION : 0);
  out->defines = true;
  gsf_leave(p);
  return out->type != NULL;
}

/* A type that nothing here can lay out or call with. */
static bool is_unknown_word(gsf_parser *p) {
  return p->tok.kind == TK_NAME && strcmp(p->tok.text, "_BitInt") == 0;
}

/* "_Complex _Float32" and its like, which are no words but typedefs here; the type is opaque where
 * the component is. */
static const gs_type *complex_of(gsf_parser *p, int words) {
  static const struct {
    const char *component;
    gsf_basic basic;
  } known[] = {{"_Float32", B_COMPLEX_FLOAT},
               {"_Float32x", B_COMPLEX_DOUBLE},
               {"_Float64", B_COMPLEX_DOUBLE},
               {"_Float64x", B_COMPLEX_LDOUBLE}};
  if (words != W_COMPLEX || p->tok.kind != TK_NAME) return NULL;
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
    if (strcmp(p->tok.text, known[i].component) == 0) return &gsf_basics[known[i].basic];
  bool opaque = strcmp(p->tok.text, "_Float128") == 0 || strcmp(p->tok.text, "_Float16") == 0;
  return opaque ? gsf_find_decl(p->ffi, "_Complex _Float128")->type : NULL;
}

/* "_Atomic", or "_Atomic(type)".  What a processor does at once is laid out as without the word. */
static bool read_atomic(gsf_parser *p, gsf_specifiers *out) {
  gsf_next(p);
  if (p->tok.kind != '(') return true;
  if (out->type || !gsf_enter(p)) return gsf_expected(p, "a name");
  gsf_next(p);
  out->type = gsf_read_type_name(p);
  gsf_leave(p);
  return out->type && gsf_expect(p, ')', "')'");
}

static bool check_atomic(gsf_parser *p, const gsf_token *at, const gs_type *t) {
  bool whole = t->kind != GS_KIND_ARRAY && gsf_complete(t) && t->canon->size <= 8;
  if (whole && gsf_align(t) == t->canon->size) return true;
  return gsf_fail(p, GS_ETYPE, at->line, at->column,
                  "_Atomic with '%.80s', expected a type of 1, 2, 4 or 8 bytes that is aligned to "
                  "its size",
                  t->name);
}

bool gsf_read_specifiers(gsf_parser *p, bool storage, gsf_specifiers *out) {
  unsigned qualifiers = 0;
  int words = 0;
  gsf_token atomic = {.kind = TK_END};
  const gs_type *type;
  *out = (gsf_specifiers){.type = NULL};
  for (;;) {
    bool read;
    if (!read_storage(p, storage, out, &read)) return false;
    if (read) continue;
    int word = word_of(p->tok.kind);
    if (!word && !out->type && is_complex_word(p, words)) word = W_COMPLEX;
    if (word) {
      if (out->type) return gsf_expected(p, "a name");
      bool again = words & word && (word != W_LONG || words & 2 * W_LONG);
      words += word;
      if (again || !basic_of(p->ffi, words))
        return gsf_expected(p, "a combination of type words that C has");
      gsf_next(p);
    } else if (p->tok.kind == TK_ATOMIC) {
      atomic = p->tok;
      if (!read_atomic(p, out)) return false;
    } else if ((type = complex_of(p, words))) {
      out->type = type;
      words = 0;
      gsf_next(p);
    } else if (is_qualifier(p->tok.kind)) {
      qualifiers |= gsf_read_qualifiers(p);
    } else if (p->tok.kind == TK_ATTRIBUTE || gsf_at_brackets(p)) {
      if (!gsf_read_attributes(p, &out->attributes)) return false;
    } else if (p->tok.kind == TK_ALIGNAS) {
      if (!read_alignas(p, &out->attributes)) return false;
    } else if (words || out->type) {
      break;
    } else if (p->tok.kind == TK_STRUCT || p->tok.kind == TK_UNION || p->tok.kind == TK_ENUM) {
      if (!read_tagged(p, out)) return false;
    } else if (p->tok.kind == TK_TYPEOF || p->tok.kind == TK_TYPEOF_UNQUAL) {
      if (!gsf_enter(p)) return false;
      out->type = gsf_read_typeof(p);
      gsf_leave(p);
      if (!out->type) return false;
    } else if (is_unknown_word(p)) {
      return gsf_fail(p, GS_ETYPE, p->tok.line, p->tok.column,
                      "'%s' is not supported, expected another type", p->tok.text);
    } else {
      out->type = typedef_of(p, &p->tok);
      if (!out->type) return gsf_expected(p, "a type name");
      gsf_next(p);
    }
  }
  if (words == (W_COMPLEX | W_LONG)) return gsf_expected(p, "'double'");
  if (words) out->type = basic_of(p->ffi, words);
  if (atomic.kind == TK_ATOMIC && !check_atomic(p, &atomic, out->type)) return false;
  if (out->is_constexpr) qualifiers |= GS_TYPE_CONST;
  out->type = gsf_qualified(&p->ffi->arena, out->type, qualifiers);
  return out->type || gsf_oom(p);
}
