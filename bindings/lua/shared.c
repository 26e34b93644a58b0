/* shared.c: gosched.shared, channels that other Lua states and other languages can open, too.
 *
 * They carry copies (value.c), so the garbage collector has nothing to do with what is under way.
 * Who waits has the channel on the Lua stack.  But any green thread may release it meanwhile: so
 * operations under way are counted, and with one it is not released.
 *
 * Asking again.  Two states that talk run on two OS threads; who waits gives its P up and its
 * thread sleeps, and to wake that takes the other side, on another CPU, some two microseconds, a
 * dozen times what a message takes.  So who finds a channel empty or full looks again for a moment
 * before it waits, as long as it keeps nobody of its own state from running and there is another
 * CPU.  On a busy machine, or with a slow partner, that is in vain: after each miss in a row twice
 * as many waits begin at once.  A full channel is left to empty itself somewhat, so that the two
 * sides do not meet at each of its elements.
 *
 * Deadlocks.  Green threads are known to the scheduler; but a VM outside of gosched.run may use its
 * channels, too (try_send, try_recv, close).  So while it is not inside, each channel that it has
 * open is announced as one that may be used from outside.
 */
#include <string.h>

#include "shared.h"

shared *gsl_test_shared(lua_State *L, int index) { return luaL_testudata(L, index, GSL_SHARED); }

shared *gsl_check_shared(lua_State *L, int index) {
  shared *c = luaL_checkudata(L, index, GSL_SHARED);
  if (!c->ch) luaL_error(L, "the shared channel has been released");
  return c;
}

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

/* ---- operations ------------------------------------------------------------------------------ */

static int refused(lua_State *L, const char *what) {
  return luaL_error(L, "%s: %s", what, lua_tostring(L, -1));
}

/* Whether this green thread may not wait, and why: raises that. */
static green *check_waits(lua_State *L, vm *v, const char *what) {
  gsl_check_may_wait(L, v, what);
  green *g = gsl_self(v);
  if (!g) gsl_fail(L, GS_EPERM, what);
  return g;
}

static bool cancelled(vm *v) {
  const green *g = gsl_self(v);
  return !g->handle && g->cancels;
}

enum { MOMENT_NS = 20000, LOOKS = 32, MISSES = 6 };

/* The channel looks as if the operation could be done; asked without its lock. */
static bool promising(gs_chan *ch, bool send) {
  size_t n = gs_chan_len(ch), cap = gs_chan_cap(ch);
  if (gs_chan_closed(ch)) return true;
  return send ? n < cap && n <= cap - cap / 8 : n > 0;
}

/* An operation cannot be done.  True: it looks as if it could now.  This green thread keeps the
 * turn meanwhile. */
static bool linger(vm *v, shared *c, bool send, int64_t deadline) {
  gs_chan *ch = c->ch;
  if (gs_chan_cap(ch) == 0 || gs_procs() < 2) return false; /* partners meet by parking alone */
  if (c->skip) {
    c->skip--;
    return false;
  }
  const green *g = gsl_self(v);
  int64_t now = gs_now(), end = now + MOMENT_NS;
  if (g->deadline < deadline) deadline = g->deadline;
  do {
    if (now >= deadline || gs_domain_waiting(v->turn->domain) > 0) return false;
    for (int i = 0; i < LOOKS; i++) {
      if (promising(ch, send)) {
        c->misses = 0;
        return true;
      }
      relax();
    }
    now = gs_now();
  } while (now < end);
  if (c->misses < MISSES) c->misses++;
  c->skip = (uint8_t)((1u << c->misses) - 1);
  return false;
}

/* ch:send(v, timeout?): true, or false and "timeout" */
static int l_send(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  vm *v = gsl_vm(L);
  int64_t deadline = gsl_opt_deadline(L, 3);
  gs_value value;
  op o;
  luaL_checkany(L, 2);
  luaL_checkstack(L, 8, "ch:send");
  check_waits(L, v, "ch:send");
  if (!gsl_to_value(L, v, 2, &value)) return refused(L, "ch:send");
  c->uses++;
  int code = GSL_OUTSIDE(L, v, gs_chan_try_send(c->ch, &value));
  if (code == GS_EWOULDBLOCK && !cancelled(v) && linger(v, c, true, deadline))
    code = GSL_OUTSIDE(L, v, gs_chan_try_send(c->ch, &value));
  if (code == GS_EWOULDBLOCK) {
    code = GS_ECANCELED;
    if (!cancelled(v)) {
      gsl_begin(L, &o, "ch:send", deadline);
      do code = gs_chan_send(c->ch, &value, o.deadline);
      while (gsl_again(L, &o, &code));
    }
  }
  c->uses--;
  if (code == GS_OK) {
    lua_pushboolean(L, true);
    return 1;
  }
  gs_value_free(&value);
  if (code == GS_ECLOSED) return luaL_error(L, "ch:send: the channel is closed");
  if (code != GS_ETIMEOUT) return gsl_fail(L, code, "ch:send");
  lua_pushboolean(L, false);
  lua_pushliteral(L, "timeout");
  return 2;
}

