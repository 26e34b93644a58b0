-- io.lua: descriptors, sockets, OS threads, C functions outside of the VM.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

ffi.cdef [[
  int gettid(void);
  void set_of_this_thread(int value);
  int get_of_this_thread(void);
]]
local libc = ffi.load "libc.so.6"
local helper = ffi.load(arg[1])

local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

case("os_thread: one thread, with its thread-local state, for as long as it lasts", function()
  local over = false
  local others = {}
  for i = 1, 5 do
    others[i] = gosched.go(function()
      while not over do
        helper.set_of_this_thread(i)
        gosched.yield()
      end
    end)
  end
  local a, b = gosched.go(gosched.os_thread, function(x, y)
    local here = libc.gettid()
    helper.set_of_this_thread(77)
    for _ = 1, 50 do
      gosched.sleep(0.0002)
      check.equal(libc.gettid(), here)
      check.equal(helper.get_of_this_thread(), 77)
    end
    return x + y, "more"
  end, 3, 4):join()
  check.equal(a, 7)
  check.equal(b, "more")
  over = true
  for i = 1, 5 do others[i]:join() end
  check.raises(function() gosched.os_thread(error, "in it") end, "in it")
  check.raises(function() gosched.os_thread(1) end, "function expected")
end)

case("wait for a pipe", function()
  local pipe = io.popen("cat > /dev/null", "w")
  check.equal(gosched.wait(pipe, "w"), "w")
  pipe:write "x\n"
  pipe:close()
  local reader = io.popen("sleep 0.05; echo there", "r")
  check.equal(select(2, gosched.wait(reader, "r", 0)), "timeout")
  local ticks, over = 0, false
  local ticker = gosched.go(function()
    while not over do
      gosched.sleep(0.002)
      ticks = ticks + 1
    end
  end)
  check.equal(gosched.wait(reader), "r")
  check.equal(reader:read(), "there")
  over = true
  ticker:join()
  check.truth(ticks > 0, "others ran")
  reader:close()
  check.raises(function() gosched.wait(reader) end, "the file is closed")
  check.raises(function() gosched.wait(1, "x") end, '"r", "w" or "rw" expected, got "x"')
  check.raises(function() gosched.wait(-1) end, "a descriptor is 0 to 4194303")
  check.raises(function() gosched.wait("x") end, "bad argument #1 to 'wait'")
  local r, why = gosched.wait(4000000)
  check.equal(r, nil)
  check.truth(why:find "Bad file descriptor", why)
end)

case("blocking calls a C function while others run", function()
  local n, gs = 0, {}
  local begun = os.time()
  for i = 1, 10 do
    gs[i] = gosched.go(function()
      local ok, what, code = gosched.blocking(os.execute, "sleep 0.3; exit 3")
      check.truth(ok == nil and what == "exit" and code == 3, "its results")
      n = n + 1
    end)
  end
  for i = 1, 10 do gs[i]:join() end
  check.equal(n, 10)
  check.truth(os.time() - begun < 60, "they ended")
  check.equal(gosched.blocking(math.max, 1, 7.5, 3), 7.5)
  check.equal(gosched.blocking(table.concat, {"a", 1, "b"}, "-"), "a-1-b")
  check.raises(function() gosched.blocking(math.floor, "x") end, "number expected, got string")
  check.raises(function() gosched.blocking(error, {1}) end)
  check.raises(function() gosched.blocking(rawlen, print) end, "argument 1: a function cannot")
  check.raises(function() gosched.blocking(function() end) end, "a C function expected")
  check.raises(function() gosched.blocking(string.gmatch("x", "x")) end, "without upvalues")
  check.raises(function() gosched.blocking(load, "return 1") end, "result 1: a function cannot come")
end)

local found, socket = pcall(require, "socket")
if not found then
  print "skipped: what follows needs luasocket (Debian: lua-socket)"
  check.done()
end

local S = gosched.socket

-- luasocket's counts are floats.
local function same(got, want) check.truth(got == want, tostring(got)) end

