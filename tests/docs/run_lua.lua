-- run_lua.lua PAGE: runs the Lua code of a page, which is one program.

local page = assert(arg[1], "which page?")
if page:find "socket" and not pcall(require, "socket") then
  print "skipped: luasocket is not installed (Debian: lua-socket)"
  os.exit(77)
end
local out, inside = {}, false
for line in io.lines(page) do
  if line:find "^```" then
    inside = line == "```lua"
    line = ""
  end
  out[#out + 1] = inside and line or "" -- so that lines are numbered as in the page
end
local program = table.concat(out, "\n")
assert(program:find "%S", "there is no Lua code in " .. page)
assert(load(program, "@" .. page))()
