/* cgocall.c: the call bridge.
 *
 * A foreign call is entersyscall, a change to the M's own full-size stack, the function, the way
 * back, exitsyscall.  ncgocall counts calls, ncgo those under way, incgo says that foreign code
 * runs right now; both are cleared before exitsyscall, after which the G may be on another M.
 *
 * errno is taken on this thread, right after the function has returned, before anything here could
 * change it, and is given back on whatever thread the G goes on.
 *
 * A site marked critical skips entersyscall: the M stays in user mode and the P cannot be handed on
 * before the function returns, unless sysmon takes it as from any other user code.  m->p is hidden
 * meanwhile as in a call, so that gs_ functions called from the function are refused.
 */
#include <errno.h>

#include "runtime.h"

/* On a thread that runs no green thread there is nothing to hand on. */
static int call_in_place(int (*fn)(void *), void *arg, int *result) {
  int r = fn(arg);
  if (result) *result = r;
  return GS_OK;
}

static int call_critical(M *m, int (*fn)(void *), void *arg) {
  P *p = m->p;
  G *g = m->curg;
  m->p = &gs_nop;
  store_rlx(&m->incgo, 1);
  bump(&m->ncgocall);
  int r = call_on_g0(m, fn, arg);
  g->call_errno = *m->errno_at;
  store_rlx(&m->incgo, 0);
  m->p = p;
  return r;
}

/* The general way: hooks, traces, sites with hints or without a reputation. */
GS_NOINLINE static int call_general(M *m, gs_site *site, int (*fn)(void *), void *arg,
                                    int *result) {
  G *g = m->curg;
  while (unlikely(!g->released && g->d->ops.release)) {
    /* The hook runs outside; coming back inside may find the P gone, and getting another one may
     * have made the binding's lock ours again. */
    hook_release(m, g);
    if (load_acq(&m->pw) != (uintptr_t)m->p && !wait_unlocked(m, m->p)) m = reacquire(m, g, false);
  }
  bool traced = load_rlx(&m->attn) & ATTN_TRACE;
  if (unlikely(traced)) trace_event(m, EV_CALL, (uint64_t)(uintptr_t)fn, site);
  entersyscall(m, g, site);
  store_rlx(&m->incgo, 1);
  m->ncgo++;
  bump(&m->ncgocall);
  int r = call_on_g0(m, fn, arg);
  int e = *m->errno_at;
  m->ncgo--;
  store_rlx(&m->incgo, 0);
  if (unlikely(traced)) trace_event(m, EV_RET, load_rlx(&m->pw) != (uintptr_t)m->oldp, site);
  m = exitsyscall(m, g, false);
  g->call_errno = e;
  *m->errno_at = e;
  leave(m);
  if (result) *result = r;
  return GS_OK;
}

/* No green thread, a foreign call already, a critical site, a NULL function. */
GS_NOINLINE static int call_odd(M *m, gs_site *site, int (*fn)(void *), void *arg, int *result) {
  if (!fn) return GS_EINVAL;
  if (m && m->incgo) return GS_EPERM;
  if (!m || !m->curg) return call_in_place(fn, arg, result);
  int r = call_critical(m, fn, arg);
  (void)site;
  if (result) *result = r;
  return GS_OK;
}

/* gs_ functions that were refused inside the call have counted sc up.  Apart, so that the compiler
 * cannot know that the usual value is the loaded one and make the exit wait for the load. */
GS_NOINLINE static uint64_t moved_on(M *m) { return m->sc; }

/* The fast path is entersyscall and exitsyscall of syscall.c, inlined for a known-short site of a
 * domain without hooks.  What it avoids is the wait for its own stores: sc, m->p and errno go
 * through registers, because a load that follows a store to the same place costs the store buffer's
 * latency and these would queue up behind each other. */
int gs_cgocall_site(gs_site *site, int (*fn)(void *), void *arg, int *result) {
  M *m = gs_getm();
  if (unlikely(!m || !fn || !m->curg || m->incgo)) return call_odd(m, site, fn, arg, result);
  if (!site) site = site_of((const void *)(uintptr_t)fn);
  if (unlikely(load_rlx(&site->flags) & GS_SITE_CRITICAL))
    return call_odd(m, site, fn, arg, result);
  G *g = m->curg;
  P *p = m->p;
  uint64_t s = m->sc;
  sc_enter(m, s);
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p)) {
    m = enter_slow(m, s);
    return m ? call_general(m, site, fn, arg, result) : GS_EPERM;
  }
  if (unlikely((s & (SC_STEP - 1)) != SC_USER || !site_is_short(site) || g->hooked ||
               load_rlx(&m->attn) || SC_FENCE_NOW || GS_TORTURE_ON))
    return call_general(m, site, fn, arg, result);

  store_rlx(&g->site, site);
  store_rlx(&g->status, Gsyscall);
  store_rlx(&p->status, Psyscall);
  m->oldp = p;
  m->p = &gs_nop;
  const uint64_t in_call = s - SC_USER + 2 * SC_STEP + SC_CALL;
  store_rel(&m->sc, in_call);
  compiler_fence();
  uint32_t depth = m->ncgo;
  store_rlx(&m->incgo, 1);
  m->ncgo = depth + 1;
  bump(&m->ncgocall);
  int r = call_on_g0(m, fn, arg);
  g->call_errno = *m->errno_at;
  m->ncgo = depth;
  store_rlx(&m->incgo, 0);
  s = in_call;
  if (unlikely(load_rlx(&m->sc) != in_call)) s = moved_on(m);
  store_rlx(&m->sc, s - SC_CALL + SC_STEP);
  compiler_fence();
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p)) {
    m = exitsyscall_lost(m, g, p, false);
    *m->errno_at = g->call_errno;
    leave(m);
  } else {
    m->p = p;
    m->oldp = &gs_nop;
    store_rlx(&p->status, Prunning);
    store_rlx(&g->status, Grunning);
    bump(&p->syscalltick);
    bump(&m->nexit_fast);
    if (unlikely(load_rlx(&p->preempt))) {
      preempted(m);
      m = gs_getm();
      *m->errno_at = g->call_errno;
      sc_leave(m, SC_USER);
    } else {
      store_rel(&m->sc, s - SC_CALL + 2 * SC_STEP + SC_USER);
      compiler_fence();
    }
  }
  if (result) *result = r;
  return GS_OK;
}

int gs_cgocall(int (*fn)(void *), void *arg, int *result) {
  return gs_cgocall_site(NULL, fn, arg, result);
}
