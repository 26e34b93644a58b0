/* call_opts.c: foreign calls with options: which of the three ways a call takes.
 *
 *   - without unblock and destroy it is a plain one (cgocall.c), which nobody can end early;
 *   - with unblock it can be ended early, and is waited for (unblock.c);
 *   - with destroy it owns its argument: who waits may go, and the call ends by itself (detach.c).
 *
 * What must hold on every way, also on those where fn is never called: destroy is called exactly
 * once, as foreign code; with GS_EINVAL alone it is not, and the argument is still the caller's.
 */
#include "runtime.h"

typedef struct {
  void (*destroy)(void *);
  void *arg;
} Owned;

static int run_destroy(void *p) {
  const Owned *o = p;
  o->destroy(o->arg);
  return 0;
}

/* fn will not be called. */
static int call_off(const gs_call_options *o, void *arg, int code) {
  static gs_site site = {.name = "destroying a call's argument"};
  Owned owned = {o->destroy, arg};
  if (o->destroy && gs_cgocall_site(&site, run_destroy, &owned, NULL) != GS_OK)
    o->destroy(arg); /* where no foreign call can be made */
  return code;
}

static int check(const gs_call_options *o, int (*fn)(void *)) {
  if (!o) return gs_fail(GS_EINVAL, "gs_cgocall_opts: opts is NULL");
  if (o->size != sizeof *o)
    return gs_fail(GS_EINVAL, "gs_cgocall_opts: opts->size is %zu, this library has %zu", o->size,
                   sizeof *o);
  if (!fn) return gs_fail(GS_EINVAL, "gs_cgocall_opts: fn is NULL; a function is needed");
  return GS_OK;
}

/* On a thread that runs no green thread: it waits itself, and nobody can cancel it. */
static int in_place(const gs_call_options *o, int (*fn)(void *), void *arg, int *result) {
  int r = gs_cgocall_site(o->site, fn, arg, result);
  int *errno_here = os_errno_at(), e = *errno_here;
  if (o->destroy) o->destroy(arg);
  *errno_here = e;
  return r;
}

/* Where a callback may run; if not, *reached stays false. */
static int again(const gs_call_options *o, int (*fn)(void *), void *arg, int *result,
                 bool *reached) {
  *reached = true;
  return gs_cgocall_opts(o, fn, arg, result);
}

int gs_cgocall_opts(const gs_call_options *o, int (*fn)(void *), void *arg, int *result) {
  int err = check(o, fn);
  if (err) return err;
  M *m = gs_getm();
  if (m && m->incgo) {
    bool reached = false;
    err = as_callback(again, o, fn, arg, result, &reached);
    return reached ? err : call_off(o, arg, err);
  }
  G *g = m ? m->curg : NULL;
  bool ends_early = g && (o->unblock || o->destroy);
  if (ends_early && load_rlx(&g->cancelled)) return call_off(o, arg, GS_ECANCELED);
  if (o->deadline_ns != GS_FOREVER && os_now() >= o->deadline_ns)
    return call_off(o, arg, GS_ETIMEOUT);
  if (!g) return in_place(o, fn, arg, result);
  if (o->destroy) {
    bool begun = false;
    err = detachable_call(o, fn, arg, result, &begun);
    return begun ? err : call_off(o, arg, err);
  }
  return o->unblock ? unblock_call(o, fn, arg, result) : gs_cgocall_site(o->site, fn, arg, result);
}

int gs_cgocall_unblock(int (*fn)(void *), void *arg, int *result, void (*unblock)(void *),
                       void *uarg) {
  if (!fn) return gs_fail(GS_EINVAL, "gs_cgocall_unblock: fn is NULL; a function is needed");
  gs_call_options o = GS_CALL_OPTIONS_DEFAULT;
  o.unblock = unblock;
  o.uarg = uarg;
  return gs_cgocall_opts(&o, fn, arg, result);
}
