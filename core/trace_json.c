/* trace_json.c: a trace that is over, as Chrome's trace-event JSON, for Perfetto's viewer.
 *
 * Three processes are drawn.  1, "threads": a track per M (tid: its number), a slice per stretch
 * that a G ran, in it one per foreign call, in that one per callback, in which the G may wait or
 * call again; instants for what befell the M's P.  2, "green threads": a track per G (tid: its
 * number), the same slices, and between two stretches what it waited for, or that it was runnable.
 * 3, "procs": a track per P, a slice per stretch that an M had it.  And 4 if there are any: a track
 * per green thread that is a language's own and none of the scheduler's, with what it waited for.
 *
 * All of it is made by replaying events, which is why nothing here can overlap: a stack of what is
 * open, on which an event that does not fit is left out.  The first by the rings of the Ms, in
 * which the events stand in order; the other two by all events, sorted by G or P and then by time.
 * A ring that has wrapped starts in the middle of things: what has no beginning is left out, what
 * has no end ends with the trace.
 *
 * otherData has what the counters have gone up by since the trace began, and how many events were
 * lost; a test compares the events with that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

enum { THREADS = 1, GREENS, PROCS, OTHERS };

typedef struct {
  FILE *f;
  bool any;
  const Trace *t;
} Out;

/* ---- JSON ---- */

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

static void begin(Out *o, const char *ph, int pid, uint64_t tid) {
  fputs(o->any ? ",\n" : "\n", o->f);
  o->any = true;
  fprintf(o->f, "{\"ph\":\"%s\",\"pid\":%d,\"tid\":%llu", ph, pid, (unsigned long long)tid);
}

/* Microseconds, exactly: no float, and so no locale's comma. */
static void put_us(Out *o, const char *what, int64_t ns) {
  if (ns < 0) ns = 0;
  fprintf(o->f, ",\"%s\":%lld.%03d", what, (long long)(ns / 1000), (int)(ns % 1000));
}

static void put_track(Out *o, int pid, uint64_t tid, const char *kind, uint64_t n,
                      const char *name) {
  begin(o, "M", pid, tid);
  fprintf(o->f, ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s%llu%s", kind,
          (unsigned long long)n, *name ? " " : "");
  put_string(o->f, name);
  fputs("\"}}", o->f);
}

static void put_process(Out *o, int pid, const char *name) {
  begin(o, "M", pid, 0);
  fprintf(o->f, ",\"name\":\"process_name\",\"args\":{\"name\":\"%s\"}}", name);
}

/* ---- a stack of what is open ---- */

#define DEEP 64

typedef struct {
  int pid;
  uint64_t tid;
  bool outside; /* callbacks come from nowhere: the track of a foreign thread */
  int n;
  const Event *open[DEEP]; /* EV_GO, EV_CALL, EV_BACK, EV_PARK */
  const Event *gap;        /* of a G's track: why it does not run; NULL: unknown */
} Track;

static void put_slice(Out *o, const Track *t, const Event *e, const Event *end, const char *cat) {
  int64_t to = end ? end->ts : o->t->ended;
  begin(o, "X", t->pid, t->tid);
  put_us(o, "ts", e->ts - o->t->began);
  put_us(o, "dur", to - e->ts);
  fprintf(o->f, ",\"cat\":\"%s%s\",\"name\":\"", t->pid == GREENS ? "track-" : "", cat);
}

static void put_args(Out *o, const Event *e) {
  fprintf(o->f, "\",\"args\":{\"g\":%llu,\"m\":%d", (unsigned long long)e->g, e->mid);
}

static void close_slice(Out *o, Track *t, const Event *end) {
  const Event *e = t->open[--t->n];
  switch (e->kind) {
    case EV_GO:
      put_slice(o, t, e, end, "g");
      fprintf(o->f, "G%llu%s", (unsigned long long)e->g, e->name[0] ? " " : "");
      put_string(o->f, e->name);
      put_args(o, e);
      if (e->flags & EVF_BEGUN) fputs(",\"begun\":true", o->f);
      if (end && end->text) fprintf(o->f, ",\"end\":\"%s\"", end->text);
      if (end && end->kind == EV_PARK) fputs(",\"park\":true", o->f);
      break;
    case EV_CALL:
      put_slice(o, t, e, end, "call");
      if (e->text)
        put_string(o->f, e->text);
      else
        fprintf(o->f, "0x%llx", (unsigned long long)e->n);
      put_args(o, e);
      fprintf(o->f, ",\"retaken\":%s", end && end->kind == EV_RET && end->n ? "true" : "false");
      break;
    case EV_BACK:
      put_slice(o, t, e, end, "callback");
      fputs("callback", o->f);
      put_args(o, e);
      break;
    default: /* inside a callback */
      put_slice(o, t, e, end, "wait");
      put_string(o->f, e->text ? e->text : "");
      put_args(o, e);
      if (e->kind == EV_PARK) fputs(",\"park\":true", o->f);
  }
  fputs("}}", o->f);
}

