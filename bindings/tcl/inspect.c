/* inspect.c: stats, snapshot, dump and trace.
 *
 * What the scheduler knows it knows of all languages; here the stacks of this thread's green
 * threads are added, command by command.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "binding.h"

static Tcl_Obj *text(const char *s) { return Tcl_NewStringObj(s ? s : "", -1); }

static void put(Tcl_Obj *dict, const char *key, Tcl_Obj *value) {
  Tcl_DictObjPut(NULL, dict, text(key), value);
}

static void put_number(Tcl_Obj *dict, const char *key, int64_t value) {
  put(dict, key, Tcl_NewWideIntObj((Tcl_WideInt)value));
}

/* ---- stats ----------------------------------------------------------------------------------- */

/* count, sum (in seconds) and buckets, a list: element i as bucket[i] of gs_histogram. */
static Tcl_Obj *histogram_dict(const gs_histogram *h) {
  Tcl_Obj *dict = Tcl_NewDictObj(), *buckets = Tcl_NewListObj(0, NULL);
  uint64_t n = 0;
  for (int i = 0; i < GS_BUCKETS; i++) {
    n += h->bucket[i];
    Tcl_ListObjAppendElement(NULL, buckets, Tcl_NewWideIntObj((Tcl_WideInt)h->bucket[i]));
  }
  put_number(dict, "count", (int64_t)n);
  put(dict, "sum", Tcl_NewDoubleObj((double)h->sum_ns / 1e9));
  put(dict, "buckets", buckets);
  return dict;
}

/* gosched::stats: the fields of gs_metrics, and what this interpreter and its thread count. */
static int stats_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gs_metrics m = {.size = sizeof(m)};
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  gs_read_metrics(&m);
  Tcl_Obj *dict = Tcl_NewDictObj();
  const gs_metric *metric;
  for (size_t i = 0; (metric = gs_metric_info(i)); i++) {
    const void *value = (const char *)&m + metric->offset;
    if (metric->kind == GS_HISTOGRAM) continue;
    put_number(dict, metric->name, (int64_t) * (const uint64_t *)value);
  }
  put_number(dict, "tcl_greens", (int64_t)s->greens.numEntries);
  put_number(dict, "tcl_under_way", (int64_t)s->under_way);
  put_number(dict, "tcl_posts", (int64_t)s->home->posts);
  put_number(dict, "tcl_batches", (int64_t)s->home->batches);
  put_number(dict, "tcl_resumed", (int64_t)s->home->resumed);
  put_number(dict, "tcl_nesting", s->home->nesting);
  Tcl_SetObjResult(interp, dict);
  return TCL_OK;
}

/* gosched::histograms: the times among the fields of gs_metrics. */
static int histograms_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gs_metrics m = {.size = sizeof(m)};
  const gs_metric *metric;
  (void)state;
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  gs_read_metrics(&m);
  Tcl_Obj *dict = Tcl_NewDictObj();
  for (size_t i = 0; (metric = gs_metric_info(i)); i++)
    if (metric->kind == GS_HISTOGRAM)
      put(dict, metric->name, histogram_dict((const void *)((const char *)&m + metric->offset)));
  Tcl_SetObjResult(interp, dict);
  return TCL_OK;
}

/* gosched::metrics_text: all metrics in the text format of Prometheus. */
static int metrics_text_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)state;
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  size_t room = gs_metrics_text(NULL, 0) + 4096; /* the figures may have grown by then */
  char *text = Tcl_Alloc((unsigned)room);
  size_t n = gs_metrics_text(text, room);
  Tcl_SetObjResult(interp, Tcl_NewStringObj(text, (Tcl_Size)(n < room ? n : room - 1)));
  Tcl_Free(text);
  return TCL_OK;
}

static Tcl_Obj *profiled_dict(const gs_profile_entry *e) {
  Tcl_Obj *dict = Tcl_NewDictObj();
  put(dict, "name", text(e->name));
  put_number(dict, "blocked", (int64_t)e->blocked);
  put(dict, "blocked_s", Tcl_NewDoubleObj((double)e->blocked_ns / 1e9));
  put(dict, "longest_s", Tcl_NewDoubleObj((double)e->longest_ns / 1e9));
  put_number(dict, "retakes", (int64_t)e->retakes);
  put_number(dict, "samples", (int64_t)e->samples);
  put(dict, "sampled_s", Tcl_NewDoubleObj((double)e->sampled_ns / 1e9));
  put_number(dict, "now", (int64_t)e->now);
  return dict;
}

