/* trace.c: recording what ran where and when.
 *
 * While a trace is on, every M writes events into a ring of its own (the newest are kept) and
 * nobody else does; events that concern an M but happen elsewhere - a P was taken from it, a P was
 * given to one, a G was woken by a thread that is no M - go to a common ring under a lock.  With
 * tracing off an operation pays one test of m->attn, which stands in the cache line that it touches
 * anyway.  A subscriber is called where the events are written.
 *
 * Who may touch a ring.  An M sets m->tracing, then takes m->trace, writes, and clears m->tracing.
 * Whoever ends a trace takes m->trace away, then waits until m->tracing is clear: both sides are
 * seq_cst, so either the M finds no ring, or it is waited for.  From there on the ring belongs to
 * who ends the trace, who writes it down and frees it; the next trace has new ones.  So nobody
 * reads what is being written, and no event of a straggler gets into another trace.  The same wait
 * ends a subscription.  An M that is made while a trace begins is in the list before it looks
 * whether one is on (trace_m_init), and the beginning says that it is on before it goes through the
 * list: one of them gives it a ring.
 *
 * A foreign call that loses its P is traced as three events, Go's GoSysCall, GoSysBlock and
 * GoSysExit: EV_CALL by its M, then EV_HANDOFF (at entry) or EV_RETAKE (by sysmon), then EV_RET.
 * The middle one comes at most once in a call, and once more after each callback, and only between
 * the other two.  EV_RET is written by exitsyscall when the M is inside again and knows whether its
 * P is its own; sysmon writes EV_RETAKE before it lets the M's pw go, for which exitsyscall waits.
 * The G carries the number of the trace that has its EV_CALL: a call that began before the trace
 * has neither.
 *
 * Names of Gs are copied into the events, because a G that has ended may be another one by the time
 * the trace is written; all other texts live for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

const char trace_ended[] = "ended";

typedef void (*Subscriber)(const gs_trace_event *, void *);

static struct {
  Lock lock;       /* start, stop and subscription, and the common ring */
  bool on;         /* rings are written; lock, atomic */
  bool busy;       /* a trace is being written to its file; lock */
  uint32_t number; /* of this trace, or of the last one; never 0 while one is on; atomic */
  Trace t;         /* lock */
  Subscriber cb;   /* atomic */
  void *ud;        /* set before cb, while that is NULL */
} tr = {.lock = LOCK_INIT(RANK_TRACE)};

/* Somebody listens; the flag that stands for m->attn where there is no M. */
static bool listening(void) { return load_sc(&tr.on) || load_sc(&tr.cb); }

bool trace_is_on(void) { return unlikely(load_rlx(&tr.on)) || unlikely(load_rlx(&tr.cb) != NULL); }

/* ---- events ---- */

static void tell(Subscriber cb, const Event *e) {
  const gs_trace_event out = {
      .when = e->ts,
      .kind = e->kind,
      .m = e->mid,
      .g = e->g,
      .p = e->kind >= EV_FIRST_P && !(e->flags & EVF_NO_P) ? (int)e->n : -1,
      .text = e->kind == EV_GO ? e->name
              : e->text        ? e->text
                               : "",
  };
  cb(&out, tr.ud);
}

static void put(TraceBuf *b, const Event *e) {
  b->ring[b->n % RING] = *e;
  b->n++;
}

/* By the thread of m. */
static void own_event(M *m, Event *e) {
  e->mid = m->id;
  store_sc(&m->tracing, 1);
  fence_after_rmw();
  torture_window(); /* the trace may end now: it waits for this M, or the ring is gone */
  TraceBuf *b = load_sc(&m->trace);
  Subscriber cb = load_sc(&tr.cb);
  e->ts = os_now();
  if (b) put(b, e);
  if (unlikely(cb != NULL)) tell(cb, e);
  store_rel(&m->tracing, 0);
}

/* About an M (NULL: none), by any thread. */
static void common_event(const M *m, Event *e) {
  e->mid = m ? m->id : -1;
  lock(&tr.lock);
  e->ts = os_now();
  if (tr.on) put(tr.t.common, e);
  if (unlikely(tr.cb != NULL)) tell(tr.cb, e);
  unlock(&tr.lock);
}

static void go_event(M *m, const G *g, int16_t flags) {
  Event e = {.kind = EV_GO, .flags = flags, .g = g->goid};
  memcpy(e.name, g->name, NAME);
  own_event(m, &e);
}

void trace_go(M *m, const G *g) { go_event(m, g, 0); }

void trace_stop(M *m, const G *g, int kind, const char *why) {
  Event e = {.kind = (int16_t)kind, .g = g->goid, .text = why};
  own_event(m, &e);
}

