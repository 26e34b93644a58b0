-- ffi_calls.lua: what goes into C functions and comes out, function pointers, hints, calls that end.

local support = require "ffi_support"
local check, ffi, case, helper = support.check, support.ffi, support.case, support.helper
local gosched = support.gosched

case("structs by value", function()
  local a, b = ffi.new("struct point", 1, 2), ffi.new("struct point", 3, 4)
  local c = helper.point_add(a, b)
  check.equal(c.x * 10 + c.y, 46.0)
  check.equal(helper.point_add({1, 2}, {x = 3}).x, 4.0)
  check.equal(helper.point_length2(helper.point_add(a, b)), 52.0)
  local s = helper.small_next(ffi.new("struct small", 1, 2, 127))
  check.equal(s.a * 10000 + s.b * 100 + s.c, 20172)
  local big = helper.big_next {{1, 2, 3, 4, 5, 6, 7, 8}}
  check.equal(big.v[0] + big.v[7], 11)
  check.equal(helper.word_next({41}).u, 42)
  local list = ffi.new("struct point[2]", {{1, 2}, {3, 4}})
  check.equal(helper.point_add(list[0], list[1]).y, 6.0)
  check.equal(helper.point_length2(list[1]), 25.0) -- the struct itself for a pointer to it
  check.equal(helper.point_length2(list), 5.0)
  check.raises(function() helper.point_add(a, s) end,
    "argument 2 of point_add: cannot convert 'struct small' to 'struct point'")
  check.raises(function() helper.point_add(a, 5) end, "argument 2 of point_add", "'number'")
  check.raises(function() helper.point_length2(s) end, "argument 1 of point_length2")
  check.raises(function() helper.point_add(a, {1, 2, 3}) end, "too many initialisers")
end)

case("complex numbers", function()
  local z = helper.complex_square(ffi.new("complex", 1, 2))
  check.equal(tostring(z), "-3+4i")
  check.equal(tostring(helper.complex_square(3)), "9+0i")
  check.equal(tostring(helper.complex_square {0, 1}), "-1+0i")
  check.equal(helper.complexf_half(ffi.new("complex", 1, 3)).im, 1.5)
  check.raises(function() helper.complex_square "1" end, "argument 1 of complex_square")
  check.raises(function() helper.complex_square {1, 2, 3} end, "too many initialisers")
end)

case("integers are cut, fractions too", function()
  check.equal(helper.u64_identity(-1), -1)
  check.equal(helper.u64_identity(2.0 ^ 63), math.mininteger)
  check.equal(helper.u64_identity(1e19), 1e19 // 1 - 2.0 ^ 64 == -8446744073709551616 and
    math.tointeger(1e19 - 2.0 ^ 64))
  check.equal(ffi.C.abs(-3.99), 3)
  check.equal(ffi.C.abs((1 << 32) + 5), 5)
  check.equal(ffi.C.abs(true), 1)
  check.equal(ffi.C.abs(ffi.new("int64_t", -7)), 7)
  check.equal(helper.ldouble_half(3), 1.5)
  check.raises(function() ffi.C.abs(1e300) end, "argument 1 of abs: the number", "has no integer")
  check.raises(function() ffi.C.abs(0 / 0) end, "has no integer for 'int'")
  check.raises(function() ffi.C.abs(nil) end, "cannot convert 'nil' to 'int'")
  check.raises(function() ffi.C.abs "1" end, "cannot convert 'string' to 'int'")
  check.raises(function() ffi.C.abs(ffi.nullptr) end, "cannot convert 'void *' to 'int'")
end)

case("pointers", function()
  local s = ffi.new("char[6]", "hello")
  check.equal(ffi.C.strlen(s), 5)
  check.equal(ffi.C.strlen(s + 2), 3)
  check.equal(ffi.C.strlen(ffi.cast("uint8_t *", s)), 5)
  check.equal(ffi.C.strlen(ffi.cast("const void *", s)), 5)
  check.equal(ffi.C.strcmp("a", "b") < 0, true)
  check.raises(function() ffi.C.strlen(ffi.new "int[1]") end,
    "argument 1 of strlen: cannot convert 'int[1]' to 'const char *'")
  check.raises(function() ffi.C.strlen(5) end, "cannot convert 'number' to 'const char *'")
  check.raises(function() ffi.C.strlen(ffi.new("int", 5)) end, "cannot convert 'int' to")
  check.raises(function() ffi.C.snprintf("buffer", 6, "x") end,
    "argument 1 of snprintf: cannot convert 'string' to 'char *'")
  check.raises(function() helper.list_sum(ffi.new("struct point")) end, "argument 1 of list_sum")
  check.raises(function() helper.thing_free(ffi.new("struct node *")) end, "argument 1 of thing_free")
end)

