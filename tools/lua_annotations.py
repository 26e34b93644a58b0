#!/usr/bin/env python3
"""What lua-language-server makes of the annotations in bindings/lua/library.

    lua_annotations.py [SERVER]     SERVER: the program (default: lua-language-server on PATH)

It must find nothing in the annotations themselves, nor, with them as its library, in the Lua
examples, in the Lua code of the documentation and in tests/lua/typed/right.lua; and in
tests/lua/typed/wrong.lua exactly what that file says: a server that knows nothing of the
annotations does not pass.  Prints what is otherwise, and fails.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "bindings/lua/library"
TYPED = ROOT / "tests/lua/typed"

Finding = tuple[str, int, str]


def program(page: Path) -> str:
    """The Lua code of a page, which is one program, with the page's numbers of lines."""
    out, inside = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```lua"
        out.append(line if inside and not line.startswith("```") else "")
    return "\n".join(out) + "\n"


def programs() -> Iterator[tuple[str, str]]:
    """Name and text of each, as one flat directory."""
    for path in [*sorted((ROOT / "examples").rglob("*.lua")), *sorted(TYPED.glob("*.lua"))]:
        yield str(path.relative_to(ROOT)).replace("/", "."), path.read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if (text := program(page)).strip():
            yield str(page.relative_to(ROOT)).replace("/", ".") + ".lua", text


def findings(server: str, workspace: Path, logs: Path, library: Path | None) -> dict[Finding, str]:
    """What the server finds in the files of a directory: file, line, kind, with its words."""
    settings: dict[str, object] = {
        "runtime.version": "Lua 5.4",
        "workspace.checkThirdParty": False,
        "telemetry.enable": False,
    }
    if library:
        settings["workspace.library"] = [str(library)]
    (workspace / ".luarc.json").write_text(json.dumps(settings))
    report = logs / "found.json"
    report.unlink(missing_ok=True)
    command = [server, "--check", str(workspace), "--checklevel=Information", "--check_format=json"]
    command += [f"--check_out_path={report}", f"--logpath={logs}", f"--metapath={logs}/meta"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if not report.exists():
        if "no problems found" in done.stdout:
            return {}
        sys.exit(f"{server} has looked at nothing:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = {}
    for uri, list_ in (json.loads(report.read_text()) or {}).items():
        name = Path(unquote(urlparse(uri).path)).name
        for one in list_:
            line = one["range"]["start"]["line"] + 1
            found[name, line, one["code"]] = one["message"].splitlines()[0]
    return found


def expected(name: str, text: str) -> set[Finding]:
    out = set()
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(r"-- finds ([\w-]+)$", line):
            out.add((name, number, match[1]))
    return out


def main() -> int:
    server = sys.argv[1] if len(sys.argv) > 1 else shutil.which("lua-language-server")
    if not server:
        print("lua-language-server is not on PATH")
        return 1
    wanted: set[Finding] = set()
    with tempfile.TemporaryDirectory() as directory:
        logs, own, users = (Path(directory) / name for name in ("logs", "own", "users"))
        for made in (logs, own, users):
            made.mkdir()
        for path in LIBRARY.glob("*.lua"):
            shutil.copy(path, own)
        count = 0
        for name, text in programs():
            (users / name).write_text(text)
            wanted |= expected(name, text)
            count += 1
        found = findings(server, own, logs, None) | findings(server, users, logs, LIBRARY)
    for where in sorted(found.keys() - wanted):
        print(f"{where[0]}:{where[1]}: {where[2]}: {found[where]}")
    for where in sorted(wanted - found.keys()):
        print(f"{where[0]}:{where[1]}: {where[2]} was to be found here")
    print(f"{count} programs, {len(wanted & found.keys())} mistakes found that are there")
    return int(found.keys() != wanted)


if __name__ == "__main__":
    sys.exit(main())
