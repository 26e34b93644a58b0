-- chan.lua: channels and select.

local check = require "check"
local gosched = require "gosched"

local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

case("values of every type go through as they are", function()
  local t, f = {}, function() end
  local co = coroutine.create(f)
  local values = {1, -1, 1.5, 0.0, math.maxinteger, true, false, "", "text", ("long"):rep(1000), t,
    f, co, io.stdout}
  local ch = gosched.chan()
  gosched.go(function()
    for _, v in ipairs(values) do ch:send(v) end
    ch:close()
  end)
  local n = 0
  while true do
    local v, ok, why = ch:recv()
    if not ok then
      check.equal(v, nil)
      check.equal(why, "closed")
      break
    end
    n = n + 1
    check.truth(rawequal(v, values[n]), "value " .. n)
    check.equal(math.type(v), math.type(values[n]))
  end
  check.equal(n, #values)
end)

case("what is buffered can be received after close", function()
  local ch = gosched.chan(3)
  check.equal(ch:cap(), 3)
  for i = 1, 3 do check.equal(ch:send(i), true) end
  check.equal(#ch, 3)
  check.equal(ch:len(), 3)
  check.equal(ch:closed(), false)
  ch:close()
  ch:close()
  check.equal(ch:closed(), true)
  local sum = 0
  for v in ch:iter() do sum = sum + v end
  check.equal(sum, 6)
  check.raises(function() ch:send(1) end, "ch:send: the channel is closed")
end)

case("a sender that waits gets the error of close", function()
  local ch = gosched.chan()
  local g = gosched.go(function() ch:send {} end)
  gosched.yield()
  ch:close()
  check.raises(function() g:join() end, "the channel is closed")
end)

case("timeouts", function()
  local ch = gosched.chan()
  local v, ok, why = ch:recv(0.001)
  check.truth(v == nil and ok == false and why == "timeout", "recv")
  local sent, reason = ch:send("x", 0)
  check.truth(sent == false and reason == "timeout", "send")
  local i, word = gosched.select {{ch, "recv"}, {ch, "send", "self"}, timeout = 0.001}
  check.truth(i == nil and word == "timeout", "select")
  i, word = gosched.select {timeout = 0}
  check.truth(i == nil and word == "timeout", "select of nothing")
end)

case("ping-pong of many", function()
  local a, b = gosched.chan(), gosched.chan()
  local g = gosched.go(function() for v in a:iter() do b:send(v + 1) end end)
  local v = 0
  for _ = 1, 2000 do
    a:send(v)
    v = b:recv()
  end
  check.equal(v, 2000)
  a:close()
  g:join()
end)

case("what is under way is not collected, and what was received is", function()
  local ch = gosched.chan(10)
  local weak = setmetatable({}, {__mode = "k"})
  for i = 1, 10 do
    local t = {i}
    weak[t] = true
    ch:send(t)
  end
  collectgarbage()
  local n = 0
  for i = 1, 10 do
    local t = ch:recv()
    check.equal(t[1], i)
    n = n + 1
  end
  collectgarbage()
  collectgarbage()
  check.equal(next(weak), nil)
  check.equal(n, 10)
end)

case("values that are taken out of turn", function()
  -- Senders wait, and are given up from the middle: places become free in any order.
  local ch, weak = gosched.chan(), setmetatable({}, {__mode = "k"})
  local senders = {}
  for i = 1, 200 do
    senders[i] = gosched.go(function()
      local t = {i}
      weak[t] = true
      ch:send(t)
    end)
    gosched.yield()
  end
  for i = 2, 200, 3 do senders[i]:cancel() end
  for i = 2, 200, 3 do pcall(senders[i].join, senders[i]) end
  for i = 200, 220 do
    senders[i] = gosched.go(function() ch:send {i + 1} end)
    gosched.yield()
  end
  collectgarbage()
  local seen = {}
  for _ = 1, 154 do seen[#seen + 1] = ch:recv()[1] end
  local want = {}
  for i = 1, 199 do if i % 3 ~= 2 then want[#want + 1] = i end end
  for i = 200, 220 do want[#want + 1] = i + 1 end
  check.equal(#want, 154)
  check.equal(table.concat(seen, " "), table.concat(want, " "))
  check.equal(select(3, ch:recv(0)), "timeout")
  for _, g in ipairs(senders) do pcall(g.join, g) end
  for i = 1, 220 do senders[i] = nil end
  collectgarbage()
  collectgarbage()
  check.equal(next(weak), nil)
end)

case("more values than a Lua stack can hold", function()
  local most = 510000
  local ch = gosched.chan(most)
  for i = 1, most do ch:send("v" .. i % 1000) end
  collectgarbage()
  for i = 1, most do
    local v = ch:recv()
    if v ~= "v" .. i % 1000 then error(("value %d is %s"):format(i, v)) end
  end
  check.equal(#ch, 0)
end)

case("a cycle through a channel is collected", function()
  local gone = false
  do
    local ch = gosched.chan(1)
    ch:send(setmetatable({ch}, {__gc = function() gone = true end}))
  end
  collectgarbage()
  collectgarbage()
  check.truth(gone, "it was collected")
end)

case("select receives and sends", function()
  local a, b, c = gosched.chan(), gosched.chan(1), gosched.chan(1)
  b:send "here"
  local i, v, ok = gosched.select {{a, "recv"}, {b, "recv"}}
  check.truth(i == 2 and v == "here" and ok == true, "what is there")
  i, v, ok = gosched.select {{a, "recv"}, {c, "send", {7}}}
  check.truth(i == 2 and v == nil and ok == true, "what can be sent")
  check.equal(c:recv()[1], 7)
  local g = gosched.go(function() return gosched.select {{a, "recv"}, {b, "recv"}, timeout = 100} end)
  gosched.yield()
  a:send "later"
  i, v, ok = g:join()
  check.truth(i == 1 and v == "later" and ok == true, "what comes later")
  a:close()
  i, v, ok = gosched.select {{a, "recv"}}
  check.truth(i == 1 and v == nil and ok == false, "a closed one")
  check.raises(function() gosched.select {{a, "send", 1}} end, "channel of case 1", "closed")
end)

case("select of more cases than are usual", function()
  local cases, chans = {}, {}
  for i = 1, 100 do
    chans[i] = gosched.chan()
    cases[i] = {chans[i], "recv"}
  end
  for i = 100, 1, -7 do
    gosched.go(function() chans[i]:send {i} end)
    local n, v = gosched.select(cases)
    check.equal(n, i)
    check.equal(v[1], i)
  end
end)

case("select chooses fairly among those that are ready", function()
  local a, b = gosched.chan(500), gosched.chan(500)
  for i = 1, 500 do
    a:send(i)
    b:send(i)
  end
  local seen = {0, 0}
  for _ = 1, 500 do
    local i = gosched.select {{a, "recv"}, {b, "recv"}}
    seen[i] = seen[i] + 1
  end
  check.truth(seen[1] > 100 and seen[2] > 100, "both had their share")
end)

case("a hundred workers on one channel", function()
  local jobs, results = gosched.chan(), gosched.chan(16)
  local wg = gosched.waitgroup()
  for _ = 1, 100 do
    wg:add()
    gosched.go(function()
      for n in jobs:iter() do results:send {n, n * n} end
      wg:done()
    end)
  end
  gosched.go(function()
    for i = 1, 1000 do jobs:send(i) end
    jobs:close()
    wg:wait()
    results:close()
  end)
  local sum = 0
  for r in results:iter() do sum = sum + r[2] end
  check.equal(sum, 333833500)
end)

case("wrong arguments are named", function()
  local ch = gosched.chan()
  check.raises(function() gosched.chan(-1) end, "bad argument #1 to 'chan'", "got -1")
  check.raises(function() gosched.chan(1 << 40) end, "bad argument #1 to 'chan'")
  check.raises(function() gosched.chan "x" end, "number expected")
  check.raises(function() ch:send(nil) end, "value other than nil expected")
  check.raises(function() ch.send(1, 2) end, "gosched.chan expected")
  check.raises(function() ch:recv(-1) end, "seconds expected, 0 or more")
  check.raises(function() gosched.select() end, "table expected")
  check.raises(function() gosched.select {1} end, "case 1 is not a table")
  check.raises(function() gosched.select {{}} end, "case 1 has no channel")
  check.raises(function() gosched.select {{ch}} end, "case 1 does not say what to do")
  check.raises(function() gosched.select {{ch, "peek"}} end, 'neither "recv" nor "send"')
  check.raises(function() gosched.select {{ch, "recv"}, {ch, "send"}} end, "case 2 sends nil")
  check.raises(function() gosched.select {timeout = "x"} end, "timeout is x; seconds")
end)

check.case("outside of run", function()
  local ch = gosched.chan(1)
  check.raises(function() ch:send(1) end, "call it inside gosched.run")
  check.raises(function() ch:recv() end, "call it inside gosched.run")
  check.raises(function() gosched.select {{ch, "recv"}} end, "call it inside gosched.run")
end)

check.done()
