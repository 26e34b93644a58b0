/* netpoll.h: what netpoll.c, netio.c, poll.c and the file of core/os that polls share. */
#ifndef GS_NETPOLL_H
#define GS_NETPOLL_H

#include "runtime.h"

/* ---- os/netpoll_*.c ---- */

#define POLL_BATCH 128
#define GS_POLL_NOW INT64_MIN

typedef struct {
  uint64_t tag;
  uint32_t mode; /* GS_READ|GS_WRITE|POLL_ODD */
} PollEvent;
#define POLL_ODD 4u /* not only data: the end, an error, urgent data */

int os_netpoll_init(void);
int os_netpoll_open(int fd, uint64_t tag);
bool os_netpoll_is_open(int fd, uint64_t tag);
int os_netpoll_arm(int fd, uint32_t mode, uint64_t tag);
void os_netpoll_close(int fd);
int os_netpoll_wait(PollEvent *out, int max, int64_t when);
void os_netpoll_break(void);
int os_netpoll_ms(int64_t delay);
int os_fd_ready(int fd, uint32_t mode);

/* ---- netpoll.c: for the scheduler ---- */

/* Gs that are claimed and wait to be made runnable, linked by schedlink. */
typedef struct {
  G *head, **tail;
  uint32_t count; /* by how much netpoll_waiters goes down once they are runnable */
} PollReady;
#define POLL_READY_INIT(r) \
  { NULL, &(r).head, 0 }

/* Polls, and appends to *out the Gs whose descriptors are ready.  when: as os_netpoll_wait. */
void netpoll(int64_t when, PollReady *out);
/* They are runnable: after this the scheduler may believe that nobody waits. */
void netpoll_done(PollReady *r);

/* ---- netpoll.c: for operations on descriptors ---- */

typedef struct gs_poll_desc PollDesc;

enum { POLL_USE_BARE, POLL_USE_OPEN, POLL_USE_ALWAYS };

/* A descriptor as an operation found it when it began. */
typedef struct {
  int fd;
  PollDesc *pd; /* NULL: none so far */
  uint32_t seq, state, socket;
  int how; /* POLL_USE_… */
} PollUse;

int netpoll_use(PollUse *u, int fd); /* POLL_USE_… */
/* gs_poll_open of a non-blocking descriptor. */
int netpoll_open(const char *who, int fd, uint32_t socket);
enum { POLL_NO_SOCKET, POLL_SOCKET, POLL_TCP };
uint32_t netpoll_socket(int fd); /* asks the system which */
/* A read has taken all there was, and no news came since: another one would be in vain. */
bool netpoll_is_drained(const PollUse *u);
void netpoll_set_drained(const PollUse *u, bool drained);
/* After an attempt in vain.  Returns the directions for which an edge has come, which is used up by
 * this: try again. */
uint32_t netpoll_reset(const PollUse *u, uint32_t mode);
/* After one that got something, for the directions whose edges it has used up: there may be more
 * for somebody else. */
void netpoll_again(const PollUse *u, uint32_t mode);
/* In a child of fork: an instance of its own, with what was opened in it. */
int os_netpoll_forked(void); /* 0 or errno */

/* Parks until it may be ready.  *got: for what.  GS_ESYS: *err is errno. */
int netpoll_park(PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err);
/* The same, but only if it is not ready now, and until it really is. */
int netpoll_wait_ready(PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err);
int sys_fail(int e); /* sets errno; GS_ESYS */

#endif
