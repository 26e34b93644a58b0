/* odd_calls.c: foreign code that does to its thread what a thread's owner may do: switches stacks,
 * sets its signal mask and its alternate signal stack, makes threads, forks.  Everything goes on.
 */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PROCS = 2 };

/* Other green threads make the Ms do something between two calls. */
static void stir(void) {
  int ms = 1;
  gs_yield();
  CHECK_CODE(gs_sleep(US(100)), GS_OK);
  CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
}

/* ---- coroutines of C's own, resumed by one call after the other, from any thread ---- */

#if !SANITIZED /* the sanitizers know no stacks but those they are told of */
typedef struct coroutine {
  ucontext_t caller, self;
  char *room;
  int next, over;
} coroutine;

static __thread coroutine *starting;

static void count_to_ten(void) {
  coroutine *c = starting;
  for (int i = 1; i <= 10; i++) {
    c->next = i;
    swapcontext(&c->self, &c->caller);
  }
  c->over = 1;
  swapcontext(&c->self, &c->caller);
}

static int coroutine_make(void *arg) {
  coroutine *c = arg;
  c->room = malloc(64 << 10);
  getcontext(&c->self);
  c->self.uc_stack.ss_sp = c->room;
  c->self.uc_stack.ss_size = 64 << 10;
  makecontext(&c->self, count_to_ten, 0);
  return 0;
}

/* On a coroutine's stack in a callback: foreign calls are made as from anywhere else. */
static void call_from_there(void) {
  coroutine *c = starting;
  int ms = 1;
  for (int i = 0; i < 3; i++) CHECK_CODE(gs_cgocall(block_ms, &ms, NULL), GS_OK);
  c->next = 1;
  swapcontext(&c->self, &c->caller);
}

static int coroutine_resume(void *arg) {
  coroutine *c = arg;
  starting = c;
  swapcontext(&c->caller, &c->self);
  return c->over;
}

static void use_coroutine(void *arg) {
  coroutine c = {.next = 0};
  int over = 0;
  CHECK_CODE(gs_cgocall(coroutine_make, &c, NULL), GS_OK);
  for (int i = 1; i <= 10; i++) {
    CHECK_CODE(gs_cgocall(coroutine_resume, &c, &over), GS_OK);
    CHECK_INT(c.next, i);
    CHECK_INT(over, 0);
    if (i % 3 == 0) stir();
  }
  CHECK_CODE(gs_cgocall(coroutine_resume, &c, &over), GS_OK);
  CHECK_INT(over, 1);
  free(c.room);
  wg_done(arg);
}

static void coroutines(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 8; i++) go(use_coroutine, &wg);
  wg_wait(&wg, 8);
}

static void resume_in_g(void *arg) {
  coroutine *c = arg;
  coroutine_make(c);
  makecontext(&c->self, call_from_there, 0);
  coroutine_resume(c);
  free(c->room);
}

static int resume_in_callback(void *arg) { return gs_cgocallback(resume_in_g, arg); }

static void calls_from_coroutines(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    coroutine c = {.next = 0};
    int code = -1;
    CHECK_CODE(gs_cgocall(resume_in_callback, &c, &code), GS_OK);
    CHECK_CODE(code, GS_OK);
    CHECK_INT(c.next, 1);
  }
}

/* Calling back from there is refused, and the call is none the worse for it. */
static int codes[3];

static void never(void *arg) { *(int *)arg = 99; }

static void call_back_strangely(void) {
  int n = 0;
  codes[0] = gs_cgocallback(never, &n);
  codes[1] = gs_sleep(1000);
  codes[2] = n;
  swapcontext(&starting->self, &starting->caller);
}

static int from_a_strange_stack(void *arg) {
  coroutine *c = arg;
  coroutine_make(c);
  makecontext(&c->self, call_back_strangely, 0);
  coroutine_resume(c);
  free(c->room);
  return 7;
}

