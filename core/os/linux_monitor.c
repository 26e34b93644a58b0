/* linux_monitor.c: the monitor's socket, and the thread that serves it.
 *
 * A Unix socket in the file system, for its owner alone: the mode of the socket is set before it
 * gets its name, so that there is no moment at which others could connect, and who connects is
 * asked for its user all the same.  The name is taken by bind, which makes a new file or fails, and
 * follows no link.  What is there already stays, unless it is a socket that nobody listens on any
 * more: a program that was killed leaves one.
 *
 * One thread serves all.  It waits in poll(2), reads a line, writes a line; nothing that one client
 * does or leaves undone keeps it from the others, for it never waits for one of them alone.  It
 * starts nothing else and is no M; it is counted in nmsys.
 *
 * fork.  The child does not have the thread.  It closes what it inherited, so that the parent's
 * clients see the parent's end, and leaves the name alone.  If the path has %p in it, the child
 * opens a monitor of its own with its first new green thread, when it gets its other threads, too.
 * The lock is held over every change of what has to be closed then, and over fork.
 *
 * The name is taken away when the process exits, by the process that made it, and only if it is
 * still the same file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../runtime.h"

#define CLIENTS 16
#define LINE 64 /* bytes of a request, more than any has */
#define PATH_ROOM sizeof(((struct sockaddr_un *)0)->sun_path)

typedef struct {
  int fd;          /* lock, for fork; -1: none */
  size_t got;      /* bytes of in */
  char in[LINE];   /* the request, as far as it is here */
  char *out;       /* the answer, NULL: none is under way */
  size_t len, off; /* of out, and how much of it has been sent */
} Client;

static struct {
  Lock lock;
  enum { OFF, ON, ENDING } runs; /* lock; ENDING: the thread is asked to go */
  int listening, wake;           /* lock; -1: not open */
  char given[PATH_ROOM];         /* the path as it was given, with its %p; lock */
  char path[PATH_ROOM];          /* lock */
  dev_t dev;                     /* of the file at path, and its number; lock */
  ino_t ino;                     /* as dev */
  pid_t owner;                   /* who made it; lock */
  Note ended;                    /* the thread is gone */
  Client client[CLIENTS];        /* the thread, but for fd */
} mon = {.listening = -1, .wake = -1};

static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

/* ---- the path ---- */

static int too_long(const char *given) {
  return gs_fail(GS_EINVAL, "the monitor's path is %zu bytes long; up to %zu are accepted",
                 strlen(given), PATH_ROOM - 1);
}

/* %p is the process, %% a %. */
static int expand(const char *given, char *path) {
  size_t n = 0;
  char pid[16];
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  for (const char *s = given; *s; s++) {
    char one[2] = {*s, 0};
    const char *piece = one;
    if (*s == '%') {
      s++;
      if (*s == 'p')
        piece = pid;
      else if (*s != '%')
        return gs_fail(GS_EINVAL,
                       "the monitor's path \"%.80s\" has a %% that is neither %%p nor %%%%", given);
    }
    if (n + strlen(piece) >= PATH_ROOM) return too_long(given);
    n += (size_t)snprintf(path + n, PATH_ROOM - n, "%s", piece);
  }
  path[n] = 0;
  return GS_OK;
}

/* NULL and "default" stand for a name in the directory that systems have for such things. */
static int template_of(const char *given, char *out) {
  const char *dir;
  if (given && strcmp(given, "default") != 0) {
    if (!*given) return gs_fail(GS_EINVAL, "the monitor's path is empty; a file name is needed");
    if (strlen(given) >= PATH_ROOM) return too_long(given);
    strcpy(out, given);
    return GS_OK;
  }
  os_secure_env("XDG_RUNTIME_DIR", &dir);
  if (!dir || dir[0] != '/')
    return gs_fail(GS_EINVAL,
                   "the monitor has no default path here, since XDG_RUNTIME_DIR is not set; give "
                   "it one");
  if (snprintf(out, PATH_ROOM, "%s/gosched-%%p.sock", dir) >= (int)PATH_ROOM) return too_long(dir);
  return GS_OK;
}

