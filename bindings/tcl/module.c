/* module.c: the package gosched, and what belongs to an interpreter.
 *
 * Commands are made in each interpreter that loads the package; all of them share its gst_state.
 * The state outlives the interpreter until the last operation that was under way has ended, which
 * may be on another thread; what is Tcl's in it goes with the interpreter.
 *
 * Unloading takes the commands and what they have made out of the interpreter.  This library stays
 * mapped (it is linked with nodelete), since calls may be under way in it, and so does the
 * scheduler.  Safe interpreters are refused: who can call any C function is not safe.
 */
#include <stdarg.h>
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

int gst_no_memory(Tcl_Interp *interp) {
  return gst_error(interp, Tcl_NewStringObj("memory is exhausted", -1), "MEMORY", NULL);
}

int gst_get_ms(Tcl_Interp *interp, Tcl_Obj *value, const char *name, double *ms) {
  if (Tcl_GetDoubleFromObj(NULL, value, ms) == TCL_OK && *ms >= 0 && *ms <= 9e12) return TCL_OK;
  bool option = *name == '-';
  return gst_error(interp,
                   Tcl_ObjPrintf("%s is \"%.60s\", expected %s from 0 on", name,
                                 Tcl_GetString(value), option ? "milliseconds" : "a number"),
                   "ARGUMENT", name, NULL);
}

/* ---- small commands -------------------------------------------------------------------------- */

static int cdef_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gs_ffi_error err;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "declarations");
    return TCL_ERROR;
  }
  gst_space *sp = gst_space_make(s);
  if (!sp) return TCL_ERROR;
  if (gs_ffi_cdef(sp->ffi, Tcl_GetString(objv[1]), &err) != GS_OK)
    return gst_space_error(interp, sp, &err, "cdef");
  gst_space_declared(sp);
  return gst_define_new(s);
}

/* gosched::errno: of this green thread's last foreign call. */
static int errno_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  const gst_state *s = state;
  const gst_context *c = s->in_latest ? &s->latest : gst_context_here(state);
  Tcl_SetObjResult(interp, Tcl_NewIntObj(c->saved_errno));
  return TCL_OK;
}

/* ---- commands that wait ---------------------------------------------------------------------- */

/* Made by a macro, since what Tcl calls without its NR engine must name what that engine calls. */
#define PLAIN(name)                                                                            \
  static int name##_plain(ClientData d, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) { \
    return Tcl_NRCallObjProc(interp, gst_##name##_nr, d, objc, objv);                          \
  }

PLAIN(go)
PLAIN(join)
PLAIN(yield)
PLAIN(sleep)
PLAIN(timeout)
PLAIN(os_thread)
PLAIN(wait)
PLAIN(chan)
PLAIN(select)

static const struct command {
  const char *name;
  Tcl_ObjCmdProc *nr, *plain; /* nr NULL: it never waits */
} commands[] = {
    {"::gosched::go", gst_go_nr, go_plain},
    {"::gosched::join", gst_join_nr, join_plain},
    {"::gosched::yield", gst_yield_nr, yield_plain},
    {"::gosched::sleep", gst_sleep_nr, sleep_plain},
    {"::gosched::timeout", gst_timeout_nr, timeout_plain},
    {"::gosched::os_thread", gst_os_thread_nr, os_thread_plain},
    {"::gosched::wait", gst_wait_nr, wait_plain},
    {"::gosched::chan", gst_chan_nr, chan_plain},
    {"::gosched::select", gst_select_nr, select_plain},
    {"::gosched::shared", NULL, gst_shared_cmd},
    {"::gosched::cdef", NULL, cdef_cmd},
    {"::gosched::errno", NULL, errno_cmd},
    {"::gosched::load", NULL, gst_load_nr},
    {"::gosched::bind", NULL, gst_bind_nr},
    {"::gosched::symbol", NULL, gst_symbol_nr},
    {"::gosched::callback", NULL, gst_callback_nr},
};

void gst_command(gst_state *s, const char *name, Tcl_ObjCmdProc *nr, Tcl_ObjCmdProc *plain) {
  if (nr)
    Tcl_NRCreateCommand(s->interp, name, plain, nr, s, NULL);
  else
    Tcl_CreateObjCommand(s->interp, name, plain, s, NULL);
}

/* ---- the state ------------------------------------------------------------------------------- */

gst_state *gst_state_retain(gst_state *s) {
  __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
  return s;
}

void gst_state_release(gst_state *s) {
  if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gst_space_release(s->global);
  gst_mailbox_release(s->box);
  free(s);
}

/* At home: nothing of the interpreter's is used any more. */
static void interp_deleted(ClientData state, Tcl_Interp *interp) {
  gst_state *s = state;
  s->interp = NULL;
  gst_state **at = &s->home->states;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  gst_blocks_free(s);
  Tcl_DeleteHashTable(&s->blocks);
  gst_greens_free(s);
  gst_channels_free(s);
  gst_libraries_free(s);
  gst_spaces_free(s, interp);
  s->gone = true;
  if (!s->calling) gst_state_release(s);
}

