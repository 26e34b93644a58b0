/* value.c: the values that languages send each other.
 *
 * A value is 16 bytes: its type, a length, and either what it is or the address of a block.
 *
 *     byte 0   the type
 *     byte 1   of a text or bytes: how many of them follow from byte 2 on (0..14), or FAR
 *     8..15    the integer, the double, the truth value; the block's address of what is FAR, and
 *              of every list and map
 *
 * A block begins with its size.  Behind that a text or bytes stand as they are.  A list or a map is
 * a row of elements, each a byte with its type and then
 *
 *     null nothing   bool 1 byte   int, double 8   text, bytes 4 (length) and themselves
 *     list, map 4 (how many elements, or pairs) and then those
 *
 * in the machine's byte order: no value leaves the process.  A message costs one allocation at most
 * and no walk over a tree of allocations; who receives it makes its own language's values straight
 * from the row.
 *
 * Nothing here trusts a block: the reader checks each length against what is left, so a damaged
 * value is an error and not a read outside.  Texts are checked to be UTF-8 when they are written,
 * since the languages believe it when they receive them.
 */
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "gosched_domain.h"
#include "gosched_shared.h"

#define NEAR 14u
#define FAR 0xffu

typedef struct {
  size_t size; /* of data; write-once */
  unsigned char data[];
} Block;

/* A gs_value as it is. */
typedef struct {
  unsigned char type, n;
  char near[6]; /* and what follows */
  union {
    int64_t i;
    double d;
    Block *block;
  } u;
} Value;

_Static_assert(sizeof(Value) == sizeof(gs_value) && offsetof(Value, u) == 8, "a value's bytes");

static inline void store(gs_value *out, Value v) { memcpy(out, &v, sizeof v); }

static inline Value value_of(const gs_value *v) {
  Value x;
  memcpy(&x, v, sizeof x);
  return x;
}

/* ---- UTF-8 ---- */

static inline bool continues(unsigned char c) { return (c & 0xc0) == 0x80; }

/* The bytes of the character at s, of which `left` are there; 0: it is none. */
static size_t character(const unsigned char *s, size_t left) {
  unsigned char c = s[0];
  if (c < 0x80) return 1;
  if (c < 0xc2) return 0;
  if (c < 0xe0) return left >= 2 && continues(s[1]) ? 2 : 0;
  if (c < 0xf0) {
    if (left < 3 || !continues(s[1]) || !continues(s[2])) return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] >= 0xa0)) return 0;
    return 3;
  }
  if (c > 0xf4 || left < 4 || !continues(s[1]) || !continues(s[2]) || !continues(s[3])) return 0;
  if ((c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] >= 0x90)) return 0;
  return 4;
}

/* How many bytes of s are UTF-8 from the beginning on. */
static size_t utf8(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s;
  size_t i = 0;
  while (i < n) {
    uint64_t eight;
    while (n - i >= sizeof eight) {
      memcpy(&eight, p + i, sizeof eight);
      if (eight & UINT64_C(0x8080808080808080)) break;
      i += sizeof eight;
    }
    if (i == n) break;
    size_t k = character(p + i, n - i);
    if (!k) return i;
    i += k;
  }
  return n;
}

static int check_bytes(int type, const void *s, size_t n) {
  if (!s && n) return gs_fail(GS_EINVAL, "a value of %zu bytes at NULL", n);
  if (n > GS_VALUE_MOST)
    return gs_fail(GS_EINVAL, "a value of %zu bytes; at most %u are accepted", n, GS_VALUE_MOST);
  size_t good = type == GS_VALUE_TEXT ? utf8(s, n) : n;
  if (good == n) return GS_OK;
  return gs_fail(GS_EINVAL, "a text must be UTF-8; byte %zu of %zu (0x%02x) is not", good, n,
                 ((const unsigned char *)s)[good]);
}

/* ---- values ---- */

void gs_value_null(gs_value *out) { store(out, (Value){.type = GS_VALUE_NULL}); }

void gs_value_bool(int truth, gs_value *out) {
  store(out, (Value){.type = GS_VALUE_BOOL, .u.i = truth != 0});
}

