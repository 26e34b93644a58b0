"""Who a green thread is for code that knows only threads.

threading and importlib ask _thread.get_ident who they run on, and keep locks and objects by that.
A green thread goes on on other threads, and others go on on its thread; so here it is told by its
own number, and what belongs to an OS thread in C is replaced by what belongs to a green thread:

- _thread.get_ident and its copies in modules that are loaded;
- threading.RLock (Condition uses it), with those that exist already (gosched._old_locks);
- the import lock (gosched._import_lock);
- threading.current_thread, which finds a Thread object of the green thread's name;
- the check of sqlite3 that a connection stays on its thread (sqlite.c);
- the context of decimal, of which a green thread gets a copy, with the other context variables.

A green thread also begins as a thread of threading does: with the functions that threading.settrace
and threading.setprofile have set.

What remains the thread's: threading.get_native_id, and locks that C code keeps by thread.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from contextvars import Context, ContextVar
from typing import Any

from gosched import _gosched, _import_lock, _old_locks
from gosched._when_imported import when_imported

_installed = False
_OldRLock = type(_thread.RLock())


class _DummyThread(threading._DummyThread):
    """What threading.current_thread gives for a green thread.

    A thread that a green thread starts is no daemon unless it is told to be: threads take that from
    the one that makes them.
    """

    _green: _gosched.GreenThread[Any] | None = None

    def __init__(self) -> None:
        super().__init__()
        green = _gosched.current()
        if green is not None and _gosched._has_dummy():
            self._name = green.name
            self._green = green
            self._daemonic = False

    def is_alive(self) -> bool:
        return super().is_alive() if self._green is None else not self._green.done()

    def join(self, timeout: float | None = None) -> None:
        if self._green is None:
            super().join(timeout)
        elif self._green is _gosched.current():
            raise RuntimeError("cannot join current thread")
        else:
            with contextlib.suppress(TimeoutError):
                self._green.join(None if timeout is None else max(timeout, 0))


def _forget(ident: int) -> None:
    threading._active.pop(ident, None)  # type: ignore[attr-defined]


def _use_green_identity() -> None:
    original, ours = _thread.get_ident, _gosched.get_ident
    ours.__module__ = original.__module__
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        for name in ("get_ident", "_get_ident"):
            if names.get(name) is original:
                names[name] = ours


def _use_green_locks() -> None:
    threading._CRLock = _gosched._ThreadingRLock  # type: ignore[attr-defined]
    _thread.RLock = _gosched._ThreadingRLock  # type: ignore[misc, assignment]
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get("RLock") is _OldRLock:
            names["RLock"] = _gosched._ThreadingRLock
    _old_locks.replace(_OldRLock)


_decimal_variable: ContextVar[Any] | None = None


def _own_decimal_context(context: Context) -> None:
    """A copied context refers to the same decimal.Context, which would be shared."""
    global _decimal_variable
    if _decimal_variable is None:
        if "decimal" not in sys.modules:
            return
        for each in context:
            if each.name == "decimal_context":
                _decimal_variable = each
    variable = _decimal_variable
    if variable is not None and variable in context:
        context.run(variable.set, context[variable].copy())


def install() -> None:
    """Once, when gosched is imported."""
    global _installed
    if _installed:
        return
    _installed = True
    _use_green_identity()
    _use_green_locks()
    _import_lock.install()
    threading._DummyThread = _DummyThread  # type: ignore[misc]
    when_imported("_sqlite3", lambda m: _gosched._green_connections(m.Connection))
    _gosched._on_forget(_forget)
    names: Any = vars(threading)  # a dict, though it is typed as a proxy of one
    _gosched._on_begin(names)
    _gosched._on_context(_own_decimal_context)
