/* domain.c: Python as a domain of the scheduler.
 *
 * The domain has one P, and holding it means having the turn.  The GIL is something else: it is
 * taken in switch_in, kept from one green thread to the next as long as this thread goes on with
 * green threads of Python, and dropped when the thread leaves the domain, before a foreign call,
 * and by any extension that says Py_BEGIN_ALLOW_THREADS.  In the last case the scheduler is not
 * told; sysmon asks may_retake, which looks at the thread state.
 *
 * Who points at a thread state.  `cur` of a thread is the Rec whose state it holds the GIL with (or
 * would hold it, but for an extension that has dropped it).  When a green thread parks, its thread
 * still points at its state until a hook runs there: switch_in of the next one, or detach.  The
 * scheduler may give the P away before that, so another thread may want to go on with this green
 * thread at once.  It waits in switch_in until `held` is 0, which whoever points at a state stores
 * only after CPython has let go of it.  That wait is for a thread that is on its way to let go and
 * needs nothing for it but the GIL's own switch, so nobody waits in a circle.
 *
 * Callbacks.  There are two kinds of C code that calls back into Python.  Functions of
 * gosched.dlopen are foreign calls: the hook release has let the GIL go, CPython takes it again for
 * the callback with the state that it finds on this thread, and the code runs there on the thread's
 * own stack, without the turn.  What it waits in is a callback of the scheduler, and the hooks
 * suspend and resume let the GIL go around it (gosched_domain.h has the order).  Extensions call
 * back from the green thread's own stack, and nobody is told; but PyGILState_Ensure counts, so
 * pin_check sees it, and locks the green thread to its thread before it enters the scheduler.
 *
 * The end of a green thread.  Clearing a thread state runs destructors, which may park; so that is
 * done on the green thread's own stack, with its state current.  Then, under rec_lock, the word of
 * the scheduler loses the Rec; its thread keeps the GIL with that state until a hook makes another
 * one current, and the next green thread gets it (recs.c).
 */
#include <sched.h>
#include <stdlib.h>

#include "guess.h"
#include "hogs.h"
#include "tstate.h"

/* While some thread holds the GIL, a green thread without it may only be waiting for its turn, up
 * to a switch interval (5 ms) for each that wants it too.  After this long it is taken to be
 * blocked. */
#define CONTENDED_NS 10000000

/* CPython's switch interval, which is what a thread gets while others want the GIL, too. */
#define SLICE_NS 5000000

const char state_runnable[] = "runnable", state_running[] = "running", state_waiting[] = "waiting",
           state_syscall[] = "syscall", state_done[] = "done";

/* What the binding knows of an OS thread that runs green threads.  Made once for each, never freed.
 */
typedef struct Thread {
  Rec *_Atomic cur;    /* see above; this thread only, read by sysmon under rec_lock */
  clockid_t clock;     /* of its CPU time; write-once */
  struct Thread *next; /* all of them; write-once */
} Thread;

static gs_domain *domain;
static PyInterpreterState *interp;
static Thread *_Atomic threads;
static Green *main_green; /* of the run under way, borrowed; GIL */
static bool running;      /* a run is under way; GIL */
static bool ending;       /* its main function has returned; GIL */
static bool beside;       /* it is beside another gs_run, see run_beside; GIL */
static gs_guest *guest;   /* of gs_embed, which this Python is; NULL: it is none; with it */

static Thread *this_thread(void) {
  void **word = gs_mdata(domain);
  Thread *t = *word;
  if (t) return t;
  t = PyMem_RawCalloc(1, sizeof *t);
  if (!t) Py_FatalError("gosched: out of memory for a thread's record");
  if (pthread_getcpuclockid(pthread_self(), &t->clock) != 0) t->clock = CLOCK_MONOTONIC;
  *word = t;
  Thread *head = threads;
  do t->next = head;
  while (!atomic_compare_exchange_weak(&threads, &head, t));
  return t;
}

/* ---- the hooks --------------------------------------------------------------------------------
 */

/* `cur` is read by sysmon, under rec_lock, and the thread that clears a state takes that lock after
 * it has stored here; `held` of a Rec goes to another thread with the green thread, through the
 * scheduler.  So nothing stronger than release is needed. */
static inline void set_cur(Thread *t, Rec *r) {
  atomic_store_explicit(&t->cur, r, memory_order_release);
}

static inline Rec *get_cur(Thread *t) {
  return atomic_load_explicit(&t->cur, memory_order_relaxed);
}

