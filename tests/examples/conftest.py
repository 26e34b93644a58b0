"""What the tests of the examples share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def root() -> Path:
    """The root of the tree."""
    return ROOT


@pytest.fixture
def build() -> Path:
    """The build tree whose library and modules are found first."""
    return Path(os.environ["GOSCHED_BUILD"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command in an empty folder and gives what it printed; it must succeed."""

    def call(
        command: Sequence[str | Path], timeout: float = 60, *, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=tmp_path,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call
