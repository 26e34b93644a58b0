/* sock.c: what gosched.patch needs below: waiting for a socket, and telling those who wait for one
 * that it is closed.
 *
 * Nothing is given to the poller for good (gs_poll_open), which would make the socket non-blocking
 * for everybody who has it, also in other processes; it is armed each time a green thread waits.
 *
 * Whoever closes a socket first takes its number out of the object, then wakes who waits for that
 * number, and closes it last: so nobody who looks at the object begins to wait in between, and the
 * number is nobody else's before all have been woken.
 */
#include <errno.h>
#include <string.h>

#include "tstate.h"

/* OSError, or the class for this number that derives from it. */
static PyObject *raise_errno(int number, const char *text) {
  PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, text);
  if (error) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
  return NULL;
}

static PyObject *closed_fd(void) { return raise_errno(EBADF, strerror(EBADF)); }

/* _wait_socket(socket, write, timeout) */
PyObject *sock_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  int64_t deadline;
  if (nargs != 3) {
    PyErr_SetString(PyExc_TypeError, "_wait_socket(socket, write, timeout)");
    return NULL;
  }
  int write = PyObject_IsTrue(args[1]), code;
  if (write < 0 || parse_timeout(args[2], &deadline) < 0) return NULL;
  Rec *r = op_begin("a patched socket", state_waiting);
  if (!r) return NULL;
  int fd = PyObject_AsFileDescriptor(args[0]);
  if (fd < 0) {
    op_end(r);
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) return NULL;
    PyErr_Clear();
    return closed_fd();
  }
  do code = gs_wait(fd, write ? GS_WRITE : GS_READ, deadline);
  while (op_again(r, false, &code));
  op_end(r);
  switch (code) {
    case GS_OK: Py_RETURN_NONE;
    case GS_ETIMEOUT: PyErr_SetString(PyExc_TimeoutError, "timed out"); return NULL;
    case GS_ECLOSED: return raise_errno(EBADF, "it was closed while a green thread waited for it");
    case GS_ESYS: errno = gs_errno(); return PyErr_SetFromErrno(PyExc_OSError);
    default: return raise_code(code, "a patched socket");
  }
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
