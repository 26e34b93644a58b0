/* value.c: Lua values as the values of shared channels, and back.
 *
 *     boolean, integer, float    what they are
 *     string                     text; it must be UTF-8
 *     gosched.bytes(s)           bytes; what is received is a string
 *     gosched.null               null: a value, unlike nil
 *     table                      a list if its keys are just 1..n, else a map
 *     gosched.map(t)             a map, whatever the keys; maps that are received are marked so
 *
 * Writing must not raise an error: the block would be lost.  What cannot be carried is found on the
 * way down, and on the way back each level writes before the message where that is.  Reading makes
 * strings and tables, which may run out of memory: so it is done by a protected call, except for
 * what has no block.
 */
#include <stdio.h>
#include <string.h>

#include "shared.h"

#define BYTES "gosched.bytes"

static const char null_key, map_key; /* registry: gosched.null; the metatable of maps */

typedef struct writing {
  lua_State *L;
  const vm *v;
  gs_value_writer w;
  char why[200];
  char where[160];
} writing;

/* ---- what cannot be carried ------------------------------------------------------------------ */

static bool refuse(writing *c, const char *why) {
  snprintf(c->why, sizeof(c->why), "%s", why);
  return false;
}

static bool check(writing *c, int code) {
  char why[180];
  if (code == GS_OK) return true;
  snprintf(why, sizeof(why), ": %s", gs_error_detail());
  return refuse(c, why);
}

static bool check_text(writing *c, int code) {
  char why[180];
  if (code == GS_OK) return true;
  if (code != GS_EINVAL) return check(c, code);
  snprintf(why, sizeof(why), ": %s; gosched.bytes(s) is bytes of any kind", gs_error_detail());
  return refuse(c, why);
}

static void add_where(writing *c, const char *step) {
  size_t n = strlen(step), have = strlen(c->where);
  if (n + have >= sizeof(c->where)) {
    have = sizeof(c->where) - n - 4;
    memcpy(c->where + have, "...", 4);
    have += 3;
  }
  memmove(c->where + n, c->where, have + 1);
  memcpy(c->where, step, n);
}

static void add_index(writing *c, lua_Integer i) {
  char step[32];
  snprintf(step, sizeof(step), "[%lld]", (long long)i);
  add_where(c, step);
}

/* The key at index. */
static void add_key(writing *c, int index) {
  char step[64];
  int type = lua_type(c->L, index);
  if (type == LUA_TSTRING)
    snprintf(step, sizeof(step), "[\"%.50s\"]", lua_tostring(c->L, index));
  else if (type == LUA_TNUMBER)
    snprintf(step, sizeof(step), "[%g]", (double)lua_tonumber(c->L, index));
  else
    snprintf(step, sizeof(step), "[%s]", lua_typename(c->L, type));
  add_where(c, step);
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool put(writing *c, int index, bool key);

/* Whether the keys are just 1..n.  *n is the length then. */
static bool is_list(lua_State *L, int t, lua_Unsigned *n) {
  lua_Unsigned len = lua_rawlen(L, t), count = 0;
  *n = len;
  lua_pushnil(L);
  while (lua_next(L, t)) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || (lua_Unsigned)lua_tointeger(L, -1) - 1 >= len) {
      lua_pop(L, 1);
      return false;
    }
    count++;
  }
  return count == len;
}

static bool put_list(writing *c, int t, lua_Unsigned n) {
  lua_State *L = c->L;
  if (!check(c, gs_value_put_list(&c->w))) return false;
  for (lua_Unsigned i = 1; i <= n; i++) {
    lua_rawgeti(L, t, (lua_Integer)i);
    if (!put(c, lua_gettop(L), false)) {
      add_index(c, (lua_Integer)i);
      return false;
    }
    lua_pop(L, 1);
  }
  return check(c, gs_value_put_end(&c->w));
}

static bool put_map(writing *c, int t) {
  lua_State *L = c->L;
  if (!check(c, gs_value_put_map(&c->w))) return false;
  lua_pushnil(L);
  while (lua_next(L, t)) {
    int value = lua_gettop(L);
    if (!put(c, value - 1, true)) return false;
    if (!put(c, value, false)) {
      add_key(c, value - 1);
      return false;
    }
    lua_pop(L, 1);
  }
  return check(c, gs_value_put_end(&c->w));
}

