"""wrap: libraries that a program has opened already, with cffi or ctypes, and green calls."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gosched._dlopen import Library, green_library

if TYPE_CHECKING:
    import cffi

__all__ = ["wrap"]


def wrap(
    lib: Any,
    *,
    blocking: Iterable[str] = (),
    critical: Iterable[str] = (),
    ffi: cffi.FFI | None = None,
) -> Any:
    """An existing library whose functions are foreign calls of the scheduler::

        from _sqlite_cffi import lib
        green = gosched.wrap(lib, blocking=["sqlite3_step"])

    lib: one of cffi, from ffi.dlopen or from a compiled module (ABI and API mode, in-line and
    out-of-line); or a ctypes.CDLL.  It stays as it is, and both may be used beside each other.
    blocking, critical: as for gosched.dlopen; gosched.bind works on the functions, too.
    ffi: the cffi.FFI of lib, if it cannot be found.

    What is returned has the attributes of lib: functions, constants, variables.  Functions convert
    as those of lib do and raise the same errors; of cffi, they also take objects that export their
    memory, as those of gosched.dlopen.  A function that cannot be called without a compiler, as one
    with a struct by value that is not wholly declared, is lib's own: it lets other green threads
    run as all that releases the GIL does.

    Raises TypeError if lib is something else; FFIError if a hint names what lib does not have.
    """
    if isinstance(lib, Library):
        raise TypeError("gosched.wrap: the calls of this library are green already")
    if _is_cffi(lib):
        found = _ffi_of(lib) if ffi is None else ffi
        if found is None:
            raise TypeError(f"gosched.wrap: the FFI of {lib!r} cannot be found; give it as ffi=...")
        return green_library(_name(lib), found, lib, blocking, critical)
    loaded = sys.modules.get("ctypes")  # who has a library of ctypes has imported it
    if loaded is not None and isinstance(lib, loaded.CDLL):
        from gosched._wrap_ctypes import CtypesLibrary, checked

        return CtypesLibrary(checked(lib), blocking, critical)
    raise TypeError(
        "gosched.wrap: lib must be a library of cffi (from ffi.dlopen or a compiled module) or a "
        f"ctypes.CDLL, not {type(lib).__name__}"
    )


def _is_cffi(lib: Any) -> bool:
    backend = sys.modules.get("_cffi_backend")  # whoever has a library of cffi has imported it
    if backend is None:
        return False
    return isinstance(lib, backend.Lib) or hasattr(type(lib), "__cffi_close__")


def _ffi_of(lib: Any) -> Any:
    """The FFI that a library belongs to.  cffi does not tell, but keeps it with the library: a
    compiled one refers to it, and the methods of an in-line one have it in their closure."""
    import _cffi_backend
    import cffi

    kept: list[Any] = gc.get_referents(lib)
    for cell in getattr(type(lib).__dir__, "__closure__", None) or ():
        kept.append(cell.cell_contents)
    return next((x for x in kept if isinstance(x, (cffi.FFI, _cffi_backend.FFI))), None)


def _name(lib: Any) -> str:
    """For messages."""
    kind = type(lib).__name__
    if kind == "FFILibrary":
        return "the process"
    if kind.startswith("FFILibrary_"):
        return kind.removeprefix("FFILibrary_")
    name = str(lib.__name__).removesuffix(".lib")
    return "the process" if name == "<None>" else name
