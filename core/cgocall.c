/* cgocall.c: the call bridge.
 *
 * A foreign call is entersyscall, a change to the M's own full-size stack, the function, the way
 * back, exitsyscall.  ncgocall counts calls, ncgo those under way, incgo says that foreign code
 * runs right now; both are cleared before exitsyscall, after which the G may be on another M.
 *
 * errno is taken on this thread, right after the function has returned, before anything here could
 * change it, and is given back on whatever thread the G goes on.
 *
 * A failed callback makes its call return GS_ECALLBACK.  On the fast path nobody asks: such a call
 * does not end there, since m->p says so (end_slow).
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
  if (unlikely(m->ncgo != 0)) boundary_nested(m, __builtin_frame_address(0));
  if (unlikely(g->hooked)) m = hook_released(m, g);
  m = call_elsewhere(m, g, site);
  bool begun = trace_call_begin(m, g, (uint64_t)(uintptr_t)fn, site);
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
  int e = *m->errno_at, code = CALL_RESULT(g);
  if (unlikely((m->sc & SC_MODE) != SC_CALL)) boundary_returned(site);
  m->ncgo--;
  store_rlx(&m->incgo, 0);
  os_preempt_ext_exit(m);
  if (unlikely(begun)) m->trace_end = EV_RET;
  m = exitsyscall(m, g, false);
  CALL_ENDED(site);
  g->call_errno = e;
  *m->errno_at = e;
  leave(m);
  if (result) *result = r;
  return code;
}

/* ---- the fast path ---- */

/* From the word of user code to that of the call, and to that of user code again. */
#define TO_CALL (SC_STEP + SC_CALL - SC_USER)
#define TO_USER (SC_STEP + SC_USER - SC_CALL)
#define ONE_DEEP 0x10001u /* of incgo_ncgo: both are 1 */

#if GS_CHECKED
/* The watchdog: a function that is marked critical and is not short holds everybody up, since its P
 * stays with it.  Time alone would not tell, because the kernel may have let other threads run
 * meanwhile: it has computed for too long, or it has waited for something. */
#define SHORT_NS 1000000

typedef struct {
  int64_t began, cpu;
  uint64_t waits;
} Watch;

static Watch watch_begin(void) { return (Watch){gs_now(), os_thread_cputime(), os_thread_waits()}; }

static void watch_end(const Watch *w, gs_site *site) {
  int64_t took = gs_now() - w->began;
  if (likely(took < SHORT_NS)) return;
  bool waited = os_thread_waits() != w->waits;
  if ((!waited && os_thread_cputime() - w->cpu < SHORT_NS) || add_rlx(&site->retakes, 1) != 0)
    return;
  gs_log(1,
         "a critical call of %s %s for %lld us: only what is short and never waits may be critical",
         site->name ? site->name : "a function", waited ? "waited" : "computed",
         (long long)(took / 1000));
}
#endif

GS_NOINLINE static int call_critical(M *m, gs_site *site, int (*fn)(void *), void *arg,
                                     int *result) {
  P *p = m->p;
  G *g = m->curg;
  m->p = &gs_nop;
  os_preempt_ext_enter(m);
  store_rlx(&m->incgo, 1);
  count_one(&m->ncgocall);
  count_one(&m->nplaincall);
#if GS_CHECKED
  Watch w = watch_begin();
#endif
  int r = CALL_ON_G0(m, fn, arg);
  g->call_errno = *m->errno_at;
#if GS_CHECKED
  watch_end(&w, site);
  *m->errno_at = g->call_errno;
#else
  (void)site;
#endif
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
  if (unlikely(load_acq(&site->flags) & GS_SITE_CLOSED))
    return gs_fail(GS_ECLOSED, "the library of %.100s was closed", site->name ? site->name : "fn");
  if (m && m->incgo) return as_callback(gs_cgocall_site, site, fn, arg, result);
  if (!m || !m->curg) return call_in_place(fn, arg, result);
  if (load_rlx(&site->flags) & GS_SITE_CRITICAL) return call_critical(m, site, fn, arg, result);
  m = enter();
  return m ? call_general(m, site, fn, arg, result) : refused();
}

