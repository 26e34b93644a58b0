-- transform.lua: the Lua part of polyglot.py.  Records come from one channel, rows go to another;
-- what is done to them is said by the user's script, whose path is the argument.

local gosched = require "gosched"
local rule = dofile(...)
local records, rows = gosched.shared("polyglot.records", 64), gosched.shared("polyglot.rows", 64)
local given, taken = 0, 0
for record in records:iter() do
  given = given + 1
  local row = rule(record)
  if row then
    taken = taken + 1
    rows:send(row)
  end
end
rows:close()
return ("%d of %d"):format(taken, given)
