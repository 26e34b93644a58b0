/* binding.h: what the files of the extension module _gosched share.
 *
 *   module.c    the module, its exceptions, the functions that are not about one object
 *   domain.c    the Python domain: the scheduler's hooks, entry and end of a green thread, run
 *   recs.c      what is kept of green threads for the next ones
 *   deadlock.c  what comes of it when all green threads are asleep for good
 *   tstate.c    all that depends on how this version of CPython keeps its thread states
 *   green.c     GreenThread: join, result, cancel
 *   chan.c      Chan
 *   select.c    select, and the cases of Chan
 *   sync.c, rlock.c   Mutex, Semaphore, Event, WaitGroup; RLock, Condition
 *   sock.c      what gosched.patch waits in
 *   sqlite.c    connections that green threads open
 *   embed.c     interpreters of other languages
 *   holders.c   locks that exist already
 *   function.c  C functions of gosched.dlopen, converted by cffi and called through gosched_ffi.h
 *
 * Three things stand for one green thread.  The scheduler's G is opaque here.  A Green is the
 * Python object: it is made by go and lives as long as somebody refers to it.  A Rec is what it
 * needs only while the function runs, and what the word that gs_gdata() names points to then; the
 * next green thread gets it afterwards.  All of a Green is guarded by the GIL; of a Rec, `ts` is
 * also read by sysmon, under rec_lock.
 */
#ifndef GOSCHED_PYTHON_BINDING_H
#define GOSCHED_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gosched.h"
#include "gosched_domain.h"
#include "gosched_ffi.h"

/* Reserved for the stack of a green thread, unless threading.stack_size says otherwise, and of the
 * main one; the kernel commits what is used.
 * CPython ends a recursion through C by counting levels, and takes it for granted that they have
 * the 8 MiB of a main thread: 4.9 MB were seen in use when 1,000 levels of 3.11 were. */
#define GREEN_STACK ((size_t)8 << 20)
#define MAIN_STACK ((size_t)8 << 20)
#define GREEN_STACK_MAX ((size_t)1 << 30) /* of gs_go_opts */
/* What CPython's own parser needs; and with fewer than 100 levels of recursion through C left, 3.13
 * puts off the end of every list (its trashcan), for ever if there are never more. */
#define GREEN_STACK_MIN ((size_t)1 << 20)

typedef struct Green Green;

/* What the binding knows of a green thread while it runs. */
typedef struct Rec {
  PyThreadState *ts; /* its thread state, for life */
  Green *obj;        /* the Python object; NULL at the very end; GIL */
  _Atomic int held;  /* 1 while a thread has ts current, or had and has not let go of it yet */
  _Atomic int waits; /* 1 while it waits for the GIL in code of the binding; read by sysmon */
  _Atomic clockid_t clock; /* of the CPU time of the thread it runs on; read by sysmon */
  int gilstate_base;       /* ts->gilstate_counter outside of any callback */
  size_t stack;            /* bytes of its stack */
  int levels_less;  /* of recursion through C than CPython had given it; see tstate_on_stack */
  int calls;        /* foreign calls under way: its Python code is in a callback of them; GIL */
  int last_errno;   /* of its last foreign call */
  PyObject *failed; /* what a callback of the innermost call has raised, or NULL; GIL */
  bool pinned;      /* gs_lock_os_thread was called because of a callback */
  bool main;        /* the green thread of run */
  bool has_dummy;   /* threading knows it, and has to forget it at its end; GIL */
  bool ended;       /* nobody's any more, but current on this thread still; that thread */
  struct Rec *next; /* of recs.c */
  struct Rec *next_asked;  /* of hogs.c, as the four that follow */
  struct Rec *next_marked; /* those that are stopping; GIL */
  bool asked;              /* it computes, and its turn has been taken; rec_lock */
  bool stopping;           /* it will notice at its next line; GIL */
  _Atomic bool hog;  /* this stretch goes on with what was computed in the last one; its thread */
  PyObject *mark;    /* what tstate_interrupt keeps; GIL */
  const char *where; /* what it is doing, for GreenThread.state; static text */
} Rec;

