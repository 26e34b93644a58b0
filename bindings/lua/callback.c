/* callback.c: Lua functions as C functions.
 *
 * Made by a cast of a Lua function to a function pointer, or where a function is given and C wants
 * a pointer to one.  It lives, and keeps the Lua function, until its free() or the end of the VM:
 * nobody can know how long C keeps its address.
 *
 * C may call on any thread; gate.c brings the call into the VM.  What the Lua function raises is
 * raised by the foreign call that C is in; C itself gets zeros, as it cannot be told.  If there is
 * no such call (another thread's, another VM's), the logger is told.
 */
#include <stdlib.h>
#include <string.h>

#include "cdata.h"

typedef struct callback {
  gsl_gate *gate;
  gs_callback *cb;
  ctype *function; /* the function's type */
  void *code;
  bool shared; /* found again by its Lua function and type */
  bool told;   /* the logger was told that it could not run; atomic */
} callback;

/* registry: code -> callback; Lua function -> table: type -> code.  And of each callback, by its
 * address: its Lua function, by its code's: the string that it has returned last. */
static const char codes_key, shared_key;
static const char free_key, set_key; /* registry: the methods, which free() must not have to make */

#define FAILED 1 /* what the handler returns */

/* ---- running --------------------------------------------------------------------------------- */

typedef struct job {
  callback *c;
  void *ret;
  void *const *args;
  gsl_frame *frame;
  vm *v;
  bool failed; /* and nobody was told but the logger */
} job;

static void store_result(lua_State *L, job *j) {
  ctype *t = gsl_target(L, j->v, j->c->function);
  cplace at = {"the result of a callback", 0, -1};
  if (t->op == OP_VOID) return;
  gsl_to_c(L, j->v, -1, t, j->ret, gs_type_size(t->type), 0, &at);
  if (lua_type(L, -1) != LUA_TSTRING) return;
  lua_pushvalue(L, -1); /* C has its address: it stays until the next one */
  lua_rawsetp(L, LUA_REGISTRYINDEX, j->c->code);
}

/* In a protected call. */
static int run(lua_State *L) {
  job *j = lua_touserdata(L, 1);
  const gs_type *f = j->c->function->type;
  size_t n = gs_type_length(f);
  luaL_checkstack(L, (int)n + 8, NULL);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, j->c) != LUA_TFUNCTION)
    return luaL_error(L, "a callback of type '%s' was called after its free()", gs_type_name(f));
  for (size_t i = 0; i < n; i++)
    gsl_copy_to_lua(L, j->v, gsl_ctype_of(L, j->v, gs_type_param(f, i)), j->args[i]);
  lua_call(L, (int)n, 1);
  store_result(L, j);
  return 0;
}

/* The error is on top of the stack: for the foreign call, which finds it there, or for the logger.
 * Keeping it must not fail: it may be that the stack, or the memory, is at its end. */
static void failed(lua_State *L, job *j, int top) {
  gsl_frame *frame = j->frame;
  memset(j->ret, 0, gs_type_size(gs_type_target(j->c->function->type)));
  if (frame) {
    if (!frame->failed) frame->failed = top + 1; /* the first one counts */
    lua_settop(L, frame->failed > top ? top + 1 : top);
    return;
  }
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1);
  gs_log(1, "a Lua callback of type '%.80s' has raised an error: %.300s",
         gs_type_name(j->c->function->type), text);
  j->failed = true;
  lua_settop(L, top);
}

static void visit(lua_State *L, vm *v, gsl_frame *frame, void *arg) {
  job *j = arg;
  int top = lua_gettop(L);
  j->v = v;
  j->frame = frame;
  if (!lua_checkstack(L, 8)) {
    j->failed = true;
    return;
  }
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, j);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    failed(L, j, top);
  else
    lua_settop(L, top);
}

static int called(void *ret, void *const *args, void *user) {
  callback *c = user;
  job j = {.c = c, .ret = ret, .args = args};
  if (gsl_with_turn(c->gate, visit, &j)) return j.failed ? FAILED : 0;
  if (!__atomic_exchange_n(&c->told, true, __ATOMIC_RELAXED))
    gs_log(1,
           "a Lua callback of type '%.80s' was called on another thread while no gosched.run was "
           "under way, and did not run",
           gs_type_name(c->function->type));
  return FAILED;
}

/* The scheduler tells of a callback that has failed and of nobody who waits; it is told above. */
static void on_error(int error, int code, void *user) {
  callback *c = user;
  (void)code;
  if (error == GS_ECALLBACK || __atomic_exchange_n(&c->told, true, __ATOMIC_RELAXED)) return;
  gs_log(1, "a Lua callback of type '%.80s' could not run: %s", gs_type_name(c->function->type),
         gs_strerror(error));
}

