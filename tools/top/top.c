/* top.c: gosched-top, which shows what goes on in a running program that uses gosched.
 *
 * The program has opened a socket (GOSCHED_MONITOR or gs_monitor_start; docs/monitor.md).  Given
 * the number of a process, its name is found by what the process was told itself, its environment
 * in /proc; or else it is the default one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gosched_version.h"
#include "json_read.h"
#include "view.h"

static volatile sig_atomic_t stopped;

static void stop(int sig) {
  (void)sig;
  stopped = 1;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("gosched-top: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(1);
}

/* ---- where the socket is ---- */

/* The value of a variable of the process's environment, by malloc; NULL: not there, or not to be
 * read. */
static char *environment_of(const char *pid, const char *name) {
  char path[64], *entry = NULL, *value = NULL;
  size_t room = 0, n = strlen(name);
  snprintf(path, sizeof path, "/proc/%s/environ", pid);
  FILE *f = fopen(path, "re");
  while (f && !value && getdelim(&entry, &room, 0, f) > 0)
    if (strncmp(entry, name, n) == 0 && entry[n] == '=' && entry[n + 1])
      value = strdup(entry + n + 1);
  if (f) fclose(f);
  free(entry);
  return value;
}

static void expand(const char *template, const char *pid, char *out, size_t room) {
  size_t n = 0;
  for (const char *s = template; *s && n + 1 < room; s++) {
    if (*s == '%' && (s[1] == 'p' || s[1] == '%')) {
      s++;
      n += (size_t)snprintf(out + n, room - n, "%s", *s == 'p' ? pid : "%");
    } else {
      out[n++] = *s;
    }
  }
  out[n < room ? n : room - 1] = 0;
}

/* The names that a process's socket may have, the likely one first. */
static int names_of(const char *pid, char names[2][256]) {
  int n = 0;
  char *told = environment_of(pid, "GOSCHED_MONITOR"),
       *dir = environment_of(pid, "XDG_RUNTIME_DIR");
  const char *own = getenv("XDG_RUNTIME_DIR");
  if (told && strcmp(told, "default") != 0) {
    expand(told, pid, names[n++], 256);
  }
  if (dir || own) snprintf(names[n++], 256, "%.200s/gosched-%s.sock", dir ? dir : own, pid);
  free(told);
  free(dir);
  return n;
}

static int connect_to(const char *path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof a.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(a.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
  int e = errno;
  close(fd);
  errno = e;
  return -1;
}

static int open_monitor(const char *of) {
  if (of[strspn(of, "0123456789")] != 0) {
    int fd = connect_to(of);
    if (fd < 0) die("%s: %s", of, strerror(errno));
    return fd;
  }
  char names[2][256], dir[32];
  snprintf(dir, sizeof dir, "/proc/%s", of);
  if (access(dir, F_OK)) die("there is no process %s", of);
  int n = names_of(of, names);
  for (int i = 0; i < n; i++) {
    int fd = connect_to(names[i]);
    if (fd >= 0) return fd;
  }
  if (n == 0)
    die("process %s has no monitor that can be found: it was started without GOSCHED_MONITOR; give "
        "the path of the socket if it has opened one itself",
        of);
  die("process %s has no monitor at %s: %s", of, names[0], strerror(errno));
}

/* ---- asking ---- */

typedef struct {
  int fd;
  FILE *in;
  char *text;
  size_t room;
} Monitor;

/* The line, in m->text, without its end; 0: the program has ended. */
static size_t ask(Monitor *m, const char *request) {
  char line[32];
  int n = snprintf(line, sizeof line, "%s\n", request);
  if (send(m->fd, line, (size_t)n, MSG_NOSIGNAL) != n) return 0;
  ssize_t got = getline(&m->text, &m->room, m->in);
  if (got <= 0 || m->text[got - 1] != '\n') return 0;
  m->text[--got] = 0;
  return (size_t)got;
}

static json_value *parsed(const Monitor *m, size_t n) {
  json_value *v = json_parse(m->text, n);
  if (!v) die("what answers is no monitor of gosched");
  const char *error = json_text(v, "error");
  if (*error) die("the program says: %s", error);
  return v;
}

/* ---- pictures ---- */

typedef struct {
  const char *of;
  long count; /* of pictures; 0: until the end */
  double delay;
  int once, json;
} Options;

static void pause_for(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  if (!stopped) nanosleep(&t, NULL); /* a signal ends it */
}

static void show(const Options *o, const json_value *now, const json_value *before, int first) {
  struct winsize size = {0};
  if (o->once || !isatty(STDOUT_FILENO)) {
    if (!first) puts("");
    view_print(stdout, now, before, 0, 0, "\n");
  } else {
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) size = (struct winsize){24, 80, 0, 0};
    fputs(first ? "\033[2J\033[H" : "\033[H", stdout);
    view_print(stdout, now, before, size.ws_row ? size.ws_row - 1 : 0, size.ws_col, "\033[K\r\n");
    fputs("\033[J", stdout);
  }
  fflush(stdout);
}

