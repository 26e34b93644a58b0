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

#if GS_TSAN
#include <sanitizer/tsan_interface.h>
/* What was done before a call of a site happens before what follows any later call of it: the
 * library orders its callers by means that TSan does not see. */
#define CALL_BEGINS(site) __tsan_release((void *)(site))
#define CALL_ENDED(site) __tsan_acquire((void *)(site))
#else
#define CALL_BEGINS(site) ((void)0)
#define CALL_ENDED(site) ((void)0)
#endif

#ifdef GS_ARCH_CALL_HERE
#define CALL_ON_G0(m, fn, arg) gs_arch_call_here((fn), (arg), below((m)->g0sp))
#else
#define CALL_ON_G0(m, fn, arg) call_on_g0((m), (fn), (arg))
#endif

/* On a thread that runs no green thread there is nothing to hand on. */
static int call_in_place(int (*fn)(void *), void *arg, int *result) {
  int r = fn(arg);
  if (result) *result = r;
  return GS_OK;
}

/* The general way: hooks, traces, sites with hints or without a reputation. */
GS_NOINLINE static int call_general(M *m, gs_site *site, int (*fn)(void *), void *arg,
                                    int *result) {
  G *g = m->curg;
  if (unlikely(g->hooked)) m = hook_released(m, g);
  m = call_elsewhere(m, g, site);
  bool traced = trace_call_begin(m, g, (uint64_t)(uintptr_t)fn, site);
  CALL_BEGINS(site);
  if (m->p == &gs_nop)
    entersyscall_pless(m, g, site);
  else
    entersyscall(m, g, site);
  os_preempt_ext_enter(m);
  store_rlx(&m->incgo, 1);
  m->ncgo++;
  bump(&m->ncgocall);
  bump(&m->nplaincall);
  int r = CALL_ON_G0(m, fn, arg);
  int e = *m->errno_at;
  m->ncgo--;
  store_rlx(&m->incgo, 0);
  os_preempt_ext_exit(m);
  if (unlikely(traced)) trace_call_end(m, g, site);
  m = exitsyscall(m, g, false);
  CALL_ENDED(site);
  g->call_errno = e;
  *m->errno_at = e;
  leave(m);
  if (result) *result = r;
  return GS_OK;
}

/* ---- the fast path ---- */

/* From the word of user code to that of the call, and to that of user code again. */
#define TO_CALL (SC_STEP + SC_CALL - SC_USER)
#define TO_USER (SC_STEP + SC_USER - SC_CALL)
#define ONE_DEEP 0x10001u /* of incgo_ncgo: both are 1 */

GS_NOINLINE static int call_critical(M *m, int (*fn)(void *), void *arg, int *result) {
  P *p = m->p;
  G *g = m->curg;
  m->p = &gs_nop;
  os_preempt_ext_enter(m);
  store_rlx(&m->incgo, 1);
  count_one(&m->ncgocall);
  count_one(&m->nplaincall);
  int r = CALL_ON_G0(m, fn, arg);
  g->call_errno = *m->errno_at;
  store_rlx(&m->incgo, 0);
  os_preempt_ext_exit(m);
  m->p = p;
  if (result) *result = r;
  return GS_OK;
}

/* No M, a foreign call already, a NULL function, a critical site; or a usual call for which the
 * general way is good enough. */
GS_NOINLINE static int call_slow(gs_site *site, int (*fn)(void *), void *arg, int *result) {
  M *m = gs_getm();
  if (unlikely(!fn)) return GS_EINVAL;
  if (m && m->incgo) return as_callback(gs_cgocall_site, site, fn, arg, result);
  if (!m || !m->curg) return call_in_place(fn, arg, result);
  if (load_rlx(&site->flags) & GS_SITE_CRITICAL) return call_critical(m, fn, arg, result);
  m = enter();
  return m ? call_general(m, site, fn, arg, result) : refused();
}

/* CALL is published already, and the P is gone, or LOCKed for a moment.  old: sc before. */
GS_NOINLINE GS_COLD static int call_lost(M *m, uint64_t old, gs_site *site, int (*fn)(void *),
                                         void *arg, int *result) {
  sc_enter(m, m->sc);
  return call_general(enter_slow(m, old), site, fn, arg, result);
}

/* The function has returned and USER is published, but one of three things has happened: callbacks
 * have run meanwhile, through exitsyscall and entersyscall (m->p says so); the P is not the M's any
 * more, or LOCKed; sysmon wants the P for others. */
GS_NOINLINE GS_COLD static int end_slow(M *m, int *result, int r) {
  int e = *m->errno_at;
  G *g = m->curg;
  P *p = m->oldp;
  if (m->p == p && load_acq(&m->pw) == (uintptr_t)p) {
    m = enter();
  } else {
    bump(&m->nplaincall);
    g_to(g, Gsyscall);
    m = exitsyscall(m, g, false);
    g->call_errno = e;
  }
  leave(m);
  *gs_getm()->errno_at = e;
  if (result) *result = r;
  return GS_OK;
}

/* For a known-short site of a domain without hooks: the transitions USER -> CALL -> USER, one store
 * and one look at pw each.  There is no INSIDE between them, because nothing here touches the P:
 * either look may find it gone, and what a retaker decides by the new word is right for that word.
 * What others want to know of a call - the status of its G and its P, syscalltick, the count of
 * fast exits - is told by sc and ncgocall to whoever asks (g_status and its like in runtime.h).
 * m->p stays, unlike in entersyscall: enter() looks at the mode first.
 *
 * errno needs no care: the same thread goes on, and nothing here changes it. */
static inline __attribute__((always_inline)) int call_site(gs_site *site, int (*fn)(void *),
                                                           void *arg, int *result) {
  M *m = gs_getm();
  if (unlikely(!m || !fn)) return call_slow(site, fn, arg, result);
  uint64_t s = m->sc;
  if (unlikely(((s - SC_USER) & (SC_STEP - 1)) != 0 || m->incgo_ncgo != 0 || load_rlx(&m->attn) ||
               !site_is_short(site) || !GS_FAST_CALLS))
    return call_slow(site, fn, arg, result);
  G *g = m->curg;
  P *p = m->p;
  if (unlikely(g->hooked)) return call_slow(site, fn, arg, result);
  store_rlx(&g->site, site);
  store_rel(&m->sc, s + TO_CALL);
  compiler_fence();
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p)) return call_lost(m, s, site, fn, arg, result);
  m->oldp = p;
  os_preempt_ext_enter(m);
  store_rlx(&m->incgo_ncgo, ONE_DEEP);
  count_one(&m->ncgocall);
  int r = CALL_ON_G0(m, fn, arg);
  store_rlx(&m->incgo_ncgo, 0);
  os_preempt_ext_exit(m);
  store_rel(&m->sc, m->sc + TO_USER);
  compiler_fence();
  p = m->p;
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p || load_rlx(&p->preempt)))
    return end_slow(m, result, r);
  if (result) *result = r;
  return GS_OK;
}

int gs_cgocall_site(gs_site *site, int (*fn)(void *), void *arg, int *result) {
  if (!site) site = site_of((const void *)(uintptr_t)fn);
  return call_site(site, fn, arg, result);
}

int gs_cgocall(int (*fn)(void *), void *arg, int *result) {
  return call_site(site_of((const void *)(uintptr_t)fn), fn, arg, result);
}