static void destroy(void *user) {
  callback *c = user;
  gsl_gate_drop(c->gate);
  free(c);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Pushes the table of a registry key. */
static void push_table(lua_State *L, const void *key) { lua_rawgetp(L, LUA_REGISTRYINDEX, key); }

static void forget(lua_State *L, callback *c);

/* Protected: a callback, and the Lua function that it keeps. */
static int keep(lua_State *L) {
  callback *c = lua_touserdata(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, c);
  push_table(L, &codes_key);
  lua_pushlightuserdata(L, c);
  lua_rawsetp(L, -2, c->code);
  return 0;
}

/* Without memory for what the VM notes of it there is none. */
static callback *make(lua_State *L, vm *v, int index, ctype *function, const cplace *at) {
  callback *c = malloc(sizeof(*c));
  if (!c) luaL_error(L, "not enough memory");
  gs_ffi_error err;
  *c = (callback){.gate = gsl_gate_hold(v->gate), .function = function};
  if (gs_callback_prepare(v->ffi, gsl_name(function), function->type, called, c, &c->cb, &err) !=
      GS_OK) {
    destroy(c);
    gsl_wrong(L, at, "a Lua function cannot be '%s': %s", gsl_name(function), err.text);
  }
  gs_callback_on_free(c->cb, destroy);
  gs_callback_on_error(c->cb, on_error);
  c->code = gs_callback_code(c->cb);
  lua_pushcfunction(L, keep);
  lua_pushlightuserdata(L, c);
  lua_pushvalue(L, index);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return c;
  forget(L, c);
  gs_callback_free(c->cb);
  lua_error(L);
  return NULL;
}

/* Pushes the table of the C functions that the Lua function at index has been made.  What runs
 * finalizers, which may ask for that table, comes before the look. */
static void push_shared(lua_State *L, int index) {
  lua_newtable(L);
  push_table(L, &shared_key);
  lua_pushvalue(L, index);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void *gsl_callback(lua_State *L, vm *v, int index, ctype *t, bool shared, const cplace *at) {
  luaL_checkstack(L, 10, NULL);
  index = lua_absindex(L, index);
  ctype *function = gsl_target(L, v, t)->base;
  if (!shared) return make(L, v, index, function, at)->code;
  push_shared(L, index);
  lua_rawgetp(L, -1, function);
  void *code = lua_touserdata(L, -1);
  if (!code) { /* nothing here runs finalizers, so nobody else makes it meanwhile */
    lua_pushboolean(L, false);
    lua_rawsetp(L, -3, function); /* room, so that what is made can be noted */
    callback *c = make(L, v, index, function, at);
    code = c->code;
    c->shared = true;
    lua_pushlightuserdata(L, code);
    lua_rawsetp(L, -3, function);
  }
  lua_pop(L, 2);
  return code;
}

/* ---- cb:free(), cb:set(f) -------------------------------------------------------------------- */

static callback *check_callback(lua_State *L, vm *v) {
  const cdata *c = gsl_check_cdata(L, v, 1);
  push_table(L, &codes_key);
  lua_rawgetp(L, -1, gsl_address(c));
  callback *found = lua_touserdata(L, -1);
  lua_pop(L, 2);
  if (!found) luaL_error(L, "'%s' is no callback, or was freed", gsl_name(c->type));
  return found;
}

/* Of one that is not shared it allocates nothing. */
static void forget(lua_State *L, callback *c) {
  if (c->shared) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    push_shared(L, lua_gettop(L));
    lua_pushnil(L);
    lua_rawsetp(L, -2, c->function);
    lua_pop(L, 2);
    c->shared = false;
  }
  push_table(L, &codes_key);
  lua_pushnil(L);
  lua_rawsetp(L, -2, c->code);
  lua_pop(L, 1);
  const void *keys[] = {c, c->code};
  for (int i = 0; i < 2; i++) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, keys[i]);
  }
}

static int l_free(lua_State *L) {
  callback *c = check_callback(L, gsl_vm(L));
  forget(L, c);
  gs_callback_free(c->cb);
  return 0;
}

static int l_set(lua_State *L) {
  callback *c = check_callback(L, gsl_vm(L));
  luaL_checktype(L, 2, LUA_TFUNCTION);
  if (c->shared) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    push_shared(L, lua_gettop(L));
    lua_pushnil(L);
    lua_rawsetp(L, -2, c->function);
    c->shared = false;
  }
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, c);
  return 0;
}

bool gsl_callback_method(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TSTRING) return false;
  const char *name = lua_tostring(L, index);
  lua_CFunction f = strcmp(name, "free") == 0 ? l_free : strcmp(name, "set") == 0 ? l_set : NULL;
  if (!f) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, f == l_free ? &free_key : &set_key);
  return true;
}

static void add_method(lua_State *L, int vm_index, lua_CFunction f, const void *key) {
  lua_pushvalue(L, vm_index);
  lua_pushcclosure(L, f, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void gsl_open_callback(lua_State *L, int vm_index) {
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &codes_key);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &shared_key);
  add_method(L, vm_index, l_free, &free_key);
  add_method(L, vm_index, l_set, &set_key);
  lua_pushvalue(L, vm_index);
  lua_rawsetp(L, LUA_REGISTRYINDEX, lua_touserdata(L, vm_index));
}
