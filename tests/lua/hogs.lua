-- hogs.lua: green threads that compute for long give others a turn.

local check = require "check"
local gosched = require "gosched"

-- Runs `hog`, which computes until stop() is true, beside a ticker that says when to stop.  Without
-- a turn for the ticker it would go on for ever; the give-up is so that a failure is told.
local function beside(hog)
  gosched.run(function()
    local turns, begun = 0, os.time()
    local function stop()
      if os.time() - begun > 30 then error "the others never had a turn" end
      return turns >= 3
    end
    local g = gosched.go(hog, stop)
    while turns < 3 and g:state() == "running" do
      gosched.sleep(0.001)
      turns = turns + 1
    end
    g:join()
    check.truth(turns >= 3, "three turns")
  end)
end

local function compute(stop)
  local n = 0
  while true do
    for i = 1, 10000 do n = n + i % 7 end
    if stop() then return n end
  end
end

check.case("a loop", function() beside(compute) end)

check.case("the main green thread", function()
  gosched.run(function()
    local turns = 0
    gosched.go(function()
      while turns < 3 do
        gosched.yield()
        turns = turns + 1
      end
    end)
    compute(function() return turns >= 3 end)
  end)
end)

check.case("inside coroutines, also nested ones", function()
  beside(function(stop) return coroutine.wrap(compute)(stop) end)
  beside(function(stop)
    local co = coroutine.create(function()
      coroutine.yield()
      return coroutine.wrap(compute)(stop)
    end)
    coroutine.resume(co)
    assert(coroutine.resume(co))
  end)
end)

check.case("inside pcall, sort and gsub", function()
  beside(function(stop)
    assert(pcall(function()
      table.sort({2, 1}, function(a, b)
        ("x"):gsub("x", function() compute(stop) end)
        return a < b
      end)
    end))
  end)
end)

check.case("a hook of the user's stays", function()
  local counted, called = 0, 0
  local function nothing() end
  beside(function(stop)
    debug.sethook(function(event)
      if event == "count" then counted = counted + 1 else called = called + 1 end
    end, "c", 1000)
    local r = compute(function() nothing() return stop() end)
    local f, mask, count = debug.gethook()
    check.truth(f ~= nil and mask == "c" and count == 1000, "it is set")
    debug.sethook()
    check.equal(debug.gethook(), nil)
    return r
  end)
  check.truth(counted > 0 and called > 0, "it was called")
end)

check.case("ten hogs all get on", function()
  gosched.run(function()
    local gs, done = {}, 0
    for i = 1, 10 do
      gs[i] = gosched.go(function()
        local n = 0
        -- Until all have begun; none of them ever waits.
        done = done + 1
        while done < 10 do n = n + 1 end
        return n
      end)
    end
    for i = 1, 10 do gs[i]:join() end
    check.equal(done, 10)
  end)
end)

check.case("the collector may run in between", function()
  local made = 0
  beside(function(stop)
    while not stop() do
      local t = {}
      for i = 1, 100 do t[i] = setmetatable({}, {__gc = function() made = made + 1 end}) end
    end
  end)
  collectgarbage()
  check.truth(made > 0, "things were collected")
end)

check.case("preempt(false) leaves them alone", function()
  check.equal(gosched.preempt(false), true)
  check.equal(gosched.preempt(false), false)
  gosched.run(function()
    local turns, over = 0, false
    local g = gosched.go(function()
      while not over do
        turns = turns + 1
        gosched.yield()
      end
    end)
    gosched.yield()
    local before, began = turns, os.clock()
    while os.clock() - began < 0.1 do end
    check.equal(turns, before)
    over = true
    g:join()
  end)
  check.equal(gosched.preempt(true), false)
  check.raises(function() gosched.preempt() end, "boolean expected")
end)

check.done()
