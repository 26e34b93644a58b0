/* netpoll.c: green threads that wait until a descriptor is ready.
 *
 * For every descriptor there is a poll descriptor (pd), in a table by number.  It is type-stable:
 * once made it stays, and is used again when the number is.  A sequence number (seq) goes up when
 * its descriptor is opened or closed; it travels as a tag with every event, so that an event that
 * was on its way meanwhile wakes nobody.
 *
 * Two ways to use it.  OPEN: gs_poll_open has added the descriptor to the poller once, edge-
 * triggered in both directions.  BARE: gs_wait of any other descriptor arms it for one event,
 * level-triggered, each time it parks; that costs a system call but needs no gs_poll_close, since
 * nothing is believed of a descriptor that somebody else may close.  ALWAYS: gs_poll_open of one
 * that epoll refuses, a regular file.
 *
 * Each direction has a one-slot semaphore:
 *
 *     PD_NIL    nothing known, nobody waits
 *     PD_READY  an edge came that nobody has consumed
 *     PD_WAIT   green threads of the list pd->waiters may be waiting for this direction
 *
 * Whoever wants to do I/O tries.  If it would block and READY is there, it clears that (pd_reset)
 * and tries again; else it waits.  An edge that comes after the clearing is found when it waits, or
 * wakes it; one that came before it has been seen by the second attempt.  So no edge is lost, and a
 * READY too many costs one attempt more.
 *
 * One edge may stand for more than the one who used it up has taken: two connections to accept, and
 * another green thread that tried before they came and has not waited yet.  So whoever has cleared
 * READY, or was woken, and then got something, says READY again (netpoll_again) - unless it knows
 * that it has taken all there was.
 *
 * The races.
 *   - Edge against park.  NIL -> WAIT and NIL -> READY are both a CAS on the slot: either the edge
 *     finds WAIT and takes the lock, under which the waiter was listed, or the waiter finds READY.
 *   - The lock is held from listing the waiter until it is off its stack (wait_commit), as for a
 *     channel.  A waiter that is woken by its deadline, a canceller or a signal takes the lock
 *     before it returns, so that no claim of the poller's can reach it later, when it is parked
 *     elsewhere.
 *   - Close against wait.  gs_poll_close changes seq under the lock, and then wakes who is listed;
 * a waiter compares seq under the lock with the one its operation began with.
 *   - The count of waiters (netpoll_waiters) goes up before a G is parked and down only after it is
 *     runnable.  Between the two somebody always counts: it as a waiter, or the scheduler as work.
 *     An M that goes idle, and the rule of the seat in poll.c, rely on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netpoll.h"

enum { PD_NIL, PD_READY, PD_WAIT };
enum { PD_CLOSED, PD_BARE, PD_OPEN, PD_ALWAYS };

typedef struct Waiter {
  G *g;
  struct Waiter *next, *prev;
  uint32_t mode;   /* GS_READ|GS_WRITE that it waits for */
  uint32_t got;    /* what it was woken for; the poller, before it claims */
  uint32_t queued; /* in pd->waiters; lock */
} Waiter;

struct gs_poll_desc {
  uint32_t slot[2]; /* PD_NIL…, of read and write; CAS */
  uint32_t seq;     /* written under lock, read by all */
  uint32_t state;   /* PD_CLOSED…; written under lock, read by all */
  uint32_t socket;  /* POLL_SOCKET…; written under lock, read by all */
  uint32_t odd;     /* an event was more than data; set by pd_ready, cleared under lock */
  uint32_t drained; /* the last read has emptied it; readers */
  Lock lock;
  Waiter *head, *tail; /* lock */
} GS_ALIGNED(GS_LINE);

/* ---- the table ---- */

#define ROW 1024
#define ROWS 4096 /* descriptors up to 4,194,303 */

static PollDesc *rows[ROWS]; /* written once each, by CAS */
static Lock init_lock = LOCK_INIT(RANK_NONE);

/* NULL: never used so far, or out of range. */
static PollDesc *pd_find(int fd) {
  if ((unsigned)fd >= ROW * ROWS) return NULL;
  PollDesc *row = load_acq(&rows[fd / ROW]);
  return row ? &row[fd % ROW] : NULL;
}

