/* handshake.pml: taking a P from an M that is outside the runtime (core/retake.c, core/runtime.h).
 *
 * Two Ms leave and enter the runtime, hold the one P in turns, give it up of their own will or
 * lose it; retakers (sysmon, a stop of the world) judge by a captured word and try to take it.
 *
 * Claimed, in every interleaving and for every delay of every store:
 *   - the P has one holder, who sees all that the holder before wrote to it;
 *   - what is taken is the very stretch outside that was judged, not a later one;
 *   - whoever waits for a LOCK to go away is woken (Spin finds a state that nobody leaves).
 *
 * How an M pays is chosen at every leave: FENCED, an xchg when it enters again and no barrier, or
 * not, a plain store and the retaker's membarrier.
 *
 * Sound: ROUNDS=1
 * Sound: TRIES=1
 * Sound: TRIES=1 WEAK
 * Sound: RETAKERS=2 ROUNDS=1 TRIES=1
 * Broken: BROKEN_BARRIER          no membarrier between LOCK and the second look at sc
 * Broken: BROKEN_LOCK             pw is compared, not LOCKed
 * Broken: BROKEN_CONFIRM          sc is not looked at again after the barrier
 * Broken: BROKEN_WORD             only the mode is compared, not the whole word
 * Broken: BROKEN_FENCE            FENCED is announced, and yet sc is a plain store
 * Broken: BROKEN_ORDER            the look at pw comes before the store to sc
 * Broken: BROKEN_WAKE             pw is unlocked by a plain store before the look at pw_waiters
 * Broken: BROKEN_RELEASEP         a P is given up by a store to pw, not by a CAS
 * Broken: BROKEN_RELEASE WEAK     sc is left by a relaxed store: the P's contents come late
 */

#ifndef RETAKERS
#define RETAKERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef TRIES
#define TRIES 2
#endif

#define THREADS (2 + RETAKERS)
#define SC(m) (m)       /* 0, 1 */
#define PW(m) (2 + (m)) /* 2, 3 */
#define CONTENTS 4      /* of the P: its queue, its counters */
#define POOL 5          /* 1: the P is on the idle list, under its lock */
#define WAITERS 6       /* gs_sched.pw_waiters */
#define PLACES 7
#include "storebuffer.pml"

/* The word sc, and pw. */
#define INSIDE 0
#define CALL 1
#define USER 2
#define MODE(word) ((word) & 3)
#define SC_FENCED 4
#define STEP 8
#define THE_P 2
#define LOCK 1

/* What is true, whatever the threads have been told. */
byte holder;      /* who uses the P: 1 + me */
byte contents;    /* what the last holder wrote */
byte stretch[2];  /* the word of the stretch outside that the M is in, 0: inside */
bool asleep[2];   /* in the futex wait on pw */

/* Everything that only the holder may do. */
inline use_p() {
  atomic {
    buffer[me].n < DEPTH ->
    assert(holder == 0);
    holder = me + 1;
    assert(RD(CONTENTS) == contents);
    contents = (contents + 1) & 3;
    store(CONTENTS, contents)
  };
  holder = 0
}

inline pool_put() { atomic { FENCED -> assert(mem[POOL] == 0); mem[POOL] = 1 } }

/* True in `kept`: pw is the M's P again. */
inline wait_unlocked(w, kept) {
  w = RD(PW(me));
  if
  :: (w & LOCK) ->
    atomic { FENCED -> mem[WAITERS]++ };
    do
    :: w = RD(PW(me));
      if
      :: (w & LOCK) ->
        if /* the kernel compares once more before it lets the thread sleep */
        :: atomic { mem[PW(me)] == w -> asleep[me] = true };
          !asleep[me]
        :: mem[PW(me)] != w
        fi
      :: else -> break
      fi
    od;
    atomic { FENCED -> mem[WAITERS]-- }
  :: else
  fi;
  kept = (w == THE_P)
}

