/* arena.c: memory that goes away together.
 *
 * Everything that a gs_ffi learns from declarations lives as long as the gs_ffi, so it is allocated
 * from chunks that are never freed singly.  A cdef that fails must leave no trace: it takes a mark
 * first and gives back what lies above it.
 */
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

#define CHUNK 8192
#define ALIGN (_Alignof(max_align_t))

struct gsf_chunk {
  gsf_chunk *below;
  size_t used, size;
  _Alignas(max_align_t) char data[];
};

void *gsf_alloc(gsf_arena *a, size_t size) {
  if (size > SIZE_MAX / 2) return NULL;
  size = (size + ALIGN - 1) & ~(ALIGN - 1);
  gsf_chunk *c = a->top;
  if (!c || c->size - c->used < size) {
    size_t room = size > CHUNK ? size : CHUNK;
    c = malloc(sizeof(*c) + room);
    if (!c) return NULL;
    c->below = a->top;
    c->used = 0;
    c->size = room;
    a->top = c;
  }
  void *p = c->data + c->used;
  c->used += size;
  return memset(p, 0, size);
}

char *gsf_copy(gsf_arena *a, const char *text, size_t length) {
  char *p = gsf_alloc(a, length + 1);
  if (p) memcpy(p, text, length);
  return p;
}

gsf_mark gsf_arena_mark(const gsf_arena *a) {
  return (gsf_mark){a->top, a->top ? a->top->used : 0};
}

void gsf_arena_rollback(gsf_arena *a, gsf_mark mark) {
  while (a->top != mark.top) {
    gsf_chunk *c = a->top;
    a->top = c->below;
    free(c);
  }
  if (a->top) a->top->used = mark.used;
}

void gsf_arena_free(gsf_arena *a) { gsf_arena_rollback(a, (gsf_mark){NULL, 0}); }
