/* module.c: the table `gosched`, and gosched.run.
 *
 * gosched.run calls its function on the lua_State that it was called on, as the main green thread,
 * on a stack of its own but on the same OS thread.  What the function returns or raises crosses
 * from that stack to the caller's as values on the Lua stack.  While another VM of the process is
 * inside its gosched.run this one is a guest: its main green thread is not on the caller's OS
 * thread, which waits.
 */
#include <sched.h>
#include <stdlib.h>

#include "green.h"

#define MAIN_STACK ((size_t)8 << 20)

const char gsl_cancelled, gsl_timeout;
static const char module_key; /* registry: the table gosched */

/* Finalizers that were set before this module was loaded run after this one: from here on all
 * functions raise an error (gsl_vm, and call() of ccall.c). */
static int close_vm(lua_State *L) {
  static turn nobodys; /* whose `inside` stays NULL */
  vm *v = lua_touserdata(L, 1);
  if (v->gate) gsl_gate_close(v->gate);
  v->gate = NULL;
  free(v->free);
  v->free = NULL;
  v->nfree = v->most_slots = 0;
  gs_ffi_free(v->ffi);
  v->ffi = NULL;
  if (v->turn && v->turn != &nobodys) gsl_turn_free(v->turn);
  v->turn = &nobodys;
  return 0;
}

/* ---- errors ---------------------------------------------------------------------------------- */

int gsl_fail(lua_State *L, int code, const char *what) {
  if (code == GS_ECANCELED) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_cancelled);
    return lua_error(L);
  }
  if (code == GSL_RAISED) return lua_error(L);
  if (code == GSL_EXPIRED) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
    return lua_error(L);
  }
  if (code == GSL_DEADLOCK) {
    vm *v = gsl_vm(L);
    gsl_push_report(L, v);
    gsl_self(v)->where = NULL;
    return luaL_error(
        L, "%s: all green threads are asleep, and nothing can wake any of them (a deadlock)\n%s",
        what, lua_tostring(L, -1));
  }
  if (code == GS_EPERM) return luaL_error(L, "%s: call it inside gosched.run", what);
  return luaL_error(L, "%s: %s", what, gs_strerror(code));
}

/* Whether this green thread is in a __gc metamethod.  While one runs Lua has stopped collection for
 * the whole VM, and (from 5.4.4 on) lua_gc answers nothing; it is this green thread's, unless the
 * one that runs it is away in a foreign call. */
bool gsl_in_finalizer(lua_State *L, const vm *v) {
  return lua_gc(L, LUA_GCCOUNT) < 0 && (!v->finalizer || v->finalizer == gs_self());
}

bool gsl_away(lua_State *L, vm *v) {
  bool yes = gsl_in_finalizer(L, v);
  if (yes) v->finalizer = gs_self();
  gsl_turn_leave(v->turn);
  return yes;
}

void gsl_back(vm *v, bool finalizing) {
  green *g = gsl_running(v->turn);
  if (g) gsl_turn_enter(v->turn, g);
  if (finalizing) v->finalizer = 0;
}

void gsl_not_in_finalizer(lua_State *L, const vm *v, const char *what) {
  if (gsl_in_finalizer(L, v))
    luaL_error(L, "%s: a __gc metamethod cannot wait (no garbage would be collected meanwhile)",
               what);
}

/* ---- gosched.run ----------------------------------------------------------------------------- */

typedef struct run {
  vm *v;
  lua_State *L;
  int nargs;
  int status; /* lua_pcall's */
  green main;
  bool _Atomic known; /* main.handle is set; a guest's maker */
} run;

/* Of a guest of gs_embed, on any thread.  The main green thread of gs_run is told as by a signal.
 */
static void stop_main(void *arg) {
  run *r = arg;
  atomic_store(&r->main.told, true);
  if (r->main.handle)
    gs_cancel(r->main.handle);
  else
    gs_notify();
}

/* The main green thread, also that of a guest.  The other green threads of this VM end with it;
 * those of other VMs go on. */
static int run_main(void *arg) {
  run *r = arg;
  vm *v = r->v;
  r->main.id = gs_self();
  *gs_gdata() = &r->main;
  v->main = &r->main;
  if (v->guest) gs_guest_on_cancel(v->guest, stop_main, r);
  gsl_turn_enter(v->turn, &r->main);
  atomic_store(&v->turn->shown, v);
  gsl_gate_open(v->gate);
  /* Undetected if out of memory, and while there are guests of gs_embed. */
  if (r->main.handle && !v->guest) gsl_deadlock_guest(v, r->main.handle);
  r->status = lua_pcall(r->L, r->nargs, LUA_MULTRET, 1);
  v->ending = true;
  gsl_cancel_all(v, NULL); /* while unblock functions can still come in from other threads */
  gsl_gate_shut(r->L, v);
  if (gsl_end_all(r->L, v)) r->status = LUA_ERRRUN;
  if (gsl_guests_end(r->L, v)) r->status = LUA_ERRRUN;
  r->main.outcome = RETURNED;
  if (r->main.handle) gsl_deadlock_guest_left(v);
  atomic_store(&v->turn->shown, NULL);
  v->main = NULL;
  gsl_turn_leave(v->turn);
  if (v->guest) gs_guest_on_cancel(v->guest, NULL, NULL);
  *gs_gdata() = NULL;
  return 0;
}

static int run_host(void *arg) {
  run *r = arg;
  gsl_deadlock_host(r->v, true);
  run_main(arg);
  gsl_deadlock_host(r->v, false);
  return 0;
}

