/* basics.c: making a domain, and the words that belong to its green threads and to threads.
 */
#include "fake.h"

enum { PROCS = 2 };

static const gs_domain_ops no_hooks = {.size = sizeof no_hooks};

static void refused(int procs, size_t stack_size, const gs_domain_ops *ops, const char *argument,
                    const char *given) {
  gs_domain *d = NULL;
  assert_int_equal(gs_domain_new("refused", procs, stack_size, ops, NULL, &d), GS_EINVAL);
  assert_null(d);
  const char *detail = gs_error_detail();
  if (!strstr(detail, argument) || !strstr(detail, given)) {
    print_error("\"%s\" should name %s and %s\n", detail, argument, given);
    fail();
  }
}

static void *suspends(void *ud, void *gdata) {
  (void)gdata;
  return ud;
}

static void resumes(void *ud, void *gdata, void *token) { (void)ud, (void)gdata, (void)token; }

static void test_bad_arguments(void **state) {
  (void)state;
  refused(0, 0, &no_hooks, "procs", "0");
  refused(-3, 0, &no_hooks, "procs", "-3");
  refused(1025, 0, &no_hooks, "procs", "1025");
  refused(1, 1000, &no_hooks, "stack_size", "1000");
  refused(1, (size_t)2 << 30, &no_hooks, "stack_size", "2147483648");
  gs_domain_ops ops = no_hooks;
  ops.size = 1;
  refused(1, 0, &ops, "size", "1");
  ops.size = 0;
  refused(1, 0, &ops, "size", "0");
  ops = no_hooks;
  ops.suspend = suspends;
  refused(1, 0, &ops, "resume", "suspend");
  ops = no_hooks;
  ops.resume = resumes;
  refused(1, 0, &ops, "suspend", "resume");
  assert_int_equal(gs_domain_new("refused", 1, 0, &no_hooks, NULL, NULL), GS_EINVAL);
}

/* ---- any hook may be missing ---- */

static void count(void *arg) {
  int64_t *counter = arg;
  for (int i = 0; i < 100; i++) {
    int64_t before = *counter;
    gs_yield(); /* one P and no hooks: others run only here */
    *counter = before + 1;
  }
}

typedef struct plain {
  gs_domain *domain;
  atomic_int ran;
  wait_group wg;
} plain;

static void run_once(void *arg) {
  plain *p = arg;
  int ms = 1;
  CHECK_CODE(gs_sleep(US(100)), GS_OK);
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  atomic_fetch_add(&p->ran, 1);
  wg_done(&p->wg);
}

static void start_in_domain(void *arg) {
  plain *p = arg;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.domain = p->domain;
  wg_init(&p->wg);
  for (int i = 0; i < 50; i++) CHECK_CODE(gs_go_opts(&opts, run_once, p, NULL), GS_OK);
  wg_wait(&p->wg, 50);
  int64_t counter = 0;
  gs_handle *h = NULL;
  CHECK_CODE(gs_go_opts(&opts, count, &counter, &h), GS_OK);
  join(h);
  CHECK_INT(counter, 100);
}

static void test_without_hooks(void **state) {
  (void)state;
  uint64_t procs = metrics().procs;
  plain p = {0};
  assert_int_equal(gs_domain_new("plain", 1, 0, &no_hooks, NULL, &p.domain), GS_OK);
  run_procs(PROCS, start_in_domain, &p);
  assert_int_equal(atomic_load(&p.ran), 50);
  assert_true(metrics().procs > procs);
}

static void test_a_domain_of_several_ps(void **state) {
  (void)state;
  plain p = {0};
  assert_int_equal(gs_domain_new("three", 3, 32 * 1024, &no_hooks, NULL, &p.domain), GS_OK);
  run_procs(PROCS, start_in_domain, &p);
  assert_int_equal(atomic_load(&p.ran), 50);
}

/* ---- words ---- */

static fake vm;

static void child_of_domain(void *arg) {
  fake_state *s = fake_begin(&vm);
  fake_count(s);
  void **slot = gs_gdata();
  CHECK_CODE(gs_sleep(US(100)), GS_OK);
  fake_check(s, "a sleep");
  CHECK(gs_gdata() == slot);
  CHECK(gs_mdata(vm.domain) != NULL);
  fake_end(s);
  wg_done(arg);
}

static void main_of_domain(void *arg) {
  (void)arg;
  fake_state *s = fake_begin(&vm);
  wait_group wg;
  wg_init(&wg);
  size_t waiting = gs_domain_waiting(vm.domain);
  for (int i = 0; i < 20; i++) go(child_of_domain, &wg); /* the caller's domain */
  CHECK(gs_domain_waiting(vm.domain) > waiting);
  wg_wait(&wg, 20);
  fake_check(s, "waiting");
  fake_end(s);
}

static void test_gs_go_stays_in_the_domain(void **state) {
  (void)state;
  fake_init(&vm, "fake");
  for (int i = 1; i <= 3; i++) {
    fake_run(&vm, PROCS, main_of_domain, NULL);
    assert_int_equal(vm.guarded, 20 * i);
    fake_assert_quiet(&vm);
  }
  fake_run_locked(&vm, PROCS, main_of_domain, NULL);
  fake_assert_quiet(&vm);
  assert_int_not_equal(atomic_load(&vm.holder), my_tid());
}

static void test_words_outside(void **state) {
  (void)state;
  assert_null(gs_gdata());
  if (gs_mid() < 0) assert_null(gs_mdata(vm.domain));
}

static void words_per_domain(void *arg) {
  fake *two = arg;
  void **first = gs_mdata(two[0].domain), **second = gs_mdata(two[1].domain);
  CHECK(first != NULL && second != NULL && first != second);
  CHECK(*first == NULL && *second == NULL); /* no hook of theirs has run on this thread */
  *first = &first;
  *second = &second;
  gs_lock_os_thread();
  CHECK_CODE(gs_sleep(US(100)), GS_OK);
  CHECK(gs_mdata(two[0].domain) == first && *first == &first);
  CHECK(gs_mdata(two[1].domain) == second && *second == &second);
  *first = NULL;
  *second = NULL;
  gs_unlock_os_thread();
}

static void test_words_per_domain(void **state) {
  (void)state;
  static fake two[2];
  fake_init(&two[0], "first");
  fake_init(&two[1], "second");
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.flags = GS_RUN_LOCK_MAIN;
  run_config(&cfg, words_per_domain, two);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_without_hooks),
      cmocka_unit_test(test_a_domain_of_several_ps),
      cmocka_unit_test(test_gs_go_stays_in_the_domain),
      cmocka_unit_test(test_words_outside),
      cmocka_unit_test(test_words_per_domain),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
