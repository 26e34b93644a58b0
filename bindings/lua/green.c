/* green.c: green threads of Lua: go, join, cancel.
 *
 * The value that gosched.go returns is a userdata whose uservalue is the green thread's lua_State;
 * while it runs, the registry holds the userdata.  The lua_State's stack is: the message handler,
 * then the function and its arguments; when it has ended, the results or the error in their place,
 * from where every joiner copies them.
 *
 * Everything here happens with the turn, so the list of those that run needs no lock.
 */
#include <stdio.h>
#include <string.h>

#include "green.h"

gsl_local *gsl_local_of(vm *v) {
  green *g = gsl_running(v->turn);
  return g ? &g->local : &v->local;
}

int gsl_traceback(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

green *gsl_check_green(lua_State *L, int index) { return luaL_checkudata(L, index, GSL_GREEN); }

/* ---- going ----------------------------------------------------------------------------------- */

static bool is_cancelled_value(lua_State *L, int index) {
  if (!lua_checkstack(L, 1)) return false;
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_cancelled);
  bool same = lua_rawequal(L, index, -1);
  lua_pop(L, 1);
  return same;
}

static void enlist(vm *v, green *g) {
  g->next = v->greens;
  g->prev = NULL;
  if (g->next) g->next->prev = g;
  v->greens = g;
  v->changes++;
}

static void delist(vm *v, green *g) {
  v->changes++;
  if (g->prev)
    g->prev->next = g->next;
  else
    v->greens = g->next;
  if (g->next) g->next->prev = g->prev;
}

/* The registry lets it go; clearing a field allocates nothing. */
static void unanchor(lua_State *L, green *g) {
  if (!lua_checkstack(L, 1)) return;
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, g);
}

/* The whole life of a green thread.  Outside lua_pcall nothing here can raise an error. */
static void live(void *arg) {
  green *g = arg;
  lua_State *L = g->L;
  vm *v = g->vm;
  *gs_gdata() = g;
  g->id = gs_self();
  gsl_turn_enter(v->turn, g);
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  g->outcome = status == LUA_OK ? RETURNED : is_cancelled_value(L, -1) ? CANCELLED : RAISED;
  g->nresults = lua_gettop(L) - 1;
  if (g->member_of) gsl_group_left(v, g->member_of, g);
  delist(v, g); /* from here to the end nobody else gets the turn: who is listed is waited for */
  unanchor(L, g);
  gsl_turn_leave(v->turn);
  *gs_gdata() = NULL;
}

/* "file.lua:12", for traces and dumps. */
static void name_of(lua_State *L, int function, char *name) {
  lua_Debug ar;
  lua_pushvalue(L, function);
  lua_getinfo(L, ">S", &ar);
  const char *base = strrchr(ar.short_src, '/');
  size_t n = 0;
  char digits[12], *d = digits + sizeof(digits);
  for (base = base ? base + 1 : ar.short_src; *base && n < 20; base++) name[n++] = *base;
  if (ar.linedefined > 0) {
    for (int line = ar.linedefined; line > 0; line /= 10) *--d = (char)('0' + line % 10);
    *--d = ':';
    while (d < digits + sizeof(digits)) name[n++] = *d++;
  }
  name[n] = 0;
}

/* Pushes a new green value whose lua_State has the function at index f and its arguments. */
static green *prepare(lua_State *L, vm *v, int f) {
  int nargs = lua_gettop(L) - f;
  green *g = lua_newuserdatauv(L, sizeof(*g), 2);
  memset(g, 0, sizeof(*g));
  g->deadline = GS_FOREVER;
  g->vm = v;
  g->turn = v->turn;
  luaL_setmetatable(L, GSL_GREEN);
  g->L = g->at = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  if (!lua_checkstack(g->L, nargs + 2)) luaL_error(L, "gosched.go: too many arguments");
  luaL_checkstack(L, nargs + 1, "gosched.go");
  lua_pushcfunction(g->L, gsl_traceback);
  for (int i = 0; i <= nargs; i++) lua_pushvalue(L, f + i);
  lua_xmove(L, g->L, nargs + 1);
  return g;
}

