/* tell.c: what languages tell of their green threads, in the one dump.
 *
 * Here the languages are made of C: a teller whose hook starts a green thread of its domain, one
 * that is served by a thread, one that never comes.
 */
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gosched_domain.h"
#include "runtime.h"

enum { PROCS = 2 };

static char text[1 << 20];

static void read_back(FILE *f) {
  rewind(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
}

static void take_dump(const gs_teller *own) {
  FILE *f = tmpfile();
  CHECK(f != NULL);
  if (!f) return;
  gs_dump_others(fileno(f), own);
  read_back(f);
  fclose(f);
}

static bool says(const char *what) {
  if (strstr(text, what)) return true;
  fprintf(stderr, "no \"%s\" in:\n%.6000s\n", what, text);
  return false;
}

/* What is left behind where one fails would keep the others waiting for a minute each. */
#define MUST(what)                                                       \
  do {                                                                   \
    if (!(what)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
      _exit(1);                                                          \
    }                                                                    \
  } while (0)

static void wait_for(int64_t ns) { store_rlx(&tell_patience, ns); }
static void wait_longer(void) { wait_for(PATIENCE); }
static void wait_shortly(void) { wait_for(MS(30)); }

/* ---- a language whose interpreter is a domain with one P ---- */

typedef struct {
  gs_domain *domain;
  gs_teller *teller;
  int runs; /* with the turn: green threads of it that are not parked now; 1: the one that looks */
  atomic_int asked;
} Language;

static void tell_it(void *arg) {
  Language *l = arg;
  char answer[64];
  if (!gs_tell_begin(l->teller)) return;
  l->runs++;
  snprintf(answer, sizeof answer, "  a frame of the language, %d run\n", l->runs);
  l->runs--;
  gs_tell_end(l->teller, answer, strlen(answer));
}

static int ask_domain(void *ud) {
  Language *l = ud;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.domain = l->domain;
  opts.flags = GS_GO_SYSTEM;
  atomic_fetch_add(&l->asked, 1);
  return gs_go_opts(&opts, tell_it, l, NULL);
}

static void language_new(Language *l, const char *name) {
  static const gs_domain_ops ops = {.size = sizeof ops};
  memset(l, 0, sizeof *l);
  assert_int_equal(gs_domain_new(name, 1, 0, &ops, NULL, &l->domain), GS_OK);
  assert_int_equal(gs_teller_new(name, ask_domain, l, &l->teller), GS_OK);
}

static Language lang;
static atomic_int enough;

static void waits_there(void *arg) { CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_ECLOSED); }

static void computes_there(void *arg) {
  (void)arg;
  while (!atomic_load(&enough)) {
    for (volatile int i = 0; i < 1000; i++) continue;
    gs_yield();
  }
}

