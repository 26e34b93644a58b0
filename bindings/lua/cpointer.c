/* cpointer.c: what may stand where C wants a pointer.
 *
 * As in C, without a cast: NULL, a pointer to the same type (or more qualified), void * on either
 * side, an array, the struct that it points to.  From Lua also nil, a string where C only reads
 * bytes, a file, a userdata (the address of what it holds), a Lua function where a function is
 * wanted.  A cast takes any pointer, any number, and strings for all pointers.
 */
#include <string.h>

#include "cdata.h"

/* ---- which pointers fit ---------------------------------------------------------------------- */

static bool same_integers(const gs_type *a, const gs_type *b) {
  gs_kind x = gs_type_kind(a), y = gs_type_kind(b);
  return (x == GS_KIND_INT || x == GS_KIND_UINT) && (y == GS_KIND_INT || y == GS_KIND_UINT) &&
         gs_type_size(a) == gs_type_size(b);
}

bool gsl_pointer_fits(const gs_type *to, const gs_type *from, bool void_too) {
  const gs_type *t = gs_type_target(to), *f = gs_type_target(from);
  const unsigned qualifiers = GS_TYPE_CONST | GS_TYPE_VOLATILE;
  if (void_too && gs_type_flags(f) & ~gs_type_flags(t) & qualifiers) return false;
  const gs_type *ct = gs_type_canon(t), *cf = gs_type_canon(f);
  if (void_too && (gs_type_kind(ct) == GS_KIND_VOID || gs_type_kind(cf) == GS_KIND_VOID))
    return true;
  if (same_integers(ct, cf)) return true;
  if (gs_type_kind(ct) == GS_KIND_POINTER && gs_type_kind(cf) == GS_KIND_POINTER)
    return gsl_pointer_fits(ct, cf, false);
  if (gs_type_kind(ct) == GS_KIND_ARRAY && gs_type_kind(cf) == GS_KIND_ARRAY)
    return (gs_type_length(ct) == gs_type_length(cf) || gs_type_flags(ct) & GS_TYPE_INCOMPLETE) &&
           gsl_pointer_fits(ct, cf, false);
  return gs_type_same(ct, cf);
}

static bool is_pointer_to_struct(const gs_type *pointer, const ctype *t) {
  return t->op == OP_STRUCT && gs_type_canon(gs_type_target(pointer)) == t->base->type;
}

static bool to_void(const gs_type *pointer) {
  return gs_type_kind(gs_type_target(pointer)) == GS_KIND_VOID;
}

bool gsl_cdata_fits(const gs_type *to, const cdata *c) {
  const unsigned qualifiers = GS_TYPE_CONST | GS_TYPE_VOLATILE;
  const ctype *t = c->type;
  switch (t->op) {
    case OP_POINTER:
    case OP_ARRAY: return gsl_pointer_fits(to, t->type, true);
    case OP_STRUCT:
      return (is_pointer_to_struct(to, t) || to_void(to)) &&
             !(gs_type_flags(t->type) & ~gs_type_flags(gs_type_target(to)) & qualifiers);
    case OP_FUNCTION: return gs_type_same(gs_type_canon(gs_type_target(to)), t->base->type);
    default: return false;
  }
}

void *gsl_address(const cdata *c) {
  void *p = c->at;
  if (c->type->op == OP_POINTER) memcpy(&p, c->at, sizeof(p));
  return p;
}

/* ---- from Lua -------------------------------------------------------------------------------- */

/* Where C only reads bytes through the pointer. */
bool gsl_takes_string(const gs_type *type) {
  const gs_type *target = gs_type_target(type);
  if (!(gs_type_flags(target) & GS_TYPE_CONST)) return false;
  gs_kind kind = gs_type_kind(target);
  return kind == GS_KIND_VOID ||
         ((kind == GS_KIND_INT || kind == GS_KIND_UINT) && gs_type_size(target) == 1);
}

static bool to_function(const gs_type *pointer) {
  return gs_type_kind(gs_type_target(pointer)) == GS_KIND_FUNCTION;
}

static void *from_function(lua_State *L, vm *v, int index, ctype *t, unsigned how,
                           const cplace *at) {
  const cfunction *f = gsl_test_function(L, index);
  if (!f) {
    if (!to_function(t->type)) gsl_mismatch(L, v, index, t, at);
    return gsl_callback(L, v, index, t, !(how & CONV_CAST), at);
  }
  const gs_type *target = gs_type_target(t->type);
  bool fits = how & CONV_CAST || gs_type_kind(target) == GS_KIND_VOID ||
              gs_type_same(gs_type_canon(target), gs_type_canon(gsl_function_type(f)));
  if (!fits) gsl_mismatch(L, v, index, t, at);
  return gsl_function_code(f);
}

static void *from_userdata(lua_State *L, vm *v, int index, ctype *t, unsigned how,
                           const cplace *at) {
  const cdata *c = gsl_test_cdata(L, v, index);
  if (c) {
    cnumber n;
    if (gsl_cdata_fits(t->type, c)) return gsl_address(c);
    if (!(how & CONV_CAST)) gsl_mismatch(L, v, index, t, at);
    if (!gsl_number(L, v, index, &n)) return gsl_address(c);
    cslot slot;
    gsl_store_number(L, OP_U64, n, &slot, t, at);
    return slot.p;
  }
  if (gsl_test_ctype(L, v, index)) gsl_mismatch(L, v, index, t, at);
  luaL_Stream *file = luaL_testudata(L, index, LUA_FILEHANDLE);
  return file ? (void *)file->f : lua_touserdata(L, index);
}

void gsl_to_pointer(lua_State *L, vm *v, int index, ctype *t, void **to, unsigned how,
                    const cplace *at) {
  cslot slot = {.p = NULL};
  cnumber n;
  switch (lua_type(L, index)) {
    case LUA_TNIL: break;
    case LUA_TSTRING:
      if (!gsl_takes_string(t->type) && !(how & CONV_CAST))
        gsl_wrong(L, at,
                  "cannot convert 'string' to '%s': a string may only go where C does not write "
                  "(const char *, const void *); copy it into an array",
                  gsl_name(t));
      slot.p = (void *)(uintptr_t)lua_tostring(L, index);
      break;
    case LUA_TNUMBER:
      if (!(how & CONV_CAST)) gsl_mismatch(L, v, index, t, at);
      gsl_number(L, v, index, &n);
      gsl_store_number(L, OP_U64, n, &slot, t, at);
      break;
    case LUA_TLIGHTUSERDATA: slot.p = lua_touserdata(L, index); break;
    case LUA_TUSERDATA: slot.p = from_userdata(L, v, index, t, how, at); break;
    case LUA_TFUNCTION: slot.p = from_function(L, v, index, t, how, at); break;
    default: gsl_mismatch(L, v, index, t, at);
  }
  *to = slot.p;
}
