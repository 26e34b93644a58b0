#!/usr/bin/env python3
"""The test of the tests: removes one guard at a time and requires that a test notices.

Every tests/mutants/*.patch starts with a header, one "Key: value" a line:

    Why: what the guard is for, and what goes wrong without it
    Test: a regular expression for ctest -R; one line for each that must fail
    Variant: check (if it is not given), torture, asan, tsan or ubsan: the build it fails in
    Repeat: how often the tests are run at most until one fails (1), for races
    Python: the least version that has what is guarded against (any); skipped with an older one

For each variant, the named tests must first pass in an unchanged copy of the tree.  Then each
patch is applied to the copy, the copy is built, and each of the patch's tests is run: one that
fails, crashes or takes longer than --timeout has noticed.  A patch that does not apply, does not
build, or names no test is a failure of its own.  The copy is kept in build/mutants, so that the
next run compiles little.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests" / "mutants"
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
VARIANTS = ("check", "torture", "asan", "tsan", "ubsan")


class Failure(Exception):
    """Why a mutant counts as failed, in a few words."""


@dataclass
class Mutant:
    """One patch and what its header says."""

    path: Path
    why: str = ""
    variant: str = "check"
    repeat: int = 1
    python: str = ""
    tests: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.stem


def read_mutant(path: Path) -> Mutant:
    """Reads the header; raises Failure if it lacks something."""
    mutant = Mutant(path)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(("--- ", "diff ")):
            break
        key, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not value:
            continue
        if key == "Why":
            mutant.why = value
        elif key == "Test":
            mutant.tests.append(value)
        elif key == "Variant":
            mutant.variant = value
        elif key == "Repeat":
            mutant.repeat = int(value)
        elif key == "Python":
            mutant.python = value
    if not mutant.tests:
        raise Failure("its header has no line 'Test: <regular expression>'")
    if not mutant.why:
        raise Failure("its header has no line 'Why: …'")
    if mutant.variant not in VARIANTS:
        raise Failure(f"its variant is '{mutant.variant}', not one of {', '.join(VARIANTS)}")
    return mutant


def run(command: list[str], log: Path, timeout: float | None = None) -> int | None:
    """The exit status of command, run in the copy; None if it took longer than timeout."""
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        process = subprocess.Popen(
            command,
            cwd=TREE,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def copy_tree() -> None:
    """Makes the copy equal to the tree; what did not change keeps its time, for the build."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = {name for name in listed.stdout.decode().split("\0") if name}
    else:  # Not a git checkout: a released archive has nothing but sources outside build/.
        names = {
            str(path.relative_to(ROOT))
            for path in ROOT.rglob("*")
            if path.is_file()
            and path.relative_to(ROOT).parts[0] not in ("build", ".git")
            and not path.relative_to(ROOT).parts[0].startswith(".venv")
        }
    names = {name for name in names if (ROOT / name).is_file()}
    if TREE.exists():
        for path in sorted(TREE.rglob("*"), reverse=True):
            relative = path.relative_to(TREE)
            if relative.parts[0] != "build" and path.is_file() and str(relative) not in names:
                path.unlink()
    for name in sorted(names):
        copy_file(name)


def copy_file(name: str) -> None:
    """Copies one file of the tree if its contents differ, with the time of now."""
    source, target = ROOT / name, TREE / name
    content = source.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    shutil.copymode(source, target)


def version_of(python: str) -> tuple[int, ...]:
    """Of the Python that is built for; () if there is none."""
    if not python:
        return ()
    code = "import sys; print(*sys.version_info[:2])"
    words = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, words.split()))


def touched_files(mutant: Mutant) -> list[str]:
    """The files that the patch changes."""
    text = mutant.path.read_text(encoding="utf-8")
    return re.findall(r"^\+\+\+ b/(\S+)", text, flags=re.MULTILINE)


def build(variant: str, python: str, jobs: int, log: Path) -> bool:
    """Configures the variant in the copy if need be (for another Python anew), and builds it."""
    option = f"-DGS_PYTHON_EXECUTABLE={python}" if python else "-DGS_PYTHON=OFF"
    directory = TREE / "build" / variant
    note = directory / "configured-with.txt"
    if not note.exists() or note.read_text(encoding="utf-8") != option:
        shutil.rmtree(directory, ignore_errors=True)
        if run(["cmake", "--preset", variant, option], log) != 0:
            return False
        note.write_text(option, encoding="utf-8")
    return run(["cmake", "--build", f"build/{variant}", "--parallel", str(jobs)], log) == 0


def ctest(variant: str, regex: str, repeat: int, log: Path, timeout: float) -> int | None:
    """Runs the tests that regex selects; selecting none is an error of its own (8, as ctest's)."""
    command = ["ctest", "--test-dir", f"build/{variant}", "--output-on-failure"]
    command += ["--no-tests=error", "-R", regex]
    if repeat > 1:
        command += ["--repeat", f"until-fail:{repeat}"]
    if variant == "tsan" and subprocess.run(["setarch", "-R", "true"], check=False).returncode == 0:
        command = ["setarch", "-R", *command]
    return run(command, log, timeout)