void trace_unpark(M *m, const G *g) {
  Event e = {.kind = EV_UNPARK, .g = g->goid};
  M *here = m ? m : gs_getm();
  /* An M's ring is written by its thread alone, and by that only inside. */
  if (m)
    own_event(m, &e);
  else
    common_event(here, &e);
}

void trace_p(M *m, int kind, const P *p) {
  Event e = {.kind = (int16_t)kind, .n = p->id, .text = p->d->name};
  if (kind == EV_P_START || kind == EV_P_STOP || kind == EV_STEAL)
    own_event(m, &e);
  else
    common_event(m, &e);
}

void trace_p_lost(const M *m, const P *p) {
  Event e = {.kind = EV_P_STOP, .n = p->id, .text = p->d->name};
  common_event(m, &e);
}

void trace_lock(bool on) { fork_lock(&tr.lock, on); }
void trace_forked(void) { tr.busy = false; } /* who writes a file is not here */

/* ---- foreign calls ---- */

static void call_event(M *m, const G *g, int kind, uint64_t what, const gs_site *site) {
  Event e = {
      .kind = (int16_t)kind, .g = g->goid, .n = what, .text = site ? load_rlx(&site->name) : NULL};
  own_event(m, &e);
}

bool trace_call_begin(M *m, G *g, uint64_t what, const gs_site *site) {
  if (likely(!is_traced(m))) return false;
  call_event(m, g, EV_CALL, what, site);
  store_rlx(&g->calltraced, load_rlx(&tr.number));
  return true;
}

bool trace_call_blocks(M *m, G *g, int kind, P *p) {
  if (likely(load_rlx(&g->calltraced) == 0)) return false;
  uint32_t in = xchg(&g->calltraced, 0);
  torture_window(); /* the call returns now; it waits until the event is written */
  if (!in || in != load_rlx(&tr.number) || !listening()) return false;
  Event e = {.kind = (int16_t)kind, .g = g->goid, .text = g->d->name, .flags = EVF_NO_P};
  if (p) {
    e.flags = 0;
    e.n = p->id;
    e.text = p->d->name;
  }
  common_event(m, &e);
  return true;
}

/* The G is inside again, on the M that made the call, and what became of its P is decided: nobody
 * takes it any more, and whoever took it has written that before it let pw go.  m->trace_end says
 * what ends or begins here: the call, or a callback out of it. */
void trace_call_over(M *m, G *g, const gs_site *site, bool lost) {
  int kind = m->trace_end;
  m->trace_end = 0;
  store_rlx(&g->calltraced, 0);
  call_event(m, g, kind, kind == EV_RET ? lost : 0, site);
}

void trace_back_end(M *m, G *g) {
  call_event(m, g, EV_BACK_END, 0, NULL);
  store_rlx(&g->calltraced, load_rlx(&tr.number));
}

/* ---- what a language tells of its own ---- */

/* Cut between two characters. */
static void copy_name(char to[NAME], const char *s) {
  size_t n = strlen(s), keep = n < NAME ? n : NAME - 1;
  while (keep > 0 && keep < n && ((unsigned char)s[keep] & 0xC0) == 0x80) keep--;
  memcpy(to, s, keep);
  to[keep] = 0;
}

int gs_trace_recording(void) { return load_rlx(&tr.on); }

void gs_trace_track(uint64_t id, const char *name, int what, const char *why) {
  if (likely(!load_rlx(&tr.on))) return;
  lock(&tr.lock);
  if (tr.on && !tr.t.marks) tr.t.marks = calloc(MARKS, sizeof *tr.t.marks);
  if (tr.on && tr.t.marks) {
    Mark *m = &tr.t.marks[tr.t.nmarks++ % MARKS];
    m->ts = os_now();
    m->id = id;
    m->what = what;
    copy_name(m->name, name ? name : "");
    copy_name(m->why, why ? why : "");
  }
  unlock(&tr.lock);
}

/* ---- who listens to whom ---- */

/* tr.lock is held.  attn is written under it alone. */
static bool give_buffer(M *m) {
  if (tr.on && !m->trace) {
    TraceBuf *b = calloc(1, sizeof *b);
    if (!b) return false;
    store_sc(&m->trace, b);
  }
  store_rlx(&m->attn, load_rlx(&m->attn) | ATTN_TRACE);
  return true;
}

/* A new M, or one that is used again, while a trace may be on. */
void trace_m_init(M *m) {
  fence_sc(); /* it is in the list, and now looks; see the top */
  if (!listening()) return;
  lock(&tr.lock);
  if (listening()) give_buffer(m);
  unlock(&tr.lock);
}

static void calm(void) {
  if (tr.on || tr.cb) return;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    store_rlx(&m->attn, load_rlx(&m->attn) & ~ATTN_TRACE);
}

