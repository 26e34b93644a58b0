/* netio.c: gs_read, gs_write, gs_accept, gs_connect over TCP, Unix sockets and pipes. */
#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PROCS = 2 };

/* Until so many green threads are parked for descriptors.  Who was woken may run, and be through,
 * before it is counted down. */
static void await_waiters(uint64_t n) {
  for (int64_t end = gs_now() + PATIENCE; metrics().io_waiters != n && gs_now() < end;)
    gs_sleep(US(50));
  CHECK_INT(metrics().io_waiters, n);
}

/* ---- addresses ---- */

typedef struct address {
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
  };
  unsigned len;
  int family;
} address;

static int tcp_listener(address *a, int backlog) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *a = (address){.family = AF_INET, .len = sizeof a->in};
  a->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  CHECK(bind(fd, &a->any, a->len) == 0);
  CHECK(listen(fd, backlog) == 0);
  CHECK(getsockname(fd, &a->any, &a->len) == 0);
  return fd;
}

/* In the abstract namespace: nothing to remove. */
static int unix_listener(address *a, int backlog) {
  static int count;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *a = (address){.family = AF_UNIX};
  a->un.sun_family = AF_UNIX;
  int n =
      snprintf(a->un.sun_path + 1, sizeof a->un.sun_path - 1, "gosched-%d-%d", getpid(), count++);
  a->len = (unsigned)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
  CHECK(bind(fd, &a->any, a->len) == 0);
  CHECK(listen(fd, backlog) == 0);
  return fd;
}

static int listener(int family, address *a, int backlog) {
  return family == AF_INET ? tcp_listener(a, backlog) : unix_listener(a, backlog);
}

static int dial(const address *a) {
  int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK_CODE(gs_connect(fd, &a->any, a->len, gs_now() + PATIENCE), GS_OK);
  return fd;
}

/* ---- echo ---- */

typedef struct server {
  int fd, conns;
  gs_chan *done; /* from every connection, and from the acceptor */
} server;

typedef struct session {
  int fd;
  server *s;
} session;

static void serve(void *arg) {
  session c = *(session *)arg;
  char buf[512];
  size_t n;
  free(arg);
  for (;;) {
    int r = gs_read(c.fd, buf, sizeof buf, gs_now() + PATIENCE, &n);
    CHECK_CODE(r, GS_OK);
    if (r != GS_OK || n == 0) break;
    CHECK_CODE(gs_write(c.fd, buf, n, gs_now() + PATIENCE, NULL), GS_OK);
  }
  CHECK_CODE(gs_close(c.fd), GS_OK);
  CHECK_CODE(gs_chan_send(c.s->done, NULL, GS_FOREVER), GS_OK);
}

