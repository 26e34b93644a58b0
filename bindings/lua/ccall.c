/* ccall.c: C functions as Lua functions.
 *
 * What is declared becomes a C closure whose upvalue is the cfunction: the prepared function
 * and, for each argument, how a value is stored.  The common cases of that, and of the result, are
 * here; all others go through gsl_to_c and gsl_to_lua.
 *
 * The arguments stay on the Lua stack while C runs, so that what C was given pointers to stays
 * alive.  During the call other green threads have the turn.
 */
#include <string.h>

#include "cdata.h"
#include "green.h"

#define FEW 16  /* arguments that need no allocation */
#define QUICK 8 /* arguments of the calls that l_call makes by itself */

static int l_call(lua_State *L);

/* ---- making ---------------------------------------------------------------------------------- */

cfunction *gsl_test_function(lua_State *L, int index) {
  if (lua_tocfunction(L, index) != l_call || !lua_getupvalue(L, index, 1)) return NULL;
  cfunction *f = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return f;
}

static void check_passable(lua_State *L, const gs_type *type, const char *what) {
  gs_kind kind = gs_type_kind(type);
  if (kind == GS_KIND_FUNCTION || kind == GS_KIND_ARRAY)
    luaL_error(L, "%s has type '%s', which is no value", what, gs_type_name(type));
}

cfunction *gsl_new_function(lua_State *L, vm *v, gs_func *func, void *code, const gs_type *type) {
  size_t n = gs_type_length(type);
  check_passable(L, gs_type_target(type), "the result");
  cfunction *f = lua_newuserdatauv(L, sizeof(*f) + n * sizeof(carg), 1);
  *f = (cfunction){.func = func, .code = code, .type = type, .nargs = n, .v = v};
  f->variadic = gs_type_flags(type) & GS_TYPE_VARIADIC;
  f->ret = gsl_ctype_of(L, v, gs_type_target(type));
  f->by_address = f->ret->op == OP_STRUCT || f->ret->op == OP_COMPLEX;
  f->quick = n <= QUICK && !f->by_address ? (int)n : -1;
  memset(f->args, 0, n * sizeof(carg));
  for (size_t i = 0; i < n; i++) {
    f->args[i].type = gsl_ctype_of(L, v, gs_type_param(type, i));
    f->args[i].op = f->args[i].type->op;
    f->args[i].takes_string =
        f->args[i].op == OP_POINTER && gsl_takes_string(f->args[i].type->type);
  }
  return f;
}

void gsl_push_function(lua_State *L) { lua_pushcclosure(L, l_call, 1); }

