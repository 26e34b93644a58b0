/* metatype.c: ffi.metatype and ffi.gc.
 *
 * A struct's metatable is kept in the registry and asked by name at each operation: it must not be
 * replaced, but what stands in it counts as it is then.
 *
 * C data with a finalizer has another metatable than the rest, which has __gc: so that the rest
 * costs the collector nothing.  The finalizers are in a table with weak keys, where Lua keeps an
 * entry until the finalizer has run.
 */
#include <string.h>

#include "cdata.h"

static const char finalizers_key; /* registry: cdata -> finalizer, weak keys */

/* ---- ffi.metatype ---------------------------------------------------------------------------- */

bool gsl_type_metafield(lua_State *L, ctype *base, const char *name) {
  if (!base->has_meta) return false;
  luaL_checkstack(L, 4, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &base->has_meta);
  lua_pushstring(L, name);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pop(L, 2);
    return false;
  }
  lua_remove(L, -2);
  return true;
}

bool gsl_metafield(lua_State *L, vm *v, const cdata *c, const char *name) {
  ctype *t = c->type;
  if (t->op == OP_POINTER) t = gsl_target(L, v, t);
  return gsl_type_metafield(L, t->base, name);
}

int gsl_call_meta(lua_State *L) {
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

int gsl_l_metatype(lua_State *L) {
  vm *v = gsl_vm(L);
  ctype *t = gsl_check_ctype(L, v, 1, 0);
  luaL_checktype(L, 2, LUA_TTABLE);
  if (t->op != OP_STRUCT && t->op != OP_COMPLEX)
    return luaL_error(L, "ffi.metatype: a struct or union expected, got '%s'", gsl_name(t));
  if (t->base->has_meta)
    return luaL_error(L, "ffi.metatype: '%s' has a metatable already, which cannot be changed",
                      gsl_name(t));
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &t->base->has_meta);
  t->base->has_meta = true;
  gsl_push_ctype(L, t);
  return 1;
}

/* ---- ffi.gc ---------------------------------------------------------------------------------- */

bool gsl_has_finalizer(lua_State *L, vm *v, int index) {
  if (!lua_getmetatable(L, index)) return false;
  bool yes = lua_topointer(L, -1) == v->cdata_gc_meta;
  lua_pop(L, 1);
  return yes;
}

void gsl_set_finalizer(lua_State *L, vm *v, int index, int finalizer) {
  luaL_checkstack(L, 4, NULL);
  index = lua_absindex(L, index);
  finalizer = lua_absindex(L, finalizer);
  bool some = !lua_isnil(L, finalizer);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &finalizers_key);
  lua_pushvalue(L, index);
  lua_pushvalue(L, finalizer);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, some ? v->cdata_gc_meta : v->cdata_meta);
  lua_setmetatable(L, index);
}

int gsl_l_gc(lua_State *L) {
  vm *v = gsl_vm(L);
  gsl_check_cdata(L, v, 1);
  luaL_checkany(L, 2);
  bool callable =
      lua_isnil(L, 2) || lua_isfunction(L, 2) || luaL_getmetafield(L, 2, "__call") != LUA_TNIL;
  luaL_argexpected(L, callable, 2, "function or nil");
  lua_settop(L, 2);
  gsl_set_finalizer(L, v, 1, 2);
  lua_settop(L, 1);
  return 1;
}

int gsl_finalize(lua_State *L) {
  vm *v = gsl_vm(L);
  if (!gsl_test_cdata(L, v, 1)) return 0;
  lua_settop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &finalizers_key);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 2) == LUA_TNIL) return 0;
  lua_pushnil(L);
  gsl_set_finalizer(L, v, 1, -1);
  lua_pop(L, 1);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 0);
  return 0;
}

/* The metatable with __gc is on top of the stack. */
void gsl_open_metatype(lua_State *L, int vm_index) {
  lua_pushvalue(L, vm_index);
  lua_pushcclosure(L, gsl_finalize, 1);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &finalizers_key);
}
