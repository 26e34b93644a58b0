/* worker.c: gosched::os_thread, which keeps all foreign calls of a green thread on one OS thread.
 *
 * For its time there is a green thread of the scheduler that is locked to its thread, and does what
 * the Tcl side hands it, one after the other.  It ends locked, and so its thread ends too: nobody
 * else meets what the library has left there.
 *
 * The queue is filled by the home thread and emptied by the worker, under a mutex; the semaphore
 * counts what is in it.  The worker frees itself at its end: home does not look at it after the
 * last NULL, which says that there is no more.
 */
#include <pthread.h>
#include <stdlib.h>

#include "binding.h"

typedef struct gst_worker {
  pthread_mutex_t mutex;
  gst_operation *first, *last; /* under mutex */
  bool over;                   /* under mutex: nothing more comes */
  bool gone;                   /* under mutex: nothing more is done, gs_run is ending */
  gs_sema items;
  int nesting; /* home only: of os_thread */
  int refs;    /* atomic: home, the worker */
} gst_worker;

static void release(gst_worker *w) {
  if (__atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  pthread_mutex_destroy(&w->mutex);
  free(w);
}

static gst_operation *take(gst_worker *w, bool *over) {
  pthread_mutex_lock(&w->mutex);
  gst_operation *op = w->first;
  if (op) w->first = op->next;
  if (!w->first) w->last = NULL;
  *over = !op && w->over;
  pthread_mutex_unlock(&w->mutex);
  return op;
}

static void work(void *arg) {
  gst_worker *w = arg;
  bool over = false, ending = false;
  gs_lock_os_thread();
  while (!over) {
    /* At the end of gs_run what is queued is still done, as calls that have begun are. */
    if (!ending) ending = gs_sema_acquire(&w->items, GS_FOREVER) != GS_OK;
    gst_operation *op = take(w, &over);
    if (op) {
      gst_operation_run(op);
    } else if (ending) {
      pthread_mutex_lock(&w->mutex);
      over = w->gone = !w->first;
      pthread_mutex_unlock(&w->mutex);
    }
  }
  release(w); /* and the thread ends, since it is locked */
}

static gst_worker *new_worker(Tcl_Interp *interp) {
  gst_worker *w = calloc(1, sizeof(*w));
  if (!w) {
    gst_no_memory(interp);
    return NULL;
  }
  pthread_mutex_init(&w->mutex, NULL);
  w->refs = 2;
  if (gst_go(interp, work, w, NULL) == TCL_OK) return w;
  w->refs = 1;
  release(w);
  return NULL;
}

int gst_worker_submit(Tcl_Interp *interp, gst_worker *w, gst_operation *op) {
  pthread_mutex_lock(&w->mutex);
  bool gone = w->gone;
  op->next = NULL;
  if (!gone) {
    if (w->last)
      w->last->next = op;
    else
      w->first = op;
    w->last = op;
  }
  pthread_mutex_unlock(&w->mutex);
  if (gone)
    return gst_error(interp,
                     Tcl_NewStringObj("the scheduler has ended, and the thread with it", -1),
                     "RUNTIME", NULL);
  gs_sema_release(&w->items, 1);
  return TCL_OK;
}

static void finish(gst_worker *w) {
  pthread_mutex_lock(&w->mutex);
  w->over = true;
  pthread_mutex_unlock(&w->mutex);
  gs_sema_release(&w->items, 1);
  release(w);
}

static int left(ClientData data[], Tcl_Interp *interp, int result) {
  gst_context *c = data[0];
  gst_state *s = data[1];
  (void)interp;
  if (--c->worker->nesting == 0) {
    finish(c->worker);
    c->worker = NULL;
    s->workers--;
  }
  gst_context_release(s, c);
  gst_state_release(s);
  return result;
}

int gst_os_thread_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "script");
    return TCL_ERROR;
  }
  gst_context *c = gst_context_make(s);
  if (!c) return gst_no_memory(interp);
  if (!c->worker && !(c->worker = new_worker(interp))) {
    gst_context_release(s, c);
    return TCL_ERROR;
  }
  if (c->worker->nesting++ == 0) s->workers++;
  gst_state_retain(s);
  Tcl_NRAddCallback(interp, left, c, s, NULL, NULL);
  return Tcl_NREvalObj(interp, objv[1], 0);
}
