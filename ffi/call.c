/* call.c: prepared functions, and calling them.
 *
 * Preparing turns a signature into a plan once (plan.c), or into libffi's ffi_cif if there is none
 * for it; calling is then gs_cgocall_words with the thunk, or gs_cgocall_site with perform(), on
 * the thread's own full-size stack.
 * errno is cleared, and read again, there: on the thread that makes the call, directly around it,
 * because the green thread may come back on another one.
 *
 * libffi stores an integer result that is narrower than a register widened to ffi_arg.  Callers
 * give room for the C type only, so such results go through a local first.
 *
 * A function declared with "..." is prepared with its fixed arguments; each set of further argument
 * types it is called with becomes a shape of its own, kept in the function.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"
#include "plan.h"

/* ---- preparing ------------------------------------------------------------------------------- */

static int check(const char *name, void *addr, const gs_type *ret, const gs_type *const *args,
                 size_t nargs, size_t nfixed, gs_ffi_error *err) {
  if (!addr) return gsf_error(err, GS_EINVAL, "the address of '%.100s' is NULL", name);
  if (!ret) return gsf_error(err, GS_EINVAL, "the result type of '%.100s' is NULL", name);
  if (nargs > GSF_MAX_ARGS)
    return gsf_error(err, GS_EINVAL, "'%.100s' has %zu arguments, expected at most %d", name, nargs,
                     GSF_MAX_ARGS);
  if (nargs && !args)
    return gsf_error(err, GS_EINVAL, "the argument types of '%.100s' are NULL", name);
  if (nfixed > nargs || (nfixed == 0 && nargs > 0))
    return gsf_error(err, GS_EINVAL, "'%.100s' has %zu fixed arguments of %zu, expected 1 to %zu",
                     name, nfixed, nargs, nargs);
  for (size_t i = 0; i < nargs; i++) {
    if (!args[i])
      return gsf_error(err, GS_EINVAL, "the type of argument %zu of '%.100s' is NULL", i + 1, name);
    if (args[i]->kind == GS_KIND_VOID)
      return gsf_error(err, GS_ETYPE, "argument %zu of '%.100s' is void, expected a value", i + 1,
                       name);
  }
  return GS_OK;
}

/* Of an argument that goes by reference: copies stand at multiples of 16. */
static size_t copy_size(size_t size) { return (size + 15) / 16 * 16; }

/* For libffi: its forms of the types, and its own description of the call. */
static int describe(gs_func *f, ffi_type **forms, gs_ffi_error *err) {
  ffi_type *result;
  int e = gsf_ffi_type(f->ffi, f->ret, "the result", &result, err);
  for (size_t i = 0; i < f->nargs && e == GS_OK; i++) {
    char role[32];
    snprintf(role, sizeof(role), "argument %zu", i + 1);
    e = gsf_ffi_type(f->ffi, f->args[i], role, &forms[i], err);
    if (e != GS_OK || !gsf_by_reference(forms[i])) continue;
    f->copies += copy_size(forms[i]->size);
    forms[i] = &ffi_type_pointer;
  }
  if (e != GS_OK) return e;
  ffi_status s = f->variadic
                     ? ffi_prep_cif_var(&f->cif, FFI_DEFAULT_ABI, (unsigned)f->nfixed,
                                        (unsigned)f->nargs, result, forms)
                     : ffi_prep_cif(&f->cif, FFI_DEFAULT_ABI, (unsigned)f->nargs, result, forms);
  if (s != FFI_OK) return gsf_error(err, GS_ETYPE, "libffi cannot call '%.100s'", gs_func_name(f));
  const gs_type *c = f->ret->canon;
  if (c->kind != GS_KIND_STRUCT && c->kind != GS_KIND_FLOAT && c->kind != GS_KIND_COMPLEX &&
      c->size < sizeof(ffi_arg))
    f->widened = (unsigned char)c->size;
  return GS_OK;
}

static void link_into(gs_func *f, gs_func **list) {
  f->next = *list;
  f->link = list;
  if (f->next) f->next->link = &f->next;
  *list = f;
}

