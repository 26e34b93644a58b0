-- side_green.lua: green threads of one Lua state, by gosched, by bare coroutines, by cqueues,
-- by luv, and by a C module.
--
-- Rows: SIDE.switch (from one to the next), SIDE.spawn (start one that ends at once),
-- SIDE.message and .text (an integer, a string, there and back over two channels), .way (an integer
-- one way, over a channel with room for 128), SIDE.offload (a call that may block, and takes 1 us),
-- SIDE.offload.beyond (what that takes more than the 1 us), SIDE.block.N (N calls that block for
-- 100 ms, all of them; wall time).

local harness = require "harness"

local rows = {}

-- ---- gosched ---------------------------------------------------------------------------------

-- Measured on a green thread that is not the main one, which is bound to its OS thread.
local function inside(body)
  return function(options)
    local gosched = harness.need "gosched"
    return gosched.run(function()
      return gosched.go(function() return body(gosched, options) end):join()
    end)
  end
end

rows["gosched.switch"] = inside(function(gosched, options)
  local over = false
  local other = gosched.go(function() while not over do gosched.yield() end end)
  local samples = harness.samples(options, function(n) for _ = 1, n, 2 do gosched.yield() end end)
  over = true
  other:join()
  return samples
end)

rows["gosched.spawn"] = inside(function(gosched, options)
  local function nothing() end
  return harness.samples(options, function(n)
    for i = 1, n do
      gosched.go(nothing)
      if i % 100 == 0 then gosched.yield() end
    end
    gosched.yield()
  end)
end)

local function message(value)
  return inside(function(gosched, options)
    local a, b = gosched.chan(), gosched.chan()
    local echo = gosched.go(function() for v in a:iter() do b:send(v) end end)
    local samples = harness.samples(options, function(n)
      for _ = 1, n do
        a:send(value)
        b:recv()
      end
    end)
    a:close()
    echo:join()
    return samples
  end)
end
rows["gosched.message"], rows["gosched.message.text"] = message(1), message "text"

local WAITING = 128

rows["gosched.message.way"] = inside(function(gosched, options)
  local ch, done = gosched.chan(WAITING), gosched.chan(1)
  local reader = gosched.go(function()
    for v in ch:iter() do
      if v == 0 then done:send(v) end
    end
  end)
  local samples = harness.samples(options, function(n)
    for i = 1, n do ch:send(i) end
    ch:send(0)
    assert(done:recv() == 0)
  end)
  ch:close()
  reader:join()
  return samples
end)

local function block(count)
  return function(options)
    local gosched = harness.need "gosched"
    local ffi = gosched.ffi
    ffi.cdef [[
      int usleep(unsigned usec);
      struct gsbench_time { long s, ns; };
      int clock_gettime(int id, struct gsbench_time *t);
    ]]
    local libc, samples = ffi.load "libc.so.6", {}
    local t = ffi.new "struct gsbench_time"
    local function now()
      libc.clock_gettime(1, t)
      return t.s * 1e9 + t.ns
    end
    for i = 1, math.min(options.samples, 3) do
      local start = now()
      gosched.run(function()
        local group <close> = gosched.taskgroup()
        for _ = 1, count do group:go(libc.usleep, 100000) end
      end)
      samples[i] = (now() - start) / 1e6
    end
    return samples, "ms"
  end
end
rows["gosched.block.100"], rows["gosched.block.1000"] = block(100), block(1000)

-- ---- bare coroutines -------------------------------------------------------------------------

rows["coroutine.switch"] = function(options)
  local co = coroutine.wrap(function() while true do coroutine.yield() end end)
  return harness.samples(options, function(n) for _ = 1, n, 2 do co() end end)
end

rows["coroutine.spawn"] = function(options)
  local function nothing() end
  return harness.samples(options, function(n) for _ = 1, n do coroutine.wrap(nothing)() end end)
end

-- ---- cqueues ---------------------------------------------------------------------------------

local function loop_of(body)
  return function(options)
    local cqueues = harness.need "cqueues"
    local cq, samples = cqueues.new(), nil
    cq:wrap(function() samples = body(cqueues, cq, options) end)
    assert(cq:loop())
    return samples
  end
end

rows["cqueues.switch"] = loop_of(function(cqueues, cq, options)
  local over = false
  cq:wrap(function() while not over do cqueues.poll(0) end end)
  local samples = harness.samples(options, function(n) for _ = 1, n, 2 do cqueues.poll(0) end end)
  over = true
  return samples
end)

rows["cqueues.spawn"] = loop_of(function(cqueues, cq, options)
  local function nothing() end
  return harness.samples(options, function(n)
    for i = 1, n do
      cq:wrap(nothing)
      if i % 100 == 0 then cqueues.poll(0) end
    end
    cqueues.poll(0)
  end)
end)

rows["cqueues.message"] = loop_of(function(_, cq, options)
  local condition = harness.need "cqueues.condition"
  local there, back, turn = condition.new(), condition.new(), nil
  cq:wrap(function()
    while turn ~= "over" do
      if turn == "there" then
        turn = "back"
        back:signal()
      end
      there:wait()
    end
  end)
  local samples = harness.samples(options, function(n)
    for _ = 1, n do
      turn = "there"
      there:signal()
      while turn ~= "back" do back:wait() end
    end
  end)
  turn = "over"
  there:signal()
  return samples
end)

-- ---- calls of 1 us, by all -------------------------------------------------------------------

local SPIN = 1000 -- ns

local function in_place(spin)
  return function(n) for _ = 1, n do spin(SPIN) end end
end

-- The worker is a Lua state of its own, which finds the C module as this one does.
local function by_luv(uv)
  return function(n)
    local left, work = n, nil
    work = uv.new_work(function(ns) return require("gsbench_lua").spin(ns) end, function()
      left = left - 1
      if left > 0 then work:queue(SPIN) end
    end)
    work:queue(SPIN)
    uv.run()
  end
end

-- Two rows of each side: what a call takes, and less the time that the function itself takes.
for row, own in pairs {offload = 0, ["offload.beyond"] = SPIN} do
  local function measured(options, loop)
    local samples = harness.samples(options, loop, harness.need("gsbench_lua").now)
    for i, ns in ipairs(samples) do samples[i] = ns - own end
    return samples
  end
  rows["gosched." .. row] = inside(function(gosched, options)
    gosched.ffi.cdef "int gsbench_spin(int ns);"
    return measured(options, in_place(gosched.ffi.load(harness.targets).gsbench_spin))
  end)
  rows["module." .. row] = function(options)
    return measured(options, in_place(harness.need("gsbench_lua").spin))
  end
  rows["luv." .. row] = function(options) return measured(options, by_luv(harness.need "luv")) end
end

harness.main(rows)
