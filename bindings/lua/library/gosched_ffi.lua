---@meta gosched.ffi
-- LuaCATS annotations of gosched.ffi, for lua-language-server (workspace.library).  docs/lua-ffi.md
-- explains what stands here in short.
-- luacheck: ignore 212 241

---A C type; called, it makes C data as ffi.new does.
---@class gosched.ctype
---@overload fun(...: any): gosched.cdata
---@field [string] any an enumerator of an enum, or what __index of its metatable has

---C data: a number, a pointer, a struct, an array, a complex number, or a function pointer.
---@class gosched.cdata
---@field [string|integer] any members and elements; indices from 0
---@operator add(any): any
---@operator sub(any): any
---@operator mul(any): any
---@operator div(any): any
---@operator mod(any): any
---@operator idiv(any): any
---@operator pow(any): any
---@operator unm: any
---@operator band(any): integer
---@operator bor(any): integer
---@operator bxor(any): integer
---@operator shl(any): integer
---@operator shr(any): integer
---@operator bnot: integer
---@overload fun(...: any): any

---A function pointer that ffi.cast has made of a Lua function.
---@class gosched.callback: gosched.cdata
local callback = {}

---C must not call it any more.
function callback:free() end

---Another Lua function for the same C function.
---@param f function
function callback:set(f) end

---A library: what is declared are its fields: functions, constants, variables.
---@class gosched.library
---@field [string] any

---A C type: C's spelling, a ctype, or C data of that type.
---@alias gosched.ctypelike string|gosched.ctype|gosched.cdata

---@class gosched.loadoptions
---@field global? boolean its symbols are seen by libraries loaded later, and in ffi.C
---@field blocking? string[] functions that block: they hand the turn on at once
---@field critical? string[] short functions that never block: they keep the turn, and cost less
---@field nocallback? string[] functions that never call back

---@class gosched.bindoptions
---@field blocking? boolean
---@field critical? boolean
---@field nocallback? boolean
---@field unblock? fun(...: any) makes the call return; gets the call's arguments
---@field timeout? number seconds; needs unblock

---@class gosched.ffi
---@field C gosched.library the process itself
---@field nullptr gosched.cdata NULL, as void *
---@field arch "x64"|"arm64"
---@field os "Linux"
local ffi = {}

---Remembers C declarations.  Raises an error with line and column.
---@param declarations string C as in a header after the preprocessor
---@param ... string|integer|gosched.ctype|gosched.cdata what stands for each '$'
function ffi.cdef(declarations, ...) end

---Loads a library: "z" is libz.so, "libz.so.1" and paths are as they are.
---@param name string
---@param global? boolean|gosched.loadoptions
---@return gosched.library
function ffi.load(name, global) end

---Zeroed C data, initialised by the further values.
---@param ct gosched.ctypelike
---@param ... any for "int[?]" and structs that end so: how many elements; then initialisers
---@return gosched.cdata
function ffi.new(ct, ...) end

---A number or pointer of another type; a Lua function becomes a callback.
---@param ct gosched.ctypelike
---@param value any
---@return gosched.cdata
function ffi.cast(ct, value) end

---@param ct gosched.ctypelike
---@param ... string|integer|gosched.ctype|gosched.cdata what stands for each '$'
---@return gosched.ctype
function ffi.typeof(ct, ...) end

---Bytes; nil if unknown.
---@param ct gosched.ctypelike
---@param nelem? integer for types that end in an array without a size
---@return integer?
function ffi.sizeof(ct, nelem) end

---@param ct gosched.ctypelike
---@return integer
function ffi.alignof(ct) end

---Bytes from the start; of a bit-field also its first bit and its width; nothing for no member.
---@param ct gosched.ctypelike
---@param field string
---@return integer? offset
---@return integer? first
---@return integer? width
function ffi.offsetof(ct, field) end

---@param ct gosched.ctypelike
---@param value any
---@return boolean
function ffi.istype(ct, value) end

---Calls finalizer(value) when value is garbage, or a to-be-closed variable of it ends; nil: no more.
---@param value gosched.cdata
---@param finalizer function?
---@return gosched.cdata value
function ffi.gc(value, finalizer) end

---Gives a struct or union a metatable, once and for good.
---@param ct gosched.ctypelike
---@param metatable table
---@return gosched.ctype
function ffi.metatype(ct, metatable) end

---@param to gosched.cdata
---@param from gosched.cdata|string
---@param length? integer bytes; a string without it: all of it and a NUL
function ffi.copy(to, from, length) end

---@param to gosched.cdata
---@param length integer bytes
---@param byte? integer 0
function ffi.fill(to, length, byte) end

---@param pointer gosched.cdata|string
---@param length? integer bytes; else up to a NUL or the array's end
---@return string
function ffi.string(pointer, length) end

---errno of this green thread's last foreign call; with a value: sets it, and returns the old one.
---@param value? integer
---@return integer
function ffi.errno(value) end

---The same C function with hints of its own, and a way to end a call early: that raises
---gosched.cancelled, or returns gosched.timeout.
---@param f function|gosched.cdata
---@param options gosched.bindoptions
---@return function
function ffi.bind(f, options) end

---@param pointer gosched.cdata|lightuserdata|nil
---@return boolean
function ffi.isnull(pointer) end

---tonumber, also for C data.
---@param value any
---@param base? integer
---@return number?
function ffi.tonumber(value, base) end

---@param name string "64bit", "32bit", "le", "be", "fpu", "softfp", "hardfp", "win", …
---@return boolean
function ffi.abi(name) end

return ffi