int gsf_func_make(gs_ffi *ffi, gs_func **list, const char *name, void *addr, const gs_type *ret,
                  const gs_type *const *args, size_t nargs, size_t nfixed, bool variadic,
                  unsigned site_flags, gs_func **func, gs_ffi_error *err) {
  int e = check(name, addr, ret, args, nargs, nfixed, err);
  if (e != GS_OK) return e;
  gs_func *f = calloc(1, sizeof(*f) + nargs * (sizeof(gs_type *) + sizeof(ffi_type *)));
  gs_site *site = f ? gsf_site_new(name, site_flags) : NULL;
  if (!site) {
    free(f);
    return gsf_nomem(err);
  }
  f->site = site;
  memcpy(&f->fn, &addr, sizeof(f->fn)); /* ISO C has no cast from void * to a function */
  f->ret = ret;
  f->args = (const gs_type **)(f + 1);
  f->nargs = nargs;
  f->nfixed = nfixed;
  f->variadic = variadic;
  f->ffi = ffi;
  for (size_t i = 0; i < nargs; i++) f->args[i] = i < nfixed ? args[i] : gsf_promoted(args[i]);
  e = gsf_plan_make(f, err);
  if (e == GS_OK && !f->plan) e = describe(f, (ffi_type **)(f->args + nargs), err);
  if (e != GS_OK) {
    gsf_site_release(site);
    free(f);
    return e;
  }
  link_into(f, list);
  *func = f;
  return GS_OK;
}

int gs_func_prepare(gs_ffi *ffi, const char *name, void *addr, const gs_type *ret,
                    const gs_type *const *args, size_t nargs, size_t nfixed, unsigned site_flags,
                    gs_func **func, gs_ffi_error *err) {
  if (!ffi || !func) return gsf_error(err, GS_EINVAL, "%s is NULL", ffi ? "func" : "ffi");
  return gsf_func_make(ffi, &ffi->funcs, name ? name : "a function", addr, ret, args, nargs, nfixed,
                       nfixed < nargs, site_flags, func, err);
}

static void unlink_it(gs_func *f) {
  *f->link = f->next;
  if (f->next) f->next->link = f->link;
}

void gsf_func_destroy(gs_func *func) {
  while (func->shapes) gsf_func_destroy(func->shapes);
  unlink_it(func);
  gsf_site_release(func->site);
  free(func->plan);
  free(func);
}

/* With a call under way it goes with its gs_ffi. */
void gs_func_free(gs_func *func) {
  if (!func) return;
  if (!gsf_busy(func->ffi)) {
    gsf_func_destroy(func);
    return;
  }
  unlink_it(func);
  link_into(func, &func->ffi->dying);
}

/* ---- shapes of variadic functions ------------------------------------------------------------ */

static bool has_shape(const gs_func *f, const gs_type *const *extra, size_t nextra) {
  if (f->nargs - f->nfixed != nextra) return false;
  for (size_t i = 0; i < nextra; i++)
    if (!gs_type_same(f->args[f->nfixed + i], gsf_promoted(extra[i]))) return false;
  return true;
}

int gs_func_variadic_shape(gs_func *func, const gs_type *const *extra, size_t nextra, gs_func **out,
                           gs_ffi_error *err) {
  if (!func || !out || (nextra && !extra))
    return gsf_error(err, GS_EINVAL, "%s is NULL", !func ? "func" : !out ? "out" : "extra");
  if (!func->variadic)
    return gsf_error(err, GS_ETYPE, "'%.100s' is not declared with '...'", gs_func_name(func));
  if (nextra > GSF_MAX_ARGS - func->nfixed)
    return gsf_error(err, GS_EINVAL, "'%.100s' gets %zu further arguments, expected at most %zu",
                     gs_func_name(func), nextra, GSF_MAX_ARGS - func->nfixed);
  for (size_t i = 0; i < nextra; i++)
    if (!extra[i])
      return gsf_error(err, GS_EINVAL, "the type of further argument %zu is NULL", i + 1);
  if (nextra == 0) {
    *out = func;
    return GS_OK;
  }
  for (gs_func *s = func->shapes; s; s = s->next)
    if (has_shape(s, extra, nextra)) {
      *out = s;
      return GS_OK;
    }
  const gs_type *args[GSF_MAX_ARGS];
  memcpy(args, func->args, func->nfixed * sizeof(*args));
  memcpy(args + func->nfixed, extra, nextra * sizeof(*args));
  void *addr;
  memcpy(&addr, &func->fn, sizeof(addr));
  unsigned hints = __atomic_load_n(&func->site->flags, __ATOMIC_RELAXED);
  return gsf_func_make(func->ffi, &func->shapes, gs_func_name(func), addr, func->ret, args,
                       func->nfixed + nextra, func->nfixed, true, hints, out, err);
}

/* ---- calling --------------------------------------------------------------------------------- */

