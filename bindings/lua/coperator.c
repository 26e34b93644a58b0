/* coperator.c: what operators do with C data.
 *
 * Pointers (and arrays) are moved by whole numbers, subtracted and compared; for everything else a
 * metatable of ffi.metatype comes first.  Numbers that are C data are taken as Lua's numbers, with
 * 64 bits; if one of them is uint64_t, division and comparison are those of unsigned numbers.
 *
 * Lua asks __eq only if both are userdata: a pointer is never equal to nil, nor a number to C data.
 */
#include <string.h>

#include "cdata.h"

/* The metatable of either operand decides, the left one's first. */
static bool try_meta(lua_State *L, vm *v, const char *event) {
  for (int i = 1; i <= 2; i++) {
    const cdata *c = gsl_test_cdata(L, v, i);
    if (c && gsl_metafield(L, v, c, event)) return true;
  }
  return false;
}

static bool is_pointer(const cdata *c) {
  return c && (c->type->op == OP_POINTER || c->type->op == OP_ARRAY);
}

static const gs_type *element(const cdata *c) { return gs_type_target(c->type->type); }

static bool check_element(lua_State *L, const cdata *c, lua_Integer *size) {
  const gs_type *t = element(c);
  *size = (lua_Integer)gs_type_size(t);
  if (gs_type_kind(t) == GS_KIND_VOID || gs_type_kind(t) == GS_KIND_FUNCTION || *size == 0)
    return luaL_error(L, "arithmetic on '%s': the size of '%s' is unknown", gsl_name(c->type),
                      gs_type_name(t));
  return true;
}

static bool offset_at(lua_State *L, vm *v, int index, lua_Integer *n) {
  cnumber x;
  if (lua_type(L, index) == LUA_TBOOLEAN || !gsl_number(L, v, index, &x)) return false;
  if (x.kind == N_FLOATING && !(x.f >= -9.2e18L && x.f <= 9.2e18L)) return false;
  *n = x.kind == N_FLOATING ? (lua_Integer)x.f : x.i;
  return true;
}

/* pointer + n and pointer - n */
static int move(lua_State *L, vm *v, int pointer, const cdata *c, lua_Integer n) {
  lua_Integer size;
  check_element(L, c, &size);
  ctype *t = c->type->op == OP_ARRAY ? gsl_pointer_to(L, v, gsl_target(L, v, c->type)) : c->type;
  char *to = (char *)((uintptr_t)gsl_address(c) + (uintptr_t)n * (uintptr_t)size);
  gsl_push_owner(L, v, pointer, c);
  gsl_push_pointer(L, v, t, to, lua_gettop(L));
  return 1;
}

static int distance(lua_State *L, const cdata *a, const cdata *b) {
  lua_Integer size;
  if (!gsl_pointer_fits(a->type->type, b->type->type, false))
    return luaL_error(L, "attempt to subtract '%s' from '%s'", gsl_name(b->type),
                      gsl_name(a->type));
  check_element(L, a, &size);
  lua_pushinteger(L, ((char *)gsl_address(a) - (char *)gsl_address(b)) / size);
  return 1;
}

static const char *shown(lua_State *L, vm *v, int index) { return gsl_given(L, v, index); }

static int no_operator(lua_State *L, vm *v, const char *what) {
  return luaL_error(L, "attempt to %s '%s' and '%s'", what, shown(L, v, 1), shown(L, v, 2));
}

/* Pushes the number at index as Lua's.  false: it is none.  *u: it is unsigned, of 64 bits. */
static bool push_operand(lua_State *L, vm *v, int index, bool *u) {
  cnumber n;
  const cdata *c = gsl_test_cdata(L, v, index);
  if (!c && lua_type(L, index) != LUA_TNUMBER) return false;
  if (c && !is_number(c->type->op)) return false;
  gsl_number(L, v, index, &n);
  if (n.kind == N_FLOATING)
    lua_pushnumber(L, (lua_Number)n.f);
  else
    lua_pushinteger(L, n.i);
  *u |= n.kind == N_UNSIGNED;
  return true;
}

