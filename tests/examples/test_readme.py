"""README.md tells the truth: its snippets run as they stand, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from conftest import ROOT, Run
from test_programs import ALL_AT_ONCE, need, seconds

README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippet(language: str) -> str:
    """The one block of README.md in a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"README.md has {len(found)} blocks of {language}, not one"
    return str(found[0])


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_python(run: Run, tmp_path: Path) -> None:
    text = snippet("python")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    assert text == (ROOT / "examples/hello.py").read_text()
    took = seconds(run([sys.executable, write(tmp_path, "snippet.py", text)]).stdout)
    assert 0.2 <= took < ALL_AT_ONCE


def test_c(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path, "snippet.c", snippet("c"))
    compiler = os.environ.get("CC") or shutil.which("cc") or "cc"
    run([compiler, "-Wall", "-Wextra", "-Werror", source, "-lgosched", "-o", tmp_path / "snippet"])
    assert 0.2 <= seconds(run([tmp_path / "snippet"]).stdout) < ALL_AT_ONCE


def test_lua(run: Run, tmp_path: Path, build: Path) -> None:
    text = snippet("lua")
    lua = need("lua5.4", build / "lua/gosched.so")
    took = seconds(run([lua, write(tmp_path, "snippet.lua", text)]).stdout)
    assert 0.19 <= took < ALL_AT_ONCE


def test_tcl(run: Run, tmp_path: Path, build: Path) -> None:
    text = snippet("tcl")
    assert text == (ROOT / "examples/hello.tcl").read_text()
    tclsh = need("tclsh", build / "tcl/gosched/pkgIndex.tcl")
    took = seconds(run([tclsh, write(tmp_path, "snippet.tcl", text)]).stdout)
    assert 0.19 <= took < ALL_AT_ONCE


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)|<img[^>]* src=\"([^\"]+)\"", README)
    assert links
    for target in {a or b for a, b in links}:
        assert (ROOT / target).exists(), f"README.md links to {target}, which does not exist"


def test_the_picture_is_of_a_real_run() -> None:
    picture = (ROOT / "docs/pictures/handoff.svg").read_text(encoding="utf-8")
    assert 'data-call="sqlite3_step"' in picture
    assert re.search(r"[1-9]\d* hand-offs", picture)


def test_the_commands_exist() -> None:
    usage = (ROOT / "dev").read_text(encoding="utf-8")
    for command in re.findall(r"^\./dev (\w+)", README, re.MULTILINE):
        assert re.search(rf"^  {command}\b", usage, re.MULTILINE), f"./dev has no {command}"
