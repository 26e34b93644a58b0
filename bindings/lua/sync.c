/* sync.c: mutexes and wait groups.
 *
 * A mutex knows who holds it, so that locking it twice is an error and not a deadlock; the turn
 * guards that.  lock returns the mutex, which is to be closed:
 *
 *   local held <close> = m:lock()
 */
#include "green.h"

#define MUTEX "gosched.mutex"
#define GROUP "gosched.waitgroup"

/* ---- mutexes --------------------------------------------------------------------------------- */

typedef struct mutex {
  gs_mutex m;
  uint64_t owner; /* the goid of who holds it, 0: nobody */
} mutex;

static int l_mutex(lua_State *L) {
  mutex *m = lua_newuserdatauv(L, sizeof(*m), 0);
  *m = (mutex){.owner = 0};
  luaL_setmetatable(L, MUTEX);
  return 1;
}

/* m:lock(timeout?): the mutex, or nil and "timeout" */
static int l_lock(lua_State *L) {
  vm *v = gsl_vm(L);
  mutex *m = luaL_checkudata(L, 1, MUTEX);
  int64_t deadline = gsl_opt_deadline(L, 2);
  green *g = gsl_may_begin(L, v, "m:lock");
  if (m->owner == g->id) return luaL_error(L, "m:lock: this green thread holds it already");
  op o;
  int code;
  gsl_leave_for(v, g, &o, "m:lock", deadline);
  do code = gsl_only_tries(g) ? gs_mutex_try_lock(&m->m) : gs_mutex_lock(&m->m, o.deadline);
  while (gsl_once_more(L, &o, &code));
  if (code == GS_OK) {
    m->owner = g->id;
    lua_settop(L, 1);
    return 1;
  }
  if (code != GS_ETIMEOUT) return gsl_fail(L, code, "m:lock");
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

/* m:trylock(): the mutex, or nil */
static int l_trylock(lua_State *L) {
  mutex *m = luaL_checkudata(L, 1, MUTEX);
  green *g = gsl_self(gsl_vm(L));
  if (!g) return gsl_fail(L, GS_EPERM, "m:trylock");
  lua_settop(L, 1);
  if (gs_mutex_try_lock(&m->m) == GS_OK) /* which ends no slice: it is the owner's at once */
    m->owner = g->id;
  else
    lua_pushnil(L);
  return 1;
}

/* m:unlock(), also at the end of a block; anybody may, but it must be locked. */
static int l_unlock(lua_State *L) {
  mutex *m = luaL_checkudata(L, 1, MUTEX);
  vm *v = gsl_vm(L);
  if (!m->owner) return luaL_error(L, "m:unlock: it is not locked");
  m->owner = 0;
  int code = GSL_OUTSIDE(L, v, gs_mutex_unlock(&m->m));
  return code == GS_OK ? 0 : gsl_fail(L, code, "m:unlock");
}

/* m:locked() */
static int l_locked(lua_State *L) {
  mutex *m = luaL_checkudata(L, 1, MUTEX);
  lua_pushboolean(L, m->owner != 0);
  return 1;
}

/* ---- wait groups ----------------------------------------------------------------------------- */

static int l_waitgroup(lua_State *L) {
  gs_waitgroup *w = lua_newuserdatauv(L, sizeof(*w), 0);
  *w = (gs_waitgroup){.state = 0};
  luaL_setmetatable(L, GROUP);
  return 1;
}

static int count(lua_State *L, gs_waitgroup *w, lua_Integer n, const char *what) {
  int code = n < -1000000 || n > 1000000 ? GS_EINVAL
                                         : GSL_OUTSIDE(L, gsl_vm(L), gs_waitgroup_add(w, (int)n));
  if (code == GS_OK) return 0;
  if (code == GS_EINVAL)
    return luaL_error(L, "%s: counting by %I would make the count negative, or too large", what,
                      (LUAI_UACINT)n);
  return gsl_fail(L, code, what);
}

/* wg:add(n?): so many more are to be waited for (1) */
static int l_add(lua_State *L) {
  return count(L, luaL_checkudata(L, 1, GROUP), luaL_optinteger(L, 2, 1), "wg:add");
}

/* wg:done(): one less */
static int l_done(lua_State *L) { return count(L, luaL_checkudata(L, 1, GROUP), -1, "wg:done"); }

/* wg:wait(timeout?): true when none is left, or false and "timeout" */
static int l_wait(lua_State *L) {
  gs_waitgroup *w = luaL_checkudata(L, 1, GROUP);
  int64_t deadline = gsl_opt_deadline(L, 2);
  op o;
  int code;
  gsl_begin(L, &o, "wg:wait", deadline);
  do code = gs_waitgroup_wait(w, o.deadline);
  while (gsl_again(L, &o, &code));
  if (code != GS_OK && code != GS_ETIMEOUT) return gsl_fail(L, code, "wg:wait");
  lua_pushboolean(L, code == GS_OK);
  if (code == GS_OK) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

void gsl_open_sync(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {
      {"mutex", l_mutex}, {"waitgroup", l_waitgroup}, {NULL, NULL}};
  static const luaL_Reg mutex_meta[] = {{"__close", l_unlock}, {NULL, NULL}};
  static const luaL_Reg mutex_methods[] = {{"lock", l_lock},
                                           {"trylock", l_trylock},
                                           {"unlock", l_unlock},
                                           {"locked", l_locked},
                                           {NULL, NULL}};
  static const luaL_Reg group_meta[] = {{NULL, NULL}};
  static const luaL_Reg group_methods[] = {
      {"add", l_add}, {"done", l_done}, {"wait", l_wait}, {NULL, NULL}};
  gsl_new_class(L, vm_index, MUTEX, mutex_meta, mutex_methods);
  gsl_new_class(L, vm_index, GROUP, group_meta, group_methods);
  gsl_add_functions(L, module, vm_index, functions);
}