/* Makes the row if need be.  NULL: out of memory. */
static PollDesc *pd_make(int fd) {
  PollDesc *pd = pd_find(fd);
  if (pd) return pd;
  PollDesc *row = aligned_alloc(GS_LINE, ROW * sizeof *row), *none = NULL;
  if (!row) return NULL;
  memset(row, 0, ROW * sizeof *row);
  torture_window(); /* another thread may make it, too */
  if (!__atomic_compare_exchange_n(&rows[fd / ROW], &none, row, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_ACQUIRE))
    free(row);
  return pd_find(fd);
}

static uint64_t tag_of(int fd, uint32_t seq) { return (uint64_t)seq << 32 | (uint32_t)fd; }

/* ---- there is a poller ---- */

/* 0 or errno.  An M may be asleep on the note of poll.c: it must go over to epoll.  It has
 * published that it polls before it looked at netpoll_inited; here it is the other way round. */
static int init(void) {
  if (load_acq(&gs_sched.netpoll_inited)) return 0;
  int e = 0;
  lock(&init_lock);
  if (!gs_sched.netpoll_inited && (e = os_netpoll_init()) == 0) {
    store_sc(&gs_sched.netpoll_inited, 1);
    torture_window(); /* a poller that has not seen it yet is woken */
    if (load_sc(&gs_sched.poller)) note_wake(&gs_sched.poll_note);
  }
  unlock(&init_lock);
  return e;
}

/* ---- events ---- */

static void unlist(PollDesc *pd, Waiter *w) {
  if (w->prev)
    w->prev->next = w->next;
  else
    pd->head = w->next;
  if (w->next)
    w->next->prev = w->prev;
  else
    pd->tail = w->prev;
  w->queued = 0;
}

static void list(PollDesc *pd, Waiter *w) {
  w->next = NULL;
  w->prev = pd->tail;
  if (pd->tail)
    pd->tail->next = w;
  else
    pd->head = w;
  pd->tail = w;
  w->queued = 1;
}

/* Takes everybody off the list who waits for one of these directions, and appends to *out those
 * whom nobody else has woken.  one: only until there is one.  Lock held.  Returns which directions
 * were consumed. */
static uint32_t wake_waiters(PollDesc *pd, uint32_t mode, int why, bool one, PollReady *out) {
  uint32_t taken = 0;
  for (Waiter *w = pd->head, *next; w && !(one && taken); w = next) {
    next = w->next;
    uint32_t got = w->mode & mode;
    if (!got) continue;
    unlist(pd, w);
    w->got = got;
    G *g = w->g;
    if (!claim(g, why)) continue; /* it counts itself down */
    taken |= got;
    g->schedlink = NULL;
    *out->tail = g;
    out->tail = &g->schedlink;
    out->count++;
  }
  return taken;
}

static uint32_t waited_for(const PollDesc *pd) {
  uint32_t mode = 0;
  for (const Waiter *w = pd->head; w; w = w->next) mode |= w->mode;
  return mode;
}

static void pd_ready(PollDesc *pd, int fd, uint32_t seq, uint32_t mode, bool one, PollReady *out) {
  uint32_t slow = 0;
  if (load_acq(&pd->seq) != seq) return;
  if (unlikely(mode & POLL_ODD)) store_rel(&pd->odd, 1); /* before the slot tells */
  mode &= GS_READ | GS_WRITE;
  for (int i = 0; i < 2; i++) {
    if (!(mode & (1u << i))) continue;
    uint32_t old = load_acq(&pd->slot[i]);
    torture_window(); /* somebody may come to wait now: then the CAS fails */
    /* A stale event that slips in here leaves a READY too many. */
    if (old == PD_NIL && CAS(&pd->slot[i], PD_NIL, PD_READY)) continue;
    if (old != PD_READY) slow |= 1u << i;
  }
  if (!slow) return;
  lock(&pd->lock);
  if (load_rlx(&pd->seq) == seq) {
    uint32_t taken = wake_waiters(pd, mode, GS_OK, one, out);
    uint32_t rest = waited_for(pd); /* none, unless only one was to be woken, or it is bare */
    for (uint32_t i = 0, bit; i < 2; i++)
      if (slow & (bit = 1u << i))
        store_sc(&pd->slot[i], rest & bit ? PD_WAIT : taken & bit ? PD_NIL : PD_READY);
    if (rest && load_rlx(&pd->state) == PD_BARE) os_netpoll_arm(fd, rest, tag_of(fd, seq));
  }
  unlock(&pd->lock);
}