static bool put_table(writing *c, int t) {
  lua_State *L = c->L;
  lua_Unsigned n;
  bool map = false;
  if (!lua_checkstack(L, 6)) return refuse(c, ": the stack is too deep");
  if (lua_getmetatable(L, t)) {
    map = lua_topointer(L, -1) == c->v->map_meta;
    lua_pop(L, 1);
    if (!map)
      return refuse(c, " is a table with a metatable of its own and cannot be carried as a value");
  }
  return !map && is_list(L, t, &n) ? put_list(c, t, n) : put_map(c, t);
}

static bool put_userdata(writing *c, int index) {
  lua_State *L = c->L;
  const void *data = lua_touserdata(L, index);
  bool bytes = false;
  if (data == c->v->null) return check(c, gs_value_put_null(&c->w));
  if (lua_checkstack(L, 3) && lua_getmetatable(L, index)) {
    bytes = lua_topointer(L, -1) == c->v->bytes_meta;
    lua_pop(L, 1);
  }
  if (bytes) {
    size_t n;
    lua_getiuservalue(L, index, 1);
    const char *s = lua_tolstring(L, -1, &n);
    bool good = check(c, gs_value_put_bytes(&c->w, s, n));
    lua_pop(L, 1);
    return good;
  }
  return refuse(c, " is a userdata and cannot be carried");
}

static bool put(writing *c, int index, bool key) {
  lua_State *L = c->L;
  const char *s;
  char why[160];
  size_t n;
  int type = lua_type(L, index);
  if (key && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING &&
      type != LUA_TUSERDATA) {
    snprintf(why, sizeof(why),
             " has a key that is a %s; booleans, numbers, strings and gosched.bytes can be keys",
             lua_typename(L, type));
    return refuse(c, why);
  }
  switch (type) {
    case LUA_TBOOLEAN: return check(c, gs_value_put_bool(&c->w, lua_toboolean(L, index)));
    case LUA_TNUMBER:
      return check(c, lua_isinteger(L, index) ? gs_value_put_int(&c->w, lua_tointeger(L, index))
                                              : gs_value_put_double(&c->w, lua_tonumber(L, index)));
    case LUA_TSTRING:
      s = lua_tolstring(L, index, &n);
      return check_text(c, gs_value_put_text(&c->w, s, n));
    case LUA_TTABLE: return put_table(c, index);
    case LUA_TUSERDATA: return put_userdata(c, index);
    case LUA_TNIL: return refuse(c, " is nil, which is no value: gosched.null is one");
    default:
      snprintf(why, sizeof(why),
               " is a %s and cannot be carried; booleans, numbers, strings, tables, gosched.bytes "
               "and gosched.null can be",
               lua_typename(L, type));
      return refuse(c, why);
  }
}

static __attribute__((noinline)) bool write_value(lua_State *L, const vm *v, int index,
                                                  gs_value *out) {
  writing c;
  int top = lua_gettop(L);
  c.L = L;
  c.v = v;
  c.where[0] = 0;
  gs_value_begin(&c.w);
  if (put(&c, lua_absindex(L, index), false) && check(&c, gs_value_end(&c.w, out))) return true;
  gs_value_drop(&c.w);
  gs_value_null(out);
  lua_settop(L, top);
  lua_pushfstring(L, "TypeError: value%s%s", c.where, c.why);
  return false;
}

