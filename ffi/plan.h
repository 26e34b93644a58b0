/* plan.h: how a call is put into registers and onto the stack, one step after the other.
 *
 * A plan is made once, when a function is prepared: plan.c and the ABI's own file in arch/ turn the
 * signature into steps, and the thunk in arch/ jumps from step to step.  Each step is a few
 * instructions for one register and one kind of value, so that nothing is decided during the call.
 *
 * The numbers below are the order of the steps in the thunk's source: the thunk lists the address
 * of each in gsf_arch_steps as it comes by, and plan.c looks it up there by number.  The sections
 * are the same for every ABI; how many registers there are is not.
 */
#ifndef GS_FFI_PLAN_H
#define GS_FFI_PLAN_H

#include "ffi_internal.h"

/* As the code reads it. */
typedef struct gsf_step {
  const char *go; /* where its instructions are */
  uint64_t arg;   /* bytes from args[0] to the argument's pointer; STEP_CALL: see there */
  /* Bytes into the argument, for words of it; STEP_COPY: how many bytes; STEP_CALL: the function */
  uint64_t inside;
} gsf_step;

struct gsf_plan {
  gs_prepared call; /* what the thunk gets as its third word */
  uint64_t stack;   /* bytes that arguments need there; a multiple of 16 */
  gsf_step steps[];
};
_Static_assert(offsetof(gsf_plan, stack) == 16 && offsetof(gsf_plan, steps) == 24 &&
                   sizeof(gsf_step) == 24,
               "the thunk knows these offsets");

/* Kinds of value, the first seven of every section that takes integers. */
enum { LOAD_U8, LOAD_S8, LOAD_U16, LOAD_S16, LOAD_U32, LOAD_S32, LOAD_64, LOADS };

/* Words of an argument in memory: 1, 2, 4 or 8 bytes, or 1 or 2 more above those that are there. */
enum {
  WORD_1 = LOADS,
  WORD_2,
  WORD_4,
  WORD_8,
  MORE_1_AT_16,
  MORE_1_AT_32,
  MORE_2_AT_32,
  MORE_1_AT_48,
  GENERAL_STEPS, /* for each general register */
};

/* For each vector register: a whole argument, or a word of one. */
enum { LOAD_FLOAT, LOAD_DOUBLE, WORD_FLOAT, WORD_DOUBLE, VECTOR_STEPS };

#if defined(__x86_64__)
#define GENERAL 6
#define VECTOR 8
#define MERGED 1
#elif defined(__aarch64__)
#define GENERAL 8
#define VECTOR 8
#define MERGED 0
#else
#define GENERAL 0
#define VECTOR 0
#define MERGED 0
#endif

/* Two arguments in a row that go to registers in a row, or to the stack, in one step: each
 * LOAD_U32, LOAD_S32 or LOAD_64. */
#define PAIRS 9

/* The first arguments, at least three of them in a row, of one of these kinds, into the first
 * general registers, in one step. */
#define RUN_LEAST 3
#define RUNS ((GENERAL - RUN_LEAST + 1) * 3)

/* The sections.  To the stack come LOADS integers (a double is LOAD_64, a float LOAD_U32), pairs of
 * them, then these two. */
enum {
  STEP_STACK = 0,
  STEP_STACK_PAIR = STEP_STACK + LOADS,
  STEP_COPY = STEP_STACK_PAIR + PAIRS, /* a piece of memory */
  STEP_ALIGN,                          /* the next goes to a multiple of 16 */
  STEP_GENERAL,
  STEP_PAIR = STEP_GENERAL + GENERAL * GENERAL_STEPS,
  STEP_RUN = STEP_PAIR + (GENERAL - 1) * PAIRS,
  STEP_RESULT = STEP_RUN + RUNS, /* where the result is to be written */
  STEP_VECTOR,
  STEP_CALL = STEP_VECTOR + VECTOR * VECTOR_STEPS, /* + BACK_…; arg: vector registers in use */
};

/* The call, and what comes back: nothing, an integer of so many bytes, a float, a double, one or
 * two long doubles; or two registers, general (G) or vector (V). */
enum {
  BACK_NONE,
  BACK_1,
  BACK_2,
  BACK_4,
  BACK_8,
  BACK_FLOAT,
  BACK_DOUBLE,
  BACK_LDOUBLE,
  BACK_2_LDOUBLES,
  BACK_GG,
  BACK_VV,
  BACK_GV,
  BACK_VG,
  BACKS,
};

