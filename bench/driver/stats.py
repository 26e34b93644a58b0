"""Samples to figures, figures to verdicts.

A row is judged by two figures of its samples: minimum and median where a sample is the mean of
many operations (the minimum is what the machine can do, the median what it usually does), p50 and
p99 where each sample is one event.  A ratio is one of medians, or of p50s; where one thread
computes and waits for nobody, what is above the minimum is the time of others, and a ratio is one
of minima.

What was not measured is never "met": a verdict needs both figures it compares.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MET = "met"
MISSED = "missed"
UNMEASURED = "unmeasured"
OURS = "gosched"  # the label of the side that is judged


@dataclass(frozen=True)
class Figures:
    """Two figures of a side's samples, the one it is compared by, and how many samples there were.

    low and typical are minimum and median of loops, p50 and p50 of events, minimum and minimum of
    loops of one thread; high is p99 of events, and the median of loops of one thread.
    """

    low: float
    typical: float
    high: float
    count: int


@dataclass
class Outcome:
    """What came of measuring one side: samples, or why there are none."""

    samples: dict[str, list[float]] = field(default_factory=dict)  # by quantity: time, rss, threads
    unit: str = ""
    why: str = ""  # not empty: the side was not measured
    failed: bool = False  # it was there and did not work, which is an error


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a sample that was seen, not a value between two."""
    if not samples:
        raise ValueError("samples is empty; at least one is needed")
    rank = math.ceil(percent / 100 * len(samples))
    return sorted(samples)[max(rank, 1) - 1]


def figures(samples: Sequence[float], events: bool, solo: bool = False) -> Figures:
    """The figures of samples that are single events, or means of loops, of one thread or not."""
    if solo:
        return Figures(min(samples), min(samples), statistics.median(samples), len(samples))
    if events:
        p50 = percentile(samples, 50)
        return Figures(p50, p50, percentile(samples, 99), len(samples))
    return Figures(min(samples), statistics.median(samples), max(samples), len(samples))


@dataclass(frozen=True)
class Goal:
    """gosched's figure shall be at most `limit`, in units that depend on what it is held against.

    times    limit times the figure of the side `against`
    plus     the figure of the side `against` plus limit, in the row's unit
    at most  limit, in the row's unit
    """

    kind: str
    limit: float
    against: str = ""
    figure: str = "typical"  # an attribute of Figures
    note: str = ""  # where the limit comes from, if it is not the anchor's own ratio

    def text(self, unit: str) -> str:
        """The goal as the table shows it."""
        figure = {"typical": "", "high": "p99 "}[self.figure]
        note = f" ({self.note})" if self.note else ""
        if self.kind == "times":
            return f"{figure}<= {self.limit:g}x {self.against}{note}"
        if self.kind == "plus":
            return f"{figure}<= {self.against} + {self.limit:g} {unit}{note}"
        return f"{figure}<= {self.limit:g} {unit}{note}"


@dataclass(frozen=True)
class Verdict:
    """Whether a goal is met, and the number that says so: a ratio, a difference or a figure."""

    verdict: str
    value: float | None
    missing: str = ""  # the side without which there is no verdict


def times(limit: float, against: str, figure: str = "typical", note: str = "") -> Goal:
    """At most `limit` times what the side called `against` takes."""
    return Goal("times", limit, against, figure, note)


def plus(limit: float, against: str) -> Goal:
    """At most `limit` more than what the side called `against` takes."""
    return Goal("plus", limit, against)


def at_most(limit: float, figure: str = "typical") -> Goal:
    """At most `limit`, whatever the others take."""
    return Goal("at most", limit, "", figure)


def judge(goal: Goal, ours: Figures | None, others: Mapping[str, Figures | None]) -> Verdict:
    """Hold gosched's figures against the goal."""
    if ours is None:
        return Verdict(UNMEASURED, None, OURS)
    mine: float = getattr(ours, goal.figure)
    if goal.kind == "at most":
        return Verdict(MET if mine <= goal.limit else MISSED, mine)
    other = others.get(goal.against)
    if other is None:
        return Verdict(UNMEASURED, None, goal.against)
    theirs: float = getattr(other, goal.figure)
    if goal.kind == "plus":
        return Verdict(MET if mine <= theirs + goal.limit else MISSED, mine - theirs)
    if theirs <= 0:
        return Verdict(UNMEASURED, None, goal.against)
    return Verdict(MET if mine <= goal.limit * theirs else MISSED, mine / theirs)


def ratio(ours: Figures | None, other: Figures | None) -> float | None:
    """gosched's typical figure over another side's; None where there is nothing to divide."""
    if ours is None or other is None or other.typical <= 0:
        return None
    return ours.typical / other.typical
