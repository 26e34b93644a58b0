/* memory.c: gosched::new and gosched::free, and what looks into memory.
 *
 * What gosched::new makes is a gs_mem with a serial number (pointer.c): every access through its
 * pointer is checked for its end and for having been freed.  A pointer that C has given is checked
 * for its type and for NULL only: how much there is behind it nobody knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static gst_conversion conversion(Tcl_Interp *interp, gst_state *s, const char *subject) {
  return (gst_conversion){interp, s, NULL, 0, subject, NULL, false, gst_space_here(s)};
}

/* The pointer that an argument must be. */
static int get_pointer(gst_conversion *c, Tcl_Obj *value, gst_pointer *p) {
  switch (gst_parse_pointer(c, value, p)) {
    case GST_POINTER: return TCL_OK;
    case GST_BAD_POINTER: return TCL_ERROR;
    default:
      return gst_error(c->interp,
                       Tcl_ObjPrintf("%s: a pointer, as in \"(int *)0x1000\", expected, got "
                                     "\"%.60s\"",
                                     c->subject, Tcl_GetString(value)),
                       "TYPE", c->subject, NULL);
  }
}

static int get_type(Tcl_Interp *interp, gst_space *sp, Tcl_Obj *name, const gs_type **type) {
  gs_ffi_error err;
  if (gst_type(sp, Tcl_GetString(name), type, &err) == GS_OK) return TCL_OK;
  return gst_space_error(interp, sp, &err, Tcl_GetString(name));
}

Tcl_Obj *gst_pointer_type_name(const gs_type *target) {
  const char *name = target ? gs_type_name(target) : "void", *paren;
  if (target && gs_type_kind(target) == GS_KIND_ARRAY)
    return gst_pointer_type_name(gs_type_target(target));
  if (target && gs_type_kind(target) == GS_KIND_FUNCTION && (paren = strchr(name, '(')))
    return Tcl_ObjPrintf("%.*s(*)%s", (int)(paren - name), name, paren);
  if ((paren = strstr(name, "(*"))) /* a pointer to a function or an array: one star more */
    return Tcl_ObjPrintf("%.*s(**%s", (int)(paren - name), name, paren + 2);
  return Tcl_ObjPrintf("%s *", name);
}

static Tcl_Obj *pointer_to(gst_state *s, const gs_type *target, const void *address,
                           uint64_t serial) {
  Tcl_Obj *name = gst_pointer_type_name(target);
  Tcl_IncrRefCount(name);
  Tcl_Obj *obj = gst_pointer_obj(s, Tcl_GetString(name), target, address, serial);
  Tcl_DecrRefCount(name);
  return obj;
}

/* ---- new and free ---------------------------------------------------------------------------- */

static int new_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  const gs_type *type;
  gs_ffi_error err;
  gs_mem *mem;
  Tcl_WideInt n = 1;
  if (objc != 2 && objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "ctype ?n?");
    return TCL_ERROR;
  }
  gst_space *sp = gst_space_here(s);
  if (get_type(interp, sp, objv[1], &type) != TCL_OK) return TCL_ERROR;
  if (objc == 3 &&
      (Tcl_GetWideIntFromObj(NULL, objv[2], &n) != TCL_OK || n < 1 || n > ((Tcl_WideInt)1 << 40)))
    return gst_error(
        interp,
        Tcl_ObjPrintf("n is \"%.60s\", expected a whole number from 1 on", Tcl_GetString(objv[2])),
        "ARGUMENT", "n", NULL);
  while (gs_type_kind(type) == GS_KIND_ARRAY && gs_type_length(type)) {
    if (gs_type_length(type) > (size_t)INT64_MAX / (size_t)n) return gst_no_memory(interp);
    n *= (Tcl_WideInt)gs_type_length(type);
    type = gs_type_target(type);
  }
  if (gs_mem_new(sp->ffi, type, (size_t)n, &mem, &err) != GS_OK)
    return gst_ffi_error(interp, &err, Tcl_GetString(objv[1]));
  gst_block *b = gst_block_new(s, sp, mem, NULL);
  if (!b) {
    gs_mem_release(mem);
    return gst_no_memory(interp);
  }
  Tcl_SetObjResult(interp, pointer_to(s, type, gs_mem_addr(mem), b->serial));
  return TCL_OK;
}

