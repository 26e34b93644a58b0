"""The pages in docs/ that have programs tell the truth.

The blocks of a page that are in its language are one program; what stands in blocks of `text` is
what it prints.  Milliseconds may be others.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Run


def blocks(page: Path, language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)
    assert found or language == "text", f"{page} has no program"
    return "\n".join(found) if language != "text" else "".join(found)


def printed(run: Run, command: list[str | Path], page: Path) -> None:
    """It prints what the page says."""
    shown, said = (
        re.sub(r"\b\d+ ms\b", "N ms", text) for text in (run(command).stdout, blocks(page, "text"))
    )
    assert shown == said


def need(program: str, what: Path) -> str:
    found = shutil.which(program)
    if found is None or not what.exists():
        pytest.skip(f"{program} is not installed, or {what} was not built")
    return found


@pytest.mark.parametrize("name", ["foreign-functions", "tutorial/python"])
def test_python(run: Run, root: Path, tmp_path: Path, name: str) -> None:
    page = root / f"docs/{name}.md"
    program = tmp_path / "program.py"
    program.write_text(blocks(page, "python"))
    printed(run, [sys.executable, program], page)


def test_shared(run: Run, root: Path, tmp_path: Path) -> None:
    page = root / "docs/shared.md"
    program = tmp_path / "program.py"
    program.write_text(blocks(page, "python"))
    out = run([sys.executable, program]).stdout
    assert "2 row 2\n" in out
    assert "value[1]['rows'][0] is of type object" in out


@pytest.mark.parametrize("name", ["lua", "tutorial/lua"])
def test_lua(run: Run, root: Path, build: Path, tmp_path: Path, name: str) -> None:
    lua = need("lua5.4", build / "lua/gosched.so")
    page = root / f"docs/{name}.md"
    program = tmp_path / "program.lua"
    program.write_text(blocks(page, "lua"))
    printed(run, [lua, program], page)


def test_tcl(run: Run, root: Path, build: Path, tmp_path: Path) -> None:
    tclsh = need("tclsh", build / "tcl/gosched/pkgIndex.tcl")
    page = root / "docs/tutorial/tcl.md"
    program = tmp_path / "program.tcl"
    program.write_text(blocks(page, "tcl"))
    printed(run, [tclsh, program], page)


def test_c(run: Run, root: Path, tmp_path: Path) -> None:
    page = root / "docs/tutorial/c.md"
    program = tmp_path / "program.c"
    program.write_text(blocks(page, "c"))
    cc = os.environ.get("CC", "cc")
    run([cc, "-Wall", "-Wextra", "-Werror", program, "-lgosched", "-o", tmp_path / "program"])
    printed(run, [tmp_path / "program"], page)