static int unsigned_division(lua_State *L, int op) {
  uint64_t b = (uint64_t)lua_tointeger(L, -1), a = (uint64_t)lua_tointeger(L, -2);
  if (b == 0) return luaL_error(L, "attempt to perform 'n//0'");
  lua_pushinteger(L, (lua_Integer)(op == LUA_OPMOD ? a % b : a / b));
  return 1;
}

static int compute(lua_State *L, vm *v, int op) {
  bool u = false;
  if (!push_operand(L, v, 1, &u) || !push_operand(L, v, 2, &u))
    return no_operator(L, v, "perform arithmetic on");
  bool whole = lua_isinteger(L, -1) && lua_isinteger(L, -2);
  if (whole && u && (op == LUA_OPMOD || op == LUA_OPIDIV)) return unsigned_division(L, op);
  lua_arith(L, op);
  return 1;
}

static int add(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *a = gsl_test_cdata(L, v, 1), *b = gsl_test_cdata(L, v, 2);
  lua_Integer n;
  if (is_pointer(a) && !is_pointer(b) && offset_at(L, v, 2, &n)) return move(L, v, 1, a, n);
  if (is_pointer(b) && !is_pointer(a) && offset_at(L, v, 1, &n)) return move(L, v, 2, b, n);
  if (try_meta(L, v, "__add")) return gsl_call_meta(L);
  return compute(L, v, LUA_OPADD);
}

static int subtract(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *a = gsl_test_cdata(L, v, 1), *b = gsl_test_cdata(L, v, 2);
  lua_Integer n;
  if (is_pointer(a) && is_pointer(b)) return distance(L, a, b);
  if (is_pointer(a) && offset_at(L, v, 2, &n))
    return move(L, v, 1, a, (lua_Integer)(0 - (lua_Unsigned)n));
  if (try_meta(L, v, "__sub")) return gsl_call_meta(L);
  return compute(L, v, LUA_OPSUB);
}

#define ARITHMETIC(function, event, op)                 \
  static int function(lua_State *L) {                   \
    vm *v = gsl_vm(L);                                  \
    if (try_meta(L, v, event)) return gsl_call_meta(L); \
    return compute(L, v, op);                           \
  }
ARITHMETIC(multiply, "__mul", LUA_OPMUL)
ARITHMETIC(divide, "__div", LUA_OPDIV)
ARITHMETIC(modulo, "__mod", LUA_OPMOD)
ARITHMETIC(power, "__pow", LUA_OPPOW)
ARITHMETIC(floor_divide, "__idiv", LUA_OPIDIV)
ARITHMETIC(bit_and, "__band", LUA_OPBAND)
ARITHMETIC(bit_or, "__bor", LUA_OPBOR)
ARITHMETIC(bit_xor, "__bxor", LUA_OPBXOR)
ARITHMETIC(shift_left, "__shl", LUA_OPSHL)
ARITHMETIC(shift_right, "__shr", LUA_OPSHR)

static int unary(lua_State *L, const char *event, int op) {
  vm *v = gsl_vm(L);
  bool u = false;
  if (try_meta(L, v, event)) return gsl_call_meta(L);
  if (!push_operand(L, v, 1, &u))
    return luaL_error(L, "attempt to perform arithmetic on '%s'", shown(L, v, 1));
  lua_arith(L, op);
  return 1;
}

static int negate(lua_State *L) { return unary(L, "__unm", LUA_OPUNM); }
static int bit_not(lua_State *L) { return unary(L, "__bnot", LUA_OPBNOT); }

/* ---- comparisons ----------------------------------------------------------------------------- */

/* What two that are not numbers are compared by; false: they cannot be. */
static bool addresses(const cdata *a, const cdata *b, uintptr_t at[2]) {
  if (!a || !b || is_number(a->type->op) || is_number(b->type->op)) return false;
  at[0] = (uintptr_t)gsl_address(a);
  at[1] = (uintptr_t)gsl_address(b);
  return true;
}

static bool is_complex(const cdata *c) { return c && c->type->op == OP_COMPLEX; }

