"""The command line: python -m driver, or bench/run.py."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import facts, measure, plots, report
from .rows import ROWS, UnknownRowError, batches, select
from .sides import BENCH, Programs

ROOT = BENCH.parent


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measures gosched beside Go, pthreads and Python's libraries; prints ratios.",
        epilog="Ends with 1 if a side that is there did not work; a missed goal is no error.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows, groups (py) or patterns")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw every row, as SVG in there")
    parser.add_argument("--quick", action="store_true", help="one short round, within a minute")
    parser.add_argument("--rounds", type=positive, help="times each side is run")
    parser.add_argument("--samples", type=positive, help="samples of one run")
    parser.add_argument("--pin", type=int, metavar="CPU", help="let every side have this CPU only")
    default = os.environ.get("GOSCHED_BUILD", str(ROOT / "build" / "release"))
    parser.add_argument(
        "--build", type=Path, default=Path(default), help="build tree [%(default)s]"
    )
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} given, 1 or more accepted")
    return value


def plan(options: argparse.Namespace) -> measure.Plan:
    """How thorough the run is."""
    result = measure.QUICK if options.quick else measure.DEFAULT
    if options.rounds is not None:
        result = replace(result, rounds=options.rounds, cold_rounds=options.rounds)
    if options.samples is not None:
        result = replace(result, samples=options.samples)
    return result


def pin(cpu: int) -> str:
    """Bind this process and all it starts to one CPU; why not, if that fails."""
    allowed = os.sched_getaffinity(0)
    if cpu not in allowed:
        return f"--pin: CPU {cpu} given, one of {sorted(allowed)} accepted"
    os.sched_setaffinity(0, {cpu})
    return ""


def tally(results: Sequence[report.Result]) -> str:
    """How many goals are met."""
    counts = Counter(verdict.verdict for result in results for verdict in result.verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in ("met", "missed", "unmeasured"))


def write_json(path: Path, known: dict[str, Any], results: Sequence[report.Result]) -> None:
    """Everything that was found, with every sample."""
    content = {"facts": known, "rows": [report.json_row(result) for result in results]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = parse(arguments)
    try:
        chosen = select(options.names)
    except UnknownRowError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(row.name for row in chosen or ROWS))
        return 0
    programs = Programs(options.build.resolve())
    groups = batches(chosen)
    for program in sorted({side.program for batch in groups for side in batch.sides}):
        programs.command(program)  # building now keeps the machine quiet later
    if options.pin is not None and (problem := pin(options.pin)):
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    known = facts.gather(ROOT, programs.build, programs.command("c"))
    print("\n".join(facts.summary(known)), end="\n\n")
    print(report.header(), flush=True)
    start = time.monotonic()
    results: list[report.Result] = []
    notes = report.Footnotes()
    for batch in groups:
        outcomes = measure.measure(batch, plan(options), programs.run)
        for row in batch.rows:
            results.append(report.Result(row, outcomes))
            print("\n".join(report.lines(results[-1], notes)), flush=True)
    seconds = time.monotonic() - start
    print(
        "", *notes.lines, *report.legend(), f"Goals: {tally(results)}.  {seconds:.0f} s.", sep="\n"
    )
    if options.json is not None:
        write_json(options.json, {**known, "seconds": round(seconds, 1)}, results)
    if options.plot is not None:
        try:
            print(*(f"drawn: {path}" for path in plots.draw(results, options.plot)), sep="\n")
        except ImportError as error:
            print(f"bench: no pictures: {error}", file=sys.stderr)
    failures = list(dict.fromkeys(text for result in results for text in result.failures))
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
