/* module.c: the extension module _gosched: exceptions, arguments, and the functions that are not
 * about one object.  The package gosched gives all this its public names.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>

#include "function.h"
#include "tstate.h"

PyObject *exc_Error, *exc_Closed, *exc_WouldBlock, *exc_Deadlock, *exc_FFIError, *exc_Cancelled;

/* ---- errors -------------------------------------------------------------------------------------
 */

PyObject *raise_code(int code, const char *what) {
  switch (code) {
    case RAISED: return NULL;
    case GS_ECLOSED: PyErr_Format(exc_Closed, "%s: the channel is closed", what); return NULL;
    case GS_ETIMEOUT: PyErr_Format(PyExc_TimeoutError, "%s: timed out", what); return NULL;
    case GS_ECANCELED:
      PyErr_SetString(exc_Cancelled, "the green thread was cancelled");
      return NULL;
    case GS_EWOULDBLOCK: PyErr_Format(exc_WouldBlock, "%s would have to wait", what); return NULL;
    case GS_EDEADLOCK: return deadlock_raise(what);
    case GS_ENOMEM: return PyErr_NoMemory();
    case GS_EINVAL: PyErr_Format(PyExc_ValueError, "%s: %s", what, gs_strerror(code)); return NULL;
    case GS_EPERM:
      PyErr_Format(
          exc_Error,
          "%s waits, which is not possible in a callback of a function that gosched.dlopen "
          "was told is critical: leave it out of critical=[...]",
          what);
      return NULL;
    default: PyErr_Format(exc_Error, "%s: %s", what, gs_strerror(code)); return NULL;
  }
}

PyObject *raise_detail(int code, const char *what) {
  const char *detail = gs_error_detail();
  if (code == RAISED || code == GS_ENOMEM || !*detail) return raise_code(code, what);
  PyErr_Format(code == GS_EINVAL ? PyExc_ValueError : exc_Error, "%s: %s", what, detail);
  return NULL;
}

static int add_exceptions(PyObject *module) {
  const struct {
    PyObject **where;
    const char *name, *doc;
    PyObject *base;
  } all[] = {
      {&exc_Error, "gosched.Error", "The base of the errors of gosched.", PyExc_Exception},
      {&exc_Closed, "gosched.Closed", "The channel is closed.", NULL},
      {&exc_WouldBlock, "gosched.WouldBlock", "An operation that may not wait would have to.",
       NULL},
      {&exc_Deadlock, "gosched.Deadlock",
       "No green thread can ever go on: raised in the main one, by what it waits in.\n\n"
       "The text has the Python stack of every green thread.",
       NULL},
      {&exc_FFIError, "gosched.FFIError",
       "A library, a symbol or a declaration is missing or wrong.\n\n"
       "line, column: where in the declarations (from 1), or None.",
       NULL},
      {&exc_Cancelled, "gosched.Cancelled",
       "Raised in a green thread that was asked to stop, by whatever it waits in.\n\n"
       "It does not derive from Exception, so that `except Exception` does not swallow it.",
       PyExc_BaseException},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    PyObject *dict = NULL;
    if (all[i].where == &exc_FFIError) {
      dict = Py_BuildValue("{s:O,s:O}", "line", Py_None, "column", Py_None);
      if (!dict) return -1;
    }
    PyObject *type = PyErr_NewExceptionWithDoc(all[i].name, all[i].doc,
                                               all[i].base ? all[i].base : exc_Error, dict);
    Py_XDECREF(dict);
    if (!type) return -1;
    *all[i].where = type;
    Py_INCREF(type);
    if (PyModule_AddObject(module, strchr(all[i].name, '.') + 1, type) < 0) return -1;
  }
  return 0;
}

/* ---- arguments ---- */

