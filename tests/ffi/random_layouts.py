#!/usr/bin/env python3
"""Random structs and unions, laid out by gs_ffi_cdef and by the C compiler: no difference allowed.

    random_layouts.py CC LAYOUT_OF [EMULATOR …]

The types come from a generator with a fixed seed, so that a run is like every other one; the
environment variable SEED makes it another one.  The compiler's side is a program that prints
sizes, alignments and offsets, and finds bit-fields by filling them with ones.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TYPES = 600
SCALARS = (
    "char", "signed char", "unsigned char", "short", "unsigned short int", "int", "signed",
    "unsigned", "long", "long unsigned int", "long long", "unsigned long long int", "float",
    "double", "long double", "_Bool", "int8_t", "uint16_t", "int32_t", "uint64_t", "size_t",
    "__int128", "unsigned __int128", "wchar_t",
)  # fmt: skip
BIT_TYPES = {
    "int": 32, "unsigned": 32, "signed char": 8, "unsigned char": 8, "short": 16,
    "unsigned short": 16, "long": 64, "unsigned long": 64, "long long": 64,
    "unsigned long long": 64, "_Bool": 1, "uint32_t": 32, "int64_t": 64,
}  # fmt: skip


class Generator:
    """Writes one type after the other, and remembers how its members are reached."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.names = 0
        self.types: dict[str, list[tuple[str, bool]]] = {}

    def name(self) -> str:
        self.names += 1
        return f"m{self.names}"

    def attribute(self, chance: float) -> str:
        if self.rnd.random() > chance:
            return ""
        choice = self.rnd.choice(("packed", "aligned", "aligned(%d)", "packed, aligned(%d)"))
        choice = choice.replace("%d", str(2 ** self.rnd.randrange(0, 6)))
        return f" __attribute__(({choice}))"

    def bit_field(self, paths: list[tuple[str, bool]], prefix: str) -> str:
        kind = self.rnd.choice(list(BIT_TYPES))
        if self.rnd.random() < 0.15:
            width = self.rnd.choice((0, self.rnd.randint(1, BIT_TYPES[kind])))
            return f"{kind} : {width};"
        name = self.name()
        paths.append((prefix + name, True))
        return f"{kind} {name} : {self.rnd.randint(1, BIT_TYPES[kind])};"

    def plain(self, paths: list[tuple[str, bool]], prefix: str) -> str:
        name = self.name()
        paths.append((prefix + name, False))
        base = self.rnd.choice(SCALARS)
        kind = self.rnd.random()
        if kind < 0.15:
            return f"const {base} *{name};"
        if kind < 0.2:
            return f"{base} (*{name}[2])(int, {base} *);"
        if kind < 0.4:
            return f"{base} {name}[{self.rnd.randint(1, 5)}];"
        if kind < 0.45:
            return f"{base} {name}[2][{self.rnd.randint(1, 4)}];"
        if kind < 0.5:
            return f"enum {{ {name}_a, {name}_b = {self.rnd.choice((-1, 7, 1 << 31))} }} {name};"
        if kind < 0.56:
            return f"_Alignas({2 ** self.rnd.randrange(4, 7)}) {base} {name};"
        return f"{base} {name}{self.attribute(0.1)};"

    def nested(self, paths: list[tuple[str, bool]], prefix: str, depth: int) -> str:
        kind = self.rnd.random()
        if self.types and kind < 0.4:
            name = self.name()
            paths.append((prefix + name, False))
            kept = self.rnd.choice(list(self.types))
            if self.rnd.random() < 0.3:
                return f"{kept} {name}[2];"
            paths.extend((f"{prefix}{name}.{path}", bits) for path, bits in self.types[kept])
            return f"{kept} {name};"
        if kind < 0.7:
            return self.body(paths, prefix, depth + 1) + ";"
        name = self.name()
        paths.append((prefix + name, False))
        return self.body(paths, f"{prefix}{name}.", depth + 1) + f" {name};"

    def body(self, paths: list[tuple[str, bool]], prefix: str, depth: int) -> str:
        keyword = self.rnd.choice(("struct", "struct", "struct", "union"))
        members = []
        for _ in range(self.rnd.randint(1, 6)):
            kind = self.rnd.random()
            if kind < 0.3:
                members.append(self.bit_field(paths, prefix))
            elif kind < 0.45 and depth < 3:
                members.append(self.nested(paths, prefix, depth))
            else:
                members.append(self.plain(paths, prefix))
        return f"{keyword}{self.attribute(0.15)} {{ {' '.join(members)} }}"

    def type(self) -> tuple[str, str, list[tuple[str, bool]]]:
        """The declaration of one more type, its name, and its members: path, is a bit-field."""
        paths: list[tuple[str, bool]] = []
        name = f"t{len(self.types)}"
        text = f"typedef {self.body(paths, '', 0)} {name};"
        self.types[name] = paths
        return text, name, paths


def probe(types: list[tuple[str, str, list[tuple[str, bool]]]]) -> str:
    lines = [
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>",
        '#include "types.h"',
        "static void bits(const char *path, const unsigned char *at, size_t n) {",
        "  size_t first = 0, width = 0;",
        "  for (size_t i = 0; i < n * 8; i++)",
        "    if (at[i / 8] >> i % 8 & 1) { if (!width++) first = i; }",
        '  printf("%s bit %zu %zu\\n", path, first, width);',
        "}",
        "int main(void) {",
    ]
    for _, name, paths in types:
        lines.append(f'  printf("{name} %zu %zu\\n", sizeof({name}), _Alignof({name}));')
        for path, is_bits in paths:
            if is_bits:
                lines.append(
                    f"  {{ static {name} v; memset(&v, 0, sizeof v); v.{path} = -1;"
                    f' bits("{name}.{path}", (void *)&v, sizeof v); }}'
                )
            else:
                lines.append(f'  printf("{name}.{path} %zu\\n", offsetof({name}, {path}));')
    return "\n".join([*lines, "  return 0;", "}", ""])


def run(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[:4000]}")
    return done.stdout.splitlines()


def main() -> int:
    cc, layout_of, *emulator = sys.argv[1:]
    seed = os.environ.get("SEED", "gosched")
    generator = Generator(random.Random(seed))
    types = [generator.type() for _ in range(TYPES)]
    with tempfile.TemporaryDirectory() as folder:
        header, source = Path(folder, "types.h"), Path(folder, "probe.c")
        header.write_text("\n".join(text for text, _, _ in types) + "\n", encoding="ascii")
        source.write_text(probe(types), encoding="ascii")
        program = Path(folder, "probe")
        run([cc, "-w", "-o", str(program), str(source)])
        theirs = run([*emulator, str(program)])
        ours = run([*emulator, layout_of, str(header)])
    if sorted(ours) == sorted(theirs):
        print(f"{TYPES} types, {len(ours)} sizes and places: no difference (seed {seed})")
        return 0
    texts = {name: text for text, name, _ in types}
    only_ours, only_theirs = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    bad = sorted({line.split()[0].split(".")[0] for line in [*only_ours, *only_theirs]})
    print(f"{len(bad)} of {TYPES} types differ (seed {seed}); the first:")
    for name in bad[:3]:
        print(texts[name])
        for label, lines in (("gosched", only_ours), ("the compiler", only_theirs)):
            for line in lines:
                if line.split()[0].split(".")[0] == name:
                    print(f"  {label}: {line}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