static void dump_of_a_domain(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(0, 0);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h[2];
  opts.domain = lang.domain;
  opts.name = "waits there";
  CHECK_CODE(gs_go_opts(&opts, waits_there, c, &h[0]), GS_OK);
  opts.name = "computes there";
  CHECK_CODE(gs_go_opts(&opts, computes_there, NULL, &h[1]), GS_OK);
  wait_longer();
  for (int i = 0; i < 20; i++) {
    take_dump(NULL);
    MUST(says("green threads in a language:\n  a frame of the language, 1 run\n"));
    MUST(says("\"waits there\""));
    MUST(says("\"computes there\""));
  }
  CHECK_INT(atomic_load(&lang.asked), 20);
  take_dump(lang.teller); /* its own text comes afterwards, from the caller */
  CHECK_INT(atomic_load(&lang.asked), 20);
  const char *last = strstr(text, "green threads in a language:\n");
  CHECK(last && !strchr(last, '\n')[1]);
  atomic_store(&enough, 1);
  CHECK_CODE(gs_chan_close(c), GS_OK);
  join(h[0]);
  join(h[1]);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_a_domain(void **state) {
  (void)state;
  language_new(&lang, "a language");
  run_procs(PROCS, dump_of_a_domain, NULL);
  take_dump(NULL); /* no run: the hook cannot start anything */
  MUST(!strstr(text, "green threads in a language"));
  gs_teller_end(lang.teller);
}

/* ---- in a deadlock, which is told once ---- */

static atomic_int deadlocks;
static gs_chan *wakes_one; /* one rests here, and main on the other one */
static gs_chan *wakes_main;

static int put_off(const char *report, void *ud) {
  (void)ud;
  CHECK(strstr(report, "asleep") != NULL);
  atomic_fetch_add(&deadlocks, 1);
  return 1;
}

static void told_times(int n) {
  int64_t until = gs_now() + PATIENCE;
  while (atomic_load(&deadlocks) < n && gs_now() < until) usleep(1000);
  MUST(atomic_load(&deadlocks) == n);
}

static void rests_there(void *arg) {
  int r = GS_OK;
  (void)arg;
  while (r == GS_OK) r = gs_chan_recv(wakes_one, NULL, GS_FOREVER);
  CHECK_CODE(r, GS_ECLOSED);
}

/* From outside.  The naps make it likely that a wrong telling has come. */
static void *dumps_while_asleep(void *arg) {
  (void)arg;
  told_times(1);
  for (int i = 0; i < 5; i++) {
    take_dump(NULL);
    MUST(says("green threads in a language:\n  a frame of the language, 1 run\n"));
    usleep(20000);
  }
  told_times(1);
  CHECK_CODE(gs_chan_try_send(wakes_one, NULL), GS_OK); /* the same ones, but one has run */
  told_times(2);
  take_dump(NULL);
  usleep(20000);
  told_times(2);
  CHECK_CODE(gs_chan_close(wakes_one), GS_OK); /* main is left */
  told_times(3);
  take_dump(NULL);
  usleep(20000);
  told_times(3);
  CHECK_CODE(gs_chan_try_send(wakes_main, NULL), GS_OK);
  return NULL;
}

static void sleeps_with_one(void *arg) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h;
  pthread_t t;
  opts.domain = lang.domain;
  wakes_one = chan_new(0, 0);
  wakes_main = chan_new(0, 1);
  wait_longer();
  CHECK_CODE(gs_go_opts(&opts, rests_there, NULL, &h), GS_OK);
  CHECK_INT(pthread_create(&t, NULL, (void *(*)(void *))arg, NULL), 0);
  CHECK_CODE(gs_chan_recv(wakes_main, NULL, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
  (void)gs_chan_close(wakes_one);
  join(h);
  CHECK_CODE(gs_chan_free(wakes_one), GS_OK);
  CHECK_CODE(gs_chan_free(wakes_main), GS_OK);
}

static void run_in_a_deadlock(void *(*fn)(void *)) {
  atomic_store(&deadlocks, 0);
  language_new(&lang, "a language");
  gs_on_deadlock(put_off, NULL);
  run_procs(PROCS, sleeps_with_one, (void *)fn);
  gs_on_deadlock(NULL, NULL);
  gs_teller_end(lang.teller);
}

static void test_deadlock_once(void **state) {
  (void)state;
  run_in_a_deadlock(dumps_while_asleep);
}

/* ---- but again, if somebody has asked meanwhile and heard that there is none ---- */

static atomic_int answering, answer_now;

static void answers_slowly(void *arg) {
  atomic_store(&answering, 1);
  while (!atomic_load(&answer_now)) usleep(1000);
  tell_it(arg);
}

static int ask_slowly(void *ud) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.domain = lang.domain;
  opts.flags = GS_GO_SYSTEM;
  return gs_go_opts(&opts, answers_slowly, ud, NULL);
}

static void *dumps_and_hangs(void *arg) {
  (void)arg;
  take_dump(NULL);
  MUST(says("  a frame of the language, 1 run\n"));
  return NULL;
}

static void *asks_meanwhile(void *arg) {
  (void)arg;
  Language slow = lang;
  told_times(1);
  gs_teller_end(lang.teller);
  CHECK_CODE(gs_teller_new("a slow language", ask_slowly, &slow, &slow.teller), GS_OK);
  for (int i = 0; i < 3; i++) {
    pthread_t t;
    atomic_store(&answering, 0);
    atomic_store(&answer_now, 0);
    CHECK_INT(pthread_create(&t, NULL, dumps_and_hangs, NULL), 0);
    while (!atomic_load(&answering)) usleep(1000);
    CHECK_INT(gs_deadlocked(0), 0); /* who looks again and again would end here */
    told_times(i + 1);
    atomic_store(&answer_now, 1);
    pthread_join(t, NULL);
    told_times(i + 2);
    CHECK_INT(gs_deadlocked(0), 1);
  }
  gs_teller_end(slow.teller);
  lang.teller = NULL;
  CHECK_CODE(gs_chan_try_send(wakes_main, NULL), GS_OK);
  return NULL;
}

static void test_deadlock_denied(void **state) {
  (void)state;
  run_in_a_deadlock(asks_meanwhile);
}

/* ---- one that has the turn and keeps it ---- */

static atomic_int keeping, keep_no_more;

static void keeps_the_turn(void *arg) {
  (void)arg;
  atomic_store(&keeping, 1);
  while (!atomic_load(&keep_no_more)) usleep(1000);
}

static void dump_while_busy(void *arg) {
  (void)arg;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  gs_handle *h;
  opts.domain = lang.domain;
  CHECK_CODE(gs_go_opts(&opts, keeps_the_turn, NULL, &h), GS_OK);
  while (!atomic_load(&keeping)) gs_sleep(MS(1));
  wait_shortly();
  for (int i = 0; i < 3; i++) {
    take_dump(NULL);
    MUST(says("green threads in a busy language: busy, they have not answered in time\n"));
  }
  CHECK_INT(atomic_load(&lang.asked), 1); /* no more wait there than one */
  atomic_store(&keep_no_more, 1);
  join(h);
  wait_longer();
  take_dump(NULL);
  MUST(says("green threads in a busy language:\n  a frame"));
}

static void test_busy(void **state) {
  (void)state;
  language_new(&lang, "a busy language");
  run_procs(PROCS, dump_while_busy, NULL);
  gs_teller_end(lang.teller);
}

/* ---- one that is served by a thread, and takes its time ---- */

typedef struct {
  gs_teller *teller;
  sem_t asked, gate;
  atomic_int over, answers;
  pthread_t thread;
} Server;

static int ask_thread(void *ud) { return sem_post(&((Server *)ud)->asked); }

static void *serve(void *arg) {
  Server *s = arg;
  for (;;) {
    while (sem_wait(&s->asked) != 0) continue;
    if (atomic_load(&s->over)) return NULL;
    while (sem_wait(&s->gate) != 0) continue;
    if (!gs_tell_begin(s->teller)) continue;
    atomic_fetch_add(&s->answers, 1);
    gs_tell_end(s->teller, "  served\n", 9);
  }
}

static void server_start(Server *s, const char *name) {
  memset(s, 0, sizeof *s);
  assert_int_equal(sem_init(&s->asked, 0, 0), 0);
  assert_int_equal(sem_init(&s->gate, 0, 0), 0);
  assert_int_equal(gs_teller_new(name, ask_thread, s, &s->teller), GS_OK);
  assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_end(Server *s) {
  atomic_store(&s->over, 1);
  sem_post(&s->asked);
  sem_post(&s->gate);
  pthread_join(s->thread, NULL);
  gs_teller_end(s->teller);
}

/* The answer to the first dump comes too late for it, and just when the second one asks: it is for
 * that one, or another one is asked for. */
static void test_a_late_one(void **state) {
  Server s;
  int late = 0;
  (void)state;
  server_start(&s, "a late language");
  for (int i = 0; i < SCALE(200); i++) {
    wait_for(MS(1));
    take_dump(NULL);
    late += strstr(text, "busy, they have not answered in time") != NULL;
    wait_longer();
    sem_post(&s.gate);
    sem_post(&s.gate); /* if the first comes too early */
    take_dump(NULL);
    MUST(says("green threads in a late language:\n  served\n"));
    while (sem_trywait(&s.gate) == 0) continue;
  }
  MUST(late > 0);
  server_end(&s);
  take_dump(NULL);
  MUST(!strstr(text, "a late language"));
}

/* The dumper gives up while it is being told: it has the text or says that they are busy. */
static void test_given_up_while_told(void **state) {
  Server s;
  int told = 0, busy = 0;
  (void)state;
  server_start(&s, "a slow language");
  for (int i = 0; i < SCALE(2000); i++) {
    wait_for(i % 2 ? 0 : PATIENCE);
    sem_post(&s.gate);
    take_dump(NULL);
    bool is_told = strstr(text, "a slow language:\n  served\n");
    bool is_busy = strstr(text, "a slow language: busy");
    MUST(is_told != is_busy);
    told += is_told;
    busy += is_busy;
  }
  MUST(told > 0 && busy > 0);
  server_end(&s);
}

/* ---- several dumps at once, tellers that come and go, forks ---- */

static atomic_int stop_all;

static void *dump_again_and_again(void *arg) {
  (void)arg;
  while (!atomic_load(&stop_all)) {
    FILE *f = tmpfile();
    if (!f) break;
    gs_dump(fileno(f));
    fclose(f);
  }
  return NULL;
}

static void test_many_at_once(void **state) {
  pthread_t dumpers[3];
  Server s;
  (void)state;
  wait_longer();
  atomic_store(&stop_all, 0);
  server_start(&s, "one that stays");
  for (int i = 0; i < 10000; i++) sem_post(&s.gate);
  for (size_t i = 0; i < COUNT(dumpers); i++)
    assert_int_equal(pthread_create(&dumpers[i], NULL, dump_again_and_again, NULL), 0);
  for (int i = 0; i < SCALE(200); i++) {
    Server other;
    server_start(&other, "one that goes");
    sem_post(&other.gate);
    sem_post(&other.gate);
    if (i % 3) usleep(300);
    server_end(&other);
    for (int k = 0; k < 50; k++) sem_post(&s.gate);
  }
  atomic_store(&stop_all, 1);
  for (int i = 0; i < 10000; i++) sem_post(&s.gate);
  for (size_t i = 0; i < COUNT(dumpers); i++) pthread_join(dumpers[i], NULL);
  server_end(&s);
}

static void dump_in_a_child(void *arg) {
  Server *s = arg;
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    take_dump(NULL);
    MUST(says("not asked for stacks: this is a child of fork that runs nothing yet\n"));
    gs_teller_end(s->teller);
    take_dump(NULL);
    _exit(checks_failed() == 0 ? 0 : 1);
  }
  int status = -1;
  CHECK_INT(waitpid(pid, &status, 0), pid);
  CHECK_INT(status, 0);
  sem_post(&s->gate);
  take_dump(NULL);
  MUST(says("a forked language:\n  served\n"));
}

static void test_fork(void **state) {
  Server s;
  (void)state;
  wait_longer();
  server_start(&s, "a forked language");
  run_procs(PROCS, dump_in_a_child, &s);
  server_end(&s);
}

/* ---- where nobody is asked, and where nobody is there ---- */

static int nobody(void *ud) {
  (void)ud;
  return -1;
}

static void dump_in_a_stopped_world(void *arg) {
  (void)arg;
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  take_dump(NULL);
  CHECK_CODE(gs_start_world(), GS_OK);
  MUST(says("other languages are not asked for stacks: the world is stopped\n"));
}

static atomic_int dumped_by_sysmon;

static int dump_and_go_on(const char *report, void *ud) {
  (void)report;
  take_dump(NULL);
  MUST(says("other languages are not asked for stacks: this is the runtime's own thread\n"));
  atomic_store(&dumped_by_sysmon, 1);
  CHECK_CODE(gs_chan_try_send(ud, NULL), GS_OK);
  return 1;
}

static void dump_in_a_callback(void *arg) {
  CHECK_CODE(gs_chan_recv(arg, NULL, GS_FOREVER), GS_OK);
  CHECK_INT(atomic_load(&dumped_by_sysmon), 1);
}

static void test_not_asked(void **state) {
  gs_teller *t;
  (void)state;
  wait_longer();
  assert_int_equal(gs_teller_new("nobody's", nobody, NULL, &t), GS_OK);
  take_dump(NULL);
  assert_null(strstr(text, "nobody's"));
  run_procs(PROCS, dump_in_a_stopped_world, NULL);
  gs_chan *c = chan_new(0, 1);
  gs_on_deadlock(dump_and_go_on, c);
  run_procs(PROCS, dump_in_a_callback, c);
  gs_on_deadlock(NULL, NULL);
  assert_int_equal(gs_chan_free(c), GS_OK);
  gs_teller_end(t);
}

/* ---- in a signal handler, and for SIGQUIT ---- */

static int dump_to;

static void on_signal(int sig) {
  (void)sig;
  gs_dump(dump_to);
}

static void test_in_a_handler(void **state) {
  Server s;
  FILE *f = tmpfile();
  (void)state;
  assert_non_null(f);
  wait_longer();
  server_start(&s, "a language");
  dump_to = fileno(f);
  signal(SIGUSR1, on_signal);
  sem_post(&s.gate);
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_DFL);
  read_back(f);
  MUST(says("a language:\n  served\n"));
  fclose(f);
  server_end(&s);
}

