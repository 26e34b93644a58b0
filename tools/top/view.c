/* view.c: the picture that gosched-top shows.  `python -m gosched top` shows the same
 * (bindings/python/gosched/top.py): who changes one changes the other, and a test compares them.
 *
 * Names come from the program that is looked at: what could be an order to the terminal is shown as
 * a question mark.
 */
#define _GNU_SOURCE
#include "view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  FILE *out;
  const char *line_end;
  int rows, columns; /* 0: no limit */
  int printed;       /* lines */
} Page;

/* ---- lines ---- */

/* Control characters of ASCII, and those of ISO 8859 (U+0080 to U+009F). */
static void make_harmless(char *s) {
  for (unsigned char *p = (unsigned char *)s; *p; p++) {
    if (*p < 0x20 || *p == 0x7f) *p = '?';
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) p[0] = p[1] = '?';
  }
}

static void cut(char *s, int columns) {
  int n = 0;
  for (char *p = s; *p; p++)
    if (((unsigned char)*p & 0xc0) != 0x80 && ++n > columns) {
      *p = 0;
      return;
    }
}

__attribute__((format(printf, 2, 3))) static void line(Page *p, const char *fmt, ...) {
  char *text;
  va_list ap;
  if (p->rows && p->printed >= p->rows) return;
  va_start(ap, fmt);
  int n = vasprintf(&text, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  make_harmless(text);
  while (n > 0 && text[n - 1] == ' ') text[--n] = 0;
  if (p->columns) cut(text, p->columns);
  fprintf(p->out, "%s%s", text, p->line_end);
  free(text);
  p->printed++;
}

/* ---- amounts ---- */

#define AMOUNT 24
/* 12 ms, 3.4 s, 2 min: short, and as exact as it is of use. */
static const char *duration(double ns, char *out) {
  if (ns < 1e3)
    snprintf(out, AMOUNT, "%.0f ns", ns);
  else if (ns < 1e6)
    snprintf(out, AMOUNT, "%.1f us", ns / 1e3);
  else if (ns < 1e9)
    snprintf(out, AMOUNT, "%.1f ms", ns / 1e6);
  else if (ns < 120e9)
    snprintf(out, AMOUNT, "%.1f s", ns / 1e9);
  else
    snprintf(out, AMOUNT, "%.1f min", ns / 60e9);
  return out;
}

static double seconds_between(const json_value *now, const json_value *before) {
  return before ? (json_number(now, "now") - json_number(before, "now")) / 1e9 : 0;
}

/* "-": there is nothing to compare with. */
static const char *rate(const json_value *now, const json_value *before, const char *metric,
                        char *out) {
  double seconds = seconds_between(now, before);
  double more = json_number(json_get(now, "metrics"), metric) -
                json_number(json_get(before, "metrics"), metric);
  if (seconds <= 0)
    strcpy(out, "-");
  else
    snprintf(out, AMOUNT, "%.0f", more / seconds);
  return out;
}

/* ---- the parts ---- */

static size_t length(const json_value *list) {
  return list && list->kind == JSON_LIST ? list->n : 0;
}

static const json_value *m_of(const json_value *answer, double id) {
  const json_value *ms = json_get(answer, "ms");
  for (size_t i = 0; i < length(ms); i++)
    if (json_number(&ms->items[i], "id") == id) return &ms->items[i];
  return NULL;
}

static int with(const json_value *list, const char *key, const char *is) {
  int n = 0;
  for (size_t i = 0; i < length(list); i++) n += strcmp(json_text(&list->items[i], key), is) == 0;
  return n;
}

static void head(Page *p, const json_value *now, const json_value *before) {
  const json_value *states = json_get(now, "states"), *ms = json_get(now, "ms");
  const json_value *ps = json_get(now, "ps");
  char a[AMOUNT], b[AMOUNT], c[AMOUNT], d[AMOUNT], e[AMOUNT];
  double queued = 0;
  for (size_t i = 0; i < length(ps); i++) queued += json_number(&ps->items[i], "runq");
  line(p, "%s (pid %.0f), gosched %s", json_text(now, "program"), json_number(now, "pid"),
       json_text(now, "gosched"));
  line(p, "Gs  %5.0f: %.0f waiting, %.0f in C, %.0f running, %.0f runnable",
       json_number(states, "waiting") + json_number(states, "syscall") +
           json_number(states, "running") + json_number(states, "runnable"),
       json_number(states, "waiting"), json_number(states, "syscall"),
       json_number(states, "running"), json_number(states, "runnable"));
  line(p,
       "Ms  %5zu: %d in C, %d in user code, %d in the scheduler, %d idle; and %.0f of the system",
       length(ms), with(ms, "mode", "call"), with(ms, "mode", "user"), with(ms, "mode", "inside"),
       with(ms, "mode", "idle"), json_number(json_get(now, "metrics"), "threads_system"));
  line(p, "Ps  %5zu: %d idle, %.0f Gs queued on them", length(ps), with(ps, "status", "idle"),
       queued);
  line(p, "per second: %s hand-offs, %s retakes, %s calls, %s switches, %s parks",
       rate(now, before, "handoffs", a), rate(now, before, "retakes", b),
       rate(now, before, "cgocalls", c), rate(now, before, "switches", d),
       rate(now, before, "parks", e));
}

static void waits(Page *p, const json_value *now) {
  const json_value *list = json_get(now, "waits");
  if (!length(list)) return;
  line(p, "%s", "");
  line(p, "%-32s %7s", "WAITING FOR", "GS");
  for (size_t i = 0; i < length(list); i++)
    line(p, "%-32s %7.0f", json_text(&list->items[i], "name"),
         json_number(&list->items[i], "count"));
}

static void functions(Page *p, const json_value *now) {
  const json_value *list = json_get(now, "functions");
  char a[AMOUNT], b[AMOUNT];
  if (!length(list)) return;
  line(p, "%s", "");
  line(p, "%-32s %7s %12s %10s %10s", "SLOW FOREIGN FUNCTION", "NOW", "BLOCKED", "TOTAL",
       "LONGEST");
  for (size_t i = 0; i < length(list); i++) {
    const json_value *f = &list->items[i];
    line(p, "%-32s %7.0f %12.0f %10s %10s", json_text(f, "name"), json_number(f, "now"),
         json_number(f, "blocked"),
         duration(json_number(f, "blocked_ns") + json_number(f, "sampled_ns"), a),
         duration(json_number(f, "longest_ns"), b));
  }
}

static void calls(Page *p, const json_value *now) {
  const json_value *list = json_get(now, "calls");
  char a[AMOUNT];
  if (!length(list)) return;
  line(p, "%s", "");
  line(p, "%-32s %7s %12s", "IN C NOW", "GS", "LONGEST");
  for (size_t i = 0; i < length(list); i++)
    line(p, "%-32s %7.0f %12s", json_text(&list->items[i], "name"),
         json_number(&list->items[i], "count"),
         duration(json_number(&list->items[i], "longest_ns"), a));
}

static void thread(Page *p, const json_value *m, const json_value *now, const json_value *before) {
  const json_value *old = before ? m_of(before, json_number(m, "id")) : NULL;
  double seconds = seconds_between(now, before);
  char cpu[AMOUNT] = "-", g[AMOUNT] = "", holds[AMOUNT] = "", *in = NULL, a[AMOUNT];
  const char *at = json_text(m, "at");
  if (old && seconds > 0 && json_number(old, "tid") == json_number(m, "tid"))
    snprintf(cpu, sizeof cpu, "%.0f",
             (json_number(m, "cpu_ns") - json_number(old, "cpu_ns")) / seconds / 1e7);
  if (json_number(m, "g")) snprintf(g, sizeof g, "G%.0f", json_number(m, "g"));
  if (json_number(m, "p") >= 0) snprintf(holds, sizeof holds, "P%.0f", json_number(m, "p"));
  if (json_get(m, "call")) {
    double ns = json_number(m, "call_ns");
    if (asprintf(&in, "%s%s%s%s%s", json_text(m, "call"), ns > 0 ? " for " : "",
                 ns > 0 ? duration(ns, a) : "", *at ? ", at " : "", at) < 0)
      return;
  }
  line(p, "M%-5.0f %8.0f %-8s %5s %-8s %-5s %s", json_number(m, "id"), json_number(m, "tid"),
       json_text(m, "mode"), cpu, g, holds, in ? in : at);
  free(in);
}

static int by_id(const void *a, const void *b) {
  double x = json_number(*(const json_value *const *)a, "id");
  double y = json_number(*(const json_value *const *)b, "id");
  return (x > y) - (x < y);
}

static void threads(Page *p, const json_value *now, const json_value *before) {
  const json_value *ms = json_get(now, "ms");
  size_t n = length(ms);
  const json_value **sorted = malloc((n + 1) * sizeof *sorted);
  if (!sorted) return;
  for (size_t i = 0; i < n; i++) sorted[i] = &ms->items[i];
  qsort(sorted, n, sizeof *sorted, by_id);
  line(p, "%s", "");
  line(p, "%-6s %8s %-8s %5s %-8s %-5s %s", "M", "TID", "MODE", "CPU%", "G", "P", "IN");
  for (size_t i = 0; i < n; i++) thread(p, sorted[i], now, before);
  free(sorted);
}

void view_print(FILE *out, const json_value *now, const json_value *before, int rows, int columns,
                const char *line_end) {
  Page p = {out, line_end, rows, columns, 0};
  head(&p, now, before);
  waits(&p, now);
  functions(&p, now);
  calls(&p, now);
  threads(&p, now, before);
}