static void let_go(Thread *t) {
  Rec *old = get_cur(t);
  if (!old) return;
  if (old->ended) rec_give(old, true);
  set_cur(t, NULL);
  tstate_release();
  atomic_store_explicit(&old->held, 0, memory_order_release);
}

static void make_current(Rec *r) {
  Thread *t = this_thread();
  Rec *old = get_cur(t);
  if (old == r) return;
  while (atomic_load_explicit(&r->held, memory_order_acquire)) sched_yield();
  set_cur(t, NULL);
  if (old) {
    tstate_switch(r->ts);
    bool ended = old->ended; /* it may be another one's as soon as it is not held */
    atomic_store_explicit(&old->held, 0, memory_order_release);
    if (ended) rec_give(old, false);
  } else {
    tstate_acquire(r->ts);
  }
  atomic_store_explicit(&r->held, 1, memory_order_relaxed);
  atomic_store_explicit(&r->clock, t->clock, memory_order_relaxed);
  set_cur(t, r);
}

static inline void take_turn(Rec *r) {
  make_current(r);
  atomic_store_explicit(&r->hog, false, memory_order_relaxed);
  if (atomic_load_explicit(&hogs_busy, memory_order_relaxed)) hogs_stop(r);
}

/* The first time there is no Rec yet: green_entry makes it current by itself. */
static void hook_switch_in(void *ud, void *gdata) {
  (void)ud;
  if (!gdata) return;
  take_turn(gdata);
}

static void hook_release(void *ud, void *gdata) {
  (void)ud;
  (void)gdata;
  let_go(this_thread());
}

/* C that a green thread called may have called back into Python, which holds the GIL without the
 * turn: CPython has taken it with the state that it found on this thread. */
static void *hook_suspend(void *ud, void *gdata) {
  (void)ud;
  (void)gdata;
  PyThreadState *ts = tstate_held();
  if (ts) PyEval_SaveThread();
  return ts;
}

static void hook_resume(void *ud, void *gdata, void *token) {
  (void)ud;
  (void)gdata;
  tstate_acquire(token);
}

/* What the call calls back looks for the state of its thread. */
static void hook_elsewhere(void *ud, void *gdata) {
  (void)ud;
  if (gdata) tstate_here(((const Rec *)gdata)->ts);
}

static void hook_detach(void *ud) {
  (void)ud;
  let_go(this_thread());
  tstate_forget();
}

static bool gil_busy(void) {
  int held = tstate_gil_held();
  if (held >= 0) return held;
  for (Thread *t = threads; t; t = t->next) {
    Rec *r = t->cur;
    if (r && r->ts && !tstate_detached(r->ts)) return true;
  }
  return false;
}

static int hook_may_retake(void *ud, void *const *gdata, int64_t outside_ns, int waiting) {
  (void)ud;
  int answer = GS_RETAKE_NO;
  pthread_mutex_lock(&rec_lock);
  Rec *r = *(void *const volatile *)gdata;
  if (r && r->ts && !r->waits) {
    /* One that has computed and is without the GIL now may only be waiting for it. */
    bool computes = r->hog || outside_ns >= SLICE_NS;
    if (!tstate_detached(r->ts)) {
      answer = waiting && computes ? GS_RETAKE_NOW : GS_RETAKE_NO;
      guess_attached(r);
    } else if (!gil_busy()) {
      answer = guess_blocked(r) ? GS_RETAKE_GONE : GS_RETAKE_BLOCKED;
    } else {
      if (outside_ns >= CONTENDED_NS) answer = GS_RETAKE_BLOCKED;
      guess_contended();
    }
    if (waiting && computes && answer != GS_RETAKE_NO) hog_ask(r);
  }
  pthread_mutex_unlock(&rec_lock);
  return answer;
}

/* ---- fork ---- */

/* In the child, before CPython has looked after itself.  The other threads are gone; sysmon may
 * have held the lock. */
static void forked(void) {
  void **word = gs_mdata(domain);
  pthread_mutex_init(&rec_lock, NULL);
  for (Thread *t = threads; t; t = t->next)
    if (!word || t != *word) t->cur = NULL;
  deadlock_forked();
  tell_forked();
  recs_forked();
  guess_forget(NULL);
  hogs_forked(word && *word ? get_cur(*word) : NULL);
}

PyObject *domain_after_fork(void) {
  if (!domain) Py_RETURN_NONE;
  Rec *r = rec_here();
  if (!r) running = ending = false; /* gs_run was on another thread */
  if (tstate_forked() < 0) return NULL;
  green_forked(r ? r->obj : NULL);
  Py_RETURN_NONE;
}

