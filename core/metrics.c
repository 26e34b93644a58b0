/* metrics.c: the counters, and the one table that says what each of them is.
 *
 * Those of hot paths are kept per M without locked instructions and summed here; those of rare
 * paths are global.  So are the histograms, for only paths that have met a lock or a thread switch
 * already read a clock: a call that lost its P, a P that changes threads, a green thread without a
 * P.  A fast path adds nothing here.
 *
 * The bindings and the text for Prometheus go by the table, and docs/metrics.md is made from it, so
 * a new figure is a field of gs_metrics, a line here, and nothing else.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

/* ---- what they are ---- */

#define M_(field, kind, stable, unit, text) \
  { #field, offsetof(gs_metrics, field), kind, stable, unit, text }
#define COUNTER(field, stable, unit, text) M_(field, GS_COUNTER, stable, unit, text)
#define GAUGE(field, stable, unit, text) M_(field, GS_GAUGE, stable, unit, text)
#define HISTOGRAM(field, stable, text) M_(field, GS_HISTOGRAM, stable, "seconds", text)

static const gs_metric catalogue[] = {
    GAUGE(gs_live, 1, "green threads", "Green threads that have not ended"),
    GAUGE(threads, 1, "threads", "OS threads that run green threads (Ms)"),
    GAUGE(threads_idle, 1, "threads", "Of these, parked with nothing to do"),
    GAUGE(incgo, 1, "threads", "Of these, in a foreign call right now"),
    GAUGE(procs, 1, "procs", "Rights to run (Ps) of all domains"),
    GAUGE(procs_idle, 1, "procs", "Of these, idle"),
    COUNTER(gs_created, 1, "green threads", "Green threads ever made"),
    COUNTER(threads_created, 1, "threads", "OS threads ever made for green threads"),
    GAUGE(threads_max, 1, "threads", "The most OS threads that existed at once"),
    COUNTER(cgocalls, 1, "calls", "Foreign calls begun"),
    COUNTER(exits_fast, 0, "calls", "Foreign calls that came back to their own P"),
    COUNTER(exits_idle_p, 0, "calls", "Foreign calls that came back to another P, which was idle"),
    COUNTER(exits_slow, 0, "calls", "Foreign calls that came back to no P and queued"),
    COUNTER(retakes, 1, "procs", "Ps that sysmon took from foreign calls"),
    COUNTER(retakes_user, 0, "procs", "Ps that sysmon took from code that declared nothing"),
    COUNTER(retakes_failed, 0, "procs", "Attempts that found the thread inside again"),
    COUNTER(handoffs, 1, "procs", "Ps passed on to another thread or to the idle list"),
    COUNTER(handoffs_entry, 0, "procs", "Of these, at the entry of a call that is known to block"),
    COUNTER(steals, 0, "steals", "Times that a P took work from another one's queue"),
    COUNTER(switches, 1, "switches", "Times that a green thread started or went on"),
    COUNTER(parks, 1, "parks", "Times that a green thread began to wait"),
    COUNTER(sysmon_ticks, 0, "looks", "Looks of the thread that watches"),
    COUNTER(sysmon_pokes, 0, "looks", "Of these, those it was woken for"),
    COUNTER(barriers, 0, "barriers", "Calls of membarrier"),
    COUNTER(thread_limit_hits, 1, "threads", "Threads that were wanted and could not be made"),
    GAUGE(stacks_mapped, 0, "bytes", "Address space in arenas of stacks"),
    GAUGE(io_waiters, 1, "green threads", "Green threads that wait for a descriptor"),
    COUNTER(polls, 0, "polls", "Times that descriptors were polled"),
    GAUGE(extra_ms, 1, "threads", "Foreign threads that have called back, and still run"),
    GAUGE(threads_pless, 0, "threads",
          "Threads whose P was taken from code that declared nothing, and that are still in it"),
    COUNTER(hogs, 0, "procs", "Ps taken from code that computed for too long"),
    COUNTER(hogs_kept, 0, "procs", "Code that computed for too long and kept its P"),
    COUNTER(threads_ended, 0, "threads", "Threads of green threads that have ended"),
    COUNTER(detached, 1, "calls", "Foreign calls whose caller did not wait for their end"),
    GAUGE(detached_now, 1, "calls", "Of these, those that have not ended"),
    GAUGE(threads_system, 1, "threads", "The runtime's own threads that run no green threads"),
    HISTOGRAM(call_lost_seconds, 1, "How long foreign calls took that lost their P"),
    HISTOGRAM(handoff_seconds, 0, "From the hand-off of a P to its arrival on another thread"),
    HISTOGRAM(wait_p_seconds, 0, "How long green threads waited for a P that had lost theirs"),
};
#define NMETRICS (sizeof catalogue / sizeof *catalogue)

_Static_assert(sizeof(size_t) + (NMETRICS - NHIST) * sizeof(uint64_t) +
                       NHIST * sizeof(gs_histogram) ==
                   sizeof(gs_metrics),
               "the catalogue has every field of gs_metrics");

const gs_metric *gs_metric_info(size_t i) { return i < NMETRICS ? &catalogue[i] : NULL; }

/* ---- histograms ---- */

static struct { gs_histogram h; /* atomic */ } GS_ALIGNED(GS_LINE) histograms[NHIST];

void histogram_add(int which, int64_t ns) {
  gs_histogram *h = &histograms[which].h;
  uint64_t took = ns > 0 ? (uint64_t)ns : 0;
  /* The first i with took <= 1000 << i. */
  uint64_t thousands = (took + 999) / 1000;
  int i = thousands <= 1 ? 0 : 64 - __builtin_clzll(thousands - 1);
  add_rlx(&h->bucket[i < GS_BUCKETS ? i : GS_BUCKETS - 1], 1);
  add_rlx(&h->sum_ns, took);
}

static void copy_histogram(gs_histogram *out, int which) {
  const gs_histogram *h = &histograms[which].h;
  out->sum_ns = load_rlx(&h->sum_ns);
  for (int i = 0; i < GS_BUCKETS; i++) out->bucket[i] = load_rlx(&h->bucket[i]);
}

/* ---- reading them ---- */

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
  x.threads_system = load_rlx(&s->nmsys);
  copy_histogram(&x.call_lost_seconds, HIST_CALL_LOST);
  copy_histogram(&x.handoff_seconds, HIST_HANDOFF);
  copy_histogram(&x.wait_p_seconds, HIST_WAIT_P);
  memcpy(out, &x, want);
  return GS_OK;
}

