/* guest.c: Tcl as a guest of gs_embed: the plugin gosched-guest-tcl.so; for Tcl 9
 * gosched-guest-tcl9.so.
 *
 * A fresh interpreter on the guest's own thread evaluates the source at its top level, with the
 * package gosched loaded.  Tcl's green threads need no main one: whoever waits there serves the
 * thread's event loop.
 *
 * Cancelling is Tcl_CancelEval, which any thread may call; it interrupts a computation, too.  exit
 * does the same from within, after it has noted the status.
 *
 * The end of the process.  Once Tcl exits, it aborts where another thread makes its first
 * interpreter (TclInitSubsystems), and it says so to nobody before.  So its exit comes by here: it
 * waits for a guest that is making one, and those that have not yet begun are cancelled.  Which of
 * the two comes first is decided by `mutex`.
 *
 * In a program that is a Tcl itself the library is the same, and initialised already.  It must be
 * of the version that this is compiled for: both versions have the same names of functions, and the
 * first one in the process is used.
 */
#include <pthread.h>
#include <stdlib.h>

#include "../guest/guest.h"
#include "compat.h"

static const void *library(void) { return gs_guest_library(); }

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of what makes interpreters */
static bool exiting;                                      /* mutex */
static Tcl_ExitProc *exit_before;                         /* write-once, at the beginning */

/* Instead of Tcl's own exit, which comes then. */
static TCL_NORETURN void exit_here(ClientData status) {
  pthread_mutex_lock(&mutex);
  exiting = true;
  pthread_mutex_unlock(&mutex);
  Tcl_SetExitProc(exit_before);
  Tcl_Exit((int)(intptr_t)status);
}

static int begin(void) {
  static bool done;
  int major;
  if (done) return GS_OK;
  Tcl_GetVersion(&major, NULL, NULL, NULL);
  if (major != TCL_MAJOR_VERSION)
    return gs_fail(GS_EABI, "gs_embed: this process has Tcl %d already, and the guest \"%s\" is %d",
                   major, GST_GUEST, TCL_MAJOR_VERSION);
  guest_make_global((const void *)(uintptr_t)&Tcl_CreateInterp);
  exit_before = Tcl_SetExitProc(exit_here);
  done = true;
  return GS_OK;
}

/* Encodings and the like, which Tcl wants to be set up once in a process, before anything else but
 * the first interpreter.  In a Tcl program that has been done.  NULL: the process exits. */
static Tcl_Interp *new_interp(void) {
  Tcl_Interp *interp = NULL;
  pthread_mutex_lock(&mutex);
  if (!exiting) {
    interp = Tcl_CreateInterp();
    if (!Tcl_GetNameOfExecutable()) Tcl_FindExecutable("/proc/self/exe");
  }
  pthread_mutex_unlock(&mutex);
  return interp;
}

static void stop(void *interp) { Tcl_CancelEval(interp, NULL, NULL, TCL_CANCEL_UNWIND); }

/* exit ?status? */
static int exit_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  int status = 0;
  if (objc > 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "?returnCode?");
    return TCL_ERROR;
  }
  if (objc == 2 && Tcl_GetIntFromObj(interp, objv[1], &status) != TCL_OK) return TCL_ERROR;
  gs_guest_exited(data, status);
  stop(interp);
  Tcl_SetObjResult(interp, Tcl_NewStringObj("exit", -1));
  return TCL_ERROR;
}

static void set(Tcl_Interp *interp, const char *name, Tcl_Obj *value) {
  Tcl_SetVar2Ex(interp, name, NULL, value, TCL_GLOBAL_ONLY);
}

static void set_args(Tcl_Interp *interp, gs_guest *g) {
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  int n = 0;
  for (const char *const *a = gs_guest_args(g); *a; a++, n++)
    Tcl_ListObjAppendElement(NULL, list, Tcl_NewStringObj(*a, -1));
  set(interp, "argv", list);
  set(interp, "argc", Tcl_NewIntObj(n));
  set(interp, "argv0", Tcl_NewStringObj(gs_guest_name(g), -1));
  set(interp, "tcl_interactive", Tcl_NewIntObj(0));
}

