/* embed.c: gosched::embed: interpreters of other languages as guests of this process.
 *
 * A guest is a command.  Starting one and waiting for its end are blocking operations
 * (operation.c): they are done on a green thread of the scheduler, so that the event loop goes on.
 * Deleting the command, which the end of the interpreter does, cancels the guest and does not wait
 * for it.
 *
 * At the exit of the process Tcl takes itself apart, also under a guest that is another Tcl
 * interpreter; so guests are ended before that.
 */
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define EXIT_PATIENCE_NS ((int64_t)1000000000)

/* The guest of a command. */
typedef struct guest {
  gs_guest *g;
  gst_state *state;
  Tcl_Command command; /* NULL: it was deleted */
  char *language;
  int refs; /* atomic: the command, and each wait */
} guest;

static guest *retain(guest *x) {
  __atomic_fetch_add(&x->refs, 1, __ATOMIC_RELAXED);
  return x;
}

static void release(guest *x) {
  if (__atomic_sub_fetch(&x->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gs_guest_release(x->g);
  gst_state_release(x->state);
  free(x->language);
  free(x);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* A value's text in UTF-8, which Tcl's own form is not for all characters; NULL: no memory. */
static char *external(Tcl_Obj *value) {
  Tcl_DString utf8;
  Tcl_Size n;
  const char *text = Tcl_GetStringFromObj(value, &n);
  Tcl_Encoding encoding = Tcl_GetEncoding(NULL, "utf-8");
  Tcl_UtfToExternalDString(encoding, text, n, &utf8);
  char *copy = strdup(Tcl_DStringValue(&utf8));
  Tcl_DStringFree(&utf8);
  Tcl_FreeEncoding(encoding);
  return copy;
}

static Tcl_Obj *internal(const char *text, size_t n) {
  Tcl_DString tcl;
  Tcl_Encoding encoding = Tcl_GetEncoding(NULL, "utf-8");
  Tcl_ExternalToUtfDString(encoding, text, (Tcl_Size)n, &tcl);
  Tcl_Obj *value = Tcl_NewStringObj(Tcl_DStringValue(&tcl), Tcl_DStringLength(&tcl));
  Tcl_DStringFree(&tcl);
  Tcl_FreeEncoding(encoding);
  return value;
}

/* ---- waiting for its end --------------------------------------------------------------------- */

typedef struct join {
  gst_operation op; /* first */
  guest *guest;
  int code;
} join;

static void join_work(gst_operation *op) {
  join *j = (join *)op;
  j->code = gs_guest_join(j->guest->g, GS_FOREVER);
}

static void join_stop(gst_operation *op, gst_why why) {
  (void)why;
  gs_cancel(op->handle);
}

static void join_destroy(gst_operation *op) {
  release(((join *)op)->guest);
  free(op);
}

static int outcome(Tcl_Interp *interp, const guest *x) {
  gs_guest_end end = {.size = sizeof(end)};
  char status[16];
  gs_guest_result(x->g, &end);
  switch (end.how) {
    case GS_GUEST_RETURNED: Tcl_SetObjResult(interp, gst_carried_from(end.value)); return TCL_OK;
    case GS_GUEST_CANCELLED:
      return gst_error(interp, Tcl_ObjPrintf("the %s guest was cancelled", x->language),
                       "CANCELLED", NULL);
    case GS_GUEST_EXITED:
      if (end.status == 0) return TCL_OK;
      snprintf(status, sizeof(status), "%d", end.status);
      return gst_error(interp,
                       Tcl_ObjPrintf("the %s guest has exited with status %s", x->language, status),
                       "GUEST", x->language, "EXIT", status, NULL);
    default: break;
  }
  gst_error(interp, internal(end.text, end.length), "GUEST", x->language, NULL);
  if (*end.trace) {
    Tcl_Obj *trace = internal(end.trace, strlen(end.trace));
    Tcl_IncrRefCount(trace);
    Tcl_AddErrorInfo(interp, "\n");
    Tcl_AppendObjToErrorInfo(interp, trace);
    Tcl_DecrRefCount(trace);
    Tcl_Obj *line = Tcl_ObjPrintf("\n    (%s guest)", x->language);
    Tcl_IncrRefCount(line);
    Tcl_AppendObjToErrorInfo(interp, line);
    Tcl_DecrRefCount(line);
  }
  return TCL_ERROR;
}

static int join_finish(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  join *j = (join *)w;
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  if (j->code == GS_OK) return outcome(interp, j->guest);
  return gst_error(interp, Tcl_ObjPrintf("the guest: %s", gs_strerror(j->code)),
                   j->code == GS_ECANCELED ? "CANCELLED" : "RUNTIME", NULL);
}

static int join_nr(guest *x, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  double ms = -1;
  if (objc != 2 && (objc != 4 || strcmp(Tcl_GetString(objv[2]), "-timeout") != 0)) {
    Tcl_WrongNumArgs(interp, 2, objv, "?-timeout ms?");
    return TCL_ERROR;
  }
  if (objc == 4 && gst_get_ms(interp, objv[3], "-timeout", &ms) != TCL_OK) return TCL_ERROR;
  if (gs_guest_done(x->g)) return outcome(interp, x);
  join *j = calloc(1, sizeof(*j));
  if (!j) return gst_no_memory(interp);
  j->op.w.reason = "guest join";
  j->op.w.finish = join_finish;
  j->op.work = join_work;
  j->op.destroy = join_destroy;
  j->op.unblock = join_stop;
  j->op.keep_handle = true;
  j->guest = retain(x);
  return gst_operate(interp, x->state, &j->op, ms);
}

/* ---- its command ----------------------------------------------------------------------------- */

static const char *state_of(const guest *x) {
  static const char *const names[] = {"returned", "failed", "exited", "cancelled"};
  gs_guest_end end = {.size = sizeof(end)};
  return gs_guest_result(x->g, &end) == GS_OK ? names[end.how] : "running";
}

static int guest_nr(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const names[] = {"cancel", "destroy", "join", "state", NULL};
  guest *x = data;
  int index;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "subcommand ?arg ...?");
    return TCL_ERROR;
  }
  if (Tcl_GetIndexFromObj(interp, objv[1], names, "subcommand", 0, &index) != TCL_OK)
    return TCL_ERROR;
  if (index == 2) return join_nr(x, interp, objc, objv);
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 2, objv, NULL);
    return TCL_ERROR;
  }
  if (index == 0) gs_guest_cancel(x->g);
  if (index == 1) Tcl_DeleteCommandFromToken(interp, x->command);
  if (index == 3) Tcl_SetObjResult(interp, Tcl_NewStringObj(state_of(x), -1));
  return TCL_OK;
}

