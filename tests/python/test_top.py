"""python -m gosched top, and the Monitor that it asks."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gosched import top

PARKED, BLOCKED = 7, 2

PROGRAM = f"""
import sys
import gosched

libc = gosched.dlopen(None, "int read(int, void *, size_t);", blocking=["read"])
ffi = gosched.ffi(libc)
import os
ends = os.pipe()

def blocked():
    libc.read(ends[0], ffi.new("char[1]"), 1)

def main():
    forever = gosched.Chan()
    for i in range({PARKED}):
        gosched.go(forever.recv)
    gs = [gosched.go(blocked) for _ in range({BLOCKED})]
    while sum(g.state == "syscall" for g in gs) < {BLOCKED}:
        gosched.sleep(0.001)
    print("ready", flush=True)
    stdin = ffi.new("char[1]")
    while libc.read(0, stdin, 1) > 0:
        pass
    os.write(ends[1], b"xx")
    for g in gs:
        g.join()

gosched.run(main)
"""


@contextlib.contextmanager
def program(monitor: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GOSCHED_MONITOR": monitor},
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "gosched", "top", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_a_live_program(tmp_path: Path) -> None:
    with program(f"{tmp_path}/%p.sock") as process:
        path = top.find(process.pid)[0]
        assert path == f"{tmp_path}/{process.pid}.sock"
        for of in (process.pid, path):
            done = run("--once", "-d", "0.05", of)
            assert done.returncode == 0, done.stderr
            assert f"(pid {process.pid}), gosched " in done.stdout
            # main is in a call as well
            assert re.search(rf"^Gs +\d+: \d+ waiting, {BLOCKED + 1} in C, ", done.stdout, re.M)
            assert re.search(rf"^read +{BLOCKED + 1} ", done.stdout, re.M), done.stdout
            assert re.search(rf"^chan recv +{PARKED}$", done.stdout, re.M), done.stdout
            assert re.search(r"per second: 0 hand-offs", done.stdout)
        done = run("--json", "-n", "2", "-d", "0", path)
        first, second = map(json.loads, done.stdout.splitlines())
        assert len(first["gs"]) == len(second["gs"]) >= PARKED + BLOCKED + 1
        done = run("-n", "3", "-d", "0.01", path)
        assert done.stdout.count("WAITING FOR") == 3 and "\033" not in done.stdout
        with top.Monitor(path) as monitor:
            assert monitor.ask("metrics")["metrics"]["gs_live"] >= PARKED
            assert "green threads" in monitor.ask("dump")["dump"]
            with pytest.raises(ValueError, match="the program says: the request is"):
                monitor.ask("nonsense")
            monitor.ask("top")
        assert not Path(path).is_symlink()
    assert not Path(path).exists()
    assert "there is no process" in run("--once", process.pid).stderr


def test_on_a_terminal(tmp_path: Path) -> None:
    with program(f"{tmp_path}/%p.sock") as process:
        pid, master = pty.fork()
        if pid == 0:
            words = [sys.executable, "-m", "gosched", "top", "-d", "0.01", str(process.pid)]
            os.execv(sys.executable, words)
        seen = b""
        while seen.count(b"\033[H") < 3:
            seen += os.read(master, 65536)
        os.write(master, b"\x03")
        with contextlib.suppress(OSError):  # the other end is closed
            while select.select([master], [], [], 60)[0] and (data := os.read(master, 65536)):
                seen += data
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(master)
    assert seen.startswith(b"\033[2J\033[H")
    assert f"(pid {process.pid})".encode() in seen


@pytest.mark.parametrize(
    "wrong", [[], ["1", "2"], ["-n", "0", "1"], ["-d", "nan", "1"], ["-d", "-1", "1"], ["-x", "1"]]
)
def test_a_wrong_command_line(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2 and "usage: python -m gosched top" in done.stderr


def test_nothing_to_look_at(tmp_path: Path) -> None:
    done = run("--once", tmp_path / "nothing")
    assert done.returncode == 1 and f"{tmp_path}/nothing: No such file" in done.stderr
    done = run("--once", os.getpid())
    assert done.returncode == 1 and "has no monitor" in done.stderr


# ---- the same picture as the C program's --------------------------------------------------------


def answer(now: int, **more: Any) -> dict[str, Any]:
    metrics = dict.fromkeys(("handoffs", "retakes", "cgocalls", "switches", "parks"), now // 7)
    metrics["threads_system"] = 3
    return {
        "gosched": "1.2.3",
        "pid": 99,
        "program": "a\tb",
        "now": now,
        "metrics": metrics,
        "states": {"runnable": 1, "running": 2, "syscall": 3, "waiting": 40000000},
        "waits": [{"name": "chan recv", "count": 12}, {"name": "x" * 50, "count": 0}],
        "calls": [
            {"name": name, "count": 1, "longest_ns": ns}
            for name, ns in (("a", 0), ("b", 1500), ("c", 2_345_678), ("d", 34e9), ("e", 3e12))
        ],
        "functions": [
            {"name": "f", "blocked": 5, "blocked_ns": 123, "longest_ns": 99, "retakes": 1,
             "samples": 4, "sampled_ns": 999_000, "now": 2},
        ],
        "ms": [
            {"id": 10, "tid": 5, "mode": "idle", "p": -1, "g": 0, "cpu_ns": now // 3},
            {"id": 2, "tid": 7, "mode": "call", "p": 0, "g": 5, "cpu_ns": now, "call": "read",
             "call_ns": 0, "at": "read+0x1 (libc.so.6)"},
            {"id": 3, "tid": 8, "mode": "call", "p": -1, "g": 6, "cpu_ns": 5, "call": "w\x1b[1m",
             "call_ns": 12345},
            {"id": 4, "tid": now % 100, "mode": "user", "p": 1, "g": 8, "cpu_ns": 5, "at": "f+0x2"},
        ],
        "ps": [{"status": "idle", "runq": 0}, {"status": "running", "runq": 7}],
        **more,
    }  # fmt: skip


ANSWERS = [
    [answer(1_000_000_000), answer(1_500_000_007)],
    [answer(1_000_000_000), answer(1_000_000_000, functions=[], calls=[], waits=[])],
    [answer(5, functions=[], ms=[], ps=[]), answer(10**12, ms=[])],
]


def serve(path: Path, answers: list[dict[str, Any]]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def work() -> None:
        with listener, listener.accept()[0] as connection:
            for one in answers:
                connection.recv(100)
                connection.sendall(json.dumps(one).encode() + b"\n")
            connection.recv(100)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_picture_is_that_of_gosched_top(tmp_path: Path, answers: list[dict[str, Any]]) -> None:
    command = os.environ.get("GOSCHED_TEST_TOP")
    if not command:
        pytest.skip("this build has no gosched-top")
    pictures = []
    for number, words in enumerate(([command], [sys.executable, "-m", "gosched", "top"])):
        path = tmp_path / str(number)
        thread = serve(path, answers)
        done = subprocess.run(
            [*words, "--once", "-d", "0.01", str(path)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        thread.join(60)
        pictures.append(done.stdout)
    assert pictures[0] == pictures[1]
    assert "\033" not in pictures[0] and "\t" not in pictures[0]


def test_the_end_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    thread = serve(path, [answer(1), answer(2)])
    done = run("-d", "0", path)
    thread.join(60)
    assert done.returncode == 0 and "the program has ended" in done.stderr
    assert done.stdout.count("(pid 99)") == 2
