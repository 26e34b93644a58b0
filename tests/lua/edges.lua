-- edges.lua: what happens at the edges of the VM: finalizers, the end, requiring twice.

local check = require "check"
local gosched = require "gosched"
local ffi = gosched.ffi

-- A Lua program of its own: what it prints, and whether it ended well.
local function program(source)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(source)
  file:flush()
  local lua = arg[-1]
  for i = -1, -20, -1 do lua = arg[i] or lua end
  local out <close> = assert(io.popen(("%s %s 2>&1"):format(lua, path)))
  local text = out:read "a"
  local ok, how, code = out:close()
  os.remove(path)
  return text, ok and "exit" or how, ok and 0 or code
end

check.case("the table of a type's fields is made once, whatever a finalizer does meanwhile", function()
  local n, objects, used, current = 600, {}, {}, nil
  for i = 1, n do
    ffi.cdef(("struct edge%d { int a%d; int b%d; double c%d; };"):format(i, i, i, i))
    objects[i] = ffi.new("struct edge" .. i)
  end
  collectgarbage("incremental", 100, 1000, 2)
  local function arm()
    setmetatable({}, {
      __gc = function()
        if current and not used[current] then
          used[current] = true
          local _ = objects[current]["c" .. current]
        end
      end,
    })
  end
  for i = 1, n do
    current = nil
    for _ = 1, 3 do arm() end
    current = i
    local _ = objects[i]["a" .. i]
    current = nil
  end
  collectgarbage("incremental", 200, 100, 13)
  collectgarbage()
  collectgarbage()
  local junk = {}
  for i = 1, 20000 do
    local c = ffi.new("char[" .. (1 + i % 72) .. "]")
    ffi.fill(c, ffi.sizeof(c), 0x41)
    junk[i] = c
  end
  for i in pairs(used) do
    objects[i]["c" .. i] = 1.5
    check.equal(objects[i]["c" .. i], 1.5)
  end
end)

check.case("finalizers that are older than the module run after it", function()
  local text, how, code = program [[
    local gosched
    local a = setmetatable({}, {__gc = function() pcall(gosched.stats) end})
    local b = setmetatable({}, {__gc = function() pcall(function() return gosched.ffi.C.getpid() end) end})
    gosched = require "gosched"
    gosched.ffi.cdef "int getpid(void);"
    gosched.ffi.C.getpid()
    print "end"
  ]]
  check.equal(text, "end\n")
  check.equal(how, "exit")
  check.equal(code, 0)
end)

check.case("required twice it is the same module", function()
  ffi.cdef "struct twice { int x, y; };"
  local p = ffi.new("struct twice", 1, 2)
  package.loaded.gosched = nil
  local again = require "gosched"
  check.equal(again, gosched)
  collectgarbage()
  collectgarbage()
  check.equal(p.x + p.y, 3)
end)

check.case("gosched.blocking(io.read) reads", function()
  local text, how, code = program [[
    local gosched = require "gosched"
    gosched.ffi.cdef "int pipe(int *); int dup2(int, int); long write(int, const void *, unsigned long);"
    local fds = gosched.ffi.new "int[2]"
    gosched.ffi.C.pipe(fds)
    gosched.ffi.C.dup2(fds[0], 0)
    gosched.ffi.C.write(fds[1], "a line\n", 7)
    print(gosched.run(function() return gosched.blocking(io.read, "l") end))
  ]]
  check.equal(text, "a line\n")
  check.equal(how, "exit")
  check.equal(code, 0)
end)

check.case("who computes in a finalizer's coroutine is the only one in a finalizer", function()
  local errors = gosched.run(function()
    local stop, done, wrong = false, false, {}
    local others = {}
    for i = 1, 3 do
      others[i] = gosched.go(function()
        while not stop do
          local ok, e = pcall(gosched.sleep, 0.001)
          if not ok then wrong[#wrong + 1] = tostring(e) end
        end
      end)
    end
    setmetatable({}, {
      __gc = function()
        coroutine.wrap(function()
          local t = os.clock()
          while os.clock() - t < 0.1 do end
        end)()
        done = true
      end,
    })
    while not done do
      local junk = {}
      for i = 1, 100 do junk[i] = {} end
      collectgarbage()
    end
    stop = true
    for _, g in ipairs(others) do g:join() end
    return #wrong
  end)
  check.equal(errors, 0)
end)

check.case("a deadlock after a task group that failed is found", function()
  check.raises(function()
    gosched.run(function()
      pcall(function()
        local tg <close> = gosched.taskgroup()
        tg:go(function() error({}) end)
        tg:go(function() gosched.sleep(60) end)
        tg:wait()
      end)
      local wg = gosched.waitgroup()
      wg:add(1)
      wg:wait()
    end)
  end, "deadlock")
end)

check.case("os.exit in a green thread ends the program", function()
  local _, how, code = program [[
    local gosched = require "gosched"
    gosched.run(function()
      local tg <close> = gosched.taskgroup()
      tg:go(function() gosched.sleep(0.01) os.exit(3, true) end)
      tg:wait()
    end)
  ]]
  check.equal(how, "exit")
  check.equal(code, 3)
end)

check.case("Ctrl-C while the end of a run waits", function()
  local text, how, code = program [[
    local gosched = require "gosched"
    local ffi = gosched.ffi
    ffi.cdef "int kill(int, int); int getpid(void); int usleep(unsigned);"
    local C, main = ffi.C, coroutine.running()
    local closed = false
    local ok, err = pcall(gosched.run, function()
      gosched.go(function()
        local last <close> = setmetatable({}, {__close = function()
          C.kill(C.getpid(), 2) -- lua.c sets a hook on the main coroutine, which goes when it has run
          for _ = 1, 20000 do
            C.usleep(1000)
            if not debug.gethook(main) then break end
          end
          closed = true
        end})
        gosched.sleep(1000)
      end)
      gosched.yield()
    end)
    print(ok, err, closed)
  ]]
  check.truth(text:find "^false%s+interrupted!" and text:find "true%s$", text)
  check.equal(how, "exit")
  check.equal(code, 0)
end)

check.case("who can be woken from outside only is, at the end of a run", function()
  local text = program [[
    local gosched = require "gosched"
    local ffi = gosched.ffi
    ffi.cdef "int pipe(int *); long read(int, void *, unsigned long); long write(int, const void *, unsigned long);"
    local fds, byte, ended = ffi.new "int[2]", ffi.new "char[1]", nil
    assert(ffi.C.pipe(fds) == 0)
    local read = ffi.bind(ffi.C.read, {unblock = function() ffi.C.write(fds[1], "x", 1) end})
    gosched.run(function()
      local begun = false
      gosched.go(function()
        begun = true
        local ok, err = pcall(read, fds[0], byte, 1)
        ended = ok or err
      end)
      while not begun do gosched.yield() end
      gosched.sleep(0.02)
    end)
    print(ended == gosched.cancelled)
  ]]
  check.equal(text, "true\n")
end)

check.done()
