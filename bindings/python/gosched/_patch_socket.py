"""socket.socket on green threads.

A socket that would wait is tried without waiting, and if that is in vain, its descriptor is waited
for in the netpoller.  Trying must not change the socket for those who use it at the same time on
an ordinary thread or in another process, so O_NONBLOCK is not set; instead

- recv and send get MSG_DONTWAIT.  CPython polls a socket that has a timeout before it calls recv;
  so that one is waited for first, and then found ready.
- accept has no such flag, so it is waited for first.  If somebody else, of another process, takes
  the connection in between, accept blocks, as it does unpatched: a thread is held, others go on.
- connect is made with a timeout of 0 for the length of the system call.

A blocking send of a stream sends all; so does this one, in pieces.
"""

from __future__ import annotations

import _socket
import errno
import functools
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from gosched._gosched import _spawn, _wait_socket, _wake_closed, current
from gosched._patch import Replacements

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_base = _socket.socket
_DONTWAIT = _socket.MSG_DONTWAIT
_WAITALL = _socket.MSG_WAITALL
_give_up: type[Exception] = socket._GiveupOnSendfile  # type: ignore[attr-defined]


def _like(method: str) -> Callable[[F], F]:
    """Names and documents a replacement as what it replaces."""
    return functools.wraps(getattr(socket.socket, method))  # type: ignore[return-value]


def _end_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


def _may_wait(sock: socket.socket) -> bool:
    return current() is not None and sock.gettimeout() != 0


def _receive(sock: socket.socket, flags: int, method: Callable[[int], T]) -> T:
    """method(flags) is a receiving method of the class below."""
    timeout = sock.gettimeout()
    end = _end_of(timeout)
    # MSG_WAITALL with MSG_DONTWAIT takes what there is; and the error queue is never waited for.
    if timeout is None and not flags & (_WAITALL | _socket.MSG_ERRQUEUE):
        try:
            return method(flags | _DONTWAIT)
        except BlockingIOError:
            if flags & _DONTWAIT:
                raise
        while True:
            _wait_socket(sock, False, None)
            try:
                return method(flags | _DONTWAIT)
            except BlockingIOError:  # somebody else has taken it
                pass
    if flags & _DONTWAIT or flags & _socket.MSG_ERRQUEUE:
        return method(flags)
    _wait_socket(sock, False, _left(end))
    return method(flags)


def _send_once(
    sock: socket.socket, flags: int, end: float | None, method: Callable[[int], int]
) -> int:
    """method(flags) is a sending method of the class below."""
    if end is None:
        while True:
            try:
                return method(flags | _DONTWAIT)
            except BlockingIOError:
                if flags & _DONTWAIT:
                    raise
            _wait_socket(sock, True, None)
    _wait_socket(sock, True, _left(end))
    return method(flags)


def _send_rest(
    sock: socket.socket, view: memoryview, flags: int, end: float | None, sent: int
) -> None:
    def send(flags: int) -> int:
        return _base.send(sock, view[sent:], flags)

    while sent < len(view):
        sent += _send_once(sock, flags, end, send)


# ---- receiving ----


@_like("recv")
def _recv(self: socket.socket, bufsize: int, flags: int = 0, /) -> bytes:
    if not _may_wait(self):
        return _base.recv(self, bufsize, flags)
    return _receive(self, flags, lambda flags: _base.recv(self, bufsize, flags))


