"""C that calls back into Python: everything works there, and others run meanwhile.

There are two ways.  Functions of gosched.dlopen are foreign calls of the scheduler, and what C
calls from inside is a callback of it.  Extensions (ctypes, cffi itself, sqlite3) only let the GIL
go and take it again; there the green thread is kept on its thread while it waits.
"""

from __future__ import annotations

import contextvars
import ctypes
import gc
import os
import signal
import sqlite3
import sys
import threading
import time

import gosched
import pytest
from conftest import in_thread

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

DECLARATIONS = """
void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *));
int usleep(unsigned usec);
int abs(int);
int close(int);
typedef unsigned long pthread_t;
int pthread_create(pthread_t *t, void *attr, void *(*fn)(void *), void *arg);
int pthread_join(pthread_t t, void **out);
"""
COMPARE = "int(const void *, const void *)"

libc = gosched.dlopen(None, DECLARATIONS)
ffi = gosched.ffi(libc)


def on_one_thread(threads):
    assert len(threads) == 1, "a green thread with C code below it has changed threads"


class CffiSort:
    """sort(numbers, inside): qsort, with inside() called in every comparison."""

    def __init__(self, qsort):
        self.qsort = qsort

    def __call__(self, numbers, inside):
        threads = set()

        @ffi.callback(COMPARE)
        def compare(a, b):
            threads.add(threading.get_native_id())
            inside()
            threads.add(threading.get_native_id())
            x, y = ffi.cast("int *", a)[0], ffi.cast("int *", b)[0]
            return (x > y) - (x < y)

        array = ffi.new("int[]", numbers)
        self.qsort(array, len(numbers), 4, compare)
        on_one_thread(threads)
        return list(array)


class CtypesSort:
    COMPARE = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )

    def __init__(self, library):
        self.qsort = library.qsort
        self.qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, self.COMPARE]
        self.qsort.restype = None

    def __call__(self, numbers, inside):
        threads = set()

        @self.COMPARE
        def compare(a, b):
            threads.add(threading.get_native_id())
            inside()
            threads.add(threading.get_native_id())
            return (a[0] > b[0]) - (a[0] < b[0])

        array = (ctypes.c_int * len(numbers))(*numbers)
        self.qsort(array, len(numbers), 4, compare)
        on_one_thread(threads)
        return list(array)


def sqlite_sort(numbers, inside):
    def here():
        thread = threading.get_native_id()
        inside()
        if threading.get_native_id() != thread:
            # sqlite would leave its mutex locked, and the next call would wait for ever.
            print("a green thread that sqlite called has changed threads", file=sys.stderr)
            os._exit(1)

    def same(x):
        here()
        return x

    def collate(a, b):
        here()
        return int(a) - int(b)

    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.create_function("same", 1, same)
    db.create_collation("by_number", collate)
    db.execute("create table t (x text)")
    db.executemany("insert into t values (?)", [(str(n),) for n in numbers])
    rows = db.execute("select same(x) from t order by x collate by_number").fetchall()
    db.close()
    return [int(x) for (x,) in rows]


WAYS = {
    "dlopen": CffiSort(libc.qsort),
    "cffi": CffiSort(ffi.dlopen(None).qsort),
    "ctypes": CtypesSort(ctypes.CDLL(None)),
    "ctypes with the GIL": CtypesSort(ctypes.PyDLL(None)),
    "sqlite3": sqlite_sort,
}


@pytest.fixture(params=WAYS)
def sort(request):
    return WAYS[request.param]


@pytest.fixture(params=WAYS)
def outer(request):
    return WAYS[request.param]


def shuffled(n):
    return [i * 37 % 101 for i in range(n)]


class Ticker:
    def __init__(self):
        self.ticks = 0
        self.stop = False
        self.green = gosched.go(self.run)

    def run(self):
        while not self.stop:
            gosched.sleep(0.001)
            self.ticks += 1

    def wait(self, n):
        """Waits until it has ticked n times more."""
        end = self.ticks + n
        while self.ticks < end:
            gosched.sleep(0.001)

    def end(self):
        self.stop = True
        self.green.join()


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
        me, ident = gosched.current(), threading.get_ident()
        seen = set()

        def inside():
            try:
                raise ValueError(i)
            except ValueError:
                gosched.sleep(0.0002)
                libc.usleep(20)
                assert sys.exc_info()[1].args == (i,)
            assert gosched.current() is me
            assert threading.get_ident() == ident
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
        while not seen:
            gosched.sleep(0.001)
        assert g.state == "waiting"
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
    seen = []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        gosched.sleep(100)
        return 0

    def body():
        libc.qsort(ffi.new("int[]", [3, 2, 1]), 3, 4, compare)
        seen.append("back")
        gosched.sleep(100)

    def main():
        gs = [gosched.go(body) for _ in range(5)]
        gosched.sleep(0.005)
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
    seen = []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        gosched.sleep(100)
        return 0

    def interrupts():
        gosched.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    def main():
        g = gosched.go(interrupts)
        libc.qsort(ffi.new("int[]", [2, 1]), 2, 4, compare)
        g.join()
        gosched.sleep(0.001)

    gosched.run(main)
    assert seen == [KeyboardInterrupt]


