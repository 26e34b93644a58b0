/* library.c: gosched::load and gosched::bind.
 *
 * A loaded library is a namespace with a command for every declared function.  The function is
 * looked up in the library when its command is first called: what is declared for one library and
 * asked of another is an error then, not before.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

/* ---- commands for declarations --------------------------------------------------------------- */

static gst_function *new_function(gst_state *s, gst_library *l, const char *name) {
  gst_function *fn = calloc(1, sizeof(*fn));
  if (!fn) return NULL;
  fn->state = gst_state_retain(s);
  fn->library = l;
  l->refs++;
  fn->name = name;
  fn->ms = -1;
  return fn;
}

static bool define(gst_state *s, gst_library *l, const char *name) {
  gst_function *fn = new_function(s, l, name);
  if (!fn) return false;
  Tcl_Obj *full = Tcl_ObjPrintf("%s::%s", Tcl_GetString(l->ns), name);
  Tcl_IncrRefCount(full);
  Tcl_NRCreateCommand(s->interp, Tcl_GetString(full), gst_call_cmd, gst_call_nr, fn,
                      gst_function_free);
  Tcl_DecrRefCount(full);
  return true;
}

/* Of ffi's declarations from *done on, those that the library's namespace sees.  A command that is
 * there already is of what is hidden now. */
static bool define_from(gst_state *s, gst_library *l, const gs_ffi *ffi, size_t *done) {
  for (; *done < gs_ffi_ndecls(ffi); ++*done) {
    const gs_decl *d = gs_ffi_decl(ffi, *done);
    if (gs_decl_what(d) == GS_DECL_FUNCTION && gs_ffi_find(l->space->ffi, gs_decl_name(d)) == d &&
        !define(s, l, gs_decl_name(d)))
      return false;
  }
  return true;
}

static bool define_new(gst_state *s, gst_library *l) {
  return (!l->space->id || define_from(s, l, s->global->ffi, &l->inherited)) &&
         define_from(s, l, l->space->ffi, &l->defined);
}

int gst_define_new(gst_state *s) {
  for (gst_library *l = s->libraries; l; l = l->next)
    if (!define_new(s, l)) return gst_no_memory(s->interp);
  return TCL_OK;
}

void gst_library_drop(gst_library *l) {
  if (--l->refs > 0) return;
  Tcl_DecrRefCount(l->ns);
  if (l->encoding) Tcl_FreeEncoding(l->encoding);
  gst_space_drop(l->space);
  free(l);
}

void gst_libraries_free(gst_state *s) {
  while (s->libraries) {
    gst_library *l = s->libraries;
    s->libraries = l->next;
    gst_library_drop(l);
  }
}

void gst_libraries_forget(gst_state *s, gst_space *sp, Tcl_Interp *interp) {
  for (gst_library **at = &s->libraries; *at;) {
    gst_library *l = *at;
    if (l->space != sp) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    Tcl_Namespace *ns =
        interp ? Tcl_FindNamespace(interp, Tcl_GetString(l->ns), NULL, TCL_GLOBAL_ONLY) : NULL;
    if (ns) {
      Tcl_DeleteNamespace(ns); /* which may run code that loads and forgets libraries */
      at = &s->libraries;
    }
    gst_library_drop(l);
  }
}

/* ---- gosched::load --------------------------------------------------------------------------- */

/* "::gosched::lib::libc.so.6", or "…@3" where it is not the global namespace that loads it. */
static Tcl_Obj *namespace_for(const char *name, const gst_space *sp) {
  Tcl_Obj *ns = Tcl_NewStringObj("::gosched::lib::", -1);
  for (const char *p = name; *p; p++) Tcl_AppendToObj(ns, *p == ':' ? "_" : p, 1);
  if (sp->id) Tcl_AppendPrintfToObj(ns, "@%lu", (unsigned long)sp->id);
  return ns;
}

/* Also if somebody has deleted it. */
static bool make_namespace(gst_state *s, Tcl_Obj *ns, bool *made) {
  *made = !Tcl_FindNamespace(s->interp, Tcl_GetString(ns), NULL, TCL_GLOBAL_ONLY);
  return !*made || Tcl_CreateNamespace(s->interp, Tcl_GetString(ns), NULL, NULL);
}

static gst_library *library_for(gst_state *s, gst_space *sp, gs_lib *lib) {
  gst_library *l = s->libraries;
  bool made;
  while (l && l->lib != lib) l = l->next;
  if (l) {
    if (!make_namespace(s, l->ns, &made)) return NULL;
    if (made) l->defined = l->inherited = 0;
    return l;
  }
  Tcl_Obj *ns = namespace_for(gs_lib_name(lib), sp);
  Tcl_IncrRefCount(ns);
  if (!make_namespace(s, ns, &made)) {
    Tcl_DecrRefCount(ns);
    return NULL;
  }
  l = calloc(1, sizeof(*l));
  if (!l) {
    Tcl_DecrRefCount(ns);
    return NULL;
  }
  l->lib = lib;
  l->space = gst_space_hold(sp);
  l->refs = 1;
  l->ns = ns;
  l->next = s->libraries;
  s->libraries = l;
  return l;
}

