/* gosched_domain.h: what a language binding tells the scheduler about its interpreter lock.
 *
 * A domain is a set of Ps that only its own green threads use.  A domain with one P is an
 * interpreter lock seen by the scheduler: holding that P is having the turn.  The core knows no
 * language; a binding supplies the hooks below.
 *
 * Where hooks run.  All but may_retake run *outside* the runtime with its state consistent: they
 * may block (for the interpreter's lock), and the P can be taken from the thread meanwhile.  A
 * hook must not park and must not start green threads.  Any hook may be NULL.
 *
 *   attach      an M gained a P of the domain and is about to run a green thread of it, or is about
 *               to make a call of one (elsewhere).  On g0 (the thread's own stack).  Paired with
 *               detach.
 *   detach      the M is about to do without (it found nothing to run, or lost its P).  On g0.
 *               No green thread of the domain is on this thread any more, but one may wait in
 *               foreign frames above (see "Callbacks").  Must not block for long.  Here a binding
 *               gives up the interpreter lock if it still holds it, and makes sure that the thread
 *               no longer points at the state of the green thread that ran last.
 *   switch_in   this green thread is about to go on on this thread: make its state current and
 *               hold the lock.  On the green thread's own stack.  Called after every resume
 *               (first run, unpark, return from a foreign call, loss of the P).  It must cope with
 *               each of these states of the thread: lock not held; held with the state of the green
 *               thread that ran here before; held with its own state already current.
 *   release     let the lock go without the P: before a foreign call, and before the green thread
 *               waits for a P that it has lost.  On its own stack.  Its state must not be current
 *               on any thread afterwards as far as the language can see.
 *   elsewhere   a foreign call of this green thread will block, and others wait: it is about to be
 *               made on this thread, while the one that entered it goes on with the others.  Points
 *               this thread at what foreign code looks up by thread (CPython's own word of the
 *               thread's state), without the lock, which was released on the other thread.  On the
 *               green thread's own stack.  Without this hook the calls of a domain that has others
 *               stay on the thread that entered them.
 *   suspend     foreign code of this green thread is about to call back (gs_cgocallback, or a gs_
 *               function that may park), and may have taken the lock by itself meanwhile (as
 *               PyGILState_Ensure does).  If this thread holds it: let it go, and return what
 *               resume needs to restore that; else NULL.  On g0, above the callback.
 *   resume      the callback has ended; suspend had returned `token`, which is not NULL.  Take the
 *               lock again as it was held then.  On g0, on the same thread.
 *   may_retake  asked by sysmon, on its own thread, for a green thread that has been outside in
 *               undeclared code for outside_ns nanoseconds without a call into the runtime while
 *               others wait (waiting != 0) or not.  Returns GS_RETAKE_NO, or GS_RETAKE_BLOCKED (it
 *               has let the lock go by itself: the P may be handed on), or GS_RETAKE_HOG (it
 *               computes; take the P if it has been at it for too long), or GS_RETAKE_NOW (it
 *               computes, and has had its slice by the binding's own measure: take the P if
 *               others wait), or GS_RETAKE_GONE (as BLOCKED, and the binding has reasons of its own
 *               to think that it stays so: take the P at this look if others wait).  gdata is the
 *               address of the slot that gs_gdata() names: the binding must guard its contents
 *               itself, because the green thread may end meanwhile (the slot is memory that is
 *               never freed).  Must be short.
 *
 * Callbacks.  A green thread makes a foreign call, and the foreign code calls back: it parks in
 * gs_sleep, say.  The hooks are called in this order, all on one thread, since the foreign frames
 * pin the green thread to it:
 *
 *     release                   gs_cgocall: no lock, and soon maybe no P
 *       (suspend)               the foreign code may have taken the lock: without it again
 *         switch_in             the callback has a P (it may have waited for it), and the lock
 *           detach              it parks, and the M has nothing else to do
 *           attach              its turn has come
 *         switch_in
 *         release               the callback ends
 *       (resume)                with the lock again if suspend says that it was held; no P
 *     switch_in                 the foreign function has returned
 *
 * Callbacks nest: the one in the middle may make a foreign call, from release to switch_in.  Nobody
 * waits for a P with the lock in hand: an M that has the P may be waiting for the lock.  A domain
 * without suspend promises that its foreign code never holds the lock where it calls back.
 */
#ifndef GOSCHED_DOMAIN_H
#define GOSCHED_DOMAIN_H

#include "gosched.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GS_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define GS_PRINTF
#endif

enum {
  GS_RETAKE_NO = 0,
  GS_RETAKE_BLOCKED = 1,
  GS_RETAKE_HOG = 2,
  GS_RETAKE_NOW = 3,
  GS_RETAKE_GONE = 4
};

