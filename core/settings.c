/* settings.c: the variables of the environment that configure gosched, in one table.
 *
 * The table is what parses them, what an error is told from, and what docs/configuration.md is made
 * from: a variable that is not here does not exist.  They are read by secure_getenv, so a program
 * that runs with more rights than who started it has none of them.  A variable that is set to
 * nothing counts as not set.
 *
 * gs_run looks at all of them before it does anything, so that one that nobody asks for in this run
 * is not wrong in silence; the ffi asks for its own when it prepares a function.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

typedef struct {
  gs_setting is;
  int64_t min, max;                /* of a number; both 0: it is not one */
  bool (*right)(const char *text); /* of a text */
} Row;

#define NUMBER(name, min, max, otherwise, text) \
  { {name, "a whole number in " STRING(min) ".." STRING(max), otherwise, text}, min, max, NULL }
#define TEXT(name, accepted, otherwise, text, right) \
  { {name, accepted, otherwise, text}, 0, 0, right }

static bool is_ffi(const char *s) { return strcmp(s, "auto") == 0 || strcmp(s, "libffi") == 0; }

static bool is_log(const char *s) {
  int level;
  const char *file;
  return log_parse(s, &level, &file);
}

static bool is_absolute(const char *s) { return s[0] == '/'; }

static const Row rows[] = {
    NUMBER("GOSCHED_PROCS", 1, GS_MAX_PROCS, "gs_config.procs, or else the CPUs of the process",
           "Ps of the native domain: how many native green threads run at once"),
    NUMBER("GOSCHED_MAX_THREADS", 2, GS_MOST_THREADS, "gs_config.max_threads, or else 10000",
           "Most OS threads of the scheduler at once, those in foreign calls included"),
    NUMBER("GOSCHED_STACK_SIZE", GS_MIN_STACK, GS_MAX_STACK, "gs_config.stack_size, or else 65536",
           "Bytes of a native green thread's stack"),
    NUMBER("GOSCHED_THREAD_IDLE_MS", 1, 86400000, "10000",
           "Milliseconds without work after which a thread ends if more than four are idle"),
    TEXT("GOSCHED_FFI", "auto or libffi", "auto",
         "How foreign functions are called: by code of gosched's own where it has some (auto), or "
         "always through libffi",
         is_ffi),
    TEXT("GOSCHED_LOG", "error, warning, info, debug or off, and after a colon the name of a file",
         "off",
         "Which messages of the runtime are written, and to which file, at its end; without a file "
         "to stderr.  A program's gs_set_logger gets them all the same",
         is_log),
    TEXT(
        "GOSCHED_MONITOR",
        "an absolute path of up to 107 bytes, in which %p is the number of the process and %% a %, "
        "or default",
        "no monitor",
        "A Unix socket at which gosched-top and other programs of the same user see this one while "
        "it runs (docs/monitor.md); default is gosched-%p.sock in XDG_RUNTIME_DIR",
        monitor_path_right),
    NUMBER("GOSCHED_SCHEDTRACE", 1, 86400000, "no such lines",
           "Every so many milliseconds a line that says what the scheduler does, like Go's "
           "schedtrace; to the file of GOSCHED_LOG, or to stderr"),
    NUMBER("GOSCHED_DUMP_ON_SIGQUIT", 0, 1, "0, unless gs_run has GS_RUN_DUMP_ON_SIGQUIT",
           "1: the signal SIGQUIT (Ctrl-\\) makes the program write every green thread, thread and "
           "P with their stacks to the file of GOSCHED_LOG, or to stderr, and go on"),
    NUMBER("GOSCHED_DUMP_WAIT_MS", 0, 60000, "1000",
           "Milliseconds for which a dump waits for the stacks of the languages in the process; "
           "those that are busy for longer are told as busy"),
    TEXT("GOSCHED_GUESTS", "absolute paths of directories, separated by colons",
         "the directory gosched beside the library",
         "Where gs_embed looks first for the plugins of other languages", is_absolute),
    TEXT("GOSCHED_PYTHON", "the absolute path of a Python",
         "the virtual environment that is active, or python3",
         "Whose packages Python has as a guest of another language", is_absolute),
};
#define NROWS (sizeof rows / sizeof *rows)

const gs_setting *gs_setting_info(size_t i) { return i < NROWS ? &rows[i].is : NULL; }

static int wrong(const Row *r, const char *text) {
  return gs_fail(GS_EINVAL, "%s is \"%.100s\"; %s is accepted", r->is.name, text, r->is.accepted);
}

static int read_row(const Row *r, const char **text, int64_t *number) {
  const char *s;
  os_secure_env(r->is.name, &s);
  if (text) *text = NULL;
  if (!s || !*s) return 0;
  if (r->right) {
    if (!r->right(s)) return wrong(r, s);
  } else {
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end || v < r->min || v > r->max) return wrong(r, s);
    if (number) *number = v;
  }
  if (text) *text = s;
  return 1;
}

int gs_setting_get(const char *name, const char **text, int64_t *number) {
  for (size_t i = 0; name && i < NROWS; i++)
    if (strcmp(rows[i].is.name, name) == 0) return read_row(&rows[i], text, number);
  return gs_fail(GS_EINVAL, "gs_setting_get: there is no setting %.100s", name ? name : "NULL");
}

int settings_check(void) {
  for (size_t i = 0; i < NROWS; i++) {
    int r = read_row(&rows[i], NULL, NULL);
    if (r < 0) return r;
  }
  return GS_OK;
}
