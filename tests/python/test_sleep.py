"""sleep and yield_now."""

from __future__ import annotations

import time

import gosched
import pytest
from conftest import in_thread


def test_sleep_takes_its_time():
    def main():
        for seconds in (0.001, 0.02, 0.1):
            t = time.monotonic()
            gosched.sleep(seconds)
            took = time.monotonic() - t
            assert seconds <= took < seconds + 5

    gosched.run(main)


def test_sleeps_overlap():
    def main():
        t = time.monotonic()
        gs = [gosched.go(gosched.sleep, 0.2) for _ in range(100)]
        for g in gs:
            g.join()
        return time.monotonic() - t

    assert 0.2 <= gosched.run(main) < 5


def test_order_of_wakeups():
    def main():
        order = []

        def one(i):
            gosched.sleep(0.05 * i)
            order.append(i)

        gs = [gosched.go(one, i) for i in (3, 1, 2, 0)]
        for g in gs:
            g.join()
        return order

    assert gosched.run(main) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("bad", "error"),
    [(-0.1, ValueError), (float("nan"), ValueError), ("1", TypeError), (None, TypeError)],
)
def test_bad_seconds(bad, error):
    def main():
        with pytest.raises(error, match=r"gosched\.sleep: seconds"):
            gosched.sleep(bad)

    gosched.run(main)


def test_sleep_forever_can_be_cancelled():
    def main():
        for seconds in (float("inf"), 1e300, 10**18):
            g = gosched.go(gosched.sleep, seconds)
            gosched.sleep(0.005)
            g.cancel()
            with pytest.raises(gosched.Cancelled):
                g.result(10)

    gosched.run(main)


def test_sleep_needs_a_green_thread():
    with pytest.raises(gosched.Error, match=r"inside gosched\.run\(main\)"):
        gosched.sleep(0)

    def main():
        with pytest.raises(gosched.Error, match="only a green thread can"):
            in_thread(lambda: gosched.sleep(0))

    gosched.run(main)


def test_yield_lets_others_run():
    def main():
        log = []

        def one(name):
            for _ in range(3):
                log.append(name)
                gosched.yield_now()

        gs = [gosched.go(one, n) for n in "ab"]
        for g in gs:
            g.join()
        return log

    log = gosched.run(main)
    assert sorted(log) == list("aaabbb")
    assert log != list("aaabbb")
    assert log != list("bbbaaa")


def test_yield_outside_does_nothing():
    assert gosched.yield_now() is None
    assert in_thread(gosched.yield_now) is None


def test_yield_can_be_cancelled():
    def main():
        def spin():
            while True:
                gosched.yield_now()

        g = gosched.go(spin)
        gosched.sleep(0.01)
        g.cancel()
        with pytest.raises(gosched.Cancelled):
            g.result(10)

    gosched.run(main)


def test_ticker_beside_a_python_hog():
    def main():
        stop = time.monotonic() + 0.5
        ticks = 0

        def hog():
            while time.monotonic() < stop:
                sum(range(1000))

        g = gosched.go(hog)
        while not g.done():
            gosched.sleep(0.01)
            ticks += 1
        return ticks

    assert gosched.run(main) >= 5
