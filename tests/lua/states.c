/* states.c: several Lua states in one process, each on a thread of its own: they run in parallel,
 * start and end in any order, and each has its deadlocks to itself.
 *
 * usage: states LUA_FILE_DIRECTORY; the module is found through LUA_CPATH.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

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

static void all(void *(*fn)(void *)) {
  pthread_t t[STATES];
  for (size_t i = 0; i < STATES; i++)
    if (pthread_create(&t[i], NULL, fn, (void *)i) != 0) abort();
  for (int i = 0; i < STATES; i++) pthread_join(t[i], NULL);
}

int main(void) {
  all(one_state);
  all(stuck_state);
  printf("%d at once\n", atomic_load(&most));
  /* One CPU gives no two states a turn at the same moment; the kernel's own slices usually do. */
  return atomic_load(&bad) != 0;
}
