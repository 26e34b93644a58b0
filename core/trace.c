/* trace.c: what ran where and when, for people to look at.
 *
 * While a trace is on, every M writes events into a ring of its own (the newest are kept) and
 * nobody else does; rare events that concern an M but happen elsewhere - a P was taken from it, a P
 * was given to one - go to a common ring under a lock.  With tracing off an operation pays one test
 * of m->attn, which stands in the cache line that it touches anyway.
 *
 * A foreign call that loses its P is traced as three events, Go's GoSysCall, GoSysBlock and
 * GoSysExit: EV_CALL by its M, then EV_HANDOFF (at entry) or EV_RETAKE (by sysmon), then EV_RET.
 * The middle one comes at most once in a call, and only between the other two: the G carries the
 * number of the trace that has its EV_CALL until the hand-off is written, and sysmon writes it
 * before it lets the M's pw go, without which the call cannot end.  A call that began before the
 * trace has neither.
 *
 * Names are copied into the events, because a G that has ended may be another one by the time the
 * trace is written.  At the end the rings become slices of Chrome's trace-event format: a track per
 * M, a slice per stretch that a G ran, a slice inside it per foreign call.  A ring that has wrapped
 * starts in the middle of things; what has no beginning is left out, what has no end ends with the
 * trace.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define RING 8192u
#define NAME 32 /* as much as a G's name, so that no character is cut in two */

typedef struct {
  int64_t ts;
  int32_t kind, mid;
  uint64_t a;
  const void *b;
  char name[NAME];
} Event;

typedef struct gs_tracebuf {
  uint64_t n; /* events ever written; owner, read at the end */
  Event ring[RING];
} TraceBuf;

static struct {
  Lock lock; /* start and stop, and the common ring */
  bool on;
  uint32_t number; /* of this trace, or of the last one; never 0 while one is on */
  char *path;
  int64_t began;
  TraceBuf common;
} tr = {.lock = LOCK_INIT(RANK_TRACE)};

static void write_event(TraceBuf *b, int kind, int32_t mid, uint64_t a, const void *p,
                        const char *name) {
  Event *e = &b->ring[b->n % RING];
  e->ts = os_now();
  e->kind = kind;
  e->mid = mid;
  e->a = a;
  e->b = p;
  e->name[0] = 0;
  if (name) strncat(e->name, name, NAME - 1);
  store_rel(&b->n, b->n + 1);
}

/* b: a G for EV_GO, a site for EV_CALL and EV_RET, a P for the others. */
void trace_event(M *m, int kind, uint64_t a, const void *b) {
  const char *name = NULL;
  if (kind == EV_GO) name = ((const G *)b)->name;
  if (kind == EV_CALL) name = ((const gs_site *)b)->name;
  if (kind == EV_GO || kind == EV_STOP || kind == EV_CALL || kind == EV_RET) {
    TraceBuf *buf = load_acq(&m->trace);
    if (buf) write_event(buf, kind, m->id, a, b, name);
    return;
  }
  lock(&tr.lock);
  if (tr.on) write_event(&tr.common, kind, m->id, a, b, ((const P *)b)->d->name);
  unlock(&tr.lock);
}

void trace_lock(bool on) { fork_lock(&tr.lock, on); }
bool trace_call_begin(M *m, G *g, uint64_t what, const gs_site *site) {
  if (likely(!(load_rlx(&m->attn) & ATTN_TRACE))) return false;
  trace_event(m, EV_CALL, what, site);
  store_rlx(&g->calltraced, load_rlx(&tr.number));
  return true;
}

void trace_call_blocks(M *m, G *g, int kind, P *p) {
  if (likely(load_rlx(&g->calltraced) == 0)) return;
  uint32_t in = xchg(&g->calltraced, 0);
  torture_window(); /* the call returns now; it waits until the event is written */
  if (in && in == load_rlx(&tr.number) && load_rlx(&tr.on)) trace_event(m, kind, p->id, p);
}

/* Before exitsyscall, after which the G may be on another M's track: so the P may still be taken.
 * Whoever clears calltraced first decides.  If that was sysmon, it has the M's pw LOCKed until its
 * event is written. */
void trace_call_end(M *m, G *g, const gs_site *site) {
  if (xchg(&g->calltraced, 0) == 0 && load_acq(&m->pw) & PW_LOCK) wait_unlocked(m, m->oldp);
  trace_event(m, EV_RET, load_rlx(&m->pw) != (uintptr_t)m->oldp, site);
}

static bool give_buffer(M *m) {
  TraceBuf *b = m->trace;
  if (!b && !(b = calloc(1, sizeof *b))) return false;
  store_rel(&b->n, 0);
  store_rel(&m->trace, b);
  store_rlx(&m->attn, load_rlx(&m->attn) | ATTN_TRACE);
  return true;
}

/* A new M, while a trace may be on. */
void trace_m_init(M *m) {
  if (!load_rlx(&tr.on)) return;
  lock(&tr.lock);
  if (tr.on) give_buffer(m);
  unlock(&tr.lock);
}

