/* convert.c: scalars: Tcl values to C and back.
 *
 * Tcl's values are texts, so the C type alone says how one is read; what does not fit is an error.
 * Texts are encoded, in UTF-8 unless the library was loaded with another encoding: Tcl's own
 * representation differs from UTF-8 for NUL and beyond U+FFFF.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

int gst_mismatch(gst_conversion *c, Tcl_Obj *value, const gs_type *type, const char *expected) {
  char place[16];
  snprintf(place, sizeof(place), "%d", c->number);
  Tcl_Obj *where = c->number ? Tcl_ObjPrintf("argument %d of %s", c->number, c->subject)
                             : Tcl_NewStringObj(c->subject, -1);
  Tcl_IncrRefCount(where);
  gst_error(c->interp,
            Tcl_ObjPrintf("%s: %s expected for '%s', got \"%.60s\"", Tcl_GetString(where), expected,
                          gs_type_name(type), Tcl_GetString(value)),
            "TYPE", c->subject, c->number ? place : NULL, NULL);
  Tcl_DecrRefCount(where);
  return TCL_ERROR;
}

const char *gst_unsupported(const gs_type *type) {
  switch (gs_type_kind(type)) {
    case GS_KIND_COMPLEX: return "is complex, which Tcl cannot express; use a pointer to it";
    case GS_KIND_ARRAY: return "is an array, not a single value";
    case GS_KIND_FUNCTION: return "is a function, not a value";
    default: return NULL;
  }
}

/* ---- memory of a conversion ------------------------------------------------------------------ */

void *gst_own(gst_conversion *c, size_t n) {
  gst_owned *o = calloc(1, sizeof(max_align_t) + sizeof(*o) + n);
  if (!o) return NULL;
  o->next = c->owned;
  c->owned = o;
  size_t head = (sizeof(*o) + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
  return (char *)o + head;
}

void gst_owned_free(gst_owned *o) {
  while (o) {
    gst_owned *next = o->next;
    if (o->pinned) {
      gs_mem_unpin(o->pinned);
      gs_mem_release(o->pinned);
    }
    free(o);
    o = next;
  }
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* The enumerator of that name, for enums. */
static bool enumerator(Tcl_Obj *value, const gs_type *type, Tcl_WideInt *v) {
  if (!(gs_type_flags(type) & GS_TYPE_ENUM)) return false;
  const gs_decl *d = gs_ffi_find(gs_type_scope(gs_type_canon(type)), Tcl_GetString(value));
  if (!d || gs_decl_what(d) != GS_DECL_CONSTANT) return false;
  *v = gs_decl_value(d);
  return true;
}

static bool signed_to_c(Tcl_Obj *value, const gs_type *type, void *to) {
  Tcl_WideInt v;
  size_t size = gs_type_size(type);
  if (Tcl_GetWideIntFromObj(NULL, value, &v) == TCL_OK) {
    /* Tcl 8.6 takes numbers up to 2**64 - 1 here, as negative ones. */
    if (v < 0 && !strchr(Tcl_GetString(value), '-')) return false;
  } else if (!enumerator(value, type, &v)) {
    return false;
  }
  int64_t most = size < 8 ? ((int64_t)1 << (size * 8 - 1)) - 1 : INT64_MAX;
  if (v > most || v < -most - 1) return false;
  memcpy(to, &v, size); /* little-endian, as all systems are that the core runs on */
  return true;
}

static bool unsigned_to_c(Tcl_Obj *value, const gs_type *type, void *to) {
  Tcl_WideInt w;
  size_t size = gs_type_size(type);
  if (Tcl_GetWideIntFromObj(NULL, value, &w) == TCL_OK) {
    if (w < 0 && strchr(Tcl_GetString(value), '-')) return false;
  } else if (!enumerator(value, type, &w)) {
    const char *text = Tcl_GetString(value); /* 2**63 and more, for Tcl 9 */
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9') return false;
    w = (Tcl_WideInt)strtoull(text, &end, 0);
    if (*end || errno) return false;
  }
  uint64_t v = (uint64_t)w;
  if (size < 8 && v >> (size * 8)) return false;
  memcpy(to, &v, size);
  return true;
}

static bool float_to_c(Tcl_Obj *value, size_t size, void *to) {
  double v;
  if (Tcl_GetDoubleFromObj(NULL, value, &v) != TCL_OK) return false;
  float single = (float)v;
  long double wide = v;
  memcpy(to,
         size == sizeof(float)    ? (void *)&single
         : size == sizeof(double) ? (void *)&v
                                  : &wide,
         size);
  return true;
}

static int integer_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to) {
  unsigned bits = (unsigned)gs_type_size(type) * 8;
  char expected[80];
  if (gs_type_kind(type) == GS_KIND_INT) {
    if (signed_to_c(value, type, to)) return TCL_OK;
    long long least = -((long long)1 << (bits - 2)) * 2;
    snprintf(expected, sizeof(expected), "a whole number (%lld to %lld)", least, -(least + 1));
  } else {
    if (unsigned_to_c(value, type, to)) return TCL_OK;
    snprintf(expected, sizeof(expected), "a whole number (0 to %llu)",
             (unsigned long long)UINT64_MAX >> (64 - bits));
  }
  return gst_mismatch(c, value, type, expected);
}

int gst_scalar_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to) {
  int truth;
  switch (gs_type_kind(type)) {
    case GS_KIND_BOOL:
      if (Tcl_GetBooleanFromObj(NULL, value, &truth) != TCL_OK)
        return gst_mismatch(c, value, type, "a boolean");
      *(bool *)to = truth;
      return TCL_OK;
    case GS_KIND_INT:
    case GS_KIND_UINT: return integer_to_c(c, value, type, to);
    case GS_KIND_FLOAT:
      if (!float_to_c(value, gs_type_size(type), to))
        return gst_mismatch(c, value, type, "a number");
      return TCL_OK;
    default: return gst_mismatch(c, value, type, "something else");
  }
}

