/* value.c: structs, unions and arrays as Tcl values, and pointers where values are given for them.
 *
 * A struct is a dictionary of its members; members that a dictionary leaves out are zero.  Of a
 * union it has exactly one member; given to Tcl it has them all.  An array is a list; one of char
 * is a text, one of unsigned char is bytes.  What C only reads through a pointer (const) can be
 * given as a value: a text or bytes, a list of numbers, a dictionary, a list of texts.  It is
 * copied for the time of the call.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static int to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to);

static bool is_union(const gs_type *type) { return gs_type_flags(type) & GS_TYPE_UNION; }

/* ---- bit-fields ------------------------------------------------------------------------------ */

static uint64_t read_bits(const char *at, unsigned first, unsigned width) {
  uint64_t v = 0;
  for (unsigned i = 0; i < width; i++) {
    unsigned bit = first + i;
    v |= (uint64_t)((unsigned char)at[bit / 8] >> bit % 8 & 1) << i;
  }
  return v;
}

static void write_bits(char *at, unsigned first, unsigned width, uint64_t v) {
  for (unsigned i = 0; i < width; i++) {
    unsigned bit = first + i;
    char mask = (char)(1 << bit % 8);
    at[bit / 8] = (char)(v >> i & 1 ? at[bit / 8] | mask : at[bit / 8] & ~mask);
  }
}

int gst_bits_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, char *at, unsigned first,
                  unsigned width) {
  uint64_t v = 0;
  if (gst_scalar_to_c(c, value, type, &v) != TCL_OK) return TCL_ERROR;
  bool sign = gs_type_kind(type) == GS_KIND_INT;
  unsigned shift = 64 - (unsigned)gs_type_size(type) * 8;
  if (sign) v = (uint64_t)((int64_t)(v << shift) >> shift);
  uint64_t high = width >= 64 ? 0 : sign ? (uint64_t)((int64_t)v >> (width - 1)) : v >> width;
  if (high != 0 && !(sign && high == UINT64_MAX))
    return gst_mismatch(c, value, type, "a number that fits the bit-field");
  write_bits(at, first, width, v);
  return TCL_OK;
}

Tcl_Obj *gst_bits_to_tcl(gst_state *s, const gs_type *type, const char *at, unsigned first,
                         unsigned width) {
  uint64_t v = read_bits(at, first, width);
  if (gs_type_kind(type) == GS_KIND_INT && width < 64)
    v = (uint64_t)((int64_t)(v << (64 - width)) >> (64 - width));
  return gst_scalar_to_tcl(s, type, &v);
}

/* ---- structs --------------------------------------------------------------------------------- */

static int bad_member(gst_conversion *c, const gs_type *type, const char *name, const char *why) {
  return gst_error(
      c->interp, Tcl_ObjPrintf("%s: '%s' %s \"%.60s\"", c->subject, gs_type_name(type), why, name),
      "TYPE", c->subject, NULL);
}

/* Sets the members that the dictionary has; *known counts those. */
static int members_to_c(gst_conversion *c, Tcl_Obj *dict, const gs_type *type, char *to,
                        Tcl_Size *known) {
  for (size_t i = 0; i < gs_type_length(type); i++) {
    const gs_field *f = gs_type_field(type, i);
    const gs_type *t = gs_field_type(f);
    const char *name = gs_field_name(f);
    char *at = to + gs_field_offset(f);
    unsigned first, width = gs_field_bits(f, &first);
    if (!name) {
      if (gs_type_kind(t) == GS_KIND_STRUCT && members_to_c(c, dict, t, at, known) != TCL_OK)
        return TCL_ERROR;
      continue;
    }
    Tcl_Obj *key = Tcl_NewStringObj(name, -1), *value = NULL;
    Tcl_IncrRefCount(key);
    Tcl_DictObjGet(NULL, dict, key, &value);
    Tcl_DecrRefCount(key);
    if (!value) continue;
    ++*known;
    int code = width ? gst_bits_to_c(c, value, t, at, first, width) : to_c(c, value, t, at);
    if (code != TCL_OK) {
      Tcl_AppendObjToErrorInfo(c->interp, Tcl_ObjPrintf("\n    (member \"%s\")", name));
      return TCL_ERROR;
    }
  }
  return TCL_OK;
}

static bool has_member(const gs_type *type, const char *name) {
  for (size_t i = 0; i < gs_type_length(type); i++) {
    const gs_field *f = gs_type_field(type, i);
    const char *own = gs_field_name(f);
    if (own ? strcmp(own, name) == 0
            : gs_type_kind(gs_field_type(f)) == GS_KIND_STRUCT &&
                  has_member(gs_field_type(f), name))
      return true;
  }
  return false;
}

