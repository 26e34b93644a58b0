"""Blocks of code: timeout, shield, os_thread."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from gosched import _gosched
from gosched._gosched import Cancelled, Error, GreenThread


def _here(what: str) -> GreenThread[Any]:
    green = _gosched.current()
    if green is None:
        raise Error(f"{what} needs a green thread: use it inside gosched.run(main)")
    return green


class timeout:  # noqa: N801
    """A block that must end in time::

        with gosched.timeout(5):
            fetch()

    When the seconds are over, what the block waits in is cancelled, and TimeoutError is raised from
    the block.  A foreign call is not interrupted (see bind for those that can be).  None: no limit.
    Blocks nest; a cancel from elsewhere stays Cancelled.

    expired: True once the time was over before the block ended.

    Raises TypeError and ValueError for seconds that are no number or negative, Error where no green
    thread runs.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None:
            if not isinstance(seconds, (int, float)):
                raise TypeError(f"timeout: seconds must be a number, not {type(seconds).__name__}")
            if not seconds >= 0:
                raise ValueError(f"timeout: seconds is {seconds!r}; it must be 0 or more")
        self._seconds = seconds
        self._open = False
        self._expired = False
        self._entered = False
        self._green: GreenThread[Any] | None = None
        self._clock: GreenThread[None] | None = None

    @property
    def expired(self) -> bool:
        return self._expired

    def _ring(self, seconds: float, green: GreenThread[Any]) -> None:
        try:
            _gosched.sleep(seconds)
        except Cancelled:
            return
        green._expire(self)

    def __enter__(self) -> timeout:
        if self._entered:
            raise Error("timeout: a block can be entered once; make another one")
        self._green = _here("timeout")
        self._entered = self._open = True
        if self._seconds == 0:
            self._green._expire(self)
        elif self._seconds is not None:
            self._clock = _gosched._spawn(
                lambda *_ended: None, self._ring, self._seconds, self._green
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._open = False
        green, clock = self._green, self._clock
        self._green = self._clock = None
        if clock is not None and not self._expired:
            clock.cancel()
        if not self._expired or green is None or green._uncancel() > 0:
            return
        if isinstance(exc, Cancelled):
            raise TimeoutError(f"the block took longer than {self._seconds} s") from exc


class shield:  # noqa: N801
    """A block that a cancel does not reach into: it ends as if nobody had asked::

        with gosched.shield():
            connection.rollback()

    What was asked for meanwhile, or before, holds again when the block has ended: the next
    operation that waits raises Cancelled.  Blocks nest.
    """

    def __enter__(self) -> shield:
        _here("shield")._shield(True)
        return self

    def __exit__(self, *exc: object) -> None:
        _here("shield")._shield(False)


class os_thread:  # noqa: N801
    """A block in which the green thread stays on its OS thread, which nobody else gets: for
    libraries that keep something by thread::

        with gosched.os_thread():
            lib.make_current()
            lib.draw()

    Blocks nest.  The main green thread is always on the main thread.
    """

    def __enter__(self) -> os_thread:
        _gosched._os_thread(True)
        return self

    def __exit__(self, *exc: object) -> None:
        _gosched._os_thread(False)
