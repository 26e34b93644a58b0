/* tstate.h: moving thread states between threads.  See tstate.c. */
#ifndef GOSCHED_PYTHON_TSTATE_H
#define GOSCHED_PYTHON_TSTATE_H

#include "binding.h"

#include <pthread.h>

/* Learns what has to be known about this interpreter, once.  GIL held.  -1: an exception is set. */
int tstate_boot(void);

/* A thread state for a green thread; current nowhere.  NULL: out of memory.  GIL held. */
PyThreadState *tstate_new(PyInterpreterState *interp);

/* Tells ts about the C stack on which it is going to run: `size` bytes below `top`.  It is current.
 * What that returns is given to tstate_own_stack when it returns to the stack of the thread it
 * began on, or to tstate_again. */
int tstate_on_stack(PyThreadState *ts, char *top, size_t size);
void tstate_own_stack(PyThreadState *ts, int levels_less);

/* The identity of green thread n, which no thread has; of none, if n is 0.  Any thread. */
uint64_t tstate_ident(uint64_t n);
void tstate_set_ident(PyThreadState *ts, uint64_t ident);

/* Takes the GIL, with ts current on this thread.  This thread does not hold it. */
void tstate_acquire(PyThreadState *ts);
/* This thread holds the GIL with another thread state current: ts instead. */
void tstate_switch(PyThreadState *ts);
/* The thread state with which this thread holds the GIL; NULL: it does not hold it. */
PyThreadState *tstate_held(void);
/* Drops the GIL.  The thread state that is current stays the one that a callback from C finds on
 * this thread (PyGILState_Ensure), where this version of CPython allows it. */
void tstate_release(void);
/* A callback from C finds ts on this thread, where it is not current.  The GIL is not held. */
void tstate_here(PyThreadState *ts);
/* This thread points at no green thread's state any more.  The GIL is not held. */
void tstate_forget(void);
int tstate_forked(void); /* in a child of fork; -1 with an exception */

/* The word in which a lock of C has the identity of the OS thread that holds it; NULL: there is
 * none.  Set at boot. */
extern const unsigned long long *tstate_lock_owner;
/* Whether this OS thread holds it: nobody else can make that true or false. */
static inline bool tstate_holds_lock(void) {
  const unsigned long long *owner = tstate_lock_owner;
  return owner && __atomic_load_n(owner, __ATOMIC_RELAXED) == (unsigned long long)pthread_self();
}

/* ts has been cleared.  If it is current, this deletes it and drops the GIL. */
void tstate_delete_current(PyThreadState *ts);
void tstate_delete(PyThreadState *ts); /* not current */
/* Whether a state that has been cleared can be used again; and makes it as good as new. */
bool tstate_reusable(void);
void tstate_clear(PyThreadState *ts); /* PyThreadState_Clear, more than once if need be */
void tstate_again(PyThreadState *ts, int levels_less);

/* For sysmon, without the GIL.  ts must not be deleted meanwhile. */
bool tstate_detached(const PyThreadState *ts);
/* 1: some thread holds the GIL, 0: none does, -1: this version cannot tell. */
int tstate_gil_held(void);

/* Has hog_interrupted called by ts in its Python code, at its next line, jump or call, once.  ts is
 * not current; the GIL is held.  *mark is kept for tstate_uninterrupt, which takes it back, also
 * after it has happened (shared: another one's mark is the same object, and stays).  false: it
 * cannot be had, since somebody traces ts, or it runs no Python code; *mark is NULL then. */
bool tstate_interrupt(PyThreadState *ts, PyObject **mark);
void tstate_uninterrupt(PyThreadState *ts, PyObject **mark, bool shared);
/* ts has gone on meanwhile and has not noticed: what it runs now is marked. */
void tstate_follow(PyThreadState *ts, PyObject **mark, bool shared);
void hog_interrupted(void); /* of hogs.c */
/* Before the first green thread runs: what that needs is made ready.  No exception is set. */
void tstate_prepare(void);
/* What could not be dropped in a hook, if tstate_to_drop is not 0, where Python may run.  GIL. */
extern int tstate_to_drop;
void tstate_drop(void);

/* The exception in flight, with its traceback in it, taken out (NULL: none); and put back.
 * error_put steals the reference. */
PyObject *error_take(void);
void error_put(PyObject *exc);

#endif