/* ---- as text ---- */

typedef struct {
  char *buf;
  size_t room, n; /* n: what there would be with enough room */
} Text;

__attribute__((format(printf, 2, 3))) static void put(Text *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  size_t left = t->n < t->room ? t->room - t->n : 0;
  int n = vsnprintf(left ? t->buf + t->n : NULL, left, fmt, ap);
  va_end(ap);
  if (n > 0) t->n += (size_t)n;
}

/* Nanoseconds as seconds, exactly: no float, and so no locale's comma. */
static void put_seconds(Text *t, uint64_t ns) {
  put(t, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
      (unsigned long long)(ns % 1000000000));
}

static void put_histogram(Text *t, const char *name, const gs_histogram *h) {
  uint64_t n = 0;
  for (int i = 0; i < GS_BUCKETS; i++) {
    n += h->bucket[i];
    put(t, "gosched_%s_bucket{le=\"", name);
    if (i < GS_BUCKETS - 1)
      put_seconds(t, (uint64_t)1000 << i);
    else
      put(t, "+Inf");
    put(t, "\"} %llu\n", (unsigned long long)n);
  }
  put(t, "gosched_%s_sum ", name);
  put_seconds(t, h->sum_ns);
  put(t, "\ngosched_%s_count %llu\n", name, (unsigned long long)n);
}

static void put_metric(Text *t, const gs_metric *m, const void *value) {
  static const char *const types[] = {"counter", "gauge", "histogram"};
  const char *end = m->kind == GS_COUNTER                                  ? "_total"
                    : m->kind == GS_GAUGE && strcmp(m->unit, "bytes") == 0 ? "_bytes"
                                                                           : "";
  put(t, "# HELP gosched_%s%s %s.\n# TYPE gosched_%s%s %s\n", m->name, end, m->text, m->name, end,
      types[m->kind]);
  if (m->kind == GS_HISTOGRAM)
    put_histogram(t, m->name, value);
  else
    put(t, "gosched_%s%s %llu\n", m->name, end, (unsigned long long)*(const uint64_t *)value);
}

size_t gs_metrics_text(char *buf, size_t n) {
  gs_metrics x = {.size = sizeof x};
  Text t = {buf, n, 0};
  (void)gs_read_metrics(&x);
  if (n) buf[0] = 0;
  for (size_t i = 0; i < NMETRICS; i++)
    put_metric(&t, &catalogue[i], (const char *)&x + catalogue[i].offset);
  return t.n;
}

int gs_metrics_write(int fd) {
  size_t room = gs_metrics_text(NULL, 0) + 4096; /* the figures may have grown by then */
  char *text = malloc(room);
  if (!text) return gs_fail(GS_ENOMEM, "gs_metrics_write: out of memory");
  size_t n = gs_metrics_text(text, room), at = 0;
  if (n > room - 1) n = room - 1;
  while (at < n) {
    ssize_t wrote = write(fd, text + at, n - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    at += (size_t)wrote;
  }
  int e = errno;
  free(text);
  errno = e;
  return at == n ? GS_OK : gs_fail(GS_ESYS, "gs_metrics_write: %s", strerror(e));
}
