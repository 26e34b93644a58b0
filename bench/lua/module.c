/* module.c: a C module for Lua that calls what the rows lua.call.* and lua.offload call, as their
 * floor and for luv's workers, and tells the time.
 */
#include <lauxlib.h>
#include <lua.h>
#include <time.h>

#include "../c/targets.h"

static int l_add(lua_State *L) {
  lua_pushinteger(L, gsbench_add((int)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)));
  return 1;
}

static int l_spin(lua_State *L) {
  lua_pushinteger(L, gsbench_spin((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* Nanoseconds that have passed, for rows whose work is done on several threads. */
static int l_now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushinteger(L, (lua_Integer)t.tv_sec * 1000000000 + t.tv_nsec);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_gsbench_lua(lua_State *L);

int luaopen_gsbench_lua(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"add", l_add}, {"spin", l_spin}, {"now", l_now}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
