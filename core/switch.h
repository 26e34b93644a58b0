/* switch.h: the switch from one green thread to the next, in line.  See switch.c. */
#ifndef GS_SWITCH_H
#define GS_SWITCH_H

#include <string.h>

#include "runtime.h"

#if GS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if GS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static inline void save_thread(M *m, G *g) {
  g->saved_errno = *m->errno_at;
  if (unlikely(m->cxa_at != NULL)) memcpy(g->cxa, m->cxa_at, sizeof g->cxa);
}

static inline void restore_thread(M *m, G *g) {
  *m->errno_at = g->saved_errno;
  if (unlikely(m->cxa_at != NULL)) memcpy(m->cxa_at, g->cxa, sizeof g->cxa);
}

static inline void leaving_for_g(void **fake, G *to) {
  (void)fake, (void)to;
#if GS_ASAN
  __sanitizer_start_switch_fiber(fake, to->stack->lo, (size_t)(to->stack->hi - to->stack->lo));
#endif
#if GS_TSAN
  __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

static inline void leaving_for_g0(void **fake, M *m) {
  (void)fake, (void)m;
#if GS_ASAN
  __sanitizer_start_switch_fiber(fake, m->g0lo, (size_t)(m->g0hi - m->g0lo));
#endif
#if GS_TSAN
  __tsan_switch_to_fiber(m->tsan, 0);
#endif
}

static inline void arrived(void *fake) {
  (void)fake;
#if GS_ASAN
  __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

/* A dead G's frames are not come back to. */
#if GS_ASAN
#define FAKE_LEFT(m, g) ((m)->prev == PREV_EXIT ? NULL : FAKE(g))
#define FAKE(x) (&(x)->asan_fake)
#define FAKE_VALUE(x) ((x)->asan_fake)
#else
#define FAKE_LEFT(m, g) ((void)(m), FAKE(g))
#define FAKE(x) ((void)(x), (void **)NULL)
#define FAKE_VALUE(x) ((void)(x), (void *)NULL)
#endif

/* fresh: to has not run yet. */
static inline void switch_g_to_g(M *m, G *from, G *to, bool fresh) {
  save_thread(m, from);
  store_rlx(&m->curg, to);
  leaving_for_g(FAKE_LEFT(m, from), to);
  if (fresh)
    gs_arch_begin(&from->sp, to->sp);
  else
    gs_arch_switch(&from->sp, to->sp);
  arrived(FAKE_VALUE(from));
  restore_thread(gs_getm(), from);
}

/* The G that runs is dead, and its stack is ours until finish_prev on the other side: the sp that
 * is to be loaded as the last thing on it, as gs_arch_start wants it, or on its own as
 * gs_arch_switch does. */
static inline void *last_switch_to_g(M *m, G *to, bool fresh) {
  store_rlx(&m->curg, to);
  return (char *)to->sp + (fresh ? GS_ARCH_FRESH : 0);
}

#endif