case("variadic functions", function()
  check.equal(helper.sum_ints(0), 0)
  check.equal(helper.sum_ints(3, 1, 2, 3), 6)
  check.equal(helper.sum_ints(2, ffi.new("int", 5), ffi.new("char", -1)), 4)
  check.equal(helper.sum_doubles(2, 0.5, ffi.new("float", 0.25)), 0.75)
  check.equal(helper.sum_doubles(20, 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.,
    1., 1., 1., 1.), 20.0)
  local out = ffi.new "char[64]"
  ffi.C.snprintf(out, 64, "%d %s %.1f %c %lld %s", 1, "two", 3.0, 52, -5, ffi.new("char[4]", "six"))
  check.equal(ffi.string(out), "1 two 3.0 4 -5 six")
  check.raises(function() helper.sum_ints(1, {}) end, "argument 2 of sum_ints",
    "expected for '...', got table")
  check.raises(function() helper.sum_ints(1, print) end, "argument 2 of sum_ints")
  check.raises(function() helper.sum_ints() end, "sum_ints: at least 1 argument expected, got 0")
  local f = ffi.cast("int (*)(int, ...)", helper.sum_ints)
  check.equal(f(2, 20, 22), 42)
  check.equal(f(0), 0)
end)

case("function pointers", function()
  local abs = ffi.cast("int (*)(int)", ffi.C.abs)
  check.equal(abs(-5), 5)
  check.equal(helper.call_it(abs, -6), 6)
  check.equal(helper.call_it(ffi.C.abs, -7), 7)
  local s = ffi.new("struct { int (*f)(int); }", abs)
  check.equal(s.f(-8), 8)
  check.equal(abs[0](-9), 9)
  local list = ffi.new("callback_p[2]", {abs, ffi.C.abs})
  check.equal(list[0](-1) + list[1](-2), 3)
  check.raises(function() abs() end, "1 argument expected, got 0")
  check.raises(function() abs "x" end, "argument 1 of int(int): cannot convert 'string' to 'int'")
  check.raises(function() helper.call_it(helper.point_add, 1) end,
    "argument 1 of call_it: cannot convert", "point_add" and "to 'callback *'")
  check.raises(function() ffi.new("callback_p")(1) end, "attempt to call NULL as 'callback_p'")
  check.raises(function() return abs.x end, "no member named 'x'")
end)

case("many arguments at once", function()
  local args = {}
  for i = 1, 100 do args[i] = i end
  check.equal(helper.sum_ints(100, table.unpack(args)), 5050)
  for i = 101, 300 do args[i] = i end
  check.raises(function() helper.sum_ints(300, table.unpack(args)) end, "too many arguments")
end)

case("hints", function()
  local lib = ffi.load(arg[3], {blocking = {"call_it"}, critical = {"things_live"},
    nocallback = {"sum_ints"}})
  check.equal(lib.call_it(ffi.C.abs, -3), 3)
  check.equal(lib.things_live(), helper.things_live())
  check.equal(lib.sum_ints(1, 5), 5)
  check.equal(ffi.bind(helper.sum_ints, {critical = true})(2, 3, 4), 7)
  check.equal(ffi.bind(ffi.C.abs, {blocking = true, nocallback = true})(-3), 3)
  check.equal(ffi.bind(ffi.cast("int (*)(int)", ffi.C.abs), {critical = true})(-4), 4)
  check.raises(function() ffi.load(arg[3], {blocking = {"no_such"}}) end, "not declared")
  check.raises(function() ffi.load(arg[3], {blocking = "abs"}) end, "a list of names expected")
  check.raises(function() ffi.load(arg[3], {critical = {5}}) end, "a list of names expected")
  check.raises(function() ffi.bind(ffi.C.abs, {critical = true, blocking = true}) end,
    "exclude each other")
  check.raises(function() ffi.bind(ffi.C.abs, {critcal = true}) end, "'critcal' is no option")
  check.raises(function() ffi.bind(ffi.C.abs, {critical = 1}) end, "true or false expected")
  check.raises(function() ffi.bind(print, {}) end, "C function expected, got function")
  check.raises(function() ffi.bind(ffi.C.abs) end, "table expected")
  check.raises(function() ffi.bind(ffi.C.abs, {timeout = 1}) end, "needs an unblock function")
  check.raises(function() ffi.bind(ffi.C.abs, {unblock = 1}) end, "a function expected")
  check.raises(function() ffi.bind(ffi.C.abs, {timeout = -1, unblock = print}) end,
    "seconds expected")
  check.raises(function() ffi.bind(helper.sum_ints, {unblock = print}) end, "takes '...'")
  check.raises(function() ffi.bind(ffi.C.abs, {critical = true, unblock = print}) end,
    "a critical function neither blocks nor can be ended early")
end)