static void close_all(Out *o, Track *t, const Event *end) {
  while (t->n) close_slice(o, t, end);
}

static void open_slice(Track *t, const Event *e) {
  if (t->n < DEEP) t->open[t->n++] = e;
}

static int top(const Track *t) { return t->n ? t->open[t->n - 1]->kind : 0; }

static bool is_stop(int kind) { return kind == EV_PARK || kind == EV_STOP; }

/* Why a G did not run until `end`. */
static void close_gap(Out *o, Track *t, const Event *end) {
  const Event *e = t->gap;
  t->gap = NULL;
  if (!e || t->pid != GREENS || (end && end->ts == e->ts)) return;
  put_slice(o, t, e, end, e->kind == EV_PARK ? "wait" : "ready");
  put_string(o->f, e->kind == EV_PARK && e->text ? e->text : "runnable");
  put_args(o, e);
  fputs("}}", o->f);
}

static void replay(Out *o, Track *t, const Event *e) {
  switch (e->kind) {
    case EV_GO:
      if (is_stop(top(t)) && t->open[t->n - 1]->g == e->g) {
        close_slice(o, t, e); /* in a callback */
        break;
      }
      close_all(o, t, e);
      close_gap(o, t, e);
      open_slice(t, e);
      break;
    case EV_STOP:
    case EV_PARK:
      if (top(t) == EV_BACK) {
        open_slice(t, e);
      } else {
        close_all(o, t, e);
        close_gap(o, t, e);
        t->gap = e->text == trace_ended ? NULL : e;
      }
      break;
    case EV_UNPARK:
      if (t->n == 0) {
        close_gap(o, t, e);
        t->gap = e;
      }
      break;
    case EV_CALL:
      if (top(t) != EV_CALL) open_slice(t, e);
      break;
    case EV_RET:
      if (top(t) == EV_CALL) close_slice(o, t, e);
      break;
    case EV_BACK:
      if (top(t) == EV_CALL || (t->outside && t->n == 0)) open_slice(t, e);
      break;
    case EV_BACK_END:
      if (top(t) == EV_BACK) close_slice(o, t, e);
      break;
    default: break;
  }
}

static void end_track(Out *o, Track *t) {
  close_all(o, t, NULL);
  close_gap(o, t, NULL);
}

/* ---- the tracks of Ms ---- */

static uint64_t first_of(const TraceBuf *b) { return b->n > RING ? b->n - RING : 0; }

/* What befalls an M's P, by the M itself. */
static void put_steal(Out *o, const Event *e) {
  begin(o, "i", THREADS, (uint64_t)e->mid);
  put_us(o, "ts", e->ts - o->t->began);
  fprintf(o->f, ",\"s\":\"t\",\"cat\":\"sched\",\"name\":\"steal\",\"args\":{\"p\":%llu}}",
          (unsigned long long)e->n);
}

static void write_m(Out *o, const TraceBuf *b, int32_t mid, bool extra) {
  if (!b->n) return;
  Track t = {.pid = THREADS, .tid = (uint64_t)mid, .outside = extra};
  put_track(o, THREADS, (uint64_t)mid, "M", (uint64_t)mid, extra ? "(foreign)" : "");
  for (uint64_t i = first_of(b); i < b->n; i++) {
    const Event *e = &b->ring[i % RING];
    replay(o, &t, e);
    if (e->kind == EV_STEAL) put_steal(o, e);
  }
  end_track(o, &t);
}

/* Which M got the P that this event of the common ring is about; -1: none at once. */
static int receiver(const TraceBuf *b, uint64_t i) {
  const Event *e = &b->ring[i % RING];
  for (uint64_t j = i + 1; j < b->n && j < i + 64; j++) {
    const Event *s = &b->ring[j % RING];
    if (s->n != e->n || s->text != e->text || s->kind < EV_FIRST_P) continue;
    if (s->kind == EV_P_SENT) return s->mid;
    if (s->kind != EV_PASS && s->kind != EV_P_STOP) return -1;
  }
  return -1;
}

