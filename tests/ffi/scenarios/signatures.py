"""C types and signatures as the generator of scenarios sees them: what they are called, what they
consist of, and values for them.

A file of signatures is C but for two things: "13 * float" in a parameter list stands for so many
parameters, and what follows "..." are the types that further arguments have before promotion.

    struct pair { long a; unsigned char b[3]; };
    double sum(int, 13 * float, struct pair *, struct pair);
    int variadic(int, ... float, unsigned char, struct pair);
"""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass, field

# Spelling, kind, bits.
INTEGERS = {
    "char": 8, "signed char": 8, "unsigned char": 8, "short": 16, "unsigned short": 16,
    "int": 32, "unsigned": 32, "long": 64, "unsigned long": 64, "long long": 64,
    "unsigned long long": 64, "int8_t": 8, "uint8_t": 8, "int16_t": 16, "uint16_t": 16,
    "int32_t": 32, "uint32_t": 32, "int64_t": 64, "uint64_t": 64, "size_t": 64,
}  # fmt: skip
FLOATS = {"float": 32, "double": 64, "long double": 128}
ENUMS = {"enum whole": "WHOLE_", "enum signed_enum": "SIGNED_"}
PRELUDE = """\
enum whole { WHOLE_0, WHOLE_1, WHOLE_2 = 0x7fffffff };
enum signed_enum { SIGNED_0 = -2147483647, SIGNED_1 = -1, SIGNED_2 = 5 };
typedef void (*code)(void);
"""
# Small types change on their way into a variadic place.
PROMOTED = {"float": "double", "_Bool": "int"} | {
    name: "int" for name, bits in INTEGERS.items() if bits < 32
}


@dataclass(frozen=True)
class Type:
    """A type that can be spelled in front of a name."""

    name: str
    kind: str  # void, bool, integer, enum, float, complex, pointer, record
    bits: int = 0
    record: Record | None = None

    def promoted(self) -> Type:
        return scalar(PROMOTED.get(self.name, self.name)) if self.kind != "record" else self


@dataclass(frozen=True)
class Member:
    name: str
    type: Type
    count: int | None = None  # an array of so many
    bits: int | None = None  # a bit-field
    attribute: str = ""

    def text(self) -> str:
        suffix = f"[{self.count}]" if self.count is not None else ""
        suffix += f" : {self.bits}" if self.bits is not None else ""
        return f"{self.type.name} {self.name}{suffix}{self.attribute};"


@dataclass(frozen=True)
class Record:
    """A struct or a union.  Of a union only the member `key` is given a value and looked at."""

    name: str  # "struct x", "union x"
    members: tuple[Member, ...]
    key: int = 0
    attribute: str = ""
    refusable: bool = False  # gosched may decline to pass it by value

    def text(self) -> str:
        keyword, tag = self.name.split()
        body = " ".join(m.text() for m in self.members)
        return f"{keyword}{self.attribute} {tag} {{ {body} }};"

    def valued(self) -> tuple[Member, ...]:
        return (self.members[self.key],) if self.name.startswith("union") else self.members


@dataclass
class Signature:
    name: str
    result: Type
    fixed: list[Type]
    extra: list[Type] | None = None  # None: not variadic

    def passed(self) -> list[Type]:
        """The types that arrive."""
        return self.fixed + [t.promoted() for t in self.extra or []]

    def prototype(self) -> str:
        inside = [t.name for t in self.fixed] + (["..."] if self.extra is not None else [])
        return f"{self.result.name} {self.name}({', '.join(inside) or 'void'});"

    def pointer(self) -> str:
        """The pointer to a function that gets the same arguments, each of a type of its own."""
        inside = ", ".join(t.name for t in self.passed())
        return f"{self.result.name} (*)({inside or 'void'})"

    def refusable(self) -> bool:
        return any(refusable(t) for t in [self.result, *self.passed()])


@dataclass
class Group:
    """Records in the order of their definition, and signatures."""

    records: list[Record] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)


def refusable(t: Type) -> bool:
    return t.record is not None and (
        t.record.refusable or any(refusable(m.type) for m in t.record.members)
    )


def scalar(name: str) -> Type:
    if name.endswith("*") or name == "code":
        return Type(name, "pointer", 64)
    if name in INTEGERS:
        return Type(name, "integer", INTEGERS[name])
    if name in FLOATS:
        return Type(name, "float", FLOATS[name])
    if name.startswith("_Complex ") and name[9:] in FLOATS:
        return Type(name, "complex", 2 * FLOATS[name[9:]])
    if name in ENUMS:
        return Type(name, "enum", 32)
    if name in ("void", "_Bool"):
        return Type(name, name.strip("_").lower(), 8)
    raise ValueError(f"'{name}' is no type that is known here")


# ---- reading ----


