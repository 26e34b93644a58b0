/* green.c: green threads of Lua: go, join, cancel.
 *
 * The value that gosched.go returns is a userdata whose uservalue is the green thread's lua_State;
 * while it runs, a table of the VM has the userdata.  The lua_State's stack is: the message
 * handler, then the function and its arguments; when it has ended, the results or the error in
 * their place, from where every joiner copies them.
 *
 * The userdata has no finalizer, which would double what a short green thread costs.  So the handle
 * is released when the green thread is over, or by the last of those who wait for it then; and an
 * error that nobody has got when the value is collected is told by another userdata, made when the
 * green thread fails.
 *
 * Everything here happens with the turn, so the list of those that run needs no lock.
 */
#include <stdio.h>
#include <stdlib.h>
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

void gsl_enlist(vm *v, green **list, green *g) {
  g->next = *list;
  g->prev = NULL;
  if (g->next) g->next->prev = g;
  *list = g;
  v->changes++;
}

void gsl_delist(vm *v, green **list, green *g) {
  v->changes++;
  if (g->prev)
    g->prev->next = g->next;
  else
    *list = g->next;
  if (g->next) g->next->prev = g->prev;
}

static green **list_of(vm *v, const green *g) { return g->lost ? &v->lost : &v->greens; }

static const char running_key;  /* registry: the table of those that run */
static const char unjoined_key; /* … and the metatable of what tells an error that nobody joined */

void gsl_push_green(lua_State *L, const green *g) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &running_key);
  lua_rawgeti(L, -1, g->slot);
  lua_remove(L, -2);
}

/* Makes sure that a slot is free, so that anchor can raise no error. */
static void reserve_slot(lua_State *L, vm *v) {
  if (v->nfree) return;
  if (v->slots == v->most_slots) {
    int most = v->most_slots ? 2 * v->most_slots : 64;
    int *more = realloc(v->free, (size_t)most * sizeof(*more));
    if (!more) luaL_error(L, "gosched.go: not enough memory");
    v->free = more;
    v->most_slots = most;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &running_key);
  lua_pushboolean(L, false);
  lua_rawseti(L, -2, v->slots + 1);
  lua_pop(L, 1);
  v->free[v->nfree++] = ++v->slots;
}

static int reserve(lua_State *L) {
  reserve_slot(L, lua_touserdata(L, 1));
  return 0;
}

/* false: the error is on top of the stack. */
static bool reserve_protected(lua_State *L, vm *v) {
  lua_pushcfunction(L, reserve);
  lua_pushlightuserdata(L, v);
  return lua_pcall(L, 1, 0, 0) == LUA_OK;
}

/* The table keeps the value on top of the stack. */
static void anchor(lua_State *L, vm *v, green *g) {
  g->slot = v->free[--v->nfree];
  gsl_push_part(L, GSL_RUNNING);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, g->slot);
  lua_pop(L, 1);
}

static void unanchor(lua_State *L, vm *v, const green *g) {
  if (!lua_checkstack(L, 2)) return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &running_key);
  lua_pushboolean(L, false);
  lua_rawseti(L, -2, g->slot);
  lua_pop(L, 1);
  v->free[v->nfree++] = g->slot;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static int make_unjoined(lua_State *L) {
  lua_newuserdatauv(L, 0, 1);
  lua_insert(L, 1);
  lua_setiuservalue(L, 1, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &unjoined_key);
  lua_setmetatable(L, 1);
  return 1;
}

/* It has failed: what tells its error, if nobody else gets it, takes the message handler's place on
 * its stack.  They keep each other, and are collected together. */
static void watch_error(lua_State *L, green *g) {
  if (g->joined || !lua_checkstack(L, 3)) return;
  lua_pushcfunction(L, make_unjoined);
  gsl_push_green(L, g);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    lua_replace(L, 1);
  else
    lua_pop(L, 1);
}

/* It is collected: its green thread, too. */
static int l_unjoined_gc(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  const green *g = lua_touserdata(L, -1);
  if (!g || g->joined) return 0;
  const char *text = lua_tostring(g->L, -1);
  fprintf(stderr, "gosched: green thread %llu (%s) ended with an error that nobody joined: %s\n",
          (unsigned long long)g->id, g->name, text ? text : luaL_typename(g->L, -1));
  return 0;
}

/* gs_handle_release does not end a slice, so the turn stays here. */
static void release_handle(green *g) {
  gs_handle_release(g->handle);
  g->handle = NULL;
}

int gsl_await(green *g, int64_t deadline) {
  if (!g->handle) return GS_OK; /* it has ended while a signal's hook ran */
  g->joiners++;
  int code = gs_join(g->handle, deadline);
  if (--g->joiners == 0 && g->over) release_handle(g);
  return code;
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
  if (g->outcome == RAISED) watch_error(L, g);
  gsl_delist(v, list_of(v, g),
             g); /* from here to the end nobody else gets the turn: who is listed is waited for */
  gsl_turn_leave(v->turn); /* no hook is set on L any more */
  gsl_give_state(L, v, g);
  unanchor(L, v, g);
  g->over = true;
  if (!g->joiners) release_handle(g);
  *gs_gdata() = NULL;
}