static void strange_callback(void *arg) {
  (void)arg;
  coroutine c = {.next = 0};
  int result = 0;
  for (int i = 0; i < 30; i++) {
    codes[2] = 5;
    CHECK_CODE(gs_cgocall(from_a_strange_stack, &c, &result), GS_OK);
    CHECK_INT(result, 7);
    CHECK_CODE(codes[0], GS_EPERM);
    CHECK_CODE(codes[1], GS_EPERM);
    CHECK_INT(codes[2], 0);
    stir();
  }
}
#endif

static void test_stacks_of_its_own(void **state) {
  (void)state;
#if SANITIZED
  print_message("skipped: the sanitizers know no stacks but those they are told of\n");
  skip();
#else
  run_procs(1, coroutines, NULL);
  run_procs(PROCS, coroutines, NULL);
  run_procs(PROCS, calls_from_coroutines, NULL);
  run_procs(PROCS, strange_callback, NULL);
#endif
}

/* ---- the signal mask ---- */

static int block_everything(void *arg) {
  sigset_t all;
  sigfillset(&all);
  return pthread_sigmask(SIG_BLOCK, &all, arg);
}

static void blocks_signals(void *arg) {
  for (int i = 0; i < 10; i++) {
    CHECK_CODE(gs_cgocall(block_everything, NULL, NULL), GS_OK);
    stir();
  }
  wg_done(arg);
}

static void cancel_and_time_out(void *arg) {
  int v = 0;
  gs_chan *c = chan_new(sizeof v, 0);
  for (int i = 0; i < 10; i++) CHECK_CODE(gs_chan_recv(c, &v, gs_now() + US(200)), GS_ETIMEOUT);
  CHECK_CODE(gs_chan_free(c), GS_OK);
  wg_done(arg);
}

static void masked(void *arg) {
  (void)arg;
  wait_group wg;
  wg_init(&wg);
  for (int i = 0; i < 6; i++) go(i % 2 ? blocks_signals : cancel_and_time_out, &wg);
  wg_wait(&wg, 6);
}

static int masks(void) {
  run_procs(PROCS, masked, NULL);
  return 0;
}

/* In a child: the process's own thread, which ran some of it, keeps the mask. */
static void test_signal_mask(void **state) {
  (void)state;
  static child c;
  child_run(&c, "masks", NULL);
  assert_child_exit(&c, 0);
}

/* ---- the alternate signal stack ---- */

static char its_room[1 << 16];
static atomic_int handled_there;

static void on_usr1(int sig) {
  char here;
  (void)sig;
  if (&here >= its_room && &here < its_room + sizeof its_room) atomic_store(&handled_there, 1);
}

/* As a library does that is well behaved. */
static int borrow_altstack(void *arg) {
  stack_t mine = {.ss_sp = its_room, .ss_size = sizeof its_room}, old;
  struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK}, was;
  (void)arg;
  sigaction(SIGUSR1, &sa, &was);
  if (sigaltstack(&mine, &old)) return -1;
  raise(SIGUSR1);
  if (sigaltstack(&old, NULL)) return -1;
  sigaction(SIGUSR1, &was, NULL);
  return 0;
}

/* And one that is not. */
static int disable_altstack(void *arg) {
  stack_t off = {.ss_flags = SS_DISABLE};
  (void)arg;
  return sigaltstack(&off, NULL);
}

static __attribute__((noinline)) int recurse(int depth) {
  volatile char frame[256];
  frame[depth % 256] = (char)depth;
  if (depth == INT_MAX) return 0;
  return recurse(depth + 1) + frame[depth % 256];
}

static void dig(void *arg) { *(int *)arg = recurse(0); }

static void dig_after(int (*fn)(void *), int idle) {
  int depth = 0, result = -1;
  CHECK_CODE(gs_cgocall(fn, NULL, &result), GS_OK);
  CHECK_INT(result, 0);
  for (int i = 0; i < idle; i++) CHECK_CODE(gs_sleep(MS(1)), GS_OK);
  if (fn == borrow_altstack) CHECK(atomic_load(&handled_there));
  if (checks_failed()) return;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "digger";
  gs_handle *h = NULL;
  gs_go_opts(&opts, dig, &depth, &h);
  gs_join(h, GS_FOREVER);
}

