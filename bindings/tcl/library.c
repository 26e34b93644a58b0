/* library.c: gosched::load, and the commands that call C functions.
 *
 * A loaded library is a namespace with a command for every declared function.  The function is
 * looked up in the library when its command is first called: what is declared for one library and
 * asked of another is an error then, not before.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

typedef struct gst_library {
  struct gst_library *next;
  gs_lib *lib;
  Tcl_Obj *ns;    /* the namespace's name */
  size_t defined; /* declarations that have their command */
} gst_library;

/* What a function's command knows. */
typedef struct function {
  gst_state *state;
  gs_lib *lib;
  gs_func *func; /* NULL until the first call */
  const char *name;
} function;

/* ---- calling --------------------------------------------------------------------------------- */

typedef struct call {
  gst_operation op; /* first */
  const gs_func *func;
  gst_slot result;
  char *text; /* a copy of a result that is a text; NULL: it was a null pointer */
  int code, saved_errno;
  size_t n;
  void **args;  /* n, behind this struct … */
  void **owned; /* … with n pieces of memory to free, and n slots behind them */
  gst_slot *slots;
} call;

static call *new_call(const gs_func *func) {
  size_t n = gs_func_nargs(func);
  call *c = calloc(1, sizeof(*c) + n * (sizeof(gst_slot) + 2 * sizeof(void *)));
  if (!c) return NULL;
  c->func = func;
  c->n = n;
  c->slots = (gst_slot *)(c + 1);
  c->args = (void **)(c->slots + n);
  c->owned = c->args + n;
  for (size_t i = 0; i < n; i++) c->args[i] = &c->slots[i];
  return c;
}

static void destroy_call(gst_operation *op) {
  call *c = (call *)op;
  for (size_t i = 0; i < c->n; i++) free(c->owned[i]);
  free(c->text);
  free(c);
}

/* On a green thread, or at home for a critical function. */
static void perform(gst_operation *op) {
  call *c = (call *)op;
  c->code = gs_ffi_call(c->func, &c->result, c->args, &c->saved_errno);
  if (c->code == GS_OK && gst_is_text(gs_func_ret(c->func)) && c->result.pointer)
    c->text = strdup(c->result.pointer);
}

static int finish_call(Tcl_Interp *interp, gst_operation *op) {
  call *c = (call *)op;
  if (c->code != GS_OK)
    return gst_error(interp, Tcl_ObjPrintf("%s: %s", gs_func_name(c->func), gs_strerror(c->code)),
                     "FFI", "CALL", gs_func_name(c->func), NULL);
  op->state->saved_errno = c->saved_errno;
  const gs_type *type = gs_func_ret(c->func);
  Tcl_SetObjResult(interp, gst_is_text(type) ? Tcl_NewStringObj(c->text ? c->text : "", -1)
                                             : gst_to_tcl(type, &c->result));
  return TCL_OK;
}

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

static int resolve(Tcl_Interp *interp, function *fn) {
  gs_ffi_error err;
  if (fn->func) return TCL_OK;
  if (gs_ffi_func(fn->lib, fn->name, &fn->func, &err) != GS_OK)
    return gst_ffi_error(interp, &err, fn->name);
  if (check_types(interp, fn->func) == TCL_OK) return TCL_OK;
  fn->func = NULL;
  return TCL_ERROR;
}

/* "wrong # args: should be "…::usleep unsigned int"": the types stand for the arguments. */
static int wrong_count(Tcl_Interp *interp, const gs_func *f, Tcl_Obj *const objv[]) {
  Tcl_Obj *words = Tcl_NewObj();
  Tcl_IncrRefCount(words);
  for (size_t i = 0; i < gs_func_nargs(f); i++)
    Tcl_ListObjAppendElement(NULL, words, Tcl_NewStringObj(gs_type_name(gs_func_arg(f, i)), -1));
  Tcl_WrongNumArgs(interp, 1, objv, gs_func_nargs(f) ? Tcl_GetString(words) : NULL);
  Tcl_DecrRefCount(words);
  return TCL_ERROR;
}

static int call_nr(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  function *fn = data;
  if (resolve(interp, fn) != TCL_OK) return TCL_ERROR;
  if ((size_t)objc - 1 > gs_func_nargs(fn->func) && gs_func_variadic(fn->func))
    return gst_error(interp,
                     Tcl_ObjPrintf("%s: arguments for '...' have no C type; declare the function "
                                   "with the arguments that it gets",
                                   fn->name),
                     "TYPE", fn->name, NULL);
  if ((size_t)objc - 1 != gs_func_nargs(fn->func)) return wrong_count(interp, fn->func, objv);
  call *c = new_call(fn->func);
  if (!c) return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
  for (int i = 0; i < objc - 1; i++)
    if (gst_to_c(interp, fn->state, objv[i + 1], gs_func_arg(fn->func, (size_t)i), &c->slots[i],
                 &c->owned[i], i + 1, fn->name) != TCL_OK) {
      destroy_call(&c->op);
      return TCL_ERROR;
    }
  c->op.work = perform;
  c->op.finish = finish_call;
  c->op.destroy = destroy_call;
  unsigned hints = gs_func_set_hints(fn->func, 0);
  gs_func_set_hints(fn->func, hints);
  if (!(hints & GS_SITE_CRITICAL)) return gst_operate(interp, fn->state, &c->op);
  c->op.state = fn->state;
  perform(&c->op);
  int code = finish_call(interp, &c->op);
  destroy_call(&c->op);
  return code;
}

