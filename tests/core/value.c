/* value.c: what languages send each other: written, read, refused, damaged, and without memory.
 *
 * The program is linked so that the library's malloc and realloc come here.
 */
#include "support.h"

#include <math.h>
#include <stdbool.h>

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);

static long allowed = -1; /* allocations until one fails; -1: none does */
static long made;         /* allocations; of this thread, for there is one */

static bool fails_now(void) {
  if (allowed == 0) return true;
  if (allowed > 0) allowed--;
  made++;
  return false;
}

void *__wrap_malloc(size_t size) { return fails_now() ? NULL : __real_malloc(size); }
void *__wrap_realloc(void *p, size_t size) { return fails_now() ? NULL : __real_realloc(p, size); }

/* ---- scalars ---- */

static gs_value_item only(const gs_value *v) {
  gs_value_reader r;
  gs_value_item it, more;
  gs_value_read(v, &r);
  assert_int_equal(gs_value_next(&r, &it), GS_OK);
  assert_int_equal(it.type, gs_value_type(v));
  assert_int_equal(gs_value_next(&r, &more), GS_EINVAL);
  assert_int_equal(more.type, GS_VALUE_NULL);
  return it;
}

static void test_scalars(void **state) {
  (void)state;
  gs_value v = {{0, 0}};
  static const int64_t ints[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1 << 20};
  static const double doubles[] = {0.0, -0.0, 1.5, HUGE_VAL, -HUGE_VAL, 5e-324, 1.7e308};
  made = 0;
  assert_int_equal(only(&v).type, GS_VALUE_NULL);
  gs_value_bool(7, &v);
  assert_int_equal(only(&v).type, GS_VALUE_BOOL);
  assert_int_equal(only(&v).i, 1);
  gs_value_bool(0, &v);
  assert_int_equal(only(&v).i, 0);
  for (size_t i = 0; i < COUNT(ints); i++) {
    gs_value_int(ints[i], &v);
    assert_int_equal(only(&v).type, GS_VALUE_INT);
    assert_true(only(&v).i == ints[i]);
  }
  for (size_t i = 0; i < COUNT(doubles); i++) {
    gs_value_double(doubles[i], &v);
    double d = only(&v).d;
    assert_memory_equal(&d, &doubles[i], sizeof d);
  }
  gs_value_double(NAN, &v);
  assert_true(isnan(only(&v).d));
  gs_value_null(&v);
  assert_int_equal(only(&v).type, GS_VALUE_NULL);
  gs_value_free(&v);
  gs_value_free(NULL);
  assert_int_equal(gs_value_type(NULL), GS_VALUE_NULL);
  assert_int_equal(made, 0); /* none of them needs memory */
}

static void test_texts_of_all_lengths(void **state) {
  (void)state;
  char text[300];
  for (size_t n = 0; n < sizeof text; n++) {
    gs_value v;
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + (i + n) % 26);
    if (n > 2) text[n / 2] = 0;
    made = 0;
    assert_int_equal(gs_value_text(text, n, &v), GS_OK);
    assert_int_equal(made, n > 14);
    gs_value_item it = only(&v);
    assert_int_equal(it.type, GS_VALUE_TEXT);
    assert_int_equal(it.n, n);
    assert_memory_equal(it.s, text, n);
    gs_value_free(&v);
    for (size_t i = 0; i < n; i++) text[i] = (char)(0x80 + i);
    assert_int_equal(gs_value_bytes(text, n, &v), GS_OK);
    it = only(&v);
    assert_int_equal(it.type, GS_VALUE_BYTES);
    assert_int_equal(it.n, n);
    assert_memory_equal(it.s, text, n);
    gs_value_free(&v);
    assert_int_equal(gs_value_type(&v), GS_VALUE_NULL);
  }
}

/* ---- UTF-8 ---- */

