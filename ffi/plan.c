/* plan.c: calls without libffi.
 *
 * libffi classifies the arguments anew for every call, through a table of their types; that costs
 * more than the rest of a foreign call.  Here the ABI is asked once, when a function is prepared.
 * Which register or place on the stack an argument belongs in is decided by the file of the ABI in
 * arch/; this one collects the steps (plan.h says what they are) and finds the code for them.
 *
 * What a file of arch/ does not plan stays with libffi.  GOSCHED_FFI=libffi in the environment
 * sends every call through libffi, so that both ways can be tested against each other.
 *
 * Integers narrower than a register are widened by their own sign, as compilers do for calls on
 * amd64.  What a function leaves in the upper part of a result is not looked at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define STEPS_PER_ARG 8 /* at most: two words of up to three steps, or an alignment and a copy */

int gsf_forced(bool *libffi, gs_ffi_error *err) {
  const char *text;
  int set = gs_setting_get("GOSCHED_FFI", &text, NULL);
  *libffi = set > 0 && strcmp(text, "libffi") == 0;
  return set < 0 ? gsf_error(err, set, "%s", gs_error_detail()) : GS_OK;
}

#if GENERAL
static const char *code_of(unsigned number) { return gsf_arch_thunk + gsf_arch_steps[number]; }

static void in_register(gsf_planner *p, unsigned number, size_t arg, size_t inside) {
  p->regs[p->nregs++] = (gsf_step){code_of(number), arg * sizeof(void *), inside};
}

static void on_stack(gsf_planner *p, unsigned number, size_t arg, size_t inside) {
  p->stack[p->nstack++] = (gsf_step){code_of(number), arg * sizeof(void *), inside};
}

void gsf_plan_general(gsf_planner *p, unsigned step, size_t arg, size_t inside) {
  in_register(p, STEP_GENERAL + p->general++ * GENERAL_STEPS + step, arg, inside);
}

/* Can `load` be one of a pair?  Then *half is the argument + 1. */
static void note_half(unsigned load, size_t arg, size_t *half, unsigned *half_load) {
  *half = load >= LOAD_U32 && load <= LOAD_64 ? arg + 1 : 0;
  *half_load = load;
}

static bool makes_pair(size_t half, unsigned first, unsigned load, size_t arg, unsigned *pair) {
  if (arg == 0 || half != arg || load < LOAD_U32 || load > LOAD_64) return false;
  *pair = (first - LOAD_U32) * 3 + load - LOAD_U32;
  return true;
}

/* The argument may belong to the run that is all there is yet.  true: it is in its step. */
static bool in_run(gsf_planner *p, unsigned load, size_t arg) {
  if (p->nregs == 0) {
    p->run = load >= LOAD_U32 && load <= LOAD_64;
    p->run_load = load;
    p->run_first = arg;
    return false;
  }
  if (p->nregs != 1 || p->run == 0 || p->general != p->run || load != p->run_load ||
      arg != p->run_first + p->run)
    return false;
  if (++p->run < RUN_LEAST) return false;
  unsigned run = (p->run - RUN_LEAST) * 3 + load - LOAD_U32;
  p->nregs = 0;
  in_register(p, STEP_RUN + run, p->run_first, 0);
  p->begin = BEGIN_RUN + run;
  p->general++;
  p->half = 0;
  return true;
}

void gsf_plan_scalar(gsf_planner *p, unsigned load, size_t arg) {
  unsigned pair;
  if (in_run(p, load, arg)) return;
  if (makes_pair(p->half, p->half_load, load, arg, &pair)) {
    p->nregs--;
    in_register(p, STEP_PAIR + (p->general - 1) * PAIRS + pair, arg - 1, 0);
    if (p->nregs == 1) p->begin = BEGIN_PAIR + pair;
    p->general++;
    p->half = 0;
    return;
  }
  if (p->nregs == 0) p->begin = BEGIN_GENERAL + load;
  gsf_plan_general(p, load, arg, 0);
  note_half(load, arg, &p->half, &p->half_load);
}

void gsf_plan_vector(gsf_planner *p, unsigned step, size_t arg, size_t inside) {
  in_register(p, STEP_VECTOR + p->vector++ * VECTOR_STEPS + step, arg, inside);
}

void gsf_plan_word(gsf_planner *p, size_t bytes, size_t arg, size_t inside) {
  unsigned base = STEP_GENERAL + p->general * GENERAL_STEPS;
  gsf_plan_general(p,
                   bytes == 8   ? WORD_8
                   : bytes >= 4 ? WORD_4
                   : bytes >= 2 ? WORD_2
                                : WORD_1,
                   arg, inside);
  switch (bytes) {
    case 3: in_register(p, base + MORE_1_AT_16, arg, inside + 2); break;
    case 5: in_register(p, base + MORE_1_AT_32, arg, inside + 4); break;
    case 7: in_register(p, base + MORE_1_AT_48, arg, inside + 6); /* fall through */
    case 6: in_register(p, base + MORE_2_AT_32, arg, inside + 4); break;
    default: break;
  }
}

