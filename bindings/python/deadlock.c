/* deadlock.c: when no green thread can ever go on, the main one gets gosched.Deadlock.
 *
 * The scheduler finds that all green threads are asleep, and nothing that it knows of can wake one
 * (core/deadlock.c).  It does not know of Python's other ways to wake: an ordinary thread that sets
 * an Event, a signal handler, a callback that some library has the address of.  So its callback
 * begins a thread that looks, with the GIL, whether there is anything of the kind (outside() of
 * gosched._stacks).  If not, the main green thread is told.  If there are ordinary threads, which
 * may end, it looks again later and more and more seldom, as long as the green threads stay asleep.
 *
 * The callback is called once for each time that everything has come to rest.  It may come while
 * the thread that looks is about to end, so `again` makes it go round once more: both sides hold
 * the lock.  The GIL is not held while the scheduler is asked: it stops the world for that, and a
 * thread that is on its way to a green thread may be waiting for the GIL.
 */
#include <pthread.h>
#include <time.h>

#include "binding.h"

enum { NOBODY, PERHAPS, SOMEBODY }; /* answers of outside(); SOMEBODY: it will stay so */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool wanted;                /* a run is under way; mutex */
static bool looking;               /* there is a thread that looks; mutex */
static bool again;                 /* everything has come to rest once more; mutex */
static PyObject *outside, *report; /* of gosched._stacks; GIL */

static int ask(void) {
  int answer = SOMEBODY;
  PyGILState_STATE s = PyGILState_Ensure();
  PyObject *said = outside ? PyObject_CallNoArgs(outside) : NULL;
  if (said) answer = (int)PyLong_AsLong(said);
  if (PyErr_Occurred()) {
    PyErr_WriteUnraisable(outside);
    answer = SOMEBODY;
  }
  Py_XDECREF(said);
  PyGILState_Release(s);
  return answer;
}

/* Up to so long, while it may be worth looking again.  Under the mutex. */
static void rest(int64_t ns) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  ns += t.tv_nsec;
  t.tv_sec += ns / 1000000000;
  t.tv_nsec = ns % 1000000000;
  while (wanted && !again && pthread_cond_timedwait(&changed, &mutex, &t) == 0) continue;
}

static void *look(void *arg) {
  int64_t patience = 100000000;
  (void)arg;
  pthread_mutex_lock(&mutex);
  while (wanted) {
    again = false;
    pthread_mutex_unlock(&mutex);
    int answer = gs_deadlocked(0) ? ask() : SOMEBODY;
    if (answer == NOBODY) gs_deadlocked(1);
    pthread_mutex_lock(&mutex);
    if (answer == PERHAPS && wanted && !again) {
      rest(patience);
      if (patience < (int64_t)8 * 1000000000) patience *= 2;
    } else if (!again) {
      break;
    }
  }
  looking = again = false;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  return NULL;
}

/* On a thread of the scheduler's own, without the GIL. */
static int all_asleep(const char *text, void *ud) {
  (void)text;
  (void)ud;
  pthread_mutex_lock(&mutex);
  again = true;
  if (looking) {
    pthread_cond_broadcast(&changed);
  } else if (wanted) {
    pthread_t t;
    pthread_attr_t detached;
    looking = pthread_attr_init(&detached) == 0;
    if (looking) {
      pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
      looking = pthread_create(&t, &detached, look, NULL) == 0;
      pthread_attr_destroy(&detached);
    }
  }
  pthread_mutex_unlock(&mutex);
  return 1;
}

static void set_up(void) {
  pthread_condattr_t attr;
  if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
      pthread_cond_init(&changed, &attr) != 0)
    Py_FatalError("gosched: out of memory for a condition variable");
  pthread_condattr_destroy(&attr);
}

void deadlock_begin(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, set_up);
  pthread_mutex_lock(&mutex);
  wanted = true;
  again = false;
  pthread_mutex_unlock(&mutex);
  domain_on_deadlock(all_asleep);
}

void deadlock_end(void) {
  domain_on_deadlock(NULL);
  pthread_mutex_lock(&mutex);
  wanted = false;
  pthread_cond_broadcast(&changed);
  while (looking) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

void deadlock_forked(void) {
  pthread_mutex_init(&mutex, NULL);
  set_up();
  looking = again = false;
}

PyObject *deadlock_hooks(PyObject *outside_fn, PyObject *report_fn) {
  Py_INCREF(outside_fn);
  Py_XSETREF(outside, outside_fn);
  Py_INCREF(report_fn);
  Py_XSETREF(report, report_fn);
  Py_RETURN_NONE;
}

PyObject *deadlock_raise(const char *what) {
  PyObject *text = report ? PyObject_CallFunction(report, "s", what) : NULL;
  if (text) PyErr_SetObject(exc_Deadlock, text);
  Py_XDECREF(text);
  return NULL;
}
