/* access.c: what is where in a gs_mem, and reading and writing it.
 *
 * A place is an element of the memory, or what a path names inside it: ".", member names and
 * indices, as C writes them ("a.b[3].c", "[2].x").  Every step is checked against the type, and so
 * no path leads out of the memory; a path does not lead through a pointer, because nobody knows how
 * much is behind it.
 *
 * Values are converted as long as nothing is lost: what does not fit is an error that names the
 * value and what the type takes.  Members may stand anywhere (packed structs), so everything goes
 * through memcpy; bit-fields are put together bit by bit from the bytes they touch and no others.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ffi_internal.h"

/* ---- places ---------------------------------------------------------------------------------- */

static int freed(gs_ffi_error *err) {
  return gsf_error(err, GS_EINVAL, "the memory was freed already");
}

/* The member of that name, also in anonymous structs and unions; its offset is added up. */
static const gs_field *find_field(const gs_type *c, const char *name, size_t n, size_t *offset) {
  for (size_t i = 0; i < c->length; i++) {
    const gs_field *f = &c->fields[i];
    if (f->name && strlen(f->name) == n && memcmp(f->name, name, n) == 0) {
      *offset += f->offset;
      return f;
    }
    if (f->name || f->is_bits || f->type->kind != GS_KIND_STRUCT) continue;
    size_t inside = *offset + f->offset;
    const gs_field *found = find_field(f->type->canon, name, n, &inside);
    if (!found) continue;
    *offset = inside;
    return found;
  }
  return NULL;
}

static bool is_flexible(const gs_type *type) { return type->canon->flags & GS_TYPE_FLEXIBLE; }

/* What at is when it is of this type; flexible: the elements at the end of the whole memory. */
static void set_type(gs_place *at, const gs_type *type, size_t flexible) {
  const gs_type *c = type->canon;
  at->type = type;
  at->is_const |= (type->flags & GS_TYPE_CONST) != 0;
  at->count = 1;
  at->size = c->size;
  at->flexible = is_flexible(type) ? flexible : 0;
  if (c->kind != GS_KIND_ARRAY) return;
  at->count = c->flags & GS_TYPE_INCOMPLETE ? flexible : c->length;
  at->size = at->count * c->target->canon->size;
}

static int step_member(gs_place *at, const char *name, size_t n, gs_ffi_error *err) {
  const gs_type *c = at->type->canon;
  if (c->kind != GS_KIND_STRUCT)
    return gsf_error(err, GS_ETYPE, "'%.80s' has no members, '%.*s' was asked for%s",
                     at->type->name, (int)(n > 60 ? 60 : n), name,
                     c->kind == GS_KIND_POINTER ? "; a path does not follow pointers" : "");
  size_t offset = 0;
  const gs_field *f = find_field(c, name, n, &offset);
  if (!f)
    return gsf_error(err, GS_EINVAL, "'%.80s' has no member '%.*s'", at->type->name,
                     (int)(n > 60 ? 60 : n), name);
  at->addr = (char *)at->addr + offset;
  set_type(at, f->type, at->flexible);
  at->bit_first = f->bit_first;
  at->bit_width = f->bit_width;
  return GS_OK;
}

static int step_index(gs_place *at, size_t i, gs_ffi_error *err) {
  const gs_type *c = at->type->canon;
  if (c->kind != GS_KIND_ARRAY)
    return gsf_error(err, GS_ETYPE, "'%.80s' is not an array%s", at->type->name,
                     c->kind == GS_KIND_POINTER ? "; a path does not follow pointers" : "");
  if (i >= at->count)
    return gsf_error(err, GS_EINVAL, "index %zu is out of range: '%.80s' has %zu elements", i,
                     at->type->name, at->count);
  at->addr = (char *)at->addr + i * c->target->canon->size;
  set_type(at, c->target, 0);
  return GS_OK;
}

static bool read_index(const char **text, size_t *value) {
  const char *p = *text;
  size_t v = 0;
  if (!isdigit((unsigned char)*p)) return false;
  for (; isdigit((unsigned char)*p); p++)
    if (__builtin_mul_overflow(v, (size_t)10, &v) ||
        __builtin_add_overflow(v, (size_t)(*p - '0'), &v))
      return false;
  if (*p != ']') return false;
  *text = p + 1;
  *value = v;
  return true;
}

