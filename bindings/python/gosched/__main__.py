"""python -m gosched SCRIPT: runs a program inside gosched.run.

``python -m gosched top`` and ``python -m gosched timeline`` are programs of their own
(gosched/top.py, gosched/timeline.py); a script of that name is run as ./top.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import gosched

from . import timeline, top


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gosched",
        description="Runs a Python program as the main green thread of gosched.run, so that it can "
        "use gosched.go and the rest without asking for it.",
        epilog="python -m gosched timeline draws what --trace wrote; "
        "python -m gosched top shows a program that runs.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gosched {gosched.__version__}")
    parser.add_argument(
        "--trace", metavar="FILE", help="record what ran where, as trace-event JSON"
    )
    parser.add_argument(
        "--stats", action="store_true", help="print the scheduler's counters at the end"
    )
    parser.add_argument(
        "--patch",
        action="store_true",
        help="sockets, select and time.sleep wait without a thread (gosched.patch)",
    )
    parser.add_argument(
        "-m", metavar="MODULE", dest="module", help="run a module, as python -m does"
    )
    parser.add_argument("script", nargs="?", help="a Python file, a directory or a zip file")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the program's own arguments")
    return parser


def _program(options: argparse.Namespace) -> None:
    if options.module is not None:
        given = [] if options.script is None else [options.script]
        sys.argv = [options.module, *given, *options.args]
        sys.path[0] = ""
        runpy.run_module(options.module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [options.script, *options.args]
        sys.path[0] = str(options.script).rpartition("/")[0]
        runpy.run_path(options.script, run_name="__main__")


def _print_stats() -> None:
    for name, value in gosched.stats().items():
        print(f"{name:20} {value}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; what it raises, SystemExit too, ends this program as it would have."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["top"]:
        return top.main(given[1:])
    if given[:1] == ["timeline"]:
        return timeline.main(given[1:])
    parser = _parser()
    options = parser.parse_args(given)
    if options.module is None and options.script is None:
        parser.error("give a script, or a module by -m")
    if options.patch:
        gosched.patch()
    with ExitStack() as stack:
        if options.stats:
            stack.callback(_print_stats)
        if options.trace:
            stack.enter_context(gosched.trace(options.trace))
        gosched.run(_program, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
