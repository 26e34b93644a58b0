"""Runs modules of CPython's tests plainly and on a green thread, and compares.

    python compat.py test_queue test_sched ...

Every test that the plain run has must be in the other one with the same outcome, unless
differences.txt says what differs and why; and what it says must be so.  Each run is a process of
its own.  A test that hangs or ends the process is reported with where everything was, and the rest
goes on in another process.  What differs is tried again, alone: the machine may be busy, and some
of these tests look at the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
HANG = 120  # seconds that one test may take
TRIES = 3


# ---- the table of differences -------------------------------------------------------------------


@dataclass
class Entry:
    pattern: str
    kind: str
    reason: str
    used: bool = False


KINDS = {
    "main": "passes on the main green thread; elsewhere it differs",
    "main-only": "passes on the main green thread; elsewhere it would hang or end the process",
    "differs": "has another outcome",
    "varies": "may have another outcome",
    "still": "runs without hops, which are a profile function",
    "never": "is not run",
}


def read_table(path: Path, module: str) -> list[Entry]:
    """The entries that are about this module and this version of Python."""
    entries = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            where, kind, reason = (part.strip() for part in line.split("|", 2))
            pattern, *versions = where.split()
        except ValueError:
            raise SystemExit(f"{path}:{number}: expected TEST [VERSION…] | KIND | REASON") from None
        if kind not in KINDS or not reason:
            raise SystemExit(f"{path}:{number}: the kind is one of {', '.join(KINDS)}; and why?")
        if versions and VERSION not in versions:
            continue
        head, _, rest = pattern.partition(":")
        if head == module:
            entries.append(Entry(rest, kind, reason))
    return entries


def matching(entries: list[Entry], test: str, *kinds: str) -> list[Entry]:
    return [e for e in entries if e.kind in kinds and fnmatch.fnmatchcase(test, f"*{e.pattern}")]


# ---- one run ------------------------------------------------------------------------------------


@dataclass
class Run:
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    hops: int = 0
    moves: int = 0
    seconds: float = 0
    others: int = 0

    def add(self, other: Run) -> None:
        self.outcomes.update(other.outcomes)
        self.hops += other.hops
        self.moves += other.moves
        self.others += other.others
        self.seconds += other.seconds


def read_lines(path: str) -> list[Any]:
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.endswith("]")]


class Process:
    """A child that runs what has not been run yet."""

    numbers = itertools.count()

    def __init__(self, job: dict[str, Any], folder: str) -> None:
        self.out = os.path.join(folder, f"{next(Process.numbers)}.jsonl")
        self.log = open(self.out + ".log", "w+b")  # noqa: SIM115 - closed by end()
        theirs, self.control = os.pipe()
        job = {**job, "out": self.out, "control": theirs}
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", str(HERE / "child.py"), json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs],
            start_new_session=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        os.close(theirs)

    def wait(self) -> str:
        """What was wrong with how it ended, or ''."""
        seen, since, why = 0, time.monotonic(), ""
        while True:
            try:
                status = self.process.wait(1)
                break
            except subprocess.TimeoutExpired:
                pass
            size = os.path.getsize(self.out) if os.path.exists(self.out) else 0
            if size != seen:
                seen, since = size, time.monotonic()
            if time.monotonic() - since > HANG:
                why = f"hangs (nothing for {HANG} s)"
                os.write(self.control, b"!")
                try:
                    status = self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    status = self.process.wait()
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what it has started and left behind
        os.close(self.control)  # a child from which that was lost ends by it
        if status != 0 and not why:
            why = f"ends the process with status {status}"
        return why

    def output(self) -> str:
        self.log.seek(0)
        text = self.log.read().decode(errors="replace")
        self.log.close()
        return text


def run(job: dict[str, Any], folder: str, limit: int = 5) -> Run:
    """Runs job, in more than one process if need be."""
    result, leave_out, crashes = Run(), list(job.get("leave_out", ())), 0
    while True:
        process = Process({**job, "leave_out": leave_out}, folder)
        why = process.wait()
        text, ended, running = process.output(), False, None
        for name, *rest in read_lines(process.out):
            if not name and rest[0] == "end":
                ended = True
                result.seconds += rest[1]
            elif not name and rest[0] == "moves":
                result.hops += rest[1][0]
                result.moves += rest[1][1]
                result.others += rest[1][2]
            elif not rest:
                running = name
            else:
                running = None
                result.outcomes[name] = (rest[0], rest[1])
                leave_out.append(name)
        if ended and not why:
            return result
        crashes += 1
        name = running or ("at the end" if ended else "outside of any test")
        result.outcomes[name] = ("crash", f"{why}\n{text[-20000:]}")
        leave_out.append(name)
        if running is None or crashes == limit:
            return result


# ---- comparing ----------------------------------------------------------------------------------


def difference(plain: Run, green: Run, test: str) -> str:
    a, b = plain.outcomes.get(test), green.outcomes.get(test)
    if a is None or b is None:
        return "" if a is b else f"{'not run' if a is None else a[0]} -> {b[0] if b else 'not run'}"
    if a[0] != b[0]:
        return f"{a[0]} -> {b[0]}"
    return ""


class Comparison:
    def __init__(self, module: str, names: list[str], folder: str, options: Any) -> None:
        self.module, self.folder, self.options = module, folder, options
        self.entries = read_table(HERE / "differences.txt", module)
        self.job = {"modules": names, "resources": options.resources}
        if options.threads:
            self.job["threads"] = True
        if options.only:
            self.job["only"] = options.only
        self.problems: list[str] = []
        self.none_ran = ""  # why a plain run skips every test there is
        self.not_main: list[str] = []

    def both(self, only: list[str] | None = None) -> None:
        """Runs plainly, then on green threads; of `only`, or all."""
        job = {**self.job, **({"only": only} if only is not None else {})}
        how: dict[str, Any] = {}
        for kind in ("never", "main", "still"):
            how[kind] = [e.pattern for e in self.entries if e.kind == kind]
        how["main"] += [e.pattern for e in self.entries if e.kind == "main-only"]
        with ThreadPoolExecutor() as pool:
            green_run = pool.submit(run, {**job, **how, "place": "green"}, self.folder)
            if only is not None:  # once more, and with less beside it
                green_run.result()
            plain = run({**job, **how, "place": "plain"}, self.folder)
            green = green_run.result()
            if how["main"]:
                main_run = pool.submit(run, {**job, **how, "place": "main"}, self.folder)
        ran = [t for t, outcome in plain.outcomes.items() if outcome[0] != "skipped"]
        main = [t for t in ran if matching(self.entries, t, "main")]
        if main and only is None:
            there = {**job, "place": "green", "only": main}
            elsewhere = run(there, self.folder, limit=len(main))
            self.not_main = [t for t in main if not difference(plain, elsewhere, t)]
        if how["main"]:
            green.add(main_run.result())
        if only is None:
            self.plain, self.green = plain, green
            self.only_main = all(
                matching(self.entries, t, "main", "main-only", "still") for t in ran
            )
        else:
            for test in only:
                for ours, new in ((self.plain, plain), (self.green, green)):
                    if test in new.outcomes:
                        ours.outcomes[test] = new.outcomes[test]

    def wrong(self) -> dict[str, str]:
        """Tests that are not as the table says, with what is wrong."""
        wrong = {}
        for test in {**self.plain.outcomes, **self.green.outcomes}:
            what = difference(self.plain, self.green, test)
            expected = bool(matching(self.entries, test, "differs"))
            if what and not expected and not matching(self.entries, test, "varies"):
                wrong[test] = what
            elif expected and not what:
                wrong[test] = f"{self.plain.outcomes[test][0]} both times: strike it off the table"
        return wrong

    def check(self) -> bool:
        self.both()
        wrong = self.wrong()
        for _ in range(self.options.tries - 1):
            if not wrong or len(wrong) > 40:
                break
            print(f"again: {len(wrong)} of {self.module}: {' '.join(list(wrong)[:10])}")
            self.both(list(wrong))
            wrong = self.wrong()
        self.report(wrong)
        return not self.problems

    def report(self, wrong: dict[str, str]) -> None:
        for test, what in wrong.items():
            a, b = (r.outcomes.get(test, ("", ""))[1] for r in (self.plain, self.green))
            text = "\n    ".join(str(b or a).splitlines()[-self.options.lines :])
            self.problems.append(f"{test}\n    {what}\n    {text}")
        for test in self.not_main:
            self.problems.append(f"{test}\n    needs no main green thread: strike it off the table")
        for entry in self.entries if not self.options.only else []:
            if entry.kind == "never":
                continue
            if not any(fnmatch.fnmatchcase(t, f"*{entry.pattern}") for t in self.plain.outcomes):
                self.problems.append(f"{entry.pattern}: in the table, but there is no such test")
        ran = sum(o[0] != "skipped" for o in self.plain.outcomes.values())
        if not self.plain.outcomes:
            self.problems.append(f"{self.module}: no test ran")
        elif ran == 0:
            why = next(iter(self.plain.outcomes.values()))[1].strip()
            self.none_ran = f"a plain run skips all of {self.module}: {why}"
        if self.green.moves == 0 and not (self.only_main and self.green.others):
            self.problems.append(f"{self.module}: the green thread never changed threads")
        print(
            f"{self.module}: {len(self.plain.outcomes)} tests, {ran} ran; "
            f"{self.green.moves} moves in {self.green.hops} hops, others {self.green.others}; "
            f"{self.plain.seconds:.1f} s plainly, {self.green.seconds:.1f} s on green threads"
        )
        for kind in KINDS:
            tests = [t for t in self.plain.outcomes if matching(self.entries, t, kind)]
            if tests:
                print(f"  {len(tests)}: {KINDS[kind]}")
        for problem in self.problems:
            print(f"FAILED {problem}")
        skipped = len(self.plain.outcomes) - ran
        print(f"{ran - len(self.problems)} passed, {len(self.problems)} failed, {skipped} skipped")


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="what the table calls it")
    parser.add_argument("modules", nargs="*", help="modules to load; none: test.NAME")
    parser.add_argument("--only", action="append", help="the id of a test; may be repeated")
    parser.add_argument("--resources", action="append", default=[], help="as regrtest's -u")
    parser.add_argument("--needs", action="append", default=[], help="a module, beside them")
    parser.add_argument("--threads", action="store_true", help="threads are green threads, too")
    parser.add_argument("--optional", action="store_true", help="77 if the modules are missing")
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--lines", type=int, default=40, help="of the traceback of a difference")
    options = parser.parse_args()
    if options.threads and not hasattr(threading, "_start_new_thread"):
        print("skipped: in this Python threading starts threads in C, by a handle of theirs")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        names = options.modules or [f"test.{options.name}"]
        missing = [n for n in [*names, *options.needs] if not is_there(n)]
        if missing and options.optional:
            print(f"skipped: {sys.executable} has no {', '.join(missing)}")
            return 77
        comparison = Comparison(options.name, names, folder, options)
        if not comparison.check():
            return 1
        if comparison.none_ran:
            print(f"skipped: {comparison.none_ran}")
            return 77
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
