/* carry.c: Tcl values as the values of shared channels, and back.
 *
 * A Tcl value does not know what it is: who sends says so, -as type, and else it is text.
 *
 *     text  null  int  double  bool  bytes
 *     list ?type?    of texts, or of values of that type
 *     dict ?type?    keys are texts; values are texts, or of that type
 *
 * A type is a list, so {list int} is a list of integers and {dict {list double}} a dict of lists.
 * What was received is the Tcl value of its kind; null is the empty one.
 *
 * Tcl keeps texts in an UTF-8 of its own: NUL is two bytes, and what is beyond U+FFFF may be two
 * surrogates.  A text that is UTF-8 as it is goes through as it is, others by Tcl's encoding.
 */
#include <string.h>

#include "binding.h"
#include "shared.h"

typedef struct writing {
  Tcl_Interp *interp;
  gs_value_writer w;
  Tcl_Obj *where; /* the path to what cannot be carried; NULL: no error yet */
} writing;

static const char *const kinds[] = {"bool", "bytes", "dict", "double", "int",
                                    "list", "null",  "text", NULL};
enum { AS_BOOL, AS_BYTES, AS_DICT, AS_DOUBLE, AS_INT, AS_LIST, AS_NULL, AS_TEXT };

/* ---- errors ---------------------------------------------------------------------------------- */

static int refuse(Tcl_Interp *interp, const char *code, Tcl_Obj *why) {
  return gst_error(interp, why, code, NULL);
}

static int expected(Tcl_Interp *interp, Tcl_Obj *value, const char *what) {
  return refuse(interp, "TYPE",
                Tcl_ObjPrintf(" is \"%.60s\", expected %s", Tcl_GetString(value), what));
}

static int check(Tcl_Interp *interp, int code) {
  if (code == GS_OK) return TCL_OK;
  if (code == GS_ENOMEM) return gst_no_memory(interp);
  return refuse(interp, "TYPE", Tcl_ObjPrintf(": %s", gs_error_detail()));
}

/* ---- scalars --------------------------------------------------------------------------------- */

/* The bytes of UTF-8 of a text.  *ds is to be freed. */
const char *gst_text_of(Tcl_Obj *value, Tcl_DString *ds, Tcl_Size *n) {
  static __thread Tcl_Encoding utf8;
  const char *s = Tcl_GetStringFromObj(value, n);
  Tcl_DStringInit(ds);
  for (Tcl_Size i = 0; i < *n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c != 0xc0 && c != 0xed && c < 0xf0) continue;
    if (!utf8) utf8 = Tcl_GetEncoding(NULL, "utf-8");
    Tcl_UtfToExternalDString(utf8, s, *n, ds);
    *n = Tcl_DStringLength(ds);
    return Tcl_DStringValue(ds);
  }
  return s;
}

static bool is_type(const Tcl_Obj *value, const char *name) {
  return value->typePtr && strcmp(value->typePtr->name, name) == 0;
}

static int int_of(Tcl_Interp *interp, Tcl_Obj *value, int64_t *i) {
  Tcl_WideInt wide;
  bool is = Tcl_GetWideIntFromObj(NULL, value, &wide) == TCL_OK;
  if (is_type(value, "bignum")) /* also where Tcl has let it wrap around */
    return refuse(
        interp, "OVERFLOW",
        Tcl_ObjPrintf(" is %.60s, an integer of more than 64 bits", Tcl_GetString(value)));
  if (!is) return expected(interp, value, "an integer");
  *i = wide;
  return TCL_OK;
}

static int double_of(Tcl_Interp *interp, Tcl_Obj *value, double *d) {
  if (Tcl_GetDoubleFromObj(NULL, value, d) == TCL_OK) return TCL_OK;
  if (!is_type(value, "double")) return expected(interp, value, "a number");
  *d = value->internalRep.doubleValue; /* not a number, which Tcl does not give */
  return TCL_OK;
}

static const unsigned char *bytes_of(Tcl_Interp *interp, Tcl_Obj *value, Tcl_Size *n) {
  if (!gst_is_bytes(value)) {
    const char *s = Tcl_GetStringFromObj(value, n), *end = s + *n;
    while (s < end) {
      Tcl_UniChar c = 0;
      s += Tcl_UtfToUniChar(s, &c);
      if (c <= 0xff) continue;
      expected(interp, value, "bytes: characters up to \\xff");
      return NULL;
    }
  }
  return Tcl_GetByteArrayFromObj(value, n);
}

/* ---- lists and dicts ------------------------------------------------------------------------- */

static int put(writing *c, Tcl_Obj *value, Tcl_Obj *type);

static void add_where(writing *c, Tcl_Obj *step) {
  Tcl_IncrRefCount(step);
  if (!c->where) Tcl_IncrRefCount(c->where = Tcl_NewObj());
  if (Tcl_GetCharLength(c->where) < 200) {
    Tcl_AppendObjToObj(step, c->where);
    Tcl_DecrRefCount(c->where);
    Tcl_IncrRefCount(c->where = step);
  }
  Tcl_DecrRefCount(step);
}

