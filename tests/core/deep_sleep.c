/* deep_sleep.c: a process in which nothing happens is never woken.
 *
 * While every green thread waits - parked, in a long call, asleep in code that declared nothing,
 * for a far deadline - all threads of the runtime sleep until something happens.  An outside thread
 * counts the voluntary context switches of each of them over a second.  On a busy machine the
 * threads may need a while to come to rest, so it takes the first second without any.
 */
#include "support.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

enum { PROCS = 2, TRIES = 12 };

/* The runtime's threads by name, and the process's first one; not a sanitizer's, nor this one,
 * which has inherited a name. */
static bool counts(const char *tid, const char *comm) {
  if (atol(tid) == my_tid()) return false;
  return strncmp(comm, "gosched-", 8) == 0 || atol(tid) == getpid();
}

static long switches_of(const char *tid, bool show) {
  char path[320], line[256], comm[64] = "";
  long n = 0;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  while (fgets(line, sizeof line, f)) {
    sscanf(line, "Name: %63[^\n]", comm);
    sscanf(line, "voluntary_ctxt_switches: %ld", &n);
  }
  fclose(f);
  if (show) fprintf(stderr, "%s %s: %ld\n", tid, comm, n);
  return counts(tid, comm) ? n : 0;
}

static long all_switches(bool show) {
  long sum = 0;
  struct dirent *e;
  DIR *d = opendir("/proc/self/task");
  if (!d) return -1;
  while ((e = readdir(d)) != NULL)
    if (e->d_name[0] != '.') sum += switches_of(e->d_name, show);
  closedir(d);
  return sum;
}

typedef struct rest {
  gs_chan *done; /* has room for one; told when the count is over */
  long least;    /* switches in the quietest second */
} rest;

static void *count(void *arg) {
  rest *r = arg;
  char x = 0;
  r->least = LONG_MAX;
  usleep(200000);
  for (int i = 0; i < TRIES && r->least > 0; i++) {
    bool show = i == TRIES - 1; /* who it is, if it fails */
    long before = all_switches(show);
    usleep(1000000);
    long n = all_switches(show) - before;
    if (n < r->least) r->least = n;
  }
  CHECK_CODE(gs_chan_try_send(r->done, &x), GS_OK);
  return NULL;
}

static void set_flag(void *arg) { atomic_store((atomic_int *)arg, 1); }

static int wait_for_flag(void *arg) { return block_until(arg); }

/* What woke up hands a P over as before. */
static void hand_off(void) {
  static gs_site site = {.name = "wait_for_flag"};
  atomic_int flag = 0;
  int seen = 0;
  go(set_flag, &flag);
  CHECK_CODE(gs_cgocall_site(&site, wait_for_flag, &flag, &seen), GS_OK);
  CHECK_INT(seen, 1);
}

static void rest_for_a_second(void) {
  pthread_t counter;
  char x;
  rest r = {.done = chan_new(1, 1)};
  CHECK_INT(pthread_create(&counter, NULL, count, &r), 0);
  CHECK_CODE(gs_chan_recv(r.done, &x, GS_FOREVER), GS_OK);
  pthread_join(counter, NULL);
  CHECK_INT(r.least, 0);
  CHECK_CODE(gs_chan_free(r.done), GS_OK);
  hand_off();
}

/* ---- idle ---- */

static void idle(void *arg) {
  (void)arg;
  hand_off(); /* there are some threads */
  rest_for_a_second();
}

static void test_idle(void **state) {
  (void)state;
  run_procs(PROCS, idle, NULL);
}

/* ---- one in a call, one waiting for a far deadline ---- */

static int read_byte(void *arg) {
  char byte;
  return (int)read(*(int *)arg, &byte, 1);
}

static void in_a_call(void *arg) {
  int n = 0;
  CHECK_CODE(gs_cgocall(read_byte, arg, &n), GS_OK);
  CHECK_INT(n, 1);
}

static void far_deadline(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(MS(1000) * 3600), GS_ECANCELED);
}

static void call_and_far_timer(body_fn waits) {
  int fds[2];
  CHECK_INT(pipe(fds), 0);
  gs_handle *call = go_named("waits", waits, &fds[0]);
  gs_handle *sleeper = go_named("far deadline", far_deadline, NULL);
  rest_for_a_second();
  CHECK_CODE(gs_cancel(sleeper), GS_OK);
  CHECK_INT(write(fds[1], "x", 1), 1);
  join(sleeper);
  join(call);
  close(fds[0]);
  close(fds[1]);
}

static void declared(void *arg) {
  (void)arg;
  call_and_far_timer(in_a_call);
}

static void test_call_and_far_timer(void **state) {
  (void)state;
  run_procs(PROCS, declared, NULL);
}

/* ---- one asleep in code that declared nothing ---- */

static void asleep_undeclared(void *arg) { CHECK_INT(read_byte(arg), 1); }

static void undeclared(void *arg) {
  (void)arg;
  call_and_far_timer(asleep_undeclared);
}

static void test_undeclared_and_far_timer(void **state) {
  (void)state;
  run_procs(PROCS, undeclared, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_idle),
      cmocka_unit_test(test_call_and_far_timer),
      cmocka_unit_test(test_undeclared_and_far_timer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
