/* netpoll_epoll.c: readiness, as Linux tells it.
 *
 * One epoll instance for the process, made when the first descriptor is given to it.  A descriptor
 * is added once, edge-triggered, for both directions (os_netpoll_open), or armed for one event at
 * a time, level-triggered (os_netpoll_arm), where the caller does not own it.  What comes back
 * with an event is the 64-bit tag that went in; netpoll.c sees from it whether it is stale.
 *
 * The break.  An eventfd in the same instance ends a wait early (os_netpoll_break).  break_sent
 * suppresses duplicates: it goes from 0 to 1 with the write, and back only when a *blocking* wait
 * has read the eventfd.  A non-blocking one that comes across it leaves it alone: it is meant for
 * the sleeper, and its edge would be lost.  The race: somebody publishes what the sleeper must see
 * (a nearer timer), finds break_sent set, and writes nothing.  Then the sleeper has not yet cleared
 * it: it is awake, or about to be, and it looks at everything again after it has cleared.  So the
 * order there is: read the eventfd, clear break_sent, look.
 *
 * Time.  epoll_pwait2 takes nanoseconds; kernels before 5.11 have only milliseconds, and then
 * os_netpoll_ms rounds.  A wait that a signal handler interrupts and that has an end returns empty,
 * so that the caller computes what is left; one without an end goes on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../netpoll.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define BREAK_TAG UINT64_MAX
#define OPEN_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

static int epfd = -1, breakfd = -1; /* written once, before netpoll.c publishes that they exist */
static uint32_t break_sent;         /* atomic */
static uint32_t no_pwait2;          /* the kernel has refused it; atomic */

/* 0 or errno. */
int os_netpoll_init(void) {
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = BREAK_TAG};
  int ep = epoll_create1(EPOLL_CLOEXEC), e;
  if (ep < 0) return errno;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) goto fail;
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0) goto fail;
  epfd = ep;
  breakfd = fd;
  return 0;
fail:
  e = errno;
  if (fd >= 0) close(fd);
  close(ep);
  return e;
}

int os_netpoll_forked(void) {
  close(epfd); /* the child's numbers; the instance remains the parent's */
  close(breakfd);
  epfd = breakfd = -1;
  store_rlx(&break_sent, 0);
  return os_netpoll_init();
}

static int control(int op, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event ev = {.events = events, .data.u64 = tag};
  return epoll_ctl(epfd, op, fd, &ev) == 0 ? 0 : errno;
}

/* Both directions, edge-triggered.  0 or errno; EPERM: always ready (a regular file). */
int os_netpoll_open(int fd, uint64_t tag) {
  int e = control(EPOLL_CTL_ADD, fd, OPEN_EVENTS, tag);
  /* Armed before by os_netpoll_arm, or a duplicate has kept an older registration alive. */
  return e == EEXIST ? control(EPOLL_CTL_MOD, fd, OPEN_EVENTS, tag) : e;
}

/* True: added by os_netpoll_open and not closed since.  What is ready is told again. */
bool os_netpoll_is_open(int fd, uint64_t tag) {
  return control(EPOLL_CTL_MOD, fd, OPEN_EVENTS, tag) == 0;
}

/* The next event of these directions, if only because it is ready already; then no more. */
int os_netpoll_arm(int fd, uint32_t mode, uint64_t tag) {
  uint32_t events = EPOLLONESHOT;
  if (mode & GS_READ) events |= EPOLLIN | EPOLLRDHUP;
  if (mode & GS_WRITE) events |= EPOLLOUT;
  int e = control(EPOLL_CTL_MOD, fd, events, tag);
  /* Not there yet, or another file has the number now. */
  return e == ENOENT ? control(EPOLL_CTL_ADD, fd, events, tag) : e;
}

void os_netpoll_close(int fd) { control(EPOLL_CTL_DEL, fd, 0, 0); }

/* What a descriptor is ready for at this moment, of these directions; negative errno: bad fd. */
int os_fd_ready(int fd, uint32_t mode) {
  struct pollfd p = {.fd = fd};
  if (fd < 0) return -EBADF; /* poll ignores these */
  if (mode & GS_READ) p.events |= POLLIN | POLLRDHUP;
  if (mode & GS_WRITE) p.events |= POLLOUT;
  while (poll(&p, 1, 0) < 0)
    if (errno != EINTR) return -errno;
  if (p.revents & POLLNVAL) return -EBADF;
  uint32_t got = 0;
  if (p.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) got |= GS_READ;
  if (p.revents & (POLLOUT | POLLHUP | POLLERR)) got |= GS_WRITE;
  return (int)(got & mode);
}

/* The specification's rule for a wait of so many ns, in the milliseconds of epoll_wait: none ends
 * early by being rounded to nothing, and the longest is 11.5 days. */
int os_netpoll_ms(int64_t delay) {
  if (delay < 0) return -1;
  if (delay == 0) return 0;
  if (delay < 1000000) return 1;
  if (delay < 1000000000000000) return (int)(delay / 1000000);
  return 1000000000;
}

/* delay: ns, 0: do not wait, -1: for ever.  How many events, or negative errno. */
static int wait_once(struct epoll_event *ev, int max, int64_t delay) {
  int n;
  if (delay > 0 && !load_rlx(&no_pwait2)) {
    struct timespec t = {delay / 1000000000, delay % 1000000000};
    n = (int)syscall(SYS_epoll_pwait2, epfd, ev, max, &t, NULL, 0);
    if (n >= 0) return n;
    if (errno != ENOSYS && errno != EPERM) return -errno;
    store_rlx(&no_pwait2, 1); /* an old kernel, or a filter that does not know the call */
  }
  n = epoll_wait(epfd, ev, max, os_netpoll_ms(delay));
  return n >= 0 ? n : -errno;
}

/* Up to max events into out.  when: GS_POLL_NOW: do not wait; GS_FOREVER; else until then. */
int os_netpoll_wait(PollEvent *out, int max, int64_t when) {
  struct epoll_event ev[POLL_BATCH];
  int saved = errno, n, got = 0;
  bool block = when != GS_POLL_NOW;
  for (;;) {
    int64_t delay = when == GS_FOREVER ? -1 : 0;
    if (block && when != GS_FOREVER && (delay = when - os_now()) < 0) delay = 0;
    n = wait_once(ev, max < POLL_BATCH ? max : POLL_BATCH, delay);
    if (n >= 0) break;
    if (n != -EINTR) throw_("epoll_wait failed; has somebody closed the runtime's descriptor?");
    if (delay > 0) n = 0;
    if (delay > 0) break;
  }
  for (int i = 0; i < n; i++) {
    uint32_t e = ev[i].events, mode = 0;
    if (ev[i].data.u64 == BREAK_TAG) {
      uint64_t count;
      if (!block) continue; /* the sleeper's */
      ssize_t r = read(breakfd, &count, sizeof count);
      (void)r;
      torture_window(); /* a break that comes now is suppressed: its sender's news are seen below */
      store_sc(&break_sent, 0);
      continue;
    }
    if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) mode |= GS_READ;
    if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR)) mode |= GS_WRITE;
    if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) mode |= POLL_ODD;
    if (mode) out[got++] = (PollEvent){.tag = ev[i].data.u64, .mode = mode};
  }
  errno = saved;
  return got;
}

/* Ends the wait of whoever blocks, or the next one. */
void os_netpoll_break(void) {
  if (!CAS(&break_sent, 0, 1)) return;
  int saved = errno;
  uint64_t one = 1;
  while (write(breakfd, &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = saved;
}
