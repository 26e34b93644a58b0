#!/usr/bin/env python3
"""The reference pages of the documentation site, made from what stands in the code.

    reference.py --out DIR [--tcl MANUAL]

DIR/c-HEADER.md from the comments of each public header (as tools/manpages.py reads them),
DIR/lua.md, DIR/lua-ffi.md and DIR/lua-socket.md from the annotations in bindings/lua/library,
DIR/tcl.md from the manual page (by mandoc), and DIR/python.md, which mkdocstrings fills in from the
docstrings.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import manpages  # noqa: E402

HEADERS = [
    "core/gosched.h",
    "ffi/gosched_ffi.h",
    "core/gosched_inspect.h",
    "core/gosched_embed.h",
    "core/gosched_domain.h",
    "core/gosched_shared.h",
]


def c_text(text: str, known: dict[str, str]) -> str:
    """A comment as markdown: names lead to where they are described, lists stay lists."""
    out = []
    for line in text.split("\n"):
        if parameter := re.match(r"^ {2,}(\w[\w, ]*?) {2,}(\S.*)$", line):
            line = f"- `{parameter[1]}`: {parameter[2]}"
            if out and out[-1] and not out[-1].startswith(("- ", "  ")):
                out.append("")
        elif out and out[-1].startswith(("- ", "  ")) and line.startswith("    "):
            line = "  " + line.strip()
        elif out and out[-1].startswith(("- ", "  ")) and line and not line.startswith(" "):
            out.append("")
        line = line.replace("*", "\\*").replace("<", "&lt;").replace("_", "\\_")
        line = re.sub(r"`([^`]*)`", lambda m: m[0].replace("\\", ""), line)
        out.append(
            re.sub(
                r"\bgs(?:\\_\w+?)+(?=\W|$)",
                lambda m: link(m[0].replace("\\", ""), m[0], known),
                line,
            )
        )
    return "\n".join(out)


def link(name: str, shown: str, known: dict[str, str]) -> str:
    return f"[{shown}]({known[name]}#{name})" if name in known else shown


def c_page(header: manpages.Header, path: str, known: dict[str, str]) -> str:
    title, _, intro = header.intro.partition("\n")
    out = [f"# {title.rstrip('.')}", c_text(intro.strip("\n"), known)]
    section = ""
    shown: set[str] = set()
    for group in header.groups:
        if group.section != section:
            section = group.section
            out += [f"## {section}", c_text(group.section_text, known)]
        names = [function.name for function in group.functions]
        anchors = "".join(f'<a id="{name}"></a>' for name in names)
        out.append(f"### {anchors}{', '.join(names)}".replace("_", "\\_").replace('\\_"', '_"'))
        out[-1] = re.sub(r'id="[^"]*"', lambda m: m[0].replace("\\", ""), out[-1])
        prototypes = []
        for function in group.functions:
            said = f"  /* {function.trailing} */" if function.trailing else ""
            prototypes.append(function.prototype + said)
        for name in re.findall(r"\bgs_\w+\b", " ".join(prototypes)):
            declared = header.types.get(name)
            if declared and declared not in shown:
                shown.add(declared)
                prototypes.append("\n" + declared)
        out.append("```c\n" + "\n".join(prototypes) + "\n```")
        out.append(c_text(group.text or group.type_text, known))
    out.append(f"Made from [{path}](../../{path}).")
    return "\n\n".join(part for part in out if part) + "\n"


def lua_page(path: Path) -> str:
    """Functions and classes with what their annotations say, in the order of the file."""
    title = path.stem.replace("_", ".")
    out, said = [f"# Lua: {title}"], []  # type: ignore[var-annotated]
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith("---"):
            said.append(line[3:])
            continue
        declared = re.match(r"(?:local )?(?:function )?([\w.:]+)\s*(\(.*?\))?", line)
        tags = [re.match(r"@(\w+) ?(.*)", text) for text in said]
        prose = [text for text, tag in zip(said, tags, strict=True) if not tag]
        klass = next((tag[2] for tag in tags if tag and tag[1] == "class"), None)
        if line.startswith("function") and declared:
            out.append(f"### {declared[1]}{declared[2] or '()'}")
        elif klass:
            out.append(f"## {klass}")
        if said and not any(tag and tag[1] == "meta" for tag in tags):
            out += prose
            items = [item(tag[1], tag[2]) for tag in tags if tag and tag[1] != "class"]
            if items := [text for text in items if text]:
                out.append("\n".join(items))
        said = []
    out.append(f"Made from [{path.name}](../../bindings/lua/library/{path.name}).")
    return "\n\n".join(part for part in out if part) + "\n"


def item(tag: str, text: str) -> str:
    if tag == "return":
        kind, _, rest = text.partition(" ")
        return f"- returns `{kind}` {html.escape(rest.lstrip('# '))}".rstrip()
    if tag in ("param", "field"):
        name, _, rest = text.partition(" ")
        kind = re.match(r"(fun\(.*?\)(?::\s*\S+)?|\S+) ?(.*)", rest)
        assert kind
        return f"- `{name}`: `{kind[1]}` {html.escape(kind[2])}".rstrip()
    return f"- {tag}: `{text}`" if tag in ("operator", "overload") else ""


def tcl_page(manual: Path) -> str:
    mandoc = shutil.which("mandoc")
    if not mandoc:
        return "# Tcl\n\nThe manual page `gosched(n)`; to show it here mandoc is needed.\n"
    shown = subprocess.run(
        [mandoc, "-T", "html", "-O", "fragment", str(manual)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return f'# Tcl: gosched(n)\n\n<div class="manual">\n{shown}</div>\n'


PYTHON = """# Python: gosched

::: gosched
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    headers = {path: manpages.read_header(ROOT / path) for path in HEADERS}
    pages = {path: f"c-{Path(path).stem}.md" for path in HEADERS}
    known = {
        function.name: pages[path]
        for path, header in headers.items()
        for group in header.groups
        for function in group.functions
    }
    for path, header in headers.items():
        (options.out / pages[path]).write_text(c_page(header, path, known))
    library = ROOT / "bindings/lua/library"
    (options.out / "lua.md").write_text(lua_page(library / "gosched.lua"))
    (options.out / "lua-ffi.md").write_text(lua_page(library / "gosched_ffi.lua"))
    (options.out / "lua-socket.md").write_text(lua_page(library / "gosched_socket.lua"))
    (options.out / "tcl.md").write_text(tcl_page(ROOT / "bindings/tcl/man/gosched.n"))
    (options.out / "python.md").write_text(PYTHON)
    print(f"{len(known)} C functions in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