/* gosched::profile: the foreign functions that block, the longest first. */
static int profile_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)state;
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  size_t room = gs_profile(NULL, 0) + 16; /* others may be called meanwhile */
  gs_profile_entry *e = (gs_profile_entry *)Tcl_Alloc((unsigned)(room * sizeof(*e)));
  size_t n = gs_profile(e, room);
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  for (size_t i = 0; i < n && i < room; i++)
    Tcl_ListObjAppendElement(NULL, list, profiled_dict(&e[i]));
  Tcl_Free((char *)e);
  Tcl_SetObjResult(interp, list);
  return TCL_OK;
}

/* ---- who waits in Tcl ------------------------------------------------------------------------ */

/* "green 3", or what else waits. */
static Tcl_Obj *who(const gst_waiter *w) {
  if (w->context->green && w->coroutine) return w->context->green->name;
  Tcl_Obj *name = Tcl_NewObj();
  if (w->coroutine && w->state->interp)
    Tcl_GetCommandFullName(w->state->interp, w->coroutine, name);
  else
    Tcl_AppendPrintfToObj(name, "top level %d", w->level);
  return name;
}

static Tcl_Obj *waiter_dict(gst_waiter *w) {
  Tcl_Obj *dict = Tcl_NewDictObj();
  put(dict, "name", who(w));
  put(dict, "reason", text(w->reason));
  put_number(dict, "since", (gs_now() - w->since) / 1000000);
  put(dict, "ready", Tcl_NewBooleanObj(w->ready));
  put_number(dict, "nesting", w->coroutine ? 0 : w->level);
  put(dict, "stack", gst_stack_of(w));
  return dict;
}

/* All that wait on this thread; looking at a stack changes nothing about who waits. */
static Tcl_Obj *waiters(gst_home *home) {
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  for (gst_waiter *w = home->waiters; w; w = w->next)
    Tcl_ListObjAppendElement(NULL, list, waiter_dict(w));
  return list;
}

Tcl_Obj *gst_report(gst_home *home, bool top) {
  Tcl_Obj *out = Tcl_NewObj();
  for (gst_waiter *w = home->waiters; w; w = w->next) {
    bool here = top && !w->coroutine && w->level == home->nesting && w->state->interp;
    Tcl_Obj *name = who(w), **frames;
    Tcl_Obj *stack = here ? gst_stack_here(w->state->interp) : gst_stack_of(w);
    Tcl_Size n;
    Tcl_IncrRefCount(name);
    Tcl_IncrRefCount(stack);
    Tcl_AppendPrintfToObj(out, "tcl %s: %s for %ld ms", Tcl_GetString(name), w->reason,
                          (long)((gs_now() - w->since) / 1000000));
    if (!w->coroutine && w->level < home->nesting)
      Tcl_AppendPrintfToObj(out, "%s, below %d other wait(s) of the event loop",
                            w->ready ? " (it could go on)" : "", home->nesting - w->level);
    Tcl_AppendToObj(out, "\n", 1);
    Tcl_ListObjGetElements(NULL, stack, &n, &frames);
    for (Tcl_Size i = 0; i < n; i++)
      Tcl_AppendPrintfToObj(out, "    %s\n", Tcl_GetString(frames[i]));
    Tcl_DecrRefCount(stack);
    Tcl_DecrRefCount(name);
  }
  return out;
}

/* ---- snapshot -------------------------------------------------------------------------------- */

static Tcl_Obj *green_dict(const gs_g_info *g) {
  static const char *const states[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
  Tcl_Obj *dict = Tcl_NewDictObj();
  put_number(dict, "id", (int64_t)g->id);
  put(dict, "name", text(g->name));
  put(dict, "state", text(states[g->state]));
  put(dict, "reason", text(g->wait_reason));
  put(dict, "call", text(g->call));
  put(dict, "domain", text(g->domain));
  put_number(dict, "m", g->m);
  put_number(dict, "locked", g->locked_m);
  put(dict, "detached", Tcl_NewBooleanObj(g->detached));
  put_number(dict, "since", g->since ? (gs_now() - g->since) / 1000000 : -1);
  return dict;
}

static Tcl_Obj *thread_dict(const gs_m_info *m) {
  Tcl_Obj *dict = Tcl_NewDictObj();
  put_number(dict, "id", m->id);
  put_number(dict, "tid", m->tid);
  put_number(dict, "g", (int64_t)m->g);
  put_number(dict, "p", m->p);
  put(dict, "incgo", Tcl_NewBooleanObj(m->incgo));
  put_number(dict, "ncgocall", (int64_t)m->ncgocall);
  put(dict, "idle", Tcl_NewBooleanObj(m->idle));
  return dict;
}

static int snapshot_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gs_snapshot_data *data;
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  int e = gs_snapshot(&data);
  if (e != GS_OK) return gst_error(interp, Tcl_NewStringObj(gs_strerror(e), -1), "RUNTIME", NULL);
  Tcl_Obj *dict = Tcl_NewDictObj(), *list = Tcl_NewListObj(0, NULL);
  for (size_t i = 0; i < data->ng; i++)
    Tcl_ListObjAppendElement(NULL, list, green_dict(&data->g[i]));
  put(dict, "g", list);
  list = Tcl_NewListObj(0, NULL);
  for (size_t i = 0; i < data->nm; i++)
    Tcl_ListObjAppendElement(NULL, list, thread_dict(&data->m[i]));
  put(dict, "m", list);
  gs_snapshot_free(data);
  put(dict, "tcl", waiters(s->home));
  Tcl_SetObjResult(interp, dict);
  return TCL_OK;
}

