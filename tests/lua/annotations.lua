-- annotations.lua: the annotations name what is there, no more and no less.

local check = require "check"
local gosched = require "gosched"

local path = debug.getinfo(1, "S").source:match "^@(.*)tests/lua/" .. "bindings/lua/library/gosched.lua"

local function names(t)
  local list = {}
  for name in pairs(t) do if not name:find "^__" then list[#list + 1] = name end end
  table.sort(list)
  return table.concat(list, " ")
end

local function annotated(class, text)
  local found = {}
  for name in text:gmatch("\nfunction " .. class .. "[.:]([%w_]+)") do found[name] = true end
  return found
end

local file = assert(io.open(path))
local text = file:read "a"
file:close()

check.case("functions of the module", function()
  local there, said = {}, annotated("gosched", text)
  for name, value in pairs(gosched) do if type(value) == "function" then there[name] = true end end
  check.equal(names(said), names(there))
end)

check.case("methods", function()
  for class, object in pairs {
    Green = "gosched.green", Chan = "gosched.chan", Mutex = "gosched.mutex",
    Waitgroup = "gosched.waitgroup", Taskgroup = "gosched.taskgroup", Trace = "gosched.trace",
    Timeout = "gosched.timeout", Guest = "gosched.guest", Shared = "gosched.shared",
  } do
    local index = debug.getregistry()[object].__index
    if type(index) == "function" then index = select(2, debug.getupvalue(index, 2)) end
    check.equal(class .. ": " .. names(annotated(class, text)), class .. ": " .. names(index))
  end
end)

check.case("it is Lua", function() assert(loadfile(path)) end)

check.done()
