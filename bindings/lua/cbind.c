/* cbind.c: ffi.bind: functions with hints, and with calls that can be ended.
 *
 * What ends a call is a Lua function, called with the call's own arguments while C is still in the
 * call: by gs_cancel on the canceller's thread, at the deadline on one that the scheduler makes for
 * it.  Either way gate.c brings it into the VM, in a lua_State that was made, with a copy of the
 * arguments, before the call began.
 */
#include <math.h>
#include <string.h>

#include "cdata.h"
#include "green.h"

/* A userdata, which is the cfunction's uservalue; its own is the function. */
typedef struct cbinding {
  double timeout; /* seconds; negative: none */
} cbinding;

/* ---- hints ----------------------------------------------------------------------------------- */

static bool flag(lua_State *L, int table, const char *name) {
  int type = lua_getfield(L, table, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    luaL_error(L, "%s: true or false expected, got %s", name, luaL_typename(L, -1));
  bool on = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return on;
}

unsigned gsl_check_hints(lua_State *L, int table) {
  unsigned hints = (flag(L, table, "blocking") ? GS_SITE_BLOCKING : 0) |
                   (flag(L, table, "critical") ? GS_SITE_CRITICAL : 0) |
                   (flag(L, table, "nocallback") ? GS_SITE_NOCALLBACK : 0);
  if (hints & GS_SITE_CRITICAL && hints & GS_SITE_BLOCKING)
    luaL_error(L, "critical and blocking exclude each other: a critical function never blocks");
  return hints;
}

/* ---- calls that can be ended ----------------------------------------------------------------- */

typedef struct ending {
  gsl_gate *gate;
  lua_State *T; /* the function and its arguments */
  int n;
  const char *name;
} ending;

static void run_unblock(lua_State *L, vm *v, gsl_frame *frame, void *arg) {
  ending *e = arg;
  (void)L;
  (void)v;
  (void)frame;
  if (lua_pcall(e->T, e->n, 0, 0) == LUA_OK) return;
  const char *text = lua_tostring(e->T, -1);
  gs_log(1, "the unblock function of %.80s has raised an error: %.300s", e->name,
         text ? text : luaL_typename(e->T, -1));
}

/* On a green thread, or on a thread's own stack: gs_cgocallback makes both the same. */
static void in_callback(void *arg) {
  ending *e = arg;
  if (!gsl_with_turn(e->gate, run_unblock, e))
    gs_log(1, "the unblock function of %.80s could not run", e->name);
}

static void unblock(void *arg) {
  if (gs_cgocallback(in_callback, arg) != GS_OK) in_callback(arg);
}

lua_State *gsl_prepare_bound(lua_State *L, int function, int first, int n) {
  luaL_checkstack(L, n + 3, "too many arguments");
  lua_State *T = lua_newthread(L);
  if (!lua_checkstack(T, n + LUA_MINSTACK)) luaL_error(L, "not enough memory");
  lua_getiuservalue(L, function, 1);
  lua_getiuservalue(L, -1, 1);
  lua_remove(L, -2);
  for (int i = 0; i < n; i++) lua_pushvalue(L, first + i);
  lua_xmove(L, T, n + 1);
  return T;
}

int gsl_call_bound(vm *v, const cfunction *f, ccall *c, lua_State *T, int n) {
  ending e = {.gate = v->gate, .T = T, .n = n, .name = gs_func_name(f->func)};
  gs_call_options opts = GS_CALL_OPTIONS_DEFAULT;
  opts.unblock = unblock;
  opts.uarg = &e;
  double timeout = f->binding->timeout;
  const green *g = gsl_running(v->turn);
  if (timeout >= 0) opts.deadline_ns = gs_now() + (int64_t)(timeout * 1e9);
  bool scoped = g && g->deadline < opts.deadline_ns;
  if (scoped) opts.deadline_ns = g->deadline;
  int code = gs_ffi_call_opts(c->func, c->ret, c->args, &c->saved_errno, &opts);
  return code == GS_ETIMEOUT && scoped ? GSL_EXPIRED : code;
}

/* ---- ffi.bind -------------------------------------------------------------------------------- */

static double check_timeout(lua_State *L, bool can_end) {
  double s = -1;
  if (lua_getfield(L, 2, "timeout") != LUA_TNIL) {
    s = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(s >= 0)) luaL_error(L, "ffi.bind: timeout: seconds expected, 0 or more");
    if (!can_end)
      luaL_error(L, "ffi.bind: a timeout needs an unblock function, which makes C return");
    if (s > 9e9) s = 9e9 - 1;
  }
  lua_pop(L, 1);
  return s;
}

static bool check_unblock(lua_State *L, unsigned hints) {
  int type = lua_getfield(L, 2, "unblock");
  bool some = type != LUA_TNIL;
  if (some && type != LUA_TFUNCTION)
    luaL_error(L, "ffi.bind: unblock: a function expected, got %s", luaL_typename(L, -1));
  if (some && hints & GS_SITE_CRITICAL)
    luaL_error(L, "ffi.bind: a critical function neither blocks nor can be ended early");
  return some; /* the function stays on the stack */
}

/* The address and type of what is to be bound. */
static const gs_type *target_of(lua_State *L, vm *v, void **code, const char **name) {
  const cfunction *f = gsl_test_function(L, 1);
  if (f) {
    *code = f->code;
    *name = gs_func_name(f->func);
    return f->type;
  }
  const cdata *c = gsl_test_cdata(L, v, 1);
  if (c) {
    ctype *t = c->type->op == OP_POINTER ? gsl_target(L, v, c->type) : c->type;
    *code = gsl_address(c);
    *name = gsl_name(t);
    if (t->op == OP_FUNCTION && *code) return t->base->type;
  }
  luaL_typeerror(L, 1, "C function");
  return NULL;
}

/* ffi.bind(f, {blocking, critical, nocallback, unblock, timeout}): the same function, called so. */
int gsl_l_bind(lua_State *L) {
  static const char *const known[] = {"blocking", "critical", "nocallback", "unblock", "timeout"};
  vm *v = gsl_vm(L);
  void *code = NULL;
  const char *name = NULL;
  const gs_type *type = target_of(L, v, &code, &name);
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    bool ok = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
      ok |= lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), known[i]) == 0;
    if (!ok)
      return luaL_error(L,
                        "ffi.bind: '%s' is no option; blocking, critical, nocallback, unblock and "
                        "timeout are",
                        luaL_tolstring(L, -2, NULL));
  }
  unsigned hints = gsl_check_hints(L, 2);
  bool can_end = check_unblock(L, hints);
  int function = lua_gettop(L);
  double timeout = check_timeout(L, can_end);
  bool variadic = gs_type_flags(type) & GS_TYPE_VARIADIC;
  if (variadic && can_end)
    return luaL_error(L, "ffi.bind: '%s' takes '...', and cannot have an unblock function", name);
  gs_func *func = gsl_prepare(L, v, name, code, type, false, hints);
  cfunction *f = gsl_new_function(L, v, func, code, type);
  if (variadic) f->shapes = gsl_prepare(L, v, name, code, type, true, hints);
  if (can_end) {
    cbinding *b = lua_newuserdatauv(L, sizeof(*b), 1);
    b->timeout = timeout;
    lua_pushvalue(L, function);
    lua_setiuservalue(L, -2, 1);
    lua_setiuservalue(L, -2, 1);
    f->binding = b;
    f->quick = -1;
  }
  gsl_push_function(L);
  return 1;
}
