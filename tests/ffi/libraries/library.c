/* library.c: see library.h. */
#include "library.h"

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

bool library_open(library *l, const char *header, const char *soname) {
  gs_ffi_error err;
  char *text = read_all(header);
  assert_non_null(text);
  l->ffi = gs_ffi_new();
  assert_non_null(l->ffi);
  if (gs_ffi_cdef(l->ffi, text, &err) != GS_OK)
    fail_msg("%s:%d:%d: %s", header, err.line, err.column, err.text);
  free(text);
  if (gs_ffi_load(l->ffi, soname, &l->lib, &err) == GS_OK) return true;
  print_message("left out: %s\n", err.text);
  return false;
}

void library_close(library *l) {
  gs_ffi_free(l->ffi);
  l->ffi = NULL;
}

gs_func *library_func(const library *l, const char *name) {
  gs_func *f = NULL;
  gs_ffi_error err;
  if (gs_ffi_func(l->lib, name, &f, &err) != GS_OK) fprintf(stderr, "%s\n", err.text);
  CHECK(f != NULL);
  return f;
}

gs_func *library_variadic(const library *l, const char *name, const char *type) {
  const gs_type *extra = NULL;
  gs_func *f = NULL;
  gs_ffi_error err;
  CHECK_CODE(gs_ffi_type(l->ffi, type, &extra, &err), GS_OK);
  if (gs_func_variadic_shape(library_func(l, name), &extra, 1, &f, &err) != GS_OK)
    fprintf(stderr, "%s\n", err.text);
  CHECK(f != NULL);
  return f;
}

int64_t library_constant(const library *l, const char *name) {
  const gs_decl *d = gs_ffi_find(l->ffi, name);
  CHECK(d && gs_decl_what(d) == GS_DECL_CONSTANT);
  return d ? gs_decl_value(d) : 0;
}