/* How a call begins: with arguments on the stack, with any other step; or right with the first one,
 * if that is one whole argument for the first general register, two or a run, or the call. */
enum {
  BEGIN_STACK = STEP_CALL + BACKS,
  BEGIN,
  BEGIN_GENERAL,
  BEGIN_PAIR = BEGIN_GENERAL + LOADS,
  BEGIN_RUN = BEGIN_PAIR + PAIRS,
  BEGIN_CALL = BEGIN_RUN + RUNS,
  BEGIN_END = BEGIN_CALL + BACKS,
};

/* With MERGED, the commonest calls have no jumps at all: one piece of code loads all the arguments
 * and calls, if the result is one that WHOLE_… names.  And as long as no step puts anything on the
 * stack, there is no frame: there are two versions of the call. */
enum { WHOLE_NONE, WHOLE_4, WHOLE_8, WHOLES };
#define ON_STACK \
  4 /* so many arguments at most on the stack, of the same kind as those of the run */

enum {
  FRAMED_CALL = BEGIN_END,                /* STEP_CALL, but after BEGIN_STACK… */
  BEGIN_STACK_PAIR = FRAMED_CALL + BACKS, /* BEGIN_STACK and the first STEP_STACK_PAIR */
  /* What is one BEGIN_GENERAL, BEGIN_PAIR or BEGIN_RUN, and the call. */
  BEGIN_WHOLE = BEGIN_STACK_PAIR + PAIRS,
  /* The longest run, one to ON_STACK of the same kind on the stack, and the call. */
  BEGIN_LONG = BEGIN_WHOLE + (LOADS + PAIRS + RUNS) * WHOLES,
  MERGED_END = BEGIN_LONG + ON_STACK * 3 * WHOLES,
  STEPS = MERGED ? MERGED_END : BEGIN_END,
};

/* For making a plan.  What goes to the stack is put there before registers are loaded:
 * copying needs registers of its own. */
typedef struct gsf_planner {
  gsf_step *stack, *regs; /* room for `cap` steps each */
  size_t nstack, nregs;
  size_t bytes; /* of the stack so far */
  /* The argument + 1 whose step is the last of its kind and could be the first of a pair, or 0. */
  size_t half, stack_half;
  unsigned half_load, stack_half_load;
  /* A run: so many arguments from run_first on are all that is in registers, in their order. */
  size_t run_first;
  unsigned run, run_load;
  /* So many go on with it on the stack, in their order; other things are there. */
  unsigned run_on_stack;
  bool stack_other;
  unsigned begin;           /* BEGIN_… for the first step in registers */
  unsigned stack_begin;     /* and for the first on the stack */
  bool framed;              /* by that one, because something is on the stack or in memory */
  unsigned general, vector; /* registers in use */
} gsf_planner;

void gsf_plan_general(gsf_planner *p, unsigned step, size_t arg, size_t inside);
void gsf_plan_scalar(gsf_planner *p, unsigned load, size_t arg); /* of LOADS */
void gsf_plan_vector(gsf_planner *p, unsigned step, size_t arg, size_t inside);
void gsf_plan_stack(gsf_planner *p, unsigned load, size_t arg); /* of LOADS */
void gsf_plan_copy(gsf_planner *p, size_t arg, size_t size, size_t align);
/* The next general register gets the word of `bytes` bytes, 1 to 8, at `inside`. */
void gsf_plan_word(gsf_planner *p, size_t bytes, size_t arg, size_t inside);
void gsf_plan_result(gsf_planner *p);
/* How an integer, pointer or _Bool of at most 8 bytes is loaded; LOADS if t is none. */
unsigned gsf_plan_load(const gs_type *t);

/* ---- arch/ ---- */

/* Adds what argument i of type t needs.  false: this ABI's file leaves it to libffi. */
bool gsf_arch_plan_arg(gsf_planner *p, const gs_type *t, size_t i);
/* BACK_… of the result, after gsf_plan_result if it is written by the function itself; *room is
 * the size of a result that is written in whole registers and must then be cut, or 0. */
bool gsf_arch_plan_ret(gsf_planner *p, const gs_type *t, unsigned *back, size_t *room);

/* Where the code is, and how far each step is from there.  What the steps of BEGIN_… lead to is
 * called as void (void *args, void *ret, void *plan); it makes the call.  ret is not NULL unless
 * the function is void. */
extern const char gsf_arch_thunk[] __attribute__((visibility("hidden")));
extern const int32_t gsf_arch_steps[STEPS] __attribute__((visibility("hidden")));

#endif
