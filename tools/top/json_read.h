/* json_read.h: a JSON document (RFC 8259) in memory, for gosched-top.
 */
#ifndef GS_JSON_READ_H
#define GS_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json_value {
  json_kind kind;
  double number;            /* of a number; 1 or 0 of a bool */
  char *text;               /* of a text, UTF-8; a NUL in it ends it */
  struct json_value *items; /* of a list or an object */
  char **keys;              /* of an object, one for each item */
  size_t n;
} json_value;

/* NULL: it is no JSON, or memory is out. */
json_value *json_parse(const char *text, size_t n);
void json_free(json_value *v);

/* The value of a key, or NULL; v may be NULL or anything else than an object. */
const json_value *json_get(const json_value *v, const char *key);
/* What is there, or 0 and "" where it is missing or of another kind. */
double json_number(const json_value *v, const char *key);
const char *json_text(const json_value *v, const char *key);

#endif
