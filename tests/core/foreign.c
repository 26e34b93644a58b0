/* foreign.c: what a foreign call is like for the one who makes it.
 *
 * Its result and its errno come back, also after the green thread has moved to another thread.
 * It has a full-size stack.  Inside it the runtime works as in a callback (callback.c).  Short
 * calls cost no threads.  foreign_blocking.c is about what everybody else does meanwhile.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROCS = 2 };

/* ---- results ---- */

static int add_one(void *arg) { return *(int *)arg + 1; }

static void results(void *arg) {
  (void)arg;
  int value = 41, result = 0;
  gs_site site = {.name = "add_one"};
  CHECK_CODE(gs_cgocall(add_one, &value, &result), GS_OK);
  CHECK_INT(result, 42);
  CHECK_CODE(gs_cgocall(add_one, &value, NULL), GS_OK);
  result = 0;
  CHECK_CODE(gs_cgocall_site(&site, add_one, &value, &result), GS_OK);
  CHECK_INT(result, 42);
  result = 0;
  CHECK_CODE(gs_cgocall_site(NULL, add_one, &value, &result), GS_OK);
  CHECK_INT(result, 42);
  result = 7;
  CHECK_CODE(gs_cgocall(NULL, &value, &result), GS_EINVAL);
  CHECK_CODE(gs_cgocall_site(&site, NULL, &value, &result), GS_EINVAL);
  CHECK_INT(result, 7);
}

static void test_results(void **state) {
  (void)state;
  run_procs(PROCS, results, NULL);
}

/* ---- errno ---- */

typedef struct failing {
  int code, ms;
} failing;

static int fail_with(void *arg) {
  failing *f = arg;
  if (f->ms > 0) block_ms(&f->ms);
  errno = f->code;
  return -1;
}

static void errno_stays_mine(void *arg) {
  int me = *(int *)arg;
  for (int i = 0; i < SCALE(200); i++) {
    failing f = {1000 + me * 1000 + i, i % 50 == 0};
    int result = 0;
    int code = gs_cgocall(fail_with, &f, &result);
    int seen = gs_errno();
    CHECK_CODE(code, GS_OK);
    CHECK_INT(result, -1);
    CHECK_INT(seen, f.code);
    for (int j = 0; j < 3; j++) {
      gs_yield();
      CHECK_INT(gs_errno(), f.code);
    }
    if (i % 10 == 0) {
      gs_sleep(US(50));
      CHECK_INT(gs_errno(), f.code);
    }
  }
}

static void errno_of_many(void *arg) {
  (void)arg;
  int numbers[20];
  gs_handle *h[20];
  for (int i = 0; i < 20; i++) {
    numbers[i] = i;
    h[i] = go_named("fails", errno_stays_mine, &numbers[i]);
  }
  for (int i = 0; i < 20; i++) join(h[i]);
}

static void test_errno(void **state) {
  (void)state;
  run_procs(PROCS, errno_of_many, NULL);
}

/* ---- on a thread that runs no green thread: in place ---- */

static int tid_of_call(void *arg) {
  *(long *)arg = my_tid();
  errno = 77;
  return 3;
}

static void *call_in_place(void *arg) {
  (void)arg;
  long tid = 0;
  int result = 0;
  CHECK_CODE(gs_cgocall(tid_of_call, &tid, &result), GS_OK);
  CHECK_INT(errno, 77);
  CHECK_INT(result, 3);
  CHECK_INT(tid, my_tid());
  CHECK_CODE(gs_cgocall(NULL, NULL, NULL), GS_EINVAL);
  return NULL;
}

static int join_thread(void *arg) { return pthread_join(*(pthread_t *)arg, NULL); }

static void call_from_a_thread(void *arg) {
  (void)arg;
  pthread_t thread;
  CHECK_INT(pthread_create(&thread, NULL, call_in_place, NULL), 0);
  CHECK_CODE(gs_cgocall(join_thread, &thread, NULL), GS_OK);
}

static void test_in_place(void **state) {
  (void)state;
  call_in_place(NULL); /* no runtime is running */
  assert_int_equal(checks_failed(), 0);
  run_procs(PROCS, call_from_a_thread, NULL);
}

/* ---- what works inside ---- */

typedef struct inside {
  gs_chan *empty, *full;
  atomic_int ran;
} inside;