int parse_args(const char *fname, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
               const char *const *names, int required, PyObject **out) {
  Py_ssize_t n = 0;
  while (names[n]) out[n++] = NULL;
  if (nargs > n) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments, %zd given", fname, n, nargs);
    return -1;
  }
  for (Py_ssize_t i = 0; i < nargs; i++) out[i] = args[i];
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); k++) {
    PyObject *key = PyTuple_GET_ITEM(kwnames, k);
    Py_ssize_t i = 0;
    while (i < n && PyUnicode_CompareWithASCIIString(key, names[i]) != 0) i++;
    if (i == n || out[i]) {
      PyErr_Format(PyExc_TypeError,
                   i == n ? "%s() got an unexpected keyword argument '%U'"
                          : "%s() got multiple values for argument '%U'",
                   fname, key);
      return -1;
    }
    out[i] = args[nargs + k];
  }
  for (int i = 0; i < required; i++)
    if (!out[i]) {
      PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", fname, names[i]);
      return -1;
    }
  return 0;
}

int parse_seconds(PyObject *arg, const char *what, int64_t *ns) {
  double seconds = PyFloat_AsDouble(arg);
  if (seconds == -1.0 && PyErr_Occurred()) {
    if (PyErr_ExceptionMatches(PyExc_TypeError))
      PyErr_Format(PyExc_TypeError, "%s must be a number of seconds, not %.100s", what,
                   Py_TYPE(arg)->tp_name);
    return -1;
  }
  if (isnan(seconds) || seconds < 0) {
    PyErr_Format(PyExc_ValueError, "%s is %R; it must be 0 or more seconds", what, arg);
    return -1;
  }
  /* Rounded up, so that nobody wakes too early. */
  *ns = seconds >= 9e9 ? INT64_MAX : (int64_t)ceil(seconds * 1e9);
  return 0;
}

int parse_timeout(PyObject *arg, int64_t *deadline) {
  int64_t ns;
  *deadline = GS_FOREVER;
  if (!arg || arg == Py_None) return 0;
  if (parse_seconds(arg, "timeout", &ns) < 0) return -1;
  int64_t now = gs_now();
  if (ns < INT64_MAX - now) *deadline = now + ns;
  return 0;
}

/* None: 0.  -1: an exception is set. */
static int parse_count(PyObject *arg, const char *what, int *out) {
  *out = 0;
  if (arg == Py_None) return 0;
  if (!PyLong_Check(arg)) {
    PyErr_Format(PyExc_TypeError, "gosched.run: %s must be an int or None, not %.100s", what,
                 Py_TYPE(arg)->tp_name);
    return -1;
  }
  long value = PyLong_AsLong(arg);
  if (value == -1 && PyErr_Occurred()) PyErr_Clear();
  if (value < 1 || value > 1000000) {
    PyErr_Format(PyExc_ValueError, "gosched.run: %s is %R; 1 or more is accepted, or None", what,
                 arg);
    return -1;
  }
  *out = (int)value;
  return 0;
}

/* ---- run, go ---- */

static PyObject *mod_run(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int procs, max_threads;
  if (nargs != 4 || !PyTuple_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "_run(main, args, procs, max_threads)");
    return NULL;
  }
  if (!PyCallable_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "gosched.run: main must be callable, not %.100s",
                 Py_TYPE(args[0])->tp_name);
    return NULL;
  }
  if (parse_count(args[2], "procs", &procs) < 0) return NULL;
  if (parse_count(args[3], "max_threads", &max_threads) < 0) return NULL;
  return domain_run(args[0], args[1], procs, max_threads);
}

static PyObject *start(PyObject *on_end, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames) {
  if (nargs < 1) {
    PyErr_SetString(PyExc_TypeError, "gosched.go() missing required argument: 'fn'");
    return NULL;
  }
  if (!PyCallable_Check(args[0])) {
    PyErr_Format(PyExc_TypeError, "gosched.go: fn must be callable, not %.100s",
                 Py_TYPE(args[0])->tp_name);
    return NULL;
  }
  Green *g = green_new(args[0], args + 1, (size_t)nargs - 1, kwnames);
  if (!g) return NULL;
  Py_XINCREF(on_end);
  g->on_end = on_end;
  g->retrieved = on_end != NULL;
  int code = green_start(g);
  if (code == GS_OK) return (PyObject *)g;
  raise_detail(code, "gosched.go");
  Py_DECREF(g);
  return NULL;
}

