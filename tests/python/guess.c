/* The guess of bindings/python/guess.c, with a clock and threads that stand where they are put. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define gs_now fake_now
#define tstate_detached fake_detached
#define clock_gettime fake_clock
#include "../../bindings/python/guess.c"

#define PLACES 8
static int64_t now;
static PyThreadState *with_gil;
static int64_t cpus[PLACES]; /* by number of the clock */
static Rec recs[PLACES];

int64_t fake_now(void) { return now; }

bool fake_detached(const PyThreadState *ts) { return ts != with_gil; }

int fake_clock(clockid_t id, struct timespec *t) {
  if (cpus[id] < 0) return -1;
  *t = (struct timespec){.tv_nsec = cpus[id]};
  return 0;
}

static int begin(void **state) {
  (void)state;
  static PyThreadState states[PLACES];
  for (int i = 0; i < PLACES; i++) {
    recs[i].ts = &states[i];
    recs[i].clock = i;
    cpus[i] = 100;
  }
  with_gil = NULL;
  guess_forget(NULL);
  row = 0;
  now += 1000000000;
  return 0;
}

/* One after the other loses the turn and stays away. */
static void stay_away(int n) {
  for (int i = 0; i < n; i++) {
    now += 60000;
    assert_false(guess_blocked(&recs[i % 3]));
  }
}

static void test_needs_a_row(void **state) {
  (void)state;
  stay_away(ENOUGH);
  now += AWAY_NS;
  assert_false(guess_blocked(&recs[(ENOUGH - 1) % 3])); /* the first of them is not proof yet */
  now += 60000;
  assert_false(guess_blocked(&recs[5]));
  now += AWAY_NS - 1;
  assert_false(guess_blocked(&recs[5]));
  now += 1;
  assert_true(guess_blocked(&recs[5]));
}

static void test_computes_without_the_gil(void **state) {
  (void)state;
  stay_away(ENOUGH + 1);
  assert_false(guess_blocked(&recs[5]));
  for (int i = 0; i < 5; i++) {
    now += AWAY_NS;
    cpus[5] += 1;
    assert_false(guess_blocked(&recs[5]));
  }
  now += AWAY_NS;
  assert_true(guess_blocked(&recs[5])); /* it has begun to sleep */
}

static void test_has_been_back(void **state) {
  (void)state;
  stay_away(ENOUGH + 1);
  assert_false(guess_blocked(&recs[5]));
  now += AWAY_NS;
  guess_attached(&recs[5]);
  assert_false(guess_blocked(&recs[5]));
  now += AWAY_NS;
  assert_true(guess_blocked(&recs[5]));
}

static void test_comes_back_soon(void **state) {
  (void)state;
  stay_away(ENOUGH + 1);
  assert_false(guess_blocked(&recs[5])); /* and 4 % 3 has lost its turn */
  with_gil = recs[ENOUGH % 3].ts;
  guess_contended();
  with_gil = NULL;
  now += AWAY_NS;
  assert_false(guess_blocked(&recs[5]));
}

static void test_comes_back_late_or_is_another(void **state) {
  (void)state;
  stay_away(ENOUGH + 1);
  assert_false(guess_blocked(&recs[5]));
  with_gil = recs[6].ts;
  guess_contended();
  now += SOON_NS;
  with_gil = recs[ENOUGH % 3].ts;
  guess_contended();
  with_gil = NULL;
  assert_true(guess_blocked(&recs[5]));
}

/* The next one has the turn already, and has not been found without the GIL yet. */
static void test_comes_back_before_the_next_is_away(void **state) {
  (void)state;
  for (int late = 0; late < 2; late++) {
    begin(NULL);
    stay_away(ENOUGH + 1);
    now += late ? SOON_NS : SOON_NS - 1;
    with_gil = recs[ENOUGH % 3].ts;
    guess_contended();
    with_gil = NULL;
    assert_false(guess_blocked(&recs[5]));
    now += AWAY_NS;
    assert_int_equal(guess_blocked(&recs[5]), late);
  }
}

/* The turn went on, but who had it before has come back to the GIL: that was no long stay. */
static void test_back_before_the_next(void **state) {
  (void)state;
  stay_away(ENOUGH);
  with_gil = recs[(ENOUGH - 1) % 3].ts;
  assert_false(guess_blocked(&recs[5]));
  with_gil = NULL;
  now += AWAY_NS;
  assert_false(guess_blocked(&recs[5]));
}

static void test_ends(void **state) {
  (void)state;
  stay_away(ENOUGH + 1);
  assert_false(guess_blocked(&recs[5]));
  guess_forget(&recs[5]);
  guess_forget(&recs[ENOUGH % 3]);
  assert_null(away);
  assert_null(lost);
  guess_contended();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_needs_a_row, begin),
      cmocka_unit_test_setup(test_computes_without_the_gil, begin),
      cmocka_unit_test_setup(test_has_been_back, begin),
      cmocka_unit_test_setup(test_comes_back_soon, begin),
      cmocka_unit_test_setup(test_comes_back_late_or_is_another, begin),
      cmocka_unit_test_setup(test_comes_back_before_the_next_is_away, begin),
      cmocka_unit_test_setup(test_back_before_the_next, begin),
      cmocka_unit_test_setup(test_ends, begin),
  };
  return cmocka_run_group_tests_name("guess", tests, NULL, NULL);
}
