/* turn.c: who has the turn in a VM, and how one that computes for long is made to give it up.
 *
 * A Lua function that computes never calls into the scheduler, and its P cannot be taken away: the
 * VM has no lock but that P.  A count hook that is always on would cost 2.5 times.  So nothing is
 * on until sysmon, which asks may_retake while others wait, sees that the thread with the turn has
 * used the CPU for a slice (10 ms).  Then it sends that thread a signal, whose handler sets a count
 * hook, as the handler of Ctrl-C in lua.c does; the hook runs before the next instruction of the
 * VM, takes itself away and yields.
 *
 * lua_sethook may be called in a signal handler only on the thread that runs that VM.  The races:
 *
 *   - The signal may come late, when its thread runs no Lua any more or another VM's.  So every
 *     operation that parks or calls foreign code clears `inside` before it and sets `tid` and
 *     `inside` after it.  The handler takes `inside` first (acquire), then `tid`.  If it sees its
 *     own number, its own thread wrote it last: another one's write would have come with `inside`
 *     (release).  So it is between gsl_turn_enter and gsl_turn_leave on this thread, which it has
 *     interrupted and which cannot go on before it returns.
 *   - The hook must be set on the lua_State that runs.  Inside a coroutine that is not the green
 *     thread's own: coroutine.resume and wrap note it in `at` (coroutine.c).  A coroutine resumed
 *     by C, or by functions taken before this module was loaded, is interrupted when it yields.
 *   - debug.sethook in the middle of its stores: coroutine.c leaves the turn around it.
 *   - A thread in a blocking C function of Lua (io.read, os.execute) uses no CPU and is left alone,
 *     so that no system call that cannot be restarted is disturbed.
 *
 * At most one signal is under way for a VM: `asked` stays until the hook has run or the green
 * thread has parked by itself.  In a __gc metamethod Lua allows no hooks.
 */
#include <pthread.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "green.h"

#define SLICE_NS ((int64_t)10000000)
#define WORKED_NS                                                                 \
  ((int64_t)2000000) /* of the slice; a busy machine gives a thread less than all \
                      */
#define GREEN_STACK ((size_t)1 << 20)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static turn *spares;         /* under the mutex */
static turn *_Atomic turns;  /* all; grows at its head */
static struct sigaction old; /* of SIGURG; written once, before the first signal */

/* ---- threads --------------------------------------------------------------------------------- */

/* Initial-exec: the handler must not allocate. */
static __thread __attribute__((tls_model("initial-exec"))) pid_t cached_tid;

/* Never inlined: its thread-local's address must not be kept over a park. */
__attribute__((noinline)) pid_t gsl_tid(void) {
  __asm__ volatile("");
  if (!cached_tid) cached_tid = (pid_t)syscall(SYS_gettid);
  return cached_tid;
}

static void forked(void) { cached_tid = 0; }

/* ---- interrupting ---------------------------------------------------------------------------- */

static __thread __attribute__((tls_model("initial-exec"))) int in_handler;

static void give_up_turn(lua_State *L, lua_Debug *ar);

/* The word of a green thread is its binding's: what it points to is known in our domains only. */
green *gsl_running(const turn *t) {
  if (!t->domain || gs_domain_self() != t->domain) return NULL;
  void **slot = gs_gdata();
  return slot ? *slot : NULL;
}

/* The user's own hook on L, if there is one, is put aside. */
static void interrupt(green *g, lua_State *L) {
  if (lua_gethook(L) == give_up_turn) return;
  g->aside = (hook){L, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L)};
  lua_sethook(L, give_up_turn, LUA_MASKCOUNT, 1);
}

static void on_signal(int sig, siginfo_t *info, void *context) {
  int saved = errno;
  pid_t me = cached_tid;
  if (me && !in_handler) {
    in_handler = 1;
    for (turn *t = atomic_load(&turns); t; t = t->next) {
      green *g = atomic_load_explicit(&t->inside, memory_order_acquire);
      if (g && atomic_load_explicit(&t->tid, memory_order_relaxed) == me &&
          atomic_load_explicit(&t->asked, memory_order_relaxed) && g->at)
        interrupt(g, g->at);
    }
    in_handler = 0;
  }
  if (old.sa_flags & SA_SIGINFO) {
    if (old.sa_sigaction) old.sa_sigaction(sig, info, context);
  } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(sig);
  }
  errno = saved;
}

/* A coroutine that was left before its next instruction carries the hook away, perhaps to another
 * green thread; new coroutines get a copy of it: it takes itself away there. */
