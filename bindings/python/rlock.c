/* rlock.c: RLock, Condition, and what threading.RLock is replaced by.
 *
 * An RLock belongs to a green thread, on whatever thread that goes on, or to an ordinary thread.
 * Two types are the same lock: RLock has the manners of gosched, _ThreadingRLock those of
 * _thread.RLock, whose place it takes (see gosched._identity), with the methods that
 * threading.Condition uses.
 */
#include <stddef.h>
#include <string.h>

#include "sync.h"
#include "tstate.h"

/* ---- RLock ---- */

typedef struct {
  PyObject_HEAD gs_mutex m;
  uint64_t owner; /* who_is_here of who holds it; 0: nobody */
  size_t count;   /* how often */
  PyObject *weakrefs;
} RLock;

/* A green thread, on whatever thread it is, or an ordinary thread. */
static uint64_t who_is_here(void) {
  uint64_t g = gs_self();
  return g ? g : (uint64_t)PyThread_get_thread_ident() | (uint64_t)1 << 63;
}

static int rlock_lock(void *object, int64_t deadline) {
  return gs_mutex_lock(&((RLock *)object)->m, deadline);
}

static PyObject *rlock_acquire(ARGS) {
  RLock *l = (RLock *)self;
  uint64_t me = who_is_here();
  if (l->owner == me) {
    l->count++;
    Py_RETURN_TRUE;
  }
  PyObject *got = sync_acquire(rlock_lock, l, args, nargs, kwnames, "RLock.acquire");
  if (got == Py_True) {
    l->owner = me;
    l->count = 1;
  }
  return got;
}

PyDoc_STRVAR(rlock_release_doc,
             "release($self, /)\n--\n\n"
             "Takes one acquire back; after the last one it is free.\n"
             "Raises Error where somebody else, or nobody, has acquired it.");
static PyObject *rlock_release(PyObject *self, PyObject *ignored) {
  (void)ignored;
  RLock *l = (RLock *)self;
  if (l->owner != who_is_here()) {
    PyErr_SetString(exc_Error, "RLock.release: it is not acquired by who releases it");
    return NULL;
  }
  if (--l->count > 0) Py_RETURN_NONE;
  l->owner = 0;
  stay_check();
  return sync_done(gs_mutex_unlock(&l->m), "RLock.release");
}

static PyObject *rlock_locked(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(((RLock *)self)->owner != 0);
}

static PyObject *rlock_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  PyObject *got = rlock_acquire(self, NULL, 0, NULL);
  if (!got) return NULL;
  Py_DECREF(got);
  Py_INCREF(self);
  return self;
}

static PyObject *rlock_exit(PyObject *self, PyObject *args) {
  (void)args;
  return rlock_release(self, NULL);
}

DEALLOC(rlock, RLock)

static PyMethodDef rlock_methods[] = {
    {"acquire", FAST(rlock_acquire), sync_acquire_doc},
    {"release", rlock_release, METH_NOARGS, rlock_release_doc},
    {"locked", rlock_locked, METH_NOARGS, sync_locked_doc},
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"__exit__", rlock_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    rlock_doc,
    "RLock()\n--\n\n"
    "A mutex that the green thread (or thread) that has it may acquire again.  It belongs\n"
    "to the green thread, whatever thread that goes on on.");
static PyTypeObject RLockType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.RLock",
    .tp_doc = rlock_doc,
    .tp_basicsize = sizeof(RLock),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = sync_new,
    .tp_dealloc = rlock_dealloc,
    .tp_weaklistoffset = offsetof(RLock, weakrefs),
    .tp_methods = rlock_methods,
};

/* ---- threading's RLock: the same lock with the manners of _thread.RLock ---- */

