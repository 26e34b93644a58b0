/* deadlock.c: are all green threads asleep for good?
 *
 * Go counts threads (checkdead): if none runs, and no timer is set, nobody can wake anybody.  It
 * has to reserve threads that are about to be made, and to count sysmon in while it holds a P, lest
 * another thread sees nobody in the gap.  Here nothing is counted.  sysmon looks, whenever it looks
 * at all, and only it: it holds no P then and has no G in its hands.  If every P is idle it stops
 * the world, so that no P leaves an idle list, and goes through all Gs: each must be waiting and
 * published as parked.  A G that is on its way from anywhere to anywhere is something else:
 * runnable, in a call, claimed (its park word is WOKEN from the claim until it runs), or not yet
 * parked.  So a G in the hands of a thread that nobody knows of, or in those of an M without a P,
 * is seen in the G.
 *
 * Why no deadlock is missed: sysmon looks after it has announced that it is going to sleep deeply.
 * Every change that can be the last one needs a P, and a P that leaves the idle list from then on
 * wakes it (pidleget), so that it comes by again when all are idle; what ends without a P
 * (gs_expect_wakeup) wakes it itself.
 *
 * What may wake a G from outside, and so keeps everything alive: a foreign thread that is bound to
 * an M (gs_cgocallback), a timer, a descriptor that is waited for, gs_notify on its way to the main
 * G, a shared channel that another thread has open (shared.c), and whatever gs_expect_wakeup has
 * announced.
 *
 * Each is told once.  That nothing has run since shows that it is the same one; but something may
 * have that leaves no trace, such as the green thread that tells a dump what its language does
 * (tell.c).  So those that sleep are marked when they are told of, in the word that a G writes anew
 * when it waits again (wait.c): it is the same one if all are marked, and they are as many.
 *
 * But whoever has been told may ask whether it is one still (gs_deadlocked), while such a green
 * thread runs, and hears no.  Then it stops asking: it counts on being told when all sleep again.
 * So that answer makes the same one be told anew.  Two sides: it says so (`denied`) and then wakes
 * sysmon; sysmon announces that it is going to sleep and then looks at `denied`.  All seq_cst.
 * Likewise who is told and puts it off because of a thread that is none of the scheduler's
 * (gs_shared_strangers), but that one is told anew only when something has run.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

static struct {
  Lock lock;
  DeadlockCall program; /* lock */
  uint32_t wanted;      /* callbacks there are; lock, read by sysmon without */
  uint32_t found;       /* deadlocks so far; sysmon, in a stopped world */
  char *report;         /* of the last deadlock; lock */
  uint64_t seen;        /* switches() when it was reported, or found to be told; sysmon */
  size_t asleep;        /* how many of them there were; sysmon */
  uint32_t denied;      /* gs_deadlocked has said no since; atomic */
  uint32_t put_off;     /* a language has been told that it is too early; atomic */
} dead = {.lock = LOCK_INIT(RANK_DEADLOCK)};

bool deadlock_wanted(void) {
  return (load_rlx(&gs_sched.run_flags) & GS_RUN_DETECT_DEADLOCK) || load_rlx(&dead.wanted);
}

/* ---- is it one? ---- */

/* The main G's thread has been woken to tell it of gs_notify.  It claims the G first and clears the
 * word then, and we look in the other order: one of the two is seen. */
static bool main_is_told(void) {
  const G *g = load_acq(&gs_sched.main_g);
  return (load_rlx(&gs_sched.run_flags) & GS_RUN_LOCK_MAIN) && load_sc(&gs_sched.notified) != 0 &&
         g && load_sc(&g->park) == PARKED;
}

static bool somebody_outside(void) {
  return load_sc(&gs_sched.nwakers) != 0 || load_sc(&gs_sched.netpoll_waiters) != 0 ||
         timers_next() != INT64_MAX || shared_waits_for_outside();
}

static bool all_idle(void) {
  return load_sc(&gs_sched.npidle_all) == load_sc(&gs_sched.nprocs_all);
}

/* Whoever runs and parks again changes it. */
static uint64_t switches(void) {
  uint64_t n = 1;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink)
    n += load_rlx(&m->nswitch) + load_rlx(&m->nparks);
  return n;
}

/* How many sleep; 0 if one of them does not, or nobody is there. */
static size_t all_asleep(void) {
  size_t n = 0;
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink) {
    uint32_t status = load_sc(&g->status), park = load_sc(&g->park);
    if (status == Gdead) continue;
    if (status != Gwaiting || (park != PARKED && park != PARKED_FIRM)) return 0;
    n++;
  }
  return n;
}

/* Those that the deadlock concerns.  Only sysmon asks for this. */
static uint32_t mark_all(size_t n) {
  dead.found++;
  dead.asleep = n;
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (load_rlx(&g->status) == Gwaiting) {
      g->d->deadlocked = dead.found;
      g_tell(g);
    }
  return dead.found;
}

/* The n that sleep are those of the last one, and nobody has been told since that they do not. */
static bool is_told(size_t n) {
  if (xchg(&dead.denied, 0) | xchg(&dead.put_off, 0) || n != dead.asleep) return false;
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (load_rlx(&g->status) == Gwaiting && !g_told(g)) return false;
  return true;
}

/* ---- telling ---- */

/* Grows; s is NULL once there was no memory. */
typedef struct {
  char *s;
  size_t used, room;
} Text;

__attribute__((format(printf, 2, 3))) static void say(Text *t, const char *fmt, ...) {
  char line[320];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (n < 0 || !t->s) return;
  size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
  if (t->used + len >= t->room) {
    char *more = realloc(t->s, t->room * 2);
    if (!more) free(t->s);
    t->s = more;
    t->room *= 2;
    if (!more) return;
  }
  memcpy(t->s + t->used, line, len + 1);
  t->used += len;
}

