-- ffi_callbacks.lua: Lua functions that C calls, on any thread.

local support = require "ffi_support"
local check, ffi, case, helper = support.check, support.ffi, support.case, support.helper
local gosched = support.gosched

case("a Lua function where C wants a function", function()
  check.equal(helper.call_it(function(v) return v * 2 end, 21), 42)
  check.equal(helper.call_double(function(a, b) return a * b end, 1.5, 4), 6.0)
  check.equal(helper.call_bool(function(v) return not v end, false), true)
  check.equal(helper.call_point(function(p, n) return {p.x * n, p.y * n} end, {1, 2}, 3).y, 6.0)
  check.equal(ffi.string(helper.call_text(function(s) return ffi.string(s):upper() end, "abc")),
    "ABC")
  local seen
  check.equal(helper.call_many(function(...)
    seen = table.pack(...)
    return math.maxinteger
  end), math.maxinteger)
  check.equal(table.concat(seen, " ", 1, seen.n),
    "-1 255 -2 65535 -3 4000000000 -9223372036854775808 -1 1.5 2.5")
end)

case("qsort", function()
  local a = ffi.new("int[6]", {5, 3, 9, 1, 7, 2})
  ffi.C.qsort(a, 6, 4, function(x, y)
    x, y = ffi.cast("int *", x)[0], ffi.cast("int *", y)[0]
    return x < y and -1 or x > y and 1 or 0
  end)
  local t = {}
  for i = 0, 5 do t[#t + 1] = a[i] end
  check.equal(table.concat(t, " "), "1 2 3 5 7 9")
end)

case("a cast makes a callback that is kept", function()
  local calls = 0
  local cb = ffi.cast("int (*)(int)", function(v)
    calls = calls + 1
    return v + 1
  end)
  support.collect()
  check.equal(cb(1), 2)
  check.equal(helper.call_twice(cb, 1), 3)
  check.equal(calls, 3)
  helper.keep_callback(cb)
  check.equal(helper.call_kept(5), 6)
  cb:set(function(v) return v + 100 end)
  check.equal(helper.call_kept(5), 105)
  helper.keep_callback(nil)
  cb:free()
  check.raises(function() cb:free() end, "is no callback, or was freed")
  check.raises(function() cb:set(print) end, "is no callback, or was freed")
  check.raises(function() ffi.cast("callback_p", ffi.C.abs):free() end, "is no callback")
  check.raises(function() ffi.cast("callback_p", nil):free() end, "is no callback")
end)

case("set and free, wrongly", function()
  local cb = ffi.cast("callback_p", function() return 1 end)
  check.raises(function() cb:set(5) end, "function expected, got number")
  check.raises(function() cb:set() end, "function expected, got no value")
  check.raises(function() cb.free(5) end, "C data expected")
  cb:free()
  check.raises(function() return ffi.new("int *").free end, "no member named 'free'")
end)

case("the same function is the same C function", function()
  local function f(v) return v + 7 end
  local s = ffi.new("callback_p[3]", {f, f})
  check.truth(s[0] == s[1], "made once")
  s[2] = function(v) return v end
  check.truth(s[0] ~= s[2], "another one")
  local other = ffi.cast("callback_p", f)
  check.truth(other ~= s[0], "a cast makes its own")
  other:free()
  check.equal(s[1](1), 8)
  s[0]:free()
  check.equal(helper.call_it(f, 1), 8) -- made anew
end)

case("an error comes out of the call", function()
  local function fails(what) return function() helper.call_it(function() error(what, 0) end, 1) end end
  check.raises(fails "oh no", "oh no")
  local value = {}
  local ok, err = pcall(fails(value))
  check.truth(not ok and err == value, "the value itself")
  -- The first one counts, and C gets zeros.
  local seen = {}
  ok, err = pcall(helper.call_twice, function(v)
    seen[#seen + 1] = v
    error("number " .. #seen, 0)
  end, 5)
  check.truth(not ok and err == "number 1", tostring(err))
  check.equal(table.concat(seen, " "), "5 0")
  check.raises(function() helper.call_it(function() return {} end, 1) end,
    "the result of a callback: cannot convert 'table' to 'int'")
  check.raises(function() helper.call_it(function() end, 1) end,
    "the result of a callback: cannot convert 'nil' to 'int'")
  check.equal(helper.call_it(function(v) return v end, 3), 3)
end)

case("an error in the middle is caught there", function()
  local outer = helper.call_it(function(v)
    local ok, err = pcall(helper.call_it, function() error "inner" end, v)
    check.truth(not ok and err:find "inner", "caught")
    return v + 1
  end, 1)
  check.equal(outer, 2)
end)

case("callbacks nest", function()
  local function down(v)
    if v == 0 then return 0 end
    return 1 + helper.call_it(down, v - 1)
  end
  check.equal(helper.call_it(down, 20), 20)
  -- Without an end it is an error, not a crash.
  local function forever(v) return helper.call_it(forever, v) end
  check.raises(function() helper.call_it(forever, 1) end, "overflow")
end)

case("in a coroutine", function()
  local co = coroutine.wrap(function(v)
    v = helper.call_it(function(x) return x + 1 end, v)
    v = coroutine.yield(v)
    return helper.call_it(function(x) return x * 2 end, v)
  end)
  check.equal(co(1), 2)
  check.equal(co(5), 10)
  check.raises(function()
    coroutine.wrap(function() helper.call_it(function() coroutine.yield(1) return 1 end, 1) end)()
  end, "attempt to yield across a C-call boundary")
end)

case("errno is the callback's own and C's", function()
  ffi.errno(5)
  helper.call_it(function() return 1 end, 1)
  check.equal(math.type(ffi.errno()), "integer")
end)

case("types that cannot be callbacks", function()
  check.raises(function() ffi.cast("int (*)(int, ...)", function() return 1 end) end,
    "a Lua function cannot be 'int(int, ...)'", "'...'")
  check.raises(function() ffi.new("int *", function() end) end, "cannot convert 'function'")
end)

check.case("a callback parks", function()
  gosched.run(function()
    local log = {}
    local g = gosched.go(function()
      return helper.call_it(function(v)
        log[#log + 1] = "in"
        gosched.sleep(0.001)
        gosched.yield()
        log[#log + 1] = "out"
        return v + 1
      end, 1)
    end)
    local others = {}
    for i = 1, 10 do
      others[i] = gosched.go(function()
        return helper.call_twice(function(v)
          gosched.yield()
          return v + i
        end, 0)
      end)
    end
    check.equal(g:join(), 2)
    for i = 1, 10 do check.equal(others[i]:join(), 2 * i) end
    check.equal(table.concat(log, " "), "in out")
  end)
end)

check.case("cancelled in a callback", function()
  gosched.run(function()
    local inside = false
    local g = gosched.go(function()
      return helper.call_it(function()
        inside = true
        gosched.sleep(1000)
        return 1
      end, 1)
    end)
    while not inside do gosched.yield() end
    g:cancel()
    local ok, err = pcall(g.join, g)
    check.truth(not ok and err == gosched.cancelled, tostring(err))
    check.equal(g:state(), "cancelled")
  end)
end)

check.case("from another thread", function()
  gosched.run(function()
    check.equal(helper.call_on_thread(function(v) return v + 1 end, 1), 2)
    check.equal(helper.call_on_thread(function(v)
      gosched.sleep(0.001)
      return helper.call_it(function(x) return x * 10 end, v)
    end, 4), 40)
    local n, inside, most = 0, 0, 0
    local sum = helper.call_on_threads(function(v)
      n = n + 1
      inside = inside + 1
      most = math.max(most, inside)
      local s = ("x"):rep(v % 7)
      if v % 5 == 0 then gosched.yield() end
      inside = inside - 1
      return #s
    end, 8, 50)
    check.equal(n, 400)
    check.equal(inside, 0)
    local want = 0
    for i = 0, 7 do want = want + (i + 49) % 7 end
    check.equal(sum, want)
  end)
end)

check.case("other threads call while the VM computes", function()
  gosched.run(function()
    local calls = 0
    local cb = ffi.cast("callback_p", function(v)
      calls = calls + 1
      return v
    end)
    check.equal(helper.later_start(cb, 1, 200), 0)
    local t = {}
    while calls < 200 do
      for i = 1, 100 do t[i] = {i} end
      gosched.yield()
    end
    check.equal(t[100] and t[100][1] or 100, 100)
    check.equal(helper.later_join(), 200)
    cb:free()
  end)
end)

check.case("an error on another thread is told to the logger, and C gets 0", function()
  gosched.run(function()
    check.equal(helper.call_on_thread(function() error "for the logger" end, 1), 0)
  end)
end)

check.case("another thread outside gosched.run gets 0", function()
  check.equal(helper.call_on_thread(function(v) return v end, 5), 0)
end)

check.case("threads that call on when gosched.run has returned", function()
  local calls = 0
  local cb = ffi.cast("callback_p", function(v)
    calls = calls + 1
    return v
  end)
  gosched.run(function()
    check.equal(helper.later_start(cb, 1, 2000), 0)
    while calls == 0 do gosched.yield() end
  end)
  local before = calls
  helper.later_join()
  check.equal(calls, before) -- nobody was let in
  cb:free()
end)

-- Who comes in just when gosched.run ends is either let in, and waited for, or not.
check.case("threads that call all the time, while gosched.run begins and ends", function()
  local running, outside, calls, met = false, 0, 0, 0
  local cb = ffi.cast("callback_p", function(v)
    calls = calls + 1
    if not running then outside = outside + 1 end
    return v
  end)
  check.equal(helper.start_calling(cb, 3), 3)
  for _ = 1, 1500 do
    local before = calls
    gosched.run(function()
      running = true
      for _ = 1, 20 do
        gosched.yield()
        if calls > before then break end
      end
    end)
    running = false
    if calls > before then met = met + 1 end
    for i = 1, 50 do before = before + i end -- time to see somebody who is in
  end
  helper.stop_calling()
  cb:free()
  check.equal(outside, 0)
  print("        " .. met .. " runs had a visitor")
end)

check.case("who is in a callback of another thread is cancelled, and waited for", function()
  local state = "none"
  local cb = ffi.cast("callback_p", function(v)
    state = "in"
    local ok, err = pcall(gosched.sleep, 1000)
    state = not ok and err == gosched.cancelled and "cancelled" or tostring(err)
    return v
  end)
  gosched.run(function()
    check.equal(helper.later_start(cb, 1, 1), 0)
    while state == "none" do gosched.yield() end
  end)
  check.equal(state, "cancelled")
  helper.later_join()
  cb:free()
end)

check.case("critical and nocallback calls cannot be called back", function()
  local n = 0
  local function count() n = n + 1 return 5 end
  local critical = ffi.bind(helper.call_it, {critical = true})
  local without = ffi.bind(helper.call_it, {nocallback = true})
  gosched.run(function()
    check.equal(critical(count, 1), 0)
    check.equal(without(count, 1), 0)
  end)
  check.equal(n, 0)
end)

check.case("more callbacks than there are trampolines", function()
  local list = {}
  for i = 1, 1500 do
    list[i] = ffi.cast("callback_p", function(v) return v + i end)
  end
  for i = 1, 1500 do check.equal(helper.call_it(list[i], 1), 1 + i) end
  for i = 1, 1500 do list[i]:free() end
end)

check.case("a callback in a finalizer", function()
  local got
  gosched.run(function()
    setmetatable({}, {__gc = function() got = helper.call_it(function(v) return v + 1 end, 1) end})
    support.collect()
  end)
  check.equal(got, 2)
end)

check.done()
