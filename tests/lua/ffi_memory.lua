-- ffi_memory.lua: what keeps what alive, ffi.gc, ffi.metatype.

local support = require "ffi_support"
local check, ffi, case, helper = support.check, support.ffi, support.case, support.helper

case("a part keeps the whole alive", function()
  local freed = 0
  local function watched(ctype)
    return ffi.gc(ffi.new(ctype), function() freed = freed + 1 end)
  end
  local parts = {}
  parts[1] = watched("struct { int n; struct point p; }").p
  parts[2] = watched("struct point[4]")[3]
  parts[3] = watched("int[4]") + 2
  parts[4] = (watched("int[2][2]")[1] + 1) - 1
  parts[5] = ffi.cast("char *", watched "int[4]") + 1
  parts[6] = ffi.cast("struct point *", watched "struct point").y and
    ffi.cast("void *", watched "struct point")
  support.collect()
  check.equal(freed, 1) -- the one of the sixth that nothing is left of
  parts[2].x = 5
  parts[3][1] = 6
  check.equal(parts[2].x + parts[3][1], 11.0)
  for i = 1, 6 do parts[i] = nil end
  support.collect()
  check.equal(freed, 7)
end)

case("ffi.gc with a C function", function()
  local before = helper.things_live()
  local kept = {ffi.gc(helper.thing_new(5), helper.thing_free)}
  support.collect()
  check.truth(not ffi.isnull(kept[1]), "still there")
  check.equal(helper.things_live(), before + 1)
  kept[1] = nil
  support.collect()
  check.equal(helper.things_live(), before)
  for i = 1, 100 do ffi.gc(helper.thing_new(i), helper.thing_free) end
  support.collect()
  check.equal(helper.things_live(), before)
end)

