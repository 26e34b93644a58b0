/* storebuffer.pml: memory as a processor has it, for models that Spin would otherwise run
 * sequentially consistent.
 *
 * Every thread has a buffer of stores that the others do not see yet.  A load looks into the
 * thread's own buffer, newest store first, and then into memory.  The process `memory` moves
 * stores from the buffers to memory whenever it likes, so Spin tries every moment.  A locked
 * instruction (RMW, seq_cst store) and a fence wait until the thread's own buffer is empty.
 *
 * Without WEAK a buffer is a queue: that is x86 (TSO).  With WEAK stores to different places leave
 * it in any order, except that a release store waits for all before it: that is the part of
 * arm64's freedom which stores have.  Loads are never reordered here.
 *
 * Before it is included, a model defines THREADS (buffers), PLACES (words of memory) and, in every
 * process that uses it, `me`, the number of its buffer.
 *
 *     RD(x)              what this thread reads at x; an expression
 *     store(x, v)        relaxed; store_release(x, v) differs under WEAK only
 *     FENCED             a guard: true once everything this thread has stored is in memory
 *     locked(...)        atomic { FENCED -> ... }: an RMW, works on mem[] itself
 *     membarrier(t)      true once thread t has passed a point where its buffer was empty, as
 *                        MEMBARRIER_CMD_PRIVATE_EXPEDITED makes each thread do, one after another
 */

#ifndef DEPTH
#define DEPTH 3
#endif

typedef Buffer {
  byte n;
  byte at[DEPTH];
  byte value[DEPTH];
  bool release[DEPTH]
};
Buffer buffer[THREADS];
byte mem[PLACES];
hidden byte slot;

#define FROM(i, x, otherwise) \
  (buffer[me].n > i && buffer[me].at[i] == (x) -> buffer[me].value[i] : otherwise)
#if DEPTH == 2
#define RD(x) FROM(1, x, FROM(0, x, mem[x]))
#else
#define RD(x) FROM(2, x, FROM(1, x, FROM(0, x, mem[x])))
#endif

#define FENCED (buffer[me].n == 0)

inline put(x, v, rel) {
  atomic {
    buffer[me].n < DEPTH ->
    buffer[me].at[buffer[me].n] = x;
    buffer[me].value[buffer[me].n] = v;
    buffer[me].release[buffer[me].n] = rel;
    buffer[me].n++
  }
}
#define store(x, v) put(x, v, false)
#define store_release(x, v) put(x, v, true)
inline store_sc(x, v) { atomic { FENCED -> mem[x] = v } }

/* A thread's point b in the proof of core/retake.c. */
inline membarrier(t) { buffer[t].n == 0 }

inline drain(t, i) {
  d_step {
    mem[buffer[t].at[i]] = buffer[t].value[i];
    slot = i;
    do
    :: slot + 1 < buffer[t].n ->
      buffer[t].at[slot] = buffer[t].at[slot + 1];
      buffer[t].value[slot] = buffer[t].value[slot + 1];
      buffer[t].release[slot] = buffer[t].release[slot + 1];
      slot++
    :: else -> break
    od;
    buffer[t].at[slot] = 0;
    buffer[t].value[slot] = 0;
    buffer[t].release[slot] = false;
    buffer[t].n--;
    slot = 0
  }
}

#define OLDEST(t) :: atomic { buffer[t].n > 0 -> drain(t, 0) }
#ifdef WEAK
#define SECOND(t)                                                        \
  :: atomic {                                                            \
    buffer[t].n > 1 && !buffer[t].release[1] &&                          \
    buffer[t].at[1] != buffer[t].at[0] -> drain(t, 1)                    \
  }
#define THIRD(t)                                                         \
  :: atomic {                                                            \
    buffer[t].n > 2 && !buffer[t].release[2] &&                          \
    buffer[t].at[2] != buffer[t].at[0] &&                                \
    buffer[t].at[2] != buffer[t].at[1] -> drain(t, 2)                    \
  }
#if DEPTH == 2
#define DRAIN(t) OLDEST(t) SECOND(t)
#else
#define DRAIN(t) OLDEST(t) SECOND(t) THIRD(t)
#endif
#else
#define DRAIN(t) OLDEST(t)
#endif

active proctype memory() {
end:
  do
  DRAIN(0)
#if THREADS > 1
  DRAIN(1)
#endif
#if THREADS > 2
  DRAIN(2)
#endif
#if THREADS > 3
  DRAIN(3)
#endif
#if THREADS > 4
  DRAIN(4)
#endif
  od
}
