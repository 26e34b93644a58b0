-- One dump, with the stacks of three languages, in a Lua that hosts Python and Tcl.
local gosched = require "gosched"

local PYTHON = [[
import gosched
def python_waits_here(chan):
    chan.recv()
gosched.go(python_waits_here, gosched.Chan())
gosched.shared("python is there", 1).send(1)
gosched.shared("python may go", 1).recv()
]]
local TCL = [==[
proc tcl_waits_here {ch} {$ch recv}
set green [gosched::go tcl_waits_here [gosched::chan new]]
[gosched::shared {tcl is there} 1] send 1
[gosched::shared {tcl may go} 1] recv
]==]

local function dump()
  local name = os.tmpname()
  local f = assert(io.open(name, "w+"))
  os.remove(name)
  gosched.dump(f)
  f:seek "set"
  local text = f:read "a"
  f:close()
  return text
end

local function lua_waits_here(ch) ch:recv() end

-- Who is busy is told so: then it is asked again, for as long as it takes.
gosched.run(function()
  local never = gosched.chan()
  gosched.go(lua_waits_here, never)
  local guests = {
    gosched.embed("python", PYTHON, {name = "view.py"}), gosched.embed("tcl", TCL, {name = "view.tcl"}),
  }
  for _, language in ipairs {"python", "tcl"} do
    assert(select(2, gosched.shared(language .. " is there", 1):recv(60)))
  end
  local wanted = {
    "green threads in python:", "in python_waits_here", "green threads in tcl:",
    "::tcl_waits_here line 1: $ch recv", "green threads in lua:\n", "view_lua.lua:30: in function <",
    '"python_waits_here"', '"view_lua.lua:',
  }
  local missing, text
  for _ = 1, 60 do
    missing, text = nil, dump()
    for _, line in ipairs(wanted) do if not text:find(line, 1, true) then missing = line end end
    if not missing then break end
  end
  assert(not missing, tostring(missing) .. " not in:\n" .. text)
  for i, language in ipairs {"python", "tcl"} do
    gosched.shared(language .. " may go", 1):send(1)
    guests[i]:join(60)
  end
  never:close()
end)
print "good"
