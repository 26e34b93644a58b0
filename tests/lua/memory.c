/* memory.c: what happens when a Lua state runs out of memory, anywhere.
 *
 * The state's allocator fails from the n-th allocation of a scenario on, or gives what it is asked
 * for once more after some failures, for n = 1, 2, … until the scenario has all it wants.  Each
 * time the scenario must end with its result or with "not enough memory", and nothing else;
 * afterwards it must work in the same state, and nothing may be left: no memory of the state's, no
 * green thread.
 *
 * Lua collects everything and asks again before it gives up: so a single failure is never seen.
 *
 * The module is found through LUA_CPATH.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gosched_inspect.h"

/* The allocator's; the state has one turn, and who allocates has it. */
static struct {
  size_t live;   /* bytes */
  bool armed;    /* allocations are counted … */
  long left;     /* … so many succeed yet … */
  long failures; /* … then so many fail */
  long failed;
} memory;

static void *allocate(void *ud, void *block, size_t old, size_t size) {
  (void)ud;
  if (!block) old = 0;
  if (size > old && memory.armed && --memory.left < 0 && memory.failed < memory.failures) {
    memory.failed++;
    return NULL;
  }
  if (size == 0) {
    free(block);
    memory.live -= old;
    return NULL;
  }
  void *now = realloc(block, size);
  if (now) memory.live += size - old;
  return now;
}

static int bad;

static int l_fail_after(lua_State *L) {
  memory.left = luaL_checkinteger(L, 1);
  memory.failures = luaL_checkinteger(L, 2);
  memory.failed = 0;
  memory.armed = true;
  return 0;
}
static int l_failed(lua_State *L) {
  memory.armed = false;
  lua_pushinteger(L, memory.failed);
  return 1;
}
static int l_live(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)memory.live);
  return 1;
}

