/* function.c: the commands that call C functions.
 *
 * A function is looked up in its library when its command is first called.  The arguments are
 * converted at home; then the call leaves home as an operation, unless the function is critical:
 * those are called in place, on the interpreter's thread.  (In gosched::os_thread they go where the
 * others go.)  All that the call needs is copied or pinned, so it does not matter what becomes of
 * the values, the variables, the coroutine or the interpreter meanwhile.
 *
 * What belongs to Tcl (out-parameters' names, the unblock script) is dropped at home, when the
 * waiter goes; what belongs to C when the operation goes, which may be on another thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

typedef struct call {
  gst_operation op; /* first */
  const gs_func *func;
  gst_space *space; /* of func: held, until home needs it no more */
  gst_space *kept;  /* the same: a reference, until the call is over */
  void *result;     /* of the size of the result, or more */
  gst_slot scalar;  /* where result points to, for scalars */
  char *text;       /* a copy of a result that is a text; NULL: it was a null pointer */
  int code, saved_errno;
  gst_failure *failure; /* of a callback, for GS_ECALLBACK */
  gst_owned *owned;
  Tcl_Encoding encoding;
  gst_check check;
  Tcl_Obj *outs; /* at home: keeps the variables' names; NULL: there are none */
  Tcl_Obj *unblock;
  size_t n;
  void **args;     /* n, behind this struct … */
  gst_slot *slots; /* … after n slots … */
  gst_out *out;    /* … and before n of these */
} call;

static size_t call_size(size_t n) {
  return sizeof(call) + n * (sizeof(gst_slot) + sizeof(gst_out) + sizeof(void *));
}

static void set_up(call *c, const gs_func *func) {
  size_t n = gs_func_nargs(func);
  memset(c, 0, sizeof(*c));
  c->func = func;
  c->n = n;
  c->slots = (gst_slot *)(c + 1);
  c->out = (gst_out *)(c->slots + n);
  c->args = (void **)(c->out + n);
  c->result = &c->scalar;
}

static void drop_c(call *c) {
  gst_owned_free(c->owned);
  gst_failure_free(c->failure);
  free(c->text);
  gst_space_release(c->kept);
}

static void drop_tcl(call *c) {
  if (c->outs) Tcl_DecrRefCount(c->outs);
  if (c->unblock) Tcl_DecrRefCount(c->unblock);
  gst_space_drop(c->space);
  c->space = NULL;
  c->outs = c->unblock = NULL;
  if (c->encoding) Tcl_FreeEncoding(c->encoding);
  c->encoding = NULL;
}

static void destroy_call(gst_operation *op) {
  drop_c((call *)op);
  free(op);
}

/* On a green thread, or at home for a critical function. */
static void perform(gst_operation *op) {
  call *c = (call *)op;
  void *data;
  c->code = gs_ffi_call(c->func, c->result, c->args, &c->saved_errno);
  if (c->code == GS_ECALLBACK && gs_callback_failure(NULL, &data) == GS_OK) c->failure = data;
  if (c->code == GS_OK && gst_is_text(gs_func_ret(c->func)) && c->scalar.pointer)
    c->text = strdup(c->scalar.pointer);
}

/* ---- the result ------------------------------------------------------------------------------ */

static int fail_with_errno(Tcl_Interp *interp, call *c) {
  Tcl_SetErrno(c->saved_errno);
  const char *message = Tcl_ErrnoMsg(c->saved_errno);
  return gst_error(interp, Tcl_ObjPrintf("%s: %s", gs_func_name(c->func), message), "ERRNO",
                   Tcl_ErrnoId(), message, NULL);
}

/* Whether the result says that the call has failed. */
static int check(Tcl_Interp *interp, call *c, Tcl_Obj *result) {
  const gs_type *type = gs_func_ret(c->func);
  Tcl_WideInt v = 0;
  bool pointer = gs_type_kind(type) == GS_KIND_POINTER;
  if (c->check == GST_CHECK_NONE) return TCL_OK;
  if (pointer)
    v = c->scalar.pointer ? 1 : 0;
  else if (Tcl_GetWideIntFromObj(NULL, result, &v) != TCL_OK)
    v = 1; /* beyond 2**63 */
  if (c->check == GST_CHECK_ERRNO)
    return (pointer ? v == 0 : v < 0) ? fail_with_errno(interp, c) : TCL_OK;
  bool good = c->check == GST_CHECK_ZERO ? v == 0 : c->check == GST_CHECK_NONZERO ? v != 0 : v >= 0;
  if (good) return TCL_OK;
  return gst_error(
      interp, Tcl_ObjPrintf("%s: the result is %s", gs_func_name(c->func), Tcl_GetString(result)),
      "FFI", "RESULT", gs_func_name(c->func), Tcl_GetString(result), NULL);
}

