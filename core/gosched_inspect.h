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

/* How long something took, how often.  bucket[i] counts what took up to 1000 << i nanoseconds and
 * more than the bucket before it, the last one whatever took longer than those. */
enum { GS_BUCKETS = 25 };
typedef struct gs_histogram {
  uint64_t sum_ns; /* of all */
  uint64_t bucket[GS_BUCKETS];
} gs_histogram;

/* Counters since boot, and what there is now.  Read without stopping anything: each figure is
 * right, all of them together are not of one instant.  gs_metric_info describes each field. */
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
  uint64_t extra_ms;       /* now: foreign threads bound by gs_cgocallback; not among `threads` */
  uint64_t threads_pless;  /* now: threads whose P sysmon took from undeclared code, and that have
                              not made a gs_ call since: they compute, or sleep in the kernel */
  uint64_t hogs;           /* Ps taken from code that computed for too long */
  uint64_t hogs_kept;      /* hogs that kept their P: 2 * procs threads run without one already */
  uint64_t threads_ended;  /* idle for too long, or their green thread ended locked */
  uint64_t detached;       /* detachable calls (gs_cgocall_opts) whose caller did not wait */
  uint64_t detached_now;   /* of these, those that have not ended */
  uint64_t threads_system; /* now: the runtime's threads that are no Ms (sysmon, the template) */
  gs_histogram call_lost_seconds; /* foreign calls that lost their P: how long they took */
  gs_histogram handoff_seconds;   /* from a P's hand-off to its arrival on another thread */
  gs_histogram wait_p_seconds;    /* how long green threads that had lost their P waited for one */
} gs_metrics;

/* Fills *out up to the size set in it.  Errors: GS_EINVAL.  Any thread. */
GS_API int gs_read_metrics(gs_metrics *out);

/* What a field of gs_metrics is. */
enum { GS_COUNTER, GS_GAUGE, GS_HISTOGRAM };
typedef struct gs_metric {
  const char *name; /* of the field */
  size_t offset;    /* of the field in gs_metrics */
  int kind;         /* GS_COUNTER, GS_GAUGE: a uint64_t; GS_HISTOGRAM: a gs_histogram */
  int stable;       /* 1: name and meaning stay as they are in all versions with this first number;
                       0: it tells how this version works */
  const char *unit; /* "threads", "bytes", … */
  const char *text; /* one sentence without a full stop */
} gs_metric;

/* The catalogue of gs_metrics, in the order of its fields: number i from 0, NULL beyond the last.
 * Static data.  Any thread, any stack, also in signal handlers; does not park. */
GS_API const gs_metric *gs_metric_info(size_t i);

/* All metrics in Prometheus' text format (version 0.0.4), each with HELP and TYPE: the names begin
 * with gosched_, those of counters end with _total, histograms have _bucket, _sum and _count in
 * seconds.  Copied into buf (n bytes, cut, with a 0 at the end; NULL if n is 0).  Returns the
 * length of all of it, without the 0, so a text that was cut can be asked for again with more room;
 * it grows a little with the figures.  Any thread, any stack; does not park. */
GS_API size_t gs_metrics_text(char *buf, size_t n);

/* The same, written to the descriptor fd.
 * Errors: GS_ESYS (errno), GS_ENOMEM.  Any thread, any stack; blocks as write(2) does, does not
 * park. */
GS_API int gs_metrics_write(int fd);

/* A foreign function, as the profile knows it.  Calls that kept their P are not counted one by one:
 * nothing is done for that on the fast path.  sysmon looks every now and then which functions they
 * are in. */
typedef struct gs_profile_entry {
  const char *name;    /* of its sites; valid as long as the process */
  uint64_t blocked;    /* calls that lost their P, those under way included */
  uint64_t blocked_ns; /* how long these took, from about when they began */
  uint64_t longest_ns; /* the longest of them */
  uint64_t retakes;    /* how often sysmon took the P of one */
  uint64_t samples;    /* times that one which had its P was seen under way */
  uint64_t sampled_ns; /* an estimate of the time in such calls */
  uint64_t now;        /* calls under way right now */
} gs_profile_entry;

