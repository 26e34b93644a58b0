/* g.c: birth, death and cancellation of green threads.
 *
 * G structs are never freed: a retaker, a canceller or a dump may look at one at any time.  Dead
 * ones wait on the P's list and then on a global one.  A G gets its stack when it first runs.
 *
 * Cancellation is a flag and, if the G is parked, a claim.  The flag is looked at by park_commit
 * (proc.c), after the park word is published; here the flag is stored first, then comes the heavy
 * barrier, then the look at the park word.  So either the parker sees the flag, or the canceller
 * sees PARKED.  Where there is no membarrier the parker uses an xchg instead.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define P_GFREE_MAX 64u /* dead Gs that a P keeps */
#define BATCH 32u       /* as many go to the domain's list, or come from there, at once */
#define GOIDS 64u       /* numbers that a P takes at once */

static void *g_end(M *m);

/* What it returns is loaded by gs_arch_start. */
static void *g_entry(void) {
  M *m = gs_getm();
  fiber_started(m);
  G *g = m->curg;
  m = resumed(g);
  leave(m);
  g->fn(g->arg);
  boundary_ends(g, true);
  m = enter();
  if (!m)
    throw_(
        "a green thread ended between gs_entersyscall and gs_exitsyscall, or with the world "
        "stopped");
  return g_end(m);
}

/* Dead Gs are used again in their own domain only: sysmon may ask a binding about one that has just
 * ended, and its slot must not hold another binding's word then. */
static G *pop(G **list) {
  G *g = *list;
  if (g) store_rlx(list, g->schedlink);
  return g;
}

static void push(G **list, G *g) {
  g->schedlink = *list;
  store_rlx(list, g);
}

/* New ones, so many that the allocator is not asked for each. */
static G *g_alloc(Domain *d, P *p) {
  if (unlikely(load_rlx(&gs_sched.no_sysmon))) process_revive();
  G *gs = aligned_alloc(_Alignof(G), BATCH * sizeof *gs);
  if (!gs) return NULL;
  memset(gs, 0, BATCH * sizeof *gs);
  for (uint32_t i = 0; i < BATCH; i++) {
    gs[i].d = d;
    gs[i].status = Gdead;
    gs[i].alllink = i + 1 < BATCH ? &gs[i + 1] : NULL;
  }
  G *head = load_rlx(&gs_sched.allg);
  do gs[BATCH - 1].alllink = head;
  while (!__atomic_compare_exchange_n(&gs_sched.allg, &head, gs, true, __ATOMIC_RELEASE,
                                      __ATOMIC_RELAXED));
  if (p) {
    for (uint32_t i = BATCH - 1; i > 0; i--) push(&p->gfree, &gs[i]);
    p->ngfree += BATCH - 1;
    return gs;
  }
  lock(&d->gfree_lock);
  for (uint32_t i = BATCH - 1; i > 0; i--) push(&d->gfree, &gs[i]);
  unlock(&d->gfree_lock);
  return gs;
}

static G *gfree_take(M *m, Domain *d) {
  P *p = m && m->p->d == d ? m->p : NULL;
  G *g;
  if (likely(p && (g = pop(&p->gfree)))) {
    p->ngfree--;
    return g;
  }
  if (load_rlx(&d->gfree) == NULL) return g_alloc(d, p);
  lock(&d->gfree_lock);
  g = pop(&d->gfree);
  for (G *more; p && p->ngfree < BATCH - 1 && (more = pop(&d->gfree)); p->ngfree++)
    push(&p->gfree, more);
  unlock(&d->gfree_lock);
  return g ? g : g_alloc(d, p);
}

/* For an extra M: counted nowhere, and never given back. */
G *g_uncounted(Domain *d) {
  G *g = gfree_take(NULL, d);
  if (!g) return NULL;
  store_rlx(&g->extra, 1);
  g->hooked = d->ops.switch_in || d->ops.release || d->ops.suspend;
  g->handle = NULL;
  store_rlx(&g->data, NULL);
  g->locks = g->firm = 0;
  g->bracket = g->released = g->main = 0;
  g->handed_at = 0;
  g->name[0] = 0;
  g->due = 0;
  store_rlx(&g->park, PARK_NO);
  store_rlx(&g->cancelled, 0);
  return g;
}

static void gfree_give(M *m, G *g) {
  Domain *d = g->d;
  P *p = m && m->p->d == d ? m->p : NULL;
  if (likely(p && p->ngfree < P_GFREE_MAX)) {
    push(&p->gfree, g);
    p->ngfree++;
    return;
  }
  lock(&d->gfree_lock);
  push(&d->gfree, g);
  for (; p && p->ngfree > P_GFREE_MAX - BATCH; p->ngfree--) push(&d->gfree, pop(&p->gfree));
  unlock(&d->gfree_lock);
}

