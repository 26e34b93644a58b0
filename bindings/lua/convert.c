/* convert.c: Lua values to C and back.
 *
 * Nothing is guessed: an integer type takes whole numbers in its range, a floating one numbers,
 * _Bool booleans, a pointer nil, a C pointer that C would accept without a cast, and, where C only
 * reads (const char *, const void *), a string.  64-bit unsigned values are Lua integers with the
 * same bits.
 */
#include <math.h>
#include <string.h>

#include "binding.h"

#define POINTER "gosched.pointer"

/* ---- pointers -------------------------------------------------------------------------------- */

void gsl_push_pointer(lua_State *L, void *address, const gs_type *type) {
  gsl_pointer *p = lua_newuserdatauv(L, sizeof(*p), 0);
  *p = (gsl_pointer){address, type};
  luaL_setmetatable(L, POINTER);
}

gsl_pointer *gsl_test_pointer(lua_State *L, int index) { return luaL_testudata(L, index, POINTER); }

static int pointer_equal(lua_State *L) {
  const gsl_pointer *a = gsl_test_pointer(L, 1), *b = gsl_test_pointer(L, 2);
  lua_pushboolean(L, a && b && a->address == b->address);
  return 1;
}

static int pointer_name(lua_State *L) {
  const gsl_pointer *p = luaL_checkudata(L, 1, POINTER);
  if (p->address)
    lua_pushfstring(L, "%s: %p", gs_type_name(p->type), p->address);
  else
    lua_pushfstring(L, "%s: NULL", gs_type_name(p->type));
  return 1;
}

void gsl_open_convert(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__eq", pointer_equal}, {"__tostring", pointer_name}, {NULL, NULL}};
  luaL_newmetatable(L, POINTER);
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
}

/* ---- Lua to C -------------------------------------------------------------------------------- */

/* What was given, for error texts; pushes a string. */
static const char *given(lua_State *L, int index) {
  const gsl_pointer *p = gsl_test_pointer(L, index);
  if (p) return lua_pushfstring(L, "'%s'", gs_type_name(p->type));
  if (lua_type(L, index) == LUA_TNUMBER) {
    lua_pushvalue(L, index);
    return lua_tostring(L, -1);
  }
  return lua_pushstring(L, luaL_typename(L, index));
}

static void mismatch(lua_State *L, int index, const gs_type *type, const char *what,
                     const char *expected) {
  luaL_error(L, "%s: %s expected for '%s', got %s", what, expected, gs_type_name(type),
             given(L, index));
}

static void signed_to_c(lua_State *L, int index, const gs_type *type, void *to, const char *what) {
  size_t size = gs_type_size(type);
  int whole = 0;
  lua_Integer v = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  lua_Integer most = size < 8 ? ((lua_Integer)1 << (size * 8 - 1)) - 1 : LUA_MAXINTEGER;
  if (!whole) mismatch(L, index, type, what, "a whole number");
  if (v > most || v < -most - 1)
    luaL_error(L, "%s: %I is out of range for '%s' (%I to %I)", what, (LUAI_UACINT)v,
               gs_type_name(type), (LUAI_UACINT)(-most - 1), (LUAI_UACINT)most);
  switch (size) {
    case 1: *(int8_t *)to = (int8_t)v; break;
    case 2: *(int16_t *)to = (int16_t)v; break;
    case 4: *(int32_t *)to = (int32_t)v; break;
    default: *(int64_t *)to = v; break;
  }
}

static void unsigned_to_c(lua_State *L, int index, const gs_type *type, void *to,
                          const char *what) {
  size_t size = gs_type_size(type);
  int whole = 0;
  lua_Integer v = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  lua_Integer most = size < 8 ? ((lua_Integer)1 << (size * 8)) - 1 : LUA_MAXINTEGER;
  if (!whole) mismatch(L, index, type, what, "a whole number");
  if (size < 8 && (v < 0 || v > most))
    luaL_error(L, "%s: %I is out of range for '%s' (0 to %I)", what, (LUAI_UACINT)v,
               gs_type_name(type), (LUAI_UACINT)most);
  switch (size) {
    case 1: *(uint8_t *)to = (uint8_t)v; break;
    case 2: *(uint16_t *)to = (uint16_t)v; break;
    case 4: *(uint32_t *)to = (uint32_t)v; break;
    default: *(uint64_t *)to = (uint64_t)v; break;
  }
}

static void number_to_c(lua_State *L, int index, const gs_type *type, void *to, const char *what) {
  if (lua_type(L, index) != LUA_TNUMBER) mismatch(L, index, type, what, "a number");
  lua_Number v = lua_tonumber(L, index);
  size_t size = gs_type_size(type);
  if (size == sizeof(float))
    *(float *)to = (float)v;
  else if (size == sizeof(double))
    *(double *)to = v;
  else
    *(long double *)to = lua_isinteger(L, index) ? (long double)lua_tointeger(L, index) : v;
}

