-- spare.lua: lua_States that are used again (spare.c): the next green thread finds nothing of the
-- one before, and who knew it finds it unchanged.

local check = require "check"
local gosched = require "gosched"

local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

-- So many that ended states are used again, one after another and at once.
local function some(body)
  for _ = 1, 300 do gosched.go(body):join() end
  local all = {}
  for i = 1, 300 do all[i] = gosched.go(body) end
  for i = 1, 300 do all[i]:join() end
end

case("results are those of each one's own", function()
  local none, one, many = {}, {}, {}
  for i = 1, 300 do
    none[i] = gosched.go(function() end)
    one[i] = gosched.go(function() return {i} end)
    many[i] = gosched.go(function() return i, nil, i end)
    if i % 7 == 0 then gosched.yield() end
  end
  for _ = 1, 2 do
    for i = 1, 300 do
      check.equal(select("#", none[i]:join()), 0)
      check.equal(one[i]:join()[1], i)
      check.equal(select("#", many[i]:join()), 3)
      check.equal(select(3, many[i]:join()), i)
    end
  end
end)

case("nil is a result", function()
  some(function() end)
  check.equal(select("#", gosched.go(function() return nil end):join()), 1)
end)

case("a coroutine that somebody knows is nobody else's later", function()
  local seen = {}
  some(function()
    local co, main = coroutine.running()
    check.truth(not seen[co], "a new coroutine")
    check.equal(main, false)
    seen[co] = true
  end)
  local count = 0
  for _ in pairs(seen) do count = count + 1 end
  check.equal(count, 600)
end)

case("what it had on its stack can be collected", function()
  local weak = setmetatable({}, {__mode = "v"})
  local function fill(i)
    local t = {}
    weak[i] = t
    gosched.yield()
    return t and nil
  end
  for i = 1, 50 do gosched.go(fill, i) end
  while collectgarbage() and next(weak) do gosched.yield() end
end)

case("its one result can be collected", function()
  local weak = setmetatable({}, {__mode = "v"})
  local all = {}
  for i = 1, 50 do
    all[i] = gosched.go(function()
      weak[i] = {}
      return weak[i]
    end)
  end
  for i = 1, 50 do check.truth(type(all[i]:join()) == "table", "the result") end
  all = nil -- luacheck: ignore 311
  while collectgarbage() and next(weak) do gosched.yield() end
end)

case("a hook is not handed on, and that of the maker is", function()
  local calls = 0
  some(function() debug.sethook(function() calls = calls + 1 end, "", 1) end)
  some(function()
    calls = 0
    local n = 0
    for i = 1, 100 do n = n + i end
    check.equal(calls, 0)
    check.equal(debug.gethook(), nil)
  end)
end)

case("one that is refused leaves no trace", function()
  local many = {}
  for i = 1, 300 do many[i] = i end
  some(function()
    check.raises(function() gosched.go(1) end, "function expected")
    check.raises(function()
      gosched.go(function() end, table.unpack(setmetatable({}, {__index = function() return 0 end}), 1, 999990))
    end, "too many")
  end)
  some(function() end)
end)

case("finalizers that start green threads in the middle of a start", function()
  local over, started = false, 0
  local function arm()
    setmetatable({}, {
      __gc = function()
        if over then return end
        started = started + 1
        gosched.go(function() end)
        arm()
      end,
    })
  end
  for _ = 1, 20 do arm() end
  collectgarbage("incremental", 100, 1000, 2)
  for i = 1, 3000 do
    gosched.go(function() return i end)
    if i % 50 == 0 then gosched.yield() end
  end
  over = true
  collectgarbage("incremental", 200, 100, 13)
  check.truth(started > 0, "some were started by finalizers")
end)

check.done()
