/* burn.c: a program for a profiler to look at: C that computes, called by a callback of C that a
 * green thread has called; for the given number of milliseconds of CPU time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gosched.h"

#define KEEP __attribute__((noinline, noclone))
/* So that no call is the function's last thing: it would be a jump, and the frame gone. */
#define STAY() __asm__ volatile("" ::: "memory")

static volatile unsigned result;

static double cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

KEEP static void computes(void) {
  for (unsigned i = 0; i < 1000000; i++) result = result * 31 + i;
}

KEEP static int c_burns(void *arg) {
  double until = *(double *)arg;
  while (cpu_ms() < until) computes();
  STAY();
  return 0;
}

KEEP static void callback_burns(void *arg) {
  gs_cgocall(c_burns, arg, NULL);
  STAY();
}

KEEP static int c_calls_back(void *arg) {
  gs_cgocallback(callback_burns, arg);
  STAY();
  return 0;
}

KEEP static int green_burns(void *arg) {
  int code = gs_cgocall(c_calls_back, arg, NULL);
  STAY();
  return code;
}

int main(int argc, char **argv) {
  double until = cpu_ms() + (argc > 1 ? atof(argv[1]) : 300);
  int code = gs_run(NULL, green_burns, &until, NULL);
  if (code) fprintf(stderr, "gs_run: %s\n", gs_strerror(code));
  return code != 0;
}
