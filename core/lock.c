/* lock.c: the two things that code inside the runtime waits on.
 *
 * Lock is a mutex in one word (0 free, 1 held, 2 held and somebody may sleep), after Drepper's
 * "Futexes Are Tricky".  It spins a little first: what is done under a Lock is a few dozen
 * instructions, except that a channel's lock is also held over a stack switch.  A holder is inside
 * the runtime, so nobody takes its P meanwhile.
 *
 * Note is Go's one-shot event (lock_futex.go).  Unlike Go's, waking twice is allowed: a note is
 * always paired with a word that says what happened, and spurious wake-ups are cheap.
 *
 * Neither may be held over a call into a binding's hook or into user code.
 */
#include "runtime.h"

#if defined(__x86_64__)
#define pause_() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pause_() __asm__ volatile("yield")
#else
#define pause_() compiler_fence()
#endif

GS_NOINLINE void lock_slow(Lock *l) {
  for (int i = 0; i < 40; i++) {
    if (load_rlx(&l->word) == 0 && trylock(l)) return;
    pause_();
  }
  /* From here on the word says 2 while we hold it: there may be other sleepers, and only a holder
   * that sees 2 wakes one. */
  while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0) os_futex_wait(&l->word, 2);
}

GS_NOINLINE void unlock_slow(Lock *l) { os_futex_wake(&l->word, 1); }

void note_wake(Note *n) {
  if (__atomic_exchange_n(&n->word, 1, __ATOMIC_RELEASE) == 0) os_futex_wake(&n->word, 1);
}

void note_sleep(Note *n) {
  while (load_acq(&n->word) == 0) os_futex_wait(&n->word, 0);
}

int note_sleep_intr(Note *n) {
#if GS_TSAN
  /* TSan holds signal handlers back until the thread calls one of its interceptors. */
  for (; load_acq(&n->word) == 0; os_sleep_ns(1))
    if (os_futex_wait_until(&n->word, 0, os_now() + 20000000) == 2) {
      os_sleep_ns(1);
      return load_acq(&n->word) == 0;
    }
#endif
  while (load_acq(&n->word) == 0)
    if (os_futex_wait_until(&n->word, 0, GS_FOREVER) == 2 && load_acq(&n->word) == 0) return 1;
  return 0;
}

bool note_sleep_until(Note *n, int64_t when) {
  while (load_acq(&n->word) == 0)
    if (os_futex_wait_until(&n->word, 0, when) == 1) return load_acq(&n->word) != 0;
  return true;
}
