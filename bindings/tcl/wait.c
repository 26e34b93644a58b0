/* wait.c: waiting, which is the same for all commands that do.
 *
 *     in a coroutine                          anywhere else
 *     gst_park: yields                        gst_park: serves the event loop …
 *     gst_wake: it is ready, and is resumed   gst_wake: … until it is ready
 *     by the home's next round
 *
 * Everything here happens on the home thread, so there are no races, but a waiter may meet more
 * than its wake-up.  Others can resume its coroutine, which is a command: then it yields again.
 * The coroutine can be deleted: Tcl then unwinds it, which shows as an error out of the yield.  It
 * may have been woken already then, with a value in its hand: withdraw is told and gives it back.
 * And it may be unable to yield, because C code is on its stack (lsort -command): then the event
 * loop is served.
 *
 * Who serves events can find itself below another one that does, in an event's handler: the outer
 * wait ends only after the inner one.  `level` counts how deep that is, and the dump tells it.
 *
 * The stack of a coroutine that waits is found by resuming it with `probing` set: it looks where it
 * is, and yields again.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* Coroutines resumed, and time, before Tcl looks at its other events. */
enum { ROUND = 256, ROUND_NS = 4000000 };

/* ---- the lists ------------------------------------------------------------------------------- */

static void link_waiter(gst_waiter *w) {
  gst_home *home = w->state->home;
  w->next = home->waiters;
  w->link = &home->waiters;
  if (w->next) w->next->link = &w->next;
  home->waiters = w;
  if (gs_trace_recording() && w->context->green)
    gst_green_trace(w->context->green, GS_TRACK_WAITS, w->reason);
}

static void unlink_waiter(gst_waiter *w) {
  if (w->link) {
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    w->link = NULL;
    if (gs_trace_recording() && w->context->green)
      gst_green_trace(w->context->green, GS_TRACK_RUNS, NULL);
  }
  if (w->timer) Tcl_DeleteTimerHandler(w->timer);
  w->timer = NULL;
  if (w->context && w->context->wait == w) w->context->wait = NULL;
}

static void enqueue(gst_waiter *w) {
  gst_home *home = w->state->home;
  w->ready_next = NULL;
  w->queued = true;
  if (home->ready_last)
    home->ready_last->ready_next = w;
  else
    home->ready_first = w;
  home->ready_last = w;
  gst_home_ready(home);
}

static void dequeue(gst_waiter *w) {
  gst_home *home = w->state->home;
  gst_waiter *before = NULL, *at = home->ready_first;
  if (!w->queued) return;
  while (at != w) {
    before = at;
    at = at->ready_next;
  }
  if (before)
    before->ready_next = w->ready_next;
  else
    home->ready_first = w->ready_next;
  if (home->ready_last == w) home->ready_last = before;
  w->queued = false;
}

static void destroy(gst_waiter *w) {
  gst_state *s = w->state;
  if (w->stack) Tcl_DecrRefCount(w->stack);
  if (w->name) Tcl_DecrRefCount(w->name);
  w->destroy(w);
  gst_state_release(s);
}

/* ---- its end --------------------------------------------------------------------------------- */

void gst_wake(gst_waiter *w, gst_why why) {
  if (w->ready) return;
  w->ready = true;
  w->why = why;
  if (w->timer) Tcl_DeleteTimerHandler(w->timer);
  w->timer = NULL;
  if (why != GST_DONE && w->withdraw) w->withdraw(w, false);
  if (w->coroutine) enqueue(w);
}

void gst_interrupt(gst_waiter *w, gst_why why) {
  if (w->ready) return;
  if (w->interrupt)
    w->interrupt(w, why);
  else
    gst_wake(w, why);
}

static void time_is_up(ClientData data) {
  gst_waiter *w = data;
  w->timer = NULL;
  gst_interrupt(w, GST_TIMEOUT);
}

int gst_wait_error(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  switch (why) {
    case GST_TIMEOUT:
      return gst_error(interp, Tcl_ObjPrintf("%s: the time is up", w->reason), "TIMEOUT", NULL);
    case GST_EXPIRED:
      return gst_error(interp, Tcl_ObjPrintf("%s: the time of gosched::timeout is up", w->reason),
                       "TIMEOUT", NULL);
    case GST_CANCELLED:
      return gst_error(interp, Tcl_ObjPrintf("%s: cancelled", w->reason), "CANCELLED", NULL);
    case GST_DEADLOCK:
      return gst_error(interp,
                       Tcl_ObjPrintf("%s: all wait for each other, and nothing can wake any of "
                                     "them\n%s",
                                     w->reason, Tcl_GetString(gst_report(w->state->home, false))),
                       "DEADLOCK", NULL);
    default: return TCL_OK;
  }
}

/* It waits no longer: the command's result. */
static int finish(Tcl_Interp *interp, gst_waiter *w) {
  unlink_waiter(w);
  Tcl_ResetResult(interp);
  int code = w->finish(interp, w, w->why);
  destroy(w);
  return code;
}

