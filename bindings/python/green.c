/* green.c: GreenThread, the Python object that stands for a green thread.
 *
 * Its function, arguments and context are dropped as soon as the function has returned; what stays
 * is the result or the exception.  The traceback is kept beside the exception: every time the
 * exception is raised again it starts from there, so that asking twice does not make it longer.
 *
 * An error that nobody asks for goes to gosched.excepthook when the object dies, because only then
 * is it certain that nobody will: at once if nobody kept the object.
 *
 * Every gs_ function may let other green threads run before it returns, so nothing that the GIL
 * guards stays as it was over such a call.
 */
#include <stddef.h>

#include "tstate.h"

static Green *live; /* those that have not ended, newest first; GIL */

void green_link(Green *g) {
  g->next = live;
  g->prev = NULL;
  if (live) live->prev = g;
  live = g;
}

void green_unlink(Green *g) {
  if (g->prev)
    g->prev->next = g->next;
  else if (live == g)
    live = g->next;
  else
    return;
  if (g->next) g->next->prev = g->prev;
  g->next = g->prev = NULL;
}

Green *green_first(void) { return live; }

/* ---- running ----------------------------------------------------------------------------------
 */

static PyObject *call_fn(Green *g) {
  if (gs_cancelled()) return raise_code(GS_ECANCELED, NULL);
  if (PyContext_Enter(g->context) < 0) return NULL;
  PyObject *args = g->args;
  size_t n =
      (size_t)PyTuple_GET_SIZE(args) - (g->kwnames ? (size_t)PyTuple_GET_SIZE(g->kwnames) : 0);
  PyObject *result = PyObject_Vectorcall(g->fn, ((PyTupleObject *)args)->ob_item, n, g->kwnames);
  PyObject *error = result ? NULL : error_take();
  int left = PyContext_Exit(g->context);
  if (error) {
    if (left < 0) PyErr_Clear();
    error_put(error);
  } else if (left < 0) {
    Py_CLEAR(result);
  }
  return result;
}

/* What threading.settrace and setprofile ask for in new threads: debuggers, coverage. */
static PyObject *threading_names; /* the module's dict; NULL: not known; write-once, GIL */
static PyObject *trace_hook, *profile_hook; /* the names there; with it */

PyObject *green_on_begin(PyObject *names) {
  if (!PyDict_Check(names)) {
    PyErr_SetString(PyExc_TypeError, "_on_begin: expected the dict of threading");
    return NULL;
  }
  if (!trace_hook) trace_hook = PyUnicode_InternFromString("_trace_hook");
  if (!profile_hook) profile_hook = PyUnicode_InternFromString("_profile_hook");
  if (!trace_hook || !profile_hook) return NULL;
  Py_INCREF(names);
  Py_XSETREF(threading_names, names);
  Py_RETURN_NONE;
}

static int use_hook(PyObject *name, const char *setter) {
  PyObject *hook = threading_names ? PyDict_GetItemWithError(threading_names, name) : NULL;
  if (!hook || hook == Py_None) return PyErr_Occurred() ? -1 : 0;
  PyObject *set = PySys_GetObject(setter);
  Py_INCREF(hook);
  PyObject *r = set ? PyObject_CallOneArg(set, hook) : NULL;
  Py_DECREF(hook);
  Py_XDECREF(r);
  return r || !set ? 0 : -1;
}

static int begin(void) {
  return use_hook(trace_hook, "settrace") < 0 ? -1 : use_hook(profile_hook, "setprofile");
}

static void tell_owner(Green *g) {
  PyObject *exc = g->exc ? g->exc : Py_None;
  PyObject *r = PyObject_CallFunctionObjArgs(g->on_end, (PyObject *)g, exc, NULL);
  if (!r) PyErr_WriteUnraisable(g->on_end);
  Py_XDECREF(r);
}

void green_run(Green *g) {
  g->result = begin() < 0 ? NULL : call_fn(g);
  if (!g->result) {
    g->exc = error_take();
    g->tb = PyException_GetTraceback(g->exc);
  }
  /* Before `finished`: who sees that it has ended may rely on the owner knowing it. */
  if (g->on_end) tell_owner(g);
  g->finished = true;
  green_unlink(g);
  Py_CLEAR(g->fn);
  Py_CLEAR(g->args);
  Py_CLEAR(g->kwnames);
  Py_CLEAR(g->context);
  Py_CLEAR(g->on_end);
}

