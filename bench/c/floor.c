/* floor.c: what the machine itself costs, with no scheduler in it.
 *
 * A floor calls the same functions, sleeps the same time or blocks as often as the row it stands
 * beside, by the plainest means there are: an indirect call, libffi, a stack switch, nanosleep, a
 * futex, pthreads.
 */
#include <errno.h>
#include <ffi.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "targets.h"

/* ---- calls -------------------------------------------------------------------------------- */

static double loop_call(void *arg, uint64_t n) {
  int (*volatile function)(void *) = gsbench_empty;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    function(arg);
  }
  return (double)(bench_now() - start);
}

static void run_call(const bench_options *options, bench_result *out) {
  bench_loop_row(options, out, loop_call, NULL);
}

/* With as many ints as the functions that are called by declaration have. */
#define LOOP_INTS(name, type, function, ...)                                \
  static double loop_##name(void *arg, uint64_t n) {                        \
    int(*volatile called) type = function;                                  \
    (void)arg;                                                              \
    int64_t start = bench_now();                                            \
    for (uint64_t i = 0; i < n; i++) {                                      \
      called(__VA_ARGS__);                                                  \
    }                                                                       \
    return (double)(bench_now() - start);                                   \
  }                                                                         \
  static void run_##name(const bench_options *options, bench_result *out) { \
    bench_loop_row(options, out, loop_##name, NULL);                        \
  }

LOOP_INTS(int0, (void), gsbench_int0)
LOOP_INTS(int1, (int), gsbench_int1, 1)
LOOP_INTS(int4, (int, int, int, int), gsbench_int4, 1, 2, 3, 4)
LOOP_INTS(int6, (int, int, int, int, int, int), gsbench_int6, 1, 2, 3, 4, 5, 6)
LOOP_INTS(int8, (int, int, int, int, int, int, int, int), gsbench_int8, 1, 2, 3, 4, 5, 6, 7, 8)

struct prepared {
  ffi_cif cif;
  ffi_type *types[8];
  void (*function)(void);
};

static double loop_ffi(void *arg, uint64_t n) {
  struct prepared *prepared = arg;
  int values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  void *args[8] = {&values[0], &values[1], &values[2], &values[3],
                   &values[4], &values[5], &values[6], &values[7]};
  ffi_arg ret;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++) {
    ffi_call(&prepared->cif, prepared->function, &ret, args);
  }
  return (double)(bench_now() - start);
}

static void run_ffi(const bench_options *options, bench_result *out, unsigned nargs,
                    void (*function)(void)) {
  struct prepared prepared = {.function = function};
  for (unsigned i = 0; i < nargs; i++) {
    prepared.types[i] = &ffi_type_sint;
  }
  ffi_status status =
      ffi_prep_cif(&prepared.cif, FFI_DEFAULT_ABI, nargs, &ffi_type_sint, prepared.types);
  if (status != FFI_OK) {
    bench_die("ffi_prep_cif: status %d", (int)status);
  }
  bench_loop_row(options, out, loop_ffi, &prepared);
}

static void run_ffi0(const bench_options *options, bench_result *out) {
  run_ffi(options, out, 0, FFI_FN(gsbench_int0));
}

static void run_ffi1(const bench_options *options, bench_result *out) {
  run_ffi(options, out, 1, FFI_FN(gsbench_int1));
}

static void run_ffi4(const bench_options *options, bench_result *out) {
  run_ffi(options, out, 4, FFI_FN(gsbench_int4));
}

static void run_ffi6(const bench_options *options, bench_result *out) {
  run_ffi(options, out, 6, FFI_FN(gsbench_int6));
}

static void run_ffi8(const bench_options *options, bench_result *out) {
  run_ffi(options, out, 8, FFI_FN(gsbench_int8));
}

/* ---- a line of the cache, there and back ----------------------------------------------------- */

/* Two threads on two CPUs that do nothing but wait for each other's word.  What is written by one
 * green thread and read by another on another CPU cannot go faster. */
static struct {
  _Alignas(128) _Atomic uint64_t ball;
  _Alignas(128) _Atomic uint64_t last; /* the other thread ends there */
} court;

static void *hit_back(void *arg) {
  (void)arg;
  for (uint64_t i = 1;; i += 2) {
    uint64_t b;
    while ((b = atomic_load(&court.ball)) < i)
      if (atomic_load_explicit(&court.last, memory_order_relaxed)) return NULL;
    atomic_store(&court.ball, i + 1);
  }
}

