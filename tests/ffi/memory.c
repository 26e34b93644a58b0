/* memory.c: gs_mem: what is where, values in and out, and everything that is refused. */
#include "support.h"

#include <math.h>
#include <pthread.h>

#include "gosched_ffi.h"

struct inner {
  char tag;
  int c;
};
struct outer {
  int a;
  struct inner b[4];
  union {
    float f;
    uint32_t raw;
  };
  struct {
    short deep[2][3];
  };
  unsigned low : 3;
  int mid : 11;
  unsigned long long high : 40;
  _Bool yes : 1;
  const int fixed;
  char name[8];
  double d;
  long double ld;
  _Bool flag;
  void *next;
  enum { RED = -1, GREEN } color;
};
struct __attribute__((packed)) tight {
  char c;
  int64_t v;
  uint16_t w;
};
struct tail {
  int n;
  short data[];
};

static const char decls[] =
    "struct inner { char tag; int c; };"
    "struct outer { int a; struct inner b[4]; union { float f; unsigned raw; };"
    " struct { short deep[2][3]; }; unsigned low : 3; int mid : 11; unsigned long long high : 40;"
    " _Bool yes : 1; const int fixed; char name[8]; double d; long double ld; _Bool flag;"
    " void *next; enum { RED = -1, GREEN } color; };"
    "struct __attribute__((packed)) tight { char c; long long v; unsigned short w; };"
    "struct tail { int n; short data[]; }; struct hidden;";

static gs_ffi *ffi;
static gs_ffi_error err;

static const gs_type *type(const char *text) {
  const gs_type *t = NULL;
  if (gs_ffi_type(ffi, text, &t, &err) != GS_OK) fail_msg("%s", err.text);
  return t;
}

static gs_mem *new_mem(const char *text, size_t count) {
  gs_mem *m = NULL;
  if (gs_mem_new(ffi, type(text), count, &m, &err) != GS_OK) fail_msg("%s", err.text);
  return m;
}

static void says(int code, int expected, const char *text) {
  if (code != expected || err.code != expected || !strstr(err.text, text))
    fail_msg("(%d) %s\n  expected (%d) …%s…", code, err.text, expected, text);
}

static int setup(void **state) {
  (void)state;
  ffi = gs_ffi_new();
  if (gs_ffi_cdef(ffi, decls, &err) != GS_OK) fail_msg("%s", err.text);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

static int64_t get(gs_mem *m, size_t i, const char *path) {
  int64_t v = 0;
  if (gs_mem_get_int64(m, i, path, &v, &err) != GS_OK) fail_msg("%s", err.text);
  return v;
}

static void set(gs_mem *m, size_t i, const char *path, int64_t v) {
  if (gs_mem_set_int64(m, i, path, v, &err) != GS_OK) fail_msg("%s", err.text);
}

/* ---- places ---- */

static void test_places(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 2);
  struct outer *o = gs_mem_addr(m);
  gs_place at;
  assert_int_equal(gs_mem_size(m), 2 * sizeof(struct outer));
  assert_int_equal(gs_mem_count(m), 2);
  assert_ptr_equal(gs_mem_type(m), type("struct outer"));
  const struct {
    const char *path;
    void *addr;
    size_t size;
  } all[] = {
      {"a", &o[1].a, 4},
      {"b", o[1].b, sizeof o[1].b},
      {"b[3]", &o[1].b[3], sizeof o[1].b[3]},
      {"b[3].c", &o[1].b[3].c, 4},
      {"raw", &o[1].raw, 4},
      {"f", &o[1].f, 4},
      {"deep", o[1].deep, sizeof o[1].deep},
      {"deep[1]", o[1].deep[1], sizeof o[1].deep[1]},
      {"deep[1][2]", &o[1].deep[1][2], 2},
      {"name[7]", &o[1].name[7], 1},
      {"ld", &o[1].ld, sizeof(long double)},
      {"", &o[1], sizeof o[1]},
      {NULL, &o[1], sizeof o[1]},
  };
  for (size_t i = 0; i < COUNT(all); i++) {
    assert_int_equal(gs_mem_at(m, 1, all[i].path, &at, &err), GS_OK);
    assert_ptr_equal(at.addr, all[i].addr);
    assert_int_equal(at.size, all[i].size);
    assert_int_equal(at.bit_width, 0);
  }
  assert_int_equal(gs_mem_at(m, 0, "mid", &at, &err), GS_OK);
  assert_int_equal(at.bit_width, 11);
  assert_int_equal(gs_mem_at(m, 0, "b", &at, &err), GS_OK);
  assert_int_equal(at.count, 4);
  gs_mem_release(m);
}

