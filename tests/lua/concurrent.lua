-- concurrent.lua: blocking C calls of many green threads at once.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef [[
  int usleep(unsigned usec);
  int errno_after_pause(int value, unsigned milliseconds);
  int gettid(void);
  struct gs_test_timespec { time_t tv_sec; long tv_nsec; };
]]
local libc = ffi.load "libc.so.6"
local helper = ffi.load(arg[1])

-- Runs f and returns how many times a ticker came round meanwhile.
local function with_ticker(f)
  local ticks, on = 0, true
  local ticker = gosched.go(function()
    while on do
      gosched.sleep(0.005)
      ticks = ticks + 1
    end
  end)
  f()
  on = false
  ticker:join()
  return ticks
end

check.case("50 blocking calls overlap, and a ticker goes on", function()
  gosched.run(function()
    local inside, most, done = 0, 0, 0
    local ticks = with_ticker(function()
      local gs = {}
      for i = 1, 50 do
        gs[i] = gosched.go(function()
          inside = inside + 1
          most = math.max(most, inside)
          check.equal(libc.usleep(100000), 0)
          inside = inside - 1
          done = done + 1
        end)
      end
      for i = 1, 50 do gs[i]:join() end
    end)
    check.equal(done, 50)
    check.truth(most > 10, "more than 10 were in a call at once")
    check.truth(ticks >= 3, "the ticker ran")
  end)
end)

check.case("the whole takes as long as one call, not as fifty", function()
  local start = os.time()
  gosched.run(function()
    local gs = {}
    for i = 1, 50 do gs[i] = gosched.go(libc.usleep, 200000) end
    for i = 1, 50 do check.equal(gs[i]:join(), 0) end
  end)
  check.truth(os.time() - start <= 5, "less than 5 of 10 seconds")
end)

check.case("errno is the green thread's own", function()
  gosched.run(function()
    local gs = {}
    for i = 1, 20 do
      gs[i] = gosched.go(function()
        for round = 1, 20 do
          local mine = i * 100 + round
          helper.errno_after_pause(mine, round % 3 == 0 and 1 or 0)
          check.equal(ffi.errno(), mine)
          gosched.yield()
          check.equal(ffi.errno(), mine)
        end
      end)
    end
    for i = 1, 20 do gs[i]:join() end
  end)
end)

check.case("green threads move between OS threads, the main one does not", function()
  gosched.run(function()
    local main, others, gs = libc.gettid(), {}, {}
    for i = 1, 10 do
      gs[i] = gosched.go(function()
        for _ = 1, 10 do
          libc.usleep(1000)
          others[libc.gettid()] = true
        end
      end)
    end
    for i = 1, 10 do
      gs[i]:join()
      check.equal(libc.gettid(), main)
    end
    check.truth(next(others, next(others)), "more than one thread ran them")
  end)
end)

check.case("one blocking call keeps nobody from joining, yielding and collecting", function()
  gosched.run(function()
    local blocked = gosched.go(libc.usleep, 300000)
    gosched.yield()
    local n = 0
    while blocked:state() == "running" do
      gosched.go(function() return {} end):join()
      n = n + 1
      if n % 100 == 0 then collectgarbage() end
    end
    check.truth(n > 100, "others ran meanwhile")
    check.equal(blocked:join(), 0)
  end)
end)

check.case("what blocks is in the profile while it does", function()
  gosched.run(function()
    local function usleep()
      for _, e in ipairs(gosched.profile()) do
        if e.name == "usleep" then return e end
      end
      return {now = 0, blocked = 0}
    end
    local before, seen = usleep().blocked
    repeat -- until it was seen before its end
      local g = gosched.go(libc.usleep, 50000)
      repeat
        gosched.sleep(0.001)
        seen = usleep()
      until seen.blocked > before or g:state() ~= "running"
      g:join()
    until seen.blocked > before
    check.truth(seen.blocked_s > 0 and seen.longest_s <= seen.blocked_s, "its time is there")
    check.equal(usleep().now, 0)
  end)
end)

check.done()
