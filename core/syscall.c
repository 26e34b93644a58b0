/* syscall.c: leaving the runtime for blocking code, and coming back.
 *
 *     INSIDE --entersyscall--> CALL --exitsyscall--> INSIDE        the M kept its P (fast)
 *                                |                     |
 *                                +--retaken by sysmon--+           it takes an idle P, or its G
 *                                                                  queues and the M rests (slow)
 *
 * entersyscall publishes the call in one store; from there on the P may vanish at any instant, and
 * nothing here touches it until exitsyscall has found that pw still names it.  m->p is &gs_nop
 * meanwhile, so that any gs_ function that is called from inside the call fails enter()'s
 * comparison and ends in enter_slow, which tells the three reasons for that apart.
 *
 * Learning.  Every call site has a score.  A site whose call sysmon found blocking is known long
 * (score > 0): its next calls hand the P off at entry when work is waiting (entersyscallblock) and
 * are entered FENCED, so that taking their P needs no barrier.  A handed-off call that was back
 * soon lowers the score.  A site that returned SHORT_RUN times in a row with its P is known short
 * and pokes nobody; any other, with work queued behind it, asks a sysmon that would not look soon
 * to look now.
 */
#include "runtime.h"

#define SCORE_LONG 64u
#define LONG_NS 50000 /* a handed-off call shorter than this was not worth the hand-off */

/* The sites of gs_cgocall and of the bare brackets. */
gs_site gs_sites[NSITES];

/* ---- entering ---- */

void entersyscall(M *m, G *g, gs_site *site) {
  P *p = m->p;
  uint32_t fenced = SC_FENCE_NOW;
  bool poke = false, unsure = false;
#if GS_TORTURE
  g->callseq++; /* here, so that it goes on whatever becomes of the call */
#endif
  store_rlx(&g->site, site);
  if (unlikely((load_rlx(&site->score) | (load_rlx(&site->flags) & GS_SITE_BLOCKING)) != 0)) {
    if (p_has_work(p)) {
      entersyscallblock(m, g);
      return;
    }
    fenced = SC_FENCED;
  } else if (unlikely(load_rlx(&site->shorts) < SHORT_RUN)) {
    if ((unsure = p_has_work(p))) poke = load_rlx(&gs_sched.sysmon_slow);
  }
#if GS_TORTURE
  if ((g->callseq & 3) == 0) {
    entersyscallblock(m, g);
    return;
  }
#endif
  g_to(g, Gsyscall);
  p_to(p, Psyscall);
  m->oldp = p;
  m->p = &gs_nop;
  uint64_t sc = sc_next(m->sc, SC_CALL | fenced);
  if (unlikely(unsure)) {
    store_rlx(&p->unsure_m, m);
    store_rlx(&p->unsure_sc, sc);
    store_rlx(&p->unsure_when, os_now());
  }
  store_rel(&m->sc, sc); /* all that we wrote to the P is before this */
  compiler_fence();
  torture_window(); /* the P may be taken from here on */
  if (unlikely(poke)) sysmon_poke(m, sc);
}

/* For calls that will block: the P goes on at once. */
void entersyscallblock(M *m, G *g) {
  g_to(g, Gsyscall);
  bump(&m->p->syscalltick);
  g->handed_at = os_now();
  P *p = releasep(m);
  m->oldp = &gs_nop;
  add_rlx(&gs_sched.nhandoff_entry, 1);
  store_rlx(&g->waitsince, g->handed_at);
  if (likely(p != NULL)) {
    (void)trace_call_blocks(m, g, EV_HANDOFF, p);
    handoffp(p);
  }
  store_rel(&m->sc, sc_next(m->sc, SC_CALL));
  compiler_fence();
}

/* A known-long call with work queued behind it.  Handing the P on means that the others wait until
 * another thread has woken up, and the CPU that this thread is about to leave may not even be the
 * one where that happens.  So it is the call that goes to another thread: this M switches to the
 * next G within the time of a futex wake, and the call, which will take long anyway, waits for the
 * thread.  Not for a G that must stay on its thread, nor for one whose binding keeps something with
 * the thread and has no hook that takes it along (elsewhere). */
M *call_elsewhere(M *m, G *g, gs_site *site) {
  if (g->lockedm || !p_has_work(m->p)) return m;
  if (g->hooked && !(g->released && g->d->ops.elsewhere)) return m;
#if GS_TORTURE
  (void)site;
  if ((g->callseq & 3) != 1) return m;
#else
  if ((load_rlx(&site->score) | (load_rlx(&site->flags) & GS_SITE_BLOCKING)) == 0) return m;
#endif
  return leave_for_call(m, g);
}

/* The call has come to this M, which has no P.  What the learning measures begins here. */
void entersyscall_pless(M *m, G *g, gs_site *site) {
#if GS_TORTURE
  g->callseq++;
#endif
  store_rlx(&g->site, site);
  g_to(g, Gsyscall);
  g->handed_at = os_now();
  store_rlx(&g->waitsince, g->handed_at);
  m->oldp = &gs_nop;
  add_rlx(&gs_sched.nhandoff, 1);
  add_rlx(&gs_sched.nhandoff_entry, 1);
  (void)trace_call_blocks(m, g, EV_HANDOFF, NULL);
  store_rel(&m->sc, sc_next(m->sc, SC_CALL));
  compiler_fence();
}

