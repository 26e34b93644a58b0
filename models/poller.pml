/* poller.pml: the seat of the poller and its break (core/poll.c, core/os/netpoll_epoll.c).
 *
 * One M takes the seat, publishes that it polls and until when, looks at the timers and sleeps.
 * Three others add timers, each earlier than what was there, and break the sleep if the poller would
 * sleep beyond theirs.  The flag break_sent suppresses a second write to the eventfd.  One
 * more looks at the descriptors without waiting.
 *
 * Time is a number: 9 is far.  Claimed: once nothing moves any more the poller does not sleep
 * beyond the earliest timer.  (It sleeps, because nobody lets the time come.)
 *
 * Sound:
 * Sound: WEAK
 * Broken: BROKEN_FOREVER   the poller does not publish "for ever" before it looks at the timers
 * Broken: BROKEN_PUBLISH   it publishes by a plain store
 * Broken: BROKEN_TIMER     a timer is added by a plain store
 * Broken: BROKEN_ORDER     break_sent is cleared before the eventfd is read
 * Broken: BROKEN_LATE      break_sent is cleared after the look at the timers
 * Broken: BROKEN_DRAIN     a look that does not wait reads the eventfd, too
 */
#define THREADS 5
#define DEPTH 2
#define TIMER 0      /* the earliest of all Ps */
#define POLL_UNTIL 1
#define POLLER 2     /* the seat is taken */
#define BREAK_SENT 3
#define PLACES 4
#include "storebuffer.pml"

#define FAR 9

bool eventfd;    /* the kernel's: something is in it */
bool asleep;     /* in epoll_wait */
byte sleeps_to;

/* os_netpoll_poll of the sleeper: the eventfd is in the set. */
inline epoll_wait(until) {
  atomic { FENCED; asleep = true; sleeps_to = until };
end:
  atomic { eventfd -> asleep = false };
#ifdef BROKEN_ORDER
  store_sc(BREAK_SENT, 0);
  eventfd = false
#else
  eventfd = false;
#ifndef BROKEN_LATE
  store_sc(BREAK_SENT, 0)
#endif
#endif
}

proctype poller() {
  byte me = 0, when;
  bool drained;
  do
  :: store_sc(POLLER, 1);
#ifndef BROKEN_FOREVER
#ifdef BROKEN_PUBLISH
    store(POLL_UNTIL, FAR);
#else
    store_sc(POLL_UNTIL, FAR);
#endif
#endif
    when = RD(TIMER);
#ifdef BROKEN_LATE
    if
    :: drained -> store_sc(BREAK_SENT, 0); drained = false
    :: else
    fi;
#endif
#ifdef BROKEN_PUBLISH
    store(POLL_UNTIL, when);
#else
    store_sc(POLL_UNTIL, when);
#endif
    epoll_wait(when);
    drained = true;
    store_sc(POLLER, 0);
    when = 0
  od
}

/* timers_park and poll_break.  The heap's lock makes two timers one after the other. */
inline add_timer(t) {
  if
#ifdef BROKEN_TIMER
  :: RD(TIMER) > t -> store(TIMER, t)
#else
  :: atomic { FENCED && mem[TIMER] > t -> mem[TIMER] = t }
#endif
  :: else -> goto done
  fi;
  if
  :: RD(POLLER) && t < RD(POLL_UNTIL) ->
    atomic {
      FENCED;
      if
      :: mem[BREAK_SENT] == 0 -> mem[BREAK_SENT] = 1
      :: else -> goto done
      fi
    };
    eventfd = true /* the write */
  :: else
  fi
}

proctype first() {
  byte me = 1;
  add_timer(5);
done:
  skip
}

proctype second() {
  byte me = 2;
  add_timer(3);
done:
  skip
}

proctype third() {
  byte me = 4;
  add_timer(1);
done:
  skip
}

/* netpoll(GS_POLL_NOW). */
proctype looker() {
  byte me = 3;
#ifdef BROKEN_DRAIN
  if
  :: eventfd -> eventfd = false; store_sc(BREAK_SENT, 0)
  :: skip
  fi
#else
  skip
#endif
}

active proctype judge() {
end:
  timeout;
  assert(!asleep || sleeps_to <= mem[TIMER])
}

init {
  atomic {
    mem[TIMER] = FAR;
    run poller();
    run first();
    run second();
    run third();
    run looker()
  }
}