/* ch:try_send(v): true, or false and "full" */
static int l_try_send(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  vm *v = gsl_vm(L);
  gs_value value;
  luaL_checkany(L, 2);
  if (!gsl_to_value(L, v, 2, &value)) return refused(L, "ch:try_send");
  c->uses++;
  int code = GSL_OUTSIDE(L, v, gs_chan_try_send(c->ch, &value));
  c->uses--;
  lua_pushboolean(L, code == GS_OK);
  if (code == GS_OK) return 1;
  gs_value_free(&value);
  if (code == GS_ECLOSED) return luaL_error(L, "ch:try_send: the channel is closed");
  if (code != GS_EWOULDBLOCK) return gsl_fail(L, code, "ch:try_send");
  lua_pushliteral(L, "full");
  return 2;
}

static int receive(lua_State *L, shared *c, int64_t deadline, gs_value *value) {
  vm *v = gsl_vm(L);
  op o;
  check_waits(L, v, "ch:recv");
  c->uses++;
  int code = GSL_OUTSIDE(L, v, gs_chan_try_recv(c->ch, value));
  if (code == GS_EWOULDBLOCK && !cancelled(v) && linger(v, c, false, deadline))
    code = GSL_OUTSIDE(L, v, gs_chan_try_recv(c->ch, value));
  if (code == GS_EWOULDBLOCK) {
    code = GS_ECANCELED;
    if (!cancelled(v)) {
      gsl_begin(L, &o, "ch:recv", deadline);
      do code = gs_chan_recv(c->ch, value, o.deadline);
      while (gsl_again(L, &o, &code));
    }
  }
  c->uses--;
  return code;
}

/* What was received: value, true (and "bytes" if it was that, not text); or nil, false, why */
static int received(lua_State *L, int code, gs_value *value) {
  if (code == GS_OK) {
    bool bytes = gs_value_type(value) == GS_VALUE_BYTES;
    gsl_push_value(L, value);
    lua_pushboolean(L, true);
    if (bytes) lua_pushliteral(L, "bytes");
    return 2 + bytes;
  }
  lua_pushnil(L);
  lua_pushboolean(L, false);
  lua_pushstring(L, code == GS_ECLOSED ? "closed" : code == GS_ETIMEOUT ? "timeout" : "empty");
  return 3;
}

/* ch:recv(timeout?): value, true; or nil, false, "closed" or "timeout" */
static int l_recv(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  int64_t deadline = gsl_opt_deadline(L, 2);
  gs_value value;
  int code = receive(L, c, deadline, &value);
  if (code != GS_OK && code != GS_ECLOSED && code != GS_ETIMEOUT)
    return gsl_fail(L, code, "ch:recv");
  return received(L, code, &value);
}

/* ch:try_recv(): value, true; or nil, false, "closed" or "empty" */
static int l_try_recv(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  gs_value value;
  c->uses++;
  int code = GSL_OUTSIDE(L, gsl_vm(L), gs_chan_try_recv(c->ch, &value));
  c->uses--;
  if (code != GS_OK && code != GS_ECLOSED && code != GS_EWOULDBLOCK)
    return gsl_fail(L, code, "ch:try_recv");
  return received(L, code, &value);
}

/* The iterator: called with the channel. */
static int l_next(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  gs_value value;
  int code = receive(L, c, GS_FOREVER, &value);
  if (code == GS_OK)
    gsl_push_value(L, &value);
  else if (code == GS_ECLOSED)
    lua_pushnil(L);
  else
    return gsl_fail(L, code, "ch:recv");
  return 1;
}

