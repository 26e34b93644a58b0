-- gosched.socket: luasocket, whose objects wait in the poller of the scheduler.
--
-- An object here has one of luasocket's in it, which never waits: what would have to ("timeout")
-- is tried again when the descriptor is ready.  So names, results and error texts are luasocket's
-- own.  Names are looked up by libc outside of the VM.  What is not here is luasocket's.

local gosched, close_raw = ... -- the module; what closes, and ends the waits of others
local socket = require "socket"

local M = setmetatable({}, {__index = socket})
local Tcp, Udp = {}, {}

-- ---- timeouts --------------------------------------------------------------------------------

local function settimeout(self, value, mode)
  if mode ~= nil and mode ~= "b" and mode ~= "t" and mode ~= "r" then
    error("bad argument #2 to 'settimeout' (invalid timeout mode)", 2)
  end
  if value ~= nil and value < 0 then value = nil end
  if mode == "t" or mode == "r" then self.total = value else self.block = value end
  return 1
end

local function gettimeout(self) return self.block or -1, self.total or -1 end

-- The time by which an operation that begins now has to end; nil: never.
local function limit(self)
  local t = self.block
  if self.total and (not t or self.total < t) then t = self.total end
  return t and socket.gettime() + t
end

-- Waits until the object is ready for events: true; or "closed"; or false, its time is over.
local function ready(self, events, till)
  local left = till and math.max(0, till - socket.gettime())
  if left == 0 then return false end
  local now, why = gosched.wait(self.raw:getfd(), events, left)
  return now ~= nil or why == "closed" and why
end

local function close(self) return close_raw(self.raw) end

-- ---- objects ---------------------------------------------------------------------------------

local function class(methods, name)
  methods.settimeout, methods.gettimeout, methods.close = settimeout, gettimeout, close
  return {
    __index = function(self, key)
      local method = methods[key]
      if method then return method end
      local theirs = self.raw[key]
      if type(theirs) ~= "function" then return theirs end
      method = function(object, ...) return object.raw[key](object.raw, ...) end
      methods[key] = method
      return method
    end,
    __tostring = function(self) return (tostring(self.raw):gsub("^%a+", name)) end,
    __close = close,
  }
end

local tcp_meta, udp_meta

local function wrap(raw, err, meta)
  if not raw then return nil, err end
  raw:settimeout(0)
  return setmetatable({raw = raw}, meta)
end

