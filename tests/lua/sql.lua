-- sql.lua: C modules of Debian, luasql.sqlite3 here, inside green threads: they are plain Lua C
-- functions, which hold the VM as long as they run, and are not disturbed by switches around them.

local check = require "check"
local gosched = require "gosched"

local found, luasql = pcall(require, "luasql.sqlite3")
if not found then
  print "skipped: luasql is not installed (Debian: lua-sql-sqlite3)"
  os.exit(77)
end

check.case("connections in many green threads", function()
  gosched.run(function()
    local env = luasql.sqlite3()
    local group = gosched.taskgroup()
    local sums = {}
    for i = 1, 20 do
      group:go(function()
        local db = assert(env:connect ":memory:")
        assert(db:execute "create table t (n integer, s text)")
        for k = 1, 50 do
          assert(db:execute(("insert into t values (%d, 'row %d')"):format(k, i)))
          if k % 5 == 0 then gosched.yield() end
        end
        local sum, cursor = 0, assert(db:execute "select n, s from t order by n")
        local row = {}
        while cursor:fetch(row, "a") do
          check.equal(row.s, "row " .. i)
          sum = sum + row.n
          gosched.yield() -- in the middle of a cursor
        end
        cursor:close()
        db:close()
        sums[i] = sum
      end)
    end
    group:wait()
    for i = 1, 20 do check.equal(sums[i], 1275) end
    env:close()
  end)
end)

check.case("a query that computes, beside others, which get their turn afterwards", function()
  gosched.run(function()
    local env = luasql.sqlite3()
    local db = assert(env:connect ":memory:")
    local ticks, over = 0, false
    local ticker = gosched.go(function()
      while not over do
        gosched.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    for _ = 1, 20 do
      local cursor = assert(db:execute [[
        with recursive c(n) as (select 1 union all select n + 1 from c where n < 50000) select sum(n) from c]])
      check.equal(math.tointeger(tonumber(cursor:fetch())), 1250025000)
      cursor:close()
      gosched.yield()
    end
    local before = ticks
    while ticks == before do gosched.sleep(0.001) end
    over = true
    ticker:join()
    db:close()
    env:close()
  end)
end)

check.case("connections that are forgotten are closed by the collector", function()
  gosched.run(function()
    local env = luasql.sqlite3()
    for _ = 1, 50 do
      gosched.go(function()
        local db = env:connect ":memory:"
        db:execute "create table t (n integer)"
      end)
      gosched.yield()
    end
    collectgarbage()
    collectgarbage()
  end)
end)

check.done()
