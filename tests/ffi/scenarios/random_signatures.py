"""Random signatures for the generator of scenarios.

They lean towards what the calling conventions tell apart: structs of up to two registers, members
of one floating type, more arguments than registers, arguments that end where registers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signatures import INTEGERS, Group, Member, Record, Signature, Type, refusable, scalar

if TYPE_CHECKING:
    import random

POINTERS = ("void *", "const char *", "int **", "code")
BIT_FIELDS = ("int", "unsigned", "long", "unsigned long", "unsigned char", "_Bool")
COMPLEX = ("_Complex float", "_Complex double", "_Complex long double")


class Generator:
    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.group = Group()

    def scalar(self) -> Type:
        kind = self.rnd.random()
        if kind < 0.5:
            return scalar(self.rnd.choice(list(INTEGERS)))
        if kind < 0.8:
            return scalar(self.rnd.choice(("float", "double")))
        if kind < 0.84:
            return scalar("long double")
        if kind < 0.88:
            return scalar(self.rnd.choice(COMPLEX))
        if kind < 0.92:
            return scalar(self.rnd.choice(("_Bool", "enum whole", "enum signed_enum")))
        return scalar(self.rnd.choice(POINTERS))

    def member(self, name: str, only: Type | None) -> Member:
        kind = self.rnd.random()
        base = only or self.scalar()
        if kind < 0.25:
            return Member(name, base, self.rnd.randint(1, 4))
        if only is None and kind < 0.45 and self.group.records:
            inner = self.rnd.choice(self.group.records[-40:])
            count = 2 if self.rnd.random() < 0.2 else None
            return Member(name, Type(inner.name, "record", record=inner), count)
        if only is None and kind < 0.6:
            kept = scalar(self.rnd.choice(BIT_FIELDS))
            widest = 1 if kept.kind == "bool" else kept.bits
            if self.rnd.random() < 0.1:
                return Member("", kept, bits=0)
            return Member(name, kept, bits=self.rnd.randint(1, widest))
        if kind > 0.98:
            return Member(name, base, attribute=" __attribute__((aligned(16)))")
        return Member(name, base)

    def record(self) -> Type:
        union = self.rnd.random() < 0.2
        name = f"{'union' if union else 'struct'} r{len(self.group.records)}"
        only = None
        if self.rnd.random() < 0.3:  # what can be a homogeneous aggregate
            only = scalar(self.rnd.choice(("float", "float", "double", "long double")))
        count = self.rnd.choice((1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 9))
        members = [self.member(f"m{i}", only) for i in range(count)]
        if union:  # compilers disagree on what a bit-field without bits says about a union
            members = [m for m in members if m.bits != 0]
        if all(m.bits == 0 for m in members):
            members.append(Member("last", self.scalar()))
        keys = [i for i, m in enumerate(members) if m.bits != 0]
        packed = self.rnd.random() < 0.04
        made = Record(
            name,
            tuple(members),
            self.rnd.choice(keys) if union else 0,
            " __attribute__((packed))" if packed else "",
            packed or any(m.attribute for m in members) or (union and self.wide(members)),
        )
        self.group.records.append(made)
        return Type(name, "record", record=made)

    def wide(self, members: list[Member] | tuple[Member, ...]) -> bool:
        return any(
            "long double" in m.type.name or (m.type.record and self.wide(m.type.record.members))
            for m in members
        )

    def type(self) -> Type:
        kind = self.rnd.random()
        if kind < 0.62:
            return self.scalar()
        if kind < 0.7 and self.group.records:
            kept = self.rnd.choice(self.group.records)
            return Type(kept.name, "record", record=kept)
        return self.record()

    def arguments(self) -> list[Type]:
        count = self.rnd.choice((0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 20))
        kind = self.rnd.random()
        if kind < 0.15:  # a few types only, so that one kind of register runs out
            few = [self.type() for _ in range(2)]
            return [self.rnd.choice(few) for _ in range(count)]
        if kind < 0.4:
            return [self.scalar() for _ in range(count)]
        return [self.type() for _ in range(count)]

    def signature(self, number: int) -> Signature:
        kind = self.rnd.random()
        result = scalar("void") if kind < 0.08 else self.type()
        fixed = self.arguments()
        extra = None
        if fixed and self.rnd.random() < 0.15:
            split = self.rnd.randint(1, len(fixed))
            fixed, extra = fixed[:split], fixed[split:]
        made = Signature(f"f{number}", result, fixed, extra)
        # Few of those that may be declined, as they say little.
        if made.refusable() and self.rnd.random() < 0.8:
            made.fixed = [t for t in fixed if not refusable(t)] or [scalar("int")]
            made.extra = None if extra is None else [t for t in extra if not refusable(t)]
            made.result = scalar("int") if refusable(result) else result
        return made


def random_group(rnd: random.Random, count: int) -> Group:
    generator = Generator(rnd)
    generator.group.signatures = [generator.signature(i) for i in range(count)]
    return generator.group
