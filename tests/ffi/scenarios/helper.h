/* helper.h: functions for scenarios that are about values, text and threads.
 *
 * As tests/ffi/helper.h, it is read by the C compiler and, as text, by gs_ffi_cdef.
 */
#ifndef TESTS_FFI_SCENARIOS_HELPER_H
#define TESTS_FFI_SCENARIOS_HELPER_H

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
uint64_t whole_result(uint64_t v);
uint64_t whole_argument(uint64_t v);
uint64_t whole_third(double a, int b, uint64_t v, float c);

int add_narrow(signed char a, short b, unsigned char c, unsigned short d);
int all_negative(int a, short b, signed char c);
unsigned mixed_up(unsigned char a, unsigned short b, unsigned c, unsigned long d);

unsigned length(const char *s);
int length_float(const char *s, float f);
int float_length(float f, const char *s);
int float_length_int(float f, const char *s, int i);
int text_of(char *to, unsigned long size, const char *how, ...);
double sum_of(unsigned count, double first, ...);

struct between { unsigned char first; double two[2]; unsigned char last; };
struct between next_between(struct between v, void (*then)(void));
void *add_pointers(const void *a, const void *b);
void *add_pointers_deep(const void *a, const void *b, int depth);
int frames(void);

int set_errno_after(int value, unsigned microseconds);
int errno_at_entry(void);
)
/* clang-format on */

#endif
