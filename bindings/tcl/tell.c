/* tell.c: what this thread's green threads do, told to a dump that somebody else asks for: C,
 * another language, SIGQUIT, the monitor (core/tell.c).
 *
 * Only the home thread may look, so the question goes there in two ways at once, and the first one
 * that is served answers.  A letter in the mailbox, for a thread that serves its events.  And a
 * mark for Tcl's asynchronous handlers, which are called between two commands, for a thread that
 * computes: what runs right now is told, too.  A thread that is blocked in C comes to neither: the
 * dump says that it is busy.
 *
 * ask is called by the runtime's own thread, and never again once gs_teller_end has returned; only
 * after that, and when the box has been emptied, are the handler and this struct deleted.  `posted`
 * is cleared before gs_tell_begin and set after
 * the question was put, so a letter that is under way when another question comes sees it.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "binding.h"

struct gst_teller {
  gst_post post; /* first: what arrives */
  gst_home *home;
  gst_mailbox *box;
  gs_teller *_Atomic teller; /* NULL: it has ended */
  Tcl_AsyncHandler async;
  bool _Atomic posted; /* post is under way */
};

/* interp: which evaluates something right now, or NULL. */
static void tell(gst_home *home, gs_teller *teller, Tcl_Interp *interp) {
  Tcl_DString utf8;
  if (!teller || !gs_tell_begin(teller)) return;
  int frames = home->frames;
  Tcl_Obj *running = interp ? gst_stack_here(interp) : NULL, *out = gst_report(home, !interp),
          **frame;
  home->frames = frames;
  Tcl_IncrRefCount(out);
  if (running) {
    Tcl_IncrRefCount(running);
    Tcl_Size n;
    Tcl_ListObjGetElements(NULL, running, &n, &frame);
    Tcl_AppendToObj(out, "tcl: running\n", -1);
    for (Tcl_Size i = 0; i < n; i++)
      Tcl_AppendPrintfToObj(out, "    %s\n", Tcl_GetString(frame[i]));
    Tcl_DecrRefCount(running);
  }
  Tcl_Size length;
  const char *text = Tcl_GetStringFromObj(out, &length);
  Tcl_UtfToExternalDString(NULL, text, length, &utf8);
  gs_tell_end(teller, Tcl_DStringValue(&utf8), (size_t)Tcl_DStringLength(&utf8));
  Tcl_DStringFree(&utf8);
  Tcl_DecrRefCount(out);
}

static int between_commands(ClientData data, Tcl_Interp *interp, int code) {
  struct gst_teller *t = data;
  tell(t->home, t->teller, interp && !Tcl_InterpDeleted(interp) ? interp : NULL);
  return code;
}

/* At home, or, with alive false, on the asking thread or on the one that ends. */
static void arrive(gst_post *post, bool alive) {
  struct gst_teller *t = (struct gst_teller *)post;
  t->posted = false;
  if (alive) tell(t->home, t->teller, NULL);
}

static int ask(void *ud) {
  struct gst_teller *t = ud;
  Tcl_AsyncMark(t->async);
  if (!atomic_exchange(&t->posted, true)) gst_post_home(t->box, &t->post);
  return 0;
}

gs_teller *gst_teller_of(const gst_home *home) {
  return home->teller ? home->teller->teller : NULL;
}

/* Dumps do without it if there is no memory. */
void gst_tell_start(gst_home *home) {
  struct gst_teller *t = calloc(1, sizeof(*t));
  gs_teller *teller;
  if (!t) return;
  t->post.arrive = arrive;
  t->home = home;
  t->box = home->box;
  t->async = Tcl_AsyncCreate(between_commands, t);
  if (gs_teller_new("tcl", ask, t, &teller) != GS_OK) {
    Tcl_AsyncDelete(t->async);
    free(t);
    return;
  }
  t->teller = teller;
  home->teller = t;
}

/* The process ends, or the thread does.  Nobody is asked from now on. */
void gst_tell_no_more(gst_home *home) {
  if (home->teller) gs_teller_end(atomic_exchange(&home->teller->teller, NULL));
}

/* The thread has ended, and its box is empty. */
void gst_tell_free(gst_home *home) {
  if (!home->teller) return;
  Tcl_AsyncDelete(home->teller->async);
  free(home->teller);
  home->teller = NULL;
}
