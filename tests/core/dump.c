/* dump.c: gs_dump, the picture of everything for a person in need.
 *
 * It names every green thread with its id and what it does, from anywhere: a green thread, a
 * foreign call, a thread that the runtime never saw.
 */
#include "support.h"

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "gosched_domain.h"

enum { PROCS = 2 };

static char text[1 << 20];

/* Into a temporary file: a pipe might be too small for all of it. */
static void take_dump(void) {
  FILE *file = tmpfile();
  CHECK(file != NULL);
  if (file == NULL) return;
  gs_dump(fileno(file));
  rewind(file);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
}

/* The line that speaks of this green thread. */
static const char *line_of(uint64_t id, const char *name) {
  static char line[1024];
  char number[32];
  snprintf(number, sizeof number, "G%llu", (unsigned long long)id);
  for (const char *at = text; (at = strstr(at, number)) != NULL; at++) {
    char after = at[strlen(number)];
    if (after >= '0' && after <= '9') continue;
    const char *begin = at, *end = at + strcspn(at, "\n");
    while (begin > text && begin[-1] != '\n') begin--;
    snprintf(line, sizeof line, "%.*s", (int)(end - begin), begin);
    if (name == NULL || strstr(line, name) != NULL) return line;
  }
  CHECK(!"a green thread is missing in the dump");
  fprintf(stderr, "no %s (%s) in:\n%.4000s\n", number, name ? name : "", text);
  return "";
}

static void expect_line(uint64_t id, const char *name, const char *state) {
  const char *line = line_of(id, name);
  if (strstr(line, state) == NULL) {
    CHECK(!"a green thread's state is missing in the dump");
    fprintf(stderr, "no \"%s\" in the line \"%s\"\n", state, line);
  }
}

static void wait_in_recv(void *arg) { CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_ECLOSED); }

static void sleep_for_good(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(GS_FOREVER), GS_ECANCELED);
}

static atomic_int inside, leave;

static int stay_inside(void *arg) {
  (void)arg;
  atomic_store(&inside, 1);
  return block_until(&leave);
}

static void call(void *arg) {
  (void)arg;
  CHECK_CODE(gs_cgocall(stay_inside, NULL, NULL), GS_OK);
}

static int dump_in_a_call(void *arg) {
  (void)arg;
  take_dump();
  return 0;
}

static void *dump_on_a_thread(void *arg) {
  take_dump();
  atomic_store((atomic_int *)arg, 1);
  return NULL;
}

/* The states that the dump tells are those of the moment it was taken. */
static bool tells(gs_handle *h, const char *name, const char *state) {
  return strstr(line_of(gs_handle_id(h), name), state) != NULL;
}

static void dump_all(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(0, 0);
  gs_handle *receiver = go_named("the receiver", wait_in_recv, c);
  gs_handle *sleeper = go_named("the sleeper", sleep_for_good, NULL);
  gs_handle *caller = go_named("a name of more than thirty-one characters, to be cut", call, NULL);
  while (!atomic_load(&inside)) gs_sleep(MS(1));
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; gs_sleep(MS(1))) {
    take_dump();
    if (tells(receiver, NULL, "waiting") && tells(sleeper, NULL, "waiting")) break;
  }

  for (int i = 0; i < 3; i++) {
    memset(text, 0, sizeof text);
    if (i == 0) take_dump();
    if (i == 1) CHECK_CODE(gs_cgocall(dump_in_a_call, NULL, NULL), GS_OK);
    if (i == 2) {
      atomic_int done = 0;
      pthread_t thread;
      CHECK_INT(pthread_create(&thread, NULL, dump_on_a_thread, &done), 0);
      while (!atomic_load(&done)) gs_sleep(MS(1));
      pthread_join(thread, NULL);
    }
    expect_line(gs_handle_id(receiver), "the receiver", "waiting");
    expect_line(gs_handle_id(sleeper), "the sleeper", "waiting");
    expect_line(gs_handle_id(caller), "a name of more than thirty-one ", "syscall");
    /* For how long they wait, as far as anybody has seen: the dump before this one, at least. */
    const char *line = line_of(gs_handle_id(receiver), "the receiver");
    CHECK(strstr(line, "] for ") && strstr(line, " ms, domain native"));
    CHECK(strstr(text, "thirty-one c") == NULL);
#ifndef TEST_EMULATOR /* it has no process_vm_readv */
    CHECK(strstr(text, "]\n      ") || strstr(text, "native\n      ")); /* where one waits */
#endif
    line_of(gs_self(), NULL);
    CHECK(strstr(text, "M0") != NULL);
    CHECK(strstr(text, "P0") != NULL);
    CHECK(strstr(text, "P1") != NULL);
  }
  /* Once the call has lost its P it is known since when it lasts. */
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; gs_sleep(MS(5))) {
    take_dump();
    if (strstr(line_of(gs_handle_id(caller), NULL), " for ") != NULL) break;
  }
  expect_line(gs_handle_id(caller), NULL, " for ");
  atomic_store(&leave, 1);
  CHECK_CODE(gs_chan_close(c), GS_OK);
  CHECK_CODE(gs_cancel(sleeper), GS_OK);
  join(receiver);
  join(sleeper);
  join(caller);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_dump(void **state) {
  (void)state;
  run_procs(PROCS, dump_all, NULL);
}

