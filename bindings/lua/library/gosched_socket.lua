---@meta gosched.socket
-- Annotations of gosched.socket.  Names, results and error texts are luasocket's; what an object here
-- waits for, other green threads do not.  docs/lua-socket.md tells it by examples.

---What both kinds of sockets have. "May park" means: the green thread waits in the scheduler's poller while others run, until the operation can be done, the socket's time is over, or it is closed. What must wait is called inside `gosched.run`; a green thread that is cancelled there gets the error `gosched.cancelled`, one whose `gosched.timeout` is over `gosched.timeout`.
---@class gosched.socketobject
local object = {}
---How long an operation waits. Kinds "b" and "t" ("r" is the same) are two limits, of which the earlier one counts. Unlike luasocket's, "b" is a limit of the whole operation too, not of each of its waits.
---@param seconds? number nil or negative: as long as it takes; 0: never wait
---@param kind? "b"|"t"|"r" "b"
---@return 1
function object:settimeout(seconds, kind) end
---@return number block of kind "b"; -1: none
---@return number total of kind "t"; -1: none
function object:gettimeout() end
---Closes it. What waits for it in another green thread ends: with nil and "closed". A to-be-closed variable does it at the end of the block. Does not park.
---@return 1
function object:close() end
---@return string? address of the peer; nil: it is not connected
---@return string|integer port or the error
---@return string? family
function object:getpeername() end
---@return string? address its own
---@return string|integer port or the error
---@return string? family
function object:getsockname() end
---@return "inet"|"inet6"
function object:getfamily() end
---@param name string "reuseaddr", "keepalive", "tcp-nodelay", "linger", "broadcast", …
---@return any value nil: an error
---@return string? error
function object:getoption(name) end
---@param name string
---@param value? any
---@return 1? done
---@return string? error
function object:setoption(name, value) end
---@return integer # the descriptor; -1: it is closed
function object:getfd() end
---Gives it another descriptor; the one it had is neither closed nor taken from the poller.
---@param fd integer
function object:setfd(fd) end
---@return boolean # whether something is buffered that was not received yet
function object:dirty() end

---A TCP socket: one that is neither, a server that listens, or a client.
---@class gosched.tcp: gosched.socketobject
local tcp = {}
---Waits for a client. May park.
---@return gosched.tcp? client with no limit of time
---@return string? error "timeout", "closed", or what the system says
function tcp:accept() end
---Does not park; a name is looked up in place.
---@param address string "*" for all
---@param port integer|string 0: any that is free
---@return 1? done
---@return string? error
function tcp:bind(address, port) end
---Connects to the first address of the name that answers. A name is looked up by libc while others run, for which no limit counts. May park.
---@param host string
---@param port integer|string
---@return 1? done
---@return string? error "timeout", "host not found", or what the system says
function tcp:connect(host, port) end
---@param backlog? integer
---@return 1? done
---@return string? error
function tcp:listen(backlog) end
---Receives a line ("*l"), up to the end ("*a"), or so many bytes. May park.
---@param pattern? "*l"|"*a"|"l"|"a"|integer "*l"
---@param prefix? string what the result begins with; a number of bytes counts it
---@return string? data
---@return string? error "timeout", "closed", or what the system says
---@return string? partial with an error: what was received until then, the prefix included
function tcp:receive(pattern, prefix) end
---Sends all of it. May park, also more than once.
---@param data string
---@param from? integer 1
---@param to? integer -1; both as string.sub takes them
---@return integer? last index of the last byte sent
---@return string? error
---@return integer? partial with an error: index of the last byte sent until then
function tcp:send(data, from, to) end
---@param how? "both"|"receive"|"send" "both"
---@return 1
function tcp:shutdown(how) end
---@return integer received bytes
---@return integer sent bytes
---@return number age seconds
function tcp:getstats() end
---@param received? integer
---@param sent? integer
---@param age? number
---@return 1
function tcp:setstats(received, sent, age) end

---A UDP socket.
---@class gosched.udp: gosched.socketobject
local udp = {}
---Sends and receives with this peer only; "*": with all again. Does not park; a name is looked up in place.
---@param address string
---@param port? integer|string
---@return 1? done
---@return string? error
function udp:setpeername(address, port) end
---Does not park; a name is looked up in place.
---@param address string
---@param port integer|string
---@return 1? done
---@return string? error
function udp:setsockname(address, port) end
---A datagram from anybody, or from its peer. May park.
---@param size? integer how much of it is wanted
---@return string? data
---@return string? error "timeout", "closed", "refused", …
function udp:receive(size) end
---The same, with whom it is from; for a socket without a peer. May park.
---@param size? integer
---@return string? data
---@return string address or the error
---@return integer? port
function udp:receivefrom(size) end
---Sends a datagram to its peer. May park.
---@param data string
---@return integer? sent bytes
---@return string? error
function udp:send(data) end
---Sends a datagram; for a socket without a peer. May park.
---@param data string
---@param address string an address, no name
---@param port integer|string
---@return integer? sent bytes
---@return string? error
function udp:sendto(data, address, port) end

---What is not here (dns, gettime, protect, newtry, skip, sink, source, …) is luasocket's own, and keeps the turn.
---@class gosched.socket
---@field [string] any
local socket = {}

---A TCP socket of the family that it will be bound or connected to. These six do not park.
---@return gosched.tcp? master
---@return string? error
function socket.tcp() end
---@return gosched.tcp? master
---@return string? error
function socket.tcp4() end
---@return gosched.tcp? master
---@return string? error
function socket.tcp6() end
---@return gosched.udp? unconnected
---@return string? error
function socket.udp() end
---@return gosched.udp? unconnected
---@return string? error
function socket.udp4() end
---@return gosched.udp? unconnected
---@return string? error
function socket.udp6() end

---A client: a TCP socket that is connected. A name is looked up by libc while others run. May park; `gosched.timeout` limits it.
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@param family? "inet"|"inet6"
---@return gosched.tcp? client
---@return string? error
function socket.connect(host, port, local_host, local_port, family) end
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return gosched.tcp? client
---@return string? error
function socket.connect4(host, port, local_host, local_port) end
---@param host string
---@param port integer|string
---@param local_host? string
---@param local_port? integer|string
---@return gosched.tcp? client
---@return string? error
function socket.connect6(host, port, local_host, local_port) end

---A server that listens. Does not park; a name is looked up in place.
---@param host string "*" for all addresses
---@param port integer|string 0: any that is free
---@param backlog? integer
---@return gosched.tcp? server
---@return string? error
function socket.bind(host, port, backlog) end

---Waits until one can be read from or written to. Objects of luasocket itself may be among them. May park.
---@param receivers? (gosched.socketobject|userdata)[]
---@param senders? (gosched.socketobject|userdata)[]
---@param timeout? number seconds; nil or negative: as long as it takes
---@return gosched.socketobject[] readable also by object: its place
---@return gosched.socketobject[] writable
---@return string? error "timeout"
function socket.select(receivers, senders, timeout) end

---gosched.sleep.
---@param seconds number negative: 0
function socket.sleep(seconds) end

return socket
