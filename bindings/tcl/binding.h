/* binding.h: what the files of the Tcl binding share.
 *
 *   module.c     the package, its small commands, what belongs to an interpreter
 *   service.c    the thread that keeps the scheduler running
 *   operation.c  blocking operations: started on a native green thread, waited for in Tcl
 *   library.c    gosched::load, and the commands that call C functions
 *   convert.c    Tcl values to C and back
 *   gosched.tcl  what is written in Tcl: go, join, yield
 *
 * A Tcl interpreter is bound to its OS thread, its home, and so are its coroutines: these are the
 * green threads of Tcl.  Only what blocks leaves home: it runs on a green thread of the scheduler's
 * native domain, and its end comes back as an event in the home thread's queue.
 */
#ifndef GS_TCL_BINDING_H
#define GS_TCL_BINDING_H

#include <stdbool.h>
#include <stdint.h>
#include <tcl.h>

#include "gosched.h"
#include "gosched_ffi.h"

/* What belongs to one interpreter.  Used on its home thread only. */
typedef struct gst_state {
  Tcl_Interp *interp; /* NULL once it is deleted */
  gs_ffi *ffi;
  struct gst_library *libraries;
  int refs;        /* the interpreter, and each operation under way */
  int saved_errno; /* of the last foreign call that ended */
} gst_state;

void gst_state_release(gst_state *s);

/* Sets message and errorCode {GOSCHED …}; always TCL_ERROR.  The words end with NULL. */
int gst_error(Tcl_Interp *interp, Tcl_Obj *message, ...);
int gst_ffi_error(Tcl_Interp *interp, const gs_ffi_error *err, const char *subject);

/* ---- service.c ------------------------------------------------------------------------------- */

/* Starts fn(arg) on a native green thread, and first the scheduler if it does not run. */
int gst_go(Tcl_Interp *interp, void (*fn)(void *), void *arg);

/* ---- operation.c ----------------------------------------------------------------------------- */

/* One blocking operation; the first member of the struct that describes it. */
typedef struct gst_operation gst_operation;
struct gst_operation {
  void (*work)(gst_operation *);                /* on a green thread; may block */
  int (*finish)(Tcl_Interp *, gst_operation *); /* at home: leaves the command's result */
  void (*destroy)(gst_operation *);             /* at home, last of all */
  gst_state *state;
  /* operation.c's own, all but home only used at home */
  Tcl_ThreadId home;
  int refs; /* the event to come, and who waits */
  bool done;
  Tcl_Command coroutine; /* who waits: a coroutine, or NULL: the event loop is being served */
  Tcl_Obj *yield;        /* the word that is evaluated; must outlive the evaluation */
};

/* Starts it and waits: a coroutine yields, anybody else serves the event loop.  For commands made
 * with Tcl_NRCreateCommand.  Takes the operation over also if it fails. */
int gst_operate(Tcl_Interp *interp, gst_state *s, gst_operation *op);

/* ---- library.c ------------------------------------------------------------------------------- */

int gst_load_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]);
/* Makes commands for what has been declared since the last time, in every library's namespace. */
int gst_define_new(gst_state *s);
void gst_libraries_free(gst_state *s);

/* ---- convert.c ------------------------------------------------------------------------------- */

/* Room for any scalar. */
typedef union gst_slot {
  int64_t integer;
  uint64_t natural;
  float single;
  double real;
  long double wide;
  void *pointer;
  bool truth;
} gst_slot;

/* NULL, or why values of the type cannot be converted. */
const char *gst_unsupported(const gs_type *type);
/* Stores a Tcl value as a C value.  *owned is memory that must be freed after the call, or NULL.
 * number and function name the argument in errors. */
int gst_to_c(Tcl_Interp *interp, gst_state *s, Tcl_Obj *value, const gs_type *type, gst_slot *to,
             void **owned, int number, const char *function);
/* Whether results of the type are texts: char * and const char *. */
bool gst_is_text(const gs_type *type);
/* The Tcl value of a C value that is no text; for void the empty one. */
Tcl_Obj *gst_to_tcl(const gs_type *type, const gst_slot *from);

#endif
