/* states.c: the steps that checked builds allow.  See states.h.
 *
 * Steps from a state to itself are real ones.  A runnable G goes from one queue to another.  A G
 * that lost its P in undeclared code, where nobody had declared a call, goes on running with
 * another P.  The fast path of a call stores nothing (Grunning, Prunning stay), and where its end
 * finds that callbacks have run meanwhile, it says Gsyscall once more.  Pidle means both let go
 * and on the idle list.
 */
#include "states.h"

#include <stdio.h>

#if GS_CHECKED

#define TO(s) (1u << (s))

static const uint32_t g_steps[] = {
    [Gidle] = TO(Grunnable) | TO(Gdead),
    [Grunnable] = TO(Grunning) | TO(Grunnable),
    [Grunning] = TO(Gsyscall) | TO(Gwaiting) | TO(Grunnable) | TO(Gdead) | TO(Grunning),
    [Gsyscall] = TO(Grunning) | TO(Grunnable) | TO(Gdead) | TO(Gsyscall),
    [Gwaiting] = TO(Grunnable),
    [Gdead] = TO(Gidle) | TO(Gsyscall), /* Gsyscall: a foreign thread's */
};

static const uint32_t p_steps[] = {
    [Pidle] = TO(Prunning) | TO(Pgcstop) | TO(Pidle),
    [Prunning] = TO(Pidle) | TO(Psyscall) | TO(Pgcstop) | TO(Prunning),
    [Psyscall] = TO(Prunning) | TO(Pidle) | TO(Pgcstop),
    [Pgcstop] = TO(Pidle) | TO(Prunning) | TO(Psyscall) | TO(Pgcstop) | TO(Pdead),
    [Pdead] = TO(Pidle) | TO(Pgcstop),
};

static void step(const uint32_t *steps, const char *what, uint32_t from, uint32_t to) {
  if (likely(steps[from] & TO(to))) return;
  char text[80];
  snprintf(text, sizeof text, "assertion failed: a %s in state %u becomes %u", what, from, to);
  gs_throw(text, __FILE__, __LINE__);
}

void g_step(const G *g, uint32_t to) { step(g_steps, "G", load_rlx(&g->status), to); }

void p_step(const P *p, uint32_t to) { step(p_steps, "P", load_rlx(&p->status), to); }

#endif
