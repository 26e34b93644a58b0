/* cdecl.c: gs_ffi_cdef, C declarations as they stand in a header.
 *
 * The entry points of the parser, its handling of tokens and errors, and the outermost level of
 * the grammar.  All of a text is taken or nothing: the first error rolls everything back.  Headers
 * are written for preprocessed text, so there are no macros; constants come from enums.
 *
 * The parser recurses, so it runs on the thread's own full-size stack and counts its levels.
 */
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <wchar.h>

#include "cparse.h"

/* ---- tokens ---------------------------------------------------------------------------------- */

/* What was given for a '$' instead of it. */
static void substitute(gsf_parser *p, gsf_token *t) {
  if (p->used == p->nparams) {
    t->kind = TK_ERROR;
    t->text = "more '$' than there are parameters for them";
    return;
  }
  const gs_ffi_param *given = &p->params[p->used++];
  if (given->type) {
    t->kind = TK_TYPE;
    t->type = given->type;
  } else if (given->name) {
    t->text = gsf_copy(&p->scratch, given->name, strlen(given->name));
    if (t->text) return;
    p->lexer.nomem = true;
    t->kind = TK_ERROR;
    t->text = "out of memory";
  } else {
    bool fits = given->number >= INT32_MIN && given->number <= INT32_MAX;
    t->kind = TK_NUMBER;
    t->value = (gsf_value){.bits = (uint64_t)given->number, .is_long = !fits};
  }
}

static gsf_token fetch(gsf_parser *p) {
  if (p->tok.kind == TK_END || p->tok.kind == TK_ERROR) return p->tok;
  gsf_token t = gsf_lex(&p->lexer);
  if (p->params && t.kind == TK_NAME && strcmp(t.text, "$") == 0) substitute(p, &t);
  return t;
}

void gsf_next(gsf_parser *p) {
  p->tok = p->has_ahead ? p->ahead : fetch(p);
  p->has_ahead = false;
}

const gsf_token *gsf_ahead(gsf_parser *p) {
  if (!p->has_ahead) p->ahead = fetch(p);
  p->has_ahead = true;
  return &p->ahead;
}

bool gsf_accept(gsf_parser *p, int kind) {
  if (p->tok.kind != kind) return false;
  gsf_next(p);
  return true;
}

bool gsf_expect(gsf_parser *p, int kind, const char *what) {
  return gsf_accept(p, kind) || gsf_expected(p, what);
}

/* ---- errors ---------------------------------------------------------------------------------- */

bool gsf_fail(gsf_parser *p, int code, int line, int column, const char *format, ...) {
  gs_ffi_error *e = p->err;
  if (e->code) return false;
  *e = (gs_ffi_error){.code = code, .line = line, .column = column};
  int n = snprintf(e->text, sizeof(e->text), "line %d, column %d: ", line, column);
  va_list ap;
  va_start(ap, format);
  vsnprintf(e->text + n, sizeof(e->text) - (size_t)n, format, ap);
  va_end(ap);
  return false;
}

bool gsf_oom(gsf_parser *p) {
  if (!p->err->code) gsf_nomem(p->err);
  return false;
}

bool gsf_expected(gsf_parser *p, const char *what) {
  const gsf_token *t = &p->tok;
  if (p->lexer.nomem) return gsf_oom(p);
  if (t->kind == TK_ERROR) return gsf_fail(p, GS_EDECL, t->line, t->column, "found %s", t->text);
  if (t->kind == TK_END)
    return gsf_fail(p, GS_EDECL, t->line, t->column,
                    "found the end of the declarations, expected %s", what);
  int shown = t->length > 60 ? 60 : (int)t->length;
  return gsf_fail(p, GS_EDECL, t->line, t->column, "found '%.*s'%s, expected %s", shown, t->source,
                  t->length > 60 ? "…" : "", what);
}

bool gsf_skip(gsf_parser *p, int open, int close, const char *what) {
  for (int depth = 1; depth > 0; gsf_next(p)) {
    if (p->tok.kind == open) depth++;
    if (p->tok.kind == close) depth--;
    if (p->tok.kind == TK_END || p->tok.kind == TK_ERROR) return gsf_expected(p, what);
  }
  return true;
}

bool gsf_skip_assertion(gsf_parser *p) {
  gsf_next(p);
  return gsf_expect(p, '(', "'('") && gsf_skip(p, '(', ')', "')'");
}

bool gsf_enter(gsf_parser *p) {
  if (p->nesting >= GSF_MAX_NESTING)
    return gsf_fail(p, GS_EDECL, p->tok.line, p->tok.column,
                    "found more than %d levels of nesting, expected fewer", GSF_MAX_NESTING);
  p->nesting++;
  return true;
}

