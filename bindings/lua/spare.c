/* spare.c: the lua_States of green threads that have ended are used again.
 *
 * Most of what starting a green thread costs is the making and collecting of its lua_State.  One
 * that has returned no results, or one, leaves nothing on its own that anybody could want: the next
 * green thread can have it, unless somebody may know it, to whom it would be the same coroutine.
 * Lua code knows it by coroutine.running, which says so (coroutine.c).  C functions may know it by
 * lua_pushthread, and must not keep it: that they could do with a coroutine that has ended has no
 * use.
 *
 * A new lua_State has the hook and the extra space of its maker and of the main one; so has a spare
 * one.  One that ends with a hook of its own is not kept, since the debug library has more about it.
 */
#include <string.h>

#include "green.h"

#define KEPT 128

static const char spares_key; /* registry: the table of those, with room for KEPT */

lua_State *gsl_take_state(lua_State *L, vm *v) {
  if (v->spares == 0) return lua_newthread(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &spares_key);
  lua_rawgeti(L, -1, v->spares);
  lua_State *T = lua_tothread(L, -1);
  lua_pushboolean(L, false);
  lua_rawseti(L, -3, v->spares--);
  lua_remove(L, -2);
  lua_Hook fn = lua_gethook(L);
  if (fn) lua_sethook(T, fn, lua_gethookmask(L), lua_gethookcount(L));
  return T;
}

void gsl_give_state(lua_State *T, vm *v, green *g) {
  if (g->outcome != RETURNED || g->nresults > 1 || g->shown || v->spares == KEPT) return;
  if (lua_gethook(T) || !lua_checkstack(T, 3)) return;
  if (g->nresults == 0) lua_pushnil(T);
  gsl_push_green(T, g);
  lua_insert(T, -2);
  lua_setiuservalue(T, -2, 1); /* its result, in the place of the lua_State */
  lua_rawgetp(T, LUA_REGISTRYINDEX, &spares_key);
  lua_pushthread(T);
  lua_rawseti(T, -2, ++v->spares); /* there is room */
  lua_settop(T, 0);
  memcpy(lua_getextraspace(T), v->extra, LUA_EXTRASPACE);
  g->L = g->at = NULL;
}

void gsl_open_spare(lua_State *L, vm *v) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  v->extra = lua_getextraspace(lua_tothread(L, -1));
  lua_pop(L, 1);
  lua_createtable(L, KEPT, 0);
  for (int i = 1; i <= KEPT; i++) {
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, i);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &spares_key);
}
