/* domain.c: domains, their Ps, and what a binding stores with threads and green threads.
 *
 * Domains and Ps are never freed.  The number of Ps of a domain changes while the world is stopped
 * (stw.c).  A P that goes leaves its Gs to the global queue and its timers to the first P; an M
 * that held it finds out when it comes in, as if sysmon had taken it.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

Domain gs_native = {.name = "native"};

static P *p_new(Domain *d) {
  P *p = aligned_alloc(_Alignof(P), sizeof *p);
  if (!p) return NULL;
  memset(p, 0, sizeof *p);
  p->d = d;
  p->id = d->nallp;
  p->status = Pidle;
  p->timers.next = INT64_MAX;
  lock_rank(&p->timers.lock, RANK_TIMERS);
  return p;
}

/* Ps in use have the lowest numbers.  d->lock is held. */
static bool add_one(Domain *d) {
  uint32_t i = d->nprocs;
  if (i == d->nallp) {
    P *p = p_new(d);
    if (!p) return false;
    d->allp[i] = p;
    store_rel(&d->nallp, i + 1);
  }
  store_rlx(&d->nprocs, i + 1);
  add_sc(&gs_sched.nprocs_all, 1);
  pidleput(d->allp[i]);
  return true;
}

static int grow(Domain *d, uint32_t procs) {
  int err = GS_OK;
  lock(&d->lock);
  while (d->nprocs < procs && !err)
    if (!add_one(d)) err = GS_ENOMEM;
  unlock(&d->lock);
  return err;
}

/* d->lock is held. */
static void leave_idle(Domain *d, P *p) {
  for (P **at = &d->pidle; *at; at = &(*at)->link)
    if (*at == p) {
      *at = p->link;
      break;
    }
  p->link = NULL;
  store_sc(&d->npidle, d->npidle - 1);
  add_sc(&gs_sched.npidle_all, -1);
}

/* Takes p away from its M, or from the idle list.  The M still waits until the world starts: it may
 * have been given another P, which stands still only as long as it does.  Returns that M, or NULL.
 */
static M *dispossess(P *p) {
  Domain *d = p->d;
  M *m = p->stop.m;
  uint32_t how = p->stop.how;
  p->stop.how = STW_NOT;
  switch (how) {
    case STW_IDLE:
      lock(&d->lock);
      leave_idle(d, p);
      unlock(&d->lock);
      return NULL;
    case STW_GIVEN: /* for its locked G, which looks for another one then */
      store_rel(&m->nextp, NULL);
      lock(&d->lock);
      globrunqput(d, m->lockedg);
      unlock(&d->lock);
      return NULL;
    default:
      p_keep_syscalltick(p, m);
      store_rlx(&p->m, NULL);
      bump(&p->syscalltick);
      store_sc(&m->pw, PW_LOCK);
      return m;
  }
}

/* q, whoever has it, goes to m, the M of the G that asks for the change.  Returns who has lost it.
 */
static M *give_to(M *m, P *q) {
  M *loser = dispossess(q);
  m->oldp = q;
  m->tick_base = m_fast_calls(m);
  store_rel(&q->m, m);
  store_sc(&m->pw, (uintptr_t)q | PW_LOCK);
  q->stop.m = m;
  q->stop.how = STW_LOCKED;
  q->stop.status = Psyscall;
  return loser;
}

/* The world is stopped.  An M whose P goes finds out when it comes in. */
static void drop(P *p) {
  Domain *d = p->d;
  M *loser = dispossess(p);
  if (loser) {
    p->stop.m = loser;
    p->stop.how = STW_TAKEN;
  }
  p_to(p, Pdead);
  store_rlx(&p->preempt, 0);
  lock(&d->lock);
  store_rlx(&d->nprocs, d->nprocs - 1);
  add_sc(&gs_sched.nprocs_all, -1);
  unlock(&d->lock);
  runqdrain_to_global(p);
  timers_move(&p->timers, &d->allp[0]->timers);
}

/* m gets another P: it need not be told that it has lost one. */
static void drop_taken(Domain *d, const M *m) {
  for (uint32_t i = d->nprocs; i < d->nallp; i++)
    if (d->allp[i]->stop.how == STW_TAKEN && d->allp[i]->stop.m == m)
      d->allp[i]->stop.how = STW_NOT;
}

