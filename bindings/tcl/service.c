/* service.c: the thread that keeps the scheduler running.
 *
 * gs_run occupies its thread, and Tcl's threads serve their own event loops; so a thread of its own
 * calls gs_run, with a main green thread that only waits to be told to stop.  It is started by the
 * first operation that finds no scheduler running, one for all interpreters of the process; where a
 * host program runs the scheduler already, there is none.
 *
 * When the process exits the service is stopped if it is idle; calls that are still blocked in C
 * end with the process.
 */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "binding.h"

#define PATIENCE (INT64_C(10) * 1000000000) /* for a gs_run that begins or ends, in ns */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { STOPPED, STARTING, RUNS, FAILED } service; /* under mutex */
static int failure;                                      /* why it is FAILED, under mutex */
static char failure_text[256];                           /* under mutex */
static gs_chan *stop; /* closed to end the service; set before it starts */
static pthread_t thread;

static void become(int state) {
  pthread_mutex_lock(&mutex);
  service = state;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static int wait_for_stop(void *arg) {
  (void)arg;
  become(RUNS);
  gs_chan_recv(stop, NULL, GS_FOREVER);
  return 0;
}

static void *serve(void *arg) {
  (void)arg;
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.main_stack_size = 64 << 10;
  /* This thread does not end with a green thread that is locked to it, and what a library left in
   * it would meet the next one of gosched::os_thread. */
  cfg.flags = GS_RUN_LOCK_MAIN;
  int e = gs_run(&cfg, wait_for_stop, NULL, NULL);
  if (e != GS_OK) {
    pthread_mutex_lock(&mutex);
    failure = e;
    snprintf(failure_text, sizeof(failure_text), "%s", gs_error_detail());
    pthread_mutex_unlock(&mutex);
    become(FAILED);
  }
  return NULL;
}

static void at_exit(ClientData unused) {
  (void)unused;
  gs_metrics m = {.size = sizeof(m)};
  if (gs_read_metrics(&m) != GS_OK || m.gs_live > 1) return;
  gs_chan_close(stop);
  pthread_join(thread, NULL);
  gs_chan_free(stop);
}

/* A thread without signals: those of the process are for Tcl's threads. */
static bool start_thread(void) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool started = pthread_create(&thread, NULL, serve, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return started;
}

/* Under mutex.  Returns with the service running, or the reason why not. */
static int start(void) {
  if (service == FAILED) { /* the next operation tries again */
    pthread_join(thread, NULL);
    service = STOPPED;
  }
  if (service == STOPPED) {
    if (!stop && gs_chan_new(0, 0, &stop) != GS_OK) return GS_ENOMEM;
    service = STARTING;
    if (!start_thread()) {
      service = STOPPED;
      snprintf(failure_text, sizeof(failure_text), "no thread can be made for the scheduler");
      return GS_ETHREADS;
    }
  }
  while (service == STARTING) pthread_cond_wait(&changed, &mutex);
  if (service == FAILED) return failure;
  static bool registered;
  if (!registered) Tcl_CreateExitHandler(at_exit, NULL);
  registered = true;
  return GS_OK;
}

int gst_go(Tcl_Interp *interp, void (*fn)(void *), void *arg, gs_handle **handle) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "tcl";
  int e = gs_go_opts(&opts, fn, arg, handle);
  if (e == GS_OK) return TCL_OK;
  const char *text = gs_error_detail();
  /* Nothing runs yet, or somebody else's gs_run is between that and running: it is busy for ours
   * already, and takes no green thread yet.  Or no more, and then the next one is ours. */
  for (int64_t until = gs_now() + PATIENCE; e == GS_EPERM;) {
    pthread_mutex_lock(&mutex);
    int ours = start();
    text = failure_text;
    pthread_mutex_unlock(&mutex);
    if (ours != GS_OK && ours != GS_EBUSY) {
      e = ours;
      break;
    }
    e = gs_go_opts(&opts, fn, arg, handle);
    if (e != GS_EPERM || gs_now() > until) break;
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  }
  if (e == GS_OK) return TCL_OK;
  return gst_error(interp,
                   Tcl_ObjPrintf("the scheduler cannot be used: %s; %s", gs_strerror(e), text),
                   "RUNTIME", NULL);
}
