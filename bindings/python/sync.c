/* sync.c: Mutex, RLock, Condition, Semaphore, Event and WaitGroup over the scheduler's own.
 *
 * They also work between green threads and ordinary threads, which they block: there the GIL is let
 * go, and signal handlers run between slices of waiting.  Mutual exclusion is between green
 * threads, wherever they run; a green thread may hold any of these while it goes on on another
 * thread.
 *
 * What waits follows threading's methods where those have a name for it, with one difference: when
 * a timeout is over, TimeoutError is raised, as everywhere in gosched.
 *
 * The scheduler's structs are embedded in the objects: whoever waits holds a reference, so none is
 * freed in use.  All other fields are guarded by the GIL.
 */
#include <stddef.h>

#include "tstate.h"

/* ---- waiting ----------------------------------------------------------------------------------
 */

#define SLICE_NS 50000000 /* on ordinary threads: between two looks for signals */

typedef int (*wait_fn)(void *object, int64_t deadline);

static int wait_on_thread(wait_fn fn, void *object, int64_t deadline) {
  for (;;) {
    int code;
    int64_t slice = gs_now() + SLICE_NS;
    Py_BEGIN_ALLOW_THREADS code = fn(object, slice < deadline ? slice : deadline);
    Py_END_ALLOW_THREADS if (code != GS_ETIMEOUT || gs_now() >= deadline) return code;
    if (PyErr_CheckSignals() < 0) return RAISED;
  }
}

static int wait_for(wait_fn fn, void *object, int64_t deadline, const char *what) {
  if (!rec_here()) return wait_on_thread(fn, object, deadline);
  Rec *r = op_begin(what, state_waiting);
  if (!r) return RAISED;
  int code;
  do code = fn(object, deadline);
  while (op_again(r, false, &code));
  op_end(r);
  return code;
}

/* acquire(blocking=True, timeout=None) of anything: True, or False if it would have to wait and
 * may not. */
static PyObject *acquire(wait_fn fn, void *object, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, const char *what) {
  static const char *const names[] = {"blocking", "timeout", NULL};
  PyObject *in[2];
  int64_t deadline;
  if (parse_args(what, args, nargs, kwnames, names, 0, in) < 0) return NULL;
  int blocking = in[0] ? PyObject_IsTrue(in[0]) : 1;
  if (blocking < 0) return NULL;
  if (!blocking && in[1] && in[1] != Py_None) {
    PyErr_Format(PyExc_ValueError, "%s: a timeout was given with blocking=False, which never waits",
                 what);
    return NULL;
  }
  if (parse_timeout(in[1], &deadline) < 0) return NULL;
  stay_check();
  int code = blocking ? wait_for(fn, object, deadline, what) : fn(object, 0);
  if (code == GS_OK) Py_RETURN_TRUE;
  if (!blocking && (code == GS_ETIMEOUT || code == GS_EWOULDBLOCK || code == GS_ECANCELED))
    Py_RETURN_FALSE;
  return raise_code(code, what);
}

static PyObject *not_held(const char *what) {
  PyErr_Format(exc_Error, "%s: it is not acquired", what);
  return NULL;
}

static PyObject *done(int code, const char *what) {
  if (code == GS_OK) Py_RETURN_NONE;
  return code == GS_EPERM ? not_held(what) : raise_detail(code, what);
}

/* A new object whose fields are zero, which is what the scheduler's structs begin with. */
static PyObject *plain_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  if (PyTuple_GET_SIZE(args) || (kw && PyDict_GET_SIZE(kw))) {
    PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
    return NULL;
  }
  return type->tp_alloc(type, 0);
}

#define DEALLOC(name, Type)                        \
  static void name##_dealloc(PyObject *self) {     \
    Type *o = (Type *)self;                        \
    if (o->weakrefs) PyObject_ClearWeakRefs(self); \
    Py_TYPE(self)->tp_free(self);                  \
  }
#define FAST(fn) (PyCFunction)(void (*)(void)) fn, METH_FASTCALL | METH_KEYWORDS
#define ARGS PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames

/* ---- Mutex ---- */

typedef struct {
  PyObject_HEAD gs_mutex m;
  PyObject *weakrefs;
} Mutex;

static int mutex_lock(void *m, int64_t deadline) { return gs_mutex_lock((gs_mutex *)m, deadline); }

PyDoc_STRVAR(acquire_doc,
             "acquire(blocking=True, timeout=None)\n--\n\n"
             "Acquires it; waits until it can, at most timeout seconds.\n\n"
             "Returns True; False if blocking is false and it would have to wait.\n"
             "Raises TimeoutError, Cancelled.  On an ordinary thread it blocks that thread.");
static PyObject *mutex_acquire(ARGS) {
  return acquire(mutex_lock, &((Mutex *)self)->m, args, nargs, kwnames, "Mutex.acquire");
}

