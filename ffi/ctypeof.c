/* ctypeof.c: typeof, and the types of expressions.
 *
 * Headers that were preprocessed as C23 have "typedef __typeof__(nullptr) nullptr_t", and others
 * say "__typeof__(other_function) function" or "__typeof__(((struct s *)0)->member)".  Nothing is
 * computed here: an expression is read for its type alone, by C's rules (arrays and functions
 * become pointers, small integers become int, two operands get a common type), with the operators
 * and operands that a declaration can hold.  Values are cexpr.c's part, which asks here for the
 * sizeof of an expression.
 *
 * What it never does: guess.  An expression that it does not know (a call of a builtin, _Generic, a
 * statement, a number of a type that nothing can be called with) is an error.  nullptr_t is void *
 * here: it is passed in the same way, and nobody can tell its only value from another.
 */
#include <string.h>

#include "cparse.h"

#define EXPECTED "a type, a constant or a declared name, whose type can be told"

/* An expression: its type, and whether it is a place, which keeps its qualifiers and can be behind
 * an '&'. */
typedef struct typed {
  const gs_type *type;
  bool place;
} typed;

static bool assign(gsf_parser *p, typed *out);
static bool prefixed(gsf_parser *p, typed *out);

/* ---- types of types -------------------------------------------------------------------------- */

static bool is_integer(const gs_type *t) {
  gs_kind k = t->canon->kind;
  return k == GS_KIND_INT || k == GS_KIND_UINT || k == GS_KIND_BOOL;
}

static bool is_floating(const gs_type *t) {
  return t->canon->kind == GS_KIND_FLOAT || t->canon->kind == GS_KIND_COMPLEX;
}

static bool is_number(const gs_type *t) { return is_integer(t) || is_floating(t); }

static bool is_pointer(const gs_type *t) { return t->canon->kind == GS_KIND_POINTER; }

/* NULL, with the error. */
static const gs_type *failed(gsf_parser *p, const gs_type *of) {
  if (of->canon->depth + 1 >= GSF_MAX_DEPTH)
    gsf_fail(p, GS_ETYPE, p->tok.line, p->tok.column, "a type of more than %d levels",
             GSF_MAX_DEPTH);
  else
    gsf_oom(p);
  return NULL;
}

static const gs_type *pointer_to(gsf_parser *p, const gs_type *t) {
  const gs_type *made = gsf_pointer(&p->ffi->arena, t);
  return made ? made : failed(p, t);
}

/* Without const and volatile, as the value of a place is, and what typeof_unqual asks for. */
static const gs_type *unqualified(gsf_parser *p, const gs_type *t) {
  if (t->kind == GS_KIND_ARRAY) {
    const gs_type *c = t->canon, *element = unqualified(p, c->target);
    if (!element || element == c->target) return element ? t : NULL;
    const gs_type *made =
        gsf_array(&p->ffi->arena, element, c->length, c->flags & GS_TYPE_INCOMPLETE);
    return made ? made : failed(p, element);
  }
  return t->flags & GSF_QUALIFIERS ? t->canon : t;
}

/* The value of an operand: what operators and callers see of it. */
static const gs_type *value_of(gsf_parser *p, const gs_type *t) {
  if (t->kind == GS_KIND_ARRAY) return pointer_to(p, t->canon->target);
  if (t->kind == GS_KIND_FUNCTION) return pointer_to(p, t);
  return unqualified(p, t);
}

/* C's integer promotions; an enum becomes its integer type. */
static gsf_basic promoted(const gs_type *t) {
  const gs_type *c = t->canon;
  bool small = c->size < sizeof(int), sign = c->kind == GS_KIND_INT;
  for (int b = B_INT; !small && b <= B_ULLONG; b++)
    if (c == &gsf_basics[b]) return (gsf_basic)b;
  if (small) return B_INT;
  if (c->size > sizeof(int)) return sign ? B_LONG : B_ULONG;
  return sign ? B_INT : B_UINT;
}

/* The common type of two numbers. */
static const gs_type *common(const gs_type *a, const gs_type *b) {
  if (is_floating(a) || is_floating(b)) {
    bool is_complex = a->canon->kind == GS_KIND_COMPLEX || b->canon->kind == GS_KIND_COMPLEX;
    const gs_type *most = &gsf_basics[B_FLOAT];
    for (int i = 0; i < 2; i++) {
      const gs_type *t = i ? b->canon : a->canon;
      if (t->kind == GS_KIND_COMPLEX) t = t->target->canon;
      if (is_floating(t) && t > most) most = t; /* they stand in this order */
    }
    return is_complex ? most + (B_COMPLEX_FLOAT - B_FLOAT) : most;
  }
  gsf_basic x = promoted(a), y = promoted(b), most = x > y ? x : y, least = x > y ? y : x;
  if (gsf_basics[least].kind == GS_KIND_UINT && gsf_basics[most].kind == GS_KIND_INT &&
      gsf_basics[least].size == gsf_basics[most].size)
    most++; /* its unsigned sister, which stands behind it */
  return &gsf_basics[most];
}

