"""What is in a scheduler trace: OS threads, what ran on them when, and hand-offs between them.

`parse` reads Chrome trace-event JSON, in the shape that the page of `gosched.timeline` describes.
It takes what it can use and leaves out the rest: a trace that was cut short, or that another tool
added events to, is still worth looking at.  Names are cleaned here once for all pictures.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """A stretch of time that a green thread had an OS thread (microseconds)."""

    start: float
    end: float
    g: int
    name: str  # without the leading "G12"; may be empty


@dataclass(frozen=True)
class Call:
    """A foreign call inside a run (microseconds)."""

    start: float
    end: float
    g: int
    name: str  # of the call site, as a rule the C function's
    retaken: bool  # the P was taken from it by sysmon


@dataclass(frozen=True)
class Move:
    """A P left an OS thread that went on in C without it (microseconds)."""

    at: float
    kind: str  # "handoff": given away by the call at its start; "retake": taken by sysmon
    source: int  # the M that lost it
    target: int | None  # the M that got it, if one did at once
    p: int | None
    domain: str


@dataclass
class Row:
    """Everything that happened on one OS thread."""

    m: int
    name: str
    runs: list[Run] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def parts(self) -> list[Run | Call]:
        """Everything on it: the runs, then the calls."""
        return [*self.runs, *self.calls]

    def busy(self) -> float:
        """Microseconds in which a green thread had this thread."""
        return sum(run.end - run.start for run in self.runs)


@dataclass
class Timeline:
    """A trace, ready to be drawn: rows by number of M, hand-offs by time."""

    rows: list[Row]
    moves: list[Move]
    start: float
    end: float

    @property
    def names(self) -> dict[int, str]:
        """The name of every green thread that ran, by its number, in order of appearance."""
        runs = sorted((run for row in self.rows for run in row.runs), key=lambda run: run.start)
        found: dict[int, str] = {}
        for run in runs:
            found[run.g] = found.get(run.g) or run.name
        return found

    def window(self, start: float, end: float) -> Timeline:
        """The part between two times (microseconds since the trace's start)."""
        low, high = self.start + start, self.start + end
        rows = []
        for row in self.rows:
            runs = [
                Run(max(r.start, low), min(r.end, high), r.g, r.name)
                for r in row.runs
                if r.end > low and r.start < high
            ]
            calls = [
                Call(max(c.start, low), min(c.end, high), c.g, c.name, c.retaken)
                for c in row.calls
                if c.end > low and c.start < high
            ]
            if runs or calls:
                rows.append(Row(row.m, row.name, runs, calls))
        moves = [move for move in self.moves if low <= move.at <= high]
        return Timeline(rows, moves, low, high)

    def busiest(self, count: int) -> list[Row]:
        """The `count` rows with the most to show, in the order of their numbers."""
        chosen = sorted(self.rows, key=lambda row: (-row.busy(), row.m))[:count]
        return sorted(chosen, key=lambda row: row.m)


_Event = Mapping[str, Any]
_G_NAME = re.compile(r"G(\d+)\s*(.*)", re.DOTALL)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _integer(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _clean(value: object) -> str:
    """A name that can be in a picture: without characters that XML or a terminal cannot take."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _green_thread(args: Mapping[str, Any], name: str) -> tuple[int, str]:
    """The number and the plain name of the green thread that a slice is about."""
    match = _G_NAME.fullmatch(name)
    g = _integer(args.get("g"))
    if g is None:
        g = int(match.group(1)) if match else 0
    return g, (match.group(2) if match else name)


def _slices(events: Iterable[_Event]) -> Iterable[tuple[_Event, float, float]]:
    """Complete slices with their start and end; begin and end events are paired up."""
    open_slices: dict[object, list[_Event]] = defaultdict(list)
    for event in events:
        at, phase = _number(event.get("ts")), event.get("ph")
        if at is None:
            continue
        if phase == "X":
            yield event, at, at + max(0.0, _number(event.get("dur")) or 0.0)
        elif phase == "B":
            open_slices[event.get("tid")].append(event)
        elif phase == "E" and open_slices[event.get("tid")]:
            begin = open_slices[event.get("tid")].pop()
            start = _number(begin.get("ts")) or at
            yield begin, start, max(start, at)


def parse(trace: Mapping[str, Any] | Sequence[Any]) -> Timeline:
    """The timeline of a decoded trace: the JSON object, or its bare list of events.

    Raises ValueError if there is no list of events in it.
    """
    found = trace.get("traceEvents") if isinstance(trace, Mapping) else trace
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)):
        raise ValueError("the trace has no list named traceEvents: is it trace-event JSON?")
    # Process 1 has the OS threads; the others show the same by green thread and by P.
    events = [e for e in found if isinstance(e, Mapping) and e.get("pid", 1) == 1]

    rows: dict[int, Row] = {}

    def row_of(value: object) -> Row | None:
        m = _integer(value)
        return None if m is None else rows.setdefault(m, Row(m, f"M{m}"))

    for event, start, end in _slices(events):
        row = row_of(event.get("tid"))
        args = event.get("args")
        args = args if isinstance(args, Mapping) else {}
        name = _clean(event.get("name"))
        if row is None:
            continue
        if event.get("cat") == "g":
            row.runs.append(Run(start, end, *_green_thread(args, name)))
        elif event.get("cat") == "call":
            g = _integer(args.get("g")) or 0
            row.calls.append(Call(start, end, g, name, args.get("retaken") is True))

    moves: list[Move] = []
    for event in events:
        args = event.get("args")
        args = args if isinstance(args, Mapping) else {}
        phase, kind, at = event.get("ph"), event.get("name"), _number(event.get("ts"))
        if phase == "M" and kind == "thread_name" and args.get("name"):
            row = row_of(event.get("tid"))
            if row is not None:
                row.name = _clean(args["name"])
        elif phase in ("i", "I") and kind in ("handoff", "retake") and at is not None:
            source = _integer(args.get("from"))
            source = _integer(event.get("tid")) if source is None else source
            if source is not None:
                target, p = _integer(args.get("to")), _integer(args.get("p"))
                moves.append(Move(at, str(kind), source, target, p, _clean(args.get("domain"))))

    shown = [row for row in rows.values() if row.runs or row.calls]
    for row in shown:
        row.runs.sort(key=lambda run: (run.start, -run.end))
        row.calls.sort(key=lambda call: (call.start, -call.end))
    shown.sort(key=lambda row: row.m)
    moves.sort(key=lambda move: move.at)
    times = [t for row in shown for s in row.parts for t in (s.start, s.end)]
    return Timeline(shown, moves, min(times, default=0.0), max(times, default=0.0))


def load(path: str | Path) -> Timeline:
    """The timeline of a trace file.  Raises OSError, or ValueError if it is no trace."""
    return parse(json.loads(Path(path).read_text(encoding="utf-8", errors="replace")))


# ---- words and numbers that all pictures use --------------------------------------------------


def ticks(span: float, most: int) -> list[float]:
    """Round times from 0 to span, `most` of them or fewer."""
    if span <= 0:
        return [0.0]
    rough = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999999)
    return [step * i for i in range(int(span / step + 1e-9) + 1)]


def unit_of(span: float) -> tuple[float, str]:
    """The unit to show a span of microseconds in: how many microseconds it has, and its name."""
    if span < 2_000:
        return 1.0, "µs"
    if span < 5_000_000:
        return 1_000.0, "ms"
    return 1_000_000.0, "s"


def amount(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def headline(timeline: Timeline, rows: Sequence[Row]) -> str:
    """One line that says what the picture shows."""
    span = timeline.end - timeline.start
    size, unit = unit_of(span)
    length = span / size
    shown = f"{length:.0f}" if length >= 10 else f"{length:.1f}"
    greens = len({run.g for row in rows for run in row.runs})
    calls = sum(len(row.calls) for row in rows)
    handoffs = sum(move.target is not None for move in timeline.moves)
    parts = [
        f"{shown} {unit}",
        counted(greens, "green thread"),
        f"on {counted(len(rows), 'OS thread')}",
        counted(calls, "foreign call"),
        counted(handoffs, "hand-off"),
    ]
    return f"{parts[0]}: {parts[1]} {parts[2]}, {parts[3]}, {parts[4]}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
