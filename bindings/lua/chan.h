/* chan.h: what chan.c, carry.c and select.c share. */
#ifndef GS_LUA_CHAN_H
#define GS_LUA_CHAN_H

#include "green.h"

#define GSL_CHAN "gosched.chan"

/* A channel; its uservalues hold the values under way (carry.c).  Everything is written with the
 * turn. */
typedef struct chan {
  const void *mark; /* gsl_chan_mark as long as the value lives */
  gs_chan *ch;
  vm *v;          /* quicker to read than the upvalue */
  lua_State *way; /* values under way are on its stack; NULL: none ever was */
  int held, free; /* … so many places, free ones among them; the first of those, 0: none */
  int room;       /* … so many places can be there */
} chan;

extern const char gsl_chan_mark;

/* What the scheduler's channel carries for a value. */
typedef struct item {
  int type; /* LUA_T…; other than of numbers, booleans and light userdata: place */
  bool whole;
  union {
    lua_Integer integer;
    lua_Number number;
    bool truth;
    void *pointer;
    int place;
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
/* carry.c.  The value at index, which is not nil, for the channel, whose value is at index `at`.
 * false: out of memory; nothing has changed. */
bool gsl_pack(lua_State *L, chan *c, int at, int index, item *it);
/* Pushes the value (push), and forgets it: it has been received, or was not sent after all. */
void gsl_unpack(lua_State *L, chan *c, int at, const item *it, bool push);

#endif
