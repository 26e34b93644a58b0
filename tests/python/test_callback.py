"""C that calls back into Python: everything works there, and others run meanwhile.

There are two ways.  Functions of gosched.dlopen are foreign calls of the scheduler, and what C
calls from inside is a callback of it.  Extensions (ctypes, cffi itself, sqlite3) only let the GIL
go and take it again; there the green thread is kept on its thread while it waits.
"""

from __future__ import annotations

import contextvars
import gc
import os
import signal
import sqlite3
import sys
import threading
import time

import gosched
import pytest
from conftest import in_thread, until
from ways import COMPARE, WAYS, Ticker, ffi, libc, shuffled, wait_for

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


@pytest.fixture(params=WAYS)
def sort(request):
    return WAYS[request.param]


@pytest.fixture(params=WAYS)
def outer(request):
    return WAYS[request.param]


class Talk:
    """A bit of everything that a green thread may do."""

    def __init__(self):
        self.there, self.back = gosched.Chan(), gosched.Chan()
        gosched.go(self.answer)
        self.talks = 0

    def answer(self):
        for reply, value in self.there:
            reply.send(value + 1)

    def __call__(self):
        self.talks += 1
        reply = gosched.Chan()
        self.there.send((reply, self.talks))
        assert reply.recv() >= 2
        with pytest.raises(TimeoutError):
            reply.recv(timeout=0.0001)
        libc.usleep(50)
        assert libc.abs(-7) == 7
        assert libc.close(-1) == -1
        gosched.sleep(0.0001)
        assert gosched.errno() == 9
        time.sleep(0.0001)
        assert gosched.go(lambda: 5).result() == 5
        with gosched.TaskGroup() as tg:
            tg.go(gosched.sleep, 0.0001)
            tg.go(gosched.yield_now)
        gosched.yield_now()

    def end(self):
        self.there.close()


# ---- what works there --------------------------------------------------------------------------


def test_others_run_while_a_comparator_sleeps(sort):
    def main():
        ticker = Ticker()
        seen = []

        def inside():
            before = ticker.ticks
            ticker.wait(2)
            seen.append(ticker.ticks - before)

        assert sort(shuffled(6), inside) == sorted(shuffled(6))
        assert min(seen) >= 2
        ticker.wait(2)
        gosched.go(sort, shuffled(6), inside).result()
        ticker.end()

    gosched.run(main)


def test_others_run_while_a_comparator_computes(sort):
    def main():
        ticker = Ticker()

        def inside():
            end = ticker.ticks + 2
            while ticker.ticks < end:
                sum(range(100))

        assert sort([3, 2, 1], inside) == [1, 2, 3]
        gs = [gosched.go(sort, [3, 2, 1], inside) for _ in range(3)]
        assert all(g.result() == [1, 2, 3] for g in gs)
        ticker.end()

    gosched.run(main)


def test_few_threads(sort):
    """More in callbacks than there may be threads: the others wait for one to come free."""

    def main():
        gs = [gosched.go(sort, [2, 1], lambda: gosched.sleep(0.001)) for _ in range(20)]
        assert all(g.result() == [1, 2] for g in gs)

    gosched.run(main, max_threads=4)


def test_everything_works_in_a_callback(sort):
    def main():
        talk = Talk()
        assert sort(shuffled(8), talk) == sorted(shuffled(8))
        assert gosched.go(sort, shuffled(8), talk).result() == sorted(shuffled(8))
        talk.end()
        assert talk.talks >= 14

    gosched.run(main)


def test_one_in_the_other(outer, sort):
    def main():
        talk = Talk()

        def nested():
            assert sort(shuffled(3), talk) == sorted(shuffled(3))

        gs = [gosched.go(outer, shuffled(3), nested) for _ in range(2)]
        assert outer(shuffled(3), nested) == sorted(shuffled(3))
        assert all(g.result() == sorted(shuffled(3)) for g in gs)
        talk.end()

    gosched.run(main)


