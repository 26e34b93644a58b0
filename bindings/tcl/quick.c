/* quick.c: calls in place of functions that take and give plain numbers.
 *
 * Such a call needs nothing that could have to be given back, so it needs no struct call, no list
 * of what it owns and no waiter: the numbers go into an array, and C is called.  How each is read
 * and made is found out once, when the function is looked up.
 *
 * Only what goes well is done here.  A value that is no number of the type (an enumerator's name, a
 * number that does not fit) sends the call on to function.c before anything has happened, which
 * knows what else it may be, and says what is wrong.
 */
#include <limits.h>
#include <string.h>

#include "binding.h"

enum { SLOW, NOTHING, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64 };

static int op_of(const gs_type *t) {
  size_t size = gs_type_size(t);
  int step = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  switch (gs_type_kind(t)) {
    case GS_KIND_VOID: return NOTHING;
    case GS_KIND_INT: return size > 8 ? SLOW : I8 + step;
    case GS_KIND_UINT: return size > 8 ? SLOW : U8 + step;
    case GS_KIND_FLOAT: return size == 4 ? F32 : size == 8 ? F64 : SLOW;
    default: return SLOW;
  }
}

void gst_quick_prepare(gst_function *fn) {
  const gs_func *f = fn->func;
  size_t n = fn->nargs = gs_func_nargs(f);
  fn->quick[0] = SLOW;
  if (n > GST_QUICK || gs_func_variadic(f)) return;
  for (size_t i = 0; i < n; i++)
    if ((fn->quick[i + 1] = (unsigned char)op_of(gs_func_arg(f, i))) == SLOW) return;
  fn->quick[0] = (unsigned char)op_of(gs_func_ret(f));
}

/* Tcl 8.6 reads numbers from 2**63 to 2**64 - 1 as negative ones, so those are left to function.c.
 */
static bool to_c(int op, Tcl_Obj *value, gst_slot *to) {
  Tcl_WideInt v;
  if (op >= F32) {
    double d;
    if (Tcl_GetDoubleFromObj(NULL, value, &d) != TCL_OK) return false;
    if (op == F32)
      to->single = (float)d;
    else
      to->real = d;
    return true;
  }
  if (Tcl_GetWideIntFromObj(NULL, value, &v) != TCL_OK) return false;
  if (v < 0 && (op >= U8 || !strchr(Tcl_GetString(value), '-'))) return false;
  to->integer = v; /* little-endian, as all systems are that the core runs on */
  switch (op) {
    case I8: return v == (int8_t)v;
    case I16: return v == (int16_t)v;
    case I32: return v == (int32_t)v;
    case U8: return v <= UINT8_MAX;
    case U16: return v <= UINT16_MAX;
    case U32: return v <= UINT32_MAX;
    default: return true;
  }
}

static void set_result(Tcl_Interp *interp, gst_state *s, int op, const gs_func *func,
                       const gst_slot *from) {
  switch (op) {
    case NOTHING: return; /* the result is empty already */
    case I32: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((int32_t)from->integer)); return;
    case I64: Tcl_SetObjResult(interp, Tcl_NewWideIntObj(from->integer)); return;
    case U32: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((uint32_t)from->natural)); return;
    case F64: Tcl_SetObjResult(interp, Tcl_NewDoubleObj(from->real)); return;
    default: Tcl_SetObjResult(interp, gst_scalar_to_tcl(s, gs_func_ret(func), from));
  }
}

bool gst_quick_call(Tcl_Interp *interp, gst_function *fn, Tcl_Obj *const objv[],
                    gst_context *context, int *code) {
  gst_slot slots[GST_QUICK], result = {0};
  void *args[GST_QUICK];
  const gs_func *func = fn->func;
  int op = fn->quick[0];
  size_t n = fn->nargs;
  if (op == SLOW || fn->check != GST_CHECK_NONE) return false;
  for (size_t i = 0; i < n; i++) {
    if (!to_c(fn->quick[i + 1], objv[i], &slots[i])) return false;
    args[i] = &slots[i];
  }
  gst_state *s = fn->state;
  gst_space *sp = gst_space_hold(fn->library->space);
  s->calling++; /* a callback may delete the command, and fn and what it keeps with it */
  int saved_errno, e = gs_ffi_call(func, &result, args, &saved_errno);
  context->saved_errno = saved_errno;
  s->in_latest = true;
  if (e == GS_OK) {
    set_result(interp, s, op, func, &result);
    *code = TCL_OK;
  } else {
    *code = gst_call_failed(interp, func, e);
  }
  gst_space_drop(sp);
  if (--s->calling == 0 && s->gone) gst_state_release(s);
  return true;
}
