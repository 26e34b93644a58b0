/* callback.c: from C back into green threads.
 *
 * Inside a foreign call.  The foreign frames stand on g0, the M's own stack, and the G waits on its
 * stack for gs_arch_call to come back.  A callback runs on the G's stack again, below that point:
 *
 *     G's stack:  …, gs_cgocall, [gs_arch_call]              run, fn, gs_cgocall, [gs_arch_call]  …
 *     g0:         schedule_loop        foreign frames, [gs_arch_call]              foreign frames …
 *
 * It is an exitsyscall on the way in and an entersyscall on the way out.  The foreign frames pin
 * this thread, so the G is locked to its M from before the exitsyscall until after the entersyscall
 * (pins counts the callbacks; gs_lock_os_thread has a count of its own, and neither undoes the
 * other).
 *
 * What runs on g0 meanwhile.  The callback may park, or wait for a P; then the scheduler has to run
 * on g0 without touching the foreign frames.  So a callback begins a new stretch of g0 below them:
 * g0sp names a fresh frame there, which enters schedule_loop when it is first switched to.  A
 * locked M only sleeps there until its G can go on.  Foreign calls of the callback run below g0sp
 * as always, so nesting needs nothing more.  When the callback ends, its stretch is dropped,
 * scheduler's frames and all - they hold nothing while the G runs - and g0sp is what it was.
 *
 * The call that has been called back out of finds its M with another sequence in sc, another P
 * perhaps, fenced perhaps: it takes all of that from the M (call_moved_on in cgocall.c).
 *
 * Domains with hooks.  C may have taken the language's lock before it calls back, as whatever calls
 * Python does; a binding then runs on g0 like any other foreign code, without the P.  suspend and
 * resume stand around the callback, so that nobody waits for a P with the lock in hand; in between
 * release and switch_in are called as around every foreign call.
 *
 * On threads that the runtime never saw.  The first callback binds the thread to an extra M with a
 * G of its own, as if the thread's code were inside a foreign call of that G; so every callback,
 * the first one too, takes the same way.  Between callbacks the M is in a call like any other: the
 * P stays in pw, and a callback that comes soon is a short call's return; sysmon takes the P when
 * others want it or nobody comes.  gs_getm is NULL between them, so that to all other functions the
 * thread remains one that runs no green thread.  Extra Ms are not counted against max_threads:
 * their threads exist anyway.
 *
 * The thread gives its M back when it ends, in the destructor of a pthread key.  Destructors of
 * other keys may run after ours and call back once more; so may the destructors of the next round.
 * From then on nothing is kept: the thread binds an M for each callback and gives it back at once.
 *
 * What must never happen here: an unwind across the boundary.  A callback returns; it does not
 * longjmp to a frame above, throw to it, or end the green thread (see boundary.c).
 */
#include <stdlib.h>

#include "runtime.h"

/* ---- inside a foreign call ---- */

#define RED_ZONE 128 /* below its stack pointer a function may keep data, as the ABI says */

typedef struct {
  void (*fn)(void *);
  void *arg;
  M *m;
  void **top; /* of the stretch of the G's stack; holds g0's stack pointer (see gs_arch_call) */
  Back back;
} Callback;

/* The first frame of a stretch of g0. */
static void *g0_goes_on(void) {
  M *m = gs_getm();
  fiber_started_g0(m);
  schedule_loop(m);
  throw_("the scheduler below a foreign call came to its end");
}

void g0_begin(M *m) {
  m->g0new = 0;
  m->g0sp = gs_arch_frame(m->g0sp, g0_goes_on, m->controls);
}

/* In and out, the long way.  What is inlined here is exitsyscall and leave, enter and entersyscall,
 * for a domain without hooks, a P that stayed, a site that is known short; as in gs_cgocall_site
 * the words that were stored just now go on in registers.  The M is the same all the time: the G is
 * locked to it.
 */

static inline bool nothing_special(const M *m, const G *g, const gs_site *site) {
  return site_is_short(site) && !g->hooked && !attn_of(m) && !SC_FENCE_NOW && !GS_TORTURE_ON;
}

