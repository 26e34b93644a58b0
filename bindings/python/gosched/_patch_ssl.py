"""ssl.SSLSocket on green threads.

OpenSSL reads and writes the descriptor by itself, and only one with O_NONBLOCK makes it say what it
waits for.  So the first operation of a green thread on a connected SSLSocket takes it over: below,
in C, its timeout is 0 from then on, and what Python sees as its timeout is kept beside it.
Ordinary threads that use such a socket wait here, too, in poll.  It is given back when the socket
is a plain one again (unwrap, shutdown, detach), and by unpatch.

OpenSSL keeps in its object what the last operation waits for, and Python asks for that after the
GIL was released: a read and a write at once, each on a thread of its own, take the one's answer for
the other's, and see an end of the connection that is none.  So there is a lock around each attempt.
None of them blocks; who waits has let go of it.
"""

from __future__ import annotations

import _socket
import contextlib
import functools
import select
import ssl
import weakref
from _thread import LockType, allocate_lock
from collections.abc import Callable
from typing import Any, TypeVar

from gosched._gosched import _wait_socket, current
from gosched._patch import Replacements
from gosched._patch_socket import _end_of, _left

T = TypeVar("T")

_base = _socket.socket
_poll = select.poll
_KEPT = "_gosched_timeout"  # in the dictionary of a socket that was taken over
_LOCK = "_gosched_lock"  # and ever since

_taken: weakref.WeakSet[ssl.SSLSocket] = weakref.WeakSet()


def _take(sock: ssl.SSLSocket) -> None:
    if _KEPT not in vars(sock):
        vars(sock).setdefault(_LOCK, allocate_lock())
        vars(sock)[_KEPT] = _base.gettimeout(sock)
        _base.settimeout(sock, 0)
        _taken.add(sock)


def _give_back(sock: ssl.SSLSocket) -> None:
    if _KEPT in vars(sock):
        timeout = vars(sock).pop(_KEPT)
        _taken.discard(sock)
        with contextlib.suppress(OSError):  # it is closed
            _base.settimeout(sock, timeout)


def _give_all_back() -> None:
    for sock in list(_taken):
        _give_back(sock)


def _wait(sock: ssl.SSLSocket, write: bool, end: float | None, what: str) -> None:
    left = _left(end)
    if current() is not None:
        try:
            return _wait_socket(sock, write, left)
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None
    poll = _poll()
    poll.register(sock.fileno(), select.POLLOUT if write else select.POLLIN)
    if not poll.poll(None if left is None else left * 1000):
        raise TimeoutError(f"The {what} operation timed out")
    return None


def _waiting(name: str, what: str) -> Callable[..., Any]:
    original: Callable[..., Any] = getattr(ssl.SSLSocket, name)

    @functools.wraps(original)
    def method(self: ssl.SSLSocket, *args: Any, **kwargs: Any) -> Any:
        if self._sslobj is None or self.gettimeout() == 0:  # type: ignore[attr-defined]
            return original(self, *args, **kwargs)
        if current() is not None:
            _take(self)
        elif _KEPT not in vars(self):
            return original(self, *args, **kwargs)
        end = _end_of(self.gettimeout())
        lock: LockType = vars(self)[_LOCK]
        while True:
            try:
                with lock:
                    return original(self, *args, **kwargs)
            except ssl.SSLWantReadError:
                write = False
            except ssl.SSLWantWriteError:
                write = True
            _wait(self, write, end, what)

    return method


def _plain_after(name: str) -> Callable[..., Any]:
    """What makes a plain socket of it."""
    original: Callable[..., Any] = getattr(ssl.SSLSocket, name)

    @functools.wraps(original)
    def method(self: ssl.SSLSocket, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        _give_back(self)
        return result

    return method


def _detach(self: ssl.SSLSocket) -> int:
    _give_back(self)
    return super(ssl.SSLSocket, self).detach()


# ---- what is seen of its timeout ----


def _gettimeout(self: ssl.SSLSocket) -> float | None:
    kept = vars(self)
    if _KEPT in kept:
        timeout: float | None = kept[_KEPT]
        return timeout
    return _base.gettimeout(self)


def _settimeout(self: ssl.SSLSocket, value: float | None, /) -> None:
    _base.settimeout(self, value)
    if _KEPT in vars(self):
        vars(self)[_KEPT] = _base.gettimeout(self)  # as it was understood
        _base.settimeout(self, 0)


def _setblocking(self: ssl.SSLSocket, flag: bool, /) -> None:
    _settimeout(self, None if flag else 0)


def _getblocking(self: ssl.SSLSocket) -> bool:
    return _gettimeout(self) != 0


def replace(made: Replacements) -> None:
    for name, what in (
        ("read", "read"),
        ("write", "write"),
        ("send", "write"),
        ("do_handshake", "handshake"),
    ):
        made.attribute(ssl.SSLSocket, name, _waiting(name, what))
    made.attribute(ssl.SSLSocket, "unwrap", _waiting("unwrap", "shutdown"))
    made.attribute(ssl.SSLSocket, "unwrap", _plain_after("unwrap"))
    made.attribute(ssl.SSLSocket, "shutdown", _plain_after("shutdown"))
    made.attribute(ssl.SSLSocket, "detach", _detach)
    made.attribute(ssl.SSLSocket, "gettimeout", _gettimeout)
    made.attribute(ssl.SSLSocket, "settimeout", _settimeout)
    made.attribute(ssl.SSLSocket, "setblocking", _setblocking)
    made.attribute(ssl.SSLSocket, "getblocking", _getblocking)
    made.attribute(ssl.SSLSocket, "timeout", property(_gettimeout))
    made.at_end.append(_give_all_back)