typedef struct call {
  const gs_func *func;
  void *ret;
  void **args;
  int saved_errno;
} call;

/* Runs on the thread's own stack, as a foreign call. */
static int perform(void *arg) {
  call *c = arg;
  errno = 0;
  ffi_call((ffi_cif *)&c->func->cif, c->func->fn, c->ret, c->args); /* only reads the cif */
  c->saved_errno = errno;
  return 0;
}

static void narrow(void *ret, ffi_arg value, unsigned size) {
  switch (size) {
    case 1: *(uint8_t *)ret = (uint8_t)value; break;
    case 2: *(uint16_t *)ret = (uint16_t)value; break;
    case 4: *(uint32_t *)ret = (uint32_t)value; break;
  }
}

/* What a result is put into that is not wanted, or not in this size.  Also one that nobody wants
 * must be taken off the processor's stack. */
typedef union spare {
  ffi_arg integer;
  uint64_t words[2];
  long double floating[2];
} spare;

/* The arguments for libffi, where some are references to copies, which stand behind them.  NULL:
 * out of memory. */
static void **with_copies(const gs_func *f, void *const *args) {
  void **all = malloc(2 * f->nargs * sizeof(*all) + f->copies), **references = all + f->nargs;
  if (!all) return NULL;
  char *copy = (char *)(references + f->nargs);
  for (size_t i = 0; i < f->nargs; i++) {
    const gs_type *c = f->args[i]->canon;
    all[i] = args[i];
    if (c->kind != GS_KIND_STRUCT || f->cif.arg_types[i] != &ffi_type_pointer) continue;
    references[i] = memcpy(copy, args[i], c->size);
    all[i] = &references[i];
    copy += copy_size(c->size);
  }
  return all;
}

/* libffi finds room by itself for a large result that nobody wants. */
static int call_libffi(const gs_func *func, void *ret, void *const *args, int *saved_errno) {
  spare other;
  call c = {.func = func, .ret = ret, .args = (void **)args};
  unsigned widened = func->widened; /* func may be freed while the call lasts */
  bool copies = func->copies;
  if (copies && !(c.args = with_copies(func, args))) return GS_ENOMEM;
  if (widened || (!ret && func->ret->canon->size <= sizeof(other))) c.ret = &other;
  int e = gs_cgocall_site(func->site, perform, &c, NULL);
  if (copies) free(c.args);
  if (e != GS_OK && e != GS_ECALLBACK) return e;
  if (widened && ret) narrow(ret, other.integer, widened);
  if (saved_errno) *saved_errno = c.saved_errno;
  return e;
}

/* By libffi, or with a result or an errno that nobody wants, or not in the size that it has. */
__attribute__((noinline)) static int call_general(const gs_func *func, void *ret, void *const *args,
                                                  int *saved_errno) {
  spare other;
  int unwanted;
  size_t size = func->ret->canon->size;
  if (!func->plan) return call_libffi(func, ret, args, saved_errno);
  bool room = func->room;
  void *to = room ? &other : ret;
  if (!ret) to = size > sizeof(other) ? malloc(size) : &other;
  if (!to) return GS_ENOMEM;
  int e = gs_cgocall_prepared(&func->plan->call, to, (void *)args,
                              saved_errno ? saved_errno : &unwanted);
  if ((e == GS_OK || e == GS_ECALLBACK) && room && ret) memcpy(ret, &other, size);
  if (to != ret && to != &other) free(to);
  return e;
}

/* On a full-size stack, in a foreign call or where there is none to be made.  ret may be NULL if
 * the result is small (gsf_small_result).  false: out of memory; nothing was called. */
bool gsf_call_here(const gs_func *func, void *ret, void **args, int *saved_errno) {
  spare other;
  size_t size = func->ret->canon->size;
  call c = {.func = func, .ret = ret ? ret : &other, .args = args};
  if (!func->plan) {
    if (func->widened) c.ret = &other;
    if (func->copies && !(c.args = with_copies(func, args))) return false;
    perform(&c);
    if (func->copies) free(c.args);
    if (func->widened && ret) narrow(ret, other.integer, func->widened);
    *saved_errno = c.saved_errno;
    return true;
  }
  if (func->room) c.ret = &other;
  errno = 0;
  func->plan->call.fn((void *)args, c.ret, func->plan);
  *saved_errno = errno;
  if (func->room && ret) memcpy(ret, &other, size);
  return true;
}

bool gsf_small_result(const gs_func *func) { return func->ret->canon->size <= sizeof(spare); }

