/* chan.h: what chan.c and select.c share. */
#ifndef GS_LUA_CHAN_H
#define GS_LUA_CHAN_H

#include "green.h"

#define GSL_CHAN "gosched.chan"

/* A channel; its uservalue is the table of the values under way that the garbage collector must
 * know of, by number (luaL_ref). */
typedef struct chan {
  gs_chan *ch;
} chan;

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

chan *gsl_check_chan(lua_State *L, int index);
/* The value at index, which is not nil, for the channel at index c; may raise an error. */
item gsl_pack(lua_State *L, int c, int index);
/* Pushes the value (push), and forgets it: it has been received, or was not sent after all. */
void gsl_unpack(lua_State *L, int c, const item *it, bool push);

#endif
