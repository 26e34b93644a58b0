-- stress.lua: green threads that park in the middle of Lua's own C code, and are resumed on other
-- OS threads, while garbage is collected incrementally and generationally.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef "int usleep(unsigned usec); size_t strlen(const char *s);"
local libc = ffi.load "libc.so.6"

local THREADS, ROUNDS = 40, 8

-- Parks, in one way or another.
local function park()
  local way = math.random(4)
  if way == 1 then
    gosched.yield()
  elseif way == 2 then
    gosched.sleep(1e-6)
  elseif way == 3 then
    libc.usleep(1)
  else
    gosched.go(gosched.yield):join()
  end
end

local function deep(n)
  if n == 0 then
    park()
    return 0
  end
  return 1 + deep(n - 1)
end

local function round(i, r)
  local s = ("abcdef"):gsub(".", function(x)
    park()
    return x:upper() .. r
  end)
  check.equal(s, ("A%dB%dC%dD%dE%dF%d"):format(r, r, r, r, r, r))

  local t = {}
  for k = 1, 30 do t[k] = (k * 7 + i) % 31 end
  table.sort(t, function(a, b)
    if math.random() < 0.1 then park() end
    return a < b
  end)
  for k = 2, 30 do check.truth(t[k - 1] <= t[k], "it is sorted") end

  local closed = false
  local object = setmetatable({}, {
    __index = function(_, key) park() return key .. r end,
    __close = function() park() closed = true end,
    __gc = function() libc.strlen "a call in a finalizer" end,
  })
  check.equal(object.q, "q" .. r)
  do local _ <close> = object end
  check.truth(closed, "it was closed")

  local ok, err = pcall(function()
    park()
    error {r = r}
  end)
  check.equal(ok, false)
  check.equal(err.r, r)

  local co = coroutine.wrap(function()
    for j = 1, 3 do
      park()
      coroutine.yield(j)
    end
  end)
  check.equal(co() + co() + co(), 6)

  local garbage = {}
  for k = 1, 200 do garbage[k] = {k, tostring(k)} end
  check.equal(#garbage, 200)
  if r % 4 == 0 then collectgarbage "step" end
  check.equal(deep(100), 100)
end

for _, mode in ipairs {"incremental", "generational"} do
  check.case("parks everywhere, " .. mode .. " collection", function()
    collectgarbage(mode)
    gosched.run(function()
      local gs = {}
      for i = 1, THREADS do
        gs[i] = gosched.go(function()
          for r = 1, ROUNDS do round(i, r) end
          return i
        end)
      end
      for i = 1, THREADS do check.equal(gs[i]:join(), i) end
    end)
    collectgarbage()
    check.equal(gosched.stats().gs_live, 0)
  end)
end

check.case("thousands of short green threads", function()
  gosched.run(function()
    local sum = 0
    for batch = 1, 20 do
      local gs = {}
      for i = 1, 200 do gs[i] = gosched.go(function() return i * batch end) end
      for i = 1, 200 do sum = sum + gs[i]:join() end
    end
    check.equal(sum, 210 * 20100)
  end)
end)

check.done()
