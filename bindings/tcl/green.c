/* green.c: the green threads of Tcl, which are coroutines.
 *
 * gosched::go makes a coroutine ::gosched::green::N whose body waits to be resumed first, so that
 * go returns before anything runs; N's command is also what join is given.  What a green thread
 * left, a result or an error, is kept until somebody has joined it.
 *
 * An error that nobody joins goes to bgerror.  Who could still join is known by the value that go
 * has returned: as long as that lives somebody holds the name.  When it is gone, and it was never
 * turned into something else, nobody does.  (An array's key is a copy of the text: a script that
 * keeps names only so has its errors told twice.)  What nobody holds is still joined by its name
 * if it is among the newest of its kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

enum { KEPT = 10000 }; /* ended green threads whose name nobody holds */

/* ---- the value that go returns --------------------------------------------------------------- */

static void free_handle(Tcl_Obj *obj);
static void copy_handle(Tcl_Obj *from, Tcl_Obj *to);
static const Tcl_ObjType handle_type = {
    .name = "gosched", .freeIntRepProc = free_handle, .dupIntRepProc = copy_handle};

static void set_handle(Tcl_Obj *obj, gst_green *g) {
  obj->typePtr = &handle_type;
  obj->internalRep.twoPtrValue.ptr1 = g;
  obj->internalRep.twoPtrValue.ptr2 = gst_state_retain(g->state);
  g->handles++;
}

static void copy_handle(Tcl_Obj *from, Tcl_Obj *to) {
  gst_state *s = from->internalRep.twoPtrValue.ptr2;
  gst_green *g = from->internalRep.twoPtrValue.ptr1;
  to->typePtr = NULL;
  if (s->interp && g) set_handle(to, g);
}

static gst_green *find(gst_state *s, const char *name) {
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->greens, name);
  return e ? Tcl_GetHashValue(e) : NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void unkeep(gst_green *g) {
  gst_state *s = g->state;
  if (s->kept_first != g && !g->kept_prev) return;
  if (g->kept_prev)
    g->kept_prev->kept_next = g->kept_next;
  else
    s->kept_first = g->kept_next;
  if (g->kept_next)
    g->kept_next->kept_prev = g->kept_prev;
  else
    s->kept_last = g->kept_prev;
  g->kept_prev = g->kept_next = NULL;
  s->kept--;
}

static void drop(Tcl_Obj **obj) {
  if (*obj) Tcl_DecrRefCount(*obj);
  *obj = NULL;
}

/* Its memory stays while values name it. */
static void free_green(gst_green *g) {
  drop(&g->words);
  drop(&g->ns);
  drop(&g->result);
  drop(&g->options);
  if (g->name) {
    Tcl_HashEntry *e = Tcl_FindHashEntry(&g->state->greens, Tcl_GetString(g->name));
    if (e && Tcl_GetHashValue(e) == g) Tcl_DeleteHashEntry(e);
  }
  unkeep(g);
  if (g->watch) gst_chan_release(g->watch);
  g->watch = NULL;
  drop(&g->name);
  if (!g->handles) free(g);
}

static bool has_ended(const gst_green *g) { return g->status >= GST_RETURNED; }

void gst_background_error(Tcl_Interp *interp, Tcl_Obj *result, Tcl_Obj *options) {
  if (!interp || Tcl_InterpDeleted(interp)) return;
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  Tcl_SetObjResult(interp, result);
  int code = Tcl_SetReturnOptions(interp, options);
  if (code == TCL_OK) code = TCL_ERROR;
  Tcl_BackgroundException(interp, code);
  Tcl_RestoreInterpState(interp, saved);
}

/* It has ended, and nobody waits for it or holds its name. */
static void nobody_joins(gst_green *g) {
  gst_state *s = g->state;
  if (g->status == GST_FAILED && !g->told) {
    g->told = true;
    gst_background_error(s->interp, g->result, g->options);
  }
  g->kept_prev = s->kept_last;
  if (s->kept_last)
    s->kept_last->kept_next = g;
  else
    s->kept_first = g;
  s->kept_last = g;
  if (++s->kept > KEPT) free_green(s->kept_first);
}