/* ---- constants and names --------------------------------------------------------------------- */

/* Where digits end, with `more` among them. */
static const char *behind(const char *s, const char *end, const char *digits) {
  while (s < end && strchr(digits, *s)) s++;
  return s;
}

/* By its suffix; NULL: there is one that makes it a type that is not known here. */
static const gs_type *floating(const gsf_token *t) {
  const char *s = t->source, *end = s + t->length;
  bool hex = t->length > 2 && s[0] == '0' && (s[1] | 0x20) == 'x';
  s = behind(hex ? s + 2 : s, end, hex ? "0123456789abcdefABCDEF." : "0123456789.");
  if (s < end && (*s | 0x20) == (hex ? 'p' : 'e')) {
    s++;
    if (s < end && (*s == '+' || *s == '-')) s++;
    s = behind(s, end, "0123456789");
  }
  if (s == end) return &gsf_basics[B_DOUBLE];
  if (s + 1 == end && (*s | 0x20) == 'f') return &gsf_basics[B_FLOAT];
  if (s + 1 == end && (*s | 0x20) == 'l') return &gsf_basics[B_LDOUBLE];
  return NULL;
}

/* Strings that follow each other are one. */
static bool string(gsf_parser *p, typed *out) {
  size_t n = 1;
  for (; p->tok.kind == TK_STRING; gsf_next(p)) n += (size_t)p->tok.value.bits;
  out->type = gsf_array(&p->ffi->arena, &gsf_basics[B_CHAR], n, false);
  out->place = true;
  return out->type || gsf_oom(p);
}

/* An enumerator is no place, and an int if it fits, else of its enum's integer type; a static const
 * integer is the variable that it is in C. */
static void constant_name(const gs_decl *d, typed *out) {
  const gs_type *c = d->type->canon;
  bool enumerator = c->flags & GS_TYPE_ENUM && !(d->type->flags & GS_TYPE_CONST);
  out->place = !enumerator;
  out->type = d->type;
  if (enumerator && c->size >= sizeof(int))
    out->type = &gsf_basics[d->is_long || d->is_unsigned ? promoted(d->type) : B_INT];
}

static bool name(gsf_parser *p, typed *out) {
  const char *text = p->tok.text;
  const gs_decl *d = gsf_find_decl(p->ffi, text);
  if (d && d->what == GS_DECL_CONSTANT) {
    constant_name(d, out);
  } else if (d && d->what != GS_DECL_TYPEDEF) {
    *out = (typed){d->type, true};
  } else if (!d && strcmp(text, "nullptr") == 0) {
    out->type = gs_type_builtin("pointer");
  } else if (!d && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
    out->type = &gsf_basics[B_BOOL];
  } else {
    return gsf_expected(p, EXPECTED);
  }
  gsf_next(p);
  return true;
}

/* sizeof and _Alignof: size_t, of whatever. */
static bool measure(gsf_parser *p, typed *out) {
  gsf_value ignored;
  out->type = &gsf_basics[B_ULONG];
  return gsf_measure(p, &ignored);
}

/* ---- operands -------------------------------------------------------------------------------- */

/* A cast, or a struct's value in braces; from the type on. */
static bool cast(gsf_parser *p, typed *out) {
  typed ignored = {NULL, false};
  gsf_token at = p->tok;
  const gs_type *t = gsf_read_type_name(p);
  if (!t || !gsf_expect(p, ')', "')'")) return false;
  if (gsf_accept(p, '{')) {
    *out = (typed){t, true};
    return gsf_skip(p, '{', '}', "'}'");
  }
  if (!is_number(t) && !is_pointer(t) && t->kind != GS_KIND_VOID)
    return gsf_fail(p, GS_ETYPE, at.line, at.column,
                    "a cast to '%.80s', expected a number or a "
                    "pointer",
                    t->name);
  if (!prefixed(p, &ignored)) return false;
  out->type = unqualified(p, t);
  return out->type != NULL;
}

static bool parenthesis(gsf_parser *p, typed *out) {
  gsf_next(p);
  if (gsf_starts_type(p, &p->tok)) return cast(p, out);
  return assign(p, out) && gsf_expect(p, ')', "')'");
}

