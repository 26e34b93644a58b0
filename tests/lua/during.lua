-- during.lua: what finalizers, other threads and the end of a run do in the middle of operations.

local support = require "ffi_support"
local check, gosched, ffi, helper = support.check, support.gosched, support.ffi, support.helper

ffi.cdef [[
  int usleep(unsigned);
  struct texts { const char *a, *b; };
  struct hooks { int (*f)(int); };
]]

-- Runs body(step) n times, in the middle of which a finalizer calls meanwhile(step), if the collector
-- happens to run it there; "later" asks for another one.  How often it did.  before(step), if given,
-- is called before each.  often: the collector makes a whole round whenever it can.
local function amidst(n, body, meanwhile, before, often)
  local current, hits = nil, 0
  local function arm()
    setmetatable({}, {
      __gc = function()
        if current then
          local step = current
          current = nil
          hits = hits + 1
          if meanwhile(step) == "later" then
            current = step
            if often then coroutine.wrap(arm)() else arm() end
          end
        end
      end,
    })
  end
  collectgarbage("incremental", often and 50 or 100, 1000, often and 25 or 2)
  for step = 1, n do
    if before then before(step) end
    current = often and step -- then it is asked from here on, and may say "later"
    -- In a coroutine no stale place of this stack holds what is to be collected.
    for _ = 1, 3 do if often then coroutine.wrap(arm)() else arm() end end
    current = step
    body(step)
    current = nil
  end
  collectgarbage("incremental", 200, 100, 13)
  collectgarbage()
  return hits
end

-- Before the others, whose callbacks could come from anywhere: then nothing is a deadlock.
check.case("who cannot end is told at the end of a run, which ends all the same", function()
  local order = {}
  local function waits_for(which, gs)
    local last <close> = setmetatable({}, {
      __close = function()
        local other <close> = gs[which]
        order[#order + 1] = other and which
      end,
    })
    gosched.sleep(last and 1000)
  end
  check.raises(function()
    gosched.run(function()
      local gs = {}
      gs[1] = gosched.go(waits_for, 2, gs)
      gs[2] = gosched.go(waits_for, 1, gs)
      gosched.yield()
    end)
  end, "wait for each other (a deadlock)", "waiting in the __close of a green thread", "(during.lua:")
  check.equal(#order, 2)
  check.equal(gosched.run(function() return gosched.go(function() return 5 end):join() end), 5)
end)

check.case("a dump of green threads that end meanwhile", function()
  local sleep = ffi.load("libc.so.6").usleep
  gosched.run(function()
    local ch, left, skip
    local function start(step)
      ch, left, skip = gosched.chan(), 60, step
      for _ = 1, 60 do
        gosched.go(function()
          ch:recv()
          left = left - 1
        end)
      end
      gosched.yield()
    end
    amidst(30, function()
      local file <close> = assert(io.tmpfile())
      gosched.dump(file)
      file:seek "set"
      local _, n = file:read "a":gsub("waiting in ch:recv", "")
      check.truth(n == 60 or n == 0, ("%d of 60, of one moment,"):format(n))
      ch:close()
      while left > 0 do gosched.yield() end
    end, function()
      skip = skip - 1
      if skip >= 0 then return "later" end
      ch:close()
      for _ = 1, 100 do if left > 0 then sleep(1000) end end -- in a foreign call others have the turn
    end, start)
  end)
end)

check.case("strings that C has the address of stay, whoever stores at once", function()
  local all = {}
  local hits = amidst(2000, function(i)
    all[i] = ffi.new "struct texts"
    all[i].a = "text a" .. i
  end, function(i)
    if all[i] then all[i].b = "text b" .. i end
  end)
  check.truth(hits > 0, "finalizers ran")
  local junk = {}
  for i = 1, 20000 do junk[i] = ("x"):rep(5 + i % 8) .. i end
  for i, t in ipairs(all) do
    check.equal(ffi.string(t.a), "text a" .. i)
    if t.b ~= ffi.nullptr then check.equal(ffi.string(t.b), "text b" .. i) end
  end
end)

check.case("a Lua function is one C function of a type, whoever asks at once", function()
  local many, all, now, met = 5, {}, nil, 0
  local null = ffi.nullptr
  amidst(300, function(step)
    now = all[step]
    for k = 1, many do now[k].mine.f = now[k].f end
    now = nil
  end, function()
    if not now then return "later" end
    for k = 1, many do now[k].others.f = now[k].f end
  end, function(step)
    local list = {}
    for k = 1, many do
      list[k] = {f = function(v) return v + k end, mine = ffi.new "struct hooks", others = ffi.new "struct hooks"}
    end
    all[step] = list
  end, true)
  for _, list in ipairs(all) do
    for k, x in ipairs(list) do
      if x.others.f ~= null then
        met = met + 1
        check.equal(x.mine.f, x.others.f)
      end
      x.others.f = x.f
      check.equal(x.mine.f, x.others.f)
      check.equal(x.others.f(1), k + 1)
      x.mine.f:free()
    end
  end
  check.truth(met > 0, "both have asked")
  print("        both have asked: " .. met)
end)

check.case("a task group of a callback from another thread tells its owner", function()
  local slept, ended = false, true
  gosched.run(function()
    helper.call_on_thread(function()
      ended = pcall(function()
        local tg <close> = gosched.taskgroup()
        tg:go(function() error "first" end)
        gosched.sleep(20)
        slept = true
      end)
      return 0
    end, 1)
  end)
  check.equal(slept, false)
  check.equal(ended, false)
end)

check.case("a finalizer that goes to an OS thread is nobody else's", function()
  local wrong = {}
  gosched.run(function()
    local over, done = false, false
    local others = {}
    for i = 1, 3 do
      others[i] = gosched.go(function()
        while not over do
          local ok, e = pcall(gosched.yield)
          if not ok then
            wrong[#wrong + 1] = tostring(e)
            return
          end
        end
      end)
    end
    setmetatable({}, {
      __gc = function()
        local until_ = os.clock() + 0.3
        while os.clock() < until_ do
          for _ = 1, 100 do gosched.os_thread(function() end) end
        end
        done = true
      end,
    })
    while not done do collectgarbage() end
    over = true
    for _, g in ipairs(others) do g:join() end
  end)
  check.equal(wrong[1], nil)
end)

check.case("who ends a call at the end of a run may need other threads to come in", function()
  local came_in = false
  helper.pipe_open()
  local cb = ffi.cast("callback_p", function(v)
    came_in = true
    return v
  end)
  local wait = ffi.bind(helper.wait_for_byte, {
    unblock = function()
      helper.later_start(cb, 1, 1)
      helper.later_join()
      helper.wake_up(9)
    end,
  })
  local begun, g = false, nil
  gosched.run(function()
    g = gosched.go(function()
      begun = true
      wait(1)
    end)
    while not begun do gosched.yield() end
    gosched.sleep(0.02)
  end)
  check.equal(select(2, pcall(g.join, g)), gosched.cancelled)
  check.truth(came_in, "the other thread's call")
  helper.pipe_close()
  cb:free()
end)

check.done()
