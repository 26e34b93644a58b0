/* callback.c: gosched::callback, which makes C functions of Tcl command prefixes.
 *
 * C calls the function on some thread: on the one that runs the foreign call, or on one of the
 * library's own.  The command runs in the interpreter's thread, as a green thread, so it may wait
 * for anything; C's thread waits meanwhile, parked if it runs a green thread.
 *
 *     C's thread                            home
 *     handle(): a request, posted home
 *     waits on request->done                arrived(): arguments to Tcl, starts a green thread
 *                                           answered(): its result to C, done
 *     copies the result
 *
 * Two sides race when C's side gives up (gs_run ends and cancels it) while home answers.  The
 * arguments are C's: they are only read under the request's mutex, and only while C still waits
 * (`left` is false).  The result is written into the request, which has a reference for each side.
 * When the interpreter or its thread ends, a request is answered with a failure: C is not left
 * waiting.
 *
 * If C calls on the home thread itself (a critical function, a program that embeds Tcl), there is
 * nobody to wait for: the command is run in place, on the thread's own stack.
 *
 * What fails: C gets the error value, and the innermost foreign call that C is in raises the
 * command's error; where there is none, it goes to bgerror.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

typedef struct gst_callback {
  gst_state *state;
  gst_mailbox *box;
  gs_callback *code;
  gst_space *space;    /* a reference: it has the type */
  const gs_type *type; /* of the function */
  Tcl_Obj *prefix;     /* home only; NULL: freed */
  int refs;            /* atomic: the block, the function in C, each request */
} gst_callback;

typedef struct request {
  gst_post post;
  gst_callback *callback;
  pthread_mutex_t mutex;
  gs_sema done;
  void *const *args;    /* C's; under mutex, and only if !left */
  bool left;            /* under mutex: C waits no longer */
  bool failed;          /* under mutex until done */
  gst_failure *failure; /* or NULL: there was no Tcl error */
  void *result;         /* of the size of the result type */
  int refs;             /* atomic */
  Tcl_Obj *holder;
} request;

/* ---- failures -------------------------------------------------------------------------------- */

void gst_failure_free(gst_failure *f) {
  if (!f) return;
  free(f->message);
  free(f->info);
  free(f->code);
  free(f);
}

static char *option(Tcl_Obj *options, const char *name) {
  Tcl_Obj *key = Tcl_NewStringObj(name, -1), *value = NULL;
  Tcl_IncrRefCount(key);
  Tcl_DictObjGet(NULL, options, key, &value);
  Tcl_DecrRefCount(key);
  return value ? strdup(Tcl_GetString(value)) : NULL;
}

static gst_failure *new_failure(Tcl_Obj *message, Tcl_Obj *options) {
  gst_failure *f = calloc(1, sizeof(*f));
  if (!f) return NULL;
  f->message = strdup(Tcl_GetString(message));
  f->info = option(options, "-errorinfo");
  f->code = option(options, "-errorcode");
  return f;
}

static Tcl_Obj *failure_options(const gst_failure *f) {
  Tcl_Obj *words[] = {
      Tcl_NewStringObj("-code", -1),      Tcl_NewIntObj(TCL_ERROR),
      Tcl_NewStringObj("-level", -1),     Tcl_NewIntObj(0),
      Tcl_NewStringObj("-errorcode", -1), Tcl_NewStringObj(f->code ? f->code : "NONE", -1),
      Tcl_NewStringObj("-errorinfo", -1), Tcl_NewStringObj(f->info ? f->info : f->message, -1)};
  return Tcl_NewListObj(8, words);
}

int gst_failure_raise(Tcl_Interp *interp, const gst_failure *f) {
  Tcl_SetObjResult(interp, Tcl_NewStringObj(f->message ? f->message : "a callback failed", -1));
  Tcl_SetReturnOptions(interp, failure_options(f));
  Tcl_AddErrorInfo(interp, "\n    (callback from C)");
  return TCL_ERROR;
}