static void write_common(Out *o) {
  static const char *const names[] = {
      [EV_HANDOFF] = "handoff", [EV_RETAKE] = "retake", [EV_RELIEF] = "relief"};
  const TraceBuf *b = o->t->common;
  for (uint64_t i = first_of(b); i < b->n; i++) {
    const Event *e = &b->ring[i % RING];
    if (e->kind < EV_HANDOFF || e->kind > EV_RELIEF) continue;
    begin(o, "i", THREADS, (uint64_t)e->mid);
    put_us(o, "ts", e->ts - o->t->began);
    fprintf(o->f, ",\"s\":\"t\",\"cat\":\"sched\",\"name\":\"%s\",\"args\":{", names[e->kind]);
    if (e->flags & EVF_NO_P)
      fputs("\"p\":null", o->f);
    else
      fprintf(o->f, "\"p\":%llu", (unsigned long long)e->n);
    fputs(",\"domain\":\"", o->f);
    put_string(o->f, e->text);
    int to = e->flags & EVF_NO_P ? -1 : receiver(b, i);
    fprintf(o->f, "\",\"from\":%d,\"to\":", e->mid);
    if (to >= 0)
      fprintf(o->f, "%d}}", to);
    else
      fputs("null}}", o->f);
  }
}

/* ---- the tracks of Gs and Ps ---- */

typedef struct {
  uint64_t key; /* of a G its number, of a P its number among all */
  uint64_t seq; /* events of one ring stay in order */
  const Event *e;
} Item;

typedef struct {
  Item *items;
  size_t n;
  uint64_t seq;
} List;

static int by_key_and_time(const void *a, const void *b) {
  const Item *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  if (x->e->ts != y->e->ts) return x->e->ts < y->e->ts ? -1 : 1;
  return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The number of a domain's first P among all Ps. */
static uint64_t first_p(const char *domain) {
  uint64_t n = 0;
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next, n += GS_MAX_PROCS)
    if (d->name == domain) break;
  return n;
}

static void take(List *l, const TraceBuf *b, bool greens) {
  for (uint64_t i = first_of(b); i < b->n; i++, l->seq++) {
    const Event *e = &b->ring[i % RING];
    bool of_g = e->kind < EV_FIRST_P;
    if (greens ? !of_g || !e->g : e->kind < EV_PASS || e->kind > EV_P_STOP) continue;
    l->items[l->n++] = (Item){greens ? e->g : first_p(e->text) + e->n, l->seq, e};
  }
}

static void sort(Out *o, List *l, bool greens) {
  l->n = 0;
  take(l, o->t->common, greens);
  for (size_t i = 0; i < o->t->n; i++) take(l, o->t->of[i].b, greens);
  if (l->n) qsort(l->items, l->n, sizeof *l->items, by_key_and_time);
}

static const char *name_in(const Item *it, const Item *end) {
  for (const Item *i = it; i < end && i->key == it->key; i++)
    if (i->e->kind == EV_GO && i->e->name[0]) return i->e->name;
  return "";
}

static void put_instant(Out *o, int pid, uint64_t tid, const char *name, const Event *e) {
  begin(o, "i", pid, tid);
  put_us(o, "ts", e->ts - o->t->began);
  fprintf(o->f, ",\"s\":\"t\",\"cat\":\"sched\",\"name\":\"%s\",\"args\":{\"by\":%d}}", name,
          e->mid);
}

static void write_gs(Out *o, const List *l) {
  const Item *it = l->items, *end = it + l->n;
  while (it < end) {
    uint64_t g = it->key;
    Track t = {.pid = GREENS, .tid = g, .outside = true};
    put_track(o, GREENS, g, "G", g, name_in(it, end));
    for (; it < end && it->key == g; it++) {
      replay(o, &t, it->e);
      if (it->e->kind == EV_UNPARK) put_instant(o, GREENS, g, "unpark", it->e);
    }
    end_track(o, &t);
  }
}

static void put_had(Out *o, uint64_t tid, const Event *e, const Event *end) {
  if (!e) return;
  Track t = {.pid = PROCS, .tid = tid};
  put_slice(o, &t, e, end, "p");
  fprintf(o->f, "M%d\",\"args\":{\"m\":%d,\"p\":%llu}}", e->mid, e->mid, (unsigned long long)e->n);
}

