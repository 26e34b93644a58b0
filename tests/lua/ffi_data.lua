-- ffi_data.lua: fields, elements, bit-fields, pointer arithmetic, comparisons, tostring.

local support = require "ffi_support"
local check, ffi, case, helper = support.check, support.ffi, support.case, support.helper

case("fields of structs and unions", function()
  local p = ffi.new "struct point"
  p.x, p.y = 1, 2.5
  check.equal(p.x + p.y, 3.5)
  local w = ffi.new "union word"
  w.f = 1
  check.equal(w.u, 0x3f800000)
  check.equal(w.bytes[3], 0x3f)
  local s = ffi.new "struct { int a; struct { int b; union { int c; float d; }; }; struct point p; }"
  s.b, s.c = 5, 0x40000000
  check.equal(s.d, 2.0)
  s.p = ffi.new("struct point", 3, 4)
  check.equal(s.p.y, 4.0)
  s.p = {7, 8}
  check.equal(s.p.x, 7.0)
  local inner = s.p
  inner.x = 9
  check.equal(s.p.x, 9.0)
  check.truth(tostring(inner):find "^cdata<struct point &>: 0x", tostring(inner))
end)

case("a pointer to a struct is used as the struct", function()
  local nodes = ffi.new("struct node[3]")
  for i = 0, 2 do
    nodes[i].value = 10 * (i + 1)
    if i < 2 then nodes[i].next = nodes + i + 1 end
  end
  check.equal(helper.list_sum(nodes), 60)
  check.equal(nodes[0].next.next.value, 30)
  check.truth(ffi.isnull(nodes[2].next), "the end")
  check.raises(function() return nodes[2].next.value end, "attempt to access NULL")
  check.raises(function() nodes[2].next.value = 1 end, "attempt to access NULL")
end)

case("bit-fields", function()
  local b = ffi.new "struct bits"
  helper.bits_fill(b)
  check.equal(b.a, 5)
  check.equal(b.b, -7)
  check.equal(b.c, 0xabcdef0123)
  check.equal(b.d, true)
  b.a, b.b, b.c, b.d = 2, -16, 0x1234567890, false
  check.equal(helper.bits_are(b, 2, -16, 0x1234567890, 0), 1)
  b.a, b.b = 15, 15 -- cut to the width, as C does it
  check.equal(b.a, 7)
  check.equal(b.b, 15)
  check.equal(b.c, 0x1234567890)
  b.b = 16
  check.equal(b.b, -16)
end)

case("packed structs", function()
  local p = ffi.new("struct packed", {1, 2, 3.5})
  check.equal(helper.packed_sum(p), 6.5)
  p.b = -2
  check.equal(p.b, -2)
  check.equal(helper.packed_sum(p), 2.5)
end)

case("arrays", function()
  local a = ffi.new("int[2][3]")
  a[1][2] = 7
  check.equal(a[1][2], 7)
  check.equal(a[0][2], 0)
  check.equal(ffi.cast("int *", a)[5], 7)
  a[0] = ffi.new("int[3]", {1, 2, 3})
  check.equal(a[0][1], 2)
  check.equal(a[ffi.new("int", 1)][2], 7)
  check.equal(a[1.0][2], 7)
  check.raises(function() return a[2] end, "index 2 is out of range for 'int[2][3]' of 2 elements")
  check.raises(function() return a[0][3] end, "index 3 is out of range")
  check.raises(function() return a[-1] end, "index -1 is out of range")
  check.raises(function() a[0][3] = 1 end, "index 3 is out of range")
  local open = ffi.new("int[?]", 4)
  open[3] = 1
  check.raises(function() open[4] = 1 end, "index 4 is out of range for 'int[]' of 4 elements")
  local s = ffi.new("struct { int n; short v[?]; }", 5)
  s.v[4] = 9
  check.equal(s.v[4], 9)
  check.raises(function() return s.v[6] end, "out of range")
  -- Behind a pointer nobody knows how many there are.
  local open_struct = ffi.typeof "struct { double d; char n; char text[?]; }"
  local behind = ffi.typeof("$ *", open_struct)(open_struct(40))
  behind.text[39] = 7
  check.equal(behind[0].text[39], 7)
  check.equal(ffi.new("struct { int n; int last[1]; } *", nil) == ffi.nullptr, true)
end)

