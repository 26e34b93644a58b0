/* callback.c: C functions that run a handler, and what becomes of them.
 *
 * C calls a function pointer.  What that leads to (trampoline.c) brings the arguments into memory
 * and comes here; gs_cgocallback goes to the green thread that made the foreign call, or to one for
 * this thread, and runs the handler there.  The result goes back the same way.
 *
 * C always gets a result, since it cannot be told anything else: where the handler fails, or cannot
 * run at all (in a critical call, without memory for a thread that comes for the first time, after
 * the callback was freed), it is the default.  Who is told of that: the innermost foreign call, if
 * there is one (gs_callback_fail); else the function that the owner has set; else the logger.
 *
 * Freeing does not wait: C may be in the middle of a call on another thread, parked for an hour.
 * Such a call runs to its end, with the handler and the user word that it began with; when the last
 * one is out (running.c), the owner's destroy is called.  What C calls from then on finds a
 * gs_callback that says so, for as long as it is not used again (trampoline.c).
 *
 * What must never happen: a call that has been let in uses a field after it is out, since the
 * gs_callback may be another one by then; and user code is never called with the lock in hand.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "callback.h"
#include "gosched_domain.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* All lists of callbacks, and the end of one. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* What the logger is told of once, as bits of `told`. */
enum { TOLD_LATE = 1, TOLD_REFUSED = 2 };

/* Where errno is must be asked for anew: a green thread that has called the function itself may
 * have moved. */
__attribute__((noinline)) static void set_errno(int e) { errno = e; }

/* ---- counting in and out (running.c has the races) ------------------------------------------- */

/* The last call is out, or there was none: who sees it first ends it.  live: its state when it was.
 */
__attribute__((noinline)) static void over(gs_callback *cb, uint32_t live) {
  void (*destroy)(void *) = NULL;
  pthread_mutex_lock(&mutex);
  void *user = cb->user;
  if (cb->state == live - GSF_LIVE + GSF_FREED && gsf_running_sum(&cb->running) == 0) {
    destroy = cb->destroy;
    __atomic_store_n(&cb->state, live - GSF_LIVE + GSF_OUT, __ATOMIC_RELAXED);
    gsf_quarantine(cb);
  }
  pthread_mutex_unlock(&mutex);
  if (!destroy) return;
  int e = errno;
  destroy(user);
  set_errno(e);
}

/* One more or one less, for a thread without a lane. */
__attribute__((noinline)) static void count_shared(gs_callback *cb, uint32_t by) {
  uint64_t lane = gsf_lane_wanted();
  __atomic_fetch_add(lane ? (uint32_t *)((char *)cb + lane) : &cb->running.shared, by,
                     __ATOMIC_SEQ_CST);
}

static inline void count(gs_callback *cb, uint32_t by) {
  uint64_t lane = gsf_lane();
  if (unlikely(!lane)) {
    count_shared(cb, by);
    return;
  }
  uint32_t *n = (uint32_t *)((char *)cb + lane);
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  __asm__ volatile("addl %1, %0" : "+m"(*n) : "ri"(by) : "cc"); /* not locked: its own */
#else
  __atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + by, __ATOMIC_RELEASE);
#endif
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The state with which it was let in; what is not GSF_LIVE was not, and is not counted. */
static inline uint32_t count_in(gs_callback *cb) {
  count(cb, 1);
  return __atomic_load_n(&cb->state, __ATOMIC_SEQ_CST);
}

static inline void count_out(gs_callback *cb, uint32_t live) {
  count(cb, (uint32_t)-1);
  if (unlikely(__atomic_load_n(&cb->state, __ATOMIC_SEQ_CST) != live)) over(cb, live);
}

/* ---- being called ---------------------------------------------------------------------------- */

static void give_default(const gs_callback *cb, void *ret) {
  if (cb->size == 0) return;
  if (cb->fallback)
    memcpy(ret, cb->fallback, cb->size);
  else
    memset(ret, 0, cb->size);
}

