-- Lua hosts Python, Tcl and Lua.  usage: lua5.4 host_lua.lua LIBRARY, which is that of meeting.c
local gosched = require "gosched"
local library = ...
gosched.ffi.cdef "int meet(int n);"
local lib = gosched.ffi.load(library)

local PYTHON = [[
import gosched, sys
lib = gosched.dlopen(sys.argv[1], "int meet(int);")
gosched.go(lib.meet, int(sys.argv[2])).result()
]]
local TCL = [[
lassign $argv path n
gosched::cdef {int meet(int n);}
set lib [gosched::load $path]
${lib}::meet $n
]]
local LUA = [[
local gosched, path, n = require "gosched", ...
gosched.ffi.cdef "int meet(int n);"
return gosched.ffi.load(path).meet(tonumber(n))
]]

local function case(name, f)
  gosched.run(f)
  print(name)
end

local function failure(...)
  local ok, e = pcall(...)
  assert(not ok, "no error")
  return e
end

case("all at once", function()
  local ticks, args = 0, {library, "4"}
  local ticker = gosched.go(function() while true do gosched.yield() ticks = ticks + 1 end end)
  local guests = {
    gosched.embed("python", PYTHON, {args = args}), gosched.embed("tcl", TCL, {args = args}),
    gosched.embed("lua", LUA, {args = args}),
  }
  assert(lib.meet(4) == 4)
  for i, four in ipairs {4, "4", 4} do assert(guests[i]:join(60) == four, tostring(guests[i])) end
  assert(ticks > 0)
  ticker:cancel()
end)

case("values", function()
  local function result(language, source) return gosched.embed(language, source):join(60) end
  local t = result("python", [[{"a": [1, 2.5, None, b"\xff", "h\u00e4"], 3: True}]])
  assert(#t.a == 5 and math.type(t.a[1]) == "integer" and t.a[2] == 2.5)
  assert(t.a[3] == gosched.null and t.a[4] == "\xff" and t.a[5] == "h\u{e4}" and t[3] == true)
  assert(result("python", "10 ** 30") == "1" .. ("0"):rep(30))
  assert(result("python", "[print]") == "[<built-in function print>]")
  assert(result("tcl", "expr 7") == "7")
  assert(result("tcl", "gosched::result 7 -as int") == 7)
  assert(result("lua", "return {1, {x = 'y'}}")[2].x == "y")
  assert(result("lua", "return false") == false)
end)

case("errors", function()
  local e = failure(function()
    gosched.embed("python", "def f():\n    raise KeyError('x')\nf()", {name = "my.py"}):join(60)
  end)
  assert(e.message == "KeyError: 'x'" and e.language == "python" and e.name == "my.py")
  assert(e.traceback:find("line 2, in f\n    raise KeyError('x')", 1, true), e.traceback)
  assert(tostring(e):find("my.py", 1, true) and tostring(e):find("KeyError", 1, true))
  local g = gosched.embed("python", "import sys\nsys.exit(3)")
  e = failure(g.join, g)
  assert(e.status == 3 and g:state() == "exited", tostring(e))
end)

case("ends", function()
  assert(gosched.embed("python", "None"):join(60) == nil)
  local g = gosched.embed("python", "import gosched\ngosched.sleep(1000)")
  assert(g:join(0.01) == gosched.timeout and g:state() == "running")
  g:cancel()
  assert(failure(g.join, g, 60) == gosched.cancelled and g:state() == "cancelled")
  do
    local closed <close> = gosched.embed("tcl", "vwait forever")
    g = closed
  end
  assert(g:state() == "cancelled")
end)

case("refusals", function()
  local function refused(text, ...)
    local e = tostring(failure(gosched.embed, ...))
    assert(e:find(text, 1, true), e)
  end
  refused("no gosched-guest-cobol.so", "cobol", "x")
  refused("bad argument #1", {}, "x")
  refused("bad argument #2", "lua", nil)
  refused("there is a zero in the source", "lua", "x\0y")
  refused("option nme is a string", "lua", "x", {nme = "x"})
  refused("args[2] is a number, expected a string", "lua", "x", {args = {"a", 2}})
end)

local guests
for _ = 1, 5 do
  gosched.run(function()
    guests = {
      gosched.embed("python", "import gosched\ngosched.sleep(1000)"),
      gosched.embed("tcl", "while 1 {}"), gosched.embed("lua", "require 'gosched'.sleep(1000)"),
    }
  end)
  for _, g in ipairs(guests) do assert(g:state() == "cancelled", tostring(g)) end
end
assert(tostring(failure(gosched.embed, "lua", "return 1")):find("inside gosched.run", 1, true))
print "good"
