-- ffi_errors.lua: what is refused, and how it is said.  Nothing of it ends the program.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef [[
  int usleep(unsigned usec);
  size_t strlen(const char *s);
  char *strcpy(char *to, const char *from);
  int snprintf(char *to, size_t size, const char *format, ...);
  void *malloc(size_t size);
  void free(void *p);
  double cos(double x);
  _Bool id_bool(_Bool v);
  signed char id_schar(signed char v);
  int not_in_any_library(int);
  struct pair { int x, y; };
  struct pair *id_pair(struct pair *p) asm("id_pointer");
  int *id_ints(int *p) asm("id_pointer");
  typedef int number;
  extern int counter;
  extern const char *const greeting;
]]

local helper = ffi.load(arg[1])
local libc = ffi.load "libc.so.6"
local libm = ffi.load "libm.so.6"

local function case(name, body)
  check.case(name .. " (outside run)", body)
  check.case(name .. " (inside run)", function() gosched.run(body) end)
end

case("a missing library", function()
  check.raises(function() ffi.load "libno-such.so.9" end, "ffi_errors.lua:",
    "cannot load 'libno-such.so.9'", "cannot open shared object file")
  check.raises(function() ffi.load() end, "bad argument #1 to 'load'")
end)

case("a missing symbol", function()
  check.raises(function() return libc.not_in_any_library end, "ffi_errors.lua:",
    "libc.so.6 has no symbol 'not_in_any_library', though it is declared")
  check.raises(function() return libc.never_declared end, "'never_declared' is not declared",
    "ffi.cdef")
  check.raises(function() return libc.number end, "'number' is declared as a type")
end)

case("a wrong declaration", function()
  check.raises(function() ffi.cdef "int f(int;" end, "ffi_errors.lua:",
    "line 1, column 10: found ';', expected ',' or ')'")
  check.raises(function() ffi.cdef "int good(void);\nfoo bad(void);" end,
    "line 2, column 1: found 'foo', expected a type name")
  check.raises(function() return libc.good end, "'good' is not declared")
  check.raises(function() ffi.cdef "int x;\0int y;" end, "contain a NUL byte")
  check.raises(function() ffi.cdef() end, "bad argument #1 to 'cdef'", "string expected")
end)

case("a wrong number of arguments", function()
  check.raises(function() libc.usleep() end, "ffi_errors.lua:", "usleep: 1 argument expected, got 0")
  check.raises(function() libc.usleep(1, 2) end, "usleep: 1 argument expected, got 2")
  check.raises(function() libc.snprintf(nil) end, "snprintf: at least 3 arguments expected, got 1")
end)

case("wrong arguments", function()
  check.raises(function() libc.usleep "1" end,
    "argument 1 of usleep: cannot convert 'string' to 'unsigned int'")
  check.raises(function() libc.usleep(nil) end, "cannot convert 'nil'")
  check.raises(function() libc.usleep(1e300) end, "the number", "has no integer for 'unsigned int'")
  check.raises(function() helper.id_bool "true" end, "cannot convert 'string' to '_Bool'")
  check.raises(function() libm.cos "0" end, "cannot convert 'string' to 'double'")
  check.raises(function() libc.strlen(5) end, "argument 1 of strlen: cannot convert 'number' to")
  check.raises(function() libc.strlen {} end, "cannot convert 'table' to 'const char *'")
  check.raises(function() libc.strcpy("to", "from") end,
    "argument 1 of strcpy: cannot convert 'string' to 'char *'", "where C does not write")
  check.raises(function() libc.snprintf(nil, 0, "%d", {}) end, "argument 4 of snprintf",
    "got table")
end)

case("wrong pointers", function()
  local ints = helper.id_ints(nil)
  check.raises(function() helper.id_pair(ints) end,
    "argument 1 of id_pair: cannot convert 'int *' to 'struct pair *'")
  check.raises(function() libc.strcpy(helper.greeting, "x") end,
    "argument 1 of strcpy: cannot convert 'const char *const' to 'char *'")
  check.truth(ffi.isnull(libc.malloc and helper.id_pair(ffi.nullptr)), "void * fits all")
  check.raises(function() ffi.string(5) end, "bad argument #1 to 'string'", "C data or string")
  check.raises(function() ffi.string(ffi.nullptr) end, "the pointer is NULL")
  check.raises(function() ffi.string(helper.greeting, -1) end, "a length of 0 or more")
  check.raises(function() ffi.string(ints) end, "a pointer to char expected", "got 'int *'")
  check.raises(function() ffi.isnull(0) end, "C pointer expected")
end)

case("assignments", function()
  check.raises(function() helper.counter = "x" end, "counter: cannot convert 'string' to 'int'")
  check.raises(function() helper.greeting = nil end, "'greeting' cannot be assigned")
  check.raises(function() helper.id_bool = 1 end, "'id_bool' cannot be assigned")
  check.equal(helper.counter, 7)
end)

case("the program goes on", function() check.equal(libc.strlen "still here", 10) end)

check.done()