/* The binding looks for signals itself when an operation of the locked main green thread returns
 * GS_EINTR, and repeats it otherwise.  A signal that comes between the interpreter's last look and
 * the thread's sleep would go unnoticed; so such a main green thread gets GS_EINTR now and then
 * without a signal: 16 ms after it has parked, then ever less often, at most once a second. */
enum { GS_DOMAIN_LOOKS_FOR_SIGNALS = 1 };

typedef struct gs_domain_ops {
  size_t size; /* sizeof(gs_domain_ops) */
  void (*attach)(void *ud);
  void (*detach)(void *ud);
  void (*switch_in)(void *ud, void *gdata);
  void (*release)(void *ud, void *gdata);
  int (*may_retake)(void *ud, void *const *gdata, int64_t outside_ns, int waiting);
  unsigned flags; /* GS_DOMAIN_… */
  void *(*suspend)(void *ud, void *gdata);
  void (*resume)(void *ud, void *gdata, void *token);
  void (*elsewhere)(void *ud, void *gdata);
  const char *on_overflow; /* static text; see below */
} gs_domain_ops;

/* on_overflow: what a user of this language does about a green thread whose stack has overflowed:
 * a sentence that ends the report of it.  NULL: the one for programs in C. */

/* A domain with `procs` Ps (1..1024) whose green threads have stacks of stack_size bytes (0: the
 * default).  name is copied (31 bytes).  ops is copied.  Boots the runtime if it is not booted.
 * Domains live as long as the process.  Errors: GS_EINVAL, GS_ENOMEM, GS_ETHREADS. */
GS_API int gs_domain_new(const char *name, int procs, size_t stack_size, const gs_domain_ops *ops,
                         void *ud, gs_domain **out);

/* The binding's word of the current green thread; its value is what hooks get as gdata.  NULL
 * where no green thread runs.  The address is stable for the green thread's life. */
GS_API void **gs_gdata(void);

/* The domain of the current green thread; NULL where none runs.  Any thread, any stack: in foreign
 * code it is that of the green thread that made the call. */
GS_API gs_domain *gs_domain_self(void);

/* The binding's word of (this thread, domain): NULL until the binding sets it.  The address is
 * stable for the thread's life.  Only on a thread of the runtime (else NULL); g0 or G stack. */
GS_API void **gs_mdata(gs_domain *d);

/* Number of green threads of the domain that wait to run (queued, not parked).  A hint. */
GS_API size_t gs_domain_waiting(gs_domain *d);

/* The number of the M this code runs on (0: the thread that called gs_run first); -1 if none.
 * Any thread, any stack. */
GS_API int gs_mid(void);

/* From signal handlers or any thread: what the green thread locked by GS_RUN_LOCK_MAIN is parked
 * in, or parks in next, returns GS_EINTR, so that no notification is lost.  Async-signal-safe. */
GS_API void gs_notify(void);

/* ---- for what stands on the runtime: ffi/ and bindings ---- */

/* Tells the logger (gs_set_logger) one sentence of at most 511 bytes without a newline.  Returns
 * nothing.
 *   level  0 error, 1 warning, 2 info
 *   fmt    as for printf, and what belongs to it
 * Any thread, any stack; not in signal handlers.  Does not park. */
GS_API void gs_log(int level, const char *fmt, ...) GS_PRINTF;

/* Sets what gs_error_detail says on this thread, at most 255 bytes.  Returns code.
 *   code  a GS_E… code
 *   fmt   as for printf, and what belongs to it
 * Any thread, any stack; not in signal handlers.  Does not park. */
GS_API int gs_fail(int code, const char *fmt, ...) GS_PRINTF;

/* A call that has been prepared: the head of something that its fn knows. */
typedef struct gs_prepared {
  gs_site *site;
  void (*fn)(void *a, void *b, void *call); /* neither may be NULL */
} gs_prepared;

/* gs_cgocall_words(call->site, call->fn, a, b, call, saved_errno), for libraries of calls as
 * gosched_ffi.h: the arguments are in the order in which gs_ffi_call has them, so that they can
 * stay in their registers. call         is not read any more once fn has begun b, a         for fn
 *   saved_errno  not NULL; gets errno as fn leaves it
 * On the stacks and threads, and with the errors, of gs_cgocall.  May park. */
GS_API int gs_cgocall_prepared(const gs_prepared *call, void *b, void *a, int *saved_errno);

