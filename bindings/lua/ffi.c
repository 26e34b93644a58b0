/* ffi.c: gosched.ffi, under the names that LuaJIT's FFI has.
 *
 * A library is a userdata whose fields are what is declared: functions, enumerators, variables of
 * scalar types.  A function is a C closure; calling it converts the arguments, makes a foreign call
 * (other green threads of the VM run meanwhile), and converts the result.
 *
 * A __gc metamethod may call C too: others run meanwhile, and nothing is collected until it ends.
 */
#include <string.h>

#include "binding.h"

#define LIBRARY "gosched.library"
#define FEW 16 /* arguments that need no allocation */

typedef struct library {
  gs_lib *lib;
} library; /* its uservalue is the table of functions made so far */

static int raise(lua_State *L, const gs_ffi_error *err) { return luaL_error(L, "%s", err->text); }

/* ---- calling --------------------------------------------------------------------------------- */

/* "argument 2 of usleep"; on the stack, to be popped. */
static const char *argument_name(lua_State *L, const gs_func *f, size_t i) {
  return lua_pushfstring(L, "argument %d of %s", (int)i + 1, gs_func_name(f));
}

/* The function for these arguments of a variadic one. */
static gs_func *shape_of(lua_State *L, vm *v, gs_func *f, size_t given) {
  const gs_type *extra[FEW];
  size_t fixed = gs_func_nargs(f), n = given - fixed;
  if (n > FEW) luaL_error(L, "%s: at most %d arguments for '...'", gs_func_name(f), FEW);
  for (size_t i = 0; i < n; i++) {
    extra[i] = gsl_variadic_type(L, v, (int)(fixed + i) + 1, argument_name(L, f, fixed + i));
    lua_pop(L, 1);
  }
  gs_ffi_error err;
  if (gs_func_variadic_shape(f, extra, n, &f, &err) != GS_OK) raise(L, &err);
  return f;
}

static void check_count(lua_State *L, const gs_func *f, size_t given) {
  size_t wanted = gs_func_nargs(f);
  if (given == wanted || (given > wanted && gs_func_variadic(f))) return;
  luaL_error(L, "%s: %s%d argument%s expected, got %d", gs_func_name(f),
             gs_func_variadic(f) ? "at least " : "", (int)wanted, wanted == 1 ? "" : "s",
             (int)given);
}

static int l_call(lua_State *L) {
  vm *v = gsl_vm(L);
  gs_func *f = lua_touserdata(L, lua_upvalueindex(2));
  size_t n = (size_t)lua_gettop(L), fixed = gs_func_nargs(f);
  gsl_slot few[FEW], result, *slots = few;
  void *few_args[FEW], **args = few_args;
  check_count(L, f, n);
  if (n > fixed) f = shape_of(L, v, f, n);
  if (n > FEW) {
    slots = lua_newuserdatauv(L, n * (sizeof(*slots) + sizeof(*args)), 0);
    args = (void **)(slots + n);
  }
  for (size_t i = 0; i < n; i++) {
    const char *what = argument_name(L, f, i);
    if (i >= fixed && lua_isboolean(L, (int)i + 1)) /* promoted, as C does it */
      *(int *)&slots[i] = lua_toboolean(L, (int)i + 1);
    else
      gsl_to_c(L, (int)i + 1, gs_func_arg(f, i), &slots[i], what);
    lua_pop(L, 1);
    args[i] = &slots[i];
  }
  int saved_errno = 0;
  bool finalizing = gsl_away(L, v);
  int e = gs_ffi_call(f, &result, args, &saved_errno);
  gsl_back(v, finalizing);
  if (e != GS_OK) return gsl_fail(L, e, gs_func_name(f));
  *gsl_errno(v) = saved_errno;
  return gsl_to_lua(L, gs_func_ret(f), &result);
}

/* ---- libraries ------------------------------------------------------------------------------- */

static void check_convertible(lua_State *L, const gs_func *f) {
  const char *why = gsl_unsupported(gs_func_ret(f));
  if (why)
    luaL_error(L, "the result of %s: '%s' %s", gs_func_name(f), gs_type_name(gs_func_ret(f)), why);
  for (size_t i = 0; i < gs_func_nargs(f); i++)
    if ((why = gsl_unsupported(gs_func_arg(f, i))))
      luaL_error(L, "argument %d of %s: '%s' %s", (int)i + 1, gs_func_name(f),
                 gs_type_name(gs_func_arg(f, i)), why);
}

/* Pushes the closure for a function, and keeps it as the library's field. */
static int push_function(lua_State *L, library *lib, const char *name) {
  gs_ffi_error err;
  gs_func *func = NULL;
  vm *v = gsl_vm(L);
  bool finalizing = gsl_away(L, v);
  int e = gs_ffi_func(lib->lib, name, &func, &err);
  gsl_back(v, finalizing);
  if (e != GS_OK) return raise(L, &err);
  check_convertible(L, func);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushlightuserdata(L, func);
  lua_pushcclosure(L, l_call, 2);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
  return 1;
}

/* The address of a variable, whose declaration is d. */
static void *variable(lua_State *L, library *lib, const gs_decl *d) {
  gs_ffi_error err;
  void *address = NULL;
  vm *v = gsl_vm(L);
  bool finalizing = gsl_away(L, v);
  int e = gs_lib_symbol(lib->lib, gs_decl_name(d), &address, &err);
  gsl_back(v, finalizing);
  if (e != GS_OK) raise(L, &err);
  return address;
}

