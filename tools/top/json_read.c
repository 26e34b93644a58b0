/* json_read.c: a JSON document in memory.  See json_read.h.
 */
#include "json_read.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST 32

typedef struct {
  const char *at, *end;
  int depth;
} Reader;

static bool value(Reader *r, json_value *v);

static void blanks(Reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static bool next_is(Reader *r, char c) {
  blanks(r);
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static bool word(Reader *r, const char *w) {
  size_t n = strlen(w);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, w, n) != 0) return false;
  r->at += n;
  return true;
}

static bool hex4(Reader *r, uint32_t *c) {
  *c = 0;
  if (r->end - r->at < 4) return false;
  for (int i = 0; i < 4; i++) {
    char d = *r->at++;
    int x = d >= '0' && d <= '9'   ? d - '0'
            : d >= 'a' && d <= 'f' ? d - 'a' + 10
            : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                   : -1;
    if (x < 0) return false;
    *c = *c * 16 + (uint32_t)x;
  }
  return true;
}

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
  } else if (c < 0x800) {
    *out++ = (char)(0xc0 | c >> 6);
    *out++ = (char)(0x80 | (c & 0x3f));
  } else {
    if (c < 0x10000) {
      *out++ = (char)(0xe0 | c >> 12);
    } else {
      *out++ = (char)(0xf0 | c >> 18);
      *out++ = (char)(0x80 | (c >> 12 & 0x3f));
    }
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
  }
  return out;
}

static char *escape(Reader *r, char *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  uint32_t c, low;
  if (r->at == r->end) return NULL;
  char e = *r->at++;
  const char *found = e ? strchr(from, e) : NULL;
  if (found) {
    *out++ = to[found - from];
    return out;
  }
  if (e != 'u' || !hex4(r, &c)) return NULL;
  if (c >= 0xd800 && c < 0xdc00) {
    if (!word(r, "\\u") || !hex4(r, &low) || low < 0xdc00 || low > 0xdfff) return NULL;
    c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
  }
  return put_utf8(out, c);
}

/* An escape is longer than what it stands for, so there is room for all of it. */
static char *quoted(Reader *r) {
  if (!next_is(r, '"')) return NULL;
  char *text = malloc((size_t)(r->end - r->at) + 1), *out = text;
  const char *from = r->at;
  while (out && r->at < r->end && *r->at != '"') {
    char c = *r->at++;
    if (c == '\\')
      out = escape(r, out);
    else if ((unsigned char)c < 0x20)
      out = NULL;
    else
      *out++ = c;
  }
  if (!out || r->at == r->end) {
    free(text);
    return NULL;
  }
  r->at++;
  *out = 0;
  char *shorter = realloc(text, (size_t)(r->at - from));
  return shorter ? shorter : text;
}

static bool number(Reader *r, double *out) {
  char copy[64], *end;
  size_t n = 0;
  while (r->at < r->end && n < sizeof copy - 1 && *r->at && strchr("+-.0123456789eE", *r->at))
    copy[n++] = *r->at++;
  copy[n] = 0;
  *out = strtod(copy, &end);
  return n > 0 && *end == 0;
}

static bool grow(json_value *v, bool keys) {
  if (v->n & (v->n - 1)) return true; /* room for the next power of two */
  size_t room = v->n ? 2 * v->n : 1;
  json_value *items = realloc(v->items, room * sizeof *items);
  if (items) v->items = items;
  char **names = keys ? realloc(v->keys, room * sizeof *names) : NULL;
  if (names) v->keys = names;
  return items && (names || !keys);
}

static bool many(Reader *r, json_value *v, char end) {
  bool keys = end == '}';
  if (next_is(r, end)) return true;
  do {
    char *key = NULL;
    if (!grow(v, keys)) return false;
    if (keys && !((key = quoted(r)) && next_is(r, ':'))) {
      free(key);
      return false;
    }
    if (keys) v->keys[v->n] = key;
    if (!value(r, &v->items[v->n++])) return false;
  } while (next_is(r, ','));
  return next_is(r, end);
}

static bool value(Reader *r, json_value *v) {
  *v = (json_value){JSON_NULL, 0, NULL, NULL, NULL, 0};
  blanks(r);
  if (r->at == r->end || r->depth == DEEPEST) return false;
  char c = *r->at;
  if (c == '"') {
    v->kind = JSON_TEXT;
    return (v->text = quoted(r)) != NULL;
  }
  if (c == '{' || c == '[') {
    r->at++;
    r->depth++;
    v->kind = c == '{' ? JSON_OBJECT : JSON_LIST;
    bool whole = many(r, v, c == '{' ? '}' : ']');
    r->depth--;
    return whole;
  }
  if (word(r, "null")) return true;
  v->kind = JSON_BOOL;
  v->number = c == 't';
  if (word(r, "true") || word(r, "false")) return true;
  v->kind = JSON_NUMBER;
  return number(r, &v->number);
}

static void drop(json_value *v) {
  for (size_t i = 0; i < v->n; i++) {
    drop(&v->items[i]);
    if (v->keys) free(v->keys[i]);
  }
  free(v->items);
  free(v->keys);
  free(v->text);
}

void json_free(json_value *v) {
  if (!v) return;
  drop(v);
  free(v);
}

json_value *json_parse(const char *text, size_t n) {
  Reader r = {text, text + n, 0};
  json_value *v = malloc(sizeof *v);
  if (!v) return NULL;
  bool whole = value(&r, v);
  blanks(&r);
  if (whole && r.at == r.end) return v;
  json_free(v);
  return NULL;
}

const json_value *json_get(const json_value *v, const char *key) {
  if (!v || v->kind != JSON_OBJECT) return NULL;
  for (size_t i = 0; i < v->n; i++)
    if (strcmp(v->keys[i], key) == 0) return &v->items[i];
  return NULL;
}

double json_number(const json_value *v, const char *key) {
  const json_value *found = json_get(v, key);
  return found && found->kind == JSON_NUMBER ? found->number : 0;
}

const char *json_text(const json_value *v, const char *key) {
  const json_value *found = json_get(v, key);
  return found && found->kind == JSON_TEXT ? found->text : "";
}