/* Who made it says when its handle is known. */
static void run_guest(void *arg) {
  run *r = arg;
  while (!atomic_load(&r->known)) gs_yield();
  run_main(r);
}

/* Another VM's gosched.run, or the program's own gs_run, is under way: the main green thread is an
 * ordinary one of this VM's domain, for which this thread waits. */
static int run_as_guest(run *r) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "main";
  opts.domain = r->v->turn->domain;
  opts.stack_size = MAIN_STACK;
  int e = gs_go_opts(&opts, run_guest, r, &r->main.handle);
  if (e != GS_OK) return e;
  atomic_store(&r->known, true);
  while (gs_join(r->main.handle, GS_FOREVER) == GS_EINTR) continue;
  gs_handle_release(r->main.handle);
  return GS_OK;
}

/* The run that was under way may end before the guest is let in: then it is tried again. */
static int run_it(run *r) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.domain = r->v->turn->domain;
  cfg.flags = GS_RUN_LOCK_MAIN | GS_RUN_DETECT_DEADLOCK | GS_RUN_ABANDON;
  for (;;) {
    int e = gs_run(&cfg, run_host, r, NULL);
    if (e != GS_EBUSY) return e;
    e = run_as_guest(r);
    if (e != GS_EPERM) return e;
    /* That run waits for the end of this guest. */
    if (r->v->guest && gs_guest_told(r->v->guest)) return GS_ECANCELED;
    sched_yield();
  }
}

/* The source of a guest runs inside gosched.run already; a script that has its own all the same
 * finds what it expects: what the function has started ends with it. */
static int run_inside(lua_State *L, vm *v) {
  lua_pushcfunction(L, gsl_traceback);
  lua_insert(L, 1);
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  if (gsl_end_all(L, v)) status = LUA_ERRRUN;
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

static void check_may_run(lua_State *L, const vm *v) {
  if (v->running) luaL_error(L, "gosched.run: it is running already");
  if (gs_self()) luaL_error(L, "gosched.run: a green thread runs on this thread already");
  if (gsl_in_finalizer(L, v)) luaL_error(L, "gosched.run: not in a __gc metamethod");
}

/* gosched.run(f, …): f's results, or its error. */
static int l_run(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (v->guest && v->running && v->main && gsl_self(v) == v->main) return run_inside(L, v);
  check_may_run(L, v);
  if (gsl_turn_domain(v->turn) != GS_OK) return luaL_error(L, "gosched.run: %s", gs_error_detail());
  run r = {.v = v, .L = L, .nargs = lua_gettop(L) - 1, .status = LUA_OK};
  r.main.L = r.main.at = L;
  r.main.vm = v;
  r.main.turn = v->turn;
  r.main.deadline = GS_FOREVER;
  luaL_checkstack(L, 20, "gosched.run");
  lua_pushcfunction(L, gsl_traceback);
  lua_insert(L, 1);
  v->running = true;
  gsl_shared_run(v, true);
  int e = run_it(&r);
  gsl_shared_run(v, false);
  v->running = false;
  if (e == GS_ECANCELED) return gsl_fail(L, e, "gosched.run");
  if (e != GS_OK) return luaL_error(L, "gosched.run: %s", gs_error_detail());
  if (r.status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* ---- the module ------------------------------------------------------------------------------ */

static int sentinel_name(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

/* A value that is equal to itself only, as the module's field `name`. */
static void add_sentinel(lua_State *L, int module, const void *key, const char *name) {
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushfstring(L, "gosched.%s", name);
  lua_pushcclosure(L, sentinel_name, 1);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
  lua_setfield(L, module, name);
}

static void push_vm(lua_State *L) {
  vm *v = lua_newuserdatauv(L, sizeof(*v), GSL_PARTS);
  *v = (vm){.turn = NULL};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, close_vm);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  v->ffi = gs_ffi_new();
  v->turn = gsl_turn_new();
  v->gate = gsl_gate_new(L, v);
  v->guest = gs_guest_here();
  if (!v->ffi || !v->turn || !v->gate) luaL_error(L, "gosched: not enough memory");
}

__attribute__((visibility("default"))) int luaopen_gosched(lua_State *L);

int luaopen_gosched(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", l_run}, {NULL, NULL}};
  luaL_checkversion(L);
  lua_settop(L, 0);
  /* Another one would take the places in the registry of what this one's values refer to. */
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) == LUA_TTABLE) return 1;
  lua_settop(L, 0);
  lua_newtable(L);
  push_vm(L);
  lua_pushvalue(L, 2);
  lua_insert(L, 1); /* the vm at 1 and on top for the functions, the module at 2 */
  luaL_setfuncs(L, functions, 1);
  gsl_open_turn(L, 2, 1);
  gsl_open_spare(L, 1);
  gsl_open_green(L, 2, 1);
  gsl_open_chan(L, 2, 1);
  gsl_open_shared(L, 2, 1);
  gsl_open_select(L, 2, 1);
  gsl_open_sync(L, 2, 1);
  gsl_open_group(L, 2, 1);
  gsl_open_inspect(L, 2, 1);
  gsl_open_io(L, 2, 1);
  gsl_open_embed(L, 2, 1);
  gsl_open_coroutine(L, 1);
  gsl_open_ffi(L, 1);
  lua_setfield(L, 2, "ffi");
  add_sentinel(L, 2, &gsl_cancelled, "cancelled");
  add_sentinel(L, 2, &gsl_timeout, "timeout");
  gsl_open_wait(L, 2, 1);
  lua_pushstring(L, gs_version());
  lua_setfield(L, 2, "_VERSION");
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
  return 1;
}
