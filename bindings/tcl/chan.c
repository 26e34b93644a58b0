/* chan.c: channels between the green threads of an interpreter.
 *
 * They carry Tcl values as they are.  All of an interpreter's green threads run on its home thread,
 * so a channel is a queue of values and two queues of who waits, without a lock.
 *
 * A value belongs to exactly one side at each moment.  A receiver that was given one, and is then
 * deleted before it could take it, gives it back: to the next receiver, or to the head of the
 * buffer, which may hold one more than its room then.
 *
 * A choice may also wait for shared channels (shared.c), where others than this thread do its
 * cases: who wants to do one of its cases here claims it first, and passes it over if that fails.
 */
#include <stdlib.h>
#include <string.h>

#include "shared.h"

struct gst_chan {
  gst_state *state;
  Tcl_Command command; /* NULL: destroyed */
  size_t room;         /* capacity */
  Tcl_Obj **ring;      /* `size` of them, `count` used from `head` on */
  size_t size, head, count;
  gst_case *receivers, *senders;
  bool closed;
  int refs; /* the command, and each case */
};

gst_chan *gst_chan_retain(gst_chan *c) {
  c->refs++;
  return c;
}

void gst_chan_release(gst_chan *c) {
  if (--c->refs > 0) return;
  while (c->count) {
    Tcl_DecrRefCount(c->ring[c->head]);
    c->head = (c->head + 1) % c->size;
    c->count--;
  }
  free(c->ring);
  free(c);
}

/* ---- the buffer ------------------------------------------------------------------------------ */

static bool grow(gst_chan *c) {
  if (c->count < c->size) return true;
  size_t size = c->size ? c->size * 2 : 8;
  Tcl_Obj **ring = malloc(size * sizeof(*ring));
  if (!ring) return false;
  for (size_t i = 0; i < c->count; i++) ring[i] = c->ring[(c->head + i) % c->size];
  free(c->ring);
  c->ring = ring;
  c->size = size;
  c->head = 0;
  return true;
}

static bool push_back(gst_chan *c, Tcl_Obj *value) {
  if (!grow(c)) return false;
  c->ring[(c->head + c->count++) % c->size] = value;
  return true;
}

static bool push_front(gst_chan *c, Tcl_Obj *value) {
  if (!grow(c)) return false;
  c->head = (c->head + c->size - 1) % c->size;
  c->ring[c->head] = value;
  c->count++;
  return true;
}

static Tcl_Obj *pop(gst_chan *c) {
  Tcl_Obj *value = c->ring[c->head];
  c->head = (c->head + 1) % c->size;
  c->count--;
  return value;
}

/* ---- choices --------------------------------------------------------------------------------- */

static void init(gst_choice *c, int n) {
  c->n = n;
  c->chosen = -1;
  c->ms = -1;
  c->w.destroy = gst_choice_destroy;
}

gst_choice *gst_choice_new(int n) {
  gst_choice *c = calloc(1, sizeof(*c) + (size_t)n * sizeof(gst_case));
  if (c) init(c, n);
  return c;
}

void gst_choice_set(gst_choice *choice, int i, gst_chan *chan, Tcl_Obj *value) {
  gst_case *k = &choice->cases[i];
  k->choice = choice;
  k->chan = chan;
  chan->refs++;
  k->send = value != NULL;
  k->value = value;
  if (value) Tcl_IncrRefCount(value);
}

void gst_choice_set_shared(gst_choice *choice, int i, gst_shared *chan, const gs_value *value) {
  gst_case *k = &choice->cases[i];
  k->choice = choice;
  k->shared = gst_shared_retain(chan);
  k->send = value != NULL;
  if (value) k->carried = *value;
}

static void leave_queue(gst_case *k) {
  if (!k->link) return;
  *k->link = k->next;
  if (k->next) k->next->link = k->link;
  k->link = NULL;
}

static void leave_queues(gst_choice *c) {
  for (int i = 0; i < c->n; i++) leave_queue(&c->cases[i]);
}