struct Green {
  PyObject_HEAD gs_handle *handle; /* NULL: the main green thread */
  Rec *ready;                      /* from go until it runs for the first time */
  Rec *rec;                        /* while it runs */
  PyObject *fn, *args, *kwnames;   /* until it has run; args as for vectorcall */
  PyObject *context;               /* until it has run */
  PyObject *name;
  PyObject *on_end;   /* called at the end with this object and the exception; NULL: nobody */
  PyObject *result;   /* once it has ended well */
  PyObject *exc, *tb; /* once it has failed: the exception and its traceback */
  PyObject *weakrefs;
  Green *next, *prev; /* the list of those that have not ended */
  uint64_t id;
  int cancels;             /* requests to stop that nobody has taken back */
  int shields;             /* it is in so many blocks that requests do not reach into */
  struct Unblock *unblock; /* the innermost call that a request can end early, or NULL */
  bool finished;           /* result or exc is final */
  bool retrieved;          /* somebody joined it, or its error was reported */
};

/* Deadlines and states. */
extern const char state_runnable[], state_running[], state_waiting[], state_syscall[], state_done[];

/* ---- module.c ------------------------------------------------------------------------------ */

extern PyObject *exc_Error, *exc_Closed, *exc_WouldBlock, *exc_Deadlock, *exc_FFIError,
    *exc_Cancelled;

/* Answers of the binding beside the GS_E… codes: a Python exception is set already. */
enum { RAISED = 1 };

/* Raises what a GS_E… code (or RAISED) means in Python.  what begins the sentence.  Returns NULL.
 */
PyObject *raise_code(int code, const char *what);
/* The same, with the sentence that gs_run, gs_go_opts or gs_domain_new has left. */
PyObject *raise_detail(int code, const char *what);

/* A timeout argument: None or NULL is GS_FOREVER, else seconds from now.  -1: an exception is set.
 */
int parse_timeout(PyObject *arg, int64_t *deadline);
/* Seconds to nanoseconds, saturated.  what names the argument in errors. */
int parse_seconds(PyObject *arg, const char *what, int64_t *ns);

/* Arguments of a METH_FASTCALL|METH_KEYWORDS function: fills out[0..n) in the order of names (a
 * NULL entry of names ends the list), NULL where none is given.  The first `required` must be
 * given. */
int parse_args(const char *fname, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
               const char *const *names, int required, PyObject **out);

/* ---- recs.c -------------------------------------------------------------------------------- */

/* Held by sysmon while it looks at a Rec that it has found in a green thread or a thread. */
extern pthread_mutex_t rec_lock;
/* With a thread state that is current nowhere.  NULL: out of memory. */
Rec *rec_take(PyInterpreterState *interp);
/* Its thread state has been cleared.  current: it is still so on this thread, which has yet to let
 * go of it. */
void rec_give(Rec *r, bool current);
void recs_forked(void);

/* ---- domain.c ------------------------------------------------------------------------------ */

/* Makes the Python domain, once.  -1: an exception is set. */
int domain_ready(void);
/* Of this Python's green threads, or no more (NULL); once it is ready. */
void domain_on_deadlock(int (*cb)(const char *report, void *ud));

/* The Rec of the calling green thread; NULL on every other thread. */
static inline Rec *rec_here(void) {
  void **word = gs_gdata();
  return word ? *word : NULL;
}

/* Before and after an operation that may park.  op_begin returns NULL, with an exception set, where
 * no green thread runs; what names the function for the message. */
Rec *op_begin(const char *what, const char *where);
void op_end(Rec *r);
/* After an operation: true if it must be tried again.  Runs signal handlers after GS_EINTR and may
 * turn *code into RAISED.  shielded: not because the main green thread was cancelled. */
bool op_again(Rec *r, bool shielded, int *code);
/* Waits in fn(object, GS_FOREVER) whatever happens; a request to stop that comes meanwhile holds
 * again afterwards.  Signal handlers run later. */
