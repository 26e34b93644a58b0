/* green.h: what the files about green threads share (green.c, turn.c, wait.c, chan.c, select.c,
 * sync.c, group.c, deadlock.c, inspect.c, io.c, coroutine.c).
 */
#ifndef GS_LUA_GREEN_H
#define GS_LUA_GREEN_H

#include <stdatomic.h>
#include <sys/types.h>

#include "binding.h"

#define GSL_GREEN "gosched.green"

typedef enum outcome { RUNS, RETURNED, RAISED, CANCELLED } outcome;

/* A hook that was set on L. */
typedef struct hook {
  lua_State *L;
  lua_Hook fn;
  int mask, count;
} hook;

/* A green thread of a VM, also the main one.  Everything is written with the turn. */
typedef struct green {
  gsl_local local; /* the first field: gs_gdata's word points to it */
  outcome outcome;
  lua_State *L;              /* its own; held by the uservalue; NULL: it has been given away */
  lua_State *at;             /* the innermost coroutine that it runs; L outside of coroutines */
  gs_handle *handle;         /* NULL: it never started, or is over, or is the main one of gs_run */
  uint64_t id;               /* its goid, 0 before it runs */
  const char *where;         /* the operation that it waits in; NULL: none */
  int64_t deadline;          /* of the innermost gosched.timeout around it; GS_FOREVER */
  struct group *member_of;   /* the task group that started it; NULL: none */
  struct green *next, *prev; /* in a list of the VM's while it runs */
  int slot;                  /* where the VM's table keeps it meanwhile */
  int state;                 /* where spare.c's table has L; 0: nowhere */
  unsigned joiners;          /* who are in gs_join with the handle */
  int nresults;              /* once it has ended: how many, from index 2 on */
  unsigned cancels;          /* reasons to be cancelled that have not been taken back */
  vm *vm;
  struct turn *turn; /* the VM's */
  hook aside;        /* put aside for the one of turn.c; its signal handler, and that hook */
  bool shown;        /* coroutine.running has told its L */
  bool lost;         /* in the VM's list of those */
  bool over;         /* not in a list any more */
  bool asked_to_end; /* by g:cancel() */
  bool joined;       /* somebody got its error */
  bool deadlocked;   /* a main one that has to raise the deadlock */
  bool _Atomic told; /* a main one: it is to end; by another thread, and not taken back */
  char name[32];     /* "file.lua:12" */
} green;

/* ---- turn.c ---------------------------------------------------------------------------------- */

/* A domain and who has its turn.  Never freed: the domain and sysmon keep its address.  The VM that
 * uses it gives it back when it is closed. */
typedef struct turn {
  gs_domain *domain;       /* NULL until the first gosched.run that uses it */
  struct turn *next;       /* all of them; write-once */
  struct turn *spare;      /* those without a VM; under the mutex of turn.c */
  pid_t _Atomic tid;       /* the thread that had the turn last; who has the turn */
  green *_Atomic inside;   /* who runs Lua right now; NULL: the scheduler or C does; the same */
  int _Atomic asked;       /* sysmon wants the turn for others; sysmon sets, the rest clear it */
  bool _Atomic left_alone; /* gosched.preempt(false); who has the turn */
  int64_t since, cpu;      /* the stretch that sysmon looks at, and its CPU time; sysmon */
  gs_teller *teller;       /* of the domain, and as long as it; NULL: out of memory */
  vm *_Atomic shown;       /* inside gosched.run, so that who has the turn may look at it; NULL */
} turn;

turn *gsl_turn_new(void); /* NULL: out of memory */
void gsl_turn_free(turn *t);
/* The domain, made when it is needed first.  A GS_E… code, with gs_error_detail. */
int gsl_turn_domain(turn *t);
pid_t gsl_tid(void);

/* From here on the scheduler or foreign code may run; returns who ran. */
static inline green *gsl_turn_leave(turn *t) {
  green *g = atomic_load_explicit(&t->inside, memory_order_relaxed);
  atomic_store_explicit(&t->inside, NULL, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst);
  return g;
}

/* g runs Lua again, perhaps on another thread.  First the thread, then who runs: a signal handler
 * that sees its own thread's number and somebody inside knows that it interrupts that one. */
