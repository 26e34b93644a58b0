/* pointer.c: C pointers as Tcl values.
 *
 * A pointer is written as a C cast, "(struct node *)0x55d0c8a3", so it carries its type, and is
 * accepted where C would accept it without a cast.  One that points into memory which gosched::new
 * has made, or to a function of gosched::callback, has a serial number behind it, "…#12".  Such a
 * pointer is checked whenever it is used: after gosched::free its number is unknown for ever, also
 * if the address has been given to something else meanwhile.  Serial numbers are the process's, so
 * those of another interpreter are never taken for one's own.  For "…@3" see space.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static uint64_t last_serial; /* atomic */

Tcl_Obj *gst_pointer_obj(gst_state *s, const char *type_name, const gs_type *type,
                         const void *address, uint64_t serial) {
  char text[96];
  int n = snprintf(text, sizeof(text), "0x%llx", (unsigned long long)(uintptr_t)address);
  if (serial)
    n += snprintf(text + n, sizeof(text) - (size_t)n, "#%llu", (unsigned long long)serial);
  const gst_space *sp = type ? gst_type_space(s, type) : s->global;
  if (!sp || sp->id) /* 0 is nobody's number */
    snprintf(text + n, sizeof(text) - (size_t)n, "@%llu", sp ? (unsigned long long)sp->id : 0);
  return Tcl_ObjPrintf("(%s)%s", type_name, text);
}

gst_block *gst_block_new(gst_state *s, gst_space *sp, gs_mem *mem, struct gst_callback *callback) {
  int isnew;
  gst_block *b = calloc(1, sizeof(*b));
  if (!b) return NULL;
  b->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
  b->mem = mem;
  b->callback = callback;
  b->space = gst_space_hold(sp);
  Tcl_SetHashValue(Tcl_CreateHashEntry(&s->blocks, (char *)(uintptr_t)b->serial, &isnew), b);
  return b;
}

void gst_block_free(gst_block *b) {
  gst_space_drop(b->space);
  free(b);
}

static int stale(gst_conversion *c, Tcl_Obj *value) {
  return gst_error(c->interp,
                   Tcl_ObjPrintf("%s: the pointer \"%.80s\" is not valid: what it pointed to was "
                                 "freed, or belongs to another interpreter",
                                 c->subject, Tcl_GetString(value)),
                   "FFI", "FREED", NULL);
}

static int gone(gst_conversion *c, Tcl_Obj *value) {
  return gst_error(c->interp,
                   Tcl_ObjPrintf("%s: the type of the pointer \"%.80s\" is not known any more: the "
                                 "namespace that has declared it was deleted, or belongs to "
                                 "another interpreter",
                                 c->subject, Tcl_GetString(value)),
                   "FFI", "FREED", NULL);
}

/* Whether the block has that address; one behind its end is fine for a pointer. */
static bool inside(const gst_block *b, const void *address) {
  if (b->callback) return gst_callback_matches(b->callback, address);
  const char *start = gs_mem_addr(b->mem), *at = address;
  return start && at >= start && at <= start + gs_mem_size(b->mem);
}

gst_parsed gst_parse_pointer(gst_conversion *c, Tcl_Obj *value, gst_pointer *out) {
  const char *text = Tcl_GetString(value), *close = strrchr(text, ')');
  if (*text != '(' || !close || strncmp(close, ")0x", 3) != 0) return GST_NO_POINTER;
  char *end;
  errno = 0;
  unsigned long long n = strtoull(close + 1, &end, 16), serial = 0, id = 0;
  if (end == close + 3 || errno) return GST_NO_POINTER;
  if (*end == '#') {
    const char *digits = end + 1;
    serial = strtoull(digits, &end, 10);
    if (end == digits || !serial || errno) return GST_NO_POINTER;
  }
  bool numbered = *end == '@';
  if (numbered) {
    const char *digits = end + 1;
    id = strtoull(digits, &end, 10);
    if (end == digits || errno) return GST_NO_POINTER;
  }
  if (*end) return GST_NO_POINTER;
  out->space = numbered ? gst_space_numbered(c->state, id) : c->space;
  if (!out->space) {
    gone(c, value);
    return GST_BAD_POINTER;
  }
  char *name = strndup(text + 1, (size_t)(close - text - 1));
  gs_ffi_error err;
  if (!name)
    out->space = NULL;
  else if (!numbered)
    out->space = gst_value_type(c->state, c->space, name, &out->type);
  else if (gst_type(out->space, name, &out->type, &err) != GS_OK)
    out->space = NULL;
  free(name);
  if (!out->space || gs_type_kind(out->type) != GS_KIND_POINTER) return GST_NO_POINTER;
  out->address = (void *)(uintptr_t)n;
  out->serial = serial;
  out->block = NULL;
  if (!serial) return GST_POINTER;
  Tcl_HashEntry *entry = Tcl_FindHashEntry(&c->state->blocks, (char *)(uintptr_t)out->serial);
  if (entry) out->block = Tcl_GetHashValue(entry);
  if (!out->block || !inside(out->block, out->address)) {
    stale(c, value);
    return GST_BAD_POINTER;
  }
  return GST_POINTER;
}

void gst_blocks_free(gst_state *s) {
  Tcl_HashSearch search;
  Tcl_HashEntry *e;
  while ((e = Tcl_FirstHashEntry(&s->blocks, &search))) {
    gst_block *b = Tcl_GetHashValue(e);
    Tcl_DeleteHashEntry(e);
    if (b->mem) gs_mem_release(b->mem);
    if (b->callback) gst_callback_free(b->callback);
    gst_block_free(b);
  }
}
