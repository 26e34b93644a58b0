/* green.c: green threads of Lua.
 *
 * The value that gosched.go returns is a userdata whose uservalue is the green thread's lua_State;
 * while it runs, the registry holds the userdata.  The lua_State's stack is: the message handler,
 * then the function and its arguments; when it has ended, the results or the error in their place,
 * from where every joiner copies them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

#define GREEN "gosched.green"

typedef enum outcome { RUNS, RETURNED, RAISED, CANCELLED } outcome;

typedef struct green {
  lua_State *L;      /* its own; held by the uservalue */
  gs_handle *handle; /* NULL only if it never started */
  outcome outcome;
  bool joined;     /* somebody got its error */
  int saved_errno; /* of its last foreign call */
} green;

int *gsl_errno(vm *v) {
  void **slot = gs_gdata();
  green *g = slot ? *slot : NULL;
  return g ? &g->saved_errno : &v->saved_errno;
}

int gsl_traceback(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

/* ---- going ----------------------------------------------------------------------------------- */

static bool is_cancelled_value(lua_State *L, int index) {
  if (!lua_checkstack(L, 1)) return false;
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_cancelled);
  bool same = lua_rawequal(L, index, -1);
  lua_pop(L, 1);
  return same;
}

/* The whole life of a green thread.  Outside lua_pcall nothing here can raise an error: a field of
 * the registry is cleared, which allocates nothing. */
static void live(void *arg) {
  green *g = arg;
  lua_State *L = g->L;
  void **slot = gs_gdata();
  *slot = g;
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  g->outcome = status == LUA_OK ? RETURNED : is_cancelled_value(L, -1) ? CANCELLED : RAISED;
  *slot = NULL;
  if (lua_checkstack(L, 1)) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, g);
  }
}

/* "file.lua:12", for traces and dumps. */
static void name_of(lua_State *L, int function, char *name, size_t size) {
  lua_Debug ar;
  lua_pushvalue(L, function);
  lua_getinfo(L, ">S", &ar);
  const char *base = strrchr(ar.short_src, '/');
  snprintf(name, size, "%.24s:%d", base ? base + 1 : ar.short_src, ar.linedefined);
}

/* Pushes a new green value whose lua_State has the function and arguments 1..nargs+1. */
static green *prepare(lua_State *L, int nargs) {
  green *g = lua_newuserdatauv(L, sizeof(*g), 1);
  *g = (green){.outcome = RUNS};
  luaL_setmetatable(L, GREEN);
  g->L = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  if (!lua_checkstack(g->L, nargs + 2)) luaL_error(L, "gosched.go: too many arguments");
  luaL_checkstack(L, nargs + 1, "gosched.go");
  lua_pushcfunction(g->L, gsl_traceback);
  for (int i = 1; i <= nargs + 1; i++) lua_pushvalue(L, i);
  lua_xmove(L, g->L, nargs + 1);
  return g;
}

/* gosched.go(f, …): starts f(…) as a green thread. */
static int l_go(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (!v->running || !gs_self()) return gsl_fail(L, GS_EPERM, "gosched.go");
  char name[32];
  name_of(L, 1, name, sizeof(name));
  green *g = prepare(L, lua_gettop(L) - 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, g);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = name;
  opts.domain = v->domain;
  int e = gs_go_opts(&opts, live, g, &g->handle);
  if (e == GS_OK) return 1;
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, g);
  g->outcome = CANCELLED;
  return luaL_error(L, "gosched.go: %s", gs_error_detail());
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Seconds at index as nanoseconds; raises an error that names the argument. */
static int64_t check_seconds(lua_State *L, int index) {
  lua_Number s = luaL_checknumber(L, index);
  luaL_argcheck(L, !isnan(s) && s >= 0, index, "seconds expected, 0 or more");
  return s >= 9e9 ? INT64_MAX / 2 : (int64_t)(s * 1e9);
}

/* gosched.sleep(seconds) */
static int l_sleep(lua_State *L) {
  int64_t ns = check_seconds(L, 1);
  gsl_check_may_wait(L, gsl_vm(L), "gosched.sleep");
  int e = gs_sleep(ns);
  if (e == GS_OK && ns == 0 && !gs_self()) e = GS_EPERM;
  return e == GS_OK ? 0 : gsl_fail(L, e, "gosched.sleep");
}

