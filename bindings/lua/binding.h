/* binding.h: what the files of the Lua binding share.
 *
 *   module.c   the module's table, gosched.run, what belongs to a Lua VM
 *   green.h    what the files about green threads share
 *   green.c    green threads: go, join, cancel
 *   spare.c    lua_States that are used again
 *   turn.c     who has the turn, and how one that computes gives it up
 *   wait.c     operations that park: sleep, yield, timeout
 *   chan.c, select.c, sync.c, group.c   channels, mutexes, wait groups, task groups
 *   carry.c    values under way in a channel
 *   shared.c, value.c   channels by name, and what they carry
 *   deadlock.c, inspect.c   Deadlock, dump, trace
 *   coroutine.c   which coroutine of a green thread runs
 *   embed.c    guests: interpreters of other languages, and what a VM that is one does
 *   io.c       descriptors, OS threads, blocking C functions
 *   ffi.c, …   gosched.ffi: see cdata.h
 *
 * One Lua VM is one domain of the scheduler with one P.  Having that P is having the turn in the
 * VM, and it leaves a thread only where a green thread parks or in a foreign call: so the VM needs
 * no lock, and the domain no hooks.  Everything here runs with the turn, except between
 * gs_ffi_call's entry and return.
 *
 * A green thread is a lua_State of the VM (lua_newthread) that runs on a C stack of its own; it can
 * park in the middle of C code of Lua.  Errors never leave a C stack: each begins with lua_pcall.
 */
#ifndef GS_LUA_BINDING_H
#define GS_LUA_BINDING_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "gosched.h"
#include "gosched_domain.h"
#include "gosched_ffi.h"

struct turn;
struct green;
struct gsl_frame; /* cdata.h */
struct gsl_gate;  /* gate.c: who else may come into the VM, and when */
typedef struct gsl_gate gsl_gate;

/* What foreign calls keep for a green thread, or for the thread that called gosched.run. */
typedef struct gsl_local {
  int saved_errno;         /* of its last foreign call */
  struct gsl_frame *frame; /* its innermost foreign call under way; NULL: none */
} gsl_local;

/* What belongs to one Lua VM; a userdata, the first upvalue of every function of the module. */
typedef struct vm {
  struct turn *turn;     /* its domain, and who has the turn */
  struct green *main;    /* of the gosched.run under way; on run's C stack */
  struct green *greens;  /* those that run, the main one not among them */
  struct green *visits;  /* those that run for callbacks from elsewhere (gate.c) */
  struct green *lost;    /* that an end of gosched.run has left waiting for each other */
  unsigned changes;      /* of that list */
  int slots, *free;      /* of the table that keeps those: how many; which nobody uses … */
  int nfree, most_slots; /* … so many; room for so many in `free` */
  char name[32];         /* of the function that was started last */
  struct spares *spare;  /* spare.c */
  bool ending;           /* the main one's function has returned */
  gs_ffi *ffi;
  bool running; /* gosched.run is under way */
  uint64_t
      finalizer;   /* the green thread that is in a foreign call from a __gc metamethod; 0: none */
  gsl_local local; /* of calls outside gosched.run */
  gsl_gate *gate;
  lua_State *looker;    /* of who tells a dump what all do; used with the turn */
  gs_guest *guest;      /* this VM is one; or NULL */
  struct guest *guests; /* of embed.c: those that a green thread of this VM has started */
  const void *cdata_meta, *cdata_gc_meta; /* the metatables of C data, without and with __gc … */
  const void *ctype_meta;                 /* … and of C types, which the registry holds */
  struct shared *shared;                  /* the shared channels that it has open */
  const void *map_meta, *bytes_meta, *null; /* of value.c: metatables, and gosched.null */
} vm;

/* The VM's userdata keeps tables that starting a green thread needs, as uservalues: they are found
 * without a look into the registry, which has them too for who has no such upvalue. */
enum { GSL_RUNNING = 1, GSL_CLASS, GSL_NAMED, GSL_STATES, GSL_PARTS = GSL_STATES };

/* By a function of the module. */
static inline void gsl_push_part(lua_State *L, int part) {
  lua_getiuservalue(L, lua_upvalueindex(1), part);
}
/* The table on top of the stack, which goes. */
static inline void gsl_set_part(lua_State *L, int vm_index, int part, const void *key) {
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, vm_index, part);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

static inline vm *gsl_vm(lua_State *L) {
  vm *v = lua_touserdata(L, lua_upvalueindex(1));
  if (__builtin_expect(!v->ffi, 0)) luaL_error(L, "gosched: the Lua state is being closed");
  return v;
}

/* Registry keys: the values gosched.cancelled and gosched.timeout. */
extern const char gsl_cancelled, gsl_timeout;

/* Raises the error for a GS_E… code from `what` ("gosched.sleep"). */
int gsl_fail(lua_State *L, int code, const char *what);
/* Raises an error in a __gc metamethod: waiting there would stop collection for the whole VM. */
void gsl_not_in_finalizer(lua_State *L, const vm *v, const char *what);
static inline void gsl_check_may_wait(lua_State *L, const vm *v, const char *what) {
  /* While a finalizer runs, perhaps another green thread's, lua_gc answers nothing. */
  if (__builtin_expect(lua_gc(L, LUA_GCCOUNT) < 0, 0)) gsl_not_in_finalizer(L, v, what);
}
/* Around every foreign call, in which others get the turn: remembers whose __gc metamethod made it.
 * gsl_back takes what gsl_away returned: whether one did. */
bool gsl_away(lua_State *L, vm *v);
void gsl_back(vm *v, bool in_finalizer);

/* green.c */
void gsl_open_green(lua_State *L, int module, int vm_index);
/* Whether a finalizer (a __gc metamethod) of this green thread runs. */
bool gsl_in_finalizer(lua_State *L, const vm *v);
/* Message handler: a string gets a traceback, other values stay as they are. */
int gsl_traceback(lua_State *L);
/* The calling green thread's. */
gsl_local *gsl_local_of(vm *v);

/* ffi.c: pushes the table gosched.ffi. */
void gsl_open_ffi(lua_State *L, int vm_index);

/* gate.c: the gate is open while gosched.run is under way. */
gsl_gate *gsl_gate_new(lua_State *L, vm *v); /* NULL: out of memory */
void gsl_gate_open(gsl_gate *gate);
/* Nobody comes in any more; who is in is cancelled and waited for.  By the main green thread. */
void gsl_gate_shut(lua_State *L, vm *v);
void gsl_gate_close(gsl_gate *gate); /* the VM goes away */

#endif
