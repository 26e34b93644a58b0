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

#include "base.h"
#include "gosched_domain.h"

typedef struct gs_g G;
typedef struct gs_m M;
typedef struct gs_p P;
typedef struct gs_domain Domain;
typedef struct gs_call_deadline Deadline;

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

/* ---- timers (timer.c) ---- */

/* Whose a timer is: a parked G's, a gs_timer's, one's that nobody has a pointer to, a call's. */
enum { TIMER_G, TIMER_USER, TIMER_FORGET, TIMER_CALL };

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

/* A callback under way, as failure.c sees it; in the frame of call_back. */
typedef struct gs_back {
  struct gs_back *outer; /* the one around it, or NULL; write-once */
  const char *top;       /* of its stretch of the G's stack; write-once */
  void *data;            /* the failure of the call that called back; the G that runs it */
  int32_t code;          /* 0: it has not failed; as data */
} Back;

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
  uint8_t hooked;      /* its domain has switch_in, release or suspend; write-once */
  uint8_t due;         /* stands in the front part of the global queue; domain lock */
  uint8_t system;      /* GS_GO_SYSTEM; its maker, read by all */
  uint8_t main;        /* the G of gs_run */
  uint32_t cancelled;  /* gs_cancel was called; atomic */
  /* The lines above are all that a switch touches; these two more for a birth. */
  Stack *stack; /* bound at the first run; owner */
  void (*fn)(void *);
  void *arg;
  uint64_t goid;
  uint64_t controls;      /* its maker's floating-point controls, to start with; its maker */
  size_t stack_want;      /* bytes asked for; 0: the domain's */
  const char *waitreason; /* static text; owner before it parks; perhaps marked, see wait.c */
  void *data;             /* the binding's word; owner (and the binding's own lock) */
  gs_handle *handle;
  uint32_t locks;     /* nesting of gs_lock_os_thread; owner */
  uint32_t pins;      /* callbacks under way, which lock it to its M as well; owner */
  uint32_t firm;      /* >0: parks cannot be cancelled (clean-up at the end); owner */
  uint8_t bracket;    /* BRACKET_…: between brackets, where nothing may park; owner */
  uint8_t extra;      /* of a foreign thread that calls back: not counted, not cancelled at the
                         end; its maker, read by all */
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
  Deadline *deadline; /* of that call, or NULL; owner */
  uint64_t detached;  /* its goid, if nobody waits any more for the call that it was made for (see
                         detach.c); who has given up waiting, read by dumps */
  uint32_t unblock;   /* who may run it: see unblock.c; atomic */
  Back *back;         /* the innermost callback under way, NULL: none; owner */
  void *fail_data;    /* the failure of the innermost call under way; owner */
  int32_t fail_code;  /* 0: it has not failed, or the failure is in back; owner */
  int32_t told_code;  /* of the last call that returned GS_ECALLBACK, 0: taken; owner */
  void *told_data;    /* as told_code */
  uint64_t told_goid; /* whose that was: the struct may be another G's by now; owner */
  int64_t handed_at;  /* when its P was handed off at entry, 0: it was not; owner */
  int64_t since;      /* when it was first seen to wait, if waitreason is marked; whoever saw it */
  G *alllink;         /* all Gs ever made, newest first; write-once */
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
  Stack *stacks;     /* free stacks of the domain's size; owner */
  P *link;           /* idle list; domain lock */
  int64_t handed_at; /* when handoffp sent it to an M, until it is there; 0: not sent; owner */
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
  /* The latest call of a site that is not known to be short, with work behind it: whose, which and
   * since when.  Owner, before it publishes that sc; read by sysmon. */
  M *unsure_m;
  uint64_t unsure_sc;
  int64_t unsure_when;
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
  int32_t trace_end; /* EV_RET or EV_BACK: what exitsyscall is to record, 0: nothing; owner */
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
  uint32_t own;  /* its thread was made by the runtime, and may be ended by it; owner */
  uint32_t quit; /* QUIT_…: its thread ends soon; owner, or who took it off midle */
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
  uint64_t callers_of;       /* ncgocall at that look: those of an earlier call are void */
  uint64_t controls;         /* the thread's floating-point controls, for stretches of g0; owner */
  G *extrag;                 /* of an M for foreign threads: its G; write-once */
  gs_site outside;           /* of such an M: the time between two callbacks */
  M *alllink;                /* all Ms, newest first; write-once */
  M *freelink;               /* Ms of finished gs_run calls, to use again; sched.lock */
  void *sigstack;            /* alternate signal stack that the runtime made, or NULL */
  uint64_t sigstack_calls;   /* ncgocall when that was looked at last; owner */
  struct gs_tracebuf *trace; /* its ring while a trace is on; trace.c under its lock, atomic */
  uint32_t tracing;          /* this M uses that, or calls the subscriber; this M */
#if GS_TSAN
  void *tsan;
#endif
#if GS_ASAN
  void *asan_fake;
#endif
} GS_ALIGNED(2 * GS_LINE);

/* ---- domains and the scheduler -----------------------------------------------------------------
 */

/* Plain numbers: settings.c makes text of them. */
#define GS_MAX_PROCS 1024
#define GS_MOST_THREADS 1000000
#define GS_MIN_STACK 16384
#define GS_MAX_STACK 1073741824

typedef struct {
  int (*cb)(const char *report, void *ud); /* NULL: none */
  void *ud;
} DeadlockCall;

struct gs_domain {
  gs_domain_ops ops;
  void *ud;
  DeadlockCall deadlock; /* deadlock.c's lock */
  uint32_t deadlocked;   /* number of the last deadlock that concerned it; sysmon */
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
  M *midle;          /* LIFO; lock */
  uint32_t nmidle;   /* lock; read by all */
  uint32_t nm;       /* Ms that exist, or are being made; lock */
  uint32_t nm_max;   /* the most at once that had a thread; lock */
  uint32_t nordered; /* of nm, those for which the template thread has yet to make one; lock */
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
  uint32_t nforks;       /* how many forks away from the process that booted; as orphan */
  M *poke_m;             /* what the poke is about; written by who set sysmon_poked */
  uint64_t poke_sc;
  /* counters of rare things; atomic */
  uint64_t nretake, nretake_user, nretake_failed, nhandoff, nhandoff_entry, nticks, npokes,
      nbarriers, nlimit, nmcreated, nhogs, nhogs_kept;
  uint64_t stacks_mapped;
  uint64_t ndetached, ndetached_over; /* calls whose caller has gone; of these, those that ended */
  long timerslack;                    /* of the process at boot */
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

#include "internal.h"

#endif
