/* sleep_signals.c: signals while threads sleep (Go's SpuriousWakeupsNeverHangSemasleep).
 *
 * A signal ends the kernel's wait early.  The sleep goes on to its end: it neither comes back
 * early, nor starts from the beginning every time and so never ends.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static atomic_int stop, signals;

static void count(int sig) {
  (void)sig;
  atomic_fetch_add(&signals, 1);
}

static void *storm(void *arg) {
  (void)arg;
  sigset_t none;
  sigemptyset(&none);
  sigaddset(&none, SIGUSR1); /* for the others, not for this thread */
  pthread_sigmask(SIG_BLOCK, &none, NULL);
  while (!atomic_load(&stop)) {
    kill(getpid(), SIGUSR1);
    usleep(500);
  }
  return NULL;
}

static void sleep_once(void *arg) {
  int64_t ns = *(int64_t *)arg, begin = gs_now();
  CHECK_CODE(gs_sleep(ns), GS_OK);
  CHECK(gs_now() - begin >= ns);
}

static void sleep_in_the_storm(void *arg) {
  (void)arg;
  int64_t ns[8];
  gs_handle *h[COUNT(ns)];
  for (size_t i = 0; i < COUNT(ns); i++) {
    ns[i] = MS(30 * ((int)i + 1));
    h[i] = go_named("sleeps", sleep_once, &ns[i]);
  }
  for (size_t i = 0; i < COUNT(ns); i++) {
    int64_t patience = in_ms(30000);
    int r;
    while ((r = gs_join(h[i], patience)) == GS_EINTR) continue; /* the main one is told of them */
    CHECK_CODE(r, GS_OK);
    gs_handle_release(h[i]);
  }
  CHECK(atomic_load(&signals) > 0);
}

static void test_signals_do_not_lengthen(void **state) {
  (void)state;
  struct sigaction action = {.sa_handler = count};
  pthread_t thread;
  assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
  assert_int_equal(pthread_create(&thread, NULL, storm, NULL), 0);
  run_procs(2, sleep_in_the_storm, NULL);
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_signals_do_not_lengthen)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
