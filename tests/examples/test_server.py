"""The demo's private PostgreSQL: it starts, it answers, and nothing of it is left afterwards.

Nothing here uses the scheduler.  The tests are skipped, and say so, where no server is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from demolib.errors import Unavailable
from demolib.postgres import Server, find_programs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from demolib.postgres import Server
with Server(max_connections=5) as server:
    print(server.directory, server._process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def programs() -> Path:
    try:
        programs = find_programs()
        Server(max_connections=5, programs=programs)
    except Unavailable as reason:
        pytest.skip(f"PostgreSQL: {reason}")
    return programs


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not waited for does not."""
    try:
        state = re.search(r"^State:\s+(\S)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return state is None or state.group(1) != "Z"


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_answers_and_leaves_nothing(programs: Path) -> None:
    with Server(max_connections=5, programs=programs) as server:
        directory, process = server.directory, server._process
        assert process is not None and alive(process.pid)
        query = [str(programs / "psql"), "-X", "-A", "-t", "-d", server.conninfo, "-c"]
        shown = subprocess.run(
            [*query, "select 6 * 7, current_setting('listen_addresses') = ''"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert shown.stdout.strip() == "42|t"
    assert not alive(process.pid)
    assert not directory.exists()


def test_an_error_inside_stops_it(programs: Path) -> None:
    with pytest.raises(ZeroDivisionError), Server(5, programs) as server:
        directory, process = server.directory, server._process
        raise ZeroDivisionError
    assert process is not None and not alive(process.pid)
    assert not directory.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_stops_it(programs: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLD, str(EXAMPLES)]
    # Where SIGINT is ignored, as in a background job, Python leaves it so: it is restored here.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as holder:  # fmt: skip
        assert holder.stdout is not None and holder.stderr is not None
        line = holder.stdout.readline().split()
        assert line, holder.stderr.read()
        directory, pid = Path(line[0]), int(line[1])
        assert alive(pid)
        holder.send_signal(number)
        assert holder.wait(timeout=30) != 0
    assert wait_until_gone(pid)
    if number == signal.SIGINT:
        assert not directory.exists()
    shutil.rmtree(directory, ignore_errors=True)  # who is killed outright cannot


def test_a_broken_start_says_why_and_leaves_nothing(programs: Path) -> None:
    server = Server(max_connections=5, programs=programs)
    server.max_connections = -1
    with pytest.raises(Unavailable, match="max_connections"):
        server.__enter__()
    assert not server.directory.exists()


def test_no_server_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no PostgreSQL server is installed"):
        find_programs(tmp_path)


def test_the_newest_complete_server_is_taken(tmp_path: Path) -> None:
    for version, names in [
        ("9", ("initdb", "postgres", "pg_isready")),
        ("15", ("initdb", "postgres", "pg_isready")),
        ("16", ("initdb",)),
    ]:
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch(mode=0o755)
    assert find_programs(tmp_path) == tmp_path / "15" / "bin"
    assert os.access(tmp_path / "15" / "bin" / "postgres", os.X_OK)