/* Of two answers the second is shown: how much happens in a second needs both. */
static int run(const Options *o, Monitor *m) {
  json_value *before = NULL;
  long shown = 0;
  int ended = 0;
  if (o->once && !o->json && o->delay > 0) {
    size_t n = ask(m, "top");
    if (!n) die("the program has ended");
    before = parsed(m, n);
    pause_for(o->delay);
  }
  while (!stopped && (!o->count || shown < o->count)) {
    if (shown) pause_for(o->delay);
    if (stopped) break;
    size_t n = ask(m, o->json ? "snapshot" : "top");
    if ((ended = n == 0)) break;
    json_value *now = parsed(m, n);
    if (o->json)
      puts(m->text);
    else
      show(o, now, before, shown == 0);
    fflush(stdout);
    if (ferror(stdout)) break;
    json_free(before);
    before = now;
    shown++;
  }
  json_free(before);
  if (ended && !shown) die("the program has ended");
  if (ended) fputs("gosched-top: the program has ended\n", stderr);
  return 0;
}

/* ---- the command line ---- */

static void usage(FILE *out) {
  fputs(
      "usage: gosched-top [--once] [--json] [-n COUNT] [-d SECONDS] PID|PATH\n"
      "Shows what goes on in a running program that uses gosched.\n\n"
      "  PID            a process that was started with GOSCHED_MONITOR\n"
      "  PATH           the socket of its monitor\n"
      "  --once         print one picture and exit\n"
      "  --json         print what the program answers, a line of JSON each\n"
      "  -n COUNT       exit after so many pictures\n"
      "  -d SECONDS     between two pictures (1)\n"
      "  --help, --version\n",
      out);
}

__attribute__((noreturn)) static void usage_error(const char *what) {
  fprintf(stderr, "gosched-top: %s\n", what);
  usage(stderr);
  exit(2);
}

static double number_of(const char *text, double least, double most, const char *what) {
  char *end;
  double v = strtod(text, &end);
  if (end == text || *end || !(v >= least && v <= most)) usage_error(what);
  return v;
}

static Options options_of(int argc, char **argv) {
  static const struct option longs[] = {
      {"once", no_argument, NULL, '1'},
      {"json", no_argument, NULL, 'j'},
      {"count", required_argument, NULL, 'n'},
      {"delay", required_argument, NULL, 'd'},
      {"help", no_argument, NULL, 'h'},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  Options o = {NULL, 0, 1, 0, 0};
  for (int c; (c = getopt_long(argc, argv, "1jn:d:h", longs, NULL)) != -1;) {
    switch (c) {
      case '1': o.once = 1; break;
      case 'j': o.json = 1; break;
      case 'n':
        o.count = (long)number_of(optarg, 1, 1e9, "-n: a whole number from 1 is needed");
        break;
      case 'd': o.delay = number_of(optarg, 0, 86400, "-d: seconds, 0 to 86400, are needed"); break;
      case 'h': usage(stdout); exit(0);
      case 'V': puts("gosched-top " GS_VERSION); exit(0);
      default: usage(stderr); exit(2);
    }
  }
  if (optind != argc - 1) usage_error("one PID or PATH is needed");
  o.of = argv[optind];
  if (o.once) o.count = 1;
  return o;
}

int main(int argc, char **argv) {
  Options o = options_of(argc, argv);
  struct sigaction on_stop = {.sa_handler = stop};
  sigaction(SIGINT, &on_stop, NULL);
  sigaction(SIGTERM, &on_stop, NULL);
  Monitor m = {open_monitor(o.of), NULL, NULL, 0};
  m.in = fdopen(m.fd, "re");
  if (!m.in) die("%s", strerror(errno));
  int code = run(&o, &m);
  fclose(m.in);
  free(m.text);
  return code;
}
