"""The table and the JSON file.

A row takes as many lines as it has references or goals, whichever are more: the reference, its
figures and the ratio on the left of a line have nothing to do with the goal on the right of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .rows import Row, Side
from .stats import UNMEASURED, Figures, Outcome, Verdict, figures, judge, ratio

COLUMNS = (
    ("row", 22),
    ("unit", 7),
    ("floor", 15),
    ("gosched", 17),
    ("reference", 39),
    ("ratio", 6),
    ("goal", 32),
    ("verdict", 0),
)
UNITS = {"rss": "MiB", "threads": "threads"}


@dataclass
class Footnotes:
    """Reasons for which something was not measured: too long for a cell, and often the same."""

    reasons: list[str] = field(default_factory=list)

    def mark(self, outcome: Outcome) -> str:
        """The text for a side without figures: a word and the number of its footnote."""
        reason = outcome.why or "the side does not say"
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"{'failed' if outcome.failed else UNMEASURED} [{self.reasons.index(reason) + 1}]"

    @property
    def lines(self) -> list[str]:
        """All of them, for the end of the table."""
        return [f"[{number}] {reason}" for number, reason in enumerate(self.reasons, 1)]


@dataclass
class Result:
    """A row with what came of it."""

    row: Row
    outcomes: Mapping[Side, Outcome]

    def figures(self, side: Side) -> Figures | None:
        """The side's figures; None if it was not measured."""
        samples = self.outcomes[side].samples.get(self.row.quantity)
        return figures(samples, self.row.events, self.row.solo) if samples else None

    @property
    def unit(self) -> str:
        """The unit of the row's figures; "" if no side was measured."""
        if self.row.quantity != "time":
            return UNITS[self.row.quantity]
        return next(
            (o.unit for s, o in self.outcomes.items() if s in self.row.sides and o.unit), ""
        )

    @property
    def verdicts(self) -> list[Verdict]:
        """One for each goal."""
        ours = self.figures(self.row.ours)
        others = {side.label: self.figures(side) for side in self.row.sides}
        return [judge(goal, ours, others) for goal in self.row.goals]

    @property
    def failures(self) -> list[str]:
        """The sides that were there and did not work."""
        return [
            f"{self.row.name}: {side.label} failed: {self.outcomes[side].why}"
            for side in self.row.sides
            if self.outcomes[side].failed
        ]


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def quotient(value: float | None) -> str:
    """A ratio, with three decimals where two would hide it."""
    if value is None:
        return "-"
    return f"{value:.3f}x" if value < 0.1 else f"{value:.2f}x"


def line(*cells: str) -> str:
    """One line of the table.  A cell that is too long for its column moves the others."""
    padded = [cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
    return " ".join(padded).rstrip()


def header() -> str:
    """The head of the table."""
    titles = line(*(title for title, _ in COLUMNS))
    return f"{titles}\n{'-' * 150}"


def verdict_text(result: Result, verdict: Verdict, kind: str, notes: Footnotes) -> str:
    """A verdict with the number it rests on, or with the reason why there is none."""
    if verdict.value is None:
        missing = next(side for side in result.row.sides if side.label == verdict.missing)
        return notes.mark(result.outcomes[missing])
    value = {
        "times": quotient(verdict.value),
        "plus": f"{verdict.value:+.1f} {result.unit}",
        "at most": f"{number(verdict.value)} {result.unit}",
    }[kind]
    return f"{verdict.verdict}: {value}"


def figures_text(result: Result, side: Side, notes: Footnotes) -> str:
    """The cell of a side: its figures, or that there are none."""
    found = result.figures(side)
    if found is None:
        return notes.mark(result.outcomes[side])
    second = found.high if result.row.events or result.row.solo else found.typical
    return f"{number(found.low)} / {number(second)}"


def reference_text(result: Result, side: Side, notes: Footnotes) -> tuple[str, str]:
    """The cells "reference" and "ratio" of one reference."""
    text = f"{figures_text(result, side, notes)} {side.label}"
    return text, quotient(ratio(result.figures(result.row.ours), result.figures(side)))


def lines(result: Result, notes: Footnotes) -> list[str]:
    """The lines of one row."""
    row, unit = result.row, result.unit
    ours = figures_text(result, row.ours, notes)
    floor = "" if row.floor is None else figures_text(result, row.floor, notes)
    references = [reference_text(result, side, notes) for side in row.references]
    goals = [
        (goal.text(unit), verdict_text(result, verdict, goal.kind, notes))
        for goal, verdict in zip(row.goals, result.verdicts, strict=True)
    ]
    heads = itertools.chain([(row.name, unit, floor, ours)], itertools.repeat(("", "", "", "")))
    rest = itertools.zip_longest(references or [("", "")], goals, fillvalue=("", ""))
    return [
        line(*head, *reference, *goal) for head, (reference, goal) in zip(heads, rest, strict=False)
    ]


def legend() -> list[str]:
    """What the columns mean, below the table."""
    return [
        "Figures: minimum / median; hand-offs and sleeps: p50 / p99.  "
        "Ratio: gosched / reference, of medians or p50s,",
        "where one thread computes alone of minima; below 1 gosched is faster.",
        "Floor: what the machine costs without a scheduler.  A goal with another system's name in "
        "brackets is that system's distance from Go.  More: bench/README.md.",
    ]


def json_row(result: Result) -> dict[str, Any]:
    """A row as the JSON file has it, with every sample."""
    row = result.row
    sides = {}
    for side in row.sides:
        found, outcome = result.figures(side), result.outcomes[side]
        role = "gosched" if side == row.ours else "floor" if side == row.floor else "reference"
        entry: dict[str, Any] = {"role": role, "samples": outcome.samples.get(row.quantity, [])}
        if found is None:
            entry["why"] = outcome.why
        elif row.events:
            entry |= {"p50": found.low, "p99": found.high}
        elif row.solo:
            entry |= {"min": found.low, "median": found.high}
        else:
            entry |= {"min": found.low, "median": found.typical}
        if side != row.ours:
            entry["ratio"] = ratio(result.figures(row.ours), found)
        sides[side.label] = entry
    goals = [
        {
            "goal": goal.text(result.unit),
            "verdict": verdict.verdict,
            "value": verdict.value,
            "missing": verdict.missing,
        }
        for goal, verdict in zip(row.goals, result.verdicts, strict=True)
    ]
    return {"row": row.name, "unit": result.unit, "sides": sides, "goals": goals}
