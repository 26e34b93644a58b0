/* dump.c: every G, M and P as text, for when something is wrong.  It takes no lock and allocates
 * nothing, so it works from a crash; what it prints is what the words say at that moment.  Names
 * and the like are read as they are: TSan is told to look away.  Below stands what the languages
 * in the process tell of their own green threads, which is asked for first (tell.c). */
#define UNCHECKED __attribute__((no_sanitize("thread")))
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

static const char *const gnames[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
static const char *const pnames[] = {"idle", "running", "syscall", "gcstop", "dead"};
static const char *const modes[] = {"inside", "call", "user", "stopped"};

__attribute__((format(printf, 2, 3))) static void put(int fd, const char *fmt, ...) {
  char line[320];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (n > (int)sizeof line - 1) n = (int)sizeof line - 1;
  ssize_t r = write(fd, line, (size_t)(n < 0 ? 0 : n));
  (void)r;
}

UNCHECKED static void dump_domain(int fd, const Domain *d) {
  put(fd, "domain %s: %u procs, %u idle, %u spinning, %u in the global queue\n", d->name,
      load_rlx(&d->nprocs), load_rlx(&d->npidle), load_rlx(&d->nmspinning), load_rlx(&d->runqsize));
  for (uint32_t i = 0; i < load_acq(&d->nallp); i++) {
    const P *p = d->allp[i];
    const M *m = load_rlx(&p->m);
    uint32_t status = p_status(p);
    put(fd, "  P%u: %s m=%d schedtick=%u syscalltick=%u runq=%u\n", p->id,
        pnames[status <= Pdead ? status : 4], m ? m->id : -1, load_rlx(&p->schedtick),
        p_syscalltick(p), runqlen(p));
  }
}

UNCHECKED static void dump_m(int fd, const M *m) {
  uintptr_t w = load_rlx(&m->pw);
  const P *p = (const P *)(w & ~PW_LOCK);
  const G *g = load_rlx(&m->curg);
  uint64_t sc = load_rlx(&m->sc);
  put(fd, "  M%d: tid=%u %s%s p=%d%s g=%llu incgo=%u ncgo=%u ncgocall=%llu%s%s\n", m->id, m->tid,
      modes[sc & SC_MODE], sc & SC_FENCED ? "+fenced" : "", p ? (int)p->id : -1,
      w & PW_LOCK ? "(locked)" : "", g ? (unsigned long long)g->goid : 0, load_rlx(&m->incgo),
      m->ncgo, (unsigned long long)m->ncgocall, load_rlx(&m->spinning) ? " spinning" : "",
      load_rlx(&m->idle) ? " idle" : "");
}

/* ---- what a green thread in C is doing ---- */

static void put_frames(int fd, void *const *pcs, int n) {
  char name[200];
  for (int i = 0; i < n && pcs[i]; i++) {
    os_describe(pcs[i], name, sizeof name);
    put(fd, "      %s\n", name);
  }
}

/* Fills m->cgo_callers unless somebody who could see more (a fault in C) has for this call.  A
 * thread that sleeps in the kernel is found there; of one that runs, the outermost frames. */
UNCHECKED static void find_callers(M *m) {
  uint64_t call = load_rlx(&m->ncgocall);
  void *sp, *pc, *top = below(m->g0sp);
  if (load_acq(&m->callers_of) == call && m->cgo_callers[0]) return;
  memset(m->cgo_callers, 0, sizeof m->cgo_callers);
  if (!os_thread_at(m->tid, &sp, &pc) || (char *)sp < m->g0lo || (char *)sp >= (char *)top) {
    os_walk((char *)top - 256, top, m->cgo_callers, CGO_CALLERS);
    return;
  }
  if ((char *)top - (char *)sp > 16384) top = (char *)sp + 16384;
  m->cgo_callers[0] = pc;
  os_walk(sp, top, m->cgo_callers + 1, CGO_CALLERS - 1);
}

UNCHECKED static void dump_call(int fd, const G *g, M *m) {
  void *pcs[16] = {NULL};
  const Stack *stack = load_rlx(&g->stack);
  int64_t since = g->handed_at;
  if (!since && load_rlx(&m->long_sc) == load_rlx(&m->sc)) since = load_rlx(&m->long_since);
  if (since)
    put(fd, "    M%d is in C for %.3f s:\n", m->id, (double)(os_now() - since) / 1e9);
  else
    put(fd, "    M%d is in C:\n", m->id);
  find_callers(m);
  put_frames(fd, m->cgo_callers, CGO_CALLERS);
  put(fd, "    called from the green thread's own frames:\n");
  char *sp;
  if (!stack || !os_peek(below(load_rlx(&m->g0sp)), &sp, sizeof sp)) return;
  if (sp < stack->lo || sp >= stack->hi) return;
  put_frames(fd, pcs, os_walk(sp, stack->hi - sp > 4096 ? sp + 4096 : stack->hi, pcs, 16));
}

UNCHECKED static void dump_parked(int fd, const G *g, Places *seen) {
  void *pcs[FRAMES];
  uint64_t same;
  int n = g_frames(seen, g, pcs, &same);
  if (same)
    put(fd, "      where G%llu waits\n", (unsigned long long)same);
  else
    put_frames(fd, pcs, n);
}

UNCHECKED static void dump_g(int fd, G *g, Places *seen) {
  uint32_t status = g_status(g);
  if (status == Gdead || status == Gidle) return;
  const gs_site *site = load_rlx(&g->site);
  const M *locked = load_rlx(&g->lockedm);
  char name[sizeof g->name] = ""; /* it may become another one's just now */
  for (size_t i = 0; i < sizeof name - 1; i++) name[i] = g->name[i];
  put(fd, "  G%llu%s%s%s: %s", (unsigned long long)g->goid, name[0] ? " \"" : "", name,
      name[0] ? "\"" : "", gnames[status <= Gdead ? status : 5]);
  if (status == Gwaiting) put(fd, " [%s]", g_waitreason(g));
  if (status == Gsyscall && site) put(fd, " in %s", site->name ? site->name : "a foreign call");
  int64_t now = os_now(), since = g_since(g, now);
  if (since) put(fd, " for %lld ms", (long long)((now - since) / 1000000));
  if (locked) put(fd, ", locked to M%d", locked->id);
  put(fd, ", domain %s%s%s\n", g->d->name, load_rlx(&g->cancelled) ? ", cancelled" : "",
      load_rlx(&g->detached) == g->goid ? ", detached: nobody waits for its call" : "");
  M *m = load_rlx(&g->m);
  if (status == Gsyscall && m && load_rlx(&m->curg) == g && load_rlx(&m->incgo) && m->ncgo)
    dump_call(fd, g, m);
  if (status == Gwaiting) dump_parked(fd, g, seen);
}

void gs_dump(int fd) { gs_dump_others(fd, NULL); }

UNCHECKED void gs_dump_others(int fd, const gs_teller *own) {
  const Sched *s = &gs_sched;
  Asked asked;
  tell_ask(&asked, own); /* the answers may come while the rest is written */
  put(fd, "gosched %s: %u green threads, %u threads (%u idle), poller %s, %s\n", GS_VERSION,
      live_gs(), load_rlx(&s->nm), load_rlx(&s->nmidle), load_rlx(&s->poller) ? "on" : "off",
      load_rlx(&s->fenced) ? "fenced" : "membarrier");
  for (const Domain *d = load_acq(&s->domains); d; d = d->next) dump_domain(fd, d);
  put(fd, "threads\n");
  for (const M *m = load_acq(&s->allm); m; m = m->alllink) dump_m(fd, m);
  put(fd, "green threads\n");
  Places seen;
  seen.n = seen.told = 0;
  for (G *g = load_acq(&s->allg); g; g = g->alllink) dump_g(fd, g, &seen);
  if (seen.told == PLACES_MOST) put(fd, "  (after %d places none is told any more)\n", PLACES_MOST);
  tell_answers(fd, &asked);
}
