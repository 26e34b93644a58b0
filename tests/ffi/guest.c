/* guest.c: a library that blocks in its functions, and says when it is unmapped.  It is loaded and
 * closed by the tests, and linked into nothing. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

struct guest_pair {
  double x;
  long y;
};

static atomic_int farewell = -1;

void guest_tell(int fd) { farewell = fd; }

/* Through memory of the library, so that one that was unmapped meanwhile is noticed. */
static _Atomic short answer = 21;
static short (*_Atomic compute)(short);
static short twice(short v) { return (short)(2 * v); }
static short computed(void) {
  short (*f)(short) = atomic_load(&compute);
  return f(atomic_load(&answer));
}

/* Says that it has begun, waits for a byte or the end of the pipe. */
short guest_wait(int fd, int began) {
  char byte;
  compute = twice;
  if (write(began, "b", 1) != 1) return -1;
  struct pollfd p = {fd, POLLIN, 0};
  while (poll(&p, 1, -1) < 0 && errno == EINTR) continue;
  errno = read(fd, &byte, 1) == 1 ? 61 : 62;
  return computed();
}

struct guest_pair guest_wait_pair(int fd, int began, struct guest_pair v) {
  short s = guest_wait(fd, began);
  struct guest_pair r = {v.x + s, v.y + s};
  return r;
}

int guest_wait_sum(int fd, int began, const int *numbers, int n) {
  int sum = guest_wait(fd, began);
  for (int i = 0; i < n; i++) sum += numbers[i];
  return sum;
}

/* The sum of the bytes, read before and after a while; -1 if they changed. */
long guest_sum_later(const unsigned char *bytes, long n, unsigned ms) {
  long before = 0, after = 0;
  for (long i = 0; i < n; i++) before += bytes[i];
  poll(0, 0, (int)ms);
  for (long i = 0; i < n; i++) after += bytes[i];
  return before == after ? after : -1;
}

int guest_call(int (*fn)(void *), void *arg) { return fn(arg) + computed(); }

int guest_add(int a, int b) {
  compute = twice;
  return a + b;
}

static __attribute__((destructor)) void goes(void) {
  if (farewell >= 0 && write(farewell, "u", 1) != 1) _exit(9);
}
