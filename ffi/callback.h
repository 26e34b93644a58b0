/* callback.h: what callback.c, trampoline.c and running.c share.
 *
 * A gs_callback is memory of its kind for good: it is used again after it was freed, but never
 * given back, together with the C function that leads to it.  So that C may call the function
 * whenever it likes, and finds out here that it is too late.
 */
#ifndef GS_FFI_CALLBACK_H
#define GS_FFI_CALLBACK_H

#include "ffi_internal.h"

/* ---- running.c ------------------------------------------------------------------------------- */

#define GSF_LANES 32

/* How many calls of a callback run: the sum of all, modulo 2^32.  A thread that has a lane counts
 * in its own, with plain stores; the others in `shared`. */
typedef struct gsf_running {
  uint32_t shared;          /* atomic */
  uint32_t lane[GSF_LANES]; /* each by the thread that has the lane; read by all */
} gsf_running;

/* Where this thread's lane is, in bytes from the gs_callback; 0: it has none, or was not asked. */
extern __thread uint64_t gsf_tls_lane
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
uint64_t gsf_lane_call(void);
uint64_t gsf_lane_wanted(void); /* asks for one the first time; 0: it has none */
/* Where every thread is past the compiler fence that it was before, if any has a lane. */
void gsf_running_barrier(void);
uint32_t gsf_running_sum(const gsf_running *r);

/* The thread-local is read anew each time: a green thread may have moved in between, and a compiler
 * that saw through this would keep the address. */
static inline uint64_t gsf_lane(void) {
#if defined(__x86_64__)
  uint64_t lane;
  __asm__ volatile("movq gsf_tls_lane@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(lane));
  return lane;
#else
  return gsf_lane_call();
#endif
}

/* ---- callback.c ------------------------------------------------------------------------------ */

/* What becomes of a gs_callback: the low bits of `state`, above which is how often it was made. */
enum {
  GSF_OUT,   /* no call runs: it waits in the quarantine, or was never given out */
  GSF_LIVE,  /* calls are let in */
  GSF_FREED, /* no more, but some may still run */
  GSF_STATE = 3,
  GSF_MADE = 4, /* one more time */
};

/* What goes into a result register.  Those from R_U8 on are widened; of the others C does not look
 * at the rest of the register. */
enum { R_NONE, R_U32, R_S32, R_64, R_U8, R_S8, R_U16, R_S16 };

#define GSF_STUB_ARGS 16 /* all the argument registers there are */

struct gs_callback {
  /* A call reads these.  Written before it becomes live. */
  unsigned char vector;            /* 1: has arguments in vector registers; read in arch/ too */
  unsigned char back;              /* R_…, of a stub's result */
  unsigned char widened;           /* 1: libffi wants its result as an ffi_arg */
  unsigned char nargs;             /* of a stub */
  unsigned char at[GSF_STUB_ARGS]; /* of a stub: where each argument is in gsf_frame, by 8 */
  uint32_t state;                  /* GSF_…; written under the lock, read by all */
  gs_ffi_handler *handler;
  void *user;
  /* The rest is for failures, and for its owner. */
  size_t size;             /* of the result */
  void *fallback;          /* a result that C gets where there is none; NULL: zeros */
  uint64_t fallback_at[2]; /* room for a small one */
  void (*onerror)(int error, int code, void *user); /* NULL: the logger; atomic */
  void (*destroy)(void *user);                      /* or NULL; under the lock */
  uint32_t told;   /* the kinds of errors that the logger has been told of, as bits; atomic */
  uint32_t stub;   /* its number + 1; 0: it is a closure of libffi */
  void *code;      /* the C function; write-once */
  void *closure;   /* libffi's; write-once */
  ffi_cif cif;     /* for libffi: see trampoline.c */
  gsf_arena arena; /* libffi's forms of its types, and a large fallback */
  gs_callback *next, **link; /* in its ffi's list; under the lock */
  gs_callback *queue;        /* in the quarantine; under the lock */
  gs_callback *all;          /* every one there is, so that leak checkers see it; write-once */
  char name[64];
  gsf_running running;
};

/* What a stub makes room for, on C's stack; arch/ knows the offsets.  It fills g, and f if the
 * callback has arguments there. */
typedef struct gsf_frame {
  uint64_t g[8], f[8]; /* the argument registers */
  void *args[GSF_STUB_ARGS];
  uint64_t ret;
} gsf_frame;

/* C has called it.  ret: room for the result, of its size and zeroed. */
void gsf_callback_called(gs_callback *cb, void *ret, void **args);

/* ---- trampoline.c ---------------------------------------------------------------------------- */

/* One that is free, with a C function of that type.  The lock is held. */
int gsf_trampoline(gs_ffi *ffi, const char *name, const gs_type *function, gs_callback **out,
                   gs_ffi_error *err);
void gsf_quarantine(gs_callback *cb); /* the lock is held */

#endif
