"""Executor: green threads behind the interface of concurrent.futures.

Where no gosched.run is under way, one is started on a thread of its own, for all executors
together; it ends when the last of them has been shut down.
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.thread import BrokenThreadPool
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

    def __init__(self, limit: int | None, initialize: Callable[[], object] | None) -> None:
        self.initialize = initialize
        self.broken = False  # the initializer has failed
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


_BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


def _initialize(work: _Work) -> None:
    assert work.initialize is not None
    try:
        if not work.broken:
            work.initialize()
            return
    except BaseException as error:
        work.broken = True
        if isinstance(error, Cancelled):
            raise
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
    raise BrokenThreadPool(_BROKEN)


def _call(
    work: _Work, future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kw: dict[str, Any]
) -> None:
    if work.slots is not None:
        work.slots.acquire()
    try:
        if not future.set_running_or_notify_cancel():
            return
        try:
            if work.initialize is not None:
                _initialize(work)
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
    by pickle it is a new one there, with the same arguments: so it can be the executor of a Dask
    worker (examples/dask_cluster.py).

    max_workers: how many calls may run at once; None: as many as are submitted.
    thread_name_prefix: of the names of its green threads, before "_" and a number.
    initializer, initargs: initializer(*initargs) is called on each green thread, of which each call
    has one of its own, before the call.  If it raises, the executor is broken: what was submitted
    and what will be raises concurrent.futures.thread.BrokenThreadPool.

    Raises ValueError if max_workers is not positive, TypeError if initializer cannot be called.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        if max_workers is not None and (not isinstance(max_workers, int) or max_workers < 1):
            raise ValueError(
                f"Executor: max_workers must be greater than 0, or None, not {max_workers!r}"
            )
        if initializer is not None and not callable(initializer):
            raise TypeError(
                f"Executor: initializer must be a callable, not {type(initializer).__name__}"
            )
        initialize = None if initializer is None else functools.partial(initializer, *initargs)
        self._work = _Work(max_workers, initialize)
        self._prefix, self._count = thread_name_prefix, itertools.count()
        self._again = (max_workers, thread_name_prefix, initializer, initargs)
        self._finalizer = weakref.finalize(self, _shut, self._work)

    def __reduce__(self) -> tuple[type[Executor], tuple[Any, ...]]:
        return type(self), self._again

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Starts fn(*args, **kwargs) on a green thread; returns its Future.

        Raises RuntimeError after shutdown or if the initializer has failed, TypeError if fn
        cannot be called.
        """
        if not callable(fn):
            raise TypeError(f"Executor.submit: fn must be callable, not {type(fn).__name__}")
        work = self._work
        future: Future[T] = Future()
        with work.lock:
            if work.broken:
                raise BrokenThreadPool(_BROKEN)
            if work.shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if work.left and not work.pending:
                work.left = not _service.enter()
            # Its end needs work.lock, so it is in `pending` before.
            work.pending[future] = green = _gosched._spawn(
                lambda _green, _error: work.done(future), _call, work, future, fn, args, kwargs
            )
            if self._prefix:
                green.name = f"{self._prefix}_{next(self._count)}"
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
