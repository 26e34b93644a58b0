/* schedtrace.c: what sysmon tells of the scheduler without being asked by the program: a line every
 * GOSCHED_SCHEDTRACE milliseconds, and a dump when SIGQUIT comes.
 *
 * The line is Go's, with what Go's has, and one more part for each further domain:
 *
 *     SCHED 1009ms: procs=4 idleprocs=2 threads=7 spinningthreads=1 needspinning=0 idlethreads=3
 *     incgo=2 gs=12 runqueue=0 [1 0 0 0] python: procs=1 idleprocs=0 runqueue=3 [2]
 *
 * (one line).  The figures are read as they stand.
 *
 * The signal.  A handler may do next to nothing: it leaves a word and wakes sysmon, which writes
 * the dump as soon as the world is not stopped; by a thread that ends with it if there are
 * languages to be asked, for it is sysmon that asks them (tell.c).  sysmon clears its note, then
 * looks for the word, then sleeps; the handler sets the word, then the note: so one of them sees
 * the other.  In a child of fork sysmon may not be there yet; then the handler writes the dump
 * itself, which a dump allows (it takes no lock and allocates nothing).  A handler that was there
 * before is called, too.  Like any signal with a handler it ends what the main green thread is
 * parked in with GS_EINTR, if the kernel chooses that thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime.h"

/* ---- lines ---- */

static int64_t trace_every, trace_next = INT64_MAX, trace_began; /* sysmon, after the boot */

typedef struct {
  char text[2048];
  int n;
} Line;

__attribute__((format(printf, 2, 3))) static void put(Line *l, const char *fmt, ...) {
  int room = (int)sizeof l->text - l->n;
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(l->text + l->n, (size_t)room, fmt, ap);
  va_end(ap);
  l->n += n < room ? n : room - 1;
}

static void put_queues(Line *l, const Domain *d) {
  uint32_t n = load_acq(&d->nallp), used = load_rlx(&d->nprocs);
  put(l, "runqueue=%u [", load_rlx(&d->runqsize));
  for (uint32_t i = 0; i < n && i < used; i++) put(l, "%s%u", i ? " " : "", runqlen(d->allp[i]));
  put(l, "]");
}

static void tell(int64_t now) {
  const Sched *s = &gs_sched;
  const Domain *d = &gs_native;
  gs_metrics m = {.size = sizeof m};
  Line l = {.n = 0};
  (void)gs_read_metrics(&m);
  put(&l,
      "SCHED %lldms: procs=%u idleprocs=%u threads=%u spinningthreads=%u needspinning=%u "
      "idlethreads=%u incgo=%llu gs=%llu ",
      (long long)((now - trace_began) / 1000000), load_rlx(&d->nprocs), load_rlx(&d->npidle),
      load_rlx(&s->nm), load_rlx(&d->nmspinning), load_rlx(&d->needspinning), load_rlx(&s->nmidle),
      (unsigned long long)m.incgo, (unsigned long long)m.gs_live);
  put_queues(&l, d);
  for (d = load_acq(&s->domains); d; d = d->next) {
    if (d == &gs_native) continue;
    put(&l, " %s: procs=%u idleprocs=%u ", d->name, load_rlx(&d->nprocs), load_rlx(&d->npidle));
    put_queues(&l, d);
  }
  put(&l, "\n");
  l.text[l.n - 1] = '\n'; /* also if it was cut */
  ssize_t r = write(log_fd(), l.text, (size_t)l.n);
  (void)r;
}

int schedtrace_start(void) {
  int r = gs_setting_get("GOSCHED_SCHEDTRACE", NULL, &trace_every);
  if (r <= 0) return r;
  trace_every *= 1000000;
  trace_began = os_now();
  trace_next = trace_began + trace_every;
  return GS_OK;
}

/* sysmon does not sleep beyond this. */
int64_t schedtrace_next(void) { return trace_next; }

/* ---- SIGQUIT ---- */

static uint32_t dump_wanted;    /* atomic */
static struct sigaction before; /* while ours is in place; gs_run */

static void on_quit(int sig, siginfo_t *info, void *context) {
  int e = errno;
  if (load_sc(&gs_sched.no_sysmon)) {
    gs_dump(log_fd());
  } else {
    store_sc(&dump_wanted, 1);
    torture_window(); /* sysmon is about to sleep: it sees the word, or the note */
    note_wake(&gs_sched.sysmon_note);
  }
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(sig, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    before.sa_handler(sig);
  errno = e;
}

int dump_signal_begin(bool wanted) {
  int64_t asked = wanted;
  int r = gs_setting_get("GOSCHED_DUMP_ON_SIGQUIT", NULL, &asked);
  if (r < 0 || !asked) return r < 0 ? r : 0;
  struct sigaction a = {.sa_sigaction = on_quit, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
  sigemptyset(&a.sa_mask);
  /* Before ours is in place: it asks for the one that was. */
  if (sigaction(SIGQUIT, NULL, &before) || sigaction(SIGQUIT, &a, NULL))
    return gs_fail(GS_ESYS, "gs_run: no handler for SIGQUIT: errno %d", errno);
  return 1;
}

/* Unless somebody has put another one in its place meanwhile. */
void dump_signal_end(void) {
  struct sigaction now;
  if (sigaction(SIGQUIT, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
      now.sa_sigaction == on_quit)
    (void)sigaction(SIGQUIT, &before, NULL);
}

bool dump_is_wanted(void) { return load_sc(&dump_wanted) != 0 || tell_is_wanted(); }

static void count_thread(int n) {
  lock(&gs_sched.lock);
  store_rlx(&gs_sched.nmsys, gs_sched.nmsys + (uint32_t)n);
  unlock(&gs_sched.lock);
}

/* sysmon cannot wait for what other languages have to tell, for it is who asks them. */
static void *dump_thread(void *arg) {
  (void)arg;
  gs_dump(log_fd());
  count_thread(-1);
  return NULL;
}

static void dump_by_sysmon(void) {
  if (tell_is_any()) {
    count_thread(1);
    if (os_thread_start(dump_thread, NULL) == 0) return;
    count_thread(-1);
  }
  gs_dump(log_fd());
}

/* By sysmon at each look. */
void sysmon_tells(int64_t now) {
  if (unlikely(now >= trace_next)) {
    tell(now);
    trace_next += trace_every;
    if (trace_next <= now) trace_next = now + trace_every; /* it was late: no lines to make up */
  }
  if (unlikely(load_rlx(&dump_wanted)) && xchg(&dump_wanted, 0)) dump_by_sysmon();
  tell_by_sysmon();
}
