-- ask.lua: sends values of every kind, expects each back, and counts what comes through under
-- backpressure; the other side is answer.lua or answer.tcl.

local gosched = require "gosched"

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

gosched.run(function()
  local out, back = gosched.shared("asked", 2), gosched.shared("answered", 2)
  local here = gosched.chan()

  -- Each value with what it is; the answer is sent as that.
  local values = {
    {"text", "hello"}, {"text", "h\u{e4}\0\u{20ac}\u{1F600}"}, {"text", ("x"):rep(10000)},
    {"int", math.maxinteger}, {"int", math.mininteger}, {"int", 0}, {"double", 1.5},
    {"double", 1 / 0}, {"bool", true}, {"bool", false}, {"null", gosched.null},
    {"list", {"a", "b", ""}}, {"list", {}}, {"dict", gosched.map {k = "v", [""] = "e"}},
    {"list int", {1, 2, 3}}, {"dict {list double}", {a = {1.5, -2.0}, b = {}}},
  }
  for i, v in ipairs(values) do
    out:send(v[1])
    out:send(v[2])
    local got, ok = back:recv()
    assert(ok and same(got, v[2]), "value " .. i .. " came back as " .. tostring(got))
  end
  out:send "bytes"
  out:send(gosched.bytes "\xff\0\x80")
  local got, _, kind = back:recv()
  assert(got == "\xff\0\x80" and kind == "bytes")

  -- More than fits, both ways at once.
  out:send "count"
  gosched.go(function()
    for i = 1, 3000 do out:send(i) end
    out:close()
  end)
  gosched.go(function() for _ = 1, 50 do here:send(true) end end)
  local sum, local_ones, n = 0, 0, 0
  while true do
    local i, v, ok = gosched.select {{back, "recv"}, {here, "recv"}}
    if i == 2 then
      local_ones = local_ones + 1
    elseif not ok then
      break -- the other side has closed it
    else
      sum, n = sum + v, n + 1
    end
  end
  assert(n == 3000 and sum == 3000 * 3001 // 2, "a sum of " .. sum)
  assert(local_ones == 50, local_ones)
  assert(not pcall(out.send, out, 1), "it is closed")
end)
