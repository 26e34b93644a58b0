/* stop_world.pml: stopping the world (core/stw.c, and wait_unlocked in core/m.c).
 *
 * One P goes round between two Ms: an M uses it inside, leaves, comes in again, or gives it up, to
 * the idle list or straight to the other M.  A stopper sets gcwaiting and accounts for the P, round
 * after round: on the idle list; or LOCKed on the M that has it, which is then seen outside once.
 * The LOCK stays until the world starts.  An M that runs into it waits in the mode STOPPED, which
 * counts as outside, and comes in by the handshake.
 *
 * Claimed: while the world is stopped nobody uses the P; the stop and the start come to an end, and
 * then everybody goes on.  The P that is given to an M which stands still with another P (STW_GIVEN)
 * needs two Ps and is not in this model.
 *
 * Sound:
 * Sound: WEAK
 * Sound: STOPS=2
 * Broken: BROKEN_BARRIER             no heavy barrier between the LOCK and the look at sc
 * Broken: BROKEN_SEEN                an M that is LOCKed counts as stopped, wherever it is
 * Broken: BROKEN_ROUNDS              a P that is on its way to an M is overlooked
 * Broken: BROKEN_IDLE                idle Ps are given away while gcwaiting is set
 * Broken: BROKEN_STOPPED             an M that meets the LOCK waits as one that is inside
 * Broken: BROKEN_REENTER STOPS=2     after the wait it comes in without another look at pw
 * Broken: BROKEN_RELEASEP            an M gives up a P that is LOCKed, by a store
 */
#ifndef STOPS
#define STOPS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define THREADS 3
#define SC(m) (m)
#define PW(m) (2 + (m))
#define WHO 4      /* p->m: 1 + the M, 0: none */
#define GCWAITING 5
#define PLACES 6
#include "storebuffer.pml"

#define INSIDE 0
#define CALL 1
#define STOPPED 3
#define MODE(word) ((word) & 3)
#define STEP 4
#define THE_P 2
#define LOCK 1

/* p->stop.how */
#define NOT 0
#define LOCKING 1
#define LOCKED 2
#define IDLE 3

bool on_list;   /* the idle list, under the domain's lock */
bool given[2];  /* nextp: the P is on its way to this M */
bool asleep[2]; /* until pw is unlocked */
bool alive[2];  /* takes a P that it is given */
bool stopped;   /* what the stopper promises */

inline use_p() {
  atomic { assert(!stopped); skip };
  assert(!stopped)
}

inline come_in() { sc = (sc & ~3) + STEP; store(SC(me), sc) }

/* pw is LOCKed, or not the M's. */
inline wait_unlocked() {
  do
  :: w = RD(PW(me));
    if
    :: (w & LOCK) ->
#ifndef BROKEN_STOPPED
      sc = (sc & ~3) + STEP + STOPPED;
      store_release(SC(me), sc);
#endif
      if
      :: atomic { FENCED && mem[PW(me)] == w -> asleep[me] = true }; !asleep[me]
      :: atomic { FENCED && mem[PW(me)] != w -> skip }
      fi;
#ifndef BROKEN_STOPPED
      come_in();
#endif
#ifdef BROKEN_REENTER
      w = THE_P;
      break
#endif
    :: else -> break
    fi
  od
}

inline acquirep() {
  atomic {
    store(WHO, me + 1);
    assert(RD(PW(me)) == 0);
    store_release(PW(me), THE_P);
    held = true
  }
}

proctype owner(byte me) {
  byte sc, w, rounds;
  bool held = (me == 0);
  do
  :: held && rounds < ROUNDS ->
    rounds++;
    use_p();
    if
    :: /* out and in again */
      sc = (sc & ~3) + STEP + CALL;
      store_release(SC(me), sc);
      come_in();
      w = RD(PW(me));
      if
      :: w == THE_P
      :: else -> wait_unlocked()
      fi;
      assert(w == THE_P)
    :: skip
    fi
  :: held ->
    use_p();
#ifdef BROKEN_RELEASEP
    store(PW(me), 0);
    FENCED;
#else
    do
    :: atomic { FENCED && mem[PW(me)] == THE_P -> mem[PW(me)] = 0 }; break
    :: atomic { FENCED && mem[PW(me)] != THE_P -> skip }; wait_unlocked()
    od;
#endif
    held = false;
    store(WHO, 0);
    if /* in its hand: it still uses the P, inside */
    :: atomic { FENCED; on_list = true }
    :: atomic { FENCED && alive[1 - me] -> given[1 - me] = true }
    fi
  :: atomic { !held && given[me] -> given[me] = false }; acquirep()
#ifdef BROKEN_IDLE
  :: atomic { !held && on_list && FENCED && rounds < ROUNDS -> on_list = false }; acquirep()
#else
  :: atomic {
      !held && on_list && FENCED && mem[GCWAITING] == 0 && rounds < ROUNDS -> on_list = false
    };
    acquirep()
#endif
  :: atomic { !held && !given[me] -> alive[me] = false; break }
  od
}

inline unlock_pw(m) { atomic { FENCED -> mem[PW(m)] = THE_P; asleep[m] = false } }

active proctype stopper() {
  byte me = 2, m, who, how, stops;
  do
  :: stops < STOPS ->
    stops++;
    store_sc(GCWAITING, 1);
    do
    :: atomic {
        FENCED;
        if
        :: how == NOT && on_list -> how = IDLE
        :: else
        fi
      };
      if
      :: how == NOT -> who = RD(WHO)
      :: else
      fi;
      if
      :: how == NOT && who != 0 ->
        m = who - 1;
        who = 0;
        atomic {
          FENCED;
          if
          :: mem[PW(m)] == THE_P -> mem[PW(m)] = THE_P | LOCK; how = LOCKING
          :: else
          fi
        };
#ifndef BROKEN_BARRIER
        membarrier(0);
        membarrier(1)
#endif
      :: else
      fi;
      if
#ifdef BROKEN_SEEN
      :: how == LOCKING -> how = LOCKED
#else
      :: how == LOCKING -> MODE(RD(SC(m))) != INSIDE; how = LOCKED
#endif
      :: else
      fi;
#ifdef BROKEN_ROUNDS
      if
      :: how == NOT -> break
      :: else
      fi;
#endif
      if
      :: how > LOCKING -> break
      :: else
      fi
    od;
    stopped = true;
    stopped = false;
    store_sc(GCWAITING, 0);
    if
    :: how == LOCKED -> unlock_pw(m)
    :: else
    fi;
    how = NOT;
    m = 0
  :: stops == STOPS -> break
  od
}

init {
  atomic {
    alive[0] = true;
    alive[1] = true;
    mem[PW(0)] = THE_P;
    mem[WHO] = 1;
    run owner(0);
    run owner(1)
  }
}
