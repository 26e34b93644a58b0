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
short guest_wait(int fd, int began);
int guest_wait_sum(int fd, int began, const int *numbers, int n);
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


class Waiting:
    """A call that waits for a byte; it has begun when the block does."""

    def __init__(self, function, *args):
        self.inside, self.told = os.pipe(), os.pipe()
        self.g = gosched.go(function, self.inside[0], self.told[1], *args)
        assert os.read(self.told[0], 1) == b"b"

    def end(self):
        os.write(self.inside[1], b"x")
        result = self.g.result()
        for fd in (*self.inside, *self.told):
            os.close(fd)
        return result


def test_resizing_a_buffer():
    def main():
        lib = gosched.dlopen(GUEST, CDEF)
        data = bytearray(bytes([1, 0, 0, 0]) * 1000)
        waiting = Waiting(lib.guest_wait_sum, gosched.ffi(lib).from_buffer("int[]", data), 1000)
        gc.collect()
        with pytest.raises(BufferError):
            data.extend(b"d" * 100_000)
        assert waiting.end() == 42 + 1000

    gosched.run(main)


def test_closing_the_library():
    def main():
        lib = gosched.dlopen(GUEST, CDEF)
        waiting = Waiting(lib.guest_wait)
        for _ in range(3):
            with pytest.raises(gosched.FFIError, match="cannot be closed: 1 of its functions"):
                gosched.dlclose(lib)
            gosched.yield_now()
        assert waiting.end() == 42
        gosched.dlclose(lib)
        with pytest.raises(gosched.FFIError):
            _ = lib.guest_add

    gosched.run(main)
