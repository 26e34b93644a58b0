/* unblock.c: foreign calls that gs_cancel and a deadline can interrupt.
 *
 * The caller gives a function that makes the blocked one return (sqlite3_interrupt, shutdown, a
 * byte into a pipe).  Whoever cancels the green thread runs it, on its own thread, or, when the
 * call's deadline passes, a green thread that the timer makes for it; at most once a call.  And the
 * call returns only after it has returned, so what it was given may be freed then.
 *
 * The word g->unblock decides: a sequence, and ARMED, RUNNING or DONE.
 *
 *     call:    function and argument;  ARMED;   [StoreLoad];  look at cancelled
 *              … the foreign call …
 *              CAS ARMED -> 0;  failed: wait until RUNNING has become DONE
 *     cancel:  cancelled = 1;          [StoreLoad];  CAS ARMED -> RUNNING;  run it;  DONE; wake
 *     timer:   CAS ARMED -> RUNNING, TIMED, under its heap's lock;  a green thread: run it;  DONE
 *
 * Cancelled before: the canceller finds nothing armed, the call sees the flag and is not made.  At
 * the same time: both stores are seq_cst and so are both looks, so at least one sees the other; if
 * both do, the CAS decides whether it is run.  After: the call has disarmed it, and nobody runs it.
 * The sequence keeps a canceller from taking another arming than the one it has looked at.
 *
 * The timer stands on the caller's stack, and is taken out of its heap before the call returns.  It
 * takes the word when it fires, and the function is run a little later: the call waits for it all
 * the same, because it sees RUNNING.  It makes the green thread first, so that once the word is
 * taken there is somebody to run it; without memory it is due again a moment later.  The function
 * may block, so it is run in a foreign call, in a green thread of the native domain that also runs
 * while user green threads are disabled: neither the poller nor sysmon waits for it.
 *
 * A call that is made in a callback of another one puts the outer one's aside: its word of d->armed
 * is 0 meanwhile, and a timer that comes to its end then tries again later.  First armed is
 * cleared and then the word changes, first the word is set and then armed: so a timer whose CAS
 * failed although armed still is what it was has lost to a canceller or to the end of the call.
 *
 * The word is the G's and not the call's, because a canceller may look when the call is over and
 * its frame is something else; Gs are never freed.
 */
#include <string.h>

#include "runtime.h"

#define ARMED 1u
#define RUNNING 2u
#define DONE 4u
#define TIMED 8u /* with RUNNING and DONE: it was the deadline */
#define STATE 15u
#define STEP 16u

#define RETRY_NS 1000000

/* The deadline of a call that is armed; on the caller's stack. */
struct gs_call_deadline {
  Timer t;
  G *g;           /* write-once */
  uint32_t armed; /* the word that the timer may take; 0: put aside.  g's M, read by who fires it */
};

/* ---- the canceller's side ---- */

/* cancelled is stored already.  True: the caller must call unblock_run, outside the runtime. */
bool unblock_take(G *g) {
  uint32_t w = load_sc(&g->unblock);
  torture_window(); /* the call may end, and another one begin */
  return (w & STATE) == ARMED && CAS(&g->unblock, w, w - ARMED + RUNNING);
}

/* The G cannot leave its call before DONE, so its fields stay. */
void unblock_run(G *g) {
  g->unblock_fn(g->unblock_arg);
  torture_window(); /* the call may have returned from C and wait for this */
  store_sc(&g->unblock, load_rlx(&g->unblock) - RUNNING + DONE);
  os_futex_wake_all(&g->unblock);
}

/* ---- the timer's side ---- */

static int run_as_call(void *g) {
  unblock_run(g);
  return 0;
}

static void run_in_time(void *g) {
  static gs_site site = {.name = "an unblock function"};
  gs_cgocall_site(&site, run_as_call, g, NULL);
}

/* Its heap's lock is held.  As timer_user_fire. */
G *unblock_fire(Timer *at, int64_t now, int64_t *next) {
  Deadline *d = (Deadline *)(void *)((char *)at - offsetof(Deadline, t));
  uint32_t w = load_acq(&d->armed);
  *next = now + RETRY_NS;
  G *runner = w ? g_new(NULL, &gs_native, run_in_time, d->g) : NULL;
  if (!runner) return NULL;
  runner->schedlink = NULL;
  store_rlx(&runner->system, 1);
  strcpy(runner->name, "deadline of a call");
  torture_window(); /* the call may end, or be cancelled, or be put aside */
  if (CAS(&d->g->unblock, w, w - ARMED + RUNNING + TIMED)) {
    *next = INT64_MAX;
    return runner;
  }
  if (load_sc(&d->armed) == w) *next = INT64_MAX;
  return g_unmake(NULL, runner);
}

