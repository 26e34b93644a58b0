#!/usr/bin/env python3
"""Writes the C code of a group of scenarios (scenario.h).

    generate.py FILE.sig OUT.c           the signatures of a file
    generate.py systematic OUT.c         all shapes of some kinds
    generate.py random:SEED:COUNT OUT.c  random ones

The same input gives the same output.
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from random_signatures import random_group
from signatures import PRELUDE, Group, Reader, Record, Signature, Type, value
from systematic import systematic_group

CALLS = 5  # of each signature: two at the edges, the others random
CALLS_OF_MANY = 3  # of one with very many arguments
HEAD = """\
#include <float.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include "scenario.h"
/* Of the x87's ten bytes the other six mean nothing. */
#define LD_BYTES (LDBL_MANT_DIG == 64 ? 10 : sizeof(long double))
#define SAME static __attribute__((noinline)) bool
#define SAME_BYTES(name, n) \\
  SAME name(const void *a, const void *b) { return memcmp(a, b, n) == 0; }
SAME_BYTES(same_1, 1) SAME_BYTES(same_2, 2) SAME_BYTES(same_4, 4) SAME_BYTES(same_8, 8)
SAME_BYTES(same_16, 16) SAME_BYTES(same_ld, LD_BYTES)
SAME same_cld(const void *a, const void *b) {
  return same_ld(a, b) &&
         same_ld((const char *)a + sizeof(long double), (const char *)b + sizeof(long double));
}
#define EQUAL(same, m) ({ __typeof__(a.m) x_ = a.m, y_ = b.m; same(&x_, &y_); })
#define EQUAL_ALL(same, m, n) \\
  ({ bool all_ = true; for (int i_ = 0; i_ < n; i_++) all_ &= EQUAL(same, m[i_]); all_; })
