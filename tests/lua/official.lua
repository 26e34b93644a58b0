-- official.lua FILE: one of Lua's own tests, inside a green thread while another one ticks.  Run in
-- the folder testes/ of Lua's source, by checked.sh.

local gosched = require "gosched"

_U, _soft, _port, _nomsg = true, true, true, true -- luacheck: ignore 111

local chunk = assert(loadfile(arg[1] .. ".lua"))
local ok, err = gosched.run(function()
  local over = false
  local ticker = gosched.go(function()
    while not over do gosched.sleep(0.001) end
  end)
  local g = gosched.go(chunk)
  local ok, err = pcall(g.join, g)
  over = true
  ticker:join()
  return ok, err
end)
if not ok then io.stderr:write(arg[1], ": ", tostring(err), "\n") end
os.exit(ok)
