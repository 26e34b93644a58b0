/* callback_threads.c: gs_cgocallback from threads that the runtime never saw.
 *
 * Without a gs_run, beside one, and across several; from many threads that come and go; in the
 * destructors of thread-locals; on stacks of the host's own making.  After each test no thread is
 * bound any more.  Scenarios of Go's runtime tests are named at their test.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

enum { PROCS = 2 };

/* A thread is gone for pthread_join before its destructors have run for us to see. */
static void none_bound(void) {
  static int64_t patience = PATIENCE; /* in vain once is enough */
  for (int64_t end = gs_now() + patience; metrics().extra_ms && gs_now() < end;) {
    int ms = 1;
    block_ms(&ms);
  }
  if (metrics().extra_ms) patience = 0;
  assert_int_equal(metrics().extra_ms, 0);
  assert_int_equal(metrics().incgo, 0);
  assert_int_equal(checks_failed(), 0);
}

static void run_threads(int n, void *(*fn)(void *), void *arg) {
  pthread_t t[64];
  for (int i = 0; i < n; i++) CHECK_INT(pthread_create(&t[i], NULL, fn, arg), 0);
  for (int i = 0; i < n; i++) CHECK_INT(pthread_join(t[i], NULL), 0);
}

/* ---- EnsureBindM, EnsureDropM: a thread keeps its M; others have others ---- */

typedef struct who {
  uint64_t goid;
  long tid;
  int mid;
} who;

#include "gosched_domain.h"

static void who_am_i(void *arg) { *(who *)arg = (who){gs_self(), my_tid(), gs_mid()}; }

static pthread_barrier_t meet;

static void *ask_three_times(void *arg) {
  who *mine = arg;
  for (int i = 0; i < 3; i++) {
    who w = {0};
    CHECK_INT(gs_self(), 0);
    CHECK_INT(gs_mid(), -1);
    CHECK_CODE(gs_sleep(1), GS_EPERM);
    errno = 17;
    CHECK_CODE(gs_cgocallback(who_am_i, &w), GS_OK);
    CHECK_INT(errno, 17);
    CHECK_INT(gs_self(), 0);
    CHECK_INT(w.tid, my_tid());
    CHECK(w.goid != 0);
    if (i == 0) *mine = w;
    CHECK_INT(w.goid, mine->goid);
    CHECK_INT(w.mid, mine->mid);
    pthread_barrier_wait(&meet);
  }
  CHECK_INT(metrics().extra_ms, 4);
  pthread_barrier_wait(&meet);
  return NULL;
}

static void test_EnsureBindM(void **state) {
  (void)state;
  pthread_t t[4];
  who w[4];
  pthread_barrier_init(&meet, NULL, 4);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&t[i], NULL, ask_three_times, &w[i]), 0);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++) assert_true(w[i].mid != w[j].mid && w[i].goid != w[j].goid);
  pthread_barrier_destroy(&meet);
  none_bound();
}

/* ---- everything works in such a callback, gs_run or not ---- */

static void give(void *arg) {
  int v = 7;
  CHECK_CODE(gs_chan_send(arg, &v, GS_FOREVER), GS_OK);
}

static int back_again(void *arg) {
  CHECK_CODE(gs_cgocallback(give, arg), GS_OK);
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  return 3;
}