def test_many_levels():
    sort = WAYS["dlopen"]

    def main():
        talk = Talk()
        levels = []

        def nested():
            levels.append(1)
            if len(levels) < 40:
                assert sort([2, 1], nested) == [1, 2]
                gosched.sleep(0.0001)
            else:
                talk()

        assert gosched.go(sort, [2, 1], nested).result() == [1, 2]
        assert len(levels) == 40
        talk.end()

    gosched.run(main)


def test_a_hundred_at_once(sort):
    def main():
        talk = Talk()
        ticker = Ticker()
        gs = [gosched.go(sort, shuffled(5), talk) for _ in range(100)]
        assert all(g.result() == sorted(shuffled(5)) for g in gs)
        ticker.wait(2)
        ticker.end()
        talk.end()

    gosched.run(main)


def test_what_belongs_to_a_green_thread_stays(sort):
    var = contextvars.ContextVar("var")
    local = threading.local()

    def body(i):
        var.set(i)
        local.x = i
        me, seen = gosched.current(), set()
        threads = set()  # one: that of the call, which need not be where it was asked for

        def inside():
            try:
                raise ValueError(i)
            except ValueError:
                gosched.sleep(0.0002)
                libc.usleep(20)
                assert sys.exc_info()[1].args == (i,)
            assert gosched.current() is me
            threads.add(threading.get_native_id())
            assert len(threads) == 1
            seen.add((var.get(), local.x))
            gc.collect(0)

        sort(shuffled(5), inside)
        assert gosched.current() is me
        assert seen == {(i, i)}

    def main():
        for g in [gosched.go(body, i) for i in range(10)]:
            g.result()

    gosched.run(main)


def test_state_and_traces(sort):
    def main():
        seen = []
        g = gosched.go(sort, [2, 1], lambda: (seen.append(g.state), gosched.sleep(0.05)))
        wait_for(lambda: seen and g.state == "waiting")
        g.join()
        assert seen[0] in ("syscall", "running")
        assert g.state == "done"

    gosched.run(main)


# ---- errors ------------------------------------------------------------------------------------


def test_an_error_after_a_wait():
    seen = []

    @ffi.callback(COMPARE, error=-1, onerror=lambda *e: seen.append(e[1]))
    def compare(a, b):
        gosched.sleep(0.001)
        libc.usleep(20)
        raise KeyError("wrong")

    def body():
        array = ffi.new("int[]", [1, 2])
        libc.qsort(array, 2, 4, compare)
        gosched.sleep(0.001)
        return list(array)

    def main():
        return body(), gosched.go(body).result()

    assert gosched.run(main) == ([1, 2], [1, 2])
    assert [repr(e) for e in seen] == ["KeyError('wrong')"] * 2


def test_an_error_in_sqlite():
    def main():
        db = sqlite3.connect(":memory:", check_same_thread=False)

        def fails(x):
            gosched.sleep(0.001)
            raise ValueError(x)

        db.create_function("fails", 1, fails)
        with pytest.raises(sqlite3.OperationalError, match="user-defined function"):
            db.execute("select fails(1)").fetchone()
        gosched.sleep(0.001)
        db.close()

    gosched.run(main)


def test_cancelled_in_a_comparator():
    seen, inside = [], []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        inside.append(1)
        gosched.sleep(100)
        return 0

    def body():
        libc.qsort(ffi.new("int[]", [3, 2, 1]), 3, 4, compare)
        seen.append("back")
        gosched.sleep(100)

    def main():
        gs = [gosched.go(body) for _ in range(5)]
        wait_for(lambda: len(inside) == 5)
        gosched.sleep(0.002)
        for g in gs:
            assert not g.done()
            g.cancel()
        for g in gs:
            with pytest.raises(gosched.Cancelled):
                g.result(60)
        assert seen.count("back") == 5
        assert set(seen) == {"back", gosched.Cancelled}

    gosched.run(main)