/* for v in ch:iter(): what is received until the channel is closed */
static int l_iter(lua_State *L) {
  gsl_check_shared(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, l_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* ch:close(): no more is sent, by nobody in any language.  Closing twice is nothing. */
static int l_shared_close(lua_State *L) {
  shared *c = gsl_check_shared(L, 1);
  c->uses++;
  GSL_OUTSIDE(L, gsl_vm(L), gs_chan_close(c->ch));
  c->uses--;
  return 0;
}

static int l_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gs_chan_len(gsl_check_shared(L, 1)->ch));
  return 1;
}

static int l_cap(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gs_chan_cap(gsl_check_shared(L, 1)->ch));
  return 1;
}

static int l_closed(lua_State *L) {
  lua_pushboolean(L, gs_chan_closed(gsl_check_shared(L, 1)->ch));
  return 1;
}

static int l_name(lua_State *L) {
  lua_pushstring(L, gs_shared_name(gsl_check_shared(L, 1)->ch));
  return 1;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* gosched.shared(name, cap?) */
static int l_shared(lua_State *L) {
  vm *v = gsl_vm(L);
  size_t n, cap = GS_SHARED_ANY;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *name = lua_tolstring(L, 1, &n);
  luaL_argcheck(L, strlen(name) == n, 1, "a name without NUL expected");
  if (!lua_isnoneornil(L, 2)) {
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 0, 2, "a capacity of 0 or more expected");
    cap = (size_t)i;
  }
  shared *c = lua_newuserdatauv(L, sizeof(*c), 0);
  *c = (shared){.ch = NULL};
  luaL_setmetatable(L, GSL_SHARED);
  gs_chan *ch = NULL;
  int e = GSL_OUTSIDE(L, v, gs_shared_chan(name, cap, &ch));
  if (e != GS_OK) return luaL_error(L, "gosched.shared: %s", gs_error_detail());
  c->ch = ch;
  c->link = &v->shared;
  if ((c->next = v->shared)) c->next->link = &c->next;
  v->shared = c;
  if (!v->running) {
    gs_shared_outside(ch, 1);
    c->outside = true;
  }
  return 1;
}

void gsl_shared_run(vm *v, bool begins) {
  for (shared *c = v->shared; c; c = c->next) {
    if (c->outside == !begins) continue;
    gs_shared_outside(c->ch, begins ? -1 : 1);
    c->outside = !begins;
  }
}

static void let_go(lua_State *L, vm *v, shared *c) {
  gs_chan *ch = c->ch;
  c->ch = NULL;
  if ((*c->link = c->next)) c->next->link = c->link;
  if (c->outside) gs_shared_outside(ch, -1);
  GSL_OUTSIDE(L, v, gs_shared_release(ch));
}

/* ch:release(), and at the end of the block of a to-be-closed variable: as if nobody had it any
 * more.  Twice is nothing. */
static int l_release(lua_State *L) {
  shared *c = luaL_checkudata(L, 1, GSL_SHARED);
  if (!c->ch) return 0;
  if (c->uses) return luaL_error(L, "ch:release: a green thread is waiting on the channel");
  let_go(L, gsl_vm(L), c);
  return 0;
}

static int l_shared_gc(lua_State *L) {
  shared *c = luaL_checkudata(L, 1, GSL_SHARED);
  if (c->ch) let_go(L, gsl_vm(L), c);
  return 0;
}

static int l_shared_tostring(lua_State *L) {
  shared *c = luaL_checkudata(L, 1, GSL_SHARED);
  if (!c->ch)
    lua_pushliteral(L, "shared channel (released)");
  else
    lua_pushfstring(L, "shared channel \"%s\" (%I of %I%s)", gs_shared_name(c->ch),
                    (LUAI_UACINT)gs_chan_len(c->ch), (LUAI_UACINT)gs_chan_cap(c->ch),
                    gs_chan_closed(c->ch) ? ", closed" : "");
  return 1;
}

void gsl_open_shared(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"shared", l_shared}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__tostring", l_shared_tostring},
                                  {"__gc", l_shared_gc},
                                  {"__len", l_len},
                                  {"__close", l_release},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"send", l_send},
                                     {"recv", l_recv},
                                     {"try_send", l_try_send},
                                     {"iter", l_iter},
                                     {"close", l_shared_close},
                                     {"try_recv", l_try_recv},
                                     {"len", l_len},
                                     {"cap", l_cap},
                                     {"closed", l_closed},
                                     {"name", l_name},
                                     {"release", l_release},
                                     {NULL, NULL}};
  gsl_open_value(L, module, vm_index);
  gsl_new_class(L, vm_index, GSL_SHARED, meta, methods);
  gsl_add_functions(L, module, vm_index, functions);
}