/* Each is called outside of gosched.run, and gives "good". */
static const char scenarios[] =
    "local gosched = require 'gosched'\n"
    "local ffi, scenarios = gosched.ffi, {}\n"
    "local names = 0\n"
    "local function inside(name, f)\n"
    "  scenarios[#scenarios + 1] = {name, function() return gosched.run(f) end}\n"
    "end\n"
    "inside('go', function()\n"
    "  local gs, sum = {}, 0\n"
    "  for i = 1, 6 do gs[i] = gosched.go(function(a, ...) gosched.yield() return a, ... end, i, "
    "i) end\n"
    "  for i = 1, 6 do local a, b = gs[i]:join() sum = sum + a + b end\n"
    "  for i = 1, 6 do gs[i] = gosched.go(function() return i end) end\n"
    "  for i = 1, 6 do sum = sum + gs[i]:join() end\n"
    "  return sum == 63 and 'good'\n"
    "end)\n"
    "inside('errors', function()\n"
    "  local g = gosched.go(function() error 'mine' end)\n"
    "  local ok, err = pcall(g.join, g)\n"
    "  assert(not ok)\n"
    "  if not err:find('mine', 1, true) then error(err, 0) end\n"
    "  g = gosched.go(gosched.sleep, 1000)\n"
    "  g:cancel()\n"
    "  ok, err = pcall(g.join, g)\n"
    "  if err ~= gosched.cancelled then error(err, 0) end\n"
    "  return 'good'\n"
    "end)\n"
    "inside('group', function()\n"
    "  local ch, sum = gosched.chan(2), 0\n"
    "  local tg <close> = gosched.taskgroup()\n"
    "  tg:go(function()\n"
    "    for i = 1, 5 do ch:send {i} ch:send(('x'):rep(50 + i)) ch:send(i) end\n"
    "    ch:close()\n"
    "  end)\n"
    "  for v in ch:iter() do sum = sum + (type(v) == 'table' and v[1] or type(v) == 'string' and "
    "#v or v) end\n"
    "  tg:wait()\n"
    "  return sum == 295 and 'good'\n"
    "end)\n"
    "inside('select', function()\n"
    "  local a, b = gosched.chan(1), gosched.chan(1)\n"
    "  local c <close> = gosched.shared('memory.select', 1)\n"
    "  local seen = 0\n"
    "  for i = 1, 9 do\n"
    "    gosched.select {{a, 'send', {i}}, {b, 'send', 'v' .. i}, {c, 'send', {i, 'w' .. i}}}\n"
    "    local n, v, ok = gosched.select {{a, 'recv'}, {b, 'recv'}, {c, 'recv'}, timeout = 10}\n"
    "    assert(ok)\n"
    "    local text = n == 1 and 'v' .. v[1] or n == 2 and v or 'v' .. v[2]:sub(2)\n"
    "    assert(text == 'v' .. i, text)\n"
    "    seen = seen + 1\n"
    "  end\n"
    "  return seen == 9 and 'good'\n"
    "end)\n"
    "inside('many cases', function()\n"
    "  local cases = {}\n"
    "  for i = 1, 20 do cases[i] = {gosched.chan(1), 'send', {i}} end\n"
    "  local n = gosched.select(cases)\n"
    "  return cases[n][1]:recv()[1] == n and 'good'\n"
    "end)\n"
    "inside('shared', function()\n"
    "  local ch <close> = gosched.shared('memory', 4)\n"
    "  ch:send {1, {2, 'three'}, gosched.bytes '\\255', gosched.null}\n"
    "  ch:send(gosched.map {a = 1.5})\n"
    "  local v, m = ch:recv(), ch:recv()\n"
    "  assert(v[2][2] == 'three' and v[3] == '\\255' and m.a == 1.5)\n"
    "  return 'good'\n"
    "end)\n"
    "inside('sync', function()\n"
    "  local m, wg, n, gs = gosched.mutex(), gosched.waitgroup(), 0, {}\n"
    "  for i = 1, 3 do\n"
    "    wg:add()\n"
    "    gs[i] = gosched.go(function() m:lock() gosched.yield() n = n + 1 m:unlock() wg:done() "
    "end)\n"
    "  end\n"
    "  for i = 1, 3 do gs[i]:join() end\n"
    "  wg:wait()\n"
    "  local limit <close> = gosched.timeout(1000)\n"
    "  local locked <close> = m:lock()\n"
    "  return n == 3 and 'good'\n"
    "end)\n"
    "inside('cdef', function()\n"
    "  names = names + 1\n"
    "  local s = 'struct memory' .. names\n"
    "  ffi.cdef(s .. ' { int a; struct { double b; char c[8]; } in; ' .. s .. ' *next; };')\n"
    "  local p = ffi.new(s .. '[2]', {{a = 1, ['in'] = {b = 2.5, c = 'text'}}})\n"
    "  p[1].next = p p[1].a = 9\n"
    "  assert(p[1].next['in'].b == 2.5 and ffi.string(p[0]['in'].c) == 'text')\n"
    "  assert(ffi.sizeof(s) == 32 and ffi.typeof(s .. ' *')(p + 1).a == 9)\n"
    "  return 'good'\n"
    "end)\n"
    "scenarios[#scenarios][3] = true\n"
    "ffi.cdef [[void qsort(void *, size_t, size_t, int (*)(const void *, const void *));\n"
    "  int abs(int); char *strchr(const char *, int);]]\n"
    "inside('calls', function()\n"
    "  assert(ffi.C.abs(-3) == 3)\n"
    "  local s = ffi.string(ffi.C.strchr('long text', 32))\n"
    "  assert(s == ' text')\n"
    "  local g = ffi.gc(ffi.new('int[4]'), function() end)\n"
    "  g[1] = 7\n"
    "  return g[1] == 7 and 'good'\n"
    "end)\n"
    "local function order(x, y) return ffi.cast('int *', x)[0] - ffi.cast('int *', y)[0] end\n"
    "inside('callback', function()\n"
    "  local cb\n"
    "  local d <close> = setmetatable({}, {__close = function() if cb then cb:free() end end})\n"
    "  cb = ffi.cast('int (*)(const void *, const void *)', function(...) return order(...) end)\n"
    "  local a = ffi.new('int[4]', {4, 2, 3, 1})\n"
    "  ffi.C.qsort(a, 4, 4, cb)\n"
    "  return a[0] == 1 and a[3] == 4 and 'good'\n"
    "end)\n"
    "inside('shared callback', function()\n"
    "  local a = ffi.new('int[4]', {4, 2, 3, 1})\n"
    "  ffi.C.qsort(a, 4, 4, order)\n"
    "  return a[0] == 1 and a[3] == 4 and 'good'\n"
    "end)\n"
    "inside('looking', function()\n"
    "  gosched.go(function() gosched.sleep(1000) end)\n"
    "  gosched.yield()\n"
    "  local f <close> = assert(io.open('/dev/null', 'w'))\n"
    "  gosched.dump(f)\n"
    "  assert(gosched.stats())\n"
    "  return 'good'\n"
    "end)\n"
    "inside('socket', function()\n"
    "  local s = assert(gosched.socket.tcp())\n"
    "  assert(s:bind('127.0.0.1', 0))\n"
    "  s:close()\n"
    "  return 'good'\n"
    "end)\n"
    "return scenarios\n";