PyDoc_STRVAR(release_doc, "release()\n--\n\nReleases it.  Raises Error if it is not acquired.");
static PyObject *mutex_release(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  return done(gs_mutex_unlock(&((Mutex *)self)->m), "Mutex.release");
}

/* Anybody may change that at any time, unless it is the caller who holds it. */
static bool mutex_is_locked(const gs_mutex *m) {
  return __atomic_load_n(&m->state, __ATOMIC_ACQUIRE) != 0;
}

PyDoc_STRVAR(locked_doc, "locked()\n--\n\nTrue if somebody has acquired it.");
static PyObject *mutex_locked(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(mutex_is_locked(&((Mutex *)self)->m));
}

/* with: gives the object itself, as threading's do not, but files and sockets do. */
static PyObject *mutex_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = wait_for(mutex_lock, &((Mutex *)self)->m, GS_FOREVER, "Mutex.acquire");
  if (code != GS_OK) return raise_code(code, "Mutex.acquire");
  Py_INCREF(self);
  return self;
}

static PyObject *mutex_exit(PyObject *self, PyObject *args) {
  (void)args;
  return mutex_release(self, NULL);
}

DEALLOC(mutex, Mutex)

static PyMethodDef mutex_methods[] = {
    {"acquire", FAST(mutex_acquire), acquire_doc},
    {"release", mutex_release, METH_NOARGS, release_doc},
    {"locked", mutex_locked, METH_NOARGS, locked_doc},
    {"__enter__", mutex_enter, METH_NOARGS, NULL},
    {"__exit__", mutex_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(mutex_doc,
             "Mutex()\n--\n\n"
             "Mutual exclusion; `with mutex:` holds it.  Who releases it need not be who acquired\n"
             "it; acquiring it twice waits for ever (RLock does not).");
static PyTypeObject MutexType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Mutex",
    .tp_doc = mutex_doc,
    .tp_basicsize = sizeof(Mutex),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = plain_new,
    .tp_dealloc = mutex_dealloc,
    .tp_weaklistoffset = offsetof(Mutex, weakrefs),
    .tp_methods = mutex_methods,
};

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
  PyObject *got = acquire(rlock_lock, l, args, nargs, kwnames, "RLock.acquire");
  if (got == Py_True) {
    l->owner = me;
    l->count = 1;
  }
  return got;
}

PyDoc_STRVAR(rlock_release_doc,
             "release()\n--\n\n"
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
  return done(gs_mutex_unlock(&l->m), "RLock.release");
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
    {"acquire", FAST(rlock_acquire), acquire_doc},
    {"release", rlock_release, METH_NOARGS, rlock_release_doc},
    {"locked", rlock_locked, METH_NOARGS, locked_doc},
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
    .tp_new = plain_new,
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
  if (timeout != -1 && parse_timeout(in[1], &deadline) < 0) return NULL;
  uint64_t me = who_is_here();
  if (l->owner == me) {
    l->count++;
    Py_RETURN_TRUE;
  }
  stay_check();
  int code = gs_mutex_try_lock(&l->m);
  if (code == GS_EWOULDBLOCK && blocking) code = wait_for(rlock_lock, l, deadline, "RLock.acquire");
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
    pin_check(r);
    r->where = state_waiting;
    while ((code = gs_mutex_lock(&l->m, GS_FOREVER)) != GS_OK)
      if (code == GS_ECANCELED)
        gs_uncancel();
      else if (code != GS_EINTR)
        break;
    op_end(r);
    if (r->obj && r->obj->cancels && !r->obj->shields && r->obj->handle) gs_cancel(r->obj->handle);
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
  if (rec_here()) return wait_for(cond_wait, c, deadline, "Condition.wait");
  int code;
  Py_BEGIN_ALLOW_THREADS code = cond_wait(c, deadline);
  Py_END_ALLOW_THREADS return code;
}

PyDoc_STRVAR(cond_wait_doc,
             "wait(timeout=None)\n--\n\n"
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
             "notify(n=1)\n--\n\n"
             "Wakes the first n that wait (all for more than 1000).  Raises Error if the lock is "
             "not acquired.");
