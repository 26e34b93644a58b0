---@meta gosched
-- Annotations of the module gosched for lua-language-server (LuaCATS).  Add this folder to
-- workspace.library.  gosched.ffi has annotations of its own.

---A blocked green thread lets others run; see docs/lua.md.
---@class gosched
---@field _VERSION string
---@field cancelled userdata the error value of what waits in a green thread that was cancelled
---@field timeout gosched.TimeoutValue the error value of a timeout, and what `g:join(s)` gives; called with seconds it makes one
---@field socket gosched.socket luasocket's functions and objects, waiting in the scheduler's poller (needs luasocket)
---@field null userdata null in a shared channel: a value, unlike nil
---@field ffi gosched.ffi C functions, under the names of LuaJIT's FFI
local gosched = {}

---@class gosched.TimeoutValue
---@overload fun(seconds: number): gosched.Timeout

---A to-be-closed value: until it is closed, waits of its green thread end by its time, and raise `gosched.timeout`.
---@class gosched.Timeout
local Timeout = {}
---Ends it before its block does.
function Timeout:close() end
---@return boolean # whether its time has come
function Timeout:expired() end

---A green thread. As a to-be-closed variable it is cancelled and waited for at the end of the block.
---@class gosched.Green
---@field id integer
---@field name string "file.lua:12", where its function is defined
local Green = {}
---Waits until it has ended, `timeout` seconds at most.
---@param timeout? number
---@return any ... # the function's results, or `gosched.timeout`; its error is raised
function Green:join(timeout) end
---What it waits in, now and later, raises `gosched.cancelled`.
function Green:cancel() end
---@return "running"|"returned"|"failed"|"cancelled" state
---@return string? where the operation that it waits in
function Green:state() end

---Runs `f(...)` as the main green thread; when it returns, what still runs is cancelled and waited for.
---@param f function
---@param ... any
---@return any ... # f's results
function gosched.run(f, ...) end

---An interpreter of another language that runs in this process; see docs/embed.md. As a to-be-closed variable it is cancelled and waited for at the end of the block.
---@class gosched.Guest
---@field language string
---@field name string of its source
local Guest = {}
---Waits until it has ended, `timeout` seconds at most.
---@param timeout? number
---@return any result what it returned, by the rules of shared channels (what cannot be carried: its text); nil: nothing, or it has exited with status 0; or `gosched.timeout`. Its error is raised as a gosched.GuestError, `gosched.cancelled` if it was cancelled
function Guest:join(timeout) end
---What its main green thread waits in fails, now and later; Tcl is also interrupted where it computes.
function Guest:cancel() end
---@return "running"|"returned"|"failed"|"exited"|"cancelled" state
function Guest:state() end

---The error that a guest ended with; tostring gives all of it.
---@class gosched.GuestError
---@field language string
---@field name string
---@field message string
---@field traceback string its language's; "" if there is none
---@field status? integer what it gave to its exit

---@class gosched.EmbedOptions
---@field name? string of the source, in its tracebacks; default: the language
---@field args? string[] the arguments of the program that the source is

---Starts another language's interpreter in the process, on a thread of its own, with green threads of its own. At the end of gosched.run it is cancelled and waited for.
---@param language string "python", "tcl", "lua"
---@param source string
---@param options? gosched.EmbedOptions
---@return gosched.Guest
function gosched.embed(language, source, options) end

---Starts `f(...)` as a green thread.
---@param f function
---@param ... any
---@return gosched.Green
function gosched.go(f, ...) end

---@param seconds number
function gosched.sleep(seconds) end

---Lets others run.
function gosched.yield() end

---Whether green threads that compute are made to give others a turn (they are).
---@param on boolean
---@return boolean # what was so before
function gosched.preempt(on) end

---@class gosched.Chan
---@operator len: integer
local Chan = {}
---Waits for room or a receiver. Raises an error for nil and on a closed channel.
---@param value any not nil
---@param timeout? number
---@return boolean sent
---@return "timeout"? why
function Chan:send(value, timeout) end
---@param timeout? number
---@return any value nil if nothing was received
---@return boolean ok
---@return "closed"|"timeout"? why
function Chan:recv(timeout) end
---For `for v in ch:iter() do`: what is received until it is closed.
---@return fun(ch: gosched.Chan): any
---@return gosched.Chan
function Chan:iter() end
---No more is sent; what is buffered can still be received.
function Chan:close() end
---@return integer # values buffered now
function Chan:len() end
---@return integer # room for so many
function Chan:cap() end
---@return boolean
function Chan:closed() end