static void count(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

static int try_everything(void *arg) {
  inside *in = arg;
  int value = 1;
  long tid = my_tid();
  /* What parks works as in a callback. */
  CHECK_CODE(gs_sleep(US(10)), GS_OK);
  CHECK_CODE(gs_chan_recv(in->empty, &value, gs_now() + 1), GS_ETIMEOUT);
  CHECK_CODE(gs_chan_send(in->full, &value, gs_now() + 1), GS_ETIMEOUT);
  CHECK_CODE(gs_cgocall(add_one, &value, &value), GS_OK);
  CHECK_CODE(gs_cgocall_site(NULL, add_one, &value, &value), GS_OK);
  CHECK_INT(value, 3);
  gs_yield();
  CHECK_INT(my_tid(), tid);
  gs_entersyscall(); /* the call is in one already: nothing happens */
  gs_exitsyscall();
  /* What never parks works as on any thread. */
  CHECK_CODE(gs_chan_try_recv(in->empty, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_try_send(in->full, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_try_send(in->empty, &value), GS_OK);
  CHECK_CODE(gs_chan_try_recv(in->empty, &value), GS_OK);
  CHECK_CODE(gs_go(count, &in->ran), GS_OK);
  CHECK(gs_now() > 0);
  return 8;
}

static void works_inside(void *arg) {
  (void)arg;
  inside in = {.empty = chan_new(sizeof(int), 1), .full = chan_new(sizeof(int), 1)};
  int value = 0, result = 0;
  CHECK_CODE(gs_chan_try_send(in.full, &value), GS_OK);
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_cgocall(try_everything, &in, &result), GS_OK);
    CHECK_INT(result, 8);
  }
  CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  CHECK_CODE(gs_chan_recv(in.full, &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_cgocall(add_one, &value, &result), GS_OK);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&in.ran) < 20 && gs_now() < end;) gs_yield();
  CHECK_INT(atomic_load(&in.ran), 20);
  CHECK_CODE(gs_chan_free(in.empty), GS_OK);
  CHECK_CODE(gs_chan_free(in.full), GS_OK);
}

static void test_works_inside(void **state) {
  (void)state;
  run_procs(PROCS, works_inside, NULL);
}

/* ---- stack ---- */

static int use_1_mib(void *arg) {
  volatile char room[1 << 20];
  for (size_t i = 0; i < sizeof room; i += 512) room[i] = 1;
  *(const char **)arg = (const char *)room;
  return room[512];
}

static void call_with_a_large_frame(void *arg) {
  const char *where = NULL, *here = (const char *)&where;
  for (int i = 0; i < 5; i++) {
    int result = 0;
    CHECK_CODE(gs_cgocall(use_1_mib, &where, &result), GS_OK);
    CHECK_INT(result, 1);
    CHECK(where > here || here - where > 64 * 1024); /* not on this stack */
    gs_sleep(US(100));
  }
  wg_done(arg);
}

static void large_frames(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 20; i++) go(call_with_a_large_frame, &wg);
  wg_wait(&wg, 20);
}

static void test_calls_have_a_large_stack(void **state) {
  (void)state;
  run_procs(PROCS, large_frames, NULL);
}

/* ---- short calls ---- */

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void call_often(void *arg) {
  gs_site *site = arg;
  for (int i = 0; i < SCALE(250000); i++) gs_cgocall_site(site, nothing, NULL, NULL);
}

static void short_calls(void *arg) {
  (void)arg;
  static gs_site normal = {.name = "normal"};
  gs_metrics before = metrics();
  gs_handle *h[3];
  for (int i = 0; i < 3; i++) h[i] = go_named("calls often", call_often, &normal);
  call_often(&normal);
  for (int i = 0; i < 3; i++) join(h[i]);
  gs_metrics after = metrics();
  uint64_t calls = (uint64_t)4 * (uint64_t)SCALE(250000);
  CHECK_INT(after.cgocalls - before.cgocalls, calls);
  CHECK(after.threads_created - before.threads_created <= 8);
  CHECK_INT(after.exits_fast - before.exits_fast + after.exits_idle_p - before.exits_idle_p +
                after.exits_slow - before.exits_slow,
            calls);
  CHECK_INT(after.incgo, 0);
}

static void test_short_calls_make_no_threads(void **state) {
  (void)state;
  run_procs(PROCS, short_calls, NULL);
}

static int park_attempt(void *arg) {
  CHECK_CODE(gs_sleep(MS(1)), GS_EPERM);
  CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_EPERM);
  CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_EPERM);
  return 0;
}

