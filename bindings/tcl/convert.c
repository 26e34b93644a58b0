/* convert.c: Tcl values to C and back.
 *
 * Tcl's values are texts, so the C type alone says how one is read; what does not fit is an error.
 * A pointer is written as a C cast, "(struct node *)0x55d0c8a3", and is accepted where C would
 * accept a pointer of that type without a cast.  Where C only reads bytes (const char *, const void
 * *, const unsigned char *) any other value is passed too: as a copy of its UTF-8 text, or of its
 * bytes if it is a byte array.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static int mismatch(Tcl_Interp *interp, Tcl_Obj *value, const gs_type *type, int number,
                    const char *function, const char *expected) {
  char place[16];
  snprintf(place, sizeof(place), "%d", number);
  return gst_error(interp,
                   Tcl_ObjPrintf("argument %d of %s: %s expected for '%s', got \"%.60s\"", number,
                                 function, expected, gs_type_name(type), Tcl_GetString(value)),
                   "TYPE", function, place, NULL);
}

const char *gst_unsupported(const gs_type *type) {
  switch (gs_type_kind(type)) {
    case GS_KIND_STRUCT: return "is passed by value, which Tcl cannot express; use a pointer to it";
    case GS_KIND_COMPLEX: return "is complex, which Tcl cannot express; use a pointer to it";
    case GS_KIND_ARRAY: return "is an array, not a single value";
    case GS_KIND_FUNCTION: return "is a function, not a value";
    default: return NULL;
  }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool signed_to_c(Tcl_Obj *value, size_t size, gst_slot *to) {
  Tcl_WideInt v;
  if (Tcl_GetWideIntFromObj(NULL, value, &v) != TCL_OK) return false;
  /* Tcl takes numbers up to 2**64 - 1 here, as negative ones. */
  if (v < 0 && !strchr(Tcl_GetString(value), '-')) return false;
  int64_t most = size < 8 ? ((int64_t)1 << (size * 8 - 1)) - 1 : INT64_MAX;
  if (v > most || v < -most - 1) return false;
  switch (size) {
    case 1: *(int8_t *)to = (int8_t)v; break;
    case 2: *(int16_t *)to = (int16_t)v; break;
    case 4: *(int32_t *)to = (int32_t)v; break;
    default: to->integer = v; break;
  }
  return true;
}

static bool unsigned_to_c(Tcl_Obj *value, size_t size, gst_slot *to) {
  Tcl_WideInt w;
  if (Tcl_GetWideIntFromObj(NULL, value, &w) != TCL_OK) return false;
  if (strchr(Tcl_GetString(value), '-')) return false;
  uint64_t v = (uint64_t)w;
  if (size < 8 && v >> (size * 8)) return false;
  switch (size) {
    case 1: *(uint8_t *)to = (uint8_t)v; break;
    case 2: *(uint16_t *)to = (uint16_t)v; break;
    case 4: *(uint32_t *)to = (uint32_t)v; break;
    default: to->natural = v; break;
  }
  return true;
}

static bool float_to_c(Tcl_Obj *value, size_t size, gst_slot *to) {
  double v;
  if (Tcl_GetDoubleFromObj(NULL, value, &v) != TCL_OK) return false;
  if (size == sizeof(float))
    to->single = (float)v;
  else if (size == sizeof(double))
    to->real = v;
  else
    to->wide = v;
  return true;
}

static int integer_to_c(Tcl_Interp *interp, Tcl_Obj *value, const gs_type *type, gst_slot *to,
                        int number, const char *function) {
  size_t size = gs_type_size(type);
  unsigned bits = (unsigned)size * 8;
  char expected[80];
  if (gs_type_kind(type) == GS_KIND_INT) {
    if (signed_to_c(value, size, to)) return TCL_OK;
    long long least = -((long long)1 << (bits - 2)) * 2;
    snprintf(expected, sizeof(expected), "a whole number (%lld to %lld)", least, -(least + 1));
  } else {
    if (unsigned_to_c(value, size, to)) return TCL_OK;
    snprintf(expected, sizeof(expected), "a whole number (0 to %llu)",
             (unsigned long long)UINT64_MAX >> (64 - bits));
  }
  return mismatch(interp, value, type, number, function, expected);
}

/* ---- pointers and texts ---------------------------------------------------------------------- */

/* Whether the value is written as a pointer; its type and address. */
static bool parse_pointer(gst_state *s, Tcl_Obj *value, const gs_type **type, void **address) {
  const char *text = Tcl_GetString(value), *close = strrchr(text, ')');
  if (*text != '(' || !close || strncmp(close, ")0x", 3) != 0) return false;
  char *end;
  errno = 0;
  unsigned long long n = strtoull(close + 1, &end, 16);
  if (*end || end == close + 3 || errno) return false;
  char *name = strndup(text + 1, (size_t)(close - text - 1));
  bool ok = name && gs_ffi_type(s->ffi, name, type, NULL) == GS_OK &&
            gs_type_kind(*type) == GS_KIND_POINTER;
  free(name);
  *address = (void *)(uintptr_t)n;
  return ok;
}