static void free_handle(Tcl_Obj *obj) {
  gst_green *g = obj->internalRep.twoPtrValue.ptr1;
  gst_state *s = obj->internalRep.twoPtrValue.ptr2;
  bool gone = obj->length == (Tcl_Size)-1; /* Tcl's sign that the value itself goes */
  obj->typePtr = NULL;
  g->handles--;
  if (!gone) g->escaped = true;
  if (!g->name) { /* joined, or its interpreter has been deleted */
    if (!g->handles) free(g);
  } else if (!g->handles && has_ended(g) && !g->escaped && !g->njoiners) {
    nobody_joins(g);
  }
  gst_state_release(s);
}

static void wake_joiners(gst_green *g);

/* "green 3", and the command that it runs. */
void gst_green_trace(gst_green *g, int what, const char *why) {
  static uint64_t tracks;
  char name[64];
  Tcl_Obj *first = NULL;
  if (!g->track) g->track = __atomic_add_fetch(&tracks, 1, __ATOMIC_RELAXED);
  if (g->words) Tcl_ListObjIndex(NULL, g->words, 0, &first);
  const char *number = g->name ? strrchr(Tcl_GetString(g->name), ':') : NULL;
  snprintf(name, sizeof(name), "green %s %s", number ? number + 1 : "",
           first ? Tcl_GetString(first) : "");
  gs_trace_track(g->track, name, what, why);
}

static void end(gst_green *g, Tcl_Obj *result, Tcl_Obj *options, bool failed) {
  gst_state *s = g->state;
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->contexts, (char *)g->command);
  if (e) Tcl_DeleteHashEntry(e);
  gst_context_settle(s, NULL);
  g->command = NULL;
  g->status = failed ? GST_FAILED : GST_RETURNED;
  Tcl_IncrRefCount(g->result = result);
  Tcl_IncrRefCount(g->options = options);
  if (gs_trace_recording()) gst_green_trace(g, GS_TRACK_ENDED, NULL);
  drop(&g->words);
  drop(&g->ns);
  if (g->watch) {
    gst_chan_push(g->watch, g->name);
    g->watch = NULL;
  }
  if (g->ended) {
    g->ended(g, failed ? TCL_ERROR : TCL_OK);
    free_green(g);
  } else if (g->njoiners) {
    wake_joiners(g);
  } else if (!g->handles && !g->escaped) {
    nobody_joins(g);
  }
}

static Tcl_Obj *error_options(const char *code, const char *word) {
  Tcl_Obj *words[] = {Tcl_NewStringObj("-code", -1),      Tcl_NewIntObj(TCL_ERROR),
                      Tcl_NewStringObj("-level", -1),     Tcl_NewIntObj(0),
                      Tcl_NewStringObj("-errorcode", -1), Tcl_ObjPrintf("%s %s", code, word)};
  return Tcl_NewListObj(6, words);
}

/* ---- the body -------------------------------------------------------------------------------- */

static int body_done(ClientData data[], Tcl_Interp *interp, int result) {
  gst_green *g = data[0];
  gst_state *s = g->state;
  Tcl_Obj *text = Tcl_GetObjResult(interp), *options = Tcl_GetReturnOptions(interp, result);
  Tcl_IncrRefCount(text);
  Tcl_IncrRefCount(options);
  bool deleted = result == TCL_ERROR && !gst_current_coroutine(interp, s->home);
  if (deleted) {
    end(g, Tcl_ObjPrintf("%s was deleted before it ended", Tcl_GetString(g->name)),
        error_options("GOSCHED", "CANCELLED"), true);
  } else if (result == TCL_BREAK || result == TCL_CONTINUE) {
    end(g,
        Tcl_ObjPrintf("invoked \"%s\" outside of a loop",
                      result == TCL_BREAK ? "break" : "continue"),
        error_options("TCL RESULT", "UNEXPECTED"), true);
  } else {
    end(g, text, options, result != TCL_OK && result != TCL_RETURN);
  }
  Tcl_DecrRefCount(text);
  Tcl_DecrRefCount(options);
  Tcl_ResetResult(interp);
  gst_state_release(s);
  return deleted ? TCL_ERROR : TCL_OK;
}

