/* runtime.h: the one place where the scheduler's structures are.
 *
 * The cast, in Go's words:  a G is a green thread, an M is an OS thread, a P is the right to run
 * in a domain.  A domain is a set of Ps with its own run queues: the native one (C green threads),
 * and one for every interpreter lock that a binding brings.  Gs belong to a domain for life; Ms
 * serve them all.
 *
 * Inside and outside.  An M is *inside* the runtime while it executes core code that may touch its
 * P, and *outside* while it runs user or foreign code.  Two words per M decide who owns the P:
 *
 *     sc   written by the M alone: a sequence number, the mode (INSIDE, CALL, USER), FENCED
 *     pw   the P that the M holds, plus a LOCK bit that a retaker sets
 *
 *     leave:   sc = next | CALL or USER                    (release)
 *     enter:   sc = next | INSIDE; [store-load]; pw == p ? fast : slow
 *     retake:  capture sc; CAS pw p -> p|LOCK; heavy barrier; sc still the captured word?
 *              yes: the P is the retaker's, pw = 0.  no: pw = p again.
 *
 * This is Dekker's pattern.  Either the entering M sees LOCK (or 0) in pw, or the retaker sees the
 * new sc.  The [store-load] costs the M nothing but a compiler fence because the retaker pays for
 * both sides with membarrier(PRIVATE_EXPEDITED); where that is missing, or under TSan, or when the
 * M announced FENCED, it is an xchg and the barrier is not needed.
 *
 * Lock order (an M may take a lock only if all it holds stand to the left):
 *     run -> handle -> chan, wait queue -> timers -> domain -> sched -> stacks
 * Nobody waits for a P, or for a LOCK on one, while holding any of them.
 *
 * Who may write a field is said at the field: "owner" is the M that runs the G or holds the P.
 */
#ifndef GS_RUNTIME_H
#define GS_RUNTIME_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gosched.h"
#include "gosched_domain.h"

typedef struct gs_g G;
typedef struct gs_m M;
typedef struct gs_p P;
typedef struct gs_domain Domain;

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

/* ---- states, as Go names them ---- */

enum { Gidle, Grunnable, Grunning, Gsyscall, Gwaiting, Gdead };
enum { Pidle, Prunning, Psyscall, Pgcstop, Pdead };

/* How a P was stopped (stw.c): an M that holds it has its pw LOCKed, and has been seen outside; or
 * it is on the idle list; or in nextp of an M that is stopped with another one; or it was dropped,
 * and an M that lost it, or lost the one that another got instead, waits. */
enum { STW_NOT, STW_LOCKING, STW_LOCKED, STW_IDLE, STW_GIVEN, STW_TAKEN };

/* g->bracket: opened by gs_entersyscall, or by gs_stop_world and its like. */
enum { BRACKET_NONE, BRACKET_BARE, BRACKET_STW };

/* The word sc. */
#define SC_INSIDE 0u
#define SC_CALL 1u    /* in a declared foreign call */
#define SC_USER 2u    /* in user code, or in a hook of a binding */
#define SC_STOPPED 3u /* waits inside until a LOCK goes away or the world starts: holds no lock */
#define SC_MODE 3u
#define SC_FENCED 4u
#define SC_STEP 8u
/* The bit of pw. */
#define PW_LOCK ((uintptr_t)1)

/* m->attn: why the M should leave the fast path. */
#define ATTN_TRACE 1u

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

/* ---- timers (timer.c) ---- */

/* Whose a timer is: a parked G's, a gs_timer's, one's that nobody has a pointer to. */
enum { TIMER_G, TIMER_USER, TIMER_FORGET };

typedef struct gs_timers Timers;
typedef struct gs_heap_timer {
  int64_t when;  /* ns; under ts->lock */
  Timers *ts;    /* the heap it is in, NULL: none; written under ts->lock by add and removal */
  uint32_t slot; /* its place in the heap; under ts->lock */
  uint32_t user; /* TIMER_…, whose it is; write-once */
} Timer;
typedef struct {
  int64_t when; /* a copy, so that sifting stays in the heap's own lines */
  Timer *t;
} TimerSlot;

struct gs_timers {
  Lock lock;
  uint32_t len, cap; /* under lock */
  TimerSlot *heap;   /* 4-ary, by when; under lock */
  int64_t next;      /* when of the first, INT64_MAX if none; written under lock, read by all */
};

/* ---- G -----------------------------------------------------------------------------------------
 */

/* The park word: who wakes a parked G is decided by one CAS, PARKED -> WOKEN. */
enum {
  PARK_NO,     /* runs, or is on its way to park */
  PARKED,      /* off its stack; anybody may claim it: a partner, a timer, a canceller, a signal */
  PARKED_FIRM, /* as PARKED, but not for cancellers and signals */
  PARK_WOKEN,  /* claimed; the claimer makes it runnable */
};

typedef struct gs_stack {
  char *lo, *hi;         /* usable bytes: lo..hi; the guard page is below lo */
  struct gs_stack *next; /* free lists (the struct stands at the stack's own top) */
  uint32_t klass;        /* log2 of its reserved size */
  uint32_t used_deep;    /* given back to the kernel below this many bytes from the top */
  void *vg;              /* Valgrind's id, or NULL */
} Stack;