static void test_refused_places(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 2);
  gs_place at;
  const struct {
    const char *path;
    int code;
    const char *text;
  } all[] = {
      {"b[4]", GS_EINVAL, "index 4 is out of range: 'struct inner[4]' has 4"},
      {"b[18446744073709551616]", GS_EINVAL, "path"},
      {"b[18446744073709551615]", GS_EINVAL, "out of range"},
      {"deep[2][0]", GS_EINVAL, "out of range"},
      {"deep[0][3]", GS_EINVAL, "out of range"},
      {"b[-1]", GS_EINVAL, "wrong at '[-1]'"},
      {"b[]", GS_EINVAL, "wrong at '[]'"},
      {"b[1", GS_EINVAL, "wrong at '[1'"},
      {"b.c", GS_ETYPE, "'struct inner[4]' has no members, 'c' was asked for"},
      {"nothing", GS_EINVAL, "'struct outer' has no member 'nothing'"},
      {"b[1].nothing", GS_EINVAL, "no member 'nothing'"},
      {"a[0]", GS_ETYPE, "'int' is not an array"},
      {"next.a", GS_ETYPE, "does not follow pointers"},
      {"next[0]", GS_ETYPE, "does not follow pointers"},
      {".a", GS_EINVAL, "wrong at '.a'"},
      {"a.", GS_EINVAL, "wrong at ''"},
      {"b[1]c", GS_EINVAL, "wrong at 'c'"},
      {"b[1]..c", GS_EINVAL, "wrong at '.c'"},
      {"1", GS_EINVAL, "wrong at '1'"},
      {"a b", GS_EINVAL, "wrong at ' b'"},
  };
  for (size_t i = 0; i < COUNT(all); i++)
    says(gs_mem_at(m, 0, all[i].path, &at, &err), all[i].code, all[i].text);
  says(gs_mem_at(m, 2, NULL, &at, &err), GS_EINVAL, "index 2 is out of range: there are 2");
  says(gs_mem_at(NULL, 0, NULL, &at, &err), GS_EINVAL, "mem is NULL");
  says(gs_mem_at(m, 0, NULL, NULL, &err), GS_EINVAL, "out is NULL");
  assert_int_equal(gs_mem_at(m, 2, NULL, &at, NULL), GS_EINVAL);
  gs_mem_release(m);
}

/* ---- numbers ---- */

static void test_numbers(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 1);
  struct outer *o = gs_mem_addr(m);
  double d = 0;
  uint64_t u = 0;
  set(m, 0, "a", -5);
  set(m, 0, "b[2].c", INT32_MIN);
  set(m, 0, "b[2].tag", 'x');
  set(m, 0, "color", -1);
  set(m, 0, "flag", 1);
  set(m, 0, "d", 3);
  set(m, 0, "ld", -7);
  assert_int_equal(o->a, -5);
  assert_int_equal(o->b[2].c, INT32_MIN);
  assert_int_equal(o->b[2].tag, 'x');
  assert_int_equal(o->color, RED);
  assert_true(o->flag && o->d == 3 && o->ld == -7);
  assert_int_equal(get(m, 0, "ld"), -7);
  assert_int_equal(get(m, 0, "color"), -1);
  assert_int_equal(get(m, 0, "flag"), 1);
  assert_int_equal(gs_mem_set_double(m, 0, "f", 0.5, &err), GS_OK);
  assert_true(o->f == 0.5f);
  assert_int_equal(gs_mem_get_double(m, 0, "f", &d, &err), GS_OK);
  assert_true(d == 0.5);
  assert_int_equal(gs_mem_get_uint64(m, 0, "raw", &u, &err), GS_OK);
  assert_int_equal(u, 0x3f000000);
  assert_int_equal(gs_mem_set_double(m, 0, "a", 12.0, &err), GS_OK);
  assert_int_equal(o->a, 12);
  assert_int_equal(gs_mem_get_double(m, 0, "a", &d, &err), GS_OK);
  assert_true(d == 12);
  gs_mem_release(m);
  m = new_mem("unsigned long", 2);
  assert_int_equal(gs_mem_set_uint64(m, 1, NULL, UINT64_MAX, &err), GS_OK);
  assert_int_equal(gs_mem_get_uint64(m, 1, NULL, &u, &err), GS_OK);
  assert_true(u == UINT64_MAX);
  assert_int_equal(gs_mem_get_double(m, 1, NULL, &d, &err), GS_OK);
  assert_true(d == 0x1p64);
  int64_t v = 0;
  says(gs_mem_get_int64(m, 1, NULL, &v, &err), GS_EINVAL, "18446744073709551615");
  gs_mem_release(m);
}

