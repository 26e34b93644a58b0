/* metrics.c: the counters.  Those of hot paths are kept per M without locked instructions and
 * summed here; those of rare paths are global. */
#include <string.h>

#include "runtime.h"

int gs_read_metrics(gs_metrics *out) {
  if (!out || out->size < sizeof(size_t)) return GS_EINVAL;
  size_t want = out->size < sizeof *out ? out->size : sizeof *out;
  Sched *s = &gs_sched;
  gs_metrics x = {.size = out->size};
  for (M *m = load_acq(&s->allm); m; m = m->alllink) {
    x.incgo += load_rlx(&m->incgo);
    x.cgocalls += load_rlx(&m->ncgocall);
    x.exits_fast += load_rlx(&m->nexit_fast) + m_fast_calls(m) - m_in_fast_call(m);
    x.exits_idle_p += load_rlx(&m->nexit_idle);
    x.exits_slow += load_rlx(&m->nexit_slow);
    x.steals += load_rlx(&m->nsteal);
    x.switches += load_rlx(&m->nswitch);
    x.parks += load_rlx(&m->nparks);
  }
  x.gs_live = live_gs();
  x.gs_created = born_gs();
  x.threads = load_rlx(&s->nm);
  x.threads_idle = load_rlx(&s->nmidle);
  x.threads_max = load_rlx(&s->nm_max);
  x.threads_created = load_rlx(&s->nmcreated);
  x.procs = load_rlx(&s->nprocs_all);
  x.procs_idle = load_rlx(&s->npidle_all);
  x.retakes = load_rlx(&s->nretake);
  x.retakes_user = load_rlx(&s->nretake_user);
  x.retakes_failed = load_rlx(&s->nretake_failed);
  x.handoffs = load_rlx(&s->nhandoff);
  x.handoffs_entry = load_rlx(&s->nhandoff_entry);
  x.sysmon_ticks = load_rlx(&s->nticks);
  x.sysmon_pokes = load_rlx(&s->npokes);
  x.barriers = load_rlx(&s->nbarriers);
  x.thread_limit_hits = load_rlx(&s->nlimit);
  x.extra_ms = load_rlx(&s->nextra);
  x.stacks_mapped = load_rlx(&s->stacks_mapped);
  x.io_waiters = (uint64_t)load_sc(&s->netpoll_waiters);
  x.polls = load_rlx(&s->netpolls);
  x.threads_pless = load_rlx(&s->nrelieved);
  x.hogs = load_rlx(&s->nhogs);
  x.hogs_kept = load_rlx(&s->nhogs_kept);
  uint64_t over = load_sc(&s->ndetached_over); /* first, so that it is not more than the other */
  x.detached = load_sc(&s->ndetached);
  x.detached_now = x.detached > over ? x.detached - over : 0; /* an end may be counted first */
  x.threads_ended = load_rlx(&s->nmfreed);
  memcpy(out, &x, want);
  return GS_OK;
}
