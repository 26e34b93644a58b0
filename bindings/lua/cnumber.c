/* cnumber.c: numbers between Lua and C.
 *
 * The rules are C's, as LuaJIT has them: an integer that is too wide is cut to the width it gets, a
 * fraction is cut off, _Bool is whether it is not zero.  Only what C leaves undefined is an error:
 * a floating value that no 64-bit integer is near to.  64-bit integers are Lua's; an unsigned one
 * is the Lua integer with the same bits.
 */
#include <string.h>

#include "cdata.h"

cop gsl_op_of(const gs_type *type) {
  size_t size = gs_type_size(type);
  switch (gs_type_kind(type)) {
    case GS_KIND_VOID: return OP_VOID;
    case GS_KIND_BOOL: return OP_BOOL;
    case GS_KIND_INT: return size == 1 ? OP_I8 : size == 2 ? OP_I16 : size == 4 ? OP_I32 : OP_I64;
    case GS_KIND_UINT: return size == 1 ? OP_U8 : size == 2 ? OP_U16 : size == 4 ? OP_U32 : OP_U64;
    case GS_KIND_FLOAT:
      return size == sizeof(float) ? OP_FLOAT : size == sizeof(double) ? OP_DOUBLE : OP_LDOUBLE;
    case GS_KIND_POINTER: return OP_POINTER;
    case GS_KIND_STRUCT: return OP_STRUCT;
    case GS_KIND_ARRAY: return OP_ARRAY;
    case GS_KIND_COMPLEX: return OP_COMPLEX;
    default: return OP_FUNCTION;
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Whatever its address: members of packed structs stand anywhere. */
static cslot load(cop op, const void *at) {
  static const unsigned char sizes[] = {
      [OP_BOOL] = 1,   [OP_I8] = 1,       [OP_U8] = 1,     [OP_I16] = 2, [OP_U16] = 2,
      [OP_I32] = 4,    [OP_U32] = 4,      [OP_I64] = 8,    [OP_U64] = 8, [OP_FLOAT] = 4,
      [OP_DOUBLE] = 8, [OP_LDOUBLE] = 16, [OP_POINTER] = 8};
  cslot s = {.u64 = 0};
  memcpy(&s, at, sizes[op]);
  return s;
}

bool gsl_number_at(cop op, const void *at, cnumber *out) {
  if (!is_number(op)) return false;
  cslot s = load(op, at);
  *out = (cnumber){.kind = N_SIGNED};
  switch (op) {
    case OP_BOOL: out->i = s.u8 != 0; break;
    case OP_I8: out->i = s.i8; break;
    case OP_U8: out->i = s.u8; break;
    case OP_I16: out->i = s.i16; break;
    case OP_U16: out->i = s.u16; break;
    case OP_I32: out->i = s.i32; break;
    case OP_U32: out->i = s.u32; break;
    case OP_I64: out->i = s.i64; break;
    case OP_U64:
      out->i = s.i64;
      out->kind = N_UNSIGNED;
      break;
    default:
      out->kind = N_FLOATING;
      out->f = op == OP_FLOAT ? (long double)s.f : op == OP_DOUBLE ? (long double)s.d : s.ld;
  }
  return true;
}

void gsl_push_number(lua_State *L, cop op, const void *at) {
  cslot s = load(op, at);
  switch (op) {
    case OP_BOOL: lua_pushboolean(L, s.u8 != 0); break;
    case OP_I8: lua_pushinteger(L, s.i8); break;
    case OP_U8: lua_pushinteger(L, s.u8); break;
    case OP_I16: lua_pushinteger(L, s.i16); break;
    case OP_U16: lua_pushinteger(L, s.u16); break;
    case OP_I32: lua_pushinteger(L, s.i32); break;
    case OP_U32: lua_pushinteger(L, s.u32); break;
    case OP_FLOAT: lua_pushnumber(L, (lua_Number)s.f); break;
    case OP_DOUBLE: lua_pushnumber(L, s.d); break;
    case OP_LDOUBLE: lua_pushnumber(L, (lua_Number)s.ld); break;
    default: lua_pushinteger(L, s.i64); break;
  }
}

bool gsl_number(lua_State *L, vm *v, int index, cnumber *out) {
  const cdata *c;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        *out = (cnumber){.kind = N_SIGNED, .i = lua_tointeger(L, index)};
      else
        *out = (cnumber){.kind = N_FLOATING, .f = (long double)lua_tonumber(L, index)};
      return true;
    case LUA_TBOOLEAN:
      *out = (cnumber){.kind = N_SIGNED, .i = lua_toboolean(L, index)};
      return true;
    case LUA_TUSERDATA:
      c = gsl_test_cdata(L, v, index);
      if (!c) return false;
      if (c->type->op == OP_COMPLEX) /* its real part, as in C */
        return gsl_number_at(gsl_op_of(gs_type_target(c->type->type)), c->at, out);
      return gsl_number_at(c->type->op, c->at, out);
    default: return false;
  }
}

/* ---- storing --------------------------------------------------------------------------------- */

/* The whole part of a floating value, in 64 bits with or without a sign. */
static int64_t whole(lua_State *L, long double f, const ctype *t, const cplace *at) {
  if (!(f > -9223372036854775809.0L && f < 18446744073709551616.0L))
    gsl_wrong(L, at, "the number %f has no integer for '%s'", (double)f, gsl_name(t));
  return f < 9223372036854775808.0L ? (int64_t)f : (int64_t)(uint64_t)f;
}

static long double wide(cnumber n) {
  if (n.kind == N_FLOATING) return n.f;
  return n.kind == N_UNSIGNED ? (long double)(uint64_t)n.i : (long double)n.i;
}

void gsl_store_number(lua_State *L, cop op, cnumber n, void *to, const ctype *t, const cplace *at) {
  float single;
  double real;
  long double most;
  switch (op) {
    case OP_BOOL: *(unsigned char *)to = n.kind == N_FLOATING ? n.f != 0 : n.i != 0; return;
    case OP_FLOAT:
      single = n.kind == N_FLOATING   ? (float)n.f
               : n.kind == N_UNSIGNED ? (float)(uint64_t)n.i
                                      : (float)n.i;
      memcpy(to, &single, sizeof(single));
      return;
    case OP_DOUBLE:
      real = (double)wide(n);
      memcpy(to, &real, sizeof(real));
      return;
    case OP_LDOUBLE:
      most = wide(n);
      memcpy(to, &most, sizeof(most));
      return;
    default: break;
  }
  int64_t i = n.kind == N_FLOATING ? whole(L, n.f, t, at) : n.i;
  /* The low bytes come first on the processors there are. */
  switch (op) {
    case OP_I8:
    case OP_U8: memcpy(to, &i, 1); break;
    case OP_I16:
    case OP_U16: memcpy(to, &i, 2); break;
    case OP_I32:
    case OP_U32: memcpy(to, &i, 4); break;
    default: memcpy(to, &i, 8); break;
  }
}

/* ---- bit-fields ------------------------------------------------------------------------------ */

/* Bit by bit, so that no byte is touched that the field has no part of. */
uint64_t gsl_load_bits(const void *p, unsigned first, unsigned width) {
  const unsigned char *bytes = p;
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++)
    value |= (uint64_t)(bytes[(first + i) / 8] >> (first + i) % 8 & 1) << i;
  return value;
}

void gsl_store_bits(void *p, unsigned first, unsigned width, uint64_t value) {
  unsigned char *bytes = p;
  for (unsigned i = 0; i < width; i++) {
    unsigned char *byte = &bytes[(first + i) / 8], mask = (unsigned char)(1u << (first + i) % 8);
    *byte = (unsigned char)(value >> i & 1 ? *byte | mask : *byte & ~mask);
  }
}