int domain_ready(void) {
  if (domain) return 0;
  static const gs_domain_ops ops = {
      .size = sizeof ops,
      .detach = hook_detach,
      .switch_in = hook_switch_in,
      .release = hook_release,
      .may_retake = hook_may_retake,
      .flags = GS_DOMAIN_LOOKS_FOR_SIGNALS,
      .suspend = hook_suspend,
      .resume = hook_resume,
      .elsewhere = hook_elsewhere,
      .on_overflow = "Green threads that are started after threading.stack_size(n) have n bytes.",
  };
  if (tstate_boot() < 0) return -1;
  interp = PyInterpreterState_Get();
  int code = gs_domain_new("python", 1, GREEN_STACK, &ops, NULL, &domain);
  if (code == GS_OK && pthread_atfork(NULL, NULL, forked) != 0) code = GS_ENOMEM;
  if (code == GS_OK) return 0;
  raise_detail(code, "gosched cannot start");
  return -1;
}

void domain_on_deadlock(int (*cb)(const char *report, void *ud)) {
  gs_domain_on_deadlock(domain, cb, NULL);
}

/* ---- life of a green thread ---- */

/* From here on the hooks know the green thread.  Afterwards the GIL is held with its state. */
static void rec_begin(Rec *r) {
  pthread_mutex_lock(&rec_lock);
  *gs_gdata() = r;
  pthread_mutex_unlock(&rec_lock);
  r->waits = 1;
  take_turn(r);
  r->waits = 0;
  r->gilstate_base = r->ts->gilstate_counter;
}

/* And from here on they do not.  The GIL is still held; kept: by the thread, with this state. */
static void rec_end(Rec *r, bool kept) {
  Thread *t = this_thread();
  pthread_mutex_lock(&rec_lock);
  *gs_gdata() = NULL;
  hog_forget(r);
  guess_forget(r);
  if (!kept) set_cur(t, NULL);
  pthread_mutex_unlock(&rec_lock);
  r->ended = kept;
}

static PyObject *forget; /* of gosched._identity */

PyObject *domain_on_forget(PyObject *fn) {
  Py_INCREF(fn);
  Py_XSETREF(forget, fn);
  Py_RETURN_NONE;
}

static void forget_dummy(void) {
  PyObject *ident = PyLong_FromUnsignedLongLong((unsigned long long)green_ident());
  PyObject *r = ident ? PyObject_CallOneArg(forget, ident) : NULL;
  if (!r) PyErr_WriteUnraisable(forget);
  Py_XDECREF(r);
  Py_XDECREF(ident);
}

static void green_entry(void *arg) {
  Green *g = arg;
  Rec *r = g->ready;
  rec_begin(r);
  r->obj = g;
  g->ready = NULL;
  g->rec = r;
  g->id = gs_self();
  tstate_set_ident(r->ts, green_ident());
  r->levels_less = tstate_on_stack(r->ts, (char *)&r, r->stack - 4096);
  green_run(g);
  if (r->has_dummy) forget_dummy();
  pin_check(r); /* a thread ends with a green thread that is locked to it */
  g->rec = NULL;
  r->obj = NULL;
  Py_DECREF(g);
  tstate_clear(r->ts);
  hog_go_on(r); /* destructors may have run */
  rec_end(r, tstate_reusable());
  if (tstate_reusable()) return;
  tstate_delete_current(r->ts);
  free(r);
}

/* For the scheduler's traces and dumps: the name without the functions that it is defined in, cut
 * between characters. */
static void short_name(PyObject *name, char *buf, size_t size) {
  const char *text = PyUnicode_AsUTF8(name);
  if (!text) {
    PyErr_Clear();
    text = "?";
  }
  for (const char *inner; (inner = strstr(text, "<locals>.")) && inner[9];) text = inner + 9;
  size_t n = strlen(text), keep = n < size ? n : size - 1;
  while (keep > 0 && keep < n && ((unsigned char)text[keep] & 0xC0) == 0x80) keep--;
  memcpy(buf, text, keep);
  buf[keep] = 0;
}

