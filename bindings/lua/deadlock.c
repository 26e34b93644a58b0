/* deadlock.c: when no green thread can ever go on, gosched.run's function gets an error.
 *
 * The scheduler finds that all green threads are asleep and nothing can wake one (core/deadlock.c).
 * The main green thread of gs_run, if that is a VM's, is woken with GS_EDEADLOCK.  A VM whose run
 * is a guest (module.c) has a main green thread that gs_run does not know: it is told here, by
 * being cancelled with a flag that says why.  The callback is on sysmon's thread, without a turn,
 * so it may only set that flag and cancel; everybody is asleep, and the one that reads the flag is
 * woken by the same call.
 *
 * While somebody waits on a shared channel, and the process has threads that the scheduler does not
 * know, nobody is told: one of them may be on its way to start another language.
 *
 * A program that runs the scheduler by itself, and so may have other threads that wake green
 * threads, says so by gs_expect_wakeup.
 */
#include <pthread.h>
#include <stdlib.h>

#include "green.h"

typedef struct guest {
  struct guest *next;
  vm *v;
  gs_handle *handle;
} guest;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static guest *guests;      /* under the mutex */
static turn *_Atomic host; /* of the VM whose gosched.run is the process's gs_run; NULL */

/* Of one VM's domain; others are told by themselves. */
static int all_asleep(const char *report, void *ud) {
  turn *t = ud;
  (void)report;
  /* Asked again afterwards: a thread may just have begun to run green threads. */
  if (gs_shared_strangers() || !gs_deadlocked(0) || gs_shared_strangers()) return 1;
  if (atomic_load(&host) == t) gs_deadlocked(1);
  pthread_mutex_lock(&mutex);
  for (guest *g = guests; g; g = g->next) {
    if (g->v->turn != t) continue;
    g->v->main->deadlocked = true;
    g->v->main->cancels++;
    gs_cancel(g->handle);
  }
  pthread_mutex_unlock(&mutex);
  return 1;
}

void gsl_deadlock_host(vm *v, bool on) {
  atomic_store(&host, on ? v->turn : NULL);
  gs_domain_on_deadlock(v->turn->domain, on ? all_asleep : NULL, v->turn);
}

int gsl_deadlock_guest(vm *v, gs_handle *handle) {
  guest *g = malloc(sizeof(*g));
  if (!g) return GS_ENOMEM;
  pthread_mutex_lock(&mutex);
  *g = (guest){guests, v, handle};
  guests = g;
  pthread_mutex_unlock(&mutex);
  gs_domain_on_deadlock(v->turn->domain, all_asleep, v->turn);
  return GS_OK;
}

void gsl_deadlock_guest_left(vm *v) {
  guest *found = NULL;
  pthread_mutex_lock(&mutex);
  for (guest **at = &guests; *at; at = &(*at)->next)
    if ((*at)->v == v) {
      found = *at;
      *at = found->next;
      break;
    }
  pthread_mutex_unlock(&mutex);
  if (found) gs_domain_on_deadlock(v->turn->domain, NULL, NULL);
  free(found);
}