PyDoc_STRVAR(
    go_doc,
    "go(fn, /, *args, **kwargs)\n--\n\n"
    "Starts fn(*args, **kwargs) as a green thread and returns its GreenThread.\n\n"
    "It runs in a copy of the caller's contextvars, on a stack of threading.stack_size() bytes\n"
    "(at least 1 MiB), or 8 MiB if nobody has set that.  May also be called on any other\n"
    "thread while gosched.run is under way.  Raises Error outside of gosched.run, TypeError if\n"
    "fn cannot be called, ValueError if the stack would be larger than 1 GiB, MemoryError.");
static PyObject *mod_go(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames) {
  (void)self;
  return start(NULL, args, nargs, kwnames);
}

PyDoc_STRVAR(
    spawn_doc,
    "_spawn(on_end, fn, /, *args, **kwargs)\n--\n\n"
    "go; at the end on_end(green_thread, exception or None) is called on it, and the error\n"
    "is on_end's business.");
static PyObject *mod_spawn(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
  (void)self;
  return start(args[0], args + 1, nargs - 1, kwnames);
}

/* ---- waiting ---- */

PyDoc_STRVAR(
    sleep_doc,
    "sleep(seconds, /)\n--\n\n"
    "Lets the green thread rest for so many seconds (0: like yield_now).\n\n"
    "Raises ValueError if seconds is negative or not a number, Cancelled, and Error where no\n"
    "green thread runs.");
static PyObject *mod_sleep(PyObject *self, PyObject *seconds) {
  (void)self;
  int64_t ns;
  if (parse_seconds(seconds, "gosched.sleep: seconds", &ns) < 0) return NULL;
  Rec *r = op_begin("gosched.sleep", state_waiting);
  if (!r) return NULL;
  int64_t now = gs_now();
  int64_t deadline = ns < INT64_MAX - now ? now + ns : INT64_MAX;
  int code;
  do code = gs_sleep(ns == 0 ? 0 : deadline - gs_now());
  while (op_again(r, false, &code));
  op_end(r);
  if (code == GS_OK && ns == 0 && gs_cancelled()) code = GS_ECANCELED;
  if (code != GS_OK) return raise_code(code, "gosched.sleep");
  Py_RETURN_NONE;
}

PyDoc_STRVAR(
    yield_doc,
    "yield_now()\n--\n\n"
    "Lets other green threads run.  Raises Cancelled.  Does nothing where no green thread runs.");
static PyObject *mod_yield(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  if (!rec_here()) Py_RETURN_NONE;
  Rec *r = op_begin("gosched.yield_now", state_waiting);
  if (!r) return NULL;
  gs_yield();
  op_end(r);
  if (gs_cancelled()) return raise_code(GS_ECANCELED, NULL);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc,
             "_wait_fd(fd, read, write, timeout)\n--\n\n"
             "Waits until fd is ready; gives (readable, writable).");
