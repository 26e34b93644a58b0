/* scenes.c: a program for debuggers to look at: green threads that wait, are in foreign calls, in
 * callbacks, and run, each in functions of its own, so that a backtrace can be told from another.
 *
 * It prints "ready" when all of them are where they shall be and stays so until its input ends.
 *
 * With the argument "mprotect" the guards of stacks are made by mprotect, as on kernels
 * before 6.13: gcore cannot read past the other kind.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gosched.h"

#define KEEP __attribute__((noinline, noclone))
/* So that no call is the function's last thing: it would be a jump, and the frame gone. */
#define STAY() __asm__ volatile("" ::: "memory")

static gs_chan *never; /* nobody sends on it */
static int ends[2];    /* a pipe that nobody writes to */
static gs_site short_site = {.name = "c_short"};
static gs_site read_site = {.name = "c_reads"};

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* ---- waits ---- */

KEEP static void waits_inside(void) {
  char nothing;
  gs_chan_recv(never, &nothing, GS_FOREVER);
  STAY();
}

KEEP static void waits(void *arg) {
  (void)arg;
  waits_inside();
  STAY();
}

/* ---- in a foreign call ---- */

KEEP static int c_reads(void *arg) {
  char nothing;
  (void)arg;
  int n = (int)read(ends[0], &nothing, 1);
  STAY();
  return n;
}

KEEP static void calls(void *arg) {
  gs_cgocall_site(&read_site, c_reads, arg, NULL);
  STAY();
}

KEEP static int c_short(void *arg) {
  if (!arg) return 0;
  int n = c_reads(arg);
  STAY();
  return n;
}

/* The fast path of a call, which stores fewer states. */
KEEP static void calls_quickly(void *arg) {
  for (int i = 0; i < 100; i++) gs_cgocall_site(&short_site, c_short, NULL, NULL);
  gs_cgocall_site(&short_site, c_short, &arg, NULL);
  STAY();
}

/* ---- in a callback ---- */

KEEP static void callback_waits(void *arg) {
  (void)arg;
  waits_inside();
  STAY();
}

KEEP static int c_calls_back(void *arg) {
  gs_cgocallback(callback_waits, arg);
  STAY();
  return 0;
}

KEEP static void called_back(void *arg) {
  gs_cgocall(c_calls_back, arg, NULL);
  STAY();
}

/* ---- in C that a callback calls ---- */

KEEP static void callback_calls(void *arg) {
  calls(arg);
  STAY();
}

KEEP static int c_calls_back_deep(void *arg) {
  gs_cgocallback(callback_calls, arg);
  STAY();
  return 0;
}

KEEP static void called_back_deep(void *arg) {
  gs_cgocall(c_calls_back_deep, arg, NULL);
  STAY();
}

/* ---- all of them ---- */

static const struct {
  const char *name;
  void (*fn)(void *);
  int state; /* that it comes to */
} scenes[] = {
    {"waiter", waits, GS_G_WAITING},          {"caller", calls, GS_G_SYSCALL},
    {"quick", calls_quickly, GS_G_SYSCALL},   {"back", called_back, GS_G_WAITING},
    {"deep", called_back_deep, GS_G_SYSCALL},
};
#define SCENES (sizeof scenes / sizeof scenes[0])

/* A thread that sleeps in the kernel: then it is in the read, and not before it. */
static int asleep(unsigned tid) {
  char path[64], stat[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%u/stat", tid);
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  size_t n = fread(stat, 1, sizeof stat - 1, f);
  fclose(f);
  const char *end = n ? strrchr(stat, ')') : NULL;
  return end && end[2] == 'S';
}

static int in_place(const gs_snapshot_data *s, const gs_g_info *g, int state) {
  if (g->state != state) return 0;
  if (state == GS_G_WAITING) return strcmp(g->wait_reason, "chan recv") == 0;
  for (size_t i = 0; i < s->nm; i++)
    if (s->m[i].id == g->m && s->m[i].incgo) return asleep(s->m[i].tid);
  return 0;
}

static int all_in_place(void) {
  gs_snapshot_data *s;
  size_t there = 0;
  if (gs_snapshot(&s)) die("gs_snapshot");
  for (size_t i = 0; i < s->ng; i++)
    for (size_t k = 0; k < SCENES; k++)
      if (strcmp(s->g[i].name, scenes[k].name) == 0)
        there += (size_t)in_place(s, &s->g[i], scenes[k].state);
  gs_snapshot_free(s);
  return there == SCENES;
}

KEEP static void until_input_ends(void) {
  char line[16];
  puts("ready");
  fflush(stdout);
  while (read(STDIN_FILENO, line, sizeof line) > 0) continue;
}

static int body(void *arg) {
  (void)arg;
  if (gs_chan_new(1, 0, &never) || pipe(ends)) die("scenes");
  for (size_t i = 0; i < SCENES; i++) {
    gs_go_options o = {.size = sizeof o, .name = scenes[i].name};
    if (gs_go_opts(&o, scenes[i].fn, NULL, NULL)) die("gs_go_opts");
  }
  while (!all_in_place()) gs_sleep(1000000);
  until_input_ends();
  exit(0); /* nobody ends the reads */
}

static void refuse_guards(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102 /* MADV_GUARD_INSTALL */, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
    die("prctl");
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "mprotect") == 0) refuse_guards();
  /* Where only a parent may look into a process (Yama), say that anybody may. */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  int code = gs_run(NULL, body, NULL, NULL);
  fprintf(stderr, "gs_run: %s\n", gs_strerror(code));
  return 1;
}