static void test_ranges(void **state) {
  (void)state;
  static const char *const names[] = {"int8_t",  "uint8_t",  "int16_t", "uint16_t",
                                      "int32_t", "uint32_t", "int64_t", "_Bool"};
  static const struct {
    int64_t least;
    uint64_t most;
  } ends[] = {{INT8_MIN, INT8_MAX},   {0, UINT8_MAX},  {INT16_MIN, INT16_MAX}, {0, UINT16_MAX},
              {INT32_MIN, INT32_MAX}, {0, UINT32_MAX}, {INT64_MIN, INT64_MAX}, {0, 1}};
  for (size_t i = 0; i < COUNT(names); i++) {
    gs_mem *m = new_mem(names[i], 3);
    set(m, 1, NULL, ends[i].least);
    assert_true(get(m, 1, NULL) == ends[i].least);
    assert_int_equal(gs_mem_set_uint64(m, 1, NULL, ends[i].most, &err), GS_OK);
    assert_true((uint64_t)get(m, 1, NULL) == ends[i].most);
    says(gs_mem_set_uint64(m, 1, NULL, ends[i].most + 1, &err), GS_EINVAL, "does not fit");
    if (ends[i].least > INT64_MIN)
      says(gs_mem_set_int64(m, 1, NULL, ends[i].least - 1, &err), GS_EINVAL, names[i]);
    says(gs_mem_set_double(m, 1, NULL, 0.5, &err), GS_EINVAL, "0.5 does not fit");
    says(gs_mem_set_double(m, 1, NULL, 1e30, &err), GS_EINVAL, "1e+30");
    says(gs_mem_set_double(m, 1, NULL, (double)NAN, &err), GS_EINVAL, "nan");
    assert_true((uint64_t)get(m, 1, NULL) == ends[i].most); /* as it was */
    assert_int_equal(get(m, 0, NULL), 0);
    assert_int_equal(get(m, 2, NULL), 0);
    gs_mem_release(m);
  }
  gs_mem *m = new_mem("double", 1);
  int64_t v = 0;
  uint64_t u = 0;
  assert_int_equal(gs_mem_set_double(m, 0, NULL, -0.5, &err), GS_OK);
  says(gs_mem_get_int64(m, 0, NULL, &v, &err), GS_EINVAL, "-0.5");
  assert_int_equal(gs_mem_set_double(m, 0, NULL, -3, &err), GS_OK);
  says(gs_mem_get_uint64(m, 0, NULL, &u, &err), GS_EINVAL, "-3");
  assert_int_equal(get(m, 0, NULL), -3);
  assert_int_equal(gs_mem_set_double(m, 0, NULL, (double)INFINITY, &err), GS_OK);
  says(gs_mem_get_int64(m, 0, NULL, &v, &err), GS_EINVAL, "inf");
  gs_mem_release(m);
}

