/* function.h: what calls of C functions have in common; see function.c. */
#ifndef GOSCHED_PYTHON_FUNCTION_H
#define GOSCHED_PYTHON_FUNCTION_H

#include "gosched_ffi.h"
#include "tstate.h"

typedef struct {
  PyObject_HEAD gs_ffi *ffi;
  PyObject *name; /* for messages */
  PyObject
      *opened; /* whose library it is, which unmaps it when it dies: not before the functions */
  Py_ssize_t calls; /* under way */
  bool closed;
} Library;
extern PyTypeObject LibraryType;

/* Calls func; where green threads run, as a foreign call.  r: rec_here().  *e: errno afterwards.
 * *failed: what callbacks of this call have raised, to be raised by it; NULL: nothing. */
int foreign_call(Library *lib, const gs_func *func, Rec *r, void *result, void *const *argv, int *e,
                 PyObject **failed);
/* errno of this green thread's last foreign call is e. */
void foreign_errno(Rec *r, int e);

/* A call that a cancel of g ends by calling fn(*args); it stays in g's list from begin to end.
 * The caller holds all of them. */
void unblock_begin(Unblock *u, Green *g, PyObject *fn, PyObject *const *args, Py_ssize_t nargs);
void unblock_end(Unblock *u, Rec *r);
static inline bool green_cancelled(const Green *g) { return g->cancels && !g->shields; }

int bridge_init(PyObject *module);

#endif
