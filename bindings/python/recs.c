/* recs.c: the records of green threads, each with its thread state, used again and again.
 *
 * A thread state is most of what a short green thread costs: making one asks the kernel for the
 * thread's number, clears 400 bytes, takes a lock of the process; deleting the current one drops
 * the GIL, so that the next green thread has to take it.  So one that has ended keeps its state,
 * cleared, and both go to the next one; the GIL stays with the thread.
 *
 * A record that has ended is still the current one of its thread, which holds the GIL with its
 * state until a hook makes another one current or lets go.  Whoever takes it out of the pool may do
 * so before that, as soon as it has the GIL, but makes it current only when `held` says that the
 * thread before is through with it (make_current waits), as with one that is alive.
 *
 * Where a state cannot be used again (tstate_reusable) it is deleted at the end, and the record is
 * freed: under rec_lock, because sysmon may be looking.
 */
#include <stdlib.h>

#include "tstate.h"

/* Few, because who has all threads shown, by faulthandler, sees them first, and 100 in all. */
#define KEPT 32

pthread_mutex_t rec_lock = PTHREAD_MUTEX_INITIALIZER;
static Rec *spare; /* GIL */
static int nspare; /* GIL */

Rec *rec_take(PyInterpreterState *interp) {
  Rec *r = spare;
  if (r) {
    spare = r->next;
    nspare--;
    tstate_again(r->ts, r->levels_less);
  } else {
    PyThreadState *ts = tstate_new(interp);
    r = ts ? calloc(1, sizeof *r) : NULL;
    if (!r) {
      if (ts) tstate_delete(ts);
      return NULL;
    }
    r->ts = ts;
  }
  r->obj = NULL;
  r->where = state_running;
  r->ended = r->main = r->has_dummy = r->pinned = r->hog = false;
  r->gilstate_base = r->calls = r->last_errno = r->levels_less = 0;
  r->failed = NULL;
  return r;
}

void rec_give(Rec *r, bool current) {
  tstate_set_ident(r->ts, tstate_ident(0));
  if (!tstate_reusable() || (!current && nspare >= KEPT)) {
    pthread_mutex_lock(&rec_lock); /* sysmon has looked, or finds another one */
    pthread_mutex_unlock(&rec_lock);
    tstate_delete(r->ts);
    free(r);
    return;
  }
  r->next = spare;
  spare = r;
  nspare++;
}

/* CPython has deleted their states. */
void recs_forked(void) {
  spare = NULL;
  nspare = 0;
}
