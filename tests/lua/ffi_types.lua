-- ffi_types.lua: C types as Lua values: typeof, sizeof, alignof, offsetof, istype.

local support = require "ffi_support"
local check, ffi, case, helper = support.check, support.ffi, support.case, support.helper

case("typeof", function()
  local int = ffi.typeof "int"
  check.equal(tostring(int), "ctype<int>")
  check.equal(int, ffi.typeof "int")
  check.equal(int, ffi.typeof "signed")
  check.truth(int ~= ffi.typeof "unsigned", "another type")
  check.truth(ffi.typeof "const int" ~= int, "qualifiers count")
  check.equal(ffi.typeof(int), int)
  check.equal(ffi.typeof(int(5)), int)
  check.equal(tostring(ffi.typeof "struct point *"), "ctype<struct point *>")
  check.equal(tostring(ffi.typeof "int (*)(char, double)"), "ctype<int (*)(char, double)>")
  check.equal(tostring(ffi.typeof "int[3][4]"), "ctype<int[3][4]>")
  check.equal(ffi.typeof(helper.call_it), ffi.typeof "int(callback *, int)")
  check.equal(getmetatable(int), "ffi")
end)

case("parametrised types", function()
  local point = ffi.typeof "struct point"
  check.equal(ffi.typeof("$ *", point), ffi.typeof "struct point *")
  check.equal(ffi.typeof("$[$]", "int32_t", 4), ffi.typeof "int[4]")
  check.equal(ffi.typeof("$[$]", ffi.typeof "short", 2), ffi.typeof "short[2]")
  check.equal(ffi.sizeof(ffi.typeof("struct { $ a; $ b[$]; }", point, ffi.typeof "char", 3)), 24)
  local named = ffi.typeof("struct { int $, $; }", "width", "height")
  check.equal(named(3, 4).height, 4)
  if not ffi.sizeof "struct made_7" then
    ffi.cdef("struct $ { int v[$]; $ *more; };", "made_7", 7, point)
  end
  check.equal(ffi.sizeof "struct made_7", 40)
  check.equal(ffi.typeof("$", point(1, 2)), point)
  check.raises(function() ffi.typeof("$ *") end, "found '$'")
  check.raises(function() ffi.typeof("$ $ *", point) end, "more '$' than there are parameters")
  check.raises(function() ffi.typeof("int *", point) end, "0 '$'")
  check.raises(function() ffi.typeof("$ *", {}) end, "a C type, a name or a whole number expected")
  check.raises(function() ffi.typeof("$ *", 1.5) end, "a C type, a name or a whole number expected")
end)

case("sizeof and alignof", function()
  for name, size in pairs {
    char = 1, short = 2, int = 4, long = 8, float = 4, double = 8, ["void *"] = 8, ["int[7]"] = 28,
    ["struct point"] = 16, ["struct small"] = 3, _Bool = 1, ["double complex"] = 16,
    ["complex float"] = 8, ["complex"] = 16,
  } do
    check.equal(ffi.sizeof(name), size)
  end
  check.equal(ffi.sizeof "struct bits", helper.bits_size())
  check.equal(ffi.sizeof "struct packed", helper.packed_size())
  check.equal(ffi.sizeof "void", nil)
  check.equal(ffi.sizeof "struct thing", nil)
  check.equal(ffi.sizeof "int(int)", nil)
  check.equal(ffi.sizeof "int[?]", nil)
  check.equal(ffi.sizeof("int[?]", 5), 20)
  check.equal(ffi.sizeof("struct { double d; int v[?]; }", 3), 24)
  check.equal(ffi.sizeof("struct { double d; int v[]; }"), 8)
  check.equal(ffi.new("struct { double d; int v[]; }").d, 0.0)
  check.equal(ffi.sizeof(ffi.new("int[?]", 6)), 24)
  check.equal(ffi.sizeof(ffi.new("char[9]")), 9)
  check.equal(ffi.sizeof("int[?]", -1), nil)
  check.equal(ffi.sizeof("int[?]", math.maxinteger), nil)
  check.equal(ffi.alignof "double", 8)
  check.equal(ffi.alignof "struct small", 1)
  check.equal(ffi.alignof "struct packed", 1)
  check.equal(ffi.alignof "struct { char c __attribute__((aligned(32))); }", 32)
end)

case("offsetof", function()
  check.equal(ffi.offsetof("struct point", "y"), 8)
  check.equal(ffi.offsetof("struct packed", "c"), 5)
  check.equal(ffi.offsetof("struct { int a; struct { char b; int c; }; }", "c"), 8)
  check.equal(ffi.offsetof("struct point", "z"), nil)
  check.equal(select("#", ffi.offsetof("int", "z")), 0)
  local function bits(name) return table.concat({ffi.offsetof("struct bits", name)}, " ") end
  check.equal(bits "a", "0 0 3")
  check.equal(bits "b", "0 3 5")
  check.equal(bits "c", "0 8 40")
  check.equal(bits "d", "6 0 1")
end)

