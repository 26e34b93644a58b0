/* gosched_inspect.h: seeing inside the scheduler, and stopping it: metrics, snapshots, dumps,
 * traces, deadlocks, the number of Ps.  Part of gosched.h, which includes it and has the
 * conventions.
 */
#ifndef GOSCHED_INSPECT_H
#define GOSCHED_INSPECT_H

#include "gosched.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- see inside ---- */

/* Counters since boot, and what there is now.  Read without stopping anything: each figure is
 * right, all of them together are not of one instant. */
typedef struct gs_metrics {
  size_t size; /* sizeof(gs_metrics), set by the caller */
  /* now */
  uint64_t gs_live;      /* green threads that have not ended */
  uint64_t threads;      /* Ms that exist (sysmon not counted) */
  uint64_t threads_idle; /* of these, parked with nothing to do (midle) */
  uint64_t incgo;        /* of these, in a foreign call */
  uint64_t procs;        /* Ps of all domains */
  uint64_t procs_idle;
  /* since boot */
  uint64_t gs_created;
  uint64_t threads_created;
  uint64_t threads_max;    /* most that existed at once */
  uint64_t cgocalls;       /* foreign calls begun */
  uint64_t exits_fast;     /* came back to their own P */
  uint64_t exits_idle_p;   /* came back to another, idle P */
  uint64_t exits_slow;     /* came back to no P and queued */
  uint64_t retakes;        /* Ps taken by sysmon from calls */
  uint64_t retakes_user;   /* Ps taken from code outside that declared nothing */
  uint64_t retakes_failed; /* attempts that found the M inside again */
  uint64_t handoffs;       /* handoffp: Ps passed on, by sysmon or at entry */
  uint64_t handoffs_entry; /* of these, at entry (known-long sites, entersyscallblock) */
  uint64_t steals;
  uint64_t switches; /* a green thread started or resumed */
  uint64_t parks;
  uint64_t sysmon_ticks;
  uint64_t sysmon_pokes;
  uint64_t barriers;          /* membarriers issued */
  uint64_t thread_limit_hits; /* a thread was wanted and could not be made */
  uint64_t stacks_mapped;     /* bytes of address space in stack arenas */
  uint64_t io_waiters;        /* now: green threads parked for a descriptor */
  uint64_t polls;             /* times that descriptors were polled */
  uint64_t extra_ms;      /* now: foreign threads bound by gs_cgocallback; not among `threads` */
  uint64_t threads_pless; /* now: threads whose P sysmon took from undeclared code, and that have
                             not made a gs_ call since: they compute, or sleep in the kernel */
  uint64_t hogs;          /* Ps taken from code that computed for too long */
  uint64_t hogs_kept;     /* hogs that kept their P: 2 * procs threads run without one already */
  uint64_t threads_ended; /* idle for too long, or their green thread ended locked */
  uint64_t detached;      /* detachable calls (gs_cgocall_opts) whose caller did not wait */
  uint64_t detached_now;  /* of these, those that have not ended */
} gs_metrics;

/* Fills *out up to the size set in it.  Errors: GS_EINVAL.  Any thread. */
GS_API int gs_read_metrics(gs_metrics *out);

/* What can be seen of a P.  Filled in by gs_for_each_p and gs_snapshot. */
enum { GS_P_IDLE, GS_P_RUNNING, GS_P_SYSCALL, GS_P_STOPPED, GS_P_DEAD };
typedef struct gs_p_info {
  const char *domain;   /* the name of its domain; valid as long as the process */
  int id;               /* in its domain, from 0 */
  int status;           /* GS_P_… */
  int m;                /* the number of the M that holds it, -1: none */
  size_t runq;          /* green threads in its own queue */
  uint64_t schedtick;   /* slices begun; wraps at 2^32 */
  uint64_t syscalltick; /* foreign calls ended, or lost the P; wraps at 2^32 */
} gs_p_info;

/* Stops the scheduler: when it returns, no green thread starts, parks or changes its thread until
 * gs_start_world, and no P changes hands.  User code and foreign code that run now run on, and wait
 * when they next call into the runtime or come back from a foreign call: so this takes
 * microseconds whatever they do.  Timers do not fire meanwhile.
 *   reason  static text for dumps, or NULL
 * Only one thread at a time: another one that calls it waits.  On a green thread, what may park
 * or makes a foreign call returns GS_ETHROWSPLIT until gs_start_world, and the green thread
 * stays on its OS thread.  gs_dump, gs_snapshot, gs_read_metrics, gs_for_each_p and whatever does
 * not park (gs_go, gs_chan_try_send, …) work.
 * Errors: GS_EBUSY (this thread has stopped it already), GS_ENOMEM, GS_ETHREADS (the runtime could
 * not boot).  Any thread, any stack; not in signal handlers.  Blocks its thread, does not park. */
GS_API int gs_stop_world(const char *reason);