/* After what it may still use is out of its reach. */
static void wait_for_writer(const M *m) {
  fence_after_rmw();
  while (load_sc(&m->tracing)) os_sleep_ns(20000);
}

int gs_trace_subscribe(void (*cb)(const gs_trace_event *event, void *ud), void *ud) {
  int err = GS_OK;
  lock(&tr.lock);
  if (cb && tr.cb) {
    unlock(&tr.lock);
    return gs_fail(GS_EBUSY, "gs_trace_subscribe: there is a subscriber already");
  }
  if (cb) tr.ud = ud;
  if (cb && !load_rlx(&tr.number)) store_rlx(&tr.number, 1);
  (void)xchg(&tr.cb, cb);
  for (M *m = load_acq(&gs_sched.allm); cb && m; m = m->alllink)
    if (!give_buffer(m)) err = GS_ENOMEM;
  if (!cb) calm();
  unlock(&tr.lock);
  for (M *m = load_acq(&gs_sched.allm); !cb && m; m = m->alllink) wait_for_writer(m);
  return err;
}

/* ---- start and stop ---- */

/* What holds already when the trace begins: who has which P.  tr.lock is held. */
static void begin_with_ps(void) {
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    for (uint32_t i = 0; i < load_acq(&d->nallp); i++) {
      const P *p = d->allp[i];
      const M *m = load_acq(&p->m);
      Event e = {.kind = EV_P_START, .n = p->id, .text = d->name, .ts = tr.t.began};
      if (!m) continue;
      e.mid = m->id;
      put(tr.t.common, &e);
    }
}

int gs_trace_start(const char *path) {
  if (!path || !*path)
    return gs_fail(GS_EINVAL, "gs_trace_start: path is %s", path ? "empty" : "NULL");
  char *copy = strdup(path);
  TraceBuf *common = calloc(1, sizeof *common);
  lock(&tr.lock);
  int err = !copy || !common ? GS_ENOMEM : tr.on || tr.busy ? GS_EBUSY : GS_OK;
  if (err) {
    unlock(&tr.lock);
    free(copy);
    free(common);
    return gs_fail(err, "gs_trace_start: %s",
                   err == GS_EBUSY ? "a trace is being recorded already" : "out of memory");
  }
  tr.t = (Trace){.path = copy, .common = common, .began = os_now()};
  tr.t.before.size = tr.t.after.size = sizeof(gs_metrics);
  (void)gs_read_metrics(&tr.t.before);
  if (tr.number + 1 == 0) tr.number = 0;
  store_rlx(&tr.number, tr.number + 1);
  begin_with_ps();
  (void)xchg(&tr.on, true);
  fence_after_rmw();
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    if (!give_buffer(m)) err = GS_ENOMEM;
  unlock(&tr.lock);
  /* The caller's own stretch has begun already. */
  M *m = gs_getm();
  if (m && m->curg && !m->incgo) go_event(m, m->curg, EVF_BEGUN);
  return err;
}

static void free_buffers(Trace *t) {
  for (size_t i = 0; i < t->n; i++) free(t->of[i].b);
  free(t->of);
  free(t->common);
  free(t->marks);
  free(t->path);
}

/* Takes the rings from the Ms; tr.lock is held.  GS_ENOMEM: they are freed. */
static int collect(Trace *t) {
  size_t n = 0;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) n += m->trace != NULL;
  t->of = calloc(n + 1, sizeof *t->of);
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) {
    TraceBuf *b = xchg(&m->trace, NULL);
    if (!b) continue;
    wait_for_writer(m);
    if (!t->of) {
      free(b);
      continue;
    }
    t->of[t->n].b = b;
    t->of[t->n].mid = m->id;
    t->of[t->n++].extra = m->extrag != NULL;
  }
  return t->of ? GS_OK : GS_ENOMEM;
}

static int write_all(void *t) { return trace_write(t); }

int gs_trace_stop(void) {
  lock(&tr.lock);
  if (!tr.on) {
    unlock(&tr.lock);
    return gs_fail(GS_EPERM, "gs_trace_stop: no trace is being recorded");
  }
  (void)xchg(&tr.on, false);
  Trace t = tr.t;
  t.ended = os_now();
  (void)gs_read_metrics(&t.after);
  int err = collect(&t);
  calm();
  tr.busy = true; /* nobody else begins one while this is written */
  unlock(&tr.lock);
  /* As a foreign call where that is possible: writing a file may block. */
  if (!err && gs_cgocall(write_all, &t, &err) != GS_OK) err = trace_write(&t);
  int e = gs_errno();
  free_buffers(&t);
  lock(&tr.lock);
  tr.busy = false;
  unlock(&tr.lock);
  errno = e;
  return err;
}