---@param capacity? integer 0: a sender waits for a receiver
---@return gosched.Chan
function gosched.chan(capacity) end

---A channel that other Lua states and other languages of the process can open, too. As a to-be-closed variable it is released at the end of the block.
---@class gosched.Shared
---@operator len: integer
local Shared = {}
---Sends a copy; waits for room or a receiver. Raises an error for what cannot be carried (it says what and where) and on a closed channel.
---@param value boolean|number|string|table|userdata a string must be UTF-8; `gosched.bytes`, `gosched.map`, `gosched.null`
---@param timeout? number
---@return boolean sent
---@return "timeout"? why
function Shared:send(value, timeout) end
---@param timeout? number
---@return any value nil if nothing was received, `gosched.null` if null was
---@return boolean ok
---@return "closed"|"timeout"|"bytes"? why or that the string is bytes, not text
function Shared:recv(timeout) end
---Sends without waiting, also outside of `gosched.run`.
---@param value boolean|number|string|table|userdata
---@return boolean sent
---@return "full"? why
function Shared:try_send(value) end
---Receives without waiting, also outside of `gosched.run`.
---@return any value
---@return boolean ok
---@return "closed"|"empty"|"bytes"? why
function Shared:try_recv() end
---For `for v in ch:iter() do`: what is received until it is closed.
---@return fun(ch: gosched.Shared): any
---@return gosched.Shared
function Shared:iter() end
---No more is sent, by nobody in any language; what is buffered can still be received.
function Shared:close() end
---@return integer # values buffered now
function Shared:len() end
---@return integer # room for so many
function Shared:cap() end
---@return boolean
function Shared:closed() end
---@return string
function Shared:name() end
---This state has it open no more; an error while one of its green threads waits there.
function Shared:release() end

---Opens the channel of that name; it lives as long as somebody has it open.
---@param name string 1 to 255 bytes of UTF-8
---@param capacity? integer 0: a sender waits for a receiver; nil: what it has if it is open, else 0
---@return gosched.Shared
function gosched.shared(name, capacity) end

---A string as bytes, which need not be UTF-8, for a shared channel.
---@param s string
---@return userdata # tostring(b) and #b work
function gosched.bytes(s) end

---Marks a table as a map for shared channels, also if it is empty or has the keys 1..n. Maps that are received are marked.
---@generic T: table
---@param t T
---@return T # t
function gosched.map(t) end

---Does one of the cases `{ch, "recv"}` and `{ch, "send", value}`: one that is ready, or the first that becomes ready.
---@param cases table with `timeout` in seconds, if it should not wait for ever
---@return integer? index of the case; nil: the timeout
---@return any value what was received, or "timeout"
---@return boolean? ok false: the channel is closed
function gosched.select(cases) end

---As a to-be-closed variable it is unlocked at the end of the block: `local held <close> = m:lock()`.
---@class gosched.Mutex
local Mutex = {}
---@param timeout? number
---@return gosched.Mutex? # itself; nil: the timeout
---@return "timeout"? why
function Mutex:lock(timeout) end
---@return gosched.Mutex? # nil: it is locked
function Mutex:trylock() end
function Mutex:unlock() end
---@return boolean
function Mutex:locked() end

---@return gosched.Mutex
function gosched.mutex() end

---@class gosched.Waitgroup
local Waitgroup = {}
---@param n? integer 1
function Waitgroup:add(n) end
function Waitgroup:done() end
---@param timeout? number
---@return boolean # false: the timeout
---@return "timeout"? why
function Waitgroup:wait(timeout) end

---@return gosched.Waitgroup
function gosched.waitgroup() end

---A to-be-closed value whose block ends when all its green threads have; the first error cancels the rest and is raised.
---@class gosched.Taskgroup
local Taskgroup = {}
---@param f function
---@param ... any
---@return gosched.Green
function Taskgroup:go(f, ...) end
function Taskgroup:cancel() end
---What the end of the block does.
function Taskgroup:wait() end