def selects_something(variant: str, regex: str) -> bool:
    """Whether ctest knows a test of this name in the variant."""
    found = subprocess.run(
        ["ctest", "--test-dir", f"build/{variant}", "-N", "-R", regex],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    return "Total Tests: 0" not in found.stdout and found.returncode == 0


def check_mutant(mutant: Mutant, args: argparse.Namespace, log: Path) -> str:
    """Applies one patch and runs its tests; returns how it was noticed, else raises Failure."""
    applied = run(["patch", "-p1", "--no-backup-if-mismatch", "-i", str(mutant.path)], log)
    if applied != 0:
        raise Failure("the patch does not apply")
    if not build(mutant.variant, args.python, args.jobs, log):
        raise Failure("it does not build, so no test was put to the test")
    noticed = []
    for regex in mutant.tests:
        status = ctest(mutant.variant, regex, mutant.repeat, log, args.timeout)
        if status == 0:
            raise Failure(f"SURVIVED: '{regex}' passes without the guard")
        noticed.append("timeout" if status is None else "failed")
    return ", ".join(f"{regex} {how}" for regex, how in zip(mutant.tests, noticed, strict=True))


def restore(mutant: Mutant) -> None:
    """Puts the files of the copy back as they were."""
    for name in touched_files(mutant):
        if (ROOT / name).exists():
            copy_file(name)
        else:
            (TREE / name).unlink(missing_ok=True)
        for rest in (TREE / f"{name}.rej", TREE / f"{name}.orig"):
            rest.unlink(missing_ok=True)


def report(name: str, variant: str, outcome: str, text: str, seconds: float) -> None:
    print(f"  {outcome:4} {name:36} {variant:8} {seconds:5.0f} s  {text}", flush=True)


def baseline(variant: str, mutants: list[Mutant], args: argparse.Namespace) -> str:
    """Builds the unchanged copy and runs the named tests; returns what is wrong, or ''."""
    log = WORK / f"{variant}.log"
    log.unlink(missing_ok=True)
    if not build(variant, args.python, args.jobs, log):
        return f"the unchanged tree does not build, see {log.relative_to(ROOT)}"
    regexes = sorted({regex for mutant in mutants for regex in mutant.tests})
    for regex in regexes:
        if not selects_something(variant, regex):
            return f"no test of this build matches '{regex}'"
    # CMake's expressions take no more than 32 groups.
    whole = "|".join(dict.fromkeys(regexes))
    if ctest(variant, whole, 1, log, args.timeout * len(regexes)) != 0:
        return f"the tests fail in the unchanged tree, see {log.relative_to(ROOT)}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--match", default=".", help="only patches whose name matches")
    parser.add_argument("--python", default="", help="the Python to build for; empty: none")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each test line")
    parser.add_argument("--counts", type=Path, help="file for 'PASSED FAILED SKIPPED'")
    args = parser.parse_args()

    WORK.mkdir(parents=True, exist_ok=True)
    copy_tree()
    passed = failed = skipped = 0
    version = version_of(args.python)
    by_variant: dict[str, list[Mutant]] = {}
    for path in sorted(PATCHES.glob("*.patch")):
        if not re.search(args.match, path.stem):
            continue
        try:
            mutant = read_mutant(path)
        except (Failure, ValueError) as why:
            report(path.stem, "?", "FAIL", str(why), 0)
            failed += 1
            continue
        if mutant.python and version < tuple(map(int, mutant.python.split("."))):
            why = f"needs Python {mutant.python}, this is {'.'.join(map(str, version)) or 'none'}"
            report(path.stem, mutant.variant, "skip", why, 0)
            skipped += 1
        else:
            by_variant.setdefault(mutant.variant, []).append(mutant)

    for variant, mutants in by_variant.items():
        problem = baseline(variant, mutants, args)
        if problem:
            report("(unchanged)", variant, "FAIL", problem, 0)
            failed += len(mutants)
            continue
        for mutant in mutants:
            log = WORK / f"{mutant.name}.log"
            log.unlink(missing_ok=True)
            begin = time.monotonic()
            try:
                text, outcome = check_mutant(mutant, args, log), "ok"
                passed += 1
            except Failure as why:
                text, outcome = f"{why}, see {log.relative_to(ROOT)}", "FAIL"
                failed += 1
            finally:
                restore(mutant)
            report(mutant.name, variant, outcome, text, time.monotonic() - begin)

    if args.counts:
        args.counts.write_text(f"{passed} {failed} {skipped}\n", encoding="utf-8")
    if passed + failed + skipped == 0:
        print(f"  no patch in tests/mutants matches '{args.match}'")
    return 1 if failed or passed + skipped == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