check.case("a call ends early when its green thread is cancelled", function()
  gosched.run(function()
    helper.pipe_open()
    local given
    local wait = ffi.bind(helper.wait_for_byte, {unblock = function(n)
      given = n
      helper.wake_up(7)
    end})
    local state = "begun"
    local g = gosched.go(function()
      local ok, err = pcall(wait, 42)
      state = not ok and err == gosched.cancelled and "cancelled" or tostring(err)
      error(err, 0)
    end)
    while state ~= "begun" do gosched.yield() end
    for _ = 1, 10 do gosched.yield() end
    g:cancel()
    check.truth(not pcall(g.join, g), "it was cancelled")
    check.equal(state, "cancelled")
    -- If the call had not begun when it was cancelled, nothing had to be ended.
    check.truth(given == 42 or given == nil, "the call's own argument")
    helper.pipe_close()
  end)
end)

check.case("a call ends early at its deadline", function()
  gosched.run(function()
    helper.pipe_open()
    local wait = ffi.bind(helper.wait_for_byte,
      {timeout = 0.02, unblock = function() helper.wake_up(9) end})
    check.equal(wait(1), gosched.timeout)
    check.equal(wait(1), gosched.timeout)
    local failing = ffi.bind(helper.wait_for_byte, {timeout = 0.02, unblock = function()
      helper.wake_up(9)
      error "told to the logger"
    end})
    check.equal(failing(1), gosched.timeout)
    helper.wake_up(33)
    local patient = ffi.bind(helper.wait_for_byte,
      {timeout = 1000, unblock = function() helper.wake_up(9) end})
    check.equal(patient(1), 33)
    helper.pipe_close()
  end)
end)

check.case("a call ends early by the timeout around it", function()
  gosched.run(function()
    helper.pipe_open()
    local wait = ffi.bind(helper.wait_for_byte, {unblock = function() helper.wake_up(9) end})
    local ok, err = pcall(function()
      local scope <close> = gosched.timeout(0.02)
      wait(1)
      error(scope)
    end)
    check.truth(not ok and err == gosched.timeout, tostring(err))
    helper.pipe_close()
  end)
end)

check.case("others run during a call", function()
  gosched.run(function()
    helper.pipe_open()
    local g = gosched.go(function() return helper.wait_for_byte(1) end)
    for _ = 1, 5 do gosched.yield() end
    helper.wake_up(12)
    check.equal(g:join(), 12)
    helper.pipe_close()
  end)
end)

case("ffi.load", function()
  check.equal(ffi.load("c.so.6").abs(-1), 1) -- "lib" is put in front
  check.equal(tostring(ffi.load "m.so.6"), "library libm.so.6")
  check.equal(tostring(ffi.load(arg[3], true)), "library " .. arg[3])
  check.equal(ffi.C.sum_ints(1, 4), 4) -- global now
  check.raises(function() ffi.load "" end, "soname is empty")
  check.raises(function() ffi.load "no-such-thing" end, "cannot load 'libno-such-thing.so'")
  check.raises(function() ffi.load("./no/such.so") end, "cannot load './no/such.so'")
  check.raises(function() ffi.load "a\0b" end, "contains a NUL byte")
  check.raises(function() return helper[1] end, "'1' is not declared")
  check.raises(function() return helper[{}] end, "string expected")
end)

check.done()
