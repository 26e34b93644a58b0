/* group.c: task groups.
 *
 *   do
 *     local tg <close> = gosched.taskgroup()
 *     tg:go(f, 1)
 *     tg:go(f, 2)
 *   end  -- waits for both
 *
 * The first error of a member cancels the others and whatever the owner waits in, and is raised
 * where the group is closed.  If the block ends with an error, the members are cancelled.  A member
 * that was cancelled is no error.
 *
 * Who keeps whom: a member has the group as its second uservalue, and is itself kept by the
 * registry until it has ended; the member that failed first is the group's uservalue.
 */
#include "green.h"

#define TASKGROUP "gosched.taskgroup"

typedef struct group {
  green *owner; /* who made it; lives as long as it is open, or its id is not the same any more */
  uint64_t owner_id;
  bool open;
  bool told_owner; /* the owner was cancelled for it */
  green *first;    /* who failed first */
} group;

static int l_taskgroup(lua_State *L) {
  green *g = gsl_self(gsl_vm(L));
  if (!g) return gsl_fail(L, GS_EPERM, "gosched.taskgroup");
  group *tg = lua_newuserdatauv(L, sizeof(*tg), 1);
  *tg = (group){.owner = g, .owner_id = g->id, .open = true};
  luaL_setmetatable(L, TASKGROUP);
  return 1;
}

/* The owner, if it has not ended. */
static green *owner_of(const vm *v, const group *tg) {
  if (v->main == tg->owner && v->main->id == tg->owner_id) return v->main;
  green *const lists[] = {v->greens, v->visits};
  for (int i = 0; i < 2; i++)
    for (green *g = lists[i]; g; g = g->next)
      if (g == tg->owner && g->id == tg->owner_id) return g;
  return NULL;
}

void gsl_group_left(vm *v, group *tg, green *g) {
  if (g->outcome != RAISED) return;
  g->joined = true;
  if (tg->first || !lua_checkstack(g->L, 3)) return;
  tg->first = g;
  gsl_push_green(g->L, g);
  lua_getiuservalue(g->L, -1, 2);
  lua_insert(g->L, -2);
  lua_setiuservalue(g->L, -2, 1);
  lua_pop(g->L, 1);
  gsl_cancel_all(v, tg);
  green *owner = tg->open ? owner_of(v, tg) : NULL;
  if (!owner) return;
  tg->told_owner = true;
  gsl_cancel(v, owner);
}

/* tg:go(f, …): a green thread of the group */
static int l_group_go(lua_State *L) {
  group *tg = luaL_checkudata(L, 1, TASKGROUP);
  vm *v = gsl_vm(L);
  if (!tg->open) return luaL_error(L, "tg:go: the group is closed");
  luaL_checktype(L, 2, LUA_TFUNCTION);
  gsl_go(L, v, 2, tg, "tg:go");
  if (tg->first) gsl_cancel_all(v, tg);
  return 1;
}

/* tg:cancel(): its members are cancelled */
static int l_group_cancel(lua_State *L) {
  gsl_cancel_all(gsl_vm(L), luaL_checkudata(L, 1, TASKGROUP));
  return 0;
}

static green *any_member(const vm *v, const group *tg) {
  for (green *g = v->greens; g; g = g->next)
    if (g->member_of == tg) return g;
  return NULL;
}

/* Waits for all.  The error of a wait that failed stays on the stack if it is GSL_RAISED. */
static int wait_for_members(lua_State *L, vm *v, const group *tg, bool shielded) {
  green *g;
  while ((g = any_member(v, tg))) {
    op o;
    int code;
    gsl_push_green(L, g); /* it must not be collected before gs_join is back */
    if (shielded) {
      code = gsl_join_shielded(L, v, g, "tg:wait");
    } else {
      gsl_begin(L, &o, "tg:wait", GS_FOREVER);
      do code = gsl_await(g, o.deadline);
      while (gsl_again(L, &o, &code));
    }
    if (code != GS_OK) return code;
    lua_pop(L, 1);
  }
  return GS_OK;
}

/* tg:wait(), and at the end of the block: waits for all members, and raises the first error.  The
 * group takes no more. */
static int l_group_wait(lua_State *L) {
  group *tg = luaL_checkudata(L, 1, TASKGROUP);
  vm *v = gsl_vm(L);
  bool failing = !lua_isnoneornil(L, 2);
  int code = GS_OK;
  if (!tg->open) return 0;
  gsl_check_may_wait(L, v, "tg:wait");
  green *self = gsl_self(v);
  if (!self) return gsl_fail(L, GS_EPERM, "tg:wait");
  if (failing) gsl_cancel_all(v, tg);
  luaL_checkstack(L, 8, "tg:wait");
  if (!failing && !tg->first && any_member(v, tg)) {
    if (!self->handle && self->cancels)
      code = GS_ECANCELED;
    else
      code = wait_for_members(L, v, tg, false);
  }
  if (code == GSL_DEADLOCK) return gsl_fail(L, code, "tg:wait");
  if (code != GS_OK) gsl_cancel_all(v, tg);
  int late = wait_for_members(L, v, tg, true);
  tg->open = false;
  if (tg->told_owner && self->id == tg->owner_id) gsl_uncancel(self);
  tg->told_owner = false;
  if (tg->first) {
    lua_getiuservalue(L, 1, 1);
    return gsl_outcome(L, tg->first);
  }
  if (late != GS_OK) code = late;
  return code == GS_OK ? 0 : gsl_fail(L, code, "tg:wait");
}

void gsl_open_group(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"taskgroup", l_taskgroup}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_group_wait}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"go", l_group_go}, {"cancel", l_group_cancel}, {"wait", l_group_wait}, {NULL, NULL}};
  gsl_new_class(L, vm_index, TASKGROUP, meta, methods);
  gsl_add_functions(L, module, vm_index, functions);
}