static gst_state *new_state(Tcl_Interp *interp) {
  gst_home *home = gst_home_here();
  gst_state *s = home ? calloc(1, sizeof(*s)) : NULL;
  if (!s) return NULL;
  if (!gst_spaces_init(s)) {
    free(s);
    return NULL;
  }
  s->interp = interp;
  s->home = home;
  s->box = gst_mailbox_retain(home->box);
  s->refs = 1;
  s->top = &s->top_first;
  s->deadlocks = true;
  s->next = home->states;
  home->states = s;
  Tcl_InitHashTable(&s->blocks, TCL_ONE_WORD_KEYS);
  Tcl_InitHashTable(&s->channels, TCL_ONE_WORD_KEYS);
  return s;
}

/* ---- the package ----------------------------------------------------------------------------- */

DLLEXPORT int Gosched_Init(Tcl_Interp *interp);
DLLEXPORT int Gosched_SafeInit(Tcl_Interp *interp);
DLLEXPORT int Gosched_Unload(Tcl_Interp *interp, int flags);
DLLEXPORT int Gosched_SafeUnload(Tcl_Interp *interp, int flags);

int Gosched_Init(Tcl_Interp *interp) {
  if (!Tcl_InitStubs(interp, GST_TCL_VERSION, 0)) return TCL_ERROR;
  if (Tcl_IsSafe(interp)) return Gosched_SafeInit(interp);
  if (Tcl_GetAssocData(interp, "gosched", NULL)) return TCL_OK;
  gst_state *s = new_state(interp);
  if (!s) return gst_no_memory(interp);
  Tcl_SetAssocData(interp, "gosched", interp_deleted, s);
  Tcl_CreateNamespace(interp, "::gosched", NULL, NULL);
  Tcl_CreateNamespace(interp, "::gosched::lib", NULL, NULL);
  Tcl_CreateNamespace(interp, "::gosched::green", NULL, NULL);
  Tcl_CreateNamespace(interp, "::gosched::channel", NULL, NULL);
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    gst_command(s, commands[i].name, commands[i].nr, commands[i].plain);
  gst_green_init(s);
  gst_memory_init(s);
  gst_inspect_init(s);
  gst_embed_init(s);
  return Tcl_PkgProvide(interp, "gosched", gs_version());
}

int Gosched_SafeInit(Tcl_Interp *interp) {
  if (!Tcl_InitStubs(interp, GST_TCL_VERSION, 0)) return TCL_ERROR;
  return gst_error(interp,
                   Tcl_NewStringObj("gosched cannot be used in a safe interpreter: it calls any C "
                                    "function; make aliases of the commands that are safe",
                                    -1),
                   "SAFE", NULL);
}

/* The hidden command gosched_again, for pkgIndex.tcl: see there. */
static int again_cmd(ClientData unused, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)unused;
  (void)objc;
  (void)objv;
  return Gosched_Init(interp);
}

static void leave_again(Tcl_Interp *interp) {
  static const char name[] = "gosched_again";
  if (Tcl_GetAssocData(interp, name, NULL)) return;
  Tcl_SetAssocData(interp, name, NULL, interp);
  Tcl_CreateObjCommand(interp, "::gosched_again", again_cmd, NULL, NULL);
  Tcl_HideCommand(interp, name, name);
}

int Gosched_Unload(Tcl_Interp *interp, int flags) {
  gst_state *s = Tcl_GetAssocData(interp, "gosched", NULL);
  (void)flags;
  if (!s) /* an error, so that Tcl does not count it */
    return gst_error(
        interp, Tcl_NewStringObj("gosched has been unloaded from this interpreter already", -1),
        "BUSY", NULL);
  /* Those on the stack go on afterwards, with what is freed here. */
  bool busy = gst_current_coroutine(interp, s->home) != NULL;
  for (const gst_waiter *w = s->home->waiters; w; w = w->next)
    if (w->state == s && !w->coroutine) busy = true;
  if (busy)
    return gst_error(interp,
                     Tcl_NewStringObj("gosched cannot be unloaded by a green thread, nor while the "
                                      "interpreter waits in one of its commands",
                                      -1),
                     "BUSY", NULL);
  gst_state_retain(s);
  gst_greens_delete(s);
  Tcl_Namespace *ns = Tcl_FindNamespace(interp, "::gosched", NULL, TCL_GLOBAL_ONLY);
  if (ns) Tcl_DeleteNamespace(ns); /* and with it libraries, channels and green threads */
  Tcl_DeleteAssocData(interp, "gosched");
  gst_state_release(s);
  leave_again(interp);
  Tcl_EvalEx(interp, "package forget gosched", -1, TCL_EVAL_GLOBAL);
  Tcl_ResetResult(interp);
  return TCL_OK;
}

int Gosched_SafeUnload(Tcl_Interp *interp, int flags) { return Gosched_Unload(interp, flags); }
