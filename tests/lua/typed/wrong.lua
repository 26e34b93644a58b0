-- wrong.lua: what lua-language-server has to find, by the annotations: at each line that says so, and
-- nowhere else.  tools/lua_annotations.py looks at it; nobody runs it.

local gosched = require "gosched"
local ffi, socket = gosched.ffi, gosched.socket

gosched.nothing() -- finds undefined-field
gosched.go(5) -- finds param-type-mismatch
gosched.sleep "long" -- finds param-type-mismatch
gosched.sleep() -- finds missing-parameter

local ch = gosched.chan "many" -- finds param-type-mismatch
ch:recv(1, 2) -- finds redundant-parameter
ch:try_send(1) -- finds undefined-field

local g = gosched.go(print)
---@type integer
local name = g.name -- finds assign-type-mismatch
g:kill(name) -- finds undefined-field

ffi.nothing() -- finds undefined-field
ffi.cdef(ch) -- finds param-type-mismatch
ffi.new() -- finds missing-parameter

local c = socket.connect("localhost", 80)
c:receive() -- finds need-check-nil
local server = assert(socket.bind("*", 0))
server:listen "many" -- finds param-type-mismatch
server:recv() -- finds undefined-field
