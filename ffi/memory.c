/* memory.c: typed memory, and who owns it.
 *
 * A gs_mem is an address with a type and a number of elements, counted by references: memory of its
 * own, or a view of a part of another one, which it keeps (its root).  Bindings make their C
 * objects of it: everything that a program in a language without pointers can do wrong - use after
 * free, free twice, an index beyond the end - is an error that says so.
 *
 * One word of the root decides about its memory: pins, and FREED.  Who uses the memory (an
 * accessor, a foreign call that was given its address) pins it; freeing it is one CAS from "no
 * pins, not freed", and is refused while somebody has it pinned.  So an accessor on one thread and
 * a free on another are safe, in whatever order they come.
 *
 * The free function runs when the memory is freed or the last reference goes, on a full-size stack
 * and without letting other green threads run, since garbage collectors release here.
 *
 * A gs_mem keeps its gs_ffi, whose types it uses, also when that one is freed (closing.c).
 */
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

#define FREED 1u
#define PIN 2u

/* ---- making ---------------------------------------------------------------------------------- */

/* The array at the end of a struct that has none but its length, or NULL. */
static const gs_field *flexible(const gs_type *type) {
  const gs_type *c = type->canon;
  return c->flags & GS_TYPE_FLEXIBLE ? &c->fields[c->length - 1] : NULL;
}

/* How many bytes count elements take, and for a flexible struct one with as many in its array. */
static int measure(const gs_type *type, size_t count, size_t *size, gs_ffi_error *err) {
  if (!gsf_complete(type))
    return gsf_error(err, GS_ETYPE, "'%.100s' has no size, expected a type that has one",
                     type->name);
  const gs_field *f = flexible(type);
  size_t each = f ? f->type->canon->target->canon->size : type->canon->size;
  size_t before = f ? f->offset : 0;
  if (each && count > (GSF_MAX_SIZE - before) / each)
    return gsf_error(err, GS_ENOMEM, "%zu elements of '%.100s' are too many", count, type->name);
  *size = before + each * count;
  if (*size < type->canon->size && f) *size = type->canon->size;
  return GS_OK;
}

static gs_mem *make(gs_ffi *ffi, void *addr, size_t size, const gs_type *type, size_t count) {
  gs_mem *m = calloc(1, sizeof(*m));
  if (!m) return NULL;
  bool flex = flexible(type) != NULL;
  *m = (gs_mem){.refs = 1,
                .root = m,
                .addr = addr,
                .size = size,
                .type = type,
                .count = flex ? 1 : count,
                .flexible = flex ? count : 0,
                .ffi = ffi};
  gsf_use(ffi);
  return m;
}

/* "int[]" means elements of int. */
static const gs_type *element_type(const gs_type *type) {
  const gs_type *c = type->canon;
  return c->kind == GS_KIND_ARRAY && c->flags & GS_TYPE_INCOMPLETE ? c->target : type;
}

static void *zeroed(size_t size, size_t align) {
  if (!size) size = 1;
  if (align <= _Alignof(max_align_t)) return calloc(1, size);
  size = (size + align - 1) / align * align;
  void *p = aligned_alloc(align, size);
  return p ? memset(p, 0, size) : NULL;
}

int gs_mem_new(gs_ffi *ffi, const gs_type *type, size_t count, gs_mem **out, gs_ffi_error *err) {
  if (!type || !out) return gsf_error(err, GS_EINVAL, "%s is NULL", type ? "out" : "type");
  size_t size = 0;
  type = element_type(type);
  int e = measure(type, count, &size, err);
  if (e != GS_OK) return e;
  void *addr = zeroed(size, gsf_align(type));
  gs_mem *m = addr ? make(ffi, addr, size, type, count) : NULL;
  if (!m) {
    free(addr);
    return gsf_nomem(err);
  }
  m->free_fn = free;
  *out = m;
  return GS_OK;
}

int gs_mem_from(gs_ffi *ffi, void *addr, const gs_type *type, size_t count, void (*free_fn)(void *),
                gs_mem **out, gs_ffi_error *err) {
  if (!type || !out || !addr)
    return gsf_error(err, GS_EINVAL, "%s is NULL", !addr ? "addr" : !type ? "type" : "out");
  size_t size = 0;
  type = element_type(type);
  int e = measure(type, count, &size, err);
  if (e != GS_OK) return e;
  gs_mem *m = make(ffi, addr, size, type, count);
  if (!m) return gsf_nomem(err);
  m->free_fn = free_fn;
  *out = m;
  return GS_OK;
}

