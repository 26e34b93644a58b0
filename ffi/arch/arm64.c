/* arm64.c: where AAPCS64 wants arguments and results (6.8 and 6.9), as Linux uses it.
 *
 * General and vector registers are handed out in order, each on its own; once a value has not
 * found enough of its kind, all later ones of that kind go to the stack.  A struct of up to four
 * floats or doubles, and nothing else, takes a vector register for each; another one of up to 16
 * bytes takes general registers for its words.  A result that needs more than that is written by
 * the function, where x8 points to.
 *
 * Left to libffi: long double as an argument, what is aligned to 16 bytes, structs that are passed
 * by reference, and results of floats that need registers beyond those plan.h knows.
 */
#include "../plan.h"

#if defined(__aarch64__)

/* How many floats or doubles t consists of, 0: of something else as well, or of too many. */
static unsigned homogeneous(const gs_type *c, size_t *size) {
  const gs_type *element = c;
  if (c->kind == GS_KIND_COMPLEX) element = c->target->canon;
  if (c->kind == GS_KIND_STRUCT) {
    gsf_survey s;
    if (c->size > 4 * sizeof(double)) return 0;
    gsf_look(&s, c);
    element = s.only;
    if (!element || s.padded || s.gave_up || s.misplaced || s.overaligned) return 0;
  }
  if (element->kind != GS_KIND_FLOAT || element->size > 8 || c->size % element->size) return 0;
  *size = element->size;
  return c->size / element->size <= 4 ? (unsigned)(c->size / element->size) : 0;
}

static bool plain_struct(const gs_type *c) {
  gsf_survey s;
  if (c->kind != GS_KIND_STRUCT || c->flags & (GS_TYPE_INCOMPLETE | GS_TYPE_FLEXIBLE) ||
      c->size == 0 || c->size > 16 || c->align > 8)
    return false;
  gsf_look(&s, c);
  return !s.gave_up && !s.overaligned && !s.misplaced;
}

bool gsf_arch_plan_arg(gsf_planner *p, const gs_type *t, size_t i) {
  const gs_type *c = t->canon;
  size_t size;
  unsigned load = gsf_plan_load(c), n;
  if (gsf_align(t) > c->align) return false;
  if (load < LOADS) {
    if (p->general < GENERAL)
      gsf_plan_scalar(p, load, i);
    else
      gsf_plan_stack(p, load, i);
  } else if ((n = homogeneous(c, &size))) {
    if (p->vector + n > VECTOR) {
      p->vector = VECTOR;
      if (c->kind == GS_KIND_FLOAT)
        gsf_plan_stack(p, size == 8 ? LOAD_64 : LOAD_U32, i);
      else
        gsf_plan_copy(p, i, c->size, 8);
    } else {
      for (unsigned k = 0; k < n; k++)
        gsf_plan_vector(p, (k ? WORD_FLOAT : LOAD_FLOAT) + (size == 8), i, k * size);
    }
  } else if (plain_struct(c)) {
    n = c->size > 8 ? 2 : 1;
    if (p->general + n > GENERAL) {
      p->general = GENERAL;
      gsf_plan_copy(p, i, c->size, 8);
    } else {
      gsf_plan_word(p, c->size < 8 ? c->size : 8, i, 0);
      if (n == 2) gsf_plan_word(p, c->size - 8, i, 8);
    }
  } else {
    return false;
  }
  return true;
}

bool gsf_arch_plan_ret(gsf_planner *p, const gs_type *t, unsigned *back, size_t *room) {
  const gs_type *c = t->canon;
  size_t size;
  *back = BACK_NONE;
  *room = 0;
  if (c->kind == GS_KIND_VOID) return true;
  if (gsf_align(t) > c->align) return false;
  unsigned n = homogeneous(c, &size);
  if (n == 1) {
    *back = size == 4 ? BACK_FLOAT : BACK_DOUBLE;
  } else if (n) {
    if (n > 2 || size == 4) return false;
    *back = BACK_VV;
  } else if (gsf_plan_load(c) < LOADS) {
    *back = c->size == 1 ? BACK_1 : c->size == 2 ? BACK_2 : c->size == 4 ? BACK_4 : BACK_8;
  } else if (c->kind == GS_KIND_FLOAT) {
    *back = BACK_LDOUBLE;
  } else if (plain_struct(c)) {
    *back = c->size > 8 ? BACK_GG : BACK_8;
    if (c->size % 8) *room = c->size;
  } else if (c->kind == GS_KIND_STRUCT && c->size > 4 * sizeof(long double) &&
             !(c->flags & (GS_TYPE_INCOMPLETE | GS_TYPE_FLEXIBLE))) {
    gsf_plan_result(p);
  } else {
    return false;
  }
  return true;
}
#endif
