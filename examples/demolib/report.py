"""What the demo says while it works and when it is done."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Outcome:
    """One line of the table.  Times are seconds."""

    library: str
    what: str
    greens: int
    calls: int
    wall: float
    alone: float  # what the same calls take one after another
    threads: int  # OS threads that the green threads were seen on
    worst: float  # how late the ticker was at worst


class Progress:
    """A line that changes while it is on a terminal, a line for every step elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self._next = 0.0

    def say(self, words: str) -> None:
        """A line that stays."""
        erase = "\r\x1b[K" if self.live else ""
        print(f"{erase}{words}", file=self.stream, flush=True)

    def step(self, words: str) -> None:
        """What begins now: it is replaced by the next line on a terminal."""
        if self.live:
            self._show(words)
        else:
            self.say(words)

    def update(self, words: str, done: int, total: int) -> None:
        """How far it is; on a terminal only, ten times a second at most."""
        now = time.monotonic()
        if not self.live or now < self._next:
            return
        self._next = now + 0.1
        room = 24
        full = room * done // max(1, total)
        self._show(f"{words} {'█' * full}{'░' * (room - full)} {done}/{total}")

    def _show(self, words: str) -> None:
        columns = shutil.get_terminal_size().columns
        self.stream.write(f"\r\x1b[K{words[: columns - 1]}")
        self.stream.flush()


def seconds(value: float) -> str:
    """A duration with three digits or so: "0.8 ms", "120 ms", "3.42 s"."""
    if value < 0.010:
        return f"{value * 1000:.1f} ms"
    if value < 1.0:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def speed_up(outcome: Outcome) -> str:
    """How many times faster than one after another."""
    ratio = outcome.alone / max(outcome.wall, 1e-9)
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as an aligned table."""
    lines: list[tuple[str, ...]] = [
        ("", "", "", "green", "OS", "wall", "one by", "", "ticker"),
        (
            "library",
            "one call",
            "calls",
            "threads",
            "threads",
            "time",
            "one*",
            "speed-up",
            "late**",
        ),
    ]
    for o in outcomes:
        counts = (f"{o.calls:,}", f"{o.greens:,}", f"{o.threads:,}")
        times = (seconds(o.wall), seconds(o.alone), speed_up(o), seconds(o.worst))
        lines.append((o.library, o.what, *counts, *times))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(2, tuple("-" * width for width in widths))
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text) + "\n"
