/* io.c: waiting for descriptors, green threads that stay on their OS thread, and C functions of Lua
 * called outside of the VM.
 *
 * gosched.blocking(f, …) calls a C function (os.execute, say) while others have the turn.  A
 * lua_CFunction works on a lua_State, and one of this VM must not be touched without the turn.  So
 * the function is called in a VM of its own, empty but for the arguments, which are copied, as are
 * the results.  That is sound for functions that depend on their arguments alone: not for closures
 * with upvalues (refused), nor for those that expect values in the registry, such as io.read, which
 * then raise an error or work on a VM where nothing is.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lualib.h>

#include "green.h"

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A number, a file of io, or what has a method getfd, as luasocket's objects do. */
static int check_fd(lua_State *L, int index) {
  lua_Integer fd = -1;
  int type = lua_type(L, index);
  luaL_Stream *s = luaL_testudata(L, index, LUA_FILEHANDLE);
  if (s) {
    luaL_argcheck(L, s->closef, index, "the file is closed");
    return fileno(s->f);
  }
  if (type == LUA_TNUMBER) {
    fd = luaL_checkinteger(L, index);
  } else if ((type == LUA_TTABLE || type == LUA_TUSERDATA) &&
             lua_getfield(L, index, "getfd") == LUA_TFUNCTION) {
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    fd = luaL_checkinteger(L, -1);
  } else {
    luaL_typeerror(L, index, "descriptor, file or socket");
  }
  luaL_argcheck(L, fd >= 0 && fd <= 4194303, index, "a descriptor is 0 to 4194303");
  return (int)fd;
}

static int check_events(lua_State *L, int index) {
  const char *s = luaL_optstring(L, index, "r");
  int events = strcmp(s, "r") == 0                            ? GS_READ
               : strcmp(s, "w") == 0                          ? GS_WRITE
               : strcmp(s, "rw") == 0 || strcmp(s, "wr") == 0 ? GS_READ | GS_WRITE
                                                              : 0;
  if (!events)
    luaL_argerror(L, index, lua_pushfstring(L, "\"r\", \"w\" or \"rw\" expected, got \"%s\"", s));
  return events;
}

/* gosched.wait(fd, events?, timeout?): "r", "w" or "rw", what it is ready for; or nil and
 * "timeout"; or nil and what the system says */
static int l_wait(lua_State *L) {
  int fd = check_fd(L, 1), events = check_events(L, 2), ready = 0, code;
  int64_t deadline = gsl_opt_deadline(L, 3);
  op o;
  gsl_begin(L, &o, "gosched.wait", deadline);
  do code = gs_wait_ready(fd, events, o.deadline, &ready);
  while (gsl_again(L, &o, &code));
  if (code == GS_OK) {
    lua_pushstring(L, ready == GS_READ ? "r" : ready == GS_WRITE ? "w" : "rw");
    return 1;
  }
  if (code != GS_ETIMEOUT && code != GS_ECLOSED && code != GS_ESYS)
    return gsl_fail(L, code, "gosched.wait");
  lua_pushnil(L);
  lua_pushstring(L, code == GS_ETIMEOUT  ? "timeout"
                    : code == GS_ECLOSED ? "closed"
                                         : strerror(gs_errno()));
  return 2;
}

/* ---- OS threads ------------------------------------------------------------------------------ */

/* gosched.os_thread(f, …): calls f(…) and stays on one OS thread meanwhile, on which no other green
 * thread runs; f's results, or its error. */
