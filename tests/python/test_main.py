"""python -m gosched, and snapshot."""

from __future__ import annotations

import json
import subprocess
import sys

import gosched
import pytest
from conftest import until


def start(*args, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "gosched", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        "import gosched, sys, helper\n"
        "assert __name__ == '__main__'\n"
        "print(sys.argv[1:], gosched.go(pow, 2, 5).result(), helper.value)\n"
    )
    (tmp_path / "helper.py").write_text("value = 7\n")
    return path


def test_script(program):
    assert start(program, "a", "--stats", "-x") == (0, "['a', '--stats', '-x'] 32 7\n", "")


def test_module(program):
    assert start("-m", "program", "b", cwd=program.parent) == (0, "['b'] 32 7\n", "")


def test_stats_and_trace(program, tmp_path):
    trace = tmp_path / "out.json"
    status, out, err = start("--stats", "--trace", trace, program)
    assert (status, out) == (0, "[] 32 7\n")
    stats = dict(line.split() for line in err.splitlines())
    assert int(stats["gs_created"]) >= 2
    assert json.loads(trace.read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("source", "status", "says"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import gosched; gosched.go(gosched.sleep, 30)", 0, ""),
    ],
)
def test_how_it_ends(tmp_path, source, status, says):
    path = tmp_path / "p.py"
    path.write_text(source)
    got, _out, err = start(path)
    assert got == status
    assert err.endswith(says)


def test_errors(tmp_path):
    status, _out, err = start()
    assert (status, "give a script, or a module" in err) == (2, True)
    status, _out, err = start(tmp_path / "missing.py")
    assert (status, "FileNotFoundError" in err) == (1, True)
    assert start("--version") == (0, f"gosched {gosched.version}\n", "")


def test_snapshot(hop):
    def main():
        hop()
        channel = gosched.Chan()
        waiting = gosched.go(channel.recv)
        waiting.name = "receiver"
        shot, by_id = None, {}

        def parked():
            nonlocal shot, by_id
            shot = gosched.snapshot()
            by_id = {g.id: g for g in shot.gs}
            return by_id[waiting.id].state == "waiting"

        until(parked)
        me = gosched.current().id
        assert by_id[me].state in ("running", "syscall")
        assert by_id[waiting.id].state == "waiting"
        assert by_id[waiting.id].domain == "python"
        assert by_id[waiting.id].wait_reason
        mine = next(m for m in shot.ms if m.g == me)
        assert mine.ncgocall >= 1
        assert not mine.idle
        assert {p.domain for p in shot.ps} >= {"python", "native"}
        assert any(p.m == mine.id and p.domain == "python" for p in shot.ps)
        assert shot.when > 0
        channel.send(None)

    gosched.run(main)