case("istype", function()
  local p = ffi.new "struct point"
  check.truth(ffi.istype("struct point", p), "a struct")
  check.truth(ffi.istype("const struct point", p), "qualifiers do not count")
  check.truth(ffi.istype("struct point", ffi.new("struct point *", p)), "a pointer to it, too")
  check.truth(not ffi.istype("struct point *", p), "but not the other way round")
  check.truth(not ffi.istype("struct small", p), "another struct")
  check.truth(ffi.istype("int *", ffi.new "int *"), "a pointer")
  check.truth(ffi.istype("const int *", ffi.new "int *"), "to something const")
  check.truth(not ffi.istype("void *", ffi.new "int *"), "void * is not special here")
  check.truth(not ffi.istype("int", 5), "a Lua number is no C data")
  check.truth(not ffi.istype("int", nil), "nor is nil")
  check.truth(ffi.istype("int", ffi.new("int", 5)), "an int")
  check.truth(not ffi.istype("long", ffi.new("int", 5)), "not a long")
  check.truth(ffi.istype("int(int)", ffi.C.abs), "a function")
end)

case("enumerators and constants", function()
  if not ffi.C then return end
  ffi.cdef [[
    enum tests_color { TEST_RED, TEST_GREEN = 5, TEST_BLUE };
    static const int TEST_LIMIT = 3 * 7 + 1;
    static const unsigned char TEST_BYTE = 200;
  ]]
  check.equal(ffi.C.TEST_BLUE, 6)
  check.equal(ffi.C.TEST_LIMIT, 22)
  check.equal(ffi.C.TEST_BYTE, 200)
  check.equal(ffi.typeof("enum tests_color").TEST_GREEN, 5)
  check.equal(ffi.sizeof("int[TEST_LIMIT]"), 88)
  check.raises(function() return ffi.typeof("enum tests_color").TEST_LIMIT end, "no member")
  check.raises(function() ffi.cdef "static const unsigned char TOO = 256;" end, "does not fit")
  check.raises(function() ffi.cdef "static const int TEST_LIMIT = 1;" end, "declared differently")
  check.raises(function() ffi.cdef "int x = 5;" end, "initialisers are only read of static const")
end)

case("a spelling may come to mean something else", function()
  -- uint is predefined, and may be declared anew.
  local before = ffi.sizeof "u_short"
  check.truth(before == 2 or before == 16, "as predefined, or as below")
  if before == 2 then ffi.cdef "typedef struct { long a, b; } u_short;" end
  check.equal(ffi.sizeof "u_short", 16)
end)

case("what is no type", function()
  check.raises(function() ffi.typeof "no_such_type" end, "'no_such_type' is no C type",
    "expected a type name", "ffi_types.lua:")
  check.raises(function() ffi.typeof "int x" end, "expected the end of the type")
  check.raises(function() ffi.typeof "int\0" end, "contains a NUL byte")
  check.raises(function() ffi.typeof() end, "bad argument #1 to 'typeof'")
  check.raises(function() ffi.typeof(5) end, "C type expected, got number")
  check.raises(function() ffi.sizeof {} end, "C type expected, got table")
  check.raises(function() ffi.offsetof("struct point") end, "string expected, got no value")
  check.raises(function() ffi.istype "int" end, "bad argument #2 to 'istype'")
  check.raises(function() ffi.typeof(io.stdout) end, "C type expected")
  check.raises(function() return ffi.typeof("struct point").nothing end,
    "'struct point' has no member named 'nothing'")
  check.raises(function() ffi.typeof("struct point").x = 1 end, "attempt to index")
end)

check.case("everything is annotated, and nothing else", function()
  local here = arg[0]:match "^(.*)/[^/]*$" or "."
  local file <close> = assert(io.open(here .. "/../../bindings/lua/library/gosched_ffi.lua"))
  local known = {C = true, nullptr = true, arch = true, os = true}
  for name in file:read "a":gmatch "\nfunction ffi%.(%w+)%(" do known[name] = true end
  for name in pairs(ffi) do check.truth(known[name], name .. " is annotated") end
  for name in pairs(known) do check.truth(ffi[name] ~= nil, name .. " is there") end
end)

case("the machine", function()
  check.truth(ffi.abi "64bit" and ffi.abi "le" and ffi.abi "fpu" and ffi.abi "hardfp", "so it is")
  check.truth(not (ffi.abi "32bit" or ffi.abi "be" or ffi.abi "win" or ffi.abi "x"), "not so")
  check.equal(ffi.os, "Linux")
  check.truth(ffi.arch == "x64" or ffi.arch == "arm64", ffi.arch)
  check.raises(function() ffi.abi() end, "string expected")
end)

check.done()