def test_the_main_green_thread_is_cancelled_in_a_comparator():
    seen = []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        gosched.sleep(100)
        return 0

    def fails():
        gosched.sleep(0.002)
        raise KeyError

    def main():
        with gosched.TaskGroup() as tg:
            tg.go(fails)
            libc.qsort(ffi.new("int[]", [2, 1]), 2, 4, compare)
            seen.append("back")

    with pytest.raises(BaseExceptionGroup) as e:
        gosched.run(main)
    assert e.group_contains(KeyError) if hasattr(e, "group_contains") else True
    assert seen == [gosched.Cancelled, "back"]


def test_a_signal_in_a_comparator():
    seen, inside = [], []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        inside.append(1)
        gosched.sleep(100)
        return 0

    main_thread = None

    def interrupts():
        wait_for(lambda: inside and main_thread.state == "waiting")
        os.kill(os.getpid(), signal.SIGINT)

    def main():
        nonlocal main_thread
        main_thread = gosched.current()
        g = gosched.go(interrupts)
        libc.qsort(ffi.new("int[]", [2, 1]), 2, 4, compare)
        g.join()
        gosched.sleep(0.001)

    gosched.run(main)
    assert seen == [KeyboardInterrupt]


def test_left_over_in_a_callback_when_run_ends():
    seen, inside = [], []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        inside.append(1)
        gosched.sleep(100)
        return 0

    def main():
        gosched.go(libc.qsort, ffi.new("int[]", [2, 1]), 2, 4, compare)
        wait_for(lambda: inside)

    gosched.run(main)
    assert seen == [gosched.Cancelled]


# ---- threads -----------------------------------------------------------------------------------


def on_c_thread(fn):
    """Calls fn in a callback on a thread that Python and the scheduler never saw."""
    box = []

    @ffi.callback("void *(void *)")
    def body(_):
        try:
            box.append(fn())
        except BaseException as e:
            box.append(e)
        return ffi.NULL

    t = ffi.new("pthread_t *")
    assert libc.pthread_create(t, ffi.NULL, body, ffi.NULL) == 0
    libc.pthread_join(t[0], ffi.NULL)
    return box[0]


@pytest.mark.parametrize("elsewhere", [on_c_thread, in_thread])
def test_callbacks_on_foreign_threads(elsewhere):
    """There is no green thread there: what never waits works, the rest says so."""

    def answer(fn):
        try:
            return elsewhere(fn)
        except gosched.Error as e:
            return e

    def main():
        ch, nobody = gosched.Chan(1), gosched.Chan()
        assert answer(lambda: ch.try_send(1)) is None
        assert isinstance(answer(lambda: ch.try_send(2)), gosched.WouldBlock)
        assert answer(ch.try_recv) == 1
        assert isinstance(answer(ch.try_recv), gosched.WouldBlock)
        assert isinstance(answer(lambda: nobody.try_send(1)), gosched.WouldBlock)
        for fn, name in [
            (lambda: ch.send(1), "Chan.send"),
            (ch.recv, "Chan.recv"),
            (lambda: next(ch), "Chan.recv"),
            (lambda: gosched.sleep(1), "gosched.sleep"),
        ]:
            error = answer(fn)
            assert type(error) is gosched.Error
            assert name in str(error)
            assert "gosched.go(...).result()" in str(error)
        assert answer(gosched.current) is None
        assert answer(gosched.yield_now) is None
        assert answer(lambda: gosched.go(lambda: 7).result()) == 7
        assert answer(lambda: libc.abs(-3)) == 3
        waits = gosched.go(nobody.recv)
        until(lambda: waits.state == "waiting")
        assert answer(lambda: nobody.try_send(9)) is None
        assert waits.result(60) == 9
        waits = gosched.go(gosched.sleep, 100)
        until(lambda: waits.state == "waiting")
        assert answer(waits.cancel) is None
        assert isinstance(waits.exception(60), gosched.Cancelled)
        waits = gosched.go(list, ch)
        until(lambda: waits.state == "waiting")
        assert answer(ch.close) is None
        assert waits.result(60) == []
        assert isinstance(answer(lambda: ch.try_send(1)), gosched.Closed)
        assert isinstance(answer(ch.try_recv), gosched.Closed)

    gosched.run(main)
