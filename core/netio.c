/* netio.c: read, write, accept, connect as a green thread wants them: they wait, and block nobody.
 *
 * Every operation is tried first.  If it would block, the G parks in the poller and tries again.
 * No operation here is a foreign call, with two exceptions, where the kernel offers nothing better:
 * files that epoll refuses, whose reads and writes simply take as long as the disk does; and
 * descriptors in blocking mode that were not given to gs_poll_open.  Their mode is shared with
 * other processes and is not ours to change, and only sockets can be asked once not to block; so
 * those are waited for, and then read in a foreign call in case somebody else was faster.
 *
 * errno.  After a park the G may be on another thread, and gcc takes errno's address for a constant
 * of a function: so whatever reads errno here is a function of its own that does not park.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netpoll.h"

/* ---- single attempts: what they did, or -errno ---- */

typedef struct {
  int fd;
  int flags;    /* of recv and send */
  bool socket;  /* or read and write */
  bool foreign; /* may block: as a foreign call */
  bool writes;
  char *at;
  size_t n;
  ssize_t r;
} Transfer;

static GS_NOINLINE int transfer(void *arg) {
  Transfer *t = arg;
  do {
    if (t->socket && t->writes)
      t->r = send(t->fd, t->at, t->n, t->flags | MSG_NOSIGNAL);
    else if (t->socket)
      t->r = recv(t->fd, t->at, t->n, t->flags);
    else if (t->writes)
      t->r = write(t->fd, t->at, t->n);
    else
      t->r = read(t->fd, t->at, t->n);
  } while (t->r < 0 && errno == EINTR);
  if (t->r < 0) t->r = -errno;
  return 0;
}

static ssize_t attempt(Transfer *t) {
  if (!t->foreign)
    transfer(t);
  else if (gs_cgocall(transfer, t, NULL) != GS_OK)
    transfer(t); /* inside a foreign call already */
  return t->r;
}

static bool would_block(ssize_t r) { return r == -EAGAIN || r == -EWOULDBLOCK; }

static GS_NOINLINE int mode_of(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -errno : flags;
}

static GS_NOINLINE bool always_ready(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode) &&
         !S_ISSOCK(st.st_mode);
}

/* How to go about a descriptor: sets socket, flags, foreign.  *wait_first: an attempt could block.
 * 0 or errno. */
static int approach(Transfer *t, PollUse *u, bool *wait_first) {
  int how = netpoll_use(u, t->fd);
  *wait_first = false;
  if (how == POLL_USE_OPEN) {
    t->socket = u->socket != POLL_NO_SOCKET;
    return 0;
  }
  int flags = mode_of(t->fd);
  if (flags < 0) return -flags;
  t->socket = netpoll_socket(t->fd) != POLL_NO_SOCKET;
  t->flags = MSG_DONTWAIT;
  if (t->socket) return 0;
  if (how == POLL_USE_ALWAYS || always_ready(t->fd)) {
    t->foreign = true;
    return 0;
  }
  if (flags & O_NONBLOCK) return 0;
  t->foreign = *wait_first = true;
  return 0;
}

/* ---- read and write ---- */

/* One transfer, waiting as long as need be. */
static int transfer_some(Transfer *t, PollUse *u, bool wait_first, int64_t deadline) {
  uint32_t mode = t->writes ? GS_WRITE : GS_READ, used = 0, got;
  size_t all = t->n;
  /* epoll(7): a stream that gave less than was asked for is empty.  Said of TCP only: a Unix socket
   * stops also where control messages begin. */
  bool tcp_read = u->socket == POLL_TCP && !t->writes;
  bool skip = tcp_read && netpoll_is_drained(u);
  for (;;) {
    int r, err = 0;
    if (wait_first) {
      r = netpoll_wait_ready(u, mode, deadline, &got, &err);
      if (r != GS_OK) return r == GS_ESYS ? sys_fail(err) : r;
      /* A pipe that can be written to takes this much without blocking. */
      if (t->writes && t->n > 4096) t->n = 4096;
    }
    if (!skip) {
      ssize_t n = attempt(t);
      bool emptied = tcp_read && n > 0 && (size_t)n < t->n;
      if (tcp_read) netpoll_set_drained(u, emptied);
      t->n = all;
      if (!would_block(n)) {
        if (!emptied) netpoll_again(u, used);
        return n >= 0 ? GS_OK : sys_fail((int)-n);
      }
      if (wait_first || (used = netpoll_reset(u, mode))) continue;
    }
    r = netpoll_park(u, mode, deadline, &got, &err);
    /* It has not been tried yet, and an edge may be on its way: then the data come first. */
    if (r == GS_ECLOSED || (r != GS_OK && !skip)) return r == GS_ESYS ? sys_fail(err) : r;
    skip = false;
    used = got;
    if (u->how != POLL_USE_OPEN) netpoll_use(u, t->fd);
  }
}

