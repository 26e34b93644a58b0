"""TaskGroup: green threads that end together."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from gosched import _gosched
from gosched._gosched import Cancelled, Deadlock, Error, GreenThread
from gosched._versions import BaseExceptionGroup

T = TypeVar("T")

# These end the program: they are raised alone, not in a group.
_ALONE = (KeyboardInterrupt, SystemExit, Deadlock)


class TaskGroup:
    """Green threads that the block waits for::

        with gosched.TaskGroup() as tg:
            a = tg.go(fetch, "a")
            b = tg.go(fetch, "b")
        print(a.result(), b.result())

    The block ends when all of them have.  The first error, of a green thread or of the block's own
    body, cancels the rest; when all have ended, the errors are raised together as an ExceptionGroup
    (Cancelled, which only follows from the cancelling, is left out).  KeyboardInterrupt and
    SystemExit are raised alone.  If the green thread that is in the block is cancelled, so are
    those of the group, and Cancelled is raised when they have ended.
    """

    def __init__(self) -> None:
        self._state = "not entered"
        self._parent: GreenThread[Any] | None = None
        self._running: set[GreenThread[Any]] = set()
        self._errors: list[BaseException] = []
        self._in_body = False  # the block's body runs, and an error has to interrupt it
        self._aborting = False  # the rest is being cancelled
        self._interrupted_parent = False  # by a cancel of this group

    def __enter__(self) -> TaskGroup:
        if self._state != "not entered":
            raise Error("TaskGroup: a group can be entered once; make another one")
        self._parent = _gosched.current()
        if self._parent is None:
            raise Error("TaskGroup needs a green thread: use it inside gosched.run(main)")
        self._state = "open"
        self._in_body = True
        return self

    def go(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> GreenThread[T]:
        """Like gosched.go; the block waits for the new green thread.

        Raises Error if the group is not open, or is being cancelled because of an error.
        """
        if self._state != "open":
            raise Error(f"TaskGroup.go: the group is {self._state}")
        if self._aborting:
            raise Error("TaskGroup.go: the group is being cancelled")
        g = _gosched._spawn(self._ended, fn, *args, **kwargs)
        self._running.add(g)
        if g.done():
            self._running.discard(g)
        elif self._aborting:
            g.cancel()
        return g

    def _ended(self, g: GreenThread[Any], error: BaseException | None) -> None:
        """Called on g when its function has returned or raised."""
        self._running.discard(g)
        if error is not None and not isinstance(error, Cancelled):
            self._errors.append(error)
            self._abort()

    def _abort(self) -> None:
        if self._aborting:
            return
        self._aborting = True
        for g in list(self._running):
            g.cancel()
        if self._in_body and self._parent is not None:
            self._interrupted_parent = True
            self._parent.cancel()

    def _wait_for_all(self) -> Cancelled | None:
        """Returns Cancelled if the parent was cancelled meanwhile."""
        cancelled = None
        interrupts = 0
        while self._running:
            g = next(iter(self._running))
            try:
                g._wait(self._aborting)
            except Cancelled as e:
                cancelled = e
                self._abort()
            except BaseException as e:  # what a signal handler raised, usually KeyboardInterrupt
                self._errors.append(e)
                interrupts += 1
                if interrupts > 1:
                    self._running.clear()
                self._abort()
            else:
                self._running.discard(g)
        return cancelled

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        assert self._parent is not None
        self._in_body = False
        cancelled = exc if isinstance(exc, Cancelled) else None
        if exc is not None:
            if cancelled is None:
                self._errors.append(exc)
            self._abort()
        cancelled = self._wait_for_all() or cancelled
        self._state = "closed"
        if self._interrupted_parent and self._parent._uncancel() == 0:
            cancelled = None  # it was this group's own
        errors, self._errors, self._parent = self._errors, [], None
        try:
            self._raise(exc, errors, cancelled)
        finally:
            del errors, cancelled  # tracebacks refer to this frame
        return isinstance(exc, Cancelled)

    @staticmethod
    def _raise(
        exc: BaseException | None, errors: list[BaseException], cancelled: Cancelled | None
    ) -> None:
        for e in errors:
            if isinstance(e, _ALONE):
                raise e
        if errors:
            raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
        if cancelled is not None:
            raise cancelled