static void clear(gst_choice *c) {
  leave_queues(c);
  for (int i = 0; i < c->n; i++) {
    if (c->cases[i].value) Tcl_DecrRefCount(c->cases[i].value);
    if (c->cases[i].chan) gst_chan_release(c->cases[i].chan);
    if (c->cases[i].shared) gst_shared_release(c->cases[i].shared);
    gs_value_free(&c->cases[i].carried);
  }
  if (c->variable) Tcl_DecrRefCount(c->variable);
  if (c->kind_variable) Tcl_DecrRefCount(c->kind_variable);
  if (c->bodies) Tcl_DecrRefCount(c->bodies);
  if (c->timeout_body) Tcl_DecrRefCount(c->timeout_body);
}

void gst_choice_destroy(gst_waiter *w) {
  clear((gst_choice *)w);
  free(w);
}

void gst_choice_choose(gst_case *k) {
  gst_choice *c = k->choice;
  leave_queues(c);
  c->chosen = (int)(k - c->cases);
  gst_wake(&c->w, GST_DONE);
}

/* The first of a queue that nobody has done elsewhere, claimed; or NULL. */
static gst_case *first(gst_case *queue) {
  while (queue && !gst_mix_claim(queue->choice)) queue = queue->next;
  return queue;
}

/* Gives a receiver the value, whose reference goes with it. */
static void hand_over(gst_case *receiver, Tcl_Obj *value) {
  receiver->value = value;
  gst_choice_choose(receiver);
}

/* After a value has left the buffer: the first sender that waits puts its own there. */
static void refill(gst_chan *c) {
  gst_case *k;
  while (c->senders && c->count < c->room && (k = first(c->senders))) {
    if (!push_back(c, k->value)) return;
    k->value = NULL;
    gst_choice_choose(k);
  }
}

static bool try_send(gst_case *k) {
  gst_chan *c = k->chan;
  if (c->closed) {
    k->choice->closed = true;
    return true;
  }
  gst_case *to = first(c->receivers);
  if (to) {
    hand_over(to, k->value);
  } else {
    if (c->count >= c->room || !push_back(c, k->value)) return false;
  }
  k->value = NULL;
  return true;
}

static bool try_receive(gst_case *k) {
  gst_chan *c = k->chan;
  if (c->count) {
    k->value = pop(c);
    refill(c);
    return true;
  }
  gst_case *from = first(c->senders);
  if (from) {
    k->value = from->value;
    from->value = NULL;
    gst_choice_choose(from);
    return true;
  }
  if (c->closed) k->choice->closed = true;
  return c->closed;
}

static unsigned random_number(void) {
  static __thread unsigned x = 2463534242u;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return x;
}

bool gst_choice_try(gst_choice *c) {
  int at = c->n > 1 ? (int)(random_number() % (unsigned)c->n) : 0;
  for (int i = 0; i < c->n; i++) {
    gst_case *k = &c->cases[(at + i) % c->n];
    if (k->shared ? gst_shared_try(k) : k->send ? try_send(k) : try_receive(k)) {
      c->chosen = (int)(k - c->cases);
      return true;
    }
  }
  return false;
}

int gst_choice_enqueue(Tcl_Interp *interp, gst_state *s, gst_choice *c) {
  if (gst_mix_start(interp, s, c) != TCL_OK) return TCL_ERROR;
  for (int i = 0; i < c->n; i++) {
    gst_case *k = &c->cases[i], **at;
    if (!k->chan) continue;
    at = k->send ? &k->chan->senders : &k->chan->receivers;
    while (*at) at = &(*at)->next;
    k->next = NULL;
    k->link = at;
    *at = k;
  }
  return TCL_OK;
}

/* Nobody waits any more; a value that was received already goes back. */
void gst_choice_give_back(gst_waiter *w, bool woken) {
  gst_choice *c = (gst_choice *)w;
  leave_queues(c);
  if (c->mix && !gst_mix_claim(c)) gst_mix_forget(c);
  if (!woken || c->chosen < 0 || c->closed) return;
  gst_case *k = &c->cases[c->chosen];
  if (k->send || !k->value || !k->chan) return;
  gst_case *to = first(k->chan->receivers);
  if (to)
    hand_over(to, k->value);
  else if (!push_front(k->chan, k->value))
    return;
  k->value = NULL;
}

