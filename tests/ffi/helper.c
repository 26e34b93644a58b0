/* helper.c: functions with every kind of argument and result; see helper.h. */
#include "helper.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define IDENTITY(type, name) \
  type name(type v) { return v; }

IDENTITY(_Bool, id_bool)
IDENTITY(char, id_char)
IDENTITY(signed char, id_schar)
IDENTITY(unsigned char, id_uchar)
IDENTITY(short, id_short)
IDENTITY(unsigned short, id_ushort)
IDENTITY(int, id_int)
IDENTITY(unsigned, id_uint)
IDENTITY(long, id_long)
IDENTITY(unsigned long, id_ulong)
IDENTITY(long long, id_llong)
IDENTITY(unsigned long long, id_ullong)
IDENTITY(float, id_float)
IDENTITY(double, id_double)
IDENTITY(long double, id_ldouble)
IDENTITY(void *, id_pointer)
IDENTITY(enum color, id_enum)
IDENTITY(enum level, id_level)
IDENTITY(int8_t, id_int8)
IDENTITY(uint64_t, id_uint64)
IDENTITY(int32_t, id_int32)

int add_chars(signed char a, unsigned char b, short c, unsigned short d) { return a + b + c + d; }

double add_mixed(int a, double b, long c, float d, short e, double f, long long g, float h,
                 unsigned char i, double j, int k, double l, long m, double n, int o, double p,
                 unsigned q, float r) {
  return a + 2 * b + 3 * (double)c + 4 * (double)d + 5 * e + 6 * f + 7 * (double)g + 8 * (double)h +
         9 * i + 10 * j + 11 * k + 12 * l + 13 * (double)m + 14 * n + 15 * o + 16 * p + 17 * q +
         18 * (double)r;
}

long add_ten(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j) {
  return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j;
}

/* Every member of the result differs from the argument's, by a different amount. */
struct small next_small(struct small v) {
  return (struct small){(char)(v.a + 1)};
}

struct three next_three(struct three v) {
  for (int i = 0; i < 3; i++) v.a[i] = (char)(v.a[i] + i + 1);
  return v;
}

struct pair next_pair(struct pair v) {
  return (struct pair){v.x + 1, v.y + 2};
}
struct point next_point(struct point v) {
  return (struct point){v.x + 1, v.y + 2};
}
struct vec3 next_vec3(struct vec3 v) {
  return (struct vec3){v.x + 1, v.y + 2, v.z + 3};
}

struct vec4 next_vec4(struct vec4 v) {
  for (int i = 0; i < 4; i++) v.v[i] += (float)(i + 1);
  return v;
}

struct mixed next_mixed(struct mixed v) {
  return (struct mixed){v.i + 1, v.d + 2};
}
struct float_int next_float_int(struct float_int v) {
  return (struct float_int){v.f + 1, v.i + 2};
}

struct odd next_odd(struct odd v) {
  v.s = (short)(v.s + 1);
  v.c = (char)(v.c + 2);
  v.i += 3;
  v.d = (char)(v.d + 4);
  return v;
}

struct words next_words(struct words v) {
  return (struct words){v.a + 1, v.b + 2};
}

struct large next_large(struct large v) {
  for (int i = 0; i < 5; i++) v.a[i] += i + 1;
  v.b += 6;
  for (int i = 0; i < 7; i++) v.c[i] = (char)(v.c[i] + i);
  return v;
}

struct huge next_huge(struct huge v) {
  for (int i = 0; i < 1000; i++) v.bytes[i] = (unsigned char)(v.bytes[i] + i);
  return v;
}

struct nested next_nested(struct nested v) {
  v.p = next_pair(v.p);
  v.in.f += 3;
  v.in.s = (short)(v.in.s + 4);
  return v;
}

union number next_number(union number v) {
  return (union number){.d = v.d + 1};
}

union floats next_floats(union floats v) {
  for (int i = 0; i < 3; i++) v.v[i] += (float)(i + 1);
  return v;
}

struct with_union next_with_union(struct with_union v) {
  v.tag = (char)(v.tag + 1);
  v.u.f += 2;
  return v;
}

struct bits next_bits(struct bits v) {
  v.a++;
  v.b -= 2;
  v.c += 3;
  return v;
}

struct wide next_wide(struct wide v) {
  return (struct wide){v.v + 1};
}

rgba next_rgba(rgba v) {
  return (rgba){(uint8_t)(v.r + 1), (uint8_t)(v.g + 2), (uint8_t)(v.b + 3), (uint8_t)(v.a + 4)};
}

double sum_structs(struct pair a, struct point b, struct vec3 c, struct mixed d, struct large e,
                   struct float_int f, int last) {
  return a.x + a.y + b.x + b.y + (double)c.x + (double)c.y + (double)c.z + d.i + d.d +
         (double)e.a[0] + (double)e.a[4] + e.b + e.c[6] + (double)f.f + f.i + last;
}

int sum_variadic(int count, ...) {
  va_list ap;
  int sum = 0;
  va_start(ap, count);
  for (int i = 0; i < count; i++) sum += va_arg(ap, int);
  va_end(ap);
  return sum;
}

double sum_doubles(int count, ...) {
  va_list ap;
  double sum = 0;
  va_start(ap, count);
  for (int i = 0; i < count; i++) sum += va_arg(ap, double);
  va_end(ap);
  return sum;
}

int format(char *to, unsigned long size, const char *how, ...) {
  va_list ap;
  va_start(ap, how);
  int n = vsnprintf(to, size, how, ap);
  va_end(ap);
  return n;
}

int set_errno(int value) {
  errno = value;
  return -1;
}

int errno_after_pause(int value, unsigned milliseconds) {
  struct timespec t = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
  nanosleep(&t, NULL);
  errno = value;
  return -1;
}

int errno_at_entry(void) { return errno; }
int nothing(void) { return 0; }
void store(int *where, int value) { *where = value; }
int apply(int (*fn)(int), int v) { return fn(v); }

static int twice(int v) { return 2 * v; }
static int negated(int v) { return -v; }
int (*pick(int which))(int) { return which ? negated : twice; }

/* Uses that much of the stack and says how much it was. */
unsigned long stack_room(unsigned long bytes) {
  char page[4096];
  memset(page, (int)bytes, sizeof(page));
  __asm__ volatile("" : : "r"(page) : "memory");
  unsigned long below = bytes > sizeof(page) ? stack_room(bytes - sizeof(page)) : 0;
  __asm__ volatile("" : : "r"(page) : "memory");
  return below + sizeof(page);
}

int renamed(int v) { return v + 1000; }
int counter = 7;
const char *const greeting = "hello from the helper";

/* A library with a state for each thread. */
static __thread int of_this_thread;
void set_of_this_thread(int value) { of_this_thread = value; }
int get_of_this_thread(void) { return of_this_thread; }