static int l_os_thread(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (!gsl_self(v)) return gsl_fail(L, GS_EPERM, "gosched.os_thread");
  gs_lock_os_thread(); /* neither ends a slice: the turn stays */
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  gs_unlock_os_thread();
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* ---- C functions outside of the VM ----------------------------------------------------------- */

typedef struct helper {
  struct helper *next;
  lua_State *L;
} helper;

#define SPARES 64
#define DEPTH 8

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static helper *helpers; /* VMs that nobody uses; under the mutex */
static int nhelpers;    /* under the mutex */

static int open_libs(lua_State *H) {
  luaL_openlibs(H);
  return 0;
}

static helper *take_helper(void) {
  pthread_mutex_lock(&mutex);
  helper *h = helpers;
  if (h) {
    helpers = h->next;
    nhelpers--;
  }
  pthread_mutex_unlock(&mutex);
  if (h || !(h = malloc(sizeof(*h)))) return h;
  h->L = luaL_newstate();
  if (h->L) { /* io.read crashes where io was not opened */
    lua_pushcfunction(h->L, open_libs);
    if (lua_pcall(h->L, 0, 0, 0) == LUA_OK) return h;
    lua_close(h->L);
  }
  free(h);
  return NULL;
}

static void give_helper(helper *h) {
  lua_settop(h->L, 0);
  pthread_mutex_lock(&mutex);
  bool keep = nhelpers < SPARES;
  if (keep) {
    h->next = helpers;
    helpers = h;
    nhelpers++;
  }
  pthread_mutex_unlock(&mutex);
  if (keep) return;
  lua_close(h->L);
  free(h);
}

/* Pushes a copy of the value at index (absolute) of another VM; NULL, or what cannot be copied.
 * May raise an error of memory in `to`. */
static const char *copy(lua_State *to, lua_State *from, int index, int depth) {
  size_t n;
  const char *s, *why = NULL;
  switch (lua_type(from, index)) {
    case LUA_TNIL: lua_pushnil(to); return NULL;
    case LUA_TBOOLEAN: lua_pushboolean(to, lua_toboolean(from, index)); return NULL;
    case LUA_TLIGHTUSERDATA: lua_pushlightuserdata(to, lua_touserdata(from, index)); return NULL;
    case LUA_TSTRING:
      s = lua_tolstring(from, index, &n);
      lua_pushlstring(to, s, n);
      return NULL;
    case LUA_TNUMBER:
      if (lua_isinteger(from, index))
        lua_pushinteger(to, lua_tointeger(from, index));
      else
        lua_pushnumber(to, lua_tonumber(from, index));
      return NULL;
    case LUA_TTABLE: break;
    default: return luaL_typename(from, index);
  }
  if (depth == 0 || !lua_checkstack(to, 4) || !lua_checkstack(from, 4))
    return "deeply nested table";
  lua_newtable(to);
  lua_pushnil(from);
  while (lua_next(from, index)) {
    int key = lua_gettop(from) - 1;
    why = copy(to, from, key, 0);
    if (!why && (why = copy(to, from, key + 1, depth - 1))) lua_pop(to, 1);
    if (why) {
      lua_pop(from, 2);
      lua_pop(to, 1);
      return why;
    }
    lua_rawset(to, -3);
    lua_pop(from, 1);
  }
  return NULL;
}

typedef struct across {
  lua_State *from;
  int n;
  const char *bad;
  int at;
} across;

/* In the helper's VM, protected: copies the arguments, which stand from index 2 on. */
static int take_arguments(lua_State *H) {
  across *a = lua_touserdata(H, 1);
  luaL_checkstack(H, a->n + 4, "too many arguments");
  for (int i = 0; i < a->n; i++)
    if ((a->bad = copy(H, a->from, i + 2, DEPTH))) {
      a->at = i + 1;
      return 0;
    }
  return a->n;
}

typedef struct call {
  lua_State *H;
  int nargs, status;
} call;

static int call_outside(void *arg) {
  call *c = arg;
  c->status = lua_pcall(c->H, c->nargs, LUA_MULTRET, 0);
  return 0;
}

/* In the caller's VM, protected: copies what the helper's stack has. */
static int take_results(lua_State *L) {
  across *a = lua_touserdata(L, 1);
  luaL_checkstack(L, a->n + 4, "too many results");
  for (int i = 1; i <= a->n; i++)
    if ((a->bad = copy(L, a->from, i, DEPTH))) {
      a->at = i;
      return 0;
    }
  return a->n;
}

/* Copies and the call; leaves the results, or an error value (false is returned). */
static bool blocking(lua_State *L, vm *v, helper *h, lua_CFunction f) {
  across in = {L, lua_gettop(L) - 1, NULL, 0};
  lua_State *H = h->L;
  lua_pushcfunction(H, f);
  lua_pushcfunction(H, take_arguments);
  lua_pushlightuserdata(H, &in);
  if (lua_pcall(H, 1, LUA_MULTRET, 0) != LUA_OK) {
    lua_pushfstring(L, "gosched.blocking: %s", lua_tostring(H, -1));
    return false;
  }
  if (in.bad) {
    lua_pushfstring(L,
                    "gosched.blocking: argument %d: a %s cannot be given to another VM; nil, "
                    "booleans, numbers, strings, light userdata and tables of them can",
                    in.at, in.bad);
    return false;
  }
  call c = {H, in.n, LUA_OK};
  bool finalizing = gsl_away(L, v);
  int e = gs_cgocall(call_outside, &c, NULL);
  gsl_back(v, finalizing);
  if (e != GS_OK) {
    lua_pushfstring(L, "gosched.blocking: %s", gs_strerror(e));
    return false;
  }
  across out = {H, lua_gettop(H), NULL, 0};
  lua_pushcfunction(L, take_results);
  lua_pushlightuserdata(L, &out);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) return false;
  if (!out.bad) return c.status == LUA_OK;
  lua_pushfstring(L, "gosched.blocking: %s %d: a %s cannot come from another VM",
                  c.status == LUA_OK ? "result" : "error", out.at, out.bad);
  return false;
}

