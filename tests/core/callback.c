/* callback.c: gs_cgocallback, and gs_ functions that park, from inside a foreign call.
 *
 * What a callback is: the same green thread, on its own stack, locked to its thread, with
 * everything allowed; errno goes both ways.  What it may not disturb: the foreign frames above it,
 * the call that it came out of, other green threads.  Scenarios of Go's runtime tests are named at
 * their test.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unwind.h>

enum { PROCS = 2 };

/* ---- what is the same and what is not ---- */

typedef struct visit {
  uint64_t goid;
  long tid;
  const char *g_frame, *c_frame;
  int ran, errno_seen;
} visit;

static void visit_back(void *arg) {
  visit *v = arg;
  char here;
  v->errno_seen = errno;
  CHECK_INT(gs_self(), v->goid);
  CHECK_INT(my_tid(), v->tid);
  CHECK(v->g_frame > &here && v->g_frame - &here < 16384); /* on the G's stack, below */
  CHECK(v->c_frame - &here > 16384 || &here > v->c_frame);
  v->ran++;
  errno = 4000 + v->ran;
}

static int visit_c(void *arg) {
  visit *v = arg;
  char here;
  v->c_frame = &here;
  v->tid = my_tid();
  for (int i = 1; i <= 3; i++) {
    errno = 3000 + i;
    CHECK_CODE(gs_cgocallback(visit_back, v), GS_OK);
    CHECK_INT(errno, 4000 + i);
    CHECK_INT(v->errno_seen, 3000 + i);
    CHECK_INT(my_tid(), v->tid);
  }
  errno = 99;
  return v->ran;
}

static void same_green_thread(void *arg) {
  (void)arg;
  char here;
  visit v = {.goid = gs_self(), .g_frame = &here};
  int result = 0;
  for (int i = 0; i < 40; i++) { /* the site becomes a short one on the way */
    v.ran = 0;
    CHECK_CODE(gs_cgocall(visit_c, &v, &result), GS_OK);
    CHECK_INT(gs_errno(), 99);
    CHECK_INT(result, 3);
  }
  static gs_site blocking = {.name = "visit", .flags = GS_SITE_BLOCKING};
  v.ran = 0;
  CHECK_CODE(gs_cgocall_site(&blocking, visit_c, &v, &result), GS_OK);
  CHECK_INT(result, 3);
  CHECK_INT(metrics().incgo, 0);
  CHECK_CODE(gs_cgocallback(NULL, NULL), GS_EINVAL);
}

static void test_same_green_thread(void **state) {
  (void)state;
  run_procs(PROCS, same_green_thread, NULL);
}

static void add_one(void *arg) { ++*(int *)arg; }

static void in_place(void *arg) {
  (void)arg;
  int n = 0;
  CHECK_CODE(gs_cgocallback(add_one, &n), GS_OK);
  CHECK_INT(n, 1);
}

static void test_in_place_on_a_green_thread(void **state) {
  (void)state;
  run_procs(PROCS, in_place, NULL);
}

/* ---- parking inside, with one P ---- */

typedef struct exchange {
  gs_chan *there, *back;
  int rounds;
} exchange;

static void answer(void *arg) {
  exchange *x = arg;
  for (int i = 0; i < x->rounds; i++) {
    int v = -1;
    CHECK_CODE(gs_chan_recv(x->there, &v, GS_FOREVER), GS_OK);
    v++;
    CHECK_CODE(gs_chan_send(x->back, &v, GS_FOREVER), GS_OK);
  }
}

static void ask_once(void *arg) {
  exchange *x = arg;
  int v = 41;
  long tid = my_tid();
  errno = 55;
  CHECK_CODE(gs_chan_send(x->there, &v, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(x->back, &v, GS_FOREVER), GS_OK);
  CHECK_INT(v, 42);
  CHECK_INT(errno, 55);
  gs_yield();
  CHECK_CODE(gs_sleep(US(20)), GS_OK);
  CHECK_INT(my_tid(), tid);
}

static int ask_often(void *arg) {
  exchange *x = arg;
  unsigned char pattern[600];
  memset(pattern, 0x5a, sizeof pattern);
  for (int i = 0; i < x->rounds; i++) {
    CHECK_CODE(gs_cgocallback(ask_once, x), GS_OK);
    for (size_t k = 0; k < sizeof pattern; k++) CHECK_INT(pattern[k], 0x5a);
  }
  return 0;
}

static void ask_from_c(void *arg) {
  exchange x = {chan_new(sizeof(int), 0), chan_new(sizeof(int), 0), 20};
  gs_handle *h = go_named("answers", answer, &x);
  CHECK_CODE(gs_cgocall(ask_often, &x, NULL), GS_OK);
  join(h);
  CHECK_CODE(gs_chan_free(x.there), GS_OK);
  CHECK_CODE(gs_chan_free(x.back), GS_OK);
  if (arg) wg_done(arg);
}

static void many_ask(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 16; i++) go(ask_from_c, &wg);
  wg_wait(&wg, 16);
  ask_from_c(NULL);
  CHECK_INT(metrics().incgo, 0);
}

