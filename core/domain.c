/* domain.c: domains, their Ps, and what a binding stores with threads and green threads.
 *
 * Domains and Ps are never freed.  The number of Ps of a domain changes only by idle Ps: a P is
 * taken off the idle list and declared dead, or a new (or dead) one is put on it.
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
  return p;
}

/* d->lock is held. */
static bool add_one(Domain *d) {
  P *p = d->pdead;
  if (p) {
    d->pdead = p->link;
  } else {
    if (!(p = p_new(d))) return false;
    d->allp[d->nallp] = p;
    store_rel(&d->nallp, d->nallp + 1);
  }
  store_rlx(&d->nprocs, d->nprocs + 1);
  add_sc(&gs_sched.nprocs_all, 1);
  pidleput(p);
  return true;
}

static bool drop_one(Domain *d) {
  P *p = pidleget(d);
  if (!p) return false;
  store_rlx(&p->status, Pdead);
  p->link = d->pdead;
  d->pdead = p;
  store_rlx(&d->nprocs, d->nprocs - 1);
  add_sc(&gs_sched.nprocs_all, -1);
  return true;
}

/* Called while nobody uses the domain; Ps that are still on their way to the idle list are waited
 * for. */
int domain_resize(Domain *d, uint32_t procs) {
  int err = GS_OK;
  for (int tries = 0; d->nprocs != procs && tries < 2000 && !err; tries++) {
    lock(&d->lock);
    while (d->nprocs < procs && !err)
      if (!add_one(d)) err = GS_ENOMEM;
    while (d->nprocs > procs && drop_one(d)) {
    }
    bool done = d->nprocs == procs;
    unlock(&d->lock);
    if (!done) os_sleep_ns(100000);
  }
  lock(&d->lock);
  for (P *p = d->pidle; p; p = p->link) store_rlx(&p->solo, d->nprocs == 1);
  unlock(&d->lock);
  return err;
}

int domain_init(Domain *d, const char *name, uint32_t procs, size_t stack_size) {
  d->stack_size = stack_size;
  d->klass = stack_class(stack_size);
  if (name != d->name) strncat(d->name, name, sizeof d->name - 1);
  lock(&gs_sched.lock);
  d->id = gs_sched.ndomains++;
  d->next = gs_sched.domains;
  store_rel(&gs_sched.domains, d);
  unlock(&gs_sched.lock);
  return domain_resize(d, procs);
}

int gs_domain_new(const char *name, int procs, size_t stack_size, const gs_domain_ops *ops,
                  void *ud, gs_domain **out) {
  if (!name || !out) return gs_fail(GS_EINVAL, "gs_domain_new: %s is NULL", name ? "out" : "name");
  if (procs < 1 || procs > GS_MAX_PROCS)
    return gs_fail(GS_EINVAL, "gs_domain_new: procs is %d; 1..%d is accepted", procs, GS_MAX_PROCS);
  if (ops && ops->size != sizeof *ops)
    return gs_fail(GS_EINVAL, "gs_domain_new: ops->size is %zu, this library has %zu", ops->size,
                   sizeof *ops);
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
