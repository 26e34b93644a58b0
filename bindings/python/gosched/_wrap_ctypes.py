"""Green calls for the functions of a ctypes.CDLL.

ctypes goes on converting arguments and results, by its own rules, but calls a _gosched._Bridge of
the same signature (bridge.c).  What this file does is to tell the signature: from argtypes and
restype, and for arguments without a declared type from the arguments, as ctypes does.

A call whose signature cannot be told - a bit-field or a union by value, say - is ctypes' own: it
lets the GIL go, so other green threads run all the same, but hints do nothing.
"""

from __future__ import annotations

import ctypes
import types
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    Array,
    CFuncPtr,
    Structure,
    _Pointer,
    _SimpleCData,
)
from collections.abc import Callable, Iterable
from typing import Any

from gosched import _gosched
from gosched._dlopen import site_flags

__all__ = ["CtypesFunction", "CtypesLibrary"]

# A type of C, by its name; of a struct by value: those of its members.
Spec = str | tuple["Spec", ...]
# (result, arguments, how many of them are declared)
Shape = tuple[Spec, tuple[Spec, ...], int]

_SIMPLE = {
    **dict.fromkeys("bBhHiIlLqQ", ""),  # integers, by their size
    **dict.fromkeys("PzZ", "void *"),
    "c": "char",
    "u": "int32_t",
    "?": "_Bool",
    "f": "float",
    "d": "double",
    "g": "long double",
}
_CARG = type(ctypes.byref(ctypes.c_int()))


class _Target(CFuncPtr):
    """What ctypes calls: a bridge, with the GIL."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI
    _restype_ = ctypes.c_int
    _bridge: _gosched._Bridge


class _AsItIs:
    """For argtypes: the argument has been converted already."""

    @staticmethod
    def from_param(value: Any) -> Any:
        return value


class CtypesLibrary:
    """A ctypes.CDLL whose functions are foreign calls of the scheduler; made by gosched.wrap."""

    def __init__(
        self, lib: ctypes.CDLL, blocking: Iterable[str] = (), critical: Iterable[str] = ()
    ) -> None:
        name = lib._name or "the process"
        self._gosched_lib = lib
        self._gosched_core = _gosched._Library(name, lib)
        self._gosched_flags = site_flags("wrap", _Names(lib), blocking, critical)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._gosched_lib, name)
        if not _callable_here(value):
            return value
        value = CtypesFunction(value, self._gosched_core, self._gosched_flags.get(name, 0))
        setattr(self, name, value)
        return value

    def __getitem__(self, name: Any) -> Any:
        value = self._gosched_lib[name]
        return CtypesFunction(value, self._gosched_core, self._gosched_flags.get(name, 0))

    def __repr__(self) -> str:
        return f"<gosched.wrap of {self._gosched_lib!r}>"


class _Names:
    """The names that a library has; what they are is only known by asking."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self._lib = lib

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and hasattr(self._lib, name)


def _callable_here(value: Any) -> bool:
    return isinstance(value, CFuncPtr) and not value._flags_ & FUNCFLAG_PYTHONAPI