static int call_error(Tcl_Interp *interp, const gs_func *func, int code) {
  if (code == GS_ENOMEM) return gst_no_memory(interp);
  return gst_error(interp, Tcl_ObjPrintf("%s: %s", gs_func_name(func), gs_strerror(code)), "FFI",
                   "CALL", gs_func_name(func), NULL);
}

int gst_call_failed(Tcl_Interp *interp, const gs_func *func, int code) {
  void *failure;
  if (code != GS_ECALLBACK || gs_callback_failure(NULL, &failure) != GS_OK || !failure)
    return call_error(interp, func, code);
  code = gst_failure_raise(interp, failure);
  gst_failure_free(failure);
  return code;
}

static int take_result(Tcl_Interp *interp, gst_state *s, call *c) {
  if (c->code == GS_ECALLBACK && c->failure) return gst_failure_raise(interp, c->failure);
  if (c->code != GS_OK) return call_error(interp, c->func, c->code);
  const gs_type *type = gs_func_ret(c->func);
  for (size_t i = 0; c->outs && i < c->n; i++)
    if (c->out[i].variable && gst_out_store(interp, s, c->encoding, &c->out[i]) != TCL_OK)
      return TCL_ERROR;
  Tcl_Obj *result = gst_is_text(type)
                        ? gst_text_to_tcl(c->encoding, c->text ? c->text : "",
                                          c->text ? (Tcl_Size)strlen(c->text) : 0)
                        : gst_to_tcl(s, c->encoding, type, c->result, gs_type_size(type));
  Tcl_IncrRefCount(result);
  int code = check(interp, c, result);
  if (code == TCL_OK) Tcl_SetObjResult(interp, result);
  Tcl_DecrRefCount(result);
  return code;
}

static int finish_call(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  call *c = (call *)w;
  if (why == GST_DONE) {
    w->context->saved_errno = c->saved_errno;
    w->state->in_latest = false;
    return take_result(interp, w->state, c);
  }
  return gst_wait_error(interp, w, why);
}

/* ---- giving a call up ------------------------------------------------------------------------ */

static void unblocked(gst_green *g, int code) {
  if (code != TCL_OK) gst_background_error(g->state->interp, g->result, g->options);
}

/* Runs the unblock script, as a green thread: it may be a foreign call itself. */
static void unblock(gst_operation *op, gst_why why) {
  call *c = (call *)op;
  gst_state *s = op->state;
  (void)why;
  if (c->unblock && s->interp)
    gst_green_start(s->interp, s, c->unblock, "::", false, unblocked, NULL);
}

/* ---- calling --------------------------------------------------------------------------------- */

/* Whether values of all its types can be converted. */
static int check_types(Tcl_Interp *interp, const gs_func *f) {
  for (size_t i = 0; i <= gs_func_nargs(f); i++) {
    const gs_type *t = i ? gs_func_arg(f, i - 1) : gs_func_ret(f);
    const char *why = gst_unsupported(t);
    if (!why) continue;
    Tcl_Obj *text =
        i ? Tcl_ObjPrintf("argument %d of %s: '%s' %s", (int)i, gs_func_name(f), gs_type_name(t),
                          why)
          : Tcl_ObjPrintf("the result of %s: '%s' %s", gs_func_name(f), gs_type_name(t), why);
    return gst_error(interp, text, "TYPE", gs_func_name(f), NULL);
  }
  return TCL_OK;
}

