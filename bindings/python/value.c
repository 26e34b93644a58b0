/* value.c: Python objects as the values of shared channels, and back.
 *
 * A scalar is written at once.  Lists and dicts are written into one block (gosched_shared.h); what
 * cannot be carried is found on the way, and on the way back from there each level writes before
 * the message where it is: value['rows'][2].
 *
 * While an object is written no code of Python runs, so lists and dicts stay as they are.
 */
#include <string.h>

#include "shared.h"

static const char carried[] =
    "None, bool, int, float, str, bytes, bytearray, memoryview, list, tuple and dict can be";

typedef struct {
  gs_value_writer w;
  PyObject *error; /* the exception's type, borrowed; NULL: none, or an exception is set */
  char why[200];
  char where[160]; /* the path from the value to what cannot be carried */
} Writing;

static int refuse(Writing *c, PyObject *error, const char *why) {
  PyErr_Clear();
  c->error = error;
  snprintf(c->why, sizeof c->why, "%s", why);
  return -1;
}

/* What the writer says. */
static int check(Writing *c, int code) {
  if (code == GS_OK) return 0;
  if (code == GS_ENOMEM) {
    PyErr_NoMemory();
    return -1;
  }
  char detail[160];
  snprintf(detail, sizeof detail, ": %s", gs_error_detail());
  return refuse(c, PyExc_TypeError, detail);
}

static void add_where(Writing *c, const char *step) {
  size_t n = strlen(step), have = strlen(c->where);
  if (n + have >= sizeof c->where) {
    have = sizeof c->where - n - 4;
    memcpy(c->where + have, "...", 4);
    have += 3;
  }
  memmove(c->where + n, c->where, have + 1);
  memcpy(c->where, step, n);
}

static void add_index(Writing *c, Py_ssize_t i) {
  char step[32];
  snprintf(step, sizeof step, "[%zd]", i);
  if (c->error) add_where(c, step);
}

static void add_key(Writing *c, PyObject *key) {
  char step[60];
  if (!c->error) return;
  PyObject *text = PyObject_ASCII(key);
  const char *s = text ? PyUnicode_AsUTF8(text) : NULL;
  PyErr_Clear();
  snprintf(step, sizeof step, "[%.50s]", s ? s : "?");
  Py_XDECREF(text);
  add_where(c, step);
}

/* ---- scalars ---- */

typedef struct {
  int type; /* GS_VALUE_…; LIST and MAP: not a scalar; -1: refused */
  int64_t i;
  double d;
  const char *s;
  Py_ssize_t n;
  Py_buffer buffer; /* to be released if buffer.obj */
} Scalar;

/* What the object is.  error, why: for -1, unless an exception is set. */
static void look_at(PyObject *o, Scalar *v, PyObject **error, const char **why) {
  int over = 0;
  v->buffer.obj = NULL;
  v->type = -1;
  *error = NULL;
  if (PyUnicode_Check(o)) {
    v->s = PyUnicode_AsUTF8AndSize(o, &v->n);
    if (v->s) v->type = GS_VALUE_TEXT;
    if (!v->s && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
      *error = PyExc_TypeError;
      *why = " is a str with surrogates, which is no text";
    }
  } else if (o == Py_None) {
    v->type = GS_VALUE_NULL;
  } else if (PyBool_Check(o)) {
    v->type = GS_VALUE_BOOL;
    v->i = o == Py_True;
  } else if (PyLong_Check(o)) {
    v->i = PyLong_AsLongLongAndOverflow(o, &over);
    if (!over) v->type = GS_VALUE_INT;
    if (over) *error = PyExc_OverflowError, *why = " is an int of more than 64 bits";
  } else if (PyFloat_Check(o)) {
    v->type = GS_VALUE_DOUBLE;
    v->d = PyFloat_AS_DOUBLE(o);
  } else if (PyBytes_Check(o)) {
    v->type = GS_VALUE_BYTES;
    v->s = PyBytes_AS_STRING(o);
    v->n = PyBytes_GET_SIZE(o);
  } else if (PyList_Check(o) || PyTuple_Check(o)) {
    v->type = GS_VALUE_LIST;
  } else if (PyDict_Check(o)) {
    v->type = GS_VALUE_MAP;
  } else if (PyByteArray_Check(o) || PyMemoryView_Check(o)) {
    if (PyObject_GetBuffer(o, &v->buffer, PyBUF_SIMPLE) == 0) {
      v->type = GS_VALUE_BYTES;
      v->s = v->buffer.buf;
      v->n = v->buffer.len;
    } else {
      v->buffer.obj = NULL;
      *error = PyExc_TypeError;
      *why = " is a memoryview whose bytes are not in one piece";
    }
  } else {
    *error = PyExc_TypeError;
    *why = NULL;
  }
}

static void done_with(Scalar *v) {
  if (v->buffer.obj) PyBuffer_Release(&v->buffer);
}

static int refuse_scalar(Writing *c, PyObject *o, PyObject *error, const char *why) {
  char text[200];
  if (!error) return -1;
  if (why) return refuse(c, error, why);
  snprintf(text, sizeof text, " is of type %.60s and cannot be carried; %s", Py_TYPE(o)->tp_name,
           carried);
  return refuse(c, error, text);
}

/* ---- lists and dicts ---- */

static int put(Writing *c, PyObject *o);

static int put_list(Writing *c, PyObject *o) {
  if (check(c, gs_value_put_list(&c->w)) < 0) return -1;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++)
    if (put(c, PySequence_Fast_GET_ITEM(o, i)) < 0) {
      add_index(c, i);
      return -1;
    }
  return check(c, gs_value_put_end(&c->w));
}

