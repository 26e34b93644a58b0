/* cdata.c: C data as Lua values: making it, and its fields and elements.
 *
 * Scalars, pointers and what ffi.new makes have their value in the userdata itself, which does not
 * move; a struct, array or function inside something else is a reference to there, and keeps the
 * userdata that has the memory alive.  So does a pointer that was computed from one.
 *
 * An index is checked where the number of elements is known: of arrays, but not of pointers.  An
 * array of at most one element at the end of memory of somebody else may be C's old way to say
 * "some", and is not checked.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdata.h"

/* ---- making ---------------------------------------------------------------------------------- */

cdata *gsl_test_cdata(lua_State *L, vm *v, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  const void *meta = lua_topointer(L, -1);
  lua_pop(L, 1);
  return meta == v->cdata_meta || meta == v->cdata_gc_meta ? lua_touserdata(L, index) : NULL;
}

cdata *gsl_check_cdata(lua_State *L, vm *v, int index) {
  cdata *c = gsl_test_cdata(L, v, index);
  if (!c) luaL_typeerror(L, index, "C data");
  return c;
}

static cdata *push(lua_State *L, vm *v, ctype *t, size_t room) {
  cdata *c = lua_newuserdatauv(L, sizeof(*c) + room, 1);
  c->type = t;
  c->mark = CDATA_MARK;
  lua_rawgetp(L, LUA_REGISTRYINDEX, v->cdata_meta);
  lua_setmetatable(L, -2);
  return c;
}

cdata *gsl_new_cdata(lua_State *L, vm *v, ctype *t, size_t size) {
  size_t align = gs_type_align(t->type), slack = align > 8 ? align : 0;
  cdata *c = push(L, v, t, size + slack);
  char *at = (char *)(c + 1);
  if (slack) at += (align - (uintptr_t)at % align) % align;
  c->at = at;
  c->size = size;
  c->refers = false;
  memset(at, 0, size);
  return c;
}

void gsl_set_owner(lua_State *L, int owner) {
  if (!owner) return;
  lua_pushvalue(L, owner);
  lua_setiuservalue(L, -2, 1);
}

cdata *gsl_push_ref(lua_State *L, vm *v, ctype *t, void *at, size_t size, int owner) {
  if (owner) owner = lua_absindex(L, owner);
  cdata *c = push(L, v, t, 0);
  c->at = at;
  c->size = size;
  c->refers = true;
  gsl_set_owner(L, owner);
  return c;
}

cdata *gsl_push_pointer(lua_State *L, vm *v, ctype *pointer, void *address, int owner) {
  if (owner) owner = lua_absindex(L, owner);
  cdata *c = push(L, v, pointer, sizeof(address));
  c->at = (char *)(c + 1);
  c->size = sizeof(address);
  c->refers = false;
  memcpy(c->at, &address, sizeof(address));
  gsl_set_owner(L, owner);
  return c;
}

void gsl_push_owner(lua_State *L, vm *v, int index, const cdata *c) {
  if (lua_getiuservalue(L, index, 1) != LUA_TNIL) return;
  bool owns = !c->refers && c->type->op != OP_POINTER;
  if (!owns && !gsl_has_finalizer(L, v, index)) return;
  lua_pop(L, 1);
  lua_pushvalue(L, index);
}

/* registry: C data -> table, with weak keys; and in that table, or in `strings` itself under
 * itself: address -> string. */
static const char strings_key;

/* Making a table may run finalizers, which may keep strings for the same owner: so that comes
 * before the look. */
void gsl_keep_string(lua_State *L, int owner, const void *to, int index) {
  luaL_checkstack(L, 6, NULL);
  index = lua_absindex(L, index);
  int top = lua_gettop(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &strings_key);
  if (!owner) owner = top + 1;
  lua_pushvalue(L, owner);
  if (lua_rawget(L, top + 1) != LUA_TTABLE) {
    lua_newtable(L);
    lua_pushvalue(L, owner);
    if (lua_rawget(L, top + 1) != LUA_TTABLE) {
      lua_pop(L, 1);
      lua_pushvalue(L, owner);
      lua_pushvalue(L, -2);
      lua_rawset(L, top + 1);
    }
  }
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, to);
  lua_settop(L, top);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* What an index names. */
typedef struct cspot {
  ctype *type;
  char *at;
  size_t size; /* bytes there, as far as is known */
  unsigned first, width;
  bool is_const;
} cspot;

