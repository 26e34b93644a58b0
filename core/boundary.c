/* boundary.c: control that left foreign code, or a callback, by another way than its return.
 *
 * A foreign call and a callback stand on different stacks, with the scheduler's words in between
 * that say where the thread is.  longjmp moves the stack pointer from one to the other and leaves
 * the words as they were; what comes after would run with the wrong P, or none, or wait for a call
 * that nobody ends.  There is no repairing that, because nobody knows what the frames in between
 * held.  So it is found out as soon as the runtime is entered again, and ends the process with a
 * report that names the call.  (Exceptions are found before they unwind: personality.c.)
 *
 * Three jumps, and where they are noticed:
 *
 *   - out of a foreign function into its green thread: the M says that foreign code runs, and the
 *     stack pointer is on the green thread's stack.  At the next gs_ function, whichever.
 *   - out of a callback into the foreign function around it: the M says that the green thread runs,
 *     and foreign code goes on.  When that calls back, makes a foreign call, or returns: then the
 *     mode in sc is one that does not exist outside, because the call's end adds to it what it
 *     takes from CALL to USER.
 *   - out of a callback into the green thread, over the foreign function: the callback never ends.
 *     At the next foreign call, which would run in the middle of the lost one's stack, and at the
 *     end of the green thread.
 *
 * The fast paths have no part in this: each of these states takes a slow way by itself.
 */
#include <stdio.h>

#include "runtime.h"

#if GS_ASAN
#include <sanitizer/asan_interface.h>
/* The frames that were jumped over have left their red zones behind. */
GS_NOINLINE static void forget_frames(const G *g) {
  if (g && g->stack)
    __asan_unpoison_memory_region(g->stack->lo, (size_t)(g->stack->hi - g->stack->lo));
  char *here = __builtin_frame_address(0); /* on whichever stack */
  __asan_unpoison_memory_region(here - 32768, 32768);
}
#else
static void forget_frames(const G *g) { (void)g; }
#endif

static bool on_stack_of(const G *g, const char *sp) {
  return g && g->stack && sp >= g->stack->lo && sp < g->stack->hi;
}

_Noreturn GS_NOINLINE void boundary_broken(const char *what, const gs_site *site) {
  static char text[400]; /* the first one that comes here is the only one that is told */
  const M *m = gs_getm();
  const G *g = m ? m->curg : NULL;
  snprintf(text, sizeof text, "%s.  The foreign call: %.80s; green thread G%llu%s%.31s%s", what,
           site && site->name ? site->name : "a function without a name",
           g ? (unsigned long long)g->goid : 0, g && g->name[0] ? " \"" : "", g ? g->name : "",
           g && g->name[0] ? "\"" : "");
  throw_(text);
}

/* ASan wants to know before it sees that somebody does not return. */
#define BROKEN(g, what, site) (forget_frames(g), boundary_broken((what), (site)))

#define OUT_OF_CALL                                                                              \
  "a foreign function was left by longjmp into the green thread that had called it; catch what " \
  "happens in C inside the function and return"
#define INTO_CALL                                                                                \
  "a callback was left by longjmp into the foreign function that had called it; a callback has " \
  "to return"
#define OVER_CALL                                                                                \
  "a callback was left by longjmp over the foreign function that had called it; a callback has " \
  "to return"

/* Where the runtime is about to refuse.  sp: of the caller. */
void boundary_check(const M *m, const char *sp) {
  const G *g = m->curg;
  if (!g) return;
  if (m->incgo && on_stack_of(g, sp)) BROKEN(g, OUT_OF_CALL, g->site);
  if (!m->incgo && m->ncgo && g->pins && !on_stack_of(g, sp) && sp >= m->g0lo && sp < m->g0hi)
    BROKEN(g, INTO_CALL, g->site);
}

/* The foreign function of site has returned, and the mode is not the one of its call. */
void boundary_returned(const gs_site *site) { BROKEN(gs_getm()->curg, INTO_CALL, site); }

/* A foreign call begins while another one is under way: in a callback, if all is well. */
void boundary_nested(const M *m, const char *sp) {
  boundary_check(m, sp);
  if (on_stack_of(m->curg, sp) && sp >= callback_top(m->curg))
    BROKEN(m->curg, OVER_CALL, m->curg->site);
}

/* g's function has returned, or it ends by gs_goexit. */
void boundary_ends(const G *g, bool returned) {
  if (!g->pins) return;
  if (returned) BROKEN(g, OVER_CALL, g->site);
  throw_("gs_goexit inside a callback: the C frames above cannot be left that way");
}
