#!/usr/bin/env python3
"""Headers of real libraries, whole, as the preprocessor leaves them: declared by gs_ffi_cdef and
compared with what the C compiler makes of them.

    real_headers.py CC LAYOUT_OF

Functions: the compiler lists the prototype of every function in its own words (gcc -aux-info); that
list is declared as well, after the header, and a function that is declared twice must be the same
one both times.  Types: size, alignment and the places of members' first level of every typedef.
Headers that are not installed are named and left out; without any the test fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The first of the names that is there; the package that has it.
HEADERS = (
    (("sqlite3.h",), "libsqlite3-dev"),
    (("zlib.h",), "zlib1g-dev"),
    (("libpq-fe.h", "postgresql/libpq-fe.h"), "libpq-dev"),
    (("curl/curl.h",), "libcurl4-openssl-dev"),
    (("lua5.4/lua.h",), "liblua5.4-dev"),
    (("tcl8.6/tcl.h", "tcl.h"), "tcl-dev"),
    (("ffi.h",), "libffi-dev"),
    (("stdio.h",), "libc6-dev"),
    (("pthread.h",), "libc6-dev"),
    (("sys/socket.h",), "libc6-dev"),
    (("netdb.h",), "libc6-dev"),
    (("math.h",), "libc6-dev"),
    (("complex.h",), "libc6-dev"),
    (("stddef.h",), "gcc"),
    (("stdatomic.h",), "gcc"),
    (("threads.h",), "libc6-dev"),
)
FLAGS = ["-D_GNU_SOURCE=1", "-w"]
# C23, which newer compilers take by default, has nullptr_t in stddef.h, the typeof of a keyword.
STANDARDS = ("-std=gnu17", "-std=gnu2x")


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[:4000]}")
    return done.stdout


def accepts(cc: str, standard: str) -> bool:
    command = [cc, standard, "-fsyntax-only", "-x", "c", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def there(cc: str, header: str, folder: Path) -> bool:
    source = folder / "there.c"
    source.write_text(f"#include <{header}>\n", encoding="ascii")
    command = [cc, *FLAGS, "-fsyntax-only", str(source)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def prototypes(cc: list[str], source: Path, folder: Path) -> list[str]:
    """One declaration a line, as the compiler words it."""
    listed = folder / "aux.txt"
    run([*cc, "-fsyntax-only", "-aux-info", str(listed), str(source)])
    lines = listed.read_text(encoding="utf-8").splitlines()
    plain = [re.sub(r"/\*.*?\*/", "", line).strip() for line in lines]
    # The compiler's own struct goes by its bare name there.
    return [line.replace("__va_list_tag", "struct __va_list_tag") for line in plain if line]


def check_types(cc: list[str], header: str, lines: list[str], folder: Path) -> int:
    """Compares the lines of layout_of with the compiler's; returns how many there were."""
    wanted, statements = [], []
    for line in lines:
        path, *figures = line.split()
        name, _, member = path.partition(".")
        if figures[0] == "bit" or "." in member or (not member and figures[0] == "0"):
            continue
        if name.startswith(("__builtin", "_Float", "__int128", "__uint128", "__s128", "__u128")):
            continue
        wanted.append(line)
        if member:
            statements.append(f'  printf("{path} %zu\\n", offsetof({name}, {member}));')
        else:
            statements.append(f'  printf("{name} %zu %zu\\n", sizeof({name}), _Alignof({name}));')
    source, program = folder / "types.c", folder / "types"
    text = f"#include <{header}>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n"
    source.write_text(text + "\n".join(statements) + "\n  return 0;\n}\n", encoding="ascii")
    run([*cc, "-o", str(program), str(source)])
    theirs = run([str(program)]).splitlines()
    if wanted != theirs:
        differ = [(a, b) for a, b in zip(wanted, theirs, strict=True) if a != b]
        sys.exit(f"{header}: gosched has '{differ[0][0]}', the compiler '{differ[0][1]}'")
    return len(wanted)


def check(cc: list[str], layout_of: str, header: str, folder: Path) -> None:
    source, both = folder / "header.c", folder / "both.h"
    source.write_text(f"#include <{header}>\n", encoding="ascii")
    text = run([*cc, "-E", str(source)])
    functions = prototypes(cc, source, folder)
    both.write_text("\n".join([text, *functions, ""]), encoding="utf-8")
    lines = run([layout_of, str(both)]).splitlines()
    figures = check_types(cc, header, lines, folder)
    print(f"{header} ({cc[1]}): {len(functions)} functions, {figures} figures of types are right")


def main() -> int:
    cc, layout_of = sys.argv[1:]
    done = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for names, package in HEADERS:
            header = next((h for h in names if there(cc, h, folder)), None)
            if header is None:
                print(f"{names[0]}: left out, it is not installed (package {package})")
                continue
            for standard in filter(lambda s: accepts(cc, s), STANDARDS):
                check([cc, standard, *FLAGS], layout_of, header, folder)
                done += 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
