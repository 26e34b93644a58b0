/* select.c: gosched.select, waiting for several channels.
 *
 *   gosched.select{ {ch, "recv"}, {ch2, "send", v}, timeout = 1 }
 *
 * The values to be sent are under way in their channels (chan.c) during the wait, or copies
 * (value.c); those that were not sent are taken back.  The channels are on the Lua stack meanwhile:
 * the table of cases may be changed by others.
 */
#include <string.h>

#include "chan.h"
#include "shared.h"

#define FEW 16
#define MANY 65536

/* What a case sends or receives. */
typedef union slot {
  item item;      /* of a channel of this VM */
  gs_value value; /* of a shared one */
} slot;

typedef struct few {
  gs_select_case cases[FEW];
  slot slots[FEW];
} few;

static inline bool is_shared(const gs_select_case *sc) { return gs_shared_name(sc->chan) != NULL; }

static int bad_case(lua_State *L, int i, const char *why) {
  return luaL_error(
      L, "gosched.select: case %d %s; {ch, \"recv\"} or {ch, \"send\", value} is expected", i, why);
}

/* The case on top of the stack; leaves its channel, and what it sends, in its place. */
static void read_case(lua_State *L, int i, gs_select_case *sc) {
  if (!lua_istable(L, -1)) bad_case(L, i, "is not a table");
  int t = lua_gettop(L);
  lua_geti(L, t, 1);
  const chan *c = luaL_testudata(L, -1, GSL_CHAN);
  const shared *s = c ? NULL : gsl_test_shared(L, -1);
  if (!c && !s) bad_case(L, i, "has no channel");
  if (s && !s->ch) bad_case(L, i, "has a shared channel that has been released");
  lua_geti(L, t, 2);
  const char *what = lua_tostring(L, -1);
  if (!what) bad_case(L, i, "does not say what to do");
  if (strcmp(what, "recv") == 0)
    sc->op = GS_RECV;
  else if (strcmp(what, "send") == 0)
    sc->op = GS_SEND;
  else
    bad_case(L, i, "is neither \"recv\" nor \"send\"");
  sc->chan = c ? c->ch : s->ch;
  lua_pop(L, 1);
  lua_geti(L, t, 3);
  if (sc->op == GS_SEND && lua_isnil(L, -1)) bad_case(L, i, "sends nil");
  lua_remove(L, t);
}

/* All the cases; case i (from 0) has its channel at base + 2i and its value behind it. */
static void read_cases(lua_State *L, int n, int base, gs_select_case *cases, slot *slots) {
  luaL_checkstack(L, 2 * n + 8, "gosched.select: too many cases");
  for (int i = 0; i < n; i++) {
    lua_geti(L, 1, i + 1);
    read_case(L, i + 1, &cases[i]);
    cases[i].elem = &slots[i];
  }
  (void)base;
}

/* A shared channel is not released while it is waited for. */
static void count_uses(lua_State *L, int n, int base, const gs_select_case *cases, bool begins) {
  for (int i = 0; i < n; i++) {
    if (!is_shared(&cases[i])) continue;
    shared *s = lua_touserdata(L, base + 2 * i);
    s->uses += begins ? 1u : -1u;
  }
}

static void take_back(lua_State *L, int n, int base, const gs_select_case *cases, slot *slots,
                      int sent) {
  for (int i = 0; i < n; i++) {
    if (cases[i].op != GS_SEND || i == sent) continue;
    if (is_shared(&cases[i]))
      gs_value_free(&slots[i].value);
    else
      gsl_unpack(L, lua_touserdata(L, base + 2 * i), base + 2 * i, &slots[i].item, false);
  }
}

/* What is to be sent.  When one is refused, or memory runs out, none is under way. */
static void pack(lua_State *L, const vm *v, int n, int base, const gs_select_case *cases,
                 slot *slots) {
  for (int i = 0; i < n; i++) {
    int at = base + 2 * i;
    if (cases[i].op != GS_SEND) continue;
    bool copied = is_shared(&cases[i]);
    if (copied ? gsl_to_value(L, v, at + 1, &slots[i].value)
               : gsl_pack(L, lua_touserdata(L, at), at, at + 1, &slots[i].item))
      continue;
    take_back(L, i, base, cases, slots, -1);
    luaL_error(L, "gosched.select: %s", copied ? lua_tostring(L, -1) : "not enough memory");
  }
}

static void push_received(lua_State *L, int c, const gs_select_case *sc, slot *from) {
  if (is_shared(sc))
    gsl_push_value(L, &from->value);
  else
    gsl_unpack(L, lua_touserdata(L, c), c, &from->item, true);
}

static int64_t deadline_of(lua_State *L) {
  int64_t deadline = GS_FOREVER;
  if (lua_getfield(L, 1, "timeout") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0))
      luaL_error(L, "gosched.select: timeout is %s; seconds, 0 or more, are expected",
                 luaL_tolstring(L, -1, NULL));
    deadline = gs_now() + gsl_check_seconds(L, -1);
  }
  lua_pop(L, 1);
  return deadline;
}

/* gosched.select(cases): index, value, ok; or nil, "timeout" */
static int l_select(lua_State *L) {
  vm *v = gsl_vm(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_Integer len = luaL_len(L, 1);
  if (len > MANY) return luaL_error(L, "gosched.select: more than %d cases", MANY);
  int n = (int)len, base = 2;
  int64_t deadline = deadline_of(L);
  few room;
  gs_select_case *cases = room.cases;
  slot *slots = room.slots;
  if (n > FEW) {
    cases = lua_newuserdatauv(L, (size_t)n * (sizeof(*cases) + sizeof(*slots)), 0);
    slots = (slot *)(void *)(cases + n);
    base++;
  }
  read_cases(L, n, base, cases, slots);
  green *g = gsl_may_begin(L, v, "gosched.select");
  pack(L, v, n, base, cases, slots);
  size_t chosen = 0;
  op o;
  int code;
  count_uses(L, n, base, cases, true);
  gsl_leave_for(v, g, &o, "gosched.select", deadline);
  do
    code = gsl_only_tries(g) ? gs_try_select(cases, (size_t)n, &chosen)
                             : gs_select(cases, (size_t)n, o.deadline, &chosen);
  while (gsl_once_more(L, &o, &code));
  count_uses(L, n, base, cases, false);
  bool raised = code == GSL_RAISED;
  if (raised) lua_replace(L, 1);
  bool done = code == GS_OK;
  take_back(L, n, base, cases, slots, done ? (int)chosen : -1);
  if (raised) lua_pushvalue(L, 1);
  if (code == GS_ETIMEOUT) {
    lua_pushnil(L);
    lua_pushliteral(L, "timeout");
    return 2;
  }
  if (code == GS_ECLOSED && cases[chosen].op == GS_SEND)
    return luaL_error(L, "gosched.select: the channel of case %d, which sends, is closed",
                      (int)chosen + 1);
  if (!done && code != GS_ECLOSED) return gsl_fail(L, code, "gosched.select");
  lua_pushinteger(L, (lua_Integer)chosen + 1);
  if (done && cases[chosen].op == GS_RECV)
    push_received(L, base + 2 * (int)chosen, &cases[chosen], &slots[chosen]);
  else
    lua_pushnil(L);
  lua_pushboolean(L, done);
  return 3;
}

void gsl_open_select(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"select", l_select}, {NULL, NULL}};
  gsl_add_functions(L, module, vm_index, functions);
}