void gsf_leave(gsf_parser *p) { p->nesting--; }

/* ---- declarations ---------------------------------------------------------------------------- */

/* Whether a second declaration says the same as the first.  One of them may add asm("…"). */
static bool agrees(const gs_decl *old, const gs_decl *d) {
  return old->what == d->what && gs_type_same(old->type, d->type) &&
         (strcmp(old->symbol, d->symbol) == 0 || strcmp(old->symbol, old->name) == 0 ||
          strcmp(d->symbol, d->name) == 0);
}

static const char *word_for(gs_decl_kind what) {
  switch (what) {
    case GS_DECL_TYPEDEF: return "the type";
    case GS_DECL_FUNCTION: return "a function";
    case GS_DECL_VARIABLE: return "a variable";
    default: return "a constant";
  }
}

/* A typedef's type goes by the typedef's name, which says nothing here. */
static const char *spelling(const gs_decl *d) {
  return d->what == GS_DECL_TYPEDEF ? d->type->canon->name : d->type->name;
}

static bool remember(gsf_parser *p, const gs_decl *d, const gsf_declarator *at) {
  gs_decl *old = gsf_own_decl(p->ffi, d->name);
  if (!old || old->predefined) return gsf_add_decl(p->ffi, d) || gsf_oom(p);
  if (!agrees(old, d))
    return gsf_fail(p, GS_EDECL, at->line, at->column,
                    "found '%.50s' as %s '%.50s', expected what it is declared as before: "
                    "%s '%.50s'",
                    d->name, word_for(d->what), spelling(d), word_for(old->what), spelling(old));
  bool renames = strcmp(d->symbol, d->name) != 0 && strcmp(d->symbol, old->symbol) != 0;
  return !renames || gsf_rename(p->ffi, old, d->symbol) || gsf_oom(p);
}

/* The integer type of t's sign that attribute mode asks for; NULL: an error. */
static const gs_type *of_mode(gsf_parser *p, const gs_type *t, size_t size,
                              const gsf_declarator *at) {
  bool sign = t->kind == GS_KIND_INT;
  if (sign || t->kind == GS_KIND_UINT) {
    switch (size) {
      case 1: return &gsf_basics[sign ? B_SCHAR : B_UCHAR];
      case 2: return &gsf_basics[sign ? B_SHORT : B_USHORT];
      case 4: return &gsf_basics[sign ? B_INT : B_UINT];
      default: return &gsf_basics[sign ? B_LONG : B_ULONG];
    }
  }
  gsf_fail(p, GS_ETYPE, at->line, at->column,
           "attribute mode with '%.80s', expected an integer type", t->name);
  return NULL;
}

static bool declare(gsf_parser *p, const gsf_specifiers *specs, const gsf_attributes *attributes,
                    const gsf_declarator *at) {
  const char *name = gsf_copy(&p->ffi->arena, at->name, strlen(at->name));
  if (!name) return gsf_oom(p);
  gs_decl d = {.name = name,
               .type = at->type,
               .what = GS_DECL_VARIABLE,
               .symbol = attributes->symbol ? attributes->symbol : name};
  if (attributes->mode && !(d.type = of_mode(p, d.type, attributes->mode, at))) return false;
  if (specs->is_typedef) {
    d.what = GS_DECL_TYPEDEF;
    d.symbol = name;
    d.type = gsf_alias(p->ffi, d.type, name, attributes->align);
    if (!d.type) return gsf_oom(p);
  } else if (at->type->kind == GS_KIND_FUNCTION) {
    d.what = GS_DECL_FUNCTION;
  } else if (at->type->kind == GS_KIND_VOID) {
    return gsf_fail(p, GS_ETYPE, at->line, at->column,
                    "variable '%.60s' has type void, expected another type", name);
  }
  return remember(p, &d, at);
}

