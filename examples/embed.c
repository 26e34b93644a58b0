/* embed.c: a program that has a lua_State and a main loop of its own, and lets Lua handlers block.
 *
 * The program reads lines and gives each to a handler in Lua.  The handlers call C that takes 0.2
 * s; the main loop goes on, and all handlers are done after 0.2 s and a bit.
 *
 *   cc embed.c $(pkg-config --cflags --libs lua5.4) && seq 100 | ./a.out
 *
 * The loop runs inside gosched.run, as a C function.  Where it used to block in read, it asks
 * gosched.wait whether there is something to read; nothing else changes.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char handlers[] =
    "local gosched = require 'gosched'\n"
    "local ffi = gosched.ffi\n"
    "ffi.cdef 'int usleep(unsigned usec);'\n"
    "local done, group = 0, nil\n"
    "function on_start() group = gosched.taskgroup() end\n"
    "function on_line(line)\n"
    "  group:go(function()\n"
    "    ffi.C.usleep(200000)\n"
    "    done = done + #line // #line\n"
    "  end)\n"
    "end\n"
    "function on_end() group:wait() return done end\n";

/* Waits until standard input can be read, while green threads run. */
static void wait_for_input(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gosched");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "wait");
  lua_pushinteger(L, STDIN_FILENO);
  lua_pushliteral(L, "r");
  lua_call(L, 2, 0);
  lua_pop(L, 1);
}

static void handle(lua_State *L, const char *line, size_t n) {
  lua_getglobal(L, "on_line");
  lua_pushlstring(L, line, n);
  lua_call(L, 1, 0);
}

/* The program's main loop, with lua_State and all. */
static int main_loop(lua_State *L) {
  char buf[4096];
  size_t used = 0;
  lua_getglobal(L, "on_start");
  lua_call(L, 0, 0);
  for (;;) {
    wait_for_input(L);
    ssize_t n = read(STDIN_FILENO, buf + used, sizeof(buf) - used);
    if (n <= 0) break;
    used += (size_t)n;
    char *at = buf, *end;
    while ((end = memchr(at, '\n', used - (size_t)(at - buf)))) {
      handle(L, at, (size_t)(end - at));
      at = end + 1;
    }
    used -= (size_t)(at - buf);
    memmove(buf, at, used);
    if (used == sizeof(buf)) used = 0; /* a line that long is dropped */
  }
  lua_getglobal(L, "on_end");
  lua_call(L, 0, 1);
  return 1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void) {
  lua_State *L = luaL_newstate();
  double start = now();
  luaL_openlibs(L);
  if (luaL_dostring(L, handlers) != LUA_OK) goto failed;
  if (luaL_dostring(L, "return require('gosched').run") != LUA_OK) goto failed;
  lua_pushcfunction(L, main_loop);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) goto failed;
  printf("%d calls of 0.2 s took %.2f s\n", (int)lua_tointeger(L, -1), now() - start);
  lua_close(L);
  return 0;
failed:
  fprintf(stderr, "embed: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return 1;
}