/* gs_cgocallback for code that is called very often, as the C functions of gs_ffi_callback are:
 * calls fn(a, b, c); what it returns is written to *result, which may not be NULL, and is 0 after
 * an error.  On the stacks and threads, and with the errors, of gs_cgocallback: GS_EINVAL,
 * GS_EPERM, GS_ENOMEM, GS_ETHREADS.  May park; any thread, not in signal handlers. */
GS_API int gs_cgocallback_words(int (*fn)(void *a, void *b, void *c), void *a, void *b, void *c,
                                int *result);

/* A full memory fence on every thread of the process, so that a frequent side of some handshake
 * can do with a compiler fence.  Boots the runtime if it is not booted.  GS_OK: done.
 * Errors: GS_ENOTSUP (the system has no such fence, or refuses it from now on: then the frequent
 * side needs fences of its own, and a thread that was between its two steps is through with them
 * when this returns, unless it was held up for a millisecond), GS_ENOMEM, GS_ETHREADS, GS_EABI (the
 * runtime cannot boot).  Takes microseconds, or
 * that millisecond.  Any thread, any stack; not in signal handlers.  Does
 * not park. */
GS_API int gs_barrier(void);

/* As gs_on_deadlock, for the language of one domain: cb is called for each deadlock in which a
 * green thread of the domain is among those that sleep, beside the callbacks of other domains and
 * of the program, all of which are told.  If any of them returns 1, it has dealt with it.  A
 * callback that is being called may go on for a moment after it has been replaced.
 *   d         the domain, of gs_domain_new
 *   cb        NULL: none any more; else it returns 1 or 0, as that of gs_on_deadlock
 *   ud        for cb
 * Errors: GS_EINVAL (d is NULL).  Any thread, not in signal handlers; does not park. */
GS_API int gs_domain_on_deadlock(gs_domain *d, int (*cb)(const char *report, void *ud), void *ud);

/* ---- green threads that are a language's own, in traces ---- */

enum { GS_TRACK_RUNS, GS_TRACK_WAITS, GS_TRACK_ENDED };

/* A green thread that the scheduler does not know, as Tcl's are, runs from now on, or waits, or has
 * ended: it gets a track of its own in the trace that is being recorded.  If none is, this is one
 * test of a word.
 *   id    a number that it has in the process for itself among all such
 *   name  of it, copied, cut at 31 bytes; the track's is the first one in the trace
 *   what  GS_TRACK_…
 *   why   what it waits for, copied and cut as name; NULL: nothing
 * Any thread, any stack, not in signal handlers; does not park. */
GS_API int gs_trace_recording(void); /* 1 if one is; any thread, any stack */
GS_API void gs_trace_track(uint64_t id, const char *name, int what, const char *why);

/* ---- what the green threads of a language do, for gs_dump ---- */

/* Who can tell it of one interpreter, with the stacks of its own language. */
typedef struct gs_teller gs_teller;

/* From now on every gs_dump asks this interpreter.
 *   language  static text
 *   ask       is called on the runtime's own thread (sysmon), without any interpreter's lock.  It
 *             sees to it that somebody who may touch the interpreter calls gs_tell_begin soon: a
 *             green thread of its domain, a thread that waits for its lock, an event.  It must be
 *             short, not wait for that lock, and not call gs_teller_new or gs_teller_end.  Returns
 *             0, or anything else: there is nobody to ask now.  It is not called again before
 *             gs_tell_begin was, except for another gs_run.
 *   ud        for ask
 * Errors: GS_EINVAL, GS_ENOMEM.  Any thread, any stack, not in signal handlers; does not park. */
GS_API int gs_teller_new(const char *language, int (*ask)(void *ud), void *ud, gs_teller **out);

/* ask is not called any more, and does not run, when this returns.  Not while somebody whom ask has
 * sent may still call gs_tell_begin, or is between that and gs_tell_end.  t NULL: nothing.  Any
 * thread, any stack, not in signal handlers; does not park. */
GS_API void gs_teller_end(gs_teller *t);

/* 1: a dump waits for this interpreter's text: write it, and call gs_tell_end.  0: none does, or
 * not any more.  Where the interpreter may be touched; any stack; does not park. */
GS_API int gs_tell_begin(gs_teller *t);

/* After gs_tell_begin has returned 1: the text, which is copied, of n bytes; lines, each with a
 * newline; n 0: there is nothing to tell.  Any stack; does not park. */
GS_API void gs_tell_end(gs_teller *t, const char *text, size_t n);

/* gs_dump, but the interpreter of `own` (NULL: none) is not asked: the caller, who may touch it,
 * writes its text to fd afterwards, whose headline is the last that this writes.  Any thread, any
 * stack, as gs_dump; does not park. */
GS_API void gs_dump_others(int fd, const gs_teller *own);

#ifdef __cplusplus
}
#endif
#endif
