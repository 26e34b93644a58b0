/* ready.c: gosched::wait, which waits until a descriptor is ready.
 *
 * The scheduler's poller does it: no thread is held.  A Tcl channel is ready to be read also when
 * Tcl has read ahead.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

typedef struct readiness {
  gst_operation op; /* first */
  int fd, events, ready, code, error;
} readiness;

static void wait_for(gst_operation *op) {
  readiness *r = (readiness *)op;
  r->code = gs_wait_ready(r->fd, r->events, GS_FOREVER, &r->ready);
  r->error = gs_errno();
}

static void stop(gst_operation *op, gst_why why) {
  (void)why;
  gs_cancel(op->handle);
}

static void destroy(gst_operation *op) { free(op); }

static Tcl_Obj *ready_list(int ready) {
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  if (ready & GS_READ) Tcl_ListObjAppendElement(NULL, list, Tcl_NewStringObj("read", -1));
  if (ready & GS_WRITE) Tcl_ListObjAppendElement(NULL, list, Tcl_NewStringObj("write", -1));
  return list;
}

static int finish(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  readiness *r = (readiness *)w;
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  if (r->code == GS_ESYS) {
    Tcl_SetErrno(r->error);
    return gst_error(interp, Tcl_ObjPrintf("descriptor %d: %s", r->fd, Tcl_ErrnoMsg(r->error)),
                     "ERRNO", Tcl_ErrnoId(), Tcl_ErrnoMsg(r->error), NULL);
  }
  if (r->code != GS_OK)
    return gst_error(interp, Tcl_ObjPrintf("descriptor %d: %s", r->fd, gs_strerror(r->code)),
                     r->code == GS_ECANCELED ? "CANCELLED" : "RUNTIME", NULL);
  Tcl_SetObjResult(interp, ready_list(r->ready));
  return TCL_OK;
}

/* The descriptor of a number or a channel; *buffered: Tcl has something to read already. */
static int descriptor(Tcl_Interp *interp, Tcl_Obj *name, int events, int *fd, bool *buffered) {
  int mode;
  ClientData handle;
  *buffered = false;
  if (Tcl_GetIntFromObj(NULL, name, fd) == TCL_OK && *fd >= 0) return TCL_OK;
  Tcl_Channel channel = Tcl_GetChannel(interp, Tcl_GetString(name), &mode);
  if (!channel)
    return gst_error(interp,
                     Tcl_ObjPrintf("\"%.80s\" is neither a descriptor's number nor a channel",
                                   Tcl_GetString(name)),
                     "ARGUMENT", "channel", NULL);
  int direction = events & GS_READ ? TCL_READABLE : TCL_WRITABLE;
  *buffered = events & GS_READ && Tcl_InputBuffered(channel) > 0;
  if (Tcl_GetChannelHandle(channel, direction, &handle) == TCL_OK) {
    *fd = (int)(intptr_t)handle;
    return TCL_OK;
  }
  return gst_error(interp,
                   Tcl_ObjPrintf("channel \"%s\" has no descriptor for %s", Tcl_GetString(name),
                                 events & GS_READ ? "reading" : "writing"),
                   "ARGUMENT", "channel", NULL);
}

int gst_wait_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-read", "-timeout", "-write", NULL};
  int events = 0, option, fd;
  double ms = -1;
  bool buffered;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "channel ?-read? ?-write? ?-timeout ms?");
    return TCL_ERROR;
  }
  for (int i = 2; i < objc; i++) {
    if (Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option) != TCL_OK)
      return TCL_ERROR;
    if (option == 0) events |= GS_READ;
    if (option == 2) events |= GS_WRITE;
    if (option != 1) continue;
    if (++i == objc) {
      Tcl_WrongNumArgs(interp, 1, objv, "channel ?-read? ?-write? ?-timeout ms?");
      return TCL_ERROR;
    }
    if (gst_get_ms(interp, objv[i], "-timeout", &ms) != TCL_OK) return TCL_ERROR;
  }
  if (!events) events = GS_READ;
  if (descriptor(interp, objv[1], events, &fd, &buffered) != TCL_OK) return TCL_ERROR;
  if (buffered) {
    Tcl_SetObjResult(interp, ready_list(GS_READ));
    return TCL_OK;
  }
  readiness *r = calloc(1, sizeof(*r));
  if (!r) return gst_no_memory(interp);
  r->op.w.reason = "wait";
  r->op.w.finish = finish;
  r->op.work = wait_for;
  r->op.destroy = destroy;
  r->op.unblock = stop;
  r->op.keep_handle = true;
  r->fd = fd;
  r->events = events;
  return gst_operate(interp, state, &r->op, ms);
}