/* The word that sc has now, 0 if not known. */
static inline uint64_t come_in(M *m, G *g, const gs_site *site) {
  P *p = m->oldp;
  uint64_t s = m->sc;
  store_rlx(&m->incgo, 0);
  if (likely(nothing_special(m, g, site) && !(s & SC_FENCED))) {
    sc_enter(m, s);
    if (likely(load_acq(&m->pw) == (uintptr_t)p && !load_rlx(&p->preempt))) {
      m->p = p;
      m->oldp = &gs_nop;
      p_to(p, Prunning);
      g_to(g, Grunning);
      bump(&p->syscalltick);
      bump(&m->nexit_fast);
      s = sc_next(s + SC_STEP, SC_USER);
      store_rel(&m->sc, s);
      compiler_fence();
      return s;
    }
  }
  int e = *m->errno_at;
  if (is_traced(m)) m->trace_end = EV_BACK;
  g_to(g, Gsyscall); /* the fast path of a call leaves that to its readers */
  exitsyscall(m, g, true);
  *m->errno_at = e;
  leave(m);
  return 0;
}

static inline void go_out(M *m, G *g, gs_site *site, uint64_t s) {
  P *p = m->p;
  if (likely(s == load_rlx(&m->sc) && nothing_special(m, g, site))) {
    sc_enter(m, s);
    if (likely(load_acq(&m->pw) == (uintptr_t)p)) {
      g_to(g, Gsyscall);
      p_to(p, Psyscall);
      m->oldp = p;
      m->p = &gs_nop;
      store_rlx(&m->incgo, 1);
      store_rel(&m->sc, sc_next(s + SC_STEP, SC_CALL));
      compiler_fence();
      return;
    }
    store_rel(&m->sc, sc_next(s + SC_STEP, SC_USER));
  }
  int e = *m->errno_at; /* fn may have set it for its caller */
  if (enter() != m) throw_("a callback ended between gs_entersyscall and gs_exitsyscall");
  if (unlikely(g->hooked)) hook_released(m, g);
  if (is_traced(m)) trace_back_end(m, g);
  store_rlx(&m->incgo, 1);
  entersyscall(m, g, site);
  *m->errno_at = e;
}

/* On the G's stack. */
static int run(void *p) {
  Callback *c = p;
  M *m = c->m;
  G *g = m->curg;
  gs_site *site = (gs_site *)(uintptr_t)g->site;
  m->g0sp = below(*c->top);
  m->g0new = 1;
  uint64_t s = come_in(m, g, site);
  c->fn(c->arg);
  go_out(m, g, site, s);
  return 0;
}

static inline void call_back(M *m, void (*fn)(void *), void *arg) {
  G *g = m->curg;
  void *g0sp = m->g0sp;
  uint32_t g0new = m->g0new;
  /* The G's stack is used down to where the foreign call left it; an extra M's is empty. */
  void *used = m->ncgo ? *(void **)below(g0sp) : g_stack_top(g);
  Callback c = {
      fn, arg, m, below((char *)used - RED_ZONE), {g->back, NULL, g->fail_data, g->fail_code}};
  c.back.top = (const char *)c.top;
  g->back = &c.back;
  g->fail_code = 0;
  if (g->pins++ == 0) {
    g->lockedm = m;
    m->lockedg = g;
  }
  call_on_g(m, run, &c, c.top);
  g->back = c.back.outer;
  g->fail_code = c.back.code;
  g->fail_data = c.back.data;
  m->g0sp = g0sp;
  m->g0new = g0new;
  if (--g->pins == 0 && g->locks == 0) {
    g->lockedm = NULL;
    m->lockedg = NULL;
  }
}

/* ---- out of a call on the fast path, quickly ----
 *
 * Such a call has left m->p and the states of its G and its P as they are in user code (see
 * cgocall.c).  So a callback of its code goes from CALL to USER and back in one store each, as the
 * call itself does from USER to CALL, and touches nothing of the P.  On the way in it looks whether
 * the P is still there, and wanted by nobody else; if not, the call is made what it was, and the
 * callback goes the long way.  On the way out nobody need look: a P that was lost in the callback
 * is as good as one that is lost in the call, whose end finds out.  All of this is done on g0,
 * around the change of stacks.
 *
 * A callback that failed, or is traced by now, leaves as all others do, on the G's stack (go_out):
 * m->p is &gs_nop then, and its call ends the general way.
 *
 * Only where the G is in one foreign call and in no other callback: so pins, fail_code and g0new
 * are 0, and back is NULL, before and after.  g0 goes on below the stack pointer of the function
 * that this is part of; it keeps nothing below that, since it makes other calls as well. */