/* The profile of foreign functions, which is always on: those that took the most time first, in out
 * (room for n; NULL: none).  Functions of which no call has been seen to take long are not in it;
 * sites without a name are one entry, and so is what comes after a thousand functions.  Returns how
 * many there are, which may be more than n.  Any thread, any stack; does not park. */
GS_API size_t gs_profile(gs_profile_entry *out, size_t n);

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
  int64_t
      since; /* since when it waits, or is in a call that lost its P, at the latest: nobody reads
                a clock where a wait begins, but sysmon looks; 0: unknown, or it does neither */
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
 * threads of which the scheduler knows nothing. cb is called once for each deadlock (those that
 * sleep are others, or one of them has run and waits again), with a text of several lines, one for
 * each green thread with the frames where it waits below, that is valid during the call; on a
 * thread of the runtime's own.  It may call what does not park.  When it returns 0, and if there is
 * none, what the main green thread is parked in returns GS_EDEADLOCK; 1 means that cb has dealt
 * with it.  It is the program's own; languages have their own beside it (gs_domain_on_deadlock).
 * NULL: no callback; the one there was may be in a call still when this returns, so what ud points
 * to must outlive that call.  Any thread, not in signal handlers. */
GS_API void gs_on_deadlock(int (*cb)(const char *report, void *ud), void *ud);

/* That text for the last deadlock, copied into buf (n bytes, cut).  Returns its length, 0 if there
 * was none.  Any thread, not in signal handlers. */
GS_API size_t gs_deadlock_report(char *buf, size_t n);

/* 1 if there is a deadlock right now, else 0.  For a program that has returned 1 from the callback
 * of gs_on_deadlock because it had to find out first whether somebody outside would wake a green
 * thread, and looks again later.
 *   tell  1: if there is one, the main green thread is told, as if the callback had returned 0
 * Who is told no need not ask again: a deadlock that is found later is told, even if it is the
 * same. Any thread, not in signal handlers; on a green thread the answer is 0, for that one runs.
 * Does not park; blocks for as long as gs_stop_world. */
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

/* Writes every G, M and P as text to fd, and what the green threads of each language in the process
 * do, with the stacks of that language.  It does not allocate and takes no lock.  Interpreters are
 * asked for their stacks, and it waits up to GOSCHED_DUMP_WAIT_MS (1000) milliseconds for those
 * that are busy; it asks nobody between gs_stop_world and gs_start_world, in a callback of
 * gs_on_deadlock, and in a child of fork that runs nothing yet.  Any thread, any stack, also in
 * signal handlers; does not park. */
GS_API void gs_dump(int fd);

/* Starts recording scheduler events in memory (a ring of the newest events per thread) and, at
 * gs_trace_stop, writes them to path as Chrome/Perfetto trace-event JSON.  Its process 1 has a
 * track per thread (tid = M number): a slice for every stretch that a green thread ran ("G12 name";
 * args say why it ended), in it one for every foreign call (the site's name), in that one for every
 * callback, and in there what it waits for; instants "handoff" (a call gave its P away at its
 * start) and "retake" (sysmon took it) with the P that moved, only in a call that is recorded and
 * at most once between two callbacks of it, "relief" where it was taken from code that declared
 * nothing or from a call that began before, and "steal".  Process 2 has a track per green thread
 * (tid = its number), with what it waited for between two stretches, and "unpark" where it was
 * woken; process 3 one per P, with the thread that had it, and "pass" where it was passed on.
 * Process 4 is there if a language has green threads of its own, as Tcl does (gs_trace_track): a
 * track for each.  otherData.metrics has what the counters of gs_metrics went up by. Errors:
 * GS_EBUSY (already tracing, or the last trace is being written), GS_EINVAL, GS_ENOMEM; stop:
 * GS_ESYS (errno), GS_EPERM (not tracing), GS_ENOMEM.  Any thread, not in signal handlers; stop
 * makes a foreign call on a green thread. */
GS_API int gs_trace_start(const char *path);
GS_API int gs_trace_stop(void);