void gs_value_int(int64_t i, gs_value *out) { store(out, (Value){.type = GS_VALUE_INT, .u.i = i}); }

void gs_value_double(double d, gs_value *out) {
  store(out, (Value){.type = GS_VALUE_DOUBLE, .u.d = d});
}

static int bytes_value(int type, const void *s, size_t n, gs_value *out) {
  gs_value_null(out);
  int e = check_bytes(type, s, n);
  if (e != GS_OK) return e;
  if (n <= NEAR) {
    unsigned char b[sizeof *out] = {(unsigned char)type, (unsigned char)n};
    if (n) memcpy(b + 2, s, n);
    memcpy(out, b, sizeof b);
    return GS_OK;
  }
  Block *block = malloc(sizeof *block + n);
  if (!block) return gs_fail(GS_ENOMEM, "out of memory for a value of %zu bytes", n);
  block->size = n;
  memcpy(block->data, s, n);
  store(out, (Value){.type = (unsigned char)type, .n = FAR, .u.block = block});
  return GS_OK;
}

int gs_value_text(const char *s, size_t n, gs_value *out) {
  return bytes_value(GS_VALUE_TEXT, s, n, out);
}

int gs_value_bytes(const void *s, size_t n, gs_value *out) {
  return bytes_value(GS_VALUE_BYTES, s, n, out);
}

int gs_value_type(const gs_value *v) { return v ? value_of(v).type : GS_VALUE_NULL; }

void gs_value_free(gs_value *v) {
  if (!v) return;
  Value x = value_of(v);
  if (x.n == FAR) free(x.u.block);
  gs_value_null(v);
}

/* ---- writing ---- */

void gs_value_begin(gs_value_writer *w) {
  w->block = NULL;
  w->at = w->few + sizeof(Block);
  w->end = w->few + sizeof w->few;
  w->error = GS_OK;
  w->depth = 0;
  w->some = 0;
  gs_value_null(&w->scalar);
}

static inline unsigned char *start(gs_value_writer *w) { return w->block ? w->block : w->few; }

static int failed(gs_value_writer *w, int code) { return w->error = code; }

/* Room for n more bytes.  NULL: it has failed. */
static unsigned char *room(gs_value_writer *w, size_t n) {
  if (likely((size_t)(w->end - w->at) >= n)) {
    unsigned char *p = w->at;
    w->at += n;
    return p;
  }
  size_t used = (size_t)(w->at - start(w)), want = (used + n) * 2;
  if (used + n > GS_VALUE_MOST) {
    failed(w, gs_fail(GS_EINVAL, "a value of more than %u bytes", GS_VALUE_MOST));
    return NULL;
  }
  unsigned char *block = realloc(w->block, want);
  if (!block) {
    failed(w, gs_fail(GS_ENOMEM, "out of memory for a value of more than %zu bytes", used));
    return NULL;
  }
  if (!w->block) memcpy(block, w->few, used);
  w->block = block;
  w->at = block + used + n;
  w->end = block + want;
  return block + used;
}

/* Another element, or the value itself. */
static int one_more(gs_value_writer *w, int type) {
  if (unlikely(w->error)) return w->error;
  if (w->depth == 0) {
    if (w->some++) {
      w->some = 1;
      return failed(w, gs_fail(GS_EINVAL, "a second value outside of a list or map"));
    }
    return GS_OK;
  }
  uint32_t top = w->depth - 1;
  if (w->is_map[top] && !(w->count[top] & 1) &&
      (type == GS_VALUE_NULL || type == GS_VALUE_LIST || type == GS_VALUE_MAP))
    return failed(w, gs_fail(GS_ETYPE,
                             "the key of a map is %s; bool, int, double, text and bytes "
                             "can be keys",
                             type == GS_VALUE_NULL   ? "null"
                             : type == GS_VALUE_LIST ? "a list"
                                                     : "a map"));
  w->count[top]++;
  return GS_OK;
}

static int put_word(gs_value_writer *w, int type, const void *word, size_t n) {
  if (one_more(w, type) != GS_OK) return w->error;
  unsigned char *p = room(w, 1 + n);
  if (!p) return w->error;
  p[0] = (unsigned char)type;
  if (n) memcpy(p + 1, word, n);
  return GS_OK;
}