bool gsl_to_value(lua_State *L, const vm *v, int index, gs_value *out) {
  const char *s;
  size_t n;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        gs_value_int(lua_tointeger(L, index), out);
      else
        gs_value_double(lua_tonumber(L, index), out);
      return true;
    case LUA_TBOOLEAN: gs_value_bool(lua_toboolean(L, index), out); return true;
    case LUA_TSTRING:
      s = lua_tolstring(L, index, &n);
      if (gs_value_text(s, n, out) == GS_OK) return true;
      return write_value(L, v, index, out);
    default: return write_value(L, v, index, out);
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void push(lua_State *L, gs_value_reader *r) {
  gs_value_item it;
  if (gs_value_next(r, &it) != GS_OK) luaL_error(L, "a shared channel: %s", gs_error_detail());
  switch (it.type) {
    case GS_VALUE_BOOL: lua_pushboolean(L, (int)it.i); break;
    case GS_VALUE_INT: lua_pushinteger(L, (lua_Integer)it.i); break;
    case GS_VALUE_DOUBLE: lua_pushnumber(L, it.d); break;
    case GS_VALUE_TEXT:
    case GS_VALUE_BYTES: lua_pushlstring(L, it.s, it.n); break;
    case GS_VALUE_LIST:
      luaL_checkstack(L, 4, "a value of a shared channel");
      lua_createtable(L, it.n > INT32_MAX ? INT32_MAX : (int)it.n, 0);
      for (size_t i = 1; i <= it.n; i++) {
        push(L, r);
        lua_rawseti(L, -2, (lua_Integer)i);
      }
      break;
    case GS_VALUE_MAP:
      luaL_checkstack(L, 4, "a value of a shared channel");
      lua_createtable(L, 0, it.n > INT32_MAX ? INT32_MAX : (int)it.n);
      lua_rawgetp(L, LUA_REGISTRYINDEX, &map_key);
      lua_setmetatable(L, -2);
      for (size_t i = 0; i < it.n; i++) {
        push(L, r);
        push(L, r);
        lua_rawset(L, -3);
      }
      break;
    default: lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key); break;
  }
}

void gsl_push_value_of(lua_State *L, const gs_value *value) {
  gs_value_reader r;
  gs_value_read(value, &r);
  luaL_checkstack(L, 4, "a value");
  push(L, &r);
}

static int push_protected(lua_State *L) {
  gs_value_reader r;
  gs_value_read(lua_touserdata(L, 1), &r);
  push(L, &r);
  return 1;
}

void gsl_push_value(lua_State *L, gs_value *value) {
  gs_value_reader r;
  gs_value_item it;
  int type = gs_value_type(value);
  if (type < GS_VALUE_TEXT) {
    gs_value_read(value, &r);
    push(L, &r);
    return;
  }
  if (type <= GS_VALUE_BYTES) {
    gs_value_read(value, &r);
    gs_value_next(&r, &it);
    if (it.s >= (const char *)value && it.s < (const char *)(value + 1)) { /* no block */
      lua_pushlstring(L, it.s, it.n);
      return;
    }
  }
  lua_pushcfunction(L, push_protected);
  lua_pushlightuserdata(L, value);
  int status = lua_pcall(L, 1, 1, 0);
  gs_value_free(value);
  if (status != LUA_OK) lua_error(L);
}

/* ---- gosched.bytes, gosched.map, gosched.null ------------------------------------------------ */

/* gosched.bytes(s): s as bytes, which need not be UTF-8 */
static int l_bytes(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_newuserdatauv(L, 0, 1);
  luaL_setmetatable(L, BYTES);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static int bytes_string(lua_State *L) {
  luaL_checkudata(L, 1, BYTES);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int bytes_len(lua_State *L) {
  bytes_string(L);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
  return 1;
}

static int bytes_equal(lua_State *L) {
  luaL_checkudata(L, 1, BYTES);
  luaL_checkudata(L, 2, BYTES);
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, 2, 1);
  lua_pushboolean(L, lua_rawequal(L, -1, -2));
  return 1;
}

/* gosched.map(t): marks the table t as a map, also if its keys are 1..n or it has none; t */
static int l_map(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &map_key);
  if (lua_getmetatable(L, 1)) {
    luaL_argcheck(L, lua_rawequal(L, 2, 3), 1, "a table without a metatable of its own expected");
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

static int null_name(lua_State *L) {
  lua_pushliteral(L, "gosched.null");
  return 1;
}

void gsl_open_value(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"bytes", l_bytes}, {"map", l_map}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__tostring", bytes_string}, {"__len", bytes_len}, {"__eq", bytes_equal}, {NULL, NULL}};
  static const luaL_Reg none[] = {{NULL, NULL}};
  vm *v = lua_touserdata(L, vm_index);
  gsl_new_class(L, vm_index, BYTES, meta, none);
  gsl_add_functions(L, module, vm_index, functions);
  luaL_getmetatable(L, BYTES);
  v->bytes_meta = lua_topointer(L, -1);
  lua_createtable(L, 0, 1); /* of maps */
  lua_pushliteral(L, "gosched.map");
  lua_setfield(L, -2, "__name");
  v->map_meta = lua_topointer(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &map_key);
  v->null = lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, null_name);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
  lua_setfield(L, module, "null");
  lua_pop(L, 1);
}