static inline void gsl_turn_enter(turn *t, green *g) {
  if (atomic_load_explicit(&t->asked, memory_order_relaxed))
    atomic_store_explicit(&t->asked, 0, memory_order_relaxed);
  atomic_store_explicit(&t->tid, gsl_tid(), memory_order_relaxed);
  atomic_store_explicit(&t->inside, g, memory_order_release);
}

/* A call of the scheduler that does not wait.  It may be the end of a slice all the same: others
 * get the turn, and this green thread comes back on another thread. */
#define GSL_OUTSIDE(L, v, expr)        \
  __extension__({                      \
    bool finalizing_ = gsl_away(L, v); \
    __typeof__(expr) result_ = (expr); \
    gsl_back(v, finalizing_);          \
    result_;                           \
  })

/* The green thread that runs here, if it is one of the turn's domain; also where C has called. */
green *gsl_running(const turn *t);
/* The green thread of this VM that runs here; NULL: none. */
static inline green *gsl_self(vm *v) {
  green *g = atomic_load_explicit(&v->turn->inside, memory_order_relaxed);
  return g ? g : gsl_running(v->turn);
}

void gsl_open_turn(lua_State *L, int module, int vm_index);

/* ---- wait.c: operations that park ------------------------------------------------------------ */

/* What gsl_fail takes besides GS_E… codes. */
enum {
  GSL_EXPIRED = 1, /* a gosched.timeout around it */
  GSL_RAISED = 2,  /* the error value is on top of the stack */
  GSL_DEADLOCK = 3,
};

typedef struct op {
  vm *v;
  green *g;
  const char *what;
  int64_t deadline;
  bool scoped; /* the deadline is that of a gosched.timeout */
} op;

/* Begins an operation that may park, until deadline at the latest; raises an error where nothing
 * may park.  What follows may not touch Lua until gsl_again has returned false:
 *   do code = gs_…(…, o.deadline); while (gsl_again(L, &o, &code)); */
void gsl_begin(lua_State *L, op *o, const char *what, int64_t deadline);
/* The scheduler's function has returned; true: call it again. */
bool gsl_again(lua_State *L, op *o, int *code);

/* The same for operations that can often be done at once, in two steps: gsl_may_begin raises what
 * there is to raise, then the operation may take hold of something that it would have to give back,
 * and gsl_leave_for is the rest of gsl_begin. */
static inline green *gsl_may_begin(lua_State *L, vm *v, const char *what) {
  gsl_check_may_wait(L, v, what);
  green *g = gsl_self(v);
  if (__builtin_expect(!g, 0)) gsl_fail(L, GS_EPERM, what);
  return g;
}
static inline void gsl_leave_for(vm *v, green *g, op *o, const char *what, int64_t deadline) {
  o->v = v;
  o->g = g;
  o->what = what;
  o->scoped = g->deadline < deadline;
  o->deadline = o->scoped ? g->deadline : deadline;
  g->where = what;
  gsl_turn_leave(v->turn);
}
/* A main green thread that is cancelled has no handle that would tell the scheduler: what it could
 * do at once it does (by the function that does not wait), and else is told here. */
static inline bool gsl_only_tries(const green *g) {
  return __builtin_expect(!g->handle && g->cancels, 0);
}
static inline bool gsl_once_more(lua_State *L, op *o, int *code) {
  if (__builtin_expect(*code == GS_OK, 1)) {
    gsl_turn_enter(o->v->turn, o->g);
    o->g->where = NULL;
    return false;
  }
  if (*code == GS_EWOULDBLOCK) *code = GS_ECANCELED;
  return gsl_again(L, o, code);
}
/* Joins whatever the caller's own cancellation; GS_OK, GSL_RAISED, GSL_DEADLOCK or an error. */
int gsl_join_shielded(lua_State *L, vm *v, green *g, const char *what);
/* The same of whatever wait(x, deadline) waits for. */
int gsl_wait_shielded(lua_State *L, vm *v, int (*wait)(void *, int64_t), void *x, const char *what);

/* Seconds at index as nanoseconds; raises an error that names the argument. */
int64_t gsl_check_seconds(lua_State *L, int index);
/* A deadline from the optional seconds at index. */
int64_t gsl_given_deadline(lua_State *L, int index);
static inline int64_t gsl_opt_deadline(lua_State *L, int index) {
  return lua_gettop(L) < index ? GS_FOREVER : gsl_given_deadline(L, index);
}