/* ---- how many there are ---- */

/* Every P counts what is made and what ends on it; what is made without a P is counted in gs_sched.
 * First the ends are summed up and then the births, so the difference is at least what was alive at
 * the moment between: 1 means that the caller was the only one. */
uint64_t born_gs(void) {
  uint64_t n = load_acq(&gs_sched.nborn);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, np = load_acq(&d->nallp); i < np; i++) n += load_acq(&d->allp[i]->nborn);
  return n;
}

uint32_t live_gs(void) {
  uint64_t died = load_acq(&gs_sched.ndied);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0, np = load_acq(&d->nallp); i < np; i++)
      died += load_acq(&d->allp[i]->ndied);
  return (uint32_t)(born_gs() - died);
}

/* The StoreLoad of those whose partner uses the heavy barrier. */
static inline void light_barrier(void) {
  if (SC_FENCE_NOW) fence_sc();
  compiler_fence();
}

static uint64_t count_birth(P *p) {
  if (unlikely(!p)) {
    add_sc(&gs_sched.nborn, 1);
    return add_rlx(&gs_sched.goid, 1) + 1;
  }
  store_rel(&p->nborn, p->nborn + 1);
  if (unlikely(p->goid == p->goid_end)) {
    p->goid = add_rlx(&gs_sched.goid, GOIDS);
    p->goid_end = p->goid + GOIDS;
  }
  return ++p->goid;
}

/* m: inside, or NULL on a foreign thread.  NULL: out of memory. */
G *g_new(M *m, Domain *d, void (*fn)(void *), void *arg) {
  G *g = gfree_take(m, d);
  if (!g) return NULL;
  g->hooked = d->ops.switch_in || d->ops.release || d->ops.suspend;
  g->fn = fn;
  g->arg = arg;
  /* As a thread does, it starts with its maker's floating-point environment: not with that of
   * whoever happened to run before it on the thread where it starts. */
  gs_arch_controls(&g->controls);
  g->handle = NULL;
  store_rlx(&g->data, NULL); /* sysmon may be looking, through may_retake */
  g->lockedm = NULL;
  g->locks = g->firm = g->pins = 0;
  g->bracket = BRACKET_NONE;
  g->released = g->main = 0;
  store_rlx(&g->system, 0);
  store_rlx(&g->extra, 0);
  g->pass = 0;
#if GS_TORTURE
  g->callseq = 0; /* which of its calls are forced to be handed off does not depend on who it was */
#endif
  g->stack_want = 0;
  g->name[0] = 0;
  g->wake = GS_OK;
  g->due = 0;
  store_rlx(&g->waitreason, "new"); /* an observer may mark it: wait.c */
  store_rlx(&g->park, PARK_NO);
  /* Alive first, then the look at `ending`; drain sets it and then looks for all that are alive. */
  g_to(g, Gidle);
  store_rlx(&g->cancelled, 0);
  g->goid = count_birth(m && m->p != &gs_nop ? m->p : NULL);
  light_barrier();
  if (unlikely(load_sc(&gs_sched.ending))) store_rlx(&g->cancelled, 1);
  return g;
}

void g_bind_stack(P *p, G *g) {
  uint32_t klass = g->stack_want ? stack_class(g->stack_want) : load_rlx(&g->d->klass);
  g->stack = stack_get(p, g->d, klass);
  if (!g->stack) return;
  fiber_new(g);
  g_first_frame(g, g_entry);
}

/* On the stack of whoever runs next: g's own is free now. */
void g_recycle(M *m, G *g) {
  bool main = g->main;
  stack_put(m->p != &gs_nop ? m->p : NULL, g->stack);
  g->stack = NULL;
  g->sp = NULL;
  fiber_free(g);
  g_to(g, Gdead);
  gfree_give(m, g);
  if (unlikely(main)) {
    /* Its thread may be the poller, or parked in stopm, or on its way there.  Once main_done is set
     * it may have left gs_run already, and main_m is NULL then. */
    M *runner = load_acq(&gs_sched.main_m);
    store_sc(&gs_sched.main_done, 1);
    poll_break(INT64_MIN);
    note_wake(&runner->note);
  }
}

/* ---- cancellation ---- */

void heavy_barrier(void) {
  if (load_rlx(&gs_sched.fenced)) {
    fence_sc();
    return;
  }
  add_rlx(&gs_sched.nbarriers, 1);
  if (os_barrier()) return;
  /* Withdrawn, as in retake_batch.  Who parks from now on fences; who is between its store and its
   * look just now is through in a moment. */
  store_sc(&gs_sched.fenced, 1);
  os_sleep_ns(1000000);
}