/* g is armed.  False: no memory. */
static bool watch_deadline(M *m, Deadline *d, int64_t when) {
  bool added = timers_add(&m->p->timers, &d->t, when);
  if (added && !load_sc(&gs_sched.poller)) start_poller(); /* this M does not look at the clock */
  return added;
}

static void unwatch_deadline(Deadline *d) {
  M *m = enter();
  timers_del(&d->t);
  if (m) leave(m);
}

/* ---- the end ---- */

/* At the end of gs_run: all that has been cancelled.  Outside. */
void unblock_all(void) {
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (load_sc(&g->cancelled) && unblock_take(g)) unblock_run(g);
}

/* In a child of fork, where the canceller that may have been running it is gone. */
void unblock_forked(G *g) {
  uint32_t w = load_rlx(&g->unblock);
  if (w & RUNNING) store_rlx(&g->unblock, w - RUNNING + DONE);
}

/* ---- the call's side ---- */

static void arm(G *g, void (*fn)(void *), void *arg, Deadline *d) {
  uint32_t w = (load_rlx(&g->unblock) & ~STATE) + STEP + ARMED;
  g->unblock_fn = fn;
  g->unblock_arg = arg;
  g->deadline = d;
  store_sc(&g->unblock, w);
  if (d) store_rel(&d->armed, w);
}

static int until_done(void *arg) {
  G *g = arg;
  uint32_t w;
  while ((w = load_acq(&g->unblock)) & RUNNING) os_futex_wait(&g->unblock, w);
  return 0;
}

/* Nobody runs it any more after this.  What it was: ARMED, DONE, with TIMED or without, or 0. */
static uint32_t disarm(G *g) {
  static gs_site site = {.name = "waiting for an unblock function"};
  uint32_t w = load_rlx(&g->unblock);
  torture_window(); /* a canceller may take it now */
  if ((w & STATE) == ARMED && CAS(&g->unblock, w, w - ARMED)) return ARMED;
  if (load_acq(&g->unblock) & RUNNING) gs_cgocall_site(&site, until_done, g, NULL);
  w = load_acq(&g->unblock) & STATE;
  store_rlx(&g->unblock, load_rlx(&g->unblock) & ~STATE);
  return w;
}

/* A call that is made in a callback of another such call: the outer one's is put aside meanwhile.
 */
typedef struct {
  uint32_t was;
  void (*fn)(void *);
  void *arg;
  Deadline *deadline;
} Outer;

static Outer put_aside(G *g) {
  Outer o = {0, g->unblock_fn, g->unblock_arg, g->deadline};
  if (!(load_rlx(&g->unblock) & STATE)) return o;
  if (o.deadline) store_sc(&o.deadline->armed, 0);
  o.was = disarm(g);
  return o;
}

static void put_back(G *g, const Outer *o) {
  if (o->was == ARMED) arm(g, o->fn, o->arg, o->deadline);
  if (o->was & DONE) store_rlx(&g->unblock, load_rlx(&g->unblock) + o->was);
  g->deadline = o->deadline;
}

int unblock_call(const gs_call_options *o, int (*fn)(void *), void *arg, int *result) {
  M *m = enter();
  if (!m) return refused();
  G *g = m->curg;
  leave(m);
  Outer outer = put_aside(g);
  Deadline d = {.t = {.user = TIMER_CALL}, .g = g};
  bool timed = o->deadline_ns != GS_FOREVER;
  arm(g, o->unblock, o->uarg, timed ? &d : NULL);
  int r = GS_OK;
  if (timed) {
    m = enter();
    if (!watch_deadline(m, &d, o->deadline_ns)) r = GS_ENOMEM;
    leave(m);
  }
  torture_window(); /* cancelled now: it is run, perhaps before the call has begun */
  bool cancelled = load_sc(&g->cancelled);
  if (r == GS_OK && !cancelled && (load_sc(&g->unblock) & STATE) == ARMED) {
    r = gs_cgocall_site(o->site, fn, arg, result);
  }
  int e = gs_errno();
  uint32_t was = disarm(g);
  if (timed) unwatch_deadline(&d);
  if (was & TIMED)
    r = GS_ETIMEOUT;
  else if ((was & DONE) || cancelled)
    r = GS_ECANCELED;
  put_back(g, &outer);
  m = gs_getm();
  *m->errno_at = e;
  return r;
}
