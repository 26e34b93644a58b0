/* guests.c: Lua and Tcl in any process; see guests.h.  Python calls it by ctypes, host.c links it.
 */
#include "guests.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <tcl.h>

int run_lua(const char *program, char *error, size_t n) {
  lua_State *L = luaL_newstate();
  if (!L) return 1;
  luaL_openlibs(L);
  int bad = luaL_dostring(L, program) != LUA_OK;
  if (bad) {
    const char *text = lua_tostring(L, -1);
    snprintf(error, n, "lua: %s", text ? text : "an error that is no text");
  }
  lua_close(L);
  return bad;
}

static void find_executable(void) { Tcl_FindExecutable("polyglot"); }

int run_tcl(const char *program, char *error, size_t n) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find_executable);
  Tcl_Interp *interp = Tcl_CreateInterp();
  int bad =
      Tcl_Init(interp) != TCL_OK || Tcl_EvalEx(interp, program, -1, TCL_EVAL_GLOBAL) != TCL_OK;
  if (bad) {
    const char *info = Tcl_GetVar(interp, "errorInfo", TCL_GLOBAL_ONLY);
    snprintf(error, n, "tcl: %s", info ? info : Tcl_GetStringResult(interp));
  }
  Tcl_DeleteInterp(interp);
  Tcl_FinalizeThread();
  return bad;
}