def test_left_over_in_a_callback_when_run_ends():
    seen = []

    @ffi.callback(COMPARE, onerror=lambda *e: seen.append(e[0]))
    def compare(a, b):
        gosched.sleep(100)
        return 0

    def main():
        gosched.go(libc.qsort, ffi.new("int[]", [2, 1]), 2, 4, compare)
        gosched.sleep(0.002)

    gosched.run(main)
    assert seen == [gosched.Cancelled]


# ---- threads -----------------------------------------------------------------------------------


def test_threads_outlive_their_callbacks(sort):
    """A green thread that was kept on a thread does not take that thread along when it ends."""

    def main():
        def one():
            gosched.go(sort, [2, 1], lambda: gosched.sleep(0.0001)).join()

        for _ in range(10):
            one()
        before = gosched.stats()["threads_created"]
        for _ in range(50):
            one()
        return gosched.stats()["threads_created"] - before

    assert gosched.run(main) <= 25


def full():
    ch = gosched.Chan(1)
    ch.send(object())
    return ch


def ended():
    g = gosched.go(int)
    g.join()
    return g


class Touch:
    """Enters the scheduler without waiting: `ch` is a channel, `other` a green thread that sleeps,
    and `old` a list of things that die when they are taken out."""

    def __init__(self, what):
        self.what = what
        make = {"free": gosched.Chan, "free full": full, "release": ended}.get(what)
        self.old = [make() for _ in range(5000)] if make else []
        self.ch = gosched.Chan(1 << 20)
        self.other = gosched.go(gosched.sleep, 100)

    def __call__(self):
        sum(range(500))  # old things should last for a slice
        if self.old:
            self.old.pop()
        elif self.what == "go":
            gosched.go(int)
        elif self.what == "Chan":
            gosched.Chan()
        elif self.what == "try_send":
            self.ch.try_send(1)
        elif self.what == "try_recv":
            with pytest.raises(gosched.WouldBlock):
                self.ch.try_recv()
        elif self.what == "close":
            self.ch.close()
        elif self.what == "cancel":
            self.other.cancel()
        elif self.what == "yield":
            gosched.yield_now()


@pytest.mark.parametrize(
    "what",
    ["free", "free full", "release", "go", "Chan", "try_send", "try_recv", "close", "cancel"]
    + ["yield"],
)
def test_nothing_changes_threads_in_a_callback(sort, what):
    """Neither a slice that ends nor a turn that is gone, whatever comes first in the callback."""

    def main():
        touch = Touch(what)
        ticker = Ticker()

        def inside():
            before = ticker.ticks
            end = time.monotonic() + 30
            while ticker.ticks < before + 2 and time.monotonic() < end:
                touch()

        for g in [gosched.go(sort, [2, 1], inside) for _ in range(3)]:
            assert g.result() == [1, 2]
        ticker.end()

    gosched.run(main)


def test_it_moves_again_afterwards():
    """What kept it on its thread ends with the callback."""

    def main():
        threads = set()

        def body(i):
            sqlite_sort([2, 1], lambda: gosched.sleep(0.0001))
            WAYS["dlopen"]([2, 1], lambda: gosched.sleep(0.0001))
            for _ in range(200):
                threads.add((i, threading.get_native_id()))
                libc.usleep(20)
                gosched.yield_now()

        while len({i for i, _ in threads}) == len(threads):
            for g in [gosched.go(body, i) for i in range(20)]:
                g.result()

    gosched.run(main)


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
        gosched.sleep(0.002)
        assert answer(lambda: nobody.try_send(9)) is None
        assert waits.result(60) == 9
        waits = gosched.go(gosched.sleep, 100)
        gosched.sleep(0.002)
        assert answer(waits.cancel) is None
        assert isinstance(waits.exception(60), gosched.Cancelled)
        waits = gosched.go(list, ch)
        gosched.sleep(0.002)
        assert answer(ch.close) is None
        assert waits.result(60) == []
        assert isinstance(answer(lambda: ch.try_send(1)), gosched.Closed)
        assert isinstance(answer(ch.try_recv), gosched.Closed)

    gosched.run(main)
