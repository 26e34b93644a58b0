/* callers.c: the calling stack, as a list of return addresses.
 *
 * Go's runtime.Callers ends where C begins.  Here one walk goes through all of it: from a callback
 * through the foreign frames on the thread's stack into the green thread that made the call, as
 * often as they alternate, since the frame that changes stacks has unwind rules like any other
 * (arch/).  It stops at the green thread's first frame, or at the thread's.  Frames without unwind
 * rules, as code that was made at run time may have, end it early.
 */
#include <unwind.h>

#include "runtime.h"

typedef struct {
  int skip, n, most;
  void **pcs;
} Walk;

static _Unwind_Reason_Code one_frame(struct _Unwind_Context *at, void *arg) {
  Walk *w = arg;
  void *pc = (void *)_Unwind_GetIP(at);
  if (!pc) return _URC_END_OF_STACK;
  if (w->skip > 0) {
    w->skip--;
    return _URC_NO_REASON;
  }
  w->pcs[w->n++] = pc;
  return w->n < w->most ? _URC_NO_REASON : _URC_END_OF_STACK;
}

GS_NOINLINE int gs_callers(int skip, void **pcs, int n) {
  if (skip < 0 || n < 0 || (n && !pcs))
    return gs_fail(GS_EINVAL, "gs_callers: skip is %d and n %d, both from 0; pcs is %s", skip, n,
                   pcs ? "there" : "NULL");
  Walk w = {skip + 1, 0, n, pcs}; /* + 1: this function */
  if (n) _Unwind_Backtrace(one_frame, &w);
  return w.n;
}