static PyObject *threading_acquire(ARGS) {
  static const char *const names[] = {"blocking", "timeout", NULL};
  RLock *l = (RLock *)self;
  PyObject *in[2];
  int64_t deadline = GS_FOREVER;
  if (parse_args("RLock.acquire", args, nargs, kwnames, names, 0, in) < 0) return NULL;
  int blocking = in[0] ? PyObject_IsTrue(in[0]) : 1;
  double timeout = in[1] ? PyFloat_AsDouble(in[1]) : -1;
  if (blocking < 0 || (timeout == -1 && PyErr_Occurred())) return NULL;
  if (timeout != -1 && (!blocking || timeout < 0)) {
    PyErr_SetString(PyExc_ValueError, blocking ? "timeout value must be a non-negative number"
                                               : "can't specify a timeout for a non-blocking call");
    return NULL;
  }
  if (timeout > 9223372036.0) { /* threading.TIMEOUT_MAX */
    PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    return NULL;
  }
  if (timeout != -1 && parse_timeout(in[1], &deadline) < 0) return NULL;
  uint64_t me = who_is_here();
  if (l->owner == me) {
    l->count++;
    Py_RETURN_TRUE;
  }
  stay_check();
  int code = gs_mutex_try_lock(&l->m);
  if (code == GS_EWOULDBLOCK && blocking)
    code = sync_wait(rlock_lock, l, deadline, "RLock.acquire");
  if (code == GS_ETIMEOUT || code == GS_EWOULDBLOCK) Py_RETURN_FALSE;
  if (code != GS_OK) return raise_code(code, "RLock.acquire");
  l->owner = me;
  l->count = 1;
  Py_RETURN_TRUE;
}

static bool threading_owned(const RLock *l) {
  if (l->owner == who_is_here()) return true;
  PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
  return false;
}

static PyObject *threading_release(PyObject *self, PyObject *ignored) {
  return threading_owned((RLock *)self) ? rlock_release(self, ignored) : NULL;
}

static PyObject *threading_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return threading_acquire(self, NULL, 0, NULL);
}

static PyObject *threading_exit(PyObject *self, PyObject *args) {
  (void)args;
  return threading_release(self, NULL);
}

static PyObject *threading_is_owned(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(((RLock *)self)->owner == who_is_here());
}

static PyObject *threading_recursion_count(PyObject *self, PyObject *ignored) {
  (void)ignored;
  const RLock *l = (RLock *)self;
  return PyLong_FromSize_t(l->owner == who_is_here() ? l->count : 0);
}

/* For threading.Condition: all of it is given up, and taken again. */
static PyObject *threading_release_save(PyObject *self, PyObject *ignored) {
  (void)ignored;
  RLock *l = (RLock *)self;
  if (!threading_owned(l)) return NULL;
  PyObject *state = Py_BuildValue("nK", (Py_ssize_t)l->count, (unsigned long long)l->owner);
  if (!state) return NULL;
  l->owner = 0;
  l->count = 0;
  stay_check();
  gs_mutex_unlock(&l->m);
  return state;
}

/* Whatever happens: who called Condition.wait has it afterwards.  A request to stop that comes
 * meanwhile holds again then. */
static PyObject *threading_acquire_restore(PyObject *self, PyObject *state) {
  RLock *l = (RLock *)self;
  Py_ssize_t count;
  unsigned long long owner;
  if (!PyArg_ParseTuple(state, "nK", &count, &owner)) return NULL;
  Rec *r = rec_here();
  int code;
  if (!r) {
    Py_BEGIN_ALLOW_THREADS code = gs_mutex_lock(&l->m, GS_FOREVER);
    Py_END_ALLOW_THREADS
  } else {
    code = op_shielded(r, rlock_lock, l);
  }
  if (code != GS_OK) return raise_code(code, "RLock");
  l->owner = owner;
  l->count = (size_t)count;
  Py_RETURN_NONE;
}

/* In a child of fork: whoever had it may be gone. */
static PyObject *threading_reinit(PyObject *self, PyObject *ignored) {
  (void)ignored;
  RLock *l = (RLock *)self;
  memset(&l->m, 0, sizeof l->m);
  l->owner = 0;
  l->count = 0;
  Py_RETURN_NONE;
}

static PyObject *threading_repr(PyObject *self) {
  const RLock *l = (RLock *)self;
  return PyUnicode_FromFormat("<%s RLock object owner=%llu count=%zu at %p>",
                              l->owner ? "locked" : "unlocked", (unsigned long long)l->owner,
                              l->count, (void *)self);
}

static PyObject *threading_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  (void)args; /* _thread.RLock takes any, and threading warns */
  (void)kw;
  return type->tp_alloc(type, 0);
}

