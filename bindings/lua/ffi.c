/* ffi.c: gosched.ffi, under the names that LuaJIT's FFI has; cdata.h says where what is.
 *
 * What differs from LuaJIT is listed in docs/lua-ffi.md.
 */
#include <string.h>

#include "cdata.h"

/* ---- declarations ---------------------------------------------------------------------------- */

#define MOST_PARAMS 32

/* ffi.cdef(declarations, …): the further arguments stand for the '$' in them. */
static int l_cdef(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, strlen(text) == length, 1, "the declarations contain a NUL byte");
  gs_ffi_param params[MOST_PARAMS];
  size_t n = gsl_read_params(L, v, 2, params, MOST_PARAMS);
  gs_ffi_error err;
  if (gs_ffi_cdef_with(v->ffi, text, n ? params : NULL, n, &err) != GS_OK)
    return luaL_error(L, "%s", err.text);
  gsl_forget_spellings(L);
  return 0;
}

/* ---- errno ----------------------------------------------------------------------------------- */

/* ffi.errno(): of this green thread's last foreign call; ffi.errno(n) sets it and returns the old
 */
static int l_errno(lua_State *L) {
  gsl_local *local = gsl_local_of(gsl_vm(L));
  int old = local->saved_errno;
  if (!lua_isnoneornil(L, 1)) local->saved_errno = (int)luaL_checkinteger(L, 1);
  lua_pushinteger(L, old);
  return 1;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The address at index; *room: bytes that are known to be there, or SIZE_MAX. */
static void *check_address(lua_State *L, vm *v, int index, bool writes, size_t *room) {
  const cdata *c = gsl_test_cdata(L, v, index);
  *room = SIZE_MAX;
  if (!c && !writes && lua_type(L, index) == LUA_TSTRING)
    return (void *)(uintptr_t)lua_tolstring(L, index, room);
  cplace at = {NULL, 0, -1};
  const gs_type *type = gs_type_builtin("pointer");
  void *p = NULL;
  if (!c || c->type->op == OP_POINTER) {
    unsigned how = c && !writes ? CONV_CAST : 0; /* reading from const memory */
    if (lua_type(L, index) == LUA_TNUMBER) luaL_typeerror(L, index, "C data or string");
    gsl_to_pointer(L, v, index, gsl_ctype_of(L, v, type), &p, how, &at);
  } else {
    luaL_argexpected(L, c->type->op == OP_STRUCT || c->type->op == OP_ARRAY, index, "C data");
    bool fixed =
        c->type->is_const || (c->type->op == OP_ARRAY && gsl_target(L, v, c->type)->is_const);
    luaL_argcheck(L, !writes || !fixed, index, "it is const and cannot be written");
    p = c->at;
    if (c->size) *room = c->size;
    if (c->refers && gsl_is_open(c->type->type)) *room = SIZE_MAX;
  }
  luaL_argcheck(L, p, index, "the pointer is NULL");
  return p;
}

static size_t check_length(lua_State *L, vm *v, int index) {
  cnumber n;
  luaL_checkany(L, index);
  if (!gsl_number(L, v, index, &n)) luaL_typeerror(L, index, "number");
  if (n.kind == N_FLOATING) {
    luaL_argcheck(L, n.f >= 0 && n.f < 9e18L, index, "a length of 0 or more expected");
    n.i = (int64_t)n.f;
  }
  luaL_argcheck(L, n.i >= 0, index, "a length of 0 or more expected");
  return (size_t)n.i;
}

static void check_room(lua_State *L, int index, size_t n, size_t room) {
  if (n > room)
    luaL_argerror(
        L, index,
        lua_pushfstring(L, "%I bytes do not fit: there are %I", (LUAI_UACINT)n, (LUAI_UACINT)room));
}

/* ffi.copy(to, from, n), or ffi.copy(to, string): with its NUL */
static int l_copy(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t to_room, from_room, n;
  lua_settop(L, lua_gettop(L) < 3 ? 3 : lua_gettop(L));
  void *to = check_address(L, v, 1, true, &to_room);
  const void *from = check_address(L, v, 2, false, &from_room);
  bool text = lua_type(L, 2) == LUA_TSTRING;
  if (text) from_room++; /* Lua's strings have a NUL behind them */
  if (lua_isnil(L, 3)) {
    luaL_argcheck(L, text, 3, "a length expected where no string is copied");
    n = from_room;
  } else {
    n = check_length(L, v, 3);
  }
  check_room(L, 1, n, to_room);
  check_room(L, 2, n, from_room);
  memmove(to, from, n);
  return 0;
}

/* ffi.fill(to, n, byte?) */
static int l_fill(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t room;
  lua_settop(L, 3);
  void *to = check_address(L, v, 1, true, &room);
  size_t n = check_length(L, v, 2);
  cnumber byte = {.kind = N_SIGNED};
  if (!lua_isnil(L, 3) && !gsl_number(L, v, 3, &byte)) return luaL_typeerror(L, 3, "number");
  check_room(L, 1, n, room);
  memset(to, (int)(byte.kind == N_FLOATING ? (int64_t)byte.f : byte.i), n);
  return 0;
}

/* ffi.string(pointer, length?): the bytes up to a NUL, or that many */
static int l_string(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t room = SIZE_MAX;
  luaL_checkany(L, 1);
  const cdata *c = gsl_test_cdata(L, v, 1);
  bool has_length = !lua_isnoneornil(L, 2);
  if (lua_type(L, 1) == LUA_TSTRING && !has_length) {
    lua_settop(L, 1);
    return 1;
  }
  if (!c && lua_type(L, 1) != LUA_TSTRING && !lua_islightuserdata(L, 1))
    return luaL_typeerror(L, 1, "C data or string");
  if (c && !has_length) {
    bool list = c->type->op == OP_POINTER || c->type->op == OP_ARRAY;
    const ctype *t = list ? gsl_target(L, v, c->type) : c->type;
    bool bytes = (is_integer(t->op) && gs_type_size(t->type) == 1) ||
                 (c->type->op == OP_POINTER && t->op == OP_VOID);
    if (!list || !bytes)
      return luaL_error(L,
                        "bad argument #1 to 'string' (a pointer to char expected, or a length "
                        "with it, got '%s')",
                        gsl_name(c->type));
  }
  const char *p = check_address(L, v, 1, false, &room);
  size_t n;
  if (has_length) {
    n = check_length(L, v, 2);
    check_room(L, 1, n, room);
  } else {
    n = room == SIZE_MAX ? strlen(p) : strnlen(p, room);
  }
  lua_pushlstring(L, p, n);
  return 1;
}

/* ffi.isnull(pointer) */
static int l_isnull(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checkany(L, 1);
  const cdata *c = gsl_test_cdata(L, v, 1);
  bool pointer = c && !is_number(c->type->op);
  if (!pointer && !lua_isnil(L, 1) && !lua_islightuserdata(L, 1) && !gsl_test_function(L, 1))
    return luaL_typeerror(L, 1, "C pointer");
  if (lua_islightuserdata(L, 1))
    lua_pushboolean(L, lua_touserdata(L, 1) == NULL);
  else
    lua_pushboolean(L, lua_isnil(L, 1) || (c && gsl_address(c) == NULL));
  return 1;
}

/* ffi.tonumber(x): what tonumber is for C data in LuaJIT */
static int l_tonumber(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checkany(L, 1);
  const cdata *c = gsl_test_cdata(L, v, 1);
  cnumber n;
  if (!c) {
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_GNAME);
    lua_getfield(L, -1, "tonumber");
    if (!lua_isfunction(L, -1)) return luaL_error(L, "ffi.tonumber: tonumber is gone");
    lua_insert(L, 1);
    lua_pop(L, 2);
    lua_call(L, lua_gettop(L) - 1, 1);
  } else if (gsl_number(L, v, 1, &n)) {
    if (n.kind == N_FLOATING)
      lua_pushnumber(L, (lua_Number)n.f);
    else
      lua_pushinteger(L, n.i);
  } else {
    luaL_pushfail(L);
  }
  return 1;
}

