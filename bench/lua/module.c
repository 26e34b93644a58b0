/* module.c: a C module for Lua that calls what the rows lua.call.* call: their floor. */
#include <lauxlib.h>
#include <lua.h>

#include "../c/targets.h"

static int l_add(lua_State *L) {
  lua_pushinteger(L, gsbench_add((int)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)));
  return 1;
}

__attribute__((visibility("default"))) int luaopen_gsbench_lua(lua_State *L);

int luaopen_gsbench_lua(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_add);
  lua_setfield(L, -2, "add");
  return 1;
}