int gst_closed_error(Tcl_Interp *interp, gst_chan *c) {
  (void)c;
  return gst_error(interp, Tcl_NewStringObj("the channel is closed", -1), "CLOSED", NULL);
}

/* Puts it there, also beyond the channel's room, and drops a reference to the channel. */
void gst_chan_push(gst_chan *c, Tcl_Obj *value) {
  if (!c->closed) {
    Tcl_IncrRefCount(value);
    gst_case *to = first(c->receivers);
    if (to)
      hand_over(to, value);
    else if (!push_back(c, value))
      Tcl_DecrRefCount(value);
  }
  gst_chan_release(c);
}

/* ---- send and recv --------------------------------------------------------------------------- */

static int sent(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  gst_choice *c = (gst_choice *)w;
  if (c->cases[0].shared) gst_shared_waited(&c->cases[0], why);
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  if (c->failed) return gst_shared_failed(interp, c->failed);
  return c->closed ? gst_closed_error(interp, c->cases[0].chan) : TCL_OK;
}

static int received(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  gst_choice *c = (gst_choice *)w;
  if (c->cases[0].shared) gst_shared_waited(&c->cases[0], why);
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  if (c->failed) return gst_shared_failed(interp, c->failed);
  if (c->kind_variable && !c->closed &&
      !Tcl_ObjSetVar2(interp, c->kind_variable, NULL, Tcl_NewStringObj(c->cases[0].kind, -1),
                      TCL_LEAVE_ERR_MSG))
    return TCL_ERROR;
  if (c->closed && !c->variable) return gst_closed_error(interp, c->cases[0].chan);
  if (!c->variable) {
    Tcl_SetObjResult(interp, c->cases[0].value);
    return TCL_OK;
  }
  if (!c->closed &&
      !Tcl_ObjSetVar2(interp, c->variable, NULL, c->cases[0].value, TCL_LEAVE_ERR_MSG))
    return TCL_ERROR;
  Tcl_SetObjResult(interp, Tcl_NewBooleanObj(!c->closed));
  return TCL_OK;
}

/* A choice of one, on the stack as long as it does not wait. */
typedef union single {
  gst_choice choice;
  char room[sizeof(gst_choice) + sizeof(gst_case)];
} single;

static gst_choice *begin(single *one, const char *reason,
                         int (*finish)(Tcl_Interp *, gst_waiter *, gst_why)) {
  memset(one, 0, sizeof(*one));
  init(&one->choice, 1);
  one->choice.w.reason = reason;
  one->choice.w.finish = finish;
  one->choice.w.withdraw = gst_choice_give_back;
  return &one->choice;
}

/* Does it now, or waits. */
static int operate(Tcl_Interp *interp, gst_state *s, single *one, double ms) {
  gst_choice *c = &one->choice;
  gst_shared *shared = c->cases[0].shared;
  if (gst_choice_try(c) || (shared && gst_shared_linger(s, shared, c))) {
    c->w.state = s;
    int code = c->w.finish(interp, &c->w, GST_DONE);
    clear(c);
    return code;
  }
  gst_choice *waits = malloc(sizeof(*one));
  if (!waits) {
    clear(c);
    return gst_no_memory(interp);
  }
  memcpy(waits, one, sizeof(*one));
  waits->cases[0].choice = waits;
  if (gst_choice_enqueue(interp, s, waits) != TCL_OK) {
    gst_choice_destroy(&waits->w);
    return TCL_ERROR;
  }
  return gst_park(interp, s, &waits->w, ms);
}

/* Options in pairs from word i on; returns the first that is none. */
static int options(Tcl_Interp *interp, int objc, Tcl_Obj *const objv[], int i, double *ms,
                   const char *other, Tcl_Obj **given) {
  for (; i + 1 < objc; i += 2) {
    const char *word = Tcl_GetString(objv[i]);
    if (strcmp(word, "-timeout") == 0) {
      if (gst_get_ms(interp, objv[i + 1], "-timeout", ms) != TCL_OK) return -1;
    } else if (other && strcmp(word, other) == 0) {
      *given = objv[i + 1];
    } else {
      break;
    }
  }
  return i;
}