green *gsl_go(lua_State *L, vm *v, int f, struct group *of, const char *what) {
  luaL_checktype(L, f, LUA_TFUNCTION);
  if (!v->main || !gsl_self(v)) gsl_fail(L, GS_EPERM, what);
  green *g = prepare(L, v, f);
  name_of(L, f, g->name);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, g);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = g->name;
  opts.domain = v->turn->domain;
  if (of) {
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    g->member_of = of;
  }
  enlist(v, g);
  int e = GSL_OUTSIDE(L, v, gs_go_opts(&opts, live, g, &g->handle));
  if (e == GS_OK) {
    g->id = gs_handle_id(g->handle);
    if (v->ending) gsl_cancel(v, g);
    return g;
  }
  delist(v, g);
  unanchor(L, g);
  g->outcome = CANCELLED;
  luaL_error(L, "%s: %s", what, gs_error_detail());
  return NULL;
}

/* gosched.go(f, …): starts f(…) as a green thread. */
static int l_go(lua_State *L) {
  gsl_go(L, gsl_vm(L), 1, NULL, "gosched.go");
  return 1;
}

/* ---- joining --------------------------------------------------------------------------------- */

/* Pushes copies of what stands on the green thread's stack from index `from`. */
static int copy_out(lua_State *L, green *g, int from, int n) {
  if (lua_gettop(g->L) < from + n - 1)
    luaL_error(L, "g:join: the results are gone: the green thread's coroutine was used");
  luaL_checkstack(L, n, "too many results");
  if (!lua_checkstack(g->L, n)) luaL_error(L, "g:join: out of memory");
  for (int i = 0; i < n; i++) lua_pushvalue(g->L, from + i);
  lua_xmove(g->L, L, n);
  return n;
}

int gsl_outcome(lua_State *L, green *g) {
  switch (g->outcome) {
    case RETURNED: return copy_out(L, g, 2, g->nresults);
    case RAISED:
      g->joined = true;
      copy_out(L, g, g->nresults + 1, 1);
      return lua_error(L);
    default: return gsl_fail(L, GS_ECANCELED, "g:join");
  }
}

/* g:join(timeout?): the function's results, or its error, or gosched.timeout. */
static int l_join(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  int64_t deadline = gsl_opt_deadline(L, 2);
  if (g->outcome != RUNS) return gsl_outcome(L, g);
  if (gsl_self(gsl_vm(L)) == g) return luaL_error(L, "g:join: a green thread cannot join itself");
  op o;
  int code;
  gsl_begin(L, &o, "g:join", deadline);
  do code = gs_join(g->handle, o.deadline);
  while (gsl_again(L, &o, &code));
  if (code == GS_OK) return gsl_outcome(L, g);
  if (code != GS_ETIMEOUT) return gsl_fail(L, code, "g:join");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
  return 1;
}

/* ---- cancelling ------------------------------------------------------------------------------ */

void gsl_cancel(vm *v, green *g) {
  if (g->outcome != RUNS) return;
  g->cancels++;
  if (g->handle)
    GSL_OUTSIDE(g->L, v, gs_cancel(g->handle));
  else if (g == v->main)
    gs_notify();
}

void gsl_uncancel(green *g) {
  if (g->cancels && --g->cancels == 0 && !g->told) GSL_OUTSIDE(g->L, g->vm, (gs_uncancel(), 0));
}

/* g:cancel(): what it waits in raises gosched.cancelled. */
static int l_cancel(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  bool first = !g->asked_to_end;
  g->asked_to_end = true;
  if (first) gsl_cancel(gsl_vm(L), g);
  return 0;
}

/* At the end of the block of a local variable: it is cancelled and waited for.  An error that it
 * ended with is raised, unless another one is under way. */
