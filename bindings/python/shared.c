/* shared.c: SharedChan, a channel that other languages of the process can open, too.
 *
 * It carries copies (value.c), no objects, so the garbage collector has nothing to do with it.  A
 * SharedChan is one holder of the scheduler's channel: who waits in a method has a reference to it,
 * so the channel does not go away meanwhile.
 *
 * Deadlocks.  While gosched.run is under way deadlock.c knows who may wake green threads.  At other
 * times Python's threads may use these channels without the scheduler knowing, and green threads of
 * other languages may wait there: so each is announced as one that is used from outside.
 */
#include <stddef.h>

#include "chan.h"
#include "shared.h"
#include "tstate.h"

#define METHOD(name) "SharedChan." name

PyDoc_STRVAR(send_doc,
             "send($self, /, value, timeout=None)\n--\n\n"
             "Sends a copy of the value; waits for room or for a receiver, at most timeout\n"
             "seconds.\n\n"
             "value: None, bool, int, float, str, bytes (bytearray, memoryview), or a list, tuple\n"
             "or dict of them.  Raises TypeError, which says what cannot be carried and where it\n"
             "is, OverflowError for an int of more than 64 bits, Closed, TimeoutError, Cancelled;\n"
             "then nothing was sent.");
static PyObject *shared_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
  static const char *const names[] = {"value", "timeout", NULL};
  gs_chan *ch = ((SharedChan *)self)->ch;
  PyObject *in[2];
  int64_t deadline;
  gs_value v;
  if (parse_args(METHOD("send"), args, nargs, kwnames, names, 1, in) < 0) return NULL;
  if (parse_timeout(in[1], &deadline) < 0) return NULL;
  if (value_of_object(in[0], &v, METHOD("send")) < 0) return NULL;
  Rec *r = op_begin(METHOD("send"), state_waiting);
  int code = RAISED;
  if (r) {
    do code = gs_chan_send(ch, &v, deadline);
    while (op_again(r, false, &code));
    op_end(r);
  }
  if (code == GS_OK) Py_RETURN_NONE;
  gs_value_free(&v);
  return raise_code(code, METHOD("send"));
}

static PyObject *receive(gs_chan *ch, int64_t deadline, int *code) {
  Rec *r = op_begin(METHOD("recv"), state_waiting);
  gs_value v;
  if (!r) {
    *code = RAISED;
    return NULL;
  }
  do *code = gs_chan_recv(ch, &v, deadline);
  while (op_again(r, false, code));
  op_end(r);
  if (*code != GS_OK) return NULL;
  *code = RAISED; /* if that fails */
  return object_of_value(&v);
}

PyDoc_STRVAR(recv_doc,
             "recv($self, /, timeout=None)\n--\n\n"
             "Receives a value; waits for one, at most timeout seconds.\n\n"
             "It is None, bool, int, float, str, bytes, or a list or dict of them, whatever\n"
             "language has sent it.\n"
             "Raises Closed once the channel is closed and empty, TimeoutError, Cancelled.");
static PyObject *shared_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
  static const char *const names[] = {"timeout", NULL};
  PyObject *timeout;
  int64_t deadline;
  int code;
  if (parse_args(METHOD("recv"), args, nargs, kwnames, names, 0, &timeout) < 0) return NULL;
  if (parse_timeout(timeout, &deadline) < 0) return NULL;
  PyObject *value = receive(((SharedChan *)self)->ch, deadline, &code);
  return value ? value : raise_code(code, METHOD("recv"));
}

static PyObject *shared_next(PyObject *self) {
  int code;
  PyObject *value = receive(((SharedChan *)self)->ch, GS_FOREVER, &code);
  if (!value && code != GS_ECLOSED) raise_code(code, METHOD("recv"));
  return value;
}

PyDoc_STRVAR(try_send_doc,
             "try_send($self, value, /)\n--\n\n"
             "send without waiting: raises WouldBlock instead.  Works on any thread.");
static PyObject *shared_try_send(PyObject *self, PyObject *value) {
  gs_value v;
  if (value_of_object(value, &v, METHOD("try_send")) < 0) return NULL;
  stay_check();
  int code = gs_chan_try_send(((SharedChan *)self)->ch, &v);
  if (code == GS_OK) Py_RETURN_NONE;
  gs_value_free(&v);
  return raise_code(code, METHOD("try_send"));
}

PyDoc_STRVAR(try_recv_doc,
             "try_recv($self, /)\n--\n\n"
             "recv without waiting: raises WouldBlock instead.  Works on any thread.");
static PyObject *shared_try_recv(PyObject *self, PyObject *ignored) {
  gs_value v;
  (void)ignored;
  stay_check();
  int code = gs_chan_try_recv(((SharedChan *)self)->ch, &v);
  return code == GS_OK ? object_of_value(&v) : raise_code(code, METHOD("try_recv"));
}

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "No more is sent, by nobody in any language: send raises Closed, also where one waits now.\n"
    "What is buffered can still be received.  Closing twice does nothing.  Works on any thread.");
static PyObject *shared_close(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = gs_chan_close(((SharedChan *)self)->ch);
  if (code != GS_OK && code != GS_ECLOSED) return raise_code(code, METHOD("close"));
  Py_RETURN_NONE;
}

static Py_ssize_t shared_len(PyObject *self) {
  return (Py_ssize_t)gs_chan_len(((SharedChan *)self)->ch);
}

static PyObject *get_capacity(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromSize_t(gs_chan_cap(((SharedChan *)self)->ch));
}

static PyObject *get_closed(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong(gs_chan_closed(((SharedChan *)self)->ch));
}

