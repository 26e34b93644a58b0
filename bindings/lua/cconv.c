/* cconv.c: Lua values to C values and back, for all types.
 *
 * Numbers and pointers have files of their own.  A struct takes C data of the same type, or a table
 * as ffi.new does; an enum a number or the name of an enumerator; a complex number a number, C data
 * or a table of two numbers.  C's numbers, _Bool and enums become Lua numbers and booleans; what is
 * no single value becomes C data.
 */
#include <string.h>

#include "cdata.h"

/* ---- errors ---------------------------------------------------------------------------------- */

void gsl_wrong(lua_State *L, const cplace *at, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  luaL_where(L, 1);
  int parts = 2;
  if (at && at->name && at->arg)
    lua_pushfstring(L, "argument %d of %s: ", at->arg, at->name);
  else if (at && at->name)
    lua_pushfstring(L, "%s: ", at->name);
  else
    parts = 1;
  lua_pushvfstring(L, format, ap);
  va_end(ap);
  lua_concat(L, parts + 1);
  lua_error(L);
  __builtin_unreachable();
}

const char *gsl_given(lua_State *L, vm *v, int index) {
  const cdata *c = gsl_test_cdata(L, v, index);
  const ctype *t = c ? c->type : gsl_test_ctype(L, v, index);
  const cfunction *f = t ? NULL : gsl_test_function(L, index);
  if (t) return lua_pushfstring(L, c ? "%s" : "ctype<%s>", gsl_name(t));
  if (f) return lua_pushstring(L, gs_type_name(gsl_function_type(f)));
  return lua_pushstring(L, luaL_typename(L, index));
}

void gsl_mismatch(lua_State *L, vm *v, int index, const ctype *t, const cplace *at) {
  gsl_wrong(L, at, "cannot convert '%s' to '%s'", gsl_given(L, v, index), gsl_name(t));
}

/* ---- Lua to C -------------------------------------------------------------------------------- */

static bool is_enum(const ctype *t) { return gs_type_flags(t->type) & GS_TYPE_ENUM; }

/* An enumerator's name. */
static void name_to_enum(lua_State *L, vm *v, int index, ctype *t, void *to, const cplace *at) {
  const char *name = lua_tostring(L, index);
  const gs_decl *d = gs_ffi_find(v->ffi, name);
  if (!d || gs_decl_what(d) != GS_DECL_CONSTANT || gs_type_canon(gs_decl_type(d)) != t->base->type)
    gsl_wrong(L, at, "'%s' has no enumerator '%s'", gsl_name(t), name);
  gsl_store_number(L, t->op, (cnumber){.kind = N_SIGNED, .i = gs_decl_value(d)}, to, t, at);
}

/* The address that a value is, if it is one of C's. */
static bool address_of(lua_State *L, vm *v, int index, void **address) {
  const cdata *c = gsl_test_cdata(L, v, index);
  const cfunction *f = c ? NULL : gsl_test_function(L, index);
  if (!c && !f && !lua_islightuserdata(L, index)) return false;
  *address = c ? gsl_address(c) : f ? gsl_function_code(f) : lua_touserdata(L, index);
  return true;
}

static void number_to_c(lua_State *L, vm *v, int index, ctype *t, void *to, unsigned how,
                        const cplace *at) {
  cnumber n;
  if (gsl_number(L, v, index, &n)) {
    gsl_store_number(L, t->op, n, to, t, at);
    return;
  }
  if (lua_type(L, index) == LUA_TSTRING && is_enum(t)) {
    name_to_enum(L, v, index, t, to, at);
    return;
  }
  void *address = NULL;
  bool found = address_of(L, v, index, &address);
  if (found && t->op == OP_BOOL) {
    *(unsigned char *)to = address != NULL;
  } else if (found && how & CONV_CAST && is_integer(t->op)) {
    n = (cnumber){.kind = N_UNSIGNED, .i = (int64_t)(uintptr_t)address};
    gsl_store_number(L, t->op, n, to, t, at);
  } else {
    gsl_mismatch(L, v, index, t, at);
  }
}

static void complex_to_c(lua_State *L, vm *v, int index, ctype *t, char *to, const cplace *at) {
  ctype *part = gsl_target(L, v, t);
  size_t size = gs_type_size(part->type);
  const cdata *c = gsl_test_cdata(L, v, index);
  cnumber n[2] = {{.kind = N_SIGNED}, {.kind = N_SIGNED}};
  if (c && c->type->op == OP_COMPLEX) {
    cop op = gsl_op_of(gs_type_target(c->type->type));
    gsl_number_at(op, c->at, &n[0]);
    gsl_number_at(op, c->at + c->size / 2, &n[1]);
  } else if (!gsl_number(L, v, index, &n[0])) {
    gsl_mismatch(L, v, index, t, at);
  }
  for (int i = 0; i < 2; i++) gsl_store_number(L, part->op, n[i], to + (size_t)i * size, part, at);
}

