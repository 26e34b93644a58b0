"""callback: Python functions as C function pointers."""

from __future__ import annotations

import sys
import threading
import types
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from gosched import _gosched
from gosched._dlopen import Library, ffi

if TYPE_CHECKING:
    import cffi

_KEPT = 256  # function pointers that were freed, so that C that calls one is told

_lock = threading.Lock()
_alive: set[Callback] = set()  # C has their addresses; by _lock
_freed: deque[Any] = deque(maxlen=_KEPT)
_common: cffi.FFI | None = None  # for types that need no declarations


class Callback:
    """A C function pointer that calls a Python function; made by gosched.callback.

    Pass it where a function of gosched.dlopen wants a function pointer; `cdata` is what cffi calls
    it.  It lives until free is called, whoever else forgets it: C may have kept the address.
    """

    __slots__ = ("__name__", "__weakref__", "_fn", "_on_error", "cdata", "error")

    def __init__(
        self, types_of: cffi.FFI, ctype: str, fn: Callable[..., Any], error: Any, on_error: Any
    ) -> None:
        self.__name__: str = getattr(fn, "__qualname__", type(fn).__name__)
        self.error: Any = error
        self._fn: Callable[..., Any] | None = fn
        self._on_error = on_error
        options: dict[str, Any] = {"onerror": self._failed}
        if error is not None:
            options["error"] = error
        try:
            self.cdata: Any = types_of.callback(ctype, self._call, **options)
        except (TypeError, ValueError, OverflowError, MemoryError):
            raise
        except Exception as e:  # cffi's parser has many
            raise _gosched.FFIError(
                f"gosched.callback: {ctype!r} is not the type of a function: {e}"
            ) from e
        with _lock:
            _alive.add(self)

    def _call(self, *args: Any) -> Any:
        fn = self._fn
        if fn is None:
            raise _gosched.Error(f"C calls the callback {self.__name__} after its free()")
        result = fn(*args)
        return result.cdata if isinstance(result, Callback) else result

    def _failed(
        self,
        kind: type[BaseException],
        error: BaseException,
        tb: types.TracebackType | None,
    ) -> Any:
        """Called by cffi; gives what C gets, None for `error`."""
        if self._on_error is not None and self._fn is not None:
            return self._on_error(kind, error, tb)
        if not _gosched._callback_failed(error.with_traceback(tb)):
            what = f"nobody waits for the callback {self.__name__} of C, which raised"
            sys.unraisablehook(_Unraisable(kind, error, tb, what, self))
        return None

    def free(self) -> None:
        """C does not call it any more.

        If it does, it gets the error value, and the call that led there raises gosched.Error.
        Freeing twice does nothing.
        """
        with _lock:
            if self not in _alive:
                return
            _alive.discard(self)
            _freed.append(self.cdata)
        self._fn = self._on_error = None

    def __enter__(self) -> Callback:
        return self

    def __exit__(self, *exc: object) -> None:
        self.free()

    def __repr__(self) -> str:
        freed = ", freed" if self._fn is None else ""
        return f"<gosched.Callback {self.__name__}{freed}>"


class _Unraisable:
    """What sys.unraisablehook gets."""

    def __init__(
        self,
        kind: type[BaseException],
        error: BaseException,
        tb: types.TracebackType | None,
        what: str,
        obj: object,
    ) -> None:
        self.exc_type = kind
        self.exc_value: BaseException | None = error
        self.exc_traceback = tb
        self.err_msg: str | None = what
        self.object = obj


def _types(lib: Library | None) -> cffi.FFI:
    global _common
    if lib is not None:
        return ffi(lib)
    if _common is None:
        import cffi

        _common = cffi.FFI()
    return _common


@overload
def callback(
    ctype: str,
    fn: None = None,
    /,
    *,
    error: Any = None,
    onerror: Callable[..., Any] | None = None,
    lib: Library | None = None,
) -> Callable[[Callable[..., Any]], Callback]: ...


@overload
def callback(
    ctype: str,
    fn: Callable[..., Any],
    /,
    *,
    error: Any = None,
    onerror: Callable[..., Any] | None = None,
    lib: Library | None = None,
) -> Callback: ...


def callback(
    ctype: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    error: Any = None,
    onerror: Callable[..., Any] | None = None,
    lib: Library | None = None,
) -> Any:
    """Makes a C function pointer that calls a Python function; a decorator without fn::

        @gosched.callback("int(void *, int, char **, char **)", error=1)
        def row(data, n, values, names):
            ...

        lib.sqlite3_exec(db, sql, row, ffi.NULL, ffi.NULL)
        row.free()

    Called by C inside a function of gosched.dlopen, it may do all that a green thread may: sleep,
    wait, call C.  What it raises is raised by that function in turn, when C has returned from it.

    ctype: the C type of the function, or of a pointer to it.
    error: what C gets if the function raises; None: 0.
    onerror: called with the exception's type, value and traceback; then it is not raised.  What it
    returns is what C gets, unless that is None.
    lib: whose declarations ctype uses; None: it needs none.

    Raises FFIError if ctype is wrong, TypeError if it is no function, error does not fit, or fn or
    onerror cannot be called.
    """
    if not isinstance(ctype, str):
        raise TypeError(
            f"gosched.callback: ctype must be a C type in words (str), not {type(ctype).__name__}"
        )
    for name, value in (("fn", fn), ("onerror", onerror)):
        if value is not None and not callable(value):
            raise TypeError(
                f"gosched.callback: {name} must be callable, not {type(value).__name__}"
            )

    def make(function: Callable[..., Any]) -> Callback:
        return Callback(_types(lib), ctype, function, error, onerror)

    return make if fn is None else make(fn)


_gosched._check_interpreter()  # a subinterpreter shares what is kept there
_gosched._callback_type(Callback)
