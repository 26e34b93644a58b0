"""Executor: green threads behind the interface of concurrent.futures.

Where no gosched.run is under way, one is started on a thread of its own, for all executors
together; it ends when the last of them has been shut down.
"""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from gosched import _gosched
from gosched._gosched import Cancelled, GreenThread
from gosched._service import service as _service

T = TypeVar("T")


_CANCELLED = "CANCELLED"  # in concurrent.futures: cancelled, and nobody was told
_works: weakref.WeakSet[_Work] = weakref.WeakSet()


def _at_exit() -> None:
    """As for the executors of concurrent.futures: what was submitted is done before the end."""
    works = list(_works)
    for work in works:
        _shut(work)
    for work in works:
        work.wait()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]


class _Work:
    """What an executor's green threads need of it; they must not keep it alive."""

    def __init__(self, limit: int | None) -> None:
        self.lock = threading.Lock()
        self.slots = None if limit is None else _gosched.Semaphore(limit)
        self.pending: dict[Future[Any], GreenThread[None]] = {}  # by lock
        self.shut = False  # by lock
        self.left = True  # the service has been left, or was not entered; by lock
        self.leaver: threading.Thread | None = None
        self.ended = threading.Condition(self.lock)
        _works.add(self)

    def wait(self) -> None:
        with self.lock:
            while self.pending:
                self.ended.wait()
            leaver, self.leaver = self.leaver, None
        # So that gosched.run may be called now.
        if leaver is not None and _gosched.current() is None:
            leaver.join()

    def done(self, future: Future[Any]) -> None:
        """Its green thread has ended, or was cancelled before it began."""
        if future.cancel() and future._state == _CANCELLED:
            future.set_running_or_notify_cancel()  # tells those that wait
        leave = False
        with self.lock:
            self.pending.pop(future, None)
            if self.shut and not self.pending:
                leave, self.left = not self.left, True
            if leave:
                self.leaver = _service.leave()
            self.ended.notify_all()


def _call(
    work: _Work, future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kw: dict[str, Any]
) -> None:
    if work.slots is not None:
        work.slots.acquire()
    try:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = fn(*args, **kw)
        except Cancelled as error:
            future.set_exception(concurrent.futures.CancelledError(str(error)))
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
    finally:
        if work.slots is not None:
            work.slots.release()


class Executor(concurrent.futures.Executor):
    """A concurrent.futures.Executor whose work runs on green threads::

        with gosched.Executor() as executor:
            for page in executor.map(fetch, urls): ...

    It works inside gosched.run, where what blocks hands over to other green threads, and in any
    other program, where it starts what it needs.  Submit from any thread.  Sent to another process
    by pickle it is a new one there, with the same max_workers: so it can be the executor of a Dask
    worker (examples/dask_cluster.py).

    max_workers: how many calls may run at once; None: as many as are submitted.

    Raises ValueError if max_workers is not positive.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and (not isinstance(max_workers, int) or max_workers < 1):
            raise ValueError(
                f"Executor: max_workers is {max_workers!r}; it must be 1 or more, or None"
            )
        self._limit = max_workers
        self._work = _Work(max_workers)
        self._finalizer = weakref.finalize(self, _shut, self._work)

    def __reduce__(self) -> tuple[type[Executor], tuple[int | None]]:
        return type(self), (self._limit,)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Starts fn(*args, **kwargs) on a green thread; returns its Future.

        Raises RuntimeError after shutdown, TypeError if fn cannot be called.
        """
        if not callable(fn):
            raise TypeError(f"Executor.submit: fn must be callable, not {type(fn).__name__}")
        work = self._work
        future: Future[T] = Future()
        with work.lock:
            if work.shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if work.left and not work.pending:
                work.left = not _service.enter()
            # Its end needs work.lock, so it is in `pending` before.
            work.pending[future] = _gosched._spawn(
                lambda _green, _error: work.done(future), _call, work, future, fn, args, kwargs
            )
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more is accepted.

        wait: returns when all that was submitted has ended.
        cancel_futures: what has not begun is cancelled.
        """
        _shut(self._work)
        if cancel_futures:
            with self._work.lock:
                pending = list(self._work.pending.items())
            for future, green in pending:
                if future.cancel():
                    green.cancel()
        if wait:
            self._work.wait()


def _shut(work: _Work) -> None:
    with work.lock:
        work.shut = True
        if work.pending or work.left:
            return
        work.left = True
    _service.leave()
