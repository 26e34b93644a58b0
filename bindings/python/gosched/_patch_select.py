"""select and selectors on green threads.

All of them look once without waiting; if nothing is ready, the descriptors are waited for in the
netpoller, and looked at again.  One descriptor is waited for by itself.  Several are put into an
epoll instance for as long as it takes, which becomes readable when one of them is ready; what is
an epoll instance already needs none.
"""

from __future__ import annotations

import contextlib
import functools
import select
import selectors
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gosched._gosched import Closed, _wait_fd, _wake_closed, current
from gosched._patch import Replacements

if TYPE_CHECKING:
    from gosched._gosched import _HasFileno

_select, _poll, _epoll = select.select, select.poll, select.epoll
_READ = select.POLLIN | getattr(select, "POLLRDHUP", 0)
_WRITE = select.POLLOUT


def _end_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _wait_one(fd: int, read: bool, write: bool, end: float | None) -> bool:
    """False: the time is over.  One that was closed meanwhile is to be looked at."""
    try:
        _wait_fd(fd, read, write, None if end is None else max(0.0, end - time.monotonic()))
    except TimeoutError:
        return False
    except Closed:
        pass
    return True


def _wait_any(masks: Mapping[int, int], end: float | None) -> bool:
    """masks: poll's events of each descriptor.  False: the time is over."""
    if len(masks) == 1:
        ((fd, mask),) = masks.items()
        if mask and not mask & ~(_READ | _WRITE):
            return _wait_one(fd, bool(mask & _READ), bool(mask & _WRITE), end)
    with _epoll() as all_of_them:
        for fd, mask in masks.items():
            # A regular file cannot be in there; it was not ready, so it never will be.
            with contextlib.suppress(PermissionError):
                all_of_them.register(fd, mask)
        return _wait_one(all_of_them.fileno(), True, False, end)


def _wait_loop(look: Callable[[], Any], masks: Mapping[int, int], end: float | None) -> Any:
    """look() gives what is ready; it is called again until there is something, or the time over."""
    while True:
        found = look()
        if found or not _wait_any(masks, end):
            return found


# Beyond this, in milliseconds, poll refuses; what it refuses it is to refuse itself.
_MOST = 2**31 / 1000 - 1


def _stays(timeout: float | None) -> bool:
    """It is to be done as always: here, or because it does not wait."""
    if current() is None:
        return True
    return timeout is not None and not (isinstance(timeout, (int, float)) and 0 < timeout < _MOST)


def _again(objects: Iterable[Any]) -> list[Any] | tuple[Any, ...]:
    """What can be looked at more than once.  A list stays itself: fileno() may change it."""
    return objects if isinstance(objects, (list, tuple)) else list(objects)


def _fileno(of: int | _HasFileno) -> int:
    return of if isinstance(of, int) else of.fileno()