static void test_parking_with_one_p(void **state) {
  (void)state;
  run_procs(1, many_ask, NULL);
}

static void test_parking_with_two(void **state) {
  (void)state;
  run_procs(PROCS, many_ask, NULL);
}

/* ---- nesting ---- */

typedef struct depth {
  int left, parks;
  int order; /* counts up on the way in and down on the way out */
  long tid;
} depth;

static int go_deeper(void *arg);

static void come_back(void *arg) {
  depth *d = arg;
  int at = ++d->order;
  CHECK_INT(my_tid(), d->tid);
  if (d->parks) CHECK_CODE(gs_sleep(US(5)), GS_OK);
  if (d->left-- > 0) {
    int result = 0;
    CHECK_CODE(gs_cgocall(go_deeper, d, &result), GS_OK);
    CHECK_INT(result, at + 1);
    CHECK_INT(gs_errno(), 1000 + at + 1);
  }
  if (d->parks) CHECK_CODE(gs_sleep(US(5)), GS_OK);
  CHECK_INT(d->order--, at);
}

static int go_deeper(void *arg) {
  depth *d = arg;
  int at = d->order + 1;
  d->tid = my_tid();
  CHECK_CODE(gs_cgocallback(come_back, d), GS_OK);
  CHECK_INT(my_tid(), d->tid);
  CHECK_INT(d->order, at - 1);
  errno = 1000 + at;
  return at;
}

static void hundred_deep(void *arg) {
  for (int parks = 0; parks < 2; parks++) {
    depth d = {.left = 99, .parks = parks};
    int result = 0;
    CHECK_CODE(gs_cgocall(go_deeper, &d, &result), GS_OK);
    CHECK_INT(result, 1);
    CHECK_INT(d.left, -1);
    CHECK_INT(d.order, 0);
  }
  if (arg) wg_done(arg);
}

static void several_hundred_deep(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 1 << 20;
  for (int i = 0; i < 4; i++) CHECK_CODE(gs_go_opts(&opts, hundred_deep, &wg, NULL), GS_OK);
  wg_wait(&wg, 4);
  hundred_deep(NULL);
  CHECK_INT(metrics().incgo, 0);
}

static void test_nesting_a_hundred_deep(void **state) {
  (void)state;
  run_procs(PROCS, several_hundred_deep, NULL);
}

/* ---- CgoCallbackGC: 100 green threads, deep stacks, callbacks that make others run ---- */

static void descend(int n, void *x) {
  volatile unsigned char room[200];
  for (size_t i = 0; i < sizeof room; i++) room[i] = (unsigned char)n;
  if (n > 0)
    descend(n - 1, x);
  else
    gs_cgocallback(ask_once, x);
  for (size_t i = 0; i < sizeof room; i++) CHECK_INT(room[i], (unsigned char)n);
}

static void callback_deep(void *arg) { descend(50, arg); }

static int c_deep(void *arg) {
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocallback(callback_deep, arg), GS_OK);
  return 0;
}

static void deep_g(void *arg) {
  exchange x = {chan_new(sizeof(int), 0), chan_new(sizeof(int), 0), 3};
  gs_handle *h = go_named("answers", answer, &x);
  CHECK_CODE(gs_cgocall(c_deep, &x, NULL), GS_OK);
  join(h);
  CHECK_CODE(gs_chan_free(x.there), GS_OK);
  CHECK_CODE(gs_chan_free(x.back), GS_OK);
  wg_done(arg);
}

static void cgo_callback_gc(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.stack_size = 256 << 10;
  for (int i = 0; i < 100; i++) CHECK_CODE(gs_go_opts(&opts, deep_g, &wg, NULL), GS_OK);
  wg_wait(&wg, 100);
  CHECK_INT(metrics().extra_ms, 0);
}

