/* switch.c: from stack to stack, with everything that belongs to a G and not to its thread.
 *
 * The assembly saves registers and FP control words.  Here: errno (a G that parks finds its own
 * again), the C++ runtime's two per-thread exception words (a G may park in a catch block), and
 * what ASan and TSan must be told.
 *
 * The rule of thread-locals: the current M is read through gs_getm() alone, which the compiler
 * cannot see through, and nothing that was derived from it is used after a switch.  The addresses
 * of errno and of the C++ words are asked for once per thread and kept in the M.
 *
 * Whoever comes back from one of the switches below may be on another M: callers go on with
 * resumed(), which asks for it again.
 */
#include <errno.h>
#include <string.h>

#include "runtime.h"
#include "switch.h"

/* Named in arch/. */
extern __thread M *gs_tls_m __attribute__((tls_model("initial-exec"), visibility("hidden")));
__thread M *gs_tls_m;

GS_NOINLINE M *gs_getm_call(void) {
  M *m = gs_tls_m;
  __asm__ volatile("" : "+r"(m)::"memory");
  return m;
}

void gs_setm(M *m) { gs_tls_m = m; }

static __thread M *tls_extra __attribute__((tls_model("initial-exec")));

GS_NOINLINE M *gs_get_extra(void) {
  M *m = tls_extra;
  __asm__ volatile("" : "+r"(m)::"memory");
  return m;
}

void gs_set_extra(M *m) { tls_extra = m; }

extern void *__cxa_get_globals(void) __attribute__((weak));

void m_fiber_init(M *m) {
  m->errno_at = &errno;
  m->cxa_at = __cxa_get_globals ? __cxa_get_globals() : NULL;
#if GS_TSAN
  m->tsan = __tsan_get_current_fiber();
#endif
}

/* ---- what the sanitizers want to know ---- */

void fiber_new(G *g) {
  (void)g;
#if GS_TSAN
  g->tsan = __tsan_create_fiber(0);
#endif
}

void fiber_free(G *g) {
  (void)g;
#if GS_TSAN
  if (g->tsan) __tsan_destroy_fiber(g->tsan);
  g->tsan = NULL;
#endif
}

void fiber_started(M *m) {
  arrived(NULL);
  *m->errno_at = 0;
  if (m->cxa_at) memset(m->cxa_at, 0, sizeof m->curg->cxa);
}

void fiber_started_g0(M *m) {
  (void)m;
  arrived(NULL);
}

/* ---- the switches ---- */

void switch_g_to_g0(M *m, G *from) {
  save_thread(m, from);
  store_rlx(&m->curg, NULL);
  if (unlikely(m->g0new)) g0_begin(m);
  leaving_for_g0(FAKE_LEFT(m, from), m);
  gs_arch_switch(&from->sp, m->g0sp);
  arrived(FAKE_VALUE(from));
  restore_thread(gs_getm(), from);
}

void *last_switch_to_g0(M *m) {
  store_rlx(&m->curg, NULL);
  if (unlikely(m->g0new)) g0_begin(m);
  return m->g0sp;
}

void switch_g0_to_g(M *m, G *to) {
  store_rlx(&m->curg, to);
  leaving_for_g(FAKE(m), to);
  gs_arch_switch(&m->g0sp, to->sp);
  arrived(FAKE_VALUE(m));
}

/* Page-aligned tops would put the busiest lines of all stacks into the same few cache sets: they
 * are staggered over half a page, so that a G that parks soon has touched one page. */
void *g_stack_top(const G *g) {
  uintptr_t top = (uintptr_t)g->stack->hi - (g->goid % 31) * GS_LINE;
  return (void *)(top & ~(uintptr_t)15);
}

void g_first_frame(G *g, void *(*entry)(void)) {
  g->sp = gs_arch_frame(g_stack_top(g), entry, g->controls);
}

/* ---- foreign code on the thread's own stack, callbacks on the G's ----
 *
 * While a callback runs, g0 goes on below the foreign frames: what the scheduler does there when
 * the G parks, and foreign calls that the callback makes.  That stretch ends with the callback, in
 * the middle of the scheduler's frames if it has parked.  So TSan gets a fibre of its own for it,
 * and ASan is told to forget the red zones of those frames.
 */

#if GS_ASAN || GS_TSAN
typedef struct {
  int (*fn)(void *);
  void *arg;
  M *m;
  G *g;
  void *fake;
} Bounce;

/* Not instrumented: its entry would be noted on one fibre and its exit on the other. */
__attribute__((no_sanitize("thread"))) static int bounce(void *p) {
  Bounce *b = p;
  arrived(NULL);
  int r = b->fn(b->arg);
  leaving_for_g(&b->fake, b->g);
  return r;
}

__attribute__((no_sanitize("thread"))) int call_on_g0(M *m, int (*fn)(void *), void *arg) {
  G *g = m->curg;
  Bounce b = {fn, arg, m, g, NULL};
  leaving_for_g0(FAKE(g), m);
  int r = gs_arch_call(bounce, &b, below(m->g0sp));
  arrived(FAKE_VALUE(g));
  return r;
}

typedef struct {
  Bounce b;
  void *fake, *tsan;
  char *end; /* of the stretch of g0 that the callback begins */
} BounceUp;

static void stretch_begins(BounceUp *u, M *m) {
  (void)u, (void)m;
#if GS_TSAN
  u->tsan = m->tsan;
  m->tsan = __tsan_create_fiber(0);
#endif
}

static void stretch_ends(BounceUp *u, M *m) {
  (void)u, (void)m;
#if GS_TSAN
  __tsan_destroy_fiber(m->tsan);
  m->tsan = u->tsan;
#endif
#if GS_ASAN
  m->asan_fake = u->fake;
  if ((char *)m->g0sp < u->end)
    __asan_unpoison_memory_region(m->g0sp, (size_t)(u->end - (char *)m->g0sp));
#endif
}

__attribute__((no_sanitize("thread"))) static int bounce_up(void *p) {
  BounceUp *u = p;
  arrived(FAKE_VALUE(u->b.g));
  int r = u->b.fn(u->b.arg);
  stretch_ends(u, u->b.m);
  leaving_for_g0(FAKE(u->b.g), u->b.m);
  return r;
}

__attribute__((no_sanitize("thread"))) int call_on_g(M *m, int (*fn)(void *), void *arg, void *sp) {
  G *g = m->curg;
  BounceUp u = {{fn, arg, m, g, NULL}, FAKE_VALUE(m), NULL, __builtin_frame_address(0)};
  stretch_begins(&u, m);
  leaving_for_g(&u.b.fake, g);
  int r = gs_arch_call(bounce_up, &u, sp);
  arrived(u.b.fake);
  return r;
}
#else
int call_on_g0(M *m, int (*fn)(void *), void *arg) { return gs_arch_call(fn, arg, below(m->g0sp)); }

int call_on_g(M *m, int (*fn)(void *), void *arg, void *sp) {
  (void)m;
  return gs_arch_call(fn, arg, sp);
}
#endif
