-- sync.lua: mutexes, wait groups, task groups, timeouts, cancellation, to-be-closed variables.

local check = require "check"
local gosched = require "gosched"

local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

local function forever() gosched.sleep(1e6) end

-- Waits until g waits in the operation.
local function until_it_waits(g)
  while not select(2, g:state()) do gosched.yield() end
end

case("a mutex keeps others out, also those that park inside", function()
  local m, inside, n = gosched.mutex(), 0, 0
  local gs = {}
  for i = 1, 20 do
    gs[i] = gosched.go(function()
      for _ = 1, 20 do
        local held <close> = m:lock()
        inside = inside + 1
        check.equal(inside, 1)
        gosched.yield()
        inside = inside - 1
        n = n + 1
      end
    end)
  end
  for _, g in ipairs(gs) do g:join() end
  check.equal(n, 400)
  check.equal(m:locked(), false)
end)

case("an error leaves the mutex unlocked", function()
  local m = gosched.mutex()
  check.raises(function()
    local held <close> = m:lock()
    error "inside"
  end, "inside")
  check.equal(m:locked(), false)
  check.equal(m:trylock(), m)
  check.equal(m:trylock(), nil)
  check.raises(function() m:lock() end, "this green thread holds it already")
  m:unlock()
  check.raises(function() m:unlock() end, "it is not locked")
end)

case("a mutex that another holds: timeout", function()
  local m = gosched.mutex()
  local g = gosched.go(function()
    local held <close> = m:lock()
    forever()
  end)
  until_it_waits(g)
  local got, why = m:lock(0.001)
  check.equal(got, nil)
  check.equal(why, "timeout")
  g:cancel()
  check.equal(m:lock(), m)
end)

case("a wait group", function()
  local wg, n = gosched.waitgroup(), 0
  check.equal(wg:wait(), true)
  for _ = 1, 10 do
    wg:add(1)
    gosched.go(function()
      gosched.yield()
      n = n + 1
      wg:done()
    end)
  end
  check.equal(wg:wait(), true)
  check.equal(n, 10)
  wg:add(2)
  local ok, why = wg:wait(0.001)
  check.truth(ok == false and why == "timeout", "timeout")
  wg:add(-2)
  check.raises(function() wg:done() end, "would make the count negative")
end)

case("a timeout ends the waits inside its block", function()
  local ch = gosched.chan()
  local function try()
    local t <close> = gosched.timeout(0.002)
    ch:recv()
  end
  local ok, err = pcall(try)
  check.equal(ok, false)
  check.equal(err, gosched.timeout)
  check.equal(select(3, ch:recv(0.001)), "timeout") -- and none after it
  gosched.sleep(0.001)
end)

case("every operation respects a timeout", function()
  local ch, m, wg = gosched.chan(), gosched.mutex(), gosched.waitgroup()
  wg:add()
  local g = gosched.go(function()
    m:lock()
    forever()
  end)
  until_it_waits(g)
  for name, wait in pairs {
    sleep = forever, join = function() g:join() end, recv = function() ch:recv() end,
    send = function() ch:send(1) end, lock = function() m:lock() end,
    wait = function() wg:wait() end, select = function() gosched.select {{ch, "recv"}} end,
    yield = function() while true do gosched.yield() end end,
    iter = function() for _ in ch:iter() do error "no" end end,
  } do
    local ok, err = pcall(function()
      local t <close> = gosched.timeout(0.001)
      wait()
    end)
    check.truth(not ok and err == gosched.timeout, name .. ": " .. tostring(err))
  end
  g:cancel()
end)

case("the shorter of two timeouts counts, and a wait's own stays what it is", function()
  local ch = gosched.chan()
  local t <close> = gosched.timeout(100)
  check.equal(select(3, ch:recv(0.001)), "timeout")
  do
    local inner <close> = gosched.timeout(0)
    check.equal(inner:expired(), true)
    local ok, err = pcall(ch.recv, ch, 50)
    check.truth(not ok and err == gosched.timeout, "the inner one")
  end
  check.equal(t:expired(), false)
  do
    local longer <close> = gosched.timeout(1000)
    check.equal(select(3, ch:recv(0.001)), "timeout")
  end
  gosched.sleep(0.001)
end)

case("a green thread to be closed is cancelled and waited for", function()
  local cleaned
  do
    local g <close> = gosched.go(function()
      local closer <close> = setmetatable({}, {__close = function()
        cleaned = true
      end})
      forever()
    end)
    until_it_waits(g)
  end
  check.equal(cleaned, true)
  check.raises(function()
    local g <close> = gosched.go(error, "told at close")
    while g:state() == "running" do gosched.yield() end
  end, "told at close")
end)