/* For partners that do not fence although everybody should: a P whose channels have a bias, an M
 * that went out before membarrier was withdrawn.  Their stores are out in a moment. */
void heavy_barrier_unfenced(void) {
  heavy_barrier();
  if (unlikely(load_rlx(&gs_sched.fenced))) os_sleep_ns(1000000);
}

int gs_barrier(void) {
  int err = gs_boot();
  if (err) return err;
  heavy_barrier_unfenced();
  return load_rlx(&gs_sched.fenced) ? GS_ENOTSUP : GS_OK;
}

/* True: it was parked and is the caller's to make runnable. */
bool g_cancel(G *g) {
  store_sc(&g->cancelled, 1);
  torture_window();
  heavy_barrier();
  return load_sc(&g->park) == PARKED && claim(g, GS_ECANCELED);
}

/* One barrier for all of them. */
static void cancel_all(M *m, G *except) {
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (g != except && !load_rlx(&g->extra) && load_sc(&g->status) != Gdead)
      store_sc(&g->cancelled, 1);
  heavy_barrier();
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (g != except && load_sc(&g->cancelled) && load_sc(&g->park) == PARKED &&
        claim(g, GS_ECANCELED))
      ready(m, g);
}

/* ---- the end ---- */

/* Counted, then the look for a waiter; drain_commit publishes the waiter, then counts. */
static void count_death(P *p) {
  store_rel(&p->ndied, p->ndied + 1);
  light_barrier();
}

/* Somebody waits until all have ended.  Of two that end at the same moment one sees both counted:
 * each counts itself, then comes the fence, then each counts all.  The waiter, claimed, if the
 * caller is to make it runnable. */
static G *drained(void) {
  fence_sc();
  if (live_gs() != 1) return NULL;
  G *waiter = xchg(&gs_sched.drain, NULL);
  if (!waiter || !claim(waiter, GS_OK)) return NULL;
  waiter->schedlink = NULL;
  return waiter;
}

G *g_unmake(M *m, G *g) {
  g_to(g, Gdead);
  if (m && m->p != &gs_nop)
    count_death(m->p);
  else
    add_sc(&gs_sched.ndied, 1);
  gfree_give(m, g);
  return load_sc(&gs_sched.drain) ? drained() : NULL;
}

static bool drain_commit(G *g, void *arg) {
  (void)arg;
  torture_window(); /* the last other one may end now */
  /* Publishes the waiter, then counts; g_end counts, then looks for the waiter. */
  store_sc(&gs_sched.drain, g);
  heavy_barrier();
  if (live_gs() != 1 && !(load_sc(&gs_sched.run_flags) & GS_RUN_ABANDON)) return true;
  return xchg(&gs_sched.drain, NULL) == NULL;
}

/* The main G, when its function has returned: everybody else is cancelled and waited for. */
static M *drain(M *m, G *g) {
  store_sc(&gs_sched.ending, 1);
  /* Other threads may start a G just now, which must not outlive gs_run.  Such a thread counts
   * itself and then looks whether the run is on; here is the other order.  From here on they are
   * refused, or a thread that goes on starting some would hold up the end for ever. */
  store_sc(&gs_sched.running, RUN_ENDS);
  torture_window();
  while (load_sc(&gs_sched.outsiders)) os_yield();
  g->firm = 1;
  store_rlx(&g->cancelled, 0);
  if (load_rlx(&gs_sched.user_off)) user_on(m); /* they could not end */
  heavy_barrier();                              /* who is born after this sees `ending` */
  cancel_all(m, g);
  leave(m);
  unblock_all();
  m = enter();
  while (live_gs() != 1 && !(load_sc(&gs_sched.run_flags) & GS_RUN_ABANDON)) {
    gopark(m, drain_commit, NULL, GS_FOREVER, "waiting for all to end");
    m = g->m;
  }
  return m;
}

/* The end of the G that runs.  The sp of the stack that is to be loaded as its last step. */
static void *g_end(M *m) {
  G *g = m->curg;
  if (g->main && !(load_rlx(&gs_sched.run_flags) & GS_RUN_ABANDON)) m = drain(m, g);
  if (g->lockedm) {
    g->lockedm = NULL;
    g->locks = 0;
    /* What this G has done to its thread must not meet another one.  m->lockedg stays: it keeps
     * the switch below from going straight to the next G. */
    if (m->own)
      m->quit = QUIT_LOCKED;
    else
      m->lockedg = NULL;
  }
  if (g->handle) {
    handle_finish(m, g->handle);
    g->handle = NULL;
  }
  torture_window(); /* the main G may begin to wait now */
  count_death(m->p);
  if (unlikely(load_sc(&gs_sched.drain) != NULL)) ready_list(m, drained());
  return g_leave_dead(m, g);
}

