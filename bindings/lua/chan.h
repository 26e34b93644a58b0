/* chan.h: what chan.c and select.c share. */
#ifndef GS_LUA_CHAN_H
#define GS_LUA_CHAN_H

#include "green.h"

#define GSL_CHAN "gosched.chan"

/* A channel; its uservalue is the table of the values under way that the garbage collector must
 * know of, by number (luaL_ref). */
typedef struct chan {
  const void *mark; /* gsl_chan_mark as long as the value lives */
  gs_chan *ch;
  vm *v; /* quicker to read than the upvalue */
} chan;

extern const char gsl_chan_mark;

/* What the scheduler's channel carries for a value. */
typedef struct item {
  int type; /* LUA_T…; other than of numbers, booleans and light userdata: ref */
  bool whole;
  union {
    lua_Integer integer;
    lua_Number number;
    bool truth;
    void *pointer;
    int ref;
  } u;
} item;

chan *gsl_check_chan_slowly(lua_State *L, int index);
/* No other userdata begins with the mark's address: who has it was made here, and not finalized.
 * That is asked sooner than what is its metatable, which the registry has by a string. */
static inline chan *gsl_check_chan(lua_State *L, int index) {
  chan *c = lua_touserdata(L, index);
  if (__builtin_expect(c && lua_rawlen(L, index) == sizeof(*c) && c->mark == &gsl_chan_mark, 1))
    return c; /* a light userdata has no length */
  return gsl_check_chan_slowly(L, index);
}
/* The VM, which is not being closed. */
static inline vm *gsl_chan_vm(lua_State *L, const chan *c) {
  return __builtin_expect(c->v->ffi != NULL, 1) ? c->v : gsl_vm(L);
}
/* The value at index, which is not nil, for the channel at index c; may raise an error. */
item gsl_pack(lua_State *L, int c, int index);
/* Pushes the value (push), and forgets it: it has been received, or was not sent after all. */
void gsl_unpack(lua_State *L, int c, const item *it, bool push);

#endif
