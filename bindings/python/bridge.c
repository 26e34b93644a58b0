/* bridge.c: functions of a ctypes library as foreign calls.
 *
 * ctypes converts by rules of its own, which depend on argtypes, restype and errcheck, and has no
 * way to ask it for the converted values.  So it goes on calling, but something else: a _Bridge is
 * a C function of the same signature, made at run time (gs_callback), that makes the foreign call
 * with the arguments it is given.
 *
 *     ctypes, holding the GIL (as for a PyDLL)  ->  gs_callback  ->  called()  ->  gs_ffi_call
 *
 * All but the last step is code on the green thread's own stack, as any other that has been called
 * from Python; so the foreign call may come back on another thread.  Nothing of ctypes' is kept by
 * thread meanwhile: errno is, but only where the function's flags say use_errno, and then it is
 * kept here instead, by ctypes.set_errno.
 *
 * A bridge must only be called by ctypes with the GIL, and on a green thread; the package sees to
 * that.  What goes wrong is an exception that is set when it returns: ctypes looks after the call
 * of a function that holds the GIL.
 */
#include "function.h"

typedef struct {
  PyObject_HEAD Library *lib;
  PyObject *name;
  PyObject *set_errno; /* ctypes.set_errno; NULL: the function does not use ctypes' errno */
  gs_ffi *ffi;         /* owns the rest */
  gs_func *func;
  gs_callback *code;
} Bridge;

/* Raised by a bridge that is called back by a critical function, where no foreign calls are made:
 * ctypes is to call the function itself. */
static PyObject *exc_Nested;

static void keep_errno(const Bridge *b, int e) {
  if (!b->set_errno || e == 0) return;
  PyObject *r = PyObject_CallFunction(b->set_errno, "i", e);
  if (!r) PyErr_WriteUnraisable(b->set_errno);
  Py_XDECREF(r);
}

static int called(void *ret, void *const *args, void *user) {
  Bridge *b = user;
  Rec *r = rec_here();
  PyObject *failed = NULL;
  int e = 0;
  if (b->lib->closed) {
    PyErr_Format(exc_FFIError, "%U() cannot be called: %U was closed", b->name, b->lib->name);
    return 0;
  }
  Py_INCREF(b);
  int code = foreign_call(b->lib, b->func, r, ret, args, &e, &failed);
  if (code == GS_OK || failed) {
    foreign_errno(r, e);
    keep_errno(b, e);
  }
  if (failed)
    error_put(failed);
  else if (code == GS_EPERM)
    PyErr_SetNone(exc_Nested);
  else if (code != GS_OK)
    raise_code(code, gs_func_name(b->func));
  Py_DECREF(b);
  return 0;
}

/* called() did not run: no callbacks run inside a critical call. */
static void refused(int error, int code, void *user) {
  const Bridge *b = user;
  (void)code;
  if (error == GS_EPERM)
    PyErr_SetNone(exc_Nested);
  else
    raise_code(error, gs_func_name(b->func));
}

static int prepare(Bridge *b, const char *name, void *address, const char *structs,
                   const char *ctype, int nfixed, int flags) {
  gs_ffi_error err = {.code = 0};
  const gs_type *type = NULL, *list[64];
  if (!(b->ffi = gs_ffi_new())) return GS_ENOMEM;
  int code = *structs ? gs_ffi_cdef(b->ffi, structs, &err) : GS_OK;
  if (code == GS_OK) code = gs_ffi_type(b->ffi, ctype, &type, &err);
  if (code == GS_OK && gs_type_kind(type) == GS_KIND_POINTER) type = gs_type_target(type);
  size_t n = code == GS_OK ? gs_type_length(type) : 0;
  if (n > sizeof list / sizeof *list) {
    PyErr_Format(exc_FFIError, "%s() has %zu arguments, and more than 64 are not passed", name, n);
    return RAISED;
  }
  for (size_t i = 0; i < n; i++) list[i] = gs_type_param(type, i);
  if (code == GS_OK)
    code = gs_func_prepare(b->ffi, name, address, gs_type_target(type), list, n, (size_t)nfixed,
                           (unsigned)flags, &b->func, &err);
  if (code == GS_OK) code = gs_callback_prepare(b->ffi, name, type, called, b, &b->code, &err);
  if (code == GS_OK) gs_callback_on_error(b->code, refused);
  if (code == GS_OK || code == GS_ENOMEM) return code;
  PyErr_SetString(exc_FFIError, err.text);
  return RAISED;
}

