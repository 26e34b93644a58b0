/* fake.h: an interpreter that is nothing but its lock.
 *
 * It has what every interpreter with a global lock has: the lock, taken and given up by threads,
 * and a notion of whose state is current on the thread that holds it.  It checks in every hook
 * and wherever its green threads ask it to that exactly the right thread is inside with exactly
 * the right state.  Its green threads can do what code of extensions does: let the lock go around
 * something that blocks without telling the scheduler, or compute and hold it all the time.
 */
#ifndef TESTS_DOMAIN_FAKE_H
#define TESTS_DOMAIN_FAKE_H

#include <pthread.h>

#include "gosched_domain.h"
#include "support.h"

enum { FAKE_STATES = 4096 };

/* Where a green thread stands, as the hooks tell it. */
enum {
  FAKE_INSIDE,    /* in the interpreter, with the lock, or parked there */
  FAKE_AWAY,      /* in foreign code, or waiting for a P */
  FAKE_C_HOLDS,   /* foreign code has taken the lock by itself */
  FAKE_SUSPENDED, /* foreign code calls back */
};

struct fake;

/* The state of one green thread.  Never freed while the program runs: sysmon may look at one of a
 * green thread that has just ended. */
typedef struct fake_state {
  struct fake *vm;
  atomic_int unlocked; /* its green thread let the lock go by itself */
  int place;           /* FAKE_…, where it is; by its own thread, between hooks */
} fake_state;

typedef struct fake {
  gs_domain *domain;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int locked;          /* under mutex */
  int waiters;         /* under mutex: threads that want the lock */
  uint64_t takings;    /* under mutex: how often it was taken */
  atomic_long holder;  /* tid of the thread that has the lock, 0: nobody; written by the holder */
  fake_state *current; /* only by the holder */
  int64_t guarded;     /* only by the holder: a plain counter that races would spoil */

  atomic_int attached; /* threads between attach and detach */
  atomic_ulong attaches, detaches, switch_ins, releases, suspends, resumes, questions, elsewheres;
  atomic_int sure;   /* may_retake says of those who let the lock go that they stay away, */
  atomic_ulong gone; /* and has said so while others waited so many times */

  /* What the hooks are called for, in order, if somebody wants to know: a letter for each. */
  char order[256];
  atomic_int norder; /* -1: nobody does */

  fake_state states[FAKE_STATES];
  atomic_int states_used;
} fake;

/* Makes the interpreter and its domain of one P; asserts on failure. */
void fake_init(fake *vm, const char *name);
/* One whose foreign calls stay on the thread that enters them. */
void fake_init_staying(fake *vm, const char *name);

/* Runs body(arg) as main green thread of the domain. */
void fake_run(fake *vm, int procs, body_fn body, void *arg);
/* The same, locked to the caller's thread as an interpreter's main thread is. */
void fake_run_locked(fake *vm, int procs, body_fn body, void *arg);

/* Waits until no thread has or wants anything of the interpreter any more, and asserts it. */
void fake_assert_quiet(fake *vm);

/* ---- for its green threads ---- */

fake_state *fake_begin(fake *vm); /* first: makes a state and makes it current */
void fake_end(fake_state *state); /* last */
void fake_check(fake_state *state, const char *after);
void fake_count(fake_state *state); /* guarded++, and a check */

/* In foreign code: takes the lock without the turn, as PyGILState_Ensure does, and gives it back.
 */
void fake_from_c(fake_state *state);
void fake_to_c(fake_state *state);

/* Lets the lock go, waits in fn(arg), takes it again; says nothing to the scheduler. */
void fake_unlocked(fake_state *state, int (*fn)(void *), void *arg);
/* What an interpreter's loop does between two instructions: if others want the lock, let one of
 * them have it. */
void fake_breathe(fake_state *state);

#endif