static void stranger(const signature *s, const unsigned *matched) {
  for (unsigned i = 0; i < s->nargs; i++)
    atomic_store_explicit(&s->matched[i], matched[i], memory_order_relaxed);
  atomic_fetch_add(s->strangers, 1);
}
"""


def same(t: Type) -> str:
    """The function that compares two values of the type."""
    if t.record is not None:
        return "same_" + t.name.replace(" ", "_")
    if t.name == "long double":
        return "same_ld"
    if t.name == "_Complex long double":
        return "same_cld"
    return f"same_{t.bits // 8}"


def comparison(record: Record) -> str:
    """The definition of same() of a record."""
    terms = []
    for m in record.valued():
        if m.bits == 0 or not m.name:
            continue
        if m.bits is not None:
            terms.append(f"a.{m.name} == b.{m.name}")
        elif m.count is not None:
            terms.append(f"EQUAL_ALL({same(m.type)}, {m.name}, {m.count})")
        else:
            terms.append(f"EQUAL({same(m.type)}, {m.name})")
    name = record.name.replace(" ", "_")
    return (
        f"SAME same_{name}(const void *pa, const void *pb) {{\n"
        f"  {record.name} a, b;\n  memcpy(&a, pa, sizeof a);\n  memcpy(&b, pb, sizeof b);\n"
        f"  return {' && '.join(terms) or 'true'};\n}}\n"
    )


def calls_of(s: Signature, rnd: random.Random) -> list[tuple[list[str], str]]:
    """Initializers of the arguments and the result, no two calls with the same arguments."""
    calls, seen = [], set()
    for turn in range(CALLS if len(s.passed()) <= 40 else CALLS_OF_MANY):
        arguments = [value(t, rnd, turn) for t in s.passed()]
        result = "" if s.result.kind == "void" else value(s.result, rnd, turn)
        if tuple(arguments) not in seen:
            calls.append((arguments, result))
            seen.add(tuple(arguments))
    return calls


def declare(t: Type, name: str) -> str:
    return f"{t.name} {name}"


def function(s: Signature) -> str:
    passed, n, void = s.passed(), s.name, s.result.kind == "void"
    parameters = [declare(t, f"a{i}") for i, t in enumerate(s.fixed)]
    head = ", ".join([*parameters, *(["..."] if s.extra is not None else [])]) or "void"
    lines = [f"{s.result.name} {n}({head}) {{"]
    if s.extra is not None:
        lines += ["  va_list ap;", f"  va_start(ap, a{len(s.fixed) - 1});"]
        for i, t in enumerate(passed[len(s.fixed) :], len(s.fixed)):
            lines.append(f"  {declare(t, f'a{i}')} = va_arg(ap, {t.name});")
        lines.append("  va_end(ap);")
    lines.append(f"  unsigned matched[{len(passed) or 1}] = {{0}};")
    lines.append(f"  for (unsigned k = 0; k < sizeof {n}_v / sizeof *{n}_v; k++) {{")
    lines.append("    unsigned equal = 0;")
    for i, t in enumerate(passed):
        lines.append(f"    if ({same(t)}(&a{i}, &{n}_v[k].a{i})) matched[{i}] |= 1u << k, equal++;")
    lines.append(f"    if (equal == {len(passed)}) {{")
    lines.append(f"      atomic_fetch_add(&{n}_hits[k], 1);")
    lines.append("      return;" if void else f"      return {n}_v[k].r;")
    lines += ["    }", "  }", f"  stranger(&{n}_s, matched);"]
    if not void:
        lines += [f"  {declare(s.result, 'none')};", "  memset(&none, 0, sizeof none);"]
        lines.append("  return none;")
    return "\n".join([*lines, "}"])


def caller(s: Signature) -> str:
    """Makes call `which` through a pointer; of a variadic function, as a variadic call."""
    arguments = ", ".join(f"{s.name}_v[which].a{i}" for i in range(len(s.passed())))
    dots = ", ..." if s.extra is not None else ""
    types = (", ".join(t.name for t in s.fixed) or "void") + dots
    call = f"(({s.result.name} (*)({types}))fn)({arguments})"
    if s.result.kind == "void":
        body = f"  {call};\n  return true;"
    else:
        body = (
            f"  {declare(s.result, 'r')} = {call};\n"
            f"  return {same(s.result)}(&r, &{s.name}_v[which].r);"
        )
    return f"static bool {s.name}_call(void (*fn)(void), unsigned which) {{\n{body}\n}}"


def table(s: Signature, ncalls: int) -> str:
    passed, n, void = s.passed(), s.name, s.result.kind == "void"
    arguments = [f"&{n}_v[{k}].a{i}" for k in range(ncalls) for i in range(len(passed))]
    results = ["0" if void else f"&{n}_v[{k}].r" for k in range(ncalls)]
    extra = [f'"{t.name}"' for t in s.extra or []]
    sizes = [f"sizeof({t.name})" for t in passed]
    sames = [same(t) for t in passed]
    lists = (
        ("const char *const", "extra", extra), ("const size_t", "sizes", sizes),
        ("same_fn *const", "same", sames), ("const void *const", "arguments", arguments),
        ("const void *const", "results", results),
    )  # fmt: skip
    lines = [
        f"static {kind} {n}_{what}[] = {{{', '.join(has) or '0'}}};" for kind, what, has in lists
    ]
    flags = "SCENARIO_REFUSABLE" if s.refusable() else "0"
    size = "0" if void else f"sizeof({s.result.name})"
    fields = (
        f'"{n}"', f'"{s.pointer()}"', f"(void *){n}", flags, str(len(passed)), str(len(s.fixed)),
        str(ncalls), size, f"{n}_extra", f"{n}_sizes", f"{n}_same",
        "0" if void else same(s.result), f"{n}_arguments", f"{n}_results", f"{n}_call",
        f"{n}_hits", f"&{n}_strangers", f"{n}_matched",
    )  # fmt: skip
    lines.append(f"static const signature {n}_s = {{{', '.join(fields)}}};")
    return "\n".join(lines)


def scenario(s: Signature, rnd: random.Random) -> str:
    calls, n = calls_of(s, rnd), s.name
    members = [declare(t, f"a{i};") for i, t in enumerate(s.passed())]
    if s.result.kind != "void":
        members.append(declare(s.result, "r;"))
    rows = [", ".join([*arguments, *([result] if result else [])]) for arguments, result in calls]
    return "\n".join(
        [
            f"static const struct {{ {' '.join(members) or 'char none;'} }} {n}_v[] = {{",
            *(f"  {{{row or '0'}}}," for row in rows),
            "};",
            f"static atomic_uint {n}_hits[{len(calls)}], {n}_strangers,",
            f"    {n}_matched[{len(s.passed()) or 1}];",
            f"static const signature {n}_s;",
            function(s),
            caller(s),
            table(s, len(calls)),
            "",
        ]
    )


def quoted(text: str) -> str:
    return "\n".join(f'  "{line}\\n"' for line in text.splitlines())


def code(group: Group, seed: str) -> str:
    types = PRELUDE + "".join(r.text() + "\n" for r in group.records)
    rows = ", ".join(f"&{s.name}_s" for s in group.signatures)
    return "\n".join(
        [
            HEAD,
            types,
            *(comparison(r) for r in group.records),
            *(scenario(s, random.Random(f"{seed} {s.name}")) for s in group.signatures),
            f"static const signature *const all[] = {{{rows}}};",
            "const group scenarios = {",
            quoted(types + "".join(s.prototype() + "\n" for s in group.signatures)),
            f"  , all, {len(group.signatures)}}};",
            "",
        ]
    )


def main() -> int:
    source, out = sys.argv[1:]
    found = re.fullmatch(r"random:(\w+):(\d+)", source)
    if found:
        group = random_group(random.Random(found[1]), int(found[2]))
    elif source == "systematic":
        group = systematic_group()
    else:
        group = Reader(Path(source).read_text(encoding="ascii")).group
    Path(out).write_text(code(group, source.rpartition("/")[2]), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
