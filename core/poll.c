/* poll.c: one idle M watches the clock, and the descriptors, for everybody.
 *
 * The poller is an M without a P that sleeps until the earliest timer of all Ps or until a
 * descriptor is ready, makes the Gs runnable whose time has come, and takes an idle P to run them
 * itself if there is one (a wake-up of another thread would cost tens of microseconds).  An M that
 * goes idle takes the seat if it is free and there is something to wait for.  An M that parks a G
 * with a near deadline and goes on with other work makes sure that somebody sits there
 * (poll_ensure).  Where nobody does, sysmon finds it at its next tick.
 *
 * It sleeps on a note as long as no descriptor was ever opened, so that a process that only waits
 * for time has no epoll instance; in epoll_wait from then on.
 *
 * Descriptors are also looked at without waiting, by an M that has run out of work (poll_now) and
 * now and then between two Gs; and by sysmon when nobody has looked for long (poll_backup).
 *
 * The races of the seat.
 *   - A timer against the sleep.  One side adds a timer and then looks whether the poller would
 *     sleep beyond it; the other publishes that it polls, and until when, and then looks at the
 *     timers.  Both publish with seq_cst stores and look with seq_cst loads, so at least one sees
 *     the other: either the poller sleeps shorter, or its sleep is broken.  It publishes "for ever"
 *     first, so that whoever adds a timer between its two steps breaks it.
 *   - The first descriptor against a sleep on the note: see init in netpoll.c.
 *   - A descriptor needs no break: the kernel adds it to a wait that is under way.
 *   - Leaving against an M that goes idle.  That one counts its waiter (or adds its timer), finds
 *     the seat taken and goes to sleep; the other had looked before and leaves the seat.  So
 *     whoever leaves the seat looks again before it sleeps: poll_wait has returned true, and
 *     find_runnable comes back to it.
 *   - An M that leaves the seat with a G in its hand wakes nobody: if the G is back soon, as it is
 *     in a server, there was no need.  If not, another look is due: sysmon's, after a moment while
 *     a P is idle, or the wake-up that is given if a timer is near.
 */
#include "netpoll.h"

#define SYSMON_NS 10000000 /* sysmon looks this often, whatever happens */
#define IDLE_NS 1000000    /* so long a P may be idle and nobody polls */
#define WAKE_NS 50000      /* what waking another thread costs, with what it holds up */
#define SPIN_NS 50000

/* Makes the Gs of a list runnable; the first whose domain has an idle P is run by m itself. */
static void inject(M *m, G *g) {
  while (g) {
    G *next = g->schedlink;
    if (m->p == &gs_nop && !g->lockedm) {
      P *p = pidleget_try(g->d);
      if (p) acquirep(m, p);
    }
    ready(m->p == &gs_nop ? NULL : m, g);
    g = next;
  }
}

/* ---- many at once ---- */

/* Gs of one domain.  */
typedef struct {
  G *head, *tail;
  uint32_t n;
} Group;

/* Takes the Gs of the first one's domain off the list. */
static Group split(G **list) {
  Group of = {*list, *list, 1};
  Domain *d = of.head->d;
  G **rest = list;
  for (G *g = *list, *next; g; g = next) {
    next = g->schedlink;
    g_to(g, Grunnable);
    if (g == of.head) continue;
    if (g->d == d) {
      of.tail->schedlink = g;
      of.tail = g;
      of.n++;
    } else {
      *rest = g;
      rest = &g->schedlink;
    }
  }
  *rest = NULL;
  of.tail->schedlink = NULL;
  return of;
}

static void put_all(P *p, G *g) {
  for (G *next; g; g = next) {
    next = g->schedlink;
    g->schedlink = NULL;
    runqput(p, g, false);
  }
}

/* How long the Gs of the poller have run lately: m is about to poll again, or has run dry. */
static void measure(M *m) {
  if (!m->npolled) return;
  int64_t took = (os_now() - m->polled_at) / m->npolled, before = load_rlx(&gs_sched.netpoll_took);
  m->npolled = 0;
  before -= before / 8;
  store_rlx(&gs_sched.netpoll_took, took > before ? took : before);
}