/* "static const int NAME = 5": a constant, as an enumerator is. */
static bool declare_value(gsf_parser *p, const gsf_declarator *at) {
  const gs_type *c = at->type->canon;
  gsf_value v;
  gsf_next(p);
  if (!gsf_expression(p, &v)) return false;
  bool sign = c->kind == GS_KIND_INT;
  unsigned bits = c->kind == GS_KIND_BOOL ? 1 : (unsigned)c->size * 8;
  int64_t s = (int64_t)v.bits;
  bool negative = !v.is_unsigned && s < 0;
  uint64_t most = UINT64_MAX >> (64 - bits) >> (sign ? 1 : 0);
  if (negative ? !sign || s < -(int64_t)most - 1 : v.bits > most)
    return gsf_fail(p, GS_EDECL, at->line, at->column, "the value of '%.60s' does not fit '%.60s'",
                    at->name, at->type->name);
  const char *name = gsf_copy(&p->ffi->arena, at->name, strlen(at->name));
  gs_decl d = {.name = name,
               .what = GS_DECL_CONSTANT,
               .type = at->type,
               .symbol = name,
               .value = s,
               .is_unsigned = !sign && bits >= 32,
               .is_long = bits > 32};
  const gs_decl *old = name ? gsf_own_decl(p->ffi, name) : NULL;
  if (!name) return gsf_oom(p);
  if (!old || old->predefined) return gsf_add_decl(p->ffi, &d) || gsf_oom(p);
  if (old->what == GS_DECL_CONSTANT && old->value == s && gs_type_same(old->type, d.type))
    return true;
  return gsf_fail(p, GS_EDECL, at->line, at->column, "'%.60s' is declared differently before",
                  name);
}

static bool is_constant(const gsf_specifiers *specs, const gs_type *t) {
  const gs_type *c = t->canon;
  bool integer = c->kind == GS_KIND_INT || c->kind == GS_KIND_UINT || c->kind == GS_KIND_BOOL;
  return specs->is_local && t->flags & GS_TYPE_CONST && integer;
}

static bool read_declarations(gsf_parser *p, int end);

/* extern "C", with or without braces. */
static bool read_linkage(gsf_parser *p) {
  gsf_next(p);
  if (strcmp(p->tok.text, "C") != 0) return gsf_expected(p, "\"C\"");
  gsf_next(p);
  if (!gsf_accept(p, '{')) return true;
  if (!gsf_enter(p)) return false;
  bool ok = read_declarations(p, '}') && gsf_expect(p, '}', "'}'");
  gsf_leave(p);
  return ok;
}

static bool read_declaration(gsf_parser *p) {
  gsf_specifiers specs;
  if (p->tok.kind == TK_EXTERN && gsf_ahead(p)->kind == TK_STRING) return read_linkage(p);
  if (p->tok.kind == TK_STATIC_ASSERT) return gsf_skip_assertion(p) && gsf_expect(p, ';', "';'");
  if (!gsf_read_specifiers(p, true, &specs)) return false;
  if (p->tok.kind == ';' && specs.defines && !specs.is_typedef) {
    gsf_next(p);
    return true;
  }
  do {
    gsf_declarator d;
    if (!gsf_read_declarator(p, specs.type, GSF_NAMED, false, &d)) return false;
    gsf_attributes attributes = gsf_joined(&specs.attributes, &d.attributes);
    if (!gsf_read_attributes(p, &attributes)) return false;
    /* A function defined in the header itself: nothing that a library exports. */
    if (specs.is_local && d.type->kind == GS_KIND_FUNCTION && gsf_accept(p, '{'))
      return gsf_skip(p, '{', '}', "'}'");
    if (p->tok.kind == '=' && is_constant(&specs, d.type)) {
      if (!declare_value(p, &d)) return false;
    } else if (!declare(p, &specs, &attributes, &d)) {
      return false;
    }
  } while (gsf_accept(p, ','));
  return gsf_expect(p, ';',
                    p->tok.kind == '{'   ? "';' (bodies only of static and inline functions)"
                    : p->tok.kind == '=' ? "';' (initialisers are only read of static "
                                           "const integers)"
                                         : "',' or ';'");
}

static bool read_declarations(gsf_parser *p, int end) {
  while (p->tok.kind != end && p->tok.kind != TK_END) {
    if (gsf_accept(p, ';')) continue;
    if (!read_declaration(p)) return false;
  }
  return true;
}

/* ---- entry points ---------------------------------------------------------------------------- */

typedef struct job {
  gs_ffi *ffi;
  const char *source;
  const gs_ffi_param *params;
  size_t nparams;
  gs_ffi_error *err;
  const gs_type *type; /* of gs_ffi_type */
  bool known;          /* its tags must be declared already */
} job;

static void start(gsf_parser *p, const job *j) {
  *p = (gsf_parser){.ffi = j->ffi, .err = j->err, .tok = {.kind = ';'}};
  *j->err = (gs_ffi_error){.code = GS_OK};
  p->params = j->params;
  p->nparams = j->nparams;
  gsf_lex_start(&p->lexer, j->source, &p->scratch);
  gsf_next(p);
}

/* Behind all that was read: whether each parameter has been used. */
static bool all_used(gsf_parser *p) {
  if (p->used == p->nparams) return true;
  return gsf_fail(p, GS_EDECL, p->tok.line, p->tok.column,
                  "found %zu '$', expected one for each of the %zu parameters", p->used,
                  p->nparams);
}