struct gs_g {
  void *sp;            /* saved stack pointer while it does not run, NULL: it has no stack yet;
                          owner, then finish_prev */
  G *schedlink;        /* next in a run queue or a list of ready Gs; whoever owns that list */
  M *m;                /* the M that runs it, or ran it last; owner */
  Domain *d;           /* for life, and of whoever uses the struct again; write-once */
  uint32_t status;     /* G…; written by whoever owns the G at that moment, read by anybody
                          through g_status() */
  uint32_t park;       /* PARK…; see above */
  int32_t wake;        /* GS_OK or the error its park returns; the claimer */
  int32_t saved_errno; /* over a switch; owner */
  M *lockedm;          /* locked to this M; owner, read by whoever dequeues it */
  uint8_t hooked;      /* its domain has switch_in or release; write-once */
  uint8_t due;         /* stands in the front part of the global queue; domain lock */
  uint8_t system;      /* runs also while user Gs are disabled; its maker */
  uint8_t main;        /* the G of gs_run */
  uint32_t cancelled;  /* gs_cancel was called; atomic */
  /* The lines above are all that a switch touches; these two more for a birth. */
  Stack *stack; /* bound at the first run; owner */
  void (*fn)(void *);
  void *arg;
  uint64_t goid;
  uint64_t controls;      /* its maker's floating-point controls, to start with; its maker */
  size_t stack_want;      /* bytes asked for; 0: the domain's */
  const char *waitreason; /* static text; owner before it parks */
  void *data;             /* the binding's word; owner (and the binding's own lock) */
  gs_handle *handle;
  uint32_t locks;     /* nesting of gs_lock_os_thread; owner */
  uint32_t pins;      /* callbacks under way, which lock it to its M as well; owner */
  uint32_t firm;      /* >0: parks cannot be cancelled (clean-up at the end); owner */
  uint8_t bracket;    /* BRACKET_…: between brackets, where nothing may park; owner */
  uint8_t released;   /* the binding's release was called, switch_in not yet; owner */
  uint16_t pass;      /* as system, while gs_sched.user_off has this value; owner */
  int32_t call_errno; /* of the last foreign call that was not on the fast path; owner */
  char name[32];
  /* Only for those that need it; nothing here has to be set at birth. */
  Timer timer;         /* of the park's deadline; one is enough: a G parks in one place */
  void *cxa[2];        /* the C++ runtime's per-thread exception words over a switch; owner */
  const gs_site *site; /* of the call it is in; owner */
  int64_t waitsince;   /* about when the call began that cost it its P; 0: none did.  The owner, or
                          sysmon while it has LOCKed the M's pw */
  uint32_t calltraced; /* the trace that has the beginning of its call, until it has the hand-off,
                          too; 0: none.  As waitsince */
  uintptr_t syscallsp; /* where the brackets were opened; owner */
  uint64_t callseq;    /* foreign calls made; owner */
  void (*unblock_fn)(void *); /* of the cancellable call it is in; owner, while nothing is armed */
  void *unblock_arg;
  uint32_t unblock; /* who may run it: see unblock.c; atomic */
  int64_t handed_at;   /* when its P was handed off at entry, 0: it was not; owner */
  int64_t since;       /* of the present status; written only while traced or dumped */
  G *alllink;          /* all Gs ever made, newest first; write-once */
#if GS_TSAN
  void *tsan;
#endif
#if GS_ASAN
  void *asan_fake;
#endif
} GS_ALIGNED(GS_LINE);

_Static_assert(offsetof(G, stack) == GS_LINE, "a switch touches one line of a G");
_Static_assert(offsetof(G, timer) <= 3 * GS_LINE, "a birth touches three");

/* ---- P -----------------------------------------------------------------------------------------
 */

#if GS_TORTURE
#define RUNQ_SIZE 4u
#define GS_TORTURE_ON 1
#else
#define RUNQ_SIZE 256u
#define GS_TORTURE_ON 0
#endif

struct gs_p {
  /* The owner's line. */
  uint32_t status;      /* P…; the owner, or whoever took it; read through p_status() */
  uint32_t id;          /* in its domain */
  uint32_t schedtick;   /* a G started a slice; owner, read by sysmon */
  uint32_t syscalltick; /* a call ended or lost the P; owner; read through p_syscalltick() */
  Domain *d;
  M *m;             /* back link; owner or taker, read racily by sysmon */
  G *runnext;       /* runs next and inherits the slice; CAS by thieves */
  uint32_t fair;    /* countdown to a look at the global queue and the timers; owner */
  uint32_t preempt; /* sysmon asks for the P at the next call into the runtime; atomic */
  uint32_t solo;    /* alone in its domain, no thieves; set while idle, cleared also by the owner */
  uint32_t rnd;     /* for the order of stealing; owner */
  uint32_t turn;    /* due Gs and the others take turns; owner */
  uint64_t nborn, ndied;   /* Gs that were made and that ended here; owner, read by live_gs */
  uint64_t goid, goid_end; /* numbers for the next Gs; owner */
  uint32_t safefn; /* what gs_for_each_p calls has not run here; CAS 1 -> 0 by who runs it */
  G *gfree;        /* dead Gs to use again; owner */
  uint32_t ngfree, nstack;
  Stack *stacks; /* free stacks of the domain's size; owner */
  P *link;       /* idle list; domain lock */
  /* The ring.  Thieves move head. */
  uint32_t head GS_ALIGNED(GS_LINE);
  uint32_t tail; /* owner */
  G *runq[RUNQ_SIZE];
  Timers timers GS_ALIGNED(GS_LINE);
  /* What sysmon saw at its last look; sysmon only. */
  struct {
    uint64_t sc;
    M *m;
    uint32_t schedtick;
    int64_t schedwhen; /* since when schedtick stands still */
    int64_t when;      /* since when sc stands still */
    int64_t detached;  /* since when the binding says GS_RETAKE_BLOCKED; 0: it does not */
    int64_t cpu;       /* its thread's CPU clock then, -1: not looked at */
  } seen GS_ALIGNED(GS_LINE);
  /* How the world was stopped here; whoever holds stw_mu only (see stw.c). */
  struct {
    M *m;            /* whose pw is LOCKed */
    uint32_t how;    /* STW_… */
    uint32_t status; /* P… to go back to */
  } stop;
} GS_ALIGNED(GS_LINE);

/* ---- M -----------------------------------------------------------------------------------------
 */

/* What has to be done about the G that was left, once the M is off its stack. */
enum { PREV_NONE, PREV_PARK, PREV_YIELD, PREV_GLOBAL, PREV_CALL, PREV_EXIT };

