/* survey.c: what a struct or union has in each of its eightbytes.
 *
 * The ABIs of amd64 and arm64 pass a small struct by value according to what is in its words, not
 * by its members one by one: floats only, or an integer among them, or one and the same floating
 * type throughout.  The members of members are looked at, arrays element by element, for a limited
 * time: unions of unions can have very many.
 */
#include "ffi_internal.h"

#define WORD 8u
#define PATIENCE 10000 /* members looked at */

static void look(gsf_survey *s, const gs_type *t, size_t at);

static void look_scalar(gsf_survey *s, const gs_type *c, size_t at) {
  if (c->kind == GS_KIND_COMPLEX) {
    look(s, c->target, at);
    look(s, c->target, at + c->size / 2);
    return;
  }
  if (at % c->align) s->misplaced = true;
  if (c == &gsf_basics[B_LDOUBLE]) s->long_double = true;
  if (!s->only && !s->several) s->only = c;
  if (s->only != c) {
    s->only = NULL;
    s->several = true;
  }
  unsigned char what = c->kind == GS_KIND_FLOAT ? GSF_FLOATS : GSF_INTEGER;
  for (size_t w = at / WORD; w <= (at + c->size - 1) / WORD; w++)
    if (what > s->word[w]) s->word[w] = what;
}

static void look_bits(gsf_survey *s, const gs_field *f, size_t at) {
  if (f->bit_width == 0) return;
  size_t first = (at + f->offset) * 8 + f->bit_first;
  for (size_t w = first / (WORD * 8); w <= (first + f->bit_width - 1) / (WORD * 8); w++)
    s->word[w] = GSF_INTEGER;
  s->only = NULL;
  s->several = true;
}

static void look(gsf_survey *s, const gs_type *t, size_t at) {
  const gs_type *c = t->canon;
  if (s->looked++ >= PATIENCE) {
    s->gave_up = true;
    return;
  }
  if (gsf_align(t) > c->align) s->overaligned = true;
  if (c->kind == GS_KIND_ARRAY) {
    for (size_t i = 0; i < c->length && c->target->canon->size; i++)
      look(s, c->target, at + i * c->target->canon->size);
  } else if (c->kind == GS_KIND_STRUCT) {
    for (size_t i = 0; i < c->length; i++) {
      const gs_field *f = &c->fields[i];
      if (f->align > f->type->canon->align) s->overaligned = true;
      if (f->is_bits)
        look_bits(s, f, at);
      else
        look(s, f->type, at + f->offset);
    }
  } else {
    look_scalar(s, c, at);
  }
}

/* Bytes that scalars fill; bit-fields of width 0, which can make a struct larger, none. */
static size_t filled(const gs_type *t) {
  const gs_type *c = t->canon;
  if (c->kind == GS_KIND_ARRAY) return c->length * filled(c->target);
  if (c->kind != GS_KIND_STRUCT) return c->size;
  size_t sum = 0, most = 0;
  for (size_t i = 0; i < c->length; i++) {
    size_t own = c->fields[i].is_bits ? 0 : filled(c->fields[i].type);
    sum += own;
    if (own > most) most = own;
  }
  return c->flags & GS_TYPE_UNION ? most : sum;
}

void gsf_look(gsf_survey *s, const gs_type *t) {
  *s = (gsf_survey){.only = NULL};
  look(s, t, 0);
  if (s->only && !s->gave_up) s->padded = filled(t) != t->canon->size;
}
