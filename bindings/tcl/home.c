/* home.c: where results come home to.
 *
 *     any thread                        home thread
 *     gst_post_home: into the box;      event(): takes all there is, arrives them one by one
 *     the first of a batch also
 *     Tcl_ThreadQueueEvent and -Alert
 *
 * The event is made at home, before it is needed, so that the threads of the scheduler never touch
 * Tcl's allocator.  While there is none to take, one is under way, and what is put into the box
 * travels with that one: a hundred calls that end at once are one event.
 *
 * Two sides race when the home thread ends while a call is under way: the thread's exit handler
 * marks the box dead, a poster looks at the mark and queues its event.  Both do it under the box's
 * mutex, so an event is never queued for a thread that has ended, whose identity another one may
 * have by now; the box itself lives as long as anybody has a reference.
 *
 * Coroutines that are ready are resumed in rounds, which are events, too.  Between rounds timers,
 * files and windows must have their turn, so Tcl has to look at its sources of events; but that is
 * dear: Tcl 8.6 cannot poll, it asks its notifier thread and waits for the answer, tens of
 * microseconds.  So a round that Tcl has been asked to run after it has looked (ASKED) is run in
 * any case, and others (AT_ONCE, and what arrives or waits and finds somebody ready) only as long
 * as it has looked a moment ago: what coroutines do among themselves costs no switch of threads,
 * and no event waits for longer than that moment and a round.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

enum { FRESH_NS = 1000000 }; /* the moment */

struct gst_mailbox {
  pthread_mutex_t mutex;
  Tcl_ThreadId thread;                     /* constant */
  gst_home *home;                          /* home only; NULL: it has ended */
  gst_post *first, *last;                  /* under mutex */
  struct letter *spare;                    /* under mutex; NULL: it is under way */
  bool dead;                               /* under mutex */
  enum { NO_ROUND, AT_ONCE, ASKED } round; /* home only: the event that is queued */
  int refs;                                /* atomic */
};

typedef struct letter {
  Tcl_Event event; /* first: what Tcl knows */
  gst_mailbox *box;
} letter;

static __thread gst_home *here;

gst_mailbox *gst_mailbox_retain(gst_mailbox *box) {
  __atomic_fetch_add(&box->refs, 1, __ATOMIC_RELAXED);
  return box;
}