@functools.wraps(_select)
def _green_select(
    rlist: Iterable[Any],
    wlist: Iterable[Any],
    xlist: Iterable[Any],
    timeout: float | None = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    if _stays(timeout):
        return _select(rlist, wlist, xlist, timeout)
    end = _end_of(timeout)
    read, write, other = _again(rlist), _again(wlist), _again(xlist)

    def look() -> tuple[list[Any], list[Any], list[Any]] | None:
        found = _select(read, write, other, 0)
        return found if any(found) else None

    found = look()
    if found is not None:
        return found
    masks: dict[int, int] = {}
    for objects, bit in ((read, _READ), (write, _WRITE), (other, select.POLLPRI)):
        for each in objects:
            fd = _fileno(each)
            masks[fd] = masks.get(fd, 0) | bit
    return _wait_loop(look, masks, end) or ([], [], [])


class Poll:
    """select.poll(), which waits in the netpoller on green threads."""

    def __init__(self) -> None:
        self._real = _poll()
        self._masks: dict[int, int] = {}

    def register(
        self,
        fd: int | _HasFileno,
        eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT,
        /,
    ) -> None:
        """Registers a descriptor, or an object with fileno(), for these events."""
        self._real.register(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def modify(self, fd: int | _HasFileno, eventmask: int, /) -> None:
        """Changes the events of one that is registered."""
        self._real.modify(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def unregister(self, fd: int | _HasFileno, /) -> None:
        """Removes one; KeyError if it is not registered."""
        self._real.unregister(fd)
        self._masks.pop(_fileno(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Waits for at most timeout milliseconds; a list of (descriptor, events)."""
        # Negative numbers wait for ever, too.
        seconds = timeout
        if isinstance(timeout, (int, float)):
            seconds = None if timeout < 0 else timeout / 1000
        if _stays(seconds):
            return self._real.poll(timeout)
        end = _end_of(seconds)
        found: list[tuple[int, int]] = _wait_loop(lambda: self._real.poll(0), self._masks, end)
        return found


class Epoll:
    """select.epoll, which waits in the netpoller on green threads."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._real = _epoll(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: int, /) -> Epoll:
        """An object for an existing epoll descriptor."""
        self = cls.__new__(cls)
        self._real = _epoll.fromfd(fd)
        return self

    @property
    def closed(self) -> bool:
        return self._real.closed

    def fileno(self) -> int:
        """The descriptor of the instance."""
        return self._real.fileno()

    def close(self) -> None:
        """Closes it; who waits in poll gets a ValueError."""
        if not self._real.closed:
            _wake_closed(self._real.fileno())
        self._real.close()

    def register(
        self,
        fd: int | _HasFileno,
        eventmask: int = select.EPOLLIN | select.EPOLLOUT | select.EPOLLPRI,
    ) -> None:
        """Adds a descriptor, or an object with fileno(), for these events."""
        self._real.register(fd, eventmask)

    def modify(self, fd: int | _HasFileno, eventmask: int) -> None:
        """Changes the events of one that is registered."""
        self._real.modify(fd, eventmask)

    def unregister(self, fd: int | _HasFileno) -> None:
        """Removes one."""
        self._real.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Waits for at most timeout seconds; a list of (descriptor, events)."""
        if isinstance(timeout, (int, float)) and timeout < 0:
            timeout = None
        if _stays(timeout):
            return self._real.poll(timeout, maxevents)
        end = _end_of(timeout)
        while True:
            found = self._real.poll(0, maxevents)
            if found or not _wait_one(self._real.fileno(), True, False, end):
                return found

    def __enter__(self) -> Epoll:
        self._real.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


# ---- selectors: a timeout of 0 or less does not wait there ----


def _mask_of(key: selectors.SelectorKey) -> int:
    mask = 0
    if key.events & selectors.EVENT_READ:
        mask |= _READ
    if key.events & selectors.EVENT_WRITE:
        mask |= _WRITE
    return mask


def _selector_select(cls: type[Any]) -> Callable[..., Any]:
    original: Callable[..., Any] = cls.select

    @functools.wraps(original)
    def method(self: Any, timeout: float | None = None) -> Any:
        if _stays(timeout):
            return original(self, timeout)
        end = _end_of(timeout)
        found = original(self, 0)
        if found:
            return found
        keys = self.get_map().values()
        return _wait_loop(lambda: original(self, 0), {key.fd: _mask_of(key) for key in keys}, end)

    return method


def _epoll_select(cls: type[selectors.EpollSelector]) -> Callable[..., Any]:
    original: Callable[..., Any] = cls.select

    @functools.wraps(original)
    def method(self: selectors.EpollSelector, timeout: float | None = None) -> Any:
        if _stays(timeout):
            return original(self, timeout)
        end = _end_of(timeout)
        while True:
            found = original(self, 0)
            if found or not _wait_one(self.fileno(), True, False, end):
                return found

    return method


def replace(made: Replacements) -> None:
    made.function(select, "select", _green_select)
    made.function(select, "poll", Poll)
    made.function(select, "epoll", Epoll)
    for cls in (selectors.PollSelector, selectors.SelectSelector):
        made.attribute(cls, "select", _selector_select(cls))
    made.attribute(selectors.EpollSelector, "select", _epoll_select(selectors.EpollSelector))