static int guest_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, guest_nr, data, objc, objv);
}

static void deleted(ClientData data) {
  guest *x = data;
  x->command = NULL;
  gs_guest_cancel(x->g);
  release(x);
}

/* ---- starting one ---------------------------------------------------------------------------- */

typedef struct start {
  gst_operation op; /* first */
  char *language, *source, *name;
  char **args;
  gs_guest *g; /* once it runs, until somebody has it */
  int code;
  char detail[256];
} start;

static void start_work(gst_operation *op) {
  start *x = (start *)op;
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  opts.name = x->name;
  opts.args = (const char *const *)x->args;
  const char *plugin = strcmp(x->language, "tcl") == 0 ? GST_GUEST : x->language;
  x->code = gs_embed(plugin, x->source, &opts, &x->g);
  if (x->code != GS_OK) snprintf(x->detail, sizeof(x->detail), "%s", gs_error_detail());
}

static void start_free(start *x) {
  if (x->g) gs_guest_cancel(x->g);
  gs_guest_release(x->g);
  for (char **a = x->args; a && *a; a++) free(*a);
  free(x->args);
  free(x->language);
  free(x->source);
  free(x->name);
  free(x);
}

static void start_destroy(gst_operation *op) { start_free((start *)op); }

static void at_exit(ClientData unused) {
  (void)unused;
  gs_guests_end(gs_now() + EXIT_PATIENCE_NS);
}