---@return gosched.Taskgroup
function gosched.taskgroup() end

---Waits for a descriptor.
---@param fd integer|file*|table a number, a file, or what has a method getfd
---@param events? "r"|"w"|"rw" "r"
---@param timeout? number
---@return "r"|"w"|"rw"|nil ready
---@return string? why "timeout", "closed", or what the system says
function gosched.wait(fd, events, timeout) end

---Calls `f(...)` on one OS thread that is no other green thread's meanwhile.
---@param f function
---@param ... any
---@return any ...
function gosched.os_thread(f, ...) end

---Calls a C function without upvalues outside of this VM, with copies of the arguments, while others run.
---@param f function
---@param ... any nil, booleans, numbers, strings, light userdata, tables of them
---@return any ... # copies of the results
function gosched.blocking(f, ...) end

---@return table<string, integer> # the scheduler's counters, as docs/metrics.md lists them
function gosched.stats() end

---@class gosched.Histogram: integer[] [i]: how many took up to 1000 << (i - 1) nanoseconds, the last one more
---@field count integer
---@field sum number seconds, of all

---@return table<string, gosched.Histogram> # the times that the scheduler has measured
function gosched.histograms() end

---@return string # all of stats and histograms in the text format of Prometheus
function gosched.metrics_text() end

---@class gosched.G a green thread, of any language
---@field id integer
---@field name string
---@field state "idle"|"runnable"|"running"|"syscall"|"waiting"|"dead"
---@field wait_reason string what it waits in, or ""
---@field domain string
---@field call? string the foreign call that it is in
---@field m? integer the OS thread that runs it, or ran it last
---@field locked_m? integer the only one that may run it
---@field system boolean
---@field cancelled boolean
---@field detached boolean it makes a call for which nobody waits any more
---@field since? number seconds, monotonic: since when it waits, or blocks in its call, at the latest

---@class gosched.M an OS thread of the scheduler
---@field id integer
---@field tid integer
---@field mode "inside"|"call"|"user"|"stopped" in the scheduler, in a foreign call, in user code, held up
---@field p? integer the P that it has
---@field domain? string that P's
---@field g? integer the green thread that it runs
---@field locked_g? integer the only one that it may run
---@field incgo boolean in foreign code right now
---@field ncgo integer foreign calls under way
---@field ncgocall integer foreign calls ever made
---@field idle boolean
---@field spinning boolean

---@class gosched.P the right to run in a domain
---@field domain string
---@field id integer
---@field state "idle"|"running"|"syscall"|"stopped"|"dead"
---@field m? integer the OS thread that has it
---@field runq integer green threads in its own queue
---@field schedtick integer
---@field syscalltick integer

---@class gosched.Snapshot
---@field when number seconds, monotonic
---@field gs gosched.G[]
---@field ms gosched.M[]
---@field ps gosched.P[]

---@return gosched.Snapshot # every green thread, OS thread and P, of all languages; nothing is stopped for it
function gosched.snapshot() end

---@class gosched.Profiled
---@field name string
---@field blocked integer calls during which others got this one's turn, those under way included
---@field blocked_s number seconds that these took
---@field longest_s number
---@field retakes integer how often the scheduler noticed only after a while that one blocks
---@field samples integer times that one which nobody waited for was seen under way
---@field sampled_s number an estimate of the time in such calls
---@field now integer calls under way right now

---@return gosched.Profiled[] # the C functions that block, those that took the most time first
function gosched.profile() end

---Writes what the scheduler and every green thread do, with stacks of their own language; those of
---other languages in the process are asked for, and told as busy if they do not answer in time
---(GOSCHED_DUMP_WAIT_MS).  Others run meanwhile.
---@param file? file* io.stderr
function gosched.dump(file) end

---A to-be-closed value: until then what the scheduler does is recorded.
---@class gosched.Trace
local Trace = {}
---Writes the file.
function Trace:stop() end

---@param path string of the file, in the format of Chrome's traces
---@return gosched.Trace
function gosched.trace(path) end

return gosched