static PyMethodDef threading_methods[] = {
    {"acquire", FAST(threading_acquire), NULL},
    {"release", threading_release, METH_NOARGS, NULL},
    {"locked", rlock_locked, METH_NOARGS, NULL},
    {"__enter__", threading_enter, METH_NOARGS, NULL},
    {"__exit__", threading_exit, METH_VARARGS, NULL},
    {"_is_owned", threading_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", threading_recursion_count, METH_NOARGS, NULL},
    {"_release_save", threading_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", threading_acquire_restore, METH_O, NULL},
    {"_at_fork_reinit", threading_reinit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject ThreadingType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched._gosched._ThreadingRLock",
    .tp_doc = "threading.RLock, owned by green threads as well as by threads.",
    .tp_basicsize = sizeof(RLock),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = threading_new,
    .tp_dealloc = rlock_dealloc,
    .tp_repr = threading_repr,
    .tp_weaklistoffset = offsetof(RLock, weakrefs),
    .tp_methods = threading_methods,
};

/* ---- Condition ---- */

typedef struct {
  PyObject_HEAD gs_cond c;
  PyObject *lock; /* a Mutex or an RLock */
  PyObject *weakrefs;
} Condition;

static gs_mutex *mutex_of(PyObject *lock) {
  return Py_TYPE(lock) == &RLockType ? &((RLock *)lock)->m : &((Mutex *)lock)->m;
}

static int cond_wait(void *object, int64_t deadline) {
  Condition *c = object;
  return gs_cond_wait(&c->c, mutex_of(c->lock), deadline);
}

static PyObject *cond_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  static char *names[] = {"lock", NULL};
  PyObject *lock = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kw, "|O:Condition", names, &lock)) return NULL;
  if (lock != Py_None && Py_TYPE(lock) != &MutexType && Py_TYPE(lock) != &RLockType) {
    PyErr_Format(PyExc_TypeError,
                 "Condition: lock must be a gosched.Mutex or gosched.RLock, not %.100s",
                 Py_TYPE(lock)->tp_name);
    return NULL;
  }
  if (lock == Py_None)
    lock = RLockType.tp_alloc(&RLockType, 0);
  else
    Py_INCREF(lock);
  Condition *c = lock ? (Condition *)type->tp_alloc(type, 0) : NULL;
  if (!c) {
    Py_XDECREF(lock);
    return NULL;
  }
  c->lock = lock;
  return (PyObject *)c;
}

static void cond_dealloc(PyObject *self) {
  Condition *c = (Condition *)self;
  if (c->weakrefs) PyObject_ClearWeakRefs(self);
  Py_XDECREF(c->lock);
  Py_TYPE(self)->tp_free(self);
}

/* The lock must be held; of an RLock, here. */
static bool cond_held(const Condition *c, const char *what) {
  bool held = Py_TYPE(c->lock) == &RLockType ? ((RLock *)c->lock)->owner == who_is_here()
                                             : mutex_is_locked(&((Mutex *)c->lock)->m);
  if (!held) PyErr_Format(exc_Error, "%s: its lock is not acquired", what);
  return held;
}

/* On an ordinary thread without slices: between two of them a signal would be lost. */
static int cond_wait_here(Condition *c, int64_t deadline) {
  if (rec_here()) return sync_wait(cond_wait, c, deadline, "Condition.wait");
  int code;
  Py_BEGIN_ALLOW_THREADS code = cond_wait(c, deadline);
  Py_END_ALLOW_THREADS return code;
}

PyDoc_STRVAR(cond_wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Releases the lock, waits for notify, at most timeout seconds, and acquires the lock\n"
             "again, whatever happens.  Returns True.  Look again at what is waited for.\n\n"
             "Raises TimeoutError, Cancelled; Error if the lock is not acquired.");
