"""Green threads that may call anything that blocks.

    import gosched

    def main():
        ch = gosched.Chan()
        gosched.go(lambda: ch.send("hello"))
        return ch.recv()

    print(gosched.run(main))

A green thread costs kilobytes, and there can be hundreds of thousands.  They run Python in turn, as
threads do.  When one of them blocks in C - in a function of a library opened by `dlopen`, in
`time.sleep`, in sqlite3, in any extension that releases the GIL - the others go on.

Starting and ending      run, go, current, GreenThread, TaskGroup, map, as_completed, Executor
Waiting                  sleep, yield_now, Chan, select, wait
Excluding each other     Mutex, RLock, Semaphore, Condition, Event, WaitGroup
Stopping                 timeout, shield, Cancelled
Threads                  os_thread
Standard library         patch, unpatch; from asyncio: aio.call
Other languages          shared, SharedChan, embed, Guest
Foreign functions        dlopen, wrap, bind, callback, ffi, errno, dlclose
Seeing inside            stats, metrics, histograms, metrics_text, profile, snapshot,
                         dump, trace, excepthook
Errors                   Error, Closed, WouldBlock, Deadlock, FFIError, GuestError

All times are seconds.  A timeout of None waits for ever; when one is over, TimeoutError is raised.

A green thread may go on on another OS thread after it has waited in gosched or called a function
of `dlopen`; never in between.  To code that knows only threads it is one of its own, wherever it
runs: threading.get_ident, current_thread, local and contextvars tell green threads apart, and
threading.RLock, which is replaced when gosched is imported, belongs to one.  Its C stack has 8 MiB,
of which the kernel provides what is used.

In a child of os.fork the green thread that forked goes on; all others count as cancelled there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gosched import aio
    from gosched._executor import Executor

from gosched import _gosched, _identity, _inside, _run, _stacks
from gosched._callback import Callback, callback
from gosched._dlopen import Library, bind, dlclose, dlopen, ffi
from gosched._embed import Guest, GuestError, embed
from gosched._gosched import (
    Cancelled,
    Chan,
    Closed,
    Deadlock,
    Error,
    Event,
    FFIError,
    GreenThread,
    Mutex,
    RLock,
    Semaphore,
    SharedChan,
    WaitGroup,
    WouldBlock,
    current,
    errno,
    go,
    metrics_text,
    select,
    shared,
    sleep,
    stats,
    version,
    yield_now,
)
from gosched._inside import (
    Histogram,
    Metric,
    Profiled,
    Snapshot,
    dump,
    histograms,
    metrics,
    profile,
    snapshot,
    trace,
)
from gosched._many import as_completed, map
from gosched._patch import Patch, patch, unpatch
from gosched._run import ExceptHookArgs, run
from gosched._scopes import os_thread, shield, timeout
from gosched._sync import Condition, wait
from gosched._taskgroup import TaskGroup
from gosched._wrap import wrap

__version__ = version
__all__ = [
    "Callback",
    "Cancelled",
    "Chan",
    "Closed",
    "Condition",
    "Deadlock",
    "Error",
    "Event",
    "ExceptHookArgs",
    "Executor",
    "FFIError",
    "GreenThread",
    "Guest",
    "GuestError",
    "Histogram",
    "Library",
    "Metric",
    "Mutex",
    "Patch",
    "Profiled",
    "RLock",
    "Semaphore",
    "SharedChan",
    "Snapshot",
    "TaskGroup",
    "WaitGroup",
    "WouldBlock",
    "aio",
    "as_completed",
    "bind",
    "callback",
    "current",
    "dlclose",
    "dlopen",
    "dump",
    "embed",
    "errno",
    "excepthook",
    "ffi",
    "go",
    "histograms",
    "map",
    "metrics",
    "metrics_text",
    "os_thread",
    "patch",
    "profile",
    "run",
    "select",
    "shared",
    "shield",
    "sleep",
    "snapshot",
    "stats",
    "timeout",
    "trace",
    "unpatch",
    "wait",
    "wrap",
    "yield_now",
]

_gosched._check_interpreter()
_identity.install()
_gosched._on_deadlock(_stacks.outside, _stacks.deadlock)
os.register_at_fork(after_in_child=_gosched._after_fork)
excepthook: Callable[[ExceptHookArgs], object] = _run.excepthook


def __getattr__(name: str) -> Any:
    """Imported when they are wanted: concurrent.futures and asyncio take a while."""
    import importlib

    if name == "aio":
        return importlib.import_module("gosched.aio")
    if name == "Executor":
        return importlib.import_module("gosched._executor").Executor
    raise AttributeError(f"module 'gosched' has no attribute {name!r}")


_report = _run.report

del _identity, _inside, _run, _stacks, annotations, os
