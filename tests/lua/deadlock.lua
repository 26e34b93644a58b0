-- deadlock.lua: deadlocks, dumps, traces, stats.

local check = require "check"
local gosched = require "gosched"

local function stuck_in_a_function(ch) return (ch:recv()) end

check.case("a deadlock is an error with the tracebacks of all", function()
  local ch = gosched.chan()
  local err = check.raises(function()
    gosched.run(function()
      gosched.go(function() stuck_in_a_function(ch) end)
      gosched.go(function()
        coroutine.wrap(function() ch:recv() end)()
      end)
      gosched.mutex():lock()
      gosched.chan():recv()
    end)
  end, "ch:recv: all green threads are asleep", "(a deadlock)", "(main), waiting in ch:recv:",
    "(deadlock.lua:", "stuck_in_a_function", "in a coroutine of its own", "stack traceback")
  local _, n = err:gsub("green thread %d+ %(", "")
  check.truth(n >= 3, "all three are in it")
end)

check.case("every wait of the main one can end so, and it can go on", function()
  gosched.run(function()
    local ch, m, wg = gosched.chan(), gosched.mutex(), gosched.waitgroup()
    wg:add()
    local g = gosched.go(function()
      local held <close> = m:lock()
      ch:recv()
    end)
    gosched.yield()
    for name, wait in pairs {
      recv = function() ch:recv() end, join = function() g:join() end,
      lock = function() m:lock() end, wait = function() wg:wait() end,
      select = function() gosched.select {{ch, "recv"}} end,
      nothing = function() gosched.select {} end,
      group = function()
        local tg <close> = gosched.taskgroup()
        tg:go(function() gosched.chan():recv() end)
      end,
    } do
      local ok, err = pcall(wait)
      check.truth(not ok and tostring(err):find "deadlock", name .. ": " .. tostring(err))
    end
    ch:send(1)
    g:join()
  end)
end)

check.case("what sleeps or waits with a timeout is no deadlock", function()
  gosched.run(function()
    local g = gosched.go(function() gosched.sleep(0.05) return "slept" end)
    check.equal(g:join(), "slept")
    check.equal(select(3, gosched.chan():recv(0.05)), "timeout")
  end)
end)

check.case("dump tells of the scheduler and of every Lua stack", function()
  local file = io.tmpfile()
  gosched.run(function()
    local g = gosched.go(function() stuck_in_a_function(gosched.chan()) end)
    while not select(2, g:state()) do gosched.yield() end
    gosched.dump(file)
    g:cancel()
  end)
  file:seek "set"
  local text = file:read "a"
  for _, part in ipairs {"domain", "green thread", "(main), running:", "waiting in ch:recv",
    "stuck_in_a_function"} do
    check.truth(text:find(part, 1, true), part .. " in\n" .. text)
  end
  file:close()
  check.raises(function() gosched.dump(file) end, "the file is closed")
  check.raises(function() gosched.dump "x" end, "FILE* expected")
end)

check.case("trace writes a file", function()
  local path = os.tmpname()
  do
    local t <close> = gosched.trace(path)
    check.raises(function() gosched.trace(path) end, "a trace is being recorded already")
    gosched.run(function()
      gosched.go(function() gosched.sleep(0.001) end):join()
    end)
    t:stop()
    t:stop()
  end
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  os.remove(path)
  check.truth(text:find("deadlock.lua:", 1, true), "the green thread's name is in it")
  local t = gosched.trace "/no/such/directory/x"
  check.raises(function() t:stop() end, "cannot be written: No such file or directory")
end)

check.case("stats", function()
  local s = gosched.stats()
  for _, name in ipairs {"gs_live", "switches", "io_waiters", "hogs", "detached"} do
    check.equal(math.type(s[name]), "integer")
  end
end)

check.case("snapshot", function()
  gosched.run(function()
    local ch = gosched.chan()
    local g = gosched.go(function() ch:recv() end)
    local function find(id)
      for _, each in ipairs(gosched.snapshot().gs) do
        if each.id == id then return each end
      end
    end
    local deadline = os.time() + 60
    while find(g.id).state ~= "waiting" and os.time() < deadline do gosched.yield() end
    local found = find(g.id)
    check.equal(found.state, "waiting")
    check.equal(found.system, false)
    check.equal(found.call, nil)
    local s = gosched.snapshot()
    check.equal(math.type(s.when), "float")
    check.equal(math.type(s.ms[1].tid), "integer")
    check.equal(type(s.ps[1].state), "string")
    local running = 0
    for _, each in ipairs(s.gs) do
      if each.state == "running" or each.state == "syscall" then running = running + 1 end
    end
    check.equal(running >= 1, true)
    ch:close()
    g:join()
    check.equal(find(g.id), nil)
  end)
end)

check.done()