/* Nobody waits for it any more. */
static void give_up(gst_waiter *w) {
  dequeue(w);
  unlink_waiter(w);
  if (w->withdraw && (!w->ready || w->why == GST_DONE)) w->withdraw(w, w->ready);
  destroy(w);
}

/* ---- serving events -------------------------------------------------------------------------- */

/* Asked before each wait, too: what says so may have come before there was anything to wake. */
static int may_go_on(Tcl_Interp *interp) {
  if (Tcl_InterpDeleted(interp)) return TCL_ERROR;
  if (Tcl_Canceled(interp, TCL_LEAVE_ERR_MSG) != TCL_OK) return TCL_ERROR;
  if (!Tcl_LimitExceeded(interp)) return TCL_OK;
  Tcl_SetObjResult(interp, Tcl_NewStringObj("limit exceeded", -1));
  return TCL_ERROR;
}

/* Tcl is asked without waiting only if the answer matters: see home.c for what that costs. */
static void serve_one(gst_home *home, gst_waiter *w) {
  if (home->ready_first && gst_home_fresh(home)) {
    gst_run_ready(home, w);
    return;
  }
  if (gst_deadlock_may_be(w) &&
      (Tcl_DoOneEvent(TCL_ALL_EVENTS | TCL_DONT_WAIT) || w->ready || gst_deadlock_look(w)))
    return;
  Tcl_DoOneEvent(TCL_ALL_EVENTS);
}

static int serve_events(Tcl_Interp *interp, gst_waiter *w) {
  gst_state *s = w->state;
  gst_home *home = s->home;
  gst_context fresh = {0}, *top = s->top; /* handlers of events are somebody else */
  int code = TCL_OK;
  w->coroutine = NULL;
  w->level = ++home->nesting;
  gst_state_retain(s);
  Tcl_Preserve(interp);
  s->top = &fresh;
  while ((code = may_go_on(interp)) == TCL_OK && !w->ready) serve_one(home, w);
  gst_context_settle(s, &fresh);
  s->top = top;
  home->nesting--;
  if (code == TCL_OK)
    code = finish(interp, w);
  else
    give_up(w);
  Tcl_Release(interp);
  gst_state_release(s);
  return code;
}

/* ---- yielding -------------------------------------------------------------------------------- */

/* *name: the coroutine's, a reference; NULL if there is none. */
static Tcl_Command current(Tcl_Interp *interp, gst_home *home, Tcl_Obj **name) {
  *name = NULL;
  if (Tcl_EvalObjEx(interp, home->which, TCL_EVAL_GLOBAL) != TCL_OK) return NULL;
  Tcl_Obj *text = Tcl_GetObjResult(interp);
  Tcl_IncrRefCount(text);
  Tcl_Command found = *Tcl_GetString(text) ? Tcl_GetCommandFromObj(interp, text) : NULL;
  if (found)
    *name = text;
  else
    Tcl_DecrRefCount(text);
  Tcl_ResetResult(interp);
  return found;
}