int gst_send_nr(Tcl_Interp *interp, gst_state *s, gst_chan *chan, gst_shared *shared, int objc,
                Tcl_Obj *const objv[]) {
  double ms = -1;
  Tcl_Obj *type = NULL;
  gs_value carried;
  single one;
  int i = objc < 3 ? 0 : options(interp, objc, objv, 3, &ms, shared ? "-as" : NULL, &type);
  if (i < 0) return TCL_ERROR;
  if (i != objc) {
    Tcl_WrongNumArgs(interp, 2, objv,
                     shared ? "value ?-as type? ?-timeout ms?" : "value ?-timeout ms?");
    return TCL_ERROR;
  }
  if (shared && gst_carry(interp, objv[2], type, &carried) != TCL_OK) return TCL_ERROR;
  gst_choice *c = begin(&one, "channel send", sent);
  if (shared)
    gst_choice_set_shared(c, 0, shared, &carried);
  else
    gst_choice_set(c, 0, chan, objv[2]);
  return operate(interp, s, &one, ms);
}

int gst_recv_nr(Tcl_Interp *interp, gst_state *s, gst_chan *chan, gst_shared *shared, int objc,
                Tcl_Obj *const objv[]) {
  double ms = -1;
  Tcl_Obj *kind = NULL;
  single one;
  int i = options(interp, objc, objv, 2, &ms, shared ? "-type" : NULL, &kind);
  if (i < 0) return TCL_ERROR;
  if (objc > i + 1) {
    Tcl_WrongNumArgs(
        interp, 2, objv,
        shared ? "?-timeout ms? ?-type varName? ?varName?" : "?-timeout ms? ?varName?");
    return TCL_ERROR;
  }
  gst_choice *c = begin(&one, "channel recv", received);
  if (objc > i) Tcl_IncrRefCount(c->variable = objv[i]);
  if (kind) Tcl_IncrRefCount(c->kind_variable = kind);
  if (shared)
    gst_choice_set_shared(c, 0, shared, NULL);
  else
    gst_choice_set(c, 0, chan, NULL);
  return operate(interp, s, &one, ms);
}

/* ---- the command of a channel ---------------------------------------------------------------- */

static void close_chan(gst_chan *c) {
  c->closed = true;
  while (c->receivers || c->senders) {
    gst_case *k = c->receivers ? c->receivers : c->senders;
    if (!gst_mix_claim(k->choice)) {
      leave_queue(k);
      continue;
    }
    k->choice->closed = true;
    gst_choice_choose(k);
  }
}

static void deleted(ClientData data) {
  gst_chan *c = data;
  gst_state *s = c->state;
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->channels, (char *)c);
  if (e) Tcl_DeleteHashEntry(e);
  c->command = NULL;
  close_chan(c);
  gst_chan_release(c);
  gst_state_release(s);
}

static int chan_nr(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const names[] = {"cap", "close", "closed", "destroy",
                                      "len", "recv",  "send",   NULL};
  enum { CAP, CLOSE, CLOSED, DESTROY, LEN, RECV, SEND } what;
  gst_chan *c = data;
  int index;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "subcommand ?arg ...?");
    return TCL_ERROR;
  }
  if (Tcl_GetIndexFromObj(interp, objv[1], names, "subcommand", 0, &index) != TCL_OK)
    return TCL_ERROR;
  what = index;
  if (what == SEND) return gst_send_nr(interp, c->state, c, NULL, objc, objv);
  if (what == RECV) return gst_recv_nr(interp, c->state, c, NULL, objc, objv);
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 2, objv, NULL);
    return TCL_ERROR;
  }
  switch (what) {
    case CAP: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((Tcl_WideInt)c->room)); break;
    case LEN: Tcl_SetObjResult(interp, Tcl_NewWideIntObj((Tcl_WideInt)c->count)); break;
    case CLOSED: Tcl_SetObjResult(interp, Tcl_NewBooleanObj(c->closed)); break;
    case CLOSE:
      if (c->closed) return gst_closed_error(interp, c);
      close_chan(c);
      break;
    default: Tcl_DeleteCommandFromToken(interp, c->command); break;
  }
  return TCL_OK;
}