void gsl_open_wait(lua_State *L, int module, int vm_index);

/* ---- green.c --------------------------------------------------------------------------------- */

green *gsl_check_green(lua_State *L, int index);
/* Starts the function at index f with the arguments after it as a green thread, whose value is
 * pushed; of the group at index 1, or of none.  It may have ended when this returns.  By a function
 * of the module. */
green *gsl_go(lua_State *L, vm *v, int f, struct group *of, const char *what);
/* Into a list of the VM, and out of it. */
void gsl_enlist(vm *v, green **list, green *g);
void gsl_delist(vm *v, green **list, green *g);
/* Pushes the value of one that runs. */
void gsl_push_green(lua_State *L, const green *g);
/* gs_join, for who has the value on the Lua stack; between gsl_begin and gsl_again. */
int gsl_await(green *g, int64_t deadline);
/* Pushes the results, or raises the error, of one that has ended. */
int gsl_outcome(lua_State *L, green *g);
void gsl_cancel(vm *v, green *g);
/* Takes one reason back; g is the one that runs. */
void gsl_uncancel(green *g);
/* Cancels those of the group, NULL: all but the main one. */
void gsl_cancel_all(vm *v, const struct group *of);
/* Cancels all green threads of the VM but the one that runs, and waits for them.  true: there is an
 * error on top of the stack: a signal's hook has raised it meanwhile, or they wait for each other.
 */
bool gsl_end_all(lua_State *L, vm *v);

/* ---- spare.c --------------------------------------------------------------------------------- */

/* Pushes a table and a lua_State with an empty stack.  By a function of the module. */
lua_State *gsl_take_state(lua_State *L, vm *v, green *g);
/* g, whose lua_State this is, is through.  If others can use its lua_State they get it: then g->L
 * is NULL, and the result, if there is one, is the uservalue. */
void gsl_give_state(lua_State *T, vm *v, green *g);
void gsl_open_spare(lua_State *L, int vm_index);

/* ---- the rest -------------------------------------------------------------------------------- */

/* Metatable `name` with these metamethods and methods, each with the vm as first upvalue. */
void gsl_new_class(lua_State *L, int vm_index, const char *name, const luaL_Reg *meta,
                   const luaL_Reg *methods);
/* Functions for the module, each with the vm as first upvalue. */
void gsl_add_functions(lua_State *L, int module, int vm_index, const luaL_Reg *functions);

void gsl_open_chan(lua_State *L, int module, int vm_index);
void gsl_open_shared(lua_State *L, int module, int vm_index);
void gsl_open_value(lua_State *L, int module, int vm_index);
void gsl_open_select(lua_State *L, int module, int vm_index);

/* shared.c: gosched.run begins, or has ended. */
void gsl_shared_run(vm *v, bool begins);

void gsl_open_sync(lua_State *L, int module, int vm_index);
void gsl_open_group(lua_State *L, int module, int vm_index);
/* snapshot.c */
int gsl_snapshot(lua_State *L);
void gsl_open_inspect(lua_State *L, int module, int vm_index);
void gsl_open_io(lua_State *L, int module, int vm_index);
void gsl_open_coroutine(lua_State *L, int vm_index);
void gsl_open_embed(lua_State *L, int module, int vm_index);
/* embed.c: the end of gosched.run: the guests it has started are cancelled and waited for. */
bool gsl_guests_end(lua_State *L, vm *v);

/* group.c: a member has ended; with the turn, on the member's stack. */
void gsl_group_left(vm *v, struct group *tg, green *g);

/* inspect.c: pushes what every green thread of the VM does, with tracebacks. */
void gsl_push_report(lua_State *L, vm *v);
/* That text by somebody else who has the turn, for who tells it to a dump: calls tell with it. */
void gsl_report_to(vm *v, void (*tell)(void *ud, const char *text, size_t n), void *ud);

/* tell.c: the domain has a teller from now on. */
void gsl_tell_new(turn *t);

/* deadlock.c: this VM's run is the process's gs_run, or not any more; … */
void gsl_deadlock_host(vm *v, bool on);
/* … or a green thread of another's run; GS_OK or GS_ENOMEM.  It has left when v->main is about to
 * go. */
int gsl_deadlock_guest(vm *v, gs_handle *handle);
void gsl_deadlock_guest_left(vm *v);

#endif
