/* spinning.pml: nobody sleeps while there is work (core/proc.c, core/m.c: ready, wakep, retire).
 *
 * Two Ps.  M 0 runs a G that makes others runnable and then computes for ever, so that what stands
 * in its queue must be stolen, or ends and looks for work itself.  M 1 has the other P, nothing to
 * do, and is about to retire.  M 2 (RETURNER) comes back from a foreign call, takes an idle P if
 * there is one, and computes or looks for work.  M 3 is parked; startm wakes it.
 *
 * Claimed: once nothing moves any more, no G stands in a queue while a P is idle; a P has one
 * holder; whoever has stopped to spin is no longer counted.
 *
 * A critical section of the domain's lock is one step here, because the only thing that others
 * read of it without the lock is npidle.
 *
 * With two Gs (SUBMITS=2) the second kicks the first out of runnext into the ring, by a plain store
 * to tail that comes after the xchg.  If that store stayed in the buffer while a thief takes the
 * second G, runs it, and looks through all queues once more, the first G would be forgotten for as
 * long as the submitter computes.  No processor keeps a store for so long; and then sysmon takes
 * the P of a G that computes while others wait (NET).  So the fence that would close it
 * (KICK_FENCED) is not paid at every submit.
 *
 * Sound:
 * Sound: WEAK
 * Sound: RETURNER
 * Sound: SUBMITS=2 NET
 * Sound: SUBMITS=2 KICK_FENCED
 * Broken: BROKEN_RECHECK                 who stops spinning does not look at the queues again
 * Broken: BROKEN_RETIRE                  nmspinning-- is no locked instruction
 * Broken: BROKEN_SUBMIT                  the G is queued by a plain store
 * Broken: BROKEN_NEEDSPINNING SUBMITS=2 KICK_FENCED   wakep finds no idle P, and tells nobody
 * Broken: BROKEN_UNLOCKED SUBMITS=2 KICK_FENCED   wakep says so after it has let the lock go
 * Broken: BROKEN_LAST RETURNER           an M that did not spin gives its P up, and nobody spins
 * Broken: SUBMITS=2                      neither fence nor sysmon for the G that was kicked out
 */
#ifndef SUBMITS
#define SUBMITS 1 /* Gs that the G of M 0 makes runnable */
#endif

#ifdef NET
#define THREADS 5 /* and sysmon */
#else
#define THREADS 4
#endif
#define DEPTH 2
#define NEXT(p) (p)       /* runnext: holds a G */
#define HEAD(p) (2 + (p)) /* the ring, as far as its ends go */
#define TAIL(p) (4 + (p))
#define IDLE(p) (6 + (p)) /* p->status is Pidle */
#define NPIDLE 8
#define NMSPINNING 9
#define PLACES 10
#include "storebuffer.pml"

#define NONE 9

/* What is true, whatever the threads have been told. */
byte holder[2];      /* 1 + the M that has the P; 0: it is on the idle list, or in somebody's hand */
bool on_list[2];     /* the idle list */
bool needspinning;   /* under the lock, as the list is */
byte nextp[THREADS]; /* what startm gave to a parked M */
bool spinning[THREADS];
bool parked[THREADS];

inline count_spinning(change) { atomic { FENCED -> mem[NMSPINNING] = mem[NMSPINNING] + change } }

/* ---- the idle list ---- */

/* Inside an atomic step. */
inline pop_idle(to) {
  if
  :: on_list[0] -> to = 0
  :: !on_list[0] && on_list[1] -> to = 1
  :: else -> to = NONE
  fi;
  if
  :: to != NONE -> on_list[to] = false; mem[NPIDLE]--
  :: else
  fi
}

inline pidleget_try(to) {
  if
  :: RD(NPIDLE) == 0 -> to = NONE
  :: else -> atomic { FENCED; pop_idle(to) }
  fi
}