static PyObject *condition_wait(ARGS) {
  static const char *const names[] = {"timeout", NULL};
  Condition *c = (Condition *)self;
  PyObject *timeout;
  int64_t deadline;
  if (parse_args("Condition.wait", args, nargs, kwnames, names, 0, &timeout) < 0) return NULL;
  if (parse_timeout(timeout, &deadline) < 0 || !cond_held(c, "Condition.wait")) return NULL;
  RLock *l = Py_TYPE(c->lock) == &RLockType ? (RLock *)c->lock : NULL;
  uint64_t owner = l ? l->owner : 0;
  size_t count = l ? l->count : 0;
  if (l) l->owner = 0;
  stay_check();
  int code = cond_wait_here(c, deadline);
  if (l) {
    l->owner = owner;
    l->count = count;
  }
  if (code == GS_OK) Py_RETURN_TRUE;
  return raise_code(code, "Condition.wait");
}

#define MANY 1000 /* from here on it is simpler to wake them all, who look again anyway */

PyDoc_STRVAR(notify_doc,
             "notify($self, /, n=1)\n--\n\n"
             "Wakes the first n that wait (all for more than 1000).  Raises Error if the lock is "
             "not acquired.");
static PyObject *condition_notify(ARGS) {
  static const char *const names[] = {"n", NULL};
  Condition *c = (Condition *)self;
  PyObject *arg;
  if (parse_args("Condition.notify", args, nargs, kwnames, names, 0, &arg) < 0) return NULL;
  Py_ssize_t n = arg ? PyNumber_AsSsize_t(arg, PyExc_OverflowError) : 1;
  if (PyErr_Occurred() || !cond_held(c, "Condition.notify")) return NULL;
  if (n > MANY) return sync_done(gs_cond_broadcast(&c->c), "Condition.notify");
  for (Py_ssize_t i = 0; i < n; i++) gs_cond_signal(&c->c);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(notify_all_doc, "notify_all($self, /)\n--\n\nWakes all that wait.");
static PyObject *condition_notify_all(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Condition *c = (Condition *)self;
  if (!cond_held(c, "Condition.notify_all")) return NULL;
  return sync_done(gs_cond_broadcast(&c->c), "Condition.notify_all");
}

static PyObject *condition_acquire(ARGS) {
  PyObject *lock = ((Condition *)self)->lock;
  return Py_TYPE(lock) == &RLockType ? rlock_acquire(lock, args, nargs, kwnames)
                                     : mutex_acquire(lock, args, nargs, kwnames);
}

static PyObject *condition_release(PyObject *self, PyObject *ignored) {
  PyObject *lock = ((Condition *)self)->lock;
  return Py_TYPE(lock) == &RLockType ? rlock_release(lock, ignored) : mutex_release(lock, ignored);
}

static PyObject *condition_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  PyObject *got = condition_acquire(self, NULL, 0, NULL);
  if (!got) return NULL;
  Py_DECREF(got);
  Py_INCREF(self);
  return self;
}

static PyObject *condition_exit(PyObject *self, PyObject *args) {
  (void)args;
  return condition_release(self, NULL);
}

static PyMethodDef cond_methods[] = {
    {"wait", FAST(condition_wait), cond_wait_doc},
    {"notify", FAST(condition_notify), notify_doc},
    {"notify_all", condition_notify_all, METH_NOARGS, notify_all_doc},
    {"acquire", FAST(condition_acquire), sync_acquire_doc},
    {"release", condition_release, METH_NOARGS, sync_release_doc},
    {"__enter__", condition_enter, METH_NOARGS, NULL},
    {"__exit__", condition_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(cond_doc,
             "_Condition(lock=None)\n--\n\nCondition without wait_for, which the package adds.");
static PyTypeObject CondType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched._gosched._Condition",
    .tp_doc = cond_doc,
    .tp_basicsize = sizeof(Condition),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = cond_new,
    .tp_dealloc = cond_dealloc,
    .tp_weaklistoffset = offsetof(Condition, weakrefs),
    .tp_methods = cond_methods,
};

int rlock_init(PyObject *module) {
  static const struct {
    const char *name;
    PyTypeObject *type;
  } all[] = {{"RLock", &RLockType}, {"_ThreadingRLock", &ThreadingType}, {"_Condition", &CondType}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (PyType_Ready(all[i].type) < 0) return -1;
    Py_INCREF(all[i].type);
    if (PyModule_AddObject(module, all[i].name, (PyObject *)all[i].type) < 0) return -1;
  }
  return 0;
}