static void dig_after_borrowing(void *arg) {
  (void)arg;
  dig_after(borrow_altstack, 0);
}

static void dig_after_disabling(void *arg) {
  (void)arg;
  dig_after(disable_altstack, 20);
}

static int borrows(void) {
  run_procs(1, dig_after_borrowing, NULL);
  return 0;
}

static int disables(void) {
  run_procs(1, dig_after_disabling, NULL);
  return 0;
}

static void test_altstack(void **state) {
  (void)state;
  static child c;
  static const char *const names[] = {"borrows", "disables"};
  for (size_t i = 0; i < COUNT(names); i++) {
    child_run(&c, names[i], NULL);
    assert_child_signal(&c, SIGABRT);
    assert_child_says(&c, "stack overflow in green thread");
    assert_child_says(&c, "\"digger\"");
  }
}

/* ---- threads that outlive the call that made them ---- */

typedef struct maker {
  pthread_t thread;
  atomic_int *flag;
} maker;

static void *set_flag(void *arg) {
  int ms = 2;
  block_ms(&ms);
  atomic_fetch_add((atomic_int *)arg, 1);
  return NULL;
}

static int make_thread(void *arg) {
  maker *m = arg;
  return pthread_create(&m->thread, NULL, set_flag, m->flag);
}

static int join_thread(void *arg) { return pthread_join(((maker *)arg)->thread, NULL); }

static void makes_threads(void *arg) {
  (void)arg;
  atomic_int flag = 0;
  maker m[10];
  int result = -1;
  for (int i = 0; i < 10; i++) {
    m[i].flag = &flag;
    CHECK_CODE(gs_cgocall(make_thread, &m[i], &result), GS_OK);
    CHECK_INT(result, 0);
  }
  stir();
  for (int i = 0; i < 10; i++) { /* by whatever thread it is on now */
    CHECK_CODE(gs_cgocall(join_thread, &m[i], &result), GS_OK);
    CHECK_INT(result, 0);
  }
  CHECK_INT(atomic_load(&flag), 10);
}

static void test_threads(void **state) {
  (void)state;
  run_procs(PROCS, makes_threads, NULL);
}

/* ---- fork, in a call with a deadline, and in one that owns its argument ---- */

static int destroyed;

static void count_destroy(void *arg) {
  (void)arg;
  destroyed++;
}

static void do_nothing(void *arg) { (void)arg; }

static int fork_there(void *arg) {
  pid_t *pid = arg;
  *pid = fork();
  return 17;
}

static void forks(void *arg) {
  int owns = *(int *)arg;
  pid_t pid = -1;
  int result = 0, status = -1;
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = do_nothing;
  o.deadline_ns = gs_now() + PATIENCE;
  o.destroy = owns ? count_destroy : NULL;
  int code = gs_cgocall_opts(&o, fork_there, &pid, &result);
  if (pid == 0) _exit(code == GS_OK && result == 17 ? 40 : 41);
  CHECK_CODE(code, GS_OK);
  CHECK_INT(result, 17);
  CHECK(pid > 0);
  CHECK_INT(waitpid(pid, &status, 0), pid);
  if (owns) return; /* the caller does not go on in the child: the call ends it */
  CHECK(WIFEXITED(status));
  CHECK_INT(WEXITSTATUS(status), 40);
}

static void test_fork(void **state) {
  (void)state;
#if SANITIZED
  print_message("skipped: the sanitizers do not follow green threads into a child\n");
  skip();
#endif
  for (int owns = 0; owns < 2; owns++) run_procs(PROCS, forks, &owns);
}

int main(int argc, char **argv) {
  static const scenario scenarios[] = {
      {"masks", masks}, {"borrows", borrows}, {"disables", disables}};
  scenarios_main(argc, argv, scenarios, COUNT(scenarios));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stacks_of_its_own),
      cmocka_unit_test(test_signal_mask),
      cmocka_unit_test(test_altstack),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_fork),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
