-- shared.lua: channels by name, inside one Lua state; tests/polyglot has those of several languages.

local check = require "check"
local gosched = require "gosched"

local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return math.type(a) == math.type(b) and (a == b or (a ~= a and b ~= b))
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

case("values of every type", function()
  local ch = gosched.shared("values", 1)
  local values = {true, false, 0, -1, math.maxinteger, math.mininteger, 0.0, 1.5, 1 / 0, -1 / 0,
    0 / 0, "", "text", "fifteen bytes..", ("long"):rep(1000), "h\u{e4}\0\u{1F600}", gosched.null, {},
    {1, 2.0, "three"}, {a = {b = {c = {gosched.null}}}}, {[1] = 1, [3] = 3}, {[1.5] = true, [true] = 1},
    {x = 1, 2}}
  for i, v in ipairs(values) do
    ch:send(v)
    local got, ok, kind = ch:recv()
    check.equal(ok, true)
    check.equal(kind, nil)
    check.truth(same(got, v), "value " .. i)
  end
end)

case("lists, maps and what marks them", function()
  local ch = gosched.shared("marks", 8)
  local function is_map(t)
    local m = getmetatable(t)
    return m ~= nil and m == getmetatable(gosched.map {})
  end
  for _, t in ipairs {{}, {1, 2, 3}, {{}}} do
    ch:send(t)
    check.equal(is_map(ch:recv()), false)
  end
  for _, t in ipairs {gosched.map {}, gosched.map {1, 2, 3}, {a = 1}, {[2] = 2}, {1, nil, 3}, {[0] = 0, 1}} do
    ch:send(t)
    local got = ch:recv()
    check.truth(is_map(got), "a map")
    ch:send(got) -- as it came
    check.truth(is_map(ch:recv()), "the map again")
  end
  local t = {1}
  check.truth(rawequal(gosched.map(t), t))
  check.truth(rawequal(gosched.map(t), t))
  check.raises(function() gosched.map(setmetatable({}, {})) end, "without a metatable")
  check.equal(tostring(gosched.null), "gosched.null")
end)

