-- check.lua: runs the cases of a test file and exits with 1 if one fails.
--
--   local check = require "check"
--   check.case("what holds", function() check.equal(1 + 1, 2) end)
--   check.done()

local check = {}
local failed, passed = 0, 0

-- A case that raises an error fails; the others still run.
function check.case(name, body)
  local ok, err = xpcall(body, debug.traceback)
  if ok then
    passed = passed + 1
    print("ok      " .. name)
  else
    failed = failed + 1
    print("FAILED  " .. name .. "\n" .. tostring(err))
  end
end

function check.equal(got, want)
  if got ~= want or math.type(got) ~= math.type(want) then
    error(("got %s, expected %s"):format(tostring(got), tostring(want)), 2)
  end
end

function check.truth(value, what)
  if not value then error((what or "this") .. " does not hold", 2) end
end

-- body must raise an error whose text contains each of the given parts.
function check.raises(body, ...)
  local ok, err = pcall(body)
  if ok then error("no error was raised", 2) end
  for _, part in ipairs {...} do
    if not tostring(err):find(part, 1, true) then
      error(("the error is\n  %s\nwithout\n  %s"):format(tostring(err), part), 2)
    end
  end
  return err
end

function check.done()
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0 and passed > 0)
end

return check