/* Why the thread of an M ends; QUIT_IDLE: it is not counted in nm any more. */
enum { QUIT_NO, QUIT_LOCKED, QUIT_IDLE };

#define CGO_CALLERS 24
#define GS_MDATA 8 /* domains whose word per M stands in the M itself */
#define GS_MAX_DOMAINS 4096

struct gs_m {
  /* The handshake's line. */
  uint64_t sc;   /* this M only */
  uintptr_t pw;  /* this M and retakers */
  P *p;          /* what the M believes pw to be; &gs_nop while it has none or is in a call */
  P *oldp;       /* in a call: the P that it was entered with; owner */
  G *curg;       /* NULL on g0 */
  uint32_t attn; /* ATTN_…; set by others */
  void *g0sp;    /* where g0 stopped: foreign calls run below it; owner */
  union {
    struct {
      uint16_t incgo; /* depth 0/1 of foreign code right now; owner */
      uint16_t ncgo;  /* calls under way (nesting); owner */
    };
    uint32_t incgo_ncgo; /* both in one store */
  };
  uint32_t g0new; /* nothing has run at g0sp yet (callback.c); owner */
  /* Owner's. */
  uint64_t ncgocall GS_ALIGNED(GS_LINE); /* calls ever made */
  uint64_t nplaincall; /* those that were not entered, or did not end, on cgocall.c's fast path */
  uint64_t tick_base;  /* m_fast_calls() when it got its P */
  uint64_t nexit_fast, nexit_idle, nexit_slow, nswitch, nparks, nsteal; /* metrics */
  uint32_t spinning; /* has a P, no work, looks for some */
  uint32_t inhook;   /* a binding's hook runs: sysmon keeps off; read by sysmon */
  int32_t prev;      /* PREV_… */
  G *prevg;
  bool (*commit)(G *, void *); /* of PREV_PARK: false means: make it runnable again */
  void *commit_arg;
  int64_t park_deadline;
  int *errno_at;    /* this thread's errno */
  void **cxa_at;    /* this thread's C++ exception words, or NULL */
  G *lockedg;       /* runs only this G */
  Domain *attached; /* attach was called for it and detach was not */
  G *nextg;         /* found already, to be run next; owner */
  gs_handle *hfree; /* handles to use again; this thread */
  uint32_t nhfree;
  void *mdata[GS_MDATA];
  void **mdata_more; /* for domains beyond GS_MDATA */
  /* Written by others under sched.lock, or before the note is set. */
  P *nextp;
  G *callg;         /* makes a foreign call that this M is to run without a P */
  uint32_t idle;    /* on the list midle; sched.lock */
  uint32_t topoll;  /* woken to become the poller; sched.lock */
  M *inext, *iprev; /* midle; sched.lock */
  Note note;
  uint32_t looks;  /* of a parked main G for signals, in vain; owner */
  uint32_t runner; /* this is a thread inside gs_run: it leaves when main is done */
  /* Its last poll: how many Gs it found, and when; owner. */
  uint32_t npolled;
  int64_t polled_at;
  uint32_t own;    /* its thread was made by the runtime, and may be ended by it; owner */
  uint32_t quit;   /* QUIT_…: its thread ends soon; owner, or who took it off midle */
  /* RELIEF_…: its P was taken in undeclared code; set by sysmon before the P goes, cleared by the
   * owner when it finds out. */
  uint32_t relief;
  int64_t relief_cpu; /* its CPU clock at sysmon's last look since; sysmon only */
  int32_t id;
  uint32_t tid; /* the kernel's */
  pthread_t thread;
  char *g0lo, *g0hi;              /* the thread's own stack */
  void *cgo_callers[CGO_CALLERS]; /* where C was when somebody looked; see callers_of */
  uint64_t long_sc;               /* the call that sysmon has found long, and since when; sysmon */
  int64_t long_since;
  uint64_t callers_of; /* ncgocall at that look: those of an earlier call are void */
  uint64_t controls;   /* the thread's floating-point controls, for stretches of g0; owner */
  G *extrag;           /* of an M for foreign threads: its G; write-once */
  gs_site outside;     /* of such an M: the time between two callbacks */
  M *alllink;          /* all Ms, newest first; write-once */
  M *freelink;         /* Ms of finished gs_run calls, to use again; sched.lock */
  void *sigstack;      /* alternate signal stack that the runtime made, or NULL */
  struct gs_tracebuf *trace;
#if GS_TSAN
  void *tsan;
#endif
#if GS_ASAN
  void *asan_fake;
#endif
} GS_ALIGNED(2 * GS_LINE);

/* ---- domains and the scheduler -----------------------------------------------------------------
 */

#define GS_MAX_PROCS 1024

struct gs_domain {
  gs_domain_ops ops;
  void *ud;
  char name[32];
  uint32_t id;
  uint32_t nprocs;   /* Ps in use; lock */
  uint32_t nallp;    /* Ps ever made; lock, read by all (grows only) */
  size_t stack_size; /* usable bytes of a G's stack */
  uint32_t klass;    /* its size class */
  Domain *next;      /* all domains; write-once */
  Lock lock GS_ALIGNED(GS_LINE);
  uint32_t runqsize;        /* lock; read by all */
  G *runq_head, *runq_tail; /* the global queue; lock */
  G *due_tail;              /* the last of its front part: Gs whose time has come; lock */
  uint32_t ndue;            /* how many they are; lock; read by all */
  G *off_head, *off_tail;   /* runnable, but user Gs are disabled; lock */
  P *pidle;                 /* lock */
  Lock gfree_lock;
  G *gfree;              /* dead Gs beyond what the Ps keep; gfree_lock, read by all */
  uint32_t npidle;       /* lock; read by all */
  uint32_t nmspinning;   /* atomic */
  uint32_t needspinning; /* atomic: work was found with no idle P to run it */
  P *allp[GS_MAX_PROCS]; /* grows only */
};

