/* registers.c: calls that need registers only, without libffi.
 *
 * libffi classifies the arguments anew for every call, through a table of their types; that costs
 * more than the rest of a foreign call.  Where every argument is a scalar that the ABI puts into a
 * register, and so is the result, one piece of assembly can make the call, whatever the signature:
 * it loads all argument registers and calls (ffi/arch/).  Which register an argument belongs in is
 * decided here once, when the function is prepared: the first integers and pointers in the integer
 * registers in order, the first float and double in the vector registers in order (System V ABI
 * 3.2.3; AAPCS64 6.4), and nothing else is.  Everything that either ABI treats otherwise - structs,
 * long double, complex, more arguments than registers - stays with libffi.
 *
 * Integers narrower than a register are widened by their own sign, as compilers do for calls on
 * amd64; a float fills the lower half of its register.  What a function leaves in the upper part of
 * a result is not looked at.
 *
 * GOSCHED_FFI=libffi in the environment sends every call through libffi, so that both ways can be
 * tested against each other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

/* From args[i] to the next register of its kind; and from a register to the result. */
enum { M_NONE, M_U8, M_S8, M_U16, M_S16, M_U32, M_S32, M_64, M_FLOAT, M_DOUBLE, M_MEMORY };

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

#if GENERAL
typedef struct gsf_registers {
  uint64_t g[8], f[8];        /* to be loaded */
  uint64_t integer, floating; /* what came back */
} gsf_registers;

void gsf_arch_call_ints(void (*fn)(void), gsf_registers *r);
void gsf_arch_call_all(void (*fn)(void), gsf_registers *r);
#endif

/* ---- preparing ------------------------------------------------------------------------------- */

static unsigned char move_of(const gs_type *type) {
  const gs_type *c = type->canon;
  bool negative = c->kind == GS_KIND_INT;
  switch (c->kind) {
    case GS_KIND_VOID: return M_NONE;
    case GS_KIND_BOOL:
    case GS_KIND_INT:
    case GS_KIND_UINT:
    case GS_KIND_POINTER:
      switch (c->size) {
        case 1: return negative ? M_S8 : M_U8;
        case 2: return negative ? M_S16 : M_U16;
        case 4: return negative ? M_S32 : M_U32;
        case 8: return M_64;
        default: return M_MEMORY;
      }
    case GS_KIND_FLOAT: return c->size == 4 ? M_FLOAT : c->size == 8 ? M_DOUBLE : M_MEMORY;
    default: return M_MEMORY;
  }
}

/* What GOSCHED_FFI asks for. */
static int forced(bool *libffi, gs_ffi_error *err) {
  const char *text = secure_getenv("GOSCHED_FFI");
  *libffi = text && strcmp(text, "libffi") == 0;
  if (!text || !*text || *libffi || strcmp(text, "auto") == 0) return GS_OK;
  return gsf_error(err, GS_EINVAL, "GOSCHED_FFI is '%.40s', expected 'auto' or 'libffi'", text);
}

int gsf_registers_plan(gs_func *f, gs_ffi_error *err) {
  size_t general = 0, vector = 0;
  bool libffi;
  f->registers = 0;
  int e = forced(&libffi, err);
  if (e != GS_OK || libffi || GENERAL == 0) return e;
  unsigned char back = move_of(f->ret);
  if (back == M_MEMORY || f->nargs > GSF_MAX_MOVES) return GS_OK;
  for (size_t i = 0; i < f->nargs; i++) {
    unsigned char move = move_of(f->args[i]);
    if (move == M_MEMORY || move == M_NONE) return GS_OK;
    if (move == M_FLOAT || move == M_DOUBLE)
      vector++;
    else
      general++;
    f->moves[i] = move;
  }
  if (general > GENERAL || vector > VECTOR) return GS_OK;
  f->back = back;
  f->registers = vector ? 2 : 1;
  return GS_OK;
}

/* ---- calling --------------------------------------------------------------------------------- */

#if GENERAL
#define LOAD(type)              \
  do {                          \
    type v;                     \
    memcpy(&v, from, sizeof v); \
    *g++ = (uint64_t)v;         \
  } while (0)

static void load(const gs_func *f, void *const *args, gsf_registers *r) {
  uint64_t *g = r->g, *x = r->f;
  for (size_t i = 0; i < f->nargs; i++) {
    const void *from = args[i];
    switch (f->moves[i]) {
      case M_U8: LOAD(uint8_t); break;
      case M_S8: LOAD(int8_t); break;
      case M_U16: LOAD(uint16_t); break;
      case M_S16: LOAD(int16_t); break;
      case M_U32: LOAD(uint32_t); break;
      case M_S32: LOAD(int32_t); break;
      case M_64: LOAD(uint64_t); break;
      case M_FLOAT: {
        uint32_t bits;
        memcpy(&bits, from, sizeof bits);
        *x++ = bits;
        break;
      }
      default: memcpy(x++, from, sizeof *x); break;
    }
  }
}

static void store(void *to, unsigned char move, const gsf_registers *r) {
  /* Little-endian: the narrow value stands first. */
  switch (move) {
    case M_NONE: break;
    case M_U8:
    case M_S8: memcpy(to, &r->integer, 1); break;
    case M_U16:
    case M_S16: memcpy(to, &r->integer, 2); break;
    case M_U32:
    case M_S32: memcpy(to, &r->integer, 4); break;
    case M_64: memcpy(to, &r->integer, 8); break;
    case M_FLOAT: memcpy(to, &r->floating, 4); break;
    default: memcpy(to, &r->floating, 8); break;
  }
}

void gsf_registers_call(const gs_func *f, void *ret, void *const *args) {
  gsf_registers r;
  load(f, args, &r);
  if (f->registers == 1)
    gsf_arch_call_ints(f->fn, &r);
  else
    gsf_arch_call_all(f->fn, &r);
  if (ret) store(ret, f->back, &r);
}
#else
void gsf_registers_call(const gs_func *f, void *ret, void *const *args) {
  ffi_call((ffi_cif *)&f->cif, f->fn, ret, (void **)args);
}
#endif
