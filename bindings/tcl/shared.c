/* shared.c: gosched::shared, channels that other interpreters and other languages can open, too.
 *
 * What can be done at once is done at home, by the scheduler's try functions, which need no green
 * thread.  Who has to wait waits as for any channel (chan.c); but the scheduler's channels know
 * only its own green threads, so one of those waits there for it:
 *
 *     home thread                               green thread (native domain)
 *     gst_mix_start; waits                      gs_select: the shared cases, and the gate
 *     local cases: in their channels' queues
 *
 * A select may have cases of both kinds, and exactly one is done.  Who does a local case, or ends
 * the wait before its time, must first keep the green thread from doing one (gst_mix_claim): it
 * sends on the gate, a channel without a buffer.  That succeeds only if the green thread is parked
 * in the select and is claimed by this very send, so it cannot do anything else any more.  If it
 * fails,
 *
 *   - the green thread has not begun: then it never will (NEW -> TAKEN, one CAS against NEW ->
 *     ENTERED);
 *   - or it is about to park, or has been claimed by somebody else and is about to say so: one asks
 *     again, until it has parked or said DONE.  That takes microseconds, and it needs nothing from
 *     home.
 *
 * The mix is counted: home has a reference as long as the choice waits, the green thread has one
 * until its post has come home.
 *
 * Waiting there takes two switches of threads, tens of microseconds, in which the other side, if it
 * runs on another CPU, does dozens of operations.  So who finds a channel empty or full asks again
 * for a moment first (gst_shared_linger), as long as that has helped the last time, or the last
 * wait was short, and nobody else here is ready to run.
 *
 * Deadlocks.  Tcl's code runs on a thread that the scheduler does not know: each channel that is
 * open here is announced as one that is used from outside.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gosched_domain.h"
#include "shared.h"

struct gst_shared {
  gst_state *state;
  Tcl_Command command; /* NULL: destroyed; home only */
  gs_chan *ch;         /* held */
  int refs;            /* atomic: the command, each case */
  bool brisk;          /* home only: the other side is quick */
};

enum { MOMENT_NS = 20000, SHORT_NS = 200000 };

enum { NEW, ENTERED, TAKEN, DONE }; /* a mix's stage */

struct gst_mix {
  gst_post post;
  gst_mailbox *box;
  gst_state *state;
  gst_choice *choice; /* home only; NULL: it does not wait any more */
  int refs;           /* atomic */
  int stage;          /* atomic; home and the green thread */
  gs_chan *gate;
  int n;               /* of the cases; the gate's is the last one, beside them */
  size_t chosen;       /* the green thread, before it is DONE */
  int code;            /* the same */
  gs_select_case *sel; /* n + 1 */
  struct part {
    gs_value value; /* home until the green thread begins; then that, until it is DONE */
    gst_shared *chan;
    int index; /* of the choice's cases */
  } parts[];
};

/* ---- life ------------------------------------------------------------------------------------ */

gst_shared *gst_shared_retain(gst_shared *c) {
  __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
  return c;
}

void gst_shared_release(gst_shared *c) {
  if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gs_shared_release(c->ch);
  gst_state_release(c->state);
  free(c);
}

static void mix_release(struct gst_mix *m) {
  if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  for (int i = 0; i < m->n; i++) {
    gs_value_free(&m->parts[i].value);
    gst_shared_release(m->parts[i].chan);
  }
  gs_chan_free(m->gate);
  gst_mailbox_release(m->box);
  gst_state_release(m->state);
  free(m->sel);
  free(m);
}

/* ---- at once --------------------------------------------------------------------------------- */

static void come(gst_case *k, gs_value *v) {
  k->kind = gst_carried_kind(v);
  Tcl_IncrRefCount(k->value = gst_carried(v));
}

bool gst_shared_try(gst_case *k) {
  gs_value v;
  int e =
      k->send ? gs_chan_try_send(k->shared->ch, &k->carried) : gs_chan_try_recv(k->shared->ch, &v);
  if (e == GS_EWOULDBLOCK) return false;
  if (e == GS_OK && k->send)
    gs_value_null(&k->carried); /* it belongs to the receiver */
  else if (e == GS_OK)
    come(k, &v);
  else if (e == GS_ECLOSED)
    k->choice->closed = true;
  else
    k->choice->failed = e;
  return true;
}