inline pidleget_spinning(to) {
#ifdef BROKEN_UNLOCKED
  pidleget_try(to);
  if
  :: to == NONE -> atomic { FENCED; needspinning = true }
  :: else
  fi
#else
  atomic {
    FENCED;
    pop_idle(to);
#ifndef BROKEN_NEEDSPINNING
    if
    :: to == NONE -> needspinning = true
    :: else
    fi
#endif
  }
#endif
}

inline acquirep(from) {
  atomic {
    p = from;
    assert(holder[p] == 0);
    holder[p] = me + 1;
    store(IDLE(p), 0)
  }
}

/* ---- waking an M ---- */

/* Where no M is parked a new one is made, which takes a while; here one that is on its way to rest
 * serves as well. */
#define SOME_PARKED (parked[0] || parked[1] || parked[2] || parked[3])
inline startm(from, spins) {
  atomic {
    FENCED && SOME_PARKED; /* note_wake */
    m = 0;
    do
    :: parked[m] -> break
    :: else -> m++
    od;
    parked[m] = false;
    spinning[m] = spins;
    nextp[m] = from;
    m = 0;
    from = 0
  }
}

inline wakep() {
  if
  :: RD(NPIDLE) == 0
  :: else ->
    if
    :: RD(NMSPINNING) != 0
    :: else ->
      atomic {
        FENCED;
        if
        :: mem[NMSPINNING] == 0 -> mem[NMSPINNING] = 1; won = true
        :: else -> won = false
        fi
      };
      if
      :: won ->
        won = false;
        pidleget_spinning(q);
        if
        :: q == NONE -> count_spinning(-1); q = 0
        :: else -> startm(q, true)
        fi
      :: else
      fi
    fi
  fi
}

/* ---- queues ---- */

/* ready() on a P of its own: runqput(next), wakep. */
inline submit() {
#ifdef BROKEN_SUBMIT
  atomic { old = RD(NEXT(p)); store(NEXT(p), 1) };
#else
  atomic { FENCED -> old = mem[NEXT(p)]; mem[NEXT(p)] = 1 };
#endif
  if
  :: old ->
    atomic { old = RD(TAIL(p)); store_release(TAIL(p), old + 1); old = 0 };
#ifdef KICK_FENCED
    FENCED
#endif
  :: else
  fi;
  wakep()
}

/* The owner's runqget looks at runnext first, a thief's grab last.  One G at a time: no queue here
 * is longer than two. */
inline take_next(v) {
  if
  :: RD(NEXT(v)) != 0 ->
    atomic {
      FENCED;
      if
      :: mem[NEXT(v)] -> mem[NEXT(v)] = 0; g = true
      :: else
      fi
    }
  :: else
  fi
}
inline take_ring(v) {
#if SUBMITS > 1
  head = RD(HEAD(v));
  if
  :: RD(TAIL(v)) != head ->
    atomic {
      FENCED;
      if
      :: mem[HEAD(v)] == head -> mem[HEAD(v)] = head + 1; g = true
      :: else
      fi
    }
  :: else
  fi;
  head = 0
#else
  skip
#endif
}

/* runqempty of a P that is not idle. */
inline look(v) {
  if
  :: RD(IDLE(v)) == 0 ->
#if SUBMITS > 1
    head = RD(HEAD(v));
    if
    :: RD(TAIL(v)) != head -> g = true
    :: else
    fi;
    head = 0;
#endif
    if
    :: RD(NEXT(v)) != 0 -> g = true
    :: else
    fi
  :: else
  fi
}

/* ---- an M ---- */

