/* number.h: the numbers that need no help from cffi.
 *
 * Nearly all that is passed to C functions is an int of Python for an integer type of C, or a float
 * for a double, and cffi's own converters take a while to find that out: they know hundreds of
 * types by flags.  What is exactly that, and fits, is converted here, as cffi does it; everything
 * else - subclasses, objects with __index__, what does not fit, all errors - is left to cffi.
 *
 * Types that cffi treats as characters, _Bool and enums are not numbers here.
 */
#ifndef GOSCHED_PYTHON_NUMBER_H
#define GOSCHED_PYTHON_NUMBER_H

#include <stdbool.h>
#include <string.h>

#include "binding.h"
#include "gosched_ffi.h"

typedef enum { NOT_A_NUMBER, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64 } Number;

/* ct is cffi's type, type what gosched_ffi.h calls it. */
static inline Number number_kind(PyObject *ct, const gs_type *type) {
  static const char *const others[] = {"char", "wchar_t", "char16_t", "char32_t", "_Bool"};
  size_t size = gs_type_size(type);
  int by_size = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
  Number number = NOT_A_NUMBER;
  switch (gs_type_kind(type)) {
    case GS_KIND_INT: number = (Number)((int)I8 + by_size); break;
    case GS_KIND_UINT: number = (Number)((int)U8 + by_size); break;
    case GS_KIND_FLOAT: number = size == 4 ? F32 : size == 8 ? F64 : NOT_A_NUMBER; break;
    default: return NOT_A_NUMBER;
  }
  if (by_size < 0 && gs_type_kind(type) != GS_KIND_FLOAT) return NOT_A_NUMBER;
  PyObject *kind = PyObject_GetAttrString(ct, "kind"), *name = PyObject_GetAttrString(ct, "cname");
  const char *text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
  if (!text || !kind || !PyUnicode_Check(kind) ||
      PyUnicode_CompareWithASCIIString(kind, "primitive") != 0)
    number = NOT_A_NUMBER;
  for (size_t i = 0; text && i < sizeof others / sizeof *others; i++)
    if (strcmp(text, others[i]) == 0) number = NOT_A_NUMBER;
  Py_XDECREF(kind);
  Py_XDECREF(name);
  PyErr_Clear();
  return number;
}

/* Exactly an int; false: it has more than one digit (of 30 bits).  Nearly every int has one, and a
 * call of CPython's converters takes longer than all the rest of the conversion. */
static inline bool number_of_one_digit(PyObject *value, long long *number) {
#ifdef PyUnstable_Long_IsCompact
  const PyLongObject *v = (const PyLongObject *)value;
  if (!PyUnstable_Long_IsCompact(v)) return false;
  *number = PyUnstable_Long_CompactValue(v);
#else
  Py_ssize_t size = Py_SIZE(value); /* digits; negative for numbers below 0 */
  if (size < -1 || size > 1) return false;
  *number = size ? size * (long long)((const PyLongObject *)value)->ob_digit[0] : 0;
#endif
  return true;
}

/* false: ask cffi. */
static inline bool number_to_c(Number number, PyObject *value, char *to) {
  if (number >= F32) {
    if (!PyFloat_CheckExact(value)) return false;
    double d = PyFloat_AS_DOUBLE(value);
    float f = (float)d;
    if (number == F64)
      memcpy(to, &d, sizeof d);
    else
      memcpy(to, &f, sizeof f);
    return true;
  }
  int overflow = 0;
  long long v;
  if (!PyLong_CheckExact(value)) return false;
  if (!number_of_one_digit(value, &v)) v = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow) return false;
#define FITS(ctype)                      \
  do {                                   \
    ctype c = (ctype)v;                  \
    if ((long long)c != v) return false; \
    memcpy(to, &c, sizeof c);            \
    return true;                         \
  } while (0)
  switch (number) {
    case I8: FITS(int8_t);
    case I16: FITS(int16_t);
    case I32: FITS(int32_t);
    case I64: FITS(int64_t);
    case U8: FITS(uint8_t);
    case U16: FITS(uint16_t);
    case U32: FITS(uint32_t);
    case U64:
      if (v < 0) return false;
      memcpy(to, &v, sizeof v);
      return true;
    default: return false;
  }
#undef FITS
}

static inline PyObject *number_from_c(Number number, const char *from) {
#define LOAD(ctype, make)       \
  do {                          \
    ctype c;                    \
    memcpy(&c, from, sizeof c); \
    return make(c);             \
  } while (0)
  switch (number) {
    case I8: LOAD(int8_t, PyLong_FromLong);
    case I16: LOAD(int16_t, PyLong_FromLong);
    case I32: LOAD(int32_t, PyLong_FromLong);
    case I64: LOAD(int64_t, PyLong_FromLongLong);
    case U8: LOAD(uint8_t, PyLong_FromLong);
    case U16: LOAD(uint16_t, PyLong_FromLong);
    case U32: LOAD(uint32_t, PyLong_FromUnsignedLongLong);
    case U64: LOAD(uint64_t, PyLong_FromUnsignedLongLong);
    case F32: LOAD(float, PyFloat_FromDouble);
    default: LOAD(double, PyFloat_FromDouble);
  }
#undef LOAD
}

#endif
