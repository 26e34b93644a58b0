/* coroutine.c: coroutine.resume and coroutine.wrap that note which coroutine a green thread runs,
 * and coroutine.running that notes who knows that.
 *
 * A hook that is to make a green thread give up its turn must be set on the lua_State that runs
 * (turn.c), and Lua does not tell which of a chain of coroutines that is.  So these two, which do
 * what those of lcorolib.c do, note it.  They take their places when the module is loaded.
 * debug.sethook is called as it is, but out of the handler's reach.
 */
#include <lualib.h>

#include "green.h"

/* Values of co on L: what it yielded or returned; -1: an error message. */
static int resume(lua_State *L, lua_State *co, int nargs) {
  int nres;
  if (!lua_checkstack(co, nargs)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, nargs);
  green *g = atomic_load_explicit(&gsl_vm(L)->turn->inside, memory_order_relaxed);
  lua_State *was = NULL;
  if (g) {
    was = g->at;
    g->at = co;
  }
  int status = lua_resume(co, L, nargs, &nres);
  if (g) g->at = was;
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, nres + 1)) {
    lua_pop(co, nres);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nres);
  return nres;
}

static int l_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "coroutine");
  int r = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, r >= 0);
  lua_insert(L, r < 0 ? -2 : -(r + 1));
  return r < 0 ? 2 : r + 1;
}

static int l_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(2));
  int r = resume(L, co, lua_gettop(L));
  if (r >= 0) return r;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) { /* it has ended with an error */
    status = lua_resetthread(co);                /* which closes its variables */
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int l_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, l_wrapped, 2);
  return 1;
}

/* Who knows a green thread's lua_State may go on to do so when the green thread has ended. */
static int l_running(lua_State *L) {
  green *g = atomic_load_explicit(&gsl_vm(L)->turn->inside, memory_order_relaxed);
  if (g && g->L == L) g->shown = true;
  lua_pushboolean(L, lua_pushthread(L));
  return 2;
}

/* debug.sethook, with the original in the second upvalue. */
static int l_sethook(lua_State *L) {
  turn *t = gsl_vm(L)->turn;
  int n = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  green *g = gsl_turn_leave(t);
  int status = lua_pcall(L, n, 0, 0);
  if (g) gsl_turn_enter(t, g);
  return status == LUA_OK ? 0 : lua_error(L);
}

/* os.exit, with the original in the second upvalue: lua_close must not be called on a green
 * thread's stack, where it would run what others' stacks have to close. */
static int l_exit(lua_State *L) {
  int n = gsl_self(gsl_vm(L)) && lua_gettop(L) > 1 ? 1 : lua_gettop(L);
  lua_settop(L, n);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, n, 0);
  return 0;
}

static void replace(lua_State *L, int vm_index, const char *name, lua_CFunction f) {
  lua_pushvalue(L, vm_index);
  lua_pushcclosure(L, f, 1);
  lua_setfield(L, -2, name);
}

void gsl_open_coroutine(lua_State *L, int vm_index) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_COLIBNAME) == LUA_TTABLE) {
    replace(L, vm_index, "resume", l_resume);
    replace(L, vm_index, "wrap", l_wrap);
    replace(L, vm_index, "running", l_running);
  }
  lua_pop(L, 1);
  if (lua_getfield(L, -1, LUA_DBLIBNAME) == LUA_TTABLE) {
    lua_pushvalue(L, vm_index);
    if (lua_getfield(L, -2, "sethook") == LUA_TFUNCTION) {
      lua_pushcclosure(L, l_sethook, 2);
      lua_setfield(L, -2, "sethook");
    } else {
      lua_pop(L, 2);
    }
  }
  lua_pop(L, 1);
  if (lua_getfield(L, -1, LUA_OSLIBNAME) == LUA_TTABLE) {
    lua_pushvalue(L, vm_index);
    lua_getfield(L, -2, "exit");
    lua_pushcclosure(L, l_exit, 2);
    lua_setfield(L, -2, "exit");
  }
  lua_pop(L, 2);
}
