/* handover.c: the turn goes on when the one who has it cannot use it.
 *
 * Each test has a green thread that waits for something another one of the same domain does, in
 * the three ways that code in an interpreter can wait: in a foreign call the scheduler knows of,
 * in code of an extension that only lets the lock go, and by computing all the time.
 */
#include "fake.h"

#include <poll.h>
#include <unistd.h>

enum { PROCS = 2 };

static fake vm;

typedef struct wire {
  int fds[2];
} wire;

static int wait_for_byte(void *arg) {
  wire *w = arg;
  char byte;
  struct pollfd p = {w->fds[0], POLLIN, 0};
  CHECK(atomic_load(&vm.holder) != my_tid());
  int ready = poll(&p, 1, 30000);
  CHECK(atomic_load(&vm.holder) != my_tid());
  return ready == 1 && read(w->fds[0], &byte, 1) == 1;
}

static int wait_and_check(void *arg) {
  CHECK_INT(wait_for_byte(arg), 1);
  return 0;
}

static void write_byte(void *arg) {
  wire *w = arg;
  fake_state *s = fake_begin(&vm);
  fake_count(s);
  CHECK_INT(write(w->fds[1], "x", 1), 1);
  fake_end(s);
}

static void write_byte_later(void *arg) {
  wire *w = arg;
  fake_state *s = fake_begin(&vm);
  CHECK_CODE(gs_sleep(MS(3)), GS_OK);
  fake_count(s);
  CHECK_INT(write(w->fds[1], "x", 1), 1);
  fake_end(s);
}

static void wire_init(wire *w) { CHECK_INT(pipe(w->fds), 0); }

static void wire_free(wire *w) {
  close(w->fds[0]);
  close(w->fds[1]);
}

/* ---- in a foreign call ---- */

static void wait_in_calls(void *arg) {
  (void)arg;
  wire w;
  wire_init(&w);
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < SCALE(100); i++) {
    int result = 0;
    gs_handle *h = go_named("writer", i % 5 ? write_byte : write_byte_later, &w);
    CHECK_CODE(gs_cgocall(wait_for_byte, &w, &result), GS_OK);
    CHECK_INT(result, 1);
    fake_check(s, "a foreign call");
    join(h);
    fake_check(s, "a join");
  }
  fake_end(s);
  wire_free(&w);
}

static void test_foreign_call(void **state) {
  (void)state;
  fake_run(&vm, PROCS, wait_in_calls, NULL);
  fake_assert_quiet(&vm);
  fake_run_locked(&vm, PROCS, wait_in_calls, NULL);
  fake_assert_quiet(&vm);
}

static void wait_in_brackets(void *arg) {
  (void)arg;
  wire w;
  wire_init(&w);
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < 20; i++) {
    gs_handle *h = go_named("writer", write_byte, &w);
    if (i % 2) {
      gs_entersyscall();
    } else {
      gs_entersyscallblock();
    }
    int result = wait_for_byte(&w);
    gs_exitsyscall();
    CHECK_INT(result, 1);
    fake_check(s, "brackets");
    join(h);
  }
  fake_end(s);
  wire_free(&w);
}

static void test_brackets(void **state) {
  (void)state;
  fake_run(&vm, PROCS, wait_in_brackets, NULL);
  fake_assert_quiet(&vm);
}

/* ---- in code of an extension that lets the lock go ---- */

static void wait_unlocked(void *arg) {
  (void)arg;
  wire w;
  wire_init(&w);
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < SCALE(50); i++) {
    gs_handle *h = go_named("writer", i % 5 ? write_byte : write_byte_later, &w);
    fake_unlocked(s, wait_and_check, &w);
    fake_check(s, "taking the lock again");
    gs_yield(); /* here it learns that the turn is gone */
    fake_check(s, "a yield");
    join(h);
    fake_check(s, "a join");
  }
  fake_end(s);
  wire_free(&w);
}

static void test_extension_that_unlocks(void **state) {
  (void)state;
  unsigned long questions = atomic_load(&vm.questions);
  uint64_t retakes = metrics().retakes_user;
  fake_run(&vm, PROCS, wait_unlocked, NULL);
  fake_assert_quiet(&vm);
  assert_true(atomic_load(&vm.questions) > questions);
  assert_true(metrics().retakes_user > retakes);
  fake_run_locked(&vm, PROCS, wait_unlocked, NULL);
  fake_assert_quiet(&vm);
}

/* Many at once: 50 sleeps of 100 ms that nobody declared, side by side. */
static int sleep_100_ms(void *arg) {
  (void)arg;
  int ms = 100;
  return block_ms(&ms);
}

static void sleep_unlocked(void *arg) {
  fake_state *s = fake_begin(&vm);
  fake_unlocked(s, sleep_100_ms, NULL);
  fake_count(s);
  fake_end(s);
  wg_done(arg);
}

static void many_sleep_unlocked(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  wait_group wg;
  wg_init(&wg);
  int64_t begin = gs_now();
  for (int i = 0; i < 50; i++) go(sleep_unlocked, &wg);
  wg_wait(&wg, 50);
  CHECK(gs_now() - begin < MS(4000)); /* one after another: 5 s */
  fake_end(s);
}

static void test_many_extensions_that_unlock(void **state) {
  (void)state;
  fake_run(&vm, PROCS, many_sleep_unlocked, NULL);
  fake_assert_quiet(&vm);
}

