"""select: one of several channel operations."""

from __future__ import annotations

import gc
import weakref

import gosched
import pytest
from conftest import in_thread
from hypothesis import given
from hypothesis import strategies as st


def test_ready_cases():
    def main():
        a, b = gosched.Chan(1), gosched.Chan(1)
        assert gosched.select(a.recv_case(), b.send_case("x")) == (1, None)
        assert gosched.select(a.recv_case(), b.recv_case()) == (1, "x")
        case = a.send_case("again")
        for _ in range(3):
            assert gosched.select(case) == (0, None)
            assert gosched.select(a.recv_case()) == (0, "again")

    gosched.run(main)


def test_default_and_timeout():
    a = gosched.Chan()
    assert gosched.select(a.recv_case(), default=None) == (-1, None)
    assert gosched.select(a.send_case(1), default="full") == (-1, "full")
    assert gosched.select(default=1) == (-1, 1)
    assert in_thread(lambda: gosched.select(a.recv_case(), default=2)) == (-1, 2)

    def main():
        with pytest.raises(TimeoutError, match=r"gosched.select: timed out"):
            gosched.select(a.recv_case(), a.send_case(1), timeout=0.01)
        with pytest.raises(TimeoutError):
            gosched.select(timeout=0)

    gosched.run(main)


def test_waiting():
    def main():
        a, b, stop = gosched.Chan(), gosched.Chan(), gosched.Chan()
        got = []

        def serve():
            while True:
                i, value = gosched.select(a.recv_case(), b.recv_case(), stop.recv_case())
                if i == 2:
                    return
                got.append((i, value))

        server = gosched.go(serve)
        for i in range(10):
            (a, b)[i % 2].send(i)
        stop.send(None)
        server.join()
        assert got == [(i % 2, i) for i in range(10)]

    gosched.run(main)


def test_closed():
    def main():
        a, b = gosched.Chan(1), gosched.Chan()
        a.send("last")
        a.close()
        assert gosched.select(a.recv_case(), b.recv_case()) == (0, "last")
        for case in (a.recv_case(), a.send_case(1)):
            with pytest.raises(gosched.Closed, match=r"gosched.select: the channel is closed"):
                gosched.select(case, b.recv_case())
        waits = gosched.go(gosched.select, b.recv_case(), b.send_case(1))
        gosched.yield_now()
        b.close()
        with pytest.raises(gosched.Closed):
            waits.result()

    gosched.run(main)


def test_cancelled():
    def main():
        a = gosched.Chan()
        waits = gosched.go(gosched.select, a.recv_case(), a.send_case(1))
        gosched.yield_now()
        waits.cancel()
        with pytest.raises(gosched.Cancelled):
            waits.result()

    gosched.run(main)


def test_values_live_as_long_as_needed():
    class Thing:
        pass

    def main():
        a, b = gosched.Chan(1), gosched.Chan()
        thing = Thing()
        gone = weakref.ref(thing)
        assert gosched.select(a.send_case(thing), b.send_case(thing)) == (0, None)
        del thing
        gc.collect()
        assert gone() is not None
        assert isinstance(a.recv(), Thing)
        gc.collect()
        assert gone() is None
        a.send(a.send_case(a))  # a cycle
        gone = weakref.ref(a)
        del a
        gc.collect()
        assert gone() is None

    gosched.run(main)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
def test_many_cases(n):
    def main():
        chans = [gosched.Chan(1) for _ in range(n)]
        for i, ch in enumerate(chans):
            ch.send(i)
        cases = [ch.recv_case() for ch in chans]
        seen = {gosched.select(*cases) for _ in range(n)}
        assert seen == {(i, i) for i in range(n)}
        done = gosched.go(gosched.select, *cases)
        gosched.yield_now()
        chans[-1].send("late")
        assert done.result() == (n - 1, "late")

    gosched.run(main)


def test_fairness():
    def main():
        a, b = gosched.Chan(1), gosched.Chan(1)
        counts = [0, 0]
        for _ in range(200):
            for ch in (a, b):
                if not len(ch):
                    ch.send(0)
            counts[gosched.select(a.recv_case(), b.recv_case())[0]] += 1
        assert min(counts) > 20

    gosched.run(main)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
def test_try_select_is_try_of_one(steps):
    """One case with a default does what try_send and try_recv do."""
    ours, theirs = gosched.Chan(3), gosched.Chan(3)
    for i, (sends, _) in enumerate(steps):
        try:
            expected = theirs.try_send(i) if sends else theirs.try_recv()
        except gosched.WouldBlock:
            expected = "would block"
        case = ours.send_case(i) if sends else ours.recv_case()
        assert gosched.select(case, default="would block")[1] == expected
        assert len(ours) == len(theirs)


def test_bad_arguments():
    a = gosched.Chan()
    with pytest.raises(TypeError, match=r"case 1 is of type gosched.Chan; Chan.recv_case\(\)"):
        gosched.select(a.recv_case(), a, default=None)
    with pytest.raises(ValueError, match="give a timeout or a default"):
        gosched.select(a.recv_case(), timeout=1, default=None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'limit'"):
        gosched.select(a.recv_case(), limit=1)
    with pytest.raises(gosched.Error, match="needs a running scheduler"):
        gosched.select(a.recv_case())
    assert repr(a.recv_case()).startswith("<receive from <gosched.Chan")
    assert repr(a.send_case(3)).startswith("<send 3 on <gosched.Chan")
