/* function.c: C functions of gosched.dlopen.
 *
 * The package parses declarations with cffi and describes each function to this file: its address,
 * the cffi type of every argument and of the result, and the same types in the words of
 * gosched_ffi.h.  A call converts the arguments with cffi's own converters, calls through
 * gs_ffi_call, and converts the result back.  So what is accepted and what comes out is what cffi
 * does (number.h takes plain numbers off its hands), and while the function blocks, other green
 * threads run.
 *
 * cffi exports its converters to the modules that it generates: a table of functions in the capsule
 * _cffi_backend._C_API, whose order is part of the contract with modules compiled long ago
 * (_cffi_include.h in the package cffi numbers the entries).  cffi_boot checks that the table does
 * what is expected before anything relies on it.
 *
 * The scheduler drops the GIL for the call and takes it again, so nothing here does; except where
 * no green thread runs: there the call is an ordinary one of this thread.
 *
 * Arguments are borrowed from the caller, who keeps them until the call has returned; what cffi has
 * to copy (a list for a pointer) lives in `temps` as long, and what exports its memory (buffer.h)
 * does so as long.
 */
#include "function.h"

#include <errno.h>
#include <stddef.h>

#include "buffer.h"
#include "number.h"

/* ---- cffi's converters -------------------------------------------------------------------------
 */

enum { /* places in the table */
       CFFI_RESTORE_ERRNO = 13,
       CFFI_SAVE_ERRNO = 14,
       CFFI_FROM_C = 16,
       CFFI_TO_C = 17,
       CFFI_FROM_C_STRUCT = 18,
       CFFI_PREPARE_POINTER = 23,
       CFFI_ARRAY_FROM_OBJECT = 24,
};

static struct {
  PyObject *(*from_c)(char *, PyObject *ct);
  PyObject *(*from_c_struct)(char *, PyObject *ct);
  int (*to_c)(char *, PyObject *ct, PyObject *);
  Py_ssize_t (*prepare_pointer)(PyObject *ct, PyObject *, char **);
  int (*array_from_object)(char *, PyObject *ct, PyObject *);
  void (*save_errno)(void);
  void (*restore_errno)(void);
} cffi;

static bool cffi_works(PyObject *backend) {
  int out = 0;
  PyObject *back = NULL;
  PyObject *in = PyLong_FromLong(0x1234567);
  PyObject *ct = PyObject_CallMethod(backend, "new_primitive_type", "s", "int");
  bool ok = in && ct && cffi.to_c((char *)&out, ct, in) == 0 && out == 0x1234567 &&
            (back = cffi.from_c((char *)&out, ct)) != NULL &&
            PyObject_RichCompareBool(in, back, Py_EQ) == 1;
  Py_XDECREF(in);
  Py_XDECREF(ct);
  Py_XDECREF(back);
  return ok;
}

static int cffi_boot(void) {
  if (cffi.to_c) return 0;
  PyObject *backend = PyImport_ImportModule("_cffi_backend");
  if (!backend) return -1;
  PyObject *capsule = PyObject_GetAttrString(backend, "_C_API");
  void **table = capsule ? PyCapsule_GetPointer(capsule, "cffi") : NULL;
  Py_XDECREF(capsule);
  bool ok = false;
  if (table && !table[0]) {
    *(void **)&cffi.from_c = table[CFFI_FROM_C];
    *(void **)&cffi.from_c_struct = table[CFFI_FROM_C_STRUCT];
    *(void **)&cffi.to_c = table[CFFI_TO_C];
    *(void **)&cffi.prepare_pointer = table[CFFI_PREPARE_POINTER];
    *(void **)&cffi.array_from_object = table[CFFI_ARRAY_FROM_OBJECT];
    *(void **)&cffi.save_errno = table[CFFI_SAVE_ERRNO];
    *(void **)&cffi.restore_errno = table[CFFI_RESTORE_ERRNO];
    ok = cffi_works(backend);
  }
  Py_DECREF(backend);
  if (ok) return 0;
  cffi.to_c = NULL;
  PyErr_SetString(PyExc_ImportError,
                  "the installed cffi does not export the converters that gosched uses (1.15 and "
                  "later do)");
  return -1;
}

/* ---- errno ---- */