static int body_begins(ClientData data[], Tcl_Interp *interp, int result) {
  gst_green *g = data[0];
  if (result != TCL_OK) return result;
  if (g->context.cancelled)
    return gst_error(interp, Tcl_NewStringObj("start: cancelled", -1), "CANCELLED", NULL);
  g->status = GST_RUNNING;
  if (gs_trace_recording()) gst_green_trace(g, GS_TRACK_RUNS, NULL);
  if (strcmp(Tcl_GetString(g->ns), "::") == 0) return Tcl_NREvalObj(interp, g->words, 0);
  Tcl_Obj *words[] = {Tcl_NewStringObj("::namespace", -1), Tcl_NewStringObj("eval", -1), g->ns,
                      g->words};
  Tcl_Obj *script = Tcl_NewListObj(4, words);
  return Tcl_NREvalObj(interp, script, 0);
}

static int begins_now(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  return why == GST_DONE ? TCL_OK : gst_wait_error(interp, w, why);
}

static void free_waiter(gst_waiter *w) { free(w); }

static gst_waiter *new_waiter(const char *reason) {
  gst_waiter *w = calloc(1, sizeof(*w));
  if (!w) return NULL;
  w->reason = reason;
  w->finish = begins_now;
  w->destroy = free_waiter;
  return w;
}

static int body_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gst_green *g = s->starting;
  int isnew;
  if (!g || objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  s->starting = NULL;
  g->command = gst_current_coroutine(interp, s->home);
  g->context.green = g;
  Tcl_SetHashValue(Tcl_CreateHashEntry(&s->contexts, (char *)g->command, &isnew), &g->context);
  gst_state_retain(s);
  Tcl_NRAddCallback(interp, body_done, g, NULL, NULL, NULL);
  Tcl_NRAddCallback(interp, body_begins, g, NULL, NULL, NULL);
  if (g->immediate) return TCL_OK;
  gst_waiter *w = new_waiter("start");
  return w ? gst_park_ready(interp, s, w) : gst_no_memory(interp);
}

static int body_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, body_nr, state, objc, objv);
}

static gst_green *new_green(gst_state *s, Tcl_Obj *words, const char *ns) {
  gst_green *g = calloc(1, sizeof(*g));
  int isnew;
  if (!g) return NULL;
  g->state = s;
  g->name = Tcl_ObjPrintf("::gosched::green::%lu", ++s->home->counter);
  g->words = words;
  g->ns = Tcl_NewStringObj(ns, -1);
  Tcl_IncrRefCount(g->name);
  Tcl_IncrRefCount(g->words);
  Tcl_IncrRefCount(g->ns);
  g->started = gs_now();
  Tcl_SetHashValue(Tcl_CreateHashEntry(&s->greens, Tcl_GetString(g->name), &isnew), g);
  return g;
}

/* Makes its coroutine.  TCL_ERROR: its body never ran, and it is gone. */
static int begin(Tcl_Interp *interp, gst_green *g) {
  gst_state *s = g->state;
  if (s->in_latest) gst_context_settle(s, gst_context_here(s));
  Tcl_Obj *words[] = {Tcl_NewStringObj("::coroutine", -1),
                      Tcl_NewStringObj(Tcl_GetString(g->name), -1),
                      Tcl_NewStringObj("::gosched::Main", -1)};
  for (int i = 0; i < 3; i++) Tcl_IncrRefCount(words[i]);
  s->starting = g;
  Tcl_EvalObjv(interp, 3, words, TCL_EVAL_GLOBAL);
  for (int i = 0; i < 3; i++) Tcl_DecrRefCount(words[i]);
  if (s->starting != g) return TCL_OK;
  s->starting = NULL;
  free_green(g);
  return TCL_ERROR;
}

