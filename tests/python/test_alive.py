"""What a C call uses stays: collections, resizing, closing and forgetting while it runs."""

from __future__ import annotations

import contextlib
import gc
import os

import gosched
import pytest

GUEST = os.environ.get("GOSCHED_TEST_GUEST", "")
CDEF = """
long guest_sum_later(const unsigned char *bytes, long n, unsigned ms);
int guest_add(int a, int b);
"""

pytestmark = pytest.mark.skipif(not GUEST, reason="GOSCHED_TEST_GUEST does not name the library")


@contextlib.contextmanager
def collecting():
    """Others collect garbage, and make some, as long as the block runs."""
    over = False

    def collect():
        while not over:
            gc.collect()
            waste = [bytearray(1000 + i) for i in range(100)]
            del waste
            gosched.yield_now()

    gs = [gosched.go(collect) for _ in range(2)]
    yield
    over = True
    for g in gs:
        g.join()


def test_an_argument_that_nobody_else_holds():
    def main():
        lib = gosched.dlopen(GUEST, CDEF)
        with collecting():
            for i in range(5):
                n = 5000 + i
                assert lib.guest_sum_later(b"a" * n, n, 20) == 97 * n
                assert lib.guest_sum_later([7] * 900, 900, 20) == 6300  # a copy of cffi's

    gosched.run(main)


def test_a_library_that_nobody_else_holds():
    def main():
        with collecting():
            for _ in range(5):
                assert gosched.dlopen(GUEST, CDEF).guest_sum_later(b"ab", 2, 20) == 195
            add = gosched.dlopen(GUEST, CDEF).guest_add
            gc.collect()
            assert add(2, 3) == 5

    gosched.run(main)


def test_resizing_a_buffer():
    def main():
        lib = gosched.dlopen(GUEST, CDEF)
        data = bytearray(b"c" * 4000)
        pointer = gosched.ffi(lib).from_buffer("unsigned char[]", data)
        g = gosched.go(lib.guest_sum_later, pointer, 4000, 100)
        del pointer  # the call holds it
        refused = 0
        while not g.done():
            try:
                data.extend(b"d" * 100_000)
            except BufferError:
                refused += 1
            else:
                break  # the call is over, and has let go
            gc.collect()
            gosched.sleep(0.001)
        assert refused > 0
        assert g.result() == 99 * 4000

    gosched.run(main)


def test_closing_the_library():
    def main():
        lib = gosched.dlopen(GUEST, CDEF)
        g = gosched.go(lib.guest_sum_later, b"abc", 3, 200)
        refused = 0
        gosched.sleep(0.001)  # it begins
        while not g.done():
            try:
                gosched.dlclose(lib)
            except gosched.FFIError as e:
                assert "cannot be closed: 1 of its functions" in str(e)
                refused += 1
            else:
                break  # the call is over
            gosched.sleep(0.001)
        assert refused > 0
        assert g.result() == 294
        gosched.dlclose(lib)
        with pytest.raises(gosched.FFIError):
            _ = lib.guest_add

    gosched.run(main)
