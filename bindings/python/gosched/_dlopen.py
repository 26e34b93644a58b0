"""dlopen: C libraries whose functions are foreign calls of the scheduler.

cffi parses the declarations and says what the types are; the functions themselves are made by
_gosched._Function, which converts with cffi's converters and calls through the scheduler.
"""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from gosched import _gosched
from gosched._gosched import FFIError
from gosched._types import buffers, spec

if TYPE_CHECKING:
    import cffi

__all__ = ["Library", "bind", "dlclose", "dlopen", "ffi", "green_library", "site_flags"]


def dlopen(
    path: str | os.PathLike[str] | None,
    cdef: str | cffi.FFI,
    blocking: Iterable[str] = (),
    critical: Iterable[str] = (),
) -> Library:
    """Opens a C library; its functions become attributes of what is returned.

        libc = gosched.dlopen(None, "int usleep(unsigned usec);")
        libc.usleep(1000)

    While a function runs, other green threads do.  Arguments and results follow cffi's rules; see
    gosched.ffi for making C data.  Constants, enums and global variables of the declarations are
    attributes too.

    For a pointer also an object may be given that exports its memory: bytearray, memoryview,
    array.array, mmap, an array of NumPy.  C gets the memory itself, and the object cannot be
    resized or closed meanwhile.  The memory must be contiguous, writable unless the declaration
    says const, and its items those that the pointer points to; void * and pointers to characters
    or bytes take any.

    A Python function that C calls back (made by gosched.callback or ffi.callback) may do all that
    its caller may: sleep, wait for channels and green threads, call C functions, to any depth.
    Others run meanwhile, and it comes back to C on the same thread.  What one of ffi.callback
    raises is printed, and C gets the default result; of one of gosched.callback it is raised by
    the call.  On threads that C made itself no green thread runs: there only what never waits
    works, as on any other thread.

    path: as for dlopen(3), e.g. "libsqlite3.so.0"; None: the process itself, libc included.
    cdef: C declarations, as in a header without preprocessor; or a cffi.FFI that has them.
    blocking: names of functions known to block: the turn is handed on as soon as they are called.
    critical: names of short functions that never block: they keep the turn and the GIL, and cost
    less; what they call back must not wait.  Neither is needed; the scheduler learns.

    Raises FFIError: the library cannot be loaded; the declarations are wrong (line and column tell
    where); a name in blocking or critical is not declared.  Names are looked up when first used.
    """
    parsed = _parse(cdef)
    name = "the process" if path is None else os.fspath(path)
    try:
        opened = parsed.dlopen(None if path is None else name)
    except OSError as e:
        raise FFIError(f"cannot load {name}: {e}") from None
    flags = site_flags("dlopen", set(dir(opened)), blocking, critical)
    return Library(_State(name, parsed, opened, _gosched._Library(name, opened), flags))


def green_library(
    name: str, ffi: cffi.FFI, opened: Any, blocking: Iterable[str], critical: Iterable[str]
) -> Library:
    """For gosched.wrap: a library that is cffi's, with functions that are ours."""
    flags = site_flags("wrap", set(dir(opened)), blocking, critical)
    return Library(_State(name, ffi, opened, _gosched._Library(name, opened), flags, True))


def ffi(lib: Library) -> cffi.FFI:
    """The cffi.FFI of a library: new, string, buffer, cast, typeof and so on."""
    return _state(lib, "ffi").ffi


def dlclose(lib: Library) -> None:
    """Closes a library.  Its functions and variables raise FFIError from now on.

    Raises FFIError while one of its functions runs, and for a compiled module of cffi, which cannot
    be closed.  Closing twice does nothing.
    """
    state = _state(lib, "dlclose")
    if state.closed:
        return
    if state.wrapped and compiled_module(state.opened):
        raise FFIError(f"{state.name} is a compiled module of cffi, which cannot be closed")
    state.core.close()
    state.closed = True
    state.ffi.dlclose(state.opened)


def compiled_module(lib: Any) -> bool:
    """Whether it is the lib of a module of cffi's API mode, which opened no library of its own."""
    name = str(getattr(lib, "__name__", ""))
    return name.endswith(".lib") and getattr(sys.modules.get(name[:-4]), "lib", None) is lib