/* Not inlined: the compiler would keep the address of errno over a call that changes threads. */
static _Thread_local int thread_errno;
__attribute__((noinline)) void foreign_errno(Rec *r, int e) {
  if (r)
    r->last_errno = e;
  else
    thread_errno = e;
  errno = e;
  cffi.save_errno(); /* ffi.errno is right too, until the green thread changes threads */
}
static __attribute__((noinline)) int errno_of_cffi(void) {
  cffi.restore_errno();
  return errno;
}
static __attribute__((noinline)) int errno_of_thread(void) { return thread_errno; }

PyDoc_STRVAR(
    errno_doc,
    "errno()\n--\n\n"
    "errno as this green thread's last foreign call left it, whatever thread it is on now.");
static PyObject *mod_errno(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  const Rec *r = rec_here();
  return PyLong_FromLong(r ? r->last_errno : errno_of_thread());
}

/* ---- libraries ---- */

static PyObject *library_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  PyObject *name, *opened;
  static char *names[] = {"name", "opened", NULL};
  if (!PyArg_ParseTupleAndKeywords(args, kw, "UO:_Library", names, &name, &opened)) return NULL;
  if (cffi_boot() < 0) return NULL;
  Library *lib = (Library *)type->tp_alloc(type, 0);
  if (!lib) return NULL;
  Py_INCREF(name);
  lib->name = name;
  Py_INCREF(opened);
  lib->opened = opened;
  if ((lib->ffi = gs_ffi_new())) return (PyObject *)lib;
  Py_DECREF(lib);
  return PyErr_NoMemory();
}

static void library_dealloc(PyObject *self) {
  Library *lib = (Library *)self;
  if (lib->ffi) gs_ffi_free(lib->ffi);
  Py_XDECREF(lib->name);
  Py_XDECREF(lib->opened);
  Py_TYPE(self)->tp_free(self);
}

static PyObject *library_close(PyObject *self, PyObject *ignored) {
  (void)ignored;
  Library *lib = (Library *)self;
  if (lib->calls > 0) {
    PyErr_Format(exc_FFIError, "%U cannot be closed: %zd of its functions are running", lib->name,
                 lib->calls);
    return NULL;
  }
  lib->closed = true;
  Py_RETURN_NONE;
}

