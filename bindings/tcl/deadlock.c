/* deadlock.c: nobody is left who could wake those that wait.
 *
 * Looked for when the top level waits, nothing is ready, and the event loop has nothing to do.  It
 * is a deadlock if everybody of this thread waits for a channel or for the end of a green thread,
 * without a time, and nothing can come from outside: no operation is under way, no callback can be
 * called, and no event of Tcl's can do it, as far as that can be seen: no timers, no file events,
 * no Tk, no package Thread, no sockets being listened to.  Who has other sources of events than
 * Tcl's own turns it off: gosched::deadlock 0.
 *
 * Then the innermost wait of the top level fails with a report; errors unwind the others.
 */
#include <string.h>

#include "binding.h"

static bool for_others(const gst_waiter *w) {
  return !w->timer && (strcmp(w->reason, "join") == 0 || strcmp(w->reason, "select") == 0 ||
                       strncmp(w->reason, "channel ", 8) == 0);
}

/* Whether a script says that events may come. */
static bool events_may_come(Tcl_Interp *interp) {
  static const char script[] =
      "apply {{} {if {[llength [after info]] || [llength [package provide Tk]] ||"
      " [llength [package provide Thread]] || [llength [interp children]]} {return 1}\n"
      "foreach c [chan names] {if {[string match sock* $c]} {return 1}\n"
      "foreach e {readable writable} {if {![catch {fileevent $c $e} s] && $s ne {}} {return 1}}}\n"
      "return 0}}";
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  int may = 1;
  if (Tcl_EvalEx(interp, script, -1, TCL_EVAL_GLOBAL) == TCL_OK)
    Tcl_GetBooleanFromObj(NULL, Tcl_GetObjResult(interp), &may);
  Tcl_RestoreInterpState(interp, saved);
  return may;
}

bool gst_deadlock_may_be(const gst_waiter *w) {
  gst_home *home = w->state->home;
  if (home->ready_first || !for_others(w)) return false;
  for (gst_state *s = home->states; s; s = s->next)
    if (!s->interp || !s->deadlocks || s->under_way || s->callbacks) return false;
  return true;
}

bool gst_deadlock_look(gst_waiter *w) {
  gst_home *home = w->state->home;
  if (!gst_deadlock_may_be(w)) return false;
  for (gst_waiter *other = home->waiters; other; other = other->next) {
    if (other->ready || !for_others(other)) return false;
    if (other->context->scopes) return false;
  }
  for (gst_state *s = home->states; s; s = s->next)
    if (Tcl_InterpDeleted(s->interp) || events_may_come(s->interp)) return false;
  if (w->ready) return true;
  gst_wake(w, GST_DEADLOCK);
  return true;
}