/* error: GS_ECALLBACK (the handler failed with code), or why it did not run. */
__attribute__((noinline)) static void report(gs_callback *cb, int error, int code) {
  void (*onerror)(int, int, void *) = __atomic_load_n(&cb->onerror, __ATOMIC_ACQUIRE);
  int e = errno;
  if (onerror)
    onerror(error, code, cb->user);
  else if (error == GS_ECALLBACK)
    gs_log(1, "callback '%s' failed with code %d, and no foreign call is under way to be told",
           cb->name, code);
  else if (!(__atomic_fetch_or(&cb->told, TOLD_REFUSED, __ATOMIC_RELAXED) & TOLD_REFUSED))
    gs_log(1, "callback '%s' could not run: %s", cb->name, gs_strerror(error));
  set_errno(e);
}

/* C has called it after gs_callback_free.  While this is on its way it may become another one,
 * which has a default of its own. */
__attribute__((noinline)) static void too_late(gs_callback *cb, void *ret, uint32_t state) {
  char name[sizeof(cb->name)];
  bool first = false;
  count(cb, (uint32_t)-1);
  over(cb, (state & ~(uint32_t)GSF_STATE) + GSF_LIVE);
  pthread_mutex_lock(&mutex);
  if ((cb->state & GSF_STATE) != GSF_LIVE && (cb->state ^ state) < GSF_MADE) {
    give_default(cb, ret);
    first = !(__atomic_fetch_or(&cb->told, TOLD_LATE, __ATOMIC_RELAXED) & TOLD_LATE);
    memcpy(name, cb->name, sizeof(name));
  }
  pthread_mutex_unlock(&mutex);
  if (!first) return;
  int e = errno;
  gs_log(1, "callback '%s' was called after gs_callback_free", name);
  set_errno(e);
}

/* e: gs_cgocallback has failed; else the handler has, with code. */
__attribute__((noinline)) static void no_result(gs_callback *cb, void *ret, int e, int code) {
  give_default(cb, ret);
  if (e == GS_OK) {
    int told = gs_callback_fail(code, NULL);
    if (told == GS_OK || told == GS_EBUSY) return; /* busy: the handler has told by itself */
    e = GS_ECALLBACK;
  }
  report(cb, e, code);
}

static inline void called(gs_callback *cb, void *ret, void **args) {
  uint32_t live = count_in(cb);
  if (unlikely((live & GSF_STATE) != GSF_LIVE)) {
    too_late(cb, ret, live);
    return;
  }
  /* A pointer is passed as any other one is. */
  int (*handler)(void *, void *, void *) = (int (*)(void *, void *, void *))(uintptr_t)cb->handler;
  int code, e = gs_cgocallback_words(handler, ret, args, cb->user, &code);
  if (unlikely((e | code) != 0)) no_result(cb, ret, e, code);
  count_out(cb, live);
}

void gsf_callback_called(gs_callback *cb, void *ret, void **args) { called(cb, ret, args); }

/* Each is loaded as wide as the handler has stored it: the processor waits for a store that is a
 * part of what is loaded.  Little-endian: what is narrow stands first. */
static inline uint64_t widened(const uint64_t *ret, unsigned char back) {
  uint32_t four;
  if (likely(back <= R_S32)) {
    memcpy(&four, ret, sizeof(four));
    return four;
  }
  switch (back) {
    case R_U8: return *(const uint8_t *)ret;
    case R_S8: return (uint64_t) * (const int8_t *)ret;
    case R_U16: return (uint16_t)*ret;
    case R_S16: return (uint64_t)(int16_t)*ret;
    default: return *ret;
  }
}

/* Returns what goes into the result registers, both of them. */
uint64_t gsf_stub_called(gsf_frame *f, gs_callback *cb);
uint64_t gsf_stub_called(gsf_frame *f, gs_callback *cb) {
  unsigned char back = cb->back;
  f->ret = 0;
  if (likely(!cb->vector))
    for (unsigned i = 0; i < cb->nargs; i++) f->args[i] = &f->g[i];
  else
    for (unsigned i = 0; i < cb->nargs; i++) f->args[i] = &f->g[0] + cb->at[i];
  called(cb, &f->ret, f->args);
  return widened(&f->ret, back);
}

/* ---- making ---------------------------------------------------------------------------------- */

static const gs_type *function_of(const gs_type *type) {
  const gs_type *c = type->canon;
  if (c->kind == GS_KIND_POINTER) c = c->target->canon;
  return c->kind == GS_KIND_FUNCTION ? c : NULL;
}

