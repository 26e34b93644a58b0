/* chan.c: Chan, a channel of Python objects.
 *
 * What the scheduler's channel carries is the address of a node that holds one object.  Every node
 * that is on its way, in the buffer or with a sender that waits, is also in a list of the channel:
 * so the garbage collector finds what it could not find in the scheduler's buffer, and a cycle
 * through a channel that nobody uses any more is collected.  The list is guarded by the GIL; a node
 * leaves it when its receiver has the GIL again, or when its sender gives up.
 *
 * Once a send has succeeded the node belongs to the receiver, who may have freed it already.
 */
#include <stddef.h>

#include "chan.h"
#include "tstate.h"

/* ---- nodes ------------------------------------------------------------------------------------
 */

#define NODES_KEPT 1024
static Node *spare; /* GIL */
static int nspare;

Node *node_new(Chan *c, PyObject *value) {
  Node *n = spare;
  if (n) {
    spare = n->next;
    nspare--;
  } else if (!(n = PyMem_Malloc(sizeof *n))) {
    PyErr_NoMemory();
    return NULL;
  }
  Py_INCREF(value);
  n->value = value;
  n->prev = c->under_way.prev;
  n->next = &c->under_way;
  n->prev->next = n->next->prev = n;
  return n;
}

/* Takes the node apart and gives its object. */
PyObject *node_take(Node *n) {
  PyObject *value = n->value;
  n->prev->next = n->next;
  n->next->prev = n->prev;
  if (nspare < NODES_KEPT) {
    n->next = spare;
    spare = n;
    nspare++;
  } else {
    PyMem_Free(n);
  }
  return value;
}

/* ---- operations ---- */

PyDoc_STRVAR(send_doc,
             "send($self, /, value, timeout=None)\n--\n\n"
             "Sends an object; waits for room or for a receiver, at most timeout seconds.\n\n"
             "Raises Closed, TimeoutError, Cancelled; then nothing was sent.");
static PyObject *chan_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
  static const char *const names[] = {"value", "timeout", NULL};
  Chan *c = (Chan *)self;
  PyObject *in[2];
  int64_t deadline;
  if (parse_args("Chan.send", args, nargs, kwnames, names, 1, in) < 0) return NULL;
  if (parse_timeout(in[1], &deadline) < 0) return NULL;
  Rec *r = op_begin("Chan.send", state_waiting);
  if (!r) return NULL;
  Node *n = node_new(c, in[0]);
  if (!n) {
    op_end(r);
    return NULL;
  }
  int code;
  do code = gs_chan_send(c->ch, &n, deadline);
  while (op_again(r, false, &code));
  op_end(r);
  if (code == GS_OK) Py_RETURN_NONE;
  raise_code(code, "Chan.send");
  Py_DECREF(node_take(n));
  return NULL;
}

static PyObject *receive(Chan *c, int64_t deadline, int *code) {
  Rec *r = op_begin("Chan.recv", state_waiting);
  Node *n;
  if (!r) {
    *code = RAISED;
    return NULL;
  }
  do *code = gs_chan_recv(c->ch, &n, deadline);
  while (op_again(r, false, code));
  op_end(r);
  return *code == GS_OK ? node_take(n) : NULL;
}

PyDoc_STRVAR(recv_doc,
             "recv($self, /, timeout=None)\n--\n\n"
             "Receives an object; waits for one, at most timeout seconds.\n\n"
             "Raises Closed once the channel is closed and empty, TimeoutError, Cancelled.");
static PyObject *chan_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
  static const char *const names[] = {"timeout", NULL};
  PyObject *timeout;
  int64_t deadline;
  int code;
  if (parse_args("Chan.recv", args, nargs, kwnames, names, 0, &timeout) < 0) return NULL;
  if (parse_timeout(timeout, &deadline) < 0) return NULL;
  PyObject *value = receive((Chan *)self, deadline, &code);
  return value ? value : raise_code(code, "Chan.recv");
}

static PyObject *chan_next(PyObject *self) {
  int code;
  PyObject *value = receive((Chan *)self, GS_FOREVER, &code);
  if (!value && code != GS_ECLOSED) raise_code(code, "Chan.recv");
  return value;
}

PyDoc_STRVAR(try_send_doc,
             "try_send($self, value, /)\n--\n\n"
             "send without waiting: raises WouldBlock instead.  Works on any thread.");
static PyObject *chan_try_send(PyObject *self, PyObject *value) {
  Chan *c = (Chan *)self;
  Node *n = node_new(c, value);
  if (!n) return NULL;
  stay_check();
  int code = gs_chan_try_send(c->ch, &n);
  if (code == GS_OK) Py_RETURN_NONE;
  raise_code(code, "Chan.try_send");
  Py_DECREF(node_take(n));
  return NULL;
}

PyDoc_STRVAR(try_recv_doc,
             "try_recv($self, /)\n--\n\n"
             "recv without waiting: raises WouldBlock instead.  Works on any thread.");
static PyObject *chan_try_recv(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Node *n;
  stay_check();
  int code = gs_chan_try_recv(((Chan *)self)->ch, &n);
  return code == GS_OK ? node_take(n) : raise_code(code, "Chan.try_recv");
}

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "No more is sent: send raises Closed, also where one waits now.  What is buffered can\n"
    "still be received.  Closing twice does nothing.  Works on any thread.");