/* In a child of fork, where it does not go on: as if it had been cancelled and had ended. */
static void forked(Green *g) {
  raise_code(GS_ECANCELED, NULL);
  g->exc = error_take();
  g->retrieved = true;
  g->ready = NULL; /* CPython has deleted its thread state */
  g->rec = NULL;
  g->finished = true;
  green_unlink(g);
  Py_CLEAR(g->fn);
  Py_CLEAR(g->args);
  Py_CLEAR(g->kwnames);
  Py_CLEAR(g->context);
  Py_CLEAR(g->on_end);
  Py_DECREF(g); /* the one of its running */
}

/* mine: the one that forked, or NULL.  What is dropped may run code that changes the list. */
void green_forked(const Green *mine) {
  for (Green *g = live; g;) {
    Green *gone = g;
    g = g->next;
    if (gone == mine) continue;
    forked(gone);
    g = live;
  }
}

/* ---- cancelling ---- */

void green_cancel(Green *g) {
  if (g->finished) return;
  g->cancels++;
  if (g->shields) return; /* told when it leaves the block */
  stay_check();
  if (g->handle)
    gs_cancel(g->handle);
  else
    gs_notify();
  if (g->unblock) unblock_call(g->unblock);
}

void green_cancel_all(void) {
  Green *g = live;
  while (g) {
    Py_INCREF(g);
    if (!g->cancels) green_cancel(g);
    Green *next = g->finished ? live : g->next;
    Py_DECREF(g);
    g = next;
  }
}

/* ---- making ---- */

static PyObject *name_of(PyObject *fn) {
  PyObject *name = PyObject_GetAttrString(fn, "__qualname__");
  if (name && PyUnicode_Check(name)) return name;
  Py_XDECREF(name);
  PyErr_Clear();
  return PyUnicode_FromString(Py_TYPE(fn)->tp_name);
}

/* Called with a copy of a context that has something in it: of some things a green thread must have
 * one of its own (gosched._identity). */
static PyObject *own_things;

PyObject *green_on_context(PyObject *fn) {
  Py_INCREF(fn);
  Py_XSETREF(own_things, fn);
  Py_RETURN_NONE;
}

Green *green_new(PyObject *fn, PyObject *const *args, size_t nargs, PyObject *kwnames) {
  size_t total = nargs + (kwnames ? (size_t)PyTuple_GET_SIZE(kwnames) : 0);
  Green *g = PyObject_GC_New(Green, &GreenType);
  if (!g) return NULL;
  memset((char *)g + offsetof(Green, handle), 0, sizeof *g - offsetof(Green, handle));
  Py_INCREF(fn);
  g->fn = fn;
  Py_XINCREF(kwnames);
  g->kwnames = kwnames;
  if (!(g->args = PyTuple_New((Py_ssize_t)total)) || !(g->name = name_of(fn)) ||
      !(g->context = PyContext_CopyCurrent())) {
    Py_DECREF(g);
    return NULL;
  }
  for (size_t i = 0; i < total; i++) {
    Py_INCREF(args[i]);
    PyTuple_SET_ITEM(g->args, (Py_ssize_t)i, args[i]);
  }
  PyObject_GC_Track(g);
  if (own_things && PyObject_Size(g->context) > 0) {
    PyObject *r = PyObject_CallOneArg(own_things, g->context);
    if (!r) {
      Py_DECREF(g);
      return NULL;
    }
    Py_DECREF(r);
  }
  return g;
}

static int green_traverse(Green *g, visitproc visit, void *arg) {
  Py_VISIT(g->fn);
  Py_VISIT(g->args);
  Py_VISIT(g->kwnames);
  Py_VISIT(g->context);
  Py_VISIT(g->on_end);
  Py_VISIT(g->result);
  Py_VISIT(g->exc);
  Py_VISIT(g->tb);
  return 0;
}

static int green_clear(Green *g) {
  Py_CLEAR(g->fn);
  Py_CLEAR(g->args);
  Py_CLEAR(g->kwnames);
  Py_CLEAR(g->context);
  Py_CLEAR(g->on_end);
  Py_CLEAR(g->result);
  Py_CLEAR(g->exc);
  Py_CLEAR(g->tb);
  return 0;
}

/* Calls gosched.excepthook, whatever it is now. */
static void report(Green *g) {
  g->retrieved = true;
  PyObject *hook = NULL, *r = NULL;
  PyObject *module = PyImport_ImportModule("gosched");
  if (module) hook = PyObject_GetAttrString(module, "_report");
  PyObject *tb = g->tb ? g->tb : Py_None; /* none: its function was not a Python one */
  if (hook) r = PyObject_CallFunctionObjArgs(hook, (PyObject *)g, g->exc, tb, NULL);
  if (!r) PyErr_WriteUnraisable((PyObject *)g);
  Py_XDECREF(r);
  Py_XDECREF(hook);
  Py_XDECREF(module);
}

