-- luacheck's settings for the Lua in the tree.
std = "lua54"
-- Annotations are declarations: their functions do nothing with their arguments.
files["bindings/lua/library"] = {ignore = {"212", "241", "631"}}
-- To-be-closed variables are there to be closed.
files["tests/lua"] = {ignore = {"241", "211/held", "211/t", "211/[abcx]", "211/closer", "211/child", "211/longer", "211/g"}}
files["**/*.rockspec"] = {std = "rockspec"}
