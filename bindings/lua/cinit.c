/* cinit.c: ffi.new and ffi.cast, and how C data is initialised.
 *
 * The rules are LuaJIT's.  Several values fill an array's elements or a struct's members in order;
 * one value fills all elements of an array.  A table fills elements from its index 0 or 1 on, until
 * the first nil, or a struct's members by name if it has neither; if it has just one element, that
 * fills a whole array of known size.  A string fills an array of bytes, with a NUL if there is
 * room. Of a union only the first member is filled.  What is not named is zero.
 */
#include <string.h>

#include "cdata.h"

static void too_many(lua_State *L, const ctype *t, const cplace *at) {
  gsl_wrong(L, at, "too many initialisers for '%s'", gsl_name(t));
}

static void init_one(lua_State *L, vm *v, ctype *t, void *to, size_t size, int index,
                     const cplace *at) {
  gsl_to_c(L, v, index, t, to, size, 0, at);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static void repeat(char *to, size_t one, size_t size) {
  for (size_t i = one; one && i + one <= size; i += one) memcpy(to + i, to, one);
}

static bool is_byte(const ctype *t) {
  return is_integer(t->op) && t->op != OP_BOOL && gs_type_size(t->type) == 1;
}

static void array_from_string(lua_State *L, ctype *t, char *to, size_t size, int index,
                              const cplace *at) {
  size_t n;
  const char *text = lua_tolstring(L, index, &n);
  bool open = gs_type_flags(t->type) & GS_TYPE_INCOMPLETE;
  if (open && n > size) too_many(L, t, at); /* LuaJIT would write beyond its end */
  if (n < size) n++;                        /* the NUL */
  memcpy(to, text, n < size ? n : size);
}

static void array_from_table(lua_State *L, vm *v, ctype *t, char *to, size_t size, int index,
                             const cplace *at) {
  ctype *element = gsl_target(L, v, t);
  size_t one = gs_type_size(element->type), filled = 0;
  bool open = gs_type_flags(t->type) & GS_TYPE_INCOMPLETE;
  lua_Integer i = lua_geti(L, index, 0) == LUA_TNIL ? 1 : 0;
  lua_pop(L, 1);
  for (;; i++, filled += one) {
    if (lua_geti(L, index, i) == LUA_TNIL) break;
    if (filled + one > size || !one) too_many(L, t, at);
    init_one(L, v, element, to + filled, one, -1, at);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  if (filled == one && !open) repeat(to, one, size);
}

static void array_from_values(lua_State *L, vm *v, ctype *t, char *to, size_t size, int first,
                              int n, const cplace *at) {
  ctype *element = gsl_target(L, v, t);
  size_t one = gs_type_size(element->type), filled = 0;
  for (int i = 0; i < n; i++, filled += one) {
    if (filled + one > size || !one) too_many(L, t, at);
    init_one(L, v, element, to + filled, one, first + i, at);
  }
  if (n == 1) repeat(to, one, size);
}

/* ---- structs --------------------------------------------------------------------------------- */

static void store_field(lua_State *L, vm *v, const cfield *f, char *to, size_t size, int index,
                        const cplace *at) {
  char *place = to + f->offset;
  size_t room = f->size;
  if (f->width) {
    cslot slot = {.u64 = 0};
    init_one(L, v, f->type, &slot, sizeof(slot), index, at);
    gsl_store_bits(place, f->first, f->width, slot.u64);
    return;
  }
  if (f->is_open) room = size > f->offset ? size - f->offset : 0;
  init_one(L, v, f->type, place, room, index, at);
}

/* Where values in order come from: the stack, or a table. */
typedef struct source {
  int table; /* its index; 0: the stack */
  lua_Integer next, end;
} source;

/* Pushes the next value; false: there is none. */
static bool take(lua_State *L, source *s) {
  luaL_checkstack(L, 2, "too many initialisers");
  if (!s->table) {
    if (s->next >= s->end) return false;
    lua_pushvalue(L, (int)s->next++);
    return true;
  }
  if (lua_geti(L, s->table, s->next) != LUA_TNIL) {
    s->next++;
    return true;
  }
  lua_pop(L, 1);
  return false;
}

/* Fills members in order; those of anonymous structs are as the struct's own.  false: the values
 * have come to an end. */
static bool struct_in_order(lua_State *L, vm *v, ctype *t, char *to, size_t size, source *s,
                            const cplace *at) {
  size_t n;
  const cfield *all = gsl_fields(L, v, t->base, &n);
  for (size_t i = 0; i < n; i++) {
    const cfield *f = &all[i];
    if (!f->name && f->type->op == OP_STRUCT) {
      if (!struct_in_order(L, v, f->type, to + f->offset, gs_type_size(f->type->type), s, at))
        return false;
    } else if (f->name) {
      if (!take(L, s)) return false;
      store_field(L, v, f, to, size, -1, at);
      lua_pop(L, 1);
    } else {
      continue;
    }
    if (gs_type_flags(t->type) & GS_TYPE_UNION) break;
  }
  return true;
}

/* Fills members by name; true: one was. */
static bool struct_by_name(lua_State *L, vm *v, ctype *t, char *to, size_t size, int index,
                           const cplace *at) {
  size_t n;
  bool any = false, is_union = gs_type_flags(t->type) & GS_TYPE_UNION;
  const cfield *all = gsl_fields(L, v, t->base, &n);
  luaL_checkstack(L, 4, "initialisers nest too deeply");
  for (size_t i = 0; i < n && !(is_union && any); i++) {
    const cfield *f = &all[i];
    if (!f->name && f->type->op == OP_STRUCT) {
      any |= struct_by_name(L, v, f->type, to + f->offset, gs_type_size(f->type->type), index, at);
    } else if (f->name) {
      if (lua_getfield(L, index, f->name) != LUA_TNIL) {
        store_field(L, v, f, to, size, -1, at);
        any = true;
      }
      lua_pop(L, 1);
    }
  }
  return any;
}

static void struct_from_table(lua_State *L, vm *v, ctype *t, char *to, size_t size, int index,
                              const cplace *at) {
  source s = {.table = index};
  for (s.next = 0; s.next < 2; s.next++) {
    int type = lua_geti(L, index, s.next);
    lua_pop(L, 1);
    if (type == LUA_TNIL) continue;
    if (struct_in_order(L, v, t, to, size, &s, at) && take(L, &s)) too_many(L, t, at);
    return;
  }
  struct_by_name(L, v, t, to, size, index, at);
}

static void struct_from_values(lua_State *L, vm *v, ctype *t, char *to, size_t size, int first,
                               int n, const cplace *at) {
  source s = {.next = first, .end = first + n};
  struct_in_order(L, v, t, to, size, &s, at);
  if (s.next < s.end) too_many(L, t, at);
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool same_type(lua_State *L, vm *v, const ctype *t, int index) {
  const cdata *c = gsl_test_cdata(L, v, index);
  return c && (gs_type_same(c->type->base->type, t->base->type) ||
               (t->op == OP_ARRAY && c->type->op == OP_ARRAY));
}

static void complex_from(lua_State *L, vm *v, ctype *t, char *to, int first, int n,
                         const cplace *at) {
  ctype *part = gsl_target(L, v, t);
  size_t one = gs_type_size(part->type);
  if (n > 2) too_many(L, t, at);
  for (int i = 0; i < n; i++) init_one(L, v, part, to + (size_t)i * one, one, first + i, at);
}

static void init_from_table(lua_State *L, vm *v, ctype *t, void *to, size_t size, int index,
                            const cplace *at) {
  luaL_checkstack(L, LUA_MINSTACK, "initialisers nest too deeply");
  switch (t->op) {
    case OP_ARRAY: array_from_table(L, v, t, to, size, index, at); break;
    case OP_STRUCT: struct_from_table(L, v, t, to, size, index, at); break;
    case OP_COMPLEX:
      if (lua_geti(L, index, 3) != LUA_TNIL) too_many(L, t, at);
      lua_geti(L, index, 1);
      lua_geti(L, index, 2);
      complex_from(L, v, t, to, lua_gettop(L) - 1, lua_isnil(L, -1) ? 1 : 2, at);
      lua_pop(L, 3);
      break;
    default: gsl_mismatch(L, v, index, t, at);
  }
}

void gsl_init(lua_State *L, vm *v, ctype *t, void *to, size_t size, int first, int n,
              const cplace *at) {
  if (n == 0) return;
  bool aggregate = t->op == OP_ARRAY || t->op == OP_STRUCT || t->op == OP_COMPLEX;
  if (n == 1) {
    int type = lua_type(L, first);
    if (aggregate && type == LUA_TTABLE)
      init_from_table(L, v, t, to, size, first, at);
    else if (t->op == OP_ARRAY && type == LUA_TSTRING && is_byte(gsl_target(L, v, t)))
      array_from_string(L, t, to, size, first, at);
    else if (!aggregate || t->op == OP_COMPLEX || same_type(L, v, t, first))
      init_one(L, v, t, to, size, first, at);
    else if (t->op == OP_ARRAY)
      array_from_values(L, v, t, to, size, first, 1, at);
    else
      struct_from_values(L, v, t, to, size, first, 1, at);
  } else if (t->op == OP_ARRAY) {
    array_from_values(L, v, t, to, size, first, n, at);
  } else if (t->op == OP_STRUCT) {
    struct_from_values(L, v, t, to, size, first, n, at);
  } else if (t->op == OP_COMPLEX) {
    complex_from(L, v, t, to, first, n, at);
  } else {
    too_many(L, t, at);
  }
}

/* ---- ffi.new, ffi.cast ----------------------------------------------------------------------- */

static int new_of(lua_State *L, vm *v, ctype *t, int first) {
  bool open = gsl_is_open(t->type);
  lua_Integer nelem = 0;
  size_t size;
  if (open && t->op == OP_STRUCT && lua_isnone(L, first)) {
    nelem = 0;
  } else if (open) {
    cnumber n;
    if (!gsl_number(L, v, first, &n) || lua_isboolean(L, first))
      return luaL_error(L, "'%s' has no size: the number of its elements expected after the type",
                        gsl_name(t));
    nelem = n.kind == N_FLOATING ? n.f >= 0 && n.f < 9e15L ? (lua_Integer)n.f : -1 : n.i;
    first++;
  }
  if (!gsl_size_of(t->type, open, nelem, &size))
    return luaL_error(L, "the size of '%s' is unknown or too large", gsl_name(t));
  int n = lua_gettop(L) - first + 1;
  cdata *c = gsl_new_cdata(L, v, t, size);
  int made = lua_gettop(L);
  cplace at = {NULL, 0, made};
  gsl_init(L, v, t, c->at, size, first, n > 0 ? n : 0, &at);
  lua_settop(L, made);
  if (gsl_type_metafield(L, t->base, "__gc")) {
    gsl_set_finalizer(L, v, made, -1);
    lua_settop(L, made);
  }
  return 1;
}

/* ffi.new(ct, …), and ct(…). */
int gsl_l_new(lua_State *L) {
  vm *v = gsl_vm(L);
  ctype *t = gsl_check_ctype(L, v, 1, 0);
  return new_of(L, v, t, 2);
}

/* ct(…): as ffi.new, or by __new of its metatable. */
int gsl_call_ctype(lua_State *L) {
  vm *v = gsl_vm(L);
  ctype *t = gsl_check_ctype(L, v, 1, 0);
  if (gsl_type_metafield(L, t->base, "__new")) return gsl_call_meta(L);
  return new_of(L, v, t, 2);
}

/* ffi.cast(ct, value): a number or a pointer of that type. */
int gsl_l_cast(lua_State *L) {
  vm *v = gsl_vm(L);
  ctype *t = gsl_check_ctype(L, v, 1, 0);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (!is_number(t->op) && t->op != OP_POINTER && t->op != OP_COMPLEX)
    return luaL_error(L, "ffi.cast: a number or pointer type expected, got '%s'", gsl_name(t));
  cplace at = {NULL, 0, -1}; /* a string becomes the uservalue */
  cdata *c = gsl_new_cdata(L, v, t, gs_type_size(t->type));
  gsl_to_c(L, v, 2, t, c->at, c->size, CONV_CAST, &at);
  if (t->op != OP_POINTER) return 1;
  const cdata *from = gsl_test_cdata(L, v, 2);
  if (from)
    gsl_push_owner(L, v, 2, from);
  else
    lua_pushvalue(L, 2); /* a string, a file, a userdata */
  if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TUSERDATA)
    lua_setiuservalue(L, 3, 1);
  lua_settop(L, 3);
  return 1;
}