/* ---- references ------------------------------------------------------------------------------ */

static void release_callback(gst_callback *cb) {
  if (__atomic_sub_fetch(&cb->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gst_mailbox_release(cb->box);
  gst_space_release(cb->space);
  gst_state_release(cb->state);
  free(cb);
}

static void release(request *r) {
  if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  release_callback(r->callback);
  gst_failure_free(r->failure);
  pthread_mutex_destroy(&r->mutex);
  free(r->result);
  free(r);
}

static request *new_request(gst_callback *cb, void *const *args) {
  request *r = calloc(1, sizeof(*r));
  if (!r) return NULL;
  size_t size = gs_type_size(gs_type_target(cb->type));
  if (size && !(r->result = calloc(1, size))) {
    free(r);
    return NULL;
  }
  pthread_mutex_init(&r->mutex, NULL);
  r->callback = cb;
  __atomic_fetch_add(&cb->refs, 1, __ATOMIC_RELAXED);
  r->args = args;
  r->refs = 1;
  return r;
}

/* ---- at home --------------------------------------------------------------------------------- */

static void answer(request *r, bool failed) {
  r->failed = failed;
  gs_sema_release(&r->done, 1);
  release(r);
}

/* The command's words: the prefix and the arguments; NULL: C waits no longer. */
static Tcl_Obj *words_of(request *r) {
  gst_callback *cb = r->callback;
  pthread_mutex_lock(&r->mutex);
  Tcl_Obj *words = r->left ? NULL : Tcl_DuplicateObj(cb->prefix);
  for (size_t i = 0; words && i < gs_type_length(cb->type); i++) {
    const gs_type *t = gs_type_param(cb->type, i);
    Tcl_ListObjAppendElement(NULL, words,
                             gst_to_tcl(cb->state, NULL, t, r->args[i], gs_type_size(t)));
  }
  pthread_mutex_unlock(&r->mutex);
  return words;
}

/* The command's result as C's; false: it is none, and the interpreter has the error. */
static bool store_result(Tcl_Interp *interp, request *r, Tcl_Obj *value) {
  gst_callback *cb = r->callback;
  const gs_type *type = gs_type_target(cb->type);
  if (gs_type_kind(type) == GS_KIND_VOID) return true;
  gst_conversion c = {interp, cb->state, NULL,     0, "the result of a callback",
                      NULL,   false,     cb->space};
  return gst_to_c(&c, value, type, r->result) == TCL_OK;
}

static void fail(request *r, Tcl_Obj *message, Tcl_Obj *options) {
  Tcl_IncrRefCount(options);
  r->failure = new_failure(message, options);
  Tcl_DecrRefCount(options);
}

static void answered(gst_green *g, int code) {
  request *r = g->ended_data;
  Tcl_Interp *interp = g->state->interp;
  if (code == TCL_OK && interp) {
    Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
    if (!store_result(interp, r, g->result)) {
      code = TCL_ERROR;
      fail(r, Tcl_GetObjResult(interp), Tcl_GetReturnOptions(interp, TCL_ERROR));
    }
    Tcl_RestoreInterpState(interp, saved);
  } else {
    code = TCL_ERROR;
    fail(r, g->result, g->options);
  }
  answer(r, code != TCL_OK);
}

/* Home has the request's reference. */
static void arrived(gst_post *post, bool alive) {
  request *r = (request *)post;
  gst_callback *cb = r->callback;
  Tcl_Interp *interp = alive ? cb->state->interp : NULL;
  if (!interp || Tcl_InterpDeleted(interp) || !cb->prefix) {
    answer(r, true);
    return;
  }
  Tcl_Obj *words = words_of(r);
  if (!words) {
    answer(r, true);
    return;
  }
  Tcl_IncrRefCount(words);
  Tcl_Preserve(interp);
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  gst_state *s = gst_state_retain(cb->state);
  if (!gst_green_start(interp, s, words, "::", true, answered, r)) answer(r, true);
  Tcl_RestoreInterpState(interp, saved);
  gst_state_release(s);
  Tcl_Release(interp);
  Tcl_DecrRefCount(words);
}

/* ---- in C ------------------------------------------------------------------------------------ */

typedef struct report {
  gst_post post;
  gst_state *state;
  gst_mailbox *box;
  gst_failure *failure;
} report;

static void reported(gst_post *post, bool alive) {
  report *p = (report *)post;
  if (alive && p->state->interp) {
    Tcl_Obj *message = Tcl_NewStringObj(p->failure->message, -1);
    Tcl_Obj *options = failure_options(p->failure);
    Tcl_IncrRefCount(message);
    Tcl_IncrRefCount(options);
    gst_background_error(p->state->interp, message, options);
    Tcl_DecrRefCount(message);
    Tcl_DecrRefCount(options);
  }
  gst_failure_free(p->failure);
  gst_state_release(p->state);
  gst_mailbox_release(p->box);
  free(p);
}

/* Tells whoever can be told. */
static void tell(gst_callback *cb, gst_failure *f) {
  if (!f || gs_callback_fail(1, f) == GS_OK) return;
  report *p = calloc(1, sizeof(*p));
  if (!p) {
    gst_failure_free(f);
    return;
  }
  p->post.arrive = reported;
  p->state = gst_state_retain(cb->state);
  p->box = gst_mailbox_retain(cb->box);
  p->failure = f;
  gst_post_home(p->box, &p->post);
}

/* On the home thread, on its own stack. */
static int run_here(void *arg) {
  request *r = arg;
  gst_callback *cb = r->callback;
  Tcl_Interp *interp = cb->state->interp;
  r->failed = true;
  if (!interp || Tcl_InterpDeleted(interp) || !cb->prefix) return 0;
  Tcl_Obj *words = words_of(r);
  Tcl_IncrRefCount(words);
  Tcl_Preserve(interp);
  Tcl_InterpState saved = Tcl_SaveInterpState(interp, TCL_OK);
  int code = Tcl_EvalObjEx(interp, words, TCL_EVAL_GLOBAL);
  if (code == TCL_RETURN) code = TCL_OK;
  if (code == TCL_OK) {
    Tcl_Obj *value = Tcl_GetObjResult(interp);
    Tcl_IncrRefCount(value);
    if (!store_result(interp, r, value)) code = TCL_ERROR;
    Tcl_DecrRefCount(value);
  }
  if (code != TCL_OK) fail(r, Tcl_GetObjResult(interp), Tcl_GetReturnOptions(interp, code));
  r->failed = code != TCL_OK;
  Tcl_RestoreInterpState(interp, saved);
  Tcl_Release(interp);
  Tcl_DecrRefCount(words);
  return 0;
}

static void wait_for_home(request *r) {
  r->refs++;
  r->post.arrive = arrived;
  r->post.runs_code = true;
  gst_post_home(r->callback->box, &r->post);
  if (gs_sema_acquire(&r->done, GS_FOREVER) == GS_OK) return;
  pthread_mutex_lock(&r->mutex);
  r->left = true;
  pthread_mutex_unlock(&r->mutex);
}

static int handle(void *ret, void *const *args, void *user) {
  gst_callback *cb = user;
  size_t size = gs_type_size(gs_type_target(cb->type));
  request *r = new_request(cb, args);
  if (!r) return GS_ENOMEM;
  if (gst_home_is_here(cb->state->home)) {
    if (gs_cgocall(run_here, r, NULL) != GS_OK) r->failed = true;
  } else {
    wait_for_home(r);
  }
  bool failed = r->left || r->failed;
  if (!failed && size) memcpy(ret, r->result, size);
  if (failed && !r->left) {
    gst_failure *f = r->failure;
    r->failure = NULL;
    tell(cb, f);
  }
  release(r);
  return failed;
}

/* ---- gosched::callback ----------------------------------------------------------------------- */

static void not_called_any_more(void *user) { release_callback(user); }

void gst_callback_free(gst_callback *cb) {
  if (cb->prefix) Tcl_DecrRefCount(cb->prefix);
  cb->prefix = NULL;
  cb->state->callbacks--;
  gs_callback_free(cb->code);
  release_callback(cb);
}

bool gst_callback_matches(const gst_callback *cb, const void *address) {
  return gs_callback_code(cb->code) == address;
}

static int set_error_value(Tcl_Interp *interp, gst_callback *cb, Tcl_Obj *value) {
  const gs_type *type = gs_type_target(cb->type);
  gst_conversion c = {interp, cb->state, NULL, 0, "-error", NULL, false, cb->space};
  size_t size = gs_type_size(type);
  void *room = calloc(1, size ? size : 1);
  if (!room) return gst_no_memory(interp);
  int code = size ? gst_to_c(&c, value, type, room)
                  : gst_error(interp,
                              Tcl_NewStringObj("-error has a value, but the function returns "
                                               "nothing",
                                               -1),
                              "ARGUMENT", "-error", NULL);
  if (code == TCL_OK && gs_callback_set_default(cb->code, room) != GS_OK)
    code = gst_no_memory(interp);
  free(room);
  return code;
}

int gst_callback_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  const gs_type *type;
  gs_ffi_error err;
  Tcl_Size n;
  if (objc != 3 && (objc != 5 || strcmp(Tcl_GetString(objv[3]), "-error") != 0)) {
    Tcl_WrongNumArgs(interp, 1, objv, "ctype cmdprefix ?-error value?");
    return TCL_ERROR;
  }
  if (Tcl_ListObjLength(interp, objv[2], &n) != TCL_OK) return TCL_ERROR;
  if (n == 0)
    return gst_error(interp, Tcl_NewStringObj("cmdprefix is empty, expected a command prefix", -1),
                     "ARGUMENT", "cmdprefix", NULL);
  gst_space *sp = gst_space_here(s);
  if (gst_type(sp, Tcl_GetString(objv[1]), &type, &err) != GS_OK)
    return gst_space_error(interp, sp, &err, Tcl_GetString(objv[1]));
  if (gs_type_kind(type) == GS_KIND_POINTER) type = gs_type_target(type);
  if (gs_type_kind(type) != GS_KIND_FUNCTION)
    return gst_error(interp,
                     Tcl_ObjPrintf("'%s' is not the type of a function, as in \"int (*)(int)\"",
                                   gs_type_name(type)),
                     "TYPE", Tcl_GetString(objv[1]), NULL);
  gst_callback *cb = calloc(1, sizeof(*cb));
  if (!cb) return gst_no_memory(interp);
  cb->state = gst_state_retain(s);
  cb->box = gst_mailbox_retain(s->box);
  cb->space = gst_space_retain(sp);
  cb->type = type;
  cb->refs = 2;
  if (gs_callback_prepare(sp->ffi, Tcl_GetString(objv[2]), type, handle, cb, &cb->code, &err) !=
      GS_OK) {
    cb->refs = 1;
    release_callback(cb);
    return gst_ffi_error(interp, &err, Tcl_GetString(objv[1]));
  }
  gs_callback_on_free(cb->code, not_called_any_more);
  s->callbacks++;
  Tcl_IncrRefCount(cb->prefix = objv[2]);
  gst_block *b = objc == 5 && set_error_value(interp, cb, objv[4]) != TCL_OK
                     ? NULL
                     : gst_block_new(s, sp, NULL, cb);
  if (!b) {
    gst_callback_free(cb);
    return TCL_ERROR;
  }
  Tcl_Obj *name = gst_pointer_type_name(type);
  Tcl_IncrRefCount(name);
  Tcl_SetObjResult(
      interp, gst_pointer_obj(s, Tcl_GetString(name), type, gs_callback_code(cb->code), b->serial));
  Tcl_DecrRefCount(name);
  return TCL_OK;
}