static int set_up(Tcl_Interp *interp, gs_guest *g) {
  char dir[PATH_MAX];
  if (Tcl_Init(interp) != TCL_OK) return TCL_ERROR;
  if (guest_binding_dir(dir, "pkgIndex.tcl")) {
    Tcl_Obj *path = Tcl_GetVar2Ex(interp, "auto_path", NULL, TCL_GLOBAL_ONLY);
    Tcl_Obj *first = Tcl_NewStringObj(dir, -1), *list = Tcl_NewListObj(1, &first);
    if (path) Tcl_ListObjAppendList(NULL, list, path);
    set(interp, "auto_path", list);
  }
  Tcl_CreateObjCommand(interp, "::exit", exit_cmd, g, NULL);
  set_args(interp, g);
  return Tcl_EvalEx(interp, "package require gosched", -1, TCL_EVAL_GLOBAL);
}

static const char *option(Tcl_Obj *options, const char *name) {
  Tcl_Obj *key = Tcl_NewStringObj(name, -1), *value = NULL;
  Tcl_IncrRefCount(key);
  Tcl_DictObjGet(NULL, options, key, &value);
  Tcl_DecrRefCount(key);
  return value ? Tcl_GetString(value) : "";
}

/* Tcl's texts have a zero as two bytes, and characters beyond the first 65536 as two of three. */
static void say_returned(gs_guest *g, Tcl_Obj *value) {
  Tcl_DString utf8;
  Tcl_Encoding encoding = Tcl_GetEncoding(NULL, "utf-8");
  Tcl_Size n;
  const char *text = Tcl_GetStringFromObj(value, &n);
  Tcl_UtfToExternalDString(encoding, text, n, &utf8);
  gs_guest_returned(g, Tcl_DStringValue(&utf8), (size_t)Tcl_DStringLength(&utf8));
  Tcl_DStringFree(&utf8);
  Tcl_FreeEncoding(encoding);
}

static void say(Tcl_Interp *interp, gs_guest *g, int code) {
  if (code == TCL_OK || code == TCL_RETURN) {
    say_returned(g, Tcl_GetObjResult(interp));
    return;
  }
  Tcl_Obj *options = Tcl_GetReturnOptions(interp, code);
  Tcl_IncrRefCount(options);
  if (Tcl_Canceled(interp, 0) != TCL_OK ||
      strncmp(option(options, "-errorcode"), "TCL CANCEL", 10) == 0)
    gs_guest_cancelled(g);
  else
    gs_guest_failed(g, Tcl_GetStringResult(interp), option(options, "-errorinfo"));
  Tcl_DecrRefCount(options);
}

/* The source is evaluated by a command: to Tcl a cancellation that comes while nothing is evaluated
 * concerns nobody, and would be forgotten. */
static int source_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gs_guest *g = data;
  (void)objc;
  (void)objv;
  gs_guest_on_cancel(g, stop, interp);
  say(interp, g, Tcl_EvalEx(interp, gs_guest_source(g), -1, TCL_EVAL_GLOBAL));
  gs_guest_on_cancel(g, NULL, NULL);
  return TCL_OK;
}

static void run(gs_guest *g) {
  Tcl_Interp *interp = new_interp();
  if (!interp) {
    gs_guest_cancelled(g);
    return;
  }
  Tcl_Preserve(interp);
  int code = set_up(interp, g);
  if (code == TCL_OK) {
    Tcl_CreateObjCommand(interp, "::gosched::Source", source_cmd, g, NULL);
    Tcl_EvalEx(interp, "::gosched::Source", -1, TCL_EVAL_GLOBAL);
  } else {
    say(interp, g, code);
  }
  Tcl_DeleteInterp(interp);
  Tcl_Release(interp);
  Tcl_FinalizeThread();
}

static void end(void) {}

GUEST_EXPORT extern const gs_guest_plugin gosched_guest;
const gs_guest_plugin gosched_guest = {
    sizeof gosched_guest, GS_GUEST_ABI, GST_GUEST, library, begin, run, end,
};
