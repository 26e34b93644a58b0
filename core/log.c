/* log.c: messages for whoever operates the program.
 *
 * Nothing is written unless somebody asks for it: the program by gs_set_logger, or whoever starts
 * it by GOSCHED_LOG.  What a caller can deal with is an error code; a message is for what happens
 * where nobody can be told (a thread could not be made, a callback failed on a thread of nobody's).
 *
 * A line is one write(2), so lines of several threads and processes do not mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

static const char *const levels[] = {"error", "warning", "info", "debug"};
enum { NLEVELS = sizeof levels / sizeof *levels };

static void (*logger)(int, const char *, void *);
static void *logger_ud;
static int log_level = -1; /* what is written to log_fd up to this level; atomic */
static int log_file = -1;  /* -1: none, stderr; set before log_level, once */

void gs_set_logger(void (*cb)(int level, const char *text, void *ud), void *ud) {
  store_rel(&logger, NULL);
  logger_ud = ud;
  store_rel(&logger, cb);
}

/* LEVEL or LEVEL:FILE.  *level -1: off; *file: NULL if there is none. */
bool log_parse(const char *text, int *level, const char **file) {
  size_t n = strcspn(text, ":");
  *file = text[n] ? text + n + 1 : NULL;
  if (*file && !**file) return false;
  for (*level = 0; *level < NLEVELS; ++*level)
    if (strlen(levels[*level]) == n && strncmp(text, levels[*level], n) == 0) return true;
  *level = -1;
  return n == 3 && strncmp(text, "off", 3) == 0;
}

/* By the first gs_run, or whatever boots the runtime. */
int log_start(void) {
  const char *text, *file;
  int level, r = gs_setting_get("GOSCHED_LOG", &text, NULL);
  if (r <= 0) return r;
  if (!log_parse(text, &level, &file)) return GS_EINVAL;
  if (file) {
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
      return gs_fail(GS_EINVAL, "GOSCHED_LOG is \"%.100s\"; the file cannot be opened: %s", text,
                     strerror(errno));
    store_rlx(&log_file, fd);
  }
  store_rel(&log_level, level);
  return GS_OK;
}

int log_fd(void) {
  int fd = load_rlx(&log_file);
  return fd < 0 ? 2 : fd;
}

static void write_line(int level, const char *text) {
  char line[640], when[40] = "";
  if (load_rlx(&log_file) >= 0) {
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    if (gmtime_r(&t.tv_sec, &tm)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ ", &tm);
  }
  int n = snprintf(line, sizeof line, "%sgosched[%d]: %s: %s\n", when, (int)getpid(), levels[level],
                   text);
  if (n > (int)sizeof line - 1) n = (int)sizeof line - 1;
  ssize_t r = write(log_fd(), line, (size_t)n);
  (void)r;
}

void gs_log(int level, const char *fmt, ...) {
  void (*cb)(int, const char *, void *) = load_acq(&logger);
  bool wanted = level <= load_acq(&log_level) && level < NLEVELS;
  if (likely(!cb && !wanted)) return;
  char text[512];
  int e = errno;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (wanted) write_line(level, text);
  if (cb) cb(level, text, logger_ud);
  errno = e;
}