gs_func *gsl_prepare(lua_State *L, vm *v, const char *name, void *code, const gs_type *type,
                     bool variadic, unsigned hints) {
  const gs_type *args[256];
  size_t n = gs_type_length(type);
  for (size_t i = 0; i < n; i++) args[i] = gs_type_param(type, i);
  if (variadic) args[n] = gs_type_builtin("int64"); /* to have a shape; others are made from it */
  gs_func *func = NULL;
  gs_ffi_error err;
  if (gs_func_prepare(v->ffi, name, code, gs_type_target(type), args, n + variadic, n, hints, &func,
                      &err) != GS_OK)
    luaL_error(L, "%s", err.text);
  return func;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* Everything that the loop below does not do by itself. */
__attribute__((noinline)) static void *convert(lua_State *L, vm *v, const cfunction *f, size_t i,
                                               int index, ctype *t, cslot *slot) {
  cplace at = {gs_func_name(f->func), (int)i + 1, -1}; /* all arguments stay on the stack */
  size_t size = gs_type_size(t->type);
  if (t->op != OP_STRUCT && t->op != OP_COMPLEX) {
    gsl_to_c(L, v, index, t, slot, size, 0, &at);
    return slot;
  }
  const cdata *c = gsl_test_cdata(L, v, index);
  if (c && c->type->base == t->base && c->size >= size) return c->at;
  cdata *copy = gsl_new_cdata(L, v, t, size); /* it takes the argument's place */
  gsl_to_c(L, v, index, t, copy->at, size, 0, &at);
  lua_replace(L, index);
  return copy->at;
}

/* A string where one may go, or C data of the type that was accepted here last. */
static bool pointer_as_before(lua_State *L, vm *v, int index, carg *a, cslot *slot) {
  if (lua_type(L, index) == LUA_TSTRING) {
    if (!a->takes_string) return false;
    slot->p = (void *)(uintptr_t)lua_tolstring(L, index, NULL);
    return true;
  }
  const cdata *c = gsl_test_cdata(L, v, index);
  if (!c) return false;
  if (c->type != a->fits) {
    if (!gsl_cdata_fits(a->type->type, c)) return false;
    a->fits = c->type;
  }
  slot->p = gsl_address(c);
  return true;
}

static inline __attribute__((always_inline)) void *argument(lua_State *L, vm *v, cfunction *f,
                                                            size_t i, int index, cslot *slot) {
  carg *a = &f->args[i];
  switch (a->op) {
    case OP_I32:
    case OP_U32:
      if (!lua_isinteger(L, index)) break;
      slot->i32 = (int32_t)lua_tointegerx(L, index, NULL);
      return slot;
    case OP_I64:
    case OP_U64:
      if (!lua_isinteger(L, index)) break;
      slot->i64 = lua_tointegerx(L, index, NULL);
      return slot;
    case OP_DOUBLE:
      if (lua_type(L, index) != LUA_TNUMBER) break;
      slot->d = lua_tonumberx(L, index, NULL);
      return slot;
    case OP_POINTER:
      if (!pointer_as_before(L, v, index, a, slot)) break;
      return slot;
    default: break;
  }
  return convert(L, v, f, i, index, a->type, slot);
}

/* The function for these arguments of a variadic one. */
static gs_func *shape_of(lua_State *L, const cfunction *f, ctype **extra, size_t n) {
  const gs_type *types[256];
  for (size_t i = 0; i < n; i++) types[i] = extra[i]->type;
  gs_ffi_error err;
  gs_func *shape = NULL;
  if (gs_func_variadic_shape(f->shapes ? f->shapes : f->func, types, n, &shape, &err) != GS_OK)
    luaL_error(L, "%s: %s", gs_func_name(f->func), err.text);
  return shape;
}

/* Arguments for "...", from index first on: C's promotions are those of the shape. */
static gs_func *variadic(lua_State *L, vm *v, const cfunction *f, int first, size_t n, cslot *slots,
                         void **args) {
  ctype *extra[256];
  luaL_argcheck(L, f->nargs + n <= 255, first, "too many arguments");
  for (size_t i = 0; i < n; i++) {
    cplace at = {gs_func_name(f->func), (int)(f->nargs + i) + 1, -1};
    extra[i] = gsl_variadic_type(L, v, first + (int)i, &at);
  }
  gs_func *shape = shape_of(L, f, extra, n);
  for (size_t i = 0; i < n; i++) {
    ctype *promoted = gsl_ctype_of(L, v, gs_func_arg(shape, f->nargs + i));
    args[i] = convert(L, v, f, f->nargs + i, first + (int)i, promoted, &slots[i]);
  }
  return shape;
}

__attribute__((noinline, cold)) static void wrong_count(lua_State *L, const cfunction *f,
                                                        size_t given) {
  luaL_error(L, "%s: %s%d argument%s expected, got %d", gs_func_name(f->func),
             f->variadic ? "at least " : "", (int)f->nargs, f->nargs == 1 ? "" : "s", (int)given);
}

/* ---- calling --------------------------------------------------------------------------------- */

static int push_result(lua_State *L, vm *v, const cfunction *f, const cslot *ret) {
  switch (f->ret->op) {
    case OP_VOID: return 0;
    case OP_I32: lua_pushinteger(L, ret->i32); return 1;
    case OP_I64:
    case OP_U64: lua_pushinteger(L, ret->i64); return 1;
    case OP_DOUBLE: lua_pushnumber(L, ret->d); return 1;
    default: return gsl_to_lua(L, v, f->ret, ret, sizeof(*ret), 0);
  }
}

static int foreign(lua_State *L, vm *v, const cfunction *f, ccall *c, int first, int n) {
  gsl_local *local = gsl_local_of(v);
  gsl_frame frame = {local->frame, L, true, 0};
  lua_State *T = f->binding ? gsl_prepare_bound(L, lua_upvalueindex(1), first, n) : NULL;
  bool plain = !v->running;
  if (plain) gsl_gate_plain(v->gate, true);
  local->frame = &frame;
  bool finalizing = gsl_away(L, v);
  int e = f->binding ? gsl_call_bound(v, f, c, T, n)
                     : gs_ffi_call(c->func, c->ret, c->args, &c->saved_errno);
  gsl_back(v, finalizing);
  local->frame = frame.outer;
  local->saved_errno = c->saved_errno;
  if (plain) gsl_gate_plain(v->gate, false);
  if (__builtin_expect(frame.failed != 0, 0)) {
    lua_settop(L, frame.failed);
    return lua_error(L);
  }
  return e;
}

static int call(lua_State *L, vm *v, cfunction *f, int first) {
  size_t n = (size_t)(lua_gettop(L) - first + 1), fixed = f->nargs;
  cslot few[FEW], *slots = few, result;
  void *few_args[FEW], **args = few_args;
  ccall c = {.func = f->func, .ret = &result};
  if (!v->ffi) return luaL_error(L, "gosched: the Lua state is being closed");
  if (n != fixed && (n < fixed || !f->variadic)) wrong_count(L, f, n);
  if (n > FEW) {
    luaL_checkstack(L, 8, NULL);
    slots = lua_newuserdatauv(L, n * (sizeof(*slots) + sizeof(*args)), 0);
    args = (void **)(slots + n);
  }
  for (size_t i = 0; i < fixed; i++) args[i] = argument(L, v, f, i, first + (int)i, &slots[i]);
  if (n > fixed)
    c.func = variadic(L, v, f, first + (int)fixed, n - fixed, slots + fixed, args + fixed);
  if (f->by_address) c.ret = gsl_new_cdata(L, v, f->ret, gs_type_size(f->ret->type))->at;
  c.args = args;
  int e = foreign(L, v, f, &c, first, (int)n);
  if (__builtin_expect(e != GS_OK, 0)) {
    if (e != GS_ETIMEOUT) return gsl_fail(L, e, gs_func_name(f->func));
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
    return 1;
  }
  return f->by_address ? 1 : push_result(L, v, f, &result);
}

/* The commonest calls, with few arguments and nothing special: the same as call(). */
static int l_call(lua_State *L) {
  cfunction *f = lua_touserdata(L, lua_upvalueindex(1));
  vm *v = f->v;
  turn *t = v->turn;
  green *g = atomic_load_explicit(&t->inside, memory_order_relaxed);
  int n = lua_gettop(L);
  cslot slots[QUICK], result;
  void *args[QUICK];
  if (__builtin_expect(n != f->quick || !g, 0)) return call(L, v, f, 1);
  for (int i = 0; i < n; i++) args[i] = argument(L, v, f, (size_t)i, i + 1, &slots[i]);
  gsl_frame frame = {g->local.frame, L, true, 0};
  g->local.frame = &frame;
  bool finalizing = lua_gc(L, LUA_GCCOUNT) < 0 && gsl_in_finalizer(L, v);
  if (__builtin_expect(finalizing, 0)) v->finalizer = gs_self();
  gsl_turn_leave(t);
  int e = gs_ffi_call(f->func, &result, args, &g->local.saved_errno);
  gsl_turn_enter(t, g);
  if (__builtin_expect(finalizing, 0)) v->finalizer = 0;
  g->local.frame = frame.outer;
  if (__builtin_expect(e | frame.failed, 0)) {
    if (!frame.failed) return gsl_fail(L, e, gs_func_name(f->func));
    lua_settop(L, frame.failed);
    return lua_error(L);
  }
  return push_result(L, v, f, &result);
}

/* ---- function pointers ----------------------------------------------------------------------- */

/* Pushes the cfunction for a function pointer; they are kept, as preparing one is slow. */
static cfunction *function_at(lua_State *L, vm *v, const ctype *type, void *code) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &type->pointer) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &type->pointer);
  }
  if (lua_rawgetp(L, -1, code) == LUA_TUSERDATA) return lua_touserdata(L, -1);
  lua_pop(L, 1);
  gs_func *func = gsl_prepare(L, v, gsl_name(type), code, type->type, false, 0);
  cfunction *f = gsl_new_function(L, v, func, code, type->type);
  if (f->variadic) f->shapes = gsl_prepare(L, v, gsl_name(type), code, type->type, true, 0);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, -3, code);
  return f;
}

int gsl_call_pointer(lua_State *L) {
  vm *v = gsl_vm(L);
  const cdata *c = gsl_check_cdata(L, v, 1);
  ctype *t = c->type;
  if (t->op == OP_POINTER) t = gsl_target(L, v, t);
  if (t->op != OP_FUNCTION) {
    if (gsl_metafield(L, v, c, "__call")) return gsl_call_meta(L);
    return luaL_error(L, "'%s' is not callable", gsl_name(c->type));
  }
  void *code = gsl_address(c);
  if (!code) return luaL_error(L, "attempt to call NULL as '%s'", gsl_name(c->type));
  luaL_checkstack(L, 8, NULL);
  cfunction *f = function_at(L, v, t->base, code);
  lua_insert(L, 2); /* the cfunction stays on the stack, the arguments are from 3 on */
  lua_pop(L, 1);
  return call(L, v, f, 3);
}