class CtypesFunction:
    """A function of a ctypes library; argtypes, restype and errcheck are the original's."""

    def __init__(
        self,
        original: Any,
        core: _gosched._Library,
        flags: int = 0,
        unblock: Callable[..., object] | None = None,
    ) -> None:
        self.original = original
        self.__name__: str = getattr(original, "__name__", "a function")
        self._core = core
        self._flags = flags
        self._unblock = unblock
        self._targets: dict[Shape, _Target] = {}
        # What the targets are set up for.
        self._set_for: tuple[Any, Any, Any, bool] = (None, None, None, False)
        self._converters: tuple[Any, ...] | None = None
        self._fixed: Shape | None = None

    def _gosched_bind(self, flags: int, unblock: Callable[..., object] | None) -> CtypesFunction:
        return CtypesFunction(self.original, self._core, flags, unblock)

    @property
    def argtypes(self) -> Any:
        return self.original.argtypes

    @argtypes.setter
    def argtypes(self, value: Any) -> None:
        self.original.argtypes = value

    @property
    def restype(self) -> Any:
        return self.original.restype

    @restype.setter
    def restype(self, value: Any) -> None:
        self.original.restype = value

    @property
    def errcheck(self) -> Any:
        return self.original.errcheck

    @errcheck.setter
    def errcheck(self, value: Any) -> None:
        self.original.errcheck = value

    def __repr__(self) -> str:
        return f"<gosched.wrap of {self.original!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        unblock = self._unblock
        if unblock is None:
            return self._call(*args, **kwargs)
        return _gosched._unblocked(unblock, self._call, *args)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        original = self.original
        if _gosched.current() is None:
            return original(*args, **kwargs)
        argtypes, restype = original.argtypes, original.restype
        errcheck = getattr(original, "errcheck", None)
        was = self._set_for
        if argtypes is not was[0] or restype is not was[1] or errcheck is not was[2] or not was[3]:
            self._set_up((argtypes, restype, errcheck, True))
        shape = self._fixed
        if shape is None or len(args) != shape[2]:
            told = self._shape(args)
            if told is None:
                return original(*args, **kwargs)
            args, shape = told
        target = self._targets.get(shape) or self._make(shape)
        try:
            return target(*args, **kwargs)
        except _gosched._Nested:
            return original(*args, **kwargs)

    def _set_up(self, now: tuple[Any, Any, Any, bool]) -> None:
        argtypes = now[0]
        self._targets = {}
        self._set_for = now
        self._fixed = self._converters = None
        if argtypes is None:
            return
        self._converters = tuple(None if _is_ctype(t) else t.from_param for t in argtypes)
        specs = tuple(_declared(t) for t in argtypes)
        result = _result(now[1])
        if result is not None and all(isinstance(s, str) for s in specs):
            self._fixed = (result, specs, len(specs))  # type: ignore[assignment]

    def _shape(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Shape] | None:
        """The arguments, and what they are in C; None: that cannot be told."""
        argtypes, restype, _, _ = self._set_for
        declared = len(argtypes or ())
        result = _result(restype)
        if result is None or len(args) < declared:
            return None
        given, specs = list(args), []
        for i, value in enumerate(args):
            if i < declared and self._converters and self._converters[i]:
                try:
                    value = given[i] = self._converters[i](value)
                except Exception:
                    return None  # ctypes says which argument it is
            spec = _declared(argtypes[i]) if i < declared else None
            if spec is None or not isinstance(spec, str):
                spec = _given(value)
            if spec is None:
                return None
            specs.append(spec)
        return tuple(given), (result, tuple(specs), declared or len(args))

    def _make(self, shape: Shape) -> _Target:
        result, specs, nfixed = shape
        structs: dict[Spec, str] = {}
        names = [_c(s, structs) for s in specs]
        ctype = f"{_c(result, structs)} (*)({', '.join(names) or 'void'})"
        original = self.original
        address = ctypes.cast(original, ctypes.c_void_p).value or 0
        bridge = _gosched._Bridge(
            self._core,
            self.__name__,
            address,
            "".join(
                f"struct {name} {{ {_members(spec, structs)} }};\n"
                for spec, name in structs.items()
            ),
            ctype,
            min(nfixed, len(specs)),
            self._flags,
            ctypes.set_errno if original._flags_ & FUNCFLAG_USE_ERRNO else None,
        )
        target = _Target(bridge.code)
        target._bridge = bridge
        argtypes, restype, errcheck, _ = self._set_for
        if argtypes is not None:
            converters: list[Any] = [t if _is_ctype(t) else _AsItIs for t in argtypes]
            target.argtypes = converters
        target.restype = restype
        if errcheck is not None:
            target.errcheck = lambda value, _, args: errcheck(value, original, args)
        self._targets[shape] = target
        return target


# ---- types -------------------------------------------------------------------------------------


