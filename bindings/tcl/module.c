/* module.c: the package gosched, and what belongs to an interpreter.
 *
 * Commands are made in each interpreter that loads the package; all of them share its gst_state.
 * The state outlives the interpreter until the last operation that was under way has come home.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* ---- errors ---------------------------------------------------------------------------------- */

int gst_error(Tcl_Interp *interp, Tcl_Obj *message, ...) {
  Tcl_Obj *code = Tcl_NewListObj(0, NULL);
  Tcl_ListObjAppendElement(NULL, code, Tcl_NewStringObj("GOSCHED", -1));
  va_list ap;
  va_start(ap, message);
  for (const char *word = va_arg(ap, const char *); word; word = va_arg(ap, const char *))
    Tcl_ListObjAppendElement(NULL, code, Tcl_NewStringObj(word, -1));
  va_end(ap);
  Tcl_SetObjResult(interp, message);
  Tcl_SetObjErrorCode(interp, code);
  return TCL_ERROR;
}

int gst_ffi_error(Tcl_Interp *interp, const gs_ffi_error *err, const char *subject) {
  Tcl_Obj *text = Tcl_NewStringObj(err->text, -1);
  char line[16], column[16];
  snprintf(line, sizeof(line), "%d", err->line);
  snprintf(column, sizeof(column), "%d", err->column);
  switch (err->code) {
    case GS_EDECL: return gst_error(interp, text, "FFI", "DECL", line, column, NULL);
    case GS_ENOLIB: return gst_error(interp, text, "FFI", "LIBRARY", subject, NULL);
    case GS_ENOSYM: return gst_error(interp, text, "FFI", "SYMBOL", subject, NULL);
    case GS_ETYPE:
      if (err->line) return gst_error(interp, text, "TYPE", line, column, NULL);
      return gst_error(interp, text, "TYPE", subject, NULL);
    case GS_ENOMEM: return gst_error(interp, text, "MEMORY", NULL);
    default: return gst_error(interp, text, "FFI", "ARGUMENT", subject, NULL);
  }
}

/* ---- small commands -------------------------------------------------------------------------- */

static int cdef_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gs_ffi_error err;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "declarations");
    return TCL_ERROR;
  }
  if (gs_ffi_cdef(s->ffi, Tcl_GetString(objv[1]), &err) != GS_OK)
    return gst_ffi_error(interp, &err, "cdef");
  return gst_define_new(s);
}

/* gosched::errno: of the foreign call that ended last; read it before waiting for another one. */
static int errno_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  Tcl_SetObjResult(interp, Tcl_NewIntObj(((gst_state *)state)->saved_errno));
  return TCL_OK;
}

#define METRIC(name) \
  { #name, offsetof(gs_metrics, name) }

static const struct metric {
  const char *name;
  size_t offset;
} metrics[] = {
    METRIC(gs_live),       METRIC(threads),           METRIC(threads_idle), METRIC(incgo),
    METRIC(procs),         METRIC(procs_idle),        METRIC(gs_created),   METRIC(threads_created),
    METRIC(threads_max),   METRIC(cgocalls),          METRIC(exits_fast),   METRIC(exits_idle_p),
    METRIC(exits_slow),    METRIC(retakes),           METRIC(retakes_user), METRIC(retakes_failed),
    METRIC(handoffs),      METRIC(handoffs_entry),    METRIC(steals),       METRIC(switches),
    METRIC(parks),         METRIC(sysmon_ticks),      METRIC(sysmon_pokes), METRIC(barriers),
    METRIC(stacks_mapped), METRIC(thread_limit_hits),
};

/* gosched::stats: a dictionary of the fields of gs_metrics. */
static int stats_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)state;
  gs_metrics m = {.size = sizeof(m)};
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  gs_read_metrics(&m);
  Tcl_Obj *dict = Tcl_NewDictObj();
  for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
    uint64_t value;
    memcpy(&value, (const char *)&m + metrics[i].offset, sizeof(value));
    Tcl_DictObjPut(NULL, dict, Tcl_NewStringObj(metrics[i].name, -1),
                   Tcl_NewWideIntObj((Tcl_WideInt)value));
  }
  Tcl_SetObjResult(interp, dict);
  return TCL_OK;
}

/* ---- gosched::sleep -------------------------------------------------------------------------- */

typedef struct nap {
  gst_operation op; /* first */
  int64_t ns;
} nap;

static void take_nap(gst_operation *op) { gs_sleep(((nap *)op)->ns); }
static void destroy_nap(gst_operation *op) { free(op); }

static int finish_nap(Tcl_Interp *interp, gst_operation *op) {
  (void)interp;
  (void)op;
  return TCL_OK;
}

static int sleep_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  double ms;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "milliseconds");
    return TCL_ERROR;
  }
  if (Tcl_GetDoubleFromObj(NULL, objv[1], &ms) != TCL_OK || ms < 0 || ms > 9e12)
    return gst_error(interp,
                     Tcl_ObjPrintf("milliseconds is \"%.60s\", expected a number from 0 on",
                                   Tcl_GetString(objv[1])),
                     "ARGUMENT", "milliseconds", NULL);
  nap *n = calloc(1, sizeof(*n));
  if (!n) return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
  n->op.work = take_nap;
  n->op.finish = finish_nap;
  n->op.destroy = destroy_nap;
  n->ns = (int64_t)(ms * 1e6);
  return gst_operate(interp, state, &n->op);
}

static int sleep_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, sleep_nr, state, objc, objv);
}

/* ---- the package ----------------------------------------------------------------------------- */

void gst_state_release(gst_state *s) {
  if (--s->refs > 0) return;
  gst_libraries_free(s);
  gs_ffi_free(s->ffi);
  free(s);
}

static void interp_deleted(ClientData state, Tcl_Interp *interp) {
  gst_state *s = state;
  (void)interp;
  s->interp = NULL;
  gst_state_release(s);
}

static gst_state *new_state(Tcl_Interp *interp) {
  gst_state *s = calloc(1, sizeof(*s));
  if (!s) return NULL;
  s->interp = interp;
  s->refs = 1;
  s->ffi = gs_ffi_new();
  if (s->ffi) return s;
  free(s);
  return NULL;
}

DLLEXPORT int Gosched_Init(Tcl_Interp *interp);

int Gosched_Init(Tcl_Interp *interp) {
  if (!Tcl_InitStubs(interp, "8.6", 0)) return TCL_ERROR;
  gst_state *s = new_state(interp);
  if (!s) return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
  Tcl_SetAssocData(interp, "gosched", interp_deleted, s);
  Tcl_CreateNamespace(interp, "::gosched", NULL, NULL);
  Tcl_CreateNamespace(interp, "::gosched::lib", NULL, NULL);
  Tcl_CreateObjCommand(interp, "::gosched::cdef", cdef_cmd, s, NULL);
  Tcl_CreateObjCommand(interp, "::gosched::load", gst_load_cmd, s, NULL);
  Tcl_CreateObjCommand(interp, "::gosched::errno", errno_cmd, s, NULL);
  Tcl_CreateObjCommand(interp, "::gosched::stats", stats_cmd, s, NULL);
  Tcl_NRCreateCommand(interp, "::gosched::sleep", sleep_cmd, sleep_nr, s, NULL);
  return Tcl_PkgProvide(interp, "gosched", gs_version());
}
