/* sync.c: Mutex, Semaphore, Event and WaitGroup over the scheduler's own; rlock.c has the rest.
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

#include "sync.h"
#include "tstate.h"

/* ---- waiting ----------------------------------------------------------------------------------
 */

#define SLICE_NS 50000000 /* on ordinary threads: between two looks for signals */

static int wait_on_thread(wait_fn fn, void *object, int64_t deadline) {
  for (;;) {
    int code;
    int64_t slice = gs_now() + SLICE_NS;
    Py_BEGIN_ALLOW_THREADS code = fn(object, slice < deadline ? slice : deadline);
    Py_END_ALLOW_THREADS if (code != GS_ETIMEOUT || gs_now() >= deadline) return code;
    if (PyErr_CheckSignals() < 0) return RAISED;
  }
}

int sync_wait(wait_fn fn, void *object, int64_t deadline, const char *what) {
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
PyObject *sync_acquire(wait_fn fn, void *object, PyObject *const *args, Py_ssize_t nargs,
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
  int code = blocking ? sync_wait(fn, object, deadline, what) : fn(object, 0);
  if (code == GS_OK) Py_RETURN_TRUE;
  if (!blocking && (code == GS_ETIMEOUT || code == GS_EWOULDBLOCK || code == GS_ECANCELED))
    Py_RETURN_FALSE;
  return raise_code(code, what);
}

static PyObject *not_held(const char *what) {
  PyErr_Format(exc_Error, "%s: it is not acquired", what);
  return NULL;
}

PyObject *sync_done(int code, const char *what) {
  if (code == GS_OK) Py_RETURN_NONE;
  return code == GS_EPERM ? not_held(what) : raise_detail(code, what);
}

/* A new object whose fields are zero, which is what the scheduler's structs begin with. */
PyObject *sync_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  if (PyTuple_GET_SIZE(args) || (kw && PyDict_GET_SIZE(kw))) {
    PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
    return NULL;
  }
  return type->tp_alloc(type, 0);
}

/* ---- Mutex ---- */

static int mutex_lock(void *m, int64_t deadline) { return gs_mutex_lock((gs_mutex *)m, deadline); }

const char sync_acquire_doc[] =
    "acquire($self, /, blocking=True, timeout=None)\n--\n\n"
    "Acquires it; waits until it can, at most timeout seconds.\n\n"
    "Returns True; False if blocking is false and it would have to wait.\n"
    "Raises TimeoutError, Cancelled.  On an ordinary thread it blocks that thread.";
PyObject *mutex_acquire(ARGS) {
  return sync_acquire(mutex_lock, &((Mutex *)self)->m, args, nargs, kwnames, "Mutex.acquire");
}

const char sync_release_doc[] =
    "release($self, /)\n--\n\nReleases it.  Raises Error if it is not acquired.";
PyObject *mutex_release(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  return sync_done(gs_mutex_unlock(&((Mutex *)self)->m), "Mutex.release");
}

const char sync_locked_doc[] = "locked($self, /)\n--\n\nTrue if somebody has acquired it.";
static PyObject *mutex_locked(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(mutex_is_locked(&((Mutex *)self)->m));
}

/* with: gives the object itself, as threading's do not, but files and sockets do. */
static PyObject *mutex_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = sync_wait(mutex_lock, &((Mutex *)self)->m, GS_FOREVER, "Mutex.acquire");
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
    {"acquire", FAST(mutex_acquire), sync_acquire_doc},
    {"release", mutex_release, METH_NOARGS, sync_release_doc},
    {"locked", mutex_locked, METH_NOARGS, sync_locked_doc},
    {"__enter__", mutex_enter, METH_NOARGS, NULL},
    {"__exit__", mutex_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(mutex_doc,
             "Mutex()\n--\n\n"
             "Mutual exclusion; `with mutex:` holds it.  Who releases it need not be who acquired\n"
             "it; acquiring it twice waits for ever (RLock does not).");
PyTypeObject MutexType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Mutex",
    .tp_doc = mutex_doc,
    .tp_basicsize = sizeof(Mutex),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = sync_new,
    .tp_dealloc = mutex_dealloc,
    .tp_weaklistoffset = offsetof(Mutex, weakrefs),
    .tp_methods = mutex_methods,
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
  return sync_acquire(sema_acquire, &((Semaphore *)self)->s, args, nargs, kwnames,
                      "Semaphore.acquire");
}