static void test_bits(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 1);
  struct outer *o = gs_mem_addr(m);
  uint64_t seed = 12345;
  for (int i = 0; i < 2000; i++) {
    unsigned low = random_next(&seed) & 7;
    int mid = (int)(random_next(&seed) % 2048) - 1024;
    uint64_t high = random_next(&seed) & (((uint64_t)1 << 40) - 1);
    o->low = low ^ 5, o->mid = mid, o->high = high, o->yes = i & 1;
    set(m, 0, "low", low);
    assert_true(o->low == low && o->mid == mid && o->high == high && o->yes == (i & 1));
    assert_int_equal(get(m, 0, "mid"), mid);
    assert_int_equal(get(m, 0, "high"), high);
    assert_int_equal(get(m, 0, "yes"), i & 1);
    set(m, 0, "mid", ~mid);
    set(m, 0, "high", (int64_t)(high ^ 0xffff));
    set(m, 0, "yes", !(i & 1));
    assert_true(o->low == low && o->mid == ~mid && o->high == (high ^ 0xffff) &&
                o->yes == !(i & 1));
  }
  says(gs_mem_set_int64(m, 0, "low", 8, &err), GS_EINVAL, "from 0 to 7");
  says(gs_mem_set_int64(m, 0, "mid", 1024, &err), GS_EINVAL, "from -1024 to 1023");
  says(gs_mem_set_int64(m, 0, "high", -1, &err), GS_EINVAL, "from 0 to 1099511627775");
  says(gs_mem_set_int64(m, 0, "yes", 2, &err), GS_EINVAL, "from 0 to 1");
  gs_mem *view = NULL;
  says(gs_mem_view(m, 0, "mid", &view, &err), GS_ETYPE, "bit-field");
  gs_mem_release(m);
}

static void test_packed(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct tight", 3);
  struct tight *t = gs_mem_addr(m);
  set(m, 2, "v", INT64_MIN + 1);
  set(m, 2, "w", 65535);
  assert_true(t[2].v == INT64_MIN + 1 && t[2].w == 65535 && t[2].c == 0);
  assert_true(get(m, 2, "v") == INT64_MIN + 1);
  gs_mem_release(m);
}

/* ---- types that are not numbers ---- */

static void test_other_types(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 1);
  void *p = NULL;
  int64_t v = 0;
  assert_int_equal(gs_mem_set_pointer(m, 0, "next", m, &err), GS_OK);
  assert_int_equal(gs_mem_get_pointer(m, 0, "next", &p, &err), GS_OK);
  assert_ptr_equal(p, m);
  says(gs_mem_get_pointer(m, 0, "a", &p, &err), GS_ETYPE, "'int' is not a pointer");
  says(gs_mem_get_int64(m, 0, "next", &v, &err), GS_ETYPE, "not a number");
  says(gs_mem_set_int64(m, 0, "b", 1, &err), GS_ETYPE, "not a number");
  says(gs_mem_set_int64(m, 0, NULL, 1, &err), GS_ETYPE, "not a number");
  says(gs_mem_set_int64(m, 0, "fixed", 1, &err), GS_ETYPE, "const");
  assert_int_equal(get(m, 0, "fixed"), 0);
  gs_mem *view = NULL, *none = NULL;
  assert_int_equal(gs_mem_view(m, 0, "fixed", &view, &err), GS_OK);
  says(gs_mem_set_int64(view, 0, NULL, 1, &err), GS_ETYPE, "const");
  gs_mem_release(view);
  gs_mem_release(m);
  m = new_mem("void *const", 1);
  says(gs_mem_set_pointer(m, 0, NULL, NULL, &err), GS_ETYPE, "const");
  gs_mem_release(m);
  m = new_mem("__int128", 1);
  says(gs_mem_get_int64(m, 0, NULL, &v, &err), GS_ETYPE, "64 bits");
  gs_mem_release(m);
  says(gs_mem_new(ffi, type("void"), 1, &none, &err), GS_ETYPE, "'void' has no size");
  says(gs_mem_new(ffi, type("struct hidden"), 1, &none, &err), GS_ETYPE, "has no size");
  says(gs_mem_new(ffi, type("int(void)"), 1, &none, &err), GS_ETYPE, "has no size");
  says(gs_mem_new(ffi, type("int"), SIZE_MAX / 2, &none, &err), GS_ENOMEM, "too many");
  says(gs_mem_new(ffi, type("struct tail"), SIZE_MAX / 2, &none, &err), GS_ENOMEM, "too many");
  says(gs_mem_new(ffi, NULL, 1, &none, &err), GS_EINVAL, "type is NULL");
  says(gs_mem_new(ffi, type("int"), 1, NULL, &err), GS_EINVAL, "out is NULL");
  says(gs_mem_from(ffi, NULL, type("int"), 1, NULL, &none, &err), GS_EINVAL, "addr is NULL");
  assert_null(none);
}

