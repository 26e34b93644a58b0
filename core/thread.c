/* thread.c: making OS threads and ending them.
 *
 * Where a thread is made matters: it inherits much from its maker - the namespaces and the working
 * directory that a locked green thread may have changed for itself alone, CPU affinity, priority,
 * timer slack.  So only an M that the runtime has made itself, that runs nothing locked and is not
 * in foreign code, makes the next one; for all others the *template thread* does, which is made at
 * boot and never runs anything else (Go's has the same name and purpose).  It is also the one that
 * can afford to wait: where the system refuses a thread for the moment (EAGAIN: threads that are on
 * their way out still count) it tries again for a while, which nobody who holds a P may do.
 *
 * An M is counted in sched.nm when it is decided that it is to be made, under the same lock under
 * which no idle one was found.  Otherwise whoever asks in between whether anybody runs would see a
 * G in a queue and nobody to run it.
 *
 * A thread ends in two cases.  Its G has ended while it was locked: whatever that G has done to its
 * thread must not meet another G.  Or it has been idle for IDLE_NS and there are more than
 * IDLE_KEEP idle ones.  Never the thread of gs_run, nor any that the runtime did not make, nor -
 * for idleness - one that a binding has something stored with.  The M struct is used again.
 *
 * The race of an idle M that gives up waiting with somebody who wants it: both take sched.lock, and
 * whoever comes first decides.  Either the M is off the list with orders on the way, or it is off
 * the list and not counted any more.
 */
#include <errno.h>

#include "runtime.h"

#define TRIES 5
#define FIRST_WAIT_NS 1000000

static struct {
  Lock lock;
  M *head, *tail; /* Ms that wait for their thread, by freelink; lock */
  Note note;      /* there may be some */
  bool runs;      /* it has been made; who boots, or revives */
} tmpl;

/* ---- the life of a thread ---- */

static void m_end_thread(M *m) {
  if (m->quit == QUIT_NO) throw_("an M left its loop");
  boot_thread_key(NULL);
  stack_sigstack_drop(m);
  gs_setm(NULL);
  m_put_free(m);
}

static void *m_main(void *arg) {
  M *m = arg;
  m->own = 1;
  m_thread_init(m);
  boot_thread_key(m);
  os_thread_begin(m);
  P *p = m->nextp;
  m->nextp = NULL;
  if (p) acquirep(m, p);
  if (m->topoll) {
    m->topoll = 0;
    store_rel(&gs_sched.poll_starting, 0);
  }
  schedule_loop(m);
  m_end_thread(m);
  return NULL;
}

/* The new thread of an M that has a locked G: a P may be on its way, which stoplockedm takes. */
static void *m_go_on(void *arg) {
  M *m = arg;
  m->own = 1;
  m_thread_init(m);
  boot_thread_key(m);
  os_thread_begin(m);
  schedule_loop(m);
  m_end_thread(m);
  return NULL;
}

int m_new_thread(M *m) { return os_thread_start(m_go_on, m); }

/* m's thread is about to end.  It is not counted any more before its P goes on, so that the P can
 * go to a new thread even at the limit. */
void m_quit(M *m) {
  m->lockedg = NULL;
  if (m->spinning) {
    m->spinning = 0;
    add_sc(&m->p->d->nmspinning, -1);
  }
  m_detach(m);
  if (m->quit == QUIT_LOCKED) {
    lock(&gs_sched.lock);
    m_uncount();
    unlock(&gs_sched.lock);
  }
  torture_window(); /* it still has its P, and nobody may think that all are idle */
  P *p = m->p != &gs_nop ? releasep(m) : NULL;
  if (p) handoffp(p);
}

/* ---- the template thread ---- */

static int start_patiently(M *m) {
  int err = EAGAIN;
  for (int i = 0; i < TRIES && err == EAGAIN; i++) {
    if (i) os_sleep_ns(i * FIRST_WAIT_NS);
    err = os_thread_start(m_main, m);
  }
  return err;
}

static M *take_order(void) {
  lock(&tmpl.lock);
  M *m = tmpl.head;
  if (m && !(tmpl.head = m->freelink)) tmpl.tail = NULL;
  unlock(&tmpl.lock);
  return m;
}

static void *template_main(void *arg) {
  (void)arg;
  os_thread_name("gosched-tmpl");
  os_short_slice(); /* somebody waits for what it makes */
  for (;;) {
    note_clear(&tmpl.note);
    torture_window(); /* an order that comes now sets the note again */
    M *m = take_order();
    if (!m) {
      note_sleep(&tmpl.note);
      continue;
    }
    m->freelink = NULL;
    if (m->callg && m_needless(m)) continue;
    int err = start_patiently(m);
    m_ordered(-1);
    if (err)
      m_stillborn(m, err);
    else
      add_rlx(&gs_sched.nmcreated, 1);
  }
  return NULL;
}

/* Once; again in a child of fork.  0 or errno. */
int template_start(void) {
  if (tmpl.runs) return 0;
  int err = os_thread_start(template_main, NULL);
  if (err) return err;
  tmpl.runs = true;
  lock(&gs_sched.lock);
  gs_sched.nmsys++;
  unlock(&gs_sched.lock);
  return 0;
}

void template_forked(void) {
  tmpl.lock.word = 0;
  tmpl.head = tmpl.tail = NULL;
  tmpl.note.word = 0;
  tmpl.runs = false;
}

void m_order(M *m) {
  if (unlikely(load_rlx(&gs_sched.no_sysmon))) process_revive();
  m_ordered(1);
  lock(&tmpl.lock);
  m->freelink = NULL;
  if (tmpl.tail)
    tmpl.tail->freelink = m;
  else
    tmpl.head = m;
  tmpl.tail = m;
  unlock(&tmpl.lock);
  note_wake(&tmpl.note);
}

/* This thread is fit to be inherited from. */
static bool presentable(void) {
  M *m = gs_getm();
  return m && m->own && !m->quit && !m->lockedg && !load_rlx(&m->incgo) &&
         (m->sc & SC_MODE) == SC_INSIDE;
}

/* Gives m a thread, here or by the template thread; 0, or the errno of a failure. */
int m_start(M *m) {
  if (presentable()) {
    int err = os_thread_start(m_main, m);
    if (!err) add_rlx(&gs_sched.nmcreated, 1);
    if (err != EAGAIN) return err;
  }
  m_order(m);
  return 0;
}
