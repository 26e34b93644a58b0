"""The pages in docs/ that have programs tell the truth."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Run


def test_foreign_functions(run: Run, root: Path, tmp_path: Path) -> None:
    page = (root / "docs/foreign-functions.md").read_text()
    program = tmp_path / "program.py"
    program.write_text("\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)))
    assert run([sys.executable, program]).stdout == ""


def test_lua(run: Run, root: Path, build: Path, tmp_path: Path) -> None:
    lua = shutil.which("lua5.4")
    if lua is None or not (build / "lua/gosched.so").exists():
        pytest.skip("lua5.4 is not installed, or the Lua module was not built")
    page = (root / "docs/lua.md").read_text()
    program = tmp_path / "program.lua"
    program.write_text("\n".join(re.findall(r"^```lua\n(.*?)^```$", page, re.M | re.S)))
    assert run([lua, program]).stdout == ""
