/* wait.c: what every operation that parks does before and after, and the plain ones: sleep, yield;
 * gosched.timeout.
 *
 * Errors of the scheduler become errors of Lua only after the turn is taken up again.  The main
 * green thread is told about signals by GS_EINTR: the hook that lua.c's handler of Ctrl-C has set
 * gets its chance by the call of a function that does nothing.  It has no handle to be cancelled
 * by; whoever cancels it counts that and wakes it as a signal would.
 *
 * Timeouts.  gosched.timeout(s) is a to-be-closed value; until it is closed every wait of its green
 * thread ends by its deadline, and raises the value gosched.timeout then.  There is no timer and
 * nobody to be cancelled: an operation just takes the earlier one of two deadlines.
 */
#include <errno.h>
#include <math.h>

#include "green.h"

#define SCOPE "gosched.timeout"

/* ---- before and after ------------------------------------------------------------------------ */

void gsl_begin(lua_State *L, op *o, const char *what, int64_t deadline) {
  vm *v = gsl_vm(L);
  gsl_check_may_wait(L, v, what);
  green *g = gsl_self(v);
  if (!g) gsl_fail(L, GS_EPERM, what);
  if (!g->handle && (g->cancels || g->told)) gsl_fail(L, GS_ECANCELED, what);
  bool scoped = g->deadline < deadline;
  *o = (op){v, g, what, scoped ? g->deadline : deadline, scoped};
  g->where = what;
  gsl_turn_leave(v->turn);
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* Hooks that a signal handler has set may raise an error here. */
static bool interrupted(lua_State *L) {
  if (!lua_checkstack(L, 2)) return false;
  lua_pushcfunction(L, nothing);
  return lua_pcall(L, 0, 0, 0) != LUA_OK;
}

bool gsl_again(lua_State *L, op *o, int *code) {
  green *g = o->g;
  gsl_turn_enter(o->v->turn, g);
  if (*code == GS_OK) {
    g->where = NULL;
    return false;
  }
  if (*code == GS_EINTR) {
    if (interrupted(L)) {
      *code = GSL_RAISED;
    } else if (!g->handle && (g->cancels || g->told)) {
      *code = GS_ECANCELED;
    } else {
      gsl_turn_leave(o->v->turn);
      return true;
    }
  }
  if (*code == GS_ETIMEOUT && o->scoped) *code = GSL_EXPIRED;
  if (*code == GS_EDEADLOCK || (*code == GS_ECANCELED && g->deadlocked)) {
    if (g->deadlocked) gsl_uncancel(g);
    g->deadlocked = false;
    *code = GSL_DEADLOCK;
    return false; /* still waiting: gsl_fail tells where */
  }
  g->where = NULL;
  return false;
}

static int join(void *g, int64_t deadline) { return gsl_await(g, deadline); }

int gsl_join_shielded(lua_State *L, vm *v, green *g, const char *what) {
  return gsl_wait_shielded(L, v, join, g, what);
}

int gsl_wait_shielded(lua_State *L, vm *v, int (*wait)(void *, int64_t), void *x,
                      const char *what) {
  green *self = gsl_self(v);
  int code = GS_OK;
  if (!self) return GS_EPERM;
  self->where = what;
  gsl_turn_leave(v->turn);
  for (;;) {
    code = wait(x, GS_FOREVER);
    if (code == GS_EINTR) {
      gsl_turn_enter(v->turn, self);
      if (interrupted(L)) {
        code = GSL_RAISED;
        break;
      }
      gsl_turn_leave(v->turn);
    } else if (code == GS_ECANCELED && !self->deadlocked) {
      gs_uncancel();
    } else {
      break;
    }
  }
  if ((self->cancels || self->told) && self->handle && !self->deadlocked) gs_cancel(self->handle);
  gsl_turn_enter(v->turn, self);
  if (self->deadlocked) {
    gsl_uncancel(self);
    self->deadlocked = false;
    code = GS_EDEADLOCK;
  }
  if (code == GS_EDEADLOCK) return GSL_DEADLOCK;
  self->where = NULL;
  return code;
}

/* ---- seconds --------------------------------------------------------------------------------- */

int64_t gsl_check_seconds(lua_State *L, int index) {
  lua_Number s = luaL_checknumber(L, index);
  luaL_argcheck(L, !isnan(s) && s >= 0, index, "seconds expected, 0 or more");
  return s >= 4e9 ? INT64_MAX / 2 : (int64_t)(s * 1e9);
}

int64_t gsl_given_deadline(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? GS_FOREVER : gs_now() + gsl_check_seconds(L, index);
}

/* ---- sleep, yield ---------------------------------------------------------------------------- */

/* gosched.sleep(seconds) */
static int l_sleep(lua_State *L) {
  int64_t ns = gsl_check_seconds(L, 1), until = gs_now() + ns;
  op o;
  int code;
  gsl_begin(L, &o, "gosched.sleep", until);
  do {
    int64_t left = ns == 0 && !o.scoped ? 0 : o.deadline - gs_now();
    code = gs_sleep(left > 0 ? left : 0);
    if (code == GS_OK && o.scoped) code = GS_ETIMEOUT;
  } while (gsl_again(L, &o, &code));
  return code == GS_OK ? 0 : gsl_fail(L, code, "gosched.sleep");
}

/* gosched.yield() */
static int l_yield(lua_State *L) {
  op o;
  gsl_begin(L, &o, "gosched.yield", GS_FOREVER);
  gs_yield();
  int code = gs_cancelled() ? GS_ECANCELED : GS_OK;
  if (code == GS_OK && o.scoped && gs_now() >= o.deadline) code = GS_ETIMEOUT;
  gsl_again(L, &o, &code);
  return code == GS_OK ? 0 : gsl_fail(L, code, "gosched.yield");
}

/* ---- timeouts -------------------------------------------------------------------------------- */

typedef struct scope {
  uint64_t id;               /* the green thread's */
  int64_t deadline, outside; /* its own, and that of what is around it */
  bool open;
} scope;

/* gosched.timeout(seconds): from now on, until the value is closed, waits take so long at most. */
static int l_timeout(lua_State *L) {
  vm *v = gsl_vm(L);
  int64_t ns = gsl_check_seconds(L, 2);
  green *g = gsl_self(v);
  if (!g) return gsl_fail(L, GS_EPERM, "gosched.timeout");
  scope *s = lua_newuserdatauv(L, sizeof(*s), 0);
  *s = (scope){g->id, gs_now() + ns, g->deadline, true};
  luaL_setmetatable(L, SCOPE);
  if (s->deadline < g->deadline) g->deadline = s->deadline;
  return 1;
}

/* t:close(), and at the end of its block; true: its time had not come yet */
static int l_scope_close(lua_State *L) {
  scope *s = luaL_checkudata(L, 1, SCOPE);
  green *g = gsl_self(gsl_vm(L));
  if (s->open && g && g->id == s->id) g->deadline = s->outside;
  s->open = false;
  return 0;
}

/* t:expired(): whether its time has come */
static int l_scope_expired(lua_State *L) {
  scope *s = luaL_checkudata(L, 1, SCOPE);
  lua_pushboolean(L, gs_now() >= s->deadline);
  return 1;
}

/* The value gosched.timeout is also the function. */
static void make_callable(lua_State *L, int vm_index) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gsl_timeout);
  lua_getmetatable(L, -1);
  lua_pushvalue(L, vm_index);
  lua_pushcclosure(L, l_timeout, 1);
  lua_setfield(L, -2, "__call");
  lua_pop(L, 2);
}

void gsl_open_wait(lua_State *L, int module, int vm_index) {
  static const luaL_Reg functions[] = {{"sleep", l_sleep}, {"yield", l_yield}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_scope_close}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"close", l_scope_close}, {"expired", l_scope_expired}, {NULL, NULL}};
  gsl_add_functions(L, module, vm_index, functions);
  gsl_new_class(L, vm_index, SCOPE, meta, methods);
  make_callable(L, vm_index);
}