static bool operand(gsf_parser *p, typed *out) {
  switch (p->tok.kind) {
    case TK_NUMBER: out->type = p->tok.type; break;
    case TK_FLOATING: out->type = floating(&p->tok); break;
    case TK_STRING: return string(p, out);
    case TK_NAME: return name(p, out);
    case TK_SIZEOF:
    case TK_ALIGNOF: return measure(p, out);
    case '(': return parenthesis(p, out);
    default: break;
  }
  if (!out->type) return gsf_expected(p, EXPECTED);
  gsf_next(p);
  return true;
}

/* ---- behind an operand ----------------------------------------------------------------------- */

static bool wrong(gsf_parser *p, const gsf_token *at, const gs_type *found, const char *expected) {
  return gsf_fail(p, GS_ETYPE, at->line, at->column, "an operand of type '%.80s', expected %s",
                  found->name, expected);
}

/* What a pointer points to; false, with the error: it is none. */
static bool target(gsf_parser *p, const gsf_token *at, typed *x) {
  const gs_type *t = value_of(p, x->type);
  if (!t) return false;
  if (!is_pointer(t)) return wrong(p, at, x->type, "a pointer");
  *x = (typed){t->canon->target, true};
  return true;
}

/* Also one inside members without a name. */
static const gs_type *member_of(const gs_type *t, const char *name) {
  const gs_type *c = t->canon, *found = NULL;
  for (size_t i = 0; c->kind == GS_KIND_STRUCT && i < c->length && !found; i++) {
    const gs_field *f = &c->fields[i];
    if (!f->name)
      found = member_of(f->type, name);
    else if (strcmp(f->name, name) == 0)
      found = f->type;
  }
  return found;
}

static bool member(gsf_parser *p, typed *x) {
  gsf_token at = p->tok;
  gsf_next(p);
  if (at.kind == TK_ARROW && !target(p, &at, x)) return false;
  if (p->tok.kind != TK_NAME) return gsf_expected(p, "a member's name");
  const gs_type *t = member_of(x->type, p->tok.text);
  if (!t) return wrong(p, &p->tok, x->type, "a struct with that member");
  x->type = gsf_qualified(&p->ffi->arena, t, x->type->flags & GSF_QUALIFIERS);
  gsf_next(p);
  return x->type || gsf_oom(p);
}

static bool element(gsf_parser *p, typed *x) {
  gsf_token at = p->tok;
  typed index = {NULL, false};
  gsf_next(p);
  if (!assign(p, &index) || !gsf_expect(p, ']', "']'")) return false;
  if (!is_integer(index.type)) return wrong(p, &at, index.type, "an integer in the brackets");
  return target(p, &at, x);
}

static bool call(gsf_parser *p, typed *x) {
  gsf_token at = p->tok;
  const gs_type *t = value_of(p, x->type);
  if (!t) return false;
  if (!is_pointer(t) || t->canon->target->kind != GS_KIND_FUNCTION)
    return wrong(p, &at, x->type, "a function");
  gsf_next(p);
  if (!gsf_skip(p, '(', ')', "')'")) return false;
  *x = (typed){unqualified(p, t->canon->target->canon->target), false};
  return x->type != NULL;
}

static bool suffixed(gsf_parser *p, typed *out) {
  if (!operand(p, out)) return false;
  for (;;) {
    bool ok = true;
    switch (p->tok.kind) {
      case '.':
      case TK_ARROW: ok = member(p, out); break;
      case '[': ok = element(p, out); break;
      case '(': ok = call(p, out); break;
      default: return true;
    }
    if (!ok) return false;
  }
}

/* ---- operators ------------------------------------------------------------------------------- */

static bool address(gsf_parser *p, const gsf_token *at, typed *x) {
  if (!x->place) return wrong(p, at, x->type, "something that has an address behind '&'");
  *x = (typed){pointer_to(p, x->type), false};
  return x->type != NULL;
}

static bool sign(gsf_parser *p, const gsf_token *at, typed *x) {
  bool fits = at->kind == '~' ? is_integer(x->type) : is_number(x->type);
  if (!fits) return wrong(p, at, x->type, at->kind == '~' ? "an integer" : "a number");
  *x = (typed){is_integer(x->type) ? &gsf_basics[promoted(x->type)] : x->type->canon, false};
  return true;
}

static bool prefix(gsf_parser *p, typed *out) {
  gsf_token at = p->tok;
  switch (at.kind) {
    case '*':
    case '&':
    case '!':
    case '+':
    case '-':
    case '~':
      gsf_next(p);
      if (!prefixed(p, out)) return false;
      break;
    case TK_EXTENSION: gsf_next(p); return prefixed(p, out);
    default: return suffixed(p, out);
  }
  if (at.kind == '*') return target(p, &at, out);
  if (at.kind == '&') return address(p, &at, out);
  if (at.kind != '!') return sign(p, &at, out);
  *out = (typed){&gsf_basics[B_INT], false};
  return true;
}

