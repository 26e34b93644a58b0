"""Green threads for asyncio: what blocks is called on one, and awaited.

    import asyncio, gosched

    async def main():
        rows = await gosched.aio.call(cursor.fetchall)

    asyncio.run(main())

asyncio.to_thread has a pool of threads, and what does not fit into it waits.  Here each call is a
green thread, and only those that block in C hold a thread.  It works in every program: where a
gosched.run is under way, on any thread, the green threads run there; where none is, one is started
on a thread of its own, which makes way for a gosched.run of the program when no call is under way.

An event loop may itself run on a green thread (asyncio.run inside of gosched.run): several of them
in one program, and one blocks in its selector without holding up other green threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from gosched import _gosched
from gosched._gosched import Cancelled, Error
from gosched._service import service

__all__ = ["call"]

T = TypeVar("T")


class _Call:
    """What the green thread needs of a call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.told = False  # the loop knows of the end; by the loop

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.result = fn(*args, **kwargs)

    def ended(self, _green: object, error: BaseException | None) -> None:
        """On the green thread, also if it was cancelled before it began."""
        with contextlib.suppress(RuntimeError):  # the loop was closed, nobody waits
            self.loop.call_soon_threadsafe(self.tell, error)

    def tell(self, error: BaseException | None) -> None:
        """On the loop."""
        self.told = True
        future = self.future
        if future.done():  # the task was cancelled
            return
        if error is None:
            future.set_result(self.result)
        elif isinstance(error, Cancelled):
            future.cancel("the green thread was cancelled")
        elif isinstance(error, StopIteration):  # a future cannot have it
            wrapped = RuntimeError("the function raised StopIteration")
            wrapped.__cause__ = error
            future.set_exception(wrapped)
        else:
            future.set_exception(error)


def _start(call: _Call, *args: Any) -> _gosched.GreenThread[None]:
    while True:
        service.begin_call(call)
        try:
            return _gosched._spawn(call.ended, call.run, *args)
        except BaseException as error:
            service.end_call(call)
            if not isinstance(error, Error) or _gosched._running():
                raise
            # The gosched.run that was under way has just ended.


async def call(fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Calls fn(*args, **kwargs) on a green thread; gives its result or raises its error.

    fn may block, in C or in gosched's own operations, while the event loop goes on; any number of
    calls may be under way.  It runs in a copy of the task's contextvars.

    If the task that awaits it is cancelled, so is the green thread: what fn waits in raises
    gosched.Cancelled there.  The task does not wait for that; a call that blocks in C goes on by
    itself until it returns.  If the green thread is cancelled by somebody else, or by the end of
    its gosched.run, asyncio.CancelledError is raised.

    Raises TypeError if fn cannot be called, Error outside of asyncio.  Only on an event loop of
    asyncio (or uvloop), on whatever thread it runs.
    """
    if not callable(fn):
        raise TypeError(f"gosched.aio.call: fn must be callable, not {type(fn).__name__}")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise Error(
            "gosched.aio.call must be awaited in a coroutine that asyncio runs; elsewhere "
            "gosched.go(fn, ...).result() does it"
        ) from None
    this = _Call(loop)
    green = _start(this, fn, args, kwargs)
    try:
        result: T = await this.future
        return result
    finally:
        service.end_call(this)
        if not this.told:
            green.cancel()