static PyObject *get_name(PyObject *self, void *closure) {
  (void)closure;
  return PyUnicode_FromString(gs_shared_name(((SharedChan *)self)->ch));
}

static PyObject *shared_repr(PyObject *self) {
  gs_chan *ch = ((SharedChan *)self)->ch;
  return PyUnicode_FromFormat("<gosched.SharedChan \"%s\" %zu of %zu%s>", gs_shared_name(ch),
                              gs_chan_len(ch), gs_chan_cap(ch),
                              gs_chan_closed(ch) ? ", closed" : "");
}

/* ---- life ---- */

static SharedChan *all;

void shared_run(bool begins) {
  for (SharedChan *c = all; c; c = c->next) {
    if (c->outside == !begins) continue;
    gs_shared_outside(c->ch, begins ? -1 : 1);
    c->outside = !begins;
  }
}

static void shared_dealloc(PyObject *self) {
  SharedChan *c = (SharedChan *)self;
  if (c->weakrefs) PyObject_ClearWeakRefs(self);
  if ((*c->link = c->next)) c->next->link = c->link;
  gs_lock_os_thread();
  if (c->outside) gs_shared_outside(c->ch, -1);
  gs_shared_release(c->ch);
  gs_unlock_os_thread();
  Py_TYPE(self)->tp_free(self);
}

PyDoc_STRVAR(
    shared_doc,
    "shared(name, capacity=None)\n--\n\n"
    "Opens the channel of that name, which every language of the process can open: gosched.shared\n"
    "in Lua, gosched::shared in Tcl, gs_shared_chan in C.\n\n"
    "name: 1 to 255 bytes of text.\n"
    "capacity: how many values wait in it before send waits; 0: send waits for a receiver;\n"
    "None: what it has if it is open, else 0.\n"
    "The channel lives as long as somebody has it open: in Python, as long as the SharedChan\n"
    "does.  With the last one goes what is buffered.\n"
    "Raises ValueError for a bad name, or if the channel is open with another capacity.");
static PyObject *mod_shared(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
  static const char *const names[] = {"name", "capacity", NULL};
  PyObject *in[2];
  (void)self;
  if (parse_args("gosched.shared", args, nargs, kwnames, names, 1, in) < 0) return NULL;
  Py_ssize_t n, capacity = -1;
  if (!PyUnicode_Check(in[0])) {
    PyErr_Format(PyExc_TypeError, "gosched.shared: name is of type %.100s, not str",
                 Py_TYPE(in[0])->tp_name);
    return NULL;
  }
  const char *name = PyUnicode_AsUTF8AndSize(in[0], &n);
  if (!name) return NULL;
  if (in[1] && in[1] != Py_None) {
    capacity = PyNumber_AsSsize_t(in[1], NULL);
    if (capacity == -1 && PyErr_Occurred()) return NULL;
    if (capacity < 0) {
      PyErr_Format(PyExc_ValueError,
                   "gosched.shared: capacity is %zd; it must be 0 (unbuffered) or more", capacity);
      return NULL;
    }
  }
  if (strlen(name) != (size_t)n) {
    PyErr_SetString(PyExc_ValueError, "gosched.shared: the name has a NUL in it");
    return NULL;
  }
  SharedChan *c = PyObject_New(SharedChan, &SharedChanType);
  if (!c) return NULL;
  c->ch = NULL;
  c->weakrefs = NULL;
  stay_check();
  int code = gs_shared_chan(name, capacity < 0 ? GS_SHARED_ANY : (size_t)capacity, &c->ch);
  if (code != GS_OK) {
    raise_detail(code, "gosched.shared");
    PyObject_Free(c);
    return NULL;
  }
  c->outside = !domain_running();
  if (c->outside) gs_shared_outside(c->ch, 1);
  c->link = &all;
  if ((c->next = all)) c->next->link = &c->next;
  return (PyObject *)(all = c);
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn, METH_FASTCALL | METH_KEYWORDS
static PyMethodDef methods[] = {
    {"send", FAST(shared_send), send_doc},
    {"recv", FAST(shared_recv), recv_doc},
    {"try_send", shared_try_send, METH_O, try_send_doc},
    {"try_recv", shared_try_recv, METH_NOARGS, try_recv_doc},
    {"close", shared_close, METH_NOARGS, close_doc},
    {"recv_case", case_recv, METH_NOARGS, recv_case_doc},
    {"send_case", case_send, METH_O, send_case_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"name", get_name, NULL, "The name by which it was opened.", NULL},
    {"capacity", get_capacity, NULL, "How many values can be buffered.", NULL},
    {"closed", get_closed, NULL, "True once it was closed, in whatever language.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods sequence = {.sq_length = shared_len};

PyTypeObject SharedChanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.SharedChan",
    .tp_doc =
        "A channel that other languages of the process can open, too; made by\n"
        "gosched.shared.  It carries copies of values.\n\n"
        "len(ch) is the number buffered now; `for value in ch` receives until it is closed.",
    .tp_basicsize = sizeof(SharedChan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = shared_dealloc,
    .tp_repr = shared_repr,
    .tp_as_sequence = &sequence,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = shared_next,
    .tp_weaklistoffset = offsetof(SharedChan, weakrefs),
    .tp_methods = methods,
    .tp_getset = getset,
};

static PyMethodDef functions[] = {
    {"shared", FAST(mod_shared), shared_doc},
    {NULL, NULL, 0, NULL},
};

int shared_init(PyObject *module) {
  if (PyType_Ready(&SharedChanType) < 0) return -1;
  Py_INCREF(&SharedChanType);
  if (PyModule_AddObject(module, "SharedChan", (PyObject *)&SharedChanType) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