static PyObject *mod_wait_fd(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  if (nargs != 4) {
    PyErr_SetString(PyExc_TypeError, "_wait_fd(fd, read, write, timeout)");
    return NULL;
  }
  int fd = PyObject_AsFileDescriptor(args[0]);
  int read = PyObject_IsTrue(args[1]), write = PyObject_IsTrue(args[2]), ready = 0, code;
  if (fd < 0 || read < 0 || write < 0 || parse_timeout(args[3], &deadline) < 0) return NULL;
  if (!read && !write) {
    PyErr_SetString(PyExc_ValueError,
                    "gosched.wait: read and write are both false; wait for what?");
    return NULL;
  }
  Rec *r = op_begin("gosched.wait", state_waiting);
  if (!r) return NULL;
  do code = gs_wait_ready(fd, (read ? GS_READ : 0) | (write ? GS_WRITE : 0), deadline, &ready);
  while (op_again(r, false, &code));
  op_end(r);
  if (code == GS_OK)
    return Py_BuildValue("NN", PyBool_FromLong(ready & GS_READ), PyBool_FromLong(ready & GS_WRITE));
  if (code == GS_ESYS) {
    errno = gs_errno();
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  if (code == GS_ECLOSED) {
    PyErr_Format(exc_Closed, "gosched.wait: descriptor %d was closed meanwhile", fd);
    return NULL;
  }
  return raise_code(code, "gosched.wait");
}

/* Every green thread but the main one can be anywhere after it has waited. */
static PyObject *mod_os_thread(PyObject *self, PyObject *on) {
  (void)self;
  if (!rec_here()) {
    PyErr_SetString(exc_Error,
                    "gosched.os_thread needs a green thread: use it inside "
                    "gosched.run(main)");
    return NULL;
  }
  if (PyObject_IsTrue(on))
    gs_lock_os_thread();
  else
    gs_unlock_os_thread();
  Py_RETURN_NONE;
}

static PyObject *mod_running(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  return PyBool_FromLong(domain_running());
}

PyDoc_STRVAR(current_doc, "current()\n--\n\nThe GreenThread that runs here; None where none does.");
static PyObject *mod_current(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  const Rec *r = rec_here();
  PyObject *g = r && r->obj ? (PyObject *)r->obj : Py_None;
  Py_INCREF(g);
  return g;
}

static PyObject *mod_get_ident(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  uint64_t ident = green_ident();
  return PyLong_FromUnsignedLong(ident ? (unsigned long)ident : PyThread_get_thread_ident());
}

static PyObject *mod_on_forget(PyObject *self, PyObject *fn) {
  (void)self;
  return domain_on_forget(fn);
}

static PyObject *mod_on_begin(PyObject *self, PyObject *names) {
  (void)self;
  return green_on_begin(names);
}

static PyObject *mod_on_context(PyObject *self, PyObject *fn) {
  (void)self;
  return green_on_context(fn);
}

static PyObject *mod_holders_of(PyObject *self, PyObject *type) {
  (void)self;
  return holders_of(type);
}

static PyObject *mod_green_connections(PyObject *self, PyObject *type) {
  (void)self;
  return sqlite_connections(type);
}

static PyObject *mod_has_dummy(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  Rec *r = rec_here();
  if (r && !r->main) r->has_dummy = true;
  return PyBool_FromLong(r && !r->main);
}

/* ---- seeing inside ---- */

PyDoc_STRVAR(
    stats_doc,
    "stats()\n--\n\n"
    "The scheduler's counters, a dict of int.\n\n"
    "Now: gs_live (green threads that have not ended), threads, threads_idle, incgo (threads in\n"
    "a foreign call), procs, procs_idle.  Since the start: gs_created, threads_created,\n"
    "threads_max, cgocalls (foreign calls), exits_fast, exits_idle_p, exits_slow (how they came\n"
    "back), retakes, retakes_user (Ps taken from calls, and from code that declared none),\n"
    "handoffs, switches, parks and others: gosched.metrics() says what each of them is.  Times "
    "are\n"
    "in gosched.histograms().  All zero before the first gosched.run.");

/* (count, sum in seconds, buckets): what gosched._inside makes a Histogram of. */
static PyObject *histogram_tuple(const gs_histogram *h) {
  unsigned long long n = 0;
  PyObject *buckets = PyTuple_New(GS_BUCKETS);
  if (!buckets) return NULL;
  for (int i = 0; i < GS_BUCKETS; i++) {
    PyObject *one = PyLong_FromUnsignedLongLong(h->bucket[i]);
    if (!one) {
      Py_DECREF(buckets);
      return NULL;
    }
    PyTuple_SET_ITEM(buckets, i, one);
    n += h->bucket[i];
  }
  return Py_BuildValue("KdN", n, (double)h->sum_ns / 1e9, buckets);
}

/* All metrics that are histograms, or all others, by name. */
static PyObject *dict_of_metrics(bool histograms) {
  gs_metrics m = {.size = sizeof m};
  (void)gs_read_metrics(&m);
  PyObject *dict = PyDict_New();
  const gs_metric *metric;
  for (size_t i = 0; dict && (metric = gs_metric_info(i)); i++) {
    const void *value = (const char *)&m + metric->offset;
    if ((metric->kind == GS_HISTOGRAM) != histograms) continue;
    PyObject *v =
        histograms ? histogram_tuple(value) : PyLong_FromUnsignedLongLong(*(const uint64_t *)value);
    if (!v || PyDict_SetItemString(dict, metric->name, v) < 0) Py_CLEAR(dict);
    Py_XDECREF(v);
  }
  return dict;
}

static PyObject *mod_stats(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  return dict_of_metrics(false);
}

static PyObject *mod_histograms(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  return dict_of_metrics(true);
}

/* The catalogue: a list of (name, kind, unit, stable, text). */
static PyObject *mod_metrics(PyObject *self, PyObject *ignored) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  (void)self;
  (void)ignored;
  PyObject *list = PyList_New(0);
  const gs_metric *m;
  for (size_t i = 0; list && (m = gs_metric_info(i)); i++) {
    PyObject *one = Py_BuildValue("sssNs", m->name, kinds[m->kind], m->unit,
                                  PyBool_FromLong(m->stable), m->text);
    if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
    Py_XDECREF(one);
  }
  return list;
}