/* What happens in the scheduler: of green threads, of foreign calls, of Ps. */
enum {
  GS_TRACE_GO = 1,       /* g runs on m; text: its name */
  GS_TRACE_STOP,         /* g runs no more, and is runnable or has ended; text: why */
  GS_TRACE_PARK,         /* g runs no more, and waits; text: for what */
  GS_TRACE_UNPARK,       /* g was made runnable, by m (-1: by a thread that is no M) */
  GS_TRACE_CALL,         /* g begins a foreign call; text: the site's name (GoSysCall) */
  GS_TRACE_RETURN,       /* and is back (GoSysExit) */
  GS_TRACE_CALLBACK,     /* the foreign code calls back */
  GS_TRACE_CALLBACK_END, /* and gets its answer */
  GS_TRACE_HANDOFF,      /* g's call gives p away (-1: it never had one) (GoSysBlock) */
  GS_TRACE_RETAKE,       /* sysmon takes p from g's call on m (GoSysBlock) */
  GS_TRACE_RELIEF,       /* sysmon takes p from code on m that declared nothing, or from a call that
                            began before all this */
  GS_TRACE_PASS,         /* p is passed on, to a thread or to the idle list */
  GS_TRACE_P_START,      /* m has p (ProcStart) */
  GS_TRACE_P_STOP,       /* and no more (ProcStop) */
  GS_TRACE_P_SENT,       /* p is on its way to m */
  GS_TRACE_STEAL         /* m took work from the queue of p */
};

typedef struct gs_trace_event {
  int64_t when;     /* gs_now() */
  int kind;         /* GS_TRACE_… */
  int m;            /* the M that it is about, -1: none */
  int p;            /* the number of the P in its domain, -1: none */
  uint64_t g;       /* the green thread, 0: none */
  const char *text; /* see the kinds; for those with a P its domain's name; "" if there is none */
} gs_trace_event;

/* Calls cb for every event from now on, on the thread where it happens, inside the scheduler: cb
 * must be short, may not block, and may call no gs_ function; *event and its text are valid during
 * the call.  Works with and without a trace.  One at a time.  cb NULL: no more; when that returns,
 * cb is not running. Errors: GS_EBUSY (there is one already), GS_ENOMEM.  Any thread, not in signal
 * handlers; does not park. */
GS_API int gs_trace_subscribe(void (*cb)(const gs_trace_event *event, void *ud), void *ud);

/* Where messages go about what no caller can be told (a thread could not be created, …): level 0
 * error, 1 warning, 2 info, 3 debug; text without a newline.  NULL, as in the beginning: nowhere.
 * GOSCHED_LOG in the environment writes them to stderr or to a file, too.  cb runs on any thread,
 * may not call gs_ functions.  Any thread may set it; does not park. */
GS_API void gs_set_logger(void (*cb)(int level, const char *text, void *ud), void *ud);

/* A variable of the environment that configures gosched. */
typedef struct gs_setting {
  const char *name;      /* GOSCHED_… */
  const char *accepted;  /* the values that it may have, in words */
  const char *otherwise; /* what holds when it is not set, or empty, in words */
  const char *text;      /* what it does, without a full stop at the end */
} gs_setting;

/* The table of them: number i from 0, NULL beyond the last.  Static data.  Any thread, any stack;
 * does not park. */
GS_API const gs_setting *gs_setting_info(size_t i);

/* What one of them says, by secure_getenv.
 *   name    of one of them: "GOSCHED_PROCS"
 *   text    becomes its value, NULL if it is not set (NULL: not wanted)
 *   number  becomes its value if that is a number, and stays as it is if it is not set (NULL: not
 *           wanted)
 * Returns 1 if it is set, 0 if not.
 * Errors: GS_EINVAL (there is no such variable, or its value is not accepted: gs_error_detail names
 * variable, value and range).  Any thread, any stack; not while another thread changes the
 * environment; does not park. */
GS_API int gs_setting_get(const char *name, const char **text, int64_t *number);

#ifdef __cplusplus
}
#endif
#endif
