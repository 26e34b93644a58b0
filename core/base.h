/* base.h: what all of core/ is written with: attributes, atomics, asserts, locks and notes.
 *
 * Atomics are GNU builtins on plain fields, named by their memory order, so that a reader sees the
 * order at each use.  A lock is for code inside the runtime only; nobody waits for a P, or for a
 * LOCK on one, while holding any (lock.c has the ranks).  A note is a one-shot event.
 */
#ifndef GS_BASE_H
#define GS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gosched.h"

#define GS_LINE 64
#define GS_ALIGNED(n) __attribute__((aligned(n)))
#if defined(__clang__)
#define GS_NOINLINE __attribute__((noinline)) /* clang never clones */
#else
#define GS_NOINLINE __attribute__((noinline, noclone))
#endif
#define GS_COLD __attribute__((cold)) /* out of the way of what is usual */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define load_rlx(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acq(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_sc(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_rlx(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_rel(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define store_sc(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define add_sc(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define add_rlx(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define fence_sc() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define compiler_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)
/* Between a seq_cst read-modify-write and a later load that is not seq_cst, where the load must
 * come second.  x86's locked instructions see to that; the exclusive pairs of arm64 do not, nor
 * does C11. */
#if defined(__x86_64__) || defined(__i386__)
#define RMW_IS_FENCE 1
#define fence_after_rmw() compiler_fence()
#else
#define RMW_IS_FENCE 0
#define fence_after_rmw() fence_sc()
#endif
/* Owner-only counters that other threads read: no locked instruction. */
#define bump(p) store_rlx((p), load_rlx(p) + 1)
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
static inline void count_one(uint64_t *p) { __asm__("incq %0" : "+m"(*p) : : "cc"); }
#else
static inline void count_one(uint64_t *p) { bump(p); }
#endif

#define CAS(p, old, new)                                                                           \
  __extension__({                                                                                  \
    __typeof__(*(p)) cas_old_ = (old);                                                             \
    __atomic_compare_exchange_n((p), &cas_old_, (new), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); \
  })

#if defined(__SANITIZE_THREAD__)
#define GS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GS_TSAN 1
#endif
#endif
#ifndef GS_TSAN
#define GS_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GS_ASAN 1
#endif
#endif

#if GS_DEBUG || GS_TORTURE
#define GS_CHECKED 1
#define gs_assert(x) (likely(x) ? (void)0 : gs_throw("assertion failed: " #x, __FILE__, __LINE__))
#else
#define gs_assert(x) ((void)0)
#endif
#define throw_(msg) gs_throw((msg), __FILE__, __LINE__)

/* In a loop that waits for another thread: the other half of the core may go on. */
#if defined(__x86_64__)
#define pause_() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pause_() __asm__ volatile("yield")
#else
#define pause_() compiler_fence()
#endif

/* ---- locks (lock.c) ---- */

/* A mutex for code inside the runtime: 0 free, 1 held, 2 held and somebody sleeps. */
typedef struct {
  uint32_t word;
#if GS_CHECKED
  uint32_t rank; /* RANK_…; write-once */
#endif
} Lock;

/* In which order locks are taken: lock.c has the table.  A zeroed Lock has no rank. */
enum {
  RANK_NONE,
  RANK_STW,
  RANK_RETAKE,
  RANK_DEADLOCK,
  RANK_SHARED,
  RANK_OBJECT, /* channels, wait queues, descriptors: several by address (select) */
  RANK_TIMERS,
  RANK_DOMAIN,
  RANK_SCHED,
  RANK_GFREE,
  RANK_STACKS,
  RANK_TRACE,
  NRANKS
};
#if GS_CHECKED
#define LOCK_INIT(r) \
  { 0, (r) }
#define lock_rank(l, r) store_rlx(&(l)->rank, (uint32_t)(r))
void lock_order(const Lock *l); /* aborts if it must not be taken now */
void lock_taken(const Lock *l);
void lock_dropped(const Lock *l);
void gs_assert_no_locks(void);
#else
#define LOCK_INIT(r) \
  { 0 }
#define lock_rank(l, r) ((void)(l))
#define lock_order(l) ((void)0)
#define lock_taken(l) ((void)0)
#define lock_dropped(l) ((void)0)
#define gs_assert_no_locks() ((void)0)
#endif
void lock_slow(Lock *l);
void unlock_slow(Lock *l);
static inline void lock(Lock *l) {
  uint32_t free_ = 0;
  lock_order(l);
  if (unlikely(!__atomic_compare_exchange_n(&l->word, &free_, 1, false, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED)))
    lock_slow(l);
  lock_taken(l);
}
static inline bool trylock_word(Lock *l) {
  uint32_t free_ = 0;
  return __atomic_compare_exchange_n(&l->word, &free_, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED);
}
static inline bool trylock(Lock *l) {
  bool mine = trylock_word(l);
  if (mine) lock_taken(l);
  return mine;
}
static inline void unlock(Lock *l) {
  lock_dropped(l);
  if (unlikely(__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)) unlock_slow(l);
}

/* A one-shot event that one thread sleeps on: 0 clear, 1 set. */
typedef struct {
  uint32_t word;
} Note;
void note_wake(Note *n);                         /* idempotent; async-signal-safe */
void note_sleep(Note *n);                        /* until set; leaves it set */
int note_sleep_intr(Note *n);                    /* as above; 1 if a signal handler ran first */
bool note_sleep_until(Note *n, int64_t when_ns); /* true: set, false: the time came */
/* An xchg: the words that the note is paired with are read after the clear is seen by wakers, or a
 * wake-up between the two would be lost. */
static inline void note_clear(Note *n) { (void)xchg(&n->word, 0); }

#endif
