"""timeout, shield, os_thread, wait."""

from __future__ import annotations

import os
import socket
import threading
import time

import gosched
import pytest
from conftest import until


def test_timeout():
    def main():
        scope = gosched.timeout(0.01)
        with pytest.raises(TimeoutError, match=r"took longer than 0.01 s") as caught, scope as same:
            gosched.sleep(30)
        assert same is scope
        assert scope.expired and isinstance(caught.value.__cause__, gosched.Cancelled)
        gosched.sleep(0)  # nothing is left of the cancel
        with gosched.timeout(30) as scope:
            gosched.sleep(0)
        assert not scope.expired
        with gosched.timeout(None):
            gosched.sleep(0)
        with pytest.raises(TimeoutError), gosched.timeout(0):
            gosched.sleep(30)
        return gosched.go(inner).result()

    def inner():
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            gosched.Chan().recv()
        gosched.sleep(0)
        return "ended"

    assert gosched.run(main) == "ended"


def test_timeouts_nest():
    def main():
        outer, inner = gosched.timeout(0.02), gosched.timeout(30)
        with pytest.raises(TimeoutError, match=r"0.02 s"), outer, inner:
            gosched.sleep(30)
        with gosched.timeout(30):
            with pytest.raises(TimeoutError, match=r"0.02 s"), gosched.timeout(0.02):
                gosched.sleep(30)
            gosched.sleep(0)

    gosched.run(main)


def test_a_cancel_from_elsewhere_stays_one():
    def body():
        with gosched.timeout(30):
            gosched.sleep(30)

    def both():
        try:
            with gosched.timeout(0.01):
                try:
                    gosched.sleep(30)
                finally:
                    gosched.current().cancel()
        except gosched.Cancelled:
            return "cancelled"

    def main():
        green = gosched.go(body)
        gosched.sleep(0.01)
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()
        assert gosched.go(both).result() == "cancelled"

    gosched.run(main)


def divide():
    return 1 / 0


def test_other_errors_pass():
    def main():
        with pytest.raises(ZeroDivisionError), gosched.timeout(30):
            divide()
        with pytest.raises(ZeroDivisionError), gosched.timeout(0.01):
            try:
                gosched.sleep(30)
            except gosched.Cancelled:
                divide()
        gosched.sleep(0)

    gosched.run(main)


def test_many_timeouts():
    def body(i):
        try:
            with gosched.timeout(0.001 * (i % 5)):
                gosched.sleep(0.002)
            return True
        except TimeoutError:
            return False

    def main():
        before = gosched.stats()["gs_live"]
        results = list(gosched.map(body, range(200)))
        assert not results[0] and len(results) == 200
        for _ in range(1000):
            if gosched.stats()["gs_live"] <= before:
                return
            gosched.sleep(0.01)
        raise AssertionError("clocks are left")

    gosched.run(main)


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_timeout_values(bad):
    with pytest.raises(ValueError, match="it must be 0 or more"):
        gosched.timeout(bad)


def test_timeout_errors():
    with pytest.raises(TypeError, match="seconds must be a number, not str"):
        gosched.timeout("1")
    with pytest.raises(gosched.Error, match="timeout needs a green thread"):
        gosched.timeout(1).__enter__()

    def main():
        scope = gosched.timeout(1)
        with scope:
            pass
        with pytest.raises(gosched.Error, match="entered once"), scope:
            pass

    gosched.run(main)


def test_shield():
    order = []

    def body():
        try:
            with gosched.shield():
                with gosched.shield():
                    gosched.sleep(0.02)
                gosched.sleep(0.02)
                order.append("cleaned up")
            order.append("left")
            gosched.sleep(30)
        except gosched.Cancelled:
            order.append("cancelled")

    def main():
        green = gosched.go(body)
        until(lambda: green.state == "waiting")
        green.cancel()
        green.join()

    gosched.run(main)
    assert order == ["cleaned up", "left", "cancelled"]


def test_shield_of_one_that_was_cancelled_before():
    order = []

    def body():
        try:
            gosched.sleep(30)
        finally:
            with gosched.shield():
                gosched.sleep(0.01)
                order.append("slept")
            try:
                gosched.sleep(30)
            except gosched.Cancelled:
                order.append("again")

    def main():
        green = gosched.go(body)
        until(lambda: green.state == "waiting")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched.run(main)
    assert order == ["slept", "again"]


def test_shield_in_the_main_green_thread():
    def main():
        me = gosched.current()
        with gosched.shield():
            gosched.go(me.cancel).join()
            gosched.sleep(0.01)
        with pytest.raises(gosched.Cancelled):
            gosched.sleep(30)
        return "done"

    assert gosched.run(main) == "done"


def test_timeout_waits_for_a_shield():
    def main():
        began = time.monotonic()
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            with gosched.shield():
                gosched.sleep(0.05)
            gosched.sleep(30)
        assert time.monotonic() - began >= 0.05

    gosched.run(main)


def test_os_thread(hop):
    def body():
        hop()
        with gosched.os_thread():
            here = threading.get_native_id()
            for _ in range(20):
                with gosched.os_thread():
                    hop()
                gosched.sleep(0)
                assert threading.get_native_id() == here

    def main():
        with gosched.TaskGroup() as tg:
            for _ in range(8):
                tg.go(body)

    gosched.run(main)
    with pytest.raises(gosched.Error, match="os_thread needs a green thread"):
        gosched.os_thread().__enter__()


def test_wait():
    def main():
        r, w = os.pipe()
        with pytest.raises(TimeoutError, match=r"gosched.wait: timed out"):
            gosched.wait(r, timeout=0.01)
        waits = gosched.go(gosched.wait, r)
        gosched.sleep(0.001)
        os.write(w, b"x")
        assert waits.result() == (True, False)
        assert gosched.wait(w, read=False, write=True) == (False, True)
        a, b = socket.socketpair()
        assert gosched.wait(a, write=True) == (False, True)
        b.close()
        assert gosched.wait(a) == (True, False)
        a.close()
        os.close(w)
        assert gosched.wait(r) == (True, False)
        os.close(r)
        with pytest.raises(OSError, match="Bad file descriptor"):
            gosched.wait(r)
        with pytest.raises(ValueError, match="both false"):
            gosched.wait(0, read=False)
        with pytest.raises(TypeError):
            gosched.wait("0")
        cancelled = gosched.go(gosched.wait, os.pipe()[0])
        gosched.sleep(0.001)
        cancelled.cancel()
        with pytest.raises(gosched.Cancelled):
            cancelled.result()

    gosched.run(main)
