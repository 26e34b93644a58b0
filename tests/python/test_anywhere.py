"""Every operation where it is not expected: outside of run, on an ordinary thread, in a signal
handler, in callbacks from C, in __del__, at exit.  Each does its work or says why it cannot.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import weakref

import gosched
import pytest
from conftest import in_thread, until

# What waits: (name, a function of fresh objects that is called where it should not be).
WAITING = {
    "sleep": lambda: gosched.sleep(0),
    "Chan.send": lambda: gosched.Chan(1).send(1),
    "Chan.recv": lambda: gosched.Chan().recv(),
    "iteration": lambda: next(gosched.Chan()),
    "select": lambda: gosched.select(gosched.Chan().recv_case()),
    "wait": lambda: gosched.wait(0, read=True),
    "map": lambda: list(gosched.map(abs, [1])),
    "TaskGroup": lambda: gosched.TaskGroup().__enter__(),
    "timeout": lambda: gosched.timeout(1).__enter__(),
    "shield": lambda: gosched.shield().__enter__(),
    "os_thread": lambda: gosched.os_thread().__enter__(),
    "as_completed": lambda: list(gosched.as_completed([gosched.go(abs, 1)])),
}

# What blocks an ordinary thread as the locks of threading do.
BLOCKING = {
    "Mutex": lambda: gosched.Mutex().acquire(timeout=1),
    "RLock": lambda: gosched.RLock().acquire(timeout=1),
    "Semaphore": lambda: gosched.Semaphore().acquire(timeout=1),
    "Event": lambda: gosched.Event().wait(timeout=0.01),
    "WaitGroup": lambda: gosched.WaitGroup().wait(timeout=1),
}

# What does not: these work wherever they are called.
IMMEDIATE = {
    "try_send": lambda: gosched.Chan(1).try_send(1),
    "close": lambda: gosched.Chan().close(),
    "Event.set": lambda: gosched.Event().set(),
    "release": lambda: gosched.Semaphore(0).release(),
    "WaitGroup.add": lambda: gosched.WaitGroup().add(1),
    "current": gosched.current,
    "stats": gosched.stats,
    "snapshot": gosched.snapshot,
    "yield_now": gosched.yield_now,
    "errno": gosched.errno,
    "select with a default": lambda: gosched.select(gosched.Chan().recv_case(), default=None),
}


@pytest.mark.parametrize("name", WAITING)
def test_waiting_outside_of_run(name):
    with pytest.raises(gosched.Error, match="gosched.run"):
        WAITING[name]()


@pytest.mark.parametrize("name", IMMEDIATE)
def test_what_does_not_wait_works_outside_of_run(name):
    IMMEDIATE[name]()


@pytest.mark.parametrize("name", sorted(WAITING.keys() - {"as_completed", "map"}))
def test_waiting_on_an_ordinary_thread(name):
    def main():
        with pytest.raises(gosched.Error, match="green thread"):
            in_thread(WAITING[name])

    gosched.run(main)


@pytest.mark.parametrize("name", IMMEDIATE)
def test_what_does_not_wait_works_on_an_ordinary_thread(name):
    gosched.run(lambda: in_thread(IMMEDIATE[name]))


@pytest.mark.parametrize("name", BLOCKING)
def test_locks_on_ordinary_threads(name):
    def use():
        try:
            BLOCKING[name]()
        except TimeoutError:
            assert name == "Event"

    use()
    gosched.run(lambda: in_thread(use))


def test_go_and_join_on_an_ordinary_thread():
    assert gosched.run(lambda: in_thread(lambda: gosched.go(abs, -5).result())) == 5
    assert gosched.run(lambda: in_thread(lambda: list(gosched.map(abs, [-1, 2])))) == [1, 2]


def test_an_ordinary_thread_wakes_green_ones():
    def main():
        ch, event = gosched.Chan(2), gosched.Event()
        g = gosched.go(lambda: (ch.recv(), event.wait(), ch.recv()))

        def outside():
            ch.try_send(1)
            event.set()
            ch.try_send(2)

        in_thread(outside)
        return g.result()

    assert gosched.run(main) == (1, True, 2)


def in_a_handler(fn):
    """What fn gives or raises in a signal handler that interrupts what main waits in."""
    box = []

    def handler(*_):
        try:
            box.append(fn())
        except BaseException as e:
            box.append(e)

    def main():
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            gosched.go(os.kill, os.getpid(), signal.SIGUSR1)
            until(lambda: box)
        finally:
            signal.signal(signal.SIGUSR1, before)
        return box[0]

    return gosched.run(main)


def test_a_signal_handler_is_the_main_green_thread():
    """It may do all that main may, waiting included."""

    def everything():
        ch = gosched.Chan()
        g = gosched.go(ch.send, 5)
        gosched.sleep(0.001)
        with gosched.timeout(60):
            got = ch.recv()
        g.join()
        assert gosched.current() is not None
        return got

    assert in_a_handler(everything) == 5


def test_a_signal_handler_sets_an_event():
    def main():
        e = gosched.Event()
        before = signal.signal(signal.SIGUSR1, lambda *_: e.set())
        try:
            g = gosched.go(os.kill, os.getpid(), signal.SIGUSR1)
            assert e.wait()
            g.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    gosched.run(main)


@pytest.mark.parametrize("name", sorted(IMMEDIATE))
def test_in_callbacks_of_other_libraries(name):
    """C that ctypes calls calls back on the green thread's own stack."""
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    libc = ctypes.CDLL(None)
    errors = []

    def compare(a, b):
        try:
            IMMEDIATE[name]()
            gosched.go(abs, 1).join()
            gosched.sleep(0.0005)
        except BaseException as e:
            errors.append(e)
        return a[0] - b[0]

    def body():
        numbers = (ctypes.c_int * 5)(4, 1, 3, 5, 2)
        libc.qsort(numbers, 5, 4, kind(compare))
        return list(numbers)

    def main():
        gs = [gosched.go(body) for _ in range(3)]
        assert [g.result() for g in gs] == [[1, 2, 3, 4, 5]] * 3

    gosched.run(main)
    assert errors == []