static double loop_line(void *arg, uint64_t n) {
  static uint64_t at;
  (void)arg;
  int64_t start = bench_now();
  for (uint64_t i = 0; i < n; i++, at += 2) {
    atomic_store(&court.ball, at + 1);
    while (atomic_load(&court.ball) < at + 2) continue;
  }
  return (double)(bench_now() - start);
}

static void run_line(const bench_options *options, bench_result *out) {
  pthread_t other;
  if (pthread_create(&other, NULL, hit_back, NULL)) bench_die("no thread for floor.line");
  bench_loop_row(options, out, loop_line, NULL);
  atomic_store(&court.last, 1);
  pthread_join(other, NULL);
}

/* ---- switching stacks --------------------------------------------------------------------- */

/* The context switch of core/arch, which is linked in here once more, without the scheduler that
 * decides who is next: contexts on stacks of their own switch to their neighbour, round and round.
 */
void gs_arch_switch(void **save_sp, void *load_sp);
void gs_arch_personality(void); /* the assembly names it; nothing is thrown here */
void gs_arch_personality(void) {}
void *gs_arch_frame(void *top, void *(*entry)(void), uint64_t controls);
void gs_arch_controls(uint64_t *controls);

enum { CONTEXTS = 1000, STACK_SIZE = 64 << 10, CACHE_LINE = 64, STAGGER = 61 };

static struct {
  void *sp[CONTEXTS];
  void *main_sp;
  int count;     /* contexts in the ring */
  int current;   /* the one that runs */
  uint64_t left; /* switches to make before going back to main */
} ring;

static void *ring_member(void) {
  for (;;) {
    int self = ring.current;
    if (ring.left-- == 0) {
      gs_arch_switch(&ring.sp[self], ring.main_sp);
    } else {
      ring.current = self + 1 == ring.count ? 0 : self + 1;
      gs_arch_switch(&ring.sp[self], ring.sp[ring.current]);
    }
  }
  return NULL;
}

static double loop_switch(void *arg, uint64_t n) {
  (void)arg;
  ring.left = n;
  int64_t start = bench_now();
  gs_arch_switch(&ring.main_sp, ring.sp[ring.current]);
  return (double)(bench_now() - start);
}

/* Tops that are all aligned alike would fall into the same sets of the cache. */
static void run_switch(const bench_options *options, bench_result *out, int count) {
  uint64_t controls;
  gs_arch_controls(&controls);
  char *stacks = aligned_alloc(4096, (size_t)count * STACK_SIZE);
  if (stacks == NULL) {
    bench_die("out of memory for %d stacks", count);
  }
  for (int i = 0; i < count; i++) {
    char *top = stacks + (size_t)(i + 1) * STACK_SIZE - (size_t)(i % STAGGER) * CACHE_LINE;
    ring.sp[i] = gs_arch_frame(top, ring_member, controls);
  }
  ring.count = count;
  bench_loop_row(options, out, loop_switch, NULL);
  free(stacks);
}

static void run_switch_two(const bench_options *options, bench_result *out) {
  run_switch(options, out, 2);
}

static void run_switch_ring(const bench_options *options, bench_result *out) {
  run_switch(options, out, CONTEXTS);
}

/* ---- sleep -------------------------------------------------------------------------------- */

enum { SLEEP_NS = 1000000, SLEEPS_PER_SAMPLE = 12 };

static void run_sleep(const bench_options *options, bench_result *out) {
  if (prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) != 0) {
    bench_die("prctl(PR_SET_TIMERSLACK): %s", strerror(errno));
  }
  for (int i = 0; i < options->samples * SLEEPS_PER_SAMPLE; i++) {
    struct timespec pause = {0, SLEEP_NS};
    int64_t start = bench_now();
    nanosleep(&pause, NULL);
    bench_push(out, (double)(bench_now() - start - SLEEP_NS) / 1e3);
  }
}

/* ---- waking another thread ---------------------------------------------------------------- */

enum {
  WAKES_PER_SAMPLE = 4,
  NAP_NS = 50000000,
  BACK_OFF_NS = 50000000,
  IDLE_NS = 30000000,
  BURST_NS = 500000,
};

struct waker {
  _Atomic uint32_t word; /* 0: wait; 1: woken; 2: end */
  _Atomic int64_t ran;   /* when the woken thread ran; 0: not yet */
};

