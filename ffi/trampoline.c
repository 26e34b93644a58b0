/* trampoline.c: the C functions that callbacks are called by.
 *
 * A C function pointer carries no data, so every callback needs code of its own.  Making code at
 * run time needs memory that is written and then executed, which hardened systems refuse (SELinux's
 * execmem, PR_SET_MDWE, seccomp filters).  So there are two kinds, and neither has pages that can
 * be written and executed at once:
 *
 *   Stubs     are part of this library: a table of GSF_STUBS tiny functions (arch/), each of which
 *             differs from the others by its number alone.  The number leads to the gs_callback
 *             through a table of pointers in ordinary memory.  They store the argument registers
 *             and nothing else, so they serve functions whose arguments and result are scalars in
 *             registers; nearly all callbacks of C libraries are.
 *   Closures  are libffi's.  They serve all other types, what comes when the stubs are used up,
 *             and everything if GOSCHED_FFI is libffi.  libffi finds out what the system lets it
 *             do: memory that is both, or the same pages mapped twice, once to write and once to
 *             execute.  Where it can do neither, making such a callback is an error that says so.
 *
 * The quarantine.  C libraries keep pointers to callbacks longer than their owners think.  So a
 * freed one goes to the end of a queue and is used again only when GSF_QUARANTINE others of its
 * kind have been freed after it: until then a call of it is recognised.  Stubs are taken from the
 * table as long as there are fresh ones.  Closures are made anew until the quarantine is full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"

#define GSF_QUARANTINE 256

#if defined(__x86_64__)
#define GENERAL 6
#define VECTOR 8
#elif defined(__aarch64__)
#define GENERAL 8
#define VECTOR 8
#else
#define GENERAL 0
#define VECTOR 0
#endif

/* All of this under the lock of callback.c. */
static gs_callback *all;
typedef struct queue {
  gs_callback *first, **end;
  size_t n;
} queue;
static queue stubs = {NULL, &stubs.first, 0}, closures = {NULL, &closures.first, 0};

#if GENERAL
#define GSF_STUBS 1024 /* as in arch/ */
#define STUB_SIZE 16
extern const char gsf_stubs[] __attribute__((visibility("hidden")));
/* Read by the stubs.  Each is written once, before its stub is given out. */
extern gs_callback *gsf_stub_callbacks[GSF_STUBS] __attribute__((visibility("hidden")));
gs_callback *gsf_stub_callbacks[GSF_STUBS];
_Static_assert(offsetof(gs_callback, vector) == 0, "arch/ reads it there");
_Static_assert(sizeof(gsf_frame) <= 288 && offsetof(gsf_frame, f) == 64, "arch/ has made the room");
static size_t fresh_stubs = GSF_STUBS;
#endif

void gsf_quarantine(gs_callback *cb) {
  queue *q = cb->stub ? &stubs : &closures;
  cb->queue = NULL;
  *q->end = cb;
  q->end = &cb->queue;
  q->n++;
}

/* The one that was freed longest ago, if it is long enough ago. */
static gs_callback *again(queue *q) {
  gs_callback *cb = q->first;
  if (q->n <= GSF_QUARANTINE) return NULL;
  q->first = cb->queue;
  if (!q->first) q->end = &q->first;
  q->n--;
  gsf_arena_free(&cb->arena);
  return cb;
}

static gs_callback *another(void) {
  gs_callback *cb = calloc(1, sizeof(*cb));
  if (!cb) return NULL;
  cb->state = GSF_OUT;
  cb->all = all;
  all = cb;
  return cb;
}

/* ---- stubs ----------------------------------------------------------------------------------- */

/* What a scalar is in a register: R_NONE: something else. */
static unsigned char form(const gs_type *type, bool *vector) {
  const gs_type *c = type->canon;
  bool negative = c->kind == GS_KIND_INT;
  *vector = c->kind == GS_KIND_FLOAT;
  switch (c->kind) {
    case GS_KIND_FLOAT: return c->size == 4 ? R_U32 : c->size == 8 ? R_64 : R_NONE;
    case GS_KIND_BOOL:
    case GS_KIND_INT:
    case GS_KIND_UINT:
    case GS_KIND_POINTER:
      switch (c->size) {
        case 1: return negative ? R_S8 : R_U8;
        case 2: return negative ? R_S16 : R_U16;
        case 4: return negative ? R_S32 : R_U32;
        case 8: return R_64;
        default: return R_NONE;
      }
    default: return R_NONE;
  }
}

#if GENERAL
/* Where a stub stores each argument.  False: not all of it is in registers. */
static bool plan(const gs_type *function, gs_callback *to) {
  size_t general = 0, vector = 0;
  bool is_vector;
  to->back = form(function->target, &is_vector);
  if (to->back == R_NONE && function->target->canon->kind != GS_KIND_VOID) return false;
  if (function->length > GENERAL + VECTOR) return false;
  for (size_t i = 0; i < function->length; i++) {
    if (form(function->params[i], &is_vector) == R_NONE) return false;
    if (is_vector ? vector == VECTOR : general == GENERAL) return false;
    to->at[i] = (unsigned char)(is_vector ? 8 + vector++ : general++);
  }
  to->vector = vector != 0;
  to->nargs = (unsigned char)function->length;
  return true;
}

