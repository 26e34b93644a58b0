/* layout_of.c: prints the layouts that gs_ffi_cdef gives the types of a file, for
 * random_layouts.py, which compares them with the compiler's.
 *
 *   layout_of FILE
 *
 * A line for each typedef, "name size alignment", and one for each member with a name, members of
 * members too: "name.path offset" in bytes, or "name.path bit width" for a bit-field, whose lowest
 * bit is so many above the start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gosched_ffi.h"

static char *read_all(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  size_t size = 0, room = 1 << 20;
  char *text = malloc(room);
  for (size_t n; text && (n = fread(text + size, 1, room - size - 1, f)) > 0;) {
    size += n;
    if (size > room / 2) text = realloc(text, room *= 2);
  }
  fclose(f);
  if (text) text[size] = 0;
  return text;
}

static void members(const char *path, const gs_type *type, size_t at) {
  const gs_field *f;
  for (size_t i = 0; (f = gs_type_field(type, i)) != NULL; i++) {
    char name[512];
    const char *own = gs_field_name(f);
    unsigned first = 0, bits = gs_field_bits(f, &first);
    size_t offset = at + gs_field_offset(f);
    snprintf(name, sizeof name, own ? "%s.%s" : "%s", path, own ? own : "");
    if (own && bits)
      printf("%s bit %zu %u\n", name, offset * 8 + first, bits);
    else if (own)
      printf("%s %zu\n", name, offset);
    if (strstr(gs_type_name(gs_field_type(f)), "int128")) continue; /* two words to us */
    if (!bits && gs_type_kind(gs_field_type(f)) == GS_KIND_STRUCT)
      members(name, gs_field_type(f), offset);
  }
}

int main(int argc, char **argv) {
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  char *text = argc == 2 ? read_all(argv[1]) : NULL;
  if (!text || !ffi) {
    fprintf(stderr, "usage: layout_of FILE, which can be read\n");
    return 2;
  }
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) {
    fprintf(stderr, "%s:%d:%d: %s\n", argv[1], err.line, err.column, err.text);
    return 1;
  }
  for (size_t i = 0; i < gs_ffi_ndecls(ffi); i++) {
    const gs_decl *d = gs_ffi_decl(ffi, i);
    if (gs_decl_what(d) != GS_DECL_TYPEDEF) continue;
    const gs_type *type = gs_decl_type(d);
    printf("%s %zu %zu\n", gs_decl_name(d), gs_type_size(type), gs_type_align(type));
    if (gs_type_kind(type) == GS_KIND_STRUCT) members(gs_decl_name(d), type, 0);
  }
  gs_ffi_free(ffi);
  free(text);
  return 0;
}