static bool prefixed(gsf_parser *p, typed *out) {
  *out = (typed){NULL, false};
  if (!gsf_enter(p)) return false;
  bool ok = prefix(p, out);
  gsf_leave(p);
  return ok;
}

static bool is_comparison(int op) {
  return op == '<' || op == '>' || op == TK_LE || op == TK_GE || op == TK_EQ || op == TK_NE ||
         op == TK_AND || op == TK_OR;
}

/* Sums of pointers; NULL: they are none. */
static const gs_type *of_pointers(int op, const gs_type *a, const gs_type *b) {
  if ((op == '+' || op == '-') && is_pointer(a) && is_integer(b)) return a;
  if (op == '+' && is_integer(a) && is_pointer(b)) return b;
  if (op == '-' && is_pointer(a) && is_pointer(b)) return &gsf_basics[B_LONG];
  return NULL;
}

static bool apply(gsf_parser *p, const gsf_token *op, typed *a, const typed *b) {
  const gs_type *x = value_of(p, a->type), *y = x ? value_of(p, b->type) : NULL;
  if (!y) return false;
  bool whole = strchr("%&|^", op->kind > 0 && op->kind < 128 ? op->kind : ' ') != NULL ||
               op->kind == TK_SHL || op->kind == TK_SHR;
  *a = (typed){&gsf_basics[B_INT], false};
  if (is_comparison(op->kind)) return true;
  a->type = of_pointers(op->kind, x, y);
  if (a->type) return true;
  const gs_type *bad = whole ? is_integer(x) ? y : x : is_number(x) ? y : x;
  if (whole ? !is_integer(bad) : !is_number(bad))
    return wrong(p, op, bad, whole ? "an integer" : "a number");
  bool shift = op->kind == TK_SHL || op->kind == TK_SHR;
  a->type = shift ? &gsf_basics[promoted(x)] : common(x, y);
  return true;
}

static bool binary(gsf_parser *p, int least, typed *out) {
  if (!prefixed(p, out)) return false;
  while (gsf_strength(p->tok.kind) >= least) {
    gsf_token op = p->tok;
    typed right;
    gsf_next(p);
    if (!binary(p, gsf_strength(op.kind) + 1, &right) || !apply(p, &op, out, &right)) return false;
  }
  return true;
}

static bool choice(gsf_parser *p, const gsf_token *op, typed *out) {
  typed yes, no;
  if (!assign(p, &yes) || !gsf_expect(p, ':', "':'") || !assign(p, &no)) return false;
  const gs_type *x = value_of(p, yes.type), *y = x ? value_of(p, no.type) : NULL;
  if (!y) return false;
  bool numbers = is_number(x) && is_number(y);
  if (!numbers && !gs_type_same(x, y)) return wrong(p, op, y, "both to be of one type");
  *out = (typed){numbers ? common(x, y) : x, false};
  return true;
}

static bool conditional(gsf_parser *p, typed *out) {
  if (!binary(p, 1, out)) return false;
  gsf_token op = p->tok;
  return !gsf_accept(p, '?') || choice(p, &op, out);
}

static bool assign(gsf_parser *p, typed *out) {
  if (!gsf_enter(p)) return false;
  bool ok = conditional(p, out);
  gsf_leave(p);
  return ok;
}

/* ---- for the others -------------------------------------------------------------------------- */

/* "(type)" or "(expression)", or, if `bare`, an operand that stands for itself. */
const gs_type *gsf_type_within(gsf_parser *p, bool bare) {
  typed x;
  if (bare && p->tok.kind == '(' && !gsf_starts_type(p, gsf_ahead(p)))
    return prefixed(p, &x) ? x.type : NULL;
  if (bare && p->tok.kind != '(') return prefixed(p, &x) ? x.type : NULL;
  if (!gsf_expect(p, '(', "'(' and a type name or an expression")) return NULL;
  if (gsf_starts_type(p, &p->tok))
    x.type = gsf_read_type_name(p);
  else if (!assign(p, &x))
    return NULL;
  return x.type && gsf_expect(p, ')', "')'") ? x.type : NULL;
}

const gs_type *gsf_read_typeof(gsf_parser *p) {
  bool unqual = p->tok.kind == TK_TYPEOF_UNQUAL;
  gsf_next(p);
  const gs_type *t = gsf_type_within(p, false);
  return t && unqual ? unqualified(p, t) : t;
}
