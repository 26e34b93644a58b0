/* gsecho.c: gsecho PORT CONNECTIONS SAMPLES TARGET_MS: the load for the rows echo.*.
 *
 * Opens the connections to 127.0.0.1:PORT and keeps one request of 64 bytes under way on each of
 * them, from one thread with epoll, so that all servers meet the same load.  After a warm-up it
 * prints SAMPLES lines: nanoseconds per request over about TARGET_MS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BATCH = 256, WARM_UP_MS = 100 };

static void die(const char *what) {
  fprintf(stderr, "gsecho: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int dial(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static char request[SIZE];

static void ask(int fd) {
  if (send(fd, request, SIZE, MSG_NOSIGNAL) != SIZE) die("send");
}

/* How much of its answer has come to each connection, by descriptor. */
static unsigned char *come;

/* Serves one round of events.  Returns how many answers were complete. */
static uint64_t turn(int ep) {
  struct epoll_event ev[BATCH];
  char buf[SIZE];
  uint64_t done = 0;
  int n = epoll_wait(ep, ev, BATCH, 10000);
  if (n == 0) errno = ETIMEDOUT;
  if (n <= 0 && errno != EINTR) die("no answer");
  for (int i = 0; i < n; i++) {
    int fd = ev[i].data.fd;
    ssize_t r = recv(fd, buf, (size_t)(SIZE - come[fd]), MSG_DONTWAIT);
    if (r <= 0) die("recv");
    come[fd] = (unsigned char)(come[fd] + r);
    if (come[fd] < SIZE) continue;
    come[fd] = 0;
    done++;
    ask(fd);
  }
  return done;
}

/* Nanoseconds per request. */
static double run(int ep, int64_t ns) {
  int64_t begin = now(), end;
  uint64_t done = 0;
  do done += turn(ep);
  while ((end = now()) - begin < ns);
  return (double)(end - begin) / (double)done;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: gsecho PORT CONNECTIONS SAMPLES TARGET_MS\n");
    return 1;
  }
  int conns = atoi(argv[2]), ep = epoll_create1(EPOLL_CLOEXEC);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  come = calloc((size_t)conns + 1024, 1);
  if (ep < 0 || come == NULL) die("epoll_create1");
  for (int i = 0; i < conns; i++) {
    int fd = dial(atoi(argv[1]));
    if (fd >= conns + 1024) die("descriptors");
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0) die("epoll_ctl");
    ask(fd);
  }
  run(ep, (int64_t)WARM_UP_MS * 1000000);
  for (int i = 0; i < atoi(argv[3]); i++) printf("%.3f\n", run(ep, (int64_t)(atof(argv[4]) * 1e6)));
  return 0;
}
