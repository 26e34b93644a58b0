-- harness.lua: how a row is measured in Lua: the same for every side, so that only the library
-- differs.  A side is a program `side_….lua ROW [--samples=N] [--target-ms=MS]` that prints one JSON
-- object on one line, as gsbench does.  A side whose library is not there ends with status 77 and
-- says why on stderr: bench/run.py then calls its rows unmeasured.

local harness = {}

harness.directory = assert(os.getenv "GSBENCH_DIR", "GSBENCH_DIR is not set: use bench/run.py")
harness.targets = harness.directory .. "/libgsbench_targets.so"

-- The library `name`; ends this side if it is not on this machine.
function harness.need(name)
  local ok, lib = pcall(require, name)
  if ok then return lib end
  io.stderr:write(("the Lua module %s was not found (luarocks install %s, or LUA_CPATH)\n"):format(
    name, name == "cffi" and "cffi-lua" or name))
  os.exit(77)
end

-- The processor time of this process, in nanoseconds.
local function processor() return os.clock() * 1e9 end

-- What a loop of n operations takes.
local function timed(loop, n, now)
  local start = now()
  loop(n)
  return now() - start
end

-- Nanoseconds for one operation, once a sample; `now` is given where several threads are at work.
-- The loop has to last as long as it should twice: a moment's pause is not the loop's.
function harness.samples(options, loop, now)
  now = now or processor
  local n, most = 1, 20
  while true do
    local elapsed = timed(loop, n, now)
    if elapsed >= 0.8 * options.target_ns then elapsed = timed(loop, n, now) end
    if elapsed >= 0.8 * options.target_ns then break end
    local growth = elapsed > 0 and options.target_ns / elapsed or most
    n = math.floor(n * math.min(growth, most)) + 1
  end
  local samples = {}
  for i = 1, options.samples do samples[i] = timed(loop, n, now) / n end
  return samples
end

local function peak_kib()
  for line in io.lines "/proc/self/status" do
    local n = line:match "^VmHWM:%s*(%d+)"
    if n then return n end
  end
end

-- Measures the row named on the command line, a function of the options that gives samples and their
-- unit (ns), and prints it.
function harness.main(rows)
  local options = {samples = 9, target_ns = 20e6}
  local name
  for _, word in ipairs(arg) do
    local key, value = word:match "^%-%-([a-z-]+)=(.*)$"
    if key == "samples" then
      options.samples = assert(math.tointeger(tonumber(value)), word)
    elseif key == "target-ms" then
      options.target_ns = assert(tonumber(value), word) * 1e6
    else
      name = word
    end
  end
  local row = rows[name]
  if not row then error("there is no row " .. tostring(name)) end
  local samples, unit = row(options)
  for i, v in ipairs(samples) do samples[i] = ("%.3f"):format(v) end
  print(('{"row": "%s", "unit": "%s", "samples": [%s], "rss_kib": %s, "threads": 0}'):format(name, unit or "ns",
    table.concat(samples, ", "), peak_kib()))
end

return harness