static int bad_buffer(const char *who) {
  return gs_fail(GS_EINVAL, "%s: buf is NULL; %s is needed", who,
                 "an address of as many bytes as n says");
}

int gs_read(int fd, void *buf, size_t n, int64_t deadline, size_t *got) {
  Transfer t = {.fd = fd, .at = buf, .n = n};
  PollUse u;
  bool wait_first;
  if (got) *got = 0;
  if (!buf && n) return bad_buffer("gs_read");
  int e = approach(&t, &u, &wait_first);
  if (e) return sys_fail(e);
  int r = transfer_some(&t, &u, wait_first, deadline);
  if (r == GS_OK && got) *got = (size_t)t.r;
  return r;
}

int gs_write(int fd, const void *buf, size_t n, int64_t deadline, size_t *put) {
  Transfer t = {.fd = fd, .at = (char *)(uintptr_t)buf, .n = n, .writes = true};
  PollUse u;
  bool wait_first;
  size_t done = 0;
  int r = GS_OK;
  if (put) *put = 0;
  if (!buf && n) return bad_buffer("gs_write");
  int e = approach(&t, &u, &wait_first);
  if (e) return sys_fail(e);
  do {
    r = transfer_some(&t, &u, wait_first, deadline);
    if (r != GS_OK) break;
    done += (size_t)t.r;
    t.at += t.r;
    t.n -= (size_t)t.r;
  } while (t.n);
  if (put) *put = done;
  return r;
}

/* ---- accept ---- */

typedef struct {
  int fd, conn;
  struct sockaddr *addr;
  socklen_t *len;
} Accept;

static GS_NOINLINE int accept_one(void *arg) {
  Accept *a = arg;
  socklen_t room = a->len ? *a->len : 0;
  do {
    if (a->len) *a->len = room;
    a->conn = accept4(a->fd, a->addr, a->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    /* ECONNABORTED: the peer has given up while it was queued; the next one. */
  } while (a->conn < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (a->conn < 0) a->conn = -errno;
  return 0;
}

int gs_accept(int fd, struct sockaddr *addr, unsigned *addrlen, int64_t deadline, int *conn) {
  Accept a = {.fd = fd, .addr = addr, .len = addrlen};
  PollUse u;
  uint32_t used = 0, got;
  int r, err = 0;
  if (!conn) return gs_fail(GS_EINVAL, "gs_accept: conn is NULL; the address of an int is needed");
  *conn = -1;
  bool blocks = netpoll_use(&u, fd) != POLL_USE_OPEN && !(mode_of(fd) & O_NONBLOCK);
  for (;;) {
    if (blocks) {
      r = netpoll_wait_ready(&u, GS_READ, deadline, &got, &err);
      if (r != GS_OK) return r == GS_ESYS ? sys_fail(err) : r;
    }
    if (!blocks || gs_cgocall(accept_one, &a, NULL) != GS_OK) accept_one(&a);
    if (!would_block(a.conn)) netpoll_again(&u, used);
    if (a.conn >= 0) break;
    if (!would_block(a.conn)) return sys_fail(-a.conn);
    if (blocks || (used = netpoll_reset(&u, GS_READ))) continue;
    r = netpoll_park(&u, GS_READ, deadline, &got, &err);
    if (r != GS_OK) return r == GS_ESYS ? sys_fail(err) : r;
    used = got;
    if (u.how != POLL_USE_OPEN) netpoll_use(&u, fd);
  }
  r = netpoll_open("gs_accept", a.conn, u.socket ? u.socket : netpoll_socket(a.conn));
  if (r != GS_OK) {
    int e = gs_errno();
    close(a.conn);
    return r == GS_ESYS ? sys_fail(e) : r;
  }
  *conn = a.conn;
  return GS_OK;
}

/* ---- connect ---- */

static GS_NOINLINE int connect_once(int fd, const struct sockaddr *addr, unsigned len) {
  return connect(fd, addr, len) == 0 ? 0 : -errno;
}

/* 0: connected; -EINPROGRESS: not yet; else what went wrong. */
static GS_NOINLINE int connect_state(int fd) {
  int e = 0;
  socklen_t len = sizeof e;
  struct sockaddr_storage peer;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) return -errno;
  if (e == EISCONN) return 0;
  if (e != 0) return -e;
  len = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0) return 0;
  return errno == ENOTCONN ? -EINPROGRESS : -errno;
}

