/* holders.c: which objects hold an instance of some type.
 *
 * threading.RLock is replaced when gosched is imported, and the RLocks that exist by then have to
 * be, too: one that belongs to OS threads cannot be released by a green thread that has gone on on
 * another.  They are not objects that the garbage collector knows, but those that hold them are; so
 * those are asked what they hold.
 */
#include "binding.h"

typedef struct {
  PyTypeObject *type;
  bool found;
} Look;

static int look(PyObject *o, void *arg) {
  Look *l = arg;
  if (Py_TYPE(o) == l->type) l->found = true;
  return l->found;
}

static bool holds(PyObject *o, PyTypeObject *type) {
  Look l = {.type = type};
  if (Py_TYPE(o)->tp_traverse) Py_TYPE(o)->tp_traverse(o, look, &l);
  return l.found;
}

/* A class holds what its dict does; that dict must not be changed behind its back. */
static PyObject *dict_of_class(PyObject *o) {
  return PyType_Check(o) && PyType_HasFeature((PyTypeObject *)o, Py_TPFLAGS_HEAPTYPE)
             ? ((PyTypeObject *)o)->tp_dict
             : NULL;
}

static int add(PyObject *o, PyTypeObject *type, PyObject *list, PyObject *skip) {
  PyObject *dict = dict_of_class(o);
  if (!holds(dict ? dict : o, type)) return 0;
  if (PyList_Append(list, o) < 0) return -1;
  if (!dict) return 0;
  PyObject *address = PyLong_FromVoidPtr(dict);
  int code = address ? PySet_Add(skip, address) : -1;
  Py_XDECREF(address);
  return code;
}

static int without(PyObject *list, PyObject *skip) {
  for (Py_ssize_t i = PyList_GET_SIZE(list); i-- > 0;) {
    PyObject *address = PyLong_FromVoidPtr(PyList_GET_ITEM(list, i));
    int in = address ? PySet_Contains(skip, address) : -1;
    Py_XDECREF(address);
    if (in < 0 || (in && PyList_SetSlice(list, i, i + 1, NULL) < 0)) return -1;
  }
  return 0;
}

PyObject *holders_of(PyObject *type) {
  PyObject *gc = PyImport_ImportModule("gc"), *all = NULL, *list = NULL, *skip = NULL;
  if (gc) all = PyObject_CallMethod(gc, "get_objects", NULL);
  if (all) list = PyList_New(0);
  if (list) skip = PySet_New(NULL);
  bool good = skip != NULL;
  for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(all); i++)
    good = add(PyList_GET_ITEM(all, i), (PyTypeObject *)type, list, skip) == 0;
  if (good) good = without(list, skip) == 0;
  if (!good) Py_CLEAR(list);
  Py_XDECREF(skip);
  Py_XDECREF(all);
  Py_XDECREF(gc);
  return list;
}
