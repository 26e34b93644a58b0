/* guest.c: Python as a guest of gs_embed: the plugin gosched-guest-python.so.
 *
 * A process has one Python.  The first guest initialises it, on its own thread, and it stays: the
 * package and the modules that it needs could not be loaded into a second one.  So there is one
 * guest of Python at a time, and the next one finds imported what others have imported, but has a
 * module __main__ of its own.  In a program that is a Python there is none.
 *
 * Initialised without signal handlers and without touching the process's locale; texts are UTF-8.
 * GOSCHED_PYTHON names the python whose environment it is to have (as a virtual environment's
 * bin/python); else that is the active virtual environment, or what python3 finds on PATH.
 *
 * guest.py does what can be done in Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>

#include "../guest/guest.h"

static const char bootstrap[] =
#include "guest.py.inc"
    ;

static atomic_bool busy;     /* there is a guest */
static atomic_bool is_ours;  /* this plugin has initialised Python */
static PyObject *run_source; /* of guest.py; GIL */

static const void *library(void) { return gs_guest_library(); }

static int begin(void) {
  if (Py_IsInitialized() && !atomic_load(&is_ours))
    return gs_fail(GS_ENOTSUP,
                   "gs_embed: this program has a Python already, and a process can have only one; "
                   "use gosched.go there");
  if (atomic_exchange(&busy, true))
    return gs_fail(GS_EBUSY,
                   "gs_embed: a guest of Python runs already, and a process can have only one at a "
                   "time");
  guest_make_global((const void *)(uintptr_t)&Py_IsInitialized);
  return GS_OK;
}

/* ---- the interpreter ------------------------------------------------------------------------- */

static PyStatus set_program(PyConfig *config) {
  const char *python, *venv = getenv("VIRTUAL_ENV");
  (void)gs_setting_get("GOSCHED_PYTHON", &python, NULL);
  char path[PATH_MAX];
  if (!python && venv) {
    snprintf(path, sizeof path, "%s/bin/python3", venv);
    python = path;
  }
  if (!python || access(python, X_OK) != 0) python = "python3";
  return PyConfig_SetBytesString(config, &config->program_name, python);
}

static PyStatus initialise(void) {
  PyPreConfig pre;
  PyConfig config;
  PyPreConfig_InitPythonConfig(&pre);
  pre.parse_argv = 0;
  pre.configure_locale = 0;
  pre.coerce_c_locale = 0;
  pre.utf8_mode = 1;
  PyStatus status = Py_PreInitialize(&pre);
  if (PyStatus_Exception(status)) return status;
  PyConfig_InitPythonConfig(&config);
  config.parse_argv = 0;
  config.install_signal_handlers = 0;
  status = set_program(&config);
  if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  return status;
}

/* GIL held. */
static PyObject *load_bootstrap(void) {
  PyObject *module = PyModule_New("gosched_guest");
  PyObject *names = module ? PyModule_GetDict(module) : NULL;
  PyObject *code = names ? Py_CompileString(bootstrap, "<gosched guest>", Py_file_input) : NULL;
  PyObject *r = NULL, *fn = NULL;
  if (code && PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) == 0)
    r = PyEval_EvalCode(code, names, names);
  if (r && (fn = PyDict_GetItemString(names, "run"))) Py_INCREF(fn);
  Py_XDECREF(r);
  Py_XDECREF(code);
  if (!fn) Py_XDECREF(module);
  return fn;
}

/* ---- a guest; GIL held ----------------------------------------------------------------------- */

static PyObject *args_of(gs_guest *g) {
  PyObject *list = PyList_New(0);
  for (const char *const *a = gs_guest_args(g); list && *a; a++) {
    PyObject *text = PyUnicode_DecodeUTF8(*a, (Py_ssize_t)strlen(*a), "surrogateescape");
    int failed = text ? PyList_Append(list, text) : -1;
    Py_XDECREF(text);
    if (failed) Py_CLEAR(list);
  }
  return list;
}

/* NULL: an exception is set. */
static const char *text_at(PyObject *tuple, Py_ssize_t i, Py_ssize_t *n) {
  PyObject *text = PyTuple_GetItem(tuple, i);
  return text ? PyUnicode_AsUTF8AndSize(text, n) : NULL;
}

/* false: an exception is set. */
static bool say(gs_guest *g, PyObject *how) {
  Py_ssize_t n = 0;
  const char *kind = PyTuple_Check(how) ? text_at(how, 0, NULL) : NULL;
  if (!kind) return false;
  if (strcmp(kind, "returned") == 0) {
    const char *text = PyTuple_GetItem(how, 1) == Py_None ? NULL : text_at(how, 1, &n);
    if (!PyErr_Occurred()) gs_guest_returned(g, text, (size_t)n);
  } else if (strcmp(kind, "failed") == 0) {
    const char *text = text_at(how, 1, NULL), *trace = text ? text_at(how, 2, NULL) : NULL;
    if (trace) gs_guest_failed(g, text, trace);
  } else if (strcmp(kind, "exited") == 0) {
    long status = PyLong_AsLong(PyTuple_GetItem(how, 1));
    if (!PyErr_Occurred()) gs_guest_exited(g, (int)status);
  } else {
    gs_guest_cancelled(g);
  }
  return !PyErr_Occurred();
}

static void run_guest(gs_guest *g) {
  char dir[PATH_MAX] = "";
  guest_binding_dir(dir, "gosched/__init__.py");
  if (!run_source) run_source = load_bootstrap();
  PyObject *args = run_source ? args_of(g) : NULL;
  PyObject *how = args ? PyObject_CallFunction(run_source, "ssOs", gs_guest_source(g),
                                               gs_guest_name(g), args, dir)
                       : NULL;
  if (!how || !say(g, how)) {
    PyErr_Print();
    gs_guest_failed(g, "the guest could not be run; Python's error is on standard error", NULL);
  }
  Py_XDECREF(how);
  Py_XDECREF(args);
}

static void run(gs_guest *g) {
  if (!atomic_load(&is_ours)) {
    PyStatus status = initialise();
    if (PyStatus_Exception(status)) {
      gs_guest_failed(g, status.err_msg ? status.err_msg : "Python cannot be initialised", NULL);
    } else {
      atomic_store(&is_ours, true);
      run_guest(g);
      PyEval_SaveThread(); /* the state of this thread stays, as that of the main one */
    }
  } else {
    PyGILState_STATE s = PyGILState_Ensure();
    run_guest(g);
    PyGILState_Release(s);
  }
}

static void end(void) { atomic_store(&busy, false); }

GUEST_EXPORT extern const gs_guest_plugin gosched_guest;
const gs_guest_plugin gosched_guest = {
    sizeof gosched_guest, GS_GUEST_ABI, "python", library, begin, run, end,
};
