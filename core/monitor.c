/* monitor.c: what a program that looks at this one from outside is told, as JSON: a line in, a line
 * out (docs/monitor.md).  The socket is the system's part, core/os/.
 *
 * Everything is read as gs_snapshot and gs_dump read it: nobody is stopped and no lock is taken, so
 * an answer costs the program nothing but the CPU time of the thread that writes it, and for a dump
 * what the languages of the process need to tell of themselves (tell.c).  That thread is the
 * runtime's and no M: it runs no green thread, holds no P, and what it does wakes nobody but, for a
 * dump, who tells, so it does not keep a deadlock from being found.
 */
#include "monitor.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "runtime.h"

#define UNCHECKED __attribute__((no_sanitize("thread"))) /* words of others, as they are */

static const char *const g_states[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
static const char *const p_states[] = {"idle", "running", "syscall", "stopped", "dead"};
static const char *const m_modes[] = {"inside", "call", "user", "stopped"};
#define NAME_IN(names, i) ((size_t)(i) < sizeof(names) / sizeof *(names) ? (names)[i] : "?")

/* ---- counting what is alike ---- */

/* By name, those that come first; the others are one row.  A program has few wait reasons, and few
 * foreign functions that are called at once. */
#define MOST_ROWS 64
typedef struct {
  const char *name;
  uint64_t count;
  int64_t longest; /* ns */
} Row;
typedef struct {
  Row row[MOST_ROWS + 1];
  int n;
} Rows;

static void count(Rows *r, const char *name, int64_t ns) {
  int i = 0, named = r->n < MOST_ROWS ? r->n : MOST_ROWS;
  while (i < named && strcmp(r->row[i].name, name) != 0) i++;
  if (i == r->n) r->row[r->n++] = (Row){i < MOST_ROWS ? name : "others", 0, 0};
  r->row[i].count++;
  if (ns > r->row[i].longest) r->row[i].longest = ns;
}

static int by_count(const void *a, const void *b) {
  const Row *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return strcmp(x->name, y->name);
}

static void put_rows(Json *j, const char *key, Rows *r, bool times) {
  qsort(r->row, (size_t)r->n, sizeof *r->row, by_count);
  json_open(j, key, '[');
  for (int i = 0; i < r->n; i++) {
    json_open(j, NULL, '{');
    json_string(j, "name", r->row[i].name);
    json_uint(j, "count", r->row[i].count);
    if (times) json_int(j, "longest_ns", r->row[i].longest);
    json_close(j, '}');
  }
  json_close(j, ']');
}

/* ---- the parts ---- */

static M *m_of(int id) {
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    if (m->id == id) return m;
  return NULL;
}

/* Since when an M has been in its foreign call, as far as somebody has looked; 0: not known. */
UNCHECKED static int64_t in_call_since(const M *m) {
  const G *g = load_rlx(&m->curg);
  if (!g || (load_acq(&m->sc) & SC_MODE) != SC_CALL) return 0;
  if (g->handed_at) return g->handed_at;
  if (load_rlx(&m->long_sc) == load_rlx(&m->sc)) return load_rlx(&m->long_since);
  return load_rlx(&g->waitsince);
}

UNCHECKED static const char *call_of(const M *m) {
  const G *g = load_rlx(&m->curg);
  const gs_site *site = g ? load_rlx(&g->site) : NULL;
  return site && site->name ? site->name : "a foreign call";
}

/* Where its thread sleeps, or has called C: the innermost function that is known by name. */
static void put_place(Json *j, uint32_t tid) {
  char text[200];
  void *sp, *pc;
  if (!os_thread_at(tid, &sp, &pc)) return; /* it computes */
  os_describe(pc, text, sizeof text);
  json_string(j, "at", text);
}

UNCHECKED static void put_m(Json *j, const gs_m_info *i, int64_t now, Rows *calls) {
  const M *m = m_of(i->id);
  int64_t cpu = os_thread_cputime_of(i->tid);
  if (!m || !i->tid || cpu < 0) return; /* the struct waits for its first, or its next thread */
  bool in_call = i->mode == GS_M_CALL, foreign = m->extrag && !i->ncgo;
  json_open(j, NULL, '{');
  json_int(j, "id", i->id);
  json_uint(j, "tid", i->tid);
  json_string(j, "mode", i->idle ? "idle" : NAME_IN(m_modes, i->mode));
  json_int(j, "p", i->p);
  json_string(j, "domain", i->domain);
  json_uint(j, "g", i->g);
  json_uint(j, "locked_g", i->locked_g);
  json_uint(j, "ncgo", i->ncgo);
  json_uint(j, "ncgocall", i->ncgocall);
  json_bool(j, "spinning", i->spinning != 0);
  json_int(j, "cpu_ns", cpu);
  if (in_call) {
    int64_t since = in_call_since(m), ns = since && now > since ? now - since : 0;
    json_string(j, "call", call_of(m));
    json_int(j, "call_ns", ns);
    if (!foreign) count(calls, call_of(m), ns);
  }
  if (in_call || i->mode == GS_M_USER) put_place(j, i->tid);
  json_close(j, '}');
}

static void put_p(Json *j, const gs_p_info *p) {
  json_open(j, NULL, '{');
  json_string(j, "domain", p->domain);
  json_int(j, "id", p->id);
  json_string(j, "status", NAME_IN(p_states, p->status));
  json_int(j, "m", p->m);
  json_uint(j, "runq", p->runq);
  json_uint(j, "schedtick", p->schedtick);
  json_uint(j, "syscalltick", p->syscalltick);
  json_close(j, '}');
}

static void put_g(Json *j, const gs_g_info *g) {
  json_open(j, NULL, '{');
  json_uint(j, "id", g->id);
  json_string(j, "name", g->name);
  json_string(j, "state", NAME_IN(g_states, g->state));
  json_string(j, "wait_reason", g->wait_reason);
  json_int(j, "since", g->since);
  json_string(j, "call", g->call);
  json_string(j, "domain", g->domain);
  json_int(j, "m", g->m);
  json_int(j, "locked_m", g->locked_m);
  json_bool(j, "system", g->system != 0);
  json_bool(j, "cancelled", g->cancelled != 0);
  json_bool(j, "detached", g->detached != 0);
  json_close(j, '}');
}

/* A histogram is its sum, its count, and its buckets with their upper ends. */
static void put_histogram(Json *j, const char *key, const gs_histogram *h) {
  uint64_t n = 0;
  json_open(j, key, '{');
  json_uint(j, "sum_ns", h->sum_ns);
  json_open(j, "bucket", '[');
  for (int i = 0; i < GS_BUCKETS; i++) {
    json_uint(j, NULL, h->bucket[i]);
    n += h->bucket[i];
  }
  json_close(j, ']');
  json_uint(j, "count", n);
  json_close(j, '}');
}

static void put_metrics(Json *j, const char *key) {
  gs_metrics x = {.size = sizeof x};
  const gs_metric *m;
  (void)gs_read_metrics(&x);
  json_open(j, key, '{');
  for (size_t i = 0; (m = gs_metric_info(i)); i++) {
    const char *at = (const char *)&x + m->offset;
    if (m->kind == GS_HISTOGRAM)
      put_histogram(j, m->name, (const gs_histogram *)(const void *)at);
    else
      json_uint(j, m->name, *(const uint64_t *)(const void *)at);
  }
  json_close(j, '}');
}

#define FUNCTIONS 32 /* those that took the most time */
static void put_functions(Json *j) {
  gs_profile_entry e[FUNCTIONS];
  size_t n = gs_profile(e, FUNCTIONS);
  json_open(j, "functions", '[');
  for (size_t i = 0; i < n && i < FUNCTIONS; i++) {
    json_open(j, NULL, '{');
    json_string(j, "name", e[i].name);
    json_uint(j, "blocked", e[i].blocked);
    json_uint(j, "blocked_ns", e[i].blocked_ns);
    json_uint(j, "longest_ns", e[i].longest_ns);
    json_uint(j, "retakes", e[i].retakes);
    json_uint(j, "samples", e[i].samples);
    json_uint(j, "sampled_ns", e[i].sampled_ns);
    json_uint(j, "now", e[i].now);
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void put_states(Json *j, const gs_snapshot_data *s) {
  uint64_t states[sizeof g_states / sizeof *g_states] = {0};
  Rows waits = {.n = 0};
  for (size_t i = 0; i < s->ng; i++) {
    states[s->g[i].state]++;
    if (s->g[i].state == GS_G_WAITING) count(&waits, s->g[i].wait_reason, 0);
  }
  json_open(j, "states", '{');
  for (size_t i = GS_G_RUNNABLE; i <= GS_G_WAITING; i++) json_uint(j, g_states[i], states[i]);
  json_close(j, '}');
  put_rows(j, "waits", &waits, false);
}

static void put_head(Json *j) {
  json_string(j, "gosched", GS_VERSION);
  json_int(j, "pid", os_getpid());
  json_string(j, "program", os_program());
  json_int(j, "now", os_now());
}

/* ---- the answers ---- */

static void put_error(Json *j, const char *text) {
  json_open(j, NULL, '{');
  json_string(j, "error", text);
  json_close(j, '}');
}

/* each: with every green thread. */
static void snapshot(Json *j, bool each) {
  gs_snapshot_data *s;
  if (gs_snapshot(&s)) {
    put_error(j, "out of memory");
    return;
  }
  Rows calls = {.n = 0};
  json_open(j, NULL, '{');
  put_head(j);
  put_metrics(j, "metrics");
  put_states(j, s);
  json_open(j, "ms", '[');
  for (size_t i = 0; i < s->nm; i++) put_m(j, &s->m[i], s->when, &calls);
  json_close(j, ']');
  put_rows(j, "calls", &calls, true);
  put_functions(j);
  json_open(j, "ps", '[');
  for (size_t i = 0; i < s->np; i++) put_p(j, &s->p[i]);
  json_close(j, ']');
  if (each) {
    json_open(j, "gs", '[');
    for (size_t i = 0; i < s->ng; i++) put_g(j, &s->g[i]);
    json_close(j, ']');
  }
  json_close(j, '}');
  gs_snapshot_free(s);
}

static void dump(Json *j) {
  size_t n;
  char *text = os_text_of(gs_dump, &n);
  if (!text) {
    put_error(j, "out of memory");
    return;
  }
  json_open(j, NULL, '{');
  put_head(j);
  json_bytes(j, "dump", text, n);
  json_close(j, '}');
  free(text);
}

static void metrics_alone(Json *j) {
  json_open(j, NULL, '{');
  put_head(j);
  put_metrics(j, "metrics");
  json_close(j, '}');
}

char *monitor_answer(const char *request, size_t *n) {
  Json j = {NULL, 0, 0, false};
  if (strcmp(request, "snapshot") == 0)
    snapshot(&j, true);
  else if (strcmp(request, "top") == 0)
    snapshot(&j, false);
  else if (strcmp(request, "metrics") == 0)
    metrics_alone(&j);
  else if (strcmp(request, "dump") == 0)
    dump(&j);
  else
    put_error(&j, "the request is a line that says snapshot, top, metrics or dump");
  json_newline(&j);
  if (!j.failed) {
    *n = j.len;
    return j.at;
  }
  free(j.at);
  return NULL;
}