/* The fast path leaves nothing to be done after the call: func may be freed as soon as it has ended
 * (closing.c), and nothing is read from it then. */
int gs_ffi_call(const gs_func *func, void *ret, void *const *args, int *saved_errno) {
  if (!func || (!args && func->nargs)) return GS_EINVAL;
  if (!func->quick || !ret || !saved_errno) return call_general(func, ret, args, saved_errno);
  return gs_cgocall_prepared(func->quick, ret, (void *)args, saved_errno);
}

typedef struct errand {
  void (*fn)(void *);
  void *arg;
} errand;

static int run_errand(void *arg) {
  const errand *e = arg;
  e->fn(e->arg);
  return 0;
}

/* Parsing and the like: a critical call keeps the turn, so that nobody else uses the gs_ffi
 * meanwhile; where the thread is on its full-size stack already, the call is refused and is made
 * in place. */
void gsf_on_big_stack(void (*fn)(void *), void *arg) {
  /* Not short, on purpose: the watchdog that tells of such calls has told already. */
  static gs_site site = {.name = "gs_ffi", .flags = GS_SITE_CRITICAL, .retakes = 1};
  errand e = {fn, arg};
  if (gs_cgocall_site(&site, run_errand, &e, NULL) != GS_OK) fn(arg);
}

/* ---- looking at functions -------------------------------------------------------------------- */

const char *gs_func_name(const gs_func *func) { return func->site->name; }
size_t gs_func_nargs(const gs_func *func) { return func->nargs; }
int gs_func_variadic(const gs_func *func) { return func->variadic; }
const gs_type *gs_func_ret(const gs_func *func) { return func->ret; }

const gs_type *gs_func_arg(const gs_func *func, size_t i) {
  return i < func->nargs ? func->args[i] : NULL;
}

/* What is closed stays so. */
static unsigned set_hints(gs_site *site, unsigned flags) {
  unsigned old = __atomic_load_n(&site->flags, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&site->flags, &old,
                                      (flags & ~(unsigned)GS_SITE_CLOSED) | (old & GS_SITE_CLOSED),
                                      true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    continue;
  return old & ~(unsigned)GS_SITE_CLOSED;
}

unsigned gs_func_hints(const gs_func *func) {
  return __atomic_load_n(&func->site->flags, __ATOMIC_RELAXED) & ~(unsigned)GS_SITE_CLOSED;
}

unsigned gs_func_set_hints(gs_func *func, unsigned site_flags) {
  for (gs_func *s = func->shapes; s; s = s->next) set_hints(s->site, site_flags);
  return set_hints(func->site, site_flags);
}

/* ---- struct types from elsewhere ------------------------------------------------------------- */

static int struct_of(gs_ffi *ffi, const gs_type *const *members, size_t n, gs_type **out,
                     gs_ffi_error *err) {
  gs_type *t = gsf_struct(ffi, 0, NULL);
  gs_field *fields = gsf_alloc(&ffi->arena, (n ? n : 1) * sizeof(*fields));
  if (!t || !fields) return gsf_nomem(err);
  for (size_t i = 0; i < n; i++) {
    if (!members[i]) return gsf_error(err, GS_EINVAL, "the type of member %zu is NULL", i + 1);
    if (!gsf_complete(members[i]))
      return gsf_error(err, GS_ETYPE, "member %zu has type '%.100s', expected one with a size",
                       i + 1, members[i]->name);
    fields[i].type = members[i];
  }
  size_t bad = 0;
  if (gsf_layout(t, fields, n, 0, false, &bad) != GS_OK)
    return gsf_error(err, GS_ETYPE, "the struct is too large or nests too deeply at member %zu",
                     bad + 1);
  *out = t;
  return GS_OK;
}

int gs_type_struct(gs_ffi *ffi, const gs_type *const *members, size_t n, const gs_type **out,
                   gs_ffi_error *err) {
  if (!ffi || !out || (n && !members))
    return gsf_error(err, GS_EINVAL, "%s is NULL", !ffi ? "ffi" : !out ? "out" : "members");
  if (n == 0) return gsf_error(err, GS_EINVAL, "n is 0, expected at least one member");
  gsf_transaction tx = gsf_begin(ffi);
  gs_type *t = NULL;
  int e =
      n > GSF_MAX_SIZE / sizeof(gs_field) ? gsf_nomem(err) : struct_of(ffi, members, n, &t, err);
  if (e != GS_OK) {
    gsf_rollback(ffi, &tx);
    return e;
  }
  *out = t;
  return GS_OK;
}
