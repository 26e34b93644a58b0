-- side_ffi.lua: C functions and C data from Lua, by gosched.ffi, by cffi-lua, and by a C module.
--
-- Rows: SIDE.add (an int function of two ints), SIDE.text (strcmp of two strings), SIDE.field and
-- SIDE.store (reading and writing a struct's field).  The loop is the same in all, about 3 ns of
-- what is measured.

local harness = require "harness"

local declarations = [[
  int gsbench_add(int a, int b);
  int strcmp(const char *a, const char *b);
  struct gsbench_point { int x, y; };
]]

local loops = {}

function loops.add(lib)
  local add = lib.gsbench_add
  assert(add(1, 2) == 3)
  return function(n) for _ = 1, n do add(1, 2) end end
end

function loops.text(lib)
  local strcmp = lib.strcmp
  assert(strcmp("eight", "eight") == 0)
  return function(n) for _ = 1, n do strcmp("eight", "eight") end end
end

function loops.field(_, ffi)
  local p = ffi.new("struct gsbench_point", {5, 6})
  return function(n)
    local sum = 0
    for _ = 1, n do sum = sum + p.x end
    assert(sum == 5 * n)
  end
end

function loops.store(_, ffi)
  local p = ffi.new("struct gsbench_point", {5, 6})
  return function(n)
    for i = 1, n do p.x = i end
    assert(p.x == n)
  end
end

local function row(ffi, name)
  return function(options)
    ffi.cdef(declarations)
    return harness.samples(options, loops[name](ffi.load(harness.targets), ffi))
  end
end

local rows = {}
for name in pairs(loops) do
  rows["gosched." .. name] = function(options)
    local gosched = harness.need "gosched"
    local samples
    gosched.run(function() samples = row(gosched.ffi, name)(options) end)
    return samples
  end
  rows["cffi." .. name] = function(options) return row(harness.need "cffi", name)(options) end
end
rows["module.add"] = function(options)
  return harness.samples(options, loops.add {gsbench_add = harness.need("gsbench_lua").add})
end

harness.main(rows)
