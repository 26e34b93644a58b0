/* tell.c: what Python's green threads do, told to a dump that somebody else asks for: C, another
 * language, SIGQUIT, the monitor (core/tell.c).
 *
 * With the GIL any thread may look: CPython knows the frames of all thread states.  So who is asked
 * begins a thread that waits for the GIL, looks (stacks() of gosched._stacks), and ends.  It has no
 * turn and needs none.  A green thread that computes gives the GIL up after CPython's switch
 * interval; one that keeps it in C keeps this thread waiting, and the dump says that Python is
 * busy.
 *
 * There is a teller while a run is under way.  Its end: first nobody begins such a thread any more
 * (`ended`), then those that there are have ended, and only then is the teller given back, so none
 * answers for somebody who uses it next.  The end waits without the GIL, which they need.
 */
#include <pthread.h>

#include "binding.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int lookers;               /* threads that look; mutex */
static bool ended = true;         /* no run is under way; mutex */
static gs_teller *_Atomic teller; /* of the run under way; NULL */

static void tell(void) {
  PyObject *name = PyUnicode_FromString("gosched._stacks"), *text = NULL;
  PyObject *module = name ? PyImport_GetModule(name) : NULL;
  Py_ssize_t n = 0;
  if (module) text = PyObject_CallMethod(module, "stacks", "O", Py_None);
  PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "replace") : NULL;
  char *s = NULL;
  if (bytes) PyBytes_AsStringAndSize(bytes, &s, &n);
  if (PyErr_Occurred()) PyErr_WriteUnraisable(module);
  gs_tell_end(teller, s ? s : "", (size_t)n);
  Py_XDECREF(bytes);
  Py_XDECREF(text);
  Py_XDECREF(module);
  Py_XDECREF(name);
}

static void *look(void *arg) {
  (void)arg;
  PyGILState_STATE s = PyGILState_Ensure();
  if (gs_tell_begin(teller)) tell();
  PyGILState_Release(s);
  pthread_mutex_lock(&mutex);
  lookers--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  return NULL;
}

/* On the runtime's own thread. */
static int ask(void *ud) {
  pthread_t t;
  pthread_attr_t detached;
  int failed = -1;
  (void)ud;
  pthread_mutex_lock(&mutex);
  if (!ended && pthread_attr_init(&detached) == 0) {
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    failed = pthread_create(&t, &detached, look, NULL);
    pthread_attr_destroy(&detached);
    if (!failed) lookers++;
  }
  pthread_mutex_unlock(&mutex);
  return failed;
}

gs_teller *tell_own(void) { return teller; }

void tell_begin(void) {
  gs_teller *t;
  pthread_mutex_lock(&mutex);
  ended = false;
  pthread_mutex_unlock(&mutex);
  if (gs_teller_new("python", ask, NULL, &t) == GS_OK) teller = t;
}

void tell_end(void) {
  pthread_mutex_lock(&mutex);
  ended = true;
  while (lookers) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  gs_teller_end(teller);
  teller = NULL;
}

void tell_forked(void) {
  pthread_mutex_init(&mutex, NULL);
  pthread_cond_init(&changed, NULL);
  lookers = 0;
}