/* gosched.blocking(f, …): f's results, or its error. */
static int l_blocking(lua_State *L) {
  vm *v = gsl_vm(L);
  lua_CFunction f = lua_tocfunction(L, 1);
  luaL_argcheck(L, f, 1, "a C function expected");
  luaL_argcheck(L, !lua_getupvalue(L, 1, 1), 1,
                "a C function without upvalues expected: this one belongs to its VM");
  helper *h = take_helper();
  if (!h) return luaL_error(L, "gosched.blocking: not enough memory");
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, "gosched.blocking");
  bool good = blocking(L, v, h, f);
  give_helper(h);
  return good ? lua_gettop(L) - top : lua_error(L);
}

/* ---- the module's own Lua ---- */

static const char socket_source[] =
#include "socket.lua.inc"
    ;

/* Closes an object of luasocket.  Who waits for its descriptor would not hear of its end, and wait
 * for whoever gets the number next; so those waits end first.  Between the two steps no Lua runs,
 * hence nobody else has the turn: they find the object closed. */
static int l_close_socket(lua_State *L) {
  lua_settop(L, 1);
  lua_getfield(L, 1, "getfd");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_Integer fd = lua_tointeger(L, -1);
  if (fd >= 0) (void)gs_poll_close((int)fd); /* one that nobody ever waited for is unknown */
  lua_getfield(L, 1, "close");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* The loader of the module "gosched.socket". */
static int load_socket(lua_State *L) {
  if (luaL_loadbufferx(L, socket_source, sizeof(socket_source) - 1, "=gosched.socket", "t"))
    return lua_error(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushcfunction(L, l_close_socket);
  lua_call(L, 2, 1);
  return 1;
}

/* gosched.socket, made when it is first used: it needs luasocket. */
static int l_module_index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (!key || strcmp(key, "socket") != 0) return 0;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gosched.socket");
  lua_call(L, 1, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, 1, "socket");
  return 1;
}

void gsl_open_io(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {
      {"wait", l_wait}, {"os_thread", l_os_thread}, {"blocking", l_blocking}, {NULL, NULL}};
  gsl_add_functions(L, module, vm_index, functions);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushvalue(L, vm_index);
  lua_pushvalue(L, module);
  lua_pushcclosure(L, load_socket, 2);
  lua_setfield(L, -2, "gosched.socket");
  lua_pop(L, 1);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_module_index);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, module);
}