/* Ends a parse: keeps what was read, or nothing of it. */
static void finish(gsf_parser *p, const gsf_transaction *tx, bool ok) {
  if (ok)
    gsf_commit(p->ffi);
  else
    gsf_rollback(p->ffi, tx);
  gsf_arena_free(&p->scratch);
}

static void run_cdef(void *arg) {
  job *j = arg;
  gsf_parser p;
  gsf_transaction tx = gsf_begin(j->ffi);
  start(&p, j);
  bool ok = gsf_claim_tags(&p, j->source) && read_declarations(&p, TK_END);
  finish(&p, &tx, ok && all_used(&p));
}

static void run_type(void *arg) {
  job *j = arg;
  gsf_parser p;
  gsf_transaction tx = gsf_begin(j->ffi);
  start(&p, j);
  j->type = gsf_read_type_name(&p);
  bool ok = j->type && (p.tok.kind == TK_END || gsf_expected(&p, "the end of the type"));
  if (ok && j->known && j->ffi->tags.n > tx.ntags)
    ok = gsf_fail(&p, GS_ETYPE, 1, 1, "'%.80s' is not declared",
                  j->ffi->tags.at[tx.ntags]->type->name);
  finish(&p, &tx, ok && all_used(&p));
}

int gs_ffi_cdef_with(gs_ffi *ffi, const char *decls, const gs_ffi_param *params, size_t nparams,
                     gs_ffi_error *err) {
  gs_ffi_error unwanted;
  if (!ffi || !decls)
    return gsf_error(err, GS_EINVAL, "%s is NULL, expected %s", ffi ? "decls" : "ffi",
                     ffi ? "C declarations" : "a gs_ffi");
  if (!params && nparams) return gsf_error(err, GS_EINVAL, "params is NULL");
  job j = {.ffi = ffi,
           .source = decls,
           .params = params,
           .nparams = nparams,
           .err = err ? err : &unwanted};
  gsf_on_big_stack(run_cdef, &j);
  return j.err->code;
}

int gs_ffi_cdef(gs_ffi *ffi, const char *decls, gs_ffi_error *err) {
  return gs_ffi_cdef_with(ffi, decls, NULL, 0, err);
}

static int read_type(gs_ffi *ffi, const char *ctype, const gs_ffi_param *params, size_t nparams,
                     bool known, const gs_type **out, gs_ffi_error *err) {
  gs_ffi_error unwanted;
  if (!ffi || !ctype || !out)
    return gsf_error(err, GS_EINVAL, "%s is NULL", !ffi ? "ffi" : !ctype ? "ctype" : "out");
  if (!params && nparams) return gsf_error(err, GS_EINVAL, "params is NULL");
  job j = {.ffi = ffi,
           .source = ctype,
           .params = params,
           .nparams = nparams,
           .known = known,
           .err = err ? err : &unwanted};
  gsf_on_big_stack(run_type, &j);
  if (j.err->code == GS_OK) *out = j.type;
  return j.err->code;
}

int gs_ffi_type_with(gs_ffi *ffi, const char *ctype, const gs_ffi_param *params, size_t nparams,
                     const gs_type **out, gs_ffi_error *err) {
  return read_type(ffi, ctype, params, nparams, false, out, err);
}

int gs_ffi_type(gs_ffi *ffi, const char *ctype, const gs_type **out, gs_ffi_error *err) {
  return read_type(ffi, ctype, NULL, 0, false, out, err);
}

int gs_ffi_type_known(gs_ffi *ffi, const char *ctype, const gs_type **out, gs_ffi_error *err) {
  return read_type(ffi, ctype, NULL, 0, true, out, err);
}

/* ---- what every text may use ----------------------------------------------------------------- */

#define BASIC_OF(T)                      \
  _Generic((T)0, char                    \
           : B_CHAR, signed char         \
           : B_SCHAR, unsigned char      \
           : B_UCHAR, short              \
           : B_SHORT, unsigned short     \
           : B_USHORT, int               \
           : B_INT, unsigned             \
           : B_UINT, long                \
           : B_LONG, unsigned long       \
           : B_ULONG, long long          \
           : B_LLONG, unsigned long long \
           : B_ULLONG)