static long futex(_Atomic uint32_t *word, int operation, uint32_t value) {
  return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void *wait_to_be_woken(void *arg) {
  struct waker *waker = arg;
  for (;;) {
    while (atomic_load(&waker->word) == 0) {
      futex(&waker->word, FUTEX_WAIT_PRIVATE, 0);
    }
    int64_t now = bench_now();
    if (atomic_load(&waker->word) == 2) {
      return NULL;
    }
    atomic_store(&waker->word, 0);
    atomic_store(&waker->ran, now);
  }
}

static void nanosleep_for(int64_t ns) {
  struct timespec pause = {ns / 1000000000, ns % 1000000000};
  nanosleep(&pause, NULL);
}

/* A hand-off must at least wake a thread: from the wake to the woken thread's first instruction,
 * while the waker goes to sleep as a blocking call does.  How deeply the other CPU sleeps by then
 * depends on what was before, so each state of handoff.c has a floor of its own. */
static void run_wake(const bench_options *options, bench_result *out, int64_t compute,
                     int64_t rest) {
  struct waker waker = {0};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, wait_to_be_woken, &waker);
  if (error != 0) {
    bench_die("pthread_create: %s", strerror(error));
  }
  nanosleep_for(NAP_NS);
  for (int i = 0; i < options->samples * WAKES_PER_SAMPLE; i++) {
    nanosleep_for(rest);
    bench_spin(compute);
    atomic_store(&waker.ran, 0);
    int64_t start = bench_now();
    atomic_store(&waker.word, 1);
    futex(&waker.word, FUTEX_WAKE_PRIVATE, 1);
    do {
      nanosleep_for(NAP_NS);
    } while (atomic_load(&waker.ran) == 0);
    bench_push(out, (double)(atomic_load(&waker.ran) - start) / 1e3);
  }
  atomic_store(&waker.word, 2);
  futex(&waker.word, FUTEX_WAKE_PRIVATE, 1);
  pthread_join(thread, NULL);
}

static void run_wake_backed_off(const bench_options *options, bench_result *out) {
  run_wake(options, out, BACK_OFF_NS, 0);
}

static void run_wake_idle(const bench_options *options, bench_result *out) {
  run_wake(options, out, 0, IDLE_NS);
}

static void run_wake_burst(const bench_options *options, bench_result *out) {
  run_wake(options, out, BURST_NS, 0);
}

/* ---- blocking calls, a thread each -------------------------------------------------------- */

static void *nap_in_thread(void *arg) {
  (void)arg;
  unsigned usec = 100000;
  gsbench_nap(&usec);
  return NULL;
}

static void run_pthreads(bench_result *out, size_t calls) {
  pthread_t *threads = calloc(calls, sizeof *threads);
  if (threads == NULL) {
    bench_die("out of memory for %zu threads", calls);
  }
  int64_t start = bench_now();
  for (size_t i = 0; i < calls; i++) {
    int error = pthread_create(&threads[i], NULL, nap_in_thread, NULL);
    if (error != 0) {
      bench_die("pthread_create number %zu: %s", i, strerror(error));
    }
  }
  for (size_t i = 0; i < calls; i++) {
    pthread_join(threads[i], NULL);
  }
  bench_push(out, (double)(bench_now() - start) / 1e6);
  free(threads);
}

static void run_pthreads_100(const bench_options *options, bench_result *out) {
  (void)options;
  run_pthreads(out, 100);
}

static void run_pthreads_1000(const bench_options *options, bench_result *out) {
  (void)options;
  run_pthreads(out, 1000);
}

static void run_pthreads_10000(const bench_options *options, bench_result *out) {
  (void)options;
  run_pthreads(out, 10000);
}

const bench_row bench_rows_floor[] = {
    {"floor.call", "ns", run_call},
    {"floor.int0", "ns", run_int0},
    {"floor.int1", "ns", run_int1},
    {"floor.int4", "ns", run_int4},
    {"floor.int6", "ns", run_int6},
    {"floor.int8", "ns", run_int8},
    {"floor.ffi0", "ns", run_ffi0},
    {"floor.ffi1", "ns", run_ffi1},
    {"floor.ffi4", "ns", run_ffi4},
    {"floor.ffi6", "ns", run_ffi6},
    {"floor.ffi8", "ns", run_ffi8},
    {"floor.switch.two", "ns", run_switch_two},
    {"floor.switch.ring", "ns", run_switch_ring},
    {"floor.line", "ns", run_line},
    {"floor.sleep.1ms", "us", run_sleep},
    {"floor.wake.backedoff", "us", run_wake_backed_off},
    {"floor.wake.idle", "us", run_wake_idle},
    {"floor.wake.burst", "us", run_wake_burst},
    {"floor.block.100", "ms", run_pthreads_100},
    {"floor.block.1000", "ms", run_pthreads_1000},
    {"floor.block.10000", "ms", run_pthreads_10000},
    {NULL, NULL, NULL},
};
