#!/usr/bin/env python3
"""Checks that every name in libffi.md is the name of a signature, a group or a test.

check_table.py          says what is missing, and fails then
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from signatures import Reader
from systematic import systematic_group

HERE = Path(__file__).resolve().parent


def known(name: str, groups: dict[str, set[str]]) -> bool:
    group, colon, test = name.partition(":")
    if group in groups:
        return not colon or test in groups[group]
    source = HERE / f"{group}.c"
    return bool(colon and source.exists() and f"static void {test}(" in source.read_text("utf-8"))


def main() -> int:
    groups = {
        path.stem: {s.name for s in Reader(path.read_text("utf-8")).group.signatures}
        for path in HERE.glob("*.sig")
    }
    groups["systematic"] = {s.name for s in systematic_group().signatures}
    bad, rows, used = [], 0, set()
    for line in (HERE / "libffi.md").read_text("utf-8").splitlines():
        row = re.match(r"\| (\S+\.(?:c|cc|inc)) \| (.*) \|$", line)
        if not row:
            continue
        rows += 1
        names = re.findall(r"`([^`]+)`", row[2])
        used.update(names)
        bad += [f"{row[1]}: there is no {n}" for n in names if ":" in n and not known(n, groups)]
        bad += [f"{row[1]}: there is no group {n}" for n in names if re.fullmatch(r"\w+", n)
                and n not in groups]  # fmt: skip
        bad += [f"{row[1]}: there is no {n}" for n in names if n.startswith("tests/")
                and not (HERE.parents[2] / n).exists()]  # fmt: skip
        if not names and "does not apply: " not in row[2]:
            bad.append(f"{row[1]}: neither a name nor a reason")
    for group in ("call", "closures", "bhaible", "complex"):
        if group in used:
            continue
        bad += [f"{group}:{s} is in no row" for s in sorted(groups[group])
                if f"{group}:{s}" not in used]  # fmt: skip
    print("\n".join(bad) if bad else f"{rows} rows, {len(used)} names: all there")
    return 1 if bad or rows < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
