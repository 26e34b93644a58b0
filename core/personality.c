/* personality.c: exceptions stop where stacks change.
 *
 * A foreign call and a callback each stand on another stack than their caller, with the scheduler's
 * words in between.  An exception that unwound through them would leave the M in a call that nobody
 * ends.  So the frame that changes stacks (gs_arch_call) has a personality, which unwinders ask on
 * their first pass, before anything is unwound: it ends the process and says why.  Exceptions that
 * are thrown and caught on one side never come here.
 *
 * A forced unwind (pthread_exit, a cancellation) has no first pass, and goes on: interpreters end
 * their threads so at the end of the process, and only m_vanished is left to do then.
 */
#include <unwind.h>

#include "runtime.h"

_Unwind_Reason_Code gs_arch_personality(int version, _Unwind_Action actions,
                                        _Unwind_Exception_Class kind, struct _Unwind_Exception *e,
                                        struct _Unwind_Context *context);

static void out_of_bounds(void) {
  const M *m = gs_getm();
  boundary_broken(
      "an exception was thrown out of a foreign function or a callback; catch it inside",
      m && m->curg ? m->curg->site : NULL);
}

_Unwind_Reason_Code gs_arch_personality(int version, _Unwind_Action actions,
                                        _Unwind_Exception_Class kind, struct _Unwind_Exception *e,
                                        struct _Unwind_Context *context) {
  (void)version, (void)kind, (void)e, (void)context;
  if (actions & _UA_SEARCH_PHASE) out_of_bounds();
  return _URC_CONTINUE_UNWIND;
}
