/* frames.c: where the green threads that wait were left, for dumps and for the report of a
 * deadlock.
 *
 * The stack of a parked G is read, not run, by os_walk: its words that look like return addresses,
 * innermost first, which may be a frame too many and needs no lock, no memory and no G that holds
 * still.  What the scheduler itself has there is left out, as far as it can be told from the rest.
 * Programs have thousands of green threads and few places where these wait.  So each place is told
 * once, and of the others whose it is; and places are told no more when there have been very many,
 * for finding a name costs time in a world that may stand still.
 */
#include <string.h>

#include "runtime.h"

#define FAR_ENOUGH 4096u /* bytes of a stack that are looked at */

/* What it reads may just change: a dump does not wait for that. */
#define UNCHECKED __attribute__((no_sanitize("thread")))

UNCHECKED static int walk_parked(const G *g, void **pcs) {
  const Stack *stack = load_rlx(&g->stack);
  const char *sp = load_rlx(&g->sp);
  if (!stack || sp < stack->lo || sp >= stack->hi) return 0;
  void *all[2 * FRAMES];
  int n = 0, found = os_walk(sp, stack->hi - sp > FAR_ENOUGH ? sp + FAR_ENOUGH : stack->hi, all,
                             2 * FRAMES);
  for (int i = 0; i < found && n < FRAMES; i++)
    if (!os_internal(all[i])) pcs[n++] = all[i];
  return n;
}

/* What else waits there, or 0. */
static uint64_t place_of(const Places *seen, void *const *pcs, int n) {
  for (uint32_t i = 0; i < seen->n && i < PLACES; i++)
    if (seen->place[i].n == n && memcmp(seen->place[i].pcs, pcs, (size_t)n * sizeof *pcs) == 0)
      return seen->place[i].goid;
  return 0;
}

UNCHECKED int g_frames(Places *seen, const G *g, void **pcs, uint64_t *same) {
  *same = 0;
  if (seen->told == PLACES_MOST) return 0;
  int n = walk_parked(g, pcs);
  if (n == 0 || (*same = place_of(seen, pcs, n))) return n;
  seen->told++;
  uint32_t at = seen->n++ % PLACES; /* the latest are kept */
  seen->place[at].goid = g->goid;
  seen->place[at].n = n;
  memcpy(seen->place[at].pcs, pcs, (size_t)n * sizeof *pcs);
  return n;
}