/* stack: bytes; 0: as many as by default. */
static int start_on(Green *g, size_t stack) {
  if (!running) {
    PyErr_SetString(exc_Error,
                    "gosched.go needs a running scheduler: call it inside gosched.run(main)");
    return RAISED;
  }
  if (stack > GREEN_STACK_MAX) {
    PyErr_Format(
        PyExc_ValueError,
        "threading.stack_size() is %zu, and a green thread has at most %zu bytes: set less", stack,
        GREEN_STACK_MAX);
    return RAISED;
  }
  if (stack && stack < GREEN_STACK_MIN) stack = GREEN_STACK_MIN;
  if (!(g->ready = rec_take(interp))) return GS_ENOMEM;
  g->ready->stack = stack ? stack : GREEN_STACK;
  char name[32];
  short_name(g->name, name, sizeof name);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = name;
  opts.domain = domain;
  opts.stack_size = stack;
  Py_INCREF(g);
  green_link(g);
  stay_check();
  /* It may have run, and ended, when this returns. */
  int code = gs_go_opts(&opts, green_entry, g, &g->handle);
  if (code != GS_OK) {
    green_unlink(g);
    PyThreadState_Clear(g->ready->ts);
    rec_give(g->ready, false);
    g->ready = NULL;
    Py_DECREF(g);
    return code;
  }
  g->id = gs_handle_id(g->handle);
  if (ending) green_cancel(g);
  return GS_OK;
}

/* As large as threading.stack_size says; it is 0 if nobody has set it. */
int green_start(Green *g) { return start_on(g, PyThread_get_stacksize()); }

/* The main one is the thread that called gosched.run, also if it is on another one. */
uint64_t green_ident(void) {
  const Rec *r = rec_here();
  if (r && r->main) return beside ? (uint64_t)r->ts->thread_id : 0;
  return r ? tstate_ident(gs_self()) : 0;
}

/* ---- operations that park ---- */

/* Where it is when it does not wait: in a callback its foreign call is still under way. */
void op_end(Rec *r) {
  r->where = r->calls ? state_syscall : state_running;
  if (tstate_to_drop) tstate_drop();
}

/* cgocallback's rule: while C code below has called back into Python (PyGILState_Ensure), it may
 * hold locks of this OS thread.  One such lock is known without that. */
void pin_check(Rec *r) {
  if (r->calls) return; /* the scheduler keeps it there by itself */
  bool inside = r->ts->gilstate_counter > r->gilstate_base || tstate_holds_lock();
  if (inside == r->pinned) return;
  r->pinned = inside;
  if (inside)
    gs_lock_os_thread();
  else
    gs_unlock_os_thread();
}

/* Every entry into the scheduler may be the end of a slice, after which the green thread goes on
 * wherever there is a turn for it. */
void stay_check(void) {
  Rec *r = rec_here();
  if (r) pin_check(r);
}

/* The main green thread has no handle that the scheduler could cancel: it is woken as by a signal
 * and finds the request itself. */
static bool main_cancelled(const Rec *r) {
  if (!r->main || !r->obj || r->obj->cancels == 0 || r->obj->shields) return false;
  raise_code(GS_ECANCELED, NULL);
  return true;
}

Rec *op_begin(const char *what, const char *where) {
  Rec *r = rec_here();
  if (!r) {
    PyErr_Format(exc_Error,
                 running ? "%s waits, which only a green thread can; this thread runs none: let "
                           "one do it, gosched.go(...).result()"
                         : "%s needs a running scheduler: call it inside gosched.run(main)",
                 what);
    return NULL;
  }
  if (main_cancelled(r)) return NULL;
  pin_check(r);
  r->where = where;
  return r;
}

bool op_again(Rec *r, bool shielded, int *code) {
  if (*code != GS_EINTR) return false;
  if (PyErr_CheckSignals() == 0 && (shielded || !main_cancelled(r))) return true;
  *code = RAISED;
  return false;
}

int op_shielded(Rec *r, int (*fn)(void *, int64_t), void *object) {
  int code;
  pin_check(r);
  r->where = state_waiting;
  while ((code = fn(object, GS_FOREVER)) == GS_ECANCELED || code == GS_EINTR)
    if (code == GS_ECANCELED) gs_uncancel();
  op_end(r);
  if (r->obj && r->obj->cancels && !r->obj->shields && r->obj->handle) gs_cancel(r->obj->handle);
  return code;
}