static int equal(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *a = gsl_test_cdata(L, v, 1), *b = gsl_test_cdata(L, v, 2);
  if (!(is_pointer(a) && is_pointer(b)) && try_meta(L, v, "__eq")) return gsl_call_meta(L);
  uintptr_t at[2];
  bool u = false, same = false;
  if (is_complex(a) && is_complex(b)) {
    cop x = gsl_op_of(gs_type_target(a->type->type)), y = gsl_op_of(gs_type_target(b->type->type));
    cnumber n[4];
    gsl_number_at(x, a->at, &n[0]);
    gsl_number_at(x, a->at + a->size / 2, &n[1]);
    gsl_number_at(y, b->at, &n[2]);
    gsl_number_at(y, b->at + b->size / 2, &n[3]);
    same = n[0].f == n[2].f && n[1].f == n[3].f;
  } else if (addresses(a, b, at)) {
    same = at[0] == at[1];
  } else if (a && b && push_operand(L, v, 1, &u) && push_operand(L, v, 2, &u)) {
    same = lua_compare(L, -2, -1, LUA_OPEQ);
  }
  lua_pushboolean(L, same);
  return 1;
}

/* or_equal: <= */
static int less(lua_State *L, const char *event, bool or_equal) {
  vm *v = gsl_vm(L);
  const cdata *a = gsl_test_cdata(L, v, 1), *b = gsl_test_cdata(L, v, 2);
  uintptr_t at[2];
  bool u = false, yes;
  if (!(is_pointer(a) && is_pointer(b)) && try_meta(L, v, event)) return gsl_call_meta(L);
  if (is_pointer(a) && is_pointer(b) && addresses(a, b, at)) {
    if (!gsl_pointer_fits(a->type->type, b->type->type, false)) return no_operator(L, v, "compare");
    yes = or_equal ? at[0] <= at[1] : at[0] < at[1];
  } else {
    if (!push_operand(L, v, 1, &u) || !push_operand(L, v, 2, &u))
      return no_operator(L, v, "compare");
    if (u && lua_isinteger(L, -1) && lua_isinteger(L, -2)) {
      uint64_t x = (uint64_t)lua_tointeger(L, -2), y = (uint64_t)lua_tointeger(L, -1);
      yes = or_equal ? x <= y : x < y;
    } else {
      yes = lua_compare(L, -2, -1, or_equal ? LUA_OPLE : LUA_OPLT);
    }
  }
  lua_pushboolean(L, yes);
  return 1;
}

static int less_than(lua_State *L) { return less(L, "__lt", false); }
static int less_equal(lua_State *L) { return less(L, "__le", true); }

/* ---- others ---------------------------------------------------------------------------------- */

static int concat(lua_State *L) {
  vm *v = gsl_vm(L);
  if (try_meta(L, v, "__concat")) return gsl_call_meta(L);
  return no_operator(L, v, "concatenate");
}

static int length(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_test_cdata(L, v, 1);
  if (c && gsl_metafield(L, v, c, "__len")) return gsl_call_meta(L);
  return luaL_error(L, "attempt to get the length of '%s'", shown(L, v, 1));
}

static int pairs(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_test_cdata(L, v, 1);
  if (c && gsl_metafield(L, v, c, "__pairs")) return gsl_call_meta(L);
  return luaL_error(L, "attempt to iterate over '%s'", shown(L, v, 1));
}

/* A to-be-closed variable of C data: its type's __close, or else its finalizer, now. */
static int close(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_test_cdata(L, v, 1);
  if (c && gsl_metafield(L, v, c, "__close")) return gsl_call_meta(L);
  if (!c || !gsl_has_finalizer(L, v, 1)) return 0;
  lua_settop(L, 1);
  return gsl_finalize(L);
}

void gsl_open_operators(lua_State *L, int vm_index) {
  static const luaL_Reg events[] = {
      {"__add", add},        {"__sub", subtract},    {"__mul", multiply},
      {"__div", divide},     {"__mod", modulo},      {"__pow", power},
      {"__unm", negate},     {"__bnot", bit_not},    {"__idiv", floor_divide},
      {"__band", bit_and},   {"__bor", bit_or},      {"__bxor", bit_xor},
      {"__shl", shift_left}, {"__shr", shift_right}, {"__eq", equal},
      {"__lt", less_than},   {"__le", less_equal},   {"__concat", concat},
      {"__len", length},     {"__pairs", pairs},     {"__close", close},
      {NULL, NULL}};
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, events, 1);
}
