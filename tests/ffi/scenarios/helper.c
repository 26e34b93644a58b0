/* helper.c: see helper.h. */
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

uint64_t whole_result(uint64_t v) { return v; }
uint64_t whole_argument(uint64_t v) { return v; }

uint64_t whole_third(double a, int b, uint64_t v, float c) {
  return a == 1.5 && b == -2 && c == 2.5f ? v : 0x0bad;
}

int add_narrow(signed char a, short b, unsigned char c, unsigned short d) { return a + b + c + d; }
int all_negative(int a, short b, signed char c) { return a < 0 && b < 0 && c < 0; }

unsigned mixed_up(unsigned char a, unsigned short b, unsigned c, unsigned long d) {
  return a ^ (unsigned)b << 4 ^ c << 8 ^ (unsigned)(d >> 32);
}

unsigned length(const char *s) { return (unsigned)strlen(s); }
int length_float(const char *s, float f) { return (int)strlen(s) + (int)f; }
int float_length(float f, const char *s) { return (int)strlen(s) + (int)f; }
int float_length_int(float f, const char *s, int i) { return (int)strlen(s) + (int)f + i; }

int text_of(char *to, unsigned long size, const char *how, ...) {
  va_list ap;
  va_start(ap, how);
  int n = vsnprintf(to, size, how, ap);
  va_end(ap);
  return n;
}

double sum_of(unsigned count, double first, ...) {
  va_list ap;
  double sum = first + count;
  va_start(ap, first);
  for (unsigned i = 0; i < count; i++) sum += va_arg(ap, double);
  va_end(ap);
  return sum;
}

struct between next_between(struct between v, void (*then)(void)) {
  v.first++;
  v.two[0] += 1;
  v.two[1] += 1;
  v.last++;
  then();
  return v;
}

void *add_pointers(const void *a, const void *b) {
  return (void *)((uintptr_t)a + (uintptr_t)b); /* wraps */
}

/* The x87 and the stack are used on the way, as they are by code around a call. */
void *add_pointers_deep(const void *a, const void *b, int depth) {
  volatile long double trample = (long double)(uintptr_t)a + depth;
  volatile char bytes[64] = {[63] = (char)depth};
  void *sum = depth ? add_pointers_deep(a, b, depth - 1) : add_pointers(a, b);
  return trample >= 0 && bytes[63] == (char)depth ? sum : NULL;
}

static _Unwind_Reason_Code count(struct _Unwind_Context *context, void *arg) {
  (void)context;
  return ++*(int *)arg < 1000 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* How many frames an unwinder sees from here; it must come to an end. */
int frames(void) {
  int n = 0;
  _Unwind_Backtrace(count, &n);
  return n;
}

int set_errno_after(int value, unsigned microseconds) {
  if (microseconds) usleep(microseconds);
  errno = value;
  return -value;
}

int errno_at_entry(void) { return errno; }