int gs_value_put_null(gs_value_writer *w) {
  if (w->depth == 0) return one_more(w, GS_VALUE_NULL);
  return put_word(w, GS_VALUE_NULL, NULL, 0);
}

int gs_value_put_bool(gs_value_writer *w, int truth) {
  unsigned char b = truth != 0;
  if (w->depth) return put_word(w, GS_VALUE_BOOL, &b, 1);
  if (one_more(w, GS_VALUE_BOOL) == GS_OK) gs_value_bool(truth, &w->scalar);
  return w->error;
}

int gs_value_put_int(gs_value_writer *w, int64_t i) {
  if (w->depth) return put_word(w, GS_VALUE_INT, &i, sizeof i);
  if (one_more(w, GS_VALUE_INT) == GS_OK) gs_value_int(i, &w->scalar);
  return w->error;
}

int gs_value_put_double(gs_value_writer *w, double d) {
  if (w->depth) return put_word(w, GS_VALUE_DOUBLE, &d, sizeof d);
  if (one_more(w, GS_VALUE_DOUBLE) == GS_OK) gs_value_double(d, &w->scalar);
  return w->error;
}

static int put_bytes(gs_value_writer *w, int type, const void *s, size_t n) {
  if (one_more(w, type) != GS_OK) return w->error;
  if (w->depth == 0) return failed(w, bytes_value(type, s, n, &w->scalar));
  int e = check_bytes(type, s, n);
  if (e != GS_OK) return failed(w, e);
  uint32_t len = (uint32_t)n;
  unsigned char *p = room(w, 1 + sizeof len + n);
  if (!p) return w->error;
  p[0] = (unsigned char)type;
  memcpy(p + 1, &len, sizeof len);
  if (n) memcpy(p + 1 + sizeof len, s, n);
  return GS_OK;
}

int gs_value_put_text(gs_value_writer *w, const char *s, size_t n) {
  return put_bytes(w, GS_VALUE_TEXT, s, n);
}

int gs_value_put_bytes(gs_value_writer *w, const void *s, size_t n) {
  return put_bytes(w, GS_VALUE_BYTES, s, n);
}

static int open_(gs_value_writer *w, int type) {
  if (one_more(w, type) != GS_OK) return w->error;
  if (w->depth == GS_VALUE_DEPTH)
    return failed(w,
                  gs_fail(GS_EINVAL, "lists and maps are nested deeper than %d", GS_VALUE_DEPTH));
  unsigned char *p = room(w, 1 + sizeof(uint32_t));
  if (!p) return w->error;
  p[0] = (unsigned char)type;
  w->where[w->depth] = (uint32_t)(p + 1 - start(w));
  w->count[w->depth] = 0;
  w->is_map[w->depth++] = type == GS_VALUE_MAP;
  return GS_OK;
}

int gs_value_put_list(gs_value_writer *w) { return open_(w, GS_VALUE_LIST); }
int gs_value_put_map(gs_value_writer *w) { return open_(w, GS_VALUE_MAP); }

int gs_value_put_end(gs_value_writer *w) {
  if (w->error) return w->error;
  if (w->depth == 0) return failed(w, gs_fail(GS_EINVAL, "the end of a list that was not begun"));
  uint32_t top = --w->depth, count = w->count[top];
  if (w->is_map[top]) {
    if (count & 1) return failed(w, gs_fail(GS_EINVAL, "a map ends with a key without a value"));
    count /= 2;
  }
  memcpy(start(w) + w->where[top], &count, sizeof count);
  return GS_OK;
}

void gs_value_drop(gs_value_writer *w) {
  free(w->block);
  gs_value_free(&w->scalar);
  gs_value_begin(w);
}

/* A row in memory of its own, of just the size that it needs. */
static int row_value(gs_value_writer *w, gs_value *out) {
  size_t n = (size_t)(w->at - start(w));
  Block *b = w->block ? realloc(w->block, n) : malloc(n);
  if (!b && !w->block) {
    gs_value_null(out);
    return gs_fail(GS_ENOMEM, "out of memory for a value of %zu bytes", n);
  }
  if (!b) b = (Block *)(void *)w->block;
  if (!w->block) memcpy(b, w->few, n);
  b->size = n - sizeof *b;
  w->block = NULL;
  store(out, (Value){.type = b->data[0], .n = FAR, .u.block = b});
  return GS_OK;
}