PyDoc_STRVAR(sema_release_doc,
             "release($self, /, n=1)\n--\n\n"
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
  return sync_done(gs_sema_release(&((Semaphore *)self)->s, (uint32_t)n), "Semaphore.release");
}

static PyObject *semaphore_enter(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = sync_wait(sema_acquire, &((Semaphore *)self)->s, GS_FOREVER, "Semaphore.acquire");
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
    {"acquire", FAST(semaphore_acquire), sync_acquire_doc},
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
  Event *e = (Event *)sync_new(type, args, kw);
  if (e) gs_waitgroup_add(&e->w, 1);
  return (PyObject *)e;
}

static PyObject *event_set(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Event *e = (Event *)self;
  if (e->set) Py_RETURN_NONE;
  e->set = true;
  stay_check();
  return sync_done(gs_waitgroup_done(&e->w), "Event.set");
}

static PyObject *event_clear(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Event *e = (Event *)self;
  if (!e->set) Py_RETURN_NONE;
  e->set = false;
  stay_check();
  return sync_done(gs_waitgroup_add(&e->w, 1), "Event.clear");
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
  int code = sync_wait(group_wait, w, deadline, what);
  if (code == GS_OK) Py_RETURN_TRUE;
  return raise_code(code, what);
}

PyDoc_STRVAR(event_wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Waits until it is set, at most timeout seconds.  Returns True.\n\n"
             "Raises TimeoutError, Cancelled.");
static PyObject *event_wait(ARGS) {
  return wait_with_timeout(&((Event *)self)->w, args, nargs, kwnames, "Event.wait");
}

DEALLOC(event, Event)

static PyMethodDef event_methods[] = {
    {"set", event_set, METH_NOARGS,
     "set($self, /)\n--\n\nSets it: all that wait go on, and who comes."},
    {"clear", event_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nWho waits from now on waits for set."},
    {"is_set", event_is_set, METH_NOARGS, "is_set($self, /)\n--\n\nTrue between set and clear."},
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
             "wait($self, /, timeout=None)\n--\n\n"
             "Waits until the count is 0, at most timeout seconds.  Returns True.\n\n"
             "Raises TimeoutError, Cancelled.");
static PyObject *waitgroup_wait(ARGS) {
  return wait_with_timeout(&((WaitGroup *)self)->w, args, nargs, kwnames, "WaitGroup.wait");
}

DEALLOC(waitgroup, WaitGroup)

static PyMethodDef group_methods[] = {
    {"add", FAST(group_add), "add($self, /, n=1)\n--\n\nCounts n more that are still to be done."},
    {"done", group_done, METH_NOARGS, "done($self, /)\n--\n\nOne of them is done."},
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
    .tp_new = sync_new,
    .tp_dealloc = waitgroup_dealloc,
    .tp_weaklistoffset = offsetof(WaitGroup, weakrefs),
    .tp_methods = group_methods,
};

int sync_init(PyObject *module) {
  static const struct {
    const char *name;
    PyTypeObject *type;
  } all[] = {{"Mutex", &MutexType},

             {"Semaphore", &SemaType},
             {"Event", &EventType},
             {"WaitGroup", &GroupType}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (PyType_Ready(all[i].type) < 0) return -1;
    Py_INCREF(all[i].type);
    if (PyModule_AddObject(module, all[i].name, (PyObject *)all[i].type) < 0) return -1;
  }
  return rlock_init(module);
}
