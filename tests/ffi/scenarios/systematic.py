"""Signatures by plan: all structs and unions of some kinds, and as many arguments as there may be.

Structs of n members of one type, up to beyond the size where conventions stop to look inside; all
structs of two members of different types, and all unions of them; each as argument before and after
others, and as result.  And every number of arguments around what fits into registers.
"""

from __future__ import annotations

from signatures import Group, Member, Record, Signature, Type, scalar

MOST_ARGUMENTS = 255
COUNTS = {
    "unsigned char": [*range(1, 41), 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000],
    "short": [*range(1, 18), 33], "int": [*range(1, 11), 33], "long": [1, 2, 3, 4, 5, 6, 17],
    "void *": [1, 2, 3], "_Bool": [1, 2, 3, 8, 9, 17],
    "float": [*range(1, 11), 33], "double": [*range(1, 10), 17], "long double": [1, 2, 3, 4, 5],
}  # fmt: skip
PAIRED = (
    "char", "short", "int", "long", "_Bool", "float", "double", "long double", "void *",
    "enum signed_enum",
)  # fmt: skip


def ident(name: str) -> str:
    return name.strip("_").replace(" *", "_pointer").replace(" ", "_")


class Systematic:
    def __init__(self) -> None:
        self.group = Group()

    def record(self, record: Record) -> Type:
        self.group.records.append(record)
        return Type(record.name, "record", record=record)

    def signature(self, name: str, result: Type, fixed: list[Type]) -> None:
        self.group.signatures.append(Signature(name, result, fixed))

    def structs_of_one_type(self) -> None:
        for name, counts in COUNTS.items():
            for n in counts:
                tag = f"{ident(name)}_{n}"
                t = self.record(Record(f"struct {tag}", (Member("m", scalar(name), n),)))
                around = scalar("double" if n % 2 else "int")
                self.signature(tag, t, [t, around, t])

    def pairs(self) -> None:
        for i, a in enumerate(PAIRED):
            for j, b in enumerate(PAIRED):
                if a == b:
                    continue
                members = (Member("a", scalar(a)), Member("b", scalar(b)))
                tag = f"{ident(a)}_{ident(b)}"
                t = self.record(Record(f"struct {tag}", members))
                self.signature(tag, t, [scalar(b), t, scalar(a), t])
                if i < j:
                    wide = "long double" in (a, b)
                    u = Record(f"union or_{tag}", members, key=(i + j) % 2, refusable=wide)
                    t = self.record(u)
                    self.signature(f"or_{tag}", t, [scalar(b), t, scalar(a), t])

    def many(self) -> None:
        small = self.record(Record("struct small", (Member("m", scalar("short"), 3),)))
        mixed = self.record(
            Record("struct mixed", (Member("a", scalar("double")), Member("b", scalar("long"))))
        )
        large = self.record(Record("struct large", (Member("m", scalar("int"), 5),)))
        few = [*range(10), 16, 17, 100, MOST_ARGUMENTS]
        for name in ("signed char", "unsigned short", "int", "long", "float", "double"):
            for n in few:
                result = scalar("void" if n == 0 else name)
                self.signature(f"many_{ident(name)}_{n}", result, n * [scalar(name)])
        for name in ("long double", "_Bool", "void *"):
            self.signature(f"many_{ident(name)}", scalar(name), MOST_ARGUMENTS * [scalar(name)])
        turns = [scalar("int"), scalar("double"), scalar("char"), scalar("float"), small, mixed]
        turns += [scalar("long double"), large, scalar("void *")]
        for start in range(len(turns)):
            order = turns[start:] + turns[:start]
            fixed = [order[i % len(order)] for i in range(MOST_ARGUMENTS)]
            self.signature(f"many_mixed_{start}", order[0], fixed)
        for t, name in ((small, "small"), (mixed, "mixed"), (large, "large")):
            self.signature(f"many_struct_{name}", t, MOST_ARGUMENTS * [t])

    def at_the_edge(self) -> None:
        """A struct of two registers where one, two or none are left of each kind."""
        pair = self.record(Record("struct longs", (Member("m", scalar("long"), 2),)))
        floats = self.record(Record("struct doubles", (Member("m", scalar("double"), 2),)))
        both = self.record(
            Record("struct both", (Member("a", scalar("long")), Member("b", scalar("double"))))
        )
        for n in range(4, 10):
            for t, name in ((pair, "longs"), (floats, "doubles"), (both, "both")):
                for before in ("long", "double"):
                    fixed = [*(n * [scalar(before)]), t, scalar("long"), scalar("double"), t]
                    self.signature(f"edge_{before}_{n}_{name}", t, fixed)


def systematic_group() -> Group:
    made = Systematic()
    made.structs_of_one_type()
    made.pairs()
    made.many()
    made.at_the_edge()
    return made.group
