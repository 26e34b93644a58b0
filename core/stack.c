/* stack.c: the stacks of green threads.
 *
 * Stacks come from arenas: one mapping of 64 MiB (or 32 stacks, or four very large ones, if those
 * need more), cut into slots: a guard page and above it a power of two, which the kernel commits as
 * it is touched.  The odd page moves each stack's busy end to another page colour: tops that are a
 * power of two apart would share a few sets of every cache, and a switch among a thousand Gs would
 * miss them all.  A stack is bound to a G when the G first runs and given back when it ends, to the
 * P's own list first: a burst of short Gs runs on a few warm stacks, however many are queued.
 *
 * Free stacks are linked through a struct at their own top, which the next user touches anyway.
 * One that was used deeply is given back to the kernel before it is used again; how deeply is
 * found by a canary page-wise: the word at the far end of the first TRIM_KEEP bytes is zero as long
 * as nobody has been there.
 *
 * Overflow.  A fault in the guard page of the G that runs here means that its stack is too small.
 * The SIGSEGV handler says so, with the G's name, its size and its stack, and aborts.  Any other
 * fault goes to the handler that was there before.  The handler runs on an alternate stack that
 * every M gets (the thread's own, if it has one).  Foreign code may set another one, which serves
 * as well as long as it is there, and may leave none behind: an M that has made calls looks again
 * when it goes idle.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define NCLASS 48
#define P_KEEP 64u                /* free stacks that a P keeps for itself */
#define P_BATCH 32u               /* as many go to the class's list, or come from it, at once */
#define TRIM_KEEP ((size_t)16384) /* bytes below the top that a free stack may keep committed */

typedef struct {
  Lock lock;
  Stack *free;
  char *next, *end; /* of the newest arena: slots never used */
} Class;

static Class classes[NCLASS];
static struct sigaction old_segv, old_bus;

uint32_t stack_class(size_t bytes) {
  uint32_t k = 14; /* 16 KiB is the smallest */
  /* arm64 and others can have pages of 64 KiB: one for the struct at the top, one to use. */
  if (bytes < 2 * os_pagesize()) bytes = 2 * os_pagesize();
  while (((size_t)1 << k) < bytes) k++;
  return k;
}

/* ---- free lists ---- */

#if GS_ASAN
#include <sanitizer/asan_interface.h>
/* A G that ended in the middle of its frames has left their red zones behind. */
static void stack_unpoison(const Stack *s) {
  __asan_unpoison_memory_region(s->lo, (size_t)(s->hi - s->lo));
}
#else
static void stack_unpoison(const Stack *s) { (void)s; }
#endif

/* What is given back ends at a page's end, which must not be the page of the struct. */
static char *canary(const Stack *s) {
  ptrdiff_t keep = (ptrdiff_t)(os_pagesize() > TRIM_KEEP ? os_pagesize() : TRIM_KEEP);
  return s->hi - s->lo > keep ? s->hi - keep : NULL;
}

static size_t slot_bytes(uint32_t klass) { return ((size_t)1 << klass) + os_pagesize(); }

/* A slot that nobody has used.  c->lock is held. */
static char *carve(Class *c, uint32_t klass) {
  size_t slot = slot_bytes(klass);
  if ((size_t)(c->end - c->next) < slot) {
    /* The first guard of an arena touches a page of the page table that serves no stack. */
    size_t bytes = slot * (slot <= ARENA_BYTES ? 32 : 4);
    if (bytes < ARENA_BYTES) bytes = ARENA_BYTES;
    char *p = os_reserve(bytes);
    if (!p) return NULL;
    add_rlx(&gs_sched.stacks_mapped, bytes);
    c->next = p;
    c->end = p + bytes;
  }
  char *p = c->next;
  if (!os_guard(p, os_pagesize())) return NULL;
  c->next += slot;
  return p;
}

static Stack *pop(Stack **list) {
  Stack *s = *list;
  if (s) *list = s->next;
  return s;
}

static void push(Stack **list, Stack *s) {
  s->next = *list;
  *list = s;
}

/* p: takes some more for it, NULL: does not. */
static Stack *fresh(P *p, uint32_t klass) {
  Class *c = &classes[klass];
  lock(&c->lock);
  Stack *s = pop(&c->free);
  if (s) {
    for (Stack *more; p && p->nstack < P_BATCH - 1 && (more = pop(&c->free)); p->nstack++)
      push(&p->stacks, more);
    unlock(&c->lock);
    return s;
  }
  char *slot = carve(c, klass);
  unlock(&c->lock);
  if (!slot) return NULL;
  char *top = slot + slot_bytes(klass);
  s = (Stack *)(void *)(top - sizeof(Stack));
  s->lo = slot + os_pagesize();
  s->hi = (char *)((uintptr_t)s & ~(uintptr_t)(GS_LINE - 1));
  s->klass = klass;
  return s;
}

/* A stack of this class, the P's own if it has one.  NULL: no address space, or the number of
 * mappings is exhausted. */
Stack *stack_get(P *p, Domain *d, uint32_t klass) {
  Stack *s = p->stacks;
  /* A later gs_run may have changed the domain's class: the list has stacks of the old one then. */
  if (likely(s && s->klass == klass && p->d == d)) {
    p->stacks = s->next;
    p->nstack--;
    return s;
  }
  return fresh(!s && p->d == d && klass == load_rlx(&d->klass) ? p : NULL, klass);
}