/* The channel looks as if it could be done; asked without its lock.  A full one is left to empty
 * itself somewhat, so that its two sides do not meet at each of its elements. */
static bool promising(const gst_case *k) {
  gs_chan *ch = k->shared->ch;
  size_t n = gs_chan_len(ch), cap = gs_chan_cap(ch);
  if (cap == 0 || gs_chan_closed(ch)) return true;
  return k->send ? n <= cap - cap / 8 && n < cap : n > 0;
}

bool gst_shared_linger(const gst_state *s, gst_shared *c, gst_choice *choice) {
  gst_case *k = &choice->cases[0];
  if (!c->brisk || s->home->ready_first || gs_procs() < 2) return false;
  int64_t end = gs_now() + MOMENT_NS;
  do
    if (promising(k) && gst_choice_try(choice)) return true;
  while (gs_now() < end);
  return c->brisk = gst_choice_try(choice);
}

void gst_shared_waited(const gst_case *k, gst_why why) {
  const gst_waiter *w = &k->choice->w;
  if (w->since && why == GST_DONE) k->shared->brisk = gs_now() - w->since < SHORT_NS;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void wait_there(void *arg) {
  struct gst_mix *m = arg;
  int stage = NEW;
  if (__atomic_compare_exchange_n(&m->stage, &stage, ENTERED, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE)) {
    m->code = gs_select(m->sel, (size_t)m->n + 1, GS_FOREVER, &m->chosen);
    if (m->code == GS_OK && m->chosen < (size_t)m->n && m->sel[m->chosen].op == GS_SEND)
      gs_value_null(&m->parts[m->chosen].value);
    __atomic_store_n(&m->stage, DONE, __ATOMIC_RELEASE);
  }
  gst_post_home(m->box, &m->post);
}

/* It has done one of its cases: the choice is made. */
static void chosen(struct gst_mix *m) {
  gst_choice *c = m->choice;
  bool done = m->code == GS_OK || m->code == GS_ECLOSED;
  gst_case *k = &c->cases[done ? m->parts[m->chosen].index : 0];
  m->choice = NULL;
  c->mix = NULL;
  if (m->code == GS_ECLOSED)
    c->closed = true;
  else if (!done)
    c->failed = m->code;
  else if (!k->send)
    come(k, &m->parts[m->chosen].value);
  gst_choice_choose(k);
  mix_release(m);
}

static void arrived(gst_post *post, bool alive) {
  struct gst_mix *m = (struct gst_mix *)((char *)post - offsetof(struct gst_mix, post));
  if (alive) {
    m->state->under_way--;
    if (m->choice) chosen(m);
  }
  mix_release(m);
}

static bool claim(struct gst_mix *m) {
  int stage = NEW;
  if (__atomic_compare_exchange_n(&m->stage, &stage, TAKEN, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return true;
  for (int i = 0;; i++) {
    if (gs_chan_try_send(m->gate, NULL) == GS_OK) return true;
    if (__atomic_load_n(&m->stage, __ATOMIC_ACQUIRE) == DONE) return false;
    if (i < 100)
      sched_yield();
    else
      usleep(50);
  }
}

bool gst_mix_claim(gst_choice *c) {
  struct gst_mix *m = c->mix;
  if (!m) return true;
  if (!claim(m)) return false; /* its post is on the way home */
  c->mix = NULL;
  m->choice = NULL;
  mix_release(m);
  return true;
}

void gst_mix_forget(gst_choice *c) {
  struct gst_mix *m = c->mix;
  c->mix = NULL;
  m->choice = NULL;
  mix_release(m);
}

void gst_mix_interrupt(gst_waiter *w, gst_why why) {
  if (gst_mix_claim((gst_choice *)w)) gst_wake(w, why);
}

static struct gst_mix *mix_new(gst_state *s, gst_choice *c, int n) {
  struct gst_mix *m = calloc(1, sizeof(*m) + (size_t)n * sizeof(m->parts[0]));
  gs_select_case *sel = calloc((size_t)n + 1, sizeof(*sel));
  if (!m || !sel || gs_chan_new(0, 0, &m->gate) != GS_OK) {
    free(m);
    free(sel);
    return NULL;
  }
  m->sel = sel;
  m->post.arrive = arrived;
  m->box = gst_mailbox_retain(s->box);
  m->state = gst_state_retain(s);
  m->refs = 2;
  for (int i = 0; i < c->n; i++) {
    gst_case *k = &c->cases[i];
    if (!k->shared) continue;
    struct part *p = &m->parts[m->n];
    p->chan = gst_shared_retain(k->shared);
    p->index = i;
    p->value = k->carried;
    gs_value_null(&k->carried);
    sel[m->n++] = (gs_select_case){k->send ? GS_SEND : GS_RECV, k->shared->ch, &p->value};
  }
  sel[m->n] = (gs_select_case){GS_RECV, m->gate, NULL};
  return m;
}

int gst_mix_start(Tcl_Interp *interp, gst_state *s, gst_choice *c) {
  int n = 0;
  for (int i = 0; i < c->n; i++) n += c->cases[i].shared != NULL;
  if (!n) return TCL_OK;
  gst_why why;
  if (gst_context_ended(gst_context_here(s), &why)) {
    c->w.state = s;
    return gst_wait_error(interp, &c->w, why);
  }
  struct gst_mix *m = mix_new(s, c, n);
  if (!m) return gst_no_memory(interp);
  if (gst_go(interp, wait_there, m, NULL) != TCL_OK) {
    m->refs = 1;
    mix_release(m);
    return TCL_ERROR;
  }
  s->under_way++;
  m->choice = c;
  c->mix = m;
  c->w.interrupt = gst_mix_interrupt;
  return TCL_OK;
}

int gst_shared_failed(Tcl_Interp *interp, int code) {
  if (code == GS_ECANCELED)
    return gst_error(interp, Tcl_NewStringObj("the scheduler has ended", -1), "RUNTIME", NULL);
  return gst_error(interp, Tcl_NewStringObj(gs_strerror(code), -1), "RUNTIME", NULL);
}

/* ---- the command of a channel ---------------------------------------------------------------- */

static int try_send(Tcl_Interp *interp, gst_shared *c, Tcl_Obj *value, Tcl_Obj *type) {
  gs_value v;
  if (gst_carry(interp, value, type, &v) != TCL_OK) return TCL_ERROR;
  int e = gs_chan_try_send(c->ch, &v);
  if (e != GS_OK) gs_value_free(&v);
  if (e == GS_ECLOSED) return gst_closed_error(interp, NULL);
  if (e != GS_OK && e != GS_EWOULDBLOCK) return gst_shared_failed(interp, e);
  Tcl_SetObjResult(interp, Tcl_NewBooleanObj(e == GS_OK));
  return TCL_OK;
}

static int try_recv(Tcl_Interp *interp, gst_shared *c, Tcl_Obj *variable) {
  gs_value v;
  int e = gs_chan_try_recv(c->ch, &v);
  if (e == GS_ECLOSED) return gst_closed_error(interp, NULL);
  if (e != GS_OK && e != GS_EWOULDBLOCK) return gst_shared_failed(interp, e);
  if (e == GS_OK) {
    Tcl_Obj *value = gst_carried(&v);
    Tcl_IncrRefCount(value);
    bool stored = Tcl_ObjSetVar2(interp, variable, NULL, value, TCL_LEAVE_ERR_MSG) != NULL;
    Tcl_DecrRefCount(value);
    if (!stored) return TCL_ERROR;
  }
  Tcl_SetObjResult(interp, Tcl_NewBooleanObj(e == GS_OK));
  return TCL_OK;
}

static int shared_nr(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const names[] = {"cap",  "close", "closed",   "destroy",  "len", "name",
                                      "recv", "send",  "try_recv", "try_send", NULL};
  enum { CAP, CLOSE, CLOSED, DESTROY, LEN, NAME, RECV, SEND, TRY_RECV, TRY_SEND } what;
  gst_shared *c = data;
  int index;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "subcommand ?arg ...?");
    return TCL_ERROR;
  }
  if (Tcl_GetIndexFromObj(interp, objv[1], names, "subcommand", 0, &index) != TCL_OK)
    return TCL_ERROR;
  what = index;
  if (what == SEND) return gst_send_nr(interp, c->state, NULL, c, objc, objv);
  if (what == RECV) return gst_recv_nr(interp, c->state, NULL, c, objc, objv);
  if (what == TRY_SEND) {
    if (objc == 3) return try_send(interp, c, objv[2], NULL);
    if (objc == 5 && strcmp(Tcl_GetString(objv[3]), "-as") == 0)
      return try_send(interp, c, objv[2], objv[4]);
    Tcl_WrongNumArgs(interp, 2, objv, "value ?-as type?");
    return TCL_ERROR;
  }
  if (what == TRY_RECV) {
    if (objc == 3) return try_recv(interp, c, objv[2]);
    Tcl_WrongNumArgs(interp, 2, objv, "varName");
    return TCL_ERROR;
  }
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 2, objv, NULL);
    return TCL_ERROR;
  }
  switch (what) {
    case CAP: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((Tcl_WideInt)gs_chan_cap(c->ch))); break;
    case LEN: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((Tcl_WideInt)gs_chan_len(c->ch))); break;
    case CLOSED: Tcl_SetObjResult(interp, Tcl_NewBooleanObj(gs_chan_closed(c->ch))); break;
    case NAME: Tcl_SetObjResult(interp, Tcl_NewStringObj(gs_shared_name(c->ch), -1)); break;
    case CLOSE: gs_chan_close(c->ch); break; /* somebody else may have, in whatever language */
    default: Tcl_DeleteCommandFromToken(interp, c->command); break;
  }
  return TCL_OK;
}