/* Gives the functions named in a list their hints. */
static int set_hints(Tcl_Interp *interp, gst_library *l, Tcl_Obj *names, unsigned hints) {
  Tcl_Size n;
  Tcl_Obj **words;
  if (Tcl_ListObjGetElements(interp, names, &n, &words) != TCL_OK) return TCL_ERROR;
  for (Tcl_Size i = 0; i < n; i++) {
    gs_ffi_error err;
    gs_func *f = NULL;
    if (gs_ffi_func(l->lib, Tcl_GetString(words[i]), &f, &err) != GS_OK)
      return gst_space_error(interp, l->space, &err, Tcl_GetString(words[i]));
    gs_func_set_hints(f, hints | gs_func_hints(f));
  }
  return TCL_OK;
}

/* The functions named raise errno's error. */
static int set_errno_check(Tcl_Interp *interp, gst_library *l, Tcl_Obj *names) {
  Tcl_Size n;
  Tcl_Obj **words;
  if (Tcl_ListObjGetElements(interp, names, &n, &words) != TCL_OK) return TCL_ERROR;
  for (Tcl_Size i = 0; i < n; i++) {
    Tcl_CmdInfo info;
    Tcl_Obj *full = Tcl_ObjPrintf("%s::%s", Tcl_GetString(l->ns), Tcl_GetString(words[i]));
    Tcl_IncrRefCount(full);
    int found = Tcl_GetCommandInfo(interp, Tcl_GetString(full), &info);
    Tcl_DecrRefCount(full);
    if (!found || info.objProc != gst_call_cmd) {
      Tcl_Obj *message =
          Tcl_ObjPrintf("'%.80s' is not declared as a function; gosched::cdef must come first",
                        Tcl_GetString(words[i]));
      gst_append_looked_in(message, l->space);
      return gst_error(interp, message, "TYPE", Tcl_GetString(words[i]), NULL);
    }
    ((gst_function *)info.objClientData)->check = GST_CHECK_ERRNO;
  }
  return TCL_OK;
}

int gst_load_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-blocking", "-critical",   "-encoding",
                                        "-errno",    "-nocallback", NULL};
  static const unsigned hints[] = {GS_SITE_BLOCKING, GS_SITE_CRITICAL, 0, 0, GS_SITE_NOCALLBACK};
  gst_state *s = state;
  gs_ffi_error err;
  gs_lib *lib = NULL;
  Tcl_Encoding encoding = NULL;
  int option;
  if (objc < 2 || objc % 2) {
    Tcl_WrongNumArgs(interp, 1, objv,
                     "library ?-blocking names? ?-critical names? ?-nocallback names? "
                     "?-errno names? ?-encoding name?");
    return TCL_ERROR;
  }
  for (int i = 2; i < objc; i += 2)
    if (Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option) != TCL_OK)
      return TCL_ERROR;
  const char *name = Tcl_GetString(objv[1]);
  gst_space *sp = gst_space_make(s);
  if (!sp) return TCL_ERROR;
  if (gs_ffi_load(sp->ffi, *name ? name : NULL, &lib, &err) != GS_OK)
    return gst_ffi_error(interp, &err, name);
  gst_library *l = library_for(s, sp, lib);
  if (!l || !define_new(s, l)) return gst_no_memory(interp);
  for (int i = 2; i < objc; i += 2) {
    int code = TCL_OK;
    Tcl_GetIndexFromObj(NULL, objv[i], options, "option", 0, &option);
    if (option == 2) {
      if (!(encoding = Tcl_GetEncoding(interp, Tcl_GetString(objv[i + 1])))) return TCL_ERROR;
      if (l->encoding) Tcl_FreeEncoding(l->encoding);
      l->encoding = encoding;
    } else {
      code = option == 3 ? set_errno_check(interp, l, objv[i + 1])
                         : set_hints(interp, l, objv[i + 1], hints[option]);
    }
    if (code != TCL_OK) return code;
  }
  Tcl_SetObjResult(interp, l->ns);
  return TCL_OK;
}

/* ---- gosched::bind --------------------------------------------------------------------------- */

static gst_library *library_named(Tcl_Interp *interp, gst_state *s, Tcl_Obj *ns) {
  gst_library *l = s->libraries;
  while (l && strcmp(Tcl_GetString(l->ns), Tcl_GetString(ns)) != 0) l = l->next;
  if (!l)
    gst_error(
        interp,
        Tcl_ObjPrintf("\"%.80s\" is not a library that gosched::load has given", Tcl_GetString(ns)),
        "NAME", Tcl_GetString(ns), NULL);
  return l;
}