static int struct_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, char *to) {
  Tcl_Size n, known = 0;
  if (Tcl_DictObjSize(NULL, value, &n) != TCL_OK)
    return gst_mismatch(c, value, type, "a dictionary of its members");
  if (is_union(type) && n != 1)
    return gst_mismatch(c, value, type, "a dictionary with one of its members");
  if (members_to_c(c, value, type, to, &known) != TCL_OK) return TCL_ERROR;
  if (known == n) return TCL_OK;
  Tcl_DictSearch search;
  Tcl_Obj *key;
  int done;
  Tcl_DictObjFirst(NULL, value, &search, &key, NULL, &done);
  while (!done && has_member(type, Tcl_GetString(key))) Tcl_DictObjNext(&search, &key, NULL, &done);
  int code = done ? TCL_OK : bad_member(c, type, Tcl_GetString(key), "has no member");
  Tcl_DictObjDone(&search);
  return code;
}

static void members_to_tcl(gst_state *s, Tcl_Encoding encoding, const gs_type *type,
                           const char *from, Tcl_Obj *dict) {
  for (size_t i = 0; i < gs_type_length(type); i++) {
    const gs_field *f = gs_type_field(type, i);
    const gs_type *t = gs_field_type(f);
    const char *name = gs_field_name(f), *at = from + gs_field_offset(f);
    unsigned first, width = gs_field_bits(f, &first);
    if (!name) {
      if (gs_type_kind(t) == GS_KIND_STRUCT) members_to_tcl(s, encoding, t, at, dict);
      continue;
    }
    Tcl_Obj *value = width ? gst_bits_to_tcl(s, t, at, first, width)
                           : gst_to_tcl(s, encoding, t, at, gs_type_size(t));
    Tcl_DictObjPut(NULL, dict, Tcl_NewStringObj(name, -1), value);
  }
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static int text_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, char *to,
                     size_t size) {
  Tcl_DString ds;
  Tcl_Size n;
  const char *bytes = gst_bytes_of(value, c->encoding, &ds, &n);
  bool fits = (size_t)n <= size;
  if (fits) {
    memcpy(to, bytes, (size_t)n);
    memset(to + n, 0, size - (size_t)n);
  }
  Tcl_DStringFree(&ds);
  return fits ? TCL_OK : gst_mismatch(c, value, type, "a text that fits");
}

static int list_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *array, const gs_type *type,
                     char *to, size_t room) {
  Tcl_Size n;
  Tcl_Obj **items;
  if (Tcl_ListObjGetElements(NULL, value, &n, &items) != TCL_OK || (size_t)n > room)
    return gst_mismatch(c, value, array, "a list of at most that many elements");
  size_t size = gs_type_size(type);
  for (Tcl_Size i = 0; i < n; i++)
    if (to_c(c, items[i], type, to + (size_t)i * size) != TCL_OK) return TCL_ERROR;
  memset(to + (size_t)n * size, 0, (room - (size_t)n) * size);
  return TCL_OK;
}

bool gst_is_aggregate(const gs_type *type) {
  return gs_type_kind(type) == GS_KIND_STRUCT || gs_type_kind(type) == GS_KIND_ARRAY;
}

int gst_aggregate_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to,
                       size_t size) {
  if (gs_type_kind(type) == GS_KIND_STRUCT) return struct_to_c(c, value, type, to);
  const gs_type *element = gs_type_target(type);
  size_t each = gs_type_size(element);
  if (each == 1 && (gs_type_flags(element) & GS_TYPE_CHAR ||
                    (gs_type_kind(element) == GS_KIND_UINT && gst_is_bytes(value))))
    return text_to_c(c, value, type, to, size);
  return list_to_c(c, value, type, element, to, each ? size / each : 0);
}

Tcl_Obj *gst_elements_to_tcl(gst_state *s, Tcl_Encoding encoding, const gs_type *element,
                             const void *from, size_t n) {
  size_t each = gs_type_size(element);
  if (gs_type_flags(element) & GS_TYPE_CHAR)
    return gst_text_to_tcl(encoding, from, (Tcl_Size)strnlen(from, n));
  if (gs_type_kind(element) == GS_KIND_VOID || (gs_type_kind(element) == GS_KIND_UINT && each == 1))
    return Tcl_NewByteArrayObj(from, (Tcl_Size)n);
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  for (size_t i = 0; i < n; i++)
    Tcl_ListObjAppendElement(NULL, list,
                             gst_to_tcl(s, encoding, element, (const char *)from + i * each, each));
  return list;
}

