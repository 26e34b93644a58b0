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

local function annotated(class, where)
  local found = {}
  for name in where:gmatch("\nfunction " .. class .. "[.:]([%w_]+)") do found[name] = true end
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

local function functions(t)
  local there = {}
  for name, value in pairs(t) do if type(value) == "function" then there[name] = true end end
  return there
end

-- The fields of a class that the text names.
local function fields(class, where)
  local found, block = {}, assert(where:match("%-%-%-@class " .. class .. "\n(.-)\nlocal "), class)
  for name in block:gmatch "%-%-%-@field ([%w_]+)" do found[name] = true end
  return found
end

local function values(t)
  local there = {}
  for name, value in pairs(t) do if type(value) ~= "function" then there[name] = true end end
  return there
end

check.case("fields of the module", function()
  local there = values(gosched)
  there.socket = true -- made when it is asked for, by luasocket
  check.equal(names(fields("gosched", text)), names(there))
end)

local function read(name)
  local beside = path:gsub("gosched.lua$", name)
  assert(loadfile(beside))
  local annotations <close> = assert(io.open(beside))
  return annotations:read "a"
end

check.case("gosched.socket", function()
  if not pcall(require, "socket") then return print "        without luasocket" end
  local socket_text = read "gosched_socket.lua"
  check.equal(names(annotated("socket", socket_text)), names(functions(gosched.socket)))
  local common = annotated("object", socket_text)
  for class, theirs in pairs {tcp = "tcp{client}", udp = "udp{connected}"} do
    local there = functions(debug.getregistry()[theirs].__index)
    for name in pairs(common) do
      check.truth(there[name], class .. " has no " .. name)
      there[name] = nil
    end
    there.setpeername = class == "udp" and there.setpeername or nil -- luasocket's older names of
    there.setsockname = class == "udp" and there.setsockname or nil -- connect and bind
    check.equal(class .. ": " .. names(annotated(class, socket_text)), class .. ": " .. names(there))
  end
end)

check.case("gosched.ffi", function()
  local ffi_text = read "gosched_ffi.lua"
  check.equal(names(annotated("ffi", ffi_text)), names(functions(gosched.ffi)))
  check.equal(names(fields("gosched.ffi", ffi_text)), names(values(gosched.ffi)))
end)

check.case("each function says what it takes", function()
  local lines, last = {}, ""
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local head, list = line:match "^function ([%w_.:]+)(%b())"
    if head then
      for name in list:gmatch "[%w_]+" do
        if not last:find("@param " .. name, 1, true) then lines[#lines + 1] = head .. ": " .. name end
      end
      if list:find("...", 1, true) and not last:find("@param ...", 1, true) then lines[#lines + 1] = head .. ": ..." end
    end
    last = line:find "^%-%-%-" and last .. line .. "\n" or ""
  end
  check.equal(table.concat(lines, ", "), "")
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