static int bad_path(const char *path, const char *at, gs_ffi_error *err) {
  return gsf_error(err, GS_EINVAL,
                   "the path '%.100s' is wrong at '%.20s': expected names and indices, as in "
                   "\"a.b[3].c\"",
                   path, at);
}

static int walk(gs_place *at, const char *path, gs_ffi_error *err) {
  const char *p = path;
  while (*p) {
    int e;
    if (*p == '[') {
      size_t i;
      const char *digits = p + 1;
      if (!read_index(&digits, &i)) return bad_path(path, p, err);
      e = step_index(at, i, err);
      p = digits;
    } else {
      if (*p == '.' && p != path) p++;
      size_t n = 0;
      while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '$') n++;
      if (!n || isdigit((unsigned char)*p)) return bad_path(path, p, err);
      if (p != path && p[-1] != '.') return bad_path(path, p, err);
      e = step_member(at, p, n, err);
      p += n;
    }
    if (e != GS_OK) return e;
  }
  return GS_OK;
}

int gs_mem_at(gs_mem *mem, size_t index, const char *path, gs_place *out, gs_ffi_error *err) {
  if (!mem || !out) return gsf_error(err, GS_EINVAL, "%s is NULL", mem ? "out" : "mem");
  if (!gs_mem_addr(mem)) return freed(err);
  gs_place at = {.addr = mem->addr, .is_const = mem->is_const};
  if (index >= mem->count)
    return gsf_error(err, GS_EINVAL, "index %zu is out of range: there are %zu elements of '%.80s'",
                     index, mem->count, mem->type->name);
  at.addr = (char *)at.addr + index * mem->type->canon->size;
  set_type(&at, mem->type, mem->flexible);
  int e = path ? walk(&at, path, err) : GS_OK;
  if (e == GS_OK) *out = at;
  return e;
}

/* ---- scalars --------------------------------------------------------------------------------- */

/* A value of a scalar type: negative ones in i, others in u, or a floating one. */
typedef struct scalar {
  bool floating, negative;
  int64_t i;
  uint64_t u;
  long double f;
} scalar;

static scalar of_signed(int64_t v) {
  return v < 0 ? (scalar){.negative = true, .i = v} : (scalar){.u = (uint64_t)v};
}
static scalar of_unsigned(uint64_t v) { return (scalar){.u = v}; }

static void spell(const scalar *v, char *text, size_t n) {
  if (v->floating)
    snprintf(text, n, "%Lg", v->f);
  else if (v->negative)
    snprintf(text, n, "%" PRId64, v->i);
  else
    snprintf(text, n, "%" PRIu64, v->u);
}

static int not_scalar(const gs_place *at, const char *expected, gs_ffi_error *err) {
  return gsf_error(err, GS_ETYPE, "'%.100s' is not %s", at->type->name, expected);
}

static bool is_integer(const gs_type *c) {
  return (c->kind == GS_KIND_BOOL || c->kind == GS_KIND_INT || c->kind == GS_KIND_UINT) &&
         c->size <= sizeof(uint64_t);
}

static unsigned bits_of(const gs_place *at) {
  return at->bit_width                           ? at->bit_width
         : at->type->canon->kind == GS_KIND_BOOL ? 1
                                                 : (unsigned)at->type->canon->size * 8;
}

/* Both processors number bits from the low end of the first byte. */
static uint64_t load_bits(const unsigned char *p, unsigned first, unsigned width) {
  uint64_t v = 0;
  for (unsigned i = 0; i < width; i++)
    v |= (uint64_t)(p[(first + i) / 8] >> (first + i) % 8 & 1) << i;
  return v;
}

static void store_bits(unsigned char *p, unsigned first, unsigned width, uint64_t v) {
  for (unsigned i = 0; i < width; i++) {
    unsigned char *byte = &p[(first + i) / 8], mask = (unsigned char)(1u << (first + i) % 8);
    *byte = (unsigned char)(v >> i & 1 ? *byte | mask : *byte & ~mask);
  }
}

static int64_t sign_extended(uint64_t v, unsigned bits) {
  return bits < 64 && v >> (bits - 1) & 1 ? (int64_t)(v | ~(uint64_t)0 << bits) : (int64_t)v;
}