static int chan_cmd(ClientData data, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  return Tcl_NRCallObjProc(interp, chan_nr, data, objc, objv);
}

gst_chan *gst_chan_from(Tcl_Interp *interp, gst_state *s, Tcl_Obj *name) {
  Tcl_CmdInfo info;
  Tcl_Command command = Tcl_GetCommandFromObj(interp, name);
  if (command && Tcl_GetCommandInfoFromToken(command, &info) && info.objProc == chan_cmd) {
    gst_chan *c = info.objClientData;
    if (c->state == s) return c;
  }
  gst_error(interp, Tcl_ObjPrintf("\"%.80s\" is not a channel of gosched", Tcl_GetString(name)),
            "NAME", Tcl_GetString(name), NULL);
  return NULL;
}

static int new_chan(Tcl_Interp *interp, gst_state *s, int objc, Tcl_Obj *const objv[]) {
  Tcl_WideInt room = 0;
  int isnew;
  if (objc > 3) {
    Tcl_WrongNumArgs(interp, 2, objv, "?capacity?");
    return TCL_ERROR;
  }
  if (objc == 3 &&
      (Tcl_GetWideIntFromObj(NULL, objv[2], &room) != TCL_OK || room < 0 || room > (1 << 30)))
    return gst_error(interp,
                     Tcl_ObjPrintf("capacity is \"%.60s\", expected a whole number (0 to %d)",
                                   Tcl_GetString(objv[2]), 1 << 30),
                     "ARGUMENT", "capacity", NULL);
  gst_chan *c = calloc(1, sizeof(*c));
  if (!c) return gst_no_memory(interp);
  c->state = gst_state_retain(s);
  c->room = (size_t)room;
  c->refs = 1;
  Tcl_Obj *name = Tcl_ObjPrintf("::gosched::channel::%lu", ++s->home->counter);
  c->command = Tcl_NRCreateCommand(interp, Tcl_GetString(name), chan_cmd, chan_nr, c, deleted);
  Tcl_CreateHashEntry(&s->channels, (char *)c, &isnew);
  Tcl_SetObjResult(interp, name);
  return TCL_OK;
}

int gst_chan_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const names[] = {"names", "new", NULL};
  gst_state *s = state;
  Tcl_HashSearch search;
  int index;
  if (objc < 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "subcommand ?arg ...?");
    return TCL_ERROR;
  }
  if (Tcl_GetIndexFromObj(interp, objv[1], names, "subcommand", 0, &index) != TCL_OK)
    return TCL_ERROR;
  if (index == 1) return new_chan(interp, s, objc, objv);
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 2, objv, NULL);
    return TCL_ERROR;
  }
  Tcl_Obj *list = Tcl_NewListObj(0, NULL);
  for (Tcl_HashEntry *e = Tcl_FirstHashEntry(&s->channels, &search); e;
       e = Tcl_NextHashEntry(&search)) {
    Tcl_Obj *name = Tcl_NewObj();
    Tcl_GetCommandFullName(interp, ((gst_chan *)Tcl_GetHashKey(&s->channels, e))->command, name);
    Tcl_ListObjAppendElement(NULL, list, name);
  }
  Tcl_SetObjResult(interp, list);
  return TCL_OK;
}

/* The package leaves the interpreter. */
void gst_channels_free(gst_state *s) {
  Tcl_HashSearch search;
  Tcl_HashEntry *e;
  while ((e = Tcl_FirstHashEntry(&s->channels, &search))) {
    gst_chan *c = (gst_chan *)Tcl_GetHashKey(&s->channels, e);
    Tcl_DeleteHashEntry(e);
    if (c->command && s->interp) Tcl_DeleteCommandFromToken(s->interp, c->command);
  }
  Tcl_DeleteHashTable(&s->channels);
  Tcl_InitHashTable(&s->channels, TCL_ONE_WORD_KEYS); /* for what is deleted later */
}
