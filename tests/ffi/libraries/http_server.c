/* http_server.c: see http_server.h.  A thread listens, and each connection has one. */
#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listening;
static pthread_t listener;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool released, stopped; /* under the lock */
static int holding, served;    /* under the lock; served: connections under way */

static bool send_all(int fd, const void *bytes, size_t n) {
  for (const char *at = bytes; n > 0;) {
    ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    n -= (size_t)sent;
  }
  return true;
}

static bool send_bytes(int fd, unsigned long from, unsigned long to) {
  unsigned char part[4096];
  while (from < to) {
    unsigned long n = to - from < sizeof(part) ? to - from : sizeof(part);
    for (unsigned long i = 0; i < n; i++) part[i] = http_byte(from + i);
    if (!send_all(fd, part, n)) return false;
    from += n;
  }
  return true;
}

static void hold(void) {
  pthread_mutex_lock(&lock);
  holding++;
  while (!released && !stopped) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static void answer(int fd, const char *path) {
  char head[200];
  unsigned long n = 0;
  bool held = sscanf(path, "/hold/%lu", &n) == 1;
  if (strncmp(path, "/endless", 8) == 0) {
    n = ~0ul >> 2;
  } else if (!held && sscanf(path, "/bytes/%lu", &n) != 1) {
    static const char none[] = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    send_all(fd, none, sizeof(none) - 1);
    return;
  }
  snprintf(head, sizeof(head),
           "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\nConnection: close\r\n\r\n", n);
  if (!send_all(fd, head, strlen(head)) || !send_bytes(fd, 0, n / 2)) return;
  if (held) hold();
  send_bytes(fd, n / 2, n);
}

static void *serve(void *arg) {
  int fd = *(int *)arg;
  char request[4096];
  size_t size = 0;
  free(arg);
  for (ssize_t n; size < sizeof(request) - 1; size += (size_t)n) {
    n = recv(fd, request + size, sizeof(request) - 1 - size, 0);
    if (n <= 0) break;
    request[size + (size_t)n] = 0;
    if (!strstr(request, "\r\n\r\n")) continue;
    char path[256] = "";
    if (sscanf(request, "GET %255s", path) == 1) answer(fd, path);
    break;
  }
  shutdown(fd, SHUT_WR);
  while (recv(fd, request, sizeof(request), 0) > 0) continue; /* no reset before all is read */
  close(fd);
  pthread_mutex_lock(&lock);
  served--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void *listen_on(void *arg) {
  (void)arg;
  for (;;) {
    int *fd = malloc(sizeof(*fd));
    pthread_t thread;
    if (!fd || (*fd = accept(listening, NULL, NULL)) < 0) {
      free(fd);
      return NULL;
    }
    pthread_mutex_lock(&lock);
    served++;
    pthread_mutex_unlock(&lock);
    if (pthread_create(&thread, NULL, serve, fd) == 0) pthread_detach(thread);
  }
}

int http_start(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(at);
  listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listening < 0 || bind(listening, (struct sockaddr *)&at, size) != 0 ||
      listen(listening, 100) != 0 || getsockname(listening, (struct sockaddr *)&at, &size) != 0 ||
      pthread_create(&listener, NULL, listen_on, NULL) != 0)
    return -1;
  return ntohs(at.sin_port);
}

void http_release(void) {
  pthread_mutex_lock(&lock);
  released = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

int http_holding(void) {
  pthread_mutex_lock(&lock);
  int n = holding;
  pthread_mutex_unlock(&lock);
  return n;
}

void http_stop(void) {
  pthread_mutex_lock(&lock);
  stopped = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  shutdown(listening, SHUT_RDWR);
  pthread_join(listener, NULL);
  close(listening);
  pthread_mutex_lock(&lock);
  while (served > 0) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}
