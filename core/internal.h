/* internal.h: what the files of core/ offer each other, by file, and the few functions that must
 * be in line: the handshake (sc_enter, sc_leave, enter, leave) and what reads the words of a call's
 * fast path.  The structures are in runtime.h, which includes this at its end.
 */
#ifndef GS_INTERNAL_H
#define GS_INTERNAL_H

#include "runtime.h"

/* ---- frames.c ---- */

/* Where parked Gs were left, as far as it has been told. */
enum { FRAMES = 12, PLACES = 16, PLACES_MOST = 200 };
typedef struct {
  uint32_t n, told;
  struct {
    uint64_t goid;
    int n;
    void *pcs[FRAMES];
  } place[PLACES];
} Places;
/* The frames of a G that waits, at most FRAMES, innermost first, and how many.  *same: a G that was
 * told of and waits in the same ones, or 0. */
int g_frames(Places *seen, const G *g, void **pcs, uint64_t *same);

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
uint64_t os_thread_waits(void); /* how often this thread has given up its processor to wait */
int64_t os_thread_cputime_of(uint32_t tid); /* -1: there is no such thread */
bool os_thread_asleep(uint32_t tid);        /* it waits in the kernel; false also if unknown */
void os_secure_env(const char *name, const char **value);
void os_sleep_ns(int64_t ns);
uint32_t os_nthreads(void); /* of the process; 0: not known */
int os_copies_claim(void);  /* GS_OK, or GS_EABI with its sentence: another copy has booted */
bool os_peek(const void *from, void *to, size_t n); /* false: it is not there any more */
int os_walk(const char *lo, const char *hi, void **pcs, int most);
bool os_internal(const void *pc); /* in libgosched.so, and not in a function that it exports */
void os_describe(const void *pc, char *buf, size_t size);
bool os_thread_at(uint32_t tid, void **sp, void **pc);
void os_thread_name(const char *name); /* of the calling thread */

/* ---- error.c ---- */

_Noreturn void gs_throw(const char *msg, const char *file, int line);

/* ---- arch/, switch.c ---- */

void gs_arch_switch(void **save_sp, void *load_sp);
void gs_arch_controls(uint64_t *out); /* how floating point rounds here and now, and its like */
/* A stack that starts at entry, with these controls, when it is loaded.  What entry returns is the
 * sp of the stack that is loaded next, plus GS_ARCH_FRESH if that one has not been; its own stack
 * is not touched after that. */
void *gs_arch_frame(void *top, void *(*entry)(void), uint64_t controls);
/* Calls fn(arg) on the stack below sp, and leaves its own stack pointer at *sp meanwhile. */
int gs_arch_call(int (*fn)(void *), void *arg, void *sp);
/* Where a call goes on a stack that was left at sp by gs_arch_switch or gs_arch_call. */
static inline void *below(void *sp) { return (void *)(((uintptr_t)sp - 16) & ~(uintptr_t)15); }

#if defined(__x86_64__)
#include "arch/amd64.h"
void gs_arch_begin(void **save_sp, void *load_sp); /* to a stack that is fresh */
#define GS_ARCH_FRESH 1
#else
#define gs_arch_begin gs_arch_switch
#define GS_ARCH_FRESH 0
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
void switch_g_to_g0(M *m, G *from);
void *last_switch_to_g0(M *m); /* from a dead G: the sp to load */
void switch_g0_to_g(M *m, G *to);
int call_on_g0(M *m, int (*fn)(void *), void *arg);
int call_on_g(M *m, int (*fn)(void *), void *arg, void *sp);
void *g_stack_top(const G *g);
void g_first_frame(G *g, void *(*entry)(void));
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
/* Foreign code may have taken it away. */
static inline void stack_sigstack_again(M *m) {
  if (load_rlx(&m->ncgocall) != m->sigstack_calls) stack_sigstack(m);
}

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
G *globrunqget_turn(P *p);          /* d->lock held; passes over those that are due */
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
M *leave_for_call(M *m, G *g);  /* g's call goes to another M, if there is one for it */
M *requeue_self(M *m, G *g);    /* m has no P: into the queue; returns with one */
void *g_leave_dead(M *m, G *g); /* the sp to load, as the last thing on g's stack */
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
void heavy_barrier_unfenced(void); /* the same, if the other side may be one that never fences */