#if GS_FAST_CALLS && defined(GS_ARCH_CALL_HERE)
#define QUICK 1
#define TO_USER (SC_STEP + SC_USER - SC_CALL)
#define TO_CALL (SC_STEP + SC_CALL - SC_USER)
#define ONE_DEEP 0x10001u

typedef struct {
  void *g0sp;
  gs_site *site; /* the foreign call's */
  void **top;
  M *m;
  Back back;
} Quick;

static inline __attribute__((always_inline)) bool quick_in(M *m, Quick *q, char *sp) {
  uint64_t s = m->sc;
  P *p = m->p;
  G *g = m->curg;
  if (unlikely((s & (SC_STEP - 1)) != SC_CALL || m->incgo_ncgo != ONE_DEEP || p == &gs_nop ||
               attn_of(m)))
    return false;
  if (unlikely(g->hooked || g->pins || sp < m->g0lo || sp >= (char *)m->g0sp)) return false;
  q->m = m;
  q->g0sp = m->g0sp;
  q->site = (gs_site *)(uintptr_t)g->site;
  store_rlx(&m->incgo, 0);
  store_rel(&m->sc, s + TO_USER);
  compiler_fence();
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p || load_rlx(&p->preempt))) {
    store_rel(&m->sc, s + TO_USER + TO_CALL);
    store_rlx(&m->incgo, 1);
    return false;
  }
  q->top = below((char *)*(void **)below(q->g0sp) - RED_ZONE);
  q->back = (Back){.top = (const char *)q->top};
  g->back = &q->back;
  g->pins = 1;
  g->lockedm = m;
  m->lockedg = g;
  m->g0new = 1;
  return true;
}

static int quick_out_slowly(void *arg) {
  const Quick *q = arg;
  go_out(q->m, q->m->curg, q->site, 0);
  return 0;
}

static inline __attribute__((always_inline)) void quick_out(Quick *q) {
  M *m = q->m;
  G *g = m->curg;
  uint64_t s = m->sc;
  if (likely((s & (SC_STEP - 1)) == SC_USER && !q->back.code && !attn_of(m))) {
    store_rlx(&g->site, q->site);
    m->oldp = m->p; /* the callback may have come back with another one */
    store_rlx(&m->incgo, 1);
    store_rel(&m->sc, s + TO_CALL);
    compiler_fence();
  } else {
    call_on_g(m, quick_out_slowly, q, q->top);
    g->fail_code = q->back.code;
    g->fail_data = q->back.data;
  }
  g->back = NULL;
  m->g0sp = q->g0sp;
  m->g0new = 0;
  g->pins = 0;
  if (likely(g->locks == 0)) {
    g->lockedm = NULL;
    m->lockedg = NULL;
  }
}

/* Where g0 goes on: below what this function has there. */
#define QUICK_G0(m)                                  \
  do {                                               \
    char *rsp_;                                      \
    __asm__ volatile("movq %%rsp, %0" : "=r"(rsp_)); \
    (m)->g0sp = below(rsp_ - RED_ZONE);              \
  } while (0)
#endif

/* Everything that the innermost callback of g does is below this. */
const char *callback_top(const G *g) { return g->back ? g->back->top : (const char *)UINTPTR_MAX; }

/* Is this code of a foreign call that may call back, on the stack that it was given? */
static inline bool in_foreign_code(const M *m, const char *sp) {
  if (!m->incgo || (m->sc & SC_MODE) != SC_CALL) return false;
  if (load_rlx(&m->curg->site->flags) & GS_SITE_NOCALLBACK) return false;
  return sp >= m->g0lo && sp < (m->ncgo ? (char *)m->g0sp : m->g0hi);
}

/* The foreign code may have taken the language's lock by itself (PyGILState_Ensure).  It is let go
 * before the callback, which may have to wait for a P: whoever has the P may be waiting for the
 * lock.  Both hooks run as foreign code does, outside and without a P that they could count on. */
GS_NOINLINE static void call_back_hooked(M *m, void (*fn)(void *), void *arg) {
  G *g = m->curg;
  const Domain *d = g->d;
  int e = *m->errno_at;
  void *token = d->ops.suspend ? d->ops.suspend(d->ud, g->data) : NULL;
  torture_window(); /* the P goes to somebody who gets the lock */
  *m->errno_at = e;
  call_back(m, fn, arg);
  if (!token) return;
  e = *m->errno_at;
  d->ops.resume(d->ud, g->data, token);
  *m->errno_at = e;
}

