/* faults.c: faults that the host mends, and fatal errors on threads that are not ours, while much
 * else goes on.  Go's CgoSignalDeadlock and CgoExternalThreadPanic.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PROCS = 2, LOCKED = 128, FAULTS = 200 };

/* ---- CgoSignalDeadlock: one green thread faults again and again, and 128 locked ones park ---- */

static char *page;
static size_t page_size;
static atomic_int mended, over;

static void mend(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)context;
  char *at = info->si_addr;
  if (at < page || at >= page + page_size) _exit(43);
  mprotect(page, page_size, PROT_READ | PROT_WRITE);
  atomic_fetch_add(&mended, 1);
}

static void fault_often(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(FAULTS); i++) {
    CHECK_INT(mprotect(page, page_size, PROT_NONE), 0);
    *(volatile char *)page = (char)i;
    if (i % 16 == 0) gs_yield();
  }
  CHECK_INT(atomic_load(&mended), SCALE(FAULTS));
}

static void park_locked(void *arg) {
  (void)arg;
  gs_lock_os_thread();
  while (!atomic_load(&over)) CHECK_CODE(gs_sleep(US(200)), GS_OK);
  gs_unlock_os_thread();
}

static int faults_beside_locked(void *arg) {
  (void)arg;
  gs_handle *h[LOCKED];
  for (int i = 0; i < LOCKED; i++) h[i] = go_named("locked", park_locked, NULL);
  join(go_named("faults", fault_often, NULL));
  atomic_store(&over, 1);
  for (int i = 0; i < LOCKED; i++) join(h[i]);
  return checks_failed();
}

/* In a process of its own, where nobody else has a handler and ours comes before the runtime's. */
static int mends(void) {
  struct sigaction sa = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
  gs_config cfg = GS_CONFIG_DEFAULT;
  int failed = 0;
  cfg.procs = PROCS;
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  page = mmap(NULL, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || sigaction(SIGSEGV, &sa, NULL)) return 1;
  return gs_run(&cfg, faults_beside_locked, NULL, &failed) != GS_OK || failed;
}

static void test_CgoSignalDeadlock(void **state) {
  (void)state;
  child c;
  child_run(&c, "mends", NULL);
  assert_child_exit(&c, 0);
}

/* ---- CgoExternalThreadPanic: what is fatal is told on a foreign thread, too, and ends it all ---
 */

static void end_here(void *arg) {
  (void)arg;
  gs_goexit();
}

static void *call_back(void *arg) {
  (void)arg;
  gs_cgocallback(end_here, NULL);
  return NULL;
}

static int wait_for_it(void *arg) {
  (void)arg;
  pthread_t thread;
  if (pthread_create(&thread, NULL, call_back, NULL)) return 1;
  gs_sleep(PATIENCE); /* somebody is parked, and others could run */
  return 2;
}

static int panic_outside(void) {
  signal(SIGABRT, SIG_DFL);
  return gs_run(NULL, wait_for_it, NULL, NULL);
}

static void test_CgoExternalThreadPanic(void **state) {
  (void)state;
  child c;
  child_run(&c, "panic-outside", NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, "gs_goexit inside a callback");
  assert_child_says(&c, "\"main\""); /* and the dump comes to its end */
  assert_child_says(&c, "green threads\n");
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {{"mends", mends}, {"panic-outside", panic_outside}};
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_CgoSignalDeadlock),
      cmocka_unit_test(test_CgoExternalThreadPanic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
