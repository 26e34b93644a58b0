/* guest.c: Lua as a guest of gs_embed: the plugin gosched-guest-lua.so.
 *
 * A fresh lua_State on the guest's own thread, with the standard libraries and the module gosched,
 * runs the source as a chunk inside gosched.run; what is special about a VM that is a guest (how it
 * is cancelled, os.exit) the module does by itself, since it sees on whose thread it is loaded.
 *
 * In a program that is a Lua interpreter itself all lua_ functions, those that this plugin and the
 * system's liblua call among each other too, are that program's: the dynamic linker looks there
 * first.
 */
#include <lauxlib.h>
#include <lualib.h>

#include "../guest/guest.h"

static const void *library(void) { return gs_guest_library(); }

static int begin(void) {
  static bool done;
  if (!done) guest_make_global((const void *)(uintptr_t)&lua_newstate);
  done = true;
  return GS_OK;
}

/* package.cpath begins with where this plugin's binding is. */
static void find_binding(lua_State *L) {
  char dir[PATH_MAX];
  if (!guest_binding_dir(dir, "gosched.so")) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "cpath");
  lua_pushfstring(L, "%s/?.so;%s", dir, lua_tostring(L, -1));
  lua_setfield(L, -3, "cpath");
  lua_pop(L, 2);
}

static int push_args(lua_State *L, gs_guest *g) {
  const char *const *args = gs_guest_args(g);
  int n = 0;
  lua_newtable(L);
  lua_pushstring(L, gs_guest_name(g));
  lua_rawseti(L, -2, 0);
  for (; args[n]; n++) {
    lua_pushstring(L, args[n]);
    lua_rawseti(L, -2, n + 1);
  }
  lua_setglobal(L, "arg");
  luaL_checkstack(L, n, "too many arguments");
  for (int i = 0; i < n; i++) lua_pushstring(L, args[i]);
  return n;
}

/* All that may raise an error: gives the source's results. */
static int whole(lua_State *L) {
  gs_guest *g = lua_touserdata(L, 1);
  const char *source = gs_guest_source(g);
  lua_settop(L, 0);
  luaL_openlibs(L);
  find_binding(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gosched");
  lua_call(L, 1, 1);
  lua_getfield(L, 1, "run");
  lua_pushfstring(L, "=%s", gs_guest_name(g));
  int status = luaL_loadbufferx(L, source, strlen(source), lua_tostring(L, -1), "t");
  if (status != LUA_OK) return lua_error(L);
  lua_remove(L, -2);
  lua_call(L, push_args(L, g) + 1, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

/* The error value on top.  A string has its traceback behind it: gosched.run's. */
static void failed(lua_State *L, gs_guest *g) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "gosched");
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "cancelled");
    if (lua_rawequal(L, -1, -4)) {
      gs_guest_cancelled(g);
      return;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  size_t n;
  const char *text = luaL_tolstring(L, -1, &n), *trace = strstr(text, "\nstack traceback:\n");
  lua_pushlstring(L, text, trace ? (size_t)(trace - text) : n);
  gs_guest_failed(g, lua_tostring(L, -1), trace ? trace + 1 : NULL);
}

static int say_failed(lua_State *L) {
  failed(L, lua_touserdata(L, lua_upvalueindex(1)));
  return 0;
}

static int say_returned(lua_State *L) {
  gs_guest *g = lua_touserdata(L, lua_upvalueindex(1));
  size_t n;
  if (lua_isnoneornil(L, 1)) {
    gs_guest_returned(g, NULL, 0);
    return 0;
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "gosched.returns"); /* the module's: bindings/lua/embed.c */
  lua_pushvalue(L, 1);
  lua_call(L, 1, 0);
  const char *text = luaL_tolstring(L, 1, &n);
  gs_guest_returned(g, text, n);
  return 0;
}

static void run(gs_guest *g) {
  lua_State *L = luaL_newstate();
  if (!L) {
    gs_guest_failed(g, "not enough memory", NULL);
    return;
  }
  lua_pushcfunction(L, whole);
  lua_pushlightuserdata(L, g);
  int status = lua_pcall(L, 1, 1, 0);
  /* Making a text of a value may call a metamethod, and raise another error. */
  lua_pushlightuserdata(L, g);
  lua_pushcclosure(L, status == LUA_OK ? say_returned : say_failed, 1);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    const char *text = lua_tostring(L, -1);
    gs_guest_failed(g, text ? text : "an error without a text", NULL);
  }
  lua_close(L);
}

static void end(void) {}

GUEST_EXPORT extern const gs_guest_plugin gosched_guest;
const gs_guest_plugin gosched_guest = {
    sizeof gosched_guest, GS_GUEST_ABI, "lua", library, begin, run, end,
};
