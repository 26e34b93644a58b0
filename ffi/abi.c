/* abi.c: a gs_type as libffi wants to see it.
 *
 * Scalars are libffi's own.  A struct by value is described to libffi by the words it consists of,
 * not by its members: that way unions and bit-fields, which libffi has no words for, are passed
 * right too.  It is enough, because the ABIs of amd64 and arm64 look at nothing else:
 *
 *   - members that are all of one floating type make a homogeneous aggregate: as many of that type;
 *   - else an eightbyte with an integer in it travels in an integer register, one with only floats
 *     in a vector register (amd64; arm64 takes integer registers for both);
 *   - what is larger than any of these rules reaches goes by memory, whatever is in it.
 *
 * A struct of one long double travels as a long double does; libffi gets its result right only when
 * it is called that.  Size and alignment are given to libffi as they are, so it never works them
 * out from the words. What it cannot be told is refused: packed members at odd places, members with
 * more than their type's alignment, long double under a union.
 */
#include <string.h>

#include "ffi_internal.h"

#define WORD 8u
#define LARGEST 256u   /* from here on the ABIs look at the size only */
#define PATIENCE 10000 /* members looked at: unions of unions can have very many */

/* What is in one eightbyte: nothing, floats only, or an integer among it. */
enum { NOTHING, FLOATS, INTEGER };

typedef struct survey {
  unsigned char word[LARGEST / WORD];
  const gs_type *only; /* the one scalar type there is; NULL: none yet, or several */
  bool several;
  bool odd; /* a member is not at a multiple of its alignment, or has more than that */
  unsigned looked;
  bool long_double;
} survey;

static void look(survey *s, const gs_type *t, size_t at);

static void look_scalar(survey *s, const gs_type *c, size_t at) {
  if (at % c->align) s->odd = true;
  if (c == &gsf_basics[B_LDOUBLE]) s->long_double = true;
  if (!s->only && !s->several) s->only = c;
  if (s->only != c) {
    s->only = NULL;
    s->several = true;
  }
  unsigned char what = c->kind == GS_KIND_FLOAT ? FLOATS : INTEGER;
  for (size_t w = at / WORD; w <= (at + c->size - 1) / WORD; w++)
    if (what > s->word[w]) s->word[w] = what;
}

static void look_bits(survey *s, const gs_field *f, size_t at) {
  if (f->bit_width == 0) return;
  size_t first = (at + f->offset) * 8 + f->bit_first;
  for (size_t w = first / (WORD * 8); w <= (first + f->bit_width - 1) / (WORD * 8); w++)
    s->word[w] = INTEGER;
  s->only = NULL;
  s->several = true;
}

static void look(survey *s, const gs_type *t, size_t at) {
  const gs_type *c = t->canon;
  if (s->looked++ >= PATIENCE) return;
  if (gsf_align(t) > c->align) s->odd = true;
  if (c->kind == GS_KIND_ARRAY) {
    for (size_t i = 0; i < c->length && c->target->canon->size; i++)
      look(s, c->target, at + i * c->target->canon->size);
  } else if (c->kind == GS_KIND_STRUCT) {
    for (size_t i = 0; i < c->length; i++) {
      const gs_field *f = &c->fields[i];
      if (f->align > f->type->canon->align) s->odd = true;
      if (f->is_bits)
        look_bits(s, f, at);
      else
        look(s, f->type, at + f->offset);
    }
  } else {
    look_scalar(s, c, at);
  }
}

static ffi_type *unsigned_of(size_t size) {
  return size >= 8   ? &ffi_type_uint64
         : size >= 4 ? &ffi_type_uint32
         : size >= 2 ? &ffi_type_uint16
                     : &ffi_type_uint8;
}

/* Fills `elements` (room for LARGEST and the end) with the words of a struct of that size. */
static void words(const survey *s, size_t size, ffi_type **elements) {
  size_t n = 0;
  if (s->only && s->only->kind == GS_KIND_FLOAT && size % s->only->size == 0) {
    for (; n < size / s->only->size; n++) elements[n] = s->only->ffi;
    elements[n] = NULL;
    return;
  }
  size_t used = (size + WORD - 1) / WORD;
  while (used > 1 && s->word[used - 1] == NOTHING) used--;
  for (size_t w = 0; w < used; w++) {
    size_t left = size - w * WORD < WORD ? size - w * WORD : WORD;
    if (s->word[w] == FLOATS) {
      elements[n++] = left >= sizeof(double) ? &ffi_type_double : &ffi_type_float;
      continue;
    }
    while (left > 0) {
      ffi_type *u = unsigned_of(left);
      elements[n++] = u;
      left -= u->size;
    }
  }
  elements[n] = NULL;
}

static int refuse(gs_ffi_error *err, const gs_type *t, const char *role, const char *why) {
  return gsf_error(err, GS_ETYPE, "%s: '%.80s' %s; pass a pointer to it", role, t->name, why);
}

static int struct_form(gs_ffi *ffi, const gs_type *t, const char *role, ffi_type **out,
                       gs_ffi_error *err) {
  gs_type *c = (gs_type *)t->canon; /* its libffi form is made once, by the declaring thread */
  if (c->flags & GS_TYPE_FLEXIBLE) return refuse(err, t, role, "ends in an array without a size");
  if (c->size == 0) return refuse(err, t, role, "has no members to pass by value");
  ffi_type *elements[LARGEST + 1] = {&ffi_type_uint8, NULL};
  if (c->size <= LARGEST) {
    survey s = {.only = NULL};
    look(&s, c, 0);
    if (s.odd || c->flags & GS_TYPE_PACKED)
      return refuse(err, t, role, "has packed or over-aligned members: not supported by value");
    if (s.long_double && s.several && c->size <= 2 * sizeof(long double) && c->size <= 16)
      return refuse(err, t, role, "is a union with a long double: not supported by value");
    if (s.looked > PATIENCE) return refuse(err, t, role, "has too many members to pass by value");
    if (s.only == &gsf_basics[B_LDOUBLE] && c->size == sizeof(long double)) {
      *out = c->ffi = &ffi_type_longdouble;
      return GS_OK;
    }
    words(&s, c->size, elements);
  }
  size_t n = 0;
  while (elements[n]) n++;
  ffi_type *f = gsf_alloc(&ffi->arena, sizeof(*f));
  ffi_type **kept = gsf_alloc(&ffi->arena, (n + 1) * sizeof(*kept));
  if (!f || !kept) return gsf_nomem(err);
  memcpy(kept, elements, n * sizeof(*kept));
  *f = (ffi_type){.size = c->size,
                  .alignment = (unsigned short)c->align,
                  .type = FFI_TYPE_STRUCT,
                  .elements = kept};
  c->ffi = f;
  *out = f;
  return GS_OK;
}

int gsf_ffi_type(gs_ffi *ffi, const gs_type *t, const char *role, ffi_type **out,
                 gs_ffi_error *err) {
  const gs_type *c = t->canon;
  if (c->flags & GS_TYPE_INCOMPLETE || c->kind == GS_KIND_ARRAY || c->kind == GS_KIND_FUNCTION)
    return refuse(err, t, role,
                  c->kind == GS_KIND_ARRAY      ? "is an array"
                  : c->kind == GS_KIND_FUNCTION ? "is a function"
                                                : "is not defined, only declared");
  if (gsf_align(t) > c->align)
    return refuse(err, t, role, "is aligned by an attribute: not supported by value");
  if (c->ffi) {
    *out = c->ffi;
    return GS_OK;
  }
  return struct_form(ffi, t, role, out, err);
}
