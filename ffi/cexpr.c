/* cexpr.c: constant expressions.
 *
 * Array sizes, enumerators, bit-field widths and alignments.  Values have one of C's types int,
 * unsigned, long, unsigned long (here 32 and 64 bits), and C's conversions between them, so that
 * ~0u is 0xffffffff and not all of 64 bits.  What C leaves undefined or no header would mean
 * (a division by zero, a shift beyond the width) is an error; signed results wrap.
 */
#include <string.h>

#include "cparse.h"

static gsf_value as_int(int64_t v) { return (gsf_value){.bits = (uint64_t)v}; }

static gsf_value wrapped(uint64_t bits, gsf_value type) {
  gsf_value v = type;
  if (v.is_long)
    v.bits = bits;
  else
    v.bits = v.is_unsigned ? (uint32_t)bits : (uint64_t)(int64_t)(int32_t)bits;
  return v;
}

/* C's usual arithmetic conversions: both get the common type. */
static void convert_both(gsf_value *a, gsf_value *b) {
  gsf_value type = {.is_long = a->is_long || b->is_long};
  type.is_unsigned = (a->is_unsigned && a->is_long == type.is_long) ||
                     (b->is_unsigned && b->is_long == type.is_long);
  *a = wrapped(a->bits, type);
  *b = wrapped(b->bits, type);
}

static bool fail_at(gsf_parser *p, const gsf_token *t, const char *what) {
  return gsf_fail(p, GS_EDECL, t->line, t->column, "%s", what);
}

/* ---- operands -------------------------------------------------------------------------------- */

static bool unary(gsf_parser *p, gsf_value *out);

static bool name_operand(gsf_parser *p, gsf_value *out) {
  const gs_decl *d = gsf_find_decl(p->ffi, p->tok.text);
  bool is_true = strcmp(p->tok.text, "true") == 0;
  if (!d && (is_true || strcmp(p->tok.text, "false") == 0)) {
    *out = as_int(is_true);
    gsf_next(p);
    return true;
  }
  if (!d || d->what != GS_DECL_CONSTANT) return gsf_expected(p, "a constant");
  *out = (gsf_value){(uint64_t)d->value, d->is_unsigned, d->is_long};
  gsf_next(p);
  return true;
}

bool gsf_measure(gsf_parser *p, gsf_value *out) {
  bool size = p->tok.kind == TK_SIZEOF;
  gsf_next(p);
  gsf_token at = p->tok.kind == '(' ? *gsf_ahead(p) : p->tok;
  const gs_type *t = gsf_type_within(p, true);
  if (!t) return false;
  if (!gsf_complete(t))
    return gsf_fail(p, GS_ETYPE, at.line, at.column, "'%.80s' has no size", t->name);
  size_t n = size ? t->canon->size : gsf_align(t);
  *out = (gsf_value){.bits = n, .is_unsigned = true, .is_long = sizeof(size_t) > 4};
  return true;
}

static bool cast(gsf_parser *p, gsf_value *out) {
  gsf_token at = p->tok;
  const gs_type *t = gsf_read_type_name(p);
  if (!t || !gsf_expect(p, ')', "')'") || !unary(p, out)) return false;
  const gs_type *c = t->canon;
  if (c->kind == GS_KIND_BOOL) {
    *out = as_int(out->bits != 0);
    return true;
  }
  if (c->kind != GS_KIND_INT && c->kind != GS_KIND_UINT)
    return gsf_fail(p, GS_ETYPE, at.line, at.column, "a cast to '%.80s', expected an integer type",
                    t->name);
  unsigned unused = 64 - (unsigned)c->size * 8;
  uint64_t bits = out->bits << unused;
  bits = c->kind == GS_KIND_UINT ? bits >> unused : (uint64_t)((int64_t)bits >> unused);
  *out = (gsf_value){
      .bits = bits, .is_unsigned = c->kind == GS_KIND_UINT && c->size >= 4, .is_long = c->size > 4};
  return true;
}

static bool parenthesis(gsf_parser *p, gsf_value *out) {
  gsf_next(p);
  if (gsf_starts_type(p, &p->tok)) return cast(p, out);
  return gsf_expression(p, out) && gsf_expect(p, ')', "')'");
}

static bool sign(gsf_parser *p, gsf_value *out) {
  int op = p->tok.kind;
  gsf_next(p);
  if (!unary(p, out)) return false;
  if (op == '-') *out = wrapped(0 - out->bits, *out);
  if (op == '~') *out = wrapped(~out->bits, *out);
  if (op == '!') *out = as_int(out->bits == 0);
  return true;
}

static bool operand(gsf_parser *p, gsf_value *out) {
  switch (p->tok.kind) {
    case TK_NUMBER:
      *out = p->tok.value;
      gsf_next(p);
      return true;
    case TK_NAME: return name_operand(p, out);
    case TK_SIZEOF:
    case TK_ALIGNOF: return gsf_measure(p, out);
    case '(': return parenthesis(p, out);
    case '+':
    case '-':
    case '~':
    case '!': return sign(p, out);
    default: return gsf_expected(p, "a constant");
  }
}

static bool unary(gsf_parser *p, gsf_value *out) {
  if (!gsf_enter(p)) return false;
  bool ok = operand(p, out);
  gsf_leave(p);
  return ok;
}