class _State:
    """What a Library knows."""

    def __init__(
        self,
        name: str,
        ffi: cffi.FFI,
        opened: Any,
        core: _gosched._Library,
        flags: dict[str, int],
        wrapped: bool = False,
    ) -> None:
        self.name = name
        self.ffi = ffi
        self.opened = opened  # cffi's library
        self.core = core
        self.flags = flags
        self.wrapped = wrapped  # it is somebody else's, and errors are as without gosched
        self.closed = False


class Library:
    """A C library opened by gosched.dlopen; its attributes are what the declarations name."""

    def __init__(self, state: _State) -> None:
        object.__setattr__(self, "_gosched_state", state)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        state: _State = object.__getattribute__(self, "_gosched_state")
        value, is_function = _look_up(state, name)
        if is_function:
            # From now on the attribute is found without coming here.
            object.__setattr__(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        state: _State = object.__getattribute__(self, "_gosched_state")
        if state.closed:
            raise FFIError(f"{state.name} was closed")
        if name not in dir(state.opened):
            raise AttributeError(f"{name} is not in the declarations of {state.name}")
        if not _is_variable(state, name):
            raise AttributeError(f"{name} of {state.name} is no variable")
        setattr(state.opened, name, value)

    def __dir__(self) -> list[str]:
        state: _State = object.__getattribute__(self, "_gosched_state")
        return sorted(dir(state.opened))

    def __repr__(self) -> str:
        state: _State = object.__getattribute__(self, "_gosched_state")
        return f"<gosched.Library {state.name}{', closed' if state.closed else ''}>"


def _state(lib: Library, caller: str) -> _State:
    if not isinstance(lib, Library):
        raise TypeError(
            f"gosched.{caller}: lib must be what gosched.dlopen returned, not "
            f"{type(lib).__name__} (nor what gosched.wrap made of a ctypes.CDLL)"
        )
    state: _State = object.__getattribute__(lib, "_gosched_state")
    return state


# ---- declarations ------------------------------------------------------------------------------


def _parse(cdef: str | cffi.FFI) -> cffi.FFI:
    try:
        import _cffi_backend
        import cffi
    except ImportError as e:
        raise FFIError(f"gosched.dlopen needs the package cffi ({e}): pip install cffi") from None
    if isinstance(cdef, (cffi.FFI, _cffi_backend.FFI)):
        return cdef
    if not isinstance(cdef, str):
        raise TypeError(
            f"gosched.dlopen: cdef must be C declarations (str) or a cffi.FFI, "
            f"not {type(cdef).__name__}"
        )
    ffi = cffi.FFI()
    try:
        ffi.cdef(cdef)
    except (cffi.CDefError, cffi.FFIError, NotImplementedError) as e:
        line, column = _place(str(e), cdef)
        error = FFIError(f"line {line}, column {column} of the declarations: {e}")
        error.line, error.column = line, column
        raise error from None
    return ffi


def _place(message: str, source: str) -> tuple[int, int]:
    """Where in the source an error of cffi is.  Not all of them say it in the same way."""
    lines = source.split("\n")
    if "At end of input" in message:
        last = source.rstrip()
        return last.count("\n") + 1, len(last) - (last.rfind("\n") + 1) + 1
    found = re.search(r"<cdef source string>:(\d+)(?::(\d+))?", message)
    if found:
        line = int(found[1])
        if found[2]:
            return line, int(found[2])
        name = re.search(r"<cdef source string>:\d+: (\w+)", message)
        column = lines[line - 1].find(name[1]) if name and line <= len(lines) else -1
        return line, max(column, 0) + 1
    # Otherwise it quotes the piece of source that it means.
    for quote in (*message.split("\n"), *re.findall(r'"([^"\n]+)"', message)):
        quote = quote.strip()
        at = source.find(quote) if quote else -1
        if at >= 0:
            return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)
    return 1, 1


