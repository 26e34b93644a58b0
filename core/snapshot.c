/* snapshot.c: what can be seen of Gs, Ms and Ps from outside, as data.
 *
 * Everything is read as it stands, without a lock: structs are never freed, so a list can be walked
 * at any time.  Only between a stop of the world and its start do the figures belong together.
 * Names and the like are plain words of their owners: TSan is told to look away.
 */
#define UNCHECKED __attribute__((no_sanitize("thread")))
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

void p_info(P *p, gs_p_info *out) {
  const M *m = load_acq(&p->m);
  *out = (gs_p_info){
      .domain = p->d->name,
      .id = (int)p->id,
      .status = (int)p_status(p),
      .m = m ? m->id : -1,
      .runq = runqlen(p),
      .schedtick = load_rlx(&p->schedtick),
      .syscalltick = p_syscalltick(p),
  };
}

UNCHECKED void g_info(G *g, gs_g_info *out) {
  uint32_t state = g_status(g);
  const M *m = load_rlx(&g->m), *locked = load_rlx(&g->lockedm);
  const gs_site *site = state == Gsyscall ? load_rlx(&g->site) : NULL;
  *out = (gs_g_info){
      .id = g->goid,
      .state = (int)state,
      .wait_reason = state == Gwaiting ? g_waitreason(g) : "",
      .call = site ? site->name ? site->name : "a foreign call" : NULL,
      .domain = g->d->name,
      .m = m ? m->id : -1,
      .locked_m = locked ? locked->id : -1,
      .system = load_rlx(&g->system),
      .cancelled = (int)load_rlx(&g->cancelled),
      .detached = load_rlx(&g->detached) == g->goid,
      .since = g_since(g, os_now()),
  };
  for (size_t i = 0; i < sizeof out->name - 1; i++) out->name[i] = g->name[i];
}

UNCHECKED static void m_info(M *m, gs_m_info *out) {
  const P *p = (const P *)(load_acq(&m->pw) & ~PW_LOCK);
  const G *g = load_rlx(&m->curg), *locked = m->lockedg;
  *out = (gs_m_info){
      .id = m->id,
      .tid = m->tid,
      .mode = (int)(load_acq(&m->sc) & SC_MODE),
      .p = p ? (int)p->id : -1,
      .domain = p ? p->d->name : NULL,
      .g = g ? g->goid : 0,
      .locked_g = locked ? locked->goid : 0,
      .incgo = (int)load_rlx(&m->incgo),
      .ncgo = m->ncgo,
      .ncgocall = load_rlx(&m->ncgocall),
      .idle = (int)load_rlx(&m->idle),
      .spinning = (int)load_rlx(&m->spinning),
  };
}

static size_t count_ps(void) {
  size_t n = 0;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next) n += load_acq(&d->nallp);
  return n;
}

/* The lists grow at their heads, so what is walked from a head that was read is what was counted.
 */
int gs_snapshot(gs_snapshot_data **out) {
  if (!out) return gs_fail(GS_EINVAL, "gs_snapshot: out is NULL");
  G *gs = load_acq(&gs_sched.allg);
  M *ms = load_acq(&gs_sched.allm);
  size_t ng = 0, nm = 0, np = count_ps();
  for (G *g = gs; g; g = g->alllink) ng++;
  for (M *m = ms; m; m = m->alllink) nm++;
  gs_snapshot_data *s = calloc(1, sizeof *s);
  if (s) {
    s->g = calloc(ng + 1, sizeof *s->g);
    s->m = calloc(nm + 1, sizeof *s->m);
    s->p = calloc(np + 1, sizeof *s->p);
  }
  if (!s || !s->g || !s->m || !s->p) {
    gs_snapshot_free(s);
    return gs_fail(GS_ENOMEM, "gs_snapshot: out of memory");
  }
  s->when = os_now();
  for (G *g = gs; g; g = g->alllink) {
    uint32_t state = load_acq(&g->status);
    if (state != Gdead && state != Gidle) g_info(g, &s->g[s->ng++]);
  }
  for (M *m = ms; m; m = m->alllink) m_info(m, &s->m[s->nm++]);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0; i < load_acq(&d->nallp) && s->np < np; i++)
      if (load_rlx(&d->allp[i]->status) != Pdead) p_info(d->allp[i], &s->p[s->np++]);
  *out = s;
  return GS_OK;
}

void gs_snapshot_free(gs_snapshot_data *s) {
  if (!s) return;
  free(s->g);
  free(s->m);
  free(s->p);
  free(s);
}