static void test_flexible(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct tail", 5);
  struct tail *t = gs_mem_addr(m);
  gs_place at;
  assert_int_equal(gs_mem_count(m), 1);
  assert_int_equal(gs_mem_size(m), offsetof(struct tail, data) + 5 * sizeof(short));
  set(m, 0, "data[4]", -9);
  assert_int_equal(t->data[4], -9);
  says(gs_mem_at(m, 0, "data[5]", &at, &err), GS_EINVAL, "index 5 is out of range");
  assert_int_equal(gs_mem_at(m, 0, "data", &at, &err), GS_OK);
  assert_int_equal(at.count, 5);
  gs_mem *view = NULL, *whole = NULL;
  assert_int_equal(gs_mem_view(m, 0, "data", &view, &err), GS_OK);
  assert_int_equal(gs_mem_view(m, 0, NULL, &whole, &err), GS_OK);
  gs_mem_release(m);
  assert_int_equal(gs_mem_count(view), 5);
  assert_int_equal(get(view, 4, NULL), -9);
  assert_int_equal(get(whole, 0, "data[4]"), -9);
  gs_mem_release(view);
  gs_mem_release(whole);
  m = new_mem("int[]", 3);
  assert_int_equal(gs_mem_count(m), 3);
  gs_mem_release(m);
  m = new_mem("int[4]", 3);
  set(m, 2, "[3]", 5);
  assert_int_equal(get(m, 2, "[3]"), 5);
  says(gs_mem_at(m, 2, "[4]", &at, &err), GS_EINVAL, "out of range");
  gs_mem_release(m);
  m = new_mem("int", 0);
  says(gs_mem_at(m, 0, NULL, &at, &err), GS_EINVAL, "there are 0");
  gs_mem_release(m);
}

/* ---- text and bytes ---- */

static void test_text(void **state) {
  (void)state;
  char buf[16];
  size_t n = 0;
  gs_mem *m = new_mem("struct outer", 1), *s = NULL;
  struct outer *o = gs_mem_addr(m);
  assert_int_equal(gs_mem_set_string(m, 0, "name", "seven..", 7, &err), GS_OK);
  assert_string_equal(o->name, "seven..");
  says(gs_mem_set_string(m, 0, "name", "eight...", 8, &err), GS_EINVAL, "room for 8 bytes");
  assert_string_equal(o->name, "seven..");
  memcpy(o->name, "no end..", 8);
  assert_int_equal(gs_mem_get_string(m, 0, "name", buf, sizeof buf, &n, &err), GS_OK);
  assert_int_equal(n, 8);
  assert_string_equal(buf, "no end..");
  assert_int_equal(gs_mem_get_string(m, 0, "name", buf, 4, &n, &err), GS_OK);
  assert_int_equal(n, 8);
  assert_string_equal(buf, "no ");
  assert_int_equal(gs_mem_get_string(m, 0, "name", NULL, 0, &n, &err), GS_OK);
  says(gs_mem_get_string(m, 0, "a", buf, 4, &n, &err), GS_ETYPE, "array of characters");
  says(gs_mem_get_string(m, 0, "deep[0]", buf, 4, &n, &err), GS_ETYPE, "array of characters");
  says(gs_mem_set_string(m, 0, "name", NULL, 0, &err), GS_EINVAL, "text is NULL");
  gs_mem_release(m);
  assert_int_equal(gs_mem_string("abc", 3, &s, &err), GS_OK);
  assert_int_equal(gs_mem_count(s), 4);
  assert_string_equal(gs_mem_addr(s), "abc");
  assert_int_equal(gs_mem_set_string(s, 1, NULL, "xy", 2, &err), GS_OK);
  assert_string_equal(gs_mem_addr(s), "axy");
  says(gs_mem_set_string(s, 2, NULL, "xy", 2, &err), GS_EINVAL, "room for 2 bytes");
  assert_int_equal(gs_mem_get_string(s, 2, NULL, buf, sizeof buf, NULL, &err), GS_OK);
  assert_string_equal(buf, "y");
  gs_mem_release(s);
  m = new_mem("const char[4]", 1);
  says(gs_mem_set_string(m, 0, NULL, "x", 1, &err), GS_ETYPE, "const");
  gs_mem_release(m);
  m = new_mem("uint16_t", 2);
  assert_int_equal(gs_mem_write(m, 1, "\1\2\3", 3, &err), GS_OK);
  assert_int_equal(gs_mem_read(m, 1, buf, 3, &err), GS_OK);
  assert_memory_equal(buf, "\1\2\3", 3);
  says(gs_mem_write(m, 2, "\1\2\3", 3, &err), GS_EINVAL, "out of range: there are 4");
  says(gs_mem_read(m, 5, buf, 0, &err), GS_EINVAL, "out of range");
  says(gs_mem_read(m, SIZE_MAX, buf, 2, &err), GS_EINVAL, "out of range");
  says(gs_mem_read(m, 0, NULL, 2, &err), GS_EINVAL, "buf is NULL");
  gs_mem_release(m);
}

