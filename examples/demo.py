"""Green threads of Python call blocking C libraries of this machine, hundreds at once.

It loads libc, SQLite, zlib and, where a server is installed, PostgreSQL's libpq.  First it traces a
tenth of a second in which a few green threads use all of them, for the picture.  Then it calls each
from hundreds of green threads at the same time, next to a ticker that wants to run every 10 ms.

    ./dev demo                   the whole thing
    ./dev demo --postgres        installs a PostgreSQL server first, if there is none
    ./dev demo --quick           three seconds instead of fifteen
    ./dev demo --picture FILE    where to write the picture
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import gosched
from demolib import libraries
from demolib.errors import Mismatch, Unavailable
from demolib.libraries import Workload
from demolib.postgres import Server
from demolib.report import Outcome, Progress, table
from demolib.runner import Ticker, measure, named
from gosched import timeline

NOTES = """\
 * from a sample of the same calls, made by one green thread alone; the results are compared
** the worst delay of a green thread that sleeps 10 ms at a time next to these calls
"""

LOOK = 120_000.0  # microseconds of the trace that are drawn


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="./dev demo", description="Call blocking C libraries from hundreds of green threads."
    )
    parser.add_argument("--quick", action="store_true", help="a smaller run of some seconds")
    parser.add_argument(
        "--postgres", action="store_true", help="PostgreSQL is wanted: ./dev installs a server"
    )
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out")
    folder = os.environ.get("GOSCHED_BUILD", ".")
    parser.add_argument(
        "--picture", type=Path, default=Path(folder, "demo.svg"), help="where to draw (SVG)"
    )
    parser.add_argument("--trace", type=Path, help="keep the trace (trace-event JSON) here")
    options = parser.parse_args(argv)
    if options.postgres and options.no_postgres:
        parser.error("--postgres and --no-postgres contradict each other")
    if not options.picture.parent.is_dir():
        parser.error(f"--picture {options.picture}: there is no folder {options.picture.parent}")
    return options


def start_postgres(
    options: argparse.Namespace, stack: contextlib.ExitStack, progress: Progress
) -> Server | None:
    """A running private server; or None, and a line that says why."""
    if options.no_postgres:
        progress.say("PostgreSQL: left out (--no-postgres)")
        return None
    try:
        progress.step("PostgreSQL: starting a private server on a Unix socket")
        return stack.enter_context(Server(max_connections=130))
    except Unavailable as reason:
        hint = "" if options.postgres else "; ./dev demo --postgres installs one"
        progress.say(f"PostgreSQL: left out, {reason}{hint}")
        return None


def prepare(
    options: argparse.Namespace, directory: Path, server: Server | None, progress: Progress
) -> dict[str, Workload]:
    """The workloads that this machine can run, by a short name."""
    makers: dict[str, Callable[[], Workload]] = {
        "usleep": lambda: libraries.Usleep(options.quick),
        "sqlite": lambda: libraries.Sqlite(options.quick, directory),
        "zlib": lambda: libraries.Zlib(options.quick),
        "names": lambda: libraries.Names(options.quick),
    }
    if server is not None:
        makers["postgres"] = lambda: libraries.Postgres(options.quick, server.conninfo)
    found = {}
    progress.step("loading libraries, making a database file")
    for name, make in makers.items():
        try:
            found[name] = make()
        except Unavailable as reason:
            progress.say(f"{name}: left out, {reason}")
    return found


def look_closely(workloads: dict[str, Workload], path: Path) -> None:
    """A trace of a tenth of a second in which a few green threads use all the libraries."""
    plan = {
        "sqlite": (3, 4),
        "zlib": (3, 12),
        "usleep": (2, 1),
        "names": (1, 8),
        "postgres": (2, 1),
    }

    def repeat(workload: Workload, first: int, times: int) -> None:
        for i in range(first, first + times):
            workload.job(i % workload.greens)

    with gosched.trace(str(path)):
        ticker = Ticker()
        try:
            with gosched.TaskGroup() as group:
                for name, (greens, times) in plan.items():
                    for k in range(greens if name in workloads else 0):
                        body = named(f"{name} {k + 1}", repeat)
                        group.go(body, workloads[name], k * times, times)
        finally:
            ticker.stop()


def work(
    options: argparse.Namespace, directory: Path, server: Server | None, progress: Progress
) -> list[Outcome]:
    """The main green thread: a close look with the trace on, then every workload in turn."""
    workloads = prepare(options, directory, server, progress)
    progress.step("a close look: a few green threads, all libraries, traced")
    look_closely(workloads, directory / "trace.json")
    outcomes = []
    for number, workload in enumerate(workloads.values(), start=1):
        label = f"[{number}/{len(workloads)}] {workload.library}, {workload.what}"
        outcomes.append(measure(workload, label, progress))
    return outcomes


def draw(options: argparse.Namespace, trace: Path) -> str:
    """Writes the picture; returns its text version."""
    whole = timeline.load(trace)
    lines = whole.window(0, min(whole.end - whole.start, LOOK))
    title = "Green threads of Python inside blocking C libraries"
    options.picture.write_text(timeline.svg(lines, title=title), encoding="utf-8")
    if options.trace is not None:
        shutil.copyfile(trace, options.trace)
    columns = max(60, shutil.get_terminal_size((110, 24)).columns)
    return timeline.text(lines, columns=columns, colour=sys.stdout.isatty())


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    options = parse_arguments(argv)
    progress = Progress()
    signal.signal(signal.SIGTERM, _terminate)
    cpus = len(os.sched_getaffinity(0))
    print(f"gosched {gosched.__version__}, Python {platform.python_version()}, {cpus} CPUs")
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="gosched-demo-"))
        directory = Path(name)
        server = start_postgres(options, stack, progress)
        try:
            outcomes = gosched.run(work, options, directory, server, progress)
        except Mismatch as error:
            progress.say(f"demo: wrong result: {error}")
            return 1
        print(f"\n{table(outcomes)}{NOTES}")
        print(draw(options, directory / "trace.json"))
    print(f"picture: {options.picture.resolve()}")
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        status = 130
    raise SystemExit(status)
