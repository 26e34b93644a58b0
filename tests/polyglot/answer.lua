-- answer.lua: sends back what it gets, until it is told to count; see ask.lua.

local gosched = require "gosched"

gosched.run(function()
  local from, back = gosched.shared("asked", 2), gosched.shared("answered", 2)
  while true do
    local kind = from:recv()
    if kind == "count" then break end
    local v, _, bytes = from:recv()
    back:send(bytes and gosched.bytes(v) or v)
  end
  for v in from:iter() do back:send(v) end
  back:close()
end)
