/* closing.c: libraries and descriptions that go away while calls are under way.
 *
 * A call uses the code of its library, its gs_func and the types of its gs_ffi until it has
 * returned.  Counting calls would cost each of them two locked instructions, so nobody counts: who
 * closes or frees asks the scheduler whether a call of the gs_ffi's functions may be under way
 * (gs_calls_under_way), and if so, what was asked for is put off.  It is tried again whenever a
 * gs_ffi is freed, or a library loaded or closed, here or elsewhere.  The answer errs to one side:
 * as long as green threads are in callbacks, they may be in any function.
 *
 * What this does not cover is a call that begins at the same time, unordered, which is as wrong
 * here as for any memory that is freed; and calls on threads that run no green thread, of which the
 * scheduler does not know.  Calls that begin later, of functions of a closed library, are refused:
 * their sites say GS_SITE_CLOSED, for which calls look on their slow way only, because with any
 * hint there is no other.  Calls that own their arguments (gs_ffi_call_opts) may begin later than
 * their caller thinks: they are counted.
 *
 * The same count keeps a gs_ffi, with its types, as long as a gs_mem of it lives.  Its children
 * have a count of their own, since they keep its types but not its closed libraries.
 */
#include <pthread.h>

#include "ffi_internal.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static gs_ffi *dying; /* freed, with calls under way; under mutex, looked at without */

/* ---- who is inside --------------------------------------------------------------------------- */

static bool has_site(const gs_func *f, const gs_site *site) {
  for (; f; f = f->next)
    if (f->site == site || has_site(f->shapes, site)) return true;
  return false;
}

static int is_ours(const gs_site *site, void *ud) {
  const gs_ffi *ffi = ud;
  return !site || has_site(ffi->funcs, site) || has_site(ffi->dying, site);
}

bool gsf_busy(const gs_ffi *ffi) {
  return __atomic_load_n(&ffi->users, __ATOMIC_ACQUIRE) != 0 ||
         gs_calls_under_way(is_ours, (void *)(uintptr_t)ffi);
}

/* ---- trying again ---------------------------------------------------------------------------- */

static bool wants_unmapping(const gs_ffi *ffi) {
  for (const gs_lib *lib = ffi->libs; lib; lib = lib->next)
    if (lib->closed && lib->handle) return true;
  return false;
}

void gsf_unmap_closed(gs_ffi *ffi) {
  if (!wants_unmapping(ffi) || gsf_busy(ffi)) return;
  for (gs_lib *lib = ffi->libs; lib; lib = lib->next)
    if (lib->closed) gsf_dlclose(lib);
}

void gsf_use(gs_ffi *ffi) {
  if (ffi) __atomic_fetch_add(&ffi->users, 1, __ATOMIC_RELAXED);
}

/* ffi may be gone when this returns, and nothing of it is read after the count. */
void gsf_unuse(gs_ffi *ffi) {
  if (ffi && __atomic_fetch_sub(&ffi->users, 1, __ATOMIC_ACQ_REL) == 1 &&
      __atomic_load_n(&dying, __ATOMIC_RELAXED))
    gsf_reap();
}

void gsf_child_made(gs_ffi *parent) { __atomic_fetch_add(&parent->children, 1, __ATOMIC_RELAXED); }

/* As gsf_unuse: whoever has been freed with children goes with the last of them. */
void gsf_child_gone(gs_ffi *parent) {
  if (parent && __atomic_fetch_sub(&parent->children, 1, __ATOMIC_ACQ_REL) == 1 &&
      __atomic_load_n(&dying, __ATOMIC_RELAXED))
    gsf_reap();
}

void gsf_reap(void) {
  pthread_mutex_lock(&mutex);
  gs_ffi *over = NULL;
  for (gs_ffi **at = &dying; *at;) {
    gs_ffi *ffi = *at;
    if (__atomic_load_n(&ffi->children, __ATOMIC_ACQUIRE) || gsf_busy(ffi)) {
      at = &ffi->next_dying;
      continue;
    }
    __atomic_store_n(at, ffi->next_dying, __ATOMIC_RELAXED);
    ffi->next_dying = over;
    over = ffi;
  }
  pthread_mutex_unlock(&mutex);
  while (over) { /* outside: a library's destructors may do anything */
    gs_ffi *ffi = over;
    over = ffi->next_dying;
    gsf_ffi_destroy(ffi);
  }
}

/* ---- closing and freeing --------------------------------------------------------------------- */

void gs_ffi_free(gs_ffi *ffi) {
  if (!ffi) return;
  while (ffi->callbacks) gs_callback_free(ffi->callbacks); /* handlers do not run any more */
  pthread_mutex_lock(&mutex);
  ffi->next_dying = dying;
  __atomic_store_n(&dying, ffi, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&mutex);
  gsf_reap();
}

static void close_sites(const gs_func *f, const gs_lib *lib) {
  for (; f; f = f->next) {
    if (lib && f->lib != lib) continue;
    __atomic_fetch_or(&f->site->flags, (unsigned)GS_SITE_CLOSED, __ATOMIC_SEQ_CST);
    close_sites(f->shapes, NULL);
  }
}

int gs_lib_close(gs_lib *lib) {
  if (!lib) return GS_EINVAL;
  if (lib->closed) return GS_ECLOSED;
  lib->closed = true;
  close_sites(lib->ffi->funcs, lib);
  gsf_unmap_closed(lib->ffi);
  gsf_reap();
  return GS_OK;
}
