/* retake.c: taking a P from an M that is outside the runtime, without its help.
 *
 * The proof that both never go on with the same P.  Let S1 be the M's store of sc when it enters
 * the runtime, L1 its load of pw after that, in program order.  Let S2 be the retaker's LOCK on pw,
 * L2 its second look at sc, with the heavy barrier between them.  membarrier promises, for every
 * thread, a point b in its program order: what the thread did before b is visible to the retaker
 * after the call, and what the retaker did before the call is visible to the thread after b.
 * Suppose L2 reads the captured word, and yet the M takes the fast way (L1 does not see S2).  If b
 * is after S1, L2 sees S1 or something later: not the captured word.  If b is before S1, it is
 * before L1, and L1 sees S2.  Contradiction; so one of the two sides always notices.
 *
 * FENCED: the M announced that its S1 is an xchg with a full fence behind it (x86's xchg is one).
 * S1, the fence, S2, L2 are seq_cst then, and the same follows from their single total order,
 * without a barrier.  FENCED has to be in the word
 * that is read after the LOCK.
 *
 * Comparing the whole word, and not only its mode, matters because user code is outside as well: an
 * M that has come in and gone out again since it was judged is doing something else now and keeps
 * its P.  M structs are never freed, so a stale pointer is harmless; pw validates it.
 *
 * Callers judge first (sysmon.c has the rules) and pass the words they judged by.
 */
#include "runtime.h"

void unlock_pw(M *m, uintptr_t w) {
  if (unlikely(load_sc(&gs_sched.frozen))) return;
  /* seq_cst, and the count after it: a waiter counts itself and then looks at pw. */
  (void)xchg(&m->pw, w);
  if (unlikely(load_sc(&gs_sched.pw_waiters) != 0)) os_futex_wake_all((uint32_t *)(void *)&m->pw);
}

/* seq_cst for FENCED: the look must come after the LOCK in the single total order. */
static bool confirm(const Retake *r) { return load_sc(&r->m->sc) == r->sc; }

/* What is told of the G that has lost its P.  Its M is still outside, and cannot get past pw before
 * that is unlocked. */
static void note_loss(const Retake *r) {
  M *m = r->m;
  G *g = load_rlx(&m->curg);
  if (!g) return; /* a hook on g0 */
  if ((r->sc & SC_MODE) == SC_CALL) {
    const gs_site *site = load_rlx(&g->site);
    store_rlx(&g->waitsince, r->since);
    if (site) profile_retake(site);
    if (!trace_call_blocks(m, g, EV_RETAKE, r->p) && is_traced(m)) trace_p(m, EV_RELIEF, r->p);
  } else if (is_traced(m)) {
    trace_p(m, EV_RELIEF, r->p);
  }
}

/* The P is ours. */
static void taken(Retake *r) {
  P *p = r->p;
  note_loss(r);
  if (is_traced(r->m)) trace_p_lost(r->m, p);
  p_keep_syscalltick(p, r->m);
  store_rlx(&p->m, NULL);
  p_to(p, Pidle);
  bump(&p->syscalltick);
  if (r->relief) {
    /* Counted before the M can find out and count itself down. */
    add_sc(&gs_sched.nrelieved, 1);
    store_rlx(&r->m->relief, r->relief);
  }
  unlock_pw(r->m, 0);
  r->taken = true;
}

void retake_batch(Retake *r, int n) {
  bool barrier = false;
  for (int i = 0; i < n; i++) {
    r[i].taken = false;
    r[i].locked = CAS(&r[i].m->pw, (uintptr_t)r[i].p, (uintptr_t)r[i].p | PW_LOCK);
    if (!r[i].locked) continue;
    if (!confirm(&r[i])) {
      unlock_pw(r[i].m, (uintptr_t)r[i].p);
      r[i].locked = false;
      add_rlx(&gs_sched.nretake_failed, 1);
    } else if (!(r[i].sc & SC_FENCED)) {
      barrier = true;
    }
  }
  torture_window(); /* the M may come in and see LOCK, or be seen */
  bool ordered = true;
  if (barrier) {
    add_rlx(&gs_sched.nbarriers, 1);
    ordered = !load_rlx(&gs_sched.fenced) && os_barrier();
    /* If the system has withdrawn membarrier (a seccomp filter installed late), whoever enters a
     * call from now on fences; those that are in an unfenced one keep their Ps until they return.
     */
    if (!ordered) store_sc(&gs_sched.fenced, 1);
  }
  for (int i = 0; i < n; i++) {
    if (!r[i].locked) continue;
    if ((ordered || (r[i].sc & SC_FENCED)) && confirm(&r[i])) {
      taken(&r[i]);
    } else {
      unlock_pw(r[i].m, (uintptr_t)r[i].p);
      add_rlx(&gs_sched.nretake_failed, 1);
    }
  }
}