/* ---- unblock.c ---- */

bool unblock_take(G *g);
void unblock_run(G *g);
void unblock_all(void);
G *unblock_fire(Timer *t, int64_t now, int64_t *next); /* of TIMER_CALL; as timer_user_fire */
/* gs_cgocall_opts with an unblock function and without destroy, on a green thread. */
int unblock_call(const gs_call_options *o, int (*fn)(void *), void *arg, int *result);

/* ---- detach.c ---- */

/* gs_cgocall_opts with destroy, on a green thread.  *begun stays as it is if the call was not
 * begun, so that its argument is still to be destroyed. */
int detachable_call(const gs_call_options *o, int (*fn)(void *), void *arg, int *result,
                    bool *begun);

/* ---- handle.c ---- */

gs_handle *handle_new(G *g);
void handle_finish(M *m, gs_handle *h);
int handle_join(gs_handle *h, int64_t deadline, const char *reason); /* gs_join */
void handle_detached(gs_handle *h); /* its G makes a call that nobody waits for any more */

/* ---- m.c: Ms, idle Ps ---- */

M *m_make(int32_t id); /* a new struct; NULL: out of memory */
M *m_alloc(void);      /* counted against max_threads; NULL: GS_ETHREADS or out of memory */
void m_free(M *m);
void m_uncount(void);  /* sched.lock held */
void m_put_free(M *m); /* not counted any more */
bool m_dismiss(void);  /* ends an idle M, if there is one */
void m_stillborn(M *m, int err);
void m_ordered(int by);
bool m_needless(M *m);
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
void template_forked(void);    /* in the child, where it does not run */
void startlockedm(M *m, G *g); /* m's P goes to g's M; m sleeps */
void incidlelocked(int32_t n); /* takes sched.lock */
void start_poller(void);
void handoffp(P *p);
void wakep(Domain *d);
void m_detach(M *m);
bool m_attach(M *m);               /* false: the P was lost meanwhile */
void m_attach_to(M *m, Domain *d); /* without a P, or with one of d, which may be lost */

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
/* Nothing to decide at entry: known short, no score, no hints.  One load of all three. */
static inline bool site_is_short(const gs_site *site) {
  typedef uint64_t __attribute__((may_alias)) all;
  return load_rlx((const all *)&site->flags) == (uint64_t)SHORT_RUN << 32;
}
_Static_assert(offsetof(gs_site, flags) % 8 == 0 &&
                   offsetof(gs_site, shorts) == offsetof(gs_site, flags) + 4 &&
                   offsetof(gs_site, score) == offsetof(gs_site, flags) + 6 &&
                   __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "site_is_short reads flags, shorts and score together");
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
M *hook_elsewhere(M *m, G *g);
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
/* failure.c: the innermost foreign call of g has ended.  What it returns. */
int call_failed(G *g);
#define CALL_RESULT(g) (unlikely((g)->fail_code) ? call_failed(g) : GS_OK)
void callback_never(void); /* this thread is the runtime's own: it is bound to no M */

const char *callback_top(const G *g); /* its frames are below this; no callback: all are */

/* ---- boundary.c ---- */

_Noreturn void boundary_broken(const char *what, const gs_site *site);
void boundary_check(const M *m, const char *sp);
void boundary_returned(const gs_site *site);
void boundary_nested(const M *m, const char *sp);
void boundary_ends(const G *g, bool returned);

/* ---- sysmon.c, retake.c ---- */

