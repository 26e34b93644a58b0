/* library.c: ffi.load and ffi.C.
 *
 * A library is a userdata whose fields are what is declared: functions, constants, variables.  What
 * stays the same once it is known, functions and constants, is kept in the table that is the
 * metatable's __index, where Lua finds it without a call; variables are read each time.
 */
#include <dlfcn.h>
#include <string.h>

#include "cdata.h"

#define LIBRARY "gosched.library"

typedef struct library {
  gs_lib *lib;
} library;

/* ---- fields ---------------------------------------------------------------------------------- */

static const gs_decl *declared(lua_State *L, vm *v, const char *name) {
  const gs_decl *d = gs_ffi_find(v->ffi, name);
  if (!d) luaL_error(L, "'%s' is not declared: give its C declaration to ffi.cdef first", name);
  if (gs_decl_what(d) == GS_DECL_TYPEDEF) luaL_error(L, "'%s' is declared as a type", name);
  return d;
}

/* The dynamic linker runs as foreign code, while others have the turn. */
static void *symbol(lua_State *L, vm *v, const library *lib, const char *name) {
  gs_ffi_error err;
  void *address = NULL;
  bool finalizing = gsl_away(L, v);
  int e = gs_lib_symbol(lib->lib, name, &address, &err);
  gsl_back(v, finalizing);
  if (e != GS_OK) luaL_error(L, "%s", err.text);
  return address;
}

/* Pushes the closure for a function. */
static void push_named(lua_State *L, vm *v, const library *lib, const gs_decl *d) {
  const char *name = gs_decl_name(d);
  void *code = symbol(L, v, lib, name);
  gs_ffi_error err;
  gs_func *func = NULL;
  bool finalizing = gsl_away(L, v);
  int e = gs_ffi_func(lib->lib, name, &func, &err);
  gsl_back(v, finalizing);
  if (e != GS_OK) luaL_error(L, "%s", err.text);
  gsl_new_function(L, v, func, code, gs_type_canon(gs_decl_type(d)));
  gsl_push_function(L);
}

/* Keeps the value on top of the stack as the field at index 2. */
static void keep(lua_State *L) {
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
}

static library *self(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(2)); }

/* The table's own __index: 1 is the table of what is known, the library an upvalue. */
static int library_index(lua_State *L) {
  vm *v = gsl_vm(L);
  const char *name = luaL_checkstring(L, 2);
  const gs_decl *d = declared(L, v, name);
  switch (gs_decl_what(d)) {
    case GS_DECL_CONSTANT:
      lua_pushinteger(L, (lua_Integer)gs_decl_value(d));
      keep(L);
      return 1;
    case GS_DECL_FUNCTION:
      push_named(L, v, self(L), d);
      keep(L);
      return 1;
    default: break;
  }
  ctype *t = gsl_ctype_of(L, v, gs_decl_type(d));
  return gsl_to_lua(L, v, t, symbol(L, v, self(L), name), gs_type_size(t->type), 0);
}

/* lib.name = value, of a variable */
static int library_newindex(lua_State *L) {
  vm *v = gsl_vm(L);
  const char *name = luaL_checkstring(L, 2);
  const gs_decl *d = declared(L, v, name);
  ctype *t = gsl_ctype_of(L, v, gs_decl_type(d));
  if (gs_decl_what(d) != GS_DECL_VARIABLE || t->is_const)
    return luaL_error(L, "'%s' cannot be assigned: '%s' is not a variable", name, gsl_name(t));
  cplace at = {name, 0, 0};
  gsl_to_c(L, v, 3, t, symbol(L, v, self(L), name), gs_type_size(t->type), 0, &at);
  return 0;
}

static int library_name(lua_State *L) {
  lua_pushfstring(L, "library %s", gs_lib_name(self(L)->lib));
  return 1;
}

/* ---- libraries ------------------------------------------------------------------------------- */

/* Pushes a closure over the VM and the library at the absolute index. */
static void set_method(lua_State *L, vm *v, int lib, const char *name, lua_CFunction f) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, v);
  lua_pushvalue(L, lib);
  lua_pushcclosure(L, f, 2);
  lua_setfield(L, -2, name);
}

