"""Every program in examples/ runs and prints what examples/README.md says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Run


def seconds(words: str) -> float:
    """The time in "100 calls of 0.2 s took 0.21 s"."""
    match = re.fullmatch(r"100 calls of 0\.2 s took (\d+\.\d\d) s\n", words)
    assert match is not None, words
    return float(match.group(1))


def need(program: str, module: Path) -> str:
    """An interpreter and the module built for it; skips the test, saying which is missing."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    if not module.exists():
        pytest.skip(f"{module} was not built")
    return found


# One after another the hundred naps take 20 s.  The bound is far above the 0.2 s they should take,
# for a loaded machine, and far below what they take if they wait for each other.
ALL_AT_ONCE = 8.0


def test_hello_py(run: Run, root: Path) -> None:
    took = seconds(run([sys.executable, root / "examples/hello.py"]).stdout)
    assert 0.2 <= took < ALL_AT_ONCE


def test_hello_c(run: Run, build: Path) -> None:
    took = seconds(run([build / "examples/hello"]).stdout)
    assert 0.2 <= took < ALL_AT_ONCE


def test_hello_lua(run: Run, root: Path, build: Path) -> None:
    lua = need("lua5.4", build / "lua/gosched.so")
    assert 0.19 <= seconds(run([lua, root / "examples/hello.lua"]).stdout) < ALL_AT_ONCE


def test_embed_c(run: Run, build: Path) -> None:
    program = build / "examples/embed"
    if not program.exists():
        pytest.skip(f"{program} was not built (it needs the headers of Lua 5.4)")
    lines = "".join(f"line {i}\n" for i in range(100))
    assert 0.19 <= seconds(run([program], input=lines).stdout) < ALL_AT_ONCE


def test_hello_tcl(run: Run, root: Path, build: Path) -> None:
    tclsh = need("tclsh", build / "tcl/gosched/pkgIndex.tcl")
    assert 0.19 <= seconds(run([tclsh, root / "examples/hello.tcl"]).stdout) < ALL_AT_ONCE


def test_embed_tcl_c(run: Run, build: Path) -> None:
    program = build / "examples/embed_tcl"
    if not program.exists():
        pytest.skip(f"{program} was not built (it needs the headers of Tcl 8.6)")
    assert "100 numbers, their sum is 1050" in run([program]).stdout


def test_getaddrinfo_py(run: Run, root: Path) -> None:
    names = ["localhost", "127.0.0.1", "::1", 70 * "x"]  # the last is too long for a label
    done = run([sys.executable, root / "examples/getaddrinfo.py", *names])
    lines = dict(line.split(": ", 1) for line in re.findall(r"^.*?: .*$", done.stdout, re.M))
    assert {"127.0.0.1", "::1"} & set(lines["localhost"].split())
    assert lines["127.0.0.1"] == "127.0.0.1"
    assert lines["::1"] == "::1"
    assert "Name or service not known" in lines[70 * "x"]


def test_sqlite_scan_py(run: Run, root: Path) -> None:
    done = run([sys.executable, root / "examples/sqlite_scan.py", "20000"])
    assert done.stdout.endswith("\n20 scans of 20000 rows at once found 40000 rows\n")
    assert done.stdout.startswith(".")


def test_zlib_files_py(run: Run, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"green thread " * 1000)
    done = run([sys.executable, root / "examples/zlib_files.py", file, __file__])
    lines = done.stdout.splitlines()
    match = re.fullmatch(r"text: 13000 bytes, (\d+) compressed", lines[0])
    assert match is not None and int(match.group(1)) < 200
    assert lines[1].startswith(f"test_programs.py: {Path(__file__).stat().st_size} bytes, ")
    assert len(lines) == 2


def test_slow_clients_py(run: Run, root: Path) -> None:
    done = run([sys.executable, root / "examples/slow_clients.py", "200"])
    match = re.fullmatch(
        r"(\d+) green threads, (\d+) OS threads\n200 slow clients were answered in .* s\n",
        done.stdout,
    )
    assert match is not None, done.stdout
    assert int(match.group(1)) > 200
    assert int(match.group(2)) < 100


def test_asyncio_calls_py(run: Run, root: Path) -> None:
    done = run([sys.executable, root / "examples/asyncio_calls.py"])
    assert re.fullmatch(r"1000 calls of 0\.2 s gave 500500 in .* s\n", done.stdout)


def test_the_table_lists_every_program(root: Path) -> None:
    folder = root / "examples"
    programs = {
        path.name for path in folder.iterdir() if path.suffix in {".py", ".c", ".lua", ".tcl"}
    } | {"polyglot/polyglot.py"}
    rows = re.findall(
        r"^\| \[`([^`]+)`\]\(\1\) \|.*\| `([^`]+)` \|$", (folder / "README.md").read_text(), re.M
    )
    assert {name for name, _ in rows} == programs
    for _, test in rows:
        file, _, function = test.partition("::")
        text = (root / "tests/examples" / file).read_text()
        assert f"def {function}(" in text, f"the table names {test}, which does not exist"