void stack_put(P *p, Stack *s) {
  stack_unpoison(s);
  char *mark = canary(s);
  if (mark && unlikely(*(volatile uintptr_t *)(void *)mark != 0)) {
    uintptr_t page = os_pagesize();
    char *end = (char *)(((uintptr_t)mark + sizeof(uintptr_t) + page - 1) & ~(page - 1));
    os_decommit(s->lo, (size_t)(end - s->lo));
  }
  bool kept = p && s->klass == load_rlx(&p->d->klass);
  if (likely(kept && p->nstack < P_KEEP)) {
    push(&p->stacks, s);
    p->nstack++;
    return;
  }
  Class *c = &classes[s->klass];
  lock(&c->lock);
  push(&c->free, s);
  /* Stacks of an older class of the domain go home when their turn comes, one by one. */
  for (; kept && p->nstack > P_KEEP - P_BATCH && p->stacks->klass == s->klass; p->nstack--)
    push(&c->free, pop(&p->stacks));
  unlock(&c->lock);
}

void stack_locks(bool on) {
  for (Class *c = classes; c < classes + NCLASS; c++) fork_lock(&c->lock, on);
}

/* ---- overflow ---- */

static void say(const char *text) {
  ssize_t r = write(2, text, strlen(text));
  (void)r;
}

static void say_number(uint64_t n) {
  char buf[24], *p = buf + sizeof buf - 1;
  *p = 0;
  do *--p = (char)('0' + n % 10);
  while (n /= 10);
  say(p);
}

/* Is this fault the running G's own guard page?  Foreign code runs on g0 and has its own guard. */
static G *overflown(const char *addr) {
  M *m = gs_getm();
  G *g = m ? m->curg : NULL;
  if (!g || !g->stack) return NULL;
  return addr >= g->stack->lo - os_pagesize() && addr < g->stack->lo ? g : NULL;
}

static void report_overflow(G *g) {
  void *pcs[64];
  say("gosched: stack overflow in green thread G");
  say_number(g->goid);
  if (g->name[0]) {
    say(" \"");
    say(g->name);
    say("\"");
  }
  say(": its stack has ");
  say_number((uint64_t)(g->stack->hi - g->stack->lo));
  say(" bytes.\n");
  const char *advice = g->d->ops.on_overflow;
  say(advice ? advice
             : "Start it with a larger stack_size (gs_go_opts), or set GOSCHED_STACK_SIZE.");
  say("\nIt was here:\n");
  int n = backtrace(pcs, 64);
  backtrace_symbols_fd(pcs, n, 2);
}

static void on_fault(int sig, siginfo_t *info, void *ctx) {
  G *g = overflown(info->si_addr);
  if (g) {
    report_overflow(g);
    signal(SIGABRT, SIG_DFL);
    abort();
  }
  M *m = gs_getm();
  if (m && m->incgo) { /* for a dump that the host's handler makes */
    memset(m->cgo_callers, 0, sizeof m->cgo_callers);
    backtrace(m->cgo_callers, CGO_CALLERS);
    store_rel(&m->callers_of, load_rlx(&m->ncgocall));
  }
  /* Not ours: as if the runtime had never been here. */
  const struct sigaction *old = sig == SIGBUS ? &old_bus : &old_segv;
  if (old->sa_flags & SA_SIGINFO) {
    old->sa_sigaction(sig, info, ctx);
  } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
    old->sa_handler(sig);
  } else {
    /* The instruction is tried again, now without a handler: the process ends as it would have. */
    signal(sig, SIG_DFL);
  }
}

void stack_init(void) {
  for (int i = 0; i < NCLASS; i++) lock_rank(&classes[i].lock, RANK_STACKS);
  struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  void *warm[2];
  backtrace(warm, 2); /* loads libgcc_s now: it must not be loaded in a signal handler */
  sigemptyset(&sa.sa_mask);
  sigaction(SIGSEGV, &sa, &old_segv);
  sigaction(SIGBUS, &sa, &old_bus);
}

void stack_sigstack(M *m) {
  stack_t now, mine;
  m->sigstack_calls = load_rlx(&m->ncgocall);
  if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return; /* the host's */
  long want = sysconf(_SC_SIGSTKSZ);
  mine.ss_size = want > 65536 ? (size_t)want : 65536;
  mine.ss_flags = 0;
  mine.ss_sp = m->sigstack ? m->sigstack
                           : mmap(NULL, mine.ss_size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mine.ss_sp == MAP_FAILED) return;
  if (sigaltstack(&mine, NULL)) {
    munmap(mine.ss_sp, mine.ss_size);
    m->sigstack = NULL;
    return;
  }
  m->sigstack = mine.ss_sp;
}

void stack_sigstack_drop(M *m) {
  stack_t now, off = {.ss_flags = SS_DISABLE};
  if (!m->sigstack) return;
  if (sigaltstack(NULL, &now) == 0 && now.ss_sp == m->sigstack) {
    sigaltstack(&off, NULL);
    munmap(m->sigstack, now.ss_size);
  }
  m->sigstack = NULL;
}
