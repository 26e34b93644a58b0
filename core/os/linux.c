/* linux.c: what the scheduler needs of Linux, and nothing that it does not.
 *
 * Threads are pthreads, detached, created with all signals blocked (Go's newosproc does the same:
 * a signal must not reach an M that is not set up); the new thread takes the mask that the process
 * had at boot.  Waiting is futexes.  The heavy barrier is membarrier(PRIVATE_EXPEDITED): every
 * thread of the process that runs passes a full fence before the call returns, and every other one
 * has passed a context switch (membarrier(2)).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../runtime.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static sigset_t boot_mask;
static uint64_t boot_slice;
static size_t page_size;
/* Whether MADV_GUARD_INSTALL works here. */
enum { GUARD_NO, GUARD_UNTRIED, GUARD_YES };
static int guard_install = GUARD_UNTRIED;

static uint64_t slice_now(void);

void os_init(void) {
  pthread_sigmask(SIG_SETMASK, NULL, &boot_mask);
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  gs_sched.timerslack = os_slack_get();
  boot_slice = slice_now();
}

/* ---- clocks ------------------------------------------------------------------------------------
 */

int64_t os_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t os_thread_cputime(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t os_thread_waits(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return (uint64_t)u.ru_nvcsw;
}

/* The clock of another thread, as pthread_getcpuclockid makes its number, but from the tid: the
 * thread may have ended, and a pthread_t must not be used then.  -1: it has. */
int64_t os_thread_cputime_of(uint32_t tid) {
  struct timespec t;
  clockid_t clock = (clockid_t)((~tid << 3) | 6); /* per thread, as the scheduler counts it */
  if (clock_gettime(clock, &t)) return -1;
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Waits in the kernel: the state after the name, which is in parentheses and may contain any. */
bool os_thread_asleep(uint32_t tid) {
  char path[48], text[128];
  snprintf(path, sizeof path, "/proc/self/task/%u/stat", tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char *end = strrchr(text, ')');
  return end && end[1] == ' ' && (end[2] == 'S' || end[2] == 'D');
}

/* The 20th number of the process's stat; the second is the name, as above. */
uint32_t os_nthreads(void) {
  char text[512];
  int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  const char *at = strrchr(text, ')');
  for (int i = 2; at && i < 20; i++) at = strchr(at + 1, ' ');
  return at ? (uint32_t)strtoul(at, NULL, 10) : 0;
}

static struct timespec timespec_of(int64_t ns) {
  return (struct timespec){ns / 1000000000, ns % 1000000000};
}

void os_sleep_ns(int64_t ns) {
  struct timespec t = timespec_of(ns);
  int e = errno;
  nanosleep(&t, NULL);
  errno = e;
}

/* How late the kernel may make a timed wait of this thread (prctl(2), PR_SET_TIMERSLACK). */
void os_slack(long ns) { prctl(PR_SET_TIMERSLACK, (unsigned long)ns, 0, 0, 0); }
long os_slack_get(void) { return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0); }

/* ---- waiting ---- */

/* errno belongs to the green thread that runs here.  A wait inside the runtime may happen after it
 * has been given its errno back (a lock that is contended, on the way out), and often ends with
 * EAGAIN: so none of these touches errno. */

void os_futex_wait(uint32_t *addr, uint32_t val) {
  int e = errno;
  syscall(SYS_futex, addr, FUTEX_WAIT_PRIVATE, val, NULL, NULL, 0);
  errno = e;
}

int os_futex_wait_until(uint32_t *addr, uint32_t val, int64_t when) {
  struct timespec t = timespec_of(when < 0 ? 0 : when);
  /* FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, so that a signal does not
   * lengthen the wait. */
  int e = errno;
  long r = syscall(SYS_futex, addr, FUTEX_WAIT_BITSET_PRIVATE, val, when == GS_FOREVER ? NULL : &t,
                   NULL, FUTEX_BITSET_MATCH_ANY);
  int why = r == 0 ? EAGAIN : errno;
  errno = e;
  return why == EAGAIN ? 0 : why == ETIMEDOUT ? 1 : 2;
}

void os_futex_wake(uint32_t *addr, int n) {
  int e = errno;
  syscall(SYS_futex, addr, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
  errno = e;
}

void os_futex_wake_all(uint32_t *addr) { os_futex_wake(addr, INT32_MAX); }

GS_NOINLINE int *os_errno_at(void) {
  int *p = &errno;
  __asm__ volatile("" : "+r"(p)::"memory");
  return p;
}

void os_yield(void) { sched_yield(); }

/* ---- the heavy barrier ---- */

static int membarrier_(int cmd) { return (int)syscall(SYS_membarrier, cmd, 0, 0); }

bool os_barrier_init(void) {
  int q = membarrier_(MEMBARRIER_CMD_QUERY);
  if (q < 0 || !(q & MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return false;
  return membarrier_(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool os_barrier(void) { return membarrier_(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0; }

/* ---- threads ---- */

uint32_t os_gettid(void) { return (uint32_t)syscall(SYS_gettid); }

/* The quota of cgroup v2 in CPUs, rounded up; 0: none. */
static int cgroup_quota(void) {
  char path[512] = "", line[512];
  FILE *f = fopen("/proc/self/cgroup", "re");
  if (!f) return 0;
  while (fgets(line, sizeof line, f))
    if (strncmp(line, "0::", 3) == 0) {
      line[strcspn(line, "\n")] = 0;
      snprintf(path, sizeof path, "/sys/fs/cgroup%.400s/cpu.max", line + 3);
    }
  fclose(f);
  f = path[0] ? fopen(path, "re") : NULL;
  if (!f) return 0;
  long long quota = 0, period = 0;
  int n = fscanf(f, "%lld %lld", &quota, &period);
  fclose(f);
  return n == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int os_ncpu(void) {
  cpu_set_t set;
  int n = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  int quota = cgroup_quota();
  if (quota > 0 && quota < n) n = quota;
  return n < 1 ? 1 : n > GS_MAX_PROCS ? GS_MAX_PROCS : n;
}

static int start_blocked(void *(*fn)(void *), void *arg) {
  sigset_t all, old;
  pthread_t thread;
  pthread_attr_t attr;
  sigfillset(&all);
  int err = pthread_attr_init(&attr);
  if (err) return err;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  err = pthread_create(&thread, &attr, fn, arg);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  return err;
}

int os_thread_start(void *(*fn)(void *), void *arg) { return start_blocked(fn, arg); }

/* How long a thread may run at a time, in ns.  Since Linux 6.12 a thread of the normal policy may
 * ask for a shorter slice than others have, and one that wakes with a shorter slice than the
 * running one's goes first.  Needs no privilege, and gives no more CPU time.  Where the kernel does
 * not know it nothing changes. */
typedef struct { /* sched_attr of sched_setattr(2), its first version */
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
} SchedAttr;

static uint64_t slice_get(SchedAttr *a) {
  memset(a, 0, sizeof *a);
  if (syscall(SYS_sched_getattr, 0, a, sizeof *a, 0) || a->policy != SCHED_OTHER) return 0;
  a->size = sizeof *a;
  return a->runtime;
}

static uint64_t slice_now(void) {
  SchedAttr a;
  return slice_get(&a);
}

static void slice_set(uint64_t ns) {
  SchedAttr a;
  if (!ns || !slice_get(&a)) return;
  a.runtime = ns;
  syscall(SYS_sched_setattr, 0, &a, 0);
}

void os_short_slice(void) { slice_set(100000); } /* the least there is */

void os_thread_begin(M *m) {
  char name[16];
  snprintf(name, sizeof name, "gosched-m%d", m->id);
  prctl(PR_SET_NAME, name, 0, 0, 0);
  /* Slack and slice are inherited from the maker, which may be the template thread. */
  os_slack(gs_sched.timerslack);
  slice_set(boot_slice);
  pthread_sigmask(SIG_SETMASK, &boot_mask, NULL);
}

/* sysmon and the template thread keep all signals blocked: none is ever for them. */
void os_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

static void append_file(char *buf, size_t n, const char *label, const char *path) {
  char v[64] = "";
  FILE *f = fopen(path, "re");
  if (!f) return;
  if (fgets(v, sizeof v, f)) {
    v[strcspn(v, "\n")] = 0;
    size_t at = strlen(buf);
    snprintf(buf + at, n - at, "%s%s=%s", at ? ", " : "", label, v);
  }
  fclose(f);
}

void os_thread_limits(char *buf, size_t n) {
  struct rlimit r;
  buf[0] = 0;
  if (getrlimit(RLIMIT_NPROC, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
    snprintf(buf, n, "RLIMIT_NPROC (ulimit -u)=%llu", (unsigned long long)r.rlim_cur);
  append_file(buf, n, "kernel.threads-max", "/proc/sys/kernel/threads-max");
  append_file(buf, n, "vm.max_map_count", "/proc/sys/vm/max_map_count");
  append_file(buf, n, "cgroup pids.max", "/sys/fs/cgroup/pids.max");
}

void os_stack_bounds(char **lo, char **hi) {
  pthread_attr_t attr;
  void *addr = NULL;
  size_t size = 0;
  *lo = *hi = NULL;
  if (pthread_getattr_np(pthread_self(), &attr)) return;
  if (pthread_attr_getstack(&attr, &addr, &size) == 0) {
    *lo = addr;
    *hi = (char *)addr + size;
  }
  pthread_attr_destroy(&attr);
}

/* ---- memory ---- */

size_t os_pagesize(void) { return page_size; }

void *os_reserve(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (p == MAP_FAILED) return NULL;
  /* A stack that touches one page must not get two megabytes. */
  madvise(p, bytes, MADV_NOHUGEPAGE);
  return p;
}

/* madvise is advice: an emulated kernel (qemu-user) says yes to any and does nothing.  The page is
 * given to the kernel as a path to see whether it can be read: fresh memory is the empty path. */
static bool guard_holds(const void *page) {
  int e = errno;
  bool holds = access(page, F_OK) != 0 && errno == EFAULT;
  errno = e;
  return holds;
}

bool os_guard(void *page, size_t bytes) {
  /* A guard in the page tables (Linux 6.13) does not split the mapping; mprotect does, and every
   * split counts against vm.max_map_count. */
  int works = load_rlx(&guard_install);
  if (works != GUARD_NO && madvise(page, bytes, MADV_GUARD_INSTALL) == 0) {
    if (works == GUARD_YES) return true;
    works = guard_holds(page) ? GUARD_YES : GUARD_NO;
    store_rlx(&guard_install, works);
    if (works == GUARD_YES) return true;
  } else {
    store_rlx(&guard_install, GUARD_NO);
  }
  return mprotect(page, bytes, PROT_NONE) == 0;
}

void os_decommit(void *lo, size_t bytes) { madvise(lo, bytes, MADV_DONTNEED); }

/* ---- the environment ---- */

void os_secure_env(const char *name, const char **value) { *value = secure_getenv(name); }
