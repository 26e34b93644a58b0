"""gosched.patch: the waiting functions of the standard library wait in the netpoller.

A patch replaces functions and methods, not classes: what was made before it, and what others have
imported by name, is patched, too, and isinstance and subclasses stay as they were.  A replacement
asks first whether a green thread runs; where none does, it calls what it replaces.

- Methods are set on the classes of Python (socket.socket, ssl.SSLSocket, selectors.…): those of C
  below them stay as they are, and are what the replacements call.
- Functions are replaced in their module, and in every module that has imported them by name.

All that is replaced is listed in one place here, and put back by unpatch.  What somebody else has
replaced in the meantime is theirs, and left alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import Any

SUBJECTS = ("socket", "ssl", "select", "time")

_ABSENT: Any = object()


class Replacements:
    """What one subject has replaced."""

    def __init__(self) -> None:
        self._attributes: list[tuple[Any, str, Any, Any]] = []
        self._functions: list[tuple[Any, Any]] = []
        self.at_end: list[Callable[[], object]] = []

    def attribute(self, owner: type, name: str, new: Any) -> None:
        """owner.name becomes new."""
        self._attributes.append((owner, name, vars(owner).get(name, _ABSENT), new))
        setattr(owner, name, new)

    def function(self, module: ModuleType, name: str, new: Any) -> None:
        """module.name becomes new, there and wherever it was imported to."""
        old = getattr(module, name)
        self._functions.append((old, new))
        _everywhere(old, new)

    def undo(self) -> None:
        for owner, name, old, new in reversed(self._attributes):
            if vars(owner).get(name) is not new:
                continue
            if old is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, old)
        for old, new in reversed(self._functions):
            _everywhere(new, old)
        for each in self.at_end:
            each()


def _places(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    for name, module in list(sys.modules.items()):
        if name.startswith("gosched._patch"):
            continue
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            for key, found in list(names.items()):
                if found is value:
                    yield names, key


def _everywhere(old: Any, new: Any) -> None:
    for names, key in _places(old):
        names[key] = new


_lock = threading.Lock()
_done: dict[str, Replacements] = {}  # by _lock


def _replace(subject: str) -> Replacements:
    if subject == "socket":
        from gosched._patch_socket import replace
    elif subject == "ssl":
        from gosched._patch_ssl import replace
    elif subject == "select":
        from gosched._patch_select import replace
    else:
        from gosched._patch_time import replace
    made = Replacements()
    try:
        replace(made)
    except BaseException:
        made.undo()
        raise
    return made


class Patch:
    """What a call of gosched.patch has done; `with` undoes it at the end of the block.

    subjects: the names of what this call patched, without what was patched already.
    """

    def __init__(self, subjects: tuple[str, ...]) -> None:
        self.subjects: tuple[str, ...] = subjects

    def undo(self) -> None:
        """Puts back what this call has replaced.  Doing it twice does nothing."""
        with _lock:
            for subject in self.subjects:
                made = _done.pop(subject, None)
                if made is not None:
                    made.undo()
            self.subjects = ()

    def __enter__(self) -> Patch:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<gosched.Patch of {', '.join(self.subjects) or 'nothing'}>"


def patch(
    *, socket: bool = True, ssl: bool = True, select: bool = True, time: bool = True
) -> Patch:
    """Lets the standard library's sockets and sleeps wait in the netpoller, without a thread.

    Everything works without it, too: what blocks hands over to other green threads.  But each call
    that blocks holds an OS thread as long.  After patch() 10,000 idle connections need none, and
    cancel, gosched.timeout and TaskGroup reach into what waits::

        gosched.patch()                  # for the whole program, or:
        with gosched.patch(time=False):  # for a block

    socket: the methods of socket.socket that wait (connect, accept, recv…, send…, sendfile, and so
    makefile and create_connection), with its timeouts; getaddrinfo and its likes are called on a
    green thread of their own, so that a wait for them can be cancelled.
    ssl: ssl.SSLSocket's.
    select: select.select, poll and epoll, and the selectors of the module selectors.
    time: time.sleep.

    It holds for green threads only: on ordinary threads all that is patched does what it did.
    Sockets that exist already are patched, too.  A socket that is closed while a green thread waits
    for it raises OSError (EBADF) there.  Call it from any thread, inside gosched.run or before;
    what is patched already stays so.  Returns a Patch, which undoes it; so does gosched.unpatch.

    Raises TypeError for what is no bool, and for other names.
    """
    asked = {"socket": socket, "ssl": ssl, "select": select, "time": time}
    for name, value in asked.items():
        if not isinstance(value, bool):
            raise TypeError(f"patch: {name} must be True or False, not {type(value).__name__}")
    new: list[str] = []
    with _lock:
        try:
            for subject in SUBJECTS:
                if asked[subject] and subject not in _done:
                    _done[subject] = _replace(subject)
                    new.append(subject)
        except BaseException:
            for subject in new:
                _done.pop(subject).undo()
            raise
    return Patch(tuple(new))


def unpatch() -> None:
    """Undoes gosched.patch, all calls of it.

    What waits goes on as it began.  Call it from any thread; nothing happens if nothing is patched.
    """
    with _lock:
        while _done:
            _done.popitem()[1].undo()
