/* running.c: how many calls of a callback run, so that its owner is told when the last one is out.
 *
 * Every call counts itself in and out, so this must cost next to nothing; two locked instructions
 * would cost as much as the rest of the call.  So a thread counts with plain stores in a lane of
 * its own, and only the sum over all lanes means something: a green thread that has called the
 * function itself may be on another thread when the handler returns, and counts out there.
 *
 *     call:   lane++;          look at state: live?     no: lane--, as below
 *             … the handler …
 *             lane--;          look at state: freed?    yes: if the sum is 0, it is over
 *     free:   state = freed;   barrier;                 if the sum is 0, it is over
 *
 * It is Dekker's handshake, twice, with the expensive half in gs_callback_free: gs_barrier is a
 * full fence on every thread, so the calls have a compiler fence between store and look.  Either a
 * call that begins sees `freed`, or free sees it counted, and then its handler and user stay.
 * Either a call that ends sees `freed`, or free sees it counted out.  If both see it, the lock and
 * `generation` let only one of them end it.  A sum that is taken while others count is not of one
 * moment, but 0 is never wrong: after the barrier whoever runs is counted in, and nobody counts out
 * who was not counted in.
 *
 * A thread gets its lane at its first call and gives it back when it ends.  Threads that come too
 * late for one, and calls in later destructors of a thread that ends, count in `shared`, with
 * locked instructions; so does everybody where the system has no such fence.  If it is withdrawn
 * later, gs_barrier waits a moment instead.
 */
#include <errno.h>
#include <pthread.h>

#include "callback.h"
#include "gosched_domain.h"

__thread uint64_t gsf_tls_lane;
static __thread bool tls_asked; /* only while no green thread can move: in gsf_lane_wanted */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t lanes_taken; /* as bits; under mutex */
static uint32_t lanes_used;  /* somebody has had one; atomic */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

_Static_assert(GSF_LANES == 32, "a bit for each");

__attribute__((noinline)) uint64_t gsf_lane_call(void) {
  uint64_t lane = gsf_tls_lane;
  __asm__ volatile("" : "+r"(lane)::"memory");
  return lane;
}

static void thread_ends(void *lane) {
  gsf_tls_lane = 0;
  pthread_mutex_lock(&mutex);
  lanes_taken &= ~((uint32_t)1 << ((uintptr_t)lane - 1));
  pthread_mutex_unlock(&mutex);
}

static void make_key(void) { key_error = pthread_key_create(&key, thread_ends); }

__attribute__((noinline)) uint64_t gsf_lane_wanted(void) {
  if (tls_asked) return 0;
  tls_asked = true;
  int e = errno;
  pthread_once(&key_once, make_key);
  bool possible = !key_error && gs_barrier() == GS_OK;
  errno = e;
  if (!possible) return 0;
  pthread_mutex_lock(&mutex);
  uintptr_t lane = ~lanes_taken ? (uintptr_t)__builtin_ctz(~lanes_taken) + 1 : 0;
  if (lane && pthread_setspecific(key, (void *)lane) == 0) {
    lanes_taken |= (uint32_t)1 << (lane - 1);
    __atomic_store_n(&lanes_used, 1, __ATOMIC_SEQ_CST);
    gsf_tls_lane = offsetof(gs_callback, running.lane) + (lane - 1) * sizeof(uint32_t);
  }
  pthread_mutex_unlock(&mutex);
  return gsf_tls_lane;
}

void gsf_running_barrier(void) {
  if (__atomic_load_n(&lanes_used, __ATOMIC_SEQ_CST)) (void)gs_barrier();
}

uint32_t gsf_running_sum(const gsf_running *r) {
  uint32_t sum = __atomic_load_n(&r->shared, __ATOMIC_SEQ_CST);
  for (int i = 0; i < GSF_LANES; i++) sum += __atomic_load_n(&r->lane[i], __ATOMIC_ACQUIRE);
  return sum;
}