typedef struct gs_sched {
  Lock lock;
  M *midle;        /* LIFO; lock */
  uint32_t nmidle; /* lock; read by all */
  uint32_t nm;     /* Ms that exist, or are being made; lock */
  uint32_t nm_max; /* lock */
  /* For who asks whether anybody still runs: nm - nmidle - nmidlelocked Ms do.  An M that waits in
   * the poller, or is in a foreign call, counts as running. */
  int32_t nmidlelocked; /* Ms that wait for a P for their locked G; see incidlelocked; lock */
  uint32_t nmsys;       /* threads that run no G and have no M (sysmon, template); lock */
  uint64_t nmfreed;     /* Ms whose thread has ended or has left gs_run; lock */
  uint32_t max_threads;
  uint32_t nmid;   /* next M number; lock */
  M *allm;         /* push-only list */
  M *mfree;        /* lock */
  M *mextra;       /* Ms for foreign threads that no thread is bound to; lock */
  uint32_t nextra; /* such Ms that a thread is bound to; atomic */
  Domain *domains; /* push-only list */
  uint32_t ndomains;
  uint32_t nprocs_all; /* Ps in use in all domains; atomic */
  uint32_t npidle_all; /* idle ones; atomic: all idle means that sysmon may sleep deeply */
  uint32_t fenced;     /* no membarrier: everybody fences */
  uint32_t starved;    /* a thread was wanted and could not be made; atomic */
  uint64_t nborn;      /* Gs made without a P (see live_gs); atomic */
  uint64_t ndied;      /* those of them that could not be made after all; atomic */
  uint64_t goid;       /* atomic */
  G *allg;             /* push-only list; atomic */
  uint32_t running;    /* RUN_…; atomic */
  uint32_t outsiders;  /* threads without an M that are inside gs_go; atomic */
  uint32_t main_done;  /* its main G has ended and is off its stack */
  M *main_m;           /* the M inside gs_run */
  G *main_g;
  G *drain; /* parked until it is the only one left; atomic */
  /* The poller: one idle M that waits for the next timer and for descriptors. */
  M *poller;          /* atomic */
  int64_t poll_until; /* what it waits for; atomic */
  Note poll_note;
  uint32_t poll_starting; /* an M is on its way to the seat; atomic */
  /* Descriptors: netpoll.c */
  uint32_t netpoll_inited; /* a descriptor was opened once; netpoll.c under its lock, atomic */
  int32_t netpoll_waiters; /* Gs parked for one, or on their way to a queue; atomic */
  uint32_t netpolling;     /* somebody polls without waiting; atomic */
  uint32_t netpolls;       /* polls so far; atomic */
  uint32_t netpoll_luck;   /* the last poll found several: look again before going idle; atomic */
  uint32_t netpoll_spin;   /* how often polling for a moment has paid lately, 0..16; atomic */
  int64_t netpoll_took;    /* ns that a G from the poller ran, at most, lately; atomic */
  /* sysmon */
  Note sysmon_note;
  uint32_t sysmon_wait;  /* in deep sleep; atomic */
  int64_t sysmon_until;  /* when it wakes next; atomic */
  uint32_t sysmon_poked; /* a poke is outstanding; atomic */
  uint32_t sysmon_slow;  /* SLOW_…: how soon sysmon looks again; sysmon, and who wakes it */
  uint32_t nrelieved;    /* Ms without the P that sysmon took from undeclared code; atomic */
  int64_t idle_ns;       /* how long a surplus M waits for work before its thread ends; gs_run */
  uint32_t test_flags;   /* TEST_…: set by tests alone, to see one guard without another */
  uint32_t pw_waiters;   /* Ms that sleep until a LOCK goes away; atomic */
  uint32_t notified;     /* gs_notify was called; atomic */
  uint32_t ending;       /* main has returned: Gs are born cancelled; atomic */
  unsigned run_flags;    /* of the gs_run under way */
  uint32_t no_sysmon;    /* after fork: it is made with the first new G; atomic */
  uint32_t orphan;       /* ORPHAN_…; written by process.c in a child of fork */
  M *poke_m;             /* what the poke is about; written by who set sysmon_poked */
  uint64_t poke_sc;
  /* counters of rare things; atomic */
  uint64_t nretake, nretake_user, nretake_failed, nhandoff, nhandoff_entry, nticks, npokes,
      nbarriers, nlimit, nmcreated, nhogs, nhogs_kept;
  uint64_t stacks_mapped;
  long timerslack; /* of the process at boot */
  /* Stopping the world (stw.c). */
  uint32_t gcwaiting; /* no P leaves an idle list, Ms wait before they run a G; stw_mu, atomic */
  uint32_t user_off;  /* user Gs are disabled, for the n-th time; 0: not; set in a stopped world */
  uint32_t nwakers;   /* outside the scheduler, that may wake Gs; atomic */
  uint32_t frozen;    /* a fatal error is being reported: nobody comes in again; atomic */
  Lock stw_mu;        /* held while the world is stopped, or Ps are visited: one at a time */
  Lock retake_mu; /* held by whoever LOCKs pws: sysmon over its look, a stopper until the start */
} Sched;

/* What gs_sched.running says of gs_run. */
enum { RUN_NONE, RUN_STARTS, RUN_ON, RUN_ENDS };

extern Sched gs_sched;
extern Domain gs_native;
extern P gs_nop; /* "no P" */

/* ---- lock.c, os/ ---- */

