"""The RLocks that exist when gosched is imported get successors that belong to green threads.

They are in modules, in classes, in instances (a Condition keeps their methods, too), in cells of
closures and in lists.  What is acquired at that moment stays, since somebody will release it.
What nobody can change - a tuple, a frame - stays, too.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import BuiltinMethodType, CellType, MemberDescriptorType
from typing import Any

from gosched import _gosched

_successors: dict[int, tuple[Any, Any]] = {}  # by id of the old one, which is kept


def _is_free(lock: Any) -> bool:
    if not lock.acquire(False):
        return False
    lock.release()
    return not lock._is_owned()


def _successor(old: Any) -> Any:
    """None: it has none, and stays."""
    if id(old) not in _successors:
        _successors[id(old)] = old, threading.RLock() if _is_free(old) else None
    return _successors[id(old)][1]


def _replacement(value: Any, old: type) -> Any:
    """What belongs in the place of value; None: itself."""
    if type(value) is old:
        return _successor(value)
    if type(value) is BuiltinMethodType and type(value.__self__) is old:
        new = _successor(value.__self__)
        return new and getattr(new, value.__name__)
    return None


def _slots(holder: Any) -> Iterator[tuple[str, Any]]:
    for cls in type(holder).__mro__:
        for name, member in vars(cls).items():
            if type(member) is MemberDescriptorType:
                try:
                    yield name, member.__get__(holder)
                except AttributeError:
                    continue


def _replace_in(holder: Any, old: type) -> None:
    if isinstance(holder, (dict, list)):
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in list(items):
            new = _replacement(value, old)
            if new is not None:
                holder[key] = new
    elif isinstance(holder, CellType):
        new = _replacement(holder.cell_contents, old)
        if new is not None:
            holder.cell_contents = new
    else:
        for name, value in [*getattr(holder, "__dict__", {}).items(), *_slots(holder)]:
            new = _replacement(value, old)
            if new is not None:
                setattr(holder, name, new)


def replace(old: type) -> None:
    """Once.  No other thread of Python runs meanwhile, or it might acquire what is replaced."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        for holder in _gosched._holders_of(old):
            try:
                _replace_in(holder, old)
            except (AttributeError, TypeError, ValueError):
                continue  # it does not let itself be changed
    finally:
        sys.setswitchinterval(interval)
        _successors.clear()
