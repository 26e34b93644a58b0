"""What the rows of waiting and working beside each other do, the same for every side.

tick.KIND: a tick of a millisecond beside work that lasts a second; a sample is how late one was.
two.KIND: C code that computes, alone and two at once; a sample is the ratio of the times.
pg.KIND: a hundred queries at once, each of which sleeps for 0.1 s in the server.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness

SECONDS = 1.0
TICK = 0.001
QUERIES = 100
QUERY = "select pg_sleep(0.1)"

Start = Callable[[Callable[[], object]], Callable[[], object]]
"""Starts a function beside others; what it returns waits for the end and gives the result."""


# ---- ticks ----


def sleep() -> None:
    time.sleep(SECONDS)


def call_usleep() -> None:
    usleep = harness.usleep_function()
    usleep(int(SECONDS * 1e6))


def compress() -> None:
    noise = os.urandom(1 << 22)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        zlib.compress(noise, 6)


def burn() -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        sum(range(500))


KINDS: dict[str, tuple[Callable[[], None], int]] = {
    "sleep": (sleep, 1),
    "ctypes": (call_usleep, 1),
    "zlib": (compress, 1),
    "burn1": (burn, 1),
    "burn2": (burn, 2),
    "burn4": (burn, 4),
}


def lateness(rest: Callable[[float], object]) -> list[float]:
    """Milliseconds by which each tick of SECONDS was late."""
    late = []
    end = time.monotonic() + SECONDS
    while (before := time.monotonic()) < end:
        rest(TICK)
        late.append((time.monotonic() - before - TICK) * 1e3)
    return late


def ticks_beside(
    start: Start, rest: Callable[[float], object], work: Callable[[], object], n: int
) -> list[float]:
    ends = [start(work) for _ in range(n)]
    late = start(lambda: lateness(rest))()
    for end in ends:
        end()
    assert isinstance(late, list)
    return late


def tick_rows(
    run: Callable[[Callable[[], list[float]]], list[float]],
    start: Start,
    rest: Callable[[float], object],
) -> dict[str, harness.Row]:
    """The rows tick.KIND of a side."""

    def row(work: Callable[[], None], n: int) -> harness.Row:
        return harness.Row("ms", lambda _options: run(lambda: ticks_beside(start, rest, work, n)))

    def with_postgres(_options: harness.Options) -> list[float]:
        with postgres() as conninfo:
            connection = psycopg2_connection(conninfo)
            work = query(connection, f"select pg_sleep({SECONDS})")
            return run(lambda: ticks_beside(start, rest, work, 1))

    rows = {f"tick.{kind}": row(*work) for kind, work in KINDS.items()}
    return {**rows, "tick.psycopg2": harness.Row("ms", with_postgres)}


# ---- two at once ----


def hash_much() -> None:
    hashlib.sha256(bytes(1 << 27)).digest()


def compress_much() -> None:
    zlib.compress(bytes(1 << 26), 6)


def two_rows(
    run: Callable[[Callable[[], list[float]]], list[float]],
    start: Start,
    **more: Callable[[], None],
) -> dict[str, harness.Row]:
    """The rows two.KIND of a side; more: others than what every side has."""

    def took(work: Callable[[], None], n: int) -> float:
        before = time.perf_counter()
        ends = [start(work) for _ in range(n)]
        for end in ends:
            end()
        return time.perf_counter() - before

    def row(work: Callable[[], None]) -> harness.Row:
        def measure(options: harness.Options) -> list[float]:
            return run(lambda: [took(work, 2) / took(work, 1) for _ in range(options.samples)])

        return harness.Row("x", measure)

    works = {"sha256": hash_much, "zlib": compress_much, **more}
    return {f"two.{kind}": row(work) for kind, work in works.items()}


# ---- PostgreSQL ----


@contextmanager
def postgres() -> Iterator[str]:
    """How to connect to a server that is there for so long."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
    from demolib.errors import Unavailable
    from demolib.postgres import Server

    try:
        with Server(max_connections=QUERIES + 20) as server:
            yield server.conninfo
    except Unavailable as reason:
        harness.unmeasured(f"no PostgreSQL server: {reason}")


def psycopg2_connection(conninfo: str) -> Any:
    try:
        import psycopg2
    except ImportError as error:
        harness.unmeasured(error)
    return psycopg2.connect(conninfo)


def query(connection: Any, text: str) -> Callable[[], None]:
    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)
            cursor.fetchall()

    return ask


def queries_at_once(start: Start, asks: list[Callable[[], None]], samples: int) -> list[float]:
    """Milliseconds until all have their answers."""
    found = []
    for _ in range(samples):
        before = time.perf_counter()
        ends = [start(ask) for ask in asks]
        for end in ends:
            end()
        found.append((time.perf_counter() - before) * 1e3)
    return found


def psycopg2_row(
    run: Callable[[Callable[[], list[float]]], list[float]], start: Start
) -> harness.Row:
    """The row pg.psycopg2 of a side."""

    def measure(options: harness.Options) -> list[float]:
        with postgres() as conninfo:
            connections = [psycopg2_connection(conninfo) for _ in range(QUERIES)]
            asks = [query(connection, QUERY) for connection in connections]
            return run(lambda: queries_at_once(start, asks, options.samples))

    return harness.Row("ms", measure)


# ---- one microsecond elsewhere ----


def spin_function() -> Callable[[int], object]:
    """A C function that computes for so many nanoseconds, by ctypes."""
    spin = ctypes.CDLL(harness.target_library()).gsbench_spin
    spin.argtypes = [ctypes.c_int]
    spin.restype = ctypes.c_int
    return spin


# ---- memory ----


def resident_bytes() -> float:
    """Of this process, page tables included."""
    with open("/proc/self/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return sum(float(lines[name].split()[0]) for name in ("VmRSS", "VmPTE")) * 1024
