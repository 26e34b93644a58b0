/* undeclared.c: code that blocks or computes without having told the scheduler.
 *
 * One P.  Code of the native domain that sleeps in the kernel, or that computes for long, loses it
 * while others wait, and goes on without: the others run.  It gets one again at its next gs_ call.
 * Code of a domain of its own keeps its P, which stands for mutual exclusion there.
 */
#include "support.h"

#include "runtime.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

enum { PROCS = 1 };

static void set_flag(void *arg) { atomic_store((atomic_int *)arg, 1); }

/* Computes until the flag is set; 0: it never was. */
static int compute_until(atomic_int *flag) {
  for (int64_t end = gs_now() + PATIENCE; !atomic_load(flag) && gs_now() < end;) continue;
  return atomic_load(flag);
}

/* On a slow machine those that wrote, too, may have lost their P, and be on their way back. */
static bool nobody_is_pless(void) {
  for (int64_t end = gs_now() + PATIENCE; metrics().threads_pless && gs_now() < end;)
    gs_sleep(MS(1));
  return metrics().threads_pless == 0;
}

/* ---- asleep in the kernel ---- */

static void write_byte(void *arg) { CHECK_INT(write(*(int *)arg, "x", 1), 1); }

static void sleepers_let_others_run(void *arg) {
  (void)arg;
  uint64_t taken = metrics().retakes_user;
  for (int i = 0; i < 20 && !checks_failed(); i++) {
    int fds[2];
    CHECK_INT(pipe(fds), 0);
    struct pollfd p = {fds[0], POLLIN, 0};
    go(write_byte, &fds[1]);
    char byte;
    CHECK_INT(poll(&p, 1, 30000), 1);
    CHECK_INT(read(fds[0], &byte, 1), 1);
    gs_yield(); /* back with a P */
    close(fds[0]);
    close(fds[1]);
  }
  CHECK(metrics().retakes_user > taken);
  CHECK(nobody_is_pless());
}

static void test_sleepers_let_others_run(void **state) {
  (void)state;
  run_procs(PROCS, sleepers_let_others_run, NULL);
}

/* ---- computing ---- */

static void hogs_let_others_run(void *arg) {
  (void)arg;
  uint64_t hogs = metrics().hogs;
  for (int i = 0; i < 50 && metrics().hogs < hogs + 3 && !checks_failed(); i++) {
    atomic_int flag = 0;
    go(set_flag, &flag);
    if (atomic_load(&flag)) continue; /* gave way in gs_go already */
    CHECK(compute_until(&flag));
    CHECK(metrics().threads_pless >= 1); /* no gs_ call that needs a P has been made yet */
    gs_yield();
    CHECK(nobody_is_pless());
  }
  CHECK(metrics().hogs >= hogs + 3);
}

static void test_hogs_let_others_run(void **state) {
  (void)state;
  run_procs(PROCS, hogs_let_others_run, NULL);
}

/* Scenario 8, Preemption: code that makes gs_ calls now and then gives way at one of them. */
static void calls_give_way(void *arg) {
  (void)arg;
  gs_chan *never = chan_new(sizeof(int), 1);
  for (int i = 0; i < 3; i++) {
    atomic_int flag = 0;
    int value;
    go(set_flag, &flag);
    for (int64_t end = gs_now() + PATIENCE; !atomic_load(&flag) && gs_now() < end;)
      CHECK_CODE(gs_chan_try_recv(never, &value), GS_EWOULDBLOCK);
    CHECK(atomic_load(&flag));
  }
  CHECK_CODE(gs_chan_free(never), GS_OK);
}

static void test_calls_give_way(void **state) {
  (void)state;
  run_procs(PROCS, calls_give_way, NULL);
}

/* ---- not without end ---- */

enum { HOGS = 12, MOST_AT_ONCE = 2 * PROCS + 1 + PROCS };

static atomic_int started, let_go;

static void hog(void *arg) {
  (void)arg;
  atomic_fetch_add(&started, 1);
  compute_until(&let_go);
}

/* The main green thread waits for a P in vain meanwhile, so a thread of its own counts. */
static void *count_hogs(void *arg) {
  uint64_t kept = *(uint64_t *)arg;
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end;) {
    if (atomic_load(&started) >= MOST_AT_ONCE && metrics().hogs_kept > kept + 3) break;
    usleep(1000);
  }
  CHECK_INT(atomic_load(&started), MOST_AT_ONCE);
  CHECK_INT(metrics().threads_pless, MOST_AT_ONCE - PROCS);
  atomic_store(&let_go, 1);
  return NULL;
}