-- Addresses of a name; a number is one already.
local function addresses(host)
  if host == "*" or host:find "^[%d.]+$" or host:find ":" then return {host} end
  local found, err = gosched.blocking(socket.dns.getaddrinfo, host)
  if not found then return nil, err end
  local list = {}
  for _, a in ipairs(found) do
    if a.family == "inet" or a.family == "inet6" then list[#list + 1] = a.addr end
  end
  return list
end

local function connect_to(self, address, port, till)
  local ok, err = self.raw:connect(address, port)
  while not ok do
    if err == "already connected" then return 1 end
    if err ~= "timeout" and err ~= "Operation already in progress" then return nil, err end
    if not ready(self, "w", till) then return nil, "timeout" end
    ok, err = self.raw:connect(address, port)
  end
  return 1
end

function Tcp:connect(host, port)
  local till = limit(self)
  local list, err = addresses(host)
  if not list then return nil, err end
  for _, address in ipairs(list) do
    local ok
    ok, err = connect_to(self, address, port, till)
    if ok then return 1 end
    if err == "timeout" then break end
  end
  return nil, err or "host not found"
end

function Tcp:accept()
  local till = limit(self)
  while true do
    local raw, err = self.raw:accept()
    if raw then return wrap(raw, nil, tcp_meta) end
    if err ~= "timeout" or not ready(self, "r", till) then return nil, err end
  end
end

function Tcp:send(data, from, to)
  local till = limit(self)
  from = from or 1
  while true do
    local sent, err, last = self.raw:send(data, from, to or -1)
    if sent then return sent end
    if err ~= "timeout" or not ready(self, "w", till) then return nil, err, last end
    from = last + 1
  end
end

function Tcp:receive(pattern, prefix)
  local till = limit(self)
  while true do
    local data, err, part = self.raw:receive(pattern or "*l", prefix or "")
    if data then return data end
    -- A number means: up to so many, prefix and all; what there is stays ours.
    if err ~= "timeout" or not ready(self, "r", till) then return nil, err, part end
    prefix = part
  end
end

local function waiting(name, events)
  return function(self, ...)
    local till = limit(self)
    while true do
      local a, b, c = self.raw[name](self.raw, ...)
      if a or b ~= "timeout" then return a, b, c end
      local now = ready(self, events, till)
      if not now then return a, b, c end
      -- luasocket takes the end of a UDP object for an empty datagram.
      if now == "closed" then return nil, now end
    end
  end
end

Udp.receive = waiting("receive", "r")
Udp.receivefrom = waiting("receivefrom", "r")
Udp.send = waiting("send", "w")
Udp.sendto = waiting("sendto", "w")

tcp_meta, udp_meta = class(Tcp, "tcp"), class(Udp, "udp")

for _, name in ipairs {"tcp", "tcp4", "tcp6"} do
  M[name] = function()
    local raw, err = socket[name]()
    return wrap(raw, err, tcp_meta)
  end
end

for _, name in ipairs {"udp", "udp4", "udp6"} do
  M[name] = function()
    local raw, err = socket[name]()
    return wrap(raw, err, udp_meta)
  end
end

-- ---- functions -------------------------------------------------------------------------------

local function connect(make, host, port, local_host, local_port)
  local s, ok, err
  s, err = make()
  if not s then return nil, err end
  if local_host then
    ok, err = s:bind(local_host, local_port or 0)
    if not ok then
      s:close()
      return nil, err
    end
  end
  ok, err = s:connect(host, port)
  if ok then return s end
  s:close()
  return nil, err
end

function M.connect(host, port, local_host, local_port, family)
  local make = family == "inet" and M.tcp4 or family == "inet6" and M.tcp6 or M.tcp
  return connect(make, host, port, local_host, local_port)
end
function M.connect4(...) return connect(M.tcp4, ...) end
function M.connect6(...) return connect(M.tcp6, ...) end

function M.bind(...)
  local raw, err = socket.bind(...)
  return wrap(raw, err, tcp_meta)
end

-- The objects of a list by their descriptors' side, and what luasocket's own select has to see.
local function raws(list)
  local out, back = {}, {}
  for i, s in ipairs(list or {}) do
    local raw = type(s) == "table" and s.raw or s
    out[i], back[raw] = raw, s
  end
  return out, back
end

local function ours(list, back)
  local out = {}
  for i, raw in ipairs(list) do
    local s = back[raw]
    out[i], out[s] = s, i
  end
  return out
end

function M.sleep(seconds) gosched.sleep(math.max(0, seconds)) end

function M.select(receivers, senders, timeout)
  local r, r_back = raws(receivers)
  local w, w_back = raws(senders)
  local function look()
    local a, b, err = socket.select(r, w, 0)
    return ours(a, r_back), ours(b, w_back), err
  end
  local a, b, err = look()
  if err ~= "timeout" or timeout == 0 then return a, b, err end
  local news = gosched.chan(#r + #w)
  local waiters <close> = setmetatable({}, {
    __close = function(all) for _, g in ipairs(all) do g:cancel() end end,
  })
  local function wait_for(raw, events)
    local fd = raw:getfd()
    if fd < 0 then return end -- it is closed, and never ready
    waiters[#waiters + 1] = gosched.go(function()
      gosched.wait(fd, events)
      news:send(true)
    end)
  end
  for _, raw in ipairs(r) do wait_for(raw, "r") end
  for _, raw in ipairs(w) do wait_for(raw, "w") end
  news:recv(timeout and timeout >= 0 and timeout or nil)
  return look()
end

return M