def site_flags(
    caller: str, declared: Container[str], blocking: Iterable[str], critical: Iterable[str]
) -> dict[str, int]:
    """What the names in the hints of dlopen and wrap get for their calls."""
    flags: dict[str, int] = {}
    hints = (
        ("blocking", blocking, _gosched._SITE_BLOCKING),
        ("critical", critical, _gosched._SITE_CRITICAL),
    )
    for hint, names, flag in hints:
        if isinstance(names, str):
            raise TypeError(f"gosched.{caller}: {hint} must be a list of names, not str")
        for name in names:
            if name not in declared:
                owner = "the declarations do" if caller == "dlopen" else "the library does"
                raise FFIError(f"{hint} names {name!r}, which {owner} not have")
            if flags.get(name, flag) != flag:
                raise FFIError(f"{name!r} cannot be both blocking and critical")
            flags[name] = flag
    return flags


# ---- looking up --------------------------------------------------------------------------------


def _look_up(state: _State, name: str) -> tuple[Any, bool]:
    """What a name of the declarations is, and whether it is a function."""
    if state.closed:
        raise FFIError(f"{state.name} was closed: {name} cannot be looked up")
    if name not in dir(state.opened):
        raise AttributeError(f"{name} is not in the declarations of {state.name}")
    if state.wrapped:
        return _look_up_wrapped(state, name)
    try:
        value = getattr(state.opened, name)
        if not isinstance(value, state.ffi.CData):
            return value, False  # a number: constant, enumerator or variable
        address = _address_of(state, name)
    except (AttributeError, KeyError, ValueError) as e:
        raise FFIError(f"{state.name} has no symbol {name}: {e}") from None
    except NotImplementedError as e:
        raise FFIError(f"{name} of {state.name} cannot be used: {e}") from None
    if address is None or state.ffi.typeof(address).kind != "function":
        return value, False
    return _function(state, name, address), True


def _look_up_wrapped(state: _State, name: str) -> tuple[Any, bool]:
    value = getattr(state.opened, name)
    compiled = isinstance(value, types.BuiltinFunctionType)  # a function of cffi's API mode
    if not compiled and not isinstance(value, state.ffi.CData):
        return value, False
    try:
        address = _address_of(state, name)
    except AttributeError:  # a constant of a compiled module
        address = None
    if address is None or state.ffi.typeof(address).kind != "function":
        return value, False
    try:
        return _function(state, name, address), True
    except FFIError:
        # A type that only a compiler can pass: the function as it is lets the GIL go by itself.
        if name in state.flags:
            raise
        return value, True


def _address_of(state: _State, name: str) -> Any:
    """A pointer to the function or variable; None for a constant."""
    try:
        return state.ffi.addressof(state.opened, name)
    except TypeError:
        return None


def _is_variable(state: _State, name: str) -> bool:
    """Asked before cffi is told to set it: an in-line FFI recurses for ever if it is none."""
    try:
        address = _address_of(state, name)
    except (AttributeError, KeyError, ValueError, NotImplementedError):
        return False
    return address is not None and state.ffi.typeof(address).kind != "function"


def _function(state: _State, name: str, cdata: Any) -> Any:
    ctype = state.ffi.typeof(cdata)
    # cffi sets ellipsis also where it cannot call itself, as with packed structs by value.
    if ctype.ellipsis and "...)" in ctype.cname:
        return VariadicFunction(state, name, cdata)
    return _make(state, name, cdata, ctype.args, len(ctype.args))


def _make(
    state: _State,
    name: str,
    cdata: Any,
    args: tuple[Any, ...],
    nfixed: int,
    flags: int | None = None,
    unblock: Callable[..., object] | None = None,
) -> Any:
    ctype = state.ffi.typeof(cdata)
    signature = ctype.cname.replace("(*)", f" {name}", 1)
    try:
        return _gosched._Function(
            state.core,
            name,
            signature,
            cdata,
            int(state.ffi.cast("uintptr_t", cdata)),
            None if ctype.result.kind == "void" else ctype.result,
            spec(state.ffi, ctype.result, "the result"),
            args,
            tuple(spec(state.ffi, a, f"argument {i}") for i, a in enumerate(args, start=1)),
            buffers(state.ffi, name, args),
            nfixed,
            state.flags.get(name, 0) if flags is None else flags,
            unblock,
            (state, name, args, nfixed),
        )
    except FFIError as e:
        raise FFIError(f"{name} of {state.name} cannot be called: {e}") from None


