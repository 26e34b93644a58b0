/* states.h: a G and a P become what the drawings in docs/design.md allow, and nothing else.
 *
 * Only the owner of a G or a P stores its status: the M that runs it, whoever has claimed its park
 * word, the retaker that has confirmed, the stopper of the world.  Everybody else reads it as a
 * hint.  Checked builds hold every store against the tables of states.c, so that a wrong step ends
 * the program where it happens, and not where its consequences do.  The first store to new memory
 * goes without, and so does the forked child's clearing up, which finds the states of threads that
 * are no more.
 *
 * Go: casgstatus and the like in runtime/proc.go, where it is a CAS because of the GC's Gscan.
 */
#ifndef GS_STATES_H
#define GS_STATES_H

#include "runtime.h"

#if GS_CHECKED
void g_step(const G *g, uint32_t to);
void p_step(const P *p, uint32_t to);
#else
#define g_step(g, to) ((void)0)
#define p_step(p, to) ((void)0)
#endif

static inline void g_to(G *g, uint32_t to) {
  g_step(g, to);
  store_rlx(&g->status, to);
}

static inline void p_to(P *p, uint32_t to) {
  p_step(p, to);
  store_rlx(&p->status, to);
}

#endif