/* CALL is published already, and the P is gone, or LOCKed for a moment.  old: sc before. */
GS_NOINLINE GS_COLD static int call_lost(M *m, uint64_t old, gs_site *site, int (*fn)(void *),
                                         void *arg, int *result) {
  sc_enter(m, m->sc);
  return call_general(enter_slow(m, old), site, fn, arg, result);
}

/* ---- calls with words ---- */

typedef struct {
  void (*fn)(void *, void *, void *);
  void *a, *b, *c;
  int *saved_errno;
} Words;

/* On the thread's own stack. */
static int run_words(void *arg) {
  const Words *w = arg;
  errno = 0;
  w->fn(w->a, w->b, w->c);
  *w->saved_errno = errno;
  return 0;
}

GS_NOINLINE static int prepared_slow(const gs_prepared *call, void *b, void *a, int *saved_errno) {
  Words w = {call->fn, a, b, (void *)(uintptr_t)call, saved_errno};
  return gs_cgocall_site(call->site, run_words, &w, NULL);
}

/* ---- the end of the fast path ---- */

/* The function has returned and USER is published, but one of three things has happened: callbacks
 * have run meanwhile, through exitsyscall and entersyscall (m->p says so); the P is not the M's any
 * more, or LOCKed; sysmon wants the P for others. */
GS_NOINLINE GS_COLD static int end_slow(M *m, int *result, int r) {
  int e = *m->errno_at, code = GS_OK;
  G *g = m->curg;
  P *p = m->oldp;
  if (unlikely((m->sc & SC_MODE) != SC_USER)) boundary_returned(g->site);
  if (m->p == p && load_acq(&m->pw) == (uintptr_t)p && !g->released) {
    m = enter();
  } else {
    bump(&m->nplaincall);
    code = CALL_RESULT(g);
    g_to(g, Gsyscall);
    m = exitsyscall(m, g, false);
    g->call_errno = e;
  }
  leave(m);
  *gs_getm()->errno_at = e;
  if (result) *result = r;
  return code;
}

/* For a known-short site of a domain without hooks: the transitions USER -> CALL -> USER, one store
 * and one look at pw each.  There is no INSIDE between them, because nothing here touches the P:
 * either look may find it gone, and what a retaker decides by the new word is right for that word.
 * What others want to know of a call - the status of its G and its P, syscalltick, the count of
 * fast exits - is told by sc and ncgocall to whoever asks (g_status and its like in runtime.h).
 * m->p stays, unlike in entersyscall: enter() looks at the mode first.
 *
 * errno needs no care: the same thread goes on, and nothing here changes it. */

static inline __attribute__((always_inline)) bool has_p(const M *m, const P *p) {
#ifdef GS_ARCH_WORD_IS
  return likely(gs_arch_word_is(&m->pw, (uintptr_t)p));
#else
  return likely(load_acq(&m->pw) == (uintptr_t)p);
#endif
}

/* May the call go this way?  *s is sc as it is. */
static inline __attribute__((always_inline)) bool fast_call(const M *m, const gs_site *site,
                                                            uint64_t *s) {
  *s = m->sc;
  return likely(((*s - SC_USER) & (SC_STEP - 1)) == 0 && m->incgo_ncgo == 0 && !attn_of(m) &&
                site_is_short(site) && GS_FAST_CALLS);
}

/* false: CALL is published, but the P is gone or LOCKed (call_lost). */
static inline __attribute__((always_inline)) bool fast_begin(M *m, gs_site *site, uint64_t s) {
  P *p = m->p;
  store_rlx(&m->curg->site, site);
  store_rel(&m->sc, s + TO_CALL);
  compiler_fence();
  if (!has_p(m, p)) return false;
  m->oldp = p;
  os_preempt_ext_enter(m);
  store_rlx(&m->incgo_ncgo, ONE_DEEP);
  count_one(&m->ncgocall);
  return true;
}

/* false: end_slow is needed. */
static inline __attribute__((always_inline)) bool fast_end(M *m) {
  store_rlx(&m->incgo_ncgo, 0);
  os_preempt_ext_exit(m);
  store_rel(&m->sc, m->sc + TO_USER);
  compiler_fence();
  const P *p = m->p;
  return has_p(m, p) && likely(!load_rlx(&p->preempt));
}

