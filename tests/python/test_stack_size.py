"""threading.stack_size says how much stack green threads have that start later, as with threads."""

from __future__ import annotations

import re
import signal
import sys

import pytest
from conftest import HANG

# Not counted by CPython, which is not asked: the C library parses what stands in parentheses by
# recursion.
OVERFLOW = """
    import ctypes
    import threading
    import gosched

    libc = ctypes.CDLL(None)

    def deep():
        libc.regcomp(ctypes.create_string_buffer(256), b"(" * 100_000 + b")" * 100_000, 1)

    {set_size}
    gosched.run(lambda: gosched.go(deep).result())
"""


@pytest.mark.parametrize(
    ("set_size", "size"),
    [
        ("pass", 8 << 20),
        ("threading.stack_size(1 << 20)", 1 << 20),
        ("threading.stack_size(3_000_000)", 4 << 20),
        ("threading.stack_size(64 << 10)", 1 << 20),
        ("threading.stack_size(1 << 20); threading.stack_size(0)", 8 << 20),
    ],
)
def test_the_report_of_an_overflow(script, set_size, size):
    """It has the size that was asked for, but 1 MiB at least, and says what to do."""
    status, _, err = script(OVERFLOW.format(set_size=set_size)).end(HANG)
    assert status == -signal.SIGABRT
    told = re.search(
        r'^gosched: stack overflow in green thread G\d+ "deep": its stack has (\d+) bytes\.\n'
        r"Green threads that are started after threading\.stack_size\(n\) have n bytes\.\n",
        err,
        re.MULTILINE,
    )
    assert told, err
    assert size * 15 // 16 < int(told[1]) <= size


def test_sizes_live_side_by_side(script):
    """Each waits in the middle of its frames, while stacks of other sizes come and go; the large
    ones are used deeply, so one that is smaller than it should be overflows."""
    program = """
        import threading
        import gosched

        class A:
            def __lt__(self, other): [A(), A()].sort()

        def nest(n, gate, size=1):
            if n:
                return max([n], key=lambda n: nest(n - 1, gate, size))
            gate.recv()
            if size == 0:
                try: [A(), A()].sort()
                except RecursionError: pass

        def main():
            for _ in range(3):
                gate, greens = gosched.Chan(), []
                for size in (0, 1 << 20, 3_000_000, 32 << 10) * 25:
                    threading.stack_size(size)
                    greens.append(gosched.go(nest, 6, gate, size))
                    gosched.go(nest, 6, gosched.Chan(1)).cancel()
                for i in range(len(greens)):
                    gate.send(i)
                assert [g.result() for g in greens] == [6] * len(greens)

        gosched.run(main)
        print("done")
    """
    status, out, err = script(program).end(HANG)
    assert (status, out) == (0, "done\n"), err


def test_too_much(script):
    """Nothing has begun then, and the next one that asks for less does."""
    program = """
        import threading
        import gosched

        def main():
            threading.stack_size(2 << 30)
            try:
                gosched.go(print)
            except ValueError as error:
                print(error)
            threading.stack_size(1 << 30)
            return gosched.go(lambda: "begun").result()

        print(gosched.run(main))
    """
    status, out, err = script(program).end(HANG)
    assert status == 0, err
    assert out == (
        "threading.stack_size() is 2147483648, and a green thread has at most 1073741824 bytes: "
        "set less\nbegun\n"
    )


DEPTH = """
    import threading
    import gosched

    def depth():
        "Levels of a list whose text can be had: they take little of the stack."
        nested, n = [], 0
        while True:
            try:
                repr(nested)
            except RecursionError:
                return n
            for _ in range(100):
                nested = [nested]
            n += 100
"""


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="up to 3.11 CPython counts levels of Python and C together, whatever a stack's size is",
)
def test_recursions_through_c_end_in_time(script):
    """A smaller stack has fewer levels, a larger one that comes later has all of them again, and
    after gosched.run a thread has what it had."""
    program = (
        DEPTH
        + """
    def main():
        found = []
        for size in (0, 2 << 20, 1 << 20, 0):
            threading.stack_size(size)
            found.append(gosched.go(depth).result())  # on the record of the one before
        return found

    before = depth()
    full, less, least, again = gosched.run(main)
    print(full == again > less > least > 0, before == depth() >= full)
"""
    )
    status, out, err = script(program).end(HANG)
    assert (status, out) == (0, "True True\n"), err


def test_what_nobody_refers_to_ends_at_once(script):
    """CPython 3.13 and later put that off where a thread has little room left."""
    program = """
        import threading
        import gosched

        ended = []

        class Ends:
            def __del__(self):
                ended.append(self)

        def drop():
            nested = [Ends()]
            for _ in range(80):
                nested = [nested]
            del nested
            return len(ended)

        threading.stack_size(32 << 10)
        print(gosched.run(lambda: [gosched.go(drop).result() for _ in range(3)]))
    """
    status, out, err = script(program).end(HANG)
    assert (status, out) == (0, "[1, 2, 3]\n"), err


def test_source_is_compiled_on_the_smallest_stack(script):
    """CPython's parser counts levels of its own."""
    program = """
        import threading
        import gosched

        def parse():
            for text in ("-" * 5000 + "1", "lambda:" * 3000 + "1", "(" * 190 + "1" + ")" * 190):
                try:
                    compile(text, "text", "exec")
                except (RecursionError, MemoryError):
                    pass

        threading.stack_size(32 << 10)
        print(gosched.run(lambda: gosched.go(parse).result()))
    """
    status, out, err = script(program).end(HANG)
    assert (status, out) == (0, "None\n"), err