-- A server whose clients are each served by a green thread; returns its port and a way to end it.
local function server(serve)
  local listener = assert(S.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local g = gosched.go(function()
    while true do
      local c = listener:accept()
      gosched.go(function()
        serve(c)
        c:close()
      end)
    end
  end)
  return tonumber(port), function()
    g:cancel()
    pcall(g.join, g)
    listener:close()
  end
end

local function echo(c)
  while true do
    local line, err = c:receive()
    if not line then return err end
    c:send(line .. "\n")
  end
end

case("tcp: fifty clients of a line server at once", function()
  local port, stop = server(echo)
  local gs = {}
  for i = 1, 50 do
    gs[i] = gosched.go(function()
      local c = assert(S.connect("127.0.0.1", port))
      for k = 1, 10 do
        same(c:send(("line %d %d\n"):format(i, k)), #("line %d %d\n"):format(i, k))
        check.equal(c:receive "*l", ("line %d %d"):format(i, k))
      end
      same(c:close(), 1)
    end)
  end
  for i = 1, 50 do gs[i]:join() end
  stop()
end)

case("tcp: patterns, prefixes, partial results, timeouts", function()
  local go_on = gosched.chan()
  local port, stop = server(function(c)
    c:send "one\r\ntw"
    go_on:recv()
    c:send "o\n12345678"
    go_on:recv()
    c:send("z", 1, 1)
  end)
  local c = S.tcp()
  same(c:connect("localhost", port), 1)
  check.equal(c:receive(), "one")
  same(c:settimeout(0.01), 1)
  local data, err, part = c:receive()
  check.truth(data == nil and err == "timeout" and part == "tw", "a timeout with what there is")
  go_on:send(1)
  c:settimeout(nil)
  check.equal(c:receive("*l", part), "two")
  check.equal(c:receive(4), "1234")
  check.equal(c:receive(6, "ab"), "ab5678")
  go_on:send(1)
  check.equal(c:receive "*a", "z")
  data, err, part = c:receive(5)
  check.truth(data == nil and err == "closed" and part == "", "closed")
  check.truth(tostring(c):find "^tcp{client}", tostring(c))
  c:close()
  stop()
end)

case("tcp: more than the buffers hold, both ways", function()
  local big = ("0123456789abcdef"):rep(1 << 17)
  local port, stop = server(function(c) c:send(c:receive(#big)) end)
  local c = assert(S.connect("127.0.0.1", port))
  same(c:send(big), #big)
  check.truth(c:receive(#big) == big, "it came back")
  c:close()
  stop()
end)

case("connecting to nobody", function()
  local s = assert(S.bind("127.0.0.1", 0))
  local _, port = s:getsockname()
  s:close()
  local c, err = S.connect("127.0.0.1", tonumber(port))
  check.equal(c, nil)
  check.equal(err, "connection refused")
  local t = S.tcp()
  c, err = t:connect("no-such-host.invalid", 80)
  check.equal(c, nil)
  check.truth(type(err) == "string", "the reason")
end)

case("accept and select with a timeout", function()
  local s = assert(S.bind("127.0.0.1", 0))
  s:settimeout(0.01)
  check.equal(select(2, s:accept()), "timeout")
  local r, w, err = S.select({s}, nil, 0.01)
  check.truth(#r == 0 and #w == 0 and err == "timeout", "nobody came")
  local _, port = s:getsockname()
  local g = gosched.go(function() return S.select({s}, nil) end)
  local c = assert(S.connect("127.0.0.1", tonumber(port)))
  local ready = g:join()
  check.truth(ready[1] == s and ready[s] == 1, "somebody did")
  c:close()
  s:close()
end)

-- Waits until g waits in something.
local function parked(g) while not select(2, g:state()) do gosched.yield() end end

case("closing ends what others wait for", function()
  local s, u = assert(S.bind("127.0.0.1", 0)), S.udp4()
  local _, port = s:getsockname()
  local c = assert(S.connect("127.0.0.1", tonumber(port)))
  local peer = assert(s:accept())
  local big, waits = ("x"):rep(1 << 24), {}
  assert(u:setsockname("127.0.0.1", 0))
  for i, f in ipairs {
    function() return s:accept() end,
    function() return c:receive "*a" end,
    function() return c:receive(5, "ab") end,
    function() return c:send(big) end,
    function() return u:receivefrom() end,
  } do
    waits[i] = gosched.go(f)
    parked(waits[i])
  end
  s:close()
  c:close()
  u:close()
  for _, g in ipairs(waits) do
    local value, why = g:join()
    check.truth(value == nil and why == "closed", tostring(why))
  end
  check.equal(select(2, c:receive()), "closed")
  same(c:close(), 1) -- once more
  peer:close()
  do local closer <close> = assert(S.bind("127.0.0.1", 0)) end
end)

case("udp", function()
  local a, b = S.udp4(), S.udp4()
  assert(a:setsockname("127.0.0.1", 0))
  local _, port = a:getsockname()
  local g = gosched.go(function() return a:receivefrom() end)
  gosched.yield()
  assert(b:sendto("datagram", "127.0.0.1", port))
  check.equal(g:join(), "datagram")
  a:settimeout(0.01)
  check.equal(select(2, a:receive()), "timeout")
  a:close()
  b:close()
end)

case("socket.http with create=", function()
  local http = require "socket.http"
  local port, stop = server(function(c)
    local request = c:receive()
    while c:receive() ~= "" do end
    gosched.sleep(0.01)
    local body = "you asked for " .. request
    c:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(#body, body))
  end)
  local gs = {}
  for i = 1, 20 do
    gs[i] = gosched.go(function()
      local sink = {}
      local ok, code = http.request {
        url = ("http://127.0.0.1:%d/page%d"):format(port, i), create = S.tcp,
        sink = require "ltn12".sink.table(sink),
      }
      same(ok, 1)
      check.equal(code, 200)
      check.equal(table.concat(sink), ("you asked for GET /page%d HTTP/1.1"):format(i))
    end)
  end
  for i = 1, 20 do gs[i]:join() end
  stop()
end)

case("what is not of ours is luasocket's", function()
  check.equal(S._VERSION, socket._VERSION)
  check.equal(S.gettime, socket.gettime)
  check.equal(require "gosched.socket", S)
  S.sleep(0.001)
end)

check.done()
