/* ctype.c: C types as Lua values: ffi.typeof, sizeof, alignof, offsetof, istype.
 *
 * A ctype is made once for each gs_type and is never collected before its VM, as gs_types are not:
 * so what refers to one keeps its address.  A string that spells a type is parsed once; the table
 * of spellings is emptied by ffi.cdef, after which one may mean something else.
 */
#include <stdio.h>
#include <string.h>

#include "cdata.h"

#define CTYPE "gosched.ctype"
#define MOST_PARAMS 32

static const char types_key, spellings_key; /* registry: gs_type -> ctype, string -> ctype */

/* ---- making ---------------------------------------------------------------------------------- */

static ctype *make(lua_State *L, vm *v, const gs_type *type) {
  const gs_type *canon = gs_type_canon(type);
  ctype *base = canon == type ? NULL : gsl_ctype_of(L, v, canon);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
  ctype *t = lua_newuserdatauv(L, sizeof(*t), 1);
  /* That may have run finalizers, and so anything: it may have been made meanwhile. */
  if (lua_rawgetp(L, -2, type) != LUA_TNIL) {
    t = lua_touserdata(L, -1);
    lua_pop(L, 3);
    return t;
  }
  lua_pop(L, 1);
  *t = (ctype){.type = type, .op = gsl_op_of(type)};
  t->base = base ? base : t;
  t->is_const = gs_type_flags(type) & GS_TYPE_CONST;
  lua_rawgetp(L, LUA_REGISTRYINDEX, v->ctype_meta);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, -2, type);
  lua_pop(L, 1);
  return t;
}

ctype *gsl_ctype_of(lua_State *L, vm *v, const gs_type *type) {
  luaL_checkstack(L, 8, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
  lua_rawgetp(L, -1, type);
  ctype *t = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return t ? t : make(L, v, type);
}

void gsl_push_ctype(lua_State *L, const ctype *t) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
  lua_rawgetp(L, -1, t->type);
  lua_remove(L, -2);
}

ctype *gsl_test_ctype(lua_State *L, vm *v, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  bool yes = lua_topointer(L, -1) == v->ctype_meta;
  lua_pop(L, 1);
  return yes ? lua_touserdata(L, index) : NULL;
}

const char *gsl_name(const ctype *t) { return gs_type_name(t->type); }

ctype *gsl_target(lua_State *L, vm *v, ctype *t) {
  if (!t->target) t->target = gsl_ctype_of(L, v, gs_type_target(t->type));
  return t->target;
}

ctype *gsl_pointer_to(lua_State *L, vm *v, ctype *t) {
  if (t->pointer) return t->pointer;
  gs_ffi_param given = {.type = t->type};
  const gs_type *type = NULL;
  gs_ffi_error err;
  if (gs_ffi_type_with(v->ffi, "$ *", &given, 1, &type, &err) != GS_OK) luaL_error(L, err.text);
  return t->pointer = gsl_ctype_of(L, v, type);
}

/* ---- the argument ct ------------------------------------------------------------------------- */

static const char *check_text(lua_State *L, int index) {
  size_t n;
  const char *text = lua_tolstring(L, index, &n);
  luaL_argcheck(L, strlen(text) == n, index, "the type contains a NUL byte");
  return text;
}

static ctype *parse(lua_State *L, vm *v, const char *text, const gs_ffi_param *params, size_t n) {
  const gs_type *type = NULL;
  gs_ffi_error err;
  if (gs_ffi_type_with(v->ffi, text, params, n, &type, &err) != GS_OK)
    luaL_error(L, "'%s' is no C type: %s", text, err.text);
  return gsl_ctype_of(L, v, type);
}

/* A type without parameters, from the table of spellings if it is there. */
static ctype *spelled(lua_State *L, vm *v, int index) {
  luaL_checkstack(L, 8, NULL);
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &spellings_key);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) != LUA_TNIL) {
    ctype *known = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return known;
  }
  lua_pop(L, 1);
  const char *text = check_text(L, index);
  ctype *t = parse(L, v, text, NULL, 0);
  if (strchr(text, '{')) { /* each time another struct */
    lua_pop(L, 1);
    return t;
  }
  lua_pushvalue(L, index);
  gsl_push_ctype(L, t);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return t;
}