static const gs_decl *declared(lua_State *L, const char *name) {
  const gs_decl *d = gs_ffi_find(gsl_vm(L)->ffi, name);
  if (!d) luaL_error(L, "'%s' is not declared: give its C declaration to ffi.cdef first", name);
  if (gs_decl_what(d) == GS_DECL_TYPEDEF) luaL_error(L, "'%s' is declared as a type", name);
  return d;
}

/* lib.name */
static int library_index(lua_State *L) {
  library *lib = luaL_checkudata(L, 1, LIBRARY);
  const char *name = luaL_checkstring(L, 2);
  lua_getiuservalue(L, 1, 1);
  if (lua_getfield(L, -1, name) != LUA_TNIL) return 1;
  lua_pop(L, 2);
  const gs_decl *d = declared(L, name);
  switch (gs_decl_what(d)) {
    case GS_DECL_CONSTANT: lua_pushinteger(L, (lua_Integer)gs_decl_value(d)); return 1;
    case GS_DECL_VARIABLE: return gsl_to_lua(L, gs_decl_type(d), variable(L, lib, d));
    default: return push_function(L, lib, name);
  }
}

/* lib.name = value, of a variable */
static int library_newindex(lua_State *L) {
  library *lib = luaL_checkudata(L, 1, LIBRARY);
  const char *name = luaL_checkstring(L, 2);
  const gs_decl *d = declared(L, name);
  if (gs_decl_what(d) != GS_DECL_VARIABLE || gs_type_flags(gs_decl_type(d)) & GS_TYPE_CONST)
    return luaL_error(L, "'%s' cannot be assigned: '%s' is not a variable", name,
                      gs_type_name(gs_decl_type(d)));
  if (lua_type(L, 3) == LUA_TSTRING) /* C would keep its address, which Lua does not keep alive */
    return luaL_error(L, "'%s': a string cannot be stored in C memory", name);
  gsl_to_c(L, 3, gs_decl_type(d), variable(L, lib, d), name);
  return 0;
}

static int library_name(lua_State *L) {
  library *lib = luaL_checkudata(L, 1, LIBRARY);
  lua_pushfstring(L, "library %s", gs_lib_name(lib->lib));
  return 1;
}

static int push_library(lua_State *L, vm *v, const char *name) {
  gs_ffi_error err;
  gs_lib *opened = NULL;
  bool finalizing = gsl_away(L, v);
  int e = gs_ffi_load(v->ffi, name, &opened, &err);
  gsl_back(v, finalizing);
  if (e != GS_OK) return raise(L, &err);
  library *lib = lua_newuserdatauv(L, sizeof(*lib), 1);
  lib->lib = opened;
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, LIBRARY);
  return 1;
}

/* ---- gosched.ffi ----------------------------------------------------------------------------- */

/* ffi.cdef(declarations) */
static int l_cdef(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  luaL_argcheck(L, strlen(text) == n, 1, "the declarations contain a NUL byte");
  gs_ffi_error err;
  if (gs_ffi_cdef(gsl_vm(L)->ffi, text, &err) != GS_OK) return raise(L, &err);
  return 0;
}

/* ffi.load(name) */
static int l_load(lua_State *L) { return push_library(L, gsl_vm(L), luaL_checkstring(L, 1)); }

/* ffi.errno(): of this green thread's last foreign call; ffi.errno(n) sets it and returns the old
 */
static int l_errno(lua_State *L) {
  int *kept = gsl_errno(gsl_vm(L)), old = *kept;
  if (!lua_isnoneornil(L, 1)) *kept = (int)luaL_checkinteger(L, 1);
  lua_pushinteger(L, old);
  return 1;
}

static const gsl_pointer *check_pointer(lua_State *L, int index) {
  const gsl_pointer *p = gsl_test_pointer(L, index);
  if (!p) luaL_typeerror(L, index, "C pointer");
  return p;
}

/* ffi.string(pointer, length?): the bytes up to a NUL, or that many */
static int l_string(lua_State *L) {
  const gsl_pointer *p = check_pointer(L, 1);
  const gs_type *target = gs_type_target(p->type);
  luaL_argcheck(L, p->address, 1, "the pointer is NULL");
  if (!lua_isnoneornil(L, 2)) {
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 0, 2, "a length of 0 or more expected");
    lua_pushlstring(L, p->address, (size_t)n);
    return 1;
  }
  if (gs_type_size(target) != 1)
    return luaL_error(L,
                      "bad argument #1 to 'string' (a pointer to char expected, or a length "
                      "with it, got '%s')",
                      gs_type_name(p->type));
  lua_pushstring(L, p->address);
  return 1;
}

/* ffi.isnull(pointer) */
static int l_isnull(lua_State *L) {
  if (lua_isnil(L, 1))
    lua_pushboolean(L, 1);
  else
    lua_pushboolean(L, check_pointer(L, 1)->address == NULL);
  return 1;
}

void gsl_open_ffi(lua_State *L, int vm_index) {
  static const luaL_Reg meta[] = {{"__index", library_index},
                                  {"__newindex", library_newindex},
                                  {"__tostring", library_name},
                                  {NULL, NULL}};
  static const luaL_Reg functions[] = {{"cdef", l_cdef},     {"load", l_load},
                                       {"errno", l_errno},   {"string", l_string},
                                       {"isnull", l_isnull}, {NULL, NULL}};
  vm *v = lua_touserdata(L, vm_index);
  luaL_newmetatable(L, LIBRARY);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, meta, 1);
  lua_pop(L, 1);
  luaL_newlibtable(L, functions);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, functions, 1);
  push_library(L, v, NULL);
  lua_setfield(L, -2, "C");
  gsl_push_pointer(L, NULL, gs_type_builtin("pointer"));
  lua_setfield(L, -2, "nullptr");
}
