"""How a row is measured in Python: the same for every side, so that only the library differs.

A side is a program `side_….py ROW [--samples N] [--target-ms MS]` that prints one JSON object on
one line, as gsbench does.  Its table maps a row's name to a function that yields samples.  A side
whose library cannot be imported ends with status 77 and says why on stderr: bench/run.py then
calls its rows unmeasured.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

UNMEASURED = 77
MAX_GROWTH = 20.0

BLOCKING_SECONDS = 0.1


@dataclass(frozen=True)
class Options:
    """What the command line asked for: samples, and nanoseconds one sample of a loop lasts."""

    samples: int
    target_ns: float


@dataclass(frozen=True)
class Row:
    """A row: the unit of its samples, and what measures them."""

    unit: str
    measure: Callable[[Options], Iterable[float]]


Loop = Callable[[int], float]
"""Runs n operations and returns how many nanoseconds they took."""


def unmeasured(why: object) -> NoReturn:
    """End this side: what it measures is not on this machine."""
    print(why, file=sys.stderr)
    sys.exit(UNMEASURED)


def calibrate(options: Options, loop: Loop) -> int:
    """Find an n for which loop(n) lasts about the target, which also warms it up.

    It has to last that long twice: a moment's pause in a short loop is not the loop's.
    """
    n = 1
    while True:
        elapsed = loop(n)
        if elapsed >= 0.8 * options.target_ns:
            elapsed = loop(n)
        if elapsed >= 0.8 * options.target_ns:
            return n
        growth = options.target_ns / elapsed if elapsed > 0 else MAX_GROWTH
        n = int(n * min(growth, MAX_GROWTH)) + 1


def sample_loop(options: Options, loop: Loop) -> list[float]:
    """Nanoseconds per operation, once a sample."""
    n = calibrate(options, loop)
    return [loop(n) / n for _ in range(options.samples)]


def usleep_function() -> Callable[[int], object]:
    """libc's usleep by ctypes, for the sides that have no way of their own to call C."""
    usleep = ctypes.CDLL(None).usleep
    usleep.argtypes = [ctypes.c_uint]
    usleep.restype = ctypes.c_int
    return usleep


def blocking_call(kind: str) -> Callable[[], object]:
    """The 100 ms call of a row: libc's usleep by ctypes, or time.sleep."""
    if kind == "sleep":
        return lambda: time.sleep(BLOCKING_SECONDS)
    usleep = usleep_function()
    return lambda: usleep(int(BLOCKING_SECONDS * 1e6))


def block_rows(wave: Callable[[int, Callable[[], object]], float]) -> dict[str, Row]:
    """The rows block.{100,1000}.{usleep,sleep} of a side.

    wave(n, call) makes n concurrent calls, from a cold start, and returns how many seconds it took
    until all had returned.  One sample: a second one would find the threads of the first.
    """

    def row(n: int, kind: str) -> Row:
        return Row("ms", lambda _options: [wave(n, blocking_call(kind)) * 1e3])

    return {f"block.{n}.{kind}": row(n, kind) for n in (100, 1000) for kind in ("usleep", "sleep")}


def target_library() -> str:
    """Path of the C functions that the call rows call."""
    return os.path.join(os.environ["GSBENCH_DIR"], "libgsbench_targets.so")


class ThreadsSeen:
    """The most threads this process had when a side looked: right after its calls, which is before
    the threads that made them are gone.
    """

    most = 0

    def look(self) -> None:
        """Count this process's threads now."""
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Threads:"):
                    self.most = max(self.most, int(line.split()[1]))


threads_seen = ThreadsSeen()


def main(rows: Mapping[str, Row]) -> None:
    """Measure the row named on the command line and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=sorted(rows))
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--target-ms", type=float, default=20.0)
    arguments = parser.parse_args()
    row = rows[arguments.row]
    samples = list(row.measure(Options(arguments.samples, arguments.target_ms * 1e6)))
    report = {
        "row": arguments.row,
        "unit": row.unit,
        "samples": samples,
        "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "threads": threads_seen.most,
    }
    print(json.dumps(report))
