/* detach.c: foreign calls that own their argument, so that nobody has to wait for them.
 *
 * Such a call runs in a green thread of its own, of the native domain, and the caller joins that
 * one.  If the caller is cancelled, or its deadline passes, it goes on at once: the call is
 * *detached* then, ends when it ends, and is counted as long as it lasts.  All that the two share
 * is in a Detached that whoever comes last frees; the call never touches the caller's stack.
 *
 * One word says how far both are.
 *
 *     the call:    fn;  RETURNED;  UNBLOCKING? wait for UNBLOCKED;  destroy;  OVER
 *     the caller:  woken too early:  one CAS:  OVER? the result counts after all
 *                                              else RELEASED, and UNBLOCKING unless RETURNED
 *
 * So of a cancellation and an end at the same moment one wins, for both sides; unblock is begun by
 * one caller, once, and never after fn has returned; and destroy waits for it, because what it uses
 * is destroyed there.  unblock may block: it has a green thread of its own, too, and the caller
 * does not wait.  (Without memory for that one the caller runs it.)
 *
 * What is not here: waking a joiner at the same moment as its canceller does.  gs_join sees to it.
 *
 * Both green threads count as system ones: they go on where the caller's own foreign call would,
 * while user green threads are disabled.  gs_run waits for them as for all others; cancelling them
 * does nothing, since they park nowhere.
 *
 * After fork, in a child that fn has made, whoever ran unblock is gone: nobody is waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define RETURNED 1u
#define OVER 2u
#define RELEASED 4u
#define UNBLOCKING 8u
#define UNBLOCKED 16u

typedef struct {
  uint32_t word;     /* see above; atomic, a futex of the call's thread */
  uint32_t refs;     /* caller, call, unblock; atomic */
  uint32_t nforks;   /* when it was made; write-once, as all down to site */
  int (*fn)(void *); /* set to NULL by the call if it must not be made */
  void *arg;
  void (*destroy)(void *);
  void (*unblock)(void *);
  void *uarg;
  gs_site *site;
  int result, saved_errno; /* fn's; the call, before OVER */
  int code;                /* of the foreign call; the same */
  int failure; /* of a callback of fn, if code is GS_ECALLBACK; the same, as failure_data */
  void *failure_data;
} Detached;

static uint32_t or_sc(uint32_t *word, uint32_t bits) {
  return __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST);
}

static void unref(Detached *d) {
  if (add_sc(&d->refs, -1u) == 1) free(d);
}

/* A green thread that only makes one foreign call.  NULL: out of memory. */
static G *helper_new(M *m, const char *name, void (*fn)(void *), Detached *d) {
  G *g = g_new(m, &gs_native, fn, d);
  if (!g) return NULL;
  store_rlx(&g->system, 1);
  strcpy(g->name, name);
  return g;
}

/* ---- the call ---- */

static int call_and_destroy(void *p) {
  Detached *d = p;
  if (d->fn && !(load_sc(&d->word) & RELEASED)) { /* else nobody wants it begun any more */
    d->result = d->fn(d->arg);
    d->saved_errno = errno;
  }
  torture_window(); /* the caller may give up now, and want it unblocked */
  uint32_t w = or_sc(&d->word, RETURNED) | RETURNED;
  while ((w & UNBLOCKING) && !(w & UNBLOCKED) && load_rlx(&gs_sched.nforks) == d->nforks) {
    os_futex_wait(&d->word, w);
    w = load_acq(&d->word);
  }
  d->destroy(d->arg);
  return 0;
}

static void run_call(void *p) {
  Detached *d = p;
  d->code = gs_cgocall_site(d->site, call_and_destroy, d, NULL);
  if (unlikely(!(load_sc(&d->word) & RETURNED))) { /* the site was closed */
    static gs_site site = {.name = "destroying a call's argument"};
    d->fn = NULL;
    gs_cgocall_site(&site, call_and_destroy, d, NULL);
  }
  if (unlikely(d->code == GS_ECALLBACK)) gs_callback_failure(&d->failure, &d->failure_data);
  torture_window(); /* the caller may give up now, and finds no result */
  if (or_sc(&d->word, OVER) & RELEASED) add_sc(&gs_sched.ndetached_over, 1);
  unref(d);
}

/* ---- unblocking ---- */

static int unblock_now(void *p) {
  Detached *d = p;
  d->unblock(d->uarg);
  torture_window(); /* fn may have returned, and waits for this */
  or_sc(&d->word, UNBLOCKED);
  os_futex_wake_all(&d->word);
  return 0;
}

static void run_unblock(void *p) {
  static gs_site site = {.name = "an unblock function"};
  gs_cgocall_site(&site, unblock_now, p, NULL);
  unref(p);
}

static void start_unblock(Detached *d) {
  add_sc(&d->refs, 1);
  M *m = enter();
  G *g = helper_new(m, "unblock of a call", run_unblock, d);
  if (g) ready(m, g);
  leave(m);
  if (!g) run_unblock(d);
}

/* ---- the caller ---- */

/* False: the call has ended after all. */
static bool release(Detached *d, gs_handle *h) {
  uint32_t w, n;
  do {
    w = load_sc(&d->word);
    if (w & OVER) return false;
    n = w | RELEASED | (d->unblock && !(w & RETURNED) ? UNBLOCKING : 0);
    torture_window(); /* the call may end now, or fn return */
  } while (!CAS(&d->word, w, n));
  add_sc(&gs_sched.ndetached, 1);
  handle_detached(h);
  if (n & UNBLOCKING) start_unblock(d);
  return true;
}

static Detached *make(const gs_call_options *o, int (*fn)(void *), void *arg) {
  Detached *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->refs = 2;
  d->nforks = load_rlx(&gs_sched.nforks);
  d->fn = fn;
  d->arg = arg;
  d->destroy = o->destroy;
  d->unblock = o->unblock;
  d->uarg = o->uarg;
  d->site = o->site ? o->site : site_of((const void *)(uintptr_t)fn);
  return d;
}

/* The callback ran in the call's green thread; it is told of in the caller's. */
static void take_failure(const Detached *d) {
  G *g = gs_getm()->curg;
  g->fail_code = d->failure;
  g->fail_data = d->failure_data;
  call_failed(g);
}

/* NULL: out of memory. */
static gs_handle *start(M *m, Detached *d) {
  G *g = helper_new(m, "detachable call", run_call, d);
  if (!g) return NULL;
  gs_handle *h = handle_new(g);
  if (h)
    ready(m, g);
  else
    ready_list(m, g_unmake(m, g));
  return h;
}

int detachable_call(const gs_call_options *o, int (*fn)(void *), void *arg, int *result,
                    bool *begun) {
  M *m = enter();
  if (!m) return refused();
  Detached *d = make(o, fn, arg);
  gs_handle *h = d ? start(m, d) : NULL;
  leave(m);
  if (!h) {
    free(d);
    return gs_fail(GS_ENOMEM, "gs_cgocall_opts: out of memory");
  }
  *begun = true;
  int r, e = 0;
  do r = handle_join(h, o->deadline_ns, "a detachable call");
  while (r == GS_EINTR); /* as in any other foreign call */
  if (r == GS_OK || !release(d, h)) {
    r = d->code;
    e = d->saved_errno;
    if (result) *result = d->result;
    if (unlikely(r == GS_ECALLBACK)) take_failure(d);
  }
  unref(d);
  gs_handle_release(h);
  *gs_getm()->errno_at = e;
  return r;
}