static int load_scalar(const gs_place *at, scalar *v, gs_ffi_error *err) {
  const gs_type *c = at->type->canon;
  if (is_integer(c)) {
    uint64_t u = 0;
    if (at->bit_width)
      u = load_bits(at->addr, at->bit_first, at->bit_width);
    else
      memcpy(&u, at->addr, c->size); /* the low bytes come first */
    unsigned bits = at->bit_width ? at->bit_width : (unsigned)c->size * 8;
    *v = c->kind == GS_KIND_INT ? of_signed(sign_extended(u, bits)) : of_unsigned(u);
    return GS_OK;
  }
  if (c->kind != GS_KIND_FLOAT) return not_scalar(at, "a number of up to 64 bits", err);
  *v = (scalar){.floating = true};
  if (c->size == sizeof(float)) {
    float f;
    memcpy(&f, at->addr, sizeof(f));
    v->f = (long double)f;
  } else if (c->size == sizeof(double)) {
    double f;
    memcpy(&f, at->addr, sizeof(f));
    v->f = (long double)f;
  } else {
    memcpy(&v->f, at->addr, sizeof(v->f));
  }
  return GS_OK;
}

/* A whole number in a floating value, as an integer one; false: it is none, or too large. */
static bool make_whole(scalar *v) {
  if (!v->floating) return true;
  long double f = v->f;
  if (!(f >= -9223372036854775808.0L && f < 18446744073709551616.0L)) return false;
  /* Not floorl: the library needs nothing of libm. */
  if (f != (f < 0 ? (long double)(int64_t)f : (long double)(uint64_t)f)) return false;
  *v = f < 0 ? of_signed((int64_t)f) : of_unsigned((uint64_t)f);
  return true;
}

static int out_of_range(const gs_place *at, const scalar *v, gs_ffi_error *err) {
  char given[48];
  unsigned bits = bits_of(at);
  spell(v, given, sizeof(given));
  if (at->type->canon->kind == GS_KIND_INT) {
    int64_t most = (int64_t)(UINT64_MAX >> 1 >> (64 - bits));
    return gsf_error(err, GS_EINVAL,
                     "%s does not fit '%.80s': whole numbers from %" PRId64 " to %" PRId64 " do",
                     given, at->type->name, -most - 1, most);
  }
  return gsf_error(err, GS_EINVAL,
                   "%s does not fit '%.80s': whole numbers from 0 to %" PRIu64 " do", given,
                   at->type->name, UINT64_MAX >> (64 - bits));
}

static int store_integer(const gs_place *at, scalar v, gs_ffi_error *err) {
  const gs_type *c = at->type->canon;
  unsigned bits = bits_of(at);
  uint64_t most = UINT64_MAX >> (64 - bits);
  if (c->kind == GS_KIND_INT) most >>= 1;
  scalar given = v;
  if (!make_whole(&v)) return out_of_range(at, &given, err);
  if (v.negative ? c->kind != GS_KIND_INT || v.i < -(int64_t)most - 1 : v.u > most)
    return out_of_range(at, &given, err);
  uint64_t u = v.negative ? (uint64_t)v.i : v.u;
  if (at->bit_width)
    store_bits(at->addr, at->bit_first, at->bit_width, u);
  else
    memcpy(at->addr, &u, c->size);
  return GS_OK;
}

static int store_scalar(const gs_place *at, scalar v, gs_ffi_error *err) {
  const gs_type *c = at->type->canon;
  if (at->is_const)
    return gsf_error(err, GS_ETYPE, "'%.100s' is const and cannot be written", at->type->name);
  if (is_integer(c)) return store_integer(at, v, err);
  if (c->kind != GS_KIND_FLOAT) return not_scalar(at, "a number of up to 64 bits", err);
  long double wide = v.floating ? v.f : v.negative ? (long double)v.i : (long double)v.u;
  if (c->size == sizeof(float)) {
    float f = (float)wide;
    memcpy(at->addr, &f, sizeof(f));
  } else if (c->size == sizeof(double)) {
    double f = (double)wide;
    memcpy(at->addr, &f, sizeof(f));
  } else {
    memcpy(at->addr, &wide, sizeof(wide));
  }
  return GS_OK;
}