int gst_function_resolve(Tcl_Interp *interp, gst_function *fn) {
  gs_ffi_error err;
  if (fn->func) return TCL_OK;
  if (gs_ffi_func(fn->library->lib, fn->name, &fn->func, &err) != GS_OK)
    return gst_space_error(interp, fn->library->space, &err, fn->name);
  if (check_types(interp, fn->func) == TCL_OK) {
    gst_quick_prepare(fn);
    return TCL_OK;
  }
  fn->func = NULL;
  return TCL_ERROR;
}

/* "wrong # args: should be "…::usleep {unsigned int}"": the types stand for the arguments. */
static int wrong_count(Tcl_Interp *interp, const gs_func *f, Tcl_Obj *const objv[]) {
  Tcl_Obj *words = Tcl_NewObj();
  Tcl_IncrRefCount(words);
  for (size_t i = 0; i < gs_func_nargs(f); i++)
    Tcl_ListObjAppendElement(NULL, words, Tcl_NewStringObj(gs_type_name(gs_func_arg(f, i)), -1));
  if (gs_func_variadic(f))
    Tcl_ListObjAppendElement(NULL, words, Tcl_NewStringObj("?{type value} ...?", -1));
  Tcl_WrongNumArgs(interp, 1, objv, Tcl_GetCharLength(words) ? Tcl_GetString(words) : NULL);
  Tcl_DecrRefCount(words);
  return TCL_ERROR;
}

/* The function for a call with these further arguments, each {type value}. */
static int variadic(Tcl_Interp *interp, gst_function *fn, int n, Tcl_Obj *const objv[],
                    gs_func **out) {
  const gs_type **types = calloc((size_t)n, sizeof(*types));
  gs_ffi_error err = {0};
  int code = TCL_OK;
  if (!types) return gst_no_memory(interp);
  for (int i = 0; i < n && code == TCL_OK; i++) {
    Tcl_Size words;
    Tcl_Obj **word;
    if (Tcl_ListObjGetElements(NULL, objv[i], &words, &word) != TCL_OK || words != 2 ||
        gst_type(fn->library->space, Tcl_GetString(word[0]), &types[i], &err) != GS_OK)
      code = gst_error(interp,
                       Tcl_ObjPrintf("%s: the argument \"%.60s\" for '...' is none: expected "
                                     "{type value}",
                                     fn->name, Tcl_GetString(objv[i])),
                       "TYPE", fn->name, NULL);
  }
  if (code == TCL_OK && gs_func_variadic_shape(fn->func, types, (size_t)n, out, &err) != GS_OK)
    code = gst_ffi_error(interp, &err, fn->name);
  free(types);
  return code;
}

/* The values of the arguments; fixed: from there on they are {type value}. */
static int convert(Tcl_Interp *interp, gst_function *fn, call *c, Tcl_Obj *const objv[],
                   size_t fixed) {
  gst_conversion k = {interp, fn->state, fn->library->encoding, 0, fn->name,
                      NULL,   true,      fn->library->space};
  int code = TCL_OK;
  c->space = gst_space_hold(k.space);
  c->kept = gst_space_retain(k.space);
  /* A reference: the library may be given another one while the call is under way. */
  c->encoding = k.encoding ? Tcl_GetEncoding(NULL, Tcl_GetEncodingName(k.encoding)) : NULL;
  for (size_t i = 0; i < c->n && code == TCL_OK; i++) {
    const gs_type *type = gs_func_arg(c->func, i);
    Tcl_Obj *value = objv[i];
    if (i >= fixed) Tcl_ListObjIndex(NULL, value, 1, &value);
    k.number = (int)i + 1;
    c->out[i].variable = NULL;
    c->args[i] = &c->slots[i];
    size_t size = gs_type_size(type);
    if (size > sizeof(gst_slot) && !(c->args[i] = gst_own(&k, size)))
      code = gst_no_memory(interp);
    else if (gs_type_kind(type) == GS_KIND_POINTER)
      code = gst_argument_to_c(&k, value, type, c->args[i], &c->out[i]);
    else if (gst_is_aggregate(type)) {
      memset(c->args[i], 0, size);
      code = gst_aggregate_to_c(&k, value, type, c->args[i], size);
    } else
      code = gst_scalar_to_c(&k, value, type, c->args[i]);
    if (c->out[i].variable) {
      if (!c->outs) Tcl_IncrRefCount(c->outs = Tcl_NewListObj(0, NULL));
      Tcl_ListObjAppendElement(NULL, c->outs, c->out[i].variable);
      Tcl_DecrRefCount(c->out[i].variable);
    }
  }
  size_t size = gs_type_size(gs_func_ret(c->func));
  if (code == TCL_OK && size > sizeof(c->scalar) && !(c->result = gst_own(&k, size)))
    code = gst_no_memory(interp);
  c->owned = k.owned;
  return code;
}

