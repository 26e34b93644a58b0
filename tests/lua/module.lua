-- module.lua: the module's table, gosched.run, gosched.stats.

local check = require "check"
local gosched = require "gosched"

check.case("the version is the one of the file VERSION", function()
  check.equal(gosched._VERSION, os.getenv "GS_EXPECTED_VERSION")
end)

check.case("run returns what the function returns", function()
  check.equal(select("#", gosched.run(function() end)), 0)
  local a, b, c, n = gosched.run(function(...)
    return ..., select("#", ...)
  end, 1, nil, "x")
  check.equal(a, 1)
  check.equal(b, 3)
  check.equal(c, nil)
  check.equal(n, nil)
  local t = table.pack(gosched.run(function(...) return ... end, 1, nil, "x", nil))
  check.equal(t.n, 4)
  check.equal(t[3], "x")
end)

check.case("run raises the function's error, strings with a traceback", function()
  check.raises(function()
    gosched.run(function() error "wrong" end)
  end, "module.lua:", "wrong", "stack traceback:")
  local value = {}
  local ok, err = pcall(gosched.run, function() error(value) end)
  check.equal(ok, false)
  check.equal(err, value)
end)

check.case("run works again after it ended, well or badly", function()
  for i = 1, 20 do check.equal(gosched.run(function() return i end), i) end
end)

check.case("run inside run is an error that says so", function()
  gosched.run(function()
    check.raises(function() gosched.run(print) end, "gosched.run: it is running already")
  end)
end)

check.case("run works inside a coroutine, and coroutines inside run", function()
  local co = coroutine.wrap(function()
    coroutine.yield(gosched.run(function()
      gosched.sleep(0.001)
      local inner = coroutine.wrap(function(x)
        gosched.sleep(0.001)
        local y = coroutine.yield(x + 1)
        gosched.yield()
        return y * 2
      end)
      return inner(1) + inner(10)
    end))
    return "end"
  end)
  check.equal(co(), 22)
  check.equal(co(), "end")
end)

check.case("arguments are checked", function()
  check.raises(function() gosched.run() end, "bad argument #1", "function expected")
  check.raises(function() gosched.run(1) end, "bad argument #1", "function expected")
end)

check.case("what needs a green thread says so outside run", function()
  check.raises(function() gosched.go(print) end, "gosched.go: call it inside gosched.run")
  check.raises(function() gosched.sleep(0.1) end, "gosched.sleep: call it inside gosched.run")
  check.raises(function() gosched.sleep(0) end, "gosched.sleep: call it inside gosched.run")
  check.raises(function() gosched.yield() end, "gosched.yield: call it inside gosched.run")
end)

check.case("stats counts", function()
  local before = gosched.stats()
  gosched.run(function()
    local g = gosched.go(function() gosched.sleep(0.001) end)
    check.truth(gosched.stats().gs_live >= 2, "two green threads live")
    g:join()
  end)
  local after = gosched.stats()
  check.equal(after.gs_created, before.gs_created + 2)
  check.truth(after.parks > before.parks, "parks were counted")
  check.equal(after.gs_live, 0)
end)

check.case("histograms add up", function()
  for name, h in pairs(gosched.histograms()) do
    local n = 0
    for _, in_bucket in ipairs(h) do n = n + in_bucket end
    check.equal(h.count, n)
    check.equal(#h, 25)
    check.equal(math.type(h.sum), "float")
    check.equal(gosched.stats()[name], nil)
  end
  check.truth(gosched.histograms().handoff_seconds, "hand-offs are measured")
end)

check.case("metrics_text is for Prometheus", function()
  local text = gosched.metrics_text()
  for name in pairs(gosched.stats()) do
    check.truth(text:find("\n# TYPE gosched_" .. name .. "[_a-z]* %l+\n"), name)
  end
  for name in pairs(gosched.histograms()) do
    check.truth(text:find("\ngosched_" .. name .. '_bucket{le="+Inf"} ', 1, true), name)
  end
  check.equal(text:sub(-1), "\n")
end)

check.case("every VM of the process can have the module", function()
  -- A second copy of the interpreter in a child, whose state is closed at its end.
  local program = [[local g = require "gosched"; os.exit(g.run(function() g.sleep(0.001) return true end), true)]]
  local command = ("%s -e '%s'"):format(arg[-1], program)
  check.truth(os.execute(command), "it ends well")
end)

check.done()