void netpoll_done(PollReady *r) {
  if (r->count) add_sc(&gs_sched.netpoll_waiters, -(int32_t)r->count);
}

void netpoll(int64_t when, PollReady *out) {
  PollEvent ev[POLL_BATCH];
  int n = os_netpoll_wait(ev, POLL_BATCH, when);
  add_rlx(&gs_sched.netpolls, 1);
  for (int i = 0; i < n; i++) {
    int fd = (int)(uint32_t)ev[i].tag;
    pd_ready(pd_find(fd), fd, (uint32_t)(ev[i].tag >> 32), ev[i].mode, false, out);
  }
}

/* ---- waiting ---- */

static bool wait_commit(G *g, void *pd) {
  (void)g;
  unlock(&((PollDesc *)pd)->lock);
  return true;
}

/* Lock held.  True: ready already, *got says for what. */
static bool consume(PollDesc *pd, uint32_t mode, uint32_t *got) {
  *got = 0;
  for (int i = 0; i < 2; i++) {
    if (!(mode & (1u << i))) continue;
    uint32_t old = load_acq(&pd->slot[i]);
    do {
      if (old == PD_WAIT) break;
      torture_window(); /* an edge that comes now changes the slot, and the CAS fails */
    } while (!__atomic_compare_exchange_n(&pd->slot[i], &old, old == PD_READY ? PD_NIL : PD_WAIT,
                                          false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    if (old == PD_READY) *got |= 1u << i;
  }
  return *got != 0;
}

/* Lock held.  Arms a bare descriptor for all who wait and for these directions. */
static int arm(PollDesc *pd, int fd, uint32_t mode) {
  for (int i = 0; i < 2; i++)
    if (mode & (1u << i)) store_sc(&pd->slot[i], PD_WAIT);
  return os_netpoll_arm(fd, mode | waited_for(pd), tag_of(fd, load_rlx(&pd->seq)));
}

/* Lock held.  GS_EWOULDBLOCK: it must wait.  Anything else is the result. */
static int look(PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err) {
  PollDesc *pd = u->pd;
  if (load_rlx(&pd->seq) != u->seq) {
    if (u->state == PD_OPEN) return GS_ECLOSED;
    return GS_OK; /* a bare one was opened, or its number is used again: look again */
  }
  if (u->state == PD_OPEN && consume(pd, mode, got)) return GS_OK;
  if (deadline != GS_FOREVER && deadline <= os_now()) return GS_ETIMEOUT;
  if (u->state == PD_OPEN || (*err = arm(pd, u->fd, mode)) == 0) return GS_EWOULDBLOCK;
  if (*err != EPERM) return GS_ESYS;
  *got = mode; /* a regular file */
  return GS_OK;
}

/* Parks until the descriptor is ready for one of the directions, or, if it is bare, is so already.
 * m is inside; on return the G is outside, maybe on another M. */
static int pd_wait(M *m, PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err) {
  G *g = m->curg;
  PollDesc *pd = u->pd;
  Waiter w = {.g = g, .mode = mode};
  torture_window(); /* it may be closed now: seq tells */
  lock(&pd->lock);
  int r = look(u, mode, deadline, got, err);
  if (r != GS_EWOULDBLOCK) {
    unlock(&pd->lock);
    leave(m);
    return r;
  }
  list(pd, &w);
  add_sc(&gs_sched.netpoll_waiters, 1);
  r = gopark(m, wait_commit, pd, deadline, "I/O wait");
  if (r != GS_OK && r != GS_ECLOSED) {
    lock(&pd->lock);
    if (w.queued) unlist(pd, &w);
    unlock(&pd->lock);
    add_sc(&gs_sched.netpoll_waiters, -1);
  }
  leave(g->m);
  *got = w.got;
  return r;
}

/* What is known of readiness is forgotten: the attempt that follows will find out.  Returns the
 * directions for which something was known. */
static uint32_t pd_reset(PollDesc *pd, uint32_t mode) {
  uint32_t known = 0;
  for (uint32_t i = 0; i < 2; i++)
    if ((mode & (1u << i)) && load_acq(&pd->slot[i]) == PD_READY &&
        CAS(&pd->slot[i], PD_READY, PD_NIL))
      known |= 1u << i;
  return known;
}

/* ---- for the operations on top (netio.c) ---- */

int netpoll_use(PollUse *u, int fd) {
  PollDesc *pd = pd_find(fd);
  *u = (PollUse){.fd = fd, .pd = pd, .how = POLL_USE_BARE};
  if (!pd) return POLL_USE_BARE;
  /* seq first: if it is an older one than the state's, the wait finds that out. */
  u->seq = load_acq(&pd->seq);
  u->state = load_acq(&pd->state);
  u->socket = u->state == PD_OPEN ? load_rlx(&pd->socket) : POLL_NO_SOCKET;
  if (u->state == PD_OPEN)
    u->how = POLL_USE_OPEN;
  else if (u->state == PD_ALWAYS)
    u->how = POLL_USE_ALWAYS;
  return u->how;
}

uint32_t netpoll_reset(const PollUse *u, uint32_t mode) {
  return u->state == PD_OPEN ? pd_reset(u->pd, mode) : 0;
}

void netpoll_again(const PollUse *u, uint32_t mode) {
  if (u->state != PD_OPEN || !mode) return;
  PollReady out = POLL_READY_INIT(out);
  M *m = enter();
  for (uint32_t bit = GS_READ; bit <= GS_WRITE; bit <<= 1) /* one each */
    if (mode & bit) pd_ready(u->pd, u->fd, u->seq, bit, true, &out);
  if (out.head) {
    ready_list(m, out.head);
    netpoll_done(&out);
  }
  if (m) leave(m);
}

/* Data that came after the read that emptied it has made an edge, which is READY or on its way; so
 * has everything else that ends a wait, but the end of the stream may have been part of an edge
 * that was consumed already: hence odd. */
bool netpoll_is_drained(const PollUse *u) {
  PollDesc *pd = u->pd;
  return load_rlx(&pd->drained) && load_acq(&pd->slot[0]) != PD_READY && !load_acq(&pd->odd);
}

void netpoll_set_drained(const PollUse *u, bool drained) {
  if (load_rlx(&u->pd->drained) != drained) store_rlx(&u->pd->drained, drained);
}

/* A descriptor that nobody has opened becomes a bare one.  0 or errno. */
static int use_bare(PollUse *u) {
  int e = init();
  if (e) return e;
  if ((unsigned)u->fd >= ROW * ROWS) return EMFILE;
  if (!(u->pd = pd_make(u->fd))) return ENOMEM;
  lock(&u->pd->lock);
  if (load_rlx(&u->pd->state) == PD_CLOSED) {
    store_rel(&u->pd->seq, u->pd->seq + 1);
    store_rel(&u->pd->state, PD_BARE);
  }
  u->seq = load_rlx(&u->pd->seq);
  u->state = load_rlx(&u->pd->state);
  unlock(&u->pd->lock);
  return 0;
}

int netpoll_park(PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err) {
  *got = 0;
  if (u->state == PD_CLOSED && (*err = use_bare(u)) != 0) return GS_ESYS;
  M *m = enter();
  if (!m) return as_callback(netpoll_park, u, mode, deadline, got, err);
  return pd_wait(m, u, mode, deadline, got, err);
}

int netpoll_wait_ready(PollUse *u, uint32_t mode, int64_t deadline, uint32_t *got, int *err) {
  uint32_t used = 0;
  for (;;) {
    used |= netpoll_reset(u, mode);
    int now = os_fd_ready(u->fd, mode);
    if (now != 0) netpoll_again(u, used);
    if (now < 0) {
      *err = -now;
      return GS_ESYS;
    }
    *got = (uint32_t)now;
    if (now) return GS_OK;
    int r = netpoll_park(u, mode, deadline, got, err);
    if (r != GS_OK) return r;
    used = *got;
    if (u->how != POLL_USE_OPEN) netpoll_use(u, u->fd);
  }
}

int sys_fail(int e) {
  *os_errno_at() = e;
  return GS_ESYS;
}

/* ---- opening and closing ---- */

static int bad_fd(const char *who, int fd) {
  return gs_fail(GS_EINVAL, "%s: fd is %d; 0..%d is accepted", who, fd, ROW * ROWS - 1);
}

/* Lock held.  0 or errno. */
static int open_locked(PollDesc *pd, int fd, uint32_t socket, PollReady *woken) {
  uint32_t before = load_rlx(&pd->state), seq = load_rlx(&pd->seq);
  if (before == PD_OPEN && os_netpoll_is_open(fd, tag_of(fd, seq))) return 0;
  /* Whoever waits here waits on a closed descriptor that had this number, or on a bare one: it
   * looks again. */
  store_rel(&pd->seq, ++seq);
  store_sc(&pd->slot[0], PD_NIL);
  store_sc(&pd->slot[1], PD_NIL);
  wake_waiters(pd, GS_READ | GS_WRITE, before == PD_BARE ? GS_OK : GS_ECLOSED, false, woken);
  store_rlx(&pd->socket, socket);
  store_rlx(&pd->odd, 0);
  store_rlx(&pd->drained, 0);
  int e = os_netpoll_open(fd, tag_of(fd, seq));
  store_rel(&pd->state, e == 0 ? PD_OPEN : e == EPERM ? PD_ALWAYS : PD_CLOSED);
  return e == EPERM ? 0 : e;
}

int netpoll_open(const char *who, int fd, uint32_t socket) {
  if ((unsigned)fd >= ROW * ROWS) return bad_fd(who, fd);
  int e = init();
  if (e) return sys_fail(e);
  PollDesc *pd = pd_make(fd);
  if (!pd) return gs_fail(GS_ENOMEM, "%s: out of memory", who);
  PollReady woken = POLL_READY_INIT(woken);
  M *m = enter();
  lock(&pd->lock);
  e = open_locked(pd, fd, socket, &woken);
  unlock(&pd->lock);
  ready_list(m, woken.head);
  netpoll_done(&woken);
  if (m) leave(m);
  return e ? sys_fail(e) : GS_OK;
}

/* Regular files and directories keep their mode: O_NONBLOCK means nothing there. */
static void make_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

uint32_t netpoll_socket(int fd) {
  int type = 0, protocol = 0;
  socklen_t len = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0) return POLL_NO_SOCKET;
  len = sizeof protocol;
  if (type != SOCK_STREAM || getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) != 0)
    return POLL_SOCKET;
  return protocol == IPPROTO_TCP ? POLL_TCP : POLL_SOCKET;
}