static int start_finish(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  start *x = (start *)w;
  gst_state *s = w->state;
  static int registered; /* atomic */
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  if (x->code != GS_OK)
    return gst_error(interp, Tcl_NewStringObj(x->detail, -1),
                     x->code == GS_EINVAL ? "ARGUMENT" : "GUEST", x->language, NULL);
  guest *made = calloc(1, sizeof(*made));
  if (!made) return gst_no_memory(interp);
  if (!__atomic_exchange_n(&registered, 1, __ATOMIC_RELAXED)) Tcl_CreateExitHandler(at_exit, NULL);
  made->g = x->g;
  made->language = x->language;
  made->refs = 1;
  made->state = gst_state_retain(s);
  x->g = NULL;
  x->language = NULL;
  Tcl_Obj *name = Tcl_ObjPrintf("::gosched::guest::%lu", ++s->home->counter);
  made->command =
      Tcl_NRCreateCommand(interp, Tcl_GetString(name), guest_cmd, guest_nr, made, deleted);
  Tcl_SetObjResult(interp, name);
  return TCL_OK;
}

static int args_of(Tcl_Interp *interp, Tcl_Obj *list, start *x) {
  Tcl_Size n;
  Tcl_Obj **words;
  if (Tcl_ListObjGetElements(interp, list, &n, &words) != TCL_OK) return TCL_ERROR;
  x->args = calloc((size_t)n + 1, sizeof(*x->args));
  for (Tcl_Size i = 0; x->args && i < n; i++)
    if (!(x->args[i] = external(words[i]))) return gst_no_memory(interp);
  return x->args ? TCL_OK : gst_no_memory(interp);
}

/* gosched::embed language source ?-name name? ?-args list? */
static int embed_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-args", "-name", NULL};
  gst_state *s = state;
  int option;
  if (objc < 3 || objc % 2 == 0) {
    Tcl_WrongNumArgs(interp, 1, objv, "language source ?-name name? ?-args list?");
    return TCL_ERROR;
  }
  start *x = calloc(1, sizeof(*x));
  if (!x) return gst_no_memory(interp);
  int code = TCL_OK;
  for (int i = 3; i < objc && code == TCL_OK; i += 2) {
    code = Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option);
    if (code == TCL_OK && option == 0 && !x->args) code = args_of(interp, objv[i + 1], x);
    if (code == TCL_OK && option == 1 && !x->name && !(x->name = external(objv[i + 1])))
      code = gst_no_memory(interp);
  }
  if (code == TCL_OK && (!(x->language = external(objv[1])) || !(x->source = external(objv[2]))))
    code = gst_no_memory(interp);
  if (code != TCL_OK) {
    start_free(x);
    return code;
  }
  x->op.w.reason = "embed";
  x->op.w.finish = start_finish;
  x->op.work = start_work;
  x->op.destroy = start_destroy;
  return gst_operate(interp, s, &x->op, -1);
}

static int embed_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, embed_nr, state, objc, objv);
}

/* gosched::result value ?-as type?: what the host of this guest gets, if the source ends well. */
static int result_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gs_value v;
  if ((objc != 2 && objc != 4) || (objc == 4 && strcmp(Tcl_GetString(objv[2]), "-as") != 0)) {
    Tcl_WrongNumArgs(interp, 1, objv, "value ?-as type?");
    return TCL_ERROR;
  }
  if (!data)
    return gst_error(interp, Tcl_NewStringObj("this interpreter is no guest", -1), "RUNTIME", NULL);
  if (gst_carry(interp, objv[1], objc == 4 ? objv[3] : NULL, &v) != TCL_OK) return TCL_ERROR;
  gs_guest_value(data, &v);
  Tcl_SetObjResult(interp, objv[1]);
  return TCL_OK;
}

void gst_embed_init(gst_state *s) {
  Tcl_CreateObjCommand(s->interp, "::gosched::result", result_cmd, gs_guest_here(), NULL);
  Tcl_CreateNamespace(s->interp, "::gosched::guest", NULL, NULL);
  gst_command(s, "::gosched::embed", embed_nr, embed_cmd);
}
