"""A gosched.run on a thread of its own, where no other one is under way.

Executors need one as long as they are not shut down; gosched.aio needs one from its first call on,
and keeps it, since the next call may come at any time; but a gosched.run of the program's own has
the right of way, unless calls are under way.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from gosched import _gosched

if TYPE_CHECKING:
    import asyncio


class Call(Protocol):
    """Of aio."""

    loop: asyncio.AbstractEventLoop


LONG_ENOUGH = 1.0  # seconds, at exit


class Service:
    """The one of this process, `service`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._over: _gosched.Event | None = None
        self._thread: threading.Thread | None = None
        self._kept = False  # aio is one of the users
        self._calls: set[Call] = set()  # of aio, that somebody awaits, in whatever run

    # ---- executors ----

    def enter(self) -> bool:
        """Makes sure that green threads can be started.  True: leave must be called at the end."""
        with self._lock:
            if self._users == 0:
                if _gosched._running():
                    return False
                self._start()
            self._users += 1
            return True

    def leave(self) -> threading.Thread | None:
        """Returns the thread that does it, if it cannot be done here."""
        if _gosched.current() is None:
            with self._lock:
                self._leave()
            return None
        # This green thread may be one of those that the end of the run waits for.
        leaver = threading.Thread(target=self._leave_elsewhere, name="gosched-executor-end")
        try:
            leaver.start()
        except RuntimeError:  # the program ends, and no more threads are made
            return None
        return leaver

    def _leave_elsewhere(self) -> None:
        with self._lock:
            self._leave()

    # ---- aio ----

    def begin_call(self, call: Call) -> None:
        """Makes sure that green threads can be started; end_call must be called at the end."""
        with self._lock:
            if self._users > 0 or not _gosched._running():
                if self._users == 0:
                    self._start()
                if not self._kept:
                    self._kept = True
                    self._users += 1
            self._calls.add(call)

    def end_call(self, call: Call) -> None:
        with self._lock:
            self._calls.discard(call)

    def make_way(self) -> None:
        """The program wants a gosched.run of its own.  Calls that nobody awaits any more have been
        cancelled, and are waited for, as at the end of every run."""
        if not self._kept or _gosched.current() is not None:
            return
        with self._lock:
            if self._kept and all(call.loop.is_closed() for call in self._calls):
                self._kept = False
                self._leave()

    def at_exit(self) -> None:
        """Nobody awaits anything any more.  What blocks in C is not waited for for long: it is left
        behind, as daemon threads are."""
        if self._kept and self._users == 1 and self._over and self._thread:
            self._over.set()
            self._thread.join(LONG_ENOUGH)

    # ---- the run; with the lock ----

    def _start(self) -> None:
        begun: threading.Event = threading.Event()
        over = self._over = _gosched.Event()
        problem: list[BaseException] = []

        def main() -> None:
            begun.set()
            over.wait()

        def body() -> None:
            try:
                _gosched._run(main, (), None, None)
            except BaseException as error:
                problem.append(error)
                begun.set()

        self._thread = threading.Thread(target=body, name="gosched-executor", daemon=True)
        self._thread.start()
        begun.wait()
        if problem:
            self._thread.join()
            self._thread = None
            raise problem[0]

    def _leave(self) -> None:
        if self._thread is None:  # it is the parent's
            return
        self._users -= 1
        if self._users > 0:
            return
        assert self._over is not None
        self._over.set()
        # With the lock, so that no other service starts before this one has ended.
        self._thread.join()
        self._thread = None


service = Service()


def _forked() -> None:
    """The thread is gone; who was counted as a user counts no more."""
    service.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_forked)
threading._register_atexit(service.at_exit)  # type: ignore[attr-defined]
