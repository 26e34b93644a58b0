"""Runs one module of CPython's tests in this process, and writes what came of each test.

    python child.py '{"modules": ["test.test_queue"], "place": "green", "out": "results", ...}'

The place is "green", a green thread that hops (see hop.c), except for those of `main`; "main", the
main green thread, for those of `main` alone; or "plain", as python -m unittest has it.  Each line
of the output is a test that begins, [id], or that has ended, [id, outcome, details].
"""

from __future__ import annotations

import contextlib
import faulthandler
import fnmatch
import functools
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable, Iterator
from typing import Any

PARTNERS = 2  # while one is in its call, another can be woken
ROUNDS, SECONDS = 1000, 60  # of a module that ends before its green thread has moved


class Results(unittest.TestResult):
    """Writes at once, so that what ends the process ends nothing else."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.outcome: tuple[str, str] = ("ok", "")
        self.hop: Callable[[str], None] | None = None
        self.wrong = False

    def put(self, *what: Any) -> None:
        os.write(self.fd, json.dumps(what).encode() + b"\n")

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.outcome = ("ok", "")
        self.put(test.id())
        if self.hop:  # again, for tests that profile
            self.hop(test.id())

    def stopTest(self, test: Any) -> None:
        self.put(test.id(), *self.outcome)

    def note(self, test: Any, outcome: str, details: str) -> None:
        self.outcome = (outcome, details)
        self.wrong |= outcome in ("error", "failure")
        if not isinstance(test, unittest.TestCase):  # the set-up of a class or a module
            self.put(test.id(), outcome, details)

    def addError(self, test: Any, err: Any) -> None:
        self.note(test, "error", "".join(traceback.format_exception(*err)))

    def addFailure(self, test: Any, err: Any) -> None:
        self.note(test, "failure", "".join(traceback.format_exception(*err)))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            text = "".join(traceback.format_exception(*err))
            kind = "failure" if issubclass(err[0], test.failureException) else "error"
            self.note(test, kind, f"{self.outcome[1]}{subtest.id()}\n{text}")

    def addSkip(self, test: Any, reason: str) -> None:
        if self.outcome[0] == "ok":  # of a subtest: the others count
            self.note(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.note(test, "expected failure", "")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.note(test, "unexpected success", "")


def flat(suite: Any) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from flat(each)
        else:
            yield each


def load(names: list[str]) -> list[unittest.TestCase]:
    loader = unittest.TestLoader()
    return list(flat(loader.loadTestsFromNames(names)))


def is_one_of(job: dict[str, Any], what: str, name: str) -> bool:
    """Whether job[what], patterns for the ends of names, has this one."""
    return any(fnmatch.fnmatchcase(name, f"*{pattern}") for pattern in job.get(what, ()))


def suite_of(job: dict[str, Any], which: Callable[[str], bool]) -> unittest.TestSuite:
    only, leave_out = job.get("only"), set(job.get("leave_out", ()))
    tests = []
    for test in load(job["modules"]):
        name = test.id()
        if name in leave_out or is_one_of(job, "never", name):
            continue
        if (only is None or name in only) and which(name):
            tests.append(test)
    return unittest.TestSuite(tests)


def put_on_green_threads(start: Callable[..., int]) -> None:
    """What starts threads starts green threads."""
    import _thread
    import threading

    from test import lock_tests

    for module in (_thread, lock_tests):
        module.start_new_thread = start  # type: ignore[assignment]
    if hasattr(threading, "_start_new_thread"):
        threading._start_new_thread = start


def run_green(job: dict[str, Any], results: Results) -> None:
    import gosched
    import gosched._executor
    import gosched_hop

    libc = gosched.dlopen(None, "int getppid(void);", blocking=["getppid"])
    turn = gosched.Semaphore(0)
    over = False
    # A call that is known to block is made elsewhere, and ends there.  The main green thread stays
    # on its thread: there its partners call.
    away = gosched.yield_now if job["place"] == "main" else libc.getppid
    idle_moves = 0  # between the tests

    def partner() -> None:
        thread = 0
        while not over:
            thread = gosched_hop.ready(thread)
            turn.acquire()
            if job["place"] == "main":
                libc.getppid()

    def ticker() -> None:
        """Wants a turn all the time, so that what blocks has to give it away."""
        while not over:
            gosched.sleep(0.002)

    def hop(name: str) -> None:
        gosched_hop.start(turn.release, away)
        if is_one_of(job, "still", name):
            moves = gosched_hop.counts()[1]
            for _ in range(10000):  # now, since it does not later
                gosched_hop.hop()
                if gosched_hop.counts()[1] > moves:
                    break
            gosched_hop.stop()

    def hopping(which: Callable[[str], bool]) -> None:
        hop("")
        try:
            suite_of(job, which).run(results)
        finally:
            gosched_hop.stop()

    def until_it_moves(which: Callable[[str], bool]) -> None:
        """A module of a few milliseconds may be over before any hop has led elsewhere.  It is run
        again until one has, inside one of its tests; what is wrong must not be written over."""
        nonlocal idle_moves
        begin = time.monotonic()
        for _ in range(ROUNDS):
            before = gosched_hop.counts()[1]
            hop("")
            try:
                tests = suite_of(job, which)
                loaded = gosched_hop.counts()[1]
                tests.run(results)
            finally:
                gosched_hop.stop()
            idle_moves += loaded - before
            moved = gosched_hop.counts()[1] > loaded
            long = time.monotonic() - begin > SECONDS
            if moved or long or results.wrong or not results.testsRun:
                break

    def hopping_call(fn: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        gosched_hop.start(turn.release, away)
        try:
            return fn(*args, **kw)
        finally:
            gosched_hop.stop()

    def start_new_thread(
        fn: Callable[..., Any], args: tuple[Any, ...] = (), kw: dict[str, Any] | None = None
    ) -> int:
        return gosched.go(hopping_call, fn, *args, **(kw or {})).id | 1 << 63

    others: list[Any] = []

    def end() -> None:
        nonlocal over
        over = True
        for _ in others:
            turn.release()
        for g in others:
            g.join()

    def main() -> None:
        if job.get("threads"):
            put_on_green_threads(start_new_thread)
        for name in job["modules"]:
            module = importlib.import_module(name)
            if hasattr(module, "GREEN"):
                module.GREEN = True
                call = gosched._executor._call
                gosched._executor._call = functools.partial(hopping_call, call)
        results.hop = hop
        others.extend(gosched.go(f) for f in (*[partner] * PARTNERS, ticker))
        if job["place"] == "main":
            hopping(lambda name: is_one_of(job, "main", name))
            end()
            return
        tests = gosched.go(until_it_moves, lambda name: not is_one_of(job, "main", name))
        while not tests.done():
            # Signals are for the main thread: a test that sends one does not mean this.
            with contextlib.suppress(KeyboardInterrupt):
                tests.join()
        tests.result()
        end()

    gosched.run(main)
    hops, moves, others_moves = gosched_hop.counts()
    results.put("", "moves", (hops, moves - idle_moves, others_moves))


def main() -> None:
    job = json.loads(sys.argv[1])
    faulthandler.enable()
    from test import support

    support.use_resources = job.get("resources", [])
    results = Results(job["out"])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        begin = time.monotonic()
        import gosched_hop

        os.set_inheritable(job["control"], False)
        gosched_hop.watch(job["control"])
        if job["place"] != "plain":
            run_green(job, results)
        else:
            suite_of(job, lambda name: True).run(results)
        results.put("", "end", time.monotonic() - begin)
        os.chdir("/")


if __name__ == "__main__":
    main()