static int l_close(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  vm *v = gsl_vm(L);
  bool failing = !lua_isnoneornil(L, 2);
  if (g->outcome == RUNS) {
    gsl_check_may_wait(L, v, "the __close of a green thread");
    gsl_cancel(v, g);
    int code = gsl_join_shielded(L, v, g, "the __close of a green thread");
    if (code != GS_OK) return gsl_fail(L, code, "the __close of a green thread");
  }
  if (g->outcome == RAISED && !failing) return gsl_outcome(L, g);
  g->joined = true;
  return 0;
}

/* The list may change whenever one is cancelled: then it is gone through again. */
void gsl_cancel_all(vm *v, const struct group *of) {
  for (green *g = v->greens, *next; g; g = next) {
    unsigned before = v->changes;
    next = g->next;
    if ((of && g->member_of != of) || g->asked_to_end) continue;
    g->asked_to_end = true;
    gsl_cancel(v, g);
    if (v->changes != before) next = v->greens;
  }
}

bool gsl_end_all(lua_State *L, vm *v) {
  bool raised = false;
  lua_checkstack(L, 4);
  v->ending = true;
  gsl_cancel_all(v, NULL);
  while (v->greens) {
    green *g = v->greens;
    lua_rawgetp(L, LUA_REGISTRYINDEX, g); /* it must not be collected before gs_join is back */
    if (gsl_join_shielded(L, v, g, "the end of gosched.run") == GSL_RAISED) {
      lua_remove(L, -2);
      if (raised) lua_remove(L, -2); /* the last one counts */
      raised = true;
    } else {
      lua_pop(L, 1);
    }
  }
  v->ending = false;
  return raised;
}

/* ---- the value ------------------------------------------------------------------------------- */

/* g:state(): "running", "returned", "failed", "cancelled"; for one that waits in an operation also
 * which. */
static int l_state(lua_State *L) {
  static const char *const names[] = {"running", "returned", "failed", "cancelled"};
  green *g = gsl_check_green(L, 1);
  lua_pushstring(L, names[g->outcome]);
  if (g->outcome != RUNS || !g->where) return 1;
  lua_pushstring(L, g->where);
  return 2;
}

/* g.id, g.name, and the methods in the upvalue. */
static int l_index(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "id") == 0) {
    lua_pushinteger(L, (lua_Integer)g->id);
    return 1;
  }
  if (strcmp(key, "name") == 0) {
    lua_pushstring(L, g->name);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

static int l_tostring(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  lua_pushfstring(L, "green thread %I", (LUAI_UACINT)g->id);
  return 1;
}

/* An error that nobody got is told when nobody can get it any more. */
static int l_gc(lua_State *L) {
  green *g = gsl_check_green(L, 1);
  if (g->outcome == RAISED && !g->joined) {
    const char *text = lua_tostring(g->L, -1);
    fprintf(stderr, "gosched: green thread %llu (%s) ended with an error that nobody joined: %s\n",
            (unsigned long long)g->id, g->name, text ? text : luaL_typename(g->L, -1));
  }
  gs_handle *h = g->handle;
  g->handle = NULL;
  if (h) GSL_OUTSIDE(L, gsl_vm(L), (gs_handle_release(h), 0));
  return 0;
}

void gsl_add_functions(lua_State *L, int module, int vm_index, const luaL_Reg *functions) {
  lua_pushvalue(L, module);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, functions, 1);
  lua_pop(L, 1);
}

void gsl_new_class(lua_State *L, int vm_index, const char *name, const luaL_Reg *meta,
                   const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, meta, 1);
  lua_newtable(L);
  lua_pushvalue(L, vm_index);
  luaL_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void gsl_open_green(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"go", l_go}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"join", l_join}, {"cancel", l_cancel}, {"state", l_state}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__tostring", l_tostring}, {"__gc", l_gc}, {"__close", l_close}, {NULL, NULL}};
  gsl_new_class(L, vm_index, GSL_GREEN, meta, methods);
  luaL_getmetatable(L, GSL_GREEN);
  lua_pushvalue(L, vm_index);
  lua_getfield(L, -2, "__index");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  gsl_add_functions(L, module, vm_index, functions);
}