static void accept_all(void *arg) {
  server *s = arg;
  for (int i = 0; i < s->conns; i++) {
    session *c = malloc(sizeof *c);
    c->s = s;
    int r = gs_accept(s->fd, NULL, NULL, gs_now() + PATIENCE, &c->fd);
    CHECK_CODE(r, GS_OK);
    if (r != GS_OK) return;
    CHECK(fcntl(c->fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(c->fd, F_GETFD) & FD_CLOEXEC);
    go(serve, c);
  }
  CHECK_CODE(gs_chan_send(s->done, NULL, GS_FOREVER), GS_OK);
}

typedef struct client {
  const address *to;
  int rounds;
  size_t size;
  gs_chan *done;
} client;

static void read_all(int fd, char *buf, size_t n) {
  for (size_t at = 0, got; at < n && !checks_failed(); at += got) {
    CHECK_CODE(gs_read(fd, buf + at, n - at, gs_now() + PATIENCE, &got), GS_OK);
    CHECK(got > 0);
  }
}

static void ask(void *arg) {
  client *c = arg;
  char out[256], in[256];
  int fd = dial(c->to);
  for (int i = 0; i < c->rounds && !checks_failed(); i++) {
    memset(out, i, c->size);
    CHECK_CODE(gs_write(fd, out, c->size, gs_now() + PATIENCE, NULL), GS_OK);
    read_all(fd, in, c->size);
    CHECK(memcmp(out, in, c->size) == 0);
  }
  CHECK_CODE(gs_close(fd), GS_OK);
  CHECK_CODE(gs_chan_send(c->done, NULL, GS_FOREVER), GS_OK);
}

static void echo(int family, int opened, int conns, int rounds) {
  address a;
  server s = {.fd = listener(family, &a, 1024), .conns = conns, .done = chan_new(0, 0)};
  if (opened) CHECK_CODE(gs_poll_open(s.fd), GS_OK);
  client c = {.to = &a, .rounds = rounds, .size = 64, .done = s.done};
  uint64_t calls = metrics().cgocalls;
  go(accept_all, &s);
  for (int i = 0; i < conns; i++) go(ask, &c);
  for (int i = 0; i < 2 * conns + 1; i++)
    CHECK_CODE(gs_chan_recv(s.done, NULL, gs_now() + 4 * PATIENCE), GS_OK);
  /* Only closing is a foreign call, and accepting where the listener may block. */
  CHECK_INT(metrics().cgocalls - calls <= (uint64_t)(opened ? 2 : 4) * (uint64_t)conns, 1);
  CHECK_CODE(gs_close(s.fd), GS_OK);
  CHECK_CODE(gs_chan_free(s.done), GS_OK);
  await_waiters(0);
}

static void echo_few(void *arg) {
  (void)arg;
  for (int opened = 0; opened < 2; opened++) {
    echo(AF_INET, opened, 10, SCALE(200));
    echo(AF_UNIX, opened, 10, SCALE(200));
  }
}

static void test_echo(void **state) {
  (void)state;
  run_procs(PROCS, echo_few, NULL);
}

static void echo_many(void *arg) {
  (void)arg;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_NOFILE, &files);
  int conns = SLOW_BUILD ? 200 : 1000; /* a fibre of TSan's takes milliseconds to make */
  if (files.rlim_cur < 2100 && conns == 1000) {
    conns = (int)(files.rlim_cur - 100) / 2;
    print_message("only %d descriptors allowed: %d connections\n", (int)files.rlim_cur, conns);
  }
  echo(AF_INET, 1, conns, SCALE(20));
  echo(AF_UNIX, 1, conns, SCALE(20));
}

static void test_thousand_connections(void **state) {
  (void)state;
  run_procs(PROCS, echo_many, NULL);
}

/* ---- partial transfers, half-close, errors ---- */

typedef struct bulk {
  int fd;
  size_t n;
} bulk;

static void write_bulk(void *arg) {
  bulk *b = arg;
  unsigned char *data = malloc(b->n);
  size_t put = 0;
  for (size_t i = 0; i < b->n; i++) data[i] = (unsigned char)(i * 7 + i / 251);
  CHECK_CODE(gs_write(b->fd, data, b->n, gs_now() + PATIENCE, &put), GS_OK);
  CHECK_INT(put, b->n);
  CHECK(shutdown(b->fd, SHUT_WR) == 0 || errno == ENOTSOCK);
  free(data);
}

/* Reads in odd pieces: an edge comes only once for what is left. */
static void read_bulk(int fd, size_t n) {
  unsigned char buf[1000];
  size_t at = 0, got = 1;
  for (size_t piece = 1; !checks_failed(); piece = piece % sizeof buf + 1) {
    CHECK_CODE(gs_read(fd, buf, piece, gs_now() + PATIENCE, &got), GS_OK);
    if (got == 0) break;
    for (size_t i = 0; i < got; i++, at++)
      if (buf[i] != (unsigned char)(at * 7 + at / 251))
        return check_failed(__FILE__, __LINE__, "the byte");
  }
  CHECK_INT(at, n);
}

static void bulk_both_ways(void *arg) {
  (void)arg;
  for (int family = AF_UNIX; family <= AF_INET; family++) {
    address a;
    int l = listener(family, &a, 1), s;
    bulk out = {.n = (size_t)SCALE(3000000)};
    out.fd = dial(&a);
    CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &s), GS_OK);
    gs_handle *h = go_named("writer", write_bulk, &out);
    read_bulk(s, out.n);
    join(h);
    /* Half closed: the other direction works on. */
    bulk back = {.fd = s, .n = 100000};
    h = go_named("writer", write_bulk, &back);
    read_bulk(out.fd, back.n);
    join(h);
    CHECK_CODE(gs_close(s), GS_OK);
    CHECK_CODE(gs_close(out.fd), GS_OK);
    CHECK_CODE(gs_close(l), GS_OK);
  }
}