PyDoc_STRVAR(metrics_text_doc,
             "metrics_text()\n--\n\n"
             "All figures of stats and histograms in the text format of Prometheus, a str.");
static PyObject *mod_metrics_text(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  size_t room = gs_metrics_text(NULL, 0) + 4096; /* the figures may have grown by then */
  char *text = PyMem_Malloc(room);
  if (!text) return PyErr_NoMemory();
  size_t n = gs_metrics_text(text, room);
  PyObject *s = PyUnicode_FromStringAndSize(text, (Py_ssize_t)(n < room ? n : room - 1));
  PyMem_Free(text);
  return s;
}

/* A list of tuples in the order of Profiled in _inside.py. */
static PyObject *mod_profile(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  size_t room = gs_profile(NULL, 0) + 16; /* others may be called meanwhile */
  gs_profile_entry *e = PyMem_Calloc(room, sizeof *e);
  if (!e) return PyErr_NoMemory();
  size_t n = gs_profile(e, room);
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < n && i < room; i++) {
    PyObject *one =
        Py_BuildValue("sKddKKdK", e[i].name, (unsigned long long)e[i].blocked,
                      (double)e[i].blocked_ns / 1e9, (double)e[i].longest_ns / 1e9,
                      (unsigned long long)e[i].retakes, (unsigned long long)e[i].samples,
                      (double)e[i].sampled_ns / 1e9, (unsigned long long)e[i].now);
    if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
    Py_XDECREF(one);
  }
  PyMem_Free(e);
  return list;
}

/* ---- snapshot: tuples in the order of the named tuples in _inside.py ---- */

static PyObject *tuple_of_g(const gs_g_info *g) {
  static const char *const states[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
  return Py_BuildValue("KssssziiNNd", (unsigned long long)g->id, g->name, states[g->state],
                       g->wait_reason, g->domain, g->call, g->m, g->locked_m,
                       PyBool_FromLong(g->system), PyBool_FromLong(g->cancelled),
                       (double)g->since / 1e9);
}

static PyObject *tuple_of_m(const gs_m_info *m) {
  static const char *const modes[] = {"inside", "call", "user", "stopped"};
  return Py_BuildValue("iIsizKKNIKNN", m->id, m->tid, modes[m->mode], m->p, m->domain,
                       (unsigned long long)m->g, (unsigned long long)m->locked_g,
                       PyBool_FromLong(m->incgo), m->ncgo, (unsigned long long)m->ncgocall,
                       PyBool_FromLong(m->idle), PyBool_FromLong(m->spinning));
}

static PyObject *tuple_of_p(const gs_p_info *p) {
  static const char *const states[] = {"idle", "running", "syscall", "stopped", "dead"};
  return Py_BuildValue("sisinKK", p->domain, p->id, states[p->status], p->m, (Py_ssize_t)p->runq,
                       (unsigned long long)p->schedtick, (unsigned long long)p->syscalltick);
}

#define LIST_OF(list, n, what)                                  \
  do {                                                          \
    list = PyList_New(0);                                       \
    for (size_t i = 0; list && i < s->n; i++) {                 \
      PyObject *one = tuple_of_##what(&s->what[i]);             \
      if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list); \
      Py_XDECREF(one);                                          \
    }                                                           \
  } while (0)