/* From the middle of its frames. */
_Noreturn void g_exit(M *m) {
  G *g = m->curg;
  boundary_ends(g, false);
  gs_arch_switch(&g->sp, (void *)((uintptr_t)g_end(m) & ~(uintptr_t)GS_ARCH_FRESH));
  throw_("a dead G was resumed");
}

void gs_run_abandon(void) {
  /* The flag, then the waiter; drain_commit publishes the waiter, then reads the flag. */
  __atomic_fetch_or(&gs_sched.run_flags, (unsigned)GS_RUN_ABANDON, __ATOMIC_SEQ_CST);
  M *m = enter();
  G *waiter = xchg(&gs_sched.drain, NULL);
  if (waiter && claim(waiter, GS_OK)) ready(m, waiter);
  if (m) leave(m);
}

void gs_goexit(void) {
  M *m = enter();
  if (m) g_exit(m);
}

int gs_cancelled(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  return g && load_rlx(&g->cancelled);
}

void gs_uncancel(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (g) store_rlx(&g->cancelled, 0);
}

/* ---- starting ---- */

int gs_go(void (*fn)(void *), void *arg) { return gs_go_opts(NULL, fn, arg, NULL); }

static int check_opts(const gs_go_options *o) {
  if (o->size != sizeof *o)
    return gs_fail(GS_EINVAL, "gs_go_opts: opts->size is %zu, this library has %zu", o->size,
                   sizeof *o);
  if (o->stack_size && (o->stack_size < 16384 || o->stack_size > ((size_t)1 << 30)))
    return gs_fail(GS_EINVAL, "gs_go_opts: stack_size is %zu; 0 or 16384..1073741824 is accepted",
                   o->stack_size);
  if (o->flags & ~(unsigned)GS_GO_SYSTEM)
    return gs_fail(GS_EINVAL, "gs_go_opts: flags has unknown bits (0x%x)", o->flags);
  return GS_OK;
}

int gs_go_opts(const gs_go_options *o, void (*fn)(void *), void *arg, gs_handle **handle) {
  if (!fn) return gs_fail(GS_EINVAL, "gs_go: fn is NULL; a function is needed");
  if (o && check_opts(o) != GS_OK) return GS_EINVAL;
  M *here = gs_getm();
  if (!here) {
    add_sc(&gs_sched.outsiders, 1);
    if (load_sc(&gs_sched.running) != RUN_ON) {
      add_sc(&gs_sched.outsiders, -1);
      return gs_fail(GS_EPERM, "gs_go: no gs_run is under way, or it just begins or ends");
    }
    torture_window(); /* the last G may end now: gs_run waits for this thread */
  }
  G *caller = here ? here->curg : NULL; /* asked before enter, which may end on another M */
  M *m = enter(); /* NULL also inside a foreign call: then it is as on any other thread */
  Domain *d = o && o->domain ? o->domain : caller ? caller->d : &gs_native;
  gs_handle *h = NULL;
  int err = GS_ENOMEM;
  G *g = g_new(m, d, fn, arg);
  if (!g) goto out;
  if (o) {
    g->stack_want = o->stack_size;
    store_rlx(&g->system, (o->flags & GS_GO_SYSTEM) != 0);
    if (o->name) strncat(g->name, o->name, sizeof g->name - 1);
  }
  if (handle) {
    if (!(h = handle_new(g))) {
      ready_list(m, g_unmake(m, g));
      goto out;
    }
    *handle = h;
  }
  ready(m, g);
  err = GS_OK;
out:
  if (m) leave(m);
  if (!here) add_sc(&gs_sched.outsiders, -1);
  return err ? gs_fail(err, "gs_go: out of memory") : GS_OK;
}

uint64_t gs_self(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  return g ? g->goid : 0;
}

int64_t gs_now(void) { return os_now(); }

int gs_errno(void) {
  M *m = gs_getm();
  return m ? *m->errno_at : *os_errno_at();
}

void gs_lock_os_thread(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (!g) return;
  if (g->locks++ == 0) {
    g->lockedm = m;
    m->lockedg = g;
  }
}

void gs_unlock_os_thread(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (!g || g->locks == 0) return;
  if (g->locks == 1 && g->main && (gs_sched.run_flags & GS_RUN_LOCK_MAIN)) return; /* for good */
  if (--g->locks == 0 && !g->pins) {
    g->lockedm = NULL;
    m->lockedg = NULL;
  }
}
