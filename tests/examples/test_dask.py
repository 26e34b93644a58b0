"""gosched.Executor as the executor of Dask's workers, in processes of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from conftest import Run


def test_dask_cluster_py(run: Run, root: Path) -> None:
    pytest.importorskip("distributed")
    printed = run([sys.executable, root / "examples/dask_cluster.py"], timeout=150).stdout
    assert re.search(r"^1000 calls of 0\.2 s took \d+\.\d\d s$", printed, re.M), printed
    found = re.findall(r"process \d+: (\d+) calls, (\d+) in C at once", printed)
    assert len(found) == 2, printed
    assert sum(int(calls) for calls, _ in found) == 1000
    # A pool of threads would have as many as the machine has CPUs, and four more.
    assert all(int(at_once) > 16 for _, at_once in found), printed
