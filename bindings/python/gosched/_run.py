"""run, and what becomes of errors that nobody asks for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from gosched import _gosched
from gosched._service import service

T = TypeVar("T")


def run(
    main: Callable[..., T],
    /,
    *args: Any,
    procs: int | None = None,
    max_threads: int | None = None,
) -> T:
    """Runs main(*args) as the main green thread; returns its result or raises its error.

    main stays on the calling thread; on the program's main thread Ctrl-C interrupts it with
    KeyboardInterrupt, whatever it waits in.  When main has ended, the green threads that still run
    are cancelled, and run waits for them; another Ctrl-C ends that wait and leaves them behind.

    procs: CPUs for native green threads (1..1024), None: those this process may use.  Those of
    Python always take turns.
    max_threads: most OS threads at once (2..1000000), None: 10000.

    Raises Deadlock, out of what main waits in, if all green threads are asleep for good: none runs,
    is in C, sleeps or waits for a descriptor, and there is no ordinary thread, handler of a signal
    or callback that could wake one.  If that is so at the end, those that do not end are left
    behind.
    Raises Error if it is called inside of itself, or while another thread is in it; ValueError and
    TypeError for arguments out of range.
    """
    service.make_way()
    return _gosched._run(main, args, procs, max_threads)


class ExceptHookArgs(NamedTuple):
    """What gosched.excepthook gets."""

    exc_type: type[BaseException]
    exc_value: BaseException
    exc_traceback: TracebackType | None
    thread: _gosched.GreenThread[Any]


def excepthook(args: ExceptHookArgs, /) -> None:
    """Handles an error of a green thread that nobody asked for.

    This one prints the traceback, with the green thread's name, to sys.stderr; SystemExit is
    ignored, as it is in threads.  Assign another function to gosched.excepthook to do something
    else.
    """
    if issubclass(args.exc_type, SystemExit) or sys.stderr is None:
        return
    head = f"Exception in green thread {args.thread.id} {args.thread.name!r}:\n"
    text = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
    sys.stderr.write(head + "".join(text))
    sys.stderr.flush()


def report(
    thread: _gosched.GreenThread[Any], error: BaseException, tb: TracebackType | None
) -> None:
    """Called when a GreenThread dies whose error nobody asked for."""
    import gosched

    gosched.excepthook(ExceptHookArgs(type(error), error, tb, thread))