int gs_value_end(gs_value_writer *w, gs_value *out) {
  if (!w->error && w->depth) failed(w, gs_fail(GS_EINVAL, "a list or map has no end"));
  if (!w->error && !w->some) failed(w, gs_fail(GS_EINVAL, "no value was written"));
  int e = w->error;
  if (e == GS_OK && w->at != w->few + sizeof(Block)) {
    e = row_value(w, out);
  } else if (e == GS_OK) {
    *out = w->scalar;
    gs_value_null(&w->scalar);
  } else {
    gs_value_null(out);
  }
  gs_value_drop(w);
  return e;
}

/* ---- reading ---- */

void gs_value_read(const gs_value *v, gs_value_reader *r) { *r = (gs_value_reader){v, NULL, NULL}; }

static int damaged(gs_value_reader *r, gs_value_item *it) {
  *it = (gs_value_item){.type = GS_VALUE_NULL};
  r->at = r->end;
  return gs_fail(GS_EINVAL, "the value has no more elements, or is damaged");
}

static inline bool take(gs_value_reader *r, void *to, size_t n) {
  if ((size_t)(r->end - r->at) < n) return false;
  memcpy(to, r->at, n);
  r->at += n;
  return true;
}

static int next_of_row(gs_value_reader *r, gs_value_item *it) {
  unsigned char b = 0;
  uint32_t n;
  if (!take(r, &b, 1)) return damaged(r, it);
  *it = (gs_value_item){.type = b};
  switch (b) {
    case GS_VALUE_NULL: return GS_OK;
    case GS_VALUE_BOOL:
      if (!take(r, &b, 1)) break;
      it->i = b != 0;
      return GS_OK;
    case GS_VALUE_INT:
      if (!take(r, &it->i, sizeof it->i)) break;
      return GS_OK;
    case GS_VALUE_DOUBLE:
      if (!take(r, &it->d, sizeof it->d)) break;
      return GS_OK;
    case GS_VALUE_TEXT:
    case GS_VALUE_BYTES:
      if (!take(r, &n, sizeof n) || (size_t)(r->end - r->at) < n) break;
      it->s = (const char *)r->at;
      it->n = n;
      r->at += n;
      return GS_OK;
    case GS_VALUE_LIST:
    case GS_VALUE_MAP: {
      /* An element takes a byte at least: nobody makes room for more than there can be. */
      if (!take(r, &n, sizeof n)) break;
      size_t elements = b == GS_VALUE_MAP ? (size_t)n * 2 : n;
      if (elements > (size_t)(r->end - r->at)) break;
      it->n = n;
      return GS_OK;
    }
    default: break;
  }
  return damaged(r, it);
}

int gs_value_next(gs_value_reader *r, gs_value_item *it) {
  const gs_value *v = r->whole;
  if (!v) return next_of_row(r, it);
  r->whole = NULL;
  Value x = value_of(v);
  *it = (gs_value_item){.type = x.type};
  switch (x.type) {
    case GS_VALUE_NULL: return GS_OK;
    case GS_VALUE_BOOL:
    case GS_VALUE_INT: it->i = x.u.i; return GS_OK;
    case GS_VALUE_DOUBLE: it->d = x.u.d; return GS_OK;
    case GS_VALUE_TEXT:
    case GS_VALUE_BYTES:
      if (x.n != FAR && x.n > NEAR) return damaged(r, it);
      it->s = x.n == FAR ? (const char *)x.u.block->data : (const char *)v + 2;
      it->n = x.n == FAR ? x.u.block->size : x.n;
      return GS_OK;
    case GS_VALUE_LIST:
    case GS_VALUE_MAP:
      if (x.n != FAR) return damaged(r, it);
      r->at = x.u.block->data;
      r->end = r->at + x.u.block->size;
      return next_of_row(r, it);
    default: return damaged(r, it);
  }
}
