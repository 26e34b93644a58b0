"""The demo: a quick run of the whole, its parts, and how it ends when it is stopped."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gosched
import pytest
from conftest import Run
from demolib import libraries, report, runner
from demolib.errors import Mismatch, Unavailable


def rows(printed: str) -> dict[tuple[str, str], list[str]]:
    """The table that the demo printed: the cells after library and call, by these two."""
    found = {}
    for line in printed.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if re.match(r"lib\w+\.so", cells[0]) and len(cells) == 9:
            found[cells[0], cells[1]] = cells[2:]
    return found


@pytest.mark.parametrize("postgres", [True, False])
def test_quick_run(run: Run, root: Path, tmp_path: Path, postgres: bool) -> None:
    picture, trace = tmp_path / "picture.svg", tmp_path / "trace.json"
    command = [sys.executable, root / "examples/demo.py", "--quick", "--picture", picture]
    command += ["--trace", trace] + ([] if postgres else ["--no-postgres"])
    done = run(command, timeout=150)
    table = rows(done.stdout)
    expected = {
        ("libc.so.6", "usleep of 20 ms"): 200,
        ("libsqlite3.so.0", "scan of 50,000 rows"): 40,
        ("libz.so.1", "compress2 of a .py file"): 60,
        ("libc.so.6", "getaddrinfo of a name"): 200,
    }
    if postgres and "PostgreSQL: left out" not in done.stdout:
        expected["libpq.so.5", "select pg_sleep(0.05)"] = 40
    assert {key: int(cells[0].replace(",", "")) for key, cells in table.items()} == expected
    # 200 naps of 20 ms take 4 s one after another; at once they must be far faster on any machine.
    assert float(table["libc.so.6", "usleep of 20 ms"][5].rstrip("x")) > 3
    assert f"picture: {picture}" in done.stdout
    bars = ET.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}rect")
    drawn = {bar.get("data-call") for bar in bars}
    traced = {event["name"] for event in json.loads(trace.read_text())["traceEvents"]}
    calls = {"sqlite3_step", "compress2", "usleep", "getaddrinfo"}
    assert calls <= traced
    # The picture shows the beginning only; on a busy machine not all of them have come to it.
    assert len(drawn & calls) >= 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_it_leaves_nothing(
    root: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, str(root / "examples/demo.py"), "--picture", str(tmp_path / "p.svg")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        for line in demo.stdout:
            if "200 green threads at once" in line:
                break
        time.sleep(0.2)
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == status, errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_named(root: Path) -> None:
    for arguments, complaint in [
        (["--postgres", "--no-postgres"], "contradict"),
        (["--picture", "/no/such/folder/p.svg"], "/no/such/folder"),
    ]:
        done = subprocess.run(
            [sys.executable, root / "examples/demo.py", *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert complaint in done.stderr


# ---- the parts --------------------------------------------------------------------------------


class Broken(libraries.Workload):
    """A workload whose third job gives something else every time."""

    library, what, greens, calls, sample = "none", "nothing", 8, 1, 4

    def __init__(self) -> None:
        self.runs = 0

    def job(self, i: int) -> Any:
        self.runs += 1
        return self.runs if i == 2 else i

    def check(self, results: Sequence[Any]) -> None:
        assert len(results) == self.greens


def test_a_result_that_differs_is_an_error() -> None:
    with pytest.raises(Mismatch, match="green thread 2 got"):
        gosched.run(runner.measure, Broken(), "broken", report.Progress(io.StringIO()))


def test_an_error_in_a_job_comes_out() -> None:
    class Failing(Broken):
        def job(self, i: int) -> Any:
            if i == 5:
                raise Mismatch("five")
            return i

    with pytest.raises(Mismatch, match="five"):
        gosched.run(runner.measure, Failing(), "failing", report.Progress(io.StringIO()))


def test_damaged_results_are_noticed(tmp_path: Path) -> None:
    def damaged() -> None:
        packed = libraries.Zlib(quick=True)
        results = [packed.job(i) for i in range(3)]
        packed.check(results)
        with pytest.raises(Mismatch, match="file 1"):
            packed.check([results[0], results[2], results[2]])
        scans = libraries.Sqlite(True, tmp_path)
        counted = [scans.job(i) for i in range(scans.greens)]
        scans.check(counted)
        with pytest.raises(Mismatch, match="rows in all"):
            scans.check(counted[1:])

    gosched.run(damaged)


def test_names_come_from_the_hosts_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# no\n127.0.0.1 localhost here # there\n\n::1 six\n")
    names = [name for name, _ in libraries.Names(True, hosts).hosts]
    assert names == [b"localhost", b"here", b"six"]
    hosts.write_text("# nothing\n")
    with pytest.raises(Unavailable, match="there is no name"):
        libraries.Names(True, hosts)
    with pytest.raises(Unavailable, match="cannot be read"):
        libraries.Names(True, tmp_path / "absent")


def test_a_library_that_is_missing_is_said() -> None:
    class Missing(libraries.Zlib):
        library = "libnosuchthing.so.7"

    with pytest.raises(Unavailable, match=r"libnosuchthing\.so\.7 cannot be loaded"):
        Missing(quick=True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.00082, "0.8 ms"),
        (0.0123, "12 ms"),
        (0.9, "900 ms"),
        (3.4249, "3.42 s"),
        (25.81, "25.8 s"),
    ],
)
def test_durations_are_short_and_plain(value: float, words: str) -> None:
    assert report.seconds(value) == words


def test_the_table_is_aligned() -> None:
    outcomes = [
        report.Outcome("liba.so.1", "short", 5, 10, 1.0, 30.0, 5, 0.001),
        report.Outcome("libb.so.12345", "a much longer call", 5000, 10_000, 0.5, 0.25, 77, 0.2),
    ]
    lines = report.table(outcomes).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert rows("\n".join(lines))["liba.so.1", "short"][3:6] == ["1.00 s", "30.0 s", "30x"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_live_line_on_a_terminal_and_plain_lines_elsewhere() -> None:
    for stream in (Terminal(), io.StringIO()):
        progress = report.Progress(stream)
        progress.step("work begins")
        progress.update("work", 5, 10)
        progress.say("work is done")
        live = isinstance(stream, Terminal)
        assert stream.getvalue().count("\n") == (1 if live else 2)
        assert ("5/10" in stream.getvalue()) == live
        assert ("\x1b[K" in stream.getvalue()) == live
        assert stream.getvalue().endswith("work is done\n")
