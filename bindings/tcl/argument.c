/* argument.c: arguments of C functions, and out-parameters.
 *
 * Where C writes through a pointer, the argument may be the name of a variable: C gets memory for
 * one value, which has the variable's value if that fits (else zeros), and afterwards the variable
 * has what C left there.  {name n} is memory for n of them: what C writes into char * is a text
 * then, into void * or unsigned char * bytes, into others a list.
 */
#include <string.h>

#include "binding.h"

/* What C writes: the variable's name, and how many. */
static bool parse_out(Tcl_Obj *value, Tcl_Obj **name, Tcl_WideInt *n) {
  Tcl_Size words;
  Tcl_Obj **word;
  *n = -1;
  if (Tcl_ListObjGetElements(NULL, value, &words, &word) != TCL_OK || words < 1 || words > 2)
    return false;
  *name = word[0];
  if (words == 1) return *Tcl_GetString(word[0]) != 0;
  return Tcl_GetWideIntFromObj(NULL, word[1], n) == TCL_OK && *n > 0 && *n <= (1 << 30);
}

/* What the variable has already, if that fits. */
static void initialise(gst_conversion *c, gst_out *out, size_t each) {
  Tcl_Obj *old = Tcl_ObjGetVar2(c->interp, out->variable, NULL, 0);
  if (!old) return;
  gst_conversion quiet = *c;
  Tcl_InterpState saved = Tcl_SaveInterpState(c->interp, TCL_OK);
  int code = TCL_OK;
  if (out->one) {
    code = gst_to_c(&quiet, old, out->element, out->memory);
  } else if (gst_byte_like(out->element)) {
    Tcl_DString ds;
    Tcl_Size length;
    const char *bytes = gst_bytes_of(old, c->encoding, &ds, &length);
    if ((size_t)length <= out->n) memcpy(out->memory, bytes, (size_t)length);
    Tcl_DStringFree(&ds);
  } else {
    Tcl_Size length;
    Tcl_Obj **items;
    if (Tcl_ListObjGetElements(NULL, old, &length, &items) == TCL_OK && (size_t)length <= out->n)
      for (Tcl_Size i = 0; i < length && code == TCL_OK; i++)
        code = gst_to_c(&quiet, items[i], out->element, (char *)out->memory + (size_t)i * each);
  }
  if (code != TCL_OK) memset(out->memory, 0, out->n * each);
  c->owned = quiet.owned;
  Tcl_RestoreInterpState(c->interp, saved);
}

int gst_argument_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to,
                      gst_out *out) {
  gst_pointer p;
  Tcl_Obj *name;
  Tcl_WideInt n;
  out->variable = NULL;
  if (gs_type_kind(type) != GS_KIND_POINTER) return gst_to_c(c, value, type, to);
  const gs_type *target = gs_type_target(type);
  if (gs_type_flags(target) & GS_TYPE_CONST || gs_type_kind(target) == GS_KIND_FUNCTION)
    return gst_to_c(c, value, type, to);
  gst_parsed parsed = gst_parse_pointer(c, value, &p);
  if (parsed == GST_BAD_POINTER) return TCL_ERROR;
  if (parsed == GST_POINTER) return gst_to_c(c, value, type, to);
  size_t each = gs_type_kind(target) == GS_KIND_VOID ? 1 : gs_type_size(target);
  bool bytes = gst_byte_like(target);
  if (!each || !parse_out(value, &name, &n) || (bytes && n < 0))
    return gst_mismatch(c, value, type,
                        bytes ? "a pointer, as in \"(void *)0x0\", or {varName size}"
                              : "a pointer, as in \"(void *)0x0\", or the name of a variable");
  out->element = target;
  out->one = n < 0;
  out->n = n < 0 ? 1 : (size_t)n;
  out->memory = gst_own(c, out->n * each);
  if (!out->memory) return gst_no_memory(c->interp);
  /* Not the list's own element: looking a variable up may free the list's representation. */
  out->variable = Tcl_DuplicateObj(name);
  Tcl_IncrRefCount(out->variable);
  initialise(c, out, each);
  *(void **)to = out->memory;
  return TCL_OK;
}

int gst_out_store(Tcl_Interp *interp, gst_state *s, Tcl_Encoding encoding, gst_out *out) {
  Tcl_Obj *value =
      out->one ? gst_to_tcl(s, encoding, out->element, out->memory, gs_type_size(out->element))
               : gst_elements_to_tcl(s, encoding, out->element, out->memory, out->n);
  Tcl_IncrRefCount(value);
  Tcl_Obj *set = Tcl_ObjSetVar2(interp, out->variable, NULL, value, TCL_LEAVE_ERR_MSG);
  Tcl_DecrRefCount(value);
  return set ? TCL_OK : TCL_ERROR;
}