case("bytes", function()
  local ch = gosched.shared("bytes", 8)
  for _, s in ipairs {"", "\xff\0\x80", ("\x80"):rep(1000)} do
    local b = gosched.bytes(s)
    check.equal(tostring(b), s)
    check.equal(#b, #s)
    check.truth(b == gosched.bytes(s))
    ch:send(b)
    local got, ok, kind = ch:recv()
    check.equal(got, s)
    check.equal(ok, true)
    check.equal(kind, "bytes")
    ch:send {b, {k = b}}
    got = ch:recv()
    check.equal(got[1], s)
    check.equal(got[2].k, s)
  end
  ch:send {[gosched.bytes "\xff"] = 1}
  check.equal(ch:recv()["\xff"], 1)
end)

case("what cannot be carried", function()
  local ch = gosched.shared("refused", 1)
  local cycle = {}
  cycle[1] = {cycle}
  local deep = {}
  for _ = 1, 200 do deep = {x = deep} end
  local bad = {
    {print, "TypeError: value is a function and cannot be carried"},
    {{1, {rows = {0, print}}}, 'value[2]["rows"][2] is a function'},
    {{[print] = 1}, "value has a key that is a function"},
    {{[{}] = 1}, "value has a key that is a table"},
    {{[gosched.null] = 1}, "key of a map is null"},
    {"\xff", "byte 0 of 1 (0xff)", "gosched.bytes(s)"},
    {{k = {"ok", "\xed\xa0\x80"}}, 'value["k"][2]', "UTF-8", "gosched.bytes(s)"},
    {{["\xff"] = 1}, "UTF-8"},
    {setmetatable({}, {}), "a table with a metatable of its own"},
    {coroutine.create(print), "is a thread"},
    {io.stdout, "is a userdata"},
    {ch, "is a userdata"},
    {cycle, "nested deeper than 100"},
    {deep, "nested deeper than 100"},
  }
  for _, b in ipairs(bad) do
    check.raises(function() ch:send(b[1]) end, "ch:send: ", table.unpack(b, 2))
    check.raises(function() ch:try_send(b[1]) end, "ch:try_send: ", table.unpack(b, 2))
    check.raises(function() gosched.select {{ch, "send", "x"}, {ch, "send", b[1]}} end,
      "gosched.select: ", table.unpack(b, 2))
  end
  check.raises(function() ch:send(nil) end, "gosched.null")
  check.equal(#ch, 0)
end)

case("one channel a name", function()
  local a, b, other = gosched.shared("name", 2), gosched.shared "name", gosched.shared("other", 2)
  a:send(1)
  check.equal(#b, 1)
  check.equal(#other, 0)
  check.equal(b:name(), "name")
  check.equal(b:cap(), 2)
  check.equal(tostring(a), 'shared channel "name" (1 of 2)')
  check.raises(function() gosched.shared("name", 3) end,
    '"name" is open with a capacity of 2; 3 was asked for')
  check.raises(function() gosched.shared("", 1) end, "0 bytes")
  check.raises(function() gosched.shared(("x"):rep(256), 1) end, "256 bytes")
  check.raises(function() gosched.shared("a\0b", 1) end, "NUL")
  check.raises(function() gosched.shared("\xff", 1) end, "UTF-8")
  check.raises(function() gosched.shared("x", -1) end, "0 or more")
  check.raises(function() gosched.shared("x", 1 << 40) end, "at most")
  check.raises(function() gosched.shared(1) end, "string expected")
end)

case("it lives as long as somebody has it", function()
  local a = gosched.shared("life", 2)
  a:send {"left behind"}
  do
    local b <close> = gosched.shared "life"
    check.equal(#b, 1)
  end
  check.equal(#gosched.shared "life", 1)
  a:close()
  check.equal(gosched.shared("life"):closed(), true)
  a:release()
  a:release()
  collectgarbage()
  collectgarbage()
  check.equal(gosched.shared("life", 5):closed(), false)
  check.equal(tostring(a), "shared channel (released)")
  for _, f in ipairs {"send", "recv", "try_send", "try_recv", "close", "len", "cap", "name", "iter", "closed"} do
    check.raises(function() a[f](a, 1) end, "has been released")
  end
  check.raises(function() gosched.select {{a, "recv"}} end, "has been released")
end)

case("it is not released while somebody waits", function()
  local ch = gosched.shared("waits", 0)
  local g = gosched.go(function() return ch:recv() end)
  local s = gosched.go(function() return gosched.select {{gosched.chan(), "recv"}, {ch, "recv"}} end)
  while select(2, s:state()) ~= "gosched.select" do gosched.yield() end
  check.raises(function() ch:release() end, "a green thread is waiting")
  ch:send(1)
  ch:send(2)
  check.equal(g:join() + select(2, s:join()), 3)
  ch:release()
end)

case("backpressure, close, iteration", function()
  local ch = gosched.shared("pressure", 3)
  local sent = 0
  gosched.go(function()
    for i = 1, 10 do
      ch:send(i)
      sent = i
    end
    ch:close()
  end)
  while #ch < 3 do gosched.yield() end
  for _ = 1, 5 do gosched.yield() end
  check.equal(sent, 3)
  local n = 0
  for v in ch:iter() do
    n = n + 1
    check.equal(v, n)
  end
  check.equal(n, 10)
  local v, ok, why = ch:recv()
  check.equal(v, nil)
  check.equal(ok, false)
  check.equal(why, "closed")
  check.raises(function() ch:send(1) end, "closed")
  check.raises(function() ch:send(("x"):rep(100)) end, "closed")
  check.raises(function() ch:try_send(1) end, "closed")
end)

-- Who finds the channel empty or full asks again for a moment: of a partner that is quick, of one that
-- is not, and beside others of its own state.
case("there and back between two states", function()
  local there, back = gosched.shared("there", 4), gosched.shared("back", 4)
  local guest = gosched.embed("lua", [[
    local gosched = require "gosched"
    local there, back = gosched.shared "there", gosched.shared "back"
    gosched.run(function()
      for v in there:iter() do
        if v % 100 == 0 then gosched.sleep(0.0001) end
        back:send(v)
      end
      back:close()
    end)
  ]])
  local turns, over = 0, false
  for i = 1, 3000 do
    there:send(i)
    check.equal(back:recv(), i)
    if i == 1500 then
      gosched.go(function()
        while not over do
          turns = turns + 1
          gosched.yield()
        end
      end)
    end
  end
  for i = 1, 8 do there:send(i) end -- more than either has room for; the sender waits, too
  check.equal(select(3, gosched.shared("never", 4):recv(0)), "timeout")
  for i = 1, 8 do check.equal(back:recv(), i) end
  there:close()
  check.equal(select(3, back:recv()), "closed")
  over = true
  guest:join()
  check.truth(turns > 0, "others had their turn")
end)

case("timeouts and cancelling", function()
  local ch = gosched.shared("times", 0)
  check.equal(select(3, ch:recv(0.01)), "timeout")
  check.equal(select(2, ch:send({"x"}, 0.01)), "timeout")
  local ok, err = pcall(function()
    local t <close> = gosched.timeout(0.01)
    check.truth(t)
    ch:recv()
  end)
  check.equal(ok, false)
  check.truth(err == gosched.timeout)
  local g = gosched.go(function() ch:send("x") end)
  gosched.yield()
  g:cancel()
  ok, err = pcall(g.join, g)
  check.equal(ok, false)
  check.truth(err == gosched.cancelled)
end)

case("select with other channels", function()
  local shared, here = gosched.shared("selected", 0), gosched.chan()
  gosched.go(function() here:send(print) end)
  local i, v, ok = gosched.select {{shared, "recv"}, {here, "recv"}}
  check.equal(i, 2)
  check.equal(v, print)
  check.equal(ok, true)
  gosched.go(function() shared:send {1, "a"} end)
  i, v = gosched.select {{shared, "recv"}, {here, "recv"}}
  check.equal(i, 1)
  check.truth(same(v, {1, "a"}))
  local g = gosched.go(function() return shared:recv() end)
  i = gosched.select {{here, "recv"}, {shared, "send", {k = "v"}}}
  check.equal(i, 2)
  check.equal(g:join().k, "v")
  i = gosched.select {{here, "send", print}, {shared, "send", ("x"):rep(99)}, timeout = 0.01}
  check.equal(i, nil)
  shared:close()
  i, v, ok = gosched.select {{here, "recv"}, {shared, "recv"}}
  check.equal(i, 2)
  check.equal(v, nil)
  check.equal(ok, false)
  local cases = {}
  for k = 1, 40 do cases[k] = {gosched.shared("many " .. k, 1), "recv"} end
  cases[33][1]:send "here"
  i, v = gosched.select(cases)
  check.equal(i, 33)
  check.equal(v, "here")
end)

case("a deadlock is found", function()
  local ch = gosched.shared("nobody", 0)
  check.raises(function() ch:recv() end, "deadlock")
end)

check.case("outside of gosched.run", function()
  local ch = gosched.shared("outside", 1)
  check.equal(ch:try_send(1), true)
  check.equal(select(2, ch:try_send(2)), "full")
  check.equal(ch:try_recv(), 1)
  check.equal(select(3, ch:try_recv()), "empty")
  check.raises(function() ch:recv() end, "gosched.run")
  check.raises(function() ch:send(1) end, "gosched.run")
  -- Inside it is known to the scheduler, so a deadlock is found.
  gosched.run(function() check.raises(function() ch:recv() end, "deadlock") end)
  ch:close()
  check.equal(select(3, ch:try_recv()), "closed")
end)

check.done()
