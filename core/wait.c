/* wait.c: for how long a green thread has been waiting.
 *
 * A clock where a wait begins would cost as much as the rest of it.  So nobody looks there; whoever
 * looks from outside (a dump, a snapshot, sysmon now and then) and finds a G waiting writes down
 * when that was, and marks the G as seen.  The mark is a bit of the pointer to the reason, which a
 * G that parks writes anew: so it goes away by itself with the next wait, and costs the one who
 * waits nothing.  What is known is "at least so long".
 *
 * The race.  The observer reads the reason, finds that the G waits, writes the time, and marks the
 * reason by a CAS.  If the G has gone on meanwhile and waits for something else, the CAS fails; if
 * it waits for the same once more, the time is that of a moment ago, when it was about to.  Two
 * observers write two times that are as good as each other.  A mark on the reason of a G that runs,
 * by an observer that was slow, is harmless: readers take it off.
 *
 * A second bit says that this wait is part of a deadlock that has been told (deadlock.c), and goes
 * away in the same way.  It is set while the world is stopped and the G is parked, so only
 * observers are about: theirs fails, or this one is tried again.
 */
#include "runtime.h"

#define MARK ((uintptr_t)1 << 63) /* no address of a text has them */
#define TOLD ((uintptr_t)1 << 62)
#define LOOK 200 /* Gs that sysmon looks at each time */

static uintptr_t word_of(const G *g) { return (uintptr_t)load_rlx(&g->waitreason); }

const char *g_waitreason(const G *g) { return (const char *)(word_of(g) & ~(MARK | TOLD)); }

static int64_t waits_since(G *g, int64_t now) {
  uintptr_t reason = word_of(g);
  if (reason & MARK) return load_rlx(&g->since);
  if (g_status(g) != Gwaiting) return 0;
  store_rlx(&g->since, now);
  (void)CAS(&g->waitreason, (const char *)reason, (const char *)(reason | MARK));
  return now;
}

bool g_told(const G *g) { return word_of(g) & TOLD; }

void g_tell(G *g) {
  uintptr_t reason;
  do reason = word_of(g);
  while (!CAS(&g->waitreason, (const char *)reason, (const char *)(reason | TOLD)));
}

int64_t g_since(G *g, int64_t now) {
  switch (g_status(g)) {
    case Gsyscall: return load_rlx(&g->waitsince);
    case Gwaiting: return waits_since(g, now);
    default: return 0;
  }
}

/* A part of them each time; all Gs have had a look after a while, however many there are. */
void wait_look(int64_t now) {
  static G *at;
  for (int i = 0; i < LOOK; i++) {
    if (!at && !(at = load_acq(&gs_sched.allg))) return;
    if (g_status(at) == Gwaiting) (void)waits_since(at, now);
    at = at->alllink;
    if (!at) return;
  }
}
