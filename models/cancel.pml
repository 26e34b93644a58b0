/* cancel.pml: a G that is cancelled while it parks (core/proc.c park_commit, core/g.c g_cancel).
 *
 * The parker publishes PARKED by a plain store and then looks at the flag; the canceller sets the
 * flag, pays with the heavy barrier, and then looks at the park word.  A partner may claim the G as
 * well.  With `fenced` the parker publishes by an xchg and the canceller has no barrier.
 *
 * Claimed: who is cancelled does not stay parked; exactly one claims the G and makes it runnable.
 *
 * Sound:
 * Sound: WEAK
 * Sound: FENCES
 * Broken: BROKEN_BARRIER           the canceller has no barrier
 * Broken: BROKEN_PARKER            the parker does not look at the flag
 * Broken: BROKEN_CLAIM             who sees PARKED claims by a store
 * Broken: BROKEN_FENCE FENCES      fenced, and yet PARKED is published by a plain store
 */
#define THREADS 3
#define DEPTH 2
#define PARK 0
#define FLAG 1
#define PLACES 2
#include "storebuffer.pml"

#define NO 0
#define PARKED 1
#define WOKEN 2

byte runnable; /* how many have made it so */

inline claim_and_ready() {
  if
#ifdef BROKEN_CLAIM
  :: RD(PARK) == PARKED -> store(PARK, WOKEN); runnable++
  :: else
#else
  :: RD(PARK) == PARKED ->
    atomic {
      FENCED;
      if
      :: mem[PARK] == PARKED -> mem[PARK] = WOKEN; runnable++
      :: else
      fi
    }
  :: else
#endif
  fi
}

active proctype parker() {
  byte me = 0;
#ifdef FENCES
#ifdef BROKEN_FENCE
  store(PARK, PARKED);
#else
  store_sc(PARK, PARKED);
#endif
#else
  store_release(PARK, PARKED);
#endif
#ifndef BROKEN_PARKER
  if
  :: RD(FLAG) -> claim_and_ready()
  :: else
  fi
#endif
}

active proctype canceller() {
  byte me = 1;
  store(FLAG, 1);
  FENCED;
#if !defined(FENCES) && !defined(BROKEN_BARRIER)
  membarrier(0);
#endif
  claim_and_ready()
}

/* A partner on a channel, or a timer: comes at any time, or not at all. */
active proctype partner() {
  byte me = 2;
  if
  :: claim_and_ready()
  :: skip
  fi
}

active proctype judge() {
end:
  timeout;
  assert(runnable == 1)
}
