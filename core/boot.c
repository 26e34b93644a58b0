/* boot.c: the configuration, the first start, and gs_run.
 *
 * The runtime boots once in a process and stays: its threads sleep when nothing runs.  gs_run lends
 * the caller's thread to the scheduler as an M, whose g0 is the caller's stack, until the main
 * green thread has ended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

Sched gs_sched;

#define DEFAULT_STACK ((size_t)65536)
#define DEFAULT_MAIN_STACK ((size_t)8 << 20)
#define DEFAULT_THREADS 10000
#define DEFAULT_IDLE_NS ((int64_t)10000000000)

/* ---- boot ---- */

static int boot_error;
static char boot_detail[256]; /* the sentence that goes with it, if there is one */

/* CPython up to 3.13 ends threads that come back to a finalising interpreter by pthread_exit, on
 * the stack of a green thread.  The P must not go with them. */
static pthread_key_t vanish_key;

void m_vanished(void *arg) {
  M *m = arg;
  if (m->runner) return;
  uintptr_t w;
  while ((w = load_sc(&m->pw) & ~PW_LOCK) != 0) {
    P *p = (P *)w;
    if (!CAS(&m->pw, w, (uintptr_t)0)) { /* a retaker has it LOCKed */
      wait_unlocked(m, p);
      continue;
    }
    store_rlx(&p->m, NULL);
    handoffp(p);
  }
  if (load_rlx(&m->relief)) pless_back(m);
}

void boot_thread_key(M *m) { pthread_setspecific(vanish_key, m); }

static void boot(void) {
  os_init();
  gs_nop.status = Pdead;
  lock_rank(&gs_sched.lock, RANK_SCHED);
  lock_rank(&gs_sched.stw_mu, RANK_STW);
  lock_rank(&gs_sched.retake_mu, RANK_RETAKE);
  gs_nop.timers.next = INT64_MAX;
  gs_sched.max_threads = DEFAULT_THREADS;
  gs_sched.idle_ns = DEFAULT_IDLE_NS;
  gs_sched.fenced = !os_barrier_init();
#if GS_TSAN || GS_FENCED
  gs_sched.fenced = 1;
#endif
  if (pthread_key_create(&vanish_key, m_vanished) || process_init()) {
    boot_error = GS_ENOMEM;
    return;
  }
  if ((boot_error = os_copies_claim())) {
    snprintf(boot_detail, sizeof boot_detail, "%s", gs_error_detail());
    return;
  }
  if ((boot_error = log_start()) || (boot_error = schedtrace_start())) {
    snprintf(boot_detail, sizeof boot_detail, "%s", gs_error_detail());
    return;
  }
  stack_init();
  boot_error = domain_init(&gs_native, gs_native.name, (uint32_t)os_ncpu(), DEFAULT_STACK);
  if (!boot_error && (template_start() || sysmon_start())) boot_error = GS_ETHREADS;
}

int gs_boot(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, boot);
  if (!boot_error) return GS_OK;
  if (boot_detail[0]) return gs_fail(boot_error, "%s", boot_detail);
  return gs_fail(boot_error, "gosched could not start: %s", gs_strerror(boot_error));
}

/* ---- the configuration ---- */

static int check(const char *what, long long v, long long min, long long max) {
  if (v >= min && v <= max) return GS_OK;
  return gs_fail(GS_EINVAL, "gs_run: %s is %lld; 0 or %lld..%lld is accepted", what, v, min, max);
}

typedef struct {
  int64_t procs, threads, stack, main_stack, idle_ms;
} Numbers;

static int numbers_of(const gs_config *c, Numbers *n) {
  *n = (Numbers){c->procs, c->max_threads, (int64_t)c->stack_size, (int64_t)c->main_stack_size,
                 DEFAULT_IDLE_NS / 1000000};
  int err;
  if ((err = settings_check())) return err;
  (void)gs_setting_get("GOSCHED_PROCS", NULL, &n->procs);
  (void)gs_setting_get("GOSCHED_MAX_THREADS", NULL, &n->threads);
  (void)gs_setting_get("GOSCHED_STACK_SIZE", NULL, &n->stack);
  (void)gs_setting_get("GOSCHED_THREAD_IDLE_MS", NULL, &n->idle_ms);
  if (n->procs && (err = check("procs", n->procs, 1, GS_MAX_PROCS))) return err;
  if (n->threads && (err = check("max_threads", n->threads, 2, GS_MOST_THREADS))) return err;
  if (n->stack && (err = check("stack_size", n->stack, GS_MIN_STACK, GS_MAX_STACK))) return err;
  if (n->main_stack && (err = check("main_stack_size", n->main_stack, GS_MIN_STACK, GS_MAX_STACK)))
    return err;
  if (c->flags & ~(unsigned)(GS_RUN_LOCK_MAIN | GS_RUN_ABANDON | GS_RUN_DETECT_DEADLOCK |
                             GS_RUN_DUMP_ON_SIGQUIT))
    return gs_fail(GS_EINVAL, "gs_run: flags has unknown bits (0x%x)", c->flags);
  if (!n->procs) n->procs = os_ncpu();
  if (!n->threads) n->threads = DEFAULT_THREADS;
  if (!n->stack) n->stack = DEFAULT_STACK;
  if (!n->main_stack) n->main_stack = DEFAULT_MAIN_STACK;
  return GS_OK;
}

