/* hop.c: makes a green thread of Python change threads at every opportunity.
 *
 * CPython's own tests call nothing of gosched, so by themselves they would stay where they began.
 * This extension lends their green thread a profile function in C: before and after every function,
 * of Python or of C, the green thread wakes its partner and makes a foreign call that is known to
 * block, which is made on another thread while the partner runs here; where it ends, the green
 * thread goes on, if the partner waits again by then.  It is the public gosched that does it (the
 * semaphore that the partner waits for, a function of dlopen), from inside whatever is being
 * called.
 *
 * Hops may take as much time as they leave to the tests: one that comes too early is left out.
 *
 * It also has a thread that does nothing but wait for a byte, and then writes what the scheduler
 * and every Python thread do and ends the process: by that a hang says where it is.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gosched.h"
#include "gosched_inspect.h"

static PyObject *wake, *away;       /* of what a hop is made; GIL */
static unsigned long hops, moves;   /* and how often it ended on another thread; GIL */
static unsigned long partner_moves; /* how often a partner came back on another thread; GIL */
static int64_t next_hop;            /* not before; GIL */
static int ready;                   /* partners that wait to be woken; GIL */

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Not pthread_self, which the compiler may ask once for both sides of the hop. */
static long thread_here(void) { return syscall(SYS_gettid); }

static int hop(void) {
  int64_t begin = now();
  if (begin < next_hop) return 0;
  long before = thread_here();
  PyObject *r;
  /* A partner that comes back from its call needs a turn, too, to get ready. */
  if (ready > 0) {
    ready--;
    if (!(r = PyObject_CallNoArgs(wake))) return -1;
    Py_DECREF(r);
  }
  if (!(r = PyObject_CallNoArgs(away))) return -1;
  Py_DECREF(r);
  hops++;
  if (thread_here() != before) moves++;
  int64_t end = now();
  next_hop = end + (end - begin) + 5000;
  return 0;
}

static int at_call(PyObject *self, PyFrameObject *frame, int what, PyObject *arg) {
  (void)self, (void)frame, (void)what, (void)arg;
  PyObject *type, *value, *tb;
  PyErr_Fetch(&type, &value, &tb);
  if (hop() < 0) {
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(tb);
    return -1;
  }
  PyErr_Restore(type, value, tb);
  return 0;
}

static PyObject *hop_start(PyObject *self, PyObject *args) {
  PyObject *w, *g;
  if (!PyArg_ParseTuple(args, "OO", &w, &g)) return NULL;
  Py_INCREF(w);
  Py_XSETREF(wake, w);
  Py_INCREF(g);
  Py_XSETREF(away, g);
  /* What sys.getprofile gives: whoever sets it again sets something that can be called. */
  PyObject *fn = PyObject_GetAttrString(self, "hop");
  if (!fn) return NULL;
  PyEval_SetProfile(at_call, fn);
  Py_DECREF(fn);
  Py_RETURN_NONE;
}

static PyObject *hop_stop(PyObject *self, PyObject *none) {
  (void)self, (void)none;
  PyEval_SetProfile(NULL, NULL);
  Py_RETURN_NONE;
}

static PyObject *hop_hop(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  if (hop() < 0) return NULL;
  Py_RETURN_NONE;
}

static PyObject *hop_ready(PyObject *self, PyObject *last) {
  (void)self;
  long before = PyLong_AsLong(last), here = thread_here();
  if (before == -1 && PyErr_Occurred()) return NULL;
  if (before && before != here) partner_moves++;
  ready++;
  return PyLong_FromLong(here);
}

static PyObject *hop_counts(PyObject *self, PyObject *none) {
  (void)self, (void)none;
  return Py_BuildValue("kkk", hops, moves, partner_moves);
}

/* ---- a hang says where ---- */

static void *wait_for_byte(void *arg) {
  int fd = (int)(intptr_t)arg;
  char byte;
  ssize_t n;
  do n = read(fd, &byte, 1);
  while (n < 0 && errno == EINTR); /* the tests send signals to the process */
  if (n != 1) _exit(1);            /* who started this has gone */
  gs_dump(2);
  abort(); /* faulthandler goes on */
}

static PyObject *hop_watch(PyObject *self, PyObject *arg) {
  (void)self;
  long fd = PyLong_AsLong(arg);
  if (fd == -1 && PyErr_Occurred()) return NULL;
  pthread_t t;
  int code = pthread_create(&t, NULL, wait_for_byte, (void *)(intptr_t)fd);
  if (code != 0) {
    errno = code;
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  pthread_detach(t);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"start", hop_start, METH_VARARGS,
     "start(wake, away): from now on the calling green thread hops."},
    {"stop", hop_stop, METH_NOARGS, "From now on it does not."},
    {"hop", hop_hop, METH_VARARGS, "Hops once.  Takes any arguments."},
    {"ready", hop_ready, METH_O,
     "ready(last): what a partner calls before it waits to be woken, with what it said last, or "
     "0."},
    {"counts", hop_counts, METH_NOARGS,
     "How many hops there were, how many led elsewhere, and how often a partner moved."},
    {"watch", hop_watch, METH_O, "A byte read from this descriptor ends the process."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "gosched_hop", .m_doc = "Makes green threads change threads.",
    .m_size = -1,          .m_methods = methods,
};

PyMODINIT_FUNC PyInit_gosched_hop(void);
PyMODINIT_FUNC PyInit_gosched_hop(void) { return PyModule_Create(&definition); }
