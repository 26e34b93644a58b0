/* select.c: waiting on several channels.
 *
 * A case is a channel and what to do with it; cases are made by Chan.recv_case and Chan.send_case
 * and may be used again.  For the time of a select each value to be sent is a node on its way in
 * its channel, as with Chan.send; those that were not sent are taken back.
 */
#include <stddef.h>

#include "chan.h"
#include "tstate.h"

typedef struct {
  PyObject_HEAD Chan *chan;
  PyObject *value; /* to be sent; NULL: receive */
} Case;

static PyTypeObject CaseType;

static PyObject *case_new(PyObject *chan, PyObject *value) {
  Case *c = PyObject_GC_New(Case, &CaseType);
  if (!c) return NULL;
  Py_INCREF(chan);
  Py_XINCREF(value);
  c->chan = (Chan *)chan;
  c->value = value;
  PyObject_GC_Track((PyObject *)c);
  return (PyObject *)c;
}

const char recv_case_doc[] =
    "recv_case($self, /)\n--\n\nFor gosched.select: receive from this channel.";
PyObject *case_recv(PyObject *chan, PyObject *ignored) {
  (void)ignored;
  return case_new(chan, NULL);
}

const char send_case_doc[] =
    "send_case($self, value, /)\n--\n\nFor gosched.select: send value on this channel.";
PyObject *case_send(PyObject *chan, PyObject *value) { return case_new(chan, value); }

static int case_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((Case *)self)->chan);
  Py_VISIT(((Case *)self)->value);
  return 0;
}

static int case_clear(PyObject *self) {
  Py_CLEAR(((Case *)self)->value);
  return 0;
}

static void case_dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  case_clear(self);
  Py_DECREF(((Case *)self)->chan);
  PyObject_GC_Del(self);
}

static PyObject *case_repr(PyObject *self) {
  const Case *c = (Case *)self;
  return c->value ? PyUnicode_FromFormat("<send %R on %R>", c->value, c->chan)
                  : PyUnicode_FromFormat("<receive from %R>", c->chan);
}

static PyTypeObject CaseType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched.Case",
    .tp_doc = "What select may do with one channel; made by Chan.recv_case and Chan.send_case.",
    .tp_basicsize = sizeof(Case),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = case_dealloc,
    .tp_traverse = case_traverse,
    .tp_clear = case_clear,
    .tp_repr = case_repr,
};

/* ---- select ---- */

#define FEW 16

typedef struct {
  gs_select_case cases[FEW];
  Node *nodes[FEW];
} Few;

/* Nodes of what is to be sent; what is received comes into the same place. */
static bool prepare(PyObject *const *args, Py_ssize_t n, gs_select_case *cases, Node **nodes) {
  for (Py_ssize_t i = 0; i < n; i++) {
    Case *c = (Case *)args[i];
    nodes[i] = NULL;
    if (c->value && !(nodes[i] = node_new(c->chan, c->value))) {
      while (i-- > 0)
        if (nodes[i]) Py_DECREF(node_take(nodes[i]));
      return false;
    }
    cases[i] = (gs_select_case){c->value ? GS_SEND : GS_RECV, c->chan->ch, &nodes[i]};
  }
  return true;
}

static void take_back(PyObject *const *args, Py_ssize_t n, Node *const *nodes, Py_ssize_t sent) {
  for (Py_ssize_t i = 0; i < n; i++)
    if (((Case *)args[i])->value && i != sent) Py_DECREF(node_take(nodes[i]));
}

static int wait_for_one(const gs_select_case *cases, Py_ssize_t n, bool waits, int64_t deadline,
                        size_t *chosen) {
  if (!waits) {
    stay_check();
    return gs_try_select(cases, (size_t)n, chosen);
  }
  Rec *r = op_begin("gosched.select", state_waiting);
  if (!r) return RAISED;
  int code;
  do code = gs_select(cases, (size_t)n, deadline, chosen);
  while (op_again(r, false, &code));
  op_end(r);
  return code;
}

static PyObject *select_among(PyObject *const *args, Py_ssize_t n, PyObject *other,
                              int64_t deadline, gs_select_case *cases, Node **nodes) {
  size_t chosen = 0;
  if (!prepare(args, n, cases, nodes)) return NULL;
  int code = wait_for_one(cases, n, !other, deadline, &chosen);
  bool receives = code == GS_OK && !((Case *)args[chosen])->value;
  PyObject *value = Py_None;
  Py_INCREF(value);
  if (receives) Py_SETREF(value, node_take(nodes[chosen]));
  take_back(args, n, nodes, code == GS_OK ? (Py_ssize_t)chosen : -1);
  if (code == GS_OK) return Py_BuildValue("nN", (Py_ssize_t)chosen, value);
  Py_DECREF(value);
  if (code == GS_EWOULDBLOCK) return Py_BuildValue("nO", (Py_ssize_t)-1, other);
  return code == GS_EINVAL ? raise_detail(code, "gosched.select")
                           : raise_code(code, "gosched.select");
}

PyDoc_STRVAR(
    select_doc,
    "select(*cases, timeout=None, default=...)\n--\n\n"
    "Does one of the cases (Chan.recv_case(), Chan.send_case(value)): one of those that are\n"
    "ready, chosen at random; else it waits for the first that becomes ready.\n\n"
    "Returns (index of the case, what was received; None for one that sends).\n"
    "timeout: seconds, or None to wait for ever.\n"
    "default: where it is given select never waits; if no case is ready it returns\n"
    "(-1, default), and it works on any thread.\n"
    "Raises Closed if the case's channel is closed (and empty, for one that receives),\n"
    "TimeoutError, Cancelled.");
static PyObject *mod_select(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
  static const char *const names[] = {"timeout", "default", NULL};
  PyObject *in[2];
  int64_t deadline;
  (void)self;
  /* All that is positional is a case. */
  if (parse_args("gosched.select", args + nargs, 0, kwnames, names, 0, in) < 0) return NULL;
  if (parse_timeout(in[0], &deadline) < 0) return NULL;
  if (in[0] && in[0] != Py_None && in[1]) {
    PyErr_SetString(PyExc_ValueError,
                    "gosched.select: give a timeout or a default; with a default it never waits");
    return NULL;
  }
  for (Py_ssize_t i = 0; i < nargs; i++)
    if (Py_TYPE(args[i]) != &CaseType) {
      PyErr_Format(PyExc_TypeError,
                   "gosched.select: case %zd is of type %.100s; Chan.recv_case() and "
                   "Chan.send_case(value) make cases",
                   i, Py_TYPE(args[i])->tp_name);
      return NULL;
    }
  if (nargs <= FEW) {
    Few few;
    return select_among(args, nargs, in[1], deadline, few.cases, few.nodes);
  }
  gs_select_case *cases = PyMem_Malloc((size_t)nargs * (sizeof *cases + sizeof(Node *)));
  if (!cases) return PyErr_NoMemory();
  PyObject *result =
      select_among(args, nargs, in[1], deadline, cases, (Node **)(void *)(cases + nargs));
  PyMem_Free(cases);
  return result;
}

static PyMethodDef functions[] = {
    {"select", (PyCFunction)(void (*)(void))mod_select, METH_FASTCALL | METH_KEYWORDS, select_doc},
    {NULL, NULL, 0, NULL},
};

int select_init(PyObject *module) {
  if (PyType_Ready(&CaseType) < 0) return -1;
  Py_INCREF(&CaseType);
  if (PyModule_AddObject(module, "Case", (PyObject *)&CaseType) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