gst_green *gst_green_start(Tcl_Interp *interp, gst_state *s, Tcl_Obj *words, const char *ns,
                           bool immediate, void (*ended)(gst_green *, int), void *data) {
  gst_green *g = new_green(s, words, ns);
  if (!g) return NULL;
  g->immediate = immediate;
  g->ended = ended;
  g->ended_data = data;
  return begin(interp, g) == TCL_OK ? g : NULL;
}

/* ---- gosched::go ----------------------------------------------------------------------------- */

int gst_go_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  Tcl_Size n;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "cmd ?arg ...?");
    return TCL_ERROR;
  }
  if (Tcl_ListObjLength(interp, objv[1], &n) != TCL_OK) return TCL_ERROR;
  if (n == 0)
    return gst_error(interp, Tcl_NewStringObj("cmd is empty, expected a command prefix", -1),
                     "ARGUMENT", "cmd", NULL);
  Tcl_Obj *words = Tcl_NewListObj(0, NULL);
  Tcl_ListObjAppendList(NULL, words, objv[1]);
  for (int i = 2; i < objc; i++) Tcl_ListObjAppendElement(NULL, words, objv[i]);
  gst_green *g = new_green(s, words, Tcl_GetCurrentNamespace(interp)->fullName);
  if (!g) return gst_no_memory(interp);
  Tcl_Obj *handle = Tcl_NewStringObj(Tcl_GetString(g->name), -1);
  set_handle(handle, g);
  Tcl_IncrRefCount(handle);
  int code = begin(interp, g);
  if (code == TCL_OK) Tcl_SetObjResult(interp, handle);
  Tcl_DecrRefCount(handle);
  return code;
}

static gst_green *named(Tcl_Interp *interp, gst_state *s, Tcl_Obj *name) {
  gst_green *g = find(s, Tcl_GetString(name));
  if (g && !g->ended) return g;
  gst_error(interp,
            Tcl_ObjPrintf("\"%.80s\" is not a green thread, or has been joined already",
                          Tcl_GetString(name)),
            "NAME", Tcl_GetString(name), NULL);
  return NULL;
}

/* ---- gosched::join --------------------------------------------------------------------------- */

typedef struct joiner {
  gst_waiter w; /* first */
  gst_green *green;
  struct joiner *next, **link; /* of green->joiners; link NULL: not in it */
  Tcl_Obj *ms;
} joiner;

static void leave_queue(joiner *j) {
  if (!j->link) return;
  *j->link = j->next;
  if (j->next) j->next->link = j->link;
  j->link = NULL;
}

static void wake_joiners(gst_green *g) {
  while (g->joiners) {
    joiner *j = (joiner *)g->joiners;
    leave_queue(j);
    gst_wake(&j->w, GST_DONE);
  }
}

/* One that waited, or was about to, does not any more. */
static void joined(gst_green *g, bool taken) {
  g->njoiners--;
  if (taken) g->told = true;
  if (g->njoiners) return;
  if (taken && has_ended(g))
    free_green(g);
  else if (has_ended(g) && !g->handles && !g->escaped)
    nobody_joins(g);
}

static void withdraw_joiner(gst_waiter *w, bool woken) {
  joiner *j = (joiner *)w;
  (void)woken;
  leave_queue(j);
  joined(j->green, false);
  j->green = NULL;
}

static int outcome(Tcl_Interp *interp, gst_green *g) {
  Tcl_SetObjResult(interp, g->result);
  if (g->status == GST_RETURNED) {
    joined(g, true);
    return TCL_OK;
  }
  int code = Tcl_SetReturnOptions(interp, g->options);
  joined(g, true);
  return code == TCL_OK ? TCL_ERROR : code;
}

static int finish_join(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  joiner *j = (joiner *)w;
  if (why == GST_DONE) {
    gst_green *g = j->green;
    j->green = NULL;
    return outcome(interp, g);
  }
  if (why != GST_TIMEOUT) return gst_wait_error(interp, w, why);
  return gst_error(
      interp,
      Tcl_ObjPrintf("the green thread has not ended within %s milliseconds", Tcl_GetString(j->ms)),
      "TIMEOUT", NULL);
}

