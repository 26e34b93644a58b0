/* amd64.c: where the System V ABI of x86-64 wants arguments and results (psABI 3.2.3).
 *
 * A value is looked at in eightbytes.  One with an integer in it travels in a general register, one
 * with only floats in a vector register, in order, as long as there are registers for the whole
 * value; else, and if it is larger than two eightbytes or has a member at an odd place, it is
 * copied to the stack.  long double is an argument on the stack, and a result in the x87 unit.
 * A result that belongs in memory is written by the function, where the first argument points to.
 */
#include "../plan.h"

#if defined(__x86_64__)

typedef enum { CLASS_WORDS, CLASS_MEMORY, CLASS_X87, CLASS_X87_PAIR, CLASS_UNKNOWN } class_kind;

typedef struct {
  class_kind kind;
  unsigned char word[2]; /* GSF_NOTHING, GSF_FLOATS or GSF_INTEGER */
} class_of;

static class_of words(unsigned char first, unsigned char second) {
  return (class_of){CLASS_WORDS, {first, second}};
}

static class_of only(class_kind kind) { return (class_of){kind, {0}}; }

/* ---- unions with a long double ----
 *
 * Here the order of the members counts: an integer in a word decides over what comes after it, but
 * a float that meets the long double before any integer does sends all to memory. */

enum { W_NONE, W_INTEGER, W_FLOAT, W_X87, W_MEMORY };

static unsigned char merged(unsigned char a, unsigned char b) {
  if (a == b || b == W_NONE) return a;
  if (a == W_NONE) return b;
  if (a == W_MEMORY || b == W_MEMORY) return W_MEMORY;
  return a == W_INTEGER || b == W_INTEGER ? W_INTEGER : W_MEMORY;
}

static void merge(unsigned char *words, const gs_type *t, size_t at) {
  const gs_type *c = t->canon;
  if (c->kind == GS_KIND_STRUCT) {
    for (size_t i = 0; i < c->length; i++) {
      const gs_field *f = &c->fields[i];
      unsigned char own[2] = {W_NONE, W_NONE};
      size_t first = (at + f->offset) * 8 + f->bit_first;
      if (!f->is_bits) merge(own, f->type, at + f->offset);
      for (size_t bit = first; f->is_bits && bit < first + f->bit_width; bit++)
        own[bit / 64] = W_INTEGER;
      for (int w = 0; w < 2; w++) words[w] = merged(words[w], own[w]);
    }
  } else if (c->kind == GS_KIND_ARRAY) {
    for (size_t i = 0; i < c->length && c->target->canon->size; i++)
      merge(words, c->target, at + i * c->target->canon->size);
  } else {
    bool floating = c->kind == GS_KIND_FLOAT || c->kind == GS_KIND_COMPLEX;
    unsigned char what = !floating ? W_INTEGER : c == &gsf_basics[B_LDOUBLE] ? W_X87 : W_FLOAT;
    for (size_t w = at / 8; w <= (at + c->size - 1) / 8; w++) words[w] = merged(words[w], what);
  }
}

static bool integers_first(const gs_type *c) {
  unsigned char words[2] = {W_NONE, W_NONE};
  merge(words, c, 0);
  return words[0] == W_INTEGER && words[1] == W_INTEGER;
}

static class_of classify_struct(const gs_type *c) {
  if (c->flags & GS_TYPE_FLEXIBLE || c->size == 0 || c->align > 16) return only(CLASS_UNKNOWN);
  if (c->size > 16) return only(CLASS_MEMORY);
  gsf_survey s;
  gsf_look(&s, c);
  if (s.gave_up) return only(CLASS_UNKNOWN);
  if (s.misplaced) return only(CLASS_MEMORY);
  if (s.long_double && !integers_first(c))
    return only(s.only && c->size == sizeof(long double) ? CLASS_X87 : CLASS_MEMORY);
  /* Nothing but padding, or padding in front: compilers do not agree with each other there. */
  if (s.word[0] == GSF_NOTHING) return only(CLASS_UNKNOWN);
  return words(s.word[0], c->size > 8 ? s.word[1] : GSF_NOTHING);
}

