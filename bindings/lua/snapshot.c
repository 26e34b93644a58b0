/* snapshot.c: gosched.snapshot.
 *
 * The core's snapshot is copied into tables in a protected call, and freed after it, so that it is
 * not lost when memory runs out in between.  Finalizers that run meanwhile may switch to other
 * green threads; the copy does not change by that.
 */
#include "green.h"

static void put_integer(lua_State *L, const char *key, int64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, key);
}

/* Of an id or a number for which `none` says that there is none: then the field is absent. */
static void put_some(lua_State *L, const char *key, int64_t n, int64_t none) {
  if (n != none) put_integer(L, key, n);
}

static void put_bool(lua_State *L, const char *key, int b) {
  lua_pushboolean(L, b);
  lua_setfield(L, -2, key);
}

/* s NULL: the field is absent. */
static void put_text(lua_State *L, const char *key, const char *s) {
  lua_pushstring(L, s);
  lua_setfield(L, -2, key);
}

static void push_g(lua_State *L, const gs_g_info *g) {
  static const char *const states[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
  lua_createtable(L, 0, 12);
  put_integer(L, "id", (int64_t)g->id);
  put_text(L, "name", g->name);
  put_text(L, "state", states[g->state]);
  put_text(L, "wait_reason", g->wait_reason);
  put_text(L, "domain", g->domain);
  put_text(L, "call", g->call);
  put_some(L, "m", g->m, -1);
  put_some(L, "locked_m", g->locked_m, -1);
  put_bool(L, "system", g->system);
  put_bool(L, "cancelled", g->cancelled);
  put_bool(L, "detached", g->detached);
  if (!g->since) return;
  lua_pushnumber(L, (lua_Number)g->since / 1e9);
  lua_setfield(L, -2, "since");
}

static void push_m(lua_State *L, const gs_m_info *m) {
  static const char *const modes[] = {"inside", "call", "user", "stopped"};
  lua_createtable(L, 0, 12);
  put_integer(L, "id", m->id);
  put_integer(L, "tid", m->tid);
  put_text(L, "mode", modes[m->mode]);
  put_some(L, "p", m->p, -1);
  put_text(L, "domain", m->domain);
  put_some(L, "g", (int64_t)m->g, 0);
  put_some(L, "locked_g", (int64_t)m->locked_g, 0);
  put_bool(L, "incgo", m->incgo);
  put_integer(L, "ncgo", m->ncgo);
  put_integer(L, "ncgocall", (int64_t)m->ncgocall);
  put_bool(L, "idle", m->idle);
  put_bool(L, "spinning", m->spinning);
}

static void push_p(lua_State *L, const gs_p_info *p) {
  static const char *const states[] = {"idle", "running", "syscall", "stopped", "dead"};
  lua_createtable(L, 0, 7);
  put_text(L, "domain", p->domain);
  put_integer(L, "id", p->id);
  put_text(L, "state", states[p->status]);
  put_some(L, "m", p->m, -1);
  put_integer(L, "runq", (int64_t)p->runq);
  put_integer(L, "schedtick", (int64_t)p->schedtick);
  put_integer(L, "syscalltick", (int64_t)p->syscalltick);
}

#define PUSH_LIST(L, s, n, all, push)          \
  do {                                         \
    lua_createtable(L, (int)(s)->n, 0);        \
    for (size_t i_ = 0; i_ < (s)->n; i_++) {   \
      push(L, &(s)->all[i_]);                  \
      lua_rawseti(L, -2, (lua_Integer)i_ + 1); \
    }                                          \
  } while (0)

/* In a protected call. */
static int copy(lua_State *L) {
  const gs_snapshot_data *s = lua_touserdata(L, 1);
  lua_createtable(L, 0, 4);
  lua_pushnumber(L, (lua_Number)s->when / 1e9);
  lua_setfield(L, -2, "when");
  PUSH_LIST(L, s, ng, g, push_g);
  lua_setfield(L, -2, "gs");
  PUSH_LIST(L, s, nm, m, push_m);
  lua_setfield(L, -2, "ms");
  PUSH_LIST(L, s, np, p, push_p);
  lua_setfield(L, -2, "ps");
  return 1;
}

/* gosched.snapshot(): every green thread, OS thread and P there is, of all languages. */
int gsl_snapshot(lua_State *L) {
  gs_snapshot_data *s = NULL;
  lua_settop(L, 0);
  luaL_checkstack(L, 20, "a snapshot");
  lua_pushcfunction(L, copy);
  int e = GSL_OUTSIDE(L, gsl_vm(L), gs_snapshot(&s));
  if (e != GS_OK) return gsl_fail(L, e, "gosched.snapshot");
  lua_pushlightuserdata(L, s);
  int status = lua_pcall(L, 1, 1, 0);
  gs_snapshot_free(s);
  return status == LUA_OK ? 1 : lua_error(L);
}
