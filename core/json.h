/* json.h: writing JSON into memory that grows.
 *
 * What comes out is always whole: commas are put where they belong, and text becomes valid UTF-8
 * whatever it was.  When memory runs out, everything written from then on is dropped, and `failed`
 * says so in the end: nobody asks in between.
 */
#ifndef GS_JSON_H
#define GS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *at; /* by malloc; not terminated */
  size_t len, cap;
  bool failed;
} Json;

/* Each with a key inside an object, and with key NULL inside a list. */
void json_open(Json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(Json *j, char bracket);                 /* '}' or ']' */
void json_int(Json *j, const char *key, int64_t value);
void json_uint(Json *j, const char *key, uint64_t value);
void json_bool(Json *j, const char *key, bool value);
void json_string(Json *j, const char *key, const char *text); /* NULL: null */
void json_bytes(Json *j, const char *key, const char *text, size_t n);
void json_newline(Json *j);

#endif