/* The place is found while the memory is pinned, and it stays so until access_ends. */
static int access_begins(gs_mem *mem, size_t index, const char *path, gs_place *at,
                         gs_ffi_error *err) {
  if (!mem) return gsf_error(err, GS_EINVAL, "mem is NULL");
  if (!gs_mem_pin(mem)) return freed(err);
  int e = gs_mem_at(mem, index, path, at, err);
  if (e != GS_OK) gs_mem_unpin(mem);
  return e;
}

static int get(gs_mem *mem, size_t index, const char *path, gs_place *at, scalar *v,
               gs_ffi_error *err) {
  int e = access_begins(mem, index, path, at, err);
  if (e != GS_OK) return e;
  e = load_scalar(at, v, err);
  gs_mem_unpin(mem);
  return e;
}

static int set(gs_mem *mem, size_t index, const char *path, scalar v, gs_ffi_error *err) {
  gs_place at;
  int e = access_begins(mem, index, path, &at, err);
  if (e != GS_OK) return e;
  e = store_scalar(&at, v, err);
  gs_mem_unpin(mem);
  return e;
}

static int unfit(const scalar *v, const char *what, gs_ffi_error *err) {
  char text[48];
  spell(v, text, sizeof(text));
  return gsf_error(err, GS_EINVAL, "the value %s is not a whole number that fits %s", text, what);
}

int gs_mem_get_int64(gs_mem *mem, size_t index, const char *path, int64_t *value,
                     gs_ffi_error *err) {
  gs_place at;
  scalar v;
  if (!value) return gsf_error(err, GS_EINVAL, "value is NULL");
  int e = get(mem, index, path, &at, &v, err);
  if (e != GS_OK) return e;
  scalar given = v;
  if (!make_whole(&v) || (!v.negative && v.u > INT64_MAX))
    return unfit(&given, "64 bits with a sign", err);
  *value = v.negative ? v.i : (int64_t)v.u;
  return GS_OK;
}

int gs_mem_get_uint64(gs_mem *mem, size_t index, const char *path, uint64_t *value,
                      gs_ffi_error *err) {
  gs_place at;
  scalar v;
  if (!value) return gsf_error(err, GS_EINVAL, "value is NULL");
  int e = get(mem, index, path, &at, &v, err);
  if (e != GS_OK) return e;
  scalar given = v;
  if (!make_whole(&v) || v.negative) return unfit(&given, "64 bits without a sign", err);
  *value = v.u;
  return GS_OK;
}

int gs_mem_get_double(gs_mem *mem, size_t index, const char *path, double *value,
                      gs_ffi_error *err) {
  gs_place at;
  scalar v;
  if (!value) return gsf_error(err, GS_EINVAL, "value is NULL");
  int e = get(mem, index, path, &at, &v, err);
  if (e == GS_OK) *value = v.floating ? (double)v.f : v.negative ? (double)v.i : (double)v.u;
  return e;
}

int gs_mem_set_int64(gs_mem *mem, size_t index, const char *path, int64_t value,
                     gs_ffi_error *err) {
  return set(mem, index, path, of_signed(value), err);
}

int gs_mem_set_uint64(gs_mem *mem, size_t index, const char *path, uint64_t value,
                      gs_ffi_error *err) {
  return set(mem, index, path, of_unsigned(value), err);
}

int gs_mem_set_double(gs_mem *mem, size_t index, const char *path, double value,
                      gs_ffi_error *err) {
  return set(mem, index, path, (scalar){.floating = true, .f = (long double)value}, err);
}

/* ---- pointers -------------------------------------------------------------------------------- */

static int pointer_place(gs_mem *mem, size_t index, const char *path, gs_place *at,
                         gs_ffi_error *err) {
  int e = access_begins(mem, index, path, at, err);
  if (e != GS_OK || at->type->canon->kind == GS_KIND_POINTER) return e;
  gs_mem_unpin(mem);
  return not_scalar(at, "a pointer", err);
}

int gs_mem_get_pointer(gs_mem *mem, size_t index, const char *path, void **value,
                       gs_ffi_error *err) {
  gs_place at;
  if (!value) return gsf_error(err, GS_EINVAL, "value is NULL");
  int e = pointer_place(mem, index, path, &at, err);
  if (e != GS_OK) return e;
  memcpy(value, at.addr, sizeof(*value));
  gs_mem_unpin(mem);
  return GS_OK;
}

