/* context.c: what is known of whoever runs Tcl code, and gosched::timeout.
 *
 * A green thread has a context of its own, and so has the top level, anew for each handler of an
 * event that runs while the top level waits.  Any other coroutine shares `plain`, until it asks for
 * something that must not be shared: a timeout, an OS thread.
 *
 * To ask Tcl who runs takes longer than most calls in place.  So the errno of such a call is put
 * where it belongs only when that is known anyway: when whoever has called waits, or has ended.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* gosched::timeout at work. */
typedef struct gst_scope {
  struct gst_scope *outer;
  gst_context *context;
  Tcl_TimerToken timer;
  gst_state *state;
  bool expired;
} gst_scope;

gst_context *gst_context_of(gst_state *s, Tcl_Command coroutine) {
  if (!coroutine) return s->top;
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->contexts, (char *)coroutine);
  return e ? Tcl_GetHashValue(e) : &s->plain;
}

void gst_context_settle(gst_state *s, gst_context *c) {
  if (s->in_latest && c) c->saved_errno = s->latest.saved_errno;
  s->in_latest = false;
}

gst_context *gst_context_here(gst_state *s) {
  return gst_context_of(s, gst_current_coroutine(s->interp, s->home));
}

bool gst_context_ended(const gst_context *c, gst_why *why) {
  if (c->cancelled) {
    *why = GST_CANCELLED;
    return true;
  }
  for (const gst_scope *scope = c->scopes; scope; scope = scope->outer)
    if (scope->expired) {
      *why = GST_EXPIRED;
      return true;
    }
  return false;
}

gst_context *gst_context_make(gst_state *s) {
  Tcl_Command coroutine = gst_current_coroutine(s->interp, s->home);
  gst_context *c = gst_context_of(s, coroutine);
  int isnew;
  if (c != &s->plain) {
    if (c->refs) c->refs++;
    return c;
  }
  c = calloc(1, sizeof(*c));
  if (!c) return NULL;
  c->refs = 1;
  c->saved_errno = s->plain.saved_errno;
  Tcl_SetHashValue(Tcl_CreateHashEntry(&s->contexts, (char *)coroutine, &isnew), c);
  return c;
}

void gst_context_release(gst_state *s, gst_context *c) {
  Tcl_HashSearch search;
  if (!c->refs || --c->refs > 0) return;
  Tcl_HashEntry *e = Tcl_FirstHashEntry(&s->contexts, &search);
  while (e && Tcl_GetHashValue(e) != c) e = Tcl_NextHashEntry(&search);
  if (e) Tcl_DeleteHashEntry(e);
  free(c);
}

/* ---- gosched::timeout ms script -------------------------------------------------------------- */

static void expire(ClientData data) {
  gst_scope *scope = data;
  scope->timer = NULL;
  scope->expired = true;
  if (scope->context->wait) gst_interrupt(scope->context->wait, GST_EXPIRED);
}

static int left(ClientData data[], Tcl_Interp *interp, int result) {
  gst_scope *scope = data[0];
  gst_state *s = scope->state;
  (void)interp;
  gst_scope **at = &scope->context->scopes;
  while (*at && *at != scope) at = &(*at)->outer;
  if (*at) *at = scope->outer;
  if (scope->timer) Tcl_DeleteTimerHandler(scope->timer);
  gst_context_release(s, scope->context);
  gst_state_release(s);
  free(scope);
  return result;
}

int gst_timeout_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  double ms;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "milliseconds script");
    return TCL_ERROR;
  }
  if (gst_get_ms(interp, objv[1], "milliseconds", &ms) != TCL_OK) return TCL_ERROR;
  gst_scope *scope = calloc(1, sizeof(*scope));
  if (!scope) return gst_no_memory(interp);
  scope->context = gst_context_make(s);
  if (!scope->context) {
    free(scope);
    return gst_no_memory(interp);
  }
  scope->state = gst_state_retain(s);
  scope->outer = scope->context->scopes;
  scope->context->scopes = scope;
  scope->timer = Tcl_CreateTimerHandler(ms > 2e9 ? 2000000000 : (int)(ms + 0.999), expire, scope);
  Tcl_NRAddCallback(interp, left, scope, NULL, NULL, NULL);
  return Tcl_NREvalObj(interp, objv[2], 0);
}