static void push_wrapped(lua_State *L, vm *v, gs_lib *opened) {
  library *lib = lua_newuserdatauv(L, sizeof(*lib), 0);
  int at = lua_gettop(L);
  lib->lib = opened;
  lua_createtable(L, 0, 5);
  lua_newtable(L); /* what is known */
  lua_createtable(L, 0, 1);
  set_method(L, v, at, "__index", library_index);
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "__index");
  set_method(L, v, at, "__newindex", library_newindex);
  set_method(L, v, at, "__tostring", library_name);
  lua_pushstring(L, LIBRARY);
  lua_setfield(L, -2, "__name");
  lua_pushstring(L, "ffi");
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
}

static int try_load(lua_State *L, vm *v, const char *name, gs_lib **lib, gs_ffi_error *err) {
  bool finalizing = gsl_away(L, v);
  int e = gs_ffi_load(v->ffi, name, lib, err);
  gsl_back(v, finalizing);
  return e;
}

void gsl_push_library(lua_State *L, vm *v, const char *name) {
  gs_ffi_error err;
  gs_lib *lib = NULL;
  if (try_load(L, v, name, &lib, &err) != GS_OK) luaL_error(L, "%s", err.text);
  push_wrapped(L, v, lib);
}

/* "z" is libz.so, as LuaJIT has it.  Pushes the name. */
static const char *full_name(lua_State *L, const char *name) {
  if (strchr(name, '/') || !*name) return lua_pushstring(L, name);
  return lua_pushfstring(L, "%s%s%s", strncmp(name, "lib", 3) == 0 ? "" : "lib", name,
                         strchr(name, '.') ? "" : ".so");
}

/* Sets the hint for the functions named in the list hints[name]. */
static void set_hints(lua_State *L, vm *v, gs_lib *lib, int table, const char *hint, unsigned bit) {
  int type = lua_getfield(L, table, hint);
  if (type != LUA_TNIL && type != LUA_TTABLE)
    luaL_error(L, "ffi.load: %s: a list of names expected, got %s", hint, luaL_typename(L, -1));
  for (lua_Integer i = 1; type == LUA_TTABLE && lua_geti(L, -1, i) != LUA_TNIL; i++) {
    gs_ffi_error err;
    gs_func *func = NULL;
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "ffi.load: %s: a list of names expected, got %s in it", hint,
                 luaL_typename(L, -1));
    bool finalizing = gsl_away(L, v);
    int e = gs_ffi_func(lib, lua_tostring(L, -1), &func, &err);
    gsl_back(v, finalizing);
    if (e != GS_OK) luaL_error(L, "%s", err.text);
    unsigned old = gs_func_hints(func) | bit;
    if (old & GS_SITE_CRITICAL && old & GS_SITE_BLOCKING)
      luaL_error(L, "ffi.load: '%s' cannot be both critical and blocking", lua_tostring(L, -1));
    gs_func_set_hints(func, old);
    lua_pop(L, 1);
  }
  lua_settop(L, table);
}

/* ffi.load(name, global?) or ffi.load(name, {global, blocking = {…}, critical = …, nocallback = …})
 */
int gsl_l_load(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t n;
  const char *given = luaL_checklstring(L, 1, &n);
  luaL_argcheck(L, strlen(given) == n, 1, "the name contains a NUL byte");
  bool options = lua_istable(L, 2), global = !options && lua_toboolean(L, 2);
  lua_settop(L, 2);
  if (options) {
    lua_getfield(L, 2, "global");
    global = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  const char *name = full_name(L, given);
  gs_ffi_error err;
  gs_lib *lib = NULL;
  if (try_load(L, v, name, &lib, &err) != GS_OK && try_load(L, v, given, &lib, NULL) != GS_OK)
    return luaL_error(L, "%s", err.text);
  if (global) { /* it is loaded: only what its symbols are seen by changes */
    void *again = dlopen(gs_lib_name(lib), RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
    if (!again) return luaL_error(L, "ffi.load: '%s' cannot be made global: %s", name, dlerror());
  }
  lua_replace(L, 1);
  lua_settop(L, 2);
  if (options) {
    set_hints(L, v, lib, 2, "blocking", GS_SITE_BLOCKING);
    set_hints(L, v, lib, 2, "critical", GS_SITE_CRITICAL);
    set_hints(L, v, lib, 2, "nocallback", GS_SITE_NOCALLBACK);
  }
  push_wrapped(L, v, lib);
  return 1;
}

void gsl_open_library(lua_State *L, int vm_index) {
  (void)vm_index;
  gsl_push_library(L, lua_touserdata(L, vm_index), NULL);
}
