"""A call that will block, while others wait, is made on another thread than the one it is on.

The green threads go on where they are, one after the other, and no thread has to wake up between
them.  C that calls back from there must find its green thread's own state: CPython looks for it by
thread (PyGILState_Ensure).
"""

from __future__ import annotations

import ctypes
import gc
import threading

import gosched
import pytest
from conftest import until
from ways import COMPARE, ffi

SORT = """
void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *));
int usleep(unsigned usec);
"""


def by_cffi(fn):
    return ffi.callback(COMPARE, fn)


def by_ctypes(fn):
    made = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(fn)
    pointer = ffi.cast(
        "int(*)(const void *, const void *)", ctypes.cast(made, ctypes.c_void_p).value
    )
    kept.append(made)
    return pointer


def by_gosched(fn):
    return gosched.callback(COMPARE)(fn)


kept: list[object] = []


@pytest.fixture(params=[by_cffi, by_ctypes, by_gosched])
def make(request):
    yield request.param
    kept.clear()


@pytest.fixture
def lib():
    return gosched.dlopen(None, SORT, blocking=["qsort", "usleep"])


def who():
    return threading.get_ident(), threading.current_thread(), id(local.__dict__)


local = threading.local()


def sorts(lib, make, inside):
    """Green threads that sort by a comparator.  How often C called back on another thread."""
    moved = 0

    def one():
        nonlocal moved
        me = who()
        entered = 0

        def compare(a, b):
            nonlocal moved
            assert who() == me
            moved += threading.get_native_id() != entered
            inside()
            assert who() == me
            a, b = (ffi.cast("int *", x)[0] for x in (a, b))
            return (a > b) - (a < b)

        fn = make(compare)
        for _ in range(10):
            array = ffi.new("int[]", [3, 1, 2])
            entered = threading.get_native_id()
            lib.qsort(array, 3, 4, fn)
            assert list(array) == [1, 2, 3]
            assert who() == me

    with gosched.TaskGroup() as tg:
        for _ in range(20):
            tg.go(one)
    return moved


def many(lib, make, inside):
    until(lambda: sorts(lib, make, inside) > 0)


def test_a_callback_finds_its_green_thread(lib, make):
    gosched.run(many, lib, make, lambda: None)


def test_a_callback_parks(lib, make):
    gosched.run(many, lib, make, lambda: gosched.sleep(0.0001))


def test_a_callback_blocks(lib, make):
    gosched.run(many, lib, make, lambda: lib.usleep(50))


def test_a_callback_collects_garbage(lib, make):
    gosched.run(many, lib, make, lambda: gc.collect(0))


def test_no_thread_state_is_made_for_a_callback(lib, make):
    """CPython makes one where it finds none, and an entry in threading's list for it."""

    def main():
        many(lib, make, threading.current_thread)
        return [t.name for t in threading.enumerate() if t.name.startswith("Dummy")]

    assert gosched.run(main) == []


def test_a_locked_green_thread_stays(lib):
    def main():
        def busy():
            while not done:
                gosched.yield_now()

        done = False
        others = [gosched.go(busy) for _ in range(5)]
        with gosched.os_thread():
            for _ in range(20):
                before = threading.get_native_id()
                lib.usleep(50)
                assert threading.get_native_id() == before
        done = True
        for g in others:
            g.result()

    gosched.run(main)