/* ---- coming back ---- */

static void learn_short(G *g, gs_site *site) {
  uint32_t score = load_rlx(&site->score);
  if (unlikely(score != 0)) {
    /* Known long, and yet it kept its P: nobody was waiting.  Neither long nor short is proved. */
    if (g->handed_at == 0) store_rlx(&site->score, (unsigned short)(score - 1));
    return;
  }
  uint32_t shorts = load_rlx(&site->shorts);
  if (unlikely(shorts < SHORT_RUN)) store_rlx(&site->shorts, (unsigned short)(shorts + 1));
}

/* After a hand-off at entry. */
static void learn_handed(G *g, gs_site *site, int64_t now) {
  int64_t took = now - g->handed_at;
  g->handed_at = 0;
  uint32_t score = load_rlx(&site->score);
  if (took >= LONG_NS)
    store_rlx(&site->score, SCORE_LONG);
  else
    store_rlx(&site->score, (unsigned short)(score > 8 ? score - 8 : 0));
}

static inline M *back_with_p(M *m, G *g) {
  g_to(g, Grunning);
  if (unlikely(g->released)) m = hook_switch_in(m, g);
  return m;
}

/* The P is gone.  An idle one will do; else the G queues, and its M rests until it has something to
 * run.  stay: the G must come back on this M (its frames hold this thread's addresses). */
M *reacquire(M *m, G *g, bool stay) {
  bool call = g->status == Gsyscall; /* not lost in undeclared code, or in a hook */
  m->p = m->oldp = &gs_nop;
  P *p = pidleget_try(g->d);
  if (p) {
    acquirep(m, p);
    if (call) bump(&m->nexit_idle);
    return back_with_p(m, g);
  }
  if (call) bump(&m->nexit_slow);
  hook_release(m, g); /* nobody waits for a P while holding the binding's lock */
  int64_t since = os_now();
  bool pinned = stay && !g->lockedm;
  if (pinned) {
    g->lockedm = m;
    m->lockedg = g;
  }
  m = requeue_self(m, g);
  histogram_add(HIST_WAIT_P, os_now() - since);
  if (pinned) {
    g->lockedm = NULL;
    m->lockedg = NULL;
  }
  return m;
}

static M *exit_fast(M *m, G *g, P *p, gs_site *site) {
  /* INSIDE with pw confirmed, nobody takes p any more: a retaker that holds LOCK gives it back. */
  gs_assert((load_rlx(&m->pw) & ~PW_LOCK) == (uintptr_t)p);
  torture_window(); /* a stopper may LOCK it now, and finds the M inside */
  m->oldp = &gs_nop;
  m->p = p;
  p_to(p, Prunning);
  bump(&p->syscalltick);
  bump(&m->nexit_fast);
  if (unlikely(m->trace_end)) trace_call_over(m, g, site, false);
  learn_short(g, site);
  return back_with_p(m, g);
}

M *exitsyscall(M *m, G *g, bool stay) {
  gs_site *site = (gs_site *)(uintptr_t)g->site;
  P *p = m->oldp;
  sc_enter(m, m->sc);
  if (unlikely(load_acq(&m->pw) != (uintptr_t)p)) return exitsyscall_lost(m, g, p, stay);
  return exit_fast(m, g, p, site);
}

/* The other side of the race: LOCKed for a moment, or taken. */
GS_NOINLINE M *exitsyscall_lost(M *m, G *g, P *p, bool stay) {
  gs_site *site = (gs_site *)(uintptr_t)g->site;
  if (wait_unlocked(m, p)) return exit_fast(m, g, p, site);
  if (unlikely(m->trace_end)) trace_call_over(m, g, site, true);
  int64_t now = os_now(), since = load_rlx(&g->waitsince);
  if (since) {
    histogram_add(HIST_CALL_LOST, now - since);
    profile_lost(site, now - since);
  }
  store_rlx(&g->waitsince, 0);
  if (g->handed_at) learn_handed(g, site, now);
  return reacquire(m, g, stay);
}

/* ---- enter()'s other half ---- */

/* Not in plain user code: in a call, between brackets, or FENCED. */
GS_NOINLINE M *enter_odd(M *m, uint64_t old) {
  sc_enter(m, old);
  if ((old & SC_MODE) != SC_USER || load_acq(&m->pw) != (uintptr_t)m->p) return enter_slow(m, old);
  return m;
}

/* pw is not what the M believes, or the M is not in user code.  old is sc as it was before enter()
 * changed it. */