static int stub(const gs_type *function, gs_callback **out, gs_ffi_error *err) {
  gs_callback plan_of = {.vector = 0};
  *out = NULL;
  if (!plan(function, &plan_of)) return GS_OK;
  gs_callback *cb = fresh_stubs == 0 ? again(&stubs) : another();
  if (!cb) return fresh_stubs == 0 ? GS_OK : gsf_nomem(err);
  if (!cb->stub) {
    size_t number = GSF_STUBS - fresh_stubs--;
    cb->stub = (uint32_t)number + 1;
    cb->code = (void *)(uintptr_t)(gsf_stubs + number * STUB_SIZE);
    __atomic_store_n(&gsf_stub_callbacks[number], cb, __ATOMIC_RELEASE);
  }
  cb->vector = plan_of.vector;
  cb->back = plan_of.back;
  cb->nargs = plan_of.nargs;
  memcpy(cb->at, plan_of.at, sizeof(cb->at));
  *out = cb;
  return GS_OK;
}
#endif

/* ---- libffi's closures ----------------------------------------------------------------------- */

static void closure_called(ffi_cif *cif, void *ret, void **args, void *data) {
  (void)cif;
  gs_callback *cb = data;
  unsigned char widened = cb->widened;
  if (!widened) {
    memset(ret, 0, cb->size);
    gsf_callback_called(cb, ret, args);
    return;
  }
  union {
    int8_t s8;
    uint8_t u8;
    int16_t s16;
    uint16_t u16;
    int32_t s32;
    uint32_t u32;
    uint64_t all;
  } room = {.all = 0};
  unsigned char back = cb->back;
  gsf_callback_called(cb, &room, args);
  switch (back) {
    case R_U8: *(ffi_arg *)ret = room.u8; break;
    case R_S8: *(ffi_sarg *)ret = room.s8; break;
    case R_U16: *(ffi_arg *)ret = room.u16; break;
    case R_S16: *(ffi_sarg *)ret = room.s16; break;
    case R_U32: *(ffi_arg *)ret = room.u32; break;
    case R_S32: *(ffi_sarg *)ret = room.s32; break;
  }
}

/* A copy, since t may belong to a gs_ffi that is gone before C has stopped calling. */
static ffi_type *copy(gsf_arena *arena, ffi_type *t) {
  if (!t->elements) return t;
  size_t n = 0;
  while (t->elements[n]) n++;
  ffi_type *c = gsf_alloc(arena, sizeof(*c));
  ffi_type **elements = gsf_alloc(arena, (n + 1) * sizeof(*elements));
  if (!c || !elements) return NULL;
  for (size_t i = 0; i < n; i++)
    if (!(elements[i] = copy(arena, t->elements[i]))) return NULL;
  *c = *t;
  c->elements = elements;
  return c;
}

/* Fills cb->cif; the types go into its arena. */
static int describe(gs_ffi *ffi, const gs_type *function, gs_callback *cb, gs_ffi_error *err) {
  size_t n = function->length;
  ffi_type *type, **types = gsf_alloc(&cb->arena, (n + 1) * sizeof(*types));
  if (!types) return gsf_nomem(err);
  for (size_t i = 0; i <= n; i++) {
    char role[32] = "the result";
    if (i < n) snprintf(role, sizeof(role), "argument %zu", i + 1);
    int e = gsf_ffi_type(ffi, i < n ? function->params[i] : function->target, role, &type, err);
    if (e != GS_OK) return e;
    if (!(types[i] = copy(&cb->arena, type))) return gsf_nomem(err);
  }
  if (ffi_prep_cif(&cb->cif, FFI_DEFAULT_ABI, (unsigned)n, types[n], types) != FFI_OK)
    return gsf_error(err, GS_ETYPE, "libffi cannot make a function of type '%.100s'",
                     function->name);
  return GS_OK;
}

/* One that has its code, or NULL. */
static gs_callback *some_closure(void) {
  gs_callback *cb = again(&closures);
  if (cb) return cb;
  void *code, *closure = ffi_closure_alloc(sizeof(ffi_closure), &code);
  if (!closure) return NULL;
  if (!(cb = another())) {
    ffi_closure_free(closure);
    return NULL;
  }
  cb->closure = closure;
  cb->code = code;
  return cb;
}

static int closure(gs_ffi *ffi, const char *name, const gs_type *function, gs_callback **out,
                   gs_ffi_error *err) {
  gs_callback made = {.arena = {NULL}}, *cb = NULL;
  int e = describe(ffi, function, &made, err);
  if (e == GS_OK && !(cb = some_closure()))
    e = gsf_error(err, GS_ENOMEM,
                  "there is no executable memory for '%.100s': the system refuses it, or memory is "
                  "exhausted",
                  name);
  if (e == GS_OK) {
    cb->cif = made.cif;
    if (ffi_prep_closure_loc(cb->closure, &cb->cif, closure_called, cb, cb->code) != FFI_OK) {
      gsf_quarantine(cb);
      e = gsf_error(err, GS_ETYPE, "libffi cannot make a function of type '%.100s'",
                    function->name);
    }
  }
  if (e != GS_OK) {
    gsf_arena_free(&made.arena);
    return e;
  }
  bool vector;
  cb->arena = made.arena;
  cb->back = form(function->target, &vector);
  cb->widened = !vector && cb->back != R_NONE && cb->back != R_64;
  *out = cb;
  return GS_OK;
}

/* ---- either ---------------------------------------------------------------------------------- */

int gsf_trampoline(gs_ffi *ffi, const char *name, const gs_type *function, gs_callback **out,
                   gs_ffi_error *err) {
  bool libffi;
  int e = gsf_forced(&libffi, err);
  *out = NULL;
#if GENERAL
  if (e == GS_OK && !libffi) e = stub(function, out, err);
#endif
  return e == GS_OK && !*out ? closure(ffi, name, function, out, err) : e;
}