/* Runs one n of one scenario: fails, or gives how many allocations have failed. */
static const char sweep[] =
    "local scenario, n, failures, only = ...\n"
    "local name, f = scenario[1], scenario[2]\n"
    "fail_after(n, failures)\n"
    "local ok, result = pcall(f)\n"
    "local fails = failed()\n"
    "local text = not ok and tostring(result)\n"
    "if ok and result ~= 'good' then error(('%s, %d: the result is %s'):format(name, n, "
    "tostring(result)), 0) end\n"
    "if not ok and not text:find('not enough memory', 1, true) then\n"
    "  error(('%s, %d, %d failures: %s'):format(name, n, failures, text), 0)\n"
    "end\n"
    "if not ok and fails == 0 then error(name .. ': it fails with all the memory it wants: ' .. "
    "text, 0) end\n"
    "ok, result = pcall(f)\n"
    "if not ok or result ~= 'good' then\n"
    "  error(('%s, after %d: %s'):format(name, n, tostring(result)), 0)\n"
    "end\n"
    "return fails\n";

static void complain(const char *what, const char *why) {
  fprintf(stderr, "FAILED  %s: %s\n", what, why);
  bad++;
}

static size_t collected(lua_State *L) {
  for (int i = 0; i < 4; i++) lua_gc(L, LUA_GCCOLLECT);
  return memory.live;
}

/* One value of n.  Gives the failures, or -1. */
static lua_Integer once(lua_State *L, int scenario, lua_Integer n, lua_Integer failures) {
  lua_pushvalue(L, lua_upvalueindex(1));
  luaL_loadstring(L, sweep);
  lua_pushvalue(L, scenario);
  lua_pushinteger(L, n);
  lua_pushinteger(L, failures);
  int status = lua_pcall(L, 3, 1, 0);
  memory.armed = false;
  lua_Integer fails = status == LUA_OK ? lua_tointeger(L, -1) : -1;
  if (status != LUA_OK) complain("a scenario", lua_tostring(L, -1));
  lua_pop(L, 2);
  return fails;
}

static void run_scenario(lua_State *L, int scenario) {
  lua_rawgeti(L, scenario, 1);
  const char *name = lua_tostring(L, -1);
  lua_rawgeti(L, scenario, 3);
  bool grows = lua_toboolean(L, -1); /* it adds names to the state, which stay */
  for (int i = 0; i < 3; i++) once(L, scenario, 1 << 30, 0);
  size_t before = collected(L);
  static const lua_Integer failures[] = {2, 3, 5, 1 << 30};
  long steps = 0;
  for (size_t k = 0; k < sizeof(failures) / sizeof(failures[0]) && !bad; k++) {
    lua_Integer n = 0;
    while (once(L, scenario, n, failures[k]) > 0) n++;
    steps += n;
  }
  size_t after = collected(L);
  if (!grows && after > before + 2048) {
    char text[128];
    snprintf(text, sizeof(text), "%zu bytes are left after %ld failures", after - before, steps);
    complain(name, text);
  }
  printf("%-16s %ld failures, %zd bytes\n", name, steps, (ssize_t)(after - before));
  lua_pop(L, 2);
}