static void test_utf8(void **state) {
  (void)state;
  static const char *const good[] = {"",
                                     "plain",
                                     "\xc2\x80",
                                     "\xdf\xbf",
                                     "\xe0\xa0\x80",
                                     "\xed\x9f\xbf",
                                     "\xee\x80\x80",
                                     "\xef\xbf\xbf",
                                     "\xf0\x90\x80\x80",
                                     "\xf4\x8f\xbf\xbf",
                                     "12345678gr\xc3\xbc\xc3\x9f"
                                     "e12345678",
                                     "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"};
  static const struct {
    const char *s;
    size_t at;
  } bad[] = {{"\x80", 0},
             {"\xbf", 0},
             {"\xc0\x80", 0},
             {"\xc1\xbf", 0},
             {"ab\xc3", 2},
             {"ab\xc3(", 2},
             {"\xe0\x9f\xbf", 0},
             {"\xed\xa0\x80", 0},
             {"\xed\xbf\xbf", 0},
             {"\xe2\x82", 0},
             {"\xf0\x8f\xbf\xbf", 0},
             {"\xf4\x90\x80\x80", 0},
             {"\xf5\x80\x80\x80", 0},
             {"\xff", 0},
             {"12345678901234567890\xff", 20},
             {"1234567\xe2\x82\xac\xe2(\xac", 10},
             {"\xf0\x9f\x98", 0}};
  gs_value v;
  char says[40];
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_int_equal(gs_value_text(good[i], strlen(good[i]), &v), GS_OK);
    gs_value_free(&v);
  }
  for (size_t i = 0; i < COUNT(bad); i++) {
    assert_int_equal(gs_value_text(bad[i].s, strlen(bad[i].s), &v), GS_EINVAL);
    assert_int_equal(gs_value_type(&v), GS_VALUE_NULL);
    snprintf(says, sizeof says, "byte %zu of %zu", bad[i].at, strlen(bad[i].s));
    assert_non_null(strstr(gs_error_detail(), says));
    assert_int_equal(gs_value_bytes(bad[i].s, strlen(bad[i].s), &v), GS_OK);
    gs_value_free(&v);
  }
}

/* ---- random values ---- */

/* Written and then compared by the same sequence of random choices. */
typedef struct {
  uint64_t seed;
  int left; /* values that may still be made */
} Source;

static unsigned pick(Source *s, unsigned n) { return (unsigned)(random_next(&s->seed) % n); }

static size_t random_text(Source *s, char *to, size_t room) {
  static const char *const parts[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "0", ""};
  size_t n = 0, parts_n = pick(s, pick(s, 4) ? 8 : 60);
  for (size_t i = 0; i < parts_n; i++) {
    const char *p = parts[pick(s, COUNT(parts))];
    if (n + 5 > room) break;
    memcpy(to + n, p, strlen(p));
    n += *p ? strlen(p) : 1;
    if (!*p) to[n - 1] = 0;
  }
  return n;
}

static void put_random(gs_value_writer *w, Source *s, int depth, bool key) {
  char text[300];
  unsigned kind = key ? 1 + pick(s, 5) : pick(s, depth > 0 ? 8 : 6);
  unsigned n;
  s->left--;
  switch (kind) {
    case GS_VALUE_NULL: gs_value_put_null(w); break;
    case GS_VALUE_BOOL: gs_value_put_bool(w, (int)pick(s, 2)); break;
    case GS_VALUE_INT: gs_value_put_int(w, (int64_t)random_next(&s->seed)); break;
    case GS_VALUE_DOUBLE: gs_value_put_double(w, (double)(int64_t)random_next(&s->seed)); break;
    case GS_VALUE_TEXT: gs_value_put_text(w, text, random_text(s, text, sizeof text)); break;
    case GS_VALUE_BYTES: gs_value_put_bytes(w, text, random_text(s, text, sizeof text)); break;
    case GS_VALUE_LIST:
      n = s->left > 0 ? pick(s, 6) : 0;
      gs_value_put_list(w);
      for (unsigned i = 0; i < n; i++) put_random(w, s, depth - 1, false);
      gs_value_put_end(w);
      break;
    default:
      n = s->left > 0 ? pick(s, 6) : 0;
      gs_value_put_map(w);
      for (unsigned i = 0; i < n; i++) {
        put_random(w, s, depth - 1, true);
        put_random(w, s, depth - 1, false);
      }
      gs_value_put_end(w);
      break;
  }
}

static void expect_random(gs_value_reader *r, Source *s, int depth, bool key) {
  char text[300];
  unsigned kind = key ? 1 + pick(s, 5) : pick(s, depth > 0 ? 8 : 6);
  unsigned n;
  double d;
  gs_value_item it;
  s->left--;
  assert_int_equal(gs_value_next(r, &it), GS_OK);
  assert_int_equal(it.type, kind);
  switch (kind) {
    case GS_VALUE_NULL: break;
    case GS_VALUE_BOOL: assert_int_equal(it.i, pick(s, 2)); break;
    case GS_VALUE_INT: assert_true(it.i == (int64_t)random_next(&s->seed)); break;
    case GS_VALUE_DOUBLE:
      d = (double)(int64_t)random_next(&s->seed);
      assert_memory_equal(&it.d, &d, sizeof d);
      break;
    case GS_VALUE_TEXT:
    case GS_VALUE_BYTES:
      assert_int_equal(it.n, random_text(s, text, sizeof text));
      assert_memory_equal(it.s, text, it.n);
      break;
    default:
      n = s->left > 0 ? pick(s, 6) : 0;
      assert_int_equal(it.n, n);
      for (unsigned i = 0; i < n; i++) {
        if (kind == GS_VALUE_MAP) expect_random(r, s, depth - 1, true);
        expect_random(r, s, depth - 1, false);
      }
      break;
  }
}

