-- green.lua: green threads: results, errors, waiting, cancelling.

local check = require "check"
local gosched = require "gosched"

-- A case whose body runs as the main green thread.
local function case(name, body)
  check.case(name, function() gosched.run(body) end)
end

case("join gives the results, as often as it is asked", function()
  local g = gosched.go(function(a, b) return a + b, nil, "x" end, 1, 2)
  for _ = 1, 3 do
    local t = table.pack(g:join())
    check.equal(t.n, 3)
    check.equal(t[1], 3)
    check.equal(t[2], nil)
    check.equal(t[3], "x")
  end
  check.equal(g:state(), "returned")
  check.equal(select("#", gosched.go(function() end):join()), 0)
end)

case("several can join one", function()
  local slow = gosched.go(function() gosched.sleep(0.02) return 7 end)
  local joiners, sum = {}, 0
  for i = 1, 10 do joiners[i] = gosched.go(function() return slow:join() end) end
  for i = 1, 10 do sum = sum + joiners[i]:join() end
  check.equal(sum, 70)
end)

case("join raises the error, a string with its traceback", function()
  local function deep() error "it broke" end
  local g = gosched.go(function() deep() end)
  check.raises(function() g:join() end, "green.lua:", "it broke", "stack traceback:", "deep")
  check.equal(g:state(), "failed")
  check.raises(function() g:join() end, "it broke")
end)

case("join raises error values as they are", function()
  local value = setmetatable({}, {__tostring = function() return "special" end})
  local g = gosched.go(error, value)
  local ok, err = pcall(g.join, g)
  check.equal(ok, false)
  check.truth(rawequal(err, value), "it is the same table")
  local ok2, err2 = pcall(g.join, gosched.go(error))
  check.equal(ok2, false)
  check.equal(err2, nil)
end)

case("a stack overflow in Lua is an error of that green thread", function()
  local function forever(n) return 1 + forever(n + 1) end
  check.raises(function() gosched.go(forever, 1):join() end, "stack overflow")
end)

case("deep nesting of C functions is an error, not a crash", function()
  local function nest(n)
    return (("x"):gsub("x", function() return nest(n + 1) end))
  end
  check.raises(function() gosched.go(nest, 1):join() end, "C stack overflow")
  local function sorted(n)
    table.sort({2, 1, 3}, function(a, b) sorted(n + 1) return a < b end)
  end
  check.raises(function() gosched.go(sorted, 1):join() end, "C stack overflow")
  local parens = "return " .. ("("):rep(1000) .. "1" .. (")"):rep(1000)
  check.raises(function() gosched.go(function() assert(load(parens)) end):join() end, "overflow")
end)

case("a timeout of join is a value", function()
  local g = gosched.go(function() gosched.sleep(0.05) return 1 end)
  check.equal(g:join(0.001), gosched.timeout)
  check.equal(tostring(gosched.timeout), "gosched.timeout")
  check.equal(g:join(30), 1)
  check.equal(g:join(0), 1)
end)

case("sleepers wake in the order of their time", function()
  local order, gs = {}, {}
  -- Far apart: a busy machine may let the last one fall asleep much later than the first.
  for i = 3, 1, -1 do
    gs[#gs + 1] = gosched.go(function() gosched.sleep(0.3 * i) order[#order + 1] = i end)
  end
  for _, g in ipairs(gs) do g:join() end
  check.equal(table.concat(order, " "), "1 2 3")
end)

case("yield lets others run", function()
  local turns = {}
  local function taker(name)
    for _ = 1, 3 do
      turns[#turns + 1] = name
      gosched.yield()
    end
  end
  local a, b = gosched.go(taker, "a"), gosched.go(taker, "b")
  a:join()
  b:join()
  check.equal(#turns, 6)
  check.truth(table.concat(turns):find "aba" or table.concat(turns):find "bab", "they took turns")
end)

case("cancel ends a wait", function()
  local g = gosched.go(function() gosched.sleep(1000) end)
  gosched.yield()
  g:cancel()
  g:cancel()
  local ok, err = pcall(g.join, g)
  check.equal(ok, false)
  check.equal(err, gosched.cancelled)
  check.equal(g:state(), "cancelled")
end)

check.case("what still waits when run returns is cancelled", function()
  local cleaned = false
  local g
  gosched.run(function()
    g = gosched.go(function()
      local ok, err = pcall(gosched.sleep, 1000)
      cleaned = not ok and err == gosched.cancelled
      error(err)
    end)
    gosched.yield()
  end)
  check.truth(cleaned, "it saw the cancellation")
  check.equal(g:state(), "cancelled")
end)

check.case("a green thread that has ended can be joined after run", function()
  local g = gosched.run(function() return gosched.go(function() return 5 end) end)
  check.equal(g:join(), 5)
end)

case("a green thread has an id and a name to print", function()
  local a, b = gosched.go(function() end), gosched.go(function() end)
  check.truth(math.type(a.id) == "integer" and a.id ~= b.id, "ids differ")
  check.equal(tostring(a), "green thread " .. a.id)
  check.equal(a.no_such_field, nil)
end)

case("wrong arguments are named", function()
  check.raises(function() gosched.go() end, "bad argument #1 to 'go'", "function expected")
  check.raises(function() gosched.go "x" end, "bad argument #1 to 'go'")
  check.raises(function() gosched.sleep() end, "bad argument #1 to 'sleep'", "number expected")
  check.raises(function() gosched.sleep "x" end, "bad argument #1 to 'sleep'")
  check.raises(function() gosched.sleep(-1) end, "seconds expected, 0 or more")
  check.raises(function() gosched.sleep(0 / 0) end, "seconds expected, 0 or more")
  local g = gosched.go(function() end)
  check.raises(function() g:join "x" end, "number expected")
  check.raises(function() g.join() end, "bad argument #1 to 'join'")
  check.raises(function() g.join {} end, "bad argument #1 to 'join'")
  local self
  self = gosched.go(function() gosched.yield() self:join() end)
  check.raises(function() self:join() end, "a green thread cannot join itself")
end)

case("a __gc metamethod cannot wait", function()
  local errors, known = {}, nil
  setmetatable({}, {__gc = function() known = not collectgarbage "count" end})
  collectgarbage()
  if not known then
    print "skipped: this Lua, older than 5.4.4, does not tell that a __gc metamethod runs"
    return
  end
  local never = gosched.go(function() gosched.sleep(1000) end)
  for _, wait in ipairs {
    function() gosched.sleep(0.001) end,
    function() gosched.yield() end,
    function() never:join() end,
  } do
    setmetatable({}, {__gc = function()
      local ok, err = pcall(wait)
      errors[#errors + 1] = ok and "no error" or err
    end})
  end
  collectgarbage()
  collectgarbage()
  check.equal(#errors, 3)
  for i = 1, 3 do check.truth(errors[i]:find "a __gc metamethod cannot wait", errors[i]) end
  never:cancel()
  pcall(never.join, never)
end)

case("an error nobody joins is told on stderr", function()
  local program = [[local g = require "gosched"; g.run(function() g.go(function() error "unheard" end) g.yield() end)]]
  local command = ("%s -e '%s' 2>&1"):format(arg[-1], program)
  local pipe = io.popen(command)
  local text = pipe:read "a"
  pipe:close()
  check.truth(text:find "ended with an error that nobody joined: .*unheard", text)
end)

check.done()
