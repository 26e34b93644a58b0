-- anywhere.lua: green threads park in the middle of every kind of C code of Lua.

local check = require "check"
local gosched = require "gosched"

local N = 50 -- green threads at once in each case

-- Runs body(i, park) in many green threads; each must give what body gives alone, where park does
-- nothing.
local function together(name, body)
  check.case(name, function()
    gosched.run(function()
      local gs, parks = {}, 0
      local function park(i)
        parks = parks + 1
        if (parks + (i or 0)) % 7 == 0 then gosched.sleep(0.0001) else gosched.yield() end
      end
      for i = 1, N do gs[i] = gosched.go(body, i, park) end
      local collector = gosched.go(function()
        while true do
          collectgarbage(parks % 2 == 0 and "step" or "collect")
          gosched.sleep(0.0005)
        end
      end)
      for i = 1, N do
        local got, want = table.pack(gs[i]:join()), table.pack(body(i, function() end))
        check.equal(got.n, want.n)
        for k = 1, want.n do check.equal(got[k], want[k]) end
      end
      collector:cancel()
      check.truth(parks >= N, "they parked")
    end)
  end)
end

together("pcall and xpcall, with errors", function(i, park)
  local ok, err = pcall(function()
    park(i)
    local _, inner = xpcall(function() park(i) error {i} end, function(e)
      park(i) -- in a message handler
      return e[1]
    end)
    error(inner * 2, 0)
  end)
  return ok, err
end)

together("metamethods", function(i, park)
  local mt = {}
  for _, name in ipairs {"add", "concat", "unm", "len", "index", "call", "eq", "lt", "le", "idiv",
    "band", "shl", "bnot", "mod", "pow"} do
    mt["__" .. name] = function() park(i) return i end
  end
  function mt.__newindex(t, k, v) park(i) rawset(t, k, v) end
  function mt.__tostring() park(i) return "s" .. i end
  function mt.__pairs(t) park(i) return function(_, k) park(i) if not k then return 1, i end end, t end
  local a, b = setmetatable({}, mt), setmetatable({}, mt)
  local n = a + b
  n = n + (a .. b) + -a + #a + a.x + a() + a // b + (a & b) + (a << b) + ~a + a % b + a ^ b
  a.y = 5
  for _, v in pairs(a) do n = n + v end
  return n, a == b, a < b, a <= b, tostring(a), rawget(a, "y")
end)

together("iterators", function(i, park)
  local n = 0
  for k in function(_, k)
    park(i)
    k = (k or 0) + 1
    if k <= i then return k end
  end do n = n + k end
  for _, v in ipairs(setmetatable({}, {__index = function(_, k) park(i) if k < 5 then return k end end})) do
    n = n + v
  end
  return n
end)

together("sort comparators", function(i, park)
  local t = {}
  for k = 1, 20 do t[k] = (k * 7 + i) % 23 end
  table.sort(t, function(a, b) park(i) return a < b end)
  return table.concat(t, " ")
end)

together("string.gsub callbacks, and gsub inside gsub", function(i, park)
  return (("a1b2c3"):gsub("%a%d", function(s)
    park(i)
    return (s:upper():gsub(".", function(c) park(i) return c .. i end))
  end))
end)

together("table.concat, table.move and load with readers", function(i, park)
  local proxy = setmetatable({}, {__index = function(_, k) park(i) return k + i end,
    __newindex = function(t, k, v) park(i) rawset(t, k, v) end, __len = function() return 4 end})
  local parts = {"return ", tostring(i), " + 1"}
  local at = 0
  local f = assert(load(function()
    park(i)
    at = at + 1
    return parts[at]
  end))
  local moved = table.move(proxy, 1, 3, 5)
  return f(), rawget(moved, 5), rawget(moved, 7), table.unpack(proxy, 1, 3)
end)

together("inside coroutines, also nested ones", function(i, park)
  local outer = coroutine.wrap(function(a)
    local inner = coroutine.wrap(function(x)
      while true do
        park(i)
        x = coroutine.yield(x * 2)
      end
    end)
    for _ = 1, 3 do
      park(i)
      a = inner(a)
      local b = coroutine.yield(a)
      check.equal(b, i)
    end
    return a + 1
  end)
  local r = {outer(i)}
  for k = 2, 4 do r[k] = outer(i) end
  return table.unpack(r)
end)