static lua_State *new_state(void) {
  lua_State *L = lua_newstate(allocate, NULL);
  if (!L) abort();
  luaL_openlibs(L);
  lua_register(L, "fail_after", l_fail_after);
  lua_register(L, "failed", l_failed);
  lua_register(L, "live", l_live);
  return L;
}

/* Loading the module, each time in a state of its own. */
static void loading(void) {
  long n = 0;
  for (bool all = false; !all && !bad; n++) {
    lua_State *L = new_state();
    luaL_loadstring(L, "return require 'gosched'");
    memory.left = n;
    memory.failures = 1 << 30;
    memory.failed = 0;
    memory.armed = true;
    int status = lua_pcall(L, 0, 1, 0);
    memory.armed = false;
    all = memory.failed == 0;
    if (status != LUA_OK && !strstr(luaL_tolstring(L, -1, NULL), "not enough memory"))
      complain("require", lua_tostring(L, -1));
    if (status == LUA_OK || !all) {
      lua_settop(L, 0);
      if (luaL_dostring(L,
                        "local g = require 'gosched' return g.run(function() return "
                        "g.go(function() return 'good' end):join() end)") != LUA_OK)
        complain("require, again", lua_tostring(L, -1));
    }
    lua_close(L);
    if (memory.live) complain("require", "memory is left when the state is closed");
  }
  printf("%-16s %ld failures\n", "require", n - 1);
}

/* Callbacks, each time in a state of its own, whose tables have to grow: what was not made leaves
 * nothing in the registry, and the others can be freed. */
static const char many_callbacks[] =
    "local ffi = require 'gosched'.ffi\n"
    "local function kept()\n"
    "  local n = 0\n"
    "  for k, v in pairs(debug.getregistry()) do\n"
    "    if type(k) == 'userdata' and type(v) == 'function' then n = n + 1 end\n"
    "  end\n"
    "  return n\n"
    "end\n"
    "local list, n, before = {}, 0, kept()\n"
    "local f = function() return 1 end\n"
    "local t = ffi.typeof 'int (*)(int)'\n"
    "for i = 1, 40 do list[i] = false end\n"
    "local function make() for i = 1, 40 do list[i] = ffi.cast(t, f) n = i end end\n"
    "fail_after(..., 1 << 30)\n"
    "local ok, err = pcall(make)\n"
    "local fails = failed()\n"
    "assert(ok == (n == 40) and ok == (fails == 0))\n"
    "if not ok and not tostring(err):find('not enough memory', 1, true) then error(err, 0) end\n"
    "assert(kept() == before + n, 'what was not made is kept')\n"
    "for i = 1, n do list[i]:free() end\n"
    "assert(kept() == before)\n"
    "return fails\n";

static void callbacks(void) {
  lua_Integer fails = 1, n = 0;
  for (; fails && !bad; n++) {
    lua_State *L = new_state();
    luaL_loadstring(L, many_callbacks);
    lua_pushinteger(L, n);
    int status = lua_pcall(L, 1, 1, 0);
    memory.armed = false;
    if (status != LUA_OK) complain("callbacks", lua_tostring(L, -1));
    fails = status == LUA_OK ? lua_tointeger(L, -1) : 0;
    lua_close(L);
    if (memory.live) complain("callbacks", "memory is left when the state is closed");
  }
  printf("%-16s %lld failures\n", "callbacks", (long long)n - 1);
}

int main(int argc, char **argv) {
  loading();
  callbacks();
  lua_State *L = new_state();
  if (luaL_dostring(L, scenarios) != LUA_OK) {
    complain("the scenarios", lua_tostring(L, -1));
    return 1;
  }
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TTABLE && !bad; i++) {
    lua_rawgeti(L, -1, 1);
    bool wanted = argc < 2 || strcmp(argv[1], lua_tostring(L, -1)) == 0;
    lua_pop(L, 1);
    if (wanted) run_scenario(L, lua_gettop(L));
    lua_pop(L, 1);
  }
  lua_close(L);
  if (memory.live) complain("the end", "memory is left when the state is closed");
  gs_metrics m = {.size = sizeof(m)};
  if (gs_read_metrics(&m) != GS_OK || m.gs_live != 0) complain("the end", "green threads are left");
  return bad != 0;
}
