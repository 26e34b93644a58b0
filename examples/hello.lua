local gosched = require "gosched"
gosched.ffi.cdef "int usleep(unsigned usec);"
local libc = gosched.ffi.load "libc.so.6"

local function now() -- seconds
  local file <close> = assert(io.open "/proc/uptime")
  return file:read "n"
end

gosched.run(function()
  local start, naps = now(), {}
  for i = 1, 100 do
    naps[i] = gosched.go(libc.usleep, 200000) -- blocks in C for 0.2 s; the others go on
  end
  for _, nap in ipairs(naps) do nap:join() end
  print(string.format("100 calls of 0.2 s took %.2f s", now() - start))
end)
