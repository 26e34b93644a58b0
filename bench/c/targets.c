/* targets.c: see targets.h. */
#include "targets.h"

#include <time.h>
#include <unistd.h>

int gsbench_empty(void *arg) {
  (void)arg;
  return 0;
}

int gsbench_nap(void *usec) {
  usleep(*(unsigned *)usec);
  return 0;
}

int gsbench_int0(void) { return 0; }

int gsbench_int1(int a) { return a; }

int gsbench_int4(int a, int b, int c, int d) { return a + b + c + d; }

int gsbench_int6(int a, int b, int c, int d, int e, int f) { return a + b + c + d + e + f; }

int gsbench_int8(int a, int b, int c, int d, int e, int f, int g, int h) {
  return a + b + c + d + e + f + g + h;
}

int gsbench_spin(int ns) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  long long end = t.tv_sec * 1000000000LL + t.tv_nsec + ns;
  do clock_gettime(CLOCK_MONOTONIC, &t);
  while (t.tv_sec * 1000000000LL + t.tv_nsec < end);
  return ns;
}

int gsbench_add(int a, int b) { return a + b; }