/* A binding that is sure is believed at the first look: a second one would ask it again.  An M that
 * comes back at that moment keeps its P, which is counted, too, but for one case in many. */
static void test_extension_that_surely_stays_away(void **state) {
  (void)state;
  atomic_store(&vm.sure, 1);
  unsigned long gone = atomic_load(&vm.gone);
  gs_metrics before = metrics();
  fake_run(&vm, PROCS, many_sleep_unlocked, NULL);
  fake_run(&vm, PROCS, wait_unlocked, NULL);
  gs_metrics after = metrics();
  atomic_store(&vm.sure, 0);
  fake_assert_quiet(&vm);
  gone = atomic_load(&vm.gone) - gone;
  uint64_t tried =
      after.retakes_user - before.retakes_user + after.retakes_failed - before.retakes_failed;
  assert_true(after.retakes_user > before.retakes_user + 20);
  assert_in_range(gone * 2, 40, tried * 3);
}

/* ---- computing ---- */

typedef struct hog {
  atomic_int flag;
} hog;

static void raise_flag(void *arg) {
  hog *g = arg;
  fake_state *s = fake_begin(&vm);
  fake_count(s);
  atomic_fetch_add(&g->flag, 1);
  fake_end(s);
}

static void spin_until_flag(hog *g, fake_state *s, int wanted) {
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end;) {
    for (int i = 0; i < 1000; i++) {
      if (atomic_load(&g->flag) >= wanted) return;
    }
    s->vm->guarded++;
    fake_breathe(s);
  }
}

static void compute(void *arg) {
  (void)arg;
  hog g = {0};
  fake_state *s = fake_begin(&vm);
  for (int i = 1; i <= 5; i++) {
    gs_handle *h = go_named("flag", raise_flag, &g);
    spin_until_flag(&g, s, i);
    CHECK_INT(atomic_load(&g.flag), i);
    fake_check(s, "computing");
    gs_yield();
    fake_check(s, "a yield");
    join(h);
  }
  fake_end(s);
}

static void test_hog(void **state) {
  (void)state;
  fake_run(&vm, PROCS, compute, NULL);
  fake_assert_quiet(&vm);
}

/* Several hogs and somebody who wants a turn now and then. */
static void compute_long(void *arg) {
  hog *g = arg;
  fake_state *s = fake_begin(&vm);
  spin_until_flag(g, s, 10);
  fake_end(s);
}

static void come_and_go(void *arg) {
  hog *g = arg;
  fake_state *s = fake_begin(&vm);
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_sleep(MS(1)), GS_OK);
    fake_count(s);
    atomic_fetch_add(&g->flag, 1);
  }
  fake_end(s);
}

static void hogs_and_a_guest(void *arg) {
  (void)arg;
  hog g = {0};
  fake_state *s = fake_begin(&vm);
  gs_handle *hogs[3], *guest = go_named("guest", come_and_go, &g);
  for (size_t i = 0; i < COUNT(hogs); i++) hogs[i] = go_named("hog", compute_long, &g);
  for (size_t i = 0; i < COUNT(hogs); i++) join(hogs[i]);
  join(guest);
  CHECK_INT(atomic_load(&g.flag), 10);
  fake_end(s);
}

static void test_hogs_and_a_guest(void **state) {
  (void)state;
  fake_run(&vm, PROCS, hogs_and_a_guest, NULL);
  fake_assert_quiet(&vm);
}

/* Two loops of short calls, each of which waits for the other to have had turns: sysmon asks the
 * one that has the P to give way, and it does so at the end of a call, with the lock let go. */
typedef struct shorts {
  atomic_int turns[2], next;
} shorts;

static int leaf(void *a, void *b, void *c) {
  (void)a, (void)b, (void)c;
  return 0;
}

static void call_shortly(void *arg) {
  static gs_site site = {.name = "leaf"};
  shorts *x = arg;
  fake_state *s = fake_begin(&vm);
  int me = atomic_fetch_add(&x->next, 1), e = 0;
  for (int seen = 0; atomic_load(&x->turns[1 - me]) < 20;) {
    int now = atomic_load(&x->turns[1 - me]);
    if (now != seen || atomic_load(&x->turns[me]) == 0) atomic_fetch_add(&x->turns[me], 1);
    seen = now;
    CHECK_CODE(gs_cgocall_words(&site, leaf, NULL, NULL, NULL, &e), GS_OK);
    fake_check(s, "a short call");
  }
  atomic_fetch_add(&x->turns[me], 20);
  fake_end(s);
}

static void short_calls(void *arg) {
  (void)arg;
  shorts x = {0};
  fake_state *s = fake_begin(&vm);
  gs_handle *one = go_named("one", call_shortly, &x), *two = go_named("two", call_shortly, &x);
  join(one);
  join(two);
  fake_end(s);
}

static void test_short_calls_give_way(void **state) {
  (void)state;
  fake_run(&vm, PROCS, short_calls, NULL);
  fake_assert_quiet(&vm);
}

int main(void) {
  fake_init(&vm, "fake");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_foreign_call),
      cmocka_unit_test(test_brackets),
      cmocka_unit_test(test_extension_that_unlocks),
      cmocka_unit_test(test_many_extensions_that_unlock),
      cmocka_unit_test(test_extension_that_surely_stays_away),
      cmocka_unit_test(test_hog),
      cmocka_unit_test(test_hogs_and_a_guest),
      cmocka_unit_test(test_short_calls_give_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