#define TYPEDEF(T) \
  { #T, BASIC_OF(T) }

static const struct predefined {
  const char *name;
  gsf_basic basic;
} predefined[] = {
    {"bool", B_BOOL},
    TYPEDEF(int8_t),
    TYPEDEF(int16_t),
    TYPEDEF(int32_t),
    TYPEDEF(int64_t),
    TYPEDEF(uint8_t),
    TYPEDEF(uint16_t),
    TYPEDEF(uint32_t),
    TYPEDEF(uint64_t),
    TYPEDEF(int_least8_t),
    TYPEDEF(int_least16_t),
    TYPEDEF(int_least32_t),
    TYPEDEF(int_least64_t),
    TYPEDEF(uint_least8_t),
    TYPEDEF(uint_least16_t),
    TYPEDEF(uint_least32_t),
    TYPEDEF(uint_least64_t),
    TYPEDEF(int_fast8_t),
    TYPEDEF(int_fast16_t),
    TYPEDEF(int_fast32_t),
    TYPEDEF(int_fast64_t),
    TYPEDEF(uint_fast8_t),
    TYPEDEF(uint_fast16_t),
    TYPEDEF(uint_fast32_t),
    TYPEDEF(uint_fast64_t),
    TYPEDEF(intmax_t),
    TYPEDEF(uintmax_t),
    TYPEDEF(intptr_t),
    TYPEDEF(uintptr_t),
    TYPEDEF(ptrdiff_t),
    TYPEDEF(size_t),
    TYPEDEF(ssize_t),
    TYPEDEF(wchar_t),
    TYPEDEF(wint_t),
    {"char16_t", BASIC_OF(uint_least16_t)},
    {"char32_t", BASIC_OF(uint_least32_t)},
    TYPEDEF(off_t),
    {"off64_t", BASIC_OF(int64_t)},
    TYPEDEF(time_t),
    TYPEDEF(clock_t),
    TYPEDEF(clockid_t),
    TYPEDEF(suseconds_t),
    TYPEDEF(useconds_t),
    TYPEDEF(pid_t),
    TYPEDEF(uid_t),
    TYPEDEF(gid_t),
    TYPEDEF(id_t),
    TYPEDEF(mode_t),
    TYPEDEF(dev_t),
    TYPEDEF(ino_t),
    TYPEDEF(nlink_t),
    TYPEDEF(blksize_t),
    TYPEDEF(blkcnt_t),
    {"socklen_t", B_UINT},
    {"uint", B_UINT},
    {"ushort", B_USHORT},
    {"ulong", B_ULONG},
    {"u_char", B_UCHAR},
    {"u_short", B_USHORT},
    {"u_int", B_UINT},
    {"u_long", B_ULONG},
};

static const char predefined_text[] =
    "typedef struct _IO_FILE FILE;"
    "typedef float _Float32; typedef double _Float64, _Float32x; typedef long double _Float64x;"
    "typedef struct _Float128 _Float128;" /* libffi does not know it: not to be called with */
    "typedef struct _Float16 _Float16; typedef struct __bf16 __bf16;"
    "typedef struct __float128 __float128; typedef struct _Decimal32 _Decimal32;"
    "typedef struct _Decimal64 _Decimal64; typedef struct _Decimal128 _Decimal128;"
    "typedef void *nullptr_t;"
    /* Nor these; the headers of arm64 have arrays of them.  The alignment keeps them from being
     * passed by value. */
    "typedef struct { unsigned long long low __attribute__((aligned(16))); unsigned long long high;"
    " } __int128_t, __uint128_t;"
#if defined(__x86_64__)
    "typedef struct __va_list_tag { unsigned gp_offset, fp_offset;"
    " void *overflow_arg_area, *reg_save_area; } __builtin_va_list[1];"
#else
    "typedef struct __va_list { void *stack, *gr_top, *vr_top; int gr_offs, vr_offs; }"
    " __builtin_va_list;"
#endif
    "typedef __builtin_va_list va_list;";

int gsf_predefine(gs_ffi *ffi) {
  for (size_t i = 0; i < sizeof(predefined) / sizeof(predefined[0]); i++) {
    const char *name = predefined[i].name;
    const gs_type *t = gsf_alias(ffi, &gsf_basics[predefined[i].basic], name, 0);
    gs_decl d = {.name = name, .symbol = name, .what = GS_DECL_TYPEDEF, .type = t};
    if (!t || !gsf_add_decl(ffi, &d)) return GS_ENOMEM;
  }
  /* A name that no text can hide, for a type that none can define. */
  gs_type *opaque = gsf_struct(ffi, 0, "_Complex _Float128");
  gs_decl d = {.what = GS_DECL_TYPEDEF, .type = opaque};
  d.name = d.symbol = "_Complex _Float128";
  if (!opaque || !gsf_add_decl(ffi, &d)) return GS_ENOMEM;
  return gs_ffi_cdef(ffi, predefined_text, NULL);
}