static void some_hogs_keep_their_p(void *arg) {
  (void)arg;
  gs_handle *h[HOGS];
  pthread_t counter;
  uint64_t kept = metrics().hogs_kept;
  CHECK_INT(pthread_create(&counter, NULL, count_hogs, &kept), 0);
  for (int i = 0; i < HOGS; i++) h[i] = go_named("hog", hog, NULL);
  for (int i = 0; i < HOGS; i++) join(h[i]);
  pthread_join(counter, NULL);
  CHECK(nobody_is_pless());
}

static void test_some_hogs_keep_their_p(void **state) {
  (void)state;
  run_procs(PROCS, some_hogs_keep_their_p, NULL);
}

/* ---- other domains ---- */

static void compute_alone(void *arg) {
  atomic_int *flag = arg;
  go(set_flag, flag);            /* of the same domain */
  if (atomic_load(flag)) return; /* gave way in gs_go already: its slice is used up */
  for (int64_t end = gs_now() + MS(60); gs_now() < end;) continue;
  usleep(60000);
  CHECK_INT(atomic_load(flag), 0);
}

static void a_turn_is_a_turn(void *arg) {
  (void)arg;
  gs_domain *turn = NULL;
  atomic_int flag = 0;
  CHECK_CODE(gs_domain_new("turn", 1, 0, NULL, NULL, &turn), GS_OK);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.domain = turn;
  gs_handle *h = NULL;
  CHECK_CODE(gs_go_opts(&opts, compute_alone, &flag, &h), GS_OK);
  join(h);
  while (!atomic_load(&flag)) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
}

static void test_a_turn_is_a_turn(void **state) {
  (void)state;
  run_procs(PROCS, a_turn_is_a_turn, NULL);
}

/* ---- what the system is asked ---- */

typedef struct subject {
  atomic_uint tid;
  atomic_int stop;
  int fd;
} subject;

static void *spin(void *arg) {
  subject *s = arg;
  atomic_store(&s->tid, (unsigned)my_tid());
  while (!atomic_load(&s->stop)) continue;
  return NULL;
}

static void *wait_in_kernel(void *arg) {
  subject *s = arg;
  char byte;
  atomic_store(&s->tid, (unsigned)my_tid());
  ssize_t n = read(s->fd, &byte, 1);
  return n == 1 ? NULL : s;
}

/* A thread that computes is never taken for one that sleeps, however loaded the machine is. */
static void test_the_state_of_a_thread(void **state) {
  (void)state;
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  subject spins = {0}, sleeps = {.fd = fds[0]};
  pthread_t spinner, sleeper;
  assert_int_equal(pthread_create(&spinner, NULL, spin, &spins), 0);
  assert_int_equal(pthread_create(&sleeper, NULL, wait_in_kernel, &sleeps), 0);
  while (!atomic_load(&spins.tid) || !atomic_load(&sleeps.tid)) usleep(100);
  int64_t end = gs_now() + PATIENCE, before;
  while (!os_thread_asleep(atomic_load(&sleeps.tid)) && gs_now() < end) usleep(100);
  assert_true(os_thread_asleep(atomic_load(&sleeps.tid)));
  for (int i = 0; i < 1000; i++) assert_false(os_thread_asleep(atomic_load(&spins.tid)));
  before = os_thread_cputime_of(atomic_load(&spins.tid));
  while (os_thread_cputime_of(atomic_load(&spins.tid)) == before && gs_now() < end) usleep(100);
  assert_true(os_thread_cputime_of(atomic_load(&spins.tid)) > before);
  before = os_thread_cputime_of(atomic_load(&sleeps.tid));
  assert_true(before >= 0);
  usleep(1000);
  assert_int_equal(os_thread_cputime_of(atomic_load(&sleeps.tid)), before);
  atomic_store(&spins.stop, 1);
  assert_int_equal(write(fds[1], "x", 1), 1);
  pthread_join(spinner, NULL);
  pthread_join(sleeper, NULL);
  /* More than any kernel gives out. */
  assert_int_equal(os_thread_cputime_of(4194305), -1);
  assert_false(os_thread_asleep(4194305));
  close(fds[0]);
  close(fds[1]);
}

/* ---- what sysmon may cost ---- */

static int nap_100_us(void *arg) {
  (void)arg;
  return usleep(100);
}

static void yield_on(void *arg) {
  while (!atomic_load((atomic_int *)arg)) gs_yield();
}

/* The clock by which sysmon measures its CPU time goes faster while it is told to (CMakeLists.txt).
 */
static atomic_int times_as_dear = 1;
static _Atomic int64_t told; /* of that what the looks cost; one that was held up, half a ms */