case("the library's variables", function()
  check.equal(helper.table[2], 30)
  helper.table[2] = 31
  check.equal(helper.table[2], 31)
  helper.table[2] = 30
  check.raises(function() return helper.table[4] end, "out of range")
  check.equal(ffi.string(helper.words[1]), "two")
  check.truth(ffi.isnull(helper.words[2]), "NULL")
  check.equal(helper.origin.y, -0.5)
  helper.origin = {1, 2}
  check.equal(helper.point_length2(helper.origin), 5.0)
  helper.origin = {0.5, -0.5}
  check.equal(helper.fixed, 99)
  check.raises(function() helper.fixed = 1 end, "cannot be assigned")
  check.truth(ffi.isnull(helper.chosen), "NULL at first")
  helper.chosen = ffi.C.abs
  check.equal(helper.chosen(-3), 3)
  helper.chosen = nil
  check.raises(function() helper.chosen(1) end, "attempt to call NULL")
end)

case("pointer arithmetic", function()
  local a = ffi.new("int[5]", {0, 10, 20, 30, 40})
  local p = a + 1
  check.equal(tostring(ffi.typeof(p)), "ctype<int *>")
  check.equal(p[0], 10)
  check.equal(p[-1], 0)
  check.equal((1 + p)[0], 20)
  check.equal((p + 2 - 3)[0], 0)
  check.equal((a + 4) - p, 3)
  check.equal(p - (a + 4), -3)
  check.equal(math.type((a + 4) - a), "integer")
  check.equal((p + ffi.new("char", 2))[0], 30)
  check.equal((p + 1.0)[0], 20)
  p[2] = 33
  check.equal(a[3], 33)
  local s = ffi.cast("struct point *", 0) + 2
  check.equal(ffi.cast("intptr_t", s) + 0, 32)
  check.raises(function() return ffi.nullptr + 1 end, "the size of 'void' is unknown")
  check.raises(function() return ffi.cast("struct thing *", 0) + 1 end, "is unknown")
  check.raises(function() return a + {} end, "attempt to perform arithmetic on 'int[5]' and 'table'")
  check.raises(function() return a + "1" end, "attempt to perform arithmetic")
  check.raises(function() return a + a end, "attempt to perform arithmetic")
  check.raises(function() return 1 - a end, "attempt to perform arithmetic")
  check.raises(function() return a * 2 end, "attempt to perform arithmetic")
  check.raises(function() return a - ffi.new("char[1]") end, "attempt to subtract")
  check.raises(function() return -a end, "attempt to perform arithmetic on 'int[5]'")
  check.raises(function() return a .. "x" end, "attempt to concatenate 'int[5]' and 'string'")
  check.raises(function() return #a end, "attempt to get the length of 'int[5]'")
end)

case("comparing pointers", function()
  local a = ffi.new "int[4]"
  check.truth(a + 1 == a + 1, "the same address")
  check.truth(a + 1 ~= a + 2, "another one")
  check.truth(a == a + 0, "an array is its address")
  check.truth(ffi.cast("void *", a) == a, "whatever the type")
  check.truth(a < a + 1 and a + 1 <= a + 1 and a + 3 > a, "in order")
  check.truth(ffi.cast("char *", -1) > ffi.cast("char *", 1), "without a sign")
  check.truth(ffi.nullptr == ffi.new "int *", "NULL")
  check.truth(ffi.nullptr ~= nil, "Lua does not ask when nil is compared")
  check.truth(ffi.new "struct point" ~= ffi.new "struct point", "structs by address")
  check.raises(function() return a < ffi.new "char[1]" end, "attempt to compare 'int[4]'")
  check.raises(function() return a < 5 end, "attempt to compare 'int[4]' and 'number'")
  check.raises(function() return ffi.new "struct point" < a end, "attempt to compare")
end)

case("numbers that are C data", function()
  local n = ffi.new("int64_t", 40)
  check.equal(n + 2, 42)
  check.equal(2 * n, 80)
  check.equal(n - n, 0)
  check.equal(-n, -40)
  check.equal(n // 7, 5)
  check.equal(n / 16, 2.5)
  check.equal(n % 7, 5)
  check.equal(n & 12, 8)
  check.equal(n | 3, 43)
  check.equal(n ~ 1, 41)
  check.equal(~n, ~40)
  check.equal(n << 1, 80)
  check.equal(n >> 3, 5)
  check.equal(n ^ 2, 1600.0)
  check.equal(ffi.new("double", 1.5) + n, 41.5)
  check.truth(n < 41 and 39 < n and n <= ffi.new("short", 40), "compared")
  check.truth(n == ffi.new("int", 40), "equal to another number")
  check.truth(n ~= 40, "Lua does not ask when a number is compared")
  check.equal(ffi.tonumber(n), 40)
  check.equal(ffi.tonumber(ffi.new("float", 0.5)), 0.5)
  check.equal(ffi.tonumber "0x10", 16)
  check.equal(ffi.tonumber("z", 36), 35)
  check.equal(ffi.tonumber(ffi.nullptr), nil)
  check.equal(ffi.tonumber {}, nil)
  local u = ffi.new("uint64_t", -1)
  check.equal(u // 2, math.maxinteger)
  check.equal(u % 10, 5)
  check.truth(u > 1, "without a sign")
  check.truth(ffi.cast("uint64_t", 1) < u, "without a sign")
  check.raises(function() return u // 0 end, "n//0")
  check.raises(function() return u % ffi.cast("uint64_t", 0) end, "n//0")
  check.raises(function() return n + {} end, "attempt to perform arithmetic on 'int64_t' and 'table'")
  check.raises(function() return n < {} end, "attempt to compare")
  check.raises(function() return n & 1.5 end, "number has no integer representation")
end)

case("complex numbers", function()
  local z = ffi.new("double complex", 3, 4)
  check.equal(z.re, 3.0)
  check.equal(z.im, 4.0)
  check.equal(z[0], 3.0)
  check.equal(z[1], 4.0)
  z.im = -1
  check.equal(tostring(z), "3-1i")
  check.equal(ffi.new("complex", 5).im, 0.0)
  check.equal(ffi.new("complex float", {1, 2}).im, 2.0)
  check.truth(ffi.new("complex", 1, 2) == ffi.new("complex float", 1, 2), "equal")
  check.truth(ffi.new("complex", 1, 2) ~= ffi.new("complex", 1, 3), "not equal")
  check.raises(function() return z[2] end, "cannot be indexed with")
  check.raises(function() return z.x end, "no member named 'x'")
  local a = ffi.new("complex[2]")
  a[1] = z
  check.equal(a[1].re, 3.0)
end)

case("tostring", function()
  local function of(ctype, ...) return tostring(ffi.new(ctype, ...)) end
  check.equal(of("int64_t", -5), "-5LL")
  check.equal(of("uint64_t", -1), "18446744073709551615ULL")
  check.equal(of("complex", 1, -2), "1-2i")
  check.equal(of "int *", "cdata<int *>: NULL")
  for _, ctype in ipairs {"int", "struct point", "int[3]", "char", "const double", "int[]"} do
    local text = ctype == "int[]" and of(ctype, 2) or of(ctype)
    check.truth(text:find("cdata<" .. ctype .. ">: 0x", 1, true), text)
  end
  check.truth(tostring(ffi.cast("callback_p", ffi.C.abs)):find "^cdata<callback_p>: 0x", "a function")
  check.equal(getmetatable(ffi.nullptr), "ffi")
end)

case("const", function()
  local p = ffi.new("const struct point", 1, 2)
  check.raises(function() p.x = 5 end, "x: attempt to write to constant location: 'double' is const")
  local a = ffi.new("const int[2]", {1, 2})
  check.raises(function() a[0] = 5 end, "attempt to write to constant location")
  local q = ffi.new("const struct point *", p)
  check.raises(function() q.y = 1 end, "is const")
  check.raises(function() q[0].y = 1 end, "is const")
  local s = ffi.new("struct { const int a; int b; }", 1, 2)
  check.raises(function() s.a = 3 end, "a: attempt to write", "'const int' is const")
  s.b = 3
  check.equal(s.a + s.b, 4)
end)

case("what is not there", function()
  local p = ffi.new "struct point"
  check.raises(function() return p.z end, "'struct point' has no member named 'z'")
  check.raises(function() p.z = 1 end, "'struct point' has no member named 'z'")
  check.raises(function() return p[0] end, "'struct point' cannot be indexed with 'number'")
  check.raises(function() return p[{}] end, "cannot be indexed with 'table'")
  check.raises(function() return p[nil] end, "cannot be indexed with 'nil'")
  check.raises(function() return ffi.new("int", 1).x end, "'int' has no member named 'x'")
  check.raises(function() return ffi.new("int", 1)[0] end, "'int' cannot be indexed with a number")
  check.raises(function() return ffi.nullptr[0] end, "the size of 'void' is unknown")
  check.raises(function() return ffi.new("int *")[0] end, "attempt to access NULL as 'int *'")
  check.raises(function() ffi.new("int *")[0] = 1 end, "attempt to access NULL as 'int *'")
  check.raises(function() return ffi.cast("struct thing *", p).x end,
    "'struct thing' is not defined: its member 'x' is unknown")
  check.raises(function() return ffi.cast("struct thing *", p)[0] end, "is unknown")
  check.raises(function() return ffi.new("int[2]")["x"] end, "no member named 'x'")
  check.raises(function() return ffi.new("int[2]")[0 / 0] end, "the index", "is out of range")
  check.raises(function() p() end, "'struct point' is not callable")
  check.raises(function() ffi.nullptr() end, "'void *' is not callable")
  check.raises(function() pairs(p) end, "attempt to iterate over")
end)

check.done()
