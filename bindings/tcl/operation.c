/* operation.c: blocking operations, and waiting for them.
 *
 *     home thread                          green thread (native domain)
 *     gst_operate: start; yield or serve   work()
 *                                          Tcl_ThreadQueueEvent, Tcl_ThreadAlert
 *     arrived(): done; resume the waiter
 *     finish(): the command's result
 *
 * The end comes as an event, and events are served only when nobody of this thread runs: so it
 * cannot come between starting and yielding.  A coroutine can be resumed by others too (it has a
 * command): then it yields again.  It can be deleted while it waits: Tcl then unwinds it, which
 * shows as an error out of the yield, and the operation goes on without a waiter.  And it may be
 * unable to yield, because C code is on its stack (lsort -command): then the event loop is served.
 */
#include <string.h>

#include "binding.h"

typedef struct arrival {
  Tcl_Event event; /* first: what Tcl knows */
  gst_operation *op;
} arrival;

static void release(gst_operation *op) {
  if (--op->refs > 0) return;
  gst_state *s = op->state;
  if (op->yield) Tcl_DecrRefCount(op->yield);
  op->destroy(op);
  gst_state_release(s);
}

/* ---- the end comes home ---------------------------------------------------------------------- */

static void resume(Tcl_Interp *interp, Tcl_Command coroutine) {
  Tcl_Obj *name = Tcl_NewObj();
  Tcl_IncrRefCount(name);
  Tcl_GetCommandFullName(interp, coroutine, name); /* it may have been renamed */
  Tcl_Preserve(interp);
  int code = Tcl_EvalObjv(interp, 1, &name, TCL_EVAL_GLOBAL);
  if (code != TCL_OK) Tcl_BackgroundException(interp, code);
  Tcl_Release(interp);
  Tcl_DecrRefCount(name);
}

static int arrived(Tcl_Event *event, int flags) {
  gst_operation *op = ((arrival *)event)->op;
  if (!(flags & TCL_FILE_EVENTS)) return 0;
  Tcl_Interp *interp = op->state->interp;
  bool waited_for = op->refs > 1;
  op->done = true;
  if (waited_for && op->coroutine && interp) resume(interp, op->coroutine);
  release(op);
  return 1;
}

/* The green thread's whole life. */
static void run(void *arg) {
  gst_operation *op = arg;
  Tcl_ThreadId home = op->home;
  op->work(op);
  arrival *a = (arrival *)Tcl_Alloc(sizeof(*a));
  memset(a, 0, sizeof(*a));
  a->event.proc = arrived;
  a->op = op;
  Tcl_ThreadQueueEvent(home, &a->event, TCL_QUEUE_TAIL);
  Tcl_ThreadAlert(home);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Outside a coroutine: serves events until the operation's own has come. */
static int serve_events(Tcl_Interp *interp, gst_operation *op) {
  int code = TCL_OK;
  op->coroutine = NULL;
  Tcl_Preserve(interp);
  while (!op->done && code == TCL_OK) {
    Tcl_DoOneEvent(TCL_ALL_EVENTS);
    if (Tcl_InterpDeleted(interp) || Tcl_Canceled(interp, TCL_LEAVE_ERR_MSG) != TCL_OK) {
      code = TCL_ERROR;
    } else if (Tcl_LimitExceeded(interp)) {
      Tcl_SetObjResult(interp, Tcl_NewStringObj("limit exceeded", -1));
      code = TCL_ERROR;
    }
  }
  if (op->done && code == TCL_OK) {
    Tcl_ResetResult(interp);
    code = op->finish(interp, op);
  }
  Tcl_Release(interp);
  release(op);
  return code;
}

/* Whether the error in the interpreter is that C code on the stack keeps it from yielding. */
static bool cannot_yield(Tcl_Interp *interp) {
  Tcl_Obj *options = Tcl_GetReturnOptions(interp, TCL_ERROR), *code = NULL;
  Tcl_Obj *key = Tcl_NewStringObj("-errorcode", -1);
  Tcl_IncrRefCount(options);
  Tcl_IncrRefCount(key);
  Tcl_DictObjGet(NULL, options, key, &code);
  bool yes = code && strcmp(Tcl_GetString(code), "TCL COROUTINE CANT_YIELD") == 0;
  Tcl_DecrRefCount(key);
  Tcl_DecrRefCount(options);
  return yes;
}

static int resumed(ClientData data[], Tcl_Interp *interp, int result);

static int yield(Tcl_Interp *interp, gst_operation *op) {
  Tcl_ResetResult(interp);
  Tcl_NRAddCallback(interp, resumed, op, NULL, NULL, NULL);
  return Tcl_NREvalObjv(interp, 1, &op->yield, TCL_EVAL_GLOBAL);
}

static int resumed(ClientData data[], Tcl_Interp *interp, int result) {
  gst_operation *op = data[0];
  if (result == TCL_OK && !op->done) return yield(interp, op);
  if (result == TCL_OK) {
    Tcl_ResetResult(interp);
    result = op->finish(interp, op);
  } else if (!op->done && cannot_yield(interp)) {
    return serve_events(interp, op);
  }
  op->coroutine = NULL;
  release(op);
  return result;
}

/* The coroutine that runs, or NULL. */
static Tcl_Command current_coroutine(Tcl_Interp *interp) {
  if (Tcl_EvalEx(interp, "::info coroutine", -1, TCL_EVAL_GLOBAL) != TCL_OK) return NULL;
  Tcl_Obj *name = Tcl_GetObjResult(interp);
  Tcl_IncrRefCount(name);
  Tcl_Command found = *Tcl_GetString(name) ? Tcl_GetCommandFromObj(interp, name) : NULL;
  Tcl_DecrRefCount(name);
  Tcl_ResetResult(interp);
  return found;
}

int gst_operate(Tcl_Interp *interp, gst_state *s, gst_operation *op) {
  op->state = s;
  op->home = Tcl_GetCurrentThread();
  op->refs = 2;
  s->refs++;
  op->coroutine = current_coroutine(interp);
  op->yield = Tcl_NewStringObj("::yield", -1);
  Tcl_IncrRefCount(op->yield);
  if (gst_go(interp, run, op) != TCL_OK) {
    op->refs = 1;
    release(op);
    return TCL_ERROR;
  }
  return op->coroutine ? yield(interp, op) : serve_events(interp, op);
}