static int free_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gst_conversion c = conversion(interp, s, "gosched::free");
  gst_pointer p;
  gs_ffi_error err;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer");
    return TCL_ERROR;
  }
  if (get_pointer(&c, objv[1], &p) != TCL_OK) return TCL_ERROR;
  if (!p.block)
    return gst_error(interp,
                     Tcl_ObjPrintf("gosched::free: \"%.60s\" is not from gosched::new or "
                                   "gosched::callback; who made it frees it",
                                   Tcl_GetString(objv[1])),
                     "FFI", "FOREIGN", NULL);
  if (p.block->mem) {
    int e = gs_mem_free(p.block->mem, &err);
    if (e == GS_EBUSY)
      return gst_error(
          interp,
          Tcl_ObjPrintf("gosched::free: a foreign call uses \"%.60s\" now", Tcl_GetString(objv[1])),
          "FFI", "BUSY", NULL);
    gs_mem_release(p.block->mem);
  } else {
    gst_callback_free(p.block->callback);
  }
  Tcl_DeleteHashEntry(Tcl_FindHashEntry(&s->blocks, (char *)(uintptr_t)p.serial));
  gst_block_free(p.block);
  return TCL_OK;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Memory to look into: what the pointer points to, as far as that is known. */
static int memory_of(gst_conversion *c, Tcl_Obj *value, gst_pointer *p, gs_mem **mem) {
  gs_ffi_error err;
  if (get_pointer(c, value, p) != TCL_OK) return TCL_ERROR;
  const gs_type *target = gs_type_target(p->type);
  if (!p->address)
    return gst_error(c->interp,
                     Tcl_ObjPrintf("%s: \"%.60s\" is null", c->subject, Tcl_GetString(value)),
                     "FFI", "NULL", NULL);
  size_t size = gs_type_size(target);
  if (!size)
    return gst_error(c->interp,
                     Tcl_ObjPrintf("%s: nobody knows the size of what '%s' points to; use "
                                   "gosched::cast first",
                                   c->subject, gs_type_name(p->type)),
                     "TYPE", c->subject, NULL);
  size_t n = ((size_t)1 << 40) / size;
  if (p->block && p->block->mem) {
    const char *end = (const char *)gs_mem_addr(p->block->mem) + gs_mem_size(p->block->mem);
    n = (size_t)(end - (const char *)p->address) / size;
  }
  if (n == 0)
    return gst_error(c->interp,
                     Tcl_ObjPrintf("%s: \"%.60s\" points behind the end of its memory", c->subject,
                                   Tcl_GetString(value)),
                     "FFI", "RANGE", NULL);
  if (gs_mem_from(p->space->ffi, p->address, target, n, NULL, mem, &err) == GS_OK) return TCL_OK;
  return gst_ffi_error(c->interp, &err, c->subject);
}

static int place_of(gst_conversion *c, gs_mem *mem, Tcl_Obj *path, gs_place *place) {
  gs_ffi_error err;
  size_t index = 0;
  const char *text = path ? Tcl_GetString(path) : "";
  if (*text == '[') { /* an element first */
    char *end;
    index = strtoul(text + 1, &end, 10);
    if (*end != ']' || end == text + 1 || text[1] == '-')
      return gst_error(c->interp,
                       Tcl_ObjPrintf("%s: \"%.60s\" is no path, as in \"[2].x\"", c->subject, text),
                       "ARGUMENT", "path", NULL);
    text = end + 1;
    if (*text == '.') text++;
  }
  int e = gs_mem_at(mem, index, text, place, &err);
  if (e == GS_OK) return TCL_OK;
  return gst_error(c->interp, Tcl_ObjPrintf("%s: %s", c->subject, err.text), "FFI", "RANGE", NULL);
}

static int get_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gst_conversion c = conversion(interp, s, "gosched::get");
  gst_pointer p;
  gs_mem *mem;
  gs_place place;
  if (objc != 2 && objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer ?path?");
    return TCL_ERROR;
  }
  if (memory_of(&c, objv[1], &p, &mem) != TCL_OK) return TCL_ERROR;
  int code = place_of(&c, mem, objc == 3 ? objv[2] : NULL, &place);
  if (code == TCL_OK) {
    Tcl_SetObjResult(
        interp, place.bit_width
                    ? gst_bits_to_tcl(s, place.type, place.addr, place.bit_first, place.bit_width)
                    : gst_to_tcl(s, NULL, place.type, place.addr, place.size));
  }
  gs_mem_release(mem);
  return code;
}

static int put_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  gst_conversion c = conversion(interp, s, "gosched::put");
  gst_pointer p;
  gs_mem *mem;
  gs_place place;
  if (objc != 3 && objc != 4) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer ?path? value");
    return TCL_ERROR;
  }
  if (memory_of(&c, objv[1], &p, &mem) != TCL_OK) return TCL_ERROR;
  int code = place_of(&c, mem, objc == 4 ? objv[2] : NULL, &place);
  Tcl_Obj *value = objv[objc - 1];
  if (code == TCL_OK && place.is_const)
    code = gst_error(interp, Tcl_ObjPrintf("gosched::put: '%s' is const", gs_type_name(place.type)),
                     "TYPE", "gosched::put", NULL);
  if (code == TCL_OK) {
    if (place.bit_width)
      code = gst_bits_to_c(&c, value, place.type, place.addr, place.bit_first, place.bit_width);
    else if (gst_is_aggregate(place.type))
      code = gst_aggregate_to_c(&c, value, place.type, place.addr, place.size);
    else
      code = gst_to_c(&c, value, place.type, place.addr);
  }
  gs_mem_release(mem);
  return code;
}

