/* failure.c: a callback that failed, and the foreign call that is told.
 *
 * C has no way to hand an error through: a comparator of qsort fails, and qsort goes on.  So the
 * failure is kept until the foreign call ends, which then returns GS_ECALLBACK; C gets some result
 * in the meantime, and who made the call gets the failure.  It belongs to the innermost foreign
 * call around the callback, and to no other.
 *
 * Where it is kept.  Calls and callbacks nest, and each call under way may have failed, the inner
 * ones with the outer ones' failures still to be told.  While the callback runs in which a failure
 * happens, it stands in the frame of call_back, which is there as long as the callback is.  When
 * the callback ends, C may call back again before its call ends; in between the failure stands in
 * the G, and the next callback takes it along into its frame.  So one place in the G is enough, and
 * nothing is allocated: between two callbacks of a call no other call of this G is under way that
 * is further in, and the failures of those further out are in the frames of callbacks that still
 * run.
 *
 * All of it belongs to the G that runs, and foreign frames pin that to its thread: there are no
 * races.  The fast path of a call does not look.  A callback that has failed never leaves quickly
 * (callback.c), so its call does not end on the fast path (see end_slow in cgocall.c); and a
 * failure that foreign code reports itself, on g0, goes through a callback as whatever it calls of
 * the runtime does.
 */
#include "runtime.h"

int gs_callback_fail(int code, void *data) {
  if (code == 0)
    return gs_fail(GS_EINVAL, "gs_callback_fail: code is 0, expected what names the failure");
  M *m = gs_getm();
  if (m && m->incgo) return as_callback(gs_callback_fail, code, data);
  G *g = m && !m->inhook ? m->curg : NULL;
  /* ncgo: the first callback of a foreign thread has no call around it. */
  if (!g || !g->back || m->ncgo == 0)
    return gs_fail(GS_EPERM, "gs_callback_fail: no foreign call is under way here to be told");
  if (g->back->code) return GS_EBUSY;
  g->back->code = code;
  g->back->data = data;
  return GS_OK;
}

GS_COLD int call_failed(G *g) {
  g->told_code = g->fail_code;
  g->told_data = g->fail_data;
  g->told_goid = g->goid;
  g->fail_code = 0;
  return GS_ECALLBACK;
}

int gs_callback_failure(int *code, void **data) {
  const M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (!g || g->told_goid != g->goid || g->told_code == 0)
    return gs_fail(GS_EPERM, "gs_callback_failure: no failure waits here to be taken");
  if (code) *code = g->told_code;
  if (data) *data = g->told_data;
  g->told_code = 0;
  return GS_OK;
}
