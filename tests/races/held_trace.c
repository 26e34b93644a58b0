/* held_trace.c: an M that records an event against who ends the trace (trace.c): the M has said
 * that it uses its ring, and has not written yet.  Who ends the trace takes the ring away, and must
 * not read or free it, nor return from the end of a subscription, while the M is there.
 */
#include "hold.h"

#include <pthread.h>
#include <unistd.h>

static atomic_int stopped, told_late, listening;

static bool is_worker(void) {
  const M *m = gs_getm();
  return m && m->curg && strcmp(m->curg->name, "worker") == 0;
}

static Hold in_event = {.where = "own_event", .mine = is_worker, .most = MS(500)};

static void parks(void *arg) {
  while (!atomic_load((atomic_int *)arg)) gs_sleep(US(50));
}

/* Stops while the worker stands in the middle of an event: returns only when that one is through.
 */
static void *stop_trace(void *arg) {
  (void)arg;
  CHECK_CODE(gs_trace_stop(), GS_OK);
  atomic_store(&stopped, held(&in_event) ? 2 : 1);
  return NULL;
}

static void listen(const gs_trace_event *e, void *ud) {
  (void)e;
  (void)ud;
  if (!atomic_load(&listening)) atomic_store(&told_late, 1);
}

static void *stop_listening(void *arg) {
  (void)arg;
  CHECK_CODE(gs_trace_subscribe(NULL, NULL), GS_OK);
  atomic_store(&stopped, held(&in_event) ? 2 : 1);
  atomic_store(&listening, 0);
  return NULL;
}

static int join_thread(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void end_it_while_one_writes(void *(*end)(void *)) {
  static atomic_int enough;
  pthread_t t;
  gs_handle *h = go_named("worker", parks, &enough);
  hold(&in_event);
  await(reached(&in_event));
  CHECK_INT(pthread_create(&t, NULL, end, NULL), 0);
  await(atomic_load(&stopped)); /* the hold ends by time if it is waited for, as it should be */
  CHECK_INT(atomic_load(&stopped), 1);
  hold_end(&in_event);
  CHECK_CODE(gs_cgocall(join_thread, &t, NULL), GS_OK);
  atomic_store(&enough, 1);
  join(h);
  CHECK_INT(atomic_load(&told_late), 0);
}

static void stop_while_one_writes(void *arg) {
  (void)arg;
  CHECK_CODE(gs_trace_start("/dev/null"), GS_OK);
  end_it_while_one_writes(stop_trace);
}

static void unsubscribe_while_one_tells(void *arg) {
  (void)arg;
  atomic_store(&listening, 1);
  CHECK_CODE(gs_trace_subscribe(listen, NULL), GS_OK);
  end_it_while_one_writes(stop_listening);
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"stop_while_one_writes", 2, stop_while_one_writes},
      {"unsubscribe_while_one_tells", 2, unsubscribe_while_one_tells},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
