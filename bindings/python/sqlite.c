/* sqlite.c: a connection of sqlite3 that a green thread opens may be used on every thread.
 *
 * sqlite3 remembers the OS thread that opened a connection and refuses to use it on another one
 * (check_same_thread).  A green thread changes threads while it has a connection open, so to such a
 * one the answer must be that it need not be checked; the SQLite library itself locks what has to
 * be locked (sqlite3.threadsafety).  The check is a field of a struct that only _sqlite3 knows, set
 * by Connection.__init__ from its fifth argument.  So that is what is changed here, for calls on a
 * green thread that may change threads: the slot of the type, and the method object that subclasses
 * call, which has a copy of the slot.
 */
#include "binding.h"

static initproc original; /* of _sqlite3.Connection; NULL: not there yet; GIL */

enum { CHECK = 4 }; /* database, timeout, detect_types, isolation_level, check_same_thread */

static int green_init_connection(PyObject *self, PyObject *args, PyObject *kw) {
  if (green_ident() == 0) return original(self, args, kw);
  Py_ssize_t n = PyTuple_GET_SIZE(args);
  PyObject *new_kw = NULL, *new_args = NULL;
  int result = -1;
  if (n > CHECK) {
    if (!(new_args = PyTuple_New(n))) return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
      PyObject *arg = i == CHECK ? Py_False : PyTuple_GET_ITEM(args, i);
      Py_INCREF(arg);
      PyTuple_SET_ITEM(new_args, i, arg);
    }
  } else {
    new_kw = kw ? PyDict_Copy(kw) : PyDict_New();
    if (!new_kw || PyDict_SetItemString(new_kw, "check_same_thread", Py_False) < 0) goto end;
  }
  result = original(self, new_args ? new_args : args, new_kw ? new_kw : kw);
end:
  Py_XDECREF(new_args);
  Py_XDECREF(new_kw);
  return result;
}

PyObject *sqlite_connections(PyObject *type) {
  if (!PyType_Check(type)) {
    PyErr_Format(PyExc_TypeError, "_green_connections: expected _sqlite3.Connection, not %.100s",
                 Py_TYPE(type)->tp_name);
    return NULL;
  }
  PyTypeObject *t = (PyTypeObject *)type;
  if (t->tp_init == green_init_connection) Py_RETURN_NONE;
  PyObject *method = PyObject_GetAttrString(type, "__init__");
  if (!method) return NULL;
  original = t->tp_init;
  t->tp_init = green_init_connection;
  if (Py_TYPE(method) == &PyWrapperDescr_Type)
    ((PyWrapperDescrObject *)method)->d_wrapped = (void *)green_init_connection;
  Py_DECREF(method);
  Py_RETURN_NONE;
}