static PyObject *mod_snapshot(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  gs_snapshot_data *s = NULL;
  PyObject *gs = NULL, *ms = NULL, *ps = NULL;
  int code = gs_snapshot(&s);
  if (code != GS_OK) return raise_code(code, "gosched.snapshot");
  LIST_OF(gs, ng, g);
  LIST_OF(ms, nm, m);
  LIST_OF(ps, np, p);
  double when = (double)s->when / 1e9;
  gs_snapshot_free(s);
  if (gs && ms && ps) return Py_BuildValue("dNNN", when, gs, ms, ps);
  Py_XDECREF(gs);
  Py_XDECREF(ms);
  Py_XDECREF(ps);
  return NULL;
}

/* Green threads and their thread states belong to one interpreter, the main one; CPython gives the
 * module to another one without asking it, so the package asks. */
static bool main_interpreter(void) {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return true;
  PyErr_SetString(PyExc_ImportError,
                  "gosched works in the main interpreter of a process only, and this is a "
                  "subinterpreter");
  return false;
}

static PyObject *mod_check_interpreter(PyObject *self, PyObject *none) {
  (void)self, (void)none;
  if (!main_interpreter()) return NULL;
  Py_RETURN_NONE;
}

static PyObject *mod_after_fork(PyObject *self, PyObject *none) {
  (void)self, (void)none;
  return domain_after_fork();
}

static PyObject *mod_live(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  return domain_live();
}

static PyObject *mod_on_deadlock(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  if (nargs == 2) return deadlock_hooks(args[0], args[1]);
  PyErr_SetString(PyExc_TypeError, "_on_deadlock(outside, report)");
  return NULL;
}

