/* module.c: the table `gosched`, and gosched.run.
 *
 * gosched.run calls its function on the lua_State that it was called on, as the main green thread,
 * on a stack of its own but on the same OS thread.  What the function returns or raises crosses
 * from that stack to the caller's as values on the Lua stack.
 */
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

#define GREEN_STACK ((size_t)1 << 20)

const char gsl_cancelled, gsl_timeout;

/* ---- domains --------------------------------------------------------------------------------- */

/* Domains live as long as the process, VMs do not: the domain of a closed VM serves the next. */
typedef struct spare {
  struct spare *next;
  gs_domain *domain;
} spare;

static pthread_mutex_t spares_mutex = PTHREAD_MUTEX_INITIALIZER;
static spare *spares; /* under spares_mutex */

static gs_domain *take_spare(void) {
  pthread_mutex_lock(&spares_mutex);
  spare *s = spares;
  if (s) spares = s->next;
  pthread_mutex_unlock(&spares_mutex);
  gs_domain *d = s ? s->domain : NULL;
  free(s);
  return d;
}

static void give_spare(gs_domain *d) {
  spare *s = malloc(sizeof(*s));
  if (!s) return; /* the domain is not used again: a little address space is lost */
  s->domain = d;
  pthread_mutex_lock(&spares_mutex);
  s->next = spares;
  spares = s;
  pthread_mutex_unlock(&spares_mutex);
}

static int close_vm(lua_State *L) {
  vm *v = lua_touserdata(L, 1);
  gs_ffi_free(v->ffi);
  v->ffi = NULL;
  if (v->domain) give_spare(v->domain);
  v->domain = NULL;
  return 0;
}

/* ---- errors ---------------------------------------------------------------------------------- */

int gsl_fail(lua_State *L, int code, const char *what) {
  if (code == GS_ECANCELED) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_cancelled);
    return lua_error(L);
  }
  if (code == GS_EPERM) return luaL_error(L, "%s: call it inside gosched.run", what);
  return luaL_error(L, "%s: %s", what, gs_strerror(code));
}

/* Whether this green thread is in a __gc metamethod.  While one runs Lua has stopped collection for
 * the whole VM, and (from 5.4.4 on) lua_gc answers nothing; it is this green thread's, unless the
 * one that runs it is away in a foreign call. */
static bool in_finalizer(lua_State *L, const vm *v) {
  return lua_gc(L, LUA_GCCOUNT) < 0 && (!v->finalizer || v->finalizer == gs_self());
}

bool gsl_away(lua_State *L, vm *v) {
  bool yes = in_finalizer(L, v);
  if (yes) v->finalizer = gs_self();
  return yes;
}

void gsl_check_may_wait(lua_State *L, vm *v, const char *what) {
  if (in_finalizer(L, v))
    luaL_error(L, "%s: a __gc metamethod cannot wait (no garbage would be collected meanwhile)",
               what);
}

/* ---- gosched.run ----------------------------------------------------------------------------- */

typedef struct run {
  lua_State *L;
  int nargs;
  int status; /* lua_pcall's */
} run;

/* The main green thread. */
static int run_main(void *arg) {
  run *r = arg;
  r->status = lua_pcall(r->L, r->nargs, LUA_MULTRET, 1);
  return 0;
}

static void check_may_run(lua_State *L, const vm *v) {
  if (v->running) luaL_error(L, "gosched.run: it is running already");
  if (gs_self()) luaL_error(L, "gosched.run: a green thread runs on this thread already");
  if (in_finalizer(L, v)) luaL_error(L, "gosched.run: not in a __gc metamethod");
}

static void need_domain(lua_State *L, vm *v) {
  if (!v->domain) v->domain = take_spare();
  if (v->domain) return;
  int e = gs_domain_new("lua", 1, GREEN_STACK, NULL, NULL, &v->domain);
  if (e != GS_OK) luaL_error(L, "gosched.run: %s", gs_error_detail());
}

/* gosched.run(f, …): f's results, or its error. */
static int l_run(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  check_may_run(L, v);
  need_domain(L, v);
  run r = {.L = L, .nargs = lua_gettop(L) - 1, .status = LUA_OK};
  lua_pushcfunction(L, gsl_traceback);
  lua_insert(L, 1);
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.domain = v->domain;
  cfg.flags = GS_RUN_LOCK_MAIN;
  v->running = true;
  int e = gs_run(&cfg, run_main, &r, NULL);
  v->running = false;
  if (e == GS_EBUSY) return luaL_error(L, "gosched.run: another gs_run is under way here");
  if (e != GS_OK) return luaL_error(L, "gosched.run: %s", gs_error_detail());
  if (r.status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* ---- gosched.stats --------------------------------------------------------------------------- */

#define METRIC(name) \
  { #name, offsetof(gs_metrics, name) }

static const struct metric {
  const char *name;
  size_t offset;
} metrics[] = {
    METRIC(gs_live),       METRIC(threads),           METRIC(threads_idle), METRIC(incgo),
    METRIC(procs),         METRIC(procs_idle),        METRIC(gs_created),   METRIC(threads_created),
    METRIC(threads_max),   METRIC(cgocalls),          METRIC(exits_fast),   METRIC(exits_idle_p),
    METRIC(exits_slow),    METRIC(retakes),           METRIC(retakes_user), METRIC(retakes_failed),
    METRIC(handoffs),      METRIC(handoffs_entry),    METRIC(steals),       METRIC(switches),
    METRIC(parks),         METRIC(sysmon_ticks),      METRIC(sysmon_pokes), METRIC(barriers),
    METRIC(stacks_mapped), METRIC(thread_limit_hits),
};

/* gosched.stats(): the fields of gs_metrics by name. */
static int l_stats(lua_State *L) {
  gs_metrics m = {.size = sizeof(m)};
  gs_read_metrics(&m);
  lua_createtable(L, 0, sizeof(metrics) / sizeof(metrics[0]));
  for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
    uint64_t value;
    memcpy(&value, (const char *)&m + metrics[i].offset, sizeof(value));
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, metrics[i].name);
  }
  return 1;
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
  vm *v = lua_newuserdatauv(L, sizeof(*v), 0);
  *v = (vm){.domain = NULL};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, close_vm);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  v->ffi = gs_ffi_new();
  if (!v->ffi) luaL_error(L, "gosched: out of memory");
}

__attribute__((visibility("default"))) int luaopen_gosched(lua_State *L);

int luaopen_gosched(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", l_run}, {"stats", l_stats}, {NULL, NULL}};
  luaL_checkversion(L);
  lua_settop(L, 0);
  lua_newtable(L);
  push_vm(L);
  lua_pushvalue(L, 2);
  lua_insert(L, 1); /* the vm at 1 and on top for the functions, the module at 2 */
  luaL_setfuncs(L, functions, 1);
  gsl_open_convert(L);
  gsl_open_green(L, 2, 1);
  gsl_open_ffi(L, 1);
  lua_setfield(L, 2, "ffi");
  add_sentinel(L, 2, &gsl_cancelled, "cancelled");
  add_sentinel(L, 2, &gsl_timeout, "timeout");
  lua_pushstring(L, gs_version());
  lua_setfield(L, 2, "_VERSION");
  lua_settop(L, 2);
  return 1;
}
