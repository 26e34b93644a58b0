"""Runs a workload twice: a sample one after another, then all of it at once, and compares.

Next to the concurrent run there is a ticker: a green thread that sleeps 10 ms again and again and
remembers how late it was at worst.  It is late by as long as the calls of the others keep it from
running, so it is the measure of what this library is for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import gosched

from .errors import Mismatch
from .libraries import Workload
from .report import Outcome, Progress, seconds

TICK = 0.010  # seconds


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under another name: green threads are called after what they run."""

    def call(*args: Any) -> Any:
        return function(*args)

    call.__name__ = call.__qualname__ = name
    return call


class Ticker:
    """A green thread that sleeps 10 ms at a time and keeps the worst delay, in seconds."""

    def __init__(self, every_tick: Callable[[], None] | None = None) -> None:
        self.worst = 0.0
        self.ticks = 0
        self._every_tick = every_tick
        self._stopped = False
        self._green = gosched.go(named("ticker", self._tick))

    def _tick(self) -> None:
        while not self._stopped:
            before = time.monotonic()
            gosched.sleep(TICK)
            self.worst = max(self.worst, time.monotonic() - before - TICK)
            self.ticks += 1
            if self._every_tick is not None:
                self._every_tick()

    def stop(self) -> None:
        """Ends it and waits for it."""
        self._stopped = True
        self._green.join()


def one_after_another(workload: Workload) -> tuple[dict[int, Any], float]:
    """The results of a sample of the jobs, run in this green thread, and the time of all of them.

    The sample is spread over the jobs.  The first one is run twice, and timed the second time, so
    that neither run pays for loading what the other finds loaded.
    """
    step = max(1, workload.greens // workload.sample)
    chosen = list(range(0, workload.greens, step))[: workload.sample]
    workload.job(chosen[0])
    results = {}
    start = time.perf_counter()
    for i in chosen:
        results[i] = workload.job(i)
    elapsed = time.perf_counter() - start
    return results, elapsed * workload.greens / len(chosen)


def at_once(workload: Workload, label: str, progress: Progress) -> tuple[list[Any], Outcome]:
    """All jobs, a green thread each, next to the ticker."""
    results: list[Any] = [None] * workload.greens
    threads: set[int] = set()
    wrong: list[Mismatch] = []
    done = 0

    def job(i: int) -> None:
        nonlocal done
        threads.add(threading.get_native_id())
        try:
            results[i] = workload.job(i)
        except Mismatch as error:
            wrong.append(error)
        threads.add(threading.get_native_id())
        done += 1

    ticker = Ticker(lambda: progress.update(label, done, workload.greens))
    start = time.perf_counter()
    try:
        with gosched.TaskGroup() as group:
            for i in range(workload.greens):
                group.go(job, i)
        wall = time.perf_counter() - start
    finally:
        ticker.stop()
    if wrong:
        raise wrong[0]
    outcome = Outcome(
        library=workload.library,
        what=workload.what,
        greens=workload.greens,
        calls=workload.greens * workload.calls,
        wall=wall,
        alone=0.0,
        threads=len(threads),
        worst=ticker.worst,
    )
    return results, outcome


def measure(workload: Workload, label: str, progress: Progress) -> Outcome:
    """Both runs, their results compared.  Raises Mismatch where they differ."""
    progress.step(f"{label}: {workload.sample} of {workload.greens} one after another")
    sample, alone = one_after_another(workload)
    progress.step(f"{label}: {workload.greens} green threads at once")
    results, outcome = at_once(workload, label, progress)
    workload.check(results)
    for i, expected in sample.items():
        if results[i] != expected:
            got, wanted = repr(results[i])[:200], repr(expected)[:200]
            raise Mismatch(f"{label}: green thread {i} got {got}, alone it gets {wanted}")
    progress.say(
        f"{label}: {outcome.calls:,} calls by {outcome.greens} green threads in "
        f"{seconds(outcome.wall)}, ticker at worst {seconds(outcome.worst)} late"
    )
    return Outcome(**{**outcome.__dict__, "alone": alone})