proctype M(byte me; byte has; byte submits) {
  byte p, q, m, head, old;
  bool won, g;
  p = has;
  if
  :: me == 0 -> goto run_submitter
  :: me == 1 -> goto find
  :: me == 2 ->
    /* exitsyscall without its old P. */
    pidleget_try(q);
    if
    :: q == NONE -> goto done /* it queues: another path, under the lock */
    :: else -> acquirep(q); q = 0; goto run_submitter
    fi
  :: else -> goto end
  fi;

run_submitter:
  do
  :: submits > 0 -> submits--; submit()
  :: else -> break
  od;
  if
  :: goto done /* it computes for ever, and keeps its P */
  :: goto find
  fi;

find:
  take_next(p);
  if
  :: !g -> take_ring(p)
  :: else
  fi;
  if
  :: g -> goto run_one
  :: else
  fi;
  if
  :: spinning[me] || 2 * RD(NMSPINNING) < 2 - RD(NPIDLE) ->
    if
    :: !spinning[me] -> spinning[me] = true; count_spinning(1)
    :: else
    fi;
    if
    :: RD(IDLE(1 - p)) == 0 ->
      take_ring(1 - p);
      if
      :: !g -> take_next(1 - p)
      :: else
      fi
    :: else
    fi;
    if
    :: g -> goto run_one
    :: else
    fi
  :: else
  fi;

  /* retire */
  atomic {
    FENCED;
    if
    :: !spinning[me] && needspinning ->
      needspinning = false;
      spinning[me] = true;
      mem[NMSPINNING]++;
      goto find
    :: else ->
      assert(holder[p] == me + 1);
      assert(RD(HEAD(p)) == RD(TAIL(p)) && !RD(NEXT(p)));
      holder[p] = 0;
      mem[IDLE(p)] = 1;
      on_list[p] = true;
      mem[NPIDLE]++
    fi
  };
#ifndef BROKEN_LAST
  if
  :: !spinning[me] && RD(NMSPINNING) == 0 -> spinning[me] = true; count_spinning(1)
  :: else
  fi;
#endif
  if
  :: spinning[me] ->
#ifdef BROKEN_RETIRE
    atomic { old = RD(NMSPINNING); store(NMSPINNING, old - 1); old = 0; spinning[me] = false };
#else
    atomic { FENCED -> mem[NMSPINNING]--; spinning[me] = false };
#endif
#ifndef BROKEN_RECHECK
    look(0);
    look(1);
    if
    :: g ->
      g = false;
      pidleget_spinning(q);
      if
      :: q == NONE -> q = 0
      :: else -> acquirep(q); q = 0; spinning[me] = true; count_spinning(1); goto find
      fi
    :: else
    fi
#endif
  :: else
  fi;
  goto park;

run_one:
  g = false;
  if
  :: spinning[me] ->
    atomic { FENCED -> mem[NMSPINNING]--; spinning[me] = false };
    wakep()
  :: else
  fi;
  goto find; /* the G was short */

park:
  atomic { p = 0; parked[me] = true };
end:
  atomic { !parked[me] -> acquirep(nextp[me]); nextp[me] = 0 };
  goto find;
done:
  skip
}

#define QUEUED(p) (mem[HEAD(p)] != mem[TAIL(p)] || mem[NEXT(p)])
#define FORGOTTEN (mem[NPIDLE] != 0 && (QUEUED(0) || QUEUED(1)))

#ifdef NET
/* sysmon takes the P of a G that computes while others wait, and hands it off with its queue. */
active proctype sysmon() {
  byte me = 4, q, m;
end:
  timeout;
  if
  :: FORGOTTEN && holder[0] == 1 && QUEUED(0) -> holder[0] = 0; q = 0; startm(q, false)
  :: else
  fi;
end_:
  timeout;
  assert(mem[NMSPINNING] == 0 && !FORGOTTEN)
}
#else
active proctype judge() {
end:
  timeout;
  assert(mem[NMSPINNING] == 0 && !FORGOTTEN)
}
#endif

init {
  atomic {
    holder[0] = 1;
    holder[1] = 2;
    parked[3] = true;
    run M(0, 0, SUBMITS);
    run M(1, 1, 0);
#ifdef RETURNER
    run M(2, 0, 0);
#endif
    run M(3, 0, 0)
  }
}