static inline __attribute__((always_inline)) int call_site(gs_site *site, int (*fn)(void *),
                                                           void *arg, int *result) {
  M *m = gs_getm();
  uint64_t s;
  if (unlikely(!m || !fn) || !fast_call(m, site, &s) || unlikely(m->curg->hooked))
    return call_slow(site, fn, arg, result);
  if (!fast_begin(m, site, s)) return call_lost(m, s, site, fn, arg, result);
  int r = CALL_ON_G0(m, fn, arg);
  if (!fast_end(m)) return end_slow(m, result, r);
  if (result) *result = r;
  return GS_OK;
}

#ifdef GS_ARCH_CALL_HERE
GS_NOINLINE GS_COLD static int prepared_lost(const gs_prepared *call, void *b, void *a,
                                             int *saved_errno) {
  M *m = gs_getm();
  Words w = {call->fn, a, b, (void *)(uintptr_t)call, saved_errno};
  return call_lost(m, m->sc - TO_CALL, call->site, run_words, &w, NULL);
}

/* The same where the language's lock has to be let go before the call and taken after it.  Both
 * hooks run in user code, with the P, which may be lost there as in any user code; sysmon keeps off
 * meanwhile (inhook, see hook_switch_in). */
GS_NOINLINE static int prepared_hooked(const gs_prepared *call, void *b, void *a,
                                       int *saved_errno) {
  M *m = gs_getm();
  G *g = m->curg;
  const Domain *d = g->d;
  if (!d->ops.release || !d->ops.switch_in) return prepared_slow(call, b, a, saved_errno);
  store_rlx(&m->inhook, 1);
  d->ops.release(d->ud, g->data);
  g->released = 1;
  bool begun = fast_begin(m, call->site, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  if (unlikely(!begun)) return prepared_lost(call, b, a, saved_errno);
  *m->errno_at = 0;
  gs_arch_call3_here((uintptr_t)call->fn, a, b, (void *)(uintptr_t)call, below(m->g0sp));
  int e = *saved_errno = *m->errno_at;
  store_rlx(&m->inhook, 1);
  bool ended = fast_end(m);
  if (unlikely(!ended)) {
    store_rel(&m->inhook, 0);
    return end_slow(m, NULL, 0);
  }
  g->released = 0;
  d->ops.switch_in(d->ud, g->data);
  store_rel(&m->sc, m->sc + SC_STEP); /* sysmon's patience begins anew */
  store_rel(&m->inhook, 0);
  *m->errno_at = e;
  return GS_OK;
}

__attribute__((aligned(64))) int gs_cgocall_prepared(const gs_prepared *call, void *b, void *a,
                                                     int *saved_errno) {
  M *m = gs_getm();
  uint64_t s;
  if (unlikely(!m) || !fast_call(m, call->site, &s)) return prepared_slow(call, b, a, saved_errno);
  if (unlikely(m->curg->hooked)) return prepared_hooked(call, b, a, saved_errno);
  if (!fast_begin(m, call->site, s)) return prepared_lost(call, b, a, saved_errno);
  *m->errno_at = 0;
  gs_arch_call3_here((uintptr_t)call->fn, a, b, (void *)(uintptr_t)call, below(m->g0sp));
  *saved_errno = *m->errno_at;
  return fast_end(m) ? GS_OK : end_slow(m, NULL, 0);
}
#else
int gs_cgocall_prepared(const gs_prepared *call, void *b, void *a, int *saved_errno) {
  return prepared_slow(call, b, a, saved_errno);
}
#endif

typedef struct {
  gs_prepared call;
  int (*fn)(void *, void *, void *);
  void *c;
} Three;

static void call_three(void *a, void *b, void *call) {
  const Three *t = call;
  t->fn(a, b, t->c);
}

int gs_cgocall_words(gs_site *site, int (*fn)(void *, void *, void *), void *a, void *b, void *c,
                     int *saved_errno) {
  Three t = {{site, call_three}, fn, c};
  return fn ? gs_cgocall_prepared(&t.call, b, a, saved_errno) : GS_EINVAL;
}

int gs_cgocall_site(gs_site *site, int (*fn)(void *), void *arg, int *result) {
  if (!site) site = site_of((const void *)(uintptr_t)fn);
  return call_site(site, fn, arg, result);
}

int gs_cgocall(int (*fn)(void *), void *arg, int *result) {
  return call_site(site_of((const void *)(uintptr_t)fn), fn, arg, result);
}
