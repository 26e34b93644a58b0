/* handoff.c: how soon another green thread runs after one has entered a call that blocks.
 *
 * One P, two green threads.  The first makes the second runnable, stamps the clock and enters
 * usleep(50 ms); the first thing the second does is to stamp the clock too.  The difference is the
 * hand-off, and it depends on what the scheduler knew before: on the call site (nothing, a hint,
 * experience) and on how alert sysmon is.  `prepare` puts sysmon into the state that the row is
 * named after:
 *
 *   backed off   the first green thread computes alone for 50 ms, so sysmon finds nothing to do and
 *                doubles its pause up to 10 ms
 *   idle         every P has been idle for 30 ms, so sysmon sleeps until it is woken
 *   burst        a hand-off has just been and the first green thread has computed for 0.5 ms since,
 *                so sysmon is awake and looks often
 */
#include <stdatomic.h>
#include <unistd.h>

#include "gosched.h"
#include "harness.h"
#include "targets.h"

enum {
  NAP_US = 50000,
  BACK_OFF_NS = 50000000,
  IDLE_NS = 30000000,
  BURST_NS = 500000,
  LESSONS = 8, /* blocking calls that teach a site it is long, not sampled */
  HANDOFFS_PER_SAMPLE = 4,
  MOST_EARLY = 10 /* times as many samples as are wanted may be thrown away */
};

enum state { BACKED_OFF, IDLE, BURST };

/* How one row's call is made. */
typedef struct plan {
  enum state state;
  gs_site *fixed_site; /* used for every call; NULL: a site nobody has used, each time */
  int undeclared;      /* usleep is called outright, without telling the scheduler */
  int made_short;      /* fixed_site has made nothing but short calls for 50 ms */
  int lessons;         /* calls before the first sample */
} plan;

static unsigned nap = NAP_US;

static void stamp(void *arg) { atomic_store((_Atomic int64_t *)arg, bench_now()); }

/* Short calls of the site, until it is known short and sysmon has backed off. */
static void make_short(gs_site *site) {
  int64_t end = bench_now() + BACK_OFF_NS;
  while (bench_now() < end) {
    bench_check("gs_cgocall_site", gs_cgocall_site(site, gsbench_empty, NULL, NULL));
  }
}

static void prepare(const plan *p) {
  if (p->made_short) {
    make_short(p->fixed_site);
  } else if (p->state == BACKED_OFF) {
    bench_spin(BACK_OFF_NS);
  } else if (p->state == IDLE) {
    bench_check("gs_sleep", gs_sleep(IDLE_NS));
  } else {
    bench_spin(BURST_NS);
  }
}

static void block(const plan *p, gs_site *unused_site) {
  if (p->undeclared) {
    usleep(nap);
  } else {
    gs_site *site = p->fixed_site != NULL ? p->fixed_site : unused_site;
    bench_check("gs_cgocall_site", gs_cgocall_site(site, gsbench_nap, &nap, NULL));
  }
}

/* Sites must live as long as the process, so each sample of an unknown site takes the next. */
static gs_site *next_site(void) {
  static gs_site sites[4096];
  static size_t used;
  if (used == sizeof sites / sizeof sites[0]) {
    bench_die("more than %zu samples of an unknown site were asked for", used);
  }
  gs_site *site = &sites[used++];
  site->name = "gsbench_nap";
  return site;
}

static void body_handoff(bench_green *g) {
  const plan *p = g->arg;
  int samples = g->options->samples * HANDOFFS_PER_SAMPLE, early = 0;
  for (int i = -p->lessons; i < samples; i++) {
    static _Atomic int64_t ran;
    gs_site *unused_site = next_site();
    prepare(p);
    atomic_store(&ran, 0);
    bench_check("gs_go", gs_go(stamp, (void *)&ran));
    int64_t entered = bench_now();
    block(p, unused_site);
    while (atomic_load(&ran) == 0) {
      gs_yield();
    }
    if (atomic_load(&ran) < entered) {
      /* The first one's slice is used up by the time it makes the second runnable, and sysmon may
       * have asked for its P before it entered the call: that was no hand-off. */
      if (++early > MOST_EARLY * samples) {
        bench_die("the call was entered after the other green thread had run %d times", early);
      }
      i--;
    } else if (i >= 0) {
      bench_push(g->out, (double)(atomic_load(&ran) - entered) / 1e3);
    }
  }
}

static void run_plan(const bench_options *options, bench_result *out, plan p) {
  bench_run_green(1, body_handoff, &(bench_green){options, out, &p});
}

static gs_site the_site = {.name = "gsbench_nap"};
static gs_site blocking_site = {.name = "gsbench_nap", .flags = GS_SITE_BLOCKING};

static void run_unknown(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BACKED_OFF});
}

static void run_unknown_idle(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = IDLE});
}

static void run_unknown_burst(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BURST});
}

static void run_blocking(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BACKED_OFF, .fixed_site = &blocking_site});
}

static void run_known_long(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BACKED_OFF, .fixed_site = &the_site, .lessons = LESSONS});
}

static void run_known_short(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BACKED_OFF, .fixed_site = &the_site, .made_short = 1});
}

static void run_undeclared(const bench_options *options, bench_result *out) {
  run_plan(options, out, (plan){.state = BACKED_OFF, .undeclared = 1});
}

const bench_row bench_rows_handoff[] = {
    {"handoff.unknown", "us", run_unknown},
    {"handoff.unknown.idle", "us", run_unknown_idle},
    {"handoff.unknown.burst", "us", run_unknown_burst},
    {"handoff.blocking", "us", run_blocking},
    {"handoff.knownlong", "us", run_known_long},
    {"handoff.knownshort", "us", run_known_short},
    {"handoff.undeclared", "us", run_undeclared},
    {NULL, NULL, NULL},
};