static inline void call_back_any(M *m, void (*fn)(void *), void *arg) {
  if (unlikely(m->curg->hooked))
    call_back_hooked(m, fn, arg);
  else
    call_back(m, fn, arg);
}

typedef struct {
  Again fn;
  const uintptr_t *a;
  int code;
} Repeat;

static void repeat(void *p) {
  Repeat *r = p;
  r->code = r->fn(r->a[0], r->a[1], r->a[2], r->a[3], r->a[4], r->a[5]);
}

GS_NOINLINE int again_on_g(Again fn, const uintptr_t *args) {
  M *m = gs_getm();
  if (!m || !in_foreign_code(m, __builtin_frame_address(0))) return refused();
  Repeat r = {fn, args, 0};
  call_back_any(m, repeat, &r);
  return r.code;
}

/* ---- threads that the runtime never saw ---- */

#define EXTRA_STACK ((size_t)256 << 10)
/* What tls_extra says instead of an M. */
#define ENDING ((M *)1) /* the thread's destructors run */
#define NEVER ((M *)2)  /* a thread of the runtime */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void unbind(M *m);

static void thread_ends(void *arg) {
  M *m = arg;
  if (gs_getm() == m) { /* in the middle of a callback: CPython ends threads like that */
    m_vanished(m);
    return;
  }
  unbind(m);
  gs_set_extra(ENDING);
}

static void make_key(void) { key_error = pthread_key_create(&key, thread_ends); }

void callback_never(void) { gs_set_extra(NEVER); }

static void extra_give(M *m) {
  lock(&gs_sched.lock);
  m->freelink = gs_sched.mextra;
  gs_sched.mextra = m;
  unlock(&gs_sched.lock);
}

static M *extra_take(void) {
  Sched *s = &gs_sched;
  lock(&s->lock);
  M *m = s->mextra;
  if (m) s->mextra = m->freelink;
  int32_t id = m ? m->id : (int32_t)s->nmid++;
  unlock(&s->lock);
  if (!m && !(m = m_make(id))) return NULL;
  trace_m_init(m);
  if (m->extrag || (m->extrag = g_uncounted(&gs_native))) return m;
  extra_give(m);
  return NULL;
}

/* The thread's code as a foreign call that the extra M's G has made. */
static void stand_in_a_call(M *m, G *g) {
  g->goid = add_rlx(&gs_sched.goid, 1) + 1;
  g->m = g->lockedm = m;
  g->pins = 1; /* for good */
  g->locks = 0;
  m->lockedg = g;
  m->outside.name = "a foreign thread";
  store_rlx(&g->site, &m->outside);
  g_to(g, Gsyscall);
  store_rlx(&m->curg, g);
  store_rlx(&m->incgo, 1);
  m->ncgo = 0;
  m->p = m->oldp = &gs_nop;
  g->back = NULL; /* the thread may have ended in a callback */
  g->fail_code = 0;
  store_rel(&m->sc, sc_next(m->sc, SC_CALL));
}

/* needm.  NULL: *err says why. */
static M *bind(bool keep, int *err) {
  if ((*err = gs_boot())) return NULL;
  pthread_once(&key_once, make_key);
  M *m = NULL;
  G *g = NULL;
  if (!key_error && (m = extra_take())) {
    g = m->extrag;
    g->stack = stack_get(&gs_nop, &gs_native, stack_class(EXTRA_STACK));
  }
  if (!g || !g->stack || (keep && pthread_setspecific(key, m))) {
    if (g && g->stack) stack_put(NULL, g->stack);
    if (m) extra_give(m);
    *err = gs_fail(GS_ENOMEM, "gs_cgocallback: out of memory for another foreign thread");
    return NULL;
  }
  fiber_new(g);
  m_thread_init(m);
  stand_in_a_call(m, g);
  add_sc(&gs_sched.nextra, 1);
  gs_set_extra(m);
  return m;
}

