"""Calls a function once a module has been imported, now or later.

Importing gosched must not import what a program may never need, so what has to be changed in a
module is changed when somebody imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_wanted: dict[str, Callable[[Any], None]] = {}


class _Loader:
    """The loader that was found, and the function after it."""

    def __init__(self, loader: Any, action: Callable[[Any], None]) -> None:
        self._loader, self._action = loader, action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._action(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder:
    """Before all others on sys.meta_path; finds nothing by itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        action = _wanted.get(name)
        if action is None:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, action)  # type: ignore[assignment]
                return spec
        return None


_finder = _Finder()


def when_imported(name: str, action: Callable[[Any], None]) -> None:
    """Calls action(module): now if it is loaded, else each time after it was executed."""
    _wanted[name] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if name in sys.modules:
        action(sys.modules[name])