static void use_everything(void *arg) {
  gs_chan *c = chan_new(sizeof(int), 0), *d = chan_new(sizeof(int), 1);
  long tid = my_tid();
  int v = 0, result = 0;
  (void)arg;
  gs_handle *h = go_named("gives", give, c);
  CHECK_CODE(gs_sleep(US(50)), GS_OK);
  CHECK_CODE(gs_chan_recv(c, &v, GS_FOREVER), GS_OK);
  CHECK_INT(v, 7);
  gs_yield();
  gs_unlock_os_thread();
  CHECK_CODE(gs_cgocall(back_again, d, &result), GS_OK);
  CHECK_INT(result, 3);
  CHECK_CODE(gs_chan_recv(d, &v, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(c, &v, gs_now() + 1), GS_ETIMEOUT);
  join(h);
  CHECK_INT(my_tid(), tid);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  CHECK_CODE(gs_chan_free(d), GS_OK);
}

static void *use_it(void *arg) {
  for (int i = 0; i < 10; i++) CHECK_CODE(gs_cgocallback(use_everything, arg), GS_OK);
  return NULL;
}

static void test_without_a_run(void **state) {
  (void)state;
  run_threads(8, use_it, NULL);
  none_bound();
}

static int threads_in_c(void *arg) {
  run_threads(8, use_it, arg);
  return 0;
}

static void beside_a_run(void *arg) { CHECK_CODE(gs_cgocall(threads_in_c, arg, NULL), GS_OK); }

static void test_beside_a_run(void **state) {
  (void)state;
  run_procs(1, beside_a_run, NULL);
  run_procs(PROCS, beside_a_run, NULL);
  run_threads(4, use_it, NULL); /* and after it */
  none_bound();
}

/* ---- ManyCalls: 50 threads, 1000 callbacks each, with parks now and then ---- */

static atomic_int counted;

static void count(void *arg) {
  int *n = arg;
  atomic_fetch_add(&counted, 1);
  if (++*n % 100 == 0) CHECK_CODE(gs_sleep(US(10)), GS_OK);
  if (*n % 64 == 0) gs_yield();
}

static void *count_often(void *arg) {
  int n = 0, rounds = *(int *)arg;
  for (int i = 0; i < rounds; i++) CHECK_CODE(gs_cgocallback(count, &n), GS_OK);
  CHECK_INT(n, rounds);
  return NULL;
}

static void test_ManyCalls(void **state) {
  (void)state;
  int rounds = SCALE(1000);
  atomic_store(&counted, 0);
  run_threads(50, count_often, &rounds);
  assert_int_equal(atomic_load(&counted), 50 * rounds);
  none_bound();
}

static void *count_once(void *arg) {
  int n = 0;
  CHECK_CODE(gs_cgocallback(count, &n), GS_OK);
  return arg;
}

/* One callback in each of many threads: binding and giving back. */
static void test_threads_that_come_and_go(void **state) {
  (void)state;
  atomic_store(&counted, 0);
  for (int i = 0; i < SCALE(200); i++) run_threads(4, count_once, NULL);
  assert_int_equal(atomic_load(&counted), 4 * SCALE(200));
  none_bound();
}

/* ---- DestructorCallback: thread-locals whose destructors call back, in every round ---- */

/* In the last of the four rounds ThreadSanitizer ends its own part of the thread. */
enum { ROUNDS = SANITIZED ? 3 : 4 };

static pthread_key_t early_key, late_key;
static atomic_int destroyed;

/* The keys' destructors run in the order in which the keys were made, in four rounds as long as
 * they set something again. */
static void callback_at_end(pthread_key_t key, uintptr_t left) {
  who w = {0};
  CHECK_CODE(gs_cgocallback(who_am_i, &w), GS_OK);
  CHECK_INT(w.tid, my_tid());
  CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  CHECK_INT(gs_self(), 0);
  atomic_fetch_add(&destroyed, 1);
  if (left) CHECK_INT(pthread_setspecific(key, (void *)left), 0);
}

static void early_end(void *arg) { callback_at_end(early_key, (uintptr_t)arg - 1); }
static void late_end(void *arg) { callback_at_end(late_key, (uintptr_t)arg - 1); }

static void *die_with_callbacks(void *arg) {
  if (arg) CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  CHECK_INT(pthread_setspecific(early_key, (void *)ROUNDS), 0);
  CHECK_INT(pthread_setspecific(late_key, (void *)ROUNDS), 0);
  return NULL;
}

static void test_DestructorCallback(void **state) {
  (void)state;
  /* early_key was made before the runtime's own key: see main. */
  assert_int_equal(pthread_key_create(&late_key, late_end), 0);
  atomic_store(&destroyed, 0);
  for (int i = 0; i < 5; i++) {
    run_threads(4, die_with_callbacks, NULL);
    run_threads(4, die_with_callbacks, &destroyed);
  }
  assert_int_equal(atomic_load(&destroyed), 5 * 8 * 2 * ROUNDS);
  none_bound();
}

/* ---- gs_run on a thread that is bound, and callbacks inside it ---- */

static int call_back_in_c(void *arg) { return gs_cgocallback(use_everything, arg); }

static void run_body(void *arg) { CHECK_CODE(gs_cgocall(call_back_in_c, arg, NULL), GS_OK); }

static int nested_run(void *arg) {
  (void)arg;
  return 0;
}

static void run_is_refused(void *arg) {
  (void)arg;
  CHECK_CODE(gs_run(NULL, nested_run, NULL, NULL), GS_EBUSY);
}

static void *bound_then_run(void *arg) {
  CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  CHECK_CODE(gs_cgocallback(run_is_refused, NULL), GS_OK);
  run_procs(PROCS, run_body, NULL);
  CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  return arg;
}

static void test_run_on_a_bound_thread(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) run_threads(1, bound_then_run, NULL);
  none_bound();
}

/* ---- Sigaltstack: the host's stays, and ours is gone with the M ---- */

static char alt_room[65536];
static volatile sig_atomic_t on_host_stack;

