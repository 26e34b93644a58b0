-- luasocket.lua DIRECTORY: luasocket's own test server and client, each a green thread, over
-- gosched.socket.  Run by luasocket.sh, which has the directory from luasocket's source.
--
-- Both are programs with globals of their own.  What they ask os.exit for is an error here, so that
-- the other one and this program hear of it.  Left out: what needs a network that drops packets to
-- 10.0.0.1, and what looks at a fourth result that only a debug build of luasocket has.

local gosched = require "gosched"
local S = gosched.socket
local directory = arg[1]

package.loaded.socket = S

local function free_port()
  local s <close> = assert(S.bind("localhost", 0))
  local _, port = assert(s:getsockname())
  return port
end

local port = free_port()

local function program(file)
  local env = setmetatable({host = "localhost", port = port, print = function() end}, {__index = _G})
  env.load = function(text) return load(text, "=remote", "t", env) end
  env.loadstring = env.load
  env.os = setmetatable({exit = function() error("exit", 0) end}, {__index = os})
  env.io = {stderr = {write = function(_, ...) env.last = table.concat({...}) end}}
  local source <close> = assert(io.open(directory .. "/" .. file))
  local text = source:read("a"):gsub("\nconnect_timeout%(%)", "\n")
  text = text:gsub("\ntest_%a+timeout%a+%([%d, ]+%)", "\n")
  return assert(load(text, "@" .. file, "t", env)), env
end

rawset(S, "_DEBUG", true) -- the client asks for it; what depends on it is left out

local ok, err, at = gosched.run(function()
  local server = gosched.go((program "testsrvr.lua"))
  local ticks, over = 0, false
  local ticker = gosched.go(function()
    while not over do
      gosched.sleep(0.01)
      ticks = ticks + 1
    end
  end)
  local main, env = program "testclnt.lua"
  env.socket = S
  gosched.yield() -- the server listens
  local client = gosched.go(main)
  local ok, err = pcall(client.join, client)
  over = true
  ticker:join()
  server:cancel()
  pcall(server.join, server)
  return ok, err, env.last, ticks
end)
if not ok then
  io.stderr:write(tostring(err), ": ", tostring(at), "\n")
  os.exit(1)
end
print("luasocket's own tests pass over gosched.socket: " .. at)
