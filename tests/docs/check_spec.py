#!/usr/bin/env python3
"""Checks docs/spec.md against the tree.

    check_spec.py ROOT             rejects what is not there; counts and prints what is open
    check_spec.py ROOT --close     marks open rows as done whose function and test exist by now

A row of the first kind of table maps a line of the specification to a function `file:function`,
and to a test `ctest name` or `ctest name:test function`; the second kind maps a scenario to tests.
The function must be defined in that file (or declared, for a structure), the test program must be
there and have the test function.  Where the status is `open` they may be missing; `replaced` and
`other system` must say why.  No line of the specification may be left out: the numbers of the rows
are compared with the digest at the end of the page, which was made from the whole text.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from functools import cache
from pathlib import Path

STATUS = {"done", "replaced", "open", "other system"}
DIGEST = re.compile(r"<!-- lines: ([\d, -]+) -->")
QUOTES = re.compile(r"^\| (\d+ \| `` .*? ``) \|", re.MULTILINE)
TEXT = re.compile(r"<!-- text: (\w+) -->")


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root

    @cache  # noqa: B019
    def text(self, path: str) -> str:
        file = self.root / path
        return file.read_text() if file.is_file() else ""

    def function(self, reference: str) -> str:
        """What is wrong with `file:function`, or nothing."""
        path, _, name = reference.partition(":")
        text = self.text(path)
        if not text:
            return f"there is no file {path}"
        name = re.escape(name)
        defined = re.search(rf"^[\w*(][^;{{}}\n]*\b{name}\(", text, re.MULTILINE)
        other = re.search(
            rf"^(?:{name}:|struct {name}\b|#define {name}\b)|FUNC\w*\(?\s*{name}\b|ENTRY\({name}\)",
            text,
            re.MULTILINE,
        )
        return "" if defined or other else f"{path} has no {name}"

    def test(self, reference: str) -> str:
        program, _, function = reference.partition(":")
        folder, _, name = program.partition(".")
        if folder == "models":
            return "" if self.text(f"models/{name}.pml") else f"there is no model {name}"
        stems = [name, re.sub(r"_p\d+$", "", name)]
        files = [
            f"tests/{folder}/{prefix}{stem}.{kind}"
            for stem in stems
            for prefix in ("", "test_")
            for kind in ("c", "py", "lua", "sh", "test")
        ]
        found = [path for path in files if self.text(path)]
        if not found:
            return f"there is no test {program}"
        if function and not any(re.search(rf"\b{function}\b", self.text(path)) for path in found):
            return f"{found[0]} has no {function}"
        return ""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def references(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def problems_of(tree: Tree, code: str, test: str) -> list[str]:
    found = [tree.function(reference) for reference in references(code)]
    found += [tree.test(reference) for reference in references(test)]
    return [problem for problem in found if problem]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--close", action="store_true")
    options = parser.parse_args()
    tree = Tree(options.root)
    page = options.root / "docs" / "spec.md"
    lines = page.read_text().split("\n")
    wrong: list[str] = []
    still_open: list[str] = []
    seen: set[int] = set()
    counts = dict.fromkeys(STATUS, 0)
    closed = 0
    for at, line in enumerate(lines):
        row = cells(line)
        if len(row) != 5 or not re.fullmatch(r"[\d–]+|[SG]\d+\w?", row[0]):
            continue
        where = f"docs/spec.md:{at + 1}: row {row[0]}"
        status, _, why = row[4].partition(":")
        if row[0].isdigit():
            if int(row[0]) in seen:
                wrong.append(f"{where} is there twice")
            seen.add(int(row[0]))
            if not row[1].strip("` "):
                wrong.append(f"{where} does not quote its line")
        if status not in STATUS:
            wrong.append(f"{where}: the status '{status}' is none of {', '.join(sorted(STATUS))}")
            continue
        problems = problems_of(tree, row[2], row[3])
        if status == "open" and not problems and references(row[3]):
            if options.close:
                # A scenario's note is about what was missing, a line's about how it is done.
                kept = f": {why.strip()}" if row[0].isdigit() and why else ""
                lines[at] = f"{line[: line.rindex('| open')]}| done{kept} |"
                closed += 1
                status = "done"
            else:
                still_open.append(f"{where} can be closed (--close)")
        counts[status] += 1
        if status == "open":
            still_open.append(f"{where}:{why} ({'; '.join(problems) or 'nothing is missing'})")
            if not why:
                wrong.append(f"{where} is open and does not say what is missing")
        else:
            wrong += [f"{where}: {problem}" for problem in problems]
        if status == "done" and not (references(row[2]) or row[0][0] in "SG"):
            wrong.append(f"{where} is done and names no function")
        if status == "done" and not references(row[3]):
            wrong.append(f"{where} is done and names no test")
        if status in ("replaced", "other system") and not why:
            wrong.append(f"{where} does not say why")
    digest = DIGEST.search("\n".join(lines))
    if not digest:
        wrong.append("docs/spec.md has no digest of the specification's lines")
    else:
        for number in sorted(numbers(digest[1]) ^ seen):
            wrong.append(f"line {number} of the specification has no row, or a row no line")
    quotes = "".join(QUOTES.findall("\n".join(lines)))
    text = TEXT.search("\n".join(lines))
    if not text or text[1] != hashlib.sha256(quotes.encode()).hexdigest():
        wrong.append("the quoted lines are not those that the digest was made from")
    if options.close:
        page.write_text("\n".join(lines))
        print(f"{closed} rows closed")
    print("\n".join(still_open))
    print("\n".join(wrong))
    print(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
    print(f"{sum(counts.values()) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or sum(counts.values()) < 400 else 0


if __name__ == "__main__":
    sys.exit(main())