/* Somebody else should look too: there is more work than a wake-up costs, or a timer that is due
 * before sysmon looks. */
static bool more_to_do(uint32_t n) {
  if (n > 1 && n * load_rlx(&gs_sched.netpoll_took) > WAKE_NS) return true;
  int64_t next = timers_next();
  return next != INT64_MAX && next - os_now() < SYSMON_NS;
}

/* m has a P of their domain. */
static void inject_here(M *m, Group of) {
  G *g = of.head;
  uint32_t n = of.n;
  if (!m->nextg) {
    m->nextg = g;
    g = g->schedlink;
    m->nextg->schedlink = NULL;
  } else {
    n++;
  }
  put_all(m->p, g);
  if (m->p->solo || !more_to_do(n)) return;
  fence_sc(); /* the StoreLoad between publishing them and reading nmspinning, see proc.c */
  wakep(m->p->d);
}

/* The same for a domain of which m has no P. */
static void inject_there(Group of) {
  Domain *d = of.head->d;
  torture_window(); /* a P may go idle now */
  lock(&d->lock);
  P *p = pidleget(d);
  if (!p) globrunqput_list(d, of.head, of.tail, of.n);
  unlock(&d->lock);
  if (!p) {
    sysmon_queued(d);
    return;
  }
  put_all(p, of.head);
  startm(p, false);
  if (of.n > 1) wakep(d);
}

/* As inject, for what netpoll found: those of m's domain go to its ring together. */
static void inject_ready(M *m, PollReady *net) {
  m->npolled = net->count;
  if (net->head) m->polled_at = os_now();
  store_rlx(&gs_sched.netpoll_luck, net->count > 1);
  if (net->head) torture_window(); /* claimed, and not runnable yet: they still count as waiters */
  for (G *list = net->head; list;) {
    Group of = split(&list);
    if (m->p == &gs_nop) {
      P *p = pidleget_try(of.head->d);
      if (p) acquirep(m, p);
    }
    if (m->p->d == of.head->d)
      inject_here(m, of);
    else
      inject_there(of);
  }
  netpoll_done(net);
}

/* ---- the seat ---- */

/* Polls for a moment before it sleeps, if that has paid lately: a peer that answers at once is back
 * sooner than a thread can go to sleep and be woken.  Gives the CPU to whoever needs it meanwhile,
 * perhaps that peer.  Each failure halves the credit; without any, one sleep in 64 tries again. */
static bool spin_in_seat(int64_t when, PollReady *net) {
  static uint32_t sleeps; /* the poller only */
  uint32_t credit = load_rlx(&gs_sched.netpoll_spin);
  if (!load_rlx(&gs_sched.netpoll_waiters) || (!credit && ++sleeps % 64)) return false;
  int64_t now = os_now(), end = now + SPIN_NS;
  if (end > when) return false;
  do {
    netpoll(GS_POLL_NOW, net);
    now = os_now();
    if (net->head) break;
    os_yield();
  } while (now < end && load_sc(&gs_sched.poll_until) == when);
  bool paid = net->head && now < end;
  store_rlx(&gs_sched.netpoll_spin, paid ? (credit < 16 ? credit + 4 : 16) : credit / 2);
  return net->head != NULL;
}

/* The default slack would make every timer 50 us late. */
static void sleep_in_seat(int64_t when, PollReady *net) {
  bool timed = when != INT64_MAX;
  bool epoll = load_sc(&gs_sched.netpoll_inited);
  if (timed && os_now() >= when) {
    if (epoll) netpoll(GS_POLL_NOW, net);
    return;
  }
  if (epoll && spin_in_seat(when, net)) return;
  if (timed) os_slack(1);
  if (epoll)
    netpoll(when, net);
  else
    note_sleep_until(&gs_sched.poll_note, when);
  if (timed) os_slack(gs_sched.timerslack);
}