static bool in_progress(int e) { return e == -EINPROGRESS || e == -EALREADY || e == -EINTR; }

#define RETRY_NS 1000000

/* A nonblocking connect to a Unix socket whose queue is full fails with EAGAIN, and no event tells
 * when there is room. */
static int wait_for_room(int64_t deadline) {
  int64_t now = os_now();
  if (deadline <= now) return GS_ETIMEOUT;
  return gs_sleep(deadline - now < RETRY_NS ? deadline - now : RETRY_NS);
}

int gs_connect(int fd, const struct sockaddr *addr, unsigned addrlen, int64_t deadline) {
  PollUse u;
  uint32_t got;
  int err = 0;
  if (!addr) return gs_fail(GS_EINVAL, "gs_connect: addr is NULL; an address is needed");
  int r = gs_poll_open(fd);
  if (r != GS_OK) return r;
  for (;;) {
    netpoll_use(&u, fd);
    netpoll_reset(&u, GS_WRITE);
    int e = connect_once(fd, addr, addrlen);
    if (e == 0) return GS_OK;
    if (e == -EAGAIN && addr->sa_family == AF_UNIX) {
      if ((r = wait_for_room(deadline)) != GS_OK) return r;
      continue;
    }
    if (!in_progress(e)) return sys_fail(-e);
    break;
  }
  for (;;) {
    r = netpoll_park(&u, GS_WRITE, deadline, &got, &err);
    if (r != GS_OK) return r == GS_ESYS ? sys_fail(err) : r;
    int e = connect_state(fd);
    if (e == 0) return GS_OK;
    if (!in_progress(e)) return sys_fail(-e);
  }
}

/* ---- waiting, closing ---- */

static int check_events(const char *who, int events) {
  if (events > 0 && !(events & ~(GS_READ | GS_WRITE))) return GS_OK;
  return gs_fail(GS_EINVAL, "%s: events is %d; GS_READ, GS_WRITE or both are accepted", who,
                 events);
}

int gs_wait_ready(int fd, int events, int64_t deadline, int *ready) {
  PollUse u;
  uint32_t got = 0;
  int err = 0;
  if (ready) *ready = 0;
  if (check_events("gs_wait", events) != GS_OK) return GS_EINVAL;
  netpoll_use(&u, fd);
  int r = netpoll_wait_ready(&u, (uint32_t)events, deadline, &got, &err);
  if (r == GS_ESYS) return sys_fail(err);
  if (r == GS_OK && ready) *ready = (int)got;
  return r;
}

int gs_wait(int fd, int events, int64_t deadline) {
  return gs_wait_ready(fd, events, deadline, NULL);
}

int gs_poll_wait(int fd, int events, int64_t deadline) {
  PollUse u;
  uint32_t got = 0;
  int err = 0;
  if (check_events("gs_poll_wait", events) != GS_OK) return GS_EINVAL;
  int how = netpoll_use(&u, fd);
  if (how == POLL_USE_ALWAYS) return GS_OK;
  if (how != POLL_USE_OPEN)
    return gs_fail(GS_EINVAL, "gs_poll_wait: fd %d was not given to gs_poll_open", fd);
  int r = netpoll_park(&u, (uint32_t)events, deadline, &got, &err);
  return r == GS_ESYS ? sys_fail(err) : r;
}

static int close_it(void *arg) { return close(*(int *)arg) == 0 ? 0 : errno; }

int gs_close(int fd) {
  PollUse u;
  int e = 0;
  netpoll_use(&u, fd);
  if (u.state) gs_poll_close(fd);
  /* It may take as long as a disk does, or a lingering connection. */
  if (gs_cgocall(close_it, &fd, &e) != GS_OK) e = close_it(&fd);
  return e ? sys_fail(e) : GS_OK;
}
