/* sync.h: what sync.c and rlock.c share.  See sync.c. */
#ifndef GOSCHED_PYTHON_SYNC_H
#define GOSCHED_PYTHON_SYNC_H

#include "binding.h"

typedef int (*wait_fn)(void *object, int64_t deadline);

/* fn(object, deadline), which waits, on a green thread or an ordinary one.  GS_E… or RAISED. */
int sync_wait(wait_fn fn, void *object, int64_t deadline, const char *what);

#define DEALLOC(name, Type)                        \
  static void name##_dealloc(PyObject *self) {     \
    Type *o = (Type *)self;                        \
    if (o->weakrefs) PyObject_ClearWeakRefs(self); \
    Py_TYPE(self)->tp_free(self);                  \
  }
#define FAST(fn) (PyCFunction)(void (*)(void)) fn, METH_FASTCALL | METH_KEYWORDS
#define ARGS PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames

/* acquire(blocking=True, timeout=None) of anything. */
PyObject *sync_acquire(wait_fn fn, void *object, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, const char *what);
PyObject *sync_done(int code, const char *what); /* None, or what a GS_E… code means */
PyObject *sync_new(PyTypeObject *type, PyObject *args, PyObject *kw); /* takes no arguments */
extern const char sync_acquire_doc[], sync_release_doc[], sync_locked_doc[];

typedef struct {
  PyObject_HEAD gs_mutex m;
  PyObject *weakrefs;
} Mutex;

extern PyTypeObject MutexType;
PyObject *mutex_acquire(ARGS);
PyObject *mutex_release(PyObject *self, PyObject *ignored);

/* Anybody may change that at any time, unless it is the caller who holds it. */
static inline bool mutex_is_locked(const gs_mutex *m) {
  return __atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != 0;
}

int rlock_init(PyObject *module);

#endif
