/* unblock.c: foreign calls that gs_cancel can interrupt.
 *
 * The caller gives a function that makes the blocked one return (sqlite3_interrupt, shutdown, a
 * byte into a pipe).  Whoever cancels the green thread runs it, on its own thread, at most once a
 * call; and the call returns only after it has returned, so what it was given may be freed then.
 *
 * The word g->unblock decides: a sequence, and ARMED, RUNNING or DONE.
 *
 *     call:    function and argument;  ARMED;   [StoreLoad];  look at cancelled
 *              … the foreign call …
 *              CAS ARMED -> 0;  failed: wait until RUNNING has become DONE
 *     cancel:  cancelled = 1;          [StoreLoad];  CAS ARMED -> RUNNING;  run it;  DONE; wake
 *
 * Cancelled before: the canceller finds nothing armed, the call sees the flag and is not made.  At
 * the same time: both stores are seq_cst and so are both looks, so at least one sees the other; if
 * both do, the CAS decides whether it is run.  After: the call has disarmed it, and nobody runs it.
 * The sequence keeps a canceller from taking another arming than the one it has looked at.
 *
 * The word is the G's and not the call's, because a canceller may look when the call is over and
 * its frame is something else; Gs are never freed.
 */
#include "runtime.h"

#define ARMED 1u
#define RUNNING 2u
#define DONE 4u
#define STATE 7u
#define STEP 8u

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

static void arm(G *g, void (*fn)(void *), void *arg) {
  g->unblock_fn = fn;
  g->unblock_arg = arg;
  store_sc(&g->unblock, (load_rlx(&g->unblock) & ~STATE) + STEP + ARMED);
}

static int until_done(void *arg) {
  G *g = arg;
  uint32_t w;
  while ((w = load_acq(&g->unblock)) & RUNNING) os_futex_wait(&g->unblock, w);
  return 0;
}

/* Nobody runs it any more after this.  What it was: ARMED, DONE or 0. */
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
} Outer;

static Outer put_aside(G *g) {
  Outer o = {0, g->unblock_fn, g->unblock_arg};
  if (load_rlx(&g->unblock) & STATE) o.was = disarm(g);
  return o;
}

static void put_back(G *g, const Outer *o) {
  if (o->was == ARMED) arm(g, o->fn, o->arg);
  if (o->was == DONE) store_rlx(&g->unblock, load_rlx(&g->unblock) + DONE);
}

int gs_cgocall_unblock(int (*fn)(void *), void *arg, int *result, void (*unblock)(void *),
                       void *uarg) {
  if (!fn) return gs_fail(GS_EINVAL, "gs_cgocall_unblock: fn is NULL; a function is needed");
  M *m = gs_getm();
  if (m && m->incgo) return as_callback(gs_cgocall_unblock, fn, arg, result, unblock, uarg);
  G *g = m ? m->curg : NULL;
  if (!g || !unblock) return gs_cgocall(fn, arg, result);
  if (load_rlx(&g->cancelled)) return GS_ECANCELED;
  Outer outer = put_aside(g);
  arm(g, unblock, uarg);
  torture_window(); /* cancelled now: it is run, perhaps before the call has begun */
  int r = load_sc(&g->cancelled) ? GS_ECANCELED : gs_cgocall(fn, arg, result);
  int e = gs_errno();
  if (disarm(g) == DONE) r = GS_ECANCELED;
  put_back(g, &outer);
  m = gs_getm();
  *m->errno_at = e;
  return r;
}
