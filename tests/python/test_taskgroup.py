"""TaskGroup: waiting for all, first error, cancelling, nesting."""

from __future__ import annotations

import sys
import time
import traceback

import gosched
import pytest
from conftest import until

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


def test_waits_for_all():
    def main():
        log = []

        def child(i):
            gosched.sleep(0.01 * i)
            log.append(i)
            return i * 10

        with gosched.TaskGroup() as tg:
            gs = [tg.go(child, i) for i in range(5)]
        assert sorted(log) == [0, 1, 2, 3, 4]
        assert all(g.done() for g in gs)
        return [g.result() for g in gs]

    assert gosched.run(main) == [0, 10, 20, 30, 40]


def test_empty():
    def main():
        with gosched.TaskGroup():
            pass
        return "fine"

    assert gosched.run(main) == "fine"


def test_first_error_cancels_the_rest():
    def main():
        ends = []

        def waits():
            try:
                gosched.sleep(100)
            finally:
                ends.append(sys.exc_info()[0])

        def fails():
            gosched.sleep(0.01)
            raise ValueError("first")

        t = time.monotonic()
        with pytest.raises(ExceptionGroup) as info, gosched.TaskGroup() as tg:
            for _ in range(3):
                tg.go(waits)
            bad = tg.go(fails)
        assert time.monotonic() - t < 30
        assert [str(e) for e in info.value.exceptions] == ["first"]
        assert ends == [gosched.Cancelled] * 3
        tb = traceback.extract_tb(info.value.exceptions[0].__traceback__)
        assert tb[-1].name == "fails"
        assert bad.exception() is info.value.exceptions[0]
        return gosched.sleep(0.001)

    assert gosched.run(main) is None


def test_error_interrupts_the_body():
    def main():
        def fails():
            raise ValueError("child")

        with pytest.raises(ExceptionGroup) as info, gosched.TaskGroup() as tg:
            tg.go(fails)
            gosched.sleep(100)
            raise AssertionError("the body went on")
        assert [type(e) for e in info.value.exceptions] == [ValueError]
        gosched.sleep(0.001)  # the request to stop was taken back

    gosched.run(main)


def test_error_interrupts_the_body_of_a_green_thread():
    def main():
        def body():
            with gosched.TaskGroup() as tg:
                tg.go(lambda: 1 // 0)
                gosched.Chan().recv()

        g = gosched.go(body)
        error = g.exception(30)
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0], ZeroDivisionError)

    gosched.run(main)


def test_error_of_the_body():
    def main():
        with pytest.raises(ExceptionGroup) as info, gosched.TaskGroup() as tg:
            g = tg.go(gosched.sleep, 100)
            gosched.sleep(0.005)
            raise KeyError("body")
        assert [type(e) for e in info.value.exceptions] == [KeyError]
        assert isinstance(g.exception(), gosched.Cancelled)

    gosched.run(main)


def test_all_errors_are_in_the_group():
    def main():
        def fails(i):
            try:
                gosched.sleep(100)
            finally:
                raise OSError(i)

        with pytest.raises(ExceptionGroup) as info, gosched.TaskGroup() as tg:
            greens = [tg.go(fails, i) for i in range(3)]
            until(lambda: all(g.state == "waiting" for g in greens))
            raise ValueError
        return sorted(type(e).__name__ for e in info.value.exceptions)

    assert gosched.run(main) == ["OSError", "OSError", "OSError", "ValueError"]


def test_base_exceptions():
    def main():
        class Odd(BaseException):
            pass

        def odd():
            raise Odd

        with pytest.raises(BaseExceptionGroup) as info, gosched.TaskGroup() as tg:
            tg.go(odd)
        assert not isinstance(info.value, ExceptionGroup)

        def leave():
            raise SystemExit(4)

        with pytest.raises(SystemExit), gosched.TaskGroup() as tg:
            tg.go(leave)
            tg.go(gosched.sleep, 100)

    gosched.run(main)


