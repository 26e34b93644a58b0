"""The sides of a row by turns, several rounds.

A machine's speed drifts: with its temperature, its neighbours, what else runs.  So the sides of a
row are not measured one after another but in rounds, floor, gosched, references, and again, each in
a fresh process: what slows a round slows all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .rows import Batch, Side
from .sides import Effort
from .stats import Outcome


@dataclass(frozen=True)
class Plan:
    """How thorough a run is."""

    rounds: int
    cold_rounds: int  # where a process gives one sample only
    samples: int  # of a process
    target_ms: float
    quick: bool = False

    def effort(self, solo: bool) -> Effort:
        """What one process is asked for.

        A thread that computes alone is looked at in as much time, but in pieces so short that
        other programs leave some of them whole.
        """
        if not solo:
            return Effort(self.samples, self.target_ms)
        return Effort(self.samples * PIECES, self.target_ms / PIECES)


DEFAULT = Plan(rounds=3, cold_rounds=5, samples=5, target_ms=20)
PIECES = 40
QUICK = Plan(rounds=1, cold_rounds=1, samples=3, target_ms=10, quick=True)

Run = Callable[[Side, Effort], Outcome]


def measure(batch: Batch, plan: Plan, run: Run) -> dict[Side, Outcome]:
    """Measure every side of the batch, by turns.  A side without an outcome is not asked again."""
    outcomes: dict[Side, Outcome] = {}
    effort = plan.effort(batch.solo)
    for turn in range(plan.cold_rounds if batch.cold else plan.rounds):
        for side in batch.sides:
            if side.slow and plan.quick:
                outcomes[side] = Outcome(why="takes long, left out by --quick")
            elif turn == 0:
                outcomes[side] = run(side, effort)
            elif not outcomes[side].why and not side.slow:
                add(outcomes[side], run(side, effort))
    return outcomes


def add(outcome: Outcome, more: Outcome) -> None:
    """Add another round's samples; a side that failed once has failed."""
    if more.why:
        outcome.samples = {}
        outcome.why, outcome.failed = more.why, more.failed
    for quantity, samples in more.samples.items():
        outcome.samples.setdefault(quantity, []).extend(samples)