/* dropm */
static void unbind(M *m) {
  G *g = m->extrag;
  P *p = m->oldp;
  sc_enter(m, m->sc);
  torture_window(); /* a retaker may be about to take the P */
  if (load_acq(&m->pw) == (uintptr_t)p || wait_unlocked(m, p)) {
    m->p = p;
    P *mine = releasep(m); /* NULL: a change of procs has it */
    if (mine) handoffp(mine);
  }
  m->p = m->oldp = &gs_nop;
  store_rlx(&m->curg, NULL);
  m->lockedg = NULL;
  store_rlx(&m->incgo, 0);
  stack_put(NULL, g->stack);
  g->stack = NULL;
  g->lockedm = NULL;
  fiber_free(g);
  g_to(g, Gdead);
  stack_sigstack_drop(m);
  gs_set_extra(NULL);
  add_sc(&gs_sched.nextra, -1);
  sysmon_wake(); /* it kept a deadlock from being declared */
  extra_give(m);
}

/* C code may have gone to a stack of its own making since it was here last. */
static void find_stack(M *m, char *sp) {
  if (sp >= m->g0lo && sp < m->g0hi) return;
  os_stack_bounds(&m->g0lo, &m->g0hi);
  if (sp >= m->g0lo && sp < m->g0hi) return;
  m->g0lo = sp - 32768; /* a guess, as Go makes */
  m->g0hi = sp + 1024;
}

static int from_outside(void (*fn)(void *), void *arg) {
  M *m = gs_get_extra();
  if (m == NEVER) return refused();
  bool ending = m == ENDING;
  if (!m || ending) {
    int err, e = *os_errno_at();
    if (!(m = bind(!ending, &err))) return err;
    *m->errno_at = e;
  } else {
    gs_setm(m);
  }
  find_stack(m, __builtin_frame_address(0));
  call_back(m, fn, arg);
  gs_setm(NULL);
  if (unlikely(ending)) {
    int *errno_here = m->errno_at, e = *errno_here;
    unbind(m); /* from here on m may be another thread's */
    gs_set_extra(ENDING);
    *errno_here = e;
  }
  return GS_OK;
}

/* The M that the calling thread is bound to, between callbacks too; NULL: none. */
M *callback_bound(void) {
  M *m = gs_get_extra();
  return m == ENDING || m == NEVER ? NULL : m;
}

/* ---- the door ---- */

GS_NOINLINE static int door(void (*fn)(void *), void *arg, char *sp) {
  M *m = gs_getm();
  if (!m) return from_outside(fn, arg);
  if (likely(in_foreign_code(m, sp))) {
    call_back_any(m, fn, arg);
    return GS_OK;
  }
  G *g = m->curg;
  if (m->incgo || m->inhook || !g || (m->sc & SC_MODE) != SC_USER || sp < g->stack->lo ||
      sp >= g->stack->hi)
    return refused();
  fn(arg); /* a green thread already */
  return GS_OK;
}

GS_NOINLINE int gs_cgocallback(void (*fn)(void *), void *arg) {
  char *sp = __builtin_frame_address(0);
  if (unlikely(!fn)) return GS_EINVAL;
#if QUICK
  M *m = gs_getm();
  Quick q;
  if (unlikely(!m)) return from_outside(fn, arg);
  if (likely(quick_in(m, &q, sp))) {
    QUICK_G0(m);
    gs_arch_call_here((int (*)(void *))(uintptr_t)fn, arg, q.top); /* the result is not used */
    quick_out(&q);
    return GS_OK;
  }
#endif
  return door(fn, arg, sp);
}

typedef struct {
  int (*fn)(void *, void *, void *);
  void *a, *b, *c;
  int result;
} BackWords;

static void run_words(void *arg) {
  BackWords *w = arg;
  w->result = w->fn(w->a, w->b, w->c);
}

GS_NOINLINE static int words_slow(int (*fn)(void *, void *, void *), void *a, void *b, void *c,
                                  int *result, char *sp) {
  BackWords w = {fn, a, b, c, 0};
  int e = fn ? door(run_words, &w, sp) : GS_EINVAL;
  *result = w.result;
  return e;
}

GS_NOINLINE int gs_cgocallback_words(int (*fn)(void *, void *, void *), void *a, void *b, void *c,
                                     int *result) {
  char *sp = __builtin_frame_address(0);
#if QUICK
  M *m = gs_getm();
  Quick q;
  if (likely(m != NULL && fn != NULL) && likely(quick_in(m, &q, sp))) {
    QUICK_G0(m);
    *result = gs_arch_call3_here((uintptr_t)fn, a, b, c, q.top);
    quick_out(&q);
    return GS_OK;
  }
#endif
  return words_slow(fn, a, b, c, result, sp);
}
