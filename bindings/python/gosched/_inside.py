"""dump, snapshot and trace: the scheduler seen from outside."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, NamedTuple

from gosched import _gosched, _stacks


def dump(file: IO[Any] | int | None = None) -> None:
    """Writes every green thread (G), OS thread (M) and processor (P) as text, then the stacks.

    Those of other languages in the process are asked for, and a language that does not answer in
    time is told as busy (GOSCHED_DUMP_WAIT_MS).  Python's come last.

    file: a file, binary or text, or a descriptor; None: sys.stderr.
    """
    target: Any = sys.stderr if file is None else file
    if target is None:
        return
    stacks = _stacks.stacks(sys._getframe().f_back).encode(errors="replace")
    if isinstance(target, int):
        _dump(target, stacks)
        return
    try:
        fd = target.fileno()
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as copy:
            _dump(copy.fileno(), stacks)
            copy.seek(0)
            text = copy.read()
        binary = not hasattr(target, "encoding") and hasattr(target, "getbuffer")
        target.write(text if binary else text.decode(errors="replace"))
        return
    target.flush()
    _dump(fd, stacks)


def _dump(fd: int, stacks: bytes) -> None:
    _gosched._dump(fd)
    with open(fd, "wb", buffering=0, closefd=False) as out:
        for at in range(0, len(stacks), 65536):
            out.write(stacks[at : at + 65536])


class Metric(NamedTuple):
    """What one of the figures is."""

    name: str
    kind: str  #: 'counter', 'gauge' or 'histogram'
    unit: str  #: 'threads', 'bytes', 'seconds', …
    stable: bool  #: it stays as it is in all versions with this first number
    text: str


def metrics() -> list[Metric]:
    """The catalogue of the figures: the keys of stats() and of histograms(), and their meaning."""
    return [Metric(*m) for m in _gosched._metrics()]


@dataclass(frozen=True)
class Histogram:
    """How long something took, how often."""

    count: int
    sum: float  #: seconds, of all
    buckets: tuple[int, ...]  #: how many took up to bounds()[i] and more than bounds()[i - 1]

    def bounds(self) -> list[float]:
        """The upper end of each bucket in seconds; the last one's is infinite."""
        return [*(1e-6 * 2**i for i in range(len(self.buckets) - 1)), float("inf")]


def histograms() -> dict[str, Histogram]:
    """The times that the scheduler has measured, by name.

    They are taken where a clock costs nothing in comparison: foreign calls that lost their P,
    hand-offs, green threads that waited for a P.  See metrics().
    """
    return {name: Histogram(*h) for name, h in _gosched._histograms().items()}


class Profiled(NamedTuple):
    """A C function in the profile."""

    name: str
    blocked: int  #: calls during which others got the P, those under way included
    blocked_seconds: float  #: how long these took
    longest_seconds: float
    retakes: int  #: how often sysmon had to take the P
    samples: int  #: times that a call which kept its P was seen under way
    sampled_seconds: float  #: an estimate of the time in such calls
    now: int  #: calls under way right now


def profile() -> list[Profiled]:
    """The C functions that were seen to block, those that took the most time first.

    Always on: nothing is done for it where a call begins or ends.
    """
    return [Profiled(*entry) for entry in _gosched._profile()]


class G(NamedTuple):
    """A green thread, of any language."""

    id: int
    name: str
    state: str  #: 'idle', 'runnable', 'running', 'syscall', 'waiting' or 'dead'
    wait_reason: str  #: what it waits in, or ''
    domain: str
    call: str | None  #: the foreign call that it is in
    m: int  #: the M that runs it, or ran it last; -1: none yet
    locked_m: int  #: the only M that may run it; -1: any
    system: bool
    cancelled: bool
    since: float  #: when its wait or its blocked call began, at the latest; 0.0: unknown


class M(NamedTuple):
    """An OS thread of the scheduler."""

    id: int
    tid: int
    mode: str  #: 'inside' the scheduler, in a foreign 'call', in 'user' code, or 'stopped'
    p: int  #: the P that it has; -1: none
    domain: str | None  #: that P's
    g: int  #: the green thread that it runs; 0: none
    locked_g: int  #: the only one that it may run; 0: any
    incgo: bool  #: in foreign code right now
    ncgo: int  #: foreign calls under way
    ncgocall: int  #: foreign calls ever made
    idle: bool
    spinning: bool


class P(NamedTuple):
    """The right to run in a domain."""

    domain: str
    id: int
    state: str  #: 'idle', 'running', 'syscall', 'stopped' or 'dead'
    m: int  #: the M that has it; -1: none
    runq: int  #: green threads in its own queue
    schedtick: int
    syscalltick: int


class Snapshot(NamedTuple):
    """What there was at a moment."""

    when: float  #: seconds, monotonic
    gs: list[G]
    ms: list[M]
    ps: list[P]


def snapshot() -> Snapshot:
    """Every green thread, OS thread and P there is, of all languages.

    Nothing is stopped for it: each figure is right, all of them together are not of one instant.
    Works on any thread; empty before the first gosched.run.
    """
    when, gs, ms, ps = _gosched._snapshot()
    return Snapshot(when, [G(*g) for g in gs], [M(*m) for m in ms], [P(*p) for p in ps])


class trace:  # noqa: N801 - used like a function
    """Records what ran where::

        with gosched.trace("out.json"):
            ...

    writes the newest scheduler events of the block as Chrome trace-event JSON, for
    https://ui.perfetto.dev or ``python -m gosched timeline``.

    Raises Error if a trace is being recorded already, OSError if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)

    def __enter__(self) -> trace:
        _gosched._trace_start(self.path)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _gosched._trace_stop(self.path)