static int shared_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, shared_nr, data, objc, objv);
}

gst_shared *gst_shared_from(Tcl_Interp *interp, gst_state *s, Tcl_Obj *name) {
  Tcl_CmdInfo info;
  Tcl_Command command = Tcl_GetCommandFromObj(interp, name);
  if (!command || !Tcl_GetCommandInfoFromToken(command, &info) || info.objProc != shared_cmd)
    return NULL;
  gst_shared *c = info.objClientData;
  return c->state == s ? c : NULL;
}

static void deleted(ClientData data) {
  gst_shared *c = data;
  c->command = NULL;
  gs_shared_outside(c->ch, -1);
  gst_shared_release(c);
}

int gst_shared_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  Tcl_WideInt room = 0;
  Tcl_DString ds;
  Tcl_Size n;
  if (objc < 2 || objc > 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "name ?capacity?");
    return TCL_ERROR;
  }
  if (objc == 3 && (Tcl_GetWideIntFromObj(NULL, objv[2], &room) != TCL_OK || room < 0))
    return gst_error(interp,
                     Tcl_ObjPrintf("capacity is \"%.60s\", expected a whole number from 0 on",
                                   Tcl_GetString(objv[2])),
                     "ARGUMENT", "capacity", NULL);
  gst_shared *c = calloc(1, sizeof(*c));
  if (!c) return gst_no_memory(interp);
  const char *text = gst_text_of(objv[1], &ds, &n);
  int e = strlen(text) == (size_t)n
              ? gs_shared_chan(text, objc == 3 ? (size_t)room : GS_SHARED_ANY, &c->ch)
              : gs_fail(GS_EINVAL, "the name has a NUL in it");
  Tcl_DStringFree(&ds);
  if (e != GS_OK) {
    free(c);
    return gst_error(interp, Tcl_ObjPrintf("gosched::shared: %s", gs_error_detail()), "ARGUMENT",
                     objc == 3 && strstr(gs_error_detail(), "cap") ? "capacity" : "name", NULL);
  }
  gs_shared_outside(c->ch, 1);
  c->state = gst_state_retain(s);
  c->refs = 1;
  c->brisk = true;
  Tcl_Obj *name = Tcl_ObjPrintf("::gosched::channel::shared%lu", ++s->home->counter);
  c->command = Tcl_NRCreateCommand(interp, Tcl_GetString(name), shared_cmd, shared_nr, c, deleted);
  Tcl_SetObjResult(interp, name);
  return TCL_OK;
}
