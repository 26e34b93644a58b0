/* inspect.c: gosched.stats, trace, dump; and what all green threads do, for dumps and deadlocks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "green.h"

#define TRACE "gosched.trace"

/* ---- stats ----------------------------------------------------------------------------------- */

/* {count, sum (in seconds), [i] = how many took up to 1000 << (i - 1) nanoseconds}: bucket i as
 * gs_histogram has it, the last one for all that took longer. */
static void push_histogram(lua_State *L, const gs_histogram *h) {
  uint64_t n = 0;
  lua_createtable(L, GS_BUCKETS, 2);
  for (int i = 0; i < GS_BUCKETS; i++) {
    n += h->bucket[i];
    lua_pushinteger(L, (lua_Integer)h->bucket[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, "count");
  lua_pushnumber(L, (lua_Number)h->sum_ns / 1e9);
  lua_setfield(L, -2, "sum");
}

/* A table of all metrics that are histograms, or of all others. */
static int push_metrics(lua_State *L, bool histograms) {
  gs_metrics m = {.size = sizeof(m)};
  const gs_metric *metric;
  GSL_OUTSIDE(L, gsl_vm(L), gs_read_metrics(&m));
  lua_newtable(L);
  for (size_t i = 0; (metric = gs_metric_info(i)); i++) {
    const void *value = (const char *)&m + metric->offset;
    if ((metric->kind == GS_HISTOGRAM) != histograms) continue;
    if (histograms)
      push_histogram(L, value);
    else
      lua_pushinteger(L, (lua_Integer) * (const uint64_t *)value);
    lua_setfield(L, -2, metric->name);
  }
  return 1;
}

/* gosched.stats(): the counters and gauges of gs_metrics by name. */
static int l_stats(lua_State *L) { return push_metrics(L, false); }

/* gosched.histograms(): its times. */
static int l_histograms(lua_State *L) { return push_metrics(L, true); }

/* gosched.metrics_text(): all of it in the text format of Prometheus. */
static int l_metrics_text(lua_State *L) {
  luaL_Buffer b;
  size_t room = gs_metrics_text(NULL, 0) + 4096; /* the figures may have grown by then */
  char *text = luaL_buffinitsize(L, &b, room);
  size_t n = gs_metrics_text(text, room);
  luaL_pushresultsize(&b, n < room ? n : room - 1);
  return 1;
}

/* gosched.profile(): a list of the foreign functions that block, the longest first. */
static int l_profile(lua_State *L) {
  size_t room = gs_profile(NULL, 0) + 16; /* others may be called meanwhile */
  gs_profile_entry *e = lua_newuserdatauv(L, room * sizeof(*e), 0);
  size_t n = gs_profile(e, room);
  lua_newtable(L);
  for (size_t i = 0; i < n && i < room; i++) {
    const struct {
      const char *name;
      uint64_t value;
    } fields[] = {{"blocked", e[i].blocked},
                  {"retakes", e[i].retakes},
                  {"samples", e[i].samples},
                  {"now", e[i].now}},
      times[] = {{"blocked_s", e[i].blocked_ns},
                 {"longest_s", e[i].longest_ns},
                 {"sampled_s", e[i].sampled_ns}};
    lua_createtable(L, 0, 8);
    lua_pushstring(L, e[i].name);
    lua_setfield(L, -2, "name");
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
      lua_pushinteger(L, (lua_Integer)fields[k].value);
      lua_setfield(L, -2, fields[k].name);
    }
    for (size_t k = 0; k < sizeof(times) / sizeof(times[0]); k++) {
      lua_pushnumber(L, (lua_Number)times[k].value / 1e9);
      lua_setfield(L, -2, times[k].name);
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1);
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

static const char looker_key; /* registry: v->looker */

void gsl_report_to(vm *v, void (*tell)(void *ud, const char *text, size_t n), void *ud) {
  lua_State *L = v->looker;
  bool running = lua_gc(L, LUA_GCISRUNNING) == 1;
  if (running) lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, report);
  lua_pushlightuserdata(L, v);
  size_t n = 0;
  const char *text =
      lua_pcall(L, 1, 1, 0) == LUA_OK ? lua_tolstring(L, -1, &n) : "  (out of memory)\n";
  tell(ud, text, n ? n : strlen(text));
  lua_settop(L, 0);
  if (running) lua_gc(L, LUA_GCRESTART);
}

typedef struct {
  int fd;
  const gs_teller *own;
} dump_args;

static int dump_elsewhere(void *arg) {
  const dump_args *a = arg;
  gs_dump_others(a->fd, a->own);
  return 0;
}

/* gosched.dump(file?): every G, M and P of the scheduler, and the stack of each green thread in its
 * own language, those of this VM last, to a file (io.stderr).  In a foreign call, since it may wait
 * for other languages. */
static int l_dump(lua_State *L) {
  FILE *f = stderr;
  if (!lua_isnoneornil(L, 1)) {
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    if (!s->closef) return luaL_argerror(L, 1, "the file is closed");
    f = s->f;
  }
  fflush(f);
  dump_args a = {fileno(f), gsl_vm(L)->turn->teller};
  int e = GSL_OUTSIDE(L, gsl_vm(L), gs_cgocall(dump_elsewhere, &a, NULL));
  if (e != GS_OK) return gsl_fail(L, e, "gosched.dump");
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
  static const luaL_Reg functions[] = {{"stats", l_stats},
                                       {"histograms", l_histograms},
                                       {"metrics_text", l_metrics_text},
                                       {"snapshot", gsl_snapshot},
                                       {"profile", l_profile},
                                       {"dump", l_dump},
                                       {"trace", l_trace},
                                       {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_trace_stop}, {"__gc", l_trace_stop}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"stop", l_trace_stop}, {NULL, NULL}};
  vm *v = lua_touserdata(L, vm_index);
  v->looker = lua_newthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &looker_key);
  gsl_new_class(L, vm_index, TRACE, meta, methods);
  gsl_add_functions(L, module, vm_index, functions);
}