GS_NOINLINE M *enter_slow(M *m, uint64_t old) {
  if ((old & SC_MODE) == SC_CALL || m->incgo) {
    /* Inside a foreign call, or between brackets: not allowed.  Put the mode back; a retaker that
     * looked in between sees another word and gives up, which is as good. */
    store_rel(&m->sc, sc_next(m->sc, old & (SC_MODE | SC_FENCED)));
    boundary_check(m, __builtin_frame_address(0));
    return NULL;
  }
  if (unlikely((old & SC_MODE) == SC_STOPPED)) boundary_returned(m->curg->site);
  if ((old & SC_MODE) == SC_INSIDE) throw_("the runtime was entered from inside");
  if (wait_unlocked(m, m->p)) return m;
  /* It was taken while the G was in user code (see retake). */
  return reacquire(m, m->curg, false);
}

/* enter() gave NULL to a function that may park: says why. */
int refused(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (g) boundary_check(m, __builtin_frame_address(0));
  if (!g) return gs_fail(GS_EPERM, "no green thread runs here: only one can park");
  if (g->bracket == BRACKET_STW && !m->incgo)
    return gs_fail(GS_ETHROWSPLIT,
                   "this green thread has stopped the world and cannot park before gs_start_world");
  if (g->bracket && !m->incgo)
    return gs_fail(
        GS_ETHROWSPLIT,
        "a function that may park was called between gs_entersyscall and gs_exitsyscall");
  return gs_fail(GS_EPERM, "a function that may park was called from inside a foreign call");
}

/* ---- the binding's hooks ---- */

/* Makes the G's language state current on this thread.  May block for the interpreter's lock, and
 * so runs outside; sysmon keeps off (inhook), because a wait for the lock is no reason to move the
 * P. */
M *hook_switch_in(M *m, G *g) {
  Domain *d = g->d;
  g->released = 0;
  if (!d->ops.switch_in) return m;
  store_rlx(&m->inhook, 1);
  sc_leave(m, SC_USER);
  d->ops.switch_in(d->ud, g->data);
  uint64_t s = m->sc;
  sc_enter(m, s);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  if (likely(load_acq(&m->pw) == (uintptr_t)m->p) || wait_unlocked(m, m->p)) return m;
  return reacquire(m, g, false);
}

/* The other way; m is inside, with or without a P. */
void hook_release(M *m, G *g) {
  Domain *d = g->d;
  if (g->released || !d->ops.release) return;
  g->released = 1;
  store_rlx(&m->inhook, 1);
  sc_leave(m, SC_USER);
  d->ops.release(d->ud, g->data);
  sc_enter(m, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  /* If the P went meanwhile, the next comparison of pw finds it. */
}

/* The G has come, without a P, to the thread that makes its call. */
M *hook_elsewhere(M *m, G *g) {
  const Domain *d = g->d;
  store_rlx(&m->inhook, 1);
  sc_leave(m, SC_USER);
  d->ops.elsewhere(d->ud, g->data);
  sc_enter(m, m->sc);
  store_rel(&m->inhook, 0); /* after the new sc: see retake.c */
  return m;
}

/* The hook runs outside; coming back inside may find the P gone, and getting another one may have
 * made the binding's lock the G's again. */
M *hook_released(M *m, G *g) {
  while (!g->released && g->d->ops.release) {
    hook_release(m, g);
    if (load_acq(&m->pw) != (uintptr_t)m->p && !wait_unlocked(m, m->p)) m = reacquire(m, g, false);
  }
  return m;
}

/* ---- bare brackets ---- */

static void bracket(bool block, const void *from, uintptr_t sp) {
  M *m = enter();
  if (!m) return;
  G *g = m->curg;
  g->bracket = BRACKET_BARE;
  g->syscallsp = sp;
  store_rlx(&g->site, site_of(from));
  hook_release(m, g);
  if (unlikely(load_acq(&m->pw) != (uintptr_t)m->p) && !wait_unlocked(m, m->p)) {
    m->p = &gs_nop;
    g->handed_at = os_now();
    store_rel(&m->sc, sc_next(m->sc, SC_CALL));
    return;
  }
  (void)trace_call_begin(m, g, (uint64_t)(uintptr_t)from, load_rlx(&g->site));
  if (block)
    entersyscallblock(m, g);
  else
    entersyscall(m, g, (gs_site *)(uintptr_t)g->site);
}

GS_NOINLINE void gs_entersyscall(void) {
  bracket(false, __builtin_return_address(0), (uintptr_t)__builtin_dwarf_cfa());
}
GS_NOINLINE void gs_entersyscallblock(void) {
  bracket(true, __builtin_return_address(0), (uintptr_t)__builtin_dwarf_cfa());
}

#undef gs_exitsyscall /* the macro is for callers */
GS_NOINLINE void gs_exitsyscall(void) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (!g || g->bracket != BRACKET_BARE || m->incgo) return;
  if ((uintptr_t)__builtin_dwarf_cfa() > g->syscallsp) /* called from further up the stack */
    throw_("gs_exitsyscall: the frame of gs_entersyscall is no longer valid");
  int e = *m->errno_at;
  g->bracket = BRACKET_NONE;
  if (is_traced(m)) m->trace_end = EV_RET;
  m = exitsyscall(m, g, true);
  *m->errno_at = e;
  leave(m);
}
