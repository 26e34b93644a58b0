"""Draws a scheduler trace: which OS thread ran which green thread when.

The input is what ``gosched.trace`` (C: ``gs_trace_stop``) writes, Chrome trace-event JSON:

* slices (``ph: X``) of category ``g``: a green thread ran on a thread; ``tid`` is the number of the
  M, ``name`` is ``"G12 name"``, ``args.g`` the green thread;
* slices of category ``call`` inside them: a foreign call, named after its call site;
* instants (``ph: i``) of category ``sched``: a P left an M.  ``handoff``: a call that is known to
  be long gave it away at its start; ``retake``: sysmon took it from a call that turned out long.
  ``args`` are ``p``, ``domain``, ``from`` and ``to`` (Ms; ``to`` is null if nobody got it at once);
* metadata (``ph: M``) ``thread_name``.

Times are microseconds.  Whatever is missing, or is of another kind, is left out of the picture: a
trace that was cut short is still worth looking at.

There are two pictures of the same thing.  ``svg`` makes a page-wide SVG with one row per thread:
green threads in colours, solid where their own code runs and hatched where they are inside a
foreign call, an arrow for every hand-off of a P.  ``text`` makes the same rows out of block
characters for a terminal.

From the command line::

    python -m gosched timeline trace.json -o out.svg
    python -m gosched timeline trace.json --text --from 20 --to 60      # milliseconds
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ._trace_model import Call, Move, Row, Run, Timeline, load, parse
from ._trace_svg import MAX_ROWS, svg
from ._trace_text import text

__all__ = ["Call", "Move", "Row", "Run", "Timeline", "load", "main", "parse", "svg", "text"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gosched timeline", description="Draw a gosched trace."
    )
    parser.add_argument("trace", help="trace-event JSON written by gosched.trace")
    parser.add_argument("-o", "--output", help="write the picture to this SVG file")
    parser.add_argument("--text", action="store_true", help="print the picture as text")
    parser.add_argument("--from", dest="start", type=float, help="milliseconds to begin at")
    parser.add_argument("--to", dest="end", type=float, help="milliseconds to end at")
    parser.add_argument("--rows", type=int, default=MAX_ROWS, help="most threads to show")
    parser.add_argument("--title", help="the heading of the SVG")
    options = parser.parse_args(argv)
    if not options.output and not options.text:
        parser.error("nothing to do: give -o FILE, or --text, or both")
    if options.rows < 1:
        parser.error(f"--rows {options.rows}: at least 1 is needed")
    try:
        timeline = load(options.trace)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {options.trace}: {error}", file=sys.stderr)
        return 1
    span = (timeline.end - timeline.start) / 1000
    start = 0.0 if options.start is None else options.start
    end = span if options.end is None else options.end
    if not 0 <= start < max(end, 1e-9):
        parser.error(f"--from {start:g} --to {end:g}: the trace lasts from 0 to {span:g} ms")
    if options.start is not None or options.end is not None:
        timeline = timeline.window(start * 1000, min(end, span) * 1000)
    if not timeline.rows:
        print(f"{parser.prog}: {options.trace}: nothing ran in it", file=sys.stderr)
        return 1
    if options.output:
        Path(options.output).write_text(
            svg(timeline, title=options.title, max_rows=options.rows), encoding="utf-8"
        )
    if options.text:
        columns = max(40, shutil.get_terminal_size((100, 24)).columns)
        colour = sys.stdout.isatty()
        print(text(timeline, columns=columns, max_rows=options.rows, colour=colour), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