PyDoc_STRVAR(bridge_doc,
             "_Bridge(library, name, address, structs, ctype, nfixed, flags, set_errno)\n--\n\n"
             "A C function of the type ctype, for ctypes, that calls the one at address.");
static PyObject *bridge_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  Library *lib;
  PyObject *name, *address, *set_errno;
  const char *structs, *ctype;
  int nfixed, flags;
  (void)kw;
  if (!PyArg_ParseTuple(args, "O!UO!ssiiO:_Bridge", &LibraryType, &lib, &name, &PyLong_Type,
                        &address, &structs, &ctype, &nfixed, &flags, &set_errno))
    return NULL;
  const char *text = PyUnicode_AsUTF8(name);
  void *addr = PyLong_AsVoidPtr(address);
  if (!text || PyErr_Occurred()) return NULL;
  Bridge *b = (Bridge *)type->tp_alloc(type, 0);
  if (!b) return NULL;
  Py_INCREF(lib);
  b->lib = lib;
  Py_INCREF(name);
  b->name = name;
  if (set_errno != Py_None) {
    Py_INCREF(set_errno);
    b->set_errno = set_errno;
  }
  int code = prepare(b, text, addr, structs, ctype, nfixed, flags);
  if (code == GS_OK) return (PyObject *)b;
  Py_DECREF(b);
  return raise_code(code, "gosched.wrap");
}

static void bridge_dealloc(PyObject *self) {
  Bridge *b = (Bridge *)self;
  if (b->ffi) gs_ffi_free(b->ffi);
  Py_XDECREF(b->set_errno);
  Py_XDECREF(b->name);
  Py_XDECREF(b->lib);
  Py_TYPE(self)->tp_free(self);
}

static PyObject *bridge_code(PyObject *self, void *closure) {
  (void)closure;
  return PyLong_FromVoidPtr(gs_callback_code(((Bridge *)self)->code));
}

static PyGetSetDef bridge_getset[] = {
    {"code", bridge_code, NULL, "Its address.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject BridgeType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched._gosched._Bridge",
    .tp_doc = bridge_doc,
    .tp_basicsize = sizeof(Bridge),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = bridge_new,
    .tp_dealloc = bridge_dealloc,
    .tp_getset = bridge_getset,
};

PyDoc_STRVAR(unblocked_doc,
             "_unblocked(unblock, function, /, *args)\n--\n\n"
             "function(*args), during which a cancel of this green thread calls unblock(*args).");
static PyObject *mod_unblocked(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  if (nargs < 2) {
    PyErr_SetString(PyExc_TypeError, "_unblocked(unblock, function, *args)");
    return NULL;
  }
  Rec *r = rec_here();
  if (!r || !r->obj) return PyObject_Vectorcall(args[1], args + 2, (size_t)nargs - 2, NULL);
  Green *g = r->obj;
  if (green_cancelled(g)) return raise_code(GS_ECANCELED, NULL);
  Unblock u;
  unblock_begin(&u, g, args[0], args + 2, nargs - 2);
  PyObject *result = PyObject_Vectorcall(args[1], args + 2, (size_t)nargs - 2, NULL);
  PyObject *error = result ? NULL : error_take();
  unblock_end(&u, r);
  if (u.called && green_cancelled(g)) {
    Py_XDECREF(result);
    Py_XDECREF(error);
    return raise_code(GS_ECANCELED, NULL);
  }
  if (error) error_put(error);
  return result;
}

static PyMethodDef functions[] = {
    {"_unblocked", (PyCFunction)(void (*)(void))mod_unblocked, METH_FASTCALL, unblocked_doc},
    {NULL, NULL, 0, NULL},
};

int bridge_init(PyObject *module) {
  if (PyType_Ready(&BridgeType) < 0) return -1;
  exc_Nested = PyErr_NewException("gosched._gosched._Nested", PyExc_BaseException, NULL);
  if (!exc_Nested) return -1;
  Py_INCREF(&BridgeType);
  Py_INCREF(exc_Nested);
  if (PyModule_AddObject(module, "_Bridge", (PyObject *)&BridgeType) < 0 ||
      PyModule_AddObject(module, "_Nested", exc_Nested) < 0)
    return -1;
  return PyModule_AddFunctions(module, functions);
}