int64_t __real_os_thread_cputime(void);
int64_t __wrap_os_thread_cputime(void);
int64_t __wrap_os_thread_cputime(void) { /* sysmon's thread alone asks */
  static int64_t before, fast;
  int64_t now = __real_os_thread_cputime(), look = now - before;
  fast += look * atomic_load(&times_as_dear);
  before = now;
  atomic_fetch_add(&told, (look < US(500) ? look : US(500)) * atomic_load(&times_as_dear));
  return fast;
}

/* A call of a site that is not known yet. */
static void call_anew(void) {
  static gs_site sites[1 << 15];
  static unsigned n;
  CHECK_CODE(gs_cgocall_site(&sites[n++ % COUNT(sites)], nap_100_us, NULL, NULL), GS_OK);
}

/* Calls of ever new sites, always with work behind them: sysmon finds something at every look, and
 * would look every 20 us.  If every look were twenty times as dear as it is, there must be fewer.
 */
static void keep_sysmon_busy(void *arg) {
  (void)arg;
  atomic_int stop = 0;
  gs_handle *h[2];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("yields", yield_on, &stop);
  atomic_store(&times_as_dear, SLOW_BUILD ? 4 : 20);
  uint64_t looks = metrics().sysmon_ticks;
  int64_t begin = gs_now(), spent = atomic_load(&told);
  for (int i = 0; i < 4096 && gs_now() - begin < MS(1500); i++) call_anew();
  int64_t wall = gs_now() - begin;
  spent = atomic_load(&told) - spent;
  looks = metrics().sysmon_ticks - looks;
  atomic_store(&times_as_dear, 1);
  atomic_store(&stop, 1);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  print_message("sysmon: %.1f ms of dear CPU time in %.1f ms, %llu looks\n", (double)spent / 1e6,
                (double)wall / 1e6, (unsigned long long)looks);
  /* The budget is 5 %, and a burst; it looks once in 10 ms in any case, however dear a look is.
   * Else it were a third. */
  CHECK(spent <= wall / 6 + MS(30) || looks <= (uint64_t)(wall / MS(5)));
}

static void test_sysmon_keeps_its_budget(void **state) {
  (void)state;
  run_procs(PROCS, keep_sysmon_busy, NULL);
}

/* A barrier that waits for a CPU which the host has taken away computes meanwhile.  Looks like that
 * cost what others do, or sysmon would be in debt for minutes, and look once in 10 ms. */
static void hold_sysmon_up(void *arg) {
  (void)arg;
  atomic_int stop = 0;
  gs_handle *h[2];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("yields", yield_on, &stop);
  int64_t begin = gs_now();
  atomic_store(&times_as_dear, 10000);
  while (gs_now() - begin < MS(300)) call_anew();
  atomic_store(&times_as_dear, 1);
  bool looks_again = false;
  for (int64_t end = gs_now() + PATIENCE; !looks_again && gs_now() < end;) {
    uint64_t looks = metrics().sysmon_ticks;
    int64_t from = gs_now();
    for (int i = 0; i < 20; i++) call_anew();
    looks = metrics().sysmon_ticks - looks;
    looks_again = looks >= 4 && (int64_t)looks * MS(5) > gs_now() - from;
  }
  CHECK(looks_again);
  atomic_store(&stop, 1);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
}

static void test_a_stalled_look_is_one_look(void **state) {
  (void)state;
  run_procs(PROCS, hold_sysmon_up, NULL);
}

/* ---- all kinds at once ---- */

static void mixed(void *arg) {
  uint64_t rnd = (uint64_t)(uintptr_t)arg;
  for (int i = 0; i < SCALE(100); i++) {
    switch (random_next(&rnd) % 5) {
      case 0: usleep(200); break;
      case 1: gs_sleep(US(100)); break;
      case 2:
        for (int64_t end = gs_now() + US(300); gs_now() < end;) continue;
        break;
      case 3:
        if (i % 8 == 0)
          for (int64_t end = gs_now() + MS(15); gs_now() < end;) continue;
        break;
      default: gs_yield();
    }
  }
}

static void all_kinds(void *arg) {
  (void)arg;
  gs_handle *h[12];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("mixed", mixed, (void *)(i + 1));
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  CHECK(nobody_is_pless());
}

static void test_all_kinds(void **state) {
  (void)state;
  run_procs(PROCS, all_kinds, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sleepers_let_others_run),
      cmocka_unit_test(test_hogs_let_others_run),
      cmocka_unit_test(test_calls_give_way),
      cmocka_unit_test(test_some_hogs_keep_their_p),
      cmocka_unit_test(test_a_turn_is_a_turn),
      cmocka_unit_test(test_the_state_of_a_thread),
      cmocka_unit_test(test_sysmon_keeps_its_budget),
      cmocka_unit_test(test_a_stalled_look_is_one_look),
      cmocka_unit_test(test_all_kinds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
