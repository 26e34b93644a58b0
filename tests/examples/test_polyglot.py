"""examples/polyglot: three languages, one pipeline; all of it is stored, or nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

PACKAGES = 300
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


@pytest.fixture
def program(root: Path, build: Path) -> Path:
    for language in ("lua", "tcl"):
        plugin = build / f"lib/gosched/gosched-guest-{language}.so"
        if not plugin.exists():
            pytest.skip(f"{plugin} was not built")
    return root / "examples/polyglot/polyglot.py"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Packages as dpkg has them, one of which the rules leave out."""
    text = "".join(
        f"Package: package-{i % 10}-{i}\nSection: main/{'net' if i % 3 else 'libs'}\n"
        f"Installed-Size: {i * 100}\nDepends: a, b (>= 1)\nDescription: of {i}\n more\n\n"
        for i in range(PACKAGES)
    )
    path = tmp_path / "status"
    path.write_text(text + "Package: libthing-dbg\n")
    return path


def tables(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return [name for (name,) in db.execute("select name from sqlite_master order by name")]


def test_everything(run: Run, program: Path, records: Path, tmp_path: Path) -> None:
    database, picture = tmp_path / "packages.db", tmp_path / "picture.svg"
    said = run(
        [sys.executable, program, "--input", records, "--database", database]
        + ["--picture", picture]
    ).stdout.splitlines()
    assert said[0].startswith("loading")
    assert f"done     [==========] {PACKAGES + 1} of {PACKAGES + 1}" in said
    assert f"Lua took {PACKAGES} of {PACKAGES + 1} records" in said
    assert picture.read_text().startswith("<svg") or "<svg" in picture.read_text()
    assert tables(database) == ["packages", "pairs"]
    with sqlite3.connect(database) as db:
        row = db.execute("select * from packages where name = 'package-2-202'").fetchone()
        assert row == ("package-2-202", "net", "large", 20200, 2)
        assert db.execute("select count(*) from packages").fetchone() == (PACKAGES,)


@pytest.mark.parametrize("phase", ["loading", "sql"])
def test_cancelled(program: Path, records: Path, tmp_path: Path, phase: str) -> None:
    """The SQL of the end would never return by itself."""
    database = tmp_path / "packages.db"
    done = subprocess.run(
        [sys.executable, program, "--input", records, "--database", database]
        + ["--cancel", phase, "--sql", ENDLESS],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines()[-1] == "cancelled; rolled back, 0 tables are left"
    assert tables(database) == []


def test_the_users_rules(run: Run, program: Path, records: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.lua"
    rules.write_text(
        "return function(r) if r.Section == 'main/libs' then return {name = r.Package:upper(),"
        " section = 's', kind = 'k', kib = 1, depends = 0} end end"
    )
    said = run([sys.executable, program, "--input", records, "--rules", rules]).stdout
    assert f"Lua took {PACKAGES // 3} of {PACKAGES + 1} records" in said


def test_bad_rules(program: Path, records: Path, tmp_path: Path) -> None:
    """An error of the user's script is the program's, with Lua's traceback; nothing hangs."""
    rules = tmp_path / "rules.lua"
    rules.write_text("return function(r)\n  return r.nothing.more\nend\n")
    done = subprocess.run(
        [sys.executable, program, "--input", records, "--rules", rules],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "rules.lua:2:" in done.stderr


def test_no_input(program: Path) -> None:
    done = subprocess.run(
        [sys.executable, program, "--input", os.devnull + "/none"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--input names a file" in done.stderr
