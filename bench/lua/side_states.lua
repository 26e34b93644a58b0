-- side_states.lua: messages between two Lua states that run on two threads, by gosched's shared
-- channels and by lanes' lindas.
--
-- Rows: SIDE.states (an integer there and back; the state there sends it back), SIDE.stream (one way;
-- up to 128 are under way).  All wall time.

local harness = require "harness"

local WAITING = 128

local rows = {}

-- ---- gosched: the other state is a guest -----------------------------------------------------

local function beside(source, body)
  return function(options)
    local gosched = harness.need "gosched"
    local now = harness.need("gsbench_lua").now
    return gosched.run(function()
      return gosched.go(function()
        local there, back = gosched.shared("bench.there", WAITING), gosched.shared("bench.back", WAITING)
        local guest = gosched.embed("lua", source)
        local samples = harness.samples(options, body(there, back), now)
        there:close()
        guest:join()
        return samples
      end):join()
    end)
  end
end

rows["gosched.states"] = beside([[
  local gosched = require "gosched"
  local there, back = gosched.shared "bench.there", gosched.shared "bench.back"
  for v in there:iter() do back:send(v) end
]], function(there, back)
  return function(n)
    for i = 1, n do
      there:send(i)
      assert(back:recv() == i)
    end
  end
end)

rows["gosched.stream"] = beside([[
  local gosched = require "gosched"
  local there, back = gosched.shared "bench.there", gosched.shared "bench.back"
  for v in there:iter() do
    if v == 0 then back:send(v) end
  end
]], function(there, back)
  return function(n)
    for i = 1, n do there:send(i) end
    there:send(0)
    assert(back:recv() == 0)
  end
end)

-- ---- lanes: the other state is a lane --------------------------------------------------------

local function across(lane, body)
  return function(options)
    local lanes = harness.need("lanes").configure()
    local now = harness.need("gsbench_lua").now
    local linda = lanes.linda()
    linda:limit("there", WAITING)
    local other = lanes.gen("*", lane)(linda)
    local samples = harness.samples(options, body(linda), now)
    linda:send("there", -1)
    assert(other:join() == true)
    return samples
  end
end

rows["lanes.states"] = across(function(linda)
  while true do
    local _, v = linda:receive "there"
    if v == -1 then return true end
    linda:send("back", v)
  end
end, function(linda)
  return function(n)
    for i = 1, n do
      linda:send("there", i)
      local _, v = linda:receive "back"
      assert(v == i)
    end
  end
end)

rows["lanes.stream"] = across(function(linda)
  while true do
    local _, v = linda:receive "there"
    if v == -1 then return true end
    if v == 0 then linda:send("back", v) end
  end
end, function(linda)
  return function(n)
    for i = 1, n do linda:send("there", i) end
    linda:send("there", 0)
    local _, v = linda:receive "back"
    assert(v == 0)
  end
end)

harness.main(rows)
