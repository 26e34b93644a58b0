/* hold.h: one outcome of a race, made certain.
 *
 * A Hold stops the first thread that comes to the torture_window of a function, until the other
 * side has done its step.  Where the guard keeps the other side from it, the hold ends after a
 * while and the test goes on: so a hold is never waited for without end, and a slow machine can
 * make such a test pass, but not fail.  Only the torture build has windows.
 *
 * Every scenario runs in a process of its own: what is lost where a guard is missing hangs or
 * crashes there, and shows in its status.
 */
#ifndef TESTS_RACES_HOLD_H
#define TESTS_RACES_HOLD_H

#include "support.h"

#include "runtime.h"

#include <unistd.h>

typedef struct Hold {
  const char *where;   /* the function whose window it is */
  bool (*mine)(void);  /* which thread; NULL: the first that comes */
  bool (*until)(void); /* what ends it; NULL: only time, or hold_end */
  int64_t most;        /* ns; 0: 100 ms */
  atomic_int state;    /* written by the holder and the held */
} Hold;

void hold(Hold *h);      /* from now on */
void hold_end(Hold *h);  /* at once; nobody stands there afterwards, and nobody will */
bool held(Hold *h);      /* somebody stands there */
bool hold_over(Hold *h); /* somebody stood there */
/* For whoever waits: on a busy machine the hold may be over before that is noticed. */
static inline bool reached(Hold *h) { return held(h) || hold_over(h); }

/* Waits, computing, until it holds; ends the process if it takes too long. */
#define await(what) await_(__FILE__, __LINE__, #what, PATIENCE / 3, what)
#define await_(file, line, text, most, what)                                      \
  do {                                                                            \
    for (int64_t end_ = gs_now() + (most); !(what); os_sleep_ns(20000))           \
      if (gs_now() > end_) {                                                      \
        fprintf(stderr, "%s:%d: waited in vain for: %s\n", (file), (line), text); \
        _exit(3);                                                                 \
      }                                                                           \
  } while (0)
/* For a while, whether it holds then or not. */
#define await_or_not(what, ns) \
  for (int64_t end_ = gs_now() + (ns); !(what) && gs_now() < end_;) os_sleep_ns(20000)

bool is_parked(const G *g);
G *g_named(const char *name); /* alive, or NULL */

typedef struct HeldTest {
  const char *name;
  int procs; /* 0: fn begins outside gs_run */
  body_fn fn;
} HeldTest;

/* The program's main. */
int held_main(int argc, char **argv, const HeldTest *table, size_t n);

#endif