/* Lets the scheduler go on.  On the thread that has called gs_stop_world.
 * Errors: GS_EPERM (this thread has not stopped the world).  May wait for a P, as the end of a
 * foreign call. */
GS_API int gs_start_world(void);

/* Calls fn once for every P of every domain, at a moment when nobody uses that P: it is idle, or
 * its thread is in user or foreign code and waits if it comes in, or the thread that holds it calls
 * fn itself between two green threads.  Returns when every P has been visited.  So fn may run on
 * several threads at once (not twice for one P), and what it delays is the P's next step.
 * In fn no gs_ function may park or make foreign calls; do not call gs_stop_world or gs_for_each_p
 * there.  While this thread has stopped the world, fn is called right here for all.
 * Errors: GS_EINVAL (fn is NULL), GS_ENOMEM, GS_ETHREADS (the runtime could not boot).  Any thread,
 * any stack; not in signal handlers.  Blocks its thread, does not park. */
GS_API int gs_for_each_p(void (*fn)(const gs_p_info *p, void *arg), void *arg);

/* Changes the number of Ps of the native domain, by a stop of the world.  Green threads whose P
 * goes run on until they next call into the runtime, and wait for another P then; the caller keeps
 * one. Lasts until the next gs_run, which has a number of its own. procs  1..1024 Errors:
 * GS_EINVAL, GS_EBUSY (this thread has stopped the world), GS_ENOMEM (the number may have grown by
 * less), GS_ETHREADS.  Any thread, any stack; not in signal handlers.  Blocks its thread, does not
 * park. */
GS_API int gs_set_procs(int procs);
GS_API int gs_procs(void); /* Ps of the native domain now; any thread, any stack */

/* enable 0: user green threads are disabled.  Those that are runnable, or become so, queue; those
 * that run do so at their next call into the runtime or when they come back from a foreign call.
 * System ones (GS_GO_SYSTEM) and the one that calls this go on.  enable 1: all resume.  Done again
 * it changes nothing, except that the caller may go on, too.  The end of the main green thread's
 * function, and the next gs_run, enable them.
 * Errors: GS_EBUSY (this thread has stopped the world), GS_ENOMEM, GS_ETHREADS (the runtime could
 * not boot).  Any thread, any stack; not in signal handlers.  Blocks its thread, does not park. */
GS_API int gs_sched_enable_user(int enable);

/* What can be seen of a G, and of an M. */
enum { GS_G_IDLE, GS_G_RUNNABLE, GS_G_RUNNING, GS_G_SYSCALL, GS_G_WAITING, GS_G_DEAD };
typedef struct gs_g_info {
  uint64_t id;
  char name[32];
  int state;               /* GS_G_… */
  const char *wait_reason; /* static text, "" unless it waits */
  const char *call;        /* the name of the foreign call it is in, or NULL */
  const char *domain;
  int m;        /* the M that runs it or ran it last, -1: none yet */
  int locked_m; /* the M that it is locked to, -1: none */
  int system;   /* GS_GO_SYSTEM */
  int cancelled;
  int detached; /* makes a call (gs_cgocall_opts) for which nobody waits any more */
} gs_g_info;

enum { GS_M_INSIDE, GS_M_CALL, GS_M_USER, GS_M_STOPPED };
typedef struct gs_m_info {
  int id;
  unsigned tid; /* the kernel's */
  int mode;     /* GS_M_…: in the scheduler, in a foreign call, in user code, held up by a stop */
  int p;        /* the P that it holds, -1: none */
  const char *domain; /* that P's, or NULL */
  uint64_t g;         /* the green thread that it runs, 0: none */
  uint64_t locked_g;  /* the only one that it may run, 0: any */
  int incgo;          /* in foreign code right now */
  unsigned ncgo;      /* foreign calls under way */
  uint64_t ncgocall;  /* foreign calls ever made */
  int idle, spinning;
} gs_m_info;

typedef struct gs_snapshot_data {
  int64_t when; /* gs_now() */
  size_t ng, nm, np;
  gs_g_info *g; /* those that live */
  gs_m_info *m;
  gs_p_info *p;
} gs_snapshot_data;

/* Everything there is, in *out, which gs_snapshot_free frees.  Nothing is stopped for it: each
 * figure is right, all of them together are of one instant only between gs_stop_world and
 * gs_start_world. Errors: GS_EINVAL (out is NULL), GS_ENOMEM.  Any thread, not in signal handlers;
 * does not park. */
GS_API int gs_snapshot(gs_snapshot_data **out);
GS_API void gs_snapshot_free(gs_snapshot_data *s); /* NULL: nothing */