class Reader:
    """Reads a file of signatures."""

    def __init__(self, text: str) -> None:
        self.group = Group()
        self.known: dict[str, Record] = {}
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
        form = r"\s*(?:(struct|union)\s+(\w+)\s*\{([^}]*)\}\s*;|([^;{}(]+?)(\w+)\s*\(([^)]*)\)\s*;)"
        at = 0
        while text[at:].strip():
            found = re.match(form, text[at:])
            if not found:
                raise ValueError(f"no struct and no signature: {text[at:].strip()[:60]}")
            at += found.end()
            if found[1]:
                self.record(f"{found[1]} {found[2]}", found[3])
            else:
                self.signature(found[4], found[5], found[6])

    def type(self, text: str) -> Type:
        name = " ".join(text.replace("*", " * ").split()).replace("* *", "**")
        if name in self.known:
            return Type(name, "record", record=self.known[name])
        return scalar(name)

    def record(self, name: str, body: str) -> None:
        members = []
        for declaration in filter(None, map(str.strip, body.split(";"))):
            nameless = re.match(r"([\w ]+?)\s*:\s*0$", declaration)
            if nameless:
                members.append(Member("", self.type(nameless[1]), bits=0))
                continue
            first, *others = declaration.split(",")
            found = re.match(r"(.*?)(\w+)\s*(?:\[(\d+)\]|:\s*(\d+))?$", first.strip())
            if not found:
                raise ValueError(f"'{declaration}' is no member")
            kind = self.type(found[1])
            for text in (first[found.start(2) :], *others):
                other = re.match(r"\s*(\w+)\s*(?:\[(\d+)\]|:\s*(\d+))?$", text)
                if not other:
                    raise ValueError(f"'{text}' is no name of a member")
                count, bits = (int(n) if n else None for n in other.groups()[1:])
                members.append(Member(other[1], kind, count, bits))
        # libffi has no words for a union with a long double.
        wide = name.startswith("union") and any(m.type.name == "long double" for m in members)
        self.known[name] = Record(name, tuple(members), refusable=wide)
        self.group.records.append(self.known[name])

    def types(self, text: str) -> list[Type]:
        found: list[Type] = []
        for part in filter(None, map(str.strip, text.split(","))):
            repeated = re.match(r"(\d+)\s*\*(.*)", part)
            found += int(repeated[1]) * [self.type(repeated[2])] if repeated else [self.type(part)]
        return found

    def signature(self, result: str, name: str, parameters: str) -> None:
        fixed, dots, extra = parameters.partition("...")
        fixed = "" if fixed.strip() == "void" else fixed
        self.group.signatures.append(
            Signature(
                name,
                self.type(result),
                self.types(fixed.strip().rstrip(",")),
                self.types(extra.lstrip(" ,")) if dots else None,
            )
        )


# ---- values ----


def float_text(name: str, rnd: random.Random, turn: int) -> str:
    """turn 0 and 1 are edges; the others random."""
    suffix = {"float": "f", "double": "", "long double": "l"}[name]
    mark = suffix.upper()
    if turn < 2:
        least, most = {
            "float": ("0x1p-149", "0x1.fffffep+127"),
            "double": ("0x1p-1074", "0x1.fffffffffffffp+1023"),
            "long double": ("0x1p-16445", "0x1.fffffffffffffffep+16383"),
        }[name]
        edges = (
            ("0.0", least, f"__builtin_inf{suffix}()", "1.0"),
            ("-0.0", "-" + most, f'__builtin_nan{suffix}("0x5a5")', "-1.5"),
        )
        text = rnd.choice(edges[turn])
        return text if "builtin" in text else text + mark
    if name == "float":
        bits = rnd.getrandbits(32)
        value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
        return float_text(name, rnd, turn) if value != value else value.hex() + mark
    if name == "double":
        value = struct.unpack("<d", struct.pack("<Q", rnd.getrandbits(64)))[0]
        return float_text(name, rnd, turn) if value != value else value.hex() + mark
    sign = rnd.choice(("", "-"))
    digits = f"{rnd.getrandbits(63) << 1:016x}"
    return f"{sign}0x1.{digits}p{rnd.randint(-16000, 16000)}{mark}"


def integer(bits: int, rnd: random.Random, turn: int) -> int:
    edges = (
        (0, (1 << (bits - 1)) - 1, (1 << bits) - 1, 1),
        (1 << (bits - 1), (1 << bits) - 2, (1 << bits) - 1, 0x55 & ((1 << bits) - 1)),
    )
    return rnd.choice(edges[turn]) if turn < 2 else rnd.getrandbits(bits)


def scalar_value(t: Type, rnd: random.Random, turn: int) -> str:
    if t.kind == "float":
        return float_text(t.name, rnd, turn)
    if t.kind == "complex":
        parts = [float_text(t.name[9:], rnd, turn) for _ in range(2)]
        return f"__builtin_complex(({t.name[9:]}){parts[0]}, ({t.name[9:]}){parts[1]})"
    if t.kind == "enum":
        return f"{ENUMS[t.name]}{rnd.randrange(3)}"
    if t.kind == "bool":
        return str(rnd.randrange(2) if turn >= 2 else 1 - turn)
    return f"({t.name}){integer(t.bits, rnd, turn):#x}u{'ll' if t.bits > 32 else ''}"


def value(t: Type, rnd: random.Random, turn: int) -> str:
    """An initializer."""
    if t.record is None:
        return scalar_value(t, rnd, turn)
    parts = []
    for m in t.record.valued():
        if m.bits == 0 or not m.name:
            continue
        if m.bits is not None:
            wide = integer(m.bits, rnd, turn)
            text = f"({m.type.name}){wide:#x}ull" if m.type.kind != "bool" else str(wide & 1)
            # The sign of a bit-field is that of its highest bit.
            if m.type.kind == "integer" and wide >> (m.bits - 1) and "unsigned" not in m.type.name:
                text = f"-({(1 << m.bits) - wide - 1}ll) - 1" if "uint" not in m.type.name else text
        elif m.count is not None:
            text = "{" + ", ".join(value(m.type, rnd, turn) for _ in range(m.count)) + "}"
        else:
            text = value(m.type, rnd, turn)
        parts.append(f".{m.name} = {text}")
    return "{" + ", ".join(parts) + "}"