static PyMethodDef library_methods[] = {
    {"close", library_close, METH_NOARGS, "Its functions refuse to be called from now on."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject LibraryType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched._gosched._Library",
    .tp_doc = "What the functions of one library share.",
    .tp_basicsize = sizeof(Library),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = library_new,
    .tp_dealloc = library_dealloc,
    .tp_methods = library_methods,
};

/* ---- functions ---- */

typedef struct {
  PyObject *ct;  /* cffi's type */
  size_t offset; /* of the value in the call's frame */
  size_t zeroed; /* of a struct: its size, since cffi leaves out members that are not given */
  bool pointer;  /* also what has an address: a function of ours, a callback */
  bool data;     /* not to a function: converted as an array may be */
  BufferRule buffer;
  Number number;
} Arg;

typedef struct {
  PyObject_HEAD vectorcallfunc vectorcall;
  gs_func *func;
  Library *lib;
  PyObject *name, *signature, *cdata;
  PyObject *made;    /* what it was made from, for gosched.bind */
  PyObject *unblock; /* called to make it return when its caller is cancelled; NULL: nothing can */
  PyObject *result;  /* cffi's type; NULL: void */
  bool result_struct;
  Number result_number;
  size_t frame; /* bytes for the result and all arguments */
  Py_ssize_t nargs;
  PyObject *weakrefs;
  Arg args[];
} Function;

static PyTypeObject FunctionType;
static PyObject *callback_type; /* gosched.Callback */

static PyObject *mod_callback_type(PyObject *self, PyObject *type) {
  (void)self;
  Py_INCREF(type);
  Py_XSETREF(callback_type, type);
  Py_RETURN_NONE;
}

/* What an argument needs until the call has returned. */
typedef struct Temp {
  struct Temp *next;
  Py_buffer view; /* exported; its obj is NULL if nothing is */
  max_align_t data[];
} Temp;

static Temp *temp_new(size_t size, Temp **temps) {
  Temp *t = PyMem_Calloc(1, sizeof *t + size);
  if (!t) return (void)PyErr_NoMemory(), NULL;
  t->next = *temps;
  *temps = t;
  return t;
}

/* Not inlined: calls that lend no memory need not make room for this. */
static __attribute__((noinline)) int convert_buffer(const Arg *a, PyObject *value, char *to,
                                                    Temp **temps) {
  Temp *t = temp_new(0, temps);
  int taken = t ? buffer_take(&a->buffer, value, &t->view) : -1;
  if (t && taken != 1) t->view.obj = NULL;
  if (taken < 0) return -1;
  if (taken == 0) return cffi.to_c(to, a->ct, value);
  *(void **)(void *)to = t->view.buf;
  return 0;
}

static int convert(const Arg *a, PyObject *value, char *to, Temp **temps) {
  if (a->number && number_to_c(a->number, value, to)) return 0;
  if (Py_TYPE(value) == &FunctionType) {
    value = ((Function *)value)->cdata;
  } else if (a->pointer && (PyObject *)Py_TYPE(value) == callback_type) {
    value = PyObject_GetAttrString(value, "cdata");
    if (!value) return -1;
    Py_DECREF(value); /* the callback keeps it */
  }
  if (a->zeroed) memset(to, 0, a->zeroed);
  if (!a->data) return cffi.to_c(to, a->ct, value);
  if (buffer_wanted(&a->buffer, value)) return convert_buffer(a, value, to, temps);
  Py_ssize_t size = cffi.prepare_pointer(a->ct, value, (char **)(void *)to);
  if (size <= 0) return (int)size;
  Temp *t = temp_new((size_t)size, temps);
  if (!t) return -1;
  *(void **)(void *)to = t->data;
  return cffi.array_from_object((char *)t->data, a->ct, value);
}

/* Giving memory back may run code of the object's, which must not see an error in flight. */
static void free_temps(Temp *t) {
  PyObject *error = error_take();
  while (t) {
    Temp *next = t->next;
    if (t->view.obj) PyBuffer_Release(&t->view);
    PyMem_Free(t);
    t = next;
  }
  if (error) error_put(error);
}

/* Says which argument of which function cffi does not take.  A KeyError of cffi's is a member that
 * the struct does not have; one that has been raised by Python code has a traceback. */
static void name_argument(const Function *f, Py_ssize_t i) {
  PyObject *error = error_take();
  PyObject *type = (PyObject *)Py_TYPE(error);
  PyObject *tb = PyException_GetTraceback(error);
  bool member = type == PyExc_KeyError && !tb;
  Py_XDECREF(tb);
  if (type != PyExc_TypeError && type != PyExc_OverflowError && type != PyExc_ValueError &&
      type != PyExc_BufferError && !member) {
    error_put(error);
    return;
  }
  PyObject *ctype = PyObject_GetAttrString(f->args[i].ct, "cname");
  if (!ctype) PyErr_Clear();
  PyErr_Format(member ? PyExc_ValueError : type, "%U() argument %zd (%V): %s%S", f->name, i + 1,
               ctype, "?", member ? "there is no member " : "", error);
  Py_XDECREF(ctype);
  if (!member) {
    Py_DECREF(error);
    return;
  }
  PyObject *told = error_take();
  PyException_SetCause(told, error);
  error_put(told);
}

static bool arguments_fit(const Function *f, Py_ssize_t nargs, PyObject *kwnames) {
  if (kwnames && PyTuple_GET_SIZE(kwnames) > 0) {
    PyErr_Format(PyExc_TypeError, "%U() takes no keyword arguments", f->name);
    return false;
  }
  if (nargs != f->nargs) {
    PyErr_Format(PyExc_TypeError, "%U() takes %zd argument%s (%U), %zd given", f->name, f->nargs,
                 f->nargs == 1 ? "" : "s", f->signature, nargs);
    return false;
  }
  if (f->lib->closed) {
    PyErr_Format(exc_FFIError, "%U() cannot be called: %U was closed", f->name, f->lib->name);
    return false;
  }
  return true;
}

/* Calls under way on a thread that runs no green thread, and what their callbacks have raised. */
static _Thread_local int thread_calls;
static _Thread_local PyObject *thread_failed;

/* Not inlined, as for errno.  *failed is taken out and replaced. */
static __attribute__((noinline)) PyObject *swap_thread_failed(PyObject *failed, int calls) {
  PyObject *old = thread_failed;
  thread_failed = failed;
  thread_calls += calls;
  return old;
}

static PyObject *swap_failed(Rec *r, PyObject *failed, int calls) {
  if (!r) return swap_thread_failed(failed, calls);
  PyObject *old = r->failed;
  r->failed = failed;
  r->calls += calls;
  return old;
}

PyDoc_STRVAR(
    callback_failed_doc,
    "_callback_failed(exception)\n--\n\n"
    "In a callback: the innermost foreign call raises this when it ends, unless another one was\n"
    "told before.  False: no foreign call is under way here.");
static PyObject *mod_callback_failed(PyObject *self, PyObject *error) {
  (void)self;
  Rec *r = rec_here();
  PyObject *old = swap_failed(r, NULL, 0);
  if (old || (r ? r->calls == 0 : thread_calls == 0)) {
    swap_failed(r, old, 0);
    return PyBool_FromLong(old != NULL);
  }
  Py_INCREF(error);
  swap_failed(r, error, 0);
  Py_RETURN_TRUE;
}

int foreign_call(Library *lib, const gs_func *func, Rec *r, void *result, void *const *argv, int *e,
                 PyObject **failed) {
  int code;
  lib->calls++;
  PyObject *outer = swap_failed(r, NULL, 1);
  if (r) {
    const char *where = r->where;
    r->calls--; /* pin_check looks at those before this one */
    pin_check(r);
    r->calls++;
    r->where = state_syscall;
    code = gs_ffi_call(func, result, argv, e);
    r->where = where;
  } else {
    Py_BEGIN_ALLOW_THREADS code = gs_ffi_call(func, result, argv, e);
    Py_END_ALLOW_THREADS
  }
  *failed = swap_failed(r, outer, -1);
  lib->calls--;
  return code;
}

/* ---- calls that a cancel can end ----
 *
 * All of it under the GIL: the call is in a list of its green thread, and who cancels that calls
 * the function that makes the call return.  Afterwards the call waits until that function has
 * returned as well: it was given the call's own arguments. */

void unblock_call(Unblock *u) {
  if (u->called) return;
  u->called = true;
  gs_waitgroup_add(&u->running, 1);
  PyObject *error = error_take();
  PyObject *r = PyObject_Vectorcall(u->fn, u->args, (size_t)u->nargs, NULL);
  if (!r) PyErr_WriteUnraisable(u->fn);
  Py_XDECREF(r);
  if (error) error_put(error);
  stay_check();
  gs_waitgroup_done(&u->running);
}

void unblock_begin(Unblock *u, Green *g, PyObject *fn, PyObject *const *args, Py_ssize_t nargs) {
  *u = (Unblock){.outer = g->unblock, .fn = fn, .args = args, .nargs = nargs};
  g->unblock = u;
}

static int wait_running(void *running, int64_t deadline) {
  return gs_waitgroup_wait(running, deadline);
}

void unblock_end(Unblock *u, Rec *r) {
  r->obj->unblock = u->outer;
  if (!u->called) return;
  op_shielded(r, wait_running, &u->running);
}

static PyObject *give_result(const Function *f, char *result) {
  if (f->result_number) return number_from_c(f->result_number, result);
  if (!f->result) Py_RETURN_NONE;
  return f->result_struct ? cffi.from_c_struct(result, f->result) : cffi.from_c(result, f->result);
}

/* Called back by a critical function, which keeps the turn and the GIL: the scheduler makes no
 * foreign calls meanwhile, so this is a plain call of cffi's.  What cffi does not know is given to
 * it as the pointer that it has become. */
static PyObject *call_nested(const Function *f, Rec *r, PyObject *const *args, void *const *argv) {
  PyObject *result = NULL;
  PyObject **known = PyMem_Calloc((size_t)f->nargs + 1, sizeof *known);
  PyObject *backend = known ? PyImport_ImportModule("_cffi_backend") : PyErr_NoMemory();
  Py_ssize_t n = 0;
  for (; backend && n < f->nargs; n++) {
    const Arg *a = &f->args[n];
    PyObject *value = args[n];
    bool ours = a->pointer &&
                (Py_TYPE(value) == &FunctionType || (PyObject *)Py_TYPE(value) == callback_type ||
                 buffer_wanted(&a->buffer, value));
    if (ours) {
      PyObject *address = PyLong_FromVoidPtr(*(void **)argv[n]);
      known[n] = address ? PyObject_CallMethod(backend, "cast", "OO", a->ct, address) : NULL;
      Py_XDECREF(address);
      if (!known[n]) goto done;
    } else {
      Py_INCREF(value);
      known[n] = value;
    }
  }
  if (backend) result = PyObject_Vectorcall(f->cdata, known, (size_t)f->nargs, NULL);
  if (result) foreign_errno(r, errno_of_cffi());
done:
  for (Py_ssize_t i = 0; known && i < f->nargs; i++) Py_XDECREF(known[i]);
  PyMem_Free(known);
  Py_XDECREF(backend);
  return result;
}

#define FRAME_BYTES 512
#define FRAME_ARGS 16

static PyObject *function_call(PyObject *self, PyObject *const *args, size_t nargsf,
                               PyObject *kwnames) {
  const Function *f = (Function *)self;
  _Alignas(max_align_t) char small[FRAME_BYTES];
  void *small_argv[FRAME_ARGS];
  char *frame = small;
  void **argv = small_argv;
  void *large = NULL;
  Temp *temps = NULL;
  PyObject *result = NULL;
  if (!arguments_fit(f, PyVectorcall_NARGS(nargsf), kwnames)) return NULL;
  if (f->frame > FRAME_BYTES || f->nargs > FRAME_ARGS) {
    large = PyMem_Malloc(f->frame + (size_t)f->nargs * sizeof *argv);
    if (!large) return PyErr_NoMemory();
    frame = large;
    argv = (void **)(void *)(frame + f->frame);
  }
  for (Py_ssize_t i = 0; i < f->nargs; i++) {
    argv[i] = frame + f->args[i].offset;
    if (convert(&f->args[i], args[i], argv[i], &temps) < 0) {
      name_argument(f, i);
      goto done;
    }
  }
  int e = 0;
  Rec *r = rec_here();
  PyObject *failed = NULL;
  Unblock unblock;
  bool can_end = f->unblock && r && r->obj;
  if (can_end && green_cancelled(r->obj)) {
    raise_code(GS_ECANCELED, NULL);
    goto done;
  }
  if (can_end) unblock_begin(&unblock, r->obj, f->unblock, args, f->nargs);
  int code = foreign_call(f->lib, f->func, r, frame, argv, &e, &failed);
  if (can_end) unblock_end(&unblock, r);
  if (can_end && unblock.called && green_cancelled(r->obj)) {
    foreign_errno(r, e);
    Py_XDECREF(failed);
    raise_code(GS_ECANCELED, NULL);
  } else if (failed) {
    foreign_errno(r, e);
    error_put(failed);
  } else if (code == GS_OK) {
    foreign_errno(r, e);
    result = give_result(f, frame);
  } else if (code == GS_EPERM) {
    result = call_nested(f, r, args, argv);
  } else {
    raise_code(code, gs_func_name(f->func));
  }
done:
  if (temps) free_temps(temps);
  if (large) PyMem_Free(large);
  return result;
}

/* ---- making one
 * ------------------------------------------------------------------------------------------------
 */

static PyObject *raise_ffi(const gs_ffi_error *err) {
  PyErr_SetString(exc_FFIError, err->text);
  return NULL;
}

/* A type in the words of the package: the name of a built-in one, or (members, size, alignment) of
 * a struct. */
static const gs_type *type_of(Library *lib, PyObject *spec) {
  gs_ffi_error err = {.code = 0};
  const gs_type *type = NULL;
  if (PyUnicode_Check(spec)) {
    const char *name = PyUnicode_AsUTF8(spec);
    if (name && !(type = gs_type_builtin(name)))
      PyErr_Format(PyExc_SystemError, "gosched_ffi.h has no type %s", name);
    return type;
  }
  PyObject *members;
  Py_ssize_t size, align;
  if (!PyArg_ParseTuple(spec, "O!nn", &PyTuple_Type, &members, &size, &align)) return NULL;
  size_t n = (size_t)PyTuple_GET_SIZE(members);
  const gs_type **list = PyMem_Calloc(n ? n : 1, sizeof *list);
  if (!list) return (PyErr_NoMemory(), NULL);
  for (size_t i = 0; i < n; i++)
    if (!(list[i] = type_of(lib, PyTuple_GET_ITEM(members, (Py_ssize_t)i)))) goto done;
  int code = gs_type_struct(lib->ffi, list, n, &type, &err);
  if (code != GS_OK) {
    type = NULL;
    raise_ffi(&err);
  } else if (gs_type_size(type) != (size_t)size || gs_type_align(type) != (size_t)align) {
    PyErr_Format(
        exc_FFIError,
        "a struct of %zd bytes aligned to %zd cannot be passed by value: its members alone "
        "would make %zu bytes aligned to %zu (is it packed?)",
        size, align, gs_type_size(type), gs_type_align(type));
    type = NULL;
  }
done:
  PyMem_Free(list);
  return type;
}

/* Lays out the frame: the result first, then the arguments, each aligned for any type. */
static size_t place(size_t *frame, size_t size) {
  size_t at = *frame, align = _Alignof(max_align_t);
  *frame = at + (size + align - 1) / align * align;
  return at;
}

/* ct is a pointer: is it one to data?  Also false: an exception is set. */
static bool is_data(PyObject *ct) {
  PyObject *kind = PyObject_GetAttrString(ct, "kind");
  bool data =
      kind && PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "function") != 0;
  Py_XDECREF(kind);
  return data;
}

