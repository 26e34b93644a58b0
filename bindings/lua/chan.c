/* chan.c: channels of Lua values inside one VM.
 *
 * How values travel is in carry.c.  Who waits on a channel has it on the Lua stack, so none is
 * freed that is waited for.
 */
#include "chan.h"

const char gsl_chan_mark;

chan *gsl_check_chan_slowly(lua_State *L, int index) { return luaL_checkudata(L, index, GSL_CHAN); }

/* ---- operations ------------------------------------------------------------------------------ */

/* ch:send(v, timeout?): true, or false and "timeout" */
static int l_send(lua_State *L) {
  chan *c = gsl_check_chan(L, 1);
  vm *v = gsl_chan_vm(L, c);
  if (__builtin_expect(lua_isnoneornil(L, 2), 0))
    luaL_argerror(L, 2, "a value other than nil expected (nil means that nothing was received)");
  int64_t deadline = gsl_opt_deadline(L, 3);
  green *g = gsl_may_begin(L, v, "ch:send");
  item it;
  if (__builtin_expect(!gsl_pack(L, c, 1, 2, &it), 0))
    return luaL_error(L, "ch:send: not enough memory");
  op o;
  int code;
  gsl_leave_for(v, g, &o, "ch:send", deadline);
  do code = gsl_only_tries(g) ? gs_chan_try_send(c->ch, &it) : gs_chan_send(c->ch, &it, o.deadline);
  while (gsl_once_more(L, &o, &code));
  if (code == GS_OK) {
    lua_pushboolean(L, true);
    return 1;
  }
  gsl_unpack(L, c, 1, &it, false);
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
    gsl_unpack(L, c, 1, &it, true);
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
    gsl_unpack(L, c, 1, &it, true);
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
  chan *c = lua_newuserdatauv(L, sizeof(*c), 2);
  *c = (chan){.v = gsl_vm(L)};
  luaL_setmetatable(L, GSL_CHAN);
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
