#!/usr/bin/env python3
"""Pages of docs/ that are made from tables in the library.

    pages.py --tables PROGRAM ROOT            fails, and says how, if a page differs from its table
    pages.py --tables PROGRAM ROOT --write    writes the pages

PROGRAM is the built tests/docs/tables.c.  docs/configuration.md and docs/metrics.md are written
from here.  docs/errors.md is written by people: it must have a section for every GS_E code of
core/gosched.h, in that order, with the code's number and sentence, what each language makes of it,
and what to do.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
from pathlib import Path

MADE = "<!-- Made by tools/pages.py from the table in {source}; do not edit. -->\n"

CONFIGURATION = """\
# Configuration

A program configures the scheduler by `gs_config` (in Python by the arguments of `gosched.run`).
Whoever starts the program can override that, and switch on what helps to see inside, by variables
of the environment. They are read when `gs_run` begins, by `secure_getenv`: a program that runs
with more rights than who started it takes none of them. One that is set to nothing counts as not
set. A value that is not accepted makes `gs_run` fail with `GS_EINVAL`, and `gs_error_detail`
names the variable, the value and what is accepted; a binding raises its error with that sentence.

From C, `gs_setting_info` lists them and `gs_setting_get` reads one.
"""

METRICS = """\
# Metrics

What the scheduler counts. In C, `gs_read_metrics` fills a `gs_metrics`, whose fields have these
names, and `gs_metric_info` is this table. `gosched.stats()` in Python and Lua and
`gosched::stats` in Tcl have the counters and gauges by name, `histograms` the times, and
`metrics_text` all of it in Prometheus' text format (`gs_metrics_text`); for Python's
`prometheus_client` there is a collector:

```python
import gosched.prometheus

gosched.prometheus.register()
```

In Prometheus the names begin with `gosched_`. Those of counters end with `_total`, gauges of
bytes with `_bytes`, and histograms have `_bucket`, `_sum` and `_count` in seconds.

Figures are read without stopping anything: each is right, all of them together are not of one
instant. Counters count from the boot of the runtime and never go back. A *stable* one keeps its
name and its meaning in all versions with the same first number; the others tell how this version
works, for people who look into it.

Times are measured where a clock costs nothing in comparison, not on fast paths: that of a foreign
call when it has lost its P, that of a hand-off when a thread has to wake up. A bucket of a
histogram counts what took up to twice as long as the one before it, from 1 µs to 8.4 s, and the
last one what took longer.

`threads`, `threads_system`, and the threads that the program itself has made (`extra_ms` of them
have called back into gosched) are all the threads there are: the line `Threads` of
`/proc/self/status`.
"""


def table(program: str, name: str) -> list[list[str]]:
    command = [*filter(None, program.split(";")), name]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in out.stdout.splitlines()]


def configuration(program: str) -> str:
    page = CONFIGURATION + "\n" + MADE.format(source="core/settings.c")
    for name, accepted, otherwise, text in table(program, "settings"):
        page += f"\n## {name}\n\n{text}.\n\n- Accepted: {accepted}.\n- Otherwise: {otherwise}.\n"
    return page


def metrics(program: str) -> str:
    page = METRICS + "\n" + MADE.format(source="core/metrics.c")
    page += "\n| name | kind | unit | stable | what it is |\n| --- | --- | --- | --- | --- |\n"
    for name, kind, unit, stable, text in table(program, "metrics"):
        page += f"| `{name}` | {kind} | {unit} | {stable} | {text} |\n"
    return page


def errors_findings(program: str, root: Path) -> list[str]:
    """What docs/errors.md lacks or has wrong."""
    header = (root / "core/gosched.h").read_text()
    declared = [
        (name, int(number)) for name, number in re.findall(r"^  (GS_E\w+) = (-\d+),", header, re.M)
    ]
    said = {}
    for number, text in table(program, "errors"):
        name, _, sentence = text.partition(": ")
        said[name] = (int(number), sentence)
    page = (root / "docs/errors.md").read_text()
    sections = re.findall(r"^## (GS_\w+) \((-?\d+)\)\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    findings = []
    if [(name, int(number)) for name, number, _ in sections] != declared:
        found, wanted = [s[0] for s in sections], [d[0] for d in declared]
        findings.append(f"the sections are {found}, the header has {wanted}")
    if dict(declared) != {n: number for n, (number, _) in said.items() if n != "GS_OK"}:
        findings.append("core/error.c and core/gosched.h do not have the same codes")
    for name, _, text in sections:
        if name in said and said[name][1] not in " ".join(text.split()):
            findings.append(f"{name}: the sentence of gs_strerror is missing: {said[name][1]}")
        findings += [
            f"{name}: there is no line '- {what}:'"
            for what in ("Python", "Lua", "Tcl", "What to do")
            if not re.search(rf"^- {what}: \S", text, re.M)
        ]
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", required=True, metavar="PROGRAM")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("root", type=Path)
    options = parser.parse_args()
    failed = False
    for name, make in (("configuration", configuration), ("metrics", metrics)):
        path = options.root / f"docs/{name}.md"
        wanted = make(options.tables)
        if options.write:
            path.write_text(wanted)
        found = path.read_text() if path.is_file() else ""
        diff = difflib.unified_diff(
            found.splitlines(), wanted.splitlines(), str(path), "from the table", lineterm=""
        )
        for line in diff:
            failed = True
            print(line)
    for finding in errors_findings(options.tables, options.root):
        failed = True
        print(f"docs/errors.md: {finding}")
    if failed:
        print("to make the pages anew: tools/pages.py --tables PROGRAM ROOT --write")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