/* ---- who owns it ---- */

static int freed;
static void *freed_at;
static void count_free(void *addr) {
  freed++;
  freed_at = addr;
}

static void test_free_functions(void **state) {
  (void)state;
  int numbers[4] = {1, 2, 3, 4};
  gs_mem *m = NULL, *view = NULL;
  void (*old)(void *) = NULL;
  freed = 0;
  assert_int_equal(gs_mem_from(ffi, numbers, type("int"), 4, count_free, &m, &err), GS_OK);
  assert_int_equal(get(m, 3, NULL), 4);
  assert_int_equal(gs_mem_view(m, 2, NULL, &view, &err), GS_OK);
  gs_mem_release(m);
  assert_int_equal(freed, 0); /* the view keeps it */
  assert_int_equal(get(view, 0, NULL), 3);
  says(gs_mem_free(view, &err), GS_EINVAL, "view");
  says(gs_mem_set_free(view, NULL, NULL, &err), GS_EINVAL, "view");
  gs_mem_release(view);
  assert_int_equal(freed, 1);
  assert_ptr_equal(freed_at, numbers);
  assert_int_equal(gs_mem_from(ffi, numbers, type("int"), 4, count_free, &m, &err), GS_OK);
  assert_int_equal(gs_mem_free(m, &err), GS_OK);
  assert_int_equal(freed, 2);
  gs_mem_release(m);
  assert_int_equal(freed, 2);
  assert_int_equal(gs_mem_from(ffi, numbers, type("int"), 4, NULL, &m, &err), GS_OK);
  assert_int_equal(gs_mem_set_free(m, count_free, &old, &err), GS_OK);
  assert_null(old);
  gs_mem_release(m);
  assert_int_equal(freed, 3);
  m = new_mem("double", 2); /* taken away */
  void *taken = gs_mem_addr(m);
  assert_int_equal(gs_mem_set_free(m, NULL, &old, &err), GS_OK);
  assert_true(old == free);
  gs_mem_release(m);
  free(taken);
}