/* ---- the machine ----------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH "x64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#error "what LuaJIT calls this processor"
#endif

/* ffi.abi(name) */
static int l_abi(lua_State *L) {
  static const char *const true_ones[] = {"64bit", "le", "fpu", "hardfp"};
  const char *name = luaL_checkstring(L, 1);
  bool yes = false;
  for (size_t i = 0; i < sizeof(true_ones) / sizeof(true_ones[0]); i++)
    yes |= strcmp(name, true_ones[i]) == 0;
  lua_pushboolean(L, yes);
  return 1;
}

/* ---- gosched.ffi ----------------------------------------------------------------------------- */

void gsl_open_ffi(lua_State *L, int vm_index) {
  static const luaL_Reg functions[] = {{"cdef", l_cdef},
                                       {"load", gsl_l_load},
                                       {"errno", l_errno},
                                       {"string", l_string},
                                       {"isnull", l_isnull},
                                       {"tonumber", l_tonumber},
                                       {"copy", l_copy},
                                       {"fill", l_fill},
                                       {"abi", l_abi},
                                       {"new", gsl_l_new},
                                       {"cast", gsl_l_cast},
                                       {"typeof", gsl_l_typeof},
                                       {"sizeof", gsl_l_sizeof},
                                       {"alignof", gsl_l_alignof},
                                       {"offsetof", gsl_l_offsetof},
                                       {"istype", gsl_l_istype},
                                       {"metatype", gsl_l_metatype},
                                       {"gc", gsl_l_gc},
                                       {"bind", gsl_l_bind},
                                       {NULL, NULL}};
  vm *v = lua_touserdata(L, vm_index);
  gsl_open_ctype(L, vm_index);
  gsl_open_cdata(L, vm_index);
  gsl_open_callback(L, vm_index);
  luaL_newlibtable(L, functions);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, functions, 1);
  gsl_open_library(L, vm_index);
  lua_setfield(L, -2, "C");
  gsl_push_pointer(L, v, gsl_ctype_of(L, v, gs_type_builtin("pointer")), NULL, 0);
  lua_setfield(L, -2, "nullptr");
  lua_pushliteral(L, ARCH);
  lua_setfield(L, -2, "arch");
  lua_pushliteral(L, "Linux");
  lua_setfield(L, -2, "os");
}