static void critical_calls(void *arg) {
  (void)arg;
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  int result = 0;
  failing f = {78, 0};
  const char *where = NULL;
  CHECK_CODE(gs_cgocall_site(&critical, fail_with, &f, &result), GS_OK);
  CHECK_INT(gs_errno(), 78);
  CHECK_INT(result, -1);
  CHECK_CODE(gs_cgocall_site(&critical, use_1_mib, &where, &result), GS_OK);
  CHECK_INT(result, 1);
  gs_chan *c = chan_new(0, 0);
  CHECK_CODE(gs_cgocall_site(&critical, park_attempt, c, NULL), GS_OK);
  CHECK_CODE(gs_sleep(US(10)), GS_OK);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  call_often(&critical);
}

static void test_critical_calls(void **state) {
  (void)state;
  run_procs(PROCS, critical_calls, NULL);
}

/* ---- the watchdog for critical calls ---- */

static unsigned warnings;
static char warned_of[256];

static void note_warning(int level, const char *text, void *ud) {
  (void)ud;
  if (level > 1) return;
  warnings++;
  snprintf(warned_of, sizeof(warned_of), "%s", text);
}

static int sleep_5_ms(void *arg) {
  (void)arg;
  usleep(5000);
  errno = EDOM;
  return 1;
}

static int compute_5_ms(void *arg) {
  struct timespec t;
  int64_t began, now;
  (void)arg;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  began = now = t.tv_sec * 1000000000 + t.tv_nsec;
  while (now - began < 5000000) {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    now = t.tv_sec * 1000000000 + t.tv_nsec;
  }
  return 2;
}

static int at_once(void *arg) {
  (void)arg;
  return 3;
}

static void not_short(void *arg) {
  static gs_site sleeper = {.name = "sleeper", .flags = GS_SITE_CRITICAL};
  static gs_site thinker = {.name = "thinker", .flags = GS_SITE_CRITICAL};
  static gs_site leaf = {.name = "leaf", .flags = GS_SITE_CRITICAL};
  int result = 0;
  (void)arg;
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocall_site(&sleeper, sleep_5_ms, NULL, &result), 0);
  CHECK(gs_errno() == EDOM);
#if GS_DEBUG || GS_TORTURE
  CHECK(warnings == 1 && strstr(warned_of, "critical call of sleeper waited for "));
  CHECK(sleeper.retakes == 3);
  CHECK_CODE(gs_cgocall_site(&thinker, compute_5_ms, NULL, &result), 0);
  CHECK(warnings == 2 && strstr(warned_of, "critical call of thinker computed for "));
#else
  CHECK_CODE(gs_cgocall_site(&thinker, compute_5_ms, NULL, &result), 0);
  CHECK(warnings == 0);
#endif
  CHECK(result == 2);
  CHECK_CODE(gs_cgocall_site(&leaf, at_once, NULL, &result), 0);
  CHECK(leaf.retakes == 0);
}

static void test_critical_watchdog(void **state) {
  (void)state;
  gs_set_logger(note_warning, NULL);
  run_procs(1, not_short, NULL);
  gs_set_logger(NULL, NULL);
}

/* ---- three words and errno ---- */

static int add_words(void *a, void *b, void *c) {
  if (errno != 0) return -1;
  *(uintptr_t *)a = (uintptr_t)b + (uintptr_t)c;
  errno = ERANGE;
  return 0;
}

static int add_words_slowly(void *a, void *b, void *c) {
  usleep(2000);
  return add_words(a, b, c);
}

static void words(void *arg) {
  static gs_site site = {.name = "words"}, slow = {.name = "slow words", .flags = GS_SITE_BLOCKING};
  uintptr_t sum;
  int e;
  for (uintptr_t i = 0; i < 100; i++) {
    bool blocks = arg && i % 10 == 0;
    e = sum = 0;
    errno = EDOM;
    CHECK_CODE(gs_cgocall_words(blocks ? &slow : &site, blocks ? add_words_slowly : add_words, &sum,
                                (void *)i, (void *)(i * i), &e),
               GS_OK);
    CHECK(sum == i + i * i && e == ERANGE);
  }
  CHECK_CODE(gs_cgocall_words(&site, NULL, NULL, NULL, NULL, &e), GS_EINVAL);
}

static void test_words(void **state) {
  (void)state;
  words(NULL); /* in place */
  run_procs(1, words, NULL);
  int blocking = 1;
  run_procs(PROCS, words, &blocking);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_in_place),
      cmocka_unit_test(test_results),
      cmocka_unit_test(test_errno),
      cmocka_unit_test(test_works_inside),
      cmocka_unit_test(test_calls_have_a_large_stack),
      cmocka_unit_test(test_short_calls_make_no_threads),
      cmocka_unit_test(test_critical_calls),
      cmocka_unit_test(test_critical_watchdog),
      cmocka_unit_test(test_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
