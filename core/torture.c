/* torture.c: the build that gives bugs a chance.
 *
 * GS_TORTURE shrinks the rings to four slots, hands the P of every fourth foreign call off at
 * entry, and widens the windows of the races: torture_window stands between the two steps of each
 * of them, and here it yields or sleeps at random.  A test that wants one race to have one outcome
 * holds a thread in the window of a function until the other side has done its step
 * (tests/races/hold.h).  Nothing in this file exists in other builds.
 */
#include "runtime.h"

#if GS_TORTURE

static uint32_t state = 2463534242u;

bool (*torture_hook)(const char *function);

void torture_in(const char *function) {
  bool (*hook)(const char *) = load_acq(&torture_hook);
  if (hook && hook(function)) return;
  /* One generator for all threads: lost updates only add to the disorder. */
  uint32_t x = load_rlx(&state);
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  store_rlx(&state, x);
  uint32_t what = x >> 24;
  if (what < 16)
    os_sleep_ns(20000 + (x & 0xffff));
  else if (what < 64)
    os_yield();
}

#else
typedef int torture_off; /* a translation unit has to declare something */
#endif
