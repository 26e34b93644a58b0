/* select.c: gosched::select, which waits for several channels.
 *
 *     gosched::select {$a recv v} {puts $v} {$b send $x} {puts sent} timeout 100 {…} default {…}
 *
 * A case is a list of words as a command would have them: it is substituted where select was
 * called.  The body of the case that was done is evaluated there, too, and is the result.
 */
#include <stdlib.h>
#include <string.h>

#include "shared.h"

static int bad_case(Tcl_Interp *interp, Tcl_Obj *words) {
  return gst_error(interp,
                   Tcl_ObjPrintf("the case \"%.80s\" is none: expected {channel recv ?varName?} or "
                                 "{channel send value ?-as type?}",
                                 Tcl_GetString(words)),
                   "ARGUMENT", "case", NULL);
}

/* "$ch recv v" -> its words, substituted in the caller's frame; a reference. */
static Tcl_Obj *substitute(Tcl_Interp *interp, Tcl_Obj *words) {
  Tcl_Obj *script = Tcl_NewStringObj("::list ", -1);
  Tcl_IncrRefCount(script);
  Tcl_AppendObjToObj(script, words);
  int code = Tcl_EvalObjEx(interp, script, 0);
  Tcl_DecrRefCount(script);
  if (code != TCL_OK) return NULL;
  Tcl_Obj *list = Tcl_GetObjResult(interp);
  Tcl_IncrRefCount(list);
  return list;
}

/* value NULL: receives. */
static bool set_shared(Tcl_Interp *interp, gst_choice *c, int i, gst_shared *shared, Tcl_Obj *value,
                       Tcl_Obj *type) {
  gs_value v;
  if (value && gst_carry(interp, value, type, &v) != TCL_OK) return false;
  gst_choice_set_shared(c, i, shared, value ? &v : NULL);
  return true;
}

/* Sets up case i; its variable (or nothing) and body go to c->bodies. */
static int add_case(Tcl_Interp *interp, gst_state *s, gst_choice *c, int i, Tcl_Obj *words,
                    Tcl_Obj *body) {
  Tcl_Obj **word, *list = substitute(interp, words), *variable = Tcl_NewObj();
  Tcl_Size n;
  int code = TCL_ERROR;
  if (!list) {
    Tcl_DecrRefCount(variable);
    return TCL_ERROR;
  }
  gst_chan *chan = NULL;
  if (Tcl_ListObjGetElements(interp, list, &n, &word) == TCL_OK) {
    bool recv = n >= 2 && strcmp(Tcl_GetString(word[1]), "recv") == 0;
    bool send = n >= 3 && strcmp(Tcl_GetString(word[1]), "send") == 0;
    gst_shared *shared = n ? gst_shared_from(interp, s, word[0]) : NULL;
    bool typed = send && shared && n == 5 && strcmp(Tcl_GetString(word[3]), "-as") == 0;
    if ((recv || send) && (n <= 3 || typed)) {
      if (shared ? set_shared(interp, c, i, shared, send ? word[2] : NULL, typed ? word[4] : NULL)
                 : (chan = gst_chan_from(interp, s, word[0])) != NULL) {
        if (chan) gst_choice_set(c, i, chan, send ? word[2] : NULL);
        Tcl_ListObjAppendElement(NULL, c->bodies, recv && n == 3 ? word[2] : variable);
        Tcl_ListObjAppendElement(NULL, c->bodies, body);
        code = TCL_OK;
      }
    } else {
      bad_case(interp, words);
    }
  }
  Tcl_IncrRefCount(variable);
  Tcl_DecrRefCount(variable);
  Tcl_DecrRefCount(list);
  return code;
}

static int selected(Tcl_Interp *interp, gst_waiter *w, gst_why why) {
  gst_choice *c = (gst_choice *)w;
  if (why == GST_TIMEOUT && c->timeout_body) return Tcl_NREvalObj(interp, c->timeout_body, 0);
  if (why != GST_DONE) return gst_wait_error(interp, w, why);
  gst_case *k = &c->cases[c->chosen];
  Tcl_Obj *variable, *body;
  if (c->failed) return gst_shared_failed(interp, c->failed);
  if (c->closed) return gst_closed_error(interp, k->chan);
  Tcl_ListObjIndex(NULL, c->bodies, c->chosen * 2, &variable);
  Tcl_ListObjIndex(NULL, c->bodies, c->chosen * 2 + 1, &body);
  if (!k->send && *Tcl_GetString(variable) &&
      !Tcl_ObjSetVar2(interp, variable, NULL, k->value, TCL_LEAVE_ERR_MSG))
    return TCL_ERROR;
  return Tcl_NREvalObj(interp, body, 0);
}

int gst_select_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  Tcl_Obj *otherwise = NULL;
  gst_choice *c = gst_choice_new(objc / 2 + 1);
  if (!c) return gst_no_memory(interp);
  c->n = 0;
  c->w.reason = "select";
  c->w.finish = selected;
  c->w.withdraw = gst_choice_give_back;
  Tcl_IncrRefCount(c->bodies = Tcl_NewListObj(0, NULL));
  for (int i = 1; i < objc;) {
    const char *word = Tcl_GetString(objv[i]);
    bool timeout = strcmp(word, "timeout") == 0;
    if (i + 1 + timeout >= objc) {
      Tcl_WrongNumArgs(interp, 1, objv, "?case body ...? ?timeout ms body? ?default body?");
      goto failed;
    }
    if (timeout) {
      if (gst_get_ms(interp, objv[i + 1], "timeout", &c->ms) != TCL_OK) goto failed;
      if (c->timeout_body) Tcl_DecrRefCount(c->timeout_body);
      Tcl_IncrRefCount(c->timeout_body = objv[i + 2]);
      i += 3;
      continue;
    }
    if (strcmp(word, "default") == 0)
      otherwise = objv[i + 1];
    else if (add_case(interp, s, c, c->n, objv[i], objv[i + 1]) != TCL_OK)
      goto failed;
    else
      c->n++;
    i += 2;
  }
  Tcl_ResetResult(interp);
  if (gst_choice_try(c)) {
    c->w.state = s;
    int code = selected(interp, &c->w, GST_DONE);
    gst_choice_destroy(&c->w);
    return code;
  }
  if (otherwise) {
    gst_choice_destroy(&c->w);
    return Tcl_NREvalObj(interp, otherwise, 0);
  }
  if (gst_choice_enqueue(interp, s, c) != TCL_OK) goto failed;
  return gst_park(interp, s, &c->w, c->ms);
failed:
  gst_choice_destroy(&c->w);
  return TCL_ERROR;
}
