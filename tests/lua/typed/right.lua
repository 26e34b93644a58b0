-- right.lua: a program that lua-language-server has to accept, with the types it has to find.  Each
-- local with a @type line would be a finding if the annotation of what it gets said otherwise.
-- tools/lua_annotations.py looks at it; nobody runs it.

local gosched = require "gosched"
local ffi, socket = gosched.ffi, gosched.socket

---@param n integer
---@return integer
local function square(n) return n * n end

gosched.run(function()
  local g = gosched.go(square, 3)
  ---@type integer
  local id = g.id
  ---@type string
  local name = g.name
  local state, where = g:state()
  if state == "running" and where then print(where) end
  if g:join(0.1) == gosched.timeout then g:cancel() end
  print(id, name, pcall(g.join, g) or gosched.cancelled)

  local ch = gosched.chan(4)
  ---@type integer
  local length = #ch
  local sent, why = ch:send({}, 1)
  if not sent and why == "timeout" then ch:close() end
  local value, ok, reason = ch:recv()
  for v in ch:iter() do print(v) end
  print(length, value, ok, reason, ch:len() + ch:cap(), ch:closed())

  local shared <close> = gosched.shared("jobs", 8)
  shared:send {a = gosched.null, b = gosched.bytes "\0", c = gosched.map {}}
  if shared:try_send(1) then print(shared:try_recv()) end
  print(#shared, shared:name():upper())
  shared:release()

  local index, got, open = gosched.select {{ch, "recv"}, {ch, "send", 1}, timeout = 0.1}
  if index then print(index + 1, got, open) end

  local m = gosched.mutex()
  do
    local held <close> = m:lock()
    assert(m:locked() and not m:trylock())
  end
  local wg = gosched.waitgroup()
  wg:add(2)
  wg:done()
  print(wg:wait(1))
  local group <close> = gosched.taskgroup()
  group:go(gosched.sleep, 0.1)
  local limit <close> = gosched.timeout(1)
  print(limit:expired())
  limit:close()

  local ready, err = gosched.wait(io.stdin, "rw", 0)
  if ready == nil then print(err) end
  print(gosched.os_thread(square, 2), gosched.blocking(os.getenv, "HOME"))

  local guest <close> = gosched.embed("python", "result = 1", {args = {"x"}})
  if guest:state() == "failed" then guest:cancel() end
  print(guest:join(1))

  for _, one in ipairs(gosched.snapshot().gs) do print(one.id + 1, one.state, one.wait_reason:len()) end
  for _, one in ipairs(gosched.profile()) do print(one.blocked_s / one.blocked) end
  print(gosched.stats().spawned, gosched.histograms().call.sum, gosched.metrics_text():len())
  gosched.dump(io.stdout)
  local trace <close> = gosched.trace "trace.json"
  trace:stop()
  gosched.preempt(gosched.preempt(false))
end)

ffi.cdef("typedef struct { int x, y; } point; int puts(const char *s);")
local point = ffi.typeof "point"
local p = point(1, 2)
p.x = p.x + p.y
local z = ffi.load("z", {blocking = {"compress"}})
local bounded = ffi.bind(z.compress, {timeout = 1, unblock = function() end})
local buffer = ffi.new("char[?]", 16)
ffi.copy(buffer, "text")
ffi.fill(buffer, 16)
local sum = (ffi.sizeof(buffer) or 0) + (ffi.offsetof("point", "y") or 0) + ffi.alignof "int"
local callback = ffi.cast("int (*)(int)", square)
---@cast callback gosched.callback
callback:free()
print(bounded, sum, ffi.string(buffer, 4):upper(), ffi.errno(), ffi.isnull(ffi.nullptr), ffi.C.puts "x", callback)

gosched.run(function()
  local server <close> = assert(socket.bind("*", 0))
  local client = assert(server:accept())
  client:settimeout(1, "t")
  local line, err, partial = client:receive()
  if not line then line = partial or err end
  print(client:send(line or "", 1, -1))
  local peer <close> = assert(socket.connect("localhost", 80))
  local address, port = peer:getpeername()
  local readable, writable, late = socket.select({client, peer}, {peer}, 0.1)
  print(address, port, #readable, #writable, late, socket.gettime())
  local datagrams <close> = assert(socket.udp4())
  datagrams:setsockname("*", 0)
  print(datagrams:receivefrom(), datagrams:sendto("x", "127.0.0.1", 9), datagrams:getfd() + 1)
  client:shutdown "send"
  client:close()
end)
