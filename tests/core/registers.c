/* registers.c: what a compiler keeps in registers over a call is there after it, whoever ran on
 * the thread meanwhile.
 *
 * Each green thread holds more values than there are call-saved registers, whole numbers and
 * doubles of its own, over a yield, a park, a foreign call.  arm64 has ten and eight of them, amd64
 * has five; the rest the compiler keeps on the stack, which is tested with them.
 */
#include "support.h"

enum { PROCS = 2, GREEN = 6, ROUNDS = 200 };

typedef struct keeper {
  uint64_t seed;
  gs_chan *baton;
  wait_group *wg;
} keeper;

static int touch(void *arg) {
  *(volatile uint64_t *)arg += 1;
  return 0;
}

static void go_away(keeper *k, int round) {
  uint64_t there = 0;
  switch (round % 4) {
    case 0: gs_yield(); break;
    case 1: CHECK_CODE(gs_sleep(1000), GS_OK); break;
    case 2: CHECK_CODE(gs_cgocall(touch, &there, NULL), GS_OK); break;
    default:
      /* One is in the channel for every two that wait for it. */
      CHECK_CODE(gs_chan_recv(k->baton, NULL, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_chan_send(k->baton, NULL, GS_FOREVER), GS_OK);
  }
}

/* All are loaded before the call and used after it, so they live over it. */
static __attribute__((noinline)) int hold(keeper *k, volatile uint64_t *in, volatile double *real,
                                          int round) {
  uint64_t a = in[0], b = in[1], c = in[2], d = in[3], e = in[4], f = in[5], g = in[6], h = in[7],
           i = in[8], j = in[9], l = in[10], m = in[11];
  double p = real[0], q = real[1], r = real[2], s = real[3], t = real[4], u = real[5], v = real[6],
         w = real[7], x = real[8], y = real[9];
  go_away(k, round);
  int same = a == in[0] && b == in[1] && c == in[2] && d == in[3] && e == in[4] && f == in[5] &&
             g == in[6] && h == in[7] && i == in[8] && j == in[9] && l == in[10] && m == in[11];
  return same && p == real[0] && q == real[1] && r == real[2] && s == real[3] && t == real[4] &&
         u == real[5] && v == real[6] && w == real[7] && x == real[8] && y == real[9];
}

static void keep(void *arg) {
  keeper *k = arg;
  volatile uint64_t in[12];
  volatile double real[10];
  uint64_t state = k->seed;
  for (int round = 0; round < SCALE(ROUNDS); round++) {
    for (size_t n = 0; n < COUNT(in); n++) in[n] = random_next(&state);
    for (size_t n = 0; n < COUNT(real); n++) real[n] = (double)(random_next(&state) >> 11);
    CHECK(hold(k, in, real, round));
  }
  wg_done(k->wg);
}

static void body(void *arg) {
  (void)arg;
  static keeper keepers[GREEN];
  wait_group wg;
  wg_init(&wg);
  gs_chan *baton = chan_new(0, GREEN);
  for (int i = 0; i < GREEN / 2; i++) CHECK_CODE(gs_chan_send(baton, NULL, GS_FOREVER), GS_OK);
  for (size_t i = 0; i < GREEN; i++) {
    keepers[i] = (keeper){0x9e3779b97f4a7c15u * (i + 1), baton, &wg};
    go(keep, &keepers[i]);
  }
  wg_wait(&wg, GREEN);
  CHECK_CODE(gs_chan_free(baton), GS_OK);
}

static void test_registers_are_kept(void **state) {
  (void)state;
  run_procs(PROCS, body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_registers_are_kept)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
