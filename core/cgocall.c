/* cgocall.c: the call bridge.
 *
 * A foreign call is entersyscall, a change to the M's own full-size stack, the function, the way
 * back, exitsyscall.  ncgocall counts calls, ncgo those under way, incgo says that foreign code runs
 * right now; both are cleared before exitsyscall, after which the G may be on another M.
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
  m->incgo = 1;
  m->ncgocall++;
  int r = call_on_g0(m, fn, arg);
  g->call_errno = *m->errno_at;
  m->incgo = 0;
  m->p = p;
  return r;
}

int gs_cgocall_site(gs_site *site, int (*fn)(void *), void *arg, int *result) {
  if (unlikely(!fn)) return GS_EINVAL;
  M *m = gs_getm();
  if (unlikely(!m || !m->curg)) {
    if (m && m->incgo) return GS_EPERM;
    return call_in_place(fn, arg, result);
  }
  if (unlikely(m->incgo)) return GS_EPERM;
  if (!site) site = site_of((const void *)(uintptr_t)fn);
  if (unlikely(load_rlx(&site->flags) & GS_SITE_CRITICAL)) {
    int r = call_critical(m, fn, arg);
    if (result) *result = r;
    return GS_OK;
  }
  m = enter();
  if (unlikely(!m)) return GS_EPERM;
  G *g = m->curg;
  while (unlikely(!g->released && g->d->ops.release)) {
    /* The hook runs outside; coming back inside may find the P gone, and getting another one may
     * have made the binding's lock ours again. */
    hook_release(m, g);
    if (load_acq(&m->pw) != (uintptr_t)m->p && !wait_unlocked(m, m->p)) m = reacquire(m, g, false);
  }
  if (unlikely(load_rlx(&m->attn) & ATTN_TRACE))
    trace_event(m, EV_CALL, (uint64_t)(uintptr_t)fn, site);
  entersyscall(m, g, site);
  m->incgo = 1;
  m->ncgo++;
  m->ncgocall++;
  int r = call_on_g0(m, fn, arg);
  int e = *m->errno_at;
  m->ncgo--;
  m->incgo = 0;
  if (unlikely(load_rlx(&m->attn) & ATTN_TRACE)) trace_event(m, EV_RET, m->pw != (uintptr_t)m->oldp, site);
  m = exitsyscall(m, g, false);
  g->call_errno = e;
  *m->errno_at = e;
  leave(m);
  if (result) *result = r;
  return GS_OK;
}

int gs_cgocall(int (*fn)(void *), void *arg, int *result) {
  return gs_cgocall_site(NULL, fn, arg, result);
}
