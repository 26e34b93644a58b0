"""The tests of concurrent.futures' ThreadPoolExecutor, with gosched.Executor in its place.

In the plain run they are what they always are.  What the executor calls hops as well.
"""

from __future__ import annotations

import importlib
import pkgutil
import unittest
from typing import Any

import test.test_concurrent_futures as original

GREEN = False  # set by child.py


def modules() -> list[Any]:
    """It is a package from 3.12 on."""
    if not hasattr(original, "__path__"):
        return [original]
    names = [m.name for m in pkgutil.iter_modules(original.__path__) if m.name.startswith("test_")]
    return [importlib.import_module(f"{original.__name__}.{name}") for name in names]


def load_tests(loader: unittest.TestLoader, tests: Any, pattern: Any) -> unittest.TestSuite:
    if GREEN:
        import gosched
    suite = unittest.TestSuite()
    for module in modules():
        for name, case in sorted(vars(module).items()):
            if not (name.startswith("ThreadPool") and isinstance(case, type)):
                continue
            if not issubclass(case, unittest.TestCase) or not hasattr(case, "executor_type"):
                continue
            if GREEN:
                case.executor_type = gosched.Executor  # type: ignore[attr-defined]
            suite.addTests(loader.loadTestsFromTestCase(case))
    return suite
