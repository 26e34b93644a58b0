"""Chan."""

from __future__ import annotations

import gc
import time
import weakref

import gosched
import pytest
from conftest import in_thread


def test_unbuffered_meets():
    def main():
        ch = gosched.Chan()
        log = []

        def sender():
            for i in range(3):
                ch.send(i)
                log.append(("sent", i))

        g = gosched.go(sender)
        gosched.sleep(0.01)
        assert log == []
        got = [ch.recv() for _ in range(3)]
        g.join()
        assert got == [0, 1, 2]
        assert len(ch) == 0

    gosched.run(main)


def test_buffered_keeps_order():
    def main():
        ch = gosched.Chan(3)
        for i in range(3):
            ch.send(i)
        assert len(ch) == 3
        with pytest.raises(gosched.WouldBlock, match="try_send"):
            ch.try_send(9)
        g = gosched.go(ch.send, 3)
        gosched.yield_now()
        assert [ch.recv() for _ in range(4)] == [0, 1, 2, 3]
        g.join()
        with pytest.raises(gosched.WouldBlock, match="try_recv"):
            ch.try_recv()

    gosched.run(main)


def test_any_object():
    def main():
        ch = gosched.Chan(8)
        things = [None, 0, "x", ch, [1], object(), main, ValueError("v")]
        for t in things:
            ch.send(t)
        assert all(ch.recv() is t for t in things)

    gosched.run(main)


def test_close():
    def main():
        ch = gosched.Chan(4)
        ch.send(1)
        ch.send(2)
        assert not ch.closed
        ch.close()
        ch.close()
        assert ch.closed
        with pytest.raises(gosched.Closed, match="send"):
            ch.send(3)
        with pytest.raises(gosched.Closed):
            ch.try_send(3)
        assert ch.recv() == 1
        assert ch.try_recv() == 2
        for _ in range(2):
            with pytest.raises(gosched.Closed, match="recv"):
                ch.recv()
            with pytest.raises(gosched.Closed):
                ch.try_recv()
        assert list(ch) == []

    gosched.run(main)


def test_close_wakes_waiters():
    def main():
        full, empty = gosched.Chan(), gosched.Chan()
        gs = [gosched.go(full.send, 1), gosched.go(empty.recv), gosched.go(list, empty)]
        gosched.sleep(0.01)
        full.close()
        empty.close()
        assert isinstance(gs[0].exception(), gosched.Closed)
        assert isinstance(gs[1].exception(), gosched.Closed)
        assert gs[2].result() == []

    gosched.run(main)


def test_iteration():
    def main():
        ch = gosched.Chan()

        def produce():
            for i in range(100):
                ch.send(i)
            ch.close()

        gosched.go(produce)
        return list(ch)

    assert gosched.run(main) == list(range(100))


def test_timeouts():
    def main():
        ch = gosched.Chan()
        t = time.monotonic()
        with pytest.raises(TimeoutError, match="recv"):
            ch.recv(0.02)
        with pytest.raises(TimeoutError, match="send"):
            ch.send(1, timeout=0.02)
        took = time.monotonic() - t
        assert 0.04 <= took < 10
        with pytest.raises(TimeoutError):
            ch.recv(timeout=0)
        # What timed out was not sent.
        with pytest.raises(gosched.WouldBlock):
            ch.try_recv()
        ch2 = gosched.Chan(1)
        ch2.send("in time", timeout=0)
        assert ch2.recv(timeout=0) == "in time"

    gosched.run(main)


def test_timed_out_send_keeps_nothing():
    class Thing:
        pass

    def main():
        ch = gosched.Chan()
        thing = Thing()
        ref = weakref.ref(thing)
        with pytest.raises(TimeoutError):
            ch.send(thing, 0.001)
        del thing
        gc.collect()
        return ref()

    assert gosched.run(main) is None


