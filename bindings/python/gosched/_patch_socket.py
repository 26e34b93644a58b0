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
import contextlib
import errno
import functools
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from gosched._gosched import _recv, _recv_into, _send, _spawn, _wait_socket, _wake_closed, current
from gosched._patch import Replacements

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_base = _socket.socket
_DONTWAIT = _socket.MSG_DONTWAIT
_WAITALL = _socket.MSG_WAITALL
_type: Callable[[socket.socket], int] = vars(_base)["type"].__get__
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


# Nobody sends to it.  What a receiving method thinks of its arguments, it says here without a wait.
_silent = _base(_socket.AF_UNIX, _socket.SOCK_DGRAM)
_silent.settimeout(0)


def _receive(sock: socket.socket, flags: int, method: Callable[[socket.socket, int], T]) -> T:
    """method(sock, flags) is a receiving method of the class below."""
    timeout = sock.gettimeout()
    if flags & (_DONTWAIT | _socket.MSG_ERRQUEUE):
        return method(sock, flags)
    if timeout is not None or flags & _WAITALL:  # which takes what there is with MSG_DONTWAIT
        with contextlib.suppress(BlockingIOError):
            return method(cast(socket.socket, _silent), flags)
        _wait_socket(sock, False, timeout)
        return method(sock, flags)
    while True:
        with contextlib.suppress(BlockingIOError):
            return method(sock, flags | _DONTWAIT)
        _wait_socket(sock, False, None)


def _send_once(
    sock: socket.socket, flags: int, end: float | None, method: Callable[[int], int]
) -> int:
    """method(flags) is a sending method of the class below."""
    if flags & _DONTWAIT:
        return method(flags)
    if end is not None:
        _wait_socket(sock, True, _left(end))
        return method(flags)
    while True:
        with contextlib.suppress(BlockingIOError):
            return method(flags | _DONTWAIT)
        _wait_socket(sock, True, None)


# ---- receiving ----


@_like("recv")
def _recv_bytes(self: socket.socket, bufsize: int, flags: int = 0, /) -> bytes:
    if not _may_wait(self):
        return _base.recv(self, bufsize, flags)
    if flags:
        return _receive(self, flags, lambda sock, flags: _base.recv(sock, bufsize, flags))
    return _recv(self, bufsize, 0, self.gettimeout())


@_like("recv_into")
def _recv_buffer(self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    if not _may_wait(self):
        return _base.recv_into(self, buffer, nbytes, flags)
    if flags:
        return _receive(
            self, flags, lambda sock, flags: _base.recv_into(sock, buffer, nbytes, flags)
        )
    return _recv_into(self, buffer, nbytes, 0, self.gettimeout())


@_like("recvfrom")
def _recvfrom(self: socket.socket, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
    if not _may_wait(self):
        return _base.recvfrom(self, bufsize, flags)
    return _receive(self, flags, lambda sock, flags: _base.recvfrom(sock, bufsize, flags))


@_like("recvfrom_into")
def _recvfrom_into(
    self: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0
) -> tuple[int, Any]:
    if not _may_wait(self):
        return _base.recvfrom_into(self, buffer, nbytes, flags)
    return _receive(
        self, flags, lambda sock, flags: _base.recvfrom_into(sock, buffer, nbytes, flags)
    )


@_like("recvmsg")
def _recvmsg(self: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    if not _may_wait(self):
        return _base.recvmsg(self, bufsize, ancbufsize, flags)
    return _receive(
        self, flags, lambda sock, flags: _base.recvmsg(sock, bufsize, ancbufsize, flags)
    )


@_like("recvmsg_into")
def _recvmsg_into(self: socket.socket, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> Any:
    if not _may_wait(self):
        return _base.recvmsg_into(self, buffers, ancbufsize, flags)
    buffers = list(buffers)  # it is tried more than once
    return _receive(
        self, flags, lambda sock, flags: _base.recvmsg_into(sock, buffers, ancbufsize, flags)
    )


# ---- sending ----


def _sends_all(sock: socket.socket) -> bool:
    return sock.gettimeout() is None and _type(sock) == _socket.SOCK_STREAM


@_like("send")
def _send_some(self: socket.socket, data: Any, flags: int = 0, /) -> int:
    if not _may_wait(self) or flags & _DONTWAIT:
        return _base.send(self, data, flags)
    return _send(self, data, flags, self.gettimeout(), _sends_all(self))


@_like("sendall")
def _send_all(self: socket.socket, data: Any, flags: int = 0, /) -> None:
    if not _may_wait(self) or flags & _DONTWAIT:
        return _base.sendall(self, data, flags)
    _send(self, data, flags, self.gettimeout(), True)
    return None


@_like("sendto")
def _sendto(self: socket.socket, data: Any, *args: Any) -> int:
    if not _may_wait(self) or len(args) not in (1, 2):
        return _base.sendto(self, data, *args)
    flags, address = args if len(args) == 2 else (0, args[0])
    if not isinstance(flags, int):
        return _base.sendto(self, data, *args)
    end = _end_of(self.gettimeout())
    return _send_once(self, flags, end, lambda flags: _base.sendto(self, data, flags, address))


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
    if flags & _DONTWAIT or not _sends_all(self):
        return sent
    whole = sum(memoryview(each).nbytes for each in buffers)
    if sent < whole:
        _send(self, memoryview(b"".join(buffers))[sent:], flags, None, True)
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
    "recv": _recv_bytes,
    "recv_into": _recv_buffer,
    "recvfrom": _recvfrom,
    "recvfrom_into": _recvfrom_into,
    "recvmsg": _recvmsg,
    "recvmsg_into": _recvmsg_into,
    "send": _send_some,
    "sendall": _send_all,
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