/* The world is stopped. */
int domain_resize_stopped(Domain *d, uint32_t procs) {
  int err = grow(d, procs);
  M *own = stw_own();
  bool shrinks = d->nprocs > procs;
  while (d->nprocs > procs) drop(d->allp[d->nprocs - 1]);
  /* Who asks keeps a P, or gets one if sysmon took its own while it waited for its turn: else it
   * might wait for one as long as somebody else computes. */
  if (shrinks && own && own->curg->d == d && !(load_rlx(&own->pw) & ~PW_LOCK)) {
    drop_taken(d, own);
    stw_release_later(give_to(own, d->allp[0]));
  }
  for (uint32_t i = 0; i < d->nprocs; i++) store_rlx(&d->allp[i]->solo, d->nprocs == 1);
  return err;
}

int domain_resize(Domain *d, uint32_t procs) {
  if (load_rlx(&d->nprocs) == procs) return GS_OK;
  stop_world("procs");
  int err = domain_resize_stopped(d, procs);
  start_world();
  return err;
}

int domain_init(Domain *d, const char *name, uint32_t procs, size_t stack_size) {
  lock_rank(&d->lock, RANK_DOMAIN);
  lock_rank(&d->gfree_lock, RANK_GFREE);
  d->stack_size = stack_size;
  d->klass = stack_class(stack_size);
  if (name != d->name) strncat(d->name, name, sizeof d->name - 1);
  lock(&gs_sched.lock);
  d->id = gs_sched.ndomains++;
  d->next = gs_sched.domains;
  store_rel(&gs_sched.domains, d);
  unlock(&gs_sched.lock);
  return grow(d, procs); /* nobody knows it yet: no need to stop anything */
}

int gs_domain_new(const char *name, int procs, size_t stack_size, const gs_domain_ops *ops,
                  void *ud, gs_domain **out) {
  if (!name || !out) return gs_fail(GS_EINVAL, "gs_domain_new: %s is NULL", name ? "out" : "name");
  if (procs < 1 || procs > GS_MAX_PROCS)
    return gs_fail(GS_EINVAL, "gs_domain_new: procs is %d; 1..%d is accepted", procs, GS_MAX_PROCS);
  if (ops && ops->size != sizeof *ops)
    return gs_fail(GS_EINVAL, "gs_domain_new: ops->size is %zu, this library has %zu", ops->size,
                   sizeof *ops);
  if (ops && !ops->suspend != !ops->resume)
    return gs_fail(GS_EINVAL, "gs_domain_new: ops->%s is NULL, ops->%s is not; both or none",
                   ops->suspend ? "resume" : "suspend", ops->suspend ? "suspend" : "resume");
  if (stack_size && (stack_size < 16384 || stack_size > ((size_t)1 << 30)))
    return gs_fail(GS_EINVAL,
                   "gs_domain_new: stack_size is %zu; 0 or 16384..1073741824 is accepted",
                   stack_size);
  int err = gs_boot();
  if (err) return err;
  if (load_rlx(&gs_sched.ndomains) >= GS_MAX_DOMAINS)
    return gs_fail(GS_ENOMEM, "gs_domain_new: there are %d domains already", GS_MAX_DOMAINS);
  Domain *d = aligned_alloc(_Alignof(Domain), sizeof *d);
  if (!d) return gs_fail(GS_ENOMEM, "gs_domain_new: out of memory");
  memset(d, 0, sizeof *d);
  if (ops) d->ops = *ops;
  d->ud = ud;
  err = domain_init(d, name, (uint32_t)procs, stack_size ? stack_size : gs_native.stack_size);
  if (err) return gs_fail(err, "gs_domain_new: out of memory");
  *out = d;
  return GS_OK;
}

void **gs_gdata(void) {
  M *m = gs_getm();
  return m && m->curg ? &m->curg->data : NULL;
}

gs_domain *gs_domain_self(void) {
  M *m = gs_getm();
  return m && m->curg ? m->curg->d : NULL;
}

void **gs_mdata(gs_domain *d) {
  M *m = gs_getm();
  if (!m || !d) return NULL;
  if (d->id < GS_MDATA) return &m->mdata[d->id];
  if (!m->mdata_more && !(m->mdata_more = calloc(GS_MAX_DOMAINS, sizeof(void *)))) return NULL;
  return &m->mdata_more[d->id];
}

size_t gs_domain_waiting(gs_domain *d) {
  if (!d) return 0;
  size_t n = load_rlx(&d->runqsize);
  for (uint32_t i = 0, np = load_acq(&d->nallp); i < np; i++) n += runqlen(d->allp[i]);
  return n;
}

int gs_mid(void) {
  M *m = gs_getm();
  return m ? m->id : -1;
}

void gs_notify(void) {
  store_sc(&gs_sched.notified, 1);
  M *m = load_acq(&gs_sched.main_m);
  if (m) note_wake(&m->note);
}
