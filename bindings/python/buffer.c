/* buffer.c: memory of Python objects, lent to a C function for the length of a call.
 *
 * bytearray, memoryview, array.array, mmap and NumPy's arrays export their memory: as long as it is
 * exported they refuse to be resized or closed, so C may use it while other green threads run.
 * Nothing is copied.  cffi passes only bytes so; for everything else it wants ffi.from_buffer,
 * which this does by itself, and with the types compared, since the declaration says what C will
 * take the memory for:
 *
 *   void * and pointers to characters or bytes    memory of any items
 *   pointers to numbers                           items of this kind, sign and size
 *   pointers to structs                           items that are structs of this size
 *
 * The memory is contiguous, in C's order, and writable unless the declaration says const; if not,
 * the object itself raises its error, as it does for ffi.from_buffer.  Where the declarations are
 * compiled (cffi's API mode) const is not known, and what may only be read is accepted.
 *
 * A scalar of NumPy exports its value as memory as well, but it is a number, not an array: it is
 * left to cffi, which refuses it.
 */
#include "buffer.h"

#include <string.h>

#include "tstate.h"

int buffer_rule(PyObject *spec, BufferRule *rule) {
  *rule = (BufferRule){.kind = 0};
  if (!spec || spec == Py_None) return 0;
  const char *text = PyUnicode_AsUTF8(spec);
  if (!text) return -1;
  rule->kind = *text++;
  while (*text >= '0' && *text <= '9') rule->size = rule->size * 10 + (size_t)(*text++ - '0');
  rule->writable = *text == 'w';
  if (rule->kind && (!*text || (rule->writable && !text[1]))) return 0;
  PyErr_Format(PyExc_SystemError, "%R says nothing about a buffer", spec);
  return -1;
}

/* What an item is, in the letters of BufferRule; 0: nothing that is known.  `format` is that of the
 * module struct, with the additions of PEP 3118. */
static char kind_of(const char *format) {
  if (*format == '@' || *format == '=' || *format == (PY_LITTLE_ENDIAN ? '<' : '>')) format++;
  if (format[0] == 'T' && format[1] == '{') return 's';
  bool complex = *format == 'Z';
  if (complex) format++;
  if (!*format || format[1]) return 0;
  if (complex) return strchr("fdg", *format) ? 'c' : 0;
  if (strchr("bhilqn", *format)) return 'i';
  if (strchr("BHILQN", *format)) return 'u';
  if (strchr("efdg", *format)) return 'f';
  return *format == '?' ? 'b' : 0;
}

int buffer_take(const BufferRule *rule, PyObject *value, Py_buffer *view) {
  int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT;
  if (rule->writable) flags |= PyBUF_WRITABLE;
  if (PyObject_GetBuffer(value, view, flags) < 0) {
    /* A scalar that may not be written is a scalar all the same. */
    PyObject *error = error_take();
    bool scalar = PyObject_GetBuffer(value, view, PyBUF_FULL_RO) == 0;
    if (scalar) {
      scalar = view->ndim == 0 && view->readonly;
      PyBuffer_Release(view);
    } else {
      PyErr_Clear();
    }
    if (!scalar) {
      error_put(error);
      return -1;
    }
    Py_XDECREF(error);
    return 0;
  }
  if (view->ndim == 0 && view->readonly) {
    PyBuffer_Release(view);
    return 0;
  }
  const char *format = view->format ? view->format : "B";
  if (rule->kind == '*' || (rule->kind == kind_of(format) && rule->size == (size_t)view->itemsize))
    return 1;
  PyErr_Format(PyExc_TypeError,
               "the items of this %.100s have the format '%s' and %zd bytes each, which is "
               "something else",
               Py_TYPE(value)->tp_name, format, view->itemsize);
  PyBuffer_Release(view);
  return -1;
}