static void test_CgoCallbackGC(void **state) {
  (void)state;
  run_procs(PROCS, cgo_callback_gc, NULL);
}

/* ---- gs_ functions straight from C ---- */

typedef struct sorting {
  gs_chan *c;
  long tid;
  int calls;
} sorting;

static _Thread_local sorting *now_sorting; /* the thread is the same as long as qsort runs */

static int five(void *arg) {
  (void)arg;
  return 5;
}

static int compare(const void *a, const void *b) {
  sorting *s = now_sorting;
  int value = ++s->calls, result = 0;
  CHECK_INT(my_tid(), s->tid);
  errno = 66;
  if (s->calls % 3 == 0) CHECK_CODE(gs_sleep(US(10)), GS_OK);
  if (s->calls % 3 == 1) {
    CHECK_CODE(gs_chan_send(s->c, &value, GS_FOREVER), GS_OK);
    CHECK_CODE(gs_chan_recv(s->c, &value, GS_FOREVER), GS_OK);
  }
  if (s->calls % 3 == 2) gs_yield();
  CHECK_INT(errno, 66);
  CHECK_INT(value, s->calls);
  CHECK_CODE(gs_chan_recv(s->c, &value, gs_now() + 1), GS_ETIMEOUT);
  CHECK_CODE(gs_cgocall(five, NULL, &result), GS_OK);
  CHECK_INT(result, 5);
  return *(const int *)a - *(const int *)b;
}

static int sort(void *arg) {
  int numbers[64];
  for (int i = 0; i < 64; i++) numbers[i] = i * 37 % 64;
  now_sorting = arg;
  now_sorting->tid = my_tid();
  qsort(numbers, 64, sizeof numbers[0], compare);
  for (int i = 0; i < 64; i++) CHECK_INT(numbers[i], i);
  return 0;
}

static void sort_and_park(void *arg) {
  sorting s = {.c = chan_new(sizeof(int), 1)};
  CHECK_CODE(gs_cgocall(sort, &s, NULL), GS_OK);
  CHECK(s.calls > 64);
  CHECK_CODE(gs_chan_free(s.c), GS_OK);
  wg_done(arg);
}

static void many_sort(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 8; i++) go(sort_and_park, &wg);
  wg_wait(&wg, 8);
}

static void test_a_comparator_parks(void **state) {
  (void)state;
  run_procs(PROCS, many_sort, NULL);
}

static gs_sema may_end;

static void end_when_told(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sema_acquire(&may_end, GS_FOREVER), GS_OK);
}

static int join_in_c(void *arg) {
  CHECK_CODE(gs_join(arg, gs_now() + 1), GS_ETIMEOUT);
  gs_sema_release(&may_end, 1);
  CHECK_CODE(gs_join(arg, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_join(arg, GS_FOREVER), GS_OK);
  return 0;
}

static void join_from_c(void *arg) {
  (void)arg;
  gs_handle *h = go_named("ends when told", end_when_told, NULL);
  CHECK_CODE(gs_cgocall(join_in_c, h, NULL), GS_OK);
  gs_handle_release(h);
}

static void test_join_from_c(void **state) {
  (void)state;
  run_procs(1, join_from_c, NULL);
}

/* ---- cancellation reaches into callbacks ---- */

static int sleep_in_c(void *arg) {
  atomic_store((atomic_int *)arg, 1);
  int r = gs_sleep(GS_FOREVER);
  CHECK_CODE(r, GS_ECANCELED);
  CHECK_CODE(gs_sleep(MS(1)), GS_ECANCELED);
  return r;
}

static void be_cancelled(void *arg) {
  int result = 0;
  CHECK_CODE(gs_cgocall(sleep_in_c, arg, &result), GS_OK);
  CHECK_INT(result, GS_ECANCELED);
}

static void cancel_in_c(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(50); i++) {
    atomic_int asleep = 0;
    gs_handle *h = go_named("cancelled", be_cancelled, &asleep);
    while (!atomic_load(&asleep)) gs_sleep(US(20));
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
  }
  /* And the end of gs_run cancels what is left. */
  static atomic_int asleep;
  atomic_store(&asleep, 0);
  go(be_cancelled, &asleep);
  while (!atomic_load(&asleep)) gs_sleep(US(20));
}