/* ---- operators ------------------------------------------------------------------------------- */

int gsf_strength(int kind) {
  switch (kind) {
    case '*':
    case '/':
    case '%': return 10;
    case '+':
    case '-': return 9;
    case TK_SHL:
    case TK_SHR: return 8;
    case '<':
    case '>':
    case TK_LE:
    case TK_GE: return 7;
    case TK_EQ:
    case TK_NE: return 6;
    case '&': return 5;
    case '^': return 4;
    case '|': return 3;
    case TK_AND: return 2;
    case TK_OR: return 1;
    default: return 0;
  }
}

static bool divide(gsf_parser *p, const gsf_token *op, gsf_value a, gsf_value b, gsf_value *out) {
  if (b.bits == 0) return fail_at(p, op, "a division by zero in a constant");
  bool quotient = op->kind == '/';
  uint64_t bits;
  if (a.is_unsigned)
    bits = quotient ? a.bits / b.bits : a.bits % b.bits;
  else if ((int64_t)b.bits == -1)
    bits = quotient ? 0 - a.bits : 0;
  else
    bits = quotient ? (uint64_t)((int64_t)a.bits / (int64_t)b.bits)
                    : (uint64_t)((int64_t)a.bits % (int64_t)b.bits);
  *out = wrapped(bits, a);
  return true;
}

static bool shift(gsf_parser *p, const gsf_token *op, gsf_value a, gsf_value b, gsf_value *out) {
  if (b.bits >= (a.is_long ? 64u : 32u))
    return fail_at(p, op, "a shift by a negative count or beyond the type's width");
  if (op->kind == TK_SHL)
    *out = wrapped(a.bits << b.bits, a);
  else
    *out = wrapped(a.is_unsigned ? a.bits >> b.bits : (uint64_t)((int64_t)a.bits >> b.bits), a);
  return true;
}

static bool less(gsf_value a, gsf_value b) {
  return a.is_unsigned ? a.bits < b.bits : (int64_t)a.bits < (int64_t)b.bits;
}

static bool apply(gsf_parser *p, const gsf_token *op, gsf_value a, gsf_value b, gsf_value *out) {
  if (op->kind == TK_SHL || op->kind == TK_SHR) return shift(p, op, a, b, out);
  convert_both(&a, &b);
  switch (op->kind) {
    case '*': *out = wrapped(a.bits * b.bits, a); return true;
    case '+': *out = wrapped(a.bits + b.bits, a); return true;
    case '-': *out = wrapped(a.bits - b.bits, a); return true;
    case '&': *out = wrapped(a.bits & b.bits, a); return true;
    case '^': *out = wrapped(a.bits ^ b.bits, a); return true;
    case '|': *out = wrapped(a.bits | b.bits, a); return true;
    case '<': *out = as_int(less(a, b)); return true;
    case '>': *out = as_int(less(b, a)); return true;
    case TK_LE: *out = as_int(!less(b, a)); return true;
    case TK_GE: *out = as_int(!less(a, b)); return true;
    case TK_EQ: *out = as_int(a.bits == b.bits); return true;
    case TK_NE: *out = as_int(a.bits != b.bits); return true;
    case TK_AND: *out = as_int(a.bits && b.bits); return true;
    case TK_OR: *out = as_int(a.bits || b.bits); return true;
    default: return divide(p, op, a, b, out);
  }
}

/* Operators at least as strong as `least`, from the left. */
static bool binary(gsf_parser *p, int least, gsf_value *out) {
  if (!unary(p, out)) return false;
  while (gsf_strength(p->tok.kind) >= least) {
    gsf_token op = p->tok;
    gsf_value right;
    gsf_next(p);
    if (!binary(p, gsf_strength(op.kind) + 1, &right)) return false;
    if (!apply(p, &op, *out, right, out)) return false;
  }
  return true;
}

static bool conditional(gsf_parser *p, gsf_value *out) {
  if (!binary(p, 1, out)) return false;
  if (!gsf_accept(p, '?')) return true;
  gsf_value yes, no;
  if (!gsf_expression(p, &yes) || !gsf_expect(p, ':', "':'") || !gsf_expression(p, &no))
    return false;
  convert_both(&yes, &no);
  *out = out->bits ? yes : no;
  return true;
}

bool gsf_expression(gsf_parser *p, gsf_value *out) {
  if (!gsf_enter(p)) return false;
  bool ok = conditional(p, out);
  gsf_leave(p);
  return ok;
}

bool gsf_size_expression(gsf_parser *p, size_t most, const char *what, size_t *out) {
  gsf_token at = p->tok;
  gsf_value v;
  if (!gsf_expression(p, &v)) return false;
  if (!v.is_unsigned && (int64_t)v.bits < 0)
    return gsf_fail(p, GS_EDECL, at.line, at.column, "%s is %lld, expected 0 or more", what,
                    (long long)(int64_t)v.bits);
  if (v.bits > most)
    return gsf_fail(p, GS_ETYPE, at.line, at.column, "%s is %llu, expected at most %zu", what,
                    (unsigned long long)v.bits, most);
  *out = (size_t)v.bits;
  return true;
}
