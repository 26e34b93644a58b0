/* sock.c: what gosched.patch needs below: recv and send that wait for a socket without a thread,
 * the wait alone for all other methods, and telling those who wait for a socket that it is closed.
 *
 * Nothing is given to the poller for good (gs_poll_open), which would make the socket non-blocking
 * for everybody who has it, also in other processes; it is armed each time a green thread waits.
 *
 * Whoever closes a socket first takes its number out of the object, then wakes who waits for that
 * number, and closes it last: so nobody who looks at the object begins to wait in between, and the
 * number is nobody else's before all have been woken.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "tstate.h"

/* OSError, or the class for this number that derives from it. */
static void raise_errno(int number, const char *text) {
  PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, text);
  if (error) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
}

#define WHO "a patched socket"

/* -1: an exception is set. */
static int number_of(PyObject *sock) {
  int fd = PyObject_AsFileDescriptor(sock);
  if (fd >= 0 || !PyErr_ExceptionMatches(PyExc_ValueError)) return fd;
  PyErr_Clear(); /* it was closed */
  raise_errno(EBADF, strerror(EBADF));
  return -1;
}

/* Parks until it is ready for that event.  The number is read here, with the GIL and after all that
 * might let others run, so that it is the socket's own when the wait begins. */
static int wait_ready(PyObject *sock, int event, int64_t deadline) {
  Rec *r = op_begin(WHO, state_waiting);
  if (!r) return -1;
  int fd = number_of(sock), code = RAISED;
  if (fd >= 0) {
    do code = gs_wait(fd, event, deadline);
    while (op_again(r, false, &code));
  }
  op_end(r);
  if (code == GS_OK) return 0;
  if (code == GS_ETIMEOUT)
    PyErr_SetString(PyExc_TimeoutError, "timed out");
  else if (code == GS_ECLOSED)
    raise_errno(EBADF, "it was closed while a green thread waited for it");
  else if (code == GS_ESYS)
    raise_errno(gs_errno(), strerror(gs_errno()));
  else
    raise_code(code, WHO);
  return -1;
}

/* _wait_socket(socket, write, timeout) */
PyObject *sock_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  if (nargs != 3) {
    PyErr_SetString(PyExc_TypeError, "_wait_socket(socket, write, timeout)");
    return NULL;
  }
  int write = PyObject_IsTrue(args[1]);
  if (write < 0 || parse_timeout(args[2], &deadline) < 0) return NULL;
  if (wait_ready(args[0], write ? GS_WRITE : GS_READ, deadline) < 0) return NULL;
  Py_RETURN_NONE;
}

/* ---- the attempt and the wait in one: what most programs do most of the time ---- */

#define LONG_COPY 65536 /* with more than this, others run meanwhile */

/* One attempt that does not wait, which may still take its time to copy: what came of it, or
 * -errno. A function by itself, because after a wait errno is another thread's. */
__attribute__((noinline)) static ssize_t attempt(int fd, void *buf, size_t n, int flags,
                                                 bool receives) {
  PyThreadState *ts = n > LONG_COPY ? PyEval_SaveThread() : NULL;
  ssize_t got;
  flags |= MSG_DONTWAIT;
  do got = receives ? recv(fd, buf, n, flags) : send(fd, buf, n, flags);
  while (got < 0 && errno == EINTR);
  if (got < 0) got = -errno;
  if (ts) PyEval_RestoreThread(ts);
  return got;
}

/* After an attempt that failed.  True: try again, it was waited for; else an exception is set. */
static bool again(PyObject *sock, ssize_t failed, int event, int64_t deadline) {
  int e = (int)-failed;
  if (e == EAGAIN || e == EWOULDBLOCK) return wait_ready(sock, event, deadline) == 0;
  raise_errno(e, strerror(e));
  return false;
}

/* flags and timeout.  -1: an exception is set. */
static int parse_end(PyObject *flags, PyObject *timeout, int *f, int64_t *deadline) {
  long value = PyLong_AsLong(flags);
  if (value == -1 && PyErr_Occurred()) return -1;
  if (value < INT_MIN || value > INT_MAX) {
    PyErr_SetString(PyExc_OverflowError, "flags: Python int too large to convert to C int");
    return -1;
  }
  *f = (int)value;
  return parse_timeout(timeout, deadline);
}