/* "file.lua:12", for traces and dumps. */
static void make_name(lua_State *L, int function, char *name) {
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

/* The same function is often started again.  The one that was named last is a weak value of a
 * table: if it is still there it is that one. */
static void name_of(lua_State *L, vm *v, int function, char *name) {
  const void *f = lua_topointer(L, function);
  gsl_push_part(L, GSL_NAMED);
  lua_rawgeti(L, -1, 1);
  if (lua_topointer(L, -1) != f) {
    make_name(L, function, v->name);
    lua_pushvalue(L, function);
    lua_rawseti(L, -3, 1);
  }
  lua_pop(L, 2);
  memcpy(name, v->name, sizeof(v->name));
}

/* Pushes a new green value whose lua_State has the function at index f and its arguments. */
static green *prepare(lua_State *L, vm *v, int f) {
  int nargs = lua_gettop(L) - f;
  luaL_checkstack(L, nargs + 6, "gosched.go");
  green *g = lua_newuserdatauv(L, sizeof(*g), 2);
  memset(g, 0, sizeof(*g));
  g->deadline = GS_FOREVER;
  g->vm = v;
  g->turn = v->turn;
  gsl_push_part(L, GSL_CLASS);
  lua_setmetatable(L, -2);
  g->L = g->at = gsl_take_state(L, v, g);
  lua_setiuservalue(L, -3, 1);
  lua_pop(L, 1);
  if (!lua_checkstack(g->L, nargs + 3)) {
    gsl_give_state(g->L, v, g);
    luaL_error(L, "gosched.go: too many arguments");
  }
  lua_pushcfunction(g->L, gsl_traceback);
  for (int i = 0; i <= nargs; i++) lua_pushvalue(L, f + i);
  lua_xmove(L, g->L, nargs + 1);
  return g;
}

green *gsl_go(lua_State *L, vm *v, int f, struct group *of, const char *what) {
  luaL_checktype(L, f, LUA_TFUNCTION);
  if (!v->main || !gsl_self(v)) gsl_fail(L, GS_EPERM, what);
  reserve_slot(L, v);
  green *g = prepare(L, v, f);
  if (!v->nfree && !reserve_protected(L, v)) { /* a finalizer has started another one meanwhile */
    gsl_give_state(g->L, v, g);
    lua_error(L);
  }
  name_of(L, v, f, g->name);
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = g->name;
  opts.domain = v->turn->domain;
  if (of) {
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    g->member_of = of;
  }
  anchor(L, v, g);
  gsl_enlist(v, &v->greens, g);
  int e = GSL_OUTSIDE(L, v, gs_go_opts(&opts, live, g, &g->handle));
  if (e == GS_OK) {
    if (g->handle) g->id = gs_handle_id(g->handle); /* else it is over, and has noted that */
    if (v->ending) gsl_cancel(v, g);
    return g;
  }
  gsl_delist(v, list_of(v, g), g);
  unanchor(L, v, g);
  g->outcome = CANCELLED;
  gsl_give_state(g->L, v, g);
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
  if (!lua_checkstack(g->L, n)) luaL_error(L, "g:join: not enough memory");
  for (int i = 0; i < n; i++) lua_pushvalue(g->L, from + i);
  lua_xmove(g->L, L, n);
  return n;
}

/* Pushes the results of the one at index 1. */
static int push_results(lua_State *L, green *g) {
  if (g->L) return copy_out(L, g, 2, g->nresults);
  if (g->nresults) lua_getiuservalue(L, 1, 1);
  return g->nresults;
}

int gsl_outcome(lua_State *L, green *g) {
  switch (g->outcome) {
    case RETURNED: return push_results(L, g);
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
  do code = gsl_await(g, o.deadline);
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

/* Protected: the error of an end that will never come. */
static int never_ends(lua_State *L) {
  gsl_push_report(L, lua_touserdata(L, 1));
  lua_pushfstring(L,
                  "gosched.run: its function has returned, and green threads that do not end wait "
                  "for each other (a deadlock)\n%s",
                  lua_tostring(L, -1));
  return 1;
}

/* Those that are left wait for each other where they cannot be cancelled.  They are left where they
 * are: if something wakes them in a later run they go on then. */
static void leave_lost(lua_State *L, vm *v) {
  lua_pushcfunction(L, never_ends);
  lua_pushlightuserdata(L, v);
  (void)lua_pcall(L, 1, 1, 0);
  while (v->greens) {
    green *g = v->greens;
    gsl_delist(v, &v->greens, g);
    g->lost = true;
    gsl_enlist(v, &v->lost, g);
  }
}

bool gsl_end_all(lua_State *L, vm *v) {
  bool raised = false;
  lua_checkstack(L, 4);
  v->ending = true;
  gsl_cancel_all(v, NULL);
  while (v->greens) {
    green *g = v->greens;
    gsl_push_green(L, g); /* it must not be collected before gs_join is back */
    int code = gsl_join_shielded(L, v, g, "the end of gosched.run");
    if (code == GSL_DEADLOCK) leave_lost(L, v);
    if (code == GSL_RAISED || code == GSL_DEADLOCK) {
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
  static const luaL_Reg meta[] = {{"__tostring", l_tostring}, {"__close", l_close}, {NULL, NULL}};
  gsl_new_class(L, vm_index, GSL_GREEN, meta, methods);
  luaL_getmetatable(L, GSL_GREEN);
  lua_pushvalue(L, vm_index);
  lua_getfield(L, -2, "__index");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_setiuservalue(L, vm_index, GSL_CLASS);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_unjoined_gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &unjoined_key);
  lua_newtable(L);
  gsl_set_part(L, vm_index, GSL_RUNNING, &running_key);
  lua_createtable(L, 1, 0);
  lua_pushboolean(L, false);
  lua_rawseti(L, -2, 1);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_setiuservalue(L, vm_index, GSL_NAMED);
  gsl_add_functions(L, module, vm_index, functions);
}