static void test_use_after_free(void **state) {
  (void)state;
  gs_mem *m = new_mem("struct outer", 1), *view = NULL, *none = NULL;
  int64_t v = 0;
  uint64_t u = 0;
  double d = 0;
  void *p = NULL;
  char buf[8];
  gs_place at;
  assert_int_equal(gs_mem_view(m, 0, "b", &view, &err), GS_OK);
  assert_ptr_equal(gs_mem_pin(view), gs_mem_addr(view));
  says(gs_mem_free(m, &err), GS_EBUSY, "in use by 1");
  gs_mem_unpin(view);
  assert_int_equal(gs_mem_free(m, &err), GS_OK);
  says(gs_mem_free(m, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_free(m, NULL, NULL, &err), GS_EINVAL, "freed already");
  assert_null(gs_mem_addr(m));
  assert_null(gs_mem_addr(view));
  assert_null(gs_mem_pin(view));
  says(gs_mem_at(m, 0, NULL, &at, &err), GS_EINVAL, "freed already");
  says(gs_mem_view(view, 0, NULL, &none, &err), GS_EINVAL, "freed already");
  says(gs_mem_get_int64(view, 0, "c", &v, &err), GS_EINVAL, "freed already");
  says(gs_mem_get_uint64(m, 0, "a", &u, &err), GS_EINVAL, "freed already");
  says(gs_mem_get_double(m, 0, "d", &d, &err), GS_EINVAL, "freed already");
  says(gs_mem_get_pointer(m, 0, "next", &p, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_int64(m, 0, "a", 1, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_uint64(m, 0, "a", 1, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_double(m, 0, "d", 1, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_pointer(m, 0, "next", NULL, &err), GS_EINVAL, "freed already");
  says(gs_mem_set_string(m, 0, "name", "", 0, &err), GS_EINVAL, "freed already");
  says(gs_mem_get_string(m, 0, "name", buf, 8, NULL, &err), GS_EINVAL, "freed already");
  says(gs_mem_read(m, 0, buf, 8, &err), GS_EINVAL, "freed already");
  says(gs_mem_write(m, 0, buf, 8, &err), GS_EINVAL, "freed already");
  gs_mem_release(m);
  gs_mem_release(view);
  says(gs_mem_free(NULL, &err), GS_EINVAL, "mem is NULL");
  says(gs_mem_get_int64(NULL, 0, NULL, &v, &err), GS_EINVAL, "mem is NULL");
  says(gs_mem_read(NULL, 0, buf, 1, &err), GS_EINVAL, "mem is NULL");
  gs_mem_release(NULL);
  gs_mem_retain(NULL);
  gs_mem_unpin(NULL);
  assert_null(gs_mem_pin(NULL));
  assert_null(gs_mem_addr(NULL));
  assert_int_equal(gs_mem_size(NULL) + gs_mem_count(NULL), 0);
}

static void test_outlives_its_ffi(void **state) {
  (void)state;
  gs_ffi *own = gs_ffi_new();
  const gs_type *t = NULL;
  gs_mem *m = NULL, *view = NULL;
  assert_int_equal(gs_ffi_cdef(own, decls, &err), GS_OK);
  assert_int_equal(gs_ffi_type(own, "struct outer", &t, &err), GS_OK);
  assert_int_equal(gs_mem_new(own, t, 1, &m, &err), GS_OK);
  gs_ffi_free(own);
  set(m, 0, "b[1].c", 6);
  assert_int_equal(gs_mem_view(m, 0, "b", &view, &err), GS_OK);
  gs_mem_release(m);
  assert_int_equal(get(view, 1, "c"), 6);
  gs_mem_release(view);
}

/* Accesses and a free that meet: each access works or says that the memory is gone. */
typedef struct meet {
  gs_mem *mem;
  atomic_int go_on;
} meet;

static void *access_it(void *arg) {
  meet *x = arg;
  int64_t v = 0;
  while (!atomic_load(&x->go_on)) continue;
  for (int i = 0; i < 200; i++) {
    int e = gs_mem_set_int64(x->mem, 2, NULL, i, NULL);
    if (e == GS_OK) e = gs_mem_get_int64(x->mem, 2, NULL, &v, NULL);
    CHECK(e == GS_OK || e == GS_EINVAL);
  }
  gs_mem_release(x->mem);
  return NULL;
}

static void test_free_meets_accesses(void **state) {
  (void)state;
  for (int i = 0; i < SCALE(200); i++) {
    meet x = {new_mem("int", 4), 0};
    pthread_t t;
    gs_mem_retain(x.mem);
    assert_int_equal(pthread_create(&t, NULL, access_it, &x), 0);
    atomic_store(&x.go_on, 1);
    int e;
    while ((e = gs_mem_free(x.mem, NULL)) == GS_EBUSY) continue;
    CHECK_CODE(e, GS_OK);
    pthread_join(t, NULL);
    gs_mem_release(x.mem);
  }
  assert_int_equal(checks_failed(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_refused_places),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_bits),
      cmocka_unit_test(test_packed),
      cmocka_unit_test(test_other_types),
      cmocka_unit_test(test_flexible),
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_free_functions),
      cmocka_unit_test(test_use_after_free),
      cmocka_unit_test(test_outlives_its_ffi),
      cmocka_unit_test(test_free_meets_accesses),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