void os_init(void);
int64_t os_now(void);
uint32_t os_gettid(void);
int os_ncpu(void); /* CPUs this process may use: affinity and cgroup quota */
void os_yield(void);
void os_futex_wait(uint32_t *addr, uint32_t val);
/* 0: woken or changed, 1: the time came, 2: a signal handler ran */
int os_futex_wait_until(uint32_t *addr, uint32_t val, int64_t when_ns);
void os_futex_wake(uint32_t *addr, int n);
void os_futex_wake_all(uint32_t *addr);
int *os_errno_at(void);     /* of the calling thread, asked for anew each time */
bool os_barrier_init(void); /* true: os_barrier works */
bool os_barrier(void);      /* a full fence on every thread of the process; false: it failed */
int os_thread_start(void *(*fn)(void *), void *arg); /* all signals blocked; 0 or errno */
void os_thread_limits(char *buf, size_t n);          /* names and values of what limits threads */
void os_thread_begin(M *m);                          /* name, slack, signal mask of a new M */
void os_short_slice(void); /* the calling thread wants to run soon after it wakes */
void os_slack(long ns);
long os_slack_get(void);
void os_stack_bounds(char **lo, char **hi);
void *os_reserve(size_t bytes);
bool os_guard(void *page, size_t bytes);
void os_decommit(void *lo, size_t bytes);
size_t os_pagesize(void);
int64_t os_thread_cputime(void);
int64_t os_thread_cputime_of(uint32_t tid); /* -1: there is no such thread */
bool os_thread_asleep(uint32_t tid);        /* it waits in the kernel; false also if unknown */
void os_secure_env(const char *name, const char **value);
void os_sleep_ns(int64_t ns);
int os_copies_claim(void); /* GS_OK, or GS_EABI with its sentence: another copy has booted */
bool os_peek(const void *from, void *to, size_t n); /* false: it is not there any more */
int os_walk(const char *lo, const char *hi, void **pcs, int most);
void os_describe(const void *pc, char *buf, size_t size);
bool os_thread_at(uint32_t tid, void **sp, void **pc);
void os_thread_name(const char *name); /* of the calling thread */

/* ---- error.c ---- */

_Noreturn void gs_throw(const char *msg, const char *file, int line);
int gs_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void gs_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- arch/, switch.c ---- */

void gs_arch_switch(void **save_sp, void *load_sp);
void gs_arch_controls(uint64_t *out); /* how floating point rounds here and now, and its like */
/* A stack that starts at entry, with these controls, when it is loaded. */
void *gs_arch_frame(void *top, void (*entry)(void), uint64_t controls);
/* Calls fn(arg) on the stack below sp, and leaves its own stack pointer at *sp meanwhile. */
int gs_arch_call(int (*fn)(void *), void *arg, void *sp);
/* Where a call goes on a stack that was left at sp by gs_arch_switch or gs_arch_call. */
static inline void *below(void *sp) { return (void *)(((uintptr_t)sp - 16) & ~(uintptr_t)15); }

#if defined(__x86_64__)
#include "arch/amd64.h"
#endif
/* The M of this thread.  Neither inlined nor understood by the compiler, which would keep a
 * thread-local's address over a switch. */
M *gs_getm_call(void);
#ifdef GS_ARCH_GETM
#define gs_getm() ((M *)gs_arch_getm())
#else
#define gs_getm() gs_getm_call()
#endif
void gs_setm(M *m);
M *gs_get_extra(void); /* the M that this foreign thread is bound to */
void gs_set_extra(M *m);
void switch_g_to_g0(M *m, G *from, bool dies);
void switch_g0_to_g(M *m, G *to);
int call_on_g0(M *m, int (*fn)(void *), void *arg);
int call_on_g(M *m, int (*fn)(void *), void *arg, void *sp);
void *g_stack_top(const G *g);
void g_first_frame(G *g, void (*entry)(void));
void fiber_new(G *g);
void fiber_free(G *g);
void fiber_started(M *m);    /* first thing on a new G's stack */
void fiber_started_g0(M *m); /* first thing on a new stretch of g0 */
void m_fiber_init(M *m);

/* ---- stack.c ---- */

void stack_init(void);
uint32_t stack_class(size_t bytes);
Stack *stack_get(P *p, Domain *d, uint32_t klass);
void stack_put(P *p, Stack *s);
void stack_sigstack(M *m);      /* gives the thread an alternate signal stack if it has none */
void stack_sigstack_drop(M *m); /* takes it away again */

/* ---- runq.c ---- */

void runqput(P *p, G *g, bool next);
G *runqget(P *p, bool *inherit);
bool runqempty(const P *p);
uint32_t runqlen(const P *p);
G *runqsteal(P *thief, P *victim, bool take_next);
void runqdrain_to_global(P *p);
void globrunqput_due(Domain *d, G *g);                          /* d->lock held */
void due_leave(Domain *d, G *g, G *prev);                       /* d->lock held */
void globrunqput(Domain *d, G *g);                              /* d->lock held */
void globrunqput_list(Domain *d, G *head, G *tail, uint32_t n); /* d->lock held */
G *globrunqget(P *p, uint32_t max); /* d->lock held; the rest goes to p's ring */
static inline bool p_has_work(const P *p) {
  return load_rlx(&p->d->runqsize) != 0 || !runqempty(p);
}

/* ---- proc.c: schedule, park, ready ---- */

void schedule_loop(M *m); /* g0 of every M; returns only for the M inside gs_run */
int gopark(M *m, bool (*commit)(G *, void *), void *arg, int64_t deadline, const char *reason);
void ready(M *m, G *g);         /* makes a claimed G runnable; m: inside with a P, or NULL */
void ready_list(M *m, G *head); /* linked by schedlink */
bool any_work(Domain *d);       /* in any of its queues */
bool may_run(const G *g);       /* user Gs are not disabled, or not this one */
void user_on(M *m);             /* they are not from here on; m as for ready */
void p_lost(M *m, Domain *d);   /* m, inside, had a P of d */
static inline bool claim(G *g, int why) {
  uint32_t w = PARKED;
  if (!__atomic_compare_exchange_n(&g->park, &w, PARK_WOKEN, false, __ATOMIC_SEQ_CST,
                                   __ATOMIC_RELAXED)) {
    if (w != PARKED_FIRM || why == GS_ECANCELED || why == GS_EINTR) return false;
    if (!CAS(&g->park, PARKED_FIRM, PARK_WOKEN)) return false;
  }
  g->wake = why;
  return true;
}
M *resumed(G *g); /* after a switch to this G: finishes the one before, runs the hooks */
void finish_prev(M *m);
M *leave_for_call(M *m, G *g); /* g's call goes to another M, if there is one for it */
M *requeue_self(M *m, G *g);   /* m has no P: into the queue; returns with one */
_Noreturn void g_leave_dead(M *m, G *g);
void preempted(M *m);