static void free_joiner(gst_waiter *w) {
  joiner *j = (joiner *)w;
  if (j->ms) Tcl_DecrRefCount(j->ms);
  free(j);
}

int gst_join_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  double ms = -1;
  if (objc != 2 && (objc != 4 || strcmp(Tcl_GetString(objv[2]), "-timeout") != 0)) {
    Tcl_WrongNumArgs(interp, 1, objv, "g ?-timeout ms?");
    return TCL_ERROR;
  }
  if (objc == 4 && gst_get_ms(interp, objv[3], "-timeout", &ms) != TCL_OK) return TCL_ERROR;
  gst_green *g = named(interp, s, objv[1]);
  if (!g) return TCL_ERROR;
  if (g->command && g->command == gst_current_coroutine(interp, s->home))
    return gst_error(interp, Tcl_NewStringObj("a green thread cannot join itself", -1), "ARGUMENT",
                     "g", NULL);
  unkeep(g);
  g->njoiners++;
  if (has_ended(g) && g->njoiners == 1) return outcome(interp, g);
  joiner *j = calloc(1, sizeof(*j));
  if (!j) {
    joined(g, false);
    return gst_no_memory(interp);
  }
  j->w = (gst_waiter){
      .reason = "join", .finish = finish_join, .withdraw = withdraw_joiner, .destroy = free_joiner};
  j->green = g;
  if (objc == 4) Tcl_IncrRefCount(j->ms = objv[3]);
  if (has_ended(g)) return gst_park_ready(interp, s, &j->w); /* others are about to take it */
  joiner **at = (joiner **)&g->joiners;
  while (*at) at = &(*at)->next;
  j->link = at;
  *at = j;
  return gst_park(interp, s, &j->w, ms);
}

/* ---- for task groups ------------------------------------------------------------------------- */

static void not_to_be_interrupted(gst_waiter *w, gst_why why) {
  (void)w;
  (void)why;
}

static int settled(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  finish_join(interp, w, why);
  Tcl_ResetResult(interp);
  return TCL_OK;
}

/* ::gosched::Settle g: join, also of who was told not to wait any more, and whatever the outcome.
 */
static int settle_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)objc;
  gst_green *g = named(interp, state, objv[1]);
  joiner *j = g ? calloc(1, sizeof(*j)) : NULL;
  if (!j) return g ? gst_no_memory(interp) : TCL_ERROR;
  j->w = (gst_waiter){.reason = "join",
                      .finish = settled,
                      .withdraw = withdraw_joiner,
                      .interrupt = not_to_be_interrupted,
                      .destroy = free_joiner};
  j->green = g;
  unkeep(g);
  g->njoiners++;
  if (has_ended(g)) {
    outcome(interp, g);
    free(j);
    Tcl_ResetResult(interp);
    return TCL_OK;
  }
  j->link = (joiner **)&g->joiners;
  j->next = *j->link;
  if (j->next) j->next->link = &j->next;
  *j->link = j;
  return gst_park(interp, state, &j->w, -1);
}

static int settle_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, settle_nr, state, objc, objv);
}

/* ::gosched::Watch g channel: its name goes there when it ends. */
static int watch_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  (void)objc;
  gst_green *g = named(interp, state, objv[1]);
  gst_chan *c = g ? gst_chan_from(interp, state, objv[2]) : NULL;
  if (!c) return TCL_ERROR;
  g->watch = gst_chan_retain(c);
  return TCL_OK;
}

/* ---- cancel, names, state -------------------------------------------------------------------- */

static int cancel_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "g");
    return TCL_ERROR;
  }
  gst_green *g = named(interp, state, objv[1]);
  if (!g) return TCL_ERROR;
  g->context.cancelled = true;
  if (g->context.wait) gst_interrupt(g->context.wait, GST_CANCELLED);
  return TCL_OK;
}

static int compare_names(const void *a, const void *b) {
  const gst_green *x = *(gst_green *const *)a, *y = *(gst_green *const *)b;
  unsigned long i = strtoul(strrchr(Tcl_GetString(x->name), ':') + 1, NULL, 10);
  unsigned long k = strtoul(strrchr(Tcl_GetString(y->name), ':') + 1, NULL, 10);
  return i < k ? -1 : i > k;
}

