/* embed.c: gosched.embed: interpreters of other languages as guests of this VM; and what is special
 * about a VM that is a guest itself.
 *
 * A guest lives as long as the gosched.run in which it was started: at its end those that still run
 * are cancelled and waited for, as green threads are.  So the VM has a list of them; who is in it
 * is held by the registry.
 *
 * os.exit in a guest ends the guest and not the process: its main green thread is cancelled, and so
 * is, by the error, who has called it.
 */
#include <string.h>

#include "shared.h"

#define GUEST "gosched.guest"
#define GUEST_ERROR "gosched.guesterror"

typedef struct guest {
  gs_guest *g; /* NULL: it was never started */
  struct guest *next;
  bool listed;
} guest;

static guest *check_guest(lua_State *L) { return luaL_checkudata(L, 1, GUEST); }

/* ---- the list; with the turn ----------------------------------------------------------------- */

static void enlist(lua_State *L, vm *v, guest *x) {
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, x);
  x->next = v->guests;
  v->guests = x;
  x->listed = true;
}

static void delist(lua_State *L, vm *v, guest *x) {
  if (!x->listed) return;
  guest **at = &v->guests;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  x->listed = false;
  if (!lua_checkstack(L, 1)) return; /* it stays in the registry, no more */
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, x);
}

static int join_guest(void *g, int64_t deadline) { return gs_guest_join(g, deadline); }

bool gsl_guests_end(lua_State *L, vm *v) {
  bool raised = false;
  lua_checkstack(L, 4);
  for (guest *x = v->guests; x; x = x->next) GSL_OUTSIDE(L, v, gs_guest_cancel(x->g));
  while (v->guests) {
    guest *x = v->guests;
    int code = gsl_wait_shielded(L, v, join_guest, x->g, "the end of gosched.run");
    if (code == GSL_RAISED) {
      if (raised) lua_remove(L, -2); /* the last one counts */
      raised = true;
    } else if (v->guests == x) {
      delist(L, v, x);
    }
  }
  return raised;
}

/* ---- starting -------------------------------------------------------------------------------- */

static const char **args_of(lua_State *L, int t) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, t);
  const char **args = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof(*args), 0);
  for (lua_Integer i = 0; i < n; i++) {
    if (lua_rawgeti(L, t, i + 1) != LUA_TSTRING)
      luaL_error(L, "gosched.embed: args[%I] is a %s, expected a string", (LUAI_UACINT)i + 1,
                 luaL_typename(L, -1));
    args[i] = lua_tostring(L, -1); /* the table holds it */
    if (strlen(args[i]) != lua_rawlen(L, -1))
      luaL_error(L, "gosched.embed: args[%I] has a zero in it", (LUAI_UACINT)i + 1);
    lua_pop(L, 1);
  }
  args[n] = NULL;
  return args;
}

static void options_of(lua_State *L, gs_embed_options *opts) {
  if (lua_isnoneornil(L, 3)) return;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, 3)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(key, "name") == 0 && lua_type(L, -1) == LUA_TSTRING) {
      opts->name = lua_tostring(L, -1); /* the table holds it */
      lua_pop(L, 1);
    } else if (strcmp(key, "args") == 0 && lua_istable(L, -1)) {
      opts->args = args_of(L, lua_gettop(L));
      lua_replace(L, -2); /* stays on the stack, below the key */
      lua_insert(L, -2);
    } else {
      luaL_error(L,
                 "gosched.embed: option %s is a %s; name (a string) and args (a list of strings) "
                 "are accepted",
                 key, luaL_typename(L, -1));
    }
  }
}

/* gosched.embed(language, source, {name=, args=}): a guest, which runs already. */
static int l_embed(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t n;
  const char *language = luaL_checkstring(L, 1), *source = luaL_checklstring(L, 2, &n);
  luaL_argcheck(L, strlen(source) == n, 2, "there is a zero in the source");
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  options_of(L, &opts);
  if (!v->main || !gsl_self(v)) return gsl_fail(L, GS_EPERM, "gosched.embed");
  gsl_check_may_wait(L, v, "gosched.embed");
  luaL_checkstack(L, 6, "gosched.embed");
  guest *x = lua_newuserdatauv(L, sizeof(*x), 1);
  *x = (guest){NULL, NULL, false};
  luaL_setmetatable(L, GUEST);
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "language");
  lua_pushstring(L, opts.name ? opts.name : language);
  lua_setfield(L, -2, "name");
  lua_setiuservalue(L, -2, 1);
  enlist(L, v, x);
  int e = GSL_OUTSIDE(L, v, gs_embed(language, source, &opts, &x->g));
  if (e == GS_OK) return 1;
  delist(L, v, x);
  return luaL_error(L, "%s", gs_error_detail());
}

/* ---- its end --------------------------------------------------------------------------------- */

/* {language=, name=, message=, traceback=, status=}, which reads as a text. */
static int raise(lua_State *L, const gs_guest_end *end) {
  lua_createtable(L, 0, 5);
  luaL_setmetatable(L, GUEST_ERROR);
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, -1, "language");
  lua_setfield(L, -3, "language");
  lua_getfield(L, -1, "name");
  lua_setfield(L, -3, "name");
  lua_pop(L, 1);
  if (end->how == GS_GUEST_EXITED) {
    lua_pushfstring(L, "the guest has exited with status %d", end->status);
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, end->status);
    lua_setfield(L, -2, "status");
  } else {
    lua_pushlstring(L, end->text, end->length);
    lua_setfield(L, -2, "message");
  }
  lua_pushstring(L, end->trace);
  lua_setfield(L, -2, "traceback");
  return lua_error(L);
}