def test_errors_are_not_reported_twice(monkeypatch):
    seen = []
    monkeypatch.setattr(gosched, "excepthook", seen.append)

    def main():
        with pytest.raises(ExceptionGroup), gosched.TaskGroup() as tg:
            tg.go(lambda: 1 / 0)

    gosched.run(main)
    assert seen == []


def test_children_may_start_more():
    def main():
        log = []

        def tree(depth):
            log.append(depth)
            if depth:
                tg.go(tree, depth - 1)
                tg.go(tree, depth - 1)

        with gosched.TaskGroup() as tg:
            tg.go(tree, 6)
        return len(log)

    assert gosched.run(main) == 2**7 - 1


def test_a_cancelled_child_is_no_error():
    def main():
        with gosched.TaskGroup() as tg:
            g = tg.go(gosched.sleep, 100)
            h = tg.go(lambda: "h")
            gosched.sleep(0.005)
            g.cancel()
        assert h.result() == "h"
        with pytest.raises(gosched.Cancelled):
            g.result()

    gosched.run(main)


def test_cancelling_the_parent():
    def main():
        log = []

        def child():
            begun.append(gosched.current())
            try:
                gosched.sleep(100)
            finally:
                log.append("child")

        def parent(park):
            try:
                with gosched.TaskGroup() as tg:
                    tg.go(child)
                    if park:
                        gosched.sleep(100)
            finally:
                log.append("parent")

        for park in (True, False):
            begun = []
            g = gosched.go(parent, park)
            until(lambda begun=begun, g=g: begun and begun[0].state == g.state == "waiting")
            g.cancel()
            with pytest.raises(gosched.Cancelled):
                g.result(30)
        assert log == ["child", "parent"] * 2

    gosched.run(main)


def test_nested_inner_error():
    def main():
        log = []

        def bystander():
            try:
                gosched.sleep(0.03)
                log.append("outer child went on")
            except gosched.Cancelled:
                log.append("outer child cancelled")

        with gosched.TaskGroup() as outer:
            outer.go(bystander)
            try:
                with gosched.TaskGroup() as inner:
                    inner.go(lambda: 1 / 0)
                    gosched.sleep(100)
            except ExceptionGroup:
                log.append("inner handled")
            gosched.sleep(0.001)
        return log

    assert gosched.run(main) == ["inner handled", "outer child went on"]


def test_nested_outer_error():
    def main():
        def fails():
            gosched.sleep(0.01)
            raise ValueError("outer")

        with pytest.raises(ExceptionGroup) as info, gosched.TaskGroup() as outer:
            outer.go(fails)
            with gosched.TaskGroup() as inner:
                g = inner.go(gosched.sleep, 100)
                gosched.sleep(100)
        assert [str(e) for e in info.value.exceptions] == ["outer"]
        assert isinstance(g.exception(), gosched.Cancelled)
        gosched.sleep(0.001)

    gosched.run(main)


def test_wrong_use():
    with pytest.raises(gosched.Error, match=r"inside gosched\.run"), gosched.TaskGroup():
        pass

    def main():
        tg = gosched.TaskGroup()
        with pytest.raises(gosched.Error, match="not entered"):
            tg.go(print)
        with tg, pytest.raises(TypeError, match="callable"):
            tg.go(5)
        with pytest.raises(gosched.Error, match="closed"):
            tg.go(print)
        with pytest.raises(gosched.Error, match="entered once"), tg:
            pass

    gosched.run(main)


def test_go_while_it_is_being_cancelled():
    def main():
        refused = []

        def late():
            try:
                gosched.sleep(100)
            finally:
                try:
                    tg.go(print)
                except gosched.Error as e:
                    refused.append(str(e))

        with pytest.raises(ExceptionGroup), gosched.TaskGroup() as tg:
            tg.go(late)
            gosched.sleep(0.005)
            raise ValueError
        return refused

    assert "being cancelled" in gosched.run(main)[0]


def test_many_children():
    def main():
        done = 0

        def child():
            nonlocal done
            gosched.yield_now()
            done += 1

        with gosched.TaskGroup() as tg:
            for _ in range(5000):
                tg.go(child)
        return done

    assert gosched.run(main) == 5000