int green_wait(Green *g, int64_t deadline, bool shielded, const char *what) {
  int code;
  if (g->finished) return GS_OK;
  if (g == main_green) {
    PyErr_Format(exc_Error, "%s: the main green thread ends with gosched.run and cannot be joined",
                 what);
    return RAISED;
  }
  Rec *r = rec_here();
  if (!r) {
    Py_BEGIN_ALLOW_THREADS code = gs_join(g->handle, deadline);
    Py_END_ALLOW_THREADS return code;
  }
  if (r->obj == g) {
    PyErr_Format(exc_Error, "%s: a green thread cannot wait for itself", what);
    return RAISED;
  }
  if (!shielded && main_cancelled(r)) return RAISED;
  pin_check(r);
  r->where = state_waiting;
  do {
    code = gs_join(g->handle, deadline);
    if (shielded && code == GS_ECANCELED) gs_uncancel();
  } while ((shielded && code == GS_ECANCELED) || op_again(r, shielded, &code));
  op_end(r);
  if (shielded && r->obj && r->obj->cancels && !r->obj->shields && r->obj->handle)
    gs_cancel(r->obj->handle);
  return code;
}

/* ---- run
 * --------------------------------------------------------------------------------------------------
 */

typedef struct {
  PyObject *fn, *args;
  PyThreadState *ts;
  Green *green;
  PyObject *result, *error;
  bool beside;
  int levels_less;    /* see tstate_on_stack */
  gs_guest *guest;    /* of gs_embed; NULL: the thread of gosched.run is not one's */
  _Atomic bool known; /* green->handle is set; run_beside */
} Run;

/* ---- a guest's end ----
 *
 * Who cancels a guest of gs_embed is a thread of another language: it cannot wait for the GIL.  So
 * it releases a semaphore, on which a green thread of the guest waits that does the rest. */

static gs_sema stop_asked;

static void stop(void *ud) {
  (void)ud;
  gs_sema_release(&stop_asked, 1);
}

static int acquire(void *sema, int64_t deadline) { return gs_sema_acquire(sema, deadline); }

static PyObject *await_stop(PyObject *self, PyObject *ignored) {
  (void)self;
  (void)ignored;
  Rec *r = op_begin("gosched.embed", state_waiting);
  if (!r) return NULL;
  int code = acquire(&stop_asked, GS_FOREVER);
  op_end(r);
  if (code != GS_OK) return raise_code(code, "gosched.embed");
  if (main_green) green_cancel(main_green);
  Py_RETURN_NONE;
}

/* Without it, for want of memory, the guest cannot be cancelled. */
static void listen(void) {
  static PyMethodDef method = {"gosched.embed", await_stop, METH_NOARGS, NULL};
  PyObject *fn = guest ? PyCFunction_New(&method, NULL) : NULL;
  Green *g = fn ? green_new(fn, NULL, 0, NULL) : NULL;
  if (g && start_on(g, 0) == GS_OK) g->retrieved = true;
  PyErr_Clear();
  Py_XDECREF(g);
  Py_XDECREF(fn);
}

/* What has not ended is cancelled and joined.  A signal handler that raises (Ctrl-C) ends the wait,
 * and so does a deadlock: then the rest is left running, as daemon threads are. */
static void end_others(Run *run) {
  ending = true;
  run->green->cancels = 0;
  green_cancel_all();
  Green *g;
  while ((g = green_first())) {
    Py_INCREF(g);
    int code = green_wait(g, GS_FOREVER, true, "gosched.run");
    Py_DECREF(g);
    if (code == GS_OK) continue;
    raise_code(code, "gosched.run");
    Py_XDECREF(run->error);
    run->error = error_take();
    while ((g = green_first())) green_unlink(g); /* the next run does not wait for them */
    if (!beside) gs_run_abandon();
    break;
  }
}

static int main_entry(void *arg) {
  Run *run = arg;
  Rec r = {.ts = run->ts, .obj = run->green, .main = true, .where = state_running};
  rec_begin(&r);
  beside = run->beside;
  guest = run->guest;
  run->green->rec = &r;
  run->green->id = gs_self();
  run->levels_less = tstate_on_stack(r.ts, (char *)&r, MAIN_STACK - 4096);
  listen();
  run->result = PyObject_Call(run->fn, run->args, NULL);
  if (!run->result) run->error = error_take();
  end_others(run);
  run->green->rec = NULL;
  run->green->finished = true;
  hog_go_on(&r);
  rec_end(&r, false);
  tstate_release();
  return 0;
}

/* By itself, with gs_run: deadlocks of the process are this Python's. */
static int host_entry(void *arg) {
  deadlock_begin();
  return main_entry(arg);
}

/* Beside another gs_run.  The main green thread stays on one thread here, too, though not on that
 * which waits for it; signals are the business of who runs the other one. */