static void green_finalize(PyObject *self) {
  Green *g = (Green *)self;
  if (!g->exc || g->retrieved || PyErr_GivenExceptionMatches(g->exc, exc_Cancelled)) return;
  PyObject *error = error_take();
  report(g);
  if (error) error_put(error);
}

static void green_dealloc(PyObject *self) {
  Green *g = (Green *)self;
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  if (g->weakrefs) PyObject_ClearWeakRefs(self);
  gs_handle_release(g->handle);
  green_clear(g);
  Py_CLEAR(g->name);
  PyObject_GC_Del(self);
}

/* ---- what Python sees ---- */

/* Waits for the end; timeout as in Python.  -1: an exception is set. */
static int wait_end(Green *g, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                    const char *what) {
  static const char *const names[] = {"timeout", NULL};
  PyObject *timeout;
  int64_t deadline;
  if (parse_args(what, args, nargs, kwnames, names, 0, &timeout) < 0) return -1;
  if (parse_timeout(timeout, &deadline) < 0) return -1;
  int code = green_wait(g, deadline, false, what);
  if (code != GS_OK) {
    raise_code(code, what);
    return -1;
  }
  g->retrieved = true;
  return 0;
}

PyDoc_STRVAR(join_doc,
             "join($self, /, timeout=None)\n--\n\n"
             "Waits until the green thread has ended, well or not.\n\n"
             "timeout: seconds, or None to wait for ever.\n"
             "Raises TimeoutError; Cancelled if the caller is cancelled meanwhile.\n"
             "On a thread that runs no green thread it blocks that thread.");
static PyObject *green_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
  if (wait_end((Green *)self, args, nargs, kwnames, "GreenThread.join") < 0) return NULL;
  Py_RETURN_NONE;
}

PyDoc_STRVAR(result_doc,
             "result($self, /, timeout=None)\n--\n\n"
             "Waits like join; then gives what the function returned, or raises what it raised,\n"
             "with its traceback (Cancelled if it was cancelled).");
static PyObject *green_result(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames) {
  Green *g = (Green *)self;
  if (wait_end(g, args, nargs, kwnames, "GreenThread.result") < 0) return NULL;
  if (g->exc) {
    PyException_SetTraceback(g->exc, g->tb ? g->tb : Py_None);
    Py_INCREF(g->exc);
    error_put(g->exc);
    return NULL;
  }
  Py_INCREF(g->result);
  return g->result;
}

PyDoc_STRVAR(exception_doc,
             "exception($self, /, timeout=None)\n--\n\n"
             "Waits like join; then gives what the function raised, or None.");
static PyObject *green_exception(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
  Green *g = (Green *)self;
  if (wait_end(g, args, nargs, kwnames, "GreenThread.exception") < 0) return NULL;
  PyObject *exc = g->exc ? g->exc : Py_None;
  Py_INCREF(exc);
  return exc;
}

PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /)\n--\n\n"
    "Asks the green thread to stop.  What it waits in raises gosched.Cancelled there, and so\n"
    "does everything in which it would wait later; if it has not started, its function is\n"
    "not called.  A foreign call is not interrupted.  Does nothing after the end.");
static PyObject *green_cancel_(PyObject *self, PyObject *ignored) {
  (void)ignored;
  green_cancel((Green *)self);
  Py_RETURN_NONE;
}

/* The calling green thread; NULL with an exception. */
static Green *myself(PyObject *self) {
  const Rec *r = rec_here();
  if (r && (PyObject *)r->obj == self) return r->obj;
  PyErr_SetString(exc_Error, "only the green thread itself can do that");
  return NULL;
}

PyDoc_STRVAR(uncancel_doc,
             "_uncancel($self, /)\n--\n\n"
             "Takes one request of the calling green thread back; gives how many are left.");
static PyObject *green_uncancel(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Green *g = myself(self);
  if (!g) return NULL;
  if (g->cancels > 0 && --g->cancels == 0 && g->handle) gs_uncancel();
  return PyLong_FromLong(g->cancels);
}

PyDoc_STRVAR(
    shield_doc,
    "_shield($self, on, /)\n--\n\n"
    "From now on (in one more block, if on) requests to stop the calling green thread wait\n"
    "until the block is left.");
static PyObject *green_shield(PyObject *self, PyObject *on) {
  Green *g = myself(self);
  if (!g) return NULL;
  if (PyObject_IsTrue(on)) {
    if (g->shields++ == 0 && g->handle) gs_uncancel();
  } else if (--g->shields == 0 && g->cancels) {
    stay_check();
    if (g->handle)
      gs_cancel(g->handle);
    else
      gs_notify();
    if (g->unblock) unblock_call(g->unblock);
  }
  Py_RETURN_NONE;
}