static bool takes_bytes(const gs_type *type) {
  const gs_type *target = gs_type_target(type);
  if (!(gs_type_flags(target) & GS_TYPE_CONST)) return false;
  gs_kind kind = gs_type_kind(target);
  return kind == GS_KIND_VOID ||
         ((kind == GS_KIND_INT || kind == GS_KIND_UINT) && gs_type_size(target) == 1);
}

/* A copy of the value's bytes with a NUL behind it, or NULL. */
static void *copy_bytes(Tcl_Obj *value) {
  int n = 0;
  const void *bytes;
  if (value->typePtr && value->typePtr == Tcl_GetObjType("bytearray"))
    bytes = Tcl_GetByteArrayFromObj(value, &n);
  else
    bytes = Tcl_GetStringFromObj(value, &n);
  char *copy = malloc((size_t)n + 1);
  if (!copy) return NULL;
  memcpy(copy, bytes, (size_t)n);
  copy[n] = 0;
  return copy;
}

static int pointer_to_c(Tcl_Interp *interp, gst_state *s, Tcl_Obj *value, const gs_type *type,
                        gst_slot *to, void **owned, int number, const char *function) {
  const gs_type *from = NULL;
  if (parse_pointer(s, value, &from, &to->pointer)) {
    if (gs_type_accepts(type, from)) return TCL_OK;
    return mismatch(interp, value, type, number, function, "another pointer");
  }
  if (!takes_bytes(type))
    return mismatch(interp, value, type, number, function, "a pointer, as in \"(void *)0x0\",");
  to->pointer = *owned = copy_bytes(value);
  if (*owned) return TCL_OK;
  return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
}

int gst_to_c(Tcl_Interp *interp, gst_state *s, Tcl_Obj *value, const gs_type *type, gst_slot *to,
             void **owned, int number, const char *function) {
  int truth;
  *owned = NULL;
  switch (gs_type_kind(type)) {
    case GS_KIND_BOOL:
      if (Tcl_GetBooleanFromObj(NULL, value, &truth) != TCL_OK)
        return mismatch(interp, value, type, number, function, "a boolean");
      to->truth = truth;
      return TCL_OK;
    case GS_KIND_INT:
    case GS_KIND_UINT: return integer_to_c(interp, value, type, to, number, function);
    case GS_KIND_FLOAT:
      if (!float_to_c(value, gs_type_size(type), to))
        return mismatch(interp, value, type, number, function, "a number");
      return TCL_OK;
    default: return pointer_to_c(interp, s, value, type, to, owned, number, function);
  }
}

/* ---- C to Tcl -------------------------------------------------------------------------------- */

bool gst_is_text(const gs_type *type) {
  return gs_type_kind(type) == GS_KIND_POINTER &&
         gs_type_flags(gs_type_target(type)) & GS_TYPE_CHAR;
}

static Tcl_Obj *signed_obj(size_t size, const gst_slot *from) {
  switch (size) {
    case 1: return Tcl_NewWideIntObj(*(const int8_t *)from);
    case 2: return Tcl_NewWideIntObj(*(const int16_t *)from);
    case 4: return Tcl_NewWideIntObj(*(const int32_t *)from);
    default: return Tcl_NewWideIntObj(from->integer);
  }
}

static Tcl_Obj *unsigned_obj(size_t size, const gst_slot *from) {
  char text[24];
  switch (size) {
    case 1: return Tcl_NewWideIntObj(*(const uint8_t *)from);
    case 2: return Tcl_NewWideIntObj(*(const uint16_t *)from);
    case 4: return Tcl_NewWideIntObj(*(const uint32_t *)from);
    default: break;
  }
  if (from->natural <= INT64_MAX) return Tcl_NewWideIntObj((Tcl_WideInt)from->natural);
  snprintf(text, sizeof(text), "%llu", (unsigned long long)from->natural);
  return Tcl_NewStringObj(text, -1);
}

static Tcl_Obj *float_obj(size_t size, const gst_slot *from) {
  return Tcl_NewDoubleObj(size == sizeof(float)    ? (double)from->single
                          : size == sizeof(double) ? from->real
                                                   : (double)from->wide);
}

Tcl_Obj *gst_to_tcl(const gs_type *type, const gst_slot *from) {
  size_t size = gs_type_size(type);
  char address[24];
  switch (gs_type_kind(type)) {
    case GS_KIND_BOOL: return Tcl_NewBooleanObj(from->truth);
    case GS_KIND_INT: return signed_obj(size, from);
    case GS_KIND_UINT: return unsigned_obj(size, from);
    case GS_KIND_FLOAT: return float_obj(size, from);
    case GS_KIND_POINTER:
      snprintf(address, sizeof(address), "0x%llx", (unsigned long long)(uintptr_t)from->pointer);
      return Tcl_ObjPrintf("(%s)%s", gs_type_name(type), address);
    default: return Tcl_NewObj();
  }
}