/* ---- texts and bytes ------------------------------------------------------------------------- */

/* How many bytes may be used behind a pointer; false: nobody knows. */
static bool room_of(const gst_pointer *p, size_t *n) {
  if (!p->block || !p->block->mem) return false;
  const char *end = (const char *)gs_mem_addr(p->block->mem) + gs_mem_size(p->block->mem);
  *n = (size_t)(end - (const char *)p->address);
  return true;
}

/* A pointer to `n` bytes at least. */
static int get_bytes(gst_conversion *c, Tcl_Obj *value, size_t n, gst_pointer *p) {
  size_t room;
  if (get_pointer(c, value, p) != TCL_OK) return TCL_ERROR;
  if (!p->address)
    return gst_error(c->interp,
                     Tcl_ObjPrintf("%s: \"%.60s\" is null", c->subject, Tcl_GetString(value)),
                     "FFI", "NULL", NULL);
  if (!room_of(p, &room) || n <= room) return TCL_OK;
  return gst_error(c->interp,
                   Tcl_ObjPrintf("%s: there are %lu bytes behind \"%.60s\", not %lu", c->subject,
                                 (unsigned long)room, Tcl_GetString(value), (unsigned long)n),
                   "FFI", "RANGE", NULL);
}

static int get_size(Tcl_Interp *interp, Tcl_Obj *value, const char *name, size_t *n) {
  Tcl_WideInt v;
  if (Tcl_GetWideIntFromObj(NULL, value, &v) != TCL_OK || v < 0 || v > INT32_MAX)
    return gst_error(interp,
                     Tcl_ObjPrintf("%s is \"%.60s\", expected a whole number (0 to %d)", name,
                                   Tcl_GetString(value), INT32_MAX),
                     "ARGUMENT", name, NULL);
  *n = (size_t)v;
  return TCL_OK;
}

static int text_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  static const char *const options[] = {"-encoding", "-length", NULL};
  gst_conversion c = conversion(interp, state, "gosched::text");
  Tcl_Encoding encoding = NULL;
  gst_pointer p;
  size_t n = 0, room;
  bool length = false;
  int option, code = TCL_OK;
  if (objc < 2 || objc % 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer ?-encoding name? ?-length bytes?");
    return TCL_ERROR;
  }
  for (int i = 2; i < objc && code == TCL_OK; i += 2) {
    code = Tcl_GetIndexFromObj(interp, objv[i], options, "option", 0, &option);
    if (code == TCL_OK && option == 0) {
      if (encoding) Tcl_FreeEncoding(encoding);
      if (!(encoding = Tcl_GetEncoding(interp, Tcl_GetString(objv[i + 1])))) code = TCL_ERROR;
    } else if (code == TCL_OK) {
      length = true;
      code = get_size(interp, objv[i + 1], "-length", &n);
    }
  }
  if (code == TCL_OK) code = get_bytes(&c, objv[1], n, &p);
  if (code == TCL_OK) {
    if (!length) n = room_of(&p, &room) ? strnlen(p.address, room) : strlen(p.address);
    Tcl_SetObjResult(interp, gst_text_to_tcl(encoding, p.address, (Tcl_Size)n));
  }
  if (encoding) Tcl_FreeEncoding(encoding);
  return code;
}

static int bytes_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_conversion c = conversion(interp, state, "gosched::bytes");
  gst_pointer p;
  size_t n;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer n");
    return TCL_ERROR;
  }
  if (get_size(interp, objv[2], "n", &n) != TCL_OK || get_bytes(&c, objv[1], n, &p) != TCL_OK)
    return TCL_ERROR;
  Tcl_SetObjResult(interp, Tcl_NewByteArrayObj(p.address, (Tcl_Size)n));
  return TCL_OK;
}

static int copy_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_conversion c = conversion(interp, state, "gosched::copy");
  gst_pointer p;
  Tcl_DString ds;
  Tcl_Size n;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer bytes");
    return TCL_ERROR;
  }
  const char *bytes = gst_bytes_of(objv[2], NULL, &ds, &n);
  int code = get_bytes(&c, objv[1], (size_t)n, &p);
  if (code == TCL_OK) memcpy(p.address, bytes, (size_t)n);
  Tcl_DStringFree(&ds);
  return code;
}