static int names_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  Tcl_HashSearch search;
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  size_t n = 0;
  gst_green **all = calloc((size_t)s->greens.numEntries + 1, sizeof(*all));
  if (!all) return gst_no_memory(interp);
  for (Tcl_HashEntry *e = Tcl_FirstHashEntry(&s->greens, &search); e;
       e = Tcl_NextHashEntry(&search)) {
    gst_green *g = Tcl_GetHashValue(e);
    if (!g->ended) all[n++] = g;
  }
  qsort(all, n, sizeof(*all), compare_names);
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  for (size_t i = 0; i < n; i++) Tcl_ListObjAppendElement(NULL, list, all[i]->name);
  free(all);
  Tcl_SetObjResult(interp, list);
  return TCL_OK;
}

static int state_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "g");
    return TCL_ERROR;
  }
  gst_green *g = named(interp, state, objv[1]);
  if (!g) return TCL_ERROR;
  static const char *const names[] = {"running", "running", "returned", "failed"};
  Tcl_SetObjResult(interp, Tcl_NewStringObj(names[g->status], -1));
  return TCL_OK;
}

/* ---- yield, sleep ---------------------------------------------------------------------------- */

static int slept(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  return why == GST_DONE || why == GST_TIMEOUT ? TCL_OK : gst_wait_error(interp, w, why);
}

int gst_yield_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  if (objc != 1) {
    Tcl_WrongNumArgs(interp, 1, objv, NULL);
    return TCL_ERROR;
  }
  gst_waiter *w = new_waiter("yield");
  return w ? gst_park_ready(interp, state, w) : gst_no_memory(interp);
}

int gst_sleep_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  double ms;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "milliseconds");
    return TCL_ERROR;
  }
  if (gst_get_ms(interp, objv[1], "milliseconds", &ms) != TCL_OK) return TCL_ERROR;
  gst_waiter *w = new_waiter("sleep");
  if (!w) return gst_no_memory(interp);
  w->finish = slept;
  return gst_park(interp, state, w, ms);
}

/* ---- the interpreter ------------------------------------------------------------------------- */

void gst_green_init(gst_state *s) {
  Tcl_InitHashTable(&s->greens, TCL_STRING_KEYS);
  Tcl_InitHashTable(&s->contexts, TCL_ONE_WORD_KEYS);
  gst_command(s, "::gosched::Main", body_nr, body_cmd);
  gst_command(s, "::gosched::Settle", settle_nr, settle_cmd);
  Tcl_CreateObjCommand(s->interp, "::gosched::Watch", watch_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::cancel", cancel_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::names", names_cmd, s, NULL);
  Tcl_CreateObjCommand(s->interp, "::gosched::state", state_cmd, s, NULL);
}

/* The interpreter is gone, and with it all coroutines. */
/* Wherever they have been renamed to.  The deletion unwinds each, and takes it out by itself. */
void gst_greens_delete(gst_state *s) {
  Tcl_HashSearch search;
  Tcl_HashEntry *e;
  while ((e = Tcl_FirstHashEntry(&s->contexts, &search))) {
    Tcl_Command command = (Tcl_Command)Tcl_GetHashKey(&s->contexts, e);
    Tcl_DeleteCommandFromToken(s->interp, command);
    e = Tcl_FindHashEntry(&s->contexts, (char *)command);
    if (e) Tcl_DeleteHashEntry(e);
  }
}

void gst_greens_free(gst_state *s) {
  Tcl_HashSearch search;
  Tcl_HashEntry *e;
  while ((e = Tcl_FirstHashEntry(&s->greens, &search))) {
    gst_green *g = Tcl_GetHashValue(e);
    free_green(g);
  }
  Tcl_DeleteHashTable(&s->greens);
  while ((e = Tcl_FirstHashEntry(&s->contexts, &search))) Tcl_DeleteHashEntry(e);
  Tcl_DeleteHashTable(&s->contexts);
}