static int put_key(Writing *c, PyObject *key) {
  char text[160];
  bool can = key != Py_None && !PyTuple_Check(key);
  if (can && put(c, key) == 0) return 0;
  if (!can) {
    snprintf(text, sizeof text,
             " has a key of type %.60s; bool, int, float, str and bytes can be keys",
             Py_TYPE(key)->tp_name);
    return refuse(c, PyExc_TypeError, text);
  }
  if (!c->error) return -1;
  snprintf(text, sizeof text, " has a key that%.140s", c->why);
  return refuse(c, c->error, text);
}

static int put_dict(Writing *c, PyObject *o) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  if (check(c, gs_value_put_map(&c->w)) < 0) return -1;
  while (PyDict_Next(o, &at, &key, &value)) {
    if (put_key(c, key) < 0) return -1;
    if (put(c, value) < 0) {
      add_key(c, key);
      return -1;
    }
  }
  return check(c, gs_value_put_end(&c->w));
}

static int put(Writing *c, PyObject *o) {
  Scalar v;
  PyObject *error;
  const char *why;
  int r;
  look_at(o, &v, &error, &why);
  switch (v.type) {
    case GS_VALUE_NULL: return check(c, gs_value_put_null(&c->w));
    case GS_VALUE_BOOL: return check(c, gs_value_put_bool(&c->w, (int)v.i));
    case GS_VALUE_INT: return check(c, gs_value_put_int(&c->w, v.i));
    case GS_VALUE_DOUBLE: return check(c, gs_value_put_double(&c->w, v.d));
    case GS_VALUE_TEXT: return check(c, gs_value_put_text(&c->w, v.s, (size_t)v.n));
    case GS_VALUE_BYTES:
      r = check(c, gs_value_put_bytes(&c->w, v.s, (size_t)v.n));
      done_with(&v);
      return r;
    case GS_VALUE_LIST: return put_list(c, o);
    case GS_VALUE_MAP: return put_dict(c, o);
    default: return refuse_scalar(c, o, error, why);
  }
}

/* Not inlined: the writer is not on the stack of who sends scalars. */
static __attribute__((noinline)) int write_value(PyObject *o, gs_value *out, const char *what) {
  Writing c;
  c.error = NULL;
  c.where[0] = 0;
  gs_value_begin(&c.w);
  if (put(&c, o) == 0 && check(&c, gs_value_end(&c.w, out)) == 0) return 0;
  gs_value_drop(&c.w);
  gs_value_null(out);
  if (c.error) PyErr_Format(c.error, "%s: value%s%s", what, c.where, c.why);
  return -1;
}

int value_of_object(PyObject *o, gs_value *out, const char *what) {
  if (PyLong_CheckExact(o)) {
    int over;
    int64_t i = PyLong_AsLongLongAndOverflow(o, &over);
    if (over) return write_value(o, out, what);
    gs_value_int(i, out);
  } else if (PyUnicode_CheckExact(o)) {
    Py_ssize_t n;
    const char *s = PyUnicode_AsUTF8AndSize(o, &n);
    if (!s || gs_value_text(s, (size_t)n, out) != GS_OK) {
      PyErr_Clear();
      return write_value(o, out, what);
    }
  } else if (PyFloat_CheckExact(o)) {
    gs_value_double(PyFloat_AS_DOUBLE(o), out);
  } else {
    return write_value(o, out, what);
  }
  return 0;
}

/* ---- back ---- */

static PyObject *get(gs_value_reader *r);

static PyObject *get_list(gs_value_reader *r, size_t n) {
  PyObject *list = PyList_New((Py_ssize_t)n);
  for (size_t i = 0; list && i < n; i++) {
    PyObject *o = get(r);
    if (o)
      PyList_SET_ITEM(list, (Py_ssize_t)i, o);
    else
      Py_CLEAR(list);
  }
  return list;
}

static PyObject *get_dict(gs_value_reader *r, size_t n) {
  PyObject *dict = PyDict_New();
  for (size_t i = 0; dict && i < n; i++) {
    PyObject *key = get(r), *value = key ? get(r) : NULL;
    if (!value || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
    Py_XDECREF(key);
    Py_XDECREF(value);
  }
  return dict;
}

static PyObject *get(gs_value_reader *r) {
  gs_value_item it;
  if (gs_value_next(r, &it) != GS_OK) {
    PyErr_Format(exc_Error, "a shared channel: %s", gs_error_detail());
    return NULL;
  }
  switch (it.type) {
    case GS_VALUE_BOOL: return PyBool_FromLong((long)it.i);
    case GS_VALUE_INT: return PyLong_FromLongLong(it.i);
    case GS_VALUE_DOUBLE: return PyFloat_FromDouble(it.d);
    case GS_VALUE_TEXT: return PyUnicode_DecodeUTF8(it.s, (Py_ssize_t)it.n, NULL);
    case GS_VALUE_BYTES: return PyBytes_FromStringAndSize(it.s, (Py_ssize_t)it.n);
    case GS_VALUE_LIST: return get_list(r, it.n);
    case GS_VALUE_MAP: return get_dict(r, it.n);
    default: Py_RETURN_NONE;
  }
}

PyObject *object_like_value(const gs_value *v) {
  gs_value_reader r;
  gs_value_read(v, &r);
  return get(&r);
}

PyObject *object_of_value(gs_value *v) {
  PyObject *o = object_like_value(v);
  gs_value_free(v);
  return o;
}
