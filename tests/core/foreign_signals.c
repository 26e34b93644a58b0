/* foreign_signals.c: no signal of the runtime reaches a thread in foreign code.
 *
 * Every signal that can be caught has a handler that counts.  Meanwhile foreign calls block and
 * compute, lose their P at entry and later, are cancelled, are asked to give way, and run beside
 * green threads that compute without end; nothing may be counted.
 */
#include "support.h"

#include <signal.h>
#include <stdbool.h>

enum { PROCS = 1 };

static atomic_int caught, last;

static void note(int sig) {
  atomic_store(&last, sig);
  atomic_fetch_add(&caught, 1);
}

/* Not those of crashes, which the sanitizers and the stack guards need, nor the C library's own. */
static bool is_left_alone(int sig) {
  return sig == SIGKILL || sig == SIGSTOP || sig == SIGSEGV || sig == SIGBUS || sig == SIGILL ||
         sig == SIGFPE || sig == SIGABRT || sig == SIGALRM || (sig >= 32 && sig < SIGRTMIN);
}

static void catch_all(void) {
  struct sigaction action = {.sa_handler = note};
  for (int sig = 1; sig <= SIGRTMAX; sig++)
    if (!is_left_alone(sig)) assert_int_equal(sigaction(sig, &action, NULL), 0);
}

static int compute_ms(void *arg) {
  for (int64_t end = gs_now() + MS(*(int *)arg); gs_now() < end;) continue;
  return 0;
}

static void call_all_kinds(void *arg) {
  static gs_site known = {.name = "known"}, marked = {"marked", GS_SITE_BLOCKING, 0, 0, 0};
  int block = 3, compute = 12;
  for (int i = 0; i < 5; i++) {
    CHECK_CODE(gs_cgocall_site(&known, block_ms, &block, NULL), GS_OK);
    CHECK_CODE(gs_cgocall_site(&marked, block_ms, &block, NULL), GS_OK);
    CHECK_CODE(gs_cgocall_site(NULL, compute_ms, &compute, NULL), GS_OK);
  }
  (void)arg;
}

static void compute_undeclared(void *arg) {
  int ms = 15;
  for (int i = 0; i < 4; i++) {
    compute_ms(&ms);
    gs_yield();
  }
  (void)arg;
}

static void all_kinds(void *arg) {
  (void)arg;
  gs_handle *h[12];
  for (size_t i = 0; i < COUNT(h); i++)
    h[i] = go_named("calls", i % 3 == 2 ? compute_undeclared : call_all_kinds, NULL);
  gs_sleep(MS(10));
  for (size_t i = 0; i < COUNT(h); i += 4) CHECK_CODE(gs_cancel(h[i]), GS_OK);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  CHECK_INT(atomic_load(&caught), 0);
  CHECK_INT(atomic_load(&last), 0);
}

static void test_no_signal(void **state) {
  (void)state;
  catch_all();
  run_procs(PROCS, all_kinds, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_signal)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
