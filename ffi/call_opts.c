/* call_opts.c: calls of prepared functions that can be given up (gs_cgocall_opts).
 *
 * A call without destroy is as gs_ffi_call: it uses the caller's values and its room for the
 * result, which stay, because the call is waited for.
 *
 * A call with destroy may outlast its caller.  So it gets copies of the values, and room of its own
 * for the result, in one piece of memory that both hold: the call until destroy has run, the caller
 * until it has copied what came out.  What values point to is not copied; it has to belong to what
 * destroy destroys.  The gs_ffi counts such a call, since it may begin when its caller has gone.
 */
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

typedef struct owned {
  const gs_func *func;
  gs_ffi *ffi;
  void *ret, **args;
  int saved_errno;
  bool ran;
  unsigned refs; /* call and caller; atomic */
  void (*destroy)(void *);
  void *uarg;
} owned;

static int perform_owned(void *arg) {
  owned *c = arg;
  c->ran = gsf_call_here(c->func, c->ret, c->args, &c->saved_errno);
  return 0;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static size_t place(size_t *size, const gs_type *type, size_t *align) {
  size_t a =
      gs_type_align(type) > _Alignof(max_align_t) ? gs_type_align(type) : _Alignof(max_align_t);
  size_t at = (*size + a - 1) / a * a;
  *size = at + gs_type_size(type);
  if (a > *align) *align = a;
  return at;
}

static owned *copy_call(const gs_func *f, void *const *args, const gs_call_options *o) {
  size_t size = sizeof(owned) + f->nargs * sizeof(void *), align = _Alignof(max_align_t);
  for (size_t i = 0; i < f->nargs; i++) place(&size, f->args[i], &align);
  size_t ret = place(&size, f->ret, &align);
  owned *c = aligned_alloc(align, (size + align - 1) / align * align);
  if (!c) return NULL;
  *c = (owned){.func = f, .ffi = f->ffi, .refs = 2, .destroy = o->destroy, .uarg = o->uarg};
  c->args = (void **)(c + 1);
  size = sizeof(owned) + f->nargs * sizeof(void *);
  for (size_t i = 0; i < f->nargs; i++) {
    c->args[i] = (char *)c + place(&size, f->args[i], &align);
    memcpy(c->args[i], args[i], gs_type_size(f->args[i]));
  }
  c->ret = gs_type_size(f->ret) ? (char *)c + ret : NULL;
  return c;
}

static void unref(owned *c) {
  if (__atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) == 1) free(c);
}

/* The last that the call does. */
static void destroy_owned(void *arg) {
  owned *c = arg;
  c->destroy(c->uarg);
  gsf_unuse(c->ffi);
  unref(c);
}

static int call_detachable(const gs_func *f, void *ret, void *const *args, int *saved_errno,
                           gs_call_options *o) {
  owned *c = copy_call(f, args, o);
  if (!c) {
    gsf_on_big_stack(o->destroy, o->uarg);
    return GS_ENOMEM;
  }
  gsf_use(f->ffi);
  o->destroy = destroy_owned;
  size_t size = gs_type_size(f->ret);
  int code = gs_cgocall_opts(o, perform_owned, c, NULL);
  if (code == GS_OK && !c->ran) code = GS_ENOMEM;
  if (code == GS_OK || code == GS_ECALLBACK) {
    if (ret && size) memcpy(ret, c->ret, size);
    if (saved_errno) *saved_errno = c->saved_errno;
  }
  unref(c);
  return code;
}

int gs_ffi_call_opts(const gs_func *func, void *ret, void *const *args, int *saved_errno,
                     const gs_call_options *opts) {
  if (!func || (!args && func->nargs) || !opts || opts->size != sizeof(*opts)) return GS_EINVAL;
  gs_call_options o = *opts;
  if (!o.site) o.site = func->site;
  if (o.destroy) return call_detachable(func, ret, args, saved_errno, &o);
  void *unwanted = ret || gsf_small_result(func) ? NULL : malloc(gs_type_size(func->ret));
  if (!ret && !unwanted && !gsf_small_result(func)) return GS_ENOMEM;
  owned c = {.func = func, .ret = ret ? ret : unwanted, .args = (void **)(uintptr_t)args};
  int code = gs_cgocall_opts(&o, perform_owned, &c, NULL);
  if (code == GS_OK && !c.ran) code = GS_ENOMEM;
  if (c.ran && saved_errno) *saved_errno = c.saved_errno;
  free(unwanted);
  return code;
}