static void give_up_turn(lua_State *L, lua_Debug *ar) {
  green *g = NULL;
  for (turn *t = atomic_load(&turns); t && !g; t = t->next) g = gsl_running(t);
  (void)ar;
  if (g && g->aside.L == L)
    lua_sethook(L, g->aside.fn, g->aside.mask, g->aside.count);
  else
    lua_sethook(L, NULL, 0, 0);
  if (!g) return;
  g->aside.L = NULL;
  GSL_OUTSIDE(L, g->vm, (gs_yield(), 0)); /* a coroutine inside of a __gc metamethod has hooks */
}

static int64_t cpu_of(pid_t tid) {
  struct timespec ts;
  /* The kernel's number for the CPU clock of another thread (CPUCLOCK_PERTHREAD, _SCHED). */
  if (clock_gettime((clockid_t)(~(unsigned)tid << 3 | 6), &ts) != 0) return -1;
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Whether the thread is on a CPU or waits for one, and not in a system call that the signal would
 * end.  CPU time alone does not tell: it may have computed first and block now. */
static bool computes(pid_t tid) {
  char path[48], text[256];
  snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char *after = strrchr(text, ')'); /* behind the name, which may have anything in it */
  return after && after[1] == ' ' && after[2] == 'R';
}

/* On sysmon's thread.  The P stays where it is, whatever this finds. */
static int may_retake(void *ud, void *const *gdata, int64_t outside_ns, int waiting) {
  turn *t = ud;
  (void)gdata;
  if (!waiting || atomic_load(&t->left_alone) || atomic_load(&t->asked)) return GS_RETAKE_NO;
  if (!atomic_load(&t->inside)) return GS_RETAKE_NO;
  pid_t tid = atomic_load(&t->tid);
  int64_t began = gs_now() - outside_ns, cpu = cpu_of(tid);
  /* The same stretch begins at the same time, but for how long it took to come here. */
  if (cpu < 0 || began - t->since > SLICE_NS / 2 || t->since - began > SLICE_NS / 2) {
    t->since = began;
    t->cpu = cpu;
    return GS_RETAKE_NO;
  }
  if (outside_ns < SLICE_NS || cpu - t->cpu < WORKED_NS || !computes(tid)) return GS_RETAKE_NO;
  atomic_store(&t->asked, 1);
  syscall(SYS_tgkill, getpid(), tid, SIGURG);
  return GS_RETAKE_NO;
}

static void set_up(void) {
  struct sigaction sa = {.sa_sigaction = on_signal,
                         .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&sa.sa_mask);
  sigaction(SIGURG, NULL, &old);
  sigaction(SIGURG, &sa, NULL);
  pthread_atfork(NULL, NULL, forked);
}

/* ---- life ------------------------------------------------------------------------------------ */

turn *gsl_turn_new(void) {
  pthread_mutex_lock(&mutex);
  turn *t = spares;
  if (t) spares = t->spare;
  pthread_mutex_unlock(&mutex);
  if (!t && (t = calloc(1, sizeof(*t)))) {
    turn *head = atomic_load(&turns);
    do t->next = head;
    while (!atomic_compare_exchange_weak(&turns, &head, t));
  }
  if (t) atomic_store(&t->left_alone, false);
  return t;
}

void gsl_turn_free(turn *t) {
  atomic_store(&t->inside, NULL);
  pthread_mutex_lock(&mutex);
  t->spare = spares;
  spares = t;
  pthread_mutex_unlock(&mutex);
}

int gsl_turn_domain(turn *t) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static const gs_domain_ops ops = {
      .size = sizeof(ops),
      .may_retake = may_retake,
      .on_overflow =
          "Green threads of Lua have no more; Lua itself needs less.  C that recurses so "
          "deeply can be called by gosched.ffi, on a thread's own stack.",
  };
  if (t->domain) return GS_OK;
  pthread_once(&once, set_up);
  int code = gs_domain_new("lua", 1, GREEN_STACK, &ops, t, &t->domain);
  if (code == GS_OK) gsl_tell_new(t);
  return code;
}

/* gosched.preempt(on): whether green threads that compute are made to give others a turn (they
 * are, unless this says otherwise).  Returns what was so before. */
static int l_preempt(lua_State *L) {
  turn *t = gsl_vm(L)->turn;
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  lua_pushboolean(L, !atomic_exchange(&t->left_alone, !lua_toboolean(L, 1)));
  return 1;
}

void gsl_open_turn(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"preempt", l_preempt}, {NULL, NULL}};
  gsl_add_functions(L, module, vm_index, functions);
}