/* ---- g.c: birth and death of Gs ---- */

G *g_new(M *m, Domain *d, void (*fn)(void *), void *arg);
G *g_uncounted(Domain *d);
void g_bind_stack(P *p, G *g);
void g_recycle(M *m, G *g); /* a dead G that is off its stack */
G *g_unmake(M *m, G *g);    /* it never ran and will not; returns a G to make runnable, or NULL */
_Noreturn void g_exit(M *m);
uint64_t born_gs(void);
uint32_t live_gs(void);
bool g_cancel(G *g);      /* its handle's lock is held; true: the caller makes it runnable */
void heavy_barrier(void); /* a full fence on every thread: the rare side of a Dekker pair */

/* ---- unblock.c ---- */

bool unblock_take(G *g);
void unblock_run(G *g);
void unblock_all(void);

/* ---- handle.c ---- */

gs_handle *handle_new(G *g);
void handle_finish(M *m, gs_handle *h);

/* ---- m.c: Ms, idle Ps ---- */

M *m_make(int32_t id); /* a new struct; NULL: out of memory */
M *m_alloc(void);      /* counted against max_threads; NULL: GS_ETHREADS or out of memory */
void m_free(M *m);
void m_uncount(void);  /* sched.lock held */
void m_put_free(M *m); /* not counted any more */
bool m_dismiss(void);  /* ends an idle M, if there is one */
void m_stillborn(M *m, int err);
void m_thread_init(M *m);
int m_new_thread(M *m); /* 0 or errno */
void acquirep(M *m, P *p);
P *releasep(M *m);              /* NULL: it was lost */
P *releasep_try(M *m);          /* NULL: it is LOCKed just now; for callers that hold a lock */
void pidleput(P *p);            /* d->lock held */
P *pidleget(Domain *d);         /* d->lock held */
P *pidleget_try(Domain *d);     /* takes d->lock if it looks worth it */
bool wait_unlocked(M *m, P *p); /* waits while p is LOCKed; true: it is still the M's */
P *starved_work(void);
P *pidleget_spinning(Domain *d); /* takes d->lock; NULL: needspinning is set */
void startm(P *p, bool spinning);
bool startm_call(G *g); /* an M that makes g's foreign call; false: there is none */
void stopm(M *m);       /* sleeps until it has a P, or may leave gs_run, or has the poller's seat */
void stoplockedm(M *m); /* until it has a P for its G; or, without one, may leave gs_run */
/* thread.c */
void m_order(M *m); /* its thread is made by the template thread */
int m_start(M *m);  /* a thread for m: 0 (made, or ordered from the template thread) or errno */
void m_quit(M *m);  /* m's thread is about to end: gives away what it has */
int template_start(void);
void template_forked(void); /* in the child, where it does not run */
void startlockedm(M *m, G *g); /* m's P goes to g's M; m sleeps */
void incidlelocked(int32_t n); /* takes sched.lock */
void start_poller(void);
void handoffp(P *p);
void wakep(Domain *d);
void m_detach(M *m);
bool m_attach(M *m); /* false: the P was lost meanwhile */

/* ---- syscall.c ---- */

M *enter_slow(M *m, uint64_t old);
M *enter_odd(M *m, uint64_t old);
int refused(void); /* what a function that may park returns where enter() gave NULL */
void entersyscall(M *m, G *g, gs_site *site);
void entersyscallblock(M *m, G *g);
M *call_elsewhere(M *m, G *g, gs_site *site);
void entersyscall_pless(M *m, G *g, gs_site *site);
M *exitsyscall(M *m, G *g, bool stay);
M *exitsyscall_lost(M *m, G *g, P *p, bool stay); /* pw was not p */
#define SHORT_RUN 16u /* so many short calls in a row make a site known short */
/* Nothing to decide at entry: known short, no hints. */
static inline bool site_is_short(const gs_site *site) {
  typedef uint64_t __attribute__((may_alias)) both; /* flags and score in one load */
  return load_rlx(&site->shorts) >= SHORT_RUN && load_rlx((const both *)&site->flags) == 0;
}
_Static_assert(offsetof(gs_site, flags) % 8 == 0 &&
                   offsetof(gs_site, score) == offsetof(gs_site, flags) + 4,
               "site_is_short reads flags and score together");
M *reacquire(M *m, G *g, bool stay); /* the P was lost: another one, or the queue */
#define NSITES 1024u                 /* 10 bits */
extern gs_site gs_sites[NSITES] __attribute__((visibility("hidden")));
/* For callers that have none of their own, by address.  Two keys may share an entry: they then
 * share what was learned, which costs speed, never correctness. */
static inline gs_site *site_of(const void *key) {
  uint32_t h = (uint32_t)(uintptr_t)key * 0x9e3779b9u;
  return &gs_sites[h >> 22];
}
M *hook_switch_in(M *m, G *g);
void hook_release(M *m, G *g);
M *hook_released(M *m, G *g); /* the same, before a foreign call: m comes back with a P */
int refused(void);            /* what a function that may park returns where enter gave NULL */

/* ---- callback.c ---- */

void g0_begin(M *m);

/* The other way for a function that may park and found no green thread to park here: inside a
 * foreign call it is called once more, on the green thread's stack.
 *
 *     M *m = enter();
 *     if (unlikely(!m)) return as_callback(gs_chan_send, c, elem, deadline);
 *
 * Up to six arguments, integers and pointers; the function returns int.  Gives refused() where
 * there is no green thread below. */
