"""stats, dump, trace, the version."""

from __future__ import annotations

import io
import json
import os
import re
import time
from pathlib import Path

import gosched
import pytest


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", gosched.__version__)
    root = Path(__file__).parents[2] / "VERSION"
    assert gosched.__version__ == root.read_text().strip()


def test_stats(libc):
    gosched.run(lambda: None)
    before = gosched.stats()
    assert all(type(k) is str and type(v) is int and v >= 0 for k, v in before.items())

    def main():
        gs = [gosched.go(gosched.sleep, 0.01) for _ in range(7)]
        live = gosched.stats()["gs_live"]
        libc.usleep(100)
        for g in gs:
            g.join()
        return live

    assert gosched.run(main) == 8
    after = gosched.stats()
    assert after["gs_live"] == 0
    assert after["gs_created"] == before["gs_created"] + 8
    assert after["cgocalls"] > before["cgocalls"]
    assert after["parks"] > before["parks"]
    assert after["switches"] > before["switches"]


def dumped(write):
    def main():
        gosched.go(gosched.sleep, 100).name = "renamed"
        gosched.sleep(0.01)
        return write()

    return gosched.run(main)


def test_dump_to_a_file(tmp_path):
    path = tmp_path / "dump.txt"

    def write():
        with open(path, "w") as f:
            f.write("head\n")
            gosched.dump(f)

    dumped(write)
    text = path.read_text()
    assert text.startswith("head\n")
    assert re.search(r"\bG\d* ?\d+", text)
    assert "python" in text or "main" in text


def test_dump_to_memory():
    def to(f):
        dumped(lambda: gosched.dump(f))
        return f.getvalue()

    assert "main" in to(io.StringIO())
    assert b"main" in to(io.BytesIO())


def test_dump_to_stderr_and_descriptors(capfd):
    dumped(gosched.dump)
    assert "main" in capfd.readouterr().err
    dumped(lambda: gosched.dump(2))
    assert "main" in capfd.readouterr().err


@pytest.mark.parametrize("bad", [-1, 10**6, 10**30])
def test_dump_to_a_bad_descriptor(bad):
    with pytest.raises((OSError, OverflowError)):
        gosched.dump(bad)


def test_trace(tmp_path, libc):
    path = tmp_path / "out.json"

    def child():
        libc.usleep(20_000)

    def main():
        with gosched.trace(path), gosched.TaskGroup() as tg:
            for _ in range(4):
                tg.go(child)
            time.sleep(0.01)

    gosched.run(main)
    data = json.loads(path.read_text())
    events = data["traceEvents"] if isinstance(data, dict) else data
    names = [e.get("name", "") for e in events]
    assert any("child" in n for n in names), names
    assert any(n == "usleep" for n in names)


def test_trace_around_run(tmp_path):
    path = os.fspath(tmp_path / "out.json")
    with gosched.trace(path):
        gosched.run(lambda: gosched.go(gosched.sleep, 0.001).join())
    assert json.loads(Path(path).read_text())


def test_trace_errors(tmp_path):
    with (
        gosched.trace(tmp_path / "a.json"),
        pytest.raises(gosched.Error, match="already"),
        gosched.trace(tmp_path / "b.json"),
    ):
        pass
    with pytest.raises(OSError), gosched.trace(tmp_path / "no" / "such" / "c.json"):
        pass
    with gosched.trace(tmp_path / "d.json"):
        pass
    with pytest.raises(TypeError):
        gosched.trace(5)