case("a finalizer is taken back, replaced, called once", function()
  local calls = {}
  local function note(what) return function() calls[#calls + 1] = what end end
  local a = ffi.new "int[1]"
  check.truth(rawequal(ffi.gc(a, note "first"), a), "the value itself")
  ffi.gc(a, note "second")
  local b = ffi.gc(ffi.new "int[1]", note "never")
  ffi.gc(b, nil)
  a, b = nil, nil -- luacheck: ignore
  support.collect()
  check.equal(table.concat(calls, " "), "second")
  check.raises(function() ffi.gc(ffi.new "int", 5) end, "function or nil expected, got number")
  check.raises(function() ffi.gc(5, print) end, "C data expected")
  check.raises(function() ffi.gc(ffi.new "int") end, "bad argument #2 to 'gc'")
end)

case("a finalizer gets the value, which may live on", function()
  local kept
  do ffi.gc(ffi.new("int[1]", 42), function(v) kept = v end) end
  support.collect()
  check.equal(kept[0], 42)
end)

case("a to-be-closed variable", function()
  local before = helper.things_live()
  do
    local t <close> = ffi.gc(helper.thing_new(1), helper.thing_free)
    check.equal(helper.things_live(), before + 1)
    check.truth(not ffi.isnull(t), "open")
  end
  check.equal(helper.things_live(), before)
  support.collect()
  check.equal(helper.things_live(), before)
end)

case("a string that C has the address of", function()
  local p = ffi.cast("const char *", ("long string %d"):format(1):rep(50))
  support.collect()
  check.equal(ffi.string(p, 13), "long string 1")
  local q = ffi.new("const char *", "abc" .. tostring(p):sub(1, 0))
  support.collect()
  check.equal(ffi.string(q), "abc")
end)

case("a string that is stored in C memory stays", function()
  local function text(n) return ("text number %d"):format(n):rep(20) end
  local list = ffi.new("const char *[3]", {text(1), text(2)})
  local s = ffi.new("struct { int n; const char *s; struct { const char *t; } inner; }", 1, text(3))
  s.inner.t = text(4)
  local behind = ffi.cast("const char **", list) + 2
  behind[0] = text(5)
  local copy = ffi.new("struct { struct { const char *s; } list[2]; }", {{{text(6)}, {s = text(7)}}})
  local free = ffi.cast("const char **", ffi.C.malloc(8)) -- C's own memory
  free[0] = text(8)
  support.collect()
  for _ = 1, 1000 do text(9) end
  local found = {}
  for i, p in ipairs {list[0], list[1], s.s, s.inner.t, list[2], copy.list[0].s, copy.list[1].s,
    free[0]} do found[i] = ffi.string(p):match "%d" end
  check.equal(table.concat(found), "12345678")
  ffi.C.free(free)
  check.raises(function() ffi.new("char *[1]", {"x"}) end, "cannot convert 'string' to 'char *'")
  helper.words[2] = text(1)
  support.collect()
  check.equal(ffi.string(helper.words[2], 13), "text number 1")
  helper.words[2] = nil
end)

case("memory is aligned", function()
  local ctype = ffi.typeof "struct { char c __attribute__((aligned(64))); }"
  for _ = 1, 20 do
    check.equal(ffi.tonumber(ffi.cast("uintptr_t", ffi.cast("void *", ctype()))) % 64, 0)
    check.equal(ffi.tonumber(ffi.cast("uintptr_t", ffi.cast("void *", ffi.new "long double[2]"))) % 16,
      0)
  end
end)

local vector -- a metatable can be given once
case("metatype", function()
  if not vector then
    ffi.cdef "struct tests_vector { double x, y; };"
    local log = {}
    local methods = {log = log}
    vector = ffi.metatype("struct tests_vector", {
      __index = methods,
      __new = function(ct, x, y) return ffi.new(ct, x or 0, y or x or 0) end,
      __add = function(a, b) return vector(a.x + b.x, a.y + b.y) end,
      __mul = function(a, b)
        if type(a) == "number" then a, b = b, a end
        return vector(a.x * b, a.y * b)
      end,
      __unm = function(a) return vector(-a.x, -a.y) end,
      __eq = function(a, b) return a.x == b.x and a.y == b.y end,
      __lt = function(a, b) return a.x < b.x end,
      __le = function(a, b) return a.x <= b.x end,
      __len = function() return 2 end,
      __concat = function(a, b) return tostring(a) .. tostring(b) end,
      __call = function(a, n) return a.x * n end,
      __tostring = function(a) return ("(%g, %g)"):format(a.x, a.y) end,
      __idiv = function(a, n) return vector(a.x // n, a.y // n) end,
      __newindex = function(_, k, v) log[k] = v end,
      __pairs = function(a) return next, {x = a.x, y = a.y} end,
    })
    function methods:length2() return self.x * self.x + self.y * self.y end
    function methods.zero() return vector(0, 0) end
  end
  local a, b = vector(1, 2), vector(3)
  check.equal(tostring(a + b), "(4, 5)")
  check.equal(tostring(a * 2), "(2, 4)")
  check.equal(tostring(2 * a), "(2, 4)")
  check.equal(tostring(-a), "(-1, -2)")
  check.truth(a == vector(1, 2) and a ~= b and a < b and a <= b, "compared")
  check.equal(#a, 2)
  check.equal(a .. b, "(1, 2)(3, 3)")
  check.equal(a .. "!", "(1, 2)!")
  check.equal(a(10), 10.0)
  check.equal(a:length2(), 5.0)
  check.equal(tostring(vector.zero()), "(0, 0)")
  check.equal(tostring(b // 2), "(1, 1)")
  a.extra = 5
  check.equal(a.log.extra, 5)
  local sum = 0
  for _, v in pairs(a) do sum = sum + v end
  check.equal(sum, 3.0)
  local p = ffi.new("struct tests_vector *", a)
  check.equal(p:length2(), 5.0) -- through a pointer, too
  check.equal(tostring(p), "(1, 2)")
  check.equal((p + 1) - p, 1) -- but a pointer is moved as one
  check.equal(tostring(ffi.new("struct tests_vector[2]", {{5, 6}})[0]), "(5, 6)")
  check.equal(tostring(vector), "ctype<struct tests_vector>")
  check.raises(function() return a.nothing.x end, "attempt to index")
  check.raises(function() ffi.metatype("struct tests_vector", {}) end, "has a metatable already")
  check.raises(function() ffi.metatype("int", {}) end, "a struct or union expected, got 'int'")
  check.raises(function() ffi.metatype("struct point *", {}) end, "a struct or union expected")
  check.raises(function() ffi.metatype("struct point", 5) end, "table expected, got number")
end)

case("__gc and __close of a metatype", function()
  local n, closed = 0, 0
  local handle = ffi.metatype("struct { int fd; }", {
    __gc = function(h) n = n + h.fd end,
    __close = function(h) closed = closed + h.fd end,
    __name = "handle",
  })
  check.truth(tostring(handle(0)):find "^handle: 0x", "a name")
  do
    local h <close> = handle(5)
    check.equal(h.fd, 5)
  end
  check.equal(closed, 5)
  handle(2)
  support.collect()
  check.equal(n, 7)
end)

case("methods are looked up in the field order: members first", function()
  local t = ffi.metatype("struct { int x; }", {__index = function(_, k) return k .. "?" end})
  check.equal(t(5).x, 5)
  check.equal(t(5).y, "y?")
  check.equal(t.z, "z?")
end)

case("much garbage", function()
  local last = ffi.new("int[1]", 0)
  for i = 1, 20000 do
    local a = ffi.new("int[4]", i)
    local p = a + 1
    if i % 100 == 0 then p = ffi.gc(p + 1, function(v) last[0] = last[0] + v[0] * 0 + 1 end) end
    check.equal(p[0], i)
  end
  support.collect()
  check.equal(last[0], 200)
end)

check.done()