static PyObject *condition_notify(ARGS) {
  static const char *const names[] = {"n", NULL};
  Condition *c = (Condition *)self;
  PyObject *arg;
  if (parse_args("Condition.notify", args, nargs, kwnames, names, 0, &arg) < 0) return NULL;
  Py_ssize_t n = arg ? PyNumber_AsSsize_t(arg, PyExc_OverflowError) : 1;
  if (PyErr_Occurred() || !cond_held(c, "Condition.notify")) return NULL;
  if (n > MANY) return done(gs_cond_broadcast(&c->c), "Condition.notify");
  for (Py_ssize_t i = 0; i < n; i++) gs_cond_signal(&c->c);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(notify_all_doc, "notify_all()\n--\n\nWakes all that wait.");
static PyObject *condition_notify_all(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Condition *c = (Condition *)self;
  if (!cond_held(c, "Condition.notify_all")) return NULL;
  return done(gs_cond_broadcast(&c->c), "Condition.notify_all");
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
    {"acquire", FAST(condition_acquire), acquire_doc},
    {"release", condition_release, METH_NOARGS, release_doc},
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

/* ---- Semaphore ---- */

typedef struct {
  PyObject_HEAD gs_sema s;
  PyObject *weakrefs;
} Semaphore;

static int sema_acquire(void *s, int64_t deadline) { return gs_sema_acquire(s, deadline); }

static PyObject *sema_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  static char *names[] = {"value", NULL};
  Py_ssize_t value = 1;
  if (!PyArg_ParseTupleAndKeywords(args, kw, "|n:Semaphore", names, &value)) return NULL;
  if (value < 0 || value > GS_SEMA_MAX) {
    PyErr_Format(PyExc_ValueError, "Semaphore: value is %zd; 0 to %u is accepted", value,
                 GS_SEMA_MAX);
    return NULL;
  }
  Semaphore *s = (Semaphore *)type->tp_alloc(type, 0);
  if (s) gs_sema_init(&s->s, (uint32_t)value);
  return (PyObject *)s;
}

static PyObject *semaphore_acquire(ARGS) {
  return acquire(sema_acquire, &((Semaphore *)self)->s, args, nargs, kwnames, "Semaphore.acquire");
}

PyDoc_STRVAR(sema_release_doc,
             "release(n=1)\n--\n\n"
             "Gives n back.  Those that wait get them in the order in which they came.");
static PyObject *semaphore_release(ARGS) {
  static const char *const names[] = {"n", NULL};
  PyObject *arg;
  if (parse_args("Semaphore.release", args, nargs, kwnames, names, 0, &arg) < 0) return NULL;
  Py_ssize_t n = arg ? PyNumber_AsSsize_t(arg, PyExc_OverflowError) : 1;
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (n < 1 || n > GS_SEMA_MAX) {
    PyErr_Format(PyExc_ValueError, "Semaphore.release: n is %zd; 1 to %u is accepted", n,
                 GS_SEMA_MAX);
    return NULL;
  }
  stay_check();
  return done(gs_sema_release(&((Semaphore *)self)->s, (uint32_t)n), "Semaphore.release");
}

static PyObject *semaphore_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = wait_for(sema_acquire, &((Semaphore *)self)->s, GS_FOREVER, "Semaphore.acquire");
  if (code != GS_OK) return raise_code(code, "Semaphore.acquire");
  Py_INCREF(self);
  return self;
}

static PyObject *semaphore_exit(PyObject *self, PyObject *args) {
  (void)args;
  return semaphore_release(self, NULL, 0, NULL);
}

DEALLOC(sema, Semaphore)

static PyMethodDef sema_methods[] = {
    {"acquire", FAST(semaphore_acquire), acquire_doc},
    {"release", FAST(semaphore_release), sema_release_doc},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", semaphore_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(sema_doc,
             "Semaphore(value=1)\n--\n\n"
             "At most value holders at once; `with semaphore:` holds one of them.\n\n"
             "value: 0 to 2**30.");
static PyTypeObject SemaType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Semaphore",
    .tp_doc = sema_doc,
    .tp_basicsize = sizeof(Semaphore),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = sema_new,
    .tp_dealloc = sema_dealloc,
    .tp_weaklistoffset = offsetof(Semaphore, weakrefs),
    .tp_methods = sema_methods,
};

/* ---- Event: a wait group of one, which is done when the event is set ---- */

typedef struct {
  PyObject_HEAD gs_waitgroup w;
  bool set;
  PyObject *weakrefs;
} Event;

static int group_wait(void *w, int64_t deadline) { return gs_waitgroup_wait(w, deadline); }

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  Event *e = (Event *)plain_new(type, args, kw);
  if (e) gs_waitgroup_add(&e->w, 1);
  return (PyObject *)e;
}

static PyObject *event_set(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Event *e = (Event *)self;
  if (e->set) Py_RETURN_NONE;
  e->set = true;
  stay_check();
  return done(gs_waitgroup_done(&e->w), "Event.set");
}

static PyObject *event_clear(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Event *e = (Event *)self;
  if (!e->set) Py_RETURN_NONE;
  e->set = false;
  stay_check();
  return done(gs_waitgroup_add(&e->w, 1), "Event.clear");
}

static PyObject *event_is_set(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(((Event *)self)->set);
}