class Dying:
    """Calls fn when it is destroyed, and keeps what came of it."""

    came: list[object] = []

    def __init__(self, fn):
        self.fn = fn

    def __del__(self):
        try:
            Dying.came.append(self.fn())
        except BaseException as e:
            Dying.came.append(e)


def works():
    ch = gosched.Chan()
    g = gosched.go(ch.send, 3)
    got = ch.recv()
    g.join()
    return got


def test_in_destructors():
    """Run by whoever drops the last reference: on a green thread they may wait."""
    Dying.came.clear()

    def main():
        gosched.go(lambda: Dying(works) and None).join()
        thing = Dying(works)
        thing.me = thing
        del thing
        gosched.go(gc.collect).join()
        # At the very end of a green thread, when its locals of threading go.
        local = threading.local()
        gosched.go(lambda: setattr(local, "x", Dying(works))).join()
        until(lambda: len(Dying.came) == 3)

    gosched.run(main)
    assert Dying.came == [3, 3, 3]


def test_in_destructors_outside():
    Dying.came.clear()
    Dying(works)
    assert [str(e) for e in Dying.came] == [
        "gosched.go needs a running scheduler: call it inside gosched.run(main)"
    ]


def test_in_weakref_callbacks():
    came = []

    class Thing:
        pass

    def main():
        thing = Thing()
        ref = weakref.ref(thing, lambda _: came.append(works()))
        del thing
        assert ref() is None

    gosched.run(main)
    assert came == [3]


def test_at_exit(script):
    s = script(
        """
        import atexit, gosched

        def attempt(what, fn):
            try:
                print(what, fn())
            except gosched.Error as e:
                print(what, "Error:", str(e).partition(":")[0])

        kept = gosched.Chan(1)

        @atexit.register
        def late():
            attempt("recv", kept.recv)
            attempt("go", lambda: gosched.go(print))
            attempt("try_send", lambda: kept.try_send(1))
            attempt("run", lambda: gosched.run(kept.recv))

        gosched.run(lambda: None)
        """
    )
    status, out, err = s.end()
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "recv Error: Chan.recv needs a running scheduler",
        "go Error: gosched.go needs a running scheduler",
        "try_send None",
        "run 1",
    ]


def test_nested_run():
    def main():
        with pytest.raises(gosched.Error, match=r"already inside gosched\.run"):
            gosched.run(lambda: None)
        with pytest.raises(gosched.Error, match="another thread is inside"):
            in_thread(lambda: gosched.run(lambda: None))

    gosched.run(main)


def test_run_on_an_ordinary_thread():
    assert in_thread(lambda: gosched.run(works)) == 3
    assert gosched.current() is None