/* The struct that C data is or points to, or NULL; its address and the bytes known there. */
static ctype *struct_of(lua_State *L, vm *v, const cdata *c, cspot *s) {
  ctype *t = c->type;
  if (t->op == OP_STRUCT) {
    *s = (cspot){.type = t, .at = c->at, .size = c->size, .is_const = t->is_const};
    return t->base;
  }
  if (t->op != OP_POINTER) return NULL;
  t = gsl_target(L, v, t);
  if (t->op != OP_STRUCT) return NULL;
  *s = (cspot){.type = t, .at = gsl_address(c), .is_const = t->is_const};
  return t->base; /* how much there is, nobody knows: its size matters for open ones only */
}

static void check_address(lua_State *L, const cdata *c, const char *at) {
  if (!at) luaL_error(L, "attempt to access NULL as '%s'", gsl_name(c->type));
}

/* The member named at index 2; false: there is no such thing. */
static bool find_field(lua_State *L, vm *v, const cdata *c, cspot *s) {
  ctype *t = struct_of(L, v, c, s);
  const cfield *f = t ? gsl_field(L, v, t, 2) : NULL;
  if (!f) return false;
  check_address(L, c, s->at);
  size_t size = f->size;
  if (f->is_open) size = s->size > f->offset ? s->size - f->offset : 0;
  s->is_const |= f->type->is_const;
  s->type = f->type;
  s->at += f->offset;
  s->size = size;
  s->first = f->first;
  s->width = f->width;
  return true;
}

static void check_range(lua_State *L, const cdata *c, lua_Integer i, size_t element) {
  size_t n = element ? c->size / element : 0;
  if (__builtin_expect((size_t)i < n, 1)) return;
  if (c->refers && n <= 1 && i >= 0) return; /* "char data[1]", or an open array */
  luaL_error(L, "index %I is out of range for '%s' of %I elements", (LUAI_UACINT)i,
             gsl_name(c->type), (LUAI_UACINT)n);
}

/* The element that a number names. */
static void find_element(lua_State *L, vm *v, const cdata *c, lua_Integer i, cspot *s) {
  ctype *t = c->type,
        *target = t->op == OP_POINTER || t->op == OP_ARRAY ? gsl_target(L, v, t) : NULL;
  size_t size = target ? gsl_size(target) : 0;
  if (target && target->op == OP_FUNCTION && i == 0) { /* *f is f */
    *s = (cspot){.type = target, .at = gsl_address(c)};
    return;
  }
  if (!target) luaL_error(L, "'%s' cannot be indexed with a number", gsl_name(t));
  if (target->op == OP_VOID || target->op == OP_FUNCTION ||
      (!size && gs_type_flags(target->type) & GS_TYPE_INCOMPLETE))
    luaL_error(L, "'%s' cannot be indexed: the size of '%s' is unknown", gsl_name(t),
               gsl_name(target));
  if (t->op == OP_ARRAY) check_range(L, c, i, size);
  char *at = gsl_address(c);
  check_address(L, c, at);
  *s = (cspot){.type = target, .at = at + i * (lua_Integer)size, .is_const = target->is_const};
  s->size = target->op == OP_STRUCT && gsl_is_open(target->type) ? 0 : size;
}

static bool find_part(lua_State *L, vm *v, const cdata *c, cspot *s) {
  lua_Integer part = -1;
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char *name = lua_tostring(L, 2);
    part = strcmp(name, "re") == 0 ? 0 : strcmp(name, "im") == 0 ? 1 : -1;
  } else if (lua_isinteger(L, 2)) {
    part = lua_tointeger(L, 2);
  }
  if (part != 0 && part != 1) return false;
  ctype *t = gsl_target(L, v, c->type);
  size_t size = gs_type_size(t->type);
  *s = (cspot){.type = t, .at = c->at + (size_t)part * size, .is_const = c->type->is_const};
  s->size = size;
  return true;
}

/* Whether the index is a number, also one of C's. */
static bool number_index(lua_State *L, vm *v, lua_Integer *i) {
  cnumber n;
  int type = lua_type(L, 2);
  if ((type != LUA_TNUMBER && type != LUA_TUSERDATA) || !gsl_number(L, v, 2, &n)) return false;
  if (n.kind == N_FLOATING) {
    if (!(n.f >= -9.2e18L && n.f <= 9.2e18L))
      luaL_error(L, "the index %f is out of range", (double)n.f);
    n.i = (int64_t)n.f;
  }
  *i = n.i;
  return true;
}

static bool find(lua_State *L, vm *v, const cdata *c, cspot *s) {
  lua_Integer i;
  if (c->type->op == OP_COMPLEX && find_part(L, v, c, s)) return true;
  int type = lua_type(L, 2);
  if (type == LUA_TSTRING) return find_field(L, v, c, s);
  if (type == LUA_TNUMBER && lua_isinteger(L, 2))
    i = lua_tointeger(L, 2);
  else if (!number_index(L, v, &i))
    return false;
  if (c->type->op == OP_STRUCT) return false;
  find_element(L, v, c, i, s);
  return true;
}