static PyObject *chan_close(PyObject *self, PyObject *ignored) {
  (void)ignored;
  stay_check();
  int code = gs_chan_close(((Chan *)self)->ch);
  if (code != GS_OK && code != GS_ECLOSED) return raise_code(code, "Chan.close");
  Py_RETURN_NONE;
}

static Py_ssize_t chan_len(PyObject *self) { return (Py_ssize_t)gs_chan_len(((Chan *)self)->ch); }

static PyObject *get_capacity(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromSize_t(gs_chan_cap(((Chan *)self)->ch));
}

static PyObject *get_closed(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong(gs_chan_closed(((Chan *)self)->ch));
}

static PyObject *chan_repr(PyObject *self) {
  gs_chan *ch = ((Chan *)self)->ch;
  return PyUnicode_FromFormat("<gosched.Chan %zu of %zu%s at %p>", gs_chan_len(ch), gs_chan_cap(ch),
                              gs_chan_closed(ch) ? ", closed" : "", (void *)self);
}

/* ---- life ---- */

static PyObject *chan_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  static char *names[] = {"capacity", NULL};
  Py_ssize_t capacity = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kw, "|n:Chan", names, &capacity)) return NULL;
  if (capacity < 0) {
    PyErr_Format(PyExc_ValueError, "Chan: capacity is %zd; it must be 0 (unbuffered) or more",
                 capacity);
    return NULL;
  }
  Chan *c = (Chan *)type->tp_alloc(type, 0);
  if (!c) return NULL;
  c->under_way.next = c->under_way.prev = &c->under_way;
  stay_check();
  int code = gs_chan_new(sizeof(Node *), (size_t)capacity, &c->ch);
  if (code == GS_OK) return (PyObject *)c;
  if (code == GS_EINVAL)
    PyErr_Format(PyExc_ValueError, "Chan: capacity is %zd; at most %zu elements fit in 1 GiB",
                 capacity, ((size_t)1 << 30) / sizeof(Node *));
  else
    raise_code(code, "Chan");
  Py_DECREF(c);
  return NULL;
}

static int chan_traverse(PyObject *self, visitproc visit, void *arg) {
  const Chan *c = (Chan *)self;
  for (const Node *n = c->under_way.next; n && n != &c->under_way; n = n->next) Py_VISIT(n->value);
  return 0;
}

/* Also in the middle of C code that has locks of this thread. */
static bool take_one(gs_chan *ch, Node **n) {
  gs_lock_os_thread();
  int code = gs_chan_try_recv(ch, n);
  gs_unlock_os_thread();
  return code == GS_OK;
}

/* Only when nobody refers to it, so nobody waits on it: all nodes are in the buffer. */
static int chan_clear(PyObject *self) {
  Node *n;
  gs_chan *ch = ((Chan *)self)->ch;
  while (ch && take_one(ch, &n)) Py_DECREF(node_take(n));
  return 0;
}

static void chan_dealloc(PyObject *self) {
  Chan *c = (Chan *)self;
  PyObject_GC_UnTrack(self);
  if (c->weakrefs) PyObject_ClearWeakRefs(self);
  chan_clear(self);
  gs_lock_os_thread();
  gs_chan_free(c->ch);
  gs_unlock_os_thread();
  Py_TYPE(self)->tp_free(self);
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn, METH_FASTCALL | METH_KEYWORDS
static PyMethodDef chan_methods[] = {
    {"send", FAST(chan_send), send_doc},
    {"recv", FAST(chan_recv), recv_doc},
    {"try_send", chan_try_send, METH_O, try_send_doc},
    {"try_recv", chan_try_recv, METH_NOARGS, try_recv_doc},
    {"close", chan_close, METH_NOARGS, close_doc},
    {"recv_case", case_recv, METH_NOARGS, recv_case_doc},
    {"send_case", case_send, METH_O, send_case_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Chan[T], for type annotations."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef chan_getset[] = {
    {"capacity", get_capacity, NULL, "How many objects can be buffered.", NULL},
    {"closed", get_closed, NULL, "True once close was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods chan_sequence = {.sq_length = chan_len};

PyDoc_STRVAR(
    chan_doc,
    "Chan(capacity=0)\n--\n\n"
    "A channel: carries objects between green threads, in order.\n\n"
    "capacity: how many objects wait in it before send waits; 0: send waits for a receiver.\n"
    "len(ch) is the number buffered now; `for value in ch` receives until it is closed.");

PyTypeObject ChanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Chan",
    .tp_doc = chan_doc,
    .tp_basicsize = sizeof(Chan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = chan_new,
    .tp_dealloc = chan_dealloc,
    .tp_traverse = chan_traverse,
    .tp_clear = chan_clear,
    .tp_repr = chan_repr,
    .tp_as_sequence = &chan_sequence,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = chan_next,
    .tp_weaklistoffset = offsetof(Chan, weakrefs),
    .tp_methods = chan_methods,
    .tp_getset = chan_getset,
};

int chan_init(PyObject *module) {
  if (PyType_Ready(&ChanType) < 0) return -1;
  Py_INCREF(&ChanType);
  return PyModule_AddObject(module, "Chan", (PyObject *)&ChanType);
}