static void test_bulk(void **state) {
  (void)state;
  run_procs(PROCS, bulk_both_ways, NULL);
}

static void bulk_pipe(void *arg) {
  int opened = *(int *)arg;
  int fds[2];
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  if (opened) {
    CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
    CHECK_CODE(gs_poll_open(fds[1]), GS_OK);
  }
  bulk out = {.fd = dup(fds[1]), .n = (size_t)SCALE(300000)};
  if (opened) CHECK_CODE(gs_poll_open(out.fd), GS_OK);
  unsigned char buf[1000];
  gs_handle *h = go_named("writer", write_bulk, &out);
  size_t at = 0, got;
  while (at < out.n && !checks_failed()) {
    CHECK_CODE(gs_read(fds[0], buf, sizeof buf, gs_now() + PATIENCE, &got), GS_OK);
    for (size_t i = 0; i < got; i++, at++) CHECK_INT(buf[i], (unsigned char)(at * 7 + at / 251));
  }
  CHECK_CODE(gs_read(fds[0], buf, 1, in_ms(2), &got), GS_ETIMEOUT);
  CHECK_INT(got, 0);
  join(h);
  CHECK_CODE(gs_close(out.fd), GS_OK);
  CHECK_CODE(gs_close(fds[1]), GS_OK);
  CHECK_CODE(gs_read(fds[0], buf, 1, GS_FOREVER, &got), GS_OK);
  CHECK_INT(got, 0);
  CHECK_CODE(gs_close(fds[0]), GS_OK);
}

static void test_bulk_pipe(void **state) {
  (void)state;
  for (int opened = 0; opened < 2; opened++) run_procs(PROCS, bulk_pipe, &opened);
}

static void errors(void *arg) {
  (void)arg;
  address a;
  size_t n = 1;
  char c[4096] = "";
  int l = tcp_listener(&a, 1), s = -2;
  /* Nobody listens. */
  CHECK_CODE(gs_close(l), GS_OK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_CODE(gs_connect(fd, &a.any, a.len, gs_now() + PATIENCE), GS_ESYS);
  CHECK_INT(gs_errno(), ECONNREFUSED);
  CHECK_CODE(gs_connect(fd, NULL, 0, 0), GS_EINVAL);
  CHECK_CODE(gs_close(fd), GS_OK);
  /* A reset. */
  l = tcp_listener(&a, 1);
  fd = dial(&a);
  CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &s), GS_OK);
  struct linger hard = {1, 0};
  CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  CHECK_CODE(gs_close(s), GS_OK);
  CHECK_CODE(gs_read(fd, c, 1, gs_now() + PATIENCE, &n), GS_ESYS);
  CHECK_INT(gs_errno(), ECONNRESET);
  CHECK_INT(n, 0);
  CHECK_CODE(gs_write(fd, c, 1, gs_now() + PATIENCE, &n), GS_ESYS);
  CHECK_INT(gs_errno(), EPIPE); /* and no SIGPIPE */
  CHECK_CODE(gs_close(fd), GS_OK);
  /* Deadlines; how much was written is told. */
  fd = dial(&a);
  CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &s), GS_OK);
  CHECK_CODE(gs_read(fd, c, 1, in_ms(3), &n), GS_ETIMEOUT);
  CHECK_CODE(gs_read(fd, c, 1, 0, &n), GS_ETIMEOUT);
  CHECK_CODE(gs_accept(l, NULL, NULL, in_ms(1), &s), GS_ETIMEOUT);
  CHECK_INT(s, -1);
  size_t much = 64u << 20;
  char *data = calloc(1, much);
  CHECK_CODE(gs_write(fd, data, much, in_ms(20), &n), GS_ETIMEOUT);
  CHECK(n > 0 && n < much);
  free(data);
  CHECK_CODE(gs_close(fd), GS_OK);
  CHECK_CODE(gs_close(l), GS_OK);
  /* Arguments. */
  CHECK_CODE(gs_read(0, NULL, 1, 0, NULL), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "gs_read: buf") != NULL);
  CHECK_CODE(gs_write(0, NULL, 1, 0, NULL), GS_EINVAL);
  CHECK_CODE(gs_accept(0, NULL, NULL, 0, NULL), GS_EINVAL);
  CHECK_CODE(gs_read(-1, c, 1, 0, &n), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_write(900000, c, 1, 0, &n), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_accept(-1, NULL, NULL, 0, &s), GS_ESYS);
  CHECK_INT(gs_errno(), EBADF);
  CHECK_CODE(gs_connect(-1, &a.any, a.len, 0), GS_EINVAL);
}

