/* spare.c: the lua_States of green threads that have ended are used again.
 *
 * Most of what starting a green thread costs is the making and collecting of its lua_State.  One
 * that has returned no results, or one, leaves nothing on its own that anybody could want: the next
 * green thread can have it, unless somebody may know it, to whom it would be the same coroutine.
 * Lua code knows it by coroutine.running, which says so (coroutine.c).  C functions may know it by
 * lua_pushthread, and must not keep it: that they could do with a coroutine that has ended has no
 * use.
 *
 * A new lua_State has the hook and the extra space of its maker and of the main one; so has a spare
 * one.  One that ends with a hook of its own is not kept, since the debug library has more about
 * it.
 */
#include <string.h>

#include "green.h"

#define KEPT 128

typedef struct spares {
  int n;             /* spare ones */
  int slots;         /* of the table, made so far */
  int nempty;        /* slots with nothing in them */
  int spare[KEPT];   /* their slots */
  int empty[KEPT];   /* those slots */
  const void *extra; /* the extra space of the main lua_State */
} spares;

static const char
    states_key; /* registry: the table of spare ones, and of those that may become so */

lua_State *gsl_take_state(lua_State *L, vm *v, green *g) {
  spares *s = v->spare;
  lua_State *T;
  gsl_push_part(L, GSL_STATES);
  if (s->n) {
    g->state = s->spare[--s->n];
    lua_rawgeti(L, -1, g->state);
    T = lua_tothread(L, -1);
    lua_Hook fn = lua_gethook(L);
    if (fn) lua_sethook(T, fn, lua_gethookmask(L), lua_gethookcount(L));
  } else {
    T = lua_newthread(L);
    g->state = s->nempty ? s->empty[--s->nempty] : s->slots < KEPT ? ++s->slots : 0;
    lua_pushvalue(L, -1);
    if (g->state)
      lua_rawseti(L, -3, g->state); /* there is room */
    else
      lua_pop(L, 1);
  }
  return T;
}

static bool reusable(lua_State *T, const green *g) {
  return g->state && g->outcome == RETURNED && g->nresults <= 1 && !g->shown && !lua_gethook(T) &&
         (!g->nresults || lua_checkstack(T, 3));
}

/* A slot's value is replaced, which allocates nothing. */
void gsl_give_state(lua_State *T, vm *v, green *g) {
  spares *s = v->spare;
  if (reusable(T, g)) {
    if (g->nresults) { /* in the place of the lua_State */
      gsl_push_green(T, g);
      lua_insert(T, -2);
      lua_setiuservalue(T, -2, 1);
    }
    lua_settop(T, 0);
    memcpy(lua_getextraspace(T), s->extra, LUA_EXTRASPACE);
    g->L = g->at = NULL;
    s->spare[s->n++] = g->state;
  } else if (g->state && lua_checkstack(T, 2)) {
    lua_rawgetp(T, LUA_REGISTRYINDEX, &states_key);
    lua_pushboolean(T, false);
    lua_rawseti(T, -2, g->state);
    lua_pop(T, 1);
    s->empty[s->nempty++] = g->state;
  }
}

void gsl_open_spare(lua_State *L, int vm_index) {
  vm *v = lua_touserdata(L, vm_index);
  v->spare = lua_newuserdatauv(L, sizeof(*v->spare), 0);
  memset(v->spare, 0, sizeof(*v->spare));
  lua_rawsetp(L, LUA_REGISTRYINDEX, v->spare);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  v->spare->extra = lua_getextraspace(lua_tothread(L, -1));
  lua_pop(L, 1);
  lua_createtable(L, KEPT, 0);
  for (int i = 1; i <= KEPT; i++) {
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, i);
  }
  gsl_set_part(L, vm_index, GSL_STATES, &states_key);
}
