/* buffer.h: objects with the buffer protocol where a C function wants a pointer; see buffer.c. */
#ifndef GOSCHED_PYTHON_BUFFER_H
#define GOSCHED_PYTHON_BUFFER_H

#include <stdbool.h>

#include "binding.h"

/* What memory a parameter takes, as the package says it: see _buffers.py. */
typedef struct {
  char kind;     /* of an item: '*' any, i u f c b s; 0: no buffers */
  bool writable; /* the declaration does not say const */
  size_t size;   /* of an item, in bytes */
} BufferRule;

/* spec: "i4", "*w", …; NULL or None: no buffers.  -1: an exception is set. */
int buffer_rule(PyObject *spec, BufferRule *rule);

/* Whether value is for buffer_take; bytes, which cffi knows, are not.  No exceptions. */
static inline bool buffer_wanted(const BufferRule *rule, PyObject *value) {
  const PyBufferProcs *procs = Py_TYPE(value)->tp_as_buffer;
  return procs && procs->bf_getbuffer && rule->kind && !PyBytes_Check(value);
}

/* Exports value's memory until PyBuffer_Release.  1: done; 0: it is nothing for this parameter, and
 * cffi says so; -1: an exception is set. */
int buffer_take(const BufferRule *rule, PyObject *value, Py_buffer *view);

#endif