PyDoc_STRVAR(
    expire_doc,
    "_expire($self, scope, /)\n--\n\n"
    "If scope._open is true: makes scope._expired true and cancels, at once for everybody.");
static PyObject *green_expire(PyObject *self, PyObject *scope) {
  PyObject *open = PyObject_GetAttrString(scope, "_open");
  if (!open) return NULL;
  int is_open = open == Py_True; /* a plain bool, so nothing runs in between */
  Py_DECREF(open);
  if (is_open) {
    if (PyObject_SetAttrString(scope, "_expired", Py_True) < 0) return NULL;
    green_cancel((Green *)self);
  }
  Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc,
             "_wait($self, shielded, /)\n--\n\n"
             "Waits for the end without asking for the error.  shielded: also if the caller is\n"
             "cancelled meanwhile; the request holds again afterwards.");
static PyObject *green_wait_(PyObject *self, PyObject *shielded) {
  int code = green_wait((Green *)self, GS_FOREVER, PyObject_IsTrue(shielded), "TaskGroup");
  if (code != GS_OK) return raise_code(code, "TaskGroup");
  Py_RETURN_NONE;
}

PyDoc_STRVAR(done_doc, "done($self, /)\n--\n\nTrue once the function has returned or raised.");
static PyObject *green_done(PyObject *self, PyObject *ignored) {
  (void)ignored;
  return PyBool_FromLong(((Green *)self)->finished);
}

static const char *state_of(const Green *g) {
  if (g->finished) return state_done;
  return g->rec ? g->rec->where : state_runnable;
}

static PyObject *green_repr(PyObject *self) {
  const Green *g = (Green *)self;
  return PyUnicode_FromFormat("<gosched.GreenThread %llu %R %s>", (unsigned long long)g->id,
                              g->name, state_of(g));
}

static PyObject *get_id(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromUnsignedLongLong(((Green *)self)->id);
}

static PyObject *get_state(PyObject *self, void *closure) {
  (void)closure;
  return PyUnicode_FromString(state_of((Green *)self));
}

static PyObject *get_name(PyObject *self, void *closure) {
  (void)closure;
  PyObject *name = ((Green *)self)->name;
  Py_INCREF(name);
  return name;
}

static int set_name(PyObject *self, PyObject *value, void *closure) {
  (void)closure;
  if (!value || !PyUnicode_Check(value)) {
    PyErr_Format(PyExc_TypeError, "GreenThread.name must be str, not %.100s",
                 value ? Py_TYPE(value)->tp_name : "deleted");
    return -1;
  }
  Py_INCREF(value);
  Py_SETREF(((Green *)self)->name, value);
  return 0;
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn, METH_FASTCALL | METH_KEYWORDS
static PyMethodDef green_methods[] = {
    {"join", FAST(green_join), join_doc},
    {"result", FAST(green_result), result_doc},
    {"exception", FAST(green_exception), exception_doc},
    {"cancel", green_cancel_, METH_NOARGS, cancel_doc},
    {"done", green_done, METH_NOARGS, done_doc},
    {"_uncancel", green_uncancel, METH_NOARGS, uncancel_doc},
    {"_wait", green_wait_, METH_O, wait_doc},
    {"_shield", green_shield, METH_O, shield_doc},
    {"_expire", green_expire, METH_O, expire_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "GreenThread[T], for annotations."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef green_getset[] = {
    {"id", get_id, NULL, "Its number, unique in the process; 0 before it was started.", NULL},
    {"name", get_name, set_name, "The qualified name of its function; may be set.", NULL},
    {"state", get_state, NULL,
     "'runnable' (not begun), 'running', 'waiting' (in an operation of gosched), 'syscall' (in a\n"
     "function of gosched.dlopen) or 'done'.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(green_doc,
             "A green thread, made by gosched.go or TaskGroup.go.\n\n"
             "An error that nobody asks for (by join, result or exception) goes to\n"
             "gosched.excepthook when the object dies.");

PyTypeObject GreenType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.GreenThread",
    .tp_doc = green_doc,
    .tp_basicsize = sizeof(Green),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = green_dealloc,
    .tp_finalize = green_finalize,
    .tp_traverse = (traverseproc)green_traverse,
    .tp_clear = (inquiry)green_clear,
    .tp_repr = green_repr,
    .tp_weaklistoffset = offsetof(Green, weakrefs),
    .tp_methods = green_methods,
    .tp_getset = green_getset,
};

int green_init(PyObject *module) {
  if (PyType_Ready(&GreenType) < 0) return -1;
  Py_INCREF(&GreenType);
  return PyModule_AddObject(module, "GreenThread", (PyObject *)&GreenType);
}
