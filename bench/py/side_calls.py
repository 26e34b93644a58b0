"""`int add(int, int)` of a C library, called from the main thread by ctypes and by cffi.

Rows: ctypes.bare (no argtypes), ctypes.typed, cffi.abi, cffi.api.  The loop is the same in all, and
in side_gosched.py: a `for` over itertools.repeat, about 15 ns of what is measured.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import sys
import sysconfig
import time
from collections.abc import Callable

import harness

DECLARATION = "int gsbench_add(int a, int b);"


def call_loop(add: Callable[[int, int], int]) -> harness.Loop:
    """A loop that calls add n times, after a check that it adds."""
    if add(1, 2) != 3:
        raise RuntimeError(f"add(1, 2) returned {add(1, 2)}")

    def loop(n: int) -> float:
        start = time.perf_counter_ns()
        for _ in itertools.repeat(None, n):
            add(1, 2)
        return time.perf_counter_ns() - start

    return loop


def ctypes_bare() -> Callable[[int, int], int]:
    return ctypes.CDLL(harness.target_library()).gsbench_add


def ctypes_typed() -> Callable[[int, int], int]:
    add = ctypes.CDLL(harness.target_library()).gsbench_add
    add.argtypes = [ctypes.c_int, ctypes.c_int]
    add.restype = ctypes.c_int
    return add


def cffi_abi() -> Callable[[int, int], int]:
    try:
        import cffi
    except ImportError as error:
        harness.unmeasured(error)
    ffi = cffi.FFI()
    ffi.cdef(DECLARATION)
    add: Callable[[int, int], int] = ffi.dlopen(harness.target_library()).gsbench_add
    return add


def cffi_api() -> Callable[[int, int], int]:
    """The function of an extension module that cffi writes and compiles, once per Python."""
    name = "_gsbench_targets"
    directory = os.path.join(os.environ["GSBENCH_DIR"], "py")
    path = os.path.join(directory, name + sysconfig.get_config_var("EXT_SUFFIX"))
    if not os.path.exists(path):
        compile_api_module(name, directory)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} is no extension module of this Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    add: Callable[[int, int], int] = module.lib.gsbench_add
    return add


def compile_api_module(name: str, directory: str) -> None:
    try:
        import cffi
    except ImportError as error:
        harness.unmeasured(error)
    library_directory, library_file = os.path.split(harness.target_library())
    ffi = cffi.FFI()
    ffi.cdef(DECLARATION)
    ffi.set_source(
        name,
        DECLARATION,
        libraries=[library_file.removeprefix("lib").removesuffix(".so")],
        library_dirs=[library_directory],
        runtime_library_dirs=[library_directory],
    )
    # The compiler's chatter would stand before the result.
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        ffi.compile(tmpdir=directory)
    except Exception as error:  # no compiler, no headers, no setuptools: distutils has many ways
        harness.unmeasured(f"cffi cannot compile its module: {error}")
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def row(find: Callable[[], Callable[[int, int], int]]) -> harness.Row:
    return harness.Row("ns", lambda options: harness.sample_loop(options, call_loop(find())))


if __name__ == "__main__":
    harness.main(
        {
            "ctypes.bare": row(ctypes_bare),
            "ctypes.typed": row(ctypes_typed),
            "cffi.abi": row(cffi_abi),
            "cffi.api": row(cffi_api),
        }
    )