/* ---- texts and bytes ------------------------------------------------------------------------- */

bool gst_is_bytes(Tcl_Obj *value) {
  static __thread const Tcl_ObjType *bytes;
  if (!bytes) {
    Tcl_Obj *sample = Tcl_NewByteArrayObj((const unsigned char *)"", 0);
    bytes = sample->typePtr;
    Tcl_IncrRefCount(sample);
    Tcl_DecrRefCount(sample);
  }
  return value->typePtr == bytes;
}

const char *gst_bytes_of(Tcl_Obj *value, Tcl_Encoding encoding, Tcl_DString *ds, Tcl_Size *n) {
  static __thread Tcl_Encoding utf8;
  Tcl_DStringInit(ds);
  if (gst_is_bytes(value)) return (const char *)Tcl_GetByteArrayFromObj(value, n);
  Tcl_Size length;
  const char *text = Tcl_GetStringFromObj(value, &length);
  Tcl_Size i = 0;
  while (i < length && (signed char)text[i] > 0) i++;
  if (!encoding && i == length) { /* ASCII */
    *n = length;
    return text;
  }
  if (!utf8) utf8 = Tcl_GetEncoding(NULL, "utf-8");
  Tcl_UtfToExternalDString(encoding ? encoding : utf8, text, length, ds);
  *n = Tcl_DStringLength(ds);
  return Tcl_DStringValue(ds);
}

Tcl_Obj *gst_text_to_tcl(Tcl_Encoding encoding, const char *text, Tcl_Size n) {
  static __thread Tcl_Encoding utf8;
  Tcl_DString ds;
  Tcl_Size i = 0;
  while (i < n && (signed char)text[i] > 0) i++;
  if (!encoding && i == n) return Tcl_NewStringObj(text, n);
  if (!utf8) utf8 = Tcl_GetEncoding(NULL, "utf-8");
  Tcl_ExternalToUtfDString(encoding ? encoding : utf8, text, n, &ds);
  Tcl_Obj *obj = Tcl_NewStringObj(Tcl_DStringValue(&ds), Tcl_DStringLength(&ds));
  Tcl_DStringFree(&ds);
  return obj;
}

bool gst_is_text(const gs_type *type) {
  return gs_type_kind(type) == GS_KIND_POINTER &&
         gs_type_flags(gs_type_target(type)) & GS_TYPE_CHAR;
}

bool gst_byte_like(const gs_type *type) {
  gs_kind kind = gs_type_kind(type);
  return kind == GS_KIND_VOID ||
         ((kind == GS_KIND_INT || kind == GS_KIND_UINT) && gs_type_size(type) == 1);
}

/* ---- C to Tcl -------------------------------------------------------------------------------- */

static Tcl_Obj *unsigned_obj(uint64_t v) {
  char text[24];
  if (v <= INT64_MAX) return Tcl_NewWideIntObj((Tcl_WideInt)v);
  snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
  return Tcl_NewStringObj(text, -1);
}

Tcl_Obj *gst_scalar_to_tcl(gst_state *s, const gs_type *type, const void *from) {
  size_t size = gs_type_size(type);
  uint64_t v = 0;
  switch (gs_type_kind(type)) {
    case GS_KIND_BOOL: return Tcl_NewBooleanObj(*(const bool *)from);
    case GS_KIND_INT: {
      memcpy(&v, from, size);
      unsigned shift = 64 - (unsigned)size * 8;
      return Tcl_NewWideIntObj((Tcl_WideInt)((int64_t)(v << shift) >> shift));
    }
    case GS_KIND_UINT: memcpy(&v, from, size); return unsigned_obj(v);
    case GS_KIND_FLOAT:
      return Tcl_NewDoubleObj(size == sizeof(float)    ? (double)*(const float *)from
                              : size == sizeof(double) ? *(const double *)from
                                                       : (double)*(const long double *)from);
    case GS_KIND_POINTER:
      return gst_pointer_obj(s, gs_type_name(type), type, *(void *const *)from, 0);
    default: return Tcl_NewObj();
  }
}