static void test_cancelled_in_a_callback(void **state) {
  (void)state;
  run_procs(1, cancel_in_c, NULL);
  run_procs(PROCS, cancel_in_c, NULL);
}

/* ---- where there is none: critical, nocallback, brackets, strange stacks ---- */

static int five_(void *arg) { return five(arg); }

static void refused_here(gs_chan *empty, int code) {
  int n = 0, result = 0;
  CHECK_CODE(gs_cgocallback(add_one, &n), code);
  CHECK_CODE(gs_sleep(MS(1)), code);
  CHECK_CODE(gs_chan_recv(empty, NULL, GS_FOREVER), code);
  CHECK_CODE(gs_cgocall(five_, NULL, &result), code);
  gs_yield();
  CHECK_INT(n, 0);
  CHECK_INT(result, 0);
}

static int refused_in_c(void *arg) {
  refused_here(arg, GS_EPERM);
  return 6;
}

static gs_chan *strange_chan;
static volatile int handled;

#if SANITIZED /* they know no stacks but those they are told of */
static int on_a_strange_stack(void *arg) { return five(arg); }
#else
static ucontext_t here, there;

static void strange(void) { refused_here(strange_chan, GS_EPERM); }

static int on_a_strange_stack(void *arg) {
  static char room[128 << 10];
  strange_chan = arg;
  getcontext(&there);
  there.uc_stack.ss_sp = room;
  there.uc_stack.ss_size = sizeof room;
  there.uc_link = &here;
  makecontext(&there, strange, 0);
  swapcontext(&here, &there);
  return 6;
}
#endif

static void on_signal(int sig) {
  (void)sig;
  refused_here(strange_chan, GS_EPERM);
  handled++;
}

static int in_a_handler(void *arg) {
  strange_chan = arg;
  raise(SIGUSR1);
  return 6;
}

static void refusals(void *arg) {
  (void)arg;
  static gs_site critical = {.name = "critical", .flags = GS_SITE_CRITICAL};
  static gs_site nocallback = {.name = "nocallback", .flags = GS_SITE_NOCALLBACK};
  gs_chan *empty = chan_new(0, 0);
  struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, old;
  sigemptyset(&sa.sa_mask);
  CHECK_INT(sigaction(SIGUSR1, &sa, &old), 0);
  for (int i = 0; i < 30; i++) {
    int result = 0;
    CHECK_CODE(gs_cgocall_site(&critical, refused_in_c, empty, &result), GS_OK);
    CHECK_INT(result, 6);
    CHECK_CODE(gs_cgocall_site(&nocallback, refused_in_c, empty, &result), GS_OK);
    gs_entersyscall();
    refused_here(empty, GS_ETHROWSPLIT);
    gs_exitsyscall();
    if (i % 10 == 0) {
      CHECK_CODE(gs_cgocall(on_a_strange_stack, empty, NULL), GS_OK);
      CHECK_CODE(gs_cgocall(in_a_handler, empty, NULL), GS_OK);
    }
    CHECK_CODE(gs_sleep(US(1)), GS_OK);
  }
  CHECK_INT(handled, 3);
  sigaction(SIGUSR1, &old, NULL);
  CHECK_CODE(gs_chan_free(empty), GS_OK);
}

static void test_refused(void **state) {
  (void)state;
  run_procs(PROCS, refusals, NULL);
}

/* ---- locks ---- */

static void unlock_too_often(void *arg) {
  long tid = my_tid();
  for (int i = 0; i < 3; i++) gs_unlock_os_thread();
  CHECK_CODE(gs_sleep(US(50)), GS_OK);
  gs_lock_os_thread();
  gs_lock_os_thread();
  gs_unlock_os_thread();
  gs_unlock_os_thread();
  for (int i = 0; i < 5; i++) {
    CHECK_CODE(gs_sleep(US(50)), GS_OK);
    gs_yield();
    CHECK_INT(my_tid(), tid);
  }
  (void)arg;
}

static void lock_for_longer(void *arg) {
  (void)arg;
  gs_lock_os_thread();
}

static int locks_in_c(void *arg) {
  *(long *)arg = my_tid();
  CHECK_CODE(gs_cgocallback(unlock_too_often, NULL), GS_OK);
  CHECK_INT(my_tid(), *(long *)arg);
  CHECK_CODE(gs_cgocallback(lock_for_longer, NULL), GS_OK);
  return 0;
}