static void test_random_values(void **state) {
  (void)state;
  for (uint64_t i = 1; i <= SCALE(5000); i++) {
    Source a = {i * 0x9e3779b97f4a7c15u, 300}, b = a;
    gs_value_writer w;
    gs_value_reader r;
    gs_value_item it;
    gs_value v;
    gs_value_begin(&w);
    put_random(&w, &a, 6, false);
    assert_int_equal(gs_value_end(&w, &v), GS_OK);
    gs_value_read(&v, &r);
    expect_random(&r, &b, 6, false);
    assert_int_equal(gs_value_next(&r, &it), GS_EINVAL);
    gs_value_free(&v);
  }
}

/* ---- what is refused ---- */

static void ends_with(gs_value_writer *w, int code, const char *says) {
  gs_value v;
  char detail[256];
  assert_int_equal(w->error, code);
  snprintf(detail, sizeof detail, "%s", gs_error_detail());
  assert_int_equal(gs_value_put_int(w, 1), code); /* nothing helps any more */
  assert_int_equal(gs_value_put_list(w), code);
  assert_int_equal(gs_value_put_end(w), code);
  assert_int_equal(gs_value_end(w, &v), code);
  assert_int_equal(gs_value_type(&v), GS_VALUE_NULL);
  if (!strstr(detail, says)) fail_msg("\"%s\" does not say \"%s\"", detail, says);
}

static void test_refused(void **state) {
  (void)state;
  gs_value_writer w;
  gs_value v;
  gs_value_begin(&w);
  assert_int_equal(gs_value_end(&w, &v), GS_EINVAL);
  gs_value_begin(&w);
  gs_value_put_text(&w, "a text that has a block", 23);
  gs_value_put_int(&w, 2);
  ends_with(&w, GS_EINVAL, "second value");
  gs_value_begin(&w);
  gs_value_put_end(&w);
  ends_with(&w, GS_EINVAL, "not begun");
  gs_value_begin(&w);
  gs_value_put_list(&w);
  assert_int_equal(gs_value_end(&w, &v), GS_EINVAL);
  assert_non_null(strstr(gs_error_detail(), "no end"));
  gs_value_begin(&w);
  gs_value_put_map(&w);
  gs_value_put_int(&w, 1);
  gs_value_put_end(&w);
  ends_with(&w, GS_EINVAL, "without a value");
  static int (*const no_keys[])(gs_value_writer *) = {gs_value_put_null, gs_value_put_list,
                                                      gs_value_put_map};
  for (size_t i = 0; i < COUNT(no_keys); i++) {
    gs_value_begin(&w);
    gs_value_put_map(&w);
    gs_value_put_double(&w, 1);
    gs_value_put_null(&w);
    no_keys[i](&w);
    ends_with(&w, GS_ETYPE, "key of a map");
  }
  gs_value_begin(&w);
  gs_value_put_list(&w);
  gs_value_put_text(&w, "\xff", 1);
  ends_with(&w, GS_EINVAL, "UTF-8");
  gs_value_begin(&w);
  gs_value_put_bytes(&w, NULL, 1);
  ends_with(&w, GS_EINVAL, "NULL");
  assert_int_equal(gs_value_bytes("x", (size_t)GS_VALUE_MOST + 1, &v), GS_EINVAL);
}

static void test_depth(void **state) {
  (void)state;
  gs_value_writer w;
  gs_value_reader r;
  gs_value_item it;
  gs_value v;
  for (int depth = GS_VALUE_DEPTH; depth <= GS_VALUE_DEPTH + 1; depth++) {
    gs_value_begin(&w);
    for (int i = 0; i < depth; i++) gs_value_put_list(&w);
    for (int i = 0; i < depth; i++) gs_value_put_end(&w);
    if (depth > GS_VALUE_DEPTH) {
      ends_with(&w, GS_EINVAL, "deeper");
      continue;
    }
    assert_int_equal(gs_value_end(&w, &v), GS_OK);
    gs_value_read(&v, &r);
    for (int i = 0; i < depth; i++) assert_int_equal(gs_value_next(&r, &it), GS_OK);
    assert_int_equal(it.n, 0);
    assert_int_equal(gs_value_next(&r, &it), GS_EINVAL);
    gs_value_free(&v);
  }
}