int gs_mem_set_pointer(gs_mem *mem, size_t index, const char *path, void *value,
                       gs_ffi_error *err) {
  gs_place at;
  int e = pointer_place(mem, index, path, &at, err);
  if (e != GS_OK) return e;
  if (at.is_const)
    e = gsf_error(err, GS_ETYPE, "'%.100s' is const and cannot be written", at.type->name);
  else
    memcpy(at.addr, &value, sizeof(value));
  gs_mem_unpin(mem);
  return e;
}

/* ---- text and bytes -------------------------------------------------------------------------- */

static bool is_byte(const gs_type *t) {
  const gs_type *c = t->canon;
  return c->size == 1 && (c->kind == GS_KIND_INT || c->kind == GS_KIND_UINT);
}

/* Room for characters: an array of them, or the elements from index to the end. */
static int text_place(gs_mem *mem, size_t index, const char *path, gs_place *at, size_t *room,
                      gs_ffi_error *err) {
  int e = access_begins(mem, index, path, at, err);
  if (e != GS_OK) return e;
  const gs_type *c = at->type->canon;
  if (c->kind == GS_KIND_ARRAY && is_byte(c->target)) {
    at->is_const |= (c->target->flags & GS_TYPE_CONST) != 0;
    *room = at->count;
    return GS_OK;
  }
  if ((!path || !*path) && is_byte(mem->type) && !at->bit_width) {
    *room = mem->count - index;
    return GS_OK;
  }
  gs_mem_unpin(mem);
  return not_scalar(at, "an array of characters", err);
}

int gs_mem_set_string(gs_mem *mem, size_t index, const char *path, const char *text, size_t length,
                      gs_ffi_error *err) {
  gs_place at;
  size_t room = 0;
  if (!text) return gsf_error(err, GS_EINVAL, "text is NULL");
  int e = text_place(mem, index, path, &at, &room, err);
  if (e != GS_OK) return e;
  if (at.is_const) {
    e = gsf_error(err, GS_ETYPE, "'%.100s' is const and cannot be written", at.type->name);
  } else if (length >= room) {
    e = gsf_error(err, GS_EINVAL,
                  "a text of %zu bytes and its NUL do not fit: there is room for %zu bytes", length,
                  room);
  } else {
    memcpy(at.addr, text, length);
    ((char *)at.addr)[length] = 0;
  }
  gs_mem_unpin(mem);
  return e;
}

int gs_mem_get_string(gs_mem *mem, size_t index, const char *path, char *buf, size_t n,
                      size_t *length, gs_ffi_error *err) {
  gs_place at;
  size_t room = 0;
  if (!buf && n) return gsf_error(err, GS_EINVAL, "buf is NULL");
  int e = text_place(mem, index, path, &at, &room, err);
  if (e != GS_OK) return e;
  size_t all = strnlen(at.addr, room), part = all < n ? all : n ? n - 1 : 0;
  if (part) memcpy(buf, at.addr, part);
  if (n) buf[part] = 0;
  if (length) *length = all;
  gs_mem_unpin(mem);
  return GS_OK;
}

static int range(gs_mem *mem, size_t offset, size_t n, const void *buf, gs_ffi_error *err) {
  if (!mem || (!buf && n)) return gsf_error(err, GS_EINVAL, "%s is NULL", mem ? "buf" : "mem");
  if (offset > mem->size || n > mem->size - offset)
    return gsf_error(err, GS_EINVAL, "bytes %zu to %zu are out of range: there are %zu", offset,
                     offset + n, mem->size);
  return gs_mem_pin(mem) ? GS_OK : freed(err);
}

int gs_mem_read(gs_mem *mem, size_t offset, void *buf, size_t n, gs_ffi_error *err) {
  int e = range(mem, offset, n, buf, err);
  if (e != GS_OK) return e;
  if (n) memcpy(buf, (char *)mem->addr + offset, n);
  gs_mem_unpin(mem);
  return GS_OK;
}

int gs_mem_write(gs_mem *mem, size_t offset, const void *buf, size_t n, gs_ffi_error *err) {
  int e = range(mem, offset, n, buf, err);
  if (e != GS_OK) return e;
  if (mem->is_const || mem->type->flags & GS_TYPE_CONST)
    e = gsf_error(err, GS_ETYPE, "'%.100s' is const and cannot be written", mem->type->name);
  else if (n)
    memcpy((char *)mem->addr + offset, buf, n);
  gs_mem_unpin(mem);
  return e;
}