/* ---- gs_run ---- */

typedef struct {
  int (*fn)(void *);
  void *arg;
  int result;
} MainCall;

/* Not on gs_run's stack: after fork the main G may go on in a process that does not have it. */
static MainCall main_call;

static void main_entry(void *p) {
  MainCall *call = p;
  call->result = call->fn(call->arg);
}

static int run_on(M *m, const gs_config *c, const Numbers *n, MainCall *call) {
  Domain *d = c->domain ? c->domain : &gs_native;
  G *g = g_new(NULL, d, main_entry, call);
  if (!g) return gs_fail(GS_ENOMEM, "gs_run: out of memory");
  g->main = 1;
  g->stack_want = (size_t)n->main_stack;
  strcpy(g->name, "main");
  if (c->flags & GS_RUN_LOCK_MAIN) {
    g->locks = 1;
    g->lockedm = m;
    m->lockedg = g;
  }
  store_rel(&gs_sched.main_g, g); /* sysmon may look for it at any time */
  m->runner = 1;
  store_rel(&gs_sched.main_m, m);
  /* From here the M is inside, without a P, as if its G had lost it. */
  store_rel(&m->sc, sc_next(m->sc, SC_INSIDE));
  store_sc(&gs_sched.running, RUN_ON);
  m->prevg = g;
  m->prev = PREV_GLOBAL;
  schedule_loop(m);
  m->runner = 0;
  return GS_OK;
}

/* This thread leaves its M.  A G that was abandoned while it was locked to it would wait for the
 * thread for ever, and so would any P that somebody brings for that G: another thread takes the
 * thread's place in the M, with everything that is on its way there. */
static void leave_m(M *m) {
  stack_sigstack_drop(m);
  gs_setm(NULL);
  if (likely(!m->lockedg)) {
    m_free(m);
    return;
  }
  while (m_new_thread(m) != 0) os_sleep_ns(1000000);
}

/* Idle threads of an earlier gs_run with a higher limit make room; those that are just coming to
 * rest are waited for. */
static M *alloc_runner(void) {
  for (int tries = 0; tries < 500; tries++) {
    M *m = m_alloc();
    if (m) return m;
    if (!m_dismiss()) os_sleep_ns(1000000);
  }
  return NULL;
}

int gs_run(const gs_config *cfg, int (*fn)(void *), void *arg, int *result) {
  static const gs_config def = GS_CONFIG_DEFAULT;
  const gs_config *c = cfg ? cfg : &def;
  Numbers n;
  int err;
  if (!fn) return gs_fail(GS_EINVAL, "gs_run: fn is NULL; a function is needed");
  if (c->size != sizeof *c)
    return gs_fail(GS_EINVAL, "gs_run: cfg->size is %zu, this library has %zu", c->size, sizeof *c);
  if (gs_getm())
    return gs_fail(GS_EBUSY, "gs_run: this thread runs green threads already; call fn directly");
  if ((err = numbers_of(c, &n)) || (err = gs_boot()) || (err = monitor_from_env())) return err;
  if (!CAS(&gs_sched.running, RUN_NONE, RUN_STARTS))
    return gs_fail(GS_EBUSY, "gs_run: another gs_run is under way; start green threads with gs_go");
  store_rlx(&gs_sched.max_threads, (uint32_t)n.threads);
  store_rlx(&gs_sched.idle_ns, n.idle_ms * 1000000);
  store_rlx(&gs_native.stack_size, (size_t)n.stack);
  store_rlx(&gs_native.klass, stack_class((size_t)n.stack));
  if ((err = domain_resize(&gs_native, (uint32_t)n.procs))) {
    store_rel(&gs_sched.running, RUN_NONE);
    return gs_fail(err, "gs_run: out of memory for %lld procs", (long long)n.procs);
  }
  store_rlx(&gs_sched.run_flags, c->flags);
  tell_run_begins();
  store_sc(&gs_sched.main_done, 0);
  store_sc(&gs_sched.ending, 0);
  if (load_rlx(&gs_sched.user_off)) user_on(NULL);
  store_sc(&gs_sched.notified, 0);
  M *m = alloc_runner();
  if (!m) {
    store_rel(&gs_sched.running, RUN_NONE);
    return gs_fail(GS_ETHREADS, "gs_run: max_threads (%lld) threads are in use already",
                   (long long)n.threads);
  }
  m_thread_init(m);
  main_call = (MainCall){fn, arg, 0};
  int signal = dump_signal_begin((c->flags & GS_RUN_DUMP_ON_SIGQUIT) != 0);
  err = signal < 0 ? signal : run_on(m, c, &n, &main_call);
  if (signal > 0) dump_signal_end();
  store_rel(&gs_sched.main_m, NULL);
  leave_m(m);
  store_sc(&gs_sched.ending, 0); /* callbacks from foreign threads may go on */
  store_rel(&gs_sched.running, RUN_NONE);
  if (!err && result) *result = main_call.result;
  return err;
}

/* In a child of fork, on g0: the G that leads it has ended, and this thread is not inside gs_run.
 */
void run_orphan_done(void) {
  gs_setm(NULL);
  exit(gs_sched.orphan == ORPHAN_MAIN ? main_call.result : 0);
}