static int call_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, call_nr, data, objc, objv);
}

/* ---- commands for declarations --------------------------------------------------------------- */

static void free_function(ClientData data) { free(data); }

static function *define(gst_state *s, gst_library *l, const char *name) {
  function *fn = calloc(1, sizeof(*fn));
  if (!fn) return NULL;
  *fn = (function){s, l->lib, NULL, name};
  Tcl_Obj *full = Tcl_ObjPrintf("%s::%s", Tcl_GetString(l->ns), name);
  Tcl_IncrRefCount(full);
  Tcl_NRCreateCommand(s->interp, Tcl_GetString(full), call_cmd, call_nr, fn, free_function);
  Tcl_DecrRefCount(full);
  return fn;
}

static bool define_new(gst_state *s, gst_library *l) {
  for (; l->defined < gs_ffi_ndecls(s->ffi); l->defined++) {
    const gs_decl *d = gs_ffi_decl(s->ffi, l->defined);
    if (gs_decl_what(d) == GS_DECL_FUNCTION && !define(s, l, gs_decl_name(d))) return false;
  }
  return true;
}

int gst_define_new(gst_state *s) {
  for (gst_library *l = s->libraries; l; l = l->next)
    if (!define_new(s, l))
      return gst_error(s->interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
  return TCL_OK;
}

void gst_libraries_free(gst_state *s) {
  while (s->libraries) {
    gst_library *l = s->libraries;
    s->libraries = l->next;
    Tcl_DecrRefCount(l->ns);
    free(l);
  }
}

/* ---- gosched::load --------------------------------------------------------------------------- */

/* "::gosched::lib::libc.so.6" */
static Tcl_Obj *namespace_for(const char *name) {
  Tcl_Obj *ns = Tcl_NewStringObj("::gosched::lib::", -1);
  for (const char *p = name; *p; p++) Tcl_AppendToObj(ns, *p == ':' ? "_" : p, 1);
  return ns;
}

static gst_library *library_for(gst_state *s, gs_lib *lib) {
  gst_library *l = s->libraries;
  while (l && l->lib != lib) l = l->next;
  if (l) return l;
  Tcl_Obj *ns = namespace_for(gs_lib_name(lib));
  Tcl_IncrRefCount(ns);
  if (!Tcl_FindNamespace(s->interp, Tcl_GetString(ns), NULL, TCL_GLOBAL_ONLY) &&
      !Tcl_CreateNamespace(s->interp, Tcl_GetString(ns), NULL, NULL)) {
    Tcl_DecrRefCount(ns);
    return NULL;
  }
  l = calloc(1, sizeof(*l));
  if (!l) {
    Tcl_DecrRefCount(ns);
    return NULL;
  }
  l->lib = lib;
  l->ns = ns;
  l->next = s->libraries;
  s->libraries = l;
  return l;
}

/* Gives the functions named in a list their hints. */
static int set_hints(Tcl_Interp *interp, gst_library *l, Tcl_Obj *names, unsigned hints) {
  int n;
  Tcl_Obj **words;
  if (Tcl_ListObjGetElements(interp, names, &n, &words) != TCL_OK) return TCL_ERROR;
  for (int i = 0; i < n; i++) {
    gs_ffi_error err;
    gs_func *f = NULL;
    if (gs_ffi_func(l->lib, Tcl_GetString(words[i]), &f, &err) != GS_OK)
      return gst_ffi_error(interp, &err, Tcl_GetString(words[i]));
    gs_func_set_hints(f, hints);
  }
  return TCL_OK;
}

int gst_load_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-blocking", "-critical", NULL};
  static const unsigned hints[] = {GS_SITE_BLOCKING, GS_SITE_CRITICAL};
  gst_state *s = state;
  gs_ffi_error err;
  gs_lib *lib = NULL;
  int option;
  if (objc < 2 || objc % 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "library ?-blocking names? ?-critical names?");
    return TCL_ERROR;
  }
  for (int i = 2; i < objc; i += 2)
    if (Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option) != TCL_OK)
      return TCL_ERROR;
  const char *name = Tcl_GetString(objv[1]);
  if (gs_ffi_load(s->ffi, *name ? name : NULL, &lib, &err) != GS_OK)
    return gst_ffi_error(interp, &err, name);
  gst_library *l = library_for(s, lib);
  if (!l || !define_new(s, l))
    return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
  for (int i = 2; i < objc; i += 2) {
    Tcl_GetIndexFromObj(NULL, objv[i], options, "option", 0, &option);
    if (set_hints(interp, l, objv[i + 1], hints[option]) != TCL_OK) return TCL_ERROR;
  }
  Tcl_SetObjResult(interp, l->ns);
  return TCL_OK;
}
