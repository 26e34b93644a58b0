/* helper.h: the shared library that the tests of ffi/ call.
 *
 * HELPER(…) is read twice: by the C compiler as declarations, and as text by gs_ffi_cdef.  So the
 * two cannot disagree about what is called.
 */
#ifndef TESTS_FFI_HELPER_H
#define TESTS_FFI_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef HELPER_TEXT
#define HELPER(...)                               \
  static const char helper_text[] = #__VA_ARGS__; \
  __VA_ARGS__
#else
#define HELPER(...) __VA_ARGS__
#endif

/* clang-format off */
HELPER(
_Bool id_bool(_Bool v);
char id_char(char v);
signed char id_schar(signed char v);
unsigned char id_uchar(unsigned char v);
short id_short(short v);
unsigned short id_ushort(unsigned short v);
int id_int(int v);
unsigned id_uint(unsigned v);
long id_long(long v);
unsigned long id_ulong(unsigned long v);
long long id_llong(long long v);
unsigned long long id_ullong(unsigned long long v);
float id_float(float v);
double id_double(double v);
long double id_ldouble(long double v);
void *id_pointer(void *v);
enum color { RED, GREEN = 5, BLUE };
enum color id_enum(enum color v);
enum level { LOW = -1, HIGH = 1 };
enum level id_level(enum level v);
int8_t id_int8(int8_t v);
uint64_t id_uint64(uint64_t v);
int32_t id_int32(int32_t v);

int add_chars(signed char a, unsigned char b, short c, unsigned short d);
double add_mixed(int a, double b, long c, float d, short e, double f, long long g, float h,
                 unsigned char i, double j, int k, double l, long m, double n, int o, double p,
                 unsigned q, float r);
long add_ten(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j);

struct small { char a; };
struct three { char a[3]; };
struct pair { int x, y; };
struct point { double x, y; };
struct vec3 { float x, y, z; };
struct vec4 { float v[4]; };
struct mixed { int i; double d; };
struct float_int { float f; int i; };
struct odd { short s; char c; int i; char d; };
struct words { long a, b; };
struct large { long a[5]; double b; char c[7]; };
struct huge { unsigned char bytes[1000]; };
struct nested { struct pair p; struct { float f; short s; } in; };
union number { int i; float f; double d; };
union floats { float f; float v[3]; };
struct with_union { char tag; union { int i; float f; } u; };
struct bits { unsigned a : 3; int b : 7; unsigned long c : 40; };
struct wide { long double v; };
typedef struct { uint8_t r, g, b, a; } rgba;

struct small next_small(struct small v);
struct three next_three(struct three v);
struct pair next_pair(struct pair v);
struct point next_point(struct point v);
struct vec3 next_vec3(struct vec3 v);
struct vec4 next_vec4(struct vec4 v);
struct mixed next_mixed(struct mixed v);
struct float_int next_float_int(struct float_int v);
struct odd next_odd(struct odd v);
struct words next_words(struct words v);
struct large next_large(struct large v);
struct huge next_huge(struct huge v);
struct nested next_nested(struct nested v);
union number next_number(union number v);
union floats next_floats(union floats v);
struct with_union next_with_union(struct with_union v);
struct bits next_bits(struct bits v);
struct wide next_wide(struct wide v);
rgba next_rgba(rgba v);
double sum_structs(struct pair a, struct point b, struct vec3 c, struct mixed d, struct large e,
                   struct float_int f, int last);

int sum_variadic(int count, ...);
double sum_doubles(int count, ...);
int format(char *to, unsigned long size, const char *how, ...);

int set_errno(int value);
int errno_after_pause(int value, unsigned milliseconds);
int errno_at_entry(void);
int nothing(void);
void store(int *where, int value);
int apply(int (*fn)(int), int v);
int (*pick(int which))(int);
unsigned long stack_room(unsigned long bytes);
int renamed(int v);
extern int counter;
extern const char *const greeting;
)
/* clang-format on */

#endif