void gsf_plan_stack(gsf_planner *p, unsigned load, size_t arg) {
  unsigned pair;
  if (p->run == GENERAL && load == p->run_load && arg == p->run_first + GENERAL + p->run_on_stack)
    p->run_on_stack++;
  else
    p->stack_other = true;
  p->bytes += 8;
  if (makes_pair(p->stack_half, p->stack_half_load, load, arg, &pair)) {
    p->nstack--;
    on_stack(p, STEP_STACK_PAIR + pair, arg - 1, 0);
    if (MERGED && p->nstack == 1) p->stack_begin = BEGIN_STACK_PAIR + pair;
    p->stack_half = 0;
    return;
  }
  on_stack(p, STEP_STACK + load, arg, 0);
  note_half(load, arg, &p->stack_half, &p->stack_half_load);
}

void gsf_plan_copy(gsf_planner *p, size_t arg, size_t size, size_t align) {
  p->stack_other = true;
  if (align > 8 && p->bytes % 16) {
    on_stack(p, STEP_ALIGN, 0, 0);
    p->bytes += 8;
  }
  on_stack(p, STEP_COPY, arg, size);
  p->bytes += (size + 7) / 8 * 8;
}

void gsf_plan_result(gsf_planner *p) {
  in_register(p, STEP_RESULT, 0, 0);
  p->framed = true;
}

unsigned gsf_plan_load(const gs_type *t) {
  const gs_type *c = t->canon;
  bool negative = c->kind == GS_KIND_INT;
  switch (c->kind) {
    case GS_KIND_BOOL:
    case GS_KIND_INT:
    case GS_KIND_UINT:
    case GS_KIND_POINTER:
      switch (c->size) {
        case 1: return negative ? LOAD_S8 : LOAD_U8;
        case 2: return negative ? LOAD_S16 : LOAD_U16;
        case 4: return negative ? LOAD_S32 : LOAD_U32;
        case 8: return LOAD_64;
        default: return LOADS;
      }
    default: return LOADS;
  }
}

static unsigned whole(unsigned back) {
  switch (back) {
    case BACK_NONE: return WHOLE_NONE;
    case BACK_4: return WHOLE_4;
    case BACK_8: return WHOLE_8;
    default: return WHOLES;
  }
}

/* The only step in registers becomes the call as well, and takes those on the stack with it; false:
 * there is no such code. */
static bool merged(const gs_func *f, gsf_planner *p, unsigned back) {
  unsigned w = whole(back);
  if (!MERGED || w == WHOLES || f->variadic || p->nregs != 1 || p->begin < BEGIN_GENERAL)
    return false;
  if (!p->framed) {
    p->begin = BEGIN_WHOLE + (p->begin - BEGIN_GENERAL) * WHOLES + w;
  } else {
    if (p->run_on_stack == 0 || p->run_on_stack > ON_STACK || p->stack_other) return false;
    p->begin = BEGIN_LONG + ((p->run_on_stack - 1) * 3 + p->run_load - LOAD_U32) * WHOLES + w;
    p->framed = false;
    p->nstack = 0;
  }
  p->regs[0].inside = (uintptr_t)f->fn;
  return true;
}

/* false: something is left to libffi. */
static bool collect(gs_func *f, gsf_planner *p) {
  unsigned back;
  p->begin = BEGIN;
  p->stack_begin = BEGIN_STACK;
  if (!gsf_arch_plan_ret(p, f->ret, &back, &f->room)) return false;
  for (size_t i = 0; i < f->nargs; i++)
    if (!gsf_arch_plan_arg(p, f->args[i], i)) return false;
  p->framed |= p->bytes != 0;
  if (!merged(f, p, back)) {
    unsigned call = MERGED && p->framed ? FRAMED_CALL : STEP_CALL;
    if (p->nregs == 0) p->begin = BEGIN_CALL + back;
    p->regs[p->nregs++] = (gsf_step){code_of(call + back), p->vector, (uintptr_t)f->fn};
  }
  if (p->framed) p->begin = p->stack_begin;
  return true;
}

static gsf_plan *write_down(const gsf_planner *p, gs_site *site) {
  gsf_plan *plan = malloc(sizeof(*plan) + (p->nstack + p->nregs) * sizeof(*plan->steps));
  if (!plan) return NULL;
  plan->call.site = site;
  const char *begin = code_of(p->begin);
  memcpy(&plan->call.fn, &begin, sizeof(begin)); /* ISO C has no cast from data to a function */
  plan->stack = (p->bytes + 15) / 16 * 16;
  memcpy(plan->steps, p->stack, p->nstack * sizeof(*p->stack));
  memcpy(plan->steps + p->nstack, p->regs, p->nregs * sizeof(*p->regs));
  return plan;
}

int gsf_plan_make(gs_func *f, gs_ffi_error *err) {
  bool libffi;
  int e = gsf_forced(&libffi, err);
  if (e != GS_OK || libffi) return e;
  size_t cap = f->nargs * STEPS_PER_ARG + 2;
  gsf_step *steps = malloc(2 * cap * sizeof(*steps));
  if (!steps) return gsf_nomem(err);
  gsf_planner p = {.stack = steps, .regs = steps + cap};
  if (collect(f, &p)) {
    f->plan = write_down(&p, f->site);
    if (!f->plan) e = gsf_nomem(err);
    if (f->plan && !f->room) f->quick = &f->plan->call;
  }
  free(steps);
  return e;
}
#else
int gsf_plan_make(gs_func *f, gs_ffi_error *err) {
  bool libffi;
  (void)f;
  return gsf_forced(&libffi, err);
}
#endif