static void say_g(Text *t, G *g, Places *seen) {
  gs_g_info i;
  char locked[32] = "", name[200];
  void *pcs[FRAMES];
  uint64_t same;
  g_info(g, &i);
  if (i.locked_m >= 0) snprintf(locked, sizeof locked, ", locked to M%d", i.locked_m);
  say(t, "  G%llu%s%s%s: waiting [%s]%s, domain %s\n", (unsigned long long)i.id,
      i.name[0] ? " \"" : "", i.name, i.name[0] ? "\"" : "", i.wait_reason, locked, i.domain);
  int n = g_frames(seen, g, pcs, &same);
  if (same) say(t, "      where G%llu waits\n", (unsigned long long)same);
  for (int k = 0; !same && k < n; k++) {
    os_describe(pcs[k], name, sizeof name);
    say(t, "      %s\n", name);
  }
}

/* NULL: out of memory. */
static char *write_report(size_t n) {
  Text t = {malloc(4096), 0, 4096};
  Places seen;
  seen.n = seen.told = 0;
  say(&t, "all green threads are asleep - deadlock!  %zu of them:\n", n);
  for (G *g = load_acq(&gs_sched.allg); g; g = g->alllink)
    if (load_rlx(&g->status) == Gwaiting) say_g(&t, g, &seen);
  if (seen.told == PLACES_MOST) say(&t, "  (after %d places none is told any more)\n", PLACES_MOST);
  return t.s;
}

/* Not under the lock: a callback may ask for others, or for none. */
static bool told(const DeadlockCall *call, const char *report) {
  lock(&dead.lock);
  DeadlockCall c = *call;
  unlock(&dead.lock);
  return c.cb && c.cb(report ? report : "all green threads are asleep - deadlock!\n", c.ud);
}

/* The program, and each domain of which a green thread is among those that sleep.  All are told,
 * whatever the first ones return. */
static bool cb_deals_with_it(const char *report, uint32_t found) {
  bool dealt = told(&dead.program, report);
  for (Domain *d = load_acq(&gs_sched.domains); d; d = d->next)
    if (d->deadlocked == found && told(&d->deadlock, report)) dealt = true;
  return dealt;
}

/* The main G, if there is one that waits for something that can fail. */
static void tell_main(void) {
  G *g = load_acq(&gs_sched.main_g);
  if (load_acq(&gs_sched.running) != RUN_ON || load_acq(&gs_sched.main_done) || !g) return;
  if (load_sc(&g->park) == PARKED && claim(g, GS_EDEADLOCK)) ready(NULL, g);
}

/* How many sleep for good, told in *report if it is not NULL (*report: NULL is out of memory); then
 * 0 if it has been told. */
static size_t look(char **report, uint32_t *found) {
  if (!all_idle() || somebody_outside()) return 0;
  stop_world("deadlock?");
  size_t n = all_idle() && !somebody_outside() && !main_is_told() ? all_asleep() : 0;
  if (n && report) {
    dead.seen = switches();
    if (is_told(n)) {
      n = 0;
    } else {
      *report = write_report(n);
      *found = mark_all(n);
    }
  }
  start_world();
  return n;
}

void deadlock_check(void) {
  char *report = NULL;
  uint32_t found = 0;
  if (switches() == dead.seen && !load_sc(&dead.denied)) return;
  size_t n = look(&report, &found);
  if (!n) return;
  lock(&dead.lock);
  char *old = dead.report;
  dead.report = report;
  unlock(&dead.lock);
  free(old);
  if (cb_deals_with_it(report, found)) return;
  gs_log(0, "all green threads are asleep - deadlock! (%zu of them; gs_deadlock_report lists them)",
         n);
  tell_main();
}

void deadlock_put_off(void) { store_sc(&dead.put_off, 1); }

void deadlock_lock(bool on) { fork_lock(&dead.lock, on); }

/* ---- the public functions ---- */

static void set(DeadlockCall *call, int (*cb)(const char *report, void *ud), void *ud) {
  lock(&dead.lock);
  store_rlx(&dead.wanted, dead.wanted + (cb != NULL) - (call->cb != NULL));
  *call = (DeadlockCall){cb, ud};
  unlock(&dead.lock);
  sysmon_wake();
}

void gs_on_deadlock(int (*cb)(const char *report, void *ud), void *ud) {
  set(&dead.program, cb, ud);
}

int gs_domain_on_deadlock(gs_domain *d, int (*cb)(const char *report, void *ud), void *ud) {
  if (!d) return gs_fail(GS_EINVAL, "gs_domain_on_deadlock: d is NULL; a domain is needed");
  set(&d->deadlock, cb, ud);
  return GS_OK;
}

size_t gs_deadlock_report(char *buf, size_t n) {
  lock(&dead.lock);
  size_t len = dead.report ? strlen(dead.report) : 0;
  if (buf && n) {
    size_t fits = len < n ? len : n - 1;
    if (fits) memcpy(buf, dead.report, fits);
    buf[fits] = 0;
  }
  unlock(&dead.lock);
  return len;
}

int gs_deadlocked(int tell) {
  if (load_sc(&gs_sched.nprocs_all) == 0) return 0;
  if (!look(NULL, NULL)) {
    torture_window(); /* sysmon finds all asleep just now, and that it is told */
    store_sc(&dead.denied, 1);
    sysmon_wake();
    return 0;
  }
  if (tell) tell_main();
  return 1;
}

void gs_expect_wakeup(int delta) {
  add_sc(&gs_sched.nwakers, (uint32_t)delta);
  if (delta < 0) sysmon_wake();
}