/* ---- any value ------------------------------------------------------------------------------- */

/* A copy that C reads for the time of the call. */
static int const_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void **to) {
  const gs_type *target = gs_type_target(type);
  size_t each = gs_type_size(target);
  if (gst_byte_like(target)) {
    Tcl_DString ds;
    Tcl_Size n;
    const char *bytes = gst_bytes_of(value, c->encoding, &ds, &n);
    char *copy = gst_own(c, (size_t)n + 4); /* zeros behind it, for wide encodings too */
    if (copy) memcpy(copy, bytes, (size_t)n);
    Tcl_DStringFree(&ds);
    *to = copy;
    return copy ? TCL_OK : gst_no_memory(c->interp);
  }
  if (!each || gs_type_kind(target) == GS_KIND_FUNCTION)
    return gst_mismatch(c, value, type, "a pointer, as in \"(void *)0x0\",");
  if (gs_type_kind(target) == GS_KIND_STRUCT) {
    *to = gst_own(c, each);
    return *to ? struct_to_c(c, value, target, *to) : gst_no_memory(c->interp);
  }
  Tcl_Size n;
  if (Tcl_ListObjLength(NULL, value, &n) != TCL_OK)
    return gst_mismatch(c, value, type, "a list of its elements");
  *to = gst_own(c, ((size_t)n + 1) * each); /* a zero behind them: a list of texts ends with NULL */
  return *to ? list_to_c(c, value, type, target, *to, (size_t)n) : gst_no_memory(c->interp);
}

/* Keeps the memory of a checked pointer for the time of the call. */
static int pin(gst_conversion *c, gst_pointer *p) {
  if (!p->block || !p->block->mem || !c->may_own) return TCL_OK;
  gst_owned *o = calloc(1, sizeof(*o));
  if (!o) return gst_no_memory(c->interp);
  gs_mem_retain(o->pinned = p->block->mem);
  gs_mem_pin(o->pinned);
  o->next = c->owned;
  c->owned = o;
  return TCL_OK;
}

/* Says whose type is wanted, where two namespaces have one of that name. */
static int another_pointer(gst_conversion *c, Tcl_Obj *value, const gs_type *type,
                           const gs_type *given) {
  const gst_space *sp = gst_type_space(c->state, type);
  if (!sp || sp == gst_type_space(c->state, given))
    return gst_mismatch(c, value, type, "another pointer");
  Tcl_Obj *text = Tcl_ObjPrintf("a pointer to what %.80s has declared", Tcl_GetString(sp->name));
  Tcl_IncrRefCount(text);
  int code = gst_mismatch(c, value, type, Tcl_GetString(text));
  Tcl_DecrRefCount(text);
  return code;
}

static int pointer_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void **to) {
  gst_pointer p;
  switch (gst_parse_pointer(c, value, &p)) {
    case GST_BAD_POINTER: return TCL_ERROR;
    case GST_POINTER:
      if (!gs_type_accepts(type, p.type)) return another_pointer(c, value, type, p.type);
      *to = p.address;
      return pin(c, &p);
    default: break;
  }
  if (c->may_own && gs_type_flags(gs_type_target(type)) & GS_TYPE_CONST)
    return const_to_c(c, value, type, to);
  return gst_mismatch(c, value, type, "a pointer, as in \"(void *)0x0\",");
}

static int to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to) {
  if (gst_is_aggregate(type)) return gst_aggregate_to_c(c, value, type, to, gs_type_size(type));
  if (gs_type_kind(type) == GS_KIND_POINTER) return pointer_to_c(c, value, type, to);
  return gst_scalar_to_c(c, value, type, to);
}

int gst_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to) {
  return to_c(c, value, type, to);
}

Tcl_Obj *gst_to_tcl(gst_state *s, Tcl_Encoding encoding, const gs_type *type, const void *from,
                    size_t size) {
  if (gs_type_kind(type) == GS_KIND_STRUCT) {
    Tcl_Obj *dict = Tcl_NewDictObj();
    members_to_tcl(s, encoding, type, from, dict);
    return dict;
  }
  if (gs_type_kind(type) == GS_KIND_ARRAY) {
    size_t each = gs_type_size(gs_type_target(type));
    return gst_elements_to_tcl(s, encoding, gs_type_target(type), from, each ? size / each : 0);
  }
  return gst_scalar_to_tcl(s, type, from);
}
