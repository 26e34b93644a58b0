/* space.c: the C declarations of a namespace.
 *
 * What gosched::cdef declares is the calling namespace's: a gs_ffi of its own, the child of the
 * global namespace's (gs_ffi_child), so names are looked up as Tcl looks commands up: in the
 * namespace, then in the global one.  A namespace that declares and loads nothing has none, and
 * uses the global one's.
 *
 * A type of such a space means nothing elsewhere, and two may be spelled alike, so a pointer that
 * becomes a Tcl value has the space's number behind it, "(struct s *)0x1000@3", unless the global
 * namespace's declarations are all that its type needs.  Numbers are the process's and never come
 * twice: the pointers of a namespace that was deleted are not taken for those of one that has its
 * name now.
 *
 * Two things keep a space.  It is `held`, at home, by its namespace, by what Tcl can see of it
 * (libraries and their commands, memory and callbacks that can be freed) and by calls that somebody
 * waits for: so long its number is known.  It has `refs`, from any thread, by calls under way and
 * callbacks that C may be in, whose types lie in its gs_ffi: with the last of those it is freed.
 *
 * The end of a namespace is known from a trace: a variable that was never set, so that nobody sees
 * it, is unset with the namespace.
 */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static const char marker[] = "gosched's declarations"; /* the variable */
static uint64_t last_id;                               /* atomic */

/* ---- who keeps it ---------------------------------------------------------------------------- */

gst_space *gst_space_retain(gst_space *sp) {
  __atomic_fetch_add(&sp->refs, 1, __ATOMIC_RELAXED);
  return sp;
}

