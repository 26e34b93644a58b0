---@meta gosched.socket
-- Annotations of gosched.socket.  Results and error texts are luasocket's, whose reference tells the
-- rest: what its objects wait for, other green threads do not.

---A socket of luasocket that waits in the scheduler's poller: its methods and their results.
---@class gosched.socketobject

---@class gosched.socket
local socket = {}

---@return gosched.socketobject? master
---@return string? error
function socket.tcp() end
---@return gosched.socketobject? master
---@return string? error
function socket.tcp4() end
---@return gosched.socketobject? master
---@return string? error
function socket.tcp6() end
---@return gosched.socketobject? unconnected
---@return string? error
function socket.udp() end
---@return gosched.socketobject? unconnected
---@return string? error
function socket.udp4() end
---@return gosched.socketobject? unconnected
---@return string? error
function socket.udp6() end

---A client.
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@param family? "inet"|"inet6"
---@return gosched.socketobject? client
---@return string? error
function socket.connect(host, port, local_host, local_port, family) end
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return gosched.socketobject? client
---@return string? error
function socket.connect4(host, port, local_host, local_port) end
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return gosched.socketobject? client
---@return string? error
function socket.connect6(host, port, local_host, local_port) end

---A server that listens.
---@param host string "*" for all addresses
---@param port integer|string 0: any that is free
---@param backlog? integer
---@return gosched.socketobject? server
---@return string? error
function socket.bind(host, port, backlog) end

---Waits until one can be read from or written to.
---@param receivers? gosched.socketobject[]
---@param senders? gosched.socketobject[]
---@param timeout? number seconds; nil or negative: as long as it takes
---@return gosched.socketobject[] readable also by object: its place
---@return gosched.socketobject[] writable
---@return string? error "timeout"
function socket.select(receivers, senders, timeout) end

---@param seconds number
function socket.sleep(seconds) end

return socket
