"""Pictures of a run: for each row, every side's figure beside the others', and how the samples lie.

matplotlib draws them; without it there are none, and the run says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .report import Result
from .stats import OURS

OUR_COLOUR, OTHER_COLOUR, FLOOR_COLOUR = "#1b7837", "#9aa0a6", "#d9c27a"
ROW_HEIGHT = 0.32  # inches for one side


def group_of(result: Result) -> str:
    """The picture that a row is in: call, py.tick, block, ..."""
    parts = result.row.name.split(".")
    return ".".join(parts[:2]) if parts[0] == "py" and len(parts) > 2 else parts[0]


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """One picture for each group of rows, as SVG in folder.  Raises ImportError."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.figures(result.row.ours) is not None:
            groups.setdefault(group_of(result), []).append(result)
    written = []
    for name, rows in groups.items():
        sides = sum(len(result.row.sides) for result in rows)
        figure, axes = pyplot.subplots(
            len(rows),
            1,
            figsize=(8, ROW_HEIGHT * sides + 0.75 * len(rows)),
            squeeze=False,
            height_ratios=[len(result.row.sides) for result in rows],
            layout="constrained",
        )
        for axis, result in zip(axes[:, 0], rows, strict=True):
            draw_row(axis, result)
        written.append(folder / f"{name}.svg")
        figure.savefig(written[-1], metadata={"Date": None})
        pyplot.close(figure)
    return written


def draw_row(axis: Any, result: Result) -> None:
    """The sides of one row, gosched on top: a bar to its figure, and a dot for every sample."""
    sides = [result.row.ours, *(side for side in result.row.sides if side != result.row.ours)]
    shown = [(side, result.figures(side)) for side in sides]
    bars = [(side, found) for side, found in shown if found is not None]
    for at, (side, found) in enumerate(bars):
        colour = (
            OUR_COLOUR
            if side.label == OURS
            else FLOOR_COLOUR
            if side == result.row.floor
            else OTHER_COLOUR
        )
        value = found.high if result.row.events else found.typical
        axis.barh(at, value, color=colour, height=0.7)
        samples = result.outcomes[side].samples[result.row.quantity]
        if len(samples) <= 100:
            axis.plot(samples, [at] * len(samples), "|", color="#202124", markersize=6, alpha=0.5)
        axis.annotate(f" {value:,.4g}", (value, at), va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [side.label for side, _ in bars], fontsize=8)
    axis.invert_yaxis()
    what = "p99" if result.row.events else "minimum" if result.row.solo else "median"
    axis.set_title(f"{result.row.name}, {result.unit} ({what})", fontsize=9, loc="left")
    axis.tick_params(axis="x", labelsize=7)
    for edge in ("top", "right"):
        axis.spines[edge].set_visible(False)
