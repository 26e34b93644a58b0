/* g_state.c: what belongs to a green thread and not to the thread it is on.
 *
 * errno and the way floating point rounds are kept over parks and migrations, whoever else ran on
 * the thread meanwhile, and so is everything in call-saved registers.
 */
#include "support.h"

#include <fenv.h>

enum { PROCS = 1 };

/* A new function call looks the address of errno up anew, on the thread it is on now. */
static __attribute__((noinline)) int errno_here(void) {
  __asm__ volatile("");
  return errno;
}

static __attribute__((noinline)) void set_errno_here(int code) {
  __asm__ volatile("");
  errno = code;
}

typedef struct keeper {
  int code, rounding;
  double expected; /* 1.0 / 3.0 in that mode */
  gs_chan *ball;
} keeper;

/* The compiler believes that every division of the same numbers gives the same result; volatile
 * makes it divide anew each time. */
static __attribute__((noinline)) double divide(double a, double b) {
  volatile double x = a, y = b;
  return x / y;
}

static void park_somehow(keeper *k, int i) {
  int ball = i;
  switch (i % 4) {
    case 0: gs_yield(); break;
    case 1: gs_sleep(US(30)); break;
    case 2: gs_chan_send(k->ball, &ball, gs_now() + US(100)); break;
    default: gs_chan_recv(k->ball, &ball, gs_now() + US(100));
  }
}

static void keep_errno(void *arg) {
  keeper *k = arg;
  for (int i = 0; i < SCALE(300); i++) {
    set_errno_here(k->code);
    park_somehow(k, i);
    CHECK_INT(gs_errno(), k->code);
    CHECK_INT(errno_here(), k->code);
  }
}

static void keep_rounding(void *arg) {
  keeper *k = arg;
  CHECK_INT(fegetround(), FE_TONEAREST); /* whatever others on this thread have set */
  CHECK_INT(fesetround(k->rounding), 0);
  for (int i = 0; i < SCALE(300); i++) {
    park_somehow(k, i);
    CHECK_INT(fegetround(), k->rounding);
    CHECK(divide(1.0, 3.0) == k->expected);
  }
}

static void keep_own(body_fn fn) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  keeper k[8];
  gs_handle *h[COUNT(k)];
  gs_chan *ball = chan_new(sizeof(int), 0);
  for (size_t i = 0; i < COUNT(k); i++) {
    int mode = modes[i % COUNT(modes)];
    fesetround(mode);
    k[i] = (keeper){300 + (int)i, mode, divide(1.0, 3.0), ball};
  }
  fesetround(FE_TONEAREST);
  for (size_t i = 0; i < COUNT(k); i++) h[i] = go_named("keeper", fn, &k[i]);
  for (size_t i = 0; i < COUNT(k); i++) join(h[i]);
  CHECK_INT(fegetround(), FE_TONEAREST);
  CHECK_CODE(gs_chan_free(ball), GS_OK);
}

static void errno_body(void *arg) {
  (void)arg;
  keep_own(keep_errno);
}

static void test_errno(void **state) {
  (void)state;
  run_procs(PROCS, errno_body, NULL);
}

static void rounding_body(void *arg) {
  (void)arg;
  keep_own(keep_rounding);
}

static void test_rounding(void **state) {
  (void)state;
  run_procs(PROCS, rounding_body, NULL);
  assert_int_equal(fegetround(), FE_TONEAREST);
}

/* A rounding mode set in a foreign call is the caller's own affair and must not reach others. */
static int set_upward(void *arg) {
  (void)arg;
  return fesetround(FE_UPWARD);
}

static void call_sets_upward(void *arg) {
  CHECK_CODE(gs_cgocall(set_upward, NULL, NULL), GS_OK);
  gs_yield();
  wg_done(arg);
}

static void calls_set_upward(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 10; i++) {
    go(call_sets_upward, &wg);
    gs_yield();
    CHECK_INT(fegetround(), FE_TONEAREST);
  }
  wg_wait(&wg, 10);
  CHECK_INT(fegetround(), FE_TONEAREST);
}

static void test_rounding_set_in_a_call(void **state) {
  (void)state;
  run_procs(PROCS, calls_set_upward, NULL);
}

/* ---- registers and locals ---- */

static void mix(void *arg) {
  uint64_t seed = *(uint64_t *)arg, a = seed, b = seed * 3, c = seed * 5, d = seed * 7;
  double x = (double)seed, y = x / 3;
  for (int i = 0; i < SCALE(1000); i++) {
    a += b;
    b ^= c;
    c += d;
    d = (d << 7) | (d >> 57);
    x = x * 0.5 + y;
    if (i % 2) gs_yield();
  }
  uint64_t e = seed, f = seed * 3, g = seed * 5, h = seed * 7;
  double u = (double)seed, v = u / 3;
  for (int i = 0; i < SCALE(1000); i++) {
    e += f;
    f ^= g;
    g += h;
    h = (h << 7) | (h >> 57);
    u = u * 0.5 + v;
  }
  CHECK(a == e && b == f && c == g && d == h && x == u);
}

static void many_mix(void *arg) {
  (void)arg;
  uint64_t seeds[10];
  gs_handle *h[10];
  for (int i = 0; i < 10; i++) {
    seeds[i] = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
    h[i] = go_named("mixer", mix, &seeds[i]);
  }
  for (int i = 0; i < 10; i++) join(h[i]);
}

static void test_registers(void **state) {
  (void)state;
  run_procs(PROCS, many_mix, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errno),
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_rounding_set_in_a_call),
      cmocka_unit_test(test_registers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
