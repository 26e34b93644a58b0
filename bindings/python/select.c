/* select.c: waiting on several channels.
 *
 * A case is a channel and what to do with it; cases are made by the recv_case and send_case of Chan
 * and SharedChan, and may be used again.  For the time of a select each value to be sent is a node
 * on its way in its channel, as with Chan.send, or a copy of it; those that were not sent are taken
 * back.
 */
#include <stddef.h>

#include "chan.h"
#include "shared.h"
#include "tstate.h"

typedef struct {
  PyObject_HEAD PyObject *chan; /* a Chan or a SharedChan */
  PyObject *value;              /* to be sent; NULL: receive */
} Case;

static PyTypeObject CaseType;

static PyObject *case_new(PyObject *chan, PyObject *value) {
  Case *c = PyObject_GC_New(Case, &CaseType);
  if (!c) return NULL;
  Py_INCREF(chan);
  Py_XINCREF(value);
  c->chan = chan;
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

/* What is sent or received by one case. */
typedef union {
  Node *node;     /* of a Chan */
  gs_value value; /* of a SharedChan */
} Slot;

static inline bool is_shared(const Case *c) { return Py_TYPE(c->chan) == &SharedChanType; }

typedef struct {
  gs_select_case cases[FEW];
  Slot slots[FEW];
} Few;

static void take_back(PyObject *const *args, Py_ssize_t n, Slot *slots, Py_ssize_t sent) {
  for (Py_ssize_t i = 0; i < n; i++) {
    const Case *c = (Case *)args[i];
    if (!c->value || i == sent) continue;
    if (is_shared(c))
      gs_value_free(&slots[i].value);
    else
      Py_DECREF(node_take(slots[i].node));
  }
}

/* What is to be sent; what is received comes into the same place. */
static bool prepare(PyObject *const *args, Py_ssize_t n, gs_select_case *cases, Slot *slots) {
  for (Py_ssize_t i = 0; i < n; i++) {
    const Case *c = (Case *)args[i];
    bool shared = is_shared(c), ready = true;
    if (c->value && shared)
      ready = value_of_object(c->value, &slots[i].value, "gosched.select") == 0;
    else if (c->value)
      ready = (slots[i].node = node_new((Chan *)c->chan, c->value)) != NULL;
    if (!ready) {
      take_back(args, i, slots, -1);
      return false;
    }
    gs_chan *ch = shared ? ((SharedChan *)c->chan)->ch : ((Chan *)c->chan)->ch;
    cases[i] = (gs_select_case){c->value ? GS_SEND : GS_RECV, ch, &slots[i]};
  }
  return true;
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
                              int64_t deadline, gs_select_case *cases, Slot *slots) {
  size_t chosen = 0;
  if (!prepare(args, n, cases, slots)) return NULL;
  int code = wait_for_one(cases, n, !other, deadline, &chosen);
  const Case *done = code == GS_OK ? (Case *)args[chosen] : NULL;
  PyObject *value = NULL;
  if (done && !done->value)
    value = is_shared(done) ? object_of_value(&slots[chosen].value) : node_take(slots[chosen].node);
  else
    Py_INCREF(value = Py_None);
  take_back(args, n, slots, done ? (Py_ssize_t)chosen : -1);
  if (done) return value ? Py_BuildValue("nN", (Py_ssize_t)chosen, value) : NULL;
  Py_DECREF(value);
  if (code == GS_EWOULDBLOCK) return Py_BuildValue("nO", (Py_ssize_t)-1, other);
  return code == GS_EINVAL ? raise_detail(code, "gosched.select")
                           : raise_code(code, "gosched.select");
}

PyDoc_STRVAR(
    select_doc,
    "select(*cases, timeout=None, default=...)\n--\n\n"
    "Does one of the cases (recv_case(), send_case(value) of Chan and SharedChan): one of those\n"
    "that are ready, chosen at random; else it waits for the first that becomes ready.\n\n"
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
    return select_among(args, nargs, in[1], deadline, few.cases, few.slots);
  }
  gs_select_case *cases = PyMem_Malloc((size_t)nargs * (sizeof *cases + sizeof(Slot)));
  if (!cases) return PyErr_NoMemory();
  PyObject *result =
      select_among(args, nargs, in[1], deadline, cases, (Slot *)(void *)(cases + nargs));
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
