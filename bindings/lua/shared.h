/* shared.h: what shared.c, value.c and select.c share. */
#ifndef GS_LUA_SHARED_H
#define GS_LUA_SHARED_H

#include "green.h"

#define GSL_SHARED "gosched.shared"

/* One holder of a shared channel. */
typedef struct shared {
  gs_chan *ch;                 /* NULL: released */
  unsigned uses;               /* operations under way, which keep it from being released */
  bool outside;                /* announced as one that the scheduler does not know of */
  uint8_t misses;              /* how often in a row asking again has not helped, at most MISSES */
  uint8_t skip;                /* so many waits begin at once, without asking again */
  struct shared *next, **link; /* of the VM's list */
} shared;

shared *gsl_check_shared(lua_State *L, int index); /* raises an error, also if it was released */
/* NULL: it is none */
shared *gsl_test_shared(lua_State *L, int index);

/* value.c.  Copies the Lua value at index.  false: a message is on top of the stack instead, and
 * *out is null.  Raises no error otherwise. */
bool gsl_to_value(lua_State *L, const vm *v, int index, gs_value *out);
/* Pushes the value, and frees it; may raise an error. */
void gsl_push_value(lua_State *L, gs_value *value);
/* Pushes the value, and leaves it; may raise an error. */
void gsl_push_value_of(lua_State *L, const gs_value *value);

#endif