/* Whether C only reads bytes through a pointer of this type: a string may be passed. */
static bool takes_string(const gs_type *type) {
  const gs_type *target = gs_type_target(type);
  if (!(gs_type_flags(target) & GS_TYPE_CONST)) return false;
  gs_kind kind = gs_type_kind(target);
  return kind == GS_KIND_VOID ||
         ((kind == GS_KIND_INT || kind == GS_KIND_UINT) && gs_type_size(target) == 1);
}

static void pointer_to_c(lua_State *L, int index, const gs_type *type, void *to, const char *what) {
  const gsl_pointer *p = gsl_test_pointer(L, index);
  void *address = NULL;
  if (p && gs_type_accepts(type, p->type)) {
    address = p->address;
  } else if (lua_type(L, index) == LUA_TSTRING && takes_string(type)) {
    address = (void *)lua_tostring(L, index);
  } else if (lua_type(L, index) == LUA_TSTRING) {
    luaL_error(L, "%s: a string cannot be passed as '%s', which C may write to", what,
               gs_type_name(type));
  } else if (!lua_isnil(L, index)) {
    mismatch(L, index, type, what,
             takes_string(type) ? "a string, pointer or nil" : "a pointer or nil");
  }
  *(void **)to = address;
}

void gsl_to_c(lua_State *L, int index, const gs_type *type, void *to, const char *what) {
  switch (gs_type_kind(type)) {
    case GS_KIND_BOOL:
      if (!lua_isboolean(L, index)) mismatch(L, index, type, what, "a boolean");
      *(bool *)to = lua_toboolean(L, index);
      break;
    case GS_KIND_INT: signed_to_c(L, index, type, to, what); break;
    case GS_KIND_UINT: unsigned_to_c(L, index, type, to, what); break;
    case GS_KIND_FLOAT: number_to_c(L, index, type, to, what); break;
    case GS_KIND_POINTER: pointer_to_c(L, index, type, to, what); break;
    default: luaL_error(L, "%s: '%s' %s", what, gs_type_name(type), gsl_unsupported(type));
  }
}

/* Numbers and strings have an obvious type for "..."; an integer has 64 bits, which "%d" and "%ld"
 * both read right on the ABIs supported. */
const gs_type *gsl_variadic_type(lua_State *L, vm *v, int index, const char *what) {
  const gsl_pointer *p = gsl_test_pointer(L, index);
  if (p) return p->type;
  const gs_type *text = NULL;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: return gs_type_builtin(lua_isinteger(L, index) ? "int64" : "double");
    case LUA_TBOOLEAN: return gs_type_builtin("bool");
    case LUA_TNIL: return gs_type_builtin("pointer");
    case LUA_TSTRING:
      if (gs_ffi_type(v->ffi, "const char *", &text, NULL) != GS_OK) luaL_error(L, "out of memory");
      return text;
    default:
      luaL_error(L, "%s: a number, boolean, string, pointer or nil expected for '...', got %s",
                 what, luaL_typename(L, index));
      return NULL;
  }
}

/* ---- C to Lua -------------------------------------------------------------------------------- */

static lua_Integer read_signed(const void *from, size_t size) {
  switch (size) {
    case 1: return *(const int8_t *)from;
    case 2: return *(const int16_t *)from;
    case 4: return *(const int32_t *)from;
    default: return *(const int64_t *)from;
  }
}

static lua_Integer read_unsigned(const void *from, size_t size) {
  switch (size) {
    case 1: return *(const uint8_t *)from;
    case 2: return *(const uint16_t *)from;
    case 4: return *(const uint32_t *)from;
    default: return (lua_Integer) * (const uint64_t *)from;
  }
}

static lua_Number read_number(const void *from, size_t size) {
  if (size == sizeof(float)) return *(const float *)from;
  if (size == sizeof(double)) return *(const double *)from;
  return (lua_Number) * (const long double *)from;
}

const char *gsl_unsupported(const gs_type *type) {
  switch (gs_type_kind(type)) {
    case GS_KIND_STRUCT: return "is passed by value, which Lua cannot express; use a pointer to it";
    case GS_KIND_COMPLEX: return "is complex, which Lua cannot express; use a pointer to it";
    case GS_KIND_ARRAY: return "is an array, not a single value";
    case GS_KIND_FUNCTION: return "is a function, not a value";
    default: return NULL;
  }
}

int gsl_to_lua(lua_State *L, const gs_type *type, const void *from) {
  size_t size = gs_type_size(type);
  switch (gs_type_kind(type)) {
    case GS_KIND_VOID: return 0;
    case GS_KIND_BOOL: lua_pushboolean(L, *(const bool *)from); break;
    case GS_KIND_INT: lua_pushinteger(L, read_signed(from, size)); break;
    case GS_KIND_UINT: lua_pushinteger(L, read_unsigned(from, size)); break;
    case GS_KIND_FLOAT: lua_pushnumber(L, read_number(from, size)); break;
    case GS_KIND_POINTER: gsl_push_pointer(L, *(void *const *)from, type); break;
    default: return luaL_error(L, "'%s' %s", gs_type_name(type), gsl_unsupported(type));
  }
  return 1;
}
