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

/* Whether floats in a struct with other members, or padding, take vector registers. */
#if defined(__aarch64__)
#define FLOATS_APART false
#else
#define FLOATS_APART true
#endif

static ffi_type *unsigned_of(size_t size) {
  return size >= 8   ? &ffi_type_uint64
         : size >= 4 ? &ffi_type_uint32
         : size >= 2 ? &ffi_type_uint16
                     : &ffi_type_uint8;
}

/* Fills `elements` (room for GSF_SURVEY_LARGEST and the end) with the words of a struct of that
 * size. */
static void words(const gsf_survey *s, size_t size, ffi_type **elements) {
  size_t n = 0;
  bool alone = FLOATS_APART || !s->padded;
  if (alone && s->only && s->only->kind == GS_KIND_FLOAT && size % s->only->size == 0) {
    for (; n < size / s->only->size; n++) elements[n] = s->only->ffi;
    elements[n] = NULL;
    return;
  }
  size_t used = (size + WORD - 1) / WORD;
  while (used > 1 && s->word[used - 1] == GSF_NOTHING) used--;
  for (size_t w = 0; w < used; w++) {
    size_t left = size - w * WORD < WORD ? size - w * WORD : WORD;
    if (s->word[w] == GSF_FLOATS && FLOATS_APART) {
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
  ffi_type *elements[GSF_SURVEY_LARGEST + 1] = {&ffi_type_uint8, NULL};
  if (c->size <= GSF_SURVEY_LARGEST) {
    gsf_survey s;
    gsf_look(&s, c);
    if (s.misplaced || s.overaligned || c->flags & GS_TYPE_PACKED)
      return refuse(err, t, role, "has packed or over-aligned members: not supported by value");
    if (s.long_double && s.several && c->size <= 2 * sizeof(long double) && c->size <= 16)
      return refuse(err, t, role, "is a union with a long double: not supported by value");
    if (s.gave_up) return refuse(err, t, role, "has too many members to pass by value");
    if (s.only == &gsf_basics[B_LDOUBLE] && c->size == sizeof(long double)) {
      *out = c->ffi = &ffi_type_longdouble;
      return GS_OK;
    }
    words(&s, c->size, elements);
  }
  size_t n = 0;
  while (elements[n]) n++;
  gsf_arena *arena = c->scope ? &c->scope->arena : &ffi->arena; /* the struct's: it lives as long */
  ffi_type *f = gsf_alloc(arena, sizeof(*f));
  ffi_type **kept = gsf_alloc(arena, (n + 1) * sizeof(*kept));
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

/* libffi before 3.7.1 reserves too little stack for such arguments, and later ones too put the
 * reference where the struct's alignment wants it; so libffi is told of a pointer. */
bool gsf_by_reference(const ffi_type *form) {
#if defined(__aarch64__)
  if (form->type != FFI_TYPE_STRUCT || form->size <= 2 * WORD) return false;
  size_t n = 0;
  while (form->elements[n]) n++;
  int first = form->elements[0]->type;
  bool floating =
      first == FFI_TYPE_FLOAT || first == FFI_TYPE_DOUBLE || first == FFI_TYPE_LONGDOUBLE;
  return !floating || n > 4;
#else
  (void)form;
  return false;
#endif
}