/* Opens the monitor: a Unix socket at which other processes of the same user see this one's green
 * threads, threads and counters while it runs (gosched-top; docs/monitor.md has the protocol).  It
 * is served by a thread of the runtime's own, which runs no green threads, until gs_monitor_stop or
 * the end of the process, which takes the socket away.  A child of fork has none; if there is a %p
 * in path, it opens its own.  GOSCHED_MONITOR in the environment names a path to do this with at
 * the first gs_run.
 *   path  where the socket is made, with the mode 0600; %p stands for the number of the process, %%
 *         for a %.  NULL or "default": gosched-%p.sock in the directory XDG_RUNTIME_DIR.  A socket
 *         that nobody listens on is replaced, anything else is left as it is.
 * Errors: GS_EINVAL (the path is too long, or taken by a file), GS_EBUSY (it is open already, or
 * another process listens there), GS_ESYS (errno), GS_ETHREADS, GS_ENOMEM.  gs_error_detail has the
 * sentence.  Any thread, any stack; not in signal handlers; does not park. */
GS_API int gs_monitor_start(const char *path);

/* Closes it, and takes the socket away.  Waits until an answer that is being made is ready.
 * Errors: GS_EPERM (it is not open).  Any thread, any stack; not in signal handlers; blocks its
 * thread, does not park. */
GS_API int gs_monitor_stop(void);

/* Where it is, copied into buf (n bytes, cut, with a 0 at the end).  Returns the path's length, 0
 * if it is not open.  Any thread, any stack; does not park. */
GS_API size_t gs_monitor_path(char *buf, size_t n);

/* Deadlocks: every green thread waits for another one, and nothing can wake any of them: none runs,
 * is runnable or in a foreign call, no timer is set, none waits for a descriptor, and nothing
 * outside the scheduler may wake one (gs_expect_wakeup).  Looked for only if the gs_run under way
 * has GS_RUN_DETECT_DEADLOCK, or cb is set, since a program that embeds the library may have
 * threads of which the scheduler knows nothing. cb is called once for each deadlock with a text of
 * several lines, one for each green thread with the frames where it waits below, that is valid
 * during the call; on a thread of the runtime's own.  It may call what does not park.  When it
 * returns 0, and if there is none, what the main green thread is parked in returns GS_EDEADLOCK; 1
 * means that cb has dealt with it. NULL: no callback.  Any thread, not in signal handlers. */
GS_API void gs_on_deadlock(int (*cb)(const char *report, void *ud), void *ud);

/* That text for the last deadlock, copied into buf (n bytes, cut).  Returns its length, 0 if there
 * was none.  Any thread, not in signal handlers. */
GS_API size_t gs_deadlock_report(char *buf, size_t n);

/* 1 if there is a deadlock right now, else 0.  For a program that has returned 1 from the callback
 * of gs_on_deadlock because it had to find out first whether somebody outside would wake a green
 * thread, and looks again later.
 *   tell  1: if there is one, the main green thread is told, as if the callback had returned 0
 * Any thread, not in signal handlers; on a green thread the answer is 0, for that one runs.  Does
 * not park; blocks for as long as gs_stop_world. */
GS_API int gs_deadlocked(int tell);

/* +1: something that the scheduler does not know of may wake green threads (a thread that sends on
 * a channel, a signal handler, a callback that is registered with some library), so no deadlock is
 * declared; -1: it will not any more.  Any thread, not in signal handlers. */
GS_API void gs_expect_wakeup(int delta);

/* Where the caller is: return addresses, its own first, then its caller's, up to n of them in pcs
 * (room for n).  In a callback the walk goes on through the foreign frames into the green thread,
 * to any depth.  skip (0..): so many frames less at the beginning.  dladdr and addr2line know their
 * names.  Returns how many there are in pcs.
 * Errors: GS_EINVAL (skip or n negative, or pcs NULL and n not 0).  Any thread, any stack; may
 * allocate the first time, so not in signal handlers before that; does not park. */
GS_API int gs_callers(int skip, void **pcs, int n);

/* Writes every G, M and P as text to fd.  Does not allocate, takes no lock; any thread. */
GS_API void gs_dump(int fd);

/* Starts recording scheduler events in memory (ring of the newest events per thread; the events
 * are: run, park, foreign call begin/end, hand-off, retake) and, at gs_trace_stop, writes them to
 * path as Chrome/Perfetto trace-event JSON: one track per thread (tid = M number), a slice for
 * every stretch that a green thread ran ("G12 name") and for every foreign call inside it (the
 * site's name), instants "handoff" and "retake" with the P that moved (at most one in a call, and
 * only in one that is recorded), "relief" where it was taken from code that declared nothing.
 * Errors: GS_EBUSY (already tracing), GS_EINVAL, GS_ENOMEM; stop: GS_ESYS (errno), GS_EPERM (not
 * tracing). */
GS_API int gs_trace_start(const char *path);
GS_API int gs_trace_stop(void);

/* Where warnings go (a thread could not be created, …): level 0 error, 1 warning, 2 info; text
 * without a newline.  NULL: errors and warnings to stderr, once each kind.  cb runs on any
 * thread, may not call gs_ functions.  Any thread may set it; does not park. */
GS_API void gs_set_logger(void (*cb)(int level, const char *text, void *ud), void *ud);

#ifdef __cplusplus
}
#endif
#endif