static PyObject *mod_dump(PyObject *self, PyObject *fd) {
  (void)self;
  long n = PyLong_AsLong(fd);
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (n < 0 || n > INT_MAX || fcntl((int)n, F_GETFD) < 0) {
    errno = EBADF;
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  Py_BEGIN_ALLOW_THREADS /* it may wait for other languages */
      gs_dump_others((int)n, tell_own());
  Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *mod_trace_start(PyObject *self, PyObject *path) {
  (void)self;
  PyObject *bytes;
  if (!PyUnicode_FSConverter(path, &bytes)) return NULL;
  int code = domain_ready() < 0 ? RAISED : gs_trace_start(PyBytes_AS_STRING(bytes));
  Py_DECREF(bytes);
  if (code == GS_EBUSY) {
    PyErr_SetString(exc_Error, "gosched.trace: a trace is being recorded already");
    return NULL;
  }
  if (code == GS_ESYS) return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
  if (code != GS_OK) return raise_code(code, "gosched.trace");
  Py_RETURN_NONE;
}

static PyObject *mod_trace_stop(PyObject *self, PyObject *path) {
  (void)self;
  int code = gs_trace_stop();
  if (code == GS_ESYS) return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
  if (code == GS_EPERM) {
    PyErr_SetString(exc_Error, "gosched.trace: no trace is being recorded");
    return NULL;
  }
  if (code != GS_OK) return raise_code(code, "gosched.trace");
  Py_RETURN_NONE;
}

/* ---- the module
 * -------------------------------------------------------------------------------------------------
 */

#define FAST(fn) (PyCFunction)(void (*)(void)) fn
static PyMethodDef methods[] = {
    {"_run", FAST(mod_run), METH_FASTCALL, "gosched.run without its defaults."},
    {"go", FAST(mod_go), METH_FASTCALL | METH_KEYWORDS, go_doc},
    {"_spawn", FAST(mod_spawn), METH_FASTCALL | METH_KEYWORDS, spawn_doc},
    {"sleep", mod_sleep, METH_O, sleep_doc},
    {"yield_now", mod_yield, METH_NOARGS, yield_doc},
    {"_wait_fd", FAST(mod_wait_fd), METH_FASTCALL, wait_doc},
    {"_embed", embed_start, METH_VARARGS, "_embed(language, source, name, args): a guest."},
    {"_guest_join", embed_join, METH_VARARGS, "_guest_join(guest, timeout)"},
    {"_guest_cancel", embed_cancel, METH_O, "_guest_cancel(guest)"},
    {"_guest_end", embed_end, METH_O,
     "_guest_end(guest): None, or (how, status, text or None, trace)"},
    {"_guest_value", embed_value, METH_O, "_guest_value(guest): what it returned"},
    {"_guest_returns", embed_returns, METH_O,
     "_guest_returns(value): what the guest that this is returns"},
    {"_wait_socket", FAST(sock_wait), METH_FASTCALL,
     "Waits until a socket can be read or written, with the errors of the module socket."},
    {"_recv", FAST(sock_recv), METH_FASTCALL, "socket.recv, which waits until then."},
    {"_recv_into", FAST(sock_recv_into), METH_FASTCALL, "socket.recv_into, which does, too."},
    {"_send", FAST(sock_send), METH_FASTCALL, "socket.send, or sendall."},
    {"_wake_closed", sock_wake_closed, METH_O,
     "Who waits for this descriptor gets an error; it is closed next."},
    {"_os_thread", mod_os_thread, METH_O, "Stay on this OS thread, once more; or once less."},
    {"_running", mod_running, METH_NOARGS, "True while gosched.run is under way."},
    {"current", mod_current, METH_NOARGS, current_doc},
    {"get_ident", mod_get_ident, METH_NOARGS,
     "Of a green thread its own number, elsewhere what _thread.get_ident says."},
    {"_on_forget", mod_on_forget, METH_O, "Called with the identity of a green thread that ends."},
    {"_on_begin", mod_on_begin, METH_O,
     "The dict of threading, whose trace and profile functions new green threads get."},
    {"_on_context", mod_on_context, METH_O, "Called with the context of a new green thread."},
    {"_has_dummy", mod_has_dummy, METH_NOARGS,
     "That for the calling green thread; False where none runs, or the main one."},
    {"_holders_of", mod_holders_of, METH_O, "The objects that hold instances of this type."},
    {"_green_connections", mod_green_connections, METH_O,
     "Lets connections (_sqlite3.Connection) that green threads open be used on every thread."},
    {"stats", mod_stats, METH_NOARGS, stats_doc},
    {"_histograms", mod_histograms, METH_NOARGS, NULL},
    {"_metrics", mod_metrics, METH_NOARGS, NULL},
    {"_profile", mod_profile, METH_NOARGS, NULL},
    {"metrics_text", mod_metrics_text, METH_NOARGS, metrics_text_doc},
    {"_snapshot", mod_snapshot, METH_NOARGS, "(when, Gs, Ms, Ps): lists of tuples."},
    {"_after_fork", mod_after_fork, METH_NOARGS, "In a child of fork: forgets what is gone."},
    {"_live", mod_live, METH_NOARGS,
     "Green threads that have not ended, each with what get_ident says on it."},
    {"_on_deadlock", FAST(mod_on_deadlock), METH_FASTCALL,
     "Called to ask whether somebody outside may wake a green thread, and for the text."},
    {"_check_interpreter", mod_check_interpreter, METH_NOARGS,
     "Raises ImportError in a subinterpreter."},
    {"_dump", mod_dump, METH_O, "Writes every G, M and P to a file descriptor."},
    {"_trace_start", mod_trace_start, METH_O, "Starts recording; the trace goes to this path."},
    {"_trace_stop", mod_trace_stop, METH_O, "Writes the trace; the path is for messages."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gosched._gosched",
    .m_doc = "The scheduler, seen from Python.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__gosched(void);
PyMODINIT_FUNC PyInit__gosched(void) {
  PyObject *module = main_interpreter() ? PyModule_Create(&definition) : NULL;
  if (!module) return NULL;
  if (add_exceptions(module) < 0 || green_init(module) < 0 || chan_init(module) < 0 ||
      shared_init(module) < 0 || select_init(module) < 0 || sync_init(module) < 0 ||
      function_init(module) < 0 || bridge_init(module) < 0 ||
      PyModule_AddStringConstant(module, "version", gs_version()) < 0) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
