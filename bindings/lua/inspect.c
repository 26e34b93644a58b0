/* inspect.c: gosched.stats, trace, dump; and what all green threads do, for dumps and deadlocks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "green.h"

#define TRACE "gosched.trace"

/* ---- stats ----------------------------------------------------------------------------------- */

#define METRIC(name) \
  { #name, offsetof(gs_metrics, name) }

static const struct metric {
  const char *name;
  size_t offset;
} metrics[] = {
    METRIC(gs_live),       METRIC(threads),           METRIC(threads_idle), METRIC(incgo),
    METRIC(procs),         METRIC(procs_idle),        METRIC(gs_created),   METRIC(threads_created),
    METRIC(threads_max),   METRIC(cgocalls),          METRIC(exits_fast),   METRIC(exits_idle_p),
    METRIC(exits_slow),    METRIC(retakes),           METRIC(retakes_user), METRIC(retakes_failed),
    METRIC(handoffs),      METRIC(handoffs_entry),    METRIC(steals),       METRIC(switches),
    METRIC(parks),         METRIC(sysmon_ticks),      METRIC(sysmon_pokes), METRIC(barriers),
    METRIC(stacks_mapped), METRIC(thread_limit_hits), METRIC(io_waiters),   METRIC(polls),
    METRIC(extra_ms),      METRIC(threads_pless),     METRIC(hogs),         METRIC(hogs_kept),
    METRIC(threads_ended), METRIC(detached),          METRIC(detached_now),
};

/* gosched.stats(): the fields of gs_metrics by name. */
static int l_stats(lua_State *L) {
  gs_metrics m = {.size = sizeof(m)};
  GSL_OUTSIDE(L, gsl_vm(L), gs_read_metrics(&m));
  lua_createtable(L, 0, sizeof(metrics) / sizeof(metrics[0]));
  for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
    uint64_t value;
    memcpy(&value, (const char *)&m + metrics[i].offset, sizeof(value));
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, metrics[i].name);
  }
  return 1;
}

/* ---- what all do ----------------------------------------------------------------------------- */

/* Adds what a lua_State does; its stack is read only.  Of the one that runs without report() and
 * who has called gsl_push_report. */
static void add_traceback(lua_State *L, luaL_Buffer *b, lua_State *of) {
  luaL_traceback(L, of, NULL, of == L ? 2 : 0);
  luaL_addvalue(b);
  luaL_addchar(b, '\n');
}

static void add_green(lua_State *L, vm *v, luaL_Buffer *b, green *g, const char *name) {
  const char *doing = g == gsl_self(v) && !g->where ? "running"
                      : g->where                    ? "waiting in "
                                                    : "ready, or in a foreign call";
  lua_pushfstring(L, "\ngreen thread %I (%s), %s%s:\n", (LUAI_UACINT)g->id, name, doing,
                  g->where ? g->where : "");
  luaL_addvalue(b);
  add_traceback(L, b, g->at);
  if (g->at == g->L) return;
  luaL_addstring(b, "in a coroutine of its own; outside of that, ");
  add_traceback(L, b, g->L);
}

/* In a protected call. */
static int report(lua_State *L) {
  vm *v = lua_touserdata(L, 1);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  if (v->main) add_green(L, v, &b, v->main, "main");
  for (green *g = v->greens; g; g = g->next) add_green(L, v, &b, g, g->name);
  luaL_pushresult(&b);
  return 1;
}

/* While the collector is stopped no finalizer runs, which could start green threads, or let others
 * end while it is in a foreign call.  So this green thread keeps the turn, and the list and the
 * stacks stay as they are. */
void gsl_push_report(lua_State *L, vm *v) {
  luaL_checkstack(L, 20, "a report");
  bool running = lua_gc(L, LUA_GCISRUNNING) == 1;
  if (running) lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, report);
  lua_pushlightuserdata(L, v);
  int status = lua_pcall(L, 1, 1, 0);
  if (running) lua_gc(L, LUA_GCRESTART);
  if (status != LUA_OK) lua_error(L);
}

/* gosched.dump(file?): every G, M and P of the scheduler, and the Lua stack of each green thread
 * of this VM, to a file (io.stderr). */
static int l_dump(lua_State *L) {
  FILE *f = stderr;
  if (!lua_isnoneornil(L, 1)) {
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    if (!s->closef) return luaL_argerror(L, 1, "the file is closed");
    f = s->f;
  }
  fflush(f);
  GSL_OUTSIDE(L, gsl_vm(L), (gs_dump(fileno(f)), 0));
  lua_settop(L, 1);
  gsl_push_report(L, gsl_vm(L));
  size_t n;
  const char *text = lua_tolstring(L, -1, &n);
  fwrite(text, 1, n, f);
  fflush(f);
  return 0;
}

/* ---- traces ---------------------------------------------------------------------------------- */

/* gosched.trace(path): records until the value is closed, then writes the trace to path. */
static int l_trace(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool *on = lua_newuserdatauv(L, sizeof(*on), 0);
  *on = false;
  luaL_setmetatable(L, TRACE);
  int e = GSL_OUTSIDE(L, gsl_vm(L), gs_trace_start(path));
  if (e == GS_EBUSY) return luaL_error(L, "gosched.trace: a trace is being recorded already");
  if (e != GS_OK) return gsl_fail(L, e, "gosched.trace");
  *on = true;
  return 1;
}

static int l_trace_stop(lua_State *L) {
  bool *on = luaL_checkudata(L, 1, TRACE);
  if (!*on) return 0;
  *on = false;
  int e = GSL_OUTSIDE(L, gsl_vm(L), gs_trace_stop());
  if (e == GS_ESYS)
    return luaL_error(L, "gosched.trace: the file cannot be written: %s", strerror(errno));
  return e == GS_OK ? 0 : gsl_fail(L, e, "gosched.trace");
}

void gsl_open_inspect(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {
      {"stats", l_stats}, {"dump", l_dump}, {"trace", l_trace}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_trace_stop}, {"__gc", l_trace_stop}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"stop", l_trace_stop}, {NULL, NULL}};
  gsl_new_class(L, vm_index, TRACE, meta, methods);
  gsl_add_functions(L, module, vm_index, functions);
}