case("clean-up of a cancelled one may wait in __close of what it started", function()
  local order = {}
  local g = gosched.go(function()
    local child <close> = gosched.go(function()
      pcall(forever)
      order[#order + 1] = "child"
    end)
    forever()
  end)
  until_it_waits(g)
  g:cancel()
  local ok, err = pcall(g.join, g)
  check.truth(not ok and err == gosched.cancelled, "it was cancelled")
  check.equal(order[1], "child")
end)

case("a cancelled one stays cancelled in every wait", function()
  local g = gosched.go(function()
    for _ = 1, 3 do
      local ok, err = pcall(forever)
      check.truth(not ok and err == gosched.cancelled, "each wait")
    end
    check.equal(select(2, pcall(gosched.yield)), gosched.cancelled)
    return "done"
  end)
  until_it_waits(g)
  g:cancel()
  check.equal(g:join(), "done")
end)

case("state tells what it waits in", function()
  local ch = gosched.chan()
  local g = gosched.go(ch.recv, ch)
  until_it_waits(g)
  local state, where = g:state()
  check.equal(state, "running")
  check.equal(where, "ch:recv")
  ch:send(1)
  g:join()
  check.equal(select("#", g:state()), 1)
  check.truth(g.name:find "^%[C%]", g.name)
  check.truth(gosched.go(function() end).name:find "^sync.lua:%d+$", "file and line")
end)

case("a task group waits for all", function()
  local n = 0
  do
    local tg <close> = gosched.taskgroup()
    for _ = 1, 10 do
      tg:go(function(k)
        gosched.sleep(0.001)
        n = n + k
      end, 2)
    end
  end
  check.equal(n, 20)
end)

case("the first error of a task group cancels the rest and the owner", function()
  local cancelled = 0
  local ok, err = pcall(function()
    local tg <close> = gosched.taskgroup()
    for _ = 1, 5 do
      tg:go(function()
        local good, why = pcall(forever)
        if not good and why == gosched.cancelled then cancelled = cancelled + 1 end
        error(why, 0)
      end)
    end
    tg:go(function()
      gosched.yield()
      error("first", 0)
    end)
    forever()
  end)
  check.equal(ok, false)
  check.truth(tostring(err):find "^first", tostring(err))
  check.equal(cancelled, 5)
  gosched.sleep(0.001) -- the owner is not cancelled any more
end)

case("the same in a green thread that is not the main one", function()
  local g = gosched.go(function()
    local ok, err = pcall(function()
      local tg <close> = gosched.taskgroup()
      tg:go(error, {"a value"})
      forever()
    end)
    check.equal(ok, false)
    check.equal(err[1], "a value")
    gosched.sleep(0.001)
    return "went on"
  end)
  check.equal(g:join(), "went on")
end)

case("an error in the block cancels the members", function()
  local seen
  check.raises(function()
    local tg <close> = gosched.taskgroup()
    local g = tg:go(function() seen = select(2, pcall(forever)) end)
    until_it_waits(g)
    error "in the block"
  end, "in the block")
  check.equal(seen, gosched.cancelled)
end)

case("a task group that is cancelled ends its members, which is no error", function()
  local begun, cancelled = 0, 0
  local tg <close> = gosched.taskgroup()
  for _ = 1, 5 do
    tg:go(function()
      begun = begun + 1
      local ok, err = pcall(gosched.sleep, 1000)
      if not ok and err == gosched.cancelled then cancelled = cancelled + 1 end
      error(err)
    end)
  end
  while begun < 5 do gosched.yield() end
  tg:cancel()
  tg:cancel()
  tg:wait()
  check.equal(cancelled, 5)
  check.raises(function() tg:go(print) end, "the group is closed")
end)

case("a timeout around a task group ends its members", function()
  local seen
  local ok, err = pcall(function()
    local t <close> = gosched.timeout(0.01)
    local tg <close> = gosched.taskgroup()
    tg:go(function() seen = select(2, pcall(forever)) end)
  end)
  check.equal(ok, false)
  check.equal(err, gosched.timeout)
  check.equal(seen, gosched.cancelled)
end)

case("a cancelled owner takes its members along", function()
  local seen
  local g = gosched.go(function()
    local tg <close> = gosched.taskgroup()
    tg:go(function() seen = select(2, pcall(forever)) end)
  end)
  until_it_waits(g)
  g:cancel()
  check.equal(select(2, pcall(g.join, g)), gosched.cancelled)
  check.equal(seen, gosched.cancelled)
end)

case("a task group nests, and takes nobody when it is closed", function()
  local n = 0
  local tg = gosched.taskgroup()
  tg:go(function()
    local inner <close> = gosched.taskgroup()
    for _ = 1, 3 do inner:go(function() n = n + 1 end) end
  end)
  tg:wait()
  check.equal(n, 3)
  check.raises(function() tg:go(print) end, "the group is closed")
  check.raises(function() gosched.taskgroup():go(1) end, "function expected")
  local other = gosched.taskgroup()
  local g = other:go(forever)
  until_it_waits(g)
  other:cancel()
  other:wait()
  check.equal(g:state(), "cancelled")
end)

check.case("outside of run", function()
  check.raises(function() gosched.mutex():lock() end, "call it inside gosched.run")
  check.raises(function() gosched.waitgroup():wait() end, "call it inside gosched.run")
  check.raises(function() gosched.taskgroup() end, "call it inside gosched.run")
  check.raises(function() gosched.timeout(1) end, "call it inside gosched.run")
end)

check.done()