static int no_member(lua_State *L, vm *v, const cdata *c) {
  cspot s;
  const ctype *t = struct_of(L, v, c, &s) ? s.type : c->type;
  const char *key = luaL_tolstring(L, 2, NULL);
  if (lua_type(L, 2) != LUA_TSTRING)
    return luaL_error(L, "'%s' cannot be indexed with '%s'", gsl_name(t), gsl_given(L, v, 2));
  if (t->op == OP_STRUCT && gs_type_flags(t->type) & GS_TYPE_INCOMPLETE)
    return luaL_error(L, "'%s' is not defined: its member '%s' is unknown", gsl_name(t), key);
  return luaL_error(L, "'%s' has no member named '%s'", gsl_name(t), key);
}

/* ---- c[k], c.name ---------------------------------------------------------------------------- */

static void push_bits(lua_State *L, const cspot *s) {
  uint64_t u = gsl_load_bits(s->at, s->first, s->width);
  if (s->type->op == OP_BOOL) {
    lua_pushboolean(L, u != 0);
    return;
  }
  bool sign = gs_type_kind(s->type->type) == GS_KIND_INT;
  if (sign && s->width < 64 && u >> (s->width - 1) & 1) u |= ~(uint64_t)0 << s->width;
  lua_pushinteger(L, (lua_Integer)u);
}

/* The C data at 1 by its mark.  Only for what Lua calls because it has the metatable: other
 * userdata may by chance begin with what is left of C data that was collected. */
static inline const cdata *marked(lua_State *L) {
  const cdata *c = lua_touserdata(L, 1);
  return c && lua_rawlen(L, 1) >= sizeof(*c) && c->mark == CDATA_MARK ? c : NULL;
}

/* The commonest case, of reading and writing: a member that is a number, which was found before. */
static inline const cfield *quick_field(lua_State *L, char **at, bool *is_const) {
  const cdata *c = marked(L);
  if (!c || lua_type(L, 2) != LUA_TSTRING) return NULL;
  const ctype *t = c->type;
  *at = c->at;
  if (t->op == OP_POINTER) {
    t = t->target;
    memcpy(at, c->at, sizeof(*at));
  }
  if (!t || t->op != OP_STRUCT || !*at) return NULL;
  const cfield *f = gsl_recent_field(t->base, lua_tostring(L, 2));
  if (!f || f->width || !is_number(f->type->op)) return NULL;
  *at += f->offset;
  *is_const = t->is_const || f->type->is_const;
  return f;
}

static int cdata_index(lua_State *L) {
  char *number;
  bool is_const;
  const cfield *f = quick_field(L, &number, &is_const);
  if (__builtin_expect(f != NULL, 1)) {
    gsl_push_number(L, f->type->op, number);
    return 1;
  }
  vm *v = gsl_vm(L);
  const cdata *c = gsl_check_cdata(L, v, 1);
  cspot s;
  if (find(L, v, c, &s)) {
    if (s.width) {
      push_bits(L, &s);
      return 1;
    }
    if (is_number(s.type->op)) {
      gsl_push_number(L, s.type->op, s.at);
      return 1;
    }
    gsl_push_owner(L, v, 1, c);
    return gsl_to_lua(L, v, s.type, s.at, s.size, lua_gettop(L));
  }
  if (gsl_metafield(L, v, c, "__index")) {
    if (lua_isfunction(L, -1)) return gsl_call_meta(L);
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    return 1;
  }
  bool function = c->type->op == OP_POINTER && gsl_target(L, v, c->type)->op == OP_FUNCTION;
  return function && gsl_callback_method(L, 2) ? 1 : no_member(L, v, c);
}

static void store_bits(lua_State *L, vm *v, const cspot *s, const cplace *at) {
  cslot slot = {.u64 = 0};
  gsl_to_c(L, v, 3, s->type, &slot, sizeof(slot), 0, at);
  gsl_store_bits(s->at, s->first, s->width, slot.u64);
}

/* The commonest ones, as they are in an argument of a call. */
static bool store_quickly(lua_State *L, cop op, char *to) {
  if (!lua_isinteger(L, 3)) return false;
  lua_Integer i = lua_tointeger(L, 3);
  double d;
  switch (op) {
    case OP_I8:
    case OP_U8: memcpy(to, &i, 1); return true;
    case OP_I32:
    case OP_U32: memcpy(to, &i, 4); return true;
    case OP_I64:
    case OP_U64: memcpy(to, &i, 8); return true;
    case OP_DOUBLE:
      d = (double)i;
      memcpy(to, &d, sizeof(d));
      return true;
    default: return false;
  }
}