bool poll_wait(M *m) {
  P *p = NULL;
  PollReady net = POLL_READY_INIT(net);
  measure(m);
  if (!poll_wanted()) return false;
  if (!CAS(&gs_sched.poller, NULL, m)) return false;
  note_clear(&gs_sched.poll_note);
  store_sc(&gs_sched.poll_until, INT64_MAX);
  torture_window(); /* a timer that is added now sets the note */
  int64_t when = timers_next();
  torture_window(); /* and so does one that comes after the look */
  if ((when != INT64_MAX || load_sc(&gs_sched.netpoll_waiters)) &&
      !(m->runner && load_sc(&gs_sched.main_done))) {
    store_sc(&gs_sched.poll_until, when);
    /* Where no thread can be made, work waits for any that is free, and this one is.  startm sets
     * starved and then looks whether somebody polls. */
    if (load_sc(&gs_sched.starved)) p = starved_work();
    if (!p) sleep_in_seat(when, &net);
  }
  torture_window(); /* who comes to rest now finds the seat taken: this M looks again */
  store_sc(&gs_sched.poller, NULL);
  if (p)
    acquirep(m, p);
  else
    stw_hold(); /* not with a P in hand: a stopper would wait for it */
  if (timers_next() != INT64_MAX) inject(m, timers_run_all(os_now()));
  inject_ready(m, &net);
  /* m goes on with a P, and the seat is empty: sysmon watches until somebody takes it again. */
  if (m->p != &gs_nop) sysmon_watch(timers_next());
  return true;
}

void poll_break(int64_t when) {
  if (!load_sc(&gs_sched.poller) || when >= load_sc(&gs_sched.poll_until)) return;
  if (load_sc(&gs_sched.netpoll_inited))
    os_netpoll_break();
  else
    note_wake(&gs_sched.poll_note);
}

/* curg: the next G, which has left the ring already. */
void poll_ensure(M *m, int64_t when) {
  if (load_rlx(&gs_sched.poller) == NULL && (m->curg || m->nextg || p_has_work(m->p)) &&
      when - os_now() < SYSMON_NS)
    start_poller();
}

/* ---- without waiting ---- */

static bool look(PollReady *net) {
  if (!load_acq(&gs_sched.netpoll_inited) || !CAS(&gs_sched.netpolling, 0, 1)) return false;
  netpoll(GS_POLL_NOW, net);
  store_rel(&gs_sched.netpolling, 0);
  return net->head != NULL;
}

/* idle: it has nothing else to do and will take the seat, or find it taken.  That look is as good,
 * unless work is so plentiful that giving up the P would be in vain. */
G *poll_now(M *m, bool idle) {
  PollReady net = POLL_READY_INIT(net);
  if (load_rlx(&gs_sched.netpoll_waiters) == 0 || load_rlx(&gs_sched.poller)) return NULL;
  if (idle && !load_rlx(&gs_sched.netpoll_luck)) return NULL;
  measure(m);
  if (!look(&net)) return NULL;
  inject_ready(m, &net);
  G *g = m->nextg;
  m->nextg = NULL;
  return g;
}

/* sysmon's part.  True: nobody polls while a P is idle, look again soon. */
bool poll_backup(int64_t now) {
  static uint32_t seen; /* sysmon only */
  static int64_t since;
  uint32_t polls = load_rlx(&gs_sched.netpolls);
  if (load_sc(&gs_sched.netpoll_waiters) == 0 || load_sc(&gs_sched.poller) || polls != seen) {
    seen = polls;
    since = now;
    return false;
  }
  bool idle = load_sc(&gs_sched.npidle_all) != 0;
  if (now - since < (idle ? IDLE_NS : SYSMON_NS)) return idle;
  PollReady net = POLL_READY_INIT(net);
  if (look(&net)) {
    ready_list(NULL, net.head);
    netpoll_done(&net);
  }
  since = now;
  start_poller();
  return false;
}