static void on_usr1(int sig) {
  char here;
  (void)sig;
  on_host_stack = &here >= alt_room && &here < alt_room + sizeof alt_room;
}

static void raise_usr1(void *arg) {
  (void)arg;
  on_host_stack = 0;
  raise(SIGUSR1);
  CHECK(on_host_stack);
}

static void have_altstack(void *arg) {
  stack_t now;
  (void)arg;
  CHECK_INT(sigaltstack(NULL, &now), 0);
  CHECK(!(now.ss_flags & SS_DISABLE));
}

static void *host_altstack(void *arg) {
  stack_t mine = {.ss_sp = alt_room, .ss_size = sizeof alt_room}, now,
          off = {.ss_flags = SS_DISABLE};
  CHECK_CODE(gs_cgocallback(have_altstack, NULL), GS_OK); /* one of ours */
  CHECK_INT(sigaltstack(&mine, NULL), 0);
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocallback(raise_usr1, NULL), GS_OK);
  CHECK_INT(sigaltstack(NULL, &now), 0);
  CHECK(now.ss_sp == alt_room);
  CHECK_INT(sigaltstack(&off, NULL), 0);
  return arg;
}

static void test_Sigaltstack(void **state) {
  (void)state;
  struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK}, old;
  sigemptyset(&sa.sa_mask);
  sigaction(SIGUSR1, &sa, &old);
  run_threads(1, host_altstack, NULL);
  sigaction(SIGUSR1, &old, NULL);
  none_bound();
}

/* ---- CgoExternalThreadSIGPROF: a storm of signals on threads that call back ---- */

static atomic_int storms;

static void on_prof(int sig) {
  (void)sig;
  atomic_fetch_add(&storms, 1);
  gs_notify();
}

static void test_CgoExternalThreadSIGPROF(void **state) {
  (void)state;
  struct sigaction sa = {.sa_handler = on_prof, .sa_flags = SA_RESTART}, old;
  struct itimerval every = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
  int rounds = SCALE(1000);
  sigemptyset(&sa.sa_mask);
  sigaction(SIGPROF, &sa, &old);
  setitimer(ITIMER_PROF, &every, NULL);
  atomic_store(&storms, 0);
  for (int i = 0; i < 50 && (i < 2 || !atomic_load(&storms)); i++)
    run_threads(8, count_often, &rounds);
  setitimer(ITIMER_PROF, &off, NULL);
  assert_true(atomic_load(&storms) > 0);
  signal(SIGPROF, SIG_IGN); /* drops one that is still under way */
  sigaction(SIGPROF, &old, NULL);
  none_bound();
}

/* ---- a host's own stacks: the bounds are found anew ---- */

#if !SANITIZED /* the sanitizers know no stacks but those they are told of */
static _Thread_local ucontext_t home, away;

static void away_from_home(void) { CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK); }

static void *call_back_from_a_coroutine(void *arg) {
  char *room = malloc(256 << 10);
  CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  getcontext(&away);
  away.uc_stack.ss_sp = room;
  away.uc_stack.ss_size = 256 << 10;
  away.uc_link = &home;
  makecontext(&away, away_from_home, 0);
  swapcontext(&home, &away);
  CHECK_CODE(gs_cgocallback(use_everything, NULL), GS_OK);
  free(room);
  return arg;
}
#endif

static void test_coroutines_of_the_host(void **state) {
  (void)state;
#if SANITIZED
  print_message("skipped: the sanitizers know no stacks but those they are told of\n");
  skip();
#else
  run_threads(4, call_back_from_a_coroutine, NULL);
  none_bound();
#endif
}

/* ---- the process's own main thread, bound to the end ---- */

static void test_main_thread(void **state) {
  (void)state;
  assert_int_equal(gs_cgocallback(use_everything, NULL), GS_OK);
  run_procs(PROCS, run_body, NULL);
  assert_int_equal(gs_cgocallback(use_everything, NULL), GS_OK);
  assert_int_equal(metrics().extra_ms, 1);
  assert_int_equal(checks_failed(), 0);
}

int main(void) {
  if (pthread_key_create(&early_key, early_end)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_EnsureBindM),
      cmocka_unit_test(test_without_a_run),
      cmocka_unit_test(test_beside_a_run),
      cmocka_unit_test(test_ManyCalls),
      cmocka_unit_test(test_threads_that_come_and_go),
      cmocka_unit_test(test_DestructorCallback),
      cmocka_unit_test(test_run_on_a_bound_thread),
      cmocka_unit_test(test_Sigaltstack),
      cmocka_unit_test(test_CgoExternalThreadSIGPROF),
      cmocka_unit_test(test_coroutines_of_the_host),
      cmocka_unit_test(test_main_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