def bind(
    function: Any,
    /,
    *,
    unblock: Callable[..., object] | None = None,
    blocking: bool = False,
    critical: bool = False,
) -> Any:
    """The same C function, with hints of its own, and a way to make it return early::

        step = gosched.bind(lib.sqlite3_step, unblock=lambda stmt: lib.sqlite3_interrupt(db))
        with gosched.timeout(5):
            step(stmt)

    function: of a library opened by gosched.dlopen, or of one of gosched.wrap.
    unblock: called with the arguments of the call when its green thread is cancelled, by
    GreenThread.cancel, by gosched.timeout or at the end of gosched.run: on the canceller's thread,
    at most once a call, perhaps before C has begun.  It must make the function return.  The call
    ends when both have returned, and raises Cancelled, whatever C returned.  What unblock raises is
    reported.
    blocking, critical: as for dlopen.  A critical function cannot have an unblock function.

    Raises TypeError if function is no such function (one declared with "..." is none), or unblock
    cannot be called; ValueError for hints that exclude each other.
    """
    of_ctypes = getattr(type(function), "_gosched_bind", None)
    if of_ctypes is None and not isinstance(function, _gosched._Function):
        raise TypeError(
            f"gosched.bind: {function!r} is no function of gosched.dlopen or gosched.wrap with a "
            "fixed number of arguments"
        )
    if unblock is not None and not callable(unblock):
        raise TypeError(f"gosched.bind: unblock must be callable, not {type(unblock).__name__}")
    if critical and (blocking or unblock is not None):
        raise ValueError("gosched.bind: a critical function neither blocks nor can be ended early")
    flags = (_gosched._SITE_BLOCKING if blocking else 0) | (
        _gosched._SITE_CRITICAL if critical else 0
    )
    if of_ctypes is not None:
        return of_ctypes(function, flags, unblock)
    state, name, args, nfixed = function._made
    return _make(state, name, function.cdata, args, nfixed, flags, unblock)


class VariadicFunction:
    """A C function declared with "...".  The arguments there must be cdata, as cffi wants them."""

    def __init__(self, state: _State, name: str, cdata: Any) -> None:
        self.__name__ = name
        self.cdata = cdata
        self._state = state
        self._fixed: tuple[Any, ...] = state.ffi.typeof(cdata).args
        self._shapes: dict[tuple[Any, ...], Any] = {}

    def __call__(self, *args: Any) -> Any:
        fixed = len(self._fixed)
        if len(args) < fixed:
            raise TypeError(
                f"{self.__name__}() takes at least {fixed} arguments "
                f"({self._state.ffi.typeof(self.cdata).cname}), {len(args)} given"
            )
        extra = tuple(self._promoted(i, a) for i, a in enumerate(args[fixed:], start=fixed + 1))
        function = self._shapes.get(extra)
        if function is None:
            function = _make(self._state, self.__name__, self.cdata, self._fixed + extra, fixed)
            self._shapes[extra] = function
        return function(*args)

    def _promoted(self, i: int, value: Any) -> Any:
        """The type as which C passes a value behind the dots."""
        ffi = self._state.ffi
        if not isinstance(value, ffi.CData):
            raise TypeError(
                f"{self.__name__}() argument {i} is passed in the variadic part and needs to be a "
                f"cdata object (ffi.cast or ffi.new), not {type(value).__name__}"
            )
        ctype = ffi.typeof(value)
        if ctype.kind == "array":
            return ffi.typeof(f"{ctype.item.cname} *") if _nameable(ctype) else ffi.typeof("void *")
        if ctype.cname == "float":
            return ffi.typeof("double")
        if ctype.kind == "primitive" and ffi.sizeof(ctype.cname) < ffi.sizeof("int"):
            return ffi.typeof("int")
        return ctype

    def __repr__(self) -> str:
        cname = self._state.ffi.typeof(self.cdata).cname
        return f"<gosched function {self.__name__} of {self._state.name}: {cname}>"


def _nameable(ctype: Any) -> bool:
    return ctype.item.kind in ("primitive", "struct", "union", "enum")