static int cdata_newindex(lua_State *L) {
  char *number;
  bool is_const;
  const cfield *f = quick_field(L, &number, &is_const);
  if (f && !is_const && store_quickly(L, f->type->op, number)) return 0;
  vm *v = gsl_vm(L);
  const cdata *c = gsl_check_cdata(L, v, 1);
  cspot s;
  if (!find(L, v, c, &s)) {
    if (!gsl_metafield(L, v, c, "__newindex")) return no_member(L, v, c);
    if (lua_isfunction(L, -1)) return gsl_call_meta(L);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_settable(L, -3);
    return 0;
  }
  if (!s.is_const && !s.width && store_quickly(L, s.type->op, s.at)) return 0;
  cplace at = {lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL, 0, 0};
  if (s.is_const)
    gsl_wrong(L, &at, "attempt to write to constant location: '%s' is const", gsl_name(s.type));
  if (s.width) {
    store_bits(L, v, &s, &at);
    return 0;
  }
  if (!is_number(s.type->op)) { /* whose memory it is, for strings in it */
    gsl_push_owner(L, v, 1, c);
    if (!lua_isnil(L, -1)) at.owner = lua_gettop(L);
  }
  gsl_to_c(L, v, 3, s.type, s.at, s.size, 0, &at);
  return 0;
}

/* ---- tostring -------------------------------------------------------------------------------- */

static void number_text(lua_State *L, const cdata *c, char *text, size_t n) {
  cnumber a, b;
  cop op = c->type->op;
  if (op == OP_COMPLEX) {
    cop part = gsl_op_of(gs_type_target(c->type->type));
    gsl_number_at(part, c->at, &a);
    gsl_number_at(part, c->at + c->size / 2, &b);
    snprintf(text, n, "%.14Lg%+.14Lgi", a.f, b.f);
    return;
  }
  gsl_number_at(op, c->at, &a);
  if (gs_type_flags(c->type->type) & GS_TYPE_ENUM)
    lua_pushfstring(L, "cdata<%s>: %I", gsl_name(c->type), (LUAI_UACINT)a.i);
  else if (op == OP_U64)
    snprintf(text, n, "%" PRIu64 "ULL", (uint64_t)a.i);
  else
    snprintf(text, n, "%" PRId64 "LL", a.i);
}

static int cdata_tostring(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_check_cdata(L, v, 1);
  if (gsl_metafield(L, v, c, "__tostring")) return gsl_call_meta(L);
  if (gsl_metafield(L, v, c, "__name") && lua_type(L, -1) == LUA_TSTRING) {
    lua_pushfstring(L, "%s: %p", lua_tostring(L, -1), gsl_address(c));
    return 1;
  }
  cop op = c->type->op;
  char text[96] = "";
  bool is_enum = gs_type_flags(c->type->type) & GS_TYPE_ENUM;
  if (op == OP_I64 || op == OP_U64 || op == OP_COMPLEX || is_enum) {
    number_text(L, c, text, sizeof(text));
    if (*text) lua_pushstring(L, text);
    return 1;
  }
  const void *address = op == OP_POINTER ? gsl_address(c) : c->at;
  const char *mark = c->refers && op != OP_FUNCTION ? " &" : "";
  if (address)
    lua_pushfstring(L, "cdata<%s%s>: %p", gsl_name(c->type), mark, address);
  else
    lua_pushfstring(L, "cdata<%s%s>: NULL", gsl_name(c->type), mark);
  return 1;
}

/* ---- the metatables -------------------------------------------------------------------------- */

/* Pushes one of the two, which the registry holds. */
static const void *open_meta(lua_State *L, int vm_index) {
  static const luaL_Reg meta[] = {{"__index", cdata_index},
                                  {"__newindex", cdata_newindex},
                                  {"__tostring", cdata_tostring},
                                  {"__call", gsl_call_pointer},
                                  {NULL, NULL}};
  luaL_newlibtable(L, meta);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, meta, 1);
  gsl_open_operators(L, vm_index);
  lua_pushstring(L, "ffi"); /* as LuaJIT protects it */
  lua_setfield(L, -2, "__metatable");
  lua_pushstring(L, "cdata");
  lua_setfield(L, -2, "__name");
  const void *p = lua_topointer(L, -1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, p);
  return p;
}

void gsl_open_cdata(lua_State *L, int vm_index) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &strings_key);
  vm *v = lua_touserdata(L, vm_index);
  v->cdata_meta = open_meta(L, vm_index);
  lua_pop(L, 1);
  v->cdata_gc_meta = open_meta(L, vm_index);
  gsl_open_metatype(L, vm_index); /* adds __gc */
  lua_pop(L, 1);
}