static void read_param(lua_State *L, vm *v, int index, gs_ffi_param *p) {
  *p = (gs_ffi_param){.type = NULL};
  if (lua_isinteger(L, index)) {
    p->number = lua_tointeger(L, index);
  } else if (lua_type(L, index) == LUA_TSTRING) {
    p->name = check_text(L, index);
  } else {
    const ctype *t = gsl_test_ctype(L, v, index);
    const cdata *c = t ? NULL : gsl_test_cdata(L, v, index);
    if (!t && !c) luaL_argerror(L, index, "a C type, a name or a whole number expected for '$'");
    p->type = t ? t->type : c->type->type;
  }
}

size_t gsl_read_params(lua_State *L, vm *v, int first, gs_ffi_param *params, int most) {
  int n = lua_gettop(L) - first + 1;
  luaL_argcheck(L, n <= most, first + most, "too many parameters");
  for (int i = 0; i < n; i++) read_param(L, v, first + i, &params[i]);
  return n > 0 ? (size_t)n : 0;
}

ctype *gsl_check_ctype(lua_State *L, vm *v, int index, int first) {
  if (lua_type(L, index) == LUA_TSTRING) {
    gs_ffi_param params[MOST_PARAMS];
    size_t n = first ? gsl_read_params(L, v, first, params, MOST_PARAMS) : 0;
    return n ? parse(L, v, check_text(L, index), params, n) : spelled(L, v, index);
  }
  ctype *t = gsl_test_ctype(L, v, index);
  if (t) return t;
  const cdata *c = gsl_test_cdata(L, v, index);
  if (c) return c->type;
  const cfunction *f = gsl_test_function(L, index);
  if (f) return gsl_ctype_of(L, v, gsl_function_type(f));
  luaL_typeerror(L, index, "C type");
  return NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

/* The userdata with all members in order, and a table of them by name, which the registry has by
 * the ctype's address. */
static void add_fields(lua_State *L, vm *v, const gs_type *type, size_t offset, cfield *to,
                       bool names_only) {
  for (size_t i = 0; i < gs_type_length(type); i++) {
    const gs_field *f = gs_type_field(type, i);
    unsigned first = 0, width = gs_field_bits(f, &first);
    const gs_type *ft = gs_field_type(f);
    const char *name = gs_field_name(f);
    size_t at = offset + gs_field_offset(f);
    bool inner = !name && gs_type_kind(ft) == GS_KIND_STRUCT;
    if (inner) add_fields(L, v, ft, at, NULL, true);
    cfield one = {.type = gsl_ctype_of(L, v, ft), .offset = at, .first = first, .width = width};
    one.size = gs_type_size(ft);
    one.is_open = gsl_is_open(ft);
    one.name = name;
    if (!names_only) to[i] = one;
    if (!name) continue;
    cfield *kept = lua_newuserdatauv(L, sizeof(*kept), 0);
    *kept = one;
    lua_setfield(L, -2, name);
  }
}

static void make_fields(lua_State *L, vm *v, ctype *t) {
  luaL_checkstack(L, 8, NULL);
  size_t n = gs_type_length(t->type);
  lua_createtable(L, 1, (int)n);
  cfield *all = lua_newuserdatauv(L, (n ? n : 1) * sizeof(*all), 0);
  lua_rawseti(L, -2, 1);
  add_fields(L, v, t->type, 0, all, false);
  if (t->has_fields) { /* by a finalizer that ran meanwhile, or while one waited in C */
    lua_pop(L, 1);
    return;
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, t);
  t->has_fields = true;
}

static bool push_fields(lua_State *L, vm *v, ctype *t) {
  if (!t->has_fields) {
    if (gs_type_flags(t->type) & GS_TYPE_INCOMPLETE) return false;
    make_fields(L, v, t);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, t);
  return true;
}

#define INTERNED 40 /* Lua has each string of at most so many bytes once */

/* A short string is known by its address.  That of a member's name is the table's, which keeps it:
 * no other string comes to have the same address. */
const cfield *gsl_field(lua_State *L, vm *v, ctype *t, int index) {
  const char *name = lua_tostring(L, index);
  const cfield *found = gsl_recent_field(t, name);
  if (found) return found;
  if (!push_fields(L, v, t)) return NULL;
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  const cfield *f = lua_touserdata(L, -1);
  if (f && lua_rawlen(L, index) <= INTERNED) {
    size_t slot = (uintptr_t)name / 16 % RECENT;
    t->recent[slot].name = name;
    t->recent[slot].field = f;
  }
  lua_pop(L, 2);
  return f;
}

const cfield *gsl_fields(lua_State *L, vm *v, ctype *t, size_t *n) {
  *n = 0;
  if (!push_fields(L, v, t)) return NULL;
  lua_rawgeti(L, -1, 1);
  const cfield *all = lua_touserdata(L, -1);
  lua_pop(L, 2);
  *n = gs_type_length(t->type);
  return all;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* The type of the elements that an open type has as many of as is said. */
static const gs_type *open_element(const gs_type *type) {
  unsigned flags = gs_type_flags(type);
  if (gs_type_kind(type) == GS_KIND_ARRAY && flags & GS_TYPE_INCOMPLETE)
    return gs_type_target(type);
  if (gs_type_kind(type) != GS_KIND_STRUCT || !(flags & GS_TYPE_FLEXIBLE)) return NULL;
  return open_element(gs_field_type(gs_type_field(type, gs_type_length(type) - 1)));
}

bool gsl_is_open(const gs_type *type) { return open_element(type) != NULL; }

bool gsl_size_of(const gs_type *type, bool has_nelem, lua_Integer nelem, size_t *size) {
  const gs_type *element = open_element(type);
  gs_kind kind = gs_type_kind(type);
  *size = gs_type_size(type);
  if (!element)
    return kind != GS_KIND_VOID && kind != GS_KIND_FUNCTION &&
           !(gs_type_flags(type) & GS_TYPE_INCOMPLETE);
  size_t more, start = 0;
  if (!has_nelem || nelem < 0) return false;
  if (kind == GS_KIND_STRUCT)
    start = gs_field_offset(gs_type_field(type, gs_type_length(type) - 1));
  if (__builtin_mul_overflow((size_t)nelem, gs_type_size(element), &more) ||
      __builtin_add_overflow(start, more, &more) || more > PTRDIFF_MAX / 16)
    return false;
  if (more > *size) *size = more;
  if (kind == GS_KIND_STRUCT) { /* as sizeof would say of an array with a size there */
    size_t align = gs_type_align(type);
    *size = (*size + align - 1) / align * align;
  }
  return true;
}

int gsl_l_typeof(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checkany(L, 1);
  gsl_push_ctype(L, gsl_check_ctype(L, v, 1, 2));
  return 1;
}

int gsl_l_sizeof(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_test_cdata(L, v, 1);
  const ctype *t = gsl_check_ctype(L, v, 1, 0);
  size_t size = 0;
  if (c && gsl_is_open(t->type) && c->size) {
    lua_pushinteger(L, (lua_Integer)c->size);
    return 1;
  }
  bool given = !lua_isnoneornil(L, 2);
  if (gsl_size_of(t->type, given || t->op == OP_STRUCT, given ? luaL_checkinteger(L, 2) : 0, &size))
    lua_pushinteger(L, (lua_Integer)size);
  else
    luaL_pushfail(L);
  return 1;
}

int gsl_l_alignof(lua_State *L) {
  const ctype *t = gsl_check_ctype(L, gsl_vm(L), 1, 0);
  lua_pushinteger(L, (lua_Integer)gs_type_align(t->type));
  return 1;
}

int gsl_l_offsetof(lua_State *L) {
  vm *v = gsl_vm(L);
  ctype *t = gsl_check_ctype(L, v, 1, 0);
  luaL_checkstring(L, 2);
  lua_tostring(L, 2); /* a number as a string: no member has it */
  if (t->op != OP_STRUCT) return 0;
  const cfield *f = gsl_field(L, v, t->base, 2);
  if (!f) return 0;
  if (!f->width) {
    lua_pushinteger(L, (lua_Integer)f->offset);
    return 1;
  }
  /* The storage unit of the declared type that the bits are in, as LuaJIT says it. */
  size_t unit = gs_type_size(f->type->type) * 8, bit = f->offset * 8 + f->first;
  lua_pushinteger(L, (lua_Integer)(bit / unit * unit / 8));
  lua_pushinteger(L, (lua_Integer)(bit % unit));
  lua_pushinteger(L, (lua_Integer)f->width);
  return 3;
}

/* ffi.istype: qualifiers do not count; a pointer to a struct is as the struct. */
int gsl_l_istype(lua_State *L) {
  vm *v = gsl_vm(L);
  const ctype *t = gsl_check_ctype(L, v, 1, 0);
  luaL_checkany(L, 2);
  const cdata *c = gsl_test_cdata(L, v, 2);
  const cfunction *f = c ? NULL : gsl_test_function(L, 2);
  bool yes = false;
  if (c || f) {
    const gs_type *a = gs_type_canon(t->type);
    const gs_type *b = gs_type_canon(c ? c->type->type : gsl_function_type(f));
    if (gs_type_kind(a) == GS_KIND_STRUCT && gs_type_kind(b) == GS_KIND_POINTER)
      b = gs_type_canon(gs_type_target(b));
    if (gs_type_kind(a) == GS_KIND_POINTER && gs_type_kind(b) == GS_KIND_POINTER)
      yes = gsl_pointer_fits(a, b, false);
    else
      yes = gs_type_same(a, b);
  }
  lua_pushboolean(L, yes);
  return 1;
}

/* ---- the value ------------------------------------------------------------------------------- */

static int ctype_tostring(lua_State *L) {
  const ctype *t = gsl_test_ctype(L, gsl_vm(L), 1);
  if (!t) return luaL_typeerror(L, 1, "C type");
  lua_pushfstring(L, "ctype<%s>", gsl_name(t));
  return 1;
}

static int ctype_equal(lua_State *L) {
  vm *v = gsl_vm(L);
  const ctype *a = gsl_test_ctype(L, v, 1), *b = gsl_test_ctype(L, v, 2);
  lua_pushboolean(L, a && b && gs_type_same(a->type, b->type));
  return 1;
}

/* ct.NAME: an enumerator of an enum, or what __index of a metatable says. */
static int ctype_index(lua_State *L) {
  vm *v = gsl_vm(L);
  const ctype *t = gsl_test_ctype(L, v, 1);
  if (!t) return luaL_typeerror(L, 1, "C type");
  const gs_decl *d = lua_type(L, 2) == LUA_TSTRING ? gs_ffi_find(v->ffi, lua_tostring(L, 2)) : NULL;
  if (d && gs_decl_what(d) == GS_DECL_CONSTANT && gs_type_flags(t->type) & GS_TYPE_ENUM &&
      gs_type_canon(gs_decl_type(d)) == t->base->type) {
    lua_pushinteger(L, (lua_Integer)gs_decl_value(d));
    return 1;
  }
  if (gsl_type_metafield(L, t->base, "__index")) {
    if (lua_isfunction(L, -1)) return gsl_call_meta(L);
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    return 1;
  }
  return luaL_error(L, "'%s' has no member named '%s'", gsl_name(t), luaL_tolstring(L, 2, NULL));
}

void gsl_forget_spellings(lua_State *L) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &spellings_key);
}

void gsl_open_ctype(lua_State *L, int vm_index) {
  static const luaL_Reg meta[] = {{"__tostring", ctype_tostring},
                                  {"__eq", ctype_equal},
                                  {"__index", ctype_index},
                                  {"__call", gsl_call_ctype},
                                  {NULL, NULL}};
  vm *v = lua_touserdata(L, vm_index);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &types_key);
  gsl_forget_spellings(L);
  luaL_newlibtable(L, meta);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, meta, 1);
  lua_pushstring(L, "ffi"); /* as LuaJIT protects it */
  lua_setfield(L, -2, "__metatable");
  lua_pushstring(L, CTYPE);
  lua_setfield(L, -2, "__name");
  v->ctype_meta = lua_topointer(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, v->ctype_meta);
}