static void locks(void *arg) {
  long tid = 0;
  CHECK_CODE(gs_cgocall(locks_in_c, &tid, NULL), GS_OK);
  for (int i = 0; i < 20; i++) { /* the lock that the second callback took is still there */
    CHECK_INT(my_tid(), tid);
    gs_sleep(US(20));
  }
  gs_unlock_os_thread();
  wg_done(arg);
}

static void many_lock(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 10; i++) go(locks, &wg);
  wg_wait(&wg, 10);
}

static void test_locks_nest(void **state) {
  (void)state;
  run_procs(PROCS, many_lock, NULL);
}

/* ---- backtraces walk from the callback through C into the green thread ---- */

typedef struct walk {
  void *want[3];
  int found;
} walk;

static _Unwind_Reason_Code one_frame(struct _Unwind_Context *ctx, void *arg) {
  walk *w = arg;
  void *fn = _Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(ctx) - 1));
  if (w->found < 3 && fn == w->want[w->found]) w->found++;
  return _URC_NO_REASON;
}

static __attribute__((noinline)) void innermost(void *arg) {
  _Unwind_Backtrace(one_frame, arg);
  __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) int middle_c(void *arg) {
  CHECK_CODE(gs_cgocallback(innermost, arg), GS_OK);
  return 0;
}

static __attribute__((noinline)) void walked_g(void *arg) {
  walk *w = arg;
  w->want[0] = _Unwind_FindEnclosingFunction((void *)((uintptr_t)innermost + 1));
  w->want[1] = _Unwind_FindEnclosingFunction((void *)((uintptr_t)middle_c + 1));
  w->want[2] = _Unwind_FindEnclosingFunction((void *)((uintptr_t)walked_g + 1));
  for (int i = 0; i < 20; i++) {
    w->found = 0;
    CHECK_CODE(gs_cgocall(middle_c, arg, NULL), GS_OK);
    CHECK_INT(w->found, 3);
  }
}

static void test_backtrace(void **state) {
  (void)state;
  walk w = {.found = 0};
  run_procs(1, walked_g, &w);
}

/* ---- ending a green thread inside ---- */

static void end_here(void *arg) {
  (void)arg;
  gs_goexit();
}

static int end_in_c(void *arg) { return gs_cgocallback(end_here, arg); }

static int main_ends_in_c(void *arg) {
  gs_cgocall(end_in_c, arg, NULL);
  return 0;
}

static int scenario_goexit(void) {
  signal(SIGABRT, SIG_DFL);
  return gs_run(NULL, main_ends_in_c, NULL, NULL);
}

static void test_goexit_aborts(void **state) {
  (void)state;
  child c;
  child_run(&c, "goexit", NULL);
  assert_child_signal(&c, SIGABRT);
  assert_child_says(&c, "gs_goexit inside a callback");
}

/* ---- the thread of gs_run stays in a call while main ends elsewhere ---- */

static atomic_int main_done;

static void wait_for_main(void *arg) {
  (void)arg;
  for (int i = 0; i < 10; i++) gs_sleep(MS(1)); /* cancelled: comes back at once */
}

static int hold_a_thread(void *arg) {
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocallback(wait_for_main, arg), GS_OK);
  return 0;
}

static void hold(void *arg) { CHECK_CODE(gs_cgocall(hold_a_thread, arg, NULL), GS_OK); }

static void leave_them(void *arg) {
  (void)arg;
  for (int i = 0; i < 6; i++) go(hold, NULL);
  for (int i = 0; i < 5; i++) gs_sleep(US(100));
  atomic_fetch_add(&main_done, 1);
}

static void test_end_of_run(void **state) {
  (void)state;
  for (int i = 0; i < SCALE(30); i++) run_procs(PROCS, leave_them, NULL);
}

static const scenario scenarios[] = {{"goexit", scenario_goexit}};

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_green_thread),
      cmocka_unit_test(test_in_place_on_a_green_thread),
      cmocka_unit_test(test_parking_with_one_p),
      cmocka_unit_test(test_parking_with_two),
      cmocka_unit_test(test_nesting_a_hundred_deep),
      cmocka_unit_test(test_CgoCallbackGC),
      cmocka_unit_test(test_a_comparator_parks),
      cmocka_unit_test(test_join_from_c),
      cmocka_unit_test(test_cancelled_in_a_callback),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_locks_nest),
      cmocka_unit_test(test_backtrace),
      cmocka_unit_test(test_goexit_aborts),
      cmocka_unit_test(test_end_of_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
