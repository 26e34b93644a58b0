#!/usr/bin/env python3
"""Verifies a Promela model with Spin, exhaustively, in all variants that its first comment lists.

    verify.py MODEL.pml [-k WORD]      only the variants whose line contains WORD

A line "Sound: FLAGS" names macros under which Spin must find no error, a line "Broken: FLAGS  why"
macros under which it must find one: a model that accepts a broken algorithm proves nothing about
the one that works.  A search that Spin cut short counts as a failure, whatever it found until
then.  Exits with 77 where there is no spin or no compiler.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VARIANT = re.compile(r"^ \* (Sound|Broken):(?: (.*))?$", re.MULTILINE)
# Deadlocks and assertions; no cycles are looked for.
PAN = ["-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-DMEMLIM=2000"]


class Unusable(Exception):
    """The model itself cannot be verified."""


def variants(model: Path) -> list[tuple[str, list[str], str]]:
    found = []
    for kind, rest in VARIANT.findall(model.read_text()):
        flags, _, why = re.sub(r"  +", "\t", rest.strip()).partition("\t")
        found.append((kind, flags.split(), why))
    if {kind for kind, _, _ in found} != {"Sound", "Broken"}:
        raise Unusable("the first comment must list a line Sound: and a line Broken:")
    return found


def run(command: list[str], where: str) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    if done.returncode != 0:
        raise Unusable(f"{' '.join(command)}: {text.strip()}")
    return text


def verify(model: Path, flags: list[str], optimise: str) -> tuple[int, int, str]:
    """Errors, states, and what kind of error."""
    with tempfile.TemporaryDirectory() as where:
        for source in model.parent.glob("*.pml"):
            shutil.copy(source, where)
        text = run(["spin", "-a", *(f"-D{flag}" for flag in flags), model.name], where)
        if "Error" in text or not (Path(where) / "pan.c").exists():
            raise Unusable(text.strip())
        run(["cc", optimise, *PAN, "-o", "pan", "pan.c"], where)
        text = run(["./pan", "-m500000"], where)
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\d+) states, stored", text)
    if not errors or not states:
        raise Unusable(text.strip())
    count = int(errors[1])
    cut = "max search depth too small" in text or "Search not completed" in text
    if cut and count == 0:
        raise Unusable("the search was cut short:\n" + text.strip())
    reason = re.search(r"^pan:1: (.*) \(at depth \d+\)$", text, re.MULTILINE)
    kind = "deadlock" if reason and "invalid end state" in reason[1] else "assertion"
    return count, int(states[1]), kind if count else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-k", metavar="WORD", default="", help="only variants that contain it")
    options = parser.parse_args()
    for tool in ("spin", "cc"):
        if not shutil.which(tool):
            print(f"models are not verified: there is no {tool} on PATH (Debian: spin, gcc)")
            return 77
    passed = failed = 0
    try:
        todo = variants(options.model)
    except (Unusable, OSError) as problem:
        print(f"{options.model}: {problem}")
        return 1
    for kind, flags, why in todo:
        line = f"{kind}: {' '.join(flags)}"
        if options.k not in line:
            continue
        begin = time.monotonic()
        try:
            # A wrong model is wrong soon: compiling takes longest.
            optimise = "-O1" if kind == "Sound" else "-O0"
            errors, states, error = verify(options.model, flags, optimise)
        except Unusable as problem:
            print(f"FAILED  {line}\n{problem}")
            failed += 1
            continue
        good = (errors == 0) == (kind == "Sound")
        verdict = f"rejected ({error})" if errors else "accepted"
        print(
            f"{'ok' if good else 'FAILED':7} {line:42} {verdict:21} {states:9} states"
            f" {time.monotonic() - begin:6.1f} s{'  ' + why if why else ''}",
            flush=True,
        )
        passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