static void test_errors(void **state) {
  (void)state;
  run_procs(PROCS, errors, NULL);
}

/* A read that took all data is not followed by an attempt in vain, but by a wait.  That must not
 * miss what came with the data: the end, or more data behind an urgent byte, where a read stops. */
static void what_comes_with_data(void *arg) {
  int urgent = *(int *)arg;
  address a;
  char c[512];
  size_t n;
  int l = tcp_listener(&a, 4), s;
  for (int i = 0; i < 20 && !checks_failed(); i++) {
    int fd = dial(&a);
    CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &s), GS_OK);
    CHECK(send(fd, "ab", 2, 0) == 2);
    if (urgent) {
      CHECK(send(fd, "!", 1, MSG_OOB) == 1);
      CHECK(send(fd, "cd", 2, 0) == 2);
    }
    CHECK(shutdown(fd, SHUT_WR) == 0);
    if (i % 2) gs_sleep(MS(1)); /* all of it is one event */
    int64_t begin = gs_now();
    CHECK_CODE(gs_read(s, c, sizeof c, begin + PATIENCE, &n), GS_OK);
    CHECK_INT(n, 2);
    if (urgent) {
      CHECK_CODE(gs_read(s, c, sizeof c, begin + PATIENCE, &n), GS_OK);
      CHECK_INT(n, 2);
      CHECK(memcmp(c, "cd", 2) == 0);
    }
    CHECK_CODE(gs_read(s, c, sizeof c, begin + PATIENCE, &n), GS_OK);
    CHECK_INT(n, 0);
    CHECK(gs_now() - begin < PATIENCE); /* woken, not found after the deadline */
    CHECK_CODE(gs_close(s), GS_OK);
    CHECK_CODE(gs_close(fd), GS_OK);
  }
  CHECK_CODE(gs_close(l), GS_OK);
}

static void test_what_comes_with_data(void **state) {
  (void)state;
  for (int urgent = 0; urgent < 2; urgent++) run_procs(PROCS, what_comes_with_data, &urgent);
}

/* A deadline in the past tries once, and so does a cancelled green thread: also after such a read.
 */
static void try_after_short_read(void *arg) {
  int *fds = arg;
  char c[16];
  size_t n;
  for (int i = 0; i < 200 && !checks_failed(); i++) {
    CHECK(send(fds[1], "x", 1, 0) == 1);
    while (recv(fds[0], c, 1, MSG_PEEK | MSG_DONTWAIT) != 1) sched_yield(); /* it has arrived */
    CHECK_CODE(gs_read(fds[0], c, sizeof c, 0, &n), GS_OK);
    CHECK_INT(n, 1);
    CHECK_CODE(gs_read(fds[0], c, sizeof c, 0, &n), gs_cancelled() ? GS_ECANCELED : GS_ETIMEOUT);
  }
}

static void tries(void *arg) {
  (void)arg;
  address a;
  int fds[2], l = tcp_listener(&a, 4);
  fds[1] = dial(&a);
  CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &fds[0]), GS_OK);
  try_after_short_read(fds);
  CHECK_CODE(gs_close(fds[0]), GS_OK);
  CHECK_CODE(gs_close(fds[1]), GS_OK);
  CHECK_CODE(gs_close(l), GS_OK);
}

static void test_tries(void **state) {
  (void)state;
  run_procs(PROCS, tries, NULL);
}

/* ---- blocked operations are ended ---- */

