/* operation.c: blocking operations, done on green threads of the scheduler and waited for in Tcl.
 *
 *     home thread                          green thread (native domain)
 *     gst_operate: start; wait             work()
 *                                          gst_post_home
 *     arrived(): wakes who waits
 *     finish(): the command's result
 *
 * The operation is counted by references: the work has one until it has come home, who waits has
 * one until it has the result.  Either may be the last: the coroutine, or the interpreter, can be
 * deleted while the work goes on; then what comes home finds nobody.  If home has ended, the work's
 * reference is dropped where the work was done, so destroy must not touch Tcl values.
 *
 * An operation that is to end before its time (cancelled, its time is up) goes on by default, as a
 * foreign call does.  With `unblock` it is asked to return, and the error comes when it has; with
 * `detach` who waits goes at once.
 */
#include <stdlib.h>

#include "binding.h"

static void release(gst_operation *op) {
  if (__atomic_sub_fetch(&op->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gst_state *s = op->state;
  gst_mailbox *box = op->box;
  if (op->handle) gs_handle_release(op->handle);
  op->destroy(op);
  gst_state_release(s);
  gst_mailbox_release(box);
}

static void arrived(gst_post *post, bool alive) {
  gst_operation *op = (gst_operation *)((char *)post - offsetof(gst_operation, post));
  if (alive) {
    op->state->under_way--;
    if (op->waited) gst_wake(&op->w, op->interrupted ? op->why : GST_DONE);
  }
  release(op);
}

void gst_operation_run(void *arg) {
  gst_operation *op = arg;
  op->work(op);
  gst_post_home(op->box, &op->post);
}

static void interrupt(gst_waiter *w, gst_why why) {
  gst_operation *op = (gst_operation *)w;
  if (op->interrupted) return;
  if (!op->unblock && !op->detach) return;
  op->interrupted = true;
  op->why = why;
  if (op->unblock) op->unblock(op, why);
  if (op->detach) gst_wake(w, why);
}

static void withdraw(gst_waiter *w, bool woken) {
  (void)woken;
  ((gst_operation *)w)->waited = false;
}

static void forget(gst_waiter *w) {
  gst_operation *op = (gst_operation *)w;
  op->waited = false;
  if (op->leave) op->leave(w);
  release(op);
}

int gst_operate(Tcl_Interp *interp, gst_state *s, gst_operation *op, double ms) {
  gst_context *c = gst_context_here(s);
  gst_why why;
  op->state = gst_state_retain(s);
  op->box = gst_mailbox_retain(s->box);
  op->refs = 2;
  op->post.arrive = arrived;
  op->w.interrupt = interrupt;
  op->w.withdraw = withdraw;
  op->w.destroy = forget;
  op->waited = true;
  int code = TCL_OK;
  if ((op->unblock || op->detach) && gst_context_ended(c, &why)) {
    op->w.state = s;
    code = gst_wait_error(interp, &op->w, why);
  } else if (c->worker && !op->keep_handle) {
    code = gst_worker_submit(interp, c->worker, op);
  } else {
    code = gst_go(interp, gst_operation_run, op, op->keep_handle ? &op->handle : NULL);
  }
  if (code != TCL_OK) {
    op->refs = 1;
    forget(&op->w);
    return TCL_ERROR;
  }
  s->under_way++;
  return gst_park(interp, s, &op->w, ms);
}