int gs_poll_open(int fd) {
  int r = netpoll_open("gs_poll_open", fd, netpoll_socket(fd));
  PollUse u;
  if (r == GS_OK && netpoll_use(&u, fd) == POLL_USE_OPEN) make_nonblocking(fd);
  return r;
}

int gs_poll_close(int fd) {
  if ((unsigned)fd >= ROW * ROWS) return bad_fd("gs_poll_close", fd);
  PollDesc *pd = pd_find(fd);
  PollReady woken = POLL_READY_INIT(woken);
  bool was = false;
  M *m = enter();
  if (pd) {
    lock(&pd->lock);
    was = load_rlx(&pd->state) != PD_CLOSED;
    if (was) {
      store_rel(&pd->seq, pd->seq + 1);
      store_rel(&pd->state, PD_CLOSED);
      os_netpoll_close(fd);
      wake_waiters(pd, GS_READ | GS_WRITE, GS_ECLOSED, false, &woken);
    }
    unlock(&pd->lock);
  }
  ready_list(m, woken.head);
  netpoll_done(&woken);
  if (m) leave(m);
  if (was) return GS_OK;
  return gs_fail(GS_EINVAL, "gs_poll_close: fd %d was not given to gs_poll_open", fd);
}

/* ---- fork ---- */

/* The child has a copy of the parent's descriptor of the instance: events would go to either, and
 * what the child adds would be added for both.  Whoever waited is gone. */
void netpoll_forked(void) {
  init_lock.word = 0;
  if (!load_rlx(&gs_sched.netpoll_inited)) return;
  int e = os_netpoll_forked();
  if (e) gs_log(1, "after fork, descriptors cannot be waited for: %s", strerror(e));
  for (int row = 0; row < ROWS; row++) {
    for (int i = 0; rows[row] && i < ROW; i++) {
      PollDesc *pd = &rows[row][i];
      pd->lock.word = 0;
      pd->head = pd->tail = NULL;
      store_rlx(&pd->slot[0], PD_NIL);
      store_rlx(&pd->slot[1], PD_NIL);
      int fd = row * ROW + i;
      if (load_rlx(&pd->state) == PD_OPEN) os_netpoll_open(fd, tag_of(fd, load_rlx(&pd->seq)));
    }
  }
}
