/* json.c: writing JSON.  See json.h.
 *
 * Names come from anybody: a green thread's is cut at 31 bytes, perhaps in the middle of a
 * character, and a library may give its functions names in any encoding.  What is no UTF-8 becomes
 * the replacement character, byte by byte; controls are escaped, so a document never has a line
 * break in it.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool room_for(Json *j, size_t n) {
  if (j->failed) return false;
  if (j->cap - j->len >= n) return true;
  size_t cap = j->cap ? j->cap : 1024;
  while (cap - j->len < n) cap *= 2;
  char *more = realloc(j->at, cap);
  if (!more) {
    j->failed = true;
    return false;
  }
  j->at = more;
  j->cap = cap;
  return true;
}

static void put(Json *j, const char *text, size_t n) {
  if (!room_for(j, n)) return;
  memcpy(j->at + j->len, text, n);
  j->len += n;
}

static void put_char(Json *j, char c) { put(j, &c, 1); }

/* How many bytes of UTF-8 a character has that begins here; 0: it is none.  Not encoded longer than
 * need be, no surrogates, nothing above U+10FFFF (RFC 3629). */
static size_t utf8(const unsigned char *s, size_t left) {
  unsigned char c = s[0], low = 0x80, high = 0xbf;
  size_t n;
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) {
    n = 2;
  } else if (c >= 0xe0 && c <= 0xef) {
    n = 3;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
  } else if (c >= 0xf0 && c <= 0xf4) {
    n = 4;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (left < n || s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < n; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return n;
}

static void put_escaped(Json *j, unsigned char c) {
  char text[8];
  const char *short_ = c == '"'    ? "\\\""
                       : c == '\\' ? "\\\\"
                       : c == '\n' ? "\\n"
                       : c == '\r' ? "\\r"
                       : c == '\t' ? "\\t"
                                   : NULL;
  if (!short_) snprintf(text, sizeof text, "\\u%04x", c);
  if (!short_) short_ = text;
  put(j, short_, strlen(short_));
}

static void put_quoted(Json *j, const char *text, size_t n) {
  const unsigned char *s = (const unsigned char *)text;
  put_char(j, '"');
  for (size_t i = 0; i < n && !j->failed;) {
    size_t bytes = utf8(s + i, n - i);
    if (bytes == 0) {
      put(j, "\xef\xbf\xbd", 3);
      i++;
    } else if (bytes == 1 && (s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == 0x7f)) {
      put_escaped(j, s[i++]);
    } else {
      put(j, text + i, bytes);
      i += bytes;
    }
  }
  put_char(j, '"');
}

/* A comma belongs here unless something has just begun.  A text that ends like that ends with its
 * quotation mark. */
static void begin(Json *j, const char *key) {
  char last = j->len ? j->at[j->len - 1] : '[';
  if (last != '{' && last != '[' && last != '\n') put_char(j, ',');
  if (!key) return;
  put_quoted(j, key, strlen(key));
  put_char(j, ':');
}

void json_open(Json *j, const char *key, char bracket) {
  begin(j, key);
  put_char(j, bracket);
}

void json_close(Json *j, char bracket) { put_char(j, bracket); }

void json_int(Json *j, const char *key, int64_t value) {
  char text[24];
  int n = snprintf(text, sizeof text, "%lld", (long long)value);
  begin(j, key);
  put(j, text, (size_t)n);
}

void json_uint(Json *j, const char *key, uint64_t value) {
  char text[24];
  int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  begin(j, key);
  put(j, text, (size_t)n);
}

void json_bool(Json *j, const char *key, bool value) {
  begin(j, key);
  put(j, value ? "true" : "false", value ? 4 : 5);
}

void json_bytes(Json *j, const char *key, const char *text, size_t n) {
  begin(j, key);
  put_quoted(j, text, n);
}

void json_string(Json *j, const char *key, const char *text) {
  if (text) {
    json_bytes(j, key, text, strlen(text));
  } else {
    begin(j, key);
    put(j, "null", 4);
  }
}

void json_newline(Json *j) { put_char(j, '\n'); }
