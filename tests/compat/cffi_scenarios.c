/* cffi_scenarios.c: C that calls back with every kind of type, and that reads and sets errno, as
 * the functions in c/_cffi_backend.c do that cffi's own tests call (_testfunc0 and its fellows).
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <wchar.h>

#define EXPORT __attribute__((visibility("default")))

/* give_T(f, x) is f(x). */
#define GIVE(name, type)                            \
  EXPORT type give_##name(type (*f)(type), type x); \
  EXPORT type give_##name(type (*f)(type), type x) { return f(x); }

GIVE(char, char)
GIVE(schar, signed char)
GIVE(uchar, unsigned char)
GIVE(short, short)
GIVE(ushort, unsigned short)
GIVE(int, int)
GIVE(uint, unsigned)
GIVE(long, long)
GIVE(ulong, unsigned long)
GIVE(llong, long long)
GIVE(ullong, unsigned long long)
GIVE(bool, bool)
GIVE(float, float)
GIVE(double, double)
GIVE(ldouble, long double)
GIVE(wchar, wchar_t)
GIVE(pointer, void *)

typedef struct {
  int8_t x;
  long y;
} Mixed;
typedef struct {
  signed char x, y;
} Tiny;
typedef struct {
  int a, b, c, d, e, f, g, h, i, j;
} Big;
typedef struct {
  double x, y;
} Doubles;
typedef enum { FIRST, SECOND, THIRD } Which;

GIVE(mixed, Mixed)
GIVE(tiny, Tiny)
GIVE(big, Big)
GIVE(doubles, Doubles)
GIVE(which, Which)

EXPORT int sum_of(int (*f)(int, double, Tiny, const char *), int n);
EXPORT int sum_of(int (*f)(int, double, Tiny, const char *), int n) {
  int sum = 0;
  for (int i = 0; i < n; i++) sum += f(i, i / 2.0, (Tiny){(signed char)i, -1}, "text");
  return sum;
}

EXPORT void nothing(void (*f)(void));
EXPORT void nothing(void (*f)(void)) { f(); }

/* A callback that gets a callback, and gives one. */
typedef int (*Number)(int);
EXPORT int indirect(Number (*f)(Number), int x);
static int plus_one(int x) { return x + 1; }
EXPORT int indirect(Number (*f)(Number), int x) { return f(plus_one)(x); }

EXPORT int nested(int (*f)(int), int depth);
EXPORT int nested(int (*f)(int), int depth) { return depth == 0 ? 0 : f(depth - 1) + 1; }

/* errno */

EXPORT int set_errno(int value);
EXPORT int set_errno(int value) {
  errno = value;
  return value;
}

/* What errno is after a callback that was entered with `before`. */
EXPORT int errno_around(void (*f)(void), int before);
EXPORT int errno_around(void (*f)(void), int before) {
  errno = before;
  f();
  return errno;
}

EXPORT int errno_after_sleep(int value);
EXPORT int errno_after_sleep(int value) {
  usleep(200);
  errno = value;
  return 0;
}