static int put_list(writing *c, Tcl_Obj *value, Tcl_Obj *type) {
  Tcl_Obj **element;
  Tcl_Size n;
  /* A copy: its elements may be looked at as lists, too. */
  Tcl_Obj *copy = Tcl_DuplicateObj(value);
  Tcl_IncrRefCount(copy);
  int code = Tcl_ListObjGetElements(NULL, copy, &n, &element) == TCL_OK
                 ? check(c->interp, gs_value_put_list(&c->w))
                 : expected(c->interp, value, "a list");
  for (Tcl_Size i = 0; code == TCL_OK && i < n; i++)
    if ((code = put(c, element[i], type)) != TCL_OK)
      add_where(c, Tcl_ObjPrintf(" element %ld", (long)i));
  Tcl_DecrRefCount(copy);
  return code == TCL_OK ? check(c->interp, gs_value_put_end(&c->w)) : code;
}

static int put_text(writing *c, Tcl_Obj *value) {
  Tcl_DString ds;
  Tcl_Size n;
  const char *s = gst_text_of(value, &ds, &n);
  int code = check(c->interp, gs_value_put_text(&c->w, s, (size_t)n));
  Tcl_DStringFree(&ds);
  return code;
}

static int put_dict(writing *c, Tcl_Obj *value, Tcl_Obj *type) {
  Tcl_DictSearch search;
  Tcl_Obj *key, *v, *copy = Tcl_DuplicateObj(value);
  int done, code;
  Tcl_IncrRefCount(copy);
  if (Tcl_DictObjFirst(NULL, copy, &search, &key, &v, &done) != TCL_OK) {
    Tcl_DecrRefCount(copy);
    return expected(c->interp, value, "a dict");
  }
  code = check(c->interp, gs_value_put_map(&c->w));
  for (; code == TCL_OK && !done; Tcl_DictObjNext(&search, &key, &v, &done)) {
    code = put_text(c, key);
    if (code == TCL_OK) code = put(c, v, type);
    if (code != TCL_OK) add_where(c, Tcl_ObjPrintf(" key \"%.40s\"", Tcl_GetString(key)));
  }
  Tcl_DictObjDone(&search);
  Tcl_DecrRefCount(copy);
  return code == TCL_OK ? check(c->interp, gs_value_put_end(&c->w)) : code;
}

static int bad_type(Tcl_Interp *interp, Tcl_Obj *type) {
  return gst_error(interp,
                   Tcl_ObjPrintf("-as is \"%.60s\", expected text, null, int, double, bool, bytes, "
                                 "list ?type? or dict ?type?",
                                 Tcl_GetString(type)),
                   "ARGUMENT", "-as", NULL);
}

/* What a type says: its kind, and the type of the elements or NULL. */
static int kind_of(Tcl_Interp *interp, Tcl_Obj *type, int *kind, Tcl_Obj **inner) {
  Tcl_Obj **word;
  Tcl_Size n;
  *kind = AS_TEXT;
  *inner = NULL;
  if (!type) return TCL_OK;
  if (Tcl_GetIndexFromObj(NULL, type, kinds, "type", TCL_EXACT, kind) == TCL_OK) return TCL_OK;
  if (Tcl_ListObjGetElements(NULL, type, &n, &word) != TCL_OK || n != 2 ||
      Tcl_GetIndexFromObj(NULL, word[0], kinds, "type", TCL_EXACT, kind) != TCL_OK ||
      (*kind != AS_LIST && *kind != AS_DICT))
    return bad_type(interp, type);
  *inner = word[1];
  return TCL_OK;
}

/* A number or a truth value; false: it is something else, or cannot be carried. */
static bool scalar(Tcl_Obj *value, int kind, gs_value *out) {
  Tcl_WideInt wide;
  double d;
  int b;
  switch (kind) {
    case AS_INT:
      if (Tcl_GetWideIntFromObj(NULL, value, &wide) != TCL_OK || is_type(value, "bignum"))
        return false;
      gs_value_int(wide, out);
      return true;
    case AS_DOUBLE:
      if (Tcl_GetDoubleFromObj(NULL, value, &d) != TCL_OK) return false;
      gs_value_double(d, out);
      return true;
    case AS_BOOL:
      if (Tcl_GetBooleanFromObj(NULL, value, &b) != TCL_OK) return false;
      gs_value_bool(b, out);
      return true;
    default: return false;
  }
}