static void test_dropped(void **state) {
  (void)state;
  gs_value_writer w;
  gs_value v;
  gs_value_begin(&w);
  gs_value_put_list(&w);
  for (int i = 0; i < 1000; i++) gs_value_put_int(&w, i);
  gs_value_drop(&w);
  gs_value_put_bool(&w, 1); /* as new */
  assert_int_equal(gs_value_end(&w, &v), GS_OK);
  assert_int_equal(gs_value_type(&v), GS_VALUE_BOOL);
}

/* ---- damage ---- */

/* Reads all there is, as a binding does; the sanitizers see what is read. */
static int read_all(gs_value_reader *r, int depth) {
  gs_value_item it;
  volatile char sum = 0;
  int e = gs_value_next(r, &it);
  if (e != GS_OK || depth > 200) return GS_EINVAL;
  for (size_t i = 0; it.s && i < it.n; i++) sum = (char)(sum + it.s[i]);
  if (it.type != GS_VALUE_LIST && it.type != GS_VALUE_MAP) return GS_OK;
  for (size_t i = 0; i < it.n * (it.type == GS_VALUE_MAP ? 2 : 1); i++)
    if (read_all(r, depth + 1) != GS_OK) return GS_EINVAL;
  return GS_OK;
}

/* A value whose block is somebody else's bytes. */
static void test_damaged(void **state) {
  (void)state;
  uint64_t seed = 12345;
  gs_value_reader r;
  gs_value_item it;
  for (int type = GS_VALUE_LIST; type < 256; type++)
    for (int far = 0; far < 2; far++) {
      unsigned char b[sizeof(gs_value)] = {(unsigned char)type, far ? 200 : 0};
      gs_value v;
      memcpy(&v, b, sizeof v);
      gs_value_read(&v, &r);
      assert_int_equal(gs_value_next(&r, &it), GS_EINVAL);
    }
  for (int i = 0; i < SCALE(5000); i++) {
    gs_value_writer w;
    gs_value v;
    Source s = {random_next(&seed), 100};
    gs_value_begin(&w);
    gs_value_put_list(&w);
    put_random(&w, &s, 4, false);
    put_random(&w, &s, 4, false);
    gs_value_put_end(&w);
    assert_int_equal(gs_value_end(&w, &v), GS_OK);
    size_t *block; /* its size, then the row */
    memcpy(&block, (const char *)&v + 8, sizeof(void *));
    size_t size = *block, keep = size;
    unsigned char *row = (unsigned char *)(block + 1);
    row[random_next(&seed) % size] = (unsigned char)random_next(&seed);
    if (random_next(&seed) % 4 == 0) *block = random_next(&seed) % size;
    gs_value_read(&v, &r);
    (void)read_all(&r, 0);
    *block = keep;
    gs_value_free(&v);
  }
}

/* ---- no memory ---- */

static int build(gs_value *v) {
  gs_value_writer w;
  char text[100] = {0};
  gs_value_begin(&w);
  gs_value_put_map(&w);
  for (int i = 0; i < 60; i++) {
    gs_value_put_int(&w, i);
    gs_value_put_text(&w, text, sizeof text);
  }
  gs_value_put_end(&w);
  return gs_value_end(&w, v);
}

static void test_no_memory(void **state) {
  (void)state;
  gs_value v;
  char text[20] = {0};
  allowed = 0;
  assert_int_equal(gs_value_text(text, sizeof text, &v), GS_ENOMEM);
  assert_int_equal(gs_value_type(&v), GS_VALUE_NULL);
  assert_int_equal(gs_value_text(text, 14, &v), GS_OK);
  int e = GS_ENOMEM;
  long n = 0;
  for (; e == GS_ENOMEM && n < 100; n++) {
    allowed = n;
    e = build(&v);
    allowed = -1;
    if (e == GS_OK) break;
    assert_int_equal(gs_value_type(&v), GS_VALUE_NULL);
    assert_non_null(strstr(gs_error_detail(), "out of memory"));
  }
  assert_int_equal(e, GS_OK);
  assert_true(n > 2);
  gs_value_free(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),   cmocka_unit_test(test_texts_of_all_lengths),
      cmocka_unit_test(test_utf8),      cmocka_unit_test(test_random_values),
      cmocka_unit_test(test_refused),   cmocka_unit_test(test_depth),
      cmocka_unit_test(test_dropped),   cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
