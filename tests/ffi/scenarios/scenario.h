/* scenario.h: what the generated libraries of scenarios and the program that runs them share.
 *
 * A scenario is a C function with a fixed list of calls: the arguments of each, and what it returns
 * for them.  The function itself looks at what arrives: it searches the call whose arguments these
 * are, member by member, counts it, and returns its result.  So the compiler that made the function
 * says what the arguments should have been, and padding is nobody's business.
 *
 * `call` is the other direction: C code that makes one of the calls through a pointer, and compares
 * the result.
 */
#ifndef TESTS_FFI_SCENARIO_H
#define TESTS_FFI_SCENARIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { SCENARIO_REFUSABLE = 1 }; /* has a type that may be declined, with an error */

typedef bool same_fn(const void *a, const void *b);

typedef struct signature {
  const char *name;    /* exported, and declared */
  const char *pointer; /* the type of a pointer to a function with these very arguments */
  void *address;
  unsigned flags, nargs, nfixed, ncalls;
  size_t result_size;           /* 0: void */
  const char *const *extra;     /* types of the arguments from nfixed on, before promotion */
  const size_t *sizes;          /* of the arguments */
  same_fn *const *same;         /* compares two arguments */
  same_fn *same_result;         /* NULL: void */
  const void *const *arguments; /* nargs for each call */
  const void *const *results;   /* one for each call */
  bool (*call)(void (*fn)(void), unsigned which);
  /* Counted by the function. */
  atomic_uint *hits;      /* for each call */
  atomic_uint *strangers; /* calls whose arguments are those of no call … */
  atomic_uint *matched; /* … and for each argument of the last of them: the calls it agrees with */
} signature;

typedef struct group {
  const char *declarations; /* for gs_ffi_cdef */
  const signature *const *signatures;
  unsigned count;
} group;

#endif
