/* guess.c: whether a green thread that has let the GIL go stays away for long.
 *
 * An extension that says Py_BEGIN_ALLOW_THREADS is away for a microsecond (a write to a socket) or
 * for seconds (a query), and does not say which.  Taking the turn for a microsecond costs two
 * switches of threads; waiting to see costs everybody else that wait, once for each green thread
 * that blocks.  So sysmon looks twice, 50 us apart (core/sysmon.c), until it turns out that those
 * it takes the turn from do stay away.  After ENOUGH of them in a row, one has lost the turn whose
 * thread has stood still for AWAY_NS: its CPU clock has.  Only to be without the GIL twice proves
 * nothing: somebody who hashes one block after the other is nearly always found so.
 *
 * How it turns out.  Who has lost the turn and comes back takes the GIL, and that before whoever
 * has the turn now if it comes back soon: sysmon, which looks all the time after it has taken a
 * turn, finds the one with the GIL and the other without.  That ends the row.  A wrong guess harms
 * one green thread as much as a thread of CPython's is harmed each time it lets the GIL go.
 */
#include "guess.h"

#include <time.h>

#include "tstate.h"

#define AWAY_NS 10000   /* what a short system call does not last */
#define SOON_NS 1000000 /* who comes back by then should have kept the turn */
#define ENOUGH 4

static const Rec *away; /* has the turn and was found without the GIL; NULL: nobody */
static int64_t since;   /* when it was first found so, */
static int64_t cpu;     /* and its thread had used so much CPU */
static const Rec *lost; /* was the one away before, and has lost its turn, or passed it on */
static int64_t passed;  /* when that was found */
static int row;         /* of those who stayed away */

/* -1: its thread is gone. */
static int64_t cpu_of(const Rec *r) {
  struct timespec t;
  if (clock_gettime(atomic_load_explicit(&r->clock, memory_order_relaxed), &t) != 0) return -1;
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void guess_attached(const Rec *r) {
  if (away == r) away = NULL;
}

bool guess_blocked(const Rec *r) {
  int64_t now = gs_now();
  if (away != r) {
    if (away && tstate_detached(away->ts)) {
      if (row < ENOUGH) row++;
      lost = away;
      passed = now;
    }
    away = r;
  } else if (row < ENOUGH || now - since < AWAY_NS) {
    return false;
  } else if (cpu_of(r) == cpu) {
    return true;
  }
  since = now;
  cpu = cpu_of(r);
  return false;
}

/* r, which has lost its turn, or is about to, at that time. */
static bool is_back_soon(const Rec *r, int64_t when) {
  return r && !tstate_detached(r->ts) && gs_now() - when < SOON_NS;
}

void guess_contended(void) {
  if (is_back_soon(away, since) || is_back_soon(lost, passed)) row = 0;
}

void guess_forget(const Rec *r) {
  if (!r || away == r) away = NULL;
  if (!r || lost == r) lost = NULL;
}