/* _recv(socket, bufsize, flags, timeout): bytes.  Nothing is kept allocated while it waits. */
PyObject *sock_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  int flags;
  if (nargs != 4) {
    PyErr_SetString(PyExc_TypeError, "_recv(socket, bufsize, flags, timeout)");
    return NULL;
  }
  Py_ssize_t n = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (parse_end(args[2], args[3], &flags, &deadline) < 0) return NULL;
  if (n < 0) {
    PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
    return NULL;
  }
  for (;;) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, n);
    int fd = bytes ? number_of(args[0]) : -1;
    if (fd < 0 || n == 0) {
      if (fd < 0) Py_CLEAR(bytes);
      return bytes;
    }
    ssize_t got = attempt(fd, PyBytes_AS_STRING(bytes), (size_t)n, flags, true);
    if (got >= 0) {
      if (got != n) _PyBytes_Resize(&bytes, got);
      return bytes;
    }
    Py_DECREF(bytes);
    if (!again(args[0], got, GS_READ, deadline)) return NULL;
  }
}

/* _recv_into(socket, buffer, nbytes, flags, timeout): how many bytes */
PyObject *sock_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  int flags;
  Py_buffer view;
  if (nargs != 5) {
    PyErr_SetString(PyExc_TypeError, "_recv_into(socket, buffer, nbytes, flags, timeout)");
    return NULL;
  }
  Py_ssize_t n = PyNumber_AsSsize_t(args[2], PyExc_OverflowError);
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (parse_end(args[3], args[4], &flags, &deadline) < 0) return NULL;
  if (PyObject_GetBuffer(args[1], &view, PyBUF_WRITABLE) < 0) {
    PyErr_Format(PyExc_TypeError,
                 "recv_into() argument 1 must be read-write bytes-like object, not %.100s",
                 Py_TYPE(args[1])->tp_name);
    return NULL;
  }
  PyObject *result = NULL;
  if (n < 0 || n > view.len) {
    PyErr_SetString(PyExc_ValueError, n < 0 ? "negative buffersize in recv_into"
                                            : "buffer too small for requested bytes");
    goto done;
  }
  if (n == 0) n = view.len;
  ssize_t got = 0;
  do {
    int fd = number_of(args[0]);
    if (fd < 0) goto done;
    if (n == 0) break;
    got = attempt(fd, view.buf, (size_t)n, flags, true);
  } while (got < 0 && again(args[0], got, GS_READ, deadline));
  if (got >= 0) result = PyLong_FromSsize_t(got);
done:
  PyBuffer_Release(&view);
  return result;
}

/* _send(socket, data, flags, timeout, all): how many bytes */
PyObject *sock_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  int flags;
  Py_buffer view;
  if (nargs != 5) {
    PyErr_SetString(PyExc_TypeError, "_send(socket, data, flags, timeout, all)");
    return NULL;
  }
  int all = PyObject_IsTrue(args[4]);
  if (all < 0 || parse_end(args[2], args[3], &flags, &deadline) < 0) return NULL;
  if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0) return NULL;
  PyObject *result = NULL;
  Py_ssize_t sent = 0;
  do {
    int fd = number_of(args[0]);
    if (fd < 0) goto done;
    ssize_t n = attempt(fd, (char *)view.buf + sent, (size_t)(view.len - sent), flags, false);
    if (n >= 0)
      sent += n;
    else if (!again(args[0], n, GS_WRITE, deadline))
      goto done;
    if (n >= 0 && !all) break;
  } while (sent < view.len);
  result = PyLong_FromSsize_t(sent);
done:
  PyBuffer_Release(&view);
  return result;
}

/* _wake_closed(fd): before it is closed.  Any thread. */
PyObject *sock_wake_closed(PyObject *self, PyObject *arg) {
  (void)self;
  long fd = PyLong_AsLong(arg);
  if (fd == -1 && PyErr_Occurred()) return NULL;
  /* Also in destructors, in the middle of anything. */
  if (fd >= 0 && fd <= INT32_MAX) {
    gs_lock_os_thread();
    gs_poll_close((int)fd);
    gs_unlock_os_thread();
  }
  Py_RETURN_NONE;
}