int sysmon_start(void);
void sysmon_wake(void);
/* How soon sysmon looks.  Whoever has a reason not to wait reads this first. */
enum {
  SLOW_NO,    /* within 100 us */
  SLOW_CALLS, /* within a millisecond, or it has used up its budget: calls alone may wake it */
  SLOW_TURN,  /* as soon, but it can afford more: also who queues a G behind one that has the turn
                 of a binding, and may be about to block without having declared it */
  SLOW_ALL,   /* later, or never: who queues a G that nobody is free for wakes it, too */
  SLOW_TOLD,  /* somebody has woken it, it is on its way */
  SLOW_TURN_TOLD, /* he has queued, and it was SLOW_TURN */
};
void sysmon_poke(M *m, uint64_t sc); /* m's call, entered with this sc, may block; others wait */
void sysmon_queued(const Domain *d); /* a G of d was queued and nobody is free to run it */
/* Whether that may wake it. */
#define SYSMON_IS_SLOW unlikely(load_rlx(&gs_sched.sysmon_slow) >= SLOW_TURN)
void sysmon_watch(int64_t when); /* nobody polls, and a timer is due then */
void pless_back(M *m);           /* m has found out that its P is gone */
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

/* ---- settings.c, log.c, schedtrace.c ---- */

int settings_check(void); /* of all variables: GS_OK, or GS_EINVAL with its sentence */
bool log_parse(const char *text, int *level, const char **file);
int log_start(void);
int log_fd(void); /* where lines and dumps go that nobody gave a descriptor for */
int schedtrace_start(void);
int64_t schedtrace_next(void); /* when sysmon has to be awake for a line; INT64_MAX: never */
void sysmon_tells(int64_t now);
bool dump_is_wanted(void);
int dump_signal_begin(bool wanted); /* 1: the handler is in place; 0; or an error */
void dump_signal_end(void);

/* ---- tell.c ---- */

/* A dump's questions under way. */
typedef struct {
  const gs_teller *own; /* is not asked; or NULL */
  const char *why;      /* nobody is; or NULL */
  int64_t until;
  bool any; /* there is somebody to ask */
} Asked;
extern int64_t tell_patience; /* ns that a dump waits; gs_run, and tests */
void tell_ask(Asked *a, const gs_teller *own);
void tell_answers(int fd, Asked *a);
bool tell_is_wanted(void);
bool tell_is_any(void);
void tell_by_sysmon(void);
void tell_run_begins(void);
void tell_lock(bool on);
void tell_forked(void);

/* ---- metrics.c ---- */

enum { HIST_CALL_LOST, HIST_HANDOFF, HIST_WAIT_P, NHIST };
void histogram_add(int which, int64_t ns);

/* ---- profile.c ---- */

void profile_lost(const gs_site *site, int64_t took); /* a call that had lost its P is back */
void profile_retake(const gs_site *site);             /* sysmon has taken the P of a call of it */
bool profile_sample(int64_t now); /* by sysmon at each look; true: it has taken one */

/* ---- wait.c ---- */

const char *g_waitreason(const G *g);
bool g_told(const G *g); /* its wait is part of a deadlock that has been told */
void g_tell(G *g);       /* by sysmon, in a stopped world, of one that waits */
int64_t g_since(G *g,
                int64_t now); /* when its wait, or its call, began at the latest; 0: unknown */
void wait_look(int64_t now);  /* by sysmon now and then */

/* ---- snapshot.c ---- */

void p_info(P *p, gs_p_info *out);
void g_info(G *g, gs_g_info *out);

/* ---- deadlock.c ---- */

bool deadlock_wanted(void);
void deadlock_lock(bool on);
bool shared_waits_for_outside(void); /* shared.c */
void shared_lock(bool on);
void deadlock_put_off(void); /* who was told is to be told again, when something has run */
void deadlock_check(void);   /* by sysmon, when it holds no lock */

/* ---- stw.c ---- */

void stop_world(const char *reason); /* from outside the runtime; waits for other stoppers */
void start_world(void);
void stw_wait(M *m);          /* in schedule_loop: waits while its P is LOCKed, and may lose it */
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

/* ---- os/linux_monitor.c ---- */

