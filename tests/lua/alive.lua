-- alive.lua: what a C call uses stays while others collect garbage.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef [[
  long guest_sum_later(const unsigned char *bytes, long n, unsigned ms);
  int guest_add(int a, int b);
]]

-- Collects and allocates until told to stop.
local function collector(state)
  while not state.over do
    collectgarbage()
    local waste = {}
    for i = 1, 200 do waste[i] = string.rep("w", 1000 + i) end
    state.waste = waste
    gosched.yield()
  end
end

check.case("a string that nobody else holds", function()
  gosched.run(function()
    local state = {}
    local gs = { gosched.go(collector, state), gosched.go(collector, state) }
    local lib = ffi.load(arg[2])
    for i = 1, 5 do
      local n = 5000 + i
      -- The string is on the C function's own part of the stack only.
      check.equal(lib.guest_sum_later(string.rep("a", n), n, 20), 97 * n)
    end
    state.over = true
    for _, g in ipairs(gs) do g:join() end
  end)
end)

check.case("a library and a function that nobody else holds", function()
  gosched.run(function()
    local state = {}
    local g = gosched.go(collector, state)
    for _ = 1, 5 do
      check.equal(ffi.load(arg[2]).guest_sum_later("ab", 2, 20), 195)
    end
    local add = ffi.load(arg[2]).guest_add
    collectgarbage()
    collectgarbage()
    check.equal(add(2, 3), 5)
    state.over = true
    g:join()
  end)
end)

check.case("a green thread in a call that nobody holds", function()
  gosched.run(function()
    local result
    gosched.go(function()
      local n = 3000
      result = ffi.load(arg[2]).guest_sum_later(string.rep("b", n), n, 30)
    end)
    for _ = 1, 20000 do
      collectgarbage()
      gosched.sleep(0.002)
      if result then break end
    end
    check.equal(result, 98 * 3000)
  end)
end)

check.done()
