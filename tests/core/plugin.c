/* plugin.c: a library of somebody else with a copy of gosched linked into it.  For copies.c. */
#include <pthread.h>
#include <stdatomic.h>

#include "gosched.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int plugin_run(int (*fn)(void *), void *arg, const char **detail);
EXPORT int plugin_start(atomic_int *ticks, atomic_int *stop);

int plugin_run(int (*fn)(void *), void *arg, const char **detail) {
  int code = gs_run(NULL, fn, arg, NULL);
  *detail = gs_error_detail();
  return code;
}

static atomic_int *ticks, *stop;

static void tick(void *arg) {
  (void)arg;
  while (!atomic_load(stop) && gs_sleep(1000000) == GS_OK) atomic_fetch_add(ticks, 1);
}

static int run(void *arg) {
  gs_handle *h = NULL;
  if (gs_go_opts(NULL, tick, arg, &h) != GS_OK) return 1;
  int code = gs_join(h, GS_FOREVER);
  gs_handle_release(h);
  return code;
}

static void *thread(void *arg) {
  gs_run(NULL, run, arg, NULL);
  atomic_store(ticks, -1);
  return NULL;
}

/* On a thread of its own, which goes on when this library is closed. */
int plugin_start(atomic_int *t, atomic_int *s) {
  pthread_t id;
  ticks = t;
  stop = s;
  if (pthread_create(&id, NULL, thread, NULL) != 0) return 1;
  return pthread_detach(id);
}