/* gosched.yield() */
static int l_yield(lua_State *L) {
  gsl_check_may_wait(L, gsl_vm(L), "gosched.yield");
  if (!gs_self()) return gsl_fail(L, GS_EPERM, "gosched.yield");
  gs_yield();
  return gs_cancelled() ? gsl_fail(L, GS_ECANCELED, "gosched.yield") : 0;
}

/* Pushes copies of what stands on the green thread's stack from index `from`. */
static int copy_out(lua_State *L, green *g, int from) {
  int n = lua_gettop(g->L) - from + 1;
  luaL_checkstack(L, n, "too many results");
  if (!lua_checkstack(g->L, n)) luaL_error(L, "g:join: out of memory");
  for (int i = 0; i < n; i++) lua_pushvalue(g->L, from + i);
  lua_xmove(g->L, L, n);
  return n;
}

static int outcome_of(lua_State *L, green *g) {
  switch (g->outcome) {
    case RETURNED: return copy_out(L, g, 2);
    case RAISED:
      g->joined = true;
      copy_out(L, g, lua_gettop(g->L));
      return lua_error(L);
    default: return gsl_fail(L, GS_ECANCELED, "g:join");
  }
}

/* g:join(timeout?): the function's results, or its error, or gosched.timeout. */
static int l_join(lua_State *L) {
  green *g = luaL_checkudata(L, 1, GREEN);
  int64_t deadline = GS_FOREVER;
  if (!lua_isnoneornil(L, 2)) deadline = gs_now() + check_seconds(L, 2);
  if (g->outcome != RUNS) return outcome_of(L, g);
  gsl_check_may_wait(L, gsl_vm(L), "g:join");
  if (gs_handle_id(g->handle) == gs_self())
    return luaL_error(L, "g:join: a green thread cannot join itself");
  int e = gs_join(g->handle, deadline);
  if (e == GS_ETIMEOUT) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
    return 1;
  }
  return e == GS_OK ? outcome_of(L, g) : gsl_fail(L, e, "g:join");
}

/* g:cancel(): what it waits in raises gosched.cancelled. */
static int l_cancel(lua_State *L) {
  green *g = luaL_checkudata(L, 1, GREEN);
  if (g->outcome == RUNS) gs_cancel(g->handle);
  return 0;
}

/* g:state(): "running" (or waiting), "returned", "failed", "cancelled" */
static int l_state(lua_State *L) {
  static const char *const names[] = {"running", "returned", "failed", "cancelled"};
  green *g = luaL_checkudata(L, 1, GREEN);
  lua_pushstring(L, names[g->outcome]);
  return 1;
}

/* ---- the value ------------------------------------------------------------------------------- */

/* g.id, and the methods in the upvalue. */
static int l_index(lua_State *L) {
  green *g = luaL_checkudata(L, 1, GREEN);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "id") == 0) {
    lua_pushinteger(L, (lua_Integer)gs_handle_id(g->handle));
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

static int l_tostring(lua_State *L) {
  green *g = luaL_checkudata(L, 1, GREEN);
  lua_pushfstring(L, "green thread %I", (LUAI_UACINT)gs_handle_id(g->handle));
  return 1;
}

/* An error that nobody got is told when nobody can get it any more. */
static int l_gc(lua_State *L) {
  green *g = luaL_checkudata(L, 1, GREEN);
  if (g->outcome == RAISED && !g->joined) {
    const char *text = lua_tostring(g->L, -1);
    fprintf(stderr, "gosched: green thread %llu ended with an error that nobody joined: %s\n",
            (unsigned long long)gs_handle_id(g->handle), text ? text : luaL_typename(g->L, -1));
  }
  if (g->handle) gs_handle_release(g->handle);
  g->handle = NULL;
  return 0;
}

void gsl_open_green(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {
      {"go", l_go}, {"sleep", l_sleep}, {"yield", l_yield}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"join", l_join}, {"cancel", l_cancel}, {"state", l_state}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_tostring}, {"__gc", l_gc}, {NULL, NULL}};
  luaL_newmetatable(L, GREEN);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, meta, 1);
  lua_pushvalue(L, vm_index);
  luaL_newlibtable(L, methods);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, methods, 1);
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushvalue(L, module);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, functions, 1);
  lua_pop(L, 1);
}
