/* carry.c: values under way in a channel.
 *
 * Numbers, booleans and light userdata travel in the scheduler's channel itself.  Other values have
 * to stand where the garbage collector finds them as long as they are under way, but so that a
 * cycle through a channel that nobody uses any more is collected.  All green threads of a VM share
 * its objects, so a value goes by lua_xmove: from the sender's lua_State to one that belongs to the
 * channel (its first uservalue), and from there to the receiver's.  What travels in the scheduler's
 * channel is the place on that one's stack.  A place that is free, and not the top one, holds the
 * number of the next such place.
 *
 * A Lua stack has an end.  Values beyond FAR places are in a table (the second uservalue), by
 * numbers of luaL_ref, which travel as negative ones.
 *
 * Whatever may run out of memory is done by protected calls, before the value is under way: so who
 * packs several values can take back those that it has packed.
 */
#include "chan.h"

#define FAR 500000
#define SPARE 3 /* places that are kept for moving values */

/* Protected: the channel, which gets its lua_State.  What makes an object may run finalizers, and
 * in their foreign calls others get the turn, who may send, too: so the look comes after it. */
static int make_way(lua_State *L) {
  chan *c = lua_touserdata(L, 1);
  lua_State *way = lua_newthread(L);
  if (c->way) return 0;
  lua_setiuservalue(L, 1, 1);
  c->way = way;
  c->room = LUA_MINSTACK;
  return 0;
}

/* Protected: the channel, the value; its number in the table.  The look comes late here, too. */
static int keep_far(lua_State *L) {
  if (lua_getiuservalue(L, 1, 2) != LUA_TTABLE) lua_newtable(L);
  if (lua_getiuservalue(L, 1, 2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 2);
  }
  lua_pushvalue(L, 2);
  lua_pushinteger(L, luaL_ref(L, -2));
  return 1;
}

static bool make_room(lua_State *L, chan *c, int index) {
  if (!c->way) {
    lua_pushcfunction(L, make_way);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      lua_pop(L, 1);
      return false;
    }
  }
  if (c->held + SPARE < c->room) return true;
  int more = c->held < 64 ? 64 : c->held;
  if (!lua_checkstack(c->way, more + SPARE)) return false;
  c->room = c->held + more + SPARE;
  return true;
}

static bool pack_far(lua_State *L, int c, int index, int *place) {
  lua_pushcfunction(L, keep_far);
  lua_pushvalue(L, c);
  lua_pushvalue(L, index);
  bool kept = lua_pcall(L, 2, 1, 0) == LUA_OK;
  if (kept) *place = -(int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return kept;
}

/* The value at index of L finds a place. */
static bool pack_object(lua_State *L, chan *c, int at, int index, int *place) {
  if (c->free) {
    *place = c->free;
    c->free = (int)lua_tointeger(c->way, *place);
    lua_pushvalue(L, index);
    lua_xmove(L, c->way, 1);
    lua_replace(c->way, *place);
    return true;
  }
  if (__builtin_expect(c->held + SPARE >= c->room, 0)) {
    if (c->held >= FAR) return pack_far(L, at, index, place);
    if (!make_room(L, c, at)) return false;
  }
  lua_pushvalue(L, index);
  lua_xmove(L, c->way, 1);
  *place = ++c->held;
  return true;
}

static void unpack_far(lua_State *L, int c, int ref, bool push) {
  lua_getiuservalue(L, c, 2);
  if (push) lua_rawgeti(L, -1, ref);
  luaL_unref(L, push ? -2 : -1, ref);
  if (push) lua_insert(L, -2);
  lua_pop(L, 1);
}

static void unpack_object(lua_State *L, chan *c, int at, int place, bool push) {
  if (__builtin_expect(place < 0, 0)) {
    unpack_far(L, at, -place, push);
  } else if (place == c->held) {
    c->held--;
    if (push)
      lua_xmove(c->way, L, 1);
    else
      lua_pop(c->way, 1);
  } else {
    if (push) {
      lua_pushvalue(c->way, place);
      lua_xmove(c->way, L, 1);
    }
    lua_pushinteger(c->way, c->free);
    lua_replace(c->way, place);
    c->free = place;
  }
}

bool gsl_pack(lua_State *L, chan *c, int at, int index, item *it) {
  it->type = lua_type(L, index);
  switch (it->type) {
    case LUA_TNUMBER:
      it->whole = lua_isinteger(L, index);
      if (it->whole)
        it->u.integer = lua_tointeger(L, index);
      else
        it->u.number = lua_tonumber(L, index);
      return true;
    case LUA_TBOOLEAN: it->u.truth = lua_toboolean(L, index); return true;
    case LUA_TLIGHTUSERDATA: it->u.pointer = lua_touserdata(L, index); return true;
    default: return pack_object(L, c, at, index, &it->u.place);
  }
}

void gsl_unpack(lua_State *L, chan *c, int at, const item *it, bool push) {
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
    default: unpack_object(L, c, at, it->u.place, push); break;
  }
}