static int prepare(Function *f, void *address, PyObject *result, PyObject *specs, PyObject *buffers,
                   int nfixed, int flags) {
  gs_ffi_error err = {.code = 0};
  const gs_type *ret = type_of(f->lib, result);
  const gs_type **list = PyMem_Calloc((size_t)f->nargs + 1, sizeof *list);
  int failed = -1;
  if (!list) PyErr_NoMemory();
  if (!ret || !list) goto done;
  place(&f->frame, gs_type_size(ret) + 1);
  f->result_struct = gs_type_kind(ret) == GS_KIND_STRUCT;
  if (f->result) f->result_number = number_kind(f->result, ret);
  for (Py_ssize_t i = 0; i < f->nargs; i++) {
    if (!(list[i] = type_of(f->lib, PyTuple_GET_ITEM(specs, i)))) goto done;
    f->args[i].offset = place(&f->frame, gs_type_size(list[i]));
    f->args[i].pointer = gs_type_kind(list[i]) == GS_KIND_POINTER;
    f->args[i].data = f->args[i].pointer && is_data(f->args[i].ct);
    if (PyErr_Occurred()) goto done;
    if (gs_type_kind(list[i]) == GS_KIND_STRUCT) f->args[i].zeroed = gs_type_size(list[i]);
    f->args[i].number = number_kind(f->args[i].ct, list[i]);
    if (buffer_rule(PyTuple_GET_ITEM(buffers, i), &f->args[i].buffer) < 0) goto done;
  }
  const char *name = PyUnicode_AsUTF8(f->name);
  if (!name) goto done;
  if (gs_func_prepare(f->lib->ffi, name, address, ret, list, (size_t)f->nargs, (size_t)nfixed,
                      (unsigned)flags, &f->func, &err) != GS_OK)
    raise_ffi(&err);
  else
    failed = 0;
done:
  PyMem_Free(list);
  return failed;
}

