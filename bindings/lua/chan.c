/* chan.c: channels of Lua values inside one VM.
 *
 * Numbers, booleans and light userdata travel in the scheduler's channel itself.  Other values are
 * in a table of the channel's as long as they are under way, so that the garbage collector finds
 * them, and a cycle through a channel that nobody uses any more is collected; what travels is their
 * number.  Who waits on a channel has it on the Lua stack, so none is freed that is waited for.
 */
#include "chan.h"

const char gsl_chan_mark;

chan *gsl_check_chan_slowly(lua_State *L, int index) { return luaL_checkudata(L, index, GSL_CHAN); }

/* ---- values ---------------------------------------------------------------------------------- */

item gsl_pack(lua_State *L, int c, int index) {
  item it = {.type = lua_type(L, index)};
  switch (it.type) {
    case LUA_TNUMBER:
      it.whole = lua_isinteger(L, index);
      if (it.whole)
        it.u.integer = lua_tointeger(L, index);
      else
        it.u.number = lua_tonumber(L, index);
      break;
    case LUA_TBOOLEAN: it.u.truth = lua_toboolean(L, index); break;
    case LUA_TLIGHTUSERDATA: it.u.pointer = lua_touserdata(L, index); break;
    default:
      lua_getiuservalue(L, c, 1);
      lua_pushvalue(L, index < 0 ? index - 1 : index);
      it.u.ref = luaL_ref(L, -2);
      lua_pop(L, 1);
      break;
  }
  return it;
}

void gsl_unpack(lua_State *L, int c, const item *it, bool push) {
  switch (it->type) {
    case LUA_TNUMBER:
      if (push && it->whole)
        lua_pushinteger(L, it->u.integer);
      else if (push)
        lua_pushnumber(L, it->u.number);
      break;
    case LUA_TBOOLEAN:
      if (push) lua_pushboolean(L, it->u.truth);
      break;
    case LUA_TLIGHTUSERDATA:
      if (push) lua_pushlightuserdata(L, it->u.pointer);
      break;
    default:
      lua_getiuservalue(L, c, 1);
      if (push) lua_rawgeti(L, -1, it->u.ref);
      luaL_unref(L, push ? -2 : -1, it->u.ref);
      if (push) lua_insert(L, -2);
      lua_pop(L, 1);
      break;
  }
}

/* ---- operations ------------------------------------------------------------------------------ */

/* ch:send(v, timeout?): true, or false and "timeout" */
static int l_send(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  vm *v = gsl_chan_vm(L, c);
  if (__builtin_expect(lua_isnoneornil(L, 2), 0))
    luaL_argerror(L, 2, "a value other than nil expected (nil means that nothing was received)");
  int64_t deadline = gsl_opt_deadline(L, 3);
  green *g = gsl_may_begin(L, v, "ch:send");
  item it = gsl_pack(L, 1, 2);
  op o;
  int code;
  gsl_leave_for(v, g, &o, "ch:send", deadline);
  do code = gsl_only_tries(g) ? gs_chan_try_send(c->ch, &it) : gs_chan_send(c->ch, &it, o.deadline);
  while (gsl_once_more(L, &o, &code));
  if (code == GS_OK) {
    lua_pushboolean(L, true);
    return 1;
  }
  gsl_unpack(L, 1, &it, false);
  if (code == GS_ECLOSED) return luaL_error(L, "ch:send: the channel is closed");
  if (code != GS_ETIMEOUT) return gsl_fail(L, code, "ch:send");
  lua_pushboolean(L, false);
  lua_pushliteral(L, "timeout");
  return 2;
}

static int receive(lua_State *L, vm *v, chan *c, int64_t deadline, item *it) {
  green *g = gsl_may_begin(L, v, "ch:recv");
  op o;
  int code;
  gsl_leave_for(v, g, &o, "ch:recv", deadline);
  do code = gsl_only_tries(g) ? gs_chan_try_recv(c->ch, it) : gs_chan_recv(c->ch, it, o.deadline);
  while (gsl_once_more(L, &o, &code));
  return code;
}

