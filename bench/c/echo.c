/* echo.c: a TCP server that sends back what it gets, 64 bytes at a time, on many connections.
 *
 * The load comes from a process of its own, the same for every server (gsecho.c), so a sample is
 * what one request takes of the machine as a whole: with one connection the time there and back,
 * with many the inverse of the rate.  The floor is one thread with epoll, written as plainly as can
 * be.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gosched.h"
#include "harness.h"

static int listen_somewhere(int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 1024) != 0 ||
      getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
    bench_die("cannot listen on 127.0.0.1: %s", strerror(errno));
  }
  *port = ntohs(a.sin_port);
  return fd;
}

/* ---- the load ---- */

struct load {
  const bench_options *options;
  bench_result *out;
  int port, conns;
};

/* Runs gsecho, which stands beside this program, and takes its samples. */
static int run_load(void *arg) {
  struct load *load = arg;
  char self[4096], command[4400], line[64];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) {
    bench_die("/proc/self/exe: %s", strerror(errno));
  }
  self[n] = '\0';
  *strrchr(self, '/') = '\0';
  snprintf(command, sizeof command, "exec '%s/gsecho' %d %d %d %g", self, load->port, load->conns,
           load->options->samples, load->options->target_ns / 1e6);
  FILE *pipe = popen(command, "re");
  if (pipe == NULL) {
    bench_die("%s: %s", command, strerror(errno));
  }
  while (fgets(line, sizeof line, pipe) != NULL) {
    bench_push(load->out, strtod(line, NULL));
  }
  if (pclose(pipe) != 0) {
    bench_die("gsecho failed");
  }
  return 0;
}

/* ---- gosched ---- */

static void serve(void *arg) {
  int fd = (int)(intptr_t)arg;
  char buf[512];
  size_t n;
  while (gs_read(fd, buf, sizeof buf, GS_FOREVER, &n) == GS_OK && n > 0) {
    if (gs_write(fd, buf, n, GS_FOREVER, NULL) != GS_OK) {
      break;
    }
  }
  gs_close(fd);
}

static void accept_all(void *arg) {
  int fd = *(int *)arg, conn, one = 1;
  while (gs_accept(fd, NULL, NULL, GS_FOREVER, &conn) == GS_OK) {
    setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bench_check("gs_go", gs_go(serve, (void *)(intptr_t)conn));
  }
}

static void body_echo(bench_green *g) {
  struct load load = {g->options, g->out, 0, *(int *)g->arg};
  int fd = listen_somewhere(&load.port);
  bench_check("gs_poll_open", gs_poll_open(fd));
  bench_check("gs_go", gs_go(accept_all, &fd));
  bench_check("gs_cgocall", gs_cgocall(run_load, &load, NULL));
}

static void run_echo(const bench_options *options, bench_result *out, int conns) {
  bench_run_green(2, body_echo, &(bench_green){options, out, &conns});
}

/* ---- the floor ---- */

enum { EVENTS = 128 };

static void *plain_server(void *arg) {
  int listener = *(int *)arg, ep = epoll_create1(EPOLL_CLOEXEC), one = 1;
  struct epoll_event ev[EVENTS], add = {.events = EPOLLIN, .data.fd = listener};
  char buf[512];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &add);
  for (;;) {
    int n = epoll_wait(ep, ev, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd;
      if (fd == listener) {
        int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        add = (struct epoll_event){.events = EPOLLIN, .data.fd = conn};
        epoll_ctl(ep, EPOLL_CTL_ADD, conn, &add);
        continue;
      }
      ssize_t got = recv(fd, buf, sizeof buf, 0);
      if (got <= 0 || send(fd, buf, (size_t)got, MSG_NOSIGNAL) != got) {
        close(fd);
      }
    }
  }
  return NULL;
}

static void run_floor(const bench_options *options, bench_result *out, int conns) {
  struct load load = {options, out, 0, conns};
  int fd = listen_somewhere(&load.port);
  pthread_t server;
  if (pthread_create(&server, NULL, plain_server, &fd) != 0) {
    bench_die("no thread for the server");
  }
  run_load(&load);
}

static void echo_1(const bench_options *o, bench_result *out) { run_echo(o, out, 1); }
static void echo_100(const bench_options *o, bench_result *out) { run_echo(o, out, 100); }
static void echo_1000(const bench_options *o, bench_result *out) { run_echo(o, out, 1000); }
static void floor_1(const bench_options *o, bench_result *out) { run_floor(o, out, 1); }
static void floor_100(const bench_options *o, bench_result *out) { run_floor(o, out, 100); }
static void floor_1000(const bench_options *o, bench_result *out) { run_floor(o, out, 1000); }

const bench_row bench_rows_echo[] = {
    {"echo.1", "ns", echo_1},
    {"echo.100", "ns", echo_100},
    {"echo.1000", "ns", echo_1000},
    {"floor.echo.1", "ns", floor_1},
    {"floor.echo.100", "ns", floor_100},
    {"floor.echo.1000", "ns", floor_1000},
    {NULL, NULL, NULL},
};
