"""cancel and Cancelled."""

from __future__ import annotations

import time

import gosched
import pytest
from conftest import until


def test_is_not_an_exception():
    assert issubclass(gosched.Cancelled, BaseException)
    assert not issubclass(gosched.Cancelled, Exception)
    assert not issubclass(gosched.Cancelled, gosched.Error)


def test_parked_in_everything():
    def main():
        ch = gosched.Chan()
        full = gosched.Chan(1)
        full.send(0)
        other = gosched.go(gosched.sleep, 100)
        waits = [
            (gosched.sleep, 100),
            (ch.recv,),
            (ch.recv, 100),
            (full.send, 1),
            (other.join,),
            (list, ch),
        ]
        gs = [gosched.go(*w) for w in waits]
        gosched.sleep(0.01)
        for g in gs:
            assert not g.done()
            g.cancel()
        for g in gs:
            with pytest.raises(gosched.Cancelled):
                g.result(10)
        assert len(full) == 1
        assert not other.done()
        other.cancel()

    gosched.run(main)


def test_clean_up_runs_and_waits_are_refused():
    def main():
        log = []

        def body():
            try:
                gosched.sleep(100)
            except gosched.Cancelled:
                log.append("cancelled")
                try:
                    gosched.sleep(0.001)
                except gosched.Cancelled:
                    log.append("still")
                raise
            finally:
                log.append("finally")

        g = gosched.go(body)
        until(lambda: g.state == "waiting")
        g.cancel()
        g.join()
        assert log == ["cancelled", "still", "finally"]
        assert isinstance(g.exception(), gosched.Cancelled)

    gosched.run(main)


def test_swallowed():
    def main():
        begun = []

        def body():
            begun.append(True)
            try:
                gosched.sleep(100)
            except gosched.Cancelled:
                return "survived"

        g = gosched.go(body)
        while not begun:
            gosched.sleep(0.001)
        g.cancel()
        assert g.result() == "survived"

    gosched.run(main)


def test_before_it_has_begun():
    def main():
        while True:
            ran = []
            g = gosched.go(ran.append, 1)
            g.cancel()
            if not ran:
                break  # else this green thread has lost its turn between the two lines
        with pytest.raises(gosched.Cancelled):
            g.result()
        assert ran == []

    gosched.run(main)


def test_after_the_end():
    def main():
        g = gosched.go(lambda: 5)
        g.join()
        g.cancel()
        g.cancel()
        return g.result()

    assert gosched.run(main) == 5


def test_a_foreign_call_is_waited_for(libc):
    def main():
        def body():
            libc.usleep(100_000)
            after.append(time.monotonic())
            gosched.sleep(100)

        after = []
        t = time.monotonic()
        g = gosched.go(body)
        until(lambda: g.state == "syscall" or after)
        g.cancel()
        g.join(30)
        assert after
        assert after[0] - t >= 0.1
        assert isinstance(g.exception(), gosched.Cancelled)

    gosched.run(main)


def test_main_can_be_cancelled():
    def main():
        me = gosched.current()

        def child():
            gosched.sleep(0.01)
            me.cancel()

        gosched.go(child)
        with pytest.raises(gosched.Cancelled):
            gosched.Chan().recv()
        with pytest.raises(gosched.Cancelled):
            gosched.sleep(1)
        return "done"

    assert gosched.run(main) == "done"


def test_many_at_once():
    def main():
        gs = [gosched.go(gosched.sleep, 100) for _ in range(2000)]
        gosched.sleep(0.02)
        for g in gs:
            g.cancel()
        return sum(isinstance(g.exception(), gosched.Cancelled) for g in gs)

    assert gosched.run(main) == 2000


def test_races_with_the_end():
    def main():
        ends = set()
        for i in range(300):
            g = gosched.go(gosched.sleep, 0.0002)
            if i % 3:
                gosched.yield_now()
            if i % 2:
                gosched.sleep(0.0002)
            g.cancel()
            e = g.exception(30)
            ends.add(type(e))
        return ends

    assert gosched.run(main) <= {type(None), gosched.Cancelled}