typedef struct blocked {
  int fd, expect;
  int which; /* 0 read, 1 write, 2 accept */
} blocked;

static void run_blocked(void *arg) {
  blocked *b = arg;
  static char data[8 << 20];
  char c;
  int conn;
  size_t n;
  int r = b->which == 0   ? gs_read(b->fd, &c, 1, gs_now() + PATIENCE, &n)
          : b->which == 1 ? gs_write(b->fd, data, sizeof data, gs_now() + PATIENCE, &n)
                          : gs_accept(b->fd, NULL, NULL, gs_now() + PATIENCE, &conn);
  CHECK_CODE(r, b->expect);
}

static void end_blocked(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(100) && !checks_failed(); i++) {
    address a;
    int l = listener(i % 2 ? AF_INET : AF_UNIX, &a, 4), s;
    CHECK_CODE(gs_poll_open(l), GS_OK);
    int fd = dial(&a);
    CHECK_CODE(gs_accept(l, NULL, NULL, gs_now() + PATIENCE, &s), GS_OK);
    int how = i % 3 == 0 ? GS_ECLOSED : GS_ECANCELED;
    blocked b[] = {{fd, how, 0}, {fd, how, 1}, {l, how, 2}};
    gs_handle *h[3];
    for (int k = 0; k < 3; k++) h[k] = go_named("blocked", run_blocked, &b[k]);
    await_waiters(3);
    if (how == GS_ECLOSED) {
      CHECK_CODE(gs_poll_close(fd), GS_OK);
      CHECK_CODE(gs_poll_close(l), GS_OK);
    } else {
      for (int k = 0; k < 3; k++) CHECK_CODE(gs_cancel(h[k]), GS_OK);
    }
    for (int k = 0; k < 3; k++) join(h[k]);
    CHECK_CODE(gs_close(s), GS_OK);
    CHECK_CODE(gs_close(fd), GS_OK);
    CHECK_CODE(gs_close(l), GS_OK);
  }
  await_waiters(0);
}

static void test_end_blocked(void **state) {
  (void)state;
  run_procs(PROCS, end_blocked, NULL);
}

/* Many accept from one listener, and a Unix listener whose queue is full is waited for. */
static void accept_one(void *arg) {
  server *s = arg;
  int conn;
  CHECK_CODE(gs_accept(s->fd, NULL, NULL, gs_now() + PATIENCE, &conn), GS_OK);
  CHECK_CODE(gs_close(conn), GS_OK);
  CHECK_CODE(gs_chan_send(s->done, NULL, GS_FOREVER), GS_OK);
}

static void dial_and_close(void *arg) {
  CHECK_CODE(gs_close(dial(((client *)arg)->to)), GS_OK);
  CHECK_CODE(gs_chan_send(((client *)arg)->done, NULL, GS_FOREVER), GS_OK);
}

static void many_acceptors(void *arg) {
  (void)arg;
  enum { N = 40 };
  for (int family = AF_UNIX; family <= AF_INET; family++) {
    address a;
    server s = {.fd = listener(family, &a, family == AF_UNIX ? 2 : 64), .done = chan_new(0, 0)};
    client c = {.to = &a, .done = s.done};
    CHECK_CODE(gs_poll_open(s.fd), GS_OK);
    for (int i = 0; i < N; i++) go(dial_and_close, &c);
    if (family == AF_UNIX) gs_sleep(MS(5));
    for (int i = 0; i < N; i++) go(accept_one, &s);
    for (int i = 0; i < 2 * N; i++)
      CHECK_CODE(gs_chan_recv(s.done, NULL, gs_now() + PATIENCE), GS_OK);
    CHECK_CODE(gs_close(s.fd), GS_OK);
    CHECK_CODE(gs_chan_free(s.done), GS_OK);
  }
}

static void test_many_acceptors(void **state) {
  (void)state;
  run_procs(PROCS, many_acceptors, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_echo),
      cmocka_unit_test(test_thousand_connections),
      cmocka_unit_test(test_bulk),
      cmocka_unit_test(test_bulk_pipe),
      cmocka_unit_test(test_what_comes_with_data),
      cmocka_unit_test(test_tries),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_end_blocked),
      cmocka_unit_test(test_many_acceptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