proctype owner(byte me) {
  byte sc, w, rounds;
  bool held = (me == 0), kept;
  do
  :: held && rounds < ROUNDS ->
    rounds++;
    use_p();
    /* sc_leave: sc_next(sc, mode), FENCED or not. */
    if
    :: sc = (sc & ~7) + STEP + CALL
    :: sc = (sc & ~7) + STEP + USER
    fi;
#ifndef PLAIN_ONLY
    if
    :: sc = sc | SC_FENCED
    :: skip
    fi;
#endif
    atomic {
      buffer[me].n < DEPTH ->
      stretch[me] = sc;
#ifdef BROKEN_RELEASE
      store(SC(me), sc)
#else
      store_release(SC(me), sc)
#endif
    };
    /* Outside.  sc_enter. */
#ifdef BROKEN_ORDER
    w = RD(PW(me));
#endif
#ifdef BROKEN_FENCE
    if
#else
    if
    :: (sc & SC_FENCED) -> sc = (sc & ~7) + STEP; store_sc(SC(me), sc)
#endif
    :: else -> sc = (sc & ~7) + STEP; store(SC(me), sc)
    fi;
#ifndef BROKEN_ORDER
    w = RD(PW(me));
#endif
    if
    :: w == THE_P -> kept = true
    :: else -> wait_unlocked(w, kept)
    fi;
    atomic { stretch[me] = 0; held = kept }
  :: held ->
    /* releasep. */
    use_p();
#ifdef BROKEN_RELEASEP
    if
    :: RD(PW(me)) == THE_P -> store(PW(me), 0)
    :: else -> wait_unlocked(w, kept); store(PW(me), 0)
    fi;
#else
    do
    :: atomic { FENCED && mem[PW(me)] == THE_P -> mem[PW(me)] = 0 }; break
    :: atomic { FENCED && mem[PW(me)] != THE_P -> skip }; wait_unlocked(w, kept)
    od;
#endif
    pool_put();
    held = false
  :: !held && rounds < ROUNDS ->
    /* pidleget and acquirep. */
    if
    :: atomic { FENCED && mem[POOL] == 1 -> mem[POOL] = 0 };
      atomic { assert(RD(PW(me)) == 0); store_release(PW(me), THE_P); held = true }
    :: break /* or rest for good */
    fi
  :: !held && rounds == ROUNDS -> break
  od
}

inline unlock_pw(m, v) {
#ifdef BROKEN_WAKE
  store(PW(m), v);
#else
  store_sc(PW(m), v);
#endif
  if
  :: RD(WAITERS) != 0 -> asleep[m] = false
  :: else
  fi
}

proctype retaker(byte me) {
  byte m, captured, tries;
  do
  :: tries < TRIES ->
    tries++;
    if
    :: m = 0
    :: m = 1
    fi;
    captured = RD(SC(m));
    if
    :: MODE(captured) != CALL -> goto next
    :: else
    fi;
    atomic {
      FENCED;
      if
      :: mem[PW(m)] != THE_P -> goto next
#ifdef BROKEN_LOCK
      :: else
#else
      :: else -> mem[PW(m)] = THE_P | LOCK
#endif
      fi
    };
    if
    :: RD(SC(m)) != captured -> goto give_back
    :: else
    fi;
#ifndef BROKEN_BARRIER
    if
    :: !(captured & SC_FENCED) -> membarrier(0); membarrier(1)
    :: else
    fi;
#endif
#ifndef BROKEN_CONFIRM
    if
#ifdef BROKEN_WORD
    :: MODE(RD(SC(m))) == INSIDE -> goto give_back
#else
    :: RD(SC(m)) != captured -> goto give_back
#endif
    :: else
    fi;
#endif
    assert(stretch[m] == captured);
    use_p();
    unlock_pw(m, 0);
    use_p(); /* the retaker's until it hands it on */
    pool_put();
    goto next;
  give_back:
#ifndef BROKEN_LOCK
    unlock_pw(m, THE_P);
#endif
  next:
    captured = 0;
    m = 0
  :: break
  od
}

init {
  atomic {
    mem[PW(0)] = THE_P;
    run owner(0);
    run owner(1);
    run retaker(2);
#if RETAKERS > 1
    run retaker(3);
#endif
  }
}