int op_shielded(Rec *r, int (*fn)(void *, int64_t), void *object);
/* Keeps the green thread on its thread while C frames below it may hold locks of that thread.
 * Before whatever enters the scheduler; stay_check where there may be no green thread. Destructors,
 * which run in the middle of anything, stand between gs_lock_os_thread and gs_unlock_os_thread. */
void pin_check(Rec *r);
void stay_check(void);

int green_start(Green *g); /* GS_OK or GS_E…; the started function owns a reference to g */
PyObject *domain_run(PyObject *fn, PyObject *args, int procs, int max_threads);
bool domain_running(void);         /* gosched.run is under way, and takes green threads; GIL */
PyObject *domain_after_fork(void); /* in the child, once CPython has looked after itself */
PyObject *domain_on_forget(
    PyObject *fn);          /* called with the ident of one that has_dummy, at its end */
uint64_t green_ident(void); /* what _thread.get_ident should say here; 0: what it always says */

PyObject *domain_live(void); /* list of (GreenThread, its identity), the main one first */

/* ---- deadlock.c ---------------------------------------------------------------------------- */

/* Around gs_run, without the GIL. */
void deadlock_begin(void);
void deadlock_end(void);
void deadlock_forked(void);                                    /* in a child of fork */
PyObject *deadlock_hooks(PyObject *outside, PyObject *report); /* see gosched._stacks */
PyObject *deadlock_raise(const char *what);                    /* NULL */

/* ---- tell.c -------------------------------------------------------------------------------- */

/* A run begins, with the GIL; it has ended, without the GIL. */
void tell_begin(void);
void tell_end(void);
void tell_forked(void);
gs_teller *tell_own(void); /* NULL: no run is under way */

/* ---- green.c ------------------------------------------------------------------------------- */

extern PyTypeObject GreenType;
int green_init(PyObject *module);
/* fn, then its arguments as for vectorcall.  NULL: an exception is set. */
Green *green_new(PyObject *fn, PyObject *const *args, size_t nargs, PyObject *kwnames);
PyObject *green_on_context(PyObject *fn);  /* for contexts of new green threads; see green.c */
PyObject *green_on_begin(PyObject *names); /* the dict of threading; see green.c */
void green_run(Green *g);                  /* calls fn and keeps what comes of it; GIL held */
void green_link(Green *g);                 /* into the list of those that have not ended */
void green_unlink(Green *g);
Green *green_first(void);    /* of that list, borrowed; NULL: all have ended */
void green_cancel(Green *g); /* GIL held; others may run meanwhile */
void green_cancel_all(void);
void green_forked(const Green *mine);
int green_wait(Green *g, int64_t deadline, bool shielded, const char *what);

/* ---- sqlite.c, holders.c -------------------------------------------------------------------- */

PyObject *sqlite_connections(PyObject *type);
PyObject *holders_of(PyObject *type); /* a list of what the collector knows */

/* ---- chan.c, function.c -------------------------------------------------------------------- */

/* A call under way that is made to return when its green thread is cancelled. */
typedef struct Unblock {
  struct Unblock *outer;
  PyObject *fn; /* called with the arguments of the call */
  PyObject *const *args;
  Py_ssize_t nargs;
  bool called;
  gs_waitgroup running; /* 1 while it runs; the call waits for its end */
} Unblock;

void unblock_call(Unblock *u); /* at most once; GIL */

/* ---- sock.c: methods of the module ---- */

PyObject *sock_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sock_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sock_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sock_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sock_wake_closed(PyObject *self, PyObject *fd);

/* ---- embed.c: methods of the module ---- */

PyObject *embed_start(PyObject *self, PyObject *args);
PyObject *embed_join(PyObject *self, PyObject *args);
PyObject *embed_cancel(PyObject *self, PyObject *guest);
PyObject *embed_end(PyObject *self, PyObject *guest);
PyObject *embed_value(PyObject *self, PyObject *guest);
PyObject *embed_returns(PyObject *self, PyObject *value);

int chan_init(PyObject *module);
int shared_init(PyObject *module);
void shared_run(bool begins); /* gosched.run begins, or has ended; see shared.c */
int function_init(PyObject *module);
int sync_init(PyObject *module);
int select_init(PyObject *module);

#endif
