-- ffi_support.lua: what the tests of gosched.ffi share: the helper library, and cases that run both
-- outside gosched.run and inside.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi
local support = {check = check, gosched = gosched, ffi = ffi}

ffi.cdef [[
  struct point { double x, y; };
  struct small { signed char a, b, c; };
  struct big { int64_t v[8]; };
  struct bits { unsigned a : 3; int b : 5; unsigned long long c : 40; _Bool d : 1; };
  struct __attribute__((packed)) packed { char a; int b; double c; };
  union word { uint32_t u; float f; unsigned char bytes[4]; };
  struct node { struct node *next; int value; };
  struct thing;
  typedef int callback(int);
  typedef int (*callback_p)(int);

  struct point point_add(struct point a, struct point b);
  struct small small_next(struct small v);
  struct big big_next(struct big v);
  double point_length2(const struct point *p);
  void bits_fill(struct bits *b);
  int bits_are(const struct bits *b, unsigned a, int s, unsigned long long c, int d);
  unsigned long bits_size(void);
  unsigned long packed_size(void);
  double packed_sum(const struct packed *p);
  union word word_next(union word w);
  double _Complex complex_square(double _Complex z);
  float _Complex complexf_half(float _Complex z);
  uint64_t u64_identity(uint64_t v);
  long double ldouble_half(long double v);
  int sum_ints(int n, ...);
  double sum_doubles(int n, ...);
  int call_it(callback *f, int v);
  int call_twice(callback *f, int v);
  double call_double(double (*f)(double, float), double a, float b);
  struct point call_point(struct point (*f)(struct point, int), struct point p, int n);
  const char *call_text(const char *(*f)(const char *), const char *text);
  _Bool call_bool(_Bool (*f)(_Bool), _Bool v);
  int64_t call_many(int64_t (*f)(int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t,
                                 uint64_t, float, double));
  int call_on_thread(callback *f, int v);
  int call_on_threads(callback *f, int n, int times);
  int later_start(callback *f, int v, int times);
  int later_join(void);
  int start_calling(callback *f, int n);
  void stop_calling(void);
  void keep_callback(callback *f);
  int call_kept(int v);
  struct thing *thing_new(int id);
  void thing_free(struct thing *t);
  int things_live(void);
  int list_sum(const struct node *n);
  extern int table[4];
  extern const char *words[3];
  extern struct point origin;
  extern callback_p chosen;
  extern const int fixed;
  int wait_for_byte(int unused);
  int pipe_open(void);
  void pipe_close(void);
  void wake_up(int v);

  size_t strlen(const char *s);
  int snprintf(char *to, size_t size, const char *format, ...);
  void *malloc(size_t size);
  void free(void *p);
  int abs(int v);
  int strcmp(const char *a, const char *b);
  void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
]]

support.helper = ffi.load(arg[3])

function support.case(name, body)
  check.case(name .. " (outside run)", body)
  check.case(name .. " (inside run)", function() gosched.run(body) end)
end

-- Collects what is garbage, finalizers' garbage too.
function support.collect()
  for _ = 1, 3 do collectgarbage() end
end

return support
