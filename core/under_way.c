/* under_way.c: is anybody inside C code that is about to go away?
 *
 * Who frees what foreign functions use (a library's mapping, a description of a function) asks here
 * instead of counting calls, which would cost every call two locked instructions.  A foreign call
 * keeps an M, so the Ms are asked: what they say of themselves for dumps, without a lock.
 *
 * What is promised.  A call whose function has begun before the asker got here, in the sense that
 * the asker has learned of it (through memory that both use, a channel, a lock), is seen: the call
 * stores what is read here before it calls the function.  A call that is over may be seen still.
 * So the answer errs to one side.  It also does for calls around callbacks: what a green thread is
 * in below its innermost call is on its stacks alone, so such ones count as any call's.
 */
#include "runtime.h"

#define UNCHECKED __attribute__((no_sanitize("thread"))) /* words of others, as they are */

UNCHECKED static bool may_be_in(const M *m, int (*of)(const gs_site *, void *), void *ud) {
  uint32_t incgo = load_rlx(&m->incgo), ncgo = load_rlx(&m->ncgo);
  const G *g = load_rlx(&m->curg);
  if (m->extrag && ncgo == 0) return false; /* a foreign thread between two callbacks */
  if (!incgo && !ncgo) return false;
  bool known = g && incgo && ncgo == 1 && !load_rlx(&g->pins);
  return of(known ? load_rlx(&g->site) : NULL, ud) != 0;
}

int gs_calls_under_way(int (*of)(const gs_site *site, void *ud), void *ud) {
  if (!of) return 0;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    if (may_be_in(m, of, ud)) return 1;
  return 0;
}
