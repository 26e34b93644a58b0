/* states.c: several Lua states in one process, each on a thread of its own: they run in parallel,
 * start and end in any order, and each has its deadlocks to itself.  One's green threads call back
 * into another, and green threads of C, whose word is not Lua's, use one.
 *
 * usage: states LUA_FILE_DIRECTORY; the module is found through LUA_CPATH.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gosched_domain.h"

#define STATES 4

static atomic_int inside, most, bad;

/* Lua calls it between two waits: at most one green thread of a state is here, but more than one
 * state may be. */
static int l_meet(lua_State *L) {
  int n = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
  while (n > seen && !atomic_compare_exchange_weak(&most, &seen, n)) continue;
  lua_Integer sum = 0;
  for (int i = 0; i < 20000; i++) sum += i % 7;
  atomic_fetch_sub(&inside, 1);
  lua_pushinteger(L, sum);
  return 1;
}

static const char program[] =
    "local gosched, n = require 'gosched', ...\n"
    "for round = 1, 5 do\n"
    "  local sum = gosched.run(function()\n"
    "    local ch, gs = gosched.chan(), {}\n"
    "    for i = 1, 10 do gs[i] = gosched.go(function()\n"
    "      for k = 1, 20 do meet() ch:send(k) if k % 5 == n then gosched.sleep(0.0005) end end "
    "end) end\n"
    "    local sum = 0\n"
    "    for _ = 1, 200 do sum = sum + ch:recv() end\n"
    "    for i = 1, 10 do gs[i]:join() end\n"
    "    return sum\n"
    "  end)\n"
    "  assert(sum == 2100, sum)\n"
    "end\n"
    "collectgarbage()\n"
    "return 'good'\n";

static void *one_state(void *arg) {
  int n = (int)(size_t)arg;
  for (int times = 0; times < 3; times++) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_register(L, "meet", l_meet);
    if (luaL_loadstring(L, program) != LUA_OK ||
        (lua_pushinteger(L, n), lua_pcall(L, 1, 1, 0)) != LUA_OK) {
      fprintf(stderr, "state %d: %s\n", n, lua_tostring(L, -1));
      atomic_fetch_add(&bad, 1);
    }
    lua_close(L);
  }
  return NULL;
}

/* All states wait for ever: each is told. */
static const char stuck[] =
    "local gosched = require 'gosched'\n"
    "local ok, err = pcall(gosched.run, function()\n"
    "  gosched.go(function() gosched.chan():recv() end)\n"
    "  gosched.chan():recv()\n"
    "end)\n"
    "assert(not ok and tostring(err):find('deadlock'), err)\n";

static void *stuck_state(void *arg) {
  (void)arg;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_dostring(L, stuck) != LUA_OK) {
    fprintf(stderr, "a stuck state: %s\n", lua_tostring(L, -1));
    atomic_fetch_add(&bad, 1);
  }
  lua_close(L);
  return NULL;
}

/* ---- from one state into another ------------------------------------------------------------- */

static atomic_llong published; /* the address of the host's callback */
static atomic_int over;

static int l_publish(lua_State *L) {
  atomic_store(&published, luaL_checkinteger(L, 1));
  return 0;
}
static int l_published(lua_State *L) {
  lua_pushinteger(L, atomic_load(&published));
  return 1;
}
static int l_over(lua_State *L) {
  lua_pushboolean(L, atomic_load(&over));
  return 1;
}

static const char host[] =
    "local gosched = require 'gosched'\n"
    "local ffi, sum = gosched.ffi, 0\n"
    "gosched.run(function()\n"
    "  local cb = ffi.cast('int (*)(int)', function(v)\n"
    "    sum = sum + 1\n"
    "    if v % 10 == 0 then gosched.yield() end\n"
    "    return v + 1\n"
    "  end)\n"
    "  publish(ffi.tonumber(ffi.cast('intptr_t', cb)))\n"
    "  while not over() do gosched.sleep(0.001) end\n"
    "end)\n"
    "assert(sum == 400, sum)\n";

static const char visitor[] =
    "local gosched = require 'gosched'\n"
    "local ffi = gosched.ffi\n"
    "while published() == 0 do gosched.run(gosched.sleep, 0.001) end\n"
    "local f = ffi.cast('int (*)(int)', published())\n"
    "gosched.run(function()\n"
    "  local group <close> = gosched.taskgroup()\n"
    "  for i = 1, 8 do group:go(function()\n"
    "    for k = 1, 50 do assert(f(i * k) == i * k + 1) end\n"
    "  end) end\n"
    "end)\n";

static void run_program(const char *source, const char *who) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  lua_register(L, "publish", l_publish);
  lua_register(L, "published", l_published);
  lua_register(L, "over", l_over);
  if (luaL_dostring(L, source) != LUA_OK) {
    fprintf(stderr, "%s: %s\n", who, lua_tostring(L, -1));
    atomic_fetch_add(&bad, 1);
  }
  lua_close(L);
}

static void *host_state(void *arg) {
  (void)arg;
  run_program(host, "the host");
  return NULL;
}

static void visits(void) {
  pthread_t t;
  if (pthread_create(&t, NULL, host_state, NULL) != 0) abort();
  run_program(visitor, "the visitor");
  atomic_store(&over, 1);
  pthread_join(t, NULL);
}

/* ---- a green thread that is not Lua's -------------------------------------------------------- */

static const char plain[] =
    "local gosched = require 'gosched'\n"
    "local ch = gosched.chan(1)\n"
    "for _, wait in ipairs {function() ch:send(1) end, function() ch:recv() end, gosched.yield,\n"
    "    function() gosched.sleep(0) end, function() gosched.mutex():lock() end,\n"
    "    function() gosched.select {{ch, 'recv'}} end, function() gosched.go(print) end} do\n"
    "  local ok, err = pcall(wait)\n"
    "  assert(not ok and err:find('inside gosched.run', 1, true), err)\n"
    "end\n"
    "gosched.stats()\n"
    "gosched.ffi.cdef 'int getpid(void);'\n"
    "assert(gosched.ffi.C.getpid() > 0)\n"
    "coroutine.wrap(function() coroutine.running() end)()\n"
    "collectgarbage()\n";

/* As another binding's green thread would be: its word is that binding's, perhaps no address. */
static int foreign(void *arg) {
  (void)arg;
  *gs_gdata() = (void *)(uintptr_t)64;
  run_program(plain, "a green thread of C");
  *gs_gdata() = NULL;
  return 0;
}

static void all(void *(*fn)(void *)) {
  pthread_t t[STATES];
  for (size_t i = 0; i < STATES; i++)
    if (pthread_create(&t[i], NULL, fn, (void *)i) != 0) abort();
  for (int i = 0; i < STATES; i++) pthread_join(t[i], NULL);
}

int main(void) {
  all(one_state);
  all(stuck_state);
  visits();
  gs_config config = GS_CONFIG_DEFAULT;
  config.main_stack_size = (size_t)8 << 20;
  if (gs_run(&config, foreign, NULL, NULL) != GS_OK) abort();
  printf("%d at once\n", atomic_load(&most));
  /* One CPU gives no two states a turn at the same moment; the kernel's own slices usually do. */
  return atomic_load(&bad) != 0;
}
