/* cdef.c: gs_ffi_cdef with whatever bytes; for libFuzzer, and for replay.c.
 *
 * Beyond not crashing: an error has a code, a place and a sentence; either all of the declarations
 * are taken or none; what is declared can be looked at to the last member; members lie inside their
 * struct; and the name of a type, parsed again, is that type.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gosched_ffi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                    \
  do {                                                                \
    if (!(x)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
      abort();                                                        \
    }                                                                 \
  } while (0)

static void look_at(const gs_type *t, int depth);

static void look_at_members(const gs_type *t, int depth) {
  const gs_field *f;
  for (size_t i = 0; (f = gs_type_field(t, i)) != NULL; i++) {
    const gs_type *of = gs_field_type(f);
    unsigned first = 0, bits = gs_field_bits(f, &first);
    if (!gs_field_name(f) && gs_type_kind(of) != GS_KIND_STRUCT) continue; /* padding */
    size_t end =
        bits ? gs_field_offset(f) + (first + bits + 7) / 8 : gs_field_offset(f) + gs_type_size(of);
    REQUIRE(end <= gs_type_size(t));
    if (gs_field_name(f)) REQUIRE(*gs_field_name(f));
    look_at(of, depth + 1);
  }
}

static void look_at(const gs_type *t, int depth) {
  REQUIRE(t && gs_type_name(t));
  size_t align = gs_type_align(t);
  REQUIRE(align == 0 || (align & (align - 1)) == 0);
  REQUIRE(gs_type_same(t, t));
  if (depth > 4) return;
  if (gs_type_target(t)) look_at(gs_type_target(t), depth + 1);
  for (size_t i = 0; gs_type_kind(t) == GS_KIND_FUNCTION && i < gs_type_length(t); i++)
    look_at(gs_type_param(t, i), depth + 1);
  if (gs_type_kind(t) == GS_KIND_STRUCT) look_at_members(t, depth);
}

/* Structs without a tag have no spelling. */
static void spell_again(gs_ffi *ffi, const gs_type *t) {
  const gs_type *again = NULL;
  gs_ffi_error err;
  if (strpbrk(gs_type_name(t), "<{")) return;
  if (gs_ffi_type(ffi, gs_type_name(t), &again, &err) != GS_OK) return;
  REQUIRE(gs_type_same(t, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  gs_ffi *ffi = gs_ffi_new();
  gs_ffi_error err;
  if (!text || !ffi) abort();
  memcpy(text, data, size);
  text[size] = 0;
  int code = gs_ffi_cdef(ffi, text, &err);
  REQUIRE(code == err.code);
  if (code != GS_OK) {
    REQUIRE(code == GS_EDECL || code == GS_ETYPE);
    REQUIRE(err.line >= 1 && err.column >= 1 && err.text[0]);
    REQUIRE(strlen(err.text) < sizeof err.text);
    REQUIRE(gs_ffi_ndecls(ffi) == 0);
  }
  for (size_t i = 0; i < gs_ffi_ndecls(ffi); i++) {
    const gs_decl *d = gs_ffi_decl(ffi, i);
    REQUIRE(gs_ffi_find(ffi, gs_decl_name(d)) != NULL);
    look_at(gs_decl_type(d), 0);
    if (i < 32) spell_again(ffi, gs_decl_type(d));
  }
  gs_ffi_free(ffi);
  free(text);
  return 0;
}