int gs_callback_prepare(gs_ffi *ffi, const char *name, const gs_type *type, gs_ffi_handler *handler,
                        void *user, gs_callback **out, gs_ffi_error *err) {
  if (!ffi || !type || !handler || !out)
    return gsf_error(err, GS_EINVAL, "%s is NULL",
                     !ffi       ? "ffi"
                     : !type    ? "type"
                     : !handler ? "handler"
                                : "out");
  if (!name) name = type->name;
  const gs_type *f = function_of(type);
  if (!f)
    return gsf_error(err, GS_ETYPE,
                     "'%.100s' is not a function type, expected one as in \"int (*)(void *)\"",
                     type->name);
  if (f->flags & GS_TYPE_VARIADIC)
    return gsf_error(err, GS_ETYPE,
                     "'%.100s' takes '...', expected a callback's arguments all declared", f->name);
  gs_callback *cb = NULL;
  pthread_mutex_lock(&mutex);
  int e = gsf_trampoline(ffi, name, f, &cb, err);
  if (e == GS_OK) {
    snprintf(cb->name, sizeof(cb->name), "%s", name);
    cb->handler = handler;
    cb->user = user;
    cb->onerror = NULL;
    cb->destroy = NULL;
    cb->fallback = NULL;
    cb->told = 0;
    cb->size = f->target->canon->size;
    cb->next = ffi->callbacks;
    cb->link = &ffi->callbacks;
    if (cb->next) cb->next->link = &cb->next;
    ffi->callbacks = cb;
    __atomic_store_n(&cb->state, (cb->state | GSF_STATE) + 1 + GSF_LIVE, __ATOMIC_RELEASE);
    *out = cb;
  }
  pthread_mutex_unlock(&mutex);
  return e;
}

int gs_ffi_callback(gs_ffi *ffi, const char *ctype, gs_ffi_handler *handler, void *user,
                    gs_callback **out) {
  gs_ffi_error err = {.code = GS_OK};
  const gs_type *type = NULL;
  int e = ffi && ctype ? gs_ffi_type(ffi, ctype, &type, &err)
                       : gsf_error(&err, GS_EINVAL, "%s is NULL", ffi ? "ctype" : "ffi");
  if (e == GS_OK) e = gs_callback_prepare(ffi, ctype, type, handler, user, out, &err);
  if (e != GS_OK) gs_fail(e, "gs_ffi_callback: %s", err.text);
  return e;
}

/* ---- its owner's functions ------------------------------------------------------------------- */

void *gs_callback_code(const gs_callback *cb) { return cb ? cb->code : NULL; }

int gs_callback_set_default(gs_callback *cb, const void *value) {
  if (!cb) return gs_fail(GS_EINVAL, "gs_callback_set_default: the callback is NULL");
  if (!value || cb->size == 0) {
    cb->fallback = NULL;
    if (value) return gs_fail(GS_EINVAL, "gs_callback_set_default: '%s' returns void", cb->name);
    return GS_OK;
  }
  void *room = cb->size <= sizeof(cb->fallback_at) ? cb->fallback_at : cb->fallback;
  if (!room) room = gsf_alloc(&cb->arena, cb->size);
  if (!room) return gs_fail(GS_ENOMEM, "gs_callback_set_default: memory is exhausted");
  memcpy(room, value, cb->size);
  cb->fallback = room;
  return GS_OK;
}

void gs_callback_on_error(gs_callback *cb, void (*onerror)(int error, int code, void *user)) {
  if (cb) __atomic_store_n(&cb->onerror, onerror, __ATOMIC_RELEASE);
}

void gs_callback_on_free(gs_callback *cb, void (*destroy)(void *user)) {
  if (!cb) return;
  pthread_mutex_lock(&mutex);
  cb->destroy = destroy;
  pthread_mutex_unlock(&mutex);
}

void gs_callback_free(gs_callback *cb) {
  if (!cb) return;
  pthread_mutex_lock(&mutex);
  uint32_t state = cb->state;
  bool live = (state & GSF_STATE) == GSF_LIVE;
  if (live) {
    *cb->link = cb->next;
    if (cb->next) cb->next->link = cb->link;
    __atomic_store_n(&cb->state, state - GSF_LIVE + GSF_FREED, __ATOMIC_SEQ_CST);
  }
  pthread_mutex_unlock(&mutex);
  if (!live) {
    gs_log(1, "callback '%s' was freed twice", cb->name);
    return;
  }
  gsf_running_barrier();
  over(cb, state);
}
