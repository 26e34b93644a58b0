/* tls.c: what belongs to a thread and what to a green thread (Go's GetgThreadSwitch, testtls,
 * G0StackOverflow).
 *
 * A compiler may keep the address of a thread-local over a call, and a green thread may come back
 * from that call on another thread.  What the runtime itself says of the caller must be right then;
 * what C code keeps in __thread variables is stable only under gs_lock_os_thread.
 */
#include "support.h"

#include <signal.h>
#include <unistd.h>

#include "gosched_domain.h"

enum { PROCS = 4 };

/* ---- who am I, after every way of losing the thread ---- */

static int nap_us(void *arg) {
  usleep(*(unsigned *)arg);
  return 0;
}

typedef struct {
  gs_chan *c;
  atomic_int moved;
} Meeting;

static void look_at_self(void *arg) {
  Meeting *meeting = arg;
  uint64_t me = gs_self();
  void **slot = gs_gdata();
  long tid = my_tid();
  int mid = gs_mid();
  *slot = &me;
  for (int i = 0; i < SCALE(300) && !checks_failed(); i++) {
    unsigned us = 50;
    char x = 0;
    switch (i % 4) {
      case 0: gs_yield(); break;
      case 1: CHECK_CODE(gs_sleep(US(20)), GS_OK); break;
      case 2: CHECK_CODE(gs_cgocall(nap_us, &us, NULL), GS_OK); break;
      case 3:
        if (me % 2)
          CHECK_CODE(gs_chan_send(meeting->c, &x, GS_FOREVER), GS_OK);
        else
          CHECK_CODE(gs_chan_recv(meeting->c, &x, GS_FOREVER), GS_OK);
        break;
    }
    CHECK(gs_self() == me);
    CHECK(gs_gdata() == slot && *slot == &me);
    /* The number of the M and the thread go together. */
    long now = my_tid();
    int at = gs_mid();
    if (now == my_tid()) {
      if (now == tid) CHECK_INT(at, mid);
      if (at == mid) CHECK_INT(now, tid);
      if (now != tid) atomic_fetch_add(&meeting->moved, 1);
    }
    tid = now;
    mid = at;
  }
}

static void getg_thread_switch(void *arg) {
  Meeting *meeting = arg;
  gs_handle *h[2 * PROCS];
  meeting->c = chan_new(1, 0);
  /* As many odd ones as even ones: they send and receive in pairs. */
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("looks", look_at_self, meeting);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  CHECK_CODE(gs_chan_free(meeting->c), GS_OK);
}

static void test_getg_thread_switch(void **state) {
  (void)state;
  Meeting meeting = {.moved = 0};
  for (int i = 0; i < 10 && !atomic_load(&meeting.moved); i++)
    run_procs(PROCS, getg_thread_switch, &meeting);
  print_message("%d times on another thread\n", atomic_load(&meeting.moved));
  assert_true(atomic_load(&meeting.moved) > 0);
}

/* ---- __thread under a lock ---- */

static __thread int mine;

static int set_mine(void *arg) {
  mine = *(int *)arg;
  return 0;
}

static int get_mine(void *arg) {
  unsigned us = 100;
  (void)arg;
  usleep(us);
  return mine;
}

static void keep_a_thread_local(void *arg) {
  int me = *(int *)arg, got = 0;
  gs_lock_os_thread();
  CHECK_CODE(gs_cgocall(set_mine, &me, NULL), GS_OK);
  for (int i = 0; i < SCALE(100); i++) {
    if (i % 3 == 0) CHECK_CODE(gs_sleep(US(10)), GS_OK);
    if (i % 3 == 1) gs_yield();
    CHECK_CODE(gs_cgocall(get_mine, NULL, &got), GS_OK);
    CHECK_INT(got, me);
    CHECK_INT(mine, me);
  }
  gs_unlock_os_thread();
}

static void tls(void *arg) {
  (void)arg;
  int numbers[8];
  gs_handle *h[COUNT(numbers)];
  for (size_t i = 0; i < COUNT(h); i++) {
    numbers[i] = (int)i + 100;
    h[i] = go_named("keeps", keep_a_thread_local, &numbers[i]);
  }
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
}

static void test_tls(void **state) {
  (void)state;
  run_procs(PROCS, tls, NULL);
}

/* ---- errno belongs to the call that set it ---- */

static int fail_with(void *arg) {
  int e = *(int *)arg;
  if (e % 5 == 0) usleep(100);
  errno = e;
  return -1;
}

static void fail_often(void *arg) {
  int base = *(int *)arg;
  for (int i = 0; i < SCALE(200); i++) {
    int e = base + i % 50, got = 0;
    CHECK_CODE(gs_cgocall(fail_with, &e, &got), GS_OK);
    CHECK_INT(got, -1);
    CHECK_INT(gs_errno(), e);
    gs_yield();
    CHECK_INT(gs_errno(), e); /* whatever others did on this thread, or on the next one */
  }
}

static void errno_belongs(void *arg) {
  (void)arg;
  int bases[8];
  gs_handle *h[COUNT(bases)];
  for (size_t i = 0; i < COUNT(h); i++) {
    bases[i] = 1000 * ((int)i + 1);
    h[i] = go_named("fails", fail_often, &bases[i]);
  }
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
}

static void test_errno_belongs_to_its_call(void **state) {
  (void)state;
  run_procs(PROCS, errno_belongs, NULL);
}

/* ---- the end of the system stack ---- */

static __attribute__((noinline)) int recurse(int depth) {
  volatile char frame[4096];
  frame[depth % 4096] = (char)depth;
  if (depth == INT_MAX) return 0;
  return recurse(depth + 1) + frame[depth % 4096];
}

static int dig_in_c(void *arg) {
  (void)arg;
  return recurse(0);
}

static void on_segv(int sig) {
  static const char text[] = "the host's handler was called\n";
  (void)sig;
  if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(98);
  _exit(42);
}

static void dig(void *arg) { CHECK_CODE(gs_cgocall(dig_in_c, arg, NULL), GS_OK); }

static int main_digs(void *arg) {
  gs_handle *h = go_named("digs in C", dig, arg);
  join(h);
  return 0;
}

static int overflow_g0(void) { return gs_run(NULL, main_digs, NULL, NULL); }

static int overflow_g0_beside_a_handler(void) {
  struct sigaction action = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  return overflow_g0();
}

static const scenario scenarios[] = {
    {"overflow_g0", overflow_g0},
    {"overflow_g0_beside_a_handler", overflow_g0_beside_a_handler},
};

/* Foreign code overflows a stack of the system, not one of ours: as in a program without gosched,
 * the host's handler is called, on a stack of its own, and without one SIGSEGV ends the process. It
 * is not mistaken for an overflow of the green thread. */
static void test_g0_stack_overflow(void **state) {
  (void)state;
  child c;
  child_run(&c, "overflow_g0_beside_a_handler", NULL);
  assert_child_exit(&c, 42);
  assert_child_says(&c, "the host's handler was called");
#if !SLOW_BUILD
  child_run(&c, "overflow_g0", NULL);
  assert_child_signal(&c, SIGSEGV);
#endif
  assert_null(strstr(c.text, "green thread's stack"));
}

int main(int argc, char **argv) {
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_getg_thread_switch),
      cmocka_unit_test(test_tls),
      cmocka_unit_test(test_errno_belongs_to_its_call),
      cmocka_unit_test(test_g0_stack_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