static int set_option(Tcl_Interp *interp, gst_function *fn, int option, Tcl_Obj *value) {
  static const unsigned hints[] = {GS_SITE_BLOCKING, GS_SITE_CRITICAL, GS_SITE_NOCALLBACK};
  static const char *const checks[] = {"none", "errno", "zero", "nonzero", "nonnegative", NULL};
  int flag, index;
  switch (option) {
    case 0:
    case 1:
    case 2:
      if (Tcl_GetBooleanFromObj(interp, value, &flag) != TCL_OK) return TCL_ERROR;
      fn->hints_set |= hints[option];
      if (flag) fn->hints |= hints[option];
      return TCL_OK;
    case 3:
      if (Tcl_GetIndexFromObj(interp, value, checks, "check", 0, &index) != TCL_OK)
        return TCL_ERROR;
      fn->check = (gst_check)index;
      return TCL_OK;
    case 4:
      if (Tcl_GetBooleanFromObj(interp, value, &flag) != TCL_OK) return TCL_ERROR;
      fn->detach = flag;
      return TCL_OK;
    case 5: return gst_get_ms(interp, value, "-timeout", &fn->ms);
    default: {
      Tcl_Size n;
      if (Tcl_ListObjLength(interp, value, &n) != TCL_OK) return TCL_ERROR;
      if (fn->unblock) Tcl_DecrRefCount(fn->unblock);
      fn->unblock = n ? value : NULL;
      if (n) Tcl_IncrRefCount(value);
      return TCL_OK;
    }
  }
}

int gst_bind_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-blocking", "-critical", "-nocallback", "-check",
                                        "-detach",   "-timeout",  "-unblock",    NULL};
  gst_state *s = state;
  int option, code = TCL_OK;
  if (objc < 4 || objc % 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "command library function ?-option value ...?");
    return TCL_ERROR;
  }
  gst_library *l = library_named(interp, s, objv[2]);
  if (!l) return TCL_ERROR;
  gst_function *fn = new_function(s, l, NULL);
  if (!fn || !(fn->name = strdup(Tcl_GetString(objv[3])))) {
    if (fn) gst_function_free(fn);
    return gst_no_memory(interp);
  }
  fn->owns_name = true;
  code = gst_function_resolve(interp, fn);
  for (int i = 4; i < objc && code == TCL_OK; i += 2) {
    code = Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option);
    if (code == TCL_OK) code = set_option(interp, fn, option, objv[i + 1]);
  }
  if (code == TCL_OK && fn->ms >= 0 && !fn->unblock && !fn->detach)
    code = gst_error(interp,
                     Tcl_NewStringObj("-timeout needs -unblock, or -detach 1: a foreign call does "
                                      "not end by itself",
                                      -1),
                     "ARGUMENT", "-timeout", NULL);
  if (code != TCL_OK) {
    gst_function_free(fn);
    return TCL_ERROR;
  }
  const char *name = Tcl_GetString(objv[1]);
  const char *ns = Tcl_GetCurrentNamespace(interp)->fullName;
  Tcl_Obj *full = strncmp(name, "::", 2) == 0 ? Tcl_NewStringObj(name, -1)
                  : strcmp(ns, "::") == 0     ? Tcl_ObjPrintf("::%s", name)
                                              : Tcl_ObjPrintf("%s::%s", ns, name);
  Tcl_IncrRefCount(full);
  Tcl_Command made = Tcl_NRCreateCommand(interp, Tcl_GetString(full), gst_call_cmd, gst_call_nr, fn,
                                         gst_function_free);
  if (made) Tcl_SetObjResult(interp, full);
  Tcl_DecrRefCount(full);
  return made ? TCL_OK : TCL_ERROR;
}

/* ---- gosched::symbol ------------------------------------------------------------------------- */

/* A pointer to what the library exports under that name, of its declared type. */
int gst_symbol_nr(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gs_ffi_error err;
  void *address;
  const gs_type *type = NULL;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "library name");
    return TCL_ERROR;
  }
  gst_library *l = library_named(interp, s, objv[1]);
  if (!l) return TCL_ERROR;
  const char *name = Tcl_GetString(objv[2]);
  if (gs_lib_symbol(l->lib, name, &address, &err) != GS_OK)
    return gst_ffi_error(interp, &err, name);
  const gs_decl *d = gs_ffi_find(l->space->ffi, name);
  if (d) type = gs_decl_type(d);
  Tcl_Obj *text = gst_pointer_type_name(type);
  Tcl_IncrRefCount(text);
  Tcl_SetObjResult(interp, gst_pointer_obj(s, Tcl_GetString(text), type, address, 0));
  Tcl_DecrRefCount(text);
  return TCL_OK;
}