/* ---- dump ------------------------------------------------------------------------------------ */

/* What gs_dump writes of all but this thread; a text. */
static Tcl_Obj *core_dump(const gst_home *home) {
  Tcl_Obj *out = Tcl_NewObj();
  char buffer[4096];
  ssize_t n;
  int fd = memfd_create("gosched-dump", MFD_CLOEXEC);
  if (fd < 0) return out;
  gs_dump_others(fd, gst_teller_of(home));
  lseek(fd, 0, SEEK_SET);
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) Tcl_AppendToObj(out, buffer, (Tcl_Size)n);
  close(fd);
  return out;
}

static int dump_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  int mode;
  if (objc > 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "?channel?");
    return TCL_ERROR;
  }
  Tcl_Channel channel = objc == 2 ? Tcl_GetChannel(interp, Tcl_GetString(objv[1]), &mode)
                                  : Tcl_GetStdChannel(TCL_STDERR);
  if (!channel) return objc == 2 ? TCL_ERROR : TCL_OK;
  Tcl_Obj *out = core_dump(s->home);
  Tcl_AppendObjToObj(out, gst_report(s->home, false));
  Tcl_IncrRefCount(out);
  int bad = Tcl_WriteObj(channel, out) < 0 || Tcl_Flush(channel) != TCL_OK;
  Tcl_DecrRefCount(out);
  if (!bad) return TCL_OK;
  return gst_error(interp, Tcl_ObjPrintf("cannot write the dump: %s", Tcl_PosixError(interp)),
                   "ERRNO", Tcl_ErrnoId(), Tcl_ErrnoMsg(Tcl_GetErrno()), NULL);
}

/* ---- trace ----------------------------------------------------------------------------------- */

static int trace_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const names[] = {"start", "stop", NULL};
  int index, e;
  (void)state;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "start file | stop");
    return TCL_ERROR;
  }
  if (Tcl_GetIndexFromObj(interp, objv[1], names, "subcommand", 0, &index) != TCL_OK)
    return TCL_ERROR;
  if (objc != (index == 0 ? 3 : 2)) {
    Tcl_WrongNumArgs(interp, 2, objv, index == 0 ? "file" : NULL);
    return TCL_ERROR;
  }
  if (index == 0) {
    Tcl_DString ds;
    Tcl_Obj *path = Tcl_FSGetNormalizedPath(interp, objv[2]);
    if (!path) return TCL_ERROR;
    Tcl_UtfToExternalDString(NULL, Tcl_GetString(path), -1, &ds);
    e = gs_trace_start(Tcl_DStringValue(&ds));
    Tcl_DStringFree(&ds);
  } else {
    e = gs_trace_stop();
  }
  if (e == GS_OK) return TCL_OK;
  if (e == GS_ESYS) {
    Tcl_SetErrno(gs_errno());
    const char *message = Tcl_ErrnoMsg(Tcl_GetErrno());
    return gst_error(interp, Tcl_ObjPrintf("cannot write the trace: %s", message), "ERRNO",
                     Tcl_ErrnoId(), message, NULL);
  }
  return gst_error(interp,
                   Tcl_NewStringObj(e == GS_EBUSY   ? "a trace is being recorded already"
                                    : e == GS_EPERM ? "no trace is being recorded"
                                                    : gs_strerror(e),
                                    -1),
                   "TRACE", NULL);
}

static int deadlock_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  int flag = s->deadlocks;
  if (objc > 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "?boolean?");
    return TCL_ERROR;
  }
  if (objc == 2 && Tcl_GetBooleanFromObj(interp, objv[1], &flag) != TCL_OK) return TCL_ERROR;
  s->deadlocks = flag;
  Tcl_SetObjResult(interp, Tcl_NewBooleanObj(flag));
  return TCL_OK;
}

void gst_inspect_init(gst_state *s) {
  Tcl_CreateObjCommand(s->interp, "::gosched::stats", stats_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::histograms", histograms_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::metrics_text", metrics_text_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::profile", profile_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::snapshot", snapshot_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::dump", dump_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::trace", trace_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::deadlock", deadlock_cmd, s, NULL);
}