int gs_trace_start(const char *path) {
  if (!path || !*path) return GS_EINVAL;
  char *copy = strdup(path);
  if (!copy) return GS_ENOMEM;
  lock(&tr.lock);
  if (tr.on) {
    unlock(&tr.lock);
    free(copy);
    return GS_EBUSY;
  }
  tr.path = copy;
  tr.common.n = 0;
  tr.began = os_now();
  if (tr.number + 1 == 0) tr.number = 0;
  store_rlx(&tr.number, tr.number + 1);
  store_rlx(&tr.on, true);
  int err = GS_OK;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    if (!give_buffer(m)) err = GS_ENOMEM;
  unlock(&tr.lock);
  /* The caller's own stretch has begun already. */
  M *m = gs_getm();
  if (m && m->curg && !m->incgo && m->trace) trace_event(m, EV_GO, m->curg->goid, m->curg);
  return err;
}

/* ---- writing ---- */

typedef struct {
  FILE *f;
  bool any;
} Out;

static void sep(Out *o) {
  fputs(o->any ? ",\n" : "\n", o->f);
  o->any = true;
}

static void put_string(FILE *f, const char *s) {
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      fprintf(f, "\\%c", c);
    else if (c < 0x20)
      fprintf(f, "\\u%04x", c);
    else
      fputc(c, f);
  }
}

static double us(int64_t ts) { return (double)(ts - tr.began) / 1000.0; }

static void slice(Out *o, const M *m, const Event *from, int64_t to, bool call, uint64_t goid,
                  bool retaken) {
  if (from->ts < tr.began) return;
  sep(o);
  fprintf(o->f,
          "{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"%s\",\"name\":\"",
          m->id, us(from->ts), (double)(to - from->ts) / 1000.0, call ? "call" : "g");
  if (call && !from->name[0])
    fprintf(o->f, "0x%llx", (unsigned long long)from->a);
  else if (!call)
    fprintf(o->f, "G%llu%s", (unsigned long long)from->a, from->name[0] ? " " : "");
  put_string(o->f, from->name);
  fprintf(o->f, "\",\"args\":{\"g\":%llu", (unsigned long long)goid);
  if (call) fprintf(o->f, ",\"retaken\":%s", retaken ? "true" : "false");
  fputs("}}", o->f);
}

static void write_track(Out *o, const M *m, int64_t end) {
  const TraceBuf *b = m->trace;
  const Event *go = NULL, *call = NULL;
  uint64_t n = load_acq(&b->n), i = n > RING ? n - RING : 0;
  if (!n) return;
  sep(o);
  fprintf(
      o->f,
      "{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"M%d\"}}",
      m->id, m->id);
  for (; i < n; i++) {
    const Event *e = &b->ring[i % RING];
    switch (e->kind) {
      case EV_GO:
        go = e;
        call = NULL;
        break;
      case EV_CALL: call = go ? e : NULL; break;
      case EV_RET:
        if (call) slice(o, m, call, e->ts, true, go->a, e->a != 0);
        call = NULL;
        break;
      case EV_STOP:
        if (go) slice(o, m, go, e->ts, false, go->a, false);
        go = call = NULL;
        break;
      default: break;
    }
  }
  if (call) slice(o, m, call, end, true, go->a, false);
  if (go) slice(o, m, go, end, false, go->a, false);
}

/* Which M got the P that this event is about. */
static int receiver(uint64_t i, uint64_t n) {
  const Event *e = &tr.common.ring[i % RING];
  for (uint64_t j = i + 1; j < n && j < i + 64; j++) {
    const Event *s = &tr.common.ring[j % RING];
    if (s->b == e->b) return s->kind == EV_STARTM ? s->mid : -1;
  }
  return -1;
}

static void write_common(Out *o) {
  uint64_t n = tr.common.n, i = n > RING ? n - RING : 0;
  for (; i < n; i++) {
    const Event *e = &tr.common.ring[i % RING];
    if (e->kind == EV_STARTM) continue;
    int to = receiver(i, n);
    sep(o);
    fprintf(o->f,
            "{\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"cat\":\"sched\",\"name\":"
            "\"%s\","
            "\"args\":{\"p\":%llu,\"domain\":\"",
            e->mid, us(e->ts),
            e->kind == EV_RETAKE   ? "retake"
            : e->kind == EV_RELIEF ? "relief"
                                   : "handoff",
            (unsigned long long)e->a);
    put_string(o->f, e->name);
    fprintf(o->f, "\",\"from\":%d,\"to\":", e->mid);
    if (to >= 0)
      fprintf(o->f, "%d}}", to);
    else
      fputs("null}}", o->f);
  }
}

static int write_all(void *arg) {
  const char *path = arg;
  Out o = {fopen(path, "we"), false};
  if (!o.f) return GS_ESYS;
  int64_t end = os_now();
  fputs("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"writer\":\"gosched " GS_VERSION
        "\"},\"traceEvents\":[",
        o.f);
  for (const M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    if (m->trace) write_track(&o, m, end);
  write_common(&o);
  fputs("\n]}\n", o.f);
  bool bad = ferror(o.f) != 0;
  return fclose(o.f) || bad ? GS_ESYS : GS_OK;
}

int gs_trace_stop(void) {
  lock(&tr.lock);
  char *path = tr.path;
  bool was = tr.on;
  store_rlx(&tr.on, false);
  tr.path = NULL;
  for (M *m = load_acq(&gs_sched.allm); was && m; m = m->alllink)
    store_rlx(&m->attn, load_rlx(&m->attn) & ~ATTN_TRACE);
  unlock(&tr.lock);
  if (!was) return GS_EPERM;
  int err = GS_OK;
  /* As a foreign call where that is possible: writing a file may block. */
  if (gs_cgocall(write_all, path, &err) != GS_OK) err = write_all(path);
  free(path);
  return err;
}
