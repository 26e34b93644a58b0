/* embed_guest.c: a guest for tests, of a language whose sources are single commands. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gosched.h"
#include "gosched_domain.h"

#define EXPORT __attribute__((visibility("default")))

static const void *library(void) { return gs_guest_library(); }

extern atomic_int guests_begun, guests_ended, guest_ready; /* of embed.c */

static int begin(void) {
  if (getenv("TEST_GUEST_REFUSES")) return gs_fail(GS_ENOTSUP, "gs_embed: not today");
  atomic_fetch_add(&guests_begun, 1);
  if (getenv("TEST_GUEST_CALLBACK_FAILS")) (void)gs_callback_fail(1, NULL);
  return GS_OK;
}

static void end(void) { atomic_fetch_add(&guests_ended, 1); }

/* ---- commands ---- */

static void wake(void *sem) { sem_post(sem); }

/* Until somebody cancels. */
static void wait_for_stop(gs_guest *g) {
  sem_t told;
  sem_init(&told, 0, 0);
  gs_guest_on_cancel(g, wake, &told);
  while (sem_wait(&told) != 0) continue;
  gs_guest_on_cancel(g, NULL, NULL);
  sem_destroy(&told);
  gs_guest_cancelled(g);
}

typedef struct {
  atomic_int in, out;
} slow;

static void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

static void stop_slowly(void *arg) {
  slow *s = arg;
  atomic_store(&s->in, 1);
  sleep_ms(100);
  atomic_store(&s->out, 1);
}

/* What a canceller uses is there until it is through with it. */
static void take_back(gs_guest *g) {
  slow s = {0, 0};
  gs_guest_on_cancel(g, stop_slowly, &s);
  atomic_store(&guest_ready, 1);
  while (!atomic_load(&s.in)) sleep_ms(1);
  gs_guest_on_cancel(g, NULL, NULL);
  gs_guest_returned(g, atomic_load(&s.out) ? "kept" : "torn", 4);
}

static void stop_until(void *arg) {
  slow *s = arg;
  atomic_store(&s->in, 1);
  while (!atomic_load(&s->out)) sleep_ms(1);
}

/* The child has no canceller that would end, and its guest waits for none. */
static void fork_while_stopped(gs_guest *g) {
  slow s = {0, 0};
  int status = -1;
  gs_guest_on_cancel(g, stop_until, &s);
  atomic_store(&guest_ready, 1);
  while (!atomic_load(&s.in)) sleep_ms(1);
  pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    gs_guest_on_cancel(g, NULL, NULL);
    _exit(0);
  }
  atomic_store(&s.out, 1);
  waitpid(pid, &status, 0);
  gs_guest_on_cancel(g, NULL, NULL);
  if (status == 0)
    gs_guest_returned(g, "went on", 7);
  else
    gs_guest_failed(g, "the child did not go on", NULL);
}

static void set(void *flag) { *(int *)flag = 1; }

/* Who is cancelled before there is anything to be stopped is told when there is. */
static void come_late(gs_guest *g) {
  int told = 0;
  while (!gs_guest_told(g)) sleep_ms(1);
  gs_guest_on_cancel(g, set, &told);
  gs_guest_on_cancel(g, NULL, NULL);
  gs_guest_returned(g, told ? "told" : "not told", told ? 4 : 8);
}

static void add(void *sum) { atomic_fetch_add((atomic_int *)sum, 1); }

static void use_green_threads(gs_guest *g) {
  atomic_int sum = 0;
  char text[16];
  for (int i = 0; i < 10; i++) {
    gs_handle *h;
    gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
    if (gs_go_opts(&opts, add, &sum, &h) != GS_OK) continue;
    gs_join(h, GS_FOREVER);
    gs_handle_release(h);
  }
  snprintf(text, sizeof text, "%d", atomic_load(&sum));
  gs_guest_returned(g, text, strlen(text));
}

static void tell_args(gs_guest *g) {
  char text[256] = "";
  strcat(text, gs_guest_name(g));
  for (const char *const *a = gs_guest_args(g); *a; a++) {
    strcat(text, " ");
    strcat(text, *a);
  }
  gs_guest_returned(g, text, strlen(text));
}

/* A list of 7 and 1.5, and after that what is asked for. */
static void give_value(gs_guest *g, const char *then) {
  gs_value_writer w;
  gs_value v;
  gs_value_text("a text that needs a block of its own", 36, &v);
  gs_guest_value(g, &v);
  gs_value_begin(&w);
  gs_value_put_list(&w);
  gs_value_put_int(&w, 7);
  gs_value_put_double(&w, 1.5);
  gs_value_put_end(&w);
  gs_value_end(&w, &v);
  gs_guest_value(g, &v);
  if (strcmp(then, "fails") == 0)
    gs_guest_failed(g, "it failed", NULL);
  else
    gs_guest_returned(g, "7 1.5", 5);
  gs_value_text("another text that comes too late to count", 41, &v);
  gs_guest_value(g, &v);
}

static void run(gs_guest *g) {
  const char *source = gs_guest_source(g);
  if (gs_guest_here() != g || gs_self() != 0)
    gs_guest_failed(g, "this is not a guest's thread", NULL);
  else if (strncmp(source, "return ", 7) == 0)
    gs_guest_returned(g, source + 7, strlen(source + 7));
  else if (strcmp(source, "return") == 0)
    gs_guest_returned(g, NULL, 0);
  else if (strncmp(source, "value ", 6) == 0)
    give_value(g, source + 6);
  else if (strcmp(source, "fail") == 0)
    gs_guest_failed(g, "it failed", "line 1\nline 2");
  else if (strncmp(source, "exit ", 5) == 0)
    gs_guest_exited(g, atoi(source + 5));
  else if (strcmp(source, "wait") == 0)
    wait_for_stop(g);
  else if (strcmp(source, "take back") == 0)
    take_back(g);
  else if (strcmp(source, "fork while stopped") == 0)
    fork_while_stopped(g);
  else if (strcmp(source, "come late") == 0)
    come_late(g);
  else if (strcmp(source, "green threads") == 0)
    use_green_threads(g);
  else if (strcmp(source, "arguments") == 0)
    tell_args(g);
}

EXPORT extern const gs_guest_plugin gosched_guest;
const gs_guest_plugin gosched_guest = {
    sizeof gosched_guest, GS_GUEST_ABI, "test", library, begin, run, end,
};