Tcl_Command gst_current_coroutine(Tcl_Interp *interp, gst_home *home) {
  Tcl_Obj *name;
  Tcl_Command found = current(interp, home, &name);
  if (found) Tcl_DecrRefCount(name);
  return found;
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

/* The stack of who runs, one text a command. */
static Tcl_Obj *look_at_stack(Tcl_Interp *interp, int base) {
  static const char script[] =
      "apply {base {set s {}; for {set i [expr {[info frame] - 2}]} {$i > $base} {incr i -1} {"
      "set f [info frame $i]; set t [expr {[dict exists $f proc] ? [dict get $f proc] : "
      "[dict exists $f file] ? [dict get $f file] : {}}]; "
      "if {[dict exists $f line]} {append t \" line \" [dict get $f line]}; "
      "if {[dict exists $f cmd]} {append t \": \" [string range [lindex "
      "[split [string trim [dict get $f cmd]] \\n] 0] 0 99]}; lappend s $t}; return $s}} ";
  Tcl_Obj *words = Tcl_ObjPrintf("%s%d", script, base);
  Tcl_IncrRefCount(words);
  int code = Tcl_EvalEx(interp, Tcl_GetString(words), -1, 0);
  Tcl_DecrRefCount(words);
  Tcl_Obj *stack = code == TCL_OK ? Tcl_GetObjResult(interp) : Tcl_NewObj();
  Tcl_IncrRefCount(stack);
  Tcl_ResetResult(interp);
  return stack;
}

static int resumed(ClientData data[], Tcl_Interp *interp, int result);

static int yield(Tcl_Interp *interp, gst_waiter *w) {
  Tcl_ResetResult(interp);
  Tcl_NRAddCallback(interp, resumed, w, NULL, NULL, NULL);
  return Tcl_NREvalObjv(interp, 1, &w->state->home->yield, 0);
}

static int resumed(ClientData data[], Tcl_Interp *interp, int result) {
  gst_waiter *w = data[0];
  if (result == TCL_OK && w->probing) {
    w->probing = false;
    w->stack = look_at_stack(interp, w->state->home->frames);
    return yield(interp, w);
  }
  if (result == TCL_OK && (!w->ready || w->queued)) return yield(interp, w);
  if (result == TCL_OK) return finish(interp, w);
  if ((!w->ready || w->queued) && cannot_yield(interp)) {
    w->ready = false;
    return serve_events(interp, w);
  }
  give_up(w);
  return result;
}

static void resume(gst_waiter *w) {
  Tcl_Interp *interp = w->state->interp;
  if (!interp || Tcl_InterpDeleted(interp)) return;
  Tcl_Obj *name = w->name; /* which knows the command, if it still has it */
  if (Tcl_GetCommandFromObj(interp, name) != w->coroutine) {
    name = Tcl_NewObj();
    Tcl_GetCommandFullName(interp, w->coroutine, name); /* it was renamed */
  }
  Tcl_IncrRefCount(name);
  w->state->home->resumed++;
  gst_context_settle(w->state, w->state->top);
  Tcl_Preserve(interp);
  int code = Tcl_EvalObjv(interp, 1, &name, TCL_EVAL_GLOBAL);
  if (code != TCL_OK) Tcl_BackgroundException(interp, code);
  Tcl_Release(interp);
  Tcl_DecrRefCount(name);
}

void gst_run_ready(gst_home *home, const gst_waiter *until) {
  int64_t end = gs_now() + ROUND_NS;
  home->running++;
  for (int i = 0; i < ROUND && home->ready_first && gs_now() < end; i++) {
    gst_waiter *w = home->ready_first;
    home->ready_first = w->ready_next;
    if (!home->ready_first) home->ready_last = NULL;
    w->queued = false;
    if (w->coroutine)
      resume(w);
    else
      w->ready = true; /* at top level: it looks itself */
    if (until && until->ready) break;
  }
  home->running--;
}

Tcl_Obj *gst_stack_of(gst_waiter *w) {
  Tcl_Interp *interp = w->state->interp;
  if (!w->coroutine || w->probing || !interp) return Tcl_NewListObj(0, NULL);
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  uint64_t n = w->state->home->resumed;
  int frames = 0; /* those of who looks do not belong to it */
  if (Tcl_EvalEx(interp, "::info frame", -1, 0) == TCL_OK)
    Tcl_GetIntFromObj(NULL, Tcl_GetObjResult(interp), &frames);
  w->state->home->frames = frames > 0 ? frames - 1 : 0;
  w->probing = true;
  resume(w);
  w->probing = false;
  w->state->home->resumed = n;
  Tcl_RestoreInterpState(interp, saved);
  Tcl_Obj *stack = w->stack;
  w->stack = NULL;
  if (!stack) return Tcl_NewListObj(0, NULL);
  Tcl_Obj *copy = Tcl_DuplicateObj(stack);
  Tcl_DecrRefCount(stack);
  return copy;
}

Tcl_Obj *gst_stack_here(Tcl_Interp *interp) {
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  Tcl_Obj *stack = look_at_stack(interp, 0), *copy = Tcl_DuplicateObj(stack);
  Tcl_DecrRefCount(stack);
  Tcl_RestoreInterpState(interp, saved);
  return copy;
}

/* ---- parking --------------------------------------------------------------------------------- */

static int start(Tcl_Interp *interp, gst_state *s, gst_waiter *w) {
  w->state = gst_state_retain(s);
  w->coroutine = current(interp, s->home, &w->name);
  w->context = gst_context_of(s, w->coroutine);
  gst_context_settle(s, w->context);
  w->since = gs_now();
  link_waiter(w);
  if (w->context != &s->plain) w->context->wait = w;
  return TCL_OK;
}

int gst_park(Tcl_Interp *interp, gst_state *s, gst_waiter *w, double ms) {
  gst_why why;
  start(interp, s, w);
  if (!w->interrupt && gst_context_ended(w->context, &why)) {
    gst_wake(w, why);
    dequeue(w);
    return finish(interp, w);
  }
  if (ms >= 0)
    w->timer = Tcl_CreateTimerHandler(ms > 2e9 ? 2000000000 : (int)(ms + 0.999), time_is_up, w);
  return w->coroutine ? yield(interp, w) : serve_events(interp, w);
}

int gst_park_ready(Tcl_Interp *interp, gst_state *s, gst_waiter *w) {
  gst_why why;
  start(interp, s, w);
  if (gst_context_ended(w->context, &why)) {
    w->why = why;
    return finish(interp, w);
  }
  w->why = GST_DONE;
  w->ready = w->coroutine != NULL;
  enqueue(w);
  return w->coroutine ? yield(interp, w) : serve_events(interp, w);
}