static void write_ps(Out *o, const List *l) {
  const Item *it = l->items, *end = it + l->n;
  while (it < end) {
    uint64_t p = it->key;
    const Event *had = NULL;
    put_track(o, PROCS, p, "P", it->e->n, it->e->text);
    for (; it < end && it->key == p; it++) {
      if (it->e->kind == EV_PASS) {
        put_instant(o, PROCS, p, "pass", it->e);
        continue;
      }
      put_had(o, p, had, it->e);
      had = it->e->kind == EV_P_START ? it->e : NULL;
    }
    put_had(o, p, had, NULL);
  }
}

/* ---- the tracks of green threads that are no Gs ---- */

static int by_id_and_time(const void *a, const void *b) {
  const Mark *x = a, *y = b;
  if (x->id != y->id) return x->id < y->id ? -1 : 1;
  return x->ts < y->ts ? -1 : x->ts > y->ts;
}

/* Until the next one of the same, or the end. */
static void put_mark(Out *o, const Mark *m, const Mark *next) {
  int64_t to = next ? next->ts : o->t->ended;
  if (m->what == GS_TRACK_ENDED || to == m->ts) return;
  begin(o, "X", OTHERS, m->id);
  put_us(o, "ts", m->ts - o->t->began);
  put_us(o, "dur", to - m->ts);
  fprintf(o->f, ",\"cat\":\"track-%s\",\"name\":\"", m->what == GS_TRACK_RUNS ? "g" : "wait");
  put_string(o->f, m->what == GS_TRACK_RUNS ? m->name : m->why);
  fputs("\"}", o->f);
}

static void write_others(Out *o) {
  const Trace *t = o->t;
  size_t n = t->nmarks < MARKS ? (size_t)t->nmarks : MARKS;
  if (!n) return;
  put_process(o, OTHERS, "green threads of languages' own");
  qsort(t->marks, n, sizeof *t->marks, by_id_and_time);
  for (size_t i = 0; i < n; i++) {
    const Mark *m = &t->marks[i];
    if (i == 0 || m[-1].id != m->id) {
      begin(o, "M", OTHERS, m->id);
      fputs(",\"name\":\"thread_name\",\"args\":{\"name\":\"", o->f);
      put_string(o->f, m->name);
      fputs("\"}}", o->f);
    }
    put_mark(o, m, i + 1 < n && m[1].id == m->id ? m + 1 : NULL);
  }
}

/* ---- all of it ---- */

static void write_figures(Out *o) {
  const Trace *t = o->t;
  uint64_t lost = first_of(t->common) + (t->nmarks > MARKS ? t->nmarks - MARKS : 0);
  for (size_t i = 0; i < t->n; i++) lost += first_of(t->of[i].b);
  fprintf(o->f,
          "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"writer\":\"gosched " GS_VERSION
          "\",\"lost\":%llu,\"metrics\":{",
          (unsigned long long)lost);
  const gs_metric *m;
  bool any = false;
  for (size_t i = 0; (m = gs_metric_info(i)); i++) {
    if (m->kind != GS_COUNTER) continue;
    uint64_t before, after;
    memcpy(&before, (const char *)&t->before + m->offset, sizeof before);
    memcpy(&after, (const char *)&t->after + m->offset, sizeof after);
    fprintf(o->f, "%s\"%s\":%llu", any ? "," : "", m->name, (unsigned long long)(after - before));
    any = true;
  }
  fputs("}},\"traceEvents\":[", o->f);
}

int trace_write(const Trace *t) {
  size_t most = t->common->n < RING ? t->common->n : RING;
  for (size_t i = 0; i < t->n; i++) most += t->of[i].b->n < RING ? t->of[i].b->n : RING;
  List l = {.items = calloc(most + 1, sizeof *l.items)};
  if (!l.items) return GS_ENOMEM;
  Out o = {fopen(t->path, "we"), false, t};
  if (!o.f) {
    int e = errno;
    free(l.items);
    errno = e;
    return GS_ESYS;
  }
  write_figures(&o);
  put_process(&o, THREADS, "threads");
  put_process(&o, GREENS, "green threads");
  put_process(&o, PROCS, "procs");
  for (size_t i = 0; i < t->n; i++) write_m(&o, t->of[i].b, t->of[i].mid, t->of[i].extra);
  write_common(&o);
  sort(&o, &l, true);
  write_gs(&o, &l);
  sort(&o, &l, false);
  write_ps(&o, &l);
  write_others(&o);
  fputs("\n]}\n", o.f);
  free(l.items);
  bool bad = ferror(o.f) != 0;
  return fclose(o.f) || bad ? GS_ESYS : GS_OK;
}
