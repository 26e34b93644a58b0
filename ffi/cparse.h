/* cparse.h: what the parts of the declaration parser share.
 *
 * Recursive descent with one token of look-ahead.  Functions return false (or NULL) once p->err is
 * filled; nobody goes on after that.  Types go to the gs_ffi's arena, which the caller rolls back;
 * lists that are only needed while parsing go to p->scratch.
 */
#ifndef GS_FFI_CPARSE_H
#define GS_FFI_CPARSE_H

#include "clex.h"

#define GSF_MAX_NESTING 100 /* of parentheses, braces and parameter lists; bounds the recursion */

typedef struct gsf_parser {
  gs_ffi *ffi;
  gsf_arena scratch;
  gsf_lexer lexer;
  gsf_token tok, ahead; /* ahead is valid if has_ahead */
  bool has_ahead;
  unsigned nesting;
  gs_ffi_error *err;          /* never NULL */
  const gs_ffi_param *params; /* what stands for each '$' … */
  size_t nparams, used;       /* … and how many of them have been */
} gsf_parser;

/* What __attribute__((…)), [[…]] and asm("…") say. */
typedef struct gsf_attributes {
  bool packed;
  size_t align;       /* 0: nothing said */
  size_t mode;        /* an integer type's size in bytes; 0: nothing said */
  const char *symbol; /* NULL: nothing said */
} gsf_attributes;

static inline gsf_attributes gsf_joined(const gsf_attributes *a, const gsf_attributes *b) {
  return (gsf_attributes){.packed = a->packed || b->packed,
                          .align = a->align > b->align ? a->align : b->align,
                          .mode = a->mode ? a->mode : b->mode,
                          .symbol = a->symbol ? a->symbol : b->symbol};
}

/* What stands before the declarators. */
typedef struct gsf_specifiers {
  const gs_type *type;
  bool is_typedef;
  bool is_local; /* static, inline or constexpr: a function's body, or a value, may follow */
  bool is_constexpr;
  bool defines; /* a struct, union or enum is declared or defined here, so no name need follow */
  gsf_attributes attributes;
} gsf_specifiers;

typedef enum gsf_naming { GSF_NAMED, GSF_UNNAMED, GSF_EITHER } gsf_naming;

typedef struct gsf_declarator {
  const char *name; /* NULL: none */
  const gs_type *type;
  int line, column;          /* of the name, or of where it would stand */
  gsf_attributes attributes; /* those in [[…]] behind the name */
} gsf_declarator;

/* ---- tokens and errors (cdecl.c) ------------------------------------------------------------- */

void gsf_next(gsf_parser *p);
const gsf_token *gsf_ahead(gsf_parser *p);
bool gsf_accept(gsf_parser *p, int kind);
bool gsf_expect(gsf_parser *p, int kind, const char *what);
/* "found …, expected `what`" at the current token.  Always false. */
bool gsf_expected(gsf_parser *p, const char *what);
/* An error at a place.  Always false. */
bool gsf_fail(gsf_parser *p, int code, int line, int column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
bool gsf_oom(gsf_parser *p);
/* From behind an opening bracket to behind the one that closes it; `what` names that one. */
bool gsf_skip(gsf_parser *p, int open, int close, const char *what);
/* _Static_assert(…) from that word to behind the ')'. */
bool gsf_skip_assertion(gsf_parser *p);
/* Around everything that recurses: enter is false when it is too deep. */
bool gsf_enter(gsf_parser *p);
void gsf_leave(gsf_parser *p);

/* ---- the grammar ----------------------------------------------------------------------------- */

/* cexpr.c: a constant expression (conditional-expression). */
bool gsf_expression(gsf_parser *p, gsf_value *out);
/* cexpr.c: sizeof or _Alignof, from that word on. */
bool gsf_measure(gsf_parser *p, gsf_value *out);
/* cexpr.c: how tightly a binary operator binds; 0: it is none. */
int gsf_strength(int kind);
/* cexpr.c: one that must lie in least..most; `what` names it in the error. */
bool gsf_size_expression(gsf_parser *p, size_t most, const char *what, size_t *out);

/* cspec.c */
bool gsf_starts_type(gsf_parser *p, const gsf_token *t);
bool gsf_read_attributes(gsf_parser *p, gsf_attributes *out);
bool gsf_read_specifiers(gsf_parser *p, bool storage, gsf_specifiers *out);
unsigned gsf_read_qualifiers(gsf_parser *p);
/* Whether "[[" is here: an attribute as C23 has it, and no array. */
bool gsf_at_brackets(gsf_parser *p);

/* ctypeof.c: what typeof names, from that word on; NULL: an error. */
const gs_type *gsf_read_typeof(gsf_parser *p);
/* ctypeof.c: "(type)" or "(expression)", or, if `bare`, also an operand without parentheses. */
const gs_type *gsf_type_within(gsf_parser *p, bool bare);

/* cstruct.c: behind the words struct, union, enum. */
const gs_type *gsf_read_struct(gsf_parser *p, unsigned flags);
const gs_type *gsf_read_enum(gsf_parser *p);
/* cstruct.c: in front of all else, see there. */
bool gsf_claim_tags(gsf_parser *p, const char *source);

/* cdeclarator.c */
bool gsf_read_declarator(gsf_parser *p, const gs_type *base, gsf_naming naming, bool parameter,
                         gsf_declarator *out);
const gs_type *gsf_read_type_name(gsf_parser *p);

#endif
