"""What the extension module leaves to Python of Condition; wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gosched import _gosched

T = TypeVar("T")


class Condition(_gosched._Condition):
    """Something that is waited for under a lock::

        with condition:
            condition.wait_for(lambda: queue)
            item = queue.popleft()

    lock: a Mutex or an RLock; None: an RLock of its own.  Its methods acquire and release, and
    `with`, are the lock's.
    """

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until predicate() is true, at most timeout seconds; returns what it gave.

        It is called with the lock acquired, first at once and then after every notify.
        Raises TimeoutError, Cancelled; Error if the lock is not acquired.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return result


def wait(
    fd: int | _gosched._HasFileno,
    read: bool = True,
    write: bool = False,
    timeout: float | None = None,
) -> tuple[bool, bool]:
    """Waits until a descriptor, or an object with fileno(), is ready; no thread is held meanwhile.

    read, write: what for.  End of file and errors count as ready.
    timeout: seconds, or None to wait for ever.
    Returns (readable, writable).

    Raises TimeoutError, Cancelled; OSError if it is no open descriptor; ValueError if there is
    nothing to wait for; Closed if it is closed by gosched meanwhile.
    """
    return _gosched._wait_fd(fd, read, write, timeout)