static void wait_for_dump(void *arg) {
  Server *s = arg;
  FILE *f = tmpfile();
  int err = dup(2);
  CHECK(f && err >= 0 && dup2(fileno(f), 2) == 2);
  sem_post(&s->gate);
  kill(getpid(), SIGQUIT);
  int64_t end = gs_now() + PATIENCE;
  do {
    gs_sleep(MS(1));
    ssize_t n = pread(fileno(f), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
  } while (!strstr(text, "a language:\n  served\n") && gs_now() < end);
  dup2(err, 2);
  MUST(says("a language:\n  served\n"));
  fclose(f);
}

static void test_sigquit(void **state) {
  Server s;
  gs_config cfg = GS_CONFIG_DEFAULT;
  (void)state;
  wait_longer();
  server_start(&s, "a language");
  cfg.procs = PROCS;
  cfg.flags = GS_RUN_DUMP_ON_SIGQUIT;
  run_config(&cfg, wait_for_dump, &s);
  server_end(&s);
}

static void test_bad_arguments(void **state) {
  gs_teller *t;
  (void)state;
  assert_int_equal(gs_teller_new(NULL, nobody, NULL, &t), GS_EINVAL);
  assert_string_equal(gs_error_detail(), "gs_teller_new: language is NULL");
  assert_int_equal(gs_teller_new("x", NULL, NULL, &t), GS_EINVAL);
  assert_string_equal(gs_error_detail(), "gs_teller_new: ask is NULL");
  assert_int_equal(gs_teller_new("x", nobody, NULL, NULL), GS_EINVAL);
  assert_string_equal(gs_error_detail(), "gs_teller_new: out is NULL");
  gs_teller_end(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_a_domain),
      cmocka_unit_test(test_deadlock_once),
      cmocka_unit_test(test_deadlock_denied),
      cmocka_unit_test(test_busy),
      cmocka_unit_test(test_a_late_one),
      cmocka_unit_test(test_given_up_while_told),
      cmocka_unit_test(test_many_at_once),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_not_asked),
      cmocka_unit_test(test_in_a_handler),
      cmocka_unit_test(test_sigquit),
  };
  setenv("GOSCHED_DUMP_WAIT_MS", "30000", 1); /* what each run begins with */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