PyDoc_STRVAR(
    function_doc,
    "_Function(library, name, signature, cdata, address, result, result_spec, args, specs,\n"
    "          buffers, nfixed, flags, unblock, made)\n--\n\n"
    "A C function.  Calling it is a foreign call: other green threads run while it blocks.");
static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kw) {
  Library *lib;
  PyObject *name, *signature, *cdata, *result, *result_spec, *cts, *specs, *buffers, *address,
      *unblock, *made;
  int nfixed, flags;
  (void)kw;
  if (!PyArg_ParseTuple(args, "O!UUOO!OOO!O!O!iiOO:_Function", &LibraryType, &lib, &name,
                        &signature, &cdata, &PyLong_Type, &address, &result, &result_spec,
                        &PyTuple_Type, &cts, &PyTuple_Type, &specs, &PyTuple_Type, &buffers,
                        &nfixed, &flags, &unblock, &made))
    return NULL;
  void *addr = PyLong_AsVoidPtr(address);
  if (!addr) {
    if (!PyErr_Occurred())
      PyErr_Format(exc_FFIError, "the function %U of %U is NULL", name, lib->name);
    return NULL;
  }
  Py_ssize_t n = PyTuple_GET_SIZE(cts);
  if (PyTuple_GET_SIZE(specs) != n || PyTuple_GET_SIZE(buffers) != n || nfixed > n) {
    PyErr_SetString(PyExc_SystemError, "_Function: args, specs, buffers and nfixed do not fit");
    return NULL;
  }
  Function *f = (Function *)type->tp_alloc(type, n);
  if (!f) return NULL;
  f->vectorcall = function_call;
  f->nargs = n;
#define KEEP(field, value) (Py_INCREF(value), f->field = (value))
  KEEP(lib, lib);
  KEEP(name, name);
  KEEP(signature, signature);
  KEEP(cdata, cdata);
  KEEP(made, made);
  if (result != Py_None) KEEP(result, result);
  if (unblock != Py_None) KEEP(unblock, unblock);
  for (Py_ssize_t i = 0; i < n; i++) KEEP(args[i].ct, PyTuple_GET_ITEM(cts, i));
#undef KEEP
  if (prepare(f, addr, result_spec, specs, buffers, nfixed, flags) < 0) Py_CLEAR(f);
  return (PyObject *)f;
}

