/* layout.c: sizes and offsets, as the System V ABIs of amd64 and arm64 have them.
 *
 * Positions are counted in bits (GSF_MAX_SIZE leaves room).  A bit-field goes directly behind its
 * neighbour unless it would then lie across a boundary of its own type; one of width 0 moves on to
 * the next such boundary.  An unnamed bit-field does not align the struct on amd64, but does on
 * arm64.  packed, of the struct or of a member, makes alignments 1 that no attribute of the member
 * raises again.
 */
#include "ffi_internal.h"

#if defined(__aarch64__) || defined(__arm__)
#define UNNAMED_BITS_ALIGN true
#else
#define UNNAMED_BITS_ALIGN false
#endif

typedef struct state {
  uint64_t bit; /* where the next member may begin */
  uint64_t end; /* of the member that reaches farthest */
  size_t align;
  bool is_union, packed;
} state;

static uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static void place_bits(state *s, gs_field *f) {
  const gs_type *c = f->type->canon;
  uint64_t unit = c->size * 8;
  bool packed = s->packed || f->packed;
  if (f->bit_width == 0) {
    s->bit = up(s->bit, unit);
    if (UNNAMED_BITS_ALIGN && c->align > s->align) s->align = c->align;
  } else {
    if (!packed && s->bit / unit != (s->bit + f->bit_width - 1) / unit) s->bit = up(s->bit, unit);
    if (!packed && (f->name || UNNAMED_BITS_ALIGN) && c->align > s->align) s->align = c->align;
  }
  uint64_t home = packed ? s->bit / 8 : s->bit / unit * c->size;
  f->offset = home;
  f->bit_first = (unsigned)(s->bit - home * 8);
  s->bit += f->bit_width;
}

static void place(state *s, gs_field *f) {
  const gs_type *c = f->type->canon;
  size_t align = s->packed || f->packed ? 1 : gsf_align(f->type);
  if (f->align > align) align = f->align;
  s->bit = up(s->bit, (uint64_t)align * 8);
  f->offset = s->bit / 8;
  s->bit += (uint64_t)c->size * 8;
  if (align > s->align) s->align = align;
}

int gsf_layout(gs_type *t, gs_field *fields, size_t n, size_t align, bool packed, size_t *bad) {
  state s = {.align = 1, .is_union = t->flags & GS_TYPE_UNION, .packed = packed};
  unsigned flags = packed ? GS_TYPE_PACKED : 0;
  unsigned depth = 0;
  for (size_t i = 0; i < n; i++) {
    gs_field *f = &fields[i];
    const gs_type *c = f->type->canon;
    *bad = i;
    if (s.is_union) s.bit = 0;
    if (c->flags & GS_TYPE_INCOMPLETE) flags |= GS_TYPE_FLEXIBLE;
    if (c->kind == GS_KIND_STRUCT && (c->flags & GS_TYPE_FLEXIBLE)) flags |= GS_TYPE_FLEXIBLE;
    if (c->kind != GS_KIND_POINTER && c->depth > depth) depth = c->depth;
    if (depth >= GSF_MAX_DEPTH) return GS_ETYPE;
    if (f->is_bits) {
      flags |= GS_TYPE_BITFIELDS;
      place_bits(&s, f);
    } else {
      place(&s, f);
    }
    if (s.bit > s.end) s.end = s.bit;
    if (s.end > (uint64_t)GSF_MAX_SIZE * 8) return GS_ETYPE;
  }
  if (align > s.align) s.align = align;
  uint64_t size = up(up(s.end, 8) / 8, s.align);
  if (size > GSF_MAX_SIZE) return GS_ETYPE;
  t->size = (size_t)size;
  t->align = s.align;
  t->fields = fields;
  t->length = n;
  t->depth = depth + 1;
  t->flags = (t->flags & ~(unsigned)GS_TYPE_INCOMPLETE) | flags;
  return GS_OK;
}

void gsf_unlayout(gs_type *t) {
  t->size = 0;
  t->align = 1;
  t->fields = NULL;
  t->length = 0;
  t->depth = 1;
  t->flags = (t->flags & GS_TYPE_UNION) | GS_TYPE_INCOMPLETE;
  t->ffi = NULL;
}
