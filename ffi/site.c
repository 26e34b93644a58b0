/* site.c: call sites that outlive the functions that use them.
 *
 * The scheduler keeps the address of a call's gs_site: sysmon writes its score a little after the
 * call may have ended, a trace prints its name when tracing stops.  So a site is never freed: a
 * function that goes away puts its site on a free list, and the next function takes it.  What a
 * late writer then spoils is a hint, which heals by itself.  Names are kept once each, for good.
 */
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

typedef struct pooled {
  gs_site site;        /* first: what callers have is its address */
  struct pooled *next; /* on the free list, under mutex */
  struct pooled *all;  /* every site there is, so that leak checkers see it is reachable */
} pooled;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pooled *free_sites, *all_sites; /* under mutex */
static void *names;                    /* tsearch(3) tree of strings, under mutex */

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static const char *intern(const char *name) {
  void *node = tfind(name, &names, by_text);
  if (node) return *(char *const *)node;
  char *copy = strdup(name);
  if (copy && !tsearch(copy, &names, by_text)) {
    free(copy);
    copy = NULL;
  }
  return copy;
}

gs_site *gsf_site_new(const char *name, unsigned flags) {
  pthread_mutex_lock(&mutex);
  const char *kept = intern(name);
  pooled *p = kept ? free_sites : NULL;
  if (p) {
    free_sites = p->next;
  } else if (kept && (p = calloc(1, sizeof(*p)))) {
    p->all = all_sites;
    all_sites = p;
  }
  if (p) {
    __atomic_store_n(&p->site.name, kept, __ATOMIC_RELAXED);
    __atomic_store_n(&p->site.flags, flags, __ATOMIC_RELAXED);
    __atomic_store_n(&p->site.score, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->site.shorts, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->site.retakes, 0, __ATOMIC_RELAXED);
  }
  pthread_mutex_unlock(&mutex);
  return p ? &p->site : NULL;
}

void gsf_site_release(gs_site *site) {
  pooled *p = (pooled *)site;
  pthread_mutex_lock(&mutex);
  p->next = free_sites;
  free_sites = p;
  pthread_mutex_unlock(&mutex);
}