#define as_callback(fn, ...)                                                                       \
  again_on_g((Again)(uintptr_t)(fn), (uintptr_t[6]){PICK_(__VA_ARGS__, ARG6_, ARG5_, ARG4_, ARG3_, \
                                                          ARG2_, ARG1_)(__VA_ARGS__)})
#define PICK_(a, b, c, d, e, f, n, ...) n
#define ARG1_(a) (uintptr_t)(a)
#define ARG2_(a, ...) (uintptr_t)(a), ARG1_(__VA_ARGS__)
#define ARG3_(a, ...) (uintptr_t)(a), ARG2_(__VA_ARGS__)
#define ARG4_(a, ...) (uintptr_t)(a), ARG3_(__VA_ARGS__)
#define ARG5_(a, ...) (uintptr_t)(a), ARG4_(__VA_ARGS__)
#define ARG6_(a, ...) (uintptr_t)(a), ARG5_(__VA_ARGS__)
typedef int (*Again)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
int again_on_g(Again fn, const uintptr_t *args);
void callback_never(void); /* this thread is the runtime's own: it is bound to no M */

/* ---- sysmon.c, retake.c ---- */

int sysmon_start(void);
void sysmon_wake(void);
/* How soon sysmon looks.  Whoever has a reason not to wait reads this first. */
enum {
  SLOW_NO,    /* within 100 us */
  SLOW_CALLS, /* within a millisecond, or it has used up its budget: calls alone may wake it */
  SLOW_ALL,   /* later, or never: who queues a G that nobody is free for wakes it, too */
  SLOW_TOLD,  /* somebody has woken it, it is on its way */
};
void sysmon_poke(M *m, uint64_t sc); /* m's call, entered with this sc, may block; others wait */
void sysmon_queued(void);            /* a G was queued and nobody is free to run it */
void sysmon_watch(int64_t when);     /* nobody polls, and a timer is due then */
void pless_back(M *m);               /* m has found out that its P is gone */
enum { RELIEF_NONE, RELIEF_ASLEEP, RELIEF_HOG };
enum {
  TEST_NO_RELIEF = 1, /* code that declared nothing keeps its P */
  TEST_NO_QUEUED = 2, /* sysmon_queued does nothing */
};
typedef struct {
  P *p;
  M *m;
  uint64_t sc;
  int64_t since;   /* when the stretch was first seen */
  uint32_t relief; /* RELIEF_… that the M gets if its P is taken */
  bool locked, taken;
} Retake;
/* Tries to take each P from its M if sc still is the captured word.  Sets taken. */
void retake_batch(Retake *r, int n);
void unlock_pw(M *m, uintptr_t w); /* ends a LOCK; w: 0 or the P */

/* ---- snapshot.c ---- */

void p_info(P *p, gs_p_info *out);
void g_info(G *g, gs_g_info *out);

/* ---- deadlock.c ---- */

bool deadlock_wanted(void);
void deadlock_check(void); /* by sysmon, when it holds no lock */

/* ---- stw.c ---- */

void stop_world(const char *reason); /* from outside the runtime; waits for other stoppers */
void start_world(void);
void stw_wait(M *m);          /* in schedule_loop: waits while its P is LOCKed, and may lose it */
void stw_after_fork(M *m);    /* in the child: whoever stopped the world is not there */
void stw_hold(void);          /* for what runs without a P: waits until the world goes on */
void stw_safe_point(M *m);    /* in schedule_loop: p->safefn is set */
void stw_freeze(void);        /* for good; takes no lock */
_Noreturn void stw_end(void); /* where Ms of a frozen world come to rest */
void stw_release_later(M *m); /* it has lost its P, and its pw is LOCKed; NULL: nobody */
M *stw_own(void);             /* the M whose G has stopped the world, or NULL */

/* ---- timer.c, poll.c ---- */

/* False: there is no memory for the timer; the park word is published all the same. */
bool timers_park(Timers *ts, G *g, uint32_t word, int64_t when);
bool timers_add(Timers *ts, Timer *t, int64_t when); /* false: no memory, and it was not added */
bool timers_del(Timer *t);                           /* false: it was in no heap */
/* A user's timer (timer_user.c) whose time has come, with its heap's lock held.  Returns Gs to be
 * made runnable, linked by schedlink; *next is when it is due again, INT64_MAX: it is over. */
G *timer_user_fire(Timer *t, int64_t now, int64_t *next);
void timer_user_free(Timer *t);
/* Claims the Gs whose time has come and returns them linked by schedlink. */
G *timers_run(Timers *ts, int64_t now);
int64_t timers_next(void); /* the earliest of all Ps */
G *timers_run_all(int64_t now);
void timers_move(Timers *from, Timers *to); /* all of them */
bool poll_wait(M *m);          /* takes the seat if it is free and somebody waits; true: did */
G *poll_now(M *m, bool idle);  /* looks at descriptors if nobody else does: a G to run, or NULL */
bool poll_backup(int64_t now); /* the same for sysmon; true: look again soon */
void poll_break(int64_t when); /* the poller must not sleep beyond when */
void poll_ensure(M *m, int64_t when); /* m goes on with other work: who watches the clock? */
/* Is there anything to wait for? */
static inline bool poll_wanted(void) {
  return load_sc(&gs_sched.netpoll_waiters) != 0 || timers_next() != INT64_MAX;
}

/* ---- process.c ---- */

/* After fork, whose end ends the process: of nobody, since gs_run returns; of the main G on a
 * thread that is not inside gs_run; of another one that has become the main G. */
enum { ORPHAN_NO, ORPHAN_MAIN, ORPHAN_OTHER };
int process_init(void); /* 0 or errno */
void process_revive(void);
void handle_forked(gs_handle *h); /* the G is gone */
void unblock_forked(G *g);        /* this one is not */
M *callback_bound(void);
void netpoll_forked(void);
void fork_lock(Lock *l, bool on);
void stw_fork_prepare(void);
void stw_fork_parent(void);
void stw_fork_child(void);
void stack_locks(bool on);
void trace_lock(bool on);
_Noreturn void run_orphan_done(void); /* boot.c */