/* ch:recv(timeout?): value, true; or nil, false, "closed" or "timeout" */
static int l_recv(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  vm *v = gsl_chan_vm(L, c);
  int64_t deadline = gsl_opt_deadline(L, 2);
  item it;
  int code = receive(L, v, c, deadline, &it);
  if (code == GS_OK) {
    gsl_unpack(L, 1, &it, true);
    lua_pushboolean(L, true);
    return 2;
  }
  if (code != GS_ECLOSED && code != GS_ETIMEOUT) return gsl_fail(L, code, "ch:recv");
  lua_pushnil(L);
  lua_pushboolean(L, false);
  lua_pushstring(L, code == GS_ECLOSED ? "closed" : "timeout");
  return 3;
}

/* The iterator: called with the channel. */
static int l_next(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  vm *v = gsl_chan_vm(L, c);
  item it;
  int code = receive(L, v, c, GS_FOREVER, &it);
  if (code == GS_OK)
    gsl_unpack(L, 1, &it, true);
  else if (code == GS_ECLOSED)
    lua_pushnil(L);
  else
    return gsl_fail(L, code, "ch:recv");
  return 1;
}

/* for v in ch:iter(): what is received until the channel is closed */
static int l_iter(lua_State *L) {
  gsl_check_chan(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, l_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* ch:close(): no more is sent; what is buffered can still be received.  Closing twice is nothing.
 */
static int l_chan_close(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  GSL_OUTSIDE(L, gsl_vm(L), gs_chan_close(c->ch));
  return 0;
}

static int l_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gs_chan_len(gsl_check_chan(L, 1)->ch));
  return 1;
}

static int l_cap(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gs_chan_cap(gsl_check_chan(L, 1)->ch));
  return 1;
}

static int l_closed(lua_State *L) {
  lua_pushboolean(L, gs_chan_closed(gsl_check_chan(L, 1)->ch));
  return 1;
}

/* ---- life ------------------------------------------------------------------------------------ */

#define MOST ((lua_Integer)(((size_t)1 << 30) / sizeof(item)))

/* gosched.chan(cap?) */
static int l_chan(lua_State *L) {
  lua_Integer cap = luaL_optinteger(L, 1, 0);
  if (cap < 0 || cap > MOST)
    return luaL_argerror(
        L, 1, lua_pushfstring(L, "a capacity of 0 to %I expected, got %I", MOST, (LUAI_UACINT)cap));
  chan *c = lua_newuserdatauv(L, sizeof(*c), 1);
  *c = (chan){.v = gsl_vm(L)};
  luaL_setmetatable(L, GSL_CHAN);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  int e = GSL_OUTSIDE(L, gsl_vm(L), gs_chan_new(sizeof(item), (size_t)cap, &c->ch));
  if (e == GS_OK) c->mark = &gsl_chan_mark;
  return e == GS_OK ? 1 : gsl_fail(L, e, "gosched.chan");
}

static int l_chan_tostring(lua_State *L) {
  gs_chan *ch = gsl_check_chan(L, 1)->ch;
  lua_pushfstring(L, "channel %p (%I of %I%s)", (void *)ch, (LUAI_UACINT)gs_chan_len(ch),
                  (LUAI_UACINT)gs_chan_cap(ch), gs_chan_closed(ch) ? ", closed" : "");
  return 1;
}

static int l_chan_gc(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  gs_chan *ch = c->ch;
  *c = (chan){.v = c->v};
  if (ch) GSL_OUTSIDE(L, gsl_vm(L), gs_chan_free(ch));
  return 0;
}

void gsl_open_chan(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"chan", l_chan}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_chan_tostring},
                                  {"__gc", l_chan_gc},
                                  {"__len", l_len},
                                  {"__close", l_chan_close},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"send", l_send},        {"recv", l_recv}, {"iter", l_iter},
                                     {"close", l_chan_close}, {"len", l_len},   {"cap", l_cap},
                                     {"closed", l_closed},    {NULL, NULL}};
  gsl_new_class(L, vm_index, GSL_CHAN, meta, methods);
  gsl_add_functions(L, module, vm_index, functions);
}