/* ---- the socket ---- */

static int refused_by_system(const char *path, const char *what) {
  int e = errno;
  (void)gs_fail(GS_ESYS, "the monitor's socket \"%.100s\": %s: %s", path, what, strerror(e));
  errno = e;
  return GS_ESYS;
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strcpy(a.sun_path, path);
  return a;
}

/* Something is there already.  GS_OK: a socket whose program is gone, and it is gone, too. */
static int replace(const char *path) {
  struct stat st;
  struct sockaddr_un a = address_of(path);
  if (lstat(path, &st)) return errno == ENOENT ? GS_OK : refused_by_system(path, "lstat");
  if (!S_ISSOCK(st.st_mode))
    return gs_fail(GS_EINVAL,
                   "the monitor's path \"%.100s\" is taken by something that is no socket; it is "
                   "left as it is",
                   path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return refused_by_system(path, "socket");
  bool dead = connect(fd, (struct sockaddr *)&a, sizeof a) != 0 &&
              (errno == ECONNREFUSED || errno == ENOENT);
  close(fd);
  if (!dead)
    return gs_fail(GS_EBUSY,
                   "the monitor's socket \"%.100s\" is another process's; with %%p in the path "
                   "each has its own",
                   path);
  if (unlink(path) && errno != ENOENT) return refused_by_system(path, "unlink");
  return GS_OK;
}

/* bind makes the file with the socket's own mode, less the umask's. */
static int listen_at(const char *path, int *out) {
  struct sockaddr_un a = address_of(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || fchmod(fd, 0600)) {
    int err = refused_by_system(path, "socket");
    if (fd >= 0) close(fd);
    return err;
  }
  int err = GS_OK;
  for (int tries = 0; bind(fd, (struct sockaddr *)&a, sizeof a); tries++) {
    err = errno == EADDRINUSE && tries < 3 ? replace(path) : refused_by_system(path, "bind");
    if (err) break;
  }
  struct stat st;
  if (!err && (listen(fd, CLIENTS) || lstat(path, &st))) {
    err = refused_by_system(path, "listen");
    unlink(path);
  }
  if (err) {
    close(fd);
    return err;
  }
  mon.dev = st.st_dev;
  mon.ino = st.st_ino;
  mon.owner = getpid();
  *out = fd;
  return GS_OK;
}

static void remove_file(void) {
  struct stat st;
  if (mon.owner == getpid() && lstat(mon.path, &st) == 0 && st.st_dev == mon.dev &&
      st.st_ino == mon.ino)
    unlink(mon.path);
  mon.owner = 0;
}

/* The thread may go on while the process exits: the socket stays open, its name goes. */
static void at_exit(void) {
  if (!trylock(&mon.lock)) return;
  if (mon.runs == ON) remove_file();
  unlock(&mon.lock);
}
static void register_at_exit(void) { atexit(at_exit); }

/* ---- clients ---- */

static void drop(Client *c) {
  lock(&mon.lock);
  close(c->fd);
  c->fd = -1;
  unlock(&mon.lock);
  free(c->out);
  c->out = NULL;
  c->got = 0;
}

static bool may_ask(int fd) {
  struct ucred who;
  socklen_t n = sizeof who;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
         (who.uid == geteuid() || who.uid == 0);
}

static void greet(void) {
  lock(&mon.lock);
  int fd =
      mon.listening < 0 ? -1 : accept4(mon.listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  Client *c = NULL;
  for (int i = 0; i < CLIENTS && !c; i++)
    if (mon.client[i].fd < 0) c = &mon.client[i];
  if (fd >= 0 && c && may_ask(fd)) {
    *c = (Client){.fd = fd};
    fd = -1;
  }
  if (fd >= 0) close(fd);
  unlock(&mon.lock);
}

static void send_more(Client *c) {
  while (c->off < c->len) {
    ssize_t n = send(c->fd, c->out + c->off, c->len - c->off, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) {
      drop(c);
      return;
    }
    c->off += (size_t)n;
  }
  free(c->out);
  c->out = NULL;
}

/* Answers the requests that are here, one at a time: the next one when the answer is on its way. */
static void serve(Client *c) {
  char *end;
  while (c->fd >= 0 && !c->out && (end = memchr(c->in, '\n', c->got))) {
    size_t line = (size_t)(end - c->in) + 1;
    *end = 0;
    if (line > 1 && end[-1] == '\r') end[-1] = 0;
    c->out = monitor_answer(c->in, &c->len);
    c->off = 0;
    c->got -= line;
    memmove(c->in, c->in + line, c->got);
    if (c->out)
      send_more(c);
    else
      drop(c);
  }
  if (c->fd >= 0 && !c->out && c->got == LINE) drop(c); /* no request is so long */
}

static void hear(Client *c) {
  ssize_t n = recv(c->fd, c->in + c->got, LINE - c->got, MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (n <= 0) {
    drop(c);
    return;
  }
  c->got += (size_t)n;
  serve(c);
}

/* ---- the thread ---- */

static void look_at(Client *c, short events) {
  if (c->out) {
    if (events & (POLLERR | POLLHUP))
      drop(c);
    else if (events & POLLOUT)
      send_more(c);
    if (c->fd >= 0) serve(c);
  } else if (events & (POLLIN | POLLERR | POLLHUP)) {
    hear(c);
  }
}

static void *monitor_main(void *arg) {
  (void)arg;
  os_thread_name("gosched-monitor");
  callback_never();
  for (;;) {
    struct pollfd p[CLIENTS + 2] = {{mon.wake, POLLIN, 0}, {mon.listening, POLLIN, 0}};
    for (int i = 0; i < CLIENTS; i++)
      p[i + 2] = (struct pollfd){mon.client[i].fd, mon.client[i].out ? POLLOUT : POLLIN, 0};
    if (poll(p, CLIENTS + 2, -1) < 0) {
      if (errno != EINTR) os_sleep_ns(1000000); /* out of memory */
      continue;
    }
    if (p[0].revents) break;
    for (int i = 0; i < CLIENTS; i++)
      if (p[i + 2].revents && mon.client[i].fd >= 0) look_at(&mon.client[i], p[i + 2].revents);
    if (p[1].revents) greet();
  }
  for (int i = 0; i < CLIENTS; i++)
    if (mon.client[i].fd >= 0) drop(&mon.client[i]);
  lock(&gs_sched.lock);
  store_rlx(&gs_sched.nmsys, gs_sched.nmsys - 1);
  unlock(&gs_sched.lock);
  note_wake(&mon.ended);
  return NULL;
}

static void close_both(void) {
  if (mon.listening >= 0) close(mon.listening);
  if (mon.wake >= 0) close(mon.wake);
  mon.listening = mon.wake = -1;
}

static int start_thread(const char *path) {
  mon.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (mon.wake < 0) return refused_by_system(path, "eventfd");
  for (int i = 0; i < CLIENTS; i++) mon.client[i] = (Client){.fd = -1};
  mon.ended.word = 0;
  lock(&gs_sched.lock);
  store_rlx(&gs_sched.nmsys, gs_sched.nmsys + 1);
  unlock(&gs_sched.lock);
  int err = os_thread_start(monitor_main, NULL);
  if (!err) return GS_OK;
  lock(&gs_sched.lock);
  store_rlx(&gs_sched.nmsys, gs_sched.nmsys - 1);
  unlock(&gs_sched.lock);
  return gs_fail(GS_ETHREADS, "the monitor's thread could not be made: %s", strerror(err));
}

static int start_locked(const char *template) {
  char path[PATH_ROOM];
  int err;
  if (mon.runs != OFF) return gs_fail(GS_EBUSY, "the monitor is open already, at %.100s", mon.path);
  if ((err = expand(template, path)) || (err = listen_at(path, &mon.listening))) return err;
  strcpy(mon.path, path);
  if ((err = start_thread(path))) {
    remove_file();
    close_both();
    return err;
  }
  strcpy(mon.given, template);
  mon.runs = ON;
  return GS_OK;
}

/* ---- the door ---- */

int gs_monitor_start(const char *path) {
  char template[PATH_ROOM];
  int err = template_of(path, template);
  if (err || (err = gs_boot())) return err;
  pthread_once(&at_exit_once, register_at_exit);
  lock(&mon.lock);
  err = start_locked(template);
  int e = errno;
  unlock(&mon.lock);
  errno = e;
  return err;
}

int gs_monitor_stop(void) {
  lock(&mon.lock);
  if (mon.runs != ON) {
    unlock(&mon.lock);
    return gs_fail(GS_EPERM, "gs_monitor_stop: the monitor is not open");
  }
  remove_file();
  mon.runs = ENDING;
  mon.given[0] = 0;
  uint64_t one = 1;
  ssize_t n = write(mon.wake, &one, sizeof one);
  (void)n; /* a counter that is full wakes as well */
  unlock(&mon.lock);
  note_sleep(&mon.ended);
  lock(&mon.lock);
  close_both();
  mon.runs = OFF;
  unlock(&mon.lock);
  return GS_OK;
}

size_t gs_monitor_path(char *buf, size_t n) {
  lock(&mon.lock);
  const char *path = mon.runs == ON ? mon.path : "";
  size_t len = strlen(path);
  if (n) snprintf(buf, n, "%s", path);
  unlock(&mon.lock);
  return len;
}

/* As far as it can be told without opening it. */
bool monitor_path_right(const char *path) {
  char expanded[PATH_ROOM];
  if (strcmp(path, "default") == 0) return true;
  return path[0] == '/' && strlen(path) < PATH_ROOM && expand(path, expanded) == GS_OK;
}

int monitor_from_env(void) {
  static uint32_t done; /* only who is about to be inside gs_run, one at a time as a rule */
  const char *path;
  if (gs_setting_get("GOSCHED_MONITOR", &path, NULL) != 1 || load_rlx(&done)) return GS_OK;
  int err = gs_monitor_start(path);
  if (err == GS_EBUSY) { /* children inherit the variable, too */
    gs_log(1, "GOSCHED_MONITOR: %s", gs_error_detail());
    err = GS_OK;
  }
  if (!err) store_rlx(&done, 1);
  return err;
}

/* ---- fork ---- */

void monitor_lock(bool on) { fork_lock(&mon.lock, on); }

void monitor_forked(void) {
  close_both();
  for (int i = 0; i < CLIENTS; i++)
    if (mon.runs != OFF && mon.client[i].fd >= 0) close(mon.client[i].fd);
  if (strstr(mon.given, "%p") == NULL) mon.given[0] = 0;
  mon.runs = OFF;
  mon.owner = 0;
  mon.ended.word = 0;
}

void monitor_revive(void) {
  lock(&mon.lock);
  if (mon.given[0] && mon.runs == OFF && start_locked(mon.given))
    gs_log(1, "after fork: %s", gs_error_detail());
  unlock(&mon.lock);
}

/* ---- what the answers need of the system ---- */

int os_getpid(void) { return (int)getpid(); }
const char *os_program(void) { return program_invocation_short_name; }

char *os_text_of(void (*write_it)(int fd), size_t *n) {
  int fd = memfd_create("gosched-dump", MFD_CLOEXEC);
  if (fd < 0) return NULL;
  write_it(fd);
  off_t size = lseek(fd, 0, SEEK_END);
  char *text = size < 0 ? NULL : malloc((size_t)size + 1);
  *n = 0;
  while (text && *n < (size_t)size) {
    ssize_t got = pread(fd, text + *n, (size_t)size - *n, (off_t)*n);
    if (got <= 0) break;
    *n += (size_t)got;
  }
  close(fd);
  return text;
}