void gst_mailbox_release(gst_mailbox *box) {
  if (__atomic_sub_fetch(&box->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  pthread_mutex_destroy(&box->mutex);
  free(box);
}

/* ---- letters --------------------------------------------------------------------------------- */

static letter *new_letter(gst_mailbox *box, Tcl_EventProc *proc) {
  letter *l = (letter *)Tcl_Alloc(sizeof(*l));
  memset(l, 0, sizeof(*l));
  l->event.proc = proc;
  l->box = gst_mailbox_retain(box);
  return l;
}

static gst_post *take_all(gst_mailbox *box) {
  gst_post *p = box->first;
  box->first = box->last = NULL;
  return p;
}

/* Under mutex.  There is something in the box. */
static void send_letter(gst_mailbox *box) {
  if (!box->spare) return;
  Tcl_ThreadQueueEvent(box->thread, &box->spare->event, TCL_QUEUE_TAIL);
  Tcl_ThreadAlert(box->thread);
  box->spare = NULL;
}

static void put_back(gst_mailbox *box, gst_post *first) {
  gst_post *last = first;
  while (last->next) last = last->next;
  pthread_mutex_lock(&box->mutex);
  last->next = box->first;
  if (!box->first) box->last = last;
  box->first = first;
  send_letter(box);
  pthread_mutex_unlock(&box->mutex);
}

static int delivered(Tcl_Event *event, int flags) {
  gst_mailbox *box = ((letter *)event)->box;
  if (!(flags & TCL_FILE_EVENTS)) return 0;
  letter *next = new_letter(box, delivered);
  pthread_mutex_lock(&box->mutex);
  gst_post *p = take_all(box);
  box->spare = next;
  pthread_mutex_unlock(&box->mutex);
  if (box->home) box->home->batches++;
  while (p) { /* what arrives makes coroutines ready, or runs code that may serve events itself */
    gst_post *after = p->next;
    if (after && p->runs_code) {
      put_back(box, after);
      after = NULL;
    }
    if (box->home) box->home->posts++;
    p->arrive(p, box->home != NULL);
    p = after;
  }
  if (box->home && box->home->ready_first && gst_home_fresh(box->home))
    gst_run_ready(box->home, NULL);
  gst_mailbox_release(box);
  return 1;
}

void gst_post_home(gst_mailbox *box, gst_post *post) {
  post->next = NULL;
  pthread_mutex_lock(&box->mutex);
  bool dead = box->dead;
  if (!dead) {
    if (box->last)
      box->last->next = post;
    else
      box->first = post;
    box->last = post;
    send_letter(box);
  }
  pthread_mutex_unlock(&box->mutex);
  if (dead) post->arrive(post, false);
}

/* ---- those that are ready -------------------------------------------------------------------- */

bool gst_home_fresh(const gst_home *home) { return gs_now() - home->looked < FRESH_NS; }

static int round_of(Tcl_Event *event, int flags) {
  gst_mailbox *box = ((letter *)event)->box;
  if (!(flags & TCL_FILE_EVENTS)) return 0;
  bool asked = box->round == ASKED;
  box->round = NO_ROUND;
  if (box->home && (asked || gst_home_fresh(box->home))) gst_run_ready(box->home, NULL);
  gst_mailbox_release(box);
  return 1;
}

static void queue_round(gst_home *home, int round) {
  if (home->box->round == NO_ROUND)
    Tcl_QueueEvent(&new_letter(home->box, round_of)->event, TCL_QUEUE_TAIL);
  if (home->box->round != ASKED) home->box->round = round;
}

void gst_home_ready(gst_home *home) {
  if (home->box->round == NO_ROUND && !home->running) queue_round(home, AT_ONCE);
}

static void before_waiting(ClientData data, int flags) {
  gst_home *home = data;
  static const Tcl_Time now = {0, 0};
  if (flags & TCL_FILE_EVENTS && home->ready_first) Tcl_SetMaxBlockTime(&now);
}

static void after_waiting(ClientData data, int flags) {
  gst_home *home = data;
  if (!(flags & TCL_FILE_EVENTS)) return;
  home->looked = gs_now();
  if (home->ready_first) queue_round(home, ASKED);
}

/* ---- the thread ------------------------------------------------------------------------------ */

bool gst_home_is_here(const gst_home *home) { return home && here == home; }

static int is_ours(Tcl_Event *event, ClientData data) {
  if (event->proc != delivered && event->proc != round_of) return 0;
  if (((letter *)event)->box != data) return 0;
  gst_mailbox_release(data);
  return 1;
}

static void process_ends(ClientData data) {
  gst_mailbox *box = data;
  if (box->home) gst_tell_no_more(box->home);
  pthread_mutex_lock(&box->mutex);
  box->dead = true;
  pthread_mutex_unlock(&box->mutex);
}

static void thread_ends(ClientData data) {
  gst_home *home = data;
  gst_mailbox *box = home->box;
  gst_tell_no_more(home);
  Tcl_DeleteEventSource(before_waiting, after_waiting, home);
  pthread_mutex_lock(&box->mutex);
  box->dead = true;
  gst_post *p = take_all(box);
  letter *spare = box->spare;
  box->spare = NULL;
  pthread_mutex_unlock(&box->mutex);
  Tcl_DeleteExitHandler(process_ends, box);
  gst_mailbox_release(box); /* the exit handler's reference */
  Tcl_DeleteEvents(is_ours, box);
  box->home = NULL;
  here = NULL;
  while (p) {
    gst_post *after = p->next;
    p->arrive(p, false);
    p = after;
  }
  gst_tell_free(home);
  if (spare) {
    gst_mailbox_release(box);
    Tcl_Free((char *)spare);
  }
  /* Interpreters that nobody has deleted may still be there, and refer to it. */
  if (!home->states) {
    Tcl_DecrRefCount(home->yield);
    Tcl_DecrRefCount(home->which);
    free(home);
  }
  gst_mailbox_release(box);
}

gst_home *gst_home_here(void) {
  if (here) return here;
  gst_home *home = calloc(1, sizeof(*home));
  gst_mailbox *box = calloc(1, sizeof(*box));
  if (!home || !box) {
    free(home);
    free(box);
    return NULL;
  }
  pthread_mutex_init(&box->mutex, NULL);
  box->thread = Tcl_GetCurrentThread();
  box->refs = 1;
  box->home = home;
  box->spare = new_letter(box, delivered);
  home->box = box;
  home->yield = Tcl_NewStringObj("::yield", -1);
  home->which = Tcl_NewStringObj("::info coroutine", -1);
  Tcl_IncrRefCount(home->yield);
  Tcl_IncrRefCount(home->which);
  Tcl_CreateEventSource(before_waiting, after_waiting, home);
  Tcl_CreateThreadExitHandler(thread_ends, home);
  Tcl_CreateExitHandler(process_ends, gst_mailbox_retain(box));
  gst_tell_start(home);
  return here = home;
}