@_like("recv_into")
def _recv_into(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    if not _may_wait(self):
        return _base.recv_into(self, buffer, nbytes, flags)
    return _receive(self, flags, lambda flags: _base.recv_into(self, buffer, nbytes, flags))


@_like("recvfrom")
def _recvfrom(self: socket.socket, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
    if not _may_wait(self):
        return _base.recvfrom(self, bufsize, flags)
    return _receive(self, flags, lambda flags: _base.recvfrom(self, bufsize, flags))


@_like("recvfrom_into")
def _recvfrom_into(
    self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0
) -> tuple[int, Any]:
    if not _may_wait(self):
        return _base.recvfrom_into(self, buffer, nbytes, flags)
    return _receive(self, flags, lambda flags: _base.recvfrom_into(self, buffer, nbytes, flags))


@_like("recvmsg")
def _recvmsg(self: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    if not _may_wait(self):
        return _base.recvmsg(self, bufsize, ancbufsize, flags)
    return _receive(self, flags, lambda flags: _base.recvmsg(self, bufsize, ancbufsize, flags))


@_like("recvmsg_into")
def _recvmsg_into(
    self: socket.socket, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
) -> Any:
    if not _may_wait(self):
        return _base.recvmsg_into(self, buffers, ancbufsize, flags)
    buffers = list(buffers)  # it is tried more than once
    return _receive(self, flags, lambda flags: _base.recvmsg_into(self, buffers, ancbufsize, flags))


# ---- sending ----


def _sends_all(sock: socket.socket, flags: int) -> bool:
    return sock.gettimeout() is None and not flags & _DONTWAIT and sock.type == socket.SOCK_STREAM


@_like("send")
def _send(self: socket.socket, data: Any, flags: int = 0, /) -> int:
    if not _may_wait(self):
        return _base.send(self, data, flags)
    end = _end_of(self.gettimeout())
    sent = _send_once(self, flags, end, lambda flags: _base.send(self, data, flags))
    with memoryview(data) as view:
        if sent == view.nbytes or not _sends_all(self, flags):
            return sent
        with view.cast("B") as rest:
            _send_rest(self, rest, flags, end, sent)
            return len(rest)


@_like("sendall")
def _sendall(self: socket.socket, data: Any, flags: int = 0, /) -> None:
    if not _may_wait(self):
        return _base.sendall(self, data, flags)
    end = _end_of(self.gettimeout())
    sent = _send_once(self, flags, end, lambda flags: _base.send(self, data, flags))
    with memoryview(data) as view:
        if sent < view.nbytes:
            with view.cast("B") as rest:
                _send_rest(self, rest, flags, end, sent)
    return None


@_like("sendto")
def _sendto(self: socket.socket, data: Any, *args: Any) -> int:
    if not _may_wait(self) or len(args) not in (1, 2):
        return _base.sendto(self, data, *args)
    flags, address = args if len(args) == 2 else (0, args[0])
    if not isinstance(flags, int):
        return _base.sendto(self, data, *args)
    end = _end_of(self.gettimeout())
    return _send_once(
        self, flags, end, lambda flags: _base.sendto(self, data, flags, address)
    )


@_like("sendmsg")
def _sendmsg(
    self: socket.socket, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
) -> int:
    if not _may_wait(self):
        return _base.sendmsg(self, buffers, ancdata, flags, address)
    buffers, ancdata = list(buffers), list(ancdata)
    end = _end_of(self.gettimeout())
    sent = _send_once(
        self, flags, end, lambda flags: _base.sendmsg(self, buffers, ancdata, flags, address)
    )
    if not _sends_all(self, flags):
        return sent
    whole = sum(memoryview(each).nbytes for each in buffers)
    if sent < whole:
        _send_rest(self, memoryview(b"".join(buffers)), flags, end, sent)
    return whole


@_like("_sendfile_use_sendfile")
def _sendfile(self: socket.socket, file: Any, offset: int = 0, count: int | None = None) -> int:
    if _may_wait(self):
        raise _give_up("on a green thread send waits")
    return _original_sendfile(self, file, offset, count)


_original_sendfile: Callable[..., int] = socket.socket._sendfile_use_sendfile  # type: ignore[attr-defined]

# ---- connections ----


@_like("_accept")
def _accept(self: socket.socket) -> tuple[int, Any]:
    if _may_wait(self):
        _wait_socket(self, False, self.gettimeout())
    return _base._accept(self)  # type: ignore[attr-defined, no-any-return]


def _connect_errno(sock: socket.socket, address: Any) -> int:
    """0 or errno.  Raises TimeoutError, and what is wrong with the address."""
    timeout = _base.gettimeout(sock)
    _base.settimeout(sock, 0)
    try:
        code = _base.connect_ex(sock, address)
    finally:
        _base.settimeout(sock, timeout)
    if code == errno.EINPROGRESS:
        _wait_socket(sock, True, timeout)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code == errno.EAGAIN:  # a Unix socket whose queue is full, which tells nobody when it is not
        return _base.connect_ex(sock, address)
    return code


@_like("connect")
def _connect(self: socket.socket, address: Any, /) -> None:
    if not _may_wait(self):
        return _base.connect(self, address)
    code = _connect_errno(self, address)
    if code:
        raise OSError(code, os.strerror(code))
    return None


@_like("connect_ex")
def _connect_ex(self: socket.socket, address: Any, /) -> int:
    if not _may_wait(self):
        return _base.connect_ex(self, address)
    try:
        return _connect_errno(self, address)
    except TimeoutError:
        return errno.EWOULDBLOCK


@_like("_real_close")
def _real_close(self: socket.socket, _ss: type[_base] = _base) -> None:
    fd = _ss.detach(self)
    if fd >= 0:
        _wake_closed(fd)
        _socket.close(fd)


# ---- names ----


def _ignore(*_ended: object) -> None:
    pass


def _aside(original: Callable[..., T]) -> Callable[..., T]:
    """On a green thread of its own, so that whoever waits for it can be cancelled."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> T:
        if current() is None:
            return original(*args, **kwargs)
        green = _spawn(_ignore, original, *args, **kwargs)
        try:
            return green.result()
        except BaseException:
            green.cancel()  # if it has not begun; else nothing can end it
            raise

    return call


_METHODS: dict[str, Callable[..., Any]] = {
    "recv": _recv,
    "recv_into": _recv_into,
    "recvfrom": _recvfrom,
    "recvfrom_into": _recvfrom_into,
    "recvmsg": _recvmsg,
    "recvmsg_into": _recvmsg_into,
    "send": _send,
    "sendall": _sendall,
    "sendto": _sendto,
    "sendmsg": _sendmsg,
    "_sendfile_use_sendfile": _sendfile,
    "_accept": _accept,
    "connect": _connect,
    "connect_ex": _connect_ex,
    "_real_close": _real_close,
}
_NAMES = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


def replace(made: Replacements) -> None:
    for name, method in _METHODS.items():
        made.attribute(socket.socket, name, method)
    for name in _NAMES:
        made.function(_socket, name, _aside(getattr(_socket, name)))