int gs_mem_string(const char *text, size_t length, gs_mem **out, gs_ffi_error *err) {
  if (!text || !out) return gsf_error(err, GS_EINVAL, "%s is NULL", text ? "out" : "text");
  if (length >= GSF_MAX_SIZE) return gsf_nomem(err);
  int e = gs_mem_new(NULL, &gsf_basics[B_CHAR], length + 1, out, err);
  if (e == GS_OK) memcpy((*out)->addr, text, length);
  return e;
}

int gs_mem_view(gs_mem *mem, size_t index, const char *path, gs_mem **out, gs_ffi_error *err) {
  gs_place at;
  if (!out) return gsf_error(err, GS_EINVAL, "out is NULL");
  int e = gs_mem_at(mem, index, path, &at, err);
  if (e != GS_OK) return e;
  if (at.bit_width)
    return gsf_error(err, GS_ETYPE, "'%.100s' is a bit-field, which has no address", path);
  const gs_type *type = at.type, *c = type->canon;
  if (c->kind == GS_KIND_ARRAY) type = c->target;
  gs_mem *m = make(mem->ffi, at.addr, at.size, type, at.count);
  if (!m) return gsf_nomem(err);
  if (flexible(type)) m->flexible = at.flexible;
  m->is_const = at.is_const;
  m->root = mem->root;
  gs_mem_retain(m->root);
  *out = m;
  return GS_OK;
}

/* ---- pins ------------------------------------------------------------------------------------ */

void *gs_mem_pin(gs_mem *mem) {
  if (!mem) return NULL;
  unsigned *word = &mem->root->word, w = __atomic_load_n(word, __ATOMIC_RELAXED);
  do
    if (w & FREED) return NULL;
  while (!__atomic_compare_exchange_n(word, &w, w + PIN, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
  return mem->addr;
}

void gs_mem_unpin(gs_mem *mem) {
  if (mem) __atomic_fetch_sub(&mem->root->word, PIN, __ATOMIC_RELEASE);
}

/* ---- freeing --------------------------------------------------------------------------------- */

static void run_free(gs_mem *root) {
  void (*fn)(void *) = __atomic_load_n(&root->free_fn, __ATOMIC_ACQUIRE);
  if (fn == free)
    free(root->addr);
  else if (fn)
    gsf_on_big_stack(fn, root->addr);
}

int gs_mem_free(gs_mem *mem, gs_ffi_error *err) {
  if (!mem) return gsf_error(err, GS_EINVAL, "mem is NULL");
  if (mem->root != mem)
    return gsf_error(err, GS_EINVAL, "this is a view of other memory: free that one");
  unsigned w = 0;
  if (!__atomic_compare_exchange_n(&mem->word, &w, FREED, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_RELAXED)) {
    if (w & FREED) return gsf_error(err, GS_EINVAL, "the memory was freed already");
    return gsf_error(err, GS_EBUSY, "the memory is in use by %u calls or accesses", w / PIN);
  }
  run_free(mem);
  return GS_OK;
}

int gs_mem_set_free(gs_mem *mem, void (*free_fn)(void *), void (**old)(void *), gs_ffi_error *err) {
  if (!mem) return gsf_error(err, GS_EINVAL, "mem is NULL");
  if (mem->root != mem)
    return gsf_error(err, GS_EINVAL, "this is a view of other memory, which its owner frees");
  if (!gs_mem_pin(mem)) return gsf_error(err, GS_EINVAL, "the memory was freed already");
  void (*was)(void *) = __atomic_exchange_n(&mem->free_fn, free_fn, __ATOMIC_ACQ_REL);
  gs_mem_unpin(mem);
  if (old) *old = was;
  return GS_OK;
}

void gs_mem_retain(gs_mem *mem) {
  if (mem) __atomic_fetch_add(&mem->refs, 1, __ATOMIC_RELAXED);
}

void gs_mem_release(gs_mem *mem) {
  if (!mem || __atomic_fetch_sub(&mem->refs, 1, __ATOMIC_ACQ_REL) != 1) return;
  gs_mem *root = mem->root;
  if (root != mem)
    gs_mem_release(root);
  else if (!(__atomic_load_n(&mem->word, __ATOMIC_ACQUIRE) & FREED))
    run_free(mem);
  gsf_unuse(mem->ffi);
  free(mem);
}

/* ---- looking --------------------------------------------------------------------------------- */

void *gs_mem_addr(const gs_mem *mem) {
  if (!mem || __atomic_load_n(&mem->root->word, __ATOMIC_ACQUIRE) & FREED) return NULL;
  return mem->addr;
}

size_t gs_mem_size(const gs_mem *mem) { return mem ? mem->size : 0; }
const gs_type *gs_mem_type(const gs_mem *mem) { return mem ? mem->type : NULL; }
size_t gs_mem_count(const gs_mem *mem) { return mem ? mem->count : 0; }
