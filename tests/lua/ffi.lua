-- ffi.lua: declaring, loading and calling C functions.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef [[
  _Bool id_bool(_Bool v);
  char id_char(char v);
  signed char id_schar(signed char v);
  unsigned char id_uchar(unsigned char v);
  short id_short(short v);
  unsigned short id_ushort(unsigned short v);
  int id_int(int v);
  unsigned id_uint(unsigned v);
  long id_long(long v);
  unsigned long id_ulong(unsigned long v);
  float id_float(float v);
  double id_double(double v);
  long double id_ldouble(long double v);
  void *id_pointer(void *v);
  enum color { RED, GREEN = 5, BLUE };
  enum color id_enum(enum color v);
  enum level { LOW = -1, HIGH = 1 };
  enum level id_level(enum level v);
  long add_ten(long, long, long, long, long, long, long, long, long, long);
  double add_mixed(int a, double b, long c, float d, short e, double f, long long g, float h,
                   unsigned char i, double j, int k, double l, long m, double n, int o, double p,
                   unsigned q, float r);
  int set_errno(int value);
  int nothing(void);
  extern int counter;
  extern const char *const greeting;

  size_t strlen(const char *s);
  char *strchr(const char *s, int c);
  char *getenv(const char *name);
  int snprintf(char *to, size_t size, const char *format, ...);
  void *malloc(size_t size);
  void free(void *p);
  void *memcpy(void *to, const void *from, size_t n);
  double cos(double x);
  int abs(int v);
]]

local helper = ffi.load(arg[1])
local libc = ffi.load "libc.so.6"
local libm = ffi.load "libm.so.6"

-- The same inside gosched.run, where calls are foreign calls of a green thread, and outside.
local function case(name, body)
  check.case(name .. " (outside run)", body)
  check.case(name .. " (inside run)", function() gosched.run(body) end)
end

case("whole numbers go through unchanged", function()
  for f, limits in pairs {
    [helper.id_schar] = {-128, 127},
    [helper.id_uchar] = {0, 255},
    [helper.id_short] = {-32768, 32767},
    [helper.id_ushort] = {0, 65535},
    [helper.id_int] = {-2147483648, 2147483647},
    [helper.id_uint] = {0, 4294967295},
    [helper.id_long] = {math.mininteger, math.maxinteger},
  } do
    for _, v in ipairs {limits[1], 0, 1, limits[2]} do check.equal(f(v), v) end
  end
  check.equal(helper.id_char(120), 120)
  check.equal(helper.id_ulong(-1), -1) -- the same 64 bits
  check.equal(helper.id_int(3.0), 3)
end)

case("numbers, booleans and enums", function()
  check.equal(helper.id_float(1.5), 1.5)
  check.equal(helper.id_double(1 / 3), 1 / 3)
  check.equal(helper.id_double(2), 2.0)
  check.equal(helper.id_ldouble(1 / 3), 1 / 3)
  check.equal(helper.id_bool(true), true)
  check.equal(helper.id_bool(false), false)
  check.equal(helper.BLUE, 6)
  check.equal(helper.id_enum(helper.BLUE), 6)
  check.equal(helper.id_level(helper.LOW), -1)
end)

case("many arguments", function()
  check.equal(helper.add_ten(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 385)
  check.equal(helper.add_mixed(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 171.0)
  check.equal(select("#", libc.free(nil)), 0)
  check.equal(helper.nothing(), 0)
end)

case("strings go in, and come out by ffi.string", function()
  check.equal(libc.strlen "four", 4)
  check.equal(libc.strlen "", 0)
  check.equal(ffi.string(libc.getenv "PATH"), os.getenv "PATH")
  check.equal(ffi.string(libc.getenv "PATH", 2), os.getenv("PATH"):sub(1, 2))
  check.truth(ffi.isnull(libc.getenv "NO_SUCH_VARIABLE"), "NULL comes out")
end)

case("pointers", function()
  local p = libc.malloc(16)
  check.truth(not ffi.isnull(p), "memory was given")
  libc.memcpy(p, "twelve bytes\0", 13)
  check.equal(ffi.string(p, 6), "twelve")
  check.equal(helper.id_pointer(p), p)
  check.truth(p ~= ffi.nullptr, "it is not NULL")
  check.truth(tostring(p):find "^cdata<void %*>: 0x", tostring(p))
  check.equal(tostring(ffi.nullptr), "cdata<void *>: NULL")
  check.equal(helper.id_pointer(nil), ffi.nullptr)
  check.truth(ffi.isnull(nil) and ffi.isnull(ffi.nullptr), "both are null")
  libc.free(p)
end)

case("variadic functions", function()
  local p = libc.malloc(100)
  check.equal(libc.snprintf(p, 100, "nothing"), 7)
  local n = libc.snprintf(p, 100, "%d %s %.2f %ld %c", -42, "text", 1.5, 1 << 40, 65)
  check.equal(ffi.string(p, n), "-42 text 1.50 1099511627776 A")
  n = libc.snprintf(p, 100, "%p %d", nil, true)
  check.equal(ffi.string(p, n), "(nil) 1")
  libc.free(p)
end)

case("variables", function()
  check.equal(helper.counter, 7)
  helper.counter = 8
  check.equal(helper.counter, 8)
  helper.counter = 7
  check.equal(ffi.string(helper.greeting), "hello from the helper")
end)

case("errno of the last call", function()
  check.equal(helper.set_errno(2), -1)
  check.equal(ffi.errno(), 2)
  helper.nothing()
  check.equal(ffi.errno(), 0)
  check.equal(ffi.errno(9), 0)
  check.equal(ffi.errno(), 9)
end)

case("ffi.C is the process itself", function()
  check.equal(ffi.C.abs(-3), 3)
  check.equal(tostring(ffi.C), "library the process")
  check.equal(tostring(libm), "library libm.so.6")
  check.equal(libm.cos(0), 1.0)
  check.equal(libm.cos, libm.cos)
end)

case("calls in __gc", function()
  local freed = 0
  for _ = 1, 10 do
    local p = libc.malloc(8)
    setmetatable({}, {__gc = function()
      libc.free(p)
      check.equal(helper.id_int(5), 5)
      freed = freed + 1
    end})
  end
  collectgarbage()
  collectgarbage()
  check.equal(freed, 10)
end)

check.done()
