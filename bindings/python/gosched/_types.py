"""What _gosched._Function is told of the types of a function.

Types are cffi's; they come out in the words of gosched_ffi.h, and for pointers also what memory a
Python object may lend (buffer.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gosched._gosched import FFIError

if TYPE_CHECKING:
    import cffi

__all__ = ["buffers", "spec"]


def spec(ffi: cffi.FFI, ctype: Any, role: str) -> Any:
    """A cffi type in the words of gosched_ffi.h, for _gosched._Function."""
    kind = ctype.kind
    if kind in ("pointer", "function", "array"):
        return "pointer"
    if kind == "void":
        return "void"
    if kind in ("primitive", "enum"):
        return _number(ffi, ctype, role)
    if kind == "struct":
        return _struct(ffi, ctype, role)
    raise FFIError(f"{role} is a {kind} ({ctype.cname}), which cannot be passed by value")


def _number(ffi: cffi.FFI, ctype: Any, role: str) -> str:
    fixed = {"float": "float", "double": "double", "long double": "longdouble", "_Bool": "bool"}
    if ctype.cname in fixed:
        return fixed[ctype.cname]
    if "complex" in ctype.cname.lower():
        return "complexfloat" if "float" in ctype.cname else "complexdouble"
    bits = 8 * ffi.sizeof(ctype)
    if ctype.cname == "char":
        return "int8" if int(ffi.cast("int", ffi.cast("signed char", -1))) < 0 else "uint8"
    signed = int(ffi.cast(ctype, -1)) < 0
    return f"{'int' if signed else 'uint'}{bits}"


def _struct(ffi: cffi.FFI, ctype: Any, role: str) -> tuple[tuple[Any, ...], int, int]:
    members: list[Any] = []
    if not ctype.fields:
        raise FFIError(f"{role} is {ctype.cname}, whose members are not declared")
    for name, field in ctype.fields:
        if field.bitsize != -1:
            raise FFIError(f"{role} is {ctype.cname} with the bit-field {name}: pass a pointer")
        member, count = field.type, 1
        while member.kind == "array":
            if not member.length:
                raise FFIError(f"{role} is {ctype.cname} with the open array {name}")
            count *= member.length
            member = member.item
        members += [spec(ffi, member, f"{role}.{name}")] * count
    return tuple(members), ffi.sizeof(ctype), ffi.alignof(ctype)


# ---- buffers -----------------------------------------------------------------------------------


def buffers(ffi: cffi.FFI, name: str, args: tuple[Any, ...]) -> tuple[str | None, ...]:
    """For each argument of a function: None, or the items of memory that it takes.

    "*": any items; else a letter and a size in bytes: i, u (integers with and without a sign), f, c
    (floating, complex), b (_Bool), s (a struct).  A "w" behind it: the memory must be writable.
    """
    const = _const(ffi, name)
    return tuple(_items(ffi, a, i < len(const) and not const[i]) for i, a in enumerate(args))


def _items(ffi: cffi.FFI, ctype: Any, writable: bool) -> str | None:
    if ctype.kind != "pointer":
        return None
    kind = _kind(ffi, ctype.item)
    return kind and kind + "w" * writable


def _kind(ffi: cffi.FFI, item: Any) -> str | None:
    if item.kind == "void":
        return "*"
    if item.kind in ("struct", "union"):
        return f"s{ffi.sizeof(item)}" if item.fields else None
    if item.kind not in ("primitive", "enum"):
        return None
    size = ffi.sizeof(item)
    number = _number(ffi, item, "")
    if number == "bool":
        return "b1"
    if number.startswith("complex"):
        return f"c{size}"
    if number.endswith(("float", "double")):
        return f"f{size}"
    return "*" if size == 1 else f"{number[0]}{size}"


def _const(ffi: cffi.FFI, name: str) -> list[bool]:
    """Whether the declaration of a function says that what an argument points to is const.

    cffi's types do not have that word, but its parser keeps it.  Empty: it is not known.
    """
    try:
        parser: Any = getattr(ffi, "_parser")  # noqa: B009 - not in its stubs
        declared, _ = parser._declarations[f"function {name}"]
        return [bool(getattr(a, "quals", 0) & 1) for a in declared.args]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
