/* embed.c: guests (gosched_embed.h) for gosched._embed: a handle, and functions that take it. */
#include "shared.h"

#define GUEST "gosched.guest"

static void release(PyObject *capsule) { gs_guest_release(PyCapsule_GetPointer(capsule, GUEST)); }

static gs_guest *guest_of(PyObject *capsule) { return PyCapsule_GetPointer(capsule, GUEST); }

/* The texts of a tuple of str, in memory of its own; NULL: an exception is set. */
static const char **texts_of(PyObject *tuple) {
  Py_ssize_t n = PyTuple_GET_SIZE(tuple);
  const char **texts = PyMem_Calloc((size_t)n + 1, sizeof *texts);
  if (!texts) PyErr_NoMemory();
  for (Py_ssize_t i = 0; texts && i < n; i++)
    if (!(texts[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, i)))) {
      PyMem_Free(texts);
      return NULL;
    }
  return texts;
}

/* _embed(language, source, name, args): str without zeros, and a tuple of them. */
PyObject *embed_start(PyObject *self, PyObject *args) {
  (void)self;
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  const char *language, *source;
  PyObject *tuple;
  gs_guest *g;
  if (!PyArg_ParseTuple(args, "sssO!", &language, &source, &opts.name, &PyTuple_Type, &tuple))
    return NULL;
  const char **texts = texts_of(tuple);
  if (!texts) return NULL;
  opts.args = texts;
  Rec *r = op_begin("gosched.embed", state_waiting);
  if (!r) {
    PyMem_Free(texts);
    return NULL;
  }
  int code = gs_embed(language, source, &opts, &g);
  op_end(r);
  PyMem_Free(texts);
  if (code != GS_OK) {
    PyErr_SetString(code == GS_EINVAL ? PyExc_ValueError : exc_Error, gs_error_detail());
    return NULL;
  }
  PyObject *capsule = PyCapsule_New(g, GUEST, release);
  if (!capsule) {
    gs_guest_cancel(g);
    gs_guest_release(g);
  }
  return capsule;
}

/* _guest_join(guest, timeout): waits for the end. */
PyObject *embed_join(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *capsule, *timeout;
  int64_t deadline;
  int code;
  if (!PyArg_ParseTuple(args, "OO", &capsule, &timeout)) return NULL;
  gs_guest *g = guest_of(capsule);
  if (!g || parse_timeout(timeout, &deadline) < 0) return NULL;
  if (!rec_here()) {
    Py_BEGIN_ALLOW_THREADS code = gs_guest_join(g, deadline);
    Py_END_ALLOW_THREADS
  } else {
    Rec *r = op_begin("Guest.join", state_waiting);
    if (!r) return NULL;
    do code = gs_guest_join(g, deadline);
    while (op_again(r, false, &code));
    op_end(r);
  }
  if (code != GS_OK) return raise_code(code, "Guest.join");
  Py_RETURN_NONE;
}

PyObject *embed_cancel(PyObject *self, PyObject *capsule) {
  (void)self;
  gs_guest *g = guest_of(capsule);
  if (!g) return NULL;
  stay_check();
  gs_guest_cancel(g);
  Py_RETURN_NONE;
}

/* _guest_end(guest): None, or (how, status, text or None, trace). */
PyObject *embed_end(PyObject *self, PyObject *capsule) {
  (void)self;
  gs_guest_end end = {.size = sizeof end};
  gs_guest *g = guest_of(capsule);
  if (!g) return NULL;
  if (gs_guest_result(g, &end) != GS_OK) Py_RETURN_NONE;
  PyObject *text = NULL;
  if (end.none) {
    text = Py_None;
    Py_INCREF(text);
  } else {
    text = PyUnicode_DecodeUTF8(end.text, (Py_ssize_t)end.length, "surrogateescape");
  }
  PyObject *trace = PyUnicode_DecodeUTF8(end.trace, (Py_ssize_t)strlen(end.trace), "replace");
  if (text && trace) return Py_BuildValue("iiNN", end.how, end.status, text, trace);
  Py_XDECREF(text);
  Py_XDECREF(trace);
  return NULL;
}

/* _guest_value(guest): what it returned. */
PyObject *embed_value(PyObject *self, PyObject *capsule) {
  (void)self;
  gs_guest_end end = {.size = sizeof end};
  gs_guest *g = guest_of(capsule);
  if (!g) return NULL;
  if (gs_guest_result(g, &end) != GS_OK) Py_RETURN_NONE;
  return object_like_value(end.value);
}

/* _guest_returns(value): what the guest that this is returns, if it returns. */
PyObject *embed_returns(PyObject *self, PyObject *o) {
  (void)self;
  gs_value v;
  if (value_of_object(o, &v, "the guest") < 0) return NULL;
  gs_guest_value(gs_guest_here(), &v);
  gs_value_free(&v); /* nobody has taken it: this is no guest */
  Py_RETURN_NONE;
}