static int result_of(lua_State *L, guest *x) {
  gs_guest_end end = {.size = sizeof(end)};
  gs_guest_result(x->g, &end);
  if (end.how == GS_GUEST_CANCELLED) return gsl_fail(L, GS_ECANCELED, "guest:join");
  if (end.how == GS_GUEST_FAILED || end.status != 0) return raise(L, &end);
  if (end.none)
    lua_pushnil(L);
  else
    gsl_push_value_of(L, end.value);
  return 1;
}

/* guest:join(timeout?): what it returned, or its error, or gosched.timeout. */
static int l_join(lua_State *L) {
  guest *x = check_guest(L);
  vm *v = gsl_vm(L);
  int64_t deadline = gsl_opt_deadline(L, 2);
  lua_settop(L, 1);
  int code = GS_OK;
  if (!gs_guest_done(x->g)) {
    op o;
    gsl_begin(L, &o, "guest:join", deadline);
    do code = gs_guest_join(x->g, o.deadline);
    while (gsl_again(L, &o, &code));
  }
  if (code == GS_OK) {
    delist(L, v, x);
    return result_of(L, x);
  }
  if (code != GS_ETIMEOUT) return gsl_fail(L, code, "guest:join");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
  return 1;
}

/* guest:cancel(): what its main green thread waits in fails. */
static int l_cancel(lua_State *L) {
  guest *x = check_guest(L);
  GSL_OUTSIDE(L, gsl_vm(L), gs_guest_cancel(x->g));
  return 0;
}

/* guest:state(): "running", "returned", "failed", "exited", "cancelled" */
static int l_state(lua_State *L) {
  static const char *const names[] = {"returned", "failed", "exited", "cancelled"};
  guest *x = check_guest(L);
  gs_guest_end end = {.size = sizeof(end)};
  bool ended = gs_guest_result(x->g, &end) == GS_OK;
  lua_pushstring(L, ended ? names[end.how] : "running");
  return 1;
}

/* At the end of the block of a local variable: it is cancelled and waited for. */
static int l_close(lua_State *L) {
  guest *x = check_guest(L);
  vm *v = gsl_vm(L);
  if (!x->g || gs_guest_done(x->g)) return 0;
  gsl_check_may_wait(L, v, "the __close of a guest");
  GSL_OUTSIDE(L, v, gs_guest_cancel(x->g));
  int code = gsl_wait_shielded(L, v, join_guest, x->g, "the __close of a guest");
  if (code != GS_OK) return gsl_fail(L, code, "the __close of a guest");
  delist(L, v, x);
  return 0;
}

/* guest.name, guest.language, and the methods in the upvalue. */
static int l_index(lua_State *L) {
  check_guest(L);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, -2) != LUA_TNIL) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

static int l_tostring(lua_State *L) {
  check_guest(L);
  lua_getiuservalue(L, 1, 1);
  lua_getfield(L, -1, "language");
  lua_getfield(L, -2, "name");
  lua_pushfstring(L, "guest %s (%s)", lua_tostring(L, -1), lua_tostring(L, -2));
  return 1;
}

static int l_gc(lua_State *L) {
  guest *x = check_guest(L);
  gs_guest *g = x->g;
  x->g = NULL;
  if (g) GSL_OUTSIDE(L, gsl_vm(L), (gs_guest_release(g), 0));
  return 0;
}

static int l_error_text(lua_State *L) {
  lua_getfield(L, 1, "language");
  lua_getfield(L, 1, "name");
  lua_getfield(L, 1, "message");
  lua_getfield(L, 1, "traceback");
  lua_pushfstring(L, "%s guest %s: %s%s%s", luaL_tolstring(L, 2, NULL), luaL_tolstring(L, 3, NULL),
                  luaL_tolstring(L, 4, NULL), lua_rawlen(L, 5) ? "\n" : "",
                  luaL_tolstring(L, 5, NULL));
  return 1;
}

/* ---- a VM that is a guest -------------------------------------------------------------------- */

/* For the plugin: offers the value at 1 as what this guest returns; what cannot be carried is left
 * to be its text. */
static int l_returns(lua_State *L) {
  vm *v = gsl_vm(L);
  gs_value value;
  lua_settop(L, 1);
  if (gsl_to_value(L, v, 1, &value)) gs_guest_value(v->guest, &value);
  return 0;
}

/* os.exit(code?) */
static int l_exit(lua_State *L) {
  vm *v = gsl_vm(L);
  int status = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)luaL_optinteger(L, 1, 0);
  gs_guest_exited(v->guest, status);
  GSL_OUTSIDE(L, v, gs_guest_cancel(v->guest));
  return gsl_fail(L, GS_ECANCELED, "os.exit");
}

static void be_a_guest(lua_State *L, int vm_index) {
  if (lua_getglobal(L, "os") == LUA_TTABLE) {
    lua_pushvalue(L, vm_index);
    lua_pushcclosure(L, l_exit, 1);
    lua_setfield(L, -2, "exit");
  }
  lua_pop(L, 1);
  lua_pushvalue(L, vm_index);
  lua_pushcclosure(L, l_returns, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "gosched.returns");
}

void gsl_open_embed(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"embed", l_embed}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"join", l_join}, {"cancel", l_cancel}, {"state", l_state}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__tostring", l_tostring}, {"__gc", l_gc}, {"__close", l_close}, {NULL, NULL}};
  gsl_new_class(L, vm_index, GUEST, meta, methods);
  luaL_getmetatable(L, GUEST);
  lua_pushvalue(L, vm_index);
  lua_getfield(L, -2, "__index");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newmetatable(L, GUEST_ERROR);
  lua_pushcfunction(L, l_error_text);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  gsl_add_functions(L, module, vm_index, functions);
  if (((vm *)lua_touserdata(L, vm_index))->guest) be_a_guest(L, vm_index);
}
