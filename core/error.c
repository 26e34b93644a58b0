/* error.c: how failures are told.  Errors that a caller can handle are codes with a sentence beside
 * them; warnings are messages (log.c); broken invariants end the process with a dump of everything.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

static const struct {
  int code;
  const char *text;
} errors[] = {
    {GS_OK, "GS_OK: no error"},
    {GS_EINVAL, "GS_EINVAL: an argument is out of its range"},
    {GS_ENOMEM, "GS_ENOMEM: out of memory or address space"},
    {GS_EPERM, "GS_EPERM: not allowed here (no green thread, or inside a foreign call)"},
    {GS_ECLOSED, "GS_ECLOSED: the channel is closed"},
    {GS_ETIMEOUT, "GS_ETIMEOUT: the deadline passed"},
    {GS_ECANCELED, "GS_ECANCELED: the green thread was cancelled"},
    {GS_EINTR, "GS_EINTR: a signal arrived while the main green thread was parked"},
    {GS_EWOULDBLOCK, "GS_EWOULDBLOCK: the operation would have had to wait"},
    {GS_EBUSY, "GS_EBUSY: in use"},
    {GS_ETHREADS, "GS_ETHREADS: no more threads can be made (max_threads, or a system limit)"},
    {GS_ENOLIB, "GS_ENOLIB: the library cannot be loaded"},
    {GS_ENOSYM, "GS_ENOSYM: the library has no such symbol"},
    {GS_EDECL, "GS_EDECL: the C declaration cannot be parsed"},
    {GS_ETYPE, "GS_ETYPE: the C type is unknown or cannot be used here"},
    {GS_ENOTSUP, "GS_ENOTSUP: not supported on this system or build"},
    {GS_EABI, "GS_EABI: another copy of gosched is running in this process"},
    {GS_ESYS, "GS_ESYS: the operating system refused (see errno)"},
    {GS_ETHROWSPLIT, "GS_ETHROWSPLIT: cannot park between gs_entersyscall and gs_exitsyscall"},
    {GS_EDEADLOCK, "GS_EDEADLOCK: all green threads are asleep and nothing can wake them"},
    {GS_ECALLBACK, "GS_ECALLBACK: a callback out of the foreign call failed"},
};

const char *gs_strerror(int code) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].code == code) return errors[i].text;
  return "unknown gosched error code";
}

const char *gs_version(void) { return GS_VERSION; }

/* ---- the sentence ---- */

static __thread char detail[256];

GS_NOINLINE static char *detail_of_this_thread(void) {
  char *p = detail;
  __asm__ volatile("" : "+r"(p)::"memory");
  return p;
}

const char *gs_error_detail(void) { return detail_of_this_thread(); }

int gs_fail(int code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(detail_of_this_thread(), sizeof detail, fmt, ap);
  va_end(ap);
  return code;
}

/* ---- broken invariants ---- */

_Noreturn void gs_throw(const char *msg, const char *file, int line) {
  static uint32_t throwing; /* the thread that reports */
  char text[512];
  uint32_t me = os_gettid(), none = 0;
  if (__atomic_compare_exchange_n(&throwing, &none, me, false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_SEQ_CST)) {
    stw_freeze(); /* what follows shows one state, and no G goes on with what is broken */
    int n = snprintf(text, sizeof text, "gosched: fatal: %s (%s:%d)\n", msg, file, line);
    ssize_t r = write(2, text, (size_t)(n < 0 ? 0 : n));
    (void)r;
    gs_dump(2);
  } else if (none != me) {
    stw_end(); /* the report that is under way ends the process */
  }
  abort();
}
