/* pointer.c: C pointers as Tcl values.
 *
 * A pointer is written as a C cast, "(struct node *)0x55d0c8a3", so it carries its type, and is
 * accepted where C would accept it without a cast.  One that points into memory which gosched::new
 * has made, or to a function of gosched::callback, has a serial number behind it, "…#12".  Such a
 * pointer is checked whenever it is used: after gosched::free its number is unknown for ever, also
 * if the address has been given to something else meanwhile.  Serial numbers are the process's, so
 * those of another interpreter are never taken for one's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static uint64_t last_serial; /* atomic */

int gst_type(gst_state *s, const char *text, const gs_type **out, gs_ffi_error *err) {
  int isnew;
  Tcl_HashEntry *e = Tcl_FindHashEntry(&s->types, text);
  if (e) {
    *out = Tcl_GetHashValue(e);
    return GS_OK;
  }
  int code = gs_ffi_type(s->ffi, text, out, err);
  if (code == GS_OK) Tcl_SetHashValue(Tcl_CreateHashEntry(&s->types, text, &isnew), (void *)*out);
  return code;
}

Tcl_Obj *gst_pointer_obj(const char *type_name, const void *address, uint64_t serial) {
  char text[64];
  if (serial)
    snprintf(text, sizeof(text), "0x%llx#%llu", (unsigned long long)(uintptr_t)address,
             (unsigned long long)serial);
  else
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)(uintptr_t)address);
  return Tcl_ObjPrintf("(%s)%s", type_name, text);
}

gst_block *gst_block_new(gst_state *s, gs_mem *mem, struct gst_callback *callback) {
  int isnew;
  gst_block *b = calloc(1, sizeof(*b));
  if (!b) return NULL;
  b->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
  b->mem = mem;
  b->callback = callback;
  Tcl_SetHashValue(Tcl_CreateHashEntry(&s->blocks, (char *)(uintptr_t)b->serial, &isnew), b);
  return b;
}

static int stale(gst_conversion *c, Tcl_Obj *value) {
  return gst_error(c->interp,
                   Tcl_ObjPrintf("%s: the pointer \"%.80s\" is not valid: what it pointed to was "
                                 "freed, or belongs to another interpreter",
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
  unsigned long long n = strtoull(close + 1, &end, 16), serial = 0;
  if (end == close + 3 || errno) return GST_NO_POINTER;
  if (*end == '#') {
    const char *digits = end + 1;
    serial = strtoull(digits, &end, 10);
    if (end == digits || !serial || errno) return GST_NO_POINTER;
  }
  if (*end) return GST_NO_POINTER;
  char *name = strndup(text + 1, (size_t)(close - text - 1));
  gs_ffi_error err;
  int e = name ? gst_type(c->state, name, &out->type, &err) : GS_ENOMEM;
  free(name);
  if (e != GS_OK || gs_type_kind(out->type) != GS_KIND_POINTER) return GST_NO_POINTER;
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
    free(b);
  }
}