static class_of classify(const gs_type *t) {
  const gs_type *c = t->canon;
  if (gsf_align(t) > c->align) return only(CLASS_UNKNOWN);
  switch (c->kind) {
    case GS_KIND_BOOL:
    case GS_KIND_INT:
    case GS_KIND_UINT:
    case GS_KIND_POINTER: return words(GSF_INTEGER, GSF_NOTHING);
    case GS_KIND_FLOAT: return c->size <= 8 ? words(GSF_FLOATS, GSF_NOTHING) : only(CLASS_X87);
    case GS_KIND_COMPLEX:
      if (c->size > 16) return only(CLASS_X87_PAIR);
      return words(GSF_FLOATS, c->size > 8 ? GSF_FLOATS : GSF_NOTHING);
    case GS_KIND_STRUCT:
      return c->flags & GS_TYPE_INCOMPLETE ? only(CLASS_UNKNOWN) : classify_struct(c);
    default: return only(CLASS_UNKNOWN);
  }
}

static size_t word_size(const gs_type *c, unsigned w) {
  return c->size - 8 * w < 8 ? c->size - 8 * w : 8;
}

bool gsf_arch_plan_arg(gsf_planner *p, const gs_type *t, size_t i) {
  const gs_type *c = t->canon;
  class_of class = classify(t);
  if (class.kind == CLASS_UNKNOWN) return false;
  unsigned general = 0, vector = 0, load = gsf_plan_load(c);
  for (unsigned w = 0; w < 2; w++) {
    general += class.word[w] == GSF_INTEGER;
    vector += class.word[w] == GSF_FLOATS;
  }
  if (class.kind != CLASS_WORDS || p->general + general > GENERAL || p->vector + vector > VECTOR) {
    if (load < LOADS)
      gsf_plan_stack(p, load, i);
    else if (c->kind == GS_KIND_FLOAT && c->size <= 8)
      gsf_plan_stack(p, c->size == 8 ? LOAD_64 : LOAD_U32, i);
    else
      gsf_plan_copy(p, i, c->size, c->align);
  } else if (load < LOADS) {
    gsf_plan_scalar(p, load, i);
  } else {
    for (unsigned w = 0; w < 2; w++) {
      size_t size = class.word[w] ? word_size(c, w) : 0;
      if (class.word[w] == GSF_INTEGER)
        gsf_plan_word(p, size, i, 8 * w);
      else if (class.word[w] == GSF_FLOATS)
        gsf_plan_vector(p, (w ? WORD_FLOAT : LOAD_FLOAT) + (size == 8), i, 8 * w);
    }
  }
  return true;
}

static unsigned scalar_back(const gs_type *c) {
  if (c->kind == GS_KIND_FLOAT) return c->size == 4 ? BACK_FLOAT : BACK_DOUBLE;
  return c->size == 1 ? BACK_1 : c->size == 2 ? BACK_2 : c->size == 4 ? BACK_4 : BACK_8;
}

bool gsf_arch_plan_ret(gsf_planner *p, const gs_type *t, unsigned *back, size_t *room) {
  const gs_type *c = t->canon;
  *back = BACK_NONE;
  *room = 0;
  if (c->kind == GS_KIND_VOID) return true;
  class_of class = classify(t);
  switch (class.kind) {
    case CLASS_UNKNOWN: return false;
    case CLASS_X87: *back = BACK_LDOUBLE; return true;
    case CLASS_X87_PAIR: *back = BACK_2_LDOUBLES; return true;
    case CLASS_MEMORY:
      gsf_plan_result(p);
      p->general++;
      return true;
    case CLASS_WORDS: break;
  }
  if (c->kind != GS_KIND_STRUCT && c->kind != GS_KIND_COMPLEX) {
    *back = scalar_back(c);
    return true;
  }
  bool vector = class.word[0] == GSF_FLOATS;
  if (class.word[1] == GSF_NOTHING)
    *back = vector ? BACK_DOUBLE : BACK_8;
  else if (class.word[1] == GSF_FLOATS)
    *back = vector ? BACK_VV : BACK_GV;
  else
    *back = vector ? BACK_VG : BACK_GG;
  size_t written = class.word[1] == GSF_NOTHING ? 8 : 16;
  if (written != c->size) *room = c->size < written ? c->size : written;
  return true;
}
#endif
