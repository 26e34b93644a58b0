/* hogs.c: green threads that compute give up their turn at their next line.
 *
 * sysmon takes the turn from a green thread that has computed for a slice while others wait, and
 * another one runs, as soon as it has the GIL.  The first goes on without the turn, and wants the
 * GIL, too; with some of them everybody waits for everybody, since CPython gives the GIL to any of
 * those who want it.  So it has to stop: the one that has got the GIL sees to it that the other
 * one notices at its next line, and queues for its turn there, as if it had called yield_now.  At
 * most one green thread computes then, whose turn it is, and who wakes up has to wait for one
 * switch of the GIL, however many want to compute.
 *
 * The way of one that computes: asked (by sysmon, which cannot touch its thread state without the
 * GIL), stopping (whoever takes the GIL next has prepared its thread state), interrupted.  If it
 * gives the GIL up by itself first, what was prepared is taken back when it goes on.
 *
 * Who was stopped is likely to go on computing: its turn is taken as soon as others wait.  It has a
 * slice nevertheless, since the next one has to wait for the GIL for a switch interval.
 *
 * Up to 3.11 the mark is in the thread state.  From 3.12 on it is in a code object, which others
 * may run, too: it is taken out with the last one that has it.  And who leaves that code by an
 * exception is not told; whoever takes the GIL next looks where they are (tstate_follow).
 *
 * It stays on its OS thread meanwhile: C below it may hold what belongs to that (the lock of a
 * BufferedReader around a raw object written in Python).
 *
 * It is left alone where it is traced or profiled, and in callbacks: there is C below it, which may
 * have locked something.  Everywhere else a thread may lose the GIL for as long, too.
 */
#include "hogs.h"

#include "tstate.h"

_Atomic int hogs_busy;
static Rec *asked;  /* rec_lock */
static Rec *marked; /* those that are stopping; GIL */

static void busy(int more) { atomic_fetch_add_explicit(&hogs_busy, more, memory_order_relaxed); }

void hog_ask(Rec *r) {
  if (r->asked) return;
  r->asked = true;
  r->next_asked = asked;
  asked = r;
  busy(1);
}

void hog_forget(Rec *r) {
  if (!r->asked) return;
  Rec **at = &asked;
  while (*at != r) at = &(*at)->next_asked;
  *at = r->next_asked;
  r->asked = false;
  busy(-1);
}

/* Green threads that run the same code have the same mark (tstate.c). */
static bool is_shared(const Rec *r) {
  for (const Rec *other = marked; other; other = other->next_marked)
    if (other != r && other->mark && other->mark == r->mark) return true;
  return false;
}

void hog_go_on(Rec *r) {
  if (!r->stopping) return;
  r->stopping = false;
  Rec **at = &marked;
  while (*at != r) at = &(*at)->next_marked;
  *at = r->next_marked;
  tstate_uninterrupt(r->ts, &r->mark, is_shared(r));
  busy(-1);
}

static Rec *next_asked(void) {
  pthread_mutex_lock(&rec_lock);
  Rec *r = asked;
  if (r) hog_forget(r);
  pthread_mutex_unlock(&rec_lock);
  return r;
}

/* Each of them is alive as long as we have the GIL, without which it cannot end. */
void hogs_stop(Rec *current) {
  hog_go_on(current);
  for (Rec *r = marked; r; r = r->next_marked) tstate_follow(r->ts, &r->mark, is_shared(r));
  for (Rec *r; (r = next_asked()) != NULL;) {
    if (r == current || r->stopping || !tstate_interrupt(r->ts, &r->mark)) continue;
    r->stopping = true;
    r->next_marked = marked;
    marked = r;
    busy(1);
  }
}

/* In a child of fork: the others are gone. */
void hogs_forked(Rec *r) {
  asked = NULL;
  marked = r && r->stopping ? r : NULL;
  if (marked) marked->next_marked = NULL;
  if (r) r->asked = false;
  atomic_store(&hogs_busy, r && r->stopping);
}

/* On any thread that runs the code that was prepared; GIL. */
void hog_interrupted(void) {
  Rec *r = rec_here();
  if (!r || !r->stopping || r->ts != PyThreadState_Get()) return;
  hog_go_on(r);
  if (r->calls || r->ts->gilstate_counter != r->gilstate_base) return;
  pin_check(r);
  r->where = state_runnable;
  gs_lock_os_thread(); /* C below may hold what belongs to this OS thread */
  gs_yield();
  gs_unlock_os_thread();
  atomic_store_explicit(&r->hog, true, memory_order_relaxed);
  op_end(r);
}