static int put(writing *c, Tcl_Obj *value, Tcl_Obj *type) {
  Tcl_Obj *inner;
  const unsigned char *bytes;
  int64_t i = 0;
  double d = 0;
  Tcl_Size n;
  int kind, b;
  if (kind_of(c->interp, type, &kind, &inner) != TCL_OK) return TCL_ERROR;
  switch (kind) {
    case AS_NULL: return check(c->interp, gs_value_put_null(&c->w));
    case AS_BOOL:
      if (Tcl_GetBooleanFromObj(NULL, value, &b) != TCL_OK)
        return expected(c->interp, value, "a boolean");
      return check(c->interp, gs_value_put_bool(&c->w, b));
    case AS_INT:
      if (int_of(c->interp, value, &i) != TCL_OK) return TCL_ERROR;
      return check(c->interp, gs_value_put_int(&c->w, i));
    case AS_DOUBLE:
      if (double_of(c->interp, value, &d) != TCL_OK) return TCL_ERROR;
      return check(c->interp, gs_value_put_double(&c->w, d));
    case AS_BYTES:
      if (!(bytes = bytes_of(c->interp, value, &n))) return TCL_ERROR;
      return check(c->interp, gs_value_put_bytes(&c->w, bytes, (size_t)n));
    case AS_LIST: /* the type may be shimmered away by what is inside */
    case AS_DICT:
      if (inner) Tcl_IncrRefCount(inner = Tcl_DuplicateObj(inner));
      b = kind == AS_LIST ? put_list(c, value, inner) : put_dict(c, value, inner);
      if (inner) Tcl_DecrRefCount(inner);
      return b;
    default: return put_text(c, value);
  }
}

/* Not inlined: the writer is not on the stack of who sends scalars. */
static __attribute__((noinline)) int write_value(Tcl_Interp *interp, Tcl_Obj *value, Tcl_Obj *type,
                                                 gs_value *out) {
  writing c;
  c.interp = interp;
  c.where = NULL;
  gs_value_begin(&c.w);
  int code = put(&c, value, type);
  if (code == TCL_OK) code = check(interp, gs_value_end(&c.w, out));
  if (code == TCL_OK) return TCL_OK;
  gs_value_drop(&c.w);
  Tcl_Obj *why = Tcl_GetObjResult(interp);
  const char *text = Tcl_GetString(why); /* a sentence of its own, or how it goes on */
  if (*text == ' ' || *text == ':')
    Tcl_SetObjResult(interp, Tcl_ObjPrintf("the value%s%s%s", c.where ? "'s" : "",
                                           c.where ? Tcl_GetString(c.where) : "", text));
  if (c.where) Tcl_DecrRefCount(c.where);
  return TCL_ERROR;
}

int gst_carry(Tcl_Interp *interp, Tcl_Obj *value, Tcl_Obj *type, gs_value *out) {
  Tcl_DString ds;
  Tcl_Size n;
  int kind;
  if (type) {
    if (Tcl_GetIndexFromObj(NULL, type, kinds, "type", TCL_EXACT, &kind) == TCL_OK &&
        scalar(value, kind, out))
      return TCL_OK;
  } else {
    const char *s = gst_text_of(value, &ds, &n);
    int e = gs_value_text(s, (size_t)n, out);
    Tcl_DStringFree(&ds);
    if (e == GS_OK) return TCL_OK;
  }
  return write_value(interp, value, type, out);
}

/* ---- back ------------------------------------------------------------------------------------ */

static Tcl_Obj *text_obj(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c != 0 && c < 0xf0) continue;
    static __thread Tcl_Encoding utf8;
    Tcl_DString ds;
    if (!utf8) utf8 = Tcl_GetEncoding(NULL, "utf-8");
    Tcl_ExternalToUtfDString(utf8, s, (Tcl_Size)n, &ds);
    Tcl_Obj *text = Tcl_NewStringObj(Tcl_DStringValue(&ds), Tcl_DStringLength(&ds));
    Tcl_DStringFree(&ds);
    return text;
  }
  return Tcl_NewStringObj(s, (Tcl_Size)n);
}

static Tcl_Obj *get(gs_value_reader *r) {
  gs_value_item it;
  Tcl_Obj *o;
  if (gs_value_next(r, &it) != GS_OK) return Tcl_NewObj();
  switch (it.type) {
    case GS_VALUE_BOOL: return Tcl_NewBooleanObj((int)it.i);
    case GS_VALUE_INT: return Tcl_NewWideIntObj(it.i);
    case GS_VALUE_DOUBLE: return Tcl_NewDoubleObj(it.d);
    case GS_VALUE_TEXT: return text_obj(it.s, it.n);
    case GS_VALUE_BYTES: return Tcl_NewByteArrayObj((const unsigned char *)it.s, (Tcl_Size)it.n);
    case GS_VALUE_LIST:
      o = Tcl_NewListObj(0, NULL);
      for (size_t i = 0; i < it.n; i++) Tcl_ListObjAppendElement(NULL, o, get(r));
      return o;
    case GS_VALUE_MAP:
      o = Tcl_NewDictObj();
      for (size_t i = 0; i < it.n; i++) {
        Tcl_Obj *key = get(r);
        Tcl_IncrRefCount(key);
        Tcl_DictObjPut(NULL, o, key, get(r));
        Tcl_DecrRefCount(key);
      }
      return o;
    default: return Tcl_NewObj();
  }
}

Tcl_Obj *gst_carried_from(const gs_value *v) {
  gs_value_reader r;
  gs_value_read(v, &r);
  return get(&r);
}

Tcl_Obj *gst_carried(gs_value *v) {
  Tcl_Obj *o = gst_carried_from(v);
  gs_value_free(v);
  return o;
}

const char *gst_carried_kind(const gs_value *v) {
  static const char *const names[] = {"null", "bool",  "int",  "double",
                                      "text", "bytes", "list", "dict"};
  return names[gs_value_type(v) & 7];
}