static void test_dump_without_a_run(void **state) {
  (void)state;
  take_dump();
  assert_int_equal(checks_failed(), 0);
}

/* While everything moves: whatever it prints, it ends and harms nobody. */
static void move(void *arg) {
  atomic_int *stop = arg;
  while (!atomic_load(stop)) {
    int ms = 0;
    gs_yield();
    gs_cgocall(block_ms, &ms, NULL);
    gs_sleep(US(10));
  }
}

static void dump_while_all_move(void *arg) {
  (void)arg;
  atomic_int stop = 0;
  gs_handle *h[30];
  for (size_t i = 0; i < COUNT(h); i++) h[i] = go_named("mover", move, &stop);
  for (int i = 0; i < SCALE(100); i++) {
    take_dump();
    CHECK(strstr(text, "mover") != NULL);
    gs_yield();
  }
  atomic_store(&stop, 1);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
}

static void test_dump_while_all_move(void **state) {
  (void)state;
  run_procs(PROCS, dump_while_all_move, NULL);
}

static void identity_on_g(void *arg) {
  (void)arg;
  CHECK(gs_mid() >= 0);
  CHECK(gs_gdata() != NULL);
  void **slot = gs_gdata();
  *slot = &inside;
  gs_sleep(US(100));
  gs_yield();
  CHECK(gs_gdata() == slot);
  CHECK(*gs_gdata() == &inside);
}

static void identities(void *arg) {
  (void)arg;
  CHECK_INT(gs_mid(), 0);
  for (int i = 0; i < 20; i++) join(go_named("has a word of its own", identity_on_g, NULL));
}

static void test_identities(void **state) {
  (void)state;
  assert_int_equal(gs_mid(), -1);
  assert_null(gs_gdata());
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = PROCS;
  cfg.flags = GS_RUN_LOCK_MAIN;
  run_config(&cfg, identities, NULL);
  assert_null(gs_gdata());
}

/* ---- a green thread in C: since when, where, and where it came from ---- */

static atomic_int in_c, let_go;

/* Sleeps in libc now and then: that is where the dump finds it. */
static int sit_in_c(void *arg) {
  atomic_store(&in_c, 1);
  return block_until(arg);
}

static void goes_into_c(void *arg) {
  int result = 0;
  CHECK_CODE(gs_cgocall(sit_in_c, arg, &result), GS_OK);
  CHECK_INT(result, 1);
}

static void dump_of_a_call(void *arg) {
  (void)arg;
  atomic_store(&in_c, 0);
  atomic_store(&let_go, 0);
  gs_handle *h = go_named("sits in C", goes_into_c, &let_go);
  while (!atomic_load(&in_c)) gs_sleep(US(100));
  int64_t end = gs_now() + PATIENCE;
  for (bool found = false; !found && gs_now() < end; gs_sleep(MS(1))) {
    take_dump();
    const char *at = strstr(text, "\"sits in C\": syscall");
    const char *since = at ? strstr(at, "is in C for ") : NULL;
    const char *libc = since ? strstr(since, "(libc.so") : NULL;
    const char *own = libc ? strstr(libc, "called from the green thread's own frames:") : NULL;
    found = own && strchr(own, '+');
  }
  CHECK(gs_now() < end);
  if (gs_now() >= end) fprintf(stderr, "%.4000s\n", text);
  atomic_store(&let_go, 1);
  join(h);
}

static void test_a_green_thread_in_c(void **state) {
  (void)state;
  skip_emulated("there is no process_vm_readv to look at stacks with");
  run_procs(PROCS, dump_of_a_call, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dump_without_a_run),  cmocka_unit_test(test_dump),
      cmocka_unit_test(test_dump_while_all_move), cmocka_unit_test(test_identities),
      cmocka_unit_test(test_dump_without_a_run),  cmocka_unit_test(test_a_green_thread_in_c),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