static void function_dealloc(PyObject *self) {
  Function *f = (Function *)self;
  if (f->weakrefs) PyObject_ClearWeakRefs(self);
  if (f->func) gs_func_free(f->func);
  for (Py_ssize_t i = 0; i < f->nargs; i++) Py_XDECREF(f->args[i].ct);
  Py_XDECREF(f->result);
  Py_XDECREF(f->cdata);
  Py_XDECREF(f->unblock);
  Py_XDECREF(f->made);
  Py_XDECREF(f->signature);
  Py_XDECREF(f->name);
  Py_XDECREF(f->lib);
  Py_TYPE(self)->tp_free(self);
}

static PyObject *function_repr(PyObject *self) {
  const Function *f = (Function *)self;
  return PyUnicode_FromFormat("<gosched function %U of %U: %U>", f->name, f->lib->name,
                              f->signature);
}

#define GETTER(field)                                           \
  static PyObject *get_##field(PyObject *self, void *closure) { \
    (void)closure;                                              \
    PyObject *value = ((Function *)self)->field;                \
    Py_INCREF(value);                                           \
    return value;                                               \
  }
GETTER(name)
GETTER(signature)
GETTER(cdata)
GETTER(made)

static PyGetSetDef function_getset[] = {
    {"__name__", get_name, NULL, NULL, NULL},
    {"signature", get_signature, NULL, "Its C type.", NULL},
    {"_made", get_made, NULL, NULL, NULL},
    {"cdata", get_cdata, NULL, "The function pointer, as cffi knows it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject FunctionType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gosched._gosched._Function",
    .tp_doc = function_doc,
    .tp_basicsize = sizeof(Function),
    .tp_itemsize = sizeof(Arg),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = function_new,
    .tp_dealloc = function_dealloc,
    .tp_repr = function_repr,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Function, vectorcall),
    .tp_weaklistoffset = offsetof(Function, weakrefs),
    .tp_getset = function_getset,
};

static PyMethodDef functions[] = {
    {"errno", mod_errno, METH_NOARGS, errno_doc},
    {"_callback_failed", mod_callback_failed, METH_O, callback_failed_doc},
    {"_callback_type", mod_callback_type, METH_O, "What has a function pointer as `cdata`."},
    {NULL, NULL, 0, NULL},
};

int function_init(PyObject *module) {
  if (PyType_Ready(&LibraryType) < 0 || PyType_Ready(&FunctionType) < 0) return -1;
  Py_INCREF(&LibraryType);
  Py_INCREF(&FunctionType);
  if (PyModule_AddObject(module, "_Library", (PyObject *)&LibraryType) < 0 ||
      PyModule_AddObject(module, "_Function", (PyObject *)&FunctionType) < 0 ||
      PyModule_AddIntConstant(module, "_SITE_BLOCKING", GS_SITE_BLOCKING) < 0 ||
      PyModule_AddIntConstant(module, "_SITE_CRITICAL", GS_SITE_CRITICAL) < 0)
    return -1;
  return PyModule_AddFunctions(module, functions);
}