/* ---- pointers and types ---------------------------------------------------------------------- */

static int cast_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_conversion c = conversion(interp, state, "gosched::cast");
  const gs_type *type;
  gst_pointer p = {0};
  Tcl_WideInt address;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "ctype pointer");
    return TCL_ERROR;
  }
  if (get_type(interp, c.space, objv[1], &type) != TCL_OK) return TCL_ERROR;
  if (gs_type_kind(type) != GS_KIND_POINTER)
    return gst_error(
        interp,
        Tcl_ObjPrintf("gosched::cast: '%s' is not the type of a pointer", gs_type_name(type)),
        "TYPE", "gosched::cast", NULL);
  if (Tcl_GetWideIntFromObj(NULL, objv[2], &address) == TCL_OK)
    p.address = (void *)(uintptr_t)address;
  else if (get_pointer(&c, objv[2], &p) != TCL_OK)
    return TCL_ERROR;
  Tcl_SetObjResult(interp, gst_pointer_obj(state, gs_type_name(type), type, p.address, p.serial));
  return TCL_OK;
}

static int offput_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_conversion c = conversion(interp, state, "gosched::offset");
  gst_pointer p;
  Tcl_WideInt n;
  size_t room;
  if (objc != 3) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer n");
    return TCL_ERROR;
  }
  if (get_pointer(&c, objv[1], &p) != TCL_OK ||
      Tcl_GetWideIntFromObj(interp, objv[2], &n) != TCL_OK)
    return TCL_ERROR;
  size_t size = gs_type_size(gs_type_target(p.type));
  char *to = (char *)p.address + n * (Tcl_WideInt)(size ? size : 1);
  if (room_of(&p, &room) &&
      (to < (char *)gs_mem_addr(p.block->mem) || to > (char *)p.address + room))
    return gst_error(interp,
                     Tcl_ObjPrintf("gosched::offset: that is not in the memory of \"%.60s\"",
                                   Tcl_GetString(objv[1])),
                     "FFI", "RANGE", NULL);
  Tcl_SetObjResult(interp, gst_pointer_obj(state, gs_type_name(p.type), p.type, to, p.serial));
  return TCL_OK;
}

static int isnull_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_conversion c = conversion(interp, state, "gosched::isnull");
  gst_pointer p;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "pointer");
    return TCL_ERROR;
  }
  if (get_pointer(&c, objv[1], &p) != TCL_OK) return TCL_ERROR;
  Tcl_SetObjResult(interp, Tcl_NewBooleanObj(!p.address));
  return TCL_OK;
}

static int sizeof_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  const gs_type *type;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "ctype");
    return TCL_ERROR;
  }
  if (get_type(interp, gst_space_here(state), objv[1], &type) != TCL_OK) return TCL_ERROR;
  Tcl_SetObjResult(interp, Tcl_NewWideIntObj((Tcl_WideInt)gs_type_size(type)));
  return TCL_OK;
}

static int constant_cmd(ClientData state, Tcl_Interp *interp, int objc, Tcl_Obj *const objv[]) {
  gst_state *s = state;
  if (objc != 2) {
    Tcl_WrongNumArgs(interp, 1, objv, "name");
    return TCL_ERROR;
  }
  const gst_space *sp = gst_space_here(s);
  const gs_decl *d = gs_ffi_find(sp->ffi, Tcl_GetString(objv[1]));
  if (!d || gs_decl_what(d) != GS_DECL_CONSTANT) {
    Tcl_Obj *message =
        Tcl_ObjPrintf("\"%.60s\" is not declared as a constant", Tcl_GetString(objv[1]));
    gst_append_looked_in(message, sp);
    return gst_error(interp, message, "NAME", Tcl_GetString(objv[1]), NULL);
  }
  Tcl_SetObjResult(interp, Tcl_NewWideIntObj(gs_decl_value(d)));
  return TCL_OK;
}

void gst_memory_init(gst_state *s) {
  static const struct {
    const char *name;
    Tcl_ObjCmdProc *proc;
  } commands[] = {
      {"::gosched::new", new_cmd},       {"::gosched::free", free_cmd},
      {"::gosched::get", get_cmd},       {"::gosched::put", put_cmd},
      {"::gosched::text", text_cmd},     {"::gosched::bytes", bytes_cmd},
      {"::gosched::copy", copy_cmd},     {"::gosched::cast", cast_cmd},
      {"::gosched::offset", offput_cmd}, {"::gosched::isnull", isnull_cmd},
      {"::gosched::sizeof", sizeof_cmd}, {"::gosched::constant", constant_cmd},
  };
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    Tcl_CreateObjCommand(s->interp, commands[i].name, commands[i].proc, s, NULL);
}