int monitor_from_env(void);                /* opens what GOSCHED_MONITOR names, once */
bool monitor_path_right(const char *path); /* as far as can be told without opening it */
void monitor_lock(bool on);                /* around fork */
void monitor_forked(void);                 /* in the child, where it is not served */
void monitor_revive(void);                 /* in the child, once it may have threads */
void handle_forked(gs_handle *h);          /* the G is gone */
void unblock_forked(G *g);                 /* this one is not */
M *callback_bound(void);
void netpoll_forked(void);
void fork_lock(Lock *l, bool on);
void stw_fork_prepare(void);
void stw_fork_parent(void);
void stw_fork_child(void);
void stack_locks(bool on);
void trace_lock(bool on);
void trace_forked(void);
_Noreturn void run_orphan_done(void); /* boot.c */

/* ---- domain.c, boot.c, trace.c ---- */

int domain_init(Domain *d, const char *name, uint32_t procs, size_t stack_size);
int domain_resize_stopped(Domain *d, uint32_t procs);
int domain_resize(Domain *d, uint32_t procs); /* stops the world if it changes anything */
int gs_boot(void);
void m_vanished(void *m);   /* the thread is gone: its P must not go with it */
void boot_thread_key(M *m); /* tells when the thread of an M vanishes */

enum {
  EV_GO = GS_TRACE_GO,
  EV_STOP = GS_TRACE_STOP,
  EV_PARK = GS_TRACE_PARK,
  EV_UNPARK = GS_TRACE_UNPARK,
  EV_CALL = GS_TRACE_CALL,
  EV_RET = GS_TRACE_RETURN,
  EV_BACK = GS_TRACE_CALLBACK,
  EV_BACK_END = GS_TRACE_CALLBACK_END,
  EV_HANDOFF = GS_TRACE_HANDOFF,
  EV_RETAKE = GS_TRACE_RETAKE,
  EV_RELIEF = GS_TRACE_RELIEF,
  EV_PASS = GS_TRACE_PASS,
  EV_P_START = GS_TRACE_P_START,
  EV_P_STOP = GS_TRACE_P_STOP,
  EV_P_SENT = GS_TRACE_P_SENT,
  EV_STEAL = GS_TRACE_STEAL,
  EV_FIRST_P = EV_HANDOFF /* the others are about Gs */
};
extern const char trace_ended[]; /* why a G stops for good */
/* Called where m->attn has ATTN_TRACE, on m's thread; trace_p_lost and EV_PASS, EV_P_SENT,
 * EV_RELIEF: on any. */
void trace_go(M *m, const G *g);
void trace_stop(M *m, const G *g, int kind, const char *why);
void trace_p(M *m, int kind, const P *p);
void trace_p_lost(const M *m, const P *p);
/* m NULL: on a thread that is no M, or has no P; ask trace_is_on before. */
void trace_unpark(M *m, const G *g);
bool trace_is_on(void);
/* A build for comparison has no traces. */
static inline uint32_t attn_of(const M *m) {
#if GS_UNTRACED
  (void)m;
  return 0;
#else
  return load_rlx(&m->attn);
#endif
}
static inline bool is_traced(const M *m) { return unlikely(attn_of(m) & ATTN_TRACE); }
/* A foreign call begins, loses its P (kind: EV_HANDOFF or EV_RETAKE; p NULL: it was made without
 * one), ends; a callback out of it begins and ends. */
bool trace_call_begin(M *m, G *g, uint64_t what, const gs_site *site); /* false: no trace is on */
bool trace_call_blocks(M *m, G *g, int kind, P *p); /* false: the trace does not have the call */
/* By exitsyscall, where the caller has set m->trace_end. */
void trace_call_over(M *m, G *g, const gs_site *site, bool lost);
void trace_back_end(M *m, G *g);
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
 * The torture build stays there for a while now and then, or for as long as a test says
 * (torture_hook); other builds have nothing here. */
#if GS_TORTURE
#define torture_window() torture_in(__func__)
void torture_in(const char *function);
/* Set by tests alone.  True: this window is dealt with. */
extern bool (*torture_hook)(const char *function);
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

#include "states.h"

#endif