@pytest.mark.parametrize(
    ("bad", "error"), [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)]
)
def test_bad_timeouts(bad, error):
    def main():
        ch = gosched.Chan()
        with pytest.raises(error, match="timeout"):
            ch.recv(bad)
        with pytest.raises(error, match="timeout"):
            ch.send(1, timeout=bad)

    gosched.run(main)


def test_bad_arguments():
    with pytest.raises(ValueError, match="capacity is -1"):
        gosched.Chan(-1)
    with pytest.raises(ValueError, match="1 GiB"):
        gosched.Chan(1 << 40)
    with pytest.raises(TypeError):
        gosched.Chan("2")
    with pytest.raises(TypeError):
        gosched.Chan(1, 2)
    ch = gosched.Chan(capacity=2)
    assert ch.capacity == 2
    with pytest.raises(TypeError, match=r"Chan\.send\(\) missing required argument: 'value'"):
        ch.send()
    with pytest.raises(TypeError, match="unexpected keyword argument 'wait'"):
        ch.send(1, wait=2)


def test_outside_run():
    ch = gosched.Chan(1)
    with pytest.raises(gosched.Error, match=r"Chan\.send needs a running scheduler"):
        ch.send(1)
    ch.try_send("before run")
    assert gosched.run(ch.recv) == "before run"


def test_plain_threads_try():
    def main():
        ch = gosched.Chan(1)
        in_thread(lambda: ch.try_send("from a thread"))
        assert ch.recv() == "from a thread"
        with pytest.raises(gosched.Error, match="only a green thread"):
            in_thread(lambda: ch.recv())
        g = gosched.go(ch.recv)
        gosched.sleep(0.01)
        in_thread(lambda: ch.try_send("wakes"))
        assert g.result(10) == "wakes"
        in_thread(ch.close)
        assert ch.closed

    gosched.run(main)


def test_contents_are_freed_with_the_channel():
    class Thing:
        pass

    ch = gosched.Chan(2)
    thing = Thing()
    ref = weakref.ref(thing)
    ch.try_send(thing)
    del thing
    gc.collect()
    assert ref() is not None
    del ch
    assert ref() is None


def test_cycles_are_collected():
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    thing.ch = gosched.Chan(2)
    thing.ch.try_send(thing)
    thing.ch.try_send(thing.ch)
    cref = weakref.ref(thing.ch)
    del thing
    gc.collect()
    assert ref() is None
    assert cref() is None


def test_collection_while_senders_wait():
    def main():
        ch = gosched.Chan(2)
        gs = [gosched.go(ch.send, [i]) for i in range(20)]
        gosched.sleep(0.01)
        gc.collect()
        got = [ch.recv() for _ in range(20)]
        gc.collect()
        for g in gs:
            g.join()
        return sorted(x for [x] in got)

    assert gosched.run(main) == list(range(20))


def test_ping_pong():
    def main():
        a, b = gosched.Chan(), gosched.Chan()

        def echo():
            for v in a:
                b.send(v + 1)

        g = gosched.go(echo)
        v = 0
        for _ in range(2000):
            a.send(v)
            v = b.recv()
        a.close()
        g.join()
        return v

    assert gosched.run(main) == 2000


def test_pipeline_of_a_thousand():
    def main():
        first = ch = gosched.Chan()
        for _ in range(1000):
            nxt = gosched.Chan()
            gosched.go(lambda i, o: o.send(i.recv() + 1), ch, nxt)
            ch = nxt
        first.send(0)
        return ch.recv()

    assert gosched.run(main) == 1000


def test_subclass_and_annotation():
    class Named(gosched.Chan):
        def __init__(self, capacity=0):
            self.label = "x"

    ch = Named(1)
    ch.try_send(1)
    assert ch.try_recv() == 1
    assert gosched.Chan[int].__origin__ is gosched.Chan
    assert "1 of 2" in repr(_with_one(gosched.Chan(2)))


def _with_one(ch):
    ch.try_send(1)
    return ch