void gst_space_release(gst_space *sp) {
  if (!sp || __atomic_sub_fetch(&sp->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  gs_ffi_free(sp->ffi);
  free(sp);
}

static void forget_entry(Tcl_HashTable *table, const void *key) {
  Tcl_HashEntry *e = Tcl_FindHashEntry(table, key);
  if (e) Tcl_DeleteHashEntry(e);
}

/* Nobody can name its types any more. */
static void unlist(gst_space *sp) {
  if (!sp->state) return;
  gst_state *s = sp->state;
  sp->state = NULL;
  if (sp->ns) forget_entry(&s->spaces, sp->ns);
  forget_entry(&s->space_ids, (char *)(uintptr_t)sp->id);
  forget_entry(&s->space_ffis, sp->ffi);
  Tcl_DeleteHashTable(&sp->types);
  Tcl_DecrRefCount(sp->name);
}

gst_space *gst_space_hold(gst_space *sp) {
  sp->held++;
  return sp;
}

void gst_space_drop(gst_space *sp) {
  if (!sp || --sp->held > 0) return;
  unlist(sp);
  gst_space_release(sp);
}

/* ---- making one ------------------------------------------------------------------------------ */

static void enter(Tcl_HashTable *table, const void *key, gst_space *sp) {
  int isnew;
  Tcl_SetHashValue(Tcl_CreateHashEntry(table, key, &isnew), sp);
}

/* Held once. */
static gst_space *new_space(gst_state *s, gs_ffi *ffi, const char *name) {
  gst_space *sp = ffi ? calloc(1, sizeof(*sp)) : NULL;
  if (!sp) {
    gs_ffi_free(ffi);
    return NULL;
  }
  sp->state = s;
  sp->ffi = ffi;
  sp->held = sp->refs = 1;
  Tcl_IncrRefCount(sp->name = Tcl_NewStringObj(name, -1));
  Tcl_InitHashTable(&sp->types, TCL_STRING_KEYS);
  return sp;
}

bool gst_spaces_init(gst_state *s) {
  s->global = new_space(s, gs_ffi_new(), "::");
  if (!s->global) return false;
  Tcl_InitHashTable(&s->spaces, TCL_ONE_WORD_KEYS);
  Tcl_InitHashTable(&s->space_ids, TCL_ONE_WORD_KEYS);
  Tcl_InitHashTable(&s->space_ffis, TCL_ONE_WORD_KEYS);
  gst_space_retain(s->global); /* for s, which may outlive the interpreter */
  return true;
}

static char *namespace_ends(ClientData data, Tcl_Interp *interp, const char *name1,
                            const char *name2, int flags) {
  gst_space *sp = data;
  (void)name1, (void)name2;
  if (!(flags & TCL_TRACE_DESTROYED)) return NULL;
  if (sp->state) {
    forget_entry(&sp->state->spaces, sp->ns);
    gst_libraries_forget(sp->state, sp, Tcl_InterpDeleted(interp) ? NULL : interp);
  }
  sp->ns = NULL;
  gst_space_drop(sp);
  return NULL;
}

static gst_space *space_of(gst_state *s, Tcl_Namespace *ns) {
  Tcl_HashEntry *e = s->spaces.numEntries ? Tcl_FindHashEntry(&s->spaces, (char *)ns) : NULL;
  return e ? Tcl_GetHashValue(e) : NULL;
}

gst_space *gst_space_here(gst_state *s) {
  gst_space *sp =
      s->spaces.numEntries ? space_of(s, Tcl_GetCurrentNamespace(s->interp)) : s->global;
  return sp ? sp : s->global;
}

gst_space *gst_space_make(gst_state *s) {
  Tcl_Interp *interp = s->interp;
  Tcl_Namespace *ns = Tcl_GetCurrentNamespace(interp);
  if (ns == Tcl_GetGlobalNamespace(interp)) return s->global;
  gst_space *sp = space_of(s, ns);
  if (sp) return sp;
  sp = new_space(s, gs_ffi_child(s->global->ffi), ns->fullName);
  if (!sp) {
    gst_no_memory(interp);
    return NULL;
  }
  sp->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
  /* In the namespace itself: its name may be another's by now, if it is being deleted. */
  if (Tcl_TraceVar2(interp, marker, NULL, TCL_TRACE_UNSETS | TCL_NAMESPACE_ONLY, namespace_ends,
                    sp) != TCL_OK) {
    gst_space_drop(sp);
    return NULL;
  }
  sp->ns = ns;
  enter(&s->spaces, ns, sp);
  enter(&s->space_ids, (char *)(uintptr_t)sp->id, sp);
  enter(&s->space_ffis, sp->ffi, sp);
  return sp;
}

/* Takes the trace back, if the namespace can still be found; else it will end by itself. */
static void let_go(gst_space *sp, Tcl_Interp *interp, Tcl_Namespace *ns) {
  if (!ns || Tcl_InterpDeleted(interp) ||
      Tcl_FindNamespace(interp, ns->fullName, NULL, TCL_GLOBAL_ONLY) != ns)
    return;
  Tcl_Obj *name = Tcl_ObjPrintf("%s::%s", ns->fullName, marker);
  Tcl_IncrRefCount(name);
  Tcl_UntraceVar2(interp, Tcl_GetString(name), NULL, TCL_TRACE_UNSETS | TCL_GLOBAL_ONLY,
                  namespace_ends, sp);
  Tcl_DecrRefCount(name);
  sp->ns = NULL;
  gst_space_drop(sp);
}

void gst_spaces_free(gst_state *s, Tcl_Interp *interp) {
  Tcl_HashSearch search;
  Tcl_HashEntry *e;
  while ((e = Tcl_FirstHashEntry(&s->space_ids, &search))) {
    gst_space *sp = Tcl_GetHashValue(e);
    unlist(sp);
    let_go(sp, interp, sp->ns);
  }
  unlist(s->global);
  gst_space_drop(s->global);
  Tcl_DeleteHashTable(&s->spaces);
  Tcl_DeleteHashTable(&s->space_ids);
  Tcl_DeleteHashTable(&s->space_ffis);
}

/* ---- types ----------------------------------------------------------------------------------- */

/* gs_ffi_type, which makes a type anew each time, asked once for each text.  known: the text must
 * not declare anything. */
static int type_in(gst_space *sp, const char *text, bool known, const gs_type **out,
                   gs_ffi_error *err) {
  int isnew;
  Tcl_HashEntry *e = sp->state ? Tcl_FindHashEntry(&sp->types, text) : NULL;
  if (e) {
    *out = Tcl_GetHashValue(e);
    return GS_OK;
  }
  int code =
      known ? gs_ffi_type_known(sp->ffi, text, out, err) : gs_ffi_type(sp->ffi, text, out, err);
  if (code == GS_OK && sp->state)
    Tcl_SetHashValue(Tcl_CreateHashEntry(&sp->types, text, &isnew), (void *)*out);
  return code;
}

int gst_type(gst_space *sp, const char *text, const gs_type **out, gs_ffi_error *err) {
  return type_in(sp, text, false, out, err);
}

gst_space *gst_value_type(gst_state *s, gst_space *sp, const char *text, const gs_type **out) {
  gs_ffi_error err;
  if (type_in(s->global, text, sp != s->global, out, &err) == GS_OK) return s->global;
  return sp != s->global && gst_type(sp, text, out, &err) == GS_OK ? sp : NULL;
}

void gst_space_declared(gst_space *sp) {
  if (!sp->id) return; /* there nothing hides what was known before */
  Tcl_DeleteHashTable(&sp->types);
  Tcl_InitHashTable(&sp->types, TCL_STRING_KEYS);
}

gst_space *gst_space_numbered(gst_state *s, uint64_t id) {
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->space_ids, (char *)(uintptr_t)id);
  return e ? Tcl_GetHashValue(e) : NULL;
}

gst_space *gst_type_space(gst_state *s, const gs_type *type) {
  const gs_ffi *ffi = gs_type_scope(type);
  if (!ffi || ffi == s->global->ffi) return s->global;
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->space_ffis, (const char *)ffi);
  return e ? Tcl_GetHashValue(e) : NULL;
}

/* ---- what is wrong --------------------------------------------------------------------------- */

void gst_append_looked_in(Tcl_Obj *message, const gst_space *sp) {
  if (sp->id)
    Tcl_AppendStringsToObj(message, "; looked in ", Tcl_GetString(sp->name), ", then in ::", NULL);
  else
    Tcl_AppendToObj(message, "; looked in ::", -1);
}

int gst_space_error(Tcl_Interp *interp, const gst_space *sp, const gs_ffi_error *err,
                    const char *subject) {
  static const char *const unknown[] = {"expected a type name", "expected a constant",
                                        "is not declared", "is not defined"};
  int code = gst_ffi_error(interp, err, subject);
  for (size_t i = 0; sp->state && i < sizeof(unknown) / sizeof(unknown[0]); i++)
    if ((err->code == GS_EDECL || err->code == GS_ETYPE) && strstr(err->text, unknown[i])) {
      Tcl_Obj *message = Tcl_DuplicateObj(Tcl_GetObjResult(interp));
      gst_append_looked_in(message, sp);
      Tcl_SetObjResult(interp, message);
      break;
    }
  return code;
}