static PyObject *wait_with_timeout(void *w, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames, const char *what) {
  static const char *const names[] = {"timeout", NULL};
  PyObject *timeout;
  int64_t deadline;
  if (parse_args(what, args, nargs, kwnames, names, 0, &timeout) < 0) return NULL;
  if (parse_timeout(timeout, &deadline) < 0) return NULL;
  stay_check();
  int code = wait_for(group_wait, w, deadline, what);
  if (code == GS_OK) Py_RETURN_TRUE;
  return raise_code(code, what);
}

PyDoc_STRVAR(event_wait_doc,
             "wait(timeout=None)\n--\n\n"
             "Waits until it is set, at most timeout seconds.  Returns True.\n\n"
             "Raises TimeoutError, Cancelled.");
static PyObject *event_wait(ARGS) {
  return wait_with_timeout(&((Event *)self)->w, args, nargs, kwnames, "Event.wait");
}

DEALLOC(event, Event)

static PyMethodDef event_methods[] = {
    {"set", event_set, METH_NOARGS, "set()\n--\n\nSets it: all that wait go on, and who comes."},
    {"clear", event_clear, METH_NOARGS, "clear()\n--\n\nWho waits from now on waits for set."},
    {"is_set", event_is_set, METH_NOARGS, "is_set()\n--\n\nTrue between set and clear."},
    {"wait", FAST(event_wait), event_wait_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(event_doc, "Event()\n--\n\nSomething that happens once, until clear; many may wait.");
static PyTypeObject EventType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Event",
    .tp_doc = event_doc,
    .tp_basicsize = sizeof(Event),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = event_new,
    .tp_dealloc = event_dealloc,
    .tp_weaklistoffset = offsetof(Event, weakrefs),
    .tp_methods = event_methods,
};

/* ---- WaitGroup ---- */

typedef struct {
  PyObject_HEAD gs_waitgroup w;
  PyObject *weakrefs;
} WaitGroup;

static PyObject *count_up(PyObject *self, int n, const char *what) {
  stay_check();
  int code = gs_waitgroup_add(&((WaitGroup *)self)->w, n);
  if (code == GS_OK) Py_RETURN_NONE;
  PyErr_Format(PyExc_ValueError, "%s: %d would make the count negative, or too large", what, n);
  return NULL;
}

static PyObject *group_add(ARGS) {
  static const char *const names[] = {"n", NULL};
  PyObject *arg;
  if (parse_args("WaitGroup.add", args, nargs, kwnames, names, 0, &arg) < 0) return NULL;
  long n = arg ? PyLong_AsLong(arg) : 1;
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (n > INT_MAX || n < -INT_MAX) {
    PyErr_Format(PyExc_ValueError, "WaitGroup.add: n is %ld; that is too large", n);
    return NULL;
  }
  return count_up(self, (int)n, "WaitGroup.add");
}

static PyObject *group_done(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return count_up(self, -1, "WaitGroup.done");
}

PyDoc_STRVAR(group_wait_doc,
             "wait(timeout=None)\n--\n\n"
             "Waits until the count is 0, at most timeout seconds.  Returns True.\n\n"
             "Raises TimeoutError, Cancelled.");
static PyObject *waitgroup_wait(ARGS) {
  return wait_with_timeout(&((WaitGroup *)self)->w, args, nargs, kwnames, "WaitGroup.wait");
}

DEALLOC(waitgroup, WaitGroup)

static PyMethodDef group_methods[] = {
    {"add", FAST(group_add), "add(n=1)\n--\n\nCounts n more that are still to be done."},
    {"done", group_done, METH_NOARGS, "done()\n--\n\nOne of them is done."},
    {"wait", FAST(waitgroup_wait), group_wait_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(group_doc,
             "WaitGroup()\n--\n\n"
             "Counts what is still to be done.  Count up before starting it, not inside.\n"
             "TaskGroup does this for green threads, and takes care of their errors.");
static PyTypeObject GroupType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.WaitGroup",
    .tp_doc = group_doc,
    .tp_basicsize = sizeof(WaitGroup),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = plain_new,
    .tp_dealloc = waitgroup_dealloc,
    .tp_weaklistoffset = offsetof(WaitGroup, weakrefs),
    .tp_methods = group_methods,
};

int sync_init(PyObject *module) {
  static const struct {
    const char *name;
    PyTypeObject *type;
  } all[] = {{"Mutex", &MutexType},     {"RLock", &RLockType},
             {"_Condition", &CondType}, {"_ThreadingRLock", &ThreadingType},
             {"Semaphore", &SemaType},  {"Event", &EventType},
             {"WaitGroup", &GroupType}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (PyType_Ready(all[i].type) < 0) return -1;
    Py_INCREF(all[i].type);
    if (PyModule_AddObject(module, all[i].name, (PyObject *)all[i].type) < 0) return -1;
  }
  return 0;
}