/* Structs and arrays: C data of the same type; else as an initialiser. */
static void aggregate_to_c(lua_State *L, vm *v, int index, ctype *t, void *to, size_t size,
                           const cplace *at) {
  const cdata *c = gsl_test_cdata(L, v, index);
  if (c) {
    if (!gs_type_same(c->type->base->type, t->base->type)) {
      bool open = t->op == OP_ARRAY && c->type->op == OP_ARRAY && c->size <= size &&
                  gsl_pointer_fits(t->type, c->type->type, false);
      if (!open) gsl_mismatch(L, v, index, t, at);
    }
    size_t n = c->size ? c->size : gsl_size(c->type);
    if (n > size) n = size;
    memmove(to, c->at, n);
    if (n < size) memset((char *)to + n, 0, size - n);
    return;
  }
  int type = lua_type(L, index);
  if (type != LUA_TTABLE && type != LUA_TSTRING) gsl_mismatch(L, v, index, t, at);
  memset(to, 0, size);
  gsl_init(L, v, t, to, size, lua_absindex(L, index), 1, at);
}

void gsl_to_c(lua_State *L, vm *v, int index, ctype *t, void *to, size_t size, unsigned how,
              const cplace *at) {
  void *p = NULL;
  switch (t->op) {
    case OP_POINTER:
      gsl_to_pointer(L, v, index, t, &p, how, at);
      memcpy(to, &p, sizeof(p));
      if (at->owner >= 0 && lua_type(L, index) == LUA_TSTRING)
        gsl_keep_string(L, at->owner, to, index);
      break;
    case OP_COMPLEX:
      if (lua_type(L, index) == LUA_TTABLE)
        gsl_init(L, v, t, to, size, lua_absindex(L, index), 1, at);
      else
        complex_to_c(L, v, index, t, to, at);
      break;
    case OP_STRUCT:
    case OP_ARRAY: aggregate_to_c(L, v, index, t, to, size, at); break;
    case OP_VOID:
    case OP_FUNCTION: gsl_mismatch(L, v, index, t, at); break;
    default: number_to_c(L, v, index, t, to, how, at);
  }
}

/* Numbers and strings have an obvious type for "...".  An integer has 64 bits, which "%d" and "%ld"
 * both read right on the ABIs there are. */
ctype *gsl_variadic_type(lua_State *L, vm *v, int index, const cplace *at) {
  const cdata *c = gsl_test_cdata(L, v, index);
  const cfunction *f = c ? NULL : gsl_test_function(L, index);
  const char *name = NULL;
  const gs_type *text = NULL;
  if (c && c->type->op == OP_ARRAY) return gsl_pointer_to(L, v, gsl_target(L, v, c->type));
  if (c && (c->type->op == OP_FUNCTION || c->type->op == OP_STRUCT)) /* as LuaJIT */
    return gsl_pointer_to(L, v, c->type);
  if (c) return c->type;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: name = lua_isinteger(L, index) ? "int64" : "double"; break;
    case LUA_TBOOLEAN: name = "bool"; break;
    case LUA_TNIL:
    case LUA_TLIGHTUSERDATA:
    case LUA_TUSERDATA: name = "pointer"; break;
    case LUA_TFUNCTION:
      if (f) name = "pointer";
      break;
    case LUA_TSTRING:
      if (gs_ffi_type(v->ffi, "const char *", &text, NULL) != GS_OK)
        luaL_error(L, "not enough memory");
      return gsl_ctype_of(L, v, text);
    default: break;
  }
  if (!name)
    gsl_wrong(L, at, "a number, boolean, string, C data or nil expected for '...', got %s",
              luaL_typename(L, index));
  return gsl_ctype_of(L, v, gs_type_builtin(name));
}

/* ---- C to Lua -------------------------------------------------------------------------------- */

int gsl_to_lua(lua_State *L, vm *v, ctype *t, const void *from, size_t size, int owner) {
  void *p = NULL;
  switch (t->op) {
    case OP_VOID: return 0;
    case OP_POINTER:
      memcpy(&p, from, sizeof(p));
      gsl_push_pointer(L, v, t, p, 0);
      return 1;
    case OP_COMPLEX: return gsl_copy_to_lua(L, v, t, from);
    case OP_STRUCT:
    case OP_ARRAY:
    case OP_FUNCTION: gsl_push_ref(L, v, t, (void *)(uintptr_t)from, size, owner); return 1;
    default: gsl_push_number(L, t->op, from); return 1;
  }
}

int gsl_copy_to_lua(lua_State *L, vm *v, ctype *t, const void *from) {
  if (t->op != OP_STRUCT && t->op != OP_COMPLEX) return gsl_to_lua(L, v, t, from, 0, 0);
  size_t size = gs_type_size(t->type);
  cdata *c = gsl_new_cdata(L, v, t, size);
  memcpy(c->at, from, size);
  return 1;
}
