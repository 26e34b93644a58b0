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
#include <stdio.h>

#include "runtime.h"

#if GS_CHECKED

/* ---- the order of locks, in builds with asserts ---- */

#define HELD_MOST 12 /* static TLS is scarce: three copies in a process must find room */
#define BIT(rank) (1u << (rank))
#define OUTER (BIT(RANK_STW) | BIT(RANK_RETAKE)) /* held while the world is stopped: under all */

/* Which locks may be held when one of this rank is taken.  It is a partial order inside the total
 * one of the ranks: pairs that do not happen are not allowed before somebody has thought about
 * them.
 */
static const struct {
  const char *name;
  uint32_t under;
  bool several; /* of the same rank, by ascending address */
} ranks[NRANKS] = {
    [RANK_STW] = {"stop the world", 0, false},
    [RANK_RETAKE] = {"retake", BIT(RANK_STW), false},
    [RANK_DEADLOCK] = {"deadlock", OUTER, false},
    [RANK_SHARED] = {"shared channels", OUTER, false},
    [RANK_OBJECT] = {"channel or wait queue", OUTER | BIT(RANK_SHARED), true},
    [RANK_TIMERS] = {"timers", OUTER | BIT(RANK_OBJECT), true},
    [RANK_DOMAIN] = {"domain", OUTER | BIT(RANK_OBJECT), false},
    [RANK_SCHED] = {"sched", OUTER | BIT(RANK_OBJECT), false},
    [RANK_GFREE] = {"free Gs", OUTER | BIT(RANK_OBJECT) | BIT(RANK_TIMERS), false},
    [RANK_STACKS] = {"stacks", OUTER | BIT(RANK_OBJECT), false},
    [RANK_TRACE] = {"trace", ~0u, false},
};

/* By thread: a lock that a G takes before it parks is released by its thread, on another stack. */
typedef struct {
  int n, more;
  const Lock *lock[HELD_MOST];
} Held;

static __thread Held held_;

GS_NOINLINE static Held *held(void) {
  Held *h = &held_;
  __asm__ volatile("" : "+r"(h)::"memory");
  return h;
}

static void out_of_order(const Lock *l, const Lock *before) {
  uint32_t b = load_rlx(&before->rank);
  char text[120];
  snprintf(text, sizeof text, "the lock \"%s\" is taken while \"%s\" is held",
           ranks[load_rlx(&l->rank)].name, ranks[b].name ? ranks[b].name : "one without a rank");
  throw_(text);
}

GS_NOINLINE void lock_order(const Lock *l) {
  const Held *h = held();
  uint32_t rank = load_rlx(&l->rank);
  if (rank == RANK_NONE) return;
  for (int i = 0; i < h->n; i++) {
    uint32_t b = load_rlx(&h->lock[i]->rank);
    bool fine = b == RANK_NONE ||
                (b == rank ? ranks[rank].several && h->lock[i] < l : ranks[rank].under & BIT(b));
    if (!fine) out_of_order(l, h->lock[i]);
  }
}

GS_NOINLINE void lock_taken(const Lock *l) {
  Held *h = held();
  if (h->n < HELD_MOST)
    h->lock[h->n++] = l;
  else
    h->more++;
}

GS_NOINLINE void lock_dropped(const Lock *l) {
  Held *h = held();
  for (int i = h->n - 1; i >= 0; i--) {
    if (h->lock[i] != l) continue;
    h->lock[i] = h->lock[--h->n];
    return;
  }
  if (h->more-- <= 0) throw_("a lock was released by a thread that does not hold it");
}

GS_NOINLINE void gs_assert_no_locks(void) {
  if (held()->n) throw_("waiting for a LOCK to go away with a lock held");
}

#endif

GS_NOINLINE void lock_slow(Lock *l) {
  for (int i = 0; i < 40; i++) {
    if (load_rlx(&l->word) == 0 && trylock_word(l)) return;
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