static void beside_entry(void *arg) {
  Run *run = arg;
  gs_guest *g = run->guest;
  while (!atomic_load(&run->known)) gs_yield();
  gs_lock_os_thread();
  if (g) {
    gs_sema_init(&stop_asked, 0);
    gs_guest_on_cancel(g, stop, NULL);
  }
  main_entry(run);
  tstate_forget();
  if (g) gs_guest_on_cancel(g, NULL, NULL);
  gs_unlock_os_thread();
}

static int run_beside(Run *run) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "main";
  opts.domain = domain;
  opts.stack_size = MAIN_STACK;
  run->beside = true;
  int code = gs_go_opts(&opts, beside_entry, run, &run->green->handle);
  if (code != GS_OK) return code;
  atomic_store(&run->known, true);
  while (gs_join(run->green->handle, GS_FOREVER) == GS_EINTR) continue;
  return GS_OK;
}

/* Another language of the process may be inside of a gs_run, or the program itself.  That one may
 * end before we are let in: then it is tried again. */
static int run_it(Run *run, const gs_config *cfg) {
  for (;;) {
    run->beside = false;
    int code = gs_run(cfg, host_entry, run, NULL);
    if (code == GS_OK) deadlock_end();
    if (code != GS_EBUSY || gs_self()) return code;
    code = run_beside(run);
    if (code != GS_EPERM) return code;
    /* That run waits for the end of this guest. */
    if (run->guest && gs_guest_told(run->guest)) return GS_ECANCELED;
    sched_yield();
  }
}

static PyObject *run_result(Run *run, int code) {
  if (code == GS_ECANCELED) return raise_code(code, "gosched.run");
  if (code != GS_OK) return raise_detail(code, "gosched.run");
  if (run->error) {
    Py_CLEAR(run->result);
    error_put(run->error);
    run->error = NULL;
  }
  return run->result;
}

static int add_live(PyObject *list, Green *g, unsigned long ident) {
  PyObject *item = Py_BuildValue("Ok", g, ident);
  int code = item ? PyList_Append(list, item) : -1;
  Py_XDECREF(item);
  return code;
}

PyObject *domain_live(void) {
  PyObject *list = PyList_New(0);
  int code = list ? 0 : -1;
  if (code == 0 && main_green && main_green->rec)
    code = add_live(list, main_green, (unsigned long)main_green->rec->ts->thread_id);
  for (Green *g = green_first(); g && code == 0; g = g->next)
    code = add_live(list, g, (unsigned long)tstate_ident(g->id));
  if (code == 0) return list;
  Py_XDECREF(list);
  return NULL;
}

bool domain_running(void) { return running && !ending; }

/* The source of a guest runs inside gosched.run already; a program that has its own all the same
 * finds what it expects: what it has started ends with it. */
static PyObject *run_inside(PyObject *fn, PyObject *args) {
  Run run = {.green = main_green};
  run.result = PyObject_Call(fn, args, NULL);
  if (!run.result) run.error = error_take();
  int cancels = main_green->cancels;
  end_others(&run);
  ending = false;
  main_green->cancels += cancels;
  if (cancels) gs_cancel(main_green->handle);
  listen();
  return run_result(&run, GS_OK);
}

PyObject *domain_run(PyObject *fn, PyObject *args, int procs, int max_threads) {
  const Rec *here = rec_here();
  if (here && here->main && guest) return run_inside(fn, args);
  if (here) {
    PyErr_SetString(exc_Error, "already inside gosched.run: call main(*args) directly");
    return NULL;
  }
  if (running) {
    PyErr_SetString(exc_Error,
                    "another thread is inside gosched.run: start green threads there with "
                    "gosched.go, or wait until it has returned");
    return NULL;
  }
  if (domain_ready() < 0) return NULL;
  Run run = {.fn = fn, .args = args, .ts = PyThreadState_Get(), .guest = gs_guest_here()};
  if (!(run.green = green_new(fn, NULL, 0, NULL))) return NULL;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = procs;
  cfg.max_threads = max_threads;
  cfg.flags = GS_RUN_LOCK_MAIN;
  cfg.domain = domain;
  cfg.main_stack_size = MAIN_STACK;
  running = true;
  shared_run(true);
  main_green = run.green;
  tstate_prepare();
  tell_begin();
  PyEval_SaveThread();
  int code = run_it(&run, &cfg);
  tell_end();
  tstate_acquire(run.ts);
  tstate_own_stack(run.ts, run.levels_less);
  running = ending = beside = false;
  guest = NULL;
  shared_run(false);
  main_green = NULL;
  Py_DECREF(run.green);
  return run_result(&run, code);
}