/* At home: who waited goes. */
static void forget_call(gst_waiter *w) { drop_tcl((call *)w); }

/* In place. */
static int call_here(Tcl_Interp *interp, gst_function *fn, gs_func *func, Tcl_Obj *const objv[],
                     size_t fixed, gst_context *context) {
  max_align_t small[64];
  size_t size = call_size(gs_func_nargs(func));
  call *c = size <= sizeof(small) ? (call *)small : malloc(size);
  if (!c) return gst_no_memory(interp);
  set_up(c, func);
  c->check = fn->check;
  int code = convert(interp, fn, c, objv, fixed);
  if (code == TCL_OK) {
    gst_state *s = gst_state_retain(fn->state); /* a callback may delete the command */
    perform(&c->op);
    context->saved_errno = c->saved_errno;
    s->in_latest = true;
    code = take_result(interp, s, c);
    gst_state_release(s);
  }
  drop_tcl(c);
  drop_c(c);
  if (c != (call *)small) free(c);
  return code;
}

static Tcl_Obj *unblock_words(gst_function *fn, int n, Tcl_Obj *const objv[]) {
  Tcl_Obj *words = Tcl_DuplicateObj(fn->unblock);
  for (int i = 0; i < n; i++) Tcl_ListObjAppendElement(NULL, words, objv[i]);
  Tcl_IncrRefCount(words);
  return words;
}

int gst_call_nr(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_function *fn = data;
  if (!fn->state->interp) /* made by gosched::bind, outside of our namespace */
    return gst_error(interp, Tcl_NewStringObj("the package gosched has been unloaded", -1),
                     "RUNTIME", NULL);
  if (!fn->func && gst_function_resolve(interp, fn) != TCL_OK) return TCL_ERROR;
  gs_func *func = fn->func;
  size_t given = (size_t)objc - 1, fixed = fn->nargs;
  if (given != fixed) {
    if (given < fixed || !gs_func_variadic(func)) return wrong_count(interp, func, objv);
    if (variadic(interp, fn, (int)(given - fixed), objv + 1 + fixed, &func) != TCL_OK)
      return TCL_ERROR;
  }
  unsigned hints = gs_func_hints(func);
  hints = (hints & ~fn->hints_set) | fn->hints;
  if (hints & GS_SITE_CRITICAL && !fn->unblock) {
    gst_state *s = fn->state;
    if (!s->workers || !gst_context_here(s)->worker) {
      gst_context *here = &s->latest; /* see context.c */
      int code;
      if (gst_quick_call(interp, fn, objv + 1, here, &code)) return code;
      return call_here(interp, fn, func, objv + 1, fixed, here);
    }
  }
  call *c = malloc(call_size(gs_func_nargs(func)));
  if (!c) return gst_no_memory(interp);
  set_up(c, func);
  c->check = fn->check;
  if (convert(interp, fn, c, objv + 1, fixed) != TCL_OK) {
    drop_tcl(c);
    destroy_call(&c->op);
    return TCL_ERROR;
  }
  c->op.w.reason = gs_func_name(func);
  c->op.w.finish = finish_call;
  c->op.work = perform;
  c->op.destroy = destroy_call;
  c->op.detach = fn->detach;
  if (fn->unblock) {
    c->unblock = unblock_words(fn, objc - 1, objv + 1);
    c->op.unblock = unblock;
  }
  c->op.leave = forget_call;
  return gst_operate(interp, fn->state, &c->op, fn->ms);
}

int gst_call_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, gst_call_nr, data, objc, objv);
}

void gst_function_free(ClientData data) {
  gst_function *fn = data;
  if (fn->unblock) Tcl_DecrRefCount(fn->unblock);
  if (fn->owns_name) free((char *)fn->name);
  gst_library_drop(fn->library);
  gst_state_release(fn->state);
  free(fn);
}
