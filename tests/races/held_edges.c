/* held_edges.c: an edge of a descriptor against a green thread that comes to wait for it
 * (netpoll.c), each side with the other one's step between its look at the slot and its change.
 *
 * Nobody waits for a descriptor when an edge comes here, so nobody of the runtime polls; the test
 * does, and knows therefore when the edge has been dealt with.
 */
#include "hold.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "netpoll.h"

#define SOON (PATIENCE / 3)

static int fds[2];

static void open_pipe(void) {
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
}

static void close_pipe(void) {
  CHECK_CODE(gs_close(fds[0]), GS_OK);
  close(fds[1]);
}

/* A byte, and what a poller does about it.  Its edge comes once: who misses it waits in vain. */
static void *edge(void *arg) {
  PollReady woken = POLL_READY_INIT(woken);
  (void)arg;
  CHECK(write(fds[1], "x", 1) == 1);
  netpoll(GS_POLL_NOW, &woken);
  ready_list(NULL, woken.head);
  netpoll_done(&woken);
  return NULL;
}

static void wait_for_edge(void *arg) {
  *(int *)arg = gs_poll_wait(fds[0], GS_READ, gs_now() + SOON);
}

/* ---- the waiter has looked ----
 *
 * One side has found that no edge has come and says WAIT; the other has found that nobody waits and
 * says READY.  The second CAS fails, whichever it is: here the waiter's, which looks again. */
static void edge_before_wait(void *arg) {
  (void)arg;
  pthread_t t;
  int code = -1;
  Hold way = {.where = "consume", .most = SOON};
  open_pipe();
  hold(&way);
  gs_handle *h = go_named("waits", wait_for_edge, &code);
  await(reached(&way));
  CHECK_INT(pthread_create(&t, NULL, edge, NULL), 0);
  pthread_join(t, NULL);
  hold_end(&way);
  join(h);
  CHECK_CODE(code, GS_OK);
  close_pipe();
}

/* ---- the poller has looked ----
 *
 * The same two; here it is the CAS of the edge that fails, and it takes the lock and wakes. */
static bool waiter_is_parked(void) { return is_parked(g_named("waits")); }
static bool no_thread_of_ours(void) { return gs_getm() == NULL; }

static void wait_before_edge(void *arg) {
  (void)arg;
  pthread_t t;
  int code = -1;
  Hold look = {.where = "pd_ready", .mine = no_thread_of_ours, .until = waiter_is_parked};
  look.most = SOON;
  open_pipe();
  hold(&look);
  CHECK_INT(pthread_create(&t, NULL, edge, NULL), 0);
  await(reached(&look));
  gs_handle *h = go_named("waits", wait_for_edge, &code);
  pthread_join(t, NULL);
  join(h);
  CHECK_CODE(code, GS_OK);
  close_pipe();
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"edge_before_wait", 2, edge_before_wait},
      {"wait_before_edge", 2, wait_before_edge},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
