-- side_plain.lua: programs that compute and are no hogs, at plain speed and inside gosched.run: what
-- the module, and its watch over hogs, costs those who do not need it.
--
-- Rows: SIDE.calls (recursive calls), SIDE.tables (arrays, with loops), SIDE.strings (strings made and
-- matched).  The side `plain` does not load the module; `gosched` runs the same in a green thread,
-- beside one that sleeps, so that the watcher has something to look at.

local harness = require "harness"

local work = {}

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
function work.calls(n) for _ = 1, n do assert(fib(16) == 987) end end

function work.tables(n)
  for _ = 1, n do
    local sieve, count = {}, 0
    for i = 2, 2000 do sieve[i] = true end
    for i = 2, 2000 do
      if sieve[i] then
        count = count + 1
        for k = i * i, 2000, i do sieve[k] = false end
      end
    end
    assert(count == 303)
  end
end

function work.strings(n)
  for _ = 1, n do
    local parts = {}
    for i = 1, 100 do parts[i] = ("%d:%s"):format(i, ("x"):rep(i % 10)) end
    local text, sum = table.concat(parts, ","), 0
    for digits in text:gmatch "%d+" do sum = sum + tonumber(digits) end
    assert(sum == 5050)
  end
end

local rows = {}
for name, loop in pairs(work) do
  rows["plain." .. name] = function(options) return harness.samples(options, loop) end
  rows["gosched." .. name] = function(options)
    local gosched = harness.need "gosched"
    return gosched.run(function()
      local sleeper = gosched.go(gosched.sleep, 1e6)
      local samples = gosched.go(function() return harness.samples(options, loop) end):join()
      sleeper:cancel()
      return samples
    end)
  end
end

harness.main(rows)
