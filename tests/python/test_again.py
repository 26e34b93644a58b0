"""A green thread's thread state goes to the next one: nothing of the first may be seen by it."""

from __future__ import annotations

import asyncio
import ctypes
import decimal
import sys
import threading
import time

import gosched
import pytest
from conftest import until


def one_after_another(*fns):
    """Each on a green thread of its own, and when it has ended the next."""

    def main():
        return [gosched.go(fn).result() for fn in fns]

    # Not from the main green thread, so that they all run on one OS thread.
    return gosched.run(lambda: gosched.go(main).result())


def test_tracing_and_profiling():
    seen = []

    def traced():
        sys.settrace(lambda *_: seen.append("trace"))
        sys.setprofile(lambda *_: seen.append("profile"))

    def after():
        assert sys.gettrace() is None
        assert sys.getprofile() is None
        del seen[:]
        sum(x for x in range(5))
        return list(seen)

    assert one_after_another(traced, after, traced, after)[1::2] == [[], []]


@pytest.mark.skipif(
    not hasattr(threading, "settrace_all_threads"),
    reason="threading.settrace_all_threads is new in 3.12",
)
def test_tracing_that_is_set_for_all_threads():
    def set_and_unset():
        threading.settrace_all_threads(lambda *_: None)
        sys.settrace(None)
        threading.settrace(None)

    def after():
        return sys.gettrace()

    assert one_after_another(after, set_and_unset, after)[-1] is None


def test_thread_locals():
    local = threading.local()

    def sets():
        local.x = 1

    assert one_after_another(sets, lambda: vars(local))[1] == {}


def test_exceptions():
    def raises():
        try:
            raise ValueError
        except ValueError:
            gosched.yield_now()
            return sys.exc_info()[0]

    assert one_after_another(raises, sys.exc_info)[1] == (None, None, None)


def test_hooks_of_coroutines():
    def sets():
        sys.set_coroutine_origin_tracking_depth(5)
        sys.set_asyncgen_hooks(firstiter=print, finalizer=print)

    def after():
        return sys.get_coroutine_origin_tracking_depth(), tuple(sys.get_asyncgen_hooks())

    assert one_after_another(sets, after)[1] == (0, (None, None))


def test_event_loops():
    async def work():
        await asyncio.sleep(0.001)
        return 1

    def after():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    one_after_another(lambda: asyncio.run(work()), after, lambda: asyncio.run(work()))


def test_decimal():
    def sets():
        decimal.getcontext().prec = 3

    assert one_after_another(sets, lambda: decimal.getcontext().prec)[1] == 28


def test_recursion():
    """As deep as ever, after one that went to the limit."""

    def depth():
        try:
            return 1 + depth()
        except RecursionError:
            return 1

    first, *others = one_after_another(*[depth] * 5)
    assert first > 100
    assert set(others) == {first}


def test_an_error_for_one_that_has_ended():
    """PyThreadState_SetAsyncExc with the number of one that is gone finds nobody."""
    set_error = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_error.argtypes = [ctypes.c_ulong, ctypes.py_object]

    def main():
        ident = gosched.go(threading.get_ident).result()
        found = set_error(ident, ctypes.py_object(KeyError))
        gosched.go(lambda: sum(range(1000))).result()
        return found

    assert gosched.run(main) == 0


def test_idle_states_are_no_threads():
    def main():
        gs = [gosched.go(time.sleep, 0.01) for _ in range(50)]
        for g in gs:
            g.join()
        until(lambda: len(sys._current_frames()) == threading.active_count())

    gosched.run(main)


def test_more_at_once_than_are_kept():
    def main():
        for _ in range(3):
            gate = gosched.Event()
            gs = [gosched.go(gate.wait) for _ in range(1000)]
            gosched.sleep(0.001)
            gate.set()
            for g in gs:
                g.join()

    gosched.run(main)
    gosched.run(main)