/* ---- domain.c, boot.c, trace.c ---- */

int domain_init(Domain *d, const char *name, uint32_t procs, size_t stack_size);
int domain_resize_stopped(Domain *d, uint32_t procs);
int domain_resize(Domain *d, uint32_t procs); /* stops the world if it changes anything */
int gs_boot(void);
void m_vanished(void *m);   /* the thread is gone: its P must not go with it */
void boot_thread_key(M *m); /* tells when the thread of an M vanishes */

enum { EV_GO = 1, EV_STOP, EV_CALL, EV_RET, EV_HANDOFF, EV_RETAKE, EV_STARTM, EV_RELIEF };
void trace_event(M *m, int kind, uint64_t a, const void *b);
/* A foreign call begins, loses its P (kind: EV_HANDOFF or EV_RETAKE), ends. */
bool trace_call_begin(M *m, G *g, uint64_t what, const gs_site *site); /* false: no trace is on */
void trace_call_blocks(M *m, G *g, int kind, P *p);
void trace_call_end(M *m, G *g, const gs_site *site);
void trace_m_init(M *m);

/* ---- around foreign code ---- */

/* The specification's osPreemptExtEnter and osPreemptExtExit: between the two no signal of the
 * runtime may reach the thread.  The runtime sends none, to any thread, so there is nothing to hold
 * back; a mode that asks for preemption by signals has its switch here.  Inside CALL and before
 * incgo is set, and after it is cleared. */
static inline void os_preempt_ext_enter(M *m) { (void)m; }
static inline void os_preempt_ext_exit(M *m) { (void)m; }

/* ---- torture.c ---- */

/* Stands where a comment names a race, between the two steps that somebody else may come between.
 * The torture build stays there for a while now and then; other builds have nothing here. */
#if GS_TORTURE
void torture_window(void);
#else
static inline void torture_window(void) {}
#endif

/* ---- what the fast path of a foreign call leaves to its readers ---- */

/* It stores neither status, nor m->p, nor the counters of its end: that the M is outside in a call
 * and still has its m->p says it all.  Builds in which it does not exist have nothing to ask. */
#if GS_TSAN || GS_TORTURE
#define GS_FAST_CALLS 0
#else
#define GS_FAST_CALLS 1
#endif
static inline bool m_in_fast_call(const M *m) {
  return GS_FAST_CALLS && (load_acq(&m->sc) & SC_MODE) == SC_CALL && load_rlx(&m->p) != &gs_nop;
}
static inline uint32_t g_status(const G *g) {
  uint32_t s = load_rlx(&g->status);
  const M *m = GS_FAST_CALLS && s == Grunning ? load_rlx(&g->m) : NULL;
  return m && load_rlx(&m->curg) == g && m_in_fast_call(m) ? (uint32_t)Gsyscall : s;
}
static inline uint32_t p_status(const P *p) {
  uint32_t s = load_rlx(&p->status);
  const M *m = s == Prunning ? load_acq(&p->m) : NULL;
  return m && m_in_fast_call(m) ? (uint32_t)Psyscall : s;
}
/* Calls that came and went on the fast path. */
static inline uint64_t m_fast_calls(const M *m) {
  return load_rlx(&m->ncgocall) - load_rlx(&m->nplaincall);
}
static inline uint32_t p_syscalltick(const P *p) {
  const M *m = load_acq(&p->m);
  return load_rlx(&p->syscalltick) +
         (GS_FAST_CALLS && m ? (uint32_t)(m_fast_calls(m) - load_rlx(&m->tick_base)) : 0);
}
/* Whoever ends the pair of P and M keeps the count. */
static inline void p_keep_syscalltick(P *p, const M *m) {
  store_rlx(&p->syscalltick,
            p->syscalltick + (uint32_t)(m_fast_calls(m) - load_rlx(&m->tick_base)));
}

/* ---- inside and outside ---- */

static inline uint64_t sc_next(uint64_t s, uint32_t mode) {
  return (s & ~(uint64_t)(SC_STEP - 1)) + SC_STEP + mode;
}

/* The M's half of Dekker: publish that we are inside, then look at pw. */
static inline void sc_enter(M *m, uint64_t s) {
  uint64_t n = sc_next(s, SC_INSIDE);
  if (unlikely(s & SC_FENCED)) {
    (void)xchg(&m->sc, n);
    fence_after_rmw();
  } else {
    store_rlx(&m->sc, n);
    compiler_fence();
  }
}

#if GS_TSAN
#define SC_FENCE_NOW SC_FENCED
#else
#define SC_FENCE_NOW (unlikely(load_rlx(&gs_sched.fenced)) ? SC_FENCED : 0u)
#endif

static inline void sc_leave(M *m, uint32_t mode) {
  if (SC_FENCE_NOW) mode |= SC_FENCED;
  store_rel(&m->sc, sc_next(m->sc, mode));
  compiler_fence();
}

/* First thing in every gs_ function that touches the scheduler.  NULL: there is no green thread
 * here that could park (no M, system stack, between brackets). */
static inline M *enter(void) {
  M *m = gs_getm();
  if (unlikely(!m)) return NULL;
  uint64_t s = m->sc;
  if (unlikely((s & (SC_STEP - 1)) != SC_USER)) return enter_odd(m, s);
  store_rlx(&m->sc, s - SC_USER + SC_STEP + SC_INSIDE);
  compiler_fence();
  if (unlikely(load_acq(&m->pw) != (uintptr_t)m->p)) return enter_slow(m, s);
  return m;
}

/* Last thing.  m must be the M that the G is on now. */
static inline void leave(M *m) {
  if (unlikely(load_rlx(&m->p->preempt))) {
    preempted(m);
    m = gs_getm();
  }
  sc_leave(m, SC_USER);
}

#endif