together("__close, also while an error passes", function(i, park)
  local order = {}
  local function closer(name)
    return setmetatable({}, {__close = function(_, err)
      park(i)
      order[#order + 1] = name .. tostring(err)
    end})
  end
  local ok, err = pcall(function()
    local a <close> = closer "a"
    do local b <close> = closer "b" end
    local c <close> = closer "c"
    park(i)
    error("e" .. i, 0)
  end)
  return ok, err, table.concat(order, " ")
end)

check.case("require: the loader parks, and each module is loaded as it would be", function()
  gosched.run(function()
    local gs = {}
    for i = 1, N do
      local name = "slow_module_" .. i
      package.preload[name] = function(...)
        gosched.yield()
        gosched.sleep(0.0005)
        return {name = ...}
      end
      gs[i] = gosched.go(function() return require(name) end)
    end
    for i = 1, N do check.equal(gs[i]:join().name, "slow_module_" .. i) end
  end)
end)

check.case("a coroutine goes from one green thread to another", function()
  gosched.run(function()
    local ch, back = gosched.chan(), gosched.chan()
    local co = coroutine.create(function()
      for i = 1, 20 do
        gosched.yield()
        coroutine.yield(i)
      end
    end)
    local function turns()
      local n = 0
      for c in ch:iter() do
        n = n + 1
        back:send(select(2, assert(coroutine.resume(c))))
      end
      return n
    end
    local a, b = gosched.go(turns), gosched.go(turns)
    for i = 1, 20 do
      ch:send(co)
      check.equal(back:recv(), i)
    end
    ch:close()
    local x, y = a:join(), b:join()
    check.equal(x + y, 20)
    check.truth(x > 0 and y > 0, "both had it")
  end)
end)

check.case("a coroutine that a parked green thread runs cannot be resumed or closed", function()
  gosched.run(function()
    local co = coroutine.create(function() gosched.sleep(1e6) end)
    local g = gosched.go(coroutine.resume, co)
    while not select(2, g:state()) do gosched.yield() end
    check.equal(coroutine.status(co), "normal")
    local ok, err = coroutine.resume(co)
    check.equal(ok, false)
    check.truth(err:find "cannot resume non%-suspended coroutine", err)
    check.raises(function() coroutine.close(co) end, "cannot close a normal coroutine")
    g:cancel()
    pcall(g.join, g)
  end)
end)

check.case("coroutine.wrap and resume do what Lua's own do", function()
  local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) error(c) end)
  local ok, v = coroutine.resume(co, 1, 2)
  check.truth(ok and v == 3, "values go in and out")
  local t = {}
  ok, v = coroutine.resume(co, t)
  check.truth(not ok and rawequal(v, t), "error values stay as they are")
  ok, v = coroutine.resume(co)
  check.truth(not ok and v == "cannot resume dead coroutine", v)
  check.raises(function() coroutine.wrap(function() error "in it" end)() end, "anywhere.lua:", "in it")
  local closed
  local w = coroutine.wrap(function()
    local x <close> = setmetatable({}, {__close = function() closed = true end})
    error "and close"
  end)
  check.raises(w, "and close")
  check.equal(closed, true)
  check.raises(w, "cannot resume dead coroutine")
  check.raises(function() coroutine.resume(1) end, "coroutine expected")
  check.raises(function() coroutine.wrap(1) end, "function expected")
  check.equal(coroutine.isyieldable(), false)
end)

check.case("ten thousand at once", function()
  gosched.run(function()
    local ch, gs, n = gosched.chan(), {}, 10000
    for i = 1, n do gs[i] = gosched.go(function() return ch:recv() + i end) end
    gosched.yield()
    for i = 1, n do ch:send(i) end
    local sum = 0
    for i = 1, n do sum = sum + gs[i]:join() end
    check.equal(sum, n * (n + 1))
  end)
end)

-- Nothing in the loop waits, and hogs are left alone: so whenever the others run in the meantime a
-- slice has ended inside of an operation, whose results have to be right all the same.
check.case("a slice ends inside of operations that do not wait", function()
  gosched.run(function()
    local over, turns, n = false, 0, 0
    local others = {}
    for i = 1, 3 do
      others[i] = gosched.go(function()
        while not over do
          turns = turns + 1
          gosched.yield()
        end
      end)
    end
    gosched.yield()
    local was = gosched.preempt(false)
    local ch, m = gosched.chan(64), gosched.mutex()
    local group <close> = gosched.taskgroup()
    local function nothing() n = n + 1 end
    local spawned, ended, before = 0, 0, turns
    while ended < 5 do
      for i = 1, 64 do
        ch:send {i}
        m:lock()
        if i % 2 == 0 then gosched.go(nothing) else group:go(nothing) end
        spawned = spawned + 1
        check.truth(m:locked(), "the lock")
        m:unlock()
      end
      for i = 1, 64 do check.equal(ch:recv()[1], i) end
      if turns ~= before then ended, before = ended + 1, turns end
    end
    gosched.preempt(was)
    group:wait()
    while n < spawned do gosched.yield() end
    over = true
    for i = 1, 3 do others[i]:join() end
  end)
end)

check.case("errors in every place, cancelled in the middle", function()
  gosched.run(function()
    local gs = {}
    for i = 1, N do
      gs[i] = gosched.go(function()
        table.sort({3, 2, 1}, function(a, b)
          return ("x"):gsub("x", function()
            coroutine.wrap(function() gosched.sleep(1e6) end)()
            return a < b
          end)
        end)
      end)
    end
    gosched.yield()
    for i = 1, N, 2 do gs[i]:cancel() end
    for i = 1, N, 2 do check.equal(select(2, pcall(gs[i].join, gs[i])), gosched.cancelled) end
  end)
end)

check.done()