def _is_ctype(t: Any) -> bool:
    """Whether it is a type of ctypes that converts as those do."""
    convert = getattr(t, "from_param", None)
    known = isinstance(t, type) and issubclass(
        t, (_SimpleCData, _Pointer, Array, Structure, ctypes.Union, CFuncPtr)
    )
    return known and isinstance(convert, types.BuiltinMethodType)


def _declared(t: Any) -> Spec | None:
    return _argument(t) if _is_ctype(t) else None


def _argument(t: Any) -> Spec | None:
    """What C gets for a value of the ctypes type t."""
    if issubclass(t, (_Pointer, Array, CFuncPtr)):
        return "void *"
    if issubclass(t, _SimpleCData):
        return _simple(t)
    return _struct(t)


def _result(restype: Any) -> Spec | None:
    if restype is None:
        return "void"
    if isinstance(restype, type) and issubclass(restype, (_Pointer, CFuncPtr)):
        return "void *"
    if isinstance(restype, type) and issubclass(restype, _SimpleCData):
        return _simple(restype)
    if isinstance(restype, type) and issubclass(restype, (Structure, ctypes.Union)):
        return _struct(restype)
    return "int32_t"  # a function of an int


def _simple(t: Any) -> str | None:
    code = t._type_
    name = _SIMPLE.get(code) if isinstance(code, str) else None
    if name == "":
        name = f"{'u' if code.isupper() else ''}int{8 * ctypes.sizeof(t)}_t"
    return name


def _struct(t: Any) -> tuple[Spec, ...] | None:
    """The members of a struct; None if it is not laid out as C does it, or has bit-fields."""
    members: list[Spec] = []
    if issubclass(t, ctypes.Union):
        return None
    for base in reversed(t.__mro__):
        own = base.__dict__
        if "_pack_" in own or "_align_" in own or "_swappedbytes_" in own:
            return None
        for field in own.get("_fields_", ()):
            if len(field) != 2:
                return None
            member: Any = field[1]
            count = 1
            while issubclass(member, Array):
                length: Any = member._length_
                member, count = member._type_, count * length
            spec = _argument(member)
            if spec is None:
                return None
            members += [spec] * count
    return tuple(members) or None


def _given(value: Any) -> Spec | None:
    """What C gets for a value without a declared type."""
    for _ in range(100):
        if isinstance(value, (_SimpleCData, _Pointer, Array, Structure, CFuncPtr)):
            return _argument(type(value))
        if isinstance(value, _CARG):
            code = repr(value)[9:10]  # <cparam 'i' (5)>
            if code in "PzZ":
                return "void *"
            t = next((t for t in _numbers() if t._type_ == code), None)
            return t and _simple(t)
        if value is None or isinstance(value, (bytes, str)):
            return "void *"
        if isinstance(value, int):
            return "int32_t"
        try:
            value = value._as_parameter_
        except AttributeError:
            return None
    return None


def _numbers() -> list[Any]:
    return [
        getattr(ctypes, name)
        for name in (
            *("c_char", "c_wchar", "c_byte", "c_ubyte", "c_short", "c_ushort", "c_int", "c_uint"),
            *("c_long", "c_ulong", "c_longlong", "c_ulonglong", "c_bool", "c_float", "c_double"),
            "c_longdouble",
        )
    ]


def _c(spec: Spec, structs: dict[Spec, str]) -> str:
    """The name of a type, in declarations that have the structs."""
    if isinstance(spec, str):
        return spec
    if spec not in structs:
        for member in spec:
            _c(member, structs)  # inner ones come before
        structs[spec] = f"s{len(structs)}"
    return f"struct {structs[spec]}"


def _members(spec: Spec, structs: dict[Spec, str]) -> str:
    return " ".join(f"{_c(m, structs)} m{i};" for i, m in enumerate(spec))


def checked(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Raises TypeError for a library whose functions need the GIL."""
    if isinstance(lib, ctypes.PyDLL):
        raise TypeError(
            "gosched.wrap: the functions of a ctypes.PyDLL need the GIL, so nothing else can run "
            "while they do: open the library as a ctypes.CDLL if they do not"
        )
    return lib
